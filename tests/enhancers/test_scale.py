"""The SNR at the timestep in use, and the warning of a training on embeddings that are small beside the noise."""

from __future__ import annotations

import doctest
import math
from pathlib import Path

import pytest
import torch
from synthetic import QUICK, training_cache
from torch import Tensor
from torch.nn import functional

from seedpipe.enhancers import scale, train_on_cache
from seedpipe.enhancers.diffusion import Schedule
from seedpipe.enhancers.normalization import Normalization
from seedpipe.enhancers.scale import scale_warnings, snr_db
from seedpipe.params import Params, TrainParams


def unit(dimension: int) -> Tensor:
    return functional.normalize(torch.randn(200, dimension, generator=torch.Generator().manual_seed(0)), dim=1)


@pytest.mark.parametrize("dimension", [16, 256])
def test_the_ratio_is_that_of_powers_after_the_forward_process(dimension: int) -> None:
    schedule, x_0 = Schedule(), unit(dimension)
    eps = torch.randn(200, dimension, generator=torch.Generator().manual_seed(1))
    t = torch.tensor([50])
    signal, noise = schedule.add_noise(x_0, 0 * eps, t), schedule.add_noise(0 * x_0, eps, t)
    expected = 10 * math.log10(float(signal.square().mean() / noise.square().mean()))
    assert snr_db(x_0, schedule, 50) == pytest.approx(expected, abs=0.3)


@pytest.mark.parametrize(
    ("embeddings", "settings", "warned"),
    [
        (unit(256), {"normalize": "none"}, "-3.7 dB at t = 50"),
        (unit(256), {"preset": "paper"}, "-3.7 dB at t = 50"),
        (unit(256), {"normalize": "none", "inference_step": 1}, ""),
        (unit(256), {"normalize": "length"}, ""),
        (unit(256), {}, ""),
        (unit(256) * 16, {"normalize": "none"}, ""),
        (unit(256) * 16, {"normalize": "none", "inference_step": 400}, ""),
        (unit(256) * 8, {"normalize": "none", "inference_step": 400}, "at t = 400"),
    ],
)
def test_embeddings_that_drown_in_noise_are_warned_about(
    embeddings: Tensor, settings: dict[str, object], warned: str
) -> None:
    params = TrainParams(**settings)
    found = scale_warnings(embeddings, Normalization.fit(params.normalize, embeddings), params)
    assert len(found) == bool(warned)
    assert all(warned in text and "train.normalize: length" in text for text in found)


@pytest.mark.parametrize(("kind", "warned"), [("seed", True), ("regression", False)])
def test_a_training_says_so(tmp_path: Path, kind: str, warned: bool) -> None:
    cache = training_cache(tmp_path / "cache", speakers=6)
    short = QUICK.model_copy(update={"epochs": 1, "normalize": "none", "inference_step": 900})
    _, result = train_on_cache(kind, cache, tmp_path / "model", Params(train=short))  # type: ignore[arg-type]
    raw = torch.from_numpy(cache.to_numpy()[:, 0])
    below = snr_db(raw, Schedule(), 900) < min(10, snr_db(torch.ones(1), Schedule(), 900))
    assert any("small beside the noise" in text for text in result.warnings) == (warned and below)


def test_the_example_in_the_docstring() -> None:
    assert doctest.testmod(scale).failed == 0
