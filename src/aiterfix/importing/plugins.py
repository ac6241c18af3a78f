"""Entry points that vLLM and SGLang load in every process they start, before any model code.

vLLM (``vllm.general_plugins``) lets a plugin's exception end the process. SGLang (``sglang.srt.plugins``)
logs it and goes on, but catches `Exception` only: under ``AITERFIX=require`` its process is ended with
`SystemExit`, which unwinds the main thread as usual.
"""

from __future__ import annotations

import os
import sys
from typing import NoReturn

from aiterfix import startup


def vllm() -> None:
    """Entry point ``vllm.general_plugins``. May be loaded more than once in a process.

    Raises:
        UnpatchedKernelError: a kernel would run unpatched, in `require` mode.
        StoppedImportError: this package is damaged and a kernel is imported already, in `require` mode.
    """
    _enter("vllm")


def sglang() -> None:
    """Entry point ``sglang.srt.plugins``. Ends the process where a kernel would run unpatched, in `require` mode."""
    try:
        _enter("sglang")
    except Exception as error:  # noqa: BLE001 - raised in `require` mode only, and SGLang would swallow it
        _end(error)


def _enter(way: str) -> None:
    # Not at the top: a plugin that cannot be loaded is logged by the hosts and forgotten.
    try:
        from aiterfix.importing.api import enter
    except Exception as error:  # noqa: BLE001 - a damaged package
        finder = startup.start(way)
        if finder is not None:
            startup.broken(finder, error)
        return
    enter(way)


def _end(error: Exception) -> NoReturn:
    import threading

    status = int(getattr(error, "exit_code", 3))  # ExitCode.NOT_UNDERSTOOD, which a damaged package may not have
    if sys.stderr is not None:
        sys.stderr.write(f"aiterfix: {startup.one_line(str(error))}\n")
        sys.stderr.flush()
    if threading.current_thread() is threading.main_thread():
        raise SystemExit(status)
    # In another thread SystemExit would end that thread only, and the process would go on unpatched.
    os._exit(status)
