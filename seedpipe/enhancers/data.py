"""The rows of a training: held-out utterances apart, the others in batches, from memory or streamed from the cache.

Shapes: R rows, B rows of a batch, V variants (the first is clean), D embedding dimension.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Generator, Iterator
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from seedpipe.cache import Cache
from seedpipe.enhancers.memory import fits
from seedpipe.enhancers.normalization import Normalization
from seedpipe.enhancers.training import Sample
from seedpipe.errors import CacheError, counted
from seedpipe.params import TrainParams

CALIBRATION_ROWS = 20_000
HELD_OUT_ROWS = 4_096  # of the validation loss: enough for a smooth curve, little enough for one forward pass
LEAST_ROWS = 1_000  # fewer would not give a mean and a scale to normalise with
LONGEST_RUN = 16  # rows read at once: about 100 kB
BLOCK = 4_096
GB = 1e9


class EmbeddingLoader(ABC):
    """What training sees of a cache.

    Attributes
    ----------
    count : int
        Rows to train on.
    held_out_count : int
        Rows of the held-out utterances.
    held_out : Sample
        Evenly spaced rows of the held-out utterances, 4,096 at most.
    calibration : Sample
        All rows of evenly spaced training utterances, about 20,000 rows at most.
    normalization : Normalization
        Fitted to the clean embeddings of the training rows.
    """

    count: int
    held_out_count: int
    held_out: Sample
    calibration: Sample
    normalization: Normalization

    @abstractmethod
    def batches(self, batch_rows: int, generator: torch.Generator) -> Iterator[Tensor]:
        """Batches of one epoch in random order, ``count // batch_rows`` times: what :meth:`gather` takes."""

    def gather(self, batch: Tensor) -> Tensor:
        """Normalised rows (B, V, D) of a batch, on the device."""
        return batch


class ResidentLoader(EmbeddingLoader):
    """All rows in one tensor on the device."""

    def __init__(self, cache: Cache, subset: Subset, mask: Tensor, params: TrainParams, device: torch.device) -> None:
        embeddings, codes = subset(cache.to_torch()), subset.codes
        apart = _spread(mask.nonzero()[:, 0], HELD_OUT_ROWS)
        self.held_out = Sample(embeddings[apart], codes[apart])
        rows = embeddings[~mask] if mask.any() else embeddings
        del embeddings
        self.count, self.held_out_count = len(rows), int(mask.sum())
        calibration = whole_utterances(codes[~mask], CALIBRATION_ROWS)
        self.calibration = Sample(rows[calibration], codes[~mask][calibration])
        self.normalization = Normalization.fit(params.normalize, rows[:, 0])
        for block in torch.split(rows, BLOCK):  # in place: a second copy may not fit
            block.copy_(self.normalization(block))
        self._rows = rows.to(device)

    def batches(self, batch_rows: int, generator: torch.Generator) -> Iterator[Tensor]:
        """Numbers of rows, (B,); see :meth:`EmbeddingLoader.batches`."""
        order = torch.randperm(self.count, generator=generator, device=self._rows.device)
        yield from order[: self.count // batch_rows * batch_rows].view(-1, batch_rows)

    def gather(self, batch: Tensor) -> Tensor:
        """See :meth:`EmbeddingLoader.gather`; in a step, so that its CUDA graph holds it, too."""
        return self._rows[batch]


class StreamingLoader(EmbeddingLoader):
    """Runs of rows read in random order into a pool of bounded size; the pool is shuffled, and the rest waits for more.

    Neighbouring rows are of one speaker, and batches of few speakers train worse: hence short runs, not whole shards.

    The pool takes half of ``memory_gb``, what is kept apart a quarter at most; with very little memory there is room
    for a batch and a run at least, and for a thousand rows of each kind kept apart. Besides, a shard is verified as a
    whole before the first row of it is used.
    """

    def __init__(self, cache: Cache, subset: Subset, mask: Tensor, params: TrainParams, device: torch.device) -> None:
        self._cache, self._device, self._subset = cache, device, subset
        codes = subset.codes
        self._train = torch.zeros(len(cache), dtype=torch.bool)
        self._train[subset.rows[~mask]] = True
        self.count, self.held_out_count = int((~mask).sum()), int(mask.sum())
        budget = int(params.memory_gb * GB / row_bytes(cache))
        apart_rows = max(budget // 8, LEAST_ROWS)
        training = (~mask).nonzero()[:, 0]
        self.held_out = subset.gather(cache, _spread(mask.nonzero()[:, 0], min(HELD_OUT_ROWS, apart_rows)))
        utterances = whole_utterances(codes[training], min(CALIBRATION_ROWS, apart_rows))
        self.calibration = subset.gather(cache, training[utterances])
        sample = self.calibration.embeddings
        self.normalization = Normalization.fit(params.normalize, sample[:, 0])
        pool_rows = max(budget // 2, LONGEST_RUN + params.batch_rows)
        # On average a row meets an eighth of a neighbour in its batch, at most, whatever the memory.
        longest = max(1, min(LONGEST_RUN, pool_rows // (8 * params.batch_rows)))
        self._runs = list(_runs(cache, longest))
        self._pool = sample.new_empty(pool_rows, *sample.shape[1:])
        self._center = self.normalization.center_like(sample[:0].to(device))

    def batches(self, batch_rows: int, generator: torch.Generator) -> Iterator[Tensor]:
        """Rows, (B, V, D); see :meth:`EmbeddingLoader.batches`."""
        filled = 0
        for number in torch.randperm(len(self._runs), generator=generator, device=generator.device).tolist():
            run = self._runs[number]
            rows = torch.from_numpy(self._cache.rows(run.shard, run.start, run.stop))[self._train[run.rows]]
            rows = rows[:, self._subset.columns]
            if filled + len(rows) > len(self._pool):
                filled = yield from self._drain(filled, batch_rows, generator)
            self._pool[filled : filled + len(rows)] = rows
            filled += len(rows)
        yield from self._drain(filled, batch_rows, generator)

    def _drain(self, filled: int, batch_rows: int, generator: torch.Generator) -> Generator[Tensor, None, int]:
        """Give the rows in the pool as full batches; what is left moves to its front."""
        order = torch.randperm(filled, generator=generator, device=generator.device).cpu()
        full = filled // batch_rows * batch_rows
        for batch in order[:full].view(-1, batch_rows):
            yield self.normalization(_sent(self._pool[batch], self._device), self._center)
        self._pool[: filled - full] = self._pool[order[full:]]
        return filled - full


def _sent(batch: Tensor, device: torch.device) -> Tensor:
    """A batch on the device; to a GPU without waiting for the copy."""
    return batch if device.type == "cpu" else batch.pin_memory().to(device, non_blocking=True)


class Subset(NamedTuple):
    """The draws and variants of a cache that a training asks for.

    Attributes
    ----------
    rows : Tensor of int64
        Numbers of the rows, ascending.
    columns : slice or list of int
        Numbers of the variants, the clean one first.
    codes : Tensor of int64
        Number of the utterance of each row.
    """

    rows: Tensor
    columns: slice | list[int]
    codes: Tensor

    @classmethod
    def of(cls, cache: Cache, params: TrainParams) -> Subset:
        """Find them; a cache without them is refused."""
        codes, draws = utterances_and_draws(cache)
        known = list(cache.info.variants)
        lacking = next((name for name in params.variants if name not in known), None)
        if lacking:
            raise CacheError(
                f"has no variant {lacking!r}", expected=f"train.variants of {', '.join(known[1:])}", file=cache.path
            )
        if params.draws > int(draws.max()) + 1:
            raise CacheError(
                f"has {counted(int(draws.max()) + 1, 'draw')}", expected=f"train.draws: {params.draws}", file=cache.path
            )
        rows = (draws < (params.draws or len(draws) + 1)).nonzero()[:, 0]
        columns = [0, *map(known.index, params.variants)] if params.variants else slice(None)
        return cls(rows, columns, codes[rows])

    def __call__(self, embeddings: Tensor) -> Tensor:
        """What is asked for of all embeddings (R, V, D); not a copy where that is everything."""
        rows = embeddings if len(self.rows) == len(embeddings) else embeddings[self.rows]
        return rows[:, self.columns]

    def gather(self, cache: Cache, chosen: Tensor) -> Sample:
        """Some of its rows, by ascending number."""
        return Sample(_gather(cache, self.rows[chosen])[:, self.columns], self.codes[chosen])


class _Run(NamedTuple):
    """Neighbouring rows of one shard, and their numbers in the cache."""

    shard: int
    start: int
    stop: int
    rows: slice


def _runs(cache: Cache, longest: int) -> Iterator[_Run]:
    first = 0
    for number, shard in enumerate(cache.info.shards):
        for start in range(0, shard.rows, longest):
            stop = min(start + longest, shard.rows)
            yield _Run(number, start, stop, slice(first + start, first + stop))
        first += shard.rows


def embedding_loader(
    cache: Cache, params: TrainParams, device: torch.device, apart: Tensor | None = None
) -> EmbeddingLoader:
    """Hold the rows of a cache in memory, or stream them where that is too little; see :func:`is_resident`.

    Parameters
    ----------
    cache : Cache
    params : TrainParams
    device : torch.device
    apart : Tensor of bool, optional
        Which utterances are held out, by number, in place of the share that ``params`` names.

    Raises
    ------
    CacheDamagedError
        A shard is not what was written.
    CacheError
        No utterance would be left to train on.
    ModelError
        The embeddings do not differ.
    """
    subset = Subset.of(cache, params)
    mask = held_out_mask(subset.codes, params.validation_share) if apart is None else apart[subset.codes]
    loader = ResidentLoader if is_resident(cache, params, device) else StreamingLoader
    return loader(cache, subset, mask, params, device)


def is_resident(cache: Cache, params: TrainParams, device: torch.device) -> bool:
    """Whether all rows of a cache are to be held on the device.

    On a CPU, where weights are to be the same each time, ``memory_gb`` says so; on a GPU, unless it is given, what is
    free there and on the host.
    """
    size = len(cache) * row_bytes(cache)
    if device.type == "cuda" and "memory_gb" not in params.model_fields_set:
        return fits(size, device)
    return 2 * size <= params.memory_gb * GB  # what is kept apart is cut out of one copy of the whole into another


def hold_out(cache: Cache, share: float) -> tuple[Tensor, Sample]:
    """Set the same utterances apart as a training of SEED does, for enhancers that go through the cache themselves.

    Returns
    -------
    mask : Tensor of bool, shape (R,)
        Which rows of the cache are theirs.
    sample : Sample
        Evenly spaced rows of them, 4,096 at most.

    Raises
    ------
    CacheError
        No utterance would be left.
    """
    codes, _ = utterances_and_draws(cache)
    mask = held_out_mask(codes, share)
    apart = _spread(mask.nonzero()[:, 0], HELD_OUT_ROWS)
    return mask, Sample(_gather(cache, apart), codes[apart])


def row_bytes(cache: Cache) -> int:
    """Memory of one row in all its variants."""
    return 4 * len(cache.info.variants) * cache.info.network.dimension


def held_out_mask(codes: Tensor, share: float) -> Tensor:
    """Mark the rows of the held-out utterances, shape (R,): whole utterances, spread evenly over the cache."""
    utterances = int(codes.max()) + 1
    count = round(share * utterances)
    if utterances - count < 1:
        raise CacheError(
            f"{counted(utterances, 'utterance', 'is/are')} too few to hold some out",
            remedy="set train.validation_share: 0",
        )
    return torch.isin(codes, torch.linspace(0, utterances - 1, count).round().long())


def utterances_and_draws(cache: Cache) -> tuple[Tensor, Tensor]:
    """Numbers of the utterance, from 0 in the order of the cache, and of the draw of each row, both of shape (R,).

    Without all names in memory: the rows of an utterance are neighbours.
    """
    codes, draws, last, code = [], [], "", -1
    for shard in cache.shards():
        names = shard.columns["utterance"]
        codes.append(code + (names != np.concatenate(([last], names[:-1]))).cumsum())
        draws.append(shard.columns["draw"].astype(np.int64))
        last, code = names[-1], int(codes[-1][-1])
    return torch.from_numpy(np.concatenate(codes)), torch.from_numpy(np.concatenate(draws))


def _gather(cache: Cache, rows: Tensor) -> Tensor:
    """Rows of the cache by ascending number, as the network gave them."""
    parts, start = [], 0
    for shard in cache.shards():
        inside = rows[(start <= rows) & (rows < start + len(shard.embeddings))] - start
        parts.append(torch.from_numpy(shard.embeddings)[inside])
        start += len(shard.embeddings)
    return torch.cat(parts)


def whole_utterances(codes: Tensor, most: int) -> Tensor:
    """Rows of evenly spaced utterances, so many utterances that about ``most`` rows come together."""
    present = torch.unique(codes)
    count = max(2, round(most * len(present) / max(len(codes), 1)))
    return torch.isin(codes, _spread(present, count)).nonzero()[:, 0][:most]


def _spread(rows: Tensor, most: int) -> Tensor:
    """Evenly spaced entries, all of them if they are few enough."""
    return rows[torch.linspace(0, len(rows) - 1, min(most, len(rows))).long()]
