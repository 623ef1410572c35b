"""seedpipe.audio.rooms: the direct sound is aligned, and what comes out silent or unchanged is refused by name."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import RATE, STUB, TINY_PARAMS, tone, write_audio, write_manifests

from seedpipe import extract
from seedpipe.audio import Bank, Recipe, apply_recipes, list_files, read_manifest, reverberate, rooms, write_manifest
from seedpipe.cache import Cache
from seedpipe.errors import CacheMismatchError, ManifestError
from seedpipe.params import ExtractParams, MachineParams

SPEECH = np.random.default_rng(3).normal(0, 0.1, RATE).astype(np.float32)  # of all frequencies: its delay is plain
ROOM = (np.random.default_rng(0).standard_normal(3_000) * np.exp(-np.arange(3_000) / 400)).astype(np.float32)
ROOM[0] = 20  # the direct sound
ROOM /= 20
ONE_JOB = MachineParams(jobs=1, device="cpu")
OFFICIAL = TINY_PARAMS.model_copy(update={"rooms": "official"})


def late(seconds: float, rate: int = RATE, room: np.ndarray = ROOM) -> np.ndarray:
    """A room with a lead-in of noise 60 dB below it."""
    lead = 5e-4 * np.random.default_rng(1).standard_normal(round(seconds * rate))
    return np.concatenate([lead, room]).astype(np.float32)


def lag(heard: np.ndarray, speech: np.ndarray) -> int:
    """Samples by which the speech was moved."""
    size = 2 * speech.size
    return int(np.fft.irfft(np.fft.rfft(heard, size) * np.fft.rfft(speech, size).conj()).argmax())


def bank(folder: Path, rate: int = RATE, **files: np.ndarray) -> dict[str, Bank]:
    for name, samples in files.items():
        write_audio(folder / f"{name}.wav", samples, rate, "FLOAT")
    write_manifest(list_files(folder, [f"{name}.wav" for name in files])[0], folder / "rir.csv")
    return {"reverb": Bank(read_manifest(folder / "rir.csv"), RATE)}


def in_room(banks: dict[str, Bank], official: bool = False) -> np.ndarray:
    recipe = Recipe(rir=banks["reverb"].names[0])
    return apply_recipes(
        "reverb", [recipe], torch.from_numpy(SPEECH)[None], banks, rooms="official" if official else "aligned"
    )[0].numpy()


@pytest.mark.parametrize("seconds", [0, 0.001, 0.0045])
def test_an_ordinary_room_is_used_as_it_is(seconds: float) -> None:
    response = late(seconds)
    assert rooms.aligned(response, RATE) is response
    heard = reverberate(torch.from_numpy(SPEECH)[None], [response])[0].numpy()
    np.testing.assert_allclose(heard, np.convolve(SPEECH, response / np.linalg.norm(response))[:RATE], atol=1e-5)


@pytest.mark.parametrize("rate", [8_000, 16_000, 48_000])
@pytest.mark.parametrize("seconds", [0.006, 0.05, 0.5, 1.2])
def test_a_late_direct_sound_is_aligned(tmp_path: Path, seconds: float, rate: int) -> None:
    banks = bank(tmp_path, rate, room=late(seconds, rate))
    heard = in_room(banks)
    assert abs(lag(heard, SPEECH) - 16) <= 6, "1 ms is left before the direct sound"
    assert 10 * abs(np.log10(np.square(heard).mean() / np.square(SPEECH).mean())) < 10
    if rate == RATE:
        direct = reverberate(torch.from_numpy(SPEECH)[None], [late(seconds)])[0].numpy()
        np.testing.assert_allclose(direct, heard, atol=1e-5)


def test_the_direct_sound_may_be_weaker_than_a_reflection() -> None:
    response = late(0.3)
    response[4_800], response[6_000] = 0.15, 1.2
    assert rooms.onset(response) == 4_800
    assert rooms.aligned(response, RATE).size == response.size - 4_800 + 16


def test_the_official_way_moves_the_speech(tmp_path: Path) -> None:
    banks = bank(tmp_path, room=late(0.5))
    assert abs(lag(in_room(banks, official=True), SPEECH) - 8_000) <= 1


def test_what_is_used_of_a_response_has_unit_energy(tmp_path: Path) -> None:
    long = np.concatenate([ROOM, 0.2 * np.random.default_rng(2).standard_normal(3 * RATE)]).astype(np.float32)
    used, whole = in_room(bank(tmp_path, room=long)), in_room(bank(tmp_path, room=long), official=True)
    ratio = np.linalg.norm(long) / np.linalg.norm(long[:RATE])
    np.testing.assert_allclose(used, ratio * whole, atol=1e-5)


def test_a_response_that_lets_nothing_through_in_time_is_refused_by_name(tmp_path: Path) -> None:
    silent_start = np.concatenate([np.zeros(2 * RATE, np.float32), ROOM])
    with pytest.raises(ManifestError, match=r"room\.wav: makes silence of speech"):
        in_room(bank(tmp_path, room=silent_start), official=True)
    assert np.abs(in_room(bank(tmp_path, room=silent_start))).max() > 0.01


@pytest.mark.parametrize("gain", [1.0, 0.3])
def test_a_room_that_changes_nothing_is_refused_by_name(tmp_path: Path, gain: float) -> None:
    impulse = np.zeros(12_000, np.float32)
    impulse[0] = gain
    with pytest.raises(ManifestError, match=r"room\.wav: leaves speech unchanged"):
        in_room(bank(tmp_path, room=impulse))
    impulse[1_000] = 0.01 * gain
    assert np.isfinite(in_room(bank(tmp_path, room=impulse))).all()


@pytest.mark.parametrize("place", [81, 8_000, 11_999])
def test_a_late_impulse_moves_the_speech_by_a_millisecond(tmp_path: Path, place: int) -> None:
    impulse = np.zeros(12_000, np.float32)
    impulse[place] = 0.9
    heard = in_room(bank(tmp_path, room=impulse))
    np.testing.assert_allclose(heard[16:], SPEECH[:-16], atol=1e-6)


def test_noise_that_is_silent_where_it_is_added_is_refused_by_name(tmp_path: Path) -> None:
    noise = np.concatenate([np.zeros(RATE, np.float32), tone(90, 1)])
    write_audio(tmp_path / "hum.wav", noise)
    write_manifest(list_files(tmp_path, ["hum.wav"])[0], tmp_path / "noise.csv")
    banks = {"noise": Bank(read_manifest(tmp_path / "noise.csv"), RATE)}
    speech = torch.from_numpy(SPEECH)[None]
    with pytest.raises(ManifestError, match=r"hum\.wav: makes samples of speech that are not finite"):
        apply_recipes("noise", [Recipe("hum.wav", 0, 5.0)], speech, banks)


# ------------------------------------------------------------------------------------------------------------- caches


def cache(manifests: Path, out: Path, params: ExtractParams = TINY_PARAMS) -> Cache:
    return extract.extract(manifests / "train", STUB, out, params, kind="training", machine=ONE_JOB)


def test_alignment_is_in_the_provenance_where_it_makes_a_difference(own_data: Path, tmp_path: Path) -> None:
    write_manifests(own_data, tmp_path / "ordinary")
    ordinary = cache(tmp_path / "ordinary", tmp_path / "a")
    official = cache(tmp_path / "ordinary", tmp_path / "b", OFFICIAL)
    assert ordinary.info.fingerprint == official.info.fingerprint
    assert (ordinary.path / "shard-00000.h5").read_bytes() == (official.path / "shard-00000.h5").read_bytes()
    write_audio(own_data / "rir/0.wav", late(0.5), subtype="FLOAT")
    write_manifests(own_data, tmp_path / "late")
    onsets = pd.read_csv(tmp_path / "late/train/rir.csv")["onset"]
    assert onsets.max() == 8_000
    moved, aligned = cache(tmp_path / "late", tmp_path / "c", OFFICIAL), cache(tmp_path / "late", tmp_path / "d")
    assert (moved.info.augmentation.get("rooms"), aligned.info.augmentation["rooms"]) == (None, "aligned")
    with pytest.raises(CacheMismatchError, match="differs in 'augmentation'"):
        cache(tmp_path / "late", tmp_path / "d", OFFICIAL)
    for made, delay in ((moved, 8_000), (aligned, 16)):
        row = next(n for n in range(len(made)) if made.row(n, ("rir",))["rir"][3].endswith("0.wav"))
        clean, heard = (extract.render(made, row, name, tmp_path / "late/train")[0] for name in ("clean", "reverb"))
        loudness = np.linalg.norm(heard) / np.linalg.norm(clean)
        assert bool(loudness > 0.3) is (delay < clean.size), "the official way leaves noise of the lead-in alone"


def test_late_rooms_of_an_older_manifest_are_refused(own_data: Path, tmp_path: Path) -> None:
    write_audio(own_data / "rir/0.wav", late(0.02), subtype="FLOAT")
    write_manifests(own_data, tmp_path)
    table = read_manifest(tmp_path / "train/rir.csv").frame.drop(columns="onset")
    write_manifest(table, tmp_path / "train/rir.csv")
    with pytest.raises(ManifestError, match=r"rir\.csv: does not state the onsets .*write it again"):
        cache(tmp_path, tmp_path / "cache")
    assert cache(tmp_path, tmp_path / "cache", OFFICIAL).info.rows
