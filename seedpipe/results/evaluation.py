"""What scoring says of a network alone and behind an enhancer, on one trial list.

As JSON, where rates are fractions and ``...`` stands for numbers::

    {"synthetic": true,
     "evaluations": [
       {"network": "dvector", "enhancer": "seed", "list": "demo", "method": "cosine",
        "trials": 4000, "targets": 400, "speakers": 24, "utterances": 144,
        "conditions": [
          {"condition": "clean",
           "systems": {
             "network": {"eer": {"value": ..., "low": ..., "high": ...}, "eer_definition": "linear",
                         "min_dcf": {"value": ..., "low": ..., "high": ...},
                         "det": {"far": [...], "frr": [...]},
                         "histogram": {"edges": [k + 1 values], "target": [k densities], "nontarget": [k densities]}},
             "enhanced": {...}},
           "difference": {"eer": {"difference": ..., "low": ..., "high": ..., "p_value": ...}, "min_dcf": {...}}}],
        "mean_relative_reduction": {"value": ..., "low": ..., "high": ..., "p_value": ...}}]}

Optional: ``low``, ``high`` and ``p_value`` (together, for lists without speaker names), ``mean_relative_reduction``
(for lists with clean trials only), and in an evaluation::

    "train_seed": 0, "frontend": "", "norm": "as", "mismatch_side": "test",
    "utterance_rule": "names as they are",
    "crops": {"enrol": {"count": 10, "seconds": 4.015}, "test": {"count": 1, "seconds": 2.015}},
    "warnings": ["..."],
    "snr": [{"condition": "noise", "low": 0.0, "high": 5.0, "trials": 800, "targets": 80,
             "systems": {"network": {"eer": {"value": ..., "low": ..., "high": ...}}, "enhanced": {...}}}],
    "timesteps": [{"t": 50, "conditions": {"clean": 0.05, "noise": 0.1}}],
    "projection": {"systems": {"network": [{"x": ..., "y": ..., "speaker": "...", "condition": "noise"}],
                               "enhanced": [...]}},
    "noise_seeds": {"count": 5, "eer": {"noise": {"mean": ..., "deviation": ...}}}

A system and a difference may have ``min_dcf_0.01`` (and other priors), ``act_dcf``, ``cllr`` and ``min_cllr``, of a
system each a number or ``{value, low, high}``. ``crops`` is there where the two sides differ; whole utterances have no
``seconds``. The condition called ``clean`` is the matched one, all others are
mismatched; ``noise@5`` is noise at an SNR of 5 dB.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import AfterValidator, Field

from seedpipe.errors import counted
from seedpipe.results import wording
from seedpipe.results.ablations import NoiseSeeds, Projection, SnrBin, Timestep
from seedpipe.results.base import AtMostOne, Count, Flag, Integer, Name, Positive, Rate, TabularResult
from seedpipe.results.condition import Condition
from seedpipe.results.rows import evaluation_rows

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

CLEAN = "clean"


@dataclass(frozen=True)
class Reduction:
    """Mean relative reduction of the EER over the mismatched conditions: 0.2 means 20 % fewer errors.

    Attributes
    ----------
    value : float
        At most 1; negative when there are more errors.
    low, high, p_value : float or None
        95 % interval, and for the hypothesis of no reduction; None where the list has too few speakers to resample.
    """

    value: AtMostOne
    low: AtMostOne | None = None
    high: AtMostOne | None = None
    p_value: Rate | None = None


@dataclass(frozen=True)
class SideCrops:
    """What one side of a trial has of an utterance.

    Attributes
    ----------
    count : int
        Crops.
    seconds : float or None
        Length of each; None for whole utterances.
    """

    count: Count
    seconds: Positive | None = None


@dataclass(frozen=True)
class Sides:
    """The crops of enrolment and test, where they differ."""

    enrol: SideCrops
    test: SideCrops


# Names outside of the class below, where "list" is a field.
Conditions = Annotated[list[Condition], Field(min_length=1)]
SnrBins = list[SnrBin]
Timesteps = list[Timestep]
Warnings = list[str]
Rows = list[tuple[str, ...]]


@dataclass(frozen=True, kw_only=True, repr=False)
class Evaluation(TabularResult):
    """One network and one enhancer on one trial list, by one scoring method; see :mod:`seedpipe.results.evaluation`."""

    network: Name
    enhancer: Name = "seed"
    list: Name
    trials: Count
    targets: Count
    utterances: Count
    mismatch_side: Name | None = None
    norm: Name = "none"
    speakers: Count
    crops: Sides | None = None
    utterance_rule: str | None = None
    projection: Projection | None = None
    method: Name
    conditions: Conditions
    mean_relative_reduction: Reduction | None = None
    snr: SnrBins = field(default_factory=SnrBins)
    timesteps: Timesteps = field(default_factory=Timesteps)
    noise_seeds: NoiseSeeds | None = None
    warnings: Warnings = field(default_factory=Warnings)
    train_seed: Integer | None = None
    frontend: str = ""

    def __post_init__(self) -> None:
        names = [condition.condition for condition in self.conditions]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"each condition once, not {twice[0]} twice")
        if any(step.conditions.keys() != self.timesteps[0].conditions.keys() for step in self.timesteps):
            raise ValueError("timesteps with the same conditions at every t")

    def left_out(self) -> tuple[str, ...]:
        """Timesteps where there are none, and the front end where no pipeline has noted it with the training seed."""
        unknown = self.train_seed is None and not self.frontend
        return ("frontend",) * unknown + ("timesteps",) * (not self.timesteps)

    @property
    def condition_names(self) -> tuple[str, ...]:
        """Conditions of all parts, each once; their order gives each its mark in the charts."""
        names = [condition.condition for condition in self.conditions]
        names += [name for step in self.timesteps[:1] for name in step.conditions]
        if self.projection is not None:
            names += [place.condition for place in self.projection.systems.network]
        return tuple(dict.fromkeys(names))

    @property
    def alone(self) -> bool:
        """Whether it tells of the network alone: there is no enhancer, and both systems are the same."""
        return self.enhancer == "none"

    @property
    def system_names(self) -> tuple[str, ...]:
        """What figures call the systems: the network, and the enhancer behind it where there is one."""
        return ("network",) if self.alone else ("network", wording.enhancer_name(self.enhancer))

    @property
    def clean(self) -> Condition | None:
        """The matched condition."""
        return next((condition for condition in self.conditions if condition.condition == CLEAN), None)

    @property
    def source(self) -> str:
        """What makes the embeddings: the network, behind a front end where there is one."""
        return f"{self.frontend} → {self.network}" if self.frontend else self.network

    @property
    def place(self) -> tuple[str, ...]:
        """What evaluations have in common that differ in the enhancer alone."""
        return self.source, self.list, self.scores, *(condition.condition for condition in self.conditions)

    @property
    def scores(self) -> str:
        """Scoring method and normalisation."""
        return self.method if self.norm == "none" else f"{self.method}, {self.norm}-norm"

    @property
    def averaged(self) -> tuple[Condition, ...]:
        """Conditions behind the mean relative reduction: those of drawn SNR, or the levels where there are none."""
        return tuple(condition for condition in self.mismatched if condition.level is None) or self.mismatched

    @property
    def mismatched(self) -> tuple[Condition, ...]:
        """All other conditions."""
        return tuple(condition for condition in self.conditions if condition.condition != CLEAN)

    @property
    def heading(self) -> str:
        """Systems, list, scores and counts."""
        counts = f"{counted(self.trials, 'trial')}, {self.targets:,} target, {counted(self.speakers, 'speaker')}"
        return f"{self.title} on {self.list} ({self.scores}; {counts})"

    @property
    def title(self) -> str:
        """The systems: "dvector → SEED", or "dvector" alone."""
        return " → ".join((self.source, *self.system_names[1:]))

    def errors(self, condition: Condition) -> float:
        """Misses or false alarms at the EER, whichever are fewer, of the system that makes more of them."""
        rate = max(system.eer.value for system in condition.systems.both)
        return rate * min(self.targets, self.trials - self.targets)

    def blocks(self) -> Iterator[tuple[str, Rows]]:
        """Give EER and minDCF by condition."""
        yield self.heading, evaluation_rows(self)

    def to_frame(self) -> pd.DataFrame:
        """Give a row for each condition and metric.

        Returns
        -------
        DataFrame
            ``condition``, ``metric``; ``alone`` (the network), ``enhanced`` and ``difference``, each followed by its
            interval, as ``alone_low`` and ``alone_high``; ``p_value``; ``measurable_from``, the least difference that
            the list could have told from zero. Rates are fractions. Of a network alone, what is of it.
        """
        import pandas as pd

        rows = [row for condition in self.conditions for row in _rows(condition)]
        columns = ("condition", "metric", "alone", "alone_low", "alone_high") if self.alone else tuple(rows[0])
        return pd.DataFrame(rows, columns=columns)

    def draw(self, axes: Axes) -> Axes:
        """Draw the EER by condition, of the network alone and with the enhancer."""
        from seedpipe.results import figures

        return figures.eer_by_condition(axes, self)


def _rows(condition: Condition) -> Iterator[dict[str, Any]]:
    before, after = condition.systems.network.metrics, condition.systems.enhanced.metrics
    for metric in dict.fromkeys([*before, *after]):
        row: dict[str, Any] = {"condition": condition.condition, "metric": metric}
        for system, found in (("alone", before), ("enhanced", after)):
            estimate = asdict(found[metric]) if metric in found else {}
            row |= {name.format(system): estimate.get(key) for key, name in _COLUMNS.items()}
        change = condition.difference.metrics.get(metric)
        row |= {name.format("difference"): getattr(change, key, None) for key, name in _CHANGE_COLUMNS.items()}
        row["measurable_from"] = change.measurable_from if change else None
        yield row


_COLUMNS = {"value": "{}", "low": "{}_low", "high": "{}_high"}
_CHANGE_COLUMNS = {"difference": "{}", "low": "{}_low", "high": "{}_high", "p_value": "p_value"}


def _ordered(evaluations: list[Evaluation]) -> list[Evaluation]:
    keys = [(e.source, e.list, e.enhancer, e.scores, e.train_seed) for e in evaluations]
    twice = next((key for key in keys if keys.count(key) > 1), None)
    if twice is not None:
        source, name, enhancer, scores, _ = twice
        expected = f"each training seed once, not {source} with {enhancer} on {name} ({scores}) twice for one seed"
        raise ValueError(expected)
    mentioned = [list(dict.fromkeys(column)) for column in zip(*keys, strict=True)]
    places = [tuple(all_.index(part) for all_, part in zip(mentioned, key, strict=True)) for key in keys]
    return [evaluation for _, evaluation in sorted(zip(places, evaluations, strict=True), key=lambda pair: pair[0])]


@dataclass(frozen=True, kw_only=True, repr=False)
class Evaluations(TabularResult):
    """What ``evaluation.json`` holds: evaluations of one enhancer on one list, one for each scoring method.

    Attributes
    ----------
    synthetic : bool
        Whether the audio is.
    evaluations : list of Evaluation
        When read, by network, list, enhancer, method and training seed, each in the order of first mention.
    """

    synthetic: Flag
    evaluations: Annotated[list[Evaluation], Field(min_length=1), AfterValidator(_ordered)]

    def __iter__(self) -> Iterator[Evaluation]:
        return iter(self.evaluations)

    def __len__(self) -> int:
        return len(self.evaluations)

    def __getitem__(self, index: int) -> Evaluation:
        return self.evaluations[index]

    def draw(self, axes: Axes) -> Axes:
        """Draw the EER by condition, of the network alone and with each enhancer, by the first scoring method."""
        from seedpipe.results import figures

        first = self.evaluations[0]
        places = {one.enhancer: one for one in reversed(self.evaluations) if one.place == first.place}
        return figures.eer_by_condition(axes, list(reversed(places.values())))

    def blocks(self) -> Iterator[tuple[str, Rows]]:
        """Give those of the evaluations."""
        return itertools.chain.from_iterable(one.blocks() for one in self)

    @property
    def heading(self) -> str:
        """Those of the evaluations."""
        return "; ".join(one.heading for one in self.evaluations)

    def to_frame(self) -> pd.DataFrame:
        """Give the rows of all evaluations, behind ``network``, ``enhancer``, ``list`` and ``method``."""
        import pandas as pd

        heads = [{name: getattr(one, name) for name in ("network", "enhancer", "list", "method")} for one in self]
        frames = [one.to_frame() for one in self]
        named = [
            pd.concat([pd.DataFrame([head] * len(frame)), frame], axis=1)
            for head, frame in zip(heads, frames, strict=True)
        ]
        return pd.concat(named, ignore_index=True)
