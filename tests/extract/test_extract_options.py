"""seedpipe.extract: storage, precision, segments, parts, plans, and audio as it comes."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
import stub_network
import torch
from conftest import ONE_JOB, RATE, STUB, TINY_PARAMS, folder_bytes, tone, write_audio, write_manifests

from seedpipe.audio import layout
from seedpipe.cache import Cache
from seedpipe.errors import AudioError, CacheMismatchError, NetworkError, SeedpipeError
from seedpipe.extract import extract, extract_part, plan, render
from seedpipe.extract.embed import BLOCK, Embedder, prefetch
from seedpipe.extract.plan import Extraction
from seedpipe.params import EvaluationParams, ExtractParams, ManifestParams, SnrParams


def run(manifests: Path, out: Path, params: ExtractParams = TINY_PARAMS, network: str = STUB) -> Cache:
    return extract(manifests, network, out, params, kind="training", machine=ONE_JOB)


def with_options(**update: object) -> ExtractParams:
    return TINY_PARAMS.model_copy(update=update)


@pytest.fixture(scope="module")
def training(manifests: Path, tmp_path_factory: pytest.TempPathFactory) -> Cache:
    return run(manifests / "train", tmp_path_factory.mktemp("training") / "cache")


# ------------------------------------------------------------------------------------------------ storage, precision


def test_float16_halves_the_embeddings_and_rounds_them(manifests: Path, training: Cache, tmp_path: Path) -> None:
    made = run(manifests / "train", tmp_path / "cache", with_options(storage="float16"))
    exact = training.to_numpy()
    assert made.info.storage == "float16"
    assert made.to_numpy().dtype == np.float32
    np.testing.assert_array_equal(made.to_numpy(), exact.astype(np.float16).astype(np.float32))
    assert made.info.fingerprint != training.info.fingerprint


def test_reduced_precision_is_recorded_and_near(manifests: Path, training: Cache, tmp_path: Path) -> None:
    made = run(manifests / "train", tmp_path / "cache", with_options(precision="bfloat16"))
    assert made.info.features["precision"] == "bfloat16"
    assert made.info.fingerprint != training.info.fingerprint
    np.testing.assert_allclose(made.to_numpy(), training.to_numpy(), atol=0.02)


def test_an_engine_is_recorded_where_it_runs_the_network(manifests: Path, training: Cache, tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    options, network = with_options(engine="onnxruntime"), "seedpipe.networks.campplus:CAMPPlus"
    eager = run(manifests / "train", tmp_path / "eager", network=network)
    made, again = (run(manifests / "train", tmp_path / name, options, network) for name in ("made", "again"))
    assert (made.info.features["engine"], "engine" in eager.info.features) == ("onnxruntime", False)
    assert made.info.fingerprint != eager.info.fingerprint
    assert "onnxruntime" in made.info.versions
    np.testing.assert_allclose(made.to_numpy(), eager.to_numpy(), rtol=0, atol=1e-4)
    np.testing.assert_array_equal(made.to_numpy(), again.to_numpy())
    other = run(manifests / "train", tmp_path / "other", options)
    assert other.info.fingerprint == training.info.fingerprint, "a network of others has no engine"


def test_an_engine_for_arithmetic_that_it_has_not_is_refused(manifests: Path, tmp_path: Path) -> None:
    with pytest.raises(NetworkError, match=r"onnxruntime was to compute in bfloat16 on cpu; expected float32 on cpu"):
        run(manifests / "train", tmp_path / "cache", with_options(engine="onnxruntime", precision="bfloat16"))


class Coarse:
    """A network whose embeddings fall apart in reduced precision."""

    name, sample_rate, dimension, min_samples = "coarse", RATE, 4, 1

    def __call__(self, waveforms: torch.Tensor) -> torch.Tensor:
        low = torch.is_autocast_enabled("cpu")
        direction = torch.tensor([1.0, 0.02 if low else 0.0, 0.0, 0.0])
        return direction.expand(len(waveforms), -1)

    def fingerprint(self) -> str:
        return "coarse"

    def to(self, device: torch.device) -> Coarse:  # noqa: ARG002
        return self


def test_reduced_precision_that_costs_too_much_is_refused() -> None:
    embed = Embedder(Coarse(), torch.device("cpu"), "bfloat16")
    with pytest.raises(NetworkError, match=r"cosine of 0\.99980 to those in float32; expected 0\.9999 or more"):
        embed.check_precision(torch.zeros(3, 800))


# --------------------------------------------------------------------------------------------------------- front end


class Half:
    """A front end that halves the amplitude."""

    name, sample_rate = "half", RATE

    def __init__(self, sample_rate: int) -> None:
        assert sample_rate == RATE

    def __call__(self, waveforms: torch.Tensor) -> torch.Tensor:
        return waveforms / 2

    def fingerprint(self) -> str:
        return "half of it"

    def to(self, device: torch.device) -> Half:  # noqa: ARG002
        return self


@pytest.mark.parametrize("kind", ["training", "evaluation"])
def test_a_front_end_stands_before_the_network_and_is_heard(
    manifests: Path, tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = manifests / ("train" if kind == "training" else "tiny")
    params = with_options(frontend="test_extract_options:Half")
    plain = extract(folder, STUB, tmp_path / "plain", TINY_PARAMS, kind=kind, machine=ONE_JOB)  # type: ignore[arg-type]
    made = extract(folder, STUB, tmp_path / "half", params, kind=kind, machine=ONE_JOB)  # type: ignore[arg-type]
    np.testing.assert_allclose(made.to_numpy(), plain.to_numpy() / 2, rtol=1e-6)
    assert made.info.features["frontend"] == "test_extract_options:Half half of it"
    for row in range(len(made)):
        before, _ = render(plain, row, "reverb", folder)
        heard, _ = render(made, row, "reverb", folder)
        np.testing.assert_allclose(heard, before / 2, atol=1e-7)
    monkeypatch.setattr(Half, "fingerprint", lambda _: "another half")
    with pytest.raises(CacheMismatchError, match="Half is not the one that the cache was made with"):
        render(made, 0, "clean", folder)
    with pytest.raises(CacheMismatchError, match="differs in 'features'"):
        extract(folder, STUB, plain.path, params, kind=kind, machine=ONE_JOB)  # type: ignore[arg-type]


# ----------------------------------------------------------------------------------------------------------- presets


def test_the_preset_of_the_authors_is_one_word() -> None:
    params = ExtractParams(preset="official")
    assert (params.resample, params.variants) == (False, ("music", "noise", "reverb"))
    assert (params.augment.snr_power_floor, params.evaluation.short_audio) == (1e-4, "official")
    given = ExtractParams.model_validate(
        {"preset": "official", "resample": True, "augment": {"noise_snr_db": (1.0, 2.0)}}
    )
    assert given.resample, "what is given beside a preset counts"
    assert (given.augment.snr_power_floor, given.augment.noise_snr_db) == (1e-4, (1.0, 2.0))


def test_the_authors_ignore_the_rate_and_start_the_last_crop_of_short_audio_at_1(
    manifests: Path, own_data: Path, tmp_path: Path
) -> None:
    official = with_options(
        resample=False, evaluation=TINY_PARAMS.evaluation.model_copy(update={"short_audio": "official"})
    )
    made = extract(manifests / "tiny", STUB, tmp_path / "tiny", official, kind="evaluation", machine=ONE_JOB)
    frame = made.frame()
    assert frame["crop_start"][frame["utterance"].str.endswith("short.wav")].tolist() == [0, 0, 1] * 2
    ours = extract(manifests / "tiny", STUB, tmp_path / "ours", TINY_PARAMS, kind="evaluation", machine=ONE_JOB)
    np.testing.assert_array_equal(made.to_numpy()[:3], ours.to_numpy()[:3])  # long audio of the right rate
    trained = run(manifests / "train", tmp_path / "train", official)
    row = int(np.flatnonzero(trained.frame()["utterance"] == "train/ben/48k.wav")[0])
    heard, _ = render(trained, row, "clean", manifests / "train")
    samples, _ = soundfile.read(own_data / "train/ben/48k.wav", dtype="float32")
    start = int(trained.frame()["crop_start"][row])
    np.testing.assert_array_equal(heard, samples.mean(axis=1)[start:][: heard.size])
    assert trained.info.resampled == {}


# ------------------------------------------------------------------------------------------------------------ levels


def test_a_level_in_the_name_of_a_condition_is_the_snr_of_the_mixture(manifests: Path, tmp_path: Path) -> None:
    conditions = ("noise", "noise@0", "noise@10", "noise+reverb@-3", "noise+reverb@7", "music@5", "reverb")
    evaluation = TINY_PARAMS.evaluation.model_copy(update={"conditions": conditions, "crops": 1, "crop_samples": RATE})
    made = extract(
        manifests / "tiny",
        STUB,
        tmp_path / "tiny",
        with_options(evaluation=evaluation),
        kind="evaluation",
        machine=ONE_JOB,
    )
    assert made.info.variants == ("clean", *conditions)
    frame = made.frame()
    for level in ("noise@0", "noise@10", "noise+reverb@-3", "noise+reverb@7", "music@5"):
        assert (frame[f"snr_db:{level}"] == float(level.partition("@")[2])).all()
    for recipe in ("noise", "noise_offset"):  # a curve over the level compares like with like
        assert (frame[f"{recipe}:noise@0"] == frame[f"{recipe}:noise"]).all()
        assert (frame[f"{recipe}:noise@10"] == frame[f"{recipe}:noise"]).all()
        assert (frame[f"{recipe}:noise+reverb@-3"] == frame[f"{recipe}:noise+reverb@7"]).all()
    assert (frame["rir:noise+reverb@-3"] == frame["rir:noise+reverb@7"]).all()
    row = int(np.flatnonzero(frame["utterance"].str.endswith("long.wav"))[0])  # one crop is the whole of it
    for name, low, high in (("noise", 0, 10), ("noise+reverb", -3, 7)):
        loud, soft = (render(made, row, f"{name}@{level}", manifests / "tiny")[0] for level in (low, high))
        ratio = 10 ** ((low - high) / 20)  # of the two noises
        speech = (soft.astype(np.float64) - ratio * loud) / (1 - ratio)
        found = 10 * np.log10(np.mean(speech**2) / np.mean((loud - speech) ** 2))
        assert found == pytest.approx(low, abs=1e-3)


@pytest.mark.parametrize(
    ("condition", "message"),
    [
        ("noise@", "is not spelled as in 'noise@5'"),
        ("noise@loud", "is not spelled as in 'noise@5'"),
        ("noise@inf", "is not spelled as in 'noise@5'"),
        ("noise@5.0", "is not spelled as in 'noise@5'"),
        ("noise@-0", "is not spelled as in 'noise@5'"),
        ("reverb@5", "nothing to mix at it"),
        ("rain@5", "is not one or more of music, noise, reverb"),
    ],
)
def test_levels_that_are_none_are_refused(condition: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        EvaluationParams(conditions=(condition,))
    with pytest.raises(ValueError, match="is not one or more of"):
        ExtractParams(variants=("noise@5",))  # training draws its SNR


# ---------------------------------------------------------------------------------------------- evaluations of its own


def evaluated(manifests: Path, out: Path, **update: object) -> Cache:
    params = with_options(evaluation=TINY_PARAMS.evaluation.model_copy(update=update))
    return extract(manifests / "tiny", STUB, out, params, kind="evaluation", machine=ONE_JOB)


def test_the_evaluation_has_ranges_of_its_own(manifests: Path, tmp_path: Path) -> None:
    ordinary = evaluated(manifests, tmp_path / "ordinary")
    lower = evaluated(manifests, tmp_path / "lower", augment=SnrParams(noise_snr_db=(-5.0, 0.0)))
    assert (ordinary.frame()["snr_db:noise"] >= 0.0).all()
    assert lower.frame()["snr_db:noise"].between(-5.0, 0.0).all()
    assert lower.info.augmentation["noise_snr_db"] == [-5.0, 0.0]
    assert lower.info.augmentation["music_snr_db"] == ordinary.info.augmentation["music_snr_db"] == [5.0, 15.0]
    assert lower.info.fingerprint != ordinary.info.fingerprint
    own = EvaluationParams(augment=SnrParams(noise_snr_db=(-5.0, 0.0)), test_crop_samples=2_000)
    ours, theirs = (planned(manifests, tmp_path, with_options(evaluation=each)) for each in (EvaluationParams(), own))
    assert ours == theirs


def planned(manifests: Path, folder: Path, params: ExtractParams) -> str:
    """Fingerprint of the training cache that the parameters ask for."""
    wanted = Extraction.of(manifests / "train", STUB, folder / "train", params, "training", ONE_JOB)
    return str(wanted.info["fingerprint"])


@pytest.mark.parametrize("whole", [(), (STUB,)])
def test_short_tests_have_one_crop_behind_those_of_enrolment(
    manifests: Path, tmp_path: Path, whole: tuple[str, ...]
) -> None:
    ordinary = evaluated(manifests, tmp_path / "ordinary", whole=whole)
    made = evaluated(manifests, tmp_path / "short", whole=whole, test_crop_samples=4_000)
    assert "test_crop_samples" not in ordinary.info.features
    count = int(made.info.features["crops"])
    assert count == ordinary.info.rows_per_utterance == (1 if whole else 3)
    assert (made.info.rows_per_utterance, len(made)) == (count + 1, 4 * (count + 1))
    frame, rows = made.frame(), made.to_numpy()
    is_test = (frame["draw"] == count).to_numpy()
    np.testing.assert_array_equal(rows[~is_test], ordinary.to_numpy())  # and what is beside them changes no bit
    starts = dict(zip(frame["utterance"][is_test], frame["crop_start"][is_test], strict=True))
    assert starts == {"carl/long.wav": 6_000, "carl/short.wav": 0, "dora/long.wav": 6_000, "dora/short.wav": 0}
    for row in range(len(made)):
        for number, variant in enumerate(made.info.variants):
            heard, _ = render(made, row, variant, manifests / "tiny")
            assert heard.size == 4_000 if is_test[row] else heard.size in (3_200, 6_000, 16_000)
            expected = stub_network.make()(torch.from_numpy(heard)[None]).numpy()[0]
            np.testing.assert_allclose(rows[row, number], expected, rtol=1e-5, atol=1e-7)


def test_a_short_test_that_is_silent_or_too_short_for_the_network_is_refused(
    manifests: Path, own_data: Path, tmp_path: Path
) -> None:
    with pytest.raises(NetworkError, match=r"crops have 799 samples; expected 800 or more .* raise test_crop_samples"):
        evaluated(manifests, tmp_path / "brief", test_crop_samples=799)
    paused = tone(100, 1.0)
    paused[5_000:11_000] = 0
    write_audio(own_data / "eval/tiny/carl/long.wav", paused)
    write_manifests(own_data, tmp_path / "manifests")
    with pytest.raises(AudioError, match="its middle 4,000 samples, the crop of the test side, are silent"):
        evaluated(tmp_path / "manifests", tmp_path / "cache", test_crop_samples=4_000)


# --------------------------------------------------------------------------------------------------------- self-test


def test_other_numbers_from_the_same_weights_are_noticed(
    manifests: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    out = tmp_path / "cache"
    extract_part(
        manifests / "train", STUB, tmp_path / "begun", TINY_PARAMS, part=(1, 2), kind="training", machine=ONE_JOB
    )
    made = run(manifests / "train", out)
    assert len(made.info.network.self_test) == 8
    ordinary = stub_network.Stub.__call__
    monkeypatch.setattr(stub_network.Stub, "__call__", lambda self, waveforms: 1.01 * ordinary(self, waveforms))
    with pytest.raises(
        CacheMismatchError, match=r"other numbers on a test signal than when the cache was made, with .*torch"
    ):
        run(manifests / "train", out)
    with pytest.raises(
        CacheMismatchError, match="other numbers here than for the parts made so far; expected the same"
    ):
        extract_part(
            manifests / "train", STUB, tmp_path / "begun", TINY_PARAMS, part=(2, 2), kind="training", machine=ONE_JOB
        )
    other = run(manifests / "train", tmp_path / "begun")
    assert "beginning again" in caplog.text
    np.testing.assert_allclose(other.to_numpy(), 1.01 * made.to_numpy(), rtol=1e-5)


# ------------------------------------------------------------------------------------------------------------ blocks


@pytest.mark.parametrize("rows", [1, BLOCK - 1, BLOCK, BLOCK + 1, 3 * BLOCK + 5])
@pytest.mark.parametrize("chunk", [1, 7, 50])
def test_blocks_lose_and_mix_up_nothing(rows: int, chunk: int) -> None:
    shapes = []

    class Mean(Coarse):
        dimension = 1

        def __call__(self, waveforms: torch.Tensor) -> torch.Tensor:
            shapes.append(tuple(waveforms.shape))
            return waveforms.mean(dim=1, keepdim=True)

    waveforms = torch.arange(rows, dtype=torch.float32)[:, None].expand(-1, 5)
    vectors = Embedder(Mean(), torch.device("cpu"), "float32")(waveforms.split(chunk))
    assert vectors[:, 0].tolist() == list(range(rows))
    assert set(shapes) == {(BLOCK, 5)}
    mixed = [part for at, chunk in enumerate(waveforms.split(chunk)) for part in (chunk[:, : 5 - at % 2],)]
    vectors = Embedder(Mean(), torch.device("cpu"), "float32")(mixed)  # of two lengths
    assert vectors[:, 0].tolist() == list(range(rows))
    assert set(shapes) <= {(BLOCK, 5), (BLOCK, 4)}


def test_what_is_made_ahead_comes_in_order_and_errors_arrive() -> None:
    def items() -> itertools.chain[int]:
        yield from range(10)
        raise AudioError("the eleventh is bad")

    made = prefetch(items(), 3)
    assert list(itertools.islice(made, 10)) == list(range(10))
    with pytest.raises(AudioError, match="the eleventh is bad"):
        next(made)


def test_a_consumer_that_stops_stops_the_thread() -> None:
    made = []
    numbers = prefetch((made.append(number) or number for number in itertools.count()), 2)
    assert next(numbers) == 0
    numbers.close()  # waits for the thread
    assert len(made) <= 5


# -------------------------------------------------------------------------------------------------- whole utterances


def test_whole_utterances_are_embedded_at_their_own_length(manifests: Path, tmp_path: Path) -> None:
    params = with_options(evaluation=TINY_PARAMS.evaluation.model_copy(update={"whole": (STUB,)}))
    stub_network.SHAPES.clear()
    made = extract(manifests / "tiny", STUB, tmp_path / "cache", params, kind="evaluation", machine=ONE_JOB)
    assert len(made) == made.info.utterances == 4
    assert set(stub_network.SHAPES) == {(3, 16_000), (3, 3_200)}, "the variants of one utterance, without padding"
    embeddings = made.to_numpy()
    for row in range(4):
        heard, _ = render(made, row, "noise", manifests / "tiny")
        expected = stub_network.make()(torch.from_numpy(heard)[None]).numpy()[0]
        np.testing.assert_allclose(embeddings[row, 1], expected, rtol=1e-5)


# ---------------------------------------------------------------------------------------------------------- segments


def test_long_files_are_cut_into_segments(own_data: Path, tmp_path: Path) -> None:
    speech = tone(130, 3.5, seed=9)
    write_audio(own_data / "train/chapter.flac", speech)
    params = ManifestParams(root=own_data, evaluations=("tiny",), segment_seconds=1.0)
    layout.write_training_manifests(params, tmp_path / "manifests")
    made = run(tmp_path / "manifests", tmp_path / "cache")
    frame = made.frame()
    chapter = frame[frame["utterance"].str.startswith("train/chapter.flac#")]
    assert chapter["utterance"].nunique() > 2
    assert len(chapter) == chapter["utterance"].nunique() * TINY_PARAMS.draws
    quantized = (speech * 2**15).round() / 2**15  # FLAC of 16 bits
    for row in chapter.index:
        heard, _ = render(made, row, "clean", tmp_path / "manifests")
        places = np.flatnonzero(np.isclose(quantized[: -heard.size], heard[0], atol=1e-4))
        assert any(np.allclose(quantized[place:][: heard.size], heard, atol=1e-4) for place in places)


# ------------------------------------------------------------------------------------------------------- parts, plans


def test_parts_and_a_closing_run_give_the_same_bytes(manifests: Path, training: Cache, tmp_path: Path) -> None:
    out = tmp_path / "cache"
    arguments = (str(manifests / "train"), STUB, str(out), TINY_PARAMS)
    assert plan(*arguments, kind="training", machine=ONE_JOB).finished_shards == 0
    made = [extract_part(*arguments, part=(i, 2), kind="training", machine=ONE_JOB) for i in (2, 1)]
    assert made == [1, 2]
    assert not out.exists()
    assert plan(*arguments, kind="training", machine=ONE_JOB).finished_shards == 3
    assert folder_bytes(run(manifests / "train", out).path) == folder_bytes(training.path)
    assert extract_part(*arguments, part=(1, 2), kind="training", machine=ONE_JOB) == 2  # nothing is left to do
    assert [path.name for path in tmp_path.iterdir()] == ["cache"]


def test_more_parts_than_shards_are_no_error(manifests: Path, tmp_path: Path) -> None:
    arguments = (manifests / "train", STUB, tmp_path / "cache", TINY_PARAMS)
    assert extract_part(*arguments, part=(7, 9), kind="training", machine=ONE_JOB) == 0


def test_a_plan_says_what_the_cache_will_be(manifests: Path, training: Cache, tmp_path: Path) -> None:
    planned = plan(manifests / "train", STUB, tmp_path / "cache", TINY_PARAMS, kind="training", machine=ONE_JOB)
    assert (planned.utterances, planned.rows, planned.shards) == (5, training.info.rows, len(training.info.shards))
    assert planned.bytes == training.to_numpy().nbytes
    assert planned.hours * 3600 == pytest.approx(training.info.seconds, abs=0.01)
    assert planned.seconds > 0
    assert list(tmp_path.iterdir()) == []
    there = plan(manifests / "train", STUB, training.path, TINY_PARAMS, kind="training", machine=ONE_JOB)
    assert (there.finished_shards, there.seconds) == (3, 0)


# -------------------------------------------------------------------------------------------------- audio as it comes


def test_rates_are_counted(own_data: Path, tmp_path: Path) -> None:
    write_audio(own_data / "train/8k.wav", tone(100, 0.5, 8_000), 8_000)
    write_audio(own_data / "train/8k too.wav", tone(110, 0.5, 8_000), 8_000)
    write_manifests(own_data, tmp_path / "manifests")
    made = run(tmp_path / "manifests/train", tmp_path / "cache")
    assert made.info.resampled == {"8000": 2, "48000": 1}


GOOD: dict[str, Callable[[Path], object]] = {
    "pcm16.wav": lambda path: write_audio(path, tone(100, 0.5), subtype="PCM_16"),
    "pcm24.wav": lambda path: write_audio(path, tone(101, 0.5), subtype="PCM_24"),
    "pcm32.wav": lambda path: write_audio(path, tone(102, 0.5), subtype="PCM_32"),
    "float.wav": lambda path: write_audio(path, tone(103, 0.5), subtype="FLOAT"),
    "a name with spaces.flac": lambda path: write_audio(path, tone(104, 0.5)),
    "名前-é.ogg": lambda path: write_audio(path, tone(105, 0.5)),
    "layer3.mp3": lambda path: write_audio(path, tone(106, 0.5)),
    "22k.wav": lambda path: write_audio(path, tone(107, 0.5, 22_050), 22_050),
    "24k.wav": lambda path: write_audio(path, tone(108, 0.5, 24_000), 24_000),
    "44k.wav": lambda path: write_audio(path, tone(109, 0.5, 44_100), 44_100),
    "stereo.wav": lambda path: write_audio(path, np.stack([tone(110, 0.5)] * 2, axis=1)),
    "clipped.wav": lambda path: write_audio(path, np.clip(20 * tone(111, 0.5), -1, 1)),
    "flac.wav": lambda path: write_audio(path.with_suffix(".flac"), tone(112, 0.5)).rename(path),
    "one sample.wav": lambda path: write_audio(path, np.full(1, 0.1, np.float32)),
}
BAD: dict[str, tuple[Callable[[Path], object], str]] = {
    "silence.wav": (lambda path: write_audio(path, np.zeros(8_000, np.float32)), "silent"),
    "nan.wav": (lambda path: write_audio(path, np.full(8_000, math.nan, np.float32), subtype="FLOAT"), "not finite"),
}
UNLISTED: dict[str, tuple[Callable[[Path], object], str]] = {
    "empty.wav": (lambda path: path.write_bytes(b""), "not readable audio"),
    "no samples.wav": (lambda path: write_audio(path, np.zeros(0, np.float32)), "no samples"),
    "link.wav": (lambda path: path.symlink_to("nowhere.wav"), "no such file"),
}


def test_every_kind_of_good_audio_is_cached(own_data: Path, tmp_path: Path) -> None:
    for name, make in GOOD.items():
        make(own_data / "train" / name)
    write_manifests(own_data, tmp_path / "manifests")
    made = run(tmp_path / "manifests/train", tmp_path / "cache")
    assert {f"train/{name}" for name in GOOD} <= set(made.frame()["utterance"])
    assert np.isfinite(made.to_numpy()).all()


@pytest.mark.parametrize("name", BAD)
def test_audio_that_cannot_be_used_fails_by_name_or_is_skipped_and_listed(
    own_data: Path, tmp_path: Path, name: str
) -> None:
    make, reason = BAD[name]
    make(own_data / "train" / name)
    write_manifests(own_data, tmp_path / "manifests")
    with pytest.raises(AudioError, match=f"{name}.*{reason}.*1 utterance cannot be used"):
        run(tmp_path / "manifests/train", tmp_path / "cache")
    made = run(tmp_path / "manifests/train", tmp_path / "cache", with_options(on_bad_audio="skip"))
    assert made.info.skipped == 1
    assert f"train/{name}" not in set(made.frame()["utterance"])
    assert name in (made.path / "failures.jsonl").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", UNLISTED)
def test_audio_without_contents_is_named_by_the_manifest(own_data: Path, tmp_path: Path, name: str) -> None:
    make, reason = UNLISTED[name]
    make(own_data / "train" / name)
    params = ManifestParams(root=own_data, evaluations=("tiny",))
    with pytest.raises(SeedpipeError, match=f"{name}: .*({reason})"):
        layout.write_training_manifests(params, tmp_path / "manifests")
    left_out = layout.write_training_manifests(params, tmp_path / "manifests", skip_bad=True)
    assert [Path(str(error.file)).name for error in left_out] == [name]
