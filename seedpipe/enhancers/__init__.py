"""SEED's rivals with its interface, trained on the same caches (docs/enhancers.md).

- ``seed``: :class:`seedpipe.enhancers.seed.Enhancer`, the diffusion MLP of the paper;
- ``regression``: the same MLP, rows and steps without diffusion;
- ``whitening``: mean and covariance in closed form, or LDA;
- ``drl``: a disentangling auto-encoder with an environment adversary; needs speaker labels;
- ``none``: the embeddings as they are, at unit length.
"""

from __future__ import annotations

from pathlib import Path

import torch

from seedpipe.enhancers.base import CONFIG, EmbeddingEnhancer
from seedpipe.enhancers.fixed import Rival
from seedpipe.enhancers.seed import Enhancer
from seedpipe.enhancers.training import train_enhancer
from seedpipe.errors import ModelError
from seedpipe.files import read_json

__all__ = ["EmbeddingEnhancer", "Rival", "load_enhancer", "train_enhancer"]


def load_enhancer(path: Path | str, device: str | torch.device = "cpu") -> EmbeddingEnhancer:
    """Load a model folder of any kind.

    Raises
    ------
    ModelError
        A file is missing, damaged, or does not fit the others, or the kind is unknown.

    Examples
    --------
    >>> load_enhancer("models/dvector/whitening").kind
    'whitening'
    """
    path = Path(path)
    diffusion = _kind(path) in ("seed", "regression")
    return Enhancer.load(path, device) if diffusion else Rival.load(path, device)


def _kind(path: Path) -> str:
    """The kind that a folder states; that of SEED where it states none."""
    try:
        config = read_json(path / CONFIG)
        return str(config.get("kind", "seed"))
    except (OSError, ValueError, AttributeError) as error:
        reason = " ".join(str(error).split())
        raise ModelError(f"is no model ({reason})", remedy="run seedpipe train", file=path) from error
