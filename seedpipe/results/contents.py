"""Everything that a report shows: evaluations of any number of runs, and how their enhancers were trained.

Besides the evaluations (see :mod:`seedpipe.results.evaluation`), as JSON::

    {"title": "...", "synthetic": true, "seedpipe_version": "0.1.0", "made_by": "dvc repro", "evaluations": [...],
     "training": {"dvector/seed": {"seed": 0, "rows": 5000, "steps": 630, "epochs": 30.0, "seconds": 42.1,
                              "curve": [{"step": 21, "loss": ..., "validation": ...}]}},
     "facts": {"key": "value"}}

Optional: ``training``, ``facts``, ``validation`` of a point, and ``hours``, ``parameters``, ``held_out_rows`` and
``held_out_eer`` of a training.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any

from pydantic import AfterValidator

from seedpipe.results.base import Count, Integer, Name, Number, Positive, Rate, Result
from seedpipe.results.evaluation import Evaluations


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


def _single(value: object) -> object:
    if value is not None and not isinstance(value, str | int | float | bool):
        raise ValueError("a text, a number, true or false")
    return value


# A validator of its own: a union would be reported once per member.
Fact = Annotated[object, AfterValidator(_single)]


@dataclass(frozen=True, kw_only=True)
class Report(Evaluations):
    """Everything on the page.

    Attributes
    ----------
    title : str
    seedpipe_version, made_by : str
    training : dict of str to Training
        By ``NETWORK/ENHANCER``.
    facts : dict
        Names to texts or numbers.
    """

    title: Name
    seedpipe_version: Name
    made_by: str
    training: dict[str, Training] = field(default_factory=dict)
    facts: dict[str, Fact] = field(default_factory=dict)

    def left_out(self) -> tuple[str, ...]:
        """Trainings and facts where there are none."""
        return ("training",) * (not self.training) + ("facts",) * (not self.facts)

    def to_dict(self) -> dict[str, Any]:
        """Give plain types for JSON, what the report is before what is in it."""
        plain = super().to_dict()
        head = ("title", "synthetic", "seedpipe_version", "made_by")
        return {name: plain.pop(name) for name in head} | plain
