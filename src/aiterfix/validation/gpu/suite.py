"""The launches of a GPU run: those of the emulator, and those whose split is left to the wrapper, as in production.

Without outputs past 2 GiB: those are the emulator's, whose memory holds what is touched of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from aiterfix.family.portable import Portable
from aiterfix.family.signature import Kernel, KernelConfig
from aiterfix.validation.scenarios import GAP, AnyKernel, Scenario, Suite, default_configs, scenarios, suits


def gpu_scenarios(
    suite: Suite, kernels: Iterable[AnyKernel], configs: Sequence[KernelConfig] | None = None
) -> tuple[Scenario, ...]:
    """The scenarios in the order they run; see :func:`aiterfix.validation.scenarios.scenarios` for the arguments."""
    found: dict[str, Scenario] = {}
    for kernel in kernels:
        for config in default_configs(kernel, suite) if configs is None else configs:
            if not suits(kernel, config):
                continue
            for scenario in (*scenarios(suite, (kernel,), (config,)), *_as_in_production(suite, kernel, config)):
                # Prefix sums say nothing of rows per sequence; the ragged kernels' mask fits one row.
                fitting = replace(scenario, next_n=1) if _one_row(kernel) else scenario
                if fitting.sparse:
                    continue
                found.setdefault(fitting.name, fitting)
    return tuple(found.values())


def _one_row(kernel: AnyKernel) -> bool:
    return isinstance(kernel, Portable) and kernel.ragged


def _as_in_production(suite: Suite, kernel: AnyKernel, config: KernelConfig) -> Iterator[Scenario]:
    """Splits decided by the wrapper from the device; lengths at ``max_model_len`` and at neither end of a chunk."""
    for width, batch in ((1000, 2), (300, 3), (1024, 2), (2048, 1)):
        for gap in (0, GAP):
            yield Scenario(kernel, config, "full", (width,) * batch, 2, width, gap, 0)
    # Enough chunks for the fewest splits that a wrapper chooses to take several each.
    splits = 12 if kernel is Kernel.PRESHUFFLE_VARCTX else 1
    yield Scenario(kernel, config, "long", (20000, 4097, 3), 2, 20001, GAP, splits)
    if suite == "full":
        yield Scenario(kernel, config, "long", (131072, 131009, 1), 2, 131072, 0, 0)
