"""Network and enhancer as one graph: what onnxruntime and sherpa-onnx make of it is what torch makes."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import STUB, tone
from synthetic import PLAIN, golden_network
from torch import Tensor, nn
from typer.testing import CliRunner

import seedpipe
from seedpipe.cache import NetworkInfo
from seedpipe.cli import app
from seedpipe.enhancers import export_fused, fused
from seedpipe.enhancers.normalization import Normalization
from seedpipe.enhancers.seed import Enhancer, ModelConfig
from seedpipe.errors import MissingExtraError, ModelError, NetworkError
from seedpipe.networks import SpeakerNetwork, add_network, load_network
from seedpipe.networks.campplus import CAMPPlus
from seedpipe.networks.dvector import DVector
from seedpipe.networks.ecapa import ECAPA
from seedpipe.networks.onnx import OnnxNetwork
from seedpipe.networks.resnet34 import ResNet34
from seedpipe.params import TrainParams

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")
LENGTHS = (8_000, 20_000, 41_234)


def enhancer_for(network: SpeakerNetwork) -> Enhancer:
    """An enhancer that does something to the embeddings of a network."""
    info = NetworkInfo(
        name=network.name,
        fingerprint=network.fingerprint(),
        dimension=network.dimension,
        sample_rate=network.sample_rate,
    )
    config = ModelConfig(
        network=info,
        normalization=Normalization(kind="length", scale=4.0),
        train=TrainParams(**(PLAIN | {"normalize": "length", "adaptive_ensemble": False, "output": "network"})),
        cache="c" * 64,
        seedpipe=seedpipe.__version__,
    )
    return Enhancer(golden_network(network.dimension), config)


@pytest.fixture
def named(monkeypatch: pytest.MonkeyPatch) -> Callable[[SpeakerNetwork], str]:
    """Make a network known under a name."""

    def name(network: SpeakerNetwork) -> str:
        for home in ("fused", "audio"):
            monkeypatch.setattr("seedpipe.networks.load_network", lambda _: network)
            monkeypatch.setattr(f"seedpipe.enhancers.{home}.load_network", lambda _: network, raising=False)
        return "named"

    return name


def waves(samples: int) -> Tensor:
    return torch.from_numpy(np.stack([tone(hertz, samples / 16_000, seed=int(hertz)) for hertz in (110, 190)]))


def run(path: Path, inputs: Tensor) -> Tensor:
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    (found,) = session.run(["embedding"], {session.get_inputs()[0].name: inputs.numpy()})
    return torch.from_numpy(found)


@pytest.mark.parametrize(
    ("make", "takes"),
    [
        (lambda: CAMPPlus(16), "features"),
        (lambda: ResNet34(16), "waveforms"),
        (lambda: ECAPA(16), "waveforms"),
        (DVector, "waveforms"),
        (lambda: DVector(level_dbfs=-30), "waveforms"),
    ],
    ids=["campplus", "resnet34", "ecapa", "dvector", "raised"],
)
def test_the_graph_is_network_and_enhancer_at_every_length(
    make: Callable[[], Any], takes: str, named: Callable[[SpeakerNetwork], str], tmp_path: Path
) -> None:
    network = make()
    enhancer = enhancer_for(network)
    made = export_fused(enhancer, named(network), tmp_path / "one.onnx")
    assert (made.input, made.bytes) == (takes, (tmp_path / "one.onnx").stat().st_size)
    assert made.cosine > 0.9999
    assert made.remark.startswith("sherpa-onnx computes other filter banks" if takes == "features" else "")
    assert bool(made.remark) == (takes == "features")
    for samples in LENGTHS:
        expected = enhancer(network(waves(samples)))
        inputs = network.features(waves(samples)) if takes == "features" else waves(samples)
        assert torch.cosine_similarity(run(tmp_path / "one.onnx", inputs), expected).min() > 0.9999
    said = {entry.key: entry.value for entry in onnx.load(tmp_path / "one.onnx").metadata_props}
    assert (
        said.items() >= {"network": network.name, "sample_rate": "16000", "output_dim": str(network.dimension)}.items()
    )
    assert (said.get("framework") == "3d-speaker") == (takes == "features")


class Small(nn.Module):
    def forward(self, waveforms: Tensor) -> Tensor:
        parts = waveforms[:, : 8 * (waveforms.shape[1] // 8)].reshape(waveforms.shape[0], 8, -1)
        return torch.cat((parts.square().mean(dim=2), parts.abs().mean(dim=2)), dim=1)


@pytest.mark.parametrize("opset", [13, 17])
def test_a_network_of_onnx_is_continued(opset: int, tmp_path: Path) -> None:
    source = tmp_path / "network.onnx"
    axes = {"x": {0: "b", 1: "t"}, "y": {0: "b"}}
    names: dict[str, Any] = {"input_names": ["x"], "output_names": ["y"], "dynamic_axes": axes}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the tracing exporter is deprecated
        torch.onnx.export(Small(), (waves(8_000),), source, opset_version=opset, dynamo=False, **names)
    model = onnx.load(source)
    onnx.helper.set_model_props(model, {"sample_rate": "16000", "normalize_samples": "1", "comment": "kept"})
    onnx.save(model, source)
    network = load_network(source)
    enhancer = enhancer_for(network)
    assert export_fused(enhancer, str(source), tmp_path / "one.onnx").input == "x"
    (out,) = onnxruntime.InferenceSession(str(tmp_path / "one.onnx")).run(None, {"x": waves(12_000).numpy()})
    assert torch.cosine_similarity(torch.from_numpy(out), enhancer(network(waves(12_000)))).min() > 0.9999
    said = {entry.key: entry.value for entry in onnx.load(tmp_path / "one.onnx").metadata_props}
    assert (said["comment"], said["output_dim"], said["t"]) == ("kept", "16", str(enhancer.config.train.inference_step))


def test_weights_in_8_bits_are_smaller_and_near(named: Callable[[SpeakerNetwork], str], tmp_path: Path) -> None:
    network = CAMPPlus(16)
    small = export_fused(enhancer_for(network), named(network), tmp_path / "small.onnx", int8=True)
    assert small.bytes < 0.5 * 4 * sum(weights.numel() for weights in network.parameters())
    assert 0.9 < small.cosine < 0.9999


def test_what_cannot_be_a_graph_is_refused(
    named: Callable[[SpeakerNetwork], str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(NetworkError, match="the network stub cannot be written as a graph"):
        export_fused(None, STUB, tmp_path / "one.onnx")
    with pytest.raises(NetworkError, match="but the model is for resnet34"):
        export_fused(enhancer_for(ResNet34(16)), STUB, tmp_path / "one.onnx")
    network = ResNet34(16)
    monkeypatch.setattr(fused, "_cosine", lambda *_: 0.5)
    with pytest.raises(ModelError, match=r"has a cosine of 0\.500000 to the network resnet34"):
        export_fused(enhancer_for(network), named(network), tmp_path / "one.onnx")
    monkeypatch.setitem(__import__("sys").modules, "onnx", None)
    with pytest.raises(MissingExtraError, match="onnx"):
        export_fused(None, "named", tmp_path / "one.onnx")
    assert not list(tmp_path.iterdir())


def test_sherpa_onnx_embeds_as_we_do_and_finds_a_speaker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sherpa = pytest.importorskip("sherpa_onnx")
    monkeypatch.chdir(tmp_path)
    network = add_network("network", "campplus", arguments={"features": "sherpa"})
    enhancer = enhancer_for(network)
    enhancer.save(tmp_path / "model", "# Card\n")
    done = CliRunner().invoke(app, ["export", "onnx", "model", "--network", "network", "one.onnx"])
    assert (done.exit_code, done.stderr) == (0, "")
    assert "one.onnx: features to 192-d embedding" in done.stdout
    extractor = sherpa.SpeakerEmbeddingExtractor(sherpa.SpeakerEmbeddingExtractorConfig(model="one.onnx"))
    assert extractor.dim == 192

    def embed(samples: np.ndarray) -> np.ndarray:
        stream = extractor.create_stream()
        stream.accept_waveform(16_000, samples)
        stream.input_finished()
        return np.array(extractor.compute(stream))

    again = OnnxNetwork("one.onnx")  # it says its features itself
    for samples in (16_000, 32_240, 45_678):  # less than, just more than and not quite two segments of masks
        expected = enhancer(network(waves(samples)))
        assert torch.cosine_similarity(again(waves(samples)), expected).min() > 0.9999
        found = torch.from_numpy(np.stack([embed(wave) for wave in waves(samples).numpy()])).float()
        assert torch.cosine_similarity(found, expected).min() > 0.9999

    voices = {name: tone(hertz, 3.0, seed=seed) for seed, (name, hertz) in enumerate({"a": 110, "b": 330}.items())}
    manager = sherpa.SpeakerEmbeddingManager(extractor.dim)
    for name, samples in voices.items():
        assert manager.add(name, embed(samples).tolist())
    for name, samples in voices.items():
        assert manager.search(embed(samples[8_000:]).tolist(), threshold=0.1) == name
