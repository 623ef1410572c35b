"""Where the rows of a training are held: by a given number on a CPU, by what is free on a GPU."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from seedpipe.enhancers import data, memory
from seedpipe.params import Params, TrainParams

GPU, CPU = torch.device("cuda"), torch.device("cpu")


class PaperSized:
    """As much of a cache as tells its size: 0.61 million rows of 4 variants, 512-d, 5.0 GB."""

    info = SimpleNamespace(variants=("clean", "music", "noise", "reverb"), network=SimpleNamespace(dimension=512))

    def __init__(self, rows: int = 610_000) -> None:
        self.rows = rows

    def __len__(self) -> int:
        return self.rows


@pytest.fixture
def loaders(monkeypatch: pytest.MonkeyPatch) -> None:
    """Loaders that are names."""
    monkeypatch.setattr(data.Subset, "of", lambda *_: SimpleNamespace(codes=torch.arange(100)))
    monkeypatch.setattr(data, "ResidentLoader", lambda *_: "resident")
    monkeypatch.setattr(data, "StreamingLoader", lambda *_: "streaming")


def free(monkeypatch: pytest.MonkeyPatch, gpu_gb: float, host_gb: float) -> None:
    monkeypatch.setattr("torch.cuda.mem_get_info", lambda _: (int(gpu_gb * 1e9), 80_000_000_000))
    monkeypatch.setattr(memory, "free_on_host", lambda: int(host_gb * 1e9))


@pytest.mark.usefixtures("loaders")
@pytest.mark.parametrize(
    ("device", "rows", "gpu_gb", "host_gb", "given", "found"),
    [
        (GPU, 610_000, 78, 120, {}, "resident"),
        (GPU, 1_220_000, 78, 120, {}, "resident"),
        (GPU, 610_000, 6, 120, {}, "streaming"),
        (GPU, 610_000, 78, 12, {}, "streaming"),
        (GPU, 610_000, 78, 120, {"memory_gb": 8.0}, "streaming"),
        (CPU, 610_000, 78, 120, {}, "streaming"),
        (CPU, 610_000, 0, 12, {"memory_gb": 11.0}, "resident"),
    ],
)
def test_rows_are_held_where_there_is_room_for_them(
    monkeypatch: pytest.MonkeyPatch,
    device: torch.device,
    rows: int,
    gpu_gb: float,
    host_gb: float,
    given: dict[str, Any],
    found: str,
) -> None:
    free(monkeypatch, gpu_gb, host_gb)
    cache: Any = PaperSized(rows)
    for params in (TrainParams(**given), Params.model_validate({"train": {"preset": "paper"} | given}).train):
        assert data.embedding_loader(cache, params, device) == found
        assert data.embedding_loader(cache, params.model_copy(update={"precision": "float32"}), device) == found


def test_free_memory_is_that_of_the_machine_or_of_the_narrowest_group(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "MEMORY", tmp_path / "meminfo")
    monkeypatch.setattr(memory, "OWN_GROUP", tmp_path / "own")
    monkeypatch.setattr(memory, "GROUPS", tmp_path / "groups")
    (tmp_path / "meminfo").write_text("MemTotal: 9000 kB\nMemAvailable:    5000 kB\n", encoding="ascii")
    assert memory.free_on_host() == 5000 * 1024
    job = tmp_path / "groups/slurm/job_7"
    (job / "step_0").mkdir(parents=True)
    (tmp_path / "own").write_text("1:name=systemd:/\n0::/slurm/job_7/step_0\n", encoding="ascii")
    (job / "step_0/memory.max").write_text("max\n", encoding="ascii")
    assert memory.free_on_host() == 5000 * 1024
    (job / "memory.max").write_text("3000000\n", encoding="ascii")
    (job / "memory.current").write_text("2500000\n", encoding="ascii")
    (job / "memory.stat").write_text("anon 10\ninactive_file 400000\nactive_file 7\n", encoding="ascii")
    assert memory.free_on_host() == 900_000


def test_this_machine_tells_how_much_is_free() -> None:
    assert 0 < memory.free_on_host() < 2**50
