"""From a manifest to a cache: plan the shards, have the missing ones made by workers, publish."""

from __future__ import annotations

import logging
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

import joblib

from seedpipe import cache
from seedpipe.audio.manifest import SPEECH, read_manifest
from seedpipe.cache import Cache, CacheInfo, CacheKind
from seedpipe.console import shown
from seedpipe.errors import counted
from seedpipe.extract.crops import load_banks
from seedpipe.extract.make import make_shards
from seedpipe.extract.plan import Extraction, Plan, agree_on_numbers, finished_cache, refuse_other_device, sweep
from seedpipe.extract.publish import check_failures, publish, publish_complete, refuse_visibly_bad, take_over
from seedpipe.extract.work import Worker
from seedpipe.files import StrPath, locked
from seedpipe.params import ExtractParams, MachineParams

if TYPE_CHECKING:
    from seedpipe.console import ProgressCallback, Shown

LOG = logging.getLogger(__name__)
DECODING_SECONDS = 10.0  # between two lines


def extract(
    manifests: StrPath,
    network: str,
    out: StrPath,
    params: ExtractParams,
    *,
    kind: CacheKind,
    machine: MachineParams | None = None,
    progress: ProgressCallback | Shown | None = "shown",
) -> Cache:
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
        Workers, engine and device. Nothing but the device has an influence on the bytes.
    progress : callable or None
        Called with utterances done and utterances in all, from a thread while worker processes compute; a bar, or
        lines where it cannot be drawn, by default. None for silence.

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
        ``out`` holds a cache made from something else, or an interrupted run has begun it on another device.
    NetworkError
        The network is unknown, takes no crops of this length, gives embeddings of another dimension, or its embeddings
        suffer from ``params.precision``.
    WorkerLostError
        Workers died twice over the same unit of work; the text names the utterances that they had in hand.
    """
    wanted = Extraction.of(manifests, network, out, params, kind, machine)
    if not os.access(wanted.out.parent, os.W_OK) and (old := finished_cache(wanted)):
        return old
    with locked(wanted.out):
        if old := finished_cache(wanted) or publish_complete(wanted) or take_over(wanted):
            return old
        sweep(wanted)
        agree_on_numbers(wanted, alone=True)
        _prepare(wanted)
        bar = shown(progress, "extract", "utterances")
        return publish(wanted, make_shards(wanted, range(wanted.shards), bar))


def extract_part(
    manifests: StrPath,
    network: str,
    out: StrPath,
    params: ExtractParams,
    *,
    part: tuple[int, int],
    kind: CacheKind,
    machine: MachineParams | None = None,
    progress: ProgressCallback | Shown | None = "shown",
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
    wanted = Extraction.of(manifests, network, out, params, kind, machine)
    with locked(wanted.out, shared=True):
        numbers = range(part[0] - 1, wanted.shards, part[1])
        if not finished_cache(wanted) and not cache.unpublished(wanted.work, wanted.info["fingerprint"]):
            agree_on_numbers(wanted, alone=False)
            _prepare(wanted)
            bar = shown(progress, "extract", "utterances")
            check_failures(wanted, make_shards(wanted, numbers, bar), f".{part[0]}-of-{part[1]}")
        return len(numbers)


def plan(
    manifests: StrPath,
    network: str,
    out: StrPath,
    params: ExtractParams,
    *,
    kind: CacheKind,
    machine: MachineParams | None = None,
) -> Plan:
    """Say what :func:`extract` would do, without doing it: everything is checked that needs no audio to be decoded."""
    wanted = Extraction.of(manifests, network, out, params, kind, machine)
    refuse_visibly_bad(wanted)
    refuse_other_device(wanted)
    return Plan.of(wanted)


def remarks(info: CacheInfo, manifests: StrPath | None = None) -> list[str]:
    """What a person should know of the audio that went into a cache, a sentence each.

    ``manifests`` is the folder of its manifests, which name what is odd about levels and channels.
    """
    lines = []
    if info.skipped:
        lines.append(
            f"{counted(info.skipped, 'utterance', 'was/were')} left out: failures.jsonl in the cache lists them"
        )
    if info.resampled:
        rates = ", ".join(f"{count:,} from {int(rate):,} Hz" for rate, count in info.resampled.items())
        lines.append(f"resampled to {info.network.sample_rate:,} Hz: {rates}")
    lines += [
        f"{counted(count, 'utterance', 'is/are')} the mean of {channels} channels"
        for channels, count in info.averaged.items()
    ]
    low = sum(count for rate, count in info.resampled.items() if int(rate) < info.network.sample_rate)
    if low:
        lines.append(f"{counted(low, 'utterance')} had a lower rate, with nothing above half of it")
    return lines + (read_manifest(Path(manifests, SPEECH)).oddities() if manifests else [])


class _Decoding:
    """Says now and then how far the decoding of noise, music or rooms is, which takes minutes where there is much."""

    def __init__(self, part: str) -> None:
        self._part, self._said = part, time.monotonic()

    def __call__(self, done: int, total: int) -> None:
        """Note that so many files are decoded."""
        if time.monotonic() - self._said >= DECODING_SECONDS:
            self._said = time.monotonic()
            LOG.warning("decoding %s, once for all workers: %d of %d files", self._part, done, total)


def _prepare(wanted: Extraction) -> None:
    """All that can go wrong before any network runs on speech; decodes the noise, music and rooms."""
    spec = wanted.spec
    refuse_visibly_bad(wanted)
    banks = load_banks(spec, wanted.info["network"].sample_rate)
    for part, bank in banks.items():
        bank.decode(joblib.cpu_count(), _Decoding(part))
    if "reverb" in banks and spec.params.rooms == "aligned":
        banks["reverb"].check_rooms()
    if spec.params.precision != "float32":
        utterances = (utterance for job in wanted.jobs(range(wanted.shards)) for utterance in job.utterances)
        Worker(spec).check_precision(utterances)
