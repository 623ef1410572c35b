"""Stage ``score``: score one evaluation list with one network, alone and with one enhancer.

Arguments: network, enhancer, list.
"""

import sys

from seedpipe import pipeline
from seedpipe.console import guarded, run
from seedpipe.params import load_params
from seedpipe.project.paths import ProjectPaths


@guarded
def main(network: str, enhancer: str, name: str) -> None:
    """Run the stage for one network, one enhancer and one list."""
    evaluations = pipeline.score(load_params(), network, enhancer, name, ProjectPaths())
    pipeline.draw(evaluations, network, enhancer, ProjectPaths())


if __name__ == "__main__":
    run(lambda: main(*sys.argv[1:4]))
