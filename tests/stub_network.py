"""Speaker networks for tests: no weights, cheap, and the embedding says what the waveform was."""

from __future__ import annotations

import contextlib
import math
import os
import signal
from pathlib import Path

import torch
from torch import Tensor

SHAPES: list[tuple[int, ...]] = []
"""Shape of every batch that a network of this process was given."""


class Stub:
    """The loudness of eight equal parts of a waveform."""

    name = "stub"
    sample_rate = 16_000
    dimension = 8
    min_samples = 800

    def __call__(self, waveforms: Tensor) -> Tensor:
        if len(waveforms) > 1:  # one is a self-test
            SHAPES.append(tuple(waveforms.shape))
        used = waveforms.shape[1] // self.dimension * self.dimension
        return waveforms[:, :used].unflatten(1, (self.dimension, -1)).square().mean(dim=2).sqrt()

    def fingerprint(self) -> str:
        return f"fingerprint of {self.name}"

    def to(self, device: torch.device) -> Stub:  # noqa: ARG002
        return self


class Other(Stub):
    name = "other"


class Sized(Stub):
    """A stub whose embedding says how long the waveform was, in seconds."""

    name = "sized"

    def __call__(self, waveforms: Tensor) -> Tensor:
        embeddings = super().__call__(waveforms)
        embeddings[:, 0] = waveforms.shape[1] / self.sample_rate
        return embeddings


class NotANumber(Stub):
    name = "nan"

    def __call__(self, waveforms: Tensor) -> Tensor:
        embeddings = super().__call__(waveforms)
        embeddings[3:4, 5] = math.nan
        return embeddings


class WrongDimension(Stub):
    name = "narrow"

    def __call__(self, waveforms: Tensor) -> Tensor:
        return super().__call__(waveforms)[:, :4]


MARK = "STUB_NETWORK_MARK"
"""Variable of the environment of workers that a test has started: the file that kills one of them."""


class Mortal(Stub):
    """A stub whose process is killed at the first batch after a file has appeared, which names the one to spare."""

    def __call__(self, waveforms: Tensor) -> Tensor:
        if len(waveforms) > 1:  # one is a self-test, of the command itself
            mark = Path(os.environ[MARK])
            with contextlib.suppress(FileNotFoundError):
                if int(mark.read_text()) != os.getpid():
                    mark.unlink()
                    os.kill(os.getpid(), signal.SIGKILL)
        return super().__call__(waveforms)


def make_mortal() -> Stub:
    return Mortal()


def make() -> Stub:
    return Stub()


def make_other() -> Stub:
    return Other()


def make_sized() -> Stub:
    return Sized()


def make_nan() -> Stub:
    return NotANumber()


def make_narrow() -> Stub:
    return WrongDimension()


def make_nothing() -> object:
    return object()


def fail() -> Stub:
    raise RuntimeError("no weights today")
