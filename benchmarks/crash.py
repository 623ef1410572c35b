"""Kill extractions again and again, let them go on, and compare the caches with an undisturbed one.

A life is one run of :func:`seedpipe.extract.extract` in a process group of its own, forked from a server that has
imported everything: so a life lasts a second, and all of it is work. It is ended by SIGKILL to the whole group, either
at a random moment or just before a random one of its file operations, of which it makes hundreds (an audit hook counts
them): that puts kills between any two steps of writing, publishing and clearing up.

A row of one to three kills starts from nothing, from a damaged cache that is to be replaced, or from a whole one. After
each kill, what is at the cache's place must be nothing, what was there before, or the whole cache. Then a last life
goes to its end: the cache must equal the undisturbed one byte for byte, nothing else may be left, and no more units
of work may have been begun again than there were workers killed.

    python benchmarks/crash.py --kills 100
    python benchmarks/crash.py --kills 100 --jobs 2 --data data/demo --network dvector
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import multiprocessing
import os
import shutil
import signal
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
import soundfile
import torch

from seedpipe.audio import layout
from seedpipe.cache import open_cache
from seedpipe.extract import extract, shards, work
from seedpipe.params import ExtractParams, MachineParams, ManifestParams

RATE = 16_000
BEGINNINGS = ("nothing", "damaged", "whole")
PHASES = ("before the first shard", "between shards", "publishing", "clearing up", "nothing to do")
LONGEST_ROW = 3
PATIENCE = 120  # seconds that an undisturbed life may take
SMALL = ExtractParams(crop_samples=4_000, draws=2, variants=("noise", "reverb"), shard_rows=6)


def main() -> None:
    """Print a line for each kind of beginning; exit with 1 if any promise was broken."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--jobs", type=int, default=1, help="worker processes")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--data", type=Path, help="a data folder (docs/data.md) instead of 30 tones")
    parser.add_argument("--network", default="crash:Loudness", help="instead of one that costs nothing")
    arguments = parser.parse_args()
    os.environ["PYTHONWARNINGS"] = (
        "ignore"  # the resource trackers of Python and loky say what they remove after a kill
    )
    with tempfile.TemporaryDirectory(prefix="crash-") as folder:
        data = arguments.data or tones(Path(folder, "data"), utterances=30)
        layout.write_training_manifests(ManifestParams(root=data), Path(folder, "manifests"))
        params = ExtractParams() if arguments.data else SMALL
        task = Task(Path(folder, "manifests"), arguments.network, params, arguments.jobs)
        torture = Torture(task, Path(folder, "lives"), np.random.default_rng(arguments.seed))
        torture.run(arguments.kills)
    print(torture.summary())
    sys.exit(bool(torture.violations))


class Loudness:
    """A network without weights: the loudness of eight equal parts of a waveform."""

    name, sample_rate, dimension, min_samples = "loudness", RATE, 8, 800

    def __call__(self, waveforms: torch.Tensor) -> torch.Tensor:
        """Embed waveforms (B, T)."""
        used = waveforms.shape[1] // self.dimension * self.dimension
        return waveforms[:, :used].unflatten(1, (self.dimension, -1)).square().mean(dim=2).sqrt()

    def fingerprint(self) -> str:
        """There is nothing that could differ."""
        return "loudness"

    def to(self, device: torch.device) -> Loudness:  # noqa: ARG002
        """There is nothing to move."""
        return self


def tones(root: Path, utterances: int) -> Path:
    """Make a data folder of short tones in noise."""
    generator = np.random.default_rng(0)
    names = [f"train/{number % 5}/{number}.wav" for number in range(utterances)]
    names += [f"{part}/{number}.wav" for part in ("noise", "music", "rir") for number in range(4)]
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        seconds = np.arange(generator.integers(3_000, 12_000)) / RATE
        wave = 0.3 * np.sin(2 * np.pi * generator.uniform(80, 400) * seconds)
        soundfile.write(path, wave + 0.02 * generator.standard_normal(seconds.size), RATE)
    return root


# ----------------------------------------------------------------------------------------------------------- a life


@dataclass(frozen=True)
class Task:
    """What every life is to make."""

    manifests: Path
    network: str
    params: ExtractParams
    jobs: int


def live(task: Task, out: Path, journal: Path, last_step: int, report: Connection) -> None:
    """Extract in this process; journal the units that are begun; die before the file operation of a given number.

    Parameters
    ----------
    last_step : int
        0 to survive. Workers are forked, so they go on counting from the number at which they were.
    report : Connection
        Sent None when work begins, and in the end the number of file operations.
    """
    os.setpgid(0, 0)
    torch.set_num_threads(1)
    _journal_units(journal)
    if task.jobs > 1:
        fork_workers()
    steps = _count_steps(out.parent, last_step)
    report.send(None)
    machine = MachineParams(jobs=task.jobs, device="cpu")
    extract(task.manifests, task.network, out, task.params, kind="training", machine=machine)
    report.send(steps())


def _journal_units(journal: Path) -> None:
    make = work.Worker.unit

    def begin(worker: work.Worker, unit: shards.Job, *report: Callable[[], None]) -> object:
        with journal.open("a") as file:
            file.write(f"{unit.path.name}\n")
        return make(worker, unit, *report)

    work.Worker.unit = begin  # type: ignore[method-assign, assignment]


def fork_workers() -> None:
    """Let loky fork its workers, which inherit the journal and the hook and start at once."""
    from joblib.externals.loky.backend import context

    context._DEFAULT_START_METHOD = "fork"
    warnings.filterwarnings("ignore", "`fork` start method", UserWarning)


def _count_steps(folder: Path, last_step: int) -> Callable[[], int]:
    """Count what is done to files below a folder, and die at the given number."""
    count = 0

    def hook(event: str, arguments: tuple[object, ...]) -> None:
        nonlocal count
        named = event.startswith(("open", "os.", "shutil.")) and any(str(folder) in str(part) for part in arguments)
        within = event == "os.remove" and arguments[-1] != -1  # rmtree says the name within an open folder
        if named or within or event == "ctypes.dlsym":  # that is renameat2
            count += 1
            if count == last_step:
                os.killpg(0, signal.SIGKILL)

    sys.addaudithook(hook)
    return lambda: count


# --------------------------------------------------------------------------------------------------------- many lives


@dataclass
class Tally:
    """What happened from one kind of beginning."""

    kills: collections.Counter[str] = field(default_factory=collections.Counter)
    rows: int = 0
    repeated: int = 0


class Torture:
    """Lives, deaths and what was found after them.

    Attributes
    ----------
    violations : list of str
        Promises that were broken.
    reference : dict of str to bytes
        The files of the undisturbed cache.
    """

    def __init__(self, task: Task, folder: Path, generator: np.random.Generator) -> None:
        self.task, self.folder, self.generator = task, folder, generator
        self.out, self.journal = folder / "place/cache", folder / "journal"
        self.violations: list[str] = []
        self.tallies = {beginning: Tally() for beginning in BEGINNINGS}
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload(["torch", "seedpipe.extract", "seedpipe.networks.dvector"])

        self.out.parent.mkdir(parents=True)
        self.live()
        self.reference = contents(self.out)

    def run(self, kills: int) -> None:
        """Measure undisturbed lives, then kill as often as asked for."""
        measured = {beginning: self.undisturbed(beginning) for beginning in BEGINNINGS}
        done = 0
        while done < kills:
            beginning = BEGINNINGS[self.generator.integers(len(BEGINNINGS))]
            row = min(kills - done, int(self.generator.integers(1, LONGEST_ROW + 1)))
            done += self._row(beginning, row, *measured[beginning])

    def undisturbed(self, beginning: str) -> tuple[float, int]:
        """Seconds and file operations of an undisturbed life."""
        self.begin(beginning)
        measured = self.live()
        self.check_end(f"an undisturbed life from {beginning}")
        if measured is None:
            raise SystemExit("\n".join(self.violations))
        return measured

    def summary(self) -> str:
        """A table, and the violations."""
        width = max(map(len, PHASES))
        lines = [f"{'killed':{width}}" + "".join(f"{name:>10}" for name in BEGINNINGS)]
        lines += [
            f"{phase:{width}}" + "".join(f"{self.tallies[name].kills[phase]:>10}" for name in BEGINNINGS)
            for phase in PHASES
        ]
        for what in ("rows", "repeated"):
            label = "rows of kills" if what == "rows" else "units begun again"
            lines.append(f"{label:{width}}" + "".join(f"{getattr(self.tallies[n], what):>10}" for n in BEGINNINGS))
        kills = sum(tally.kills.total() for tally in self.tallies.values())
        verdict = "\n".join(self.violations) or "every cache equals the undisturbed one, nothing was left over"
        return "\n".join([*lines, f"{kills} kills, {self.task.jobs} workers: {verdict}"])

    def _row(self, beginning: str, kills: int, seconds: float, steps: int) -> int:
        """Kill so many times in a row, then let a life go to its end; returns the kills."""
        before = self.begin(beginning)
        tally, done = self.tallies[beginning], 0
        while done < kills:
            if self.generator.random() < 0.5:
                survived = self.live(kill_after=self.generator.uniform(0, seconds))
            else:
                survived = self.live(last_step=int(self.generator.integers(1, steps + 1)))
            done += 1
            if survived:
                break  # what is left to do after kills takes less time and fewer steps
            tally.kills[self._phase()] += 1
            self.check_place(before, f"kill {done} of a row from {beginning}")
        killed = done - bool(survived)
        self.live()
        self.check_end(f"{killed} kills from {beginning}")
        repeated = sum(count - 1 for count in collections.Counter(self.journal.read_text().split()).values())
        if repeated > killed * self.task.jobs:
            self.violations.append(f"{repeated} units were begun again after {killed} kills from {beginning}")
        tally.rows += 1
        tally.repeated += repeated
        return killed

    def begin(self, beginning: str) -> dict[str, bytes]:
        """Put something at the place of the cache; returns its contents."""
        shutil.rmtree(self.out.parent)
        self.out.parent.mkdir()
        self.journal.write_text("")
        if beginning == "nothing":
            return {}
        self.out.mkdir()
        for name, data in self.reference.items():
            (self.out / name).write_bytes(data)
        if beginning == "damaged":
            names = sorted(name for name in self.reference if name.startswith("shard-"))
            path = self.out / names[self.generator.integers(len(names))]
            data = bytearray(path.read_bytes())
            data[self.generator.integers(len(data))] ^= 1 << self.generator.integers(8)
            path.write_bytes(data)
        return contents(self.out)

    def live(self, kill_after: float = float("inf"), last_step: int = 0) -> tuple[float, int] | None:
        """One life; returns its seconds and its file operations, or None if it was killed."""
        receive, send = self._context.Pipe(duplex=False)
        process = self._context.Process(target=live, args=(self.task, self.out, self.journal, last_step, send))
        process.start()
        send.close()
        receive.recv()  # work begins
        start = time.perf_counter()
        process.join(min(kill_after, PATIENCE))
        seconds = time.perf_counter() - start
        if process.exitcode is None:
            os.killpg(process.pid, signal.SIGKILL)  # type: ignore[arg-type]
            process.join()
            if kill_after > PATIENCE:
                self.violations.append(f"a life did not end within {PATIENCE} s")
        wait_for_group(process.pid)
        if process.exitcode == 0:
            return seconds, receive.recv()
        if process.exitcode != -signal.SIGKILL:
            self.violations.append(f"a life ended with exit code {process.exitcode}")
        return None

    def _phase(self) -> str:
        works = [path for path in self.out.parent.iterdir() if path.is_dir() and path != self.out]
        if self.out.exists() and contents(self.out) == self.reference:
            return "clearing up" if works else "nothing to do"
        if any((work / "manifest.json").exists() for work in works):
            return "publishing"
        return "between shards" if any(list(work.glob("shard-*.h5")) for work in works) else "before the first shard"

    def check_place(self, before: dict[str, bytes], when: str) -> None:
        """Nothing, what was there before, or the whole cache."""
        now = contents(self.out)
        if now == self.reference:
            open_cache(self.out).verify()
        elif now != before:
            self.violations.append(f"after {when} there is neither the old cache nor the new one: {sorted(now)}")

    def check_end(self, when: str) -> None:
        """The whole cache, and nothing else."""
        now = contents(self.out)
        if now != self.reference:
            names = {name for name in now.keys() | self.reference.keys() if now.get(name) != self.reference.get(name)}
            self.violations.append(f"after {when} the cache differs in {sorted(names)}")
        left = sorted(path.name for path in self.out.parent.iterdir() if path != self.out)
        if left:
            self.violations.append(f"after {when} there is left over: {', '.join(left)}")


def contents(folder: Path) -> dict[str, bytes]:
    """All files of a folder; none if there is no folder."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def wait_for_group(group: int | None) -> None:
    """Wait until no process of a killed group is left."""
    with contextlib.suppress(ProcessLookupError):
        while group:
            os.killpg(group, 0)
            time.sleep(0.001)


if __name__ == "__main__":
    main()
