"""Placeholder so that the console script resolves while the first modules are written."""

from __future__ import annotations


def main() -> int:
    """Print the version."""
    import sys

    from aiterfix import __version__

    sys.stdout.write(f"aiterfix {__version__}\n")
    return 0
