"""``seedpipe cache``: what it says, what it writes, and the examples of docs/cache-tools.md."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from synthetic import REPOSITORY, D, damage, evaluation_cache, training_cache
from typer.testing import CliRunner, Result

from seedpipe import extract
from seedpipe.cache import Cache, open_cache, publish
from seedpipe.cache.exchange import read_vectors
from seedpipe.cli import app


def invoke(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["cache", *map(str, arguments)])


def done(result: Result) -> Any:
    """What the command says as JSON."""
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)


def refused(result: Result) -> str:
    """The one line of an error."""
    assert result.exit_code == 1, result.output
    assert result.stdout == ""
    (line,) = result.stderr.splitlines()
    return line


@pytest.fixture
def made(tmp_path: Path) -> Cache:
    return training_cache(tmp_path / "cache", speakers=10)


@pytest.mark.parametrize("command", ["info", "verify", "export", "import", "render"])
def test_every_command_has_help_with_an_example(command: str) -> None:
    result = invoke(command, "--help")
    assert result.exit_code == 0
    assert f"Example: seedpipe cache {command}" in " ".join(result.stdout.split())


def test_info_says_where_a_cache_comes_from(made: Cache, tmp_path: Path) -> None:
    changes = {"resampled": {"8000": 7, "48000": 1_200}, "skipped": 2, "seed": 11, "augmentation": {"snr": [0, 15]}}
    work = made.path.rename(tmp_path / "work")
    publish(work, made.path, made.info.model_copy(update=changes))
    text = invoke("info", made.path).stdout
    for part in (
        "kind         training",
        "network      toy, 16-d, 16,000 Hz (ffffffffffffffff)",
        "rows         120 of 40 utterances",
        "variants     clean, noise, reverb",
        "speech       0.02 h of audio",
        "resampled    7 utterances from 8,000 Hz (upsampled: nothing above 4,000 Hz in them); 1,200 utterances from 4",
        "skipped      2 utterances",
        "features     crop_samples=32240, draws=3",
        "augmentation snr=[0, 15]",
        "seed         11",
        "storage      float32",
        "GB in 2 shards",
        "made with    seedpipe ",
    ):
        assert part in text
    result = done(invoke("info", made.path, "--json"))
    assert (result["rows"], result["shards"], result["seed"]) == (120, 2, 11)
    assert result["resampled"] == {"8000": 7, "48000": 1_200}
    assert result["bytes"] == sum(path.stat().st_size for path in made.path.glob("*.h5"))


def test_verify_says_how_much_it_read(made: Cache) -> None:
    result = done(invoke("verify", made.path, "--json"))
    assert (result["shards"], result["rows"]) == (2, 120)
    assert result["gigabytes"] == sum(path.stat().st_size for path in made.path.glob("*.h5")) / 1e9
    text = invoke("verify", made.path).stdout
    assert re.fullmatch(r".*cache: intact; 2 shards, 120 rows, \S+ GB in \d+\.\d\d s\n", text)


def test_verify_names_the_damaged_file(made: Cache) -> None:
    damage(made)
    line = refused(invoke("verify", made.path))
    assert line.startswith(f"seedpipe: error: {made.path / 'shard-00000.h5'}: does not have the digest")


def test_what_is_exported_can_be_imported(made: Cache, tmp_path: Path) -> None:
    for variant in made.info.variants:
        path = tmp_path / f"{variant}.ark"
        result = done(invoke("export", made.path, path, "--variant", variant, "--json"))
        assert result["files"] == [str(path), str(path.with_suffix(".scp"))]
    files = ["--clean", tmp_path / "clean.scp"]
    files += [part for name in ("noise", "reverb") for part in ("--noisy", f"{name}={tmp_path / name}.ark")]
    result = done(invoke("import", tmp_path / "back", "--network", "toy", *files, "--json"))
    assert (result["kind"], result["rows"], result["variants"]) == ("training", 120, ["clean", "noise", "reverb"])
    np.testing.assert_array_equal(open_cache(tmp_path / "back").to_numpy(), made.to_numpy())
    text = invoke("info", tmp_path / "back").stdout
    assert "speech       unknown: the embeddings were imported" in text
    assert "features     imported=1" in text


def test_an_evaluation_is_imported_from_plain_arrays(tmp_path: Path) -> None:
    values = evaluation_cache(tmp_path / "cache", crops=1).to_numpy()
    np.save(tmp_path / "clean.npy", values[:, 0])
    np.save(tmp_path / "rain.npy", values[:, 1])
    (tmp_path / "names.txt").write_text("\n".join(f"utterance {row}" for row in range(len(values))), encoding="utf-8")
    options = ["--embeddings", tmp_path / "clean.npy", "--condition", f"rain={tmp_path / 'rain.npy'}"]
    options += ["--ids", tmp_path / "names.txt", "--network", "mine", "--sample-rate", 8_000]
    result = done(invoke("import", tmp_path / "out", *options, "--json"))
    assert (result["kind"], result["variants"]) == ("evaluation", ["clean", "rain"])
    made = open_cache(tmp_path / "out")
    np.testing.assert_array_equal(made.to_numpy(), values[:, :2])
    assert made.frame()["utterance"][3] == "utterance 3"
    assert (made.info.network.dimension, made.info.network.sample_rate) == (D, 8_000)


@pytest.mark.parametrize(
    "options",
    [
        [],
        ["--clean", "a.npz", "--embeddings", "b.npz"],
        ["--clean", "a.npz", "--condition", "noise=b.npz"],
        ["--embeddings", "a.npz", "--noisy", "noise=b.npz"],
        ["--clean", "a.npz", "--noisy", "b.npz"],
        ["--clean", "a.npz", "--noisy", "clean=b.npz"],
        ["--clean", "a.npz", "--noisy", "noise=b.npz", "--noisy", "noise=c.npz"],
    ],
)
def test_options_that_contradict_each_other_are_a_usage_error(tmp_path: Path, options: list[str]) -> None:
    assert invoke("import", tmp_path / "out", "--network", "mine", *options).exit_code == 2


def test_a_file_that_is_missing_is_an_error_in_one_line(tmp_path: Path) -> None:
    line = refused(invoke("import", tmp_path / "out", "--network", "mine", "--embeddings", tmp_path / "no.ark"))
    assert line.startswith(f"seedpipe: error: {tmp_path / 'no.ark'}: cannot be read (no such file or directory)")
    line = refused(invoke("export", tmp_path / "nowhere", tmp_path / "out.npz"))
    assert "there is no cache; run seedpipe extract" in line


@pytest.mark.parametrize("missing", ["c", "c/x", "c/net", "c/net/x", "c/none/x"])
def test_a_cache_that_is_missing_names_those_that_are_there(tmp_path: Path, missing: str) -> None:
    there = training_cache(tmp_path / "c/net/train", speakers=2).path
    line = refused(invoke("info", tmp_path / missing))
    assert f"{tmp_path / missing}: there is no cache; expected a cache, as {there}; run" in line


def test_an_npy_file_has_its_names_beside(made: Cache, tmp_path: Path) -> None:
    assert "holds one variant" in refused(invoke("export", made.path, tmp_path / "e.npy"))
    files = done(invoke("export", made.path, tmp_path / "e.npy", "--variant", "noise", "--json"))["files"]
    assert files == [str(tmp_path / "e.npy"), str(tmp_path / "e.txt")]
    read, whole = read_vectors(*files), made.to_numpy()[:, made.info.variants.index("noise")]
    np.testing.assert_array_equal(read.values, whole)
    assert [name for name, _ in read.keys] == made.frame()["utterance"].tolist()


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("noisy.scp", "as noise=noisy.scp"),
        ("clean=noisy.scp", "none 'clean'"),
    ],
)
def test_a_file_without_its_variant_is_told_how_to_name_it(tmp_path: Path, name: str, said: str) -> None:
    result = invoke("import", tmp_path / "out", "--network", "mine", "--clean", "clean.scp", "--noisy", name)
    assert said in " ".join(re.sub("[│╭╰─╮╯]", " ", result.stderr).split())


def test_a_row_is_rendered_as_audio(made: Cache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wave = np.linspace(-1.5, 1.5, 800, dtype=np.float32)  # floats may go beyond 1
    calls: list[tuple[object, ...]] = []

    def render_row(*arguments: Any) -> dict[str, np.ndarray]:
        calls.append(arguments)
        return dict.fromkeys(arguments[-1], wave)

    monkeypatch.setattr(extract, "render_row", render_row)
    out = tmp_path / "row.wav"
    options = ["--row", 7, "--manifests", tmp_path / "manifests"]
    assert done(invoke("render", made.path, out, *options, "--variant", "noise", "--json"))["seconds"] == 0.05
    heard, rate = soundfile.read(out, dtype="float32")
    assert (rate, soundfile.info(out).subtype) == (16_000, "FLOAT")
    np.testing.assert_array_equal(heard, wave)
    assert len(out.read_bytes()) == 58 + wave.nbytes  # libsndfile would add when it was written
    ((cache, *rest),) = calls
    assert isinstance(cache, Cache)
    assert rest == [7, tmp_path / "manifests", ["noise"]]
    figure = tmp_path / "row.svg"
    assert done(invoke("render", made.path, *options, "--figure", figure, "--json"))["figure"] == str(figure)
    assert figure.read_text(encoding="utf-8").count("<image") == 3
    for wrong, line in (
        ([], "name a file for the audio, or --figure"),
        (["row.mp3"], "'row.mp3' does not end in .wav"),
        (["--variant", "noise", "--figure", figure], "is of the audio: name a file for it"),
    ):
        result = invoke("render", made.path, *wrong, *options)
        assert (result.exit_code, line in " ".join(result.stderr.split())) == (2, True)


def blocks(language: str) -> list[str]:
    text = (REPOSITORY / "docs" / "cache-tools.md").read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL)


def test_the_examples_of_the_page_run(tmp_path: Path) -> None:
    training_cache(tmp_path / "cache" / "dvector" / "train", speakers=20)
    for block in blocks("bash"):
        for command in block.splitlines():
            result = in_folder(tmp_path, "-c", "from seedpipe.cli import main; main()", *command.split()[1:])
            assert result.returncode == 0, f"{command}\n{result.stderr}"
    for block in blocks("python"):
        result = in_folder(tmp_path, "-W", "error", "-c", block)
        assert result.returncode == 0, result.stderr
    assert {"embeddings.npz", "clean.parquet", "means.ark", "means.scp"} <= {path.name for path in tmp_path.iterdir()}
    assert open_cache(tmp_path / "cache" / "mine" / "train").info.variants == ("clean", "noise")


def in_folder(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, *arguments]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
