"""The finder that stands on ``sys.meta_path``.

With the `.pth` enabled this module is imported at every interpreter start. It therefore imports nothing that
the interpreter has not imported itself, and everything else only when a module of ``aiter`` is imported.
"""

# No `from __future__ import annotations` either: that is an import, with a file behind it.
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from importlib.machinery import ModuleSpec
    from types import ModuleType

PREFIX = "aiter.ops.triton."
"""What the names of all target modules begin with; a test holds patches/*.toml to it."""


class Finder:
    """Hands the modules named in patches/*.toml to the loader that patches them; ignores all others.

    Attributes:
        ways: by which paths the hook came into this process, in order: "pth", "run", "vllm", "sglang", "call".
    """

    def __init__(self) -> None:
        self.ways: list[str] = []

    def find_spec(
        self, fullname: str, path: "Sequence[str] | None" = None, target: "ModuleType | None" = None
    ) -> "ModuleSpec | None":
        """The spec of a target module, with a loader of ours; None for every other module."""
        if not fullname.startswith(PREFIX):
            return None
        try:
            from aiterfix.importing.finder import find

            return find(self, fullname, path, target)
        except Exception as error:
            import os

            if os.environ.get("AITERFIX", "").strip().lower() == "require" or hasattr(error, "remedy"):
                raise
            # A fault of ours. With None the import goes on as if we were not there; and if the error came from
            # another finder, it will come again.
            try:
                sys.stderr.write(f"aiterfix: the import hook failed for {fullname}, which may run unpatched: {error}\n")
            except OSError:
                return None
            return None


def standing() -> "Finder | None":
    """The finder on ``sys.meta_path``, if there is one."""
    for finder in sys.meta_path:
        if type(finder) is Finder:
            return finder
    return None


def start(way: str) -> "Finder | None":
    """Put the finder first on ``sys.meta_path``, once; None where ``AITERFIX=off`` forbids it.

    Args:
        way: by which path this call came.
    """
    import os

    if os.environ.get("AITERFIX", "").strip().lower() == "off":
        return None
    finder = standing()
    if finder is None:
        finder = Finder()
        # First: a finder before it that claims one of the modules would hand out the unpatched text.
        sys.meta_path.insert(0, finder)
    if way not in finder.ways:
        finder.ways.append(way)
    return finder


def start_from_site() -> None:
    """What the ``.pth`` and ``.start`` files call."""
    start("pth")
