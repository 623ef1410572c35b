"""How every system of an evaluation is scored: the network alone, and network -> enhancer however it is used."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, cast

import numpy as np
import torch
from numpy.typing import NDArray

from seedpipe.errors import MetricError
from seedpipe.params import ScoreParams, TrainParams
from seedpipe.scoring.calibration import Calibration
from seedpipe.scoring.crops import CropEmbeddings, with_models
from seedpipe.scoring.norms import (
    Cohort,
    CohortStatistics,
    Norm,
    adaptive_top,
    cohort_statistics,
    normalize_scores,
)
from seedpipe.scoring.pairs import pair_scores
from seedpipe.scoring.trials import Trials, match_names

if TYPE_CHECKING:
    from seedpipe.enhancers.base import EmbeddingEnhancer
    from seedpipe.enhancers.seed import ModelConfig
from seedpipe.scoring.vectors import Floats, Method, Side

SYSTEMS = ("network", "enhanced")
Enhance = Callable[[Floats], Floats]
ByCondition = dict[str, NDArray[np.float64]]
"""Scores by condition, shape (N,)."""


def score_conditions(
    crops: CropEmbeddings,
    trials: Trials,
    method: Method,
    *,
    mismatch_side: Literal["test", "enrol", "both"] = "test",
    norm: Norm = "none",
    cohort: Floats | None = None,
    top: int = 300,
    device: str = "cpu",
) -> ByCondition:
    """Score a trial list under every condition.

    Parameters
    ----------
    crops : CropEmbeddings
    trials : Trials
    method, norm, cohort, top, device
        See :mod:`seedpipe.scoring`. Each utterance meets the cohort once in each condition.
    mismatch_side : {"test", "enrol", "both"}
        Which side of a trial is under the condition; the other one is clean. Where the test side has crops of its own,
        it has them under the condition and clean.

    Returns
    -------
    dict
        Condition to scores, shape (N,); higher means same speaker.

    Raises
    ------
    TrialError
        The list names utterances that are not there.
    MetricError
        A normalisation without a cohort, or with one that does not fit.
    """
    match = match_names(trials.utterances, crops.utterances).expect_all(trials, crops.utterances)
    enrol, test = match.rows[trials.enrol], match.rows[trials.test]
    members = np.empty((0, crops.embeddings.shape[-1]), np.float32) if cohort is None else cohort

    def view(condition: int, *, own: bool) -> Floats:
        return (crops.test if own else crops.enrol)[:, :, condition]

    @functools.cache
    def statistics(condition: int, *, own: bool) -> CohortStatistics:
        return cohort_statistics(
            view(condition, own=own), members, method, adaptive_top(norm, top, members), device=device
        )

    own = crops.test_crops > 0
    clean = {crops_own: Side(view(0, own=crops_own)) for crops_own in (False, True)}  # met under every condition

    def side(condition: int, *, own: bool) -> Side:
        return Side(view(condition, own=own)) if condition else clean[own]

    result = {}
    for number, condition in enumerate(crops.conditions):
        left, right = (number if mismatch_side in (side, "both") else 0 for side in ("enrol", "test"))
        enrolment = side(left, own=False)
        tests = enrolment if right == left and not own else side(right, own=own)
        scores = pair_scores(enrolment, tests, enrol, test, method, device=device)
        if norm != "none":
            sides_statistics = statistics(left, own=False), statistics(right, own=own)
            scores = normalize_scores(scores, norm, *sides_statistics, enrol, test)
        result[condition] = scores
    return result


def enhance_with(enhancer: EmbeddingEnhancer, seed: int, **use: Any) -> Enhance:
    """Give the enhancer as a function of embeddings, with noise from one generator where it samples any."""
    generator = torch.Generator().manual_seed(seed)
    return lambda embeddings: enhancer(embeddings, generator, **use)


def diffusion_of(enhancer: EmbeddingEnhancer) -> TrainParams | None:
    """How SEED was trained and samples; None where there are neither timesteps nor noise."""
    config = cast("ModelConfig", enhancer.config)
    return config.train if enhancer.kind == "seed" and config.use in ("linear", "enhanced") else None


def samples_noise(enhancer: EmbeddingEnhancer) -> bool:
    """Whether two uses of the enhancer differ by the seed of their noise."""
    diffusion = diffusion_of(enhancer)
    return diffusion is not None and diffusion.inference_noise == "sampled"


@dataclass(frozen=True)
class SystemEmbeddings:
    """What one system makes of the utterances, and of the cohort where there is one."""

    crops: CropEmbeddings
    cohort: Floats | None


@dataclass(frozen=True)
class Scorer:
    """Scores systems on one list, all in the same way.

    Parameters
    ----------
    trials : Trials
    params : ScoreParams
    cohort : Cohort, optional
        Needed for every ``params.norm`` but ``none``.
    models : mapping of str to sequence of str
        Enrolment models; see :func:`seedpipe.scoring.with_models`.
    calibrations : sequence of Calibration
        For the systems that their columns name.
    device : str

    Raises
    ------
    MetricError
        A normalisation without a cohort, or a cohort without one; a calibration for none of the systems.
    """

    trials: Trials
    params: ScoreParams
    cohort: Cohort | None = None
    models: Mapping[str, Sequence[str]] = field(default_factory=dict)
    calibrations: Sequence[Calibration] = ()
    device: str = "cpu"

    def __post_init__(self) -> None:
        if (self.params.norm == "none") != (self.cohort is None):
            there = "no cohort" if self.cohort is None else "a cohort"
            raise MetricError(
                f"score normalisation is '{self.params.norm}', and there is {there}",
                expected="both or neither",
                remedy="set score.norm, or give the training cache",
            )
        known = [f"{method}:CONDITION:{system}" for method in self.params.methods for system in SYSTEMS]
        for calibration in self.calibrations:
            if "{}:CONDITION:{}".format(*_fitted_on(calibration)) not in known:
                raise MetricError(
                    f"a calibration was fitted on the column {calibration.column or 'score'!r}",
                    expected=" or ".join(known),
                    remedy="fit one with --column on scores of a cache",
                )

    def system(self, alone: CropEmbeddings, enhance: Enhance | None = None) -> SystemEmbeddings:
        """Make a system of the network's embeddings."""
        crops = alone if enhance is None else alone.through(enhance)
        cohort = self.cohort.means(enhance) if self.cohort else None
        return SystemEmbeddings(with_models(crops, self.models) if self.models else crops, cohort)

    def scores(self, system: SystemEmbeddings, method: Method, name: str) -> ByCondition:
        """Scores of a system called by that name, calibrated where there is a calibration for it."""
        params = self.params
        found = score_conditions(
            system.crops,
            self.trials,
            method,
            mismatch_side=params.mismatch_side,
            norm=params.norm,
            cohort=system.cohort,
            top=params.cohort_top,
            device=self.device,
        )
        calibration = self.calibration(method, name)
        return {c: calibration(scores) for c, scores in found.items()} if calibration else found

    def calibration(self, method: Method, name: str) -> Calibration | None:
        """The calibration for a system, where there is one."""
        return next((each for each in self.calibrations if _fitted_on(each) == (method, name)), None)


def _fitted_on(calibration: Calibration) -> tuple[str, str]:
    """Method and system of the column METHOD:CONDITION:SYSTEM that a calibration was fitted on."""
    method, _, rest = calibration.column.partition(":")
    return method, rest.rpartition(":")[2]
