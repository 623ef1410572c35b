"""seedpipe.audio.containers: all that a file holds is read, or the file is refused by name."""

from __future__ import annotations

import struct
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
from conftest import RATE, tone

from seedpipe.audio import decode
from seedpipe.audio.containers import flac
from seedpipe.errors import AudioError

CONTAINERS = {
    "WAV": "PCM_16",
    "RF64": "PCM_16",
    "W64": "PCM_16",
    "AIFF": "PCM_16",
    "AU": "ULAW",
    "NIST": "PCM_16",
    "FLAC": "PCM_16",
    "OGG": "VORBIS",
    "MP3": "MPEG_LAYER_III",
}
Mend = Callable[[bytes], bytes]


def written(path: Path, seconds: float = 2, container: str = "WAV", subtype: str = "", rate: int = RATE) -> bytes:
    soundfile.write(path, tone(200, seconds, rate), rate, subtype or CONTAINERS[container], format=container)
    return path.read_bytes()


def frames_of(path: Path, data: bytes) -> int:
    """What the file is said to hold and what is read of it, which must be one number."""
    path.write_bytes(data)
    info = decode.probe(path)
    assert decode.read_audio(path, None, info.digest).size == info.frames
    return info.frames


def refusal(path: Path, data: bytes) -> str:
    path.write_bytes(data)
    with pytest.raises(AudioError) as caught:
        decode.probe(path)
    assert caught.value.file == path
    assert caught.value.remedy
    return caught.value.found


def id3(size: int) -> bytes:
    return b"ID3\x03\0\0" + bytes(size >> shift & 0x7F for shift in (21, 14, 7, 0)) + bytes(size)


def ape(size: int) -> bytes:
    ends = [struct.pack("<8s4I8x", b"APETAGEX", 2_000, size + 32, 1, flags) for flags in (0xA000_0000, 0x8000_0000)]
    return ends[0] + b"k" * size + ends[1]


# --------------------------------------------------------------------------------------------------- joined, followed


@pytest.mark.parametrize("other", [RATE, 44_100], ids=["same rate", "other rate"])
@pytest.mark.parametrize("seconds", [2, 3], ids=["same length", "other length"])
@pytest.mark.parametrize("container", CONTAINERS)
def test_joined_files_are_refused(tmp_path: Path, container: str, seconds: int, other: int) -> None:
    first, second = (
        written(tmp_path / "a", length, container, rate=rate) for length, rate in ((2, RATE), (seconds, other))
    )
    found = refusal(tmp_path / "a.audio", first + second)
    assert "stream at byte" in found
    assert f"{len(first):,}" in found


def test_chained_opus_is_refused(tmp_path: Path) -> None:
    data = written(tmp_path / "a", 1, "OGG", "OPUS")
    assert "holds another Ogg stream" in refusal(tmp_path / "a.opus", data + data)


@pytest.mark.parametrize("between", [id3(70), b"TAG" + bytes(125)], ids=["ID3v2", "ID3v1"])
def test_joined_mp3_with_tags_between_is_refused(tmp_path: Path, between: bytes) -> None:
    data = written(tmp_path / "a", 1, "MP3")
    assert refusal(tmp_path / "a.mp3", data + between + data).startswith("holds ")


@pytest.mark.parametrize("container", CONTAINERS)
def test_what_follows_a_stream_is_not_left_out_silently(tmp_path: Path, container: str) -> None:
    data = written(tmp_path / "a", 2, container)
    noise = np.random.default_rng(0).integers(1, 255, 3_001, np.uint8).tobytes()
    assert "bytes" in refusal(tmp_path / "a.audio", data + noise)


@pytest.mark.parametrize("tag", [b"TAG" + b"x" * 125, ape(500), bytes(3_000)], ids=["ID3v1", "APE", "zeros"])
@pytest.mark.parametrize("container", sorted(set(CONTAINERS) - {"W64"}))
def test_tags_and_padding_at_the_end_are_no_samples(tmp_path: Path, container: str, tag: bytes) -> None:
    assert frames_of(tmp_path / "a.audio", written(tmp_path / "a", 2, container) + tag) == 2 * RATE


@pytest.mark.parametrize("container", ["MP3", "FLAC"])
def test_several_tags_at_the_start_are_skipped(tmp_path: Path, container: str) -> None:
    data = id3(3_000) + id3(77) + written(tmp_path / "a", 2, container)
    assert frames_of(tmp_path / "a.audio", data) == 2 * RATE


@pytest.mark.parametrize("container", CONTAINERS)
def test_a_file_that_was_cut_off_is_refused_when_it_is_listed(tmp_path: Path, container: str) -> None:
    data = written(tmp_path / "a", 6, container)
    assert refusal(tmp_path / "a.audio", data[:-1_001]).startswith("ends after ")


def test_another_container_is_refused_by_name(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", tone(200, 1), RATE, "PCM_16", format="CAF")
    with pytest.raises(AudioError, match="is a file of CAF, whose length cannot be checked"):
        decode.probe(tmp_path / "a.wav")


# ---------------------------------------------------------------------------------------------------------------- WAV


def with_size(data: bytes, size: int) -> bytes:
    place = data.index(b"data") + 4
    return data[:place] + struct.pack("<I", size) + data[place + 4 :]


@pytest.mark.parametrize("size", [0, 0xFFFF_FFFF, 0x7FFF_F024, 0x7FFF_FFFF, 0xFFFF_F000])
@pytest.mark.parametrize("subtype", ["PCM_U8", "PCM_16", "PCM_24", "FLOAT", "ULAW"])
def test_a_wav_of_unknown_size_reaches_to_its_end(tmp_path: Path, subtype: str, size: int) -> None:
    data = written(tmp_path / "a.wav", 1, subtype=subtype)
    right, _ = soundfile.read(tmp_path / "a.wav", dtype="float32")
    assert frames_of(tmp_path / "a.wav", with_size(data, size)) == RATE
    np.testing.assert_array_equal(decode.read_audio(tmp_path / "a.wav", RATE), right)
    np.testing.assert_array_equal(decode.read_audio(tmp_path / "a.wav", RATE, None, 9_000, 50), right[9_000:9_050])


def test_an_empty_wav_with_chunks_behind_is_empty(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", np.zeros(0), RATE)
    data = (tmp_path / "a.wav").read_bytes() + b"LIST" + struct.pack("<I", 4) + b"INFO"
    assert refusal(tmp_path / "a.wav", data) == "holds no samples"


def test_a_size_that_wrapped_above_four_gigabytes_is_seen(tmp_path: Path) -> None:
    path, bytes_of_samples = tmp_path / "a.wav", 4_400_000_000
    data = with_size(written(path, 1), bytes_of_samples % 2**32)
    with path.open("wb") as file:  # sparse: it takes no room on the disk
        file.write(data[:-2_000])
        file.seek(44 + bytes_of_samples - 2_000)
        file.write(data[-2_000:])
    end = decode.read_audio(path, RATE, None, bytes_of_samples // 2 - 1_000, 1_000)
    np.testing.assert_array_equal(end, np.frombuffer(data[-2_000:], "<i2") / np.float32(32_768))
    with pytest.raises(AudioError, match="of 2,200,000,001 frames"):
        decode.read_audio(path, RATE, None, bytes_of_samples // 2, 1)


@pytest.mark.parametrize("container", ["WAV", "RF64", "W64", "AIFF", "AU", "NIST"])
def test_samples_beyond_the_stated_size_are_not_left_out(tmp_path: Path, container: str) -> None:
    data = written(tmp_path / "a", 2, container)
    sizes = {
        "WAV": (b"data", "<I", 4, 32_000),
        "RF64": (b"ds64", "<Q", 16, 32_000),
        "W64": (b"data", "<Q", 16, 32_024),
        "AIFF": (b"SSND", ">I", 4, 32_008),
        "AU": (b".snd", ">I", 8, 16_000),
    }
    if container == "NIST":
        data = data.replace(b"sample_count -i 32000", b"sample_count -i 16000")
    else:
        mark, form, offset, size = sizes[container]
        place = data.index(mark) + offset
        data = data[:place] + struct.pack(form, size) + data[place + struct.calcsize(form) :]
    assert "bytes follow the samples that the header counts" in refusal(tmp_path / "a.audio", data)


@pytest.mark.parametrize("padded", [True, False])
@pytest.mark.parametrize("chunk", [b"LIST", b"bext", b"id3 "])
def test_chunks_behind_the_samples_are_fine(tmp_path: Path, chunk: bytes, padded: bool) -> None:
    more = chunk + struct.pack("<I", 27) + b"x" * 27 + b"\0" * padded + b"cue " + struct.pack("<I", 4) + bytes(4)
    assert frames_of(tmp_path / "a.wav", written(tmp_path / "a.wav") + more) == 2 * RATE


def test_a_wrong_size_of_the_whole_file_is_no_matter(tmp_path: Path) -> None:
    data = bytearray(written(tmp_path / "a.wav"))
    for size in (0, 100, 0xFFFF_FFFF):
        data[4:8] = struct.pack("<I", size)
        assert frames_of(tmp_path / "a.wav", bytes(data)) == 2 * RATE


@pytest.mark.parametrize(("place", "value"), [(22, 2), (34, 8), (34, 32)], ids=["channels", "8 bits", "32 bits"])
def test_a_header_that_contradicts_itself_is_refused(tmp_path: Path, place: int, value: int) -> None:
    data = bytearray(written(tmp_path / "a"))
    struct.pack_into("<H", data, place, value)
    assert "has a header that says 2 bytes of a frame" in refusal(tmp_path / "a", bytes(data))


def test_au_from_a_pipe_is_as_long_as_it_is(tmp_path: Path) -> None:
    data = bytearray(written(tmp_path / "a.au", 2, "AU"))
    data[8:12] = b"\xff" * 4
    assert frames_of(tmp_path / "a.au", bytes(data)) == 2 * RATE


def test_mu_law_sphere_is_read(tmp_path: Path) -> None:
    assert frames_of(tmp_path / "a.sph", written(tmp_path / "a.sph", 2, "NIST", "ULAW", 8_000)) == 16_000


# --------------------------------------------------------------------------------------------------------------- FLAC


@pytest.mark.parametrize("stated", [0, 1, 20_000, 31_999])
@pytest.mark.parametrize(("subtype", "rate"), [("PCM_16", 16_000), ("PCM_24", 48_000)])
def test_flac_that_counts_too_few_samples_is_read_whole(tmp_path: Path, subtype: str, rate: int, stated: int) -> None:
    data = bytearray(written(tmp_path / "a.flac", 2.01, "FLAC", subtype, rate))
    data[21] = data[21] & 0xF0
    data[22:26] = struct.pack(">I", stated)
    assert frames_of(tmp_path / "a.flac", bytes(data)) == round(2.01 * rate)


@pytest.mark.parametrize("last", [1, 16, 192, 255, 256, 512, 576, 1_000, 1_024, 1_152, 2_048, 2_304, 4_096, 257, 513])
def test_flac_may_end_with_a_block_of_any_size(tmp_path: Path, last: int) -> None:
    frames = 3 * 4_096 + last
    assert frames_of(tmp_path / "a.flac", written(tmp_path / "a.flac", frames / RATE, "FLAC")) == frames


@pytest.mark.parametrize("cut", [1, 2, 5_000])
def test_flac_that_ends_within_a_frame_is_refused(tmp_path: Path, cut: int) -> None:
    data = written(tmp_path / "a.flac", 2, "FLAC")
    assert refusal(tmp_path / "a.flac", data[:-cut]).startswith("ends after ")


@pytest.mark.parametrize("last", [1, 16, 192, 256, 576, 1_152, 4_095, 4_096])
def test_flac_is_counted_to_the_last_sample_of_a_short_frame(tmp_path: Path, last: int) -> None:
    soundfile.write(tmp_path / "a.flac", np.random.default_rng(0).uniform(-0.5, 0.5, 4_096 + last), 16_000)
    assert decode.probe(tmp_path / "a.flac").frames == 4_096 + last


def test_the_checksum_of_flac_is_that_of_its_frames() -> None:
    assert flac._checksum(b"123456789") == 0xFEE8  # the check value of CRC-16/UMTS


# ---------------------------------------------------------------------------------------------------------------- MP3


def mp3(path: Path, rate: int, mode: str, channels: int = 1) -> tuple[bytes, int]:
    """An MP3 file with a Xing or Info header, and the place of that word."""
    wave = np.concatenate([tone(200, 1, rate), np.random.default_rng(0).uniform(-0.5, 0.5, rate)])
    wave = np.repeat(wave[:, None], channels, 1)
    soundfile.write(path, wave, rate, format="MP3", bitrate_mode=mode, compression_level=0.5)
    data = path.read_bytes()
    return data, max(data.find(b"Xing", 0, 64), data.find(b"Info", 0, 64))


def without_header(data: bytes, place: int) -> bytes:
    """Without the frame that counts the others."""
    return data[data.index(data[:2], place) :]


@pytest.mark.parametrize("mode", ["CONSTANT", "VARIABLE"])
@pytest.mark.parametrize("rate", [8_000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000])
@pytest.mark.parametrize("channels", [1, 2])
def test_mp3_that_does_not_say_its_length_is_read_whole(tmp_path: Path, rate: int, mode: str, channels: int) -> None:
    data, place = mp3(tmp_path / "a.mp3", rate, mode, channels)
    frames = frames_of(tmp_path / "a.mp3", without_header(data, place))
    assert 0 <= frames - 2 * rate <= 3 * 1_152
    end = decode.read_audio(tmp_path / "a.mp3", None)[-3 * 1_152 :]
    assert np.abs(end).max() > 0.1, "the noise at the end is there"


@pytest.mark.parametrize("count", [0, 1, 20])
@pytest.mark.parametrize("rate", [16_000, 44_100])
def test_mp3_that_counts_too_few_frames_is_read_whole(tmp_path: Path, rate: int, count: int) -> None:
    data, place = mp3(tmp_path / "a.mp3", rate, "VARIABLE")
    wrong = data[: place + 8] + struct.pack(">I", count) + data[place + 12 :]
    assert frames_of(tmp_path / "a.mp3", wrong) == 2 * rate


def test_mp3_whose_header_has_no_count_is_read_whole(tmp_path: Path) -> None:
    data, place = mp3(tmp_path / "a.mp3", RATE, "VARIABLE")
    assert 0 <= frames_of(tmp_path / "a.mp3", data[: place + 7] + b"\0" + data[place + 8 :]) - 2 * RATE <= 3 * 576


@pytest.mark.parametrize("wrong", [0, -5])
def test_mp3_with_a_vbri_header_is_read_whole(tmp_path: Path, wrong: int) -> None:
    data, place = mp3(tmp_path / "a.mp3", 44_100, "VARIABLE")
    audio = without_header(data, place)
    count = int.from_bytes(data[place + 8 : place + 12]) + wrong
    own = audio[:36] + b"VBRI" + struct.pack(">HHHII", 1, 0, 50, len(audio), count)
    size = data.index(data[:2], place)
    frames = frames_of(tmp_path / "a.mp3", data[:4] + own[4:].ljust(size - 4, b"\0") + audio)
    assert 0 <= frames - 88_200 <= 3 * 1_152


def test_mp3_that_promises_more_frames_is_cut_off(tmp_path: Path) -> None:
    data, place = mp3(tmp_path / "a.mp3", RATE, "VARIABLE")
    more = struct.pack(">I", int.from_bytes(data[place + 8 : place + 12]) + 4)
    found = refusal(tmp_path / "a.mp3", data[: place + 8] + more + data[place + 12 :])
    assert found.startswith("ends after ")


@pytest.mark.parametrize("place", [3_000, -3_000])
def test_mp3_with_a_gap_is_refused(tmp_path: Path, place: int) -> None:
    data, _ = mp3(tmp_path / "a.mp3", RATE, "CONSTANT")
    found = refusal(tmp_path / "a.mp3", data[:place] + b"\x55" * 700 + data[place:])
    assert found.startswith(("holds ", "ends after "))


def test_layer_two_is_refused_by_name(tmp_path: Path) -> None:
    header = b"\xff\xfd\x84\x04"
    assert "not layer III" in refusal(tmp_path / "a.mp3", (header + bytes(414)) * 20)


def test_a_walk_holds_little_memory(tmp_path: Path) -> None:
    data, place = mp3(tmp_path / "a.mp3", 44_100, "CONSTANT")
    audio = without_header(data, place)
    (tmp_path / "a.mp3").write_bytes(audio * (3_000_000 // len(audio)))
    tracemalloc.start()
    assert decode.probe(tmp_path / "a.mp3").frames > 40 * 88_200
    assert tracemalloc.get_traced_memory()[1] < 3_000_000
    tracemalloc.stop()


def test_nothing_stays_open(tmp_path: Path) -> None:
    data, place = mp3(tmp_path / "a.mp3", RATE, "VARIABLE")
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(3):
        frames_of(tmp_path / "a.mp3", without_header(data, place))
    assert len(list(Path("/proc/self/fd").iterdir())) == before
