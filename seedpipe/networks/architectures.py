"""Networks that are made from checkpoints, and the strict fit of weights to one.

Prefixes and losses are gone when a state comes here (:mod:`seedpipe.networks.checkpoint`); what is left must fit to the
last entry, and an error guesses why it does not.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from seedpipe.errors import NetworkError, counted
from seedpipe.networks.checkpoint import State, listed
from seedpipe.networks.layers import COUNTER, computed_entries

if TYPE_CHECKING:
    from seedpipe.networks.layers import FrozenNetwork

MOST_ROWS = 2**17  # two for each value of the longest embedding; a network has thousands of weights for each
TOLERANCE = 1e-4  # of filter banks, windows and filters: other versions of torchaudio round differently


ARCHITECTURES = {
    "resnet34": "seedpipe.networks.resnet34:ResNet34",
    "ecapa": "seedpipe.networks.ecapa:ECAPA",
    "wavlm_ecapa": "seedpipe.networks.wavlm_ecapa:WavLMECAPA",
    "campplus": "seedpipe.networks.campplus:CAMPPlus",
    "resnet34_drl": "seedpipe.networks.drl:ResNet34DRL",
    "ecapa_drl": "seedpipe.networks.drl:ECAPADRL",
}
"""``module:class`` of every kind of network."""


def architecture(kind: str) -> type[FrozenNetwork]:
    """The class of a kind of network, which is imported now."""
    module, _, name = ARCHITECTURES[kind].partition(":")
    made: type[FrozenNetwork] = getattr(importlib.import_module(module), name)
    return made


def guess_kind(state: Mapping[str, Tensor]) -> str | None:
    """The one kind of network that a tidied state can belong to, if there is one."""
    known = map(architecture, ARCHITECTURES)
    fitting = [one.kind for one in known if {one.landmark, one.output} <= state.keys()]
    return fitting[0] if len(fitting) == 1 else None


def network_from_state(
    state: State, kind: str | None, path: Path, arguments: Mapping[str, Any] | None = None
) -> FrozenNetwork:
    """Make the network that a checkpoint holds the weights of.

    Parameters
    ----------
    state : dict
        From :func:`read_state`.
    kind : str, optional
        One of :data:`ARCHITECTURES`; guessed from the names of the entries when it is left out.
    path : Path
        For messages.
    arguments : mapping, optional
        Keyword arguments of the class: ``features`` of CAM++.

    Raises
    ------
    NetworkError
        The kind is unknown or cannot be guessed, or takes no such argument, or an entry is missing, too many, or of
        another shape.
    """
    chosen = kind or guess_kind(state)
    if chosen not in ARCHITECTURES:
        found = f"unknown kind {kind!r}" if kind else f"no known network has its entries ({listed(state)})"
        raise NetworkError(found, expected=f"one of {', '.join(ARCHITECTURES)}", remedy=_elsewhere(state), file=path)
    refuse_others(arguments or {}, {"features"} if chosen == "campplus" else set(), chosen)
    wanted = architecture(chosen)
    output = state.get(wanted.output)
    rows = 0 if output is None or output.ndim == 0 else output.shape[0]
    if not 0 < rows <= MOST_ROWS or rows % wanted.output_rows:
        raise NetworkError(
            f"{wanted.output!r} is missing or has {counted(rows, 'row')}, so the dimension of the embedding is unknown",
            expected=f"the entries of {chosen}",
            remedy=_cause(state, chosen),
            file=path,
        )
    network = wanted(rows // wanted.output_rows, **(arguments or {}))
    load_weights(network, state, path)
    return network


def refuse_others(arguments: Mapping[str, Any], known: set[str], kind: str) -> None:
    """Refuse arguments that a kind of network does not know."""
    for name in sorted(arguments.keys() - known):
        expected = ", ".join(sorted(known)) or "no arguments"
        raise NetworkError(f"a network of kind {kind} takes no {name!r}", expected=expected, remedy="leave it out")


def load_weights(network: FrozenNetwork, state: State, path: Path) -> None:
    """Copy a state into a network whose entries must be the same to the last one.

    Filter banks, windows and filters are computed, not loaded: where the state has them they must be equal to 1e-4.
    Counters of training batches are not looked at, as they decide no number.

    Raises
    ------
    NetworkError
        Names the first ten entries that are missing, too many, or of another shape, and what the cause may be.
    """
    own = network.state_dict()
    counters = {name for name in own if name.endswith(COUNTER)}
    computed = computed_entries(network)
    faults = [f"{name} is missing" for name in own if name not in state.keys() | counters | computed]
    faults += [f"{name} is too many" for name in state if name not in own]
    faults += [
        f"{name} is {_form(state[name])}, not {_form(value)}"
        for name, value in own.items()
        if name in state.keys() - counters and _form(state[name]) != _form(value)
    ]
    if faults:
        raise NetworkError(
            f"does not fit {network.kind}: {listed(faults)}",
            expected="the same entries",
            remedy=_cause(state, network.kind),
            file=path,
        )
    for name in sorted(computed & state.keys()):
        _check_computed(name, state[name], own[name], network.kind, path)
    network.load_state_dict(own | {name: state[name] for name in state.keys() - counters - computed})


def _check_computed(name: str, found: Tensor, own: Tensor, kind: str, path: Path) -> None:
    difference = float((found.float() - own).abs().max())
    if difference > max(TOLERANCE, torch.finfo(found.dtype).eps):
        raise NetworkError(
            f"{name} differs from ours by {difference:.2g}: the network was trained on other features",
            expected=f"the features of {kind}, equal to {TOLERANCE:g}",
            remedy="wrap the network as package.module:factory",
            file=path,
        )


def _form(value: Tensor) -> str:
    shape = " x ".join(map(str, value.shape)) or "one number"
    return shape if value.is_floating_point() else f"{shape} of {value.dtype}"


def _cause(state: Mapping[str, Tensor], kind: str) -> str:
    guess = guess_kind(state)
    if guess and guess != kind:
        return f"these entries belong to {guess}: use --kind {guess}"
    return _elsewhere(state)


def _elsewhere(state: Mapping[str, Tensor]) -> str:
    if any(name.startswith("blocks.") for name in state):
        return "these may be weights of SpeechBrain: use seedpipe network add --speechbrain FOLDER"
    parts = [name.split(".")[:-1] for name in state]
    prefix = ".".join(
        column[0] for column in takewhile(lambda column: len(set(column)) == 1, zip(*parts, strict=False))
    )
    if prefix:
        return f"all names begin with {prefix!r}: save the part of the model below it"
    return "the network may have other sizes than the published one: wrap it as package.module:factory"
