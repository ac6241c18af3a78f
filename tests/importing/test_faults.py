"""Whatever goes wrong inside, `auto` never breaks the host; `require` never lets an unpatched kernel through."""

from __future__ import annotations

import json
from collections.abc import Iterator

from tests.importing.world import BASE, GLUON, WRAPPER, World

# Every step of the hook, from the finder's first call to the line in the log.
STEPS = [
    "aiterfix.faults.registry:load_faults",
    "aiterfix.importing.targets:targets",
    "aiterfix.importing.watching:make",
    "aiterfix.importing.watching:targets",
    "aiterfix.importing.loader:PatchingLoader.__init__",
    "aiterfix.importing.loader:PatchingLoader.decision",
    "aiterfix.importing.loader:PatchingLoader._decide",
    "aiterfix.importing.loader:PatchingLoader._obstacle",
    "aiterfix.importing.loader:PatchingLoader._read",
    "aiterfix.importing.loader:PatchingLoader._compile",
    "aiterfix.importing.loader:PatchingLoader._claim",
    "aiterfix.importing.loader:PatchingLoader._execute",
    "aiterfix.importing.loader:PatchingLoader._patched_text",
    "aiterfix.importing.loader:PatchingLoader.get_source",
    "aiterfix.importing.loader:PatchingLoader.unpatched_kernels",
    "aiterfix.importing.loader:PatchingLoader._exec_module",
    "aiterfix.importing.watching:WatchingLoader.__init__",
    "aiterfix.importing.watching:WatchingLoader._look_after",
    "aiterfix.importing.ledger:at_work",
    "aiterfix.importing.loader:decide",
    "aiterfix.importing.loader:comes_from",
    "aiterfix.importing.loader:kernels_in",
    "aiterfix.importing.decision:_decide",
    "aiterfix.importing.decision:prebuilt_variable",
    "aiterfix.importing.decision:unlike_linecache",
    "aiterfix.source.sites:analyse",
    "aiterfix.faults.diagnosis:diagnose",
    "aiterfix.faults.diagnosis:diagnosis_of",
    "aiterfix.faults.mend:mend",
    "aiterfix.faults.mend:_not_worse",
    "aiterfix.source.rewrite:bound_edits",
    "aiterfix.source.rewrite:prove_bounds",
    "aiterfix.importing.kernels:held_source",
    "aiterfix.importing.watching:catch_up",
    "aiterfix.importing.watching:look_after",
    "aiterfix.importing.late:take_over",
    "aiterfix.importing.ledger:mode",
    "aiterfix.importing.ledger:once",
    "aiterfix.importing.ledger:record",
    "aiterfix.importing.ledger:refuse",
    "aiterfix.importing.ledger:announce",
    "aiterfix.importing.ledger:trouble",
    "aiterfix.importing.ledger:folders",
    "aiterfix.importing.ledger:last_resort",
    "aiterfix.importing.log:_emit",
    "aiterfix.importing.log:emit",
    "aiterfix.importing.settings:read",
    "aiterfix.startup:_enclose",
    "aiterfix.startup:standing",
]
# Only where rows are addressed wrongly. Of the other steps one fault shows as much, and is mended in half the time.
OF_ROWS = ["aiterfix.faults.row_offset:edits", "aiterfix.source.address:prove_rows"]
# Only ever called when something else has failed, or when nothing affected is imported yet.
NOT_REACHED = {
    "aiterfix.importing.ledger:mode": True,
    "aiterfix.importing.ledger:trouble": True,
    "aiterfix.importing.ledger:last_resort": True,
    "aiterfix.importing.ledger:refuse": True,
    "aiterfix.importing.late:take_over": True,
}

# Each step in a child of one process, which has imported this and no more.
SCRIPT = """
import importlib, json, os, sys
import aiterfix, aiterfix.importing.api, aiterfix.importing.watching, aiterfix.faults.mend
reached = []

class Deliberate(Exception):
    pass

def fail(*arguments, **keywords):
    reached.append(1)
    raise Deliberate("deliberate")

def attempt(step):
    module, _, path = step.partition(":")
    owner = importlib.import_module(module)
    *parents, name = path.split(".")
    for parent in parents:
        owner = getattr(owner, parent)
    original = getattr(owner, name)
    setattr(owner, name, fail)
    if not parents:  # also where it was imported by name
        for other in list(sys.modules.values()):
            if getattr(other, "__name__", "").startswith("aiterfix") and vars(other).get(name) is original:
                setattr(other, name, fail)
    outcome = []
    for what in ("install", "import"):
        try:
            if what == "install":
                aiterfix.install_hook()
            else:
                import {wrapper} as wrapper
                outcome.append(wrapper.deepgemm_fp8_paged_mqa_logits())
        except Exception as error:
            outcome.append(f"{{what}}: {{type(error).__name__}}")
    held = getattr(sys.modules.get({gluon!r}), {base!r}, None)
    return [step, outcome, len(reached), held.src if held else None]

for step in {steps!r}:
    child = os.fork()
    if not child:
        print(step, file=sys.stderr)
        print(json.dumps(attempt(step)), flush=True)
        sys.exit()
    assert os.waitpid(child, 0)[1] == 0, step
"""


def every_step(
    world: World, full_world: World, **environment: str
) -> Iterator[tuple[str, list[str], int, str | None, str]]:
    """For each step that fails: its name, what came of hook and import, how often it was reached, the kernel's text,
    and what was said."""
    for place, steps in ((world, STEPS), (full_world, OF_ROWS)):
        script = SCRIPT.format(steps=steps, wrapper=WRAPPER, gluon=GLUON, base=BASE)
        done = place.run(script, PYTHONDONTWRITEBYTECODE="1", **environment)
        lines = done.stdout.splitlines()
        assert [json.loads(line)[0] for line in lines] == steps
        for line in lines:
            step, outcome, reached, held = json.loads(line)
            yield step, outcome, reached, held, done.stderr.partition(f"{step}\n")[2]


def test_under_auto_the_host_imports_the_wrapper_whatever_fails(world: World, full_world: World) -> None:
    for step, outcome, reached, held, said in every_step(world, full_world):
        assert outcome == [held], said
        assert held is not None and "def " + BASE in "def " + held, step
        assert (reached == 0) is NOT_REACHED.get(step, False), step


def test_under_require_no_unpatched_kernel_comes_through(world: World, full_world: World) -> None:
    for step, outcome, _, held, said in every_step(world, full_world, AITERFIX="require"):
        if outcome[0].startswith("install:"):
            continue  # the program was told that there is no hook, and ends there unless it wants otherwise
        if outcome[-1].startswith("import:"):
            assert held is None or "(column < max_model_len)" in held, step
        else:
            assert "(column < max_model_len)" in outcome[-1], said
