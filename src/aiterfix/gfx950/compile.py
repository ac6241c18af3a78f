"""Compile a kernel file for gfx950 with the Triton that is installed, on a machine with no GPU, in a child process.

The child (``_compile_child.py``) imports nothing of the source's package and may die: a compiler assertion becomes a
:class:`CompileError` that names source, kernel, configuration, Triton release and the compiler's last words. Results
are kept by content (``cache.py``). Prebuilt code objects are read by :func:`load_prebuilt`.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from types import TracebackType
from typing import Any

from aiterfix.errors import EnvironmentProblem, NotUnderstoodError
from aiterfix.gfx950.cache import CodeObjectCache, CompiledKernel, Refusal
from aiterfix.gfx950.request import CompileRequest
from aiterfix.storage import children, codec
from aiterfix.storage.children import Owner
from aiterfix.storage.codec import StoredError
from aiterfix.storage.held import Folder, read_file

_CHILD = Path(__file__).with_name("_compile_child.py")
_LONGEST_ANSWER = 1 << 20
_KNOBS = ("TRITON_", "AMDGCN_", "LLVM_", "MLIR_")
_NO_KNOBS = ("TRITON_CACHE_DIR", "TRITON_HOME", "TRITON_DUMP_DIR", "TRITON_OVERRIDE_DIR", "TRITON_PRINT_AUTOTUNING")
INSTALL_TRITON = "pip install 'triton>=3.6' (3.6.0 to 3.9.0 are known to work; on ROCm images use the image's own)"


_ANOTHER = "use another Triton release for this source, or a newer aiter"


class CompileError(EnvironmentProblem):
    """The compiler refused the source or died of it."""

    code = "compile"


class CompilerDiedError(CompileError):
    """It divided by zero, as it will again for this source."""


class Compiler:
    """One child process that compiles; started on first use, started anew after it died.

    Args:
        python: the interpreter whose Triton compiles; default this one.
        cache: where results are kept; None for the default place.
        timeout: seconds that one compilation may take.
        owner: whose rights the child has, since it runs a kernel file's top level; None for this process's.

    Use as a context manager, or call :meth:`close`.
    """

    def __init__(
        self,
        python: str | None = None,
        cache: CodeObjectCache | None = None,
        timeout: float = 300.0,
        owner: Owner | None = None,
    ) -> None:
        self.python = python or sys.executable
        self.cache = cache if cache is not None else CodeObjectCache()
        self.timeout = timeout
        self.owner = owner
        self._process: subprocess.Popen[str] | None = None
        self._work = tempfile.TemporaryDirectory(prefix="aiterfix-compile-")
        self._written = Path(self._work.name, "written")
        self._written.mkdir(mode=0o700)
        if owner is not None:
            # The child writes there and nowhere else of ours; what comes from there is read as a stranger's.
            os.chown(self._written, owner.uid, owner.gid)
            Path(self._work.name).chmod(0o711)
        self._environment: dict[str, Any] | None = None
        self._said_before = 0

    def __enter__(self) -> Compiler:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the child and remove its files. May be called twice."""
        self.close_child()
        self._work.cleanup()

    @property
    def triton(self) -> str:
        """Release of the Triton that compiles.

        Raises:
            EnvironmentProblem: the interpreter does not run, or has no Triton.
        """
        if self._environment is None:
            self._start()
        assert self._environment is not None
        return str(self._environment["triton"])

    @property
    def fp_fusion(self) -> bool | None:
        """Whether it makes one instruction of a multiplication and an addition where a request says nothing of it:
        ``TRITON_DEFAULT_FP_FUSION``, or what the release does without. None where it does not say.

        Raises:
            EnvironmentProblem: as for ``triton``.
        """
        if self._environment is None:
            self._start()
        assert self._environment is not None
        said = self._environment.get("fp_fusion")
        return said if isinstance(said, bool) else None

    def compile(self, request: CompileRequest) -> CompiledKernel:
        """The code object for a request, from the cache where it is there.

        Raises:
            EnvironmentProblem: no Triton, or one without Gluon.
            CompileError: the compiler refused, died, or took too long.
            NotUnderstoodError: the kernel file uses something that has no stand-in.
        """
        key = self.key(request)
        known = self.cache.load(key)
        if known is not None:
            return known
        refusal = self.cache.load_refusal(key)
        if refusal is not None:
            raise CompilerDiedError(refusal.what, why=refusal.why, remedy=_ANOTHER)
        self._require(request.language)
        try:
            answer = self._ask(request)
        except CompilerDiedError as error:
            self.cache.store_refusal(key, Refusal(error.what, error.why))
            raise
        try:
            code, ttgir = self._outputs()
            kernel = CompiledKernel(
                code=code,
                ttgir=ttgir.decode("utf-8"),
                function=str(answer["metadata"]["name"]),
                shared_bytes=int(answer["metadata"]["shared"]),
                threads=int(answer["metadata"]["num_warps"]) * int(answer["metadata"]["warp_size"]),
                triton=self.triton,
                arguments=request.arguments,
            )
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise CompileError(
                f"what the compiler made of {request.filename}: {request.function} cannot be read",
                why=f"{type(error).__name__}: {error}",
            ) from error
        self.cache.store(key, kernel)
        return kernel

    def key(self, request: CompileRequest) -> str:
        """Name of the result by content: source, specialisation, Triton release, and the compiler's own switches.

        What those leave to the release is in it as the release decides it: builds of one number may differ.
        """
        knobs = sorted(
            (name, value) for name, value in os.environ.items() if name.startswith(_KNOBS) and name not in _NO_KNOBS
        )
        said: dict[str, Any] = {
            "triton": self.triton,
            "fp_fusion": self.fp_fusion,
            "source": hashlib.sha256(request.source).hexdigest(),
            "filename": request.filename,
            "function": request.function,
            "signature": request.signature,
            "constants": request.constants,
            "attributes": request.attributes,
            "options": request.options,
            "language": request.language,
            "stand_ins": _digest(request.stand_ins),
            "arch": request.arch,
            "knobs": knobs,
        }
        if self.owner is not None:  # what another user's process makes counts for that user's files alone
            said["owner"] = self.owner.uid
        return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()

    # -- the child -------------------------------------------------------------------------------------------------

    @property
    def _output(self) -> Path:
        return self._written / "kernel.hsaco"

    def _outputs(self) -> tuple[bytes, bytes]:
        """Code object and TTGIR, as the child left them."""
        with Folder.open(self._written) as folder:
            return folder.at(self._output.name).read()[0], folder.at(f"{self._output.name}.ttgir").read()[0]

    @property
    def _errors(self) -> Path:
        return Path(self._work.name) / "stderr"

    def _start(self) -> subprocess.Popen[str]:
        if self._process is not None and self._process.poll() is None:
            return self._process
        # A private Triton cache: the user's holds what production compiled, and this is not production.
        environment = children.environment({"TRITON_CACHE_DIR": str(self._written / "triton")}, self.owner)
        if self.owner is not None:
            environment["TMPDIR"] = str(self._written)
        try:
            with self._errors.open("wb") as errors:
                process = subprocess.Popen(
                    [self.python, str(_CHILD)],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=errors,
                    env=environment,
                    text=True,
                    encoding="utf-8",
                    **children.rights(self.owner),
                )
        except OSError as error:
            raise EnvironmentProblem(
                f"cannot run {self.python} to compile kernels{self._whose}",
                why=str(error),
                remedy="pass an interpreter that runs",
            ) from error
        self._process, self._said_before = process, 0
        hello = self._read(process)
        if hello is None:
            raise EnvironmentProblem(
                f"{self.python} ended ({_ending(process)}) before Triton was imported{self._whose}",
                why=self._last_words(),
                remedy=INSTALL_TRITON,
            )
        if not hello["ok"]:
            self.close_child()
            raise EnvironmentProblem(
                f"no Triton in {self.python}: kernels cannot be compiled",
                why=str(hello["message"]),
                remedy=INSTALL_TRITON,
            )
        self._environment = hello
        return process

    @property
    def _whose(self) -> str:
        return f", with the rights of {self.owner.name}" if self.owner is not None else ""

    def close_child(self) -> None:
        """End the child; the next compilation starts another."""
        if self._process is not None:
            self._end(self._process)
            if self.owner is not None:
                with contextlib.suppress(OSError):  # what it started has nothing more to do
                    os.killpg(self._process.pid, signal.SIGKILL)
            self._process = None

    @staticmethod
    def _end(process: subprocess.Popen[str]) -> None:
        if process.stdin is not None:
            try:
                process.stdin.close()
            except BrokenPipeError:
                process.kill()  # it died with a request unread
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.stdout is not None:
            process.stdout.close()

    def _require(self, language: str) -> None:
        self._start()
        assert self._environment is not None
        if language == "gluon" and not self._environment["gluon"]:
            raise EnvironmentProblem(
                f"Triton {self.triton} in {self.python} has no Gluon with AMD buffer operations",
                why=str(self._environment["message"]),
                remedy=INSTALL_TRITON,
            )

    def _ask(self, request: CompileRequest) -> dict[str, Any]:
        process = self._start()
        said = {
            "source": request.source.decode("utf-8"),
            "filename": request.filename,
            "function": request.function,
            "signature": dict(request.signature),
            "constexprs": dict(request.constants),
            "attributes": request.attributes,
            "options": dict(request.options),
            "language": request.language,
            "stand_ins": str(request.stand_ins) if request.stand_ins is not None else None,
            "arch": request.arch,
            "output": str(self._output),
        }
        what = f"{request.filename}: {request.function} ({request.label}) with Triton {self.triton}"
        self._said_before = self._errors.stat().st_size
        assert process.stdin is not None
        try:
            process.stdin.write(json.dumps(said) + "\n")
            process.stdin.flush()
        except BrokenPipeError:
            pass  # reported below, with how it ended
        answer = self._read(process)
        if answer is None:
            why = f"the compiler ended ({_ending(process)}). Its last words: {self._last_words()}"
            self.close_child()
            # Other ends may come of want of time or memory, and need not come again.
            raise (CompilerDiedError if process.wait() == -signal.SIGFPE else CompileError)(
                f"the compiler died on {what}",
                why=why,
                remedy=_ANOTHER,
            )
        if answer["ok"]:
            return answer
        if answer["kind"] == "stand-in":
            raise NotUnderstoodError(
                f"cannot compile {what} without importing its package",
                why=str(answer["message"]),
                remedy="use a newer aiterfix, or run a prebuilt code object of this kernel",
            )
        printed = self._last_words()  # MLIR passes print their diagnosis and raise without it
        raise CompileError(
            f"the compiler refuses {what}",
            why=str(answer["message"]) + ("" if printed == _NOTHING else f"\n{printed}"),
            remedy=_ANOTHER,
        )

    def _read(self, process: subprocess.Popen[str]) -> dict[str, Any] | None:
        """The child's next answer; None where it ended, or was ended after ``timeout`` seconds."""
        assert process.stdout is not None
        timer = threading.Timer(self.timeout, process.kill)
        timer.start()
        try:
            line = process.stdout.readline(_LONGEST_ANSWER)
        finally:
            timer.cancel()
        try:
            answer = json.loads(line)
        except (ValueError, RecursionError):
            answer = None
        if isinstance(answer, dict) and "ok" in answer:
            return answer
        if line:
            process.kill()  # not one of ours: a kernel file may print where answers go
        process.wait()
        return None

    def _last_words(self) -> str:
        with self._errors.open("rb") as file:
            size = self._errors.stat().st_size
            file.seek(max(self._said_before, size - _LONGEST_ANSWER))
            return last_words(file.read(_LONGEST_ANSWER).decode("utf-8", errors="replace"))


def _digest(file: Path | None) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest() if file is not None else ""


_NOTHING = "nothing"
_TELLING = re.compile(r"assertion|LLVM ERROR|error:|Error\b", re.IGNORECASE)


def last_words(text: str, lines: int = 6) -> str:
    """What a dying compiler said: the lines that state a cause, else its last ones; stack dumps left out."""
    said = [line.strip() for line in text.splitlines() if line.strip()]
    telling = [line for line in said if _TELLING.search(line)]
    return "\n".join((telling or said)[-lines:]) or _NOTHING


def _ending(process: subprocess.Popen[str]) -> str:
    status = process.wait()
    if status >= 0:
        return f"exit status {status}"
    try:
        return f"signal {-status}, {signal.Signals(-status).name}"
    except ValueError:
        return f"signal {-status}"


def load_prebuilt(path: Path) -> CompiledKernel:
    """A code object that stands on disk: from Triton's cache, or an AOT folder.

    The ``.json`` that Triton writes beside it says how much LDS a launch adds and how many threads a workgroup has.

    Raises:
        EnvironmentProblem: the file cannot be read.
        NotUnderstoodError: it is no ELF file, or nothing beside it says how to launch it.
    """
    try:
        code = read_file(path)
    except OSError as error:
        raise EnvironmentProblem(f"cannot read {path}", why=str(error)) from error
    if not code.startswith(b"\x7fELF"):
        raise NotUnderstoodError(f"{path} is not an ELF file", remedy="name a .hsaco file")
    beside = path.with_suffix(".json")
    try:
        said = codec.parse(read_file(beside), beside)
        ttgir = path.with_suffix(".ttgir")
        return CompiledKernel(
            code=code,
            ttgir=read_file(ttgir).decode("utf-8") if ttgir.is_file() else "",
            function=str(said["name"]),
            shared_bytes=int(said["shared"]),
            threads=int(said["num_warps"]) * int(said.get("warp_size", 64)),
            triton=str(said.get("triton_version", "")),
            arguments=(),
        )
    except (OSError, StoredError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise NotUnderstoodError(
            f"{path} cannot be launched: {beside.name} beside it does not say how",
            why=f"{type(error).__name__}: {error}",
            remedy="keep the .json file that Triton writes next to the .hsaco",
        ) from error
