"""seedpipe.networks.engine: onnxruntime gives what the layers give, whatever else is in the block."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from conftest import STUB
from golden_weights import formula_state, formula_waves

from seedpipe.networks import load_network
from seedpipe.networks.campplus import CAMPPlus
from seedpipe.networks.drl import ECAPADRL, ResNet34DRL
from seedpipe.networks.ecapa import ECAPA
from seedpipe.networks.engine import engine_version, in_engine
from seedpipe.networks.layers import FrozenNetwork
from seedpipe.networks.resnet34 import ResNet34

pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")


@pytest.mark.parametrize("make", [CAMPPlus, ResNet34, ECAPA, ResNet34DRL, ECAPADRL])
def test_onnxruntime_gives_the_same_embeddings_whatever_else_is_in_the_block(
    make: Callable[[int], FrozenNetwork],
) -> None:
    network = make(16)
    network.load_state_dict(formula_state(network))
    waves = formula_waves("engine", 4, 8_000)
    others = torch.stack((torch.zeros(8_000), waves[1], 3 * waves[0], waves[3].flip(0)))
    graph = in_engine(network, "onnxruntime")
    with torch.inference_mode():
        expected = network(waves)
        found = graph(waves)
        assert torch.equal(graph(waves), found)
        assert torch.equal(graph(others)[1], found[1])
        assert torch.equal(in_engine(network, "onnxruntime")(waves), found), "an export of its own, the same bytes"
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5 * float(expected.abs().max()))
    assert (graph.name, graph.dimension, graph.fingerprint()) == (network.name, 16, network.fingerprint())


def test_the_version_of_an_engine_is_known_and_eager_has_none() -> None:
    network = CAMPPlus(8)
    assert engine_version(network, "eager") == ""
    assert engine_version(network, "onnxruntime") == f"onnxruntime {onnxruntime.__version__}"


def test_networks_of_others_run_as_they_are() -> None:
    network = load_network(STUB)
    assert in_engine(network, "onnxruntime") is network
    assert in_engine(CAMPPlus(8), "eager").fingerprint() == CAMPPlus(8).fingerprint()
    assert engine_version(network, "onnxruntime") == ""
