"""From a manifest to a cache: plan the shards, have the missing ones made, publish."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import hashlib
import json
import logging
import os
import shutil
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import joblib
import numpy as np
from numpy.typing import NDArray

from seedpipe import cache
from seedpipe.audio import Manifest, read_manifest
from seedpipe.audio.manifest import SPEECH
from seedpipe.errors import AudioError, CacheError, CacheMismatchError, WorkerLostError
from seedpipe.extract.crops import load_banks
from seedpipe.extract.embed import BLOCK, Embedder, one_thread
from seedpipe.extract.shards import Failure, Finished, Job, finished, in_hand, make_shard, worker_of
from seedpipe.extract.spec import DECIDING, Kind, Row, Setting, describe, digest_of
from seedpipe.files import locked, refuse_foreign, whole_file
from seedpipe.networks import load_network, same_numbers
from seedpipe.params import ExtractParams, MachineParams
from seedpipe.workers import Engine, choose_device, unordered

if TYPE_CHECKING:
    from seedpipe.console import ProgressCallback


__all__ = ["Plan", "extract", "extract_part", "plan", "remarks"]

LOG = logging.getLogger(__name__)
NOTHING = -1  # in the place of a shard's number
CUDA_WORKERS = 4  # they share the GPU: one decodes and mixes while another one computes


@dataclass(frozen=True)
class Plan:
    """What an extraction would do.

    Parameters
    ----------
    utterances, rows, variants, shards : int
        Rows of the cache are utterances times crops.
    bytes : int
        Size of the embeddings; names and recipes add a little.
    hours : float
        Hours of audio in the manifest.
    finished_shards : int
        Shards that an interrupted run has left.
    waveforms_per_second : float
        Measured: one forward pass on one thread.
    seconds : float
        Time of the forward passes of the missing shards on all workers; decoding and mixing add to it.
    workers : int
    device : str
    """

    utterances: int
    rows: int
    variants: int
    shards: int
    bytes: int
    hours: float
    finished_shards: int
    waveforms_per_second: float
    seconds: float
    workers: int
    device: str


def extract(
    manifests: Path,
    network: str,
    out: Path,
    params: ExtractParams,
    *,
    kind: Kind,
    machine: MachineParams | None = None,
    progress: ProgressCallback | None = None,
) -> cache.Cache:
    """Make the cache of one corpus and one network, or go on where an interrupted run stopped.

    Parameters
    ----------
    manifests : Path
        Folder with ``speech.csv``, ``music.csv``, ``noise.csv`` and ``rir.csv``.
    network : str
        See :func:`seedpipe.networks.load_network`.
    out : Path
        Folder of the cache; it appears when it is complete.
    params : ExtractParams
    kind : {'training', 'evaluation'}
        Random crops and ``params.variants``, or evenly spaced crops and ``params.evaluation.conditions``.
    machine : MachineParams, optional
        Workers, engine and device; no influence on the bytes.
    progress : callable, optional
        Called with utterances done and utterances in all.

    Returns
    -------
    Cache

    Raises
    ------
    AudioError
        Utterances cannot be used and ``params.on_bad_audio`` is ``fail``; ``OUT.failures.jsonl`` names all of them.
    ManifestError
        A manifest is unusable, or a noise, music or room file.
    BusyError
        Another process is extracting into ``out``.
    CacheError
        ``out`` holds files that belong to no cache, or an embedding is not finite.
    CacheMismatchError
        ``out`` holds a cache made from something else.
    NetworkError
        The network is unknown, takes no crops of this length, gives embeddings of another dimension, or its embeddings
        suffer from ``params.precision``.
    WorkerLostError
        Workers died twice over the same shard; the text names the utterances that they had in hand.
    """
    run = _Extraction(manifests, network, out, params, kind, machine)
    if not os.access(run.out.parent, os.W_OK) and (old := run.finished_cache()):
        return old
    with locked(run.out):
        if (old := run.finished_cache()) or (old := run.unpublished_cache()):
            return old
        run.sweep()
        run.agree_on_numbers(alone=True)
        run.prepare()
        done = run.make(range(run.shards), progress)
        return run.publish(done)


def extract_part(
    manifests: Path,
    network: str,
    out: Path,
    params: ExtractParams,
    *,
    part: tuple[int, int],
    kind: Kind,
    machine: MachineParams | None = None,
    progress: ProgressCallback | None = None,
) -> int:
    """Make every n-th shard only, for arrays of jobs; :func:`extract` then makes what is missing and publishes.

    Arguments and errors are those of :func:`extract`, and:

    Parameters
    ----------
    part : (int, int)
        i and n: this call makes the i-th part of n, i = 1..n. Calls for several parts may run at once, on machines that
        share a file system.

    Returns
    -------
    int
        Shards of this part.
    """
    run = _Extraction(manifests, network, out, params, kind, machine)
    with locked(run.out, shared=True):
        numbers = range(part[0] - 1, run.shards, part[1])
        if not run.finished_cache() and not cache.unpublished(run.work, run.info["fingerprint"]):
            run.agree_on_numbers(alone=False)
            run.prepare()
            run.check_failures(run.make(numbers, progress), f".{part[0]}-of-{part[1]}")
        return len(numbers)


def plan(
    manifests: Path,
    network: str,
    out: Path,
    params: ExtractParams,
    *,
    kind: Kind,
    machine: MachineParams | None = None,
) -> Plan:
    """Say what :func:`extract` would do, without doing it: everything is checked that needs no audio to be decoded."""
    run = _Extraction(manifests, network, out, params, kind, machine)
    run.refuse_visibly_bad()
    there = run.finished_cache() is not None
    done = sum(finished(run.setting, run.job(number)) is not None for number in range(run.shards)) if not there else 0
    left = 0 if there else run.shards - done
    rate = _rate(run.setting)
    variants, size = len(run.setting.variants), np.dtype(params.storage).itemsize
    rows = len(run.speech) * run.setting.crops
    return Plan(
        utterances=len(run.speech),
        rows=rows,
        variants=variants,
        shards=run.shards,
        bytes=rows * variants * run.info["network"].dimension * size,
        hours=run.speech.seconds / 3600,
        finished_shards=run.shards - left,
        waveforms_per_second=rate,
        seconds=rows * variants * left / run.shards / rate / run.workers,
        workers=run.workers,
        device=run.setting.device,
    )


def remarks(info: cache.CacheInfo) -> list[str]:
    """What a person should know of the audio that went into a cache, a sentence each."""
    lines = []
    if info.skipped:
        lines.append(f"{info.skipped:,} utterances were left out: failures.jsonl in the cache lists them")
    if info.resampled:
        rates = ", ".join(f"{count:,} from {int(rate):,} Hz" for rate, count in info.resampled.items())
        lines.append(f"resampled to {info.network.sample_rate:,} Hz: {rates}")
    low = sum(count for rate, count in info.resampled.items() if int(rate) < info.network.sample_rate)
    if low:
        lines.append(f"{low:,} utterances had a lower rate: they hold nothing above half of it")
    return lines


class _Extraction:
    """One cache to be made: everything that is known before audio is read."""

    def __init__(
        self,
        manifests: Path,
        network: str,
        out: Path,
        params: ExtractParams,
        kind: Kind,
        machine: MachineParams | None,
    ) -> None:
        machine = machine or MachineParams()
        # A link to a folder on a larger disk stays a link: the work goes on beside its target.
        self.out = out.resolve() if out.is_symlink() else out
        where = manifests.absolute()
        network = str(Path(network).absolute()) if Path(network).exists() else network
        setting = Setting(network, choose_device(machine.device), where, kind, params, work=Path(), batch=machine.batch)
        self.speech: Manifest = read_manifest(manifests / SPEECH)
        self.info = describe(setting, self.speech)
        # Not of the speech: when one file is replaced, the other shards stay.
        config = digest_of(self.info, audio=False)
        self.work = self.out.with_name(f".{self.out.name}.{config[:16]}")
        self.setting = dataclasses.replace(setting, config=config, work=self.work.absolute())
        self.shards = -(-len(self.speech) // setting.utterances_per_shard)
        self.workers = max(1, min(_workers(machine, setting.device), self.shards))
        # A cluster of the user's own has as many workers as it has, unless they are asked for by number.
        self.engine = Engine(machine.jobs if machine.address else self.workers, machine.backend, machine.address)
        self._columns: dict[str, NDArray[Any]] = {
            name: self.speech.frame[name].to_numpy()
            for name in ("utterance", "path", "digest", "speaker", "start_frame", "frames")
        }

    def job(self, number: int) -> Job:
        """The job of one shard; made when it is needed, as there may be a million utterances."""
        size = self.setting.utterances_per_shard
        columns = (column[number * size : (number + 1) * size].tolist() for column in self._columns.values())
        rows = tuple(
            Row(utterance, Path(path), digest, speaker, start, frames)
            for utterance, path, digest, speaker, start, frames in zip(*columns, strict=True)
        )
        lines = (f"{row.utterance}\t{row.digest}\t{row.start_frame}\t{row.frames}\t{row.speaker}" for row in rows)
        text = "\n".join(lines)
        key = hashlib.sha256(f"{self.setting.config}\n{text}".encode()).hexdigest()
        return Job(number, self.work.absolute() / cache.shard_name(number), key, rows)

    def finished_cache(self) -> cache.Cache | None:
        """The cache at its place if it is the wanted one and whole; a damaged one is made anew."""
        if not self.out.exists():
            return None
        refuse_foreign(self.out, cache.FILES, "cache", CacheError)
        try:
            old = cache.open_cache(self.out)
            if old.info.fingerprint == self.info["fingerprint"]:
                old.verify()
        except CacheError:
            return None
        if old.info.fingerprint == self.info["fingerprint"]:
            self._refuse_other_numbers(old)
            return None if old.info.skipped and self.setting.params.on_bad_audio == "fail" else self._tidy(old)
        for field in DECIDING:
            if getattr(old.info, field) != self.info[field]:
                raise CacheMismatchError(
                    f"the cache there differs in '{field}': {getattr(old.info, field)!r}",
                    expected=repr(self.info[field]),
                    remedy="remove it or choose another folder",
                    file=self.out,
                )
        return None

    def unpublished_cache(self) -> cache.Cache | None:
        """The cache that a run has completed without coming to publish it."""
        info = cache.unpublished(self.work, self.info["fingerprint"])
        if info is not None and self._other_numbers(info.network.self_test):
            self._begin_again()
            return None
        if info is not None and info.skipped and self.setting.params.on_bad_audio == "fail":
            (self.work / "manifest.json").unlink()  # failures.jsonl will go, and nobody is to publish without it
            return None
        return None if info is None else cache.publish(self.work, self.out, info)

    def sweep(self) -> None:
        """Remove what a killed run has left half done; not for parts, as others may be at work."""
        for path in (*self.work.glob("*.partial"), *self.work.glob("*.doing")):
            path.unlink(missing_ok=True)

    def agree_on_numbers(self, *, alone: bool) -> None:
        """Never mix shards of libraries that give other numbers; unless alone, others may be at work."""
        note = self.work / "self-test.json"
        with contextlib.suppress(OSError, ValueError):
            if self._other_numbers(json.loads(note.read_text(encoding="utf-8"))):
                if not alone:
                    raise CacheMismatchError(
                        "the network gives other numbers here than for the parts made so far",
                        expected="the same versions of all libraries on all machines",
                        remedy="make them equal, or remove this folder to begin again",
                        file=self.work,
                    )
                self._begin_again()
        if not note.exists():
            with whole_file(note) as partial:
                partial.write_text(json.dumps(self.info["network"].self_test), encoding="utf-8")

    def prepare(self) -> None:
        """All that can go wrong before any network runs on speech; decodes the noise, music and rooms."""
        if self.setting.params.on_bad_audio == "fail":
            self.refuse_visibly_bad()
        rate = self.info["network"].sample_rate if self.setting.params.resample else None
        for bank in load_banks(self.setting, rate).values():
            bank.decode(joblib.cpu_count())
        if self.setting.params.precision != "float32":
            self._check_precision()

    def refuse_visibly_bad(self) -> None:
        """Refuse files that are missing or of another size than in the manifest; decoding shows the rest."""
        bad = list(_visibly_bad(self.speech))
        if self.setting.params.on_bad_audio == "fail":
            self._refuse(bad)

    def make(self, numbers: Iterable[int], progress: ProgressCallback | None) -> list[Finished]:
        """Have shards made; when a worker dies, go on, unless it dies over the same shard a second time."""
        pending = dict.fromkeys(numbers)
        total = sum(self._utterances(number) for number in pending)
        suspects: dict[int, str] = {}
        results: list[Finished] = []
        utterances = 0
        while pending:
            try:
                calls = ((self.setting, self.job(number)) for number in list(pending))
                for result in unordered(make_shard, calls, self.engine):
                    results.append(result)
                    del pending[result.number]
                    utterances += result.utterances
                    if progress:
                        progress(utterances, total)
            except WorkerLostError as error:
                suspects |= self._blame(error, pending, suspects)
        return sorted(results, key=lambda result: result.number)

    def publish(self, done: Sequence[Finished]) -> cache.Cache:
        """Make the finished shards the cache."""
        failures = self.check_failures(done)
        shards = tuple(result.shard for result in done if result.shard is not None)
        if not shards:
            raise AudioError("no utterance could be used", remedy="see the failures listed", file=self.speech.path)
        rows = sum(shard.rows for shard in shards)
        complete = self.info | {
            "rows": rows,
            "shards": shards,
            "skipped": len(failures),
            "utterances": rows // self.setting.crops,
        }
        return cache.publish(self.work, self.out, cache.CacheInfo(**complete))

    def check_failures(self, done: Sequence[Finished], part: str = "") -> list[Failure]:
        """Write failures.jsonl; stop unless failures are to be skipped."""
        failures = [failure for result in done for failure in result.failures]
        inside = self.work / "failures.jsonl"
        inside.unlink(missing_ok=True)
        if self.setting.params.on_bad_audio == "fail":
            self._refuse(failures, part)
        elif failures:
            with whole_file(inside) as partial:
                partial.write_text(_lines(failures), encoding="utf-8")
        return failures

    def _refuse(self, failures: Sequence[Failure], part: str = "") -> None:
        beside = self.out.with_name(f"{self.out.name}{part}.failures.jsonl")
        beside.unlink(missing_ok=True)
        if not failures:
            return
        beside.parent.mkdir(parents=True, exist_ok=True)
        beside.write_text(_lines(failures), encoding="utf-8")
        if self.work.is_dir() and not any(self.work.iterdir()):
            self.work.rmdir()
        raise failures[0].error(f" ({len(failures)} utterances cannot be used; {beside} lists them)")

    def _check_precision(self) -> None:
        worker = worker_of(self.setting)
        with one_thread():
            waveforms = worker.first_waveforms(row for number in range(self.shards) for row in self.job(number).rows)
            if waveforms is not None:
                worker.embed.check_precision(waveforms)

    def _utterances(self, number: int) -> int:
        size = self.setting.utterances_per_shard
        return min(size, len(self.speech) - number * size)

    def _blame(self, error: WorkerLostError, pending: Iterable[int], suspects: dict[int, str]) -> dict[int, str]:
        """Shards that were in hand when a worker died, with their utterances; raises if one of them was so before.

        A worker may also die with nothing in hand, when it starts or between two shards: once.
        """
        doing = {number: in_hand(self.work / cache.shard_name(number)) for number in pending}
        doing = {number: text for number, text in doing.items() if text}
        for number in doing:
            (self.work / cache.shard_name(number)).with_suffix(".doing").unlink(missing_ok=True)
        doing = doing or {NOTHING: ""}
        again = [text for number, text in doing.items() if number in suspects]
        if again:
            at = f" over {'; '.join(again)}" if any(again) else ""
            raise WorkerLostError(
                f"{error.found}{at}", expected=error.expected, remedy=error.remedy, file=error.file
            ) from error
        in_hands = "; ".join(doing.values()) or "nothing"
        LOG.warning("%s; in hand: %s; going on with what is missing", error.found, in_hands)
        return doing

    def _refuse_other_numbers(self, old: cache.Cache) -> None:
        """Notice that the same weights give other numbers than they did, as after an update of a library."""
        if self._other_numbers(old.info.network.self_test):
            then, now = (
                ", ".join(f"{name} {version}" for name, version in versions.items())
                for versions in (old.info.versions, self.info["versions"])
            )
            raise CacheMismatchError(
                f"the network gives other numbers on a test signal than when the cache was made, with {then}",
                expected=f"the same with {now}",
                remedy="remove the cache to extract it again, or go back to those versions",
                file=self.out,
            )

    def _other_numbers(self, then: Sequence[float]) -> bool:
        return not same_numbers(then, self.info["network"].self_test)

    def _begin_again(self) -> None:
        LOG.warning("the network gives other numbers than when %s was begun; beginning again", self.work)
        shutil.rmtree(self.work)

    def _tidy(self, old: cache.Cache) -> cache.Cache:
        """Remove what a run left that was killed after it had published."""
        shutil.rmtree(self.work, ignore_errors=True)
        return old


def _visibly_bad(speech: Manifest) -> Iterator[Failure]:
    @functools.lru_cache(maxsize=16)  # segments of one file are neighbours
    def size_of(path: str) -> int | None:
        return Path(path).stat().st_size if Path(path).is_file() else None

    columns = (speech.frame[name] for name in ("utterance", "path", "bytes"))
    for utterance, path, size in zip(*columns, strict=True):
        found = size_of(path)
        if found != size:
            what = "there is no such file" if found is None else f"has {found} bytes instead of {size}"
            remedy = "check the path, or write the manifest again (dvc repro --force corpus, or seedpipe manifest)"
            yield Failure(str(utterance), str(path), what, remedy=remedy)


def _lines(failures: Iterable[Failure]) -> str:
    return "".join(
        json.dumps({"utterance": failure.utterance, "file": failure.file, "reason": failure.reason}, ensure_ascii=False)
        + "\n"
        for failure in failures
    )


def _workers(machine: MachineParams, device: str) -> int:
    return machine.jobs or (machine.workers if device == "cpu" else min(CUDA_WORKERS, machine.workers))


def _rate(setting: Setting) -> float:
    """Waveforms per second of one forward pass on one thread, after one to warm up."""
    import torch

    embed = Embedder(load_network(setting.network), torch.device(setting.device), setting.params.precision)
    samples = setting.crop_samples or setting.params.evaluation.crop_samples  # of whole utterances, a guess
    noise = torch.randn(BLOCK, samples, generator=torch.Generator().manual_seed(0)).to(setting.device)
    with one_thread():
        embed([noise])
        start = time.perf_counter()
        embed([noise])
        return BLOCK / (time.perf_counter() - start)
