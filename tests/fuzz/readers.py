"""Every file that seedpipe reads from outside: how a good one is made, and what is done with it."""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import json
import resource
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import synthetic
import torch
from safetensors.torch import save_file

from seedpipe.cache import Cache, open_cache
from seedpipe.files import sealed


@dataclass(frozen=True)
class Reader:
    """A file from outside.

    Parameters
    ----------
    make : callable
        Writes a good file, and what belongs to it, into an empty folder and gives its path.
    read : callable
        Reads the file of that path to the end, as the commands do.
    """

    make: Callable[[Path], Path]
    read: Callable[[Path], object]


# ------------------------------------------------------------------------------------------------------ lists, tables

TRIALS = "1 anna/a.wav anna/b.wav\n0 anna/a.wav ben/c.wav\n1 ben/c.wav ben/d.wav\n0 anna/b.wav ben/d.wav\n"


def _text(name: str, text: str) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        path = folder / name
        path.write_text(text, encoding="utf-8")
        return path

    return make


def _gzipped(folder: Path) -> Path:
    path = folder / "trials.txt.gz"
    path.write_bytes(gzip.compress(TRIALS.encode(), mtime=0))
    return path


def read_list(path: Path) -> None:
    from seedpipe.scoring.trials import check_trials, read_trials

    json.dumps(check_trials(path).as_dict())
    read_trials(path).digest()


def _models(path: Path) -> None:
    from seedpipe.scoring.trials import read_models

    read_models(path)


def _speakers(path: Path) -> None:
    from seedpipe.scoring.trials import read_speaker_map

    read_speaker_map(path)


def _name_map(path: Path) -> None:
    from seedpipe.scoring.trials.name_map import read_name_map

    read_name_map(path)


def _manifest(folder: Path) -> Path:
    from seedpipe.audio import list_files, write_manifest

    wave = np.sin(np.arange(8_000) / 20).astype(np.float32) / 2
    for name in ("a.wav", "b.flac"):
        soundfile.write(folder / name, wave, 16_000)
    frame, _ = list_files(folder, ["a.wav", "b.flac"])
    write_manifest(frame, folder / "speech.csv")
    return folder / "speech.csv"


def read_manifest(path: Path) -> None:
    from seedpipe.audio import read_audio, read_manifest
    from seedpipe.errors import AudioError

    table = read_manifest(path)
    assert table.seconds > 0
    assert (table.digest(), table.sample_rates()) is not None
    assert not table.synthetic
    for row in table.frame.to_dict("records")[:3]:
        try:
            read_audio(Path(row["path"]), 16_000, row["digest"], row["start_frame"], row["frames"])
        except AudioError:
            continue


PARAMS = """\
corpus:
  seed: 3
manifest:
  root: data/demo
  evaluations: [demo, "other"]
  segment_seconds: 10.0
extract: &extract
  preset: official
  networks: [dvector]
  variants: [music, noise+reverb]
  augment: {music_snr_db: [5.0, 15.0]}
train: {steps: 3, ensemble: 0.5, loss: norm}
score: {methods: [cosine], p_targets: [0.05]}
machine: {jobs: 1}
"""


def _params(path: Path) -> None:
    from seedpipe.params import load_params

    load_params(path)


SCORES = "label,enrol,test,score,magnitude_low\n1,a,b,2.5,1.0\n0,a,c,-1.5,2.0\n1,c,d,2.0,0.5\n0,b,d,-0.5,0.25\n"


def _tab_scores() -> str:
    return SCORES.replace(",", "\t")


def _plain_scores() -> str:
    return "a b 2.5\na c -1.5\nc d 2.0\nb d -0.5\n"


def _parquet_scores(folder: Path) -> Path:
    import pandas as pd

    frame = pd.DataFrame({"label": [1, 0], "enrol": ["a", "a"], "test": ["b", "c"], "score": [0.5, -0.5]})
    frame.to_parquet(folder / "scores.parquet", index=False, write_page_checksum=True)
    return folder / "scores.parquet"


def _scores(path: Path) -> None:
    from seedpipe.scoring import compare_scores, read_columns, read_scores
    from seedpipe.scoring.calibration import fit_calibration

    found = read_scores(path)
    if path.suffix == ".csv":
        read_columns(path, ["magnitude_low"])
    if not found.trials.blind:
        compare_scores(found, found, replicates=100)
        fit_calibration(found.scores, found.trials.labels)


# ---------------------------------------------------------------------------------------------------------- embeddings

NAMES = ["anna/a.wav", "anna/a.wav", "zwölf", "zwölf"]


def _values() -> np.ndarray:
    return np.random.default_rng(0).standard_normal((4, 3)).astype(np.float32)


def _npz(folder: Path) -> Path:
    np.savez(folder / "in.npz", embeddings=_values(), utterance=np.array(NAMES))
    return folder / "in.npz"


def _npz_compressed(folder: Path) -> Path:
    np.savez_compressed(folder / "in.npz", embeddings=_values()[:, None], ids=np.char.encode(NAMES, "utf-8"))
    return folder / "in.npz"


def _npy(folder: Path) -> Path:
    np.save(folder / "in.npy", _values())
    (folder / "ids.txt").write_text("\n".join(NAMES), encoding="utf-8")
    return folder / "in.npy"


def _ids(folder: Path) -> Path:
    return _npy(folder).with_name("ids.txt")


def _parquet(folder: Path) -> Path:
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.table({"utterance": NAMES, "embedding": list(_values())}), folder / "in.parquet")
    return folder / "in.parquet"


def _kaldi(folder: Path) -> Path:
    from seedpipe.cache.exchange import Vectors, write_vectors

    values = _values()
    write_vectors(Vectors(folder / "in.ark", [("anna", number) for number in range(len(values))], values))
    return folder / "in.ark"


def _vectors(path: Path) -> None:
    from seedpipe.cache.exchange import import_cache, read_vectors
    from seedpipe.scoring import read_embeddings

    ids = path.with_name("ids.txt")
    path = path.with_name("in.npy") if path == ids else path
    read_vectors(path, ids if path.suffix == ".npy" else None)
    import_cache(path.parent / "cache", {"clean": path}, kind="evaluation", network="n", ids=ids)
    read_embeddings(path, ids)


def _array(folder: Path) -> Path:
    np.save(folder / "in.npy", _values())
    return folder / "in.npy"


def _enhanced(path: Path) -> None:
    """As ``seedpipe enhance`` reads an array."""
    from seedpipe.cache.exchange import read_npy

    read_npy(path)


# --------------------------------------------------------------------------------------------------------------- cache


def _cache(folder: Path) -> Path:
    synthetic.evaluation_cache(folder / "cache", speakers=3, utterances=2, crops=2)
    return folder / "cache/manifest.json"


def seal(document: Any, folder: Path) -> None:
    """Write a manifest with the digest that fits it, as whoever makes a file on purpose would."""

    if isinstance(document, dict):
        document = {**document, "digest": ""}
        document["digest"] = hashlib.sha256(_sorted(document)).hexdigest()
    (folder / "manifest.json").write_bytes(_dump(document))


def _sorted(document: dict[str, Any]) -> bytes:
    others = {name: value for name, value in document.items() if name != "digest"}
    return json.dumps(others, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode(errors="surrogatepass")


def _dump(document: Any) -> bytes:
    return (json.dumps(document, indent=1, ensure_ascii=False) + "\n").encode(errors="surrogatepass")


def read_cache(path: Path) -> None:
    from seedpipe.cli.cache import _description
    from seedpipe.extract import remarks
    from seedpipe.scoring import load_crops

    cache = open_cache(path.parent)
    use = (_description, lambda each: remarks(each.info), repr, Cache.verify, Cache.to_numpy, Cache.frame, load_crops)
    for function in (*use, lambda each: (each.shard(0), each.rows(0, 0, 1), each.dataset()[0])):
        function(cache)


def read_shard(path: Path) -> None:
    """A damaged shard of a manifest that has its digest and size."""
    manifest = path.with_name("manifest.json")
    if path.is_file():
        data = path.read_bytes()
        document = json.loads(manifest.read_bytes())
        document["shards"][0] |= {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}
        seal(document, path.parent)
    read_cache(manifest)


def _shard(folder: Path) -> Path:
    return _cache(folder).with_name("shard-00000.h5")


# ------------------------------------------------------------------------------------------------- models and networks


def _model(folder: Path) -> Path:
    synthetic.enhancer(dimension=4).save(folder / "model", "card")
    return synthetic.without_digests(folder / "model") / "model.safetensors"


def _config(folder: Path) -> Path:
    return _model(folder).with_name("config.json")


def _baseline(kind: str, name: str) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        from seedpipe.enhancers import FixedMap
        from seedpipe.params import DRLParams, WhiteningParams

        untrained = FixedMap.untrained(kind, synthetic.network_info(dimension=4))
        settings = {"whitening": WhiteningParams(), "drl": DRLParams(), "none": None}[kind]
        FixedMap(untrained.module, untrained.config.model_copy(update={"settings": settings})).save(
            folder / kind, "card"
        )
        return synthetic.without_digests(folder / kind) / name

    return make


def _regression(folder: Path) -> Path:
    from seedpipe.enhancers.seed import Enhancer

    seed = synthetic.enhancer(dimension=4)
    config = seed.config.model_copy(update={"kind": "regression", "train": seed.config.train.without_diffusion()})
    Enhancer(seed.module, config).save(folder / "regression", "card")
    return synthetic.without_digests(folder / "regression") / "config.json"


def read_model(path: Path) -> None:
    from seedpipe.enhancers import load_enhancer

    enhancer = load_enhancer(path.parent)
    repr(enhancer)
    rows = np.ones((2, enhancer.dimension), np.float32)
    assert np.isfinite(enhancer(rows, torch.Generator().manual_seed(0))).all()


def _checkpoint(folder: Path) -> Path:
    torch.save({"model": synthetic.enhancer(dimension=4).module.state_dict(), "epoch": 3}, folder / "in.pt")
    return folder / "in.pt"


def _legacy(folder: Path) -> Path:
    state = synthetic.enhancer(dimension=2).module.state_dict()
    torch.save({"model": state}, folder / "in.pt", _use_new_zipfile_serialization=False)
    return folder / "in.pt"


def _tensors(folder: Path) -> Path:
    save_file({"fc.weight": torch.ones(3, 2), "layer4.0.conv1.weight": torch.ones(2)}, folder / "in.safetensors")
    return folder / "in.safetensors"


def read_checkpoint(path: Path) -> None:
    from seedpipe.enhancers.official import read_official
    from seedpipe.errors import NetworkError
    from seedpipe.networks.architectures import network_from_state
    from seedpipe.networks.checkpoint import read_state

    with contextlib.suppress(NetworkError):
        network_from_state(read_state(path), None, path)
    read_official(path)


def _network(folder: Path) -> Path:
    from seedpipe.networks import add_network

    add_network(folder / "net", "factory", "stub_network:Stub")
    return folder / "net/network.json"


def _converted(folder: Path) -> Path:
    from seedpipe.networks import convert_checkpoint
    from seedpipe.networks.resnet34 import ResNet34

    torch.save(ResNet34(2).state_dict(), folder / "in.pt")
    convert_checkpoint(folder / "in.pt", folder / "net")
    return folder / "net/network.json"


def read_network(path: Path) -> None:
    from seedpipe.networks import load_network

    load_network(path.parent)


def _onnx(folder: Path) -> Path:
    from onnx import TensorProto, helper, numpy_helper, save

    weight = numpy_helper.from_array(np.ones((1, 4), np.float32), "w")
    nodes = [
        helper.make_node("ReduceMean", ["x"], ["m"], keepdims=1, axes=[1]),
        helper.make_node("MatMul", ["m", "w"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes, "g", [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["b", "t"])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["b", 4])], [weight],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    save(model, folder / "in.onnx")
    return folder / "in.onnx"


SPEECHBRAIN = """\
pretrained_path: speechbrain/spkrec
n_mels: 4
compute_features: !new:speechbrain.lobes.features.Fbank
    n_mels: !ref <n_mels>
mean_var_norm: !new:speechbrain.processing.features.InputNormalization {norm_type: sentence}
embedding_model: !new:speechbrain.lobes.models.Xvector.Xvector
    in_channels: !ref <n_mels>
    activation: !name:torch.nn.LeakyReLU
    tdnn_blocks: 1
    tdnn_channels: [4]
    tdnn_kernel_sizes: [1]
    tdnn_dilations: [1]
    lin_neurons: 3
modules:
    compute_features: !ref <compute_features>
    mean_var_norm: !ref <mean_var_norm>
    embedding_model: !ref <embedding_model>
pretrainer: !new:speechbrain.utils.parameter_transfer.Pretrainer
    loadables: {model: !ref <embedding_model>}
    paths: {model: !ref <pretrained_path>/model.ckpt}
"""


def make_speechbrain(folder: Path) -> Path:
    pytest.importorskip("speechbrain")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from speechbrain.lobes.models.Xvector import Xvector

        options = {"tdnn_blocks": 1, "tdnn_channels": [4], "tdnn_kernel_sizes": [1], "tdnn_dilations": [1]}
        state = Xvector(in_channels=4, lin_neurons=3, **options).state_dict()
    (folder / "brain").mkdir()
    torch.save(state, folder / "brain/model.ckpt")
    (folder / "brain/hyperparams.yaml").write_text(SPEECHBRAIN, encoding="utf-8")
    return folder / "brain/hyperparams.yaml"


def read_speechbrain(path: Path) -> None:
    from seedpipe.networks.speechbrain import SpeechBrainNetwork

    with _little_memory():  # what is made, and how large, the settings say
        SpeechBrainNetwork(path.parent).fingerprint()


@contextlib.contextmanager
def _little_memory() -> Iterator[None]:
    held = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (held + 2**30, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


def _read_onnx(path: Path) -> None:
    from seedpipe.networks import load_network

    load_network(path)


# ---------------------------------------------------------------------------------------------------- small documents


def _calibration(folder: Path) -> Path:
    from seedpipe.scoring.calibration import Calibration

    Calibration(2.0, -1.0, {"magnitude_low": 0.5}).save(folder / "calibration.json")
    return folder / "calibration.json"


def read_calibration(path: Path) -> None:
    from seedpipe.scoring.calibration import load_calibration

    found = load_calibration(path)
    measures = {name: np.ones(2) for name in found.quality}
    assert np.isfinite(found([1.0, 2.0], measures)).all()


def _evaluation(folder: Path) -> Path:
    from example_results import BETTER, report

    path = folder / "evaluation.json"
    path.write_text(json.dumps(sealed(report(BETTER)), indent=1), encoding="utf-8")
    return path


def read_evaluation(path: Path) -> None:
    from seedpipe.pipeline import _read_json
    from seedpipe.results.report import format_table, headline, write_report

    data = _read_json(path)
    format_table(data)
    headline(data)
    write_report(data, path.with_name("report.html"), path.with_name("report.md"))


# --------------------------------------------------------------------------------------------------------------- audio


def _audio(name: str, **options: Any) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        noise = np.random.default_rng(0).standard_normal((3_000, options.get("channels", 1)))
        subtype = options.get("subtype")
        soundfile.write(folder / name, (0.1 * noise).astype(np.float32), options.get("rate", 16_000), subtype=subtype)
        return folder / name

    return make


def read_wave(path: Path) -> None:
    from seedpipe.audio import probe, read_audio

    info = probe(path)
    assert info.frames / info.sample_rate > 0
    wave = read_audio(path, 16_000, info.digest)
    assert np.isfinite(wave).all()


READERS = {
    "trials.txt": Reader(_text("trials.txt", TRIALS), read_list),
    "trials.csv": Reader(_text("t.csv", 'label,enrol,test\n1,"a,1",b\n0,"a,1",c\n0,d,e\n'), read_list),
    "trials.tsv": Reader(_text("t.tsv", "enrol\ttest\tlabel\na\tb\ttarget\na\tc\tnontarget\n"), read_list),
    "trials.gz": Reader(_gzipped, read_list),
    "models.txt": Reader(_text("models.txt", "anna a.wav b.wav\nben c.wav\n"), _models),
    "speakers.txt": Reader(_text("speakers.txt", "a.wav anna\nb.wav ben\n"), _speakers),
    "speakers.csv": Reader(_text("speakers.csv", "utterance,speaker\na.wav,anna\n"), _speakers),
    "wav.scp": Reader(_text("wav.scp", "a audio/a.wav\nb audio/b.wav\n"), _name_map),
    "manifest.csv": Reader(_manifest, read_manifest),
    "params.yaml": Reader(_text("params.yaml", PARAMS), _params),
    "scores.csv": Reader(_text("scores.csv", SCORES), _scores),
    "scores.tsv": Reader(_text("scores.tsv", _tab_scores()), _scores),
    "scores.txt": Reader(_text("scores.txt", _plain_scores()), _scores),
    "scores.parquet": Reader(_parquet_scores, _scores),
    "npz": Reader(_npz, _vectors),
    "npz compressed": Reader(_npz_compressed, _vectors),
    "npy": Reader(_npy, _vectors),
    "ids.txt": Reader(_ids, _vectors),
    "parquet": Reader(_parquet, _vectors),
    "ark": Reader(_kaldi, _vectors),
    "scp": Reader(lambda folder: _kaldi(folder).with_suffix(".scp"), _vectors),
    "enhance npy": Reader(_array, _enhanced),
    "cache manifest": Reader(_cache, read_cache),
    "shard": Reader(_shard, read_shard),
    "model.safetensors": Reader(_model, read_model),
    "config.json": Reader(_config, read_model),
    "whitening weights": Reader(_baseline("whitening", "model.safetensors"), read_model),
    "whitening config": Reader(_baseline("whitening", "config.json"), read_model),
    "drl weights": Reader(_baseline("drl", "model.safetensors"), read_model),
    "drl config": Reader(_baseline("drl", "config.json"), read_model),
    "none config": Reader(_baseline("none", "config.json"), read_model),
    "regression config": Reader(_regression, read_model),
    "checkpoint": Reader(_checkpoint, read_checkpoint),
    "legacy checkpoint": Reader(_legacy, read_checkpoint),
    "safetensors": Reader(_tensors, read_checkpoint),
    "network.json": Reader(_network, read_network),
    "network.json converted": Reader(_converted, read_network),
    "hyperparams.yaml": Reader(make_speechbrain, read_speechbrain),
    "SpeechBrain weights": Reader(lambda folder: make_speechbrain(folder).with_name("model.ckpt"), read_speechbrain),
    "onnx": Reader(_onnx, _read_onnx),
    "calibration.json": Reader(_calibration, read_calibration),
    "evaluation.json": Reader(_evaluation, read_evaluation),
    "wav": Reader(_audio("a.wav"), read_wave),
    "wav float": Reader(_audio("a.wav", subtype="FLOAT", channels=2, rate=8_000), read_wave),
    "flac": Reader(_audio("a.flac"), read_wave),
    "ogg": Reader(_audio("a.ogg"), read_wave),
    "mp3": Reader(_audio("a.mp3"), read_wave),
    "aiff": Reader(_audio("a.aiff", rate=22_050), read_wave),
}
