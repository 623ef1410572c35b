"""Make a frozen speaker network robust: cache its embeddings once, train SEED in minutes, score trial lists.

The names below are the public surface; they are loaded when first used, so importing seedpipe costs nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from seedpipe._version import __version__

if TYPE_CHECKING:
    from seedpipe.cache import Cache, open_cache
    from seedpipe.enhancers import load_enhancer
    from seedpipe.enhancers.seed import Enhancer
    from seedpipe.errors import SeedpipeError
    from seedpipe.params import Params, load_params

__all__ = [
    "Cache",
    "Enhancer",
    "Params",
    "SeedpipeError",
    "__version__",
    "load_enhancer",
    "load_params",
    "open_cache",
]

_HOMES = {
    "Cache": "cache",
    "Enhancer": "enhancers.seed",
    "Params": "params",
    "SeedpipeError": "errors",
    "load_enhancer": "enhancers",
    "load_params": "params",
    "open_cache": "cache",
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
