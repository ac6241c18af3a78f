"""The command line, for tests of what it says of an installation."""

from tests.cli.conftest import run

__all__ = ["run"]
