"""Tables for other tools: DET curves and score histograms, one row a point."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TypeAlias

from seedpipe.results import Evaluation, Histogram, System

# A drawing shows no more.
MOST_ROWS = 2_000
DET = ("method", "condition", "system", "far", "frr")
HISTOGRAM = ("method", "condition", "system", "low", "high", "target", "nontarget")

Row: TypeAlias = tuple[str | float, ...]


def det_rows(evaluations: Sequence[Evaluation]) -> Iterator[Row]:
    """Thin the DET curves to 2,000 points in all, the ends of each among them; columns :data:`DET`."""
    systems = list(_systems(evaluations))
    for names, system in systems:
        points = list(zip(system.det.far, system.det.frr, strict=True))
        most = min(len(points), MOST_ROWS // len(systems))
        for k in range(most):  # at even steps along the list, which is even along the curve as it is drawn
            yield *names, *points[round(k * (len(points) - 1) / (most - 1))]


def histogram_rows(evaluations: Sequence[Evaluation]) -> Iterator[Row]:
    """List the bins of the histograms; neighbours become one where there would be more than 2,000.

    Columns :data:`HISTOGRAM`: edges of the bin and two densities, whose integrals are those of the histogram.
    """
    systems = list(_systems(evaluations))
    for names, system in systems:
        for bin_ in _merged(system.histogram, MOST_ROWS // len(systems)):
            yield *names, *bin_


def _systems(evaluations: Sequence[Evaluation]) -> Iterator[tuple[tuple[str, str, str], System]]:
    for evaluation in evaluations:
        for condition in evaluation.conditions:
            for name in ("network", "enhanced"):
                yield (evaluation.method, condition.condition, name), getattr(condition.systems, name)


def _merged(histogram: Histogram, most: int) -> Iterator[tuple[float, ...]]:
    edges, bins = histogram.edges, len(histogram.target)
    step = -(-bins // most)
    for first in range(0, bins, step):
        last = min(first + step, bins)
        means = (_mean(edges, side, first, last) for side in (histogram.target, histogram.nontarget))
        yield edges[first], edges[last], *means


def _mean(edges: Sequence[float], densities: Sequence[float], first: int, last: int) -> float:
    if last - first == 1:
        return densities[first]
    mass = sum(densities[k] * (edges[k + 1] - edges[k]) for k in range(first, last))
    return mass / (edges[last] - edges[first])


def write_table(path: Path, columns: Sequence[str], rows: Iterable[Row]) -> None:
    """Write rows as csv with every digit."""
    with path.open("w", encoding="utf-8", errors="backslashreplace", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(rows)
