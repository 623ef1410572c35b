"""What the templates show of one evaluation: every number as text, every table as rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from seedpipe.results import Condition, Difference, Estimate, Evaluation, Report, System
from seedpipe.results.report import charts, curves, projection, wording
from seedpipe.results.report.axes import highest_rate
from seedpipe.results.report.curves import SnrPoint
from seedpipe.results.report.svg import Point

__all__ = ["sections"]

# A glyph and words besides the colour: readable in grey, and by a screen reader.
_MARKS = {
    "better": ("▼", "better"),
    "worse": ("▲", "worse"),
    "same": ("≈", "no measurable difference"),
    "untested": ("?", "not tested"),
}
_SIDES = {"test": "the test side", "enrol": "the enrolment side", "both": "both sides"}


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
    definitions = {s.eer_definition for c in evaluation.conditions for s in c.systems.both}
    places, enhancer = wording.decimals(evaluation), wording.enhancer_name(evaluation.enhancer)
    # Their charts have the same axes: rivals compare at a glance, and the network alone is drawn once for all of them.
    peers = [one for one in report.evaluations if _place(one) == _place(evaluation)]
    limits = charts.det_limits(peers)
    return {
        "anchor": f"evaluation-{number}",
        "evaluation": evaluation,
        "enhancer": enhancer,
        "title": _title(evaluation, report),
        "sentence": wording.sentence(evaluation, synthetic=report.synthetic),
        "rows": [_row(condition, places) for condition in evaluation.conditions],
        "definitions": ", ".join(sorted(definitions)),
        "eer": charts.eer_chart(
            evaluation, highest_rate(s.eer for e in peers for c in e.conditions for s in c.systems.both)
        ),
        "det": [(c.condition, charts.det_chart(c, enhancer, limits)) for c in evaluation.conditions],
        "histograms": [
            (c.condition, charts.histogram_chart(c, enhancer, _score_limits(c, peers))) for c in evaluation.conditions
        ],
        "further": _further(evaluation),
        "snr": _snr(evaluation, peers, places),
        "timesteps": _timesteps(evaluation, places),
        "side": _SIDES.get(evaluation.mismatch_side or "", evaluation.mismatch_side),
        "projection": _projection(evaluation, peers, report.evaluations[: number - 1]),
        "noise_seeds": _noise_seeds(evaluation, places),
    }


def _place(evaluation: Evaluation) -> tuple[str, ...]:
    return evaluation.source, evaluation.list, evaluation.scores


def _score_limits(condition: Condition, peers: Sequence[Evaluation]) -> tuple[float, float]:
    return charts.score_limits([c for one in peers for c in one.conditions if c.condition == condition.condition])


def _row(condition: Condition, places: int) -> dict[str, Any]:
    (before, after), difference = condition.systems.both, condition.difference
    return {
        "name": condition.condition,
        "eer": _cells(before.eer, after.eer, difference.eer, places, 100.0),
        "min_dcf": _cells(before.min_dcf, after.min_dcf, difference.min_dcf, 3, 1.0),
    }


def _cells(before: Estimate, after: Estimate, difference: Difference, places: int, scale: float) -> dict[str, Any]:
    verdict = wording.verdict(difference)
    glyph, words = _MARKS[verdict]
    return {
        "before": _estimate(before, places, scale),
        "after": _estimate(after, places, scale),
        "change": wording.change(before, after),
        "difference": _difference(difference, places, scale),
        "verdict": verdict,
        "glyph": glyph,
        "words": words,
    }


def _difference(difference: Difference, places: int, scale: float) -> str:
    if difference.low is None:
        return ""
    value = wording.percent(difference.difference * scale / 100.0, places)
    p_value = "" if difference.p_value is None else f", p = {difference.p_value:.2g}"
    return f"{value} {wording.interval(difference.low, difference.high, places, scale)}{p_value}"


def _further(evaluation: Evaluation) -> dict[str, Any]:
    """Lay out the metrics beside EER and minDCF that at least one system has."""
    systems = [s for c in evaluation.conditions for s in c.systems.both]
    present = list(dict.fromkeys(name for s in systems for name in s.further_metrics))
    rows = [
        (c.condition, [(_figure(before, name), _figure(after, name)) for name in present])
        for c in evaluation.conditions
        for before, after in (c.systems.both,)
    ]
    return {"names": [wording.metric_name(name) for name in present], "rows": rows if present else []}


def _figure(system: System, name: str) -> tuple[str, str]:
    figure = system.further_metrics.get(name)
    if figure is None:
        return "–", ""
    return f"{figure.value:.3f}", wording.interval(figure.low, figure.high, 3)


def _estimate(estimate: Estimate, places: int, scale: float = 100.0) -> tuple[str, str]:
    value = wording.percent(estimate.value * scale / 100.0, places)
    return value, wording.interval(estimate.low, estimate.high, places, scale)


def _snr(evaluation: Evaluation, peers: Sequence[Evaluation], places: int) -> dict[str, Any] | None:
    found = curves.snr_curves(evaluation)
    if not found:
        return None
    points = [point for one in peers for curve in curves.snr_curves(one) for point in curve.points]
    highest = highest_rate(estimate for point in points for estimate in (point.network, point.enhanced))
    enhancer = wording.enhancer_name(evaluation.enhancer)
    return {
        "charts": [(curve.name, curves.snr_chart(curve, enhancer, highest)) for curve in found],
        "rows": [_snr_row(curve.condition, point, places) for curve in found for point in curve.points],
    }


def _snr_row(condition: str, point: SnrPoint, places: int) -> dict[str, Any]:
    return {
        "condition": condition,
        "snr": point.label,
        "network": _estimate(point.network, places),
        "enhanced": _estimate(point.enhanced, places),
        "trials": point.trials,
        "targets": point.targets,
    }


def _timesteps(evaluation: Evaluation, places: int) -> dict[str, Any] | None:
    if not evaluation.timesteps:
        return None
    steps = sorted(evaluation.timesteps, key=lambda step: step.t)
    names = list(steps[0].conditions)
    rows = [(step.t, [wording.percent(step.conditions[name], places) for name in names]) for step in steps]
    return {"names": names, "rows": rows, "chart": curves.timestep_chart(evaluation)}


def _projection(
    evaluation: Evaluation, peers: Sequence[Evaluation], shown_before: Sequence[Evaluation]
) -> dict[str, Any] | None:
    """Lay out the embeddings, once: they are the same whatever the trials are scored by."""
    found = evaluation.projection
    if found is None or any(one.projection == found for one in shown_before):
        return None
    order, enhancer = evaluation.condition_names, wording.enhancer_name(evaluation.enhancer)
    scales = projection.plane([one.projection for one in peers if one.projection is not None])
    numbers, centres = projection.numbered_speakers(found), projection.centres(found)
    shown = [name for name in order if any(name in row for row in centres.values())]
    sides = (
        ("network alone", "network", found.systems.network),
        (f"with {enhancer}", enhancer, found.systems.enhanced),
    )
    return {
        "charts": [
            (title, projection.projection_chart(side, scales, numbers, order, name)) for title, name, side in sides
        ],
        "speakers": numbers,
        "others": len(centres) - len(numbers),
        "marks": [(name, order.index(name)) for name in shown],
        "centres": [(speaker, [_moved(row.get(name)) for name in shown]) for speaker, row in centres.items()],
    }


def _moved(centre: tuple[Point, Point] | None) -> str:
    return "–" if centre is None else " → ".join(map(_point, centre))


def _point(at: Point) -> str:
    return ", ".join(f"{value:.2f}".replace("-", wording.MINUS) for value in at)


def _noise_seeds(evaluation: Evaluation, places: int) -> dict[str, Any] | None:
    found = evaluation.noise_seeds
    if found is None:
        return None
    rows = [
        (name, wording.percent(spread.mean, places), wording.percent(spread.deviation, places + 1))
        for name, spread in found.eer.items()
    ]
    return {"count": found.count, "rows": rows}
