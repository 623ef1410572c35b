"""The ROC as counts of accepted trials at every threshold, and what can be read off it.

Every function takes the counts (or weights, in whole numbers) of accepted target and non-target trials, shape (g + 1,)
for g different scores, by falling threshold and starting with 0, where nothing is accepted.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray

from seedpipe.errors import MetricError

Definition: TypeAlias = Literal["linear", "max", "mean", "hull"]
Floats: TypeAlias = NDArray[np.float64]
Integers: TypeAlias = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Sorted:
    """Trials by falling score.

    Attributes
    ----------
    order : array of int, shape (n,)
        Trial numbers, the highest score first.
    ends : array of int, shape (g,)
        Last position of each group of equal scores.
    target : array of bool, shape (n,)
        Labels in that order.
    thresholds : array of float, shape (g + 1,)
        Infinity (accept nothing), then the score of each group.
    """

    order: NDArray[np.intp]
    ends: NDArray[np.intp]
    target: NDArray[np.bool_]
    thresholds: Floats


def sort(scores: Floats, target: NDArray[np.bool_]) -> Sorted:
    """Sort trials by falling score and find the groups of equal scores."""
    order = np.argsort(-scores, kind="stable")
    falling = scores[order]
    ends = np.append(np.flatnonzero(falling[1:] != falling[:-1]), scores.size - 1)
    return Sorted(order, ends, target[order], np.append(np.inf, falling[ends]))


def counts(trials: Sorted, weights: NDArray[np.integer] | None = None) -> tuple[Integers, Integers]:
    """Accepted target and non-target trials at every threshold, each trial counting once or as often as its weight."""
    times = np.ones(trials.order.size, dtype=np.int64) if weights is None else weights
    every = np.cumsum(times, dtype=np.int64)[trials.ends]
    targets = np.cumsum(times * trials.target, dtype=np.int64)[trials.ends]
    return np.append(0, targets), np.append(0, every - targets)


def rates(targets: Integers, others: Integers) -> tuple[Floats, Floats]:
    """FAR and FRR; neither total may be zero."""
    return others / others[-1], 1.0 - targets / targets[-1]


def equal_error_rate(targets: Integers, others: Integers, definition: Definition) -> float:
    """EER in one of the definitions of :func:`seedpipe.metrics.eer`."""
    if definition == "linear":
        return crossing(*rates(targets, others))
    if definition == "hull":
        corners = hull(targets, others)
        return crossing(others[corners] / others[-1], 1.0 - targets[corners] / targets[-1])
    if definition not in get_args(Definition):
        raise MetricError(f"EER definition {definition!r}", expected="one of " + ", ".join(get_args(Definition)))
    far, frr = _nearest_corner(targets, others)
    return max(far, frr) if definition == "max" else (far + frr) / 2.0


def crossing(far: Floats, frr: Floats) -> float:
    """Where the straight lines between ROC points meet FAR = FRR.

    FAR - FRR rises from -1 to 1 with the accepted trials. Between the last point below zero and the first at or above,
    both rates are straight lines, so the crossing is found by one interpolation.
    """
    gap = far - frr
    right = int(np.count_nonzero(gap < 0.0))
    below, above = gap[right - 1], gap[right]
    return float(far[right - 1] + below / (below - above) * (far[right] - far[right - 1]))


def _nearest_corner(targets: Integers, others: Integers) -> tuple[float, float]:
    """FAR and FRR at the ROC corner where they are closest; the first of several.

    A point inside a straight run with equal steps is no corner. Which points take part decides the answer when the
    nearest point is inside a run, hence the same rule as in the tool that the published numbers were made with.
    """
    corner = np.ones(targets.size, dtype=np.bool_)
    # The point where nothing is accepted (index 0) is not part of the runs.
    corner[2:-1] = (np.diff(targets[1:], 2) != 0) | (np.diff(others[1:], 2) != 0)
    far, frr = rates(targets[corner], others[corner])
    nearest = int(np.argmin(np.abs(frr - far)))
    return float(far[nearest]), float(frr[nearest])


def lowest_cost(far: Floats, frr: Floats, cost_fa: float, cost_miss: float) -> float:
    """Lowest ``cost_miss FRR + cost_fa FAR`` over that of the better system without ears."""
    return float((cost_miss * frr + cost_fa * far).min() / min(cost_miss, cost_fa))


def hull(targets: Integers, others: Integers) -> NDArray[np.intp]:
    """Positions of the points on the upper convex hull of the ROC, with both ends.

    A point that does not lie above the line between its neighbours is not a corner of the hull, and stays none when
    they go as well. So all such points leave at once, until few do; a single walk clears the rest. In whole numbers,
    hence exact.
    """
    # A point that stands twice would be taken for one on the line between its neighbours.
    keep = np.flatnonzero(np.append(True, np.diff(targets + others) > 0))
    while True:
        t, n = targets[keep], others[keep]
        turn = (t[1:-1] - t[:-2]) * (n[2:] - n[1:-1]) - (t[2:] - t[1:-1]) * (n[1:-1] - n[:-2])
        stays = np.concatenate(([True], turn > 0, [True]))
        left = keep[stays]
        if left.size > 0.9 * keep.size:
            return _walked_hull(left, targets[left].tolist(), others[left].tolist())
        keep = left


def _walked_hull(points: NDArray[np.intp], t: list[int], n: list[int]) -> NDArray[np.intp]:
    """Andrew's monotone chain over points that are few already."""
    corners: list[int] = []
    for new in range(len(points)):
        while len(corners) > 1:
            a, b = corners[-2], corners[-1]
            if (t[b] - t[a]) * (n[new] - n[b]) > (t[new] - t[b]) * (n[b] - n[a]):
                break
            corners.pop()
        corners.append(new)
    return points[corners]


def lowest_cllr(targets: Integers, others: Integers) -> float:
    """Cllr after the best monotone calibration, in bits.

    Within an edge of the ROC's convex hull that holds the share a of the targets and b of the non-targets, that
    calibration gives every trial the likelihood ratio a / b.
    """
    corners = hull(targets, others)
    a = np.diff(targets[corners]) / targets[-1]
    b = np.diff(others[corners]) / others[-1]
    return float((_x_log_x(a + b) - _x_log_x(a) - _x_log_x(b)).sum() / 2.0)


def _x_log_x(x: Floats) -> Floats:
    return np.asarray(x * np.log2(np.where(x > 0.0, x, 1.0)), dtype=np.float64)
