"""What audio exists: a table with one row per file, written before anything is computed.

Columns: ``utterance`` (the name that caches and trial lists use), ``path`` (absolute, or relative to the folder of the
manifest), ``bytes``, ``seconds``, ``sample_rate``, ``digest`` (BLAKE2b-128 of the file) and ``speaker`` (may be empty).
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import joblib
import numpy as np
import pandas as pd

from seedpipe import audio
from seedpipe.errors import AudioError, ManifestError, SeedpipeError, TrialError
from seedpipe.files import whole_file
from seedpipe.trials import Trials

__all__ = [
    "COLUMNS",
    "Manifest",
    "find_audio",
    "is_synthetic",
    "list_files",
    "list_trials",
    "read_manifest",
    "split",
    "write_manifest",
]

COLUMNS = ("utterance", "path", "bytes", "seconds", "sample_rate", "digest", "speaker")
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Manifest:
    """A checked table of audio files; ``frame`` has the columns of this module, with paths that open from anywhere."""

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

    def digest(self) -> str:
        """Digest of names and contents, not of places: a moved corpus is the same corpus."""
        rows = self.frame[["utterance", "digest", "speaker"]].itertuples(index=False)
        text = "\n".join("\t".join(map(str, row)) for row in rows)
        return hashlib.sha256(text.encode()).hexdigest()


def is_synthetic(root: Path) -> bool:
    """Whether a data folder is the synthetic demonstration corpus."""
    try:
        return bool(json.loads((root / "corpus.json").read_text(encoding="utf-8")).get("synthetic"))
    except (OSError, ValueError, AttributeError):
        return False


def find_audio(folder: Path) -> list[str]:
    """Names of all audio files below a folder, sorted, relative to it; links are followed, hidden files are not seen.

    Raises
    ------
    ManifestError
        The folder is missing, holds no audio or a file whose name is not UTF-8.
    """
    if not folder.is_dir():
        raise ManifestError(
            "there is no such folder", expected="a folder of audio files", remedy="check the path", file=folder
        )
    found: list[str] = []
    for parent, folders, files in os.walk(folder, followlinks=True):
        folders[:] = sorted(
            name for name in folders if not name.startswith(".") and not _leads_back(Path(parent, name))
        )
        here = Path(parent).relative_to(folder)
        names = (name for name in files if not name.startswith(".") and Path(name).suffix.lower() in audio.EXTENSIONS)
        found.extend((here / name).as_posix() for name in names)
    if not found:
        kinds = ", ".join(sorted(audio.EXTENSIONS))
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
    folder: Path, names: Iterable[str], *, jobs: int = 1, skip_bad: bool = False, progress: Progress | None = None
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
        if isinstance(info, audio.AudioInfo):
            seconds = round(info.frames / info.sample_rate, 6)
            good.append((name, str(folder / name), info.bytes, seconds, info.sample_rate, info.digest, ""))
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


def list_trials(trials: Trials, root: Path, *, jobs: int = 1, progress: Progress | None = None) -> pd.DataFrame:
    """Make the table of the utterances that a trial list names.

    Parameters
    ----------
    trials : Trials
    root : Path
        What relative paths in the list are relative to.

    Raises
    ------
    TrialError
        Utterances have no file: the count, the first ten, and the line that names the first.
    ManifestError
        Files are unreadable.
    """
    missing = [name for name in trials.utterances if not (root / name).is_file()]
    if missing:
        names = ", ".join(missing[:10]) + (", ..." if len(missing) > 10 else "")
        raise TrialError(
            f"{len(missing)} of {len(trials.utterances)} utterances have no file under {root}: {names}",
            remedy="correct the list, or put the audio there",
            file=trials.path,
            row=trials.first_row(missing[0]),
        )
    frame, _ = list_files(root, sorted(trials.utterances), jobs=jobs, progress=progress)
    numbers = dict(zip(trials.utterances, trials.speakers().tolist(), strict=True))
    frame["speaker"] = [f"speaker{numbers[name]:05d}" for name in frame["utterance"]]
    return frame


def write_manifest(frame: pd.DataFrame, path: Path) -> None:
    """Write the table whole or not at all; relative paths are written relative to the folder of the manifest."""
    frame = frame.assign(path=[_portable(Path(name), path.parent) for name in frame["path"]])
    with whole_file(path) as partial:
        frame.to_csv(partial, index=False, lineterminator="\n")


def read_manifest(path: Path | str) -> Manifest:
    """Read and check a manifest.

    Raises
    ------
    ManifestError
        The file is missing, is no table, lacks a column, has no rows, or a row repeats an utterance or lacks a value.
    """
    path = Path(path)
    text = {"utterance": str, "path": str, "digest": str, "speaker": str}
    try:
        frame = pd.read_csv(path, dtype=text, keep_default_na=False)
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
        raise ManifestError(f"lacks the column {', '.join(lacking)}", expected=",".join(COLUMNS), file=path, row=1)
    if frame.empty:
        raise ManifestError("has no rows", expected="at least one audio file", remedy="check the folder", file=path)
    for column in ("bytes", "seconds", "sample_rate"):
        numbers = pd.to_numeric(frame[column], errors="coerce")
        wrong = frame.index[~((numbers > 0) & np.isfinite(numbers))]
        if len(wrong):
            value = frame[column][wrong[0]]
            raise ManifestError(
                f"{column} is {value!r}", expected="a positive number", file=path, row=int(wrong[0]) + 2
            )
        frame[column] = numbers
    repeated = frame.index[frame["utterance"].duplicated()]
    if len(repeated):
        name = frame["utterance"][repeated[0]]
        raise ManifestError(f"repeats the utterance {name}", remedy="keep one", file=path, row=int(repeated[0]) + 2)
    unnamed = frame.index[(frame["utterance"] == "") | (frame["path"] == "")]
    if len(unnamed):
        raise ManifestError(
            "lacks an utterance or a path", remedy="complete the row", file=path, row=int(unnamed[0]) + 2
        )


def _leads_back(folder: Path) -> bool:
    """Whether a folder is a link to one that it lies in: following it would list everything forty times."""
    above = folder.parent.resolve()
    return folder.is_symlink() and folder.resolve() in (above, *above.parents)


def _check_name(name: str, folder: Path) -> None:
    try:
        name.encode()
    except UnicodeEncodeError as error:
        raise ManifestError(
            f"holds a file whose name is not UTF-8: {name!a}", remedy="rename it", file=folder
        ) from error


def _probe(folder: Path, name: str) -> tuple[str, audio.AudioInfo | AudioError]:
    try:
        return name, audio.probe(folder / name)
    except AudioError as error:
        return name, error


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
