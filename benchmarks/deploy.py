"""Network and enhancer as one graph: bytes, real-time factor on one core, cosine to torch, and EER of lists.

    python benchmarks/deploy.py --network campplus --model MODEL --list DATA/eval/trials_an4.txt

Graphs are compared in one run: the network alone, with weights in 8 bits, and, with a model, network and enhancer in
both. They are timed in turns on one waveform of 4 s, in processor time, which other work on the machine disturbs less;
what counts is the ratio to the network alone within a turn. Filter banks that a runtime makes are not in it. The lists
are scored with whole files.
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

SECONDS = 4.0
BASE = "network"
Graphs = dict[str, Any]


def run(session: Any, inputs: NDArray[np.float32]) -> NDArray[np.float32]:
    """What a graph makes of its only input."""
    (found,) = session.run(None, {session.get_inputs()[0].name: inputs})
    return cast("NDArray[np.float32]", found)


def timed(sessions: Graphs, network: SpeakerNetwork, repeats: int) -> dict[str, NDArray[np.float64]]:
    """Processor seconds of each run of every graph, side by side; one run before them is not counted."""
    samples = round(SECONDS * network.sample_rate)
    inputs = graph_inputs(network, torch.randn(1, samples, generator=torch.Generator().manual_seed(0)) * 0.1)
    times = np.zeros((repeats + 1, len(sessions)))
    for turn in times:
        for place, session in enumerate(sessions.values()):
            started = time.process_time()
            run(session, inputs)
            turn[place] = time.process_time() - started
    return dict(zip(sessions, times[1:].T, strict=True))


def errors(sessions: Graphs, network: SpeakerNetwork, trials: Trials) -> dict[str, float]:
    """EER of every graph on a list of whole files."""
    rows: dict[str, list[NDArray[np.float32]]] = {name: [] for name in sessions}
    for clip, utterance in zip(clips_below(trials.path.parent, trials), trials.utterances, strict=True):
        if clip is None:
            raise SystemExit(f"{utterance} has no file under {trials.path.parent}")
        inputs = graph_inputs(network, torch.from_numpy(read_audio(clip.path, network.sample_rate))[None])
        for name, session in sessions.items():
            rows[name].append(run(session, inputs))
    print(f"{trials.path.stem}: {len(trials.utterances)} files, {len(trials.labels):,} trials", flush=True)
    found = {}
    for name, embeddings in rows.items():
        both = np.stack(embeddings)
        found[name] = metrics.eer(pair_scores(both, both, trials.enrol, trials.test, "cosine"), trials.labels)
    return found


def graphs(network: str, enhancer: Enhancer | None, folder: Path) -> tuple[Graphs, dict[str, dict[str, Any]]]:
    """The sessions of all graphs, and their sizes and cosines."""
    sessions, facts = {}, {}
    for name, given in ((BASE, None), ("fused", enhancer)):
        for int8 in (False, True) if name == BASE or given else ():
            title = f"{name} int8" if int8 else name
            made = export_fused(given, network, folder / "one.onnx", int8=int8)
            sessions[title] = open_session(made.path.read_bytes())
            facts[title] = {"bytes": made.bytes, "cosine": made.cosine}
    return sessions, facts


def main() -> None:
    """Print a row for each graph."""
    parser = reader(__doc__)
    parser.add_argument("--network", required=True)
    parser.add_argument("--model", type=Path, help="folder of an enhancer of this network")
    parser.add_argument("--list", type=Path, action="append", default=[], help="a trial list beside its audio")
    parser.add_argument("--repeats", type=int, default=21, help="turns that are timed; 0: none")
    asked = parser.parse_args()
    network = load_network(asked.network)
    enhancer = cast("Enhancer", load_enhancer(asked.model)) if asked.model else None
    with tempfile.TemporaryDirectory() as folder:
        sessions, figures = graphs(asked.network, enhancer, Path(folder))
    for place in asked.list:
        for name, eer in errors(sessions, network, read_trials(place)).items():
            figures[name][place.stem] = eer
    for name, times in (timed(sessions, network, asked.repeats) if asked.repeats else {}).items():
        figures[name] |= {"seconds": times.tolist()}
    columns = "".join(f"{place.stem.removeprefix('trials_')[:12] + ' EER %':>20}" for place in asked.list)
    print(f"{'graph':<14}{'MB':>8}{'RTF':>9}{'to network':>24}{'cosine':>10}{columns}")
    for name, row in figures.items():
        print(f"{name:<14}{row['bytes'] / 1e6:>8.2f}{_speed(row, figures[BASE]):>33}{row['cosine']:>10.5f}", end="")
        print("".join(f"{100 * row[place.stem]:>20.2f}" for place in asked.list), flush=True)
    keep(asked.json, figures)


def _speed(row: dict[str, Any], base: dict[str, Any]) -> str:
    """Median real-time factor, and median and quartiles of the ratio to the network alone."""
    if "seconds" not in row:
        return ""
    times, ratios = np.array(row["seconds"]), np.array(row["seconds"]) / np.array(base["seconds"])
    low, middle, high = np.quantile(ratios, (0.25, 0.5, 0.75))
    return f"{np.median(times) / SECONDS:>9.4f}{middle:>10.2f} [{low:.2f}, {high:.2f}]"


if __name__ == "__main__":
    main()
