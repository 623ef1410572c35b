"""The weights of SEED networks that others trained, found in a checkpoint by the names of their entries.

Checkpoints of the authors' code hold the diffusion network alone or together with a speaker network, under wrappers
(``{"model": ...}``) and prefixes (``module.``, ``diffusion_network.``). What leads up to the entries of a
:class:`~seedpipe.diffusion.SeedMLP` is found from the one entry that only it has.
"""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path
from pickle import UnpicklingError  # noqa: TID251 - an error to be caught, nothing is unpickled
from typing import Any

import safetensors
import torch
from safetensors.torch import load_file
from torch import Tensor

from seedpipe.diffusion import SeedMLP
from seedpipe.errors import ModelError

__all__ = ["read_official"]

LANDMARK = "input_proj.weight"  # (2D, D)


def read_official(path: Path) -> SeedMLP:
    """Read the SEED network of a checkpoint.

    Parameters
    ----------
    path : Path
        A file of ``torch.save`` or a safetensors file. Nothing but tensors and plain containers is taken from it.

    Raises
    ------
    ModelError
        The file cannot be read, or holds no SEED network or several, or one of other shapes.
    """
    state = _unwrapped(_read(path))
    prefixes = sorted(name.removesuffix(LANDMARK) for name in state if name.endswith(LANDMARK))
    if len(prefixes) != 1:
        found = f"{len(prefixes)} entries end in {LANDMARK}"
        raise ModelError(found, expected="the one of a SEED network", remedy="choose another file", file=path)
    entries = {name.removeprefix(prefixes[0]): entry for name, entry in state.items() if name.startswith(prefixes[0])}
    network = SeedMLP(entries[LANDMARK].shape[-1])
    wanted = network.state_dict()
    missing = sorted(name for name in wanted if name not in entries)
    if missing:
        raise ModelError(f"has no entry {prefixes[0]}{missing[0]}", expected="a SEED network", file=path)
    for name, weight in wanted.items():
        if entries[name].shape != weight.shape:
            shape, expected = tuple(entries[name].shape), tuple(weight.shape)
            raise ModelError(f"{prefixes[0]}{name} has shape {shape}", expected=f"{expected}", file=path)
    network.load_state_dict({name: entries[name].float() for name in wanted})
    return network


def _read(path: Path) -> Mapping[str, Any]:
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        contents = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, EOFError, RuntimeError, UnpicklingError, zipfile.BadZipFile, safetensors.SafetensorError) as error:
        reason = " ".join(str(error).split())[:200]
        raise ModelError(f"is no checkpoint of plain weights ({reason})", remedy="choose another", file=path) from error
    return contents if isinstance(contents, dict) else {}


def _unwrapped(contents: Mapping[str, Any]) -> dict[str, Tensor]:
    """The tensors, by their names; wrappers are dictionaries in dictionaries."""
    tensors = {name: value for name, value in contents.items() if isinstance(value, Tensor)}
    for value in contents.values():
        if isinstance(value, dict):
            tensors |= _unwrapped(value)
    return tensors
