"""The launches of a GPU run: those of the emulator, and those whose split is left to the wrapper, as in production.

Outputs and caches past 2 GiB for the plain-Triton kernels alone, which need about 10 GB of the device; the others' are
the emulator's, whose memory holds what is touched of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from aiterfix.family.portable import AnyKernel, Portable
from aiterfix.family.signature import Kernel, KernelConfig
from aiterfix.validation.scenarios import GAP, Scenario, Suite, default_configs, scenarios, suits


def gpu_scenarios(
    suite: Suite, kernels: Iterable[AnyKernel], configs: Sequence[KernelConfig] | None = None
) -> tuple[Scenario, ...]:
    """The scenarios in the order they run; see :func:`aiterfix.validation.scenarios.scenarios` for the arguments."""
    found: dict[str, Scenario] = {}
    for kernel in kernels:
        plain = isinstance(kernel, Portable) and not kernel.own
        for scenario in scenarios(suite, (kernel,), configs):
            if plain or not (scenario.sparse or scenario.first_block):
                found.setdefault(scenario.name, scenario)
        for config in default_configs(kernel, suite) if configs is None else configs:
            for scenario in _as_in_production(suite, kernel, config) if suits(kernel, config) else ():
                # Prefix sums say nothing of rows a sequence; the ragged kernels' mask fits one row.
                one_row = isinstance(kernel, Portable) and kernel.ragged
                fitting = replace(scenario, next_n=1) if one_row else scenario
                found.setdefault(fitting.name, fitting)
    return tuple(found.values())


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
