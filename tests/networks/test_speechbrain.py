"""seedpipe.networks.speechbrain: a folder as SpeechBrain publishes them, loaded by the real package, from the disk."""

from __future__ import annotations

import re
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from golden_weights import formula_state, formula_waves

from seedpipe.errors import MissingExtraError, NetworkError
from seedpipe.networks import SpeakerNetwork, add_network, check_network, load_network, read_config
from seedpipe.networks.speechbrain import SpeechBrainNetwork

SIZES = {
    "channels": [16, 16, 16, 16, 48],
    "kernel_sizes": [5, 3, 3, 3, 1],
    "dilations": [1, 2, 3, 4, 1],
    "attention_channels": 8,
    "res2net_scale": 4,
    "se_channels": 8,
    "lin_neurons": 12,
}
SETTINGS = f"""
pretrained_path: speechbrain/spkrec-ecapa-voxceleb
sample_rate: 16000
n_mels: 24
compute_features: !new:speechbrain.lobes.features.Fbank
    n_mels: !ref <n_mels>
mean_var_norm: !new:speechbrain.processing.features.InputNormalization
    norm_type: sentence
    std_norm: False
embedding_model: !new:speechbrain.lobes.models.ECAPA_TDNN.ECAPA_TDNN
    input_size: !ref <n_mels>
{"".join(f"    {name}: {value}{chr(10)}" for name, value in SIZES.items())}
classifier: !new:speechbrain.lobes.models.ECAPA_TDNN.Classifier
    input_size: 12
    out_neurons: 4
modules:
    compute_features: !ref <compute_features>
    mean_var_norm: !ref <mean_var_norm>
    embedding_model: !ref <embedding_model>
    classifier: !ref <classifier>
pretrainer: !new:speechbrain.utils.parameter_transfer.Pretrainer
    loadables:
        embedding_model: !ref <embedding_model>
    paths:
        embedding_model: !ref <pretrained_path>/embedding_model.ckpt
"""


@pytest.fixture(scope="module")
def embedding_model() -> torch.nn.Module:
    pytest.importorskip("hyperpyyaml")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        models = pytest.importorskip("speechbrain.lobes.models.ECAPA_TDNN")
        model: torch.nn.Module = models.ECAPA_TDNN(24, **SIZES)
    model.load_state_dict(formula_state(model))
    return model.eval()


@pytest.fixture
def published(embedding_model: torch.nn.Module, tmp_path: Path) -> Path:
    folder = tmp_path / "spkrec"
    folder.mkdir()
    (folder / "hyperparams.yaml").write_text(SETTINGS, encoding="utf-8")
    torch.save(embedding_model.state_dict(), folder / "embedding_model.ckpt")
    return folder


def test_a_folder_gives_what_its_modules_give(embedding_model: torch.nn.Module, published: Path) -> None:
    network = SpeechBrainNetwork(published)
    assert isinstance(network, SpeakerNetwork)
    assert (network.name, network.sample_rate, network.dimension) == ("spkrec", 16_000, 12)
    waves = formula_waves("speechbrain", 3, 16_000)
    from speechbrain.lobes.features import Fbank

    with torch.inference_mode():
        features = Fbank(n_mels=24)(waves)
        expected = embedding_model(features - features.mean(dim=1, keepdim=True))[:, 0]
        np.testing.assert_allclose(network(waves).numpy(), expected.numpy(), rtol=0, atol=1e-4)
    assert [check.name for check in check_network(network) if not check.passed] == []


def test_the_folder_is_kept_relative_and_its_files_are_watched(
    published: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    add_network(Path("networks/brain"), "speechbrain", "spkrec")
    config = read_config(Path("networks/brain"))
    assert (config.source, config.dimension) == ("../../spkrec", 12)
    (published / "README.md").write_text("# Card\n", encoding="utf-8")
    assert load_network("networks/brain").fingerprint() == config.fingerprint
    settings = (published / "hyperparams.yaml").read_text(encoding="utf-8")
    (published / "hyperparams.yaml").write_text(settings.replace("std_norm: False", "std_norm: True"), encoding="utf-8")
    with pytest.raises(NetworkError, match="the network is not the one that was described"):
        load_network("networks/brain")


OTHERS = {
    "Xvector": """
    in_channels: !ref <n_mels>
    activation: !name:torch.nn.LeakyReLU
    tdnn_blocks: 2
    tdnn_channels: [8, 12]
    tdnn_kernel_sizes: [5, 1]
    tdnn_dilations: [1, 1]
    lin_neurons: 12
""",
    "ResNet": """
    input_size: !ref <n_mels>
    channels: [8, 8, 8, 8]
    block_sizes: [1, 1, 1, 1]
    lin_neurons: 12
""",
}


@pytest.mark.parametrize("name", OTHERS)
def test_other_networks_give_what_speechbrain_gives(name: str, tmp_path: Path) -> None:
    pytest.importorskip("hyperpyyaml")
    ecapa = re.compile(r"embedding_model: !new:.*?(?=classifier: )", re.DOTALL)
    made = f"embedding_model: !new:speechbrain.lobes.models.{name}.{name}{OTHERS[name]}"
    settings = ecapa.sub(made, SETTINGS, count=1)
    settings = settings.replace("speechbrain/spkrec-ecapa-voxceleb", str(tmp_path))
    (tmp_path / "hyperparams.yaml").write_text(settings, encoding="utf-8")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        models = pytest.importorskip(f"speechbrain.lobes.models.{name}")
        from hyperpyyaml import load_hyperpyyaml
        from speechbrain.inference.classifiers import EncoderClassifier

        model = load_hyperpyyaml(settings)["embedding_model"]
        assert isinstance(model, getattr(models, name))
        torch.save(formula_state(model), tmp_path / "embedding_model.ckpt")
        theirs = EncoderClassifier.from_hparams(str(tmp_path), savedir=str(tmp_path), run_opts={"device": "cpu"})
        waves = formula_waves(name, 2, 16_000)
        torch.manual_seed(0)  # the pooling of an x-vector adds noise
        expected = theirs.encode_batch(waves).flatten(1)
    network = SpeechBrainNetwork(tmp_path)
    torch.manual_seed(0)
    with torch.inference_mode():
        assert torch.equal(network(waves), expected)


def change(folder: Path, old: str, new: str) -> None:
    settings = (folder / "hyperparams.yaml").read_text(encoding="utf-8")
    assert old in settings
    (folder / "hyperparams.yaml").write_text(settings.replace(old, new), encoding="utf-8")


def test_references_tuples_and_exponents_are_read_as_speechbrain_reads_them(published: Path) -> None:
    expected = SpeechBrainNetwork(published)(formula_waves("speechbrain", 2, 16_000))
    change(published, "n_mels: 24", "n_mels: !ref <later>\nname: embedding\nfloor: 1e0\nlater: 24")
    change(
        published, "    n_mels: !ref <n_mels>\n", "    n_mels: !ref <n_mels>\n    param_change_factor: !ref <floor>\n"
    )
    change(published, "channels: [16, 16, 16, 16, 48]", "channels: (16, 16, 16, 16, 48)")
    change(published, "/embedding_model.ckpt", "/<name>_model.ckpt")
    assert torch.equal(SpeechBrainNetwork(published)(formula_waves("speechbrain", 2, 16_000)), expected)


@pytest.mark.parametrize("name", ["fc.conv.weight", None])
def test_weights_that_are_missing_are_not_left_random(name: str | None, published: Path) -> None:
    state = torch.load(published / "embedding_model.ckpt", weights_only=True)
    if name:
        del state[name]
        torch.save(state, published / "embedding_model.ckpt")
    else:
        change(published, "        embedding_model: !ref <embedding_model>", "        classifier: !ref <classifier>")
    text = "Missing key.*fc.conv.weight" if name else "loads no weights of embedding_model"
    with pytest.raises(NetworkError, match=text):
        SpeechBrainNetwork(published)


@pytest.mark.parametrize(
    ("name", "contents", "text"),
    [
        ("hyperparams.yaml", None, "holds no readable hyperparams.yaml"),
        ("hyperparams.yaml", "a: [", "cannot be loaded by SpeechBrain"),
        ("hyperparams.yaml", "modules: {}\n", "cannot be loaded by SpeechBrain"),
        ("embedding_model.ckpt", None, "cannot be loaded by SpeechBrain"),
        ("embedding_model.ckpt", "damaged", "cannot be loaded by SpeechBrain"),
    ],
)
def test_incomplete_and_damaged_folders_are_named(name: str, contents: str | None, text: str, published: Path) -> None:
    (published / name).unlink()
    if contents is not None:
        (published / name).write_text(contents, encoding="utf-8")
    with pytest.raises(NetworkError, match=rf"{re.escape(str(published))}: {text}") as caught:
        SpeechBrainNetwork(published)
    assert "\n" not in str(caught.value)


def test_arguments_that_nobody_would_read_are_refused(published: Path, tmp_path: Path) -> None:
    with pytest.raises(NetworkError, match="a network of kind speechbrain takes no 'features'; expected no arguments"):
        add_network(tmp_path / "brain", "speechbrain", str(published), {"features": "waveform"})


def test_without_speechbrain_the_extra_is_named(published: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "speechbrain", None)
    with pytest.raises(MissingExtraError, match=r'pip install .*"speechbrain>='):
        SpeechBrainNetwork(published)
