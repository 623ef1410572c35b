"""seedpipe.enhancers: what each kind of enhancer does to embeddings whose structure is known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy import stats
from sklearn.linear_model import LogisticRegression
from synthetic import QUICK, VARIANTS, D, contents, draw_embeddings, training_cache, utterance_names, write_cache

from seedpipe import metrics
from seedpipe.cache import Cache
from seedpipe.enhancers import EmbeddingEnhancer, train_on_cache
from seedpipe.enhancers.base import TrainingPoint
from seedpipe.enhancers.drl import _Draws, _Groups
from seedpipe.enhancers.labels import environments, speakers
from seedpipe.enhancers.seed import Enhancer
from seedpipe.errors import CacheError, ModelError
from seedpipe.params import DRLParams, EnhancersParams, Params, WhiteningParams

Rows = NDArray[np.float32]
NO_SHRINKAGE = {"shrinkage": 0.0}


def whitening(cache: Cache, out: Path, *, pattern: str = "", **settings: object) -> EmbeddingEnhancer:
    params = Params(
        train=QUICK.model_copy(update={"validation_share": 0.0}),
        enhancers=EnhancersParams(speaker_pattern=pattern, whitening=WhiteningParams.model_validate(settings)),
    )
    return train_on_cache("whitening", cache, out, params)[0]


def unit(rows: Rows) -> Rows:
    return rows / np.linalg.norm(rows, axis=-1, keepdims=True)


def cosines(rows: Rows) -> NDArray[np.float64]:
    flat = unit(rows.reshape(-1, rows.shape[-1]).astype(np.float64))
    return flat @ flat.T


def white_sources(count: int, dimension: int = D) -> Rows:
    """Vectors with mean 0 and covariance I exactly."""
    drawn = np.random.default_rng(3).standard_normal((count, dimension))
    drawn -= drawn.mean(axis=0)
    return np.linalg.qr(drawn)[0] * np.sqrt(count)


def distorted(sources: Rows) -> Rows:
    """A s + b, with an A that stretches directions by factors from 0.2 to 5."""
    rng = np.random.default_rng(4)
    turn, other = (np.linalg.qr(rng.standard_normal((D, D)))[0] for _ in range(2))
    return sources @ (turn * np.geomspace(0.2, 5, D) @ other).T + rng.standard_normal(D)


def test_none_is_the_identity_at_unit_length(tmp_path: Path) -> None:
    cache = training_cache(tmp_path / "c", speakers=4)
    model, _ = train_on_cache("none", cache, tmp_path / "m", Params(train=QUICK))
    rows = draw_embeddings(2, 2, 2, seed=7)
    np.testing.assert_allclose(model(rows), unit(rows), atol=1e-6)


def test_whitening_undoes_a_linear_distortion(tmp_path: Path) -> None:
    sources = white_sources(200)
    clean = distorted(sources)
    rows = np.stack((clean, clean + 1), axis=1).astype(np.float32)
    cache = write_cache(tmp_path / "c", rows, utterance_names(50, 4), kind="training")
    model = whitening(cache, tmp_path / "m", covariance="total", **NO_SHRINKAGE)
    np.testing.assert_allclose(cosines(model(rows[:, 0])), cosines(sources), atol=1e-4)
    assert np.abs(cosines(rows[:, 0]) - cosines(sources)).max() > 0.5


def test_within_whitening_makes_the_spread_of_an_utterance_round(tmp_path: Path) -> None:
    sources = white_sources(240).reshape(20, 12, D)
    sources -= sources.mean(axis=1, keepdims=True)
    centers = np.random.default_rng(5).standard_normal((20, 1, D))
    rows = distorted(sources + centers).reshape(-1, 3, D).astype(np.float32)
    cache = write_cache(tmp_path / "c", rows, utterance_names(20, 1), kind="training", shard_rows=4 * 7)
    model = whitening(cache, tmp_path / "m", covariance="within", **NO_SHRINKAGE)
    whitened = model.module(torch.from_numpy(rows).flatten(0, 1)).numpy().reshape(20, 12, D)
    apart = (whitened - whitened.mean(axis=1, keepdims=True)).reshape(-1, D)
    np.testing.assert_allclose(apart.T @ apart / (20 * 11), np.eye(D), atol=1e-3)


def test_lda_keeps_the_directions_that_tell_speakers_apart(tmp_path: Path) -> None:
    rng = np.random.default_rng(6)
    speaker = np.zeros((40, 1, 1, D))
    speaker[..., :3] = 3 * rng.standard_normal((40, 1, 1, 3))
    sources = speaker + rng.standard_normal((40, 6, 3, D))
    rows = distorted(sources)
    flat = rows.reshape(-1, 3, D).astype(np.float32)
    cache = write_cache(tmp_path / "c", flat, utterance_names(40, 2), kind="training")
    model = whitening(cache, tmp_path / "m", pattern=r"(speaker\d+)/", covariance="lda", dimension=3, **NO_SHRINKAGE)
    enhanced = model(flat)
    assert (enhanced[..., 3:] == 0).all()
    new = np.zeros((30, D))
    new[:, :3] = rng.standard_normal((30, 3))
    mapped = model(distorted(10 * new).astype(np.float32))
    error = [np.abs(cosines(some) - cosines(new)).mean() for some in (mapped, distorted(10 * new))]
    assert error[0] < 0.5 * error[1]


def test_whitening_goes_through_shards_as_through_one(tmp_path: Path) -> None:
    rows, names = draw_embeddings(20, 3, 2, seed=1), utterance_names(20, 3)
    one = write_cache(tmp_path / "one", rows, names, kind="training", shard_rows=1_000)
    many = write_cache(tmp_path / "many", rows, names, kind="training", shard_rows=6)
    for number, covariance in enumerate(("total", "within", "lda")):
        models = [
            whitening(cache, tmp_path / f"{number}{cache.path.name}", covariance=covariance, pattern="(speaker..)/")
            for cache in (one, many)
        ]
        np.testing.assert_allclose(cosines(models[0](rows)), cosines(models[1](rows)), atol=1e-4)


def test_whitening_without_enough_rows_is_refused(tmp_path: Path) -> None:
    rows = draw_embeddings(3, 1, 1, seed=1)
    cache = write_cache(tmp_path / "c", rows, utterance_names(3, 1), kind="training")
    with pytest.raises(ModelError, match=r"directions without variance.*shrinkage"):
        whitening(cache, tmp_path / "m", **NO_SHRINKAGE)
    assert np.isfinite(whitening(cache, tmp_path / "m")(rows)).all()


@pytest.mark.parametrize(("covariance", "dimension", "most"), [("total", D + 1, D), ("within", 99, D), ("lda", 10, 9)])
def test_more_directions_than_there_are_are_refused(tmp_path: Path, covariance: str, dimension: int, most: int) -> None:
    cache = training_cache(tmp_path / "c", speakers=10)
    with pytest.raises(ModelError, match=rf"whitening\.dimension is {dimension}; expected at most {most}"):
        whitening(cache, tmp_path / "m", covariance=covariance, dimension=dimension, pattern=r"(speaker\d+)/")


def test_a_regression_learns_a_known_map(tmp_path: Path) -> None:
    clean = np.random.default_rng(8).standard_normal((600, D))
    offsets = 8 * np.linalg.qr(np.random.default_rng(9).standard_normal((D, 2)))[0].T
    rows = np.stack((clean, clean + offsets[0], clean + offsets[1]), axis=1).astype(np.float32)
    cache = write_cache(tmp_path / "c", rows, utterance_names(150, 4), kind="training")
    update = {"ensemble": 1.0, "adaptive_ensemble": False, "validation_share": 0.0, "normalize": "none"}
    params = Params(train=QUICK.model_copy(update=update))
    model, _ = train_on_cache("regression", cache, tmp_path / "m", params)
    reached = (model(rows[:, 1:]) * unit(rows[:, :1])).sum(axis=-1)
    assert reached.mean() > 0.9
    assert (unit(rows[:, 1:]) * unit(rows[:, :1])).sum(axis=-1).mean() < 0.5


def test_a_regression_has_no_timesteps_and_draws_no_noise(tmp_path: Path) -> None:
    cache = training_cache(tmp_path / "c", speakers=6)
    train = QUICK.model_copy(update={"epochs": 1, "inference_noise": "sampled", "prediction": "v"})
    model, _ = train_on_cache("regression", cache, tmp_path / "m", Params(train=train))
    rows = draw_embeddings(2, 1, 1, seed=3)
    assert isinstance(model, Enhancer)
    assert (model(rows) == model(rows)).all()
    assert not (model(rows, ensemble=0.9) == model(rows)).all()
    for given in ({"t": 50}, {"steps": 2}, {"noise": "sampled"}):
        with pytest.raises(ModelError, match="it has no timesteps and no noise"):
            model(rows, torch.Generator(), **given)


def test_a_regression_and_seed_do_not_share_a_checkpoint(tmp_path: Path) -> None:
    cache = training_cache(tmp_path / "c", speakers=6)
    params = Params(train=QUICK.model_copy(update={"epochs": 2}))

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_on_cache("seed", cache, tmp_path / "m", params, progress=stop)
    seen: list[int] = []
    train_on_cache("regression", cache, tmp_path / "m", params, progress=lambda point, _: seen.append(point.step))
    assert len(seen) == 2


def test_an_interrupted_regression_ends_as_an_undisturbed_one(tmp_path: Path) -> None:
    cache = training_cache(tmp_path / "c", speakers=6)
    params = Params(train=QUICK.model_copy(update={"epochs": 3}))

    def stop(point: TrainingPoint, _: int) -> None:
        if point.step == 2 * steps:
            raise KeyboardInterrupt

    _, undisturbed = train_on_cache("regression", cache, tmp_path / "a" / "m", params)
    steps = undisturbed.curve[0].step
    with pytest.raises(KeyboardInterrupt):
        train_on_cache("regression", cache, tmp_path / "b" / "m", params, progress=stop)
    seen: list[int] = []
    train_on_cache("regression", cache, tmp_path / "b" / "m", params, progress=lambda point, _: seen.append(point.step))
    assert seen == [3 * steps]
    assert contents(tmp_path / "a") == contents(tmp_path / "b")


def speaker_and_environment(count: int, utterances: int, seed: int) -> Rows:
    """Embeddings that are a speaker part, an environment part that all speakers share, and a little noise."""
    rng = np.random.default_rng(seed)
    environment = np.random.default_rng(99).standard_normal((len(VARIANTS), D))
    speaker = rng.standard_normal((count, 1, 1, D)) + 0.3 * rng.standard_normal((count, utterances, 1, D))
    noise = 0.3 * rng.standard_normal((count, utterances, len(VARIANTS), D))
    apart = 0.6 * (environment - environment.mean(axis=0))
    return (speaker + apart + noise).reshape(-1, len(VARIANTS), D).astype(np.float32)


def found_environments(rows: Rows) -> int:
    """How many environments of the second half a linear classifier finds that has learnt from the first half."""
    half, numbers = len(rows) // 2, np.arange(len(VARIANTS))
    probe = LogisticRegression(max_iter=1000)
    probe.fit(unit(rows[:half]).reshape(-1, D), np.tile(numbers, half))
    found = probe.predict(unit(rows[half:]).reshape(-1, D))
    return int((found == np.tile(numbers, len(rows) - half)).sum())


def same_speaker_eer(rows: Rows) -> float:
    """EER of embeddings in a noisy environment against clean ones, an utterance for each speaker."""
    scores = np.concatenate([unit(rows[:, v]) @ unit(rows[:, 0]).T for v in (1, 2)])
    return metrics.eer(scores.ravel(), np.tile(np.eye(len(rows), dtype=np.int8), (2, 1)).ravel())


@pytest.fixture(scope="module")
def mixed_cache(tmp_path_factory: pytest.TempPathFactory) -> Cache:
    rows, names = speaker_and_environment(150, 6, 0), utterance_names(150, 6)
    return write_cache(tmp_path_factory.mktemp("caches") / "mixed", rows, names, kind="training")


@pytest.mark.parametrize(("adversary", "found"), [(2.0, False), (0.0, True)])
def test_the_adversary_hides_the_environment_from_a_fresh_probe(
    mixed_cache: Cache, tmp_path: Path, adversary: float, found: bool
) -> None:
    params = Params(
        train=QUICK.model_copy(update={"validation_share": 0.0}),
        enhancers=EnhancersParams(speaker_pattern=r"(speaker\d+)/", drl=DRLParams(epochs=60, adversary=adversary)),
    )
    model, result = train_on_cache("drl", mixed_cache, tmp_path / "m", params)
    assert result.curve[-1].loss < result.curve[0].loss
    new = speaker_and_environment(200, 1, 7)
    assert same_speaker_eer(model(new)) < 0.5 * same_speaker_eer(new)
    low, high = stats.binom.interval(0.99, 300, 1 / len(VARIANTS))
    assert found_environments(new) > 1.5 * high
    if found:
        assert found_environments(model(new)) > high
    else:
        assert low <= found_environments(model(new)) <= high


def test_batches_are_what_the_losses_assume() -> None:
    rows = torch.arange(60 * 3, dtype=torch.float32).reshape(60, 3, 1)
    codes = np.repeat(np.arange(10), 6)
    where = np.tile(np.arange(3), (60, 1))
    batch = _Draws(rows, codes, where).batch(8, torch.Generator().manual_seed(0))
    items = batch.embeddings[..., 0].long()
    anchor, query, positive, negative = items
    assert batch.paired.all()
    assert len(set(batch.speakers[0].tolist())) == 8
    assert torch.equal(batch.speakers, items // 18)
    assert torch.equal(batch.speakers[0], batch.speakers[1])
    assert (anchor // 3 != query // 3).all()
    assert torch.equal(anchor % 3, positive % 3)
    assert (anchor != positive).all()
    assert torch.equal(positive // 3, negative // 3)
    assert (positive % 3 != negative % 3).all()


def test_an_item_alone_in_its_group_is_its_own_partner() -> None:
    groups = _Groups(torch.tensor([0, 1, 0, 2, 0]))
    others = groups.others(torch.arange(5), torch.Generator().manual_seed(0))
    assert others[[1, 3]].tolist() == [1, 3]
    assert all(other in {0, 2, 4} - {item} for item, other in zip((0, 2, 4), others[[0, 2, 4]].tolist(), strict=True))


def test_a_cache_in_which_no_environment_occurs_twice_is_refused() -> None:
    with pytest.raises(ModelError, match="no environment occurs twice"):
        _Draws(torch.zeros(2, 2, D), np.array([0, 1]), np.arange(4).reshape(2, 2))


def test_a_loss_that_is_not_finite_is_named(tmp_path: Path) -> None:
    cache = training_cache(tmp_path / "c", speakers=6)
    drl = DRLParams(epochs=9).model_copy(update={"learning_rate": 1e30})
    params = Params(train=QUICK, enhancers=EnhancersParams(speaker_pattern=r"(speaker\d+)/", drl=drl))
    with pytest.raises(ModelError, match=r"the loss is (nan|inf).*lower enhancers\.drl\.learning_rate"):
        train_on_cache("drl", cache, tmp_path / "m", params)
    assert not (tmp_path / "m").exists()


def test_speakers_come_from_the_cache_or_from_the_pattern(tmp_path: Path) -> None:
    cache = training_cache(tmp_path / "c", speakers=3, utterances=2, draws=1)
    frame = cache.frame()
    assert speakers(cache, frame, r"(speaker\d+)/").tolist() == [0, 0, 1, 1, 2, 2]
    assert speakers(cache, frame.assign(speaker=list("aabbba")), "").tolist() == [0, 0, 1, 1, 1, 0]
    with pytest.raises(CacheError, match="1 of 6 rows is unknown"):
        speakers(cache, frame.assign(speaker=["a", "b", "", "a", "a", "b"]), "")
    with pytest.raises(CacheError, match=r"speaker00/utterance0\.wav does not fit the pattern 'id\(.\+\)'"):
        speakers(cache, frame, "id(.+)")
    with pytest.raises(CacheError, match="all rows are of the speaker 'speaker'; expected two speakers"):
        speakers(cache, frame, "(speaker)")


def test_an_environment_is_a_variant_with_its_noise_and_its_room(tmp_path: Path) -> None:
    cache = training_cache(tmp_path / "c", speakers=2, utterances=1, draws=2)
    frame = cache.frame().assign(**{"noise:noise": ["a", "b", "a", "a"], "rir:reverb": ["r", "r", "q", "r"]})
    codes = environments(frame, cache.info.variants)
    clean, noise, reverb = codes.T.tolist()
    assert len(set(clean)) == 1
    assert noise[0] == noise[2] == noise[3] != noise[1]
    assert reverb[0] == reverb[1] == reverb[3] != reverb[2]
    assert len({clean[0], *noise, *reverb}) == 5
