"""Every stage on a GPU, where there is one; elsewhere these tests are skipped, and say why.

What can be known without a GPU is in ``tests/extract/test_device.py`` and beside what it is about.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import synthetic
import torch
from conftest import TINY_PARAMS, folder_bytes

from seedpipe.cache import Cache
from seedpipe.enhancers import load_enhancer, train
from seedpipe.enhancers.data import embedding_loader
from seedpipe.enhancers.trainer import Trainer
from seedpipe.errors import CacheMismatchError
from seedpipe.extract import extract
from seedpipe.params import ExtractParams, MachineParams, ScoreParams
from seedpipe.scoring import evaluate, pair_scores
from seedpipe.scoring.trials import read_trials

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
NETWORK = "seedpipe.networks.ecapa:ECAPA"  # with random weights
PARAMS = TINY_PARAMS.model_copy(update={"crop_samples": 16_000})
GPU, CPU = MachineParams(jobs=1, device="cuda"), MachineParams(jobs=1, device="cpu")
needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU here")


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A network whose random weights are the same in every process."""
    from seedpipe.networks import convert_checkpoint
    from seedpipe.networks.ecapa import ECAPA

    folder = tmp_path_factory.mktemp("network")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        torch.save(ECAPA().state_dict(), folder / "ecapa.pt")
    convert_checkpoint(folder / "ecapa.pt", folder / "ecapa", "ecapa")
    return str(folder / "ecapa")


def run(
    manifests: Path, network: str, out: Path, machine: MachineParams, params: ExtractParams = PARAMS, **options: Any
) -> Cache:
    return extract(manifests / "train", network, out, params, kind="training", machine=machine, **options)


def cosines(a: Cache, b: Cache) -> np.ndarray:
    left, right = (torch.nn.functional.normalize(each.to_torch().double(), dim=-1) for each in (a, b))
    return (left * right).sum(dim=-1).numpy()


@needs_gpu
@pytest.mark.parametrize("frontend", ["", "rnnoise"])
def test_an_extraction_is_that_of_the_processor_and_the_same_each_time(
    manifests: Path, network: str, tmp_path: Path, frontend: str
) -> None:
    if frontend:
        pytest.importorskip("pyrnnoise")
    params = PARAMS.model_copy(update={"frontend": frontend})
    cpu, gpu, again, two = (
        run(manifests, network, tmp_path / name, machine, params)
        for name, machine in (
            ("cpu", CPU),
            ("gpu", GPU),
            ("again", GPU),
            ("two", MachineParams(jobs=2, device="cuda")),
        )
    )
    assert cosines(cpu, gpu).min() > 0.9999
    assert folder_bytes(again.path) == folder_bytes(two.path) == folder_bytes(gpu.path)
    assert torch.cuda.get_device_name() in gpu.info.versions["device"]


@needs_gpu
def test_an_interrupted_extraction_goes_on_there_alone_and_lets_go_of_the_memory(
    manifests: Path, network: str, tmp_path: Path
) -> None:
    def stop(done: int, _: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    whole = run(manifests, network, tmp_path / "whole", GPU)
    before = torch.cuda.memory_allocated()
    with pytest.raises(KeyboardInterrupt):
        run(manifests, network, tmp_path / "cache", GPU, progress=stop)
    with pytest.raises(CacheMismatchError, match="was computed on cuda; expected cpu"):
        run(manifests, network, tmp_path / "cache", CPU)
    assert folder_bytes(run(manifests, network, tmp_path / "cache", GPU).path) == folder_bytes(whole.path)
    assert torch.cuda.memory_allocated() == before
    assert torch.cuda.memory_reserved() - before < 2**26


@needs_gpu
@pytest.mark.parametrize("cuda_graph", [False, True], ids=["step by step", "graph"])
def test_a_training_learns_what_one_on_the_processor_learns(tmp_path: Path, cuda_graph: bool) -> None:
    cache = synthetic.training_cache(tmp_path / "cache")
    params = synthetic.QUICK.model_copy(update={"precision": "float32", "cuda_graph": cuda_graph})
    results = [train(cache, tmp_path / name, params, device=name)[1] for name in ("cpu", "cuda")]
    assert all(result.held_out_eer is not None for result in results)
    (_, cpu), (_, gpu) = (result.held_out_eer or (1.0, 1.0) for result in results)
    assert gpu == pytest.approx(cpu, abs=0.03)


@needs_gpu
def test_steps_in_a_graph_are_the_plain_steps(tmp_path: Path) -> None:
    cache, device = synthetic.training_cache(tmp_path / "cache"), torch.device("cuda")
    points = []
    for cuda_graph in (False, True):
        params = synthetic.QUICK.model_copy(update={"precision": "float32", "cuda_graph": cuda_graph})
        points.append(list(Trainer(embedding_loader(cache, params, device), params, device).points()))
    for plain, captured in zip(*points, strict=True):
        assert captured.loss == pytest.approx(plain.loss, rel=1e-3)


@needs_gpu
def test_enhancing_and_scoring_give_what_they_give_on_the_processor(tmp_path: Path) -> None:
    training, cache = synthetic.training_cache(tmp_path / "train"), synthetic.evaluation_cache(tmp_path / "eval")
    train(training, tmp_path / "model", synthetic.QUICK, device="cpu")
    trials = read_trials(synthetic.write_trials(tmp_path / "trials.txt"))
    wanted = ScoreParams(bootstrap=100)
    tables = [
        evaluate(cache, load_enhancer(tmp_path / "model", device), trials, wanted, "demo")[1]
        for device in ("cpu", "cuda")
    ]
    for column in tables[0].columns[3:]:
        np.testing.assert_allclose(tables[0][column], tables[1][column], atol=1e-4)
    embeddings = np.random.default_rng(0).standard_normal((50, 4, 64), dtype=np.float32)
    rows = np.random.default_rng(1).integers(0, 50, (2, 200))
    for method in ("cosine", "euclidean"):
        there = pair_scores(embeddings, embeddings, *rows, method, device="cuda")
        np.testing.assert_allclose(there, pair_scores(embeddings, embeddings, *rows, method), atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=needs_gpu)])
def test_the_benchmark_of_all_this_runs(tmp_path: Path, device: str) -> None:
    command = [sys.executable, "gpu.py", "--tiny", "--device", device, "--networks", "dvector"]
    files = ["--json", tmp_path / "gpu.json", "--markdown", tmp_path / "gpu.md"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [*command, *files], cwd=BENCHMARKS, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    figures = json.loads((tmp_path / "gpu.json").read_text(encoding="utf-8"))
    assert [row["arithmetic"] for row in figures["products"]] == ["float32", "tf32", "bfloat16"]
    assert {row["network"] for row in figures["extraction"]} == {"dvector"}
    assert figures["extraction"][0]["ratio"] > 0
    assert all(figures[name] for name in ("training", "scoring", "enhancing", "table2"))
    assert "### training" in (tmp_path / "gpu.md").read_text(encoding="utf-8")
