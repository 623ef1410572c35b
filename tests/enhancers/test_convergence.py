"""Whether a training was long enough, and had enough speech."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from synthetic import training_cache, without_digests

from seedpipe.enhancers import TrainingPoint, load_enhancer, train
from seedpipe.enhancers.convergence import training_warnings
from seedpipe.params import TrainParams


def curve(validation: list[float | None]) -> list[TrainingPoint]:
    return [TrainingPoint(10 * number, 1.0, loss) for number, loss in enumerate(validation, 1)]


@pytest.mark.parametrize(
    ("validation", "warned"),
    [
        ([9.0, 8.0, 7.0, 6.0, 5.0], True),
        ([9.0, 8.0, 7.0, 6.0, 5.9], True),
        ([9.0, 8.0, 7.0, 6.0, 5.99], False),
        ([9.0, 8.0, 7.0, 6.0, 6.5], False),
        ([None] * 5, False),
        ([9.0], False),
        ([], False),
    ],
)
def test_a_loss_that_still_falls_is_named_with_the_remedy(validation: list[float | None], warned: bool) -> None:
    found = training_warnings(curve(validation), 1_000)
    assert len(found) == warned
    assert all("has not converged" in text and "raise train.steps" in text for text in found)


def test_little_speech_is_named() -> None:
    (found,) = training_warnings(curve([6.0] * 5), 40)
    assert "40 utterances, fewer than 200" in found
    assert "add speech" in found


def test_the_model_card_says_so(tmp_path: Path) -> None:
    cache = training_cache(tmp_path / "c", speakers=10)
    _, result = train(
        cache, tmp_path / "m", TrainParams(safeguard=False, steps=12, batch_rows=32, validation_share=0.2)
    )
    assert result.warnings
    card = (tmp_path / "m" / "README.md").read_text(encoding="utf-8")
    assert all(f"- **Warning**: {text}." in card for text in result.warnings)


def test_a_model_from_before_steps_is_read(tmp_path: Path) -> None:
    cache = training_cache(tmp_path / "c", speakers=10)
    train(cache, tmp_path / "m", TrainParams(safeguard=False, epochs=2, batch_rows=32))
    path = without_digests(tmp_path / "m") / "config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    del config["train"]["steps"]
    path.write_text(json.dumps(config), encoding="utf-8")
    assert "2 epochs" in load_enhancer(tmp_path / "m").card_text().training
