"""What scoring says of score files and embedding files: one system on a list, or two on the same trials."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from seedpipe.results.base import Count, Difference, Estimate, Name, Number, Positive, TabularResult

if TYPE_CHECKING:
    import pandas as pd

Lines = list[str]  # a name outside of the class below, where "list" is a field


@dataclass(frozen=True)
class ListFigures(TabularResult):
    """One system on one list.

    Attributes
    ----------
    list : str
        The file.
    rule : str
        How its names were found among the embeddings.
    trials : int
    figures : dict of str to Estimate, or None
        By name: ``eer``, ``min_dcf_0.05``, ...; None for a list without labels.
    warnings : list of str
        What a reader of the figures should know.
    """

    list: Name
    rule: str
    trials: Count
    figures: dict[str, Estimate[Positive]] | None
    warnings: Lines

    @property
    def heading(self) -> str:
        """Number of trials."""
        blind = " scored; a list without labels has no error rate" if self.figures is None else ""
        return f"{self.trials:,} trials{blind}"

    @property
    def text(self) -> str:
        """A line for each metric."""
        return "\n".join(
            [self.heading, *(f"{name}: {_shown(name, one)}" for name, one in (self.figures or {}).items())]
        )

    def to_frame(self) -> pd.DataFrame:
        """Give a row for each metric: ``metric``, ``value``, ``low`` and ``high``."""
        import pandas as pd

        rows = [{"metric": name} | asdict(one) for name, one in (self.figures or {}).items()]
        return pd.DataFrame(rows, columns=["metric", "value", "low", "high"])


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


@dataclass(frozen=True)
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
        return f"{self.trials:,} trials, {self.targets:,} target, {self.speakers:,} speakers"

    @property
    def text(self) -> str:
        """A line for each metric."""
        return "\n".join([self.heading, *(_compared(name, one) for name, one in self.figures.items())])

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


def _compared(name: str, one: ComparedMetric) -> str:
    cells = [f"{system} {_shown(name, found)}" for system, found in (("a", one.a), ("b", one.b))]
    cells.append(f"b - a {_shown(name, one.difference)}")
    if one.difference.p_value is not None:
        cells.append(f"p = {one.difference.p_value:.3f}")
    return f"{name}: {'; '.join(cells)}: {one.verdict}"


def _shown(name: str, figure: Estimate | Difference) -> str:
    factor, unit = (100.0, " %") if name == "eer" else (1.0, "")
    value = figure.difference if isinstance(figure, Difference) else figure.value
    text = f"{factor * value:.4g}"
    if figure.low is not None and figure.high is not None:
        text += f" [{factor * figure.low:.4g}, {factor * figure.high:.4g}]"
    return text + unit
