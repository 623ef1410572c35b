"""One real error of each class, provoked: docs/errors.md shows their messages, and test_docs.py compares."""

from __future__ import annotations

import builtins
from collections.abc import Callable
from pathlib import Path
from unittest import mock

import numpy as np
from synthetic import damage, enhancer, evaluation_cache, network_info, training_cache

from seedpipe.cache import open_cache
from seedpipe.errors import SeedpipeError, shortage
from seedpipe.files import locked
from seedpipe.workers import clusters, engine


def prepare() -> None:
    """Make what the examples name, in the current folder."""
    training_cache(Path("cache/dvector/train"), speakers=4)
    evaluation_cache(Path("cache/dvector/demo"), speakers=4, network=network_info("dvector"))
    Path("params.yaml").write_text("train:\n  epohcs: 30\n", encoding="utf-8")
    Path("take.wav").write_bytes(b"RIFF\x24\x00\x00\x00WAVE")
    Path("trials.txt").write_text("1 a.wav b.wav\n1 a.wav c.wav\nyes a.wav d.wav\n", encoding="utf-8")
    np.save("rows.npy", np.zeros((3, 256), dtype=np.float32))
    Path("names.txt").write_text("a\nb\n", encoding="utf-8")


def wrong_key() -> None:
    from seedpipe.params import load_params

    load_params(Path("params.yaml"))


def no_training_folder() -> None:
    from seedpipe.audio import layout
    from seedpipe.params import ManifestParams

    layout.write_training_manifests(ManifestParams(root=Path("data/mine")), Path("data_manifests/train"))


def cut_off_audio() -> None:
    from seedpipe.audio import probe

    probe(Path("take.wav"))


def wrong_label() -> None:
    from seedpipe.scoring.trials import read_trials

    read_trials(Path("trials.txt"))


def unknown_network() -> None:
    from seedpipe.networks import load_network

    load_network("resnet43")


def unknown_front_end() -> None:
    from seedpipe.audio.frontends import load_frontend

    load_frontend("rnoise", 16_000)


def no_cache() -> None:
    open_cache(Path("cache/dvector/vox1-o"))


def damaged_cache() -> None:
    cache = open_cache(Path("cache/dvector/train"))
    damage(cache)
    cache.to_numpy()


def foreign_cache() -> None:
    model = enhancer(name="ecapa")
    model.expect(open_cache(Path("cache/dvector/demo")))


def names_that_do_not_fit() -> None:
    from seedpipe.cache.exchange import read_vectors

    read_vectors(Path("rows.npy"), Path("names.txt"))


def no_model() -> None:
    from seedpipe.enhancers.seed import Enhancer

    Enhancer.load(Path("models/dvector"))


def scores_that_are_distances() -> None:
    from seedpipe.metrics import check_direction

    check_direction(np.arange(10.0), np.repeat([1, 0], 5))


def two_speakers() -> None:
    from seedpipe.metrics import SpeakerBootstrap

    enrol, test = np.array(["a", "b", "a", "b"]), np.array(["a", "b", "b", "a"])
    SpeakerBootstrap(enrol, test).interval(np.array([0.9, 0.8, 0.1, 0.85]), np.array([1, 1, 0, 0]))


def locked_folder() -> None:
    with locked(Path("cache/dvector/train")), locked(Path("cache/dvector/train")):
        pass


def missing_package() -> None:
    from seedpipe.enhancers.export import export_onnx

    genuine = builtins.__import__

    def lacking(name: str, *arguments: object, **keywords: object) -> object:
        if name == "onnx":
            raise ImportError(name)
        return genuine(name, *arguments, **keywords)

    with mock.patch.object(builtins, "__import__", lacking):
        export_onnx(enhancer(), Path("seed.onnx"))


def no_memory() -> None:
    found = shortage(MemoryError())
    assert found
    raise found


def no_cluster() -> None:
    raise clusters._no_answer("HOST:8786", ConnectionRefusedError("Connection refused"))


def lost_worker() -> None:
    raise engine.lost()


PROVOKED: dict[str, Callable[[], None]] = {
    "ParamsError": wrong_key,
    "ManifestError": no_training_folder,
    "AudioError": cut_off_audio,
    "TrialError": wrong_label,
    "NetworkError": unknown_network,
    "FrontendError": unknown_front_end,
    "CacheError": no_cache,
    "CacheDamagedError": damaged_cache,
    "CacheMismatchError": foreign_cache,
    "ExchangeError": names_that_do_not_fit,
    "ModelError": no_model,
    "MetricError": scores_that_are_distances,
    "TooFewSpeakersError": two_speakers,
    "BusyError": locked_folder,
    "MissingExtraError": missing_package,
    "ShortageError": no_memory,
    "ClusterError": no_cluster,
    "WorkerLostError": lost_worker,
}


def message(kind: str) -> str:
    """The text of a real error of one class, provoked in the current folder; its class is checked."""
    try:
        PROVOKED[kind]()
    except SeedpipeError as error:
        if type(error).__name__ != kind:
            raise
        return str(error)
    raise AssertionError(f"{kind} was not raised")
