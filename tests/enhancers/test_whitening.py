"""seedpipe.enhancers.whitening, and the ensemble in whitened space that a trained SEED ends with."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from synthetic import training_cache
from torch.nn import functional

from seedpipe.cache import Cache
from seedpipe.enhancers import train
from seedpipe.enhancers.seed import Enhancer
from seedpipe.enhancers.whitening import WhitenedEnsemble, Whitening, within_utterances
from seedpipe.params import TrainParams

R, V, D = 600, 3, 8
SHORT = TrainParams(safeguard=False, epochs=2, batch_rows=64, learning_rate=5e-3)


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return training_cache(tmp_path / "cache")


def spread_out() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Rows whose deviation within utterances is known, their utterances, and the deviation (D, D)."""
    generator = torch.Generator().manual_seed(0)
    root = torch.randn(D, D, generator=generator)
    utterances = 5 * torch.randn(R // 4, 1, D, generator=generator)
    codes = torch.arange(R) // 4
    rows = utterances[codes] + torch.randn(R, V, D, generator=generator) @ root.T
    return rows, codes, root


def test_what_differs_within_utterances_becomes_round() -> None:
    rows, codes, _ = spread_out()
    whitening = within_utterances(rows, codes, 1e-9)
    white = whitening(rows)
    means = torch.stack([white[codes == code].mean(dim=(0, 1)) for code in range(R // 4)])
    apart = (white - means[codes][:, None]).flatten(0, 1)
    covariance = np.cov(apart.T.numpy())
    assert np.abs(covariance / covariance[0, 0] - np.eye(D)).max() < 1e-3
    assert np.abs(white.mean(dim=(0, 1)).numpy()).max() < 1e-4


def test_full_shrinkage_only_centres() -> None:
    rows, codes, _ = spread_out()
    whitening = within_utterances(rows, codes, 1.0)
    assert torch.allclose(whitening.projection, torch.eye(D), atol=1e-5)
    assert torch.allclose(whitening(rows), rows - rows.mean(dim=(0, 1)), atol=1e-4)


def test_the_projection_is_symmetric_so_that_two_spaces_can_be_mixed() -> None:
    rows, codes, _ = spread_out()
    projection = within_utterances(rows, codes, 0.3).projection
    assert torch.allclose(projection, projection.T, atol=1e-6)
    assert (torch.linalg.eigvalsh(projection) > 0).all()


def test_names_of_utterances_do_not_matter_nor_their_order() -> None:
    rows, codes, _ = spread_out()
    order = torch.randperm(R, generator=torch.Generator().manual_seed(1))
    one, other = within_utterances(rows, codes, 0.5), within_utterances(rows[order], 1000 - 3 * codes[order], 0.5)
    assert torch.allclose(one.projection, other.projection, atol=1e-4)


def test_an_ensemble_is_half_of_each() -> None:
    ensemble = WhitenedEnsemble(Whitening(D), Whitening(D))
    one, other = (
        functional.normalize(torch.randn(5, D, generator=torch.Generator().manual_seed(s)), dim=1) for s in (0, 1)
    )
    assert torch.allclose(ensemble(one, other), functional.normalize(one + other, dim=1), atol=1e-6)


def test_a_trained_model_whitens_originals_and_results_by_its_training_rows(cache: Cache, tmp_path: Path) -> None:
    model, _ = train(cache, tmp_path / "model", SHORT.model_copy(update={"validation_share": 0.0}))
    assert model.ensemble is not None
    plain, _ = train(cache, tmp_path / "plain", SHORT.model_copy(update={"validation_share": 0.0, "output": "network"}))
    rows, codes = cache.to_torch(), torch.tensor(cache.frame()["utterance"].factorize()[0])
    unit = functional.normalize(rows, dim=-1)
    for whitening, embeddings in ((model.ensemble.original, unit), (model.ensemble.enhanced, plain(rows))):
        expected = within_utterances(embeddings, codes, SHORT.shrinkage)
        assert torch.allclose(whitening.mean, expected.mean, atol=1e-5)
        assert torch.allclose(whitening.projection, expected.projection, atol=1e-3)
    assert torch.allclose(model(rows), model.ensemble(unit, plain(rows)), atol=1e-5)


def test_a_loaded_model_whitens_as_the_trained_one(cache: Cache, tmp_path: Path) -> None:
    model, _ = train(cache, tmp_path / "model", SHORT)
    rows = cache.to_numpy()
    assert (Enhancer.load(tmp_path / "model")(rows) == model(rows)).all()
