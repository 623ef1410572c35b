"""Arrays in .npy and .npz files; headers are held against the bytes that are there before anything is made of them.

Nothing is unpickled. numpy's own reader makes an array of the size that a header claims, and fails on damaged headers
in many ways.
"""

from __future__ import annotations

import contextlib
import math
import os
import warnings
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any, TypeAlias

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from seedpipe.errors import ExchangeError, SeedpipeError
from seedpipe.files import StrPath, most_unpacked, whole_file

Columns: TypeAlias = dict[str, NDArray[Any]]
"""Values by name, one a row each."""
Block: TypeAlias = tuple[Columns, NDArray[np.floating[Any]]]
"""Columns and embeddings (n, ..., D) of some rows."""
Form = tuple[tuple[int, ...], bool, np.dtype[Any]]
HEADERS = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}


def read_npy(path: StrPath) -> NDArray[Any]:
    """Map the array of an .npy file.

    Raises
    ------
    ExchangeError
        The file cannot be read, is no array or a shorter one than it claims, or holds Python objects.
    """
    path = Path(path)
    with readable(path):
        with path.open("rb") as file:
            shape, fortran, dtype = _header(file, os.fstat(file.fileno()).st_size)
            offset = file.tell()
        return np.memmap(path, dtype, "r", offset, shape, "F" if fortran else "C")


def read_npz(path: Path, wanted: Sequence[str]) -> dict[str, NDArray[Any]]:
    """Read those of the wanted arrays that an .npz file has; all of its arrays, if it has none of them."""
    with readable(path), zipfile.ZipFile(path) as archive:
        there = [name.removesuffix(".npy") for name in archive.namelist()]
        if len(set(there)) < len(there):
            raise ValueError("an array stands twice")
        names = [name for name in wanted if name in there] or there
        members = {name: archive.getinfo(f"{name}.npy") for name in names}
        size = path.stat().st_size
        # Of the whole archive: repeated names grow as zeros do, the embeddings beside them do not.
        if (unpacked := sum(info.file_size for info in members.values())) > most_unpacked(size):
            raise ValueError(f"{size:,} bytes unpack to {unpacked:,}")
        return {name: _member(archive, info) for name, info in members.items()}


def write_npz(out: Path, shape: tuple[int, ...], blocks: Iterable[Block], **further: NDArray[Any]) -> list[Path]:
    """Write embeddings of a shape, their columns and further arrays; only the columns are held in memory."""
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
        raise ExchangeError(
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
        raise ValueError(f"claims the shape {shape} of {dtype} in {size:,} bytes")
    return tuple(int(axis) for axis in shape), fortran, dtype
