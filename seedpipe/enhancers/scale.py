"""Whether embeddings are large enough for the noise of diffusion, which has unit power whatever they are."""

from __future__ import annotations

import math

from torch import Tensor

from seedpipe.enhancers.diffusion import Schedule
from seedpipe.enhancers.normalization import Normalization
from seedpipe.params import TrainParams

LEAST_SNR_DB = 10.0  # with unit power it is 20.3 dB at t = 50


def snr_db(embeddings: Tensor, schedule: Schedule, t: int) -> float:
    """Ratio of embeddings to noise at a timestep, in dB: abar_t mean(x_0^2) / (1 - abar_t).

    Parameters
    ----------
    embeddings : Tensor, shape (..., D)
        x_0, as they are diffused.
    schedule : Schedule
    t : int

    Examples
    --------
    Of 256 values and unit length, as d-vectors are:

    >>> import torch
    >>> round(snr_db(torch.full((1, 256), 1 / 16), Schedule(), 50), 1)
    -3.7
    """
    abar = float(schedule.alphas_cumprod[t])
    power = float(embeddings.double().square().mean())
    return 10 * math.log10(max(abar * power / (1 - abar), 1e-30)) if abar < 1 else math.inf


def scale_warnings(clean: Tensor, normalization: Normalization, params: TrainParams) -> tuple[str, ...]:
    """Say where the scale of embeddings leaves little of them beside the noise at the timestep in use.

    Parameters
    ----------
    clean : Tensor, shape (R, D)
        As the network gave them.
    normalization : Normalization
        What is done to them before diffusion; but for ``none``, they have unit power then.
    params : TrainParams
    """
    if normalization.kind != "none":
        return ()
    t, schedule = params.inference_step, Schedule.of(params)
    found = snr_db(clean, schedule, t)
    usual = snr_db(clean.new_ones(1), schedule, t)
    if found >= min(LEAST_SNR_DB, usual):
        return ()
    return (
        f"the embeddings are small beside the noise of diffusion: {found:.1f} dB at t = {t}, less than "
        f"{LEAST_SNR_DB:g} dB, where embeddings of unit power have {usual:.1f} dB; "
        "set train.normalize: length or length+center",
    )
