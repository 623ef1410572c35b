"""The few numbers of an evaluation that matter most."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from seedpipe.results import Evaluation, Evaluations

__all__ = ["summary"]


def summary(evaluations: Sequence[Evaluation] | Evaluations, p_target: float) -> dict[str, float | str]:
    """Give the few numbers that ``dvc metrics`` and ``dvc exp`` show, each as a column; ``evaluation.json`` has all.

    Names are short: with the path of the file they are to stand in one line of a terminal.

    Parameters
    ----------
    evaluations : sequence of Evaluation
        By scoring method; the first one counts.
    p_target : float
        The first prior of the detection costs; the key of minDCF ends in it.

    Returns
    -------
    dict
        ``eer`` (%) and ``dcf_P``, EER and minDCF with the enhancer, means over the mismatched conditions; ``alone``,
        that EER of the network alone; ``clean`` (%), the EER of clean trials with the enhancer; the mean relative
        ``reduction`` of the EER (%) and its 95 % ``interval``.
    """
    evaluation = evaluations[0]
    found: dict[str, float | str] = {}
    if clean := evaluation.clean:
        found["clean"] = _percent(clean.systems.enhanced.eer.value, 2)
    if mismatched := [condition.systems for condition in evaluation.averaged]:
        found["alone"] = _percent(fmean(one.network.eer.value for one in mismatched), 2)
        found["eer"] = _percent(fmean(one.enhanced.eer.value for one in mismatched), 2)
        found[f"dcf_{p_target:g}"] = round(fmean(one.enhanced.min_dcf.value for one in mismatched), 3)
    if reduction := evaluation.mean_relative_reduction:
        found["reduction"] = _percent(reduction.value, 1)
        if reduction.low is not None and reduction.high is not None:
            found["interval"] = f"[{100 * reduction.low:.0f}, {100 * reduction.high:.0f}]"
    return found


def _percent(fraction: float, places: int) -> float:
    return round(100 * fraction, places)
