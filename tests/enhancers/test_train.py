"""seedpipe.enhancers.trainer: what is learnt, what is repeatable, and what a failure leaves behind."""

from __future__ import annotations

import contextlib
import json
import math
import types
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from synthetic import (
    PLAIN,
    QUICK,
    VARIANTS,
    contents,
    damage,
    draw_embeddings,
    enhancer,
    evaluation_cache,
    training_cache,
    utterance_names,
    write_cache,
)
from torch.nn import functional

from seedpipe import metrics
from seedpipe.cache import Cache
from seedpipe.enhancers import TrainingPoint, TrainingResult, data, graph, train, trainer
from seedpipe.enhancers.diffusion import SeedMLP
from seedpipe.enhancers.seed import Enhancer, ModelConfig
from seedpipe.errors import CacheDamagedError, CacheError, CacheMismatchError, ModelError
from seedpipe.params import TrainParams

CPU = torch.device("cpu")
SHORT = TrainParams(epochs=2, batch_rows=32, validation_share=0.2, **PLAIN)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Cache:
    return training_cache(tmp_path_factory.mktemp("caches") / "train")


@pytest.fixture(scope="module")
def trained(cache: Cache, tmp_path_factory: pytest.TempPathFactory) -> tuple[Enhancer, TrainingResult, Path]:
    out = tmp_path_factory.mktemp("models") / "toy"
    return (*train(cache, out, QUICK), out)


def eer_on_new_speakers(model: Enhancer | None) -> float:
    """EER of noisy against clean embeddings of speakers that training did not meet."""
    rows = torch.from_numpy(draw_embeddings(12, 6, 1, seed=5))
    unit = functional.normalize(rows, dim=-1) if model is None else model(rows)
    scores = (unit[:, 1] @ unit[:, 0].T).numpy()
    speaker = np.arange(len(rows)) // 6
    return metrics.eer(scores.ravel(), (speaker[:, None] == speaker).ravel().astype(int))


def test_training_lowers_the_loss(trained: tuple[Enhancer, TrainingResult, Path]) -> None:
    curve = trained[1].curve
    assert [point.step for point in curve] == list(range(18, 18 * QUICK.epochs + 1, 18))
    assert curve[-1].loss < 0.8 * curve[0].loss
    assert curve[-1].validation is not None
    assert curve[-1].validation < 0.8 * curve[0].validation


def test_training_lowers_the_held_out_eer(trained: tuple[Enhancer, TrainingResult, Path]) -> None:
    before, after = trained[1].held_out_eer
    assert 0 <= after < 0.8 * before < before <= 1


def test_training_helps_speakers_that_it_did_not_meet(trained: tuple[Enhancer, TrainingResult, Path]) -> None:
    model = trained[0]
    untrained = Enhancer(SeedMLP(model.dimension), model.config)
    assert eer_on_new_speakers(model) < 0.8 * eer_on_new_speakers(None)
    assert eer_on_new_speakers(model) < 0.8 * eer_on_new_speakers(untrained)


def test_the_folder_holds_the_model_that_is_returned(
    cache: Cache, trained: tuple[Enhancer, TrainingResult, Path]
) -> None:
    model, _, out = trained
    loaded = Enhancer.load(out)
    rows = cache.to_numpy()
    assert (loaded(rows) == model(rows)).all()
    assert loaded.config == model.config
    assert loaded.config.network == cache.info.network
    assert loaded.config.cache == cache.info.fingerprint
    assert loaded.config.train.precision in {"float32", "bfloat16"}
    assert loaded.config.train.model_copy(update={"precision": "auto"}) == QUICK
    assert sorted(contents(out.parent)) == [
        "toy/README.md",
        "toy/config.json",
        "toy/curve.csv",
        "toy/model.safetensors",
    ]


def test_the_card_says_what_it_is(trained: tuple[Enhancer, TrainingResult, Path]) -> None:
    card = (trained[2] / "README.md").read_text(encoding="utf-8")
    before, after = trained[1].held_out_eer
    for part in ("`toy`", "ffffffffffffffff", "240 unlabelled utterances", f"{100 * before:.2f} % before", "Limits"):
        assert part in card
    assert f"{100 * after:.2f} % after" in card


def test_the_curve_lies_beside_the_weights(trained: tuple[Enhancer, TrainingResult, Path]) -> None:
    table = pd.read_csv(trained[2] / "curve.csv")
    assert list(table.columns) == ["step", "loss", "validation"]
    assert [TrainingPoint(int(row.step), row.loss, row.validation) for row in table.itertuples()] == list(
        trained[1].curve
    )


def test_the_result_is_plain_data(trained: tuple[Enhancer, TrainingResult, Path]) -> None:
    result = trained[1]
    data = result.as_dict()
    assert json.loads(json.dumps(data, allow_nan=False)) == data
    assert data["held_out_eer"] == list(result.held_out_eer)
    assert data["curve"][0] == {"step": 18, "loss": result.curve[0].loss, "validation": result.curve[0].validation}


def test_the_same_seed_gives_the_same_bytes(cache: Cache, tmp_path: Path) -> None:
    for name in ("a", "b"):
        train(cache, tmp_path / name, SHORT)
        torch.rand(3)  # whatever else happens between the two
    assert contents(tmp_path / "a") == contents(tmp_path / "b")


def test_the_displacement_is_that_of_noisy_training_embeddings(cache: Cache, tmp_path: Path) -> None:
    plain = {"ensemble": 1.0, "adaptive_ensemble": False, "output": "network"}
    model, _ = train(cache, tmp_path / "a", SHORT.model_copy(update={"validation_share": 0.0} | plain))
    noisy = functional.normalize(cache.to_torch()[:, 1:], dim=-1)
    expected = (1 - (noisy * model(noisy)).sum(dim=-1)).mean().item()
    assert Enhancer.load(tmp_path / "a").config.displacement == pytest.approx(expected, rel=1e-4)


def test_another_seed_gives_another_model(cache: Cache, tmp_path: Path) -> None:
    first, _ = train(cache, tmp_path / "a", SHORT)
    second, _ = train(cache, tmp_path / "b", SHORT.model_copy(update={"seed": 1}))
    rows = cache.to_numpy()
    assert np.abs(first(rows) - second(rows)).max() > 1e-4


def test_shared_random_states_are_untouched(cache: Cache, tmp_path: Path) -> None:
    before, numpy_before = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    train(cache, tmp_path / "a", SHORT)
    assert torch.equal(torch.get_rng_state(), before)
    assert (np.random.get_state()[1] == numpy_before).all()  # noqa: NPY002


@pytest.mark.parametrize("loss", ["norm", "l1", "mse", "huber"])
@pytest.mark.parametrize("normalize", ["none", "length", "length+center"])
def test_every_setting_trains(cache: Cache, tmp_path: Path, loss: str, normalize: str) -> None:
    update = {"loss": loss, "normalize": normalize, "ensemble": 1.0}
    model, result = train(cache, tmp_path / "a", SHORT.model_copy(update=update))
    assert result.curve[-1].loss < result.curve[0].loss
    rows = torch.from_numpy(draw_embeddings(2, 1, 1, seed=3))
    assert torch.allclose(model(rows).norm(dim=-1), torch.ones(2, len(VARIANTS)), atol=1e-5)


def test_settings_of_use_do_not_change_the_weights(cache: Cache, tmp_path: Path) -> None:
    use = {"inference_step": 7, "inference_noise": "sampled", "ensemble": 0.1}
    first, _ = train(cache, tmp_path / "a", SHORT)
    second, _ = train(cache, tmp_path / "b", SHORT.model_copy(update=use))
    for name, weight in first.module.named_parameters():
        assert torch.equal(weight, second.module.get_parameter(name)), name


def test_a_subset_of_draws_and_variants_trains_as_a_cache_of_them_alone(tmp_path: Path) -> None:
    whole = training_cache(tmp_path / "whole", draws=4)
    params = SHORT.model_copy(update={"draws": 2, "variants": ("reverb",)})
    chosen = data.embedding_loader(whole, params, torch.device("cpu"))
    rows = np.flatnonzero(whole.frame()["draw"].to_numpy() < 2)
    expected = whole.to_torch()[rows][:, [0, whole.info.variants.index("reverb")]]
    apart = torch.isin(data.utterances_and_draws(whole)[0][rows], chosen.held_out.codes)
    assert chosen.count + chosen.held_out_count == len(rows)
    assert torch.equal(chosen.held_out.embeddings, expected[apart])
    assert torch.equal(chosen.calibration.embeddings, expected[~apart])
    streamed = data.embedding_loader(whole, params.model_copy(update={"memory_gb": 1e-9}), torch.device("cpu"))
    assert torch.equal(streamed.held_out.embeddings, chosen.held_out.embeddings)
    assert torch.equal(streamed.calibration.embeddings, chosen.calibration.embeddings)
    generators = [torch.Generator().manual_seed(0) for _ in range(2)]
    drawn = zip((chosen, streamed), generators, strict=True)
    seen = [torch.cat([*map(loader.gather, loader.batches(1, generator))]).flatten(1) for loader, generator in drawn]
    ordered = [rows_of[rows_of[:, 0].argsort()] for rows_of in seen]
    assert torch.allclose(*ordered, atol=1e-4)


def test_draws_and_variants_that_a_cache_lacks_are_refused(cache: Cache) -> None:
    for update, found in (({"variants": ("music",)}, "has no variant 'music'"), ({"draws": 99}, "draws")):
        with pytest.raises(CacheError, match=found):
            data.embedding_loader(cache, SHORT.model_copy(update=update), torch.device("cpu"))


def test_the_losses_are_what_they_are_called() -> None:
    prediction, x_0 = torch.randn(2, 5, 8, generator=torch.Generator().manual_seed(0))
    difference = (prediction - x_0).numpy()
    expected = {
        "norm": np.sqrt((difference**2).sum(axis=1)).mean(),  # eq. (9)
        "l1": np.abs(difference).mean(),
        "mse": (difference**2).mean(),
        "huber": np.where(np.abs(difference) < 1, difference**2 / 2, np.abs(difference) - 0.5).mean(),
    }
    found = {name: trainer.distance(prediction, x_0, name).item() for name in expected}
    assert found == pytest.approx(expected, rel=1e-5)


def test_the_learning_rate_warms_up_and_ends_at_zero() -> None:
    rates = [trainer._cosine(step, 1000) for step in range(1000)]
    peak = int(np.argmax(rates))
    assert 90 <= peak <= 110
    assert rates[0] == pytest.approx(0.01)
    assert (np.diff(rates[:peak]) > 0).all()
    assert (np.diff(rates[peak:]) < 0).all()
    assert 0 < rates[-1] < 1e-4
    assert 0.95 < rates[peak] <= 1


@pytest.mark.parametrize(("decay", "equal"), [(0.0, True), (0.999, False)])
def test_without_moving_average_the_last_weights_are_kept(cache: Cache, decay: float, equal: bool) -> None:
    params = SHORT.model_copy(update={"ema_decay": decay, "validation_share": 0.0})
    training = trainer.Trainer(data.embedding_loader(cache, params, CPU), params, CPU)
    assert [point.validation for point in training.points()] == [None, None]
    pairs = zip(training.average.parameters(), training.network.parameters(), strict=True)
    assert all(torch.allclose(a, b, atol=1e-7) for a, b in pairs) == equal


@pytest.mark.parametrize("share", [0.0, 0.01, 0.2, 0.5, 0.98])
def test_whole_utterances_are_held_out(cache: Cache, share: float) -> None:
    mask = data.held_out_mask(data.utterances_and_draws(cache)[0], share).numpy()
    names = cache.frame()["utterance"].to_numpy()
    assert not set(names[mask]) & set(names[~mask])
    assert len(set(names[mask])) == round(share * 240)
    assert mask.sum() == 3 * round(share * 240)


def test_held_out_utterances_are_counted_and_not_trained_on(cache: Cache, tmp_path: Path) -> None:
    _, result = train(cache, tmp_path / "a", SHORT)
    assert (result.rows, result.held_out_rows) == (576, 144)
    _, everything = train(cache, tmp_path / "b", SHORT.model_copy(update={"validation_share": 0.0}))
    assert (everything.rows, everything.held_out_rows, everything.held_out_eer) == (720, 0, None)
    assert everything.curve[0].validation is None


def test_held_out_embeddings_do_not_reach_the_weights(tmp_path: Path) -> None:
    embeddings = draw_embeddings(5, 2, 1, seed=0)
    names = utterance_names(5, 2)
    other = embeddings.copy()
    params = TrainParams(safeguard=False, epochs=2, batch_rows=4, validation_share=0.3)
    first = write_cache(tmp_path / "first", embeddings, names, kind="training")
    other[data.held_out_mask(data.utterances_and_draws(first)[0], 0.3).numpy()] *= -3.0
    second = write_cache(tmp_path / "second", other, names, kind="training")
    train(first, tmp_path / "a", params)
    train(second, tmp_path / "b", params)
    assert contents(tmp_path / "a")["model.safetensors"] == contents(tmp_path / "b")["model.safetensors"]


def test_progress_sees_every_point(cache: Cache, tmp_path: Path) -> None:
    seen: list[tuple[TrainingPoint, int]] = []
    _, result = train(cache, tmp_path / "a", SHORT, progress=lambda point, steps: seen.append((point, steps)))
    assert seen == [(point, 36) for point in result.curve]


@pytest.mark.parametrize("rows", [2, 3, 7])
def test_fewer_rows_than_a_batch_are_one_batch(tmp_path: Path, rows: int) -> None:
    tiny = write_cache(tmp_path / "c", draw_embeddings(rows, 1, 1, seed=0), utterance_names(rows, 1), kind="training")
    model, result = train(tiny, tmp_path / "m", TrainParams(safeguard=False, epochs=2, validation_share=0.0))
    assert result.rows == rows
    assert np.isfinite(model(tiny.to_numpy())).all()


def test_a_single_held_out_row_has_no_eer(tmp_path: Path) -> None:
    tiny = write_cache(tmp_path / "c", draw_embeddings(10, 1, 1, seed=0), utterance_names(10, 1), kind="training")
    _, result = train(tiny, tmp_path / "m", TrainParams(safeguard=False, epochs=1, validation_share=0.1))
    assert (result.held_out_rows, result.held_out_eer) == (1, None)
    assert result.curve[0].validation is not None
    assert (tmp_path / "m" / "config.json").is_file()


def test_one_embedding_has_nothing_to_centre(tmp_path: Path) -> None:
    tiny = write_cache(tmp_path / "c", draw_embeddings(1, 1, 1, seed=0), utterance_names(1, 1), kind="training")
    with pytest.raises(ModelError, match=r"do not differ.*train\.normalize: length"):
        train(tiny, tmp_path / "m", TrainParams(safeguard=False, epochs=1, validation_share=0.0))
    model, _ = train(
        tiny, tmp_path / "m", TrainParams(safeguard=False, epochs=1, validation_share=0.0, normalize="length")
    )
    assert np.isfinite(model(tiny.to_numpy())).all()


def test_holding_everything_out_is_refused(tmp_path: Path) -> None:
    tiny = write_cache(tmp_path / "c", draw_embeddings(1, 1, 2, seed=0), utterance_names(1, 1), kind="training")
    with pytest.raises(CacheError, match=r"1 utterance is too few.*validation_share: 0"):
        train(tiny, tmp_path / "m", TrainParams(safeguard=False, validation_share=0.9))
    assert not (tmp_path / "m").exists()


def test_an_evaluation_cache_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CacheMismatchError, match="kind is 'evaluation'; expected 'training'"):
        train(evaluation_cache(tmp_path / "c"), tmp_path / "m", SHORT)
    assert not (tmp_path / "m").exists()


def test_a_damaged_cache_is_refused(tmp_path: Path) -> None:
    cache = training_cache(tmp_path / "c", speakers=4)
    damage(cache)
    with pytest.raises(CacheDamagedError, match=r"shard-00000\.h5"):
        train(cache, tmp_path / "m", SHORT)
    assert not (tmp_path / "m").exists()


def old_model(tmp_path: Path) -> dict[str, bytes]:
    enhancer().save(tmp_path / "models" / "toy", "old card")
    return contents(tmp_path / "models")


def test_a_loss_that_is_not_finite_leaves_the_older_model(
    cache: Cache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, honest = old_model(tmp_path), trainer.distance
    monkeypatch.setattr(trainer, "distance", lambda *given: honest(*given) * math.nan)
    with pytest.raises(ModelError, match=r"the loss is nan at step 1 of 36.*lower train\.learning_rate"):
        train(cache, tmp_path / "models" / "toy", SHORT)
    assert contents(tmp_path / "models") == before


def test_a_last_step_that_goes_astray_is_noticed(cache: Cache, tmp_path: Path) -> None:
    # One epoch of one batch: its loss is that of the weights before the only step.
    params = TrainParams(safeguard=False, epochs=1, batch_rows=10_000, validation_share=0.2, ema_decay=0.0).model_copy(
        update={"learning_rate": 1e38}
    )
    with pytest.raises(ModelError, match=r"on held-out utterances (nan|inf)"):
        train(cache, tmp_path / "m", params)
    assert not (tmp_path / "m").exists()


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_an_interrupted_training_leaves_the_older_model(
    cache: Cache, tmp_path: Path, error: type[BaseException]
) -> None:
    before = old_model(tmp_path)

    def interrupt(point: TrainingPoint, steps: int) -> None:
        if point.step == steps:
            raise error

    with pytest.raises(error):
        train(cache, tmp_path / "models" / "toy", SHORT, progress=interrupt)
    left = contents(tmp_path / "models")
    assert {name: left[name] for name in before} == before
    assert [name.rpartition("/")[2] for name in sorted(set(left) - set(before))] == ["checkpoint.safetensors"]


def test_a_finished_training_replaces_the_older_model(cache: Cache, tmp_path: Path) -> None:
    before = old_model(tmp_path)
    train(cache, tmp_path / "models" / "toy", SHORT)
    after = contents(tmp_path / "models")
    assert set(after) == set(before) | {"toy/curve.csv"}
    assert all(after[name] != before[name] for name in before)


def test_a_folder_that_is_no_model_is_not_replaced(cache: Cache, tmp_path: Path) -> None:
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter1.tex").write_text("precious")
    with pytest.raises(ModelError, match=r"chapter1\.tex"):
        train(cache, tmp_path / "thesis", SHORT)
    assert contents(tmp_path) == {"thesis/chapter1.tex": b"precious"}


class FakeGraph:
    """Runs on the processor what a CUDA graph would replay; a capture alone leaves everything as it was."""

    def __init__(self, training: trainer.Trainer) -> None:
        self.training = training
        self.registered: list[torch.Generator] = []
        self.captures = self.replays = 0

    def register_generator_state(self, generator: torch.Generator) -> None:
        self.registered.append(generator)

    @contextlib.contextmanager
    def capture(self) -> Iterator[None]:
        before = self.training.checkpoint()
        tensors = {name: tensor.clone() for name, tensor in before.tensors.items()}
        state, steps = self.training.generator.get_state(), [m["step"].clone() for m in self._moments()]
        yield
        self.captures += 1
        for name, tensor in self.training.checkpoint().tensors.items():
            tensor.copy_(tensors[name])
        for moments, step in zip(self._moments(), steps, strict=True):
            moments["step"].copy_(step)
        self.training.generator.set_state(state)

    def _moments(self) -> list[dict[str, torch.Tensor]]:
        return list(self.training.optimizer.state.values())

    def replay(self) -> None:
        self.replays += 1
        assert isinstance(self.training._take, graph.StepGraph)
        self.training._take._loss.copy_(self.training._take_step(self.training._take._batch))


def test_steps_of_a_graph_are_the_plain_steps(cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    plain, captured = (trainer.Trainer(data.embedding_loader(cache, SHORT, CPU), SHORT, CPU) for _ in range(2))
    fake = FakeGraph(captured)
    stream = types.SimpleNamespace(wait_stream=lambda _: None)
    monkeypatch.setattr(torch.cuda, "CUDAGraph", lambda: fake)
    monkeypatch.setattr(torch.cuda, "graph", FakeGraph.capture)
    monkeypatch.setattr(torch.cuda, "Stream", lambda: stream)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda: stream)
    monkeypatch.setattr(torch.cuda, "stream", lambda _: contextlib.nullcontext())
    captured._take = graph.StepGraph(captured._take_step, captured.generator)
    assert list(captured.points()) == list(plain.points())  # losses of many steps, each its own
    for name, weight in plain.average.named_parameters():
        torch.testing.assert_close(captured.average.get_parameter(name), weight, rtol=0, atol=0)
    assert fake.registered == [captured.generator]
    assert (fake.captures, fake.replays) == (1, plain.steps - graph.WARM_UP)
    assert captured._take._batch.shape == (captured.batch_rows,)  # numbers: their rows are gathered in the graph


def test_a_graph_is_for_gpus_alone(cache: Cache) -> None:
    params = SHORT.model_copy(update={"cuda_graph": True})
    run = trainer.Trainer(data.embedding_loader(cache, params, CPU), params, CPU)
    assert run._take == run._take_step


def test_a_model_whose_step_could_be_compiled_is_read(trained: tuple[Enhancer, TrainingResult, Path]) -> None:
    config = trained[0].config
    given = json.loads(config.model_dump_json())
    given["train"]["compile"] = given["train"].pop("cuda_graph")
    assert ModelConfig.model_validate_json(json.dumps(given)) == config
