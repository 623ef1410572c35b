"""Stage ``extract``: cache the embeddings of one network on one corpus (arguments: network, corpus)."""

import sys

from seedpipe import pipeline
from seedpipe.console import ProgressBar, always, resumable, run, say
from seedpipe.params import load_params
from seedpipe.project.paths import ProjectPaths


@resumable(always)
def main(network: str, corpus: str) -> None:
    """Run the stage for one network and one corpus."""
    progress = ProgressBar(f"extract {network} {corpus}", "utterances")
    for remark in pipeline.extract(load_params(), network, corpus, ProjectPaths(), progress):
        say(remark)


if __name__ == "__main__":
    run(lambda: main(*sys.argv[1:3]))
