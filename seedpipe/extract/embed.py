"""Run the network in blocks of one shape, while a thread decodes and mixes what comes next.

The shape is fixed because kernels sum in another order for another one: with it, an embedding depends neither on the
rows beside it nor on how much is mixed ahead.
"""

from __future__ import annotations

import contextlib
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from seedpipe.errors import NetworkError
from seedpipe.networks import SpeakerNetwork

if TYPE_CHECKING:
    import torch
    from torch import Tensor

BLOCK = 32  # waveforms of one forward pass
PARITY = 0.9999  # least cosine between an embedding in reduced precision and in float32

Item = TypeVar("Item")


class Embedder:
    """A network on its device, in its precision.

    Parameters
    ----------
    network : SpeakerNetwork
    device : device
    precision : {'float32', 'bfloat16', 'float16'}
        Of convolutions and matrix products; below float32 the rest stays as autocast has it.
    block : int, optional
        Waveforms of one forward pass; None for chunks as they come, the variants of one whole utterance.
    """

    def __init__(
        self, network: SpeakerNetwork, device: torch.device, precision: str, block: int | None = BLOCK
    ) -> None:
        self.network, self.device, self.precision, self.block = network.to(device), device, precision, block

    def __call__(
        self, chunks: Iterable[Tensor], embedded: Callable[[int], None] = lambda _: None
    ) -> NDArray[np.float32]:
        """Embed waveforms that come in chunks, shape (any, T), T being one or several; gives (all rows, D) in order.

        ``embedded`` is called after each block with the number of rows that were embedded.
        """
        import torch

        vectors: list[Tensor] = []
        numbers: list[int] = []
        for block, used in _blocks(chunks, self.block):
            vectors.append(self._forward(block, self.precision)[: len(used)])
            numbers += used
            embedded(len(numbers))
        if not vectors:
            return np.empty((0, self.network.dimension), np.float32)
        # Fetched once: until here, a GPU has not been waited for.
        return torch.cat(vectors).cpu().numpy()[np.argsort(numbers)]

    def check_precision(self, waveforms: Tensor) -> None:
        """Compare a block in reduced precision with the same block in float32."""
        import torch

        block, _ = next(_blocks([waveforms], self.block))
        reduced, exact = (self._forward(block, precision).double() for precision in (self.precision, "float32"))
        lowest = float(torch.nn.functional.cosine_similarity(reduced, exact).min())
        if not lowest >= PARITY:
            raise NetworkError(
                f"in {self.precision} the network {self.network.name} gives embeddings with a cosine of {lowest:.5f} "
                "to those in float32",
                expected=f"{PARITY} or more",
                remedy="set extract.precision: float32",
            )

    def _forward(self, block: Tensor, precision: str) -> Tensor:
        import torch

        reduced = precision != "float32"
        dtype = getattr(torch, precision) if reduced else None
        with torch.inference_mode(), torch.autocast(self.device.type, dtype, enabled=reduced):
            vectors = self.network(block)
        expected = (len(block), self.network.dimension)
        if tuple(vectors.shape) != expected:
            raise NetworkError(
                f"the network {self.network.name} gave embeddings of shape {tuple(vectors.shape)}",
                expected=f"{expected}, as it has dimension {self.network.dimension}",
                remedy="correct the network or its dimension",
            )
        return vectors.float()


class _FixedFlags(contextlib.AbstractContextManager["_FixedFlags"]):
    """Flags of the process, as they are to be while any of its threads computes; then as they were."""

    def __init__(self) -> None:
        self._lock, self._users, self._before = threading.Lock(), 0, contextlib.ExitStack()

    def __enter__(self) -> Self:
        with self._lock:
            self._users += 1
            if self._users == 1:
                self._set()
        return self

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._users -= 1
            if not self._users:
                self._before.close()

    def _set(self) -> None:
        import torch

        self._before.callback(torch.set_float32_matmul_precision, torch.get_float32_matmul_precision())
        torch.set_float32_matmul_precision("highest")
        cudnn = torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False)
        self._before.enter_context(cudnn)


FIXED_FLAGS = _FixedFlags()
"""A context: cuDNN with fixed algorithms, and float32 without TF32."""


@contextlib.contextmanager
def fixed_arithmetic() -> Iterator[None]:
    """Let torch give the same numbers each time: one thread, cuDNN with fixed algorithms, float32 without TF32.

    But for the number of threads, all threads of the process are meant: a front end may run on the GPU in the one that
    mixes.
    """
    with one_thread(), FIXED_FLAGS:
        yield


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Let torch compute on one thread: workers share the cores, and sums do not depend on their number."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def prefetch(items: Iterable[Item], depth: int) -> Generator[Item]:
    """Let a thread make up to ``depth`` items ahead; its errors are raised here, and it ends when this ends."""
    end = object()
    made = _made_on_one_thread(items)
    with ThreadPoolExecutor(1, "prefetch") as thread:
        ahead = deque(thread.submit(next, made, end) for _ in range(depth))
        try:
            while (item := ahead.popleft().result()) is not end:
                ahead.append(thread.submit(next, made, end))
                yield item  # type: ignore[misc]
        finally:
            for future in ahead:
                future.cancel()
            thread.submit(made.close)


def _made_on_one_thread(items: Iterable[Item]) -> Generator[Item]:
    with one_thread():  # the number of threads is each thread's own
        yield from items


def _blocks(chunks: Iterable[Tensor], size: int | None) -> Iterator[tuple[Tensor, list[int]]]:
    """Blocks of ``size`` rows of one length, each with the numbers of its rows; the last ones repeat their last row."""
    import torch

    waiting: dict[int, tuple[list[Tensor], list[int]]] = {}
    total = 0
    for chunk in chunks:
        own = range(total, total + len(chunk))
        total += len(chunk)
        if size is None:
            yield chunk, list(own)
            continue
        rows, numbers = waiting.setdefault(chunk.shape[1], ([], []))
        rows.append(chunk)
        numbers += own
        while len(numbers) >= size:
            joined = torch.cat(rows)
            yield joined[:size], numbers[:size]
            rows[:], numbers[:] = [joined[size:]], numbers[size:]
    for rows, numbers in waiting.values():
        if size and numbers:
            joined = torch.cat(rows)
            yield torch.cat([joined, joined[-1:].expand(size - len(numbers), -1)]), numbers
