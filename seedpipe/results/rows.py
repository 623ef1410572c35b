"""The table of an evaluation for people, in a terminal and in a notebook: every number as text."""

from __future__ import annotations

from typing import TYPE_CHECKING

from seedpipe.results.wording import change, decimals, enhancer_name, interval, percent, verdict

if TYPE_CHECKING:
    from seedpipe.results import Condition, Estimate, Evaluation

LONGEST_NAME = 18
_VERDICTS = {"better": "better", "worse": "worse", "same": "not measurable", "untested": "not tested"}


def evaluation_rows(evaluation: Evaluation) -> list[tuple[str, ...]]:
    """Lay out EER and minDCF by condition, the head first: of the network alone, or also with the enhancer."""
    places = decimals(evaluation)
    if evaluation.alone:
        head: tuple[str, ...] = ("condition", "EER %", "minDCF")
        return [head, *(_alone(condition, places) for condition in evaluation.conditions)]
    enhanced = f"-> {shortened(enhancer_name(evaluation.enhancer), LONGEST_NAME)} EER %"
    head = ("condition", "network EER %", enhanced, "change", "minDCF", "verdict")
    return [head, *(_row(condition, places) for condition in evaluation.conditions)]


def shortened(name: str, longest: int) -> str:
    """Cut a name that would widen its column."""
    return name if len(name) <= longest else name[: longest - 3] + "..."


def _alone(condition: Condition, places: int) -> tuple[str, ...]:
    system = condition.systems.network
    cost = f"{system.min_dcf.value:.3f} {interval(system.min_dcf.low, system.min_dcf.high, 3)}".rstrip()
    return shortened(condition.condition, LONGEST_NAME), _estimate(system.eer, places), cost


def _row(condition: Condition, places: int) -> tuple[str, ...]:
    before, after = condition.systems.network, condition.systems.enhanced
    return (
        shortened(condition.condition, LONGEST_NAME),
        _estimate(before.eer, places),
        _estimate(after.eer, places),
        change(before.eer, after.eer).rjust(6),
        f"{before.min_dcf.value:.3f} -> {after.min_dcf.value:.3f}",
        _VERDICTS[verdict(condition.difference.eer)],
    )


def _estimate(estimate: Estimate, places: int) -> str:
    value = percent(estimate.value, places).rjust(4 + (places > 1))
    return f"{value} {interval(estimate.low, estimate.high, places, 100)}".rstrip()
