"""Embeddings on a plane: a speaker is a colour and a number at its centre, a condition the shape of the mark."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from statistics import fmean
from typing import Literal, NamedTuple

from markupsafe import Markup

from seedpipe.report.schema import Place, Projection
from seedpipe.report.svg import Point, Scale, document, lines, marks, text

__all__ = ["Group", "groups", "numbered_speakers", "projection_chart"]

# As many as there are colours that colour-blind readers can tell apart on white and on black.
_COLOURED = 7
_SIDE = 400.0
_CORNERS = ((0.5, 0.5), (_SIDE - 0.5, 0.5), (_SIDE - 0.5, _SIDE - 0.5), (0.5, _SIDE - 0.5), (0.5, 0.5))


class Group(NamedTuple):
    """The points of one speaker under one condition.

    Attributes
    ----------
    speaker, condition : str
        Whose and which.
    points : int
        Number of points in each drawing.
    network, enhanced : tuple of float
        Their centre before and after.
    """

    speaker: str
    condition: str
    points: int
    network: Point
    enhanced: Point


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


def projection_chart(
    projection: Projection, order: Sequence[str], system: Literal["network", "enhanced"], name: str
) -> Markup:
    """Draw the embeddings of one system on the plane.

    Parameters
    ----------
    projection : Projection
        Both systems give the limits, so that the two drawings compare.
    order : sequence of str
        All conditions of the evaluation: their order gives each its mark.
    system : {"network", "enhanced"}
        Which of the two is drawn.
    name : str
        What it is called.

    Returns
    -------
    Markup
        One SVG element.
    """
    x, y = _plane(projection)
    numbers = numbered_speakers(projection)
    places: list[Place] = getattr(projection.systems, system)
    grouped = _grouped(places)
    parts = [lines(pairwise(_CORNERS), "grid")]
    # Speakers without a colour first, so that they lie below the others.
    for speaker, condition in sorted(grouped, key=lambda group: group[0] in numbers):
        at = [(x(place.x), y(place.y)) for place in grouped[speaker, condition]]
        kind = f"mark speaker-{numbers.get(speaker, 0)}"
        parts.append(marks(at, order.index(condition), 3.6, kind, f"{speaker}, {condition}"))
    for speaker, k in numbers.items():
        middle = _centre([place for place in places if place.speaker == speaker])
        parts.append(text((x(middle[0]), y(middle[1]) + 5), str(k), "middle speaker"))
    speakers = len({place.speaker for place in places})
    label = f"Embeddings on a plane, {name}: {len(places)} points of {speakers} speakers"
    return document(_SIDE, _SIDE, label, parts)


def groups(projection: Projection) -> list[Group]:
    """Say where the points of each speaker and condition lie: the numbers behind the two drawings.

    Parameters
    ----------
    projection : Projection
        Points before and after.

    Returns
    -------
    list of Group
        By speaker, then in the order of the points.
    """
    before, after = _grouped(projection.systems.network), _grouped(projection.systems.enhanced)
    return [Group(*key, len(points), _centre(points), _centre(after[key])) for key, points in before.items()]


def _grouped(places: Sequence[Place]) -> dict[tuple[str, str], list[Place]]:
    groups: dict[tuple[str, str], list[Place]] = {}
    for place in sorted(places, key=lambda one: one.speaker):
        groups.setdefault((place.speaker, place.condition), []).append(place)
    return groups


def _centre(places: Sequence[Place]) -> Point:
    return fmean(place.x for place in places), fmean(place.y for place in places)


def _plane(projection: Projection) -> tuple[Scale, Scale]:
    """Place both systems in one square, with the same unit along both axes."""
    places = [*projection.systems.network, *projection.systems.enhanced]
    xs, ys = [place.x for place in places], [place.y for place in places]
    half = 0.53 * max(max(xs) - min(xs), max(ys) - min(ys)) or 1.0
    across, up = (max(xs) + min(xs)) / 2, (max(ys) + min(ys)) / 2
    return Scale(across - half, across + half, 0.0, _SIDE), Scale(up - half, up + half, _SIDE, 0.0)
