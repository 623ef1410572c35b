"""Room impulse responses of boxes, by the image method of Allen and Berkley as pyroomacoustics implements it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from examples.demo_corpus.tools import SAMPLE_RATE, Samples, generator, optional, scaled, uniform
from examples.demo_corpus.voices import Side

__all__ = ["KINDS", "Kind", "Room", "draw_room", "impulse_response", "room"]

PEAK = 0.9
MAX_ORDER = 45  # reflections of one path; beyond it the time grows with the cube
LEAD = 40  # samples kept before the direct sound: half the length of pyroomacoustics' fractional delay filter


@dataclass(frozen=True)
class Kind:
    """A kind of room: the ranges from which its size and reverberation time are drawn."""

    length_m: tuple[float, float]
    """Longer side, in metres."""
    width_m: tuple[float, float]
    """Shorter side, in metres."""
    height_m: tuple[float, float]
    """Height, in metres."""
    rt60_s: tuple[float, float]
    """Reverberation time, in seconds."""


KINDS = (
    Kind((2.8, 4.5), (2.2, 3.2), (2.3, 2.8), (0.2, 0.45)),  # small office
    Kind((5.0, 8.0), (4.0, 6.0), (2.5, 3.5), (0.3, 0.7)),  # living or meeting room
    Kind((8.0, 12.0), (6.0, 9.0), (3.0, 4.5), (0.5, 0.9)),  # classroom
    Kind((14.0, 22.0), (10.0, 15.0), (5.0, 8.0), (0.8, 1.2)),  # hall
)


@dataclass(frozen=True)
class Room:
    """One room with a talker and a microphone."""

    size_m: tuple[float, float, float]
    """Length, width and height, in metres."""
    rt60_s: float
    """Reverberation time, in seconds."""
    talker_m: tuple[float, float, float]
    """Where the talker stands, in metres from a corner."""
    microphone_m: tuple[float, float, float]
    """Where the microphone stands, in metres from the same corner."""


def draw_room(side: Side, index: int, *, seed: int) -> Room:
    """Draw the room of one file.

    Parameters
    ----------
    side : {"train", "eval"}
        Both draw from the same kinds of rooms, and never the same room.
    index : int
        Number of the file; kinds of rooms take turns.
    seed : int
        Seed of the corpus.

    Returns
    -------
    Room
        Size, reverberation time and places.
    """
    rng = generator(seed, side, "rir", index)
    kind = KINDS[index % len(KINDS)]
    length, width, height = (uniform(rng, *span) for span in (kind.length_m, kind.width_m, kind.height_m))
    # On either side of the middle, so that the talker never sits on the microphone.
    near, far = uniform(rng, 0.15, 0.4) * length, uniform(rng, 0.6, 0.9) * length
    first, second = (near, far) if uniform(rng, 0.0, 1.0) < 0.5 else (far, near)
    talker = (first, uniform(rng, 0.15, 0.85) * width, uniform(rng, 1.1, 1.8))
    microphone = (second, uniform(rng, 0.15, 0.85) * width, uniform(rng, 0.7, 1.6))
    return Room((length, width, height), uniform(rng, *kind.rt60_s), talker, microphone)


def impulse_response(box: Room) -> Samples:
    """Compute the impulse response of a room.

    Parameters
    ----------
    box : Room
        Size in metres, reverberation time in seconds, places in metres.

    Returns
    -------
    ndarray, shape (samples,)
        Response at 16 kHz from 2.5 ms before the direct sound to the reverberation time after it, peak 0.9.
    """
    acoustics = optional("pyroomacoustics")
    # One thread: partial sums of several would be added in another order on another machine.
    acoustics.constants.set("num_threads", 1)
    absorption, order = acoustics.inverse_sabine(box.rt60_s, box.size_m)
    shoebox = acoustics.ShoeBox(
        box.size_m,
        fs=SAMPLE_RATE,
        materials=acoustics.Material(absorption),
        max_order=min(int(order), MAX_ORDER),
        use_rand_ism=False,  # the randomised image method would draw from numpy's global generator
        air_absorption=True,
    )
    shoebox.add_source(list(box.talker_m))
    shoebox.add_microphone(list(box.microphone_m))
    shoebox.compute_rir()
    response = np.asarray(shoebox.rir[0][0], dtype=np.float64)
    direct = int(np.argmax(np.abs(response)))
    kept = response[max(0, direct - LEAD) : direct + int(box.rt60_s * SAMPLE_RATE)]
    return scaled(kept, PEAK)


def room(side: Side, index: int, *, seed: int) -> Samples:
    """Make one room impulse response: `draw_room`, then `impulse_response`.

    Parameters
    ----------
    side : {"train", "eval"}
        Training or evaluation.
    index : int
        Number of the file.
    seed : int
        Seed of the corpus.

    Returns
    -------
    ndarray, shape (samples,)
        Synthetic response at 16 kHz, peak 0.9.
    """
    return impulse_response(draw_room(side, index, seed=seed))
