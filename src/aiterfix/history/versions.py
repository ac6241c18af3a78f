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
    """

    public: str
    local: str
    development: bool


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
    return VersionName(public, local, m["dev"] is not None)
