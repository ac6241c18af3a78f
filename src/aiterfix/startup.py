"""The finder that stands on ``sys.meta_path``, and the loader it leaves in a spec.

With the `.pth` enabled this module is imported at every interpreter start. It therefore imports nothing that the
interpreter has not imported itself, not even ``__future__``.

Nor does `Finder.find_spec` import anything: the import system calls it under its one global lock. A thread
that waits there for a module that another thread is importing, while that one waits for the lock, waits for ever.
(aiter's own redirection of old module names does just that.) So everything else is imported by
`Deferred.exec_module`, which runs under the lock of its own module only.
"""

import os
import sys
from _frozen_importlib_external import SourceFileLoader
from _thread import get_ident

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from importlib.machinery import ModuleSpec
    from types import ModuleType
    from typing import Any

# As in patches/*.toml, which take too long to read here; a test holds these to those.
MODULES = frozenset(
    (
        "aiter.ops.triton.gluon.pa_mqa_logits",
        "aiter.ops.triton._triton_kernels.attention.pa_mqa_logits",
        "aiter.ops.triton._triton_kernels.pa_mqa_logits",
    )
)
WRAPPERS = frozenset(("aiter.ops.triton.attention.pa_mqa_logits", "aiter.ops.triton.pa_mqa_logits"))
_ALL = MODULES | WRAPPERS


class Finder:
    """Puts a loader of ours around that of the modules named in patches/*.toml; ignores all others.

    Attributes:
        ways: by which paths the hook came into this process, in order: "pth", "run", "vllm", "sglang", "call".
        folders: target modules that turned out to be namespace packages, which have no loader: name and places.
    """

    def __init__(self) -> None:
        self.ways: list[str] = []
        self.folders: dict[str, str] = {}
        # Thread and module for which the other finders are being asked: one of them may start over and come back
        # to us (wrapt's does), and has to find the module without us then.
        self._asking: set[tuple[int, str]] = set()

    def find_spec(
        self, fullname: str, path: "Sequence[str] | None" = None, target: "ModuleType | None" = None
    ) -> "ModuleSpec | None":
        """The spec that the other finders have for a target module, with our loader in it; None for other modules."""
        if fullname not in _ALL:
            return None
        key = (get_ident(), fullname)
        if key in self._asking or off():
            return None
        self._asking.add(key)
        try:
            spec = self._ask_others(fullname, path, target)
        finally:
            self._asking.discard(key)
        try:
            if spec is not None and spec.loader is not None:
                _enclose(spec)
            elif spec is not None:
                self.folders[fullname] = ", ".join(spec.submodule_search_locations or ())
        except Exception as error:  # noqa: BLE001 - see _fail
            _fail(fullname, error)
        return spec

    def _ask_others(
        self, fullname: str, path: "Sequence[str] | None", target: "ModuleType | None"
    ) -> "ModuleSpec | None":
        """What the finders behind this one say, asked as the import system would ask them."""
        finders = list(sys.meta_path)
        for other in finders[finders.index(self) + 1 :] if self in finders else finders:
            find_spec = getattr(other, "find_spec", None)
            if find_spec is not None:
                spec: ModuleSpec | None = find_spec(fullname, path, target)
                if spec is not None:
                    return spec
        return None


class Deferred:
    """Our loader, until the module is executed: then `aiterfix.importing.loader` takes over.

    Attributes:
        name: the module's.
        inner: the loader that would have been used.
        origin: the file that it would have read; empty where there is none.
    """

    def __init__(self, name: str, inner: "Any", origin: str) -> None:
        self.name = name
        self.inner = inner
        self.origin = origin
        self._real: Any = None

    def __getattr__(self, name: str) -> "Any":
        # Resource readers, `path`, `get_data`: as the inner loader has them, or has them not.
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(self.real() if name in ("get_source", "get_code") else self.inner, name)

    def create_module(self, spec: "ModuleSpec") -> "ModuleType | None":
        """Leave it to the inner loader."""
        create = getattr(self.inner, "create_module", None)
        made: ModuleType | None = create(spec) if create is not None else None
        return made

    def exec_module(self, module: "ModuleType") -> None:
        """Patch the module, or watch what it imports.

        Raises:
            UnpatchedKernelError: it cannot be patched, in `require` mode.
        """
        try:
            real = self.real()
        except Exception as error:  # noqa: BLE001 - see _fail
            _fail(self.name, error)
            real = self.inner
        real.exec_module(module)

    def real(self) -> "Any":
        """The loader that does the work."""
        if self._real is None:
            from aiterfix.importing.loader import make

            self._real = make(self)
        return self._real


def _enclose(spec: "ModuleSpec") -> None:
    """Put our loader around the one that a spec has.

    Inside the loaders of other hooks where these show the loader they stand around (wrapt's, `LazyLoader`), so that
    they keep doing what they do; around the whole otherwise.
    """
    origin = spec.origin if spec.has_location and spec.origin else ""
    holder: Any = spec
    attribute = "loader"
    if spec.name in MODULES:
        for _ in range(8):
            loader = getattr(holder, attribute)
            if type(loader) is Deferred:
                return
            if issubclass(type(loader), SourceFileLoader):
                setattr(holder, attribute, Deferred(spec.name, loader, origin))
                return
            inner = [a for a in ("__wrapped__", "loader") if hasattr(getattr(loader, a, None), "exec_module")]
            if not inner:
                break
            holder, attribute = loader, inner[0]
    outer: Any = spec.loader
    if type(outer) is not Deferred:
        spec.loader = Deferred(spec.name, outer, origin)  # type: ignore[assignment]


def _fail(module: str, error: Exception) -> None:
    """A fault of ours: the host's import goes on as if we were not there, unless `require` is in force."""
    if os.environ.get("AITERFIX", "").strip().lower() == "require":
        raise error
    if sys.stderr is not None:
        sys.stderr.write(f"aiterfix: the import hook failed for {module}, which may run unpatched: {error}\n")


def off() -> bool:
    """Whether ``AITERFIX=off`` forbids the hook."""
    return os.environ.get("AITERFIX", "").strip().lower() == "off"


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
    if off():
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
