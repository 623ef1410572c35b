"""Whose trials they are: speakers told from a list, or given by a map, as intervals need them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from seedpipe.errors import TrialError, counted
from seedpipe.files import StrPath, lines_of, normal
from seedpipe.scoring.trials.check import joined
from seedpipe.scoring.trials.list import Trials
from seedpipe.scoring.trials.make import read_speakers
from seedpipe.scoring.trials.names import match_names
from seedpipe.scoring.trials.read import list_text

SpeakerMap = Mapping[str, Sequence[str]]
"""Speakers by utterance: one, or several that are heard in one file."""


@dataclass(frozen=True)
class TrialSpeakers:
    """Speakers of the utterances and of the trials of a list.

    Parameters
    ----------
    of_utterance : ndarray of int64, shape (utterances,)
        Of several speakers of a file the one named first; where speakers are not known, every utterance has its own.
    enrol, test : ndarray of int64, shape (trials,)
        The speakers that a trial is about: one that both sides share, where they do.
    told_by : {"list", "map", ""}
        Where they come from; empty where they are not known, and intervals cannot be.
    remarks : tuple of str
        What a reader of the figures should know of that.
    """

    of_utterance: NDArray[np.int64]
    enrol: NDArray[np.int64]
    test: NDArray[np.int64]
    told_by: str = "list"
    remarks: tuple[str, ...] = ()


def read_speaker_map(path: StrPath) -> dict[str, tuple[str, ...]]:
    """Read the speakers of utterances: lines ``utterance speaker``, or a csv with these columns, as a manifest has.

    A file with several speakers stands in a line for each, or in one with all of them.

    Raises
    ------
    TrialError
        The file cannot be read or is empty, or a line names no speaker.
    """
    path = Path(path)
    text = list_text(path)
    if "," in text.partition("\n")[0]:
        frame = read_speakers(path)
        if lacking := [name for name in ("utterance", "speaker") if name not in frame]:
            raise TrialError(f"lacks the column {lacking[0]}", expected="utterance and speaker", file=path)
        lines = lines_of(text, len(frame)).tolist()
        rows = list(zip(lines, frame[["utterance", "speaker"]].to_numpy().tolist(), strict=True))
    else:
        rows = [(row, line.split()) for row, line in enumerate(text.splitlines(), start=1) if line.strip()]
    speakers: dict[str, tuple[str, ...]] = {}
    for row, (name, *known) in rows:
        if not known or not all(known):
            raise TrialError(f"{name} has no speaker", expected="'utterance speaker'", file=path, row=row)
        speakers[normal(name)] = tuple(dict.fromkeys((*speakers.get(normal(name), ()), *map(normal, known))))
    if not speakers:
        raise TrialError("no speakers", expected="lines 'utterance speaker'", file=path)
    return speakers


def tell_speakers(trials: Trials, known: SpeakerMap | None = None) -> TrialSpeakers:
    """Tell whom the trials of a list are about, from a map or from the list itself.

    Without a map, utterances joined by target trials share a speaker. Where non-target trials speak against that, files
    may have several speakers, phrases may decide, or labels may be wrong: then speakers are not known.

    Raises
    ------
    TrialError
        The list is blind or of one class, calls one pair both target and non-target, or has utterances that are not in
        the map.
    """
    trials.expect_labels().expect_agreement()
    if known is not None:
        return _mapped(trials, known)
    speakers, wrong = trials.contradictions()
    problem = joined(trials) if wrong.size else None
    if problem is None and not trials.phrases:
        return TrialSpeakers(speakers, speakers[trials.enrol], speakers[trials.test])
    remark = problem.text if problem else "non-target trials with a wrong phrase are of one speaker"
    remark += "; there are no intervals, which need a speaker map (--speakers)"
    alone = np.arange(len(trials.utterances))
    return TrialSpeakers(alone, trials.enrol, trials.test, "", (remark,))


def _mapped(trials: Trials, known: SpeakerMap) -> TrialSpeakers:
    names = tuple(known)
    match = match_names(trials.utterances, names)
    if match.missing.size:
        missing = [trials.utterances[index] for index in match.missing[:10]]
        raise TrialError(
            f"{counted(match.missing.size, 'utterance', 'is/are', of=len(trials.utterances))} not in the speaker map: "
            + ", ".join(missing),
            expected="a speaker for every utterance and model of the list",
            remedy="add lines 'utterance speaker' to it",
            file=trials.path,
            row=trials.first_row(missing[0]),
        )
    numbers = pd.factorize(np.array([speaker for each in known.values() for speaker in each], dtype=object))[0]
    ends = np.cumsum([len(each) for each in known.values()])
    groups = np.split(numbers, ends[:-1])
    of_file = [groups[row].tolist() for row in match.rows]
    first = np.array([each[0] for each in of_file], dtype=np.int64)
    enrol, test = first[trials.enrol], first[trials.test]
    several = np.array([len(each) > 1 for each in of_file])
    for trial in np.flatnonzero(several[trials.enrol] | several[trials.test]):
        left, right = of_file[trials.enrol[trial]], of_file[trials.test[trial]]
        if shared := [speaker for speaker in left if speaker in right]:
            enrol[trial] = test[trial] = shared[0]
    return TrialSpeakers(first, enrol, test, "map", _disagreements(trials, enrol == test))


def _disagreements(trials: Trials, same: NDArray[np.bool_]) -> tuple[str, ...]:
    """Where the map and the labels are not of one mind."""
    lines = []
    for label, kind, found, reason in (
        (0, "non-target", "one speaker", "as with a wrong phrase"),
        (1, "target", "two speakers", "is a file with several speakers named with all of them?"),
    ):
        wrong = np.flatnonzero((trials.labels == label) & (same != bool(label)))
        if wrong.size:
            rows = ", ".join(map(str, trials.rows[wrong[:10]])) + (", ..." if wrong.size > 10 else "")
            lines.append(
                f"{counted(wrong.size, 'trial', 'is/are', of=len(trials))} {kind}, and of {found} by the speaker map,"
                f" {reason} (rows {rows})"
            )
    return tuple(lines)
