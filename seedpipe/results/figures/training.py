"""Trainings: losses over the steps, and the error rate over the speech."""

from __future__ import annotations

from typing import TYPE_CHECKING

from matplotlib.ticker import MaxNLocator

from seedpipe.results.figures.look import LINES, STEPS

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from seedpipe.results import Training


def training_curve(axes: Axes, training: Training) -> Axes:
    """Draw training and validation loss over the steps.

    Parameters
    ----------
    axes : Axes
    training : Training, with at least two points
    """
    steps, losses = zip(*((point.step, point.loss) for point in training.curve), strict=True)
    axes.plot(steps, losses, **{**LINES[0], "marker": ""}, label="training loss")
    validated = [(point.step, point.validation) for point in training.curve if point.validation is not None]
    if validated:
        axes.plot(*zip(*validated, strict=True), **{**LINES[1], "marker": ""}, label="validation loss")
    axes.set(xlabel="Step", ylabel="Loss", xlim=(steps[0], steps[-1]))
    axes.xaxis.set_major_locator(MaxNLocator(6, steps=STEPS, integer=True))
    return axes


def learning_curve(axes: Axes, training: Training) -> Axes:
    """Draw the error rate in noise on held-out sources against the utterances that were trained on.

    The question is whether two embeddings are of one utterance, which needs no speaker labels.

    Parameters
    ----------
    axes : Axes
    training : Training, with at least two points of growth
    """
    utterances, rates = zip(*training.growth, strict=True)
    axes.plot(utterances, [100.0 * rate for rate in rates], **LINES[1], clip_on=False)
    axes.set_xlim(0.0, utterances[-1])
    axes.set_ylim(0.0, 110.0 * max(rates))
    axes.set(xlabel="Training utterances", ylabel="Held-out error, %")
    axes.xaxis.set_major_locator(MaxNLocator(6, steps=STEPS, integer=True))
    return axes
