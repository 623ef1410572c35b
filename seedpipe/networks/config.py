"""``network.json``: everything that makes the network of a folder, and the fingerprint that it had."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from seedpipe.errors import NetworkError
from seedpipe.files import StrPath, read_json

CONFIG = "network.json"
Argument = str | int | float | bool


class NetworkConfig(BaseModel):
    """The contents of ``network.json``."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    format: Literal["seedpipe-network-1"] = "seedpipe-network-1"
    name: str = Field(pattern=r"^\w[\w.-]*$")
    """Name in tables, which does not count towards the fingerprint; a factory names its network itself."""
    kind: str
    """``resnet34``, ``ecapa``, ..., a built-in name, or ``factory``, ``onnx``, ``speechbrain``."""
    source: str = ""
    """Factory, ONNX file or SpeechBrain folder; a path is relative to the folder of this file."""
    arguments: dict[str, Argument] = {}
    """Keyword arguments of the factory, of a built-in network or of the ONNX network."""
    dimension: int = Field(gt=0)
    """D, length of an embedding."""
    fingerprint: str
    """Of the network when this file was written."""
    self_test: tuple[float, ...]
    """First values of the embedding of a synthetic signal: see :func:`seedpipe.networks.selftest.self_test`."""


def read_config(folder: StrPath) -> NetworkConfig:
    """Read the ``network.json`` of a folder.

    Raises
    ------
    NetworkError
        It is missing or not of this form.
    """
    path, expected = Path(folder) / CONFIG, "what seedpipe network convert or add writes"
    try:
        data = read_json(path)
        if isinstance(data, dict):
            data.pop("digest", None)
        return NetworkConfig.model_validate_json(json.dumps(data))
    except ValidationError as error:
        raise NetworkError(first_fault(error), expected=expected, remedy="write it again", file=path) from error
    except (OSError, ValueError) as error:
        found = f"cannot be read ({(getattr(error, 'strerror', None) or str(error)).lower()})"
        raise NetworkError(found, expected=expected, remedy="see docs/networks.md", file=path) from error


def stored_self_test(spec: StrPath) -> tuple[float, ...]:
    """The self-test in the folder of a network; empty for a network that has none."""
    return read_config(spec).self_test if (Path(spec) / CONFIG).is_file() else ()


def first_fault(error: ValidationError) -> str:
    """The first thing that is wrong, as a text."""
    first = error.errors()[0]
    place = ".".join(map(str, first["loc"])) or "the file"
    return f"{place}: {first['msg'].lower()}"
