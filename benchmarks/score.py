"""How fast trial lists are scored, against a loop over the trials in the same run, and how fast intervals come.

    python benchmarks/score.py [--trials 580000] [--utterances 145000] [--device cuda] [--json FILE]

Embeddings are random: speed does not depend on what they hold. The list has the shape of Vox1-E: each utterance is the
enrolment of as many trials. The loop takes one trial after the other, as scoring scripts of the field do: look both
sides up, normalise, compare, take the mean. It runs on a part of the list (--loop-trials), and its time for the whole
list is extrapolated from there. Both get as many cores as there are, and of both the best of three runs counts. Scores
of the two are compared on that part.
Intervals are 95 % ones of 1,000 resamplings of 1,251 speakers for two systems, with paired differences: EER, minDCF at
0.05 and 0.01, actDCF, Cllr, minCllr.
"""

from __future__ import annotations

import argparse
import functools
import resource
import sys
import time
from collections.abc import Callable
from typing import Any

import joblib
import numpy as np
import torch
from _common import keep, reader
from numpy.typing import NDArray

from seedpipe.console import guarded
from seedpipe.metrics import Metric, SpeakerBootstrap
from seedpipe.scoring import METHODS, Method, pair_scores

SPEAKERS = 1251
RUNS = 3
FIGURES: tuple[tuple[Metric, float | None], ...] = (
    ("eer", None),
    ("min_dcf", 0.05),
    ("min_dcf", 0.01),
    ("act_dcf", 0.05),
    ("cllr", None),
    ("min_cllr", None),
)


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = reader(__doc__)
    parser.add_argument("--trials", type=int, default=580_000)
    parser.add_argument("--utterances", type=int, default=145_000)
    parser.add_argument("--dimension", type=int, default=512)
    parser.add_argument("--crops", type=int, default=10, help="crops of each utterance for 'euclidean'")
    parser.add_argument("--loop-trials", type=int, default=20_000, help="trials that the loop scores")
    parser.add_argument("--replicates", type=int, default=1000, help="resamplings of the speakers")
    parser.add_argument("--device", default="cpu", help="where pair_scores computes; the loop runs on the processor")
    return parser.parse_args()


def random_embeddings(shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Embeddings (U, C, D), drawn in parts so that no float64 copy is made."""
    rng = np.random.default_rng(0)
    result = np.empty(shape, dtype=np.float32)
    for start in range(0, len(result), 4096):
        part = result[start : start + 4096]
        part[:] = rng.standard_normal(part.shape, dtype=np.float32)
    return result


def loop(embeddings: NDArray[np.float32], enrol: NDArray[np.int64], test: NDArray[np.int64], method: Method) -> Any:
    """Score one trial after the other."""
    stored = torch.from_numpy(embeddings)
    scores = []
    for left, right in zip(enrol.tolist(), test.tolist(), strict=True):
        a = torch.nn.functional.normalize(stored[left], p=2, dim=1)
        b = torch.nn.functional.normalize(stored[right], p=2, dim=1)
        score = (a @ b.T).mean() if method == "cosine" else -torch.cdist(a, b).mean()
        scores.append(score.item())
    return np.array(scores)


def timed(work: Callable[[], Any], runs: int = 1) -> tuple[float, Any]:
    """Seconds of the best run, and the result."""
    best = float("inf")
    for _ in range(runs):
        start = time.perf_counter()
        result = work()
        best = min(best, time.perf_counter() - start)
    return best, result


def scoring(given: argparse.Namespace, method: Method) -> dict[str, Any]:
    """Trials per second of both."""
    crops = given.crops if method == "euclidean" else 1
    embeddings = random_embeddings((given.utterances, crops, given.dimension))
    rng = np.random.default_rng(1)
    enrol = np.arange(given.trials) % given.utterances
    test = rng.integers(0, given.utterances, given.trials)
    part = rng.permutation(given.trials)[: given.loop_trials]
    few = embeddings[:1000]
    pair_scores(few, few, enrol[:1000] % 1000, test[:1000] % 1000, method, device=given.device)
    loop(embeddings, enrol[:200], test[:200], method)
    score = functools.partial(pair_scores, embeddings, embeddings, enrol, test, method, device=given.device)
    seconds, scores = timed(score, RUNS)
    loop_seconds, looped = timed(lambda: loop(embeddings, enrol[part], test[part], method), RUNS)
    rates = given.trials / seconds, given.loop_trials / loop_seconds
    return {
        "method": method,
        "crops": crops,
        "seconds": seconds,
        "trials_per_second": rates[0],
        "loop_trials_per_second": rates[1],
        "loop_seconds_extrapolated": given.trials / rates[1],
        "speedup": rates[0] / rates[1],
        "largest_difference": float(np.abs(scores[part] - looped).max()),
    }


def intervals(given: argparse.Namespace) -> dict[str, Any]:
    """Seconds for every interval and paired difference of two systems on one list."""
    rng = np.random.default_rng(2)
    labels = np.arange(given.trials) % 2
    enrol = rng.integers(0, SPEAKERS, given.trials)
    test = np.where(labels == 1, enrol, (enrol + rng.integers(1, SPEAKERS, given.trials)) % SPEAKERS)
    hard = 0.5 * rng.standard_normal(SPEAKERS)
    a = rng.normal(4.6 * labels - 2.3 + 0.3 * (hard[enrol] + hard[test]))
    b = a + 0.3 * rng.standard_normal(given.trials)
    seconds = {}
    bootstrap = SpeakerBootstrap(enrol, test, given.replicates)
    for metric, p_target in FIGURES:

        def compute(metric: Metric = metric, p_target: float | None = p_target) -> None:
            for scores in (a, b):
                bootstrap.interval(scores, labels, metric, p_target=p_target)
            bootstrap.paired(a, b, labels, metric, p_target=p_target)

        seconds[metric if p_target is None else f"{metric}({p_target})"] = timed(compute)[0]
    return {"replicates": given.replicates, "seconds": seconds, "total_seconds": sum(seconds.values())}


def table(result: dict[str, Any]) -> str:
    """Figures as text."""
    where = f"{result['cores']} cores, {result['device']}"
    lines = [f"{result['trials']:,} trials over {result['utterances']:,} utterances, {where}"]
    for row in result["scoring"]:
        lines.append(
            f"{row['method']:10s} {row['crops']:2d} crops  {row['seconds']:6.2f} s {row['trials_per_second']:11,.0f}/s "
            f" loop {row['loop_trials_per_second']:8,.0f}/s ({row['loop_seconds_extrapolated']:.0f} s, extrapolated)  "
            f"{row['speedup']:6.1f} times  largest difference {row['largest_difference']:.1e}"
        )
    lines += [f"{name:15s} {seconds:6.2f} s" for name, seconds in result["intervals"]["seconds"].items()]
    lines.append(f"all intervals   {result['intervals']['total_seconds']:6.2f} s, two systems and their difference")
    lines.append(f"largest memory  {result['peak_gib']:.2f} GiB")
    return "\n".join(lines)


@guarded
def main() -> None:
    """Run the benchmark."""
    given = arguments()
    result = {
        "trials": given.trials,
        "utterances": given.utterances,
        "dimension": given.dimension,
        "cores": joblib.cpu_count(),
        "device": given.device,
        "scoring": [scoring(given, method) for method in METHODS],
        "intervals": intervals(given),
        "peak_gib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,
    }
    print(table(result))
    keep(given.json, result)


if __name__ == "__main__":
    sys.exit(main())
