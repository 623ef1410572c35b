"""The manifest of an evaluation list: the audio of the utterances that it names."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from seedpipe.audio import layout
from seedpipe.audio.leaks import same_audio
from seedpipe.audio.listing import find_audio, list_files, other_files
from seedpipe.audio.manifest import SPEECH, write_manifests
from seedpipe.errors import ManifestError, SeedpipeError, TrialError, counted
from seedpipe.files import StrPath
from seedpipe.params import Channel, ManifestParams
from seedpipe.scoring.trials.list import Trials
from seedpipe.scoring.trials.name_map import Clip, read_name_map
from seedpipe.scoring.trials.names import match_names
from seedpipe.scoring.trials.read import read_trials
from seedpipe.scoring.trials.speakers import tell_speakers

if TYPE_CHECKING:
    from seedpipe.console import ProgressCallback

ROUNDED = 0.02  # seconds that a part may reach beyond the end of its file: durations are written with few digits


def write_evaluation_manifests(
    params: ManifestParams,
    name: str,
    out: StrPath,
    *,
    names: StrPath | None = None,
    channel: Channel = "mean",
    jobs: int = 1,
    progress: ProgressCallback | None = None,
) -> None:
    """Write the manifests of one evaluation list: its utterances, and the music, noise and rooms mixed with them.

    Parameters
    ----------
    params : ManifestParams
    name : str
        Of the list.
    out : str or path
        Folder of the manifests.
    names : str or path, optional
        Files of the names, as :func:`seedpipe.scoring.trials.name_map.read_name_map` takes them; by default those of
        the data folder, where it has any.
    channel : "mean" or int
        What is to be heard of files with several channels.
    jobs : int
        Threads that read.
    progress : callable, optional
        Called with files done and files in all.
    """
    trials = read_trials(layout.trial_list(params.root, name))
    clips, place = find_clips(params.root, name, trials, names)
    frame = list_trials(trials, clips, place, channel=channel, jobs=jobs, progress=progress)
    write_manifests({SPEECH: frame} | layout.list_banks(params, "evaluation", jobs), out)


def check_leaks(params: ManifestParams, lists: Iterable[str], names: StrPath | None = None) -> list[str]:
    """Look for files that training and evaluation share: utterances of the lists, and noise, music and rooms.

    ``names`` is as for :func:`write_evaluation_manifests`.

    Returns
    -------
    list of str
        What is shared, where ``params.allow_leaks`` says to go on; empty where nothing is.

    Raises
    ------
    ManifestError
        A file is on both sides, and is not allowed to be; it is named as it is called on either.
    TrialError
        A list cannot be read.
    """
    root = params.root
    banks = [layout.bank_names(params, folder) for folder in layout.FOLDERS.values()]
    pairs = same_audio(*([root / name for bank in banks for name in bank[side]] for side in (0, 1)))
    if (root / layout.TRAIN).is_dir():
        training = [root / layout.TRAIN / name for name in find_audio(root / layout.TRAIN)]
        pairs += same_audio(training, [path for name in lists for path in _utterances(root, name, names)])
    called = [[_called(path, root) for path in pair] for pair in pairs]
    shared = [f"{ours} of training and {theirs} of evaluation are the same audio" for ours, theirs in called]
    if shared and not params.allow_leaks:
        others = f" ({counted(len(shared) - 1, 'further pair')})" if len(shared) > 1 else ""
        raise ManifestError(
            shared[0] + others,
            expected="training and evaluation without a file in common",
            remedy="remove one of the two, or set manifest.allow_leaks: true to go on",
            file=root,
        )
    return shared


def _utterances(root: Path, name: str, names: StrPath | None) -> list[Path]:
    """Files of the utterances of a list, as far as there are any."""
    trials = read_trials(layout.trial_list(root, name))
    return [clip.path for clip in find_clips(root, name, trials, names)[0] if clip]


def _called(path: Path, root: Path) -> str:
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else str(path)


def describe_name_maps(root: Path) -> dict[str, str]:
    """Digest of the names, sizes and times of change of the files that the map of names of a list leads to, by list.

    Raises
    ------
    TrialError
        A map cannot be used.
    """
    places = {name: layout.name_map(root, name) for name in layout.evaluation_lists(root)}
    maps = {name: read_name_map(place) for name, place in places.items() if place}
    return {
        name: layout.digest_of_times(Path(), sorted({str(clip.path) for clip in clips.values()}))
        for name, clips in maps.items()
    }


def find_clips(root: Path, name: str, trials: Trials, names: StrPath | None = None) -> tuple[list[Clip | None], Path]:
    """Find the audio of every utterance of a list.

    Names are looked for by the rules of :func:`match_names`, as in scoring: in a map of names where there is one, else
    among the files below ``eval/NAME`` or ``eval``.

    Parameters
    ----------
    root : Path
        The data folder.
    name : str
        Of the list.
    trials : Trials
    names : str or path, optional
        A map of names; by default the one of the data folder, where it has any.

    Returns
    -------
    clips : list of Clip or None
        None where there is none.
    place : Path
        The folder or the map.
    """
    place = names or layout.name_map(root, name)
    if place is None:
        folder = trial_root(root, name, trials)
        return clips_below(folder, trials), folder
    clips = list(read_name_map(place).values())
    rows = match_names(trials.utterances, [clip.utterance for clip in clips]).rows
    return [clips[row] if row >= 0 else None for row in rows], Path(place)


def trial_root(root: Path, name: str, trials: Trials) -> Path:
    """What the paths of a list are relative to: ``eval/NAME`` if the first utterance is found there, else ``eval``.

    Where neither has a file of that very name, ``eval/NAME`` if all utterances are found there, by any rule for names.
    """
    every, own = root / "eval", root / "eval" / name
    if _is_file(own, trials.utterances[0]):
        return own
    direct = _is_file(every, trials.utterances[0])
    return own if not direct and own.is_dir() and all(clips_below(own, trials)) else every


def _is_file(folder: Path, name: str) -> bool:
    """Whether there is a file of that name; of a name that no file system takes there is none."""
    return os.path.isfile(folder / name)  # noqa: PTH113


def clips_below(folder: Path, trials: Trials) -> list[Clip | None]:
    """The file below a folder of every utterance, None where there is none.

    Names that are no files are looked for among all audio there. Utterances are called as the files are.
    """
    direct = [name if _is_file(folder, name) else "" for name in trials.utterances]
    found = direct
    if not all(direct) and folder.is_dir():
        try:
            known = find_audio(folder)
        except ManifestError:
            known = []
        matched = [known[row] if row >= 0 else "" for row in match_names(trials.utterances, known).rows]
        found = matched if matched.count("") < direct.count("") else direct
    return [Clip(name, folder / name) if name else None for name in found]


def list_trials(
    trials: Trials,
    clips: Sequence[Clip | None],
    place: Path,
    *,
    channel: Channel = "mean",
    jobs: int = 1,
    progress: ProgressCallback | None = None,
) -> pd.DataFrame:
    """Make the table of the utterances that a trial list names.

    Parameters
    ----------
    trials : Trials
    clips : sequence of Clip or None
        Of every utterance. The utterances of the table are called as the clips are.
    place : Path
        Where they were looked for, for messages.
    channel : "mean" or int
        What is to be heard of files with several channels.

    Raises
    ------
    TrialError
        Utterances have no file: the count, the first ten, and the line that names the first.
    ManifestError
        Files are unreadable, or end before their part does.
    """
    missing = [name for name, clip in zip(trials.utterances, clips, strict=True) if clip is None]
    if missing:
        names = ", ".join(missing[:10]) + (", ..." if len(missing) > 10 else "")
        others = other_files(place) if place.is_dir() else ""
        raise TrialError(
            f"{counted(len(missing), 'utterance', 'has/have', of=len(trials.utterances))} no file under {place}:"
            f" {names}" + (f"; not looked at there, for their extensions: {others}" if others else ""),
            remedy="correct the list, put the audio there, or give a map of names (docs/data.md)",
            file=trials.path,
            row=trials.first_row(missing[0]),
        )
    found = {clip.utterance: clip for clip in clips if clip}
    ordered = [found[name] for name in sorted(found)]
    frame, _ = list_clips(ordered, channel=channel, jobs=jobs, progress=progress)
    told = None if trials.blind else tell_speakers(trials)
    if told and told.told_by:  # else nothing tells who speaks
        numbers = {clip.utterance: int(speaker) for clip, speaker in zip(clips, told.of_utterance, strict=True) if clip}
        frame["speaker"] = [f"speaker{numbers[name]:05d}" for name in frame["utterance"]]
    return frame


def list_clips(
    clips: Sequence[Clip],
    *,
    channel: Channel = "mean",
    jobs: int = 1,
    skip_bad: bool = False,
    progress: ProgressCallback | None = None,
) -> tuple[pd.DataFrame, list[SeedpipeError]]:
    """Make the table of clips, in their order: arguments, results and errors are those of :func:`list_files`."""
    paths = sorted({str(clip.path) for clip in clips})
    files, bad = list_files(Path(), paths, channel=channel, jobs=jobs, skip_bad=skip_bad, progress=progress)
    found = files.set_index("utterance", drop=False)
    good = [clip for clip in clips if str(clip.path) in found.index]
    rows = found.loc[[str(clip.path) for clip in good]].reset_index(drop=True)
    return _cut(rows.assign(utterance=[clip.utterance for clip in good]), good), bad


def _cut(frame: pd.DataFrame, clips: Sequence[Clip]) -> pd.DataFrame:
    """The table with the parts of the files that clips are."""
    rate, length = frame["sample_rate"].to_numpy(), frame["frames"].to_numpy()
    start = np.rint([clip.start for clip in clips] * rate).astype(np.int64)
    whole = np.array([clip.seconds is None for clip in clips])
    stop = start + np.rint([clip.seconds or 0.0 for clip in clips] * rate).astype(np.int64)
    stop = np.where(whole, length, stop)
    wrong = np.flatnonzero((stop > length + ROUNDED * rate) | (np.minimum(stop, length) <= start))
    if wrong.size:
        clip = clips[wrong[0]]
        raise ManifestError(
            f"has {length[wrong[0]] / rate[wrong[0]]:.2f} s, and {clip.utterance} is from {clip.start:g} s on"
            + ("" if clip.seconds is None else f" {clip.seconds:g} s long"),
            expected="a part of the file",
            remedy="correct the map of names",
            file=clip.path,
        )
    frames = np.minimum(stop, length) - start
    return frame.assign(start_frame=start, frames=frames, seconds=np.round(frames / rate, 6))
