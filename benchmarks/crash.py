"""Kill every command that writes, read its outputs meanwhile, and compare them with those of an undisturbed run.

A life is one run of a command in a process group of its own, forked from this process, which has imported everything:
so it lasts a fraction of a second, and all of it is work. It is ended by SIGKILL to the whole group, either at a random
moment or just before a random one of its file operations (an audit hook counts them), which puts kills between any two
steps of writing, publishing and clearing up. One to three kills follow on each other; then a life goes to its end.

A row of kills begins with the outputs of an earlier, other run or with nothing, that of an extraction with nothing, a
damaged cache or a whole one. Beside each life this process reads the outputs again and again. At each look, and after
each kill, they must be those that were there or the new ones, byte for byte; of several files that belong together some
may lack, but never may files of both runs lie side by side. In the end they must be the new ones, and nothing else may
be left; and an extraction may have begun no more units of work again than there were workers killed.

    python benchmarks/crash.py --kills 1000
    python benchmarks/crash.py --kills 50 --command "enhance to .ark" --seed 1
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import faulthandler
import functools
import json
import os
import shutil
import signal
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
import torch
from typer.testing import CliRunner

from seedpipe.cli import app
from seedpipe.extract import shards, work
from seedpipe.networks.resnet34 import ResNet34

RATE = 16_000
D, SPEAKERS, UTTERANCES, DRAWS = 8, 12, 4, 2
LONGEST_ROW = 3
LOOK_SECONDS = 0.003  # between two looks
PATIENCE = 120  # seconds that a life may take
Contents = dict[str, bytes]


@dataclass(frozen=True)
class Command:
    """A command, or several joined by ``&&``, with OUT for the output; V is the version of the inputs, 0 or 1."""

    name: str
    words: str
    out: str
    parts: bool = False
    """Whether it writes files that belong together, of which some may lack for an instant."""
    beginnings: tuple[str, ...] = ("old", "old", "old", "nothing")

    def lines(self, version: int, place: Path) -> list[list[str]]:
        """The command lines, each as a list of words."""
        texts = self.words.replace("V", str(version)).split(" && ")
        return [[word.replace("OUT", str(place / self.out)) for word in text.split()] for text in texts]


EXTRACT = "extract manV OUT --network crash:Loudness --params p.yaml"
EXTRACTED = ("nothing", "damaged", "whole")
PARAMS = """\
extract: {crop_samples: 4000, draws: 2, variants: [noise, reverb], shard_rows: 2}
machine: {jobs: 1, device: cpu}
"""
COMMANDS = (
    Command("extract", EXTRACT, "c", beginnings=EXTRACTED),
    Command("extract, 2 workers", f"{EXTRACT} --jobs 2", "c", beginnings=EXTRACTED),
    Command(
        "extract in parts",
        f"{EXTRACT} --shard 1/2 && {EXTRACT} --shard 2/2 && {EXTRACT}",
        "c",
        beginnings=("nothing",),
    ),
    Command("render", "cache render xV OUT --row 1 --variant noise --manifests manV", "r.wav"),
    Command("import", "cache import OUT --network n --clean eV.npz --noisy noise=noisyV.npz", "c"),
    Command("export to .npz", "cache export cV OUT", "e.npz"),
    Command("export to .parquet", "cache export cV OUT", "e.parquet"),
    Command("export to .ark", "cache export cV OUT --variant clean", "e.ark", parts=True),
    Command("enhance to .npy", "enhance m0 arrayV.npy OUT", "e.npy"),
    Command("enhance to .npz", "enhance m0 eV.npz OUT", "e.npz"),
    Command("enhance to .ark", "enhance m0 eV.npz OUT", "e.ark", parts=True),
    Command("enhance a cache", "enhance m0 cV OUT", "ec"),
    Command("train seed", "train cV OUT --steps 3 --set train.safeguard=false", "m"),
    Command("train whitening", "train cV OUT --enhancer whitening", "m"),
    Command("score", "score evV m0 trials.txt --out OUT --set score.bootstrap=100", "s.csv"),
    Command("calibrate", "calibrate scoresV.csv OUT", "cal.json"),
    Command("tables", "tables resultsV --out OUT", "t", parts=True),
    Command("report", "report resultsV --out OUT.html --markdown OUT.md", "r", parts=True),
    Command("figures", "figures resultsV --out OUT --format svg", "f", parts=True),
    Command("trials make", "trials make speakersV.csv OUT --targets 20 --nontargets 20", "list.txt"),
    Command("manifest", "manifest dataV OUT --no-params", "man", parts=True),
    Command("convert", "network convert wV.pt OUT --kind resnet34", "net"),
)


def main() -> None:
    """Print a line for each command; exit with 1 if anything was lost, mixed or left."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=220, help="of all commands together")
    parser.add_argument(
        "--command", action="append", choices=[command.name for command in COMMANDS], help="this one alone, or several"
    )
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    chosen = [command for command in COMMANDS if command.name in (arguments.command or [command.name])]
    total = Tally()
    print(f"{'command':20}{Tally.HEAD}")
    with tempfile.TemporaryDirectory(prefix="crash-") as folder, contextlib.chdir(folder):
        inputs()
        for number, command in enumerate(chosen):
            torture = Torture(command, Path("place").absolute(), np.random.default_rng([arguments.seed, number]))
            torture.run(arguments.kills // len(chosen) + (number < arguments.kills % len(chosen)))
            print(f"{command.name:20}{torture.tally}", *torture.tally.notes, sep="\n", flush=True)
            total += torture.tally
    print(f"{'all':20}{total}")
    sys.exit(total.faults > 0)


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


# ------------------------------------------------------------------------------------------------------------- inputs


def inputs() -> None:
    """Make what the commands read, in two versions, in the current folder."""
    names = np.array([f"s{n // UTTERANCES}/u{n % UTTERANCES}" for n in range(SPEAKERS * UTTERANCES)]).repeat(DRAWS)
    draws = np.tile(np.arange(DRAWS, dtype=np.int32), SPEAKERS * UTTERANCES)
    unique = list(dict.fromkeys(names.tolist()))
    pairs = [(int(a.split("/")[0] == b.split("/")[0]), a, b) for a in unique for b in unique if a < b]
    Path("p.yaml").write_text(PARAMS)
    Path("trials.txt").write_text("".join(f"{label} {a} {b}\n" for label, a, b in pairs))
    for version in (0, 1):
        generator = np.random.default_rng(version)
        clean = generator.standard_normal((SPEAKERS, D)).repeat(UTTERANCES * DRAWS, axis=0)
        clean = (clean + 0.5 * generator.standard_normal(clean.shape)).astype(np.float32)
        noisy = (clean + 0.5 * generator.standard_normal(clean.shape)).astype(np.float32)
        for name, values in (("e", clean), ("noisy", noisy)):
            np.savez(f"{name}{version}.npz", embeddings=values, utterance=names, draw=draws)
        np.save(f"array{version}.npy", clean)
        scores = [f"{a},{b},{label},{label + generator.standard_normal():.6f}\n" for label, a, b in pairs]
        Path(f"scores{version}.csv").write_text("enrol,test,label,score\n" + "".join(scores))
        rows = [f"{name},{name.split('/')[0]}{version}\n" for name in unique]
        Path(f"speakers{version}.csv").write_text("utterance,speaker\n" + "".join(rows))
        tones(Path(f"data{version}"), utterances=6, seed=version)
        said(f"manifest data{version} man{version} --no-params".split())
        said(f"extract man{version} x{version} --network crash:Loudness --params p.yaml".split())
        torch.manual_seed(version)
        torch.save(ResNet34().state_dict(), f"w{version}.pt")
        said(f"cache import c{version} --network n --clean e{version}.npz --noisy noise=noisy{version}.npz".split())
        sides = f"--embeddings e{version}.npz --condition noise=noisy{version}.npz"
        said(f"cache import ev{version} --network n {sides}".split())
        said(f"train c{version} m{version} --enhancer whitening".split())
        Path(f"results{version}").mkdir()
        found = said(f"score ev{version} m{version} trials.txt --json".split())
        Path(f"results{version}", "evaluation.json").write_text(found)


def tones(root: Path, utterances: int, seed: int = 0) -> Path:
    """Make a data folder of short tones in noise."""
    generator = np.random.default_rng(seed)
    names = [f"train/{number % 5}/{number}.wav" for number in range(utterances)]
    names += [f"{part}/{number}.wav" for part in ("noise", "music", "rir") for number in range(4)]
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        seconds = np.arange(generator.integers(3_000, 12_000)) / RATE
        wave = 0.3 * np.sin(2 * np.pi * generator.uniform(80, 400) * seconds)
        soundfile.write(path, wave + 0.02 * generator.standard_normal(seconds.size), RATE)
    return root


def said(line: list[str]) -> str:
    """Run a command in this process; gives what it printed."""
    result = CliRunner().invoke(app, line)
    if result.exit_code:
        raise SystemExit(f"{line}: {result.stderr}")
    return result.stdout


# ------------------------------------------------------------------------------------------------------------- a life


@dataclass(frozen=True)
class Life:
    """How a life ended: killed or not, after so many seconds and, unless it was killed, file operations."""

    killed: bool
    seconds: float
    steps: int = 0


def live(lines: list[list[str]], place: Path, last_step: int, report: int) -> None:
    """Run command lines in this process, which then ends; die before the file operation of a given number, 0 for none.

    Forked workers go on counting from the number at which their parent was.
    """
    with contextlib.suppress(BaseException):
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # what trackers of resources say of those of the dead
        faulthandler.enable()  # or loky's workers enable it, on a stream that CliRunner has put in the place of stderr
        _journal_units(journal_of(place))
        fork_workers()
        steps = _count_steps(place, last_step)
        runs = [CliRunner().invoke(app, line) for line in lines]
        failures = [run.stderr or repr(run.exception) for run in runs if run.exit_code]
        os.write(report, json.dumps([steps(), *failures]).encode())
    os._exit(0)


def journal_of(place: Path) -> Path:
    """Where the units of work are noted that were begun since the row began."""
    return place.with_name("journal")


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
    """What happened in the lives of a command; ``notes`` say what was wrong."""

    kills: int = 0
    looks: int = 0
    mixtures: int = 0
    left: int = 0
    unequal: int = 0
    again: int = 0
    notes: tuple[str, ...] = ()

    HEAD = f"{'kills':>8}{'looks':>10}{'mixtures':>10}{'left over':>11}{'unequal':>9}{'begun again':>13}"

    def __str__(self) -> str:
        return f"{self.kills:8,}{self.looks:10,}{self.mixtures:10,}{self.left:11,}{self.unequal:9,}{self.again:13,}"

    def __add__(self, other: Tally) -> Tally:
        return Tally(*(getattr(self, name) + getattr(other, name) for name in self.__dataclass_fields__))

    @property
    def faults(self) -> int:
        """Promises that were broken."""
        return self.mixtures + self.left + self.unequal + len(self.notes)


class Torture:
    """Lives of one command, and what was found beside and after them.

    Parameters
    ----------
    command : Command
    place : path
        A folder that is made and removed again and again; the journal of units is written beside it.
    generator : numpy Generator
    """

    def __init__(self, command: Command, place: Path, generator: np.random.Generator) -> None:
        self.command, self.place, self.generator = command, place, generator
        self.tally = Tally()
        self.before: Contents = {}
        self.old, self.new = (self._whole(version) for version in (0, 1))

    def run(self, kills: int) -> None:
        """Kill so often."""
        while self.tally.kills < kills:
            beginning = self.command.beginnings[self.generator.integers(len(self.command.beginnings))]
            life = self.undisturbed(beginning)
            deaths: list[dict[str, float]] = [
                {"kill_after": self.generator.uniform(0, life.seconds)}
                if self.generator.random() < 0.5
                else {"last_step": self.generator.integers(1, life.steps + 1)}
                for _ in range(min(kills - self.tally.kills, int(self.generator.integers(1, LONGEST_ROW + 1))))
            ]
            self.row(beginning, deaths)

    @functools.cache  # noqa: B019  # lives as long as its torture
    def undisturbed(self, beginning: str) -> Life:
        """How long an undisturbed life is."""
        self._begin(beginning)
        life = self._life()
        self._check_end(0)
        return life

    def row(self, beginning: str, deaths: list[dict[str, float]]) -> None:
        """Lives that are killed as asked for, or end before that; then one goes to its end."""
        self._begin(beginning)
        killed = sum(self._life(**death).killed for death in deaths)
        self.tally.kills += killed
        self._life()
        self._check_end(killed)

    def _whole(self, version: int) -> Contents:
        shutil.rmtree(self.place, ignore_errors=True)
        self.place.mkdir(parents=True)
        for line in self.command.lines(version, self.place):
            # Here, so that what is imported needs not be in each life; but who has had workers is no good to fork from.
            said([word if word != "2" else "1" for word in line])
        return contents(self.place)

    def _begin(self, beginning: str) -> None:
        shutil.rmtree(self.place)
        self.place.mkdir()
        journal_of(self.place).write_text("")
        for name, data in {"nothing": {}, "old": self.old}.get(beginning, self.new).items():
            path = self.place / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data) if not name.endswith("/") else path.mkdir(exist_ok=True)
        if beginning == "damaged":
            shard = self.place / str(self.generator.choice([name for name in self.new if name.endswith(".h5")]))
            data = bytearray(shard.read_bytes())
            data[self.generator.integers(len(data))] ^= 1 << self.generator.integers(8)
            shard.write_bytes(data)
        self.before = contents(self.place)

    def _life(self, last_step: float = 0, kill_after: float = float("inf")) -> Life:
        """One run, which is read beside."""
        reading, writing = os.pipe()
        start, child = time.monotonic(), os.fork()
        if not child:
            os.setpgid(0, 0)
            live(self.command.lines(1, self.place), self.place, int(last_step), writing)
        with contextlib.suppress(OSError):
            os.setpgid(child, child)  # whoever of us comes first
        os.close(writing)
        while os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
            if time.monotonic() - start > min(kill_after, PATIENCE):
                self._note(f"a life did not end within {PATIENCE} s", wrong=kill_after > PATIENCE)
                os.killpg(child, signal.SIGKILL)
                break
            self._look()
            time.sleep(LOOK_SECONDS)
        seconds = time.monotonic() - start
        with os.fdopen(reading) as pipe:
            steps, *failures = json.loads(pipe.read() or "[0]")
        killed = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
        wait_for_group(child)
        self._note(f"{self.command.name} failed: {failures}", wrong=bool(failures))
        self._note("a life ended without a word", wrong=not (killed or steps))
        self._look()
        return Life(killed, seconds, steps)

    def _note(self, text: str, *, wrong: bool) -> None:
        if wrong:
            self.tally.notes += (text,)

    def _look(self) -> None:
        """Look at the outputs once; files that vanish meanwhile are looked at as absent."""
        self.tally.looks += 1
        first, now, again = (contents(self.place) for _ in range(3))
        if not first == now == again:
            return  # in the middle of being replaced, which takes an instant
        names = self.before.keys() | self.new.keys()
        there = {name: data for name, data in now.items() if name in names}
        wholes = (self.before, self.new)
        if self.command.parts:
            wholes = tuple({name: data for name, data in whole.items() if name in there} for whole in wholes)
        if there not in wholes:
            self.tally.mixtures += 1
            self._note(f"there was {sorted(there)}, neither the old nor the new", wrong=True)

    def _check_end(self, killed: int) -> None:
        """The new outputs and nothing else; and no more work done twice than was in hand when it was killed."""
        now = contents(self.place)
        unequal = sorted(name for name, data in self.new.items() if now.get(name) != data)
        left = sorted(now.keys() - self.new.keys())
        self.tally.unequal += bool(unequal)
        self.tally.left += len(left)
        self._note(f"other than undisturbed: {unequal}", wrong=bool(unequal))
        self._note(f"left over: {left}", wrong=bool(left))
        begun = collections.Counter(journal_of(self.place).read_text().split())
        again = sum(count - 1 for count in begun.values())
        self.tally.again += again
        workers = 2 if "--jobs 2" in self.command.words else 1
        self._note(f"{again} units were begun again after {killed} kills", wrong=again > workers * killed)


def contents(folder: Path) -> Contents:
    """The files below a folder by name, and its folders by their name and a slash."""
    return dict(_entries(folder))


def _entries(folder: Path) -> Iterator[tuple[str, bytes]]:
    for place, folders, names in os.walk(folder):  # which passes over folders that vanish
        for path in (Path(place, name) for name in folders):
            yield f"{path.relative_to(folder).as_posix()}/", b""
        for path in (Path(place, name) for name in names):
            with contextlib.suppress(OSError):
                yield path.relative_to(folder).as_posix(), path.read_bytes()


def wait_for_group(group: int) -> None:
    """Wait until no process of a killed group is left."""
    with contextlib.suppress(ProcessLookupError):
        while True:
            os.killpg(group, 0)
            time.sleep(0.001)


if __name__ == "__main__":
    main()
