"""Tables of a terminal: aligned columns of plain text."""

from __future__ import annotations

from collections.abc import Sequence

MINUS = "\N{MINUS SIGN}"


def plain(text: str) -> str:
    """Keep control characters of a hostile name out of the terminal."""
    return "".join(letter if letter.isprintable() else "?" for letter in text.replace(MINUS, "-").replace("→", "->"))


def text_table(rows: Sequence[tuple[str, ...]]) -> str:
    """Align columns, with a rule below the first row."""
    cells = [tuple(plain(cell) for cell in row) for row in rows]
    widths = [max(len(row[column]) for row in cells) for column in range(len(cells[0]))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells]
    lines.insert(1, "-" * max(map(len, lines)))
    return "\n".join(lines)
