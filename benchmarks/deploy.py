"""Network and enhancer as one graph: bytes, real-time factor at 4 s on one core, cosine to torch, and EER of a list.

    python benchmarks/deploy.py MODEL --network campplus --list ../shared/data/eval/trials_an4.txt

Three graphs are compared in one run: the network alone, network and enhancer, and these with weights in 8 bits. The
list is scored with whole files by the two graphs with the enhancer.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from _common import keep, reader
from numpy.typing import NDArray

from seedpipe import metrics
from seedpipe.audio.decode import read_audio
from seedpipe.enhancers import Enhancer, export_fused, load_enhancer
from seedpipe.enhancers.fused import graph_inputs
from seedpipe.networks import SpeakerNetwork, load_network
from seedpipe.networks.onnx import open_session
from seedpipe.scoring import pair_scores
from seedpipe.scoring.trials import Trials, read_trials
from seedpipe.scoring.trials.manifest import clips_below

SECONDS, REPEATS = 4.0, 20


def real_time_factor(session: Any, network: SpeakerNetwork) -> float:
    """Least time of many runs on one waveform, over its length; filter banks that a runtime makes are not in it."""
    samples = round(SECONDS * network.sample_rate)
    inputs = graph_inputs(network, torch.randn(1, samples, generator=torch.Generator().manual_seed(0)) * 0.1)
    times = []
    for _ in range(REPEATS):
        started = time.perf_counter()
        session.run(None, {session.get_inputs()[0].name: inputs})
        times.append(time.perf_counter() - started)
    return min(times) / SECONDS


def eer(session: Any, network: SpeakerNetwork, trials: Trials, folder: Path) -> float:
    """EER of a list of whole files."""
    rows: list[NDArray[np.float32]] = []
    for clip in clips_below(folder, trials):
        if clip is None:
            raise SystemExit(f"utterances of the list have no file under {folder}")
        waveform = torch.from_numpy(read_audio(clip.path, network.sample_rate))[None]
        rows.append(session.run(None, {session.get_inputs()[0].name: graph_inputs(network, waveform)})[0])
    embeddings = np.stack(rows)
    scores = pair_scores(embeddings, embeddings, trials.enrol, trials.test, "cosine")
    return metrics.eer(scores, trials.labels)


def main() -> None:
    """Print a row for each graph."""
    parser = reader(__doc__)
    parser.add_argument("model", type=Path, help="model folder")
    parser.add_argument("--network", required=True, help="the network of the model")
    parser.add_argument("--list", type=Path, help="a trial list beside the folder of its audio")
    asked = parser.parse_args()
    network, enhancer = load_network(asked.network), cast("Enhancer", load_enhancer(asked.model))
    trials = read_trials(asked.list) if asked.list else None
    figures: dict[str, Any] = {}
    print(f"{'graph':<22}{'MB':>8}{'RTF':>9}{'cosine':>10}{'EER %':>8}")
    with tempfile.TemporaryDirectory() as folder:
        for name, given, int8 in (("network", None, False), ("fused", enhancer, False), ("fused int8", enhancer, True)):
            made = export_fused(given, asked.network, Path(folder, "one.onnx"), int8=int8)
            session = open_session(made.path.read_bytes())
            row: dict[str, Any] = {"bytes": made.bytes, "rtf": real_time_factor(session, network)}
            row["cosine"] = made.cosine
            if trials and given:
                row["eer"] = eer(session, network, trials, asked.list.parent)
            figures[name] = row
            found = f"{100 * row['eer']:>8.2f}" if "eer" in row else ""
            print(f"{name:<22}{made.bytes / 1e6:>8.2f}{row['rtf']:>9.4f}{made.cosine:>10.5f}{found}", flush=True)
    keep(asked.json, figures)


if __name__ == "__main__":
    main()
