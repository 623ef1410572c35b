"""The model card: what an enhancer is, what it learnt from, its figures, its limits."""

from __future__ import annotations

from seedpipe._version import __version__
from seedpipe.cache import Cache
from seedpipe.enhancers.trainer.result import TrainingResult

__all__ = ["model_card"]


def model_card(
    cache: Cache, result: TrainingResult, *, title: str, what: str, training: str, use: str, labels: str = "unlabelled"
) -> str:
    """Write the card of an enhancer.

    Parameters
    ----------
    cache : Cache
        What it was trained on.
    result : TrainingResult
    title : str
        Its name; that of the network is added.
    what : str
        The start of the sentence that ends in "the embeddings of the frozen speaker network".
    training : str
        How it was trained.
    use : str
        How it is called.
    labels : str
        What the utterances are called.
    """
    info = cache.info
    speech = "synthetic speech" if info.synthetic else "speech"
    return f"""# {title} for {info.network.name}

{what} the {info.network.dimension}-d embeddings of the frozen speaker network `{info.network.name}`
(fingerprint `{info.network.fingerprint[:16]}`), made by seedpipe {__version__}.

## Data

{info.utterances:,} {labels} utterances, {info.seconds / 3600:.2f} h of {speech}; {result.rows:,} rows for training,
{result.held_out_rows:,} held out, each in {len(info.variants)} variants ({", ".join(info.variants)}). Cache fingerprint
`{info.fingerprint[:16]}`.

## Training

{training}

## Figures

{_figures(result)}

## Use

{use} Enrolment and test embeddings are both to be enhanced, and compared by cosine.

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
        lines.insert(0, f"- Last epoch: loss {last.loss:.4g}, on held-out utterances {validation}.")
    return "\n".join(lines)
