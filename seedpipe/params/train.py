"""The section ``train``: SEED, and the regression beside it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from seedpipe.errors import counted
from seedpipe.params.section import PresetSection, Seed, distinct

_PAPER: dict[str, object] = {
    "epochs": 60,
    "batch_rows": 300,
    "learning_rate_schedule": "constant",
    "gradient_norm": 0.0,
    "ema_decay": 0.0,
    "normalize": "none",
    "inference_noise": "sampled",
    "skip": "none",
    "residual": 1.0,
    "output": "network",
    "safeguard": False,
    "precision": "float32",
}


class TrainParams(PresetSection):
    """Stage ``train``: SEED, and the regression beside it, on cached embeddings.

    A key that is not given has the value that the preset gives it (:attr:`PRESETS`), or else its default.
    """

    PRESETS: ClassVar[Mapping[str, Mapping[str, object]]] = {
        "paper": _PAPER,
        "official": _PAPER | {"loss": "l1", "inference_normalize": "length"},
    }

    preset: Literal["seedpipe", "paper", "official"] = "seedpipe"
    """Where keys that are not given come from: our defaults, the paper's text or the authors' code
    (docs/deviations.md)."""
    seed: Seed = 0
    """Seed of the weights, the batches and the diffusion noise."""
    steps: int = Field(default=630, ge=1)
    """Length of the training: batches, each of which changes the weights once."""
    epochs: int = Field(default=0, ge=0)
    """Its length in passes over the rows instead, as the paper counts; 0 for ``steps``."""
    batch_rows: int = Field(default=256, ge=1)
    """Rows of a batch; each row brings its clean embedding and all its noisy variants."""
    learning_rate: float = Field(default=5e-4, gt=0)
    """Peak learning rate of AdamW."""
    learning_rate_schedule: Literal["cosine", "constant"] = "cosine"
    """``cosine``: a short warm-up, then annealed to zero."""
    weight_decay: float = Field(default=5e-5, ge=0)
    """Weight decay of AdamW."""
    gradient_norm: float = Field(default=1.0, ge=0)
    """Gradients longer than this are shortened to it; 0 leaves them as they are."""
    ema_decay: float = Field(default=0.999, ge=0, lt=1)
    """Decay of the exponential moving average of the weights; 0 keeps the last weights."""
    loss: Literal["norm", "l1", "mse", "huber"] = "norm"
    """Distance to x_0: ``norm`` is eq. 9, ``l1`` what the authors' code does, ``mse`` the squared error, ``huber`` is
    squared up to an error of 1 and linear beyond."""
    prediction: Literal["sample", "epsilon", "v"] = "sample"
    """What the network predicts: x_0 itself (eq. 9), the noise eps (eqs. 5 and 6) or v; the loss is always on x_0."""
    beta_schedule: Literal["linear", "scaled_linear", "squaredcos_cap_v2"] = "scaled_linear"
    """How the variance beta_t of the diffusion noise grows with t, in the names of diffusers."""
    beta_start: float = Field(default=0.0001, gt=0, lt=1)
    """beta_t at the first timestep (not for ``squaredcos_cap_v2``)."""
    beta_end: float = Field(default=0.02, gt=0, lt=1)
    """beta_t at the last timestep (not for ``squaredcos_cap_v2``)."""
    normalize: Literal["none", "length", "length+center"] = "length+center"
    """What is done to an embedding before diffusion; ``length`` is L2 times sqrt(D)."""
    inference_normalize: Literal["as_trained", "length"] = "as_trained"
    """What is done to an embedding before it enters the network in use."""
    inference_step: int = Field(default=50, ge=0, le=999)
    """Timestep t at which an embedding enters the network in use."""
    inference_steps: int = Field(default=1, ge=1, le=1000)
    """Steps from there to 0: 1 is f(y_t, t), more are DDIM."""
    inference_noise: Literal["zero", "sampled"] = "zero"
    """Whether an embedding is noised before it enters the network in use."""
    inference_draws: int = Field(default=1, ge=1, le=1000)
    """With ``sampled``: noises per embedding, whose predictions are averaged."""
    skip: Literal["contrast", "ridge", "none"] = "contrast"
    """A linear map S beside the network, f(y_t, t) = S y_t + MLP(y_t, t), which then learns what S leaves: ``ridge`` is
    the regression in closed form, ``contrast`` trains it to tell the draws of an utterance from those of others."""
    contrast: float = Field(default=1.0, ge=0)
    """Weight of that contrast against the distance to the clean crop."""
    temperature: float = Field(default=0.1, gt=0)
    """Temperature of the contrast."""
    residual: float = Field(default=0.5, ge=0, le=1)
    """In use: share of what the MLP adds to the skip; of no meaning without one."""
    ensemble: float = Field(default=1.0, ge=0, le=1)
    """Share of the enhanced embedding in the output; the rest is the original (feature ensemble)."""
    adaptive_ensemble: bool = False
    """Read ``ensemble`` as the share for embeddings that the network moves as far as the noisy training embeddings on
    average; those that it moves less, which are the clean ones, get less of it."""
    output: Literal["whitened", "network"] = "whitened"
    """Space of the result: ``whitened`` is the mean of original and enhanced embedding, each whitened by what differs
    between the draws and variants of one training utterance (docs/enhancing.md); ``network`` is the enhanced embedding
    in the network's own space, as in the paper."""
    shrinkage: float = Field(default=0.5, gt=0, le=1)
    """Share of the covariance within utterances that is replaced by its mean variance before it is inverted."""
    safeguard: bool = True
    """Train twice more, each time without half of the sources, measure on them whether enhancement helps, and use only
    what does (docs/training.md)."""
    draws: int = Field(default=0, ge=0)
    """Train on so many draws of each utterance, the first ones in the cache; 0 for all."""
    variants: Annotated[tuple[str, ...], AfterValidator(distinct)] = ()
    """Train on these noisy variants of the cache; empty for all."""
    validation_share: float = Field(default=0.05, ge=0, lt=1)
    """Share of the utterances held out for the validation curve."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """Arithmetic of matrix products in training: ``auto`` is bfloat16 where the processor computes in it, else float32.
    Weights, their average, the optimiser and the loss are float32 in any case."""
    cuda_graph: bool = False
    """On a GPU, capture the whole step as one CUDA graph and replay it; elsewhere it changes nothing."""
    memory_gb: float = Field(default=8.0, gt=0)
    """Memory for embeddings in training, in 1e9 bytes; a cache that needs more is streamed, in random order. On a GPU,
    what is free there and on the host counts instead, unless this is given."""

    @model_validator(mode="before")
    @classmethod
    def _take_steps(cls, given: object) -> object:
        """Steps that are given alone stand before the epochs of a preset."""
        steps_alone = isinstance(given, dict) and "steps" in given and "epochs" not in given
        return {**given, "epochs": 0} if steps_alone else given  # type: ignore[dict-item]

    def replace(self, **changes: object) -> Self:
        """Give a checked copy with other values for some keys; steps that are given alone stand before epochs."""
        return super().replace(**({"epochs": 0} | changes if "steps" in changes else changes))

    @model_validator(mode="after")
    def _check_skip(self) -> TrainParams:
        if self.skip != "none" and self.prediction != "sample":
            raise ValueError(f"a skip is for prediction: sample, and it is {self.prediction}; set skip: none")
        return self

    @property
    def length(self) -> str:
        """How long the training is, in words."""
        return counted(self.epochs, "epoch") if self.epochs else counted(self.steps, "step")

    def without_diffusion(self) -> TrainParams:
        """The same training for a regression: y_0 enters as it is, at t = 0, and the output is x_0."""
        neutral = {"prediction": "sample", "inference_step": 0, "inference_steps": 1, "inference_noise": "zero"}
        return self.model_copy(update=neutral | {"inference_draws": 1})
