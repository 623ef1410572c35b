"""Figures of results: each function draws into the matplotlib Axes that it is given, and returns it.

    from matplotlib.figure import Figure
    axes = det(Figure().subplots(), {"network": system, "SEED": enhanced})

The first of several systems, the network alone, is grey and dashed with hollow dots; others are solid lines and filled
marks. Target scores are a filled shape, non-target scores a dashed outline. Colours are those of Okabe and Ito, and
nothing is told apart by colour alone. Rates are fractions in the data, percentages in the drawing. A name stays one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import cycle
from statistics import NormalDist
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.colors import to_rgba
from matplotlib.ticker import MaxNLocator

from seedpipe.results.derived import Plane, SnrCurve, centre, plane
from seedpipe.results.wording import enhancer_name, number

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

    from seedpipe.results import Estimate, Evaluation, Histogram, Place, System, Training

INK, SOFT, GRID, PAGE = "#1c2126", "#5a646e", "#e6e9ec", "#ffffff"
BEFORE, AFTER, OTHER = "#747d86", "#0072b2", "#d55e00"
# As many as the colour-blind can tell apart on white and on black; a shade off the colours above, which may vary.
SPEAKERS = ("#0071b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55d00", INK)
MARKS = "o^sDv*"  # by condition, from the first again after the last
STYLE: dict[str, Any] = {
    "axes.axisbelow": True,
    "axes.edgecolor": SOFT,
    "axes.grid": True,
    "axes.labelcolor": SOFT,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "font.size": 11.0,
    "grid.color": GRID,
    "grid.linewidth": 1.0,
    "legend.frameon": False,
    "legend.labelcolor": INK,
    "lines.linewidth": 1.8,
    "lines.markersize": 7.0,
    "path.simplify_threshold": 0.8,
    "svg.fonttype": "none",
    "svg.hashsalt": "seedpipe",
    "text.color": INK,
    "text.parse_math": False,
    "xtick.color": SOFT,
    "xtick.major.pad": 6.0,
    "xtick.major.size": 0.0,
    "ytick.color": SOFT,
    "ytick.major.pad": 5.0,
    "ytick.major.size": 0.0,
}

_DASHED = (0, (4.0, 2.0))
LINES: tuple[dict[str, Any], ...] = (
    {"color": BEFORE, "linestyle": _DASHED, "markerfacecolor": PAGE, "marker": "o"},
    {"color": AFTER, "linestyle": "-", "marker": "o"},
    {"color": OTHER, "linestyle": "-", "marker": "^"},
    {"color": SPEAKERS[2], "linestyle": "-.", "marker": "s"},
    {"color": SPEAKERS[3], "linestyle": "-", "marker": "D"},
    {"color": SPEAKERS[1], "linestyle": ":", "marker": "v"},
)
_STAGES: dict[str, dict[str, Any]] = {
    "front end": {"facecolor": to_rgba(OTHER, 0.3), "edgecolor": OTHER, "linestyle": _DASHED},
    "network": {"color": BEFORE},
    "enhancer": {"color": AFTER},
}
_DET_TICKS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8)
_DET_POINTS, _LONGEST_NAME = 200, 15
_STEPS = (1, 2, 5, 10)  # between ticks


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
    labels = _spaced([f"{100.0 * tick:g}" for tick in shown], _probit(np.array(shown)))
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


def _spaced(labels: Sequence[str], places: NDArray[np.float64]) -> list[str]:
    """Leave out labels that would run into the one before."""
    shown, last = [], -np.inf
    for label, place in zip(labels, places, strict=True):
        fits = place - last >= 0.095 * np.ptp(places)
        shown.append(label if fits else "")
        last = place if fits else last
    return shown


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
        (scores.nontarget, OTHER, 0.15, _DASHED),
        (scores.target, AFTER, 0.3, "-"),
    ):
        look: dict[str, Any] = {"facecolor": to_rgba(colour, opacity), "edgecolor": colour, "linestyle": line}
        axes.stairs(densities, scores.edges, fill=True, linewidth=1.3, clip_on=cut, **look)
    axes.set(xlim=(low, high), xlabel="Score", yticks=[])
    axes.set_ylim(0.0, 1.1 * max(*scores.target, *scores.nontarget, 1e-12))
    axes.xaxis.set_major_locator(MaxNLocator(5, steps=_STEPS))
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


def shortened(name: str) -> str:
    """Cut a name that would leave the drawing."""
    plain = "".join(letter if letter.isprintable() else " " for letter in name)
    return plain if len(plain) <= _LONGEST_NAME else plain[: _LONGEST_NAME - 1] + "…"


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
    axes.set_xticks(bounds, labels=_spaced([number(bound) for bound in bounds], np.array(bounds)))
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
    axes.set_xticks(times, labels=_spaced([str(t) for t in times], np.log(times)))
    axes.set_xticks([], minor=True)
    axes.set_xlim(times[0] / 1.3, times[-1] * 1.3)
    axes.set_ylim(0.0, 105.0 * max(0.0095, *(rate for step in steps for rate in step.conditions.values())))
    axes.set(xlabel="t", ylabel="EER, %")
    for words in axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), handlelength=1.0).get_texts():
        words.set_parse_math(False)
    return axes


def projection(
    axes: Axes,
    places: Sequence[Place],
    numbers: Mapping[str, int],
    order: Sequence[str],
    limits: Plane | None = None,
) -> Axes:
    """Draw embeddings on a plane: a speaker is a colour and a number at its centre, a condition the shape of the mark.

    Parameters
    ----------
    axes : Axes
    places : sequence of Place
        The embeddings of one system.
    numbers : mapping of str to int
        The speakers that get a colour and a number, as :func:`numbered_speakers` gives them.
    order : sequence of str
        Conditions; their order gives each its mark.
    limits : pair of tuple of float, optional
        Ends of both axes, as :func:`plane` gives them, so that several figures compare.
    """
    across, up = limits or plane(places)
    # Speakers without a colour first, so that they lie below the others.
    for speaker in sorted({place.speaker for place in places}, key=lambda one: (numbers.get(one, 0), one)):
        look: dict[str, Any] = {"markerfacecolor": "none", "markeredgecolor": BEFORE, "markeredgewidth": 0.8}
        if speaker in numbers:
            look |= {"markerfacecolor": SPEAKERS[numbers[speaker] - 1], "markeredgecolor": PAGE}
        for shape, condition in enumerate(order):
            own = [(place.x, place.y) for place in places if (place.speaker, place.condition) == (speaker, condition)]
            mark = MARKS[shape % len(MARKS)]
            axes.plot(*np.reshape(own, (-1, 2)).T, linestyle="", clip_on=False, marker=mark, **look)
    for speaker, digit in numbers.items():
        at = centre([place for place in places if place.speaker == speaker])
        axes.text(*at, str(digit), ha="center", va="center", fontsize="large", fontweight="bold", color=INK)
    axes.set(xlim=across, ylim=up, xticks=[], yticks=[])
    axes.set_aspect("equal")
    axes.spines[:].set(visible=True, color=GRID)
    return axes


def training_curve(axes: Axes, training: Training) -> Axes:
    """Draw training and validation loss over the steps.

    Parameters
    ----------
    axes : Axes
    training : Training, with at least two points
    """
    steps, losses = zip(*((point.step, point.loss) for point in training.curve), strict=True)
    axes.plot(steps, losses, **{**LINES[0], "marker": ""}, label="training loss")
    validated = [(point.step, point.validation) for point in training.curve if point.validation is not None]
    if validated:
        axes.plot(*zip(*validated, strict=True), **{**LINES[1], "marker": ""}, label="validation loss")
    axes.set(xlabel="Step", ylabel="Loss", xlim=(steps[0], steps[-1]))
    axes.xaxis.set_major_locator(MaxNLocator(6, steps=_STEPS, integer=True))
    return axes


def cost(axes: Axes, names: Sequence[str], stages: Mapping[str, Sequence[float]], notes: Sequence[str]) -> Axes:
    """Draw the real-time factor of systems as bars, in parts by stage.

    Parameters
    ----------
    axes : Axes
    names : sequence of str, length n
        The systems, from above.
    stages : mapping of str to sequence of float, length n each
        Real-time factor of each part of each system, in the order of the signal: front end, network, enhancer.
    notes : sequence of str, length n
        What to write behind each bar.
    """
    others = np.sum(
        [factors for stage, factors in stages.items() if stage != "network"] or [[0.0] * len(names)], axis=0
    )
    rows = np.arange(len(names)) + 0.33 * np.maximum(np.cumsum(others == 0.0) - 1, 0)  # a network alone begins a group
    whole = np.zeros(len(names))
    for stage, factors in stages.items():
        axes.barh(rows, factors, left=whole, height=0.62, label=stage, **_STAGES[stage])
        whole = whole + np.array(factors)
    for row, end, note in zip(rows, whole, notes, strict=True):
        axes.annotate(note, (end, row), (6.0, 0.0), textcoords="offset points", va="center", parse_math=False)
    axes.set_yticks(rows, labels=["".join(filter(str.isprintable, one)) for one in names], parse_math=False, color=INK)
    axes.set_ylim(rows[-1] + 0.5, -0.5)
    axes.set_xlim(0.0, float(whole.max()))
    axes.xaxis.set_major_locator(MaxNLocator(6, steps=_STEPS))
    axes.grid(visible=False, axis="y")
    axes.set_xlabel("Real-time factor")
    return axes
