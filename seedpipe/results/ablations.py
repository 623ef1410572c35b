"""What the EER depends on, and where embeddings lie: parts of an evaluation beside its conditions."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from seedpipe.results.base import Count, Estimate, Integer, Name, Number, Pair, Positive, Rate


@dataclass(frozen=True)
class SnrSystem:
    """One system in one bin of SNR."""

    eer: Estimate[Rate]


@dataclass(frozen=True)
class SnrBin:
    """The trials whose test side was mixed at an SNR between two bounds.

    Attributes
    ----------
    low, high : float
        Decibels.
    """

    condition: Name
    low: Number
    high: Number
    trials: Count
    targets: Count
    systems: Pair[SnrSystem]

    def __post_init__(self) -> None:
        if self.low >= self.high:
            raise ValueError(f"a bin with low below high, not {self.low:g} and {self.high:g} dB")


@dataclass(frozen=True)
class Timestep:
    """EER of the enhanced embeddings by condition, sampled from one timestep."""

    t: Annotated[Integer, Field(ge=1)]
    conditions: Annotated[dict[str, Rate], Field(min_length=1)]


@dataclass(frozen=True)
class Place:
    """One embedding on the plane."""

    x: Number
    y: Number
    speaker: Name
    condition: Name


@dataclass(frozen=True)
class Projection:
    """Embeddings of some speakers, projected onto a plane; the same ones before and after."""

    systems: Pair[Annotated[list[Place], Field(min_length=1)]]

    def __post_init__(self) -> None:
        before, after = (Counter((place.speaker, place.condition) for place in places) for places in self.systems.both)
        if before != after:
            raise ValueError("the same speakers and conditions before and after, equally often")


@dataclass(frozen=True)
class Spread:
    """Mean and standard deviation of an EER."""

    mean: Rate
    deviation: Positive


@dataclass(frozen=True)
class NoiseSeeds:
    """What the inference noise does to the EER of the enhanced embeddings, by condition."""

    count: Annotated[Integer, Field(ge=2)]
    eer: Annotated[dict[str, Spread], Field(min_length=1)]
