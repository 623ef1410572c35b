"""Enhancers that are a fixed map: a module from embeddings (B, D) to embeddings (B, D), and how it was made."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from seedpipe._version import __version__
from seedpipe.cache import NetworkInfo
from seedpipe.enhancers.base import EmbeddingEnhancer, Embeddings, EnhancerConfig, fill, read_model
from seedpipe.enhancers.drl import SpeakerEncoder
from seedpipe.enhancers.whitening import Whitening
from seedpipe.params import DRLParams, WhiteningParams

__all__ = ["Rival", "RivalConfig", "RivalKind"]

RivalKind = Literal["whitening", "drl", "none"]


class RivalConfig(EnhancerConfig):
    """The contents of ``config.json``."""

    kind: RivalKind
    settings: WhiteningParams | DRLParams | None
    """How it was made; nothing for ``none``."""


class Rival(EmbeddingEnhancer):
    """An enhancer without noise: a module, whose output gets unit length.

    Examples
    --------
    >>> enhancer = Rival.load("models/dvector/whitening")
    >>> enhancer(np.ones((2, 256), dtype=np.float32)).shape
    (2, 256)
    """

    config: RivalConfig

    def __init__(self, module: nn.Module, config: RivalConfig) -> None:
        self.config, self.module = config, module.eval().requires_grad_(False)

    def __repr__(self) -> str:
        return f"<Rival {self.kind} for {self.config.network.name}, {self.dimension}-d>"

    @classmethod
    def load(cls, path: Path | str, device: str | torch.device = "cpu") -> Rival:
        """Load a model folder.

        Raises
        ------
        ModelError
            A file is missing, damaged, or does not fit the others.
        """
        path = Path(path)
        config, state = read_model(path, RivalConfig)
        with torch.device("meta"):
            module = _empty(config.kind, config.network.dimension)
        fill(module, state, path)
        return cls(module.to(device), config)

    @classmethod
    def untrained(cls, kind: RivalKind, network: NetworkInfo, device: str | torch.device = "cpu") -> Rival:
        """Make one that has learnt nothing, but costs what a trained one costs."""
        config = RivalConfig(kind=kind, network=network, settings=None, cache="", seedpipe=__version__)
        return cls(_empty(kind, network.dimension).to(device), config)

    def __call__(self, embeddings: Embeddings, generator: torch.Generator | None = None) -> Embeddings:  # noqa: ARG002
        """See :meth:`EmbeddingEnhancer.__call__`; nothing is drawn."""
        return self._in_blocks(embeddings, self._forward)

    def _forward(self, block: Tensor) -> Tensor:
        with torch.no_grad():
            return functional.normalize(self.module(block), dim=1)


def _empty(kind: RivalKind, dimension: int) -> nn.Module:
    """A module of a kind, not yet fitted."""
    if kind == "none":
        return nn.Identity()
    return Whitening(dimension) if kind == "whitening" else SpeakerEncoder(dimension)
