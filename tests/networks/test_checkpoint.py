"""Checkpoints: wrappers and prefixes go, everything else fits or is named, and nothing is unpickled."""

from __future__ import annotations

import contextlib
import os
import warnings
from argparse import Namespace
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from golden_weights import formula_state, formula_waves, prefixed
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch import Tensor

from seedpipe.errors import NetworkError
from seedpipe.networks.architectures import ARCHITECTURES, architecture, guess_kind, network_from_state
from seedpipe.networks.checkpoint import read_state, tidy
from seedpipe.networks.drl import ResNet34DRL
from seedpipe.networks.layers import FrozenNetwork
from seedpipe.networks.resnet34 import ResNet34

State = dict[str, Tensor]
LOSS = {"__L__.softmax.fc.weight": torch.ones(5, 8)}


@pytest.fixture(scope="module")
def resnet() -> FrozenNetwork:
    network = ResNet34(8)
    network.load_state_dict(formula_state(network))
    return network


@pytest.fixture(scope="module")
def weights(resnet: FrozenNetwork) -> State:
    return resnet.state_dict()


def saved(path: Path, contents: object) -> Path:
    torch.save(contents, path)
    return path


def load(path: Path, kind: str | None = None) -> FrozenNetwork:
    return network_from_state(read_state(path), kind, path)


def refused(path: Path, kind: str | None = None) -> str:
    with pytest.raises(NetworkError) as caught:
        load(path, kind)
    text = str(caught.value)
    assert "\n" not in text
    assert str(path) in text
    return text


# ------------------------------------------------------------------------------------------------- what is understood


@pytest.mark.parametrize(
    "wrap",
    [
        lambda w: w,
        OrderedDict,
        lambda w: {"model": w, "epoch": 7},
        lambda w: {"model_state_dict": w, "optimizer_state_dict": {"state": {}}},
        lambda w: {"state_dict": prefixed(w, "model.")},
        lambda w: {"model": {"state_dict": prefixed(w, "module.")}},
        lambda w: prefixed(w, "module.backbone."),
        lambda w: prefixed(w, "__S__.") | LOSS,
        lambda w: {"model": prefixed(prefixed(w, "__S__.") | LOSS, "module.")},
        lambda w: prefixed(w, "backbone.") | {"diffusion_network.out.0.weight": torch.ones(8)},
        lambda w: w | {"loss_calculator.projection.weight": torch.ones(5, 8)},
        lambda w: {name: value for name, value in w.items() if not name.startswith("torchfb.")},
        lambda w: {name: value for name, value in w.items() if not name.endswith("num_batches_tracked")},
        lambda w: w | {"torchfb.1.mel_scale.fb": w["torchfb.1.mel_scale.fb"] + 1e-6},
    ],
    ids=[
        "plain", "ordered", "model", "model_state_dict", "lightning", "two wrappers", "two prefixes", "trainer",
        "parallel trainer", "SEED task", "loss", "no filter banks", "no counters", "other rounding",
    ],
)  # fmt: skip
def test_known_wrappers_and_prefixes_are_stripped(
    wrap: Any, weights: State, resnet: FrozenNetwork, tmp_path: Path
) -> None:
    network = load(saved(tmp_path / "checkpoint.pt", wrap(weights)))
    assert (network.kind, network.dimension) == ("resnet34", 8)
    assert network.fingerprint() == resnet.fingerprint()


def test_safetensors_and_the_old_format_of_torch_are_read(
    weights: State, resnet: FrozenNetwork, tmp_path: Path
) -> None:
    save_file(weights, tmp_path / "checkpoint.safetensors")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.save(weights, tmp_path / "old.model", _use_new_zipfile_serialization=False)
    for name in ("checkpoint.safetensors", "old.model"):
        assert load(tmp_path / name).fingerprint() == resnet.fingerprint()


def test_half_precision_weights_are_widened(weights: State, resnet: FrozenNetwork, tmp_path: Path) -> None:
    half = {name: value.half() if value.is_floating_point() else value for name, value in weights.items()}
    network = load(saved(tmp_path / "half.pt", half))
    waves = formula_waves("half", 2, 8_000)
    difference = (network(waves) - resnet(waves)).abs().max()
    assert 0 < difference < 1e-2


def test_a_checkpoint_of_drl_gives_its_speaker_code(tmp_path: Path) -> None:
    network = ResNet34DRL(8)
    network.load_state_dict(formula_state(network))
    state = network.state_dict()
    checkpoint = prefixed({n: v for n, v in state.items() if n.startswith("speaker.")}, "!")
    checkpoint = {name.replace("!speaker.", "__S__."): value for name, value in checkpoint.items()}
    checkpoint |= {"__DE__." + name: value for name, value in state.items() if name.startswith("encoder.")}
    checkpoint |= {"__DE__.decoder.1.weight": torch.ones(4096, 16), "__E_S__.classifier.0.weight": torch.ones(8)}
    path = saved(tmp_path / "drl.model", checkpoint | {"__E_E__.classifier.0.bias": torch.ones(8)} | LOSS)
    loaded = load(path)
    assert (loaded.kind, loaded.dimension) == ("resnet34_drl", 8)
    assert loaded.fingerprint() == network.fingerprint()
    assert "these entries belong to resnet34_drl: use --kind resnet34_drl" in refused(path, "resnet34")


@pytest.mark.parametrize("kind", [kind for kind in ARCHITECTURES if kind != "wavlm_ecapa"])
def test_every_kind_is_known_by_its_entries(kind: str) -> None:
    assert guess_kind(architecture(kind)(4).state_dict()) == kind


# ----------------------------------------------------------------------------------------------------- what is refused


def test_missing_extra_and_misshaped_entries_are_listed_together(weights: State, tmp_path: Path) -> None:
    wrong = dict(weights) | {"fc2.weight": torch.ones(2), "conv1.bias": torch.ones(7)}
    del wrong["layer1.0.conv1.weight"]
    text = refused(saved(tmp_path / "wrong.pt", wrong))
    assert "does not fit resnet34: 3 entries: layer1.0.conv1.weight is missing, fc2.weight is too many" in text
    assert "conv1.bias is 7, not 32" in text


def test_long_lists_are_cut_after_ten(weights: State, tmp_path: Path) -> None:
    short = {name: value for name, value in weights.items() if not name.startswith("layer2")}
    text = refused(saved(tmp_path / "short.pt", short))
    assert text.count("is missing") == 10
    assert "and 51 more" in text


@pytest.mark.parametrize(
    ("change", "kind", "text"),
    [
        (lambda w: prefixed(w, "speaker_model.x."), None, "all names begin with 'speaker_model.x': save the part of"),
        (lambda w: w, "ecapa", "these entries belong to resnet34: use --kind resnet34"),
        (lambda w: w, "resnet99", "unknown kind 'resnet99'; expected one of resnet34, ecapa, wavlm_ecapa"),
        (lambda _: {"blocks.0.conv.conv.weight": torch.ones(2)}, None, "add --speechbrain FOLDER"),
        (lambda w: w | {"fc.bias": torch.full((8,), torch.nan)}, None, "no arrays of finite numbers (1 entry: fc.b"),
        (lambda w: w | {"fc.bias": torch.ones(8).double() * 1e39}, None, "no arrays of"),
        (lambda w: w | {"fc.bias": torch.ones(8).to_sparse()}, None, "no arrays of finite numbers (1 entry: fc.b"),
        (lambda w: w | {"fc.bias": torch.ones(1).expand(8)}, None, "no arrays of finite numbers (1 entry: fc.b"),
        (lambda w: w | {"fc.bias": torch.ones(8, dtype=torch.int64)}, None, "fc.bias is 8 of torch.int64, not 8"),
        (lambda w: w | {"fc.weight": torch.tensor(1.0)}, None, "'fc.weight' is missing or has 0 rows"),
        (lambda w: w | {"torchfb.1.mel_scale.fb": torch.zeros(257, 64)}, None, "mel_scale.fb differs from ours by"),
        (lambda w: {"weights": w}, None, "holds a mapping of weights, not weights alone; expected names and tensors"),
        (lambda w: w | {"epoch": 3}, None, "not weights alone"),
        (lambda _: torch.ones(3), None, "holds no mapping, not weights alone"),
        (lambda _: {}, None, "holds a mapping of , not weights alone"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused_with_a_guess_at_the_cause(
    change: Any, kind: str | None, text: str, weights: State, tmp_path: Path
) -> None:
    assert text in refused(saved(tmp_path / "checkpoint.pt", change(weights)), kind)


class _Attack:
    """Runs a command when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.mark),)


@pytest.mark.parametrize("contents", [_Attack, lambda _: {"args": Namespace(a=1)}, lambda _: {"eer": np.float64(1.5)}])
def test_objects_that_are_no_tensors_are_not_unpickled(contents: Any, weights: State, tmp_path: Path) -> None:
    mark = tmp_path / "run by the checkpoint"
    path = saved(tmp_path / "evil.pt", {"model": weights, "more": contents(mark)})
    assert "holds Python objects" in refused(path)
    assert not mark.exists()


def test_a_checkpoint_that_is_written_to_while_it_is_read_is_refused(
    weights: State, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, load = saved(tmp_path / "c.pt", weights), torch.load

    def meanwhile(*arguments: Any, **options: Any) -> Any:
        os.truncate(path, path.stat().st_size + 8)
        return load(*arguments, **options)

    monkeypatch.setattr(torch, "load", meanwhile)
    assert "Was changed while it was read" in refused(path)


def test_files_that_are_no_checkpoints_are_refused(tmp_path: Path) -> None:
    assert "there is no such file" in refused(tmp_path / "nothing.pt")
    for name in ("empty.pt", "text.pt", "text.safetensors"):
        (tmp_path / name).write_bytes(b"" if name == "empty.pt" else b"not a checkpoint at all")
        assert "is no readable checkpoint" in refused(tmp_path / name)


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cut=st.integers(0, 1_500), place=st.integers(0, 1_500), value=st.integers(0, 255), safe=st.booleans())
def test_damaged_files_give_our_error_or_tensors(cut: int, place: int, value: int, safe: bool, tmp_path: Path) -> None:
    state = {"fc.weight": torch.ones(3, 4), "fc.bias": torch.zeros(3)}
    path = tmp_path / ("damaged.safetensors" if safe else "damaged.pt")
    save_file(state, path) if safe else torch.save(state, path)
    contents = bytearray(path.read_bytes())
    if place < len(contents):
        contents[place] = value
    path.write_bytes(contents[: len(contents) - cut] if cut % 2 else contents)
    with contextlib.suppress(NetworkError):  # and no other error
        assert all(isinstance(entry, Tensor) for entry in read_state(path).values())


def test_a_prefix_that_not_all_names_share_stays() -> None:
    mixed = {"module.fc.weight": torch.ones(1), "__S__.fc.bias": torch.ones(1), "fc.bias": torch.ones(1)}
    assert tidy(mixed) == mixed


def test_a_tensor_of_tensors_is_refused(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch calls them a prototype
        nested = torch.nested.nested_tensor([torch.ones(2), torch.ones(3)])
    torch.save({"fc.weight": nested}, tmp_path / "nested.pt")
    with pytest.raises(NetworkError, match=r"nested\.pt: "):
        read_state(tmp_path / "nested.pt")
