"""Whether a training was long enough, and had enough speech: sentences for the person who asked for it.

The learning rate is annealed to zero, so the validation loss of a long training hardly moves in its last fifth; in one
that is too short it still falls there. docs/training.md has the figures that the limits come from.
"""

from __future__ import annotations

from collections.abc import Sequence

from seedpipe.enhancers.base import TrainingPoint
from seedpipe.errors import counted

LARGEST_FALL = 0.0025  # of the validation loss in the last fifth of the steps, relative
LEAST_UTTERANCES = 200  # a rule of thumb


def training_warnings(curve: Sequence[TrainingPoint], utterances: int) -> tuple[str, ...]:
    """What speaks against a trained network: one sentence each, with the remedy.

    Parameters
    ----------
    curve : sequence of TrainingPoint
    utterances : int
        In the cache, held-out ones included.
    """
    found = []
    fall = last_fall(curve)
    if fall is not None and fall > LARGEST_FALL:
        found.append(
            f"the training has not converged: the loss on held-out utterances fell by {100 * fall:.2g} % in the last"
            f" fifth of {curve[-1].step:,} steps, more than {100 * LARGEST_FALL:g} %; raise train.steps"
        )
    if utterances < LEAST_UTTERANCES:
        found.append(
            f"the cache holds {counted(utterances, 'utterance')}, fewer than {LEAST_UTTERANCES}: what is learnt from"
            " so few may harm other speech; add speech"
        )
    return tuple(found)


def last_fall(curve: Sequence[TrainingPoint]) -> float | None:
    """Relative fall of the validation loss over the last fifth of the steps; None where the curve does not show it."""
    before = [point for point in curve if point.step <= 0.8 * curve[-1].step]
    if not before or before[-1].validation is None or curve[-1].validation is None:
        return None
    return 1 - curve[-1].validation / before[-1].validation
