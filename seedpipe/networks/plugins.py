"""Factories by name: built in, registered by an installed package, or ``package.module:factory``."""

from __future__ import annotations

import importlib
import importlib.metadata
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from seedpipe.errors import SeedpipeError

__all__ = ["Plugins"]


@dataclass(frozen=True)
class Plugins:
    """The factories of one kind of thing.

    Parameters
    ----------
    kind : str
        What they make, for messages.
    error : type of SeedpipeError
        What is raised where one cannot be used.
    group : str
        Entry-point group in which packages register theirs.
    built_in : mapping of str to str
        ``package.module:factory`` by name.
    """

    kind: str
    error: type[SeedpipeError]
    group: str
    built_in: Mapping[str, str]

    def names(self) -> list[str]:
        """Names of all factories: built in, then registered by installed packages."""
        return [*self.built_in, *sorted(self._registered().keys() - self.built_in.keys())]

    def knows(self, name: str) -> bool:
        """Whether it is one of the names, or the place of a factory."""
        return ":" in self._target(name)

    def make(self, name: str, *arguments: object, **keywords: object) -> object:
        """Call a factory that is known.

        Raises
        ------
        SeedpipeError
            The factory cannot be imported or fails; one that it raises itself passes.
        """
        factory = self._factory(name)
        try:
            return factory(*arguments, **keywords)
        except SeedpipeError:
            raise
        except Exception as error:
            raise self.error(
                f"the factory of the {self.kind} {name!r} failed: {error}", remedy="call it in Python"
            ) from error

    def _factory(self, name: str) -> Callable[..., object]:
        module, _, attribute = self._target(name).partition(":")
        try:
            factory: Callable[..., object] = getattr(importlib.import_module(module), attribute)
        except Exception as error:  # a module may fail in any way while it is imported
            remedy = "check the path, and install its package or name its folder in PYTHONPATH"
            raise self.error(f"the {self.kind} {name!r} cannot be imported: {error}", remedy=remedy) from error
        return factory

    def _target(self, name: str) -> str:
        return self.built_in.get(name) or self._registered().get(name) or name

    def _registered(self) -> dict[str, str]:
        return {entry.name: entry.value for entry in importlib.metadata.entry_points(group=self.group)}
