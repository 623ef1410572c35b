"""``seedpipe extract``: stage one."""

from __future__ import annotations

import dataclasses
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from seedpipe.cli import usual
from seedpipe.cli.common import Changes, Device, Json, NoParams, ParamsFile, read_params
from seedpipe.console import ProgressBar, always, duration, resumable, show
from seedpipe.errors import counted

if TYPE_CHECKING:
    from seedpipe.cache import CacheKind
    from seedpipe.extract import Plan
    from seedpipe.params import ExtractParams

OF_NO_CACHE = {"preset", "networks"}  # the values of a preset stand in its place
OF_THE_OTHER_KIND = {"training": {"evaluation"}, "evaluation": {"crop_samples", "draws", "variants", "seed"}}


class Backend(StrEnum):
    """Values of ``machine.backend``."""

    loky = "loky"
    ray = "ray"
    dask = "dask"


@resumable(always)
def extract(
    manifests: Annotated[Path, typer.Argument(help="Folder that 'seedpipe manifest' wrote.")],
    out: Annotated[Path, typer.Argument(help="Folder of the cache; it appears when it is complete.")],
    network: Annotated[
        str,
        typer.Option(
            autocompletion=usual.networks,
            help="Folder or ONNX file of a network, registered name or package.module:factory.",
        ),
    ] = "dvector",
    frontend: Annotated[
        str | None,
        typer.Option(
            autocompletion=usual.one_of(*usual.FRONTENDS),
            help="Speech enhancement before the network: rnnoise, denoiser or package.module:factory.",
        ),
    ] = None,
    evaluation: Annotated[
        bool, typer.Option("--evaluation", help="Evenly spaced crops under every condition, for scoring.")
    ] = False,
    jobs: Annotated[int | None, typer.Option(min=0, help="Worker processes; 0 for one per core.")] = None,
    backend: Annotated[
        Backend | None, typer.Option(help="Where workers run: this machine (loky), a Ray or a Dask cluster.")
    ] = None,
    address: Annotated[str | None, typer.Option(help="Address of an existing Ray or Dask cluster.")] = None,
    device: Annotated[Device | None, typer.Option(help="Where the network runs.")] = None,
    batch: Annotated[int | None, typer.Option(min=1, help="Waveforms mixed ahead of the network.")] = None,
    shard: Annotated[
        str, typer.Option(metavar="I/N", help="Make the I-th of N parts only; a run without this option completes.")
    ] = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say how much there is to do, and do nothing.")] = False,
    params: ParamsFile = None,
    no_params: NoParams = False,
    changes: Changes = None,
    json: Json = False,
) -> None:
    """Cache the embeddings of a corpus. A second run goes on where the first one stopped.

    Options that are left out have the values of the parameters.

    Example: seedpipe extract data_manifests/train cache/dvector/train --network dvector
    """
    from seedpipe import extract as stage
    from seedpipe.pipeline import keep_for_dvc

    loaded = read_params(params, no_params, changes, ("extract", "machine"), {"extract.networks": "--network"})
    given = {"jobs": jobs, "backend": backend, "address": address, "device": device, "batch": batch}
    machine = loaded.machine.model_copy(
        update={name: getattr(value, "value", value) for name, value in given.items() if value is not None}
    )
    if address and machine.backend == "loky":
        raise typer.BadParameter("goes with --backend ray or dask", param_hint="--address")
    kind: CacheKind = "evaluation" if evaluation else "training"
    settings = loaded.extract if frontend is None else loaded.extract.model_copy(update={"frontend": frontend})
    arguments = (manifests, network, out, settings)
    if dry_run:
        plan = stage.plan(*arguments, kind=kind, machine=machine)
        show(dataclasses.asdict(plan), _plan_text(plan), as_json=json)
        return
    progress = ProgressBar("extract", "utterances")
    if shard:
        made = stage.extract_part(*arguments, part=_part(shard), kind=kind, machine=machine, progress=progress)
        result = {"part": shard, "shards": made}
        show(
            result,
            f"part {shard}: {counted(made, 'shard')}; the same command without --shard completes {out}",
            as_json=json,
        )
        return
    cache = stage.extract(*arguments, kind=kind, machine=machine, progress=progress)
    info, kept = cache.info, keep_for_dvc(cache)
    result = {"cache": str(out), "rows": len(cache), "variants": info.variants, "skipped": info.skipped}
    lines = [repr(cache), *stage.remarks(info, manifests)]
    if kept:
        lines.append(_next(out, kept, settings, kind))
        result["kept"] = str(kept)
    show(result | {"resampled": info.resampled}, "\n".join(lines), as_json=json)


def _next(out: Path, kept: Path, settings: ExtractParams, kind: CacheKind) -> str:
    """What the pipeline of the project will make of a cache that is kept for it: nothing, of other parameters."""
    from seedpipe.params import load_params

    project = kept.absolute().parents[2] / "params.yaml"
    own = load_params(project if project.is_file() else None).extract
    given = {name: value for name, value in settings if name not in OF_NO_CACHE | OF_THE_OTHER_KIND[kind]}
    other = [f"extract.{name}" for name, value in given.items() if value != getattr(own, name)]
    if other:
        return (
            f"next: dvc repro, which takes the cache over from {kept} only where params.yaml says the same; it has "
            f"other values of {', '.join(other)}"
        )
    return (
        f"next: dvc repro, which empties {out} first and takes the cache over from {kept}; the same files, which may "
        "go once it has ended"
    )


def _part(text: str) -> tuple[int, int]:
    number, slash, count = text.partition("/")
    if not (slash and number.isdecimal() and count.isdecimal() and 1 <= int(number) <= int(count)):
        raise typer.BadParameter(f"{text!r} is not I/N with 1 <= I <= N, as 3/16", param_hint="--shard")
    return int(number), int(count)


def _plan_text(plan: Plan) -> str:
    left = plan.shards - plan.finished_shards
    return "\n".join(
        [
            f"{counted(plan.utterances, 'utterance')}, {plan.hours:,.2f} h of audio",
            f"{counted(plan.rows, 'row')} x {plan.variants} variants, {plan.bytes / 1e9:,.3f} GB of embeddings",
            f"{counted(plan.shards, 'shard')}, {plan.finished_shards:,} of them finished",
            f"about {duration(plan.seconds)} for the {left:,} missing: {plan.waveforms_per_second:,.0f} waveforms/s in "
            f"one forward pass on one thread ({plan.device}), {counted(plan.workers, 'worker')}; decoding and"
            " mixing add to it",
        ]
    )
