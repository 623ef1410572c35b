"""Training curves: where a training curve can be watched, whole after an interruption, and never in the way."""

from __future__ import annotations

import csv
import json
import sys
from pathlib import Path
from typing import Any

import pytest
from synthetic import training_cache
from typer.testing import CliRunner

from seedpipe.cache import Cache
from seedpipe.cli import app
from seedpipe.enhancers import train
from seedpipe.enhancers.base import TrainingPoint
from seedpipe.enhancers.curves import followed, log_folder
from seedpipe.errors import MissingExtraError
from seedpipe.params import TrainParams

LOGGERS = ("tensorboard", "dvclive")


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Cache:
    return training_cache(tmp_path_factory.mktemp("cache") / "c", speakers=10)


def curve_of(logger: str, folder: Path) -> dict[str, list[tuple[int, float]]]:
    """What a viewer shows: (epoch, value) by name."""
    pytest.importorskip(logger)
    if logger == "tensorboard":
        from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

        events = EventAccumulator(str(folder))
        events.Reload()
        names = events.Tags()["scalars"]
        return {name: [(event.step, event.value) for event in events.Scalars(name)] for name in names}
    curves = {}
    for path in (folder / "plots" / "metrics").glob("*.tsv"):
        with path.open(encoding="utf-8") as file:
            rows = list(csv.DictReader(file, delimiter="\t"))
        curves[path.stem] = [(int(row["step"]), float(row[path.stem])) for row in rows]
    return curves


def write(logger: Any, out: Path, epochs: range, losses: float = 1.0, validation: float | None = 2.0) -> list[int]:
    """Report epochs as a training does; gives those that the caller's own progress saw."""
    seen: list[int] = []
    with followed(logger, out, lambda point, _: seen.append(point.step)) as note:
        assert note is not None
        for number in epochs:
            note(TrainingPoint(number, losses / number, validation), epochs.stop)
    return seen


@pytest.mark.parametrize("logger", LOGGERS)
def test_a_training_writes_the_curve_that_its_result_has(tmp_path: Path, cache: Cache, logger: Any) -> None:
    pytest.importorskip(logger)
    with followed(logger, tmp_path / "m") as note:
        _, result = train(cache, tmp_path / "m", TrainParams(safeguard=False, epochs=3, batch_rows=64), progress=note)
    found = curve_of(logger, log_folder(tmp_path / "m", logger))
    for name in ("loss", "validation"):
        assert found[name] == [(point.step, pytest.approx(getattr(point, name), rel=1e-6)) for point in result.curve]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["m", f"m.{logger}"]


@pytest.mark.parametrize("logger", LOGGERS)
def test_an_interrupted_curve_goes_on_and_a_new_training_begins_a_new_one(tmp_path: Path, logger: Any) -> None:
    pytest.importorskip(logger)
    assert write(logger, tmp_path / "m", range(1, 4)) == [1, 2, 3]
    assert write(logger, tmp_path / "m", range(4, 6)) == [4, 5]
    found = curve_of(logger, tmp_path / f"m.{logger}")
    assert found["loss"] == [(number, pytest.approx(1 / number)) for number in range(1, 6)]
    assert write(logger, tmp_path / "m", range(1, 3), losses=7.0) == [1, 2]
    found = curve_of(logger, tmp_path / f"m.{logger}")
    assert found["loss"] == [(1, pytest.approx(7.0)), (2, pytest.approx(3.5))]


@pytest.mark.parametrize("logger", LOGGERS)
def test_without_held_out_utterances_there_is_no_curve_of_them(tmp_path: Path, logger: Any) -> None:
    pytest.importorskip(logger)
    write(logger, tmp_path / "m", range(1, 3), validation=None)
    assert list(curve_of(logger, tmp_path / f"m.{logger}")) == ["loss"]


def test_without_a_logger_nothing_is_written(tmp_path: Path) -> None:
    def progress(epoch: TrainingPoint, total: int) -> None:
        raise NotImplementedError

    with followed("", tmp_path / "m", progress) as note:
        assert note is progress
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("logger", "module"), [("tensorboard", "torch.utils.tensorboard"), ("dvclive", "dvclive.live")]
)
def test_a_missing_package_is_named_before_training_begins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, logger: Any, module: str
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    expected = rf'{logger} is not installed; pip install "{logger}>='
    with pytest.raises(MissingExtraError, match=f"(?i){expected}"), followed(logger, tmp_path / "m"):
        pass
    assert not list(tmp_path.iterdir())


def test_the_command_and_the_parameters_choose_the_logger(tmp_path: Path, cache: Cache) -> None:
    pytest.importorskip("tensorboard")
    pytest.importorskip("dvclive")
    (tmp_path / "params.yaml").write_text("train:\n  epochs: 1\nmachine:\n  log: dvclive\n", encoding="utf-8")
    arguments = ["train", str(cache.path), str(tmp_path / "m"), "--params", str(tmp_path / "params.yaml"), "--json"]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.stderr
    assert json.loads(result.stdout)["curve"][0]["step"] > 0
    assert (tmp_path / "m.dvclive" / "metrics.json").exists()
    result = CliRunner().invoke(app, [*arguments, "--log", "tensorboard"])
    assert result.exit_code == 0, result.stderr
    assert list((tmp_path / "m.tensorboard").iterdir())
