"""seedpipe.bench: what a row counts, that its memory is its own, and table, CSV and drawing of made-up figures."""

from __future__ import annotations

import csv
import dataclasses
import json
import os
import re
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import RATE, STUB
from torch import Tensor, nn
from typer.testing import CliRunner

from seedpipe import bench
from seedpipe.bench.chart import cost_chart, write_chart
from seedpipe.cache import NetworkInfo
from seedpipe.cli import app
from seedpipe.enhancers import FixedMap
from seedpipe.enhancers.diffusion import SeedMLP
from seedpipe.enhancers.normalization import Normalization
from seedpipe.enhancers.seed import Enhancer, ModelConfig
from seedpipe.errors import ModelError, NetworkError, WorkerLostError
from seedpipe.networks import load_network
from seedpipe.params import EnhancerKind, TrainParams
from seedpipe.results import figures

MATRIX = "test_bench:Matrix"
GLUTTON = "test_bench:Glutton"
LOUDER = "test_bench:Louder"
SETUP = bench.Setup(batches=(2,), seconds=0.1, repeats=3, threads=1)
MEGABYTES = 200
INFO = NetworkInfo(name="matrix", fingerprint="ones", dimension=8, sample_rate=RATE)


class Matrix(nn.Module):
    """A network of one matrix, 16 x 8."""

    name = "matrix"
    sample_rate = RATE
    dimension = 8
    min_samples = 800

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(16, self.dimension, bias=False)
        nn.init.ones_(self.linear.weight)

    def fingerprint(self) -> str:
        return "ones"

    def forward(self, waveforms: Tensor) -> Tensor:
        used = waveforms.shape[1] // 16 * 16
        embeddings: Tensor = self.linear(waveforms[:, :used].unflatten(1, (16, -1)).square().mean(dim=2))
        return embeddings


class Glutton(Matrix):
    """It takes 200 MB for an instant."""

    name = "glutton"

    def forward(self, waveforms: Tensor) -> Tensor:
        torch.ones(MEGABYTES * 2**20 // 4)
        return super().forward(waveforms)


class Louder:
    """A front end that does not say how many parameters it has."""

    name = "louder"

    def __init__(self, sample_rate: int) -> None:
        self.sample_rate = sample_rate

    def __call__(self, waveforms: Tensor) -> Tensor:
        return 2 * waveforms

    def fingerprint(self) -> str:
        return "twice"

    def to(self, device: torch.device) -> Louder:  # noqa: ARG002
        return self


class Died(Matrix):
    def forward(self, waveforms: Tensor) -> Tensor:  # noqa: ARG002
        os._exit(9)


class OutOfMemory(Matrix):
    def forward(self, waveforms: Tensor) -> Tensor:  # noqa: ARG002
        raise torch.OutOfMemoryError("CUDA out of memory")


@pytest.fixture
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def in_this_process(monkeypatch: pytest.MonkeyPatch, one_thread: None) -> None:  # noqa: ARG001
    """Spare a test the start of processes where it is not about them."""
    monkeypatch.setattr(
        "seedpipe.bench.measurement.ProcessPoolExecutor", lambda workers, _: ThreadPoolExecutor(workers)
    )


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A SEED model for the network of one matrix."""
    config = ModelConfig(
        network=INFO,
        normalization=Normalization(kind="length", scale=8**0.5),
        train=TrainParams(normalize="length", inference_noise="sampled"),
        cache="",
        seedpipe="0",
    )
    Enhancer(SeedMLP(8), config).save(tmp_path / "model", "a card")
    return tmp_path / "model"


def silent(done: int, total: int) -> None:
    """No progress."""


SEED_MLP = sum(parameter.numel() for parameter in SeedMLP(8).parameters())
WHITENING = 8 + 8 * 8  # a mean and a matrix; the ensemble of SEED whitens both of its parts
DRL = 4 * 8 + 8 * 16 + 16  # a batch norm and a linear layer to two codes


# ----------------------------------------------------------------------------------------------------- what is measured


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize(
    ("system", "title", "stages", "parameters"),
    [
        (bench.SystemSpec(MATRIX), "matrix", ["network"], 128),
        (
            bench.SystemSpec(MATRIX, enhancer="seed"),
            "matrix -> SEED",
            ["network", "enhancer"],
            128 + SEED_MLP + 2 * WHITENING,
        ),
        (
            bench.SystemSpec(MATRIX, enhancer="regression"),
            "matrix -> regression",
            ["network", "enhancer"],
            128 + SEED_MLP + 2 * WHITENING,
        ),
        (
            bench.SystemSpec(MATRIX, enhancer="whitening"),
            "matrix -> whitening",
            ["network", "enhancer"],
            128 + WHITENING,
        ),
        (bench.SystemSpec(MATRIX, enhancer="drl"), "matrix -> DRL", ["network", "enhancer"], 128 + DRL),
        (bench.SystemSpec(MATRIX, frontend=LOUDER), "louder -> matrix", ["front end", "network"], None),
        (bench.SystemSpec(MATRIX, frontend="rnnoise"), "rnnoise -> matrix", ["front end", "network"], 128 + 2_888_225),
        (bench.SystemSpec(STUB), "stub", ["network"], None),
    ],
)
def test_a_row_says_what_was_measured(
    system: bench.SystemSpec, title: str, stages: list[str], parameters: int | None
) -> None:
    if system.frontend == "rnnoise":
        pytest.importorskip("pyrnnoise")
    row = bench.measure(system, 2, SETUP)
    assert (row.system, row.batch, row.device, row.threads) == (title, 2, "cpu", 1)
    assert list(row.stages) == stages
    assert row.parameters == parameters
    assert row.untrained == (system.enhancer is not None)
    assert 0 < row.quartiles[0] <= row.real_time_factor <= row.quartiles[1]
    assert all(value > 0 for value in row.stages.values())
    assert (row.enhancer_share is not None) == (system.enhancer is not None)


@pytest.mark.usefixtures("one_thread")
def test_the_factor_counts_all_audio_of_a_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    ticks = iter(np.arange(100) * 0.3)  # every stage takes 0.3 s by this clock
    monkeypatch.setattr("seedpipe.bench.measurement.time.perf_counter", lambda: next(ticks))
    row = bench.measure(bench.SystemSpec(MATRIX, enhancer="seed"), 4, dataclasses.replace(SETUP, seconds=0.5))
    assert row.real_time_factor == pytest.approx(0.6 / (4 * 0.5))
    assert row.stages == pytest.approx({"network": 0.15, "enhancer": 0.15})
    assert row.enhancer_share == pytest.approx(0.5)


@pytest.mark.usefixtures("one_thread")
def test_a_front_end_comes_before_the_network_and_seed_after_it(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[str, Tensor]] = []
    for cls in (Louder, Enhancer):
        original = cls.__call__
        monkeypatch.setattr(
            cls,
            "__call__",
            lambda self, x, *rest, o=original: (seen.append((type(self).__name__, x)), o(self, x, *rest))[1],
        )
    bench.measure(bench.SystemSpec(MATRIX, frontend=LOUDER, enhancer="seed"), 2, SETUP)
    assert [name for name, _ in seen[:2]] == ["Louder", "Enhancer"]
    waveforms, embeddings = seen[0][1], seen[1][1]
    assert waveforms.shape == (2, 1_600)
    torch.testing.assert_close(embeddings, load_network(MATRIX)(2 * waveforms))


def test_every_row_has_the_memory_of_a_process_of_its_own() -> None:
    ballast = np.ones(2**26)  # half a gigabyte here must not be seen there
    rows = list(bench.benchmark([bench.SystemSpec(GLUTTON), bench.SystemSpec(MATRIX)], SETUP, silent))
    glutton, matrix = (row.peak_memory_bytes for row in rows)
    assert glutton is not None
    assert matrix is not None
    assert MEGABYTES <= glutton / 2**20 < MEGABYTES + 100
    assert matrix / 2**20 < 100
    assert ballast[-1] == 1


def test_a_process_that_dies_is_an_error_with_a_remedy() -> None:
    with pytest.raises(WorkerLostError, match=r"test_bench:Died with batches of 2 takes more .*\(--batch\)"):
        list(bench.benchmark([bench.SystemSpec("test_bench:Died")], SETUP, silent))


@pytest.mark.usefixtures("in_this_process")
def test_a_gpu_without_memory_is_an_error_with_a_remedy() -> None:
    with pytest.raises(WorkerLostError, match=r"test_bench:OutOfMemory with batches of 2 takes more .*\(--batch\)"):
        list(bench.benchmark([bench.SystemSpec("test_bench:OutOfMemory")], SETUP, silent))


def test_audio_that_is_too_short_for_the_network_is_refused() -> None:
    with pytest.raises(NetworkError, match=r"0\.01 s are 160 samples; expected 800 or more .*--seconds"):
        bench.measure(bench.SystemSpec(MATRIX), 1, dataclasses.replace(SETUP, seconds=0.01))


# -------------------------------------------------------------------------------------------------------------- systems


@pytest.mark.parametrize("frontend", ["", "none"])
def test_the_rows_are_those_of_table_2(frontend: str) -> None:
    alone = [bench.SystemSpec(MATRIX), bench.SystemSpec(MATRIX, enhancer="seed")]
    assert bench.systems_of([MATRIX], frontend=frontend) == alone
    assert bench.systems_of([MATRIX], frontend=LOUDER) == [*alone, bench.SystemSpec(MATRIX, frontend=LOUDER)]


@pytest.mark.usefixtures("one_thread")
def test_models_go_to_the_network_and_enhancer_that_they_were_trained_for(model: Path, tmp_path: Path) -> None:
    FixedMap.untrained("drl", INFO).save(tmp_path / "drl", "a card")
    kinds: tuple[EnhancerKind, ...] = ("whitening", "drl", "seed")
    systems = bench.systems_of([STUB, MATRIX], [model, tmp_path / "drl"], enhancers=kinds)
    assert [(system.network, system.enhancer, system.model) for system in systems if system.enhancer] == [
        *((STUB, kind, None) for kind in kinds),
        *((MATRIX, "whitening", None), (MATRIX, "drl", tmp_path / "drl"), (MATRIX, "seed", model)),
    ]
    rows = [bench.measure(system, 1, SETUP) for system in systems[-2:]]
    assert [(row.system, row.untrained) for row in rows] == [("matrix -> DRL", False), ("matrix -> SEED", False)]


def test_a_model_of_another_kind_is_refused(model: Path) -> None:
    with pytest.raises(ModelError, match=r"is of the kind seed; expected one of .*: whitening, drl; add --enhancer s"):
        bench.systems_of([MATRIX], [model], enhancers=("whitening", "drl"))


def test_a_model_of_another_network_is_refused(model: Path) -> None:
    with pytest.raises(ModelError, match=r"was trained for matrix .*; expected a model of one of .*--network"):
        bench.systems_of([STUB], [model])


# --------------------------------------------------------------------------------------------------------------- output


def row(system: str, batch: int, stages: dict[str, float], parameters: int | None = 11_000_000) -> bench.Measurement:
    total = sum(stages.values())
    share = stages["enhancer"] / total if "enhancer" in stages else None
    return bench.Measurement(
        system,
        batch,
        parameters,
        total,
        (0.9 * total, 1.1 * total),
        stages,
        share,
        3 * 2**20,
        "cpu",
        2,
        share is not None,
    )


@pytest.fixture
def result() -> bench.Result:
    rows = tuple(
        found
        for batch, speed in ((1, 0.1), (32, 0.05))
        for found in (
            row("net", batch, {"network": speed}),
            row("net -> SEED", batch, {"network": speed, "enhancer": speed / 99}),
            row("net -> whitening", batch, {"network": speed, "enhancer": speed / 999}),
            row("a<b & c -> net", batch, {"front end": 3 * speed, "network": speed}, None),
        )
    )
    return bench.Result("2026-11-22", "a machine, 2 cores", "2.11.0", 4.0, 10, rows)


def test_the_table_shows_figures_with_their_spread_and_what_they_mean(result: bench.Result) -> None:
    lines = bench.format_table(result).splitlines()
    assert lines[0] == "a machine, 2 cores; 2 threads; torch 2.11.0, float32; 2026-11-22"
    assert re.split(r"\s{2,}", lines[4]) == ["net", "1", "11.0 M", "0.1000 [0.0900, 0.1100]", "3 MiB"]
    assert re.split(r"\s{2,}", lines[5])[-1] == "1.0 %"
    assert re.split(r"\s{2,}", lines[7])[2] == "?"
    notes = "\n".join(lines[-5:])
    assert "median of 10 calls" in notes
    assert "untrained where no model was given" in notes
    assert "?: a part does not say how many parameters it has" in notes
    trained = dataclasses.replace(result, rows=result.rows[:1])
    assert "untrained" not in bench.format_table(trained)
    assert "?" not in bench.format_table(trained)


def test_the_csv_holds_every_figure_in_full(result: bench.Result, tmp_path: Path) -> None:
    bench.write_csv(result, tmp_path / "bench.csv")
    with (tmp_path / "bench.csv").open(encoding="utf-8", newline="") as file:
        records = list(csv.DictReader(file))
    assert len(records) == len(result.rows)
    for record, found in zip(records, result.rows, strict=True):
        assert (record["system"], int(record["batch"])) == (found.system, found.batch)
        assert float(record["real_time_factor"]) == found.real_time_factor
        assert record["enhancer_share"] == ("" if found.enhancer_share is None else str(found.enhancer_share))
        stages = {stage: record[f"{stage.replace(' ', '_').lower()}_real_time_factor"] for stage in found.stages}
        assert {stage: float(value) for stage, value in stages.items()} == found.stages


def test_the_drawing_follows_the_mode_of_the_reader_and_names_what_was_measured(
    result: bench.Result, tmp_path: Path
) -> None:
    write_chart(result, tmp_path / "bench.svg")
    text = (tmp_path / "bench.svg").read_text(encoding="utf-8")
    root = ET.fromstring(text)  # noqa: S314 - our own file
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    assert "prefers-color-scheme: dark" in text
    assert text == cost_chart(result)
    words = {element.text for element in root.iter("{http://www.w3.org/2000/svg}text")}
    assert {"front end", "1 utterance of 4 s at a time", "32 utterances of 4 s at a time", result.title} <= words
    assert {"a<b & c -> net", "0.1010, enhancer 1.0 %"} <= words


def test_the_bars_share_their_length_as_the_stages_share_the_time(
    result: bench.Result, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[dict[str, list[float]]] = []
    cost = figures.cost
    monkeypatch.setattr(figures, "cost", lambda *args: (seen.append(args[2]), cost(*args)))
    cost_chart(result)
    first, _ = seen
    assert list(first) == ["front end", "network", "enhancer"]
    assert first["network"] == pytest.approx([0.1] * 4)
    assert first["enhancer"] == pytest.approx([0.0, 0.1 / 99, 0.1 / 999, 0.0])
    assert first["front end"] == pytest.approx([0.0, 0.0, 0.0, 0.3])


def test_without_a_front_end_the_legend_has_none(result: bench.Result) -> None:
    assert "front end</text>" not in cost_chart(dataclasses.replace(result, rows=result.rows[:2]))


@pytest.mark.usefixtures("in_this_process")
def test_the_command_prints_json_and_writes_files(tmp_path: Path) -> None:
    options = ["--batch", "1", "--seconds", "0.1", "--repeats", "1", "--threads", "1", "--device", "cpu", "--json"]
    files = ["--csv", str(tmp_path / "bench.csv"), "--plot", str(tmp_path / "bench.svg")]
    enhancers = ["--enhancer", "seed", "--enhancer", "drl"]
    done = CliRunner().invoke(app, ["bench", "--network", MATRIX, *enhancers, *options, *files])
    assert done.exit_code == 0, done.output
    printed = json.loads(done.stdout)
    assert [found["system"] for found in printed["rows"]] == ["matrix", "matrix -> SEED", "matrix -> DRL"]
    assert (printed["seconds"], printed["repeats"], printed["machine"]) == (0.1, 1, bench.machine())
    assert len((tmp_path / "bench.csv").read_text(encoding="utf-8").splitlines()) == 4
    assert (tmp_path / "bench.svg").read_text(encoding="utf-8").startswith("<svg")


def test_an_unknown_front_end_ends_with_one_line_before_anything_is_measured() -> None:
    done = CliRunner().invoke(app, ["bench", "--network", MATRIX, "--frontend", "rnoise"])
    assert done.exit_code == 1
    assert done.stderr.startswith("seedpipe: error: unknown front end 'rnoise'")
