"""Fixtures of all tests: the shared folder, a tiny data folder, and its manifests."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile
from demo_project import make_project
from filelock import FileLock
from hypothesis import settings

from seedpipe.audio import layout
from seedpipe.params import EvaluationParams, ExtractParams, MachineParams, ManifestParams
from seedpipe.scoring.trials.manifest import write_evaluation_manifests

settings.register_profile("patient", deadline=None)  # a busy machine is no failure
settings.load_profile("patient")

RATE = 16_000
STUB = "stub_network:make"  # tests/ is on sys.path, here and in the workers that joblib starts
TINY_PARAMS = ExtractParams(
    crop_samples=4_000,
    draws=2,
    variants=("music", "noise", "reverb", "noise+reverb"),
    shard_rows=4,
    evaluation=EvaluationParams(crops=3, crop_samples=6_000, conditions=("noise", "reverb")),
)
ONE_JOB = MachineParams(jobs=1, device="cpu")


@pytest.fixture(scope="session")
def shared() -> Path:
    """The shared folder with real recordings and golden numbers."""
    default = Path(__file__).resolve().parents[1] / "../shared"
    folder = Path(os.environ.get("SEEDPIPE_SHARED") or default).resolve()
    if not (folder / "golden").is_dir():
        pytest.skip(f"there is no shared folder at {folder}: set SEEDPIPE_SHARED")
    return folder


@pytest.fixture(scope="session")
def golden_wave() -> Callable[[str, int], np.ndarray]:
    """wave(key, samples) of golden/README.md, one row."""
    import zlib

    def wave(key: str, samples: int) -> np.ndarray:
        generator = np.random.Generator(np.random.PCG64(zlib.crc32(key.encode())))
        seconds = np.arange(samples) / RATE
        tone = 0.3 * np.sin(2 * np.pi * 110 * seconds) * np.sin(2 * np.pi * 3 * seconds)
        return (0.05 * generator.standard_normal(samples) + tone).astype(np.float32)

    return wave


def tone(hertz: float, seconds: float, rate: int = RATE, seed: int = 0) -> np.ndarray:
    """A voice-like signal: a tone that swells, in a little noise; float32, shape (samples,)."""
    time = np.arange(round(seconds * rate)) / rate
    noise = np.random.default_rng(seed).standard_normal(time.size)
    return (0.3 * np.sin(2 * np.pi * hertz * time) * np.sin(2 * np.pi * time) + 0.02 * noise).astype(np.float32)


def write_audio(path: Path, samples: np.ndarray, rate: int = RATE, subtype: str | None = None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, samples, rate, subtype=subtype)
    return path


def build_data(root: Path) -> Path:
    """Make a data folder as docs/data.md describes it, with the formats and names that occur in real ones."""
    stereo = np.stack([tone(150, 0.8, 48_000), tone(160, 0.8, 48_000, 1)], axis=1)
    write_audio(root / "train/anna/one take.flac", tone(200, 0.9))
    write_audio(root / "train/anna/zwölf-十二.wav", tone(210, 0.7, seed=1))
    write_audio(root / "train/ben/48k.wav", stereo, 48_000, "PCM_24")
    write_audio(root / "train/ben/short.wav", tone(120, 0.15, seed=3))
    write_audio(root / "train/ben/vorbis.ogg", tone(125, 0.6, seed=4))
    for number in range(3):
        hum = tone(60 + 10 * number, 1.2, seed=10 + number)
        hum[2_000:12_000] = 0  # digital silence, as in real noise sets
        write_audio(root / f"noise/street/{number}.wav", hum)
        write_audio(root / f"noise/hall/{number}.flac", tone(90 + number, 0.1, seed=20 + number))
        write_audio(root / f"music/{number}.wav", tone(440 + 20 * number, 0.5, 8_000, 30 + number), 8_000)
        room = np.random.default_rng(40 + number).standard_normal(1_600) * np.exp(-np.arange(1_600) / 200)
        write_audio(root / f"rir/{number}.wav", (0.2 * room).astype(np.float32), subtype="FLOAT")
    for speaker, hertz in (("carl", 100), ("dora", 220)):
        write_audio(root / f"eval/tiny/{speaker}/long.wav", tone(hertz, 1.0, seed=50))
        write_audio(root / f"eval/tiny/{speaker}/short.wav", tone(hertz, 0.2, seed=51))
    (root / "eval/trials_tiny.txt").write_text(
        "1 carl/long.wav carl/short.wav\n"
        "1 dora/long.wav dora/short.wav\n"
        "0 carl/long.wav dora/short.wav\n"
        "0 dora/long.wav carl/short.wav\n",
        encoding="utf-8",
    )
    return root


@pytest.fixture(scope="session")
def data_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny data folder; tests that change it use :func:`own_data`."""
    return build_data(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="session")
def manifests(data_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Manifests of the tiny data folder: ``train/`` and ``tiny/``."""
    out = tmp_path_factory.mktemp("manifests")
    write_manifests(data_root, out)
    return out


@pytest.fixture
def own_data(data_root: Path, tmp_path: Path) -> Path:
    """A copy of the tiny data folder for one test."""
    return Path(shutil.copytree(data_root, tmp_path / "data"))


def write_manifests(root: Path, out: Path) -> None:
    params = ManifestParams(root=root, evaluations=("tiny",))
    layout.write_training_manifests(params, out / "train")
    write_evaluation_manifests(params, "tiny", out / "tiny")


@pytest.fixture(scope="session")
def demo_project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project after one ``dvc repro``, under a path with a space; made once for all processes, and only copied."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "a project"
    with FileLock(f"{folder}.lock"):
        if not folder.is_dir():
            made = make_project(base / "project in the making")
            made.rename(folder)
    return folder


def folder_bytes(folder: Path) -> dict[str, bytes]:
    """All files of a folder with their contents."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def hear_signals() -> Iterator[None]:
    """Children hear signals that they would ignore as we do: Ctrl-C in the background of a script, all under nohup."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    for number in before:
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)
