"""Make one shard: the task that workers do, on this machine or another one.

A shard depends on nothing but its utterances and the spec. While it is made, ``SHARD.doing`` beside it says which
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
from seedpipe.extract.crops import Cropper, Crops, load_banks
from seedpipe.extract.embed import BLOCK, Embedder, one_thread, prefetch
from seedpipe.extract.spec import ExtractionSpec, Utterance
from seedpipe.files import whole_file
from seedpipe.networks import load_network
from seedpipe.networks.engine import in_engine

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Job:
    """One shard to be made: its number, its file, the digest of all that it is made from, its utterances."""

    number: int
    path: Path
    key: str
    utterances: tuple[Utterance, ...]


@dataclass(frozen=True)
class Failure:
    """An utterance that cannot be used; a line of ``failures.jsonl``."""

    utterance: str
    file: str
    reason: str
    expected: str = ""
    remedy: str = ""

    @classmethod
    def of(cls, utterance: Utterance, error: AudioError) -> Failure:
        """The failure that an error means for its utterance."""
        return cls(utterance.name, str(utterance.path), error.found, error.expected, error.remedy)

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


def make_shard(spec: ExtractionSpec, job: Job) -> Finished:
    """Make one shard in a worker, unless an earlier run has left it there."""
    if done := finished(spec, job):
        return done
    with one_thread():
        contents, failures = worker_of(spec).shard(job)
    if not job.path.parent.is_dir():  # the run that wanted this has ended, and another one has published
        raise CacheError("the folder of the work in progress has gone", remedy="run again", file=job.path.parent)
    shard = None
    if failures and spec.params.on_bad_audio == "fail":
        contents = None
    elif failures:
        _write_failures(job, failures)  # before the shard, which is trusted only with them
    if contents is not None:
        shard = cache.write_shard(job.path, contents)
    return Finished(job.number, len(job.utterances), shard, tuple(failures))


def finished(spec: ExtractionSpec, job: Job) -> Finished | None:
    """What an earlier run has left of a shard, with the utterances that it had to leave out."""
    failures = _read_failures(job) if spec.params.on_bad_audio == "skip" else ()
    used = len(job.utterances) - len(failures)
    shard = cache.finished_shard(job.path, job.key) if used else None
    if used and (shard is None or shard.rows != used * spec.rows):
        return None
    return Finished(job.number, len(job.utterances), shard, failures)


@functools.lru_cache(maxsize=1)
def worker_of(spec: ExtractionSpec) -> Worker:
    """The tools of this process."""
    return Worker(spec)


class Worker:
    """The tools of one process: the network, and the banks of noise, music and rooms."""

    def __init__(self, spec: ExtractionSpec) -> None:
        import torch

        device = torch.device(spec.device)
        network = load_network(spec.network)
        self.spec = spec
        self.crop = Cropper(spec, load_banks(spec, network.sample_rate), network, device)
        embedding = in_engine(network, spec.engine)
        self.embed = Embedder(embedding, device, spec.params.precision, block=None if spec.whole else BLOCK)

    def shard(self, job: Job) -> tuple[cache.Shard | None, list[Failure]]:
        """Embed the utterances of a shard; those that cannot be used come back as failures."""
        failures: list[Failure] = []
        done: list[Crops] = []
        ahead = max(1, self.spec.batch // (self.spec.rows * len(self.spec.variants)))  # of the network, utterances
        with WorkNote(job.path) as note:
            cropped = prefetch(self._cropped(job, failures, note), ahead)
            with contextlib.closing(cropped):
                embeddings = self.embed(_noted(cropped, done, note))
        if not done:
            return None, failures
        variants = self.spec.variants
        with np.errstate(over="ignore"):  # the cache refuses what does not fit, by name
            stored = embeddings.astype(self.spec.params.storage).reshape(-1, len(variants), embeddings.shape[1])
        firsts = np.cumsum([0, *(max(crops.places) + 1 for crops in done)])
        rows = [first + place for first, crops in zip(firsts, done, strict=False) for place in crops.places]
        return cache.Shard(stored[rows], variants, _columns(done), job.key), failures

    def check_precision(self, utterances: Iterable[Utterance]) -> None:
        """Compare embeddings of the first utterance that can be used with those in float32."""
        for utterance in utterances:
            with contextlib.suppress(AudioError), one_thread():
                for waveforms in self.crop(utterance)[1]:
                    self.embed.check_precision(waveforms.flatten(0, 1))
                return

    def _cropped(self, job: Job, failures: list[Failure], note: WorkNote) -> Iterator[tuple[Crops, list[Tensor]]]:
        for utterance in job.utterances:
            note.write("decoding", utterance)
            try:
                cropped = self.crop(utterance)
            except AudioError as error:
                failures.append(Failure.of(utterance, error))
                continue
            yield cropped


class WorkNote:
    """Which utterance is being decoded and which one the network has: for whoever finds this process dead."""

    def __init__(self, shard: Path) -> None:
        self._path = note_of(shard)
        self._doing = {"decoding": "", "in the network": ""}
        self._lock = threading.Lock()  # the thread that decodes and the one of the network both write

    def __enter__(self) -> Self:
        self._file = self._path.open("wb", buffering=0)
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
        self._path.unlink(missing_ok=True)

    def write(self, what: str, utterance: Utterance) -> None:
        """Write down what is done to an utterance; the system keeps it when the process is killed."""
        with self._lock, contextlib.suppress(OSError):  # where the disk is full, the shard will say so
            self._doing[what] = utterance.name
            self._file.seek(0)
            self._file.truncate()
            self._file.write(", ".join(f"{name} ({what})" for what, name in self._doing.items() if name).encode())


def note_of(shard: Path) -> Path:
    """Where it is noted what is in hand of a shard."""
    return shard.with_suffix(".doing")


def _noted(cropped: Iterable[tuple[Crops, list[Tensor]]], done: list[Crops], note: WorkNote) -> Iterator[Tensor]:
    """Hand the waveforms on, keep the rest."""
    for crops, waveforms in cropped:
        note.write("in the network", crops.utterance)
        done.append(crops)
        yield from (of_one_length.flatten(0, 1) for of_one_length in waveforms)


def _columns(done: Sequence[Crops]) -> dict[str, NDArray[Any]]:
    utterances = [crops.utterance for crops in done for _ in crops.places]
    recipes = [recipes for crops in done for recipes in crops.recipes]
    return {
        "utterance": np.array([utterance.name for utterance in utterances]),
        "speaker": np.array([utterance.speaker for utterance in utterances]),
        "draw": np.array([draw for crops in done for draw in range(len(crops.places))], dtype=np.int32),
        "crop_start": np.array([start for crops in done for start in crops.starts], dtype=np.int64),
        "noise": np.array([[recipe.noise for recipe in row] for row in recipes]),
        "noise_offset": np.array([[recipe.noise_offset for recipe in row] for row in recipes], dtype=np.int64),
        "snr_db": np.array([[recipe.snr_db for recipe in row] for row in recipes], dtype=np.float32),
        "rir": np.array([[recipe.rir for recipe in row] for row in recipes]),
    }


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
