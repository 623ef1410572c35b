"""seedpipe.results.figure_files and the command: one file for each figure, as a paper takes it."""

from __future__ import annotations

import json
import re
import struct
from pathlib import Path

import numpy as np
import pytest
from example_results import BETTER, RICH, but, report, typed
from typer.testing import CliRunner

from seedpipe.cli import app
from seedpipe.errors import ParamsError
from seedpipe.results import Report
from seedpipe.results.figure_files import FORMATS, write_figures, write_row

CONDITIONS = ("clean", "noise", "music", "reverb", "noise+reverb")
SHORT = but(BETTER, conditions=BETTER["conditions"][:2])
HOSTILE = "$a_<b>/../&\x1b中$"


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_every_figure_is_written(tmp_path: Path) -> None:
    metrics = report(RICH)
    metrics["training"]["dvector/seed"]["growth"] = [[120, 0.1], [240, 0.09]]
    training = Report.from_dict(metrics).training
    written = write_figures(typed(RICH), tmp_path, ["svg"], training)
    expected = {
        "eer",
        "timesteps",
        "embeddings-network",
        "embeddings-SEED",
        "training-dvector-seed",
        "learning-dvector-seed",
        "snr-noise",
        "snr-music",
    }
    expected |= {f"{kind}-{name}" for kind in ("det", "scores") for name in CONDITIONS}
    assert {path.stem for path in written} == expected
    assert names(tmp_path) == {f"{name}.svg" for name in expected}


def test_files_are_as_wide_as_a_column_with_their_fonts_and_always_the_same(tmp_path: Path) -> None:
    (one,) = typed(but(BETTER, conditions=BETTER["conditions"][:1]))
    for folder in ("first", "second"):
        write_figures([one], tmp_path / folder, FORMATS)
    for path in (tmp_path / "first").iterdir():
        assert path.read_bytes() == (tmp_path / "second" / path.name).read_bytes()
    pdf, png, svg = (tmp_path / "first" / f"eer.{kind}" for kind in FORMATS)
    assert b"/FontFile2" in pdf.read_bytes()
    assert round(float(re.findall(rb"/MediaBox \[ 0 0 ([\d.]+)", pdf.read_bytes())[0])) == round(72 * 3.3)
    assert struct.unpack(">I", png.read_bytes()[16:20]) == (990,)
    assert "<text" not in svg.read_text(encoding="utf-8")


def test_names_say_what_tells_evaluations_apart(tmp_path: Path) -> None:
    several = typed(SHORT, but(SHORT, method="euclidean"), but(SHORT, enhancer="whitening"))
    written = {path.stem for path in write_figures(several, tmp_path, ["svg"])}
    assert {"seed-cosine-eer", "seed-euclidean-eer", "whitening-cosine-det-noise"} <= written
    together = {"all-eer", "all-det-clean", "all-det-noise"}  # of both enhancers
    assert {name for name in written if "all-" in name} == together
    assert len(written) == 3 * 5 + 3


def test_a_hostile_name_stays_a_name_and_in_the_folder(tmp_path: Path) -> None:
    evaluation = but(SHORT, enhancer=HOSTILE)
    evaluation["conditions"][1]["condition"] = HOSTILE
    written = write_figures(typed(evaluation), tmp_path, ["svg"])
    assert {path.parent for path in written} == {tmp_path}


def test_a_row_is_drawn_as_the_network_heard_it(tmp_path: Path) -> None:
    waves = {"clean": np.sin(np.arange(8_000, dtype=np.float32)), HOSTILE: np.zeros(10, np.float32)}
    for folder in ("first", "second"):
        write_row(waves, 16_000, tmp_path / folder / "row.pdf")
    assert (tmp_path / "first/row.pdf").read_bytes() == (tmp_path / "second/row.pdf").read_bytes()
    assert b"/FontFile2" in (tmp_path / "first/row.pdf").read_bytes()
    with pytest.raises(ParamsError, match="no figures in the format 'wav'"):
        write_row(waves, 16_000, tmp_path / "row.wav")


def test_an_unknown_format_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(ParamsError, match="no figures in the format 'bmp'; expected one of pdf, png, svg"):
        write_figures(typed(BETTER), tmp_path / "out", ["pdf", "bmp"])
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("formats", [["--format", "svg", "png"], ["--format", "svg", "--format", "png"]])
def test_the_command_draws_results_and_trainings(tmp_path: Path, formats: list[str]) -> None:
    folder = tmp_path / "results/dvector/seed/demo"
    folder.mkdir(parents=True)
    (folder / "evaluation.json").write_text(json.dumps({"synthetic": True, "evaluations": [SHORT]}), encoding="utf-8")
    training = report(BETTER)["training"]["dvector/seed"]
    (folder.parent / "training.json").write_text(json.dumps(training), encoding="utf-8")
    out = tmp_path / "figs"
    done = CliRunner().invoke(app, ["figures", str(tmp_path / "results"), "--out", str(out), *formats])
    assert done.exit_code == 0, done.output
    assert done.stdout == f"{out}: 12 figures\n"
    assert {"eer.svg", "eer.png", "training-dvector-seed.png"} <= names(out)
