"""seedpipe.audio.manifest: a table that survives moving, counts only what exists, and says which row is wrong."""

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

from seedpipe.audio import decode, find_audio, list_files, read_manifest, segment, write_manifest
from seedpipe.audio.manifest import COLUMNS, DEFAULTS
from seedpipe.audio.split import recording_of, split_files
from seedpipe.errors import AudioError, ManifestError, TrialError
from seedpipe.scoring.trials import match_names, read_trials
from seedpipe.scoring.trials.manifest import clips_below, list_trials

NAMES = ("a/one take.wav", 'a/zwölf, "十二".wav', "b/NA.flac")


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    for number, name in enumerate(NAMES):
        write_audio(tmp_path / "corpus" / name, tone(100 + number, 0.25, 8_000), 8_000)
    return tmp_path / "corpus"


def table(corpus: Path) -> pd.DataFrame:
    return list_files(corpus, find_audio(corpus))[0]


def listed(path: Path, corpus: Path) -> pd.DataFrame:
    trials = read_trials(path)
    return list_trials(trials, clips_below(corpus, trials), corpus)


# ------------------------------------------------------------------------------------------------------ round trip


def test_what_is_written_is_read(corpus: Path, tmp_path: Path) -> None:
    frame = table(corpus)
    write_manifest(frame, tmp_path / "deep/er/speech.csv")
    found = read_manifest(tmp_path / "deep/er/speech.csv")
    pd.testing.assert_frame_equal(found.frame, frame)
    assert list(found.frame) == [*COLUMNS, *DEFAULTS]
    assert found.frame["utterance"].tolist() == sorted(NAMES)
    assert len(found) == 3
    assert found.seconds == pytest.approx(0.75)
    row = found.frame.iloc[0]
    assert (row["sample_rate"], row["bytes"]) == (8_000, Path(row["path"]).stat().st_size)
    assert (row["start_frame"], row["frames"]) == (0, 2_000)
    assert decode.read_audio(Path(row["path"]), 8_000, row["digest"]).size == 2_000


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


ODD_NAMES = (
    "-rf.wav",
    " spaces at both ends .wav",
    "two\nlines.wav",
    "a\rb.wav",
    "a\r\nb.wav",
    "tab\tand,comma.wav",
    "#1 'quoted' \"twice\".wav",
    "Zoe\u0308.wav",
    "nan.wav",
    "\u2028.wav",
    "sub\n/x.wav",
)


def test_odd_names_survive_the_table(tmp_path: Path) -> None:
    folder = tmp_path / "odd\nfolder"
    for number, name in enumerate(ODD_NAMES):
        write_audio(folder / name, tone(100 + number, 0.05))
    frame, _ = list_files(folder, find_audio(folder))
    write_manifest(frame, folder / "speech.csv")
    found = read_manifest(folder / "speech.csv")
    assert found.frame["utterance"].tolist() == sorted(ODD_NAMES)
    for path, digest in zip(found.frame["path"], found.frame["digest"], strict=True):
        assert decode.read_audio(Path(path), 16_000, digest).size == 800


def test_the_line_of_a_bad_row_counts_line_breaks_in_names(corpus: Path, tmp_path: Path) -> None:
    (corpus / NAMES[0]).rename(corpus / "a/0\n\n.wav")
    path = tmp_path / "speech.csv"
    write_manifest(table(corpus).assign(seconds=[1, 2, -3]), path)
    with pytest.raises(ManifestError) as caught:
        read_manifest(path)
    assert "-3" in path.read_text(encoding="utf-8").splitlines()[(caught.value.row or 0) - 1]
    assert caught.value.row == 8, "each of the two breaks stands in the utterance and in the path"
    path.write_text(path.read_text(encoding="utf-8").replace("\n", "\n\n", 1), encoding="utf-8")
    with pytest.raises(ManifestError, match="row 9"):  # an empty line is a line
        read_manifest(path)


def test_sample_rates_are_counted(corpus: Path, tmp_path: Path) -> None:
    write_audio(corpus / "c.wav", tone(99, 0.1, 48_000), 48_000)
    write_manifest(table(corpus), tmp_path / "speech.csv")
    assert read_manifest(tmp_path / "speech.csv").sample_rates() == {8_000: 3, 48_000: 1}


def test_a_failed_write_leaves_the_old_manifest(corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "speech.csv"
    write_manifest(table(corpus), path)
    before = path.read_bytes()

    def full_disk(*_: object, **__: object) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr("os.fsync", full_disk)
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


def test_links_that_lead_to_each_other_end(corpus: Path) -> None:
    (corpus / "a/to b").symlink_to("../b", target_is_directory=True)
    (corpus / "b/to a").symlink_to("../a", target_is_directory=True)
    takes = [name.removeprefix("a/") for name in NAMES[:2]]
    expected = [*NAMES, "a/to b/NA.flac", *(f"b/to a/{name}" for name in takes)]
    assert find_audio(corpus) == sorted(expected)


def test_a_folder_with_the_name_of_a_file_is_a_folder(corpus: Path) -> None:
    write_audio(corpus / "c.wav/1.wav", tone(99, 0.1))
    assert find_audio(corpus) == sorted([*NAMES, "c.wav/1.wav"])


def test_what_is_no_file_fails_or_is_skipped_by_name(corpus: Path) -> None:
    os.mkfifo(corpus / "a/pipe.wav")
    (corpus / "a/self.wav").symlink_to("self.wav")
    (corpus / "a/zero.wav").symlink_to("/dev/zero")
    _, bad = list_files(corpus, find_audio(corpus), skip_bad=True, jobs=2)
    assert [Path(str(error.file)).name for error in bad] == ["pipe.wav", "self.wav", "zero.wav"]
    assert all("cannot be read" in str(error) for error in bad)


def test_a_folder_that_cannot_be_listed_is_refused_and_not_left_out(
    corpus: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scandir = os.scandir

    def locked(folder: str) -> object:
        if os.fspath(folder).endswith("/b"):
            raise PermissionError(13, "Permission denied", folder)
        return scandir(folder)

    monkeypatch.setattr(os, "scandir", locked)  # root, who runs tests in containers, may list everything
    with pytest.raises(ManifestError, match=r"corpus/b: cannot be listed \(permission denied\).*check its rights"):
        find_audio(corpus)


def test_names_that_are_not_text_are_refused(corpus: Path) -> None:
    shutil.copy(corpus / NAMES[0], os.fsencode(corpus / "a") + b"/gr\xfc\xdfe.wav")
    with pytest.raises(ManifestError, match=r"corpus: holds a file whose name is not UTF-8: 'a/gr.udcfc.udcdfe\.wav'"):
        find_audio(corpus)


@pytest.mark.parametrize(("folder", "name"), [("d\udcff", "a.wav"), ("d", "\udcff.wav")])
def test_no_table_has_paths_that_are_not_text(folder: str, name: str) -> None:
    with pytest.raises(ManifestError, match=r"name is not UTF-8: .*; rename it"):
        list_files(folder, [name])


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
    with pytest.raises(AudioError, match=r"and 1 further bad file: .*a/bad\.wav, .*b/missing\.wav"):
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
    "NUL": (_set("utterance", "a\0"), 3, "holds NUL in a name"),
    "NUL in a speaker": (_set("speaker", "a\0"), 3, "holds NUL in a name"),
    "zero seconds": (_set("seconds", 0), 3, "seconds is "),
    "negative bytes": (_set("bytes", -4), 3, "bytes is "),
    "word": (_set("sample_rate", "16k"), 3, "sample_rate is '16k'; expected a positive number"),
    "empty number": (_set("seconds", ""), 3, "seconds is ''"),
    "negative start": (_set("start_frame", -1), 3, "start_frame is "),
    "half a frame": (_set("start_frame", 0.5), 3, "start_frame is 0.5; expected a whole number, at least 0"),
    "no frames": (_set("frames", 0), 3, "frames is 0; expected a whole number, at least 1"),
    "written before there were parts": (
        lambda frame: frame.drop(columns=["start_frame", "frames"]),
        1,
        "lacks the column start_frame, frames",
    ),
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
        (b"utterance,path,path\nx,y,z\n", "cannot be read .the column path stands twice"),
        (b'utterance,path\nx,"y\nz,"u\n', "cannot be read .its quotes are not those of a csv"),
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


# ------------------------------------------------------------------------------------------------------------- cut


def _frame(files: list[tuple[int, int]]) -> pd.DataFrame:
    rows = [
        (f"{number}.wav", f"/x/{number}.wav", 9, frames / rate, rate, 0, frames, "d", "s")
        for number, (rate, frames) in enumerate(files)
    ]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def test_long_files_become_segments() -> None:
    found = segment(_frame([(1_000, 24_999), (1_000, 25_000), (8_000, 119_999), (8_000, 120_000)]), 10)
    assert list(zip(found["utterance"], found["start_frame"], found["frames"], found["seconds"], strict=True)) == [
        ("0.wav#00000-10000", 0, 10_000, 10),
        ("0.wav#10000-24999", 10_000, 14_999, 14.999),
        ("1.wav#00000-10000", 0, 10_000, 10),
        ("1.wav#10000-20000", 10_000, 10_000, 10),
        ("1.wav#20000-25000", 20_000, 5_000, 5),
        ("2.wav", 0, 119_999, 14.999875),
        ("3.wav#00000-10000", 0, 80_000, 10),
        ("3.wav#10000-15000", 80_000, 40_000, 5),
    ]
    assert set(found["path"]) == {f"/x/{number}.wav" for number in range(4)}


@given(
    files=st.lists(st.tuples(st.sampled_from([8_000, 22_050, 48_000]), st.integers(1, 10**7)), min_size=1, max_size=4),
    seconds=st.floats(0.3, 500),
)
@settings(max_examples=80, deadline=None)
def test_segments_tile_their_files_and_have_names_that_sort(files: list[tuple[int, int]], seconds: float) -> None:
    found = segment(_frame(files), seconds)
    assert found["utterance"].is_unique
    for number, (rate, frames) in enumerate(files):
        rows = found[found["path"] == f"/x/{number}.wav"]
        starts, lengths = rows["start_frame"].tolist(), rows["frames"].tolist()
        assert starts == [0, *np.cumsum(lengths)[:-1].tolist()]
        assert sum(lengths) == frames
        assert rows["utterance"].is_monotonic_increasing
        step = round(seconds * rate)
        assert len(rows) == 1 or all(step <= 2 * length for length in lengths)
        assert all(length < 1.5 * step + 1 for length in lengths)
        assert len(rows) > 1 or rows["utterance"].tolist() == [f"{number}.wav"]


def test_nothing_is_cut_unless_asked() -> None:
    frame = _frame([(8_000, 10**9)])
    pd.testing.assert_frame_equal(segment(frame, 0), frame)


def test_segments_too_short_for_their_names_are_refused() -> None:
    with pytest.raises(ManifestError, match=r"segments of 0\.001 s are too short.*set manifest\.segment_seconds"):
        segment(_frame([(8_000, 10**5)]), 0.001)


def test_segments_are_read_as_they_are_listed(corpus: Path, tmp_path: Path) -> None:
    before = table(corpus)
    write_manifest(segment(before, 0.1), tmp_path / "speech.csv")
    found = read_manifest(tmp_path / "speech.csv")
    assert len(found) == 9, "a quarter of a second is two tenths and a rest of half a tenth"
    assert found.seconds == pytest.approx(0.75)
    for _, row in before.iterrows():
        parts = found.frame[found.frame["path"] == row["path"]]
        waves = [
            decode.read_audio(Path(part.path), 8_000, part.digest, part.start_frame, part.frames)
            for part in parts.itertuples()
        ]
        np.testing.assert_array_equal(np.concatenate(waves), decode.read_audio(Path(row["path"]), 8_000))


def test_the_digest_knows_the_borders(corpus: Path, tmp_path: Path) -> None:
    found = set()
    for seconds in (0, 0.1, 0.05):
        write_manifest(segment(table(corpus), seconds), tmp_path / "speech.csv")
        found.add(read_manifest(tmp_path / "speech.csv").digest())
    assert len(found) == 3


# ------------------------------------------------------------------------------------------------------------ split


@given(
    names=st.sets(st.tuples(st.sampled_from(["", "a/", "a/b/", "c/"]), st.integers(0, 30)), min_size=1),
    share=st.floats(0.01, 0.99),
    order=st.randoms(use_true_random=False),
)
@settings(max_examples=100, deadline=None)
def test_split_is_disjoint_complete_and_deterministic(names: set[tuple[str, int]], share: float, order: object) -> None:
    files = sorted(f"{folder}{number:02d}.wav" for folder, number in names)
    training, evaluation = split_files(files, share)
    assert sorted(training + evaluation) == files
    shuffled = list(files)
    order.shuffle(shuffled)  # type: ignore[attr-defined]
    assert split_files(shuffled, share) == (training, evaluation)
    for folder in {name.rpartition("/")[0] for name in files}:
        here = [name for name in files if name.rpartition("/")[0] == folder]
        trained = [name for name in training if name.rpartition("/")[0] == folder]
        assert trained == here[: len(trained)], "evaluation has the last ones, so neighbouring takes stay together"
        assert trained
        assert len(trained) < len(here) or len(here) == 1


def test_split_keeps_the_share() -> None:
    training, evaluation = split_files([f"{number:03d}.wav" for number in range(90)], 1 / 3)
    assert (len(training), len(evaluation)) == (60, 30)


@pytest.mark.parametrize(
    ("files", "pattern"),
    [
        (["esc/1-9-A", "esc/2-77945-A", "esc/2-77945-B", "esc/2-77945-C"], ""),
        (["noise/1-100032-A-0", "noise/1-100038-A-14", "noise/1-100038-B-14", "noise/1-100038-C-7"], ""),
        (["fold1/101-3-0-0", "fold1/102-3-0-0", "fold1/102-3-0-1", "fold1/102-3-1-4"], ""),
        ([f"noise/{place}/ch{number:02d}" for place in ("DKITCHEN", "NFIELD") for number in range(1, 9)], ""),
        ([f"rir/small/Room{room:03d}/Room{room:03d}-{n:05d}" for room in (1, 2) for n in range(5)], ""),
        (["noise/fair_take1", "noise/street_take1", "noise/street_take2", "noise/street_take3"], ""),
        (["noise/fair.CH1", "noise/street.CH1", "noise/street.CH2", "noise/street.CH3"], ""),
        (["noise/p-1", "noise/q-1", "noise/q-2", "noise/q-3"], r"(.*)-\d"),
        (["noise/a1", "noise/b1", "noise/a2", "noise/b2", "noise/a3"], r"/(\w)\d"),
    ],
)
@pytest.mark.parametrize("share", [0.05, 0.3, 0.5, 0.95])
def test_no_recording_is_on_both_sides(files: list[str], pattern: str, share: float) -> None:
    names = [f"{name}.wav" for name in files]
    sides = split_files(names, share, pattern)
    assert sorted(sides[0] + sides[1]) == sorted(names)
    assert all(sides)
    training, evaluation = ({recording_of(name, pattern) for name in side} for side in sides)
    assert not training & evaluation
    assert len(training | evaluation) == 2


@pytest.mark.parametrize(
    "names", [["noise/take1", "noise/take2"], ["noise/a-1", "noise/a-2"], ["noise/caves_1", "noise/caves_2"]]
)
def test_names_that_only_count_are_recordings_of_their_own(names: list[str]) -> None:
    files = [f"{name}.wav" for name in names]
    assert split_files(files, 1 / 3) == (files[:1], files[1:])


# ----------------------------------------------------------------------------------------------------------- trials


def test_trials_give_speakers(corpus: Path, tmp_path: Path) -> None:
    (corpus / NAMES[0]).rename(corpus / "a/1.wav")
    (corpus / NAMES[1]).rename(corpus / "a/2.wav")
    (tmp_path / "trials.txt").write_text("0 b/NA.flac a/1.wav\n1 a/2.wav a/1.wav\n")
    frame = listed(tmp_path / "trials.txt", corpus)
    assert frame["utterance"].tolist() == ["a/1.wav", "a/2.wav", "b/NA.flac"]
    assert frame["speaker"][0] == frame["speaker"][1] != frame["speaker"][2]


def test_names_of_a_list_find_their_files_as_in_scoring(corpus: Path, tmp_path: Path) -> None:
    (corpus / NAMES[0]).rename(corpus / "a/1.wav")
    (corpus / NAMES[1]).rename(corpus / "a/ä.wav")
    (tmp_path / "trials.txt").write_text("0 b-NA a-1\n1 a-a\u0308 a-1\n", encoding="utf-8")
    trials = read_trials(tmp_path / "trials.txt")
    frame = list_trials(trials, clips_below(corpus, trials), corpus)
    assert frame["utterance"].tolist() == ["a/1.wav", "a/ä.wav", "b/NA.flac"]
    assert frame["speaker"][0] == frame["speaker"][1] != frame["speaker"][2]
    assert match_names(trials.utterances, frame["utterance"].tolist()).rows.tolist() == [2, 0, 1]


def test_speakers_that_a_list_does_not_tell_are_left_empty(corpus: Path, tmp_path: Path) -> None:
    for number, name in enumerate(NAMES[:2], start=1):
        (corpus / name).rename(corpus / f"a/{number}.wav")
    (tmp_path / "trials.txt").write_text("1 a/1.wav a/2.wav\n1 a/2.wav b/NA.flac\n0 a/1.wav b/NA.flac\n")
    assert set(listed(tmp_path / "trials.txt", corpus)["speaker"]) == {""}


def test_missing_utterances_are_counted_and_the_first_line_is_named(corpus: Path, tmp_path: Path) -> None:
    lines = ["1 b/NA.flac b/NA.flac", *(f"0 b/NA.flac gone{number}.wav" for number in range(12))]
    (tmp_path / "trials.txt").write_text("\n".join(lines))
    with pytest.raises(TrialError) as caught:
        listed(tmp_path / "trials.txt", corpus)
    text = str(caught.value)
    assert text.startswith(f"{tmp_path / 'trials.txt'}, row 2: 12 of 13 utterances have no file under {corpus}")
    assert "gone0.wav, gone1.wav" in text
    assert "gone9.wav, ..." in text
    assert "gone10.wav" not in text


def test_bad_trial_audio_is_named(corpus: Path, tmp_path: Path) -> None:
    (corpus / "bad.wav").write_text("x")
    (tmp_path / "trials.txt").write_text("1 b/NA.flac b/NA.flac\n0 b/NA.flac bad.wav\n")
    with pytest.raises(AudioError, match=r"bad\.wav: is not readable audio"):
        listed(tmp_path / "trials.txt", corpus)
