"""Score files of any toolkit."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from seedpipe.cache.exchange import read_parquet
from seedpipe.errors import MissingExtraError, TrialError, counted, install
from seedpipe.files import StrPath, lines_of, normal, read_table, read_text, whole_file
from seedpipe.scoring.trials import LABELS, UNKNOWN, Trials, columns

NAMES = ("enrol", "test", "label")
MOST_SCORE = 1e30  # squares of it can be added up
NAMED = ("enrol", "test", "score")
LAYOUTS = (
    "csv, tsv or Parquet with the columns enrol, test and score, or lines 'enrol test score', with a label in any place"
)


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
            The other list has other trials, or other labels where both have any.
        """
        ours, wanted = _pairs(self.trials), _pairs(trials)
        if ours.equals(wanted):
            order = np.arange(len(ours))
        elif len(ours) == len(wanted) and ours.is_unique and wanted.isin(ours).all():
            order = ours.get_indexer(wanted)
        else:
            lacking = wanted[~wanted.isin(ours)]
            again = "" if ours.is_unique else f", {int(ours.duplicated().sum()):,} of them again,"
            lack = f"lacks {len(lacking):,} of the {len(wanted):,} of {trials.path}"
            found = f"has {counted(len(ours), 'trial')}{again} and {lack}"
            raise TrialError(
                found + (f" (the first: {' '.join(map(str, lacking[0]))})" if len(lacking) else ""),
                expected="the same trials by the same names",
                remedy="score both systems on one list",
                file=self.trials.path,
            )
        self._expect_labels(trials, order)
        return self.scores[order]

    def _expect_labels(self, trials: Trials, order: NDArray[np.int64]) -> None:
        labels = self.trials.labels[order]
        wrong = np.flatnonzero((labels != trials.labels) & (labels != UNKNOWN) & (trials.labels != UNKNOWN))
        if wrong.size:
            raise TrialError(
                f"{counted(wrong.size, 'trial', 'is/are')} labelled otherwise than in {trials.path}",
                expected="the labels of one list",
                remedy="correct them, or leave the column out",
                file=self.trials.path,
                row=int(self.trials.rows[order[wrong[0]]]),
            )


def read_scores(path: StrPath, column: str | None = None) -> ScoreFile:
    """Read a score file.

    Parameters
    ----------
    path : str or path
        csv, tsv or Parquet with the columns ``enrol``, ``test``, scores and perhaps ``label``, as
        :func:`write_scores` and ``seedpipe score --out`` make them, or with NIST's names (``modelid``, ``segmentid``,
        ``LLR``); or lines ``enrol test score``, perhaps with a label: ``label enrol test score``, ``enrol test label
        score``, ``enrol test score label``.
    column : str, optional
        The column of scores; ``score`` or ``LLR`` by default.

    Raises
    ------
    TrialError
        The file cannot be read or in more than one way, a column is missing, one that is there decides which audio is
        meant, or a score is no finite number.
    """
    path = Path(path)
    frame, rows, headed = _score_frame(path)
    frame = _renamed(frame, path, rows, column)
    name = column or "score"
    if name in NAMES:
        raise TrialError(f"the column {name} holds no scores", remedy="name the column of the scores", file=path)
    lacking = [wanted for wanted in ("enrol", "test", name) if wanted not in frame]
    if lacking:
        others = ", ".join(str(known) for known in frame if known not in NAMES)
        of_scores = lacking == [name] and bool(others)
        raise TrialError(
            f"lacks the column {', '.join(lacking)}",
            expected=f"one of {others}" if of_scores else "enrol, test and score",
            remedy="name the column of the scores" if of_scores else "rename the columns",
            file=path,
        )
    if frame.empty:
        raise TrialError("holds no scores", expected="one trial or more", file=path)
    scores = _numbers(frame[name])
    if not headed and "label" not in frame and np.isin(scores, (0.0, 1.0)).all():
        raise TrialError(
            "is a trial list: every number is 1 or 0",
            expected="scores",
            remedy="give the scores of the list; of two decisions as scores, write a header, enrol,test,score",
            file=path,
        )
    bad = np.flatnonzero(~(np.abs(scores) <= MOST_SCORE))
    if bad.size:
        raise TrialError(
            f"{counted(bad.size, 'score', 'is/are')} not finite in the column {name}, the first:"
            f" {frame[name].iloc[bad[0]]!r}",
            expected=f"numbers from {-MOST_SCORE:g} to {MOST_SCORE:g}",
            file=path,
            row=int(rows[bad[0]]),
        )
    if (unnamed := np.flatnonzero(frame[["enrol", "test"]].isna().any(axis=1))).size:
        raise TrialError("a name is missing", remedy="complete the row", file=path, row=int(rows[unnamed[0]]))
    enrol, test = (frame[side].astype(str).tolist() for side in ("enrol", "test"))
    return ScoreFile(Trials.of_names(path, enrol, test, _labels(frame, path, rows), rows), scores)


def _numbers(column: pd.Series[Any]) -> NDArray[np.float64]:
    """Numbers of a column to the last digit, NaN where there is none."""
    try:
        return np.asarray(column.to_numpy(dtype=object).astype(np.float64))
    except (TypeError, ValueError, OverflowError):
        return np.asarray(pd.to_numeric(column.astype(str), errors="coerce"), dtype=np.float64)


def _labels(frame: pd.DataFrame, path: Path, rows: NDArray[np.int64]) -> NDArray[np.int8]:
    if "label" not in frame:
        return np.full(len(frame), UNKNOWN, np.int8)
    labels = frame["label"].astype(str).str.lower().map(LABELS)
    if labels.isna().any():
        row = int(labels.isna().to_numpy().argmax())
        raise TrialError(f"the label is {frame['label'].iloc[row]!r}", expected="1 or 0", file=path, row=int(rows[row]))
    return np.asarray(labels, dtype=np.int8)


def read_columns(path: StrPath, names: Sequence[str]) -> dict[str, NDArray[np.float64]]:
    """Read further columns of a score file, such as quality measures.

    Raises
    ------
    TrialError
        As for :func:`read_scores`.
    """
    return {name: read_scores(path, name).scores for name in names}


def write_scores(frame: pd.DataFrame, path: StrPath) -> None:
    """Write scores with full precision, by the extension: ``.csv``, ``.parquet`` or ``.txt`` (``enrol test score``).

    Raises
    ------
    MissingExtraError
        Parquet without pyarrow.
    TrialError
        Another extension; or lines ``enrol test score`` of several columns of scores.
    """
    path = Path(path)
    if path.suffix not in (".csv", ".parquet", ".txt"):
        raise TrialError(
            f"has the extension {path.suffix!r}", expected=".csv, .parquet or .txt", remedy="rename it", file=path
        )
    if path.suffix == ".txt" and "score" not in frame:
        raise TrialError(
            "lines 'enrol test score' hold one score, not those of several systems",
            remedy="write .csv or .parquet",
            file=path,
        )
    with whole_file(path) as partial:
        if path.suffix == ".parquet":
            try:
                frame.to_parquet(partial, index=False, write_page_checksum=True)
            except ImportError as error:
                raise MissingExtraError("Parquet needs pyarrow", remedy=install("parquet")) from error
        elif path.suffix == ".txt":
            frame[["enrol", "test", "score"]].to_csv(partial, sep=" ", index=False, header=False, lineterminator="\n")
        else:
            frame.to_csv(partial, index=False, lineterminator="\n")


def _score_frame(path: Path) -> tuple[pd.DataFrame, NDArray[np.int64], bool]:
    """Read the table, the line of each of its trials, and whether columns are named."""
    try:
        if path.suffix == ".parquet":
            frame = _named_once(read_parquet(path, expected="a score file").to_pandas(ignore_metadata=True))
            return frame, np.arange(1, len(frame) + 1), True
        text = read_text(path, stream=True)
        first = next((line for line in io.StringIO(text) if line.strip()), "")
        mark = next((mark for mark in (",", "\t") if mark in first), None)
        if columns.is_header(first.split(mark)) or (mark and "enrol" in first):
            frame = _read_text(text, mark or r"\s+", None)
            return frame, lines_of(text, len(frame)), True
        width = len(first.split())
        told = width in (3, 4)
        frame = _read_text(text, r"\s+", [f"column {number + 1}" for number in range(width)] if told else list(NAMED))
        rows = lines_of(text, len(frame), headed=False)
        return _told(path, frame, rows) if told else frame, rows, False
    except (OSError, ValueError) as error:
        reason = str(error).partition("\n")[0]
        raise TrialError(f"cannot be read ({reason})", expected=LAYOUTS, file=path) from error


def _told(path: Path, frame: pd.DataFrame, rows: NDArray[np.int64]) -> pd.DataFrame:
    """Name the columns of lines without a header."""
    words = [frame[name].tolist() for name in frame]
    reading = columns.of_words(path, words, rows, label=len(words) == 4, score=True)
    if reading is None and len(words) == 3:
        reading = columns.Reading(0, 1, None, 2)  # whose scores are no numbers, which is said of the first
    if reading is None:
        raise TrialError(
            "4 columns, and none of labels beside one of scores",
            expected=f"{LAYOUTS}; {columns.LABELS_IN_WORDS}",
            file=path,
            row=1,
        )
    names = {f"column {number + 1}": kind for kind, number in vars(reading).items() if number is not None}
    return frame.rename(columns=names)


def _renamed(frame: pd.DataFrame, path: Path, rows: NDArray[np.int64], column: str | None) -> pd.DataFrame:
    """Give the columns our names; the one of the scores keeps its own where it is asked for by it."""
    header = [str(name) for name in frame]
    if not columns.is_header(header):
        return frame
    wanted = [name for name in header if name != column and name not in (*NAMES, "score")]
    theirs = {columns.plain(name): name for name in wanted}
    names = {}
    for kind, known in columns.HEADERS.items():
        found = [theirs[name] for name in theirs if name in known]
        if kind in header or not found or (kind == "score" and column):
            continue
        if len(found) > 1:
            raise TrialError(f"the header names the {kind} column twice", remedy="rename one", file=path, row=1)
        names[found[0]] = kind
    for name in set(header) - names.keys():
        if columns.DECIDING.fullmatch(name):
            columns.expect_one_value(path, name, frame[name].astype(str).tolist(), rows)
    return frame.rename(columns=names)


def _named_once(frame: pd.DataFrame) -> pd.DataFrame:
    if not frame.columns.is_unique:
        raise ValueError(f"the column {frame.columns[frame.columns.duplicated()][0]} stands twice")
    return frame


def _read_text(text: str, mark: str, names: list[str] | None) -> pd.DataFrame:
    frame = read_table(text, mark, names=names, dtype=str, keep_default_na=False, skipinitialspace=True)
    in_words = "enrol, test and score" if names is None or len(names) == 3 else "the first line"
    if not isinstance(frame.index, pd.RangeIndex):  # pandas takes what is too much for row names
        raise ValueError(f"rows have more columns than the header, or than {in_words}")
    if names and frame[names[-1]].isin(["", np.nan]).any():
        raise ValueError(f"rows have fewer columns than {in_words}")
    return frame


def _pairs(trials: Trials) -> pd.MultiIndex:
    names = np.array([normal(name) for name in trials.utterances], dtype=object)
    return pd.MultiIndex.from_arrays([names[trials.enrol], names[trials.test]])
