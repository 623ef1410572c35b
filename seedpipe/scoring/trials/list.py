"""The trial list itself."""

from __future__ import annotations

import hashlib
import itertools
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from seedpipe.errors import TrialError, counted
from seedpipe.files import normal

UNKNOWN = -1
"""Label of every trial of a blind list."""


@dataclass(frozen=True)
class Trials:
    """A trial list.

    Parameters
    ----------
    path : Path
        The file it was read from.
    utterances : tuple of str
        Every utterance named, in the order of first mention.
    enrol, test : ndarray of int64, shape (trials,)
        Indices into ``utterances``.
    labels : ndarray of int8, shape (trials,)
        1 for the same speaker, 0 for two speakers, -1 throughout a blind list.
    rows : ndarray of int64, shape (trials,)
        Line of every trial in the file, counted from 1.
    phrases : bool
        Whether labels tell wrong phrases from other speakers, so that a non-target trial may be of one speaker.
    """

    path: Path
    utterances: tuple[str, ...]
    enrol: NDArray[np.int64]
    test: NDArray[np.int64]
    labels: NDArray[np.int8]
    rows: NDArray[np.int64]
    phrases: bool = False

    @classmethod
    def of_names(
        cls,
        path: Path,
        enrol: Sequence[str],
        test: Sequence[str],
        labels: NDArray[np.int8],
        rows: NDArray[np.int64],
    ) -> Trials:
        """Make a list of the names on both sides.

        Utterances are numbered in the order of first mention, trial by trial, wherever the names come from: intervals
        depend on it in their last digits, because speakers are drawn by number. A name in several forms of Unicode is
        one utterance, called as it is first.

        Raises
        ------
        TrialError
            A name holds NUL.
        """
        spelt: defaultdict[str, int] = defaultdict(lambda: len(spelt))
        both = itertools.chain.from_iterable(zip(enrol, test, strict=True))
        sides = np.fromiter(map(spelt.__getitem__, both), np.int64, 2 * len(enrol)).reshape(-1, 2).T.copy()
        for name in (name for name in spelt if "\0" in name):  # numpy drops one at the end
            row = int(rows[(sides == spelt[name]).any(axis=0).argmax()])
            raise TrialError("a name holds NUL", remedy="rename it, or save a list in UTF-8", file=path, row=row)
        names = tuple(spelt)
        if not all(map(str.isascii, names)):
            one = pd.factorize(np.array([normal(name) for name in names], dtype=object))[0]
            sides, names = one[sides], tuple(names[first] for first in np.unique(one, return_index=True)[1])
        return cls(path, names, sides[0], sides[1], labels, rows)

    def __len__(self) -> int:
        return self.labels.size

    @property
    def blind(self) -> bool:
        """Whether the list has no labels."""
        return bool((self.labels == UNKNOWN).any())

    @property
    def one_class(self) -> str:
        """Which trials alone there are, in words; empty where both kinds are, or the list is blind."""
        kinds = np.unique(self.labels).tolist()
        return {(): "no trials", (0,): "only non-target trials", (1,): "only target trials"}.get(tuple(kinds), "")

    def expect_labels(self) -> Trials:
        """Give the list itself where it has labels of both kinds.

        Raises
        ------
        TrialError
            The list is blind, has no trials or only one kind.
        """
        if self.blind:
            raise TrialError(
                "the list has no labels",
                expected="1 or target, 0 or nontarget for every trial",
                remedy="a list without labels has scores but no error rate",
                file=self.path,
            )
        if self.one_class:
            raise TrialError(
                self.one_class, expected="target and non-target trials", remedy="error rates need both", file=self.path
            )
        return self

    def opposed(self) -> NDArray[np.int64]:
        """Find the non-target trials that no reading allows: of a pair that is a target, too, or of one utterance."""
        count = len(self.utterances)
        pair = np.minimum(self.enrol, self.test) * count + np.maximum(self.enrol, self.test)
        both = np.isin(pair, pair[self.labels == 1]) | (self.enrol == self.test)
        return np.flatnonzero((self.labels == 0) & both)

    def expect_agreement(self) -> Trials:
        """Give the list itself where no pair is both target and non-target.

        Raises
        ------
        TrialError
            One is, or an utterance is no target of itself.
        """
        if (wrong := self.opposed()).size:
            raise self._contradiction(wrong)
        return self

    def first_row(self, utterance: str) -> int:
        """Line of the first trial that names an utterance."""
        index = self.utterances.index(utterance)
        return int(self.rows[(self.enrol == index) | (self.test == index)][0])

    def lines(self, names: Sequence[str]) -> bytes:
        """Write the trials as lines ``label enrol test``.

        Parameters
        ----------
        names : sequence of str
            What to call the utterances, in their order.
        """
        column = np.array(names, dtype=object)
        rows = zip(self.labels.tolist(), column[self.enrol].tolist(), column[self.test].tolist(), strict=True)
        return "".join([f"{label} {enrol} {test}\n" for label, enrol, test in rows]).encode()

    def digest(self) -> str:
        """SHA-256 of the trials as lines ``label enrol test``, whatever the layout and the form of Unicode."""
        return hashlib.sha256(self.lines([normal(name) for name in self.utterances])).hexdigest()

    def pairs_digest(self) -> str:
        """SHA-256 of the pairs alone: the same for a list in another order, with sides changed, or without labels."""
        names = [normal(name) for name in self.utterances]
        pairs = (sorted((names[enrol], names[test])) for enrol, test in zip(self.enrol, self.test, strict=True))
        return hashlib.sha256("".join(sorted(f"{one}\t{other}\n" for one, other in pairs)).encode()).hexdigest()

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
            The list is blind, or a trial is labelled as two speakers although other trials say that its utterances
            share one.
        """
        if self.blind:
            self.expect_labels()
        speaker, wrong = self.contradictions()
        if wrong.size:
            raise self._contradiction(wrong)
        return speaker

    def _contradiction(self, wrong: NDArray[np.int64]) -> TrialError:
        pair = self.utterances[self.enrol[wrong[0]]], self.utterances[self.test[wrong[0]]]
        return TrialError(
            f"{pair[0]} and {pair[1]} are labelled as two speakers, but target trials join them"
            f" ({counted(wrong.size, 'such trial')})",
            expected="labels that agree with each other",
            remedy="correct the list",
            file=self.path,
            row=int(self.rows[wrong[0]]),
        )

    def contradictions(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Find the non-target trials whose utterances are joined by target trials.

        Returns
        -------
        speaker : ndarray of int64, shape (utterances,)
            As :meth:`speakers` gives.
        wrong : ndarray of int64, shape (m,)
            The trials, as positions in the list.
        """
        target = self.labels == 1
        speaker = _components(len(self.utterances), self.enrol[target], self.test[target])
        wrong = np.flatnonzero((self.labels == 0) & (speaker[self.enrol] == speaker[self.test]))
        return speaker, wrong


def _components(count: int, left: NDArray[np.int64], right: NDArray[np.int64]) -> NDArray[np.int64]:
    """Number the connected components of a graph in the order of their smallest nodes.

    Every round hangs the root of each edge's higher end below the lower root, then shortens all paths to one step.
    """
    root = np.arange(count)
    while True:
        a, b = root[left], root[right]
        if np.array_equal(a, b):
            return np.unique(root, return_inverse=True)[1].astype(np.int64)
        np.minimum.at(root, np.maximum(a, b), np.minimum(a, b))
        while not np.array_equal(root, shorter := root[root]):
            root = shorter
