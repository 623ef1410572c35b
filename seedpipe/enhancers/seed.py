"""The enhancer: embeddings of a frozen network in, embeddings that survive noise, music and rooms out.

The files of a model folder are those of :mod:`seedpipe.enhancers.base`; ``model.safetensors`` holds the SEED network.
"""

from __future__ import annotations

import copy
import logging
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal, Self

import torch
from pydantic import Field, ValidationError, model_validator
from torch import Tensor
from torch.nn import functional

from seedpipe import __version__
from seedpipe.cache import NetworkInfo
from seedpipe.enhancers.base import BLOCK, CardText, EmbeddingEnhancer, Embeddings, EnhancerConfig, fill, read_model
from seedpipe.enhancers.diffusion import Schedule, SeedMLP
from seedpipe.enhancers.given import expect_generator
from seedpipe.enhancers.normalization import Normalization
from seedpipe.enhancers.safeguard import Safeguard, Use
from seedpipe.enhancers.whitening import WhitenedEnsemble, Whitening, within_utterances
from seedpipe.errors import ModelError, counted
from seedpipe.files import StrPath
from seedpipe.params import TrainParams
from seedpipe.params.section import filled

LOG = logging.getLogger(__name__)
WITHOUT_NETWORK = ("original", "whitened")  # uses
LEAST_DISPLACEMENT = 1e-6  # 1 - cosine, of rounding
CLIP = 3.0  # predictions of x_0 are clipped to this times sqrt(D), as in the authors' code: far beyond any real entry


class ModelConfig(EnhancerConfig):
    """The contents of ``config.json``."""

    kind: Literal["seed", "regression"] = "seed"
    """Whether it was trained with diffusion, or without as a regression."""
    normalization: Normalization
    displacement: float = Field(default=1.0, gt=0)
    """How far the network moves noisy training embeddings on average: 1 - cosine between before and after."""
    train: TrainParams
    """How it was trained, and how an embedding enters in use (t, noise, ensemble)."""
    use: Use = "enhanced"
    """How much of it is used, see :mod:`seedpipe.enhancers.safeguard`."""
    safeguard: Safeguard | None = None
    """What the choice was made by; None where it was not measured."""

    @model_validator(mode="before")
    @classmethod
    def _read_older(cls, given: Any) -> Any:
        """Before there was a skip, the parameters of a model did not name it; then a step could be compiled."""
        train = given.get("train") if isinstance(given, dict) else None
        if not isinstance(train, dict):
            return given
        known = {name: value for name, value in train.items() if name != "compile"}
        older = {"train": {"skip": "none", "residual": 1.0, "safeguard": False}} if "skip" not in known else {}
        return filled(given | {"train": known}, older)

    @model_validator(mode="after")
    def _check(self) -> ModelConfig:
        wanted = self.network.dimension if self.normalization.kind == "length+center" else 0
        if (center := len(self.normalization.center)) != wanted:
            raise ValueError(f"normalization.center has {counted(center, 'value')} instead of {wanted}")
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
        self.config, self.module, self.ensemble, self.beside = config, network, None, {}
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
    def load(cls, path: StrPath, device: str | torch.device = "cpu") -> Self:
        """See :meth:`EmbeddingEnhancer.load`."""
        path = Path(path)
        config, state = read_model(path, ModelConfig)
        with torch.device("meta"):
            dimension = config.network.dimension
            network = SeedMLP(dimension, torch.empty(dimension, dimension) if "skip" in state else None)
            ensemble = _identities(network) if config.train.output == "whitened" else None
        network.add_module("whitening", ensemble)
        fill(network, state, path)
        if config.safeguard and config.use in WITHOUT_NETWORK:
            LOG.warning("%s: %s", path, config.safeguard.warnings()[0])
        return cls(network.to(device), config, ensemble).from_folder(path)

    @classmethod
    def from_checkpoint(
        cls,
        path: StrPath,
        network: NetworkInfo,
        train: TrainParams | None = None,
        device: str | torch.device = "cpu",
    ) -> Enhancer:
        """Take the SEED network of a checkpoint of the authors' code.

        Parameters
        ----------
        path : str or PathLike
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
        from seedpipe.enhancers.official import entry_of, read_official

        path = Path(path)
        module = read_official(path)
        if module.dimension != network.dimension:
            raise ModelError(
                f"is for embeddings of dimension {module.dimension}",
                expected=f"{network.dimension}, that of {network.name}",
                remedy="choose another checkpoint or network",
                file=path,
            )
        train = (train or TrainParams(preset="official")).model_copy(update={"skip": "none", "residual": 1.0})
        entry = entry_of(train, network.dimension, path)
        config = ModelConfig(network=network, normalization=entry, train=train, cache="", seedpipe=__version__)
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
        """Enhance embeddings as :meth:`EmbeddingEnhancer.__call__` does; what is not given is as the model says.

        Parameters
        ----------
        embeddings, generator
            Where noise is sampled, it needs a generator.
        t : int, optional
            Timestep at which an embedding enters, 0 to 999.
        steps : int, optional
            Network evaluations on the way from t to 0: 1 is f(y_t, t), more are DDIM.
        ensemble : float, optional
            Share of the enhanced embedding in the result, 0 to 1.
        noise : {'zero', 'sampled'} or int, optional
            A number m stands for the mean over m sampled noises.

        Raises
        ------
        ModelError
            Besides, a setting is impossible, or noise is wanted and no generator given.
        """
        expect_generator(generator)
        use = self._use(t, steps, ensemble, noise)
        if use.inference_noise == "sampled" and generator is None:
            raise ModelError("this model noises embeddings", expected="a torch.Generator", remedy="pass generator=")
        return self._in_blocks(embeddings, lambda block: self.forward(block, _noises(block, use, generator), use))

    def card_text(self) -> CardText:
        """See :meth:`EmbeddingEnhancer.card_text`."""
        params, diffusion = self.config.train, self.kind == "seed"
        entry = f"t = {params.inference_step}, {params.inference_noise} noise, steps {params.inference_steps}"
        share = "adaptive ensemble weight" if params.adaptive_ensemble else "ensemble weight"
        return CardText(
            title="SEED enhancer" if diffusion else "Regression",
            what="A diffusion MLP that regenerates" if diffusion else "An MLP without diffusion that maps",
            training=f"""Preset `{params.preset}`, {params.length} of batches of {params.batch_rows} rows, seed
{params.seed}, loss `{params.loss}`, prediction `{params.prediction}`, normalisation `{params.normalize}`,
{params.precision}. `config.json` has every parameter.""",
            use=f"`Enhancer.load(folder)(embeddings)`: {entry}, {share} {params.ensemble:g}, output `{params.output}`.",
        )

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
        module = copy.deepcopy(self.module)  # which gets the whitening; that of the caller stays as it is
        noted = Enhancer(module, self.config.model_copy(update={"displacement": displacement}))
        if use.output == "network":
            return noted
        pairs = [noted.mixed(*inputs, use) for inputs in noted._inputs(embeddings_RVD, use)]
        parts = (torch.cat(part).view_as(embeddings_RVD) for part in zip(*pairs, strict=True))
        fitted = (within_utterances(part_RVD, codes, use.shrinkage) for part_RVD in parts)
        return Enhancer(noted.module, noted.config, WhitenedEnsemble(*fitted))

    def used(self, use: Use, safeguard: Safeguard | None = None) -> Enhancer:
        """The same model for another use; it is to be calibrated again."""
        return Enhancer(self.module, self.config.model_copy(update={"use": use, "safeguard": safeguard}))

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
        if self.config.use == "original":
            return original
        if self.config.use == "whitened" and self.ensemble is not None:
            return functional.normalize(self.ensemble.original(original), dim=1)
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
        original = functional.normalize(block, dim=1)
        if self.config.use in WITHOUT_NETWORK:
            return original, original
        y_0, clip = self._entry(block, use), CLIP * self.dimension**0.5
        network = partial(self.module, residual=0.0 if self.config.use == "linear" else use.residual)
        with torch.no_grad():
            predictions = [
                self.schedule.sample(network, y_0, eps, t=use.inference_step, steps=use.inference_steps, clip=clip)
                for eps in noises
            ]
        x_0 = torch.stack(predictions).mean(dim=0)
        return original, functional.normalize(self.config.normalization.undo(x_0), dim=1)

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
        left_out = self.config.use in WITHOUT_NETWORK
        if left_out or (self.kind == "regression" and given.keys() != {"ensemble"}):
            what = f"leaves its network out ({self.config.use})" if left_out else "is a regression"
            found = f"this model {what}: it has no timesteps and no noise"
            raise ModelError(found, expected=f"no t, steps{', ensemble' if left_out else ''} or noise")
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
