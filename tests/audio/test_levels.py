"""Levels and channels: what is averaged, what is refused, and what is said of it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
from conftest import RATE, STUB, TINY_PARAMS, tone, write_audio, write_manifests
from typer.testing import CliRunner

from seedpipe import extract
from seedpipe.audio import Manifest, decode, find_audio, list_files, read_manifest, write_manifest
from seedpipe.audio.levels import LOUDEST
from seedpipe.audio.listing import other_files
from seedpipe.cli import app
from seedpipe.errors import AudioError, ManifestError
from seedpipe.params import Channel, MachineParams

LEFT, RIGHT = tone(200, 1), tone(330, 1, seed=1)


def pair(path: Path, left: np.ndarray, right: np.ndarray, subtype: str = "PCM_16") -> Path:
    return write_audio(path, np.stack([left, right], axis=1), subtype=subtype)


def listed(folder: Path, channel: Channel = "mean") -> Manifest:
    write_manifest(list_files(folder, find_audio(folder), channel=channel)[0], folder / "speech.csv")
    return read_manifest(folder / "speech.csv")


# ------------------------------------------------------------------------------------------------------------- levels


@pytest.mark.parametrize("function", [decode.probe, lambda path: decode.read_audio(path, RATE)], ids=["probe", "read"])
@pytest.mark.parametrize("scale", [32_768, 2**31, LOUDEST * 4])
@pytest.mark.parametrize(("name", "subtype"), [("a.wav", "FLOAT"), ("a.wav", "DOUBLE"), ("a.aiff", "FLOAT")])
def test_floating_point_at_another_scale_is_refused(
    tmp_path: Path, name: str, subtype: str, scale: float, function: object
) -> None:
    path = write_audio(tmp_path / name, LEFT * scale, subtype=subtype)
    with pytest.raises(AudioError, match=rf"{name}: has samples of up to .* above full scale.*divide them by 32,768"):
        function(path)


def test_floating_point_somewhat_beyond_full_scale_is_used_and_counted(tmp_path: Path) -> None:
    write_audio(tmp_path / "loud.wav", LEFT * 4, subtype="FLOAT")
    write_audio(tmp_path / "fine.wav", LEFT, subtype="FLOAT")
    write_audio(tmp_path / "clipped.wav", np.clip(LEFT * 20, -1, 1))
    np.testing.assert_array_equal(decode.read_audio(tmp_path / "loud.wav", RATE), LEFT * 4)
    (remark,) = listed(tmp_path).remarks("; advice")
    assert remark == "1 file reaches beyond full scale in floating point, used unchanged: loud.wav"


@pytest.mark.parametrize("peak", [2, 3, 4])
def test_whole_numbers_in_floating_point_are_at_the_scale_of_integers(tmp_path: Path, peak: int) -> None:
    quiet = np.rint(LEFT / np.abs(LEFT).max() * peak)
    path = write_audio(tmp_path / "quiet.wav", quiet, subtype="FLOAT")
    for function in (decode.probe, lambda path: decode.read_audio(path, RATE)):
        with pytest.raises(AudioError, match=f"has samples of up to {peak}, of whole numbers.*divide them by 32,768"):
            function(path)
    impulse = np.zeros(RATE)
    impulse[9] = 1.0
    assert decode.probe(write_audio(tmp_path / "impulse.wav", impulse, subtype="FLOAT")).remark == ""


@pytest.mark.parametrize(
    ("subtype", "gain", "remark"),
    [("PCM_32", 2**-16, "faint"), ("PCM_24", 2**-16, "faint"), ("FLOAT", 2**-16, "faint"), ("PCM_32", 0.01, "")],
)
def test_16_bits_in_a_file_of_32_are_counted(tmp_path: Path, subtype: str, gain: float, remark: str) -> None:
    write_audio(tmp_path / "a.wav", LEFT * gain, subtype=subtype)
    found = listed(tmp_path).remarks("; advice")
    assert len(found) == bool(remark)
    assert all(line.startswith("1 file stays below one step of 16 bits") for line in found)


def test_what_is_not_finite_is_called_so_and_not_loud(tmp_path: Path) -> None:
    wave = LEFT.copy()
    wave[7] = np.inf
    path = write_audio(tmp_path / "a.wav", wave, subtype="FLOAT")
    with pytest.raises(AudioError, match="1 sample is not finite"):
        decode.read_audio(path, RATE)
    assert decode.probe(path).frames == RATE


# ----------------------------------------------------------------------------------------------------------- channels


def test_one_channel_can_be_heard(tmp_path: Path) -> None:
    path = pair(tmp_path / "a.wav", LEFT, RIGHT, "FLOAT")
    np.testing.assert_allclose(decode.read_audio(path, RATE), (LEFT + RIGHT) / 2, atol=1e-7)
    for channel, wave in enumerate((LEFT, RIGHT)):
        np.testing.assert_array_equal(decode.read_audio(path, RATE, channel=channel), wave)
        np.testing.assert_array_equal(decode.read_audio(path, RATE, None, 900, 70, channel), wave[900:970])


@pytest.mark.parametrize(("channels", "expected"), [(1, "channel 0 alone"), (2, "0 to 1, or their mean")])
def test_a_channel_that_is_not_there_is_refused(tmp_path: Path, channels: int, expected: str) -> None:
    path = write_audio(tmp_path / "a.wav", np.repeat(LEFT[:, None], channels, 1))
    for function in (lambda: decode.read_audio(path, RATE, channel=2), lambda: decode.probe(path, 2)):
        with pytest.raises(AudioError, match=f"a.wav: has no channel 2; expected {expected}"):
            function()


@pytest.mark.parametrize("gain", [1, 0.9])
@pytest.mark.parametrize("name", ["a.wav", "a.flac"])
def test_channels_that_cancel_are_refused(tmp_path: Path, name: str, gain: float) -> None:
    path = pair(tmp_path / name, LEFT, -gain * LEFT)
    for function in (decode.probe, lambda path: decode.read_audio(path, RATE)):
        with pytest.raises(AudioError, match=f"{name}: its 2 channels cancel: their mean is .*channel 0"):
            function(path)
    assert decode.probe(path, 0).remark == ""
    np.testing.assert_allclose(decode.read_audio(path, RATE, channel=1), -gain * LEFT, atol=1e-4)


def test_channels_that_cancel_exactly_are_silence(tmp_path: Path) -> None:
    path = pair(tmp_path / "a.wav", LEFT[:300], -LEFT[:300], "FLOAT")
    with pytest.raises(AudioError, match="their mean is silence"):
        decode.read_audio(path, RATE)


DELAYED = np.concatenate([np.zeros(150, np.float32), 0.7 * LEFT[:-150]])
NOISE = np.random.default_rng(0).uniform(-0.2, 0.2, RATE).astype(np.float32)


@pytest.mark.parametrize(
    ("left", "right", "remark"),
    [
        (LEFT, LEFT, ""),
        (LEFT, 0.1 * LEFT, ""),
        (NOISE, np.roll(NOISE, 150), ""),
        (LEFT, RIGHT, "unrelated"),
        (NOISE, RIGHT, "unrelated"),
        (NOISE, NOISE[::-1], "unrelated"),
        (LEFT, 0 * LEFT, "one silent"),
        (0 * LEFT, LEFT, "one silent"),
        (NOISE, -0.5 * NOISE, "opposed"),
        (0 * LEFT, 0 * LEFT, ""),
    ],
)
def test_channels_that_do_not_belong_together_are_named(
    tmp_path: Path, left: np.ndarray, right: np.ndarray, remark: str
) -> None:
    path = pair(tmp_path / "call.wav", left, right)
    assert decode.probe(path).remark == remark
    assert decode.probe(path, 1).remark == ""
    lines = listed(tmp_path).remarks("; choose one")
    assert lines[0] == "1 file is the mean of 2 channels"
    assert [line.endswith(": call.wav; choose one") for line in lines[1:]] == [True] * bool(remark)


def test_long_and_coded_files_are_compared_as_well(tmp_path: Path) -> None:
    path = tmp_path / "a.mp3"
    soundfile.write(path, np.stack([np.tile(LEFT, 5), np.tile(RIGHT, 5)], axis=1), RATE)
    assert decode.probe(path).remark == "unrelated"


# ---------------------------------------------------------------------------------------------------------- manifests


def test_the_channel_decides_the_digest_only_where_it_is_chosen(tmp_path: Path) -> None:
    pair(tmp_path / "a.wav", LEFT, RIGHT)
    mean = listed(tmp_path)
    older = mean.frame.drop(columns=["channels", "channel", "remark"])
    older.to_csv(tmp_path / "older.csv", index=False)
    assert read_manifest(tmp_path / "older.csv").digest() == mean.digest()
    digests = {listed(tmp_path, channel).digest() for channel in (0, 1, "mean")}
    assert len(digests) == 3
    assert mean.digest() in digests
    assert listed(tmp_path, 1).averaged() == {}


@pytest.mark.parametrize("channel", ["left", "-1", "1.5", ""])
def test_a_channel_that_is_none_is_refused_with_its_row(tmp_path: Path, channel: str) -> None:
    write_audio(tmp_path / "a.wav", LEFT)
    frame = listed(tmp_path).frame.assign(channel=channel)
    write_manifest(frame, tmp_path / "wrong.csv")
    with pytest.raises(ManifestError, match=r"wrong\.csv, row 2: channel is"):
        read_manifest(tmp_path / "wrong.csv")


def test_a_cache_hears_the_channel_of_its_manifest_and_counts_means(own_data: Path, tmp_path: Path) -> None:
    pair(own_data / "train/anna/call.wav", LEFT, RIGHT, "FLOAT")
    write_manifests(own_data, tmp_path)
    table = pd.read_csv(tmp_path / "train/speech.csv", keep_default_na=False)
    calls = table[table["utterance"].str.endswith("call.wav")]
    assert calls["remark"].tolist() == ["unrelated"]

    def clean(channel: str) -> tuple[np.ndarray, extract.Cache]:
        write_manifest(calls.assign(channel=channel), tmp_path / "train/speech.csv")
        made = extract.extract(
            tmp_path / "train", STUB, tmp_path / f"cache{channel}", TINY_PARAMS, kind="training", machine=ONE_JOB
        )
        return extract.render(made, 0, "clean", tmp_path / "train")[0], made

    (mean, averaged), (left, chosen) = clean("mean"), clean("0")
    start = int(averaged.row(0, ("crop_start",))["crop_start"])
    np.testing.assert_array_equal(left, LEFT[start : start + left.size])
    assert not np.array_equal(mean, left)
    assert (averaged.info.averaged, chosen.info.averaged) == ({"2": 1}, {})
    assert averaged.info.fingerprint != chosen.info.fingerprint
    assert "averaged" not in json.loads((chosen.path / "manifest.json").read_text())
    assert "1 utterance is the mean of 2 channels" in extract.remarks(averaged.info)
    *_, named = extract.remarks(averaged.info, tmp_path / "train")
    assert named.startswith("1 file has channels without relation")


ONE_JOB = MachineParams(jobs=1, device="cpu")


def test_the_command_names_odd_channels_and_other_files(own_data: Path, tmp_path: Path) -> None:
    pair(own_data / "train/anna/call.wav", LEFT, RIGHT)
    (own_data / "train/anna/a.m4a").write_bytes(b"x")
    (own_data / "noise/licence.txt").write_text("x")
    result = CliRunner().invoke(app, ["manifest", str(own_data), str(tmp_path / "train")])
    assert result.exit_code == 0
    said = result.output.replace("\n", " ")
    told = "2 files have channels without relation, as the two sides of a call, and their mean is used: "
    assert f"{told}train/anna/call.wav, train/ben/48k.wav" in said
    assert "for their extensions: 1 .m4a" in said
    assert "for their extensions: 1 .txt" in said
    (own_data / "eval/tiny/carl/short.wav").rename(own_data / "eval/tiny/carl/short.m4a")
    lacking = CliRunner().invoke(app, ["manifest", str(own_data), str(tmp_path / "tiny"), "--list", "tiny"])
    assert "not looked at there, for their extensions: 1 .m4a" in lacking.output.replace("\n", " ")
    write = ["manifest", str(own_data), str(tmp_path / "one"), "--channel"]
    refused = CliRunner().invoke(app, [*write, "1"])
    assert "has no channel 1" in refused.output
    assert CliRunner().invoke(app, [*write, "0"]).exit_code == 0
    assert set(read_manifest(tmp_path / "one/speech.csv").frame["channel"]) == {"0"}
    assert set(read_manifest(tmp_path / "one/noise.csv").frame["channel"]) == {"mean"}
    assert CliRunner().invoke(app, [*write, "left"]).exit_code == 2


def test_other_files_are_counted_by_extension(tmp_path: Path) -> None:
    for name in ("a.M4A", "b.m4a", "c.txt", "README", ".hidden.txt"):
        (tmp_path / name).write_bytes(b"x")
    assert other_files(tmp_path) == "2 .m4a, 1 .txt, 1 without extension"
    with pytest.raises(ManifestError, match=r"no audio files among 2 \.m4a, .*convert them"):
        find_audio(tmp_path)
    write_audio(tmp_path / "d.wav", LEFT)
    assert find_audio(tmp_path) == ["d.wav"]


@pytest.mark.parametrize(
    ("name", "container", "subtype"),
    [
        ("a.sph", "NIST", "PCM_16"),
        ("a.SPH", "NIST", "ULAW"),
        ("a.au", "AU", "ULAW"),
        ("a.w64", "W64", "PCM_16"),
        ("a.aiff", "AIFF", "PCM_24"),
    ],
)
def test_rarer_extensions_are_listed(tmp_path: Path, name: str, container: str, subtype: str) -> None:
    soundfile.write(tmp_path / name, LEFT, RATE, subtype, format=container)
    assert find_audio(tmp_path) == [name]
    assert listed(tmp_path).frame["frames"].tolist() == [RATE]
