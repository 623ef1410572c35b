"""The charts of the report as SVG, one function each.

Before (network alone) is a hollow dot and a dashed line, after (SEED) a filled dot and a solid line; target scores are
a filled shape, non-target scores a dashed outline. Nothing is told apart by colour alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import NormalDist

from markupsafe import Markup

from seedpipe.report.schema import Condition, Det, Epoch, Estimate, Evaluation, Histogram, System, Training
from seedpipe.report.svg import Box, Point, Scale, area, circle, clipped, document, line, path, text, ticks
from seedpipe.report.wording import MINUS, interval, percent

__all__ = ["det_chart", "eer_chart", "histogram_chart", "training_chart"]

_DET_TICKS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8)
_LONGEST_NAME = 15


def eer_chart(evaluation: Evaluation) -> Markup:
    """Draw the EER by condition, before and after, with 95 % intervals.

    Parameters
    ----------
    evaluation : Evaluation
        Its conditions become the rows.

    Returns
    -------
    Markup
        One SVG element.
    """
    row = 42.0
    box = Box(100.0, 6.0, 408.0, 6.0 + row * len(evaluation.conditions))
    scale = Scale(0.0, _highest_eer(evaluation), box.left, box.right)
    parts = [_grid_x(box, scale, ticks(scale.low, scale.high), "EER, %")]
    for number, condition in enumerate(evaluation.conditions):
        parts.append(_eer_row(condition, box.top + row * (number + 0.5), box.left, scale))
    names = ", ".join(condition.condition for condition in evaluation.conditions)
    label = f"Equal error rate of network and SEED with 95 % intervals for {names}; the numbers are in the table"
    return document(420, box.bottom + 40, label, parts)


def _highest_eer(evaluation: Evaluation) -> float:
    systems = (s for c in evaluation.conditions for s in (c.systems.network, c.systems.seed))
    return max(0.01, 1.05 * max(max(s.eer.value, s.eer.high or 0.0) for s in systems))


def _eer_row(condition: Condition, middle: float, left: float, scale: Scale) -> Markup:
    name = condition.condition
    shown = name if len(name) <= _LONGEST_NAME else name[: _LONGEST_NAME - 1] + "…"
    return (
        text((left - 8, middle + 4.5), shown, "end name")
        + _whisker(condition.systems.network.eer, middle - 6.5, scale, f"{name}, network", "before")
        + _whisker(condition.systems.seed.eer, middle + 6.5, scale, f"{name}, SEED", "after")
    )


def _whisker(estimate: Estimate, y: float, scale: Scale, who: str, kind: str) -> Markup:
    title = f"{who}: {percent(estimate.value)} % {interval(estimate.low, estimate.high, 1, 100)}".rstrip()
    dot = circle((scale(estimate.value), y), 4.5, f"dot {kind}", title)
    if estimate.low is None or estimate.high is None:
        return dot
    low, high = scale(estimate.low), scale(estimate.high)
    strokes = (((low, y), (high, y)), ((low, y - 3.5), (low, y + 3.5)), ((high, y - 3.5), (high, y + 3.5)))
    return Markup("").join(line(start, end, f"whisker {kind}") for start, end in strokes) + dot


def det_chart(condition: Condition, limits: tuple[float, float]) -> Markup:
    """Draw the DET curves before and after, on probit axes.

    Parameters
    ----------
    condition : Condition
        The two systems.
    limits : tuple of float
        Lowest and highest rate drawn, fractions; from :func:`det_limits`, so that all charts of a page compare.

    Returns
    -------
    Markup
        One SVG element.
    """
    box = Box(30.0, 22.0, 250.0, 226.0)
    x = Scale(*limits, box.left, box.right, _probit)
    y = Scale(*limits, box.bottom, box.top, _probit)
    marks = [tick for tick in _DET_TICKS if limits[0] <= tick <= limits[1]]
    systems = ((condition.systems.network, "before"), (condition.systems.seed, "after"))
    curves = [line((x(limits[0]), y(limits[0])), (x(limits[1]), y(limits[1])), "diagonal")]
    curves += [path(_det_points(system.det, x, y), f"curve {kind}") for system, kind in systems]
    curves += [_eer_dot(system, x, y, kind) for system, kind in systems]
    parts = [_grid_x(box, x, marks, "False alarms, %"), _grid_y(box, y, marks, "Misses, %"), clipped(box, curves)]
    label = f"DET curves for {condition.condition}: misses against false alarms, network and SEED"
    return document(258, 264, label, parts)


def det_limits(evaluation: Evaluation) -> tuple[float, float]:
    """Choose common axes for the DET charts of one evaluation: round rates well around every EER.

    Parameters
    ----------
    evaluation : Evaluation
        All its conditions are looked at.

    Returns
    -------
    tuple of float
        Lowest and highest rate, fractions.
    """
    rates = [s.eer.value for c in evaluation.conditions for s in (c.systems.network, c.systems.seed)]
    low = max((tick for tick in _DET_TICKS if tick <= min(rates) / 5.0), default=_DET_TICKS[0])
    high = min((tick for tick in _DET_TICKS if tick >= 1.6 * max(rates)), default=_DET_TICKS[-1])
    return low, max(high, 0.1)


def _probit(rate: float) -> float:
    return NormalDist().inv_cdf(min(max(rate, 1e-6), 1.0 - 1e-6))


def _det_points(det: Det, x: Scale, y: Scale) -> list[Point]:
    return [(x(far), y(frr)) for far, frr in zip(det.far, det.frr, strict=True)]


def _eer_dot(system: System, x: Scale, y: Scale, kind: str) -> Markup:
    who = "network" if kind == "before" else "SEED"
    return circle(
        (x(system.eer.value), y(system.eer.value)), 4.0, f"dot {kind}", f"{who}: {percent(system.eer.value)} %"
    )


def histogram_chart(condition: Condition) -> Markup:
    """Draw the score densities of target and non-target trials, before above after.

    Parameters
    ----------
    condition : Condition
        The two systems; they share the axis of the scores.

    Returns
    -------
    Markup
        One SVG element.
    """
    systems = ((condition.systems.network.histogram, "network"), (condition.systems.seed.histogram, "SEED"))
    low = min(histogram.edges[0] for histogram, _ in systems)
    high = max(histogram.edges[-1] for histogram, _ in systems)
    panels = [Box(10.0, 6.0, 250.0, 96.0), Box(10.0, 108.0, 250.0, 198.0)]
    scale = Scale(low, high, 10.0, 250.0)
    parts = [_grid_x(Box(10.0, 6.0, 250.0, 198.0), scale, ticks(low, high), "Score")]
    for (histogram, name), box in zip(systems, panels, strict=True):
        parts += [_densities(histogram, box, scale), line((10.0, box.bottom), (250.0, box.bottom), "axis")]
        parts.append(text((box.left + 2, box.top + 12), name, "name"))
    label = f"Score histograms for {condition.condition}: target and non-target trials, network above SEED"
    return document(260, 236, label, parts)


def _densities(histogram: Histogram, box: Box, x: Scale) -> Markup:
    y = Scale(0.0, max(*histogram.target, *histogram.nontarget, 1e-12), box.bottom, box.top + 8)
    target, other = (_steps(histogram.edges, values, x, y) for values in (histogram.target, histogram.nontarget))
    return area(other, box.bottom, "density other") + area(target, box.bottom, "density target")


def _steps(edges: Sequence[float], values: Sequence[float], x: Scale, y: Scale) -> list[Point]:
    pairs = zip(edges[:-1], edges[1:], values, strict=True)
    return [(x(edge), y(value)) for left, right, value in pairs for edge in (left, right)]


def training_chart(name: str, training: Training) -> Markup:
    """Draw training and validation loss over the epochs.

    Parameters
    ----------
    name : str
        The speaker network.
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
    parts = [_grid_x(box, x, whole, "Epoch"), _loss_grid(box, y)]
    parts += [clipped(box, _loss_lines(curve, x, y))]
    return document(420, 244, f"Training and validation loss of SEED for {name} over {len(curve)} epochs", parts)


def _loss_lines(curve: Sequence[Epoch], x: Scale, y: Scale) -> list[Markup]:
    validation = [(x(point.epoch), y(point.validation)) for point in curve if point.validation is not None]
    lines = [path([(x(point.epoch), y(point.loss)) for point in curve], "curve before")]
    return [*lines, path(validation, "curve after")] if validation else lines


def _loss_grid(box: Box, scale: Scale) -> Markup:
    grid = Markup("")
    for tick in ticks(scale.low, scale.high):
        y = scale(tick)
        grid += line((box.left, y), (box.right, y), "grid") + text((box.left - 6, y + 4), f"{tick:g}", "end tick")
    return grid + text((0.0, box.top - 10), "Loss", "axis-name")


def _grid_x(box: Box, scale: Scale, values: Sequence[float], name: str) -> Markup:
    """Vertical grid lines with numbers below, and the name of the axis; rates appear as percentages."""
    grid = line((box.left, box.bottom), (box.right, box.bottom), "axis")
    for value in values:
        x = scale(value)
        grid += line((x, box.top), (x, box.bottom), "grid")
        grid += text((x, box.bottom + 16), _tick(value, name), "middle tick")
    return grid + text(((box.left + box.right) / 2, box.bottom + 33), name, "middle axis-name")


def _grid_y(box: Box, scale: Scale, values: Sequence[float], name: str) -> Markup:
    grid = line((box.left, box.top), (box.left, box.bottom), "axis")
    for value in values:
        y = scale(value)
        grid += line((box.left, y), (box.right, y), "grid")
        grid += text((box.left - 6, y + 4), _tick(value, name), "end tick")
    return grid + text((0.0, box.top - 10), name, "axis-name")


def _tick(value: float, name: str) -> str:
    shown = f"{100.0 * value:g}" if name.endswith("%") else f"{value:g}"
    return shown.replace("-", MINUS)
