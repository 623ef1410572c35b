"""Stage ``train``: train one enhancer of one network on its cache (arguments: network, enhancer)."""

import sys
from typing import cast

from seedpipe import pipeline
from seedpipe.console import ProgressBar, resumable, run, say
from seedpipe.params import EnhancerKind, load_params
from seedpipe.project.paths import ProjectPaths


@resumable(lambda given: given["enhancer"] in ("seed", "regression"))
def main(network: str, enhancer: str) -> None:
    """Run the stage for one network and one enhancer."""
    bar = ProgressBar(f"train {network} {enhancer}", "steps")
    figures = pipeline.train(load_params(), network, cast(EnhancerKind, enhancer), ProjectPaths(), bar.training)
    for remark in figures["remarks"]:
        say(f"note: {remark}")
    for warning in figures["warnings"]:
        say(f"warning: {warning}")


if __name__ == "__main__":
    run(lambda: main(*sys.argv[1:3]))
