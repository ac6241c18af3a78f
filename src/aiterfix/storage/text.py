"""Text from elsewhere: how it is shown, and how Python reads a source file as far as a search for names must know."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

_COOKIE = re.compile(
    rb"\A(?:\xef\xbb\xbf)?(?:[ \t\f]*(?:#[^\r\n]*)?\r?[\r\n])?[ \t\f]*#[^\r\n]*?coding[:=][ \t]*([-\w.]+)"
)
_PLAIN = re.compile(
    rb"utf[-_]?8(?:[-_]sig|$)|us[-_]?ascii$|ascii$|latin[-_]?1|iso[-_]?8859|cp125|windows[-_]125|l1$", re.I
)
_ASCII = bytes(range(128))
_Named = tuple[str, bytes]
# Characters that the parser takes for ASCII ones in an identifier (NFKC), by ranges that hold some others too.
_COMPATIBLE = re.compile(
    "[\xaa\xba\u0132\u0133\u013f\u0140\u0149\u017f\u01c4-\u01cc\u01f1-\u01f3\u02b0-\u02b8\u02e1-\u02e3\u1d2c-\u1dbf\u1e9a"
    "\u2071-\u209c\u2102-\u2188\u2c7c\u2c7d\ua7f2-\ua7f4\ufb00-\ufb06\ufe33\ufe34\ufe4d-\ufe4f\uff10-\uff19\uff21-\uff3a"
    "\uff3f\uff41-\uff5a\U000107a5\U0001d400-\U0001d7ff\U0001fbf0-\U0001fbf9]"
)


def printable(text: str) -> str:
    """Text as one line that cannot command a terminal: control, format, separator and direction characters, and bytes
    that are no UTF-8, become escapes. What is printable stays, so that doing it twice changes nothing."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def opaque_encoding(data: bytes) -> bool:
    """Whether a file states an encoding that may write an ASCII name in other bytes (UTF-7, escapes)."""
    if data.find(b"coding", 0, 512) < 0:
        return False
    found = _COOKIE.match(data)
    return found is not None and not _PLAIN.match(found[1])


def as_parsed(data: bytes) -> bytes:
    """The text with its identifiers as the parser reads them: compatibility characters (NFKC) resolved.

    The very same object where there are none: most files outside ASCII have a comment in Chinese, or an arrow, and
    normalising those of one release took 22 ms.
    """
    if data.isascii() or not _COMPATIBLE.search(data.translate(None, _ASCII).decode("utf-8", "replace")):
        return data
    import unicodedata

    return unicodedata.normalize("NFKC", data.decode("utf-8", "replace")).encode("utf-8", "replace")


def finder() -> Callable[[Iterable[_Named], bytes], list[_Named]]:
    """What gives, of named texts, those that hold another one: by libc's ``strstr``, where there is one.

    No text may have a NUL, where that one ends. It takes a quarter of the time of Python's ``in``: a name is sought in
    the 44 MB of an engine in 4 ms instead of 18.
    """
    try:
        import ctypes

        found = ctypes.PyDLL(None).strstr
    except (ImportError, AttributeError, OSError, TypeError):  # no ctypes, no such function, no libc to be asked
        return lambda files, text: [one for one in files if text in one[1]]
    found.restype = ctypes.c_size_t
    found.argtypes = (ctypes.c_char_p, ctypes.c_char_p)
    return lambda files, text: [one for one in files if found(one[1], text)]
