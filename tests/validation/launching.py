"""One scenario of one code object, for tests that are about the launch and the comparison alone."""

from __future__ import annotations

from typing import Any

from aiterfix.family.reference import reference
from aiterfix.family.signature import WrapperFacts
from aiterfix.gfx950.cache import CompiledKernel
from aiterfix.validation.comparison import compare
from aiterfix.validation.execution import Launcher
from aiterfix.validation.kernel_file import KernelFile
from aiterfix.validation.report import ScenarioResult
from aiterfix.validation.scenarios import Scenario, inputs_of
from aiterfix.validation.source import AiterSource


def run_scenario(scenario: Scenario, kernel: CompiledKernel, launcher: Launcher) -> ScenarioResult:
    inputs = inputs_of(scenario)
    return compare(scenario, reference(inputs), launcher.launch(kernel, scenario, inputs))


def source(text: bytes, filename: str, wrapper: WrapperFacts | None = None, **facts: Any) -> AiterSource:
    """One kernel file as a subject."""
    return AiterSource((KernelFile(text, filename, **facts),), wrapper)
