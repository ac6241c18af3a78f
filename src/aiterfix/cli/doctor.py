"""``aiterfix doctor``."""

from __future__ import annotations

import argparse
import os
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from aiterfix._version import __version__
from aiterfix.cli import output
from aiterfix.cli.engines import found_consumers
from aiterfix.cli.target import Target, add_installation, discover_each, judge_all, repeat_target, targets_of
from aiterfix.engines import Found
from aiterfix.faults.base import Presence, Reach
from aiterfix.faults.registry import load_faults
from aiterfix.importing import settings
from aiterfix.importing.allowlists import plugin_state
from aiterfix.importing.foresight import as_processes_run
from aiterfix.installation import Discovery
from aiterfix.installation.forms import Form
from aiterfix.installation.machine import gpus, obstacle_to_writing
from aiterfix.installation.view import View
from aiterfix.judge.compiler import compiler_in
from aiterfix.judge.judgement import Judgement, LaunchFacts
from aiterfix.judge.verdict import Verdict
from aiterfix.judge.whole import Whole
from aiterfix.patching.installed import patch_status
from aiterfix.report.advice import next_step, patch_line
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
    report = _report(whole, found_consumers(options, discoveries), target, repeat_target(options), os.environ)
    if options.json:
        output.write_report(report)
    else:
        from aiterfix.report.doctor import doctor_text

        output.write(doctor_text(report))
    return int(whole.verdict.exit_code)


def _report(
    whole: Whole, engines: Sequence[Found], target: Target, arguments: str, environment: Mapping[str, str]
) -> DoctorReport:
    of_interpreter = target.path is None and target.root is None
    view = View(whole.discovery.image_root)
    said = settings.read(environment)
    form = target.form
    seen = tuple(_installation(j, arguments, target, form) for j in whole.on_disk)
    with_plugins = tuple(_engine(e, whole.discovery, view, environment) for e in engines)
    return DoctorReport(
        aiterfix=__version__,
        python=(target.python or Path(sys.executable)) if of_interpreter else None,
        aiter=seen,
        doubts=(
            *(f"{d.path}: {d.reason}" for d in whole.discovery.doubts),
            *(str(d) for j in whole.on_disk for d in j.doubts),
        ),
        engines=with_plugins,
        hook=SeenHook(
            whole.hook.active if of_interpreter else None,
            whole.hook.detail if of_interpreter else "",
            said.mode,
            said.complaints,
        ),
        triton=_triton(whole, view),
        gpus=gpus(),
        verdict=whole.verdict,
        next=next_step(whole, arguments) if form is not None else _next(whole, seen, with_plugins, target, arguments),
    )


def _installation(judgement: Judgement, arguments: str, target: Target, form: Form | None) -> SeenInstallation:
    assert judgement.installation is not None
    obstacle = _obstacle(judgement, target, form)
    present = (a.fault.id for a in judgement.answers() if a.asked and a.presence is Presence.PRESENT)
    return SeenInstallation(
        **located(judgement.installation),
        verdict=judgement.verdict,
        present=tuple(present),
        patch=patch_line(patch_status(judgement.installation), arguments),
        writable=not obstacle,
        obstacle=obstacle,
    )


def _obstacle(judgement: Judgement, target: Target, form: Form | None) -> str:
    """Why `apply` could not write; of a wheel it writes another one beside it, of an image nothing."""
    assert judgement.installation is not None
    if form is Form.IMAGE:
        return "an image is read and never written to"
    if form is Form.WHEEL and target.path is not None:
        return obstacle_to_writing([target.path.resolve().parent])
    view = View(judgement.installation.image_root)
    files = (t.path for t in (*judgement.texts, *judgement.launchers) if t.path is not None)
    return obstacle_to_writing(Path(view.real(f)) for f in dict.fromkeys(f.parent for f in files))


def _engine(found: Found, discovery: Discovery, view: View, environment: Mapping[str, str]) -> SeenEngine:
    state = plugin_state(found.name, discovery.searched, view, environment)
    return SeenEngine(found.name, found.version, found.package, state.loaded, state.why)


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


def _next(
    whole: Whole,
    seen: Sequence[SeenInstallation],
    engines: Sequence[SeenEngine],
    target: Target,
    arguments: str,
) -> str:
    """The one next step: `apply` where files can be written, else what mends them at import."""
    stuck = [s for s in seen if not s.writable and not s.shadowed]
    if whole.verdict is not Verdict.AFFECTED or not stuck:
        return next_step(whole, arguments)
    if any(e.plugin for e in engines):
        names = " and ".join(e.name for e in engines if e.plugin)
        return f"start {names} with AITERFIX=require: it mends the kernels at import, or refuses to go on"
    left_out = next((e for e in engines if "leaves aiterfix out" in e.why), None)
    if left_out is not None:
        return f"add aiterfix to {left_out.why.partition('=')[0]}, so that {left_out.name} mends the kernels at import"
    if target.path is None and target.root is None:
        other = f" --python {shlex.quote(str(target.python))}" if target.python is not None else ""
        return f"aiterfix hook enable{other}"
    return "have its interpreter mend the kernels at import: aiterfix run -- COMMAND"
