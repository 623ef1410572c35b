"""seedpipe.networks: the d-vector is Resemblyzer's, rows do not depend on batches, the registry says what it knows."""

from __future__ import annotations

import importlib.metadata
import os
import re
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import RATE, STUB

from seedpipe.audio import decode
from seedpipe.errors import MissingExtraError, NetworkError
from seedpipe.networks import SpeakerNetwork, add_network, dvector, load_network, network_names

SECONDS = (0.3, 0.7, 1.0, 1.19, 1.2, 1.61, 2.0, 2.015, 2.8, 3.3, 4.015, 6.1)


@pytest.fixture(scope="module")
def network() -> SpeakerNetwork:
    pytest.importorskip("torchaudio")
    return load_network("dvector")


@pytest.fixture(scope="module")
def recordings(shared: Path) -> list[np.ndarray]:
    """A dozen real utterances of different lengths and speakers."""
    paths = sorted((shared / "data/train").rglob("*.flac"))
    chosen = paths[:: len(paths) // len(SECONDS)][: len(SECONDS)]
    waves = [decode.read_audio(path, RATE) for path in chosen]
    return [decode.crop(wave, 0, round(s * RATE)) for wave, s in zip(waves, SECONDS, strict=True)]


@pytest.fixture(scope="module")
def oracle() -> object:
    pytest.importorskip("librosa")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Resemblyzer imports from places that SciPy has moved
        resemblyzer = pytest.importorskip("resemblyzer")
        return resemblyzer.VoiceEncoder("cpu", verbose=False)


# --------------------------------------------------------------------------------------------------------- d-vector


@pytest.mark.parametrize("index", range(len(SECONDS)), ids=[f"{seconds} s" for seconds in SECONDS])
def test_the_dvector_equals_resemblyzer(
    network: SpeakerNetwork, oracle: object, recordings: list[np.ndarray], index: int
) -> None:
    wave = recordings[index]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = oracle.embed_utterance(wave)  # type: ignore[attr-defined]
    found = network(torch.from_numpy(wave)[None]).numpy()[0]
    np.testing.assert_allclose(found, expected, atol=1e-4)
    assert np.linalg.norm(found) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("gain", [1e-3, 1.0])
def test_the_level_step_is_that_of_resemblyzer(oracle: object, recordings: list[np.ndarray], gain: float) -> None:
    from resemblyzer import normalize_volume

    wave = (gain * recordings[6]).astype(np.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        raised = normalize_volume(wave, -30, increase_only=True)
        expected = oracle.embed_utterance(raised.astype(np.float32))  # type: ignore[attr-defined]
    network = dvector.DVector(level_dbfs=-30)
    np.testing.assert_allclose(network(torch.from_numpy(wave)[None]).numpy()[0], expected, atol=1e-4)


def test_levels_are_raised_and_never_lowered() -> None:
    rows = torch.tensor([[1e-4, -1e-4], [0.5, -0.5], [0, 0]])
    raised = dvector.raised(rows, -30)
    assert raised.square().mean(dim=1)[0].item() == pytest.approx(1e-3)
    assert torch.equal(raised[1:], rows[1:])


def test_the_level_is_in_the_fingerprint_where_there_is_one(tmp_path: Path) -> None:
    plain = dvector.DVector().fingerprint()
    added = add_network(tmp_path / "raised", "dvector", arguments={"level_dbfs": -30})
    assert (
        added.fingerprint()
        == dvector.DVector(-30.0).fingerprint()
        == load_network(str(tmp_path / "raised")).fingerprint()
    )
    assert added.fingerprint() not in (plain, dvector.DVector(-20).fingerprint())
    for wrong in (3, -200, "loud", float("nan")):
        with pytest.raises(NetworkError, match=r"loud|level_dbfs is"):
            add_network(tmp_path / "wrong", "dvector", arguments={"level_dbfs": wrong})


def test_a_row_does_not_depend_on_its_batch(network: SpeakerNetwork, recordings: list[np.ndarray]) -> None:
    waves = torch.from_numpy(np.stack([decode.crop(wave, 0, 2 * RATE) for wave in recordings]))
    together = network(waves)
    assert together.shape == (len(recordings), network.dimension)
    alone = torch.cat([network(wave[None]) for wave in waves])
    np.testing.assert_allclose(together.numpy(), alone.numpy(), atol=1e-6)
    np.testing.assert_allclose(network(waves.flip(0)).flip(0).numpy(), together.numpy(), atol=1e-6)


def test_the_weights_are_frozen_and_named_by_a_digest(network: SpeakerNetwork) -> None:
    assert isinstance(network, torch.nn.Module)
    assert not any(parameter.requires_grad for parameter in network.parameters())
    assert not network.training
    assert network.fingerprint() == load_network("dvector").fingerprint()
    assert len(network.fingerprint()) == 64


def test_silence_has_a_finite_embedding(network: SpeakerNetwork) -> None:
    assert torch.isfinite(network(torch.zeros(1, RATE))).all()


def test_the_shortest_waveform_is_taken(network: SpeakerNetwork) -> None:
    assert torch.isfinite(network(torch.full((2, network.min_samples), 0.1))).all()


def test_a_missing_wheel_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    def nothing(name: str) -> None:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "distribution", nothing)
    with pytest.raises(MissingExtraError, match="Resemblyzer wheel, which is not installed; pip install --no-deps"):
        load_network("dvector")


def test_missing_and_foreign_weights_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Distribution:
        def locate_file(self, name: str) -> Path:
            return tmp_path / Path(name).name

    monkeypatch.setattr(importlib.metadata, "distribution", lambda _: Distribution())
    with pytest.raises(NetworkError, match=r"pretrained\.pt: the weights .* are missing; reinstall"):
        load_network("dvector")
    torch.save({"model_state": {"lstm.bias": torch.zeros(1)}}, tmp_path / "pretrained.pt")
    with pytest.raises(NetworkError, match=r"pretrained\.pt: the weights do not fit"):
        load_network("dvector")


def test_partial_utterances_are_those_of_resemblyzer(oracle: object) -> None:
    for samples in (*range(1, 60_000, 997), 64_240, 160_000, 1_600_000):
        _, slices = oracle.compute_partial_slices(samples, rate=1.3, min_coverage=0.75)  # type: ignore[attr-defined]
        assert dvector.partial_starts(samples) == [part.start for part in slices]


# --------------------------------------------------------------------------------------------------------- registry


def test_a_network_is_found_by_its_path() -> None:
    network = load_network(STUB)
    assert (network.name, network.dimension) == ("stub", 8)
    assert isinstance(network, SpeakerNetwork)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("resnet99", "unknown network 'resnet99'; expected dvector, campplus, package.module:factory, a folder w"),
        ("resnet34", "'resnet34' comes without weights; expected a published checkpoint; seedpipe network convert"),
        ("no.such.module:make", "the network 'no.such.module:make' cannot be imported: No module named 'no'"),
        ("stub_network:nothing", "cannot be imported: module 'stub_network' has no attribute 'nothing'"),
        (":make", "the network ':make' cannot be imported"),
        ("broken_network:make", "the network 'broken_network:make' cannot be imported: this module never works"),
        ("stub_network:fail", "the factory of the network 'stub_network:fail' failed: no weights today"),
        ("stub_network:SHAPES", "the factory of the network 'stub_network:SHAPES' failed"),
        ("stub_network:make_nothing", "'stub_network:make_nothing' makes a object; expected name, sample_rate"),
    ],
)
def test_what_is_no_network_is_refused(name: str, text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "broken_network.py").write_text("raise RuntimeError('this module never works')\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(NetworkError) as caught:
        load_network(name)
    assert text in str(caught.value)


def test_the_examples_of_the_documentation_run(tmp_path: Path) -> None:
    page = (Path(__file__).resolve().parents[2] / "docs" / "networks.md").read_text(encoding="utf-8")
    code = re.findall(r"^```python\n(.*?)^```$", page, flags=re.MULTILINE | re.DOTALL)
    assert len(code) == 1
    (tmp_path / "loudness.py").write_text(code[0], encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-W", "error", "loudness.py"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).resolve().parents[2])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_installed_packages_register_networks(monkeypatch: pytest.MonkeyPatch) -> None:
    def entry_points(group: str) -> list[importlib.metadata.EntryPoint]:
        assert group == "seedpipe.networks"
        return [
            importlib.metadata.EntryPoint("zebra", STUB, group),
            importlib.metadata.EntryPoint("dvector", STUB, group),
        ]

    monkeypatch.setattr(importlib.metadata, "entry_points", entry_points)
    assert network_names() == ["dvector", "campplus", "zebra"]
    assert load_network("zebra").name == "stub"
    assert load_network("dvector").name == "dvector", "a package cannot replace a built-in network"
    with pytest.raises(NetworkError, match="expected dvector, campplus, zebra, package"):
        load_network("lion")
