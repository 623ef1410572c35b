"""Frozen speaker networks: one protocol, one file each, found by name or by place.

A network maps waveforms (B, T) to embeddings (B, D), and what it gives for a row does not depend on the other rows.
``docs/networks.md`` shows the ways to bring one: a converted checkpoint, an ONNX file, a SpeechBrain folder, a factory,
an installed package.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from seedpipe.errors import NetworkError
from seedpipe.networks.plugins import Plugins

if TYPE_CHECKING:
    import torch
    from torch import Tensor

__all__ = ["SpeakerNetwork", "load_network", "network_from_factory", "network_names"]

BUILT_IN = {"dvector": "seedpipe.networks.dvector:DVector"}
CONFIG = "network.json"
PLUGINS = Plugins("network", NetworkError, "seedpipe.networks", BUILT_IN)


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
    return PLUGINS.names()


def load_network(spec: str | Path) -> SpeakerNetwork:
    """Make a network, ready for inference on the CPU.

    Parameters
    ----------
    spec : str or Path
        One of :func:`network_names`, a folder with ``network.json``, an ``.onnx`` file, or ``package.module:factory``;
        looked for in this order.

    Raises
    ------
    NetworkError
        The network is unknown, its weights have changed, or it cannot be imported, fails, or is no network.
    MissingExtraError
        The network needs a package that is not installed.
    """
    place = Path(spec)
    if str(spec) in network_names():
        return network_from_factory(str(spec))
    if (place / CONFIG).is_file():
        from seedpipe.networks.folder import load_folder

        return load_folder(place)
    if place.suffix == ".onnx":
        from seedpipe.networks.onnx import OnnxNetwork

        return OnnxNetwork(place)
    return network_from_factory(str(spec))


def network_from_factory(name: str, arguments: Mapping[str, Any] | None = None) -> SpeakerNetwork:
    """Call the factory of a network.

    Parameters
    ----------
    name : str
        One of :func:`network_names`, or ``package.module:factory``.
    arguments : mapping, optional
        Keyword arguments of the factory.

    Raises
    ------
    NetworkError
        The name is unknown, the factory cannot be imported, fails, or makes something that is no network.
    MissingExtraError
        The network needs a package that is not installed.
    """
    if not PLUGINS.knows(name):
        raise _unknown(name)
    network = PLUGINS.make(name, **(arguments or {}))
    if not isinstance(network, SpeakerNetwork):
        raise NetworkError(
            f"{name!r} makes a {type(network).__name__}",
            expected="name, sample_rate, dimension, min_samples, __call__, fingerprint and to",
            remedy="see seedpipe.networks.SpeakerNetwork",
        )
    return network


def _unknown(name: str) -> NetworkError:
    from seedpipe.networks.kinds import KINDS

    if name in KINDS:
        return NetworkError(
            f"the network {name!r} comes without weights",
            expected="a published checkpoint",
            remedy=f"seedpipe network convert CHECKPOINT networks/{name} --kind {name}",
        )
    if Path(name).is_dir():
        return NetworkError(
            f"the folder holds no {CONFIG}",
            expected="a folder made by seedpipe network convert or add",
            remedy="see docs/networks.md",
            file=name,
        )
    known = ", ".join(network_names())
    expected = f"{known}, package.module:factory, a folder with {CONFIG} or an .onnx file"
    return NetworkError(f"unknown network {name!r}", expected=expected, remedy="see docs/networks.md")
