"""A table as all formats see it: marked figures in rows and columns, and the plain numbers behind them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

__all__ = ["Cell", "Figure", "Row", "Table"]


@dataclass(frozen=True)
class Figure:
    """One number of a cell.

    Attributes
    ----------
    text : str
        As shown.
    best : bool
        Shown in bold.
    better : bool
        Followed by an arrow.
    significant : bool
        Followed by a star.
    """

    text: str
    best: bool = False
    better: bool = False
    significant: bool = False


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
    notes: tuple[str, ...]
    records: tuple[Mapping[str, object], ...]
