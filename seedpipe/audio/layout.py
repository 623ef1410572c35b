"""The layout of a data folder (docs/data.md), and the manifests of what lies in it."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import joblib
import pandas as pd

from seedpipe.audio import rooms
from seedpipe.audio.decode import read_audio
from seedpipe.audio.listing import find_audio, list_files, other_files, segment
from seedpipe.audio.manifest import BANKS, SPEECH, read_manifest, write_manifests
from seedpipe.audio.split import split_files
from seedpipe.errors import ManifestError, SeedpipeError, TrialError, counted
from seedpipe.files import StrPath
from seedpipe.params import Channel, ManifestParams

if TYPE_CHECKING:
    from seedpipe.console import ProgressCallback


TRAIN = "train"
MOST_SECONDS = 3_600  # of a training utterance
NAME_MAPS = (".scp", ".jsonl", ".jsonl.gz", ".json")
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
    return {name: _description(root, name) for name in (*needed, *kept_apart)}


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


def name_map(root: StrPath, name: str) -> Path | None:
    """The map of names of an evaluation list: ``eval/names_NAME.scp`` and the like, or Kaldi's ``eval/NAME/wav.scp``.

    Raises
    ------
    ManifestError
        There are several.
    """
    places = [Path(root, "eval", f"names_{name}{extension}") for extension in NAME_MAPS]
    found = [place for place in (*places, Path(root, "eval", name, "wav.scp")) if place.is_file()]
    if len(found) > 1:
        raise ManifestError(
            f"{found[1].name} is there, too",
            expected="one map of names for a list",
            remedy="keep one",
            file=found[0],
        )
    return found[0] if found else None


def audio_of(root: StrPath, folder: str) -> list[str]:
    """Audio files below a folder of the layout; none where maps of names say where the audio of evaluation is.

    Raises
    ------
    ManifestError
        As :func:`seedpipe.audio.find_audio`.
    """
    try:
        return find_audio(Path(root, folder))
    except ManifestError:
        if folder == "eval" and _name_maps(Path(root, folder)):
            return []
        raise


def _name_maps(folder: Path) -> list[str]:
    """Maps of names below ``eval``, relative to it."""
    maps = [path for path in sorted(folder.glob("names_*")) if path.name.endswith(NAME_MAPS)]
    return [path.relative_to(folder).as_posix() for path in (*maps, *sorted(folder.glob("*/wav.scp")))]


def write_training_manifests(
    params: ManifestParams,
    out: StrPath,
    *,
    channel: Channel = "mean",
    skip_bad: bool = False,
    jobs: int = 1,
    progress: ProgressCallback | None = None,
) -> list[SeedpipeError]:
    """Write the manifests of training speech, music, noise and rooms.

    Long files are cut into segments if ``params`` says so; noise, music and rooms never are. ``channel`` is that of
    the speech.

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
    frame, bad = list_files(root, _names(root, TRAIN), channel=channel, jobs=jobs, skip_bad=skip_bad, progress=progress)
    frame = segment(frame, params.segment_seconds)
    _check_length(frame)
    write_manifests({SPEECH: frame} | list_banks(params, "training", jobs), out)
    return bad


def _description(root: Path, name: str) -> dict[str, object]:
    folder, names = root / name, audio_of(root, name)
    maps = _name_maps(folder) if name == "eval" else []
    return {"files": len(names), "digest": digest_of_times(folder, (*names, *maps))}


def digest_of_times(folder: Path, names: Iterable[str]) -> str:
    """SHA-256 of names of files, their sizes and their times of change."""
    lines = []
    for file in names:
        with contextlib.suppress(OSError):  # a link that leads nowhere: the stage that reads the file names it
            status = (folder / file).stat()
            lines.append(f"{file}\t{status.st_size}\t{status.st_mtime_ns}")
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def _check_length(frame: pd.DataFrame) -> None:
    too_long = frame[frame["seconds"] > MOST_SECONDS]
    if len(too_long):
        row = too_long.iloc[0]
        others = f" (and {len(too_long) - 1} more)" if len(too_long) > 1 else ""
        raise ManifestError(
            f"would be one utterance of {row['seconds']:,.0f} s{others}",
            expected=f"at most {MOST_SECONDS:,} s",
            remedy="set manifest.segment_seconds in params.yaml, to 20 for example",
            file=row["path"],
        )


def list_banks(params: ManifestParams, kind: Literal["training", "evaluation"], jobs: int) -> dict[str, pd.DataFrame]:
    """One part of music, noise and rooms, by the name of its manifest."""
    frames = {}
    for part, folder in FOLDERS.items():
        training, evaluation = bank_names(params, folder)
        names = training if kind == "training" else evaluation
        frame, _ = list_files(params.root, names, jobs=jobs)
        frames[BANKS[part]] = _with_onsets(frame, jobs) if part == "reverb" else frame
    return frames


def _with_onsets(frame: pd.DataFrame, jobs: int) -> pd.DataFrame:
    """Add where the direct sound of each room is, in frames of its file."""

    def onset(path: str, digest: str) -> int:
        return rooms.onset(read_audio(path, None, digest))

    run = joblib.Parallel(n_jobs=jobs, prefer="threads")
    paths = zip(frame["path"], frame["digest"], strict=True)
    return frame.assign(onset=run(joblib.delayed(onset)(path, digest) for path, digest in paths))


def bank_names(params: ManifestParams, folder: str) -> tuple[list[str], list[str]]:
    """Files for training and for evaluation, relative to the root: those of two folders, or of one that is split.

    Raises
    ------
    ManifestError
        The folder is missing or empty, or holds a single recording.
    """
    names, kept_apart = _names(params.root, folder), f"eval_{folder}"
    if (params.root / kept_apart).is_dir():
        return names, _names(params.root, kept_apart)
    training, evaluation = split_files(names, params.eval_share, params.group_pattern)
    if not evaluation:
        raise ManifestError(
            f"{counted(len(names), 'file', 'is/are')} too few recordings to keep some for evaluation",
            expected=f"more recordings, or a folder {kept_apart}",
            remedy="training and evaluation must not share noise, music or rooms; manifest.group_pattern says which "
            "files are of one recording",
            file=params.root / folder,
        )
    return training, evaluation


def _names(root: Path, folder: str) -> list[str]:
    """Names of the audio in a folder, relative to the root."""
    return [f"{folder}/{name}" for name in find_audio(root / folder)]


def unlisted(root: StrPath) -> list[str]:
    """What a person should know of the files in a data folder that are not looked at, a sentence for each folder."""
    kept_apart = (f"eval_{folder}" for folder in FOLDERS.values() if Path(root, f"eval_{folder}").is_dir())
    folders = (Path(root, name) for name in (TRAIN, *FOLDERS.values(), *kept_apart))
    found = ((folder, other_files(folder)) for folder in folders)
    return [f"not looked at in {folder}, for their extensions: {others}" for folder, others in found if others]


def audio_remarks(manifests: StrPath) -> list[str]:
    """What is odd about the speech of some manifests, and about its noise, music and rooms."""
    advice = "; audio.channel or --channel takes one of them"
    banks = ((name, read_manifest(Path(manifests, name)).remarks()) for name in BANKS.values())
    of_banks = [f"{name}: {remark}" for name, remarks in banks for remark in remarks]
    return [*read_manifest(Path(manifests, SPEECH)).remarks(advice), *of_banks]
