"""Build the demonstration corpus: synthetic speech, noise, music and rooms, without any download.

Layout under the output folder::

    train/<voice>/<nn>.flac        synthetic training speech
    eval/demo/<voice>/<nn>.flac    synthetic evaluation speech, of other voices
    eval/trials_demo.txt           label enrol test
    noise/ music/ rir/             for training
    eval_noise/ eval_music/ eval_rir/   for evaluation
    corpus.json                    how it was made
    ATTRIBUTION.txt                by what
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path

from examples.demo_corpus.music import music
from examples.demo_corpus.noise import noise
from examples.demo_corpus.rooms import room
from examples.demo_corpus.tools import SAMPLE_RATE, optional, write_flac
from examples.demo_corpus.trials import trials
from examples.demo_corpus.voices import Side, Voice, espeak_version, utterances, voices
from seedpipe.errors import ManifestError, ParamsError
from seedpipe.files import OutputKind, read_json, whole_folder
from seedpipe.workers import Engine, unordered

__all__ = ["DemoSummary", "build_demo_corpus", "is_built"]

FORMAT = "seedpipe-demo-corpus"
MARKER, TRIALS, ATTRIBUTED = "corpus.json", "eval/trials_demo.txt", "ATTRIBUTION.txt"
BACKGROUNDS = {"noise": noise, "music": music, "rir": room}
BACKGROUND_FILES: dict[Side, dict[str, int]] = {
    "train": {"noise": 24, "music": 12, "rir": 24},
    "eval": {"noise": 12, "music": 6, "rir": 12},
}
ATTRIBUTION = """\
Everything in this folder is synthetic and was made on this machine by seedpipe. No person was recorded.

Speech       synthetic speech by espeak-ng {espeak} (https://github.com/espeak-ng/espeak-ng, GPL-3.0-or-later), run as a
             separate program; the sentences were written for this corpus.
Noise        drawn by numpy and shaped by scipy; the babble is synthetic speech by the same espeak-ng.
Music        played by the synthesiser of the demonstration corpus; no recording or composition of others was used.
Rooms        image method by pyroomacoustics {pyroomacoustics} (https://github.com/LCAV/pyroomacoustics, MIT).
"""


@dataclass(frozen=True)
class DemoSummary:
    """What was built."""

    folder: Path
    """The corpus."""
    files: int
    """Audio files in all."""
    seconds: float
    """Duration of them all, in seconds."""
    counts: dict[str, int] = field(default_factory=dict)
    """Audio files by the folder they are in: ``train``, ``eval``, ``noise``, ``eval_noise`` and so on."""
    trials: int = 0
    """Lines of the trial list."""


@dataclass(frozen=True)
class _Plan:
    """The numbers that decide every byte of a corpus."""

    seed: int
    train_voices: int
    eval_voices: int
    train_utterances: int
    eval_utterances: int

    def __post_init__(self) -> None:
        # One voice has no non-target trial, one utterance no target trial.
        least = {"train_voices": 1, "train_utterances": 1, "eval_voices": 2, "eval_utterances": 2}
        for name, smallest in least.items():
            value = getattr(self, name)
            if value < smallest:
                raise ParamsError(
                    f"{name} is {value}", expected=f"{smallest} or more", remedy="ask for a larger demonstration corpus"
                )

    def people(self, side: Side) -> tuple[Voice, ...]:
        return voices(side, self.train_voices if side == "train" else self.eval_voices)


@dataclass(frozen=True)
class _Speech:
    """A task: all utterances of one voice."""

    side: Side
    voice: Voice
    count: int
    seed: int

    def make(self, folder: Path) -> tuple[str, int, int]:
        place = folder / ("train" if self.side == "train" else "eval/demo") / self.voice.name
        spoken = utterances(self.voice, self.side, self.count, seed=self.seed)
        samples = [write_flac(place / f"{number:02d}.flac", speech) for number, speech in enumerate(spoken)]
        return self.side, len(samples), sum(samples)


@dataclass(frozen=True)
class _Background:
    """A task: one file of noise, music or a room."""

    side: Side
    kind: str
    index: int
    seed: int

    def make(self, folder: Path) -> tuple[str, int, int]:
        place = self.kind if self.side == "train" else f"eval_{self.kind}"
        samples = BACKGROUNDS[self.kind](self.side, self.index, seed=self.seed)
        return place, 1, write_flac(folder / place / f"{self.index:02d}.flac", samples)


def _own_files(folder: Path) -> set[str]:
    """The files of a demonstration corpus, by the numbers that it was made with."""
    record = read_json(folder / MARKER)
    if not isinstance(record, dict) or record.get("format") != FORMAT:
        raise ValueError(f"it does not state the format {FORMAT!r}")
    names = {MARKER, TRIALS, ATTRIBUTED}
    try:
        for side, place in (("train", "train"), ("eval", "eval/demo")):
            spoken = range(record["parameters"][f"{side}_utterances"])
            names |= {f"{place}/{voice}/{number:02d}.flac" for voice in record["voices"][side] for number in spoken}
        for place in (f"{prefix}{kind}" for prefix in ("", "eval_") for kind in BACKGROUNDS):
            names |= {f"{place}/{number:02d}.flac" for number in range(record["counts"].get(place, 0))}
    except (AttributeError, KeyError, TypeError) as error:
        raise ValueError("it does not say how the corpus was made") from error
    return names


OUTPUT = OutputKind("demonstration corpus", MARKER, ManifestError, _own_files)
"""How a demonstration corpus is told from other folders before it is replaced."""


def is_built(out: Path, seed: int, **numbers: int) -> bool:
    """Whether a whole corpus of these numbers is there: files keep their times, and what was made from them is made."""
    try:
        own, record = _own_files(out), read_json(out / MARKER)
    except (OSError, ValueError):
        return False
    found = (record.get("seed"), record["parameters"])
    return found == (seed, numbers) and all((out / name).is_file() for name in own)


def build_demo_corpus(
    out: Path,
    *,
    seed: int = 0,
    train_voices: int = 60,
    eval_voices: int = 24,
    train_utterances: int = 8,
    eval_utterances: int = 6,
    jobs: int = 2,
    progress: Callable[[int, int], None] | None = None,
) -> DemoSummary:
    """Build the synthetic demonstration corpus: the same bytes for the same numbers, whatever `jobs` is.

    The folder appears whole or not at all; an older demonstration corpus in its place is replaced.

    Parameters
    ----------
    out : Path
        Folder to make.
    seed : int
        Seed of every draw. The voices are the same for all seeds; what they say, and all noise, music and rooms differ.
    train_voices, eval_voices : int
        Number of synthetic speakers on each side; no espeak-ng variant is on both.
    train_utterances, eval_utterances : int
        Utterances of each speaker, about 4 s each.
    jobs : int
        Worker processes.
    progress : callable, optional
        Called with the number of finished tasks and of all tasks.

    Returns
    -------
    DemoSummary
        Folder, files and seconds of audio.

    Raises
    ------
    ManifestError
        If `out` holds something that is not a demonstration corpus, or more than that.
    ParamsError
        If the numbers leave no trials.
    MissingExtraError
        If the extra ``demo`` is not installed.
    """
    out = Path(out).absolute()
    plan = _Plan(seed, train_voices, eval_voices, train_utterances, eval_utterances)
    OUTPUT.check(out)  # now, not after half a minute
    for module in ("espeakng_loader", "pyroomacoustics", "scipy"):
        optional(module)  # missing packages are found now, not by a worker after half a minute
    with whole_folder(out, OUTPUT) as folder:
        files, samples = _make(_tasks(plan), folder, jobs, progress)
        lines = trials(plan.people("eval"), eval_utterances, seed=seed)
        _text(folder / TRIALS, "".join(f"{line}\n" for line in lines))
        seconds = round(samples.total() / SAMPLE_RATE, 3)
        _describe(folder, plan, files, samples, len(lines))
    return DemoSummary(out, files.total(), seconds, dict(sorted(files.items())), len(lines))


def _tasks(plan: _Plan) -> list[_Speech | _Background]:
    tasks: list[_Speech | _Background] = []
    numbers: tuple[tuple[Side, int], ...] = (("train", plan.train_utterances), ("eval", plan.eval_utterances))
    for side, count in numbers:
        for kind, files in BACKGROUND_FILES[side].items():
            tasks += [_Background(side, kind, index, plan.seed) for index in range(files)]
        tasks += [_Speech(side, voice, count, plan.seed) for voice in plan.people(side)]
    return tasks


def _make(
    tasks: list[_Speech | _Background], folder: Path, jobs: int, progress: Callable[[int, int], None] | None
) -> tuple[Counter[str], Counter[str]]:
    """Run all tasks; return files and samples by folder."""
    files: Counter[str] = Counter()
    samples: Counter[str] = Counter()
    results = unordered(_run, [(task, folder) for task in tasks], Engine(jobs))
    for done, (place, count, length) in enumerate(results, start=1):
        files[place] += count
        samples[place] += length
        if progress is not None:
            progress(done, len(tasks))
    return files, samples


def _run(task: _Speech | _Background, folder: Path) -> tuple[str, int, int]:
    return task.make(folder)


def _describe(folder: Path, plan: _Plan, files: Counter[str], samples: Counter[str], lines: int) -> None:
    versions = {name: version(name) for name in ("espeakng-loader", "pyroomacoustics", "numpy", "scipy")}
    versions["espeak-ng"] = espeak_version()
    record = {
        "format": FORMAT,
        "synthetic": True,
        "seed": plan.seed,
        "parameters": {name: value for name, value in asdict(plan).items() if name != "seed"},
        "sample_rate": SAMPLE_RATE,
        "counts": {"files": files.total(), "trials": lines, **dict(sorted(files.items()))},
        "seconds": {
            "all": round(samples.total() / SAMPLE_RATE, 3),
            **{place: round(length / SAMPLE_RATE, 3) for place, length in sorted(samples.items())},
        },
        "voices": {side: {voice.name: voice.espeak_name for voice in plan.people(side)} for side in ("train", "eval")},
        "versions": dict(sorted(versions.items())),
    }
    attribution = ATTRIBUTION.format(espeak=versions["espeak-ng"], pyroomacoustics=versions["pyroomacoustics"])
    _text(folder / ATTRIBUTED, attribution)
    _text(folder / MARKER, json.dumps(record, indent=2) + "\n")


def _text(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8", newline="\n")
