"""The paper's networks with random weights, for measurements that do not depend on them: ``random_networks:ecapa``."""

from __future__ import annotations

from seedpipe.networks.ecapa import ECAPA
from seedpipe.networks.resnet34 import ResNet34
from seedpipe.networks.wavlm_ecapa import WavLMECAPA


def resnet34() -> ResNet34:
    """ResNet34 H/ASP, 512-d."""
    return ResNet34()


def ecapa() -> ECAPA:
    """ECAPA-TDNN, 256-d."""
    return ECAPA()


def wavlm_ecapa() -> WavLMECAPA:
    """WavLM-ECAPA, 256-d."""
    return WavLMECAPA()
