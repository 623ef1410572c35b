"""Trial lists: which pairs of utterances are compared, and which of them share their speaker.

Conventions
-----------
- A trial names an enrolment and a test utterance. Its label is 1 for the same speaker (target), 0 for two speakers
  (non-target), and -1 throughout a *blind* list, which has no labels: it can be scored, and has no error rate.
- Rows are lines of the file, counted from 1 as editors do.
- A list is text, ``.gz`` or not, in one of these layouts, the same in every line:

  ======================== =========================================================================
  ``label enrol test``     label 1/0, target/nontarget (or impostor), true/false, tgt/imp
  ``enrol test label``     the same, where the last column holds labels and the first does not
  ``enrol test``           blind
  a header                 columns by name, as in ``label,enrol,test`` or ``modelid segmentid side
                           targettype``; comma, tab or blanks between; others are ignored
  ======================== =========================================================================

- Where both outer columns hold labels, words come before 1 and 0, and what has both kinds of trials before what has
  one; if that does not decide, the list is refused. A column that decides which audio is meant (``side``,
  ``channel``, ``start``) is refused by name where it has several values.

Contents
--------
- :func:`read_trials`: read a list, refuse what cannot be scored.
- :func:`check_trials`: everything that can be said about a list before anything is computed.
- :func:`recognise`: which published list it is, by count and digest.
- :func:`match_names`: the rule by which names in a list are found in a cache or manifest.
- :func:`read_models`: enrolment from several utterances.
- :func:`tell_speakers` of :func:`read_speaker_map` or of the list itself: whose trials they are.
- :func:`make_trials` of :func:`read_speakers`, :func:`make_vcmix`, :func:`write_trials`: new lists.
"""

from __future__ import annotations

from seedpipe.scoring.trials.check import Problem, TrialCheck, check_trials, doubts, utterances_of
from seedpipe.scoring.trials.columns import LABELS
from seedpipe.scoring.trials.known import KNOWN, OF_THE_PAPER, KnownList, recognise
from seedpipe.scoring.trials.list import UNKNOWN, Trials
from seedpipe.scoring.trials.make import make_trials, make_vcmix, read_speakers, write_trials
from seedpipe.scoring.trials.names import AS_THEY_ARE, Match, match_names
from seedpipe.scoring.trials.read import read_models, read_trials
from seedpipe.scoring.trials.speakers import SpeakerMap, TrialSpeakers, read_speaker_map, tell_speakers

__all__ = [
    "AS_THEY_ARE",
    "KNOWN",
    "LABELS",
    "OF_THE_PAPER",
    "UNKNOWN",
    "KnownList",
    "Match",
    "Problem",
    "SpeakerMap",
    "TrialCheck",
    "TrialSpeakers",
    "Trials",
    "check_trials",
    "doubts",
    "make_trials",
    "make_vcmix",
    "match_names",
    "read_models",
    "read_speaker_map",
    "read_speakers",
    "read_trials",
    "recognise",
    "tell_speakers",
    "utterances_of",
    "write_trials",
]
