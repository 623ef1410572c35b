"""seedpipe.results.figures and svg: what is drawn, with which names, and the same way every time."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from example_results import BETTER, CONDITIONS, RICH, Metrics, report
from matplotlib import rcParams
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from seedpipe.results import Evaluation, Report, figures
from seedpipe.results.derived import numbered_speakers, snr_curves
from seedpipe.results.svg import Drawings

HOSTILE = "$a_<b>&\x1b\u4e2d$"


def typed(result: Metrics) -> Evaluation:
    return Evaluation.from_dict(result)


@pytest.fixture
def axes() -> Axes:
    return Figure().subplots()


def data(axes: Axes) -> dict[str, np.ndarray]:
    """Lines by label."""
    return {str(line.get_label()): np.asarray(line.get_xydata()) for line in axes.lines}


def test_a_det_curve_has_probit_axes_and_its_eer_on_the_diagonal(axes: Axes) -> None:
    systems = typed(BETTER).conditions[1].systems
    assert figures.det(axes, {"network": systems.network, "SEED": systems.enhanced}) is axes
    np.testing.assert_allclose(data(axes)["SEED"], np.transpose([systems.enhanced.det.far, systems.enhanced.det.frr]))
    dots = [np.asarray(line.get_xydata()) for line in axes.lines if line.get_marker() == "o"]
    np.testing.assert_allclose(np.concatenate(dots), [[0.25, 0.25], [0.19, 0.19]])
    x, y = axes.transData.transform([(0.1, 0.9), (0.5, 0.5), (0.9, 0.1)])[:, 0], axes.get_xlim()
    assert x[1] - x[0] == pytest.approx(x[2] - x[1])  # as far from the middle as the quantiles of a normal distribution
    assert y == (0.02, 0.4)


def test_a_long_det_curve_keeps_its_ends(axes: Axes) -> None:
    system = typed(BETTER).conditions[0].systems.network
    far = np.linspace(0.0, 1.0, 1_999)
    found = cast("Any", SimpleNamespace(eer=system.eer, det=SimpleNamespace(far=far, frr=1.0 - far)))
    drawn = data(figures.det(axes, {"network": found}))["network"]
    assert len(drawn) == 200
    np.testing.assert_array_equal(drawn[[0, -1]], [[0.0, 1.0], [1.0, 0.0]])


def test_a_learning_curve_is_the_error_against_the_speech(axes: Axes) -> None:
    metrics = report(BETTER)
    metrics["training"]["dvector/seed"]["growth"] = [[120, 0.112], [240, 0.091]]
    figures.learning_curve(axes, Report.from_dict(metrics).training["dvector/seed"])
    np.testing.assert_allclose(axes.lines[0].get_xydata(), [[120, 11.2], [240, 9.1]])
    assert axes.get_ylim()[0] == 0.0


def test_a_spectrogram_has_a_tone_where_it_sounds(axes: Axes) -> None:
    tone = np.sin(2 * np.pi * 2_000 * np.arange(16_000, dtype=np.float32) / 16_000)
    (image,) = figures.spectrogram(axes, tone, 16_000).images
    level_db, extent = np.asarray(image.get_array()), image.get_extent()
    bins = len(level_db) - 1
    assert (tuple(extent), level_db.max()) == ((0.0, 1.0, 0.0, 8.0), 0.0)
    np.testing.assert_allclose(level_db.argmax(axis=0) / bins * 8.0, 2.0, atol=8.0 / bins)


def test_many_systems_differ_in_more_than_colour(axes: Axes) -> None:
    system = typed(BETTER).conditions[0].systems.network
    figures.det(axes, dict.fromkeys(map(str, range(6)), system))
    looks = [(line.get_marker(), line.get_color(), line.get_markerfacecolor()) for line in axes.lines[2::2]]
    assert len({(marker, face in ("#ffffff",)) for marker, _, face in looks}) == 6


def test_a_histogram_is_drawn_with_the_mass_that_it_has(axes: Axes) -> None:
    histogram = typed(BETTER).conditions[0].systems.network.histogram
    figures.histogram(axes, histogram)
    drawn = [step.get_data() for step in axes.patches]
    for found, densities in zip(drawn, (histogram.nontarget, histogram.target), strict=True):
        np.testing.assert_array_equal(found.values, densities)
        np.testing.assert_array_equal(found.edges, histogram.edges)
    assert axes.get_ylim()[1] > 1.4


def test_conditions_are_rows_with_their_intervals(axes: Axes) -> None:
    figures.eer_by_condition(axes, typed(BETTER))
    assert [label.get_text() for label in axes.get_yticklabels()] == list(CONDITIONS)
    before, after = (np.asarray(bars.lines[0].get_xydata()) for bars in axes.containers)
    np.testing.assert_allclose(before[:, 0], [8.0, 25.0, 25.0, 25.0, 25.0])
    np.testing.assert_allclose(after[:, 0], [8.0, 19.0, 19.0, 19.0, 19.0])
    assert (before[:, 1] < after[:, 1]).all()
    assert axes.get_ylim()[0] > axes.get_ylim()[1]  # the first on top
    ends = axes.collections[0].get_segments()[1][:, 0]
    np.testing.assert_allclose(ends, [24.0, 26.0])


def test_a_curve_against_snr_has_its_points_at_the_middle_of_the_bins(axes: Axes) -> None:
    noise = snr_curves(typed(RICH))[0]
    assert (noise.name, [point.label for point in noise.points]) == ("noise, drawn SNR", ["−5 to 0", "0 to 5"])
    figures.eer_by_snr(axes, noise)
    before = np.asarray(axes.containers[0].lines[0].get_xydata())
    np.testing.assert_allclose(before, [[-2.5, 40.0], [2.5, 31.25]], atol=0.2)


def test_timesteps_are_drawn_in_order_with_a_mark_for_each_condition(axes: Axes) -> None:
    figures.eer_by_timestep(axes, typed(RICH))
    np.testing.assert_allclose(data(axes)["noise"], [[1, 15.0], [50, 12.34], [200, 30.0]])
    assert {line.get_label(): line.get_marker() for line in axes.lines} == {"clean": "o", "noise": "^"}
    legend = axes.get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == ["noise", "clean"]  # from above


def test_marks_keep_their_condition_and_colours_their_speaker(axes: Axes) -> None:
    evaluation = typed(RICH)
    found = evaluation.projection
    assert found is not None
    numbers = numbered_speakers(found)
    assert numbers == {f"voice {k}": k + 1 for k in range(7)}
    figures.projection(axes, found.systems.network, numbers, evaluation.condition_names)
    drawn = [line for line in axes.lines if len(line.get_xdata())]
    assert {line.get_marker() for line in drawn} == {"o", "^", "*"}  # clean, noise, and the one that no trials have
    filled = [line.get_markerfacecolor() for line in drawn if line.get_markerfacecolor() != "none"]
    assert len(filled) == 7 * 3
    assert set(map(to_hex, filled)) == set(figures.SPEAKERS)
    assert [text.get_text() for text in axes.texts] == list("1234567")


def test_a_training_curve_may_lack_validation(axes: Axes) -> None:
    training = Report.from_dict(report(BETTER)).training["dvector/seed"]
    assert list(data(figures.training_curve(axes, training))) == ["training loss", "validation loss"]
    points = [replace(point, validation=None) for point in training.curve]
    alone = figures.training_curve(Figure().subplots(), replace(training, curve=points))
    assert list(data(alone)) == ["training loss"]


def test_bars_of_cost_stand_behind_each_other(axes: Axes) -> None:
    figures.cost(axes, ["net", "net -> SEED"], {"network": [2.0, 2.0], "enhancer": [0.0, 0.5]}, ["2.0", "2.5"])
    bars = [(bar.get_x(), bar.get_width()) for bar in axes.patches]
    assert bars == [(0.0, 2.0), (0.0, 2.0), (2.0, 0.0), (2.0, 0.5)]
    assert [text.get_text() for text in axes.texts] == ["2.0", "2.5"]


# --- as SVG -----------------------------------------------------------------------------------------------------------


def drawing(drawings: Drawings, evaluation: Evaluation) -> ET.Element:
    text = drawings.draw("a label", (300.0, 200.0), lambda axes: figures.eer_by_condition(axes[0], evaluation))
    return ET.fromstring(text)  # noqa: S314 - our own text


def test_a_drawing_takes_its_colours_from_the_page() -> None:
    drawings = Drawings()
    root = drawing(drawings, typed(BETTER))
    assert (root.get("viewBox"), root.get("aria-label")) == ("0 0 300 200", "a label")
    assert not re.search(r"#[0-9a-f]{6}|font-family|style=", drawings.style + drawings.marks)
    assert {"var(--before)", "var(--after)"} <= set(re.findall(r"var\(--[a-z]+\)", drawings.style))
    used = {name for element in root.iter() for name in element.get("class", "").split()}
    assert used <= set(re.findall(r"^\.(\w+)", drawings.style, re.MULTILINE))


def test_names_that_look_like_code_stay_names() -> None:
    result = typed(BETTER)
    renamed = replace(result.conditions[0], condition=HOSTILE)
    result = replace(result, conditions=[renamed, *result.conditions[1:]])
    words = [element.text for element in drawing(Drawings(), result).iter("text")]
    assert HOSTILE.replace("\x1b", " ") in words


def test_the_same_data_give_the_same_bytes_and_leave_the_settings_alone() -> None:
    before, evaluation = dict(rcParams), typed(BETTER)
    texts = [ET.tostring(drawing(Drawings(), evaluation)) for _ in range(2)]
    assert texts[0] == texts[1]
    assert dict(rcParams) == before


def test_a_drawing_that_is_there_already_is_referred_to() -> None:
    drawings = Drawings()
    first, second = drawing(drawings, typed(BETTER)), drawing(drawings, typed(BETTER))
    (reference,) = second
    assert reference.tag == "use"
    assert [element for element in first.iter() if element.get("id") == reference.attrib["href"].removeprefix("#")]
