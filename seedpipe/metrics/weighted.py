"""The trials of a list under many weightings at once, and what can be read off without walking through all of them.

Metrics that depend on one threshold (``linear`` EER, minDCF, actDCF) are found in blocks of neighbouring scores: one
pass adds up the weights of each block, and only blocks in which the answer can lie are looked into. The result is that
of the full walk.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from seedpipe.metrics.llr import log_losses
from seedpipe.metrics.rates import bayes_threshold
from seedpipe.metrics.roc import (
    Definition,
    Floats,
    Integers,
    Sorted,
    counts,
    crossing,
    equal_error_rate,
    lowest_cllr,
    lowest_cost,
    rates,
)

Metric: TypeAlias = Literal["eer", "min_dcf", "act_dcf", "cllr", "min_cllr"]

# Elements of one pass over (replicates, trials): small enough that a pass stays in the processor's cache.
_PASS_ELEMENTS = 2**18
# Blocks of neighbouring scores: at most so many, and no smaller than that.
_MOST_BLOCKS, _LEAST_BLOCK = 1024, 64


class Weighted:
    """The trials of one list of scores, sorted and cut into B blocks, with the weights that R replicates give them.

    Parameters
    ----------
    trials : Sorted
        n trials.
    enrol, test : array of int, shape (n,)
        Speaker numbers, in the order of the list.
    draws : array of int32, shape (R, S + 1)
        How often a replicate draws each speaker; the last column is one.
    """

    def __init__(
        self, trials: Sorted, enrol: NDArray[np.intp], test: NDArray[np.intp], draws: NDArray[np.int32]
    ) -> None:
        self.trials, self.draws = trials, draws
        self.enrol = enrol[trials.order]
        # As second factor of a trial of one speaker, the column of ones leaves c_s instead of c_s squared.
        same = enrol[trials.order] == test[trials.order]
        self.test = np.where(same, draws.shape[1] - 1, test[trials.order])
        size = max(_LEAST_BLOCK, -(-trials.order.size // _MOST_BLOCKS))
        wanted = np.arange(size - 1, trials.order.size - 1, size)
        # Blocks end where a group of equal scores ends: inside one there is no threshold.
        self.last_groups = np.unique(np.append(np.searchsorted(trials.ends, wanted), trials.ends.size - 1))
        self.edges = np.append(0, trials.ends[self.last_groups] + 1)
        self.targets, self.others = self._block_sums()

    def distribution(self, metric: Metric, costs: tuple[float, float], definition: Definition) -> Floats:
        """Compute a metric for every replicate; NaN where it drew no target or no non-target trial.

        Parameters
        ----------
        metric : {"eer", "min_dcf", "act_dcf", "cllr", "min_cllr"}
        costs : (float, float)
            Of a false-alarm rate of 1 and of a miss rate of 1.
        definition : {"linear", "max", "mean", "hull"}
            Of the EER.
        """
        of_replicate = self._of_replicate(metric, *costs, definition)
        usable = (self.targets[:, -1] > 0) & (self.others[:, -1] > 0)
        return np.array([of_replicate(number) if usable[number] else np.nan for number in range(len(usable))])

    def _of_replicate(
        self, metric: Metric, cost_fa: float, cost_miss: float, definition: Definition
    ) -> Callable[[int], float]:
        """Find the function from the number of a replicate to its metric."""
        if metric == "min_dcf":
            return lambda number: self.lowest_cost(number, cost_fa, cost_miss)
        if metric == "act_dcf":
            return self.cost_at(bayes_threshold(cost_fa, cost_miss), cost_fa, cost_miss)
        if metric == "cllr":
            return self.cllr()
        if metric == "min_cllr":
            return lambda number: lowest_cllr(*self.all_counts(number))
        if definition == "linear":
            return self.crossing
        return lambda number: equal_error_rate(*self.all_counts(number), definition)

    def crossing(self, number: int) -> float:
        """Linear EER: the block across which FAR - FRR changes its sign, looked into."""
        far, frr = rates(self.targets[number], self.others[number])
        block = int(np.count_nonzero(far - frr < 0.0)) - 1
        return crossing(*self._rates_inside(number, block))

    def lowest_cost(self, number: int, cost_fa: float, cost_miss: float) -> float:
        """Lowest normalised cost: blocks are looked into from the most promising one on.

        Inside a block, misses are no fewer than at its end and false alarms no fewer than at its start.
        """
        far, frr = rates(self.targets[number], self.others[number])
        lowest = lowest_cost(far, frr, cost_fa, cost_miss)
        bound = (cost_miss * frr[1:] + cost_fa * far[:-1]) / min(cost_miss, cost_fa)
        promising = np.flatnonzero(bound < lowest)
        for block in promising[np.argsort(bound[promising])].tolist():
            if bound[block] >= lowest:
                break
            lowest = min(lowest, lowest_cost(*self._rates_inside(number, block), cost_fa, cost_miss))
        return lowest

    def cost_at(self, threshold: float, cost_fa: float, cost_miss: float) -> Callable[[int], float]:
        """Normalised cost at one threshold."""
        group = int(np.count_nonzero(self.trials.thresholds[1:] >= threshold))
        block = min(int(np.searchsorted(self.last_groups + 1, group)), self.last_groups.size - 1)
        inside = group - self._first_group(block)

        def cost(number: int) -> float:
            far, frr = self._rates_inside(number, block)
            return float((cost_miss * frr[inside] + cost_fa * far[inside]) / min(cost_miss, cost_fa))

        return cost

    def cllr(self) -> Callable[[int], float]:
        """Mean logarithmic losses of both kinds."""
        scores = np.repeat(self.trials.thresholds[1:], np.diff(np.append(-1, self.trials.ends)))
        losses = log_losses(scores, self.trials.target)
        kinds = np.stack([losses * self.trials.target, losses * ~self.trials.target])

        def cost(number: int) -> float:
            sums = kinds @ self._weights(slice(number, number + 1), slice(None))[0].astype(np.float64)
            return float((sums[0] / self.targets[number, -1] + sums[1] / self.others[number, -1]) / 2.0)

        return cost

    def all_counts(self, number: int) -> tuple[Integers, Integers]:
        """Weight accepted at every threshold at which a trial counts."""
        targets, others = counts(self.trials, self._weights(slice(number, number + 1), slice(None))[0])
        counting = np.append(True, np.diff(targets + others) > 0)
        return targets[counting], others[counting]

    def _first_group(self, block: int) -> int:
        return int(self.last_groups[block - 1]) + 1 if block else 0

    def _weights(self, replicates: slice, trials: slice) -> NDArray[np.int32]:
        draws = self.draws[replicates]
        return draws.take(self.enrol[trials], axis=1) * draws.take(self.test[trials], axis=1)

    def _block_sums(self) -> tuple[Integers, Integers]:
        """Weight accepted at the edges of the blocks, targets and others, each (R, B + 1)."""
        replicates = self.draws.shape[0]
        targets = np.zeros((replicates, self.edges.size), dtype=np.int64)
        every = np.zeros_like(targets)
        for part in _parts(replicates, max(1, _PASS_ELEMENTS // self.trials.order.size)):
            weights = self._weights(part, slice(None))
            every[part, 1:] = np.add.reduceat(weights, self.edges[:-1], axis=1, dtype=np.int64)
            weights *= self.trials.target
            targets[part, 1:] = np.add.reduceat(weights, self.edges[:-1], axis=1, dtype=np.int64)
        np.cumsum(every, axis=1, out=every)
        np.cumsum(targets, axis=1, out=targets)
        return targets, every - targets

    def _rates_inside(self, number: int, block: int) -> tuple[Floats, Floats]:
        """FAR and FRR of a replicate at the start of a block and at every threshold inside."""
        start, end = int(self.edges[block]), int(self.edges[block + 1])
        weights = self._weights(slice(number, number + 1), slice(start, end))[0]
        ends = self.trials.ends[self._first_group(block) : int(self.last_groups[block]) + 1] - start
        inside = Sorted(self.trials.order[start:end], ends, self.trials.target[start:end], self.trials.thresholds)
        targets, others = counts(inside, weights)
        targets += self.targets[number, block]
        others += self.others[number, block]
        return others / self.others[number, -1], 1.0 - targets / self.targets[number, -1]


def _parts(count: int, size: int) -> Iterator[slice]:
    for start in range(0, count, size):
        yield slice(start, start + size)
