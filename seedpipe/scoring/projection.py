"""Embeddings of a few speakers on a plane, before and after enhancement."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from seedpipe.params import split_condition
from seedpipe.results import Pair, Place, Projection
from seedpipe.scoring.crops import CropEmbeddings
from seedpipe.scoring.vectors import Floats, means

MOST_POINTS = 300  # of one system
MOST_SPEAKERS = 6


def project(systems: Mapping[str, CropEmbeddings], rows: NDArray[np.int64], speakers: NDArray[np.int64]) -> Projection:
    """Project embeddings onto the two directions in which the network's clean embeddings differ most.

    Parameters
    ----------
    systems : mapping of str to CropEmbeddings
        ``network``, which decides the plane, and ``enhanced``, with the same utterances and conditions.
    rows : ndarray of int64, shape (utterances of the list,)
        Where they are among the embeddings.
    speakers : ndarray of int64, shape (utterances of the list,)

    Returns
    -------
    Projection
        The same points for both.
    """
    conditions = next(iter(systems.values())).conditions
    drawn = [number for number, name in enumerate(conditions) if split_condition(name)[1] is None]
    chosen = _chosen(speakers, MOST_POINTS // len(drawn))
    clouds = {name: _clouds(crops, rows[chosen], drawn) for name, crops in systems.items()}
    clean = next(iter(clouds.values()))[0]
    center = clean.mean(axis=0)
    axes = np.linalg.svd(clean - center, full_matrices=False)[2][:2]
    numbers = np.unique(speakers[chosen], return_inverse=True)[1] + 1
    places = {
        name: [
            Place(float(x), float(y), f"speaker {speaker}", conditions[number])
            for number, cloud in zip(drawn, (cloud - center) @ axes.T, strict=True)
            for (x, y), speaker in zip(cloud, numbers, strict=True)
        ]
        for name, cloud in clouds.items()
    }
    return Projection(Pair(**places))


def _chosen(speakers: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """Utterances of the speakers that have most of them, equally many of each as far as there are."""
    by_size = np.argsort(-np.bincount(speakers), kind="stable")[: min(MOST_SPEAKERS, count)]
    each = count // len(by_size)
    return np.concatenate([np.flatnonzero(speakers == speaker)[:each] for speaker in by_size])


def _clouds(crops: CropEmbeddings, rows: NDArray[np.int64], conditions: list[int]) -> Floats:
    """Mean embeddings of unit length, shape (V, points, D); clean ones as in enrolment, others as the test side's."""
    sides = {0: crops.enrol}
    return np.stack([means(sides.get(condition, crops.test)[rows, :, condition]) for condition in conditions])
