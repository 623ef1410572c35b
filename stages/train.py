"""Stage ``train``: train the enhancer of one network on its cache (argument: network)."""

import sys

from seedpipe import pipeline
from seedpipe.console import Progress, guarded
from seedpipe.layout import Places
from seedpipe.params import load_params
from seedpipe.train import Epoch


@guarded
def main(network: str) -> None:
    """Run the stage for one network."""
    draw, places = Progress(f"train {network}", "epochs"), Places()

    def progress(epoch: Epoch, total: int) -> None:
        draw(epoch.epoch, total, f", loss {epoch.loss:.4f}")

    figures = pipeline.train(load_params(), network, places, progress)
    pipeline.write_json(places.training(network), figures)


if __name__ == "__main__":
    main(sys.argv[1])
