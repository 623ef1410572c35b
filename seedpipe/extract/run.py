"""From a manifest to a cache: plan the shards, have the missing ones made by workers, publish."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable
from typing import TYPE_CHECKING

import joblib

from seedpipe import cache
from seedpipe.cache import Cache, CacheInfo, CacheKind
from seedpipe.errors import WorkerLostError
from seedpipe.extract.crops import load_banks
from seedpipe.extract.plan import Extraction, Plan, agree_on_numbers, finished_cache, sweep
from seedpipe.extract.publish import check_failures, publish, publish_complete, refuse_visibly_bad
from seedpipe.extract.work import Finished, make_shard, note_of, worker_of
from seedpipe.files import StrPath, locked
from seedpipe.params import ExtractParams, MachineParams
from seedpipe.workers import Engine, unordered

if TYPE_CHECKING:
    from seedpipe.console import ProgressCallback

LOG = logging.getLogger(__name__)
NOTHING = -1  # in the place of a shard's number


def extract(
    manifests: StrPath,
    network: str,
    out: StrPath,
    params: ExtractParams,
    *,
    kind: CacheKind,
    machine: MachineParams | None = None,
    progress: ProgressCallback | None = None,
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
    wanted = Extraction.of(manifests, network, out, params, kind, machine)
    if not os.access(wanted.out.parent, os.W_OK) and (old := finished_cache(wanted)):
        return old
    with locked(wanted.out):
        if old := finished_cache(wanted) or publish_complete(wanted):
            return old
        sweep(wanted)
        agree_on_numbers(wanted, alone=True)
        _prepare(wanted)
        return publish(wanted, _make_shards(wanted, range(wanted.shards), progress))


def extract_part(
    manifests: StrPath,
    network: str,
    out: StrPath,
    params: ExtractParams,
    *,
    part: tuple[int, int],
    kind: CacheKind,
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
    wanted = Extraction.of(manifests, network, out, params, kind, machine)
    with locked(wanted.out, shared=True):
        numbers = range(part[0] - 1, wanted.shards, part[1])
        if not finished_cache(wanted) and not cache.unpublished(wanted.work, wanted.info["fingerprint"]):
            agree_on_numbers(wanted, alone=False)
            _prepare(wanted)
            check_failures(wanted, _make_shards(wanted, numbers, progress), f".{part[0]}-of-{part[1]}")
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
    return Plan.of(wanted)


def remarks(info: CacheInfo) -> list[str]:
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


def _prepare(wanted: Extraction) -> None:
    """All that can go wrong before any network runs on speech; decodes the noise, music and rooms."""
    spec = wanted.spec
    refuse_visibly_bad(wanted)
    for bank in load_banks(spec, wanted.info["network"].sample_rate).values():
        bank.decode(joblib.cpu_count())
    if spec.params.precision != "float32":
        utterances = (utterance for job in wanted.jobs(range(wanted.shards)) for utterance in job.utterances)
        worker_of(spec).check_precision(utterances)


def _make_shards(wanted: Extraction, numbers: Iterable[int], progress: ProgressCallback | None) -> list[Finished]:
    """Have shards made; when a worker dies, go on, unless it dies over the same shard a second time."""
    machine = wanted.machine
    # A cluster of the user's own has as many workers as it has, unless they are asked for by number.
    engine = Engine(machine.jobs if machine.address else wanted.workers, machine.backend, machine.address)
    pending = dict.fromkeys(numbers)
    total = sum(wanted.utterances(number) for number in pending)
    suspects: dict[int, str] = {}
    results: list[Finished] = []
    utterances = 0
    while pending:
        try:
            calls = ((wanted.spec, job) for job in wanted.jobs(list(pending)))
            for result in unordered(make_shard, calls, engine):
                results.append(result)
                del pending[result.number]
                utterances += result.utterances
                if progress:
                    progress(utterances, total)
        except WorkerLostError as error:
            suspects |= _blame(wanted, error, pending, suspects)
    return sorted(results, key=lambda result: result.number)


def _blame(
    wanted: Extraction, error: WorkerLostError, pending: Iterable[int], suspects: dict[int, str]
) -> dict[int, str]:
    """Shards that were in hand when a worker died, with their utterances; raises if one of them was so before.

    A worker may also die with nothing in hand, when it starts or between two shards: once.
    """
    doing = {number: text for number in pending if (text := _take_note(wanted, number))} or {NOTHING: ""}
    again = [text for number, text in doing.items() if number in suspects]
    if again:
        at = f" over {'; '.join(again)}" if any(again) else ""
        raise WorkerLostError(
            f"{error.found}{at}", expected=error.expected, remedy=error.remedy, file=error.file
        ) from error
    in_hands = "; ".join(doing.values()) or "nothing"
    LOG.warning("%s; in hand: %s; going on with what is missing", error.found, in_hands)
    return doing


def _take_note(wanted: Extraction, number: int) -> str:
    """What a worker that died was doing with a shard; empty if it had not begun, or has finished."""
    note = note_of(wanted.work / cache.shard_name(number))
    try:
        text = note.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""
    if text:
        note.unlink(missing_ok=True)
    return text
