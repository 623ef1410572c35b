"""Charts of the EER against SNR and against the timestep t."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import log

from markupsafe import Markup

from seedpipe.report.axes import grid_x, grid_y, shortened, spoken, whisker
from seedpipe.report.schema import Condition, Estimate, Evaluation, SnrBin, Timestep
from seedpipe.report.svg import Box, Point, Scale, circle, document, marks, path, text, ticks
from seedpipe.report.wording import enhancer_name, number

__all__ = ["SnrCurve", "SnrPoint", "highest_eer", "snr_chart", "snr_curves", "timestep_chart"]

_APART = 14.0  # between the names of lines, so that they can be read


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
    """The EER of one condition against SNR.

    Attributes
    ----------
    name : str
        The condition, and whether its SNR is drawn or fixed.
    points : list of SnrPoint
        By rising SNR.
    """

    name: str
    points: list[SnrPoint]


def snr_curves(evaluation: Evaluation) -> list[SnrCurve]:
    """Gather what an evaluation knows about SNR: its bins, and its conditions of fixed SNR such as ``noise@5``.

    Parameters
    ----------
    evaluation : Evaluation
        One network and enhancer on one list.

    Returns
    -------
    list of SnrCurve
        Empty where the evaluation has neither.
    """
    found = [(f"{one.condition}, drawn SNR", _of_bin(one)) for one in evaluation.snr]
    levels = [(c.level, c) for c in evaluation.conditions]
    found += [(f"{at[0]}, fixed SNR", _of_level(at[1], c, evaluation)) for at, c in levels if at is not None]
    curves: dict[str, list[SnrPoint]] = {}
    for name, point in found:
        curves.setdefault(name, []).append(point)
    return [SnrCurve(name, sorted(points, key=lambda point: point.low)) for name, points in curves.items()]


def _of_bin(one: SnrBin) -> SnrPoint:
    systems = one.systems
    return SnrPoint(one.low, one.high, one.trials, one.targets, systems.network.eer, systems.enhanced.eer)


def _of_level(snr_db: float, condition: Condition, evaluation: Evaluation) -> SnrPoint:
    systems = condition.systems
    counts = evaluation.trials, evaluation.targets
    return SnrPoint(snr_db, snr_db, *counts, systems.network.eer, systems.enhanced.eer)


def snr_chart(curve: SnrCurve, enhancer: str, highest: float) -> Markup:
    """Draw the EER against SNR, before and after, with 95 % intervals.

    Parameters
    ----------
    curve : SnrCurve
        One condition.
    enhancer : str
        Name of the enhancer.
    highest : float
        Upper end of the axis, a fraction, so that all charts of an evaluation compare.

    Returns
    -------
    Markup
        One SVG element.
    """
    box = Box(32.0, 22.0, 250.0, 180.0)
    bounds = sorted({end for point in curve.points for end in (point.low, point.high)})
    pad = 0.08 * (bounds[-1] - bounds[0]) or 1.0
    x, y = Scale(bounds[0] - pad, bounds[-1] + pad, box.left, box.right), Scale(0.0, highest, box.bottom, box.top)
    parts = [grid_x(box, x, bounds, "SNR, dB"), grid_y(box, y, ticks(0.0, highest), "EER, %")]
    for name, kind, shift in (("network", "before", -3.0), (enhancer, "after", 3.0)):
        estimates = [point.network if kind == "before" else point.enhanced for point in curve.points]
        places = [(x(point.middle) + shift, y(e.value)) for point, e in zip(curve.points, estimates, strict=True)]
        parts.append(path(places, f"curve {kind}"))
        for point, at, estimate in zip(curve.points, places, estimates, strict=True):
            parts.append(_upright(estimate, at, y, f"{point.label} dB, {name}", kind))
    return document(258, 218, f"Equal error rate against SNR for {curve.name}: network and {enhancer}", parts)


def _upright(estimate: Estimate, at: Point, y: Scale, who: str, kind: str) -> Markup:
    dot = circle(at, 4.0, f"dot {kind}", spoken(who, estimate.value, estimate.low, estimate.high))
    if estimate.low is None or estimate.high is None:
        return dot
    return whisker((at[0], y(estimate.low)), (at[0], y(estimate.high)), kind) + dot


def highest_eer(curves: Sequence[SnrCurve]) -> float:
    """Upper end of a common axis for charts of SNR: a little above every interval, a fraction."""
    estimates = [e for curve in curves for point in curve.points for e in (point.network, point.enhanced)]
    return max(0.01, 1.05 * max(max(e.value, e.high or 0.0) for e in estimates))


def timestep_chart(evaluation: Evaluation) -> Markup:
    """Draw the EER of the enhanced embeddings against the timestep t that they are sampled from.

    Parameters
    ----------
    evaluation : Evaluation
        With timesteps.

    Returns
    -------
    Markup
        One SVG element.
    """
    steps = sorted(evaluation.timesteps, key=lambda step: step.t)
    box = Box(40.0, 24.0, 310.0, 216.0)
    highest = max(0.01, 1.05 * max(rate for step in steps for rate in step.conditions.values()))
    first, last = steps[0].t, steps[-1].t
    x = Scale(first / 1.1, last * 1.1, box.left, box.right, log)
    y = Scale(0.0, highest, box.bottom, box.top)
    parts = [grid_x(box, x, [step.t for step in steps], "t"), grid_y(box, y, ticks(0.0, highest), "EER, %")]
    order = evaluation.condition_names
    names = list(steps[0].conditions)
    for name in names:
        places = [(x(step.t), y(step.conditions[name])) for step in steps]
        parts += [path(places, "curve faint"), marks(places, order.index(name), 4.2, "mark after", name)]
    parts += _line_names(names, steps[-1], order, y, box)
    label = f"Equal error rate against t with {enhancer_name(evaluation.enhancer)}; the numbers are in the table"
    return document(420, 254, label, parts)


def _line_names(names: Sequence[str], last: Timestep, order: Sequence[str], y: Scale, box: Box) -> list[Markup]:
    """Write the name and mark of each line beside its end."""
    ranked = sorted(names, key=lambda name: y(last.conditions[name]))
    parts = []
    for name, height in zip(ranked, _apart([y(last.conditions[name]) for name in ranked], box.bottom), strict=True):
        parts += [
            marks([(box.right + 12, height)], order.index(name), 4.2, "mark after"),
            text((box.right + 21, height + 4), shortened(name), "name"),
        ]
    return parts


def _apart(heights: Sequence[float], lowest: float) -> list[float]:
    """Move rising heights so far that names fit between them: down, and up again where they leave the frame."""
    moved = list(heights)
    for k in range(1, len(moved)):
        moved[k] = max(moved[k], moved[k - 1] + _APART)
    moved[-1] = min(moved[-1], lowest)
    for k in range(len(moved) - 2, -1, -1):
        moved[k] = min(moved[k], moved[k + 1] - _APART)
    return moved
