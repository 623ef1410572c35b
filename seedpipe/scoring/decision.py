"""The threshold of a decision: what a calibration puts into a model's folder, and which system it is for."""

from __future__ import annotations

from pathlib import Path

from seedpipe.enhancers.base import CALIBRATION, CARD
from seedpipe.enhancers.registry import load_enhancer
from seedpipe.errors import MetricError, ModelError
from seedpipe.files import StrPath, read_text, whole_files, write_text
from seedpipe.scoring.calibration import Calibration

DECISION = "## Decision"


def calibrate_model(found: Calibration, model: StrPath) -> None:
    """Put a calibration into the folder of a model, whose card then states the threshold.

    Raises
    ------
    ModelError
        There is no model, or its card cannot be read.
    MetricError
        The calibration wants quality measures, or is of scores without the enhancer.
    """
    load_enhancer(model)
    expect_own(found, enhanced=True)
    threshold, card = found.threshold(), Path(model, CARD)
    text = _card_text(card).partition(f"\n{DECISION}\n")[0].rstrip()
    section = f"""
{DECISION}

Two recordings count as of one speaker from a cosine of {threshold:.4f} on, where the calibration in
`{CALIBRATION}` gives a likelihood ratio of 1. It holds for speech like that of the list it was fitted on.
"""
    with whole_files([Path(model, CALIBRATION), card]) as (partial, partial_card):
        found.save(partial)
        write_text(partial_card, f"{text}\n{section}")


def _card_text(card: Path) -> str:
    try:
        return read_text(card)
    except (OSError, ValueError) as error:
        raise ModelError(
            f"cannot be read ({error})",
            expected="a model card in UTF-8",
            remedy="correct it, or train again",
            file=card,
        ) from error


def expect_own(found: Calibration, *, enhanced: bool) -> None:
    """Refuse a calibration of another system than cosine scores with, or without, an enhancer, as far as that is known.

    Raises
    ------
    MetricError
        Its column is one that scores of a cache have, ``METHOD:CONDITION:SYSTEM``, and another system.
    """
    method, *rest = found.column.split(":")
    wanted = "enhanced" if enhanced else "network"
    if len(rest) == 2 and (method, rest[1]) != ("cosine", wanted):
        raise MetricError(
            f"the calibration was fitted on the column {found.column!r}",
            expected=f"cosine scores {'with' if enhanced else 'without'} the enhancer, as 'cosine:clean:{wanted}'",
            remedy="fit one on these: seedpipe calibrate SCORES OUT --column COLUMN",
        )
