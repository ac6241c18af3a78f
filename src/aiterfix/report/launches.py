"""Launches and what they meet, for people."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from aiterfix.faults.base import Reach
from aiterfix.judge.launch_list import JudgedInstallation, JudgedList
from aiterfix.judge.launched import FaultOfLaunch, Launch, LaunchJudgement, Outcome
from aiterfix.report.page import Page, Row
from aiterfix.report.steps import Steps
from aiterfix.report.terminal import colour
from aiterfix.report.types.hook import RecordedLaunchReport, RecordedReport

_COLOURS = {
    Outcome.NOT_REACHED: "32",
    Outcome.DEPENDS: "33;1",
    Outcome.REACHED: "31;1",
    Outcome.UNKNOWN: "33;1",
}


def launches_text(judged: JudgedList, steps: Steps, *, verbose: bool = False) -> Page:
    """The report on a list of launches, below that on aiter.

    Args:
        verbose: whether to show every launch.
    """
    lines: list[Row] = []
    for installation in judged.installations:
        lines += _installation(installation, judged, verbose=verbose)
    outcome = judged.outcome
    lines.append(("verdict on the launches: ", colour(outcome.value, _COLOURS[outcome])))
    if judged.installations:
        lines.append(f"next:    {_next(outcome, steps)}")
    return Page(lines)


def _installation(installation: JudgedInstallation, judged: JudgedList, *, verbose: bool) -> Iterator[Row]:
    launches = installation.launches
    count = f"{len(launches)} combination{'' if len(launches) == 1 else 's'}"
    yield f"launches in {judged.file} ({count}) with {installation.package}"
    ways = (
        ("meet", [(j, f) for j in launches for f in j.met(Reach.REACHED)]),
        ("may meet", [(j, f) for j in launches for f in j.met(Reach.DEPENDS)]),
        ("may meet what is not understood of", [(j, f) for j in launches for f in j.not_understood]),
    )
    for how, found in ways:
        for fault, met in _by_fault(found).items():
            yield f"  {len(met)} {how} {fault}, as {launch_line(met[0][0].launch)}"
            told, facts = met[0][1].told, met[0][1].facts
            yield f"    {told}" + (f"; depends on {', '.join(facts)}" if facts else "")
    for reason in dict.fromkeys(j.reason for j in launches if j.reason):
        yield f"  not understood: {reason}"
    if verbose:
        yield from (f"  {j.outcome.value}: {launch_line(j.launch)}" for j in launches)


def _by_fault(
    found: Iterable[tuple[LaunchJudgement, FaultOfLaunch]],
) -> dict[str, list[tuple[LaunchJudgement, FaultOfLaunch]]]:
    by_fault: dict[str, list[tuple[LaunchJudgement, FaultOfLaunch]]] = {}
    for judged, fault in found:
        by_fault.setdefault(fault.fault, []).append((judged, fault))
    return dict(sorted(by_fault.items()))


def launch_line(launch: Launch) -> str:
    """A launch in one line: the function, and what it was handed."""
    return _joined(launch.entry, launch.facts.known(), launch.gpu)


def _line(one: RecordedLaunchReport) -> str:
    return _joined(f"{one.module}.{one.entry}", one.facts, one.gpu)


def _joined(function: str, facts: Mapping[str, int], gpu: str) -> str:
    return f"{function}: {', '.join([*(f'{n} {v}' for n, v in facts.items()), *([gpu] if gpu else [])])}"


def recorded_text(recorded: RecordedReport) -> list[Row]:
    """What processes have recorded, and what they decided there and then."""
    if recorded.problem:
        return [f"  {recorded.file} cannot be shown: {recorded.problem}"]
    lines: list[Row] = [f"  launches seen, by {recorded.file}: {len(recorded.launches) + recorded.dropped}"]
    for one in recorded.launches:
        by = f" ({', '.join(one.faults)})" if one.faults else ""
        lines.append(("    ", colour(one.outcome.value, _COLOURS[one.outcome]), f"{by}: {_line(one)}"))
    if recorded.dropped:
        lines.append(f"    and {recorded.dropped} more, which are not shown")
    return [*lines, f"  {recorded.not_watched}"]


def _next(outcome: Outcome, steps: Steps) -> str:
    if outcome is Outcome.NOT_REACHED:
        return f"nothing for these launches; {steps.makes('mends what others may meet')}"
    if outcome is Outcome.UNKNOWN:
        return f"aiterfix check{steps.arguments} -v says what is not understood; never take it for safe"
    return steps.restart()
