"""What processes will run of an installation whose interpreter starts the hook in each of them."""

from __future__ import annotations

import os
import site
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from aiterfix.errors import AiterfixError
from aiterfix.family.kernels import GROUPS
from aiterfix.faults.diagnosis import diagnose
from aiterfix.importing import settings
from aiterfix.importing.decision import Outcome, decide, refuse
from aiterfix.importing.sitefiles import PTH_NAME, START_NAME, find_site, look
from aiterfix.judge.disk import settled
from aiterfix.judge.judgement import JudgedText, Judgement
from aiterfix.judge.refusals import NamedLaunch, launches_in
from aiterfix.judge.whole import HookOutlook, Whole

_MODULES = frozenset(name for group in GROUPS for name in group.modules)
_WRAPPERS = frozenset(name for group in GROUPS for name in group.wrappers)


def as_processes_run(whole: Whole, python: Path | None) -> Whole:
    """The same judgement with what processes run, if the hook counts.

    Args:
        whole: of what is on disk.
        python: the interpreter that was asked about; None for this one.
    """
    outlook = _outlook(python)
    if not outlook.active:
        return replace(whole, hook=outlook)
    running = tuple(_imported(j) for j in whole.on_disk)
    return replace(whole, running=running, hook=outlook)


def _outlook(python: Path | None) -> HookOutlook:
    """Whether the hook starts in every process of an interpreter: by its start-up file, and not switched off."""
    said = settings.read()
    if python is None and not any(os.path.lexists(os.path.join(f, n)) for f in _site_folders() for n in _NAMES):  # noqa: PTH118
        return HookOutlook(False, "", "no start-up file of the hook: `aiterfix hook enable` writes it")
    try:
        state = look(find_site(python or Path(sys.executable)))
    except AiterfixError as error:
        return HookOutlook(False, "", f"{error.what} ({error.why})" if error.why else error.what)
    if not state.enabled:
        changed = ", ".join(map(str, state.foreign))
        why = f"not as aiterfix wrote it: {changed}" if changed else "`aiterfix hook enable` writes it"
        return HookOutlook(False, "", f"no start-up file of the hook: {why}")
    if said.mode is settings.Mode.OFF:
        return HookOutlook(False, "", "AITERFIX=off is set here: processes that inherit it have no hook")
    return HookOutlook(True, ".pth", ", ".join(map(str, state.files)))


_NAMES = (PTH_NAME, START_NAME)


def _site_folders() -> list[str]:
    user = [site.getusersitepackages()] if site.ENABLE_USER_SITE else []
    return [*site.getsitepackages(), *user]


def _imported(judgement: Judgement) -> Judgement:
    """The judgement on the texts that the hook hands to the importer in the place of those on disk."""
    launchers = tuple(_refusing(t, judgement) for t in judgement.launchers)
    everything = (*judgement.texts, *(t for t in launchers if t not in judgement.texts))
    launches = [n for t in everything for n in launches_in(t.relative, t.text)]
    handed = tuple(_handed_on(t, judgement, launches) for t in everything)
    texts, _ = settled(handed, judgement.known)
    return judgement if texts == judgement.texts else replace(judgement, texts=texts, launchers=launchers)


def _refusing(text: JudgedText, judgement: Judgement) -> JudgedText:
    if _module(text) not in _WRAPPERS:
        return text
    handed = refuse(text.text, judgement.known, text.relative).text
    return text if handed is None else replace(text, text=handed)


def _module(text: JudgedText) -> str:
    return text.relative.removesuffix(".py").replace("/", ".")


def _handed_on(text: JudgedText, judgement: Judgement, launches: Sequence[NamedLaunch]) -> JudgedText:
    if _module(text) not in _MODULES:
        return text
    decision = decide(text.text, judgement.known, text.relative, launches)
    if decision.state is not Outcome.PATCHED or decision.text is None:
        return text
    return replace(text, text=decision.text, diagnosis=diagnose(decision.text, judgement.known.judged))
