"""What is launched. A subject is plain data that travels to the child; ``load`` there gives the launch.

Each says what it launches in terms of :class:`~aiterfix.validation.gpu.buffers.Buffers`; nothing else of a GPU run
differs between vendors.
"""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol

from aiterfix.errors import EnvironmentProblem, NotUnderstoodError
from aiterfix.family.portable import AnyKernel, Portable
from aiterfix.family.signature import Kernel
from aiterfix.storage.digest import sha256_hex
from aiterfix.validation.gpu.buffers import Buffers
from aiterfix.validation.interface import Subject
from aiterfix.validation.report import SourceFacts

Launch = Callable[[Buffers], None]


@dataclass(frozen=True)
class Loaded:
    """A subject that is ready.

    Attributes:
        launch: launches a scenario's kernel on its buffers.
        what: what it is, for reports.
        source: the file that holds the kernels.
        notes: what a reader must know beside that.
    """

    launch: Launch
    what: str
    source: SourceFacts
    notes: tuple[str, ...] = ()


def _facts(path: Path) -> SourceFacts:
    digest = sha256_hex(path.read_bytes())
    return SourceFacts(str(path), digest, digest)


class GpuSubject(Subject, Protocol):
    """Something to validate on a GPU."""

    def load(self) -> Loaded:
        """Import what is launched; in the child only."""


@dataclass(frozen=True)
class OwnFunction:
    """This project's kernel, by its public function."""

    path: Path
    kernels = (Portable.OWN, Portable.OWN_PRESHUFFLE)
    configs = None
    calls = ()

    def load(self) -> Loaded:
        """See :class:`GpuSubject`."""
        module = load_file(self.path.read_bytes(), self.path.name)

        def launch(buffers: Buffers) -> None:
            scenario = buffers.scenario
            module.deepgemm_fp8_paged_mqa_logits(
                buffers.q,
                buffers.cache,
                buffers.weights,
                buffers.output,
                buffers.lengths,
                buffers.table,
                scenario.max_model_len,
                Preshuffle=scenario.kernel.preshuffled,
                KVBlockSize=scenario.config.kv_block_size,
                TotalCuCount=processors(buffers, None),
            )

        return Loaded(launch, "this project's kernel", _facts(self.path))


@dataclass(frozen=True)
class AiterFunction:
    """``aiter``'s public functions as installed: whatever they choose to run is what is validated.

    Attributes:
        site: directory that holds the package, put first on the path; None for the interpreter's own.
        patched: whether the import hook patches the kernels as they are imported.
        kernels: those that the function is to be led to; what it holds is not known before it is imported.
    """

    site: Path | None = None
    patched: bool = False
    kernels: tuple[AnyKernel, ...] = (Portable.STAGE1,)
    configs = None
    calls = ()

    def load(self) -> Loaded:
        """See :class:`GpuSubject`.

        Raises:
            EnvironmentProblem: ``aiter`` is not installed, or its import fails.
            NotUnderstoodError: it has no such function.
        """
        if self.site is not None:
            sys.path.insert(0, str(self.site))
        if self.patched:
            from aiterfix.importing.api import install_hook

            install_hook(mode="require")
        module = self._module()
        function = getattr(module, "deepgemm_fp8_paged_mqa_logits", None)
        if function is None:
            raise NotUnderstoodError(f"{module.__name__} has no deepgemm_fp8_paged_mqa_logits")

        def launch(buffers: Buffers) -> None:
            launch_public(module, buffers)

        path = _kernel_file() or Path(str(module.__file__))
        return Loaded(launch, f"aiter's own function, {module.__name__}", _facts(path))

    @staticmethod
    def _module() -> ModuleType:
        failures = []
        for name in ("aiter.ops.triton.attention.pa_mqa_logits", "aiter.ops.triton.pa_mqa_logits"):
            try:
                return importlib.import_module(name)
            except ImportError as error:
                failures.append(f"{name}: {error}")
        raise EnvironmentProblem("aiter's paged-MQA-logits module could not be imported", why="; ".join(failures))


def launch_public(module: ModuleType, buffers: Buffers) -> None:
    """Call the public function for a scenario's kernel, with the arguments that its consumers pass.

    Raises:
        NotUnderstoodError: the function lacks a parameter that the scenario needs.
    """
    scenario, config = buffers.scenario, buffers.scenario.config
    inputs = (buffers.q, buffers.cache, buffers.weights, buffers.output, buffers.lengths, buffers.table)
    waves = config.waves_per_eu
    device = {"ChunkK": config.chunk_k, "TotalCuCount": processors(buffers, waves), "WavePerEU": waves}
    if scenario.kernel is Portable.STAGE1:
        stage1 = getattr(module, "deepgemm_fp8_paged_mqa_logits_stage1", None)
        if stage1 is None:
            raise NotUnderstoodError(f"{module.__name__} has no deepgemm_fp8_paged_mqa_logits_stage1")
        call(stage1, (*inputs, scenario.max_model_len), {}, device)
        return
    if not isinstance(scenario.kernel, Kernel):
        raise NotUnderstoodError(f"aiter's public functions do not lead to {scenario.kernel.value} alone")
    needed: dict[str, Any] = {"Preshuffle": scenario.kernel.preshuffled, "KVBlockSize": config.kv_block_size}
    if scenario.kernel is Kernel.PRESHUFFLE_VARCTX:
        batch = len(scenario.context_lengths)
        sizes = (batch, scenario.next_n, buffers.lengths, scenario.max_model_len)
        schedule = getattr(module, "deepgemm_fp8_paged_mqa_logits_schedule", None)
        if schedule is None:
            raise NotUnderstoodError(f"{module.__name__} has no deepgemm_fp8_paged_mqa_logits_schedule")
        needed["VarCtxSchedule"] = call(schedule, sizes, {}, device)
    call(module.deepgemm_fp8_paged_mqa_logits, (*inputs, scenario.max_model_len), needed, device)


def call(function: Any, positional: tuple[Any, ...], needed: dict[str, Any], optional: dict[str, Any]) -> Any:
    """Call a wrapper of any release: optional arguments that it does not know, or that are None, are left out.

    Raises:
        NotUnderstoodError: it does not know one that is needed.
    """
    known = inspect.signature(function).parameters
    missing = [name for name, value in needed.items() if name not in known and not _is_default(value)]
    if missing:
        raise NotUnderstoodError(f"{function.__name__} has no parameter {', '.join(missing)}")
    said = {name: value for name, value in needed.items() if name in known}
    said |= {name: value for name, value in optional.items() if name in known and value is not None}
    return function(*positional, **said)


def _is_default(value: object) -> bool:
    """Whether leaving an argument out says the same: no preshuffling, blocks of one token."""
    return isinstance(value, int) and value in (0, 1)


def processors(buffers: Buffers, waves: int | None) -> int | None:
    """How many multiprocessors a wrapper is told of, so that a row is shared by about the scenario's splits."""
    scenario = buffers.scenario
    if scenario.splits == 0:
        return None
    if scenario.kernel is Kernel.PRESHUFFLE_VARCTX:
        return -(-scenario.splits // (waves or 1))
    return scenario.splits * scenario.rows


_FOLDERS: list[tempfile.TemporaryDirectory[str]] = []


def load_file(text: bytes, name: str) -> ModuleType:
    """Import a kernel file by its text; Triton reads it back from disk, so it is written to one of its own, which goes
    with the process."""
    folder = tempfile.TemporaryDirectory(prefix="aiterfix-")
    _FOLDERS.append(folder)
    path = Path(folder.name) / name
    path.write_bytes(text)
    spec = importlib.util.spec_from_file_location(f"_aiterfix_subject_{sha256_hex(text)[:12]}", path)
    if spec is None or spec.loader is None:
        raise NotUnderstoodError(f"{name} is no Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def _kernel_file() -> Path | None:
    """The Gluon kernels' file among what is imported, if it was."""
    for name, module in sorted(sys.modules.items()):
        if name.startswith("aiter.") and hasattr(module, Kernel.PRESHUFFLE.function) and ".gluon." in name:
            return Path(str(module.__file__))
    return None
