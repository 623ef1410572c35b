"""The manifest of an evaluation list: the audio of the utterances that it names."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from seedpipe.audio import layout, write_manifest
from seedpipe.audio.listing import find_audio, list_files
from seedpipe.audio.manifest import SPEECH
from seedpipe.errors import ManifestError, TrialError
from seedpipe.files import StrPath
from seedpipe.params import ManifestParams
from seedpipe.scoring.trials.list import Trials
from seedpipe.scoring.trials.names import match_names
from seedpipe.scoring.trials.read import read_trials
from seedpipe.scoring.trials.speakers import tell_speakers

if TYPE_CHECKING:
    from seedpipe.console import ProgressCallback


def write_evaluation_manifests(
    params: ManifestParams, name: str, out: StrPath, *, jobs: int = 1, progress: ProgressCallback | None = None
) -> None:
    """Write the manifests of one evaluation list: its utterances, and the music, noise and rooms mixed with them."""
    trials = read_trials(layout.trial_list(params.root, name))
    frame = list_trials(trials, trial_root(params.root, name, trials), jobs=jobs, progress=progress)
    layout.write_banks(params, out, "evaluation", jobs)
    write_manifest(frame, Path(out, SPEECH))


def trial_root(root: Path, name: str, trials: Trials) -> Path:
    """What the paths of a list are relative to: ``eval/NAME`` if the first utterance is found there, else ``eval``.

    Where neither has a file of that very name, ``eval/NAME`` if all utterances are found there, by any rule for names.
    """
    every, own = root / "eval", root / "eval" / name
    if (own / trials.utterances[0]).is_file():
        return own
    direct = (every / trials.utterances[0]).is_file()
    return own if not direct and own.is_dir() and all(find_trial_audio(trials, own)) else every


def find_trial_audio(trials: Trials, root: Path) -> list[str]:
    """The file below a folder of every utterance, empty where there is none.

    Names that are no files are looked for among all audio there by the rules of :func:`match_names`, as in scoring.
    """
    direct = [name if (root / name).is_file() else "" for name in trials.utterances]
    if all(direct):
        return direct
    try:
        known = find_audio(root)
    except ManifestError:
        return direct
    matched = [known[row] if row >= 0 else "" for row in match_names(trials.utterances, known).rows]
    return matched if matched.count("") < direct.count("") else direct


def list_trials(trials: Trials, root: Path, *, jobs: int = 1, progress: ProgressCallback | None = None) -> pd.DataFrame:
    """Make the table of the utterances that a trial list names.

    Parameters
    ----------
    trials : Trials
    root : Path
        What relative paths in the list are relative to. The utterances of the table are called as the files are.

    Raises
    ------
    TrialError
        Utterances have no file: the count, the first ten, and the line that names the first.
    ManifestError
        Files are unreadable.
    """
    files = find_trial_audio(trials, root)
    missing = [name for name, file in zip(trials.utterances, files, strict=True) if not file]
    if missing:
        names = ", ".join(missing[:10]) + (", ..." if len(missing) > 10 else "")
        raise TrialError(
            f"{len(missing)} of {len(trials.utterances)} utterances have no file under {root}: {names}",
            remedy="correct the list, or put the audio there",
            file=trials.path,
            row=trials.first_row(missing[0]),
        )
    frame, _ = list_files(root, sorted(set(files)), jobs=jobs, progress=progress)
    told = None if trials.blind else tell_speakers(trials)
    if told and told.told_by:  # else nothing tells who speaks
        numbers = dict(zip(files, told.of_utterance.tolist(), strict=True))
        frame["speaker"] = [f"speaker{numbers[name]:05d}" for name in frame["utterance"]]
    return frame
