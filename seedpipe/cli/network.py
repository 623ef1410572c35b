"""``seedpipe network``: list, describe, check and convert speaker networks."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from seedpipe.cli import usual
from seedpipe.cli.common import Json
from seedpipe.cli.usual import Command, Group
from seedpipe.console import complain, guarded, show

if TYPE_CHECKING:
    from seedpipe.networks import SpeakerNetwork

__all__ = ["app"]

app = typer.Typer(
    cls=Group, name="network", help="List, describe, check and convert speaker networks.", no_args_is_help=True
)

Spec = Annotated[
    str,
    typer.Argument(
        metavar="NETWORK",
        autocompletion=usual.networks,
        help="A folder, a name, package.module:factory or an .onnx file.",
    ),
]
Folder = Annotated[Path, typer.Argument(help="Folder of the network, as networks/NAME; an older one is replaced.")]


class Architecture(StrEnum):
    """Kinds of checkpoints that can be converted."""

    resnet34 = "resnet34"
    ecapa = "ecapa"
    wavlm_ecapa = "wavlm_ecapa"
    campplus = "campplus"
    resnet34_drl = "resnet34_drl"
    ecapa_drl = "ecapa_drl"


@app.command("list", cls=Command)
@guarded
def list_networks(
    folder: Annotated[Path, typer.Argument(help="Where the folders of networks are.")] = Path("networks"),
    json: Json = False,
) -> None:
    """List the networks of the project, those built in and those of installed packages.

    Example: seedpipe network list
    """
    from seedpipe import networks

    rows = networks.list_networks(folder)
    show(rows, "\n".join(_line(row) for row in rows), as_json=json)


@app.command(cls=Command)
@guarded
def info(network: Spec, json: Json = False) -> None:
    """Describe a network.

    Example: seedpipe network info networks/resnet34
    """
    from seedpipe.networks import describe_network, load_network

    result = describe_network(load_network(network))
    show(result, _table(result), as_json=json)


@app.command(cls=Command)
@guarded
def check(network: Spec, json: Json = False) -> None:
    """Run a network on a synthetic signal and try what the pipeline relies on. Exit code 1 when something fails.

    Example: seedpipe network check networks/resnet34
    """
    from seedpipe.networks import check_network, load_network, self_test, stored_self_test

    loaded = load_network(network)
    checks = check_network(loaded, stored_self_test(network))
    passed = all(each.passed for each in checks)
    values = self_test(loaded)
    result = {"network": network, "passed": passed, "self_test": values, "checks": [vars(each) for each in checks]}
    lines = [f"{'ok' if each.passed else 'FAILED':6}  {each.name}: {each.detail}" for each in checks]
    lines.append(f"self-test: {' '.join(f'{value:g}' for value in values)}")
    show(result, "\n".join(lines), as_json=json)
    if not passed:
        failed = ", ".join(each.name for each in checks if not each.passed)
        complain(f"seedpipe: error: {network} fails: {failed}")
        raise typer.Exit(1)


@app.command(cls=Command)
@guarded
def convert(
    checkpoint: Annotated[Path, typer.Argument(help="A file of torch.save, or .safetensors.")],
    folder: Folder,
    kind: Annotated[Architecture | None, typer.Option(help="Guessed when left out.")] = None,
    argument: Annotated[
        list[str] | None, typer.Option(help="Of campplus: features=3dspeaker|sherpa (docs/networks.md).")
    ] = None,
    json: Json = False,
) -> None:
    """Make a network from a published checkpoint. Nothing in it is unpickled.

    Example: seedpipe network convert official_resnetse34V2.model networks/resnet34
    """
    from seedpipe.networks import convert_checkpoint

    arguments = _arguments(argument or [])
    _made(folder, convert_checkpoint(checkpoint, folder, kind.value if kind else None, arguments), json=json)


@app.command(cls=Command)
@guarded
def add(
    folder: Folder,
    factory: Annotated[str | None, typer.Option(help="package.module:factory.")] = None,
    onnx: Annotated[Path | None, typer.Option(help="An ONNX file.")] = None,
    speechbrain: Annotated[Path | None, typer.Option(help="A SpeechBrain folder.")] = None,
    builtin: Annotated[
        str | None,
        typer.Option(
            autocompletion=usual.builtin_networks, help="A name that seedpipe network list shows as built in."
        ),
    ] = None,
    argument: Annotated[
        list[str] | None,
        typer.Option(
            help="NAME=VALUE for the factory; of ONNX features=waveform|wespeaker|3dspeaker|sherpa, sample_rate=N; of"
            " campplus features=3dspeaker|sherpa; repeatable."
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Make a network that brings its own weights.

    Example: seedpipe network add networks/eres2net --onnx eres2net.onnx --argument features=3dspeaker
    """
    from seedpipe.networks import add_network

    sources = {"factory": factory, "onnx": onnx, "speechbrain": speechbrain, "builtin": builtin}
    given = [(kind, str(source)) for kind, source in sources.items() if source is not None]
    if len(given) != 1:
        raise typer.BadParameter("give one of --factory, --onnx, --speechbrain and --builtin")
    kind, source = given[0] if builtin is None else (builtin, "")
    _made(folder, add_network(folder, kind, source, _arguments(argument or [])), json=json)


def _arguments(texts: list[str]) -> dict[str, Any]:
    """Read NAME=VALUE; a value that is a JSON number or truth value is one."""
    import json

    arguments: dict[str, Any] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name.isidentifier():
            raise typer.BadParameter(f"{text!r} is not NAME=VALUE", param_hint="--argument")
        try:
            parsed = json.loads(value)
        except ValueError:
            parsed = value
        arguments[name] = parsed if isinstance(parsed, int | float | bool) else value
    return arguments


def _made(folder: Path, network: SpeakerNetwork, *, json: bool) -> None:
    from seedpipe.networks import describe_network

    result = {"folder": str(folder)} | describe_network(network)
    given = f"{result['input']}, " if "input" in result else ""
    text = f"{folder}: {result['kind']}, {given}{result['dimension']}-d, fingerprint {result['fingerprint'][:16]}"
    show(result, text, as_json=json)


def _table(result: dict[str, Any]) -> str:
    return "\n".join(f"{key:12}  {_text(value)}" for key, value in result.items())


def _line(row: dict[str, Any]) -> str:
    dimension = f"{row['dimension']}-d" if row["dimension"] else ""
    return f"{row['network']:32}  {row['kind']:12}  {dimension}".rstrip()


def _text(value: object) -> str:
    return "unknown" if value is None else f"{value:,}" if isinstance(value, int) else str(value)
