"""How fast the enhancer trains: our step against the plain one, and a whole experiment against one without a cache.

    python benchmarks/train.py [--network NAME] [--dimensions 192 256 512] [--json FILE]

The plain step is a fair rewrite of the kind of loop that the authors' code has: float32, the noise scheduler of
diffusers, AdamW as it comes, the loss read at every step. Both take rows of the same tensor in batches of the same
size, in turn, and the median of the rounds is given. Operations per second are those of the matrix products, counted in
the same way for both, and set against the best that the machine reaches in one large product. The whole experiment is
60 epochs of the authors' size, by the measured rates of network and steps: on cached vectors, and with the network run
on every crop of every epoch.
"""

from __future__ import annotations

import argparse
import math
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import torch
from _common import keep, reader
from torch import Tensor, nn
from torch.nn import functional

from seedpipe.console import guarded
from seedpipe.enhancers.data import EmbeddingLoader
from seedpipe.enhancers.diffusion import SeedMLP
from seedpipe.enhancers.normalization import Normalization
from seedpipe.enhancers.trainer import Trainer, precision
from seedpipe.enhancers.training import Sample
from seedpipe.networks import load_network
from seedpipe.params import TrainParams

CPU = torch.device("cpu")
ROWS, BATCH_ROWS, VARIANTS, CROP_SAMPLES = 2_000, 256, 5, 32_240
NETWORK_BATCH = 32
ECAPA = "seedpipe.networks.ecapa:ECAPA"  # with random weights: what is in them does not change the speed


class Synthetic(EmbeddingLoader):
    """Random rows in memory; what is in them does not change the speed."""

    def __init__(self, dimension: int) -> None:
        self._rows = torch.randn(ROWS, VARIANTS, dimension, generator=torch.Generator().manual_seed(0))
        self.count, self.held_out_count = ROWS, 0
        self.held_out = Sample(self._rows[:0], torch.zeros(0, dtype=torch.int64))
        self.calibration = Sample(self._rows, torch.arange(ROWS))
        self.normalization = Normalization(kind="none")

    def batches(self, batch_rows: int, generator: torch.Generator) -> Iterator[Tensor]:
        """Batches without end."""
        while True:
            yield self._rows[torch.randperm(ROWS, generator=generator)[:batch_rows]]


def our_step(rows: EmbeddingLoader, wanted: str) -> Callable[[], object]:
    """The step of seedpipe.enhancers.trainer."""
    params = TrainParams(batch_rows=BATCH_ROWS, steps=100_000, precision=precision(wanted, CPU))
    trainer = Trainer(rows, params, CPU, torch.eye(rows.held_out.embeddings.shape[2]))  # with the skip of the defaults
    batches = rows.batches(BATCH_ROWS, trainer.generator)
    return lambda: trainer.training_step(next(batches))


def plain_step(rows: EmbeddingLoader, dimension: int) -> Callable[[], object]:
    """A plain step: no fused optimiser, no average of the weights, one number read from the device."""
    from diffusers.schedulers.scheduling_ddim import DDIMScheduler

    network = SeedMLP(dimension)
    optimizer = torch.optim.AdamW(network.parameters(), lr=5e-4, weight_decay=5e-5)
    scheduler = DDIMScheduler(num_train_timesteps=1_000, beta_schedule="scaled_linear", prediction_type="sample")
    batches = rows.batches(BATCH_ROWS, torch.Generator().manual_seed(0))
    total = 0.0

    def step() -> None:
        nonlocal total
        batch = next(batches)
        source = batch.reshape(-1, dimension)
        target = batch[:, :1].expand(-1, VARIANTS, -1).reshape(-1, dimension)
        noise = torch.randn_like(target)
        timesteps = torch.randint(0, 1_000, (len(target),))
        optimizer.zero_grad()
        loss = functional.l1_loss(network(scheduler.add_noise(source, noise, timesteps), timesteps), target)
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 9_999.0)
        optimizer.step()
        total += loss.item()

    return step


def medians(steps: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Median seconds of each step, taken in turn, so that a busy machine is as bad for all."""
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    for count in range(rounds + 2):
        for name, step in steps.items():
            started = time.perf_counter()
            step()
            if count >= 2:
                seconds[name].append(time.perf_counter() - started)
    return {name: statistics.median(values) for name, values in seconds.items()}


def product_rate(dtype: torch.dtype, size: int = 2_048) -> float:
    """Floating-point operations per second in the product of two square matrices."""
    left, right = torch.ones(2, size, size, dtype=dtype)
    best = math.inf
    for _ in range(30):  # the best, as it is the ceiling for all others
        started = time.perf_counter()
        _ = left @ right
        best = min(best, time.perf_counter() - started)
    return 2 * size**3 / best


def step_products(dimension: int) -> float:
    """Floating-point operations of the matrix products of a step: twice the weights forward, twice that backward."""
    weights = sum(weight.numel() for weight in SeedMLP(dimension).parameters() if weight.ndim == 2)
    return 6.0 * weights * BATCH_ROWS * VARIANTS


def compare(dimension: int, rounds: int) -> dict[str, Any]:
    """Both steps for one dimension."""
    rows = Synthetic(dimension)
    steps = {
        "plain": plain_step(rows, dimension),
        "float32": our_step(rows, "float32"),
        "auto": our_step(rows, "auto"),
    }
    seconds, work = medians(steps, rounds), step_products(dimension)
    return {
        "dimension": dimension,
        "precision": precision("auto", CPU),
        "seconds": seconds,
        "products_per_second": {name: work / value for name, value in seconds.items()},
        "times_plain": seconds["plain"] / seconds["auto"],
    }


def experiment(name: str, hours: float, rounds: int) -> dict[str, Any]:
    """A whole experiment of the authors' size by measured rates: crops of 2 s, clean and three variants of each."""
    network = load_network(name)
    waves = 0.1 * torch.randn(NETWORK_BATCH, CROP_SAMPLES, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        (seconds,) = medians({"network": lambda: network(waves)}, rounds).values()
    crops = NETWORK_BATCH / seconds
    rows = Synthetic(network.dimension)
    (step,) = medians({"ours": our_step(rows, "auto")}, 8).values()
    vectors = BATCH_ROWS * VARIANTS / step
    utterances, variants, epochs, draws = round(hours * 300), 4, 60, 10  # utterances of 12 s
    passes = utterances * variants
    cached = epochs * passes / vectors
    # The authors' loop runs the network on the clean crop twice, and trains on four pairs.
    uncached = epochs * (utterances * (variants + 1) / crops + passes / vectors)
    return {
        "network": network.name,
        "hours": hours,
        "crops_per_second": crops,
        "vectors_per_second": vectors,
        "cached_seconds": cached,
        "uncached_seconds": uncached,
        "times": uncached / cached,
        "extraction_seconds": draws * passes / crops,
    }


def lines(figures: dict[str, Any]) -> Iterator[str]:
    """The figures for people."""
    rates = figures["product_rate"]
    yield f"{figures['threads']} threads, torch {torch.__version__}; one matrix product: " + ", ".join(
        f"{name} {rate / 1e9:.0f} GFLOP/s" for name, rate in rates.items()
    )
    for entry in figures["steps"]:
        yield f"D = {entry['dimension']}: {BATCH_ROWS} rows x {VARIANTS} variants a step"
        for name, seconds in entry["seconds"].items():
            kind = entry["precision"] if name == "auto" else "float32"
            rate = entry["products_per_second"][name]
            label = {"plain": "plain step", "float32": "ours, float32", "auto": f"ours, auto ({kind})"}[name]
            times = entry["seconds"]["plain"] / seconds
            yield (
                f"  {label:22s} {1e3 * seconds:7.1f} ms, {times:4.2f} times the plain step,"
                f" {rate / 1e9:4.0f} GFLOP/s ({100 * rate / rates[kind]:.0f} % of a {kind} product)"
            )
    whole = figures["experiment"]
    yield (
        f"experiment: {whole['hours']:g} h of speech in files of 12 s, 60 epochs, clean and 3 variants,"
        f" network {whole['network']}"
        f" at {whole['crops_per_second']:.1f} crops/s, training at {whole['vectors_per_second']:,.0f} vectors/s"
    )
    yield (
        f"  on cached vectors {whole['cached_seconds'] / 3600:.2f} h, with the network in every epoch"
        f" {whole['uncached_seconds'] / 3600:.1f} h: {whole['times']:.0f} times;"
        f" extraction of 10 draws, once for all experiments: {whole['extraction_seconds'] / 3600:.1f} h"
    )


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = reader(__doc__)
    parser.add_argument("--dimensions", type=int, nargs="+", default=[192, 256, 512], help="embedding dimensions")
    parser.add_argument("--network", default=ECAPA, help="frozen speaker network of the whole experiment")
    parser.add_argument("--hours", type=float, default=1_000.0, help="hours of speech of the whole experiment")
    parser.add_argument("--rounds", type=int, default=12, help="measured steps of each kind")
    return parser.parse_args()


@guarded
def main() -> None:
    """Run the benchmark."""
    given = arguments()
    figures = {
        "threads": torch.get_num_threads(),
        "product_rate": {"float32": product_rate(torch.float32), "bfloat16": product_rate(torch.bfloat16)},
        "steps": [compare(dimension, given.rounds) for dimension in given.dimensions],
        "experiment": experiment(given.network, given.hours, 5),
    }
    print("\n".join(lines(figures)))
    keep(given.json, figures)


if __name__ == "__main__":
    sys.exit(main())
