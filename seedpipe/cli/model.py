"""``seedpipe train`` and ``seedpipe enhance``: SEED itself."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from seedpipe.cli.common import MAX_SEED, Json, ParamsFile, load_params_or_defaults
from seedpipe.console import Progress, guarded, show

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["enhance", "train"]


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

    settings = load_params_or_defaults(params).train
    given = {name: value for name, value in (("seed", seed), ("epochs", epochs)) if value is not None}
    draw = Progress("train", "epochs")

    def progress(epoch: Epoch, total: int) -> None:
        draw(epoch.epoch, total, f", loss {epoch.loss:.4f}")

    enhancer, result = run(open_cache(cache), out, settings.model_copy(update=given), progress=progress)
    eer = result.held_out_eer
    held_out = "" if eer is None else f"; held-out EER {100 * eer[0]:.2f} % before, {100 * eer[1]:.2f} % after"
    show({"model": str(out)} | result.as_dict(), f"{out}: {enhancer!r}{held_out}", as_json=json)


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
