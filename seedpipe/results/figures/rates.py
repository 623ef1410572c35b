"""Error rates: DET curves, score densities, and the EER by condition, SNR and timestep."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import cycle
from statistics import NormalDist
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.colors import to_rgba
from matplotlib.ticker import MaxNLocator

from seedpipe.results.derived import SnrCurve
from seedpipe.results.figures.look import AFTER, DASHED, INK, LINES, MARKS, OTHER, SOFT, STEPS, shortened, spaced
from seedpipe.results.wording import enhancer_name, number

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

    from seedpipe.results import Estimate, Evaluation, Histogram, System

_DET_TICKS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8)
_DET_POINTS = 200


def det(axes: Axes, systems: Mapping[str, System], limits: tuple[float, float] | None = None) -> Axes:
    """Draw DET curves on probit axes, with a dot at the EER.

    Parameters
    ----------
    axes : Axes
    systems : mapping of str to System
        By name, the network alone first.
    limits : tuple of float, optional
        Lowest and highest rate drawn, fractions; :func:`det_limits` of these systems by default.
    """
    low, high = limits or det_limits(systems.values())
    for set_scale in (axes.set_xscale, axes.set_yscale):
        set_scale("function", functions=(_probit, np.vectorize(NormalDist().cdf, otypes=[float])))
    axes.plot((low, high), (low, high), color=SOFT, linewidth=1.0, linestyle=(0, (1.0, 4.0)))
    for line, (name, system) in zip(cycle(LINES), systems.items()):
        kept = np.linspace(0, len(system.det.far) - 1, min(len(system.det.far), _DET_POINTS)).round().astype(int)
        axes.plot(np.take(system.det.far, kept), np.take(system.det.frr, kept), **{**line, "marker": ""}, label=name)
        axes.plot([system.eer.value], [system.eer.value], clip_on=False, **{**line, "linestyle": ""})
    shown = [tick for tick in _DET_TICKS if low <= tick <= high]
    labels = spaced([f"{100.0 * tick:g}" for tick in shown], _probit(np.array(shown)))
    axes.set_xticks(shown, labels=labels)
    axes.set_yticks(shown, labels=labels)
    axes.set(xlim=(low, high), ylim=(low, high), xlabel="False alarms, %", ylabel="Misses, %")
    return axes


def det_limits(systems: Iterable[System]) -> tuple[float, float]:
    """Choose axes for DET curves, fractions: round rates well around every EER."""
    rates = [system.eer.value for system in systems]
    low = max((tick for tick in _DET_TICKS if tick <= min(rates) / 5.0), default=_DET_TICKS[0])
    high = min((tick for tick in _DET_TICKS if tick >= 1.6 * max(rates)), default=_DET_TICKS[-1])
    return low, max(high, 0.1)


def _probit(rates: NDArray[np.float64] | float) -> NDArray[np.float64]:
    clipped = np.clip(rates, 1e-6, 1.0 - 1e-6)
    quantiles: NDArray[np.float64] = np.vectorize(NormalDist().inv_cdf, otypes=[float])(clipped)
    return quantiles


def histogram(axes: Axes, scores: Histogram, limits: tuple[float, float] | None = None) -> Axes:
    """Draw the densities of target and non-target scores.

    Parameters
    ----------
    axes : Axes
    scores : Histogram
    limits : tuple of float, optional
        Lowest and highest score drawn; those of the histogram by default.
    """
    low, high = limits or (scores.edges[0], scores.edges[-1])
    cut = low > scores.edges[0] or high < scores.edges[-1]
    for densities, colour, opacity, line in (
        (scores.nontarget, OTHER, 0.15, DASHED),
        (scores.target, AFTER, 0.3, "-"),
    ):
        look: dict[str, Any] = {"facecolor": to_rgba(colour, opacity), "edgecolor": colour, "linestyle": line}
        axes.stairs(densities, scores.edges, fill=True, linewidth=1.3, clip_on=cut, **look)
    axes.set(xlim=(low, high), xlabel="Score", yticks=[])
    axes.set_ylim(0.0, 1.1 * max(*scores.target, *scores.nontarget, 1e-12))
    axes.xaxis.set_major_locator(MaxNLocator(5, steps=STEPS))
    axes.spines["left"].set_visible(False)
    return axes


def eer_by_condition(axes: Axes, evaluation: Evaluation | Sequence[Evaluation], highest: float | None = None) -> Axes:
    """Draw the EER by condition, of the network alone and of each enhancer, with 95 % intervals.

    Parameters
    ----------
    axes : Axes
    evaluation : Evaluation, or several with the same conditions that differ in the enhancer
        Their conditions become the rows.
    highest : float, optional
        Upper end of the axis, a fraction, so that several figures compare.
    """
    several = list(evaluation) if isinstance(evaluation, Sequence) else [evaluation]
    conditions = several[0].conditions
    sides = [("network", [condition.systems.network.eer for condition in conditions])]
    shown = [one for one in several if not one.alone]
    sides += [(one.enhancer, [condition.systems.enhanced.eer for condition in one.conditions]) for one in shown]
    step = min(0.3, 0.7 / max(1, len(sides) - 1))
    for place, (line, (name, side)) in enumerate(zip(cycle(LINES), sides, strict=False)):
        heights = [row + step * (place - (len(sides) - 1) / 2) for row in range(len(conditions))]
        values, errors = _intervals(side)
        look = {**line, "linestyle": "", "label": enhancer_name(name)}
        axes.errorbar(values, heights, xerr=errors, capsize=3.5, clip_on=False, **look)
    axes.set_ylim(len(conditions) - 0.5, -0.5)
    names = [shortened(condition.condition) for condition in conditions]
    axes.set_yticks(range(len(conditions)), labels=names, parse_math=False, color=INK)
    axes.grid(visible=False, axis="y")
    axes.set_xlim(0.0, 100.0 * (highest or highest_rate(estimate for _, side in sides for estimate in side)))
    axes.set_xlabel("EER, %")
    return axes


def highest_rate(estimates: Iterable[Estimate]) -> float:
    """Choose the upper end of an axis of rates, a fraction: a little above every interval."""
    return max(0.01, 1.05 * max(max(one.value, one.high or 0.0) for one in estimates))


def _intervals(estimates: Sequence[Estimate]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Percentages, and how far their intervals reach below and above; NaN where there is none."""
    values = np.array([one.value for one in estimates])
    bounds = np.array([(one.low, one.high) for one in estimates], dtype=float).T
    return 100.0 * values, 100.0 * np.abs(bounds - values)


def eer_by_snr(axes: Axes, curve: SnrCurve, highest: float | None = None, *, alone: bool = False) -> Axes:
    """Draw the EER of one condition against SNR, before and after, with 95 % intervals.

    Parameters
    ----------
    axes : Axes
    curve : SnrCurve
        One condition.
    highest : float, optional
        Upper end of the axis, a fraction, so that several figures compare.
    alone : bool
        The network alone.
    """
    points = curve.points
    bounds = sorted({end for point in points for end in (point.low, point.high)})
    span = bounds[-1] - bounds[0] or 10.0
    sides = [[point.network for point in points], [point.enhanced for point in points]][: 1 if alone else 2]
    for line, shift, side in zip(LINES, (-0.012, 0.012), sides, strict=False):
        values, errors = _intervals(side)
        axes.errorbar(
            [point.middle + shift * span for point in points], values, yerr=errors, capsize=3.5, clip_on=False, **line
        )
    axes.set_xlim(bounds[0] - 0.08 * span, bounds[-1] + 0.08 * span)
    axes.set_xticks(bounds, labels=spaced([number(bound) for bound in bounds], np.array(bounds)))
    axes.set_ylim(0.0, 100.0 * (highest or highest_rate(one for side in sides for one in side)))
    axes.set(xlabel="SNR, dB", ylabel="EER, %")
    return axes


def eer_by_timestep(axes: Axes, evaluation: Evaluation) -> Axes:
    """Draw the EER of the enhanced embeddings against the timestep t that they are sampled from, by condition.

    Parameters
    ----------
    axes : Axes
        A legend comes to stand on its right.
    evaluation : Evaluation
        With timesteps.
    """
    steps = sorted(evaluation.timesteps, key=lambda step: step.t)
    times, order = [step.t for step in steps], evaluation.condition_names
    for name in sorted(steps[0].conditions, key=lambda name: -steps[-1].conditions[name]):
        rates = [100.0 * step.conditions[name] for step in steps]
        mark = MARKS[order.index(name) % len(MARKS)]
        axes.plot(times, rates, color=AFTER, linewidth=1.2, marker=mark, clip_on=False, label=shortened(name))
    axes.set_xscale("log")
    axes.set_xticks(times, labels=spaced([str(t) for t in times], np.log(times)))
    axes.set_xticks([], minor=True)
    axes.set_xlim(times[0] / 1.3, times[-1] * 1.3)
    axes.set_ylim(0.0, 105.0 * max(0.0095, *(rate for step in steps for rate in step.conditions.values())))
    axes.set(xlabel="t", ylabel="EER, %")
    for words in axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), handlelength=1.0).get_texts():
        words.set_parse_math(False)
    return axes
