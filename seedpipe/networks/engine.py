"""Ways to run a network: eager, as its layers are written, or as one graph by onnxruntime on one thread of the CPU.

The graph is exported from the network's own layers when the first block comes, for blocks of that shape, so nothing is
kept on disk, and its weights are those of the network.
"""

from __future__ import annotations

import copy
import io
import warnings
from importlib.util import find_spec
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor, nn

from seedpipe.errors import MissingExtraError, install
from seedpipe.networks.layers import FrozenNetwork
from seedpipe.networks.onnx import open_session

if TYPE_CHECKING:
    import onnxruntime

    from seedpipe.networks.protocol import SpeakerNetwork

Engine = Literal["eager", "onnxruntime"]
OPSET = 17


def own_engine(network: SpeakerNetwork, wanted: Engine) -> Engine:
    """The engine that a network runs in when one is wanted: networks that are not made of our layers stay eager.

    Raises
    ------
    MissingExtraError
        It would be onnxruntime, which is not installed.
    """
    if wanted == "eager" or not isinstance(network, FrozenNetwork):
        return "eager"
    if find_spec("onnxruntime") is None:
        raise MissingExtraError("the engine onnxruntime is not installed", remedy=install("onnx"))
    return wanted


def in_engine(network: SpeakerNetwork, engine: Engine) -> SpeakerNetwork:
    """A network that gives the same embeddings to 1e-4 of their largest value, in another engine.

    Raises
    ------
    MissingExtraError
        onnxruntime is not installed.
    """
    if own_engine(network, engine) == "eager" or not isinstance(network, FrozenNetwork):
        return network
    return OnnxGraph(network)


class OnnxGraph:
    """A network of ours run by onnxruntime, which fuses its layers; for float32 on the CPU."""

    def __init__(self, network: FrozenNetwork) -> None:
        self.name, self.sample_rate = network.name, network.sample_rate
        self.dimension, self.min_samples = network.dimension, network.min_samples
        self._network = network
        self._sessions: dict[torch.Size, onnxruntime.InferenceSession] = {}

    def fingerprint(self) -> str:
        """That of the network: the provenance of a cache names the engine beside it."""
        return self._network.fingerprint()

    def to(self, device: torch.device) -> OnnxGraph:  # noqa: ARG002
        """Stay on the CPU."""
        return self

    def __call__(self, waveforms: Tensor) -> Tensor:
        """Waveforms (B, T) -> embeddings (B, D); every new shape of them costs an export of some seconds."""
        front_end = self._network.front_end
        features = self._network.get_submodule(front_end)(waveforms) if front_end else waveforms
        if features.shape not in self._sessions:
            self._sessions[features.shape] = _session(self._network, features.shape)
        (embeddings,) = self._sessions[features.shape].run(None, {"features": features.numpy()})
        return torch.from_numpy(embeddings)


def _session(network: FrozenNetwork, shape: torch.Size) -> onnxruntime.InferenceSession:
    """Export what comes behind the front end, for one shape of its features."""
    graph = copy.deepcopy(network)
    if network.front_end:
        graph.set_submodule(network.front_end, nn.Identity())
    contents = io.BytesIO()
    with warnings.catch_warnings(), torch.inference_mode(mode=False):
        warnings.simplefilter("ignore")  # about values that are constant in blocks of one shape, and an older exporter
        example = torch.ones(shape)
        torch.onnx.export(
            graph,
            (example,),
            contents,  # type: ignore[arg-type]  # a file, as documented
            input_names=["features"],
            output_names=["embeddings"],
            opset_version=OPSET,
            dynamo=False,
        )
    return open_session(contents.getvalue())
