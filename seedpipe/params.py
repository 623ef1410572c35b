"""Typed ``params.yaml``: one section per stage, a sentence under every key, nothing guessed.

An unknown key, a wrong type or an impossible value is a :class:`~seedpipe.errors.ParamsError` that names the key, its
line in the file and the nearest known key.
"""

from __future__ import annotations

import difflib
import itertools
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, TypeVar

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import ErrorDetails

from seedpipe.errors import ParamsError
from seedpipe.files import read_document

__all__ = [
    "AugmentParams",
    "CorpusParams",
    "DRLParams",
    "EnhancerKind",
    "EnhancersParams",
    "EvaluationParams",
    "ExtractParams",
    "MachineParams",
    "ManifestParams",
    "Params",
    "ScoreParams",
    "TrainParams",
    "WhiteningParams",
    "load_params",
    "split_condition",
]

Number = TypeVar("Number", int, float)
PARTS = ("music", "noise", "reverb")
MOST_VALUES = 10_000  # of params.yaml, which has some hundred; aliases of aliases make billions out of ten lines
MOST_BYTES = 2**20


def _variant(name: str) -> str:
    parts = name.split("+")
    if not set(parts) <= set(PARTS) or parts != sorted(set(parts), key=PARTS.index):
        raise ValueError(f"{name!r} is not one or more of {', '.join(PARTS)} joined by '+' in this order")
    if {"music", "noise"} <= set(parts):
        raise ValueError(f"{name!r} mixes music and noise; a variant has one of the two")
    return name


def split_condition(name: str) -> tuple[str, float | None]:
    """Take the level off the name of an evaluation condition.

    Returns
    -------
    variant : str
        What :mod:`seedpipe.augment` makes.
    snr_db : float or None
        The fixed SNR in dB; None where it is drawn from its range.

    Examples
    --------
    >>> split_condition("noise+reverb@5"), split_condition("music")
    (('noise+reverb', 5.0), ('music', None))
    """
    found = re.fullmatch(r"(.+)@(-?\d+(?:\.\d+)?)", name)
    return (found[1], float(found[2])) if found else (name, None)


def _condition(name: str) -> str:
    variant, mark, level = name.partition("@")
    _variant(variant)
    if mark and variant == "reverb":
        raise ValueError(f"{name!r} has a level in dB, and nothing to mix at it")
    if mark and (split_condition(name)[1] is None or level != f"{float(level) + 0.0:g}"):  # 0 is not spelled -0
        raise ValueError(f"{name!r} is not spelled as in 'noise@5' or 'noise@-2.5', with a number of dB")
    return name


def _distinct(names: tuple[str, ...]) -> tuple[str, ...]:
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"{twice[0]!r} stands in it twice")
    return names


def _different(numbers: tuple[Number, ...]) -> tuple[Number, ...]:
    if len(set(numbers)) < len(numbers):
        raise ValueError("a number stands in it twice")
    return numbers


def _ordered(span: tuple[float, float]) -> tuple[float, float]:
    if span[0] > span[1]:
        raise ValueError(f"the range starts at {span[0]:g} and ends before it, at {span[1]:g}")
    return span


def _none_or_some(seconds: float) -> float:
    if 0 < seconds < 0.1:
        raise ValueError(f"segments of {seconds:g} s are too short; 0 is for whole files")
    return seconds


def _one_group(pattern: str) -> str:
    try:
        groups = re.compile(pattern).groups
    except re.error as error:
        raise ValueError(f"{pattern!r} is no regular expression: {error}") from None
    if pattern and groups != 1:
        raise ValueError(f"{pattern!r} has {groups} groups in parentheses; the one group is the speaker")
    return pattern


EnhancerKind = Literal["seed", "regression", "whitening", "drl", "none"]
Enhancers = Annotated[tuple[EnhancerKind, ...], AfterValidator(_distinct)]
Pattern = Annotated[str, AfterValidator(_one_group)]
Variant = Annotated[str, AfterValidator(_variant)]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")]
Names = Annotated[tuple[Name, ...], AfterValidator(_distinct)]
Network = Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.:-]*$")]  # it names folders, too
Networks = Annotated[tuple[Network, ...], AfterValidator(_distinct)]
Variants = Annotated[tuple[Variant, ...], AfterValidator(_distinct)]
Conditions = Annotated[tuple[Annotated[str, AfterValidator(_condition)], ...], AfterValidator(_distinct)]
Methods = Annotated[tuple[Literal["cosine", "euclidean"], ...], AfterValidator(_distinct)]
Priors = Annotated[tuple[Annotated[float, Field(gt=0, lt=1)], ...], AfterValidator(_different)]
Timesteps = Annotated[tuple[Annotated[int, Field(ge=1, le=999)], ...], AfterValidator(_different)]
Seed = Annotated[int, Field(ge=0, lt=2**63)]  # what a torch.Generator takes
Decibels = Annotated[tuple[float, float], AfterValidator(_ordered)]


class _Section(BaseModel):
    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, allow_inf_nan=False, use_attribute_docstrings=True
    )


class CorpusParams(_Section):
    """Stage ``corpus``: the synthetic demonstration corpus."""

    folder: Path = Path("data/demo")
    """Where the corpus is built; it is built only when ``manifest.root`` points there."""
    seed: Seed = 0
    """Seed of every voice, sentence, noise, tune and room."""
    train_voices: int = Field(default=60, ge=2)
    """Number of training voices."""
    eval_voices: int = Field(default=24, ge=2)
    """Number of evaluation voices; none of them is a training voice."""
    train_utterances: int = Field(default=8, ge=1)
    """Utterances of each training voice."""
    eval_utterances: int = Field(default=6, ge=2)
    """Utterances of each evaluation voice."""


class ManifestParams(_Section):
    """Stage ``manifest``: which audio there is."""

    root: Path = Path("data/demo")
    """Folder with ``train/``, ``noise/``, ``music/``, ``rir/`` and ``eval/`` as docs/data.md describes them."""
    evaluations: Names = Field(default=("demo",), min_length=1)
    """Evaluation lists: NAME stands for ``eval/trials_NAME.txt`` under the root."""
    segment_seconds: Annotated[float, AfterValidator(_none_or_some)] = Field(default=0.0, ge=0)
    """Training files are cut into segments of about this length, each an utterance of its own (docs/data.md); 0 for
    whole files. For corpora of whole chapters, as Libri-Light is."""
    eval_share: float = Field(default=1 / 3, gt=0, lt=1)
    """Share of the noise, music and room files kept for evaluation where the root has no ``eval_noise/`` and so on."""


class AugmentParams(_Section):
    """How noisy variants are made (paper, section 4.2)."""

    music_snr_db: Decibels = (5.0, 15.0)
    """Range of the speech-to-music ratio, drawn uniformly."""
    noise_snr_db: Decibels = (0.0, 15.0)
    """Range of the speech-to-noise ratio, drawn uniformly."""
    snr_power_floor: float = Field(default=0.0, ge=0)
    """Added to both powers before the ratio is formed: 0 is exact, 1e-4 reproduces the authors' code."""


class EvaluationParams(_Section):
    """Which embeddings the evaluation utterances get."""

    crops: int = Field(default=10, ge=1)
    """Evenly spaced crops of each utterance."""
    crop_samples: int = Field(default=64_240, ge=400)
    """Length of a crop; shorter audio is wrapped around. 64,240 samples are 400 frames."""
    short_audio: Literal["repeat", "official"] = "repeat"
    """Crops of audio shorter than a crop: ``repeat`` starts each at 0, ``official`` starts the last one at 1."""
    whole: Networks = ()
    """Networks that get each utterance as a whole instead of its crops, as WavLM-ECAPA in the paper."""
    conditions: Conditions = ("noise", "music", "reverb", "noise+reverb")
    """Conditions besides ``clean``. ``noise@5`` is noise at 5 dB instead of a drawn SNR; all levels have the same noise
    from the same place of a file."""
    seed: Seed = 1
    """Seed of the noise, music and rooms that the evaluation utterances get."""


def _filled(given: object, preset: Mapping[str, object]) -> object:
    """A section with the values of a preset where none are given, in its parts too."""
    if isinstance(given, list):
        return tuple(given)  # as the strict types want it: what passes here is no JSON any more
    if not isinstance(given, dict):
        return given
    merged = {**preset, **given}
    parts = {name: value if isinstance(value, dict) else {} for name, value in preset.items()}
    return {name: _filled(value, parts.get(name, {})) for name, value in merged.items()}


class ExtractParams(_Section):
    """Stage ``extract``: from audio to cached embeddings.

    A key that is not given has the value that the preset gives it (:attr:`PRESETS`), or else its default.
    """

    PRESETS: ClassVar[Mapping[str, Mapping[str, object]]] = {
        "official": {
            "resample": False,
            "variants": ("music", "noise", "reverb"),
            "augment": {"snr_power_floor": 1e-4},
            "evaluation": {"short_audio": "official"},
        },
    }
    preset: Literal["seedpipe", "official"] = "seedpipe"
    """Where keys that are not given come from: our defaults or the authors' code (docs/deviations.md)."""
    networks: Networks = Field(default=("dvector",), min_length=1)
    """Frozen speaker networks: names of folders in ``networks/`` (docs/networks.md)."""
    crop_samples: int = Field(default=32_240, ge=400)
    """Length of a training crop; 32,240 samples are 200 frames."""
    draws: int = Field(default=10, ge=1)
    """Random crops of each training utterance, every one with fresh noise, music and rooms."""
    variants: Variants = Field(default=("music", "noise", "reverb", "noise+reverb"), min_length=1)
    """Noisy variants of every clean crop."""
    augment: AugmentParams = AugmentParams()
    """Ranges of the augmentation, for training and evaluation alike."""
    seed: Seed = 0
    """Seed of the training crops and their augmentation."""
    shard_rows: int = Field(default=512, ge=1)
    """Rows of one HDF5 shard, the unit of parallel work and of resuming."""
    storage: Literal["float32", "float16"] = "float32"
    """How embeddings are stored; float16 halves the cache (docs/performance.md has its effect)."""
    precision: Literal["float32", "bfloat16", "float16"] = "float32"
    """Arithmetic of the network; below float32 the first block must agree with float32 to a cosine of 0.9999."""
    resample: bool = True
    """Off, audio of any rate is taken as if it had the network's, as the authors' code does."""
    frontend: str = ""
    """Speech enhancement in front of the network: ``rnnoise``, ``denoiser``, a registered name or
    ``package.module:factory``; empty for none (docs/frontends.md)."""
    on_bad_audio: Literal["fail", "skip"] = "fail"
    """What an unusable file does: stop the stage with its name, or be left out and listed."""
    evaluation: EvaluationParams = EvaluationParams()
    """The evaluation caches."""

    @model_validator(mode="before")
    @classmethod
    def _take_preset(cls, given: object) -> object:
        preset = given.get("preset") if isinstance(given, dict) else None
        return _filled(given, cls.PRESETS.get(str(preset), {}))


_PAPER: dict[str, object] = {
    "epochs": 60,
    "batch_rows": 300,
    "learning_rate_schedule": "constant",
    "gradient_norm": 0.0,
    "ema_decay": 0.0,
    "normalize": "none",
    "inference_noise": "sampled",
    "ensemble": 1.0,
    "adaptive_ensemble": False,
    "output": "network",
    "precision": "float32",
}


class TrainParams(_Section):
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
    epochs: int = Field(default=30, ge=1)
    """Passes over the rows of the cache."""
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
    ensemble: float = Field(default=0.5, ge=0, le=1)
    """Share of the enhanced embedding in the output; the rest is the original (feature ensemble)."""
    adaptive_ensemble: bool = True
    """Read ``ensemble`` as the share for embeddings that the network moves as far as the noisy training embeddings on
    average; those that it moves less, which are the clean ones, get less of it."""
    output: Literal["whitened", "network"] = "whitened"
    """Space of the result: ``whitened`` is the mean of original and enhanced embedding, each whitened by what differs
    between the draws and variants of one training utterance (docs/enhancing.md); ``network`` is the enhanced embedding
    in the network's own space, as in the paper."""
    shrinkage: float = Field(default=0.75, gt=0, le=1)
    """Share of the covariance within utterances that is replaced by its mean variance before it is inverted."""
    draws: int = Field(default=0, ge=0)
    """Train on so many draws of each utterance, the first ones in the cache; 0 for all."""
    variants: Annotated[tuple[str, ...], AfterValidator(_distinct)] = ()
    """Train on these noisy variants of the cache; empty for all."""
    validation_share: float = Field(default=0.05, ge=0, lt=1)
    """Share of the utterances held out for the validation curve."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """Arithmetic of matrix products in training: ``auto`` is bfloat16 where the processor computes in it, else float32.
    Weights, their average, the optimiser and the loss are float32 in any case."""
    compile: bool = False
    """Compile the step (torch.compile): meant for GPUs, wants a C compiler, takes a minute to begin with."""
    memory_gb: float = Field(default=8.0, gt=0)
    """Memory for embeddings in training, in 1e9 bytes; a cache that needs more is streamed, in random order."""

    def without_diffusion(self) -> TrainParams:
        """The same training for a regression: y_0 enters as it is, at t = 0, and the output is x_0."""
        neutral = {"prediction": "sample", "inference_step": 0, "inference_steps": 1, "inference_noise": "zero"}
        return self.model_copy(update=neutral | {"inference_draws": 1})

    @model_validator(mode="before")
    @classmethod
    def _take_preset(cls, given: object) -> object:
        preset = given.get("preset") if isinstance(given, dict) else None
        return _filled(given, cls.PRESETS.get(str(preset), {}))


class WhiteningParams(_Section):
    """Enhancer ``whitening``: a linear map, in closed form."""

    covariance: Literal["total", "within", "lda"] = "within"
    """What becomes the identity: the covariance of the clean embeddings (``total``), that within utterances over all
    their draws and variants (``within``, no labels needed), or that within speakers, on the directions that tell
    speakers apart best (``lda``, needs labels)."""
    dimension: int = Field(default=0, ge=0)
    """Directions that are kept, the strongest first; 0 keeps all (``lda``: at most one less than speakers)."""
    shrinkage: float = Field(default=0.5, ge=0, lt=1)
    """Share of the covariance that is replaced by its mean variance, so that weak directions are not blown up."""


class DRLParams(_Section):
    """Enhancer ``drl``: a disentangling auto-encoder with an environment adversary (docs/enhancers.md)."""

    seed: Seed = 0
    """Seed of the weights and the batches."""
    epochs: int = Field(default=30, ge=1)
    """Passes over the rows of the cache."""
    batch_speakers: int = Field(default=64, ge=2)
    """Speakers of a batch; each brings four embeddings."""
    learning_rate: float = Field(default=1e-3, gt=0)
    """Learning rate of Adam; that of the auto-encoder is annealed to zero."""
    reconstruction: float = Field(default=1.0, ge=0)
    """Weight of the L1 distance between embeddings and what the decoder makes of their codes."""
    environment: float = Field(default=1.0, ge=0)
    """Weight of the triplet loss that makes the environment code tell environments apart."""
    adversary: float = Field(default=0.5, ge=0)
    """Weight of the reversed triplet loss that keeps the environment out of the speaker code."""
    correlation: float = Field(default=1.0, ge=0)
    """Weight of the mean absolute correlation between the two codes."""
    discriminator_steps: int = Field(default=5, ge=1)
    """Steps of the adversary for each step of the auto-encoder."""
    margin: float = Field(default=1.0, gt=0)
    """Margin of the triplet losses."""


class EnhancersParams(_Section):
    """Which enhancers are trained and scored, and the settings of the rivals (docs/enhancers.md).

    SEED and ``regression``, the same network without diffusion, are set up by the section ``train``.
    """

    names: Enhancers = Field(default=("seed",), min_length=1)
    """``seed``, ``regression``, ``whitening``, ``drl``, and ``none``, the embeddings as they are."""
    speaker_pattern: Pattern = ""
    """Regular expression whose group is the speaker in the name of a training utterance, for ``drl`` and ``lda``; empty
    for the labels that the cache has."""
    whitening: WhiteningParams = WhiteningParams()
    """Settings of ``whitening``."""
    drl: DRLParams = DRLParams()
    """Settings of ``drl``."""


class ScoreParams(_Section):
    """Stage ``score``: trial lists to numbers."""

    methods: Methods = Field(default=("cosine", "euclidean"), min_length=1)
    """``cosine`` of the mean crop embeddings, ``euclidean``: minus the mean distance over all pairs of crops."""
    mismatch_side: Literal["test", "enrol", "both"] = "test"
    """Which side of a trial is under the condition; the other one is clean."""
    norm: Literal["none", "z", "t", "s", "as"] = "none"
    """Score normalisation against a cohort of the training cache (docs/scoring.md)."""
    cohort_size: int = Field(default=5000, ge=2)
    """Training utterances drawn for the cohort; all where there are fewer."""
    cohort_top: int = Field(default=300, ge=2)
    """Highest cohort scores of each utterance that ``norm: as`` uses; all where the cohort is smaller."""
    eer_definition: Literal["linear", "max", "mean", "hull"] = "linear"
    """How the crossing of the two error rates is read; ``max`` is what the authors' code does."""
    p_targets: Priors = Field(default=(0.05, 0.01), min_length=1)
    """Prior probabilities of a target trial in the detection costs; the first is that of tables."""
    bootstrap: int = Field(default=1000, ge=100)
    """Resamplings of the speakers behind every interval."""
    seed: Seed = 0
    """Seed of the bootstrap, the cohort and, with ``inference_noise: sampled``, the inference noise."""
    noise_seeds: int = Field(default=1, ge=1)
    """With ``inference_noise: sampled``: seeds of that noise, from ``seed`` on, over which the EER is averaged."""
    timesteps: Timesteps = (1, 10, 50, 100, 200, 400)
    """Timesteps t at which SEED's EER is computed besides the one of the model; the whole list is enhanced and scored
    again for each."""


class MachineParams(_Section):
    """What the machine is asked for; nothing here changes a result, so no stage depends on it."""

    jobs: int = Field(default=0, ge=0)
    """Worker processes; 0 stands for the number of cores."""
    backend: Literal["loky", "ray", "dask"] = "loky"
    """The joblib backend that runs stage one: on this machine, or on a Ray or Dask cluster (docs/cluster.md)."""
    address: str = ""
    """Address of an existing Ray or Dask cluster; empty for one of our own on this machine."""
    batch: int = Field(default=256, ge=1)
    """Waveforms that a worker mixes ahead of the network. Forward passes have one fixed shape whatever this is."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where networks run."""
    log: Literal["", "tensorboard", "dvclive"] = ""
    """Where the curve of a training can be watched as it grows (docs/training.md); empty for nowhere."""


class Params(_Section):
    """The whole of ``params.yaml``."""

    corpus: CorpusParams = CorpusParams()
    manifest: ManifestParams = ManifestParams()
    extract: ExtractParams = ExtractParams()
    train: TrainParams = TrainParams()
    enhancers: EnhancersParams = EnhancersParams()
    score: ScoreParams = ScoreParams()
    machine: MachineParams = MachineParams()


def load_params(path: Path | str = "params.yaml") -> Params:
    """Read and check ``params.yaml``; a section or key that is left out has its default.

    Raises
    ------
    ParamsError
        The file is missing, is not YAML, or a key in it is unknown, of a wrong type or impossible.

    Examples
    --------
    >>> load_params("params.yaml").train.loss
    'norm'
    """
    path = Path(path)
    try:
        text = read_document(path, MOST_BYTES).decode()
    except (OSError, ValueError) as error:
        raise ParamsError(f"cannot be read ({error})", file=path, remedy="run in the folder of the project") from error
    data, lines = _parse(text, path)
    try:
        return Params.model_validate_json(json.dumps(data))
    except ValidationError as error:
        raise _explain(error.errors()[0], lines, path) from error


def _parse(text: str, path: Path) -> tuple[dict[str, Any], dict[str, int]]:
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
        lines: dict[str, int] = {}
        if root is not None:
            if (values := _size(root, {})) > MOST_VALUES:
                raise ValueError(f"{values:,} values, with those that aliases repeat")
            _walk(root, "", lines, path)
        data = yaml.safe_load(text)
        json.dumps(data)
    except (yaml.YAMLError, TypeError, ValueError, RecursionError) as error:  # dates that are none, keys in themselves
        mark = getattr(error, "problem_mark", None)
        row = None if mark is None else mark.line + 1
        raise ParamsError(f"is not plain YAML ({error})", file=path, row=row) from error
    if data is None:
        data = {}
    if not isinstance(data, dict):
        raise ParamsError(f"holds a {type(data).__name__}", expected="sections such as 'train:'", file=path)
    return data, lines


def _size(node: yaml.Node, known: dict[int, int]) -> int:
    """Number of values in a node, each alias counted as what it stands for."""
    if id(node) not in known:
        known[id(node)] = 1  # for one that holds itself, which JSON refuses later
        values = node.value if isinstance(node, yaml.CollectionNode) else ()
        inner = itertools.chain.from_iterable(values) if isinstance(node, yaml.MappingNode) else values
        known[id(node)] += sum(_size(value, known) for value in inner)
    return known[id(node)]


def _walk(node: yaml.Node, prefix: str, lines: dict[str, int], path: Path) -> None:
    """Note the line of every key; YAML itself would let a repeated key win silently."""
    if not isinstance(node, yaml.MappingNode):
        return
    for key, value in node.value:
        name = f"{prefix}{key.value}"
        row = key.start_mark.line + 1
        if name in lines:
            raise ParamsError(
                f"{name}: the key stands twice, first in row {lines[name]}", remedy="keep one", file=path, row=row
            )
        lines[name] = row
        _walk(value, f"{name}.", lines, path)


def _explain(error: ErrorDetails, lines: dict[str, int], path: Path) -> ParamsError:
    keys = [str(part) for part in error["loc"]]
    row = next((lines[".".join(keys[:n])] for n in range(len(keys), 0, -1) if ".".join(keys[:n]) in lines), None)
    name = ".".join(keys)
    if error["type"] == "extra_forbidden":
        known = list(_fields(keys[:-1]))
        near = difflib.get_close_matches(keys[-1], known, n=1, cutoff=0.0)
        remedy = f"did you mean '{near[0]}'?" if near else ""
        return ParamsError(
            f"{name}: unknown key", expected=f"one of {', '.join(known)}", remedy=remedy, file=path, row=row
        )
    found = f"{name}: {json.dumps(error['input'], default=str)}"
    return ParamsError(found, expected=_wanted(error), remedy=_remedy(error), file=path, row=row)


def _wanted(error: ErrorDetails) -> str:
    text = error["msg"].removeprefix("Value error, ").removeprefix("Input should be ")
    return f"another value, because {text}" if error["type"] == "value_error" else text


def _remedy(error: ErrorDetails) -> str:
    try:
        float(error["input"] if isinstance(error["input"], str) else "")
    except ValueError:
        return ""
    return "write the number without quotes, an exponent with point and sign as in 5.0e-4, or YAML reads it as text"


def _fields(keys: list[str]) -> dict[str, Any]:
    model: Any = Params
    for key in keys:
        model = model.model_fields[key].annotation
    return dict(model.model_fields)
