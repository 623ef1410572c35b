"""seedpipe.enhancers: one interface for every enhancer, from training over the folder to use."""

from __future__ import annotations

import json
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from synthetic import (
    QUICK,
    D,
    contents,
    draw_embeddings,
    enhancer,
    evaluation_cache,
    network_info,
    training_cache,
    without_digests,
)

from seedpipe.cache import Cache
from seedpipe.enhancers import EmbeddingEnhancer, FixedMap, TrainingResult, enhance_file, load_enhancer, train_on_cache
from seedpipe.enhancers.seed import Enhancer
from seedpipe.errors import BusyError, CacheError, CacheMismatchError, ModelError
from seedpipe.files import locked
from seedpipe.params import DRLParams, EnhancerKind, EnhancersParams, Params, WhiteningParams

KINDS: tuple[EnhancerKind, ...] = get_args(EnhancerKind)
BASELINES = ("whitening", "drl", "none")
PARAMS = Params(
    train=QUICK.model_copy(update={"epochs": 3}),
    enhancers=EnhancersParams(speaker_pattern=r"(speaker\d+)/", drl=DRLParams(epochs=2)),
)
Trained = dict[str, tuple[EmbeddingEnhancer, TrainingResult, Path]]


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Cache:
    return training_cache(tmp_path_factory.mktemp("caches") / "train")


@pytest.fixture(scope="module")
def trained(cache: Cache, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    base = tmp_path_factory.mktemp("models")
    return {kind: (*train_on_cache(kind, cache, base / kind, PARAMS), base / kind) for kind in KINDS}


@pytest.mark.parametrize("kind", KINDS)
def test_a_loaded_model_is_exactly_the_one_that_was_trained(trained: Trained, kind: str) -> None:
    model, _, folder = trained[kind]
    loaded = load_enhancer(folder)
    rows = draw_embeddings(3, 2, 1, seed=9)
    assert (loaded.kind, loaded.dimension, loaded.config) == (kind, D, model.config)
    assert loaded.config.network == network_info()
    assert (loaded(rows) == model(rows)).all()
    assert repr(loaded)


@pytest.mark.parametrize("kind", KINDS)
def test_all_hold_out_the_same_rows_and_give_the_same_figures(trained: Trained, kind: str) -> None:
    result = trained[kind][1]
    assert (result.rows, result.held_out_rows) == (576, 144)
    assert result.held_out_eer is not None
    assert trained["none"][1].held_out_eer == (result.held_out_eer[0],) * 2
    assert json.loads(json.dumps(result.as_dict(), allow_nan=False)) == result.as_dict()


@pytest.mark.parametrize("kind", KINDS)
def test_a_model_folder_has_a_card_and_a_curve_where_there_were_epochs(trained: Trained, kind: str) -> None:
    _, result, folder = trained[kind]
    files = contents(folder)
    assert set(files) == {"README.md", "config.json", "model.safetensors"} | ({"curve.csv"} if result.curve else set())
    assert len(result.curve) == {"seed": 3, "regression": 3, "drl": 2}.get(kind, 0)
    card = files["README.md"].decode()
    for part in ("`toy`", "ffffffffffffffff", "Limits", "240 labelled" if kind == "drl" else "240 unlabelled"):
        assert part in card


def test_the_parameters_are_counted(trained: Trained) -> None:
    counts = {kind: model.parameters for kind, (model, _, _) in trained.items()}
    assert counts["seed"] == counts["regression"]
    assert counts["whitening"] == D + D * D
    assert counts["drl"] == 4 * D + 2 * D * (D + 1)  # a batch norm with its statistics, and the linear layer
    assert counts["none"] == 0


@pytest.mark.parametrize("kind", KINDS)
@given(
    rows=arrays.arrays(
        np.float32,
        st.lists(st.integers(0, 3), max_size=3).map(lambda shape: (*shape, D)),
        elements=st.floats(-10, 10, width=32),
    )
)
@settings(max_examples=15, deadline=None)
def test_any_shape_comes_back_at_unit_length(trained: Trained, kind: str, rows: np.ndarray) -> None:
    model = trained[kind][0]
    rows[..., 0] += 20.0  # a vector of zeros has no direction
    enhanced = model(rows)
    assert (enhanced.shape, enhanced.dtype) == (rows.shape, np.float32)
    np.testing.assert_allclose(np.linalg.norm(enhanced, axis=-1), 1.0, atol=1e-5)
    assert (model(torch.from_numpy(rows)).numpy() == enhanced).all()


@pytest.mark.parametrize("kind", KINDS)
def test_wrong_embeddings_are_refused(trained: Trained, kind: str) -> None:
    model = trained[kind][0]
    for shape in ((3, D + 1), (D - 1,), ()):
        with pytest.raises(ModelError, match=rf"expected \(\.\.\., {D}\) from the network toy"):
            model(np.ones(shape, dtype=np.float32))
    with pytest.raises(ModelError, match="not finite"):
        model(np.full((2, D), np.nan, dtype=np.float32))
    for partly, text in (  # of these float32 would keep a part
        (np.ma.masked_array(np.ones((2, D)), [[True] * D, [False] * D]), "are a masked array"),
        (np.full((2, D), 1 + 2j), "are complex numbers"),
        (torch.full((2, D), 1 + 2j), "are complex numbers"),
        ([[1 + 2j] * D], "are complex numbers"),
    ):
        with pytest.raises(ModelError, match=f"embeddings {text}"):
            model(partly)


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_no_generator_is_refused(trained: Trained, kind: str) -> None:
    for wrong in (50, np.random.default_rng(0)):  # a t by position would be ignored where no noise is sampled
        with pytest.raises(ModelError, match=r"the generator is of the type \w+; expected a torch.Generator"):
            trained[kind][0](np.ones((2, D)), wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", KINDS)
def test_a_cache_of_another_network_is_refused(trained: Trained, kind: str, tmp_path: Path) -> None:
    model = trained[kind][0]
    assert model.expect(evaluation_cache(tmp_path / "same", speakers=2)) is model
    other = evaluation_cache(tmp_path / "other", speakers=2, network=network_info(fingerprint="e" * 64))
    with pytest.raises(CacheMismatchError, match="network fingerprint"):
        model.expect(other)


@pytest.mark.parametrize("kind", BASELINES)
def test_the_same_seed_gives_the_same_bytes(cache: Cache, trained: Trained, kind: EnhancerKind, tmp_path: Path) -> None:
    before = torch.get_rng_state()
    torch.rand(3)
    state = torch.get_rng_state()
    train_on_cache(kind, cache, tmp_path / "again", PARAMS)
    assert torch.equal(torch.get_rng_state(), state), "the state that others share is untouched"
    torch.set_rng_state(before)
    again, first = contents(tmp_path / "again"), contents(trained[kind][2])
    assert again.keys() == first.keys()
    assert all(again[name] == first[name] for name in again if name != "README.md")


@pytest.mark.parametrize("kind", BASELINES)
def test_an_evaluation_cache_and_a_foreign_folder_are_refused(cache: Cache, kind: EnhancerKind, tmp_path: Path) -> None:
    with pytest.raises(CacheMismatchError, match="kind is 'evaluation'; expected 'training'"):
        train_on_cache(kind, evaluation_cache(tmp_path / "c"), tmp_path / "m", PARAMS)
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter1.tex").write_text("precious")
    with pytest.raises(ModelError, match=r"chapter1\.tex"):
        train_on_cache(kind, cache, tmp_path / "thesis", PARAMS)
    assert not (tmp_path / "m").exists()
    assert (tmp_path / "thesis" / "chapter1.tex").read_text() == "precious"


def test_a_model_that_another_process_trains_is_left_alone(cache: Cache, tmp_path: Path) -> None:
    with locked(tmp_path / "m"), pytest.raises(BusyError):
        train_on_cache("none", cache, tmp_path / "m", PARAMS)
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ModelError, match="cannot be written"):
        train_on_cache("none", cache, tmp_path / "file" / "m", PARAMS)


def test_paths_may_be_text(cache: Cache, tmp_path: Path) -> None:
    folder, source, out = (str(tmp_path / name) for name in ("m", "in.npy", "out.npy"))
    model, _ = train_on_cache("none", cache, folder, PARAMS)
    rows = draw_embeddings(2, 1, 1, seed=3)[:, 0]
    np.save(source, rows)
    assert enhance_file(folder, source, out).files == (Path(out),)
    assert (np.load(out) == model(rows)).all()
    assert type(load_enhancer(folder)) is type(FixedMap.load(folder)) is FixedMap


def test_an_unknown_kind_is_refused(cache: Cache, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="there is no enhancer 'magic'; expected one of seed, regression"):
        train_on_cache("magic", cache, tmp_path / "m", PARAMS)
    assert not (tmp_path / "m").exists()


def test_a_new_model_replaces_one_of_another_kind(cache: Cache, tmp_path: Path) -> None:
    enhancer().save(tmp_path / "m", "old card")
    train_on_cache("whitening", cache, tmp_path / "m", PARAMS)
    assert load_enhancer(tmp_path / "m").kind == "whitening"


@pytest.mark.parametrize(
    ("kind", "update"), [("drl", {}), ("whitening", {"whitening": WhiteningParams(covariance="lda")})]
)
def test_a_cache_without_speaker_labels_is_refused(
    cache: Cache, tmp_path: Path, kind: EnhancerKind, update: dict[str, object]
) -> None:
    params = PARAMS.model_copy(update={"enhancers": EnhancersParams.model_validate(update)})
    with pytest.raises(CacheError, match=r"speaker of 720 of 720 rows is unknown.*enhancers\.speaker_pattern"):
        train_on_cache(kind, cache, tmp_path / "m", params)
    assert not (tmp_path / "m").exists()


def test_a_folder_that_says_no_kind_is_seed(tmp_path: Path) -> None:
    enhancer().save(tmp_path / "m", "# Card\n")
    config = json.loads((without_digests(tmp_path / "m") / "config.json").read_text())
    assert config.pop("kind") == "seed"
    (tmp_path / "m" / "config.json").write_text(json.dumps(config))
    assert isinstance(load_enhancer(tmp_path / "m"), Enhancer)
    assert load_enhancer(tmp_path / "m").kind == "seed"


@pytest.mark.parametrize("text", ["{", "[1]", '{"kind": "magic"}', '{"kind": "none"}', "", None])
def test_a_folder_that_is_no_model_is_refused(tmp_path: Path, text: str | None) -> None:
    (tmp_path / "m").mkdir()
    if text is not None:
        (tmp_path / "m" / "config.json").write_text(text)
    with pytest.raises(ModelError, match="is no model"):
        load_enhancer(tmp_path / "m")


def test_weights_that_do_not_fit_are_refused(trained: Trained, tmp_path: Path) -> None:
    model = trained["whitening"][0]
    assert isinstance(model, FixedMap)
    wide = model.config.model_copy(update={"network": network_info(dimension=D + 1)})
    FixedMap(model.module, wide).save(tmp_path / "m", "# Card\n")
    with pytest.raises(ModelError, match="the weights do not fit"):
        load_enhancer(tmp_path / "m")


@pytest.mark.parametrize(
    ("kind", "other", "line"),
    [
        ("whitening", Enhancer, "kind whitening; expected seed or regression; seedpipe.load_enhancer opens every kind"),
        ("seed", FixedMap, "is a model of the kind seed; expected centering"),
    ],
)
def test_a_class_names_the_kinds_that_it_loads(
    trained: Trained, kind: str, other: type[EmbeddingEnhancer], line: str
) -> None:
    with pytest.raises(ModelError, match=line):
        other.load(trained[kind][2])
