"""The enhancer: embeddings of a frozen network in, embeddings that survive noise, music and rooms out.

The files of a model folder are those of :mod:`seedpipe.enhancers.base`; ``model.safetensors`` holds the SEED network.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from torch import Tensor
from torch.nn import functional

from seedpipe._version import __version__
from seedpipe.cache import NetworkInfo
from seedpipe.enhancers.base import BLOCK, EmbeddingEnhancer, Embeddings, EnhancerConfig, fill, read_model
from seedpipe.enhancers.diffusion import Schedule, SeedMLP
from seedpipe.enhancers.whitening import WhitenedEnsemble, Whitening, within_utterances
from seedpipe.errors import ModelError
from seedpipe.params import TrainParams

__all__ = ["Enhancer", "ModelConfig", "Normalization"]

LEAST_DISPLACEMENT = 1e-6  # 1 - cosine, of rounding
LEAST_POWER = 1e-12  # mean square of unit-length embeddings that differ by rounding alone
CLIP = 3.0  # predictions of x_0 are clipped to this times sqrt(D), as in the authors' code: far beyond any real entry


class Normalization(BaseModel):
    """What is done to an embedding before diffusion: unit length, minus a mean, times a scale; the same always.

    Attributes
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


class ModelConfig(EnhancerConfig):
    """The contents of ``config.json``."""

    kind: Literal["seed", "regression"] = "seed"
    """Whether it was trained with diffusion, or without as a regression."""
    normalization: Normalization
    displacement: float = Field(default=1.0, gt=0)
    """How far the network moves noisy training embeddings on average: 1 - cosine between before and after."""
    train: TrainParams
    """How it was trained, and how an embedding enters in use (t, noise, ensemble)."""

    @model_validator(mode="after")
    def _check(self) -> ModelConfig:
        wanted = self.network.dimension if self.normalization.kind == "length+center" else 0
        if len(self.normalization.center) != wanted:
            raise ValueError(f"normalization.center has {len(self.normalization.center)} values instead of {wanted}")
        if self.kind == "regression" and self.train != self.train.without_diffusion():
            raise ValueError("a regression has no timesteps and no noise")
        return self


class Enhancer(EmbeddingEnhancer):
    """A trained SEED model, or the regression beside it.

    The result has unit length. By default it is the same each time, so that a score does not depend on luck; where
    noise is sampled it depends on the generator. With ``train.output: whitened`` it lives in a space of its own, with
    ``network`` in that of the network's embeddings; enrolment and test embeddings are both to be enhanced.

    Parameters
    ----------
    network : SeedMLP
    config : ModelConfig
    ensemble : WhitenedEnsemble, optional
        For ``train.output: whitened``; one that changes nothing yet, unless given. :meth:`calibrated` fits it.

    Examples
    --------
    >>> import numpy as np
    >>> enhancer = Enhancer.load("models/dvector/seed")
    >>> enhancer(np.ones((2, 256), dtype=np.float32)).shape
    (2, 256)
    """

    config: ModelConfig
    module: SeedMLP

    def __init__(self, network: SeedMLP, config: ModelConfig, ensemble: WhitenedEnsemble | None = None) -> None:
        self.config, self.module, self.ensemble = config, network, None
        if config.train.output == "whitened":
            self.ensemble = ensemble or _identities(network)
            self.module.add_module("whitening", self.ensemble)  # its values stand in the same file
        self.module.eval().requires_grad_(False)
        schedule = Schedule.of(config.train) if config.kind == "seed" else Schedule("none")
        self.schedule = schedule.to(next(network.parameters()).device)

    def __repr__(self) -> str:
        use = self.config.train
        return (
            f"<Enhancer for {self.config.network.name}, {self.dimension}-d, t = {use.inference_step},"
            f" {use.inference_noise} noise, ensemble {use.ensemble:g}>"
        )

    @classmethod
    def load(cls, path: Path | str, device: str | torch.device = "cpu") -> Enhancer:
        """Load a model folder.

        Raises
        ------
        ModelError
            A file is missing, damaged, or does not fit the others.
        """
        path = Path(path)
        config, state = read_model(path, ModelConfig)
        with torch.device("meta"):
            network = SeedMLP(config.network.dimension)
            ensemble = _identities(network) if config.train.output == "whitened" else None
        network.add_module("whitening", ensemble)
        fill(network, state, path)
        return cls(network.to(device), config, ensemble)

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
            ``length`` and its ``output`` ``network``: a checkpoint has no mean to centre on, and no covariance.
        device : str or torch.device

        Raises
        ------
        ModelError
            The file cannot be read, holds no SEED network, or one of another dimension.
        """
        from seedpipe.enhancers.official import read_official

        module = read_official(Path(path))
        if module.dimension != network.dimension:
            raise ModelError(
                f"is for embeddings of dimension {module.dimension}",
                expected=f"{network.dimension}, that of {network.name}",
                remedy="choose another checkpoint or network",
                file=path,
            )
        train = train or TrainParams(preset="official")
        if train.output != "network":
            raise ModelError(f"train.output is {train.output!r}", expected="'network'", file=path)
        scale = 1.0 if train.normalize == "none" else network.dimension**0.5
        try:
            normalization = Normalization(kind=train.normalize, scale=scale)
            config = ModelConfig(
                network=network, normalization=normalization, train=train, cache="", seedpipe=__version__
            )
        except ValidationError as error:
            raise ModelError(
                f"train.normalize is {train.normalize!r}", expected="'none' or 'length'", file=path
            ) from error
        return cls(module.to(device), config)

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
        if use.inference_noise == "sampled" and generator is None:
            raise ModelError(
                "this model noises embeddings first", expected="a torch.Generator", remedy="pass generator="
            )
        return self._in_blocks(embeddings, lambda block: self.forward(block, _noises(block, use, generator), use))

    def calibrated(self, embeddings_RVD: Tensor, codes: Tensor) -> Enhancer:
        """Note what training embeddings show: how far noisy ones are moved, and the whitening of what comes out.

        Parameters
        ----------
        embeddings_RVD : Tensor, shape (R, V, D)
            Training rows in V variants, the first one clean, as the speaker network gave them.
        codes : Tensor of int64, shape (R,)
            Number of the utterance of each row.
        """
        use = self.config.train
        moved = [_moved(*self._predict(*inputs, use)) for inputs in self._inputs(embeddings_RVD[:, 1:], use)]
        displacement = max(float(torch.cat(moved).mean()), LEAST_DISPLACEMENT)
        noted = Enhancer(self.module, self.config.model_copy(update={"displacement": displacement}))
        if use.output == "network":
            return noted
        pairs = [noted.mixed(*inputs, use) for inputs in noted._inputs(embeddings_RVD, use)]
        parts = (torch.cat(part).view_as(embeddings_RVD) for part in zip(*pairs, strict=True))
        fitted = (within_utterances(part_RVD, codes, use.shrinkage) for part_RVD in parts)
        return Enhancer(noted.module, noted.config, WhitenedEnsemble(*fitted))

    def _inputs(self, embeddings: Tensor, use: TrainParams) -> Iterator[tuple[Tensor, list[Tensor]]]:
        """Blocks of embeddings (..., D), each with its noises."""
        generator = torch.Generator().manual_seed(0)
        for rows in torch.split(embeddings.reshape(-1, self.dimension), BLOCK):
            block = self._block(rows)
            yield block, _noises(block, use, generator)

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
        original, mixed = self.mixed(block, noises, use)
        return mixed if self.ensemble is None else self.ensemble(original, mixed)

    def mixed(self, block: Tensor, noises: Sequence[Tensor], use: TrainParams) -> tuple[Tensor, Tensor]:
        """Original and enhanced embedding (B, D), of unit length in the network's own space, where they are mixed."""
        original, enhanced = self._predict(block, noises, use)
        share = torch.full_like(original[:, :1], use.ensemble)
        if use.adaptive_ensemble:
            share = (share * _moved(original, enhanced)[:, None] / self.config.displacement).clamp(0.0, 1.0)
        return original, functional.normalize(torch.lerp(original, enhanced, share), dim=1)

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
        if self.kind == "regression" and given.keys() != {"ensemble"}:
            raise ModelError(
                "this model is a regression: it has no timesteps and no noise", expected="no t, steps or noise"
            )
        try:
            return TrainParams.model_validate(self.config.train.model_dump() | given)
        except ValidationError as error:
            first = error.errors()[0]
            expected = first["msg"].removeprefix("Input should be ")
            raise ModelError(f"{first['loc'][0]} is {first['input']!r}", expected=expected) from error


def _noises(block: Tensor, use: TrainParams, generator: torch.Generator | None) -> list[Tensor]:
    if use.inference_noise == "zero" or generator is None:
        return [torch.zeros_like(block)]
    shape, device = block.shape, generator.device
    return [torch.randn(shape, generator=generator, device=device).to(block.device) for _ in range(use.inference_draws)]


def _identities(network: SeedMLP) -> WhitenedEnsemble:
    device = next(network.parameters()).device
    return WhitenedEnsemble(Whitening(network.dimension), Whitening(network.dimension)).to(device)


def _moved(original: Tensor, enhanced: Tensor) -> Tensor:
    return 1 - (original * enhanced).sum(dim=1)
