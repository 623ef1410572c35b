"""seedpipe.networks.folder and selftest: a network is whole or absent, independent of its place, and watched."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torchaudio
from conftest import STUB, folder_bytes
from golden_weights import formula_state, formula_waves, prefixed
from stub_network import NotANumber, Stub
from torch import Tensor

from seedpipe.errors import NetworkError
from seedpipe.files import folders, sealed
from seedpipe.networks import add_network, convert_checkpoint, load, load_network, read_config
from seedpipe.networks import folder as module
from seedpipe.networks.resnet34 import ResNet34
from seedpipe.networks.selftest import Check, check_network, same_numbers, self_test, synthetic_signal

Edit = Callable[[dict[str, Any]], dict[str, Any]]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    network = ResNet34(8)
    network.load_state_dict(formula_state(network))
    path = tmp_path_factory.mktemp("checkpoint") / "official.model"
    torch.save({"model": prefixed(network.state_dict(), "__S__.")}, path)
    return path


@pytest.fixture(scope="module")
def converted(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("networks") / "mine"
    convert_checkpoint(checkpoint, folder)
    return folder


@pytest.fixture
def own(converted: Path, tmp_path: Path) -> Path:
    """A copy of the converted network for one test."""
    return Path(shutil.copytree(converted, tmp_path / "moved" / "renamed"))


def rewrite(folder: Path, edit: Edit) -> None:
    path = folder / "network.json"
    path.write_text(json.dumps(sealed(edit(json.loads(path.read_text(encoding="utf-8"))))), encoding="utf-8")


# ------------------------------------------------------------------------------------------------------------ convert


def test_a_converted_checkpoint_gives_the_embeddings_of_its_weights(converted: Path) -> None:
    loaded = load_network(converted)
    network = ResNet34(8)
    network.load_state_dict(formula_state(network))
    waves = formula_waves("converted", 2, 8_000)
    assert torch.equal(loaded(waves), network(waves))
    assert (loaded.name, loaded.dimension, loaded.fingerprint()) == ("mine", 8, network.fingerprint())
    assert same_numbers(self_test(loaded), read_config(converted).self_test)
    assert sorted(path.name for path in converted.iterdir()) == ["network.json", "weights.safetensors"]


def test_a_folder_that_is_replaced_while_it_is_read_is_read_again(
    converted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = ResNet34(8)
    other.load_state_dict(formula_state(other))
    other.state_dict()["fc.weight"].mul_(2)
    torch.save(other.state_dict(), tmp_path / "other.pt")
    folder = Path(shutil.copytree(converted, tmp_path / "mine"))
    read, times = load.read_state, iter("12")

    def replaced(path: Path) -> Any:
        if next(times) == "1":
            convert_checkpoint(tmp_path / "other.pt", folder)
        return read(path)

    monkeypatch.setattr(load, "read_state", replaced)
    assert load_network(folder).fingerprint() == other.fingerprint()


def test_the_same_checkpoint_gives_the_same_bytes_and_replaces_an_older_folder(
    converted: Path, checkpoint: Path, tmp_path: Path
) -> None:
    add_network(tmp_path / "mine", "dvector")
    convert_checkpoint(checkpoint, tmp_path / "mine", "resnet34")
    assert folder_bytes(tmp_path / "mine") == folder_bytes(converted)
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_the_name_and_fingerprint_stay_when_the_folder_moves(own: Path, converted: Path) -> None:
    moved, original = load_network(own), load_network(str(converted))
    assert (moved.name, moved.fingerprint()) == (original.name, original.fingerprint())


@pytest.mark.parametrize("moment", ["_save_weights", "publish_folder"])
def test_a_failed_conversion_leaves_what_was_there(
    own: Path, checkpoint: Path, moment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = folder_bytes(own.parent)

    def fail(*_: object) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(folders if moment == "publish_folder" else module, moment, fail)
    with pytest.raises(OSError, match="no space"):
        convert_checkpoint(checkpoint, own)
    assert folder_bytes(own.parent) == before
    assert [path.name for path in own.parent.iterdir()] == [own.name]


def test_folders_with_other_files_are_left_alone(checkpoint: Path, tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("x")
    with pytest.raises(NetworkError, match=r"is no network folder: it holds thesis\.tex"):
        convert_checkpoint(checkpoint, tmp_path)
    with pytest.raises(NetworkError, match=r"is no network folder: it holds thesis\.tex"):
        add_network(tmp_path, "dvector")
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


# --------------------------------------------------------------------------------------------------------------- load


def test_changed_weights_are_noticed(own: Path) -> None:
    contents = bytearray((own / "weights.safetensors").read_bytes())
    contents[len(contents) // 2] ^= 1
    (own / "weights.safetensors").write_bytes(contents)
    with pytest.raises(NetworkError, match=r"network\.json: the network is not the one that was described"):
        load_network(own)


def test_missing_weights_are_named(own: Path) -> None:
    (own / "weights.safetensors").unlink()
    with pytest.raises(NetworkError, match=r"weights\.safetensors: there is no such file"):
        load_network(own)


@pytest.mark.parametrize(
    ("edit", "text"),
    [
        (lambda c: c | {"kind": "ecapa"}, "these entries belong to resnet34"),
        (
            lambda c: c | {"kind": "vgg"},
            "there is no kind 'vgg' of networks that bring their own weights; expected dvector, campplus, fact",
        ),
        (lambda c: c | {"dimension": 9}, "the network is not the one that was described"),
        (lambda c: c | {"dimension": "8"}, "dimension: input should be a valid integer"),
        (lambda c: c | {"weights": "x"}, "weights: extra inputs are not permitted"),
        (lambda c: c | {"format": "seedpipe-network-2"}, "format: input should be 'seedpipe-network-1'"),
        (lambda c: {k: v for k, v in c.items() if k != "fingerprint"}, "fingerprint: field required"),
        (lambda _: {}, "name: field required"),
    ],
)
def test_an_unusable_description_is_refused(edit: Edit, text: str, own: Path) -> None:
    rewrite(own, edit)
    with pytest.raises(NetworkError) as caught:
        load_network(own)
    assert text in str(caught.value)
    assert str(own) in str(caught.value) or "no kind" in text


def test_a_folder_without_a_description_is_no_network(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(NetworkError, match=r"the folder holds no network\.json"):
        load_network(tmp_path / "empty")
    (tmp_path / "empty" / "network.json").write_bytes(b"\xff\x00")
    with pytest.raises(NetworkError, match="expected what seedpipe network convert or add writes"):
        load_network(tmp_path / "empty")


# ---------------------------------------------------------------------------------------------------------------- add


def test_a_factory_is_called_with_the_arguments_of_the_file(tmp_path: Path) -> None:
    target = "seedpipe.networks.resnet34:ResNet34"
    add_network(tmp_path / "small", "factory", target, {"dimension": 4, "seed": 5})
    loaded = load_network(tmp_path / "small")
    assert (loaded.dimension, loaded.fingerprint()) == (4, ResNet34(4, seed=5).fingerprint())
    rewrite(tmp_path / "small", lambda c: c | {"arguments": {"dimension": 4, "seed": 6}})
    with pytest.raises(NetworkError, match="the network is not the one that was described"):
        load_network(tmp_path / "small")


def test_a_network_of_another_make_is_described_too(tmp_path: Path) -> None:
    add_network(tmp_path / "stub", "factory", STUB)
    config = read_config(tmp_path / "stub")
    assert (config.name, config.source, config.dimension, len(config.self_test)) == ("stub", STUB, 8, 8)
    assert load_network(tmp_path / "stub").name == "stub"


def test_a_name_that_no_table_can_show_and_values_that_are_not_finite_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(NetworkError, match=r"cannot be described \(name: string should match pattern"):
        add_network(tmp_path / "two words", "dvector")
    monkeypatch.setattr(Stub, "__call__", lambda _, waveforms: waveforms[:, :8] * torch.nan)
    with pytest.raises(NetworkError, match=r"cannot be described \(self_test\.0: input should be a finite number"):
        add_network(tmp_path / "nan", "factory", STUB)
    assert list(tmp_path.iterdir()) == []


def test_the_committed_description_of_the_dvector_fits() -> None:
    folder = Path(__file__).resolve().parents[2] / "networks" / "dvector"
    loaded = load_network(folder)
    assert loaded.fingerprint() == load_network("dvector").fingerprint()
    assert same_numbers(self_test(loaded), read_config(folder).self_test)


# ---------------------------------------------------------------------------------------------------------- self-test


def test_the_synthetic_signal_is_the_same_everywhere() -> None:
    signal = synthetic_signal(32_000, 16_000)
    assert (signal.dtype, signal.shape) == (np.float32, (32_000,))
    expected = [0.0136961685, -0.0229647905, -0.0456914976]
    np.testing.assert_allclose(signal[[0, 1, 2]], expected, atol=1e-7)
    assert np.abs(signal).max() < 1
    assert not np.array_equal(signal, synthetic_signal(32_000, 16_000, key=1))


def test_the_self_test_notices_precision_and_filter_bank() -> None:
    network = ResNet34(16)
    network.load_state_dict(formula_state(network))
    original = self_test(network)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert not same_numbers(self_test(network), original)
    slaney = torchaudio.functional.melscale_fbanks(257, 0.0, 8_000.0, 64, 16_000, mel_scale="slaney")
    network.torchfb[1].mel_scale.fb.copy_(slaney)
    assert not same_numbers(self_test(network), original)
    assert not same_numbers([*original[:-1], float("nan")], original)
    assert not same_numbers(original[:-1], original)


class Batchwise(Stub):
    """Its rows depend on each other."""

    def __call__(self, waveforms: Tensor) -> Tensor:
        embeddings = super().__call__(waveforms)
        return embeddings - embeddings.mean(dim=0)


class Forgetful(Stub):
    """It gives other numbers every time."""

    calls = 0

    def __call__(self, waveforms: Tensor) -> Tensor:
        self.calls += 1
        return super().__call__(waveforms) + self.calls


class Picky(Stub):
    """It claims to take shorter waveforms than it does."""

    def __call__(self, waveforms: Tensor) -> Tensor:
        if waveforms.shape[1] <= self.min_samples:
            raise ValueError("too short")
        return super().__call__(waveforms)


def failed(checks: list[Check]) -> list[str]:
    return [check.name for check in checks if not check.passed]


@pytest.mark.parametrize(
    ("network", "names"),
    [
        (Stub(), []),
        (Batchwise(), ["a row without regard to its batch"]),
        (Forgetful(), ["the same again", "a row without regard to its batch"]),
        (NotANumber(), ["finite values"]),
        (Picky(), ["800 samples, the shortest"]),
    ],
)
def test_check_finds_what_the_pipeline_cannot_bear(network: Stub, names: list[str]) -> None:
    assert failed(check_network(network)) == names


def test_check_compares_with_the_stored_values() -> None:
    assert failed(check_network(Stub(), stored=self_test(Stub()))) == []
    for stored in ([1.0] * 8, [1.0] * 7, [1.0] * 9):
        assert failed(check_network(Stub(), stored=stored)) == ["the stored self-test"]


def test_relative_places_are_relative_to_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Path] = []

    def note(kind: str, source: str, *_: object) -> Stub:
        assert kind == "onnx"
        seen.append(Path(os.path.normpath(source)))
        return Stub()

    for user in (module, load):
        monkeypatch.setattr(user, "make_network", note)
    monkeypatch.chdir(tmp_path)
    add_network(Path("networks/stub"), "onnx", "files/x.onnx")
    assert read_config(Path("networks/stub")).source == "../../files/x.onnx"
    load_network("networks/stub")
    load_network(tmp_path / "networks/stub")
    assert seen == [Path("files/x.onnx"), Path("files/x.onnx"), tmp_path / "files/x.onnx"]
