"""seedpipe.audio.layout: what of a data folder goes where, and that training and evaluation share nothing."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
from conftest import tone, write_audio

from seedpipe import pipeline
from seedpipe.audio import layout, read_manifest
from seedpipe.audio.leaks import same_audio
from seedpipe.audio.manifest import is_synthetic
from seedpipe.errors import AudioError, ManifestError, TrialError
from seedpipe.params import ManifestParams, Params
from seedpipe.project.paths import ProjectPaths
from seedpipe.scoring.trials.manifest import write_evaluation_manifests

BANKS = {"music": "music.csv", "noise": "noise.csv", "rir": "rir.csv"}


def names(path: Path) -> list[str]:
    return [str(name) for name in read_manifest(path).frame["utterance"]]


def write_both(root: Path, out: Path) -> None:
    params = ManifestParams(root=root)
    assert layout.write_training_manifests(params, out / "train") == []
    write_evaluation_manifests(params, "tiny", out / "tiny")


def test_training_manifests_list_all_training_speech(manifests: Path) -> None:
    frame = read_manifest(manifests / "train/speech.csv").frame
    assert frame["utterance"].tolist() == [
        "train/anna/one take.flac",
        "train/anna/zwölf-十二.wav",
        "train/ben/48k.wav",
        "train/ben/short.wav",
        "train/ben/vorbis.ogg",
    ]
    assert set(frame["speaker"]) == {""}, "training needs no labels"


def test_evaluation_manifests_list_the_utterances_of_the_trials(manifests: Path) -> None:
    frame = read_manifest(manifests / "tiny/speech.csv").frame
    assert frame["utterance"].tolist() == ["carl/long.wav", "carl/short.wav", "dora/long.wav", "dora/short.wav"]
    assert frame.groupby("speaker")["utterance"].count().tolist() == [2, 2]
    assert all(Path(path).is_file() for path in frame["path"])


@pytest.mark.parametrize("folder", BANKS)
def test_training_and_evaluation_share_no_noise_music_or_rooms(manifests: Path, folder: str) -> None:
    training = read_manifest(manifests / "train" / BANKS[folder]).frame
    evaluation = read_manifest(manifests / "tiny" / BANKS[folder]).frame
    assert len(training) > len(evaluation) > 0
    assert not set(training["digest"]) & set(evaluation["digest"])
    assert {name.split("/")[0] for name in training["utterance"]} == {folder}
    assert len(training) + len(evaluation) == {"noise": 6, "music": 3, "rir": 3}[folder]


def test_folders_kept_for_evaluation_are_taken_whole(own_data: Path, tmp_path: Path) -> None:
    write_audio(own_data / "eval_noise/only.wav", tone(99, 0.3))
    write_both(own_data, tmp_path)
    assert names(tmp_path / "tiny/noise.csv") == ["eval_noise/only.wav"]
    assert len(names(tmp_path / "train/noise.csv")) == 6
    assert names(tmp_path / "tiny/music.csv") == ["music/2.wav"], "the others are split as before"


def test_too_few_files_to_keep_some_for_evaluation(own_data: Path, tmp_path: Path) -> None:
    for number in (1, 2):
        (own_data / f"rir/{number}.wav").unlink()
    with pytest.raises(ManifestError, match=r"rir: 1 file is too few recordings to keep some .*a folder eval_rir"):
        layout.write_training_manifests(ManifestParams(root=own_data), tmp_path)


def test_paths_of_a_list_may_be_relative_to_eval(own_data: Path, manifests: Path, tmp_path: Path) -> None:
    path = own_data / "eval/trials_tiny.txt"
    path.write_text(path.read_text().replace("carl/", "tiny/carl/").replace("dora/", "tiny/dora/"))
    write_evaluation_manifests(ManifestParams(root=own_data), "tiny", tmp_path)
    assert names(tmp_path / "speech.csv") == [f"tiny/{name}" for name in names(manifests / "tiny/speech.csv")]


def test_bad_training_audio_fails_or_is_skipped(own_data: Path, tmp_path: Path) -> None:
    (own_data / "train/bad.wav").write_text("x")
    params = ManifestParams(root=own_data)
    with pytest.raises(AudioError, match=r"train/bad\.wav"):
        layout.write_training_manifests(params, tmp_path)
    bad = layout.write_training_manifests(params, tmp_path, skip_bad=True)
    assert [error.file for error in bad] == [own_data / "train/bad.wav"]
    assert len(names(tmp_path / "speech.csv")) == 5


def test_only_training_speech_is_cut(own_data: Path, tmp_path: Path) -> None:
    params = ManifestParams(root=own_data, segment_seconds=0.3)
    layout.write_training_manifests(params, tmp_path / "train")
    write_evaluation_manifests(params, "tiny", tmp_path / "tiny")
    assert names(tmp_path / "train/speech.csv") == [
        "train/anna/one take.flac#000-300",
        "train/anna/one take.flac#300-600",
        "train/anna/one take.flac#600-900",
        "train/anna/zwölf-十二.wav#000-300",
        "train/anna/zwölf-十二.wav#300-700",
        "train/ben/48k.wav#000-300",
        "train/ben/48k.wav#300-600",
        "train/ben/48k.wav#600-800",
        "train/ben/short.wav",
        "train/ben/vorbis.ogg#000-300",
        "train/ben/vorbis.ogg#300-600",
    ]
    others = [path for path in tmp_path.glob("t*/*.csv") if path != tmp_path / "train/speech.csv"]
    assert len(others) == 7
    for path in others:
        frame = read_manifest(path).frame
        assert (frame["start_frame"] == 0).all()
        assert not frame["utterance"].str.contains("#").any()


def test_a_training_utterance_of_more_than_an_hour_is_refused_unless_cut(own_data: Path, tmp_path: Path) -> None:
    with soundfile.SoundFile(own_data / "train/day.flac", "w", 1_000, 1) as file:
        file.write(np.zeros(3_600_000, np.int16))
    layout.write_training_manifests(ManifestParams(root=own_data), tmp_path / "hour")
    assert "train/day.flac" in names(tmp_path / "hour/speech.csv")
    with soundfile.SoundFile(own_data / "train/day.flac", "w", 1_000, 1) as file:
        file.write(np.zeros(7_200_000, np.int16))
    with pytest.raises(
        ManifestError, match=r"train/day\.flac: would be one utterance of 7,200 s; .*set manifest\.segment_seconds"
    ):
        layout.write_training_manifests(ManifestParams(root=own_data), tmp_path / "none")
    assert not (tmp_path / "none").exists()
    layout.write_training_manifests(ManifestParams(root=own_data, segment_seconds=20), tmp_path / "cut")
    found = [name for name in names(tmp_path / "cut/speech.csv") if "day" in name]
    assert len(found) == 360
    assert (found[0], found[-1]) == ("train/day.flac#0000000-0020000", "train/day.flac#7180000-7200000")


def test_training_audio_that_was_cut_off_fails_or_is_skipped(own_data: Path, tmp_path: Path) -> None:
    path = own_data / "train/ben/48k.wav"
    path.write_bytes(path.read_bytes()[:-1_000])
    with pytest.raises(AudioError, match=r"ben/48k\.wav: ends after 38,233 of 38,400 frames"):
        layout.write_training_manifests(ManifestParams(root=own_data), tmp_path)
    assert len(layout.write_training_manifests(ManifestParams(root=own_data), tmp_path, skip_bad=True)) == 1


def test_bad_noise_is_never_skipped(own_data: Path, tmp_path: Path) -> None:
    (own_data / "noise/hall/0.flac").write_text("x")
    with pytest.raises(AudioError, match=r"noise/hall/0\.flac"):
        layout.write_training_manifests(ManifestParams(root=own_data), tmp_path, skip_bad=True)


def test_manifests_of_a_relative_root_move_with_it(
    own_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_both(Path("data"), Path("lists"))
    (tmp_path / "moved").mkdir()
    for part in ("data", "lists"):
        shutil.move(tmp_path / part, tmp_path / "moved" / part)
    monkeypatch.chdir("/")
    for path in (tmp_path / "moved/lists").rglob("*.csv"):
        assert all(Path(name).is_file() for name in read_manifest(path).frame["path"])
    assert not own_data.exists()


# ---------------------------------------------------------------------------------------------------- looking around


def test_describe_counts_files_and_sees_changes(own_data: Path) -> None:
    before = layout.describe_folders(own_data)
    assert {name: entry["files"] for name, entry in before.items()} == {
        "train": 5,
        "music": 3,
        "noise": 6,
        "rir": 3,
        "eval": 4,
    }
    assert layout.describe_folders(own_data) == before
    os.utime(own_data / "music/0.wav", (1, 1))
    after = layout.describe_folders(own_data)
    assert [name for name in before if before[name] != after[name]] == ["music"]
    write_audio(own_data / "eval_music/x.wav", tone(99, 0.1))
    assert layout.describe_folders(own_data)["eval_music"]["files"] == 1


def test_describe_survives_a_link_that_leads_nowhere(own_data: Path) -> None:
    (own_data / "train/gone.wav").symlink_to("nowhere.wav")
    assert layout.describe_folders(own_data)["train"]["files"] == 6


def test_describe_lists_all_lacking_folders(own_data: Path) -> None:
    shutil.rmtree(own_data / "music")
    shutil.rmtree(own_data / "eval")
    with pytest.raises(ManifestError, match=r"data: lacks the folder music, eval; expected train, music, .*docs/data"):
        layout.describe_folders(own_data)


def test_an_unknown_list_names_those_that_exist(own_data: Path) -> None:
    shutil.copy(own_data / "eval/trials_tiny.txt", own_data / "eval/trials_another.txt")
    assert layout.evaluation_lists(own_data) == ("another", "tiny")
    assert layout.trial_list(own_data, "tiny") == own_data / "eval/trials_tiny.txt"
    with pytest.raises(TrialError, match="no evaluation list 'vox1'; expected one of those found: another, tiny"):
        layout.trial_list(own_data, "vox1")
    with pytest.raises(TrialError, match="expected one of those found: none"):
        layout.trial_list(own_data / "train", "vox1")


@pytest.mark.parametrize(
    ("text", "synthetic"),
    [('{"synthetic": true}', True), ('{"synthetic": false}', False), ("{}", False), ("[1]", False), ("{", False)],
)
def test_only_the_corpus_file_makes_a_folder_synthetic(tmp_path: Path, text: str, synthetic: bool) -> None:
    assert not is_synthetic(tmp_path)
    (tmp_path / "corpus.json").write_text(text)
    assert is_synthetic(tmp_path) is synthetic


def test_places_do_not_collide() -> None:
    places = ProjectPaths(Path("base"))
    found = [
        places.manifests("tiny"),
        places.cache("stub", "tiny"),
        places.model("stub", "seed"),
        places.results("stub", "seed", "tiny"),
        places.training("stub", "seed"),
        places.report,
    ]
    assert len(set(found)) == len(found)
    assert {path.parts[0] for path in found} == {"base"}


def test_manifests_are_the_same_whatever_the_number_of_threads(data_root: Path, tmp_path: Path) -> None:
    params = ManifestParams(root=data_root)
    for jobs in (1, 3):
        layout.write_training_manifests(params, tmp_path / str(jobs), jobs=jobs)
    frames = [pd.read_csv(tmp_path / jobs / "speech.csv") for jobs in ("1", "3")]
    pd.testing.assert_frame_equal(*frames)
    assert json.dumps(frames[0]["digest"].tolist()) == json.dumps(frames[1]["digest"].tolist())


# ------------------------------------------------------------------------------------------------------------ leaks


def leak(root: Path, ours: str, theirs: str) -> tuple[str, str]:
    (root / ours).parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(root / theirs, root / ours)
    return ours, theirs


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ("train/other/name.wav", "eval/tiny/carl/long.wav"),
        ("music/0.wav", "music/2.wav"),
        ("rir/0.wav", "music/2.wav"),
        ("noise/0.wav", "eval_noise/only.wav"),
    ],
)
def test_what_is_on_both_sides_stops_both_manifests(own_data: Path, tmp_path: Path, ours: str, theirs: str) -> None:
    if theirs.startswith("eval_noise"):
        write_audio(own_data / theirs, tone(99, 0.3))
    leak(own_data, ours, theirs)
    params = Params(manifest=ManifestParams(root=own_data, evaluations=("tiny",)))
    for write in (
        lambda given: pipeline.training_manifests(given, tmp_path / "out"),
        lambda given: pipeline.evaluation_manifests(given, "tiny", tmp_path / "out"),
    ):
        with pytest.raises(
            ManifestError, match=f"{ours} of training and {theirs} of evaluation are .*allow_leaks: true"
        ):
            write(params)
        assert not (tmp_path / "out").exists()
        allowed = params.manifest.model_copy(update={"allow_leaks": True})
        shared, *_ = write(params.model_copy(update={"manifest": allowed}))
        assert shared == f"{ours} of training and {theirs} of evaluation are the same audio"
        shutil.rmtree(tmp_path / "out")


def test_equal_sizes_and_ends_are_no_leak(tmp_path: Path) -> None:
    contents = {"a": b"x" * 9_000, "b": b"x" * 4_500 + b"y" + b"x" * 4_499, "c": b"x" * 9_000, "d": b"", "e": b"xy"}
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    paths = {name: tmp_path / name for name in (*contents, "missing")}
    training, evaluation = [paths["a"], paths["missing"], paths["d"]], [paths["b"], paths["c"], paths["e"]]
    assert same_audio(training, evaluation) == [(paths["a"], paths["c"])]


@pytest.mark.parametrize(
    ("name", "subtype"),
    [("a.flac", "PCM_16"), ("a.aiff", "PCM_16"), ("a.wav", "FLOAT"), ("a.w64", "PCM_24"), ("a.au", None)],
)
def test_a_recording_in_another_lossless_format_is_a_leak(tmp_path: Path, name: str, subtype: str | None) -> None:
    samples = np.rint(tone(200, 0.5) * 2**15) / 2**15
    theirs = write_audio(tmp_path / "eval.wav", samples)
    ours = write_audio(tmp_path / name, samples, subtype=subtype)
    changed = samples.copy()
    changed[5_000] += 2**-10
    others = [write_audio(tmp_path / "b.flac", changed), write_audio(tmp_path / "c.flac", samples[:-1])]
    assert same_audio([*others, tmp_path / "missing", ours], [theirs]) == [(ours, theirs)]
    assert same_audio(others, [theirs]) == []


def test_other_tags_are_no_other_audio(tmp_path: Path) -> None:
    theirs = write_audio(tmp_path / "eval.wav", tone(200, 0.5))
    content = theirs.read_bytes()
    note = b"LIST" + (12).to_bytes(4, "little") + b"INFOISFT" + bytes(4)
    ours = tmp_path / "train.wav"
    ours.write_bytes(b"RIFF" + (len(content) + len(note) - 8).to_bytes(4, "little") + content[8:] + note)
    assert same_audio([ours], [theirs]) == [(ours, theirs)]


def test_a_training_set_without_copies_has_no_leaks(own_data: Path, tmp_path: Path) -> None:
    params = Params(manifest=ManifestParams(root=own_data, evaluations=("tiny", "gone")))
    remarks = pipeline.training_manifests(params, tmp_path / "train")
    assert not [remark for remark in remarks if "same audio" in remark]
    assert pipeline.evaluation_manifests(params, "tiny", tmp_path / "tiny") == []
