"""What audio exists: a table with one row per utterance, written before anything is computed.

Columns: ``utterance`` (the name that caches and trial lists use), ``path`` (absolute, or relative to the folder of the
manifest), ``bytes`` (of the file), ``seconds`` (of the row), ``sample_rate`` (of the file), ``start_frame`` and
``frames`` (the part of the file, in its own frames), ``digest`` (BLAKE2b-128 of the file), ``speaker`` (may be empty).
"""

from __future__ import annotations

import csv
import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from seedpipe.errors import ManifestError
from seedpipe.files import StrPath, read_json, whole_file

if TYPE_CHECKING:
    pass


BANKS = {"music": "music.csv", "noise": "noise.csv", "reverb": "rir.csv"}
SPEECH = "speech.csv"
COLUMNS = ("utterance", "path", "bytes", "seconds", "sample_rate", "start_frame", "frames", "digest", "speaker")
TEXT = ("utterance", "path", "digest", "speaker")
WHOLE = {"start_frame": 0, "frames": 1}  # columns of whole numbers, and the least of each
MOST = 2**53  # of any number: above, not every whole one is a float


@dataclass(frozen=True)
class Manifest:
    """A checked table of utterances; ``frame`` has the columns of this module, with paths that open from anywhere."""

    path: Path
    frame: pd.DataFrame

    def __len__(self) -> int:
        return len(self.frame)

    @property
    def seconds(self) -> float:
        """Seconds of audio."""
        return float(self.frame["seconds"].sum())

    @property
    def synthetic(self) -> bool:
        """Whether the audio is that of the synthetic demonstration corpus: its root says so."""
        return any(is_synthetic(parent) for parent in Path(self.frame["path"].iloc[0]).parents)

    def sample_rates(self) -> dict[int, int]:
        """Rows of each sample rate, lowest rate first."""
        rates, counts = np.unique(self.frame["sample_rate"].to_numpy(), return_counts=True)
        return dict(zip(rates.tolist(), counts.tolist(), strict=True))

    def digest(self) -> str:
        """Digest of names, contents and borders, not of places: a moved corpus is the same corpus."""
        columns = [self.frame[name].tolist() for name in ("utterance", "digest", "start_frame", "frames", "speaker")]
        digest = hashlib.sha256()
        for row in zip(*columns, strict=True):
            digest.update(("\t".join(map(str, row)) + "\n").encode())
        return digest.hexdigest()


def is_synthetic(root: StrPath) -> bool:
    """Whether a data folder is the synthetic demonstration corpus."""
    try:
        return bool(read_json(Path(root, "corpus.json")).get("synthetic"))
    except (OSError, ValueError, AttributeError):
        return False


def write_manifest(frame: pd.DataFrame, path: StrPath) -> None:
    """Write the table whole or not at all; relative paths are written relative to the folder of the manifest."""
    path = Path(path)
    frame = frame.assign(path=[_portable(Path(name), path.parent) for name in frame["path"]])
    with whole_file(path) as partial:  # text in quotes: a carriage return in a name would end the row without
        frame.to_csv(partial, index=False, lineterminator="\n", quoting=csv.QUOTE_NONNUMERIC)


def read_manifest(path: StrPath) -> Manifest:
    """Read and check a manifest.

    Raises
    ------
    ManifestError
        The file is missing, is no table, lacks a column, has no rows, or a row repeats an utterance or lacks a value.
    """
    path = Path(path)
    try:
        frame = pd.read_csv(path, dtype=dict.fromkeys(TEXT, str), keep_default_na=False, low_memory=False)
    except (OSError, ValueError) as error:
        reason = "it is empty" if isinstance(error, pd.errors.EmptyDataError) else str(error)
        raise ManifestError(
            f"cannot be read ({reason})", expected="a manifest", remedy="run seedpipe manifest", file=path
        ) from error
    _check(frame, path)
    frame["path"] = [os.path.normpath(path.parent / name) for name in frame["path"]]
    return Manifest(path, frame)


def _check(frame: pd.DataFrame, path: Path) -> None:
    if not isinstance(frame.index, pd.RangeIndex):  # pandas takes what is too much for row names
        raise ManifestError("rows have more columns than the header", expected=",".join(COLUMNS), file=path, row=2)
    lacking = [name for name in COLUMNS if name not in frame]
    if lacking:
        raise ManifestError(
            f"lacks the column {', '.join(lacking)}",
            expected=",".join(COLUMNS),
            remedy="write it again with seedpipe manifest",
            file=path,
            row=1,
        )
    if frame.empty:
        raise ManifestError("has no rows", expected="at least one audio file", remedy="check the folder", file=path)
    for column in ("bytes", "seconds", "sample_rate", *WHOLE):
        _check_numbers(frame, column, path)
    repeated = frame.index[frame["utterance"].duplicated()]
    if len(repeated):
        name = frame["utterance"][repeated[0]]
        raise ManifestError(
            f"repeats the utterance {name}", remedy="keep one", file=path, row=_line(frame, repeated[0])
        )
    unnamed = frame.index[(frame["utterance"] == "") | (frame["path"] == "")]
    if len(unnamed):
        raise ManifestError(
            "lacks an utterance or a path", remedy="complete the row", file=path, row=_line(frame, unnamed[0])
        )


def _check_numbers(frame: pd.DataFrame, column: str, path: Path) -> None:
    """Refuse what is no number of its kind, and make a column of numbers of the rest."""
    numbers = pd.to_numeric(frame[column], errors="coerce")
    if numbers.dtype == bool:
        numbers = numbers.where(~numbers)  # true and false are no numbers
    right = np.isfinite(numbers) & ((numbers >= WHOLE[column]) & (numbers % 1 == 0) if column in WHOLE else numbers > 0)
    wrong = frame.index[~(right & (numbers < MOST))]
    if len(wrong):
        raise ManifestError(
            f"{column} is {frame[column].tolist()[wrong[0]]!r}",
            expected=f"a whole number, at least {WHOLE[column]}" if column in WHOLE else "a positive number",
            file=path,
            row=_line(frame, wrong[0]),
        )
    frame[column] = numbers.astype(np.int64) if column in WHOLE else numbers


def _line(frame: pd.DataFrame, row: int) -> int:
    """Line of the file where a row starts: names may hold line breaks."""
    return 2 + row + sum(int(frame[column].iloc[:row].str.count("\n").sum()) for column in TEXT)


def _portable(path: Path, folder: Path) -> str:
    return path.as_posix() if path.is_absolute() else Path(os.path.relpath(path, folder)).as_posix()
