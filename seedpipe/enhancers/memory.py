"""How much memory is free: on this machine, within the limits of the container or job, and on a GPU."""

from __future__ import annotations

from pathlib import Path

import torch

MEMORY, GROUPS, OWN_GROUP = Path("/proc/meminfo"), Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")
SHARE = 0.8  # of what is free; the rest is for the network, its optimiser and the batches


def fits(size: int, device: torch.device) -> bool:
    """Whether so many bytes of embeddings fit on a device, and twice as many on the host on the way there.

    What is kept apart is cut out of one copy of the whole into another, on the host.
    """
    there = free_on(device) if device.type == "cuda" else free_on_host()
    return size <= SHARE * there and 2 * size <= SHARE * free_on_host()


def free_on(device: torch.device) -> int:
    """Bytes that are free on a GPU."""
    free, _ = torch.cuda.mem_get_info(device)
    return free


def free_on_host() -> int:
    """Bytes that this process may still take: of the machine, and of its control group and those above it."""
    lines = (line.partition(":") for line in MEMORY.read_text(encoding="ascii").splitlines())
    free = next(1024 * int(rest.split()[0]) for name, _, rest in lines if name == "MemAvailable")
    entries = OWN_GROUP.read_text(encoding="utf-8").splitlines() if OWN_GROUP.exists() else []
    own = next((line.removeprefix("0::/") for line in entries if line.startswith("0::/")), "")
    for group in (GROUPS / own, *(GROUPS / own).parents):
        if group.is_relative_to(GROUPS):
            free = min(free, _free_in(group, free))
    return free


def _free_in(group: Path, otherwise: int) -> int:
    """Bytes that a control group may still take; cached files count as free, as they give way."""
    try:
        limit = int((group / "memory.max").read_text(encoding="ascii"))
        taken = int((group / "memory.current").read_text(encoding="ascii"))
        statistics = (group / "memory.stat").read_text(encoding="ascii").split()
        cached = int(statistics[statistics.index("inactive_file") + 1])
    except (OSError, ValueError):  # no such group here, or no limit, which is spelled max
        return otherwise
    return limit - taken + cached
