"""A project of one's own: what init writes is the pipeline of this repository, and what doctor finds is so."""

from __future__ import annotations

import importlib.metadata
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from conftest import build_data, folder_bytes, tone, write_audio
from synthetic import REPOSITORY, D, draw_embeddings, evaluation_cache, training_cache, write_trials
from typer.testing import CliRunner

from seedpipe.cache.exchange import export_cache
from seedpipe.cli import app
from seedpipe.errors import ParamsError
from seedpipe.files import sealed
from seedpipe.networks import add_network
from seedpipe.params import ManifestParams, Params, load_params
from seedpipe.project import Finding, examine, healthy, machine, start_project
from seedpipe.project.corpora import recognise_corpora
from seedpipe.project.start import commented_params, pipeline_files

OWN = ManifestParams(root=Path("data/mine"), evaluations=("mine",))


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A new project, which is the current folder; not inside Git."""
    monkeypatch.chdir(tmp_path)
    start_project(Path())
    return tmp_path


@pytest.fixture
def complete(project: Path) -> Path:
    """A project with audio, a list and a network that needs no weights."""
    shutil.rmtree("data/mine")
    root = build_data(Path("data/mine"))
    (root / "eval/trials_tiny.txt").rename(root / "eval/trials_mine.txt")
    (root / "eval/tiny").rename(root / "eval/mine")
    add_network(Path("networks/stub"), "factory", "stub_network:make")
    edit_params(r"networks: \[dvector\]", "networks: [stub]")
    return project


def edit_params(pattern: str, replacement: str) -> None:
    path = Path("params.yaml")
    text, count = re.subn(pattern, replacement, path.read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert count == 1
    path.write_text(text, encoding="utf-8")


def found(name: str) -> Finding:
    (finding,) = [finding for finding in examine() if finding.name == name]
    return finding


def run(folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = os.environ | {"PATH": path, "OMP_NUM_THREADS": "1"}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def test_a_new_project_has_the_pipeline_of_the_repository_byte_for_byte(project: Path) -> None:
    stages = [f"stages/{path.name}" for path in (REPOSITORY / "stages").glob("*.py")]
    assert len(stages) >= 6
    networks = [f"networks/{name}/network.json" for name in ("campplus", "dvector")]
    for name in ("dvc.yaml", ".dvcignore", ".gitignore", ".dvc/config", *networks, *stages):
        assert (project / name).read_bytes() == (REPOSITORY / name).read_bytes(), name


def test_a_new_project_has_the_default_parameters_but_for_the_data(project: Path) -> None:
    own = Params().manifest.model_copy(update={"root": OWN.root, "evaluations": OWN.evaluations})
    assert load_params(project / "params.yaml") == Params(manifest=own), "not the draws and steps of the demonstration"


def test_every_parameter_stands_in_the_file_under_its_sentence(project: Path) -> None:
    lines = (project / "params.yaml").read_text(encoding="utf-8").splitlines()

    def expect(model: Any) -> None:
        for name, field in model.model_fields.items():
            rows = [row for row, line in enumerate(lines) if re.match(rf" *#?{name}:", line)]
            assert rows, name
            if field.description:
                last_word = field.description.replace("``", "'").split()[-1]
                assert any(lines[row - 1].endswith(last_word) for row in rows), name
            if hasattr(field.annotation, "model_fields"):
                expect(field.annotation)

    expect(Params)


def test_parameters_that_are_not_given_stand_there_with_their_defaults(project: Path) -> None:
    path = project / "params.yaml"
    text = path.read_text(encoding="utf-8")
    uncommented, count = re.subn(r"^( *)#(?=\w)", r"\1", text, flags=re.MULTILINE)
    assert count >= 10
    before = load_params(path)
    path.write_text(uncommented, encoding="utf-8")
    assert load_params(path) == before


def test_a_mapping_on_one_line_is_left_on_one_line() -> None:
    text = commented_params("extract:\n  seed: 3\n  augment: {noise_snr_db: [1.0, 2.0]}\ntrain:\n  epochs: 4\n")
    assert "  augment: {noise_snr_db: [1.0, 2.0]}\n" in text
    assert text.index("#on_bad_audio") < text.index("train:")


def test_a_new_project_has_folders_for_the_data(project: Path) -> None:
    assert {path.name for path in (project / "data/mine").iterdir()} == {"train", "noise", "music", "rir", "eval"}


@pytest.mark.parametrize("name", ["params.yaml", "dvc.yaml", "stages/train.py", ".dvc/config"])
def test_a_folder_with_a_project_is_left_as_it_is(tmp_path: Path, name: str) -> None:
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text("mine", encoding="utf-8")
    before = folder_bytes(tmp_path)
    with pytest.raises(ParamsError, match=rf"holds {name}; expected a folder without a project"):
        start_project(tmp_path)
    assert folder_bytes(tmp_path) == before
    assert not (tmp_path / "data").exists()


def test_what_an_interrupted_call_left_is_completed_and_a_whole_project_refused(tmp_path: Path) -> None:
    written = start_project(tmp_path)
    whole = folder_bytes(tmp_path)
    with pytest.raises(ParamsError, match=f"holds {written[0]} and .* other files"):
        start_project(tmp_path)
    for path in written[::2]:
        (tmp_path / path).unlink()
    start_project(tmp_path)
    assert folder_bytes(tmp_path) == whole


def test_the_root_of_the_file_system_is_no_project() -> None:
    with pytest.raises(ParamsError, match="is the root of the file system"):
        start_project("/")


def test_other_files_and_an_own_gitignore_are_kept(tmp_path: Path) -> None:
    (tmp_path / ".gitignore").write_text("*.log\n", encoding="utf-8")
    (tmp_path / "README.md").write_text("mine", encoding="utf-8")
    written = start_project(tmp_path)
    assert Path(".gitignore") not in written
    assert (tmp_path / ".gitignore").read_text(encoding="utf-8") == "*.log\n"
    assert all((tmp_path / path).is_file() for path in written)


@pytest.mark.parametrize("git", [False, True], ids=["without Git", "in a folder of a Git repository"])
def test_dvc_takes_a_new_project_as_it_is(tmp_path: Path, git: bool) -> None:
    pytest.importorskip("dvc")
    if git:
        run(tmp_path, "git", "init", "--quiet")
    project = tmp_path / "a project"
    start_project(project)
    done = run(project, "dvc", "status", "--json")
    assert done.returncode == 0, done.stderr
    assert {"corpus", "manifest-train", "manifest-eval@mine", "extract-train@dvector"} <= set(json.loads(done.stdout))


def test_dvc_sees_a_changed_map_of_speakers(complete: Path) -> None:
    pytest.importorskip("dvc")
    edit_params(r"^score:$", "score:\n  speakers: map.txt")
    Path("map.txt").write_text("a anna\n", encoding="utf-8")
    stage, item = "score@stub-seed-mine", {"network": "stub", "enhancer": "seed", "list": "mine"}
    described = yaml.safe_load(Path("dvc.yaml").read_text(encoding="utf-8"))["stages"]["score"]
    assert run(complete, "dvc", "repro", "corpus").returncode == 0
    for place in (place for part in ("deps", "outs", "metrics", "plots") for place in described[part]):
        path = Path(
            re.sub(r"\$\{item\.(\w+)\}", lambda name: item[name[1]], place).replace("${manifest.root}", "data/mine")
        )
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists():  # as if the stages had run
            path.write_text("x", encoding="utf-8")
    committed = run(complete, "dvc", "commit", "--force", stage)
    assert committed.returncode == 0, committed.stderr
    Path("map.txt").write_text("a berta\n", encoding="utf-8")
    assert run(complete, "dvc", "repro", "corpus").returncode == 0
    status = json.loads(run(complete, "dvc", "status", "--json", stage).stdout)
    assert status[stage] == [{"changed deps": {"data/speakers.json": "modified"}}]


def test_a_stage_runs_in_a_new_project(complete: Path) -> None:
    done = run(complete, sys.executable, "-m", "stages.manifest", "mine")
    assert done.returncode == 0, done.stderr
    speech = (complete / "data_manifests/mine/speech.csv").read_text(encoding="utf-8")
    assert len(speech.splitlines()) == 1 + 4


def test_a_complete_project_is_healthy(complete: Path) -> None:
    findings = examine()
    assert [finding for finding in findings if finding.state == "missing"] == []
    assert healthy(findings)
    assert found("list mine").found == "4 trials over 4 utterances"
    assert found("data/mine/train").found == "5 audio files"
    assert complete.is_dir()


def empty(folder: str) -> Callable[[], None]:
    def change() -> None:
        shutil.rmtree(folder)
        Path(folder).mkdir()

    return change


def stale_self_test() -> None:
    path = Path("networks/stub/network.json")
    described = json.loads(path.read_text(encoding="utf-8"))
    described["self_test"][0] += 1
    path.write_text(json.dumps(sealed(described)), encoding="utf-8")


@pytest.mark.parametrize(
    ("change", "name", "words"),
    [
        (empty("data/mine/noise"), "data/mine/noise", "no audio files"),
        (lambda: shutil.rmtree("data/mine/rir"), "data/mine/rir", "no such folder"),
        (lambda: Path("data/mine/eval/mine/dora/short.wav").unlink(), "list mine", "1 have no file.*dora/short"),
        (lambda: Path("data/mine/eval/trials_mine.txt").unlink(), "list mine", "no evaluation list 'mine'"),
        (lambda: shutil.rmtree("stages"), "pipeline", "stages/train.py"),
        (lambda: shutil.rmtree("networks/stub"), "network stub", "unknown network"),
        (stale_self_test, "network stub", "gives other numbers"),
        (lambda: edit_params("^  steps: 630", "  steps: 0"), "params.yaml", r"row \d+: train.steps: 0"),
        (lambda: edit_params('frontend: ""', "frontend: nobody"), "front end", "unknown front end 'nobody'"),
    ],
    ids=[
        "no noise",
        "no folder of rooms",
        "a file of the list",
        "no list",
        "no stages",
        "no network",
        "other numbers",
        "an impossible parameter",
        "an unknown front end",
    ],
)
@pytest.mark.usefixtures("complete")
def test_what_is_missing_is_named_with_a_remedy(change: Callable[[], None], name: str, words: str) -> None:
    change()
    finding = found(name)
    assert finding.state == "missing"
    assert re.search(words, finding.found)
    assert finding.remedy


@pytest.mark.usefixtures("complete")
def test_a_changed_pipeline_is_worth_a_note() -> None:
    with Path("dvc.yaml").open("a", encoding="utf-8") as file:
        file.write("# mine\n")
    assert found("pipeline").state == "note"


@pytest.mark.usefixtures("complete")
def test_a_disk_that_is_too_small_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10, 9, 1))
    finding = found("disk")
    assert finding.state == "missing"
    assert "extract.draws" in finding.remedy


@pytest.mark.usefixtures("project")
def test_the_disk_that_segments_need_is_guessed_from_the_bytes() -> None:
    write_audio(Path("data/mine/train/chapter.wav"), tone(100, 60.0), subtype="PCM_16")
    edit_params("segment_seconds: 0.0", "segment_seconds: 2.0")
    draws_and_variants, bytes_of_embedding = 10 * 5, 256 * 4
    needed = 30 * draws_and_variants * bytes_of_embedding / 1e9
    assert f"caches take about {needed:.2g} GB" in found("disk").found


@pytest.mark.usefixtures("complete")
def test_a_cluster_that_is_asked_for_needs_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    version = importlib.metadata.version

    def without_dask(name: str) -> str:
        if name == "distributed":
            raise importlib.metadata.PackageNotFoundError(name)
        return version(name)

    monkeypatch.setattr(importlib.metadata, "version", without_dask)
    assert "dask" in found("extras").found.partition("not installed: ")[2]
    assert healthy(examine())
    edit_params("backend: loky", "backend: dask")
    finding = found("extra dask")
    assert finding.state == "missing"
    assert finding.remedy == 'pip install "distributed>=2026.8"'


def test_a_package_of_another_version_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    version = importlib.metadata.version
    monkeypatch.setattr(importlib.metadata, "version", lambda name: "2.13.0" if name == "torch" else version(name))
    finding = machine.packages()
    assert finding.state == "missing"
    assert finding.found == "torch 2.13.0, not <2.12,>=2.11"
    assert finding.remedy.startswith('pip install "torch')


def test_an_audio_format_that_does_not_come_back_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(machine.FORMATS, "MP3", "VORBIS")  # a pair that libsndfile cannot write
    finding = machine.sound_formats()
    assert finding.state == "missing"
    assert finding.found.endswith("lacks MP3")


def test_a_gpu_is_missing_only_where_the_project_asks_for_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert machine.gpu("auto").state == "ok"
    assert machine.gpu("cuda").state == "missing"


def test_published_corpora_are_recognised_by_their_names() -> None:
    names = [f"music/fma/music-fma-{number:04d}.wav" for number in range(660)]
    names += ["libritts/84/121123/84_121123_000007_000001.wav", "libritts/84/121123/85_121123_000007_000001.wav"]
    names += ["vox1-o/id10270/5r0dWxy17C8/00001.wav", "simulated_rirs/smallroom/Room001/Room001-00001.wav"]
    names += ["simulated_rirs/smallroom/Room001/Room002-00001.wav", "anna/one take.flac"]
    assert recognise_corpora(names) == [
        "LibriTTS or LibriTTS-R (1 file)",
        "MUSAN music (660 files)",
        "simulated RIRS_NOISES (1 file)",
        "VoxCeleb (1 file)",
    ]


def test_the_commands_say_what_they_did_and_what_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(app, ["init", "mine", "--json"])
    assert done.exit_code == 0, done.stderr
    assert "params.yaml" in json.loads(done.stdout)["files"]
    monkeypatch.chdir(tmp_path / "mine")
    done = CliRunner().invoke(app, ["doctor"])
    assert done.exit_code == 1
    assert re.search(r"^MISSING +data/mine/train +no audio files$", done.stdout, flags=re.MULTILINE)
    done = CliRunner().invoke(app, ["doctor", "--json"])
    assert done.exit_code == 1
    result = json.loads(done.stdout)
    assert result["ok"] is False
    assert {"name": "Python", "state": "ok"}.items() <= result["findings"][0].items()


def test_outside_of_a_project_the_machine_alone_is_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(app, ["doctor"])
    assert done.exit_code == 0, done.stdout
    assert "seedpipe init" in done.stdout
    assert not (tmp_path / "networks").exists()


def block(heading: str, language: str) -> str:
    """The code under a heading of docs/first-minutes.md."""
    page = (REPOSITORY / "docs" / "first-minutes.md").read_text(encoding="utf-8")
    (found,) = re.findall(rf"^## {heading}\n.*?```{language}\n(.*?)^```", page, flags=re.MULTILINE | re.DOTALL)
    assert isinstance(found, str)
    return found


def test_each_way_in_is_within_fifteen_lines() -> None:
    page = (REPOSITORY / "docs" / "first-minutes.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```\w+\n(.*?)^```", page, flags=re.MULTILINE | re.DOTALL)
    assert len(blocks) == 1 + 5
    assert max(text.count("\n") for text in blocks) <= 15


def commands(text: str) -> list[list[str]]:
    return [shlex.split(line, comments=True) for line in text.splitlines()]


def test_the_lines_for_recordings_make_a_complete_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    build_data(tmp_path / "data")
    for ours, theirs in (
        ("train", "recordings/train"),
        ("eval/tiny", "recordings/test"),
        ("eval/trials_tiny.txt", "recordings/trials.txt"),
        ("noise", "corpora/musan/noise"),
        ("music", "corpora/musan/music"),
        ("rir", "corpora/RIRS_NOISES/simulated_rirs"),
    ):
        (tmp_path / theirs).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "data" / ours).rename(tmp_path / theirs)
    monkeypatch.chdir(tmp_path)
    text = re.sub(
        r" /(recordings|corpora)", rf" {tmp_path}/\1", block("A folder of recordings and a trial list", "bash")
    )
    before, doctor, after = text.partition("seedpipe doctor\n")
    for words in commands(before):
        if words[0] == "cd":
            monkeypatch.chdir(words[1])
        elif words[0] == "seedpipe":
            assert CliRunner().invoke(app, words[1:]).exit_code == 0
        else:
            assert words[0] in ("ln", "cp")
            assert run(Path.cwd(), *words).returncode == 0
    assert doctor
    assert [words[0] for words in commands(after)] == ["dvc", "cat"]
    missing = [finding.name for finding in examine() if finding.state == "missing"]
    assert missing in ([], ["network dvector"])  # its weights come with a package that may not be installed
    assert Path("data/mine/train/train/anna/one take.flac").is_file()


def test_the_lines_for_kaldi_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    training, testing = training_cache(Path("made/train"), speakers=20), evaluation_cache(Path("made/test"))
    for cache, variant, name in (
        (training, "clean", "clean.ark"),
        (training, "noise", "noisy.ark"),
        (testing, "clean", "test.ark"),
        (testing, "noise", "test_noisy.ark"),
    ):
        export_cache(cache, Path(name), variant=variant)
    write_trials(Path("trials.txt"))
    for words in commands(block("Embeddings of Kaldi or another toolkit", "bash")):
        quick = ["--epochs", "2"] if words[1] == "train" else []
        done = CliRunner().invoke(app, [*words[1:], *quick])
        assert done.exit_code == 0, done.output
    assert np.load("enhanced.npy").shape == (80, 2, D)
    assert "cosine:noise:enhanced" in Path("scores.csv").read_text(encoding="utf-8").splitlines()[0]


def test_the_lines_for_a_notebook_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    rows = draw_embeddings(30, 1, 1, seed=0)
    given: dict[str, Any] = {"clean": rows[:, 0], "noisy": rows[:, 1]}
    exec(block("A notebook alone", "python"), given)  # noqa: S102
    assert given["enhanced"].shape == rows[:, 1].shape
    assert not np.allclose(given["enhanced"], rows[:, 1] / np.linalg.norm(rows[:, 1], axis=1, keepdims=True))


def test_the_wheel_carries_what_a_new_project_gets() -> None:
    text = (REPOSITORY / "pyproject.toml").read_text(encoding="utf-8")
    included = tomllib.loads(text)["tool"]["hatch"]["build"]["targets"]["wheel"].get("force-include", {})
    assert all(place == f"seedpipe/project/files/{source}" for source, place in included.items())
    for name in ("params.yaml", ".gitignore", *pipeline_files()):
        assert any(name == source or name.startswith(f"{source}/") for source in included), name
