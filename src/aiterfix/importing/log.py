"""Messages through the logger ``aiterfix``, shown where the host shows its own."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from aiterfix.importing import settings
from aiterfix.startup import one_line

if TYPE_CHECKING:
    import logging

DEBUG, INFO, WARNING = 10, 20, 30
"""The levels of `logging`, which is imported where something is to be shown."""

_HOSTS = ("vllm", "sglang")
"""Loggers that hosts give handlers of their own, without configuring the root logger. vLLM does:
its dictConfig names ``vllm`` only, so a message of another logger at level INFO would be seen by nobody."""

_own_handler: list[logging.Handler] = []


def emit(level: int, message: str, *, error: BaseException | None = None) -> None:
    """Log one message; a logging set-up that fails does not become the host's failure.

    Args:
        level: of `logging`.
        message: complete, no placeholders. It is shown as one line, whatever is in it.
        error: its traceback is added.
    """
    message = one_line(message)
    try:
        _emit(level, message, error)
    except Exception as failure:  # noqa: BLE001 - a handler of the host raised; the import must go on
        sys.stderr.write(f"aiterfix: {message} (logging failed: {one_line(str(failure))})\n")


def _emit(level: int, message: str, error: BaseException | None) -> None:
    said = settings.read()
    if level < WARNING and not said.log and "logging" not in sys.modules:
        return  # nobody has set anything up that would show it
    import logging

    logger = logging.getLogger("aiterfix")
    if said.log:
        _configure(logger, said.log)
    target = logger
    if not logger.hasHandlers():
        target = next((h for n in _HOSTS if (h := _host(n)) is not None), logger)
    if not target.isEnabledFor(level):
        return
    information = (type(error), error, error.__traceback__) if error is not None else None
    # Hosts show the file's name, not the logger's: let that say who speaks.
    record = logger.makeRecord(logger.name, level, "aiterfix", 0, message, (), information)
    target.handle(record)


def _host(name: str) -> logging.Logger | None:
    """The logger of that name, if the host has made it and given it handlers."""
    import logging

    made = logging.root.manager.loggerDict.get(name)
    return made if isinstance(made, logging.Logger) and made.handlers else None


def _configure(logger: logging.Logger, level: str) -> None:
    """Carry out ``AITERFIX_LOG``: a handler on stderr at that level."""
    if _own_handler:
        return
    import logging

    if level == "off":
        handler: logging.Handler = logging.NullHandler()
        logger.setLevel(logging.CRITICAL + 1)
    else:
        handler = logging.StreamHandler()
        handler.setFormatter(logging.Formatter("aiterfix: %(levelname)s: %(message)s"))
        logger.setLevel(getattr(logging, level.upper()))
    logger.propagate = False
    logger.addHandler(handler)
    _own_handler.append(handler)
