"""What several benchmarks share: command line, parameters on another data folder, and the stages in a row."""

from __future__ import annotations

import argparse
import itertools
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from seedpipe import pipeline
from seedpipe.audio import layout
from seedpipe.console import ProgressBar, say
from seedpipe.params import EnhancerKind, Params, TrainParams
from seedpipe.project.paths import ProjectPaths

HERE = Path(__file__).resolve().parents[1]
PARAMS = HERE / "params.yaml"


@dataclass(frozen=True)
class Paths(ProjectPaths):
    """Folders of a benchmark; its networks are those of the repository and of the folders that were named."""

    folders: dict[str, Path] = field(default_factory=dict)

    def network(self, name: str) -> str:
        """What to load a network by: its folder, or its name where it has none."""
        folder = self.folders.get(name, HERE / "networks" / name)
        return str(folder) if folder.is_dir() else name


def named(network: str) -> tuple[str, dict[str, Path]]:
    """The name of a network that was given by name or by folder, and the folder under that name."""
    for folder in (Path(network), HERE / network):
        if folder.is_dir():
            return folder.resolve().name, {folder.resolve().name: folder.resolve()}
    return network, {}


def reader(description: str | None, *, json: bool = True) -> argparse.ArgumentParser:
    """A parser that prints a module's text as it stands."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    if json:
        parser.add_argument("--json", type=Path, help="write the figures to this file")
    return parser


def keep(path: Path | None, figures: dict[str, Any]) -> None:
    """Write the figures to the file of ``--json``, if one was given."""
    if path:
        pipeline.write_json(path, figures)
        say(f"figures: {path}")


def on_data(params: Params, data: Path, **sections: dict[str, Any]) -> Params:
    """Parameters with another data folder, all its evaluation lists, and other values in some sections."""
    root = data.resolve()
    sections["manifest"] = {"root": root, "evaluations": layout.evaluation_lists(root)}
    update = {name: getattr(params, name).model_copy(update=values) for name, values in sections.items()}
    return params.model_copy(update=update)


def training_length(given: argparse.Namespace) -> dict[str, int]:
    """Keys of ``train`` for --steps; the default length, not that of the demonstration, with the repository's file."""
    steps = given.steps or (TrainParams().steps if given.params == PARAMS else 0)
    return {"steps": steps, "epochs": 0} if steps else {}


def prepare(params: Params, paths: ProjectPaths, *, train: bool = True) -> None:
    """Write manifests and caches, unless not ``train`` of the training data too; complete ones are used as they are."""
    layout.describe_folders(params.manifest.root)
    if train:
        pipeline.training_manifests(params, paths.manifests(layout.TRAIN), ProgressBar("manifest train", "files"))
    for name in params.manifest.evaluations:
        pipeline.evaluation_manifests(params, name, paths.manifests(name), ProgressBar(f"manifest {name}", "files"))
    corpora = (layout.TRAIN,) * train + params.manifest.evaluations
    for network, name in itertools.product(params.extract.networks, corpora):
        pipeline.extract(params, network, name, paths, ProgressBar(f"extract {network} {name}", "utterances"))


def train_and_score(
    params: Params, paths: ProjectPaths, network: str, enhancer: EnhancerKind, *, train: bool = True
) -> None:
    """Train one enhancer of one network, or take the one that is there, and score every list."""
    if train:
        bar = ProgressBar(f"train {network} {enhancer}", "steps")
        pipeline.train(params, network, enhancer, paths, bar.training)
    for name in params.manifest.evaluations:
        pipeline.score(params, network, enhancer, name, paths)
        say(f"scored {network}, {enhancer}, {name}: {paths.results(network, enhancer, name)}")
