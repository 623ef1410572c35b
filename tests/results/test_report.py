"""seedpipe.results.report: true words, complete and self-contained pages, errors that name the key."""

from __future__ import annotations

import base64
import copy
import csv
import io
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
import soundfile
from example_results import (
    BETTER,
    CONDITIONS,
    MIXED,
    OTHER,
    RICH,
    SAME,
    WORSE,
    Metrics,
    but,
    condition,
    evaluation,
    report,
    snr_bin,
    typed,
)
from markupsafe import Markup
from typer.testing import CliRunner

from seedpipe import metrics as m
from seedpipe.cli import app
from seedpipe.errors import MetricError
from seedpipe.results import Report, figures
from seedpipe.results.gather import gather
from seedpipe.results.report import format_table, headline, write_plot_tables, write_report
from seedpipe.results.report.listening import Heard, first_row
from seedpipe.results.svg import Drawings

HOSTILE = "<script>alert('x')</script>|`\"&"


Page = Callable[[Metrics], tuple[str, str]]


@pytest.fixture
def full_page(tmp_path: Path) -> Page:
    """HTML and Markdown of some metrics."""

    def render(metrics: Metrics) -> tuple[str, str]:
        html, markdown = tmp_path / "deep" / "report.html", tmp_path / "report.md"
        write_report(metrics, html, markdown)
        return html.read_text(encoding="utf-8"), markdown.read_text(encoding="utf-8")

    return render


@pytest.fixture
def page(full_page: Page, monkeypatch: pytest.MonkeyPatch) -> Page:
    """The same with labels in place of the figures, which take most of the time."""

    def label(_: Drawings, words: str, *_args: object, **_options: object) -> Markup:
        return Markup('<svg role="img" aria-label="{}"></svg>').format(words)

    monkeypatch.setattr(Drawings, "draw", label)
    return full_page


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
    assert "| dvector → SEED | 8.0 ? / 0.500 ? | **19.0** ? / 0.500 ? |" in markdown
    assert "? without an interval" in markdown
    assert "better:" not in markdown
    assert "not tested" in format_table(report(result))


def test_the_word_synthetic_is_there_exactly_when_it_is_true(page: Page) -> None:
    for synthetic in (True, False):
        metrics = report(BETTER, synthetic=synthetic)
        for text in (*page(metrics), format_table(metrics), *headline(metrics)):
            assert ("synthetic" in text.lower()) is synthetic


# --- the page ---------------------------------------------------------------------------------------------------------


def test_the_page_fetches_nothing(full_page: Page) -> None:
    html, _ = full_page(report(BETTER, OTHER))
    assert "http://" not in html
    assert "https://" not in html
    assert not re.search(r"<(script|link|img|iframe)\b|@import|url\((?!#)|\bsrc=", html)
    assert all(target.startswith("#") for target in re.findall(r'href="([^"]*)"', html))


def test_the_same_metrics_give_the_same_bytes(full_page: Page) -> None:
    metrics = report(BETTER, OTHER, but(RICH, network="resnet34"))
    assert full_page(json.loads(json.dumps(metrics))) == full_page(metrics)


def test_every_figure_is_there_and_has_a_label(full_page: Page) -> None:
    html, _ = full_page(report(BETTER))
    drawings = re.findall(r'<svg viewBox="[^"]*" role="img" aria-label="([^"]+)"', html)
    for start, times in (("Equal error rate", 1), ("DET curves", 5), ("Score histograms", 5), ("Training", 1)):
        assert sum(label.startswith(start) for label in drawings) == times
    assert html.count("<h4>noise+reverb</h4>") == 2


def test_every_drawing_is_named_or_hidden_from_screen_readers(full_page: Page) -> None:
    html, _ = full_page(report(RICH))
    for drawing in re.findall(r"<svg\b[^>]*>", html):
        named = re.search(r'role="img" aria-label="[^"]+"', drawing)
        assert named or 'aria-hidden="true"' in drawing


def test_the_drawings_are_well_formed_and_finite(full_page: Page) -> None:
    html, _ = full_page(report(BETTER, OTHER))
    drawings = re.findall(r'<svg viewBox="[^"]*" role="img".*?</svg>(?=\s*</(?:div|figure)>)', html, re.DOTALL)
    assert len(drawings) == 2 * 11 + 1
    for drawing in drawings:
        ET.fromstring(drawing)  # noqa: S314  (our own output)
        assert not re.search(r"\b(nan|inf)\b", drawing)


def test_the_elements_are_closed_in_order(full_page: Page) -> None:
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
    parser.feed(full_page(report(RICH, but(MIXED, enhancer="drl")))[0])
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
    assert "dvector → SEED on demo (euclidean)</a>" in html
    for number in (1, 2):
        assert f'href="#evaluation-{number}"' in html
        assert f'id="evaluation-{number}"' in html
    assert 'href="#evaluation' not in page(report(BETTER))[0]
    assert markdown.count("## dvector → SEED on demo") == 2


def test_the_answer_comes_first_and_details_are_folded(page: Page) -> None:
    metrics = report(RICH) | {"date": "2026-11-30"}
    html, markdown = page(metrics)
    assert markdown.index("SEED lowers the equal error rate by 24 %") < markdown.index("| system |")
    assert html.index('class="lede"') < html.index("<table")
    for text in (html, markdown, format_table(metrics)):
        assert "2026-11-30, seedpipe 0.1.0, dvc repro" in text
    folded = re.findall(r"<summary><h\d>(.*?)</h\d></summary>", html)
    assert {"Further metrics", "Misses against false alarms", "Scores", "Embeddings on a plane", "Terms"} <= set(folded)
    assert 'href="#training"' in html


def test_the_second_scoring_method_is_a_table_and_warnings_stand_once(page: Page) -> None:
    other = but(RICH, method="euclidean", warnings=[*RICH["warnings"], "nobody speaks"])
    metrics = report(RICH, other)
    html, markdown = page(metrics)
    assert html.count("Misses against false alarms") == 1
    for text in (html, markdown, format_table(metrics)):
        assert text.count("12 trials are repeated") == text.count("nobody speaks") == 1
    assert len(re.findall("On the synthetic list demo", format_table(metrics))) == 1


def test_all_enhancers_are_in_one_chart(page: Page) -> None:
    html, _ = page(report(BETTER, but(WORSE, enhancer="drl"), but(BETTER, list="other")))
    charts = re.findall(r'aria-label="(Equal error rate of the network alone and of .*?) with', html)
    assert charts == ["Equal error rate of the network alone and of SEED, DRL"]


def test_enhancers_are_compared_among_themselves(page: Page) -> None:
    eer = {
        "clean": {"difference": 0.012, "low": -0.01, "high": 0.03},
        "noise": {"difference": -0.05, "low": -0.07, "high": -0.02},
    }
    one = {"network": "dvector", "list": "demo", "scores": "cosine", "a": "whitening", "b": "seed", "eer": eer}
    metrics = report(BETTER, but(BETTER, enhancer="whitening")) | {"comparisons": [one]}
    assert Report.from_dict(metrics).to_dict()["comparisons"] == [one]
    html, markdown = page(metrics)
    for text in (html, markdown):
        assert "SEED against whitening" in text
        assert "[−7.00, −2.00]" in text
    assert (
        "| SEED against whitening | 1.20 [−1.00, 3.00] no measurable difference | −5.00 [−7.00, −2.00] better |"
        in markdown
    )
    text = format_table(metrics)
    assert re.search(r"^SEED - whitening +1\.20 +-5\.00\*$", text, re.MULTILINE)
    assert "* measurably fewer errors than with whitening, ! more" in text
    assert text.isascii()


def test_hostile_names_stay_text(full_page: Page) -> None:
    result = but(RICH, network=HOSTILE, list=HOSTILE, enhancer=HOSTILE, norm=HOSTILE, utterance_rule=HOSTILE)
    result |= {"mismatch_side": HOSTILE, "warnings": [HOSTILE]}
    result["conditions"][1]["condition"] = result["snr"][0]["condition"] = HOSTILE
    result["timesteps"] = [{"t": 50, "conditions": {HOSTILE: 0.1}}]
    result["noise_seeds"]["eer"] = {HOSTILE: {"mean": 0.1, "deviation": 0.01}}
    for side in result["projection"]["systems"].values():
        side[0] |= {"speaker": HOSTILE, "condition": HOSTILE}
    metrics = report(result, but(result, train_seed=1))
    metrics["title"] = metrics["made_by"] = HOSTILE
    metrics["training"] = {HOSTILE: metrics["training"]["dvector/seed"]}
    metrics["facts"] = {HOSTILE: HOSTILE + "\n# heading"}
    html, markdown = full_page(metrics)
    for text in (html, markdown):
        assert "<script" not in text
    assert '"&"' not in html.replace("&#34;", "")
    assert "&lt;script&gt;" in markdown
    assert "\n# heading" not in markdown
    for table in re.findall(r"(?:^\|.*\n)+", markdown, re.MULTILINE):
        assert len({len(re.findall(r"(?<!\\)\|", row)) for row in table.splitlines()}) == 1, table


def test_an_enhancer_without_a_curve_is_described(page: Page) -> None:
    metrics = report(but(BETTER, enhancer="whitening"))
    fitted = {"seed": 0, "rows": 5000, "steps": 0, "epochs": 0.0, "seconds": 0.2, "parameters": 65_792, "curve": []}
    metrics["training"] = {"dvector/whitening": fitted}
    html, markdown = page(metrics)
    assert "5,000 rows, 0 steps, 0 s, seed 0, 65,792 parameters." in html
    assert "| dvector → whitening | 65,792 | 5,000 | 0 | 0 | 0 | 0 s |  |  |" in markdown


def test_the_warnings_of_a_training_are_shown(page: Page) -> None:
    metrics = report(BETTER)
    metrics["training"]["dvector/seed"]["warnings"] = ["the training has not converged; raise train.steps"]
    metrics["training"]["dvector/seed"]["remarks"] = ["on held-out speech it helps"]
    html, markdown = page(metrics)
    assert "On held-out speech it helps." in html
    assert "dvector → SEED: on held-out speech it helps." in markdown
    assert "<strong>Warning:</strong> the training has not converged; raise train.steps." in html
    assert "Warning, dvector → SEED: the training has not converged; raise train.steps." in markdown


def test_a_page_says_whether_more_speech_would_help(page: Page) -> None:
    metrics = report(BETTER)
    metrics["training"]["dvector/seed"]["growth"] = [[120, 0.112], [240, 0.091]]
    assert "11.20 % after 120, 9.10 % after 240" in page(metrics)[0]
    assert "Would more speech help?" not in page(report(BETTER))[0]


def test_a_row_can_be_heard_on_the_page(tmp_path: Path) -> None:
    times = np.arange(16_000, dtype=np.float32) / 16_000
    waves = {f"{HOSTILE}, 5.0 dB": np.sin(400 * times), "clean": 0 * times}
    pages = []
    for _ in range(2):
        write_report(report(BETTER), tmp_path / "page.html", heard=Heard(f"Row 0 of {HOSTILE}.", 16_000, waves))
        pages.append((tmp_path / "page.html").read_text(encoding="utf-8"))
    assert pages[0] == pages[1]
    assert "<script" not in pages[0]
    sounds = [base64.b64decode(sound) for sound in re.findall(r'src="data:audio/mpeg;base64,([^"]+)"', pages[0])]
    heard = [soundfile.read(io.BytesIO(sound), dtype="float32") for sound in sounds]
    assert [(rate, round(wave.size / rate, 1)) for wave, rate in heard] == [(16_000, 1.0)] * 2
    assert [round(float(np.abs(wave).max())) for wave, _ in heard] == [1, 0]
    assert pages[0].count("<image") == 2


def test_without_audio_the_page_says_why(tmp_path: Path) -> None:
    heard = first_row(tmp_path / "cache", tmp_path / "manifests")
    write_report(report(BETTER), tmp_path / "page.html", heard=heard)
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "There is no audio of the cache" in page
    assert "<audio" not in page


def test_reports_without_training_and_facts(page: Page) -> None:
    metrics = report(BETTER)
    del metrics["training"], metrics["facts"]
    html, markdown = page(metrics)
    assert "Training" not in html
    assert "Training" not in markdown


@pytest.mark.parametrize("curve", [[], [{"step": 1, "loss": 0.5}], [{"step": k, "loss": 0.5} for k in (1, 2)]])
def test_short_and_flat_training_curves(full_page: Page, curve: list[Metrics]) -> None:
    metrics = report(BETTER)
    metrics["training"]["dvector/seed"]["curve"] = curve
    assert ("Training and validation loss" in full_page(metrics)[0]) is (len(curve) > 1)


@pytest.mark.parametrize("loss", [-1e308, 1e31])
def test_losses_that_no_axis_holds_are_refused(loss: float) -> None:
    metrics = report(BETTER)
    metrics["training"]["dvector/seed"]["curve"] = [{"step": 1, "loss": 0.5}, {"step": 2, "loss": loss}]
    with pytest.raises(MetricError, match=r"training.*loss"):
        Report.from_dict(metrics)


@pytest.mark.parametrize("rates", [(0.0, 0.0), (0.0, 0.01), (0.009, 0.0087), (0.5, 0.49), (0.98, 1.0)])
def test_extreme_rates_can_be_drawn(full_page: Page, rates: tuple[float, float]) -> None:
    result = evaluation(rates, rates, None)
    for part in result["conditions"]:
        for one in part["systems"].values():
            one["eer"] = {name: min(max(value, 0.0), 1.0) for name, value in one["eer"].items()}
    html, _ = full_page(report(result))
    assert not re.search(r"[\">, ](nan|inf)\b", html)
    assert format_table(report(result))


# --- several systems --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("enhancer", "name"),
    [("seed", "SEED"), ("drl", "DRL"), ("whitening", "whitening"), ("regression", "regression"), ("my own", "my own")],
)
def test_every_enhancer_goes_by_its_name(enhancer: str, name: str, page: Page) -> None:
    metrics = report(but(BETTER, enhancer=enhancer))
    metrics["title"], metrics["training"] = "Results", {f"dvector/{enhancer}": {**metrics["training"]["dvector/seed"]}}
    html, markdown = page(metrics)
    text = format_table(metrics)
    assert headline(metrics)[0].startswith(f"On the synthetic list demo, with dvector embeddings, {name} lowers the")
    assert f"<h2>dvector → {name} on demo</h2>" in html
    assert f'<th scope="col">→ {name}</th>' in html
    assert f"<h3>dvector → {name}</h3>" in html
    assert f"network above {name}" in html
    assert f"EER %: {name} |" in markdown
    assert f"-> {name} EER %" in text
    if enhancer not in ("seed", "regression"):  # which is explained as SEED without diffusion
        assert "SEED" not in html + markdown + text


def test_without_an_enhancer_the_network_stands_alone(page: Page) -> None:
    alone = {**report(but(BETTER, enhancer="none")), "training": {}}
    assert "the equal error rate is 8.0 % [7.0, 9.0] in the condition clean, " in headline(alone)[0]
    html, markdown = page(alone)
    for written in (html, markdown, format_table(alone)):
        assert not re.search("→|->(?!<)|with none|EER %: none", re.sub("<!--.*?-->", "", written))
        assert "measurably better" not in written


def test_a_front_end_belongs_to_the_name_of_the_network(page: Page) -> None:
    metrics = report(BETTER, but(WORSE, frontend="rnnoise"))
    html, markdown = page(metrics)
    assert "<h2>rnnoise → dvector → SEED on demo</h2>" in html
    rows = [row[0] for row in _rows(markdown, "| system |")[1:]]
    assert rows == ["dvector", "rnnoise → dvector", "dvector → SEED", "rnnoise → dvector → SEED"]
    assert "with rnnoise → dvector embeddings, SEED raises" in headline(metrics)[1]
    text = format_table(metrics)
    assert "\nrnnoise -> dvector on demo (cosine" in text
    assert text.isascii()


def test_sections_are_ordered_by_network_list_and_enhancer(page: Page) -> None:
    order = [(n, a, e) for n in ("resnet34", "dvector") for a in ("far", "demo") for e in ("whitening", "seed")]
    mixed = [order[k] for k in (0, 7, 2, 5, 1, 6, 3, 4)]
    html, markdown = page(report(*(but(BETTER, network=n, list=a, enhancer=e) for n, a, e in mixed)))
    names = {"whitening": "whitening", "seed": "SEED"}
    networks, lists = ("resnet34", "dvector"), ("far", "demo")
    expected = [f"{n} → {names[e]} on {a}" for n in networks for a in lists for e in ("whitening", "seed")]
    assert re.findall(r"<h2>(.* → .*)</h2>", html) == expected
    assert re.findall(r"^## (.* → .*)$", markdown, re.MULTILINE) == expected


def _rows(markdown: str, start: str) -> list[list[str]]:
    """Cells of the first table of a Markdown text whose header starts so."""
    table = markdown[markdown.index(start) :].split("\n\n", maxsplit=1)[0].splitlines()
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table if not line.startswith("|---")]


def test_the_overview_marks_the_best_and_what_is_measurable(page: Page) -> None:
    clean_alike = evaluation((0.08, 0.08), (0.25, 0.30), {"value": -0.2, "low": -0.3, "high": -0.1})
    html, markdown = page(report(BETTER, but(clean_alike, enhancer="drl"), but(WORSE, list="far", enhancer="drl")))
    rows = _rows(markdown, "| system | clean")
    assert [row[0] for row in rows[1:]] == ["dvector", "dvector → SEED", "dvector → DRL"]
    noise = rows[0].index("noise")
    assert [row[noise] for row in rows[1:]] == ["25.0 / 0.500", "**19.0** ▼ / 0.500", "30.0 ▲ / 0.500"]
    assert [row[1] for row in rows[1:]] == ["8.0 / 0.500"] * 3  # all alike: none is the best
    far = _rows(markdown[markdown.index("minDCF on far") :], "| system | clean")
    assert [row[1] for row in far[1:]] == ["**8.0** / 0.500", "11.0 ▲ / 0.500"]
    flat = " ".join(re.sub(r"<[^>]+>", " ", html).split())
    assert "19.0 measurably better / 0.500" in flat
    assert html.index("<caption>EER (%) and minDCF on demo") < html.index("<h2>")


def test_lists_of_one_condition_share_a_table_as_in_the_paper(page: Page) -> None:
    lists = ("VoxSRC23", "VC-Mix", "Vox1-O", "Vox1-E", "Vox1-H")
    results = [but(BETTER, list=name, network=network) for network in ("resnet34", "ecapa") for name in lists]
    for result in results:
        del result["conditions"][1:], result["mean_relative_reduction"]
    del results[-1]
    rows = _rows(page(report(*results))[1], "| system |")
    assert rows[0] == ["system", *lists]
    assert [row[0] for row in rows[1:]] == ["resnet34", "resnet34 → SEED", "ecapa", "ecapa → SEED"]
    assert rows[-1][-1] == "–"


def test_wide_overviews_are_split(page: Page) -> None:
    result = copy.deepcopy(BETTER)
    result["conditions"] += [condition(f"noise@{snr}", 0.3, 0.2) for snr in range(0, 30, 5)]
    headers = re.findall(r"^\| system \|(.*)\|$", page(report(result))[1], re.MULTILINE)
    assert [header.count("|") + 1 for header in headers] == [6, 5]
    names = [cell.strip() for header in headers for cell in header.split("|")]
    assert names == [part["condition"] for part in result["conditions"]]


def test_training_seeds_stand_side_by_side(page: Page) -> None:
    eers = (0.19, 0.21, 0.15)
    seeds = [evaluation((0.08, 0.08), (0.25, eer), None) | {"train_seed": k} for k, eer in enumerate(eers)]
    html, markdown = page(report(*seeds))
    rows = _rows(markdown[markdown.index("## Training seeds") :], "| condition")
    assert rows[0] == ["condition", "network", "seed 0", "seed 1", "seed 2", "mean", "deviation"]
    mean, deviation = 100 * np.mean(eers), 100 * np.std(eers, ddof=1)
    assert rows[2] == ["noise", "25.0", "19.0", "21.0", "15.0", f"{mean:.1f}", f"{deviation:.2f}"]
    assert "dvector → SEED on demo (training seed 2)</h2>" in html
    overview = _rows(markdown, "| system |")
    assert overview[2][0] == "dvector → SEED"
    assert overview[2][2] == f"**{mean:.1f}** ± {deviation:.1f} ▼ / 0.500 ± 0.000"
    assert "±: mean and standard deviation over training seeds, with a mark where all of them have it." in html
    assert f'<td data-of="deviation"><span class="figure">{deviation:.2f}</span></td>' in html
    assert "cosine scores, means over training seeds" in format_table(report(*seeds))


def test_a_mean_over_seeds_is_measurable_only_where_every_seed_is(page: Page) -> None:
    seeds = [but(BETTER, train_seed=0), but(SAME, train_seed=1)]
    assert _rows(page(report(*seeds))[1], "| system |")[2][2] == "**19.0** ± 0.0 / 0.500 ± 0.000"


# --- behind the error rates -------------------------------------------------------------------------------------------


def test_the_numbers_of_every_new_chart_are_in_a_table(page: Page) -> None:
    html, markdown = page(report(RICH))
    shown = (" ".join(re.sub(r"<svg.*?</svg>|<[^>]+>", " ", html, flags=re.DOTALL).split()), markdown)
    for number in ("−5 to 0", "0 to 5", "31.2", "[11.0, 42.0]", "1,234", "56", "12.3", "6.2", "7.9", "0.12"):
        assert all(number in text for text in shown), number
    for number in ("0.777", "0.666", "1.250", "[1.125, 1.375]", "0.875", "0.555", "0.444"):
        assert all(number in text for text in shown), number
    assert "1.50, −0.25 → 1.12, −0.25" in shown[0]  # a speaker under noise, before and after


def test_every_new_chart_is_there_and_has_a_label(full_page: Page) -> None:
    html, _ = full_page(report(RICH))
    labels = re.findall(r'role="img" aria-label="([^"]+)"', html)
    for start, times in (("Equal error rate against SNR", 2), ("Equal error rate against t", 1), ("Embeddings on", 2)):
        assert sum(label.startswith(start) for label in labels) == times
    assert "Embeddings on a plane, SEED: 27 points of 9 speakers" in labels
    told = (
        "the list has 5 speakers",
        "12 trials are repeated",
        "without extension",
        "cosine, as-norm",
        "on both sides",
    )
    for text in told:
        assert all(text in version for version in full_page(report(RICH)))


def test_conditions_of_fixed_snr_become_a_curve(page: Page) -> None:
    result = copy.deepcopy(BETTER)
    result["conditions"] = [
        condition(f"noise@{snr}", eer, 0.1) for snr, eer in (("10", 0.2), ("-2.5", 0.4), ("0", 0.3))
    ]
    metrics = report(result)
    assert "on average over noise at −2.5, 0 and 10 dB." in headline(metrics)[0]
    html, markdown = page(metrics)
    rows = _rows(markdown, "| condition | SNR, dB")
    assert [row[:3] for row in rows[1:]] == [
        ["noise", "−2.5", "40.0 [39.0, 41.0]"],
        ["noise", "0", "30.0 [29.0, 31.0]"],
        ["noise", "10", "20.0 [19.0, 21.0]"],
    ]
    assert html.count("Equal error rate against SNR for noise, fixed SNR") == 1


def test_a_mean_over_drawn_snrs_does_not_name_the_levels() -> None:
    result = copy.deepcopy(BETTER)
    result["conditions"].append(condition("noise@5", 0.3, 0.2))
    assert "on average over noise, music, reverb and noise+reverb;" in headline(report(result))[0]


def test_embeddings_are_shown_once_for_all_scoring_methods(page: Page) -> None:
    html, _ = page(report(RICH, but(RICH, method="euclidean"), but(RICH, enhancer="drl", projection=None)))
    assert html.count("<h3>Embeddings on a plane</h3>") == 1


@pytest.mark.parametrize("rate", [0.0, 1.0])
def test_flat_and_extreme_diagnostics_can_be_drawn(rate: float, full_page: Page) -> None:
    one = {"eer": {"value": rate}}
    spot = [{"x": 0.0, "y": 0.0, "speaker": "a", "condition": "clean"}]
    extreme = but(
        BETTER,
        snr=[{**snr_bin("noise", 0, 0.1, 0.1), "systems": {"network": one, "enhanced": one}}],
        timesteps=[{"t": 1, "conditions": {"clean": rate}}],
        projection={"systems": {"network": spot, "enhanced": spot}},
    )
    html, _ = full_page(report(extreme))
    assert not re.search(r"[\">, ](nan|inf)\b", html)
    assert "Equal error rate against t" in html


def test_what_several_drawings_share_is_drawn_once(full_page: Page) -> None:
    html, _ = full_page(report(RICH, but(RICH, enhancer="drl"), but(RICH, enhancer="regression")))
    identifiers = re.findall(r'\bid="([^"]+)"', html)
    assert len(identifiers) == len(set(identifiers))
    references = re.findall(r'href="#([dm]\d+)"|url\(#([^)]+)\)', html)
    assert references
    assert {one or other for one, other in references} <= set(identifiers)
    parts = len(full_page(report(RICH))[0]), len(full_page(report(RICH, but(RICH, enhancer="drl")))[0])
    assert len(html) - parts[1] < 0.75 * parts[0]


def test_the_styles_of_shared_marks_reach_them(full_page: Page) -> None:
    # Inside a reference, no rule applies that asks for an element around it, such as the drawing.
    html, _ = full_page(report(RICH))
    sheet = re.search(r"<style>(.*?)</style>", html, re.DOTALL)
    assert sheet is not None
    assert not re.search(r"svg +[.a-z]", sheet[1])


def test_enhancers_on_one_list_have_the_same_axes(full_page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    easy = evaluation((0.01, 0.01), (0.02, 0.02), None)
    limits: list[tuple[float, float]] = []
    monkeypatch.setattr(figures, "det", lambda _axes, _systems, found: limits.append(found))
    full_page(report(BETTER, but(WORSE, enhancer="drl"), but(easy, list="other")))
    assert limits[:5] == limits[5:10] == 5 * [(0.01, 0.4)]
    assert limits[10:] == 5 * [(0.002, 0.1)]


def test_a_page_of_forty_evaluations_stays_below_a_megabyte_and_a_half(full_page: Page) -> None:
    """Eight enhancers on a list, with everything that the score stage measures."""
    rng = np.random.default_rng(0)
    labels = np.repeat([1, 0], [1_000, 20_000])

    def drawn(quality: float) -> Metrics:
        scores = rng.normal(quality * labels)
        far, frr, _ = m.det_curve(scores, labels)
        edges, target, other = m.score_histogram(scores, labels)
        return {
            "det": {"far": far.tolist(), "frr": frr.tolist()},
            "histogram": {"edges": edges.tolist(), "target": target.tolist(), "nontarget": other.tolist()},
        }

    def cloud() -> list[Metrics]:
        return [
            {"x": x, "y": y, "speaker": f"speaker {k % 6}", "condition": CONDITIONS[k % 5]}
            for k, (x, y) in enumerate(rng.normal(size=(300, 2)).tolist())
        ]

    base = but(RICH, snr=[snr_bin(name, 5 * k, 0.3, 0.2) for name in ("noise", "music", "both") for k in range(5)])
    alone, before = cloud(), [drawn(1.5) for _ in CONDITIONS]
    enhancers = []
    for seed in range(8):
        one = but(base, train_seed=seed, projection={"systems": {"network": alone, "enhanced": cloud()}})
        for part, network in zip(one["conditions"], before, strict=True):
            part["systems"]["network"] |= network
            part["systems"]["enhanced"] |= drawn(2.0)
        enhancers.append(one)
    html, _ = full_page(report(*enhancers))
    assert len(html.encode()) < 1_500_000 * len(enhancers) / 40


# --- tables of the curves ---------------------------------------------------------------------------------------------


def _csv(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize(("points", "bins", "levels"), [(5, 3, 0), (1999, 40, 0), (700, 90, 30)])
def test_plot_tables_are_bounded_and_exact(points: int, bins: int, levels: int, tmp_path: Path) -> None:
    rng = np.random.default_rng(points)
    far, frr = np.sort(rng.random(points)), -np.sort(-rng.random(points))
    edges, target, other = np.cumsum(rng.random(bins + 1)), rng.random(bins), rng.random(bins)
    result = copy.deepcopy(BETTER)
    result["conditions"] += [condition(f"noise@{level}", 0.2, 0.1) for level in range(levels)]
    for part in result["conditions"]:
        for one in part["systems"].values():
            one["det"] = {"far": far.tolist(), "frr": frr.tolist()}
            one["histogram"] = {"edges": edges.tolist(), "target": target.tolist(), "nontarget": other.tolist()}
    write_plot_tables(typed(result, but(result, method="euclidean")), tmp_path / "a" / "b")
    det, histogram = _csv(tmp_path / "a/b/det.csv"), _csv(tmp_path / "a/b/histogram.csv")
    assert len(det) <= 2_000
    assert len(histogram) <= 2_000
    curve = [row for row in det if (row["method"], row["condition"], row["system"]) == ("cosine", "music", "network")]
    drawn = [(float(row["far"]), float(row["frr"])) for row in curve]
    whole = list(zip(far.tolist(), frr.tolist(), strict=True))
    assert len(drawn) == min(points, 2_000 // (4 * (5 + levels)))
    assert set(drawn) <= set(whole)
    assert (drawn[0], drawn[-1]) == (whole[0], whole[-1])
    assert drawn == sorted(drawn)
    bars = [
        row
        for row in histogram
        if (row["method"], row["condition"], row["system"]) == ("euclidean", "clean", "enhanced")
    ]
    assert [float(row["low"]) for row in bars[1:]] == [float(row["high"]) for row in bars[:-1]]
    assert (float(bars[0]["low"]), float(bars[-1]["high"])) == (edges[0], edges[-1])
    for name, densities in (("target", target), ("nontarget", other)):
        mass = sum(float(row[name]) * (float(row["high"]) - float(row["low"])) for row in bars)
        assert mass == pytest.approx(float((densities * np.diff(edges)).sum()))


# --- the command ------------------------------------------------------------------------------------------------------


def _saved(folder: Path, *evaluations: Metrics) -> Path:
    folder.mkdir(parents=True)
    data = {"synthetic": True, "evaluations": list(evaluations)}
    (folder / "evaluation.json").write_text(json.dumps(data), encoding="utf-8")
    return folder


def test_the_command_puts_runs_on_one_page(tmp_path: Path) -> None:
    for seed in (0, 1):
        _saved(tmp_path / f"run{seed}/results/dvector/seed/demo", but(BETTER, train_seed=seed))
    out, appendix = tmp_path / "page.html", tmp_path / "page.md"
    arguments = ["report", str(tmp_path / "run0"), str(tmp_path / "run1/results"), "--out", str(out)]
    done = CliRunner().invoke(app, [*arguments, "--markdown", str(appendix), "--json"])
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["headlines"] == headline(report(BETTER)) * 2
    assert "<h2>Training seeds</h2>" in out.read_text(encoding="utf-8")
    assert "## Training seeds" in appendix.read_text(encoding="utf-8")


def test_enhancers_of_folders_come_in_the_order_of_params(tmp_path: Path) -> None:
    for name in ("centering", "other", "seed"):
        _saved(tmp_path / "results" / name, but(BETTER, enhancer=name))
    found = gather([tmp_path], "Results", "test", ["seed", "centering"])
    assert [one["enhancer"] for one in found["evaluations"]] == ["seed", "centering", "other"]


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("empty", None, "holds no evaluation.json"),
        ("evaluation.json", "{", "cannot be read"),
        ("evaluation.json", "[1]", "has no results"),
        ("absent.json", None, "cannot be read"),
    ],
)
def test_the_command_names_files_that_are_no_results(
    name: str, content: str | None, words: str, tmp_path: Path
) -> None:
    file = tmp_path / name
    if content is not None:
        file.write_text(content, encoding="utf-8")
    elif name == "empty":
        file.mkdir()
    done = CliRunner().invoke(app, ["report", str(file), "--out", str(tmp_path / "page.html")])
    assert done.exit_code == 1
    assert f"{name}: {words}" in done.stderr
    assert not (tmp_path / "page.html").exists()


# --- the terminal -----------------------------------------------------------------------------------------------------


def test_the_terminal_table_fits_and_is_complete() -> None:
    text = format_table(report(BETTER, OTHER))
    assert max(map(len, text.splitlines())) <= 92
    assert text.isascii()
    assert re.search(
        r"noise\+reverb +25\.0 \[24\.0, 26\.0\] +19\.0 \[18\.0, 20\.0\] +-24 % .*0\.500 -> 0\.500 +better", text
    )
    assert "not measurable" in text
    flat = " ".join(text.split())
    assert "SEED lowers the equal error rate by 24 % [18, 29]" in flat
    assert "SEED raises the equal error rate by 32 % [20, 40]" in flat


def test_the_terminal_overview_holds_all_systems() -> None:
    names = ("seed", "regression", "whitening", "drl", "none")
    systems = [
        but(result, enhancer=name) for name, result in zip(names, (BETTER, MIXED, SAME, WORSE, SAME), strict=True)
    ]
    text = format_table(report(*systems, but(WORSE, network="resnet34")))
    assert max(map(len, text.splitlines())) <= 92
    assert text.isascii()
    overview = text[: text.index("dvector on demo")]
    assert re.search(r"^EER %/minDCF +clean +noise +music +reverb +noise\+reverb$", overview, re.MULTILINE)
    assert re.search(r"^dvector -> SEED +8\.0/0\.500 +19\.0\*/0\.500", overview, re.MULTILINE)
    assert re.search(r"^dvector -> DRL +11\.0!/0\.500 +25\.0!/0\.500", overview, re.MULTILINE)
    assert "* measurably better" in overview
    assert "All systems" not in format_table(report(BETTER, but(BETTER, method="euclidean")))


def test_the_terminal_tells_systems_with_long_names_apart() -> None:
    systems = [but(BETTER, network="a_network_with_a_long_name", enhancer=name) for name in ("seed", "drl")]
    rows = re.findall(r"^\.\.\.(\S.*?)  ", format_table(report(*systems)), re.MULTILINE)
    assert [row[-6:] for row in rows] == ["g_name", "> SEED", "-> DRL"]


def test_every_form_says_how_large_a_difference_a_list_could_have_seen(page: Page) -> None:
    crops = {"enrol": {"count": 10, "seconds": 4.015}, "test": {"count": 1, "seconds": 2.015}}
    found = but(BETTER, targets=100, crops=crops)  # 8 errors on clean speech, 25 elsewhere
    text = " ".join(format_table(report(found)).split())
    assert "Enrolment: 10 crops of 4.0 s; test: 1 crop of 2.0 s. Measurable from (EER, points): clean 0.5" in text
    assert "clean 0.5 or more (few errors), noise 0.5, music 0.5, reverb 0.5, noise+reverb 0.5." in text
    for written in page(report(found)):
        flat = " ".join(written.replace("\N{NO-BREAK SPACE}", " ").split())
        assert flat.count("measurable from 0.5") == 5
        assert flat.count("measurable from 0.5 or more (few errors)") == 1
        assert "Enrolment: 10 crops of 4.0 s; test: 1 crop of 2.0 s." in flat


def test_the_terminal_says_warnings() -> None:
    assert "Warning: the list has 5 speakers\nWarning: 12 trials are repeated\n" in format_table(report(RICH))


def test_the_terminal_table_tames_names() -> None:
    metrics = report(copy.deepcopy(BETTER))
    metrics["evaluations"][0]["conditions"][1]["condition"] = "\x1b[31mred" + "x" * 50
    text = format_table(metrics)
    assert "\x1b" not in text
    assert "?[31mred" in text


def test_half_a_character_in_a_file_is_a_number_on_the_page(tmp_path: Path) -> None:
    metrics = report(copy.deepcopy(BETTER))
    metrics["evaluations"][0]["warnings"] = ["names with \ud800"]
    write_report(metrics, tmp_path / "r.html", tmp_path / "r.md")
    assert "names with \\ud800" in (tmp_path / "r.html").read_text(encoding="utf-8")


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


def _rich(path: tuple[str | int, ...], value: object) -> Metrics:
    metrics: Any = report(copy.deepcopy(RICH))
    part = metrics["evaluations"][0]
    for key in path[:-1]:
        part = part[key]
    part[path[-1]] = value
    return dict(metrics)


SYSTEM = ("evaluations", 0, "conditions", 1, "systems", "enhanced")


@pytest.mark.parametrize(
    ("metrics", "words"),
    [
        (_without(("title",)), "title is missing"),
        (_without((*SYSTEM, "eer")), "evaluations[0].conditions[1].systems.enhanced.eer is missing"),
        (_without((*SYSTEM, "det", "far")), "evaluations[0].conditions[1].systems.enhanced.det.far is missing"),
        (
            _with((*SYSTEM, "eer", "value"), 19.0),
            "enhanced.eer.value is 19.0; expected less than or equal to 1 (rates are",
        ),
        (_with((*SYSTEM, "min_dcf", "value"), float("nan")), "enhanced.min_dcf.value is nan; expected a finite number"),
        (_with((*SYSTEM, "min_dcf", "low"), "0.1"), "enhanced.min_dcf.low is '0.1'; expected a valid number"),
        (_with((*SYSTEM, "det", "frr"), [1.0]), "far and frr of one length, not 5 and 1"),
        (_with((*SYSTEM, "histogram", "target"), [1.0]), "one density per bin, not 1 and 3 for 3 bins"),
        (_with((*SYSTEM, "histogram", "edges"), [1.0, 1.0, 1.0, 1.0]), "edges that rise"),
        (_with(("evaluations",), []), "evaluations is []"),
        (_with(("synthetic",), "no"), "synthetic is 'no'; expected a valid boolean"),
        (_with(("evaluations", 0, "conditions", 1, "condition"), "clean"), "not clean twice"),
        (
            report(BETTER, BETTER),
            "each training seed once, not dvector with seed on demo (cosine) twice for one seed",
        ),
        (_rich(("snr", 0, "systems", "enhanced", "eer", "value"), 20.0), "snr[0].systems.enhanced.eer.value is 20.0"),
        (_rich(("snr", 0, "high"), -1.0), "snr[0] is {'condition': 'noise'"),
        (_rich(("snr", 0, "high"), -1.0), "expected a bin with low below high, not 0 and -1 dB"),
        (_rich(("timesteps", 1, "t"), 0), "timesteps[1].t is 0; expected greater than or equal to 1"),
        (_rich(("timesteps", 1, "conditions"), {"clean": 0.1}), "timesteps with the same conditions at every t"),
        (_rich(("timesteps", 1, "conditions", "noise"), 7.0), "evaluations[0].timesteps[1].conditions.noise is 7.0"),
        (_rich(("projection", "systems", "network", 2, "x"), "a"), "projection.systems.network[2].x is 'a'"),
        (
            _rich(("projection", "systems", "enhanced", 2, "speaker"), "x"),
            "the same speakers and conditions before and",
        ),
        (_rich(("noise_seeds", "count"), 1), "noise_seeds.count is 1; expected greater than or equal to 2"),
        (_rich(("noise_seeds", "eer", "clean", "mean"), 7.9), "noise_seeds.eer.clean.mean is 7.9; expected less than"),
        (_rich(("warnings",), "careful"), "evaluations[0].warnings is 'careful'; expected a valid list"),
        (_rich(("train_seed",), 0.5), "evaluations[0].train_seed is 0.5; expected a valid integer"),
        (_rich(("train_seed",), 2**70), "evaluations[0].train_seed is 1180591620717411303424; expected less than"),
        (_rich(("targets",), 10**400), "evaluations[0].targets is 1"),
        (_with((*SYSTEM, "min_dcf_0.01"), -0.5), "systems.enhanced.min_dcf_0.01.value is -0.5; expected greater"),
        (_with((*SYSTEM, "cllr"), "high"), "systems.enhanced.cllr is 'high'"),
        (_with(("facts", "list"), [1]), "facts.list is [1]; expected a text, a number, true or false; write"),
        (_with(("facts", "half"), "\ud800"), "expected a text that UTF-8 can hold"),
        ({}, "synthetic is missing (and 4 more)"),
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
    plain = page(report(BETTER))
    assert page(_with((*SYSTEM, "auc"), 0.9)) == plain
    assert page(_with((*SYSTEM, "min_dcf_mean"), "a text")) == plain
    assert page(report(but(BETTER, half_life=[1, 2]))) == plain


# --- surroundings -----------------------------------------------------------------------------------------------------


def test_importing_the_package_is_light() -> None:
    heavy = "{'matplotlib', 'jinja2', 'pandas', 'numpy', 'torch'}"
    code = f"import sys, seedpipe.results.report; print(sorted({heavy} & set(sys.modules)))"
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
            "systems": {"network": as_system(before), "enhanced": as_system(after)},
            "difference": {name: vars(bootstrap.paired(before, after, labels, name)) for name in ("eer", "min_dcf")},
        }
    ]
    reduction = bootstrap.mean_relative_reduction([(before, after)], labels)
    metrics["evaluations"][0]["mean_relative_reduction"] = vars(reduction)
    html, _ = page(json.loads(json.dumps(metrics)))
    assert f"SEED lowers the equal error rate by {100 * reduction.value:.0f}" in html
