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
from seedpipe.networks.engine import in_engine, own_engine
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


def test_networks_of_others_run_as_they_are() -> None:
    network, ours = load_network(STUB), CAMPPlus(8)
    assert in_engine(network, "onnxruntime") is network
    assert own_engine(network, "onnxruntime") == "eager"
    assert in_engine(ours, "eager") is ours
    assert own_engine(ours, "onnxruntime") == "onnxruntime"
