"""Ways to run the frozen networks on one thread of a CPU, in alternation with the eager one in one process.

    python benchmarks/engines.py campplus random_networks:resnet34 --repeats 5

Each way is tried on the same block of 32 crops of 2 s. A line gives the least seconds of its repeats, how many times as
fast as eager that is, and the largest difference of an embedding as a share of the largest value.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

from seedpipe.extract.embed import BLOCK, one_thread
from seedpipe.networks import SpeakerNetwork, load_network
from seedpipe.networks.engine import in_engine

NETWORKS = ("campplus", *(f"random_networks:{name}" for name in ("resnet34", "ecapa", "wavlm_ecapa")), "dvector")
WAYS = ("eager", "channels_last", "frozen", "compiled", "bfloat16", "onnxruntime")
SAMPLES = 32_240
Way = Callable[[Tensor], Tensor]


def make(way: str, spec: str, waveforms: Tensor) -> Way:
    """A network in one of the ways; a fresh one, as some ways change it."""
    network = load_network(spec)
    if not isinstance(network, nn.Module):
        return network
    if way == "channels_last":
        return network.to(memory_format=torch.channels_last)
    if way == "frozen":  # batch norms folded into convolutions, weights laid out for the kernels
        return torch.jit.optimize_for_inference(torch.jit.freeze(torch.jit.trace(network, waveforms)))
    if way == "compiled":
        return torch.compile(network)
    if way == "bfloat16":
        return lambda block: _reduced(network, block)
    return in_engine(network, "onnxruntime" if way == "onnxruntime" else "eager")


def _reduced(network: SpeakerNetwork, block: Tensor) -> Tensor:
    with torch.autocast("cpu", torch.bfloat16):
        return network(block)


def measure(spec: str, ways: list[str], repeats: int) -> list[dict[str, object]]:
    """Seconds, ratio to eager and difference of each way that works for a network."""
    waveforms = 0.1 * torch.randn(BLOCK, SAMPLES, generator=torch.Generator().manual_seed(0))
    made: dict[str, Way] = {}
    outputs: dict[str, Tensor] = {}
    for way in ways:
        try:
            made[way] = make(way, spec, waveforms)
            outputs[way] = made[way](waveforms).float()
        except Exception as error:  # a network may not go into an engine, in any way
            print(f"{spec}: {way} does not work: {str(error).splitlines()[0][:100]}", file=sys.stderr)
    seconds = dict.fromkeys(outputs, float("inf"))
    for _ in range(repeats):
        for way in outputs:
            start = time.perf_counter()
            made[way](waveforms)
            seconds[way] = min(seconds[way], time.perf_counter() - start)
    largest = float(outputs["eager"].abs().max())
    return [
        {
            "network": spec,
            "engine": way,
            "seconds": round(seconds[way], 3),
            "ratio": round(seconds["eager"] / seconds[way], 2),
            "difference": float(f"{float((outputs[way] - outputs['eager']).abs().max()) / largest:.1e}"),
        }
        for way in outputs
    ]


def main() -> None:
    """Measure and print a table, or JSON lines."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("networks", nargs="*", default=NETWORKS, help="names, folders or package.module:factory")
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=WAYS, help="besides eager")
    parser.add_argument("--repeats", type=int, default=5, help="rounds; the least seconds count")
    parser.add_argument("--json", action="store_true", help="a line of JSON for each row")
    arguments = parser.parse_args()
    sys.path.insert(0, str(Path(__file__).parent))
    warnings.simplefilter("ignore")
    with one_thread(), torch.inference_mode():
        for spec in arguments.networks:
            for row in measure(spec, list(dict.fromkeys(("eager", *arguments.ways))), arguments.repeats):
                text = "{network:28} {engine:14} {seconds:8.3f} s {ratio:6.2f} x  {difference:.1e}".format(**row)
                print(json.dumps(row) if arguments.json else text, flush=True)


if __name__ == "__main__":
    main()
