"""A network of a project: a folder with ``network.json`` and, where a checkpoint was converted, its weights.

``network.json`` names everything that makes the network and the fingerprint that it had; a network that has changed
since is refused. So whoever watches the folder, as DVC does, notices every change of the numbers.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from seedpipe.errors import NetworkError
from seedpipe.files import fsync, publish_folder, read_document, refuse_foreign
from seedpipe.networks import BUILT_IN, CONFIG, SpeakerNetwork, network_from_factory
from seedpipe.networks.checkpoint import read_state
from seedpipe.networks.kinds import KINDS, network_from_state
from seedpipe.networks.layers import FrozenNetwork
from seedpipe.networks.selftest import self_test

__all__ = ["NetworkConfig", "add_network", "convert_checkpoint", "load_folder", "read_config"]

WEIGHTS = "weights.safetensors"
FILES = (CONFIG, WEIGHTS, ".*")
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
    """Keyword arguments of the factory or of the ONNX network."""
    dimension: int = Field(gt=0)
    """D, length of an embedding."""
    fingerprint: str
    """Of the network when this file was written."""
    self_test: tuple[float, ...]
    """First values of the embedding of a synthetic signal: see :func:`seedpipe.networks.selftest.self_test`."""


def load_folder(folder: Path) -> SpeakerNetwork:
    """Make the network of a folder.

    Raises
    ------
    NetworkError
        ``network.json`` is unusable, or the network cannot be made or is not the one that it describes.
    MissingExtraError
        The network needs a package that is not installed.
    """
    config = read_config(folder)
    if config.kind in KINDS:
        weights = folder / WEIGHTS
        network: SpeakerNetwork = _named(network_from_state(read_state(weights), config.kind, weights), config.name)
    else:
        source = str(folder / config.source) if config.kind in ("onnx", "speechbrain") else config.source
        network = _make(config.kind, source, config.arguments, config.name)
    if (network.fingerprint(), network.dimension) != (config.fingerprint, config.dimension):
        raise NetworkError(
            f"the network is not the one that was described: its fingerprint is {network.fingerprint()[:16]}",
            expected=f"{config.fingerprint[:16]}, as when the file was written",
            remedy="bring the old weights back, or run seedpipe network add or convert again",
            file=folder / CONFIG,
        )
    return network


def convert_checkpoint(checkpoint: Path, folder: Path, kind: str | None = None) -> SpeakerNetwork:
    """Make the folder of a network from a checkpoint; an older one is replaced when all is well.

    Parameters
    ----------
    checkpoint : Path
        A file of ``torch.save``, or ``.safetensors``.
    folder : Path
        Its name becomes the name of the network.
    kind : str, optional
        One of :data:`seedpipe.networks.kinds.KINDS`; guessed when it is left out.

    Raises
    ------
    NetworkError
        The checkpoint does not fit, or the folder holds other files.
    """
    refuse_foreign(folder, FILES, "network folder", NetworkError)
    network = network_from_state(read_state(checkpoint), kind, checkpoint)
    _write(folder, _describe(folder, _named(network, folder.name), network.kind), network)
    return network


def add_network(
    folder: Path, kind: str, source: str = "", arguments: Mapping[str, Argument] | None = None
) -> SpeakerNetwork:
    """Make the folder of a network that brings its own weights.

    Parameters
    ----------
    folder : Path
        Its name becomes the name of the network; an older folder is replaced when all is well.
    kind : str
        A built-in name, ``factory``, ``onnx`` or ``speechbrain``.
    source : str
        ``package.module:factory``, the ONNX file or the SpeechBrain folder; a path that is not absolute is kept
        relative to the folder.
    arguments : mapping, optional
        Keyword arguments of the factory or of the ONNX network.

    Raises
    ------
    NetworkError
        The network cannot be made, or the folder holds other files.
    MissingExtraError
        The network needs a package that is not installed.
    """
    refuse_foreign(folder, FILES, "network folder", NetworkError)
    network = _make(kind, source, arguments or {}, folder.name)
    if kind in ("onnx", "speechbrain") and not Path(source).is_absolute():
        source = Path(os.path.relpath(source, folder)).as_posix()
    _write(folder, _describe(folder, network, kind, source, arguments))
    return network


def read_config(folder: Path) -> NetworkConfig:
    """Read ``network.json``.

    Raises
    ------
    NetworkError
        It is missing or not of this form.
    """
    path = folder / CONFIG
    try:
        return NetworkConfig.model_validate_json(read_document(path))
    except ValidationError as error:
        expected = "what seedpipe network convert or add writes"
        raise NetworkError(_first(error), expected=expected, remedy="write it again", file=path) from error
    except (OSError, ValueError) as error:
        reason = (getattr(error, "strerror", None) or str(error)).lower()
        raise NetworkError(f"cannot be read ({reason})", remedy="see docs/networks.md", file=path) from error


def _first(error: ValidationError) -> str:
    first = error.errors()[0]
    place = ".".join(map(str, first["loc"])) or "the file"
    return f"{place}: {first['msg'].lower()}"


def _make(kind: str, source: str, arguments: Mapping[str, Argument], name: str) -> SpeakerNetwork:
    """Make a network that brings its own weights."""
    if kind in BUILT_IN:
        return network_from_factory(kind, arguments)
    if kind == "factory":
        return network_from_factory(source, arguments)
    if kind == "onnx":
        from seedpipe.networks.onnx import OnnxNetwork

        _refuse_others(arguments, {"features"}, kind)
        return OnnxNetwork(Path(source), name=name, features=str(arguments.get("features", "")))
    if kind == "speechbrain":
        from seedpipe.networks.speechbrain import SpeechBrainNetwork

        _refuse_others(arguments, set(), kind)
        return SpeechBrainNetwork(Path(source), name=name)
    raise NetworkError(
        f"there is no kind {kind!r} of networks that bring their own weights",
        expected=", ".join((*BUILT_IN, "factory", "onnx", "speechbrain")),
        remedy=f"make {', '.join(KINDS)} with seedpipe network convert",
    )


def _refuse_others(arguments: Mapping[str, Argument], known: set[str], kind: str) -> None:
    for name in sorted(arguments.keys() - known):
        expected = ", ".join(known) or "no arguments"
        raise NetworkError(f"a network of kind {kind} takes no {name!r}", expected=expected, remedy="leave it out")


def _named(network: FrozenNetwork, name: str) -> FrozenNetwork:
    network.name = name
    return network


def _describe(
    folder: Path,
    network: SpeakerNetwork,
    kind: str,
    source: str = "",
    arguments: Mapping[str, Argument] | None = None,
) -> NetworkConfig:
    try:
        return NetworkConfig(
            name=folder.name,
            kind=kind,
            source=source,
            arguments=dict(arguments or {}),
            dimension=network.dimension,
            fingerprint=network.fingerprint(),
            self_test=tuple(self_test(network)),
        )
    except ValidationError as error:
        raise NetworkError(
            f"the network cannot be described ({_first(error)})",
            expected="a folder named in letters, digits, '.', '_' and '-', and finite embeddings",
            remedy="choose another folder, or see seedpipe network check",
        ) from error


def _write(folder: Path, config: NetworkConfig, network: FrozenNetwork | None = None) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    work = folder.with_name(f".{folder.name}.{secrets.token_hex(6)}.partial")
    work.mkdir()
    try:
        text = json.dumps({"format": config.format} | config.model_dump(exclude_defaults=True), indent=1)
        (work / CONFIG).write_text(text + "\n", encoding="utf-8")
        fsync(work / CONFIG)
        if network is not None:
            _save_weights(network, work / WEIGHTS)
            (work / WEIGHTS).chmod((work / CONFIG).stat().st_mode)  # safetensors keeps its files to their owner
        publish_folder(work, folder)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _save_weights(network: FrozenNetwork, path: Path) -> None:
    from safetensors.torch import save_file

    # Clones, as some entries are parts of one tensor.
    save_file({name: value.clone().contiguous() for name, value in network.state_dict().items()}, path)
    fsync(path)
