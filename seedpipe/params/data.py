"""The sections ``corpus`` and ``manifest``: which audio there is."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from seedpipe.params.section import Pattern, Section, Seed, distinct


def _none_or_some(seconds: float) -> float:
    if 0 < seconds < 0.1:
        raise ValueError(f"segments of {seconds:g} s are too short; 0 is for whole files")
    return seconds


Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")]
Names = Annotated[tuple[Name, ...], AfterValidator(distinct)]


Channel = Literal["mean"] | Annotated[int, Field(ge=0)]


class AudioParams(Section):
    """What is heard of audio files."""

    channel: Channel = "mean"
    """Of speech with several channels: their ``mean``, or one of them, counted from 0, as for the two sides of a call.
    Noise, music and rooms are always averaged."""


class CorpusParams(Section):
    """Stage ``corpus``: the synthetic demonstration corpus."""

    folder: Path = Path("data/demo")
    """Where the corpus is built; it is built only when ``manifest.root`` points there."""
    seed: Seed = 0
    """Seed of every voice, sentence, noise, tune and room."""
    train_voices: int = Field(default=60, ge=2)
    """Number of training voices."""
    eval_voices: int = Field(default=24, ge=2)
    """Number of evaluation voices; none of them is a training voice."""
    train_utterances: int = Field(default=8, ge=1)
    """Utterances of each training voice."""
    eval_utterances: int = Field(default=6, ge=2)
    """Utterances of each evaluation voice."""


class ManifestParams(Section):
    """Stage ``manifest``: which audio there is."""

    root: Path = Path("data/demo")
    """Folder with ``train/``, ``noise/``, ``music/``, ``rir/`` and ``eval/`` as docs/data.md describes them."""
    evaluations: Names = Field(default=("demo",), min_length=1)
    """Evaluation lists: NAME stands for ``eval/trials_NAME.txt`` under the root."""
    segment_seconds: Annotated[float, AfterValidator(_none_or_some)] = Field(default=0.0, ge=0)
    """Training files are cut into segments of about this length, each an utterance of its own (docs/data.md); 0 for
    whole files. For corpora of whole chapters, as Libri-Light is."""
    eval_share: float = Field(default=1 / 3, gt=0, lt=1)
    """Share of the noise, music and room files kept for evaluation where the root has no ``eval_noise/`` and so on."""
    group_pattern: Pattern = ""
    """Regular expression whose group is the recording in the name of a noise, music or room file, the path below the
    root; no recording is on both sides, and a file that does not fit is one of its own. Empty for the names of ESC-50,
    UrbanSound8K, RIRS_NOISES and DEMAND, and those that end in ``_take2``, ``-part2``, ``.CH2`` and the like."""
    allow_leaks: bool = False
    """Whether to go on where an evaluation utterance is in training, or a noise, music or room file on both sides."""
