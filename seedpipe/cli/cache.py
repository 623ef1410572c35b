"""``seedpipe cache``: look into embedding caches, check, import, export and listen to them."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from seedpipe.cli import usual
from seedpipe.cli.common import Json, expect_extension
from seedpipe.cli.usual import Command, Group
from seedpipe.console import ProgressBar, guarded, show
from seedpipe.errors import counted

if TYPE_CHECKING:
    from seedpipe.cache import Cache

app = typer.Typer(
    cls=Group,
    name="cache",
    help="Look into embedding caches, check, import, export and listen to them.",
    no_args_is_help=True,
)
CacheFolder = Annotated[Path, typer.Argument(help="Folder of the cache.")]


@app.command(cls=Command)
@guarded
def info(cache: CacheFolder, json: Json = False) -> None:
    """Say what a cache holds and where it comes from.

    Example: seedpipe cache info cache/dvector/train
    """
    from seedpipe.cache import open_cache

    opened = open_cache(cache)
    provenance = opened.info.model_dump(mode="json", exclude={"shards"})
    result = {"cache": str(cache)} | provenance | {"shards": len(opened.info.shards), "bytes": _size(opened)}
    show(result, _description(opened), as_json=json)


@app.command(cls=Command)
@guarded
def verify(cache: CacheFolder, json: Json = False) -> None:
    """Read every byte of a cache: digests, shapes, finite values.

    Example: seedpipe cache verify cache/dvector/train
    """
    import time

    from seedpipe.cache import open_cache
    from seedpipe.files import read_again

    def verified() -> Cache:
        opened = open_cache(cache)
        opened.verify(ProgressBar("verify", "bytes"))
        return opened

    started = time.monotonic()
    opened = read_again(cache / "manifest.json", verified)  # it may be replaced at any moment
    seconds = time.monotonic() - started
    shards, rows, gigabytes = len(opened.info.shards), opened.info.rows, _size(opened) / 1e9
    result = {"cache": str(cache), "shards": shards, "rows": rows, "gigabytes": gigabytes, "seconds": seconds}
    text = f"{cache}: intact; {counted(shards, 'shard')}, {counted(rows, 'row')}, {gigabytes:.3g} GB in {seconds:.2f} s"
    show(result, text, as_json=json)


@app.command(cls=Command)
@guarded
def export(
    cache: CacheFolder,
    out: Annotated[Path, typer.Argument(help="A .npz, .npy or .parquet file, or a Kaldi .ark.")],
    variant: Annotated[str, typer.Option(autocompletion=usual.variants, help="Only this variant, such as clean.")] = "",
    mean: Annotated[bool, typer.Option("--mean", help="Kaldi: the mean over the rows of each utterance.")] = False,
    json: Json = False,
) -> None:
    """Write the embeddings of a cache for other tools.

    Example: seedpipe cache export cache/dvector/train embeddings.npz --variant clean
    """
    from seedpipe.cache import open_cache
    from seedpipe.cache.exchange import export_cache

    opened = open_cache(cache)
    files = [str(path) for path in export_cache(opened, out, variant=variant, mean=mean)]
    show({"files": files, "rows": len(opened)}, f"{', '.join(files)}: {counted(len(opened), 'row')} read", as_json=json)


@app.command("import", cls=Command)
@guarded
def import_(
    out: Annotated[Path, typer.Argument(help="Folder of the cache; an older one that was imported is replaced.")],
    network: Annotated[str, typer.Option(help="Name of the network that made the embeddings.")],
    embeddings: Annotated[
        Path | None, typer.Option(help="Embeddings to be scored: .npz, .npy, .parquet, Kaldi .ark or .scp.")
    ] = None,
    condition: Annotated[
        list[str] | None, typer.Option(metavar="NAME=FILE", help="The same utterances under a condition; repeatable.")
    ] = None,
    clean: Annotated[Path | None, typer.Option(help="Clean embeddings to train on.")] = None,
    noisy: Annotated[
        list[str] | None, typer.Option(metavar="VARIANT=FILE", help="Noisy ones of the same rows; repeatable.")
    ] = None,
    ids: Annotated[Path | None, typer.Option(help="Names of the rows of .npy files, one a line.")] = None,
    network_digest: Annotated[str, typer.Option(help="Digest of the weights of the network, if known.")] = "",
    sample_rate: Annotated[int, typer.Option(min=1, help="Samples per second that the network takes.")] = 16_000,
    json: Json = False,
) -> None:
    """Make a cache from embeddings that another tool has extracted: pairs to train on, or some to score.

    Example: seedpipe cache import cache/mine/train --network mine --clean clean.npz --noisy noise=noisy.npz
    """
    from seedpipe.cache.exchange import import_cache

    if (embeddings is None) == (clean is None) or (condition and clean) or (noisy and embeddings):
        raise typer.BadParameter("give --embeddings (with --condition), or --clean with --noisy")
    files = {"clean": clean or embeddings or Path()} | _named(noisy if clean else condition)
    if ids is not None and ".npy" not in {file.suffix for file in files.values()}:
        raise typer.BadParameter("is for .npy files; others bring their names", param_hint="--ids")
    made = import_cache(
        out,
        files,
        kind="training" if clean else "evaluation",
        network=network,
        network_digest=network_digest,
        sample_rate=sample_rate,
        ids=ids,
    )
    result = {"cache": str(out), "rows": len(made), "variants": made.info.variants, "kind": made.info.kind}
    show(result, repr(made), as_json=json)


@app.command(cls=Command)
@guarded
def render(
    cache: CacheFolder,
    out: Annotated[Path | None, typer.Argument(help="The audio, a .wav file of floats.")] = None,
    *,
    row: Annotated[int, typer.Option(min=0, help="Number of the row, counted from 0.")],
    manifests: Annotated[Path, typer.Option(help="Folder of the manifests that the cache was made from.")],
    variant: Annotated[
        str | None, typer.Option(autocompletion=usual.variants, help="Variant of the row, as audio; clean by default.")
    ] = None,
    figure: Annotated[
        Path | None, typer.Option(help="Waveform and spectrogram of all its variants: .pdf, .png or .svg.")
    ] = None,
    json: Json = False,
) -> None:
    """Make the audio of one row again, to hear and to see what the network heard.

    Example: seedpipe cache render cache/dvector/train row.wav --row 7 --variant noise --manifests data_manifests/train

    Example: seedpipe cache render cache/dvector/train --row 7 --manifests data_manifests/train --figure row.pdf
    """
    from seedpipe import extract
    from seedpipe.cache import open_cache
    from seedpipe.files import whole_file

    if out is None and figure is None:
        raise typer.BadParameter("name a file for the audio, or --figure", param_hint="OUT")
    expect_extension(out, "OUT", ".wav")
    if out is None and variant is not None:
        raise typer.BadParameter(
            "is of the audio: name a file for it; a figure has all variants", param_hint="--variant"
        )
    opened, name = open_cache(cache), variant or "clean"
    found = extract.render_row(opened, row, manifests, [name, *(opened.info.variants if figure else ())])
    waveform, sample_rate = found[name], opened.info.network.sample_rate
    if figure:
        from seedpipe.results.figure_files import write_row

        write_row({name: found[name] for name in opened.info.variants}, sample_rate, figure)
    if out:
        with whole_file(out) as partial:
            partial.write_bytes(_wav_header(waveform.size, sample_rate) + waveform.astype("<f4").tobytes())
    seconds = waveform.size / sample_rate
    files = {"out": str(out) if out else None, "figure": str(figure) if figure else None}
    text = f"{', '.join(filter(None, files.values()))}: {seconds:.2f} s at {sample_rate:,} Hz"
    show(files | {"seconds": seconds, "sample_rate": sample_rate}, text, as_json=json)


def _wav_header(samples: int, sample_rate: int) -> bytes:
    """The header of a WAV file of one channel of floats; that of libsndfile has the time in it."""
    wave = struct.pack("<4sIHHIIHHH", b"fmt ", 18, 3, 1, sample_rate, 4 * sample_rate, 4, 32, 0)
    wave += struct.pack("<4sII4sI", b"fact", 4, samples, b"data", 4 * samples)
    return struct.pack("<4sI4s", b"RIFF", 4 + len(wave) + 4 * samples, b"WAVE") + wave


def _named(options: list[str] | None) -> dict[str, Path]:
    """Files by name, from options NAME=FILE."""
    files: dict[str, Path] = {}
    for option in options or []:
        name, equals, path = option.partition("=")
        if not name or not equals or not path or name == "clean" or name in files:
            wanted = "each NAME once and none 'clean'" if equals else f"say what it is, as noise={option}"
            raise typer.BadParameter(f"{option!r} is no NAME=FILE; {wanted}")
        files[name] = Path(path)
    return files


def _size(cache: Cache) -> int:
    return sum(shard.bytes for shard in cache.info.shards)


def _description(cache: Cache) -> str:
    """The provenance of a cache for people, a line for each thing."""
    info = cache.info
    network = info.network
    hours = f"{info.seconds / 3600:.2f} h of {'synthetic ' if info.synthetic else ''}audio"
    lines: dict[str, Any] = {
        "cache": cache.path,
        "kind": info.kind,
        "network": f"{network.name}, {network.dimension}-d, {network.sample_rate:,} Hz ({network.fingerprint[:16]})",
        "rows": f"{info.rows:,} of {counted(info.utterances, 'utterance')}",
        "variants": ", ".join(info.variants),
        "speech": hours if info.seconds else "unknown: the embeddings were imported",
        "resampled": "; ".join(_resampled(info.resampled, network.sample_rate)) or "none",
        "skipped": counted(info.skipped, "utterance"),
        "features": _pairs(info.features),
        "augmentation": _pairs({name: value for name, value in info.augmentation.items() if name != "files"}) or "none",
        "seed": info.seed,
        "storage": info.storage,
        "size": f"{_size(cache) / 1e9:.3g} GB in {counted(len(info.shards), 'shard')}",
        "fingerprint": info.fingerprint,
        "made with": _pairs(info.versions, " "),
    }
    return "\n".join(f"{name:<13}{value}" for name, value in lines.items())


def _resampled(counts: dict[str, int], wanted: int) -> list[str]:
    return [
        f"{counted(count, 'utterance')} from {int(rate):,} Hz"
        + (f" (upsampled: nothing above {int(rate) // 2:,} Hz in them)" if int(rate) < wanted else "")
        for rate, count in sorted(counts.items(), key=lambda item: int(item[0]))
    ]


def _pairs(values: dict[str, Any], between: str = "=") -> str:
    return ", ".join(f"{name}{between}{value}" for name, value in values.items())
