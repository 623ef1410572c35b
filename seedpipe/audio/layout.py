"""The layout of a data folder (docs/data.md), and the manifests of what lies in it."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import pandas as pd

from seedpipe.audio.listing import find_audio, list_files, segment
from seedpipe.audio.manifest import BANKS, SPEECH, write_manifest
from seedpipe.errors import ManifestError, SeedpipeError, TrialError
from seedpipe.files import StrPath
from seedpipe.params import ManifestParams

if TYPE_CHECKING:
    from seedpipe.console import ProgressCallback


TRAIN = "train"
MOST_SECONDS = 3_600  # of a training utterance
FOLDERS = {"music": "music", "noise": "noise", "reverb": "rir"}


def describe_folders(root: StrPath) -> dict[str, dict[str, object]]:
    """Number of audio files below each folder of the layout, with a digest of their names, sizes and times of change.

    Raises
    ------
    ManifestError
        The root lacks a folder that the pipeline needs.
    """
    root = Path(root)
    needed = [TRAIN, *FOLDERS.values(), "eval"]
    lacking = [name for name in needed if not (root / name).is_dir()]
    if lacking:
        raise ManifestError(
            f"lacks the folder {', '.join(lacking)}",
            expected=f"{', '.join(needed)}",
            remedy="see docs/data.md, or set manifest.root in params.yaml",
            file=root,
        )
    kept_apart = [name for name in (f"eval_{folder}" for folder in FOLDERS.values()) if (root / name).is_dir()]
    return {name: _description(root / name) for name in (*needed, *kept_apart)}


def evaluation_lists(root: StrPath) -> tuple[str, ...]:
    """Names of all evaluation lists of a data folder: NAME for each ``eval/trials_NAME.txt``."""
    paths = sorted(Path(root, "eval").glob("trials_*.txt"))
    return tuple(path.stem.removeprefix("trials_") for path in paths)


def trial_list(root: StrPath, name: str) -> Path:
    """File of an evaluation list.

    Raises
    ------
    TrialError
        There is no such list; the text names those that exist.
    """
    path = Path(root, "eval", f"trials_{name}.txt")
    if not path.is_file():
        known = ", ".join(evaluation_lists(root)) or "none"
        raise TrialError(
            f"there is no evaluation list {name!r}",
            expected=f"one of those found: {known}",
            file=path,
            remedy="set manifest.evaluations in params.yaml",
        )
    return path


def write_training_manifests(
    params: ManifestParams,
    out: StrPath,
    *,
    skip_bad: bool = False,
    jobs: int = 1,
    progress: ProgressCallback | None = None,
) -> list[SeedpipeError]:
    """Write the manifests of training speech, music, noise and rooms.

    Long files are cut into segments if ``params`` says so; noise, music and rooms never are.

    Returns
    -------
    list of SeedpipeError
        Files left out because they are unreadable; empty unless ``skip_bad``.

    Raises
    ------
    ManifestError
        A row is longer than an hour: one utterance is held in memory as a whole.
    AudioError
        Files are unreadable and ``skip_bad`` is off, or noise, music or rooms are.
    """
    root = params.root
    frame, bad = list_files(root, _names(root, TRAIN), jobs=jobs, skip_bad=skip_bad, progress=progress)
    frame = segment(frame, params.segment_seconds)
    _check_length(frame)
    write_banks(params, out, "training", jobs)
    write_manifest(frame, Path(out, SPEECH))
    return bad


def split_files(names: Sequence[str], share: float) -> tuple[list[str], list[str]]:
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


def _description(folder: Path) -> dict[str, object]:
    names = find_audio(folder)
    lines = []
    for name in names:
        with contextlib.suppress(OSError):  # a link that leads nowhere: the stage that reads the file names it
            status = (folder / name).stat()
            lines.append(f"{name}\t{status.st_size}\t{status.st_mtime_ns}")
    return {"files": len(names), "digest": hashlib.sha256("\n".join(lines).encode()).hexdigest()}


def _check_length(frame: pd.DataFrame) -> None:
    too_long = frame[frame["seconds"] > MOST_SECONDS]
    if len(too_long):
        row = too_long.iloc[0]
        others = f" (and {len(too_long) - 1} further ones)" if len(too_long) > 1 else ""
        raise ManifestError(
            f"would be one utterance of {row['seconds']:,.0f} s{others}",
            expected=f"at most {MOST_SECONDS:,} s",
            remedy="set manifest.segment_seconds in params.yaml, to 20 for example",
            file=row["path"],
        )


def write_banks(params: ManifestParams, out: StrPath, kind: Literal["training", "evaluation"], jobs: int) -> None:
    """Write one part of music, noise and rooms."""
    for part, folder in FOLDERS.items():
        training, evaluation = _bank(params, folder)
        names = training if kind == "training" else evaluation
        frame, _ = list_files(params.root, names, jobs=jobs)
        write_manifest(frame, Path(out, BANKS[part]))


def _bank(params: ManifestParams, folder: str) -> tuple[list[str], list[str]]:
    """Files for training and for evaluation: those of two folders, or of one that is split."""
    names, kept_apart = _names(params.root, folder), f"eval_{folder}"
    if (params.root / kept_apart).is_dir():
        return names, _names(params.root, kept_apart)
    training, evaluation = split_files(names, params.eval_share)
    if not evaluation:
        raise ManifestError(
            f"{len(names)} files are too few to keep some for evaluation",
            expected=f"more files, or a folder {kept_apart}",
            remedy="training and evaluation must not share noise, music or rooms",
            file=params.root / folder,
        )
    return training, evaluation


def _names(root: Path, folder: str) -> list[str]:
    """Names of the audio in a folder, relative to the root."""
    return [f"{folder}/{name}" for name in find_audio(root / folder)]
