"""What GitHub answered last, on disk, for conditional requests and for days without network.

Only the few facts that are used are kept, never a body and never anything about the token. What is read back is
checked like an answer from the network: anybody who can write there could have written it.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

Fact = str | int | bool | None

_MOST_BYTES = 64 << 10


@dataclass(frozen=True)
class CacheEntry:
    """Facts of one address.

    Attributes:
        url: the address.
        etag: the server's name for this state of it; empty where it gave none.
        checked_at: when the server last vouched for it, seconds since the epoch.
        facts: what was picked from the answer.
    """

    url: str
    etag: str
    checked_at: float
    facts: Mapping[str, Fact]


class Cache:
    """A folder of entries. Reading never fails: what is damaged is not there.

    Args:
        folder: created when something is first kept.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.problem = ""
        """Why something could not be kept; empty while all is well."""

    def get(self, url: str, *, authenticated: bool) -> CacheEntry | None:
        """The entry of an address. Answers with and without a token are kept apart: they may differ."""
        try:
            with self._file(url, authenticated).open("rb") as stream:
                data = stream.read(_MOST_BYTES + 1)
            if len(data) > _MOST_BYTES:
                return None
            body = json.loads(data)
        except (OSError, ValueError, RecursionError):
            return None
        if not isinstance(body, dict) or body.get("url") != url:
            return None
        etag, checked, facts = body.get("etag"), body.get("checked_at"), body.get("facts")
        if not isinstance(etag, str) or not isinstance(facts, dict) or isinstance(checked, bool):
            return None
        if not isinstance(checked, (int, float)) or not 0 <= checked < 1e11:
            return None
        if not all(v is None or isinstance(v, (str, int, bool)) for v in facts.values()):
            return None
        return CacheEntry(url, etag, float(checked), facts)

    def put(self, entry: CacheEntry, *, authenticated: bool) -> None:
        """Keep an entry, whole or not at all. A cache that cannot be written is noted in `problem`."""
        body = {"url": entry.url, "etag": entry.etag, "checked_at": entry.checked_at, "facts": dict(entry.facts)}
        data = json.dumps(body).encode()
        if len(data) > _MOST_BYTES:
            self.problem = f"the answer for {entry.url} is too long to keep"
            return
        temporary = ""
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor, temporary = tempfile.mkstemp(dir=self.folder, prefix=".new-")
            with os.fdopen(descriptor, "wb") as stream:
                stream.write(data)
            os.replace(temporary, self._file(entry.url, authenticated))  # noqa: PTH105 - both are plain names
        except OSError as error:
            self.problem = f"{self.folder} cannot be written: {error.strerror or error}"
            if temporary:
                with contextlib.suppress(OSError):
                    os.unlink(temporary)  # noqa: PTH108

    def _file(self, url: str, authenticated: bool) -> Path:
        key = hashlib.sha256(f"{'token' if authenticated else 'anonymous'} {url}".encode()).hexdigest()
        return self.folder / f"{key[:40]}.json"


def default_folder() -> Path:
    """Where caches belong: ``$XDG_CACHE_HOME`` or ``~/.cache``."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    root = Path(base) if base and Path(base).is_absolute() else Path.home() / ".cache"
    return root / "aiterfix" / "github"
