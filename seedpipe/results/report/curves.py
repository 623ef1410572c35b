"""Charts of the EER against SNR and against the timestep t."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import log

from markupsafe import Markup

from seedpipe.results import Estimate, Evaluation, SnrSystems, Systems, Timestep
from seedpipe.results.report.axes import error_bars, grid_x, grid_y, shortened
from seedpipe.results.report.svg import Box, Point, Scale, document, group, marks, path, text, ticks
from seedpipe.results.report.wording import enhancer_name, number

__all__ = ["SnrCurve", "SnrPoint", "snr_chart", "snr_curves", "timestep_chart"]

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
    condition : str
        Name of the condition.
    kind : str
        Whether its SNR is "drawn" or "fixed".
    points : list of SnrPoint
        By rising SNR.
    """

    condition: str
    kind: str
    points: list[SnrPoint]

    @property
    def name(self) -> str:
        """Condition and kind, as above the chart."""
        return f"{self.condition}, {self.kind} SNR"


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
    found = [
        ((one.condition, "drawn"), _point((one.low, one.high), one.trials, one.targets, one.systems))
        for one in evaluation.snr
    ]
    for condition in evaluation.conditions:
        if condition.level is not None:
            name, snr_db = condition.level
            point = _point((snr_db, snr_db), evaluation.trials, evaluation.targets, condition.systems)
            found.append(((name, "fixed"), point))
    curves: dict[tuple[str, str], list[SnrPoint]] = {}
    for key, point in found:
        curves.setdefault(key, []).append(point)
    return [SnrCurve(*key, sorted(points, key=lambda point: point.low)) for key, points in curves.items()]


def _point(bounds: tuple[float, float], trials: int, targets: int, systems: SnrSystems | Systems) -> SnrPoint:
    return SnrPoint(*bounds, trials, targets, systems.network.eer, systems.enhanced.eer)


def snr_chart(curve: SnrCurve, enhancer: str, highest: float) -> Markup:
    """Draw the EER against SNR, before and after, with 95 % intervals.

    Parameters
    ----------
    curve : SnrCurve
        One condition.
    enhancer : str
        Name of the enhancer.
    highest : float
        Upper end of the axis, a fraction, so that the charts of several conditions and enhancers compare.

    Returns
    -------
    Markup
        One SVG element.
    """
    box = Box(32.0, 22.0, 250.0, 180.0)
    bounds = sorted({end for point in curve.points for end in (point.low, point.high)})
    pad = 0.08 * (bounds[-1] - bounds[0]) or 1.0
    x, y = Scale(bounds[0] - pad, bounds[-1] + pad, box.left, box.right), Scale(0.0, highest, box.bottom, box.top)
    parts = [group([grid_x(box, x, bounds, "SNR, dB"), grid_y(box, y, ticks(0.0, highest), "EER, %")])]
    for kind, shift in (("before", -3.0), ("after", 3.0)):
        points = [(x(p.middle) + shift, p.network if kind == "before" else p.enhanced) for p in curve.points]
        parts.append(path([(at, y(estimate.value)) for at, estimate in points], f"curve {kind}"))
        parts.append(error_bars([(estimate, _upright(at, y)) for at, estimate in points], kind))
    return document(258, 218, f"Equal error rate against SNR for {curve.name}: network and {enhancer}", parts)


def _upright(at: float, scale: Scale) -> Callable[[float], Point]:
    return lambda rate: (at, scale(rate))


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
    x = Scale(first / 1.3, last * 1.3, box.left, box.right, log)
    y = Scale(0.0, highest, box.bottom, box.top)
    parts = [grid_x(box, x, [step.t for step in steps], "t"), grid_y(box, y, ticks(0.0, highest), "EER, %")]
    order = evaluation.condition_names
    names = list(steps[0].conditions)
    for name in names:
        places = [(x(step.t), y(step.conditions[name])) for step in steps]
        parts += [path(places, "curve faint"), marks([(at, order.index(name)) for at in places], "mark after", name)]
    parts += _line_names(names, steps[-1], order, y, box)
    label = f"Equal error rate against t with {enhancer_name(evaluation.enhancer)}; the numbers are in the table"
    return document(420, 254, label, parts)


def _line_names(names: Sequence[str], last: Timestep, order: Sequence[str], y: Scale, box: Box) -> list[Markup]:
    """Write the name and mark of each line beside its end."""
    ranked = sorted(names, key=lambda name: y(last.conditions[name]))
    parts = []
    for name, height in zip(ranked, _apart([y(last.conditions[name]) for name in ranked], box.bottom), strict=True):
        parts += [
            marks([((box.right + 12, height), order.index(name))], "mark after"),
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
