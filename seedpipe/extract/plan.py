"""What there is to do: the shards of a cache, and what an earlier run has left of them."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import logging
import shutil
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from seedpipe import cache
from seedpipe.audio import Manifest, read_manifest
from seedpipe.audio.manifest import SPEECH
from seedpipe.cache import Cache, CacheKind
from seedpipe.errors import CacheError, CacheMismatchError
from seedpipe.extract.embed import BLOCK, Embedder, one_thread
from seedpipe.extract.spec import DECIDING, ExtractionSpec, Utterance, describe, digest_of
from seedpipe.extract.work import Job, finished
from seedpipe.files import StrPath, link_target, put_aside, whole_file
from seedpipe.networks import load_network, same_numbers
from seedpipe.networks.engine import in_engine
from seedpipe.params import ExtractParams, MachineParams
from seedpipe.workers import choose_device

LOG = logging.getLogger(__name__)
CUDA_WORKERS = 4  # they share the GPU: one decodes and mixes while another one computes
COLUMNS = ["utterance", "path", "digest", "speaker", "start_frame", "frames"]


@dataclass(frozen=True)
class Extraction:
    """One cache to be made: everything that is known before audio is read."""

    spec: ExtractionSpec
    speech: Manifest
    info: dict[str, Any]
    """Provenance of the cache to be."""
    out: Path
    machine: MachineParams

    @classmethod
    def of(
        cls,
        manifests: StrPath,
        network: str,
        out: StrPath,
        params: ExtractParams,
        kind: CacheKind,
        machine: MachineParams | None,
    ) -> Extraction:
        """Plan what :func:`seedpipe.extract.extract` is given."""
        manifests, out, machine = Path(manifests), link_target(out), machine or MachineParams()
        network = str(Path(network).absolute()) if Path(network).exists() else network
        device = choose_device(machine.device)
        spec = ExtractionSpec(network, device, manifests.absolute(), kind, params, work=Path(), batch=machine.batch)
        speech = read_manifest(manifests / SPEECH)
        info = describe(spec, speech)
        # Not of the speech: when one file is replaced, the other shards stay.
        config = digest_of(info, audio=False)
        work = out.with_name(f".{out.name}.{config[:16]}")
        return cls(dataclasses.replace(spec, config=config, work=work.absolute()), speech, info, out, machine)

    @property
    def work(self) -> Path:
        """Folder of the work in progress."""
        return self.out.with_name(self.spec.work.name)

    @property
    def skips(self) -> bool:
        """Whether utterances that cannot be used are left out."""
        return self.spec.params.on_bad_audio == "skip"

    @property
    def shards(self) -> int:
        """Shards of the cache."""
        return -(-len(self.speech) // self.spec.utterances_per_shard)

    @property
    def workers(self) -> int:
        """Worker processes."""
        machine = self.machine
        on_gpu = machine.jobs or min(CUDA_WORKERS, machine.workers)
        return max(1, min(machine.workers if self.spec.device == "cpu" else on_gpu, self.shards))

    def utterances(self, number: int) -> int:
        """Utterances of a shard."""
        size = self.spec.utterances_per_shard
        return min(size, len(self.speech) - number * size)

    def job(self, number: int) -> Job:
        """The job of a shard; made when it is needed, as there may be a million utterances."""
        size = self.spec.utterances_per_shard
        frame = self.speech.frame.iloc[number * size : (number + 1) * size][COLUMNS]
        rows = frame.itertuples(index=False, name=None)
        utterances = tuple(Utterance(name, Path(path), *others) for name, path, *others in rows)
        lines = (f"{u.name}\t{u.digest}\t{u.start_frame}\t{u.frames}\t{u.speaker}" for u in utterances)
        key = hashlib.sha256("\n".join([self.spec.config, *lines]).encode()).hexdigest()
        return Job(number, self.spec.work / cache.shard_name(number), key, utterances)

    def jobs(self, numbers: Iterable[int]) -> Iterator[Job]:
        """The jobs of several shards, one after the other."""
        return (self.job(number) for number in numbers)

    def differs(self, self_test: Sequence[float]) -> bool:
        """Whether the network gives other numbers now than it did, as after an update of a library."""
        return not same_numbers(self_test, self.info["network"].self_test)

    def begin_again(self) -> None:
        """Throw the work of another library version away."""
        LOG.warning("the network gives other numbers than when %s was begun; beginning again", self.work)
        shutil.rmtree(self.work)


@dataclass(frozen=True)
class Plan:
    """What an extraction would do."""

    utterances: int
    rows: int
    """Utterances times crops."""
    variants: int
    shards: int
    bytes: int
    """Size of the embeddings; names and recipes add a little."""
    hours: float
    """Hours of audio in the manifest."""
    finished_shards: int
    """Shards that an interrupted run has left."""
    waveforms_per_second: float
    """Measured: one forward pass on one thread."""
    seconds: float
    """Time of the forward passes of the missing shards on all workers; decoding and mixing add to it."""
    workers: int
    device: str

    @classmethod
    def of(cls, wanted: Extraction) -> Plan:
        """Count what is there, and measure the network."""
        spec, shards = wanted.spec, wanted.shards
        left = 0 if finished_cache(wanted) else sum(finished(spec, job) is None for job in wanted.jobs(range(shards)))
        rows, variants, rate = len(wanted.speech) * spec.rows, len(spec.variants), _forward_rate(spec)
        return cls(
            utterances=len(wanted.speech),
            rows=rows,
            variants=variants,
            shards=shards,
            bytes=rows * variants * wanted.info["network"].dimension * np.dtype(spec.params.storage).itemsize,
            hours=wanted.speech.seconds / 3600,
            finished_shards=shards - left,
            waveforms_per_second=rate,
            seconds=rows * variants * left / shards / rate / wanted.workers,
            workers=wanted.workers,
            device=spec.device,
        )


def finished_cache(wanted: Extraction) -> Cache | None:
    """The cache at its place if it is the wanted one and whole; one with a damaged shard is made anew.

    What is no cache, or has a manifest that cannot be read, may be anything: it is refused.
    """
    fingerprint = wanted.info["fingerprint"]
    try:
        old = cache.open_cache(wanted.out)
        if old.info.fingerprint == fingerprint:
            old.verify()
    except CacheError:
        cache.OUTPUT.check(wanted.out)
        return None
    if old.info.fingerprint != fingerprint:
        _refuse_other(wanted, old)
        return None
    _refuse_other_numbers(wanted, old)
    if old.info.skipped and not wanted.skips:
        cache.OUTPUT.check(wanted.out)
        return None
    for left in (wanted.work, put_aside(wanted.out)):  # of a run that was killed after it had published
        shutil.rmtree(left, ignore_errors=True)
    return old


def agree_on_numbers(wanted: Extraction, *, alone: bool) -> None:
    """Never mix shards of libraries that give other numbers; unless alone, others may be at work."""
    note = wanted.work / "self-test.json"
    with contextlib.suppress(OSError, ValueError):
        if wanted.differs(json.loads(note.read_text(encoding="utf-8"))):
            if not alone:
                raise CacheMismatchError(
                    "the network gives other numbers here than for the parts made so far",
                    expected="the same versions of all libraries on all machines",
                    remedy="make them equal, or remove this folder to begin again",
                    file=wanted.work,
                )
            wanted.begin_again()
    if not note.exists():
        with whole_file(note) as partial:
            partial.write_text(json.dumps(wanted.info["network"].self_test), encoding="utf-8")


def sweep(wanted: Extraction) -> None:
    """Remove what a killed run has left half done; not for parts, as others may be at work."""
    for path in (*wanted.work.glob("*.partial"), *wanted.work.glob("*.doing")):
        path.unlink(missing_ok=True)


def _refuse_other(wanted: Extraction, old: Cache) -> None:
    for field in DECIDING:
        found, expected = getattr(old.info, field), wanted.info[field]
        if found != expected:
            raise CacheMismatchError(
                f"the cache there differs in '{field}': {found!r}",
                expected=repr(expected),
                remedy="remove it or choose another folder",
                file=wanted.out,
            )


def _refuse_other_numbers(wanted: Extraction, old: Cache) -> None:
    if wanted.differs(old.info.network.self_test):
        then, now = (
            ", ".join(f"{name} {version}" for name, version in versions.items())
            for versions in (old.info.versions, wanted.info["versions"])
        )
        raise CacheMismatchError(
            f"the network gives other numbers on a test signal than when the cache was made, with {then}",
            expected=f"the same with {now}",
            remedy="remove the cache to extract it again, or go back to those versions",
            file=wanted.out,
        )


def _forward_rate(spec: ExtractionSpec) -> float:
    """Waveforms per second of one forward pass on one thread, after one to warm up."""
    import torch

    network = in_engine(load_network(spec.network), spec.engine)
    embed = Embedder(network, torch.device(spec.device), spec.params.precision)
    samples = spec.crop_samples or spec.params.evaluation.crop_samples  # of whole utterances, a guess
    noise = torch.randn(BLOCK, samples, generator=torch.Generator().manual_seed(0)).to(spec.device)
    with one_thread():
        embed([noise])
        start = time.perf_counter()
        embed([noise])
        return BLOCK / (time.perf_counter() - start)
