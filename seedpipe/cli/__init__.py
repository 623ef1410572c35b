"""The ``seedpipe`` command. Everything heavy is imported by the command that needs it, so that --help is quick."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from seedpipe.cli.bench import bench
from seedpipe.cli.cache import app as cache_app
from seedpipe.cli.compare import calibrate, compare
from seedpipe.cli.enhance import enhance
from seedpipe.cli.export import app as export_app
from seedpipe.cli.extract import extract
from seedpipe.cli.figures import figures
from seedpipe.cli.manifest import manifest
from seedpipe.cli.network import app as network_app
from seedpipe.cli.project import doctor, init
from seedpipe.cli.recordings import embed, verify
from seedpipe.cli.report import report
from seedpipe.cli.score import score
from seedpipe.cli.tables import tables
from seedpipe.cli.train import train
from seedpipe.cli.trials import app as trials_app
from seedpipe.cli.usual import Command, Group
from seedpipe.console import Verbosity, run, set_verbosity, show

__all__ = ["app", "main"]

VERBOSITY = ("--quiet", "-q", "--verbose", "-v")


class _Commands(Group):
    """Takes the options of verbosity behind a command too."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        end = args.index("--") if "--" in args else len(args)
        moved = [one for one in args[:end] if one in VERBOSITY]
        return super().parse_args(ctx, moved + [one for one in args[:end] if one not in VERBOSITY] + args[end:])


app = typer.Typer(
    name="seedpipe",
    cls=_Commands,
    context_settings={"help_option_names": ["--help", "-h"]},
    help="Make a frozen speaker network robust: cache its embeddings once, train SEED on them, score trial lists.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
for command in (
    init,
    doctor,
    manifest,
    extract,
    train,
    score,
    embed,
    verify,
    enhance,
    compare,
    calibrate,
    report,
    figures,
    tables,
    bench,
):
    app.command(cls=Command)(command)
for group in (cache_app, export_app, network_app, trials_app):
    app.add_typer(group)


def main() -> None:
    """Entry point of the console script."""
    run(app)


def _version(asked: bool) -> None:
    if asked:
        from seedpipe import __version__

        show(__version__, f"seedpipe {__version__}", as_json=False)
        raise typer.Exit


@app.callback()
def _options(
    quiet: Annotated[
        bool,
        typer.Option("--quiet", "-q", help="No progress and no remarks; errors and results stay."),
    ] = False,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Paths, times, tracebacks of unexpected errors.")
    ] = False,
    version: Annotated[  # noqa: ARG001
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and leave.")
    ] = False,
) -> None:
    if quiet and verbose:
        raise typer.BadParameter("--quiet and --verbose contradict each other")
    set_verbosity(Verbosity.QUIET if quiet else Verbosity.VERBOSE if verbose else Verbosity.NORMAL)
