"""Checks of the machine and of what is installed; each one gives what it found."""

from __future__ import annotations

import importlib.metadata
import io
import platform
from collections.abc import Sequence
from pathlib import Path

import joblib
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from seedpipe.errors import counted, install
from seedpipe.project.finding import Finding

DISTRIBUTION = "seedpipe"
FORMATS = {"WAV": "PCM_16", "FLAC": "PCM_16", "OGG": "VORBIS", "MP3": "MPEG_LAYER_III"}
GIGA = 1e9


def python() -> Finding:
    """The version of Python against what the package asks for."""
    wanted = importlib.metadata.metadata(DISTRIBUTION)["Requires-Python"]
    found = platform.python_version()
    if found in SpecifierSet(wanted):
        return Finding("Python", "ok", found)
    return Finding("Python", "missing", f"{found}; expected {wanted}", "make an environment with another Python")


def packages() -> Finding:
    """The packages that seedpipe always needs, in the versions that it asks for."""
    wanted = [each for each in _requirements() if each.marker is None or each.marker.evaluate({"extra": ""})]
    lacking = _lacking(wanted)
    if lacking:
        names = " ".join(f'"{each.name}{each.specifier}"' for each in lacking)
        return Finding("packages", "missing", "; ".join(map(_difference, lacking)), f"pip install {names}")
    versions = ", ".join(f"{each.name} {_version(each.name)}" for each in wanted)
    return Finding("packages", "ok", versions)


def torchaudio() -> Finding:
    """Whether torchaudio loads: its wheel needs the CUDA build of the same torch release."""
    try:
        import torch
        import torchaudio as loaded
    except (ImportError, OSError) as error:
        reason = " ".join(str(error).split())
        remedy = 'pip install --force-reinstall "torch>=2.11,<2.12" "torchaudio>=2.11,<2.12" from the default registry'
        return Finding("torchaudio", "missing", f"does not load ({reason})", remedy)
    return Finding("torchaudio", "ok", f"{loaded.__version__} loads beside torch {torch.__version__}")


def sound_formats() -> Finding:
    """Whether the formats that corpora come in can be written and read back."""
    import soundfile

    lacking = [name for name, subtype in FORMATS.items() if not _goes_round(name, subtype)]
    library = f"libsndfile {soundfile.__libsndfile_version__}"
    if lacking:
        remedy = "pip install --force-reinstall soundfile, whose wheel brings a libsndfile that reads them"
        return Finding("audio formats", "missing", f"{library} lacks {', '.join(lacking)}", remedy)
    return Finding("audio formats", "ok", f"{', '.join(FORMATS)} ({library})")


def gpu(device: str = "auto") -> Finding:
    """Whether there is a GPU and it computes.

    Parameters
    ----------
    device : str
        ``machine.device`` of the project.
    """
    import torch

    if not torch.cuda.is_available():
        remedy = "install the driver, or set machine.device: auto in params.yaml"
        found = "none; networks run on the CPU"
        return Finding("GPU", "missing", found, remedy) if device == "cuda" else Finding("GPU", "ok", found)
    name = torch.cuda.get_device_name()
    try:
        ones = torch.ones(64, 64, device="cuda")
        correct = bool((ones @ ones == 64).all())
    except RuntimeError as error:
        reason = str(error).partition("\n")[0]
        remedy = "update the driver, or set machine.device: cpu in params.yaml"
        return Finding("GPU", "note" if device == "cpu" else "missing", f"{name} does not compute ({reason})", remedy)
    free, total = (size / GIGA for size in torch.cuda.mem_get_info())
    text = f"{name}, {free:.0f} of {total:.0f} GB free"
    return Finding("GPU", "ok" if correct else "missing", text, "" if correct else "it computes wrong numbers")


def cores_and_memory() -> Finding:
    """How many cores this process may use, and how much memory there is."""
    cores = joblib.cpu_count()
    lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    kilobytes = {name: int(rest.split()[0]) for name, _, rest in (line.partition(":") for line in lines)}
    total, free = (kilobytes[name] * 1024 / GIGA for name in ("MemTotal", "MemAvailable"))
    return Finding(
        "cores and memory", "ok", f"{counted(cores, 'core')}; {total:.0f} GB of memory, {free:.0f} GB of it available"
    )


def extras(needed: Sequence[str] = ()) -> list[Finding]:
    """Which optional parts are installed.

    Parameters
    ----------
    needed : sequence of str
        Extras that the project cannot do without.
    """
    names = importlib.metadata.metadata(DISTRIBUTION).get_all("Provides-Extra") or []
    lacking = {name: _lacking(_of_extra(name)) for name in sorted(names)}
    missing = [
        Finding(f"extra {name}", "missing", "; ".join(map(_difference, lacking[name])), install(name))
        for name in needed
        if lacking.get(name)
    ]
    present = ", ".join(name for name, faults in lacking.items() if not faults) or "none"
    absent = [name for name, faults in lacking.items() if faults and name not in needed]
    found = f"installed: {present}" + (f"; not installed: {', '.join(absent)}" if absent else "")
    remedy = "install seedpipe again from its folder or wheel, with [NAME] behind it, if you want one" if absent else ""
    return [*missing, Finding("extras", "note" if absent else "ok", found, remedy)]


def _requirements() -> list[Requirement]:
    return [Requirement(line) for line in importlib.metadata.requires(DISTRIBUTION) or []]


def _of_extra(name: str) -> list[Requirement]:
    return [
        each
        for each in _requirements()
        if each.marker and each.marker.evaluate({"extra": name}) and not each.marker.evaluate({"extra": ""})
    ]


def _lacking(wanted: Sequence[Requirement]) -> list[Requirement]:
    return [each for each in wanted if (found := _version(each.name)) is None or found not in each.specifier]


def _version(name: str) -> str | None:
    """Version of an installed package."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _difference(wanted: Requirement) -> str:
    found = _version(wanted.name)
    return f"{wanted.name} is not installed" if found is None else f"{wanted.name} {found}, not {wanted.specifier}"


def _goes_round(kind: str, subtype: str) -> bool:
    """Whether a second of a ramp can be encoded and decoded again."""
    import numpy as np
    import soundfile

    buffer = io.BytesIO()
    try:
        soundfile.write(buffer, np.linspace(-0.5, 0.5, 16_000), 16_000, subtype, format=kind)
        buffer.seek(0)
        samples, _ = soundfile.read(buffer)
    except (soundfile.LibsndfileError, ValueError):
        return False
    return len(samples) >= 16_000
