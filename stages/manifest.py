"""Stage ``manifest``: list the audio of the training corpus or of an evaluation list (argument: train, or its name)."""

import sys

from seedpipe import pipeline
from seedpipe.audio.layout import TRAIN
from seedpipe.console import ProgressBar, guarded, run, say
from seedpipe.params import load_params
from seedpipe.project.paths import ProjectPaths


@guarded
def main(name: str) -> None:
    """Run the stage for one corpus."""
    params, out, progress = load_params(), ProjectPaths().manifests(name), ProgressBar(f"manifest {name}", "files")
    remarks = (
        pipeline.training_manifests(params, out, progress)
        if name == TRAIN
        else pipeline.evaluation_manifests(params, name, out, progress)
    )
    for remark in remarks:
        say(remark)


if __name__ == "__main__":
    run(lambda: main(sys.argv[1]))
