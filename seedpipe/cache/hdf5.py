"""The bytes of a shard, from and to arrays: this is the only module that opens HDF5.

Datasets are contiguous, so that HDF5 says where they lie (:class:`Field`) and numpy reads them there.
"""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import h5py
import numpy as np
from numpy.typing import NDArray

from seedpipe.cache.info import FORMAT

LIBVER = ("earliest", "v110")
ROW_COLUMNS = ("utterance", "speaker", "draw", "crop_start")
RECIPE_COLUMNS = ("noise", "noise_offset", "snr_db", "rir")
NAMES = "variants"
Embeddings = NDArray[np.float32] | NDArray[np.float16]
Layout = dict[str, "Field"]


@dataclass(frozen=True)
class Shard:
    """The contents of one shard.

    Parameters
    ----------
    embeddings : ndarray of float32 or float16, shape (R, V, D)
    variants : sequence of str, length V
    columns : dict
        ``utterance``, ``speaker`` (str), ``draw``, ``crop_start`` (int), shape (R,); ``noise``, ``rir`` (str),
        ``noise_offset`` (int), ``snr_db`` (float32), shape (R, V).
    key : str
        Digest of everything that the shard was made from.
    """

    embeddings: Embeddings
    variants: Sequence[str]
    columns: dict[str, NDArray[Any]]
    key: str


@dataclass(frozen=True)
class Field:
    """Where a dataset lies in the file of a shard."""

    offset: int
    dtype: np.dtype[Any]
    shape: tuple[int, ...]

    def view(self, data: NDArray[np.uint8]) -> NDArray[Any]:
        """The dataset in the bytes of its shard, not copied."""
        return np.frombuffer(data, self.dtype, math.prod(self.shape), self.offset).reshape(self.shape)

    def read(self, path: Path) -> NDArray[Any]:
        """The dataset from the file of its shard."""
        return np.fromfile(path, self.dtype, math.prod(self.shape), offset=self.offset).reshape(self.shape)

    def read_run(self, path: Path, start: int, stop: int) -> NDArray[Any]:
        """Rows ``start`` to ``stop`` of the dataset from the file of its shard."""
        entries = math.prod(self.shape[1:])
        offset = self.offset + start * entries * self.dtype.itemsize
        return np.fromfile(path, self.dtype, (stop - start) * entries, offset=offset).reshape(-1, *self.shape[1:])

    def read_row(self, file: io.FileIO, row: int) -> NDArray[Any]:
        """One row of the dataset from the open file of its shard."""
        values = np.empty(self.shape[1:], self.dtype)
        file.seek(self.offset + row * values.nbytes)
        if file.readinto(values.reshape(-1).view(np.uint8).data) != values.nbytes:
            raise EOFError("the file ends within a row")
        return values


def to_bytes(shard: Shard) -> bytes:
    """The file of a shard, built in memory; equal contents give equal bytes."""
    with h5py.File("shard", "w", driver="core", backing_store=False, libver=LIBVER) as file:
        file.attrs["format"] = FORMAT
        file.attrs["key"] = shard.key
        embeddings = file.create_dataset("embeddings", data=shard.embeddings, track_times=False)
        embeddings.attrs["variants"] = list(shard.variants)
        for name in (*ROW_COLUMNS, *RECIPE_COLUMNS):
            file.create_dataset(name, data=_encoded(shard.columns[name]), track_times=False)
        file.create_dataset(NAMES, data=_encoded(np.array(shard.variants)), track_times=False)
        file.flush()
        image: bytes = file.id.get_file_image()
        return image


def layout(file: BinaryIO) -> Layout:
    """Where the datasets of a shard lie, by name, from its open file: HDF5 neither locks it nor opens another.

    Attributes are not read: HDF5 keeps texts of any length in a heap, and hangs on some damaged ones.

    Raises
    ------
    OSError, KeyError, ValueError, TypeError, RuntimeError
        The bytes are no shard.
    """
    with h5py.File(file, "r") as shard:
        names = ("embeddings", *ROW_COLUMNS, *RECIPE_COLUMNS, *([NAMES] if NAMES in shard else []))
        return {name: _field(name, shard) for name in names}


def _field(name: str, shard: h5py.File) -> Field:
    if not isinstance(shard.get(name, getlink=True), h5py.HardLink):  # other links may lead to other files
        raise ValueError(f"{name} is not in this file")
    dataset = shard[name]
    if not isinstance(dataset, h5py.Dataset):
        raise ValueError(f"{name} is no dataset")
    offset = dataset.id.get_offset()
    if offset is None:
        raise ValueError(f"{name} is not contiguous")
    return Field(offset, dataset.dtype, dataset.shape)


def _encoded(values: NDArray[Any]) -> NDArray[Any]:
    if values.dtype.kind != "U":
        return values
    encoded = np.char.encode(values, "utf-8")
    return encoded.astype(h5py.string_dtype("utf-8", max(1, encoded.dtype.itemsize)))
