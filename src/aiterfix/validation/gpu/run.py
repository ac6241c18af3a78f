"""A whole validation on a GPU, as the same report that the emulator's is."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence

from aiterfix.errors import NotUnderstoodError
from aiterfix.gfx950.signature import KernelConfig
from aiterfix.validation.gpu.contained import Contained
from aiterfix.validation.gpu.devices import runs_gluon
from aiterfix.validation.gpu.messages import Ready, Refused
from aiterfix.validation.gpu.subjects import Subject
from aiterfix.validation.gpu.suite import gpu_scenarios
from aiterfix.validation.report import NotRun, Report, ScenarioResult
from aiterfix.validation.run import check_configs
from aiterfix.validation.scenarios import AnyKernel, Scenario, Suite, select
from aiterfix.validation.series import Progress, not_run, run_series

LOADS_NOT_SEEN = (
    "on a GPU a load outside an allocation is seen only where it faults or changes a logit; the emulator sees every one"
)
NEVER_RUN = (
    "validation through aiter's function on ROCm was written and tested without a gfx942 or gfx950: it had never run "
    "on one when this release was made"
)
NOT_GFX950 = "this run says nothing of gfx950: it ran on {device}, not on a gfx942 or gfx950"


def validate_gpu(
    subject: Subject,
    kernels: Iterable[AnyKernel],
    *,
    configs: Sequence[KernelConfig] | None = None,
    suite: Suite = "quick",
    scenario: str | None = None,
    strict: bool = False,
    progress: Callable[[Progress], None] | None = None,
    device: str = "cuda",
    python: str | None = None,
    limit: float = 300.0,
) -> Report:
    """Run a subject's kernels on a GPU and compare every logit with a reference computed there.

    Args:
        subject: what to launch.
        kernels: which of its kernels.
        configs: configurations instead of the suite's.
        suite: ``quick`` or ``full``.
        scenario: name or shell pattern of scenarios to run alone, from either suite.
        strict: findings fail the run too.
        progress: called before and after every scenario.
        device: torch's word: ``cuda``, for ROCm too; or ``cpu``, for Triton's interpreter.
        python: interpreter that has torch, Triton and the subject; default this one.
        limit: seconds that a scenario may take, compilation included.

    Raises:
        UsageError: an unknown scenario or configuration.
        EnvironmentProblem: no GPU, no torch, or the subject could not be loaded.
        NotUnderstoodError: the subject is not understood.
    """
    started = time.perf_counter()
    todo = choose(tuple(kernels), configs, suite, scenario)
    with Contained(subject, device, python=python, limit=limit) as child:
        ready = child.ready()

        def launch(item: Scenario) -> ScenarioResult | NotRun:
            outcome = child.run(item)
            return not_run(item, outcome.error()) if isinstance(outcome, Refused) else outcome

        results, refused = run_series(todo, launch, progress)
        children = child.children
    if not results and refused:
        first = next(iter(refused.values()))
        raise NotUnderstoodError(first.what, why=first.why)
    return Report(
        path=ready.path,
        source_sha256=ready.sha256,
        device=ready.hardware.name,
        triton=ready.hardware.triton,
        suite=suite if scenario is None else "scenario",
        strict=strict,
        code_objects=(),
        scenarios=results,
        not_run=tuple(refused.values()),
        seconds=time.perf_counter() - started,
        notes=tuple(_notes(ready, children)),
        hardware=ready.hardware,
        subject=ready.what,
    )


def choose(
    kernels: tuple[AnyKernel, ...], configs: Sequence[KernelConfig] | None, suite: Suite, pattern: str | None
) -> tuple[Scenario, ...]:
    """The scenarios of a suite, or those of any suite that a name or pattern picks."""
    if configs is not None:
        check_configs(kernels, configs)
    if pattern is None:
        return gpu_scenarios(suite, kernels, configs)
    everything = (*gpu_scenarios("full", kernels, configs), *gpu_scenarios("quick", kernels, configs))
    return select(pattern, dict.fromkeys(everything))


def _notes(ready: Ready, children: int) -> Iterable[str]:
    yield from ready.notes
    if not runs_gluon(ready.hardware):
        yield NOT_GFX950.format(device=ready.hardware.name)
    elif ready.hardware.kind == "rocm":
        yield NEVER_RUN
    yield LOADS_NOT_SEEN
    if children > 1:
        yield f"{children - 1} child process(es) were lost to faults; scenarios after each ran in a fresh one"
