"""Noise, music and rooms: the files of a manifest, each decoded once for a machine."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import joblib
import numpy as np

from seedpipe.audio import decode, rooms
from seedpipe.audio.manifest import Manifest
from seedpipe.audio.source import Waveform
from seedpipe.errors import AudioError, ManifestError
from seedpipe.files import StrPath, file_digest, read_note, whole_file, write_note

if TYPE_CHECKING:
    from seedpipe.console import ProgressCallback


class Bank(Mapping[str, Waveform]):
    """The files of a manifest as waveforms at one rate, each decoded once.

    Without a folder, files are decoded at first use and kept in the memory of this process. With one, :meth:`decode`
    writes them into a single file there, which all processes of the machine then map: a bank of 11 GB, as MUSAN is,
    takes 11 GB and not 11 GB for every worker.
    """

    def __init__(self, manifest: Manifest, sample_rate: int | None, folder: StrPath | None = None) -> None:
        rows = zip(manifest.frame["utterance"], manifest.frame["path"], manifest.frame["digest"], strict=True)
        self._files = {str(utterance): (Path(path), str(digest)) for utterance, path, digest in rows}
        self._decoded: dict[str, Waveform] = {}
        self._powers: dict[str, float] = {}
        self._rooms: dict[str, Waveform] = {}
        self._sample_rate, self._path = sample_rate, manifest.path
        self._rates = dict(zip(map(str, manifest.frame["utterance"]), manifest.frame["sample_rate"], strict=True))
        self._states_onsets = "onset" in manifest.frame
        key = hashlib.sha256(f"{manifest.digest()}\n{sample_rate}".encode()).hexdigest()[:16]
        self._store = Path(folder, f"bank-{key}.f32") if folder else None
        self.names = tuple(self._files)

    def decode(self, jobs: int = 1, progress: ProgressCallback = lambda *_: None) -> None:
        """Decode all files into the folder, unless an earlier run has left them there; ``jobs`` threads decode.

        What an earlier run has left is compared with the digest that it noted. ``progress`` is called after each file.

        Raises
        ------
        ManifestError
            A file cannot be used.
        """
        store = self._store
        if store is None or _is_whole(store):
            return
        run = joblib.Parallel(n_jobs=jobs, prefer="threads", return_as="generator")
        sizes: list[int] = []
        with whole_file(store) as partial, partial.open("wb") as file:
            for waveform in run(joblib.delayed(self._read)(name) for name in self.names):
                file.write(waveform.tobytes())
                sizes.append(waveform.size)
                progress(len(sizes), len(self.names))
            # The lengths stand at the end, so that the file is complete in itself.
            file.write(np.array([*sizes, len(sizes)], dtype=np.int64).tobytes())
            file.flush()
            made = {"sha256": file_digest(partial)}
        write_note(_note(store), made)

    def longest(self, limit: int) -> int:
        """Samples of the longest file, or ``limit`` if that is less."""
        return max(min(limit, self[name].size) for name in self.names)

    def power(self, name: str) -> float:
        """Mean power of a file."""
        if name not in self._powers:
            self._powers[name] = float(np.mean(np.square(self[name], dtype=np.float64)))
        return self._powers[name]

    def room(self, name: str) -> Waveform:
        """A room response, aligned as :mod:`seedpipe.audio.rooms` says."""
        if name not in self._rooms:
            self._rooms[name] = rooms.aligned(self[name], int(self._sample_rate or self._rates[name]))
        return self._rooms[name]

    def file(self, name: str) -> Path:
        """The file of an utterance."""
        return self._files[name][0]

    def check_rooms(self) -> None:
        """Refuse late responses of a manifest that does not state where their direct sound is.

        A cache that was made from such a manifest earlier would have other numbers under the same fingerprint.
        """
        late = [name for name in self.names if self.room(name).size < self[name].size]
        if late and not self._states_onsets:
            raise ManifestError(
                f"does not state the onsets of its rooms, and that of {late[0]} is late",
                expected="a manifest of this version",
                remedy="write it again (seedpipe manifest, or dvc repro --force manifest-train manifest-eval)",
                file=self._path,
            )

    def __getitem__(self, name: str) -> Waveform:
        if name not in self._decoded:
            if self._store is not None and self._store.exists():
                self._decoded |= self._mapped(self._store)
            else:
                self._decoded[name] = self._read(name)
        return self._decoded[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def __len__(self) -> int:
        return len(self.names)

    def _read(self, name: str) -> Waveform:
        path, digest = self._files[name]
        try:
            waveform = decode.read_audio(path, self._sample_rate, digest)
        except AudioError as error:  # not a fault of the utterance that wanted it
            raise ManifestError(error.found, expected=error.expected, remedy=error.remedy, file=path) from error
        if not waveform.any():
            raise ManifestError("is silent from end to end", remedy="remove it from the noise or rooms", file=path)
        return waveform

    def _mapped(self, store: Path) -> dict[str, Waveform]:
        count = len(self.names)
        sizes = np.fromfile(store, dtype=np.int64, offset=store.stat().st_size - 8 * (count + 1))
        samples = np.memmap(store, dtype=np.float32, mode="r", shape=(int(sizes[:-1].sum()),))
        parts = np.split(samples, np.cumsum(sizes[:-1])[:-1])
        return {name: part.view(np.ndarray) for name, part in zip(self.names, parts, strict=True)}


def _note(store: Path) -> Path:
    return store.with_suffix(".json")


def _is_whole(store: Path) -> bool:
    """Whether the bytes are those that were written."""
    note = read_note(_note(store))
    return note is not None and store.is_file() and file_digest(store) == note["sha256"]
