"""What the scoring stage hands to the report, checked key by key.

The dictionary, as JSON (rates are fractions, ``...`` stands for numbers)::

    {"title": "...", "synthetic": true, "seedpipe_version": "0.1.0", "made_by": "dvc repro",
     "evaluations": [
       {"network": "dvector", "list": "demo", "method": "cosine",
        "trials": 4000, "targets": 400, "speakers": 24, "utterances": 144,
        "conditions": [
          {"condition": "clean",
           "systems": {
             "network": {"eer": {"value": ..., "low": ..., "high": ...}, "eer_definition": "linear",
                         "min_dcf": {"value": ..., "low": ..., "high": ...},
                         "det": {"far": [...], "frr": [...]},
                         "histogram": {"edges": [k + 1 values], "target": [k densities], "nontarget": [k densities]}},
             "seed": {...}},
           "difference": {"eer": {"difference": ..., "low": ..., "high": ..., "p_value": ...}, "min_dcf": {...}}}],
        "mean_relative_reduction": {"value": ..., "low": ..., "high": ...}}],
     "training": {"dvector": {"seed": 0, "rows": 5000, "epochs": 60, "seconds": 42.1,
                              "curve": [{"epoch": 1, "loss": ..., "validation": ...}]}},
     "facts": {"key": "value"}}

Optional: ``low``, ``high`` and ``p_value`` (together, for lists without speaker names), ``mean_relative_reduction``
(for lists with clean trials only), ``training``, ``facts``, ``validation`` of an epoch. The condition called ``clean``
is the matched one; all others are mismatched. Keys that are not named here are left alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from seedpipe.errors import MetricError

__all__ = [
    "Condition",
    "Det",
    "Difference",
    "Estimate",
    "Evaluation",
    "Histogram",
    "Report",
    "System",
    "Training",
    "parse",
]

CLEAN = "clean"

Rate = Annotated[float, Field(ge=0.0, le=1.0)]
Change = Annotated[float, Field(ge=-1.0, le=1.0)]
AtMostOne = Annotated[float, Field(le=1.0)]
Count = Annotated[int, Field(ge=0)]
Name = Annotated[str, Field(min_length=1)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True, extra="ignore", allow_inf_nan=False)


class Estimate(_Part):
    """A rate and its 95 % interval.

    Attributes
    ----------
    value : float
        Fraction in [0, 1].
    low, high : float or None
        None where the list names no speakers to resample.
    """

    value: Rate
    low: Rate | None = None
    high: Rate | None = None


class Difference(_Part):
    """SEED minus network alone, on the same trials.

    Attributes
    ----------
    difference : float
        In the unit of the metric; negative when SEED has fewer errors.
    low, high, p_value : float or None
        None where the list names no speakers to resample.
    """

    difference: Change
    low: Change | None = None
    high: Change | None = None
    p_value: Rate | None = None


class Reduction(_Part):
    """Mean relative reduction of the EER over the mismatched conditions: 0.2 means 20 % fewer errors.

    Attributes
    ----------
    value : float
        At most 1; negative when there are more errors.
    low, high : float or None
        None where the list names no speakers to resample.
    """

    value: AtMostOne
    low: AtMostOne | None = None
    high: AtMostOne | None = None


class Det(_Part):
    """Points of a DET curve.

    Attributes
    ----------
    far, frr : list of float, both of length m > 1
        Fractions, by falling threshold.
    """

    far: Annotated[list[Rate], Field(min_length=2)]
    frr: list[Rate]

    @model_validator(mode="after")
    def _check(self) -> Det:
        if len(self.far) != len(self.frr):
            raise ValueError(f"far and frr of one length, not {len(self.far)} and {len(self.frr)}")
        return self


class Histogram(_Part):
    """Score densities over common bins.

    Attributes
    ----------
    edges : list of float, length k + 1
        Scores.
    target, nontarget : list of float, length k
        Densities.
    """

    edges: Annotated[list[float], Field(min_length=2)]
    target: list[Annotated[float, Field(ge=0.0)]]
    nontarget: list[Annotated[float, Field(ge=0.0)]]

    @model_validator(mode="after")
    def _check(self) -> Histogram:
        lengths = len(self.edges) - 1, len(self.target), len(self.nontarget)
        if len(set(lengths)) != 1:
            raise ValueError(f"one density per bin, not {lengths[1]} and {lengths[2]} for {lengths[0]} bins")
        if self.edges[0] >= self.edges[-1]:
            raise ValueError("edges that rise")
        return self


class System(_Part):
    """One system under one condition."""

    eer: Estimate
    eer_definition: Name
    min_dcf: Estimate
    det: Det
    histogram: Histogram


class Systems(_Part):
    """Before and after."""

    network: System
    seed: System


class Differences(_Part):
    """Paired differences, SEED minus network."""

    eer: Difference
    min_dcf: Difference


class Condition(_Part):
    """One test condition."""

    condition: Name
    systems: Systems
    difference: Differences


# A name outside of the class below, where "list" is a field.
Conditions = Annotated[list[Condition], Field(min_length=1)]


class Evaluation(_Part):
    """One network on one trial list."""

    network: Name
    list: Name
    method: Name
    trials: Count
    targets: Count
    speakers: Count
    utterances: Count
    conditions: Conditions
    mean_relative_reduction: Reduction | None = None

    @model_validator(mode="after")
    def _check(self) -> Evaluation:
        names = [condition.condition for condition in self.conditions]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"each condition once, not {twice[0]} twice")
        return self

    @property
    def clean(self) -> Condition | None:
        """The matched condition."""
        return next((condition for condition in self.conditions if condition.condition == CLEAN), None)

    @property
    def mismatched(self) -> tuple[Condition, ...]:
        """All other conditions."""
        return tuple(condition for condition in self.conditions if condition.condition != CLEAN)


class Epoch(_Part):
    """One point of a training curve."""

    epoch: Annotated[int, Field(ge=0)]
    loss: float
    validation: float | None = None


class Training(_Part):
    """How the enhancer of one network was trained."""

    seed: int
    rows: Count
    epochs: Count
    seconds: Annotated[float, Field(ge=0.0)]
    curve: list[Epoch]


def _single(value: object) -> object:
    if value is not None and not isinstance(value, str | int | float | bool):
        raise ValueError("a text, a number, true or false")
    return value


# A validator of its own: a union would be reported once per member.
Fact = Annotated[object, AfterValidator(_single)]


class Report(_Part):
    """Everything on the page."""

    title: Name
    synthetic: bool
    seedpipe_version: Name
    made_by: str
    evaluations: Annotated[list[Evaluation], Field(min_length=1)]
    training: dict[str, Training] = {}
    facts: dict[str, Fact] = {}


def parse(metrics: Mapping[str, Any]) -> Report:
    """Check the dictionary and give it types.

    Parameters
    ----------
    metrics : mapping
        As described at the top of this module.

    Returns
    -------
    Report
        Immutable.

    Raises
    ------
    MetricError
        Names the first key that is missing or impossible.
    """
    try:
        return Report.model_validate(metrics)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
        key = _path(first["loc"]) or "the whole"
        found = "is missing" if first["type"] == "missing" else f"is {_short(first['input'])}"
        raise MetricError(
            f"metrics: {key} {found}{more}",
            expected=_expected(first["type"], first["msg"]),
            remedy="write the metrics again with the scoring stage",
        ) from None


def _path(location: tuple[int | str, ...]) -> str:
    parts = (f"[{part}]" if isinstance(part, int) else f".{part}" for part in location)
    return "".join(parts).lstrip(".")


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 40 else text[:37] + "..."


def _expected(kind: str, message: str) -> str:
    if kind == "missing":
        return "that key"
    plain = message.removeprefix("Value error, ").removeprefix("Input should be ")
    return plain + (" (rates are fractions, not percentages)" if kind == "less_than_equal" else "")
