"""Everything that a report shows: evaluations of any number of runs, and how their enhancers were trained.

Besides the evaluations (see :mod:`seedpipe.results.evaluation`), as JSON::

    {"title": "...", "synthetic": true, "seedpipe_version": "0.1.0", "made_by": "dvc repro", "evaluations": [...],
     "training": {"dvector/seed": {"seed": 0, "rows": 5000, "epochs": 60, "seconds": 42.1,
                              "curve": [{"epoch": 1, "loss": ..., "validation": ...}]}},
     "facts": {"key": "value"}}

Optional: ``training``, ``facts``, ``validation`` of an epoch, ``parameters`` of a training (a count).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated

from pydantic import AfterValidator

from seedpipe.results.base import Count, Integer, Name, Number, Positive
from seedpipe.results.evaluation import Evaluations


@dataclass(frozen=True)
class CurvePoint:
    """One point of a training curve."""

    epoch: Count
    loss: Number
    validation: Number | None = None


@dataclass(frozen=True, kw_only=True)
class Training:
    """How one enhancer was trained."""

    seed: Integer
    rows: Count
    epochs: Count
    seconds: Positive
    parameters: Count | None = None
    curve: list[CurvePoint]


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
