"""What the scoring stage hands to the report, checked key by key.

The dictionary, as JSON (rates are fractions, ``...`` stands for numbers)::

    {"title": "...", "synthetic": true, "seedpipe_version": "0.1.0", "made_by": "dvc repro",
     "evaluations": [
       {"network": "dvector", "enhancer": "seed", "list": "demo", "method": "cosine",
        "trials": 4000, "targets": 400, "speakers": 24, "utterances": 144,
        "conditions": [
          {"condition": "clean",
           "systems": {
             "network": {"eer": {"value": ..., "low": ..., "high": ...}, "eer_definition": "linear",
                         "min_dcf": {"value": ..., "low": ..., "high": ...},
                         "det": {"far": [...], "frr": [...]},
                         "histogram": {"edges": [k + 1 values], "target": [k densities], "nontarget": [k densities]}},
             "enhanced": {...}},
           "difference": {"eer": {"difference": ..., "low": ..., "high": ..., "p_value": ...}, "min_dcf": {...}}}],
        "mean_relative_reduction": {"value": ..., "low": ..., "high": ...}}],
     "training": {"dvector/seed": {"seed": 0, "rows": 5000, "epochs": 60, "seconds": 42.1,
                              "curve": [{"epoch": 1, "loss": ..., "validation": ...}]}},
     "facts": {"key": "value"}}

Optional: ``low``, ``high`` and ``p_value`` (together, for lists without speaker names), ``mean_relative_reduction``
(for lists with clean trials only), ``training``, ``facts``, ``validation`` of an epoch, ``parameters`` of a training (a
count), and in an evaluation::

    "train_seed": 0, "frontend": "", "norm": "as", "mismatch_side": "test",
    "utterance_rule": "names as they are",
    "warnings": ["..."],
    "snr": [{"condition": "noise", "low": 0.0, "high": 5.0, "trials": 800, "targets": 80,
             "systems": {"network": {"eer": {"value": ..., "low": ..., "high": ...}}, "enhanced": {...}}}],
    "timesteps": [{"t": 50, "conditions": {"clean": 0.05, "noise": 0.1}}],
    "projection": {"systems": {"network": [{"x": ..., "y": ..., "speaker": "...", "condition": "noise"}],
                               "enhanced": [...]}},
    "noise_seeds": {"count": 5, "eer": {"noise": {"mean": ..., "deviation": ...}}}

A system may have ``min_dcf_0.01`` (and other priors), ``act_dcf``, ``cllr`` and ``min_cllr``, each a number or
``{value, low, high}``. The condition called ``clean`` is the matched one, all others are mismatched; ``noise@5`` is
noise at an SNR of 5 dB. Keys that are not named here are left alone.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from seedpipe.errors import MetricError

__all__ = [
    "Condition",
    "Det",
    "Difference",
    "Differences",
    "Estimate",
    "Evaluation",
    "Figure",
    "Histogram",
    "Place",
    "Projection",
    "Reduction",
    "Report",
    "SnrBin",
    "SnrSystems",
    "System",
    "Systems",
    "Timestep",
    "Training",
    "parse",
    "parse_evaluations",
]

CLEAN = "clean"
# Optional metrics of a system; a detection cost may have its prior behind it.
_FURTHER = re.compile(r"(?:min_dcf|act_dcf)_\d+(?:\.\d+)?(?:e-\d+)?|act_dcf|cllr|min_cllr")
_LEVEL = re.compile(r"(.+)@(-?\d+(?:\.\d+)?)")

Rate = Annotated[float, Field(ge=0.0, le=1.0)]
Change = Annotated[float, Field(ge=-1.0, le=1.0)]
AtMostOne = Annotated[float, Field(le=1.0)]
Positive = Annotated[float, Field(ge=0.0)]
Count = Annotated[int, Field(ge=0)]
Name = Annotated[str, Field(min_length=1)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True, extra="ignore", allow_inf_nan=False)


_Model = TypeVar("_Model", bound=_Part)


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
    """Enhanced minus network alone, on the same trials.

    Attributes
    ----------
    difference : float
        In the unit of the metric; negative when the enhanced embeddings make fewer errors.
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


class Figure(_Part):
    """A metric that has no upper bound, and its 95 % interval.

    Attributes
    ----------
    value : float
        A cost in units of the trivial system's, or bits (Cllr).
    low, high : float or None
        None where there is no interval.
    """

    value: Positive
    low: Positive | None = None
    high: Positive | None = None


def _figure(value: object) -> object:
    return {"value": value} if isinstance(value, int | float) else value


FigureOrNumber = Annotated[Figure, BeforeValidator(_figure)]


class System(_Part):
    """One system under one condition."""

    eer: Estimate
    eer_definition: Name
    min_dcf: Estimate
    det: Det
    histogram: Histogram
    further_metrics: dict[str, FigureOrNumber] = {}

    @model_validator(mode="before")
    @classmethod
    def _gather(cls, data: object) -> object:
        if not isinstance(data, Mapping):
            return data
        further = {name: value for name, value in data.items() if _FURTHER.fullmatch(str(name))}
        return {**data, "further_metrics": further}


class Systems(_Part):
    """Before and after."""

    network: System
    enhanced: System

    @property
    def both(self) -> tuple[System, System]:
        """Before, then after."""
        return self.network, self.enhanced


class Differences(_Part):
    """Paired differences, enhanced minus network."""

    eer: Difference
    min_dcf: Difference


class Condition(_Part):
    """One test condition."""

    condition: Name
    systems: Systems
    difference: Differences

    @property
    def level(self) -> tuple[str, float] | None:
        """Name and SNR in dB of a condition such as ``noise@5``; None for one of mixed SNR."""
        found = _LEVEL.fullmatch(self.condition)
        return (found[1], float(found[2])) if found else None


class SnrSystem(_Part):
    """One system in one bin of SNR."""

    eer: Estimate


class SnrSystems(_Part):
    """Before and after."""

    network: SnrSystem
    enhanced: SnrSystem


class SnrBin(_Part):
    """The trials whose test side was mixed at an SNR between two bounds.

    Attributes
    ----------
    low, high : float
        Decibels.
    """

    condition: Name
    low: float
    high: float
    trials: Count
    targets: Count
    systems: SnrSystems

    @model_validator(mode="after")
    def _check(self) -> SnrBin:
        if self.low >= self.high:
            raise ValueError(f"a bin with low below high, not {self.low:g} and {self.high:g} dB")
        return self


class Timestep(_Part):
    """EER of the enhanced embeddings by condition, sampled from one timestep."""

    t: Annotated[int, Field(ge=1)]
    conditions: Annotated[dict[str, Rate], Field(min_length=1)]


class Place(_Part):
    """One embedding on the plane."""

    x: float
    y: float
    speaker: Name
    condition: Name


ProjectPaths = Annotated[list[Place], Field(min_length=1)]


class ProjectedSystems(_Part):
    """Before and after."""

    network: ProjectPaths
    enhanced: ProjectPaths


class Projection(_Part):
    """Embeddings of some speakers, projected onto a plane; the same ones before and after."""

    systems: ProjectedSystems

    @model_validator(mode="after")
    def _check(self) -> Projection:
        before, after = (
            Counter((place.speaker, place.condition) for place in places)
            for places in (self.systems.network, self.systems.enhanced)
        )
        if before != after:
            raise ValueError("the same speakers and conditions before and after, equally often")
        return self


class Spread(_Part):
    """Mean and standard deviation of an EER."""

    mean: Rate
    deviation: Positive


class NoiseSeeds(_Part):
    """What the inference noise does to the EER of the enhanced embeddings."""

    count: Annotated[int, Field(ge=2)]
    eer: Annotated[dict[str, Spread], Field(min_length=1)]


# Names outside of the class below, where "list" is a field.
Conditions = Annotated[list[Condition], Field(min_length=1)]
SnrBins = list[SnrBin]
Timesteps = list[Timestep]
Warnings = list[str]


class Evaluation(_Part):
    """One network and one enhancer on one trial list."""

    network: Name
    enhancer: Name = "seed"
    list: Name
    method: Name
    trials: Count
    targets: Count
    speakers: Count
    utterances: Count
    conditions: Conditions
    mean_relative_reduction: Reduction | None = None
    train_seed: int | None = None
    frontend: str = ""
    norm: Name = "none"
    mismatch_side: Name | None = None
    utterance_rule: str | None = None
    warnings: Warnings = []
    snr: SnrBins = []
    timesteps: Timesteps = []
    projection: Projection | None = None
    noise_seeds: NoiseSeeds | None = None

    @model_validator(mode="after")
    def _check(self) -> Evaluation:
        names = [condition.condition for condition in self.conditions]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"each condition once, not {twice[0]} twice")
        if any(step.conditions.keys() != self.timesteps[0].conditions.keys() for step in self.timesteps):
            raise ValueError("timesteps with the same conditions at every t")
        return self

    @property
    def condition_names(self) -> tuple[str, ...]:
        """Conditions of all parts, each once; their order gives each its mark in the charts."""
        names = [condition.condition for condition in self.conditions]
        names += [name for step in self.timesteps[:1] for name in step.conditions]
        if self.projection is not None:
            names += [place.condition for place in self.projection.systems.network]
        return tuple(dict.fromkeys(names))

    @property
    def clean(self) -> Condition | None:
        """The matched condition."""
        return next((condition for condition in self.conditions if condition.condition == CLEAN), None)

    @property
    def source(self) -> str:
        """What makes the embeddings: the network, behind a front end where there is one."""
        return f"{self.frontend} → {self.network}" if self.frontend else self.network

    @property
    def scores(self) -> str:
        """Scoring method and normalisation."""
        return self.method if self.norm == "none" else f"{self.method}, {self.norm}-norm"

    @property
    def averaged(self) -> tuple[Condition, ...]:
        """Conditions behind the mean relative reduction: those of drawn SNR, or the levels where there are none."""
        return tuple(condition for condition in self.mismatched if condition.level is None) or self.mismatched

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
    """How one enhancer was trained."""

    seed: int
    rows: Count
    epochs: Count
    seconds: Annotated[float, Field(ge=0.0)]
    parameters: Count | None = None
    curve: list[Epoch]


def _single(value: object) -> object:
    if value is not None and not isinstance(value, str | int | float | bool):
        raise ValueError("a text, a number, true or false")
    return value


def _ordered(evaluations: list[Evaluation]) -> list[Evaluation]:
    keys = [(e.source, e.list, e.enhancer, e.scores, e.train_seed) for e in evaluations]
    twice = next((key for key in keys if keys.count(key) > 1), None)
    if twice is not None:
        source, name, enhancer, scores, _ = twice
        expected = f"each training seed once, not {source} with {enhancer} on {name} ({scores}) twice for one seed"
        raise ValueError(expected)
    mentioned = [list(dict.fromkeys(column)) for column in zip(*keys, strict=True)]
    places = [tuple(all_.index(part) for all_, part in zip(mentioned, key, strict=True)) for key in keys]
    return [evaluation for _, evaluation in sorted(zip(places, evaluations, strict=True), key=lambda pair: pair[0])]


# A validator of its own: a union would be reported once per member.
Fact = Annotated[object, AfterValidator(_single)]


class Evaluations(_Part):
    """Evaluations by network, list, enhancer, method and training seed, each in the order of first mention."""

    evaluations: Annotated[list[Evaluation], Field(min_length=1), AfterValidator(_ordered)]


class Report(Evaluations):
    """Everything on the page."""

    title: Name
    synthetic: bool
    seedpipe_version: Name
    made_by: str
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
    return _checked(Report, metrics)


def parse_evaluations(evaluations: Sequence[Mapping[str, Any]]) -> list[Evaluation]:
    """Check the evaluations alone and give them types.

    Parameters
    ----------
    evaluations : sequence of mapping
        As under that key of the dictionary.

    Returns
    -------
    list of Evaluation
        Immutable.

    Raises
    ------
    MetricError
        Names the first key that is missing or impossible.
    """
    return _checked(Evaluations, {"evaluations": list(evaluations)}).evaluations


def _checked(model: type[_Model], data: object) -> _Model:
    try:
        return model.model_validate(data)
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
    # In the file, the further metrics stand beside the others.
    named = (part for part in location if part != "further_metrics")
    parts = (f"[{part}]" if isinstance(part, int) else f".{part}" for part in named)
    return "".join(parts).lstrip(".")


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 40 else text[:37] + "..."


def _expected(kind: str, message: str) -> str:
    if kind == "missing":
        return "that key"
    plain = message.removeprefix("Value error, ").removeprefix("Input should be ")
    return plain + (" (rates are fractions, not percentages)" if kind == "less_than_equal" else "")
