"""Scoring without a cache or a model: embedding files and score files of any toolkit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from seedpipe import metrics
from seedpipe.calibration import pair_quality
from seedpipe.errors import MissingExtraError, TrialError
from seedpipe.exchange import read_parquet, read_vectors
from seedpipe.files import whole_file
from seedpipe.scoring._crops import CropEmbeddings
from seedpipe.scoring._estimates import difference, estimate, figures_of
from seedpipe.scoring._norm import Norm, normalized_scores
from seedpipe.scoring._pairs import Floats, Method, pair_scores
from seedpipe.trials import LABELS, UNKNOWN, Trials, match_names

__all__ = [
    "ScoreFile",
    "compare_scores",
    "figures",
    "read_columns",
    "read_embeddings",
    "read_scores",
    "score_embeddings",
    "write_scores",
]

PRIORS = (0.05, 0.01)
NAMES = ("enrol", "test", "label")


@dataclass(frozen=True)
class ScoreFile:
    """Scores of the trials of one list.

    Parameters
    ----------
    trials : Trials
        Labels are -1 where the file has none.
    scores : ndarray of float64, shape (N,)
    """

    trials: Trials
    scores: NDArray[np.float64]

    def in_order_of(self, trials: Trials) -> NDArray[np.float64]:
        """Scores in the order of another list of the same trials.

        Raises
        ------
        TrialError
            The other list has other trials.
        """
        ours, wanted = _pairs(self.trials), _pairs(trials)
        if ours.equals(wanted):
            return self.scores
        if len(ours) != len(wanted) or not ours.is_unique or not wanted.isin(ours).all():
            lacking = int((~wanted.isin(ours)).sum())
            raise TrialError(
                f"has {len(ours):,} trials, and lacks {lacking:,} of the {len(wanted):,} of {trials.path}",
                expected="the same trials",
                remedy="score both systems on one list",
                file=self.trials.path,
            )
        return self.scores[ours.get_indexer(wanted)]


def read_embeddings(path: Path, ids: Path | None = None) -> CropEmbeddings:
    """Read the embeddings of a file, for scoring.

    Parameters
    ----------
    path : Path
        A format of :func:`seedpipe.exchange.read_vectors`. Several embeddings of one name are its crops.
    ids : Path, optional
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
    vectors = read_vectors(path, ids)
    codes, utterances = pd.factorize(np.array([name for name, _ in vectors.keys], dtype=object))
    counts = np.bincount(codes)
    few, many = int(counts.argmin()), int(counts.argmax())
    if counts[few] != counts[many]:
        raise TrialError(
            f"{utterances[few]} has {counts[few]} embeddings and {utterances[many]} {counts[many]}",
            expected="as many for every utterance",
            remedy="give one mean embedding for each",
            file=path,
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
) -> tuple[pd.DataFrame, str]:
    """Score a list on embeddings of any origin.

    Parameters
    ----------
    enrol, test : CropEmbeddings
        The two sides; they may be one object. The first condition counts.
    trials : Trials
        May be blind.
    method : {"cosine", "euclidean"}
    norm : {"none", "z", "t", "s", "as"}
    cohort : ndarray of float32, shape (K, D), optional
        Needed for every ``norm`` but ``none``.
    top : int
        For ``as``.

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
    if norm == "none":
        scores = pair_scores(left, right, enrol_rows, test_rows, method)
    else:
        strangers = np.empty((0, left.shape[-1]), np.float32) if cohort is None else cohort
        scores = normalized_scores(left, right, enrol_rows, test_rows, method, norm, strangers, top)
    names = np.array(trials.utterances, dtype=object)
    columns: dict[str, Any] = {} if trials.blind else {"label": trials.labels}
    columns |= {"enrol": names[trials.enrol], "test": names[trials.test], "score": scores}
    both = np.concatenate([_magnitudes(left), _magnitudes(right)])
    columns |= pair_quality({"magnitude": both}, enrol_rows, test_rows + len(left))
    return pd.DataFrame(columns), rule if rule == test_rule else f"{rule}; on the test side: {test_rule}"


def figures(
    trials: Trials,
    scores: NDArray[np.float64],
    replicates: int = 1000,
    seed: int = 0,
    *,
    p_targets: Sequence[float] = PRIORS,
    calibrated: bool = False,
) -> dict[str, Any]:
    """EER and minDCF, with 95 % intervals over speakers where the list has enough of them.

    Parameters
    ----------
    trials : Trials
    scores : ndarray of float64, shape (N,)
    replicates : int
        Resamplings of the speakers.
    seed : int
        Of the resampling.
    p_targets : sequence of float
        Priors of the detection costs.
    calibrated : bool
        Whether scores are log likelihood ratios: then actDCF, Cllr and minCllr are given too.

    Raises
    ------
    TrialError
        The list is blind, of one class, or contradicts itself.
    MetricError
        The scores allow no error rate, or look negated.
    """
    bootstrap = _bootstrap(trials, replicates, seed)
    metrics.check_direction(scores, trials.labels)
    wanted = figures_of(p_targets, calibrated=calibrated)
    return {figure.name: estimate(bootstrap, scores, trials.labels, figure) for figure in wanted}


def compare_scores(
    a: ScoreFile, b: ScoreFile, labelled: Trials | None = None, replicates: int = 1000, seed: int = 0
) -> dict[str, Any]:
    """Compare two systems on the same trials.

    Parameters
    ----------
    a, b : ScoreFile
        The order of the trials may differ.
    labelled : Trials, optional
        The labels, where neither file has them.
    replicates : int
        Resamplings of the speakers.
    seed : int
        Of the resampling.

    Returns
    -------
    dict
        ``trials``, ``targets``, ``speakers``, and ``figures``: for ``eer``, ``min_dcf_0.05`` and ``min_dcf_0.01`` both
        systems with intervals, the difference b minus a with interval and p-value, and the verdict in words.

    Raises
    ------
    TrialError
        The files have other trials, there are no labels, or they contradict each other.
    MetricError
        Scores allow no error rate, or look negated.
    """
    trials = labelled or (b.trials if a.trials.blind else a.trials)
    bootstrap = _bootstrap(trials, replicates, seed)
    scores = a.in_order_of(trials), b.in_order_of(trials)
    for system in scores:
        metrics.check_direction(system, trials.labels)
    found = {}
    for figure in figures_of(PRIORS):
        of_a, of_b = (estimate(bootstrap, system, trials.labels, figure) for system in scores)
        change = difference(bootstrap, *scores, trials.labels, figure)
        found[figure.name] = {"a": of_a, "b": of_b, "difference": change, "verdict": _verdict(change)}
    return {
        "trials": len(trials),
        "targets": int(trials.labels.sum()),
        "speakers": bootstrap.speakers,
        "figures": found,
    }


def read_scores(path: Path, column: str | None = None) -> ScoreFile:
    """Read a score file.

    Parameters
    ----------
    path : Path
        csv, tsv or Parquet with the columns ``enrol``, ``test``, scores and perhaps ``label``, as
        :func:`write_scores` and ``seedpipe score --out`` make them; or lines ``enrol test score``.
    column : str, optional
        The column of scores; ``score`` by default.

    Raises
    ------
    TrialError
        The file cannot be read, a column is missing, or a score is no finite number.
    """
    frame, first_row = _score_frame(path)
    name = column or "score"
    lacking = [wanted for wanted in ("enrol", "test", name) if wanted not in frame]
    if lacking:
        others = ", ".join(str(known) for known in frame if known not in NAMES)
        raise TrialError(
            f"lacks the column {', '.join(lacking)}",
            expected=f"one of {others}" if others else "enrol, test and score",
            remedy="name the column of the scores",
            file=path,
        )
    if frame.empty:
        raise TrialError("holds no scores", expected="one trial or more", file=path)
    scores = _numbers(frame[name])
    bad = np.flatnonzero(~np.isfinite(scores))
    if bad.size:
        raise TrialError(
            f"{bad.size:,} scores of the column {name} are no finite numbers, the first is {frame[name].iloc[bad[0]]}",
            expected="numbers",
            file=path,
            row=int(bad[0]) + first_row,
        )
    codes, utterances = pd.factorize(pd.concat([frame["enrol"], frame["test"]]).astype(str).to_numpy(dtype=object))
    enrol, test = codes.astype(np.int64).reshape(2, -1)
    rows = np.arange(first_row, len(frame) + first_row)
    return ScoreFile(Trials(path, tuple(utterances), enrol, test, _labels(frame, path, first_row), rows), scores)


def _numbers(column: pd.Series[Any]) -> NDArray[np.float64]:
    """Numbers of a column to the last digit, NaN where there is none."""
    try:
        return np.asarray(column.to_numpy(dtype=object).astype(np.float64))
    except (TypeError, ValueError, OverflowError):
        return np.asarray(pd.to_numeric(column.astype(str), errors="coerce"), dtype=np.float64)


def _labels(frame: pd.DataFrame, path: Path, first_row: int) -> NDArray[np.int8]:
    if "label" not in frame:
        return np.full(len(frame), UNKNOWN, np.int8)
    labels = frame["label"].astype(str).str.lower().map(LABELS)
    if labels.isna().any():
        row = int(labels.isna().to_numpy().argmax())
        raise TrialError(
            f"the label is {frame['label'].iloc[row]!r}", expected="1 or 0", file=path, row=row + first_row
        )
    return np.asarray(labels, dtype=np.int8)


def read_columns(path: Path, names: Sequence[str]) -> dict[str, NDArray[np.float64]]:
    """Read further columns of a score file, such as quality measures.

    Raises
    ------
    TrialError
        As for :func:`read_scores`.
    """
    return {name: read_scores(path, name).scores for name in names}


def write_scores(frame: pd.DataFrame, path: Path) -> None:
    """Write scores with full precision, by the extension: ``.parquet``, ``.txt`` (``enrol test score``), else csv.

    Raises
    ------
    MissingExtraError
        Parquet without pyarrow.
    TrialError
        Lines ``enrol test score`` of several columns of scores.
    """
    if path.suffix == ".txt" and "score" not in frame:
        raise TrialError(
            "lines 'enrol test score' hold one score, not those of several systems",
            remedy="write .csv or .parquet",
            file=path,
        )
    with whole_file(path) as partial:
        if path.suffix == ".parquet":
            try:
                frame.to_parquet(partial, index=False)
            except ImportError as error:
                raise MissingExtraError("Parquet needs pyarrow", remedy='pip install "seedpipe[parquet]"') from error
        elif path.suffix == ".txt":
            frame[["enrol", "test", "score"]].to_csv(partial, sep=" ", index=False, header=False, lineterminator="\n")
        else:
            frame.to_csv(partial, index=False, lineterminator="\n")


def _score_frame(path: Path) -> tuple[pd.DataFrame, int]:
    """Read the table and the line of its first trial."""
    try:
        if path.suffix == ".parquet":
            return _named_once(read_parquet(path, expected="a score file").to_pandas(ignore_metadata=True)), 1
        with path.open(encoding="utf-8") as file:
            first = file.readline()
        mark = next((mark for mark in (",", "\t") if mark in first), None)
        if mark and "enrol" in first:
            return _read_text(path, mark, None), 2
        return _read_text(path, r"\s+", ["enrol", "test", "score"]), 1
    except (OSError, ValueError) as error:
        reason = str(error).partition("\n")[0]
        raise TrialError(f"cannot be read ({reason})", expected="a score file", file=path) from error


def _named_once(frame: pd.DataFrame) -> pd.DataFrame:
    if not frame.columns.is_unique:
        raise ValueError(f"the column {frame.columns[frame.columns.duplicated()][0]} stands twice")
    return frame


def _read_text(path: Path, mark: str, names: list[str] | None) -> pd.DataFrame:
    frame = pd.read_csv(path, sep=mark, names=names, dtype=str, keep_default_na=False)
    if not isinstance(frame.index, pd.RangeIndex):  # pandas takes what is too much for row names
        raise ValueError("rows have more columns than the header, or than enrol, test and score")
    return frame


def _pairs(trials: Trials) -> pd.MultiIndex:
    names = np.array(trials.utterances, dtype=object)
    return pd.MultiIndex.from_arrays([names[trials.enrol], names[trials.test]])


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


def _bootstrap(trials: Trials, replicates: int, seed: int) -> metrics.SpeakerBootstrap:
    speakers = trials.expect_labels().speakers()
    return metrics.SpeakerBootstrap(speakers[trials.enrol], speakers[trials.test], replicates, seed)


def _verdict(change: Mapping[str, float]) -> str:
    if "low" not in change:
        return "not tested: too few speakers"
    if change["low"] <= 0.0 <= change["high"]:
        return "no measurable difference"
    return "b has fewer errors" if change["difference"] < 0.0 else "b has more errors"
