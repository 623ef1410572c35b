"""Stage two: SEED and its baselines, trained on one cache, with one interface and one kind of model folder.

- ``seed``: :class:`Enhancer`, the diffusion MLP of the paper;
- ``regression``: the same MLP, rows and steps without diffusion;
- ``whitening``: mean and covariance in closed form, or LDA;
- ``drl``: a disentangling auto-encoder with an environment adversary; needs speaker labels;
- ``none``: the embeddings as they are, at unit length.

What they are to each other is in docs/enhancers.md. The names below are loaded when first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from seedpipe.enhancers.arrays import train_enhancer
    from seedpipe.enhancers.base import EmbeddingEnhancer, TrainingCallback, TrainingPoint
    from seedpipe.enhancers.export import export_onnx
    from seedpipe.enhancers.files import Enhanced, Use, enhance_file
    from seedpipe.enhancers.fixed import FixedMap
    from seedpipe.enhancers.fused import Fused, export_fused
    from seedpipe.enhancers.registry import load_enhancer, train, train_on_cache
    from seedpipe.enhancers.seed import Enhancer
    from seedpipe.enhancers.sklearn import SeedTransformer
    from seedpipe.enhancers.training import TrainingResult

__all__ = [
    "EmbeddingEnhancer",
    "Enhanced",
    "Enhancer",
    "FixedMap",
    "Fused",
    "SeedTransformer",
    "TrainingCallback",
    "TrainingPoint",
    "TrainingResult",
    "Use",
    "enhance_file",
    "export_fused",
    "export_onnx",
    "load_enhancer",
    "train",
    "train_enhancer",
    "train_on_cache",
]

_HOMES = {
    "arrays": ("train_enhancer",),
    "base": ("EmbeddingEnhancer", "TrainingPoint", "TrainingCallback"),
    "export": ("export_onnx",),
    "files": ("Enhanced", "Use", "enhance_file"),
    "fixed": ("FixedMap",),
    "fused": ("Fused", "export_fused"),
    "registry": ("load_enhancer", "train", "train_on_cache"),
    "seed": ("Enhancer",),
    "sklearn": ("SeedTransformer",),
    "training": ("TrainingResult",),
}


def __getattr__(name: str) -> object:
    for home, names in _HOMES.items():
        if name in names:
            return getattr(importlib.import_module(f"{__name__}.{home}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
