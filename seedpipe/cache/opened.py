"""A shard that is open and verified, and what is said of one that is not as it was written."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seedpipe.cache.format import Extents, ShardInfo
from seedpipe.errors import CacheDamagedError, counted
from seedpipe.files import open_input


@dataclass(frozen=True)
class OpenShard:
    """One verified shard.

    Its data are the bytes that were verified, or None when they were verified earlier: then it is read from the file.
    """

    path: Path
    extents: Extents
    data: NDArray[np.uint8] | None

    def array(self, name: str, start: int = 0, stop: int | None = None) -> NDArray[Any]:
        """A dataset, or some rows of it; text as str."""
        return self.arrays((name,), start, stop)[name]

    def arrays(self, names: Sequence[str], start: int = 0, stop: int | None = None) -> dict[str, NDArray[Any]]:
        """Several datasets by name, or some rows of them; text as str."""
        with damage(self.path), self._source() as source:
            arrays = {name: self.extents[name].read(source, start, stop) for name in names}
            return {
                name: np.char.decode(values, "utf-8") if values.dtype.kind == "S" else values
                for name, values in arrays.items()
            }

    def _source(self) -> AbstractContextManager[Any]:
        return open_input(self.path) if self.data is None else nullcontext(self.data)


@contextmanager
def damage(path: Path) -> Iterator[None]:
    """Turn what can go wrong in reading a shard into our error."""
    try:
        yield
    except FileNotFoundError as error:
        raise damaged(path, "is missing") from error
    except OSError as error:
        raise damaged(path, f"cannot be read ({error.strerror or error})") from error
    except (EOFError, KeyError, RuntimeError, TypeError, ValueError) as error:
        raise damaged(path, f"cannot be read ({error})") from error


def check_size(path: Path, shard: ShardInfo, size: int) -> None:
    """Refuse a file of another size than the manifest says."""
    if size != shard.bytes:
        raise damaged(path, f"has {counted(size, 'byte')} instead of {shard.bytes}")


def damaged(path: Path, found: str, expected: str = "") -> CacheDamagedError:
    """The error of a file that is not as it was written."""
    return CacheDamagedError(found, expected=expected, remedy="extract the cache again", file=path)
