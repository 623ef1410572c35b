"""The charts of the report as SVG, one function each.

Before (network alone) is a hollow dot and a dashed line, after (enhanced) a filled dot and a solid line; target scores
are a filled shape, non-target scores a dashed outline. Nothing is told apart by colour alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from statistics import NormalDist

from markupsafe import Markup

from seedpipe.results import Condition, CurvePoint, Det, Evaluation, Histogram, Training
from seedpipe.results.report.axes import error_bars, grid_x, grid_y, rate_dot, shortened
from seedpipe.results.report.svg import Box, Point, Scale, clipped, document, group, line, path, text, ticks
from seedpipe.results.report.wording import enhancer_name

__all__ = ["det_chart", "det_limits", "eer_chart", "histogram_chart", "score_limits", "training_chart"]

_OUTSIDE = 20.0
_DET_TICKS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8)


def eer_chart(evaluation: Evaluation, highest: float) -> Markup:
    """Draw the EER by condition, before and after, with 95 % intervals.

    Parameters
    ----------
    evaluation : Evaluation
        Its conditions become the rows.
    highest : float
        Upper end of the axis, a fraction, so that the charts of several enhancers compare.

    Returns
    -------
    Markup
        One SVG element.
    """
    row, enhancer = 42.0, enhancer_name(evaluation.enhancer)
    rows = [(condition, 6.0 + row * (k + 0.5)) for k, condition in enumerate(evaluation.conditions)]
    box = Box(100.0, 6.0, 408.0, 6.0 + row * len(rows))
    scale = Scale(0.0, highest, box.left, box.right)
    names = [text((box.left - 8, y + 4.5), shortened(condition.condition), "end name") for condition, y in rows]
    parts = [
        group([grid_x(box, scale, ticks(scale.low, scale.high), "EER, %"), *names]),
        error_bars([(condition.systems.network.eer, _across(scale, y - 6.5)) for condition, y in rows], "before"),
        error_bars([(condition.systems.enhanced.eer, _across(scale, y + 6.5)) for condition, y in rows], "after"),
    ]
    conditions = ", ".join(condition.condition for condition in evaluation.conditions)
    label = (
        f"Equal error rate of network and {enhancer} with 95 % intervals for {conditions}; the numbers are in the table"
    )
    return document(420, box.bottom + 40, label, parts)


def _across(scale: Scale, height: float) -> Callable[[float], Point]:
    return lambda rate: (scale(rate), height)


def det_chart(condition: Condition, enhancer: str, limits: tuple[float, float]) -> Markup:
    """Draw the DET curves before and after, on probit axes.

    Parameters
    ----------
    condition : Condition
        The two systems.
    enhancer : str
        Name of the enhancer, as in :func:`seedpipe.results.report.wording.enhancer_name`.
    limits : tuple of float
        Lowest and highest rate drawn, fractions; from :func:`det_limits`, so that all charts of a list compare.

    Returns
    -------
    Markup
        One SVG element.
    """
    box = Box(30.0, 22.0, 250.0, 226.0)
    x = Scale(*limits, box.left, box.right, _probit)
    y = Scale(*limits, box.bottom, box.top, _probit)
    marks = [tick for tick in _DET_TICKS if limits[0] <= tick <= limits[1]]
    systems = ((condition.systems.network, "before"), (condition.systems.enhanced, "after"))
    curves = [line((x(limits[0]), y(limits[0])), (x(limits[1]), y(limits[1])), "diagonal")]
    curves += [path(_det_points(system.det, x, y), f"curve {kind}") for system, kind in systems]
    curves += [
        group([rate_dot((x(system.eer.value), y(system.eer.value)), system.eer)], f"dot {kind}")
        for system, kind in systems
    ]
    frame = group([grid_x(box, x, marks, "False alarms, %"), grid_y(box, y, marks, "Misses, %")])
    label = f"DET curves for {condition.condition}: misses against false alarms, network and {enhancer}"
    return document(258, 264, label, [frame, clipped(box, curves)])


def det_limits(evaluations: Sequence[Evaluation]) -> tuple[float, float]:
    """Choose common axes for the DET charts of evaluations: round rates well around every EER.

    Parameters
    ----------
    evaluations : sequence of Evaluation
        All their conditions are looked at.

    Returns
    -------
    tuple of float
        Lowest and highest rate, fractions.
    """
    rates = [system.eer.value for one in evaluations for c in one.conditions for system in c.systems.both]
    low = max((tick for tick in _DET_TICKS if tick <= min(rates) / 5.0), default=_DET_TICKS[0])
    high = min((tick for tick in _DET_TICKS if tick >= 1.6 * max(rates)), default=_DET_TICKS[-1])
    return low, max(high, 0.1)


def _probit(rate: float) -> float:
    return NormalDist().inv_cdf(min(max(rate, 1e-6), 1.0 - 1e-6))


def _det_points(det: Det, x: Scale, y: Scale) -> list[Point]:
    """Place the points of a curve; those far outside of the frame come to lie just outside, where few are kept."""
    return [(_near(x(far), x), _near(y(frr), y)) for far, frr in zip(det.far, det.frr, strict=True)]


def _near(place: float, scale: Scale) -> float:
    low, high = sorted((scale.start, scale.end))
    return min(max(place, low - _OUTSIDE), high + _OUTSIDE)


def histogram_chart(condition: Condition, enhancer: str, limits: tuple[float, float]) -> Markup:
    """Draw the score densities of target and non-target trials, before above after.

    Parameters
    ----------
    condition : Condition
        The two systems; they share the axis of the scores.
    enhancer : str
        Name of the enhancer.
    limits : tuple of float
        Lowest and highest score drawn.

    Returns
    -------
    Markup
        One SVG element.
    """
    systems = ((condition.systems.network.histogram, "network"), (condition.systems.enhanced.histogram, enhancer))
    panels = [Box(10.0, 6.0, 250.0, 96.0), Box(10.0, 108.0, 250.0, 198.0)]
    scale = Scale(*limits, 10.0, 250.0)
    grid = grid_x(Box(10.0, 6.0, 250.0, 198.0), scale, ticks(*limits), "Score")
    parts = [group([grid, line((10.0, panels[0].bottom), (250.0, panels[0].bottom), "axis")])]
    for (histogram, name), box in zip(systems, panels, strict=True):
        parts += [_densities(histogram, box, scale), text((box.left + 2, box.top + 12), name, "name")]
    label = f"Score histograms for {condition.condition}: target and non-target trials, network above {enhancer}"
    return document(260, 236, label, parts)


def score_limits(conditions: Sequence[Condition]) -> tuple[float, float]:
    """Choose a common axis of scores for the histograms of conditions."""
    edges = [system.histogram.edges for one in conditions for system in one.systems.both]
    return min(one[0] for one in edges), max(one[-1] for one in edges)


def _densities(histogram: Histogram, box: Box, x: Scale) -> Markup:
    y = Scale(0.0, max(*histogram.target, *histogram.nontarget, 1e-12), box.bottom, box.top + 8)
    edges = [x(edge) for edge in histogram.edges]
    sides = ((histogram.nontarget, "density other"), (histogram.target, "density target"))
    return Markup("").join(path(_outline(edges, [y(one) for one in side], box.bottom), kind) for side, kind in sides)


def _outline(edges: Sequence[float], heights: Sequence[float], baseline: float) -> list[Point]:
    corners = [(edge, height) for k, height in enumerate(heights) for edge in edges[k : k + 2]]
    return [(edges[0], baseline), *corners, (edges[-1], baseline)]


def training_chart(name: str, training: Training) -> Markup:
    """Draw training and validation loss over the epochs.

    Parameters
    ----------
    name : str
        Network and enhancer, for the label.
    training : Training
        With at least two epochs.

    Returns
    -------
    Markup
        One SVG element.
    """
    box = Box(40.0, 24.0, 408.0, 206.0)
    curve = training.curve
    values = [v for point in curve for v in (point.loss, point.validation) if v is not None]
    pad = 0.06 * (max(values) - min(values)) or 0.1 * abs(values[0]) or 1.0
    x = Scale(curve[0].epoch, curve[-1].epoch, box.left, box.right)
    y = Scale(min(values) - pad, max(values) + pad, box.bottom, box.top)
    whole = [tick for tick in ticks(x.low, x.high, 6) if tick == int(tick)]
    parts = [grid_x(box, x, whole, "Epoch"), grid_y(box, y, ticks(y.low, y.high), "Loss")]
    parts += [clipped(box, _loss_lines(curve, x, y))]
    return document(420, 244, f"Training and validation loss of {name} over {len(curve)} epochs", parts)


def _loss_lines(curve: Sequence[CurvePoint], x: Scale, y: Scale) -> list[Markup]:
    validation = [(x(point.epoch), y(point.validation)) for point in curve if point.validation is not None]
    lines = [path([(x(point.epoch), y(point.loss)) for point in curve], "curve before")]
    return [*lines, path(validation, "curve after")] if validation else lines
