"""Trial lists: which pairs of utterances are compared, and which of them share their speaker.

Two layouts are read, told apart by the first line: ``label enrol test`` and ``enrol test label``. A label is 1 or
``target`` for the same speaker, 0 or ``nontarget`` for two speakers.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from seedpipe.errors import TrialError

__all__ = ["Trials", "read_trials"]

LABELS = {"1": 1, "target": 1, "0": 0, "nontarget": 0}


@dataclass(frozen=True)
class Trials:
    """A checked trial list.

    Parameters
    ----------
    path : Path
        The file it was read from.
    utterances : tuple of str
        Every utterance named, in the order of first mention.
    enrol, test : ndarray of int64, shape (trials,)
        Indices into ``utterances``.
    labels : ndarray of int8, shape (trials,)
        1 for the same speaker, 0 for two speakers.
    rows : ndarray of int64, shape (trials,)
        Line of every trial in the file, counted from 1.
    """

    path: Path
    utterances: tuple[str, ...]
    enrol: NDArray[np.int64]
    test: NDArray[np.int64]
    labels: NDArray[np.int8]
    rows: NDArray[np.int64]

    def __len__(self) -> int:
        return self.labels.size

    def first_row(self, utterance: str) -> int:
        """Line of the first trial that names an utterance."""
        index = self.utterances.index(utterance)
        return int(self.rows[(self.enrol == index) | (self.test == index)][0])

    def speakers(self) -> NDArray[np.int64]:
        """Tell the utterances' speakers from the target trials.

        Utterances joined by target trials share a speaker; one without a target trial is a speaker of its own.

        Returns
        -------
        ndarray of int64, shape (utterances,)
            A speaker number for every utterance.

        Raises
        ------
        TrialError
            A trial is labelled as two speakers although other trials say that its utterances share one.
        """
        speaker = _components(len(self.utterances), self.enrol[self.labels == 1], self.test[self.labels == 1])
        wrong = np.flatnonzero((self.labels == 0) & (speaker[self.enrol] == speaker[self.test]))
        if wrong.size:
            pair = self.utterances[self.enrol[wrong[0]]], self.utterances[self.test[wrong[0]]]
            raise TrialError(
                f"{pair[0]} and {pair[1]} are labelled as two speakers, but target trials join them"
                f" ({wrong.size} such trials)",
                expected="labels that agree with each other",
                remedy="correct the list",
                file=self.path,
                row=int(self.rows[wrong[0]]),
            )
        return speaker


def read_trials(path: Path | str) -> Trials:
    """Read and check a trial list.

    Raises
    ------
    TrialError
        The file cannot be read, has no trials, a line of another layout, an unknown label or a single class.
    """
    path = Path(path)
    index: dict[str, int] = {}
    enrol, test, labels, rows = [], [], [], []
    label_column: int | None = None
    for row, line in enumerate(_lines(path), start=1):
        columns = line.split()
        if not columns:
            continue
        if label_column is None:
            label_column = _label_column(columns, path, row)
        if len(columns) != 3:
            raise TrialError(f"{len(columns)} columns", expected="3 as in the lines before", file=path, row=row)
        labels.append(_label(columns.pop(label_column), path, row))
        enrol.append(index.setdefault(columns[0], len(index)))
        test.append(index.setdefault(columns[1], len(index)))
        rows.append(row)
    if len(set(labels)) < 2:
        found = "no trials" if not labels else f"{len(labels)} trials, all labelled {labels[0]}"
        raise TrialError(found, expected="target and non-target trials", remedy="error rates need both", file=path)
    return Trials(path, tuple(index), _ints(enrol), _ints(test), np.array(labels, np.int8), _ints(rows))


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise TrialError(
            f"cannot be read ({error})",
            expected="a trial list",
            remedy="check manifest.root and manifest.evaluations",
            file=path,
        ) from error


def _label_column(columns: list[str], path: Path, row: int) -> int:
    if len(columns) == 3 and columns[0] not in LABELS and columns[2] in LABELS:
        return 2
    if len(columns) == 3:
        return 0
    raise TrialError(
        f"{len(columns)} columns",
        expected="'label enrol test' or 'enrol test label'",
        remedy="a list without labels has no error rate"
        if len(columns) == 2
        else "names with spaces cannot stand in a list",
        file=path,
        row=row,
    )


def _label(text: str, path: Path, row: int) -> int:
    if text not in LABELS:
        raise TrialError(
            f"the label is {text!r}",
            expected="1 or target for the same speaker, 0 or nontarget for two",
            remedy="correct the line",
            file=path,
            row=row,
        )
    return LABELS[text]


def _ints(values: list[int]) -> NDArray[np.int64]:
    return np.array(values, dtype=np.int64)


def _components(count: int, left: NDArray[np.int64], right: NDArray[np.int64]) -> NDArray[np.int64]:
    """Number the connected components of a graph by its smallest node (union-find)."""
    parent = list(range(count))

    def root(node: int) -> int:
        while parent[node] != node:
            parent[node] = parent[parent[node]]
            node = parent[node]
        return node

    for a, b in zip(left.tolist(), right.tolist(), strict=True):
        low, high = sorted((root(a), root(b)))
        parent[high] = low
    return np.unique([root(node) for node in range(count)], return_inverse=True)[1].astype(np.int64)
