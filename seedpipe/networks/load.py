"""From what names a network to the network: a name, a folder, a file, a factory."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from seedpipe.errors import NetworkError
from seedpipe.files import StrPath, read_again
from seedpipe.networks.architectures import ARCHITECTURES, network_from_state, refuse_others
from seedpipe.networks.checkpoint import read_state
from seedpipe.networks.config import CONFIG, Argument, read_config
from seedpipe.networks.onnx import OnnxNetwork
from seedpipe.networks.protocol import SpeakerNetwork
from seedpipe.networks.registry import BUILT_IN, network_from_factory, network_names

WEIGHTS = "weights.safetensors"
FILE_KINDS = ("onnx", "speechbrain")  # whose source is a path


def load_network(spec: StrPath) -> SpeakerNetwork:
    """Make a network, ready for inference on the CPU.

    Parameters
    ----------
    spec : str or path
        One of :func:`~seedpipe.networks.network_names`, a folder with ``network.json``, an ``.onnx`` file, or
        ``package.module:factory``; looked for in this order.

    Raises
    ------
    NetworkError
        The network is unknown, its weights have changed, or it cannot be imported, fails, or is no network.
    MissingExtraError
        The network needs a package that is not installed.
    """
    name, place = str(spec), Path(spec)
    if name not in network_names():
        if (place / CONFIG).exists():
            return read_again(place / CONFIG, lambda: _load_folder(place))
        if place.suffix == ".onnx":
            return make_network("onnx", name, {}, place.stem)
    return network_from_factory(name)


def make_network(kind: str, source: str, arguments: Mapping[str, Argument], name: str) -> SpeakerNetwork:
    """Make a network that brings its own weights.

    Parameters
    ----------
    kind : str
        A built-in name, ``factory``, ``onnx`` or ``speechbrain``.
    source : str
        ``package.module:factory``, the ONNX file or the SpeechBrain folder.
    arguments : mapping
        Keyword arguments of the factory or of the ONNX network.
    name : str
        Of an ONNX or SpeechBrain network; others have theirs.
    """
    if kind in BUILT_IN:
        return network_from_factory(kind, arguments)
    if kind == "factory":
        return network_from_factory(source, arguments)
    if kind == "onnx":
        refuse_others(arguments, {"features", "sample_rate"}, kind)
        features, rate = str(arguments.get("features", "")), arguments.get("sample_rate")
        if rate is not None and type(rate) is not int:
            raise NetworkError(f"sample_rate is {rate!r}", expected="a whole number of samples per second")
        return OnnxNetwork(source, name=name, features=features, sample_rate=rate)
    if kind == "speechbrain":
        from seedpipe.networks.speechbrain import SpeechBrainNetwork

        refuse_others(arguments, set(), kind)
        return SpeechBrainNetwork(source, name=name)
    raise NetworkError(
        f"there is no kind {kind!r} of networks that bring their own weights",
        expected=", ".join((*BUILT_IN, "factory", *FILE_KINDS)),
        remedy=f"make {', '.join(ARCHITECTURES)} with seedpipe network convert",
    )


def _load_folder(folder: Path) -> SpeakerNetwork:
    """Make the network of a folder; one that has changed since it was described is refused."""
    config = read_config(folder)
    network: SpeakerNetwork
    weights = folder / WEIGHTS
    if config.kind in ARCHITECTURES and (weights.exists() or config.kind not in BUILT_IN):
        network = network_from_state(read_state(weights), config.kind, weights, config.arguments)
        network.name = config.name
    else:
        source = str(folder / config.source) if config.kind in FILE_KINDS else config.source
        network = make_network(config.kind, source, config.arguments, config.name)
    if (network.fingerprint(), network.dimension) != (config.fingerprint, config.dimension):
        raise NetworkError(
            f"the network is not the one that was described: its fingerprint is {network.fingerprint()[:16]}",
            expected=f"{config.fingerprint[:16]}, as when the file was written",
            remedy="bring the old weights back, or run seedpipe network add or convert again",
            file=folder / CONFIG,
        )
    return network
