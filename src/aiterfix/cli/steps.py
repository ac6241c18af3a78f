"""What can be done with what the command line names: which of `apply` and its stand-ins works on each target."""

from __future__ import annotations

import argparse
import os
import shlex
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from aiterfix.cli.target import Target, fixes_words, repeat_question, repeat_target, repeated, targets_of
from aiterfix.engines.locate import Found, find_consumers
from aiterfix.importing.allowlists import PluginState, plugin_state
from aiterfix.installation.forms import Form
from aiterfix.installation.machine import obstacle_to_writing
from aiterfix.installation.target import Discovery
from aiterfix.installation.view import View
from aiterfix.judge.judgement import Judgement
from aiterfix.judge.whole import Whole
from aiterfix.report.steps import Place, Steps


def steps_for(options: argparse.Namespace, whole: Whole) -> Steps:
    """What can be done now, by what was judged."""
    parts = list(zip(targets_of(options), whole.parts or (whole,), strict=True))
    there = [(target, part) for target, part in parts if part.on_disk] or parts
    left = [[a for a in part.answers() if not a.presence.harmless] for _, part in there]
    # What is not asked about is next where nothing is left of what is.
    asked = [any(a.asked for a in answers) for answers in left]
    open_ones = asked if any(asked) else [bool(answers) for answers in left]
    places = [_place(target, part.live, part.discovery) for target, part in there]
    return steps_at(options, [replace(p, open=o) for p, o in zip(places, open_ones, strict=True)])


def steps_at(options: argparse.Namespace, places: Iterable[Place]) -> Steps:
    """The same for places that are known."""
    question = repeat_question(options) if hasattr(options, "faults") else ""
    return Steps(repeat_target(options), repeated(fixes_words(options)), question, tuple(places))


def place_of(target: Target, judgement: Judgement) -> Place:
    """What `apply` could do to one installation, of which nothing else is known."""
    return _place(target, (judgement,), None)


def obstacle(judgement: Judgement, target: Target) -> str:
    """Why `apply` could not write; of a wheel it writes another one beside it, of an image that is a file nothing."""
    form = target.form
    if form is Form.IMAGE:
        return "an image is read and never written to"
    if form is Form.WHEEL:
        return obstacle_to_writing([_archive(target).resolve().parent])
    view = View(_image_root(target, judgement))
    files = (t.path for t in (*judgement.texts, *judgement.launchers) if t.path is not None)
    return obstacle_to_writing(Path(view.real(f)) for f in dict.fromkeys(f.parent for f in files))


def plugins(engines: Iterable[Found], discovery: Discovery) -> list[tuple[Found, PluginState]]:
    """Engines, and whether each loads this package."""
    view = View(discovery.image_root)
    return [(e, plugin_state(e.name, discovery.searched, view, os.environ)) for e in engines]


def _place(target: Target, judgements: Sequence[Judgement], discovery: Discovery | None) -> Place:
    arguments = repeated(target.words)
    stuck = any(obstacle(j, target) for j in judgements)
    rebuilt = stuck and target.form is None and any(_image_root(target, j) is not None for j in judgements)
    if target.form is Form.IMAGE or rebuilt:
        return Place(arguments, image=shlex.quote(str(_archive(target))))
    if target.form is Form.WHEEL:
        return Place(arguments, output=f" --output {_writable()}" if stuck else "", alone=True)
    return Place(arguments, instead=_at_import(target, discovery) if stuck else "")


def _at_import(target: Target, discovery: Discovery | None) -> str:
    """What mends files at import that cannot be written."""
    engines = find_consumers(discovery, first_only=target == Target()) if discovery is not None else ()
    states = plugins(engines, discovery) if discovery is not None else []
    if loading := [e.name for e, state in states if state.loaded]:
        return (
            f"start {' and '.join(loading)} with AITERFIX=require: it mends the kernels at import, or refuses to go on"
        )
    for engine, state in states:
        if "leaves aiterfix out" in state.why:
            return f"add aiterfix to {state.why.partition('=')[0]}, so that {engine.name} mends the kernels at import"
    if target.path is None:
        return f"aiterfix hook enable{repeated(target.words)}"
    return "have its interpreter mend the kernels at import: aiterfix run -- COMMAND"


def _archive(target: Target) -> Path:
    place = target.root or target.path
    assert place is not None
    return place


def _image_root(target: Target, judgement: Judgement) -> Path | None:
    return judgement.installation.image_root if judgement.installation is not None else target.root


def _writable() -> str:
    """A folder for a new wheel, where the one of the old cannot be written."""
    return next((f for f in (".", os.environ.get("TMPDIR", "/tmp")) if os.access(f, os.W_OK)), "DIR")
