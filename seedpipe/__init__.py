"""Make a frozen speaker network robust: cache its embeddings once, train SEED in minutes, score trial lists.

The names below are the public surface; they are loaded when first used, so importing seedpipe costs nothing.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

__version__ = "0.1.0"

# Threads that wait for each other by spinning starve each other on a busy machine, where a training took four to nine
# times as long (docs/performance.md). It is read when torch is loaded: of no use where a caller has done that before.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

if TYPE_CHECKING:
    from seedpipe.cache import Cache, open_cache
    from seedpipe.enhancers import load_enhancer, train_enhancer
    from seedpipe.enhancers.seed import Enhancer
    from seedpipe.errors import SeedpipeError
    from seedpipe.params import Params, load_params
    from seedpipe.results import figures as plot
    from seedpipe.scoring import embed_files, verify_files

__all__ = [
    "Cache",
    "Enhancer",
    "Params",
    "SeedpipeError",
    "__version__",
    "embed_files",
    "load_enhancer",
    "load_params",
    "open_cache",
    "plot",
    "train_enhancer",
    "verify_files",
]

_HOMES = {
    "Cache": "cache",
    "Enhancer": "enhancers.seed",
    "Params": "params",
    "SeedpipeError": "errors",
    "embed_files": "scoring",
    "load_enhancer": "enhancers",
    "load_params": "params",
    "open_cache": "cache",
    "plot": "results.figures",
    "train_enhancer": "enhancers",
    "verify_files": "scoring",
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    module = importlib.import_module(f"{__name__}.{_HOMES[name]}")
    return module if name == "plot" else getattr(module, name)


def __dir__() -> list[str]:
    return __all__
