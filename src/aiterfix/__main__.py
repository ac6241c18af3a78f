"""``aiterfix``, and ``python -m aiterfix``."""

import contextlib
import os
import sys


def main() -> int:
    """Run the command line. A package that cannot even be imported, damaged or half removed, ends with the status of
    the environment: a traceback ends with 1, which a script takes for "affected"."""
    try:
        from aiterfix.cli import main as run

        return run()
    except Exception as error:  # noqa: BLE001 - see above
        if os.environ.get("AITERFIX_LOG", "").strip().lower() == "debug":
            import traceback

            traceback.print_exc()
        said = ascii(f"{type(error).__name__}: {error}")[1:-1][:500]
        text = f"aiterfix: error: {said}\nWhat to do: reinstall aiterfix; AITERFIX_LOG=debug shows where it failed.\n"
        with contextlib.suppress(AttributeError, OSError, ValueError):
            sys.stderr.write(text)
        return 4


if __name__ == "__main__":
    sys.exit(main())
