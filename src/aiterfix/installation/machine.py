"""What can be told of the machine itself by reading: its AMD GPUs, and whether a folder can be written to."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path

from aiterfix.storage.held import read_file

TOPOLOGY = Path("/sys/class/kfd/kfd/topology/nodes")
"""Where the kernel driver of AMD GPUs lists what it drives, a folder a node; processors are nodes too."""
_TARGET = re.compile(rb"^gfx_target_version (\d+)$", re.MULTILINE)
_MOST_BYTES = 1 << 16


def gpus(topology: Path = TOPOLOGY) -> tuple[str, ...] | None:
    """Instruction sets of the AMD GPUs here, such as ``gfx950``, one a GPU; None where no driver lists any."""
    try:
        nodes = sorted(os.listdir(topology), key=lambda n: (len(n), n))  # noqa: PTH208 - names
    except OSError:
        return None
    found = []
    for node in nodes:
        try:
            stated = _TARGET.search(read_file(topology / node / "properties", most=_MOST_BYTES))
        except OSError:
            continue
        if stated is not None and int(stated[1]):
            major, minor, step = int(stated[1]) // 10000, int(stated[1]) // 100 % 100, int(stated[1]) % 100
            found.append(f"gfx{major}{minor:x}{step:x}")
    return tuple(found)


def obstacle_to_writing(folders: Iterable[Path]) -> str:
    """Why files in some folders cannot be replaced, naming the first; empty where they can be.

    Args:
        folders: as the system here sees them.
    """
    for folder in folders:
        try:
            if os.access(folder, os.W_OK | os.X_OK, effective_ids=True):
                continue
            read_only = bool(os.statvfs(folder).f_flag & os.ST_RDONLY)
        except OSError as error:
            return f"{folder}: {error.strerror or error}"
        return f"{folder} is {'on a read-only file system' if read_only else 'not writable for this user'}"
    return ""
