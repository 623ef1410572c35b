"""Tables: the right numbers, marks that the intervals bear out, four formats that hold hostile names."""

from __future__ import annotations

import csv
import json
import shutil
import subprocess
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from seedpipe.cli import app
from seedpipe.errors import MetricError
from seedpipe.results import Evaluation
from seedpipe.results.tables import write_tables
from seedpipe.results.tables.formats import LATEX, Entry, Row, Table, csv_text, latex

HOSTILE = r"a_b&c%d$e#f{g}h~i^j\k|l<b>m*n`"
Json = dict[str, Any]
Write = Callable[..., Path]


def system(eer: float) -> Json:
    return {
        "eer": {"value": eer},
        "eer_definition": "linear",
        "min_dcf": {"value": min(1.0, 4 * eer)},
        "det": {"far": [0.0, 1.0], "frr": [1.0, 0.0]},
        "histogram": {"edges": [-1.0, 1.0], "target": [0.5], "nontarget": [0.5]},
    }


def condition(name: str, before: float, after: float, spread: float) -> Json:
    change = after - before
    interval = {"difference": change, "low": change - spread, "high": change + spread, "p_value": 0.5}
    doubtful = {"difference": 4 * change, "low": -1.0, "high": 1.0, "p_value": 0.5}
    return {
        "condition": name,
        "systems": {"network": system(before), "enhanced": system(after)},
        "difference": {"eer": interval, "min_dcf": doubtful},
    }


def evaluation(rates: dict[str, tuple[float, float]], spread: float = 0.005, **others: Any) -> Json:
    """An evaluation with EERs before and after by condition; further keys replace the usual ones."""
    usual = {"network": "dvector", "enhancer": "seed", "list": "an4", "method": "cosine", "train_seed": 0}
    counts = {"trials": 4000, "targets": 400, "speakers": 24, "utterances": 144}
    rows = [condition(name, *pair, spread) for name, pair in rates.items()]
    return {**usual, **counts, "conditions": rows, **others}


@pytest.fixture
def results(tmp_path: Path) -> Write:
    """Write evaluations, each into a file of its own in one folder, and give the folder."""

    def write(*evaluations: Json) -> Path:
        folder = tmp_path / "results"
        for number, one in enumerate(evaluations):
            Evaluation.from_dict(one)  # what the scoring stage writes passes the same schema
            place = folder / str(number)
            place.mkdir(parents=True)
            text = json.dumps({"synthetic": False, "evaluations": [one]})
            (place / "evaluation.json").write_text(text, encoding="utf-8")
        return folder

    return write


def bench(path: Path, *rows: tuple[str, int, int]) -> Path:
    """What `seedpipe bench --json` prints, for rows of system, batch and parameters."""
    fixed = {"real_time_factor": 0.0206, "peak_memory_bytes": 91 * 2**20, "device": "cpu", "threads": 1}
    listed = [{"system": name, "batch": batch, "parameters": count, **fixed} for name, batch, count in rows]
    path.write_text(json.dumps({"machine": "Some CPU, 2 cores", "seconds": 4.0, "rows": listed}), encoding="utf-8")
    return path


def table(folder: Path, name: str = "table1") -> list[list[str]]:
    """Rows and cells of a Markdown table."""
    lines = (folder / f"{name}.md").read_text(encoding="utf-8").splitlines()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("|")]
    return [row for row in rows if not row[1].startswith("---")]


# --- table 1 ----------------------------------------------------------------------------------------------------------


def test_rows_are_systems_and_columns_are_conditions(results: Write, tmp_path: Path) -> None:
    found = results(
        evaluation({"clean": (0.08, 0.084), "noise": (0.2, 0.15)}),
        evaluation({"clean": (0.08, 0.09), "noise": (0.2, 0.199)}, enhancer="whitening"),
    )
    write_tables([found], tmp_path / "out")
    assert table(tmp_path / "out") == [
        ["system", "clean", "noise"],
        ["dvector", "**8.0**/**0.320**", "20.0/0.800"],
        ["dvector → SEED", "8.4/0.336", r"**15.0**↓\*/**0.600**↓"],
        ["dvector → whitening", r"9.0\*/0.360", "19.9↓/0.796↓"],
    ]


def test_lists_of_one_condition_stand_in_one_table(results: Write, tmp_path: Path) -> None:
    found = results(
        evaluation({"clean": (0.0221, 0.0230)}, list="Vox1-H"), evaluation({"clean": (0.0307, 0.0256)}, list="VC-Mix")
    )
    write_tables([found], tmp_path / "out", formats=["md"])
    assert table(tmp_path / "out")[0] == ["system", "Vox1-H", "VC-Mix"]
    assert table(tmp_path / "out")[1] == ["dvector", "**2.21**/**0.088**", "3.07/0.123"]
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["table1.md"]


def test_several_lists_with_conditions_get_a_table_each(results: Write, tmp_path: Path) -> None:
    rates = {"clean": (0.1, 0.1), "noise": (0.2, 0.1)}
    write_tables([results(evaluation(rates), evaluation(rates, list="other"))], tmp_path / "out")
    text = (tmp_path / "out" / "table1.md").read_text(encoding="utf-8")
    assert [line for line in text.splitlines() if line.startswith("###")] == [
        "### EER (%) and minDCF on an4, cosine scores",
        "### EER (%) and minDCF on other, cosine scores",
    ]


def test_more_conditions_than_a_page_is_wide_are_spread_over_tables(results: Write, tmp_path: Path) -> None:
    rates = {f"noise@{snr}": (0.2, 0.1) for snr in range(8)}
    write_tables([results(evaluation(rates))], tmp_path / "out", formats=["md"])
    heads = [row for row in table(tmp_path / "out") if row[0] == "system"]
    assert [len(head) for head in heads] == [7, 3]
    assert [name for head in heads for name in head[1:]] == list(rates)


def test_seeds_become_mean_and_deviation_and_a_star_needs_them_all(results: Write, tmp_path: Path) -> None:
    found = results(
        *(evaluation({"noise": (0.2, after)}, train_seed=seed) for seed, after in enumerate((0.14, 0.15, 0.16))),
        *(
            evaluation({"noise": (0.2, 0.15)}, spread, train_seed=seed, enhancer="drl")
            for seed, spread in enumerate((0.01, 0.09))
        ),
    )
    write_tables([found], tmp_path / "out")
    rows = {name: cell.split("/")[0] for name, cell in table(tmp_path / "out")[1:]}
    # The deviation of 14, 15 and 16 as a sample is 1; one of the intervals of DRL holds zero.
    assert rows == {
        "dvector": "20.0",
        "dvector → SEED": r"**15.0 ± 1.0**↓\*",
        "dvector → DRL": "**15.0 ± 0.0**↓",
    }
    assert "over 2 to 3 training seeds" in (tmp_path / "out" / "table1.md").read_text(encoding="utf-8")


def test_front_ends_are_systems_compared_with_the_network_behind_them(results: Write, tmp_path: Path) -> None:
    found = results(
        evaluation({"noise": (0.2, 0.15)}),
        evaluation({"noise": (0.18, 0.16)}, frontend="rnnoise"),
        evaluation({"noise": (0.18, 0.18)}, frontend="rnnoise", enhancer="none"),
        evaluation({"noise": (0.1, 0.1)}, network="ecapa", frontend=""),
    )
    write_tables([found], tmp_path / "out")
    assert [[name, cell.split("/")[0]] for name, cell in table(tmp_path / "out")[1:]] == [
        ["dvector", "20.0"],
        ["rnnoise → dvector", "18.0↓"],
        ["dvector → SEED", r"**15.0**↓\*"],
        ["rnnoise → dvector → SEED", r"16.0↓\*"],
        ["ecapa", "10.0"],
        ["ecapa → SEED", "10.0"],
    ]


def test_every_normalisation_of_scores_gets_a_table(results: Write, tmp_path: Path) -> None:
    found = results(evaluation({"noise": (0.2, 0.15)}), evaluation({"noise": (0.1, 0.09)}, norm="as"))
    write_tables([found], tmp_path / "out", formats=["md"])
    text = (tmp_path / "out" / "table1.md").read_text(encoding="utf-8")
    assert [line.partition("an4, ")[2] for line in text.splitlines() if line.startswith("###")] == [
        "cosine scores",
        "cosine, as-norm scores",
    ]
    cells = [row[1].split("/")[0] for row in table(tmp_path / "out") if row[0] == "dvector"]
    assert cells == ["20.0", "10.0"]


def test_a_system_that_was_not_scored_has_a_dash(results: Write, tmp_path: Path) -> None:
    found = results(
        evaluation({"clean": (0.1, 0.09)}), evaluation({"clean": (0.2, 0.1)}, list="other", enhancer="whitening")
    )
    write_tables([found], tmp_path / "out")
    assert table(tmp_path / "out")[2][2] == table(tmp_path / "out")[3][1] == "–"


def test_the_csv_has_the_plain_numbers(results: Write, tmp_path: Path) -> None:
    found = results(*(evaluation({"noise": (0.2, after)}, train_seed=seed) for seed, after in enumerate((0.14, 0.16))))
    write_tables([found], tmp_path / "out", formats=["csv"])
    with (tmp_path / "out" / "table1.csv").open(encoding="utf-8", newline="") as file:
        alone, enhanced = csv.DictReader(file)
    assert (alone["enhancer"], alone["seeds"], alone["eer_deviation"]) == ("", "1", "")
    assert (enhanced["enhancer"], enhanced["seeds"], enhanced["eer_significant"]) == ("seed", "2", "True")
    assert float(enhanced["eer"]) == pytest.approx(0.15)
    assert float(enhanced["eer_deviation"]) == pytest.approx(0.02 / 2**0.5)
    assert (alone["eer_measurable_from"], float(enhanced["eer_measurable_from"])) == ("", pytest.approx(0.005))


# --- table 2 ----------------------------------------------------------------------------------------------------------


def test_costs_are_joined_by_network_and_enhancer(results: Write, tmp_path: Path) -> None:
    found = results(
        evaluation({"clean": (0.08, 0.08), "noise": (0.2, 0.1)}),
        evaluation({"clean": (0.08, 0.07), "noise": (0.2, 0.15)}, enhancer="whitening"),
        evaluation({"clean": (0.08, 0.08), "noise": (0.2, 0.18)}, enhancer="drl"),
        evaluation({"clean": (0.08, 0.08), "noise": (0.1, 0.1)}, frontend="rnnoise"),
    )
    measured = bench(
        tmp_path / "bench.json",
        ("dvector", 1, 1_423_616),
        ("dvector -> SEED", 1, 3_861_504),
        ("dvector -> whitening", 1, 1_489_408),
        ("dvector -> DRL", 1, 1_555_712),
        ("dvector -> regression", 1, 3_861_504),
        ("rnnoise -> dvector", 1, 4_300_000),
        ("ecapa", 1, 14_855_296),
        ("dvector", 32, 1_423_616),
    )
    write_tables([found], tmp_path / "out", measured)
    assert table(tmp_path / "out", "table2") == [
        ["system", "parameters (M)", "RTF", "memory (MiB)", "EER (%) an4"],
        ["dvector", "1.4", "0.0206", "91", "14.0"],
        ["dvector → SEED", "3.9", "0.0206", "91", "9.0"],
        ["dvector → whitening", "1.5", "0.0206", "91", "11.0"],
        ["dvector → DRL", "1.6", "0.0206", "91", "13.0"],
        ["dvector → regression", "3.9", "0.0206", "91", "–"],
        ["rnnoise → dvector", "4.3", "0.0206", "91", "9.0"],
        ["ecapa", "14.9", "0.0206", "91", "–"],
    ]


def test_the_benchmarks_own_csv_is_read(results: Write, tmp_path: Path) -> None:
    measured = Path(__file__).resolve().parents[2] / "docs" / "bench.csv"
    found = results(evaluation({"clean": (0.05, 0.04)}, network="resnet34"))
    write_tables([found], tmp_path / "out", measured)
    rows = {row[0]: row[1:] for row in table(tmp_path / "out", "table2")[1:]}
    assert rows["resnet34"][0] == "8.0"
    assert [rows[name][-1] for name in ("resnet34", "resnet34 → SEED", "ecapa")] == ["5.0", "4.0", "–"]


# --- formats ----------------------------------------------------------------------------------------------------------


def hostile(results: Write, tmp_path: Path) -> Path:
    out = tmp_path / "out"
    rates = {"clean": (0.1, 0.05), HOSTILE: (0.2, 0.1)}
    found = results(
        evaluation(rates, network=HOSTILE, list=HOSTILE, enhancer=HOSTILE, frontend=HOSTILE),
        evaluation(rates, network="plain", list=HOSTILE),
    )
    write_tables([found], out, bench(tmp_path / "bench.json", (HOSTILE, 1, 1), ("plain", 1, 1)))
    return out


def test_latex_escapes_every_special_character(results: Write, tmp_path: Path) -> None:
    text = (hostile(results, tmp_path) / "table1.tex").read_text(encoding="utf-8")
    escaped = "".join(LATEX.get(letter, letter) for letter in HOSTILE)
    assert rf"{escaped} $\rightarrow$ {escaped} $\rightarrow$ {escaped} &" in text
    bare = text.replace(escaped, "").replace("\\%", "")
    assert bare.count("%") == 1  # the remark in the first line
    assert bare.isascii()
    assert bare.count("{") == bare.count("}")
    assert bare.count("$") % 2 == 0
    assert not set("_#~^|<>`") & set(bare)


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="needs pdflatex")
def test_latex_compiles(results: Write, tmp_path: Path) -> None:
    out = hostile(results, tmp_path)
    body = r"\input{table1}\input{table2}"
    document = rf"\documentclass{{article}}\usepackage{{booktabs}}\begin{{document}}{body}\end{{document}}"
    (out / "paper.tex").write_text(document, encoding="utf-8")
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "paper.tex"]
    done = subprocess.run(command, cwd=out, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:]


class Page(HTMLParser):
    """Collects open elements and what stands in the cells."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: set[str] = set()
        self.cells: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.add(tag)
        self.open += [] if tag in ("meta", "wbr") else [tag]
        self.cells += [""] if tag in ("th", "td") else []
        assert not {"href", "src"} & {name for name, _ in attrs}

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if {"th", "td"} & set(self.open):
            self.cells[-1] += data


def test_html_is_well_formed_and_keeps_names_as_they_are(results: Write, tmp_path: Path) -> None:
    page = Page()
    page.feed((hostile(results, tmp_path) / "table1.html").read_text(encoding="utf-8"))
    assert not page.open
    assert "b" not in page.seen
    assert page.cells[:3] == ["system", "clean", HOSTILE]
    assert f"{HOSTILE} → {HOSTILE} → {HOSTILE}" in page.cells
    assert "5.0↓*/0.200↓" in page.cells


def test_markdown_leaves_no_name_alive(results: Write, tmp_path: Path) -> None:
    text = (hostile(results, tmp_path) / "table1.md").read_text(encoding="utf-8")
    escaped = r"a\_b&amp;c%d\$e\#f\{g\}h\~i^j\\k\|l\<b\>m\*n\`"
    assert f"| {escaped} → {escaped} |" in text.replace(f"{escaped} → {escaped} → {escaped}", "")


# --- mistakes ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("second", "message"),
    [
        ({}, "second evaluation of dvector seed an4 cosine, training seed 0"),
        ({"trials": 3999, "train_seed": 1}, "has 3,999 trials, 400 of them target; expected 4,000 and 400"),
        ({"frontend": 3, "train_seed": 1}, "frontend is 3"),
        ({"targets": "many"}, "targets is 'many'"),
    ],
)
def test_evaluations_that_do_not_fit_together_are_refused(
    results: Write, tmp_path: Path, second: Json, message: str
) -> None:
    found = results(evaluation({"clean": (0.1, 0.1)}))
    bad = tmp_path / "bad.json"
    raw = {"synthetic": False, "evaluations": [evaluation({"clean": (0.1, 0.1)}, **second)]}
    bad.write_text(json.dumps(raw), encoding="utf-8")
    with pytest.raises(MetricError, match=message) as refused:
        write_tables([found, bad], tmp_path / "out")
    assert refused.value.file == bad
    assert not (tmp_path / "out").exists()


def test_results_of_other_audio_are_refused(results: Write, tmp_path: Path) -> None:
    found = results(evaluation({"clean": (0.1, 0.1)}), evaluation({"clean": (0.11, 0.1)}, enhancer="drl"))
    with pytest.raises(MetricError, match=r"dvector alone has an EER of 11\.00 % on an4, clean; expected 10\.00 %"):
        write_tables([found], tmp_path / "out")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "has no rows"),
        ('{"rows": [{"system": "dvector"}]}', "batch: Field required"),
        ("system,batch\ndvector,one\n", "cannot be used"),
        ("{", "cannot be used"),
    ],
)
def test_figures_of_cost_that_are_none_are_refused(results: Write, tmp_path: Path, text: str, message: str) -> None:
    found = results(evaluation({"clean": (0.1, 0.1)}))
    (tmp_path / "bench").write_text(text, encoding="utf-8")
    with pytest.raises(MetricError, match=message):
        write_tables([found], tmp_path / "out", tmp_path / "bench")


def test_costs_of_other_systems_are_refused(results: Write, tmp_path: Path) -> None:
    found = results(evaluation({"clean": (0.1, 0.1)}))
    measured = bench(tmp_path / "bench.json", ("ecapa", 1, 1))
    with pytest.raises(MetricError, match="measured ecapa; expected some of the systems that were scored: dvector, "):
        write_tables([found], tmp_path / "out", measured)


# --- command ----------------------------------------------------------------------------------------------------------


def test_the_command_writes_all_formats_and_says_where(results: Write, tmp_path: Path) -> None:
    found, out = results(evaluation({"clean": (0.1, 0.1)})), tmp_path / "out"
    done = CliRunner().invoke(app, ["tables", str(found), "--out", str(out), "--json"])
    assert done.exit_code == 0
    assert json.loads(done.stdout) == {"tables": [str(out / f"table1.{kind}") for kind in ("md", "tex", "csv", "html")]}
    assert sorted(path.name for path in out.iterdir()) == ["table1.csv", "table1.html", "table1.md", "table1.tex"]


def test_a_folder_without_results_is_one_line_of_error(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["tables", str(tmp_path), "--format", "md"])
    assert done.exit_code == 1
    assert "holds no evaluation.json" in done.stderr
    assert done.stdout == ""


def test_a_spreadsheet_takes_no_name_for_a_formula_and_latex_none_for_an_option() -> None:
    rows = tuple(Row(name, ((Entry("1"),),)) for name in ("[4pt]", "*", "plain"))
    records = ({"system": "=1+1", "value": -0.5}, {"system": "@x", "value": 1}, {"system": "-x", "value": None})
    table = Table(caption="c", head="h", columns=("a",), rows=rows, records=records)
    assert csv_text([table]).splitlines() == ["system,value", "'=1+1,-0.5", "'@x,1", "'-x,"]
    assert "{}[4pt] & " in latex([table])
    assert "{}* & " in latex([table])
    assert "\nplain & " in latex([table])
