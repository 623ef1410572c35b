"""Units of work: a few blocks each, whatever the size of the shards, so that workers end together.

A unit is part of one shard. Where a shard has several, each leaves a file beside it, from which the shard is made and
an interrupted run goes on. While a unit is made, ``UNIT.doing`` says how far it is and which utterances are in hand, so
that progress can be shown, and the death of a worker be blamed on something.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import threading
from pathlib import Path
from typing import Self

import numpy as np

from seedpipe import cache
from seedpipe.extract.shards import Failure, Job, Part, as_entries, finished
from seedpipe.extract.spec import ExtractionSpec, Utterance
from seedpipe.files import read_bytes

UNIT = ".unit"  # ends the names of files of units


def units(spec: ExtractionSpec, shard: Job) -> list[Job]:
    """Cut a shard; a small one is its own unit."""
    size, everything = spec.utterances_per_unit, shard.utterances
    if len(everything) <= size:
        return [shard]
    parts = ((first, everything[first : first + size]) for first in range(0, len(everything), size))
    return [
        Job(shard.number, shard.path.with_suffix(f".{first:06d}{UNIT}"), spec.key_of(part), part)
        for first, part in parts
    ]


def is_part(unit: Job) -> bool:
    """Whether there are other units of its shard."""
    return unit.path.suffix == UNIT


def write_part(unit: Job, part: Part) -> None:
    """Write what was made of a unit behind a digest of it and of what it was made from, which half a file has not.

    Nothing waits for the disk, unlike with shards: what a power failure takes is seconds of work.
    """
    arrays = {"failures": np.array(json.dumps(as_entries(part.failures)))}
    if part.rows is not None:
        arrays |= {"embeddings": part.rows.embeddings, **part.rows.columns}
    contents = io.BytesIO()
    np.savez(contents, **arrays)  # type: ignore[arg-type]  # no array is called allow_pickle
    data = contents.getvalue()
    unit.path.write_bytes(_digest(unit, data) + data)


def read_part(spec: ExtractionSpec, unit: Job) -> Part | None:
    """What was made of a unit, if it is there and as it was written."""
    try:
        stored = read_bytes(unit.path)
    except OSError:
        return None
    size = hashlib.sha256().digest_size
    if stored[:size] != _digest(unit, stored[size:]):
        return None
    with np.load(io.BytesIO(stored[size:]), allow_pickle=False) as part:
        arrays = {name: part[name] for name in part.files}
    failures = tuple(Failure(**entry) for entry in json.loads(str(arrays.pop("failures"))))
    if failures and not spec.skips:
        return None
    embeddings = arrays.pop("embeddings", None)
    rows = None if embeddings is None else cache.Shard(embeddings, spec.variants, arrays, unit.key)
    return Part(rows, failures)


def _digest(unit: Job, data: bytes) -> bytes:
    return hashlib.sha256(unit.key.encode() + data).digest()


def utterances_left(spec: ExtractionSpec, shard: Job) -> int:
    """Utterances of a shard that no earlier run has embedded."""
    if finished(spec, shard):
        return 0
    return sum(len(unit.utterances) for unit in units(spec, shard) if not is_part(unit) or not read_part(spec, unit))


class WorkNote:
    """How far a unit is, and which utterance is being decoded and which one the network has."""

    def __init__(self, unit: Job) -> None:
        self._path = note_of(unit)
        self._embedded = 0
        self._doing = {"decoding": "", "in the network": ""}
        self._lock = threading.Lock()  # the thread that decodes and the one of the network both write

    def __enter__(self) -> Self:
        self._file = self._path.open("wb", buffering=0)
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
        self._path.unlink(missing_ok=True)

    def write(self, what: str, utterance: Utterance) -> None:
        """Write down what is done to an utterance."""
        self._doing[what] = utterance.name
        self._write()

    def embedded(self, utterances: int) -> None:
        """Write down of how many utterances all embeddings are there."""
        self._embedded = utterances
        self._write()

    def _write(self) -> None:
        doing = ", ".join(f"{name} ({what})" for what, name in self._doing.items() if name)
        text = f"{self._embedded}\n{doing}".encode()
        # The system keeps it when the process is killed; where the disk is full, the unit will say so.
        with self._lock, contextlib.suppress(OSError):
            self._file.seek(0)
            self._file.truncate()
            self._file.write(text)


def note_of(unit: Job) -> Path:
    """Where it is noted what is in hand of a unit."""
    return unit.path.with_suffix(".doing")


def read_note(unit: Job) -> tuple[int, str]:
    """How many utterances of a unit are embedded, and which are in hand; 0 and nothing where no worker is at it."""
    try:
        embedded, _, doing = note_of(unit).read_text(encoding="utf-8", errors="replace").partition("\n")
        return int(embedded), doing.strip()
    except (OSError, ValueError):
        return 0, ""
