"""Embeddings by utterance, as scoring wants them: crops side by side."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from seedpipe.cache import Cache
from seedpipe.errors import CacheDamagedError, TrialError, counted
from seedpipe.scoring.trials import match_names
from seedpipe.scoring.vectors import Floats, inverse_lengths


@dataclass(frozen=True)
class CropEmbeddings:
    """Evaluation embeddings by utterance.

    Parameters
    ----------
    utterances : tuple of str, length U
    conditions : tuple of str, length V
        The first is ``clean``.
    embeddings : ndarray of float32, shape (U, C, V, D)
    test_crops : int
        How many of the crops, the last ones, are the test side's alone, and the others enrolment's; 0 where both sides
        have all.
    """

    utterances: tuple[str, ...]
    conditions: tuple[str, ...]
    embeddings: Floats
    test_crops: int = 0

    @property
    def enrol(self) -> Floats:
        """What the enrolment side of a trial has of each utterance."""
        return self.embeddings[:, : self.embeddings.shape[1] - self.test_crops]

    @property
    def test(self) -> Floats:
        """What the test side of a trial has of each utterance."""
        return self.embeddings[:, -self.test_crops :]  # all of it where there are none: -0 is 0

    def through(self, enhance: Callable[[Floats], Floats]) -> CropEmbeddings:
        """Pass every crop through an enhancer."""
        return replace(self, embeddings=enhance(self.embeddings))


def load_crops(cache: Cache) -> CropEmbeddings:
    """Read an evaluation cache.

    Raises
    ------
    CacheMismatchError
        The cache was made for training.
    CacheDamagedError
        The rows of an utterance are not its crops in order.
    """
    info = cache.expect(kind="evaluation").info
    crops = info.rows_per_utterance
    frame = cache.frame()
    if len(frame) % crops or not (frame["draw"].to_numpy().reshape(-1, crops) == np.arange(crops)).all():
        raise CacheDamagedError(
            "rows are not the crops of each utterance in order", remedy="extract again", file=cache.path
        )
    utterances = tuple(frame["utterance"].iloc[::crops])
    shape = (len(utterances), crops, len(info.variants), info.network.dimension)
    return CropEmbeddings(utterances, info.variants, cache.to_numpy().reshape(shape), info.test_crops)


def with_models(crops: CropEmbeddings, models: Mapping[str, Sequence[str]]) -> CropEmbeddings:
    """Add enrolment models, each made of several utterances, as further utterances.

    Crop c of a model is the mean of the unit-length crops c of its utterances, under every condition. A model of one
    utterance scores as the utterance.

    Parameters
    ----------
    crops : CropEmbeddings
    models : mapping of str to sequence of str
        Name of the model to its utterances, as :func:`seedpipe.scoring.trials.read_models` gives; they are found by
        the rules of :func:`seedpipe.scoring.trials.match_names`.

    Returns
    -------
    CropEmbeddings
        The utterances, then the models.

    Raises
    ------
    TrialError
        A model names an utterance that is not there, or has the name of an utterance.
    """
    there = set(crops.utterances)
    taken = next((name for name in models if name in there), None)
    if taken is not None:
        raise TrialError(f"the model {taken} has the name of an utterance", remedy="rename the model")
    wanted = list(dict.fromkeys(name for names in models.values() for name in names))
    index = dict(zip(wanted, match_names(wanted, crops.utterances).rows.tolist(), strict=True))
    missing = [name for names in models.values() for name in names if index[name] < 0]
    if missing:
        raise TrialError(
            f"{counted(len(missing), 'enrolment utterance', 'is/are')} not among the embeddings:"
            f" {', '.join(missing[:10])}",
            expected=f"names such as {crops.utterances[0]}",
        )
    added = [_mean_of_unit(crops.embeddings[[index[name] for name in names]]) for names in models.values()]
    embeddings = np.concatenate([crops.embeddings, np.stack(added)]) if added else crops.embeddings
    return replace(crops, utterances=crops.utterances + tuple(models), embeddings=embeddings)


def _mean_of_unit(embeddings: Floats) -> Floats:
    """Mean over utterances of unit-length embeddings; (U, C, V, D) to (C, V, D)."""
    flat = embeddings.reshape(len(embeddings), -1, embeddings.shape[-1])
    unit = flat * inverse_lengths(flat)[..., None]
    mean: Floats = unit.mean(axis=0).reshape(embeddings.shape[1:])
    return mean
