"""Training: a training that is killed, runs out of disk or diverges, and what the next one makes of it."""

from __future__ import annotations

import itertools
import math
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from synthetic import contents, enhancer, training_cache

from seedpipe.cache import Cache, open_cache
from seedpipe.enhancers import TrainingPoint, TrainingResult, data, train, trainer
from seedpipe.enhancers.checkpoint import Checkpoint
from seedpipe.enhancers.normalization import Normalization
from seedpipe.enhancers.seed import Enhancer
from seedpipe.errors import BusyError, ModelError
from seedpipe.files import locked
from seedpipe.params import TrainParams

CPU = torch.device("cpu")
CHILD = Path(__file__).parents[1] / "_train_child.py"
EPOCH = 18  # steps
PARAMS = TrainParams(safeguard=False, steps=4 * EPOCH, batch_rows=32, validation_share=0.2)
STREAMED = PARAMS.model_copy(update={"memory_gb": 5e-5})


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Cache:
    return training_cache(tmp_path_factory.mktemp("caches") / "train")


class StopError(Exception):
    """What a test stops a training with."""


def stopped_after(epochs: int, cache: Cache, out: Path, params: TrainParams) -> None:
    def stop(point: TrainingPoint, _: int) -> None:
        if point.step == epochs * EPOCH:
            raise StopError

    with pytest.raises(StopError):
        train(cache, out, params, progress=stop)


def resumed(cache: Cache, out: Path, params: TrainParams) -> tuple[list[int], TrainingResult]:
    seen: list[int] = []
    _, result = train(cache, out, params, progress=lambda point, _: seen.append(math.ceil(point.step / EPOCH)))
    return seen, result


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize(
    "params",
    [
        PARAMS,
        STREAMED,
        TrainParams(safeguard=False, preset="official", steps=4 * EPOCH, batch_rows=32, validation_share=0.2),
        PARAMS.model_copy(update={"gradient_norm": 0.0, "loss": "huber", "prediction": "v", "skip": "none"}),
    ],
)
def test_an_interrupted_training_ends_as_an_undisturbed_one(
    cache: Cache, tmp_path: Path, params: TrainParams, precision: str
) -> None:
    params = params.model_copy(update={"precision": precision})
    _, undisturbed = train(cache, tmp_path / "a" / "toy", params)
    stopped_after(1, cache, tmp_path / "b" / "toy", params)
    stopped_after(3, cache, tmp_path / "b" / "toy", params)
    seen, result = resumed(cache, tmp_path / "b" / "toy", params)
    assert seen == [4]
    assert (result.curve, result.held_out_eer) == (undisturbed.curve, undisturbed.held_out_eer)
    assert contents(tmp_path / "b") == contents(tmp_path / "a")


@pytest.mark.parametrize("params", [PARAMS, STREAMED])
def test_within_a_long_epoch_it_goes_on_too(
    cache: Cache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, params: TrainParams
) -> None:
    params = params.model_copy(update={"steps": 2 * EPOCH + 5})
    _, whole = train(cache, tmp_path / "a" / "toy", params)
    monkeypatch.setattr(trainer, "POINT_STEPS", 6)
    seen: list[int] = []

    def stop(point: TrainingPoint, _: int) -> None:
        seen.append(point.step)
        if point.step == EPOCH + 12:
            raise StopError

    with pytest.raises(StopError):
        train(cache, tmp_path / "b" / "toy", params, progress=stop)
    assert seen == [6, 12, 18, 24, 30]
    _, result = train(cache, tmp_path / "b" / "toy", params, progress=lambda point, _: seen.append(point.step))
    assert seen[5:] == [36, 41]
    assert result.curve[-1].validation == whole.curve[-1].validation
    weights = [(tmp_path / name / "toy" / "model.safetensors").read_bytes() for name in "ab"]
    assert weights[0] == weights[1]


def test_steps_may_end_within_an_epoch(cache: Cache, tmp_path: Path) -> None:
    _, result = train(cache, tmp_path / "toy", PARAMS.model_copy(update={"steps": 40}))
    assert [point.step for point in result.curve] == [18, 36, 40]
    assert (result.steps, result.epochs) == (40, 2.22)


def test_epochs_are_so_many_steps(cache: Cache, tmp_path: Path) -> None:
    _, one = train(cache, tmp_path / "a", PARAMS)
    _, other = train(cache, tmp_path / "b", PARAMS.model_copy(update={"epochs": 4, "steps": 1}))
    assert one.curve == other.curve


@pytest.mark.parametrize(
    ("moment", "epochs_left"),
    [
        ("second epoch", [2, 3, 4]),
        ("rename", [2, 3, 4]),
        ("publishing", []),
        ("published", []),
    ],
)
def test_a_killed_training_ends_as_an_undisturbed_one(
    cache: Cache, tmp_path: Path, moment: str, epochs_left: list[int]
) -> None:
    train(cache, tmp_path / "a" / "toy", PARAMS)
    command = [sys.executable, CHILD, cache.path, tmp_path / "b" / "toy", moment, PARAMS.model_dump_json()]
    killed = subprocess.run(command, check=False, env=os.environ | {"OMP_NUM_THREADS": "1"})
    assert killed.returncode == -9
    seen, _ = resumed(cache, tmp_path / "b" / "toy", PARAMS)
    assert seen == epochs_left
    expected = contents(tmp_path / "a")
    left = {name: data for name, data in contents(tmp_path / "b").items() if "/." not in f"/{name}"}
    assert left == expected


def test_a_full_disk_stops_it_with_the_last_checkpoint_kept(cache: Cache, tmp_path: Path) -> None:
    out = tmp_path / "b" / "toy"
    command = [sys.executable, CHILD, cache.path, out, "disk full", PARAMS.model_dump_json()]
    failed = subprocess.run(command, check=False, capture_output=True, env=os.environ | {"OMP_NUM_THREADS": "1"})
    last = failed.stderr.decode().splitlines()[-1]
    assert "ModelError" in last
    assert "the checkpoint of step 54 cannot be written" in last
    assert "make room" in last
    assert len(contents(tmp_path / "b")) == 1  # the checkpoint, no partial file
    seen, _ = resumed(cache, out, PARAMS)
    assert seen == [3, 4]
    train(cache, tmp_path / "a" / "toy", PARAMS)
    assert contents(tmp_path / "b") == contents(tmp_path / "a")


def test_a_place_that_cannot_be_written_is_named_before_training(cache: Cache, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    for out in (tmp_path / "file" / "toy", Path("/proc/seedpipe/toy")):
        with pytest.raises(ModelError, match="cannot be written") as caught:
            train(cache, out, PARAMS, progress=lambda *_: pytest.fail("it trained"))
        assert str(out) in str(caught.value)


def test_a_model_that_another_process_trains_is_left_to_it(cache: Cache, tmp_path: Path) -> None:
    with locked(tmp_path / "toy"), pytest.raises(BusyError):
        train(cache, tmp_path / "toy", PARAMS)


def test_a_loss_that_diverges_keeps_the_last_good_checkpoint(
    cache: Cache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stopped_after(1, cache, tmp_path / "a" / "toy", PARAMS)
    honest, calls = trainer.distance, 0

    def diverging(*given: torch.Tensor) -> torch.Tensor:
        nonlocal calls
        calls += 1  # 18 steps and a validation are an epoch
        return honest(*given) * (math.inf if calls == 19 + 5 else 1.0)

    monkeypatch.setattr(trainer, "distance", diverging)
    with pytest.raises(ModelError) as caught:
        train(cache, tmp_path / "b" / "toy", PARAMS)
    (name,) = contents(tmp_path / "b")
    text = str(caught.value)
    assert "the loss is inf at step 23 of 72" in text
    assert f"the checkpoint of step 18 is kept in {(tmp_path / 'b' / name).parent}" in text
    assert contents(tmp_path / "b") == contents(tmp_path / "a")


def test_weights_that_are_not_finite_never_reach_a_checkpoint(cache: Cache, tmp_path: Path) -> None:
    # The loss of the only step is that of the weights before it, and nothing is held out.
    params = TrainParams(safeguard=False, epochs=1, batch_rows=10_000, validation_share=0.0).model_copy(
        update={"learning_rate": 1e38}
    )
    with pytest.raises(ModelError, match="weights are not finite"):
        train(cache, tmp_path / "toy", params)
    assert contents(tmp_path) == {}


@pytest.mark.parametrize(
    "change", [{"seed": 1}, {"steps": 5 * EPOCH}, {"learning_rate": 1e-3}, {"precision": "float32"}]
)
def test_another_configuration_begins_anew(cache: Cache, tmp_path: Path, change: dict[str, object]) -> None:
    first = PARAMS.model_copy(update={"precision": "bfloat16"})
    stopped_after(2, cache, tmp_path / "toy", first)
    other = first.model_copy(update=change)
    seen, _ = resumed(cache, tmp_path / "toy", other)
    assert seen == list(range(1, other.steps // EPOCH + 1))


def test_other_embeddings_begin_anew(tmp_path: Path) -> None:
    stopped_after(2, training_cache(tmp_path / "c1"), tmp_path / "m" / "toy", PARAMS)
    other = training_cache(tmp_path / "c2", seed=1)
    assert resumed(other, tmp_path / "m" / "toy", PARAMS)[0] == [1, 2, 3, 4]


@pytest.mark.parametrize("harm", ["empty", "truncated", "other format", "a bit of a weight", "a bit of a note"])
def test_a_checkpoint_that_is_not_as_written_is_not_used(
    cache: Cache, tmp_path: Path, harm: str, caplog: pytest.LogCaptureFixture
) -> None:
    train(cache, tmp_path / "a" / "toy", PARAMS)
    stopped_after(2, cache, tmp_path / "b" / "toy", PARAMS)
    (path,) = (tmp_path / "b").rglob("checkpoint.safetensors")
    content = path.read_bytes()
    harmed = {
        "empty": b"",
        "truncated": content[:-100],
        "other format": content.replace(b"checkpoint-2", b"checkpoint-1"),
        "a bit of a weight": content[:-7] + bytes([content[-7] ^ 1]) + content[-6:],
        "a bit of a note": re.sub(rb'(\\"loss\\": [0-9]\.[0-9])[0-9]', rb"\g<1>0", content, count=1),
    }
    assert harmed[harm] != content
    path.write_bytes(harmed[harm])
    assert resumed(cache, tmp_path / "b" / "toy", PARAMS)[0] == [1, 2, 3, 4]
    assert "not as it was written" in caplog.text
    assert contents(tmp_path / "b") == contents(tmp_path / "a")


def test_a_checkpoint_is_what_was_written(tmp_path: Path) -> None:
    curve = (TrainingPoint(1, 0.1 + 0.2, None), TrainingPoint(2, 1 / 3, 2.5e-17))
    state = Checkpoint({"a": torch.randn(3, 4), "generator": torch.Generator().get_state()}, 7, curve)
    state.write(tmp_path / "c")
    found = Checkpoint.read(tmp_path / "c")
    assert found is not None
    assert (found.step, found.curve) == (7, curve)
    assert all(torch.equal(found.tensors[name], tensor) for name, tensor in state.tensors.items())
    assert set(found.tensors) == set(state.tensors)


def test_a_finished_training_is_done_again_and_gives_the_same_bytes(cache: Cache, tmp_path: Path) -> None:
    train(cache, tmp_path / "toy", PARAMS)
    before = contents(tmp_path)
    assert resumed(cache, tmp_path / "toy", PARAMS)[0] == [1, 2, 3, 4]
    assert contents(tmp_path) == before


def test_the_older_model_is_there_until_the_new_one_is(cache: Cache, tmp_path: Path) -> None:
    enhancer().save(tmp_path / "toy", "old card")
    before = contents(tmp_path)
    stopped_after(4, cache, tmp_path / "toy", PARAMS)
    assert {name: contents(tmp_path)[name] for name in before} == before
    assert Enhancer.load(tmp_path / "toy").config.cache == "c" * 64
    resumed(cache, tmp_path / "toy", PARAMS)
    assert (tmp_path / "toy" / "README.md").read_text() != "old card"


def test_precision_is_noted_as_what_it_was(cache: Cache, tmp_path: Path) -> None:
    model, _ = train(cache, tmp_path / "toy", PARAMS.model_copy(update={"epochs": 1}))
    assert model.config.train.precision == trainer.precision("auto", CPU)
    assert Enhancer.load(tmp_path / "toy").config.train.precision == model.config.train.precision


@pytest.mark.parametrize(
    ("capabilities", "expected"),
    [
        ({"avx512_bf16": True}, "bfloat16"),
        ({"amx_bf16": True, "avx512_bf16": False}, "bfloat16"),
        ({"architecture": "aarch64", "bf16": True}, "bfloat16"),
        ({"avx512_f": True, "avx512_bf16": False}, "float32"),
        ({}, "float32"),
    ],
)
def test_auto_is_bfloat16_where_the_processor_has_it(
    monkeypatch: pytest.MonkeyPatch, capabilities: dict[str, object], expected: str
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities)
    assert trainer.precision("auto", CPU) == expected
    assert trainer.precision("float32", CPU) == "float32"
    assert trainer.precision("bfloat16", CPU) == "bfloat16"


def test_bfloat16_learns_what_float32_learns(cache: Cache, tmp_path: Path) -> None:
    results = {}
    for precision in ("float32", "bfloat16"):
        params = TrainParams(
            safeguard=False, epochs=10, batch_rows=32, learning_rate=5e-3, ema_decay=0.9, precision=precision
        )
        _, results[precision] = train(cache, tmp_path / precision, params)
    assert results["bfloat16"].curve[-1].loss == pytest.approx(results["float32"].curve[-1].loss, rel=0.01)
    assert results["bfloat16"].curve != results["float32"].curve


def test_weights_average_and_moments_stay_float32_under_bfloat16(cache: Cache) -> None:
    params = PARAMS.model_copy(update={"precision": "bfloat16"})
    run = trainer.Trainer(data.embedding_loader(cache, params, CPU), params, CPU)
    next(run.points())
    state = run.checkpoint()
    assert {tensor.dtype for name, tensor in state.tensors.items() if name != "generator"} == {torch.float32}


def test_streaming_is_chosen_by_memory_alone(cache: Cache) -> None:
    size = len(cache) * data.row_bytes(cache)
    kinds = []
    for memory in (2.0 * size, 1.9 * size):
        params = PARAMS.model_copy(update={"memory_gb": memory / 1e9})
        kinds.append(type(data.embedding_loader(cache, params, CPU)).__name__)
    assert kinds == ["ResidentLoader", "StreamingLoader"]


@pytest.mark.parametrize("batch_rows", [1, 32, 50, 576])
def test_an_epoch_of_streaming_gives_every_row_once(cache: Cache, batch_rows: int) -> None:
    params = STREAMED.model_copy(update={"normalize": "none", "batch_rows": batch_rows})
    streamed, resident = data.embedding_loader(cache, params, CPU), data.embedding_loader(cache, PARAMS, CPU)
    generator = torch.Generator().manual_seed(0)
    epochs = [torch.cat([*map(streamed.gather, streamed.batches(batch_rows, generator))]) for _ in range(2)]
    mask = data.held_out_mask(data.utterances_and_draws(cache)[0], 0.2)
    wanted = {row.numpy().tobytes() for row in cache.to_torch()[~mask]}
    for rows in epochs:
        found = [row.numpy().tobytes() for row in rows]
        assert len(found) == len(set(found)) == resident.count // batch_rows * batch_rows
        assert set(found) <= wanted
    assert not torch.equal(*epochs)
    assert streamed.count == resident.count == 576


def test_the_centre_of_streamed_batches_is_made_once(cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[torch.Tensor] = []
    center_like = Normalization.center_like
    monkeypatch.setattr(Normalization, "center_like", lambda *given: made.append(center_like(*given)) or made[-1])
    params = STREAMED.model_copy(update={"normalize": "length+center", "batch_rows": 32})
    loader = data.embedding_loader(cache, params, CPU)
    batches = [*map(loader.gather, loader.batches(32, torch.Generator().manual_seed(0)))]
    assert len(batches) > 2
    assert len(made) == 1
    known = {row.numpy().tobytes() for row in loader.normalization(cache.to_torch())}
    assert {row.numpy().tobytes() for row in torch.cat(batches)} <= known


def test_streaming_holds_the_same_utterances_out(cache: Cache) -> None:
    streamed, resident = data.embedding_loader(cache, STREAMED, CPU), data.embedding_loader(cache, PARAMS, CPU)
    assert streamed.held_out_count == resident.held_out_count == 144
    assert set(streamed.held_out.codes.tolist()) <= set(resident.held_out.codes.tolist())
    rows = cache.to_torch()
    for row, code in zip(streamed.held_out.embeddings, streamed.held_out.codes, strict=True):
        assert any(torch.equal(row, other) for other in rows[data.utterances_and_draws(cache)[0] == code])


@pytest.mark.parametrize("memory_gb", [2e-5, 1e-4])
def test_neighbours_do_not_come_together(cache: Cache, memory_gb: float) -> None:
    params = STREAMED.model_copy(update={"normalize": "none", "memory_gb": memory_gb, "validation_share": 0.0})
    number_of = {row.tobytes(): number for number, row in enumerate(cache.to_numpy())}
    loader = data.embedding_loader(cache, params, CPU)
    batches = loader.batches(32, torch.Generator().manual_seed(0))
    numbers = [sorted(number_of[row.numpy().tobytes()] for row in loader.gather(batch)) for batch in batches]
    neighbours = sum(b - a == 1 for batch in numbers for a, b in itertools.pairwise(batch))
    assert neighbours < 0.2 * len(cache)


def test_streaming_learns_what_memory_learns(cache: Cache, tmp_path: Path) -> None:
    results = []
    for memory in (8.0, 5e-5):
        params = TrainParams(
            safeguard=False, epochs=12, batch_rows=32, learning_rate=5e-3, ema_decay=0.9, memory_gb=memory
        )
        results.append(train(cache, tmp_path / str(memory), params)[1])
    assert results[1].curve[-1].loss == pytest.approx(results[0].curve[-1].loss, rel=0.03)
    assert results[1].held_out_eer[1] < 0.8 * results[1].held_out_eer[0]


def test_a_damaged_shard_stops_streaming(tmp_path: Path) -> None:
    from synthetic import damage

    cache = training_cache(tmp_path / "c", speakers=20)
    damage(cache)
    with pytest.raises(Exception, match=r"shard-00000\.h5"):
        train(open_cache(cache.path), tmp_path / "m", STREAMED)
    assert not (tmp_path / "m").exists()
