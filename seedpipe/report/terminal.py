"""The table as plain text."""

from __future__ import annotations

import textwrap

from seedpipe.report.schema import Condition, Estimate, Evaluation, Report
from seedpipe.report.wording import MINUS, change, decimals, interval, percent, sentence, verdict

__all__ = ["render_text"]

_WIDTH = 90
_LONGEST_NAME = 18
_VERDICTS = {"better": "better", "worse": "worse", "same": "not measurable", "untested": "not tested"}


def render_text(report: Report) -> str:
    """Lay out all evaluations, each as a sentence and a table.

    Parameters
    ----------
    report : Report
        The checked metrics.

    Returns
    -------
    str
        ASCII apart from the names in it; ends with a line break.
    """
    blocks = [_plain(report.title) + (" (synthetic data)" if report.synthetic else "")]
    blocks += [_block(evaluation, synthetic=report.synthetic) for evaluation in report.evaluations]
    blocks.append("[low, high]: 95 % interval, bootstrap over speakers. Verdict: paired difference of the EER.")
    return "\n\n".join(blocks) + "\n"


def _plain(text: str) -> str:
    """Keep control characters of a hostile name out of the terminal."""
    return "".join(letter if letter.isprintable() else "?" for letter in text.replace(MINUS, "-"))


def _block(evaluation: Evaluation, *, synthetic: bool) -> str:
    counts = f"{evaluation.trials:,} trials, {evaluation.targets:,} target, {evaluation.speakers:,} speakers"
    title = _plain(f"{evaluation.network} on {evaluation.list} ({evaluation.method}; {counts})")
    rows: list[tuple[str, ...]] = [("condition", "network EER %", "-> SEED EER %", "change", "minDCF", "verdict")]
    rows += [_row(condition, decimals(evaluation)) for condition in evaluation.conditions]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    lines.insert(1, "-" * max(map(len, lines)))
    words = textwrap.fill(_plain(sentence(evaluation, synthetic=synthetic)), _WIDTH)
    return "\n".join([title, "", *lines, "", words])


def _row(condition: Condition, places: int) -> tuple[str, ...]:
    network, seed = condition.systems.network, condition.systems.seed
    name = condition.condition
    cells = (
        name if len(name) <= _LONGEST_NAME else name[: _LONGEST_NAME - 3] + "...",
        _estimate(network.eer, places),
        _estimate(seed.eer, places),
        change(network.eer, seed.eer).rjust(6),
        f"{network.min_dcf.value:.3f} -> {seed.min_dcf.value:.3f}",
        _VERDICTS[verdict(condition.difference.eer)],
    )
    return tuple(_plain(cell) for cell in cells)


def _estimate(estimate: Estimate, places: int) -> str:
    value = percent(estimate.value, places).rjust(4 + (places > 1))
    return f"{value} {interval(estimate.low, estimate.high, places, 100)}".rstrip()
