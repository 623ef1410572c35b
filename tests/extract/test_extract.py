"""seedpipe.extract: every row can be made again, the same plan gives the same bytes, and nothing is half done."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import stub_network
import torch
from conftest import ONE_JOB, RATE, STUB, TINY_PARAMS, folder_bytes, tone, write_audio, write_manifests

from seedpipe import cache
from seedpipe.audio import decode, read_manifest
from seedpipe.cache import Cache
from seedpipe.errors import AudioError, CacheError, CacheMismatchError, ManifestError, NetworkError, ParamsError
from seedpipe.extract import extract, render, render_row
from seedpipe.extract.embed import BLOCK
from seedpipe.params import EvaluationParams, ExtractParams, MachineParams

BANKS = {"music": "music.csv", "noise": "noise.csv", "reverb": "rir.csv"}
SKIP = TINY_PARAMS.model_copy(update={"on_bad_audio": "skip"})
UTTERANCES = 5  # of the tiny training folder; shards of two, as 4 rows are two utterances of two draws


def run(
    manifests: Path, out: Path, params: ExtractParams = TINY_PARAMS, *, network: str = STUB, kind: str = "training"
) -> Cache:
    folder = manifests / ("train" if kind == "training" else "tiny")
    return extract(folder, network, out, params, kind=kind, machine=ONE_JOB)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def training(manifests: Path, tmp_path_factory: pytest.TempPathFactory) -> Cache:
    return run(manifests, tmp_path_factory.mktemp("training") / "cache")


@pytest.fixture(scope="module")
def evaluation(manifests: Path, tmp_path_factory: pytest.TempPathFactory) -> Cache:
    return run(manifests, tmp_path_factory.mktemp("evaluation") / "cache", kind="evaluation")


@pytest.fixture
def own_manifests(own_data: Path, tmp_path: Path) -> Path:
    """Manifests of the folder that the test may change."""
    write_manifests(own_data, tmp_path / "manifests")
    return tmp_path / "manifests"


@pytest.fixture
def batches() -> Iterator[list[tuple[int, ...]]]:
    """Shapes of the batches that the stub network is given."""
    stub_network.SHAPES.clear()
    yield stub_network.SHAPES
    stub_network.SHAPES.clear()


def work_folders(out: Path) -> list[Path]:
    return [path for path in out.parent.iterdir() if path.name.startswith(f".{out.name}.") and path.is_dir()]


# -------------------------------------------------------------------------------------------------------- contents


def test_a_training_cache_has_every_draw_of_every_utterance(training: Cache, manifests: Path) -> None:
    info = training.info
    assert info.kind == "training"
    assert info.variants == ("clean", "music", "noise", "reverb", "noise+reverb")
    assert (info.rows, info.utterances, info.skipped) == (10, 5, 0)
    assert [shard.rows for shard in info.shards] == [4, 4, 2]
    assert training.to_numpy().shape == (10, 5, 8)
    frame = training.frame()
    speech = read_manifest(manifests / "train/speech.csv")
    assert frame["utterance"].tolist() == [name for name in speech.frame["utterance"] for _ in range(2)]
    assert frame["draw"].tolist() == [0, 1] * 5
    assert info.seconds == pytest.approx(speech.seconds, abs=1e-3)
    assert info.network.name == "stub"
    assert info.audio == speech.digest()


def test_draws_have_fresh_crops_and_recipes(training: Cache) -> None:
    frame = training.frame()
    for name, draws in frame.groupby("utterance"):
        assert draws["snr_db:noise"].nunique() == 2, name
        assert (draws["crop_start"].nunique() == 2) is not str(name).endswith("short.wav"), name
    assert (frame["snr_db:noise"] != frame["snr_db:noise+reverb"]).all()
    assert (frame["rir:reverb"] != "").all()
    assert (frame["noise:reverb"] == "").all()
    assert frame["noise:music"].str.startswith("music/").all()


def test_an_evaluation_cache_has_evenly_spaced_crops(evaluation: Cache) -> None:
    assert evaluation.info.variants == ("clean", "noise", "reverb")
    assert (evaluation.info.rows, evaluation.info.utterances) == (12, 4)
    frame = evaluation.frame()
    assert frame["draw"].tolist() == [0, 1, 2] * 4
    by_name = dict(list(frame.groupby("utterance")["crop_start"]))
    assert by_name["carl/long.wav"].tolist() == [0, 5_000, 10_000]
    assert by_name["carl/short.wav"].tolist() == [0, 0, 0]
    assert frame.groupby("speaker")["utterance"].nunique().tolist() == [2, 2]


def test_crops_of_short_evaluation_audio_are_identical(evaluation: Cache) -> None:
    embeddings, frame = evaluation.to_numpy(), evaluation.frame()
    for name, rows in frame.groupby("utterance").indices.items():
        same = (embeddings[rows] == embeddings[rows[0]]).all()
        assert same == str(name).endswith("short.wav"), name


@pytest.mark.parametrize(("length", "starts"), [(6_001, [0, 0, 1]), (6_002, [0, 1, 2]), (6_000, [0, 0, 0])])
def test_crops_that_coincide_in_part_are_numbered_in_order(
    own_data: Path, tmp_path: Path, length: int, starts: list[int]
) -> None:
    write_audio(own_data / "eval/tiny/carl/long.wav", tone(100, length / RATE))
    write_manifests(own_data, tmp_path / "manifests")
    made = run(tmp_path / "manifests", tmp_path / "cache", kind="evaluation")
    frame = made.frame()
    rows = frame[frame["utterance"] == "carl/long.wav"]
    assert rows["crop_start"].tolist() == starts
    assert rows["draw"].tolist() == [0, 1, 2]
    speech = decode.read_audio(own_data / "eval/tiny/carl/long.wav", RATE)
    for row in rows.index:
        crop = decode.crop(speech, rows["crop_start"][row], 6_000)
        expected = stub_network.make()(torch.from_numpy(crop.copy())[None]).numpy()[0]
        np.testing.assert_allclose(made.to_numpy()[row, 0], expected, rtol=1e-5)


@pytest.mark.parametrize("kind", ["training", "evaluation"])
def test_any_row_can_be_made_again_from_its_recipe(
    training: Cache, evaluation: Cache, manifests: Path, kind: str
) -> None:
    made = training if kind == "training" else evaluation
    folder = manifests / ("train" if kind == "training" else "tiny")
    embeddings = made.to_numpy()
    for row in range(len(made)):
        found = render_row(made, row, str(folder))
        assert tuple(found) == made.info.variants
        for number, heard in enumerate(found.values()):
            expected = stub_network.make()(torch.from_numpy(heard)[None]).numpy()[0]
            assert heard.size == made.info.features["crop_samples"]
            np.testing.assert_allclose(embeddings[row, number], expected, rtol=1e-5, atol=1e-7)
    heard, rate = render(made, 0, "noise", folder)
    np.testing.assert_array_equal(heard, render_row(made, 0, folder)["noise"])
    assert rate == RATE


def test_what_cannot_be_rendered_is_refused(training: Cache, manifests: Path, own_data: Path, tmp_path: Path) -> None:
    folder = manifests / "train"
    with pytest.raises(CacheError, match="there is no row 10; expected 0 to 9"):
        render(training, 10, "clean", folder)
    with pytest.raises(CacheError, match="there is no variant 'rain'; expected clean, music, noise, reverb"):
        render(training, 0, "rain", folder)
    with pytest.raises(CacheMismatchError, match="is not the manifest that the cache was made from"):
        render(training, 0, "clean", manifests / "tiny")
    write_audio(own_data / "noise/street/0.wav", np.full(400, 0.1, np.float32))
    write_manifests(own_data, tmp_path / "manifests")
    with pytest.raises(CacheMismatchError, match=r"noise\.csv: is not the manifest"):
        render(training, 0, "noise+reverb", tmp_path / "manifests/train")


def test_the_seed_of_training_is_not_that_of_evaluation(manifests: Path, training: Cache, tmp_path: Path) -> None:
    params = TINY_PARAMS.model_copy(update={"seed": 5})
    other = run(manifests, tmp_path / "cache", params)
    assert (other.frame()["snr_db:noise"] != training.frame()["snr_db:noise"]).all()
    assert (other.info.seed, training.info.seed) == (5, 0)


def test_a_row_does_not_depend_on_the_rest_of_the_corpus(own_data: Path, training: Cache, tmp_path: Path) -> None:
    shutil.rmtree(own_data / "train/anna")
    write_manifests(own_data, tmp_path / "manifests")
    fewer = run(tmp_path / "manifests", tmp_path / "cache")
    assert fewer.info.rows == 6
    np.testing.assert_array_equal(fewer.to_numpy(), training.to_numpy()[4:])
    pd.testing.assert_frame_equal(fewer.frame(), training.frame().iloc[4:].reset_index(drop=True))


def test_every_batch_has_one_shape(manifests: Path, tmp_path: Path, batches: list[tuple[int, ...]]) -> None:
    run(manifests, tmp_path / "cache")
    assert set(batches) == {(BLOCK, 4_000)}


# ------------------------------------------------------------------------------------------------------- same bytes


def test_the_number_of_workers_changes_no_byte(manifests: Path, training: Cache, tmp_path: Path) -> None:
    two = MachineParams(jobs=2, device="cpu")
    made = extract(manifests / "train", STUB, tmp_path / "cache", TINY_PARAMS, kind="training", machine=two)
    assert folder_bytes(made.path) == folder_bytes(training.path)
    assert [path.name for path in tmp_path.iterdir()] == ["cache"]


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
@pytest.mark.parametrize("after", [2, 4])
def test_an_interrupted_run_is_resumed(
    manifests: Path,
    training: Cache,
    tmp_path: Path,
    batches: list[tuple[int, ...]],
    error: type[BaseException],
    after: int,
) -> None:
    def interrupt(done: int, total: int) -> None:
        assert total == UTTERANCES
        if done == after:
            raise error

    out = tmp_path / "cache"
    with pytest.raises(error):
        extract(manifests / "train", STUB, out, TINY_PARAMS, kind="training", machine=ONE_JOB, progress=interrupt)
    assert not out.exists()
    (work,) = work_folders(out)
    before = {path.name: path.stat().st_mtime_ns for path in work.glob("*.h5")}
    assert len(before) == after // 2
    batches.clear()
    made = run(manifests, out)
    assert len(batches) == 3 - len(before), "finished shards are not computed again"
    assert {name: (out / name).stat().st_mtime_ns for name in before} == before
    assert folder_bytes(made.path) == folder_bytes(training.path)
    assert work_folders(out) == []


KILLED = """
import os, signal, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from conftest import ONE_JOB, STUB, TINY_PARAMS
from seedpipe.extract import extract, render
def die(done, total):
    if done == 4:
        os.kill(os.getpid(), signal.SIGKILL)
extract(Path(sys.argv[2]), STUB, Path(sys.argv[3]), TINY_PARAMS, kind="training", machine=ONE_JOB, progress=die)
"""


def test_a_killed_run_is_resumed(manifests: Path, training: Cache, tmp_path: Path) -> None:
    out = tmp_path / "cache"
    command = [sys.executable, "-c", KILLED, str(Path(__file__).parents[1]), str(manifests / "train"), str(out)]
    killed = subprocess.run(command, check=False, env=os.environ | {"OMP_NUM_THREADS": "1"})
    assert killed.returncode == -signal.SIGKILL
    assert not out.exists()
    (work,) = work_folders(out)
    (work / ".shard-00002.h5.1.partial").write_bytes(b"half a shard")
    assert sorted(path.name for path in work.glob("*.h5")) == ["shard-00000.h5", "shard-00001.h5"]
    assert folder_bytes(run(manifests, out).path) == folder_bytes(training.path)
    assert work_folders(out) == []


def test_a_finished_shard_that_was_damaged_is_made_again(manifests: Path, training: Cache, tmp_path: Path) -> None:
    def interrupt(done: int, _: int) -> None:
        if done == 4:
            raise KeyboardInterrupt

    out = tmp_path / "cache"
    with pytest.raises(KeyboardInterrupt):
        extract(manifests / "train", STUB, out, TINY_PARAMS, kind="training", machine=ONE_JOB, progress=interrupt)
    (work,) = work_folders(out)
    data = bytearray((work / "shard-00000.h5").read_bytes())
    data[len(data) // 2] ^= 1
    (work / "shard-00000.h5").write_bytes(data)
    assert folder_bytes(run(manifests, out).path) == folder_bytes(training.path)


def test_a_second_run_does_nothing(manifests: Path, tmp_path: Path, batches: list[tuple[int, ...]]) -> None:
    first = run(manifests, tmp_path / "cache")
    before = {path: path.stat().st_mtime_ns for path in first.path.iterdir()}
    batches.clear()
    second = run(manifests, tmp_path / "cache")
    assert second.info == first.info
    assert batches == []
    assert {path: path.stat().st_mtime_ns for path in first.path.iterdir()} == before
    assert work_folders(first.path) == []


def test_a_damaged_cache_is_made_again(manifests: Path, training: Cache, tmp_path: Path) -> None:
    out = Path(shutil.copytree(training.path, tmp_path / "cache"))
    path = out / "shard-00001.h5"
    path.write_bytes(path.read_bytes()[:-5])
    assert folder_bytes(run(manifests, out).path) == folder_bytes(training.path)
    assert [path.name for path in tmp_path.iterdir()] == ["cache"]


UNSURE = {
    "is cut off": (
        lambda out: _edit(out, lambda text: text[:-5]),
        r"is no whole cache: manifest\.json: the file: invalid",
    ),
    "of a newer format": (
        lambda out: _edit(out, lambda text: text.replace("seedpipe-cache-1", "seedpipe-cache-2")),
        r"is no whole cache: manifest\.json: format: .*seedpipe-cache-1",
    ),
    "has one changed byte": (
        lambda out: _edit(out, lambda text: text.replace('"seed": ', '"seed": 1')),
        r"is no whole cache: manifest\.json: its contents do not have the digest",
    ),
    "not copied yet": (lambda out: (out / "manifest.json").unlink(), r"is no cache: it holds shard-00000\.h5"),
    "shards still come": (
        lambda out: (out / "shard-00001.h5").unlink(),
        r"is no whole cache: manifest\.json: names shard-00001\.h5, which is not there",
    ),
    "with a file of the user": (lambda out: (out / ".notes").write_text("x"), r"is no cache: it holds \.notes"),
}


def _edit(out: Path, change: Callable[[str], str]) -> None:
    path = out / "manifest.json"
    path.write_text(change(path.read_text(encoding="utf-8")), encoding="utf-8")


@pytest.mark.parametrize("case", UNSURE)
def test_what_may_be_a_good_cache_or_holds_more_is_not_replaced(
    manifests: Path, training: Cache, tmp_path: Path, case: str
) -> None:
    out = Path(shutil.copytree(training.path, tmp_path / "cache"))
    path = out / "shard-00000.h5"
    path.write_bytes(path.read_bytes()[:-5])  # else the cache there would be the one wanted
    change, found = UNSURE[case]
    change(out)
    before = folder_bytes(out)
    with pytest.raises(CacheError, match=f"{found}.*choose another folder"):
        run(manifests, out)
    assert folder_bytes(out) == before


def test_progress_counts_utterances(manifests: Path, tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    extract(
        manifests / "train",
        STUB,
        tmp_path / "cache",
        TINY_PARAMS,
        kind="training",
        machine=ONE_JOB,
        progress=lambda done, total: seen.append((done, total)),
    )
    assert seen == [(2, 5), (4, 5), (5, 5)]


# --------------------------------------------------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("field", "change"),
    [
        ("seed", {"seed": 7}),
        ("features", {"crop_samples": 4_001}),
        ("features", {"draws": 3}),
        ("features", {"shard_rows": 6}),
        ("variants", {"variants": ("music",)}),
        ("augmentation", {"augment": TINY_PARAMS.augment.model_copy(update={"noise_snr_db": (0.0, 5.0)})}),
    ],
)
def test_other_parameters_at_the_same_place_are_refused(
    manifests: Path, training: Cache, field: str, change: dict[str, object]
) -> None:
    before = folder_bytes(training.path)
    with pytest.raises(CacheMismatchError, match=f"the cache there differs in '{field}'.*choose another folder"):
        run(manifests, training.path, TINY_PARAMS.model_copy(update=change))
    assert folder_bytes(training.path) == before


def test_a_cache_of_another_network_is_refused(manifests: Path, training: Cache) -> None:
    with pytest.raises(CacheMismatchError, match="differs in 'network'"):
        run(manifests, training.path, network="stub_network:make_other")


def test_a_cache_of_other_audio_is_refused(own_data: Path, own_manifests: Path, tmp_path: Path) -> None:
    made = run(own_manifests, tmp_path / "cache")
    write_audio(own_data / "train/ben/short.wav", tone(121, 0.15))
    write_manifests(own_data, own_manifests)
    with pytest.raises(CacheMismatchError, match="differs in 'audio'"):
        run(own_manifests, made.path)


def test_parameters_that_change_no_number_are_no_mismatch(manifests: Path, training: Cache) -> None:
    evaluation = EvaluationParams(crops=9)
    assert run(manifests, training.path, SKIP.model_copy(update={"evaluation": evaluation})).info == training.info


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_what_is_no_cache_is_not_replaced(manifests: Path, tmp_path: Path, kind: str) -> None:
    out = tmp_path / "out"
    precious = out if kind == "file" else out / "thesis.tex"
    precious.parent.mkdir(exist_ok=True)
    precious.write_text("years of work")
    found = "is no cache but a file" if kind == "file" else f"is no cache: it holds {precious.name}"
    with pytest.raises(CacheError, match=f"out: {found}; .*choose another folder"):
        run(manifests, out)
    assert precious.read_text() == "years of work"


def test_an_empty_folder_may_become_a_cache(manifests: Path, training: Cache, tmp_path: Path) -> None:
    (tmp_path / "cache").mkdir()
    assert folder_bytes(run(manifests, tmp_path / "cache").path) == folder_bytes(training.path)


@pytest.mark.parametrize("kind", ["training", "evaluation"])
def test_crops_too_short_for_the_network_are_refused_before_any_audio_is_read(
    own_data: Path, own_manifests: Path, tmp_path: Path, kind: str
) -> None:
    shutil.rmtree(own_data)
    short = TINY_PARAMS.model_copy(
        update={"crop_samples": 799, "evaluation": EvaluationParams(crops=3, crop_samples=799)}
    )
    with pytest.raises(NetworkError, match="crops have 799 samples; expected 800 or more for the network stub"):
        run(own_manifests, tmp_path / "cache", short, kind=kind)
    assert not (tmp_path / "cache").exists()


def test_a_network_that_gives_no_number_is_stopped(manifests: Path, tmp_path: Path) -> None:
    with pytest.raises(CacheError, match=r"values that are not finite for train/anna/one take\.flac \(reverb\)"):
        run(manifests, tmp_path / "cache", network="stub_network:make_nan")
    assert not (tmp_path / "cache").exists()


def test_a_network_that_breaks_its_promise_is_stopped(manifests: Path, tmp_path: Path) -> None:
    with pytest.raises(NetworkError, match=r"network narrow gave embeddings of shape \(32, 4\); expected \(32, 8\)"):
        run(manifests, tmp_path / "cache", network="stub_network:make_narrow")


def test_no_cuda_is_said(manifests: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    machine = MachineParams(jobs=1, device="cuda")
    with pytest.raises(ParamsError, match=r"there is no CUDA device; set machine\.device: auto"):
        extract(manifests / "train", STUB, tmp_path / "cache", TINY_PARAMS, kind="training", machine=machine)


# -------------------------------------------------------------------------------------------------------- bad audio


def damage(path: Path) -> None:
    """Spoil a frame in the middle of a FLAC file: no walk through the file sees it, only the decoder."""
    data = bytearray(path.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 20] = b"\x55" * 20
    path.write_bytes(data)


def _spoil(root: Path) -> None:
    """Make two of five training files unusable, in the first shard and in the last."""
    damage(root / "train/anna/one take.flac")
    wave = tone(125, 0.6)
    wave[7] = np.nan
    (root / "train/ben/vorbis.ogg").unlink()
    write_audio(root / "train/ben/x.wav", wave, subtype="FLOAT")


def failures(path: Path) -> list[dict[str, str]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_bad_audio_fails_and_all_of_it_is_named(own_data: Path, tmp_path: Path) -> None:
    _spoil(own_data)
    write_manifests(own_data, tmp_path / "manifests")
    out = tmp_path / "out/cache"
    with pytest.raises(AudioError) as caught:
        run(tmp_path / "manifests", out)
    assert str(caught.value).startswith(str(own_data / "train/anna/one take.flac"))
    assert f"2 utterances cannot be used; {out}.failures.jsonl lists them" in str(caught.value)
    assert [(entry["utterance"], entry["file"]) for entry in failures(Path(f"{out}.failures.jsonl"))] == [
        ("train/anna/one take.flac", str(own_data / "train/anna/one take.flac")),
        ("train/ben/x.wav", str(own_data / "train/ben/x.wav")),
    ]
    assert failures(Path(f"{out}.failures.jsonl"))[1]["reason"] == "1 sample is not finite"
    assert not out.exists()
    (work,) = work_folders(out)
    names = sorted(path.name for path in work.glob("shard-*"))
    assert names == ["shard-00001.h5", "shard-00001.json"]


def test_replacing_the_bad_file_reuses_the_other_shards(
    own_data: Path, tmp_path: Path, training: Cache, batches: list[tuple[int, ...]]
) -> None:
    good = (own_data / "train/anna/one take.flac").read_bytes()
    damage(own_data / "train/anna/one take.flac")
    write_manifests(own_data, tmp_path / "manifests")
    out = tmp_path / "out/cache"
    with pytest.raises(AudioError, match="1 utterance cannot be used"):
        run(tmp_path / "manifests", out)
    (own_data / "train/anna/one take.flac").write_bytes(good)
    write_manifests(own_data, tmp_path / "manifests")
    batches.clear()
    made = run(tmp_path / "manifests", out)
    assert len(batches) == 1, "only the shard of the bad file is computed"
    assert folder_bytes(made.path) == folder_bytes(training.path)
    assert [path.name for path in out.parent.iterdir()] == ["cache"], "neither failures nor work are left"


def test_bad_audio_is_skipped_and_listed_where_asked(own_data: Path, tmp_path: Path, training: Cache) -> None:
    _spoil(own_data)
    write_manifests(own_data, tmp_path / "manifests")
    made = run(tmp_path / "manifests", tmp_path / "out/cache", SKIP)
    assert (made.info.skipped, made.info.rows, made.info.utterances) == (2, 6, 3)
    listed = failures(made.path / "failures.jsonl")
    assert [entry["utterance"] for entry in listed] == ["train/anna/one take.flac", "train/ben/x.wav"]
    np.testing.assert_array_equal(made.to_numpy(), training.to_numpy()[2:8])
    with pytest.raises(AudioError, match="2 utterances cannot be used"):
        run(tmp_path / "manifests", made.path)


def test_skipped_files_are_listed_although_a_run_was_interrupted(own_data: Path, tmp_path: Path) -> None:
    _spoil(own_data)
    write_manifests(own_data, tmp_path / "manifests")
    train = tmp_path / "manifests/train"
    whole = run(tmp_path / "manifests", tmp_path / "whole/cache", SKIP)

    def interrupt(done: int, _: int) -> None:
        if done == 4:
            raise KeyboardInterrupt

    out = tmp_path / "resumed/cache"
    with pytest.raises(KeyboardInterrupt):
        extract(train, STUB, out, SKIP, kind="training", machine=ONE_JOB, progress=interrupt)
    assert folder_bytes(run(tmp_path / "manifests", out, SKIP).path) == folder_bytes(whole.path)


def test_nothing_usable_is_an_error_even_when_skipped(own_data: Path, own_manifests: Path, tmp_path: Path) -> None:
    shutil.rmtree(own_data / "train")
    with pytest.raises(AudioError, match=r"speech\.csv: no utterance could be used"):
        run(own_manifests, tmp_path / "cache", SKIP)
    assert not (tmp_path / "cache").exists()


def test_a_changed_file_is_refused_by_its_digest(own_data: Path, own_manifests: Path, tmp_path: Path) -> None:
    write_audio(own_data / "train/ben/short.wav", tone(121, 0.15))
    with pytest.raises(AudioError, match=r"ben/short\.wav: has changed since the manifest was written \(1 utter"):
        run(own_manifests, tmp_path / "cache")


def test_silent_speech_is_a_failure_of_its_utterance(own_data: Path, tmp_path: Path) -> None:
    write_audio(own_data / "train/ben/short.wav", np.zeros(3_000, np.float32))
    write_manifests(own_data, tmp_path / "manifests")
    with pytest.raises(
        AudioError, match=r"ben/short\.wav: 20 random crops are all silent \(1 utterance cannot be used"
    ):
        run(tmp_path / "manifests", tmp_path / "cache")


def test_crops_avoid_a_long_pause(own_data: Path, tmp_path: Path) -> None:
    paused = np.concatenate([tone(121, 1.0), np.zeros(32_000, np.float32), tone(121, 1.0)])
    write_audio(own_data / "train/ben/short.wav", paused)
    write_manifests(own_data, tmp_path / "manifests")
    frame = run(tmp_path / "manifests", tmp_path / "cache").frame()
    starts = frame[frame["utterance"].str.endswith("ben/short.wav")]["crop_start"]
    for start in starts:
        assert decode.crop(paused, int(start), TINY_PARAMS.crop_samples).any()


@pytest.mark.parametrize("params", [TINY_PARAMS, SKIP], ids=["fail", "skip"])
def test_bad_noise_is_no_failure_of_the_utterance(
    own_data: Path, own_manifests: Path, tmp_path: Path, params: ExtractParams
) -> None:
    for path in (own_data / "noise").rglob("*.*"):
        path.write_bytes(b"x")
    with pytest.raises(ManifestError, match=r"noise/(street|hall)/\d\.(wav|flac): has changed since"):
        run(own_manifests, tmp_path / "cache", params)
    assert not (tmp_path / "cache.failures.jsonl").exists()
    assert not (tmp_path / "cache").exists()


def test_other_noise_in_the_same_files_is_not_mixed_up(own_data: Path, own_manifests: Path, tmp_path: Path) -> None:
    """One process extracts twice, and between the runs the noise changes under the same names."""
    first = run(own_manifests, tmp_path / "first")
    for path in (own_data / "noise").rglob("*.*"):
        write_audio(path, tone(700, 1.2, seed=77))
    write_manifests(own_data, own_manifests)
    second = run(own_manifests, tmp_path / "second")
    assert second.info.augmentation != first.info.augmentation
    noise = first.info.variants.index("noise")
    assert (first.to_numpy()[:, noise] != second.to_numpy()[:, noise]).any(axis=1).all()
    assert (first.to_numpy()[:, 0] == second.to_numpy()[:, 0]).all()


def test_only_the_banks_that_are_needed_are_asked_for(own_manifests: Path, tmp_path: Path) -> None:
    for name in ("noise.csv", "rir.csv"):
        (own_manifests / "train" / name).unlink()
    made = run(own_manifests, tmp_path / "cache", TINY_PARAMS.model_copy(update={"variants": ("music",)}))
    assert made.info.variants == ("clean", "music")
    with pytest.raises(ManifestError, match=r"noise\.csv: cannot be read"):
        run(own_manifests, tmp_path / "other")


def test_the_cache_can_be_opened_by_everybody(training: Cache) -> None:
    assert cache.open_cache(training.path).expect(kind="training").info == training.info
