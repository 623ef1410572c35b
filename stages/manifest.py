"""Stage ``manifest``: list the audio of the training corpus or of an evaluation list (argument: train, or its name)."""

import sys

from seedpipe import pipeline
from seedpipe.audio.layout import TRAIN
from seedpipe.console import ProgressBar, guarded, say
from seedpipe.params import load_params
from seedpipe.project.paths import ProjectPaths


@guarded
def main(name: str) -> None:
    """Run the stage for one corpus."""
    params, out, progress = load_params(), ProjectPaths().manifests(name), ProgressBar(f"manifest {name}", "files")
    if name != TRAIN:
        pipeline.evaluation_manifests(params, name, out, progress)
        return
    for error in pipeline.training_manifests(params, out, progress):
        say(f"left out: {error}")


if __name__ == "__main__":
    main(sys.argv[1])
