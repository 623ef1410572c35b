"""Shards of the cache to be: what they are made from, what an earlier run has left of them, how one is written.

A shard depends on nothing but its utterances and the spec.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from seedpipe import cache
from seedpipe.errors import AudioError
from seedpipe.extract.spec import ExtractionSpec, Utterance
from seedpipe.files import read_note, write_note


@dataclass(frozen=True)
class Job:
    """A shard, or a unit of one, to be made: the number of the shard, the file, its digest, its utterances.

    The digest, ``key``, is of all that it is made from.
    """

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


@dataclass(frozen=True)
class Part:
    """Neighbouring rows of a shard, and the utterances that cannot be used; ``rows`` is None where none can."""

    rows: cache.Shard | None
    failures: tuple[Failure, ...]

    @classmethod
    def joined(cls, parts: Sequence[Part], key: str) -> Part:
        """The parts of a shard in order, as the shard."""
        failures = tuple(failure for part in parts for failure in part.failures)
        rows = [part.rows for part in parts if part.rows is not None]
        if not rows:
            return cls(None, failures)
        columns = {name: np.concatenate([each.columns[name] for each in rows]) for name in rows[0].columns}
        embeddings = np.concatenate([each.embeddings for each in rows])
        return cls(cache.Shard(embeddings, rows[0].variants, columns, key), failures)


def write(spec: ExtractionSpec, job: Job, part: Part) -> Finished:
    """Write a shard, unless utterances of it cannot be used and none is to be left out."""
    shard = None
    if part.failures and spec.skips:
        _write_failures(job, part.failures)  # before the shard, which is trusted only with them
    if part.rows is not None and (spec.skips or not part.failures):
        shard = cache.write_shard(job.path, part.rows)
    return Finished(job.number, len(job.utterances), shard, part.failures)


def finished(spec: ExtractionSpec, job: Job) -> Finished | None:
    """What an earlier run has left of a shard, with the utterances that it had to leave out."""
    failures = _read_failures(job) if spec.skips else ()
    used = len(job.utterances) - len(failures)
    shard = cache.finished_shard(job.path, job.key) if used else None
    if used and (shard is None or shard.rows != used * spec.rows):
        return None
    return Finished(job.number, len(job.utterances), shard, failures)


def as_entries(failures: Sequence[Failure]) -> list[dict[str, Any]]:
    """Failures as plain data."""
    return [dataclasses.asdict(failure) for failure in failures]


def _write_failures(job: Job, failures: Sequence[Failure]) -> None:
    write_note(job.path.with_suffix(".failures"), {"key": job.key, "failures": as_entries(failures)})


def _read_failures(job: Job) -> tuple[Failure, ...]:
    note = read_note(job.path.with_suffix(".failures"))
    return tuple(Failure(**failure) for failure in note["failures"]) if note and note["key"] == job.key else ()
