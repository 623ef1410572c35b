"""Room impulse responses: where the direct sound is, and what of a response is used.

The rule: the direct sound begins at the first sample that reaches a tenth (-20 dB) of the largest one. Where it comes
later than 5 ms, as in recordings with a lead-in or a long way to the microphone, the response is cut to begin 1 ms
before it; speech would be moved by it otherwise, out of its crop if the lead-in is long. What is used, up to the length
of the speech, has unit energy.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from seedpipe.audio.source import Waveform

ONSET = 0.1
"""Magnitude of the direct sound at least, over the largest of the response."""
LATE_SECONDS = 0.005
"""Latest direct sound of a response that is used as it is."""
LEAD_SECONDS = 0.001
"""What is left before the direct sound of a later one."""
DOUBT_SECONDS = 0.0005
"""How much earlier a response counts as late before it is resampled, which moves the onset by a sample or two."""


def onset(response: Waveform) -> int:
    """First sample of the direct sound."""
    magnitudes = np.abs(response)
    return int(np.argmax(magnitudes >= ONSET * magnitudes.max()))


def aligned(response: Waveform, sample_rate: int) -> Waveform:
    """The response from shortly before its direct sound on.

    Examples
    --------
    >>> aligned(np.r_[np.zeros(8_000), 0.5, 0.2].astype(np.float32), 16_000).size
    18
    """
    direct = onset(response)
    late = direct > LATE_SECONDS * sample_rate
    return response[direct - round(LEAD_SECONDS * sample_rate) :] if late else response


def unit_energy(response: Waveform) -> Waveform:
    """The response with an energy of 1."""
    scaled: Waveform = response / np.linalg.norm(response)
    return scaled


def any_late(frame: pd.DataFrame) -> bool:
    """Whether a response may be cut, by the onsets in the manifest; False where that does not state them."""
    known = "onset" in frame
    return known and bool((frame["onset"] > (LATE_SECONDS - DOUBT_SECONDS) * frame["sample_rate"]).any())
