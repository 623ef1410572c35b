"""New trial lists: drawn from a labelled table, or put together from published ones."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from seedpipe.errors import TrialError, counted
from seedpipe.files import StrPath, normal, read_table, read_text, whole_file
from seedpipe.scoring.trials.list import Trials
from seedpipe.scoring.trials.read import parse

VCMIX_TARGETS, VCMIX_NONTARGETS = 18_802, 140_734
_Pairs = NDArray[np.int64]


def make_trials(
    frame: pd.DataFrame,
    targets: int,
    nontargets: int,
    *,
    same: Sequence[str] = (),
    per_speaker: int | None = None,
    seed: int = 0,
) -> list[tuple[int, str, str]]:
    """Draw a trial list from a table of utterances with speakers.

    Pairs are drawn uniformly among those allowed, without replacement and without regard to direction; no utterance
    meets itself, and no pair stands twice.

    Parameters
    ----------
    frame : DataFrame
        Columns ``utterance``, ``speaker`` and those named in ``same``. Rows without a speaker are left out, and
        those without a value in a column of ``same`` are in no non-target trial.
    targets, nontargets : int
        Trials of each kind.
    same : sequence of str
        Columns in which both sides of a non-target trial agree, as ``gender`` or ``language``.
    per_speaker : int, optional
        At most so many target and so many non-target trials with one speaker.
    seed : int
        Of the draws.

    Returns
    -------
    list of (int, str, str)
        Label, enrolment and test utterance; targets first.

    Raises
    ------
    TrialError
        A column is missing, an utterance stands twice, or the table allows fewer trials than are asked for.
    """
    _check_table(frame, same)
    usable = frame[frame["speaker"] != ""].reset_index(drop=True)
    speaker = pd.factorize(usable["speaker"])[0].astype(np.int64)
    groups = ((1, targets, speaker), (0, nontargets, _strata(usable, same)))
    rng = np.random.default_rng(seed)
    names = usable["utterance"].tolist()
    drawn: list[tuple[int, str, str]] = []
    for label, wanted, group in groups:
        pairs = _draw(group, speaker, wanted, label, per_speaker, rng)
        drawn.extend((label, names[a], names[b]) for a, b in pairs)
    return drawn


def read_speakers(path: StrPath) -> pd.DataFrame:
    """Read a csv of utterances with speakers, as :func:`make_trials` takes it: all of it as text.

    Raises
    ------
    TrialError
        It cannot be read.
    """
    try:
        return read_table(read_text(path), dtype=str, keep_default_na=False)
    except (OSError, ValueError) as error:
        raise TrialError(f"cannot be read ({error})", expected="a csv with a header", file=Path(path)) from error


def make_vcmix(
    vox1_o: StrPath, voxconverse: StrPath, *, vox1_folder: str = "", voxconverse_folder: str = ""
) -> tuple[list[tuple[int, str, str]], str]:
    """Put VC-Mix together: the target trials of Vox1-O and the non-target trials of a VoxConverse list.

    Parameters
    ----------
    vox1_o, voxconverse : str or path
        The lists. The paper's VC-Mix has 18,802 targets of the cleaned Vox1-O and 140,734 non-targets.
    vox1_folder, voxconverse_folder : str
        Put before the names of each corpus, so that both lie under one root.

    Returns
    -------
    lines : list of (int, str, str)
        Label, enrolment and test utterance.
    note : str
        How the counts differ from those of the paper; empty where they do not.

    Raises
    ------
    TrialError
        A list cannot be read, is blind, or lacks the kind of trials that is taken from it.
    """
    lines = _part(parse(vox1_o), 1, vox1_folder) + _part(parse(voxconverse), 0, voxconverse_folder)
    found = sum(label for label, _, _ in lines), sum(1 - label for label, _, _ in lines)
    if found == (VCMIX_TARGETS, VCMIX_NONTARGETS):
        return lines, ""
    note = f"{found[0]:,} target and {counted(found[1], 'non-target trial')}; the paper's VC-Mix has"
    return lines, f"{note} {VCMIX_TARGETS:,} and {VCMIX_NONTARGETS:,}"


def write_trials(lines: Sequence[tuple[int, str, str]], path: StrPath) -> None:
    """Write a list as lines ``label enrol test``, whole or not at all.

    Raises
    ------
    TrialError
        A name holds white space, which this layout cannot carry.
    """
    spaced = next((name for _, *names in lines for name in names if len(name.split()) != 1), None)
    path = Path(path)
    if spaced is not None:
        raise TrialError(
            f"the name {spaced!r} holds white space", remedy="rename it, or write a csv with a header", file=path
        )
    with whole_file(path) as partial:
        partial.write_text("".join(f"{label} {a} {b}\n" for label, a, b in lines), encoding="utf-8")


def _part(trials: Trials, label: int, folder: str) -> list[tuple[int, str, str]]:
    if trials.blind:
        trials.expect_labels()
    keep = np.flatnonzero(trials.labels == label)
    if not keep.size:
        raise TrialError(f"no {'target' if label else 'non-target'} trials", expected="some", file=trials.path)
    before = folder.rstrip("/") + "/" if folder else ""
    names = [before + name for name in trials.utterances]
    return [(label, names[trials.enrol[n]], names[trials.test[n]]) for n in keep.tolist()]


def _check_table(frame: pd.DataFrame, same: Sequence[str]) -> None:
    lacking = [name for name in ("utterance", "speaker", *same) if name not in frame]
    if lacking:
        raise TrialError(
            f"the table lacks the column{'s' * (len(lacking) > 1)} {', '.join(lacking)}",
            expected="utterance, speaker and the columns to agree in",
            remedy="a manifest without speakers cannot make trials",
        )
    if not (frame["speaker"] != "").any():
        raise TrialError("no utterance has a speaker", expected="speakers", remedy="fill the column speaker")
    again = frame["utterance"][frame["utterance"].map(normal).duplicated()]
    if len(again):
        raise TrialError(f"the utterance {again.iloc[0]} stands twice in the table", remedy="leave it in once")


def _strata(usable: pd.DataFrame, same: Sequence[str]) -> _Pairs:
    """Number the groups within which columns agree; a row without a value agrees with none."""
    if not same:
        return np.zeros(len(usable), dtype=np.int64)
    strata = np.array(usable.groupby(list(same), sort=True).ngroup(), dtype=np.int64)
    unknown = np.flatnonzero((usable[list(same)] == "").any(axis=1))
    strata[unknown] = len(usable) + unknown
    return strata


def _draw(
    group: _Pairs, speaker: _Pairs, wanted: int, label: int, per_speaker: int | None, rng: np.random.Generator
) -> list[tuple[int, int]]:
    """Draw pairs within a group, of one speaker (label 1) or of two, until there are enough."""
    kind = "target" if label else "non-target"
    allowed = _possible(group, speaker, label)
    if wanted > allowed:
        raise TrialError(
            f"{counted(wanted, f'{kind} trial', 'was/were')} asked for, the table allows {allowed:,}",
            remedy="ask for fewer",
        )
    taken: dict[tuple[int, int], None] = {}
    used = np.zeros(speaker.max() + 1, dtype=np.int64)
    patience = 20  # rounds without a new pair: with a limit per speaker, nobody knows how many pairs there are
    while len(taken) < wanted and patience:
        before = len(taken)
        for a, b in _candidates(group, max(4 * wanted, 1024), rng):
            key = (min(a, b), max(a, b))
            if (speaker[a] == speaker[b]) != bool(label) or key in taken:
                continue
            sides = {int(speaker[a]), int(speaker[b])}
            if per_speaker is not None and any(used[side] >= per_speaker for side in sides):
                continue
            taken[key] = None
            for side in sides:
                used[side] += 1
            if len(taken) == wanted:
                break
        patience = patience - 1 if len(taken) == before else 20
    if len(taken) < wanted:
        raise TrialError(
            f"only {counted(len(taken), f'{kind} trial', 'was/were', of=wanted)} found with at most"
            f" {per_speaker} of one speaker",
            remedy="ask for fewer, or for more of one speaker",
        )
    return list(taken)


def _possible(group: _Pairs, speaker: _Pairs, label: int) -> int:
    """How many pairs within a group are of one speaker (label 1), or of two."""
    within = _pairs_within(group * (speaker.max() + 1) + speaker)
    return within if label else _pairs_within(group) - within


def _pairs_within(group: _Pairs) -> int:
    sizes = np.unique(group, return_counts=True)[1]
    return int((sizes * (sizes - 1) // 2).sum())


def _candidates(group: _Pairs, count: int, rng: np.random.Generator) -> Iterator[tuple[int, int]]:
    """Random ordered pairs of two different members of a group, every such pair equally likely."""
    order = np.argsort(group, kind="stable")
    _, starts, sizes = np.unique(group[order], return_index=True, return_counts=True)
    weights = sizes * (sizes - 1.0)
    chosen = rng.choice(sizes.size, size=count, p=weights / weights.sum())
    first = rng.integers(0, sizes[chosen])
    second = rng.integers(0, sizes[chosen] - 1)
    second += second >= first
    pairs = order[starts[chosen] + first], order[starts[chosen] + second]
    return zip(pairs[0].tolist(), pairs[1].tolist(), strict=True)
