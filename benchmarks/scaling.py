"""What more speech brings: enhancers trained on parts of one training cache, scored on evaluation lists.

    python benchmarks/scaling.py CACHE --lists EVALUATION_CACHE=TRIAL_LIST ... [--seeds 0] [--csv docs/scaling.csv]

Parts are utterances at random (speech), the same number of utterances from few or from many sources (sources) or
speakers (speakers), fewer draws of all of them (draws), and one source left out at a time (without). Whitening, the
linear skip of SEED alone and the whole of SEED stand for growing capacity. SEED trains without its safeguard, as what
it would choose is what is asked here. A row is a part, an enhancer, a training seed and a list: mean relative
reduction of the EER under mismatch with its 95 % interval over speakers, and the paired difference of the clean EER in
percentage points. Rows are written as they come, and what the file holds already is not run again.
"""

from __future__ import annotations

import csv
import re
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from _common import HERE, reader
from numpy.typing import NDArray
from sources import part

from seedpipe.cache import Cache, open_cache
from seedpipe.console import guarded, say
from seedpipe.enhancers import train_on_cache
from seedpipe.enhancers.base import EmbeddingEnhancer
from seedpipe.params import Params, ScoreParams, TrainParams
from seedpipe.scoring import evaluate
from seedpipe.scoring.trials import Trials, read_trials

SHARES = (1 / 27, 1 / 9, 1 / 3, 1.0)  # of the speech
EQUAL = 200  # utterances of a part that differs from another in its speakers or sources only
ENHANCERS = {
    "whitening": ("whitening", TrainParams()),
    "linear": ("seed", TrainParams(safeguard=False, residual=0.0, steps=1)),  # S is fitted before the steps
    "seed": ("seed", TrainParams(safeguard=False)),
}
Mask = NDArray[np.bool_]


class Subset(NamedTuple):
    """Some rows of the cache, and how many of their draws a training takes (0 for all)."""

    group: str
    name: str
    rows: Mask
    draws: int = 0


def utterances(cache: Cache, pattern: str) -> pd.DataFrame:
    """Name, source and speaker of each row."""
    frame = cache.frame()[["utterance"]]
    frame["source"] = frame["utterance"].str.split("/").str[1]
    frame["speaker"] = [(re.search(pattern, name) or [name, name])[1] for name in frame["utterance"]]
    return frame


def subsets(frame: pd.DataFrame) -> Iterator[Subset]:
    """Everything that is compared."""
    generator = np.random.default_rng(0)
    order = generator.permutation(frame["utterance"].unique())
    for share in SHARES:
        yield Subset("speech", f"{share:.3f}", _of(frame, order[: round(share * len(order))]))
    by_size = frame.groupby("source")["utterance"].nunique().sort_values(ascending=False).index
    for count in (1, 3, len(by_size)):
        names = order[_of(pd.DataFrame({"utterance": order}), _names(frame, "source", by_size[:count]))]
        yield Subset("sources", str(count), _of(frame, names[:EQUAL]))
    of_speaker = frame.groupby("speaker")["utterance"].nunique()
    several = generator.permutation(of_speaker[of_speaker >= 3].index)
    for each in (1, 3):
        rows = frame[frame["speaker"].isin(several)].drop_duplicates("utterance")
        some = rows.groupby("speaker").head(each)
        wanted = several[: EQUAL // each]
        yield Subset("speakers", str(len(wanted)), _of(frame, _names(some, "speaker", wanted)))
    for draws in (1, 2, 0):
        yield Subset("draws", str(draws or "all"), np.ones(len(frame), dtype=bool), draws)
    for source in by_size:
        yield Subset("without", source, (frame["source"] != source).to_numpy())


def _names(frame: pd.DataFrame, column: str, values: object) -> list[str]:
    return frame.loc[frame[column].isin(values), "utterance"].unique().tolist()


def _of(frame: pd.DataFrame, names: object) -> Mask:
    return frame["utterance"].isin(set(names)).to_numpy()


def figures(cache: Cache, enhancer: EmbeddingEnhancer, trials: Trials, name: str) -> dict[str, object]:
    """What one enhancer does on one list."""
    evaluation = evaluate(cache, enhancer, trials, ScoreParams(methods=("cosine",)), name)[0].evaluations[0]
    reduction, clean = evaluation.mean_relative_reduction, evaluation.conditions[0].difference.eer
    return {
        "list": name,
        "reduction": reduction.value, "low": reduction.low, "high": reduction.high,
        "clean": 100 * clean.difference, "clean_low": _percent(clean.low), "clean_high": _percent(clean.high),
    }  # fmt: skip


def _percent(value: float | None) -> float:
    return float("nan") if value is None else 100 * value


@guarded
def main() -> None:
    """Run what the table lacks."""
    parser = reader(__doc__, json=False)
    parser.add_argument("cache", type=Path, help="training cache of several sources")
    parser.add_argument("--lists", nargs="+", required=True, help="EVALUATION_CACHE=TRIAL_LIST")
    parser.add_argument("--speakers", default=r"/([^/]+)/[^/]+$", help="its group is the speaker in a name")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0], help="training seeds")
    parser.add_argument("--groups", nargs="+", help="only these groups of parts")
    parser.add_argument("--enhancers", nargs="+", choices=ENHANCERS, default=list(ENHANCERS))
    parser.add_argument("--csv", type=Path, default=HERE / "docs" / "scaling.csv", help="table to fill")
    given = parser.parse_args()
    cache = open_cache(given.cache)
    lists = {Path(place).name: (open_cache(place), read_trials(trials).expect_labels())
             for place, trials in (text.split("=") for text in given.lists)}  # fmt: skip
    frame = utterances(cache, given.speakers)
    keys = ["network", "group", "part", "enhancer", "seed"]
    done = set(pd.read_csv(given.csv, dtype=str)[keys].itertuples(index=False)) if given.csv.exists() else set()
    for subset in subsets(frame):
        if given.groups and subset.group not in given.groups:
            continue
        chosen = frame[subset.rows]
        about = {"utterances": chosen["utterance"].nunique(), "speakers": chosen["speaker"].nunique()}
        about["hours"] = round(cache.info.seconds / 3600 * about["utterances"] / cache.info.utterances, 3)
        with tempfile.TemporaryDirectory() as folder:
            rows = part(cache, subset.rows, Path(folder) / "cache")
            for seed in given.seeds:
                for name in given.enhancers:
                    kind, train = ENHANCERS[name]
                    key = [cache.info.network.name, subset.group, subset.name, name, str(seed)]
                    if tuple(key) in done:
                        continue
                    params = Params(train=train.replace(seed=seed, draws=subset.draws))
                    enhancer, _ = train_on_cache(kind, rows, Path(folder) / "model", params)
                    for title, (evaluated, trials) in lists.items():
                        row = dict(zip(keys, key, strict=True)) | about | figures(evaluated, enhancer, trials, title)
                        append(given.csv, row)
                        say(f"{' '.join(key)} {title}: {100 * row['reduction']:.1f} %, clean {row['clean']:+.2f}")


def append(path: Path, row: dict[str, object]) -> None:
    """Add a line to the table."""
    new = not path.exists()
    with path.open("a", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(row), lineterminator="\n")
        if new:
            writer.writeheader()
        writer.writerow({name: f"{value:.5g}" if isinstance(value, float) else value for name, value in row.items()})


if __name__ == "__main__":
    sys.exit(main())
