"""Caches, models and trial lists that need no audio: synthetic embeddings written through the cache's own functions.

An embedding is the mean of its speaker plus something of its utterance and of its crop. A noisy variant adds what lies
in a small subspace that all variants share, so that there is a structure for an enhancer to learn.
"""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

import seedpipe
from seedpipe.cache import Cache, CacheInfo, NetworkInfo, Shard, publish, shard_name, write_shard
from seedpipe.enhancers.diffusion import SeedMLP
from seedpipe.enhancers.normalization import Normalization
from seedpipe.enhancers.seed import Enhancer, ModelConfig
from seedpipe.params import TrainParams

# Matrices here are tiny; threads that wait for a core that others use take a hundred times as long as the work.
torch.set_num_threads(1)

D = 16
VARIANTS = ("clean", "noise", "reverb")
REPOSITORY = Path(__file__).resolve().parent.parent
PLAIN: dict[str, Any] = {
    "skip": "none",
    "safeguard": False,
    "ensemble": 0.5,
    "adaptive_ensemble": True,
    "shrinkage": 0.75,
}
"""The MLP alone, mixed with the original in the network's space, and no check on held-out sources."""
QUICK = TrainParams(epochs=25, batch_rows=32, learning_rate=5e-3, ema_decay=0.9, validation_share=0.2, **PLAIN)
"""Enough to learn the structure of :func:`training_cache` in about a second."""


def golden(name: str) -> Any:
    """A file of golden numbers; the test is skipped where they are not at hand."""
    shared = Path(os.environ.get("SEEDPIPE_SHARED", REPOSITORY.parent / "shared"))
    path = shared / "golden" / name
    if not path.is_file():
        pytest.skip(f"no golden numbers: {path} is missing (set SEEDPIPE_SHARED)")
    return path if path.suffix == ".json" else np.load(path)


def golden_weights(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, torch.Tensor]:
    """Weights by the formula of golden/README.md, as far as linear layers and layer norms need it."""
    return {name: torch.from_numpy(_golden_weight(name, shape)) for name, shape in shapes.items()}


def _golden_weight(name: str, shape: tuple[int, ...]) -> NDArray[np.float32]:
    w = np.random.Generator(np.random.PCG64(zlib.crc32(name.encode()))).standard_normal(shape)
    if name.endswith("bias"):
        w = 0.1 * w
    elif len(shape) >= 2:
        w = w / np.sqrt(np.prod(shape[1:]))
    else:
        w = 1 + 0.1 * w
    return w.astype(np.float32)


def golden_network(dimension: int) -> SeedMLP:
    network = SeedMLP(dimension)
    network.load_state_dict(golden_weights({name: tuple(w.shape) for name, w in network.state_dict().items()}))
    return network


def network_info(name: str = "toy", fingerprint: str = "f" * 64, dimension: int = D) -> NetworkInfo:
    return NetworkInfo(name=name, fingerprint=fingerprint, dimension=dimension, sample_rate=16_000)


def enhancer(dimension: int = D, *, normalize: str = "length+center", name: str = "toy", **train: Any) -> Enhancer:
    """An enhancer that does something: its weights come from a formula, not from training."""
    center = tuple((np.arange(dimension) / (10 * dimension)).tolist()) if normalize == "length+center" else ()
    config = ModelConfig(
        network=network_info(name, dimension=dimension),
        normalization=Normalization(kind=normalize, center=center, scale=1.0 if normalize == "none" else 4.0),
        # A share that depends on the embedding would hide the plain sum; tests of the adaptive one ask for it.
        train=TrainParams(normalize=normalize, **(PLAIN | {"adaptive_ensemble": False, "output": "network"} | train)),
        cache="c" * 64,
        seedpipe=seedpipe.__version__,
    )
    return Enhancer(golden_network(dimension), config)


def utterance_names(speakers: int, utterances: int) -> list[str]:
    return [f"speaker{s:02d}/utterance{u}.wav" for s in range(speakers) for u in range(utterances)]


def draw_embeddings(
    speakers: int, utterances: int, draws: int, *, seed: int, dimension: int = D, noise: float = 1.5
) -> NDArray[np.float32]:
    """Embeddings (speakers * utterances * draws, V, D), the first variant clean."""
    # The noise subspace is the same for every seed: training and evaluation meet the same kind of noise.
    basis = np.linalg.qr(np.random.default_rng(99).standard_normal((dimension, dimension // 3)))[0].T
    rng = np.random.default_rng(seed)
    speaker = rng.standard_normal((speakers, 1, 1, 1, dimension))
    utterance = 0.3 * rng.standard_normal((speakers, utterances, 1, 1, dimension))
    crop = 0.2 * rng.standard_normal((speakers, utterances, draws, 1, dimension))
    shape = (speakers, utterances, draws, len(VARIANTS) - 1)
    added = noise * (1 + rng.standard_normal((*shape, len(basis)))) @ basis
    clean = speaker + utterance + crop
    rows = np.concatenate((clean, clean + added), axis=3)
    return rows.reshape(-1, len(VARIANTS), dimension).astype(np.float32)


def training_cache(
    out: Path, *, speakers: int = 60, utterances: int = 4, draws: int = 3, seed: int = 0, **info: Any
) -> Cache:
    embeddings = draw_embeddings(speakers, utterances, draws, seed=seed)
    return write_cache(out, embeddings, utterance_names(speakers, utterances), kind="training", **info)


def evaluation_cache(
    out: Path,
    *,
    speakers: int = 10,
    utterances: int = 4,
    crops: int = 2,
    seed: int = 1,
    noise: float = 2.5,
    **info: Any,
) -> Cache:
    embeddings = draw_embeddings(speakers, utterances, crops, seed=seed, noise=noise)
    return write_cache(out, embeddings, utterance_names(speakers, utterances), kind="evaluation", **info)


def write_cache(
    out: Path,
    embeddings: NDArray[np.float32],
    utterances: list[str],
    *,
    kind: str,
    network: NetworkInfo | None = None,
    shard_rows: int = 100,
    synthetic: bool = False,
) -> Cache:
    """Write embeddings (R, V, D) as a cache; each utterance has the same number of rows, which follow each other."""
    per_utterance = len(embeddings) // len(utterances)
    names = np.repeat(np.array(utterances), per_utterance)
    draws = np.tile(np.arange(per_utterance, dtype=np.int32), len(utterances))
    variants = VARIANTS[: embeddings.shape[1]]
    work = out.with_name(f".{out.name}.work")
    work.mkdir(parents=True)
    shards = []
    for first in range(0, len(embeddings), shard_rows):
        part = slice(first, first + shard_rows)
        shard = Shard(embeddings[part], variants, _columns(names[part], draws[part], len(variants)), "key")
        shards.append(write_shard(work / shard_name(len(shards)), shard))
    info = CacheInfo(
        format="seedpipe-cache-1",
        kind=kind,
        network=network or network_info(dimension=embeddings.shape[2]),
        variants=variants,
        rows=len(embeddings),
        utterances=len(utterances),
        seconds=2.0 * len(utterances),
        features={"crop_samples": 32_240, "draws" if kind == "training" else "crops": per_utterance},
        augmentation={},
        seed=0,
        synthetic=synthetic,
        audio="a" * 64,
        fingerprint="c" * 64,
        versions={"seedpipe": seedpipe.__version__},
        shards=tuple(shards),
    )
    return publish(work, out, info)


def _columns(names: NDArray[Any], draws: NDArray[np.int32], variants: int) -> dict[str, NDArray[Any]]:
    shape = (len(names), variants)
    return {
        "utterance": names,
        "speaker": np.full(len(names), ""),
        "draw": draws,
        "crop_start": np.zeros(len(names), dtype=np.int64),
        "noise": np.full(shape, ""),
        "noise_offset": np.zeros(shape, dtype=np.int64),
        "snr_db": np.zeros(shape, dtype=np.float32),
        "rir": np.full(shape, ""),
    }


def write_trials(path: Path, speakers: int = 10, utterances: int = 4) -> Path:
    """Every pair of utterances, in both roles where the speakers differ in number by less than four."""
    names = utterance_names(speakers, utterances)
    lines = []
    for i, enrol in enumerate(names):
        for j, test in enumerate(names):
            apart = abs(i // utterances - j // utterances)
            if i != j and apart < 4:
                lines.append(f"{int(apart == 0)} {enrol} {test}")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def damage(cache: Cache) -> None:
    """Flip one bit in the middle of the first shard."""
    path = cache.path / cache.info.shards[0].file
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def contents(folder: Path) -> dict[str, bytes]:
    """Every file below a folder, hidden ones too, with its bytes."""
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def without_digests(model: Path) -> Path:
    """A model folder as the first ones of this format are: it may be changed, and nothing but its contents tells."""
    path = model / "config.json"
    entries = json.loads(path.read_text(encoding="utf-8"))
    own = {name: value for name, value in entries.items() if name not in ("digest", "weights")}
    path.write_text(json.dumps(own), encoding="utf-8")
    return model
