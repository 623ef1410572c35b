"""Enhancers that are a fixed map: a module from embeddings (B, D) to embeddings (B, D), and how it was made.

These are the baselines but for the regression: ``centering``, ``whitening``, ``ridge``, ``drl`` and ``none``. A further
one is a function of a :class:`~seedpipe.enhancers.training.TrainingJob`, an entry in :func:`_empty` and
:meth:`FixedMap.card_text`, and one in :data:`seedpipe.enhancers.registry.RECIPES`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Self, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from seedpipe import __version__
from seedpipe.cache import NetworkInfo
from seedpipe.enhancers.base import (
    CardText,
    EmbeddingEnhancer,
    Embeddings,
    EnhancerConfig,
    TrainingPoint,
    fill,
    read_model,
)
from seedpipe.enhancers.data import hold_out
from seedpipe.enhancers.drl import SpeakerEncoder, train_drl
from seedpipe.enhancers.given import expect_generator
from seedpipe.enhancers.labels import environments, speakers
from seedpipe.enhancers.training import Fitted, Sample, TrainingJob
from seedpipe.enhancers.whitening import Whitening, fit_centering, fit_ridge, fit_whitening
from seedpipe.files import StrPath
from seedpipe.params import DRLParams, WhiteningParams

FixedKind = Literal["centering", "whitening", "ridge", "drl", "none"]
TITLES = {
    "centering": ("Centring", "Without their mean,"),
    "ridge": ("Ridge regression", "A linear regression in closed form from noisy to clean of"),
    "whitening": ("Whitening", "A linear map in closed form of"),
    "drl": ("DRL encoder", "A disentangling encoder, trained against an environment adversary, of"),
    "none": ("Unchanged embeddings", "No change but unit length of"),
}


class FixedMapConfig(EnhancerConfig):
    """The contents of ``config.json``."""

    kind: FixedKind
    settings: WhiteningParams | DRLParams | None
    """How it was made; nothing for ``none``."""


class FixedMap(EmbeddingEnhancer):
    """An enhancer without noise: a module, whose output gets unit length.

    Examples
    --------
    >>> enhancer = FixedMap.load("models/dvector/whitening")
    >>> enhancer(np.ones((2, 256), dtype=np.float32)).shape
    (2, 256)
    """

    config: FixedMapConfig

    def __init__(self, module: nn.Module, config: FixedMapConfig) -> None:
        self.config, self.module, self.beside = config, module.eval().requires_grad_(False), {}

    def __repr__(self) -> str:
        return f"<FixedMap {self.kind} for {self.config.network.name}, {self.dimension}-d>"

    @classmethod
    def load(cls, path: StrPath, device: str | torch.device = "cpu") -> Self:
        """See :meth:`EmbeddingEnhancer.load`."""
        path = Path(path)
        config, state = read_model(path, FixedMapConfig)
        with torch.device("meta"):
            module = _empty(config.kind, config.network.dimension)
        fill(module, state, path)
        return cls(module.to(device), config).from_folder(path)

    @classmethod
    def untrained(cls, kind: FixedKind, network: NetworkInfo, device: str | torch.device = "cpu") -> Self:
        """Make one that has learnt nothing, but costs what a trained one costs."""
        config = FixedMapConfig(kind=kind, network=network, settings=None, cache="", seedpipe=__version__)
        return cls(_empty(kind, network.dimension).to(device), config)

    def __call__(self, embeddings: Embeddings, generator: torch.Generator | None = None) -> Embeddings:
        """See :meth:`EmbeddingEnhancer.__call__`; nothing is drawn."""
        expect_generator(generator)
        return self._in_blocks(embeddings, self._forward)

    def card_text(self) -> CardText:
        """See :meth:`EmbeddingEnhancer.card_text`."""
        given = {} if self.config.settings is None else self.config.settings.model_dump()
        return CardText(
            *TITLES[self.kind],
            training=", ".join(f"{name} {value}" for name, value in given.items()) or "None.",
            use="`seedpipe.enhancers.load_enhancer(folder)(embeddings)`.",
            labels="labelled" if self.kind == "drl" or given.get("covariance") == "lda" else "unlabelled",
        )

    def _forward(self, block: Tensor) -> Tensor:
        with torch.no_grad():
            return functional.normalize(self.module(block), dim=1)


def fit_none(job: TrainingJob) -> Fitted:
    """The embeddings as they are."""
    return _fitted(job, *_held_out(job), nn.Identity())


def fit_closed_form(job: TrainingJob) -> Fitted:
    """Centring, whitening and the ridge regression, in closed form; ``lda`` needs speaker labels."""
    mask, held_out = _held_out(job)
    if job.kind != "whitening":
        fit = fit_centering if job.kind == "centering" else fit_ridge
        return _fitted(job, mask, held_out, fit(job.cache, ~mask.numpy()))
    params, settings = job.params.enhancers, job.params.enhancers.whitening
    known = speakers(job.cache, job.cache.frame(), params.speaker_pattern) if settings.covariance == "lda" else None
    return _fitted(job, mask, held_out, fit_whitening(job.cache, ~mask.numpy(), settings, known), settings)


def fit_drl(job: TrainingJob) -> Fitted:
    """The disentangling encoder, from speaker labels."""
    mask, held_out = _held_out(job)
    params, frame, training = job.params.enhancers, job.cache.frame(), ~mask
    known = speakers(job.cache, frame, params.speaker_pattern)[training.numpy()]
    _, known = np.unique(known, return_inverse=True)  # without gaps where all utterances of a speaker are held out
    where = environments(frame, job.cache.info.variants)[training.numpy()]
    rows = job.cache.to_torch()[training].to(job.device)
    module, curve = train_drl(rows, known, where, params.drl, job.progress)
    return _fitted(job, mask, held_out, module, params.drl, curve)


def _held_out(job: TrainingJob) -> tuple[Tensor, Sample]:
    return hold_out(job.cache, job.params.train.validation_share)


def _fitted(
    job: TrainingJob,
    mask: Tensor,
    held_out: Sample,
    module: nn.Module,
    settings: WhiteningParams | DRLParams | None = None,
    curve: tuple[TrainingPoint, ...] = (),
) -> Fitted:
    info, apart = job.cache.info, int(mask.sum())
    epoch_steps = curve[0].step if curve else 1  # DRL has a point after each epoch
    kind, cache = cast("FixedKind", job.kind), info.fingerprint
    config = FixedMapConfig(kind=kind, network=info.network, settings=settings, cache=cache, seedpipe=__version__)
    return Fitted(FixedMap(module.to("cpu"), config), len(job.cache) - apart, apart, held_out, curve, epoch_steps)


def _empty(kind: FixedKind, dimension: int) -> nn.Module:
    """A module of a kind, not yet fitted."""
    if kind == "none":
        return nn.Identity()
    return SpeakerEncoder(dimension) if kind == "drl" else Whitening(dimension)
