"""Tables of a paper, from the files that scoring and the benchmark wrote.

- Table 1: EER and minDCF of every system on every list, as in Table 1 of the paper.
- Table 2: parameters, time and memory beside the EER, as in its Table 2.

Each as Markdown, LaTeX (booktabs), CSV (one line per figure, numbers as they are) and an HTML page. Several training
seeds of one system are shown as mean and standard deviation. See docs/tables.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from seedpipe.files import StrPath

__all__ = ["FORMATS", "write_tables"]

FORMATS = ("md", "tex", "csv", "html")


def write_tables(
    results: Sequence[StrPath], out: StrPath, bench: StrPath | None = None, formats: Sequence[str] = FORMATS
) -> list[Path]:
    """Write Table 1 and, with figures of cost, Table 2.

    Parameters
    ----------
    results : sequence of path
        Files ``evaluation.json``, or folders that hold any number of them.
    out : path
        Folder to write to; made where it is missing.
    bench : path, optional
        What ``seedpipe bench`` wrote with ``--csv``, or printed with ``--json``.
    formats : sequence of str
        Some of :data:`FORMATS`.

    Returns
    -------
    list of Path
        The files written: ``table1.md`` and so on.

    Raises
    ------
    MetricError
        A file cannot be used, two evaluations contradict each other, or nothing measured was also scored.
    """
    from seedpipe.files import whole_files, write_text
    from seedpipe.results.tables.accuracy import accuracy_tables
    from seedpipe.results.tables.cost import cost_table
    from seedpipe.results.tables.formats import WRITERS
    from seedpipe.results.tables.read import read_scores

    scores = read_scores(results)
    parts = {"table1": accuracy_tables(scores)}
    if bench is not None:
        parts["table2"] = [cost_table(scores, bench)]
    texts = {Path(out, f"{name}.{kind}"): WRITERS[kind](tables) for name, tables in parts.items() for kind in formats}
    with whole_files(list(texts)) as partials:
        for partial, text in zip(partials, texts.values(), strict=True):
            write_text(partial, text)
    return list(texts)
