"""The paper's networks and those of DRL: golden outputs, frozen, and independent of batch, autocast and process."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from golden_weights import formula_state, formula_waves, formula_weight
from torch import Tensor, nn

from seedpipe.networks import SpeakerNetwork
from seedpipe.networks.architectures import ARCHITECTURES
from seedpipe.networks.campplus import CAMPPlus
from seedpipe.networks.drl import ECAPADRL, ResNet34DRL
from seedpipe.networks.ecapa import ECAPA
from seedpipe.networks.layers import FrozenNetwork, computed_entries, power_and_deviation
from seedpipe.networks.resnet34 import ResNet34, ResNet34Trunk
from seedpipe.networks.wavlm_ecapa import WavLMECAPA

CLASSES: dict[str, type[FrozenNetwork]] = {
    "resnet34": ResNet34,
    "ecapa": ECAPA,
    "wavlm_ecapa": WavLMECAPA,
    "campplus": CAMPPlus,
    "resnet34_drl": ResNet34DRL,
    "ecapa_drl": ECAPADRL,
}
PAPER = ("resnet34", "ecapa", "wavlm_ecapa")
SMALL = ("resnet34", "ecapa", "resnet34_drl", "ecapa_drl")


@pytest.fixture(scope="module")
def network() -> Callable[[str], FrozenNetwork]:
    """Networks with the weights of the formula, made once."""
    made: dict[str, FrozenNetwork] = {}

    def make(kind: str) -> FrozenNetwork:
        if kind not in made:
            made[kind] = CLASSES[kind]()
            made[kind].load_state_dict(formula_state(made[kind]))
        return made[kind]

    return make


# ---------------------------------------------------------------------------------------------------- golden outputs


@pytest.mark.parametrize("kind", PAPER)
def test_names_and_shapes_are_those_of_the_checkpoints(
    kind: str, shared: Path, network: Callable[[str], FrozenNetwork]
) -> None:
    keys = json.loads((shared / "golden" / "keys.json").read_text(encoding="utf-8"))[kind]["keys"]
    own = {name: list(value.shape) for name, value in network(kind).state_dict().items()}
    assert own == {name: entry["shape"] for name, entry in keys.items()}
    assert computed_entries(network(kind)) == {name for name, entry in keys.items() if not entry["filled"]}


@pytest.mark.parametrize("kind", ["resnet34", "ecapa"])
def test_embeddings_are_the_golden_ones(kind: str, shared: Path, network: Callable[[str], FrozenNetwork]) -> None:
    waves = formula_waves(f"wave.{kind}", 2, 64_240)
    with np.load(shared / "golden" / f"{kind}.npz") as golden:
        np.testing.assert_allclose(network(kind)(waves).numpy(), golden["embedding"], rtol=0, atol=1e-5)
        short = network(kind)(waves[:, :32_240]).numpy()
        np.testing.assert_allclose(short, golden["embedding_short"], rtol=0, atol=1e-5)


def test_wavlm_ecapa_and_its_hidden_states_are_the_golden_ones(
    shared: Path, network: Callable[[str], FrozenNetwork]
) -> None:
    whole = network("wavlm_ecapa")
    assert isinstance(whole, WavLMECAPA)
    waves = formula_waves("wave.wavlm", 2, 32_240)
    with np.load(shared / "golden" / "wavlm_ecapa.npz") as golden, torch.inference_mode():
        states = list(whole.feature_extract.model(waves))
        np.testing.assert_allclose(whole(waves).numpy(), golden["embedding"], rtol=0, atol=1e-5)
        np.testing.assert_allclose(states[0][:, :4].numpy(), golden["hidden_first"], rtol=0, atol=1e-5)
        np.testing.assert_allclose(states[-1][:, :4].numpy(), golden["hidden_last"], rtol=0, atol=1e-5)
        np.testing.assert_allclose([state.norm() for state in states], golden["hidden_norms"], rtol=1e-5)


def test_wavlm_goes_out_and_in_under_the_original_names(network: Callable[[str], FrozenNetwork]) -> None:
    state = network("wavlm_ecapa").state_dict()
    name = "feature_extract.model.encoder.layers.3.self_attn.{}_proj.weight"
    for part in ("q", "k", "v"):
        expected = formula_weight(name.format(part), (768, 768))
        torch.testing.assert_close(state[name.format(part)], expected, rtol=0, atol=0)
    partial = {key: value for key, value in state.items() if key != name.format("k")}
    missing, unexpected = network("wavlm_ecapa").load_state_dict(partial, strict=False)
    assert (len(missing), len(unexpected)) == (1, 2), "one matrix of three parts is missing, and two parts have no use"


# ---------------------------------------------------------------------------------------------------------------- DRL


def test_the_drl_code_follows_from_pooling_batch_norm_and_one_linear_layer(
    network: Callable[[str], FrozenNetwork],
) -> None:
    drl = network("resnet34_drl")
    assert isinstance(drl, ResNet34DRL)
    trunk = ResNet34Trunk.moments  # the pooling that the golden outputs of ResNet34 have tried
    waves = formula_waves("drl", 2, 16_000)
    pooled = power_and_deviation(*trunk(drl.speaker, waves)).double().numpy()
    state = {name: value.double().numpy() for name, value in drl.encoder.state_dict().items()}
    normal = (pooled - state["0.running_mean"]) / np.sqrt(state["0.running_var"] + 1e-5)
    code = (normal * state["0.weight"] + state["0.bias"]) @ state["1.weight"].T + state["1.bias"]
    assert code.shape == (2, 1024)
    np.testing.assert_allclose(drl(waves).numpy(), code[:, :512], rtol=0, atol=1e-4)


def test_power_and_deviation_are_floored_where_a_channel_is_still() -> None:
    mean, power = torch.tensor([[0.0, 3.0]]), torch.tensor([[0.0, 25.0]])
    torch.testing.assert_close(power_and_deviation(mean, power), torch.tensor([[0.01, 5.0, 0.01, 4.0]]))


# ----------------------------------------------------------------------------------------------- what all of them keep


@pytest.mark.parametrize("kind", CLASSES)
def test_every_kind_is_a_frozen_speaker_network(kind: str, network: Callable[[str], FrozenNetwork]) -> None:
    made = network(kind)
    assert isinstance(made, SpeakerNetwork)
    assert (made.name, made.kind) == (kind, kind)
    assert not any(parameter.requires_grad for parameter in made.parameters())
    nn.Sequential(made).train()
    assert not any(module.training for module in made.modules())
    assert made(formula_waves("frozen", 1, 8_000)).shape == (1, made.dimension)
    assert set(ARCHITECTURES) == set(CLASSES)


@pytest.mark.parametrize("kind", CLASSES)
def test_a_row_does_not_depend_on_its_batch_mates(kind: str, network: Callable[[str], FrozenNetwork]) -> None:
    waves = formula_waves("mates", 4, 8_000)
    others = torch.stack((torch.zeros(8_000), waves[1], 3 * waves[0], waves[3].flip(0)))
    with torch.inference_mode():
        assert torch.equal(network(kind)(waves)[1], network(kind)(others)[1])
        assert torch.equal(network(kind)(waves), network(kind)(waves))


@pytest.mark.parametrize("kind", CLASSES)
def test_the_shortest_waveform_and_silence_have_finite_embeddings(
    kind: str, network: Callable[[str], FrozenNetwork]
) -> None:
    made = network(kind)
    assert torch.isfinite(made(formula_waves("short", 2, made.min_samples))).all()
    assert torch.isfinite(made(torch.zeros(1, 8_000))).all()
    with pytest.raises((RuntimeError, ValueError)):
        made(formula_waves("short", 2, made.min_samples - 1))


@pytest.mark.parametrize("kind", SMALL)
def test_features_and_statistics_stay_in_single_precision_under_autocast(
    kind: str, network: Callable[[str], FrozenNetwork]
) -> None:
    made = network(kind)
    seen: set[torch.dtype] = set()

    def note(_module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        seen.update((inputs[0].dtype, output.dtype))

    names = {"torchfb", "torchmfcc", "attention.3", "fc", "fc6", "encoder"}
    single = [module for name, module in made.named_modules() if name.removeprefix("speaker.") in names]
    assert len(single) == 3
    handles = [module.register_forward_hook(note) for module in single]
    waves = formula_waves("autocast", 2, 8_000)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        half = made(waves)
    for handle in handles:
        handle.remove()
    assert seen == {torch.float32}
    full = made(waves)
    assert half.dtype == torch.float32
    assert not torch.equal(half, full), "the convolutions do run in half precision"
    torch.testing.assert_close(half, full, rtol=0, atol=0.1 * float(full.abs().max()))


@pytest.mark.parametrize("kind", ["resnet34", "ecapa_drl"])
def test_a_seed_makes_the_weights_and_leaves_the_generator_of_the_process_alone(kind: str) -> None:
    state = torch.random.get_rng_state()
    first, again, other = CLASSES[kind](8, seed=3), CLASSES[kind](8, seed=3), CLASSES[kind](8, seed=4)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert first.fingerprint() == again.fingerprint() != other.fingerprint()
    assert first(formula_waves("seed", 1, 4_000)).shape == (1, 8)


def test_the_fingerprint_covers_every_learnt_entry_and_neither_name_nor_counters() -> None:
    network = ResNet34(8)
    original = network.fingerprint()
    network.name = "another name"
    network.bn1.num_batches_tracked.fill_(7)  # type: ignore[union-attr]
    assert network.fingerprint() == original
    for name in ("layer3.2.bn1.running_var", "fc.bias", "layer1.0.se.fc.2.weight"):
        value = network.state_dict()[name].view(-1)
        before = float(value[0])
        value[0] = before + 1e-6 + 1e-6 * abs(before)
        assert network.fingerprint() != original, name
        value[0] = before
    assert network.fingerprint() == original
