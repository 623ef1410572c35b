"""A network of a project: a folder with ``network.json`` and, where a checkpoint was converted, its weights.

``network.json`` names everything that makes the network and the fingerprint that it had; a network that has changed
since is refused. So whoever watches the folder, as DVC does, notices every change of the numbers.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path

from pydantic import ValidationError

from seedpipe.errors import NetworkError
from seedpipe.files import OutputKind, StrPath, fsync, sealed, whole_folder
from seedpipe.networks.architectures import ARCHITECTURES, network_from_state
from seedpipe.networks.checkpoint import read_state
from seedpipe.networks.config import CONFIG, Argument, NetworkConfig, first_fault, read_config
from seedpipe.networks.layers import FrozenNetwork
from seedpipe.networks.load import FILE_KINDS, WEIGHTS, make_network
from seedpipe.networks.onnx import OnnxNetwork
from seedpipe.networks.protocol import SpeakerNetwork
from seedpipe.networks.selftest import self_test


def _own_files(folder: Path) -> set[str]:
    """The files of the folder of a network."""
    read_config(folder)
    return {CONFIG, WEIGHTS}


OUTPUT = OutputKind("network folder", CONFIG, NetworkError, _own_files)
"""How the folder of a network is told from others before it is replaced."""


def convert_checkpoint(
    checkpoint: StrPath, folder: StrPath, kind: str | None = None, arguments: Mapping[str, Argument] | None = None
) -> SpeakerNetwork:
    """Make the folder of a network from a checkpoint; an older one is replaced when all is well.

    Parameters
    ----------
    checkpoint : path
        A file of ``torch.save``, or ``.safetensors``.
    folder : path
        Its name becomes the name of the network.
    kind : str, optional
        One of :data:`seedpipe.networks.architectures.ARCHITECTURES`; guessed when it is left out.
    arguments : mapping, optional
        ``features`` of CAM++, as :class:`seedpipe.networks.campplus.CAMPPlus` has them.

    Raises
    ------
    NetworkError
        The checkpoint does not fit, or the folder holds other files.
    """
    checkpoint, folder = Path(checkpoint), Path(folder)
    OUTPUT.check(folder)
    network = network_from_state(read_state(checkpoint), kind, checkpoint, arguments)
    network.name = folder.name
    _publish(folder, network, network.kind, arguments=arguments)
    return network


def add_network(
    folder: StrPath, kind: str, source: str = "", arguments: Mapping[str, Argument] | None = None
) -> SpeakerNetwork:
    """Make the folder of a network that brings its own weights.

    Parameters
    ----------
    folder : path
        Its name becomes the name of the network; an older folder is replaced when all is well.
    kind : str
        A built-in name, ``factory``, ``onnx`` or ``speechbrain``.
    source : str
        ``package.module:factory``, the ONNX file or the SpeechBrain folder; a path that is not absolute is kept
        relative to the folder.
    arguments : mapping, optional
        Keyword arguments of the factory or of the ONNX network, of which ``network.json`` has those that were used.

    Raises
    ------
    NetworkError
        The network cannot be made, or the folder holds other files.
    MissingExtraError
        The network needs a package that is not installed.
    """
    folder = Path(folder)
    OUTPUT.check(folder)
    network = make_network(kind, source, arguments or {}, folder.name)
    if isinstance(network, OnnxNetwork):
        arguments = network.arguments
    if kind in FILE_KINDS and not Path(source).is_absolute():
        source = Path(os.path.relpath(source, folder)).as_posix()
    _publish(folder, network, kind, source, arguments)
    return network


def _publish(
    folder: Path, network: SpeakerNetwork, kind: str, source: str = "", arguments: Mapping[str, Argument] | None = None
) -> None:
    """Describe a network and put its folder in place; the weights go with it where its kind is an architecture."""
    try:
        config = NetworkConfig(
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
            f"the network cannot be described ({first_fault(error)})",
            expected="a folder named in letters, digits, '.', '_' and '-', and finite embeddings",
            remedy="choose another folder, or see seedpipe network check",
        ) from error
    with whole_folder(folder, OUTPUT) as work:
        entries = {"format": config.format} | config.model_dump(mode="json", exclude_defaults=True)
        text = json.dumps(sealed(entries), indent=1)
        (work / CONFIG).write_text(text + "\n", encoding="utf-8")
        fsync(work / CONFIG)
        if kind in ARCHITECTURES and isinstance(network, FrozenNetwork):
            _save_weights(network, work / WEIGHTS)


def _save_weights(network: FrozenNetwork, path: Path) -> None:
    from safetensors.torch import save

    # Clones, as some entries are parts of one tensor.
    path.write_bytes(save({name: value.clone().contiguous() for name, value in network.state_dict().items()}))
    fsync(path)
