"""``seedpipe enhance`` and ``seedpipe export``: every way in, every way out, and nothing half-written."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import kaldiio
import numpy as np
import pytest
import torch
from conftest import STUB, tone, write_audio
from synthetic import D, contents, damage, draw_embeddings, enhancer, evaluation_cache, utterance_names
from typer.testing import CliRunner, Result

import seedpipe
from seedpipe.audio import find_audio, list_files, write_manifest
from seedpipe.audio.manifest import SPEECH
from seedpipe.cache import Cache, NetworkInfo, open_cache
from seedpipe.cache.exchange import Vectors, read_vectors, write_vectors
from seedpipe.cli import app
from seedpipe.enhancers import FixedMap
from seedpipe.enhancers import files as enhance_files
from seedpipe.enhancers.files import Use, enhance_file
from seedpipe.enhancers.fixed import FixedMapConfig
from seedpipe.enhancers.normalization import Normalization
from seedpipe.enhancers.seed import Enhancer, ModelConfig
from seedpipe.errors import CacheError, ExchangeError, ModelError
from seedpipe.extract import extract
from seedpipe.networks import load_network
from seedpipe.params import EvaluationParams, ExtractParams, MachineParams, Params, TrainParams
from seedpipe.scoring import read_embeddings

NAMES = utterance_names(2, 2)
ROWS = draw_embeddings(2, 2, 1, seed=0)[:, 0]
CROPS = (
    "extract:\n  evaluation:\n    crops: 3\n    crop_samples: 6000\n    test_crop_samples: 3000\n"
    "machine:\n  jobs: 1\n  device: cpu\n"
)


def invoke(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def done(result: Result) -> Any:
    """What the command says as JSON."""
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)


def refused(result: Result) -> str:
    """The one line of an error."""
    assert result.exit_code == 1, result.output
    assert result.stdout == ""
    beside = ("enhance: ", "seedpipe: params.yaml is not used")  # progress, and what the folder of the tests has
    (line,) = (line for line in result.stderr.splitlines() if not line.startswith(beside))
    assert line.startswith("seedpipe: error: ")
    return line


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a model, a cache, and one set of embeddings in every format."""
    enhancer().save(tmp_path / "model", "# Card\n")
    np.save(tmp_path / "in.npy", ROWS)
    (tmp_path / "ids.txt").write_text("\n".join(NAMES) + "\n", encoding="utf-8")
    for suffix in ("npz", "parquet", "ark"):
        write_vectors(Vectors(tmp_path / f"in.{suffix}", [(name, 0) for name in NAMES], ROWS))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def demo(work: Path) -> Cache:
    """An evaluation cache in the same folder: 80 rows in three variants."""
    return evaluation_cache(work / "demo")


@pytest.fixture
def speech(work: Path) -> Path:
    """A folder of audio and a model for the network of the tests."""
    for name, seconds in (("anna/a.wav", 1.0), ("anna/b.flac", 0.9), ("ben/short.wav", 0.2)):
        write_audio(work / "speech" / name, tone(150, seconds, seed=len(name)))
    torch.manual_seed(0)
    network = load_network(STUB)
    dimension, fingerprint = network.dimension, network.fingerprint()
    info = NetworkInfo(name="stub", fingerprint=fingerprint, dimension=dimension, sample_rate=16_000)
    config = ModelConfig(
        network=info,
        normalization=Normalization(kind="length", scale=2.0),
        train=TrainParams(normalize="length"),
        cache="",
        seedpipe=seedpipe.__version__,
    )
    Enhancer(enhancer(dimension).module, config).save(work / "stub", "# Card\n")
    (work / "params.yaml").write_text(CROPS, encoding="utf-8")
    return work / "speech"


# ------------------------------------------------------------------------------------------------- embeddings in files


@pytest.mark.parametrize("shape", [(D,), (1, D), (4, 3, D), (0, D), (2, 0, D)])
@pytest.mark.parametrize("order", ["C", "F"])
def test_an_array_of_any_shape_keeps_it(work: Path, shape: tuple[int, ...], order: Any) -> None:
    rows = np.random.default_rng(0).standard_normal(shape)
    np.save(work / "in.npy", np.asarray(rows, order=order))
    found = done(invoke("enhance", "model", "in.npy", "out/e.npy", "--json"))
    assert found.pop("rows_per_second") >= 0
    assert found == {"files": ["out/e.npy"], "rows": rows.size // D, "dimension": D}
    made = np.load(work / "out" / "e.npy")
    assert (made.shape, made.dtype) == (shape, np.float32)
    assert (made == enhancer()(rows)).all()


@pytest.mark.parametrize("noise", ["zero", "sampled", 3])
def test_an_array_in_blocks_is_the_array_at_once(work: Path, monkeypatch: pytest.MonkeyPatch, noise: Any) -> None:
    monkeypatch.setattr("seedpipe.enhancers.base.BLOCK", 3)
    monkeypatch.setattr(enhance_files, "BLOCK_ROWS", 6)
    rows = draw_embeddings(3, 4, 2, seed=1)[:, 1]
    np.save(work / "in.npy", rows)
    seen: list[tuple[int, int]] = []
    enhance_file(
        work / "model",
        work / "in.npy",
        work / "e.npy",
        Use(noise=noise, seed=None if noise == "zero" else 5),
        progress=lambda done, total: seen.append((done, total)),
    )
    expected = enhancer()(rows, torch.Generator().manual_seed(5), noise=noise)
    assert (np.load(work / "e.npy") == expected).all()
    assert seen == [(6, 24), (12, 24), (18, 24), (24, 24)]


def test_memory_does_not_grow_with_the_array(work: Path) -> None:
    for name, rows in (("small", 20_000), ("large", 200_000)):
        np.save(work / f"{name}.npy", np.ones((rows, D)))
    # Not getrusage: its peak begins with that of the parent.
    code = (
        "import re; from pathlib import Path; from seedpipe.enhancers.files import enhance_file\n"
        "for name in ('small', 'large'):\n"
        "    enhance_file(Path('model'), Path(f'{name}.npy'), Path('e.npy'))\n"
        "    print(int(re.search(r'VmHWM:\\s+(\\d+)', Path('/proc/self/status').read_text())[1]) / 1024)\n"
    )
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    run = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, env=environment)
    small, large = map(float, run.stdout.split())
    assert np.load(work / "e.npy", mmap_mode="r").shape == (200_000, D)
    assert large - small < 15  # MiB; input and output are 37


def replaced(path: Path) -> None:
    np.save(path.with_name("new.npy"), np.ones((24, D)))
    path.with_name("new.npy").replace(path)


def overwritten(path: Path) -> None:
    with path.open("r+b") as file:
        file.seek(-8, os.SEEK_END)
        file.write(b"12345678")
    os.utime(path, ns=(1, 1))  # a file that is written twice within a tick of the clock keeps its time


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (replaced, ""),
        (lambda path: os.truncate(path, 900), "was changed while it was read"),
        (lambda path: os.truncate(path, path.stat().st_size + 8), "was changed while it was read"),
        (overwritten, "was changed while it was read"),
    ],
    ids=["replaced", "cut", "continued", "overwritten"],
)
def test_an_array_that_changes_meanwhile_is_enhanced_as_it_was_or_refused(
    work: Path, monkeypatch: pytest.MonkeyPatch, change: Callable[[Path], object], found: str
) -> None:
    monkeypatch.setattr(enhance_files, "BLOCK_ROWS", 6)
    rows = draw_embeddings(3, 4, 2, seed=1)[:, 1]
    np.save(work / "in.npy", rows)

    def disturb(done: int, _: int) -> None:
        if done == 6:
            change(work / "in.npy")

    with contextlib.ExitStack() as stack:
        if found:
            stack.enter_context(pytest.raises(ExchangeError, match=rf"(?i)in\.npy: cannot be read \({found}\)"))
        enhance_file(work / "model", work / "in.npy", work / "e.npy", progress=disturb)
    assert (work / "e.npy").exists() == (not found)
    assert found or (np.load(work / "e.npy") == enhancer()(rows)).all()
    assert not list(work.glob(".*partial*"))


def test_an_array_may_take_its_own_place(work: Path) -> None:
    assert invoke("enhance", "model", "in.npy", "in.npy").exit_code == 0
    assert (np.load(work / "in.npy") == enhancer()(ROWS)).all()


@pytest.mark.parametrize("source", ["in.npy", "in.npz", "in.parquet", "in.ark", "in.scp"])
@pytest.mark.parametrize("out", ["e.npy", "e.npz", "e.parquet", "e.ark"])
def test_names_and_order_are_kept_between_all_formats(work: Path, source: str, out: str) -> None:
    ids = ["--ids", "ids.txt"] if source == "in.npy" and out != "e.npy" else []
    found = done(invoke("enhance", "model", source, out, "--json", *ids))
    assert found["files"] == ([out, "e.scp"] if out == "e.ark" else [out])
    assert (found["rows"], found["dimension"]) == (4, D)
    made = read_vectors(work / out, work / "ids.txt")
    assert made.keys == [(name, 0) for name in NAMES]
    assert np.abs(np.asarray(made.values) - enhancer()(ROWS)).max() < 1e-6
    if out == "e.ark":
        assert [name for name, _ in kaldiio.load_ark(str(work / out))] == NAMES
        assert read_vectors(work / "e.scp").keys == made.keys


@pytest.mark.parametrize("suffix", ["npz", "parquet", "ark"])
def test_several_draws_of_an_utterance_come_back_as_such(tmp_path: Path, suffix: str) -> None:
    keys = [("a", 0), ("b", 0), ("a", 1), ("c#7", 0), ("zwölf-十二", 0)]
    rows = np.random.default_rng(0).standard_normal((5, D)).astype(np.float32)
    files = write_vectors(Vectors(tmp_path / f"x.{suffix}", keys, rows))
    before = [path.read_bytes() for path in files]
    found = read_vectors(files[-1])
    assert found.keys == keys
    assert (np.asarray(found.values) == rows).all()
    write_vectors(Vectors(tmp_path / f"x.{suffix}", keys, rows))
    assert [path.read_bytes() for path in files] == before


def test_a_name_that_kaldi_cannot_have_leaves_nothing_behind(work: Path) -> None:
    write_vectors(Vectors(work / "in.npz", [("one take.wav", 0)], ROWS[:1]))
    before = contents(work)
    assert "'one take.wav' cannot be a key of Kaldi" in refused(invoke("enhance", "model", "in.npz", "e.ark"))
    assert contents(work) == before


@pytest.mark.parametrize(
    ("options", "call"),
    [
        (["--t", 300], {"t": 300}),
        (["--t", 300, "--steps", 4], {"t": 300, "steps": 4}),
        (["--ensemble", 0.9], {"ensemble": 0.9}),
        (["--noise", "sampled", "--seed", 3], {"noise": "sampled"}),
        (["--noise", 5, "--seed", 3], {"noise": 5}),
        (["--noise", "zero"], {"noise": "zero"}),
    ],
)
def test_options_are_those_of_the_enhancer(work: Path, options: list[object], call: dict[str, Any]) -> None:
    assert invoke("enhance", "model", "in.npy", "e.npy", *options).exit_code == 0
    expected = enhancer()(ROWS, torch.Generator().manual_seed(3), **call)
    assert (np.load(work / "e.npy") == expected).all()
    assert call == {"noise": "zero"} or np.abs(expected - enhancer()(ROWS)).max() > 1e-4


def test_the_seed_decides_the_noise_of_a_model_that_samples(work: Path) -> None:
    enhancer(inference_noise="sampled").save(work / "model", "# Card\n")
    for name, options in (("a", []), ("b", ["--seed", 0]), ("c", ["--seed", 2])):
        assert invoke("enhance", "model", "in.npy", f"{name}.npy", *options).exit_code == 0
    made = contents(work)
    assert made["a.npy"] == made["b.npy"] != made["c.npy"]


def test_a_seed_without_sampled_noise_is_refused(work: Path) -> None:
    command = ("enhance", "model", "in.npy", "a.npy", "--seed", 3)
    line = "there is no noise to be seeded with 3; expected a seed where noise is sampled; leave the seed out"
    assert line in refused(invoke(*command))
    assert invoke(*command, "--noise", "sampled").exit_code == 0
    enhancer(inference_noise="sampled").used("whitened").save(work / "model", "# Card\n")
    assert line in refused(invoke(*command))


# --------------------------------------------------------------------------------------------------------------- caches


def test_a_cache_becomes_an_array_of_its_shape(work: Path, demo: Cache) -> None:
    result = invoke("enhance", "model", "demo", "e.npy")
    assert result.stdout.startswith(f"e.npy: 240 enhanced embeddings, {D}-d, ")
    assert np.abs(np.load(work / "e.npy") - enhancer()(demo.to_numpy())).max() < 1e-6


def test_a_cache_becomes_files_with_its_names(work: Path, demo: Cache) -> None:
    expected, frame = enhancer()(demo.to_numpy()), demo.frame()
    assert invoke("enhance", "model", "demo", "e.npz").exit_code == 0
    with np.load(work / "e.npz") as made:
        assert np.abs(made["embeddings"] - expected).max() < 1e-6
        assert made["utterance"].tolist() == frame["utterance"].tolist()
        assert made["variants"].tolist() == list(demo.info.variants)
    assert invoke("enhance", "model", "demo", "e.parquet").exit_code == 0
    assert "a Kaldi archive holds one variant, the cache 3" in refused(invoke("enhance", "model", "demo", "e.ark"))


def test_a_cache_becomes_a_cache_that_says_what_was_done(work: Path, demo: Cache) -> None:
    found = done(invoke("enhance", "model", "demo", "out/enhanced", "--t", 100, "--json"))
    assert (found["files"], found["rows"]) == (["out/enhanced"], 240)
    made = open_cache(work / "out" / "enhanced")
    made.verify()
    assert np.abs(made.to_numpy() - enhancer()(demo.to_numpy(), t=100)).max() < 1e-6
    assert made.frame().equals(demo.frame())
    assert (made.info.network.name, made.info.features["enhancer"]) == ("toy+seed", "seed")
    assert json.loads(str(made.info.features["enhancer_settings"])) == {"t": 100, "seed": 0}
    assert made.info.network.fingerprint != demo.info.network.fingerprint
    assert made.info.fingerprint != demo.info.fingerprint
    assert "network name is 'toy+seed'" in refused(invoke("enhance", "model", "out/enhanced", "e.npy"))
    assert [path.name for path in (work / "out").iterdir()] == ["enhanced"]


def test_an_enhanced_cache_is_replaced_and_equal_work_gives_equal_bytes(work: Path, demo: Cache) -> None:
    for _ in range(2):
        assert invoke("enhance", "model", demo.path, "enhanced").exit_code == 0
    first = contents(work / "enhanced")
    shutil.rmtree(work / "enhanced")
    assert invoke("enhance", "model", demo.path, "enhanced").exit_code == 0
    assert contents(work / "enhanced") == first
    assert invoke("enhance", "model", demo.path, "enhanced", "--ensemble", 0.3).exit_code == 0
    assert contents(work / "enhanced") != first


def test_settings_and_weights_tell_enhanced_caches_apart(work: Path, demo: Cache) -> None:
    enhancer(ensemble=0.1).save(work / "other", "# Card\n")
    digests = set()
    for model, use in (
        ("model", Use()),
        ("model", Use(t=7)),
        ("model", Use(noise="sampled", seed=1)),
        ("other", Use()),
    ):
        enhance_file(work / model, demo.path, work / "enhanced", use)
        digests.add(open_cache(work / "enhanced").info.network.fingerprint)
    assert len(digests) == 4


def test_an_extracted_cache_is_never_replaced(work: Path, demo: Cache) -> None:
    before = contents(work)
    assert "holds a cache that was not made by seedpipe enhance" in refused(invoke("enhance", "model", "demo", "demo"))
    assert "is no cache: it holds README.md" in refused(invoke("enhance", "model", demo.path, "model"))
    assert contents(work) == before


def test_a_damaged_cache_leaves_nothing_behind(work: Path, demo: Cache) -> None:
    damage(demo)
    before = contents(work)
    for out in ("enhanced", "e.npy", "e.npz"):
        assert "does not have the digest" in refused(invoke("enhance", "model", "demo", out))
    assert contents(work) == before


def test_a_row_of_zeros_is_refused_by_its_number_in_the_file(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(enhance_files, "BLOCK_ROWS", 2)
    rows = np.ones((5, D), np.float32)
    rows[3] = 0
    np.save(work / "rows.npy", rows)
    text = refused(invoke("enhance", "model", "rows.npy", "e.npy"))
    assert "rows.npy, row 4: the largest entry of an embedding is 0; expected one from 1e-10" in text


# ---------------------------------------------------------------------------------------------------------------- audio


def test_audio_gives_what_extraction_and_enhancement_give(work: Path, speech: Path) -> None:
    options = ("--network", STUB, "--params", "params.yaml", "--json")
    result = invoke("enhance", "stub", "speech", "e.npz", *options)
    found = done(result)
    assert "enhance: 3/3 utterances" in result.stderr
    names = find_audio(speech)
    assert (names, found["rows"]) == (["anna/a.wav", "anna/b.flac", "ben/short.wav"], 9)
    write_manifest(list_files(speech, names)[0], work / "manifests" / SPEECH)
    params = ExtractParams(evaluation=EvaluationParams(crops=3, crop_samples=6_000, conditions=()))
    machine = MachineParams(jobs=1, device="cpu")
    cache = extract(work / "manifests", STUB, work / "cache", params, kind="evaluation", machine=machine)
    expected = Enhancer.load(work / "stub")(cache.to_numpy())[:, 0]
    made = read_embeddings(work / "e.npz")
    assert list(made.utterances) == names
    assert (made.embeddings.reshape(9, -1) == expected).all()
    assert not [path for path in work.iterdir() if path.name.startswith(".")]


def test_one_audio_file_gives_an_array_or_a_cache(work: Path, speech: Path) -> None:
    options = ("--network", STUB, "--params", "params.yaml")
    assert invoke("enhance", "stub", speech / "anna" / "a.wav", "e.npy", *options).exit_code == 0
    assert np.load(work / "e.npy").shape == (3, 8)
    assert invoke("enhance", "stub", speech / "anna" / "a.wav", "enhanced", *options).exit_code == 0
    made = open_cache(work / "enhanced")
    assert (made.info.variants, made.info.network.name) == (("clean",), "stub+seed")
    assert (made.to_numpy()[:, 0] == np.load(work / "e.npy")).all()
    assert set(made.frame()["utterance"]) == {"a.wav"}


def test_an_interrupted_run_on_audio_keeps_what_the_network_has_done(
    work: Path, speech: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    params = Params(
        extract=ExtractParams(evaluation=EvaluationParams(crops=3, crop_samples=6_000)),
        machine=MachineParams(jobs=1, device="cpu"),
    )
    seen: list[int] = []

    def run() -> None:
        enhance_file(
            work / "stub",
            speech,
            work / "e.npz",
            network=STUB,
            params=params,
            progress=lambda done, _: seen.append(done),
        )

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(enhance_files, "export_cache", full)
    with pytest.raises(OSError, match="No space left"):
        run()
    monkeypatch.undo()
    assert seen == [3]
    run()
    assert seen == [3]  # the network was not asked again
    assert read_vectors(work / "e.npz").values.shape == (9, 8)
    assert not [path for path in work.iterdir() if path.name.startswith(".")]


def test_a_bad_file_is_named_or_left_out_and_said(work: Path, speech: Path) -> None:
    (speech / "ben" / "broken.wav").write_bytes(b"RIFF")
    options = ("--network", STUB, "--params", "params.yaml")
    assert "ben/broken.wav: is not readable audio" in refused(invoke("enhance", "stub", "speech", "e.npz", *options))
    (work / "params.yaml").write_text(CROPS, encoding="utf-8")
    text = (work / "params.yaml").read_text(encoding="utf-8").replace("extract:\n", "extract:\n  on_bad_audio: skip\n")
    (work / "params.yaml").write_text(text, encoding="utf-8")
    result = invoke("enhance", "stub", "speech", "e.npz", *options)
    assert "9 enhanced embeddings" in result.stdout
    assert "left out: " in result.stderr
    assert "broken.wav" in result.stderr


def test_a_network_that_is_not_the_models_is_refused_by_name(work: Path, speech: Path) -> None:
    before = contents(work)
    line = refused(invoke("enhance", "stub", speech, "e.npz", "--network", "stub_network:make_other"))
    assert "the network other has the fingerprint fingerprint of o" in line
    assert "the model is for stub with fingerprint of s" in line
    assert contents(work) == before


# --------------------------------------------------------------------------------------------------- what does not work


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["in.npz", "e.npz", "--ids", "ids.txt"], "is for .npy files"),
        (["speech", "e.npz", "--ids", "ids.txt"], "is for .npy files"),
        (["in.npy", "e.npz"], "has no names for its rows"),
        (["in.npy", "e.npy", "--noise", "zero", "--seed", "3"], "no noise to be seeded"),
        (["in.npy", "e.npy", "--noise", "loud"], "is none of zero, sampled and a number from 1"),
        (["in.npy", "e.npy", "--noise", "0"], "is none of zero, sampled"),
        (["in.npy", "e.npy", "--noise", "-3"], "is none of zero, sampled"),
        (["in.npy", "e.npy", "--params", "params.yaml"], "is for audio"),
        (["in.npy", "e.npy", "--t", "1000"], "--t"),
        (["in.npy", "e.npy", "--steps", "0"], "--steps"),
        (["in.npy", "e.npy", "--ensemble", "1.5"], "--ensemble"),
        (["in.npy", "e.npy", "--seed", str(2**63)], "--seed"),
    ],
)
def test_options_that_contradict_each_other_are_wrong_usage(work: Path, arguments: list[str], part: str) -> None:
    before = contents(work)
    result = invoke("enhance", "nowhere", *arguments)  # said before a model is looked for
    assert (result.exit_code, result.stdout) == (2, "")
    assert part in " ".join(result.stderr.replace("│", " ").split())
    assert contents(work) == before


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["nowhere", "in.npy", "e.npy"], "nowhere: is no model"),
        (["model", "nowhere.npy", "e.npy"], "nowhere.npy: cannot be read"),
        (["model", "nowhere.npz", "e.npz"], "nowhere.npz: cannot be read"),
        (["model", "ids.txt", "e.npz"], "ids.txt: has the extension .txt; expected .npz"),
        (["model", "nowhere", "e.npz"], "nowhere: there is no cache"),
        (
            ["model", "model", "e.npz"],
            "model: there is no cache; expected a cache; check the path; if it is a folder of",
        ),
        (["model", "speech.WAV", "e.npz"], "speech.WAV: is audio; expected embeddings; give the network"),
        (["model", "in.npy", "e"], "e: has no extension"),
        (["model", "in.npz", "e.txt"], "e.txt: has the extension .txt; expected .npy, .npz, .parquet, .ark, or none"),
        (["model", "in.npz", "e.scp"], "an .ark brings its .scp"),
        (["model", "in.npz", "folder.npz"], "folder.npz: is a folder"),
        (["other", "in.npy", "e.npy"], "embeddings have the shape (4, 16); expected (..., 24) from the network toy"),
        (["other", "in.npz", "e.npz"], "(..., 24)"),
        (["ecapa", "demo", "e.npy"], "network name is 'toy', but the model is for 'ecapa'"),
    ],
)
def test_what_does_not_fit_is_one_line_and_leaves_nothing_behind(
    work: Path, demo: Cache, arguments: list[str], part: str
) -> None:
    enhancer(24).save(work / "other", "# Card\n")
    enhancer(name="ecapa").save(work / "ecapa", "# Card\n")
    (work / "folder.npz").mkdir()
    (work / "speech.WAV").write_bytes(b"")
    before = contents(work)
    assert demo.info.network.name == "toy"
    assert part in refused(invoke("enhance", *arguments))
    assert contents(work) == before


def write_array(path: Path, content: object) -> None:
    with path.open("wb") as file:
        if isinstance(content, bytes):
            file.write(content)
        elif isinstance(content, dict):
            np.savez(file, **content)
        else:
            np.save(file, content)


@pytest.mark.parametrize(
    ("content", "part"),
    [
        (b"", "cannot be read"),
        (b"PK\x03\x04 but no archive", "cannot be read"),
        (b"\x93NUMPY\x01\x00", "cannot be read"),
        ({"a": np.zeros(3)}, "cannot be read"),
        (np.zeros((2, D), dtype=np.int64), "values of the type int64; expected floating-point numbers"),
        (np.array(["a", "b"]), "expected floating-point numbers"),
        (np.array([{}], dtype=object), "cannot be read"),
        (np.full((2, D), np.nan), "not finite"),
        (np.concatenate((np.ones((9, D)), np.full((1, D), np.inf))), "not finite"),
        (np.float64(1.0), "embeddings have the shape ()"),
    ],
    ids=["empty", "zip", "truncated", "npz", "integers", "text", "objects", "nan", "late", "scalar"],
)
def test_a_file_that_holds_no_embeddings_is_refused(
    work: Path, monkeypatch: pytest.MonkeyPatch, content: object, part: str
) -> None:
    monkeypatch.setattr(enhance_files, "BLOCK_ROWS", 4)
    write_array(work / "bad.npy", content)
    before = contents(work)
    assert part in refused(invoke("enhance", "model", "bad.npy", "e.npy"))
    assert contents(work) == before


def test_an_enhancer_without_diffusion_takes_embeddings_and_no_settings(work: Path, demo: Cache) -> None:
    config = FixedMapConfig(
        kind="none", network=demo.info.network, settings=None, cache="", seedpipe=seedpipe.__version__
    )
    FixedMap(torch.nn.Identity(), config).save(work / "none", "# Card\n")
    assert invoke("enhance", "none", "in.npy", "e.npy").exit_code == 0
    unit = ROWS / np.linalg.norm(ROWS, axis=1, keepdims=True)
    assert np.abs(np.load(work / "e.npy") - unit).max() < 1e-6
    assert invoke("enhance", "none", "demo", "enhanced").exit_code == 0
    assert open_cache(work / "enhanced").info.network.name == "toy+none"
    with pytest.raises(ModelError, match="an enhancer of the kind none has no t and no noise"):
        enhance_file(work / "none", work / "in.npy", work / "e.npy", Use(t=50, noise="zero"))
    assert "is an enhancer of the kind none" in refused(invoke("export", "onnx", "none", "none.onnx"))


def test_a_missing_manifest_is_no_cache(work: Path, demo: Cache) -> None:
    (demo.path / "manifest.json").unlink()
    with pytest.raises(CacheError, match="there is no cache"):
        enhance_file(work / "model", demo.path, work / "e.npy")


# --------------------------------------------------------------------------------------------------------------- export


@pytest.mark.parametrize("noise", [False, True])
def test_export_says_how_far_onnxruntime_is_from_torch(work: Path, noise: bool) -> None:
    pytest.importorskip("onnxruntime")
    option = ["--noise"] if noise else []
    found = done(invoke("export", "onnx", "model", "out/seed.onnx", "--json", *option))
    assert 0 <= found.pop("largest_difference") < 1e-4
    inputs = ["embeddings", "noise"] if noise else ["embeddings"]
    assert found == {"out": "out/seed.onnx", "inputs": inputs, "dimension": D}
    assert (work / "out" / "seed.onnx").stat().st_size > 10_000
    assert "from torch in onnxruntime" in invoke("export", "onnx", "model", "out/seed.onnx").stdout


def test_export_without_onnxruntime_says_that_nothing_was_compared(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    result = invoke("export", "onnx", "model", "seed.onnx")
    assert result.stdout == (
        f"seed.onnx: embeddings (rows, {D}) to enhanced; not compared with torch, as onnxruntime is not installed\n"
    )
    assert (work / "seed.onnx").exists()


def test_a_graph_that_differs_is_not_written(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("onnxruntime")
    monkeypatch.setattr("seedpipe.enhancers.export.TOLERANCE", -1.0)
    before = contents(work)
    assert "seed.onnx: the graph differs from the enhancer by" in refused(
        invoke("export", "onnx", "model", "seed.onnx")
    )
    assert contents(work) == before


@pytest.mark.parametrize("command", [["enhance"], ["export", "onnx"], ["train"]])
def test_every_command_has_help_with_an_example(command: list[str]) -> None:
    text = " ".join(invoke(*command, "--help").stdout.split())
    assert f"Example: seedpipe {' '.join(command)} " in text
