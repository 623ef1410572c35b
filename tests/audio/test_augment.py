"""seedpipe.audio.augment: the SNR that was asked for, rooms of unit energy, recipes that depend on their key alone."""

from __future__ import annotations

import math
import shutil
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import RATE, tone, write_audio
from hypothesis import given, settings
from hypothesis import strategies as st

from seedpipe.audio import Bank, Recipe, Waveform, augment, draw_recipe, keyed_generator, list_files, manifest
from seedpipe.audio.augment import CLEAN
from seedpipe.errors import ManifestError
from seedpipe.params import AugmentParams

Wave = Callable[[str, int], np.ndarray]
PARAMS = AugmentParams()
SPEECH = tone(180, 0.5)
CROP = SPEECH.size


def make_bank(folder: Path, files: Mapping[str, Waveform]) -> Bank:
    for name, samples in files.items():
        write_audio(folder / name, samples, subtype="FLOAT")
    manifest.write_manifest(list_files(folder, sorted(files))[0], folder / "bank.csv")
    return Bank(manifest.read_manifest(folder / "bank.csv"), RATE)


@pytest.fixture(scope="module")
def banks(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Bank]:
    folder = tmp_path_factory.mktemp("banks")
    noises = {f"{number}.wav": tone(50 + number, 1.5, seed=number) for number in range(5)}
    rooms = {f"{number}.wav": tone(900, 0.05, seed=number) for number in range(5)}
    return {
        "noise": make_bank(folder / "noise", noises),
        "music": make_bank(folder / "music", {f"m{name}": wave for name, wave in noises.items()}),
        "reverb": make_bank(folder / "rir", rooms),
    }


def mix_at_snr(speech: np.ndarray, noise: np.ndarray, snr_db: float, power_floor: float = 0.0) -> np.ndarray:
    return augment.mix_at_snr(torch.from_numpy(speech), torch.from_numpy(noise), snr_db, power_floor).numpy()


def reverberate(speech: np.ndarray, rir: np.ndarray) -> np.ndarray:
    return augment.reverberate(torch.from_numpy(speech)[None], [rir])[0].numpy()


def apply_recipe(variant: str, recipe: Recipe, speech: np.ndarray, banks: Mapping[str, Bank]) -> np.ndarray:
    return augment.apply_recipes(variant, [recipe], torch.from_numpy(speech)[None], banks)[0].numpy()


def power_db(signal: np.ndarray) -> float:
    return 10 * math.log10(float(np.mean(np.square(signal, dtype=np.float64))))


# ----------------------------------------------------------------------------------------------------------- mixing


def test_noise_and_room_are_the_golden_ones(shared: Path, golden_wave: Wave) -> None:
    speech = golden_wave("wave.crop", 50_000)[:32_240]
    with np.load(shared / "golden/audio.npz") as golden:
        mixed = mix_at_snr(speech, np.float32(0.3) * golden_wave("wave.noise", 32_240), 7, power_floor=1e-4)
        np.testing.assert_allclose(mixed[::50], golden["mixed_7db"], atol=1e-6)
        generator = np.random.Generator(np.random.PCG64(zlib.crc32(b"rir")))
        room = (generator.standard_normal(4_000) * np.exp(-np.arange(4_000) / 600)).astype(np.float32)
        np.testing.assert_allclose(reverberate(speech, room)[::50], golden["reverberated"], atol=1e-5)


@given(snr_db=st.floats(-10, 40), loudness=st.floats(-60, 0), noise_loudness=st.floats(-60, 0), seed=st.integers(0, 99))
@settings(max_examples=60, deadline=None)
def test_the_snr_is_the_one_asked_for(snr_db: float, loudness: float, noise_loudness: float, seed: int) -> None:
    generator = np.random.default_rng(seed)
    speech, noise = (
        (10 ** (db / 20) * generator.standard_normal(4_000)).astype(np.float32) for db in (loudness, noise_loudness)
    )
    mixed = mix_at_snr(speech, noise, snr_db)
    assert mixed.dtype == np.float32
    assert power_db(speech) - power_db(mixed - speech) == pytest.approx(snr_db, abs=0.01)


def test_the_power_floor_of_the_authors_spoils_the_snr_of_quiet_speech() -> None:
    quiet, noise = 1e-3 * SPEECH, tone(90, 0.5, seed=5)
    added = mix_at_snr(quiet, noise, 10, power_floor=1e-4) - quiet
    assert power_db(quiet) - power_db(added) < -10


def test_a_unit_impulse_changes_nothing() -> None:
    impulse = np.zeros(200, np.float32)
    impulse[0] = 0.25  # the energy of a room is normalised away
    np.testing.assert_allclose(reverberate(SPEECH, impulse), SPEECH, atol=1e-6)


@pytest.mark.parametrize("samples", [1, 500, 30_000])
def test_reverberation_keeps_the_length_and_equals_a_convolution(samples: int) -> None:
    room = np.random.default_rng(0).standard_normal(samples).astype(np.float32)
    used = room[: SPEECH.size]
    expected = np.convolve(SPEECH, used / np.linalg.norm(used))[: SPEECH.size]
    mixed = reverberate(SPEECH, room)
    assert mixed.shape == SPEECH.shape
    np.testing.assert_allclose(mixed, expected, atol=1e-5)


@pytest.mark.parametrize("variant", ["music", "noise", "reverb", "noise+reverb"])
@pytest.mark.parametrize("samples", [CROP, 4_001])
def test_a_row_is_mixed_alike_alone_and_among_others(banks: dict[str, Bank], variant: str, samples: int) -> None:
    speech = torch.from_numpy(np.stack([tone(100 + 20 * number, 0.5, seed=number)[:samples] for number in range(7)]))
    recipes = [draw_recipe(variant, banks, PARAMS, samples, keyed_generator(number)) for number in range(7)]
    together = augment.apply_recipes(variant, recipes, speech, banks)
    for number in range(7):
        alone = augment.apply_recipes(variant, [recipes[number]], speech[number : number + 1], banks)
        assert torch.equal(alone[0], together[number])


# ---------------------------------------------------------------------------------------------------------- recipes


def test_keys_do_not_run_together() -> None:
    numbers = {key: keyed_generator(*key).integers(2**60) for key in [(0, "a", 1), (0, "a1"), (0, "a", 2), (1, "a", 1)]}
    assert len(set(numbers.values())) == 4


@pytest.mark.parametrize("variant", ["music", "noise", "reverb", "noise+reverb", "music+reverb"])
def test_recipes_depend_on_their_key_alone(banks: dict[str, Bank], variant: str) -> None:
    def draw(seed: int, utterance: str) -> Recipe:
        return draw_recipe(variant, banks, PARAMS, CROP, keyed_generator(seed, utterance, 0, variant))

    utterances = [f"{number}.wav" for number in range(20)]
    forwards = {name: draw(0, name) for name in utterances}
    backwards = {name: draw(0, name) for name in reversed(utterances)}
    assert forwards == backwards
    assert len(set(forwards.values())) > 3
    assert [draw(1, name) for name in utterances] != list(forwards.values())


@pytest.mark.parametrize(
    ("variant", "kind", "low", "high"),
    [("music", "music", 5, 15), ("noise", "noise", 0, 15), ("noise+reverb", "noise", 0, 15)],
)
def test_recipes_stay_within_their_ranges(
    banks: dict[str, Bank], variant: str, kind: str, low: float, high: float
) -> None:
    recipes = [draw_recipe(variant, banks, PARAMS, CROP, keyed_generator(0, n, variant)) for n in range(150)]
    snrs = [recipe.snr_db for recipe in recipes]
    assert low <= min(snrs) < low + 1
    assert high - 1 < max(snrs) <= high
    assert {recipe.noise for recipe in recipes} == set(banks[kind].names), "every file takes part"
    assert all(0 <= r.noise_offset <= banks[kind][r.noise].size - CROP for r in recipes)
    assert {bool(recipe.rir) for recipe in recipes} == {"reverb" in variant}
    assert all(snr == float(np.float32(snr)) for snr in snrs), "the cache holds float32"


def test_an_unaugmented_variant_is_the_crop_itself(banks: dict[str, Bank]) -> None:
    recipe = draw_recipe("clean", banks, PARAMS, CROP, keyed_generator(0))
    assert recipe == CLEAN
    assert (recipe.noise, recipe.noise_offset, recipe.snr_db, recipe.rir) == ("", -1, math.inf, "")
    np.testing.assert_array_equal(apply_recipe("clean", recipe, SPEECH, banks), SPEECH)


def test_reverb_draws_no_noise(banks: dict[str, Bank]) -> None:
    recipe = draw_recipe("reverb", banks, PARAMS, CROP, keyed_generator(0))
    assert (recipe.noise, recipe.noise_offset, recipe.snr_db) == ("", -1, math.inf)
    in_room = reverberate(SPEECH, banks["reverb"][recipe.rir])
    np.testing.assert_allclose(apply_recipe("reverb", recipe, SPEECH, banks), in_room, atol=1e-6)


def test_the_room_comes_first_and_the_snr_holds_in_it(banks: dict[str, Bank]) -> None:
    recipe = draw_recipe("noise+reverb", banks, PARAMS, CROP, keyed_generator(3))
    mixed = apply_recipe("noise+reverb", recipe, SPEECH, banks)
    in_room = reverberate(SPEECH, banks["reverb"][recipe.rir])
    added = mixed - in_room
    assert power_db(in_room) - power_db(added) == pytest.approx(recipe.snr_db, abs=0.01)
    source = banks["noise"][recipe.noise][recipe.noise_offset :][:CROP]
    assert np.corrcoef(added, source)[0, 1] > 0.9999


def test_short_noise_is_wrapped_around(tmp_path: Path) -> None:
    short = tone(70, 0.05, seed=8)
    banks = {"noise": make_bank(tmp_path, {"short.wav": short})}
    recipe = draw_recipe("noise", banks, PARAMS, CROP, keyed_generator(0))
    assert 0 <= recipe.noise_offset < short.size
    added = apply_recipe("noise", recipe, SPEECH, banks) - SPEECH
    expected = np.resize(np.roll(short, -recipe.noise_offset), CROP)
    np.testing.assert_allclose(added / np.linalg.norm(added), expected / np.linalg.norm(expected), atol=1e-4)


@given(start=st.integers(0, 39_000), length=st.integers(1, 1_000), seed=st.integers(0, 20))
@settings(max_examples=60, deadline=None)
def test_offsets_never_fall_on_digital_silence(start: int, length: int, seed: int) -> None:
    noise = np.zeros(40_000, np.float32)
    noise[start : start + length] = 0.1
    offset = augment._sounding_offset(noise, float(np.mean(noise**2)), 4_000, keyed_generator(seed))
    assert 0 <= offset <= noise.size - 4_000
    assert noise[offset : offset + 4_000].any()


# ------------------------------------------------------------------------------------------------------------ banks


def test_silent_noise_is_refused_by_name(tmp_path: Path) -> None:
    bank = make_bank(tmp_path, {"silent.wav": np.zeros(4_000, np.float32)})
    with pytest.raises(ManifestError, match=r"silent\.wav: is silent from end to end; remove it"):
        draw_recipe("noise", {"noise": bank}, PARAMS, 4_000, keyed_generator(0))


def test_a_bank_decodes_once_and_checks_the_digest(tmp_path: Path) -> None:
    bank = make_bank(tmp_path, {"a.wav": SPEECH, "b.wav": SPEECH})
    assert list(bank) == ["a.wav", "b.wav"]
    assert len(bank) == 2
    np.testing.assert_array_equal(bank["a.wav"], SPEECH)
    for name in bank:
        write_audio(tmp_path / name, -SPEECH)
    np.testing.assert_array_equal(bank["a.wav"], SPEECH)
    with pytest.raises(ManifestError, match=r"b\.wav: has changed since the manifest was written"):
        bank["b.wav"]


def test_a_bank_names_a_missing_file(tmp_path: Path) -> None:
    bank = make_bank(tmp_path, {"a.wav": SPEECH})
    (tmp_path / "a.wav").unlink()
    with pytest.raises(ManifestError, match=r"a\.wav: cannot be read \(no such file or directory\)") as caught:
        bank["a.wav"]
    assert caught.value.file == tmp_path / "a.wav"


def test_a_decoded_bank_is_the_same_and_needs_the_files_no_more(tmp_path: Path) -> None:
    files = {f"{number}.wav": tone(50 + number, 0.01 * (number + 1), seed=number) for number in range(4)}
    make_bank(tmp_path / "files", files)
    table = manifest.read_manifest(tmp_path / "files/bank.csv")
    Bank(table, RATE, tmp_path).decode(jobs=2)
    shutil.rmtree(tmp_path / "files")
    bank = Bank(table, RATE, tmp_path)
    assert list(bank) == list(files)
    for name, samples in files.items():
        np.testing.assert_array_equal(bank[name], samples)
        assert bank.power(name) == pytest.approx(float(np.mean(samples.astype(np.float64) ** 2)))
    assert bank.longest(10**6) == max(samples.size for samples in files.values())
    assert bank.longest(200) == 200
    bank.decode()  # finds its work done
    with pytest.raises(ManifestError, match=r"0\.wav: cannot be read"):
        Bank(table, 2 * RATE, tmp_path).decode()  # another rate is another bank


@pytest.mark.parametrize("harm", ["a bit", "half", "no note", "a bit of the note"])
def test_a_decoded_bank_that_is_not_as_it_was_written_is_decoded_again(tmp_path: Path, harm: str) -> None:
    make_bank(tmp_path / "files", {"a.wav": SPEECH, "b.wav": np.float32(0.5) * SPEECH})
    table = manifest.read_manifest(tmp_path / "files/bank.csv")
    Bank(table, RATE, tmp_path).decode()
    store, note = next(tmp_path.glob("bank-*.f32")), next(tmp_path.glob("bank-*.json"))
    whole, noted = store.read_bytes(), note.read_bytes()
    flipped = bytes([whole[0] ^ 1]) + whole[1:]
    store.write_bytes({"a bit": flipped, "half": whole[: len(whole) // 2]}.get(harm, whole))
    note.write_bytes(noted.replace(b"sha256", b"sha25v") if harm == "a bit of the note" else noted)
    if harm == "no note":
        note.unlink()
    again = Bank(table, RATE, tmp_path)
    again.decode()
    np.testing.assert_array_equal(again["b.wav"], np.float32(0.5) * SPEECH)
    assert (store.read_bytes(), note.read_bytes()) == (whole, noted)


def test_silence_is_found_when_a_bank_is_decoded(tmp_path: Path) -> None:
    make_bank(tmp_path, {"a.wav": SPEECH, "silent.wav": np.zeros(400, np.float32)})
    bank = Bank(manifest.read_manifest(tmp_path / "bank.csv"), RATE, tmp_path)
    with pytest.raises(ManifestError, match=r"silent\.wav: is silent"):
        bank.decode()
    assert not list(tmp_path.glob("*.f32"))
    assert not list(tmp_path.glob(".*.partial"))


@given(samples=st.integers(1, 200_000))
@settings(max_examples=200, deadline=None)
def test_fourier_transforms_have_the_next_fast_length(samples: int) -> None:
    def smooth(number: int) -> bool:
        for prime in (2, 3, 5):
            while number % prime == 0:
                number //= prime
        return number == 1

    length = augment._fast_length(samples)
    assert length >= samples
    assert smooth(length)
    assert not any(smooth(number) for number in range(samples, length))
