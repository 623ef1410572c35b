"""Embeddings in the files of other tools: one vector per row, each of an utterance."""

from __future__ import annotations

import itertools
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from seedpipe.cache import LEAST_ENTRY, LONGEST, MOST_ENTRY, expect_real
from seedpipe.cache.exchange.kaldi import Vector, read_ark, read_scp, write_kaldi
from seedpipe.cache.exchange.npz import Block, array_names, read_npy, read_npz, readable, write_npz
from seedpipe.cache.exchange.parquet import embedding_column, read_parquet, write_parquet
from seedpipe.cache.exchange.provenance import SAYS, Provenance, read_provenance
from seedpipe.errors import ExchangeError, counted
from seedpipe.files import StrPath, read_again, read_text, two_forms

WRITTEN = (".npz", ".parquet", ".ark")
BESIDE = {".npy": ".txt", ".ark": ".scp"}
"""Names of the rows, or an index, that are written beside a file."""
NAMES_SHOWN = 5
UNSTORABLE = re.compile("[\\0\ud800-\udfff]")  # numpy drops the one, UTF-8 has none of the others
NUMBERED = re.compile(r"(.+)#([0-9]{1,9})")
BLOCK = 65536  # rows
CONVERT = "convert it, or rename it to what it is"
Key: TypeAlias = tuple[str, int]
_Read: TypeAlias = tuple[list[str], NDArray[Any], NDArray[Any] | None, Provenance | None]
"""Names, embeddings (N, D), and where the file has them the numbers of the draws and what made the embeddings."""


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
    provenance : Provenance, optional
        What made the embeddings, where the file says it.
    """

    path: Path
    keys: list[Key]
    values: NDArray[np.floating[Any]]
    provenance: Provenance | None = None

    def __post_init__(self) -> None:
        """Take a text for a path, and lists for an array."""
        object.__setattr__(self, "path", Path(self.path))
        expect_real(self.values, "embeddings", ExchangeError)
        if not isinstance(self.values, np.ndarray):
            object.__setattr__(self, "values", np.asarray(self.values, np.float32))


def read_vectors(path: StrPath, ids: StrPath | None = None) -> Vectors:
    """Read embeddings from a file, by its extension.

    Parameters
    ----------
    path : Path
        ``.npz`` with the arrays ``embeddings`` (N, D) or (N, 1, D) and ``utterance`` or ``ids`` (N,), or with one
        array (D,) or (1, D) under the name of each utterance; ``.npy`` (N, D); ``.parquet`` with the columns
        ``utterance`` and ``embedding``; Kaldi ``.ark`` or ``.scp`` of vectors or matrices (1, D). ``draw`` numbers the
        draws of an utterance; without it a repeated name stands for several in order. In Kaldi files, where keys are
        unique, ``utterance#number`` does.
    ids : Path, optional
        For ``.npy``: a text file with the name of each row, one a line.

    Raises
    ------
    ExchangeError
        The file cannot be read, is empty, or holds vectors of several lengths, of zeros alone or of values that are
        not finite; the draws of an utterance have gaps.
    """
    path = Path(path)
    readers: dict[str, Callable[[Path], _Read]] = {
        ".npz": _read_npz,
        ".npy": lambda path: _read_npy(path, ids),
        ".parquet": _read_parquet,
        ".ark": lambda path: _stacked(path, read_ark(path)),
        ".scp": lambda path: _stacked(path, read_scp(path)),
    }
    unsafe = path.suffix in (".pkl", ".pickle", ".pt", ".pth")
    remedy = "it can run code and is not opened: save its arrays with numpy.savez" if unsafe else CONVERT
    check_extension(path, tuple(readers), remedy)
    read = partial(readers[path.suffix], path)
    names, values, draws, provenance = read_again(path, read)  # an index and its archives are replaced together
    _check(path, names, values)
    if path.suffix in (".ark", ".scp"):
        return Vectors(path, _checked_keys(path, _split_keys(names)), values)
    if draws is None:
        return Vectors(path, _counted(names), values, provenance)
    numbers = _draw_numbers(path, draws, len(names))
    return Vectors(path, _checked_keys(path, list(zip(names, numbers, strict=True))), values, provenance)


def write_vectors(vectors: Vectors) -> list[Path]:
    """Write embeddings to the file that they name, by its extension, in their order.

    Parameters
    ----------
    vectors : Vectors
        ``.npz``: arrays ``embeddings`` (N, D), ``utterance`` and ``draw`` (N,). ``.parquet``: the columns utterance,
        draw and embedding. Both say what made the embeddings, where that is known. ``.ark``: Kaldi vectors under the
        utterance, or ``utterance#draw`` where it has several, with an index ``.scp`` beside.

    Returns
    -------
    list of Path
        The files written, as :func:`export_cache` gives them, which says what can go wrong.
    """
    out = vectors.path
    check_extension(out, WRITTEN)
    if out.suffix == ".npz":
        return write_npz(out, vectors.values.shape, _blocks(vectors), vectors.provenance)
    if out.suffix == ".parquet":
        return write_parquet(out, ("utterance", "draw"), _blocks(vectors), vectors.provenance)
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


def _read_npz(path: Path) -> _Read:
    known = ("embeddings", "utterance", "ids", "draw", SAYS)
    arrays = read_npz(path, known)
    if arrays and not arrays.keys() & set(known):
        return _stacked(path, ((name, _one(path, name, arrays)) for name in arrays))
    names = arrays.get("utterance", arrays.get("ids"))
    if names is None or "embeddings" not in arrays:
        found = f"lacks an array (it has {listed(array_names(path)) or 'none'})"
        raise ExchangeError(found, expected="'embeddings' and 'utterance' or 'ids'", file=path)
    said = str(arrays[SAYS]) if SAYS in arrays else None
    values = _flat(path, arrays["embeddings"])
    return _texts(path, names), values, arrays.get("draw"), read_provenance(path, said)


def _one(path: Path, name: str, arrays: Mapping[str, NDArray[Any]]) -> Vector:
    """The array of one utterance, as some toolkits write an .npz."""
    array = arrays[name]
    if array.shape not in {(array.size,), (1, array.size)} or array.dtype.kind != "f":
        raise ExchangeError(
            f"has the arrays {listed(arrays)}; {name} has shape {array.shape} and type {array.dtype}",
            expected="the arrays 'embeddings' and 'utterance' or 'ids', or one array (D,) of floats for each utterance",
            file=path,
        )
    return array.reshape(-1)


def _read_npy(path: Path, ids: StrPath | None) -> _Read:
    if ids is None:
        raise ExchangeError("has no names for its rows", remedy="give a text file with --ids", file=path)
    ids = Path(ids)
    with readable(ids):
        names = read_text(ids, stream=True).removesuffix("\n").split("\n")
    return names, _flat(path, read_npy(path)), None, None


def _read_parquet(path: Path) -> _Read:
    table = read_parquet(path, ("utterance", "embedding", "variant", "draw"))
    if lacking := [name for name in ("utterance", "embedding") if name not in table.column_names]:
        raise ExchangeError(f"lacks the column {', '.join(lacking)}", expected="'utterance' and 'embedding'", file=path)
    with readable(path):
        if len(table) and "variant" in table.column_names and len(table["variant"].unique()) > 1:
            raise _several(path, table["variant"].unique().to_pylist())
        names = _words(path, table["utterance"].to_pylist())
        draws = table["draw"].to_numpy() if "draw" in table.column_names else None
        said = (table.schema.metadata or {}).get(SAYS.encode())
        return names, embedding_column(path, table, names), draws, read_provenance(path, said)


def _stacked(path: Path, entries: Iterable[tuple[str, Vector]]) -> _Read:
    names: list[str] = []
    vectors: list[Vector] = []
    for name, vector in entries:
        if vectors and vector.size != vectors[0].size:
            raise ExchangeError(
                f"the vector of {name} has {counted(vector.size, 'value')}, that of {names[0]} {vectors[0].size}",
                expected="vectors of one network",
                file=path,
                row=len(names) + 1,
            )
        names.append(name)
        vectors.append(vector)
    return names, np.stack(vectors) if vectors else np.empty((0, 0), np.float32), None, None


def _check(path: Path, names: list[str], values: NDArray[Any]) -> None:
    if not values.size:
        raise ExchangeError("holds no embeddings", expected="one row or more", file=path)
    if values.ndim != 2 or values.dtype.kind != "f":
        raise ExchangeError(
            f"embeddings have shape {values.shape} and type {values.dtype}",
            expected="(rows, dimension), floats",
            file=path,
        )
    if values.shape[1] > LONGEST:
        found = f"embeddings have {counted(values.shape[1], 'value')}"
        raise ExchangeError(found, expected=f"at most {LONGEST:,}", remedy="check the orientation", file=path)
    if len(names) != len(values):
        raise ExchangeError(
            f"has {counted(len(values), 'row')} and {counted(len(names), 'name')}", expected="as many", file=path
        )
    if empty := [row for row, name in enumerate(names, 1) if not name or UNSTORABLE.search(name)]:
        found = f"{counted(len(empty), 'row', 'has/have')} an empty name, or one with NUL or half a character"
        raise ExchangeError(found, expected="names that UTF-8 can hold", file=path, row=empty[0])
    if twice := two_forms(names):
        raise ExchangeError(twice, expected="one form", remedy="write one name for each utterance", file=path)
    check_values(path, names, values)


def check_values(path: Path | None, names: Sequence[str], values: NDArray[Any]) -> None:
    """Refuse values that are not finite, and vectors whose direction float32 cannot tell: scores mean nothing."""
    infinite: list[int] = []
    zero: list[int] = []
    beyond: list[int] = []
    for first in range(0, len(values), BLOCK):
        with np.errstate(over="ignore"):  # a double that float32 does not hold becomes infinite, and is refused
            block = values[first : first + BLOCK].astype(np.float32)
        largest = np.abs(block).max(axis=1)
        infinite.extend(first + np.flatnonzero(~np.isfinite(largest)))
        zero.extend(first + np.flatnonzero(largest == 0))
        beyond.extend(first + np.flatnonzero((largest < LEAST_ENTRY) | (largest > MOST_ENTRY)))
    too = f"too short or too long (the largest entry is beyond {LEAST_ENTRY:g} to {MOST_ENTRY:g})"
    for rows, what in ((infinite, "not finite"), (zero, "all zero"), (beyond, too)):
        if rows:
            raise ExchangeError(
                f"{counted(len(rows), 'embedding', 'is/are')} {what}: {listed(names[row] for row in rows)}",
                remedy="leave these rows out",
                file=path,
                row=int(rows[0]) + 1,
            )


def _counted(names: list[str]) -> list[Key]:
    """Number the draws of each utterance in order."""
    numbers: defaultdict[str, Iterator[int]] = defaultdict(itertools.count)
    return [(name, next(numbers[name])) for name in names]


def _split_keys(names: list[str]) -> list[Key]:
    """Read the draws from keys of Kaldi."""
    matches = [(name, NUMBERED.fullmatch(name)) for name in names]
    return [(match[1], int(match[2])) if match else (name, 0) for name, match in matches]


def _draw_numbers(path: Path, draws: NDArray[Any], rows: int) -> list[int]:
    if draws.shape != (rows,) or draws.dtype.kind not in "iu":
        found = f"'draw' has shape {draws.shape} and type {draws.dtype}"
        raise ExchangeError(found, expected=f"a whole number for each of {counted(rows, 'row')}", file=path)
    numbers: list[int] = draws.tolist()
    return numbers


def _checked_keys(path: Path, keys: list[Key]) -> list[Key]:
    """Refuse keys that are repeated, and draws that are not 0, 1, ... of their utterance."""
    labels = [f"{name}#{draw}" for name, draw in keys]
    if repeated := [label for label, earlier in _counted(labels) if earlier]:
        found = f"{counted(len(repeated), 'key', 'is/are')} repeated: {listed(repeated)}"
        raise ExchangeError(found, expected="each key once", file=path)
    draws = Counter(name for name, _ in keys)
    if gaps := [label for label, (name, draw) in zip(labels, keys, strict=True) if not 0 <= draw < draws[name]]:
        found = f"the draws of {counted(len(gaps), 'key', 'has/have')} gaps: {listed(gaps)}"
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
        raise ExchangeError(f"{counted(len(wrong), 'row', 'has/have')} a name that is no text", file=path, row=wrong[0])
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
        f"holds {counted(len(variants), 'variant')}", expected="one", remedy="export one with --variant", file=path
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
