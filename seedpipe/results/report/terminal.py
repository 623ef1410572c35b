"""The table as plain text."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from seedpipe.results import Condition, Estimate, Evaluation, Report
from seedpipe.results.tables.accuracy import accuracy_tables, by_method
from seedpipe.results.tables.formats import Cell, Table
from seedpipe.results.wording import (
    MINUS,
    change,
    decimals,
    enhancer_name,
    interval,
    measurable_from,
    percent,
    sentence,
    sides,
    verdict,
)

_WIDTH = 90
_LONGEST_NAME = 18
_LONGEST_SYSTEM = 24
_LONGEST_COLUMN = 13
_KEY = (
    "[low, high]: 95 % interval, bootstrap over speakers. Verdict: paired difference of the EER.\n"
    "Measurable from: half the width of its interval. Few errors: fewer than 10."
)
_VERDICTS = {"better": "better", "worse": "worse", "same": "not measurable", "untested": "not tested"}
_SIGNS = {"better": "*", "worse": "!", "untested": "?"}


def render_text(report: Report) -> str:
    """Lay out all evaluations, each as a sentence and a table; ASCII apart from the names in it."""
    blocks = [_plain(report.title) + (" (synthetic data)" if report.synthetic else "")]
    if len({(e.source, e.enhancer, e.list, e.train_seed) for e in report.evaluations}) > 1:
        blocks += [_systems(table) for table in accuracy_tables(by_method(report.evaluations))]
    blocks += [_block(evaluation, report) for evaluation in report.evaluations]
    blocks.append(_KEY)
    return "\n\n".join(blocks) + "\n"


def _plain(text: str) -> str:
    """Keep control characters of a hostile name out of the terminal."""
    return "".join(letter if letter.isprintable() else "?" for letter in text.replace(MINUS, "-").replace("→", "->"))


def _systems(table: Table) -> str:
    """Lay out Table 1: EER and minDCF by system, list and condition."""
    rows = [("EER %/minDCF", *(_shortened(name, _LONGEST_COLUMN) for name in table.columns))]
    rows += [(_ended(row.name), *map(_cell, row.cells)) for row in table.rows]
    several = any(figure.deviation for row in table.rows for cell in row.cells for figure in cell)
    key = "* measurably better, ! worse than without the enhancer, ? not tested; else not measurable"
    return f"{_plain(table.caption)}{', means over training seeds' if several else ''}\n\n{_table(rows)}\n\n{key}"


def _ended(name: str) -> str:
    """Cut the start of a long name: rows of one network differ at the end."""
    return name if len(name) <= _LONGEST_SYSTEM else "..." + name[3 - _LONGEST_SYSTEM :]


def _cell(cell: Cell) -> str:
    return "/".join(figure.text + _SIGNS.get(figure.verdict, "") for figure in cell) or "-"


def _block(evaluation: Evaluation, report: Report) -> str:
    counts = f"{evaluation.trials:,} trials, {evaluation.targets:,} target, {evaluation.speakers:,} speakers"
    several = len({one.train_seed for one in report.evaluations}) > 1
    seed = f"training seed {evaluation.train_seed}; " if several else ""
    title = _plain(f"{evaluation.source} on {evaluation.list} ({evaluation.scores}; {seed}{counts})")
    enhanced = f"-> {_shortened(enhancer_name(evaluation.enhancer), _LONGEST_NAME)} EER %"
    rows: list[tuple[str, ...]] = [("condition", "network EER %", enhanced, "change", "minDCF", "verdict")]
    rows += [_row(condition, decimals(evaluation)) for condition in evaluation.conditions]
    words = textwrap.fill(_plain(sentence(evaluation, synthetic=report.synthetic)), _WIDTH)
    warnings = [textwrap.fill(_plain(f"Warning: {warning}"), _WIDTH) for warning in evaluation.warnings]
    return "\n".join([title, "", _table(rows), "", *_notes(evaluation), *warnings, words])


def _notes(evaluation: Evaluation) -> list[str]:
    """What each side is made of, and how large a difference the list could have seen."""
    places = decimals(evaluation)
    least = ", ".join(
        f"{_shortened(condition.condition, _LONGEST_NAME)} {measurable_from(evaluation, condition, places)}"
        for condition in evaluation.conditions
    )
    sentences = filter(None, [sides(evaluation), f"Measurable from (EER, points): {least}."])
    return [textwrap.fill(_plain(sentence), _WIDTH) for sentence in sentences]


def _table(rows: Sequence[tuple[str, ...]]) -> str:
    """Align columns, with a rule below the first row."""
    plain = [tuple(_plain(cell) for cell in row) for row in rows]
    widths = [max(len(row[column]) for row in plain) for column in range(len(plain[0]))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in plain]
    lines.insert(1, "-" * max(map(len, lines)))
    return "\n".join(lines)


def _shortened(name: str, longest: int) -> str:
    return name if len(name) <= longest else name[: longest - 3] + "..."


def _row(condition: Condition, places: int) -> tuple[str, ...]:
    before, after = condition.systems.network, condition.systems.enhanced
    return (
        _shortened(condition.condition, _LONGEST_NAME),
        _estimate(before.eer, places),
        _estimate(after.eer, places),
        change(before.eer, after.eer).rjust(6),
        f"{before.min_dcf.value:.3f} -> {after.min_dcf.value:.3f}",
        _VERDICTS[verdict(condition.difference.eer)],
    )


def _estimate(estimate: Estimate, places: int) -> str:
    value = percent(estimate.value, places).rjust(4 + (places > 1))
    return f"{value} {interval(estimate.low, estimate.high, places, 100)}".rstrip()
