"""What stage three leaves behind: typed results, and tables, figures and the report made of them.

- :class:`Evaluations`: what ``evaluation.json`` holds; :class:`Evaluation`: a network alone and behind an enhancer on
  one list; :class:`Condition`, :class:`System`, :class:`Estimate`, :class:`Difference` and so on: its parts.
- :class:`Comparison`: two systems on the same trials.
- :class:`Report`: evaluations of several runs, and how their enhancers were trained.

All are frozen dataclasses with ``to_dict``, ``from_dict`` and ``from_json``; those with a table have ``to_frame``, and
show it in a notebook. This package imports nothing of what computes the figures.
"""

from __future__ import annotations

from seedpipe.results.ablations import NoiseSeeds, Place, Projection, SnrBin, SnrSystem, Spread, Timestep
from seedpipe.results.base import AS_GIVEN, FEW_ERRORS, Difference, Estimate, Pair
from seedpipe.results.comparison import ComparedMetric, Comparison
from seedpipe.results.condition import Condition, Det, Differences, Histogram, System
from seedpipe.results.contents import CurvePoint, EnhancerComparison, Report, Training
from seedpipe.results.evaluation import Evaluation, Evaluations, Reduction, SideCrops, Sides

__all__ = [
    "AS_GIVEN",
    "FEW_ERRORS",
    "ComparedMetric",
    "Comparison",
    "Condition",
    "CurvePoint",
    "Det",
    "Difference",
    "Differences",
    "EnhancerComparison",
    "Estimate",
    "Evaluation",
    "Evaluations",
    "Histogram",
    "NoiseSeeds",
    "Pair",
    "Place",
    "Projection",
    "Reduction",
    "Report",
    "SideCrops",
    "Sides",
    "SnrBin",
    "SnrSystem",
    "Spread",
    "System",
    "Timestep",
    "Training",
]
