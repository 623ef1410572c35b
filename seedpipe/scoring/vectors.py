"""Directions of embeddings, on all cores: one over the lengths of crops, and the mean of the unit-length crops.

Shapes: A utterances, C crops of each, D embedding dimension.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Literal, TypeAlias, TypeVar, get_args

import joblib
import numpy as np
from numpy.typing import NDArray

T = TypeVar("T")
Floats: TypeAlias = NDArray[np.float32]
Rows: TypeAlias = NDArray[np.int64]
Method: TypeAlias = Literal["cosine", "euclidean"]
METHODS: tuple[Method, ...] = get_args(Method)

BLOCK_BYTES = 2**21  # of one side's embeddings in a block
NEAR = 0.02  # squared distance of unit vectors below which 2 - 2 cos has lost too many digits in float32


class Side:
    """One side's embeddings (A, C, D), and what was prepared of them: once, however often they are scored."""

    def __init__(self, embeddings: Floats) -> None:
        # Lists and tensors are arrays of float32; an array stays what it is.
        self.embeddings: Floats = embeddings if isinstance(embeddings, np.ndarray) else np.asarray(embeddings, "<f4")
        self._prepared: dict[tuple[object, ...], Any] = {}

    def prepared(self, prepare: Callable[..., T], *settings: object) -> T:
        """What a function makes of the embeddings and some settings."""
        key = (prepare, *settings)
        if key not in self._prepared:
            self._prepared[key] = prepare(self.embeddings, *settings)
        found: T = self._prepared[key]
        return found


def sides(enrol: Floats | Side, test: Floats | Side) -> tuple[Side, Side]:
    """Both sides, which are one where they are the same object."""
    left = enrol if isinstance(enrol, Side) else Side(enrol)
    right = test if isinstance(test, Side) else Side(test)
    return left, left if test is enrol else right


def means(embeddings: Floats) -> Floats:
    """Mean of the unit-length crops of every utterance, at unit length; (A, C, D) to (A, D)."""
    scale = inverse_lengths(embeddings)
    result = np.empty((len(embeddings), embeddings.shape[2]), dtype=np.float32)

    def mean(part: slice) -> None:
        sums = result[part]
        np.einsum("ac,acd->ad", scale[part], embeddings[part].astype(np.float32, copy=False), out=sums)
        sums /= np.maximum(np.sqrt(np.vecdot(sums, sums)), np.float32(1e-12))[:, None]

    on_all_cores(mean, _parts(embeddings))
    return result


def inverse_lengths(embeddings: Floats) -> Floats:
    """One over the length of every crop; (A, C, D) to (A, C). A crop of length zero stays zero."""
    result = np.empty(embeddings.shape[:2], dtype=np.float32)

    def invert(part: slice) -> None:
        block = embeddings[part].astype(np.float32, copy=False)
        result[part] = 1.0 / np.maximum(np.sqrt(np.vecdot(block, block)), np.float32(1e-12))

    on_all_cores(invert, _parts(embeddings))
    return result


def on_all_cores(work: Callable[[Any], None], items: Iterable[Any]) -> None:
    """Do the work on each item, in threads."""
    with ThreadPoolExecutor(max_workers=joblib.cpu_count()) as pool:
        for _ in pool.map(work, items):
            pass


def _parts(embeddings: Floats) -> Iterator[slice]:
    """Slices of utterances that fit the processor's cache."""
    size = max(1, BLOCK_BYTES // max(1, 4 * embeddings.shape[1] * embeddings.shape[2]))
    return (slice(start, start + size) for start in range(0, len(embeddings), size))
