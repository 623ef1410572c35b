"""Tables in text, read by pandas, without what pandas passes over in silence."""

from __future__ import annotations

import contextlib
import csv
import io
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

BLANKS = r"\s+"


def read_table(text: str, sep: str = ",", **options: Any) -> pd.DataFrame:
    r"""Read a table as ``pandas.read_csv`` does, and refuse what that makes something else of.

    pandas renames the second of two columns of one name, and joins lines behind a quotation mark that is not closed.

    Parameters
    ----------
    text : str
    sep : str
        What parts columns; ``\s+`` for blanks of any number.
    options
        As of ``pandas.read_csv``; where ``names`` is among them, the text has no header.

    Raises
    ------
    ValueError
        The header names a column twice, a quotation mark is not closed, or pandas cannot read the text.

    Examples
    --------
    >>> read_table("a,b\n1,2\n").to_dict("records")
    [{'a': 1, 'b': 2}]
    """
    import pandas as pd

    plain = {"sep": sep, "skipinitialspace": options.get("skipinitialspace", False)}
    headed = options.get("names") is None
    if headed:
        header = pd.read_csv(_stream(text), header=None, nrows=1, dtype=str, keep_default_na=False, **plain)
        names = header.iloc[0].tolist()
        if twice := [name for number, name in enumerate(names) if name in names[:number]]:
            raise ValueError(f"the column {twice[0]} stands twice")
    frame: pd.DataFrame = pd.read_csv(_stream(text), sep=sep, **options)
    if '"' in text and text.rstrip("\n").count("\n") >= len(frame) + headed:  # a blank line, or one that goes on
        _expect_closed_quotes(text, sep, frame)
    return frame


def lines_of(text: str, rows: int, *, headed: bool = True) -> NDArray[np.int64]:
    r"""Line of the text at which each row of a table starts that :func:`read_table` read; blank lines count as lines.

    Examples
    --------
    >>> lines_of("a,b\n\n1,2\n3,4\n", rows=2).tolist()
    [3, 4]
    """
    import numpy as np

    plain = np.arange(1 + headed, rows + 1 + headed)
    if text.rstrip("\n").count("\n") < rows + headed:
        return plain
    reader, starts, line = csv.reader(_stream(text)), [], 1
    with contextlib.suppress(csv.Error):  # of a cell that is longer than it takes; then rows are counted without
        for record in reader:  # a row goes on in quotes, whatever parts its columns
            if any(cell.strip() for cell in record) or len(record) > 1:
                starts.append(line)
            line = reader.line_num + 1
    return np.array(starts[headed:]) if len(starts) == rows + headed else plain


def _stream(text: str) -> io.StringIO:
    return io.StringIO(text, newline="")


def _expect_closed_quotes(text: str, sep: str, frame: pd.DataFrame) -> None:
    if sep == BLANKS:
        if frame.astype(str).apply(lambda column: column.str.contains("\n")).any(axis=None):
            raise ValueError("a quotation mark is not closed in its line")
        return
    try:
        for _ in csv.reader(_stream(text), delimiter=sep, strict=True):
            pass
    except csv.Error as error:
        raise ValueError(f"its quotes are not those of a csv: {error}") from error
