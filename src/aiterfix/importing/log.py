"""Messages through the logger ``aiterfix``, shown where the host shows its own."""

from __future__ import annotations

import logging
import sys

from aiterfix.importing import settings

DEBUG, INFO, WARNING = logging.DEBUG, logging.INFO, logging.WARNING

_HOSTS = ("vllm", "sglang")
"""Loggers that hosts give handlers of their own, without configuring the root logger. vLLM does:
its dictConfig names ``vllm`` only, so a message of another logger at level INFO would be seen by nobody."""

_own_handler: list[logging.Handler] = []


def emit(level: int, message: str, *, error: BaseException | None = None) -> None:
    """Log one message; a logging set-up that fails does not become the host's failure.

    Args:
        level: of `logging`.
        message: complete, no placeholders.
        error: its traceback is added.
    """
    try:
        _emit(level, message, error)
    except Exception as failure:  # noqa: BLE001 - a handler of the host raised; the import must go on
        sys.stderr.write(f"aiterfix: {message} (logging failed: {failure})\n")


def _emit(level: int, message: str, error: BaseException | None) -> None:
    logger = logging.getLogger("aiterfix")
    said = settings.read()
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
    made = logging.root.manager.loggerDict.get(name)
    return made if isinstance(made, logging.Logger) and made.handlers else None


def _configure(logger: logging.Logger, level: str) -> None:
    """Carry out ``AITERFIX_LOG``: a handler on stderr at that level."""
    if _own_handler:
        return
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
