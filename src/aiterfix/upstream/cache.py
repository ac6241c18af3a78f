"""What GitHub answered last, on disk, for conditional requests and for days without network.

Only the few facts that are used are kept, never a body and never anything about the token. What is read back is
checked like an answer from the network, and believed only where nobody else can write.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from aiterfix.storage import codec
from aiterfix.storage.believed import believed, keep
from aiterfix.storage.codec import StoredError
from aiterfix.storage.files import cache_directory

Fact = str | int | bool | None

_MOST_BYTES = 64 << 10


@dataclass(frozen=True)
class CacheEntry:
    """Facts of one address.

    Attributes:
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
        file = self._file(url, authenticated)
        try:
            data = believed(file, _MOST_BYTES)
            if data is None:
                return None
            entry = codec.decode(data, CacheEntry, file, most_bytes=_MOST_BYTES)
        except StoredError:
            return None
        return entry if entry.url == url and 0 <= entry.checked_at < 1e11 else None

    def put(self, entry: CacheEntry, *, authenticated: bool) -> None:
        """Keep an entry, whole or not at all. A cache that cannot be written is noted in `problem`."""
        data = codec.encode(entry)
        if len(data) > _MOST_BYTES:
            self.problem = f"the answer for {entry.url} is too long to keep"
            return
        try:
            keep(self._file(entry.url, authenticated), data)
        except OSError as error:
            self.problem = f"{self.folder} cannot be written: {error.strerror or error}"

    def _file(self, url: str, authenticated: bool) -> Path:
        key = hashlib.sha256(f"{'token' if authenticated else 'anonymous'} {url}".encode()).hexdigest()
        return self.folder / f"{key[:40]}.json"


def default_folder() -> Path:
    """With the other caches."""
    return cache_directory() / "github"
