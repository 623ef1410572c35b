"""Figures of results: each function draws into the matplotlib Axes that it is given, and returns it.

    from matplotlib.figure import Figure
    axes = det(Figure().subplots(), {"network": system, "SEED": enhanced})

The first of several systems, the network alone, is grey and dashed with hollow dots; others are solid lines and filled
marks. Target scores are a filled shape, non-target scores a dashed outline. Colours are those of Okabe and Ito, and
nothing is told apart by colour alone. Rates are fractions in the data, percentages in the drawing. A name stays one.
"""

from __future__ import annotations

from seedpipe.results.figures.cost import cost
from seedpipe.results.figures.look import (
    AFTER,
    BEFORE,
    GRID,
    INK,
    LINES,
    MARKS,
    OTHER,
    PAGE,
    SOFT,
    SPEAKERS,
    STYLE,
    shortened,
)
from seedpipe.results.figures.places import projection
from seedpipe.results.figures.rates import (
    det,
    det_limits,
    eer_by_condition,
    eer_by_snr,
    eer_by_timestep,
    highest_rate,
    histogram,
)
from seedpipe.results.figures.sound import spectrogram, waveform
from seedpipe.results.figures.training import learning_curve, training_curve

__all__ = [
    "AFTER",
    "BEFORE",
    "GRID",
    "INK",
    "LINES",
    "MARKS",
    "OTHER",
    "PAGE",
    "SOFT",
    "SPEAKERS",
    "STYLE",
    "cost",
    "det",
    "det_limits",
    "eer_by_condition",
    "eer_by_snr",
    "eer_by_timestep",
    "highest_rate",
    "histogram",
    "learning_curve",
    "projection",
    "shortened",
    "spectrogram",
    "training_curve",
    "waveform",
]
