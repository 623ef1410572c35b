"""How often the 95 % intervals of SpeakerBootstrap hold the true value, on lists whose true value is known.

    python benchmarks/intervals.py [LISTS OF EACH SETTING]

Scores are normal, so error rates have formulas. Of their variance, a share belongs to the speakers of a trial and 0.2
to its utterances. Systems a and b are equally good, c has 0.8 times their EER; half of what is random is common to all.
Columns: speakers, target and non-target trials, EER of a, share of the speakers, false alarms where a's minDCF at 0.05
is reached (mean); how many lists (%) have an interval that holds the true EER and minDCF at 0.05 and 0.01 of a, and the
true c - a of EER and minDCF at 0.05; and how many have p < 0.05 for the EERs of a and b. 200 resamplings of each list.
"""

from __future__ import annotations

import sys

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

from seedpipe.console import guarded
from seedpipe.metrics import Interval, PairedDifference, SpeakerBootstrap, det_curve

UTTERANCES, OF_UTTERANCES, GAIN = 6, 0.2, 0.8
HEAD = "speakers targets  others    EER share  alarms     EER  dcf.05  dcf.01 c-a EER c-a dcf  p < .05"
# Speakers, non-target trials per target trial, EER, share of the speakers.
SETTINGS = [(10, 4, 0.1, 0.3), (20, 4, 0.1, 0.3), (40, 4, 0.1, 0.3), (40, 4, 0.1, 0.0)]
SETTINGS += [(40, 1, 0.02, 0.3), (40, 8, 0.02, 0.3), (100, 8, 0.02, 0.3), (100, 8, 0.005, 0.3)]


def random_list(rng: np.random.Generator, speakers: int, ratio: int) -> NDArray[np.int64]:
    """Utterances of both sides (2, N): every pair within a speaker, and pairs of two speakers."""
    pairs = np.stack(np.triu_indices(UTTERANCES, 1), axis=1)
    targets = (UTTERANCES * np.arange(speakers)[:, None, None] + pairs).reshape(-1, 2).T
    others = rng.integers(0, speakers * UTTERANCES, (2, 2 * ratio * targets.shape[1]))
    others = others[:, others[0] // UTTERANCES != others[1] // UTTERANCES][:, : ratio * targets.shape[1]]
    return np.hstack([targets, others])


def noise(rng: np.random.Generator, sides: NDArray[np.int64], share: float) -> NDArray[np.float64]:
    """What is random in scores, of variance 1."""
    score: NDArray[np.float64] = np.sqrt(1.0 - share - OF_UTTERANCES) * rng.standard_normal(sides.shape[1])
    speakers = sides // UTTERANCES
    target = (speakers[0] == speakers[1]).astype(int)
    for of, variance in ((speakers, share), (sides, OF_UTTERANCES)):
        # One effect in target trials, another where strangers are met.
        added = rng.standard_normal((2, of.max() + 1))[target, of].sum(axis=0)
        score += np.sqrt(variance) * added / np.where(of[0] == of[1], 2.0, np.sqrt(2.0))
    return score


def true_cost(rate: float, p_target: float) -> float:
    """MinDCF of normal scores of one variance."""
    odds, half = 1.0 / p_target - 1.0, -norm.ppf(rate)
    above = np.log(odds) / (2.0 * half)  # of the threshold, over the middle between the means
    return float(norm.cdf(above - half) + odds * norm.sf(above + half))


def one_list(rng: np.random.Generator, speakers: int, ratio: int, rate: float, share: float) -> list[float]:
    """Measured columns of the table for one list."""
    sides = random_list(rng, speakers, ratio)
    enrol, test = sides // UTTERANCES
    labels, common = (enrol == test).astype(int), noise(rng, sides, share)
    means = (-2.0 * norm.ppf(each) * labels for each in (rate, rate, GAIN * rate))
    a, b, c = (mean + np.sqrt(0.5) * (common + noise(rng, sides, share)) for mean in means)
    bootstrap = SpeakerBootstrap(enrol, test, 200, int(rng.integers(2**32)))
    far, frr, _ = det_curve(a, labels, max_points=labels.size + 1)
    alarms = far[np.argmin(0.05 * frr + 0.95 * far)] * np.count_nonzero(labels == 0)
    true: list[tuple[Interval | PairedDifference, float]] = [(bootstrap.interval(a, labels), rate)]
    true += [(bootstrap.interval(a, labels, "min_dcf", p_target=p), true_cost(rate, p)) for p in (0.05, 0.01)]
    true += [(bootstrap.paired(a, c, labels), (GAIN - 1.0) * rate)]
    true += [(bootstrap.paired(a, c, labels, "min_dcf"), true_cost(GAIN * rate, 0.05) - true_cost(rate, 0.05))]
    held = [found.low <= truth <= found.high for found, truth in true]
    return [float(alarms), *held, bootstrap.paired(a, b, labels).p_value < 0.05]


@guarded
def main() -> None:
    """Print a row for each setting."""
    print(HEAD)
    for number, setting in enumerate(SETTINGS):
        rng = np.random.default_rng(number)
        lists = [one_list(rng, *setting) for _ in range(int(sys.argv[1]) if sys.argv[1:] else 300)]
        alarms, *shares = np.mean(lists, axis=0)
        targets = setting[0] * UTTERANCES * (UTTERANCES - 1) // 2
        row = f"{setting[0]:8d} {targets:7d} {setting[1] * targets:7d} {100 * setting[2]:5.1f}% {setting[3]:5.1f}"
        print(row, f"{alarms:7.1f}", *(f"{100 * value:7.1f}" for value in shares), flush=True)


if __name__ == "__main__":
    sys.exit(main())
