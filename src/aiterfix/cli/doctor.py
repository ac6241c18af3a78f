"""``aiterfix doctor``."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from aiterfix._version import __version__
from aiterfix.cli import output
from aiterfix.cli.engines import found_consumers
from aiterfix.cli.steps import obstacle, plugins, steps_for
from aiterfix.cli.target import Target, add_installation, discover_each, judge_all, targets_of
from aiterfix.engines import Found
from aiterfix.faults.base import Presence, Reach
from aiterfix.faults.registry import load_faults
from aiterfix.importing import settings
from aiterfix.importing.foresight import as_processes_run
from aiterfix.installation.machine import gpus
from aiterfix.installation.view import View
from aiterfix.judge.compiler import compiler_in
from aiterfix.judge.judgement import Judgement, LaunchFacts
from aiterfix.judge.whole import Whole
from aiterfix.patching.installed import patch_status
from aiterfix.report.advice import next_step
from aiterfix.report.steps import Steps
from aiterfix.report.types.common import located
from aiterfix.report.types.doctor import DoctorReport, SeenEngine, SeenHook, SeenInstallation, SeenTriton


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    add_installation(parser, several=False)


def execute(options: argparse.Namespace) -> int:
    """Say what is here."""
    options = argparse.Namespace(**{**vars(options), "fixes": [], "consumers": None})
    discoveries = discover_each(options)
    (target,) = targets_of(options)
    asked = target.path is None and target.root is None  # an interpreter, not a folder
    whole = judge_all(options, discoveries)
    if asked:
        whole = as_processes_run(whole, target.python)
    report = _report(whole, found_consumers(options, discoveries), target, steps_for(options, whole))
    if options.json:
        output.write_report(report)
    else:
        from aiterfix.report.doctor import doctor_text

        output.write(doctor_text(report))
    return int(whole.verdict.exit_code)


def _report(whole: Whole, engines: Sequence[Found], target: Target, steps: Steps) -> DoctorReport:
    of_interpreter = target.path is None and target.root is None
    view = View(whole.discovery.image_root)
    said = settings.read(os.environ)
    return DoctorReport(
        aiterfix=__version__,
        python=(target.python or Path(sys.executable)) if of_interpreter else None,
        aiter=tuple(_installation(j, steps, target) for j in whole.on_disk),
        doubts=(
            *(f"{d.path}: {d.reason}" for d in whole.discovery.doubts),
            *(str(d) for j in whole.on_disk for d in j.doubts),
        ),
        engines=tuple(
            SeenEngine(e.name, e.version, e.package, state.loaded, state.why)
            for e, state in plugins(engines, whole.discovery)
        ),
        hook=SeenHook(
            whole.hook.active if of_interpreter else None,
            whole.hook.detail if of_interpreter else "",
            said.mode,
            said.complaints,
        ),
        triton=_triton(whole, view),
        gpus=gpus(),
        verdict=whole.verdict,
        next=next_step(whole, steps),
    )


def _installation(judgement: Judgement, steps: Steps, target: Target) -> SeenInstallation:
    assert judgement.installation is not None
    stuck = obstacle(judgement, target)
    present = (a.fault.id for a in judgement.answers() if a.asked and a.presence is Presence.PRESENT)
    return SeenInstallation(
        **located(judgement.installation),
        verdict=judgement.verdict,
        present=tuple(present),
        patch=steps.undo(patch_status(judgement.installation)),
        writable=not stuck,
        obstacle=stuck,
    )


def _triton(whole: Whole, view: View) -> SeenTriton:
    """The first on the import path; of several folders that were named, the one beside aiter."""
    beside = (j.launch for j in whole.live if j.launch.triton is not None)
    on_path = (compiler_in(folder, view) for folder in whole.discovery.searched)
    facts = next(beside, None) or next((f for f in on_path if f.triton is not None), LaunchFacts())
    if facts.triton is None:
        return SeenTriton(None, None, ())
    # Without an aiter, those that it would bring to any.
    there = [a.fault for a in whole.answers() if a.presence is Presence.PRESENT] if whole.live else load_faults().judged
    met = (f for f in there if f.by_compiler and f.trigger.reach(facts.known())[0] is not Reach.NOT_REACHED)
    version = f"{facts.triton // 10000}.{facts.triton // 100 % 100}.{facts.triton % 100}"
    published = True if facts.triton_published else None
    return SeenTriton(version, published, tuple(f"{f.id}: {f.title}" for f in met))
