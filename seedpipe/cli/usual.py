"""Help and completion as other commands have them: names of values in capitals, choices that a shell completes."""

from __future__ import annotations

import contextlib
import functools
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args, get_origin

import typer
from typer.core import TyperCommand, TyperGroup

if TYPE_CHECKING:
    from pydantic import BaseModel

__all__ = ["Command", "Group", "builtin_networks", "changes", "lists", "networks", "one_of", "variants"]

FRONTENDS = ("rnnoise", "denoiser")
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
    return one_of(*words)(incomplete)


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
    return one_of(*folders, *network_names())(incomplete)


def builtin_networks(incomplete: str) -> list[str]:
    """Complete a network that brings its own weights."""
    from seedpipe.networks.registry import network_names

    return one_of(*network_names())(incomplete)


def lists(ctx: typer.Context, incomplete: str) -> list[str]:
    """Complete an evaluation list of the data folder that stands before it."""
    from seedpipe.audio.layout import evaluation_lists

    return one_of(*evaluation_lists(_first(ctx)))(incomplete)


def variants(ctx: typer.Context, incomplete: str) -> list[str]:
    """Complete a variant of the cache that stands before it."""
    from seedpipe.cache import open_cache
    from seedpipe.errors import SeedpipeError

    with contextlib.suppress(SeedpipeError, OSError):
        return one_of(*open_cache(_first(ctx)).info.variants)(incomplete)
    return []


def _first(ctx: typer.Context) -> str:
    """The first argument, which a line that is not finished has not been given its name."""
    return next(iter(ctx.args), ".")


def one_of(*words: str) -> Callable[[str], list[str]]:
    """Complete one of some words, where something else may be given, too."""
    return lambda incomplete: [word for word in words if word.startswith(incomplete)]
