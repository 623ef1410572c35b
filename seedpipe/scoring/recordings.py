"""Recordings straight to embeddings: for whoever has audio and a network, and no list.

The network embeds the audio as an evaluation cache holds it: whole files, or evenly spaced crops of them. With a model,
the embeddings are enhanced.
"""

from __future__ import annotations

import glob
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from seedpipe.audio import find_audio
from seedpipe.cache.exchange import Provenance, export_cache
from seedpipe.cache.exchange.exporter import Shards
from seedpipe.cache.exchange.npz import Block, write_npz
from seedpipe.cache.exchange.vectors import BESIDE
from seedpipe.console import shown
from seedpipe.enhancers.audio import audio_remarks, clean_embeddings, expect_network
from seedpipe.enhancers.base import EmbeddingEnhancer
from seedpipe.enhancers.enhanced_cache import EnhancedShards, enhanced_network
from seedpipe.enhancers.files import FILES, Enhanced, Use
from seedpipe.enhancers.registry import load_enhancer
from seedpipe.errors import ExchangeError, ManifestError, NetworkError
from seedpipe.files import StrPath, file_beside
from seedpipe.networks import load_network
from seedpipe.networks.config import CONFIG
from seedpipe.params import Params
from seedpipe.scoring.trials.manifest import list_clips
from seedpipe.scoring.trials.name_map import Clip, read_name_map
from seedpipe.scoring.vectors import Floats
from seedpipe.workers import choose_device

if TYPE_CHECKING:
    from seedpipe.cache import Cache
    from seedpipe.console import ProgressCallback, Shown

MAPS = (".scp", ".jsonl", ".json")


def embed_files(
    audio: StrPath | Sequence[StrPath],
    out: StrPath,
    *,
    network: str = "",
    model: StrPath | None = None,
    use: Use | None = None,
    crops: int = 0,
    params: Params | None = None,
    progress: ProgressCallback | Shown | None = "shown",
) -> Enhanced:
    """Embed audio files into a file of embeddings, one vector of each.

    An interrupted run goes on where it stopped.

    Parameters
    ----------
    audio : str, PathLike or a sequence of them
        Files, folders, patterns such as ``speech/**/*.flac``, or maps of names (``wav.scp``; NeMo, lhotse). A file of a
        folder is called by its path below it, one of a map as that says, and any other by the path that is given.
    out : str or PathLike
        ``.npz``: arrays ``embeddings`` (N, D), ``utterance`` and ``draw`` (N,); ``.npy`` (N, D), with the names beside
        in a ``.txt``; ``.parquet``; Kaldi ``.ark`` with its ``.scp``.
    network : str
        See :func:`seedpipe.networks.load_network`; that of the model by default.
    model : str or PathLike, optional
        Model folder of an enhancer.
    use : Use, optional
        How the model is used.
    crops : int
        So many evenly spaced crops of each file, of ``extract.evaluation.crop_samples`` each, as rows with a number of
        their own. 0: one vector of the whole file.
    params : Params, optional
        The sections ``audio``, ``extract`` and ``machine`` matter.
    progress : callable or None
        Called with files done and files in all; a bar by default, None for silence.

    Returns
    -------
    Enhanced

    Raises
    ------
    NetworkError
        No network is named, it is unknown, or it is not that of the model.
    ModelError
        There is no model, or a setting is impossible.
    ManifestError
        There is no such file, nothing matches a pattern, or two files have one name.
    AudioError
        A file cannot be used.
    ExchangeError
        The extension of ``out`` is unknown, or a name cannot be written in its format.
    """
    params, out, started = params or Params(), Path(out), time.monotonic()
    bar = shown(progress, "embed", "files")
    if out.suffix not in FILES:
        found = f"has the extension {out.suffix or 'of none'}"
        raise ExchangeError(found, expected=", ".join(FILES), remedy="choose another name", file=out)
    if out.suffix in BESIDE:
        file_beside(out, BESIDE[out.suffix])
    system = System.of(network, model, use, crops, params)
    given = [audio] if isinstance(audio, str | Path) or not isinstance(audio, Sequence) else audio
    skip, jobs = params.extract.on_bad_audio == "skip", params.machine.workers
    clips = [clip for source in given for clip in _clips(source)]
    _expect_distinct(clips)
    frame, bad = list_clips(clips, channel=params.audio.channel, jobs=jobs, skip_bad=skip)
    with clean_embeddings(frame, system.network, out, system.params, bar) as made:
        files = _write(system.shards(made), out, system.provenance(made))
        rows, dimension, remarks = made.info.rows, made.info.network.dimension, audio_remarks(frame, bad, made.info)
    return Enhanced(tuple(files), rows, dimension, time.monotonic() - started, tuple(remarks))


@dataclass(frozen=True)
class System:
    """A network that embeds recordings, perhaps with an enhancer behind it."""

    network: str
    params: Params
    model: Path | None = None
    enhancer: EmbeddingEnhancer | None = None
    use: Use = field(default_factory=Use)

    @classmethod
    def of(cls, network: str, model: StrPath | None, use: Use | None, crops: int, params: Params) -> System:
        """Find network and model; what does not fit is met before any audio is read."""
        if not isinstance(crops, int) or crops < 0:
            raise ExchangeError(f"crops is {crops!r}", expected="a whole number, 0 for the whole file")
        enhancer = None if model is None else load_enhancer(model, choose_device(params.machine.device))
        if enhancer is None:
            if not network:
                raise NetworkError(
                    "no network is named", remedy="give one (--network dvector), or a model, which names its own"
                )
            if use and use.settings() != Use().settings():
                raise ExchangeError("settings are of a model, and there is none", remedy="give a model")
            load_network(network)
        else:
            network = network or _named(enhancer)
            expect_network(enhancer, network)
            (use or Use()).of(enhancer)
        wanted = {"crops": crops} if crops else {"whole": (Path(network).name,)}
        evaluation = params.extract.evaluation.model_copy(update={"whole": ()} | wanted)
        extract = params.extract.model_copy(update={"evaluation": evaluation})
        place = None if model is None else Path(model)
        return cls(network, params.model_copy(update={"extract": extract}), place, enhancer, use or Use())

    def enhanced(self, embeddings: Floats) -> Floats:
        """Embeddings (..., D) as this system has them."""
        return self.use.of(self.enhancer)(embeddings) if self.enhancer else embeddings

    def shards(self, made: Cache) -> Shards:
        """The shards of what the network made, enhanced where there is a model."""
        return EnhancedShards(made, self.use.of(self.enhancer), None) if self.enhancer else made

    def provenance(self, made: Cache) -> Provenance:
        """What the result says of what made it."""
        if self.model is None or self.enhancer is None:
            return Provenance.of_cache(made.info)
        kind = self.enhancer.kind
        return Provenance.of_network(enhanced_network(made.info.network, self.model, kind, self.use.settings()), kind)


def _named(enhancer: EmbeddingEnhancer) -> str:
    """The network that a model names: the folder of the project, or a name that is known everywhere."""
    name = enhancer.config.network.name
    own = Path("networks", name)
    return str(own) if (own / CONFIG).is_file() else name


def _clips(source: StrPath) -> Iterator[Clip]:
    """The recordings of a file, a folder, a map of names or a pattern."""
    path = Path(source)
    if path.is_dir():
        yield from (Clip(name, path / name) for name in find_audio(path))
    elif path.suffix in MAPS or (path.suffix == ".gz" and Path(path.stem).suffix in MAPS):
        yield from read_name_map(path).values()
    elif path.exists() or not glob.has_magic(str(path)):
        yield Clip(str(path), path)
    else:
        matches = sorted(glob.glob(str(path), recursive=True))  # noqa: PTH207 - the pattern may be absolute
        found = [each for each in matches if Path(each).is_file()]
        if not found:
            raise ManifestError("matches no files", expected="a pattern of audio files", remedy="check it", file=path)
        yield from (Clip(each, Path(each)) for each in found)


def _expect_distinct(clips: Sequence[Clip]) -> None:
    """Refuse two recordings of one name: their rows could not be told apart."""
    known: dict[str, Path] = {}
    for clip in clips:
        if clip.utterance in known:
            raise ManifestError(
                f"{known[clip.utterance]} and {clip.path} are both called {clip.utterance}",
                expected="a name of its own for each file",
                remedy="give the folder above them, or a wav.scp",
            )
        known[clip.utterance] = clip.path
    if not clips:
        raise ManifestError("no audio is given", expected="one file or more")


def _write(view: Shards, out: Path, provenance: Provenance) -> list[Path]:
    """Write rows (N, D) with their names, one shard in memory at a time."""
    info = view.info
    shape = (info.rows, info.network.dimension)
    if out.suffix == ".npz":
        return write_npz(out, shape, _blocks(view), provenance)
    return export_cache(view, out, mean=out.suffix == ".ark" and info.rows_per_utterance == 1, provenance=provenance)


def _blocks(view: Shards) -> Iterator[Block]:
    for shard in view.shards():
        yield {name: shard.columns[name] for name in ("utterance", "draw")}, shard.embeddings[:, 0]
