"""seedpipe.audio.decode: what can be decoded sounds right, what cannot is refused by name."""

from __future__ import annotations

import hashlib
import itertools
import os
import struct
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile
from conftest import RATE, tone, write_audio
from hypothesis import given, settings
from hypothesis import strategies as st

from seedpipe.audio import decode
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
    crops = [decode.crop(wave, start, 32_240) for start in decode.even_starts(wave.size, 32_240, 10)]
    _check_golden(crops, golden, "segments")


def test_short_audio_is_wrapped_as_the_golden_one(golden: dict[str, np.ndarray], golden_wave: Wave) -> None:
    wave = golden_wave("wave.crop", 9_000)
    assert decode.even_starts(wave.size, 32_240, 10) == [0] * 10
    starts = decode.even_starts(wave.size, 32_240, 10, official=True)
    _check_golden([decode.crop(wave, start, 32_240) for start in starts], golden, "short_segments")


@given(length=st.integers(1, 300), start=st.integers(0, 299), samples=st.integers(1, 700), count=st.integers(1, 12))
@settings(max_examples=60, deadline=None)
def test_crops_wrap_around_and_even_starts_stay_inside(length: int, start: int, samples: int, count: int) -> None:
    wave = np.arange(length, dtype=np.float32)
    start %= length
    assert decode.crop(wave, start, samples).tolist() == [(start + i) % length for i in range(samples)]
    starts = decode.even_starts(length, samples, count)
    assert len(starts) == count
    assert starts == sorted(starts)
    assert starts[0] == 0
    assert starts[-1] == (max(0, length - samples) if count > 1 else 0)


# --------------------------------------------------------------------------------------------------------- formats


@pytest.mark.parametrize(
    ("name", "subtype", "tolerance"),
    [
        ("a.wav", "PCM_U8", 0.01),
        ("a.wav", "PCM_16", 1e-4),
        ("a.wav", "PCM_24", 1e-6),
        ("a.wav", "PCM_32", 1e-7),
        ("a.wav", "FLOAT", 0),
        ("a.wav", "DOUBLE", 0),
        ("a.flac", "PCM_16", 1e-4),
        ("a.aiff", "PCM_16", 1e-4),
        ("a.flac", "PCM_24", 1e-6),
        ("a.ogg", "VORBIS", 0.05),
        ("with spaces.wav", "PCM_16", 1e-4),
        ("zwölf-十二-🎙.wav", "PCM_16", 1e-4),
        ("-rf.wav", "PCM_16", 1e-4),
        ("two\nlines.wav", "PCM_16", 1e-4),
        ("Zoe\u0308.wav", "PCM_16", 1e-4),
        ("Zo\u00eb.wav", "PCM_16", 1e-4),
        ("DOS.WAV", "PCM_16", 1e-4),
    ],
)
def test_formats_give_back_what_was_written(tmp_path: Path, name: str, subtype: str, tolerance: float) -> None:
    wave = tone(200, 0.5)
    path = write_audio(tmp_path / name, wave, subtype=subtype)
    decoded = decode.read_audio(path, RATE, decode.probe(path).digest)
    assert decoded.dtype == np.float32
    np.testing.assert_allclose(decoded, wave, atol=tolerance)


@pytest.mark.parametrize(("container", "subtype"), [("WAVEX", "PCM_24"), ("RF64", "PCM_16"), ("NIST", "PCM_16")])
def test_the_rarer_containers_of_wav_are_read(tmp_path: Path, container: str, subtype: str) -> None:
    wave = tone(200, 0.5)
    soundfile.write(tmp_path / "a.wav", wave, RATE, subtype, format=container)
    np.testing.assert_allclose(decode.read_audio(tmp_path / "a.wav", RATE), wave, atol=1e-4)


@pytest.mark.parametrize("rate", [16_000, 48_000])
def test_opus_is_read(tmp_path: Path, rate: int) -> None:
    wave = tone(200, 0.5, rate)
    soundfile.write(tmp_path / "a.opus", wave, rate, "OPUS", format="OGG")
    decoded = decode.read_audio(tmp_path / "a.opus", rate)
    assert decoded.size == wave.size
    assert np.corrcoef(decoded, wave)[0, 1] > 0.98


def test_mp3_is_read(tmp_path: Path) -> None:
    path = write_audio(tmp_path / "a.mp3", tone(200, 0.5))
    assert abs(decode.read_audio(path, RATE).size - 8_000) <= 1_152


def test_contents_count_and_not_the_extension(tmp_path: Path) -> None:
    wave = tone(200, 0.2)
    write_audio(tmp_path / "a.flac", wave).rename(tmp_path / "a.wav")
    np.testing.assert_allclose(decode.read_audio(tmp_path / "a.wav", RATE), wave, atol=1e-4)


def test_channels_are_averaged(tmp_path: Path) -> None:
    left, right = tone(200, 0.2), tone(300, 0.2, seed=1)
    path = write_audio(tmp_path / "a.wav", np.stack([left, right], axis=1), subtype="FLOAT")
    np.testing.assert_allclose(decode.read_audio(path, RATE), (left + right) / 2, atol=1e-7)


@pytest.mark.parametrize("name", ["a.wav", "a.flac", "a.aiff"])
def test_six_channels_are_averaged(tmp_path: Path, name: str) -> None:
    channels = np.stack([tone(100 * number, 0.5, 48_000, number) for number in range(1, 7)], axis=1)
    decoded = decode.read_audio(write_audio(tmp_path / name, channels, 48_000), 48_000)
    np.testing.assert_allclose(decoded, channels.mean(axis=1), atol=1e-4)


@pytest.mark.parametrize("rate", [8_000, 11_025, 22_050, 24_000, 44_100, 48_000])
def test_other_rates_are_resampled(tmp_path: Path, rate: int) -> None:
    time = np.arange(rate) / rate
    path = write_audio(tmp_path / "a.wav", (0.5 * np.sin(2 * np.pi * 1_000 * time)).astype(np.float32), rate)
    decoded = decode.read_audio(path, RATE)
    assert abs(decoded.size - RATE) <= 1
    spectrum = np.abs(np.fft.rfft(decoded, RATE))
    assert spectrum.argmax() == 1_000
    assert np.abs(decoded[1_000:-1_000]).max() == pytest.approx(0.5, abs=0.01)


@pytest.mark.parametrize(("rate", "hertz"), [(22_050, 10_500), (24_000, 11_000), (44_100, 12_000), (48_000, 15_000)])
def test_resampling_leaves_no_alias(tmp_path: Path, rate: int, hertz: int) -> None:
    time = np.arange(rate) / rate
    path = write_audio(tmp_path / "a.wav", (0.5 * np.sin(2 * np.pi * hertz * time)).astype(np.float32), rate)
    assert np.abs(decode.read_audio(path, RATE)[200:-200]).max() < 0.005


def test_probe_says_size_length_rate_and_digest(tmp_path: Path) -> None:
    path = write_audio(tmp_path / "a.wav", tone(200, 0.5, 8_000), 8_000)
    info = decode.probe(path)
    assert (info.bytes, info.frames, info.sample_rate) == (path.stat().st_size, 4_000, 8_000)
    other = write_audio(tmp_path / "b.wav", tone(201, 0.5, 8_000), 8_000)
    assert decode.probe(other).digest != info.digest
    assert decode.probe(Path(path.rename(tmp_path / "c.wav"))).digest == info.digest


# ----------------------------------------------------------------------------------------------------------- parts

PARTS = [
    ("WAV", "PCM_16", 16_000, 1),
    ("WAV", "PCM_24", 48_000, 2),
    ("WAV", "IMA_ADPCM", 16_000, 1),
    ("WAV", "GSM610", 8_000, 1),
    ("RF64", "FLOAT", 44_100, 2),
    ("AIFF", "PCM_16", 16_000, 1),
    ("FLAC", "PCM_16", 44_100, 2),
    ("OGG", "VORBIS", 44_100, 2),
    ("OGG", "OPUS", 48_000, 1),
    ("MP3", "MPEG_LAYER_III", 44_100, 2),
    ("MP3", "MPEG_LAYER_III", 16_000, 1),
    ("NIST", "PCM_16", 16_000, 1),
]


@pytest.mark.parametrize(("container", "subtype", "rate", "channels"), PARTS)
def test_parts_in_any_order_are_those_of_a_straight_decode(
    tmp_path: Path, container: str, subtype: str, rate: int, channels: int
) -> None:
    path = tmp_path / "a.audio"
    generator = np.random.default_rng(0)
    wave = tone(200, 8, rate)[:, None] + 0.1 * generator.standard_normal((8 * rate, channels))
    soundfile.write(path, wave, rate, subtype, format=container)
    whole, _ = soundfile.read(path, dtype="float32", always_2d=True)
    mono = decode.read_audio(path, rate)
    np.testing.assert_allclose(mono, whole.mean(axis=1), atol=2e-7)  # it seeks, after which MP3 rounds otherwise
    digest = decode.probe(path).digest
    borders = [0, 1, rate, 3 * rate + 7, 3 * rate + 8, len(mono)]
    inside = [(int(start), int(generator.integers(1, rate))) for start in generator.integers(0, 7 * rate, 30)]
    for start, frames in [*((a, b - a) for a, b in itertools.pairwise(borders)), *inside]:
        part = decode.read_audio(path, rate, digest, start, frames)
        np.testing.assert_array_equal(part, mono[start : start + frames])
    np.testing.assert_array_equal(decode.read_audio(path, rate, digest, 2 * rate), mono[2 * rate :])


def test_parts_of_mp3_in_a_wav_file_are_those_of_a_straight_decode(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    wave = tone(200, 3, 44_100)
    soundfile.write(path, wave, 44_100, format="MP3")
    data = path.read_bytes()
    layout = struct.pack("<HHIIHHHHIHHH", 0x55, 1, 44_100, 16_000, 1, 0, 12, 1, 2, 417, 1, 1_393)
    chunks = ((b"fmt ", layout), (b"fact", struct.pack("<I", wave.size)), (b"data", data + bytes(len(data) % 2)))
    body = b"WAVE" + b"".join(name + struct.pack("<I", len(chunk)) + chunk for name, chunk in chunks)
    path.write_bytes(b"RIFF" + struct.pack("<I", len(body)) + body)
    whole = decode.read_audio(path, 44_100)
    assert np.corrcoef(whole, wave)[0, 1] > 0.99
    for start in (0, 70_000, 5, 100_000):
        np.testing.assert_array_equal(decode.read_audio(path, 44_100, None, start, 9_000), whole[start : start + 9_000])


def test_a_part_is_resampled_on_its_own(tmp_path: Path) -> None:
    wave = tone(200, 3, 48_000)
    path = write_audio(tmp_path / "long.wav", wave, 48_000, "FLOAT")
    part = write_audio(tmp_path / "part.wav", wave[48_000:96_000], 48_000, "FLOAT")
    decoded = decode.read_audio(path, RATE, None, 48_000, 48_000)
    np.testing.assert_array_equal(decoded, decode.read_audio(part, RATE))


@pytest.mark.parametrize(("start", "frames"), [(0, 8_001), (7_999, 2), (8_000, None), (9_000, None), (9_000, 1)])
@pytest.mark.parametrize("name", ["a.wav", "a.flac", "a.ogg", "a.mp3"])
def test_a_part_beyond_the_end_is_refused(tmp_path: Path, name: str, start: int, frames: int | None) -> None:
    path = write_audio(tmp_path / name, tone(200, 0.5))
    promised = max(start + 1, start + (frames or 0))
    with pytest.raises(AudioError, match=rf"{name}: ends after 8,000 of {promised:,} frames"):
        decode.read_audio(path, RATE, None, start, frames)


@pytest.mark.parametrize("name", ["a.flac", "a.mp3"])
def test_a_file_is_hashed_once_for_all_of_its_segments(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_audio(tmp_path / name, tone(200, 4))
    other = write_audio(tmp_path / "noise.wav", tone(300, 0.5))
    digests = {file: decode.probe(file).digest for file in (path, other)}
    hashed = []
    blake2b = hashlib.blake2b
    monkeypatch.setattr(hashlib, "blake2b", lambda **options: hashed.append(1) or blake2b(**options))
    for start in [*range(0, 60_000, 4_000), 8_000]:
        decode.read_audio(path, RATE, digests[path], start, 4_000)
        decode.read_audio(other, RATE, digests[other])
    assert len(hashed) == 2


def test_a_file_that_changes_between_two_segments_is_refused(tmp_path: Path) -> None:
    path = write_audio(tmp_path / "a.wav", tone(200, 1))
    digest = decode.probe(path).digest
    assert decode.read_audio(path, RATE, digest, 0, 100).size == 100
    write_audio(path, tone(201, 1))
    os.utime(path, ns=(1, 1))
    with pytest.raises(AudioError, match="has changed since the manifest was written"):
        decode.read_audio(path, RATE, digest, 100, 100)


def test_a_forked_process_does_not_share_the_place_in_a_file(tmp_path: Path) -> None:
    wave = tone(200, 4)
    path = write_audio(tmp_path / "a.ogg", wave)
    whole = decode.read_audio(path, RATE)
    decode.read_audio(path, RATE, None, 0, 100)
    child = os.fork()
    if child == 0:
        part = decode.read_audio(path, RATE, None, 20_000, 30_000)
        os._exit(0 if np.array_equal(part, whole[20_000:50_000]) else 1)
    assert os.waitpid(child, 0)[1] == 0
    np.testing.assert_array_equal(decode.read_audio(path, RATE, None, 100, 50_000), whole[100:50_100])


def test_memory_is_that_of_the_part_and_of_one_channel(tmp_path: Path) -> None:
    frames = 40 * 48_000
    path = write_audio(tmp_path / "a.wav", np.zeros((frames, 2), np.float32), 48_000)
    digest = decode.probe(path).digest

    def peak(start: int, count: int) -> int:
        tracemalloc.start()
        assert decode.read_audio(path, 48_000, digest, start, count).size == count
        held = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return held

    assert peak(0, frames) < 6 * frames, "4 bytes for each frame, one for whether it is finite; both channels were 8"
    assert peak(frames // 2, 4_800) < 500_000


def test_the_end_of_five_hours_is_read_without_the_rest(tmp_path: Path) -> None:
    path, rate, hour = tmp_path / "a.flac", 8_000, 3_600 * 8_000
    last = tone(200, 20, rate)
    with soundfile.SoundFile(path, "w", rate, 1) as file:
        for _ in range(5):
            file.write(np.zeros(hour - 32_000, np.int16))
        file.write(last)
    info = decode.probe(path)
    assert info.frames == 5 * (hour - 32_000) + last.size
    tracemalloc.start()
    decoded = decode.read_audio(path, rate, info.digest, info.frames - last.size, last.size)
    assert tracemalloc.get_traced_memory()[1] < 4_000_000
    tracemalloc.stop()
    np.testing.assert_allclose(decoded, last, atol=1e-4)


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
    "broken link": ("a.wav", lambda path: path.symlink_to("gone.wav"), "cannot be read (no such file or directory)"),
    "link to itself": ("a.wav", lambda path: path.symlink_to("a.wav"), "cannot be read (too many levels of symbolic"),
    "pipe": ("a.wav", os.mkfifo, "cannot be read (is a pipe and not a file)"),
    "device": ("a.wav", lambda path: path.symlink_to("/dev/zero"), "cannot be read (is a device and not a file)"),
}


@pytest.mark.parametrize("function", [decode.probe, lambda path: decode.read_audio(path, RATE)], ids=["probe", "read"])
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


# (container, subtype, frames per second): long enough for several pages, blocks and frames
CUT = [
    ("WAV", "PCM_16", 16_000),
    ("WAVEX", "PCM_24", 48_000),
    ("RF64", "PCM_16", 16_000),
    ("AIFF", "PCM_16", 16_000),
    ("NIST", "PCM_16", 16_000),
    ("FLAC", "PCM_16", 16_000),
    ("OGG", "VORBIS", 16_000),
    ("OGG", "OPUS", 16_000),
    ("MP3", "MPEG_LAYER_III", 16_000),
]


@pytest.mark.parametrize("kept", [0.04, 0.35, 0.6, 0.97])
@pytest.mark.parametrize(("container", "subtype", "rate"), CUT)
def test_a_truncated_file_is_refused_and_never_shortened(
    tmp_path: Path, container: str, subtype: str, rate: int, kept: float
) -> None:
    path = tmp_path / "a.audio"
    wave = tone(200, 6, rate)
    soundfile.write(path, wave, rate, subtype, format=container)
    path.write_bytes(path.read_bytes()[: int(kept * path.stat().st_size)])
    with pytest.raises(AudioError, match=r"a\.audio: (ends after [\d,]+ |is not readable audio)") as caught:
        decode.read_audio(path, RATE)
    assert "extract.on_bad_audio: skip" in caught.value.remedy
    words = caught.value.found.split()
    if words[3:4] == ["of"]:
        assert words[4] == f"{wave.size:,}"
    if words[0] == "ends":
        assert (
            abs(int(words[2].replace(",", "")) - kept * wave.size)
            < (0.05 if container != "OGG" else 0.4) * wave.size + 4_096
        )


def test_a_flac_of_impossible_length_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.flac"
    data = _flac(path)
    data[21] |= 0x0F  # the 36 bits of STREAMINFO that count the samples
    data[22:26] = b"\xff" * 4
    path.write_bytes(data)
    for function in (decode.probe, lambda file: decode.read_audio(file, RATE)):
        with pytest.raises(AudioError, match=r"a\.flac: ends after 8,000 of 68,719,476,735 frames"):
            function(path)


@pytest.fixture
def nobody(tmp_path: Path) -> Iterator[Path]:
    """A folder whose ``a.wav`` may not be read, without the rights of root, which may read everything."""
    (tmp_path / "a.wav").touch(mode=0)
    user = os.geteuid()
    if user == 0:
        os.seteuid(65_534)
    yield tmp_path
    os.seteuid(user)


def test_a_file_without_permission_is_refused(nobody: Path) -> None:
    path = nobody / "a.wav"
    with pytest.raises(AudioError, match=r"a\.wav: cannot be read \(permission denied\).*check the path"):
        decode.probe(path)


@pytest.mark.parametrize(
    "wave",
    [
        np.full(1, 0.5),
        np.zeros(1_000),
        np.clip(20 * tone(200, 0.2), -1, 1),
        np.full(1_000, 0.25),
    ],
    ids=["one sample", "silence", "clipped", "constant"],
)
@pytest.mark.parametrize("name", ["a.wav", "a.flac", "a.ogg"])
def test_odd_but_sound_audio_is_used(tmp_path: Path, name: str, wave: np.ndarray) -> None:
    path = write_audio(tmp_path / name, wave)
    info = decode.probe(path)
    decoded = decode.read_audio(path, RATE, info.digest)
    assert decoded.size == info.frames == wave.size
    assert np.sqrt(np.mean(np.square(decoded - wave))) < (0.1 if name == "a.ogg" else 1e-4)


@pytest.mark.parametrize(("value", "count"), [(np.nan, 2), (np.inf, 2), (-np.inf, 2)])
def test_samples_that_are_not_finite_are_counted(tmp_path: Path, value: float, count: int) -> None:
    wave = tone(200, 0.2)
    wave[[5, 100]] = value
    path = write_audio(tmp_path / "a.wav", wave, subtype="FLOAT")
    with pytest.raises(AudioError, match=rf"a\.wav: {count} samples are not finite.*record it again"):
        decode.read_audio(path, RATE)


def test_a_changed_file_is_refused_with_both_digests(tmp_path: Path) -> None:
    path = write_audio(tmp_path / "a.wav", tone(200, 0.2))
    before = decode.probe(path).digest
    write_audio(path, tone(201, 0.2))
    with pytest.raises(AudioError, match="has changed since the manifest was written") as caught:
        decode.read_audio(path, RATE, before)
    assert before in str(caught.value)
    assert decode.probe(path).digest in str(caught.value)
    assert "write the manifest again" in str(caught.value)


def test_a_file_replaced_by_something_else_has_changed(tmp_path: Path) -> None:
    path = write_audio(tmp_path / "a.wav", tone(200, 0.2))
    digest = decode.probe(path).digest
    path.write_text("this is no audio\n")
    with pytest.raises(AudioError, match="has changed since the manifest was written"):
        decode.read_audio(path, RATE, digest)


@pytest.mark.parametrize("make", [_text, _header_only, _half_a_header])
def test_bad_files_leave_nothing_open(tmp_path: Path, make: Callable[[Path], None]) -> None:
    make(tmp_path / "a.wav")
    write_audio(tmp_path / "b.wav", tone(200, 0.2))
    errors, before = [], len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(20):
        for function in (decode.probe, lambda path: decode.read_audio(path, RATE)):
            with pytest.raises(AudioError) as caught:
                function(tmp_path / "a.wav")
            errors.append(caught.value)
            function(tmp_path / "b.wav")
    assert len(errors) == 40
    assert len(list(Path("/proc/self/fd").iterdir())) == before


@pytest.mark.parametrize("rate", [1, 44_101])
def test_rates_that_would_fill_the_memory_are_refused(tmp_path: Path, rate: int) -> None:
    path = write_audio(tmp_path / "a.wav", tone(1, 16_000 / rate, rate), rate)
    with pytest.raises(AudioError, match=rf"a\.wav: has {rate} frames per second.*resample the file"):
        decode.read_audio(path, RATE)


@given(data=st.data())
@settings(max_examples=80, deadline=None)
@pytest.mark.parametrize("name", ["a.wav", "a.flac", "a.ogg", "a.mp3", "a.aiff", "a.au", "a.w64"])
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
        info, decoded = decode.probe(path), decode.read_audio(path, RATE)
    except AudioError as error:
        refused = str(error)
    if refused:
        assert refused.startswith(str(path))
    else:
        assert info.frames > 0
        assert decoded.size > 0
        assert np.isfinite(decoded).all()
