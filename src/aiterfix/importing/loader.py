"""The loader of a kernel module, around the one that the other finders chose."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib.util import decode_source
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

from aiterfix.family.kernels import KernelGroup
from aiterfix.importing import compilers, ledger
from aiterfix.importing.decision import KEEP_PADDING, Decision, Outcome, decide, refuse
from aiterfix.importing.kernels import comes_from, kernels_in
from aiterfix.importing.memory import give_back_memory
from aiterfix.importing.refusing import launches_for
from aiterfix.importing.targets import targets


class _OwnWayError(Exception):
    """The inner loader executed the module without asking for its code."""


class PatchingLoader:
    """Loads a kernel module from patched text.

    `linecache`, and through it `inspect` and Triton's decorator, read a file where one has the name that is in
    the code object, and only otherwise ask the loader. So the code gets a name that no file has.

    Args:
        inner: the loader that would have been used.
        origin: the file that it would have read; empty where there is none.
        fault: why these are not known.
    """

    of_aiterfix = True

    def __init__(
        self, name: str, inner: Any, origin: str, groups: Sequence[KernelGroup], fault: Exception | None = None
    ) -> None:
        self._fault = fault
        self.name = name
        self.inner = inner
        self.origin = origin
        self.groups = tuple(groups)
        self._decision: Decision | None = None
        self.filename = ""
        self._text: str | None = None
        self._packed = b""
        self._executed = False
        self._host_failure: BaseException | None = None

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(self.inner, name)

    def get_source(self, fullname: str | None = None) -> str | None:
        """The text that was, or would be, imported."""
        if self._text is None and not self._packed and self.decision().text is None:
            # `linecache` forgives a loader that answers None, not one that raises.
            get_source = getattr(self.inner, "get_source", None)
            source: str | None = get_source(self.name) if get_source is not None else None
            return source
        return self._patched_text()

    def get_code(self, fullname: str | None = None) -> CodeType | None:
        """The code that would be executed (`runpy` asks for it)."""
        decision = self.decision()
        if decision.text is not None:
            return self._compile(decision)
        if self._packed:
            return self._to_code(self._patched_text())
        code: CodeType | None = self.inner.get_code(self.name)
        return code

    def exec_module(self, module: ModuleType) -> None:
        """Execute the patched text; or leave everything to the inner loader, where there is nothing to patch.

        Raises:
            UnpatchedKernelError: it cannot be patched, in `require` mode.
            Exception: the module's own, such as for want of a dependency; it is passed on as it is and nothing is
                recorded or said, since no such module is there then.
        """
        before = dict(module.__dict__)
        self._decision = None  # a reload reads the file again
        self._executed = False
        self._host_failure = None
        try:
            self._exec_module(module, before)
        except ledger.UnpatchedKernelError:
            raise
        except Exception as error:
            if error is self._host_failure:
                ledger.forget(self.name)
                raise
            if ledger.strict():
                raise ledger.failed(self.name, error) from error
            # Not even our book-keeping may become the host's failure.
            ledger.last_resort(self.name, error)
            if not self._executed:
                self._execute_plainly(module, before)

    def _exec_module(self, module: ModuleType, before: dict[str, Any]) -> None:
        decision = self.decision()
        origin = self.origin
        # Where a fault is left, what can be taken out is; in `require` mode nothing of the module is executed then.
        if decision.state is Outcome.UNPATCHED and ledger.strict():
            decision = decision.not_carried_out()
        if decision.text is not None:
            failure = None
            try:
                problem = self._execute_patched(module, decision)
            except Exception as error:
                if ledger.strict():
                    raise
                failure = error
            if failure is not None:
                # One of the host's own, such as for want of a dependency, comes again here, and is nothing of ours.
                self._execute_plainly(module, before)
                problem = ledger.trouble(self.name, "importing the patched text", failure)
                del failure
            decision, origin = (decision, self.filename) if problem is None else (problem, origin)
        if not self._executed and not (decision.state is Outcome.UNPATCHED and ledger.strict()):
            self._execute_plainly(module, before)
        # Afterwards, so that nothing is said of a module whose own failure ends its import; but in `require` mode
        # an unpatched one must not be executed.
        self._note(decision, origin)
        if not self._executed:
            self._execute_plainly(module, before)
        if self._text is not None:
            del decision
            self._pack()
            give_back_memory()
        ledger.announce()
        compilers.warn(self.name)
        if ledger.faulty() and not ledger.at_work():
            from aiterfix.importing.watching import watch_loaded

            watch_loaded()

    def _note(self, decision: Decision, origin: str) -> None:
        """Note what became of the module."""
        ledger.record(self.name, decision, origin)

    def _pack(self) -> None:
        """Keep one copy of the text, a fifth of its size: it stays as long as the process, and is seldom asked for."""
        self._packed = zlib.compress(self._patched_text().encode("utf-8", "surrogatepass"))
        self._text = None
        self._decision = replace(self.decision(), text=None)

    def _execute_plainly(self, module: ModuleType, before: Mapping[str, Any]) -> None:
        """As if we were not there."""
        namespace = module.__dict__  # got once: Python 3.13's lazy modules look for what is cleared here
        namespace.clear()
        namespace.update(before)
        self._stand_aside(module)
        try:
            self.inner.exec_module(module)
        except BaseException as error:
            self._host_failure = error
            raise
        self._executed = True

    def execute_again(self, module: ModuleType) -> None:
        """Execute the patched text in a module that was imported without us. Failures are the caller's to undo."""
        decision = self.decision()
        code = self._compile(decision)
        self._claim(module)
        self._execute(module, code)

    def found_text(self) -> str:
        """The unpatched text, with line endings as the interpreter sees them."""
        return decode_source(self._read())

    def decision(self) -> Decision:
        """The decision on the text as it is now. Whatever goes wrong is a decision too."""
        if self._decision is None:
            try:
                if self._fault is not None:
                    raise self._fault
                self._decision = self._decide()
            except Exception as error:  # noqa: BLE001 - the host's import must not fail for our faults
                self._decision = ledger.trouble(self.name, "reading and patching its source", error)
        return self._decision

    def _decide(self) -> Decision:
        obstacle = self._obstacle()
        if not obstacle:
            return decide(self._read(), targets().known, self.origin, launches_for(self.name, self.origin))
        source = self.inner.get_source(self.name) if hasattr(self.inner, "get_source") else None
        found = decide(source.encode(), targets().known, self.origin) if source else Decision(Outcome.UNPATCHED)
        if found.state is Outcome.CLEAN:
            return found
        return Decision(
            Outcome.UNPATCHED,
            found.before,
            reason=f"left alone, because it is {obstacle}",
            remedy=f"Install aiter as files in a folder. {KEEP_PADDING}.",
        )

    def _read(self) -> bytes:
        get_data = getattr(self.inner, "get_data", None)
        text: bytes = get_data(self.origin) if get_data is not None else Path(self.origin).read_bytes()
        return text

    def _obstacle(self) -> str:
        """What keeps this module from being patched while it is imported; empty where nothing does."""
        if not self.origin:
            return "no file"
        if not Path(self.origin).is_file():
            return f"not a file of its own ({self.origin}, loaded by {type(self.inner).__name__})"
        if not self.origin.endswith(".py"):
            return f"not a source file ({self.origin})"
        return ""

    def _execute_patched(self, module: ModuleType, decision: Decision) -> Decision | None:
        """Execute the patched text and check what came of it.

        Returns:
            None where all is well; else what went wrong.

        Raises:
            Exception: the module's own, or one of ours.
        """
        code: CodeType | None = None
        try:
            code = self._compile(decision)
            self._claim(module)
            self._execute(module, code)
            wrong = self.unpatched_kernels(module.__dict__)
        except _OwnWayError as error:
            # It has been executed, unpatched, by a loader that has its own way: leave it as that loader made it.
            self._executed = True
            self._stand_aside(module)
            module.__file__ = self.origin
            return ledger.trouble(self.name, "importing the patched text", error)
        except Exception as error:
            if _raised_by(error, code):
                self._host_failure = error
            raise
        if not wrong:
            self._executed = True
            return None
        return Decision(
            Outcome.UNPATCHED,
            decision.before,
            reason=f"after the patched import, {', '.join(wrong)} did not hold the patched text",
            remedy=f"Report this to the aiterfix project. {KEEP_PADDING}.",
        )

    def _claim(self, module: ModuleType) -> None:
        """What `inspect` and `linecache` go by: the loader to ask, and a file name that leads to it."""
        module.__loader__ = self
        if module.__spec__ is not None:
            module.__spec__.loader = self  # type: ignore[assignment]
        module.__file__ = self.filename
        module.__dict__.pop("__cached__", None)

    def _execute(self, module: ModuleType, code: CodeType) -> None:
        if not hasattr(self.inner, "get_code"):
            # Such as pytest's: a loader that reads and rewrites the file by itself. Its rewriting is left out.
            exec(code, module.__dict__)
            return
        asked = False

        def get_code(_fullname: str) -> CodeType:
            nonlocal asked
            asked = True
            return code

        # The inner loader may do more than execute code (typeguard's does): have it execute ours.
        self.inner.get_code = get_code
        try:
            self.inner.exec_module(module)
        finally:
            del self.inner.get_code
        if not asked:
            raise _OwnWayError(f"{type(self.inner).__name__} executes modules in a way of its own")

    def _compile(self, decision: Decision) -> CodeType:
        assert decision.text is not None
        base, dot, extension = self.origin.rpartition(".")
        self.filename = f"{base}.aiterfix-{decision.after[:12]}{dot}{extension}"
        self._text, self._packed = None, b""
        self._patched_text()
        return self._to_code(decision.text)

    def _to_code(self, text: bytes | str) -> CodeType:
        # The inner loader's, because that of typeguard and its like instruments the code.
        compile_ = getattr(self.inner, "source_to_code", None)
        code: CodeType = (
            compile_(text, self.filename)
            if compile_ is not None
            else compile(text, self.filename, "exec", dont_inherit=True)
        )
        return code

    def _patched_text(self) -> str:
        if self._packed:
            return zlib.decompress(self._packed).decode("utf-8", "surrogatepass")
        if self._text is None:
            text = self.decision().text
            assert text is not None
            self._text = decode_source(text)
        return self._text

    def unpatched_kernels(self, namespace: Mapping[str, Any]) -> list[str]:
        """Names of the kernels of a namespace whose source is not that of the patched text."""
        names = frozenset(k.name for g in self.groups for k in g.kernels)
        text = self._patched_text()
        return [n for n, kernel in sorted(kernels_in(namespace, names).items()) if not comes_from(kernel, text)]

    def _stand_aside(self, module: ModuleType) -> None:
        """Leave no trace on a module that is imported as it is."""
        self._text, self._packed = None, b""
        give_back(module, self.inner)


class RefusingLoader(PatchingLoader):
    """Loads a wrapper whose functions refuse what their kernels cannot do; another loader looks at what came of it.

    A wrapper that need not refuse anything, or cannot be made to, is loaded as it is and nothing is noted: its kernels
    are judged by what it does.
    """

    def _decide(self) -> Decision:
        if self._fault is not None or self._obstacle():
            return Decision(Outcome.CLEAN)
        return refuse(self._read(), targets().known, self.origin)

    def _note(self, decision: Decision, origin: str) -> None:
        if decision.state is not Outcome.CLEAN:
            super()._note(decision, origin)

    def _claim(self, module: ModuleType) -> None:
        outer = getattr(module.__spec__, "loader", None)
        super()._claim(module)
        if module.__spec__ is not None and _is_ours(outer):
            module.__spec__.loader = outer  # it executes copies of the wrapper too, and calls this one for that

    def _stand_aside(self, module: ModuleType) -> None:
        outer = getattr(module.__spec__, "loader", None)
        super()._stand_aside(module)
        if module.__spec__ is not None and _is_ours(outer) and outer is not self:
            module.__spec__.loader = outer


def give_back(module: ModuleType, inner: Any) -> None:
    """Leave no loader of this package on a module that is imported as it is."""
    ours = getattr(module, "__loader__", None)
    if _is_ours(ours):
        module.__loader__ = inner
    spec = module.__spec__
    if spec is not None and _is_ours(spec.loader):
        spec.loader = inner


def _is_ours(loader: object) -> bool:
    return bool(vars(type(loader)).get("of_aiterfix", False))


def _raised_by(error: BaseException, code: CodeType | None) -> bool:
    """Whether an error came out of this code's execution, and not out of ours around it."""
    trace = error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code is code:
            return True
        trace = trace.tb_next
    return False
