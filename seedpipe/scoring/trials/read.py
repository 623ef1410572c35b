"""From files to trial lists and enrolment models."""

from __future__ import annotations

import array
import csv
import gzip
import io
import itertools
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from seedpipe.errors import TrialError, counted
from seedpipe.files import StrPath, most_unpacked, normal, read_bytes
from seedpipe.scoring.trials import columns as known
from seedpipe.scoring.trials.columns import LABELS, LABELS_IN_WORDS, VOCABULARIES, Reading
from seedpipe.scoring.trials.list import UNKNOWN, Trials

GZIP_MAGIC = b"\x1f\x8b"
CHUNK = 2**20  # bytes unpacked at a time
PIECE = 2**16  # letters of a text that are taken apart at a time
BLANK = np.array([chr(code).isspace() for code in range(128)])  # what str.split takes for white space, in ASCII


@dataclass(frozen=True)
class _Table:
    """Columns of a list without its blank lines, the line of each row, and which columns are which."""

    path: Path
    columns: Sequence[Sequence[str]]
    rows: NDArray[np.int64]
    reading: Reading
    header: Sequence[str] = ()

    @property
    def sides(self) -> tuple[Sequence[str], Sequence[str]]:
        """Names of both sides."""
        return self.columns[self.reading.enrol], self.columns[self.reading.test]


def read_trials(path: StrPath) -> Trials:
    """Read a trial list in one of the layouts of :mod:`seedpipe.scoring.trials`.

    Parameters
    ----------
    path : str or path
        Text, or text compressed with gzip.

    Returns
    -------
    Trials
        With labels of both kinds, or of none (a blind list).

    Raises
    ------
    TrialError
        The file cannot be read, has no trials, a line of another layout, an unknown label or a single class.
    """
    trials = parse(path)
    return trials if trials.blind else trials.expect_labels()


def parse(path: StrPath) -> Trials:
    """Read a trial list of any classes."""
    path = Path(path)
    table = _table(path)
    labels = _labels(table)
    if table.header:
        _expect_told_apart(table, labels)
    place = table.reading.label
    phrases = place is not None and not {"tw", "TW"}.isdisjoint(table.columns[place])
    return replace(Trials.of_names(path, *table.sides, labels, table.rows), phrases=phrases)


def read_models(path: StrPath) -> dict[str, tuple[str, ...]]:
    """Read enrolment models: a line for each, ``model utterance utterance ...``.

    A table with a header, as NIST gives them (``modelid``, ``segmentid``), has a line for each utterance.

    Returns
    -------
    dict
        Name of the model, as it stands in a trial list, to its utterances.

    Raises
    ------
    TrialError
        The file cannot be read or is empty, a model has no utterance, or is named twice.
    """
    path = Path(path)
    models: dict[str, tuple[str, ...]] = {}
    text = list_text(path)
    if table := _headed(path, text):
        for model, utterance in zip(*table.sides, strict=True):
            models[normal(model)] = (*models.get(normal(model), ()), utterance)
        text = ""
    for row, line in enumerate(text.splitlines(), start=1):
        name, *utterances = normal(line).split() or ("",)
        if not name:
            continue
        if not utterances or name in models:
            found = f"the model {name} " + ("stands twice" if name in models else "has no utterance")
            raise TrialError(found, expected="'model utterance utterance ...'", file=path, row=row)
        models[name] = tuple(utterances)
    if not models:
        raise TrialError("no models", expected="lines 'model utterance utterance ...'", file=path)
    return models


def list_text(path: Path) -> str:
    """Text of a list, which may be compressed."""
    try:
        content = read_bytes(path, stream=True)
        if content.startswith(GZIP_MAGIC):
            content = _unpacked(content)
        return content.decode("utf-8-sig")
    except (OSError, EOFError, ValueError, zlib.error) as error:
        raise TrialError(
            f"cannot be read ({error})",
            expected="a trial list in UTF-8, gzip or not",
            remedy="check the path, which in the pipeline follows from manifest.root and manifest.evaluations",
            file=path,
        ) from error


def _unpacked(content: bytes) -> bytes:
    most = most_unpacked(len(content))
    unpacked = bytearray()
    with gzip.GzipFile(fileobj=io.BytesIO(content)) as file:
        while chunk := file.read(CHUNK):
            unpacked += chunk
            if len(unpacked) > most:
                raise ValueError(f"{counted(len(content), 'byte')} of gzip unpack to more than {most:,}")
    return bytes(unpacked)


def _table(path: Path) -> _Table:
    text = list_text(path)
    if table := _headed(path, text):
        return table
    width = len(_first_line(text).split())
    columns: Sequence[Sequence[str]]
    if width in (2, 3) and all(_uniform(piece, width) for piece in _pieces(text)):
        columns = _words(text, width)
        rows = np.arange(1, len(columns[0]) + 1)
    else:
        columns, rows = _columns(path, ((row, line.split()) for row, line in _lines(text)), (2, 3))
    return _Table(path, columns, rows, _reading(path, columns, rows))


def _pieces(text: str) -> Iterator[str]:
    """The text in pieces of whole lines, so that what is made of it is never there all at once."""
    start = 0
    while start < len(text):
        stop = text.find("\n", start + PIECE) + 1 or len(text)
        yield text[start:stop]
        start = stop


def _words(text: str, width: int) -> list[list[str]]:
    """Columns of lines that all have so many words; a word that comes again is in memory once."""
    columns: list[list[str]] = [[] for _ in range(width)]
    once: dict[str, str] = {}
    for piece in _pieces(text):
        words = piece.split()
        for number, column in enumerate(columns):
            column.extend(map(once.setdefault, words[number::width], words[number::width]))
    return columns


def _lines(text: str) -> Iterator[tuple[int, str]]:
    """Numbers and texts of the lines that are not blank."""
    lines = itertools.chain.from_iterable(piece.removesuffix("\n").split("\n") for piece in _pieces(text))
    return ((row, line) for row, line in enumerate(lines, start=1) if line.strip())


def _first_line(text: str) -> str:
    return next((line for _, line in _lines(text)), "")


def _headed(path: Path, text: str) -> _Table | None:
    """The table where the first line names its columns."""
    first = _first_line(text)
    delimiter = next((mark for mark in (",", "\t") if mark in first), None)
    header = first.split(delimiter)
    return _with_header(path, text, header, delimiter) if known.is_header(header) else None


def _uniform(text: str, width: int) -> bool:
    """Whether every line, without exception, has so many words; quick on long lists."""
    if not text.isascii():  # words of other scripts may be parted by other blanks
        return False
    data = np.frombuffer(text.removesuffix("\n").encode(), dtype=np.uint8)
    blank = BLANK[data]
    starts = ~blank
    starts[1:] &= blank[:-1]
    lines = np.append(0, np.flatnonzero(data == ord("\n")) + 1)
    if lines[-1] == data.size:
        return False
    return bool((np.add.reduceat(starts, lines, dtype=np.int64) == width).all())


def _with_header(path: Path, text: str, header: list[str], delimiter: str | None) -> _Table:
    lines: Iterator[list[str]]
    if delimiter == ",":
        pieces = itertools.chain.from_iterable(io.StringIO(piece, newline="") for piece in _pieces(text))
        lines = csv.reader(pieces, strict=True)
    else:
        lines = (line.split(delimiter) for piece in _pieces(text) for line in piece.splitlines())
    cells = ((row, [cell.strip() for cell in line]) for row, line in enumerate(lines, start=1) if any(line))
    try:
        columns, rows = _columns(path, cells, (len(header),))
    except csv.Error as error:
        raise TrialError(f"is no csv ({error})", remedy="check its quotes", file=path) from error
    columns, rows = [column[1:] for column in columns], rows[1:]
    return _Table(path, columns, rows, known.of_header(path, header, columns, rows), header)


def _expect_told_apart(table: _Table, labels: NDArray[np.int8]) -> None:
    """Refuse trials that only a column that is not used tells apart, and one that may be of labels."""
    others = [n for n in range(len(table.columns)) if n not in vars(table.reading).values()]
    if not others or not len(labels):
        return
    enrol, test = (pd.factorize(np.array(side, dtype=object))[0] for side in table.sides)
    _, first, pairs = np.unique(enrol * (test.max() + 1) + test, return_index=True, return_inverse=True)
    again = np.flatnonzero(first[pairs] != np.arange(len(pairs)))
    for number in others:
        name, column = table.header[number].strip() or f"number {number + 1}", table.columns[number]
        values = pd.factorize(np.array(column, dtype=object))[0]
        numbered = values.size == values.max() + 1  # an index tells all rows apart, and means nothing
        other = again[values[again] != values[first[pairs[again]]]]
        if (other.size and not numbered) or (labels[again] != labels[first[pairs[again]]]).any():
            row = other[0] if other.size else again[0]
            raise TrialError(
                f"trials of the same two names differ by other columns alone, as by {name}",
                expected="names that tell trials apart",
                remedy="write what decides into the names of utterances or models, or leave the column out",
                file=table.path,
                row=int(table.rows[row]),
            )
        if table.reading.label is None and known.may_be_labels(column):
            raise TrialError(
                f"no column is called label, and {name} holds what labels are",
                expected="a header such as enrol,test,label",
                remedy="call it label, with 1 for the same speaker, or leave it out",
                file=table.path,
                row=1,
            )


def _columns(
    path: Path, lines: Iterable[tuple[int, list[str]]], widths: tuple[int, ...]
) -> tuple[list[Sequence[str]], NDArray[np.int64]]:
    """Columns of lines that all have one of the widths, and the numbers of the lines."""
    columns: list[list[str]] = []
    rows = array.array("q")
    once: dict[str, str] = {}
    for row, cells in lines:
        if not columns:
            if len(cells) not in widths:
                raise TrialError(
                    _columns_in_words(len(cells)),
                    expected="'label enrol test', 'enrol test label' or 'enrol test', or a csv with a header such as "
                    "label,enrol,test",
                    remedy="names with spaces need a header, and scores are for 'seedpipe compare'"
                    if len(cells) > 3
                    else "is it a csv without a header?",
                    file=path,
                    row=row,
                )
            columns = [[] for _ in cells]
        if len(cells) != len(columns):
            raise TrialError(
                _columns_in_words(len(cells)),
                expected=f"{len(columns)} as in the lines before",
                remedy="a list has one layout; labels stand in every line or in none",
                file=path,
                row=row,
            )
        rows.append(row)
        for column, cell in zip(columns, cells, strict=True):
            column.append(once.setdefault(cell, cell))
    return [*columns] or [()] * 2, np.array(rows, dtype=np.int64)


def _columns_in_words(count: int) -> str:
    return f"{count} column{'s' * (count != 1)}"


def _reading(path: Path, columns: Sequence[Sequence[str]], rows: NDArray[np.int64]) -> Reading:
    """Which columns are which; where no column holds labels alone, what the first line says."""
    if len(columns) == 2:
        return Reading(0, 1)
    if reading := known.of_words(path, columns, rows, label=True):
        return reading
    first, last = columns[0][0], columns[2][0]
    if not {first.lower(), last.lower()} & LABELS.keys():
        raise TrialError(
            f"neither {first!r} nor {last!r} is a label",
            expected=LABELS_IN_WORDS,
            remedy="correct the line; a list without labels has two columns, and one of scores is none",
            file=path,
            row=int(rows[0]),
        )
    return Reading(1, 2, 0) if first.lower() in LABELS else Reading(0, 1, 2)


def _labels(table: _Table) -> NDArray[np.int8]:
    place = table.reading.label
    if place is None or not len(table.rows):
        return np.full(len(table.rows), UNKNOWN, dtype=np.int8)
    codes, words = pd.factorize(np.array(table.columns[place], dtype=object))
    small = [word.lower() for word in words]
    vocabulary = max(VOCABULARIES, key=lambda each: (small[0] in each, sum(word in each for word in small)))
    for code, word in enumerate(small):
        if word not in vocabulary:
            raise _wrong_label(table, place, int(np.flatnonzero(codes == code)[0]), words[0])
    return np.array([vocabulary[word] for word in small], dtype=np.int8)[codes]


def _wrong_label(table: _Table, label: int, line: int, first: str) -> TrialError:
    word = table.columns[label][line]
    remedy = "correct the line"
    if word.lower() in LABELS:
        remedy = f"the lines before say {first}: use one pair of words throughout"
    elif line and len(table.columns) == 3 and not table.header and table.columns[2 - label][line].lower() in LABELS:
        place, other = ("first", "last") if label == 0 else ("last", "first")
        remedy = f"the label stands {place} in the lines before and {other} here: use one layout throughout"
    return TrialError(
        f"the label is {word!r}",
        expected=LABELS_IN_WORDS,
        remedy=remedy,
        file=table.path,
        row=int(table.rows[line]),
    )
