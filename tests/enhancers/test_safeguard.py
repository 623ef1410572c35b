"""First, do no harm: held-out sources, what is chosen by them, and the linear skip."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from synthetic import VARIANTS, D, draw_embeddings, training_cache, write_cache
from torch.nn import functional

from seedpipe import metrics
from seedpipe.cache import Cache, open_cache
from seedpipe.enhancers import Enhancer, TrainingPoint, export_onnx, train
from seedpipe.enhancers.fit import fit_network
from seedpipe.enhancers.safeguard import NOT_MEASURED, USES, Rates, Safeguard, Use, judge
from seedpipe.enhancers.skip import fit_skip
from seedpipe.enhancers.sources import halves, sources, speakers_or_files
from seedpipe.enhancers.trainer import Trainer
from seedpipe.enhancers.training import TrainingJob
from seedpipe.enhancers.whitening import ridge_matrix
from seedpipe.errors import ModelError
from seedpipe.params import Params, TrainParams

PARAMS = TrainParams(epochs=10, batch_rows=64, learning_rate=5e-3, ema_decay=0.9, validation_share=0.1)


def sourced_cache(out: Path, rows: np.ndarray, folders: list[str]) -> Cache:
    """A training cache of utterances in three draws, spread evenly over the folders."""
    count = len(rows) // 3
    names = [f"train/{folders[u * len(folders) // count]}/u{u:03d}.wav" for u in range(count)]
    return write_cache(out, rows, names, kind="training")


def helpless(seed: int) -> np.ndarray:
    """Embeddings (540, V, D) of a network that noise does not touch: there is nothing to gain."""
    rng = np.random.default_rng(seed)
    utterance = rng.standard_normal((180, 1, 1, D))
    return (utterance + 1e-3 * rng.standard_normal((180, 3, 3, D))).reshape(-1, 3, D).astype(np.float32)


def test_where_enhancement_helps_it_is_used(tmp_path: Path) -> None:
    cache = sourced_cache(tmp_path / "c", draw_embeddings(60, 3, 3, seed=0), ["a", "b", "c"])
    model, result = train(cache, tmp_path / "m", PARAMS)
    found = model.config.safeguard
    assert found is not None
    assert model.config.use in ("linear", "enhanced")
    assert found.rates[model.config.use].noisy < 0.9 * found.rates["original"].noisy
    assert (found.sources, found.utterances) == (3, 180)
    assert any("held-out speech" in remark for remark in result.remarks)
    assert result.growth == found.growth
    assert [count for count, _ in result.growth] == sorted(count for count, _ in result.growth)
    assert found.sentences()[0].rpartition(": ")[2] in (tmp_path / "m" / "README.md").read_text()
    assert Enhancer.load(tmp_path / "m").config == model.config


def test_where_it_cannot_help_embeddings_are_left_as_they_are(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    rows = helpless(1)
    model, result = train(sourced_cache(tmp_path / "c", rows, ["a", "b"]), tmp_path / "m", PARAMS)
    assert model.config.use == "original"
    torch.testing.assert_close(model(torch.from_numpy(rows)), functional.normalize(torch.from_numpy(rows), dim=-1))
    assert any("left as they are" in warning for warning in result.warnings)
    caplog.clear()
    Enhancer.load(tmp_path / "m")
    assert [record.getMessage().rpartition(": ")[2] for record in caplog.records] == ["embeddings are left as they are"]


@pytest.mark.parametrize("use", USES)
def test_every_use_is_exported_and_asked_for_what_it_has(tmp_path: Path, use: Use) -> None:
    pytest.importorskip("onnx", reason="needs the extra onnx")
    cache = training_cache(tmp_path / "c")
    model, _ = train(cache, tmp_path / "m", PARAMS.replace(epochs=1, safeguard=False))
    used = model.used(use).calibrated(cache.to_torch(), torch.arange(240).repeat_interleave(3))
    difference = export_onnx(used, tmp_path / "m.onnx")
    assert difference is None or difference < 1e-5
    rows = cache.to_torch()[:3, 1]
    if use in ("original", "whitened"):
        with pytest.raises(ModelError, match=f"leaves its network out .{use}.*no t, steps, ensemble or noise"):
            used(rows, t=100)
    else:
        assert not torch.equal(used(rows, ensemble=0.1), used(rows))


def test_a_cache_of_few_utterances_is_not_measured_and_says_so(tmp_path: Path) -> None:
    cache = training_cache(tmp_path / "c", speakers=15, utterances=2)
    model, result = train(cache, tmp_path / "m", PARAMS.replace(epochs=1))
    assert (model.config.safeguard, model.config.use) == (None, "enhanced")
    assert NOT_MEASURED in result.warnings


def test_a_model_of_an_older_version_has_no_skip(tmp_path: Path) -> None:
    cache = training_cache(tmp_path / "c")
    plain = PARAMS.replace(skip="none", safeguard=False, epochs=1)
    model, _ = train(cache, tmp_path / "m", plain)
    path = tmp_path / "m" / "config.json"
    config = json.loads(path.read_text())
    for name in ("skip", "contrast", "temperature", "residual", "safeguard"):
        del config["train"][name]
    for name in ("use", "safeguard", "digest"):
        del config[name]
    path.write_text(json.dumps(config))
    loaded, rows = Enhancer.load(tmp_path / "m"), torch.from_numpy(draw_embeddings(2, 2, 1, seed=3))
    assert loaded.config.train.skip == "none"
    assert torch.equal(loaded(rows), model(rows))


@pytest.mark.parametrize(
    ("clean", "noisy", "use"),
    [
        ((0.01, 0.01, 0.01, 0.01), (0.05, 0.04, 0.03, 0.02), "enhanced"),
        ((0.01, 0.01, 0.01, 0.03), (0.05, 0.04, 0.03, 0.02), "linear"),  # clean speech would lose more than noise gains
        ((0.01, 0.01, 0.01, 0.01), (0.05, 0.05, 0.05, 0.05), "original"),  # of equals the one that does least
        ((0.01, 0.04, 0.05, 0.05), (0.05, 0.03, 0.02, 0.02), "original"),
    ],
)
def test_the_use_of_least_error_half_of_it_on_clean_speech(
    clean: tuple[float, ...], noisy: tuple[float, ...], use: Use
) -> None:
    uses: tuple[Use, ...] = ("original", "whitened", "linear", "enhanced")
    rates = {one: Rates(clean=c, noisy=n) for one, c, n in zip(uses, clean, noisy, strict=True)}
    assert Safeguard(sources=2, utterances=100, rates=rates).use == use


@pytest.mark.parametrize(
    ("growth", "sentence"),
    [
        (((50, 0.2), (100, 0.1)), "more speech would help"),
        (((50, 0.1), (100, 0.1)), "more speech of the same kind would hardly help"),
        ((), None),
    ],
)
def test_whether_more_speech_would_help(growth: tuple[tuple[int, float], ...], sentence: str | None) -> None:
    found = Safeguard(sources=2, utterances=100, rates={"original": Rates(clean=0.0, noisy=0.1)}, growth=growth)
    assert [text.startswith(sentence or "") for text in found.sentences()[1:]] == [True] * (sentence is not None)


def test_judged_are_draws_against_other_draws() -> None:
    rows = torch.from_numpy(draw_embeddings(30, 1, 2, seed=4))
    codes = torch.arange(30).repeat_interleave(2)
    (found,) = judge(lambda rows, _: functional.normalize(rows, dim=-1), rows, codes, torch.zeros_like(codes))
    unit = functional.normalize(rows, dim=-1)
    noisy = []
    for variant in (1, 2):
        scores = unit[:, variant] @ unit[:, 0].T
        pairs = [(float(scores[i, j]), int(i // 2 == j // 2)) for i in range(60) for j in range(60) if i != j]
        noisy.append(metrics.eer(*map(np.array, zip(*pairs, strict=True))))
    assert found.noisy == pytest.approx(np.mean(noisy))


def test_a_few_utterances_in_very_many_draws_are_judged_too() -> None:
    rows = torch.from_numpy(draw_embeddings(4, 1, 30, seed=4))  # fewer utterances than any source needs by itself
    codes = torch.arange(4).repeat_interleave(30)
    (found,) = judge(lambda rows, _: functional.normalize(rows, dim=-1), rows, codes, codes)
    assert 0 <= found.clean <= found.noisy < 0.5


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["train/a/x/1.wav", "train/a/y/2.wav", "train/b/z/3.wav"], [0, 0, 1]),
        (["train/a/x/1.wav", "train/a/x/2.wav", "train/a/y/3.wav"], [0, 0, 1]),  # one corpus: its speakers
        (["1.wav#0-8000", "1.wav#8000-9000", "2.wav"], [0, 0, 1]),  # one folder: its files
    ],
)
def test_a_source_is_the_first_folder_that_differs(tmp_path: Path, names: list[str], expected: list[int]) -> None:
    cache = write_cache(tmp_path / "c", draw_embeddings(3, 1, 1, seed=0), names, kind="training")
    assert sources(cache).tolist() == expected


def test_halves_are_of_whole_sources_and_even() -> None:
    source = torch.tensor([0] * 50 + [1] * 30 + [2] * 25 + [3] * 5)
    first, second = halves(source)
    assert torch.equal(first, ~second)
    assert sorted((int(first.sum()), int(second.sum()))) == [55, 55]
    assert not set(source[first].tolist()) & set(source[second].tolist())


def test_the_ridge_is_the_solution_of_its_least_squares() -> None:
    rows = torch.from_numpy(draw_embeddings(40, 1, 1, seed=2)).double()
    rows = rows - rows[:, 0].mean(0)
    y, x = rows.flatten(0, 1), rows[:, :1].expand_as(rows).flatten(0, 1)
    found = ridge_matrix(y.T @ y, y.T @ x)
    penalty = (0.1 * (y.T @ y).diagonal().mean()).sqrt()
    stacked = torch.linalg.lstsq(torch.cat((y, penalty * torch.eye(D))), torch.cat((x, torch.zeros(D, D)))).solution
    torch.testing.assert_close(found, stacked.T)


def test_the_contrast_tells_utterances_apart_that_the_ridge_confuses() -> None:
    rows = torch.from_numpy(draw_embeddings(60, 2, 3, seed=0, noise=3.0))
    rows = rows - rows[:, 0].mean(0)
    codes = torch.arange(120).repeat_interleave(3)

    def error(params: TrainParams) -> float:
        skip = fit_skip(rows, codes, codes, params)
        fresh = torch.from_numpy(draw_embeddings(60, 2, 2, seed=7, noise=3.0))
        pairs = torch.arange(120).repeat_interleave(2)
        found = judge(
            lambda rows, _: functional.normalize(rows @ skip.T, dim=-1), fresh, pairs, torch.zeros_like(pairs)
        )
        return found[0].noisy

    assert error(TrainParams()) < error(TrainParams(skip="ridge"))


def test_utterances_of_one_group_are_never_told_apart() -> None:
    rows = torch.from_numpy(draw_embeddings(2, 20, 1, seed=0))
    codes, one = torch.arange(40), torch.zeros(40, dtype=torch.int64)
    # With all utterances in one group there is nothing to contrast: the weight of the contrast cannot matter.
    weak, strong = (fit_skip(rows, codes, one, TrainParams(contrast=weight)) for weight in (0.0, 5.0))
    torch.testing.assert_close(weak, strong)
    assert not torch.allclose(strong, fit_skip(rows, codes, codes, TrainParams(contrast=5.0)), atol=1e-3)


def test_speakers_that_are_known_are_the_groups(tmp_path: Path) -> None:
    cache = training_cache(tmp_path / "c", speakers=3, utterances=2)
    groups = speakers_or_files(open_cache(tmp_path / "c"))
    assert len(groups) == len(set(groups.tolist())) == cache.info.utterances == 6  # no labels: the files
    assert len(VARIANTS) == 3


def test_the_trainings_that_judge_tell_how_far_they_are_and_go_on(tmp_path: Path) -> None:
    cache = sourced_cache(tmp_path / "c", draw_embeddings(60, 3, 3, seed=0), ["a", "b"])
    params = PARAMS.replace(epochs=3)
    told: list[tuple[int, int]] = []

    def note(point: TrainingPoint, steps: int) -> None:
        told.append((point.step, steps))
        if len(told) == 4:
            raise KeyboardInterrupt

    job = TrainingJob("seed", cache, tmp_path / "m", Params(train=params), torch.device("cpu"), checks=lambda: note)
    with pytest.raises(KeyboardInterrupt):
        fit_network(job)
    fitted = fit_network(job)
    steps = [step for step, _ in told]
    assert told[-1][0] == told[-1][1], "both of them, to the end"
    assert steps == sorted(set(steps)), "nothing is done again"
    whole = fit_network(TrainingJob("seed", cache, tmp_path / "n", Params(train=params), torch.device("cpu")))
    assert fitted.remarks == whole.remarks


def test_the_trainings_that_judge_take_together_the_time_of_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = sourced_cache(tmp_path / "c", draw_embeddings(90, 3, 3, seed=0), ["a", "b", "b"])
    lengths: list[int] = []
    points = Trainer.points

    def counted_points(self: Trainer) -> Iterator[TrainingPoint]:
        lengths.append(self.steps)
        return points(self)

    monkeypatch.setattr(Trainer, "points", counted_points)
    params = PARAMS.replace(steps=60)
    fit_network(TrainingJob("seed", cache, tmp_path / "m", Params(train=params), torch.device("cpu")))
    whole, *halves = lengths
    assert whole == 60
    assert len(halves) == 2
    assert sum(halves) == pytest.approx(whole, abs=6), "the rows that are held out are not the same ones"
    assert max(halves) > 1.5 * min(halves), "the larger half takes more"
