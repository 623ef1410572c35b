"""The ``seedpipe`` command. Everything heavy is imported by the command that needs it, so that --help is quick."""

from __future__ import annotations

import signal
import sys
from typing import Annotated

import typer

from seedpipe.cli.bench import bench
from seedpipe.cli.cache import app as cache_app
from seedpipe.cli.compare import calibrate, compare
from seedpipe.cli.enhance import enhance
from seedpipe.cli.export import app as export_app
from seedpipe.cli.extract import extract
from seedpipe.cli.manifest import manifest
from seedpipe.cli.network import app as network_app
from seedpipe.cli.project import doctor, init
from seedpipe.cli.report import report
from seedpipe.cli.score import score
from seedpipe.cli.tables import tables
from seedpipe.cli.train import train
from seedpipe.cli.trials import app as trials_app
from seedpipe.console import FAILED, Verbosity, set_verbosity, show, unexpected

__all__ = ["app", "main"]

app = typer.Typer(
    name="seedpipe",
    help="Make a frozen speaker network robust: cache its embeddings once, train SEED on them, score trial lists.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
for command in (init, doctor, manifest, extract, train, score, enhance, compare, calibrate, report, tables, bench):
    app.command()(command)
for group in (cache_app, export_app, network_app, trials_app):
    app.add_typer(group)


def main() -> None:
    """Entry point of the console script."""
    try:
        app()
    except Exception as error:  # a defect: said in one line, or with its traceback
        unexpected(error)
        sys.exit(FAILED)
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # on the way out, a second Ctrl-C has nothing left to interrupt


def _version(asked: bool) -> None:
    if asked:
        from seedpipe._version import __version__

        show(__version__, f"seedpipe {__version__}", as_json=False)
        raise typer.Exit


@app.callback()
def _options(
    quiet: Annotated[
        bool,
        typer.Option("--quiet", "-q", help="Before a command: no progress and no remarks; errors and results stay."),
    ] = False,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Before a command: paths, times, tracebacks of unexpected errors.")
    ] = False,
    version: Annotated[  # noqa: ARG001
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and leave.")
    ] = False,
) -> None:
    if quiet and verbose:
        raise typer.BadParameter("--quiet and --verbose contradict each other")
    set_verbosity(Verbosity.QUIET if quiet else Verbosity.VERBOSE if verbose else Verbosity.NORMAL)
