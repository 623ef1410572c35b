"""Embeddings on a plane."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from seedpipe.results.derived import Plane, centre, plane
from seedpipe.results.figures.look import BEFORE, GRID, INK, MARKS, PAGE, SPEAKERS

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from seedpipe.results import Place


def projection(
    axes: Axes,
    places: Sequence[Place],
    numbers: Mapping[str, int],
    order: Sequence[str],
    limits: Plane | None = None,
) -> Axes:
    """Draw embeddings on a plane: a speaker is a colour and a number at its centre, a condition the shape of the mark.

    Parameters
    ----------
    axes : Axes
    places : sequence of Place
        The embeddings of one system.
    numbers : mapping of str to int
        The speakers that get a colour and a number, as :func:`numbered_speakers` gives them.
    order : sequence of str
        Conditions; their order gives each its mark.
    limits : pair of tuple of float, optional
        Ends of both axes, as :func:`plane` gives them, so that several figures compare.
    """
    across, up = limits or plane(places)
    # Speakers without a colour first, so that they lie below the others.
    for speaker in sorted({place.speaker for place in places}, key=lambda one: (numbers.get(one, 0), one)):
        look: dict[str, Any] = {"markerfacecolor": "none", "markeredgecolor": BEFORE, "markeredgewidth": 0.8}
        if speaker in numbers:
            look |= {"markerfacecolor": SPEAKERS[numbers[speaker] - 1], "markeredgecolor": PAGE}
        for shape, condition in enumerate(order):
            own = [(place.x, place.y) for place in places if (place.speaker, place.condition) == (speaker, condition)]
            mark = MARKS[shape % len(MARKS)]
            axes.plot(*np.reshape(own, (-1, 2)).T, linestyle="", clip_on=False, marker=mark, **look)
    centres = [centre([place for place in places if place.speaker == speaker]) for speaker in numbers]
    for at, digit in zip(_apart(centres, 0.045 * (up[1] - up[0])), numbers.values(), strict=True):
        axes.text(*at, str(digit), ha="center", va="center", fontsize="large", fontweight="bold", color=INK)
    axes.set(xlim=across, ylim=up, xticks=[], yticks=[])
    axes.set_aspect("equal")
    axes.spines[:].set(visible=True, color=GRID)
    return axes


def _apart(places: Sequence[tuple[float, float]], distance: float) -> list[tuple[float, float]]:
    """Move places up that would be nearer to one before than a distance."""
    found: list[tuple[float, float]] = []
    for x, y in places:
        while any(np.hypot(x - one[0], y - one[1]) < 0.99 * distance for one in found):
            y += distance  # noqa: PLW2901
        found.append((x, y))
    return found
