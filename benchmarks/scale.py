"""Plan and extract a manifest of very many utterances, and watch the memory.

All utterances are one short file under different names, one draw and one noisy variant each, for a network that costs
nothing: what is left is the work of seedpipe itself. Planning is ``seedpipe extract --dry-run``; the memory is the most
that was resident in the main process, and in the largest of its workers.

    python benchmarks/scale.py --rows 1000000
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

from seedpipe.audio import decode
from seedpipe.audio.manifest import BANKS, COLUMNS, SPEECH

RATE = 16_000
PARAMS = "extract: {crop_samples: 4000, draws: 1, variants: [noise]}\n"
NETWORK = "crash:Loudness"  # of benchmarks/crash.py


def main() -> None:
    """Print time and memory of planning and, unless told otherwise, of the extraction."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--jobs", type=int, default=2, help="worker processes")
    parser.add_argument("--plan-only", action="store_true", help="do not extract")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="scale-") as folder:
        command = prepare(Path(folder), arguments.rows, arguments.jobs)
        planned = measure([*command, "--dry-run"])
        print(f"planning {arguments.rows:,} rows: {planned.seconds:.0f} s, peak {planned.main_gib:.2f} GiB")
        if not arguments.plan_only:
            made = measure(command)
            print(
                f"extracting them with {arguments.jobs} workers: {made.seconds:.0f} s, "
                f"{arguments.rows / made.seconds:,.0f} rows/s, "
                f"peak {made.main_gib:.2f} GiB, of the largest worker {made.worker_gib:.2f} GiB"
            )


def prepare(folder: Path, rows: int, jobs: int) -> list[str]:
    """Write manifests and parameters; returns the command that extracts them."""
    tone = 0.3 * np.sin(2 * np.pi * 200 * np.arange(RATE // 2) / RATE)
    soundfile.write(folder / "tone.wav", tone, RATE)
    info = decode.probe(folder / "tone.wav")
    file = [info.bytes, info.frames / info.sample_rate, info.sample_rate, 0, info.frames, info.digest]
    for name, count in ((SPEECH, rows), (BANKS["noise"], 1)):
        with (folder / name).open("w", newline="") as table:
            writer = csv.writer(table, quoting=csv.QUOTE_NONNUMERIC, lineterminator="\n")
            writer.writerow(COLUMNS)
            for number in range(count):
                speaker = f"speaker{number // 100:06d}"
                writer.writerow([f"train/{speaker}/{number:08d}.wav", str(folder / "tone.wav"), *file, speaker])
    (folder / "params.yaml").write_text(PARAMS)
    seedpipe = Path(sys.executable).with_name("seedpipe")
    options = f"--network {NETWORK} --device cpu --jobs {jobs} --params {folder / 'params.yaml'}"
    return [str(seedpipe), "extract", str(folder), str(folder / "cache"), *options.split()]


@dataclass
class Measured:
    """What a command took."""

    seconds: float = 0.0
    main_gib: float = 0.0
    worker_gib: float = 0.0


def measure(command: list[str]) -> Measured:
    """Run a command, and ask the system again and again what its processes took at their peak."""
    measured = Measured()
    path = os.pathsep.join(filter(None, [str(Path(__file__).parent), os.environ.get("PYTHONPATH")]))
    start = time.perf_counter()
    process = subprocess.Popen(command, env=os.environ | {"PYTHONPATH": path}, start_new_session=True)  # noqa: S603
    while process.poll() is None:
        for pid, gib in peaks(process.pid):
            if pid == process.pid:
                measured.main_gib = max(measured.main_gib, gib)
            else:
                measured.worker_gib = max(measured.worker_gib, gib)
        time.sleep(0.2)
    measured.seconds = time.perf_counter() - start
    if process.returncode:
        sys.exit(process.returncode)
    return measured


def peaks(group: int) -> Iterator[tuple[int, float]]:
    """Processes of a group, each with the most memory that it ever had resident, in GiB."""
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(ProcessLookupError, FileNotFoundError):
            if os.getpgid(int(folder.name)) == group:
                status = (folder / "status").read_text()
                peak = re.search(r"VmHWM:\s+(\d+) kB", status)
                yield int(folder.name), int(peak[1]) / 2**20 if peak else 0.0


if __name__ == "__main__":
    main()
