"""seedpipe.manifest: a table that survives moving, counts only what exists, and says which row is wrong."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
from conftest import tone, write_audio
from hypothesis import given, settings
from hypothesis import strategies as st

from seedpipe import audio, manifest
from seedpipe.errors import AudioError, ManifestError, TrialError
from seedpipe.manifest import COLUMNS, find_audio, list_files, list_trials, read_manifest, split, write_manifest
from seedpipe.trials import read_trials

NAMES = ("a/one take.wav", 'a/zwölf, "十二".wav', "b/NA.flac")


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    for number, name in enumerate(NAMES):
        write_audio(tmp_path / "corpus" / name, tone(100 + number, 0.25, 8_000), 8_000)
    return tmp_path / "corpus"


def table(corpus: Path) -> pd.DataFrame:
    return list_files(corpus, find_audio(corpus))[0]


# ------------------------------------------------------------------------------------------------------ round trip


def test_what_is_written_is_read(corpus: Path, tmp_path: Path) -> None:
    frame = table(corpus)
    write_manifest(frame, tmp_path / "deep/er/speech.csv")
    found = read_manifest(tmp_path / "deep/er/speech.csv")
    pd.testing.assert_frame_equal(found.frame, frame)
    assert list(found.frame) == list(COLUMNS)
    assert found.frame["utterance"].tolist() == sorted(NAMES)
    assert len(found) == 3
    assert found.seconds == pytest.approx(0.75)
    row = found.frame.iloc[0]
    assert (row["sample_rate"], row["bytes"]) == (8_000, Path(row["path"]).stat().st_size)
    assert audio.read_audio(Path(row["path"]), 8_000, row["digest"]).size == 2_000


def test_relative_paths_survive_moving_the_whole_folder(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_manifest(table(Path("corpus")), Path("lists/speech.csv"))
    text = Path("lists/speech.csv").read_text(encoding="utf-8")
    assert "../corpus/a/one take.wav" in text
    assert str(tmp_path) not in text
    (tmp_path / "elsewhere").mkdir()
    for part in ("corpus", "lists"):
        shutil.move(tmp_path / part, tmp_path / "elsewhere" / part)
    monkeypatch.chdir("/")
    found = read_manifest(tmp_path / "elsewhere/lists/speech.csv")
    assert all(Path(path).is_file() for path in found.frame["path"])
    assert not corpus.exists()


def test_absolute_paths_stay_absolute(corpus: Path, tmp_path: Path) -> None:
    write_manifest(table(corpus), tmp_path / "lists/speech.csv")
    assert str(corpus / NAMES[0]) in (tmp_path / "lists/speech.csv").read_text(encoding="utf-8")


def test_the_digest_knows_contents_and_not_places(corpus: Path, tmp_path: Path) -> None:
    def digest(folder: Path) -> str:
        write_manifest(table(folder), tmp_path / "speech.csv")
        return read_manifest(tmp_path / "speech.csv").digest()

    before = digest(corpus)
    copy = Path(shutil.copytree(corpus, tmp_path / "copy"))
    assert digest(copy) == before
    write_audio(copy / NAMES[0], tone(999, 0.25, 8_000), 8_000)
    assert digest(copy) != before
    shutil.copy(corpus / NAMES[0], copy / NAMES[0])
    assert digest(copy) == before
    (copy / NAMES[0]).rename(copy / "a/renamed.wav")
    assert digest(copy) != before


def test_a_failed_write_leaves_the_old_manifest(corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "speech.csv"
    write_manifest(table(corpus), path)
    before = path.read_bytes()

    def full_disk(*_: object, **__: object) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr("seedpipe.files.fsync", full_disk)
    with pytest.raises(OSError, match="no space left"):
        write_manifest(table(corpus).head(1), path)
    assert path.read_bytes() == before
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["corpus", "speech.csv"]


# ---------------------------------------------------------------------------------------------------------- folders


def test_hidden_files_and_other_files_are_not_seen(corpus: Path) -> None:
    for name in (".hidden.wav", "._one take.wav", ".cache/x.wav", "a/readme.txt", "a/wav", "a/b.wav.part"):
        (corpus / name).parent.mkdir(exist_ok=True)
        (corpus / name).write_bytes(b"")
    assert find_audio(corpus) == sorted(NAMES)
    (corpus / "C.WAV").write_bytes(b"")
    assert "C.WAV" in find_audio(corpus)


def test_links_are_followed(corpus: Path, tmp_path: Path) -> None:
    linked = tmp_path / "linked"
    linked.mkdir()
    (linked / "more").symlink_to(corpus / "a", target_is_directory=True)
    (linked / "one.flac").symlink_to(corpus / "b/NA.flac")
    assert find_audio(linked) == sorted(["more/one take.wav", 'more/zwölf, "十二".wav', "one.flac"])
    assert len(table(linked)) == 3


@pytest.mark.parametrize("target", [".", ".."])
def test_links_that_lead_back_are_not_followed(corpus: Path, target: str) -> None:
    (corpus / "a/loop").symlink_to(target, target_is_directory=True)
    assert find_audio(corpus) == sorted(NAMES)


def test_names_that_are_not_text_are_refused(corpus: Path) -> None:
    shutil.copy(corpus / NAMES[0], os.fsencode(corpus / "a") + b"/gr\xfc\xdfe.wav")
    with pytest.raises(ManifestError, match=r"corpus: holds a file whose name is not UTF-8: 'a/gr.udcfc.udcdfe\.wav'"):
        find_audio(corpus)


@pytest.mark.parametrize(("name", "found"), [("nowhere", "there is no such folder"), ("empty", "no audio files")])
def test_folders_without_audio_are_refused(tmp_path: Path, name: str, found: str) -> None:
    (tmp_path / "empty/sub").mkdir(parents=True)
    with pytest.raises(ManifestError, match=f"{name}: {found}; expected .*check the path"):
        find_audio(tmp_path / name)


def test_unreadable_files_fail_together(corpus: Path) -> None:
    (corpus / "a/bad.wav").write_text("x")
    with pytest.raises(AudioError, match=r"a/bad\.wav: is not readable audio"):
        table(corpus)
    (corpus / "b/missing.wav").symlink_to("gone.wav")
    with pytest.raises(AudioError, match=r"and 1 further bad files: .*a/bad\.wav, .*b/missing\.wav"):
        table(corpus)


def test_unreadable_files_are_listed_when_skipped(corpus: Path) -> None:
    (corpus / "a/bad.wav").write_text("x")
    soundfile.write(corpus / "b/header only.wav", np.zeros(0), 8_000)
    seen: list[tuple[int, int]] = []
    frame, bad = list_files(
        corpus, find_audio(corpus), jobs=2, skip_bad=True, progress=lambda done, total: seen.append((done, total))
    )
    assert frame["utterance"].tolist() == sorted(NAMES)
    assert [error.file for error in bad] == [corpus / "a/bad.wav", corpus / "b/header only.wav"]
    assert seen == [(number, 5) for number in range(1, 6)]


def test_nothing_readable_is_an_error_even_when_skipped(tmp_path: Path) -> None:
    (tmp_path / "bad.wav").write_text("x")
    with pytest.raises(ManifestError, match="no readable audio"):
        list_files(tmp_path, ["bad.wav"], skip_bad=True)


# ------------------------------------------------------------------------------------------------------- bad tables


def _set(column: str, value: object) -> Callable[[pd.DataFrame], pd.DataFrame]:
    def change(frame: pd.DataFrame) -> pd.DataFrame:
        values = frame[column].astype(object).tolist()
        return frame.assign(**{column: [values[0], value, *values[2:]]})

    return change


BAD = {
    "column": (lambda frame: frame.drop(columns=["digest", "bytes"]), 1, "lacks the column bytes, digest"),
    "no rows": (lambda frame: frame.head(0), None, "has no rows"),
    "duplicate": (_set("utterance", NAMES[0]), 3, f"repeats the utterance {NAMES[0]}"),
    "zero seconds": (_set("seconds", 0), 3, "seconds is "),
    "negative bytes": (_set("bytes", -4), 3, "bytes is "),
    "word": (_set("sample_rate", "16k"), 3, "sample_rate is '16k'; expected a positive number"),
    "empty number": (_set("seconds", ""), 3, "seconds is ''"),
    "no utterance": (_set("utterance", ""), 3, "lacks an utterance or a path"),
    "no path": (_set("path", ""), 3, "lacks an utterance or a path"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_tables_are_refused_with_the_row(corpus: Path, tmp_path: Path, case: str) -> None:
    change, row, found = BAD[case]
    path = tmp_path / "speech.csv"
    change(table(corpus)).to_csv(path, index=False)
    with pytest.raises(ManifestError) as caught:
        read_manifest(path)
    assert caught.value.row == row
    assert str(caught.value).startswith(f"{path}, row {row}: {found}" if row else f"{path}: {found}")


@pytest.mark.parametrize(
    ("contents", "found"),
    [
        (None, "cannot be read .*No such file"),
        (b"", r"cannot be read \(it is empty\)"),
        (b"\xff\xfe\x00", "cannot be read"),
        (b'a,"b\n', "cannot be read"),
        (b"utterance,path\nx,y,z\n", "rows have more columns than the header"),
    ],
)
def test_files_that_are_no_table_are_refused(tmp_path: Path, contents: bytes | None, found: str) -> None:
    path = tmp_path / "speech.csv"
    if contents is not None:
        path.write_bytes(contents)
    with pytest.raises(ManifestError, match=rf"speech\.csv(, row 2)?: {found}"):
        read_manifest(path)


def test_a_folder_is_no_table(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="cannot be read"):
        read_manifest(tmp_path)


# ------------------------------------------------------------------------------------------------------------ split


@given(
    names=st.sets(st.tuples(st.sampled_from(["", "a/", "a/b/", "c/"]), st.integers(0, 30)), min_size=1),
    share=st.floats(0.01, 0.99),
    order=st.randoms(use_true_random=False),
)
@settings(max_examples=100, deadline=None)
def test_split_is_disjoint_complete_and_deterministic(names: set[tuple[str, int]], share: float, order: object) -> None:
    files = sorted(f"{folder}{number:02d}.wav" for folder, number in names)
    training, evaluation = split(files, share)
    assert sorted(training + evaluation) == files
    shuffled = list(files)
    order.shuffle(shuffled)  # type: ignore[attr-defined]
    assert split(shuffled, share) == (training, evaluation)
    for folder in {name.rpartition("/")[0] for name in files}:
        here = [name for name in files if name.rpartition("/")[0] == folder]
        trained = [name for name in training if name.rpartition("/")[0] == folder]
        assert trained == here[: len(trained)], "evaluation has the last ones, so neighbouring takes stay together"
        assert trained
        assert len(trained) < len(here) or len(here) == 1


def test_split_keeps_the_share() -> None:
    training, evaluation = split([f"{number:03d}.wav" for number in range(90)], 1 / 3)
    assert (len(training), len(evaluation)) == (60, 30)


# ----------------------------------------------------------------------------------------------------------- trials


def test_trials_give_speakers(corpus: Path, tmp_path: Path) -> None:
    (corpus / NAMES[0]).rename(corpus / "a/1.wav")
    (corpus / NAMES[1]).rename(corpus / "a/2.wav")
    (tmp_path / "trials.txt").write_text("0 b/NA.flac a/1.wav\n1 a/2.wav a/1.wav\n")
    frame = list_trials(read_trials(tmp_path / "trials.txt"), corpus)
    assert frame["utterance"].tolist() == ["a/1.wav", "a/2.wav", "b/NA.flac"]
    assert frame["speaker"][0] == frame["speaker"][1] != frame["speaker"][2]


def test_missing_utterances_are_counted_and_the_first_line_is_named(corpus: Path, tmp_path: Path) -> None:
    lines = ["1 b/NA.flac b/NA.flac", *(f"0 b/NA.flac gone{number}.wav" for number in range(12))]
    (tmp_path / "trials.txt").write_text("\n".join(lines))
    with pytest.raises(TrialError) as caught:
        list_trials(read_trials(tmp_path / "trials.txt"), corpus)
    text = str(caught.value)
    assert text.startswith(f"{tmp_path / 'trials.txt'}, row 2: 12 of 13 utterances have no file under {corpus}")
    assert "gone0.wav, gone1.wav" in text
    assert "gone9.wav, ..." in text
    assert "gone10.wav" not in text


def test_bad_trial_audio_is_named(corpus: Path, tmp_path: Path) -> None:
    (corpus / "bad.wav").write_text("x")
    (tmp_path / "trials.txt").write_text("1 b/NA.flac b/NA.flac\n0 b/NA.flac bad.wav\n")
    with pytest.raises(AudioError, match=r"bad\.wav: is not readable audio"):
        manifest.list_trials(read_trials(tmp_path / "trials.txt"), corpus)
