"""Results as scoring writes them, made up: better, worse, the same, and with every optional part."""

from __future__ import annotations

import copy
from typing import Any

from seedpipe.results import Evaluation

Metrics = dict[str, Any]
CONDITIONS = ("clean", "noise", "music", "reverb", "noise+reverb")


def system(value: float) -> Metrics:
    return {
        "eer": {"value": value, "low": value - 0.01, "high": value + 0.01},
        "eer_definition": "linear",
        "min_dcf": {"value": 0.5, "low": 0.4, "high": 0.6},
        "det": {"far": [0.0, 0.05, value, 0.5, 1.0], "frr": [1.0, 0.6, value, 0.02, 0.0]},
        "histogram": {"edges": [-1.0, 0.0, 0.5, 1.0], "target": [0.1, 0.4, 1.4], "nontarget": [0.7, 0.6, 0.0]},
    }


def difference(value: float, spread: float) -> Metrics:
    return {"difference": value, "low": value - spread, "high": value + spread, "p_value": 0.03}


def condition(name: str, before: float, after: float, spread: float = 0.005) -> Metrics:
    return {
        "condition": name,
        "systems": {"network": system(before), "enhanced": system(after)},
        "difference": {"eer": difference(after - before, spread), "min_dcf": difference(0.0, spread)},
    }


def evaluation(clean: tuple[float, float], others: tuple[float, float], reduction: Metrics | None) -> Metrics:
    return {
        "network": "dvector",
        "list": "demo",
        "method": "cosine",
        "trials": 4000,
        "targets": 400,
        "speakers": 24,
        "utterances": 144,
        "conditions": [condition(name, *(clean if name == "clean" else others)) for name in CONDITIONS],
        "mean_relative_reduction": reduction,
    }


def report(*evaluations: Metrics, synthetic: bool = True) -> Metrics:
    curve = [{"step": 19 * epoch, "loss": 1.0 / epoch, "validation": 1.1 / epoch} for epoch in range(1, 21)]
    return {
        "title": "SEED on the demonstration list",
        "synthetic": synthetic,
        "seedpipe_version": "0.1.0",
        "made_by": "dvc repro",
        "evaluations": list(evaluations),
        "training": {
            "dvector/seed": {"seed": 0, "rows": 5000, "steps": 380, "epochs": 20.0, "seconds": 42.1, "curve": curve}
        },
        "facts": {"noise": "generated", "sources": 3},
    }


def typed(*evaluations: Metrics) -> list[Evaluation]:
    return [Evaluation.from_dict(one) for one in evaluations]


BETTER = evaluation((0.08, 0.08), (0.25, 0.19), {"value": 0.24, "low": 0.18, "high": 0.29})
WORSE = evaluation((0.08, 0.11), (0.19, 0.25), {"value": -0.32, "low": -0.4, "high": -0.2})
SAME = evaluation((0.08, 0.08), (0.19, 0.19), {"value": 0.01, "low": -0.03, "high": 0.05})
MIXED = evaluation((0.08, 0.11), (0.25, 0.19), {"value": 0.24, "low": 0.18, "high": 0.29})


def but(result: Metrics, **keys: object) -> Metrics:
    """The same evaluation with other keys."""
    return {**copy.deepcopy(result), **keys}


OTHER = but(WORSE, list="other")


def snr_bin(name: str, low: float, before: float, after: float) -> Metrics:
    systems = {"network": {"eer": {"value": before, "low": 0.11, "high": 0.42}}, "enhanced": {"eer": {"value": after}}}
    return {"condition": name, "low": low, "high": low + 5, "trials": 1234, "targets": 56, "systems": systems}


def places(spread: float, speakers: int = 9) -> list[Metrics]:
    return [
        {"x": k + spread * j, "y": -k / 4, "speaker": f"voice {k}", "condition": name}
        for k in range(speakers)
        for j, name in enumerate(("clean", "noise", "far field"))
    ]


def rich(result: Metrics) -> Metrics:
    """The same evaluation with every optional key."""
    found = copy.deepcopy(result)
    for part in found["conditions"]:
        part["systems"]["network"] |= {"min_dcf_0.01": 0.777, "cllr": {"value": 1.25, "low": 1.125, "high": 1.375}}
        part["systems"]["enhanced"] |= {"min_dcf_0.01": 0.666, "cllr": 0.875, "act_dcf": 0.555, "min_cllr": 0.444}
    steps = ((200, 0.3), (1, 0.15), (50, 0.1234))
    return found | {
        "utterance_rule": "without extension",
        "norm": "as",
        "mismatch_side": "both",
        "warnings": ["the list has 5 speakers", "12 trials are repeated"],
        "snr": [snr_bin("noise", 0, 0.3125, 0.2), snr_bin("noise", -5, 0.4, 0.25), snr_bin("music", 0, 0.2, 0.1)],
        "timesteps": [{"t": t, "conditions": {"clean": 0.0625, "noise": eer}} for t, eer in steps],
        "projection": {"systems": {"network": places(0.5), "enhanced": places(0.125)}},
        "noise_seeds": {"count": 5, "eer": {"clean": {"mean": 0.0789, "deviation": 0.00123}}},
    }


RICH = rich(BETTER)
