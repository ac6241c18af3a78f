"""``aiter``'s Gluon kernels by their source text, compiled for gfx950 as the installed wrapper compiles them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

from aiterfix.errors import NotUnderstoodError
from aiterfix.family.inputs import LaunchInputs
from aiterfix.family.signature import Kernel, KernelConfig, WrapperFacts, find_kernels, make_request
from aiterfix.gfx950.cache import CompiledKernel
from aiterfix.gfx950.compile import Compiler
from aiterfix.validation.emulator import EmulatedRun, Launched
from aiterfix.validation.execution import Launcher
from aiterfix.validation.report import Report
from aiterfix.validation.scenarios import AnyKernel, Scenario
from aiterfix.validation.source_lines import SourceLines


@dataclass(frozen=True)
class GluonSource:
    """A kernel file; runs on the emulator.

    Attributes:
        text: its bytes.
        filename: its name, for reports and line tables; not opened.
        wrapper: facts from the wrapper's text, where it is at hand.
        shown: what the report calls the file, where that is more than ``filename`` (which is part of the line table,
            and so of what compiled kernels are kept by).
        mends: ids of the faults that were mended in the text.
    """

    text: bytes = field(repr=False)
    filename: str
    wrapper: WrapperFacts | None = None
    shown: str = ""
    mends: tuple[str, ...] = ()
    configs = None

    @property
    def kernels(self) -> tuple[AnyKernel, ...]:
        """See :class:`aiterfix.validation.interface.Subject`."""
        present = find_kernels(self.text, self.filename)
        if not present:
            raise NotUnderstoodError(
                f"{self.filename} defines no Gluon kernel that is known",
                why="looked for " + ", ".join(kernel.function for kernel in Kernel),
                remedy="name the file that holds the kernels: aiter/ops/triton/gluon/pa_mqa_logits.py in most releases",
            )
        return present

    def emulated(self, compiler: Compiler, launcher: Launcher) -> EmulatedRun:
        """See :class:`aiterfix.validation.emulator.EmulatedSubject`; each kernel and configuration is compiled once."""
        compiled: dict[tuple[AnyKernel, KernelConfig], CompiledKernel] = {}

        def launch(scenario: Scenario, inputs: LaunchInputs) -> Launched:
            kernel, config = scenario.kernel, scenario.config
            if not isinstance(kernel, Kernel):
                raise NotUnderstoodError(f"{kernel.value} is not compiled for gfx950 here")
            if (kernel, config) not in compiled:
                request = make_request(self.text, self.filename, kernel, config, self.wrapper)
                compiled[kernel, config] = compiler.compile(request)
            code = compiled[kernel, config]
            return Launched(code, launcher.launch(code, scenario, inputs))

        ran = Report(
            path=self.shown or self.filename,
            source_sha256=hashlib.sha256(self.text).hexdigest(),
            device=launcher.device,
            triton=compiler.triton,
            mends=self.mends,
        )
        return EmulatedRun(ran, launch, SourceLines.of(self.text, self.filename))
