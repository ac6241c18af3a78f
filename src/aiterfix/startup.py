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
FAMILY = MODULES | WRAPPERS

# As in `importing.settings`; a test holds these to those.
_MODES = ("", "auto", "require", "off")
_KERNELS = ("", "0", "1", "guard")


class StoppedImportError(Exception):
    """A kernel module is not imported, because what ``AITERFIX`` asks for cannot be done.

    Not an `ImportError` on purpose: engines take that for "aiter is not there" and go on.
    """


class Finder:
    """Puts a loader of ours around that of the modules named in patches/*.toml; ignores all others.

    Attributes:
        ways: by which paths the hook came into this process, in order: "pth", "run", "vllm", "sglang", "call".
        folders: target modules that turned out to be namespace packages, which have no loader: name and places.
        fault: what is wrong with this package, which `require` does not put up with; empty where nothing is known.
    """

    def __init__(self) -> None:
        self.ways: list[str] = []
        self.fault = ""
        self.folders: dict[str, str] = {}
        # Thread and module for which the other finders are being asked: one of them may start over and come back
        # to us (wrapt's does), and has to find the module without us then.
        self._asking: set[tuple[int, str]] = set()

    def find_spec(
        self, fullname: str, path: "Sequence[str] | None" = None, target: "ModuleType | None" = None
    ) -> "ModuleSpec | None":
        """The spec that the other finders have for a target module, with our loader in it; None for other modules.

        Raises:
            StoppedImportError: a switch is misspelt; or `require` is in force, and this package is damaged.
        """
        if fullname not in FAMILY:
            return None
        if reason := misspelt() or (self.fault if required() else ""):
            raise StoppedImportError(f"aiterfix: {fullname} is not imported: {reason}")
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
                _enclose(spec, self)
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
        finder: whose loader it is.
        source: of a wrapper, whether this one stands around what reads its source; another stands around the whole.
    """

    def __init__(self, name: str, inner: "Any", origin: str, finder: Finder, source: bool = False) -> None:
        self.source = source
        self.name = name
        self.inner = inner
        self.origin = origin
        self.finder = finder
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
            StoppedImportError: this package is damaged, in `require` mode.
        """
        try:
            real = self.real()
        except Exception as error:  # noqa: BLE001 - see _fail
            _fail(self.name, error)
            real = self.inner
        # What takes over knows itself, and takes itself off a module that it leaves alone; it does not know us.
        if getattr(module, "__loader__", None) is self:
            module.__loader__ = real
        spec: Any = module.__spec__
        if spec is not None and spec.loader is self:
            spec.loader = real
        real.exec_module(module)

    def real(self) -> "Any":
        """The loader that does the work."""
        if self._real is None:
            from aiterfix.importing.watching import make

            kernels = self.name in MODULES
            self._real = make(
                self.name, self.inner, self.origin, self.finder, kernels=kernels, refuses=self.source and not kernels
            )
        return self._real


def _enclose(spec: "ModuleSpec", finder: Finder) -> None:
    """Put our loader around the one that a spec has.

    Inside the loaders of other hooks where these show the loader they stand around (wrapt's, `LazyLoader`), so that
    they keep doing what they do; around the whole otherwise. Around a wrapper there are two: one hands on its text, the
    other looks at what came of all.
    """
    origin = spec.origin if spec.has_location and spec.origin else ""
    holder: Any = spec
    attribute = "loader"
    for _ in range(8):
        loader = getattr(holder, attribute)
        if type(loader) is Deferred:
            return
        if issubclass(type(loader), SourceFileLoader):
            setattr(holder, attribute, Deferred(spec.name, loader, origin, finder, source=True))
            if spec.name in MODULES:
                return
            break
        inner = [a for a in ("__wrapped__", "loader") if hasattr(getattr(loader, a, None), "exec_module")]
        if not inner:
            break
        holder, attribute = loader, inner[0]
    outer: Any = spec.loader
    if type(outer) is not Deferred or outer.source:
        spec.loader = Deferred(spec.name, outer, origin, finder)  # type: ignore[assignment]


def _fail(module: str, error: Exception) -> None:
    """A fault of ours: the host's import goes on as if we were not there, unless `require` is in force."""
    said = _line(error)
    if required():
        raise StoppedImportError(
            f"aiterfix: {module} is not imported: the import hook failed, and AITERFIX=require forbids to go on "
            f"without it: {said}"
        ) from error
    _say(f"the import hook failed for {module}, which may run unpatched: {said}")


def _line(error: BaseException) -> str:
    return one_line(f"{type(error).__name__}: {error}")


def one_line(text: str) -> str:
    """Text of any origin as one line that commands no terminal: what is not printable is escaped. Here, and not with
    `aiterfix.storage.text.printable`, because it is wanted where the rest of this package is damaged."""
    text = " ".join(text.split())
    return text if text.isprintable() else "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def _say(text: str) -> None:
    try:
        if sys.stderr is not None:
            sys.stderr.write(f"aiterfix: {text}\n")
    except (OSError, ValueError):
        return  # closed or full; the import is stopped where it has to be


def _mode() -> str:
    return os.environ.get("AITERFIX", "").strip().lower()


def off() -> bool:
    """Whether ``AITERFIX=off`` forbids the hook."""
    return _mode() == "off"


def required() -> bool:
    """Whether ``AITERFIX=require`` is set."""
    return _mode() == "require"


def misspelt() -> str:
    """The safety switch whose value is not known, as a clause; empty where there is none, or the hook is off.

    ``AITERFIX_KERNEL`` is one: whoever sets it relies on aiter's kernels not being launched.
    """
    mode = _mode()
    if mode == "off":
        return ""
    if mode not in _MODES:
        return f"AITERFIX={mode!r} is none of auto, off, require"
    kernel = os.environ.get("AITERFIX_KERNEL", "").strip()
    return "" if kernel in _KERNELS else f"AITERFIX_KERNEL={kernel!r} is none of 0, 1, guard"


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
        _look(finder)
    if way not in finder.ways:
        finder.ways.append(way)
    return finder


def _look(finder: Finder) -> None:
    """Say once, when the hook starts, what will stop the first import of a kernel module."""
    reason = misspelt()
    if not reason and required():
        try:
            from aiterfix.importing.intact import damage

            finder.fault = one_line(damage())
        except Exception as error:  # noqa: BLE001 - what looks for damage is damaged
            finder.fault = f"aiterfix is damaged: {_line(error)}"
        reason = finder.fault
    if reason:
        _say(f"{reason}: no kernel module of aiter will be imported until that is mended")


def broken(finder: Finder, error: Exception) -> None:
    """Note that the rest of this package could not be loaded, for whoever calls the hook up.

    Args:
        finder: which stands.
        error: what kept it from being loaded.

    Raises:
        StoppedImportError: a kernel module is imported already, in `require` mode.
    """
    if not finder.fault:
        finder.fault = f"aiterfix is damaged: {_line(error)}"
        _say(finder.fault)
    loaded = [name for name in FAMILY if name in sys.modules]
    if loaded and required():
        raise StoppedImportError(f"aiterfix: {loaded[0]} is imported already, and cannot be patched: {finder.fault}")


def start_from_site() -> None:
    """What the ``.pth`` and ``.start`` files call."""
    start("pth")
