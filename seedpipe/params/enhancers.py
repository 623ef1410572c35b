"""The section ``enhancers``: which ones, and the settings of the baselines."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from seedpipe.params.section import Pattern, Section, Seed, distinct

EnhancerKind = Literal["seed", "regression", "centering", "whitening", "ridge", "drl", "none"]
Enhancers = Annotated[tuple[EnhancerKind, ...], AfterValidator(distinct)]


class WhiteningParams(Section):
    """Enhancer ``whitening``: a linear map, in closed form."""

    covariance: Literal["total", "within", "lda"] = "within"
    """What becomes the identity: the covariance of the clean embeddings (``total``), that within utterances over all
    their draws and variants (``within``, no labels needed), or that within speakers, on the directions that tell
    speakers apart best (``lda``, needs labels)."""
    dimension: int = Field(default=0, ge=0)
    """Directions that are kept, the strongest first; 0 keeps all (``lda``: at most one less than speakers)."""
    shrinkage: float = Field(default=0.5, ge=0, lt=1)
    """Share of the covariance that is replaced by its mean variance, so that weak directions are not blown up."""


class DRLParams(Section):
    """Enhancer ``drl``: a disentangling auto-encoder with an environment adversary (docs/enhancers.md)."""

    seed: Seed = 0
    """Seed of the weights and the batches."""
    epochs: int = Field(default=30, ge=1)
    """Passes over the rows of the cache."""
    batch_speakers: int = Field(default=64, ge=2)
    """Speakers of a batch; each brings four embeddings."""
    learning_rate: float = Field(default=1e-3, gt=0)
    """Learning rate of Adam; that of the auto-encoder is annealed to zero."""
    reconstruction: float = Field(default=1.0, ge=0)
    """Weight of the L1 distance between embeddings and what the decoder makes of their codes."""
    environment: float = Field(default=1.0, ge=0)
    """Weight of the triplet loss that makes the environment code tell environments apart."""
    adversary: float = Field(default=0.5, ge=0)
    """Weight of the reversed triplet loss that keeps the environment out of the speaker code."""
    correlation: float = Field(default=1.0, ge=0)
    """Weight of the mean absolute correlation between the two codes."""
    discriminator_steps: int = Field(default=5, ge=1)
    """Steps of the adversary for each step of the auto-encoder."""
    margin: float = Field(default=1.0, gt=0)
    """Margin of the triplet losses."""


class EnhancersParams(Section):
    """Which enhancers are trained and scored, and the settings of the baselines (docs/enhancers.md).

    SEED and ``regression``, the same network without diffusion, are set up by the section ``train``.
    """

    names: Enhancers = Field(default=("seed", "whitening", "ridge", "centering"), min_length=1)
    """``seed``, ``regression``, ``centering``, ``whitening``, ``ridge``, ``drl``, and ``none``, the embeddings as they
    are. What costs seconds stands beside what is trained by default."""
    speaker_pattern: Pattern = ""
    """Regular expression whose group is the speaker in the name of a training utterance, for ``drl`` and ``lda``; empty
    for the labels that the cache has."""
    whitening: WhiteningParams = WhiteningParams()
    """Settings of ``whitening``."""
    drl: DRLParams = DRLParams()
    """Settings of ``drl``."""
