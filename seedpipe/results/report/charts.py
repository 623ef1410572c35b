"""The figures of one evaluation on the page: their sizes, their axes, and what a screen reader says of them.

The evaluations of one network on one list, its peers, have the same axes: enhancers compare at a glance, and the
network alone is drawn once for all of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from markupsafe import Markup

from seedpipe.errors import counted
from seedpipe.results import Condition, Evaluation, Place, Projection, Training, figures
from seedpipe.results.derived import Plane, SnrCurve, numbered_speakers, plane, snr_curves
from seedpipe.results.svg import Drawings
from seedpipe.results.wording import enhancer_name

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_SMALL, _WIDE = 258.0, 400.0
_NUMBERS = "the numbers are in the table"
_NAMES = 108.0  # room for the names of conditions


@dataclass(frozen=True)
class Charts:
    """The figures of one evaluation.

    Attributes
    ----------
    drawings : Drawings
        Those of the page.
    evaluation : Evaluation
    peers : sequence of Evaluation
        Those of the same network, list and scores, itself among them.
    """

    drawings: Drawings
    evaluation: Evaluation
    peers: Sequence[Evaluation]

    @property
    def names(self) -> tuple[str, ...]:
        """What the systems are called."""
        return self.evaluation.system_names

    @property
    def systems(self) -> str:
        """The systems in words."""
        return " and ".join(self.names)

    def eer(self) -> Markup:
        """EER by condition."""
        conditions = self.evaluation.conditions
        highest = figures.highest_rate(s.eer for e in self.peers for c in e.conditions for s in c.systems.both)
        names = ", ".join(condition.condition for condition in conditions)
        label = f"Equal error rate of {self.systems} with 95 % intervals for {names}; {_NUMBERS}"
        return self.drawings.draw(
            label,
            (_WIDE, 44.0 + 42.0 * len(conditions)),
            lambda axes: figures.eer_by_condition(axes[0], self.evaluation, highest),
            margins=(_NAMES, 10.0, 4.0, 40.0),
        )

    def det(self) -> list[tuple[str, Markup]]:
        """DET curves by condition."""
        limits = figures.det_limits(s for e in self.peers for c in e.conditions for s in c.systems.both)
        return [(one.condition, self._det(one, limits)) for one in self.evaluation.conditions]

    def _det(self, condition: Condition, limits: tuple[float, float]) -> Markup:
        systems = dict(zip(self.names, condition.systems.both, strict=False))
        label = f"DET curves for {condition.condition}: misses against false alarms, {self.systems}"
        return self.drawings.draw(
            label, (_SMALL, _SMALL), lambda axes: figures.det(axes[0], systems, limits), margins=(46.0, 10.0, 8.0, 40.0)
        )

    def histograms(self) -> list[tuple[str, Markup]]:
        """Score densities by condition, the network above the enhancer."""
        return [(one.condition, self._histogram(one)) for one in self.evaluation.conditions]

    def _histogram(self, condition: Condition) -> Markup:
        alike = [c for one in self.peers for c in one.conditions if c.condition == condition.condition]
        edges = [system.histogram.edges for one in alike for system in one.systems.both]
        limits = min(one[0] for one in edges), max(one[-1] for one in edges)
        trials = f"target and non-target trials, {' above '.join(self.names)}"

        def paint(axes: Sequence[Axes]) -> None:
            for one, system, name in zip(axes, condition.systems.both, self.names, strict=False):
                figures.histogram(one, system.histogram, limits)
                one.text(0.01, 0.86, figures.shortened(name), transform=one.transAxes)
                one.label_outer()

        label = f"Score histograms for {condition.condition}: {trials}"
        heights = [1.0] * len(self.names)
        size = (_SMALL, 44.0 + 90.0 * len(heights))
        return self.drawings.draw(label, size, paint, margins=(8.0, 8.0, 4.0, 40.0), heights=heights)

    def snr(self) -> list[tuple[str, Markup]]:
        """EER against SNR by condition."""
        points = [point for one in self.peers for curve in snr_curves(one) for point in curve.points]
        highest = figures.highest_rate(estimate for point in points for estimate in (point.network, point.enhanced))
        return [(curve.name, self._snr(curve, highest)) for curve in snr_curves(self.evaluation)]

    def _snr(self, curve: SnrCurve, highest: float) -> Markup:
        label = f"Equal error rate against SNR for {curve.name}: {self.systems}"
        alone = self.evaluation.alone
        return self.drawings.draw(
            label, (_SMALL, 216.0), lambda axes: figures.eer_by_snr(axes[0], curve, highest, alone=alone)
        )

    def timesteps(self) -> Markup:
        """EER against the timestep, of an evaluation that has them."""
        count = len(self.evaluation.timesteps[0].conditions)
        return self.drawings.draw(
            f"Equal error rate against t with {self.names[-1]}; {_NUMBERS}",
            (_WIDE, max(244.0, 50.0 + 18.0 * count)),
            lambda axes: figures.eer_by_timestep(axes[0], self.evaluation),
            margins=(46.0, _NAMES + 16.0, 8.0, 40.0),
        )

    def projections(self, found: Projection) -> list[tuple[str, Markup]]:
        """Embeddings on a plane, before and after."""
        shown = [one.projection.systems for one in self.peers if one.projection is not None]
        limits = plane([place for one in shown for side in (one.network, one.enhanced) for place in side])
        numbers = numbered_speakers(found)
        return [
            (title, self._projection(name, places, numbers, limits))
            for title, name, places in zip(
                ("network alone", f"with {self.names[-1]}"), self.names, found.systems.both, strict=False
            )
        ]

    def _projection(self, name: str, places: Sequence[Place], numbers: Mapping[str, int], limits: Plane) -> Markup:
        speakers, order = len({place.speaker for place in places}), self.evaluation.condition_names
        return self.drawings.draw(
            f"Embeddings on a plane, {name}: {counted(len(places), 'point')} of {counted(speakers, 'speaker')}",
            (400.0, 400.0),
            lambda axes: figures.projection(axes[0], places, numbers, order, limits),
            margins=(1.0, 1.0, 1.0, 1.0),
        )


def comparison_chart(drawings: Drawings, evaluations: Sequence[Evaluation]) -> Markup:
    """EER by condition of the network alone and of each enhancer, of evaluations that differ in the enhancer."""
    names = ", ".join(enhancer_name(one.enhancer) for one in evaluations)
    conditions, systems = evaluations[0].conditions, 1 + len(evaluations)
    return drawings.draw(
        f"Equal error rate of the network alone and of {names} with 95 % intervals; {_NUMBERS}",
        (_WIDE, 44.0 + (14.0 + 12.0 * systems) * len(conditions)),
        lambda axes: figures.eer_by_condition(axes[0], evaluations),
        margins=(_NAMES, 10.0, 4.0, 40.0),
    )


def learning_chart(drawings: Drawings, name: str, training: Training) -> Markup:
    """Error rate on held-out sources against speech, of a training with at least two points of it."""
    told = ", ".join(f"{100.0 * rate:.2f} % after {count:,}" for count, rate in training.growth)
    label = f"Error rate in noise of {name} on held-out sources by training utterances: {told}"
    return drawings.draw(
        label, (_WIDE, 200.0), lambda axes: figures.learning_curve(axes[0], training), margins=(50.0, 10.0, 8.0, 40.0)
    )


def training_chart(drawings: Drawings, name: str, training: Training) -> Markup:
    """Loss of network and enhancer over the steps, of a training with at least two points."""
    label = f"Training and validation loss of {name} over {counted(training.steps, 'step')}"
    return drawings.draw(
        label, (_WIDE, 240.0), lambda axes: figures.training_curve(axes[0], training), margins=(50.0, 10.0, 8.0, 40.0)
    )
