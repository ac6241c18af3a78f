"""One rule for links, whoever says what stands where: folders held open, and trees of archives, agree on every path."""

from __future__ import annotations

import errno
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aiterfix.installation.tree import File, Folder, Link, TreeWay
from aiterfix.storage.held import LeavesRootError, Walk, Way

NAMES = ("a", "b", "c")
TARGETS = st.lists(st.sampled_from([*NAMES, "..", ".", "", "none"]), min_size=1, max_size=5)
KINDS = st.one_of(
    st.just("folder"),
    st.just("file"),
    st.tuples(st.booleans(), TARGETS).map(lambda t: "/" * t[0] + "/".join(t[1]) or "."),
)
PLACES = st.dictionaries(st.lists(st.sampled_from(NAMES), min_size=1, max_size=3).map(tuple), KINDS, max_size=9)


def lay_out(root: Path, places: dict[tuple[str, ...], str]) -> Folder:
    """The same on disk and in a tree; what would lie below a file or link is left out."""
    top = Folder()
    for parts, kind in sorted(places.items()):
        here, path = top, root
        for part in parts[:-1]:
            below = here.children.setdefault(part, Folder())
            if not isinstance(below, Folder):
                break
            here, path = below, path / part
            path.mkdir(exist_ok=True)
        else:
            name = parts[-1]
            if name in here.children:
                continue
            if kind == "folder":
                here.children[name] = Folder()
                (path / name).mkdir()
            elif kind == "file":
                here.children[name] = File(None, 0, 0, 0)
                (path / name).touch()
            else:
                here.children[name] = Link(kind, 0)
                (path / name).symlink_to(kind)
    return top


def outcome(way: Walk, pieces: list[str], *, last_too: bool) -> object:
    """Where it leads, or how it fails."""
    try:
        name = way.follow(pieces, last_too=last_too)
    except OSError as failure:
        return type(failure), failure.errno
    return tuple(way.parts), name


@settings(max_examples=150)
@given(PLACES, TARGETS, st.booleans())
def test_both_agree(places: dict[tuple[str, ...], str], pieces: list[str], last_too: bool) -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        top = lay_out(root, places)
        held, tree = Way(root), TreeWay(top, root)
        try:
            assert outcome(held, pieces, last_too=last_too) == outcome(tree, pieces, last_too=last_too)
        finally:
            held.close()


@pytest.mark.parametrize(
    ("links", "path", "found"),
    [
        ({"x": "/a/b"}, "x", (("a",), "b")),
        ({"a/x": "../a/./b"}, "a/x", (("a",), "b")),
        ({"a/x": "../.."}, "a/x", (LeavesRootError, errno.EXDEV)),
        ({"a/x": "/.."}, "a/x", (LeavesRootError, errno.EXDEV)),
        ({"x": "y", "y": "x"}, "x", (OSError, errno.ELOOP)),
        ({"x": "x/x"}, "x", (OSError, errno.ELOOP)),
        ({"x": "none"}, "x", (FileNotFoundError, errno.ENOENT)),
        ({"x": "a/f"}, "x/y", (NotADirectoryError, errno.ENOTDIR)),
        ({f"l{n}": f"l{n + 1}" for n in range(39)} | {"l39": "a"}, "l0", ((), "a")),
        ({f"l{n}": f"l{n + 1}" for n in range(40)} | {"l40": "a"}, "l0", (OSError, errno.ELOOP)),
    ],
)
def test_hostile_links(tmp_path: Path, links: dict[str, str], path: str, found: object) -> None:
    places = {("a", "b"): "folder", ("a", "f"): "file"} | {tuple(k.split("/")): v for k, v in links.items()}
    top = lay_out(tmp_path, places)
    for way in (Way(tmp_path), TreeWay(top, tmp_path)):
        assert outcome(way, path.split("/"), last_too=True) == found
        way.close()
