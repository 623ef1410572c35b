"""What figures and tables both work out of an evaluation: the EER against SNR, and places on the plane."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import TYPE_CHECKING, TypeAlias

from seedpipe.results.wording import number

if TYPE_CHECKING:
    from seedpipe.results import Estimate, Evaluation, Pair, Place, Projection, SnrSystem, System

Plane: TypeAlias = tuple[tuple[float, float], tuple[float, float]]
"""Ends of the axes across and up."""
_NUMBERED = 7  # speakers; as many as there are colours


@dataclass(frozen=True)
class SnrPoint:
    """The EER at one SNR, or in one bin of it.

    Attributes
    ----------
    low, high : float
        Decibels; equal for a level.
    trials, targets : int
        Counts.
    network, enhanced : Estimate
        Before and after.
    """

    low: float
    high: float
    trials: int
    targets: int
    network: Estimate
    enhanced: Estimate

    @property
    def label(self) -> str:
        """SNR in words: "5" or "0 to 5"."""
        return number(self.low) if self.low == self.high else f"{number(self.low)} to {number(self.high)}"

    @property
    def middle(self) -> float:
        """Where the point is drawn, in decibels."""
        return (self.low + self.high) / 2


@dataclass(frozen=True)
class SnrCurve:
    """The EER of one condition against SNR, which was "drawn" or "fixed" (kind), by rising SNR."""

    condition: str
    kind: str
    points: list[SnrPoint]

    @property
    def name(self) -> str:
        """Condition and kind, as above the chart."""
        return f"{self.condition}, {self.kind} SNR"


def snr_curves(evaluation: Evaluation) -> list[SnrCurve]:
    """Gather the bins of SNR and the conditions of fixed SNR such as ``noise@5``; empty where there are neither."""
    curves: dict[tuple[str, str], list[SnrPoint]] = {}
    for one in evaluation.snr:
        point = _point((one.low, one.high), one.trials, one.targets, one.systems)
        curves.setdefault((one.condition, "drawn"), []).append(point)
    for condition in evaluation.conditions:
        if condition.level is not None:
            name, snr_db = condition.level
            point = _point((snr_db, snr_db), evaluation.trials, evaluation.targets, condition.systems)
            curves.setdefault((name, "fixed"), []).append(point)
    return [SnrCurve(*key, sorted(points, key=lambda point: point.low)) for key, points in curves.items()]


def _point(bounds: tuple[float, float], trials: int, targets: int, systems: Pair[SnrSystem] | Pair[System]) -> SnrPoint:
    return SnrPoint(*bounds, trials, targets, systems.network.eer, systems.enhanced.eer)


def numbered_speakers(found: Projection) -> dict[str, int]:
    """Choose the speakers that get a colour and a number, from 1: those with most points, in the order of names."""
    speakers = [place.speaker for place in found.systems.network]
    often = sorted(set(speakers), key=lambda speaker: (-speakers.count(speaker), speaker))[:_NUMBERED]
    return {speaker: number for number, speaker in enumerate(sorted(often), start=1)}


def plane(places: Sequence[Place]) -> Plane:
    """Choose the ends of both axes: a square around all points, with one unit along both."""
    xs, ys = [place.x for place in places], [place.y for place in places]
    half = 0.53 * max(max(xs) - min(xs), max(ys) - min(ys)) or 1.0
    across, up = (max(xs) + min(xs)) / 2, (max(ys) + min(ys)) / 2
    return (across - half, across + half), (up - half, up + half)


def centre(places: Sequence[Place]) -> tuple[float, float]:
    """Mean of some points."""
    return fmean(place.x for place in places), fmean(place.y for place in places)
