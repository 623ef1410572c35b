"""Speaks a list of sentences with espeak-ng in a process of its own; started as a script by `voices.speak`.

The library keeps the phase of its flutter and of its noise sources in static variables that neither
``espeak_Terminate`` nor a change of voice resets: what a voice sounds like depends on everything the process said
before. A fresh process for each voice is the one state that can be had again. The generator behind breath noise is
seeded from the clock by ``espeak_Initialize``; `Espeak.speak` seeds it anew. Only the standard library is imported, so
that the interpreter can start without site-packages, in some 20 ms.

Standard input: one JSON object (``library``, ``data``, ``voice``, ``seconds``, ``utterances``). Standard output: for
each utterance its number of samples as a little-endian 32-bit integer, then 16-bit samples at 22,050 Hz.
"""

from __future__ import annotations

import ctypes
import json
import sys
from typing import Any

SAMPLE_RATE = 22_050
RATE, VOLUME, PITCH, RANGE = 1, 2, 3, 4  # espeak_PARAMETER
SYNCHRONOUS = 2  # AUDIO_OUTPUT_SYNCHRONOUS: espeak_Synth returns when everything has been handed to the callback
UTF8 = 1  # espeakCHARS_UTF8
SLOWEST_WPM, FASTEST_WPM = 100, 300

_Callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p)


class Espeak:
    """The espeak-ng of this process, speaking with one voice."""

    def __init__(self, library: str, data: str, voice: str) -> None:
        self._library = ctypes.CDLL(library)
        self._pcm = bytearray()
        self._callback = _Callback(self._collect)  # kept: ctypes does not hold a reference for the library
        if self._library.espeak_Initialize(SYNCHRONOUS, 0, data.encode(), 0) != SAMPLE_RATE:
            raise SystemExit(f"espeak-ng does not start at {SAMPLE_RATE} Hz with the data of {data}")
        self._library.espeak_SetSynthCallback(self._callback)
        if self._library.espeak_SetVoiceByName(voice.encode()) != 0:
            raise SystemExit(f"espeak-ng has no voice {voice!r}")

    def _collect(self, samples: int | None, count: int, _events: int | None) -> int:
        if samples and count > 0:
            self._pcm += ctypes.string_at(samples, 2 * count)
        return 0

    def speak(self, text: str, settings: dict[int, int], noise_seed: int) -> bytes:
        """Return the 16-bit samples of one sentence; `settings` maps espeak parameters to values."""
        self._pcm.clear()
        self._library.espeak_ng_SetRandSeed(ctypes.c_long(noise_seed))
        for parameter, value in settings.items():
            self._library.espeak_SetParameter(parameter, value, 0)
        encoded = text.encode()
        if self._library.espeak_Synth(encoded, len(encoded) + 1, 0, 0, 0, UTF8, None, None) != 0:
            raise SystemExit(f"espeak-ng could not speak {text!r}")
        self._library.espeak_Synchronize()
        return bytes(self._pcm)


def within(espeak: Espeak, utterance: dict[str, Any], seconds: tuple[float, float]) -> bytes:
    """Speak one utterance, and again faster or slower if it misses the wanted duration."""
    rate = int(utterance["rate_wpm"])
    fixed = {VOLUME: int(utterance["volume"]), PITCH: int(utterance["pitch"]), RANGE: int(utterance["pitch_range"])}
    shortest, longest = seconds
    pcm = b""
    for _ in range(3):
        pcm = espeak.speak(str(utterance["text"]), {RATE: rate, **fixed}, int(utterance["noise_seed"]))
        duration = len(pcm) / 2 / SAMPLE_RATE
        if shortest <= duration <= longest:
            break
        rate = round(rate * duration / (0.5 * (shortest + longest)))
        rate = max(SLOWEST_WPM, min(FASTEST_WPM, rate))
    return pcm


def main() -> None:
    """Read the request, write the samples."""
    request = json.load(sys.stdin)
    espeak = Espeak(request["library"], request["data"], request["voice"])
    shortest, longest = request["seconds"]
    for utterance in request["utterances"]:
        pcm = within(espeak, utterance, (float(shortest), float(longest)))
        sys.stdout.buffer.write((len(pcm) // 2).to_bytes(4, "little") + pcm)


if __name__ == "__main__":
    main()
