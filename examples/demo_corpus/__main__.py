"""Build the demonstration corpus: ``python -m examples.demo_corpus FOLDER [--seed N] [--jobs N]``, in a checkout."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from examples.demo_corpus.corpus import build_demo_corpus
from seedpipe.cli.common import MAX_SEED
from seedpipe.console import ProgressBar, guarded, show
from seedpipe.errors import counted


@guarded
def main(
    folder: Annotated[Path, typer.Argument(help="Folder of the corpus; an older one there is replaced.")],
    seed: Annotated[int, typer.Option(min=0, max=MAX_SEED, help="Seed of everything in it.")] = 0,
    jobs: Annotated[int, typer.Option(min=1, help="Worker processes.")] = 2,
) -> None:
    """Make the synthetic demonstration corpus: espeak-ng voices, noise, music, rooms and a trial list."""
    made = build_demo_corpus(folder, seed=seed, jobs=jobs, progress=ProgressBar("demo-corpus", "parts"))
    show(
        None,
        f"{made.folder}: {counted(made.files, 'file')}, {made.seconds / 60:.0f} min of synthetic audio",
        as_json=False,
    )


if __name__ == "__main__":
    typer.run(main)
