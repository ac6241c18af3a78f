"""Which scenarios are run: a suite's, those of a name or pattern, or those that show a fault."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from aiterfix.errors import UsageError
from aiterfix.family.portable import AnyKernel
from aiterfix.family.signature import Kernel, KernelConfig, check_config
from aiterfix.validation.scenarios import CALLS_OF_FAULT, SCENARIOS_OF_FAULT, Scenario, Suite, select, shows, suits

Offered = Callable[[Suite, tuple[AnyKernel, ...], "tuple[KernelConfig, ...] | None"], tuple[Scenario, ...]]


@dataclass(frozen=True)
class Selection:
    """Which scenarios, of which kernels.

    Attributes:
        kernels: which; None for all that the subject holds.
        configs: configurations instead of the suite's.
        pattern: name or shell pattern of scenarios to run alone, from either suite.
        fault: only the scenarios that show this fault; with a pattern, those that it names.
    """

    kernels: tuple[AnyKernel, ...] | None = None
    configs: tuple[KernelConfig, ...] | None = None
    suite: Suite = "quick"
    pattern: str | None = None
    fault: str | None = None

    @property
    def name(self) -> str:
        """What a report calls it."""
        return self.suite if self.pattern is None and self.fault is None else "scenario"

    @property
    def whole(self) -> bool:
        """Whether it is a whole suite of all kernels: what is recorded as evidence."""
        return self.name == self.suite and self.kernels is None and self.configs is None


def choose_scenarios(
    kernels: tuple[AnyKernel, ...],
    configs: tuple[KernelConfig, ...] | None,
    selection: Selection,
    offered: Offered,
    calls: tuple[Scenario, ...] = (),
) -> tuple[Scenario, ...]:
    """The scenarios of a selection among those that an executor offers, and a subject's calls.

    Raises:
        UsageError: no scenario has this name, no scenario shows this fault, or a configuration suits no kernel.
    """
    if configs is not None:
        check_configs(kernels, configs)
    known = dict.fromkeys((*SCENARIOS_OF_FAULT, *CALLS_OF_FAULT))
    if selection.fault is not None and selection.fault not in known:
        raise UsageError(f"no scenario shows {selection.fault!r}", remedy="one of " + ", ".join(known))
    # Last, since a call leaves what is compiled where it is.
    calls = tuple(call for call in calls if call.kernel in kernels and (configs is None or call.config in configs))
    if selection.pattern is not None:
        everything = (*offered("full", kernels, configs), *offered("quick", kernels, configs), *calls)
        return select(selection.pattern, dict.fromkeys(everything))
    if selection.fault is None:
        # That the wrapper lets them through fails nobody who does not ask: no code comes of it.
        calls = tuple(call for call in calls if not shows(call, "small-chunk"))
    found = (*offered(selection.suite, kernels, configs), *calls)
    if selection.fault is None:
        return found
    chosen = tuple(scenario for scenario in found if shows(scenario, selection.fault))
    if not chosen:
        raise UsageError(
            f"no scenario that runs here shows {selection.fault}",
            remedy="run it with --device emulator"
            + (", over an installation that has the wrapper" if selection.fault in CALLS_OF_FAULT else ""),
        )
    return chosen


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
