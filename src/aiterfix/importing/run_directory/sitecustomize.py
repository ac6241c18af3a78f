"""Started by `site` in every Python that `aiterfix run` starts: puts the hook in place, then runs the
``sitecustomize`` that this one hides. Keeps to syntax that any Python 3 reads: a child may be an older one."""

import os
import sys


def _aiterfix() -> None:
    # By place, not by name: the child may be a Python that has no aiterfix of its own.
    here = os.path.dirname(os.path.abspath(__file__))  # noqa: PTH100, PTH120 - pathlib is slow to import
    package = os.path.dirname(os.path.dirname(here))  # noqa: PTH120
    if "aiterfix" not in sys.modules:
        from importlib.util import module_from_spec, spec_from_file_location

        spec = spec_from_file_location(
            "aiterfix",
            os.path.join(package, "__init__.py"),  # noqa: PTH118
            submodule_search_locations=[package],
        )
        assert spec is not None and spec.loader is not None
        module = module_from_spec(spec)
        sys.modules["aiterfix"] = module
        try:
            spec.loader.exec_module(module)
        except BaseException:
            del sys.modules["aiterfix"]
            raise
    from aiterfix.startup import start

    start("run")


def _instead(reason: str) -> None:
    """Say that there is no hook; unless `auto` is content with that, stop the first import of a kernel module. Not by
    an `ImportError`, which engines take for "aiter is not there"."""
    content = ("", "auto", "off")

    class StoppedImportError(Exception):
        pass

    class Stop:
        @staticmethod
        def find_spec(name, path=None, target=None):  # type: ignore[no-untyped-def]
            if name.startswith("aiter.") and name.endswith(".pa_mqa_logits") and _mode() not in content:
                raise StoppedImportError("aiterfix: %s is not imported: there is no import hook: %s" % (name, reason))  # noqa: UP031

    if _mode() not in content:
        sys.meta_path.insert(0, Stop)
    try:
        if _mode() != "off" and sys.stderr is not None:
            sys.stderr.write("aiterfix: the import hook is not in place: %s\n" % reason)  # noqa: UP031
    except (OSError, ValueError):
        return  # full or closed; the import is stopped all the same


def _line(error: Exception) -> str:
    line = " ".join(("%s: %s" % (type(error).__name__, error)).split())  # noqa: UP031
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in line)


def _mode() -> str:
    return os.environ.get("AITERFIX", "").strip().lower()


def _hidden() -> None:
    """Run the sitecustomize further down the path, under its own name."""
    here = os.path.dirname(os.path.abspath(__file__))  # noqa: PTH100, PTH120
    ours = sys.modules.pop("sitecustomize", None)
    # For good: there is nothing else to import here, and children go by PYTHONPATH.
    sys.path[:] = [p for p in sys.path if os.path.abspath(p or os.curdir) != here]  # noqa: PTH100
    try:
        import sitecustomize  # type: ignore[import-not-found]  # noqa: F401
    except ImportError as error:
        if error.name != "sitecustomize":
            raise
        if ours is not None:
            sys.modules["sitecustomize"] = ours


try:
    if sys.version_info < (3, 10):  # noqa: UP036 - a child may be older than what aiterfix asks for
        raise RuntimeError("%s is older than Python 3.10" % sys.executable)  # noqa: UP031
    _aiterfix()
except Exception as error:  # noqa: BLE001 - the host process must start all the same
    _instead(_line(error))
_hidden()
