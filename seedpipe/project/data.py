"""Checks of the data folder of a project, and of the disk that its caches need."""

from __future__ import annotations

import functools
import shutil
from pathlib import Path

from seedpipe.audio import layout
from seedpipe.errors import SeedpipeError, counted
from seedpipe.params import Params
from seedpipe.project.corpora import recognise_corpora
from seedpipe.project.finding import Finding, tried
from seedpipe.project.paths import ProjectPaths
from seedpipe.project.start import DATA_FOLDERS
from seedpipe.scoring.trials import read_trials, recognise
from seedpipe.scoring.trials.manifest import find_clips

GIGA = 1e9
BANKS = ("noise", "music", "rir")
ITEM_BYTES = {"float32": 4, "float16": 2}
MOST_DIMENSION = 512  # of an embedding, where the network's own is not known yet
# Guesses from the bytes of a file: how many it has once decoded (float32 is twice 16-bit WAV), how many a second has.
DECODED = {".wav": 2.0}
DECODED_COMPRESSED = 4.0
BYTES_OF_SECOND = {".wav": 32_000.0}
BYTES_OF_SECOND_COMPRESSED = 16_000.0


def findings(params: Params) -> list[Finding]:
    """Check the folders below ``manifest.root``, the evaluation lists, and the disk."""
    root = params.manifest.root
    if root == params.corpus.folder and not root.exists():
        return [Finding("data", "ok", f"{root} is made by the first stage of the pipeline")]
    names = {name: _audio(root, name) for name in DATA_FOLDERS}
    folders = [_folder(root / name, found) for name, found in names.items()]
    lists = [tried(f"list {name}", functools.partial(_list, params, name)) for name in params.manifest.evaluations]
    audio = {name: found for name, found in names.items() if isinstance(found, list)}
    return [*folders, *lists, _known(audio), _disk(params, audio)]


def _audio(root: Path, folder: str) -> list[str] | SeedpipeError:
    try:
        return layout.audio_of(root, folder)
    except SeedpipeError as error:
        return error


def _folder(folder: Path, found: list[str] | SeedpipeError) -> Finding:
    if isinstance(found, SeedpipeError):
        return Finding(str(folder), "missing", found.found, "put or link audio there (docs/data.md)")
    return Finding(str(folder), "ok", counted(len(found), "audio file"))


def _list(params: Params, name: str) -> Finding:
    """Whether a trial list can be read and its audio is there."""
    trials = read_trials(layout.trial_list(params.manifest.root, name)).expect_labels()
    clips, place = find_clips(params.manifest.root, name, trials)
    lacking = [utterance for utterance, clip in zip(trials.utterances, clips, strict=True) if clip is None]
    text = f"{counted(len(trials), 'trial')} over {counted(len(trials.utterances), 'utterance')}"
    if lacking:
        found = f"{text}, of which {len(lacking):,} have no file under {place}: {lacking[0]}"
        return Finding(f"list {name}", "missing", found, "put or link the audio there, or correct the list")
    known = recognise(trials)
    return Finding(f"list {name}", "ok", f"{text}; the list {known}" if known else text)


def _known(audio: dict[str, list[str]]) -> Finding:
    found = recognise_corpora([name for names in audio.values() for name in names])
    return Finding("published corpora", "ok", ", ".join(found) or "none recognised by the names of files")


def _disk(params: Params, audio: dict[str, list[str]]) -> Finding:
    """Free disk against a guess of what the caches will take."""
    rows = _training_rows(params, audio.get("train", [])) + _evaluation_rows(params)
    caches = rows * sum(map(_dimension, params.extract.networks)) * ITEM_BYTES[params.extract.storage]
    files = (path.stat() for path in Path("cache").rglob("*.h5"))
    there = sum({file.st_ino: file.st_size for file in files}.values())  # a cache may have a second place
    while_running = sum(_decoded_bytes(params.manifest.root / name, audio.get(name, [])) for name in BANKS)
    free = shutil.disk_usage(Path()).free
    found = (
        f"{free / GIGA:.1f} GB free; caches take about {caches / GIGA:.2g} GB ({there / GIGA:.2g} GB are there),"
        f" decoded noise, music and rooms {while_running / GIGA:.2g} GB while a cache is made"
    )
    if max(caches - there, 0) + while_running > free:
        return Finding("disk", "missing", found, "free some, or lower extract.draws or set extract.storage: float16")
    return Finding("disk", "ok", found)


def _training_rows(params: Params, names: list[str]) -> int:
    """Embeddings of the training speech, about: each utterance, draw and variant."""
    utterances = float(len(names))
    if params.manifest.segment_seconds:
        folder = params.manifest.root / layout.TRAIN
        seconds = sum(
            _bytes(folder / name) / BYTES_OF_SECOND.get(Path(name).suffix, BYTES_OF_SECOND_COMPRESSED) for name in names
        )
        utterances = max(utterances, seconds / params.manifest.segment_seconds)
    return round(utterances) * params.extract.draws * (1 + len(params.extract.variants))


def _evaluation_rows(params: Params) -> int:
    """Embeddings of all evaluation lists that can be read: each utterance, crop and condition."""
    utterances = 0
    for name in params.manifest.evaluations:
        try:
            utterances += len(read_trials(layout.trial_list(params.manifest.root, name)).utterances)
        except SeedpipeError:
            continue  # the finding of the list says what is wrong
    evaluation = params.extract.evaluation
    return utterances * (evaluation.crops + bool(evaluation.test_crop_samples)) * (1 + len(evaluation.conditions))


def _dimension(network: str) -> int:
    from seedpipe.networks import read_config

    try:
        return read_config(Path(ProjectPaths().network(network))).dimension
    except SeedpipeError:
        return MOST_DIMENSION


def _decoded_bytes(folder: Path, names: list[str]) -> float:
    return sum(_bytes(folder / name) * DECODED.get(Path(name).suffix, DECODED_COMPRESSED) for name in names)


def _bytes(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0  # a link that leads nowhere
