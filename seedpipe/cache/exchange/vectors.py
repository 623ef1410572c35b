"""Embeddings in the files of other tools: one vector per row, each of an utterance."""

from __future__ import annotations

import itertools
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seedpipe.cache.exchange.kaldi import Vector, read_ark, read_scp, write_kaldi
from seedpipe.cache.exchange.npz import Block, read_npy, read_npz, readable, write_npz
from seedpipe.cache.exchange.parquet import read_parquet, write_parquet
from seedpipe.errors import ExchangeError
from seedpipe.files import StrPath

WRITTEN = (".npz", ".parquet", ".ark")
NAMES_SHOWN = 5
NUMBERED = re.compile(r"(.+)#([0-9]{1,9})")
BLOCK = 65536  # rows


@dataclass(frozen=True)
class Vectors:
    """The embeddings of a file, in its order.

    Parameters
    ----------
    path : Path
    keys : list of (str, int), length N
        Utterance and number of the draw; no two are equal, and the draws of an utterance are 0, 1, ...
    values : ndarray of floats, shape (N, D)
        It may be mapped from the file.
    """

    path: Path
    keys: list[tuple[str, int]]
    values: NDArray[np.floating[Any]]


def read_vectors(path: StrPath, ids: StrPath | None = None) -> Vectors:
    """Read embeddings from a file, by its extension.

    Parameters
    ----------
    path : Path
        ``.npz`` with the arrays ``embeddings`` (N, D) or (N, 1, D) and ``utterance`` or ``ids`` (N,); ``.npy`` (N, D);
        ``.parquet`` with the columns ``utterance`` and ``embedding``; Kaldi ``.ark`` or ``.scp``. A repeated name
        stands for several draws in order; in Kaldi files, where keys are unique, ``utterance#number`` does.
    ids : Path, optional
        For ``.npy``: a text file with the name of each row, one a line.

    Raises
    ------
    ExchangeError
        The file cannot be read, is empty, or holds vectors of several lengths or values that are not finite.
    """
    path = Path(path)
    readers: dict[str, Callable[[Path], tuple[list[str], NDArray[Any]]]] = {
        ".npz": _read_npz,
        ".npy": lambda path: _read_npy(path, ids),
        ".parquet": _read_parquet,
        ".ark": lambda path: _stacked(path, read_ark(path)),
        ".scp": lambda path: _stacked(path, read_scp(path)),
    }
    check_extension(path, tuple(readers), "convert it, or rename it to what it is")
    names, values = readers[path.suffix](path)
    _check(path, names, values)
    keys = _numbered(path, names) if path.suffix in (".ark", ".scp") else _counted(names)
    return Vectors(path, keys, values)


def write_vectors(vectors: Vectors) -> list[Path]:
    """Write embeddings to the file that they name, by its extension, in their order.

    Parameters
    ----------
    vectors : Vectors
        ``.npz``: arrays ``embeddings`` (N, D), ``utterance`` and ``draw`` (N,). ``.parquet``: the columns utterance,
        draw and embedding. ``.ark``: Kaldi vectors under the utterance, or ``utterance#draw`` where it has several,
        with an index ``.scp`` beside.

    Returns
    -------
    list of Path
        The files written, as :func:`export_cache` gives them, which says what can go wrong.
    """
    out = vectors.path
    check_extension(out, WRITTEN)
    if out.suffix == ".npz":
        return write_npz(out, vectors.values.shape, _blocks(vectors))
    if out.suffix == ".parquet":
        return write_parquet(out, ("utterance", "draw"), _blocks(vectors))
    return write_kaldi(out, zip(_kaldi_keys(vectors), vectors.values, strict=True))


def check_extension(path: Path, known: Sequence[str], remedy: str = "") -> None:
    """Refuse a file whose extension is none of the known ones."""
    if path.suffix not in known:
        found = f"has the extension {path.suffix or 'of none'}"
        raise ExchangeError(found, expected=", ".join(known), remedy=remedy, file=path)


def listed(names: Iterable[object]) -> str:
    """The first few names, for a message."""
    shown = [str(name) for _, name in zip(range(NAMES_SHOWN + 1), names, strict=False)]
    return ", ".join(shown[:NAMES_SHOWN]) + (", ..." if len(shown) > NAMES_SHOWN else "")


def _read_npz(path: Path) -> tuple[list[str], NDArray[Any]]:
    arrays = read_npz(path, ("embeddings", "utterance", "ids"))
    names = arrays.get("utterance", arrays.get("ids"))
    if names is None or "embeddings" not in arrays:
        found = f"lacks an array (it has {', '.join(arrays) or 'none of them'})"
        raise ExchangeError(found, expected="'embeddings' and 'utterance' or 'ids'", file=path)
    return _texts(path, names), _flat(path, arrays["embeddings"])


def _read_npy(path: Path, ids: StrPath | None) -> tuple[list[str], NDArray[Any]]:
    if ids is None:
        raise ExchangeError("has no names for its rows", remedy="give a text file with --ids", file=path)
    ids = Path(ids)
    with readable(ids):
        names = ids.read_text(encoding="utf-8").removesuffix("\n").split("\n")
    return names, _flat(path, read_npy(path))


def _read_parquet(path: Path) -> tuple[list[str], NDArray[Any]]:
    table = read_parquet(path, ("utterance", "embedding", "variant"))
    with readable(path):
        if len(table) and "variant" in table.column_names and len(table["variant"].unique()) > 1:
            raise _several(path, table["variant"].unique().to_pylist())
        values = table["embedding"].combine_chunks().flatten().to_numpy(zero_copy_only=False)
        return _words(path, table["utterance"].to_pylist()), values.reshape(len(table), -1) if len(table) else values


def _stacked(path: Path, entries: Iterable[tuple[str, Vector]]) -> tuple[list[str], NDArray[Any]]:
    names: list[str] = []
    vectors: list[Vector] = []
    for name, vector in entries:
        if vectors and vector.size != vectors[0].size:
            raise ExchangeError(
                f"the vector of {name} has {vector.size} values, that of {names[0]} {vectors[0].size}",
                expected="vectors of one network",
                file=path,
            )
        names.append(name)
        vectors.append(vector)
    return names, np.stack(vectors) if vectors else np.empty((0, 0), np.float32)


def _check(path: Path, names: list[str], values: NDArray[Any]) -> None:
    if not values.size:
        raise ExchangeError("holds no embeddings", expected="one row or more", file=path)
    if values.ndim != 2 or values.dtype.kind != "f":
        raise ExchangeError(
            f"embeddings have shape {values.shape} and type {values.dtype}",
            expected="(rows, dimension), floats",
            file=path,
        )
    if len(names) != len(values):
        raise ExchangeError(f"has {len(values):,} rows and {len(names):,} names", expected="as many", file=path)
    if empty := [row for row, name in enumerate(names, 1) if not name]:
        raise ExchangeError(f"{len(empty):,} rows have an empty name", file=path, row=empty[0])
    bad: list[str] = []
    for first in range(0, len(values), BLOCK):
        with np.errstate(over="ignore"):  # a double that float32 does not hold becomes infinite, and is refused
            finite = np.isfinite(values[first : first + BLOCK].astype(np.float32)).all(axis=1)
        bad.extend(names[first + row] for row in np.flatnonzero(~finite))
    if bad:
        raise ExchangeError(
            f"{len(bad):,} embeddings are not finite: {listed(bad)}", remedy="leave these rows out", file=path
        )


def _counted(names: list[str]) -> list[tuple[str, int]]:
    """Number the draws of each utterance in order."""
    numbers: defaultdict[str, Iterator[int]] = defaultdict(itertools.count)
    return [(name, next(numbers[name])) for name in names]


def _numbered(path: Path, names: list[str]) -> list[tuple[str, int]]:
    """Read the draws from keys of Kaldi."""
    matches = [(name, NUMBERED.fullmatch(name)) for name in names]
    keys = [(match[1], int(match[2])) if match else (name, 0) for name, match in matches]
    labels = [f"{name}#{draw}" for name, draw in keys]
    if repeated := [label for label, earlier in _counted(labels) if earlier]:
        found = f"{len(repeated):,} keys are repeated: {listed(repeated)}"
        raise ExchangeError(found, expected="each key once", file=path)
    draws = Counter(name for name, _ in keys)
    if gaps := [label for label, (name, draw) in zip(labels, keys, strict=True) if draw >= draws[name]]:
        found = f"the draws of {len(gaps):,} keys have gaps: {listed(gaps)}"
        raise ExchangeError(found, expected="utterance#0, utterance#1, ... without gaps", file=path)
    return keys


def _texts(path: Path, names: NDArray[Any]) -> list[str]:
    if names.ndim != 1 or names.dtype.kind not in "US":
        raise ExchangeError(
            f"names have shape {names.shape} and type {names.dtype}", expected="one text per row", file=path
        )
    with readable(path):  # bytes that are not UTF-8
        texts: list[str] = (np.char.decode(names, "utf-8") if names.dtype.kind == "S" else names).tolist()
    return texts


def _words(path: Path, names: list[Any]) -> list[str]:
    if wrong := [row for row, name in enumerate(names, 1) if not isinstance(name, str)]:
        raise ExchangeError(f"{len(wrong):,} rows have a name that is no text", file=path, row=wrong[0])
    return names


def _flat(path: Path, values: NDArray[Any]) -> NDArray[Any]:
    """Drop the axis of variants, as our own exports have it."""
    if values.ndim == 3:
        if values.shape[1] != 1:
            raise _several(path, [str(number) for number in range(values.shape[1])])
        return values[:, 0]
    return values


def _several(path: Path, variants: list[str]) -> ExchangeError:
    return ExchangeError(
        f"holds {len(variants)} variants", expected="one", remedy="export one with --variant", file=path
    )


def _blocks(vectors: Vectors) -> Iterator[Block]:
    for first in range(0, len(vectors.keys), BLOCK):
        names, draws = zip(*vectors.keys[first : first + BLOCK], strict=True)
        columns = {"utterance": np.array(names), "draw": np.array(draws, dtype=np.int32)}
        yield columns, vectors.values[first : first + BLOCK]


def _kaldi_keys(vectors: Vectors) -> Iterator[str]:
    draws = Counter(name for name, _ in vectors.keys)
    for name, draw in vectors.keys:
        numbered = draws[name] > 1 or NUMBERED.fullmatch(name)  # a name that ends as a numbered one would mislead
        yield f"{name}#{draw}" if numbered else name
