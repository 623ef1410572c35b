"""Audio on its way to embeddings: an evaluation cache without noise, beside the result until that is written."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from seedpipe.audio import manifest
from seedpipe.cache import Cache, CacheInfo
from seedpipe.enhancers.base import EmbeddingEnhancer
from seedpipe.enhancers.enhanced_cache import digest
from seedpipe.errors import NetworkError, counted
from seedpipe.params import ExtractParams, Params

if TYPE_CHECKING:
    from seedpipe.console import ProgressCallback


@contextlib.contextmanager
def clean_embeddings(
    frame: pd.DataFrame, network: str, out: Path, params: Params, progress: ProgressCallback | None
) -> Iterator[Cache]:
    """Have a network embed audio, as for an evaluation list, without noise and trials.

    What was interrupted goes on from a hidden folder beside the result, which is named by all that the embeddings
    depend on; it is removed when the block has ended well.

    Parameters
    ----------
    frame : DataFrame
        The table of the audio, as :func:`seedpipe.audio.list_files` makes it.
    network : str
        See :func:`seedpipe.networks.load_network`.
    out : Path
        Where the result will be.
    params : Params
        The sections ``extract`` and ``machine`` matter.
    """
    from seedpipe import extract
    from seedpipe.networks import load_network

    settings = _clean_only(params.extract)
    parts = [load_network(network).fingerprint(), settings.model_dump(mode="json"), frame.to_csv(index=False)]
    work = out.with_name(f".{out.name}.{digest(parts)[:16]}")
    manifest.write_manifest(frame, work / manifest.SPEECH)
    yield extract.extract(
        work, network, work / "cache", settings, kind="evaluation", machine=params.machine, progress=progress
    )
    shutil.rmtree(work)


def audio_remarks(frame: pd.DataFrame, bad: Sequence[Exception], info: CacheInfo) -> list[str]:
    """What a person should know of the audio that was embedded, a sentence each."""
    from seedpipe import extract

    lines = [f"left out: {error}" for error in bad]
    if info.skipped:
        lines.append(f"{counted(info.skipped, 'further file', 'was/were')} left out, as no crop of them can be used")
    lines += manifest.Manifest(Path(), frame).remarks("; audio.channel takes one of them")
    return lines + extract.remarks(info.model_copy(update={"skipped": 0, "averaged": {}}))


def expect_network(enhancer: EmbeddingEnhancer, network: str) -> None:
    """Refuse a network that is not the one that an enhancer was trained for.

    Raises
    ------
    NetworkError
        The fingerprints differ.
    """
    from seedpipe.networks import load_network

    found, expected = load_network(network), enhancer.config.network
    if found.fingerprint() != expected.fingerprint:
        raise NetworkError(
            f"the network {found.name} has the fingerprint {found.fingerprint()[:16]}, but the model is for"
            f" {expected.name} with {expected.fingerprint[:16]}",
            remedy="give the network that the model was trained for, or the model of this one",
        )


def _clean_only(params: ExtractParams) -> ExtractParams:
    """The parameters without noisy conditions, and without the crop of a test side: there are no trials."""
    clean = params.evaluation.model_copy(update={"conditions": (), "test_crop_samples": 0})
    return params.model_copy(update={"evaluation": clean})
