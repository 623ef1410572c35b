"""From a checkpoint file to the names that our networks use: wrappers, prefixes and losses go by rule.

Only tensors are read (``torch.load(weights_only=True)`` or safetensors): a file that wants to run code is refused.
This is the only module that opens checkpoints of others.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path

import torch
from torch import Tensor

from seedpipe.errors import NetworkError, counted, shortage
from seedpipe.files import StrPath, read_bytes, steady_input

State = dict[str, Tensor]
WRAPPERS = ("model", "model_state_dict", "state_dict", "model_state", "network", "net", "backbone")
SPEAKER = "__S__."
PREFIXES = ("module.", "model.", "network.", "net.", "backbone.", "speaker_encoder.", SPEAKER)
# Entries of a training run that are no part of the speaker network: losses, discriminators, a decoder, SEED itself.
SET_ASIDE = (
    "__L__.",
    "__L_C__.",
    "__L_AE__.",
    "__E_E__.",
    "__E_S__.",
    "__DE__.decoder.",
    "loss.",
    "loss_calculator.",
    "criterion.",
    "diffusion_network.",
    "diffusion_pipeline.",
)
AUTO_ENCODER = "__DE__.encoder."  # beside __S__., in checkpoints of the DRL authors
DEEPEST = 8  # wrappers in wrappers; one that holds itself has no end
LISTED = 10
NUMBERS = (
    torch.float64, torch.float32, torch.float16, torch.bfloat16,
    torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8, torch.bool,
)  # fmt: skip


def read_state(path: StrPath) -> State:
    """Read a checkpoint, as :func:`read_tensors` does, and bring its names into the form that our networks use.

    Raises
    ------
    NetworkError
        As there, or values are not finite.
    """
    path = Path(path)
    state = tidy(read_tensors(path))
    check_numbers(state, path)
    return state


def read_tensors(path: StrPath) -> State:
    """Read the tensors of a checkpoint by the names that they have in the file; wrappers around them are taken off.

    Parameters
    ----------
    path : path
        A file of ``torch.save``, or ``.safetensors``.

    Raises
    ------
    NetworkError
        The file is missing, damaged, or holds something else than tensors.
    """
    path = Path(path)
    if not path.exists():
        raise NetworkError("there is no such file", expected="a checkpoint", remedy="check the path", file=path)
    return _unwrap(_read_safetensors(path) if path.suffix == ".safetensors" else _read_torch(path), path)


def check_numbers(state: Mapping[str, Tensor], path: Path) -> None:
    """Refuse entries that are no plain arrays of finite numbers.

    Raises
    ------
    NetworkError
        The text counts the entries, and names the first ten.
    """
    broken = [name for name, value in state.items() if not _usable(value) or not _finite(value)]
    if broken:
        raise NetworkError(
            f"has entries that are no arrays of finite numbers ({listed(broken)})",
            remedy="take an earlier checkpoint",
            file=path,
        )


def _usable(value: Tensor) -> bool:
    """Whether a tensor is plain and dense and has as many numbers in the file as it claims to have."""
    plain = (
        not value.is_nested and value.layout == torch.strided and value.device.type == "cpu" and value.dtype in NUMBERS
    )
    return plain and value.numel() * value.element_size() <= value.untyped_storage().nbytes()


def _finite(value: Tensor) -> bool:
    """Whether all are finite numbers in single precision, in which networks compute."""
    return bool(torch.isfinite(value.float()).all())


def tidy(state: Mapping[str, Tensor]) -> State:
    """Set losses aside, strip the prefixes that all names share, and name the parts of a DRL checkpoint.

    Examples
    --------
    >>> list(tidy({"module.__S__.fc.weight": torch.zeros(1), "module.__L__.w": torch.zeros(1)}))
    ['fc.weight']
    """
    tidied = dict(state)
    while True:
        tidied = {name: value for name, value in tidied.items() if not name.startswith(SET_ASIDE)}
        if any(name.startswith(AUTO_ENCODER) for name in tidied):
            return {_part(name): value for name, value in tidied.items()}
        prefix = next((prefix for prefix in PREFIXES if tidied and all(n.startswith(prefix) for n in tidied)), None)
        if prefix is None:
            return tidied
        tidied = {name.removeprefix(prefix): value for name, value in tidied.items()}


def _part(name: str) -> str:
    """Our name for an entry of a DRL checkpoint."""
    for theirs, ours in ((AUTO_ENCODER, "encoder."), (SPEAKER, "speaker.")):
        if name.startswith(theirs):
            return ours + name.removeprefix(theirs)
    return name


def listed(items: Iterable[str]) -> str:
    """Count entries and name the first ten."""
    items = list(items)
    more = f" and {len(items) - LISTED} more" if len(items) > LISTED else ""
    return f"{len(items)} {'entry' if len(items) == 1 else 'entries'}: {', '.join(items[:LISTED])}{more}"


def _read_safetensors(path: Path) -> object:
    from safetensors import SafetensorError
    from safetensors.torch import load

    try:
        return load(read_bytes(path))
    except (SafetensorError, OSError, ValueError) as error:
        raise _unreadable(path, getattr(error, "strerror", None) or str(error)) from error


def _read_torch(path: Path) -> object:
    try:
        with warnings.catch_warnings(), steady_input(path) as file:
            warnings.simplefilter("ignore")  # about formats that are refused later, or that torch itself wrote
            return torch.load(file, map_location="cpu", weights_only=True)
    except OSError as error:
        raise shortage(error) or _unreadable(path, error.strerror or str(error)) from error
    except Exception as error:  # damaged files fail in any way
        text = str(error)
        objects = re.search(r"GLOBAL (\S+)", text)
        if objects:
            raise NetworkError(
                f"holds Python objects ({objects[1]}), which are not unpickled as they can run code",
                expected="tensors alone",
                remedy="save them alone where you trust the file: torch.save(model.state_dict(), FILE)",
                file=path,
            ) from error
        reason = re.search(r"WeightsUnpickler error: (.+)", text)
        raise shortage(error) or _unreadable(path, reason[1] if reason else "not what torch.save writes") from error


def _unreadable(path: Path, reason: str) -> NetworkError:
    line = reason.strip().splitlines()[0].rstrip(".") if reason.strip() else "no reason given"
    return NetworkError(
        f"is no readable checkpoint ({counted(path.stat().st_size, 'byte')}; {line[:120]})",
        expected="a file of torch.save, or .safetensors",
        remedy="fetch it again",
        file=path,
    )


def _unwrap(loaded: object, path: Path) -> State:
    """Find the tensors inside known wrappers."""
    for _ in range(DEEPEST):
        inner = (loaded.get(key) for key in WRAPPERS) if isinstance(loaded, Mapping) else ()
        loaded = next((value for value in inner if isinstance(value, Mapping)), loaded)
    if isinstance(loaded, Mapping) and loaded and all(isinstance(value, Tensor) for value in loaded.values()):
        return {str(name): value for name, value in loaded.items()}
    found = (
        f"a mapping of {', '.join(map(str, list(loaded)[:LISTED]))}" if isinstance(loaded, Mapping) else "no mapping"
    )
    raise NetworkError(
        f"holds {found}, not weights alone",
        expected=f"names and tensors, or those inside one of {', '.join(WRAPPERS)}",
        remedy="save the model's state_dict()",
        file=path,
    )
