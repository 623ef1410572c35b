"""Speed of stage one: utterance-variants per second end to end, against the bare network and against the authors' way.

    python benchmarks/extract.py --data data/demo --networks dvector random_networks:ecapa
    python benchmarks/extract.py --data data/demo --networks dvector --list 575

Baselines, measured in the same run on the same crops:

- *bare forward*: the network alone on batches that already lie in memory, with as many processes as the extraction has
  workers (one thread each), and in one process with all threads; the faster of the two counts;
- *the authors' way*: one utterance at a time, the speech file decoded again for each variant, the noise file decoded at
  each use, the clean crop embedded twice.

With ``--list``, an evaluation list of so many utterances is measured instead, one crop of each under every condition:
its last shard is small, and no worker is to wait for another one at the end.

``random_networks`` beside this script has the paper's networks with random weights: speed does not depend on them.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from _common import reader
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from seedpipe.audio import augment, decode, layout, read_manifest, write_manifest
from seedpipe.audio.manifest import SPEECH
from seedpipe.cache import CacheKind
from seedpipe.console import ProgressBar
from seedpipe.extract import extract
from seedpipe.extract.crops import Cropper, load_banks
from seedpipe.extract.embed import BLOCK
from seedpipe.extract.spec import ExtractionSpec, Utterance
from seedpipe.networks import SpeakerNetwork, load_network
from seedpipe.params import EvaluationParams, ExtractParams, MachineParams, ManifestParams

SHARD = 16  # utterances; with 10 draws and 5 variants, 25 blocks


def main() -> None:
    """Measure every network and print one line for each."""
    parser = reader(__doc__, json=False)
    parser.add_argument("--data", type=Path, default=Path("data/demo"), help="data folder (docs/data.md)")
    parser.add_argument("--networks", nargs="+", default=["dvector"], help="names, folders or package.module:factory")
    parser.add_argument("--seconds", type=float, default=60.0, help="about as long shall each extraction take")
    parser.add_argument("--list", type=int, default=0, help="utterances of an evaluation list, measured instead")
    parser.add_argument("--jobs", type=int, default=2, help="worker processes")
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    arguments = parser.parse_args()
    os.environ["PYTHONPATH"] = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
    peak = matrix_rate(arguments.device, arguments.jobs)
    print(f"float32 matrix products: {peak / 1e9:,.0f} GFLOP/s ({arguments.jobs} threads)")
    for network in arguments.networks:
        with tempfile.TemporaryDirectory() as folder:
            if arguments.list:
                measure_list(network, arguments, Path(folder))
            else:
                measure(network, arguments, Path(folder), peak)


def measure(name: str, arguments: argparse.Namespace, folder: Path, peak: float) -> None:
    """Run the three ways on one network."""
    params, machine = ExtractParams(), MachineParams(jobs=arguments.jobs, device=arguments.device)
    layout.write_training_manifests(ManifestParams(root=arguments.data), folder / "all")
    bare = bare_forward(name, params, folder, arguments, "training")
    # As many utterances as fill the time, in shards of whole blocks, of which each worker gets as many: what is lost at
    # the end of a shard and of a run is next to nothing in a real corpus, and would be much of a short run.
    variants = 1 + len(params.variants)
    shards = max(2, round(bare * arguments.seconds / (SHARD * params.draws * variants * arguments.jobs)))
    params = params.model_copy(update={"shard_rows": SHARD * params.draws})
    utterances = shorten(folder, shards * arguments.jobs * SHARD)
    start = time.perf_counter()
    cache = extract(
        folder / "some",
        name,
        folder / "cache",
        params,
        kind="training",
        machine=machine,
        progress=ProgressBar(name, "utterances"),
    )
    seconds = time.perf_counter() - start
    ours = cache.info.rows * variants / seconds
    authors = authors_way(name, params, folder, arguments)
    network = load_network(name)
    print(
        f"{name}: {ours:,.1f} utterance-variants/s end to end ({utterances} utterances x {params.draws} draws x "
        f"{variants} variants in {seconds:.0f} s, start of the workers included)\n"
        f"  bare forward {bare:,.1f}/s: ratio {ours / bare:.2f}\n"
        f"  the authors' way {authors:,.1f}/s: ratio {ours / authors:.1f}"
        + share_of_peak(network, params.crop_samples, ours, peak)
    )


def measure_list(name: str, arguments: argparse.Namespace, folder: Path) -> None:
    """Extract an evaluation list of a given length, and compare it with the bare network."""
    params = ExtractParams(evaluation=EvaluationParams(crops=1))
    layout.write_training_manifests(ManifestParams(root=arguments.data), folder / "all")
    bare = bare_forward(name, params, folder, arguments, "evaluation")
    repeat(folder, arguments.list)
    start = time.perf_counter()
    cache = extract(
        folder / "some",
        name,
        folder / "cache",
        params,
        kind="evaluation",
        machine=MachineParams(jobs=arguments.jobs, device=arguments.device),
        progress=ProgressBar(name, "utterances"),
    )
    seconds = time.perf_counter() - start
    variants, shards = len(cache.info.variants), len(cache.info.shards)
    ours = cache.info.rows * variants / seconds
    print(
        f"{name}: {ours:,.1f} utterance-variants/s end to end ({arguments.list} utterances x {variants} variants "
        f"of an evaluation list in {seconds:.0f} s, {shards} shards, {arguments.jobs} workers, their start included)\n"
        f"  bare forward {bare:,.1f}/s: ratio {ours / bare:.2f}"
    )


def repeat(folder: Path, utterances: int) -> None:
    """Write manifests of so many utterances: those that there are, again and again under other names."""
    shorten(folder, utterances)
    path = folder / "some" / SPEECH
    frame = read_manifest(path).frame
    times = [frame.assign(utterance=frame["utterance"] + f"~{time}") for time in range(-(-utterances // len(frame)))]
    write_manifest(pd.concat(times, ignore_index=True).iloc[:utterances], path)


def shorten(folder: Path, utterances: int) -> int:
    """Write manifests of the first utterances only; fewer if there are not so many."""
    (folder / "some").mkdir()
    for path in (folder / "all").glob("*.csv"):
        manifest = read_manifest(path)
        frame = manifest.frame.iloc[:utterances] if path.name == SPEECH else manifest.frame
        write_manifest(
            frame.assign(path=[str(Path(name).absolute()) for name in frame["path"]]), folder / "some" / path.name
        )
    return len(read_manifest(folder / "some" / SPEECH))


def cropper(
    name: str, params: ExtractParams, folder: Path, device: str, kind: CacheKind = "training"
) -> tuple[Cropper, list[Utterance]]:
    """What decodes and mixes, and the first utterances."""
    spec = ExtractionSpec(name, device, folder / "all", kind, params, work=folder)
    network = load_network(name)
    banks = load_banks(spec, network.sample_rate)
    for bank in banks.values():
        bank.decode()
    frame = read_manifest(folder / "all" / SPEECH).frame.head(64)
    utterances = [
        Utterance(row.utterance, Path(row.path), row.digest, row.speaker, row.start_frame, row.frames)
        for row in frame.itertuples(index=False)
    ]
    return Cropper(spec, banks, network, torch.device(device)), utterances


# ------------------------------------------------------------------------------------------------------ bare forward


def bare_forward(
    name: str, params: ExtractParams, folder: Path, arguments: argparse.Namespace, kind: CacheKind
) -> float:
    """Waveforms per second of the network alone, by the faster of the two ways of using the cores."""
    crop, utterances = cropper(name, params, folder, arguments.device, kind)
    waveforms = [waveform for utterance in utterances[:16] for waveform in crop(utterance)[1][0].flatten(0, 1)]
    blocks = torch.stack(waveforms[: 2 * BLOCK]).split(BLOCK)
    together = rate_of(name, blocks, arguments.device, arguments.jobs)
    if arguments.device != "cpu":
        return together
    torch.save(list(blocks), folder / "blocks.pt")
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(arguments.jobs)
    results = context.Queue()
    workers = [
        context.Process(target=forward_alone, args=(name, folder / "blocks.pt", barrier, results))
        for _ in range(arguments.jobs)
    ]
    for worker in workers:
        worker.start()
    apart = sum(results.get() for _ in workers)
    for worker in workers:
        worker.join()
    return max(together, apart)


def forward_alone(name: str, path: Path, barrier: object, results: object) -> None:
    """One process with one thread; all start together."""
    rate = rate_of(name, torch.load(path, weights_only=True), "cpu", 1, barrier.wait)  # type: ignore[attr-defined]
    results.put(rate)  # type: ignore[attr-defined]


def rate_of(
    name: str, blocks: list[Tensor], device: str, threads: int, wait: Callable[[], object] = lambda: None
) -> float:
    """Waveforms per second over at least ten seconds."""
    torch.set_num_threads(threads)
    network = load_network(name).to(torch.device(device))
    done, end = 0, 0.0
    with torch.inference_mode():
        for block in blocks:
            network(block)
        wait()
        start = time.perf_counter()
        while end < start + 10:
            for block in blocks:
                network(block)
                done += len(block)
            if device == "cuda":
                torch.cuda.synchronize()
            end = time.perf_counter()
    return done / (end - start)


# -------------------------------------------------------------------------------------------------- the authors' way


def authors_way(name: str, params: ExtractParams, folder: Path, arguments: argparse.Namespace) -> float:
    """Utterance-variants per second of the plain loop, over at least ten seconds."""
    torch.set_num_threads(arguments.jobs)
    network = load_network(name).to(torch.device(arguments.device))
    crop, utterances = cropper(name, params, folder, "cpu")
    banks = crop.banks
    paths = {part: dict(bank._files) for part, bank in banks.items()}
    done = 0
    start = time.perf_counter()
    with torch.inference_mode():
        while time.perf_counter() < start + 10:
            for draw in range(params.draws):
                utterance = utterances[done % len(utterances)]
                generator = augment.keyed_generator(0, utterance.name, draw)
                for variant in ("clean", "clean", *params.variants):
                    speech = decode.read_audio(utterance.path, network.sample_rate)
                    clean = decode.crop(speech, int(generator.integers(max(1, speech.size))), params.crop_samples)
                    mixed = torch.from_numpy(np.array(clean))[None]
                    if variant != "clean":
                        recipe = augment.draw_recipe(variant, banks, params.augment, params.crop_samples, generator)
                        fresh = {
                            part: {n: decode.read_audio(paths[part][n][0], network.sample_rate)}
                            for part, n in used(variant, recipe)
                        }
                        mixed = plain_mix(variant, recipe, mixed, fresh, params.crop_samples)
                    network(mixed.to(arguments.device)).cpu()
                done += 1 + len(params.variants)
    return done / (time.perf_counter() - start)


def used(variant: str, recipe: augment.Recipe) -> list[tuple[str, str]]:
    """Parts and files of a recipe."""
    part = "music" if "music" in variant else "noise"
    return [(part, recipe.noise)] * bool(recipe.noise) + [("reverb", recipe.rir)] * bool(recipe.rir)


def plain_mix(
    variant: str, recipe: augment.Recipe, speech: Tensor, files: dict[str, dict[str, np.ndarray]], samples: int
) -> Tensor:
    """Mix one crop from files that were decoded for it alone."""
    if recipe.rir:
        speech = augment.reverberate(speech, [files["reverb"][recipe.rir]])
    if recipe.noise:
        part = "music" if "music" in variant else "noise"
        noise = decode.crop(files[part][recipe.noise], recipe.noise_offset, samples)
        speech = augment.mix_at_snr(speech, torch.from_numpy(np.array(noise))[None], recipe.snr_db)
    return speech


# ------------------------------------------------------------------------------------------------------ the machine


def share_of_peak(network: SpeakerNetwork, samples: int, rate: float, peak: float) -> str:
    """Operations of matrix products and convolutions against the machine's rate; torch counts no recurrent layers."""
    if isinstance(network, torch.nn.Module) and any(isinstance(part, torch.nn.RNNBase) for part in network.modules()):
        return ""
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        network(torch.zeros(BLOCK, samples))
    flops = rate * counter.get_total_flops() / BLOCK
    return f"\n  {flops / 1e9:,.0f} GFLOP/s end to end, {flops / peak:.0%} of the matrix-product rate"


def matrix_rate(device: str, threads: int) -> float:
    """Floating-point operations per second of a large float32 matrix product."""
    torch.set_num_threads(threads)
    size = 4096 if device == "cpu" else 8192
    left = torch.randn(size, size, device=device)
    best = 0.0
    for _ in range(8):
        start = time.perf_counter()
        product = left @ left
        float(product[0, 0])
        best = max(best, 2 * size**3 / (time.perf_counter() - start))
    return best


if __name__ == "__main__":
    main()
