"""seedpipe.audio: what can be decoded sounds right, what cannot is refused by name."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
from conftest import RATE, tone, write_audio
from hypothesis import given, settings
from hypothesis import strategies as st

from seedpipe import audio
from seedpipe.errors import AudioError

Wave = Callable[[str, int], np.ndarray]


@pytest.fixture(scope="session")
def golden(shared: Path) -> dict[str, np.ndarray]:
    with np.load(shared / "golden/audio.npz") as arrays:
        return dict(arrays)


# ---------------------------------------------------------------------------------------------------------- crops


def _check_golden(crops: list[np.ndarray], golden: dict[str, np.ndarray], prefix: str) -> None:
    assert {part.size for part in crops} == {32_240}
    np.testing.assert_allclose([part[:8] for part in crops], golden[f"{prefix}_first8"], atol=1e-6)
    sums = [part.sum(dtype=np.float64) for part in crops]
    np.testing.assert_allclose(sums, golden[f"{prefix}_sum"], rtol=1e-5, atol=1e-4)


def test_ten_crops_are_the_golden_ones(golden: dict[str, np.ndarray], golden_wave: Wave) -> None:
    wave = golden_wave("wave.crop", 50_000)
    crops = [audio.crop(wave, start, 32_240) for start in audio.even_starts(wave.size, 32_240, 10)]
    _check_golden(crops, golden, "segments")


def test_short_audio_is_wrapped_as_the_golden_one(golden: dict[str, np.ndarray], golden_wave: Wave) -> None:
    wave = golden_wave("wave.crop", 9_000)
    starts = audio.even_starts(wave.size, 32_240, 10)
    assert starts == [0] * 10
    # The authors' loader fills short audio to 32,241 samples, so its last crop starts at 1. See even_starts.
    crops = [audio.crop(wave, start, 32_240) for start in [*starts[:9], 1]]
    _check_golden(crops, golden, "short_segments")


@given(length=st.integers(1, 300), start=st.integers(0, 299), samples=st.integers(1, 700), count=st.integers(1, 12))
@settings(max_examples=60, deadline=None)
def test_crops_wrap_around_and_even_starts_stay_inside(length: int, start: int, samples: int, count: int) -> None:
    wave = np.arange(length, dtype=np.float32)
    start %= length
    assert audio.crop(wave, start, samples).tolist() == [(start + i) % length for i in range(samples)]
    starts = audio.even_starts(length, samples, count)
    assert len(starts) == count
    assert starts == sorted(starts)
    assert starts[0] == 0
    assert starts[-1] == (max(0, length - samples) if count > 1 else 0)


# --------------------------------------------------------------------------------------------------------- formats


@pytest.mark.parametrize(
    ("name", "subtype", "tolerance"),
    [
        ("a.wav", "PCM_16", 1e-4),
        ("a.wav", "PCM_24", 1e-6),
        ("a.wav", "FLOAT", 0),
        ("a.flac", "PCM_16", 1e-4),
        ("a.aiff", "PCM_16", 1e-4),
        ("a.ogg", "VORBIS", 0.05),
        ("with spaces.wav", "PCM_16", 1e-4),
        ("zwölf-十二-🎙.wav", "PCM_16", 1e-4),
        ("DOS.WAV", "PCM_16", 1e-4),
    ],
)
def test_formats_give_back_what_was_written(tmp_path: Path, name: str, subtype: str, tolerance: float) -> None:
    wave = tone(200, 0.5)
    path = write_audio(tmp_path / name, wave, subtype=subtype)
    decoded = audio.read_audio(path, RATE, audio.probe(path).digest)
    assert decoded.dtype == np.float32
    np.testing.assert_allclose(decoded, wave, atol=tolerance)


def test_mp3_is_read(tmp_path: Path) -> None:
    path = write_audio(tmp_path / "a.mp3", tone(200, 0.5))
    assert abs(audio.read_audio(path, RATE).size - 8_000) <= 1_152


def test_contents_count_and_not_the_extension(tmp_path: Path) -> None:
    wave = tone(200, 0.2)
    write_audio(tmp_path / "a.flac", wave).rename(tmp_path / "a.wav")
    np.testing.assert_allclose(audio.read_audio(tmp_path / "a.wav", RATE), wave, atol=1e-4)


def test_channels_are_averaged(tmp_path: Path) -> None:
    left, right = tone(200, 0.2), tone(300, 0.2, seed=1)
    path = write_audio(tmp_path / "a.wav", np.stack([left, right], axis=1), subtype="FLOAT")
    np.testing.assert_allclose(audio.read_audio(path, RATE), (left + right) / 2, atol=1e-7)


@pytest.mark.parametrize("rate", [8_000, 11_025, 22_050, 44_100, 48_000])
def test_other_rates_are_resampled(tmp_path: Path, rate: int) -> None:
    time = np.arange(rate) / rate
    path = write_audio(tmp_path / "a.wav", (0.5 * np.sin(2 * np.pi * 1_000 * time)).astype(np.float32), rate)
    decoded = audio.read_audio(path, RATE)
    assert abs(decoded.size - RATE) <= 1
    spectrum = np.abs(np.fft.rfft(decoded, RATE))
    assert spectrum.argmax() == 1_000
    assert np.abs(decoded[1_000:-1_000]).max() == pytest.approx(0.5, abs=0.01)


def test_resampling_leaves_no_alias(tmp_path: Path) -> None:
    time = np.arange(48_000) / 48_000
    path = write_audio(tmp_path / "a.wav", (0.5 * np.sin(2 * np.pi * 15_000 * time)).astype(np.float32), 48_000)
    assert np.abs(audio.read_audio(path, RATE)[200:-200]).max() < 0.005


def test_probe_says_size_length_rate_and_digest(tmp_path: Path) -> None:
    path = write_audio(tmp_path / "a.wav", tone(200, 0.5, 8_000), 8_000)
    info = audio.probe(path)
    assert (info.bytes, info.frames, info.sample_rate) == (path.stat().st_size, 4_000, 8_000)
    other = write_audio(tmp_path / "b.wav", tone(201, 0.5, 8_000), 8_000)
    assert audio.probe(other).digest != info.digest
    assert audio.probe(Path(path.rename(tmp_path / "c.wav"))).digest == info.digest


# ---------------------------------------------------------------------------------------------------------- errors


def _flac(path: Path) -> bytearray:
    write_audio(path, tone(200, 0.5))
    return bytearray(path.read_bytes())


def _text(path: Path) -> None:
    path.write_text("this is no audio\n")


def _nothing(path: Path) -> None:
    path.write_bytes(b"")


def _header_only(path: Path) -> None:
    soundfile.write(path, np.zeros(0, np.float32), RATE)


def _half_a_header(path: Path) -> None:
    path.write_bytes(write_audio(path, tone(200, 0.1)).read_bytes()[:20])


def _missing(path: Path) -> None:
    assert not path.exists()


def _folder(path: Path) -> None:
    path.mkdir()


UNUSABLE = {
    "text": ("a.wav", _text, "is not readable audio (17 bytes"),
    "text called flac": ("a.flac", _text, "is not readable audio"),
    "zero bytes": ("a.wav", _nothing, "is not readable audio (0 bytes"),
    "zero bytes mp3": ("a.mp3", _nothing, "is not readable audio (0 bytes"),
    "header only": ("a.wav", _header_only, "holds no samples"),
    "half a header": ("a.wav", _half_a_header, "is not readable audio (20 bytes"),
    "missing": ("a.wav", _missing, "cannot be read (no such file or directory)"),
    "folder": ("a.wav", _folder, "cannot be read (is a directory)"),
}


@pytest.mark.parametrize("function", [audio.probe, lambda path: audio.read_audio(path, RATE)], ids=["probe", "read"])
@pytest.mark.parametrize("case", UNUSABLE)
def test_unusable_files_are_refused_by_name(tmp_path: Path, case: str, function: Callable[[Path], object]) -> None:
    name, make, found = UNUSABLE[case]
    path = tmp_path / name
    make(path)
    with pytest.raises(AudioError) as caught:
        function(path)
    assert str(caught.value).startswith(f"{path}: {found}")
    assert caught.value.file == path
    assert caught.value.remedy
    assert "0x" not in str(caught.value), "an address of a buffer differs from run to run"


@pytest.mark.parametrize("kept", [0.3, 0.9])
def test_a_truncated_flac_is_refused_and_not_shortened(tmp_path: Path, kept: float) -> None:
    path = tmp_path / "a.flac"
    data = _flac(path)
    path.write_bytes(data[: int(kept * len(data))])
    with pytest.raises(AudioError, match=r"a\.flac: is not readable audio .*convert it"):
        audio.read_audio(path, RATE)


@pytest.mark.parametrize("frames", [0, 2**36 - 1])
def test_a_flac_of_unknown_or_impossible_length_is_refused(tmp_path: Path, frames: int) -> None:
    path = tmp_path / "a.flac"
    data = _flac(path)
    data[21] = (data[21] & 0xF0) | frames >> 32  # the 36 bits of STREAMINFO that count the samples
    data[22:26] = struct.pack(">I", frames & 0xFFFFFFFF)
    path.write_bytes(data)
    for function in (audio.probe, lambda file: audio.read_audio(file, RATE)):
        with pytest.raises(AudioError, match=r"a\.flac: does not say how long it is.*write the file again"):
            function(path)


@pytest.mark.parametrize(("value", "count"), [(np.nan, 2), (np.inf, 2), (-np.inf, 2)])
def test_samples_that_are_not_finite_are_counted(tmp_path: Path, value: float, count: int) -> None:
    wave = tone(200, 0.2)
    wave[[5, 100]] = value
    path = write_audio(tmp_path / "a.wav", wave, subtype="FLOAT")
    with pytest.raises(AudioError, match=rf"a\.wav: {count} samples are not finite.*record it again"):
        audio.read_audio(path, RATE)


def test_a_changed_file_is_refused_with_both_digests(tmp_path: Path) -> None:
    path = write_audio(tmp_path / "a.wav", tone(200, 0.2))
    before = audio.probe(path).digest
    write_audio(path, tone(201, 0.2))
    with pytest.raises(AudioError, match="has changed since the manifest was written") as caught:
        audio.read_audio(path, RATE, before)
    assert before in str(caught.value)
    assert audio.probe(path).digest in str(caught.value)
    assert "write the manifest again" in str(caught.value)


@pytest.mark.parametrize("rate", [1, 44_101])
def test_rates_that_would_fill_the_memory_are_refused(tmp_path: Path, rate: int) -> None:
    path = write_audio(tmp_path / "a.wav", tone(1, 16_000 / rate, rate), rate)
    with pytest.raises(AudioError, match=rf"a\.wav: has {rate} frames per second.*resample the file"):
        audio.read_audio(path, RATE)


@given(data=st.data())
@settings(max_examples=80, deadline=None)
@pytest.mark.parametrize("name", ["a.wav", "a.flac", "a.ogg"])
def test_damaged_bytes_give_audio_or_an_audio_error(
    tmp_path_factory: pytest.TempPathFactory, name: str, data: st.DataObject
) -> None:
    path = write_audio(tmp_path_factory.mktemp("damaged") / name, tone(200, 0.1))
    damaged = bytearray(path.read_bytes())
    for place in data.draw(st.lists(st.integers(0, min(200, len(damaged) - 1)), max_size=3)):
        damaged[place] = data.draw(st.integers(0, 255))
    path.write_bytes(damaged[: data.draw(st.integers(0, len(damaged)))])
    refused = ""
    try:
        info, decoded = audio.probe(path), audio.read_audio(path, RATE)
    except AudioError as error:
        refused = str(error)
    if refused:
        assert refused.startswith(str(path))
    else:
        assert info.frames > 0
        assert decoded.size > 0
        assert np.isfinite(decoded).all()
