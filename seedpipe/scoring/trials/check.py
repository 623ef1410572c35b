"""Everything that can be said about a trial list before anything is computed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from seedpipe.errors import counted
from seedpipe.files import StrPath
from seedpipe.scoring.trials.known import recognise
from seedpipe.scoring.trials.list import Trials
from seedpipe.scoring.trials.names import Match, match_names
from seedpipe.scoring.trials.read import parse

JOINED = "is/are labelled non-target, but target trials make their utterances one speaker"


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong with a list.

    Parameters
    ----------
    kind : str
        ``missing``, ``contradicting``, ``joined``, ``one class``, ``self-trial``, ``duplicate`` or ``reversed``.
    severity : {"error", "warning"}
        A list with an error cannot be scored; a warning changes what its figures mean.
    count : int
        Trials concerned; for ``missing``, utterances.
    rows : tuple of int
        Lines of the first ten trials, or of the first ten missing utterances' first trials.
    text : str
        The finding as a sentence.
    """

    kind: str
    severity: Literal["error", "warning"]
    count: int
    rows: tuple[int, ...]
    text: str


@dataclass(frozen=True)
class TrialCheck:
    """What :func:`check_trials` found.

    Parameters
    ----------
    path : Path
    trials, utterances, targets, nontargets : int
        ``targets`` and ``nontargets`` are 0 for a blind list.
    blind : bool
        The list has no labels.
    digest : str
        SHA-256 of the trials, whatever the layout of the file.
    known : str
        Which published list it is or has the count of; what follows "the list" in a sentence, may be empty.
    rule : str
        How the names were found in a cache or manifest; empty where none was given.
    findings : tuple of Problem
        Errors first.
    """

    path: Path
    trials: int
    utterances: int
    targets: int
    nontargets: int
    blind: bool
    digest: str
    known: str
    rule: str
    findings: tuple[Problem, ...]

    @property
    def usable(self) -> bool:
        """Whether there is no error."""
        return all(finding.severity != "error" for finding in self.findings)

    def as_dict(self) -> dict[str, Any]:
        """Give plain types for JSON."""
        findings = [vars(finding) | {"rows": list(finding.rows)} for finding in self.findings]
        return vars(self) | {"path": str(self.path), "findings": findings, "usable": self.usable}


def check_trials(path: StrPath, known: Sequence[str] | None = None, where: str = "the cache") -> TrialCheck:
    """Check a trial list.

    Parameters
    ----------
    path : str or path
        The list.
    known : sequence of str, optional
        Utterances that exist, from a cache or a manifest.
    where : str
        What those come from, for the text.

    Returns
    -------
    TrialCheck

    Raises
    ------
    TrialError
        The file cannot be read, or a line has another layout or an unknown label.
    """
    trials = parse(path)
    match = None if known is None else match_names(trials.utterances, known)
    findings = [
        _missing(trials, match, known, where),
        _contradicting(trials),
        _one_class(trials),
        joined(trials),
        *doubts(trials),
    ]
    return TrialCheck(
        path=trials.path,
        trials=len(trials),
        utterances=len(trials.utterances),
        targets=int(np.count_nonzero(trials.labels == 1)),
        nontargets=int(np.count_nonzero(trials.labels == 0)),
        blind=trials.blind,
        digest=trials.digest(),
        known=recognise(trials),
        rule=match.rule if match else "",
        findings=tuple(finding for finding in findings if finding is not None),
    )


def utterances_of(cache: StrPath | None, manifest: StrPath | None) -> tuple[list[str] | None, str]:
    """Utterances of a cache or of a manifest, and what they come from, as :func:`check_trials` takes them."""
    if cache:
        from seedpipe.cache import open_cache

        return open_cache(cache).frame()["utterance"].drop_duplicates().tolist(), f"the cache {cache}"
    if manifest:
        from seedpipe.audio import read_manifest

        return read_manifest(manifest).frame["utterance"].tolist(), f"the manifest {manifest}"
    return None, ""


def joined(trials: Trials) -> Problem | None:
    """Find non-target trials whose utterances chains of target trials join, as where files have several speakers."""
    if trials.blind:
        return None
    wrong = np.setdiff1d(trials.contradictions()[1], trials.opposed())
    text = JOINED + ": files have several speakers, phrases decide, or labels are wrong"
    return _finding("joined", "warning", wrong, trials, text)


def doubts(trials: Trials) -> list[Problem]:
    """Find what changes the meaning of a list's figures: self-trials, repeated and reversed trials."""
    return [finding for finding in (_self_trials(trials), *_repeated(trials)) if finding is not None]


def _missing(trials: Trials, match: Match | None, known: Sequence[str] | None, where: str) -> Problem | None:
    if match is None or not match.missing.size:
        return None
    first_trial = _first_trials(trials)
    names = [trials.utterances[index] for index in match.missing[:10]]
    shown = ", ".join(names) + (", ..." if match.missing.size > 10 else "")
    rows = tuple(int(trials.rows[first_trial[index]]) for index in match.missing[:10])
    text = f"{counted(match.missing.size, 'utterance', 'is/are', of=len(trials.utterances))} not in {where}: {shown}"
    if known:
        text += f"; names there are such as {known[0]}"
    return Problem("missing", "error", int(match.missing.size), rows, text)


def _first_trials(trials: Trials) -> NDArray[np.int64]:
    """First trial of every utterance."""
    mentions = np.stack([trials.enrol, trials.test], axis=1).reshape(-1)
    return np.asarray(np.unique(mentions, return_index=True)[1] // 2, dtype=np.int64)


def _contradicting(trials: Trials) -> Problem | None:
    return None if trials.blind else _finding("contradicting", "error", trials.opposed(), trials, JOINED)


def _one_class(trials: Trials) -> Problem | None:
    if not trials.one_class:
        return None
    text = f"there are {trials.one_class}; an error rate needs both kinds"
    return Problem("one class", "error", len(trials), (), text)


def _self_trials(trials: Trials) -> Problem | None:
    text = "compares/compare an utterance with itself"
    return _finding("self-trial", "warning", np.flatnonzero(trials.enrol == trials.test), trials, text)


def _repeated(trials: Trials) -> list[Problem | None]:
    count = len(trials.utterances)
    forward = pd.Series(trials.enrol * count + trials.test)
    backward = pd.Series(trials.test * count + trials.enrol)
    again = forward.duplicated().to_numpy()
    turned = backward.isin(forward).to_numpy() & (trials.enrol > trials.test) & ~again
    return [
        _finding("duplicate", "warning", np.flatnonzero(again), trials, "repeats/repeat another"),
        _finding(
            "reversed",
            "warning",
            np.flatnonzero(turned),
            trials,
            "repeats/repeat another in the other direction: with symmetric scores and equal conditions their pairs "
            "count twice",
        ),
    ]


def _finding(
    kind: str, severity: Literal["error", "warning"], which: NDArray[np.int64], trials: Trials, text: str
) -> Problem | None:
    if not which.size:
        return None
    rows = tuple(trials.rows[which[:10]].tolist())
    shown = ", ".join(map(str, rows)) + (", ..." if which.size > 10 else "")
    verbs, _, rest = text.partition(" ")
    sentence = f"{counted(which.size, 'trial', verbs, of=len(trials))} {rest}"
    return Problem(kind, severity, int(which.size), rows, f"{sentence} (row{'s' * (which.size > 1)} {shown})")
