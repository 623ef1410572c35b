"""Make one unit: the task that workers do, on this machine or another one."""

from __future__ import annotations

import bisect
import contextlib
import functools
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from seedpipe import cache
from seedpipe.errors import AudioError, CacheError
from seedpipe.extract import shards
from seedpipe.extract.crops import Cropper, Crops, load_banks
from seedpipe.extract.embed import BLOCK, Embedder, fixed_arithmetic, prefetch
from seedpipe.extract.shards import Failure, Finished, Job, Part
from seedpipe.extract.spec import ExtractionSpec, Utterance
from seedpipe.extract.units import WorkNote, is_part, read_part, write_part
from seedpipe.networks import load_network
from seedpipe.networks.engine import in_engine

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Made:
    """What a worker says of a unit that it has made."""

    unit: Path
    number: int
    """Of the shard."""
    utterances: int
    failures: tuple[Failure, ...]
    shard: Finished | None
    """The shard, where that is all of it."""


def make_unit(spec: ExtractionSpec, unit: Job, report: Callable[[], None] = lambda: None) -> Made:
    """Make one unit in a worker, unless an earlier run has left it there; ``report`` is called after each block."""
    part = read_part(spec, unit) if is_part(unit) else None
    shard = None
    if part is None:
        with fixed_arithmetic():
            part = worker_of(spec).unit(unit, report)
        if not unit.path.parent.is_dir():  # the run that wanted this has ended, and another one has published
            raise CacheError("the folder of the work in progress has gone", remedy="run again", file=unit.path.parent)
        if not is_part(unit):
            shard = shards.write(spec, unit, part)
        elif spec.skips or not part.failures:
            write_part(unit, part)
    return Made(unit.path, unit.number, len(unit.utterances), part.failures, shard)


@functools.lru_cache(maxsize=1)
def worker_of(spec: ExtractionSpec) -> Worker:
    """The tools of this process."""
    return Worker(spec)


def let_go() -> None:
    """Part with the tools of this process: the mapped banks, and what the network has of a GPU's memory."""
    worker_of.cache_clear()
    torch = sys.modules.get("torch")
    if torch and torch.cuda.is_initialized():
        torch.cuda.empty_cache()


class Worker:
    """The tools of one process: the network, and the banks of noise, music and rooms."""

    def __init__(self, spec: ExtractionSpec) -> None:
        import torch

        device = torch.device(spec.device)
        network = load_network(spec.network)
        self.spec = spec
        self.crop = Cropper(spec, load_banks(spec, network.sample_rate), network, device)
        embedding = in_engine(network, spec.engine)
        self.embed = Embedder(embedding, device, spec.params.precision, block=None if spec.whole else BLOCK)

    def unit(self, unit: Job, report: Callable[[], None] = lambda: None) -> Part:
        """Embed the utterances of a unit."""
        failures: list[Failure] = []
        done: list[Crops] = []
        ahead = max(1, self.spec.batch // (self.spec.rows * len(self.spec.variants)))  # of the network, utterances
        with WorkNote(unit) as note:
            cropped = prefetch(self._cropped(unit, failures, note), ahead)
            ends: list[int] = []

            def embedded(waveforms: int) -> None:
                note.embedded(bisect.bisect_right(ends, waveforms))
                report()

            with contextlib.closing(cropped):
                embeddings = self.embed(_noted(cropped, done, ends, note), embedded)
        if not done:
            return Part(None, tuple(failures))
        variants = self.spec.variants
        with np.errstate(over="ignore"):  # the cache refuses what does not fit, by name
            stored = embeddings.astype(self.spec.params.storage).reshape(-1, len(variants), embeddings.shape[1])
        firsts = np.cumsum([0, *(max(crops.places) + 1 for crops in done)])
        rows = [first + place for first, crops in zip(firsts, done, strict=False) for place in crops.places]
        shard = cache.Shard(stored[rows], variants, _columns(done), unit.key)
        cache.check_finite(shard)
        return Part(shard, tuple(failures))

    def check_precision(self, utterances: Iterable[Utterance]) -> None:
        """Compare embeddings of the first utterance that can be used with those in float32."""
        for utterance in utterances:
            with contextlib.suppress(AudioError), fixed_arithmetic():
                for waveforms in self.crop(utterance)[1]:
                    self.embed.check_precision(waveforms.flatten(0, 1))
                return

    def _cropped(self, unit: Job, failures: list[Failure], note: WorkNote) -> Iterator[tuple[Crops, list[Tensor]]]:
        for utterance in unit.utterances:
            note.write("decoding", utterance)
            try:
                cropped = self.crop(utterance)
            except AudioError as error:
                failures.append(Failure.of(utterance, error))
                continue
            yield cropped


def _noted(
    cropped: Iterable[tuple[Crops, list[Tensor]]], done: list[Crops], ends: list[int], note: WorkNote
) -> Iterator[Tensor]:
    """Hand the waveforms on, keep the rest, and how many waveforms there are up to each utterance."""
    for crops, waveforms in cropped:
        note.write("in the network", crops.utterance)
        done.append(crops)
        chunks = [of_one_length.flatten(0, 1) for of_one_length in waveforms]
        ends.append(sum(map(len, chunks), start=ends[-1] if ends else 0))
        yield from chunks


def _columns(done: Sequence[Crops]) -> dict[str, NDArray[Any]]:
    utterances = [crops.utterance for crops in done for _ in crops.places]
    recipes = [recipes for crops in done for recipes in crops.recipes]
    return {
        "utterance": np.array([utterance.name for utterance in utterances]),
        "speaker": np.array([utterance.speaker for utterance in utterances]),
        "draw": np.array([draw for crops in done for draw in range(len(crops.places))], dtype=np.int32),
        "crop_start": np.array([start for crops in done for start in crops.starts], dtype=np.int64),
        "noise": np.array([[recipe.noise for recipe in row] for row in recipes]),
        "noise_offset": np.array([[recipe.noise_offset for recipe in row] for row in recipes], dtype=np.int64),
        "snr_db": np.array([[recipe.snr_db for recipe in row] for row in recipes], dtype=np.float32),
        "rir": np.array([[recipe.rir for recipe in row] for row in recipes]),
    }
