"""Scoring of embedding files of any toolkit, without a cache or a model."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from seedpipe.cache import Cache, open_cache
from seedpipe.cache.exchange import Provenance, Vectors, read_vectors
from seedpipe.cache.exchange.provenance import expect_same
from seedpipe.errors import TrialError, counted
from seedpipe.files import StrPath, title_of
from seedpipe.params import ScoreParams
from seedpipe.results import AS_GIVEN, Condition, Difference, Differences, Evaluation, Evaluations, Pair
from seedpipe.scoring.calibration import about_list, load_calibration, pair_quality
from seedpipe.scoring.comparison import warnings_about
from seedpipe.scoring.crops import CropEmbeddings, with_models
from seedpipe.scoring.estimates import bootstrap_of, metrics_of
from seedpipe.scoring.evaluation import system_of
from seedpipe.scoring.norms import Norm, cohort_from, normalized_scores
from seedpipe.scoring.trials import (
    AS_THEY_ARE,
    Trials,
    TrialSpeakers,
    match_names,
    read_models,
    read_speaker_map,
    read_trials,
    tell_speakers,
)
from seedpipe.scoring.vectors import Floats, Method

LOG = logging.getLogger(__name__)


def score_files(  # noqa: PLR0913 - files of different kinds
    enrol: StrPath,
    test: StrPath,
    trials: StrPath,
    params: ScoreParams | None = None,
    *,
    ids: StrPath | None = None,
    cohort: StrPath | None = None,
    models: StrPath | None = None,
    calibration: StrPath | None = None,
    speakers: StrPath | None = None,
    device: str = "cpu",
) -> tuple[Evaluations | None, pd.DataFrame]:
    """Score a list on embedding files of any toolkit.

    Parameters
    ----------
    enrol, test : str or path
        The two sides, as :func:`read_embeddings` takes them; they may be one file.
    trials : str or path
        The list.
    params : ScoreParams, optional
        The first of its methods counts. The list is called NAME if it is ``trials_NAME.txt``, else as its file is.
    ids, cohort, models, calibration, speakers : str or path, optional
        For ``.npy``, the name of each row, one a line; a training cache, for every ``params.norm`` but ``none``;
        enrolment models, as :func:`seedpipe.scoring.trials.read_models` takes them; what makes the scores log
        likelihood ratios, as :func:`seedpipe.scoring.calibration.load_calibration` takes it;
        the speakers of the utterances, as :func:`seedpipe.scoring.trials.read_speaker_map` takes them.
    device : str

    Returns
    -------
    evaluations : Evaluations or None
        One evaluation, without an enhancer; None for a list without labels. The system is called by what the enrolment
        file says of its network, or else by the name of the file.
    scores : DataFrame
        As :func:`score_embeddings` gives them, calibrated.

    Raises
    ------
    SeedpipeError
        A file cannot be read, or does not fit the others.
    """
    listed, params = read_trials(trials), params or ScoreParams()
    known = read_speaker_map(speakers) if speakers else None
    told = None if listed.blind else tell_speakers(listed, known)  # refuses a list before any work
    ratios = load_calibration(calibration) if calibration else None
    sides = [read_vectors(path, ids) for path in dict.fromkeys((Path(enrol), Path(test)))]
    others = open_cache(cohort) if cohort else None
    remarks = _expect_one_network(sides, others)
    drawn = cohort_from(others, params.cohort_size, params.seed).means() if others else None
    left = _crops(sides[0])
    right = left if len(sides) == 1 else _crops(sides[1])
    left = with_models(left, read_models(models)) if models else left
    method, top = params.methods[0], params.cohort_top
    table, rule = score_embeddings(left, right, listed, method, params.norm, drawn, top, device)
    if ratios:
        measures = {name: table[name].to_numpy() for name in ratios.quality if name in table}
        table["score"] = ratios(table["score"].to_numpy(), measures)
    remarks = about_list([ratios] if ratios else [], listed) + remarks
    if told is None:
        for remark in remarks if rule == AS_THEY_ARE else (f"names are found by: {rule}", *remarks):
            LOG.warning("%s", remark)
        return None, table
    figures = _figures(table["score"].to_numpy(), listed, told, params, calibrated=ratios is not None)
    said = sides[0].provenance
    return _evaluations(
        **figures | {"warnings": figures["warnings"] + remarks, "utterance_rule": rule},
        network=said.network if said else title_of(enrol),
        list=title_of(trials).removeprefix("trials_"),
        norm=params.norm,
    ), table


def _figures(
    scores: NDArray[np.float64], trials: Trials, told: TrialSpeakers, params: ScoreParams, *, calibrated: bool
) -> dict[str, Any]:
    """What an evaluation says of one system."""
    bootstrap = bootstrap_of(told, params.bootstrap, params.seed, params.eer_definition)
    wanted = metrics_of(params.p_targets, calibrated=calibrated, short=True)
    system, none = system_of(scores, trials.labels, bootstrap, wanted), Difference(0.0)
    return {
        "method": params.methods[0],
        "trials": len(trials),
        "targets": int(trials.labels.sum()),
        "utterances": len(trials.utterances),
        "speakers": bootstrap.speakers,
        "conditions": [Condition(AS_GIVEN, Pair(system, system), Differences(none, none))],
        "warnings": warnings_about(trials, {"": scores}, params.p_targets, told),
    }


def _evaluations(**parts: Any) -> Evaluations:
    return Evaluations(synthetic=False, evaluations=[Evaluation(enhancer="none", **parts)])


def read_embeddings(path: StrPath, ids: StrPath | None = None) -> CropEmbeddings:
    """Read the embeddings of a file, for scoring.

    Parameters
    ----------
    path : str or path
        A format of :func:`seedpipe.cache.exchange.read_vectors`. Several embeddings of one name are its crops.
    ids : str or path, optional
        For ``.npy``: the name of each row, one a line.

    Returns
    -------
    CropEmbeddings
        With the one condition ``clean``.

    Raises
    ------
    ExchangeError
        The file cannot be read.
    TrialError
        Utterances have different numbers of embeddings.
    """
    return _crops(read_vectors(path, ids))


def _expect_one_network(sides: Sequence[Vectors], cohort: Cache | None) -> list[str]:
    """Refuse files and cohort of several networks, or enhanced on one side alone; say what could not be checked."""
    said = [(each.path, each.provenance) for each in sides]
    if cohort:
        said.append((cohort.path, Provenance.of_cache(cohort.info)))
    return expect_same(said, "whether all are of one network, raw or enhanced in one way,")


def _crops(vectors: Vectors) -> CropEmbeddings:
    """Embeddings of a file as crops of its utterances."""
    codes, utterances = pd.factorize(np.array([name for name, _ in vectors.keys], dtype=object))
    counts = np.bincount(codes)
    few, many = int(counts.argmin()), int(counts.argmax())
    if counts[few] != counts[many]:
        raise TrialError(
            f"{utterances[few]} has {counted(counts[few], 'embedding')} and {utterances[many]} {counts[many]}",
            expected="as many for every utterance",
            remedy="give one mean embedding for each",
            file=vectors.path,
        )
    draws = np.array([draw for _, draw in vectors.keys])
    values = np.asarray(vectors.values)[np.lexsort((draws, codes))].astype(np.float32, copy=False)
    shape = (len(utterances), int(counts[0]), 1, values.shape[1])
    return CropEmbeddings(tuple(utterances), ("clean",), values.reshape(shape))


def score_embeddings(
    enrol: CropEmbeddings,
    test: CropEmbeddings,
    trials: Trials,
    method: Method = "cosine",
    norm: Norm = "none",
    cohort: Floats | None = None,
    top: int = 300,
    device: str = "cpu",
) -> tuple[pd.DataFrame, str]:
    """Score a list on embeddings of any origin.

    Parameters
    ----------
    enrol, test : CropEmbeddings
        The two sides; they may be one object. The first condition counts.
    trials : Trials
        May be blind.
    method, norm, cohort, top, device
        See :mod:`seedpipe.scoring`.

    Returns
    -------
    table : DataFrame
        ``label`` (where the list has labels), ``enrol``, ``test``, ``score``, and the lengths of the raw embeddings as
        quality measures, ``magnitude_low`` and ``magnitude_high``.
    rule : str
        How the names of the list were found.

    Raises
    ------
    TrialError
        Utterances are missing, or the two sides have embeddings of different dimension.
    MetricError
        A normalisation without a cohort, or with one that does not fit.
    """
    if enrol.embeddings.shape[-1] != test.embeddings.shape[-1]:
        raise TrialError(
            f"enrolment embeddings are {enrol.embeddings.shape[-1]}-d, test embeddings {test.embeddings.shape[-1]}-d",
            expected="embeddings of one network",
        )
    enrol_rows, rule = _side_rows(enrol, trials, trials.enrol, "the enrolment embeddings")
    test_rows, test_rule = _side_rows(test, trials, trials.test, "the test embeddings")
    left = enrol.embeddings[:, :, 0]
    right = left if test is enrol else test.embeddings[:, :, 0]
    members = np.empty((0, left.shape[-1]), np.float32) if cohort is None else cohort
    scores = normalized_scores(left, right, enrol_rows, test_rows, method, norm, members, top, device=device)
    names = np.array(trials.utterances, dtype=object)
    columns: dict[str, Any] = {} if trials.blind else {"label": trials.labels}
    columns |= {"enrol": names[trials.enrol], "test": names[trials.test], "score": scores}
    both = np.concatenate([_magnitudes(left), _magnitudes(right)])
    columns |= pair_quality({"magnitude": both}, enrol_rows, test_rows + len(left))
    return pd.DataFrame(columns), rule if rule == test_rule else f"{rule}; on the test side: {test_rule}"


def _side_rows(
    side: CropEmbeddings, trials: Trials, named: NDArray[np.int64], where: str
) -> tuple[NDArray[np.int64], str]:
    """Row among the embeddings of one side of every trial, and the rule."""
    utterances, numbers = np.unique(named, return_inverse=True)
    names = [trials.utterances[index] for index in utterances]
    match = match_names(names, side.utterances).expect_all(trials, side.utterances, where)
    return match.rows[numbers], match.rule


def _magnitudes(embeddings: Floats) -> NDArray[np.float64]:
    """Mean length of the raw crops of every utterance."""
    lengths: NDArray[np.float64] = np.sqrt(np.vecdot(embeddings, embeddings)).mean(axis=1, dtype=np.float64)
    return lengths
