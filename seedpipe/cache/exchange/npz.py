"""Arrays in .npy and .npz files; headers are held against the bytes that are there before anything is made of them.

Nothing is unpickled. numpy's own reader makes an array of the size that a header claims, and fails on damaged headers
in many ways.
"""

from __future__ import annotations

import contextlib
import functools
import math
import os
import warnings
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from io import BufferedReader
from pathlib import Path
from typing import IO, Any, TypeAlias

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from seedpipe.cache.exchange.provenance import SAYS, Provenance
from seedpipe.errors import ExchangeError, SeedpipeError, counted, shortage
from seedpipe.files import StrPath, file_beside, most_unpacked, steady_input, whole_file, whole_files

Columns: TypeAlias = dict[str, NDArray[Any]]
"""Values by name, one a row each."""
Block: TypeAlias = tuple[Columns, NDArray[np.floating[Any]]]
"""Columns and embeddings (n, ..., D) of some rows."""
Form = tuple[tuple[int, ...], bool, np.dtype[Any]]
HEADERS = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}


class StoredArray:
    """The array of an .npy file that is open: some rows are read when asked for, and none is mapped.

    Attributes
    ----------
    shape : tuple of int
    dtype : dtype
    """

    def __init__(self, path: Path, file: BufferedReader) -> None:
        self.shape, self._fortran, self.dtype = _header(file, os.fstat(file.fileno()).st_size)
        self._path, self._file, self._start = path, file, file.tell()

    def read(self) -> NDArray[Any]:
        """The whole array."""
        return self._values(0, math.prod(self.shape)).reshape(self.shape, order="F" if self._fortran else "C")

    def rows(self, start: int, stop: int) -> NDArray[Any]:
        """Some rows of the array seen as (N, D); as columns lie one after the other in Fortran's order, of all read."""
        if self._fortran:
            return self._whole.reshape(-1, self.shape[-1])[start:stop]
        return self._values(start * self.shape[-1], stop * self.shape[-1]).reshape(-1, self.shape[-1])

    @functools.cached_property
    def _whole(self) -> NDArray[Any]:
        return self.read()

    def _values(self, start: int, stop: int) -> NDArray[Any]:
        values = np.empty(stop - start, self.dtype)
        with readable(self._path):
            self._file.seek(self._start + start * self.dtype.itemsize)
            if self._file.readinto(values.view(np.uint8).data) != values.nbytes:
                raise ValueError("the file ends within the array")
        return values


@contextlib.contextmanager
def open_npy(path: StrPath) -> Iterator[StoredArray]:
    """Open an .npy file, to read it piece by piece; what is read is one file, whatever gets its name meanwhile.

    Raises
    ------
    ExchangeError
        The file cannot be read, is no array or a shorter one than it claims, holds Python objects, or was changed until
        the block ended.
    """
    path = Path(path)
    with contextlib.ExitStack() as stack:
        with readable(path):
            array = StoredArray(path, stack.enter_context(steady_input(path)))
        yield array
        with readable(path):
            stack.close()


def read_npy(path: StrPath) -> NDArray[Any]:
    """Read the array of an .npy file; :func:`open_npy` says what can go wrong."""
    with open_npy(path) as array:
        return array.read()


def read_npz(path: Path, wanted: Sequence[str]) -> dict[str, NDArray[Any]]:
    """Read those of the wanted arrays that an .npz file has; all of its arrays, if it has none of them."""
    with readable(path), steady_input(path) as source, zipfile.ZipFile(source) as archive:
        there = [name.removesuffix(".npy") for name in archive.namelist()]
        if len(set(there)) < len(there):
            raise ValueError("an array stands twice")
        names = [name for name in wanted if name in there] or there
        members = {name: archive.getinfo(f"{name}.npy") for name in names}
        size = os.fstat(source.fileno()).st_size
        # Of the whole archive: repeated names grow as zeros do, the embeddings beside them do not.
        if (unpacked := sum(info.file_size for info in members.values())) > most_unpacked(size):
            raise ValueError(f"{counted(size, 'byte', 'unpacks/unpack')} to {unpacked:,}")
        return {name: _member(archive, info) for name, info in members.items()}


def array_names(path: Path) -> list[str]:
    """Names of the arrays of an .npz file."""
    with readable(path), steady_input(path) as source, zipfile.ZipFile(source) as archive:
        return [name.removesuffix(".npy") for name in archive.namelist()]


def write_npy(out: Path, shape: tuple[int, ...], blocks: Iterable[Block]) -> list[Path]:
    """Write embeddings of a shape as .npy, and the name of each row, one a line, to a .txt file beside."""
    names = file_beside(out, ".txt")
    with (
        whole_files([out, names]) as (array, text),
        array.open("wb") as file,
        text.open("w", encoding="utf-8", newline="\n") as lines,
    ):
        npy.write_array_header_1_0(file, {"descr": "<f4", "fortran_order": False, "shape": shape})
        for columns, values in blocks:
            file.write(np.ascontiguousarray(values, dtype="<f4").data)
            for name in columns["utterance"].tolist():
                if "\n" in name:
                    raise ExchangeError(f"{name!r} is more than a line", remedy="write .npz or .parquet", file=names)
                lines.write(f"{name}\n")
    return [out, names]


def write_npz(
    out: Path,
    shape: tuple[int, ...],
    blocks: Iterable[Block],
    provenance: Provenance | None = None,
    **further: NDArray[Any],
) -> list[Path]:
    """Write embeddings of a shape, their columns and further arrays; only the columns are held in memory."""
    if provenance:
        further[SAYS] = np.array(provenance.to_json())
    columns: list[Columns] = []
    with whole_file(out) as partial, zipfile.ZipFile(partial, "w") as archive:
        with _new_member(archive, "embeddings") as file:
            npy.write_array_header_1_0(file, {"descr": "<f4", "fortran_order": False, "shape": shape})
            for names, values in blocks:
                file.write(np.ascontiguousarray(values, dtype="<f4").data)
                columns.append(names)
        whole = {name: np.concatenate([some[name] for some in columns]) for name in columns[0]}
        for name, array in (whole | further).items():
            with _new_member(archive, name) as file:
                npy.write_array(file, array, allow_pickle=False)
    return [out]


@contextlib.contextmanager
def readable(path: Path, expected: str = "embeddings") -> Iterator[None]:
    """Turn whatever a library makes of a damaged file into our error, and keep its warnings to itself."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except SeedpipeError:
        raise
    except Exception as error:
        reason = getattr(error, "strerror", None) or str(error).partition("\n")[0] or type(error).__name__
        raise shortage(error) or ExchangeError(
            f"cannot be read ({reason})", expected=expected, remedy="check the file", file=path
        ) from error


def _member(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> NDArray[Any]:
    with archive.open(info) as file:
        shape, fortran, dtype = _header(file, info.file_size)
        data = file.read(math.prod(shape) * dtype.itemsize)
    return np.ndarray(shape, dtype, data, order="F" if fortran else "C")


def _new_member(archive: zipfile.ZipFile, name: str) -> IO[bytes]:
    """An array to be written; without a time, so that equal embeddings give equal files."""
    return archive.open(zipfile.ZipInfo(f"{name}.npy"), "w", force_zip64=True)


def _header(file: IO[bytes], size: int) -> Form:
    """Shape, order and type of an array; its data follow."""
    version = npy.read_magic(file)
    if version not in HEADERS:
        raise ValueError(f"version {version[0]}.{version[1]} of the format")
    shape, fortran, dtype = HEADERS[version](file)
    if dtype.hasobject:
        raise ValueError("holds Python objects, which are not unpickled as they can run code")
    if not dtype.itemsize or min(shape, default=0) < 0 or math.prod(shape) * dtype.itemsize > size:
        raise ValueError(f"claims the shape {shape} of {dtype} in {counted(size, 'byte')}")
    return tuple(int(axis) for axis in shape), fortran, dtype
