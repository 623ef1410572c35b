"""From a folder to the table of its audio files: find them, look at each, cut long ones into segments."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import joblib
import numpy as np
import pandas as pd

from seedpipe.audio.decode import AudioInfo, probe
from seedpipe.audio.manifest import COLUMNS, DEFAULTS
from seedpipe.audio.source import EXTENSIONS
from seedpipe.errors import AudioError, ManifestError, SeedpipeError, counted
from seedpipe.files import StrPath, two_forms
from seedpipe.params import Channel

if TYPE_CHECKING:
    from seedpipe.console import ProgressCallback

MOST_KINDS = 10  # of files that are not looked at, in a message
SHORTEST_SEGMENT = 0.01  # seconds; the names of segments count milliseconds


def find_audio(folder: StrPath) -> list[str]:
    """Names of all audio files below a folder, sorted, relative to it; links are followed, hidden files are not seen.

    Raises
    ------
    ManifestError
        The folder is missing, cannot be listed, holds no audio, a file whose name is not UTF-8, or one name twice.
    """
    folder = Path(folder)
    found = [name for name in _files(folder) if Path(name).suffix.lower() in EXTENSIONS]
    if not found:
        kinds, others = ", ".join(sorted(EXTENSIONS)), other_files(folder)
        raise ManifestError(
            "no audio files" + (f" among {others}" if others else ""),
            expected=f"files that end in {kinds}",
            remedy="convert them (ffmpeg -i in.m4a out.flac)" if others else "check the path",
            file=folder,
        )
    for name in found:
        _check_name(name, folder)
    if twice := two_forms(found):
        raise ManifestError(twice, expected="each name once", remedy="rename or remove one", file=folder)
    return sorted(found)


def other_files(folder: StrPath) -> str:
    """Count the files that :func:`find_audio` does not look at: ``12 .m4a, 3 .txt``, empty where there are none."""
    names = (Path(name).suffix.lower() or "without extension" for name in _files(Path(folder)))
    counts = Counter(suffix for suffix in names if suffix not in EXTENSIONS)
    kinds = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    more = [counted(len(kinds) - MOST_KINDS, "further kind")] if len(kinds) > MOST_KINDS else []
    return ", ".join([*(f"{count:,} {suffix}" for suffix, count in kinds[:MOST_KINDS]), *more])


def _files(folder: Path) -> Iterator[str]:
    """Names of all files below a folder, relative to it; links are followed, hidden files are not seen."""
    try:
        known = folder.is_dir()
    except OSError as error:
        _unlisted(error)
    if not known:
        raise ManifestError(
            "there is no such folder", expected="a folder of audio files", remedy="check the path", file=folder
        )
    for parent, folders, files in os.walk(folder, onerror=_unlisted, followlinks=True):
        folders[:] = sorted(
            name for name in folders if not name.startswith(".") and not _leads_back(Path(parent, name), folder)
        )
        here = Path(parent).relative_to(folder)
        yield from ((here / name).as_posix() for name in files if not name.startswith("."))


def list_files(
    folder: Path,
    names: Iterable[str],
    *,
    channel: Channel = "mean",
    jobs: int = 1,
    skip_bad: bool = False,
    progress: ProgressCallback | None = None,
) -> tuple[pd.DataFrame, list[SeedpipeError]]:
    """Look at every file and make the table.

    Parameters
    ----------
    folder : str or path
        What the names are relative to.
    names : iterable of str
        The files; a name is also the utterance.
    channel : "mean" or int
        What is to be heard of files with several channels.
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
        A name is not UTF-8; or files are unreadable and ``skip_bad`` is off, all named by count, the first ten by name.
    """
    folder, names = Path(folder), list(names)
    for name in names:
        _check_name(str(folder / name), folder)
    run = joblib.Parallel(n_jobs=jobs, prefer="threads", return_as="generator")
    good: list[tuple[object, ...]] = []
    bad: list[SeedpipeError] = []
    for done, (name, info) in enumerate(run(joblib.delayed(_probe)(folder, name, channel) for name in names), start=1):
        if isinstance(info, AudioInfo):
            good.append(_row(name, folder / name, info, channel))
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
    return pd.DataFrame(good, columns=[*COLUMNS, *DEFAULTS]), bad


def segment(frame: pd.DataFrame, segment_seconds: float) -> pd.DataFrame:
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


def _probe(folder: Path, name: str, channel: Channel) -> tuple[str, AudioInfo | AudioError]:
    try:
        return name, probe(folder / name, channel)
    except AudioError as error:
        return name, error.with_traceback(None)  # a million of them would keep what they were found with


def _row(name: str, path: Path, info: AudioInfo, channel: Channel) -> tuple[object, ...]:
    seconds = round(info.frames / info.sample_rate, 6)
    of_channels = (info.channels, str(channel), info.remark)
    return name, str(path), info.bytes, seconds, info.sample_rate, 0, info.frames, info.digest, "", *of_channels


def _bad_files(bad: Sequence[SeedpipeError]) -> SeedpipeError:
    if len(bad) == 1:
        return bad[0]
    names = ", ".join(str(error.file) for error in bad[:10]) + (", ..." if len(bad) > 10 else "")
    first = bad[0]
    more = counted(len(bad) - 1, "further bad file")
    return AudioError(f"{first.found} (and {more}: {names})", remedy=first.remedy, file=first.file)
