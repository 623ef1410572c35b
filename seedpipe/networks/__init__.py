"""Frozen speaker networks: one protocol, one file each, found by name.

A network maps waveforms (B, T) to embeddings (B, D), and what it gives for a row does not depend on the other rows.
Third parties register a factory in the entry-point group ``seedpipe.networks`` or name it ``package.module:factory``.
"""

from __future__ import annotations

import importlib
import importlib.metadata
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from seedpipe.errors import NetworkError, SeedpipeError

if TYPE_CHECKING:
    import torch
    from torch import Tensor

__all__ = ["SpeakerNetwork", "load_network", "network_names"]

BUILT_IN = {"dvector": "seedpipe.networks.dvector:DVector"}
GROUP = "seedpipe.networks"


@runtime_checkable
class SpeakerNetwork(Protocol):
    """What a network must be.

    Attributes
    ----------
    name : str
        Short name for tables and folders.
    sample_rate : int
        Samples per second of its input.
    dimension : int
        D, length of an embedding.
    min_samples : int
        Shortest waveform it takes.
    """

    name: str
    sample_rate: int
    dimension: int
    min_samples: int

    def __call__(self, waveforms: Tensor) -> Tensor:
        """Waveforms (B, T) float32 in [-1, 1] -> embeddings (B, D) float32."""

    def fingerprint(self) -> str:
        """Digest of weights and settings: equal digests mean equal embeddings."""

    def to(self, device: torch.device) -> SpeakerNetwork:
        """Move the weights."""


def network_names() -> list[str]:
    """Names that :func:`load_network` knows: built in, then registered by installed packages."""
    registered = {entry.name for entry in importlib.metadata.entry_points(group=GROUP)}
    return [*BUILT_IN, *sorted(registered - set(BUILT_IN))]


def load_network(name: str) -> SpeakerNetwork:
    """Make a network, ready for inference on the CPU.

    Parameters
    ----------
    name : str
        One of :func:`network_names`, or ``package.module:factory``.

    Raises
    ------
    NetworkError
        The name is unknown, the factory cannot be imported, fails, or makes something that is no network.
    MissingExtraError
        The network needs a package that is not installed.
    """
    factory = _factory(name)
    try:
        network = factory()
    except SeedpipeError:
        raise
    except Exception as error:
        raise NetworkError(
            f"the factory of the network {name!r} failed: {error}", remedy="call it in Python"
        ) from error
    if not isinstance(network, SpeakerNetwork):
        raise NetworkError(
            f"{name!r} makes a {type(network).__name__}",
            expected="name, sample_rate, dimension, min_samples, __call__, fingerprint and to",
            remedy="see seedpipe.networks.SpeakerNetwork",
        )
    return network


def _factory(name: str) -> Callable[[], object]:
    entries = {entry.name: entry.value for entry in importlib.metadata.entry_points(group=GROUP)}
    target = BUILT_IN.get(name) or entries.get(name) or name
    module, colon, attribute = target.partition(":")
    if not colon:
        known = ", ".join(network_names())
        raise NetworkError(f"unknown network {name!r}", expected=f"{known}, or package.module:factory")
    try:
        factory: Callable[[], object] = getattr(importlib.import_module(module), attribute)
    except Exception as error:  # a module may fail in any way while it is imported
        raise NetworkError(f"the network {name!r} cannot be imported: {error}", remedy="check the path") from error
    return factory
