"""Journals and state as no run of ours leaves them, made from a seed."""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.patching.conftest import Tree
from tests.patching.hostile import PLANTS

_STRANGE: tuple[Any, ...] = (
    *(
        None,
        True,
        -1,
        0,
        1,
        2**31,
        2**63 - 1,
        -(2**63),
        1.5,
        "",
        "x",
        "..",
        "/",
        "/etc/passwd",
        "../../victim/secret.txt",
    ),
    *("applying", "applied", "reverting", "ops", "ops/one.py", "linked/secret.txt", "linked/__pycache__", "a" * 250),
    *("ops/__pycache__/one.x.pyc", "ops/one.py/one.pyc", "late/__pycache__", "\x1b[31m\nverdict: clean", "\udcff.py"),
    *("0" * 64, hashlib.sha256(b"").hexdigest(), [], {}, [[]], ["ops/one.py"], ["linked/three.py", "late/three.py"]),
)


def mutate(tree: Tree, victim: Path, chance: random.Random) -> str:
    """Damage the state of a patched tree in one way or a few; say how."""
    if not tree.path("linked").is_symlink():
        tree.path("linked").symlink_to(victim)
    ways: list[Callable[[Tree, Path, random.Random], str]] = [_sealed, _sealed, _sealed, _bytes, _state, _record]
    return "; ".join(chance.choice(ways)(tree, victim, chance) for _ in range(chance.choice((1, 1, 1, 2, 3))))


def _sealed(tree: Tree, victim: Path, chance: random.Random) -> str:
    """Values of the journal exchanged, the seal right."""
    path = tree.state_dir / "journal.json"
    try:
        body = json.loads(path.read_bytes())["journal"]
    except (OSError, ValueError, KeyError, TypeError):
        return "no journal left"
    said = []
    for _ in range(chance.choice((1, 1, 2, 4))):
        holders = list(_holders(body))
        holder, key = chance.choice(holders)
        value = chance.choice(_STRANGE)
        if chance.random() < 0.4:
            other, name = chance.choice(holders)
            value = json.loads(json.dumps(other[name]))
        said.append(f"{key}: {value!r}"[:80])
        if chance.random() < 0.1 and isinstance(holder, dict):
            del holder[key]
        elif chance.random() < 0.2 and isinstance(holder, list):
            holder.append(value)
        else:
            holder[key] = value
    if chance.random() < 0.1 and isinstance(body, dict):
        body["previous"] = json.loads(json.dumps(body))
    text = json.dumps(body, sort_keys=True, separators=(",", ":"))
    digest = hashlib.sha256(text.encode()).hexdigest()
    path.write_bytes(json.dumps({"format": 1, "sha256": digest, "journal": body}).encode())
    return "sealed " + ", ".join(said)


def _holders(value: Any) -> Any:
    for key in value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ():
        yield value, key
        yield from _holders(value[key])


def _bytes(tree: Tree, victim: Path, chance: random.Random) -> str:
    """Some file of ours with other bytes."""
    files = sorted(p for p in tree.state_dir.iterdir() if p.is_file() and not p.is_symlink())
    if not files:
        return "no file left"
    path = chance.choice(files)
    data = bytearray(path.read_bytes())
    for _ in range(chance.choice((1, 3, 20))):
        at = chance.randrange(len(data) + 1)
        what = chance.randrange(4)
        if what == 0:
            del data[at:]
        elif what == 1:
            data[at : at + chance.randrange(9)] = chance.randbytes(chance.randrange(9))
        elif what == 2:
            data[at:at] = chance.choice((b"[" * 5000, b"9" * 5000, b'"\\ud800"', b"\xff", b"\0", b'{"a":1,"a":2}'))
        elif at < len(data):
            data[at] ^= 1 << chance.randrange(8)
    path.write_bytes(data)
    return f"bytes of {path.name}"


def _state(tree: Tree, victim: Path, chance: random.Random) -> str:
    """Something gone, something there, other modes."""
    state = tree.state_dir
    if not state.is_dir():
        return "no state left"
    files = sorted(state.iterdir())
    what = chance.randrange(4)
    if what == 0 and files:
        path = chance.choice(files)
        if path.is_file() or path.is_symlink():
            path.unlink()
        return f"without {path.name}"
    if what == 1:
        path = chance.choice([state, *files])
        if path.is_symlink():
            return "a link's mode"
        path.chmod(chance.choice((0o777, 0o666, 0o4755, 0o700)))
        return f"mode of {path.name}"
    names = (".journal.json.aiterfix-new", "x.saved", "diary", ".gitignore", "0" * 64 + ".saved")
    places = [state / name for name in names]
    places += [state.with_name(state.name + ".tmp"), tree.path("ops/.one.py.aiterfix-new"), tree.path("ops/one.z.pyc")]
    path = chance.choice(places)
    plant = chance.choice([name for name in PLANTS if name != "device"])
    if path.exists() or path.is_symlink():
        return "it is there already"
    PLANTS[plant](path, victim)
    return f"{plant} as {path.name}"


def _record(tree: Tree, victim: Path, chance: random.Random) -> str:
    """Another RECORD, or a file that changed since."""
    path = chance.choice([tree.path("ops/one.py"), tree.path("late/three.py"), tree.dist_info and tree.record])
    if not path:
        return "no RECORD"
    data = path.read_bytes()
    at = chance.randrange(len(data) + 1)
    path.write_bytes(chance.choice((data[:at], data + data[at:], data[:at] + b'"' + data[at:], b"")))
    return f"content of {path.name}"
