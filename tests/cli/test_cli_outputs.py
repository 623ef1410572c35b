"""What lies in the place of an output, for every command that writes: nothing of others is lost, links are followed."""

from __future__ import annotations

import errno
import itertools
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import STUB
from example_results import BETTER, report
from patience import PATIENCE
from synthetic import (
    contents,
    draw_embeddings,
    enhancer,
    evaluation_cache,
    training_cache,
    utterance_names,
    write_trials,
)
from typer.testing import CliRunner, Result

from seedpipe.cache.exchange import Vectors, write_vectors
from seedpipe.cli import app
from seedpipe.networks.resnet34 import ResNet34

NAMES = utterance_names(2, 2)
ROWS = draw_embeddings(2, 2, 1, seed=0)[:, 0]
FAST = "train:\n  epochs: 1\nextract:\n  crop_samples: 6000\n  draws: 1\nmachine:\n  jobs: 1\n  device: cpu\n"


def invoke(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def made(manifests: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a model, three caches, manifests, embeddings, a trial list and parameters that take no time."""
    folder = tmp_path_factory.mktemp("outputs")
    enhancer().save(folder / "model", "# Card\n")
    training_cache(folder / "train", speakers=20, utterances=2, draws=1)
    evaluation_cache(folder / "demo")
    write_trials(folder / "trials.txt")
    write_vectors(Vectors(folder / "in.npz", [(name, 0) for name in NAMES], ROWS))
    np.save(folder / "in.npy", ROWS)
    torch.save(ResNet34(8).state_dict(), folder / "resnet.pt")
    (folder / "results").mkdir()
    (folder / "results/evaluation.json").write_text(json.dumps(report(BETTER)))
    pairs = [(a, b, int(a.split("/")[0] == b.split("/")[0])) for a, b in itertools.combinations(NAMES, 2)]
    scores = [f"{a},{b},{label},{label + row / 4}\n" for row, (a, b, label) in enumerate(pairs)]
    (folder / "scores.csv").write_text("enrol,test,label,score\n" + "".join(scores))
    speakers = [f"{name},{name.split('/')[0]}\n" for name in NAMES]
    (folder / "speakers.csv").write_text("utterance,speaker\n" + "".join(speakers))
    (folder / "params.yaml").write_text(FAST, encoding="utf-8")
    shutil.copytree(manifests / "train", folder / "listed")
    made = invoke("extract", folder / "listed", folder / "heard", "--network", STUB, "--params", folder / "params.yaml")
    assert made.exit_code == 0, made.stderr
    return folder


@pytest.fixture
def work(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "work"
    shutil.copytree(made, folder)
    monkeypatch.chdir(folder)
    return folder


# --------------------------------------------------------------------------------------------------- folders of others

FOLDERS: dict[str, tuple[object, ...]] = {
    "extract": ("extract", "MANIFESTS", "OUT", "--network", STUB, "--params", "params.yaml"),
    "train": ("train", "train", "OUT", "--params", "params.yaml"),
    "train whitening": ("train", "train", "OUT", "--enhancer", "whitening"),
    "enhance": ("enhance", "model", "demo", "OUT"),
    "import": ("cache", "import", "OUT", "--network", "mine", "--embeddings", "in.npz"),
    "network add": ("network", "add", "OUT", "--builtin", "dvector"),
    "network convert": ("network", "convert", "model/model.safetensors", "OUT"),
}
OTHERS = {
    "home": {".ssh/id": "key", ".git/HEAD": "ref", ".bashrc": "alias"},
    "a model of another tool": {"config.json": '{"model_type": "bert"}', "model.safetensors": "w", "README.md": "#"},
    "a model of another tool under git": {"config.json": "{}", "model.safetensors": "w", ".git/HEAD": "ref"},
    "a model of a newer format": {"config.json": '{"format": "seedpipe-model-3"}', "model.safetensors": "w"},
    "a repository": {".git/HEAD": "ref"},
    "a cache still being copied": {"shard-00000.h5": "x"},
    "a cache of a newer format": {"manifest.json": '{"format": "seedpipe-cache-2"}', "shard-00000.h5": "x"},
    "a network of a newer format": {"network.json": '{"format": "seedpipe-network-2"}', "weights.safetensors": "w"},
    "a marker that is no text": {"config.json": "\udcff", "network.json": "\udcff", "manifest.json": "\udcff"},
    "a marker and no more": {"config.json": '{"format": "seedpipe-model-2"}'},
}


def put(folder: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(text.encode(errors="surrogateescape"))


def refuses(work: Path, command: str, manifests: Path, out: str) -> None:
    before = contents(work)
    places = {"OUT": out, "MANIFESTS": manifests / "train"}
    result = invoke(*(places.get(str(argument), argument) for argument in FOLDERS[command]))
    assert result.exit_code == 1, result.output
    assert f"{out}: is no " in result.stderr
    assert contents(work) == before
    assert not [path for path in work.rglob("*") if path.name.endswith((".lock", ".partial"))]


@pytest.mark.parametrize("command", FOLDERS)
@pytest.mark.parametrize("there", OTHERS)
def test_a_folder_of_others_is_refused_and_left_as_it_is(work: Path, manifests: Path, command: str, there: str) -> None:
    put(work / "there", OTHERS[there])
    refuses(work, command, manifests, "there")


@pytest.mark.parametrize("command", FOLDERS)
def test_a_file_is_no_folder_to_replace(work: Path, manifests: Path, command: str) -> None:
    (work / "README").write_text("mine")
    refuses(work, command, manifests, "README")


@pytest.mark.parametrize("command", FOLDERS)
@pytest.mark.parametrize("out", [".", "/", ""])
def test_a_path_without_a_name_is_refused(work: Path, manifests: Path, command: str, out: str) -> None:
    before = contents(work)
    places = {"OUT": out, "MANIFESTS": manifests / "train"}
    result = invoke(*(places.get(str(argument), argument) for argument in FOLDERS[command]))
    assert result.exit_code == 1, result.output
    assert "has no name of its own" in result.stderr
    assert contents(work) == before


@pytest.mark.parametrize(
    ("command", "like"), [("train", "model"), ("train whitening", "model"), ("network add", "network")]
)
@pytest.mark.parametrize("added", [".git/HEAD", ".notes", "notes.txt"])
def test_one_of_ours_with_a_file_of_the_user_is_refused_by_its_name(
    work: Path, manifests: Path, command: str, like: str, added: str
) -> None:
    if like == "network":
        assert invoke("network", "add", "network", "--builtin", "dvector").exit_code == 0
    shutil.move(work / like, work / "there")
    put(work / "there", {added: "mine"})
    refuses(work, command, manifests, "there")
    (work / "there" / added).unlink()
    if added.count("/"):
        (work / "there" / added).parent.rmdir()
    assert invoke(*("there" if part == "OUT" else part for part in FOLDERS[command])).exit_code == 0


@pytest.mark.parametrize("command", ["train", "train whitening", "enhance", "import", "network add"])
def test_an_output_that_is_a_link_stays_one(work: Path, command: str) -> None:
    """Once, the second run failed for ever, as a link cannot be removed as a folder."""
    (work / "disk").mkdir()
    (work / "link").symlink_to("disk/target")
    for _ in range(3):
        result = invoke(*("link" if part == "OUT" else part for part in FOLDERS[command]))
        assert result.exit_code == 0, result.stderr
        assert (work / "link").is_symlink()
        assert [path.name for path in (work / "disk").iterdir()] == ["target"]


# --------------------------------------------------------------------------------------------------------------- files

FILES: dict[str, tuple[object, ...]] = {
    "enhance.npy": ("enhance", "model", "in.npy", "OUT"),
    "enhance.npz": ("enhance", "model", "in.npz", "OUT"),
    "enhance.parquet": ("enhance", "model", "in.npz", "OUT"),
    "enhance.ark": ("enhance", "model", "in.npz", "OUT"),
    "score.csv": ("score", "demo", "model", "trials.txt", "--set", "score.bootstrap=100", "--out", "OUT"),
    "export.npz": ("cache", "export", "demo", "OUT"),
    "render.wav": ("cache", "render", "heard", "OUT", "--row", "0", "--variant", "noise", "--manifests", "listed"),
}


def write(command: str, out: str) -> None:
    result = invoke(*(out if part == "OUT" else part for part in FILES[command]))
    assert result.exit_code == 0, result.stderr


@pytest.mark.parametrize("command", FILES)
def test_a_file_behind_a_link_is_replaced_and_the_link_stays(work: Path, command: str) -> None:
    suffix = Path(command).suffix
    write(command, f"plain{suffix}")
    (work / "disk").mkdir()
    (work / f"link{suffix}").symlink_to(work / "disk" / f"target{suffix}")
    for _ in range(2):
        write(command, f"link{suffix}")
        assert (work / f"link{suffix}").is_symlink()
        assert (work / "disk" / f"target{suffix}").read_bytes() == (work / f"plain{suffix}").read_bytes()


@pytest.mark.parametrize("command", FILES)
def test_a_named_pipe_is_written_to(work: Path, command: str) -> None:
    suffix = Path(command).suffix
    write(command, f"plain{suffix}")
    pipe = work / f"pipe{suffix}"
    os.mkfifo(pipe)
    with (work / "read").open("wb") as read, subprocess.Popen(["cat", str(pipe)], stdout=read) as reader:
        write(command, pipe.name)
        assert reader.wait(PATIENCE) == 0
    assert (work / "read").read_bytes() == (work / f"plain{suffix}").read_bytes()
    assert pipe.is_fifo()


EVERY = (
    FOLDERS
    | FILES
    | {
        "network convert": ("network", "convert", "resnet.pt", "OUT"),
        "calibrate.json": ("calibrate", "scores.csv", "OUT"),
        "trials make.txt": ("trials", "make", "speakers.csv", "OUT", "--targets", "1", "--nontargets", "1"),
        "manifest": ("manifest", "DATA", "OUT", "--no-params"),
        "tables": ("tables", "results", "--out", "OUT"),
        "report.html": ("report", "results", "--out", "OUT"),
        "figures": ("figures", "results", "--out", "OUT", "--format", "svg"),
        "init": ("init", "OUT"),
    }
)


@pytest.mark.parametrize("command", EVERY)
def test_a_full_disk_is_one_sentence_and_the_same_command_works_when_there_is_room(
    work: Path, manifests: Path, data_root: Path, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    out = f"out{Path(command).suffix}"
    places = {"OUT": out, "MANIFESTS": manifests / "train", "DATA": data_root}
    arguments = [places.get(str(part), part) for part in EVERY[command]]
    there = {path.name for path in work.iterdir()}

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        result = invoke(*arguments)
    assert result.exit_code == 1, result.output
    last = result.stderr.splitlines()[-1]
    assert re.match(r"seedpipe: error: .*(ran out of space on the disk|No space left on device).*make room", last), last
    result = invoke(*arguments)
    assert result.exit_code == 0, result.stderr
    assert {path.name for path in work.iterdir()} - there <= {out, "out.scp"}


KILLED = """
import os, signal, sys
from seedpipe.cli import app
os.fsync = lambda handle: os.kill(os.getpid(), signal.SIGKILL)
app(sys.argv[1:])
"""


@pytest.mark.parametrize("command", ["enhance.npy", "train whitening", "import"])
def test_what_killed_commands_left_goes_with_the_next_one(work: Path, command: str) -> None:
    template, out = (FILES, "out.npy") if command in FILES else (FOLDERS, "out")
    arguments = [out if part == "OUT" else str(part) for part in template[command]]

    def names() -> set[str]:
        return {path.name for path in work.iterdir()}

    there = names()
    for _ in range(2):
        killed = subprocess.run([sys.executable, "-c", KILLED, *arguments], capture_output=True, check=False)
        assert killed.returncode == -signal.SIGKILL, killed.stderr
        assert any(name.endswith(".partial") for name in names())
    assert invoke(*arguments).exit_code == 0
    assert names() - there == {out}


@pytest.mark.parametrize(
    "words",
    [
        "report r --out link.html",
        "report r/evaluation.json --out a.html --markdown link.md",
        "trials make t.csv t.csv",
        "trials make-vcmix t.csv u.csv link.csv",
    ],
)
def test_no_command_writes_over_what_it_reads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: str) -> None:
    monkeypatch.chdir(tmp_path)
    put(tmp_path, {"r/evaluation.json": "{}", "t.csv": "1 a b", "u.csv": "0 a b"})
    (tmp_path / "link.csv").symlink_to("u.csv")
    for name in ("link.html", "link.md"):
        (tmp_path / name).symlink_to("r/evaluation.json")
    before = contents(tmp_path)
    result = invoke(*words.split())
    assert (result.exit_code, "would be written over" in result.stderr) == (2, True)
    assert contents(tmp_path) == before
