"""One test condition: both systems on the same trials, with their error rates, curves and difference."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated

from pydantic import BeforeValidator, Field

from seedpipe.results.base import (
    FURTHER,
    Change,
    Difference,
    Estimate,
    Name,
    Number,
    Pair,
    Positive,
    Rate,
)

# Optional metrics of a system; a detection cost may have its prior behind it.
FURTHER_METRICS = re.compile(r"(?:min_dcf|act_dcf)_\d+(?:\.\d+)?(?:e-\d+)?|act_dcf|cllr|min_cllr")
_LEVEL = re.compile(r"(.+)@(-?\d+(?:\.\d+)?)")


def _gather(data: object) -> object:
    """Put the further metrics of a dictionary under one key."""
    if not isinstance(data, Mapping):
        return data
    further = {name: value for name, value in data.items() if FURTHER_METRICS.fullmatch(str(name))}
    return {**data, FURTHER: further}


def _estimate(value: object) -> object:
    return {"value": value} if isinstance(value, int | float) else value


@dataclass(frozen=True)
class Det:
    """Points of a DET curve.

    Attributes
    ----------
    far, frr : list of float, both of length m > 1
        Fractions, by falling threshold.
    """

    far: Annotated[list[Rate], Field(min_length=2)]
    frr: list[Rate]

    def __post_init__(self) -> None:
        if len(self.far) != len(self.frr):
            raise ValueError(f"far and frr of one length, not {len(self.far)} and {len(self.frr)}")


@dataclass(frozen=True)
class Histogram:
    """Score densities over common bins.

    Attributes
    ----------
    edges : list of float, length k + 1
        Scores.
    target, nontarget : list of float, length k
        Densities.
    """

    edges: Annotated[list[Number], Field(min_length=2)]
    target: list[Positive]
    nontarget: list[Positive]

    def __post_init__(self) -> None:
        lengths = len(self.edges) - 1, len(self.target), len(self.nontarget)
        if len(set(lengths)) != 1:
            raise ValueError(f"one density per bin, not {lengths[1]} and {lengths[2]} for {lengths[0]} bins")
        if self.edges[0] >= self.edges[-1]:
            raise ValueError("edges that rise")


@dataclass(frozen=True, kw_only=True)
class System:
    """One system under one condition.

    Attributes
    ----------
    eer, min_dcf : Estimate
        minDCF is normalised, at the first prior.
    further_metrics : dict of str to Estimate
        By name: ``min_dcf_0.01``, ``act_dcf``, ``cllr``, ``min_cllr``, ...; a cost in units of the trivial system's, or
        bits.
    eer_definition : str
    det : Det
    histogram : Histogram
    """

    eer: Estimate[Rate]
    min_dcf: Estimate[Rate]
    further_metrics: dict[str, Annotated[Estimate[Positive], BeforeValidator(_estimate)]] = field(default_factory=dict)
    eer_definition: Name
    det: Det
    histogram: Histogram

    @property
    def metrics(self) -> dict[str, Estimate]:
        """All metrics by name."""
        return {"eer": self.eer, "min_dcf": self.min_dcf, **self.further_metrics}


@dataclass(frozen=True)
class Differences:
    """Paired differences, enhanced minus network."""

    eer: Difference[Change]
    min_dcf: Difference[Change]
    further_metrics: dict[str, Difference[Number]] = field(default_factory=dict)

    @property
    def metrics(self) -> dict[str, Difference]:
        """All differences by the name of the metric."""
        return {"eer": self.eer, "min_dcf": self.min_dcf, **self.further_metrics}


@dataclass(frozen=True)
class Condition:
    """One test condition."""

    condition: Name
    systems: Pair[Annotated[System, BeforeValidator(_gather)]]
    difference: Annotated[Differences, BeforeValidator(_gather)]

    @property
    def level(self) -> tuple[str, float] | None:
        """Name and SNR in dB of a condition such as ``noise@5``; None for one of mixed SNR."""
        found = _LEVEL.fullmatch(self.condition)
        return (found[1], float(found[2])) if found else None
