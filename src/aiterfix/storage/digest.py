"""SHA-256 without OpenSSL.

`hashlib` loads OpenSSL, 10 ms and more, which is a tenth of what `check` may take; Python's own code is all that a few
hundred kilobytes need. It has another name in every Python, and none in some builds.
"""

from __future__ import annotations

import sys

TYPE_CHECKING = False  # not of `typing`, which a start under ``AITERFIX=require`` need not import
if TYPE_CHECKING:
    from hashlib import sha256
else:
    try:
        if sys.version_info >= (3, 12):
            from _sha2 import sha256
        else:
            from _sha256 import sha256
    except ImportError:
        from hashlib import sha256

__all__ = ["sha256", "sha256_hex"]


def sha256_hex(data: bytes) -> str:
    """Digest of some bytes, in lower-case hexadecimal digits."""
    return sha256(data).hexdigest()
