"""The ``seedpipe`` command. Everything heavy is imported by the command that needs it, so that --help is quick."""

from __future__ import annotations

import signal
from typing import Annotated

import typer

from seedpipe.cli.bench import bench
from seedpipe.cli.cache import app as cache_app
from seedpipe.cli.compare import calibrate, compare
from seedpipe.cli.corpus import demo_corpus, manifest
from seedpipe.cli.extract import extract
from seedpipe.cli.model import enhance, train
from seedpipe.cli.network import app as network_app
from seedpipe.cli.score import score
from seedpipe.cli.trials import app as trials_app
from seedpipe.console import show

__all__ = ["app", "main"]

app = typer.Typer(
    name="seedpipe",
    help="Make a frozen speaker network robust: cache its embeddings once, train SEED on them, score trial lists.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
app.command("demo-corpus")(demo_corpus)
for command in (manifest, extract, train, score, enhance, compare, calibrate, bench):
    app.command()(command)
for group in (cache_app, network_app, trials_app):
    app.add_typer(group)


def main() -> None:
    """Entry point of the console script."""
    try:
        app()
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # on the way out, a second Ctrl-C has nothing left to interrupt


@app.callback(invoke_without_command=True)
def _version(
    version: Annotated[bool, typer.Option("--version", help="Print the version and leave.", is_eager=True)] = False,
) -> None:
    if version:
        from seedpipe import __version__

        show(__version__, f"seedpipe {__version__}", as_json=False)
        raise typer.Exit
