"""What the templates show of one evaluation: every number as text, every table as rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from seedpipe.report import charts, curves, projection, wording
from seedpipe.report.curves import SnrCurve
from seedpipe.report.schema import Condition, Difference, Estimate, Evaluation, Report, System
from seedpipe.report.svg import MARKS

__all__ = ["sections"]

# A glyph and words besides the colour: readable in grey, and by a screen reader.
_MARKS = {
    "better": ("▼", "better"),
    "worse": ("▲", "worse"),
    "same": ("≈", "no measurable difference"),
    "untested": ("?", "not tested"),
}


def sections(report: Report) -> list[dict[str, Any]]:
    """Give one view for each evaluation, with the charts that its data allow."""
    return [_section(k, evaluation, report) for k, evaluation in enumerate(report.evaluations, start=1)]


def _title(evaluation: Evaluation, report: Report) -> str:
    """Name network, enhancer and list, and what else tells the evaluations of a report apart."""

    def key(one: Evaluation) -> tuple[str, ...]:
        return one.source, one.enhancer, one.list

    alike = [one for one in report.evaluations if key(one) == key(evaluation)]
    more = [evaluation.scores] if len({one.scores for one in alike}) > 1 else []
    if len({one.train_seed for one in alike}) > 1:
        more.append(f"training seed {'unknown' if evaluation.train_seed is None else evaluation.train_seed}")
    name = f"{evaluation.source} → {wording.enhancer_name(evaluation.enhancer)} on {evaluation.list}"
    return name + (f" ({', '.join(more)})" if more else "")


def _section(number: int, evaluation: Evaluation, report: Report) -> dict[str, Any]:
    definitions = {s.eer_definition for c in evaluation.conditions for s in _systems(c)}
    places = wording.decimals(evaluation)
    return {
        "anchor": f"evaluation-{number}",
        "evaluation": evaluation,
        "enhancer": wording.enhancer_name(evaluation.enhancer),
        "title": _title(evaluation, report),
        "sentence": wording.sentence(evaluation, synthetic=report.synthetic),
        "rows": [_row(condition, places) for condition in evaluation.conditions],
        "definitions": ", ".join(sorted(definitions)),
        "det_limits": charts.det_limits(evaluation),
        "further": _further(evaluation),
        "snr": _snr(evaluation, places),
        "timesteps": _timesteps(evaluation, places),
        "side": "both sides" if evaluation.mismatch_side == "both" else f"{evaluation.mismatch_side} side",
        "projection": _projection(evaluation, report.evaluations[: number - 1]),
        "noise_seeds": _noise_seeds(evaluation, places),
    }


def _systems(condition: Condition) -> tuple[System, System]:
    return condition.systems.network, condition.systems.enhanced


def _row(condition: Condition, places: int) -> dict[str, Any]:
    (before, after), difference = _systems(condition), condition.difference
    return {
        "name": condition.condition,
        "eer": _cells(before.eer, after.eer, difference.eer, places, 100.0),
        "min_dcf": _cells(before.min_dcf, after.min_dcf, difference.min_dcf, 3, 1.0),
    }


def _cells(before: Estimate, after: Estimate, difference: Difference, places: int, scale: float) -> dict[str, str]:
    verdict = wording.verdict(difference)
    glyph, words = _MARKS[verdict]
    return {
        "before": wording.percent(before.value * scale / 100.0, places),
        "before_interval": wording.interval(before.low, before.high, places, scale),
        "after": wording.percent(after.value * scale / 100.0, places),
        "after_interval": wording.interval(after.low, after.high, places, scale),
        "change": wording.change(before, after),
        "difference": _difference(difference, places, scale),
        "p_value": "" if difference.p_value is None else f"p = {difference.p_value:.2g}",
        "verdict": verdict,
        "glyph": glyph,
        "words": words,
    }


def _difference(difference: Difference, places: int, scale: float) -> str:
    if difference.low is None:
        return ""
    value = wording.percent(difference.difference * scale / 100.0, places)
    return f"{value} {wording.interval(difference.low, difference.high, places, scale)}"


def _further(evaluation: Evaluation) -> dict[str, Any]:
    """Lay out the metrics beside EER and minDCF that at least one system has."""
    systems = [s for c in evaluation.conditions for s in _systems(c)]
    present = list(dict.fromkeys(name for s in systems for name in s.further_metrics))
    rows = [
        (c.condition, [(_figure(before, name), _figure(after, name)) for name in present])
        for c in evaluation.conditions
        for before, after in (_systems(c),)
    ]
    return {"names": [wording.metric_name(name) for name in present], "rows": rows if present else []}


def _figure(system: System, name: str) -> tuple[str, str]:
    figure = system.further_metrics.get(name)
    if figure is None:
        return "–", ""
    return f"{figure.value:.3f}", wording.interval(figure.low, figure.high, 3)


def _estimate(estimate: Estimate, places: int) -> tuple[str, str]:
    return wording.percent(estimate.value, places), wording.interval(estimate.low, estimate.high, places, 100.0)


def _snr(evaluation: Evaluation, places: int) -> list[dict[str, Any]]:
    found = curves.snr_curves(evaluation)
    if not found:
        return []
    highest, enhancer = curves.highest_eer(found), wording.enhancer_name(evaluation.enhancer)
    return [
        {
            "name": curve.name,
            "chart": curves.snr_chart(curve, enhancer, highest),
            "rows": _snr_rows(curve, places),
        }
        for curve in found
    ]


def _snr_rows(curve: SnrCurve, places: int) -> list[dict[str, Any]]:
    return [
        {
            "label": point.label,
            "trials": point.trials,
            "targets": point.targets,
            "network": _estimate(point.network, places),
            "enhanced": _estimate(point.enhanced, places),
        }
        for point in curve.points
    ]


def _timesteps(evaluation: Evaluation, places: int) -> dict[str, Any] | None:
    if not evaluation.timesteps:
        return None
    steps = sorted(evaluation.timesteps, key=lambda step: step.t)
    names = list(steps[0].conditions)
    rows = [(step.t, [wording.percent(step.conditions[name], places) for name in names]) for step in steps]
    return {"names": names, "rows": rows, "chart": curves.timestep_chart(evaluation)}


def _projection(evaluation: Evaluation, shown_before: Sequence[Evaluation]) -> dict[str, Any] | None:
    """Lay out the embeddings, once: they are the same whatever the trials are scored by."""
    found = evaluation.projection
    if found is None or any(one.projection == found for one in shown_before):
        return None
    order, enhancer = evaluation.condition_names, wording.enhancer_name(evaluation.enhancer)
    numbers = projection.numbered_speakers(found)
    groups = projection.groups(found)
    shown = dict.fromkeys(group.condition for group in groups)
    return {
        "charts": [
            ("network alone", projection.projection_chart(found, order, "network", "network")),
            (f"with {enhancer}", projection.projection_chart(found, order, "enhanced", enhancer)),
        ],
        "speakers": numbers,
        "others": len({group.speaker for group in groups}) - len(numbers),
        "marks": [(name, order.index(name) % len(MARKS)) for name in shown],
        "groups": [(g.speaker, g.condition, g.points, _point(g.network), _point(g.enhanced)) for g in groups],
    }


def _point(at: tuple[float, float]) -> str:
    return ", ".join(f"{value:.3f}".replace("-", wording.MINUS) for value in at)


def _noise_seeds(evaluation: Evaluation, places: int) -> dict[str, Any] | None:
    found = evaluation.noise_seeds
    if found is None:
        return None
    rows = [
        (name, wording.percent(spread.mean, places), wording.percent(spread.deviation, places + 1))
        for name, spread in found.eer.items()
    ]
    return {"count": found.count, "rows": rows}
