"""seedpipe.networks.onnx: files exported from our own networks give what torch gives, and others are refused."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from golden_weights import formula_state, formula_waves
from torch import Tensor, nn
from torchaudio.compliance import kaldi

from seedpipe.errors import MissingExtraError, NetworkError
from seedpipe.networks import SpeakerNetwork, add_network, check_network, load_network
from seedpipe.networks.drl import ECAPADRL

pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")
SAMPLES = 16_000


class FromMels(nn.Module):
    """Our ECAPA after its front end, as WeSpeaker exports networks: mels (B, F, 80) -> embeddings (B, D)."""

    def __init__(self) -> None:
        super().__init__()
        self.network = ECAPADRL(8)
        self.network.load_state_dict(formula_state(self.network))

    def forward(self, feats: Tensor) -> Tensor:
        codes: Tensor = self.network.encoder(self.network.speaker.pooled(feats.transpose(1, 2)))
        return codes[:, : self.network.dimension]


class FromWaveform(nn.Module):
    """A small network on waveforms (B, T)."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv1d(1, 16, 400, stride=160)
        self.linear = nn.Linear(16, 6)
        self.load_state_dict(formula_state(self))
        self.eval().requires_grad_(False)

    def forward(self, waveforms: Tensor) -> Tensor:
        return self.linear(self.conv(waveforms.unsqueeze(1)).relu().mean(dim=2))


def export(
    module: nn.Module,
    path: Path,
    example: tuple[int, ...],
    dynamic: tuple[int, ...],
    outputs: tuple[str, ...] = ("embs",),
) -> Path:
    axes = {"feats": {axis: f"axis{axis}" for axis in dynamic}, "embs": {0: "axis0"} if 0 in dynamic else {}}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # the exporter that needs no further package
        torch.onnx.export(
            module.eval(),
            (torch.zeros(example),),
            path,
            input_names=["feats"],
            output_names=list(outputs),
            dynamic_axes=axes,
            dynamo=False,
        )
    return path


def mels(waves: Tensor, scale: float, window: str) -> Tensor:
    features = [kaldi.fbank(wave[None] * scale, num_mel_bins=80, window_type=window) for wave in waves]
    return torch.stack([feature - feature.mean(dim=0) for feature in features])


@pytest.fixture(scope="module")
def from_mels(tmp_path_factory: pytest.TempPathFactory) -> tuple[FromMels, Path]:
    module = FromMels()
    return module, export(module, tmp_path_factory.mktemp("onnx") / "ecapa.onnx", (2, 100, 80), (0, 1))


@pytest.fixture(scope="module")
def from_waveform(tmp_path_factory: pytest.TempPathFactory) -> tuple[FromWaveform, Path]:
    module = FromWaveform()
    return module, export(module, tmp_path_factory.mktemp("onnx") / "small.onnx", (2, SAMPLES), (0, 1))


# ------------------------------------------------------------------------------------------------------- what it gives


@pytest.mark.parametrize(
    ("features", "scale", "window"),
    [("", 2.0**15, "hamming"), ("3dspeaker", 1.0, "povey")],
    ids=["default", "3dspeaker"],
)
def test_mels_go_in_as_the_toolkits_make_them(
    features: str, scale: float, window: str, from_mels: tuple[FromMels, Path], tmp_path: Path
) -> None:
    module, path = from_mels
    add_network(tmp_path / "mine", "onnx", str(path), {"features": features} if features else {})
    network = load_network(tmp_path / "mine")
    waves = formula_waves("onnx", 3, SAMPLES)
    assert (network.name, network.dimension) == ("mine", 8)
    np.testing.assert_allclose(network(waves).numpy(), module(mels(waves, scale, window)).numpy(), rtol=0, atol=1e-4)


def test_waveforms_go_in_as_they_are(from_waveform: tuple[FromWaveform, Path]) -> None:
    module, path = from_waveform
    network = load_network(str(path))
    assert isinstance(network, SpeakerNetwork)
    assert (network.name, network.sample_rate, network.dimension, network.min_samples) == ("small", 16_000, 6, 400)
    waves = formula_waves("onnx", 5, 12_345)
    np.testing.assert_allclose(network(waves).numpy(), module(waves).numpy(), rtol=0, atol=1e-5)
    assert [check.name for check in check_network(network) if not check.passed] == []


def test_a_fixed_batch_axis_is_filled_up(tmp_path: Path) -> None:
    module = FromWaveform()
    network = load_network(export(module, tmp_path / "fixed.onnx", (4, SAMPLES), (1,)))
    for rows in (1, 4, 6):
        waves = formula_waves("fixed", rows, 8_000)
        np.testing.assert_allclose(network(waves).numpy(), module(waves).numpy(), rtol=0, atol=1e-5)


def test_a_fixed_time_axis_takes_its_own_length_alone(tmp_path: Path) -> None:
    network = load_network(export(FromWaveform(), tmp_path / "fixed.onnx", (1, SAMPLES), ()))
    assert network.min_samples == SAMPLES
    assert network(formula_waves("fixed", 3, SAMPLES)).shape == (3, 6)
    with pytest.raises(NetworkError, match="was given 16001 samples; expected exactly 16000, as it was exported"):
        network(formula_waves("fixed", 3, SAMPLES + 1))
    frames = load_network(export(FromMels(), tmp_path / "frames.onnx", (1, 100, 80), (0,)))
    assert frames.min_samples == 400 + 99 * 160
    with pytest.raises(NetworkError, match="was given 101 frames of 10 ms; expected exactly 100"):
        frames(torch.zeros(1, frames.min_samples + 160))


def test_the_fingerprint_covers_weights_and_features_and_no_place(
    from_mels: tuple[FromMels, Path], tmp_path: Path
) -> None:
    _, path = from_mels
    copy = tmp_path / "copy.onnx"
    copy.write_bytes(path.read_bytes())
    assert load_network(copy).fingerprint() == load_network(path).fingerprint()
    add_network(tmp_path / "other", "onnx", str(copy), {"features": "3dspeaker"})
    assert load_network(tmp_path / "other").fingerprint() != load_network(path).fingerprint()
    export(FromWaveform(), copy, (2, SAMPLES), (0, 1))
    with pytest.raises(NetworkError, match="has an input of axis0 x axis1 for 3dspeaker"):
        load_network(tmp_path / "other")


# ----------------------------------------------------------------------------------------------------- what is refused


class TwoOutputs(FromWaveform):
    def forward(self, waveforms: Tensor) -> tuple[Tensor, Tensor]:  # type: ignore[override]
        return super().forward(waveforms), super().forward(waveforms) * 2


class NeverFinite(FromWaveform):
    def forward(self, waveforms: Tensor) -> Tensor:
        return super().forward(waveforms) * torch.inf


def test_networks_that_are_not_understood_are_refused(from_waveform: tuple[FromWaveform, Path], tmp_path: Path) -> None:
    cases = {
        "has 2 outputs with two axes; expected one, the embeddings (B, D)": (TwoOutputs(), (2, SAMPLES)),
        "has an input of axis0 x 1 x 80 x 3 for wespeaker": (nn.Flatten(), (2, 1, 80, 3)),
        "its values are not finite": (NeverFinite(), (2, SAMPLES)),
    }
    for number, (text, (module, example)) in enumerate(cases.items()):
        path = export(module, tmp_path / f"{number}.onnx", example, (0,), ("embs", "more")[: 1 + (number == 0)])
        with pytest.raises(NetworkError) as caught:
            load_network(path)
        assert text in str(caught.value)
        assert str(path) in str(caught.value)
    with pytest.raises(NetworkError, match="cannot be given 'mfcc'; expected one of waveform, wespeaker, 3dspeaker"):
        add_network(tmp_path / "x", "onnx", str(from_waveform[1]), {"features": "mfcc"})
    with pytest.raises(NetworkError, match="a network of kind onnx takes no 'window'; expected features"):
        add_network(tmp_path / "x", "onnx", str(from_waveform[1]), {"window": "povey"})
    assert not (tmp_path / "x").exists()


def test_damaged_and_missing_files_are_named(from_waveform: tuple[FromWaveform, Path], tmp_path: Path) -> None:
    contents = from_waveform[1].read_bytes()
    for name, part in (("cut.onnx", contents[: len(contents) // 2]), ("text.onnx", b"no network"), ("empty.onnx", b"")):
        (tmp_path / name).write_bytes(part)
        with pytest.raises(NetworkError, match=rf"{name}: is no ONNX network that can be run \({len(part):,} bytes"):
            load_network(tmp_path / name)
    with pytest.raises(NetworkError, match=r"none\.onnx: cannot be read \(no such file"):
        load_network(tmp_path / "none.onnx")


def test_weights_in_a_second_file_are_refused(from_waveform: tuple[FromWaveform, Path], tmp_path: Path) -> None:
    import onnx

    model = onnx.load(from_waveform[1])
    onnx.save(model, tmp_path / "two.onnx", save_as_external_data=True, location="two.data", size_threshold=0)
    assert (tmp_path / "two.data").exists()
    with pytest.raises(NetworkError, match=r"two\.onnx: is no ONNX network that can be run.*external_data=False"):
        load_network(tmp_path / "two.onnx")


def test_without_onnxruntime_the_extra_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(__import__("sys").modules, "onnxruntime", None)
    path = tmp_path / "x.onnx"
    path.write_bytes(b"a graph")
    with pytest.raises(MissingExtraError, match=r'pip install "seedpipe\[onnx\]"'):
        load_network(path)
