"""What audio exists: a table with one row per utterance, written before anything is computed.

Columns: ``utterance`` (the name that caches and trial lists use), ``path`` (absolute, or relative to the folder of the
manifest), ``bytes`` (of the file), ``seconds`` (of the row), ``sample_rate`` (of the file), ``start_frame`` and
``frames`` (the part of the file, in its own frames), ``digest`` (BLAKE2b-128 of the file), ``speaker`` (may be empty),
``channels`` (of the file), ``channel`` (which of them, or ``mean``), ``remark`` (a key of :data:`REMARKS`, or empty).
The last three may be missing: one channel, and nothing odd about it. Those of rooms have ``onset``, too, the frame of
their direct sound (:mod:`seedpipe.audio.rooms`).
"""

from __future__ import annotations

import csv
import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from seedpipe.errors import ManifestError, counted
from seedpipe.files import StrPath, lines_of, normal, read_bytes, read_json, read_table, two_forms, whole_files
from seedpipe.params import Channel

BANKS = {"music": "music.csv", "noise": "noise.csv", "reverb": "rir.csv"}
SPEECH = "speech.csv"
COLUMNS = ("utterance", "path", "bytes", "seconds", "sample_rate", "start_frame", "frames", "digest", "speaker")
DEFAULTS: dict[str, int | str] = {"channels": 1, "channel": "mean", "remark": ""}
"""Columns that may be missing, and what they are then."""
REMARKS = {
    "unrelated": "has/have channels without relation, as the two sides of a call, and their mean is used",
    "one silent": "has/have a silent channel, which weakens the mean",
    "opposed": "has/have channels that partly cancel in the mean",
    "loud": "reaches/reach beyond full scale in floating point, used unchanged",
    "faint": "stays/stay below one step of 16 bits, as 16-bit samples in 32-bit files do that were not scaled",
}
"""What may be odd about a file that can be used, after the verb for one and that for more."""
LEVELS = ("loud", "faint")  # those that are not about channels
TEXT = ("utterance", "path", "digest", "speaker", "channel", "remark")
WHOLE = {"start_frame": 0, "frames": 1, "channels": 1, "onset": 0}  # columns of whole numbers, and the least of each
NAMED = 5  # utterances named in a remark
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

    def averaged(self) -> dict[int, int]:
        """Rows that are a mean of channels, by the number of these, lowest number first."""
        counts = np.unique(self.frame["channels"][self.frame["channel"] == "mean"].to_numpy(), return_counts=True)
        return {channels: rows for channels, rows in zip(*map(np.ndarray.tolist, counts), strict=True) if channels > 1}

    def remarks(self, advice: str = "") -> list[str]:
        """What a person should know of channels and levels, a sentence each, with the first names and what helps."""
        lines = [
            f"{counted(rows, 'file', 'is/are')} the mean of {channels} channels"
            for channels, rows in self.averaged().items()
        ]
        return lines + self.oddities(advice)

    def oddities(self, advice: str = "") -> list[str]:
        """Those of :meth:`remarks` that name files."""
        lines = []
        for remark, text in REMARKS.items():
            verbs, _, rest = text.partition(" ")
            names = self.frame["utterance"][self.frame["remark"] == remark].tolist()
            if names:
                first = ", ".join(names[:NAMED]) + (", ..." if len(names) > NAMED else "")
                lines.append(f"{counted(len(names), 'file', verbs)} {rest}: {first}" + advice * (remark not in LEVELS))
        return lines

    def digest(self) -> str:
        """Digest of names, contents, borders and channels, not of places: a moved corpus is the same corpus."""
        columns = [self.frame[name].tolist() for name in ("utterance", "digest", "start_frame", "frames", "speaker")]
        if (self.frame["channel"] != "mean").any():
            columns.append(self.frame["channel"].tolist())
        digest = hashlib.sha256()
        for row in zip(*columns, strict=True):
            digest.update(("\t".join(map(str, row)) + "\n").encode())
        return digest.hexdigest()


def channel_of(text: str) -> Channel:
    """The channel that a row names."""
    return "mean" if text == "mean" else int(text)


def is_synthetic(root: StrPath) -> bool:
    """Whether a data folder is the synthetic demonstration corpus."""
    try:
        return bool(read_json(Path(root, "corpus.json")).get("synthetic"))
    except (OSError, ValueError, AttributeError):
        return False


def write_manifest(frame: pd.DataFrame, path: StrPath) -> None:
    """Write the table whole or not at all; relative paths are written relative to the folder of the manifest."""
    path = Path(path)
    write_manifests({path.name: frame}, path.parent)


def write_manifests(frames: Mapping[str, pd.DataFrame], folder: StrPath) -> None:
    """Write the tables of a folder as :func:`write_manifest` does; those of an earlier time never lie beside them."""
    folder = Path(folder)
    with whole_files([folder / name for name in frames]) as partials:
        for partial, frame in zip(partials, frames.values(), strict=True):
            portable = frame.assign(path=[_portable(Path(name), folder) for name in frame["path"]])
            # Text in quotes: a carriage return in a name would end the row without.
            portable.to_csv(partial, index=False, lineterminator="\n", quoting=csv.QUOTE_NONNUMERIC)


def read_manifest(path: StrPath) -> Manifest:
    """Read and check a manifest.

    Raises
    ------
    ManifestError
        The file is missing, is no table, lacks a column, has no rows, or a row repeats an utterance or lacks a value.
    """
    path = Path(path)
    try:
        text = read_bytes(path).decode("utf-8-sig")  # a name may hold a carriage return
        frame = read_table(text, dtype=dict.fromkeys(TEXT, str), keep_default_na=False, low_memory=False)
    except (OSError, ValueError) as error:
        reason = "it is empty" if isinstance(error, pd.errors.EmptyDataError) else str(error)
        raise ManifestError(
            f"cannot be read ({reason})", expected="a manifest", remedy="run seedpipe manifest", file=path
        ) from error
    for name in DEFAULTS.keys() - frame.columns:
        frame[name] = DEFAULTS[name]
    _check(frame, path, text)
    frame["path"] = [os.path.normpath(path.parent / name) for name in frame["path"]]
    return Manifest(path, frame)


def _check(frame: pd.DataFrame, path: Path, text: str) -> None:
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
    frame.index = pd.Index(lines_of(text, len(frame)))  # so that what is wrong is named by its line
    for column in ("bytes", "seconds", "sample_rate", *WHOLE):
        if column in frame:
            _check_numbers(frame, column, path)
    _check_repeated(frame, path)
    channels = frame.index[~frame["channel"].str.fullmatch(r"mean|\d{1,4}")]
    if len(channels):
        raise ManifestError(
            f"channel is {frame['channel'].loc[channels[:1]].tolist()[0]!r}",
            expected="mean, or a number from 0 on",
            file=path,
            row=int(channels[0]),
        )
    unnamed = frame.index[(frame["utterance"] == "") | (frame["path"] == "")]
    unusable = frame.index[frame["utterance"].str.contains("\0") | frame["speaker"].str.contains("\0")]
    if len(unusable):  # numpy drops it, and two names become one
        raise ManifestError("holds NUL in a name", remedy="rename it", file=path, row=int(unusable[0]))
    if len(unnamed):
        raise ManifestError("lacks an utterance or a path", remedy="complete the row", file=path, row=int(unnamed[0]))
    frame.index = pd.RangeIndex(len(frame))


def _check_repeated(frame: pd.DataFrame, path: Path) -> None:
    """Refuse utterances that stand there twice, also in two forms of Unicode."""
    repeated = frame.index[frame["utterance"].map(normal).duplicated()]
    if len(repeated):
        names = frame["utterance"].loc[: repeated[0]].tolist()
        found = two_forms(names) or f"repeats the utterance {names[-1]}"
        raise ManifestError(found, remedy="keep one", file=path, row=int(repeated[0]))


def _check_numbers(frame: pd.DataFrame, column: str, path: Path) -> None:
    """Refuse what is no number of its kind, and make a column of numbers of the rest."""
    numbers = pd.to_numeric(frame[column], errors="coerce")
    if numbers.dtype == bool:
        numbers = numbers.where(~numbers)  # true and false are no numbers
    right = np.isfinite(numbers) & ((numbers >= WHOLE[column]) & (numbers % 1 == 0) if column in WHOLE else numbers > 0)
    wrong = frame.index[~(right & (numbers < MOST))]
    if len(wrong):
        raise ManifestError(
            f"{column} is {frame[column].loc[wrong[:1]].tolist()[0]!r}",
            expected=f"a whole number, at least {WHOLE[column]}" if column in WHOLE else "a positive number",
            file=path,
            row=int(wrong[0]),
        )
    frame[column] = numbers.astype(np.int64) if column in WHOLE else numbers


def _portable(path: Path, folder: Path) -> str:
    return path.as_posix() if path.is_absolute() else Path(os.path.relpath(path, folder)).as_posix()
