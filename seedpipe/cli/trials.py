"""``seedpipe trials``: check and make trial lists."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from seedpipe.cli.common import MAX_SEED, Json, expect_apart
from seedpipe.cli.usual import Command, Group
from seedpipe.console import guarded, say, show
from seedpipe.errors import counted

if TYPE_CHECKING:
    from seedpipe.scoring.trials import TrialCheck

__all__ = ["app"]

app = typer.Typer(cls=Group, name="trials", help="Check and make trial lists.", no_args_is_help=True)

Out = Annotated[Path, typer.Argument(help="The new list, lines 'label enrol test'.")]


@app.command(cls=Command)
@guarded
def check(
    trials: Annotated[Path, typer.Argument(metavar="LIST", help="Trial list; text, csv or tsv, .gz or not.")],
    cache: Annotated[Path | None, typer.Option(help="Evaluation cache that has to hold the utterances.")] = None,
    manifest: Annotated[Path | None, typer.Option(help="Manifest that has to name the utterances.")] = None,
    json: Json = False,
) -> None:
    """Say what a list holds and what is wrong with it, before anything is computed.

    Exit code 1 when the list cannot be scored.

    Example: seedpipe trials check data/demo/eval/trials_demo.txt --cache cache/dvector/demo
    """
    from seedpipe.scoring.trials import check_trials, utterances_of

    if cache and manifest:
        raise typer.BadParameter("give --cache or --manifest, not both")
    found = check_trials(trials, *utterances_of(cache, manifest))
    show(found.as_dict(), _described(found), as_json=json)
    if not found.usable:
        raise typer.Exit(1)


@app.command(cls=Command)
@guarded
def make(
    table: Annotated[Path, typer.Argument(help="csv with the columns utterance and speaker, as a manifest has.")],
    out: Out,
    targets: Annotated[int, typer.Option(min=1, help="Target trials.")] = 1000,
    nontargets: Annotated[int, typer.Option(min=1, help="Non-target trials.")] = 1000,
    same: Annotated[
        list[str] | None,
        typer.Option(help="Column in which both sides of a non-target trial agree, as gender; may be repeated."),
    ] = None,
    per_speaker: Annotated[
        int | None, typer.Option(min=1, help="At most so many trials of each kind with one speaker.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, max=MAX_SEED, help="Seed of the draws.")] = 0,
    json: Json = False,
) -> None:
    """Draw a list from a labelled table.

    Example: seedpipe trials make speakers.csv trials_mine.txt --targets 5000 --nontargets 5000 --same gender
    """
    from seedpipe.scoring.trials import make_trials, read_speakers, write_trials

    expect_apart(out, [table], "OUT")
    frame = read_speakers(table)
    lines = make_trials(frame, targets, nontargets, same=same or (), per_speaker=per_speaker, seed=seed)
    write_trials(lines, out)
    show(_result(out, lines), f"{out}: {targets:,} target and {counted(nontargets, 'non-target trial')}", as_json=json)


@app.command("make-vcmix", cls=Command)
@guarded
def make_vcmix(
    vox1_o: Annotated[Path, typer.Argument(help="The cleaned Vox1-O list; its target trials are taken.")],
    voxconverse: Annotated[Path, typer.Argument(help="The VoxConverse list; its non-target trials are taken.")],
    out: Out,
    vox1_folder: Annotated[str, typer.Option(help="Put before the names of Vox1-O.")] = "",
    voxconverse_folder: Annotated[str, typer.Option(help="Put before the names of VoxConverse.")] = "",
    json: Json = False,
) -> None:
    """Make VC-Mix: 18,802 target trials of Vox1-O and 140,734 non-target trials of VoxConverse, 159,536 in all.

    Example: seedpipe trials make-vcmix veri_test2.txt voxconverse.txt eval/trials_vcmix.txt --vox1-folder vox1
    """
    from seedpipe.scoring import trials

    expect_apart(out, [vox1_o, voxconverse], "OUT")
    lines, note = trials.make_vcmix(vox1_o, voxconverse, vox1_folder=vox1_folder, voxconverse_folder=voxconverse_folder)
    trials.write_trials(lines, out)
    if note:
        say(f"seedpipe: warning: {note}")
    show(_result(out, lines) | {"note": note}, f"{out}: {counted(len(lines), 'trial')}", as_json=json)


def _result(out: Path, lines: Sequence[tuple[int, str, str]]) -> dict[str, object]:
    targets = sum(label for label, _, _ in lines)
    return {"list": str(out), "trials": len(lines), "targets": targets, "nontargets": len(lines) - targets}


def _described(found: TrialCheck) -> str:
    kinds = (
        "blind: scores, no error rates" if found.blind else f"{found.targets:,} target, {found.nontargets:,} non-target"
    )
    lines = [f"{found.path}: {counted(found.trials, 'trial')} ({kinds}) over {counted(found.utterances, 'utterance')}"]
    lines.append(f"SHA-256 of the trials: {found.digest}")
    if found.known:
        lines.append(f"note: the list {found.known}")
    if found.rule:
        lines.append(f"names are found by: {found.rule}")
    lines += [f"{finding.severity}: {finding.text}" for finding in found.findings]
    lines.append("usable" if found.usable else "not usable")
    return "\n".join(lines)
