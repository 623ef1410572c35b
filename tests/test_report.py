"""seedpipe.report: true words, complete and self-contained pages, errors that name the key."""

from __future__ import annotations

import copy
import json
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from seedpipe import metrics as m
from seedpipe.errors import MetricError
from seedpipe.report import format_table, headline, write_report
from seedpipe.report.svg import ticks

Metrics = dict[str, Any]
CONDITIONS = ("clean", "noise", "music", "reverb", "noise+reverb")
HOSTILE = "<script>alert('x')</script>|`\"&"


def system(value: float) -> Metrics:
    return {
        "eer": {"value": value, "low": value - 0.01, "high": value + 0.01},
        "eer_definition": "linear",
        "min_dcf": {"value": 0.5, "low": 0.4, "high": 0.6},
        "det": {"far": [0.0, 0.05, value, 0.5, 1.0], "frr": [1.0, 0.6, value, 0.02, 0.0]},
        "histogram": {"edges": [-1.0, 0.0, 0.5, 1.0], "target": [0.1, 0.4, 1.4], "nontarget": [0.7, 0.6, 0.0]},
    }


def difference(value: float, spread: float) -> Metrics:
    return {"difference": value, "low": value - spread, "high": value + spread, "p_value": 0.03}


def condition(name: str, before: float, after: float, spread: float = 0.005) -> Metrics:
    return {
        "condition": name,
        "systems": {"network": system(before), "seed": system(after)},
        "difference": {"eer": difference(after - before, spread), "min_dcf": difference(0.0, spread)},
    }


def evaluation(clean: tuple[float, float], others: tuple[float, float], reduction: Metrics | None) -> Metrics:
    return {
        "network": "dvector",
        "list": "demo",
        "method": "cosine",
        "trials": 4000,
        "targets": 400,
        "speakers": 24,
        "utterances": 144,
        "conditions": [condition(name, *(clean if name == "clean" else others)) for name in CONDITIONS],
        "mean_relative_reduction": reduction,
    }


def report(*evaluations: Metrics, synthetic: bool = True) -> Metrics:
    curve = [{"epoch": epoch, "loss": 1.0 / epoch, "validation": 1.1 / epoch} for epoch in range(1, 21)]
    return {
        "title": "SEED on the demonstration list",
        "synthetic": synthetic,
        "seedpipe_version": "0.1.0",
        "made_by": "dvc repro",
        "evaluations": list(evaluations),
        "training": {"dvector": {"seed": 0, "rows": 5000, "epochs": 20, "seconds": 42.1, "curve": curve}},
        "facts": {"noise": "generated", "sources": 3},
    }


BETTER = evaluation((0.08, 0.08), (0.25, 0.19), {"value": 0.24, "low": 0.18, "high": 0.29})
WORSE = evaluation((0.08, 0.11), (0.19, 0.25), {"value": -0.32, "low": -0.4, "high": -0.2})
SAME = evaluation((0.08, 0.08), (0.19, 0.19), {"value": 0.01, "low": -0.03, "high": 0.05})
MIXED = evaluation((0.08, 0.11), (0.25, 0.19), {"value": 0.24, "low": 0.18, "high": 0.29})


@pytest.fixture
def page(tmp_path: Path) -> Callable[[Metrics], tuple[str, str]]:
    def render(metrics: Metrics) -> tuple[str, str]:
        html, markdown = tmp_path / "deep" / "report.html", tmp_path / "report.md"
        write_report(metrics, html, markdown)
        return html.read_text(encoding="utf-8"), markdown.read_text(encoding="utf-8")

    return render


Page = Callable[[Metrics], tuple[str, str]]


# --- words ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("result", "words"),
    [
        (
            BETTER,
            "On the synthetic list demo, with dvector embeddings, SEED lowers the equal error rate by 24 % [18, 29] "
            "on average over noise, music, reverb and noise+reverb; on clean speech there is no measurable difference.",
        ),
        (
            WORSE,
            "On the synthetic list demo, with dvector embeddings, SEED raises the equal error rate by 32 % [20, 40] "
            "on average over noise, music, reverb and noise+reverb; on clean speech it rises from 8.0 % to 11.0 %.",
        ),
        (
            SAME,
            "On the synthetic list demo, with dvector embeddings, SEED makes no measurable difference to the equal "
            "error rate on average over noise, music, reverb and noise+reverb (change −1 % [−5, 3]); on clean speech "
            "there is none either.",
        ),
        (
            MIXED,
            "On the synthetic list demo, with dvector embeddings, SEED lowers the equal error rate by 24 % [18, 29] "
            "on average over noise, music, reverb and noise+reverb; but on clean speech it rises from 8.0 % to 11.0 %.",
        ),
    ],
)
def test_the_headline_is_true(result: Metrics, words: str) -> None:
    assert headline(report(result)) == [words]


def test_headline_without_a_mean() -> None:
    result = headline(report(evaluation((0.08, 0.06), (0.25, 0.19), None), synthetic=False))[0]
    assert "measurably lower in 4 and measurably higher in 0 of 4 mismatched conditions" in result
    assert result.endswith("; on clean speech it falls from 8.0 % to 6.0 %.")
    assert result.startswith("On the list demo,")


@pytest.mark.parametrize(
    ("pair", "words"),
    [
        ((0.08, 0.08), "SEED makes no measurable difference to the equal error rate on clean speech."),
        ((0.08, 0.06), "SEED lowers the equal error rate on clean speech from 8.0 % to 6.0 %."),
        ((0.02, 0.04), "SEED raises the equal error rate on clean speech from 2.00 % to 4.00 %."),
    ],
)
def test_headline_of_a_clean_list(pair: tuple[float, float], words: str) -> None:
    result = evaluation(pair, (0.2, 0.2), None)
    del result["conditions"][1:]
    assert headline(report(result))[0].endswith(words)


def test_headline_of_one_mismatched_condition_alone() -> None:
    result = copy.deepcopy(BETTER)
    result["conditions"] = [condition("far field", 0.25, 0.19)]
    assert headline(report(result))[0].endswith("by 24 % [18, 29] in the condition far field.")


def test_lists_without_speakers_get_no_verdict(page: Page) -> None:
    result = copy.deepcopy(BETTER)
    for part in result["conditions"]:
        part["difference"] = {name: {"difference": -0.06} for name in ("eer", "min_dcf")}
        for one in part["systems"].values():
            one["eer"], one["min_dcf"] = {"value": one["eer"]["value"]}, {"value": 0.5}
    result["mean_relative_reduction"] = {"value": 0.24}
    words = headline(report(result))[0]
    assert "24 % lower on average" in words
    assert "no interval" in words
    assert "on clean speech it goes from 8.0 % to 8.0 %" in words
    html, markdown = page(report(result))
    assert "not tested" in html
    assert "better:" not in markdown
    assert "not tested" in format_table(report(result))


def test_the_word_synthetic_is_there_exactly_when_it_is_true(page: Page) -> None:
    for synthetic in (True, False):
        metrics = report(BETTER, synthetic=synthetic)
        for text in (*page(metrics), format_table(metrics), *headline(metrics)):
            assert ("synthetic" in text.lower()) is synthetic


# --- the page ---------------------------------------------------------------------------------------------------------


def test_the_page_fetches_nothing(page: Page) -> None:
    html, _ = page(report(BETTER, WORSE))
    assert "http://" not in html
    assert "https://" not in html
    assert not re.search(r"<(script|link|img|iframe)\b|@import|url\(|\bsrc=", html)


def test_the_same_metrics_give_the_same_bytes(page: Page) -> None:
    first = page(report(BETTER, SAME))
    assert page(json.loads(json.dumps(report(BETTER, SAME)))) == first


def test_every_figure_is_there_and_has_a_label(page: Page) -> None:
    html, _ = page(report(BETTER))
    drawings = re.findall(r'<svg viewBox="[^"]*" role="img" aria-label="([^"]+)"', html)
    for start, times in (("Equal error rate", 1), ("DET curves", 5), ("Score histograms", 5), ("Training", 1)):
        assert sum(label.startswith(start) for label in drawings) == times
    assert html.count("<h4>noise+reverb</h4>") == 2


def test_the_drawings_are_well_formed_and_finite(page: Page) -> None:
    html, _ = page(report(BETTER, WORSE))
    drawings = re.findall(r'<svg viewBox="[^"]*" role="img".*?</svg>(?=\s*</(?:div|figure)>)', html, re.DOTALL)
    assert len(drawings) == 2 * 11 + 1
    for drawing in drawings:
        ET.fromstring(drawing)  # noqa: S314  (our own output)
        assert not re.search(r"\b(nan|inf)\b", drawing)


def test_the_elements_are_closed_in_order(page: Page) -> None:
    void = {"meta", "br"}

    class Balance(HTMLParser):
        def __init__(self) -> None:
            super().__init__()
            self.open: list[str] = []

        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            assert attrs is not None
            if tag not in void:
                self.open.append(tag)

        def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            """Closed by itself."""

        def handle_endtag(self, tag: str) -> None:
            assert self.open.pop() == tag

    parser = Balance()
    parser.feed(page(report(BETTER, MIXED))[0])
    parser.close()
    assert parser.open == []


def test_the_tables_show_values_intervals_and_verdicts_in_words(page: Page) -> None:
    html, markdown = page(report(MIXED))
    for text in (html, markdown):
        assert "25.0" in text
        assert "[24.0, 26.0]" in text
        assert "−24 %" in text
        assert "better" in text
        assert "no measurable difference" in text
    assert re.search(
        r"\| clean \| 8.0 \[7.0, 9.0\] \| 11.0 .* \| \+38 % \| ▲ worse: 3.0 \[2.5, 3.5\], p = 0.03", markdown
    )


def test_several_evaluations_get_a_table_of_contents(page: Page) -> None:
    euclidean = {**WORSE, "method": "euclidean"}
    html, markdown = page(report(BETTER, euclidean))
    assert "dvector on demo (euclidean)</a>" in html
    for number in (1, 2):
        assert f'href="#evaluation-{number}"' in html
        assert f'id="evaluation-{number}"' in html
    assert "href=" not in page(report(BETTER))[0]
    assert markdown.count("## dvector on demo") == 2


def test_hostile_names_stay_text(page: Page) -> None:
    metrics = report(copy.deepcopy(BETTER))
    metrics["title"] = metrics["made_by"] = HOSTILE
    metrics["evaluations"][0]["network"] = metrics["evaluations"][0]["list"] = HOSTILE
    metrics["evaluations"][0]["conditions"][1]["condition"] = HOSTILE
    metrics["training"] = {HOSTILE: metrics["training"]["dvector"]}
    metrics["facts"] = {HOSTILE: HOSTILE + "\n# heading"}
    html, markdown = page(metrics)
    for text in (html, markdown):
        assert "<script" not in text
    assert '"&"' not in html.replace("&#34;", "")
    assert "&lt;script&gt;" in markdown
    assert "\n# heading" not in markdown
    rows = [line for line in markdown.splitlines() if line.startswith("| &lt;script")]
    assert len(re.findall(r"(?<!\\)\|", rows[0])) == 9


def test_reports_without_training_and_facts(page: Page) -> None:
    metrics = report(BETTER)
    del metrics["training"], metrics["facts"]
    html, markdown = page(metrics)
    assert "Training" not in html
    assert "Training" not in markdown


@pytest.mark.parametrize("curve", [[], [{"epoch": 1, "loss": 0.5}], [{"epoch": k, "loss": 0.5} for k in (1, 2)]])
def test_short_and_flat_training_curves(page: Page, curve: list[Metrics]) -> None:
    metrics = report(BETTER)
    metrics["training"]["dvector"]["curve"] = curve
    assert ("Training and validation loss" in page(metrics)[0]) is (len(curve) > 1)


@pytest.mark.parametrize("rates", [(0.0, 0.0), (0.0, 0.01), (0.009, 0.0087), (0.5, 0.49), (0.98, 1.0)])
def test_extreme_rates_can_be_drawn(page: Page, rates: tuple[float, float]) -> None:
    result = evaluation(rates, rates, None)
    for part in result["conditions"]:
        for one in part["systems"].values():
            one["eer"] = {name: min(max(value, 0.0), 1.0) for name, value in one["eer"].items()}
    html, _ = page(report(result))
    assert not re.search(r"[\">, ](nan|inf)\b", html)
    assert format_table(report(result))


# --- the terminal -----------------------------------------------------------------------------------------------------


def test_the_terminal_table_fits_and_is_complete() -> None:
    text = format_table(report(BETTER, WORSE))
    assert max(map(len, text.splitlines())) <= 92
    assert text.isascii()
    assert re.search(
        r"noise\+reverb +25\.0 \[24\.0, 26\.0\] +19\.0 \[18\.0, 20\.0\] +-24 % .*0\.500 -> 0\.500 +better", text
    )
    assert "not measurable" in text
    flat = " ".join(text.split())
    assert "SEED lowers the equal error rate by 24 % [18, 29]" in flat
    assert "SEED raises the equal error rate by 32 % [20, 40]" in flat


def test_the_terminal_table_tames_names() -> None:
    metrics = report(copy.deepcopy(BETTER))
    metrics["evaluations"][0]["conditions"][1]["condition"] = "\x1b[31mred" + "x" * 50
    text = format_table(metrics)
    assert "\x1b" not in text
    assert "?[31mred" in text


# --- errors -----------------------------------------------------------------------------------------------------------


def _without(path: tuple[str | int, ...]) -> Metrics:
    metrics: Any = report(copy.deepcopy(BETTER))
    part = metrics
    for key in path[:-1]:
        part = part[key]
    del part[path[-1]]
    return dict(metrics)


def _with(path: tuple[str | int, ...], value: object) -> Metrics:
    metrics: Any = report(copy.deepcopy(BETTER))
    part = metrics
    for key in path[:-1]:
        part = part[key]
    part[path[-1]] = value
    return dict(metrics)


SYSTEM = ("evaluations", 0, "conditions", 1, "systems", "seed")


@pytest.mark.parametrize(
    ("metrics", "words"),
    [
        (_without(("title",)), "title is missing"),
        (_without((*SYSTEM, "eer")), "evaluations[0].conditions[1].systems.seed.eer is missing"),
        (_without((*SYSTEM, "det", "far")), "evaluations[0].conditions[1].systems.seed.det.far is missing"),
        (_with((*SYSTEM, "eer", "value"), 19.0), "seed.eer.value is 19.0; expected less than or equal to 1 (rates are"),
        (_with((*SYSTEM, "min_dcf", "value"), float("nan")), "seed.min_dcf.value is nan; expected a finite number"),
        (_with((*SYSTEM, "min_dcf", "low"), "0.1"), "seed.min_dcf.low is '0.1'; expected a valid number"),
        (_with((*SYSTEM, "det", "frr"), [1.0]), "far and frr of one length, not 5 and 1"),
        (_with((*SYSTEM, "histogram", "target"), [1.0]), "one density per bin, not 1 and 3 for 3 bins"),
        (_with((*SYSTEM, "histogram", "edges"), [1.0, 1.0, 1.0, 1.0]), "edges that rise"),
        (_with(("evaluations",), []), "evaluations is []"),
        (_with(("synthetic",), "no"), "synthetic is 'no'; expected a valid boolean"),
        (_with(("evaluations", 0, "conditions", 1, "condition"), "clean"), "not clean twice"),
        (_with(("facts", "list"), [1]), "facts.list is [1]; expected a text, a number, true or false; write"),
        ({}, "title is missing (and 4 more)"),
    ],
)
def test_malformed_metrics_name_the_key(metrics: Metrics, words: str, tmp_path: Path) -> None:
    for call in (lambda: write_report(metrics, tmp_path / "r.html"), lambda: format_table(metrics)):
        with pytest.raises(MetricError, match=re.escape(words)):
            call()
    assert not (tmp_path / "r.html").exists()


def test_metrics_that_are_no_mapping_are_refused() -> None:
    with pytest.raises(MetricError, match="the whole is"):
        format_table([1, 2])  # type: ignore[arg-type]


def test_unknown_keys_are_left_alone(page: Page) -> None:
    assert page(_with((*SYSTEM, "auc"), 0.9)) == page(report(BETTER))


# --- surroundings -----------------------------------------------------------------------------------------------------


def test_importing_the_package_is_light() -> None:
    heavy = "{'matplotlib', 'jinja2', 'pydantic', 'numpy', 'torch'}"
    code = f"import sys, seedpipe.report; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_metrics_module_feeds_the_report(page: Page) -> None:
    """From scores to a page, with nothing made up in between."""
    rng = np.random.default_rng(0)
    enrol = rng.integers(0, 20, 2000)
    test = np.where(rng.random(2000) < 0.2, enrol, rng.integers(0, 20, 2000))
    labels = (enrol == test).astype(int)
    before, after = rng.normal(1.5 * labels), rng.normal(2.5 * labels)
    bootstrap = m.SpeakerBootstrap(enrol, test, replicates=100)

    def as_system(scores: np.ndarray) -> Metrics:
        far, frr, _ = m.det_curve(scores, labels, max_points=200)
        edges, target, other = m.score_histogram(scores, labels)
        return {
            "eer": vars(bootstrap.interval(scores, labels, "eer")),
            "eer_definition": "linear",
            "min_dcf": vars(bootstrap.interval(scores, labels, "min_dcf")),
            "det": {"far": far.tolist(), "frr": frr.tolist()},
            "histogram": {"edges": edges.tolist(), "target": target.tolist(), "nontarget": other.tolist()},
        }

    metrics = report(copy.deepcopy(BETTER))
    metrics["evaluations"][0]["conditions"] = [
        {
            "condition": "noise",
            "systems": {"network": as_system(before), "seed": as_system(after)},
            "difference": {name: vars(bootstrap.paired(before, after, labels, name)) for name in ("eer", "min_dcf")},
        }
    ]
    reduction = bootstrap.mean_relative_reduction([(before, after)], labels)
    metrics["evaluations"][0]["mean_relative_reduction"] = vars(reduction)
    html, _ = page(json.loads(json.dumps(metrics)))
    assert f"SEED lowers the equal error rate by {100 * reduction.value:.0f}" in html


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0.0, 1.0, [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]),
        (-0.3, 0.72, [-0.2, 0.0, 0.2, 0.4, 0.6]),
        (1, 60, [10, 20, 30, 40, 50, 60]),
    ],
)
def test_ticks_are_round(low: float, high: float, expected: list[float]) -> None:
    assert ticks(low, high) == pytest.approx(expected)
