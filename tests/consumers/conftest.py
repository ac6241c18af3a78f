"""The command line as a process, shared with its own tests."""

from __future__ import annotations

from tests.cli.conftest import run, sample

__all__ = ["run", "sample"]
