"""What an interval is, and how it is read off the replicates of a bootstrap."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from seedpipe.metrics.roc import Floats


@dataclass(frozen=True)
class Interval:
    """A metric on the whole list and its 95 % interval.

    Attributes
    ----------
    value, low, high : float
        In the unit of the metric (EER: fraction).
    """

    value: float
    low: float
    high: float

    @property
    def measurable(self) -> bool:
        """Whether the interval excludes zero (for differences and reductions)."""
        return self.low > 0.0 or self.high < 0.0


@dataclass(frozen=True)
class Reduction(Interval):
    """A relative reduction: 0.2 means 20 % lower, negative values mean higher.

    Attributes
    ----------
    p_value : float
        Two-sided, for the hypothesis of no reduction.
    """

    p_value: float


@dataclass(frozen=True)
class PairedDifference:
    """Metric of system b minus metric of system a on the same trials, with its 95 % interval.

    Attributes
    ----------
    difference, low, high : float
        In the unit of the metric; negative when b has fewer errors.
    p_value : float
        Two-sided, for the hypothesis of no difference.
    """

    difference: float
    low: float
    high: float
    p_value: float

    @property
    def measurable(self) -> bool:
        """Whether the interval excludes zero."""
        return self.low > 0.0 or self.high < 0.0


def percentiles(values: Floats) -> tuple[float, float]:
    """Ends of the middle 95 %."""
    low, high = np.percentile(values, (2.5, 97.5))
    return float(low), float(high)


def two_sided(values: Floats) -> float:
    """Twice the smaller share of replicates on one side of zero; see the notes of :class:`SpeakerBootstrap`."""
    tail = min(np.count_nonzero(values <= 0.0), np.count_nonzero(values >= 0.0))
    return min(1.0, float(2 * (1 + tail)) / (1 + values.size))
