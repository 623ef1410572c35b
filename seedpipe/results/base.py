"""What all results share: plain types for JSON and back, a table, a page for notebooks.

Results are frozen dataclasses. Whoever computes them makes them directly; what is read from a file is checked key by
key, by the types and bounds of the fields, and an error names the key. Keys that no field names are left alone.
"""

from __future__ import annotations

import functools
import html
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, dataclass, fields, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Generic, Self

from pydantic import Field, Strict, TypeAdapter, ValidationError
from typing_extensions import TypeVar

from seedpipe.errors import MetricError
from seedpipe.files import StrPath, read_json
from seedpipe.results.text import plain, text_table

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

Number = Annotated[float, Field(strict=True, allow_inf_nan=False, ge=-1e30, le=1e30)]  # what the axes of a chart hold
Rate = Annotated[Number, Field(ge=0.0, le=1.0)]
Change = Annotated[Number, Field(ge=-1.0, le=1.0)]
AtMostOne = Annotated[Number, Field(le=1.0)]
Positive = Annotated[Number, Field(ge=0.0)]
Integer = Annotated[int, Strict(), Field(ge=-(2**63), lt=2**63)]  # what numpy and the axes of a chart hold
Count = Annotated[Integer, Field(ge=0)]
Flag = Annotated[bool, Strict()]
Name = Annotated[str, Field(min_length=1)]
S = TypeVar("S")
T = TypeVar("T", bound=float, default=float)

AS_GIVEN = "as given"
"""The condition of embeddings of which nothing is known."""
FEW_ERRORS = 10
"""Below so many misses or false alarms, intervals tend to be too narrow."""
FURTHER = "further_metrics"
"""The field whose entries stand beside the other fields in a file."""


class Result:
    """To plain types and back."""

    def to_dict(self) -> dict[str, Any]:
        """Give plain types for JSON, optional parts left out where there are none; :meth:`from_dict` reads them."""
        plain: dict[str, Any] = _plain(self)
        return plain

    def left_out(self) -> tuple[str, ...]:
        """Fields that a file does not have, besides those that are None by default."""
        return ()

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Check what :meth:`to_dict` gave, and give it types.

        Raises
        ------
        MetricError
            Names the first key that is missing or impossible.
        """
        try:
            found: Self = _reader(cls).validate_python(data)  # type: ignore[arg-type]  # mypy: a class of Self is not hashable
        except ValidationError as error:
            raise _refused(error) from None
        return found

    @classmethod
    def from_json(cls, path: StrPath) -> Self:
        """Read a file with what :meth:`to_dict` gave.

        Raises
        ------
        MetricError
            The file cannot be read; or as :meth:`from_dict`.
        """
        try:
            return cls.from_dict(read_json(Path(path)))
        except (OSError, ValueError) as error:
            expected = "JSON as the scoring stage writes it"
            raise MetricError(f"cannot be read ({error})", expected=expected, file=Path(path)) from error
        except MetricError as error:
            raise MetricError(error.found, expected=error.expected, remedy=error.remedy, file=Path(path)) from None


class TabularResult(Result, ABC):
    """A result that is a table as well."""

    @property
    @abstractmethod
    def heading(self) -> str:
        """What the table is of, in a line."""

    @abstractmethod
    def blocks(self) -> Iterator[tuple[str, list[tuple[str, ...]]]]:
        """Give headings, and below each a table for people: rows of text, the head first."""

    @abstractmethod
    def to_frame(self) -> pd.DataFrame:
        """Give the figures as a table, rates as fractions."""

    def draw(self, axes: Axes) -> Axes:
        """Draw the figures with their intervals into some axes."""
        return draw_frame(axes, self.to_frame())

    def plot(self, axes: Axes | None = None) -> Axes:
        """Draw the result, with a legend.

        Parameters
        ----------
        axes : matplotlib Axes, optional
            Those of a new figure of pyplot by default.

        Returns
        -------
        Axes
        """
        if axes is None:
            from matplotlib import pyplot

            axes = pyplot.subplots(layout="constrained")[1]
        self.draw(axes).legend()
        return axes

    def __repr__(self) -> str:
        return "\n\n".join(f"{plain(heading)}\n\n{text_table(rows)}" for heading, rows in self.blocks())

    def _repr_html_(self) -> str:
        """Tables for a notebook."""
        return "\n".join(f"<p>{html.escape(heading)}</p>\n{_html_table(rows)}" for heading, rows in self.blocks())


@dataclass(frozen=True)
class Estimate(Generic[T]):
    """A metric and its 95 % interval.

    Attributes
    ----------
    value : float
        In the unit of the metric (EER: a fraction).
    low, high : float or None
        None where the list has too few speakers to resample, or names none.
    """

    value: T
    low: T | None = None
    high: T | None = None


@dataclass(frozen=True)
class Pair(Generic[S]):
    """The same of the network alone and of the network behind the enhancer."""

    network: S
    enhanced: S

    @property
    def both(self) -> tuple[S, S]:
        """Before, then after."""
        return self.network, self.enhanced


@dataclass(frozen=True)
class Difference(Generic[T]):
    """One system minus another on the same trials.

    Attributes
    ----------
    difference : float
        In the unit of the metric; negative when the second system makes fewer errors.
    low, high, p_value : float or None
        95 % interval, and for the hypothesis of no difference; None where the list has too few speakers to resample.
    """

    difference: T
    low: T | None = None
    high: T | None = None
    p_value: Rate | None = None

    @property
    def measurable(self) -> bool:
        """Whether there is an interval, and it excludes zero."""
        return self.low is not None and self.high is not None and (self.low > 0.0 or self.high < 0.0)

    @property
    def measurable_from(self) -> float | None:
        """Least difference that the list could have told from zero: half the width of the interval, if there is one."""
        return None if self.low is None or self.high is None else (self.high - self.low) / 2


def _html_table(rows: list[tuple[str, ...]]) -> str:
    tags = ["th", *("td" for _ in rows[1:])]
    lines = (
        "".join(f"<{tag}>{html.escape(cell)}</{tag}>" for cell in row) for row, tag in zip(rows, tags, strict=True)
    )
    return "<table>" + "".join(f"<tr>{line}</tr>" for line in lines) + "</table>"


def draw_frame(axes: Axes, frame: pd.DataFrame) -> Axes:
    """Draw a table of metrics, a row each, with the intervals of every column that has some."""
    systems = [name for name in ("value", "a", "b") if name in frame]
    for place, name in enumerate(systems):
        low, high = ("low", "high") if name == "value" else (f"{name}_low", f"{name}_high")
        values = frame[name].to_numpy(dtype=float)
        errors = abs(frame[[low, high]].to_numpy(dtype=float).T - values)
        rows = [row + 0.3 * (place - (len(systems) - 1) / 2) for row in range(len(frame))]
        axes.errorbar(values, rows, xerr=errors, fmt="so^"[place], capsize=3.5, label=name)
    axes.set_yticks(range(len(frame)), labels=list(frame["metric"]))
    axes.set_ylim(len(frame) - 0.5, -0.5)
    return axes


def _plain(value: Any) -> Any:
    if is_dataclass(value):
        plain: dict[str, Any] = {}
        left_out = value.left_out() if isinstance(value, Result) else ()
        for field in fields(value):
            if field.name in left_out:
                continue
            item = getattr(value, field.name)
            if field.name == FURTHER:
                plain |= _plain(item)
            elif item is not None or field.default is MISSING:
                plain[field.name] = _plain(item)
        return plain
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value


@functools.cache
def _reader(kind: type[Any]) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


def _refused(error: ValidationError) -> MetricError:
    first = error.errors(include_url=False)[0]
    more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
    key = _path(first["loc"]) or "the whole"
    found = "is missing" if first["type"] == "missing" else f"is {_short(first['input'])}"
    return MetricError(
        f"metrics: {key} {found}{more}",
        expected=_expected(first["type"], first["msg"]),
        remedy="write the metrics again with the scoring stage",
    )


def _path(location: tuple[int | str, ...]) -> str:
    named = (part for part in location if part != FURTHER)
    parts = (f"[{part}]" if isinstance(part, int) else f".{part}" for part in named)
    return "".join(parts).lstrip(".")


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 40 else text[:37] + "..."


def _expected(kind: str, message: str) -> str:
    if kind == "missing":
        return "that key"
    if kind == "dataclass_type":
        return "a dictionary"
    plain = message.removeprefix("Value error, ").removeprefix("Input should be ")
    return plain + (" (rates are fractions, not percentages)" if kind == "less_than_equal" else "")
