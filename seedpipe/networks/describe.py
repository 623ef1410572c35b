"""What there is to say about networks: which ones there are, and what one is."""

from __future__ import annotations

import inspect
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seedpipe.files import StrPath
from seedpipe.networks.campplus import CAMPPlus
from seedpipe.networks.config import CONFIG, read_config
from seedpipe.networks.onnx import OnnxNetwork
from seedpipe.networks.registry import BUILT_IN, network_names

if TYPE_CHECKING:
    from seedpipe.networks.protocol import SpeakerNetwork


def list_networks(folder: StrPath) -> list[dict[str, Any]]:
    """Networks of a project, then those built in, then those of installed packages.

    Returns
    -------
    list of dict
        ``network``, what to load it by; ``kind``; ``dimension``, None where only loading it would tell.
    """
    rows: list[dict[str, Any]] = []
    for path in sorted(Path(folder).glob(f"*/{CONFIG}")):
        config = read_config(path.parent)
        rows.append({"network": path.parent.as_posix(), "kind": config.kind, "dimension": config.dimension})
    for name in network_names():
        rows.append({"network": name, "kind": "built in" if name in BUILT_IN else "installed", "dimension": None})
    return rows


def describe_network(network: SpeakerNetwork) -> dict[str, Any]:
    """Name, kind, what it is and where from, sizes and fingerprint of a network; None for what is not known."""
    from torch import nn

    parameters = sum(each.numel() for each in network.parameters()) if isinstance(network, nn.Module) else None
    about, source = _said(type(network))
    given = {"input": str(network.input)} if isinstance(network, OnnxNetwork | CAMPPlus) else {}
    return {
        "name": network.name,
        "kind": getattr(network, "kind", type(network).__name__),
        "about": about,
        "source": source,
        "dimension": network.dimension,
        "parameters": parameters,
        **given,
        "sample_rate": network.sample_rate,
        "min_samples": network.min_samples,
        "fingerprint": network.fingerprint(),
    }


def _said(network: type) -> tuple[str | None, str | None]:
    """What the module of a network of ours says that it is, and its source."""
    if not network.__module__.startswith("seedpipe."):
        return None, None
    text = inspect.getdoc(sys.modules[network.__module__]) or ""
    about, *paragraphs = (" ".join(paragraph.split()) for paragraph in text.split("\n\n"))
    sources = (each.removeprefix("Source: ") for each in paragraphs if each.startswith("Source: "))
    return about, next(sources, None)
