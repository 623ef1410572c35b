"""Embeddings on a plane: a speaker is a colour and a number at its centre, a condition the shape of the mark."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from statistics import fmean

from markupsafe import Markup

from seedpipe.results import Place, Projection
from seedpipe.results.report.svg import Point, Scale, document, group, lines, marks, text

__all__ = ["centres", "numbered_speakers", "plane", "projection_chart"]

# As many as there are colours that colour-blind readers can tell apart on white and on black.
_COLOURED = 7
_SIDE = 400.0
_CORNERS = ((0.5, 0.5), (_SIDE - 0.5, 0.5), (_SIDE - 0.5, _SIDE - 0.5), (0.5, _SIDE - 0.5), (0.5, 0.5))


def numbered_speakers(projection: Projection) -> dict[str, int]:
    """Choose the speakers that get a colour and a number: those with the most points, in the order of their names.

    Parameters
    ----------
    projection : Projection
        Points before and after.

    Returns
    -------
    dict
        Speaker to number, from 1.
    """
    speakers = [place.speaker for place in projection.systems.network]
    often = sorted(set(speakers), key=lambda speaker: (-speakers.count(speaker), speaker))[:_COLOURED]
    return {speaker: k for k, speaker in enumerate(sorted(often), start=1)}


def plane(projections: Sequence[Projection]) -> tuple[Scale, Scale]:
    """Place the points of several projections in one square, with the same unit along both axes.

    Parameters
    ----------
    projections : sequence of Projection
        Before and after both count, so that all drawings compare.

    Returns
    -------
    tuple of Scale
        Across and up.
    """
    places = [
        place for one in projections for places in (one.systems.network, one.systems.enhanced) for place in places
    ]
    xs, ys = [place.x for place in places], [place.y for place in places]
    half = 0.53 * max(max(xs) - min(xs), max(ys) - min(ys)) or 1.0
    across, up = (max(xs) + min(xs)) / 2, (max(ys) + min(ys)) / 2
    return Scale(across - half, across + half, 0.0, _SIDE), Scale(up - half, up + half, _SIDE, 0.0)


def projection_chart(
    places: Sequence[Place], scales: tuple[Scale, Scale], numbers: Mapping[str, int], order: Sequence[str], name: str
) -> Markup:
    """Draw the embeddings of one system on the plane.

    Parameters
    ----------
    places : sequence of Place
        The points.
    scales : tuple of Scale
        As :func:`plane` gives them.
    numbers : mapping of str to int
        The speakers that get a colour and a number, as :func:`numbered_speakers` gives them.
    order : sequence of str
        All conditions of the evaluation: their order gives each its mark.
    name : str
        What the system is called.

    Returns
    -------
    Markup
        One SVG element.
    """
    x, y = scales
    speakers = sorted({place.speaker for place in places})
    clouds = []
    # Speakers without a colour first, so that they lie below the others.
    for speaker in sorted(speakers, key=lambda one: one in numbers):
        own = [((x(place.x), y(place.y)), order.index(place.condition)) for place in places if place.speaker == speaker]
        clouds.append(marks(own, f"speaker-{numbers.get(speaker, 0)}", speaker))
    middles = {k: _centre([place for place in places if place.speaker == speaker]) for speaker, k in numbers.items()}
    parts = [
        lines(pairwise(_CORNERS), "grid"),
        group(clouds, "mark"),
        group((text((x(across), y(up) + 5), str(k)) for k, (across, up) in middles.items()), "middle speaker"),
    ]
    label = f"Embeddings on a plane, {name}: {len(places)} points of {len(speakers)} speakers"
    return document(_SIDE, _SIDE, label, parts)


def centres(projection: Projection) -> dict[str, dict[str, tuple[Point, Point]]]:
    """Say where the points lie: the numbers behind the two drawings.

    Parameters
    ----------
    projection : Projection
        Points before and after.

    Returns
    -------
    dict
        Speaker to condition to the centre of the points before and after.
    """
    before, after = _grouped(projection.systems.network), _grouped(projection.systems.enhanced)
    found: dict[str, dict[str, tuple[Point, Point]]] = {}
    for (speaker, condition), places in before.items():
        found.setdefault(speaker, {})[condition] = _centre(places), _centre(after[speaker, condition])
    return found


def _grouped(places: Sequence[Place]) -> dict[tuple[str, str], list[Place]]:
    groups: dict[tuple[str, str], list[Place]] = {}
    for place in sorted(places, key=lambda one: one.speaker):
        groups.setdefault((place.speaker, place.condition), []).append(place)
    return groups


def _centre(places: Sequence[Place]) -> Point:
    return fmean(place.x for place in places), fmean(place.y for place in places)
