"""How another Python is started: without the folder that happens to be the current one, and with whose rights.

A real process is started somewhere else, by somebody else. What lies about in the current folder is no part of it and
may be anybody's. ``-I`` would keep it out, but hides PYTHONPATH and the user's own site-packages too, which are what
is asked about; ``-P`` came with Python 3.11. Standard library only.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

NOT_FROM_HERE = 'import sys\nif sys.path[:1] == [""]: del sys.path[0]\n'
"""First lines of a program for ``-c``, which puts the current folder first. Nothing is imported by them."""

# What a program of another user gets to see of root's environment: how Python and the compiler are set up.
_KEPT = ("PATH", "LANG", "TZ", "TERM", "LD_LIBRARY_PATH", "AITERFIX")
_KEPT_PREFIXES = ("LC_", "PYTHON", "TRITON_", "AMDGCN_", "LLVM_", "MLIR_", "ROCM_", "HIP_")
_NOBODY = 65534


class Owner(NamedTuple):
    """A user whose rights are taken.

    Attributes:
        home: the user's home directory; ``/`` where none is known.
        name: for people.
    """

    uid: int
    gid: int
    groups: tuple[int, ...]
    home: str
    name: str


def owner_of(*places: Path) -> Owner | None:
    """Whose rights root takes to run what stands at these places: the first user other than root to whom one of them,
    the folder that holds it, or what it is a link to belongs. None for everybody else than root, and on root's own.

    Raises:
        OSError: nothing stands there.
    """
    if os.geteuid() != 0:
        return None
    for place in places:
        for path in (place, place.absolute().parent, Path(os.path.realpath(place))):
            for status in (path.lstat(), path.stat()):
                if status.st_uid != 0:
                    return _user(status.st_uid, status.st_gid)
    return None


def _user(uid: int, gid: int) -> Owner:
    import pwd

    try:
        known = pwd.getpwuid(uid)
    except KeyError:  # as in containers; the group of root is nobody's right
        return Owner(uid, gid or _NOBODY, (), "/", f"user {uid}")
    groups = os.getgrouplist(known.pw_name, known.pw_gid)
    return Owner(uid, known.pw_gid, tuple(groups), known.pw_dir, f"user {known.pw_name}")


def environment(more: Mapping[str, str], owner: Owner | None = None) -> dict[str, str]:
    """This process's environment for a child.

    Args:
        owner: whose rights the child has; of root's environment it sees little.
    """
    given = dict(os.environ)
    if owner is not None:
        given = {n: v for n, v in given.items() if n in _KEPT or n.startswith(_KEPT_PREFIXES)}
        given |= {"HOME": owner.home}
    # An empty entry means whatever folder is the current one.
    entries = [e for e in given.get("PYTHONPATH", "").split(os.pathsep) if e and os.path.normpath(e) != os.curdir]
    if entries:
        given["PYTHONPATH"] = os.pathsep.join(entries)
    else:
        given.pop("PYTHONPATH", None)
    # Triton 3.9.0 warns at every first compilation; made an error, that would read as a refusal of the kernel.
    given.pop("PYTHONWARNINGS", None)
    return given | dict(more)


def rights(owner: Owner | None) -> dict[str, Any]:
    """Arguments of ``subprocess.Popen`` that give a child the rights of its owner, and a session of its own, so that
    it cannot type into our terminal; none where there is no owner."""
    if owner is None:
        return {}
    return {"user": owner.uid, "group": owner.gid, "extra_groups": owner.groups, "start_new_session": True}
