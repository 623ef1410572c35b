"""What a training of any kind is asked for and gives: its job, its figures, its curve, its model card.

Shapes: N rows, V variants (the first is clean), D embedding dimension.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from seedpipe import __version__, metrics
from seedpipe.cache import Cache
from seedpipe.enhancers.base import EmbeddingEnhancer, TrainingCallback, TrainingPoint
from seedpipe.errors import counted
from seedpipe.params import EnhancerKind, Params

EER_ROWS = 400  # for the held-out EER, which compares all pairs


class Sample(NamedTuple):
    """Some rows of a cache.

    Attributes
    ----------
    embeddings : Tensor, shape (N, V, D)
        As the network gave them.
    codes : Tensor of int64, shape (N,)
        Number of the utterance of each.
    """

    embeddings: Tensor
    codes: Tensor


@dataclass(frozen=True)
class TrainingJob:
    """What an enhancer is to be trained on, and how; see :func:`seedpipe.enhancers.train_on_cache`."""

    kind: EnhancerKind
    cache: Cache
    out: Path
    params: Params
    device: torch.device
    progress: TrainingCallback | None = None
    checks: Callable[[], TrainingCallback] | None = None
    """Makes what is called in the same way by the trainings that judge the result, all together, when they begin."""


@dataclass(frozen=True)
class Fitted:
    """An enhancer on the CPU that was trained on so many rows, and rows of held-out utterances to judge it by."""

    enhancer: EmbeddingEnhancer
    rows: int
    held_out_rows: int
    held_out: Sample
    curve: tuple[TrainingPoint, ...] = ()
    epoch_steps: int = 1
    """Steps of one pass over the rows."""
    warnings: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()
    """What was found that is no warning."""
    growth: tuple[tuple[int, float], ...] = ()
    """Utterances and error rate of trainings on parts of the sources."""
    work: Path | None = None
    """Where the training keeps what it goes on from; of no use once the model is in its place."""


@dataclass(frozen=True)
class TrainingResult:
    """What training gives besides the model.

    ``held_out_eer`` tells enhanced noisy embeddings of one held-out utterance from those of others, against its clean
    embedding: (before, after) enhancement. It needs no speaker labels. ``seconds`` are those of the last run, where a
    training was interrupted. ``steps`` and ``epochs``, the passes over the rows that they come to, are 0 and the curve
    is empty for an enhancer in closed form. ``warnings`` say why it may need a longer training or more speech,
    ``remarks`` what was found on held-out sources, ``growth`` the error rate there (a fraction) of trainings on so many
    utterances.
    """

    steps: int
    epochs: float
    rows: int
    held_out_rows: int
    seconds: float
    held_out_eer: tuple[float, float] | None
    curve: tuple[TrainingPoint, ...]
    warnings: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()
    growth: tuple[tuple[int, float], ...] = ()

    @classmethod
    def of(cls, fitted: Fitted, seconds: float) -> TrainingResult:
        """Measure what was fitted on the rows that were held out."""
        steps = fitted.curve[-1].step if fitted.curve else 0
        return cls(
            steps=steps,
            epochs=round(steps / fitted.epoch_steps, 2),
            rows=fitted.rows,
            held_out_rows=fitted.held_out_rows,
            seconds=round(seconds, 2),
            held_out_eer=held_out_eer(fitted.enhancer, fitted.held_out),
            curve=fitted.curve,
            warnings=fitted.warnings,
            remarks=fitted.remarks,
            growth=fitted.growth,
        )

    def as_dict(self) -> dict[str, object]:
        """The result as plain data."""
        return json.loads(json.dumps(asdict(self)))  # type: ignore[no-any-return]


def held_out_eer(enhance: Callable[[Tensor, torch.Generator], Tensor], held_out: Sample) -> tuple[float, float] | None:
    """EER of "same utterance or another" between noisy and clean held-out embeddings, before and after enhancement.

    Parameters
    ----------
    enhance : callable
        From embeddings (..., D) and a generator to enhanced ones of unit length.
    held_out : Sample

    Returns
    -------
    before, after : float
        Fractions; None where all rows are of one utterance.
    """
    codes = held_out.codes
    if len(torch.unique(codes)) < 2:
        return None
    chosen = torch.linspace(0, len(codes) - 1, min(EER_ROWS, len(codes))).long()
    rows, same = held_out.embeddings[chosen], codes[chosen, None] == codes[None, chosen]
    # Noise of its own: a model that samples noise must not need a caller here.
    after = enhance(rows, torch.Generator().manual_seed(0))
    return _pair_eer(functional.normalize(rows, dim=-1), same), _pair_eer(after, same)


def _pair_eer(unit_NVD: Tensor, same: Tensor) -> float:
    scores = torch.stack([unit_NVD[:, v] @ unit_NVD[:, 0].T for v in range(1, unit_NVD.shape[1])])
    return metrics.eer(scores.flatten().numpy(), same.expand_as(scores).flatten().numpy().astype(np.int8))


def model_card(enhancer: EmbeddingEnhancer, cache: Cache, result: TrainingResult) -> str:
    """The model card: what an enhancer is, what it learnt from, its figures, its limits."""
    info, text, rows = cache.info, enhancer.card_text(), result.rows
    speech = "synthetic speech" if info.synthetic else "speech"
    return f"""# {text.title} for {info.network.name}

{text.what} the {info.network.dimension}-d embeddings of the frozen speaker network `{info.network.name}`
(fingerprint `{info.network.fingerprint[:16]}`), made by seedpipe {__version__}.

## Data

{info.utterances:,} {text.labels} utterances, {info.seconds / 3600:.2f} h of {speech}; {rows:,} rows for training,
{result.held_out_rows:,} held out, each in {len(info.variants)} variants ({", ".join(info.variants)}). Cache fingerprint
`{info.fingerprint[:16]}`.

## Training

{text.training}

## Figures

{_figures(result)}

## Use

{text.use} Enrolment and test embeddings are both to be enhanced, and compared by cosine.

## Limits

It fits the weights of this one network, and was judged on no speech but that in the report of its pipeline. It learnt
from the noise, music and rooms of its cache; others may help less, and clean speech may lose a little.
"""


def _figures(result: TrainingResult) -> str:
    eer = result.held_out_eer
    held_out = "none" if eer is None else f"{100 * eer[0]:.2f} % before, {100 * eer[1]:.2f} % after"
    lines = [
        f"- Held-out utterances, noisy against clean, same utterance or another (no speaker labels): EER {held_out}."
    ]
    if result.curve:
        last = result.curve[-1]
        validation = "none" if last.validation is None else f"{last.validation:.4g}"
        lines.insert(
            0,
            f"- After {counted(result.steps, 'step')} ({result.epochs:g} epochs): loss {last.loss:.4g},"
            f" on held-out utterances {validation}.",
        )
    lines += [f"- {remark[0].upper()}{remark[1:]}." for remark in result.remarks]
    lines += [f"- **Warning**: {warning}." for warning in result.warnings]
    return "\n".join(lines)
