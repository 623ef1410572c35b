"""Factories by name: built in, registered by an installed package, or ``package.module:factory``; those of networks."""

from __future__ import annotations

import importlib
import importlib.metadata
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from seedpipe.errors import NetworkError, SeedpipeError, shortage
from seedpipe.networks.config import CONFIG
from seedpipe.networks.protocol import SpeakerNetwork

BUILT_IN = {"dvector": "seedpipe.networks.dvector:DVector", "campplus": "seedpipe.networks.campplus:published"}


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
            raise shortage(error) or self.error(
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


PLUGINS = Plugins("network", NetworkError, "seedpipe.networks", BUILT_IN)


def network_names() -> list[str]:
    """Names that :func:`load_network` knows: built in, then registered by installed packages."""
    return PLUGINS.names()


def network_from_factory(name: str, arguments: Mapping[str, Any] | None = None) -> SpeakerNetwork:
    """Call the factory of a network.

    Parameters
    ----------
    name : str
        One of :func:`network_names`, or ``package.module:factory``.
    arguments : mapping, optional
        Keyword arguments of the factory.

    Raises
    ------
    NetworkError
        The name is unknown, the factory cannot be imported, fails, or makes something that is no network.
    MissingExtraError
        The network needs a package that is not installed.
    """
    if not PLUGINS.knows(name):
        raise _unknown(name)
    network = PLUGINS.make(name, **(arguments or {}))
    if not isinstance(network, SpeakerNetwork):
        raise NetworkError(
            f"{name!r} makes a {type(network).__name__}",
            expected="name, sample_rate, dimension, min_samples, __call__, fingerprint and to",
            remedy="see seedpipe.networks.SpeakerNetwork",
        )
    return network


def _unknown(name: str) -> NetworkError:
    from seedpipe.networks.architectures import ARCHITECTURES

    if name in ARCHITECTURES:
        return NetworkError(
            f"the network {name!r} comes without weights",
            expected="a published checkpoint",
            remedy=f"seedpipe network convert CHECKPOINT networks/{name} --kind {name}",
        )
    if os.path.isdir(name):  # noqa: PTH112  # which a name may be too long for
        return NetworkError(
            f"the folder holds no {CONFIG}",
            expected="a folder made by seedpipe network convert or add",
            remedy="see docs/networks.md",
            file=name,
        )
    known = ", ".join(network_names())
    expected = f"{known}, package.module:factory, a folder with {CONFIG} or an .onnx file"
    return NetworkError(f"unknown network {name!r}", expected=expected, remedy="see docs/networks.md")
