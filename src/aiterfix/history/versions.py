"""Version spellings made comparable without ``packaging``, which the core does not depend on.

The grammar is that of the version specifiers specification (PEP 440): ``v0.1.13-rc2`` and ``0.1.13rc2`` are one
version, ``0.1.13-1`` is ``0.1.13.post1``, trailing zeros of the release do not count.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_PRE = {"a": "a", "alpha": "a", "b": "b", "beta": "b", "rc": "rc", "c": "rc", "pre": "rc", "preview": "rc"}
_PATTERN = re.compile(
    r"""
    v?(?:(?P<epoch>[0-9]+)!)?
    (?P<release>[0-9]+(?:\.[0-9]+)*)
    (?:[-_.]?(?P<pre>alpha|a|beta|b|preview|pre|c|rc)[-_.]?(?P<pre_number>[0-9]+)?)?
    (?P<post>-(?P<post_implicit>[0-9]+)|[-_.]?(?:post|rev|r)[-_.]?(?P<post_number>[0-9]+)?)?
    (?P<dev>[-_.]?dev[-_.]?(?P<dev_number>[0-9]+)?)?
    (?:\+(?P<local>[a-z0-9]+(?:[-_.][a-z0-9]+)*))?
    """,
    re.VERBOSE | re.ASCII,
)
_LONGEST = 200  # real ones have some 40 characters


@dataclass(frozen=True)
class VersionName:
    """One version, however it was spelled.

    Attributes:
        public: normalised, without the local label.
        local: the label behind ``+``, normalised; empty without one. Someone's own build.
        development: whether it is a ``.dev`` version: a commit between releases.
        prerelease: whether it is one, or a development version.
        order: what versions are ordered by, labels apart.
    """

    public: str
    local: str
    development: bool
    prerelease: bool = False
    order: tuple[object, ...] = ()

    def __lt__(self, other: VersionName) -> bool:
        return self.order < other.order


def read_version(text: str) -> VersionName | None:
    """Normalise a version; None where it is not one."""
    if len(text) > _LONGEST:
        return None
    m = _PATTERN.fullmatch(text.strip().lower())
    if m is None:
        return None
    release = [str(int(part)) for part in m["release"].split(".")]
    while len(release) > 1 and release[-1] == "0":
        release.pop()
    public = ".".join(release)
    if m["epoch"] and int(m["epoch"]):
        public = f"{int(m['epoch'])}!{public}"
    if m["pre"]:
        public += f"{_PRE[m['pre']]}{int(m['pre_number'] or 0)}"
    if m["post"]:
        public += f".post{int(m['post_implicit'] or m['post_number'] or 0)}"
    if m["dev"]:
        public += f".dev{int(m['dev_number'] or 0)}"
    local = ".".join(str(int(p)) if p.isdigit() else p for p in re.split(r"[-_.]", m["local"] or ""))
    development = m["dev"] is not None
    return VersionName(public, local, development, development or m["pre"] is not None, _order(m, release))


def _order(m: re.Match[str], release: list[str]) -> tuple[object, ...]:
    """What comes before what: development, then pre-releases, then the release, then what was released after it."""
    before, after = (-1,), (4,)  # two that no pre-release is beyond
    dev = (int(m["dev_number"] or 0),) if m["dev"] else (1 << 63,)
    post = (int(m["post_implicit"] or m["post_number"] or 0),) if m["post"] else before
    pre: tuple[int, ...]
    if m["pre"]:
        pre = (["a", "b", "rc"].index(_PRE[m["pre"]]), int(m["pre_number"] or 0))
    else:
        pre = before if m["dev"] and not m["post"] else after
    return int(m["epoch"] or 0), tuple(map(int, release)), pre, post, dev
