"""Units of work: small and even whatever the shards, kept when a run is interrupted, and no byte tells of them."""

from __future__ import annotations

import itertools
import logging
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import stub_network
import torch
from conftest import ONE_JOB, STUB, TINY_PARAMS, folder_bytes, tone, write_audio, write_manifests
from patience import wait_for

from seedpipe.cache import Cache
from seedpipe.errors import AudioError, CacheError
from seedpipe.extract import extract, plan
from seedpipe.extract.embed import BLOCK
from seedpipe.extract.spec import ExtractionSpec
from seedpipe.params import EvaluationParams, ExtractParams, MachineParams

ONE_SHARD = TINY_PARAMS.model_copy(update={"shard_rows": 100})
SHORT_TESTS = ONE_SHARD.model_copy(
    update={"evaluation": TINY_PARAMS.evaluation.model_copy(update={"test_crop_samples": 4_000})}
)
WHOLE = ONE_SHARD.model_copy(update={"evaluation": TINY_PARAMS.evaluation.model_copy(update={"whole": (STUB,)})})


def run(
    manifests: Path,
    out: Path,
    params: ExtractParams = ONE_SHARD,
    machine: MachineParams = ONE_JOB,
    progress: Callable[[int, int], None] | None = None,
    network: str = STUB,
) -> Cache:
    kind = "evaluation" if manifests.name == "tiny" else "training"
    return extract(manifests, network, out, params, kind=kind, machine=machine, progress=progress)  # type: ignore[arg-type]


@pytest.fixture
def small_units(monkeypatch: pytest.MonkeyPatch) -> None:
    """Units of three utterances in training, of 30 waveforms."""
    monkeypatch.setattr("seedpipe.extract.spec.UNIT_WAVEFORMS", {"cpu": 1, "cuda": 1})


@pytest.fixture
def batches() -> Iterator[list[tuple[int, ...]]]:
    stub_network.SHAPES.clear()
    yield stub_network.SHAPES
    stub_network.SHAPES.clear()


# ------------------------------------------------------------------------------------------------------- same bytes


@pytest.mark.parametrize(
    ("corpus", "params", "jobs"),
    [
        ("train", ONE_SHARD, 2),
        ("train", ONE_SHARD.model_copy(update={"storage": "float16"}), 1),
        ("tiny", SHORT_TESTS, 1),
        ("tiny", WHOLE, 1),
    ],
    ids=["training by two workers", "float16", "short tests", "whole"],
)
def test_units_change_no_byte(
    manifests: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, corpus: str, params: ExtractParams, jobs: int
) -> None:
    one = run(manifests / corpus, tmp_path / "one", params)
    made = []
    monkeypatch.setattr("seedpipe.extract.spec.UNIT_WAVEFORMS", {"cpu": 1})
    machine = MachineParams(jobs=jobs, device="cpu")
    several = run(manifests / corpus, tmp_path / "several", params, machine, lambda done, _: made.append(done))
    assert len(made) > 1, "there was more than one unit"
    assert folder_bytes(several.path) == folder_bytes(one.path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one", "several"]


# -------------------------------------------------------------------------------------------------- small and even


@pytest.mark.parametrize(
    ("utterances", "shard_rows", "crops", "conditions"),
    [(575, 512, 1, 4), (575, 512, 10, 4), (575, 5_000, 10, 4), (4_874, 512, 10, 4), (3_000, 512, 3, 1)],
)
def test_the_work_of_a_list_is_even_and_little_of_it_is_filling(
    utterances: int, shard_rows: int, crops: int, conditions: int
) -> None:
    evaluation = EvaluationParams(crops=crops, conditions=("noise", "music", "reverb", "noise+reverb")[:conditions])
    params = ExtractParams(shard_rows=shard_rows, evaluation=evaluation)
    spec = ExtractionSpec("stub", "cpu", Path(), "evaluation", params, Path())
    waveforms = spec.rows * len(spec.variants)
    sizes = [
        min(spec.utterances_per_unit, shard - first)
        for shard in shards_of(utterances, spec.utterances_per_shard)
        for first in range(0, shard, spec.utterances_per_unit)
    ]
    assert sum(sizes) == utterances
    blocks = [-(-size * waveforms // BLOCK) for size in sizes]
    assert max(blocks) <= 16
    assert sum(blocks) * BLOCK < 1.06 * utterances * waveforms
    # Two workers that always take the next unit end within one unit of each other.
    ends = [0, 0]
    for each in blocks:
        ends[ends.index(min(ends))] += each
    assert min(ends) > 0.9 * max(ends)


def shards_of(utterances: int, size: int) -> Iterator[int]:
    return (min(size, utterances - first) for first in range(0, utterances, size))


# ------------------------------------------------------------------------------------------------------ interruptions


@pytest.fixture
def interrupted(small_units: None, manifests: Path, tmp_path: Path) -> Path:  # noqa: ARG001
    """The work folder of a run that was interrupted after the first of the two units of its shard."""

    def stop(*_: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(manifests / "train", tmp_path / "cache", progress=stop)
    (work,) = tmp_path.glob(".cache.*")
    assert len(list(work.glob("*.unit"))) == 1
    return work


@pytest.fixture(scope="module")
def reference(manifests: Path, tmp_path_factory: pytest.TempPathFactory) -> Cache:
    return run(manifests / "train", tmp_path_factory.mktemp("reference") / "cache")


def test_an_interrupted_shard_goes_on_from_its_finished_units(
    interrupted: Path, manifests: Path, reference: Cache, tmp_path: Path, batches: list[tuple[int, ...]]
) -> None:
    left = plan(manifests / "train", STUB, tmp_path / "cache", ONE_SHARD, kind="training", machine=ONE_JOB)
    assert left.seconds * left.waveforms_per_second == pytest.approx(2 * 10), "of the two utterances that are missing"
    batches.clear()
    seen: list[int] = []
    made = run(manifests / "train", tmp_path / "cache", progress=lambda done, _: seen.append(done))
    assert len(batches) == 1
    assert seen == [3, 5]
    assert folder_bytes(made.path) == folder_bytes(reference.path)
    assert not interrupted.exists()


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "nothing": lambda _: b"",
    "half": lambda data: data[: len(data) // 2],
    "another bit in the embeddings": lambda data: flipped(data, data.index(b"embeddings.npy") + 300),
    "another bit in the names": lambda data: flipped(data, data.index(b"utterance.npy") + 200),
    "no unit": lambda _: b"PK\3\4" + bytes(100),
}


def flipped(data: bytes, place: int) -> bytes:
    return data[:place] + bytes([data[place] ^ 4]) + data[place + 1 :]


@pytest.mark.parametrize("what", DAMAGES)
def test_a_damaged_unit_is_made_again(
    interrupted: Path, manifests: Path, reference: Cache, tmp_path: Path, what: str, batches: list[tuple[int, ...]]
) -> None:
    (unit,) = interrupted.glob("*.unit")
    unit.write_bytes(DAMAGES[what](unit.read_bytes()))
    batches.clear()
    assert folder_bytes(run(manifests / "train", tmp_path / "cache").path) == folder_bytes(reference.path)
    assert len(batches) == 2


@pytest.mark.usefixtures("small_units")
def test_units_that_somebody_removes_are_made_again(manifests: Path, reference: Cache, tmp_path: Path) -> None:
    """As a second run of the same part does, which has made the shard of them."""
    removed: list[Path] = []

    def remove(*_: int) -> None:
        for unit in tmp_path.glob(".cache.*/*.unit"):
            if not removed:
                unit.unlink()
                removed.append(unit)

    assert folder_bytes(run(manifests / "train", tmp_path / "cache", progress=remove).path) == folder_bytes(
        reference.path
    )
    assert removed


@pytest.mark.usefixtures("small_units")
@pytest.mark.parametrize("first", ["zwölf-十二.wav", "vorbis.ogg", "all of the first unit"])
def test_failures_of_units_are_those_of_the_shard(own_data: Path, tmp_path: Path, first: str) -> None:
    names = ["anna/one take.flac", "anna/zwölf-十二.wav", "ben/48k.wav"] if first.startswith("all") else [f"*/{first}"]
    for name in names:
        (path,) = (own_data / "train").glob(name)
        write_audio(path, np.zeros(8_000, np.float32), 16_000)
    write_manifests(own_data, tmp_path / "manifests")
    with pytest.raises(AudioError, match=rf"random crops are all silent \({len(names)} utterances? cannot be used"):
        run(tmp_path / "manifests/train", tmp_path / "cache")
    skip = ONE_SHARD.model_copy(update={"on_bad_audio": "skip"})

    def stop(*_: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "manifests/train", tmp_path / "cache", skip, progress=stop)
    made = run(tmp_path / "manifests/train", tmp_path / "cache", skip)
    assert (made.info.skipped, made.info.utterances) == (len(names), 5 - len(names))
    assert (made.path / "failures.jsonl").read_text(encoding="utf-8").count("silent") == len(names)


@pytest.mark.usefixtures("small_units")
def test_a_value_that_is_not_finite_is_found_in_its_unit(manifests: Path, tmp_path: Path) -> None:
    with pytest.raises(CacheError, match=r"not finite for .*one take"):
        run(manifests / "train", tmp_path / "cache", network="stub_network:make_nan")
    assert not list(tmp_path.glob(".cache.*/*.unit"))


# ----------------------------------------------------------------------------------------------------------- progress


class Waiting(stub_network.Stub):
    """A network whose second block waits, in each process, until progress has been told."""

    blocks = 0

    def __call__(self, waveforms: torch.Tensor) -> torch.Tensor:
        self.blocks += len(waveforms) > 1  # one is a self-test
        if self.blocks == 2:
            wait_for(Path(os.environ["TOLD"]).exists)
        return super().__call__(waveforms)


@pytest.mark.parametrize("jobs", [1, 2])
def test_progress_comes_with_the_blocks_of_a_unit(
    own_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, jobs: int
) -> None:
    for number in range(12):
        write_audio(own_data / f"train/more/{number}.wav", tone(100 + number, 0.5))
    write_manifests(own_data, tmp_path / "manifests")
    monkeypatch.setattr("seedpipe.extract.make.LOOK_SECONDS", 0.05)
    # Two units of 12 and 5 utterances, 4 blocks and 2.
    monkeypatch.setattr(ExtractionSpec, "utterances_per_unit", 12)
    monkeypatch.setenv("TOLD", str(tmp_path / "told"))
    seen: list[tuple[int, int]] = []

    def note(*now: int) -> None:
        seen.append(now)  # type: ignore[arg-type]
        (tmp_path / "told").touch()

    run(
        tmp_path / "manifests/train",
        tmp_path / "cache",
        machine=MachineParams(jobs=jobs, device="cpu"),
        progress=note,
        network="test_units:Waiting",
    )
    done = [done for done, _ in seen]
    assert seen[-1] == (17, 17)
    assert all(before < after for before, after in itertools.pairwise(done))
    assert {3, 6} <= set(done) if jobs == 1 else len(done) > 2


def test_an_error_of_the_callback_arrives_although_workers_compute(
    manifests: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("seedpipe.extract.make.LOOK_SECONDS", 0.01)
    monkeypatch.setattr(ExtractionSpec, "utterances_per_unit", 4)

    def refuse(*_: int) -> None:
        raise AudioError("enough of this")

    with pytest.raises(AudioError, match="enough of this"):
        run(manifests / "train", tmp_path / "cache", machine=MachineParams(jobs=2, device="cpu"), progress=refuse)


def test_decoding_of_noise_says_how_far_it_is(
    manifests: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    run(manifests / "train", tmp_path / "quick")
    assert "decoding" not in caplog.text, "little is decoded in no time"
    monkeypatch.setattr("seedpipe.extract.run.DECODING_SECONDS", 0.0)
    with caplog.at_level(logging.WARNING):
        run(manifests / "train", tmp_path / "cache")
    assert re.search("decoding noise, once for all workers: 3 of . files", caplog.text)
