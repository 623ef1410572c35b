"""The weights of SEED networks that others trained, found in a checkpoint by the names of their entries.

Checkpoints of the authors' code hold the diffusion network alone or together with a speaker network, under wrappers
(``{"model": ...}``) and prefixes (``module.``, ``diffusion_network.``). What leads up to the entries of a
:class:`~seedpipe.enhancers.diffusion.SeedMLP` is found from the one entry that only it has.
"""

from __future__ import annotations

from pathlib import Path

from seedpipe.enhancers.diffusion import SeedMLP
from seedpipe.enhancers.normalization import Normalization
from seedpipe.errors import ModelError, NetworkError
from seedpipe.networks.checkpoint import State, check_numbers, read_tensors
from seedpipe.params import TrainParams

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
    try:
        entries, prefix = _seed_entries(read_tensors(path), path)
    except NetworkError as error:  # what is wrong with the file is said of a model here, not of a speaker network
        raise ModelError(error.found, expected=error.expected, remedy=error.remedy, file=path) from error
    landmark = entries[LANDMARK]
    if landmark.ndim != 2:
        raise ModelError(f"{prefix}{LANDMARK} has shape {tuple(landmark.shape)}", expected="(2D, D)", file=path)
    network = SeedMLP(landmark.shape[1])
    wanted = network.state_dict()
    missing = sorted(name for name in wanted if name not in entries)
    if missing:
        raise ModelError(f"has no entry {prefix}{missing[0]}", expected="a SEED network", file=path)
    for name, weight in wanted.items():
        if entries[name].shape != weight.shape:
            shape, expected = tuple(entries[name].shape), tuple(weight.shape)
            raise ModelError(f"{prefix}{name} has shape {shape}", expected=f"{expected}", file=path)
    network.load_state_dict({name: entries[name].float() for name in wanted})
    return network


def entry_of(train: TrainParams, dimension: int, path: Path) -> Normalization:
    """What embeddings go through before the network of a checkpoint.

    Raises
    ------
    ModelError
        ``train`` wants a mean or a covariance, which no checkpoint has.
    """
    if train.output != "network":
        raise ModelError(f"train.output is {train.output!r}", expected="'network'", file=path)
    if train.normalize == "length+center":
        raise ModelError(f"train.normalize is {train.normalize!r}", expected="'none' or 'length'", file=path)
    return Normalization(kind=train.normalize, scale=1.0 if train.normalize == "none" else dimension**0.5)


def _seed_entries(state: State, path: Path) -> tuple[State, str]:
    """The entries of the one SEED network in a checkpoint, by their names in it, and what leads up to these."""
    prefixes = sorted(name.removesuffix(LANDMARK) for name in state if name.endswith(LANDMARK))
    if len(prefixes) != 1:
        found = f"{len(prefixes)} entries end in {LANDMARK}"
        raise ModelError(found, expected="the one of a SEED network", remedy="choose another file", file=path)
    entries = {name: entry for name, entry in state.items() if name.startswith(prefixes[0])}
    check_numbers(entries, path)
    return {name.removeprefix(prefixes[0]): entry for name, entry in entries.items()}, prefixes[0]
