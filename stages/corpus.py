"""Stage ``corpus``: build the demonstration corpus if it is the one asked for, and describe the data folder."""

from pathlib import Path

from seedpipe import pipeline
from seedpipe.console import Progress, guarded
from seedpipe.params import load_params


@guarded
def main() -> None:
    """Run the stage."""
    pipeline.corpus(load_params(), Path("data/audio.json"), Progress("corpus", "parts"))


if __name__ == "__main__":
    main()
