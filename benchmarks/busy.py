"""What other work on the machine costs a training: its steps beside busy processes, against its share of the cores.

    python benchmarks/busy.py [--processes 10] [--dimension 256] [--seconds 20] [--rounds 3] [--json FILE]

A training has as many threads as there are cores. Beside P processes that are always busy, a fair share of C cores for
its C threads is C / (C + P) of the machine, so that a step should take (C + P) / C times as long. What threads that
wait for each other lose on top is the cost that is printed: the time of a step over that of its share. Steps alone and
beside others are timed in turn.
"""

from __future__ import annotations

import contextlib
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import torch
from _common import keep, reader
from train import Synthetic, our_step

from seedpipe.console import guarded, say

BUSY = "while True: pass"


@contextlib.contextmanager
def company(processes: int) -> Iterator[None]:
    """Keep so many processes busy."""
    started = [subprocess.Popen([sys.executable, "-c", BUSY]) for _ in range(processes)]  # noqa: S603
    try:
        time.sleep(1)  # for them to start
        yield
    finally:
        for process in started:
            process.kill()
            process.wait()


def seconds_of(step: Callable[[], object], seconds: float) -> float:
    """Mean time of a step, over so many seconds."""
    started, count = time.perf_counter(), 0
    while (passed := time.perf_counter() - started) < seconds or count < 2:
        step()
        count += 1
    return passed / count


@guarded
def main() -> None:
    """Run the benchmark."""
    parser = reader(__doc__)
    parser.add_argument("--processes", type=int, default=10, help="busy processes beside the training")
    parser.add_argument("--dimension", type=int, default=256, help="of the embeddings")
    parser.add_argument("--seconds", type=float, default=20.0, help="of each measurement")
    parser.add_argument("--rounds", type=int, default=3, help="measurements alone and beside others")
    given = parser.parse_args()
    cores, threads = len(os.sched_getaffinity(0)), torch.get_num_threads()
    fair = max(1.0, (threads + given.processes) / cores)
    step = our_step(Synthetic(given.dimension), "auto")
    seconds_of(step, 2)
    alone, beside = [], []
    for number in range(given.rounds):
        alone.append(seconds_of(step, given.seconds))
        with company(given.processes):
            beside.append(seconds_of(step, given.seconds))
        say(f"round {number + 1}: {1e3 * alone[-1]:.0f} ms alone, {1e3 * beside[-1]:.0f} ms beside others")
    slower = statistics.median(beside) / statistics.median(alone)
    print(
        f"{cores} cores, {threads} threads, {given.processes} busy processes: a step takes {slower:.1f} times as long,"
        f" its share would be {fair:.1f} times; cost {slower / fair:.2f}"
    )
    figures = {"cores": cores, "threads": threads, "processes": given.processes, "alone": alone, "beside": beside}
    keep(given.json, figures | {"slower": slower, "share": fair, "cost": slower / fair})


if __name__ == "__main__":
    sys.exit(main())
