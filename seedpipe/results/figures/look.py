"""How all figures look: colours, lines, marks, and words that fit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

INK, SOFT, GRID, PAGE = "#1c2126", "#5a646e", "#e6e9ec", "#ffffff"
BEFORE, AFTER, OTHER = "#747d86", "#0072b2", "#d55e00"
# As many as the colour-blind can tell apart on white and on black; a shade off the colours above, which may vary.
SPEAKERS = ("#0071b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55d00", INK)
MARKS = "o^sDv*"  # by condition, from the first again after the last
STYLE: dict[str, Any] = {
    "axes.axisbelow": True,
    "axes.edgecolor": SOFT,
    "axes.grid": True,
    "axes.labelcolor": SOFT,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "font.size": 11.0,
    "grid.color": GRID,
    "grid.linewidth": 1.0,
    "legend.frameon": False,
    "legend.labelcolor": INK,
    "lines.linewidth": 1.8,
    "lines.markersize": 7.0,
    "path.simplify_threshold": 0.8,
    "svg.fonttype": "none",
    "svg.hashsalt": "seedpipe",
    "text.color": INK,
    "text.parse_math": False,
    "xtick.color": SOFT,
    "xtick.major.pad": 6.0,
    "xtick.major.size": 0.0,
    "ytick.color": SOFT,
    "ytick.major.pad": 5.0,
    "ytick.major.size": 0.0,
}

DASHED = (0, (4.0, 2.0))
LINES: tuple[dict[str, Any], ...] = (
    {"color": BEFORE, "linestyle": DASHED, "markerfacecolor": PAGE, "marker": "o"},
    {"color": AFTER, "linestyle": "-", "marker": "o"},
    {"color": OTHER, "linestyle": "-", "marker": "^"},
    {"color": SPEAKERS[2], "linestyle": "-.", "marker": "s"},
    {"color": SPEAKERS[3], "linestyle": "-", "marker": "D"},
    {"color": SPEAKERS[1], "linestyle": ":", "marker": "v"},
)
STEPS = (1, 2, 5, 10)  # between ticks
_LONGEST_NAME = 15


def shortened(name: str) -> str:
    """Cut a name that would leave the drawing."""
    plain = "".join(letter if letter.isprintable() else " " for letter in name)
    return plain if len(plain) <= _LONGEST_NAME else plain[: _LONGEST_NAME - 1] + "…"


def spaced(labels: Sequence[str], places: NDArray[np.float64]) -> list[str]:
    """Leave out labels that would run into the one before."""
    shown, last = [], -np.inf
    for label, place in zip(labels, places, strict=True):
        fits = place - last >= 0.095 * np.ptp(places)
        shown.append(label if fits else "")
        last = place if fits else last
    return shown
