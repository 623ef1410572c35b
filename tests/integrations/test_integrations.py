"""Network and enhancer inside other tools."""

from __future__ import annotations

import inspect
import warnings
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import kaldiio
import numpy as np
import pytest
import torch
from conftest import STUB, tone, write_audio
from stub_network import Stub
from synthetic import D, enhancer

import seedpipe
from seedpipe.cache import NetworkInfo
from seedpipe.cache.exchange import Vectors
from seedpipe.enhancers.normalization import Normalization
from seedpipe.enhancers.seed import Enhancer, ModelConfig
from seedpipe.errors import ExchangeError, NetworkError
from seedpipe.integrations import Embedder
from seedpipe.integrations.speechbrain import SpeakerRecognition
from seedpipe.integrations.xvectors import read_xvectors, write_xvectors
from seedpipe.networks import add_network
from seedpipe.params import TrainParams

WAVES = torch.from_numpy(np.stack([tone(hertz, 1.0, seed=hertz) for hertz in (110, 190, 300)]))
RAW = Stub()(WAVES)


@pytest.fixture
def model() -> Enhancer:
    """An enhancer for the network of the tests."""
    info = NetworkInfo(name="stub", fingerprint=Stub().fingerprint(), dimension=8, sample_rate=16_000)
    config = ModelConfig(
        network=info,
        normalization=Normalization(kind="length", scale=2.0),
        train=TrainParams(normalize="length", output="network"),
        cache="",
        seedpipe=seedpipe.__version__,
    )
    return Enhancer(enhancer(8).module, config)


def test_an_embedder_is_the_network_and_then_the_enhancer(model: Enhancer, tmp_path: Path) -> None:
    model.save(tmp_path / "model", "# Card\n")
    assert torch.equal(Embedder(STUB)(WAVES), RAW)
    for given in (model, str(tmp_path / "model")):
        assert torch.equal(Embedder(STUB, given)(WAVES), model(RAW))
    with pytest.raises(NetworkError, match="but the model is for stub"):
        Embedder("stub_network:make_other", model)
    for wrong in (WAVES[0], WAVES[:, :100]):
        with pytest.raises(NetworkError, match="waveforms have the shape"):
            Embedder(STUB)(wrong)


# ------------------------------------------------------------------------------------------------------- SpeechBrain


def test_a_recognition_answers_as_one_of_speechbrain(model: Enhancer, tmp_path: Path) -> None:
    recognition = SpeakerRecognition(STUB, model)
    expected = model(RAW)
    assert torch.equal(recognition.encode_batch(WAVES), expected[:, None])
    assert recognition.encode_batch(WAVES[0]).shape == (1, 1, 8)
    padded = torch.cat((WAVES[:1, :8_000], torch.zeros(1, 8_000)), dim=1)
    cut = recognition.encode_batch(torch.cat((padded, WAVES[1:2])), torch.tensor([0.5, 1.0]))
    assert torch.allclose(cut[0], recognition.encode_batch(WAVES[:1, :8_000])[0], atol=1e-6)
    assert torch.allclose(cut[1], expected[1:2], atol=1e-6)
    score, prediction = recognition.verify_batch(WAVES[:2], WAVES[1:], threshold=0.5)
    wanted = torch.nn.CosineSimilarity(dim=-1, eps=1e-6)(expected[:2], expected[1:])[:, None]
    assert torch.allclose(score, wanted)
    assert torch.equal(prediction, score > 0.5)
    for number in (0, 1):
        write_audio(tmp_path / f"{number}.wav", WAVES[number].numpy(), subtype="FLOAT")
    found = recognition.verify_files(tmp_path / "0.wav", str(tmp_path / "1.wav"), threshold=0.5)
    assert torch.allclose(found.score, score[0])
    assert found.prediction.shape == (1,)
    with pytest.raises(NetworkError, match="normalize=True is not known"):
        recognition.encode_batch(WAVES, normalize=True)
    with pytest.raises(NetworkError, match="wav_lens have the shape"):
        recognition.encode_batch(WAVES, torch.ones(2))


HYPERPARAMS = """
pretrained_path: {folder}
compute_features: !new:speechbrain.lobes.features.Fbank
    n_mels: 24
mean_var_norm: !new:speechbrain.processing.features.InputNormalization
    norm_type: sentence
    std_norm: False
mean_var_norm_emb: !new:speechbrain.processing.features.InputNormalization
    norm_type: global
    std_norm: False
embedding_model: !new:speechbrain.lobes.models.ECAPA_TDNN.ECAPA_TDNN
    input_size: 24
    channels: [16, 16, 16, 16, 48]
    attention_channels: 8
    res2net_scale: 4
    se_channels: 8
    lin_neurons: 12
modules:
    compute_features: !ref <compute_features>
    mean_var_norm: !ref <mean_var_norm>
    mean_var_norm_emb: !ref <mean_var_norm_emb>
    embedding_model: !ref <embedding_model>
pretrainer: !new:speechbrain.utils.parameter_transfer.Pretrainer
    loadables:
        embedding_model: !ref <embedding_model>
    paths:
        embedding_model: !ref <pretrained_path>/embedding_model.ckpt
"""


@pytest.fixture
def theirs(tmp_path: Path) -> Any:
    """SpeechBrain's own object, of random weights, and the folder ``ours`` with its network."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        inference = pytest.importorskip("speechbrain.inference.speaker", reason="the extra 'speechbrain' is missing")
        from hyperpyyaml import load_hyperpyyaml

        folder, settings = tmp_path / "theirs", HYPERPARAMS.format(folder=tmp_path / "theirs")
        folder.mkdir()
        (folder / "hyperparams.yaml").write_text(settings, encoding="utf-8")
        torch.save(load_hyperpyyaml(settings)["embedding_model"].state_dict(), folder / "embedding_model.ckpt")
        options = {"savedir": str(folder), "run_opts": {"device": "cpu"}}
        made = inference.SpeakerRecognition.from_hparams(str(folder), **options)
    add_network(tmp_path / "ours", "speechbrain", str(folder))
    return made


def test_a_recognition_is_that_of_speechbrain_itself(theirs: Any, tmp_path: Path) -> None:
    ours = SpeakerRecognition(str(tmp_path / "ours"))
    for name, more in (("encode_batch", []), ("verify_batch", []), ("verify_files", ["threshold"])):
        expected = [key for key in inspect.signature(getattr(theirs, name)).parameters if key != "kwargs"]
        assert list(inspect.signature(getattr(ours, name)).parameters) == expected + more

    def same(found: Any, expected: Any) -> None:
        assert (found.shape, found.dtype) == (expected.shape, expected.dtype)
        assert torch.allclose(found.float(), expected.float(), atol=1e-5)

    files = [tmp_path / f"{number}.wav" for number in (0, 1)]
    for number, file in enumerate(files):
        write_audio(file, WAVES[number].numpy(), subtype="FLOAT")
    same(ours.load_audio(files[0]), theirs.load_audio(str(files[0])))
    same(ours.encode_batch(WAVES[0]), theirs.encode_batch(WAVES[0]))
    same(ours.encode_batch(WAVES, torch.ones(3)), theirs.encode_batch(WAVES, torch.ones(3)))
    embeddings = theirs.encode_batch(WAVES)
    same(ours.similarity(embeddings[:2], embeddings[1:]), theirs.similarity(embeddings[:2], embeddings[1:]))
    pairs = WAVES[:2], WAVES[1:]
    for found, expected in zip(
        ours.verify_batch(*pairs, threshold=0.9), theirs.verify_batch(*pairs, threshold=0.9), strict=True
    ):
        same(found, expected)
    found = ours.verify_files(*files, threshold=0.25)
    for each, expected in zip(found, theirs.verify_files(*map(str, files)), strict=True):
        same(each, expected)


# ----------------------------------------------------------------------------------------------------- pyannote.audio


@pytest.fixture
def pyannote() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pytest.importorskip("pyannote.audio", reason="the extra 'pyannote' is not installed")
        import seedpipe.integrations.pyannote as module
    return module


def test_a_pipeline_of_pyannote_gets_enhanced_embeddings(pyannote: Any, model: Enhancer) -> None:
    get_embedding = pyannote.SpeakerEmbedding(STUB, model)
    facts = get_embedding.sample_rate, get_embedding.dimension, get_embedding.metric, get_embedding.min_num_samples
    assert facts == (16_000, 8, "cosine", 800)
    assert np.allclose(get_embedding(WAVES[:, None]), model(RAW).numpy(), atol=1e-6)
    assert get_embedding.to(torch.device("cpu")) is get_embedding
    pipeline = get_embedding.use_in(SimpleNamespace())
    assert pipeline._embedding is get_embedding
    with pytest.raises(NetworkError, match="waveforms and masks have the shapes"):
        get_embedding(WAVES)


def test_masks_choose_the_speech_and_too_little_of_it_is_nan(pyannote: Any) -> None:
    get_embedding = pyannote.SpeakerEmbedding(STUB)
    masks = torch.zeros(3, 50)
    masks[0, 10:30] = 1.0
    masks[1] = 0.4
    masks[2, :1] = 1.0
    found = get_embedding(WAVES[:, None], masks=masks)
    assert np.allclose(found[0], Stub()(WAVES[:1, 3_200:9_600])[0], atol=1e-6)
    assert np.isnan(found[1:]).all()
    assert found.dtype == np.float32


@pytest.fixture
def diarization(pyannote: Any) -> Any:  # noqa: ARG001
    """A whole pipeline, of random weights but for one: its segmentation hears one speaker at all times."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from pyannote.audio.core.plda import PLDA
        from pyannote.audio.core.task import Problem, Resolution, Specifications
        from pyannote.audio.models.embedding import XVectorSincNet
        from pyannote.audio.models.segmentation import PyanNet
        from pyannote.audio.pipelines import SpeakerDiarization

        sizes = {"hidden_size": 4, "num_layers": 1, "bidirectional": False}
        segmentation = PyanNet(lstm=sizes, linear={"hidden_size": 4, "num_layers": 1})
        kind = Problem.MONO_LABEL_CLASSIFICATION, Resolution.FRAME
        segmentation.specifications = Specifications(
            *kind, duration=2.0, classes=["a", "b"], powerset_max_classes=1, permutation_invariant=True
        )
        segmentation.build()
        torch.nn.init.constant_(segmentation.classifier.bias[1:2], 1e3)  # of no speaker, a alone, b alone
        embedding = XVectorSincNet()
        embedding.specifications = Specifications(Problem.REPRESENTATION, Resolution.CHUNK, duration=2.0)
        parts = {"segmentation": segmentation, "embedding": embedding, "plda": PLDA.__new__(PLDA)}
        made = SpeakerDiarization(**parts, clustering="AgglomerativeClustering", segmentation_step=0.25)
    clustering = {"method": "average", "min_cluster_size": 1, "threshold": 0.25}
    return made.instantiate({"segmentation": {"min_duration_off": 0.0}, "clustering": clustering})


@pytest.mark.filterwarnings("ignore")
def test_a_diarization_of_pyannote_tells_speakers_by_our_embeddings(pyannote: Any, diarization: Any) -> None:
    speech = np.concatenate([tone(hertz, 6.0, seed=hertz) for hertz in (110, 1_000)])
    recording = {"waveform": torch.from_numpy(speech)[None], "sample_rate": 16_000, "uri": "meeting"}
    turns = pyannote.SpeakerEmbedding("dvector").use_in(diarization)(recording)
    assert turns.speaker_embeddings.shape == (2, 256)
    (first, one), (second, other) = [(turn, name) for turn, _, name in turns.speaker_diarization.itertracks(True)]
    assert one != other
    assert first.end == pytest.approx(6.0, abs=1.0)
    assert (second.start, second.end) == pytest.approx((6.0, 12.0), abs=1.0)


# ------------------------------------------------------------------------------------------------ Kaldi and WeSpeaker


def test_x_vector_folders_come_and_go(tmp_path: Path) -> None:
    rows = np.random.default_rng(0).standard_normal((3, D)).astype(np.float32)
    vectors = Vectors(Path(), [("b1", 0), ("a2", 0), ("a1", 0)], rows)
    speakers = {"a1": "a", "a2": "a", "b1": "b"}
    files = write_xvectors(tmp_path / "x", vectors, speakers)
    assert [path.name for path in files] == ["xvector.ark", "xvector.scp", "utt2spk", "spk2utt"]
    assert (tmp_path / "x" / "spk2utt").read_text(encoding="utf-8") == "a a1 a2\nb b1\n"
    found, known = read_xvectors(str(tmp_path / "x"))
    assert (found.keys, known) == (vectors.keys, speakers)
    assert (found.values == rows).all()
    with kaldiio.WriteHelper(f"ark,scp:{tmp_path}/xvector.ark,{tmp_path}/xvector.scp") as write:  # as WeSpeaker writes
        for (name, _), row in zip(vectors.keys, rows, strict=True):
            write(name, row)
    found, known = read_xvectors(tmp_path)
    assert (found.keys, known) == (vectors.keys, {})
    assert (found.values == rows).all()


@pytest.mark.parametrize(
    ("text", "message"),
    [("a1 a\na1 b\n", "is no new pair"), ("a1\n", "is no new pair"), ("a1 a\n", "lacks b1")],
)
def test_speakers_that_are_not_those_of_the_vectors_are_refused(text: str, message: str, tmp_path: Path) -> None:
    vectors = Vectors(Path(), [("b1", 0), ("a1", 0)], np.ones((2, D), np.float32))
    write_xvectors(tmp_path, vectors)
    (tmp_path / "utt2spk").write_text(text, encoding="utf-8")
    with pytest.raises(ExchangeError, match=message):
        read_xvectors(tmp_path)
    with pytest.raises(ExchangeError, match=r"has no xvector\.scp"):
        read_xvectors(tmp_path / "absent")
    with pytest.raises(ExchangeError, match="has the speaker"):
        write_xvectors(tmp_path, vectors, {"a1": "a"})
