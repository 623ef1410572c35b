"""Kill every command that writes, read its outputs meanwhile, and compare them with those of an undisturbed run.

Each command is run again and again where the outputs of an earlier, other run lie (or nothing), in a process forked
from this one, which has imported everything. It is killed (SIGKILL) just before a random one of the file operations
that it makes below the folder of the outputs. Beside each run this process reads the outputs without a pause. At every
such moment, and after every kill, the outputs must be those of the earlier run or of the new one, byte for byte; of
several files that belong together some may lack, but never may files of both runs lie side by side. After each kill an
undisturbed run must give the new outputs, and leave nothing else.

Extraction has a script of its own, too, crash.py: with workers that die with it, from a damaged cache or a whole one.

    python benchmarks/crash_commands.py --kills 20
    python benchmarks/crash_commands.py --kills 10 --command "enhance to .ark"
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
import torch
from typer.testing import CliRunner

from seedpipe.cli import app
from seedpipe.networks.resnet34 import ResNet34  # imported here, not in each run
from seedpipe.scoring import evaluate  # noqa: F401

D, SPEAKERS, UTTERANCES, DRAWS = 8, 12, 4, 2
Contents = dict[str, bytes]


@dataclass(frozen=True)
class Command:
    """A command, or several joined by ``&&``, with OUT for the output; V is the version of the inputs, 0 or 1."""

    name: str
    words: str
    out: str
    replaces: bool = True
    """Whether it takes the place of what another run made; an extraction refuses to, and begins with nothing."""

    def lines(self, version: int, place: Path) -> list[str]:
        """The command lines."""
        return self.words.replace("V", str(version)).replace("OUT", str(place / self.out)).split(" && ")


EXTRACT = "extract manV OUT --network crash:Loudness --params p.yaml"
PARAMS = """\
extract: {crop_samples: 4000, draws: 2, variants: [noise, reverb], shard_rows: 2}
machine: {jobs: 1, device: cpu}
"""
COMMANDS = (
    Command("extract", EXTRACT, "c", replaces=False),
    Command("extract in parts", f"{EXTRACT} --shard 1/2 && {EXTRACT} --shard 2/2 && {EXTRACT}", "c", replaces=False),
    Command("render", "cache render xV OUT --row 1 --variant noise --manifests manV", "r.wav"),
    Command("import", "cache import OUT --network n --clean eV.npz --noisy noise=noisyV.npz", "c"),
    Command("export to .npz", "cache export cV OUT", "e.npz"),
    Command("export to .parquet", "cache export cV OUT", "e.parquet"),
    Command("export to .ark", "cache export cV OUT --variant clean", "e.ark"),
    Command("enhance to .npy", "enhance m0 arrayV.npy OUT", "e.npy"),
    Command("enhance to .npz", "enhance m0 eV.npz OUT", "e.npz"),
    Command("enhance to .ark", "enhance m0 eV.npz OUT", "e.ark"),
    Command("enhance a cache", "enhance m0 cV OUT", "ec"),
    Command("train seed", "train cV OUT --steps 3", "m"),
    Command("train whitening", "train cV OUT --enhancer whitening", "m"),
    Command("score", "score evV m0 trials.txt --out OUT", "s.csv"),
    Command("calibrate", "calibrate scoresV.csv OUT", "cal.json"),
    Command("tables", "tables resultsV --out OUT", "t"),
    Command("report", "report resultsV --out OUT.html --markdown OUT.md", "r"),
    Command("figures", "figures resultsV --out OUT --format svg", "f"),
    Command("trials make", "trials make speakersV.csv OUT --targets 20 --nontargets 20", "list.txt"),
    Command("manifest", "manifest dataV OUT --no-params", "man"),
    Command("convert", "network convert wV.pt OUT --kind resnet34", "net"),
)


def main() -> None:
    """Print a line for each command; exit with 1 if anything was lost, mixed or left."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=10, help="of each command")
    parser.add_argument("--command", choices=[command.name for command in COMMANDS], help="one of them alone")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    generator, faults, kills, looks = np.random.default_rng(arguments.seed), 0, 0, 0
    print(f"{'command':20}{'kills':>8}{'looks':>8}{'mixtures':>10}{'left over':>10}{'unequal':>9}")
    with tempfile.TemporaryDirectory(prefix="crash-") as folder, contextlib.chdir(folder):
        inputs()
        for command in COMMANDS:
            if arguments.command in (None, command.name):
                tally = Torture(command, generator).run(arguments.kills)
                print(f"{command.name:20}{arguments.kills:8}" + "{:8}{:10}{:10}{:9}".format(*tally), flush=True)
                kills, looks, faults = kills + arguments.kills, looks + tally[0], faults + sum(tally[1:])
    print(f"{kills:,} kills, {looks:,} looks beside them: {faults} faults")
    sys.exit(bool(faults))


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
        for name in (
            "train/a/1",
            "train/b/2",
            *(f"{part}/{n}" for part in ("noise", "music", "rir") for n in range(4)),
        ):
            path = Path(f"data{version}", f"{name}.wav")
            path.parent.mkdir(parents=True, exist_ok=True)
            soundfile.write(path, 0.1 * generator.standard_normal(8_000), 16_000)
        said(f"manifest data{version} man{version} --no-params")
        said(f"extract man{version} x{version} --network crash:Loudness --params p.yaml")
        torch.manual_seed(version)
        torch.save(ResNet34().state_dict(), f"w{version}.pt")
        said(f"cache import c{version} --network n --clean e{version}.npz --noisy noise=noisy{version}.npz")
        said(f"cache import ev{version} --network n --embeddings e{version}.npz --condition noise=noisy{version}.npz")
        said(f"train c{version} m{version} --enhancer whitening")
        Path(f"results{version}").mkdir()
        found = said(f"score ev{version} m{version} trials.txt --json")
        Path(f"results{version}", "evaluation.json").write_text(found)


def said(words: str) -> str:
    """Run a command in this process; gives what it printed."""
    result = CliRunner().invoke(app, words.split())
    if result.exit_code:
        raise SystemExit(f"{words}: {result.stderr}")
    return result.stdout


class Torture:
    """Runs of one command, and what was found beside and after them."""

    def __init__(self, command: Command, generator: np.random.Generator) -> None:
        self.command, self.generator, self.place = command, generator, Path("place").absolute()
        self.wholes = [self._whole(version) for version in (0, 1)]
        self._begin(empty=not command.replaces)
        self.steps = self._life(0)[1]
        self.looks = self.mixtures = self.left = self.unequal = 0

    def run(self, kills: int) -> tuple[int, int, int, int]:
        """Kill so often; gives looks, mixtures seen, files left over, and results other than the undisturbed ones."""
        done = 0
        while done < kills:
            self._begin(empty=not self.command.replaces or self.generator.random() < 0.2)
            killed, _ = self._life(int(self.generator.integers(1, self.steps + 1)))
            done += killed
            self._look()
            self._life(0)
            now = contents(self.place)
            self.unequal += any(now.get(name) != data for name, data in self.wholes[1].items())
            self.left += len(now.keys() - self.wholes[1].keys())
        return self.looks, self.mixtures, self.left, self.unequal

    def _whole(self, version: int) -> Contents:
        shutil.rmtree(self.place, ignore_errors=True)
        self.place.mkdir()
        for line in self.command.lines(version, self.place):
            said(line)
        return contents(self.place)

    def _begin(self, *, empty: bool) -> None:
        shutil.rmtree(self.place)
        self.place.mkdir()
        for name, data in () if empty else self.wholes[0].items():
            path = self.place / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)

    def _life(self, last_step: int) -> tuple[bool, int]:
        """One run, which is read beside; whether it was killed, and its file operations."""
        reading, writing = os.pipe()
        child = os.fork()
        if not child:
            with contextlib.redirect_stderr(io.StringIO()):
                steps = count_steps(self.place, last_step)
                runs = [CliRunner().invoke(app, line.split()) for line in self.command.lines(1, self.place)]
            if failed := next((run for run in runs if run.exit_code), None):
                print(failed.stderr, file=sys.stderr)
            os.write(writing, str(steps()).encode())
            os._exit(max(run.exit_code for run in runs))
        os.close(writing)
        while os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
            self._look()
        _, status = os.waitpid(child, 0)
        with os.fdopen(reading) as pipe:
            steps = int(pipe.read() or 0)
        if os.waitstatus_to_exitcode(status) not in (0, -signal.SIGKILL):
            raise SystemExit(f"{self.command.name} ended with {os.waitstatus_to_exitcode(status)}")
        return os.WIFSIGNALED(status), steps

    def _look(self) -> None:
        """Look at the outputs once; files that vanish meanwhile are looked at as absent."""
        if not hasattr(self, "looks"):
            return
        self.looks += 1
        old, new = self.wholes
        first, now, again = (contents(self.place) for _ in range(3))
        if not first == now == again:
            return  # in the middle of being replaced, which takes an instant
        there = {name: data for name, data in now.items() if name in old or name in new}
        self.mixtures += not any(all(whole.get(name) == data for name, data in there.items()) for whole in (old, new))


def contents(folder: Path) -> Contents:
    """The files below a folder but for hidden ones beside the outputs while somebody works, by name."""
    return dict(_files(folder))


def _files(folder: Path) -> Iterator[tuple[str, bytes]]:
    for place, _, names in os.walk(folder):  # which passes over folders that vanish
        for path in (Path(place, name) for name in names):
            with contextlib.suppress(OSError):
                yield path.relative_to(folder).as_posix(), path.read_bytes()


def count_steps(folder: Path, last_step: int) -> Callable[[], int]:
    """Count what is done to files below a folder, and die at the given number."""
    count = 0

    def hook(event: str, arguments: tuple[object, ...]) -> None:
        nonlocal count
        named = event.startswith(("open", "os.", "shutil.")) and any(str(folder) in str(part) for part in arguments)
        if named or event == "ctypes.dlsym" or (event == "os.remove" and arguments[-1] != -1):
            count += 1
            if count == last_step:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hook)
    return lambda: count


if __name__ == "__main__":
    main()
