"""Network and enhancer in one ONNX graph: from a waveform, or the network's filter banks, to the enhanced embedding.

CAM++ gets Kaldi filter banks, and the metadata are those that sherpa-onnx reads; a network from an ONNX file keeps its
input and its metadata; all others get waveforms.

Shapes: B utterances, T samples, F frames, D embedding dimension.
"""

from __future__ import annotations

import copy
import logging
import math
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
import torchaudio
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from seedpipe.enhancers.audio import expect_network
from seedpipe.enhancers.export import EnhancerGraph, expect_onnx, facts, traced
from seedpipe.enhancers.seed import Enhancer
from seedpipe.errors import ModelError, NetworkError, SeedpipeError
from seedpipe.files import StrPath, read_bytes, whole_file
from seedpipe.networks import SpeakerNetwork, load_network
from seedpipe.networks.campplus import CAMPPlus
from seedpipe.networks.dvector import HOP, MIN_COVERAGE, PARTIAL_FRAMES, DVector, partial_starts, raised
from seedpipe.networks.features import KaldiFilterBanks
from seedpipe.networks.layers import FrozenNetwork
from seedpipe.networks.onnx import OnnxNetwork, open_session
from seedpipe.networks.onnx_metadata import OWN_KEY, SHERPA

OUTPUT = "embedding"
TRACED = 32_240  # samples at 16 kHz
COMPARED = (24_000, 56_000)  # other ones: what tracing has taken for constant shows
LEAST_COSINE = 0.9999
KINDS = ["Conv", "Gemm", "MatMul"]  # that are quantised; not the LSTM of the d-vector, which is given powers
OTHERS = "sherpa-onnx computes other filter banks than this network has: embeddings differ there (docs/deploying.md)"


@dataclass(frozen=True)
class Fused:
    """What was written."""

    path: Path
    input: str
    """What the graph takes: ``waveforms``, or ``features``."""
    cosine: float
    """Least cosine to network and enhancer in torch, at lengths that the graph was not made with."""
    bytes: int
    remark: str = ""
    """What to know before it is used, if anything."""


def export_fused(enhancer: Enhancer | None, network: str, path: StrPath, *, int8: bool = False) -> Fused:
    """Write a network and its enhancer as one ONNX graph, float32, any number and length of utterances.

    Parameters
    ----------
    enhancer : Enhancer or None
        None writes the network alone.
    network : str
        See :func:`seedpipe.networks.load_network`; the one that the enhancer was trained for.
    path : str or PathLike
    int8 : bool
        Weights and the inputs of their products in 8 bits: dynamic quantisation of onnxruntime.

    Returns
    -------
    Fused

    Raises
    ------
    MissingExtraError
        onnx or onnxruntime is not installed.
    NetworkError
        The network is not that of the enhancer, or cannot be written as a graph.
    ModelError
        The graph in float32 has a cosine below 0.9999 to network and enhancer; nothing has been written.

    Notes
    -----
    The input is ``waveforms`` (B, T) in [-1, 1] or ``features`` (B, F, 80), the output ``embedding`` (B, D). A network
    from an ONNX file keeps the name of its input, and the output is ``enhanced``.
    """
    path, onnx, speaker = Path(path), expect_onnx(), load_network(network)
    if enhancer is not None:
        expect_network(enhancer, network)
    if isinstance(speaker, OnnxNetwork):
        graph = _appended(onnx.load_from_string(read_bytes(speaker.path)), enhancer)
        said = {entry.key: entry.value for entry in graph.metadata_props}
    else:
        graph, said = onnx.load_from_string(_traced(speaker, enhancer)), _sherpa(speaker)
    features = speaker.input.features if isinstance(speaker, OnnxNetwork | CAMPPlus) else "waveform"
    said[OWN_KEY] = features
    about = {} if enhancer is None else facts(enhancer, noise=False)
    onnx.helper.set_model_props(graph, said | about | {"output_dim": str(speaker.dimension)})
    onnx.checker.check_model(graph)
    contents = graph.SerializeToString(deterministic=True)
    cosine = _cosine(contents, speaker, enhancer)
    if not cosine >= LEAST_COSINE:
        raise ModelError(
            f"the graph has a cosine of {cosine:.6f} to the network {speaker.name} in torch",
            expected=f"{LEAST_COSINE} at least",
            remedy="export the enhancer alone, and run the network as it is",
            file=path,
        )
    if int8:
        contents = _quantised(graph, speaker)
        cosine = _cosine(contents, speaker, enhancer)
    with whole_file(path) as partial:
        partial.write_bytes(contents)
    remark = "" if features in ("waveform", SHERPA) else OTHERS
    return Fused(path, graph.graph.input[0].name, cosine, len(contents), remark)


# ---------------------------------------------------------------------------------------------------- networks of torch


class _Fused(nn.Module):
    """The computation that is traced."""

    def __init__(self, network: nn.Module, enhancer: Enhancer | None) -> None:
        super().__init__()
        self.network = network
        self.enhancer = EnhancerGraph(enhancer) if enhancer else nn.Identity()

    def forward(self, inputs: Tensor) -> Tensor:
        """Waveforms or features -> (B, D)."""
        enhanced: Tensor = self.enhancer(self.network(inputs))
        return enhanced


def _takes_features(network: SpeakerNetwork) -> bool:
    """Whether a network is on Kaldi filter banks, which runtimes make themselves."""
    return isinstance(network, FrozenNetwork) and isinstance(network.get_submodule(network.front_end), KaldiFilterBanks)


def _features(network: SpeakerNetwork) -> nn.Module:
    """The filter banks of such a network."""
    return cast("FrozenNetwork", network).get_submodule(cast("FrozenNetwork", network).front_end)


def _traced(network: SpeakerNetwork, enhancer: Enhancer | None) -> bytes:
    """A network of torch layers, and the enhancer behind it, as a graph."""
    if not isinstance(network, nn.Module):
        raise NetworkError(
            f"the network {network.name} cannot be written as a graph",
            expected="one of torch layers, or an ONNX file",
            remedy="export the enhancer alone",
        )
    waveforms = torch.sin(torch.arange(2 * TRACED) * 0.1).view(2, TRACED) * 0.1
    module: nn.Module = copy.deepcopy(network)
    if _takes_features(network):
        name, axes, example = "features", ("utterances", "frames"), _features(network)(waveforms)
        module.set_submodule(cast("FrozenNetwork", network).front_end, nn.Identity())
    else:
        name, axes, example = "waveforms", ("utterances", "samples"), waveforms
        for place, part in list(module.named_modules()):
            if isinstance(part, torchaudio.transforms.MelSpectrogram):
                module.set_submodule(place, _MelPowers(part))
        module = _DVectorGraph(cast("Any", module)) if isinstance(network, DVector) else module
    try:
        return traced(_Fused(module.eval(), enhancer), example, [name], OUTPUT, axes)
    except SeedpipeError:
        raise
    except Exception as error:  # whatever the exporter raises
        reason = str(error).strip().partition("\n")[0][:200]
        raise NetworkError(
            f"the network {network.name} cannot be written as a graph ({reason})",
            expected="layers that torch.onnx knows",
            remedy="export the enhancer alone",
        ) from error


class _MelPowers(nn.Module):
    """A mel spectrogram of torchaudio, (B, T) -> (B, mels, F), by a convolution: graphs have no complex numbers."""

    def __init__(self, mel: torchaudio.transforms.MelSpectrogram) -> None:
        super().__init__()
        spectrogram = mel.spectrogram
        self.hop, self.pad, self.pad_mode = spectrogram.hop_length, spectrogram.n_fft // 2, spectrogram.pad_mode
        size = spectrogram.n_fft
        beside = (size - spectrogram.win_length) // 2
        window = functional.pad(spectrogram.window, (beside, size - spectrogram.win_length - beside)).double()
        angle = 2 * math.pi / size * torch.outer(torch.arange(size // 2 + 1), torch.arange(size)).double()
        self.basis: Tensor
        self.bank: Tensor
        self.register_buffer("basis", torch.cat((angle.cos(), angle.sin())).mul(window).float()[:, None])
        self.register_buffer("bank", mel.mel_scale.fb.t())

    def forward(self, waveforms: Tensor) -> Tensor:
        """Mel powers of a batch."""
        padded = functional.pad(waveforms[:, None], (self.pad, self.pad), mode=self.pad_mode)
        parts = functional.conv1d(padded, self.basis, stride=self.hop)
        real, imaginary = parts.chunk(2, dim=1)
        return self.bank @ (real.square() + imaginary.square())


class _DVectorGraph(nn.Module):
    """The d-vector network for any length: the number of partial utterances is computed in the graph."""

    def __init__(self, network: DVector) -> None:
        super().__init__()
        self.network = network
        self.step = partial_starts(TRACED)[1]

    def forward(self, waveforms: Tensor) -> Tensor:
        """Waveforms (B, T) -> embeddings (B, 256), as :meth:`DVector.forward` does."""
        network, step = self.network, self.step
        if network.level_dbfs is not None:
            waveforms = raised(waveforms, network.level_dbfs)
        samples = torch.as_tensor(waveforms.shape[1])
        frames = (samples + HOP) // HOP
        count = ((frames - PARTIAL_FRAMES + step + 1).clamp(min=1) + step - 1) // step
        covered = samples - (count - 1) * step * HOP
        short = (covered < MIN_COVERAGE * PARTIAL_FRAMES * HOP) & (count > 1)
        count = count - short.to(count.dtype)
        padding = (((count - 1) * step + PARTIAL_FRAMES) * HOP - samples).clamp(min=0)
        mels = network.mel(functional.pad(waveforms, (0, cast("int", padding)))).transpose(1, 2)
        places = torch.arange(cast("int", count))[:, None] * step + torch.arange(PARTIAL_FRAMES)
        partials = mels[:, places.reshape(-1)].reshape(-1, PARTIAL_FRAMES, mels.shape[2])
        _, (hidden, _) = network.lstm(partials)
        embeddings = functional.normalize(functional.relu(network.linear(hidden[-1])), dim=1)
        return functional.normalize(embeddings.reshape(waveforms.shape[0], -1, network.dimension).mean(dim=1), dim=1)


def _sherpa(network: SpeakerNetwork) -> dict[str, str]:
    """The metadata that sherpa-onnx reads, for a network on filter banks."""
    if not _takes_features(network):
        return {"sample_rate": str(network.sample_rate)}
    return {
        "framework": "3d-speaker",
        "language": "any",
        "sample_rate": str(network.sample_rate),
        "normalize_samples": "1",
        "feature_normalize_type": "global-mean",
    }


# ---------------------------------------------------------------------------------------------------- networks of ONNX


def _appended(graph: Any, enhancer: Enhancer | None) -> Any:
    """The graph of a network with that of an enhancer behind it."""
    import onnx

    if enhancer is None:
        return graph
    example = torch.zeros(2, enhancer.dimension)
    behind = onnx.load_from_string(traced(EnhancerGraph(enhancer), example, ["embeddings"], "enhanced"))
    opset = max(_opset(graph), _opset(behind))
    said, (front, behind) = list(graph.metadata_props), (_in_opset(each, opset) for each in (graph, behind))
    front.ir_version = behind.ir_version = max(front.ir_version, behind.ir_version)
    behind = onnx.compose.add_prefix(behind, "enhancer/", rename_outputs=False)
    output = next(each.name for each in front.graph.output if len(each.type.tensor_type.shape.dim) == 2)
    merged = onnx.compose.merge_models(front, behind, [(output, "enhancer/embeddings")], outputs=["enhanced"])
    del merged.metadata_props[:]
    merged.metadata_props.extend(said)
    return merged


def _opset(graph: Any) -> int:
    return max(int(entry.version) for entry in graph.opset_import if entry.domain in ("", "ai.onnx"))


def _in_opset(graph: Any, opset: int) -> Any:
    """A graph in a later opset."""
    import onnx

    return graph if _opset(graph) == opset else onnx.version_converter.convert_version(graph, opset)


# ------------------------------------------------------------------------------------------------------- what comes out


def _cosine(contents: bytes, network: SpeakerNetwork, enhancer: Enhancer | None) -> float:
    """Least cosine between a graph in onnxruntime and network and enhancer as they are."""
    session = open_session(contents)
    (given,) = session.get_inputs()
    generator = torch.Generator().manual_seed(0)
    rows, fixed = (given.shape[0] if isinstance(given.shape[0], int) else 3), isinstance(given.shape[1], int)
    least = 1.0
    for length in (network.min_samples,) if fixed else COMPARED:
        seconds = torch.arange(length) / network.sample_rate
        tones = torch.sin(2 * math.pi * torch.linspace(110, 230, rows)[:, None] * seconds)
        waveforms = 0.2 * tones * torch.sin(5 * seconds) + 0.02 * torch.randn(rows, length, generator=generator)
        inputs = graph_inputs(network, waveforms)
        with torch.inference_mode():
            expected = network(waveforms)
            expected = enhancer(expected) if enhancer else expected
        (found,) = session.run(None, {given.name: inputs})
        least = min(least, float(functional.cosine_similarity(torch.from_numpy(found), expected).min()))
    return least


def graph_inputs(network: SpeakerNetwork, waveforms: Tensor) -> NDArray[np.float32]:
    """What the graph of a network is given of waveforms (B, T)."""
    if isinstance(network, OnnxNetwork):
        return network.inputs(waveforms)
    given: NDArray[np.float32] = (_features(network)(waveforms) if _takes_features(network) else waveforms).numpy()
    return given


def _quantised(graph: Any, network: SpeakerNetwork) -> bytes:
    """The graph with weights in 8 bits, but for what is given powers of a spectrum: they span more than 8 bits."""
    from onnxruntime.quantization import QuantType, quantize_dynamic

    front = "mel" if isinstance(network, DVector) else str(getattr(network, "front_end", ""))
    inside = f"/{front.rpartition('.')[2]}/"
    apart = [node.name for node in graph.graph.node if front and inside in node.name]
    logging.disable(logging.WARNING)  # about a preparation of the graph, which is for static quantisation
    try:
        with tempfile.TemporaryDirectory(prefix="seedpipe-") as folder:
            out = Path(folder, "int8.onnx")
            quantize_dynamic(graph, out, KINDS, weight_type=QuantType.QUInt8, nodes_to_exclude=apart)
            return out.read_bytes()
    finally:
        logging.disable(logging.NOTSET)
