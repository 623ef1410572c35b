"""How fast embeddings are enhanced, and in how much memory: block by block, all at once, and one after the other.

    python benchmarks/enhance.py [--rows 1000000] [--dimension 256] [--json FILE]

The input is an .npy file of random embeddings, the model has random weights. *Streamed* is what ``seedpipe enhance``
does. *At once* is the plain way: read the array, one forward pass over all rows, write the array; as its memory grows
with the rows, it gets ``--whole-rows`` of them. *Row by row* is a loop over single embeddings, on ``--loop-rows`` of
them. Each runs in a process of its own; the memory is the most that was resident, less what was so after the model was
loaded. Results are compared on the rows that all three have.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import re
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import torch
from _common import keep, reader

import seedpipe
from seedpipe.cache import NetworkInfo
from seedpipe.console import guarded
from seedpipe.enhancers.diffusion import SeedMLP
from seedpipe.enhancers.files import enhance_file
from seedpipe.enhancers.normalization import Normalization
from seedpipe.enhancers.seed import Enhancer, ModelConfig
from seedpipe.params import TrainParams

WRITTEN_ROWS = 65_536  # at a time, of the random input
Way = Callable[[Path, Path, Path, int], None]


def streamed(model: Path, source: Path, out: Path, _: int) -> None:
    """What the command does."""
    enhance_file(model, source, out)


def at_once(model: Path, source: Path, out: Path, rows: int) -> None:
    """One forward pass over all rows."""
    enhancer = Enhancer.load(model)
    embeddings = torch.from_numpy(np.load(source)[:rows])
    np.save(out, enhancer.forward(embeddings, [torch.zeros_like(embeddings)], enhancer.config.train).numpy())


def row_by_row(model: Path, source: Path, out: Path, rows: int) -> None:
    """A forward pass for each row."""
    enhancer = Enhancer.load(model)
    embeddings = torch.from_numpy(np.array(np.load(source, mmap_mode="r")[:rows]))
    use, zeros = enhancer.config.train, torch.zeros(1, enhancer.dimension)
    np.save(out, torch.cat([enhancer.forward(row[None], [zeros], use) for row in embeddings]).numpy())


def measured(way: Way, model: Path, source: Path, out: Path, rows: int) -> dict[str, Any]:
    """Seconds and bytes of one way, in this process; loading the model is warmed up and left out of the memory."""
    small = source.with_name("warm-up.npy")
    way(model, small, out, len(np.load(small)))
    before = resident("VmRSS")
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # forget the peak so far, see proc(5)
    started = time.perf_counter()
    way(model, source, out, rows)
    seconds = time.perf_counter() - started
    return {"rows": rows, "seconds": seconds, "rows_per_second": rows / seconds, "bytes": resident("VmHWM") - before}


def resident(field: str) -> int:
    """A figure of the memory of this process, in bytes."""
    found = re.search(rf"{field}:\s+(\d+) kB", Path("/proc/self/status").read_text(encoding="ascii"))
    return int(found[1]) * 1024 if found else 0


def prepare(folder: Path, rows: int, dimension: int) -> tuple[Path, Path]:
    """Write a model of random weights and random embeddings; gives their places."""
    torch.manual_seed(0)
    network = SeedMLP(dimension)
    for weight in network.parameters():  # the last layers of a new network are zero
        torch.nn.init.normal_(weight, std=0.05)
    config = ModelConfig(
        network=NetworkInfo(name="random", fingerprint="", dimension=dimension, sample_rate=16_000),
        normalization=Normalization(kind="length", scale=dimension**0.5),
        train=TrainParams(normalize="length"),
        cache="",
        seedpipe=seedpipe.__version__,
    )
    Enhancer(network, config).save(folder / "model", "# Random weights\n")
    generator = np.random.default_rng(0)
    source = folder / "embeddings.npy"
    with source.open("wb") as file:
        header = {"descr": "<f4", "fortran_order": False, "shape": (rows, dimension)}
        np.lib.format.write_array_header_1_0(file, header)
        for start in range(0, rows, WRITTEN_ROWS):
            shape = (min(WRITTEN_ROWS, rows - start), dimension)
            file.write(generator.standard_normal(shape, dtype=np.float32).tobytes())
    np.save(folder / "warm-up.npy", np.ones((8, dimension), dtype=np.float32))
    return folder / "model", source


def benchmark(folder: Path, given: argparse.Namespace) -> dict[str, Any]:
    """All ways, one after the other."""
    model, source = prepare(folder, given.rows, given.dimension)
    counts = {streamed: given.rows, at_once: min(given.whole_rows, given.rows), row_by_row: given.loop_rows}
    figures: dict[str, Any] = {}
    outputs = []
    for way, rows in counts.items():
        out = folder / f"{way.__name__}.npy"
        with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
            figures[way.__name__] = pool.submit(measured, way, model, source, out, min(rows, given.rows)).result()
        outputs.append(np.load(out, mmap_mode="r"))
    shared = min(map(len, outputs))
    ours = outputs[0][:shared]
    differences = {
        way.__name__: float(np.abs(out[:shared] - ours).max()) for way, out in zip(counts, outputs, strict=True)
    }
    return {"dimension": given.dimension, "threads": threads(), "ways": figures, "largest_difference": differences}


def threads() -> int:
    """Threads of torch, which the processes of the ways share with this one."""
    return int(os.environ.get("OMP_NUM_THREADS") or torch.get_num_threads())


def lines(figures: dict[str, Any]) -> Iterator[str]:
    """The figures for people."""
    yield f"D = {figures['dimension']}, {figures['threads']} threads, torch {torch.__version__}"
    base = figures["ways"]["streamed"]["rows_per_second"]
    for name, way in figures["ways"].items():
        yield (
            f"{name.replace('_', ' '):10s} {way['rows']:9,} rows in {way['seconds']:7.2f} s,"
            f" {way['rows_per_second']:8,.0f} rows/s ({base / way['rows_per_second']:5.2f} times slower than streamed),"
            f" {way['bytes'] / 2**20:7,.0f} MiB, largest difference {figures['largest_difference'][name]:.1e}"
        )


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = reader(__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000, help="embeddings in the file")
    parser.add_argument("--dimension", type=int, default=256, help="their length")
    parser.add_argument("--whole-rows", type=int, default=200_000, help="rows that are enhanced at once, at most")
    parser.add_argument("--loop-rows", type=int, default=5_000, help="rows that are enhanced one after the other")
    return parser.parse_args()


@guarded
def main() -> None:
    """Run the benchmark."""
    given = arguments()
    with tempfile.TemporaryDirectory(prefix="enhance-") as folder:
        figures = benchmark(Path(folder), given)
    print("\n".join(lines(figures)))
    keep(given.json, figures)


if __name__ == "__main__":
    sys.exit(main())
