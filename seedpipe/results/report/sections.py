"""What the templates show of one evaluation: every number as text, every table as rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

from markupsafe import Markup

from seedpipe.results import (
    Condition,
    Difference,
    Estimate,
    Evaluation,
    Place,
    Projection,
    Report,
    System,
    figures,
    wording,
)
from seedpipe.results.derived import SnrPoint, centre, numbered_speakers, snr_curves
from seedpipe.results.report.charts import Charts, comparison_chart
from seedpipe.results.svg import Drawings, page_colour
from seedpipe.results.text import MINUS

Point: TypeAlias = tuple[float, float]

# A glyph and words besides the colour: readable in grey, and by a screen reader.
_MARKS = {
    "better": ("▼", "better"),
    "worse": ("▲", "worse"),
    "same": ("≈", "no measurable difference"),
    "untested": ("?", "not tested"),
}
_GLYPHS = "●▲■◆▼★"  # what the marks of the figures look like
_SIDES = {"test": "the test side", "enrol": "the enrolment side", "both": "both sides"}


def sections(report: Report, drawings: Drawings) -> list[dict[str, Any]]:
    """Give one view for each evaluation, with the figures that its data allow."""
    return [_section(k, evaluation, report, drawings) for k, evaluation in enumerate(report.evaluations, start=1)]


def _title(evaluation: Evaluation, report: Report) -> str:
    """Name network, enhancer and list, and what else tells the evaluations of a report apart."""

    def key(one: Evaluation) -> tuple[str, ...]:
        return one.source, one.enhancer, one.list

    alike = [one for one in report.evaluations if key(one) == key(evaluation)]
    more = [evaluation.scores] if len({one.scores for one in alike}) > 1 else []
    if len({one.train_seed for one in alike}) > 1:
        more.append(f"training seed {'unknown' if evaluation.train_seed is None else evaluation.train_seed}")
    name = f"{evaluation.title} on {evaluation.list}"
    return name + (f" ({', '.join(more)})" if more else "")


def _section(number: int, evaluation: Evaluation, report: Report, drawings: Drawings) -> dict[str, Any]:
    """Lay out one evaluation: all that is known by the first scoring method, the table by others."""
    definitions = {s.eer_definition for c in evaluation.conditions for s in c.systems.both}
    places = wording.decimals(evaluation)
    peers = [one for one in report.evaluations if _place(one) == _place(evaluation)]
    charts = Charts(drawings, evaluation, peers)
    full = report.in_full(evaluation)
    section = {
        "anchor": f"evaluation-{number}",
        "evaluation": evaluation,
        "in_full": full,
        "leads": report.leads(evaluation),
        "warnings": report.new_warnings(evaluation),
        "enhancer": "" if evaluation.alone else charts.names[-1],
        "title": _title(evaluation, report),
        "sentence": wording.sentence(evaluation, synthetic=report.synthetic),
        "sides": wording.sides(evaluation),
        "side": _SIDES.get(evaluation.mismatch_side or "", evaluation.mismatch_side),
        "rows": [_row(evaluation, condition, places) for condition in evaluation.conditions],
        "definitions": ", ".join(sorted(definitions)),
        "further": _further(evaluation) if full else {"rows": []},
        "snr": _snr(charts, places) if full else None,
        "timesteps": _timesteps(charts, places) if full else None,
        "noise_seeds": _noise_seeds(evaluation, places) if full else None,
        "projection": _projection(charts, report.evaluations[: number - 1]) if full else None,
    }
    shown = {"det": charts.det(), "histograms": charts.histograms()} if full else {}
    # Of several enhancers, one chart at the top of the page shows the EER of all.
    enhancers = {one.enhancer for one in peers if one.place == evaluation.place and not one.alone}
    return section | shown | {"eer": charts.eer() if report.leads(evaluation) and len(enhancers) < 2 else None}


def comparisons(report: Report, drawings: Drawings) -> list[tuple[list[tuple[str, str, str]], Markup]]:
    """Give a chart of all enhancers of a network on a list, by the first scoring method, where there are several.

    Each comes with its legend: name, glyph and colour of each system.
    """
    alike: dict[tuple[str, ...], dict[str, Evaluation]] = {}
    for one in report.evaluations:
        if one.alone or not report.in_full(one):
            continue
        alike.setdefault(one.place, {}).setdefault(one.enhancer, one)
    found = []
    for several in (list(one.values()) for one in alike.values() if len(one) > 1):
        names = ["network alone", *(wording.enhancer_name(one.enhancer) for one in several)]
        looks = [figures.LINES[k % len(figures.LINES)] for k in range(len(names))]
        glyphs = ["○", *(_GLYPHS[figures.MARKS.index(look["marker"])] for look in looks[1:])]
        colours = [page_colour(look["color"]) for look in looks]
        legend = list(zip(names, glyphs, colours, strict=True))
        found.append((legend, comparison_chart(drawings, several)))
    return found


def paired(report: Report) -> list[dict[str, Any]]:
    """Lay out the enhancers among themselves: a table for each network and list, a row for each pair."""
    tables: dict[tuple[str, ...], dict[str, Any]] = {}
    for one in report.comparisons:
        names = list(one.eer)
        table = tables.setdefault(
            (one.network, one.list, one.scores, *names),
            {"place": f"{one.network} on {one.list}, {one.scores} scores", "names": names, "rows": []},
        )
        pair = f"{wording.enhancer_name(one.b)} against {wording.enhancer_name(one.a)}"
        table["rows"].append((pair, [_cell(change) for change in one.eer.values()]))
    return list(tables.values())


def _cell(change: Difference) -> tuple[str, str, str, str]:
    verdict = wording.verdict(change)
    interval = wording.interval(change.low, change.high, 2, 100.0)
    return wording.percent(change.difference, 2), interval, verdict, _MARKS[verdict][1]


def _place(evaluation: Evaluation) -> tuple[str, ...]:
    return evaluation.source, evaluation.list, evaluation.scores


def _row(evaluation: Evaluation, condition: Condition, places: int) -> dict[str, Any]:
    (before, after), difference = condition.systems.both, condition.difference
    return {
        "name": condition.condition,
        "eer": _cells(before.eer, after.eer, difference.eer, places, 100.0),
        "measurable_from": wording.measurable_from(evaluation, condition, places),
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


def _snr(charts: Charts, places: int) -> dict[str, Any] | None:
    curves = snr_curves(charts.evaluation)
    if not curves:
        return None
    return {
        "charts": charts.snr(),
        "rows": [_snr_row(curve.condition, point, places) for curve in curves for point in curve.points],
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


def _timesteps(charts: Charts, places: int) -> dict[str, Any] | None:
    if not charts.evaluation.timesteps:
        return None
    steps = sorted(charts.evaluation.timesteps, key=lambda step: step.t)
    names = list(steps[0].conditions)
    rows = [(step.t, [wording.percent(step.conditions[name], places) for name in names]) for step in steps]
    return {"names": names, "rows": rows, "chart": charts.timesteps()}


def _projection(charts: Charts, shown_before: Sequence[Evaluation]) -> dict[str, Any] | None:
    """Lay out the embeddings, once: they are the same whatever the trials are scored by."""
    found = charts.evaluation.projection
    if found is None or any(one.projection == found for one in shown_before):
        return None
    order, numbers, centres = charts.evaluation.condition_names, numbered_speakers(found), _centres(found)
    shown = [name for name in order if any(name in row for row in centres.values())]
    return {
        "charts": charts.projections(found),
        "speakers": [(name, k, page_colour(figures.SPEAKERS[k - 1])) for name, k in numbers.items()],
        "others": len(centres) - len(numbers),
        "marks": [(name, _GLYPHS[order.index(name) % len(_GLYPHS)]) for name in shown],
        "centres": [
            (speaker, [_moved(row.get(name), len(charts.names)) for name in shown]) for speaker, row in centres.items()
        ],
    }


def _centres(projection: Projection) -> dict[str, dict[str, tuple[Point, Point]]]:
    """Speaker to condition to the centre of the points before and after: the numbers behind the two drawings."""
    found: dict[str, dict[str, tuple[Point, Point]]] = {}
    for speaker, condition in sorted({(place.speaker, place.condition) for place in projection.systems.network}):
        found.setdefault(speaker, {})[condition] = (
            _centre(projection.systems.network, speaker, condition),
            _centre(projection.systems.enhanced, speaker, condition),
        )
    return found


def _centre(places: Sequence[Place], speaker: str, condition: str) -> Point:
    return centre([place for place in places if (place.speaker, place.condition) == (speaker, condition)])


def _moved(ends: tuple[Point, Point] | None, shown: int) -> str:
    return "–" if ends is None else " → ".join(map(_point, ends[:shown]))


def _point(at: Point) -> str:
    return ", ".join(f"{value:.2f}".replace("-", MINUS) for value in at)


def _noise_seeds(evaluation: Evaluation, places: int) -> dict[str, Any] | None:
    found = evaluation.noise_seeds
    if found is None:
        return None
    rows = [
        (name, wording.percent(spread.mean, places), wording.percent(spread.deviation, places + 1))
        for name, spread in found.eer.items()
    ]
    return {"count": found.count, "rows": rows}
