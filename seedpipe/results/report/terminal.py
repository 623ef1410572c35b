"""The table as plain text."""

from __future__ import annotations

import textwrap

from seedpipe.errors import counted
from seedpipe.results import Condition, Estimate, Evaluation, Report
from seedpipe.results.tables.accuracy import accuracy_tables, by_method
from seedpipe.results.tables.formats import Cell, Table
from seedpipe.results.text import plain, text_table
from seedpipe.results.wording import (
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
_KEY = "[low, high]: 95 % interval, bootstrap over speakers."
_KEY_OF_PAIRS = (
    f"{_KEY} Verdict: paired difference of the EER.\n"
    "Measurable from: half the width of its interval. Few errors: fewer than 10."
)
_VERDICTS = {"better": "better", "worse": "worse", "same": "not measurable", "untested": "not tested"}
_SIGNS = {"better": "*", "worse": "!", "untested": "?"}


def render_text(report: Report) -> str:
    """Lay out all evaluations, sentences before tables; ASCII apart from the names in it."""
    title = report.title + (" (synthetic data)" if report.synthetic else "")
    blocks = [f"{plain(title)}\n{plain(report.origin)}"]
    answers = [sentence(one, synthetic=report.synthetic) for one in report.evaluations if report.in_full(one)]
    blocks += [textwrap.fill(plain(answer), _WIDTH) for answer in answers]
    if len({(e.source, e.enhancer, e.list, e.train_seed) for e in report.evaluations}) > 1:
        blocks += [_systems(table) for table in accuracy_tables(by_method(report.evaluations))]
    blocks += [_block(evaluation, report) for evaluation in report.evaluations]
    blocks.append(_KEY if all(one.alone for one in report.evaluations) else _KEY_OF_PAIRS)
    return "\n\n".join(blocks) + "\n"


def _systems(table: Table) -> str:
    """Lay out Table 1: EER and minDCF by system, list and condition."""
    rows = [("EER %/minDCF", *(_shortened(name, _LONGEST_COLUMN) for name in table.columns))]
    rows += [(_ended(row.name), *map(_cell, row.cells)) for row in table.rows]
    several = any(figure.deviation for row in table.rows for cell in row.cells for figure in cell)
    key = "* measurably better, ! worse than without the enhancer, ? not tested; else not measurable"
    return f"{plain(table.caption)}{', means over training seeds' if several else ''}\n\n{text_table(rows)}\n\n{key}"


def _ended(name: str) -> str:
    """Cut the start of a long name: rows of one network differ at the end."""
    return name if len(name) <= _LONGEST_SYSTEM else "..." + name[3 - _LONGEST_SYSTEM :]


def _cell(cell: Cell) -> str:
    return "/".join(figure.text + _SIGNS.get(figure.verdict, "") for figure in cell) or "-"


def _block(evaluation: Evaluation, report: Report) -> str:
    speakers = counted(evaluation.speakers, "speaker")
    counts = f"{counted(evaluation.trials, 'trial')}, {evaluation.targets:,} target, {speakers}"
    several = len({one.train_seed for one in report.evaluations}) > 1
    seed = f"training seed {evaluation.train_seed}; " if several else ""
    title = plain(f"{evaluation.source} on {evaluation.list} ({evaluation.scores}; {seed}{counts})")
    warnings = [textwrap.fill(plain(f"Warning: {warning}"), _WIDTH) for warning in report.new_warnings(evaluation)]
    notes = [*(_notes(evaluation) if report.in_full(evaluation) else ()), *warnings]
    return "\n".join([title, "", text_table(_rows(evaluation)), *([""] if notes else ()), *notes])


def _rows(evaluation: Evaluation) -> list[tuple[str, ...]]:
    places = decimals(evaluation)
    if evaluation.alone:
        head: tuple[str, ...] = ("condition", "EER %", "minDCF")
        return [head, *(_alone(condition, places) for condition in evaluation.conditions)]
    enhanced = f"-> {_shortened(enhancer_name(evaluation.enhancer), _LONGEST_NAME)} EER %"
    head = ("condition", "network EER %", enhanced, "change", "minDCF", "verdict")
    return [head, *(_row(condition, places) for condition in evaluation.conditions)]


def _alone(condition: Condition, places: int) -> tuple[str, ...]:
    system = condition.systems.network
    cost = f"{system.min_dcf.value:.3f} {interval(system.min_dcf.low, system.min_dcf.high, 3)}".rstrip()
    return _shortened(condition.condition, _LONGEST_NAME), _estimate(system.eer, places), cost


def _notes(evaluation: Evaluation) -> list[str]:
    """What each side is made of, and how large a difference the list could have seen."""
    if evaluation.alone:
        return [textwrap.fill(plain(sides(evaluation)), _WIDTH)] if sides(evaluation) else []
    places = decimals(evaluation)
    least = ", ".join(
        f"{_shortened(condition.condition, _LONGEST_NAME)} {measurable_from(evaluation, condition, places)}"
        for condition in evaluation.conditions
    )
    sentences = filter(None, [sides(evaluation), f"Measurable from (EER, points): {least}."])
    return [textwrap.fill(plain(sentence), _WIDTH) for sentence in sentences]


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
