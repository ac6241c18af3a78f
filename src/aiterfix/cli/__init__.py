"""The command line: wiring only. One module a command; reports are made in `aiterfix.report`."""

from aiterfix.cli.main import main

__all__ = ["main"]
