"""``aiterfix hook enable|disable|status``."""

from __future__ import annotations

import argparse
import shlex
import sys
from pathlib import Path

from aiterfix.cli import output
from aiterfix.cli.arguments import add_json, named
from aiterfix.errors import AiterfixError, ExitCode, UsageError
from aiterfix.importing import settings
from aiterfix.importing.processes import CANNOT_BE_KNOWN, ProcessFacts, facts_of
from aiterfix.importing.sitefiles import disable, enable, find_site, look
from aiterfix.report.page import Page, Row
from aiterfix.report.types.hook import HookReport, ProcessReport, RecordedReport

ACTIONS = ("enable", "disable", "status")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument(
        "action",
        choices=ACTIONS,
        help="enable: write the start-up file that puts the hook in place in every process of the interpreter; "
        "disable: remove it; status: say what is in place",
    )
    parser.add_argument("--python", type=named, metavar="EXE", help="another Python interpreter (default: this one)")
    parser.add_argument("--pid", type=int, metavar="PID", help="status: what can be known of a live process")
    add_json(parser)


def execute(options: argparse.Namespace) -> int:
    """Change or show the start-up files."""
    if options.pid is not None:
        if options.action != "status" or options.python is not None:
            raise UsageError("aiterfix hook: --pid goes with status, and not with --python", remedy="Drop one of them.")
        if not 1 <= options.pid < 2**31:
            raise UsageError(
                f"aiterfix hook: --pid {str(options.pid)[:20]} names no process",
                remedy="Give the number of a live one.",
            )
        return _process(options)
    site = find_site(options.python or Path(sys.executable))
    changed: tuple[Path, ...] = ()
    if options.action == "enable":
        changed = enable(site)
    elif options.action == "disable":
        changed = disable(site)
    for path in changed:
        output.did(f"{path} was {'written' if options.action == 'enable' else 'removed'}")
    state = look(site)
    said = settings.read()
    file = settings.record_file() if options.action == "status" else ""
    recorded = RecordedReport.of(Path(file)) if file else None
    as_wanted = state.enabled is (options.action != "disable") and not state.foreign
    if options.json:
        output.write_report(
            HookReport(
                action=options.action,
                python=site.executable,
                site_packages=site.folder,
                enabled=state.enabled,
                files=state.files,
                foreign=state.foreign,
                listed_in_record=state.recorded,
                changed=changed,
                mode=said.mode,
                recorded=recorded,
            )
        )
    else:
        lines = [f"{site.executable}: the hook is {'enabled' if state.enabled else 'not enabled'} in {site.folder}"]
        verb = "removed" if options.action == "disable" else "wrote"
        lines += [f"  {verb} {p}" for p in changed]
        if options.action != "status" and not changed:
            lines.append("  nothing to do")
        lines += [f"  not as aiterfix wrote it: {p}" for p in state.foreign]
        lines += [f"  written by another version: {p}" for p in state.outdated]
        if options.action == "status" and not state.enabled and not state.foreign:
            other = f" --python {shlex.quote(str(options.python))}" if options.python is not None else ""
            lines.append(f"  enable it with: aiterfix hook enable{other}")
        if not state.recorded:
            lines.append("  RECORD does not list it: run `aiterfix hook enable` again")
        if options.action == "enable":
            lines.append("  an upgrade of aiterfix removes it: enable it again afterwards")
        if said.mode is settings.Mode.OFF:
            lines.append("  AITERFIX=off is set here: processes that inherit it have no hook")
        lines += [f"  {c}" for c in said.complaints]
        rows: list[Row] = [*lines]
        if recorded is not None:
            from aiterfix.report.launches import recorded_text

            rows += recorded_text(recorded)
        elif options.action == "status":
            rows.append(
                "  launches: each process knows what it saw (`aiterfix.launches()`); AITERFIX_RECORD=FILE keeps it"
            )
        output.write(Page(rows))
    return ExitCode.OK if as_wanted else ExitCode.ACTION


def _process(options: argparse.Namespace) -> int:
    facts = facts_of(options.pid)
    through_site = _through_site(facts)
    if options.json:
        output.write_report(
            ProcessReport(
                action="status",
                pid=facts.pid,
                command_line=facts.command,
                python=facts.interpreter,
                variables=dict(facts.variables),
                started_by_run=facts.started_by_run,
                off=facts.off,
                site_file=through_site,
                patched=None,
                cannot_be_known=CANNOT_BE_KNOWN,
            )
        )
    else:
        lines = [f"process {facts.pid}: {' '.join(facts.command)[:200]}"]
        lines += [f"  {n}={v}" for n, v in facts.variables]
        lines.append(f"  started by `aiterfix run`: {'yes' if facts.started_by_run else 'no'}")
        lines.append(f"  start-up file of its interpreter: {through_site}")
        if facts.off:
            lines.append("  AITERFIX=off: it has no hook")
        lines.append(f"  cannot be known from outside: {CANNOT_BE_KNOWN}")
        output.write(Page(lines))
    # Off is an answer; anything else leaves open what the process made of it.
    return ExitCode.ACTION if facts.off else ExitCode.NOT_UNDERSTOOD


def _through_site(facts: ProcessFacts) -> str:
    # Asking an interpreter means starting it. The name of this one was chosen by whoever started the process,
    # and we may be root: only our own is started unasked.
    if not facts.same_files:
        return "cannot be seen from here: the process sees other files, as in a container"
    if str(facts.interpreter) != sys.executable:
        return f"see `aiterfix hook status --python {shlex.quote(str(facts.interpreter))}`"
    try:
        site = find_site(facts.interpreter)
    except AiterfixError as error:
        return f"none ({error.what})"
    state = look(site)
    if not state.enabled:
        return "none"
    newest = max(p.stat().st_mtime for p in state.files)
    if newest > facts.started:
        return "written after the process was started, so it does not have it"
    return "there since before the process was started"
