"""The section ``extract``: from audio to cached embeddings."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, Field

from seedpipe.params.section import PresetSection, Section, Seed, distinct

PARTS = ("music", "noise", "reverb")


def _variant(name: str) -> str:
    parts = name.split("+")
    if not set(parts) <= set(PARTS) or parts != sorted(set(parts), key=PARTS.index):
        raise ValueError(f"{name!r} is not one or more of {', '.join(PARTS)} joined by '+' in this order")
    if {"music", "noise"} <= set(parts):
        raise ValueError(f"{name!r} mixes music and noise; a variant has one of the two")
    return name


def split_condition(name: str) -> tuple[str, float | None]:
    """Take the level off the name of an evaluation condition.

    Returns
    -------
    variant : str
        What :mod:`seedpipe.audio.augment` makes.
    snr_db : float or None
        The fixed SNR in dB; None where it is drawn from its range.

    Examples
    --------
    >>> split_condition("noise+reverb@5"), split_condition("music")
    (('noise+reverb', 5.0), ('music', None))
    """
    found = re.fullmatch(r"(.+)@(-?\d+(?:\.\d+)?)", name)
    return (found[1], float(found[2])) if found else (name, None)


def _condition(name: str) -> str:
    variant, mark, level = name.partition("@")
    _variant(variant)
    if mark and variant == "reverb":
        raise ValueError(f"{name!r} has a level in dB, and nothing to mix at it")
    if mark and abs(split_condition(name)[1] or 0.0) > MOST_DB:
        raise ValueError(f"{name!r} has a level beyond {MOST_DB} dB")
    if mark and (split_condition(name)[1] is None or level != f"{float(level) + 0.0:g}"):  # 0 is not spelled -0
        raise ValueError(f"{name!r} is not spelled as in 'noise@5' or 'noise@-2.5', with a number of dB")
    return name


def _ordered(span: tuple[float, float]) -> tuple[float, float]:
    if span[0] > span[1]:
        raise ValueError(f"the range starts at {span[0]:g} and ends before it, at {span[1]:g}")
    return span


MOST_DB = 200  # between the loudest and the faintest of 32-bit samples
MOST_SAMPLES = 200_000_000  # an hour at 48 kHz, and a little
Rooms = Literal["aligned", "official"]
Network = Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.:-]*$")]  # it names folders, too
Networks = Annotated[tuple[Network, ...], AfterValidator(distinct)]
Variant = Annotated[str, AfterValidator(_variant)]
Variants = Annotated[tuple[Variant, ...], AfterValidator(distinct)]
Conditions = Annotated[tuple[Annotated[str, AfterValidator(_condition)], ...], AfterValidator(distinct)]
Level = Annotated[float, Field(ge=-MOST_DB, le=MOST_DB)]
Decibels = Annotated[tuple[Level, Level], AfterValidator(_ordered)]


class AugmentParams(Section):
    """How noisy variants are made (paper, section 4.2)."""

    music_snr_db: Decibels = (5.0, 15.0)
    """Range of the speech-to-music ratio, drawn uniformly."""
    noise_snr_db: Decibels = (0.0, 15.0)
    """Range of the speech-to-noise ratio, drawn uniformly."""
    snr_power_floor: float = Field(default=0.0, ge=0)
    """Added to both powers before the ratio is formed: 0 is exact, 1e-4 reproduces the authors' code."""


class SnrParams(Section):
    """Ranges of the evaluation's own; one that is not given is that of ``extract.augment``."""

    music_snr_db: Decibels | None = None
    """Range of the speech-to-music ratio, drawn uniformly."""
    noise_snr_db: Decibels | None = None
    """Range of the speech-to-noise ratio, drawn uniformly."""


class EvaluationParams(Section):
    """Which embeddings the evaluation utterances get."""

    crops: int = Field(default=10, ge=1)
    """Evenly spaced crops of each utterance."""
    crop_samples: int = Field(default=64_240, ge=400, le=MOST_SAMPLES)
    """Length of a crop; shorter audio is wrapped around. 64,240 samples are 400 frames."""
    test_crop_samples: int = Field(default=0, ge=0, le=MOST_SAMPLES)
    """Length of the one crop, from its middle, that stands for each utterance on the test side; enrolment keeps
    ``crops`` of ``crop_samples``. 0: the test side has the crops of the enrolment side. 32,240 samples are 2 s."""
    short_audio: Literal["repeat", "official"] = "repeat"
    """Crops of audio shorter than a crop: ``repeat`` starts each at 0, ``official`` starts the last one at 1."""
    whole: Networks = ()
    """Networks that get each utterance as a whole instead of its crops, as WavLM-ECAPA in the paper."""
    conditions: Conditions = ("noise", "music", "reverb", "noise+reverb")
    """Conditions besides ``clean``. ``noise@5`` is noise at 5 dB instead of a drawn SNR; all levels have the same noise
    from the same place of a file."""
    augment: SnrParams = SnrParams()
    """Ranges for the evaluation alone, as lower ones for a strong network."""
    seed: Seed = 1
    """Seed of the noise, music and rooms that the evaluation utterances get."""


class ExtractParams(PresetSection):
    """Stage ``extract``: from audio to cached embeddings.

    A key that is not given has the value that the preset gives it (:attr:`PRESETS`), or else its default.
    """

    PRESETS: ClassVar[Mapping[str, Mapping[str, object]]] = {
        "official": {
            "resample": False,
            "rooms": "official",
            "variants": ("music", "noise", "reverb"),
            "augment": {"snr_power_floor": 1e-4},
            "evaluation": {"short_audio": "official"},
        },
    }
    preset: Literal["seedpipe", "official"] = "seedpipe"
    """Where keys that are not given come from: our defaults or the authors' code (docs/deviations.md)."""
    networks: Networks = Field(default=("dvector",), min_length=1)
    """Frozen speaker networks: names of folders in ``networks/`` (docs/networks.md)."""
    crop_samples: int = Field(default=32_240, ge=400, le=MOST_SAMPLES)
    """Length of a training crop; 32,240 samples are 200 frames."""
    draws: int = Field(default=10, ge=1)
    """Random crops of each training utterance, every one with fresh noise, music and rooms."""
    variants: Variants = Field(default=("music", "noise", "reverb", "noise+reverb"), min_length=1)
    """Noisy variants of every clean crop."""
    augment: AugmentParams = AugmentParams()
    """Ranges of the augmentation, of the evaluation too where that has none of its own."""
    seed: Seed = 0
    """Seed of the training crops and their augmentation."""
    shard_rows: int = Field(default=512, ge=1)
    """Rows of one HDF5 shard, the unit of parallel work and of resuming."""
    storage: Literal["float32", "float16"] = "float32"
    """How embeddings are stored; float16 halves the cache (docs/performance.md has its effect)."""
    precision: Literal["float32", "bfloat16", "float16"] = "float32"
    """Arithmetic of the network; below float32 the first block must agree with float32 to a cosine of 0.9999."""
    engine: Literal["eager", "onnxruntime"] = "eager"
    """What runs a network of ours on a CPU: torch layer by layer, or onnxruntime as one graph (docs/performance.md)."""
    resample: bool = True
    """Off, audio of any rate is taken as if it had the network's, as the authors' code does."""
    rooms: Rooms = "aligned"
    """Room responses: ``aligned`` at their direct sound, with unit energy in what is used, or ``official``, as they are
    with unit energy as a whole (docs/data.md)."""
    frontend: str = ""
    """Speech enhancement in front of the network: ``rnnoise``, ``denoiser``, a registered name or
    ``package.module:factory``; empty for none (docs/frontends.md)."""
    on_bad_audio: Literal["fail", "skip"] = "fail"
    """What an unusable file does: stop the stage with its name, or be left out and listed."""
    evaluation: EvaluationParams = EvaluationParams()
    """The evaluation caches."""

    @property
    def evaluation_augment(self) -> AugmentParams:
        """Ranges of the evaluation: its own, where it has any."""
        return self.augment.model_copy(update=self.evaluation.augment.model_dump(exclude_none=True))
