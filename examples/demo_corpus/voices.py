"""Synthetic speakers: espeak-ng voices, and what makes two utterances of one of them differ.

A voice is an English accent, one of espeak-ng's variants (its formants, their widths and levels, the glottal source)
and settings of its own for pitch, melody and tempo. No variant, and no family of variants that sound alike, serves
both training and evaluation. Left out are whispers, robots with metallic echo, and doubles of another variant.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np

from examples.demo_corpus.sentences import EVAL_SENTENCES, TRAIN_SENTENCES
from examples.demo_corpus.tools import Samples, generator, optional, scaled, uniform
from seedpipe.errors import AudioError

__all__ = [
    "ACCENTS",
    "EVAL_BABBLE_VARIANTS",
    "EVAL_VARIANTS",
    "TRAIN_VARIANTS",
    "Delivery",
    "Side",
    "Voice",
    "babble_voices",
    "deliveries",
    "espeak_version",
    "speak",
    "utterances",
    "voices",
]

Side: TypeAlias = Literal["train", "eval"]

ACCENTS = ("en-us", "en", "en-gb-scotland", "en-us-nyc", "en-gb-x-rp", "en-029", "en-gb-x-gbclan", "en-gb-x-gbcwmd")

FEMALE = frozenset("Alicia Andrea Annie anika aunty belinda f1 f2 f3 f4 f5 grandma linda shelby steph zac".split())

# High voices are few: they come first, so that they return with another accent when voices outnumber variants.
TRAIN_VARIANTS = tuple(
    "f3 steph linda Annie f4 zac aunty "
    "Alex croak Denis Gene m7 Andy klatt6 paul Jacky Henrique m5 Lee quincy david Nguyen m8 edward Storm sandro max "
    "rob Reed victor m2 pablo Mario AnxiousAndy michel mike2 iven2 m6 Hugo Marco klatt5 m4 Mike Diogo benjamin Gene2 "
    "robert miguel grandpa adam edward2 fast".split()
)
EVAL_VARIANTS = (
    *"f1 m1 f2 john shelby Michael grandma antonio Andrea klatt2 f5 gustave Alicia m3 anika Tweaky".split(),
    "Mr serious",
    *"ed travis marcelo klatt3 pedro ian iven4".split(),
)
EVAL_BABBLE_VARIANTS = ("norbert", "belinda", "boris", "kaukovalta", "klatt4")

SECONDS = (3.2, 5.6)  # every utterance lasts between these
LEVEL_DB = (-29.0, -21.0)  # root mean square over the utterance, relative to full scale
TILT = (-0.35, 0.5)  # coefficient of the imagined microphone's filter: dull below zero, bright above
FLOOR_DB = (-75.0, -62.0)  # white noise of the imagined recording chain
PEAK = 0.9
TIMEOUT_SECONDS = 300


@dataclass(frozen=True)
class Voice:
    """One synthetic speaker."""

    name: str
    """Folder name, ``v00`` and so on."""
    accent: str
    """espeak-ng language, for instance ``en-us``."""
    variant: str
    """espeak-ng variant, the file name under ``voices/!v``."""
    pitch: int
    """Base pitch, 0 to 99; 50 leaves the variant as it is."""
    pitch_range: int
    """Melody, 0 (flat) to 99."""
    rate_wpm: int
    """Tempo in words per minute."""

    @property
    def espeak_name(self) -> str:
        """The name under which espeak-ng knows accent and variant."""
        return f"{self.accent}+{self.variant}"

    @property
    def female(self) -> bool:
        """Whether the variant is one of the high voices."""
        return self.variant in FEMALE


@dataclass(frozen=True)
class Delivery:
    """How one sentence is spoken."""

    text: str
    """The sentence."""
    pitch: int
    """Base pitch, 0 to 99."""
    pitch_range: int
    """Melody, 0 to 99."""
    rate_wpm: int
    """Tempo in words per minute, before the duration is brought into `SECONDS`."""
    volume: int
    """espeak-ng amplitude, 0 to 200. Low enough that no variant overdrives the synthesiser."""
    noise_seed: int
    """Seed of espeak-ng's own generator, which makes breath noise."""


def _voice(name: str, variant: str, accent: str, *key: str | int) -> Voice:
    # Keyed without the seed: the same people speak in every corpus, other sentences in another manner.
    rng = generator(0, "voice", *key)
    pitch, pitch_range, rate = rng.integers(38, 63), rng.integers(35, 66), rng.integers(150, 186)
    return Voice(name, accent, variant, int(pitch), int(pitch_range), int(rate))


def voices(side: Side, count: int) -> tuple[Voice, ...]:
    """Return the first voices of one side.

    Parameters
    ----------
    side : {"train", "eval"}
        Training and evaluation share no variant.
    count : int
        Number of voices. Beyond the number of variants, variants return with another accent and other settings.

    Returns
    -------
    tuple of Voice
        The voices ``v00``, ``v01`` and so on.

    Examples
    --------
    >>> [voice.espeak_name for voice in voices("eval", 2)]
    ['en-us+f1', 'en+m1']
    """
    variants = TRAIN_VARIANTS if side == "train" else EVAL_VARIANTS
    chosen = []
    for index in range(count):
        turn, place = divmod(index, len(variants))
        accent = ACCENTS[(place + 3 * turn) % len(ACCENTS)]
        chosen.append(_voice(f"v{index:02d}", variants[place], accent, side, index))
    return tuple(chosen)


def babble_voices(side: Side) -> tuple[Voice, ...]:
    """Return the voices that talk in the background.

    Parameters
    ----------
    side : {"train", "eval"}
        Training babble comes from training variants, evaluation babble from variants that appear nowhere else.

    Returns
    -------
    tuple of Voice
        The voices ``b00``, ``b01`` and so on.
    """
    variants = TRAIN_VARIANTS if side == "train" else EVAL_BABBLE_VARIANTS
    return tuple(
        _voice(f"b{index:02d}", variant, ACCENTS[(index + 1) % len(ACCENTS)], "babble", side, index)
        for index, variant in enumerate(variants)
    )


def deliveries(voice: Voice, side: Side, count: int, rng: np.random.Generator) -> tuple[Delivery, ...]:
    """Draw what a voice says, and how.

    Parameters
    ----------
    voice : Voice
        Who speaks.
    side : {"train", "eval"}
        Whose sentences.
    count : int
        Number of utterances; sentences repeat only beyond the number of sentences.
    rng : numpy.random.Generator
        Source of the draws.

    Returns
    -------
    tuple of Delivery
        One for each utterance.
    """
    texts = TRAIN_SENTENCES if side == "train" else EVAL_SENTENCES
    order = rng.permutation(len(texts))
    return tuple(_delivery(voice, texts[order[index % len(texts)]], rng) for index in range(count))


def _delivery(voice: Voice, text: str, rng: np.random.Generator) -> Delivery:
    return Delivery(
        text=text,
        pitch=int(np.clip(voice.pitch + rng.integers(-13, 14), 0, 99)),
        pitch_range=int(np.clip(voice.pitch_range + rng.integers(-20, 21), 0, 99)),
        rate_wpm=round(voice.rate_wpm * uniform(rng, 0.85, 1.18)),
        volume=int(rng.integers(45, 66)),
        noise_seed=int(rng.integers(1, 2**31)),
    )


def speak(voice: Voice, said: Sequence[Delivery]) -> list[Samples]:
    """Synthesise sentences with espeak-ng, in a process of their own.

    Parameters
    ----------
    voice : Voice
        Who speaks.
    said : sequence of Delivery
        What, in this order. An utterance may depend on those before it in the list, on nothing else.

    Returns
    -------
    list of ndarray, shape (samples,)
        Synthetic speech at 16 kHz, between 3.2 s and 5.6 s each for sentences of ordinary length.

    Raises
    ------
    AudioError
        If espeak-ng fails.
    MissingExtraError
        If espeakng-loader or scipy is not installed.
    """
    loader, signal = optional("espeakng_loader"), optional("scipy.signal")
    request = {
        "library": loader.get_library_path(),
        "data": loader.get_data_path(),
        "voice": voice.espeak_name,
        "seconds": SECONDS,
        "utterances": [asdict(delivery) for delivery in said],
    }
    script = Path(__file__).with_name("espeak_process.py")
    answer = subprocess.run(  # noqa: S603 - our own script in our own interpreter
        [sys.executable, "-I", "-S", str(script)],
        input=json.dumps(request).encode(),
        capture_output=True,
        timeout=TIMEOUT_SECONDS,
        check=False,
    )
    if answer.returncode != 0:
        raise AudioError(
            f"espeak-ng failed for the voice {voice.espeak_name!r}: {answer.stderr.decode(errors='replace')[-300:]}",
            expected="synthetic speech",
            remedy="reinstall espeak-ng: pip install --force-reinstall espeakng-loader",
        )
    # 22,050 Hz to 16,000 Hz.
    return [signal.resample_poly(samples, 320, 441) for samples in _decoded(answer.stdout)]


def _decoded(answer: bytes) -> list[Samples]:
    decoded, start = [], 0
    while start < len(answer):
        stop = start + 4 + 2 * int.from_bytes(answer[start : start + 4], "little")
        decoded.append(np.frombuffer(answer[start + 4 : stop], dtype="<i2").astype(np.float64) / 32768.0)
        start = stop
    return decoded


def utterances(voice: Voice, side: Side, count: int, *, seed: int) -> list[Samples]:
    """Return the utterances of one voice as they go into the corpus.

    Parameters
    ----------
    voice : Voice
        Who speaks.
    side : {"train", "eval"}
        Whose sentences.
    count : int
        Number of utterances.
    seed : int
        Seed of the corpus.

    Returns
    -------
    list of ndarray, shape (samples,)
        Synthetic speech at 16 kHz; each has a level, a spectral tilt and a noise floor of its own, as if recorded on
        another day.
    """
    said = deliveries(voice, side, count, generator(seed, side, "speech", voice.name))
    return [
        _recorded(samples, generator(seed, side, "recording", voice.name, number))
        for number, samples in enumerate(speak(voice, said))
    ]


def _recorded(speech: Samples, rng: np.random.Generator) -> Samples:
    level = 10.0 ** (uniform(rng, *LEVEL_DB) / 20.0)
    floor = 10.0 ** (uniform(rng, *FLOOR_DB) / 20.0)
    tilted = speech - uniform(rng, *TILT) * np.concatenate(([0.0], speech[:-1]))
    gain = level / max(float(np.sqrt(np.mean(tilted**2))), 1e-9)
    loud = gain * tilted + floor * rng.standard_normal(len(speech))
    return loud if float(np.abs(loud).max()) <= PEAK else scaled(loud, PEAK)


def espeak_version() -> str:
    """Return the version that the espeak-ng library reports, for instance ``1.52.0``."""
    import ctypes

    library = ctypes.CDLL(optional("espeakng_loader").get_library_path())
    library.espeak_Info.restype = ctypes.c_char_p
    return str(library.espeak_Info(None).decode())
