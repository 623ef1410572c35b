"""What audio exists: a table with one row per utterance, written before anything is computed.

Columns: ``utterance`` (the name that caches and trial lists use), ``path`` (absolute, or relative to the folder of the
manifest), ``bytes`` (of the file), ``seconds`` (of the row), ``sample_rate`` (of the file), ``start_frame`` and
``frames`` (the part of the file, in its own frames), ``digest`` (BLAKE2b-128 of the file), ``speaker`` (may be empty).
"""

from __future__ import annotations

import csv
import hashlib
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import joblib
import numpy as np
import pandas as pd

from seedpipe.audio import decode
from seedpipe.errors import AudioError, ManifestError, SeedpipeError
from seedpipe.files import read_json, whole_file

if TYPE_CHECKING:
    from seedpipe.console import ProgressCallback


__all__ = [
    "BANKS",
    "COLUMNS",
    "SPEECH",
    "Manifest",
    "cut",
    "find_audio",
    "is_synthetic",
    "list_files",
    "read_manifest",
    "split",
    "write_manifest",
]

BANKS = {"music": "music.csv", "noise": "noise.csv", "reverb": "rir.csv"}
SPEECH = "speech.csv"
COLUMNS = ("utterance", "path", "bytes", "seconds", "sample_rate", "start_frame", "frames", "digest", "speaker")
TEXT = ("utterance", "path", "digest", "speaker")
WHOLE = {"start_frame": 0, "frames": 1}  # columns of whole numbers, and the least of each
MOST = 2**53  # of any number: above, not every whole one is a float
SHORTEST_SEGMENT = 0.01  # seconds; the names of segments count milliseconds


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


def is_synthetic(root: Path) -> bool:
    """Whether a data folder is the synthetic demonstration corpus."""
    try:
        return bool(read_json(root / "corpus.json").get("synthetic"))
    except (OSError, ValueError, AttributeError):
        return False


def find_audio(folder: Path) -> list[str]:
    """Names of all audio files below a folder, sorted, relative to it; links are followed, hidden files are not seen.

    Raises
    ------
    ManifestError
        The folder is missing, cannot be listed, holds no audio or a file whose name is not UTF-8.
    """
    try:
        known = folder.is_dir()
    except OSError as error:
        _unlisted(error)
    if not known:
        raise ManifestError(
            "there is no such folder", expected="a folder of audio files", remedy="check the path", file=folder
        )
    found: list[str] = []
    for parent, folders, files in os.walk(folder, onerror=_unlisted, followlinks=True):
        folders[:] = sorted(
            name for name in folders if not name.startswith(".") and not _leads_back(Path(parent, name), folder)
        )
        here = Path(parent).relative_to(folder)
        names = (name for name in files if not name.startswith(".") and Path(name).suffix.lower() in decode.EXTENSIONS)
        found.extend((here / name).as_posix() for name in names)
    if not found:
        kinds = ", ".join(sorted(decode.EXTENSIONS))
        raise ManifestError(
            "no audio files", expected=f"files that end in {kinds}", remedy="check the path", file=folder
        )
    for name in found:
        _check_name(name, folder)
    return sorted(found)


def split(names: Sequence[str], share: float) -> tuple[list[str], list[str]]:
    """Split source files into a training and an evaluation part.

    Within each folder the last ``share`` of the files, in sorted order, goes to evaluation: takes of one recording have
    neighbouring names and so stay on one side. A folder of one file goes to training.

    Returns
    -------
    training, evaluation : list of str
    """
    folders: dict[str, list[str]] = {}
    for name in sorted(names):
        folders.setdefault(name.rpartition("/")[0], []).append(name)
    training, evaluation = [], []
    for files in folders.values():
        kept = max(1, len(files) - max(1, round(share * len(files))))
        training.extend(files[:kept])
        evaluation.extend(files[kept:])
    return training, evaluation


def list_files(
    folder: Path,
    names: Iterable[str],
    *,
    jobs: int = 1,
    skip_bad: bool = False,
    progress: ProgressCallback | None = None,
) -> tuple[pd.DataFrame, list[SeedpipeError]]:
    """Look at every file and make the table.

    Parameters
    ----------
    folder : Path
        What the names are relative to.
    names : iterable of str
        The files; a name is also the utterance.
    jobs : int
        Threads that read.
    skip_bad : bool
        Leave unreadable files out instead of failing.
    progress : callable, optional
        Called with files done and files in all.

    Returns
    -------
    frame : DataFrame
        The columns of this module, with the paths as they open from here.
    bad : list of SeedpipeError
        What was left out.

    Raises
    ------
    ManifestError
        Files are unreadable and ``skip_bad`` is off; all are named by count, the first ten by name.
    """
    names = list(names)
    run = joblib.Parallel(n_jobs=jobs, prefer="threads", return_as="generator")
    good: list[tuple[object, ...]] = []
    bad: list[SeedpipeError] = []
    for done, (name, info) in enumerate(run(joblib.delayed(_probe)(folder, name) for name in names), start=1):
        if isinstance(info, decode.AudioInfo):
            good.append(_row(name, folder / name, info))
        else:
            bad.append(info)
        if progress:
            progress(done, len(names))
    if bad and not skip_bad:
        raise _bad_files(bad)
    if not good:
        raise ManifestError(
            "no readable audio", expected="at least one file", remedy="see the files listed", file=folder
        )
    return pd.DataFrame(good, columns=list(COLUMNS)), bad


def cut(frame: pd.DataFrame, segment_seconds: float) -> pd.DataFrame:
    """Cut long files into consecutive segments.

    A file becomes as many segments as its length is multiples of ``segment_seconds``, rounded: the last one is from a
    half to one and a half of it long. A file that would become one segment stays as it is.

    Parameters
    ----------
    frame : DataFrame
        The columns of this module, one row per file.
    segment_seconds : float
        0 cuts nothing.

    Returns
    -------
    DataFrame
        One row per segment, in the order of the files. A segment is called NAME#FIRST-LAST after its borders in
        milliseconds, with as many digits as the end of the file needs.

    Raises
    ------
    ManifestError
        Segments would be too short to be told apart by name.
    """
    if segment_seconds == 0:
        return frame
    if segment_seconds < SHORTEST_SEGMENT:
        raise ManifestError(
            f"segments of {segment_seconds:g} s are too short",
            expected=f"0, or at least {SHORTEST_SEGMENT:g} s",
            remedy="set manifest.segment_seconds",
        )
    rate, length = frame["sample_rate"].to_numpy(), frame["frames"].to_numpy()
    step = np.maximum(1, np.rint(segment_seconds * rate).astype(np.int64))
    count = np.maximum(1, (length + step // 2) // step)
    source = np.repeat(np.arange(len(frame)), count)
    number = np.arange(len(source)) - np.repeat(np.cumsum(count) - count, count)
    first = number * step[source]
    last = np.where(number == count[source] - 1, length[source], first + step[source])
    segments = frame.iloc[source].reset_index(drop=True)
    segments["start_frame"], segments["frames"] = first, last - first
    segments["seconds"] = np.round((last - first) / rate[source], 6)
    parts = np.flatnonzero(count[source] > 1)
    names = segments["utterance"].tolist()
    for row in parts.tolist():
        ends = [int(frames) * 1000 // int(rate[source[row]]) for frames in (first[row], last[row], length[source[row]])]
        digits = len(str(ends[2]))
        names[row] += f"#{ends[0]:0{digits}d}-{ends[1]:0{digits}d}"
    segments["utterance"] = names
    return segments


def write_manifest(frame: pd.DataFrame, path: Path) -> None:
    """Write the table whole or not at all; relative paths are written relative to the folder of the manifest."""
    frame = frame.assign(path=[_portable(Path(name), path.parent) for name in frame["path"]])
    with whole_file(path) as partial:  # text in quotes: a carriage return in a name would end the row without
        frame.to_csv(partial, index=False, lineterminator="\n", quoting=csv.QUOTE_NONNUMERIC)


def read_manifest(path: Path | str) -> Manifest:
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


def _unlisted(error: OSError) -> NoReturn:
    reason = (error.strerror or str(error)).lower()
    raise ManifestError(
        f"cannot be listed ({reason})", expected="a readable folder", remedy="check its rights", file=error.filename
    ) from error


def _leads_back(folder: Path, root: Path) -> bool:
    """Whether a folder is a link to one that it lies in: following it would list everything forty times."""
    if not folder.is_symlink():
        return False
    way = folder.relative_to(root).parents  # through other links it may come back to what is no parent of its own
    above = {place for step in way for here in [(root / step).resolve()] for place in (here, *here.parents)}
    return folder.resolve() in above


def _check_name(name: str, folder: Path) -> None:
    try:
        name.encode()
    except UnicodeEncodeError as error:
        raise ManifestError(
            f"holds a file whose name is not UTF-8: {name!a}", remedy="rename it", file=folder
        ) from error


def _probe(folder: Path, name: str) -> tuple[str, decode.AudioInfo | AudioError]:
    try:
        return name, decode.probe(folder / name)
    except AudioError as error:
        return name, error.with_traceback(None)  # a million of them would keep what they were found with


def _row(name: str, path: Path, info: decode.AudioInfo) -> tuple[object, ...]:
    seconds = round(info.frames / info.sample_rate, 6)
    return name, str(path), info.bytes, seconds, info.sample_rate, 0, info.frames, info.digest, ""


def _bad_files(bad: Sequence[SeedpipeError]) -> SeedpipeError:
    if len(bad) == 1:
        return bad[0]
    names = ", ".join(str(error.file) for error in bad[:10]) + (", ..." if len(bad) > 10 else "")
    first = bad[0]
    return AudioError(
        f"{first.found} (and {len(bad) - 1} further bad files: {names})", remedy=first.remedy, file=first.file
    )


def _portable(path: Path, folder: Path) -> str:
    return path.as_posix() if path.is_absolute() else Path(os.path.relpath(path, folder)).as_posix()
