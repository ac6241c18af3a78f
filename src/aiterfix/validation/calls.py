"""What a wrapper does before a launch: its functions called with tensors on a CPU, in a child that notes the launches.

Its text runs as it stands, under ``_call_child.py``, with stand-ins for ``aiter`` and Triton. A call is a scenario: it
passes where what the kernel is handed is right, fails where it is not, and is refused where the wrapper raises first.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiterfix.errors import AiterfixError, EnvironmentProblem, NotUnderstoodError
from aiterfix.family import standins
from aiterfix.family.cases import CHUNK
from aiterfix.family.entries import SHUFFLED
from aiterfix.family.kernels import ENTRY
from aiterfix.family.portable import AnyKernel, Portable
from aiterfix.family.signature import STORE_STRIDE, Kernel
from aiterfix.faults.base import Presence
from aiterfix.source.launch_arguments import Arguments, parameters_of
from aiterfix.storage import children
from aiterfix.storage.children import Owner
from aiterfix.storage.digest import sha256_hex
from aiterfix.validation.interface import RefusedLaunchError
from aiterfix.validation.kernel_file import KernelFile
from aiterfix.validation.report import ScenarioResult, SourceFacts
from aiterfix.validation.scenarios import CALLS_OF_FAULT, Scenario

_CHILD = Path(__file__).with_name("_call_child.py")
_WITH_GLUON, _WITHOUT = "3.6.0", "3.3.1"
"""Releases of Triton of which the wrappers take the Gluon kernels, and the plain ones."""
TOLD = f"{_WITH_GLUON} and {_WITHOUT} by name"
"""What a record of a wrapper says of Triton, of which it meets no more than the number."""
_SECONDS = 120.0
_REFUSES = ("ValueError: ", "AssertionError")
"""What wrappers raise for what they do not take: by an edit of ours, and by themselves."""

_PLAIN = "launch-arguments"
"""The fault whose calls ask for nothing that a kernel does not take."""


@dataclass(frozen=True)
class WrapperFile:
    """A text whose functions launch kernels.

    Attributes:
        filename: its path in the package.
        mends: ids of the faults that were mended in it.
        original_sha256: digest of the text before that.
    """

    text: bytes = field(repr=False)
    filename: str
    mends: tuple[str, ...] = ()
    original_sha256: str = ""

    def launches(self, kernel: AnyKernel) -> bool:
        """Whether it has the function that launches a kernel."""
        # More often than it is imported: some that have a Gluon kernel launch the plain one no longer.
        entry, function = entry_of(kernel).encode(), re.escape(kernel.function.encode())
        named = len(re.findall(rb"\b" + function + rb"\b", self.text))
        imported = len(re.findall(rb"^(?:from .* import)?\s+" + function + rb"\s*,?\s*$", self.text, re.MULTILINE))
        return b"def " + entry + b"(" in self.text and named > imported

    @property
    def facts(self) -> SourceFacts:
        """What a report says of it."""
        digest = sha256_hex(self.text)
        return SourceFacts(self.filename, digest, self.original_sha256 or digest, self.mends, wrapper=True)


def entry_of(kernel: AnyKernel) -> str:
    """The wrapper's function that launches a kernel."""
    if not isinstance(kernel, Portable):
        return ENTRY
    return ENTRY + kernel.function.removeprefix(f"_{ENTRY}")


def calls_of(kernels: Sequence[AnyKernel], wrappers: Sequence[WrapperFile]) -> tuple[Scenario, ...]:
    """The calls that can be made of what launches these kernels."""
    everything = dict.fromkeys(s for shown in CALLS_OF_FAULT.values() for s in shown)
    return tuple(s for k in kernels for s in everything if s.kernel is k and any(w.launches(k) for w in wrappers))


@dataclass
class Calls:
    """Makes the calls of one source.

    Attributes:
        python: the interpreter asked first for torch; this one is asked where that has none.
        answers: of each wrapper's text, once it was run.
    """

    files: Sequence[KernelFile]
    wrappers: Sequence[WrapperFile]
    python: str = sys.executable
    owner: Owner | None = None
    answers: dict[bytes, Mapping[str, Any] | AiterfixError] = field(default_factory=dict)
    _begun: dict[bytes, subprocess.Popen[str]] = field(default_factory=dict)

    def begin(self) -> None:
        """Start every wrapper's child, whose answer is heard when it is asked for: importing torch takes a second."""
        for text, wrapper in {wrapper.text: wrapper for wrapper in self.wrappers}.items():
            with suppress(OSError):  # told when it is asked for, and tried again
                self._begun[text] = _child(self.python, _request(wrapper), self.owner)

    def close(self) -> None:
        """End the children whose answers were not asked for."""
        for child in self._begun.values():
            with child:
                child.kill()
        self._begun = {}

    def run(self, scenario: Scenario) -> ScenarioResult:
        """Call, and judge what was launched.

        Raises:
            RefusedLaunchError: the wrapper raises first.
            EnvironmentProblem: there is no torch.
            NotUnderstoodError: the wrapper's text cannot be run, or did what is not understood.
        """
        clock = time.perf_counter()
        wrapper = next(w for w in self.wrappers if w.launches(scenario.kernel))
        if wrapper.text not in self.answers:
            self.answers[wrapper.text] = self._ask(wrapper)
        answer = self.answers[wrapper.text]
        if isinstance(answer, AiterfixError):
            raise answer
        said = answer[scenario.name]
        where = f"{entry_of(scenario.kernel)}() of {wrapper.filename}"
        if said["raised"]:
            # What raises for what any kernel takes refuses nothing.
            plain = next(s for s in CALLS_OF_FAULT[_PLAIN] if s.kernel is scenario.kernel)
            if said["raised"].startswith(_REFUSES) and answer[plain.name]["launched"]:
                raise RefusedLaunchError(f"{where} raises", why=said["raised"])
            raise NotUnderstoodError(f"{where} could not be called", why=said["raised"])
        launched = [noted for noted in said["launched"] if noted["kernel"] == scenario.kernel.function]
        if len(launched) != 1:
            names = ", ".join(noted["kernel"] for noted in said["launched"]) or "nothing"
            raise NotUnderstoodError(f"{where} launched {names} where {scenario.kernel.function} was expected")
        wrong = self._wrong(scenario, launched[0])
        return ScenarioResult(
            scenario.name,
            scenario.kernel.value,
            scenario.config.name,
            not wrong,
            scenario.rows,
            fault=f"{entry_of(scenario.kernel)}() {wrong}" if wrong else "",
            seconds=time.perf_counter() - clock,
        )

    def _wrong(self, scenario: Scenario, launched: Mapping[str, Any]) -> str:
        """What is wrong with a launch; empty where nothing is."""
        function = scenario.kernel.function
        file = next(file for file in self.files if scenario.kernel in file.kernels)
        if scenario.title == "entry-chunk":
            takes = file.presence.get(function, {}).get("small-chunk") is Presence.ABSENT
            return "" if takes else f"has the kernel compiled for a {CHUNK} of {scenario.config.chunk_k}"
        parameters = parameters_of(file.text, function)
        by_name = tuple((name, "") for name in launched["named"])
        handed = Arguments(function, "", 0, len(launched["arguments"]), launched["compiled"], by_name=by_name)
        differs = handed.mismatch(parameters) if parameters is not None else None
        if parameters is None or differs is None:
            raise NotUnderstoodError(f"the parameters of {function} are not understood")
        if scenario.title == "entry-arguments":
            return f"hands on {differs}" if differs else ""
        if differs:
            raise NotUnderstoodError(f"what {function} is handed is not known: {differs}")
        names = [p.arg for p in (*parameters.posonlyargs, *parameters.args)]
        if scenario.title == "entry-blocks":
            size = scenario.config.kv_block_size
            return "" if "KVBlockSize" in names else f"launches a kernel for tokens on blocks of {size}"
        stride = {**dict(zip(names, launched["arguments"], strict=False)), **launched["named"]}.get(STORE_STRIDE)
        if stride == scenario.row_stride:
            return ""
        return f"hands on a row stride of {stride} for an output whose rows are {scenario.row_stride} apart"

    def _ask(self, wrapper: WrapperFile) -> Mapping[str, Any] | AiterfixError:
        reasons = []
        for python in dict.fromkeys((self.python, sys.executable)):
            begun = self._begun.pop(wrapper.text, None)
            try:
                answer = _answer(begun or _child(python, _request(wrapper), self.owner))
            except OSError as error:
                answer = {"kind": "ended", "message": str(error)}
            if answer.get("ok"):
                found: Mapping[str, Any] = answer["calls"]
                return found
            reasons.append(f"{python}: {answer['message']}")
            # Another Python may have torch, or be new enough for the text.
            if answer.get("kind") != "no-torch" and not str(answer["message"]).startswith("SyntaxError"):
                break
        if answer.get("kind") != "no-torch":
            return NotUnderstoodError(f"{wrapper.filename} cannot be run to be called", why="; ".join(reasons))
        return EnvironmentProblem(
            f"to call {wrapper.filename} needs torch with float8_e4m3fn, which was not found",
            why="; ".join(reasons),
            remedy="run it with a Python that has torch; one for the CPU will do",
        )


def _asked(scenario: Scenario) -> dict[str, Any]:
    """A call as the child takes it."""
    kernel, rows, width = scenario.kernel, scenario.rows, scenario.max_model_len
    by_head = isinstance(kernel, Portable) and kernel.by_head
    heads = [scenario.config.heads] if by_head or scenario.title == "entry-rank" else []
    named: dict[str, Any] = {SHUFFLED: True} if kernel.preshuffled else {}
    if scenario.title == "entry-chunk":
        named[CHUNK] = scenario.config.chunk_k
    return {
        "entry": entry_of(kernel),
        "triton": _WITHOUT if isinstance(kernel, Portable) else _WITH_GLUON,
        "rows": rows,
        "width": width,
        "block": scenario.config.kv_block_size,
        "output": [*heads, rows, width],
        "ragged": isinstance(kernel, Portable) and kernel.ragged,
        "schedule": kernel is Kernel.PRESHUFFLE_VARCTX,
        "named": named,
    }


def _request(wrapper: WrapperFile) -> str:
    """Every call that can be made of a wrapper, as the child takes them."""
    kernels = [kernel for kernel in (*Kernel, *Portable) if kernel.function and wrapper.launches(kernel)]
    return json.dumps(
        {
            "text": wrapper.text.decode("utf-8", "surrogateescape"),
            "filename": wrapper.filename,
            "stand_ins": str(standins.__file__),
            "calls": {s.name: _asked(s) for s in calls_of(kernels, [wrapper])},
        }
    )


def _child(python: str, request: str, owner: Owner | None) -> subprocess.Popen[str]:
    # From a file, a child has all of the request at once, whatever else is done meanwhile.
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="surrogateescape") as asked:
        asked.write(request)
        asked.seek(0)
        return subprocess.Popen(
            [python, str(_CHILD)],
            stdin=asked,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            errors="surrogateescape",
            env=children.environment({}, owner),
            **children.rights(owner),
        )


def _answer(child: subprocess.Popen[str]) -> dict[str, Any]:
    with child:
        try:
            told, troubles = child.communicate(timeout=_SECONDS)
        except subprocess.TimeoutExpired as error:
            return {"kind": "ended", "message": str(error)}
        finally:
            child.kill()  # an interrupt leaves none behind; nothing happens to one that has ended
    try:
        answer = json.loads(told)
    except ValueError:
        answer = None
    if isinstance(answer, dict):
        return answer
    said = troubles.strip().splitlines()
    return {"kind": "ended", "message": f"exit status {child.returncode}: {said[-1] if said else 'nothing was said'}"}
