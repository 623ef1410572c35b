"""The seedpipe command: quick, one line for an error, nothing but the result on stdout, nothing half-written."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import typer
from conftest import STUB
from synthetic import D, contents, damage, draw_embeddings, enhancer, evaluation_cache, training_cache, write_trials
from typer.testing import CliRunner, Result

import seedpipe
from seedpipe.cli import app
from seedpipe.enhancers.seed import Enhancer
from seedpipe.results.report import write_report

COMMANDS = ("init", "manifest", "extract", "train", "score", "enhance")
PARAMS = "train:\n  epochs: 3\n  batch_rows: 64\nscore:\n  methods: [cosine]\n  bootstrap: 100\n"


def seedpipe_command(*arguments: object, python: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    """The command as users start it, in a process of its own."""
    command = [sys.executable, *python, "-c", "from seedpipe.cli import main; main()", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def invoke(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def refused(result: Result) -> str:
    """The one line of an error."""
    assert result.exit_code == 1, result.output
    assert result.stdout == ""
    lines = [line for line in result.stderr.splitlines() if not line.startswith("seedpipe: params.yaml is not used")]
    assert len(lines) == 1
    assert lines[0].startswith("seedpipe: error: ")
    return lines[0]


def done(result: Result) -> Any:
    """What the command says as JSON."""
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)


@pytest.fixture
def work(tmp_path: Path) -> Path:
    """A folder with caches, a model, a trial list, an array and parameters."""
    training_cache(tmp_path / "train", speakers=10)
    evaluation_cache(tmp_path / "demo")
    enhancer().save(tmp_path / "model", "# Card\n")
    write_trials(tmp_path / "trials_demo.txt")
    np.save(tmp_path / "in.npy", draw_embeddings(2, 2, 1, seed=0))
    (tmp_path / "params.yaml").write_text(PARAMS, encoding="utf-8")
    return tmp_path


def test_help_is_quick_and_imports_nothing_heavy() -> None:
    run = seedpipe_command("--help", python=("-X", "importtime"))
    assert run.returncode == 0
    assert all(command in run.stdout for command in COMMANDS)
    imported = {line.rpartition("|")[2].strip() for line in run.stderr.splitlines()}
    assert "typer" in imported
    assert not imported & {"torch", "numpy", "pandas", "h5py", "pydantic", "diffusers"}


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_an_example(command: str) -> None:
    result = invoke(command, "--help")
    assert result.exit_code == 0
    assert f"seedpipe {command} " in " ".join(result.stdout.split())
    assert "--json" in result.stdout


def test_the_version_is_printed() -> None:
    run = seedpipe_command("--version")
    assert (run.returncode, run.stdout, run.stderr) == (0, f"seedpipe {seedpipe.__version__}\n", "")


@pytest.mark.parametrize(
    "arguments",
    [
        ["frobnicate"],
        ["train"],
        ["train", "cache"],
        ["train", "cache", "model", "--epochs", "0"],
        ["train", "cache", "model", "--epochs", "many"],
        ["train", "cache", "model", "--seed", "-1"],
        ["enhance", "m", "in.npy", "out.npy", "--seed", str(2**63)],
        ["score", "cache", "model"],
        ["extract", "a", "b", "--jobs", "-1"],
        ["extract", "a", "b", "--backend", "slurm"],
        ["--no-such-option"],
    ],
)
def test_wrong_usage_is_exit_code_2(arguments: list[str]) -> None:
    result = invoke(*arguments)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert "seedpipe" in result.stderr or "Usage" in result.stderr


TINY_EXTRACT = """
manifest:
  evaluations: [tiny]
extract:
  crop_samples: 4000
  draws: 2
  shard_rows: 4
machine:
  jobs: 1
  device: cpu
"""


def test_extract_plans_makes_parts_and_completes(manifests: Path, tmp_path: Path) -> None:
    (tmp_path / "params.yaml").write_text(TINY_EXTRACT, encoding="utf-8")
    command = (
        "extract",
        manifests / "train",
        tmp_path / "cache",
        "--network",
        STUB,
        "--params",
        tmp_path / "params.yaml",
    )
    planned = invoke(*command, "--dry-run")
    assert planned.exit_code == 0, planned.stderr
    assert planned.stdout.splitlines()[0] == "5 utterances, 0.00 h of audio"
    assert "3 shards, 0 of them finished" in planned.stdout
    assert done(invoke(*command, "--dry-run", "--json"))["rows"] == 10
    assert not (tmp_path / "cache").exists()
    assert done(invoke(*command, "--shard", "2/2", "--json")) == {"part": "2/2", "shards": 1}
    assert "2 of them finished" not in invoke(*command, "--dry-run").stdout
    completed = invoke(*command)
    assert "10 rows x 5 variants (clean, music, noise, reverb, noise+reverb)" in completed.stdout
    assert "resampled to 16,000 Hz: 1 from 48,000 Hz" in completed.stdout
    assert done(invoke(*command, "--json"))["resampled"] == {"48000": 1}
    assert "the cache there differs in 'features'" in refused(invoke(*command, "--frontend", "rnnoise"))
    assert "rnoise" in refused(invoke(*command, "--frontend", "rnoise"))


def test_extract_says_where_the_pipeline_would_make_another_cache(
    manifests: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("dvc.yaml").touch()
    Path("params.yaml").write_text(TINY_EXTRACT, encoding="utf-8")
    command = ("extract", manifests / "train", "cache/stub/train", "--network", STUB)
    assert "next: dvc repro, which empties cache/stub/train first" in invoke(*command).stdout
    Path("params.yaml").write_text(TINY_EXTRACT.replace("draws: 2", "draws: 3"), encoding="utf-8")
    said = invoke(*command, "-S", "extract.draws=2", "-S", "extract.evaluation.crops=1").stdout
    assert "only where params.yaml says the same; it has other values of extract.draws\n" in said


@pytest.mark.parametrize("part", ["0/3", "4/3", "3", "a/b", "1/0", "-1/3"])
def test_a_part_that_is_none_is_wrong_usage(manifests: Path, tmp_path: Path, part: str) -> None:
    result = invoke("extract", manifests / "train", tmp_path / "cache", "--network", STUB, "--shard", part)
    assert result.exit_code == 2
    assert "is not I/N with 1 <= I <= N" in " ".join(result.stderr.replace("│", " ").split())


def test_train_says_what_it_did(work: Path) -> None:
    result = invoke("train", work / "train", work / "new", "--params", work / "params.yaml", "--json")
    found = done(result)
    assert (found["model"], len(found["curve"])) == (str(work / "new"), 3)
    assert found["rows"] + found["held_out_rows"] == 120
    assert "train: 3/3 steps" in result.stderr
    assert ", loss " in result.stderr
    assert Enhancer.load(work / "new").config.train.epochs == 3


@pytest.mark.parametrize(
    ("command", "line"),
    [
        ("train train new --set extract.draws=3", "extract.draws changes nothing here: the command reads train,"),
        ("train train new --set enhancers.names=[ridge]", "changes nothing here: give --enhancer"),
        ("train train new --enhancer ridge --log tensorboard", "ridge is not trained in steps and has no curve"),
        (
            "extract manifests new -S train.steps=3",
            "train.steps changes nothing here: the command reads extract, machine",
        ),
        ("extract manifests new -S extract.networks=[campplus]", "changes nothing here: give --network"),
        ("embed a.wav new.npz -S extract.evaluation.crops=3", "changes nothing here: give --crops"),
        ("verify a.wav b.wav -S score.norm=z", "score.norm changes nothing here"),
        ("enhance model a.wav new.npz --network dvector -S train.ensemble=0.5", "train.ensemble changes nothing here"),
        ("manifest data new -S score.norm=z", "score.norm changes nothing here"),
        ("score demo model trials_demo.txt -S train.steps=3", "the command reads score, machine"),
        ("score a.npz b.npz trials_demo.txt -S score.norm=z", "give --norm, as of embedding files"),
        ("score demo model trials_demo.txt --cohort-size 9", "goes with --norm and --cohort"),
        ("score demo model trials_demo.txt --norm z --cohort train --cohort-top 9", "goes with --norm as, not z"),
        ("score a.npz b.npz trials_demo.txt --cohort-top 9", "goes with --norm and --cohort"),
        (
            "cache import new --network n --embeddings a.ark --ids names.txt",
            "is for .npy files; others bring their names",
        ),
        ("report demo --out page.txt", "'page.txt' does not end in .html or .htm"),
        ("report demo --markdown page.html", "'page.html' does not end in .md"),
        ("bench --network dvector --plot bench.png", "'bench.png' does not end in .svg"),
        ("bench --network dvector --csv bench.json", "'bench.json' does not end in .csv"),
    ],
)
def test_what_would_change_nothing_or_is_named_wrongly_is_wrong_usage(
    work: Path, monkeypatch: pytest.MonkeyPatch, command: str, line: str
) -> None:
    monkeypatch.chdir(work)
    before = contents(work)
    result = invoke(*command.split())
    assert result.exit_code == 2
    assert line in " ".join(result.stderr.replace("│", " ").split())
    assert contents(work) == before


def test_options_of_train_come_before_the_file(work: Path) -> None:
    options = ("--params", work / "params.yaml", "--epochs", 1, "--seed", 5)
    assert len(done(invoke("train", work / "train", work / "new", *options, "--json"))["curve"]) == 1
    assert Enhancer.load(work / "new").config.train.seed == 5
    assert Enhancer.load(work / "new").config.train.batch_rows == 64


def test_train_speaks_to_people(work: Path) -> None:
    result = invoke("train", work / "train", work / "new", "--epochs", 1)
    assert result.exit_code == 0
    assert result.stdout.startswith(f"{work / 'new'}: <Enhancer for toy, {D}-d")
    assert result.stdout.count("\n") == 1
    assert "held-out EER" in result.stdout


def test_score_gives_what_the_report_takes(work: Path, tmp_path: Path) -> None:
    out = work / "out" / "scores.csv"
    options = ("--params", work / "params.yaml", "--out", out, "--json")
    result = invoke("score", work / "demo", work / "model", work / "trials_demo.txt", *options)
    found = done(result)
    assert result.stderr == ""
    assert (found["title"], found["synthetic"], found["made_by"]) == ("demo", False, "seedpipe score")
    write_report(found, tmp_path / "report.html")
    lines = out.read_text(encoding="utf-8").splitlines()
    assert lines[0].startswith("label,enrol,test,cosine:clean:network")
    assert len(lines) == 1 + found["evaluations"][0]["trials"]


def test_score_shows_people_a_table(work: Path) -> None:
    options = ("--params", work / "params.yaml")
    result = invoke("score", work / "demo", work / "model", work / "trials_demo.txt", *options)
    assert result.exit_code == 0
    for part in ("toy on demo (cosine", "network EER %", "-> SEED EER %", "clean", "reverb"):
        assert part in result.stdout


def with_model_of_another_network(work: Path) -> None:
    enhancer(name="ecapa").save(work / "model", "# Card\n")


def with_model_of_another_dimension(work: Path) -> None:
    enhancer(24).save(work / "model", "# Card\n")


def with_damaged_training_cache(work: Path) -> None:
    from seedpipe.cache import open_cache

    damage(open_cache(work / "train"))


def without_gpu(work: Path) -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    (work / "gpu.yaml").write_text("machine:\n  device: cuda\n", encoding="utf-8")


@pytest.mark.parametrize(
    ("prepare", "arguments", "parts"),
    [
        (None, ["train", "nowhere", "new"], ["nowhere: there is no cache", "run seedpipe extract"]),
        (None, ["train", "demo", "new"], ["kind is 'evaluation'", "'training'"]),
        (None, ["train", "model", "new"], ["model: is a model; expected a cache", "; give a cache in its place"]),
        (None, ["train", "train", "demo"], ["is no model folder"]),
        (None, ["train", "train", "new", "--params", "nowhere.yaml"], ["nowhere.yaml", "cannot be read"]),
        (None, ["train", "train", "in.npy/new", "--epochs", "1"], ["in.npy", "cannot be written"]),
        (with_damaged_training_cache, ["train", "train", "model"], ["shard-00000.h5", "digest"]),
        (None, ["score", "train", "model", "trials_demo.txt"], ["kind is 'training'"]),
        (None, ["score", "demo", "nowhere", "trials_demo.txt"], ["is no model", "run seedpipe train"]),
        (None, ["score", "demo", "model", "nowhere.txt"], ["nowhere.txt: cannot be read"]),
        (None, ["score", "demo", "model", "params.yaml"], ["params.yaml, row 1", "1 column;"]),
        (
            with_model_of_another_network,
            ["score", "demo", "model", "trials_demo.txt", "--out", "scores.csv"],
            ["network name is 'toy', but the model is for 'ecapa'"],
        ),
        (with_model_of_another_dimension, ["score", "demo", "model", "trials_demo.txt"], ["network dimension"]),
        (None, ["manifest", "nowhere", "manifests"], ["nowhere/", "there is no such folder"]),
        (None, ["manifest", "nowhere", "manifests", "--list", "demo"], ["nowhere/", "there is no such folder"]),
        (without_gpu, ["train", "train", "new", "--device", "cuda"], ["there is no CUDA device", "--device auto"]),
        (
            without_gpu,
            ["score", "demo", "model", "trials_demo.txt", "--params", "gpu.yaml"],
            ["there is no CUDA device"],
        ),
        (None, ["extract", "nowhere", "cache"], ["nowhere/speech.csv: cannot be read", "run seedpipe manifest"]),
    ],
)
def test_an_error_is_one_line_and_leaves_nothing_behind(
    work: Path, monkeypatch: pytest.MonkeyPatch, prepare: Any, arguments: list[str], parts: list[str]
) -> None:
    monkeypatch.chdir(work)
    if prepare:
        prepare(work)
    before = contents(work)
    result = invoke(*arguments, "--json")
    # Progress may precede the error, on lines of its own.
    result.stderr_bytes = b"".join(
        line for line in (result.stderr_bytes or b"").splitlines(keepends=True) if not line.startswith(b"train: ")
    )
    line = refused(result)
    for part in parts:
        assert part in line
    assert contents(work) == before


def test_bad_parameters_are_named_by_every_command_that_reads_them(work: Path) -> None:
    (work / "params.yaml").write_text("train:\n  epohcs: 3\n", encoding="utf-8")
    options = ("--params", work / "params.yaml")
    for arguments in (
        ("train", work / "train", work / "new"),
        ("score", work / "demo", work / "model", work / "trials_demo.txt"),
        ("manifest", work, work / "manifests"),
        ("extract", work, work / "cache"),
    ):
        line = refused(invoke(*arguments, *options))
        assert "params.yaml, row 2: train.epohcs: unknown key" in line
        assert "did you mean 'epochs'?" in line


def test_an_interrupted_training_is_exit_code_130(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from seedpipe.enhancers import trainer

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = contents(work)
    monkeypatch.setattr(trainer, "distance", interrupt)
    result = invoke("train", work / "train", work / "model")
    assert (result.exit_code, result.stdout) == (130, "")
    assert result.stderr.startswith("seedpipe: interrupted")
    assert result.stderr.count("\n") == 1
    assert contents(work) == before


def test_errors_of_the_real_command_have_no_traceback(work: Path) -> None:
    run = seedpipe_command("score", work / "demo", work / "nowhere", work / "trials_demo.txt", "--json")
    assert (run.returncode, run.stdout) == (1, "")
    assert run.stderr.startswith(f"seedpipe: error: {work / 'nowhere'}: is no model")
    assert run.stderr.count("\n") == 1


def test_the_real_command_prints_nothing_but_the_result(work: Path) -> None:
    run = seedpipe_command("train", work / "train", work / "new", "--epochs", 1, "--json")
    assert run.returncode == 0
    assert json.loads(run.stdout)["model"] == str(work / "new")
    assert all(line.startswith(("train: ", "check ", "note: ", "warning: ")) for line in run.stderr.splitlines())


def test_a_project_gives_its_own_parameters(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(work)
    command = ("train", "train", "new", "--set", "train.draws=1", "--set", "train.safeguard=false")

    def trained(*options: str) -> tuple[int, int, int]:
        assert invoke(*command, *options).exit_code == 0
        found = Enhancer.load(work / "new").config.train
        return found.epochs, found.batch_rows, found.draws

    assert trained("--epochs", "1") == (1, 256, 1), "params.yaml without dvc.yaml is no project"
    assert "params.yaml is not used" in invoke(*command, "--epochs", "1").stderr
    (work / "dvc.yaml").touch()
    assert trained() == (3, 64, 1)
    assert trained("-S", "train.epochs=2") == (2, 64, 1)
    assert trained("--no-params", "--epochs", "1") == (1, 256, 1)
    assert invoke(*command, "--no-params", "--params", "params.yaml").exit_code == 2
    assert "train.epohcs: unknown key" in refused(invoke(*command, "--set", "train.epohcs=1"))


@pytest.mark.parametrize("words", [["-h"], ["train", "-h"], ["cache", "info", "-h"]])
def test_help_has_a_short_name(words: list[str]) -> None:
    result = invoke(*words)
    assert (result.exit_code, result.stderr) == (0, "")
    assert "Usage" in result.stdout


@pytest.mark.parametrize("flag", ["-q", "--quiet"])
def test_how_much_is_said_may_stand_behind_the_command(work: Path, flag: str) -> None:
    result = invoke("train", work / "train", work / "new", "--epochs", 1, flag)
    assert (result.exit_code, result.stderr) == (0, "")
    assert invoke("train", work / "train", work / "new", "-q", "--epochs", 1, "--verbose").exit_code == 2


def test_an_address_wants_a_backend(work: Path) -> None:
    result = invoke("extract", work, work / "cache", "--address", "host:1")
    assert result.exit_code == 2
    assert "goes with --backend ray or dask" in " ".join(result.stderr.replace("│", " ").split())


def completed(line: str) -> list[str]:
    """What a shell offers at the end of a line, by the machinery that it asks."""
    words = {"COMP_WORDS": line, "COMP_CWORD": str(line.count(" ")), "_SEEDPIPE_COMPLETE": "complete_bash"}
    return CliRunner().invoke(app, [], env=words, prog_name="seedpipe").stdout.split()


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("train cache model --enhancer w", ["whitening"]),
        ("train cache model --device ", ["auto", "cpu", "cuda"]),
        ("train cache model -q --enh", ["--enhancer"]),
        ("train cache model -S train.out", ["train.output="]),
        ("train cache model --set train.output=", ["train.output=whitened", "train.output=network"]),
        ("extract m c --network d", ["dvector"]),
        ("extract m c --frontend ", ["rnnoise", "denoiser"]),
        ("embed a b --network camp", ["campplus"]),
        ("export onnx m o --network d", ["dvector"]),
        ("network add folder --builtin d", ["dvector"]),
        ("enhance m i o --noise ", ["zero", "sampled"]),
        ("manifest . out --channel m", ["mean"]),
        ("manifest root out --list ", ["mine"]),
        ("cache export demo out --variant ", ["clean", "noise", "reverb"]),
        ("cache export nowhere out --variant ", []),
    ],
)
def test_a_shell_completes_every_choice(
    work: Path, monkeypatch: pytest.MonkeyPatch, line: str, words: list[str]
) -> None:
    monkeypatch.chdir(work)
    (work / "root" / "eval").mkdir(parents=True)
    (work / "root" / "eval" / "trials_mine.txt").touch()
    assert completed(f"seedpipe {line}") == words


FREE = {
    *("extract address", "import network", "import network_digest", "add factory", "add argument", "convert argument"),
    "report title",
    *("compare column_a", "compare column_b", "calibrate column", "calibrate quality", "make same"),
    *("make-vcmix vox1_folder", "make-vcmix voxconverse_folder"),
}
"""Options with words that nothing on this machine could list, with their commands."""


def test_every_option_with_words_is_completed_or_free() -> None:
    group = typer.main.get_command(app)
    commands = [each for one in group.commands.values() for each in getattr(one, "commands", {"": one}).values()]
    told: dict[str, bool] = {}
    for command in commands:
        for one in command.get_params(typer.Context(command)):
            if one.param_type_name == "option" and one.metavar == "TEXT":
                told[f"{command.name} {one.name}"] = bool(one._custom_shell_complete)
    assert {name for name, complete in told.items() if not complete} <= FREE
