"""A table as all formats see it: marked figures in rows and columns, and the plain numbers behind them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

from seedpipe.results.wording import Verdict

__all__ = ["Cell", "Figure", "Row", "Table"]


@dataclass(frozen=True)
class Figure:
    """One number of a cell.

    Attributes
    ----------
    text : str
        As shown.
    deviation : str
        Over training seeds; empty for a single one.
    best : bool
        Whether no row of the same network is lower, as far as shown, and one is higher.
    lower : bool
        Whether it is lower, as far as shown, than that of the system it is compared with.
    verdict : Verdict
        On the paired difference to the same system without its enhancer.
    """

    text: str
    deviation: str = ""
    best: bool = False
    lower: bool = False
    verdict: Verdict = "same"

    @property
    def words(self) -> str:
        """Number and deviation."""
        return f"{self.text} ± {self.deviation}" if self.deviation else self.text


Cell: TypeAlias = tuple[Figure, ...]
"""Figures that a slash separates; none where there is nothing to show."""


@dataclass(frozen=True)
class Row:
    """One system.

    Attributes
    ----------
    name : str
        Of the system.
    cells : tuple of Cell
        By column.
    opens : bool
        Whether a rule comes before it.
    """

    name: str
    cells: tuple[Cell, ...]
    opens: bool = False


@dataclass(frozen=True)
class Table:
    """Systems against columns.

    Attributes
    ----------
    caption : str
        What it shows.
    head : str
        Above the names of the systems.
    columns : tuple of str
        Names of the columns.
    rows : tuple of Row
    notes : tuple of str
        What has to be known to read it.
    records : tuple of mapping
        The plain numbers, one line of the CSV file each; the same keys in all of them.
    """

    caption: str
    head: str
    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    notes: tuple[str, ...] = ()
    records: tuple[Mapping[str, object], ...] = ()
