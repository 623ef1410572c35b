"""The systems to measure, and the stages that each consists of."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from seedpipe import __version__
from seedpipe.audio.frontends import load_frontend
from seedpipe.cache import NetworkInfo
from seedpipe.enhancers import EmbeddingEnhancer, FixedMap, load_enhancer
from seedpipe.enhancers.diffusion import SeedMLP
from seedpipe.enhancers.normalization import Normalization
from seedpipe.enhancers.seed import Enhancer, ModelConfig
from seedpipe.errors import ModelError, NetworkError
from seedpipe.files import StrPath
from seedpipe.networks import SpeakerNetwork, load_network
from seedpipe.params import EnhancerKind, TrainParams
from seedpipe.results.wording import enhancer_name

STAGES = ("front end", "network", "enhancer")


@dataclass(frozen=True)
class SystemSpec:
    """A row of the table: a network, with a front end before it or an enhancer behind it.

    Parameters
    ----------
    network : str
        As :func:`seedpipe.networks.load_network` takes it.
    frontend : str
        As :func:`seedpipe.audio.frontends.load_frontend` takes it.
    enhancer : str, optional
        What follows.
    model : Path, optional
        Its model folder; without one the enhancer is untrained, which costs the same.
    """

    network: str
    frontend: str = ""
    enhancer: EnhancerKind | None = None
    model: Path | None = None


def systems_of(
    names: Sequence[str],
    models: Sequence[StrPath] = (),
    frontend: str = "",
    enhancers: Sequence[EnhancerKind] = ("seed",),
) -> list[SystemSpec]:
    """The rows of the table: each network alone, with each enhancer, and behind the front end if there is one.

    All of them are loaded once, so that a mistake is met before anything is measured.

    Raises
    ------
    ModelError
        A model cannot be loaded, is none of the enhancers, or was trained for none of the networks.
    NetworkError
        A network or the front end cannot be loaded.
    """
    networks = [load_network(name) for name in names]
    fingerprints = [network.fingerprint() for network in networks]
    trained = _trained(fingerprints, enhancers, models)
    systems = []
    for name, network, fingerprint in zip(names, networks, fingerprints, strict=True):
        systems.append(SystemSpec(name))
        systems += [SystemSpec(name, enhancer=kind, model=trained.get((fingerprint, kind))) for kind in enhancers]
        if load_frontend(frontend, network.sample_rate) is not None:
            systems.append(SystemSpec(name, frontend=frontend))
    return systems


@dataclass(frozen=True)
class Stage:
    """One part of a system, on its device; its role is one of :data:`STAGES`."""

    role: str
    name: str
    call: Callable[[Tensor], Tensor]
    parameters: int | None
    sample_rate: int


def stages_of(system: SystemSpec, seconds: float, device: torch.device) -> list[Stage]:
    """Load the parts of a system, front end first."""
    network = load_network(system.network)
    rate = network.sample_rate
    if round(seconds * rate) < network.min_samples:
        raise NetworkError(
            f"{seconds:g} s are {round(seconds * rate)} samples",
            expected=f"{network.min_samples} or more for the network {network.name}",
            remedy="measure longer audio (--seconds)",
        )
    frontend = load_frontend(system.frontend, rate)
    stages = []
    if frontend is not None:
        stages.append(Stage(STAGES[0], frontend.name, frontend.to(device), _parameters(frontend), rate))
    stages.append(Stage(STAGES[1], network.name, network.to(device), _parameters(network), rate))
    if system.enhancer:
        model, name = system.model, enhancer_name(system.enhancer)
        enhancer = load_enhancer(model, device) if model else _untrained(system.enhancer, network, device)
        generator = torch.Generator().manual_seed(0)
        stages.append(Stage(STAGES[2], name, lambda rows: enhancer(rows, generator), enhancer.parameters, rate))
    return stages


def _untrained(kind: EnhancerKind, network: SpeakerNetwork, device: torch.device) -> EmbeddingEnhancer:
    """An enhancer as the defaults have it, before training."""
    dimension = network.dimension
    info = NetworkInfo(
        name=network.name, fingerprint=network.fingerprint(), dimension=dimension, sample_rate=network.sample_rate
    )
    if kind != "seed" and kind != "regression":  # noqa: PLR1714 - types are narrowed by comparisons
        return FixedMap.untrained(kind, info, device)
    train = TrainParams() if kind == "seed" else TrainParams().without_diffusion()
    center = (0.0,) * dimension if train.normalize == "length+center" else ()
    normalization = Normalization(kind=train.normalize, center=center, scale=dimension**0.5)
    config = ModelConfig(
        kind=kind, network=info, normalization=normalization, train=train, cache="", seedpipe=__version__
    )
    return Enhancer(SeedMLP(dimension).to(device), config)


def _parameters(part: object) -> int | None:
    """Weights of a module, or what another kind of network or front end says of itself."""
    if isinstance(part, nn.Module):
        return sum(parameter.numel() for parameter in part.parameters())
    count: int | None = getattr(part, "parameter_count", None)
    return count


def _trained(
    fingerprints: Sequence[str], enhancers: Sequence[EnhancerKind], models: Sequence[StrPath]
) -> dict[tuple[str, EnhancerKind], Path]:
    """Model folders by the fingerprint of the network that they were trained for, and by what they are."""
    found: dict[tuple[str, EnhancerKind], Path] = {}
    for model in map(Path, models):
        enhancer = load_enhancer(model)
        network, kind = enhancer.config.network, enhancer.kind
        if network.fingerprint not in fingerprints:
            raise ModelError(
                f"was trained for {network.name} with the fingerprint {network.fingerprint[:16]}",
                expected="a model of one of the networks to measure",
                remedy="name its network with --network",
                file=model,
            )
        if kind not in enhancers:
            raise ModelError(
                f"is of the kind {kind}",
                expected=f"one of the enhancers to measure: {', '.join(enhancers)}",
                remedy=f"add --enhancer {kind}",
                file=model,
            )
        found[network.fingerprint, kind] = model
    return found
