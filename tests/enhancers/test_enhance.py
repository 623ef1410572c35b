"""seedpipe.enhancers.seed: what goes in and comes out, and which models are refused."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from synthetic import D, contents, draw_embeddings, enhancer, network_info, training_cache, without_digests
from torch.nn import functional

from seedpipe.cache import Cache
from seedpipe.enhancers import base as module
from seedpipe.enhancers.normalization import Normalization
from seedpipe.enhancers.seed import Enhancer
from seedpipe.errors import CacheMismatchError, ModelError
from seedpipe.files import sealed

ROWS = draw_embeddings(3, 2, 2, seed=7)
KINDS = ("none", "length", "length+center")


def unit(embeddings: np.ndarray) -> np.ndarray:
    return embeddings / np.linalg.norm(embeddings, axis=-1, keepdims=True)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("shape", [(D,), (1, D), (5, D), (2, 3, D), (0, D), (3, 0, D)])
def test_the_kind_and_shape_that_go_in_come_out(shape: tuple[int, ...]) -> None:
    rows = np.random.default_rng(0).standard_normal(shape)
    for dtype in (np.float16, np.float32, np.float64):
        from_numpy = enhancer()(rows.astype(dtype))
        assert isinstance(from_numpy, np.ndarray)
        assert (from_numpy.shape, from_numpy.dtype) == (shape, np.float32)
        from_torch = enhancer()(torch.from_numpy(rows.astype(dtype)))
        assert isinstance(from_torch, torch.Tensor)
        assert (tuple(from_torch.shape), from_torch.dtype) == (shape, torch.float32)
        assert (from_torch.numpy() == from_numpy).all()


@pytest.mark.parametrize("normalize", KINDS)
@pytest.mark.parametrize("ensemble", [0.0, 0.3, 1.0])
def test_results_have_unit_length_and_are_repeatable(normalize: str, ensemble: float) -> None:
    model = enhancer(normalize=normalize, ensemble=ensemble)
    result = model(ROWS)
    assert np.abs(np.linalg.norm(result, axis=-1) - 1).max() < 1e-5
    assert (model(ROWS) == result).all()


def test_the_input_is_left_alone() -> None:
    rows = ROWS.copy()
    enhancer()(rows)
    assert (rows == ROWS).all()


def test_reversed_and_read_only_arrays_are_taken() -> None:
    model, expected = enhancer(), enhancer()(ROWS)
    assert (model(ROWS[::-1]) == expected[::-1]).all()
    frozen = ROWS.copy()
    frozen.flags.writeable = False
    assert (model(frozen) == expected).all()
    assert (model(ROWS.astype(">f8")) == expected).all()


def test_a_tensor_with_gradient_is_taken() -> None:
    rows = torch.from_numpy(ROWS).requires_grad_()
    assert not enhancer()(rows).requires_grad


@pytest.mark.parametrize("normalize", KINDS)
def test_without_ensemble_weight_the_embedding_is_only_normalised(normalize: str) -> None:
    assert np.abs(enhancer(normalize=normalize, ensemble=0.0)(ROWS) - unit(ROWS)).max() < 1e-6


@pytest.mark.parametrize("normalize", KINDS)
@pytest.mark.parametrize("step", [0, 50, 999])
def test_with_full_ensemble_weight_it_is_the_prediction_of_the_network(normalize: str, step: int) -> None:
    model = enhancer(normalize=normalize, ensemble=1.0, inference_step=step)
    scheme, abar = model.config.normalization, model.schedule.alphas_cumprod[step]
    y_0 = scheme(torch.from_numpy(ROWS.reshape(-1, D)))
    with torch.inference_mode():
        prediction = scheme.undo(model.module(abar.sqrt() * y_0, torch.full((len(y_0),), step)))
    assert np.abs(model(ROWS).reshape(-1, D) - unit(prediction.numpy())).max() < 1e-5


def test_between_the_two_it_is_their_weighted_sum() -> None:
    none, full = enhancer(ensemble=0.0)(ROWS), enhancer(ensemble=1.0)(ROWS)
    assert np.abs(enhancer(ensemble=0.25)(ROWS) - unit(0.75 * none + 0.25 * full)).max() < 1e-5


def test_an_adaptive_share_grows_with_what_the_network_changes() -> None:
    none, full = enhancer(ensemble=0.0)(ROWS), enhancer(ensemble=1.0)(ROWS)
    moved = 1 - (none * full).sum(axis=-1, keepdims=True)
    model = enhancer(ensemble=0.4, adaptive_ensemble=True)
    model.config = model.config.model_copy(update={"displacement": float(moved.mean())})
    share = np.clip(0.4 * moved / moved.mean(), 0, 1)
    assert np.abs(model(ROWS) - unit((1 - share) * none + share * full)).max() < 1e-5
    assert share.max() > share.min()


def test_an_adaptive_share_stays_between_the_two() -> None:
    model = enhancer(ensemble=1.0, adaptive_ensemble=True)
    model.config = model.config.model_copy(update={"displacement": 1e-6})
    assert np.abs(model(ROWS) - enhancer(ensemble=1.0)(ROWS)).max() < 1e-5


def test_the_displacement_is_how_far_the_network_moves() -> None:
    moved = 1 - (enhancer(ensemble=0.0)(ROWS) * enhancer(ensemble=1.0)(ROWS)).sum(axis=-1)
    rows = torch.from_numpy(ROWS.reshape(-1, ROWS.shape[-1]))[:, None].repeat(1, 2, 1)
    calibrated = enhancer().calibrated(rows, torch.arange(len(rows)))
    assert calibrated.config.displacement == pytest.approx(moved.mean(), rel=1e-4)


def test_calibrating_leaves_the_enhancer_as_it_is() -> None:
    rows = torch.from_numpy(ROWS.reshape(-1, ROWS.shape[-1]))[:, None].repeat(1, 2, 1)
    for output in ("whitened", "network"):
        model = enhancer(output=output)
        before, names = model(ROWS), [name for name, _ in model.module.named_modules()]
        calibrated = model.calibrated(rows, torch.arange(len(rows)))
        assert [name for name, _ in model.module.named_modules()] == names
        np.testing.assert_array_equal(model(ROWS), before)
        assert calibrated.module is not model.module


@pytest.mark.parametrize("factor", [1e-3, 7.0, 1e4])
def test_the_length_of_an_embedding_does_not_matter(factor: float) -> None:
    assert np.abs(enhancer()(factor * ROWS) - enhancer()(ROWS)).max() < 1e-5


def test_a_row_does_not_depend_on_its_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    model, rows = enhancer(), np.tile(ROWS.reshape(-1, D), (5, 1))
    together = model(rows)
    assert np.abs(np.stack([model(row) for row in rows]) - together).max() < 1e-6
    monkeypatch.setattr(module, "BLOCK", 7)
    assert np.abs(model(rows) - together).max() < 1e-6


def test_sampled_noise_depends_on_the_generator_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    model = enhancer(inference_noise="sampled")
    torch.manual_seed(1)
    first = model(ROWS, generator(3))
    state = torch.get_rng_state()
    torch.manual_seed(2)
    assert (model(ROWS, generator(3)) == first).all()
    assert np.abs(model(ROWS, generator(4)) - first).max() > 1e-3
    torch.set_rng_state(state)
    model(ROWS, generator(3))
    assert torch.equal(torch.get_rng_state(), state)
    monkeypatch.setattr(module, "BLOCK", 3)
    assert np.abs(model(ROWS, generator(3)) - first).max() < 1e-6


def test_zero_noise_needs_no_generator_and_ignores_one() -> None:
    assert (enhancer()(ROWS, generator(3)) == enhancer()(ROWS)).all()


@pytest.mark.parametrize(
    ("rows", "parts"),
    [
        (np.zeros((4, 7)), ["(4, 7)", f"(..., {D})", "toy"]),
        (np.zeros(D + 1), [f"({D + 1},)"]),
        (np.float32(3.0), ["()"]),
        (np.full((2, D), np.nan), ["row 1: the largest entry of an embedding is not finite"]),
        (np.array([[np.inf] + [0.0] * (D - 1)]), ["row 1: the largest entry of an embedding is not finite"]),
        (np.array([[1.0] * D, [0.0] * D]), ["row 2: the largest entry of an embedding is 0", "leave the row out"]),
        (np.full((2, D), 1e300), ["row 1: the largest entry of an embedding is "]),
        (np.full((2, D), 1e25), ["the largest entry of an embedding is 1e+25", "1e-10 to 1e+15"]),
        (np.array([[1.0] * D, [-1e-30] * D]), ["the largest entry of an embedding is 1e-30"]),
    ],
)
def test_embeddings_that_do_not_fit_are_refused(rows: np.ndarray, parts: list[str]) -> None:
    for embeddings in (rows, torch.from_numpy(np.array(rows))):
        with pytest.raises(ModelError) as caught:
            enhancer()(embeddings)
        assert all(part in str(caught.value) for part in parts)


def test_a_missing_generator_is_refused() -> None:
    with pytest.raises(ModelError, match="pass generator="):
        enhancer(inference_noise="sampled")(ROWS)


def test_settings_of_use_can_be_given_with_the_call() -> None:
    model = enhancer()
    for call, param in (
        ({"t": 10}, {"inference_step": 10}),
        ({"t": 300, "steps": 4}, {"inference_step": 300, "inference_steps": 4}),
        ({"ensemble": 0.9}, {"ensemble": 0.9}),
    ):
        assert (model(ROWS, **call) == enhancer(**param)(ROWS)).all()
        assert np.abs(model(ROWS, **call) - model(ROWS)).max() > 1e-3
    assert (model(ROWS, t=50, steps=1, ensemble=0.5, noise="zero") == model(ROWS)).all()


def test_noise_can_be_asked_for_with_the_call_or_declined() -> None:
    model, sampling = enhancer(), enhancer(inference_noise="sampled")
    assert (model(ROWS, generator(3), noise="sampled") == sampling(ROWS, generator(3))).all()
    assert (sampling(ROWS, noise="zero") == model(ROWS)).all()
    with pytest.raises(ModelError, match="pass generator="):
        model(ROWS, noise=3)


def test_the_mean_of_many_noises_is_calmer_than_one() -> None:
    model, rows = enhancer(ensemble=1.0, inference_step=400), ROWS.reshape(-1, D)

    def spread(noise: Any) -> float:
        return float(np.std([model(rows, generator(seed), noise=noise) for seed in range(4)], axis=0).mean())

    assert (model(rows, generator(3), noise=1) == model(rows, generator(3), noise="sampled")).all()
    assert 0 < spread(16) < 0.5 * spread("sampled")


def test_the_mean_is_that_of_the_predictions() -> None:
    model, rows = enhancer(ensemble=1.0), torch.from_numpy(ROWS.reshape(-1, D))
    use = model.config.train.model_copy(update={"inference_noise": "sampled", "inference_draws": 2})
    source = generator(3)
    eps = [torch.randn(rows.shape, generator=source) for _ in range(2)]
    assert torch.equal(model.forward(rows, eps, use), model(rows, generator(3), noise=2))


@pytest.mark.parametrize(
    ("given", "part"),
    [
        ({"t": 1000}, "inference_step is 1000; expected less than or equal to 999"),
        ({"t": -1}, "inference_step is -1"),
        ({"steps": 0}, "inference_steps is 0"),
        ({"ensemble": 1.5}, "ensemble is 1.5"),
        ({"noise": "loud"}, "inference_noise is 'loud'"),
        ({"noise": 0}, "inference_draws is 0"),
    ],
)
def test_impossible_settings_are_refused(given: dict[str, Any], part: str) -> None:
    with pytest.raises(ModelError, match=part):
        enhancer()(ROWS, generator(), **given)


def test_a_million_embeddings_take_the_memory_of_a_block() -> None:
    # 4 kB each: what the process needs beside input and output must not grow with their number. Not by getrusage, whose
    # peak begins with that of the parent.
    code = (
        "import re, numpy as np; from synthetic import enhancer; model = enhancer(24)\n"
        "peak = lambda: int(re.search(r'VmHWM:\\s+(\\d+)', open('/proc/self/status').read())[1]) / 1024\n"
        "model(np.ones((50_000, 24), np.float32)); before = peak()\n"
        "model(np.ones((1_000_000, 24), np.float16)); print(peak() - before)\n"
    )
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1]), "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, env=environment)
    needed = 1_000_000 * 24 * (2 + 4) / 2**20
    assert float(done.stdout) < needed + 60


def test_a_memory_map_is_taken_block_by_block(tmp_path: Path) -> None:
    np.save(tmp_path / "rows.npy", ROWS.astype(np.float64))
    mapped = np.load(tmp_path / "rows.npy", mmap_mode="r")
    assert (enhancer()(mapped) == enhancer()(ROWS)).all()


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    enhancer().save(tmp_path / "models" / "toy", "# Card\n")
    return tmp_path / "models" / "toy"


@pytest.mark.parametrize("as_text", [False, True])
def test_a_saved_model_comes_back_bit_for_bit(saved: Path, as_text: bool) -> None:
    model, loaded = enhancer(), Enhancer.load(str(saved) if as_text else saved)
    assert loaded.config == model.config
    assert (
        repr(loaded)
        == repr(model)
        == f"<Enhancer for toy, {D}-d, t = 50, zero noise, ensemble {model.config.train.ensemble:g}>"
    )
    assert (loaded(ROWS) == model(ROWS)).all()
    for name, weight in model.module.state_dict().items():
        assert torch.equal(loaded.module.state_dict()[name], weight)


def test_saving_twice_gives_the_same_bytes(saved: Path) -> None:
    before = contents(saved.parent)
    Enhancer.load(saved).save(saved, "# Card\n")
    assert contents(saved.parent) == before
    assert sorted(before) == ["toy/README.md", "toy/config.json", "toy/model.safetensors"]


def test_a_failed_save_leaves_the_older_model(saved: Path) -> None:
    before = contents(saved.parent)
    with pytest.raises(TypeError):
        enhancer().save(saved, None)
    assert contents(saved.parent) == before


def test_a_folder_of_other_files_is_not_replaced(saved: Path) -> None:
    (saved / "notes.txt").write_text("mine", encoding="utf-8")
    before = contents(saved.parent)
    with pytest.raises(ModelError, match=r"notes\.txt"):
        enhancer().save(saved, "# Card\n")
    assert contents(saved.parent) == before


def edit_config(path: Path, **change: Any) -> None:
    data = json.loads((path / "config.json").read_text(encoding="utf-8"))
    (path / "config.json").write_text(json.dumps(sealed(data | change)), encoding="utf-8")


def flip(path: Path, byte: int) -> None:
    data = bytearray(path.read_bytes())
    data[byte] ^= 1
    path.write_bytes(data)


def truncate(path: Path) -> None:
    content = (path / "model.safetensors").read_bytes()
    (path / "model.safetensors").write_bytes(content[: len(content) // 2])


def other_weights(path: Path) -> None:
    enhancer(24).save(path.with_name("other"), "")
    shutil.copy(path.with_name("other") / "model.safetensors", path / "model.safetensors")


def weights_of_another(path: Path) -> None:
    model = enhancer()
    next(model.module.parameters()).data.add_(1)
    model.save(path.with_name("other"), "")
    shutil.copy(path.with_name("other") / "model.safetensors", path / "model.safetensors")


NETWORK = network_info().model_dump()


@pytest.mark.parametrize(
    ("harm", "part"),
    [
        (shutil.rmtree, "config.json"),
        (lambda path: (path / "config.json").unlink(), "config.json"),
        (lambda path: (path / "model.safetensors").unlink(), "model.safetensors"),
        (lambda path: (path / "model.safetensors").write_bytes(b""), "is no model"),
        (truncate, "is no model"),
        (lambda path: (other_weights(path), without_digests(path)), "weights do not fit"),
        (weights_of_another, "digest"),
        *((lambda path, n=n: flip(path / "model.safetensors", -n), "digest") for n in (1, 2, 999, 4321)),
        (lambda path: flip(path / "config.json", 20), "digest"),
        (lambda path: edit_config(path, weights="d" * 64), "digest"),
        (lambda path: (path / "config.json").write_text("{"), "property name"),
        (lambda path: (path / "config.json").write_bytes(b"\xff\xfe"), "is no model"),
        (lambda path: (path / "config.json").write_text("[]"), "is no model"),
        (lambda path: edit_config(path, surprise=1), "surprise"),
        (lambda path: edit_config(path, format="seedpipe-model-1"), "seedpipe-model-2"),
        (lambda path: edit_config(path, train={"epohcs": 3}), "epohcs"),
        (lambda path: edit_config(path, network=NETWORK | {"dimension": 0}), "dimension"),
        (lambda path: edit_config(path, normalization={"kind": "length+center", "center": [0.5]}), "1 value"),
        (lambda path: edit_config(path, normalization={"kind": "length+center"}), "center"),
        (lambda path: edit_config(path, normalization={"kind": "length", "scale": 0.0}), "scale"),
    ],
)
def test_a_broken_model_is_refused(saved: Path, harm: Callable[[Path], object], part: str) -> None:
    harm(saved)
    with pytest.raises(ModelError) as caught:
        Enhancer.load(saved)
    text = str(caught.value)
    assert text.startswith(str(saved))
    assert part in text
    assert "\n" not in text
    assert "train" in text


def test_a_model_of_the_first_version_has_no_digests(saved: Path) -> None:
    without_digests(saved)
    assert "weights" not in json.loads((saved / "config.json").read_text())
    assert Enhancer.load(saved).config == enhancer().config


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Cache:
    return training_cache(tmp_path_factory.mktemp("cache") / "c", speakers=2)


def test_a_cache_of_the_same_network_is_welcome(cache: Cache) -> None:
    model = enhancer()
    assert model.expect(cache) is model


@pytest.mark.parametrize(
    ("other", "parts"),
    [
        (network_info(name="ecapa"), ["network name is 'ecapa'", "the model is for 'toy'"]),
        (network_info(fingerprint="e" * 64), ["network fingerprint", "e" * 64, "f" * 64]),
    ],
)
def test_a_cache_of_another_network_is_named(tmp_path: Path, other: Any, parts: list[str]) -> None:
    cache = training_cache(tmp_path / "c", speakers=2, network=other)
    with pytest.raises(CacheMismatchError) as caught:
        enhancer().expect(cache)
    assert all(part in str(caught.value) for part in parts)
    assert str(cache.path) in str(caught.value)


@given(seed=st.integers(0, 2**32 - 1), rows=st.integers(2, 20), kind=st.sampled_from(KINDS), size=st.floats(1e-2, 1e3))
@settings(max_examples=60, deadline=None)
def test_undo_inverts_the_normalisation(seed: int, rows: int, kind: str, size: float) -> None:
    embeddings = size * (1 + torch.randn(rows, 6, generator=generator(seed)))
    scheme = Normalization.fit(kind, embeddings)
    back = scheme.undo(scheme(embeddings))
    expected = embeddings if kind == "none" else functional.normalize(embeddings, dim=1)
    assert torch.allclose(back, expected, rtol=1e-4, atol=1e-5)


@given(seed=st.integers(0, 2**32 - 1), kind=st.sampled_from(KINDS[1:]))
@settings(max_examples=30, deadline=None)
def test_normalised_embeddings_have_the_power_of_the_noise(seed: int, kind: str) -> None:
    embeddings = 3 + torch.randn(50, 6, generator=generator(seed))
    normalised = Normalization.fit(kind, embeddings)(embeddings)
    assert normalised.square().mean().item() == pytest.approx(1, rel=1e-3)
    if kind == "length+center":
        assert normalised.mean(dim=0).abs().max() < 1e-3


def test_the_normalisation_survives_json() -> None:
    scheme = Normalization.fit("length+center", torch.from_numpy(ROWS[:, 0]))
    assert Normalization.model_validate_json(scheme.model_dump_json()) == scheme


def test_equal_embeddings_have_nothing_to_centre() -> None:
    with pytest.raises(ModelError, match=r"clean embeddings do not differ \(4 rows\).*normalize: length"):
        Normalization.fit("length+center", torch.ones(4, 6))
