"""Short tests: enrolment by full crops, the test side by one short crop, whatever scores them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from conftest import ONE_JOB, RATE, TINY_PARAMS
from synthetic import enhancer, golden_network

from seedpipe.cache import Cache
from seedpipe.enhancers.seed import Enhancer
from seedpipe.extract import extract
from seedpipe.params import ScoreParams
from seedpipe.results import Evaluations, SideCrops, Sides, wording
from seedpipe.scoring import evaluate, load_crops, pair_scores, score_conditions, with_models
from seedpipe.scoring.trials import Trials, read_trials

SIZED = "stub_network:make_sized"  # the first entry of its embeddings is the length of the crop in seconds


def made(manifests: Path, out: Path, test_crop_samples: int) -> Cache:
    evaluation = TINY_PARAMS.evaluation.model_copy(update={"test_crop_samples": test_crop_samples})
    params = TINY_PARAMS.model_copy(update={"evaluation": evaluation})
    return extract(manifests / "tiny", SIZED, out, params, kind="evaluation", machine=ONE_JOB)


@pytest.fixture(scope="module")
def cache(manifests: Path, tmp_path_factory: pytest.TempPathFactory) -> Cache:
    """Enrolment by three crops of 6,000 samples, tests by one of 2,000."""
    return made(manifests, tmp_path_factory.mktemp("short") / "tiny", 2_000)


@pytest.fixture(scope="module")
def trials(data_root: Path) -> Trials:
    return read_trials(data_root / "eval/trials_tiny.txt")


def test_each_side_has_crops_of_its_length(cache: Cache, manifests: Path, tmp_path: Path) -> None:
    crops = load_crops(cache)
    assert (crops.enrol.shape, crops.test.shape) == ((4, 3, 3, 8), (4, 1, 3, 8))
    np.testing.assert_allclose(crops.enrol[..., 0], 6_000 / RATE)
    np.testing.assert_allclose(crops.test[..., 0], 2_000 / RATE)
    ordinary = load_crops(made(manifests, tmp_path / "tiny", 0))
    assert ordinary.test_crops == 0
    np.testing.assert_array_equal(ordinary.enrol, ordinary.test)
    np.testing.assert_array_equal(ordinary.enrol, crops.enrol)


@pytest.mark.parametrize("method", ["cosine", "euclidean"])
@pytest.mark.parametrize(("side", "left", "right"), [("test", 0, 1), ("enrol", 1, 0), ("both", 1, 1)])
def test_the_test_side_is_short_whichever_side_is_noisy(
    cache: Cache, trials: Trials, method: str, side: str, left: int, right: int
) -> None:
    rows = cache.to_numpy().reshape(4, 4, 3, 8)  # three crops of enrolment, then the one of the test side
    index = {name: row for row, name in enumerate(load_crops(cache).utterances)}
    enrol, test = ([index[trials.utterances[one]] for one in ones] for ones in (trials.enrol, trials.test))
    found = score_conditions(load_crops(cache), trials, method, mismatch_side=side)
    for condition, sides in (("noise", (left, right)), ("clean", (0, 0))):
        expected = pair_scores(
            rows[:, :3, sides[0]].copy(), rows[:, 3:, sides[1]].copy(), np.array(enrol), np.array(test), method
        )
        np.testing.assert_allclose(found[condition], expected, rtol=1e-6)


@pytest.mark.parametrize("norm", ["z", "t"])
def test_a_cohort_meets_each_side_at_its_length(cache: Cache, trials: Trials, norm: str) -> None:
    crops, cohort = load_crops(cache), np.random.default_rng(0).random((20, 8)).astype(np.float32)
    plain = score_conditions(crops, trials, "cosine")["noise"]
    found = score_conditions(crops, trials, "cosine", norm=norm, cohort=cohort)["noise"]
    side, rows = (crops.enrol[:, :, 0], trials.enrol) if norm == "z" else (crops.test[:, :, 1], trials.test)
    index = {name: row for row, name in enumerate(crops.utterances)}
    expected = []
    for score, one in zip(plain, rows, strict=True):
        unit = side[index[trials.utterances[one]]]
        mean = (unit / np.linalg.norm(unit, axis=1, keepdims=True)).mean(axis=0)
        others = cohort @ mean / np.linalg.norm(mean) / np.linalg.norm(cohort, axis=1)
        expected.append((score - others.mean()) / others.std())
    np.testing.assert_allclose(found, expected, rtol=1e-3)


def test_models_and_enhancers_keep_the_sides_apart(cache: Cache) -> None:
    crops = with_models(load_crops(cache), {"carl": ("carl/long.wav", "carl/short.wav")})
    doubled = crops.through(lambda embeddings: 2 * embeddings)
    assert doubled.test_crops == 1
    np.testing.assert_array_equal(doubled.test, 2 * crops.test)
    assert (crops.enrol.shape[:2], crops.test.shape[:2]) == ((5, 3), (5, 1))


def test_an_evaluation_says_the_length_of_both_sides(
    cache: Cache, trials: Trials, manifests: Path, tmp_path: Path
) -> None:
    def evaluation(scored: Cache) -> Evaluations:
        config = enhancer(8).config.model_copy(update={"network": scored.info.network})
        params = ScoreParams(methods=("cosine",), bootstrap=100, timesteps=())
        return evaluate(scored, Enhancer(golden_network(8), config), trials, params, "tiny")[0]

    found = evaluation(cache)
    assert found[0].crops == Sides(SideCrops(3, 0.375), SideCrops(1, 0.125))
    assert found.to_dict()["evaluations"][0]["crops"]["test"] == {"count": 1, "seconds": 0.125}
    assert Evaluations.from_dict(found.to_dict()) == found
    assert wording.sides(found[0]) == "Enrolment: 3 crops of 0.4 s; test: 1 crop of 0.1 s."
    assert not any("crop of the test side" in warning for warning in found[0].warnings)
    ordinary = evaluation(made(manifests, tmp_path / "tiny", 0))
    assert (ordinary[0].crops, wording.sides(ordinary[0])) == (None, "")
    assert "crops" not in ordinary.to_dict()["evaluations"][0]
    long = evaluation(made(manifests, tmp_path / "long", 5_000))
    assert "2 utterances are no longer than the crop of the test side, so repeated to fill it" in long[0].warnings
