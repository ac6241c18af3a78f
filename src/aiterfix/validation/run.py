"""Compile, run, judge: the whole of a validation."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Literal

from aiterfix import __version__
from aiterfix.errors import AiterfixError, NotUnderstoodError, UsageError
from aiterfix.gfx950.cache import CompiledKernel
from aiterfix.gfx950.compile import CompileError, Compiler
from aiterfix.gfx950.signature import (
    STORE_STRIDE,
    Kernel,
    KernelConfig,
    WrapperFacts,
    check_config,
    find_kernels,
    make_request,
)
from aiterfix.validation import certificate as certificates
from aiterfix.validation.execute import Executor
from aiterfix.validation.judge import judge
from aiterfix.validation.reference import reference
from aiterfix.validation.report import CodeObjectFacts, NotRun, Report, ScenarioResult
from aiterfix.validation.scenarios import AnyKernel, Scenario, Suite, problem_of, scenarios, select, suits
from aiterfix.validation.series import Progress, not_run, run_series
from aiterfix.validation.source_lines import SourceLines


def validate(
    source: bytes,
    filename: str,
    *,
    kernels: Iterable[Kernel | str] | None = None,
    configs: Sequence[KernelConfig] | None = None,
    suite: Suite = "quick",
    scenario: str | None = None,
    strict: bool = False,
    progress: Callable[[Progress], None] | None = None,
    device: Literal["emulator"] = "emulator",
    wrapper: WrapperFacts | None = None,
    python: str | None = None,
    compiler: Compiler | None = None,
    executor: Executor | None = None,
    certify: bool = True,
    shown: str | None = None,
) -> Report:
    """Compile a kernel file for gfx950, run the machine code, and compare every logit with a reference.

    Args:
        source: the kernel file's bytes.
        filename: its name, for reports and line tables; not opened.
        kernels: which kernels; default those that the file defines.
        configs: configurations instead of the suite's.
        suite: ``quick`` or ``full``.
        scenario: name or shell pattern of scenarios to run alone, from either suite.
        strict: findings fail the run too.
        progress: called before and after every scenario.
        device: what executes; the emulator.
        wrapper: facts from the wrapper's text, where it is at hand.
        python: the interpreter whose Triton compiles; default this one.
        compiler, executor: instead of those made here.
        certify: keep a certificate for each kernel and configuration that passed a whole suite.
        shown: what the report calls the file, where that is more than ``filename`` (which is part of the line table,
            and so of what compiled kernels are kept by).

    Raises:
        UsageError: an unknown kernel, scenario, configuration or device.
        NotUnderstoodError: the file holds no kernel that is known, or nothing of it is understood.
        EnvironmentProblem: no Triton, or nothing could be compiled.
    """
    if device != "emulator":
        raise UsageError(f"unknown device {device!r}", remedy="use 'emulator'")
    started = time.perf_counter()
    chosen = _choose_kernels(source, filename, kernels)
    todo = choose_scenarios(chosen, configs, suite, scenario)
    runner = executor if executor is not None else default_executor()
    own = compiler if compiler is not None else Compiler(python=python)
    try:
        triton = own.triton
        compiled, facts, not_run = _compile_all(own, source, filename, todo, wrapper, progress)
    finally:
        if compiler is None:
            own.close()
    results, failed = run_scenarios(todo, compiled, runner, progress, SourceLines.of(source, filename))
    report = Report(
        path=shown or filename,
        source_sha256=hashlib.sha256(source).hexdigest(),
        device=runner.device,
        triton=triton,
        suite=suite if scenario is None else "scenario",
        strict=strict,
        code_objects=tuple(facts.values()),
        scenarios=results,
        not_run=(*not_run, *failed.values()),
        seconds=time.perf_counter() - started,
    )
    if certify and scenario is None:
        passed = certify_report(report, {key: item for key, item in facts.items() if key not in failed})
        try:
            for made in passed:
                certificates.store(made)
        except OSError as error:
            report = replace(report, notes=(f"no certificate was kept: {error}",))
    return report


def run_scenarios(
    todo: Iterable[Scenario],
    compiled: dict[tuple[AnyKernel, KernelConfig], CompiledKernel],
    executor: Executor,
    progress: Callable[[Progress], None] | None = None,
    lines: SourceLines | None = None,
) -> tuple[tuple[ScenarioResult, ...], dict[tuple[AnyKernel, KernelConfig], NotRun]]:
    """Run and judge every scenario that a code object is there for.

    Returns:
        results in order, and the kernels that were given up because something in them is not understood.

    Raises:
        NotUnderstoodError: there is only one code object, and it is not understood.
    """
    ready = [item for item in todo if (item.kernel, item.config) in compiled]

    def launch(item: Scenario) -> ScenarioResult | NotRun:
        try:
            return run_scenario(item, compiled[item.kernel, item.config], executor, lines)
        except NotUnderstoodError as error:
            if len(compiled) == 1:
                raise
            return not_run(item, error)

    return run_series(ready, launch, progress)


def run_scenario(
    scenario: Scenario, kernel: CompiledKernel, executor: Executor, lines: SourceLines | None = None
) -> ScenarioResult:
    """Make a scenario's inputs, run it, judge it; ``lines`` makes reports name statements."""
    problem = problem_of(scenario)
    execution = executor.execute(kernel, scenario, problem)
    if lines is not None:
        execution = lines.located(execution)
    return judge(scenario, reference(problem), execution)


def certify_report(
    report: Report, facts: dict[tuple[AnyKernel, KernelConfig], CodeObjectFacts]
) -> tuple[certificates.Certificate, ...]:
    """A certificate for each kernel and configuration whose scenarios all passed."""
    made = []
    for (kernel, config), fact in facts.items():
        results = [r for r in report.scenarios if (r.kernel, r.config) == (kernel.value, config.name)]
        if not results or not all(r.passed for r in results):
            continue
        made.append(
            certificates.Certificate(
                source_sha256=report.source_sha256,
                kernel=kernel.value,
                config=config.name,
                heads=config.heads,
                kv_block_size=config.kv_block_size,
                chunk_k=config.chunk_k,
                out_stride=fact.out_stride,
                triton=report.triton,
                device=report.device,
                code_sha256=fact.sha256,
                suite=report.suite,
                scenarios=tuple(r.name for r in results),
                findings=tuple(sorted({f.name for r in results for f in r.findings})),
                overshoot_columns=0,
                version=__version__,
                created=certificates.now(),
            )
        )
    return tuple(made)


def _choose_kernels(source: bytes, filename: str, wanted: Iterable[Kernel | str] | None) -> tuple[Kernel, ...]:
    present = find_kernels(source, filename)
    if not present:
        raise NotUnderstoodError(
            f"{filename} defines no Gluon kernel that is known",
            why="looked for " + ", ".join(kernel.function for kernel in Kernel),
            remedy="name the file that holds the kernels: aiter/ops/triton/gluon/pa_mqa_logits.py in most releases",
        )
    if wanted is None:
        return present
    chosen = tuple(dict.fromkeys(_kernel(name) for name in wanted))
    absent = [kernel.value for kernel in chosen if kernel not in present]
    if absent:
        raise UsageError(f"{filename} has no kernel {', '.join(absent)}")
    return chosen


def _kernel(name: Kernel | str) -> Kernel:
    try:
        return Kernel(name)
    except ValueError:
        raise UsageError(
            f"unknown kernel {name!r}", remedy="one of " + ", ".join(kernel.value for kernel in Kernel)
        ) from None


def choose_scenarios(
    kernels: tuple[AnyKernel, ...], configs: Sequence[KernelConfig] | None, suite: Suite, pattern: str | None
) -> tuple[Scenario, ...]:
    """The scenarios of a suite for these kernels, or those of any suite that a name or pattern picks."""
    if configs is not None:
        check_configs(kernels, configs)
    if pattern is None:
        return scenarios(suite, kernels, configs)
    everything = (*scenarios("full", kernels, configs), *scenarios("quick", kernels, configs))
    return select(pattern, dict.fromkeys(everything))


def check_configs(kernels: Iterable[AnyKernel], configs: Iterable[KernelConfig]) -> None:
    """Refuse a configuration that none of the kernels takes.

    Raises:
        UsageError: naming it.
    """
    kernels = tuple(kernels)
    for config in configs:
        fitting = [kernel for kernel in kernels if suits(kernel, config)]
        if not fitting:
            raise UsageError(f"configuration {config.name} suits none of the kernels")
        for kernel in fitting:
            if isinstance(kernel, Kernel):
                check_config(kernel, config)


def _compile_all(
    compiler: Compiler,
    source: bytes,
    filename: str,
    todo: tuple[Scenario, ...],
    wrapper: WrapperFacts | None,
    progress: Callable[[Progress], None] | None,
) -> tuple[
    dict[tuple[AnyKernel, KernelConfig], CompiledKernel],
    dict[tuple[AnyKernel, KernelConfig], CodeObjectFacts],
    tuple[NotRun, ...],
]:
    compiled: dict[tuple[AnyKernel, KernelConfig], CompiledKernel] = {}
    facts: dict[tuple[AnyKernel, KernelConfig], CodeObjectFacts] = {}
    not_run: list[NotRun] = []
    first: AiterfixError | None = None
    for kernel, config in dict.fromkeys((item.kernel, item.config) for item in todo):
        if progress:
            progress(Progress(0, len(todo), f"compiling {kernel.value} {config.name}"))
        try:
            if not isinstance(kernel, Kernel):
                raise NotUnderstoodError(f"{kernel.value} is not compiled for gfx950 here", remedy="use --device gpu")
            request = make_request(source, filename, kernel, config, wrapper)
            result = compiler.compile(request)
        except (CompileError, NotUnderstoodError) as error:
            first = first or error
            understood = not isinstance(error, NotUnderstoodError)
            not_run.append(NotRun(kernel.value, config.name, error.what, error.why, understood))
            continue
        compiled[kernel, config] = result
        stride = dict(request.signature)[STORE_STRIDE]
        facts[kernel, config] = CodeObjectFacts(kernel.value, config.name, result.sha256, stride)
    if not compiled and first is not None:
        raise first
    return compiled, facts, tuple(not_run)


def default_executor() -> Executor:
    """The emulator; loaded when it is needed."""
    from aiterfix.validation.emulate import EmulatorExecutor

    return EmulatorExecutor()
