"""A table of marked numbers, as Markdown, LaTeX, CSV and HTML; whatever is in a name stays a name."""

from __future__ import annotations

import csv
import html
import io
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from seedpipe.results.wording import Verdict

DASH = "–"
MARKDOWN = re.compile(r"([\\`*_{}\[\]<>#|~$])")
LATEX = {
    "\\": r"\textbackslash{}",
    "^": r"\textasciicircum{}",
    "~": r"\textasciitilde{}",
    **{special: f"\\{special}" for special in "&%$#_{}"},
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "→": r"$\rightarrow$",
    "↓": r"$\downarrow$",
    "±": r"$\pm$",
    "−": r"$-$",
    DASH: "--",
}
STYLE = """\
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem; color: #1a1a1a; background: #fff }
table { border-collapse: collapse; border-top: 2px solid; border-bottom: 2px solid; margin: 0 0 .5rem }
caption { text-align: left; font-weight: 600; padding: .5rem 0 }
th, td { padding: .25rem .8rem; text-align: right; white-space: nowrap; font-variant-numeric: tabular-nums }
th:first-child { text-align: left; font-weight: normal }
thead th { border-bottom: 1px solid; font-weight: 600 }
tr.opens > * { border-top: 1px solid }
p { max-width: 60rem; margin: 0 0 .25rem; font-size: 13px }
wbr { white-space: normal }
section { overflow-x: auto; margin-bottom: 2rem }
@media print { body { font-size: 11px; margin: 0 } section { overflow: visible } }
@media (prefers-color-scheme: dark) { body { color: #e6e6e6; background: #161616 } }
"""


@dataclass(frozen=True)
class Entry:
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


Cell: TypeAlias = tuple[Entry, ...]
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


def markdown(tables: Sequence[Table]) -> str:
    """Pipe tables, with the notes below each."""
    return "\n".join(_markdown_table(table) for table in tables)


def latex(tables: Sequence[Table]) -> str:
    """Tables of LaTeX, for a document that loads booktabs."""
    return "% needs \\usepackage{booktabs}\n" + "\n".join(_latex_table(table) for table in tables)


def csv_text(tables: Sequence[Table]) -> str:
    """One line for each system and column, rates as fractions; empty where there is no number."""
    records = [record for table in tables for record in table.records]
    keys = dict.fromkeys(key for record in records for key in record)
    text = io.StringIO()
    writer = csv.DictWriter(text, keys, lineterminator="\n")
    writer.writeheader()
    writer.writerows({key: csv_cell(value) for key, value in record.items()} for record in records)
    return text.getvalue()


def csv_cell(value: object) -> object:
    """A value that no spreadsheet takes for a formula: names may begin as one does."""
    return f"'{value}" if isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t", "\r")) else value


def html_page(tables: Sequence[Table]) -> str:
    """A page that needs nothing else."""
    title = html.escape(tables[0].caption)
    screen = '<meta name="viewport" content="width=device-width, initial-scale=1">'
    head = f'<meta charset="utf-8">\n{screen}\n<title>{title}</title>\n<style>\n{STYLE}</style>'
    body = "\n".join(_html_table(table) for table in tables)
    return f'<!DOCTYPE html>\n<html lang="en">\n<head>\n{head}\n</head>\n<body>\n{body}\n</body>\n</html>\n'


WRITERS: dict[str, Callable[[Sequence[Table]], str]] = {
    "md": markdown,
    "tex": latex,
    "csv": csv_text,
    "html": html_page,
}


def _cell(cell: Cell, escape: Callable[[str], str], bold: str, slash: str = "/") -> str:
    """Figures with their marks, joined by a slash; ``bold`` has a place for what is to be bold."""
    return slash.join(_figure(figure, escape, bold) for figure in cell) or escape(DASH)


def _figure(figure: Entry, escape: Callable[[str], str], bold: str) -> str:
    text = escape(figure.words)
    marks = ("↓" if figure.lower else "") + ("*" if figure.verdict in ("better", "worse") else "")
    return (bold.replace("TEXT", text) if figure.best else text) + escape(marks)


def _plain(text: str) -> str:
    """One line without control characters, which no format has a place for."""
    return "".join(letter if letter.isprintable() else " " for letter in text)


def _escape_markdown(text: str) -> str:
    return MARKDOWN.sub(r"\\\1", _plain(text)).replace("&", "&amp;")


def _escape_latex(text: str) -> str:
    return "".join(LATEX.get(letter, letter) for letter in _plain(text))


def _escape_html(text: str) -> str:
    return html.escape(_plain(text))


def _markdown_table(table: Table) -> str:
    escape = _escape_markdown
    rows = [[escape(row.name), *(_cell(cell, escape, "**TEXT**") for cell in row.cells)] for row in table.rows]
    grid = [[escape(name) for name in (table.head, *table.columns)], ["---", *("---:" for _ in table.columns)], *rows]
    notes = [f"- {escape(note)}" for note in table.notes]
    return "\n".join([f"### {escape(table.caption)}", "", *map(_piped, grid), "", *notes, ""])


def _piped(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _latex_table(table: Table) -> str:
    escape = _escape_latex
    lines = [
        r"\begin{table}",
        r"\centering",
        rf"\caption{{{escape(table.caption)}}}",
        rf"\begin{{tabular}}{{l{'r' * len(table.columns)}}}",
        r"\toprule",
        _latex_row([escape(name) for name in (table.head, *table.columns)]),
        r"\midrule",
    ]
    for row in table.rows:
        lines += [r"\midrule"] if row.opens else []
        lines.append(_latex_row([escape(row.name), *(_cell(cell, escape, r"\textbf{TEXT}") for cell in row.cells)]))
    notes = [rf"\par\footnotesize {escape(note)}" for note in table.notes]
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", *notes, r"\end{table}", ""])


def _latex_row(cells: Sequence[str]) -> str:
    row = " & ".join(cells) + r" \\"
    return "{}" + row if row.startswith(("[", "*")) else row  # the end of the row before would take them as its own


def _html_table(table: Table) -> str:
    escape = _escape_html
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in (table.head, *table.columns))
    rows = [
        ('<tr class="opens">' if row.opens else "<tr>")
        + f'<th scope="row">{escape(row.name)}</th>'
        + "".join(f"<td>{_cell(cell, escape, '<strong>TEXT</strong>', '/<wbr>')}</td>" for cell in row.cells)
        + "</tr>"
        for row in table.rows
    ]
    notes = [f"<p>{escape(note)}</p>" for note in table.notes]
    lines = [f"<caption>{escape(table.caption)}</caption>", f"<thead><tr>{head}</tr></thead>", "<tbody>", *rows]
    return "\n".join(["<section>", "<table>", *lines, "</tbody>", "</table>", *notes, "</section>"])
