"""``python -m aiterfix``."""

import sys

from aiterfix.cli import main

if __name__ == "__main__":
    sys.exit(main())
