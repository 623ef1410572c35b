"""seedpipe.enhancers.export and seedpipe.enhancers.sklearn: the enhancer in other people's tools."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from synthetic import D, draw_embeddings, enhancer
from torch.nn import functional

from seedpipe.enhancers.export import export_onnx
from seedpipe.enhancers.safeguard import Use
from seedpipe.enhancers.seed import Enhancer
from seedpipe.errors import MissingExtraError, ModelError

onnxruntime = pytest.importorskip("onnxruntime")
sklearn_checks = pytest.importorskip("sklearn.utils.estimator_checks")
from seedpipe.enhancers.sklearn import SeedTransformer  # noqa: E402 - needs scikit-learn

ROWS = draw_embeddings(20, 2, 2, seed=7).reshape(-1, D)
OFFICIAL = {"normalize": "none", "inference_normalize": "length"}


def run(path: Path, **inputs: np.ndarray) -> np.ndarray:
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return session.run(None, inputs)[0]


@pytest.mark.parametrize(
    "params",
    [
        {},
        {"adaptive_ensemble": True},
        {"ensemble": 1.0, "normalize": "none"},
        {"normalize": "length", "inference_step": 0},
        {"inference_step": 500, "inference_steps": 5, "ensemble": 1.0},
        {"prediction": "v", "beta_schedule": "linear"},
        {"prediction": "epsilon", **OFFICIAL},
    ],
)
def test_onnx_gives_what_torch_gives(tmp_path: Path, params: dict[str, Any]) -> None:
    model = enhancer(**params)
    export_onnx(model, tmp_path / "zero.onnx")
    export_onnx(model, tmp_path / "noise.onnx", noise=True)
    eps = np.random.default_rng(0).standard_normal(ROWS.shape).astype(np.float32)
    with_noise = model.forward(torch.from_numpy(ROWS), [torch.from_numpy(eps)], model.config.train).numpy()
    for rows in (1, 7, len(ROWS)):
        part = ROWS[:rows]
        assert np.abs(run(tmp_path / "zero.onnx", embeddings=part) - model(part)).max() < 1e-4
        found = run(tmp_path / "noise.onnx", embeddings=part, noise=eps[:rows])
        assert np.abs(found - with_noise[:rows]).max() < 1e-4
    assert np.abs(with_noise - model(ROWS)).max() > 1e-3


def test_onnx_of_a_model_that_samples_is_deterministic_or_takes_the_noise(tmp_path: Path) -> None:
    model = enhancer(inference_noise="sampled")
    export_onnx(model, tmp_path / "zero.onnx")
    assert np.abs(run(tmp_path / "zero.onnx", embeddings=ROWS) - model(ROWS, noise="zero")).max() < 1e-4
    export_onnx(model, tmp_path / "noise.onnx", noise=True)
    eps = torch.randn(ROWS.shape, generator=torch.Generator().manual_seed(5))
    expected = model(ROWS, torch.Generator().manual_seed(5))
    assert np.abs(run(tmp_path / "noise.onnx", embeddings=ROWS, noise=eps.numpy()) - expected).max() < 1e-4


def test_the_graph_says_what_it_is_and_is_the_same_each_time(tmp_path: Path) -> None:
    for name in ("a", "b"):
        export_onnx(enhancer(), tmp_path / name, noise=True)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    session = onnxruntime.InferenceSession(tmp_path / "a", providers=["CPUExecutionProvider"])
    facts = session.get_modelmeta().custom_metadata_map
    assert (facts["network"], facts["fingerprint"], facts["t"]) == ("toy", "f" * 64, "50")
    assert (facts["noise"], facts["steps"]) == ("input", "1")
    assert [(entry.name, entry.shape) for entry in session.get_inputs()] == [
        ("embeddings", ["rows", D]),
        ("noise", ["rows", D]),
    ]


def test_a_missing_onnx_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(MissingExtraError, match=r'pip install "onnx>='):
        export_onnx(enhancer(), tmp_path / "a.onnx")
    assert not list(tmp_path.iterdir())


class AnyDimension(SeedTransformer):
    """A transformer with a model for whatever embeddings it meets, as scikit-learn's checks bring their own."""

    def _load(self) -> Enhancer:
        return enhancer(self.n_features_in_)


@sklearn_checks.parametrize_with_checks(
    [AnyDimension()],
    expected_failed_checks=lambda _: {
        "check_methods_sample_order_invariance": "wants equality to 1e-9; float32 products of a row follow its place",
        "check_estimators_dtypes": "has rows of zeros, which are no embeddings",
    },
)
def test_the_transformer_passes_the_checks_of_scikit_learn(estimator: Any, check: Any) -> None:
    assert check(estimator) is None


def test_the_order_of_rows_matters_by_rounding_alone() -> None:
    order = np.random.default_rng(0).permutation(len(ROWS))
    transformer = AnyDimension().fit(ROWS)
    assert np.abs(transformer.transform(ROWS)[order] - transformer.transform(ROWS[order])).max() < 1e-6


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    enhancer().save(tmp_path / "toy", "# Card\n")
    return tmp_path / "toy"


def test_the_transformer_gives_what_the_enhancer_gives(folder: Path) -> None:
    found = SeedTransformer(folder).fit_transform(ROWS)
    assert (found == Enhancer.load(folder)(ROWS)).all()
    transformer = SeedTransformer(str(folder), t=10, steps=2, ensemble=1.0, noise=3, random_state=1).fit(ROWS)
    generator = torch.Generator().manual_seed(np.random.RandomState(1).randint(2**31 - 1))
    expected = Enhancer.load(folder)(ROWS, generator, t=10, steps=2, ensemble=1.0, noise=3)
    assert (transformer.transform(ROWS) == expected).all()
    assert transformer.get_feature_names_out()[0] == "seedtransformer0"


def test_the_transformer_works_in_a_pipeline(folder: Path) -> None:
    from sklearn.neighbors import KNeighborsClassifier
    from sklearn.pipeline import make_pipeline

    speakers = np.arange(len(ROWS)) // 12
    pipeline = make_pipeline(SeedTransformer(folder), KNeighborsClassifier(1, metric="cosine"))
    assert pipeline.fit(ROWS, speakers).score(ROWS, speakers) == 1.0


def test_impossible_settings_are_met_when_it_is_fitted(folder: Path) -> None:
    with pytest.raises(ModelError, match="inference_step is 3000"):
        SeedTransformer(folder, t=3000).fit(ROWS)


def test_a_model_for_another_dimension_is_refused(folder: Path) -> None:
    with pytest.raises(ModelError, match=rf"\(\.\.\., {D}\)"):
        SeedTransformer(folder).fit(ROWS[:, :5])
    with pytest.raises(ModelError, match="is no model"):
        SeedTransformer(folder / "absent").fit(ROWS)


def test_unit_length_survives_every_runtime(tmp_path: Path) -> None:
    export_onnx(enhancer(), tmp_path / "a.onnx")
    found = torch.from_numpy(run(tmp_path / "a.onnx", embeddings=1e3 * ROWS))
    assert torch.allclose(found, functional.normalize(found, dim=1), atol=1e-6)


def test_a_regression_is_exported_without_noise(tmp_path: Path) -> None:
    model = enhancer()
    changes = {"kind": "regression", "train": model.config.train.without_diffusion()}
    regression = Enhancer(model.module, model.config.model_copy(update=changes))
    export_onnx(regression, tmp_path / "a.onnx")
    assert np.abs(run(tmp_path / "a.onnx", embeddings=ROWS) - regression(ROWS)).max() < 1e-4
    assert np.abs(regression(ROWS) - model(ROWS)).max() > 1e-4
    with pytest.raises(ModelError, match="is a regression: it takes no noise"):
        export_onnx(regression, tmp_path / "b.onnx", noise=True)
    assert not (tmp_path / "b.onnx").exists()


@pytest.mark.parametrize("use", ["original", "whitened"])
def test_a_model_that_leaves_its_network_out_is_exported_without_noise(tmp_path: Path, use: Use) -> None:
    with pytest.raises(ModelError, match=f"leaves its network out \\({use}\\): it takes no noise; export it without"):
        export_onnx(enhancer().used(use), tmp_path / "a.onnx", noise=True)
    assert not list(tmp_path.iterdir())
    export_onnx(enhancer().used(use), tmp_path / "a.onnx")


@pytest.mark.parametrize("noise", [False, True])
def test_the_export_says_how_far_it_is_from_torch(tmp_path: Path, noise: bool) -> None:
    difference = export_onnx(enhancer(), tmp_path / "a.onnx", noise=noise)
    assert difference is not None
    assert 0 < difference < 1e-4
