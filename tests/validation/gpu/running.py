"""The pipeline with the GPU's executor, in one call; and which scenarios that would be."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from aiterfix.family.portable import AnyKernel
from aiterfix.family.signature import KernelConfig
from aiterfix.validation.gpu.executor import Gpu
from aiterfix.validation.gpu.subjects import AiterFunction, GpuSubject
from aiterfix.validation.gpu.suite import gpu_scenarios
from aiterfix.validation.pipeline import validate
from aiterfix.validation.report import Report
from aiterfix.validation.scenarios import Scenario, Suite
from aiterfix.validation.selection import Selection, choose_scenarios


def validate_gpu(
    subject: GpuSubject,
    kernels: Iterable[AnyKernel],
    *,
    configs: Sequence[KernelConfig] | None = None,
    suite: Suite = "quick",
    scenario: str | None = None,
    device: str = "cuda",
    limit: float = 300.0,
) -> Report:
    if isinstance(subject, AiterFunction):
        subject = replace(subject, kernels=tuple(kernels))
    selection = Selection(tuple(kernels), None if configs is None else tuple(configs), suite, scenario)
    return validate(subject, Gpu(device=device, limit=limit), selection)


def choose(
    kernels: tuple[AnyKernel, ...], configs: Sequence[KernelConfig] | None, suite: Suite, pattern: str | None
) -> tuple[Scenario, ...]:
    made = None if configs is None else tuple(configs)
    return choose_scenarios(kernels, made, Selection(suite=suite, pattern=pattern), gpu_scenarios)
