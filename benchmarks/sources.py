"""Tell from an error rate without labels, on a source that training did not see, what happens to that of speakers.

    python benchmarks/sources.py CACHE [--speakers '/([^/]+)/[^/]+$'] [--steps 630] [--seed 0] [--json FILE]

CACHE is a training cache of several sources, the folders below train/. For each source with known speakers, enhancers
are trained on all other sources that share no speaker with it, then judged on it: clean embeddings of one draw against
those of another draw in every noisy variant.

- without labels: the same utterance or another one; what a training can measure for itself;
- of speakers: the same speaker or another one, on different utterances; what a user cares for.

Both as the relative change of the mean EER over the noisy variants, in %; above zero is better than the network alone.
"""

from __future__ import annotations

import re
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from _common import keep, reader
from numpy.typing import NDArray

from seedpipe.cache import Cache, Shard, open_cache, write_cache
from seedpipe.console import guarded, say
from seedpipe.enhancers import train_on_cache
from seedpipe.metrics import eer
from seedpipe.params import EnhancersParams, Params, TrainParams, WhiteningParams

LEAST_UTTERANCES = 100  # of a source that is judged on
Vectors = NDArray[np.float32]


def settings(steps: int, seed: int) -> dict[str, tuple[str, Params]]:
    """What is compared, by name: a kind of enhancer and its parameters."""
    trained = TrainParams(steps=steps, seed=seed, safeguard=False)
    before = {"skip": "none", "ensemble": 0.5, "adaptive_ensemble": True, "shrinkage": 0.75}
    whitening = {share: EnhancersParams(whitening=WhiteningParams(shrinkage=share)) for share in (0.75, 0.5)}
    return {
        "whitening 0.75": ("whitening", Params(enhancers=whitening[0.75])),
        "whitening 0.5": ("whitening", Params(enhancers=whitening[0.5])),
        "seed, default": ("seed", Params(train=trained)),
        "seed, linear skip alone": ("seed", Params(train=trained.replace(residual=0.0))),
        "seed, no skip": ("seed", Params(train=trained.replace(**before))),
        "seed, no skip, output: network": ("seed", Params(train=trained.replace(**before, output="network"))),
    }


def part(cache: Cache, wanted: NDArray[np.bool_], out: Path) -> Cache:
    """The cache with some of its rows."""
    info = cache.info.model_dump(exclude={"shards"}) | {"rows": int(wanted.sum())}
    names = cache.frame()["utterance"].to_numpy()[wanted]
    return write_cache(out, info | {"utterances": len(set(names))}, _parts(cache, wanted))


def _parts(cache: Cache, wanted: NDArray[np.bool_]) -> Iterator[Shard]:
    start = 0
    for shard in cache.shards():
        inside = wanted[start : start + len(shard.embeddings)]
        start += len(shard.embeddings)
        if inside.any():
            columns = {name: values[inside] for name, values in shard.columns.items()}
            yield Shard(shard.embeddings[inside], shard.variants, columns, shard.key)


def changes(judged: Vectors, speakers: NDArray[Any], enhance: Callable[[Vectors], Vectors]) -> tuple[float, float]:
    """Relative change of both error rates on utterances in two draws (U, 2, V, D), in %."""
    unit = judged / np.linalg.norm(judged, axis=-1, keepdims=True)
    before, after = rates(unit, speakers), rates(enhance(judged), speakers)
    return 100 * (1 - after[0] / before[0]), 100 * (1 - after[1] / before[1])


def rates(unit: Vectors, speakers: NDArray[Any]) -> tuple[float, float]:
    """Mean EER over the noisy variants: of utterances, and of speakers on different utterances."""
    same_utterance = np.eye(len(unit), dtype=bool)
    same_speaker = speakers[:, None] == speakers[None]
    found = []
    for variant in range(1, unit.shape[2]):
        scores = (unit[:, 0, 0] @ unit[:, 1, variant].T).astype(np.float64)
        of_speakers = eer(scores[~same_utterance], same_speaker[~same_utterance].astype(np.int8))
        found.append((eer(scores.ravel(), same_utterance.ravel().astype(np.int8)), of_speakers))
    utterances, of_speakers = np.mean(found, axis=0).tolist()
    return utterances, of_speakers


@guarded
def main() -> None:
    """Judge every source by trainings on the others."""
    parser = reader(__doc__)
    parser.add_argument("cache", type=Path, help="training cache of several sources, in two draws or more")
    parser.add_argument("--speakers", default=r"/([^/]+)/[^/]+$", help="its group is the speaker in a name")
    parser.add_argument("--steps", type=int, default=630, help="length of a training")
    parser.add_argument("--seed", type=int, default=0, help="training seed")
    given = parser.parse_args()
    cache = open_cache(given.cache)
    frame = cache.frame()[["utterance", "draw"]]
    frame["source"] = frame["utterance"].str.split("/").str[1]
    frame["speaker"] = [(re.search(given.speakers, name) or [name, name])[1] for name in frame["utterance"]]
    embeddings, found = cache.to_numpy(), []
    for source, rows in frame.groupby("source"):
        first, second = (rows.index[rows["draw"] == draw].to_numpy() for draw in (0, 1))
        speakers = frame["speaker"].to_numpy()[first]
        if len(first) < LEAST_UTTERANCES or not 1 < len(set(speakers)) < len(first):
            continue
        shared = frame["speaker"].isin(set(speakers)) | (frame["source"] == source)
        judged = np.stack([embeddings[first], embeddings[second]], axis=1)
        with tempfile.TemporaryDirectory() as folder:
            others = part(cache, ~shared.to_numpy(), Path(folder) / "cache")
            for name, (kind, params) in settings(given.steps, given.seed).items():
                say(f"{source}: {name}, trained on {others.info.utterances:,} utterances of other sources")
                enhancer, _ = train_on_cache(kind, others, Path(folder) / f"model of {name}", params)
                label_free, of_speakers = changes(judged, speakers, enhancer)
                line = {"source": source, "utterances": len(first), "speakers": len(set(speakers)), "enhancer": name}
                found.append(line | {"label_free": label_free, "of_speakers": of_speakers})
                print(f"{source:20} {name:22} without labels {label_free:+7.1f} %   of speakers {of_speakers:+7.1f} %")
    if len(found) > 2:
        correlation = np.corrcoef([(one["label_free"], one["of_speakers"]) for one in found], rowvar=False)[0, 1]
        print(f"correlation of the two over {len(found)} trainings: {correlation:.2f}")
    keep(given.json, {"cache": str(given.cache), "seed": given.seed, "steps": given.steps, "judged": found})


if __name__ == "__main__":
    sys.exit(main())
