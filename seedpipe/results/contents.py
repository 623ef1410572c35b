"""Everything that a report shows: evaluations of any number of runs, and how their enhancers were trained.

Besides the evaluations (see :mod:`seedpipe.results.evaluation`), as JSON::

    {"title": "...", "synthetic": true, "seedpipe_version": "0.1.0", "made_by": "dvc repro", "evaluations": [...],
     "training": {"dvector/seed": {"seed": 0, "rows": 5000, "steps": 630, "epochs": 30.0, "seconds": 42.1,
                              "curve": [{"step": 21, "loss": ..., "validation": ...}]}},
     "facts": {"key": "value"}}

Optional: ``date`` (such as 2026-11-30), ``training``, ``facts``, ``comparisons``, ``validation`` of a point, and
``hours``, ``parameters``, ``held_out_rows``, ``held_out_eer`` and ``growth`` of a training.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Annotated, Any

from pydantic import AfterValidator

from seedpipe.results.base import Change, Count, Difference, Integer, Name, Number, Positive, Rate, Result
from seedpipe.results.evaluation import Evaluation, Evaluations


@dataclass(frozen=True)
class CurvePoint:
    """One point of a training curve."""

    step: Count
    loss: Number
    validation: Number | None = None


@dataclass(frozen=True, kw_only=True)
class Training(Result):
    """How one enhancer was trained.

    Attributes
    ----------
    seed, steps : int
    epochs : float
        Passes over the rows that the steps come to.
    hours : float or None
        Of speech.
    parameters : int or None
        Learnt values.
    rows, held_out_rows : int
        Embeddings of the cache that it was trained on, and that losses were measured on.
    seconds : float
        Time of the training.
    held_out_eer : list of float or None
        Fractions, on the held-out rows.
    curve : list of CurvePoint
    warnings : list of str
        Why it may have to be trained for longer or on more speech.
    remarks : list of str
        What was found on held-out sources.
    growth : list of (int, float)
        Utterances that were trained on, and the error rate in noise on held-out sources, a fraction.
    """

    seed: Integer
    steps: Count
    epochs: Positive
    hours: Positive | None = None
    parameters: Count | None = None
    rows: Count
    held_out_rows: Count | None = None
    seconds: Positive
    held_out_eer: list[Rate] | None = None
    curve: list[CurvePoint]
    warnings: list[Name] = field(default_factory=list)
    remarks: list[Name] = field(default_factory=list)
    growth: list[tuple[Count, Rate]] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class EnhancerComparison(Result):
    """Two enhancers of one network on the same trials, by one scoring method.

    Attributes
    ----------
    network, list, scores : str
        As of an evaluation: the source of the embeddings, the trial list, the method and its norm.
    a, b : str
        The enhancers.
    eer : dict of str to Difference
        By condition: b minus a.
    """

    network: Name
    list: Name
    scores: Name
    a: Name
    b: Name
    eer: dict[str, Difference[Change]]


_CONDITIONS = re.compile(r" \([^()]*\)(?=:)| under [^:]*(?=:)")
Comparisons = list[EnhancerComparison]  # names outside of the class above, where "list" is a field


def _single(value: object) -> object:
    if value is not None and not isinstance(value, str | int | float | bool):
        raise ValueError("a text, a number, true or false")
    if isinstance(value, str) and any("\ud800" <= letter <= "\udfff" for letter in value):
        raise ValueError("a text that UTF-8 can hold")
    return value


# A validator of its own: a union would be reported once per member.
Fact = Annotated[object, AfterValidator(_single)]


@dataclass(frozen=True, kw_only=True, repr=False)
class Report(Evaluations):
    """Everything on the page.

    Attributes
    ----------
    title : str
    seedpipe_version, made_by : str
    date : str
        Day on which it was made; empty where nobody noted it.
    training : dict of str to Training
        By ``NETWORK/ENHANCER``.
    facts : dict
        Names to texts or numbers.
    comparisons : list of EnhancerComparison
        Enhancers among themselves, where there are several.
    """

    title: Name
    seedpipe_version: Name
    made_by: str
    date: str = ""
    training: dict[str, Training] = field(default_factory=dict)
    facts: dict[str, Fact] = field(default_factory=dict)
    comparisons: Comparisons = field(default_factory=Comparisons)

    def left_out(self) -> tuple[str, ...]:
        """Date, trainings, facts and comparisons where there are none."""
        return tuple(name for name in ("date", "training", "facts", "comparisons") if not getattr(self, name))

    @property
    def origin(self) -> str:
        """When, by which version and by which command it was made, in a line."""
        return ", ".join(filter(None, (self.date, f"seedpipe {self.seedpipe_version}", self.made_by)))

    def in_full(self, evaluation: Evaluation) -> bool:
        """Whether an evaluation is the first of its network, list, enhancer and training: other methods are a table."""
        place = _place(evaluation)
        return next(one for one in self.evaluations if _place(one) == place) is evaluation

    def leads(self, evaluation: Evaluation) -> bool:
        """Whether an evaluation is the first of its network and list, as of the first enhancer."""
        place = evaluation.source, evaluation.list
        return next(one for one in self.evaluations if (one.source, one.list) == place) is evaluation

    def new_warnings(self, evaluation: Evaluation) -> list[str]:
        """Warnings of an evaluation whose kind none before it on the same list has."""
        before = self.evaluations[: next(k for k, one in enumerate(self.evaluations) if one is evaluation)]
        said = {_kind(warning) for one in before if one.list == evaluation.list for warning in one.warnings}
        return [warning for warning in evaluation.warnings if _kind(warning) not in said]

    def to_dict(self) -> dict[str, Any]:
        """Give plain types for JSON, what the report is before what is in it."""
        plain = super().to_dict()
        head = ("title", "synthetic", "seedpipe_version", "made_by", "date")
        return {name: plain.pop(name) for name in head if name in plain} | plain


def _kind(warning: str) -> str:
    """A warning without the conditions that it names, which differ from one system to the next."""
    return _CONDITIONS.sub("", warning)


def _place(evaluation: Evaluation) -> tuple[object, ...]:
    return evaluation.source, evaluation.list, evaluation.enhancer, evaluation.train_seed
