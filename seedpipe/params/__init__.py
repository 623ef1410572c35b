"""Typed ``params.yaml``: one section per stage, a sentence under every key, nothing guessed.

An unknown key, a wrong type or an impossible value is a :class:`~seedpipe.errors.ParamsError` that names the key, its
line in the file and the nearest known key.
"""

from __future__ import annotations

from seedpipe.params.data import AudioParams, Channel, CorpusParams, ManifestParams
from seedpipe.params.enhancers import DRLParams, EnhancerKind, EnhancersParams, WhiteningParams
from seedpipe.params.extract import AugmentParams, EvaluationParams, ExtractParams, Rooms, SnrParams, split_condition
from seedpipe.params.file import Params, load_params
from seedpipe.params.machine import MachineParams
from seedpipe.params.score import ScoreParams
from seedpipe.params.train import TrainParams

__all__ = [
    "AudioParams",
    "AugmentParams",
    "Channel",
    "CorpusParams",
    "DRLParams",
    "EnhancerKind",
    "EnhancersParams",
    "EvaluationParams",
    "ExtractParams",
    "MachineParams",
    "ManifestParams",
    "Params",
    "Rooms",
    "ScoreParams",
    "SnrParams",
    "TrainParams",
    "WhiteningParams",
    "load_params",
    "split_condition",
]
