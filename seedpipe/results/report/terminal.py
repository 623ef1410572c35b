"""The table as plain text."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator

from seedpipe.errors import counted
from seedpipe.results import Evaluation, Report
from seedpipe.results.rows import LONGEST_NAME, evaluation_rows, shortened
from seedpipe.results.tables.accuracy import accuracy_tables, by_method
from seedpipe.results.tables.formats import Cell, Table
from seedpipe.results.text import plain, text_table
from seedpipe.results.wording import (
    decimals,
    enhancer_name,
    measurable_from,
    percent,
    sentence,
    sides,
    verdict,
)

_WIDTH = 90
_LONGEST_SYSTEM = 24
_LONGEST_COLUMN = 13
_KEY = "[low, high]: 95 % interval, bootstrap over speakers."
_KEY_OF_PAIRS = (
    f"{_KEY} Verdict: paired difference of the EER.\n"
    "Measurable from: half the width of its interval. Few errors: fewer than 10."
)
_SIGNS = {"better": "*", "worse": "!", "untested": "?"}


def render_text(report: Report) -> str:
    """Lay out all evaluations, sentences before tables; ASCII apart from the names in it."""
    title = report.title + (" (synthetic data)" if report.synthetic else "")
    blocks = [f"{plain(title)}\n{plain(report.origin)}"]
    answers = [sentence(one, synthetic=report.synthetic) for one in report.evaluations if report.in_full(one)]
    blocks += [textwrap.fill(plain(answer), _WIDTH) for answer in answers]
    several = len({(e.source, e.enhancer, e.list, e.train_seed) for e in report.evaluations}) > 1
    if several:
        blocks += [_systems(table) for table in accuracy_tables(by_method(report.evaluations))]
        blocks += _paired(report)
    blocks += [_block(one, report) for one in report.evaluations if not several or _worth_a_block(one, report)]
    blocks.append(_KEY if all(one.alone for one in report.evaluations) else _KEY_OF_PAIRS)
    return "\n\n".join(blocks) + "\n"


def _systems(table: Table) -> str:
    """Lay out Table 1: EER and minDCF by system, list and condition."""
    rows = [("EER %/minDCF", *(shortened(name, _LONGEST_COLUMN) for name in table.columns))]
    rows += [(_ended(row.name), *map(_cell, row.cells)) for row in table.rows]
    several = any(figure.deviation for row in table.rows for cell in row.cells for figure in cell)
    key = "* measurably better, ! worse than without the enhancer, ? not tested; else not measurable"
    return f"{plain(table.caption)}{', means over training seeds' if several else ''}\n\n{text_table(rows)}\n\n{key}"


def _paired(report: Report) -> Iterator[str]:
    """Lay out how the first enhancer of each network and list fares against the others."""
    first: dict[tuple[str, ...], str] = {}
    tables: dict[tuple[str, ...], list[tuple[str, ...]]] = {}
    for one in report.comparisons:
        place = (one.network, one.list, one.scores, *one.eer)
        if first.setdefault(place, one.a) != one.a:
            continue
        head = ("EER, points", *(shortened(name, _LONGEST_COLUMN) for name in one.eer))
        pair = f"{enhancer_name(one.b)} - {enhancer_name(one.a)}"
        cells = [percent(change.difference, 2) + _SIGNS.get(verdict(change), "") for change in one.eer.values()]
        tables.setdefault(place, [head]).append((_ended(pair), *cells))
    for place, rows in tables.items():
        network, name, scores, *_ = place
        caption = f"Enhancers among themselves, paired differences: {network} on {name}, {scores} scores"
        key = f"* measurably fewer errors than with {enhancer_name(first[place])}, ! more; else not measurable"
        yield f"{plain(caption)}\n\n{text_table(rows)}\n\n{plain(key)}"


def _ended(name: str) -> str:
    """Cut the start of a long name: rows of one network differ at the end."""
    return name if len(name) <= _LONGEST_SYSTEM else "..." + name[3 - _LONGEST_SYSTEM :]


def _cell(cell: Cell) -> str:
    return "/".join(figure.text + _SIGNS.get(figure.verdict, "") for figure in cell) or "-"


def _worth_a_block(evaluation: Evaluation, report: Report) -> bool:
    """Whether it says more than the tables of all systems: of another scoring method, a warning."""
    return report.in_full(evaluation) or bool(report.new_warnings(evaluation))


def _block(evaluation: Evaluation, report: Report) -> str:
    speakers = counted(evaluation.speakers, "speaker")
    counts = f"{counted(evaluation.trials, 'trial')}, {evaluation.targets:,} target, {speakers}"
    several = len({one.train_seed for one in report.evaluations}) > 1
    seed = f"training seed {evaluation.train_seed}; " if several else ""
    title = plain(f"{evaluation.source} on {evaluation.list} ({evaluation.scores}; {seed}{counts})")
    warnings = [textwrap.fill(plain(f"Warning: {warning}"), _WIDTH) for warning in report.new_warnings(evaluation)]
    notes = [*(_notes(evaluation) if report.in_full(evaluation) else ()), *warnings]
    return "\n".join([title, "", text_table(evaluation_rows(evaluation)), *([""] if notes else ()), *notes])


def _notes(evaluation: Evaluation) -> list[str]:
    """What each side is made of, and how large a difference the list could have seen."""
    if evaluation.alone:
        return [textwrap.fill(plain(sides(evaluation)), _WIDTH)] if sides(evaluation) else []
    places = decimals(evaluation)
    least = ", ".join(
        f"{shortened(condition.condition, LONGEST_NAME)} {measurable_from(evaluation, condition, places)}"
        for condition in evaluation.conditions
    )
    sentences = filter(None, [sides(evaluation), f"Measurable from (EER, points): {least}."])
    return [textwrap.fill(plain(sentence), _WIDTH) for sentence in sentences]
