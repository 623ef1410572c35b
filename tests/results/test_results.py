"""seedpipe.results: plain types and back, tables, and errors that name the key and the file."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import FrozenInstanceError, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from example_results import BETTER, RICH, but, condition, report
from matplotlib.figure import Figure

from seedpipe.errors import MetricError
from seedpipe.results import (
    ComparedMetric,
    Comparison,
    Difference,
    Estimate,
    Evaluation,
    Evaluations,
    Report,
    wording,
)
from seedpipe.results.base import Result

COMPARED = ComparedMetric(
    Estimate(0.2, 0.1, 0.3), Estimate(0.1), Difference(-0.1, -0.2, -0.05, 0.01), "b has fewer errors"
)
COMPARISON = Comparison(100, 10, 5, {"eer": COMPARED, "min_dcf_0.05": replace(COMPARED, verdict="x")}, ["few"])


def evaluations(*found: dict[str, Any]) -> Evaluations:
    return Evaluations.from_dict({"synthetic": True, "evaluations": list(found)})


@pytest.mark.parametrize(
    "result",
    [
        evaluations(RICH),
        evaluations(BETTER, BETTER | {"method": "euclidean"}),
        Report.from_dict(report(RICH)),
        COMPARISON,
    ],
    ids=lambda result: type(result).__name__,
)
def test_what_is_written_is_read_again(result: Result, tmp_path: Path) -> None:
    path = tmp_path / "result.json"
    path.write_text(json.dumps(result.to_dict()), encoding="utf-8")
    assert type(result).from_json(path) == type(result).from_json(str(path)) == result
    with pytest.raises(FrozenInstanceError):
        result.warnings = []  # type: ignore[attr-defined]


def test_parts_that_are_not_there_are_not_written() -> None:
    plain = Evaluation.from_dict(BETTER).to_dict()
    assert "p_value" not in plain["mean_relative_reduction"]
    assert not {"timesteps", "noise_seeds", "projection", "train_seed", "frontend"} & set(plain)
    assert (plain["snr"], plain["warnings"]) == ([], [])
    seeded = Evaluation.from_dict(BETTER | {"train_seed": 3}).to_dict()
    assert (seeded["train_seed"], seeded["frontend"]) == (3, "")
    assert set(Report.from_dict({**report(BETTER), "training": {}, "facts": {}}).to_dict()) == {
        *("title", "synthetic", "seedpipe_version", "made_by", "evaluations")
    }


def test_further_metrics_stand_beside_the_others() -> None:
    plain = Evaluation.from_dict(RICH).to_dict()["conditions"][0]["systems"]["network"]
    assert list(plain) == ["eer", "min_dcf", "min_dcf_0.01", "cllr", "eer_definition", "det", "histogram"]
    assert plain["min_dcf_0.01"] == {"value": 0.777}


def test_a_table_has_a_row_for_each_condition_and_metric() -> None:
    frame = Evaluation.from_dict(RICH).to_frame()
    assert set(frame["condition"]) == {"clean", "noise", "music", "reverb", "noise+reverb"}
    row = frame.set_index(["condition", "metric"]).loc[("noise", "eer")]
    found = row[["alone", "alone_low", "alone_high", "enhanced", "difference", "p_value"]].astype(float)
    assert found.tolist() == pytest.approx([0.25, 0.24, 0.26, 0.19, -0.06, 0.03])
    assert row["measurable_from"] == pytest.approx(0.005)  # half of what lies between the ends of the difference
    of_one_system = frame[(frame["metric"] == "act_dcf") & (frame["condition"] == "clean")].iloc[0]
    assert np.isnan(float(of_one_system["alone"] or np.nan))
    both = evaluations(BETTER, BETTER | {"method": "euclidean"})
    assert both.to_frame()["method"].value_counts().to_dict() == {"cosine": 10, "euclidean": 10}
    assert [one.method for one in both] == ["cosine", "euclidean"]
    assert (len(both), both[1].method) == (2, "euclidean")


@pytest.mark.parametrize(
    ("targets", "after", "ends", "said"),
    [
        (400, 0.08, (-0.004, 0.008), "0.6"),
        (124, 0.02, (-0.08, -0.04), "2.00"),  # ten errors of the network are enough; rates below 3 % have two places
        (100, 0.08, (-0.004, 0.008), "0.6 or more (few errors)"),
        (100, 0.11, (0.01, 0.05), "2.0"),  # the enhanced system makes eleven
        (100, 0.08, (0.0, 0.0), "few errors"),  # no draw changes anything, which proves nothing
        (400, 0.08, (None, None), "not tested"),
    ],
)
def test_a_list_says_how_large_a_difference_it_could_have_seen(
    targets: int, after: float, ends: tuple[float | None, float | None], said: str
) -> None:
    found = condition("clean", 0.081, after)
    found["difference"]["eer"] = {"difference": 0.0, "low": ends[0], "high": ends[1]}
    result = Evaluation.from_dict(but(BETTER, targets=targets, conditions=[found]))
    assert wording.measurable_from(result, result.conditions[0], wording.decimals(result)) == said


def test_comparisons_are_tables_and_lines() -> None:
    frame = COMPARISON.to_frame()
    assert frame[["metric", "a", "b", "difference", "p_value"]].iloc[0].tolist() == ["eer", 0.2, 0.1, -0.1, 0.01]
    head, _, *table = repr(COMPARISON).splitlines()
    assert head == "100 trials, 10 target, 5 speakers"
    assert [re.split(r"  +", line) for line in table if not line.startswith("---")] == [
        ["metric", "a", "b", "b - a", "p-value", "verdict"],
        ["EER %", "20.00 [10.00, 30.00]", "10.00", "-10.00 [-20.00, -5.00]", "p = 0.010", "b has fewer errors"],
        ["minDCF(0.05)", "0.200 [0.100, 0.300]", "0.100", "-0.100 [-0.200, -0.050]", "p = 0.010", "x"],
    ]


@pytest.mark.parametrize("result", [evaluations(BETTER | {"network": "<b>net</b>"}), COMPARISON])
def test_notebooks_show_a_table(result: Any) -> None:
    page = result._repr_html_()
    assert page.startswith("<p>")
    assert "<table" in page
    assert "<b>net" not in page


@pytest.mark.parametrize(
    ("write", "words"),
    [
        (lambda _: None, "cannot be read"),
        (lambda path: path.write_text("{half"), "cannot be read"),
        (lambda path: path.write_text("[]"), "the whole is []; expected a dictionary"),
        (lambda path: path.write_text('{"synthetic": 1, "evaluations": []}'), "metrics: synthetic is 1 (and 1 more)"),
    ],
)
def test_a_file_that_is_none_is_named(write: Callable[[Path], Any], words: str, tmp_path: Path) -> None:
    path = tmp_path / "evaluation.json"
    write(path)
    with pytest.raises(MetricError, match=re.escape(words)) as refused:
        Evaluations.from_json(path)
    assert refused.value.file == path


@pytest.mark.parametrize("result", [evaluations(BETTER), evaluations(BETTER)[0]])
def test_a_result_prints_as_a_table_and_is_drawn(result: Any) -> None:
    lines = repr(result).splitlines()
    assert lines[0] == result.heading.replace("→", "->")
    assert len(lines) == 4 + len(BETTER["conditions"])
    assert lines[-1].split() == "noise+reverb 25.0 [24.0, 26.0] 19.0 [18.0, 20.0] -24 % 0.500 -> 0.500 better".split()
    axes = Figure().subplots()
    assert result.plot(axes) is axes
    legend = axes.get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == ["network", "SEED"]


def test_a_network_alone_has_one_system() -> None:
    alone = evaluations(but(BETTER, enhancer="none"))
    assert list(alone[0].to_frame()) == ["condition", "metric", "alone", "alone_low", "alone_high"]
    assert "verdict" not in repr(alone) + alone._repr_html_()


def test_evaluations_of_several_enhancers_are_drawn_together() -> None:
    several = evaluations(BETTER, but(RICH, method="euclidean"), but(BETTER, enhancer="drl"))
    legend = several.plot(Figure().subplots()).get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == ["network", "SEED", "DRL"]


def test_a_comparison_is_drawn_with_both_systems() -> None:
    one = ComparedMetric(Estimate(0.2, 0.1, 0.3), Estimate(0.1), Difference(-0.1), "not tested")
    axes = Comparison(10, 5, 3, {"eer": one}, []).plot(Figure().subplots())
    assert [label.get_text() for label in axes.get_yticklabels()] == ["eer"]
    legend = axes.get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == ["a", "b"]
