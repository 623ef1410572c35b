"""What there is to do: the shards of a cache, and what an earlier run has left of them."""

from __future__ import annotations

import dataclasses
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
from seedpipe.audio.manifest import SPEECH, channel_of
from seedpipe.cache import Cache, CacheKind
from seedpipe.errors import CacheError, CacheMismatchError, ClusterError
from seedpipe.extract.embed import BLOCK, Embedder, fixed_arithmetic
from seedpipe.extract.shards import Job
from seedpipe.extract.spec import DECIDING, ExtractionSpec, Utterance, describe, digest_of
from seedpipe.extract.units import utterances_left
from seedpipe.files import StrPath, link_target, put_aside, read_note, write_note
from seedpipe.networks import load_network, same_numbers
from seedpipe.networks.engine import in_engine
from seedpipe.params import ExtractParams, MachineParams
from seedpipe.workers import choose_device, visible_gpus

LOG = logging.getLogger(__name__)
CUDA_WORKERS = 4  # they share the GPU: one decodes and mixes while another one computes
NOTE = "self-test.json"  # of the run that began
COLUMNS = ["utterance", "path", "digest", "speaker", "start_frame", "frames", "channel"]


@dataclass(frozen=True)
class Extraction:
    """One cache to be made: everything that is known before audio is read."""

    spec: ExtractionSpec
    speech: Manifest
    info: dict[str, Any]
    """Provenance of the cache to be."""
    out: Path
    machine: MachineParams
    gpus: tuple[str, ...] = ()
    """Those of this machine that its workers share."""

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
        cache.OUTPUT.expect_name(out)
        network = str(Path(network).absolute()) if Path(network).exists() else network
        device = choose_device(machine.device)
        _refuse_ray(machine, device)
        spec = ExtractionSpec(network, device, manifests.absolute(), kind, params, work=Path(), batch=machine.batch)
        speech = read_manifest(manifests / SPEECH)
        info = describe(spec, speech)
        # Not of the speech: when one file is replaced, the other shards stay.
        config = digest_of(info, audio=False)
        work = out.with_name(f".{out.name}.{config[:16]}")
        # Workers of a cluster use the GPU that they see first.
        gpus = visible_gpus(machine.gpus) if device == "cuda" and not machine.address else ()
        return cls(dataclasses.replace(spec, config=config, work=work.absolute()), speech, info, out, machine, gpus)

    @property
    def work(self) -> Path:
        """Folder of the work in progress."""
        return self.out.with_name(self.spec.work.name)

    @property
    def shards(self) -> int:
        """Shards of the cache."""
        return -(-len(self.speech) // self.spec.utterances_per_shard)

    @property
    def workers(self) -> int:
        """Worker processes: no more than there are units of work; each GPU has one at least."""
        machine, spec = self.machine, self.spec
        shared = max(len(self.gpus), min(CUDA_WORKERS * len(self.gpus), machine.workers))
        wanted = machine.workers if spec.device == "cpu" else machine.jobs or shared
        full, rest = divmod(len(self.speech), spec.utterances_per_shard)
        units = [-(-utterances // spec.utterances_per_unit) for utterances in (spec.utterances_per_shard, rest)]
        return max(1, min(wanted, full * units[0] + units[1]))

    @property
    def parallel(self) -> int:
        """Forward passes that run at a time without slowing each other down."""
        return self.workers if self.spec.device == "cpu" else max(1, min(self.workers, len(self.gpus)))

    def utterances(self, number: int) -> int:
        """Utterances of a shard."""
        size = self.spec.utterances_per_shard
        return min(size, len(self.speech) - number * size)

    def job(self, number: int) -> Job:
        """The job of a shard; made when it is needed, as there may be a million utterances."""
        size = self.spec.utterances_per_shard
        frame = self.speech.frame.iloc[number * size : (number + 1) * size][COLUMNS]
        columns = (frame[name].tolist() for name in COLUMNS)
        utterances = tuple(
            Utterance(name, Path(path), digest, speaker, first, frames, channel_of(channel))
            for name, path, digest, speaker, first, frames, channel in zip(*columns, strict=True)
        )
        return Job(number, self.spec.work / cache.shard_name(number), self.spec.key_of(utterances), utterances)

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
    """Time of the forward passes that are missing, on all cores or GPUs; decoding and mixing add to it."""
    workers: int
    device: str

    @classmethod
    def of(cls, wanted: Extraction) -> Plan:
        """Count what is there, and measure the network."""
        spec, shards = wanted.spec, wanted.shards
        jobs = () if finished_cache(wanted) else wanted.jobs(range(shards))
        left = [left for job in jobs if (left := utterances_left(spec, job))]
        rows, variants, rate = len(wanted.speech) * spec.rows, len(spec.variants), _forward_rate(spec)
        return cls(
            utterances=len(wanted.speech),
            rows=rows,
            variants=variants,
            shards=shards,
            bytes=rows * variants * wanted.info["network"].dimension * np.dtype(spec.params.storage).itemsize,
            hours=wanted.speech.seconds / 3600,
            finished_shards=shards - len(left),
            waveforms_per_second=rate,
            seconds=sum(left) * spec.rows * variants / rate / wanted.parallel,
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
    if old.info.skipped and not wanted.spec.skips:
        cache.OUTPUT.check(wanted.out)
        return None
    for left in (wanted.work, put_aside(wanted.out)):  # of a run that was killed after it had published
        shutil.rmtree(left, ignore_errors=True)
    return old


def agree_on_numbers(wanted: Extraction, *, alone: bool) -> None:
    """Never mix shards of devices or libraries that give other numbers; unless alone, others may be at work."""
    refuse_other_device(wanted)
    note = wanted.work / NOTE
    earlier = read_note(note)
    if earlier and wanted.differs(earlier["self_test"]):
        if not alone:
            raise CacheMismatchError(
                "the network gives other numbers here than for the parts made so far",
                expected="the same versions of all libraries on all machines",
                remedy="make them equal, or remove this folder to begin again",
                file=wanted.work,
            )
        wanted.begin_again()
        earlier = None
    if not earlier:
        write_note(note, {"self_test": wanted.info["network"].self_test, "device": wanted.spec.device})


def refuse_other_device(wanted: Extraction) -> None:
    """Refuse to go on with the work of another device, whose last digits differ.

    Raises
    ------
    CacheMismatchError
        The work in progress was computed on another one; a finished cache may have been.
    """
    note, device = read_note(wanted.work / NOTE), wanted.spec.device
    begun = note.get("device", "cpu") if note else device  # notes are older than GPUs
    if begun != device:
        raise CacheMismatchError(
            f"what an interrupted run has left there was computed on {begun}",
            expected=f"{device}, as last digits differ and one cache is not to hold both",
            remedy=f"go on with machine.device: {begun} (--device {begun}), or remove this folder to begin again",
            file=wanted.work,
        )


def _refuse_ray(machine: MachineParams, device: str) -> None:
    """Say that Ray hides GPUs from calls that do not ask for one, as ours; such a call would fail on a worker."""
    if machine.backend == "ray" and device != "cpu":
        raise ClusterError(
            f"workers of a Ray cluster were to compute on {device}, and Ray hides GPUs from them",
            expected="machine.device: cpu with machine.backend: ray",
            remedy="use the GPUs of this machine (machine.backend: loky) or of a Dask cluster",
        )


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
    with fixed_arithmetic():
        embed([noise])
        start = time.perf_counter()
        embed([noise])
        return BLOCK / (time.perf_counter() - start)
