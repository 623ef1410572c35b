"""The synthetic demonstration corpus: reproducible, sound, whole or absent."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import soundfile

from examples.demo_corpus import DemoSummary, build_demo_corpus
from examples.demo_corpus import corpus as corpus_module
from examples.demo_corpus.noise import KINDS, noise
from examples.demo_corpus.rooms import draw_room, room
from examples.demo_corpus.sentences import EVAL_SENTENCES, TRAIN_SENTENCES
from examples.demo_corpus.tools import optional
from examples.demo_corpus.trials import trials
from examples.demo_corpus.voices import (
    ACCENTS,
    EVAL_BABBLE_VARIANTS,
    EVAL_VARIANTS,
    TRAIN_VARIANTS,
    babble_voices,
    utterances,
    voices,
)
from seedpipe.errors import ManifestError, MissingExtraError, ParamsError

pytest.importorskip("espeakng_loader")
pytest.importorskip("pyroomacoustics")

RATE = 16_000
TINY = {"train_voices": 2, "eval_voices": 4, "train_utterances": 2, "eval_utterances": 3}


@pytest.fixture(scope="module", autouse=True)
def small_backgrounds() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        small = {"train": {"noise": 6, "music": 3, "rir": 2}, "eval": {"noise": 1, "music": 2, "rir": 2}}
        patch.setattr(corpus_module, "BACKGROUND_FILES", small)
        yield


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> DemoSummary:
    return build_demo_corpus(tmp_path_factory.mktemp("demo") / "corpus", seed=3, jobs=2, **TINY)


def _read(path: Path) -> np.ndarray:
    samples, rate = soundfile.read(path)
    assert rate == RATE
    assert samples.ndim == 1
    assert np.isfinite(samples).all()
    return samples


def _bytes(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def _audio(built: DemoSummary, *places: str) -> list[Path]:
    found = [path for place in places for path in sorted((built.folder / place).rglob("*.flac"))]
    assert found
    return found


def test_no_variant_serves_both_sides() -> None:
    train, held_out, babble = set(TRAIN_VARIANTS), set(EVAL_VARIANTS), set(EVAL_BABBLE_VARIANTS)
    assert not train & held_out
    assert not babble & (train | held_out)
    assert {v.variant for v in babble_voices("train")} <= train
    assert {v.variant for v in babble_voices("eval")} == babble
    for names in (TRAIN_VARIANTS, EVAL_VARIANTS, EVAL_BABBLE_VARIANTS):
        assert len(set(names)) == len(names)


def test_every_voice_of_the_default_corpus_exists_and_is_unlike_the_others() -> None:
    data = Path(optional("espeakng_loader").get_data_path())
    variants = {path.name for path in (data / "voices" / "!v").iterdir()}
    everyone = [*voices("train", 60), *voices("eval", 24)]
    assert len({(v.espeak_name, v.pitch) for v in everyone}) == 84
    assert {v.variant for v in everyone} | set(EVAL_BABBLE_VARIANTS) <= variants
    assert {v.accent for v in everyone} == set(ACCENTS)


def test_sentences_are_many_and_disjoint() -> None:
    assert len(set(TRAIN_SENTENCES)) + len(set(EVAL_SENTENCES)) >= 120
    assert not set(TRAIN_SENTENCES) & set(EVAL_SENTENCES)


@pytest.mark.parametrize("variant", ["f5", "Alicia", "m1"])
def test_speech_repeats_bit_for_bit(variant: str) -> None:
    # f5 and Alicia have breath noise, whose generator espeak-ng seeds from the clock.
    voice = voices("eval", 24)[EVAL_VARIANTS.index(variant)]
    first, second, longer = (utterances(voice, "eval", count, seed=0) for count in (2, 2, 3))
    for one, other, same in zip(first, second, longer[:2], strict=True):
        np.testing.assert_array_equal(one, other)
        np.testing.assert_array_equal(one, same)  # what follows an utterance does not change it


def test_same_bytes_whatever_the_jobs(built: DemoSummary, tmp_path: Path) -> None:
    again = build_demo_corpus(tmp_path / "again", seed=3, jobs=1, **TINY)
    assert _bytes(again.folder) == _bytes(built.folder)
    assert (again.files, again.seconds) == (built.files, built.seconds)


def test_another_seed_gives_other_audio(built: DemoSummary) -> None:
    voice = voices("train", 1)[0]
    samples = utterances(voice, "train", 2, seed=4)[0]
    assert not np.array_equal(np.rint(samples * 32767), np.rint(_read(built.folder / "train/v00/00.flac") * 32768))


def test_layout_and_summary(built: DemoSummary) -> None:
    folder = built.folder
    assert {path.name for path in folder.iterdir()} == {
        *("train", "eval", "noise", "music", "rir", "eval_noise", "eval_music", "eval_rir"),
        *("corpus.json", "ATTRIBUTION.txt"),
    }
    paths = _audio(built, ".")
    assert built.files == len(paths) == sum(built.counts.values())
    assert built.seconds == pytest.approx(sum(soundfile.info(path).duration for path in paths), abs=1e-3)
    assert built.counts["train"] == 4
    assert built.counts["eval"] == 12
    assert not list(folder.parent.glob(".*"))


def test_record_says_synthetic_and_how(built: DemoSummary) -> None:
    record = json.loads((built.folder / "corpus.json").read_text())
    assert record["synthetic"] is True
    assert record["seed"] == 3
    assert record["parameters"] == TINY
    assert {"espeak-ng", "pyroomacoustics", "numpy", "scipy"} <= set(record["versions"])
    assert record["seconds"]["all"] == built.seconds
    assert "synthetic speech by espeak-ng" in (built.folder / "ATTRIBUTION.txt").read_text()


def test_speech_is_sound(built: DemoSummary) -> None:
    for path in _audio(built, "train", "eval"):
        info = soundfile.info(path)
        assert (info.format, info.subtype, info.channels) == ("FLAC", "PCM_16", 1)
        samples = _read(path)
        assert 3.0 <= len(samples) / RATE <= 6.0
        assert 0.01 < np.sqrt(np.mean(samples**2)) < 0.2
        assert np.abs(samples).max() < 0.95


def test_noise_and_music_are_sound(built: DemoSummary) -> None:
    for place, shortest, longest in (("noise", 8, 10), ("music", 10, 12)):
        for path in _audio(built, place, f"eval_{place}"):
            samples = _read(path)
            assert shortest <= len(samples) / RATE <= longest
            assert np.abs(samples).max() == pytest.approx(0.7, abs=1e-3)
            assert np.sqrt(np.mean(samples**2)) > 0.01
            # No second is silent, so that no crop is.
            seconds = samples[: len(samples) // RATE * RATE].reshape(-1, RATE)
            assert np.sqrt(np.mean(seconds**2, axis=1)).min() > 1e-3


def test_no_two_files_are_alike(built: DemoSummary) -> None:
    contents = [path.read_bytes() for path in _audio(built, ".")]
    assert len(set(contents)) == len(contents)


def test_every_kind_of_noise_is_made_for_both_sides() -> None:
    for index, kind in enumerate(KINDS):
        if kind != "babble":
            assert not np.array_equal(noise("train", index, seed=0)[:1000], noise("eval", index, seed=0)[:1000])


@pytest.mark.parametrize("index", range(4))
def test_rooms_decay_as_asked(index: int) -> None:
    box, response = draw_room("train", index, seed=0), room("train", index, seed=0)
    assert np.abs(response).max() == pytest.approx(0.9)
    assert np.argmax(np.abs(response)) <= 40
    decay = np.cumsum(response[::-1] ** 2)[::-1]
    decay_db = 10 * np.log10(decay / decay[0])
    seconds = np.array([np.argmax(decay_db < level) for level in (-5.0, -25.0)]) / RATE
    rt60_s = 3.0 * (seconds[1] - seconds[0])  # from 20 dB of Schroeder's curve
    assert rt60_s == pytest.approx(box.rt60_s, rel=0.5)
    for place in (box.talker_m, box.microphone_m):
        assert all(0.2 < at < size - 0.2 for at, size in zip(place, box.size_m, strict=True))
    assert np.linalg.norm(np.subtract(box.talker_m, box.microphone_m)) > 0.5


def test_rooms_of_the_sides_differ() -> None:
    train = {draw_room("train", index, seed=0).size_m for index in range(24)}
    held_out = {draw_room("eval", index, seed=0).size_m for index in range(12)}
    assert len(train | held_out) == 36


def test_room_draws_nothing_from_the_global_generator() -> None:
    before = np.random.get_state()[1].copy()  # noqa: NPY002 - the very state that must stay untouched
    room("eval", 0, seed=0)
    np.testing.assert_array_equal(before, np.random.get_state()[1])  # noqa: NPY002


def test_trials_name_existing_files_of_both_classes(built: DemoSummary) -> None:
    lines = (built.folder / "eval" / "trials_demo.txt").read_text().splitlines()
    assert len(set(lines)) == len(lines) == built.trials
    labels, speakers = [], set()
    for line in lines:
        label, enrol, test = line.split(" ")
        assert (built.folder / "eval" / enrol).is_file()
        assert (built.folder / "eval" / test).is_file()
        assert enrol != test
        assert (label == "1") == (Path(enrol).parent == Path(test).parent)
        labels.append(label)
        speakers |= {Path(enrol).parent.name, Path(test).parent.name}
    assert labels.count("1") == 4 * 3
    assert labels.count("0") > labels.count("1")
    assert speakers == {"v00", "v01", "v02", "v03"}


def test_default_trials_are_near_and_far() -> None:
    people = voices("eval", 24)
    by_name = {voice.name: voice for voice in people}
    lines = trials(people, 6, seed=0)
    pairs = [[by_name[path.split("/")[1]] for path in line.split()[1:]] for line in lines if line[0] == "0"]
    near = sum(one.female == other.female or one.accent == other.accent for one, other in pairs)
    assert (len(lines), len(pairs), near) == (3240, 2880, 1440)
    assert {voice.name for pair in pairs for voice in pair} == set(by_name)


def test_foreign_folder_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("precious")
    with pytest.raises(ManifestError, match=r"is no demonstration corpus: it holds thesis\.txt; .*choose another"):
        build_demo_corpus(tmp_path, jobs=1, **TINY)
    assert _bytes(tmp_path) == {"thesis.txt": b"precious"}


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make a corpus of speech alone."""
    nothing = {"noise": 0, "music": 0, "rir": 0}
    monkeypatch.setattr(corpus_module, "BACKGROUND_FILES", {"train": nothing, "eval": nothing})


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("name", ["train/me/00.wav", "noise/99.flac", ".git/HEAD", "train/v00/07.flac"])
def test_recordings_that_the_user_added_are_not_deleted(tmp_path: Path, name: str) -> None:
    build_demo_corpus(tmp_path / "corpus", jobs=1, **TINY)
    added = tmp_path / "corpus" / name
    added.parent.mkdir(parents=True, exist_ok=True)
    added.write_bytes(b"mine")
    before = _bytes(tmp_path)
    with pytest.raises(ManifestError, match=f"is no demonstration corpus: it holds {name}"):
        build_demo_corpus(tmp_path / "corpus", seed=9, jobs=1, **TINY)
    assert _bytes(tmp_path) == before


def test_foreign_file_or_record_is_refused(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("a file")
    with pytest.raises(ManifestError, match="is no demonstration corpus but a file"):
        build_demo_corpus(tmp_path / "out", jobs=1, **TINY)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "corpus.json").write_text('{"format": "something else"}')
    with pytest.raises(ManifestError):
        build_demo_corpus(tmp_path / "other", jobs=1, **TINY)


@pytest.mark.usefixtures("quick")
def test_older_corpus_is_replaced_and_progress_counts(tmp_path: Path) -> None:
    out = tmp_path / "deep" / "corpus"
    out.mkdir(parents=True)
    build_demo_corpus(out, jobs=1, **TINY)  # an empty folder is no obstacle
    steps: list[tuple[int, int]] = []
    smaller = {**TINY, "train_voices": 1}
    build_demo_corpus(out, jobs=1, progress=lambda done, total: steps.append((done, total)), **smaller)
    assert [path.name for path in (out / "train").iterdir()] == ["v00"]
    assert [path.name for path in out.parent.iterdir()] == ["corpus"]
    assert steps[-1] == (5, 5)
    assert all(later[0] == earlier[0] + 1 for earlier, later in pairwise(steps))


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("older", [False, True])
def test_stopped_in_the_middle_leaves_what_was_there(tmp_path: Path, older: bool) -> None:
    out = tmp_path / "corpus"
    if older:
        build_demo_corpus(out, jobs=1, **TINY)
    before = _bytes(tmp_path)

    def stop(done: int, _total: int) -> None:
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build_demo_corpus(out, seed=9, jobs=1, progress=stop, **TINY)
    assert _bytes(tmp_path) == before
    assert out.exists() is older
    assert [path.name for path in tmp_path.iterdir()] == (["corpus"] if older else [])


def test_killed_in_the_middle_leaves_nothing_in_place(tmp_path: Path) -> None:
    program = """
import os, signal, sys
from pathlib import Path
from examples.demo_corpus import build_demo_corpus
def kill(done, total):
    if done == 3:
        os.kill(os.getpid(), signal.SIGKILL)
build_demo_corpus(Path(sys.argv[1]), jobs=1, progress=kill)
"""
    ended = subprocess.run([sys.executable, "-c", program, str(tmp_path / "corpus")], check=False)
    assert ended.returncode == -signal.SIGKILL
    assert not (tmp_path / "corpus").exists()


@pytest.mark.parametrize("name", ["train_voices", "eval_voices", "train_utterances", "eval_utterances"])
def test_numbers_without_trials_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ParamsError, match=name):
        build_demo_corpus(tmp_path / "out", **{**TINY, name: 0})
    assert not list(tmp_path.iterdir())


def test_missing_package_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(name: str) -> None:
        raise ModuleNotFoundError(f"No module named {name!r}")

    monkeypatch.setattr("examples.demo_corpus.tools.importlib.import_module", refuse)
    with pytest.raises(MissingExtraError, match=r'pip install "espeakng-loader>='):
        build_demo_corpus(tmp_path / "out", **TINY)
    assert not list(tmp_path.iterdir())
