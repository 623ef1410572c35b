"""Make one shard: the task that workers do, on this machine or another one.

A shard depends on nothing but its rows and the setting. While it is made, ``SHARD.doing`` beside it says which
utterances are in hand, so that the death of a worker can be blamed on something.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import json
import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from seedpipe import cache
from seedpipe.errors import AudioError, CacheError
from seedpipe.extract.crops import Cuts, Cutter, load_banks
from seedpipe.extract.embed import BLOCK, Embedder, one_thread, prefetch
from seedpipe.extract.spec import Row, Setting
from seedpipe.files import whole_file
from seedpipe.networks import load_network

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["Failure", "Finished", "Job", "finished", "in_hand", "make_shard", "worker_of"]


@dataclass(frozen=True)
class Job:
    """One shard to be made: its number, its file, the digest of all that it is made from, its utterances."""

    number: int
    path: Path
    key: str
    rows: tuple[Row, ...]


@dataclass(frozen=True)
class Failure:
    """An utterance that cannot be used; a line of ``failures.jsonl``."""

    utterance: str
    file: str
    reason: str
    expected: str = ""
    remedy: str = ""

    @classmethod
    def of(cls, row: Row, error: AudioError) -> Failure:
        """The failure that an error means for its utterance."""
        return cls(row.utterance, str(row.path), error.found, error.expected, error.remedy)

    def error(self, more: str = "") -> AudioError:
        """The failure as an error."""
        return AudioError(self.reason + more, expected=self.expected, remedy=self.remedy, file=self.file)


@dataclass(frozen=True)
class Finished:
    """A shard that is made: ``shard`` is None where no utterance could be used."""

    number: int
    utterances: int
    shard: cache.ShardInfo | None
    failures: tuple[Failure, ...]


def make_shard(setting: Setting, job: Job) -> Finished:
    """Make one shard in a worker, unless an earlier run has left it there."""
    if done := finished(setting, job):
        return done
    with one_thread():
        contents, failures = worker_of(setting).shard(job)
    if not job.path.parent.is_dir():  # the run that wanted this has ended, and another one has published
        raise CacheError("the folder of the work in progress has gone", remedy="run again", file=job.path.parent)
    shard = None
    if failures and setting.params.on_bad_audio == "fail":
        contents = None
    elif failures:
        _write_failures(job, failures)  # before the shard, which is trusted only with them
    if contents is not None:
        shard = cache.write_shard(job.path, contents)
    return Finished(job.number, len(job.rows), shard, tuple(failures))


def finished(setting: Setting, job: Job) -> Finished | None:
    """What an earlier run has left of a shard, with the utterances that it had to leave out."""
    failures: tuple[Failure, ...] = ()
    if setting.params.on_bad_audio == "skip":
        failures = _read_failures(job)
    used = len(job.rows) - len(failures)
    if not used:
        return Finished(job.number, len(job.rows), None, failures)
    shard = cache.finished_shard(job.path, job.key)
    if shard is None or shard.rows != used * setting.crops:
        return None
    return Finished(job.number, len(job.rows), shard, failures)


def in_hand(path: Path) -> str:
    """What a worker that died was doing with a shard; empty if it had not begun, or has finished."""
    try:
        return path.with_suffix(".doing").read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""


@functools.lru_cache(maxsize=1)
def worker_of(setting: Setting) -> Worker:
    """The tools of this process."""
    return Worker(setting)


class Worker:
    """The tools of one process: the network, and the banks of noise, music and rooms."""

    def __init__(self, setting: Setting) -> None:
        import torch

        device = torch.device(setting.device)
        network = load_network(setting.network)
        self.setting = setting
        self.cut = Cutter(setting, load_banks(setting, setting.rate(network)), network, device)
        self.embed = Embedder(network, device, setting.params.precision, block=None if setting.whole else BLOCK)

    def shard(self, job: Job) -> tuple[cache.Shard | None, list[Failure]]:
        """Embed the utterances of a shard; those that cannot be used come back as failures."""
        failures: list[Failure] = []
        cuts: list[Cuts] = []
        with _Diary(_doing(job)) as diary:
            made = prefetch(self._made(job, failures, diary), self._depth())
            with contextlib.closing(made):
                embeddings = self.embed(_noted(made, cuts, diary))
        if not cuts:
            return None, failures
        variants, crops = self.setting.variants, self.setting.crops
        with np.errstate(over="ignore"):  # the cache refuses what does not fit, by name
            stored = embeddings.astype(self.setting.params.storage).reshape(-1, len(variants), embeddings.shape[1])
        picked = [_picked(cut, crops) for cut in cuts]
        offsets = np.cumsum([0, *(len(cut.draws) for cut in cuts)])
        rows = np.concatenate([offset + index for offset, index in zip(offsets, picked, strict=False)])
        pairs = [(cut, index) for cut, indices in zip(cuts, picked, strict=True) for index in indices]
        return cache.Shard(stored[rows], variants, _columns(pairs, crops), job.key), failures

    def first_waveforms(self, rows: Iterable[Row]) -> Tensor | None:
        """All crops and variants of the first utterance that can be used, shape (C V, T)."""
        for row in rows:
            with contextlib.suppress(AudioError):
                return self.cut(row)[1].flatten(0, 1)
        return None

    def _made(self, job: Job, failures: list[Failure], diary: _Diary) -> Iterator[tuple[Cuts, Tensor]]:
        for row in job.rows:
            diary.note(decoding=row.utterance)
            try:
                made = self.cut(row)
            except AudioError as error:
                failures.append(Failure.of(row, error))
                continue
            yield made

    def _depth(self) -> int:
        """Utterances that are mixed ahead of the network."""
        return max(1, self.setting.batch // (self.setting.crops * len(self.setting.variants)))


class _Diary:
    """Which utterance is being decoded and which one the network has: for whoever finds this process dead."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lines = {"decoding": "", "in the network": ""}

    def __enter__(self) -> Self:
        self._file = self._path.open("wb", buffering=0)
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
        self._path.unlink(missing_ok=True)

    def note(self, *, decoding: str | None = None, embedding: str | None = None) -> None:
        """Write it down; the system keeps it when the process is killed."""
        if decoding is not None:
            self._lines["decoding"] = decoding
        if embedding is not None:
            self._lines["in the network"] = embedding
        text = ", ".join(f"{utterance} ({what})" for what, utterance in self._lines.items() if utterance)
        with _DIARY_LOCK, contextlib.suppress(OSError):  # where the disk is full, the shard will say so
            self._file.seek(0)
            self._file.truncate()
            self._file.write(text.encode())


_DIARY_LOCK = threading.Lock()  # the thread that decodes and the one of the network both write


def _noted(made: Iterable[tuple[Cuts, Tensor]], cuts: list[Cuts], diary: _Diary) -> Iterator[Tensor]:
    """Hand the waveforms on, keep the rest."""
    for cut, waveforms in made:
        diary.note(embedding=cut.row.utterance)
        cuts.append(cut)
        yield waveforms.flatten(0, 1)


def _picked(cut: Cuts, crops: int) -> NDArray[np.intp]:
    """Index of the cut that stands for each crop: crops that coincide were cut once."""
    return np.searchsorted(cut.draws, np.arange(crops), side="right") - 1


def _columns(rows: Sequence[tuple[Cuts, np.intp]], crops: int) -> dict[str, NDArray[Any]]:
    recipes = [cut.recipes[index] for cut, index in rows]
    return {
        "utterance": np.array([cut.row.utterance for cut, _ in rows]),
        "speaker": np.array([cut.row.speaker for cut, _ in rows]),
        "draw": np.arange(len(rows), dtype=np.int32) % crops,
        "crop_start": np.array([cut.starts[index] for cut, index in rows], dtype=np.int64),
        "noise": np.array([[recipe.noise for recipe in row] for row in recipes]),
        "noise_offset": np.array([[recipe.noise_offset for recipe in row] for row in recipes], dtype=np.int64),
        "snr_db": np.array([[recipe.snr_db for recipe in row] for row in recipes], dtype=np.float32),
        "rir": np.array([[recipe.rir for recipe in row] for row in recipes]),
    }


def _doing(job: Job) -> Path:
    return job.path.with_suffix(".doing")


def _write_failures(job: Job, failures: Sequence[Failure]) -> None:
    note = {"key": job.key, "failures": [dataclasses.asdict(failure) for failure in failures]}
    with whole_file(job.path.with_suffix(".failures")) as partial:
        partial.write_text(json.dumps(note, ensure_ascii=False), encoding="utf-8")


def _read_failures(job: Job) -> tuple[Failure, ...]:
    try:
        note = json.loads(job.path.with_suffix(".failures").read_text(encoding="utf-8"))
        return tuple(Failure(**failure) for failure in note["failures"]) if note["key"] == job.key else ()
    except (OSError, ValueError, KeyError, TypeError):
        return ()
