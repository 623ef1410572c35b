"""The enhancer: embeddings of a frozen network in, embeddings that survive noise, music and rooms out.

A model is a folder with ``model.safetensors`` (the SEED network), ``config.json`` (everything else) and a model card.
"""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from torch import Tensor
from torch.nn import functional

from seedpipe.cache import NetworkInfo
from seedpipe.diffusion import Schedule, SeedMLP
from seedpipe.errors import CacheMismatchError, ModelError
from seedpipe.files import publish_folder, refuse_foreign
from seedpipe.params import TrainParams

if TYPE_CHECKING:
    from seedpipe.cache import Cache

__all__ = ["Enhancer", "ModelConfig", "Normalization"]

WEIGHTS, CONFIG, CARD = "model.safetensors", "config.json", "README.md"
MODEL_FILES = (WEIGHTS, CONFIG, CARD, ".*")
LEAST_POWER = 1e-12  # mean square of unit-length embeddings that differ by rounding alone
BLOCK = 4096  # rows of one forward pass, so that memory does not grow with the input
Embeddings = TypeVar("Embeddings", NDArray[np.float32], Tensor)


class Normalization(BaseModel):
    """What is done to an embedding before diffusion: unit length, minus a mean, times a scale; the same always.

    Parameters
    ----------
    kind : {'none', 'length', 'length+center'}
    center : tuple of float
        Mean of the clean training embeddings of unit length, length D; empty unless centred.
    scale : float
        Brings the mean square of an entry to 1, the power of the diffusion noise.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    kind: Literal["none", "length", "length+center"]
    center: tuple[float, ...] = ()
    scale: float = Field(default=1.0, gt=0)

    @classmethod
    def fit(cls, kind: Literal["none", "length", "length+center"], clean: Tensor) -> Normalization:
        """Fit to clean embeddings (B, D).

        Raises
        ------
        ModelError
            The embeddings do not differ, so that nothing is left after centring.
        """
        if kind == "none":
            return cls(kind=kind)
        unit = functional.normalize(clean, dim=1)
        center = unit.mean(dim=0) if kind == "length+center" else torch.zeros(unit.shape[1])
        power = float((unit - center).square().mean())
        if power < LEAST_POWER:
            raise ModelError(
                f"{len(clean)} clean embeddings do not differ from each other",
                expected="embeddings of several utterances",
                remedy="train on more speech, or set train.normalize: length",
            )
        scale = power**-0.5
        return cls(kind=kind, center=tuple(center.tolist()) if kind == "length+center" else (), scale=scale)

    def __call__(self, embeddings: Tensor) -> Tensor:
        """(..., D) -> (..., D)."""
        if self.kind == "none":
            return embeddings
        unit = functional.normalize(embeddings, dim=-1)
        if self.center:
            unit = unit - torch.tensor(self.center, dtype=unit.dtype, device=unit.device)
        return unit * self.scale

    def undo(self, normalized: Tensor) -> Tensor:
        """Bring predictions (..., D) back to the space of the network's own embeddings."""
        if self.center:
            center = torch.tensor(self.center, dtype=normalized.dtype, device=normalized.device)
            return normalized / self.scale + center
        return normalized / self.scale


class ModelConfig(BaseModel):
    """The contents of ``config.json``."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    format: Literal["seedpipe-model-1"] = "seedpipe-model-1"
    network: NetworkInfo
    """The speaker network whose embeddings it enhances."""
    normalization: Normalization
    displacement: float = Field(default=1.0, gt=0)
    """How far the network moves noisy training embeddings on average: 1 - cosine between before and after."""
    train: TrainParams
    """How it was trained, and how an embedding enters in use (t, noise, ensemble)."""
    cache: str
    """Fingerprint of the training cache."""
    seedpipe: str
    """Version that trained it."""

    @model_validator(mode="after")
    def _check(self) -> ModelConfig:
        wanted = self.network.dimension if self.normalization.kind == "length+center" else 0
        if len(self.normalization.center) != wanted:
            raise ValueError(f"normalization.center has {len(self.normalization.center)} values instead of {wanted}")
        return self


class Enhancer:
    """A trained SEED model.

    The result has unit length and lives in the space of the network's own embeddings. It is the same each time unless
    the model says ``inference_noise: sampled``; then it depends on the generator.

    Examples
    --------
    >>> enhancer = Enhancer.load("models/dvector")
    >>> enhancer(np.ones((2, 256), dtype=np.float32)).shape
    (2, 256)
    """

    def __init__(self, network: SeedMLP, config: ModelConfig) -> None:
        self.config, self.schedule = config, Schedule()
        self.module = network.eval().requires_grad_(False)

    def __repr__(self) -> str:
        use = self.config.train
        return (
            f"<Enhancer for {self.config.network.name}, {self.dimension}-d, t = {use.inference_step},"
            f" {use.inference_noise} noise, ensemble {use.ensemble:g}>"
        )

    @property
    def dimension(self) -> int:
        """D, length of an embedding."""
        return self.config.network.dimension

    @classmethod
    def load(cls, path: Path | str, device: str | torch.device = "cpu") -> Enhancer:
        """Load a model folder.

        Raises
        ------
        ModelError
            A file is missing, damaged, or does not fit the others.
        """
        import safetensors
        from safetensors.torch import load_file

        path = Path(path)
        try:
            config = ModelConfig.model_validate_json((path / CONFIG).read_bytes())
            state = load_file(path / WEIGHTS)
        except (OSError, ValidationError, safetensors.SafetensorError) as error:
            reason = " ".join(str(error).split())
            raise ModelError(f"is no model ({reason})", remedy="run seedpipe train", file=path) from error
        network = SeedMLP(config.network.dimension)
        try:
            network.load_state_dict(state)
        except RuntimeError as error:
            raise ModelError(f"the weights do not fit: {error}", remedy="train again", file=path / WEIGHTS) from error
        return cls(network.to(device), config)

    def save(self, path: Path, card: str) -> None:
        """Write the model folder, whole or not at all, in the place of an older one.

        Raises
        ------
        ModelError
            The folder there is no model: it holds other files.
        """
        from safetensors.torch import save_file

        refuse_foreign(path, MODEL_FILES, "model folder", ModelError)
        work = path.with_name(f".{path.name}.{os.getpid()}.partial")
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir(parents=True)
        try:
            save_file(self.module.state_dict(), work / WEIGHTS)
            text = json.dumps(self.config.model_dump(mode="json"), indent=1)
            (work / CONFIG).write_text(text + "\n", encoding="utf-8")
            (work / CARD).write_text(card, encoding="utf-8")
            publish_folder(work, path)
        finally:
            shutil.rmtree(work, ignore_errors=True)

    def expect(self, cache: Cache) -> Enhancer:
        """Refuse a cache that another network made.

        Raises
        ------
        CacheMismatchError
            The text names the field that differs.
        """
        try:
            cache.expect(network=self.config.network)
        except CacheMismatchError as error:
            raise CacheMismatchError(
                f"{error.found}, but the model is for {error.expected}", remedy=error.remedy, file=error.file
            ) from error
        return self

    def __call__(self, embeddings: Embeddings, generator: torch.Generator | None = None) -> Embeddings:
        """Enhance embeddings.

        Parameters
        ----------
        embeddings : ndarray or Tensor, shape (..., D)
        generator : torch.Generator, optional
            Source of the noise, needed by a model with ``inference_noise: sampled``.

        Returns
        -------
        The same kind, shape (..., D), float32
            Unit length.

        Raises
        ------
        ModelError
            The last dimension is not D, a value is not finite, or noise is wanted and no generator given.
        """
        given = embeddings if isinstance(embeddings, Tensor) else _tensor(embeddings)
        self._check(given, generator)
        device = next(self.module.parameters()).device
        rows = given.detach().reshape(-1, self.dimension)
        done = [self._enhance(block.to(device, torch.float32), generator) for block in torch.split(rows, BLOCK)]
        result = torch.cat(done).reshape(given.shape) if done else given
        return result.to(given.device) if isinstance(embeddings, Tensor) else result.cpu().numpy()

    def _check(self, embeddings: Tensor, generator: torch.Generator | None) -> None:
        if embeddings.ndim == 0 or embeddings.shape[-1] != self.dimension:
            raise ModelError(
                f"embeddings have the shape {tuple(embeddings.shape)}",
                expected=f"(..., {self.dimension}) from the network {self.config.network.name}",
                remedy="use the model that was trained for this network",
            )
        if not torch.isfinite(embeddings).all():
            raise ModelError("embeddings hold values that are not finite", remedy="look at where they come from")
        if self.config.train.inference_noise == "sampled" and generator is None:
            raise ModelError(
                "this model noises embeddings first", expected="a torch.Generator", remedy="pass generator="
            )

    def displacement(self, embeddings: Tensor) -> float:
        """How far the network alone moves embeddings (..., D) on average: 1 - cosine between before and after."""
        rows = embeddings.reshape(-1, self.dimension)
        moved = [_moved(*self._predict(block, torch.Generator().manual_seed(0))) for block in torch.split(rows, BLOCK)]
        return float(torch.cat(moved).mean())

    def _predict(self, block: Tensor, generator: torch.Generator | None) -> tuple[Tensor, Tensor]:
        """Original and enhanced embedding, both of unit length in the network's own space."""
        use = self.config.train
        y_0 = self.config.normalization(block)
        eps = torch.zeros_like(y_0)
        if use.inference_noise == "sampled" and generator is not None:
            eps = torch.randn(y_0.shape, generator=generator, device=generator.device).to(y_0.device)
        with torch.inference_mode():
            x_0 = self.schedule.single_step(self.module, y_0, eps, use.inference_step)
        enhanced = functional.normalize(self.config.normalization.undo(x_0), dim=1)
        return functional.normalize(block, dim=1), enhanced

    def _enhance(self, block: Tensor, generator: torch.Generator | None) -> Tensor:
        original, enhanced = self._predict(block, generator)
        share = torch.full((len(block), 1), self.config.train.ensemble, device=block.device)
        if self.config.train.adaptive_ensemble:
            share = (share * _moved(original, enhanced)[:, None] / self.config.displacement).clamp(0.0, 1.0)
        return functional.normalize(torch.lerp(original, enhanced, share), dim=1)


def _moved(original: Tensor, enhanced: Tensor) -> Tensor:
    return 1 - (original * enhanced).sum(dim=1)


def _tensor(embeddings: NDArray[np.float32]) -> Tensor:
    # Reversed and read-only arrays (memory maps) are copied: torch refuses the one and warns of the other.
    return torch.from_numpy(np.require(embeddings, np.float32, ["C", "W"]))
