"""What every enhancer is: a map of embeddings, made for one speaker network, in a folder of its own.

A model is a folder with ``model.safetensors`` (what was learnt), ``config.json`` (everything else), a model card and,
where it was trained in steps, ``curve.csv``.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple, Self, TypeAlias, TypeVar, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict
from torch import Tensor, nn

from seedpipe.cache import LEAST_ENTRY, MOST_ENTRY, NetworkInfo, expect_real
from seedpipe.enhancers.given import as_array, as_tensor
from seedpipe.enhancers.hub import OnHub
from seedpipe.errors import CacheMismatchError, ModelError
from seedpipe.files import OutputKind, StrPath, fsync, read_again, read_bytes, read_json, sealed, whole_folder
from seedpipe.params import EnhancerKind

if TYPE_CHECKING:
    from seedpipe.cache import Cache

WEIGHTS, CONFIG, CARD, CURVE = "model.safetensors", "config.json", "README.md", "curve.csv"
CALIBRATION = "calibration.json"  # of scores, where seedpipe calibrate has put one
DIGEST_OF_WEIGHTS = "weights"  # an entry of config.json
FORMAT = "seedpipe-model-2"
BLOCK = 4096  # rows of one forward pass, so that memory does not grow with the input
Embeddings = TypeVar("Embeddings", NDArray[np.float32], Tensor)
Config = TypeVar("Config", bound="EnhancerConfig")


def _own_files(folder: Path) -> set[str]:
    """The files of a model folder."""
    config = read_json(folder / CONFIG)
    found = config.get("format") if isinstance(config, dict) else None
    if found != FORMAT:
        raise ValueError(f"it states the format {found!r}")
    if not (folder / WEIGHTS).is_file():
        raise ValueError(f"there is no {WEIGHTS} beside it")
    return {WEIGHTS, CONFIG, CARD, CURVE, CALIBRATION}


OUTPUT = OutputKind("model folder", CONFIG, ModelError, _own_files)
"""How a model folder is told from others before it is replaced."""


class EnhancerConfig(BaseModel):
    """What ``config.json`` holds for every kind of enhancer."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    format: Literal["seedpipe-model-2"] = "seedpipe-model-2"
    kind: EnhancerKind
    """What it is; folders without it hold SEED."""
    network: NetworkInfo
    """The speaker network whose embeddings it enhances."""
    cache: str
    """Fingerprint of the training cache."""
    seedpipe: str
    """Version that made it."""


@dataclass(frozen=True)
class TrainingPoint:
    """One point of the training curve: after so many steps, losses on training and held-out utterances."""

    step: int
    loss: float
    validation: float | None


TrainingCallback: TypeAlias = Callable[[TrainingPoint, int], None]
"""Called with each point of the curve and the steps in all."""


class CardText(NamedTuple):
    """What an enhancer says of itself in its model card."""

    title: str
    """Its name; that of the network is added."""
    what: str
    """The start of the sentence that ends in "the embeddings of the frozen speaker network"."""
    training: str
    use: str
    labels: str = "unlabelled"
    """What the training utterances are called."""


class EmbeddingEnhancer(OnHub, ABC):
    """An enhancer: embeddings of one frozen network in, embeddings of unit length out.

    Attributes
    ----------
    config : EnhancerConfig
    module : Module
        What was learnt.
    """

    config: EnhancerConfig
    module: nn.Module

    @property
    def kind(self) -> EnhancerKind:
        """What it is, as in ``enhancers.names`` of params.yaml."""
        return self.config.kind

    @property
    def dimension(self) -> int:
        """D, length of an embedding."""
        return self.config.network.dimension

    @property
    def parameters(self) -> int:
        """Number of learnt values."""
        return sum(value.numel() for value in self.module.state_dict().values() if value.is_floating_point())

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        held = itertools.chain(self.module.parameters(), self.module.buffers())
        return next((value.device for value in held), torch.device("cpu"))

    @classmethod
    @abstractmethod
    def load(cls, path: StrPath, device: str | torch.device = "cpu") -> Self:
        """Load a model folder.

        Raises
        ------
        ModelError
            A file is missing, damaged, or does not fit the others.
        """

    @abstractmethod
    def __call__(self, embeddings: Embeddings, generator: torch.Generator | None = None) -> Embeddings:
        """Enhance embeddings.

        Parameters
        ----------
        embeddings : ndarray or Tensor, shape (..., D)
            Memory besides input and output is that of one block of 4,096 embeddings. Lists are taken as an array.
        generator : torch.Generator, optional
            Source of the noise, for a model that samples it.

        Returns
        -------
        The same kind, shape (..., D), float32
            Unit length.

        Raises
        ------
        ModelError
            The last dimension is not D, or a value is not finite.
        """

    @abstractmethod
    def card_text(self) -> CardText:
        """Describe the enhancer for its model card."""

    def expect(self, cache: Cache) -> Self:
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

    def save(self, path: StrPath, card: str, curve: Sequence[TrainingPoint] = ()) -> None:
        """Write the model folder, whole or not at all, in the place of an older one.

        Parameters
        ----------
        path : str or PathLike
        card : str
            The model card, Markdown.
        curve : sequence of TrainingPoint
            How it was trained; empty where it was not trained in steps.

        Raises
        ------
        ModelError
            The folder there is no whole model, or holds other files.
        """
        with whole_folder(path, OUTPUT) as work:
            self._write(work, card, curve)

    def _write(self, folder: Path, card: str, curve: Sequence[TrainingPoint]) -> None:
        """Write the files into an empty folder, synced to the disk."""
        import pandas as pd
        from safetensors.torch import save

        weights = save(self.module.state_dict())
        (folder / WEIGHTS).write_bytes(weights)
        entries = {**self.config.model_dump(mode="json"), DIGEST_OF_WEIGHTS: hashlib.sha256(weights).hexdigest()}
        text = json.dumps(sealed(entries), indent=1)
        (folder / CONFIG).write_text(text + "\n", encoding="utf-8")
        (folder / CARD).write_text(card, encoding="utf-8")
        if curve:
            pd.DataFrame(curve).to_csv(folder / CURVE, index=False, lineterminator="\n")
        for path in folder.iterdir():
            fsync(path)

    def _in_blocks(self, embeddings: Embeddings, work: Callable[[Tensor], Tensor]) -> Embeddings:
        """Do the work on rows (B, D) of the embeddings, a block at a time, where the module is."""
        if isinstance(embeddings, Tensor | np.ndarray):
            expect_real(embeddings, "embeddings", ModelError)
        else:
            embeddings = as_array(embeddings, "embeddings")
        shape = tuple(embeddings.shape)
        if not shape or shape[-1] != self.dimension:
            raise ModelError(
                f"embeddings have the shape {shape}",
                expected=f"(..., {self.dimension}) from the network {self.config.network.name}",
                remedy="use the model that was trained for this network",
            )
        rows = embeddings.reshape(-1, self.dimension)
        result = torch.empty(tuple(rows.shape), device=rows.device if isinstance(rows, Tensor) else None)
        for start in range(0, len(rows), BLOCK):
            result[start : start + BLOCK] = done = work(self._block(as_tensor(rows[start : start + BLOCK]), start))
            if not torch.isfinite(done).all():
                raise ModelError("the model gives values that are not finite", remedy="train again")
        result = result.reshape(shape)
        return result if isinstance(embeddings, Tensor) else result.numpy()

    def _block(self, rows: Tensor, first: int = 0) -> Tensor:
        """Rows as the module takes them; errors count from the number of the first."""
        largest = rows.abs().amax(dim=1)  # NaN and infinity, where a row holds such
        # In float32 the squares of other entries become infinite or zero, and all such embeddings the same.
        wrong = torch.nonzero(~((largest >= LEAST_ENTRY) & (largest <= MOST_ENTRY)))
        if len(wrong):
            value = float(largest[wrong[0]])
            raise ModelError(
                f"the largest entry of an embedding is {f'{value:g}' if math.isfinite(value) else 'not finite'}",
                expected=f"one from {LEAST_ENTRY:g} to {MOST_ENTRY:g}",
                remedy="leave the row out, and look at where it comes from",
                row=first + int(wrong[0]) + 1,
            )
        return rows.to(self.device, torch.float32)


def read_model(path: Path, kind: type[Config]) -> tuple[Config, dict[str, Tensor]]:
    """Read the files of a model folder.

    Raises
    ------
    ModelError
        A file is missing or damaged, or the configuration is that of another kind of enhancer.
    """
    return read_again(path / CONFIG, lambda: _read_model(path, kind))


def _read_model(path: Path, kind: type[Config]) -> tuple[Config, dict[str, Tensor]]:
    import safetensors
    from safetensors.torch import load

    try:
        entries = read_json(path / CONFIG)
        weights = read_bytes(path / WEIGHTS)
        _expect_kind(path, entries.get("kind", "seed"), kind)
        own = {name: value for name, value in entries.items() if name not in ("digest", DIGEST_OF_WEIGHTS)}
        config, state = kind.model_validate_json(json.dumps(own)), load(weights)
    except (OSError, ValueError, AttributeError, safetensors.SafetensorError) as error:
        raise no_model(path, error) from error
    stated = entries.get(DIGEST_OF_WEIGHTS)  # the first folders of this format have none
    if stated not in (None, hashlib.sha256(weights).hexdigest()):
        raise ModelError(
            f"does not have the digest that {CONFIG} states",
            expected="the bytes that were written",
            remedy="train again, or copy the model folder again",
            file=path / WEIGHTS,
        )
    return config, state


def _expect_kind(path: Path, found: object, config: type[Config]) -> None:
    """Refuse a model of a kind that there is, but that the class with this configuration does not load."""
    own = get_args(config.model_fields["kind"].annotation)
    if found in get_args(EnhancerKind) and found not in own:
        raise ModelError(
            f"is a model of the kind {found}",
            expected=" or ".join(own),
            remedy="seedpipe.load_enhancer opens every kind",
            file=path,
        )


def no_model(path: Path, error: Exception) -> ModelError:
    """The error of a folder that cannot be read as a model."""
    reason = " ".join(str(error).split())
    return ModelError(f"is no model ({reason})", remedy="run seedpipe train", file=path)


def fill(module: nn.Module, state: dict[str, Tensor], path: Path) -> None:
    """Put the weights of a model folder into their module.

    Parameters
    ----------
    module : Module
        Best made on the device ``meta``, where it takes no memory: a configuration may claim any dimension, and memory
        is for the weights that there are.
    state : dict
    path : Path
        The folder, for messages.

    Raises
    ------
    ModelError
        They do not fit, or are not finite.
    """
    own = module.state_dict()
    file = path / WEIGHTS
    if other := next((name for name in own.keys() & state.keys() if state[name].dtype != own[name].dtype), None):
        found = f"{other} is {state[other].dtype}"
        raise ModelError(found, expected=str(own[other].dtype), remedy="train again", file=file)
    try:
        # Copied into aligned memory, as bytes of a file are not: products of unaligned weights have other last bits.
        module.load_state_dict({name: value.clone() for name, value in state.items()}, assign=True)
    except RuntimeError as error:
        raise ModelError(f"the weights do not fit: {error}", remedy="train again", file=file) from error
    if broken := next((name for name, value in module.state_dict().items() if not torch.isfinite(value).all()), None):
        raise ModelError(f"{broken} holds values that are not finite", remedy="train again", file=file)
