"""Front ends: RNNoise cleans real speech without moving it, Demucs is the package's, the registry is strict."""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import multiprocessing
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from conftest import RATE
from torch import Tensor

from seedpipe.audio import decode
from seedpipe.audio.frontends import Frontend, frontend_names, load_frontend
from seedpipe.audio.frontends.views import TwoViews
from seedpipe.errors import FrontendError, MissingExtraError, NetworkError
from seedpipe.networks import check_network

FRAME = 400  # 25 ms
NOISES = ("coffee", "playground", "rain", "storm")
needs_denoiser = pytest.mark.skipif(
    importlib.util.find_spec("denoiser") is None, reason="pip install --no-deps denoiser==0.1.5"
)


class Gain:
    """Half as loud; nothing else."""

    name = "gain"

    def __init__(self, sample_rate: int) -> None:
        self.sample_rate = sample_rate

    def __call__(self, waveforms: Tensor) -> Tensor:
        return waveforms / 2

    def fingerprint(self) -> str:
        return "half"

    def to(self, device: torch.device) -> Gain:  # noqa: ARG002
        return self


def make_narrow(sample_rate: int) -> Gain:
    return Gain(sample_rate // 2)


def make_nothing(sample_rate: int) -> object:  # noqa: ARG001
    return object()


def fail(sample_rate: int) -> Gain:
    raise RuntimeError(f"no weights for {sample_rate} today")


@pytest.fixture(scope="module")
def rnnoise() -> Frontend:
    return loaded("rnnoise")


@pytest.fixture(scope="module")
def speech(shared: Path) -> list[np.ndarray]:
    """Utterances of four speakers."""
    paths = sorted((shared / "data/eval/an4").rglob("*.flac"))
    return [decode.read_audio(path, RATE) for path in paths[:: len(paths) // 4][:4]]


@pytest.fixture(scope="module")
def noisy(shared: Path, speech: list[np.ndarray]) -> list[np.ndarray]:
    """The same in four noises at 5 dB."""
    noises = [decode.read_audio(shared / f"data/noise/noisekun/{name}.flac", RATE) for name in NOISES]
    return [
        clean + noise[: clean.size] * np.sqrt(power(clean) / power(noise[: clean.size])) * 10 ** (-5 / 20)
        for clean, noise in zip(speech, noises, strict=True)
    ]


def loaded(spec: str, sample_rate: int = RATE) -> Frontend:
    frontend = load_frontend(spec, sample_rate)
    assert frontend is not None
    return frontend


def clean_one(frontend: Frontend, wave: np.ndarray) -> np.ndarray:
    return frontend(torch.from_numpy(wave.astype(np.float32))[None])[0].numpy()


def power(wave: np.ndarray) -> float:
    return float(np.square(wave).mean())


def decibels(ratio: float) -> float:
    return float(10 * np.log10(ratio))


def si_sdr(estimate: np.ndarray, clean: np.ndarray) -> float:
    """Scale-invariant signal-to-distortion ratio in dB."""
    target = clean * (estimate @ clean) / (clean @ clean)
    return decibels(power(target) / power(estimate - target))


def segmental_snr(estimate: np.ndarray, clean: np.ndarray) -> float:
    """Mean SNR of 25 ms frames in dB, each limited to -10 to 35 dB."""
    whole = clean.size // FRAME * FRAME
    signal, error = (np.square(x[:whole].reshape(-1, FRAME)).mean(axis=1) for x in (clean, estimate - clean))
    return float(np.clip(10 * np.log10((signal + 1e-12) / (error + 1e-12)), -10, 35).mean())


def pauses(clean: np.ndarray) -> np.ndarray:
    """The frames in which the speaker is quietest, as indices (frames, 400)."""
    frames = np.arange(clean.size // FRAME * FRAME).reshape(-1, FRAME)
    energy = np.square(clean[frames]).mean(axis=1)
    return frames[energy <= np.quantile(energy, 0.2)]


def lag(delayed: np.ndarray, reference: np.ndarray) -> int:
    """Where the cross-correlation has its peak, in samples."""
    length = 2 ** int(np.ceil(np.log2(2 * reference.size)))
    product = np.fft.rfft(delayed, length) * np.conj(np.fft.rfft(reference, length))
    peak = int(np.fft.irfft(product).argmax())
    return peak if peak < length // 2 else peak - length


# ---------------------------------------------------------------------------------------------------------- rnnoise


@pytest.mark.parametrize("index", range(len(NOISES)), ids=NOISES)
def test_rnnoise_cleans_real_noisy_speech(
    rnnoise: Frontend, speech: list[np.ndarray], noisy: list[np.ndarray], index: int
) -> None:
    clean, mixed = speech[index], noisy[index]
    cleaned = clean_one(rnnoise, mixed)
    assert si_sdr(cleaned, clean) > si_sdr(mixed, clean) + 1
    assert segmental_snr(cleaned, clean) > segmental_snr(mixed, clean) + 1
    quiet = pauses(clean)
    assert decibels(power(cleaned[quiet]) / power(mixed[quiet])) < -8


def test_rnnoise_leaves_clean_speech_nearly_alone(rnnoise: Frontend, speech: list[np.ndarray]) -> None:
    for clean in speech:
        cleaned = clean_one(rnnoise, clean)
        assert np.corrcoef(cleaned, clean)[0, 1] > 0.95
        assert abs(decibels(power(cleaned) / power(clean))) < 2


@pytest.mark.parametrize("sample_rate", [8_000, 16_000, 44_100, 48_000])
def test_rnnoise_keeps_length_and_time_at_any_rate(speech: list[np.ndarray], sample_rate: int) -> None:
    frontend = loaded("rnnoise", sample_rate)
    for clean in speech[:2]:
        wave = clean[: clean.size - clean.size % 480 - 7]
        cleaned = clean_one(frontend, wave)
        assert cleaned.shape == wave.shape
        assert lag(cleaned, wave) == 0


def test_the_end_of_a_waveform_is_not_lost_in_the_delay(rnnoise: Frontend, speech: list[np.ndarray]) -> None:
    loudest = int(np.square(speech[0]).argmax())
    cleaned = clean_one(rnnoise, speech[0][: loudest + 80])
    assert power(cleaned[-80:]) > 0.1 * power(speech[0][loudest : loudest + 80])


def test_a_row_of_rnnoise_depends_neither_on_its_batch_nor_on_earlier_calls(
    rnnoise: Frontend, noisy: list[np.ndarray]
) -> None:
    batch = torch.from_numpy(np.stack([decode.crop(wave.astype(np.float32), 0, RATE) for wave in noisy]))
    kept = batch.clone()
    together = rnnoise(batch)
    assert torch.equal(batch, kept)
    assert torch.equal(torch.cat([rnnoise(row[None]) for row in batch]), together)
    assert torch.equal(rnnoise(batch.flip(0)).flip(0), together)
    assert not torch.equal(together, batch)


def test_rnnoise_gives_the_same_bytes_in_threads_and_in_other_processes(
    rnnoise: Frontend, noisy: list[np.ndarray]
) -> None:
    waves = [wave[:RATE] for wave in noisy] * 2
    expected = [clean_one(rnnoise, wave) for wave in waves]
    with ThreadPoolExecutor(4) as threads:
        in_threads = list(threads.map(clean_one, [rnnoise] * len(waves), waves))
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as process:
        elsewhere = process.submit(clean_anew, waves[0]).result()
    assert [wave.tobytes() for wave in in_threads] == [wave.tobytes() for wave in expected]
    assert elsewhere.tobytes() == expected[0].tobytes()


def clean_anew(wave: np.ndarray) -> np.ndarray:
    return clean_one(loaded("rnnoise"), wave)


def test_rnnoise_keeps_silence_silent(rnnoise: Frontend) -> None:
    assert not rnnoise(torch.zeros(2, RATE)).any()


@pytest.mark.parametrize("samples", [1, 2, 159, 160, 161, 479])
def test_rnnoise_takes_short_waveforms(rnnoise: Frontend, samples: int) -> None:
    cleaned = rnnoise(torch.full((2, samples), 0.1))
    assert cleaned.shape == (2, samples)
    assert torch.isfinite(cleaned).all()


def test_rnnoise_takes_an_empty_batch(rnnoise: Frontend) -> None:
    assert rnnoise(torch.empty(0, 800)).shape == (0, 800)


def test_rnnoise_does_not_clip_loud_mixtures(rnnoise: Frontend, speech: list[np.ndarray]) -> None:
    loud = 4 * speech[0] / np.abs(speech[0]).max()
    assert np.abs(clean_one(rnnoise, loud)).max() > 1.5


def test_the_fingerprint_of_rnnoise_follows_its_settings() -> None:
    assert loaded("rnnoise").fingerprint() == loaded("rnnoise").fingerprint()
    assert loaded("rnnoise").fingerprint() != loaded("rnnoise", 48_000).fingerprint()
    assert len(loaded("rnnoise").fingerprint()) == 64


def test_rnnoise_imports_nothing_of_the_package_around_it() -> None:
    code = "import sys; from seedpipe.audio.frontends import load_frontend; load_frontend('rnnoise', 16000); "
    code += "print(*(name for name in ('pyrnnoise', 'audiolab', 'av', 'matplotlib') if name in sys.modules))"
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=True)
    assert (done.stdout.strip(), done.stderr) == ("", "")


def test_a_missing_pyrnnoise_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    there = importlib.metadata.distribution

    def others(name: str) -> object:
        if name == "pyrnnoise":
            raise importlib.metadata.PackageNotFoundError(name)
        return there(name)

    monkeypatch.setattr(importlib.metadata, "distribution", others)
    with pytest.raises(MissingExtraError, match=r'pip install .*"pyrnnoise>='):
        load_frontend("rnnoise", RATE)


def test_a_library_that_cannot_be_loaded_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = SimpleNamespace(locate_file=lambda name: tmp_path / Path(name).name)
    there = importlib.metadata.distribution
    monkeypatch.setattr(importlib.metadata, "distribution", lambda name: place if name == "pyrnnoise" else there(name))
    (tmp_path / "librnnoise.so").write_bytes(b"no library")
    with pytest.raises(FrontendError, match=r"librnnoise\.so: cannot be loaded .*; pip install --force-reinstall"):
        load_frontend("rnnoise", RATE)


# --------------------------------------------------------------------------------------------------------- denoiser


@pytest.fixture
def downloads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder of downloads for torch."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(torch.hub, "_hub_dir", None)
    folder = tmp_path / "hub/checkpoints"
    folder.mkdir(parents=True)
    return folder


@pytest.fixture
def demucs() -> torch.nn.Module:
    """The package's own network, sixteen times narrower."""
    from denoiser.demucs import Demucs

    with torch.random.fork_rng():
        torch.manual_seed(0)
        return Demucs(hidden=4, sample_rate=RATE).eval()


@pytest.fixture
def denoiser(downloads: Path, demucs: torch.nn.Module) -> Frontend:
    torch.save(demucs.state_dict(), downloads / "dns64-a7761ff99a7d5bb6.th", _use_new_zipfile_serialization=False)
    return loaded("denoiser")


@needs_denoiser
@pytest.mark.parametrize(
    ("name", "file"),
    [("denoiser", "dns64-a7761ff99a7d5bb6.th"), ("denoiser-master64", "master64-8a5dfb4bb92753dd.th")],
)
def test_missing_weights_of_the_denoiser_are_named_with_their_place(downloads: Path, name: str, file: str) -> None:
    with pytest.raises(FrontendError) as caught:
        load_frontend(name, RATE)
    assert caught.value.file == downloads / file
    assert f"https://dl.fbaipublicfiles.com/adiyoss/denoiser/{file}" in str(caught.value)


@needs_denoiser
def test_the_weights_are_looked_for_where_the_package_would_put_them(
    downloads: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from denoiser import pretrained

    asked: list[str] = []
    monkeypatch.setattr(torch.hub, "download_url_to_file", lambda url, file, *_, **__: asked.append(f"{url} {file}"))
    for name in ("dns64", "master64"):
        with pytest.raises(FileNotFoundError):
            getattr(pretrained, name)()
    for line, name in zip(asked, ("denoiser", "denoiser-master64"), strict=True):
        url, file = line.split()
        with pytest.raises(FrontendError) as caught:
            load_frontend(name, RATE)
        assert caught.value.file == Path(file) == downloads / Path(url).name
        assert url in str(caught.value)


@needs_denoiser
def test_the_denoiser_is_the_network_of_the_package(denoiser: Frontend, demucs: torch.nn.Module) -> None:
    waves = torch.randn(3, RATE // 2, generator=torch.Generator().manual_seed(1)) / 10
    with torch.no_grad():
        expected = demucs(waves[:, None])[:, 0]
    found = denoiser(waves)
    assert expected.abs().max() > 1e-3
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=1e-5)
    assert not found.requires_grad


@needs_denoiser
def test_the_published_denoiser_has_the_size_of_table_2(downloads: Path) -> None:
    from denoiser.demucs import Demucs

    torch.save(Demucs(hidden=64).state_dict(), downloads / "dns64-a7761ff99a7d5bb6.th")
    # Table 2: 44.6 M with ResNet34, which has 11.1 M (20.8 M with SEED, which has 9.7 M).
    assert round(loaded("denoiser").parameter_count / 1e6, 1) == pytest.approx(44.6 - (20.8 - 9.7))


@needs_denoiser
def test_a_row_of_the_denoiser_does_not_depend_on_its_batch(denoiser: Frontend, noisy: list[np.ndarray]) -> None:
    batch = torch.from_numpy(np.stack([decode.crop(wave.astype(np.float32), 0, RATE) for wave in noisy]))
    together = denoiser(batch)
    alone = torch.cat([denoiser(row[None]) for row in batch])
    torch.testing.assert_close(alone, together, atol=1e-6, rtol=1e-5)
    assert torch.equal(denoiser(batch), together)


@needs_denoiser
def test_long_batches_of_the_denoiser_go_in_parts(denoiser: Frontend, monkeypatch: pytest.MonkeyPatch) -> None:
    waves = torch.randn(5, 3_000, generator=torch.Generator().manual_seed(2)) / 10
    expected = denoiser(waves)
    monkeypatch.setattr("seedpipe.audio.frontends.denoiser.MOST_SAMPLES", 6_500)
    torch.testing.assert_close(denoiser(waves), expected, atol=1e-6, rtol=1e-5)


@needs_denoiser
@pytest.mark.parametrize("samples", [1, 2, 3, 500])
def test_the_denoiser_takes_silence_and_short_waveforms(denoiser: Frontend, samples: int) -> None:
    cleaned = denoiser(torch.full((2, samples), 0.1))
    assert cleaned.shape == (2, samples)
    assert torch.isfinite(cleaned).all()
    assert not denoiser(torch.zeros(1, samples)).any()


@needs_denoiser
def test_a_denoiser_that_copies_keeps_length_and_time_at_any_rate(
    downloads: Path, demucs: torch.nn.Module, speech: list[np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.save(demucs.state_dict(), downloads / "dns64-a7761ff99a7d5bb6.th")
    monkeypatch.setattr(type(demucs), "forward", lambda _, mix: mix[:, None])
    for sample_rate in (8_000, 16_000, 44_100):
        frontend = loaded("denoiser", sample_rate)
        wave = speech[0][:20_001]
        copied = clean_one(frontend, wave)
        assert copied.shape == wave.shape
        assert lag(copied, wave) == 0


@needs_denoiser
def test_the_fingerprint_of_the_denoiser_follows_its_weights(
    denoiser: Frontend, demucs: torch.nn.Module, downloads: Path
) -> None:
    assert loaded("denoiser").fingerprint() == denoiser.fingerprint()
    assert loaded("denoiser", 8_000).fingerprint() != denoiser.fingerprint()
    with torch.no_grad():
        next(demucs.parameters())[0] += 1e-3
    torch.save(demucs.state_dict(), downloads / "dns64-a7761ff99a7d5bb6.th")
    assert loaded("denoiser").fingerprint() != denoiser.fingerprint()


def _without_an_entry(demucs: torch.nn.Module) -> object:
    return dict(list(demucs.state_dict().items())[:-1])


def _of_another_stride(demucs: torch.nn.Module) -> object:
    return type(demucs)(hidden=4, kernel_size=4).state_dict()


def _of_another_network(demucs: torch.nn.Module) -> object:  # noqa: ARG001
    return torch.nn.Linear(2, 2).state_dict()


def _with_code(demucs: torch.nn.Module) -> object:
    return {"class": type(demucs), "state": demucs.state_dict()}


def _not_finite(demucs: torch.nn.Module) -> object:
    return {name: value * np.nan for name, value in demucs.state_dict().items()}


@needs_denoiser
@pytest.mark.parametrize(
    ("broken", "text"),
    [
        (_without_an_entry, "its entries are not those of the network"),
        (_of_another_stride, "its entries are not those of the network"),
        (_of_another_network, "its entries are not those of the network"),
        (_with_code, "which are not unpickled as they can run code"),
        (_not_finite, "no arrays of finite numbers"),
    ],
)
def test_weights_that_do_not_fit_the_denoiser_are_refused(
    downloads: Path, demucs: torch.nn.Module, broken: Any, text: str
) -> None:
    torch.save(broken(demucs), downloads / "dns64-a7761ff99a7d5bb6.th")
    with pytest.raises(FrontendError, match=rf"dns64-a7761ff99a7d5bb6\.th: holds no weights .*{text}"):
        load_frontend("denoiser", RATE)


@needs_denoiser
def test_a_cut_off_file_of_weights_is_refused(denoiser: Frontend, downloads: Path) -> None:  # noqa: ARG001
    path = downloads / "dns64-a7761ff99a7d5bb6.th"
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(FrontendError, match="holds no weights of the front end 'denoiser'"):
        load_frontend("denoiser", RATE)


def test_a_missing_denoiser_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "denoiser.demucs", None)
    monkeypatch.setitem(sys.modules, "denoiser", None)
    with pytest.raises(MissingExtraError, match=r"pip install --no-deps denoiser==0\.1\.5"):
        load_frontend("denoiser", RATE)


# --------------------------------------------------------------------------------------------------------- registry


@pytest.mark.parametrize("spec", ["", "none"])
def test_no_front_end_is_nothing(spec: str) -> None:
    assert load_frontend(spec, RATE) is None


def test_a_front_end_is_found_by_its_path() -> None:
    frontend = loaded("test_frontends:Gain", 8_000)
    assert isinstance(frontend, Frontend)
    assert (frontend.name, frontend.sample_rate) == ("gain", 8_000)
    assert torch.equal(frontend(torch.ones(1, 3)), torch.full((1, 3), 0.5))


@pytest.fixture
def plug_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """An installed package that registers a front end."""
    (tmp_path / "quieter.py").write_text("from test_frontends import Gain as make\n", encoding="utf-8")
    info = tmp_path / "quieter-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: quieter\nVersion: 1.0\n", encoding="utf-8")
    (info / "entry_points.txt").write_text("[seedpipe.frontends]\nquieter = quieter:make\n", encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    yield "quieter"
    sys.modules.pop("quieter", None)


def test_an_installed_package_can_bring_a_front_end(plug_in: str) -> None:
    assert frontend_names()[-1] == plug_in
    assert loaded(plug_in).name == "gain"


def test_the_front_end_in_the_documentation_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = (Path(__file__).parents[2] / "docs/frontends.md").read_text(encoding="utf-8")
    (tmp_path / "documented_frontend.py").write_text(page.split("```python\n")[1].split("```")[0], encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    frontend = loaded("documented_frontend:Quieter")
    assert torch.equal(frontend(torch.ones(2, 3)), torch.full((2, 3), 0.5))


@pytest.mark.parametrize(
    ("spec", "text"),
    [
        ("rnoise", "unknown front end 'rnoise'; expected none, denoiser, denoiser-master64, rnnoise or package.module"),
        ("no_such_module:make", "'no_such_module:make' cannot be imported: No module named"),
        ("test_frontends:nothing", "'test_frontends:nothing' cannot be imported"),
        ("test_frontends:fail", "the factory of the front end 'test_frontends:fail' failed: no weights for 16000"),
        ("test_frontends:make_nothing", "makes a object; expected name, sample_rate, __call__, fingerprint and to"),
        ("test_frontends:make_narrow", "takes 8000 samples per second; expected 16000, the rate of the network"),
    ],
)
def test_what_is_no_front_end_is_refused(spec: str, text: str) -> None:
    with pytest.raises(FrontendError, match=text):
        load_frontend(spec, RATE)


def test_a_front_end_error_is_caught_as_a_network_error() -> None:
    with pytest.raises(NetworkError, match="unknown front end 'unheard-of'"):
        load_frontend("unheard-of", RATE)


class Loudest:
    """Mean of |x| and its square, of two samples each: not of unit length, and not linear in gain."""

    name, sample_rate, dimension, min_samples = "loudest", RATE, 2, 1

    def __call__(self, waveforms: Tensor) -> Tensor:
        loud = waveforms.abs().mean(dim=1, keepdim=True)
        return torch.cat([1 + loud, loud], dim=1)

    def fingerprint(self) -> str:
        return "loudest"

    def to(self, device: torch.device) -> Loudest:  # noqa: ARG002
        return self


def test_two_views_stand_side_by_side_in_unit_length() -> None:
    views = TwoViews(f"{__name__}:Loudest", f"{__name__}:Gain")
    waveforms = torch.rand(3, 100, generator=torch.Generator().manual_seed(0))
    found, plain = views(waveforms), Loudest()
    assert (views.dimension, views.name) == (4, "loudest-gain")
    for part, audio in ((found[:, :2], waveforms), (found[:, 2:], waveforms / 2)):
        torch.testing.assert_close(part, torch.nn.functional.normalize(plain(audio), dim=1))
    assert all(check.passed for check in check_network(views))
    assert views.fingerprint() != TwoViews(f"{__name__}:Loudest", f"{__name__}:make_other").fingerprint()


def make_other(sample_rate: int) -> Gain:
    gain = Gain(sample_rate)
    gain.fingerprint = lambda: "other"  # type: ignore[method-assign]
    return gain


def test_two_views_of_one_kind_are_refused() -> None:
    with pytest.raises(FrontendError, match="two views of one kind"):
        TwoViews(f"{__name__}:Loudest", "none")
