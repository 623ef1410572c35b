"""Help and completion as other commands have them: names of values in capitals, choices that a shell completes."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args, get_origin

from typer.core import TyperCommand, TyperGroup

if TYPE_CHECKING:
    from pydantic import BaseModel

__all__ = ["Command", "Group", "changes", "frontends", "networks"]

VALUES = {"bool": "", "str": "TEXT", "path": "PATH", "Path": "PATH", "int": "INTEGER", "float": "NUMBER"}
_SHOWN = re.compile(r"<(?:list\[)?(.*?)(?: range)?\]?>")


def _name_values(params: list[Any], ctx: Any) -> list[Any]:
    """Give every parameter the name of its value: INTEGER, PATH, or the choices; arguments are called by their own."""
    for one in params:
        found = _SHOWN.fullmatch(one.display_type(ctx) or "")
        if found is None:  # it has been here
            continue
        shown = VALUES.get(found[1], found[1])
        if one.param_type_name == "argument":
            one.metavar = one.metavar or one.name.upper()
            one.display_type = functools.partial(_shown, shown)
        elif one.metavar is None:
            one.metavar = shown
    return params


def _shown(text: str, _: object) -> str:
    return text


def _without_braces(pieces: list[str]) -> list[str]:
    return [re.sub(r"[{}]", "", piece) for piece in pieces]


class Command(TyperCommand):
    """A command with the usual names in its help."""

    def get_params(self, ctx: Any) -> Any:
        """All parameters, as their values are called."""
        return _name_values(super().get_params(ctx), ctx)

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """The words of the first line."""
        return _without_braces(super().collect_usage_pieces(ctx))


class Group(TyperGroup):
    """A group of commands with the usual names in its help."""

    def get_params(self, ctx: Any) -> Any:
        """All parameters, as their values are called."""
        return _name_values(super().get_params(ctx), ctx)


def changes(incomplete: str) -> list[str]:
    """Complete ``KEY=VALUE`` of ``--set``: the keys of the parameters, and the values of those that are a choice."""
    from seedpipe.params import Params

    key, equals, _ = incomplete.partition("=")
    leaves = dict(_leaves(Params))
    words = [f"{key}={value}" for value in leaves.get(key, ())] if equals else [f"{name}=" for name in leaves]
    return [word for word in words if word.startswith(incomplete)]


def _leaves(model: type[BaseModel], before: str = "") -> Iterator[tuple[str, tuple[object, ...]]]:
    """Dotted keys of parameters, each with its choices."""
    for name, field in model.model_fields.items():
        kind: Any = field.annotation
        if hasattr(kind, "model_fields"):
            yield from _leaves(kind, f"{before}{name}.")
        else:
            yield f"{before}{name}", get_args(kind) if get_origin(kind) is Literal else ()


def networks(incomplete: str) -> list[str]:
    """Complete a network: the folders of the project, and registered names."""
    from seedpipe.networks.registry import network_names

    folders = [path.as_posix() for path in sorted(Path("networks").glob("*/"))]
    return [name for name in (*folders, *network_names()) if name.startswith(incomplete)]


def frontends(incomplete: str) -> list[str]:
    """Complete a front end."""
    return [name for name in ("rnnoise", "denoiser") if name.startswith(incomplete)]
