"""Frozen speaker networks: one protocol, one file each, found by name or by place.

A network maps waveforms (B, T) to embeddings (B, D), and what it gives for a row does not depend on the other rows.
``docs/networks.md`` shows the ways to bring one: a converted checkpoint, an ONNX file, a SpeechBrain folder, a factory,
an installed package.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from seedpipe.networks.protocol import SpeakerNetwork

if TYPE_CHECKING:
    from seedpipe.networks.config import NetworkConfig, read_config, stored_self_test
    from seedpipe.networks.describe import describe_network, list_networks
    from seedpipe.networks.folder import add_network, convert_checkpoint
    from seedpipe.networks.load import load_network
    from seedpipe.networks.registry import network_from_factory, network_names
    from seedpipe.networks.selftest import Check, check_network, same_numbers, self_test

__all__ = [
    "Check",
    "NetworkConfig",
    "SpeakerNetwork",
    "add_network",
    "check_network",
    "convert_checkpoint",
    "describe_network",
    "list_networks",
    "load_network",
    "network_from_factory",
    "network_names",
    "read_config",
    "same_numbers",
    "self_test",
    "stored_self_test",
]

# Loaded when first used: most of them load torch.
_HOMES = {
    "config": ("NetworkConfig", "read_config", "stored_self_test"),
    "describe": ("describe_network", "list_networks"),
    "folder": ("add_network", "convert_checkpoint"),
    "load": ("load_network",),
    "registry": ("network_from_factory", "network_names"),
    "selftest": ("Check", "check_network", "same_numbers", "self_test"),
}


def __getattr__(name: str) -> object:
    for home, names in _HOMES.items():
        if name in names:
            return getattr(importlib.import_module(f"{__name__}.{home}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
