"""The section ``score``: trial lists to numbers."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, TypeVar

from pydantic import AfterValidator, Field

from seedpipe.params.section import Section, Seed, distinct

Number = TypeVar("Number", int, float)


def _different(numbers: tuple[Number, ...]) -> tuple[Number, ...]:
    if len(set(numbers)) < len(numbers):
        raise ValueError("a number stands in it twice")
    return numbers


Methods = Annotated[tuple[Literal["cosine", "euclidean"], ...], AfterValidator(distinct)]
Priors = Annotated[tuple[Annotated[float, Field(gt=0, lt=1)], ...], AfterValidator(_different)]
Timesteps = Annotated[tuple[Annotated[int, Field(ge=1, le=999)], ...], AfterValidator(_different)]


class ScoreParams(Section):
    """Stage ``score``: trial lists to numbers."""

    methods: Methods = Field(default=("cosine", "euclidean"), min_length=1)
    """``cosine`` of the mean crop embeddings, ``euclidean``: minus the mean distance over all pairs of crops."""
    mismatch_side: Literal["test", "enrol", "both"] = "test"
    """Which side of a trial is under the condition; the other one is clean."""
    norm: Literal["none", "z", "t", "s", "as"] = "none"
    """Score normalisation against a cohort of the training cache (docs/scoring.md)."""
    cohort_size: int = Field(default=5000, ge=2)
    """Training utterances drawn for the cohort; all where there are fewer."""
    cohort_top: int = Field(default=300, ge=2)
    """Highest cohort scores of each utterance that ``norm: as`` uses; all where the cohort is smaller."""
    speakers: Path | None = None
    """A map of speakers, lines ``utterance speaker``, for lists that do not tell theirs (docs/scoring.md)."""
    eer_definition: Literal["linear", "max", "mean", "hull"] = "linear"
    """How the crossing of the two error rates is read; ``max`` is what the authors' code does."""
    p_targets: Priors = Field(default=(0.05, 0.01), min_length=1)
    """Prior probabilities of a target trial in the detection costs; the first is that of tables."""
    bootstrap: int = Field(default=1000, ge=100)
    """Resamplings of the speakers behind every interval."""
    seed: Seed = 0
    """Seed of the bootstrap, the cohort and, with ``inference_noise: sampled``, the inference noise."""
    noise_seeds: int = Field(default=1, ge=1)
    """With ``inference_noise: sampled``: seeds of that noise, from ``seed`` on, over which the EER is averaged."""
    timesteps: Timesteps = ()
    """Timesteps t at which SEED's EER is computed besides the one of the model, for a chart; none if left out, as the
    whole list is enhanced and scored again for each."""
