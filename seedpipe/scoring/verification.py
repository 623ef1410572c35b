"""Two recordings to a verdict. How they are embedded is said in :mod:`seedpipe.scoring.recordings`."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Hashable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from seedpipe.audio.decode import read_audio
from seedpipe.audio.manifest import channel_of
from seedpipe.enhancers.audio import audio_remarks, clean_embeddings
from seedpipe.enhancers.base import CALIBRATION
from seedpipe.errors import MetricError
from seedpipe.files import StrPath
from seedpipe.params import Params
from seedpipe.scoring.calibration import Calibration, load_calibration
from seedpipe.scoring.crops import load_crops
from seedpipe.scoring.decision import expect_own
from seedpipe.scoring.pairs import cosine_scores
from seedpipe.scoring.recordings import System
from seedpipe.scoring.trials.manifest import list_clips
from seedpipe.scoring.trials.name_map import Clip


@dataclass(frozen=True)
class Recording:
    """One side of a verification."""

    path: str
    seconds: float
    level_dbfs: float
    """Mean power in dB of full scale; -inf for silence."""


@dataclass(frozen=True)
class Verification:
    """What is said of two recordings."""

    enrol: Recording
    test: Recording
    score: float
    """Cosine similarity of their embeddings, or of the means over their crops."""
    threshold: float
    """Where the verdict changes."""
    threshold_from: str
    """What says so: ``given``, or the file of the calibration."""
    llr: float | None
    """Natural logarithm of the likelihood ratio, where there is a calibration."""
    network: str
    enhancer: str
    """Kind of the enhancer, empty without."""
    remarks: tuple[str, ...] = ()

    @property
    def same(self) -> bool:
        """The verdict: whether the score reaches the threshold."""
        return self.score >= self.threshold

    def to_dict(self) -> dict[str, object]:
        """The result as plain data; a level of silence is None."""
        data = asdict(self) | {"same": self.same, "remarks": list(self.remarks)}
        for side in ("enrol", "test"):
            level = data[side]["level_dbfs"]
            data[side]["level_dbfs"] = level if math.isfinite(level) else None
        return data


def verify_files(
    enrol: StrPath,
    test: StrPath,
    *,
    network: str = "",
    model: StrPath | None = None,
    threshold: float | None = None,
    calibration: StrPath | None = None,
    crops: int = 0,
    params: Params | None = None,
) -> Verification:
    """Say whether one person speaks in two files.

    Parameters
    ----------
    enrol, test : str or PathLike
        Audio files.
    network, model, crops, params
        As for :func:`embed_files`.
    threshold : float, optional
        Cosine from which on the verdict is "same".
    calibration : str or PathLike, optional
        A calibration of scores of this very system: the threshold is where the likelihood ratio is 1. By default the
        one in the model folder, which ``seedpipe calibrate --model`` puts there and its card states.

    Returns
    -------
    Verification

    Raises
    ------
    MetricError
        Nothing says where the threshold is: it is never guessed. Or it is no cosine, or the calibration wants quality
        measures.
    NetworkError, ModelError, AudioError
        As for :func:`embed_files`.
    """
    limit, fitted, said = _threshold(threshold, calibration, model)
    system = System.of(network, model, None, crops, params or Params())
    clips = [Clip("enrol", Path(enrol)), Clip("test", Path(test))]
    frame, _ = list_clips(clips, channel=system.params.audio.channel)
    with (
        tempfile.TemporaryDirectory(prefix="seedpipe-") as folder,
        clean_embeddings(frame, system.network, Path(folder, "pair"), system.params, None) as made,
    ):
        embeddings = system.enhanced(load_crops(made).embeddings[:, :, 0])
        remarks = tuple(audio_remarks(frame, (), made.info))
        name = made.info.network.name
    score = float(cosine_scores(embeddings[:1], embeddings[1:])[0])
    first, second = (_recording(row) for row in frame.to_dict("records"))
    return Verification(
        enrol=first,
        test=second,
        score=score,
        threshold=limit,
        threshold_from=said,
        llr=float(fitted([score])[0]) if fitted else None,
        network=name,
        enhancer=system.enhancer.kind if system.enhancer else "",
        remarks=remarks,
    )


def _threshold(
    threshold: float | None, calibration: StrPath | None, model: StrPath | None
) -> tuple[float, Calibration | None, str]:
    """The threshold on cosines, the calibration behind it, and what says so."""
    if threshold is not None:
        if calibration is not None:
            raise MetricError("there are a threshold and a calibration", expected="one of them", remedy="leave one out")
        if not -1.0 <= threshold <= 1.0:
            raise MetricError(f"the threshold is {threshold}", expected="a cosine, from -1 to 1")
        return float(threshold), None, "given"
    own = None if model is None else Path(model, CALIBRATION)
    place = Path(calibration) if calibration is not None else own
    if place is None or (place == own and not place.exists()):
        raise MetricError(
            "nothing says from which similarity on two recordings are of one speaker",
            expected="a threshold, or a calibration",
            remedy="give --threshold, or fit one on scores of this system: seedpipe calibrate SCORES OUT --model MODEL",
            file=own,
        )
    fitted = load_calibration(place)
    expect_own(fitted, enhanced=model is not None)
    return fitted.threshold(), fitted, str(place)


def _recording(row: Mapping[Hashable, Any]) -> Recording:
    waveform = read_audio(row["path"], None, channel=channel_of(row["channel"]))
    power = float(np.square(waveform, dtype=np.float64).mean())
    level = 10 * math.log10(power) if power else -math.inf
    return Recording(row["path"], float(row["seconds"]), round(level, 2))
