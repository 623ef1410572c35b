"""A training step as one CUDA graph: kernels of so small a network take less time than it takes to launch them."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

WARM_UP = 3  # steps that run as they are before one is captured, as PyTorch asks for


class StepGraph:
    """Captures a step whole, with its rows, noise, gradient, optimiser and average, and replays it.

    Parameters
    ----------
    step : callable
        From a batch to its loss, (). Whatever else it reads and writes are tensors that keep their places on the GPU.
    generator : torch.Generator
        The one that it draws from.
    """

    def __init__(self, step: Callable[[Tensor], Tensor], generator: torch.Generator) -> None:
        self._step, self._generator = step, generator
        self._stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        self._taken = 0
        self._graph: torch.cuda.CUDAGraph | None = None

    def __call__(self, batch: Tensor) -> Tensor:
        """Take a step on a batch, of the same shape each time; gives its loss."""
        if self._taken < WARM_UP:
            self._taken += 1
            return self._on_the_stream(batch)
        self._graph = self._graph or self._captured(batch)
        self._batch.copy_(batch)
        self._graph.replay()
        return self._loss.clone()  # the next one is written to the same place

    def _on_the_stream(self, batch: Tensor) -> Tensor:
        current = torch.cuda.current_stream()
        self._stream.wait_stream(current)
        with torch.cuda.stream(self._stream):
            loss = self._step(batch)
        current.wait_stream(self._stream)
        return loss

    def _captured(self, batch: Tensor) -> torch.cuda.CUDAGraph:
        """What a step launches, recorded; nothing of it runs yet."""
        graph = torch.cuda.CUDAGraph()
        graph.register_generator_state(self._generator)
        self._batch = batch.clone()
        with torch.cuda.graph(graph):
            self._loss = self._step(self._batch)
        return graph
