"""The enhancer: embeddings of a frozen network in, embeddings that survive noise, music and rooms out.

A model is a folder with ``model.safetensors`` (the SEED network), ``config.json`` (everything else), a model card and,
where seedpipe trained it, ``curve.csv``.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from torch import Tensor
from torch.nn import functional

import seedpipe
from seedpipe.cache import NetworkInfo
from seedpipe.diffusion import Schedule, SeedMLP
from seedpipe.errors import CacheMismatchError, ModelError
from seedpipe.files import fsync, publish_folder, refuse_foreign
from seedpipe.params import TrainParams

if TYPE_CHECKING:
    from seedpipe.cache import Cache

__all__ = ["Enhancer", "ModelConfig", "Normalization"]

WEIGHTS, CONFIG, CARD, CURVE = "model.safetensors", "config.json", "README.md", "curve.csv"
MODEL_FILES = (WEIGHTS, CONFIG, CARD, CURVE, ".*")
LEAST_POWER = 1e-12  # mean square of unit-length embeddings that differ by rounding alone
CLIP = 3.0  # predictions of x_0 are clipped to this times sqrt(D), as in the authors' code: far beyond any real entry
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

    The result has unit length and lives in the space of the network's own embeddings. By default it is the same each
    time, so that a score does not depend on luck; where noise is sampled it depends on the generator.

    Examples
    --------
    >>> enhancer = Enhancer.load("models/dvector")
    >>> enhancer(np.ones((2, 256), dtype=np.float32)).shape
    (2, 256)
    """

    def __init__(self, network: SeedMLP, config: ModelConfig) -> None:
        self.config, self.module = config, network.eval().requires_grad_(False)
        self.schedule = Schedule.of(config.train).to(next(network.parameters()).device)

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

    @classmethod
    def from_checkpoint(
        cls,
        path: Path | str,
        network: NetworkInfo,
        train: TrainParams | None = None,
        device: str | torch.device = "cpu",
    ) -> Enhancer:
        """Take the SEED network of a checkpoint of the authors' code.

        Parameters
        ----------
        path : Path or str
            A file of ``torch.save`` or safetensors; wrappers and prefixes of names are stripped.
        network : NetworkInfo
            The speaker network that it was trained for, as ``cache.info.network`` has it; no checkpoint says so itself.
        train : TrainParams, optional
            How it was trained and is used; the preset ``official`` unless given. Its ``normalize`` must be ``none`` or
            ``length``: a checkpoint has no mean to centre on.
        device : str or torch.device

        Raises
        ------
        ModelError
            The file cannot be read, holds no SEED network, or one of another dimension.
        """
        from seedpipe.official import read_official

        module = read_official(Path(path))
        if module.dimension != network.dimension:
            raise ModelError(
                f"is for embeddings of dimension {module.dimension}",
                expected=f"{network.dimension}, that of {network.name}",
                remedy="choose another checkpoint or network",
                file=path,
            )
        train = train or TrainParams(preset="official")
        scale = 1.0 if train.normalize == "none" else network.dimension**0.5
        try:
            normalization = Normalization(kind=train.normalize, scale=scale)
            config = ModelConfig(
                network=network, normalization=normalization, train=train, cache="", seedpipe=seedpipe.__version__
            )
        except ValidationError as error:
            raise ModelError(
                f"train.normalize is {train.normalize!r}", expected="'none' or 'length'", file=path
            ) from error
        return cls(module.to(device), config)

    def save(self, path: Path, card: str) -> None:
        """Write the model folder, whole or not at all, in the place of an older one.

        Raises
        ------
        ModelError
            The folder there is no model: it holds other files.
        """
        refuse_foreign(path, MODEL_FILES, "model folder", ModelError)
        work = path.with_name(f".{path.name}.{os.getpid()}.partial")
        shutil.rmtree(work, ignore_errors=True)
        try:
            self.write(work, card)
            publish_folder(work, path)
        finally:
            shutil.rmtree(work, ignore_errors=True)

    def write(self, folder: Path, card: str) -> None:
        """Write the files of a model into a new folder, synced to the disk."""
        from safetensors.torch import save

        folder.mkdir(parents=True)
        (folder / WEIGHTS).write_bytes(save(self.module.state_dict()))
        text = json.dumps(self.config.model_dump(mode="json"), indent=1)
        (folder / CONFIG).write_text(text + "\n", encoding="utf-8")
        (folder / CARD).write_text(card, encoding="utf-8")
        for name in (WEIGHTS, CONFIG, CARD):
            fsync(folder / name)

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

    def __call__(
        self,
        embeddings: Embeddings,
        generator: torch.Generator | None = None,
        *,
        t: int | None = None,
        steps: int | None = None,
        ensemble: float | None = None,
        noise: Literal["zero", "sampled"] | int | None = None,
    ) -> Embeddings:
        """Enhance embeddings; what is not given is as the model says.

        Parameters
        ----------
        embeddings : ndarray or Tensor, shape (..., D)
            Memory besides input and output is that of one block of 4,096 embeddings.
        generator : torch.Generator, optional
            Source of the noise, needed where it is sampled.
        t : int, optional
            Timestep at which an embedding enters, 0 to 999.
        steps : int, optional
            Network evaluations on the way from t to 0: 1 is f(y_t, t), more are DDIM.
        ensemble : float, optional
            Share of the enhanced embedding in the result, 0 to 1.
        noise : {'zero', 'sampled'} or int, optional
            A number m stands for the mean over m sampled noises.

        Returns
        -------
        The same kind, shape (..., D), float32
            Unit length.

        Raises
        ------
        ModelError
            The last dimension is not D, a value is not finite, a setting is impossible, or noise is wanted and no
            generator given.
        """
        use = self._use(t, steps, ensemble, noise)
        self._check(tuple(embeddings.shape), use, generator)
        rows = embeddings.reshape(-1, self.dimension)
        result = torch.empty(tuple(rows.shape), device=rows.device if isinstance(rows, Tensor) else None)
        for start in range(0, len(rows), BLOCK):
            block = self._finite(_tensor(rows[start : start + BLOCK]))
            result[start : start + BLOCK] = self.forward(block, _noises(block, use, generator), use)
        result = result.reshape(tuple(embeddings.shape))
        return result if isinstance(embeddings, Tensor) else result.numpy()

    def displacement(self, embeddings: Tensor) -> float:
        """How far the network alone moves embeddings (..., D) on average: 1 - cosine between before and after."""
        rows, use = embeddings.reshape(-1, self.dimension), self.config.train
        generator = torch.Generator().manual_seed(0)
        moved = []
        for rows_of_block in torch.split(rows, BLOCK):
            block = self._finite(rows_of_block)
            moved.append(_moved(*self._predict(block, _noises(block, use, generator), use)))
        return float(torch.cat(moved).mean())

    def forward(self, block: Tensor, noises: Sequence[Tensor], use: TrainParams) -> Tensor:
        """Enhance one block with noise that is given, without checks.

        Parameters
        ----------
        block : Tensor of float32, shape (B, D)
        noises : sequence of Tensor, shape (B, D)
            The predictions from them are averaged.
        use : TrainParams
            Only t, steps, noise and ensemble matter.

        Returns
        -------
        Tensor, shape (B, D)
            Unit length.
        """
        original, enhanced = self._predict(block, noises, use)
        share = torch.full_like(original[:, :1], use.ensemble)
        if use.adaptive_ensemble:
            share = (share * _moved(original, enhanced)[:, None] / self.config.displacement).clamp(0.0, 1.0)
        return functional.normalize(torch.lerp(original, enhanced, share), dim=1)

    def _predict(self, block: Tensor, noises: Sequence[Tensor], use: TrainParams) -> tuple[Tensor, Tensor]:
        """Original and enhanced embedding, both of unit length in the network's own space."""
        y_0 = self._entry(block, use)
        clip = CLIP * self.dimension**0.5
        with torch.no_grad():
            predictions = [
                self.schedule.sample(self.module, y_0, eps, t=use.inference_step, steps=use.inference_steps, clip=clip)
                for eps in noises
            ]
        x_0 = torch.stack(predictions).mean(dim=0)
        enhanced = functional.normalize(self.config.normalization.undo(x_0), dim=1)
        return functional.normalize(block, dim=1), enhanced

    def _entry(self, block: Tensor, use: TrainParams) -> Tensor:
        """What enters the network: y_0."""
        if use.inference_normalize == "length":
            return Normalization(kind="length", scale=self.dimension**0.5)(block)
        return self.config.normalization(block)

    def _use(
        self, t: int | None, steps: int | None, ensemble: float | None, noise: Literal["zero", "sampled"] | int | None
    ) -> TrainParams:
        """The parameters of use, after what a caller asks for; checked as those of params.yaml are."""
        wanted: dict[str, object] = {"inference_step": t, "inference_steps": steps, "ensemble": ensemble}
        if noise is not None:
            draws = 1 if isinstance(noise, str) else noise
            wanted |= {"inference_noise": noise if isinstance(noise, str) else "sampled", "inference_draws": draws}
        given = {name: value for name, value in wanted.items() if value is not None}
        if not given:
            return self.config.train
        try:
            return TrainParams.model_validate(self.config.train.model_dump() | given)
        except ValidationError as error:
            first = error.errors()[0]
            expected = first["msg"].removeprefix("Input should be ")
            raise ModelError(f"{first['loc'][0]} is {first['input']!r}", expected=expected) from error

    def _check(self, shape: tuple[int, ...], use: TrainParams, generator: torch.Generator | None) -> None:
        if not shape or shape[-1] != self.dimension:
            raise ModelError(
                f"embeddings have the shape {shape}",
                expected=f"(..., {self.dimension}) from the network {self.config.network.name}",
                remedy="use the model that was trained for this network",
            )
        if use.inference_noise == "sampled" and generator is None:
            raise ModelError(
                "this model noises embeddings first", expected="a torch.Generator", remedy="pass generator="
            )

    def _finite(self, block: Tensor) -> Tensor:
        """The block as the network takes it."""
        if not torch.isfinite(block).all():
            raise ModelError("embeddings hold values that are not finite", remedy="look at where they come from")
        return block.to(self.schedule.alphas_cumprod.device, torch.float32)


def _noises(block: Tensor, use: TrainParams, generator: torch.Generator | None) -> list[Tensor]:
    if use.inference_noise == "zero" or generator is None:
        return [torch.zeros_like(block)]
    shape, device = block.shape, generator.device
    return [torch.randn(shape, generator=generator, device=device).to(block.device) for _ in range(use.inference_draws)]


def _moved(original: Tensor, enhanced: Tensor) -> Tensor:
    return 1 - (original * enhanced).sum(dim=1)


def _tensor(embeddings: NDArray[np.float32] | Tensor) -> Tensor:
    if isinstance(embeddings, Tensor):
        return embeddings.detach()
    # Reversed and read-only arrays (memory maps) are copied: torch refuses the one and warns of the other.
    return torch.from_numpy(np.require(embeddings, np.float32, ["C", "W"]))
