"""What scoring says of two systems on the same trials."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from seedpipe.errors import counted
from seedpipe.results import wording
from seedpipe.results.base import Count, Difference, Estimate, Name, Number, Positive, TabularResult

if TYPE_CHECKING:
    import pandas as pd

Lines = list[str]  # a name outside of the class below, where "list" is a field


@dataclass(frozen=True)
class ComparedMetric:
    """A metric of two systems on the same trials.

    Attributes
    ----------
    a, b : Estimate
    difference : Difference
        b minus a.
    verdict : str
        What the interval of the difference says, in words.
    """

    a: Estimate[Positive]
    b: Estimate[Positive]
    difference: Difference[Number]
    verdict: Name


@dataclass(frozen=True, repr=False)
class Comparison(TabularResult):
    """Two systems on the same trials.

    Attributes
    ----------
    trials, targets, speakers : int
    figures : dict of str to ComparedMetric
        For ``eer``, ``min_dcf_0.05`` and ``min_dcf_0.01``.
    warnings : list of str
        What a reader of the figures should know.
    """

    trials: Count
    targets: Count
    speakers: Count
    figures: dict[str, ComparedMetric]
    warnings: Lines

    @property
    def heading(self) -> str:
        """Counts."""
        return f"{counted(self.trials, 'trial')}, {self.targets:,} target, {counted(self.speakers, 'speaker')}"

    def blocks(self) -> Iterator[tuple[str, list[tuple[str, ...]]]]:
        """Give a row for each metric: both systems and their difference with intervals, and what it says."""
        rows: list[tuple[str, ...]] = [("metric", "a", "b", "b - a", "p-value", "verdict")]
        for name, one in self.figures.items():
            p_value = "" if one.difference.p_value is None else f"p = {one.difference.p_value:.3f}"
            cells = [_shown(name, each) for each in (one.a, one.b, one.difference)]
            rows.append((_named(name), *cells, p_value, one.verdict))
        yield self.heading, rows

    def to_frame(self) -> pd.DataFrame:
        """Give a row for each metric: ``a``, ``b`` and ``difference`` with intervals, ``p_value`` and ``verdict``."""
        import pandas as pd

        rows = []
        for name, one in self.figures.items():
            row: dict[str, object] = {"metric": name}
            for side, value, low, high in (
                ("a", one.a.value, one.a.low, one.a.high),
                ("b", one.b.value, one.b.low, one.b.high),
                ("difference", one.difference.difference, one.difference.low, one.difference.high),
            ):
                row |= {side: value, f"{side}_low": low, f"{side}_high": high}
            rows.append(row | {"p_value": one.difference.p_value, "verdict": one.verdict})
        return pd.DataFrame(rows)


def _named(metric: str) -> str:
    return "EER %" if metric == "eer" else wording.metric_name(metric)


def _shown(name: str, figure: Estimate | Difference) -> str:
    """An EER in percent with two places, other metrics with three."""
    scale, places = (100.0, 2) if name == "eer" else (1.0, 3)
    value = figure.difference if isinstance(figure, Difference) else figure.value
    shown = wording.percent(scale * value / 100.0, places)
    return f"{shown} {wording.interval(figure.low, figure.high, places, scale)}".rstrip()
