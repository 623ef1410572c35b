"""The network alone against network -> enhancer on one evaluation list."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from seedpipe import metrics
from seedpipe.cache import Cache
from seedpipe.console import ProgressCallback, Shown, shown
from seedpipe.errors import MetricError
from seedpipe.params import ScoreParams, split_condition
from seedpipe.results import (
    Condition,
    Det,
    Differences,
    Evaluation,
    Evaluations,
    Histogram,
    Pair,
    Reduction,
    SideCrops,
    Sides,
    System,
)
from seedpipe.scoring.ablations import over_noise_seeds, over_snr, over_timesteps
from seedpipe.scoring.calibration import Calibration, about_list
from seedpipe.scoring.crops import load_crops
from seedpipe.scoring.estimates import NamedMetric, bootstrap_of, difference, estimate, metrics_of
from seedpipe.scoring.norms import Cohort, cohort_from
from seedpipe.scoring.projection import project
from seedpipe.scoring.systems import SYSTEMS, ByCondition, Scorer, enhance_with
from seedpipe.scoring.trials import SpeakerMap, Trials, match_names, tell_speakers
from seedpipe.scoring.vectors import Method
from seedpipe.scoring.warnings import about_conditions, about_data, about_trials

if TYPE_CHECKING:
    from seedpipe.enhancers.base import EmbeddingEnhancer


def evaluate(  # noqa: PLR0913 - what the files of an evaluation hold
    cache: Cache,
    enhancer: EmbeddingEnhancer,
    trials: Trials,
    params: ScoreParams,
    name: str,
    *,
    cohort: Cache | None = None,
    models: Mapping[str, Sequence[str]] | None = None,
    calibrations: Sequence[Calibration] = (),
    speakers: SpeakerMap | None = None,
    progress: ProgressCallback | Shown | None = "shown",
) -> tuple[Evaluations, pd.DataFrame]:
    """Compare the network alone with network -> enhancer on one evaluation list.

    Parameters
    ----------
    cache : Cache
        Evaluation embeddings of the utterances in the list.
    enhancer : EmbeddingEnhancer
        Trained for the same network. Scores are computed on the device that it was loaded on.
    trials : Trials
    params : ScoreParams
    name : str
        Name of the list, for tables.
    cohort : Cache, optional
        The training cache of the same network, for every ``params.norm`` but ``none``. Each system meets a cohort that
        went through the same enhancer.
    models : mapping of str to sequence of str, optional
        Enrolment from several utterances, as :func:`seedpipe.scoring.trials.read_models` gives it.
    calibrations : sequence of Calibration
        Each is applied to the system whose column it was fitted on: the scores of that system become log likelihood
        ratios, and actDCF, Cllr and minCllr are given.
    speakers : mapping of str to sequence of str, optional
        As :func:`seedpipe.scoring.trials.read_speaker_map` gives it, where the list does not tell them.
    progress : callable or None
        Called with conditions done and conditions of all methods; a bar, or lines where it cannot be drawn, by default.
        None for silence.

    Returns
    -------
    evaluations : Evaluations
        One for each scoring method.
    scores : DataFrame
        The trials with a column of scores for each method, condition and system.

    Raises
    ------
    CacheMismatchError
        A cache is of another network than the enhancer, or of the wrong kind.
    TrialError
        The list names utterances that the cache does not hold.
    MetricError
        The scores allow no error rate; a cohort without a normalisation or the reverse; a calibration of other scores.
    """
    enhancer.expect(cache)
    alone = load_crops(cache)
    # Refuse a list that does not fit, or contradicts itself, before any work.
    known = (*alone.utterances, *(models or {}))
    match = match_names(trials.utterances, known).expect_all(trials, known)
    told = tell_speakers(trials, speakers)
    bootstrap = bootstrap_of(told, params.bootstrap, params.seed, params.eer_definition)
    members = _cohort(cohort, enhancer, params)
    scorer = Scorer(trials, params, members, models or {}, calibrations, enhancer.device.type)
    systems = {"network": scorer.system(alone), "enhanced": scorer.system(alone, enhance_with(enhancer, params.seed))}
    timesteps = over_timesteps(enhancer, alone, scorer)
    noise_seeds = over_noise_seeds(enhancer, alone, scorer)
    about = _about(cache, enhancer, trials, params) | {
        "list": name,
        "speakers": bootstrap.speakers,
        "utterance_rule": match.rule,
        "projection": project({name: system.crops for name, system in systems.items()}, match.rows, told.of_utterance),
    }
    of_list = [*about_trials(trials, told), *about_list(calibrations, trials)]
    remarks = of_list + about_data(cache, enhancer, members, params)
    evaluations, table = [], _table(trials)
    counted = _Counted(shown(progress, f"score {name}", "conditions"), len(params.methods) * len(alone.conditions))
    for method in params.methods:
        scores = {system: scorer.scores(systems[system], method, system) for system in SYSTEMS}
        columns = {f"{method}:{c}:{system}": values for system, by in scores.items() for c, values in by.items()}
        table = table.assign(**columns)
        evaluation = Evaluation(
            **(about | _figures(scores, bootstrap, scorer, method, counted)),
            snr=over_snr(cache, match.rows, scores, told, scorer),
            timesteps=timesteps.get(method, []),
            noise_seeds=noise_seeds.get(method),
        )
        evaluations.append(replace(evaluation, warnings=remarks + evaluation.warnings))
    return Evaluations(synthetic=cache.info.synthetic, evaluations=evaluations), table


class _Counted:
    """Conditions of all methods, one after the other."""

    def __init__(self, progress: ProgressCallback | None, total: int) -> None:
        self.progress, self.done, self.total = progress, 0, total

    def one(self) -> None:
        self.done += 1
        if self.progress:
            self.progress(self.done, self.total)


def _cohort(cache: Cache | None, enhancer: EmbeddingEnhancer, params: ScoreParams) -> Cohort | None:
    if cache is None:
        return None
    enhancer.expect(cache)
    return cohort_from(cache, params.cohort_size, params.seed)


def _about(cache: Cache, enhancer: EmbeddingEnhancer, trials: Trials, params: ScoreParams) -> dict[str, Any]:
    return {
        "network": cache.info.network.name,
        "enhancer": enhancer.kind,
        "trials": len(trials),
        "targets": int(trials.labels.sum()),
        "utterances": len(trials.utterances),
        "mismatch_side": params.mismatch_side,
        "norm": params.norm,
        "crops": _sides(cache),
    }


def _sides(cache: Cache) -> Sides | None:
    """What each side of a trial has of an utterance, where they differ."""
    info = cache.info
    if not info.test_crops:
        return None
    lengths = (int(info.features[name]) for name in ("crop_samples", "test_crop_samples"))
    seconds = (samples / info.network.sample_rate or None for samples in lengths)
    counts = int(info.features["crops"]), info.test_crops
    return Sides(*map(SideCrops, counts, seconds))


def _table(trials: Trials) -> pd.DataFrame:
    names = np.array(trials.utterances, dtype=object)
    return pd.DataFrame({"label": trials.labels, "enrol": names[trials.enrol], "test": names[trials.test]})


def _figures(
    scores: Mapping[str, ByCondition],
    bootstrap: metrics.SpeakerBootstrap,
    scorer: Scorer,
    method: Method,
    counted: _Counted,
) -> dict[str, Any]:
    """Figures of both systems and their differences under every condition, and what to know of them."""
    priors, labels = scorer.params.p_targets, scorer.trials.labels
    calibrated = {system: scorer.calibration(method, system) is not None for system in SYSTEMS}
    wanted = {system: metrics_of(priors, calibrated=calibrated[system], short=True) for system in SYSTEMS}
    both = metrics_of(priors, calibrated=all(calibrated.values()), short=True)
    rows = []
    for condition in scores["network"]:
        before, after = (scores[system][condition] for system in SYSTEMS)
        systems = {name: system_of(scores[name][condition], labels, bootstrap, wanted[name]) for name in SYSTEMS}
        changes = {metric.name: difference(bootstrap, before, after, labels, metric) for metric in both}
        eer, min_dcf = changes.pop("eer"), changes.pop("min_dcf")
        rows.append(Condition(condition, Pair(**systems), Differences(eer, min_dcf, changes)))
        counted.one()
    return {
        "method": method,
        "conditions": rows,
        "mean_relative_reduction": _reduction(scores, labels, bootstrap),
        "warnings": about_conditions(rows, labels, priors),
    }


def _reduction(
    scores: Mapping[str, ByCondition], labels: NDArray[np.int8], bootstrap: metrics.SpeakerBootstrap
) -> Reduction | None:
    """Mean relative reduction of the EER; None where the network alone makes too few errors for one to exist.

    The mean is over the conditions whose SNR is drawn: a noise that is there at five levels as well would count six
    times. Where there are levels alone, it is over them.
    """
    mismatched = [condition for condition in scores["network"] if condition != "clean"]
    drawn = [condition for condition in mismatched if split_condition(condition)[1] is None] or mismatched
    pairs = [(scores["network"][condition], scores["enhanced"][condition]) for condition in drawn]
    try:
        return Reduction(**asdict(bootstrap.mean_relative_reduction(pairs, labels)))
    except MetricError:
        return None


def system_of(
    scores: NDArray[np.float64],
    labels: NDArray[np.int8],
    bootstrap: metrics.SpeakerBootstrap,
    wanted: Sequence[NamedMetric],
) -> System:
    """Figures and curves of one system under one condition."""
    metrics.check_direction(scores, labels)
    far, frr, _ = metrics.det_curve(scores, labels)
    found = {metric.name: estimate(bootstrap, scores, labels, metric) for metric in wanted}
    return System(
        eer=found.pop("eer"),
        min_dcf=found.pop("min_dcf"),
        further_metrics=found,
        eer_definition=bootstrap.definition,
        det=Det(far.tolist(), frr.tolist()),
        histogram=Histogram(*(part.tolist() for part in metrics.score_histogram(scores, labels))),
    )
