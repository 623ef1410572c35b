"""``seedpipe bench``: the paper's Table 2 on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from seedpipe.cli import usual
from seedpipe.cli.common import Device, Json, Kind, expect_extension
from seedpipe.console import ProgressBar, guarded, show

__all__ = ["bench"]


@guarded
def bench(
    network: Annotated[
        list[str],
        typer.Option(
            autocompletion=usual.networks,
            help="Folder or ONNX file of a network, registered name or package.module:factory; repeatable.",
        ),
    ],
    enhancer: Annotated[
        list[Kind] | None, typer.Option(help="What to set behind each network, SEED by default; repeatable.")
    ] = None,
    model: Annotated[
        list[Path] | None,
        typer.Option(help="Model folder for one of both; without one the enhancer is untrained; repeatable."),
    ] = None,
    frontend: Annotated[
        str,
        typer.Option(
            autocompletion=usual.one_of(*usual.FRONTENDS),
            help="What to set in front of each network: rnnoise, denoiser or package.module:factory.",
        ),
    ] = "",
    batch: Annotated[
        list[int] | None, typer.Option(min=1, help="Utterances of one call, 1 and 32 by default; repeatable.")
    ] = None,
    seconds: Annotated[float, typer.Option(min=0.1, help="Length of an utterance.")] = 4.0,
    repeats: Annotated[int, typer.Option(min=1, help="Timed calls of each row.")] = 10,
    threads: Annotated[int, typer.Option(min=0, help="Threads of torch; 0 for its own choice.")] = 0,
    device: Annotated[Device, typer.Option(help="Where everything runs.")] = Device.auto,
    csv: Annotated[Path | None, typer.Option(help="Write the rows to this CSV file.")] = None,
    plot: Annotated[Path | None, typer.Option(help="Write a drawing to this SVG file.")] = None,
    json: Json = False,
) -> None:
    """Measure what networks cost alone, with SEED or a baseline, and behind a front end: parameters, time, peak memory.

    Example: seedpipe bench --network dvector --frontend rnnoise --plot bench.svg
    """
    expect_extension(csv, "--csv", ".csv")
    expect_extension(plot, "--plot", ".svg")

    from seedpipe.bench import Result, Setup, benchmark, format_table, systems_of, write_csv
    from seedpipe.workers import choose_device

    setup = Setup(tuple(batch or (1, 32)), seconds, repeats, threads, choose_device(device.value))
    systems = systems_of(network, model or [], frontend, [kind.value for kind in enhancer or [Kind.seed]])
    result = Result.of(list(benchmark(systems, setup, ProgressBar("bench", "rows"))), setup)
    if csv:
        write_csv(result, csv)
    if plot:
        from seedpipe.bench.chart import write_chart

        write_chart(result, plot)
    show(result.as_dict(), format_table(result), as_json=json)
