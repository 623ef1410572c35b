"""seedpipe.networks.onnx: files exported from our own networks give what torch gives, and others are refused."""

from __future__ import annotations

import shutil
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from golden_weights import formula_state, formula_waves
from torch import Tensor, nn
from torchaudio.compliance import kaldi

from seedpipe.audio import read_audio, read_manifest
from seedpipe.errors import MissingExtraError, NetworkError
from seedpipe.extract import extract
from seedpipe.networks import SpeakerNetwork, add_network, check_network, describe_network, load_network, read_config
from seedpipe.networks.drl import ECAPADRL
from seedpipe.networks.onnx import OnnxNetwork
from seedpipe.params import EvaluationParams, ExtractParams

onnx = pytest.importorskip("onnx")
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


def with_metadata(path: Path, out: Path, **metadata: object) -> Path:
    """A copy of a file with metadata, as sherpa-onnx's exporters write it."""
    model = onnx.load(path)
    onnx.helper.set_model_props(model, {name: str(value) for name, value in metadata.items()})
    onnx.save(model, out)
    return out


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


# ---------------------------------------------------------------------------------------------------- what a file says

SHERPA = {
    "framework": "3d-speaker",
    "sample_rate": 16_000,
    "normalize_samples": 1,
    "feature_normalize_type": "global-mean",
}
OURS = SHERPA | {"seedpipe_features": "sherpa"}
WESPEAKER = {"framework": "wespeaker", "sample_rate": 8_000, "normalize_features": 0}


class SmallFromMels(nn.Module):
    """Mels (B, F, 80) -> embeddings (B, 8), quickly."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(80, 8)
        self.load_state_dict(formula_state(self))
        self.requires_grad_(False)

    def forward(self, feats: Tensor) -> Tensor:
        return self.linear(feats).relu().mean(dim=1)


@pytest.fixture(scope="module")
def small_from_mels(tmp_path_factory: pytest.TempPathFactory) -> tuple[SmallFromMels, Path]:
    module = SmallFromMels()
    return module, export(module, tmp_path_factory.mktemp("onnx") / "mels.onnx", (2, 100, 80), (0, 1))


@pytest.mark.parametrize(
    ("metadata", "arguments", "rate", "scale", "window", "centred"),
    [
        (SHERPA | {"output_dim": 8, "language": "English"}, {}, 16_000, 1.0, "povey", True),
        (SHERPA | {"sample_rate": 8_000}, {}, 8_000, 1.0, "povey", True),
        (SHERPA | {"sample_rate": 8_000}, {"features": "3dspeaker", "sample_rate": 8_000}, 8_000, 1.0, "povey", True),
        (WESPEAKER, {}, 8_000, 2.0**15, "hamming", True),
        ({"framework": "wespeaker", "normalize_samples": 1}, {}, 16_000, 1.0, "hamming", True),
        (SHERPA | {"feature_normalize_type": ""}, {}, 16_000, 1.0, "povey", False),
        ({"normalize_samples": 1}, {}, 16_000, 1.0, "povey", True),
        ({}, {"sample_rate": 8_000}, 8_000, 2.0**15, "hamming", True),
        ({"framework": "mine"}, {"features": "3dspeaker"}, 16_000, 1.0, "povey", True),
    ],
)
def test_the_metadata_of_a_file_decides_what_the_network_is_given(
    small_from_mels: tuple[SmallFromMels, Path],
    tmp_path: Path,
    metadata: dict[str, object],
    arguments: dict[str, str | int],
    rate: int,
    scale: float,
    window: str,
    centred: bool,
) -> None:
    module, path = small_from_mels
    copy = with_metadata(path, tmp_path / "copy.onnx", **metadata)
    add_network(tmp_path / "mine", "onnx", str(copy), arguments)
    network = load_network(tmp_path / "mine")
    waves = formula_waves("metadata", 2, rate)
    features = torch.stack(
        [
            kaldi.fbank(
                wave[None] * scale,
                num_mel_bins=80,
                window_type=window,
                sample_frequency=rate,
                subtract_mean=centred,
            )
            for wave in waves
        ]
    )
    np.testing.assert_allclose(network(waves).numpy(), module(features).numpy(), rtol=0, atol=1e-4)
    stored = read_config(tmp_path / "mine").arguments
    assert stored == {"features": "3dspeaker" if window == "povey" else "wespeaker", "sample_rate": rate}
    described = describe_network(network)
    assert described["sample_rate"] == network.sample_rate == rate
    assert f"{rate:,} Hz: {window.capitalize()} window" in described["input"]


@pytest.mark.parametrize(
    ("metadata", "arguments", "scale"),
    [
        (SHERPA, {"features": "sherpa"}, 1.0),
        (OURS, {}, 1.0),
        (WESPEAKER | {"sample_rate": 16_000}, {"features": "sherpa"}, 2.0**15),
    ],
)
def test_a_file_may_be_given_what_sherpa_onnx_would_give_it(
    small_from_mels: tuple[SmallFromMels, Path],
    tmp_path: Path,
    metadata: dict[str, object],
    arguments: dict[str, str | int],
    scale: float,
) -> None:
    module, path = small_from_mels
    add_network(tmp_path / "mine", "onnx", str(with_metadata(path, tmp_path / "copy.onnx", **metadata)), arguments)
    network = load_network(tmp_path / "mine")
    (wave,) = formula_waves("metadata", 1, 16_000)
    settings = {"num_mel_bins": 80, "high_freq": -400.0, "snip_edges": False, "subtract_mean": True}
    expected = module(kaldi.fbank(wave[None] * scale, **settings)[None])
    np.testing.assert_allclose(network(wave[None]).numpy(), expected.numpy(), rtol=0, atol=1e-4)
    assert read_config(tmp_path / "mine").arguments == {"features": "sherpa", "sample_rate": 16_000}


def test_waveforms_are_given_at_the_rate_and_scale_of_the_file(
    from_waveform: tuple[FromWaveform, Path], tmp_path: Path
) -> None:
    module, path = from_waveform
    network = load_network(with_metadata(path, tmp_path / "c.onnx", sample_rate=8_000, normalize_samples=0))
    waves = formula_waves("scale", 2, 8_000)
    assert network.sample_rate == 8_000
    np.testing.assert_allclose(network(waves).numpy(), module(waves * 2.0**15).numpy(), rtol=1e-4)


@pytest.mark.parametrize(
    ("metadata", "arguments", "message"),
    [
        (SHERPA, {"features": "wespeaker"}, "says framework 3d-speaker in its metadata; .* features=wespeaker"),
        (SHERPA, {"sample_rate": 8_000}, "says sample_rate 16000 .* sample_rate=8000"),
        (OURS, {"features": "3dspeaker"}, "says seedpipe_features sherpa .* features=3dspeaker"),
        (SHERPA | {"seedpipe_features": "mfcc"}, {}, "seedpipe_features 'mfcc' .*; expected waveform, wespeaker, "),
        (SHERPA | {"output_dim": 192}, {}, "says output_dim 192 .*; expected 8"),
        (SHERPA | {"sample_rate": "16k"}, {}, "sample_rate '16k'"),
        (SHERPA | {"sample_rate": 0}, {}, "sample_rate '0'"),
        (SHERPA | {"sample_rate": 10**9}, {}, "sample_rate '1000000000'"),
        (SHERPA | {"sample_rate": 999_999}, {}, "takes 999,999 samples per second"),
        (SHERPA | {"normalize_samples": "yes"}, {}, "normalize_samples 'yes' .*; expected 1 or 0"),
        (SHERPA | {"feature_normalize_type": "per_feature"}, {}, "feature_normalize_type 'per_feature'"),
        (SHERPA | {"framework": "nemo"}, {}, "framework 'nemo' .*; expected wespeaker or 3d-speaker"),
        ({}, {"sample_rate": "fast"}, "sample_rate is 'fast'"),
    ],
)
def test_metadata_that_contradicts_or_is_not_understood_is_refused(
    small_from_mels: tuple[SmallFromMels, Path],
    tmp_path: Path,
    metadata: dict[str, object],
    arguments: dict[str, str | int],
    message: str,
) -> None:
    copy = with_metadata(small_from_mels[1], tmp_path / "copy.onnx", **metadata)
    with pytest.raises(NetworkError, match=message):
        add_network(tmp_path / "mine", "onnx", str(copy), arguments)


class BinsFirst(nn.Module):
    """Mels (B, 80, F) -> embeddings (B, 6)."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv1d(80, 6, 3)
        self.load_state_dict(formula_state(self))

    def forward(self, feats: Tensor) -> Tensor:
        return self.conv(feats).mean(dim=2)


@pytest.mark.parametrize(
    ("example", "dynamic"),
    [((2, 80, 100), (0, 2)), ((2, 80, 100), (0,)), ((2, 80, 300), ()), ((2, 80, 100), (0, 1, 2))],
)
def test_transposed_axes_are_named(example: tuple[int, ...], dynamic: tuple[int, ...], tmp_path: Path) -> None:
    path = export(BinsFirst(), tmp_path / "bins_first.onnx", example, dynamic)
    with pytest.raises(NetworkError, match=r"\(B, bins, frames\): frames and bins are transposed; expected"):
        load_network(path)


def test_an_8_khz_network_hears_what_the_pipeline_resamples(
    small_from_mels: tuple[SmallFromMels, Path], manifests: Path, tmp_path: Path
) -> None:
    copy = with_metadata(small_from_mels[1], tmp_path / "copy.onnx", **SHERPA | {"sample_rate": 8_000})
    add_network(tmp_path / "mine", "onnx", str(copy))
    evaluation = EvaluationParams(crops=1, crop_samples=4_000, conditions=("noise",))
    params = ExtractParams(networks=("mine",), evaluation=evaluation)
    made = extract(manifests / "tiny", str(tmp_path / "mine"), tmp_path / "cache", params, kind="evaluation")
    assert made.info.network.sample_rate == 8_000
    assert made.info.resampled == {"16000": 4}
    row = read_manifest(manifests / "tiny/speech.csv").frame.iloc[0]
    heard = torch.from_numpy(read_audio(row["path"], 8_000)[:4_000])
    expected = load_network(tmp_path / "mine")(heard[None]).numpy()[0]
    np.testing.assert_allclose(made.to_numpy()[0, 0], expected, rtol=0, atol=1e-4)


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
    with pytest.raises(NetworkError, match="a network of kind onnx takes no 'window'; expected features, sample_rate"):
        add_network(tmp_path / "x", "onnx", str(from_waveform[1]), {"window": "povey"})
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize(
    "shape", [(2**40, "t"), ("b", 2**40), ("b", "f", 2**31), ("b", "f", 10**6), ("b", 2**40, 80), (2**40, "f", 80)]
)
def test_lengths_that_a_file_claims_are_bounded_before_memory_is_taken(
    tmp_path: Path, shape: tuple[int | str, ...]
) -> None:
    path = claiming(tmp_path / "in.onnx", shape, dimension=4)
    with pytest.raises(NetworkError, match=r"has an input of .*; expected at most 1024 x 16777216 x 512"):
        load_network(path)


def test_embeddings_of_no_values_are_refused(tmp_path: Path) -> None:
    with pytest.raises(NetworkError, match="its values are not finite, or there are none"):
        load_network(claiming(tmp_path / "in.onnx", ("b", "t"), dimension=0))


def claiming(path: Path, shape: tuple[int | str, ...], dimension: int) -> Path:
    """A network of a few hundred bytes: the mean of its input, times a row of ones."""
    weight = onnx.numpy_helper.from_array(np.ones((1, dimension), np.float32), "w")
    nodes = [
        onnx.helper.make_node("ReduceMean", ["x"], ["m"], keepdims=0, axes=list(range(1, len(shape)))),
        onnx.helper.make_node("Unsqueeze", ["m", "axes"], ["c"]),
        onnx.helper.make_node("MatMul", ["c", "w"], ["y"]),
    ]
    axes = onnx.numpy_helper.from_array(np.array([1]), "axes")
    places = [onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, shape)]
    ends = [onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, ["b", dimension])]
    graph = onnx.helper.make_graph(nodes, "g", places, ends, [weight, axes])
    onnx.save(onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 13)], ir_version=8), path)
    return path


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
    with pytest.raises(MissingExtraError, match=r'pip install "onnx>='):
        load_network(path)


# --------------------------------------------------------------------------------------------------------- on a GPU


CUDA = "CUDAExecutionProvider"


@pytest.fixture
def providers(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What sessions are asked to run on; where that is a GPU, they compute on the CPU and say otherwise."""
    asked: list[Any] = []
    make = onnxruntime.InferenceSession

    class Session(make):  # type: ignore[misc, valid-type]
        def __init__(self, contents: bytes, options: Any, providers: list[Any], **others: Any) -> None:
            asked.append((providers, options.use_deterministic_compute))
            super().__init__(contents, options, providers=["CPUExecutionProvider"], **others)

        def get_providers(self) -> list[str]:
            return [each[0] if isinstance(each, tuple) else each for each in asked[-1][0]]

    monkeypatch.setattr(onnxruntime, "InferenceSession", Session)
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: [CUDA, "CPUExecutionProvider"])
    return asked


def test_a_network_goes_to_the_gpu_that_onnxruntime_knows_and_computes_exactly(
    from_waveform: tuple[FromWaveform, Path], providers: list[Any]
) -> None:
    network = OnnxNetwork(from_waveform[1])
    alone = network(torch.ones(2, 8_000))
    assert providers[-1] == (["CPUExecutionProvider"], False)
    assert network.to(torch.device("cuda", 1)) is network
    ((name, options), rest), deterministic = providers[-1]
    assert (name, rest, deterministic) == (CUDA, "CPUExecutionProvider", True)
    assert options == {"use_tf32": "0", "cudnn_conv_algo_search": "DEFAULT", "device_id": "1"}
    assert torch.equal(network(torch.ones(2, 8_000)), alone)
    opened = len(providers)
    network.to(torch.device("cuda"))
    assert len(providers) == opened, "it is there already"
    network.to(torch.device("cpu"))
    assert providers[-1] == (["CPUExecutionProvider"], False)


def test_a_network_that_cannot_go_to_the_gpu_says_so(
    from_waveform: tuple[FromWaveform, Path], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CPUExecutionProvider"])
    network = OnnxNetwork(from_waveform[1]).to(torch.device("cuda"))
    assert f"small stays on the CPU: onnxruntime has no {CUDA} (pip install onnxruntime-gpu)" in caplog.text
    assert network(torch.ones(2, 8_000)).shape[0] == 2


@pytest.mark.usefixtures("providers")
def test_a_file_that_changes_before_it_goes_to_the_gpu_is_refused(
    from_waveform: tuple[FromWaveform, Path], tmp_path: Path
) -> None:
    path = Path(shutil.copy(from_waveform[1], tmp_path))
    network = OnnxNetwork(path)
    export(FromWaveform(), path, (3, SAMPLES), (1,))
    with pytest.raises(NetworkError, match="has changed since it was loaded"):
        network.to(torch.device("cuda"))
