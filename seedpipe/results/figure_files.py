"""Figures as files for a two-column paper: 3.3 inches wide, letters of 8 points, fonts inside.

They are those of :mod:`seedpipe.results.figures`, one to a file, each with its legend. The same results give the same
bytes.
"""

from __future__ import annotations

import functools
import re
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from matplotlib import rc_context
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from seedpipe.errors import ParamsError
from seedpipe.files import StrPath, whole_files
from seedpipe.results import Condition, Evaluation, Projection, Training, figures
from seedpipe.results.derived import numbered_speakers, plane, snr_curves

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

__all__ = ["FORMATS", "PAPER", "write_figures", "write_row"]

FORMATS = ("pdf", "png", "svg")
COLUMN = 3.3
"""Width in inches of a column of a conference paper."""
PAPER: dict[str, Any] = figures.STYLE | {
    "axes.labelcolor": figures.INK,
    "axes.linewidth": 0.6,
    "figure.constrained_layout.use": True,
    "font.size": 8.0,
    "grid.linewidth": 0.5,
    "legend.fontsize": 8.0,
    "lines.linewidth": 1.1,
    "lines.markersize": 4.0,
    "pdf.fonttype": 42,  # letters that can be searched and edited
    "savefig.dpi": 300.0,
    "svg.fonttype": "path",
    "xtick.color": figures.INK,
    "xtick.major.pad": 3.0,
    "ytick.color": figures.INK,
    "ytick.major.pad": 3.0,
}
"""The look of a paper: matplotlib's settings, for ``matplotlib.rc_context``."""
_WITHOUT_DATE = {
    "pdf": {"CreationDate": None, "Creator": "seedpipe", "Producer": None},
    "png": {"Software": None},
    "svg": {"Date": None},
}


@dataclass(frozen=True)
class _Drawing:
    """One figure: what it shows, its height in inches, its legend, and the relative heights of its axes."""

    name: str
    height: float
    paint: Callable[[Sequence[Axes]], object]
    systems: Sequence[str] = ()
    heights: Sequence[float] = (1.0,)


def write_figures(
    evaluations: Iterable[Evaluation],
    out: StrPath,
    formats: Sequence[str] = ("pdf",),
    training: Mapping[str, Training] | None = None,
) -> list[Path]:
    """Write the figures of evaluations into a folder: EER, DET curves, scores, SNR, timesteps, embeddings, training.

    Parameters
    ----------
    evaluations : iterable of Evaluation
        What tells them apart begins the names of their files.
    out : path
        Folder; files of the same names in it are replaced.
    formats : sequence of str
        Of pdf, png and svg.
    training : mapping of str to Training, optional
        Trainings by ``NETWORK/ENHANCER``, for their curves.

    Returns
    -------
    list of Path

    Raises
    ------
    ParamsError
        There is no such format.
    """
    _expect_known(formats)
    found = list(evaluations)
    drawings = [drawing for one in found for drawing in _drawings(one, _prefix(one, found))]
    drawings += _of_all_enhancers(found)
    drawings += [drawing for name, one in (training or {}).items() for drawing in _of_training(name, one)]
    wanted = [(drawing, kind) for drawing in drawings for kind in formats]
    files = [Path(out, f"{drawing.name}.{kind}") for drawing, kind in wanted]
    with whole_files(files) as partials:
        for partial, (drawing, kind) in zip(partials, wanted, strict=True):
            _write(drawing, partial, kind)
    return files


def write_row(waveforms: Mapping[str, NDArray[np.float32]], sample_rate: int, out: StrPath) -> None:
    """Write what a network heard of one row as a figure: waveform and spectrogram of each variant, one below the other.

    Parameters
    ----------
    waveforms : mapping of str to ndarray of float32, shape (T,)
        By variant.
    sample_rate : int
        In Hz.
    out : path
        Its extension is the format.

    Raises
    ------
    ParamsError
        There is no such format.
    """
    kind = Path(out).suffix.removeprefix(".")
    _expect_known([kind])
    heights = (1.0, 2.0) * len(waveforms)

    def paint(axes: Sequence[Axes]) -> None:
        for (name, samples), above, below in zip(waveforms.items(), axes[::2], axes[1::2], strict=True):
            figures.waveform(above, samples, sample_rate)
            figures.spectrogram(below, samples, sample_rate)
            above.spines["bottom"].set_visible(False)
            above.set_title(figures.shortened(name), loc="left", fontsize="medium", parse_math=False)
        for one in axes[:-1]:
            one.tick_params(labelbottom=False)
            one.set_xlabel("")

    with whole_files([out]) as (partial,):
        _write(_Drawing("row", 0.3 + 1.3 * len(waveforms), paint, heights=heights), partial, kind)


def _expect_known(formats: Sequence[str]) -> None:
    unknown = [one for one in formats if one not in FORMATS]
    if unknown:
        raise ParamsError(f"no figures in the format {unknown[0]!r}", expected=f"one of {', '.join(FORMATS)}")


def _prefix(evaluation: Evaluation, all_: Sequence[Evaluation]) -> tuple[str, ...]:
    """What tells an evaluation from the others."""
    keys = [(one.source, one.enhancer, one.list, one.scores, f"seed {one.train_seed}") for one in all_]
    own = keys[all_.index(evaluation)]
    return tuple(part for part, column in zip(own, zip(*keys, strict=True), strict=True) if len(set(column)) > 1)


def _file_name(parts: Iterable[str]) -> str:
    return "-".join(re.sub(r"[^\w@+.]+", "-", part).strip("-.") for part in parts)


def _drawings(evaluation: Evaluation, prefix: tuple[str, ...]) -> Iterator[_Drawing]:
    systems = evaluation.system_names
    count = len(evaluation.conditions)

    def name(*parts: str) -> str:
        return _file_name((*prefix, *parts))

    yield _Drawing(name("eer"), 0.7 + 0.3 * count, _painter(figures.eer_by_condition, evaluation), systems)
    for one in evaluation.conditions:
        pair = dict(zip(systems, one.systems.both, strict=False))
        yield _Drawing(name("det", one.condition), COLUMN, _painter(figures.det, pair), systems)
        yield _Drawing(name("scores", one.condition), 2.4, _score_painter(one, systems), heights=[1.0] * len(systems))
    for curve in snr_curves(evaluation):
        kind = ("snr", curve.condition) if curve.kind == "drawn" else ("snr", curve.condition, curve.kind)
        draw = functools.partial(figures.eer_by_snr, alone=evaluation.alone)
        yield _Drawing(name(*kind), 2.2, _painter(draw, curve), systems)
    if evaluation.timesteps:
        yield _Drawing(name("timesteps"), 2.2, _painter(figures.eer_by_timestep, evaluation))
    if evaluation.projection is not None:
        for side in range(len(systems)):
            paint = _projection_painter(evaluation, evaluation.projection, side)
            yield _Drawing(name("embeddings", systems[side]), COLUMN, paint)


def _of_all_enhancers(evaluations: Sequence[Evaluation]) -> Iterator[_Drawing]:
    """EER and DET curves of all enhancers in one, where evaluations differ in nothing else."""
    alike: dict[tuple[str, ...], dict[str, Evaluation]] = {}
    for one in evaluations:
        if not one.alone:
            alike.setdefault(one.place, {}).setdefault(one.enhancer, one)
    groups = [list(group.values()) for group in alike.values() if len(group) > 1]
    for several in groups:
        first, own = several[0], several[0].place[:3]
        names = [*first.system_names[:1], *(one.system_names[-1] for one in several)]
        columns = list(zip(*(group[0].place[:3] for group in groups), strict=True))
        prefix = [part for part, column in zip(own, columns, strict=True) if len(set(column)) > 1]
        height = 0.7 + 0.09 * (1 + len(names)) * len(first.conditions)
        yield _Drawing(_file_name((*prefix, "all", "eer")), height, _painter(figures.eer_by_condition, several), names)
        for k, condition in enumerate(first.conditions):
            after = [one.conditions[k].systems.enhanced for one in several]
            systems = dict(zip(names, [condition.systems.network, *after], strict=True))
            name = _file_name((*prefix, "all", "det", condition.condition))
            yield _Drawing(name, COLUMN, _painter(figures.det, systems), names)


def _painter(draw: Callable[[Axes, Any], Axes], what: object) -> Callable[[Sequence[Axes]], object]:
    return lambda axes: draw(axes[0], what)


def _score_painter(condition: Condition, names: Sequence[str]) -> Callable[[Sequence[Axes]], object]:
    histograms = [system.histogram for system in condition.systems.both]
    limits = min(one.edges[0] for one in histograms), max(one.edges[-1] for one in histograms)

    def paint(axes: Sequence[Axes]) -> None:
        for one, histogram, name in zip(axes, histograms, names, strict=False):
            figures.histogram(one, histogram, limits)
            one.set_title(figures.shortened(name), loc="left", fontsize="medium", parse_math=False)
            one.label_outer()
        nontarget, target = axes[0].patches[:2]
        _legend(axes[0], [target, nontarget], ["target", "non-target"])

    return paint


def _projection_painter(evaluation: Evaluation, found: Projection, side: int) -> Callable[[Sequence[Axes]], object]:
    both = found.systems.both
    limits, numbers = plane([*both[0], *both[1]]), numbered_speakers(found)
    order = [name for name in evaluation.condition_names if any(place.condition == name for place in both[0])]

    def paint(axes: Sequence[Axes]) -> None:
        figures.projection(axes[0], both[side], numbers, evaluation.condition_names, limits)
        marks = [
            Line2D([], [], linestyle="", color=figures.INK, marker=figures.MARKS[place % len(figures.MARKS)])
            for place in (evaluation.condition_names.index(name) for name in order)
        ]
        _legend(axes[0], marks, order)

    return paint


def _of_training(name: str, training: Training) -> Iterator[_Drawing]:
    if len(training.curve) > 1:
        yield _Drawing(_file_name(("training", name)), 2.0, _training_painter(training))
    if len(training.growth) > 1:
        yield _Drawing(_file_name(("learning", name)), 2.2, _painter(figures.learning_curve, training))


def _training_painter(training: Training) -> Callable[[Sequence[Axes]], object]:
    def paint(axes: Sequence[Axes]) -> None:
        figures.training_curve(axes[0], training)
        _legend(axes[0], *axes[0].get_legend_handles_labels())

    return paint


def _legend(axes: Axes, handles: Sequence[Any], labels: Sequence[str]) -> None:
    """Write a legend above all axes, where it covers nothing."""
    figure = cast("Figure", axes.figure)
    names = [figures.shortened(label) for label in labels]
    legend = figure.legend(handles, names, loc="outside upper left", ncols=3, columnspacing=1.2, handlelength=1.6)
    for words in legend.get_texts():
        words.set_parse_math(False)


def _write(drawing: _Drawing, path: Path, kind: str) -> None:
    with rc_context(cast("Any", PAPER)), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph")  # a name in letters that the font lacks
        figure = Figure(figsize=(COLUMN, drawing.height))
        axes: list[Axes] = list(
            figure.subplots(len(drawing.heights), squeeze=False, height_ratios=drawing.heights)[:, 0]
        )
        drawing.paint(axes)
        if drawing.systems:
            lines = [Line2D([], [], **line) for line, _ in zip(cycle(figures.LINES), drawing.systems, strict=False)]
            _legend(axes[0], lines, drawing.systems)
        figure.savefig(path, format=kind, metadata=_WITHOUT_DATE[kind])
