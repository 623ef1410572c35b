"""The ``seedpipe`` command. Everything heavy is imported by the command that needs it, so that --help is quick."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from seedpipe.console import Progress, guarded, say, show

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from seedpipe.params import Params

__all__ = ["app", "main"]

app = typer.Typer(
    name="seedpipe",
    help="Make a frozen speaker network robust: cache its embeddings once, train SEED on them, score trial lists.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)

MAX_SEED = 2**63 - 1  # what a torch.Generator takes
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
ParamsFile = Annotated[
    Path | None, typer.Option("--params", help="A params.yaml; without one, the defaults of every parameter.")
]


def main() -> None:
    """Entry point of the console script."""
    app()


@app.callback(invoke_without_command=True)
def _version(
    version: Annotated[bool, typer.Option("--version", help="Print the version and leave.", is_eager=True)] = False,
) -> None:
    if version:
        from seedpipe import __version__

        show(__version__, f"seedpipe {__version__}", as_json=False)
        raise typer.Exit


@app.command("demo-corpus")
@guarded
def demo_corpus(
    out: Annotated[Path, typer.Argument(help="Folder of the corpus; an older one there is replaced.")],
    seed: Annotated[int, typer.Option(min=0, max=MAX_SEED, help="Seed of everything in it.")] = 0,
    jobs: Annotated[int, typer.Option(min=1, help="Worker processes.")] = 2,
    json: Json = False,
) -> None:
    """Make the synthetic demonstration corpus: espeak-ng voices, noise, music, rooms and a trial list.

    Example: seedpipe demo-corpus data/demo
    """
    from seedpipe.demo import build_demo_corpus

    made = build_demo_corpus(out, seed=seed, jobs=jobs, progress=Progress("demo-corpus", "parts"))
    result = {"folder": str(made.folder), "files": made.files, "seconds": made.seconds, "synthetic": True}
    show(result, f"{made.folder}: {made.files} files, {made.seconds / 60:.0f} min of synthetic audio", as_json=json)


@app.command()
@guarded
def manifest(
    root: Annotated[Path, typer.Argument(help="Data folder in the layout of docs/data.md.")],
    out: Annotated[Path, typer.Argument(help="Folder for speech.csv, music.csv, noise.csv and rir.csv.")],
    evaluation: Annotated[
        str, typer.Option("--list", help="Describe the utterances of eval/trials_NAME.txt instead of train/.")
    ] = "",
    params: ParamsFile = None,
    json: Json = False,
) -> None:
    """List the audio of a training corpus or of an evaluation list.

    Example: seedpipe manifest data/demo data_manifests/train
    """
    from seedpipe import layout
    from seedpipe.manifest import read_manifest

    loaded = _load(params)
    settings = loaded.manifest.model_copy(update={"root": root})
    progress = Progress("manifest", "files")
    if evaluation:
        layout.write_evaluation_manifests(settings, evaluation, out, jobs=2, progress=progress)
    else:
        skip = loaded.extract.on_bad_audio == "skip"
        for error in layout.write_training_manifests(settings, out, skip_bad=skip, jobs=2, progress=progress):
            say(f"seedpipe: left out: {error}")
    speech = read_manifest(out / "speech.csv")
    result = {"folder": str(out), "utterances": len(speech), "seconds": speech.seconds}
    show(result, f"{out}: {len(speech):,} utterances, {speech.seconds / 3600:.2f} h", as_json=json)


@app.command()
@guarded
def extract(
    manifests: Annotated[Path, typer.Argument(help="Folder that 'seedpipe manifest' wrote.")],
    out: Annotated[Path, typer.Argument(help="Folder of the cache; it appears when it is complete.")],
    network: Annotated[str, typer.Option(help="Registered name or package.module:factory.")] = "dvector",
    evaluation: Annotated[
        bool, typer.Option("--evaluation", help="Evenly spaced crops under every condition, for scoring.")
    ] = False,
    jobs: Annotated[int, typer.Option(min=0, help="Worker processes; 0 for one per core.")] = 0,
    params: ParamsFile = None,
    json: Json = False,
) -> None:
    """Cache the embeddings of a corpus. A second run goes on where the first one stopped.

    Example: seedpipe extract data_manifests/train cache/dvector/train --network dvector
    """
    from seedpipe.extract import extract as run

    loaded = _load(params)
    cache = run(
        manifests,
        network,
        out,
        loaded.extract,
        kind="evaluation" if evaluation else "training",
        machine=loaded.machine.model_copy(update={"jobs": jobs}),
        progress=Progress("extract", "utterances"),
    )
    result = {"cache": str(out), "rows": len(cache), "variants": cache.info.variants, "skipped": cache.info.skipped}
    show(result, repr(cache), as_json=json)


@app.command()
@guarded
def train(
    cache: Annotated[Path, typer.Argument(help="Training cache.")],
    out: Annotated[Path, typer.Argument(help="Model folder; an older one is replaced when training has ended well.")],
    seed: Annotated[int | None, typer.Option(min=0, max=MAX_SEED, help="Instead of train.seed.")] = None,
    epochs: Annotated[int | None, typer.Option(min=1, help="Instead of train.epochs.")] = None,
    params: ParamsFile = None,
    json: Json = False,
) -> None:
    """Train SEED on a cache.

    Example: seedpipe train cache/dvector/train models/dvector --epochs 30
    """
    from seedpipe.cache import open_cache
    from seedpipe.train import Epoch
    from seedpipe.train import train as run

    settings = _load(params).train
    given = {name: value for name, value in (("seed", seed), ("epochs", epochs)) if value is not None}
    draw = Progress("train", "epochs")

    def progress(epoch: Epoch, total: int) -> None:
        draw(epoch.epoch, total, f", loss {epoch.loss:.4f}")

    enhancer, result = run(open_cache(cache), out, settings.model_copy(update=given), progress=progress)
    eer = result.held_out_eer
    held_out = "" if eer is None else f"; held-out EER {100 * eer[0]:.2f} % before, {100 * eer[1]:.2f} % after"
    show({"model": str(out)} | result.as_dict(), f"{out}: {enhancer!r}{held_out}", as_json=json)


@app.command()
@guarded
def score(
    cache: Annotated[Path, typer.Argument(help="Evaluation cache.")],
    model: Annotated[Path, typer.Argument(help="Model folder.")],
    trials: Annotated[Path, typer.Argument(help="Trial list: 'label enrol test' or 'enrol test label'.")],
    out: Annotated[Path | None, typer.Option(help="Write the scores of every trial to this CSV file.")] = None,
    params: ParamsFile = None,
    json: Json = False,
) -> None:
    """Score a trial list with the network alone and with SEED.

    Example: seedpipe score cache/dvector/demo models/dvector data/demo/eval/trials_demo.txt
    """
    import seedpipe
    from seedpipe.cache import open_cache
    from seedpipe.enhance import Enhancer
    from seedpipe.files import whole_file
    from seedpipe.report import format_table
    from seedpipe.scoring import evaluate
    from seedpipe.trials import read_trials

    loaded = _load(params)
    name = trials.stem.removeprefix("trials_")
    embeddings = open_cache(cache)
    evaluations, table = evaluate(embeddings, Enhancer.load(model), read_trials(trials), loaded.score, name)
    if out:
        with whole_file(out) as partial:
            table.to_csv(partial, index=False, lineterminator="\n")
    report = {
        "title": name,
        "synthetic": embeddings.info.synthetic,
        "seedpipe_version": seedpipe.__version__,
        "made_by": "seedpipe score",
        "evaluations": evaluations,
    }
    show(report, "" if json else format_table(report), as_json=json)


@app.command()
@guarded
def enhance(
    model: Annotated[Path, typer.Argument(help="Model folder.")],
    source: Annotated[Path, typer.Argument(help="Embeddings: a .npy array (..., D), or a cache folder.")],
    out: Annotated[Path, typer.Argument(help="The enhanced embeddings, a .npy array of the same shape.")],
    seed: Annotated[int, typer.Option(min=0, max=MAX_SEED, help="Seed of the noise, for models that sample it.")] = 0,
    json: Json = False,
) -> None:
    """Enhance embeddings.

    Example: seedpipe enhance models/dvector embeddings.npy enhanced.npy
    """
    import numpy as np
    import torch

    from seedpipe.enhance import Enhancer
    from seedpipe.files import whole_file

    enhancer = Enhancer.load(model)
    embeddings = _embeddings(source, enhancer)
    enhanced = enhancer(embeddings, torch.Generator().manual_seed(seed))
    with whole_file(out) as partial, partial.open("wb") as file:
        np.save(file, enhanced)
    shape = " x ".join(map(str, enhanced.shape))
    show({"out": str(out), "shape": list(enhanced.shape)}, f"{out}: {shape} enhanced embeddings", as_json=json)


def _load(params: Path | None) -> Params:
    from seedpipe.params import Params, load_params

    return Params() if params is None else load_params(params)


def _embeddings(source: Path, enhancer: Any) -> NDArray[np.float32]:
    from zipfile import BadZipFile

    import numpy as np

    from seedpipe.cache import open_cache
    from seedpipe.errors import ModelError

    if source.is_dir():
        cache = open_cache(source)
        enhancer.expect(cache)
        return cache.to_numpy()
    try:
        with source.open("rb") as file:  # numpy leaves the file open when its contents are no archive
            array = np.load(file, allow_pickle=False)
    except (OSError, ValueError, EOFError, BadZipFile) as error:
        raise ModelError(
            f"holds no embeddings ({error})",
            expected="a .npy array or a cache folder",
            remedy="check the path",
            file=source,
        ) from error
    if not isinstance(array, np.ndarray) or array.dtype.kind != "f":
        raise ModelError("is no array of floating-point numbers", expected="a .npy array (..., D)", file=source)
    return array.astype(np.float32)
