"""By which rule the names in a list are found among the utterances of a cache or manifest."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from seedpipe.errors import TrialError, counted
from seedpipe.files import normal, two_forms
from seedpipe.scoring.trials.list import Trials

AS_THEY_ARE = "names as they are"
MOST_PARTS = 6


@dataclass(frozen=True)
class Match:
    """Where the utterances of a list are.

    Parameters
    ----------
    rule : str
        How names are compared, in words.
    names : sequence of str
        The names looked for.
    rows : ndarray of int64, shape (names,)
        Position of each among the known names, -1 where there is none.
    """

    rule: str
    names: Sequence[str]
    rows: NDArray[np.int64]

    @property
    def missing(self) -> NDArray[np.int64]:
        """Positions of the names that are not found."""
        return np.flatnonzero(self.rows < 0)

    def expect_all(self, trials: Trials, known: Sequence[str], where: str = "the cache") -> Match:
        """Give the match itself where nothing is missing.

        Raises
        ------
        TrialError
            Utterances are missing: the count, the first ten, and the line that names the first.
        """
        if not self.missing.size:
            return self
        names = [self.names[index] for index in self.missing[:10]]
        shown = ", ".join(names) + (", ..." if self.missing.size > 10 else "")
        raise TrialError(
            f"{counted(self.missing.size, 'utterance', 'is/are', of=len(self.rows))} not in {where}: {shown}",
            expected=f"names such as {known[0]}" if known else "",
            remedy="correct the list, or write the manifest again and extract",
            file=trials.path,
            row=trials.first_row(names[0]),
        )


def match_names(names: Sequence[str], known: Sequence[str]) -> Match:
    """Find names of a list among known utterances, by the first rule that finds all of them.

    Rules: the names as they are; in one normal form of Unicode, as all further ones are; without extension; the last
    6, 5, ... 1 parts of the paths on both sides, with and without extension; the last 3 or 2 joined by hyphens. A rule
    that makes two names one is passed over, so a name is never found twice, but for one that stands in two forms of
    Unicode. Where no rule finds everything, the first of those that find most is taken, so that what is missing is
    what really is.

    Parameters
    ----------
    names, known : sequence of str

    Returns
    -------
    Match

    Raises
    ------
    TrialError
        A known utterance is there in two forms of Unicode.

    Examples
    --------
    >>> match_names(["/data/id1/a.wav"], ["id1/b", "id1/a"]).rule
    'the last 2 parts of the paths, without extension'
    """
    if twice := two_forms(known):
        raise TrialError(twice, expected="each utterance once", remedy="rename one, or leave it out")
    best = Match(AS_THEY_ARE, names, np.full(len(names), -1, dtype=np.int64))
    for text, rule in _rules():
        rows = _find(names, known, rule)
        if rows is None:
            continue
        match = Match(text, names, rows)
        if match.missing.size < best.missing.size:
            best = match
        if not best.missing.size:
            break
    return best


def _rules() -> list[tuple[str, Callable[[str], str]]]:
    rules: list[tuple[str, Callable[[str], str]]] = [
        (AS_THEY_ARE, str),
        ("names in one normal form of Unicode (NFC)", normal),
        ("names without extension", lambda name: _stem(normal(name))),
    ]
    for count in range(MOST_PARTS, 0, -1):
        parts = f"the last {counted(count, 'part')} of the paths" if count > 1 else "the last part of the paths"
        rules.append((parts, lambda name, count=count: _tail(normal(name), count)))  # type: ignore[misc]
        rules.append(
            (parts + ", without extension", lambda name, count=count: _stem(_tail(normal(name), count)))  # type: ignore[misc]
        )
    for count in (3, 2):  # speaker-recording-utterance, as Kaldi's recipes make names of paths
        joined = f"the last {counted(count, 'part')} of the paths joined by hyphens, without extension"
        rules.append((joined, lambda name, count=count: _stem(_tail(normal(name), count)).replace("/", "-")))  # type: ignore[misc]
    return rules


def _find(names: Sequence[str], known: Sequence[str], key: Callable[[str], str]) -> NDArray[np.int64] | None:
    """Positions of the names under a rule; None where the rule makes two different names one."""
    index = {key(name): row for row, name in enumerate(known)}
    wanted = [key(name) for name in names]
    if len(index) < len(known) or (len(set(wanted)) < len(wanted) and len(set(wanted)) < len(set(map(normal, names)))):
        return None
    return np.array([index.get(name, -1) for name in wanted], dtype=np.int64)


def _tail(name: str, count: int) -> str:
    return "/".join(name.replace("\\", "/").split("/")[-count:])


def _stem(name: str) -> str:
    """Leave the extension out; what stands behind a point in a folder or is a number is none."""
    stem, _, suffix = name.rpartition(".")
    return stem if stem and suffix.isalnum() and not suffix.isdigit() else name
