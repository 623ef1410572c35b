"""What files of embeddings say of what made them: an array ``seedpipe`` in .npz, metadata of that name in Parquet.

Files of other tools, and .npy and Kaldi files, say nothing.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from seedpipe.cache.format import CacheInfo, NetworkInfo
from seedpipe.errors import ExchangeError

SAYS = "seedpipe"
"""Name under which a file says it."""


@dataclass(frozen=True)
class Provenance:
    """What made embeddings.

    Parameters
    ----------
    network : str
        Name of the network, or of network and enhancer.
    fingerprint : str
        Of the network; of enhanced embeddings that of the network, the model and its settings together.
    enhancer : str
        Kind of the enhancer that they went through; empty where there was none.
    """

    network: str
    fingerprint: str
    enhancer: str = ""

    @classmethod
    def of_cache(cls, info: CacheInfo) -> Provenance:
        """That of the embeddings of a cache."""
        return cls.of_network(info.network, str(info.features.get("enhancer", "")))

    @classmethod
    def of_network(cls, network: NetworkInfo, enhancer: str = "") -> Provenance:
        """That of the embeddings of a network."""
        return cls(network.name, network.fingerprint, enhancer)

    def __str__(self) -> str:
        enhanced = f", enhanced by {self.enhancer}" if self.enhancer else ""
        return f"{self.network} ({self.fingerprint[:16]}{enhanced})"

    def to_json(self) -> str:
        """Write it as text."""
        return json.dumps(asdict(self))


def read_provenance(path: Path, text: str | bytes | None) -> Provenance | None:
    """Read what :meth:`Provenance.to_json` wrote into a file; None where there is nothing.

    Raises
    ------
    ExchangeError
        The text is another one.
    """
    if text is None:
        return None
    try:
        parts = json.loads(text)
        found = Provenance(**parts)
        if not all(isinstance(part, str) for part in parts.values()):
            raise TypeError("a part is no text")
    except (ValueError, TypeError, RecursionError) as error:
        raise ExchangeError(
            f"says what made it in a way that is not understood ({error})",
            expected="what seedpipe writes",
            remedy="export it again",
            file=path,
        ) from error
    return found


def expect_same(sources: Iterable[tuple[Path, Provenance | None]], what: str) -> list[str]:
    """Refuse sources of embeddings that say that different networks or enhancers made them.

    Parameters
    ----------
    sources : iterable of (Path, Provenance or None)
        Files or caches, and what they say.
    what : str
        What is checked, for the remark, as ``whether all are of one network``.

    Returns
    -------
    list of str
        A remark where some of them say nothing; empty where all do, or there is one.

    Raises
    ------
    ExchangeError
        Two differ.
    """
    said = list(sources)
    known = [(path, provenance) for path, provenance in said if provenance]
    for path, provenance in known[1:]:
        if provenance.fingerprint != known[0][1].fingerprint:
            raise ExchangeError(
                f"embeddings are of {provenance}",
                expected=f"{known[0][1]}, as in {known[0][0]}",
                remedy="use embeddings of one network, all enhanced in one way or none",
                file=path,
            )
    unknown = ", ".join(str(path) for path, provenance in said if provenance is None)
    if not unknown or len(said) == 1:
        return []
    return [f"{unknown}: what made these embeddings is not known, so {what} was not checked"]
