"""Numbers in words: true sentences, whichever way the result went.

A difference is called a difference only where its 95 % interval excludes zero.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Literal, TypeAlias

from seedpipe.errors import counted
from seedpipe.results.base import AS_GIVEN, FEW_ERRORS, Difference
from seedpipe.results.text import MINUS

if TYPE_CHECKING:
    from seedpipe.results import Condition, Estimate, Evaluation, Reduction, SideCrops

Metric: TypeAlias = Literal["eer", "min_dcf"]
Verdict: TypeAlias = Literal["better", "worse", "same", "untested"]

_ENHANCERS = {"seed": "SEED", "drl": "DRL"}
_METRICS = {"act_dcf": "actDCF", "cllr": "Cllr", "min_cllr": "minCllr"}


def enhancer_name(enhancer: str) -> str:
    """Name an enhancer as the page does: "seed" becomes "SEED"; most are called by their own name."""
    return _ENHANCERS.get(enhancer, enhancer)


def metric_name(metric: str) -> str:
    """Name a metric as the page does: "min_dcf_0.01" becomes "minDCF(0.01)"."""
    kind, _, prior = metric.partition("dcf_")
    return f"{kind.removesuffix('_')}DCF({prior})" if prior else _METRICS[metric]


def _subject(evaluation: Evaluation) -> str:
    return enhancer_name(evaluation.enhancer)


def percent(value: float, places: int = 1) -> str:
    """Write a fraction as a percentage without its sign: 0.2291 becomes "22.9"."""
    return _signed(100.0 * value, places)


def figure(value: float, metric: Metric, places: int) -> str:
    """Write an EER as a percentage with so many places, a minDCF as it is with three."""
    return percent(value, places) if metric == "eer" else _signed(value, 3)


def number(value: float) -> str:
    """Write a number without superfluous digits, with a true minus sign: -5.0 becomes "−5"."""
    return f"{value:g}".replace("-", MINUS)


def _signed(value: float, places: int) -> str:
    text = f"{value:.{places}f}"
    if float(text) == 0.0:
        text = text.removeprefix("-")
    return text.replace("-", MINUS)


def _with_sign(value: float) -> str:
    text = _signed(value, 0)
    return text if text.startswith((MINUS, "0")) else "+" + text


def decimals(evaluation: Evaluation) -> int:
    """Choose places for the percentages of one evaluation."""
    return places_for(min(system.eer.value for c in evaluation.conditions for system in c.systems.both))


def places_for(lowest: float) -> int:
    """Choose places for the percentages of one table by its lowest EER: two below 3 %."""
    return 2 if lowest < 0.03 else 1


def interval(low: float | None, high: float | None, places: int, scale: float = 1.0) -> str:
    """Write an interval as "[20.1, 25.3]"; nothing where there is none."""
    if low is None or high is None:
        return ""
    return f"[{_signed(scale * low, places)}, {_signed(scale * high, places)}]"


def measurable_from(evaluation: Evaluation, condition: Condition, places: int) -> str:
    """Write the least difference in EER that could have been told from zero: "0.31" points, or what stands in its way.

    Below ten errors the interval is too narrow, and the number is called too small: "0.31 or more (few errors)".
    """
    least = condition.difference.eer.measurable_from
    if least is None:
        return "not tested"
    if evaluation.errors(condition) >= FEW_ERRORS:
        return percent(least, places)
    return f"{percent(least, places)} or more (few errors)" if least else "few errors"


def sides(evaluation: Evaluation) -> str:
    """Say what the two sides of a trial have of an utterance; nothing where both have the same."""
    if evaluation.crops is None:
        return ""
    enrol, test = (_crops(side) for side in (evaluation.crops.enrol, evaluation.crops.test))
    return f"Enrolment: {enrol}; test: {test}."


def _crops(side: SideCrops) -> str:
    if side.seconds is None:
        return "whole utterances"
    return f"{counted(side.count, 'crop')} of {side.seconds:.1f} s"


def change(before: Estimate, after: Estimate) -> str:
    """Write the relative change as a signed percentage: "+4 %"."""
    if before.value == 0.0:
        return "0 %" if after.value == 0.0 else "from 0"
    return _with_sign(100.0 * (after.value / before.value - 1.0)) + " %"


def verdict(difference: Difference | Reduction) -> Verdict:
    """Judge by the interval alone.

    A negative difference and a positive reduction are both fewer errors.
    """
    if difference.low is None or difference.high is None:
        return "untested"
    if difference.low <= 0.0 <= difference.high:
        return "same"
    lower_is_better = isinstance(difference, Difference)
    return "better" if (difference.high < 0.0) == lower_is_better else "worse"


def common_verdict(differences: Iterable[Difference]) -> Verdict:
    """Give the verdict that all trainings of one system share; "same" where they share none."""
    found = {verdict(difference) for difference in differences}
    return found.pop() if len(found) == 1 else "same"


def enumerate_names(names: Sequence[str]) -> str:
    """Join names as in a sentence: "noise, music and reverb"."""
    return names[0] if len(names) == 1 else ", ".join(names[:-1]) + " and " + names[-1]


def _condition_names(conditions: Sequence[Condition]) -> list[str]:
    """Name conditions for a sentence; levels of one become "noise at 0, 5 and 10 dB"."""
    levels: dict[str, list[float]] = {}
    for condition in conditions:
        if condition.level is not None:
            levels.setdefault(condition.level[0], []).append(condition.level[1])
    plain = [condition.condition for condition in conditions if condition.level is None]
    grouped = [
        f"{name} at {enumerate_names([number(snr) for snr in sorted(all_)])} dB" for name, all_ in levels.items()
    ]
    return plain + grouped


def sentence(evaluation: Evaluation, *, synthetic: bool) -> str:
    """Say the result of one evaluation in one sentence.

    Parameters
    ----------
    evaluation : Evaluation
        One network on one list.
    synthetic : bool
        Whether the recordings are synthetic; then the sentence says so.

    Returns
    -------
    str
        Such as "On the synthetic list demo, with dvector embeddings, SEED lowers the equal error rate by 24 % [18, 29]
        on average over noise and music; on clean speech there is no measurable difference."
    """
    kind = "synthetic list" if synthetic else "list"
    place = f"On the {kind} {evaluation.list}, with {evaluation.source} embeddings, "
    if evaluation.alone:
        return place + f"the equal error rate is {enumerate_names([_alone(one) for one in evaluation.conditions])}."
    if not evaluation.mismatched:
        return place + _only_clean(evaluation) + "."
    main = _mismatched(evaluation)
    clean = evaluation.clean
    return place + main + (_clean_clause(evaluation, clean) if clean else "") + "."


def _alone(condition: Condition) -> str:
    eer = condition.systems.network.eer
    places = places_for(eer.value)
    value = f"{percent(eer.value, places)} % {interval(eer.low, eer.high, places, 100)}".rstrip()
    return value if condition.condition == AS_GIVEN else f"{value} in the condition {condition.condition}"


def _mismatched(evaluation: Evaluation) -> str:
    names, several = _condition_names(evaluation.averaged), len(evaluation.averaged) > 1
    where = f"on average over {enumerate_names(names)}" if several else f"in the condition {names[0]}"
    reduction, enhancer = evaluation.mean_relative_reduction, _subject(evaluation)
    if reduction is None:
        return _tally(evaluation)
    judged = verdict(reduction)
    size = f"{percent(abs(reduction.value), 0)} %"
    if judged == "better":
        return f"{enhancer} lowers the equal error rate by {size} {_straight(reduction)} {where}"
    if judged == "worse":
        return f"{enhancer} raises the equal error rate by {size} {_turned(reduction)} {where}"
    if judged == "same":
        size = f"{_with_sign(-100.0 * reduction.value)} % {_turned(reduction)}"
        return f"{enhancer} makes no measurable difference to the equal error rate {where} (change {size})"
    direction = "lower" if reduction.value >= 0.0 else "higher"
    return (
        f"the equal error rate with {enhancer} is {size} {direction} {where} (no interval: the list names no speakers)"
    )


def _straight(reduction: Reduction) -> str:
    return interval(reduction.low, reduction.high, 0, 100)


def _turned(reduction: Reduction) -> str:
    """Write the interval of the change, which is that of the reduction with the sign turned."""
    if reduction.low is None or reduction.high is None:
        return ""
    return interval(-reduction.high, -reduction.low, 0, 100)


def _tally(evaluation: Evaluation) -> str:
    verdicts = [verdict(condition.difference.eer) for condition in evaluation.mismatched]
    lower, higher = verdicts.count("better"), verdicts.count("worse")
    return (
        f"the equal error rate with {_subject(evaluation)} is measurably lower in {lower} and measurably higher "
        f"in {higher} of {len(verdicts)} mismatched conditions"
    )


def _clean_clause(evaluation: Evaluation, clean: Condition) -> str:
    judged, reduction = verdict(clean.difference.eer), evaluation.mean_relative_reduction
    overall = None if reduction is None else verdict(reduction)
    if judged == "same":
        ending = "there is none either" if overall == "same" else "there is no measurable difference"
        return f"; on clean speech {ending}"
    verb = {"better": "falls", "worse": "rises", "untested": "goes"}[judged]
    opposite = {judged, overall} == {"better", "worse"}
    return f"; {'but ' if opposite else ''}on clean speech it {verb} {_from_to(evaluation, clean)}"


def _only_clean(evaluation: Evaluation) -> str:
    clean, enhancer = evaluation.conditions[0], _subject(evaluation)
    judged = verdict(clean.difference.eer)
    if judged == "same":
        return f"{enhancer} makes no measurable difference to the equal error rate on clean speech"
    if judged == "untested":
        return f"the equal error rate on clean speech goes {_from_to(evaluation, clean)} with {enhancer}"
    verb = "lowers" if judged == "better" else "raises"
    return f"{enhancer} {verb} the equal error rate on clean speech {_from_to(evaluation, clean)}"


def _from_to(evaluation: Evaluation, condition: Condition) -> str:
    places = decimals(evaluation)
    before, after = condition.systems.network.eer.value, condition.systems.enhanced.eer.value
    return f"from {percent(before, places)} % to {percent(after, places)} %"
