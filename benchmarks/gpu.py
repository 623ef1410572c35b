"""Everything about a GPU that is worth a figure, in one run of at most eight minutes: one JSON and one Markdown table.

    python benchmarks/gpu.py --json gpu.json --markdown gpu.md
    python benchmarks/gpu.py --tiny --device cpu

- *Stage one*: utterance-variants per second end to end, start of the workers included, over the bare network on blocks
  that already lie on the device; and what share the bare network has of the rate of one large matrix product. With TF32
  the bare network alone is measured: an extraction never rounds to it.
- *Table 2* of the paper: real-time factor and memory for one utterance of 4 s.
- *Training*: an epoch of 0.61 million rows in steps of 256, against the plain step of ``train.py`` on the same rows.
- *Scoring* of 580,000 trials and *enhancing* of 1,000,000 embeddings.

Speech is tones and weights are random: speed depends on neither. ``--tiny`` runs all of it in seconds on few rows, as a
test does; its figures mean nothing.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import crash
import numpy as np
import torch
from _common import keep, reader
from extract import repeat
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

from seedpipe.audio import layout
from seedpipe.bench.measurement import Setup, benchmark, measure
from seedpipe.bench.systems import SystemSpec, stages_of
from seedpipe.console import ProgressBar, guarded
from seedpipe.enhancers.data import EmbeddingLoader
from seedpipe.enhancers.diffusion import SeedMLP
from seedpipe.enhancers.normalization import Normalization
from seedpipe.enhancers.trainer import Trainer, precision
from seedpipe.enhancers.training import Sample
from seedpipe.errors import SeedpipeError
from seedpipe.extract import extract
from seedpipe.extract.embed import BLOCK, FIXED_FLAGS
from seedpipe.files import whole_file
from seedpipe.networks import SpeakerNetwork, load_network
from seedpipe.params import ExtractParams, MachineParams, ManifestParams, TrainParams
from seedpipe.scoring import pair_scores
from seedpipe.workers import choose_device

BUDGET = 480.0  # seconds
NETWORKS = {
    "resnet34": "random_networks:resnet34",
    "ecapa": "random_networks:ecapa",
    "wavlm_ecapa": "random_networks:wavlm_ecapa",
    "campplus": "seedpipe.networks.campplus:CAMPPlus",
    "dvector": "dvector",
}
ARITHMETIC = {"float32": torch.float32, "tf32": torch.float32, "bfloat16": torch.bfloat16}
BATCH_ROWS, DIMENSION, VARIANTS = 256, 512, 4
Rows = list[dict[str, Any]]


@guarded
def main() -> None:
    """Measure as much as the time allows, and write it down."""
    given = arguments()
    os.environ["PYTHONPATH"] = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
    device = torch.device(choose_device(given.device))
    bench = Bench(device, tiny=given.tiny, until=time.monotonic() + BUDGET)
    figures: dict[str, Any] = {
        "device": "cpu" if device.type == "cpu" else torch.cuda.get_device_name(device),
        "date": datetime.now(UTC).date().isoformat(),
        "torch": torch.__version__,
        "tiny": given.tiny,
    }
    measures: dict[str, Callable[[], Rows]] = {
        "products": bench.products,
        "training": bench.training,
        "extraction": lambda: bench.extraction(given.networks),
        "scoring": bench.scoring,
        "enhancing": bench.enhancing,
        "table2": lambda: bench.table2(given.networks),
    }
    for name, figures_of in measures.items():
        figures[name] = figures_of()
    text = markdown(figures)
    print(text)
    keep(given.json, figures)
    if given.markdown:
        with whole_file(given.markdown) as partial:
            partial.write_text(text + "\n", encoding="utf-8")


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = reader(__doc__)
    parser.add_argument("--markdown", type=Path, help="write the table to this file")
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=list(NETWORKS))
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cuda")
    parser.add_argument("--tiny", action="store_true", help="few rows: whether it runs, not how fast")
    return parser.parse_args()


@contextlib.contextmanager
def arithmetic(name: str, device: torch.device) -> Iterator[None]:
    """The flags of an extraction; with TF32 where that is asked for, in bfloat16 where that is."""
    reduced = torch.autocast(device.type, torch.bfloat16, enabled=name == "bfloat16")
    with torch.inference_mode(), FIXED_FLAGS, reduced, contextlib.ExitStack() as stack:
        if name == "tf32":
            stack.callback(torch.set_float32_matmul_precision, "highest")
            torch.set_float32_matmul_precision("high")
            stack.enter_context(torch.backends.cudnn.flags(enabled=True, deterministic=True, allow_tf32=True))
        yield


class Rotating(EmbeddingLoader):
    """Random rows on the device."""

    def __init__(self, rows: int, dimension: int, device: torch.device) -> None:
        self._rows = torch.randn(rows, VARIANTS, dimension, device=device)
        self.count, self.held_out_count = rows, 0
        self.held_out = Sample(self._rows[:0], torch.zeros(0, dtype=torch.int64))
        self.calibration = Sample(self._rows[:1], torch.zeros(1, dtype=torch.int64))
        self.normalization = Normalization(kind="none")

    def batches(self, batch_rows: int, generator: torch.Generator) -> Iterator[Tensor]:
        """Batches of one epoch, as numbers of rows."""
        order = torch.randperm(self.count, generator=generator, device=generator.device)
        yield from order[: self.count // batch_rows * batch_rows].view(-1, batch_rows)

    def gather(self, batch: Tensor) -> Tensor:
        """Rows of a batch."""
        return self._rows[batch]


class Bench:
    """What is measured on one device, until a point in time."""

    def __init__(self, device: torch.device, *, tiny: bool, until: float) -> None:
        self.device, self.tiny, self._until = device, tiny, until
        self.peaks: dict[str, float] = {}

    def late(self, seconds: float) -> bool:
        """Whether so many seconds are no longer left."""
        return time.monotonic() + seconds > self._until

    def seconds(self, work: Callable[[], object], least: float = 1.0) -> float:
        """Seconds of a call, over at least so many seconds, after one to warm up."""
        work()
        self.wait()
        start, calls = time.perf_counter(), 0
        while not calls or (time.perf_counter() - start < least and not self.tiny):
            work()
            self.wait()
            calls += 1
        return (time.perf_counter() - start) / calls

    def wait(self) -> None:
        """Wait for the device."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    def products(self) -> Rows:
        """Operations per second of one large matrix product."""
        size = 64 if self.tiny else 8_192
        for name, dtype in ARITHMETIC.items():
            left = torch.randn(size, size, device=self.device, dtype=dtype)
            with arithmetic(name, self.device):
                self.peaks[name] = 2 * size**3 / self.seconds(lambda left=left: left @ left)  # type: ignore[misc]
        return [{"arithmetic": name, "teraflops": rate / 1e12} for name, rate in self.peaks.items()]

    def extraction(self, networks: list[str]) -> Rows:
        """Utterance-variants per second, end to end and of the bare network."""
        found: Rows = []
        for name in networks:
            for kind in ARITHMETIC:
                if self.late(30):
                    found.append({"network": name, "arithmetic": kind, "note": "no time left"})
                    continue
                with tempfile.TemporaryDirectory() as folder:
                    found.append({"network": name, "arithmetic": kind} | self._network(name, kind, Path(folder)))
        return found

    def _network(self, name: str, kind: str, folder: Path) -> dict[str, Any]:
        params = ExtractParams(draws=1 if self.tiny else 10, precision="bfloat16" if kind == "bfloat16" else "float32")
        network = load_network(NETWORKS[name]).to(self.device)
        block = 0.1 * torch.randn(BLOCK, params.crop_samples, device=self.device)
        with arithmetic(kind, self.device):
            bare = BLOCK / self.seconds(lambda: network(block))
        figures: dict[str, Any] = {"bare": bare}
        if work := operations(network, block):
            figures["share_of_product"] = work * bare / BLOCK / self.peaks[kind]
        if kind == "tf32":
            return figures
        variants = 1 + len(params.variants)
        utterances = 2 if self.tiny else max(64, round(10 * bare / (params.draws * variants)))
        layout.write_training_manifests(
            ManifestParams(root=crash.tones(folder / "data", min(utterances, 64))), folder / "all"
        )
        repeat(folder, utterances)
        start = time.perf_counter()
        machine = MachineParams(device=self.device.type, jobs=1 if self.tiny else 0)  # type: ignore[arg-type]
        try:
            extract(folder / "some", NETWORKS[name], folder / "cache", params, kind="training", machine=machine)
        except SeedpipeError as error:  # random weights may not bear bfloat16
            return figures | {"note": error.found}
        rate = utterances * params.draws * variants / (time.perf_counter() - start)
        return figures | {"end_to_end": rate, "ratio": rate / bare}

    def table2(self, networks: list[str]) -> Rows:
        """Real-time factor and memory of one utterance of 4 s, alone and with an untrained SEED."""
        chosen = networks[-1:] if self.tiny else networks
        systems = [SystemSpec(NETWORKS[name], enhancer=kind) for name in chosen for kind in (None, "seed")]
        setup = Setup((1,), 4.0, 1 if self.tiny else 20, device=self.device.type)
        found: Rows = []
        here = (measure(system, 1, setup) for system in systems)  # not in a process of its own for each
        for row in here if self.tiny else benchmark(systems, setup, ProgressBar("table 2", "systems")):
            memory = row.peak_memory_bytes and row.peak_memory_bytes / 2**20
            found.append({"system": row.system, "real_time_factor": row.real_time_factor, "memory_mib": memory})
            if self.late(20):
                break
        return found

    def training(self) -> Rows:
        """An epoch of 0.61 million rows, by our step and by the plain one."""
        dimension = 16 if self.tiny else DIMENSION
        rows = Rotating(8 * BATCH_ROWS if self.tiny else 610_000, dimension, self.device)
        wanted = precision("auto", self.device)
        steps = rows.count // BATCH_ROWS
        ours = Trainer(
            rows, TrainParams(batch_rows=BATCH_ROWS, steps=steps, precision=wanted, cuda_graph=True), self.device
        )  # type: ignore[arg-type]
        plain = plain_step(dimension, self.device)
        generator = torch.Generator(self.device).manual_seed(0)
        found: Rows = []
        for name, step in (("ours", ours.training_step), ("plain", lambda batch: plain(rows.gather(batch)))):
            batches = iter(rows.batches(BATCH_ROWS, generator))
            for batch in itertools.islice(batches, 5):  # a graph is captured after three
                step(batch)
            self.wait()
            start, done = time.perf_counter(), 0
            for batch in batches:
                step(batch)
                done += 1
                if time.perf_counter() - start > 20:
                    break
            self.wait()
            seconds = (time.perf_counter() - start) / done
            found.append({"step": name, "milliseconds": 1e3 * seconds, "epoch_seconds": seconds * steps})
        return [row | {"times_plain": found[1]["milliseconds"] / row["milliseconds"]} for row in found]

    def scoring(self) -> Rows:
        """Seconds of 580,000 trials over 145,000 utterances."""
        utterances, trials = (50, 100) if self.tiny else (145_000, 580_000)
        rng = np.random.default_rng(0)
        rows, found = rng.integers(0, utterances, (2, trials)), []
        for method, crops in (("cosine", 1), ("euclidean", 10)):
            embeddings = rng.standard_normal((utterances, crops, DIMENSION), dtype=np.float32)
            work = lambda e=embeddings, m=method: pair_scores(e, e, *rows, m, device=self.device.type)  # noqa: E731
            found.append({"method": method, "crops": crops, "trials": trials, "seconds": self.seconds(work)})
        return found

    def enhancing(self) -> Rows:
        """Seconds of 1,000,000 embeddings, from memory and back."""
        rows = 100 if self.tiny else 1_000_000
        enhance = stages_of(SystemSpec("dvector", enhancer="seed"), 4.0, self.device)[-1].call
        embeddings = torch.randn(rows, 256, generator=torch.Generator().manual_seed(0))
        seconds = self.seconds(lambda: [enhance(part.to(self.device)).cpu() for part in embeddings.split(4_096)])
        return [{"rows": rows, "seconds": seconds, "rows_per_second": rows / seconds}]


def operations(network: SpeakerNetwork, block: Tensor) -> float:
    """Operations of the convolutions and matrix products of a forward pass; 0 with recurrent layers, not counted."""
    if any(isinstance(part, nn.RNNBase) for part in getattr(network, "modules", list)()):
        return 0.0
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        network(block)
    return float(counter.get_total_flops())


def plain_step(dimension: int, device: torch.device) -> Callable[[Tensor], object]:
    """A step of the authors' kind: float32, no fused optimiser, the loss read each time."""
    from diffusers.schedulers.scheduling_ddim import DDIMScheduler

    network = SeedMLP(dimension).to(device)
    optimizer = torch.optim.AdamW(network.parameters(), lr=5e-4, weight_decay=5e-5)
    scheduler = DDIMScheduler(num_train_timesteps=1_000, beta_schedule="scaled_linear", prediction_type="sample")

    def step(batch: Tensor) -> float:
        source = batch.flatten(0, 1)
        target = batch[:, :1].expand_as(batch).flatten(0, 1)
        timesteps = torch.randint(0, 1_000, (len(target),), device=device)
        optimizer.zero_grad()
        noisy = scheduler.add_noise(source, torch.randn_like(target), timesteps)
        loss = functional.l1_loss(network(noisy, timesteps), target)
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 9_999.0)
        optimizer.step()
        return loss.item()

    return step


def markdown(figures: dict[str, Any]) -> str:
    """Tables for docs/performance.md."""
    lines = [f"{figures['device']}, torch {figures['torch']}, {figures['date']}" + " (tiny)" * figures["tiny"]]
    for name, rows in figures.items():
        if isinstance(rows, list) and rows:
            columns = list(dict.fromkeys(column for row in rows for column in row))
            lines += ["", f"### {name}", "", f"| {' | '.join(columns)} |", "|---" * len(columns) + "|"]
            lines += [f"| {' | '.join(cell(row.get(column)) for column in columns)} |" for row in rows]
    return "\n".join(lines)


def cell(value: object) -> str:
    """A figure with four digits."""
    return f"{value:,.4g}" if isinstance(value, float) else "" if value is None else str(value)


if __name__ == "__main__":
    sys.exit(main())
