"""Training from arrays, and lists and texts where arrays and paths are meant."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from synthetic import QUICK, D, draw_embeddings, enhancer, training_cache

import seedpipe
from seedpipe.cache.exchange import Vectors, import_cache, read_vectors, write_vectors
from seedpipe.enhancers import Enhancer, load_enhancer, train_on_cache
from seedpipe.errors import ExchangeError, ModelError
from seedpipe.params import MachineParams, Params, TrainParams
from seedpipe.scoring import cosine_scores, pair_scores

PARAMS = Params(train=QUICK, machine=MachineParams(device="cpu"))
SPEAKERS, UTTERANCES, DRAWS = 30, 2, 2
ROWS = draw_embeddings(SPEAKERS, UTTERANCES, DRAWS, seed=0).reshape(SPEAKERS * UTTERANCES, DRAWS, 3, D)
CLEAN, NOISY = ROWS[:, :, 0], ROWS[:, :, 1:]


def close(a: Any, b: Any) -> bool:
    return bool(np.abs(np.asarray(a) - np.asarray(b)).max() < 1e-5)


@pytest.mark.parametrize("form", [np.asarray, torch.from_numpy, np.ndarray.tolist])
def test_arrays_train_what_a_cache_of_them_trains(tmp_path: Path, form: Any) -> None:
    cache = training_cache(tmp_path / "cache", speakers=SPEAKERS, utterances=UTTERANCES, draws=DRAWS)
    expected, _ = train_on_cache("whitening", cache, tmp_path / "expected", PARAMS)
    found, result = seedpipe.train_enhancer(form(CLEAN), form(NOISY), kind="whitening", params=PARAMS)
    assert close(found(NOISY), expected(NOISY))
    assert result.rows == 96


def test_seed_is_trained_and_written_where_it_is_asked_for(tmp_path: Path) -> None:
    found, result = seedpipe.train_enhancer(CLEAN, NOISY, str(tmp_path / "model"), PARAMS, network="mine")
    before, after = result.held_out_eer or (0.0, 1.0)
    assert after < before
    assert (load_enhancer(tmp_path / "model")(NOISY) == found(NOISY)).all()
    assert found.config.network.name == "mine"
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_one_clean_embedding_stands_for_all_draws() -> None:
    once = CLEAN[:, 0]
    repeated = np.repeat(once[:, None], DRAWS, axis=1)
    both = [seedpipe.train_enhancer(clean, NOISY, kind="ridge", params=PARAMS)[0] for clean in (once, repeated)]
    assert (both[0](NOISY) == both[1](NOISY)).all()


def test_speakers_are_known_to_the_training() -> None:
    speakers = [f"s{number // UTTERANCES}" for number in range(len(CLEAN))]
    params = PARAMS.model_copy(update={"enhancers": PARAMS.enhancers.model_copy()})
    found, _ = seedpipe.train_enhancer(CLEAN, NOISY, kind="drl", params=params, speakers=speakers)
    assert found.kind == "drl"


@pytest.mark.parametrize(
    ("clean", "noisy", "options", "text"),
    [
        (CLEAN, NOISY[:, :, 0], {}, r"noisy ones \(60, 2, 16\)"),
        (CLEAN[:, 0, 0], NOISY, {}, r"clean embeddings have the shape \(60,\)"),
        (CLEAN[:50], NOISY, {}, r"expected clean ones \(60, 2, 16\)"),
        (CLEAN[:, :1], NOISY, {}, r"expected clean ones \(60, 2, 16\)"),
        (CLEAN[:, 0, :5], NOISY, {}, r"expected clean ones \(60, 16\)"),
        (CLEAN, NOISY[:0], {}, "have the shape"),
        (CLEAN * [[[np.nan]]], NOISY, {}, "are not finite: 0000000#0 \\(clean\\)"),
        (CLEAN, NOISY * 0, {}, "are all zero"),
        ([[1.0], [1.0, 2.0]], NOISY, {}, "clean embeddings are no array of numbers"),
        (np.ma.masked_array(CLEAN, CLEAN > 1.0), NOISY, {}, "clean embeddings are a masked array"),
        (CLEAN, NOISY * 1j, {}, "noisy embeddings are complex numbers"),
        (CLEAN, NOISY, {"speakers": ["a"]}, "1 speaker"),
        (CLEAN, NOISY, {"speakers": [""] * 60}, "without a name"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(
    clean: Any, noisy: NDArray[np.float32], options: dict[str, Any], text: str
) -> None:
    with pytest.raises(ExchangeError, match=text):
        seedpipe.train_enhancer(clean, noisy, kind="whitening", params=PARAMS, **options)


# -------------------------------------------------------------------------------------------------------- scikit-learn


def transformer(**options: Any) -> Any:
    pytest.importorskip("sklearn")
    from seedpipe.enhancers import SeedTransformer

    return SeedTransformer(params=PARAMS, **options)


def test_the_transformer_trains_on_rows_and_on_draws() -> None:
    expected, _ = seedpipe.train_enhancer(CLEAN, NOISY, params=PARAMS)
    flat = NOISY.reshape(-1, D)
    assert close(transformer().fit(NOISY, CLEAN).transform(flat), expected(flat))
    rows = NOISY[:, :, 0].reshape(-1, D)
    clean = np.repeat(CLEAN[:, 0], DRAWS, axis=0)
    found = transformer().fit(rows, clean)
    distinct, order = np.unique(CLEAN[:, 0], axis=0, return_index=True)
    expected, _ = seedpipe.train_enhancer(distinct, NOISY[order][:, :, :1], params=PARAMS)
    assert close(found.transform(rows), expected(rows))
    assert found.n_features_in_ == D


def test_the_transformer_needs_a_model_or_clean_embeddings(tmp_path: Path) -> None:
    rows = NOISY[:, 0, 0]
    with pytest.raises(ModelError, match="there is no model"):
        transformer().fit(rows)
    with pytest.raises(ModelError, match="there is no model"):
        transformer().fit(rows, np.arange(len(rows)))
    with pytest.raises(ModelError, match="embeddings are a masked array"):
        transformer().fit(NOISY, CLEAN).transform(np.ma.masked_array(rows, rows > 1.0))
    with pytest.raises(ExchangeError, match="a clean one for each noisy one"):
        transformer().fit(rows, CLEAN[:-1, 0])
    with pytest.raises(ExchangeError, match="clean embeddings stand 1 to 2 times"):
        transformer().fit(rows, np.concatenate((CLEAN[:1, 0], CLEAN[:-1, 0])))
    enhancer().save(tmp_path / "model", "# Card\n")
    labels = np.stack((np.arange(len(rows)), np.arange(len(rows))), axis=1)
    assert (transformer(model=str(tmp_path / "model")).fit(rows, labels).transform(rows) == enhancer()(rows)).all()


# ----------------------------------------------------------------------------------------------------- lists and texts


def test_lists_are_arrays(tmp_path: Path) -> None:
    rows = NOISY[:3, 0, 0]
    whitening, _ = seedpipe.train_enhancer(CLEAN, NOISY, kind="whitening", params=PARAMS)
    for model in (enhancer(), whitening):
        assert (model(rows.tolist()) == model(rows)).all()
        assert model(rows[0].tolist()).shape == (D,)
        with pytest.raises(ModelError, match="no array of numbers"):
            model([[1.0], [1.0, 2.0]])
        with pytest.raises(ModelError, match="embeddings have the shape"):
            model([])
    enhancer().save(str(tmp_path / "model"), "# Card\n")
    assert (Enhancer.load(str(tmp_path / "model"))(rows) == enhancer()(rows)).all()


def test_texts_are_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names = np.array([f"u{number}" for number in range(len(CLEAN))])
    for variant, rows in (("clean", CLEAN), ("noise", NOISY[:, :, 0])):
        np.savez(f"{variant}.npz", embeddings=rows[:, 0], utterance=names)
    files = {"clean": "clean.npz", "noise": "noise.npz"}
    cache = import_cache("cache", files, kind="training", network="mine")
    model, _ = train_on_cache("ridge", cache, "model", Params(train=TrainParams()))
    again, _ = seedpipe.train_enhancer(CLEAN[:, 0], NOISY[:, :1, :1], kind="ridge", network="mine")
    assert model.config.network == again.config.network
    assert close(model(NOISY), again(NOISY))


def test_scores_and_files_take_lists_too(tmp_path: Path) -> None:
    rows = NOISY[:3, :, 0]
    numbers = [0, 1, 2], [1, 2, 0]
    expected = pair_scores(rows, rows, np.array(numbers[0]), np.array(numbers[1]), "cosine")
    assert (pair_scores(rows.tolist(), torch.from_numpy(rows), *numbers, "cosine") == expected).all()  # type: ignore[arg-type]
    assert close(cosine_scores(rows.tolist(), rows.tolist()), 1.0)  # type: ignore[arg-type]
    place = str(tmp_path / "rows.npz")
    write_vectors(Vectors(place, [("a", 0), ("b", 0)], [[1.0, 2.0], [3.0, 4.0]]))  # type: ignore[arg-type]
    assert read_vectors(place).values.tolist() == [[1.0, 2.0], [3.0, 4.0]]
