"""One validation: a subject, on an executor, gives a report.

Subjects are what holds the kernels: a source text, a prebuilt code object, this project's kernel, a function of
``aiter`` as installed. Executors are what runs them: the emulator, or a GPU. ``pipeline`` puts the two together.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Protocol, TypeVar

from aiterfix.errors import AiterfixError
from aiterfix.family.portable import AnyKernel
from aiterfix.family.signature import KernelConfig
from aiterfix.validation.report import Report, ScenarioResult
from aiterfix.validation.scenarios import Scenario, Suite


class RefusedLaunchError(AiterfixError):
    """No such launch can be: the wrapper raises first."""

    code = "refused-launch"


class Subject(Protocol):
    """Something to validate."""

    @property
    def kernels(self) -> tuple[AnyKernel, ...]:
        """The kernels that it holds.

        Raises:
            NotUnderstoodError: none that is known.
        """

    @property
    def configs(self) -> tuple[KernelConfig, ...] | None:
        """The only configurations that it was made for; None where any that a kernel takes will do."""

    @property
    def calls(self) -> tuple[Scenario, ...]:
        """The calls that can be made of the wrappers that it holds beside its kernels."""


class Prepared(Protocol):
    """A subject on an executor, ready to run."""

    def run(self, scenario: Scenario) -> ScenarioResult:
        """Run one scenario and judge it.

        Raises:
            EnvironmentProblem, NotUnderstoodError: its kernel cannot be compiled or run in this configuration.
        """

    def ahead(self, scenarios: Sequence[Scenario]) -> None:
        """Told once what is likely to be run, in order: what can may start on it."""

    def report(self) -> Report:
        """What ran so far, on what: a report without results."""


AnySubject = TypeVar("AnySubject", bound=Subject, contravariant=True)


class Executor(Protocol[AnySubject]):
    """Something that runs the kernels of some subjects."""

    def offered(
        self, suite: Suite, kernels: tuple[AnyKernel, ...], configs: tuple[KernelConfig, ...] | None
    ) -> tuple[Scenario, ...]:
        """The scenarios that it runs of a suite, in order."""

    def prepare(self, subject: AnySubject) -> AbstractContextManager[Prepared]:
        """Make a subject ready.

        Raises:
            EnvironmentProblem: no compiler, no GPU, or the subject could not be loaded.
            NotUnderstoodError: the subject is not understood.
        """
