"""What was tried, and the ablations: every setting trained on one cache and scored on every list of a data folder.

    python benchmarks/experiments.py --data DIR [--seeds 0 1 2] [--groups objective draws] [--csv docs/experiments.csv]

DIR has the layout of docs/data.md. The training cache has 20 draws of each utterance, of which a setting takes 10
unless it says otherwise; all settings but the two presets take the same number of steps. A row is a setting, a training
seed and a list: mean relative reduction of the EER under mismatch with the 95 % interval of 1,000 bootstrap resamplings
of the speakers, the same of minDCF (P_target 0.05, without interval), and the paired difference of the clean EER in
percentage points. Rows are written as they come, and what the file holds already is not run again.
"""

from __future__ import annotations

import argparse
import csv
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from _common import HERE, Paths, on_data, prepare, reader
from torch import Tensor

from seedpipe import metrics
from seedpipe.audio import layout
from seedpipe.cache import Cache, open_cache
from seedpipe.console import ProgressBar, guarded, say
from seedpipe.enhancers import train
from seedpipe.enhancers.seed import Enhancer
from seedpipe.params import Params, TrainParams, load_params
from seedpipe.project.paths import ProjectPaths
from seedpipe.scoring import CropEmbeddings, load_crops, score_conditions
from seedpipe.scoring.trials import Trials, read_trials

NETWORK, DRAWS, MOST_DRAWS, EPOCHS = "dvector", 10, 20, 30
Kind = Literal["seed", "regression"]


@dataclass(frozen=True)
class Setting:
    """One training, or another use (``use``) of the training that the preset gives."""

    group: str
    name: str
    kind: Kind = "seed"
    train: dict[str, Any] = field(default_factory=dict)
    use: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Figures:
    """One line of the table; reductions are fractions, differences are in percentage points."""

    group: str
    setting: str
    seed: int
    list: str
    reduction: float
    reduction_low: float
    reduction_high: float
    min_dcf_reduction: float
    clean_difference: float
    clean_low: float
    clean_high: float
    min_dcf_worse_in: str
    train_seconds: float


# All but the last group: the MLP alone, mixed with the original in its own space, as when these were chosen.
BEFORE: dict[str, Any] = {
    "skip": "none", "safeguard": False, "ensemble": 0.5, "adaptive_ensemble": True, "shrinkage": 0.75
}  # fmt: skip
NOW: dict[str, Any] = {"safeguard": False, "ensemble": 1.0, "adaptive_ensemble": False, "shrinkage": 0.5}


def settings() -> Iterator[Setting]:
    """Everything that is compared; the first one is the preset ``seedpipe``."""
    yield Setting("objective", "diffusion (preset seedpipe)")
    yield Setting("objective", "regression by the same MLP", kind="regression")
    yield Setting("objective", "diffusion, output network", use={"output": "network"})
    yield Setting("objective", "regression, output network", kind="regression", use={"output": "network"})
    yield Setting("objective", "preset paper", train={"preset": "paper"})
    yield Setting("objective", "preset official", train={"preset": "official"})
    for variants in (("noise",), ("noise", "music"), ("noise", "music", "reverb")):
        yield Setting("variants", f"N = {len(variants)}: {', '.join(variants)}", train={"variants": variants})
    for draws in (1, 2, 5, 20):
        epochs = EPOCHS * DRAWS // draws
        yield Setting("draws", f"K = {draws}, {epochs} epochs", train={"draws": draws, "epochs": epochs})
    for name in ("l1", "mse", "huber"):
        yield Setting("loss", f"loss {name}", train={"loss": name})
    for name in ("epsilon", "v"):
        yield Setting("loss", f"prediction {name}", train={"prediction": name})
    yield Setting("loss", "normalize length", train={"normalize": "length"})
    yield Setting("loss", "no moving average of the weights", train={"ema_decay": 0.0})
    yield Setting("loss", "cosine schedule of the noise", train={"beta_schedule": "squaredcos_cap_v2"})
    yield Setting("ensemble", "fixed share 0.5", use={"adaptive_ensemble": False})
    yield Setting(
        "ensemble", "no share of the original before whitening", use={"adaptive_ensemble": False, "ensemble": 1.0}
    )
    yield Setting("ensemble", "output network, no ensemble",
                  use={"adaptive_ensemble": False, "ensemble": 1.0, "output": "network"})  # fmt: skip
    for shrinkage in (0.25, 0.5, 0.9, 1.0):
        yield Setting("ensemble", f"shrinkage {shrinkage:g}", use={"shrinkage": shrinkage})
    for t in (1, 10, 100, 200, 400, 600):
        yield Setting("timestep", f"t = {t}", use={"inference_step": t})
    yield Setting("timestep", "t = 50, sampled noise", use={"inference_noise": "sampled"})
    yield Setting("timestep", "t = 50, mean of 8 noises", use={"inference_noise": "sampled", "inference_draws": 8})
    for t in (50, 200):
        yield Setting("timestep", f"t = {t}, DDIM in 10 steps", use={"inference_step": t, "inference_steps": 10})
    for skip in ("contrast", "ridge"):
        for residual in (0.0, 0.5, 1.0):
            update = NOW | {"skip": skip, "residual": residual}
            yield Setting("skip", f"linear skip by {skip}, {residual:g} of the MLP", train=update)


@dataclass(frozen=True)
class EvaluationList:
    """One list, and what the network alone scores on it."""

    name: str
    crops: CropEmbeddings
    trials: Trials
    bootstrap: metrics.SpeakerBootstrap
    alone: dict[str, Any]

    @classmethod
    def read(cls, name: str, paths: ProjectPaths, params: Params) -> EvaluationList:
        """Read the cache of a list and score it without an enhancer."""
        trials = read_trials(layout.trial_list(params.manifest.root, name)).expect_labels()
        crops = load_crops(open_cache(paths.cache(NETWORK, name)))
        speakers = trials.speakers()
        sides = speakers[trials.enrol], speakers[trials.test]
        bootstrap = metrics.SpeakerBootstrap(*sides, params.score.bootstrap, params.score.seed, p_target=0.05)
        return cls(name, crops, trials, bootstrap, score_conditions(crops, trials, "cosine"))

    def judge(self, setting: Setting, seed: int, enhancer: Enhancer, seconds: float) -> Figures:
        """Score an enhancer."""
        generator = torch.Generator().manual_seed(0)
        enhanced = self.crops.through(lambda embeddings: enhancer(embeddings, generator))
        after = score_conditions(enhanced, self.trials, "cosine")
        labels, mismatch = self.trials.labels, [name for name in self.alone if name != "clean"]
        reduction = self.bootstrap.mean_relative_reduction([(self.alone[c], after[c]) for c in mismatch], labels)
        clean = self.bootstrap.paired(self.alone["clean"], after["clean"], labels, "eer")
        before_dcf, after_dcf = (
            np.array([metrics.min_dcf(scores[c], labels) for c in mismatch]) for scores in (self.alone, after)
        )
        worse = [c for c, old, new in zip(mismatch, before_dcf, after_dcf, strict=True) if new > old]
        return Figures(
            setting.group, setting.name, seed, self.name,
            reduction.value, reduction.low, reduction.high, float(np.mean(1 - after_dcf / before_dcf)),
            100 * clean.difference, 100 * clean.low, 100 * clean.high, " ".join(worse), round(seconds, 1),
        )  # fmt: skip


class Trainings:
    """Trainings of one seed; the one of the preset is kept for the settings that only use it otherwise."""

    def __init__(self, cache: Cache, params: TrainParams, seed: int, work: Path) -> None:
        self.cache, self.work = cache, work
        self.params = params.replace(seed=seed, draws=DRAWS, epochs=EPOCHS, **BEFORE)
        self.kept: dict[Kind, tuple[Enhancer, float]] = {}

    def of(self, setting: Setting) -> tuple[Enhancer, float]:
        """Train, unless only the use differs; gives the seconds too."""
        if setting.train:
            return self._train(setting.kind, self._asked(setting.train))
        if setting.kind not in self.kept:
            self.kept[setting.kind] = self._train(setting.kind, self.params)
        enhancer, seconds = self.kept[setting.kind]
        return (self._used(enhancer, setting.use) if setting.use else enhancer), seconds

    def _asked(self, update: dict[str, Any]) -> TrainParams:
        if "preset" in update:  # everything else as the preset has it
            return TrainParams(preset=update["preset"], seed=self.params.seed, draws=DRAWS)
        return TrainParams.model_validate(self.params.model_dump() | update)

    def _train(self, kind: Kind, params: TrainParams) -> tuple[Enhancer, float]:
        started = time.monotonic()
        bar = ProgressBar("train", "steps")
        enhancer, _ = train(self.cache, self.work, params, kind=kind, progress=bar.training)
        return enhancer, time.monotonic() - started

    def _used(self, enhancer: Enhancer, use: dict[str, Any]) -> Enhancer:
        """The same weights in another use; what the enhancer notes of training embeddings is noted again."""
        params = TrainParams.model_validate(enhancer.config.train.model_dump() | use)
        config = enhancer.config.model_copy(update={"train": params})
        return Enhancer(enhancer.module, config).calibrated(*self._rows())

    def _rows(self) -> tuple[Tensor, Tensor]:
        """All rows of the draws in use; the held-out utterances among them make no difference that could be seen."""
        frame = self.cache.frame()
        rows = np.flatnonzero(frame["draw"].to_numpy() < DRAWS)
        return self.cache.to_torch()[rows], torch.tensor(frame["utterance"].factorize()[0][rows])


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = reader(__doc__, json=False)
    parser.add_argument("--data", type=Path, required=True, help="data folder, see docs/data.md")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2], help="training seeds")
    parser.add_argument("--groups", nargs="+", help="only these groups of settings")
    parser.add_argument("--csv", type=Path, default=HERE / "docs" / "experiments.csv", help="table to fill")
    parser.add_argument("--work", type=Path, default=HERE / "build" / "experiments", help="folder for caches")
    return parser.parse_args()


def done(path: Path) -> set[tuple[str, int]]:
    """Settings and seeds that the table has already."""
    if not path.exists():
        return set()
    with path.open(newline="", encoding="utf-8") as file:
        return {(row["setting"], int(row["seed"])) for row in csv.DictReader(file)}


def append(path: Path, rows: list[Figures]) -> None:
    """Add lines to the table."""
    new = not path.exists()
    with path.open("a", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, [part.name for part in fields(Figures)], lineterminator="\n")
        if new:
            writer.writeheader()
        writer.writerows({k: f"{v:.5g}" if isinstance(v, float) else v for k, v in asdict(row).items()} for row in rows)


@guarded
def main() -> None:
    """Run what the table lacks."""
    given = arguments()
    params = on_data(
        load_params(HERE / "params.yaml"), given.data, extract={"networks": (NETWORK,), "draws": MOST_DRAWS}
    )
    paths = Paths(given.work)
    prepare(params, paths)
    lists = [EvaluationList.read(name, paths, params) for name in params.manifest.evaluations]
    cache = open_cache(paths.cache(NETWORK, layout.TRAIN))
    for seed in given.seeds:
        trainings = Trainings(cache, params.train, seed, given.work / "model")
        for setting in settings():
            if (given.groups and setting.group not in given.groups) or (setting.name, seed) in done(given.csv):
                continue
            enhancer, seconds = trainings.of(setting)
            rows = [one.judge(setting, seed, enhancer, seconds) for one in lists]
            append(given.csv, rows)
            for row in rows:
                clean = f"clean {row.clean_difference:+.2f}"
                say(f"seed {seed}, {setting.name}, {row.list}: {100 * row.reduction:.1f} %, {clean}")


if __name__ == "__main__":
    sys.exit(main())
