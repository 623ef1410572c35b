"""What systems cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.colors import to_rgba
from matplotlib.ticker import MaxNLocator

from seedpipe.results.figures.look import AFTER, BEFORE, DASHED, INK, OTHER, STEPS

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_STAGES: dict[str, dict[str, Any]] = {
    "front end": {"facecolor": to_rgba(OTHER, 0.3), "edgecolor": OTHER, "linestyle": DASHED},
    "network": {"color": BEFORE},
    "enhancer": {"color": AFTER},
}


def cost(axes: Axes, names: Sequence[str], stages: Mapping[str, Sequence[float]], notes: Sequence[str]) -> Axes:
    """Draw the real-time factor of systems as bars, in parts by stage.

    Parameters
    ----------
    axes : Axes
    names : sequence of str, length n
        The systems, from above.
    stages : mapping of str to sequence of float, length n each
        Real-time factor of each part of each system, in the order of the signal: front end, network, enhancer.
    notes : sequence of str, length n
        What to write behind each bar.
    """
    others = np.sum(
        [factors for stage, factors in stages.items() if stage != "network"] or [[0.0] * len(names)], axis=0
    )
    rows = np.arange(len(names)) + 0.33 * np.maximum(np.cumsum(others == 0.0) - 1, 0)  # a network alone begins a group
    whole = np.zeros(len(names))
    for stage, factors in stages.items():
        axes.barh(rows, factors, left=whole, height=0.62, label=stage, **_STAGES[stage])
        whole = whole + np.array(factors)
    for row, end, note in zip(rows, whole, notes, strict=True):
        axes.annotate(note, (end, row), (6.0, 0.0), textcoords="offset points", va="center", parse_math=False)
    axes.set_yticks(rows, labels=["".join(filter(str.isprintable, one)) for one in names], parse_math=False, color=INK)
    axes.set_ylim(rows[-1] + 0.5, -0.5)
    axes.set_xlim(0.0, float(whole.max()))
    axes.xaxis.set_major_locator(MaxNLocator(6, steps=STEPS))
    axes.grid(visible=False, axis="y")
    axes.set_xlabel("Real-time factor")
    return axes
