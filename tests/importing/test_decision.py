"""What the hook does with a text: patch it, leave it, or patch what can be patched and say what is left."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from aiterfix.demo import write_sample
from aiterfix.faults.base import Presence
from aiterfix.faults.diagnosis import diagnose
from aiterfix.importing.decision import KEEP_PADDING, Decision, Outcome, decide, unlike_linecache
from aiterfix.judge.kernel_objects import known_faults
from aiterfix.validation.evidence import Evidence, keep, names_digest
from aiterfix.validation.evidence import Outcome as Outcomes
from tests.importing.world import BASE, GLUON, STAGE1, WRAPPER, World, mended

BOUND = "(column < max_model_len)"
KNOWN = known_faults()
NARROW = "row * stride_out_batch + column"
# Lanes have rows of their own, and the pointer is one for all: the row cannot be widened, the bound can be added. Nor are
# a row's sequence and its position there one number then.
STUCK = "(row + gl.arange(0, 1, layout=layout)) * stride_out_batch + column"


@pytest.fixture
def text(tmp_path: Path) -> bytes:
    return (write_sample(tmp_path) / "ops/triton/gluon/pa_mqa_logits.py").read_bytes()


def stuck(text: bytes) -> bytes:
    """A base kernel whose row is in the offsets and cannot be widened, and whose store has no upper bound."""
    assert text.count(NARROW.encode()) >= 1
    return text.replace(NARROW.encode(), STUCK.encode(), 1)


def test_every_deciding_fault_is_taken_out(text: bytes) -> None:
    found = decide(text, KNOWN, "file")
    assert found.state is Outcome.PATCHED and found.text == mended(text)
    assert dict(found.mended) == {"block-paging": 2, "cache-offset-32": 4, "column-bound": 3, "row-offset-32": 2}
    assert (found.before, found.after) == tuple(hashlib.sha256(t).hexdigest() for t in (text, mended(text)))
    after = diagnose(found.text or b"", KNOWN.judged)
    assert not after.problems and {u.presence(KNOWN.deciding) for u in after.units} == {Presence.ABSENT}
    assert decide(mended(text), KNOWN, "file") == Decision(Outcome.CLEAN, found.after)


def test_what_can_be_taken_out_is_where_a_fault_is_left(text: bytes) -> None:
    found = decide(stuck(text), KNOWN, "file")
    assert found.state is Outcome.UNPATCHED and found.text is not None
    assert dict(found.mended) == {"cache-offset-32": 4, "column-bound": 3, "row-offset-32": 1}
    assert found.after == hashlib.sha256(found.text).hexdigest() != found.before
    assert found.reason.startswith("block-paging, ragged-causal-bound, row-offset-32 cannot be taken out")
    assert "row-offset-32 bites where" in found.remedy and KEEP_PADDING not in found.remedy
    left = {
        u.name: {d.fault for d in u.diagnoses if d.fault in KNOWN.deciding and not d.presence.harmless}
        for u in diagnose(found.text, KNOWN.judged).units
    }
    assert left.pop(BASE) == {"block-paging", "ragged-causal-bound", "row-offset-32"} and set(
        map(frozenset, left.values())
    ) == {frozenset()}


def test_a_mend_that_failed_in_a_recorded_run_is_not_made(
    text: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AITERFIX_CACHE", str(tmp_path / "cache"))
    whole = decide(text, KNOWN, "file")
    mends = tuple(sorted(dict(whole.mended)))
    faults: tuple[tuple[str, Outcomes], ...] = tuple((f, "failed" if f == "block-paging" else "passed") for f in mends)
    ran = ("3.7.1", "emulator", "quick", 40, names_digest(["a"]), 0, faults, "0.2.0", "2026-08-22")
    keep(Evidence(whole.after, whole.before, mends, *ran))
    found = decide(text, KNOWN, "file")
    assert found.state is Outcome.UNPATCHED and found.text != whole.text
    assert set(dict(found.mended)) == {"cache-offset-32", "column-bound", "row-offset-32"}
    assert found.reason == (
        "block-paging cannot be taken out: block-paging: a recorded run of the mended text failed "
        "(quick set, emulator, Triton 3.7.1, 2026-08-22)"
    )


def test_of_an_unbounded_store_that_is_left_padding_is_the_remedy(text: bytes) -> None:
    # A column that is not the same each time it is written down cannot be written down twice.
    start, end = text.index(b"gl.amd.cdna3.buffer_store("), text.index(b"@gluon.jit", text.index(b"buffer_store("))
    odd = b"gl.store(OutLogits_buffer + row.to(gl.int64) * stride_out_batch + gl.abs(surprise()), value)\n\n\n"
    found = decide(text[:start] + odd + text[end:], KNOWN, "file")
    assert found.state is Outcome.UNPATCHED and found.reason.startswith(
        "block-paging, column-bound, ragged-causal-bound cannot be taken out: "
    )
    assert KEEP_PADDING in found.remedy


def test_a_decision_that_is_not_carried_out_claims_no_text(text: bytes) -> None:
    found = decide(stuck(text), KNOWN, "file").not_carried_out()
    assert (found.text, found.after, found.mended) == (None, "", ())
    assert found.reason and found.remedy and found.before


HOOKED = "import aiterfix\naiterfix.install_hook()\n"
EARLY = f"import {WRAPPER}\nimport aiterfix\naiterfix.install_hook()\n"
TELL = f"""
import json
import {WRAPPER} as wrapper
found = aiterfix.status()
print(json.dumps({{
    "text": wrapper.deepgemm_fp8_paged_mqa_logits(),
    "modules": {{m.module: [m.state.value, dict(m.mended), bool(m.after), m.reason] for m in found.modules}},
    "safe": found.safe,
    "verdict": found.verdict.value,
    "left": [a.fault.id for a in found.judgement.answers() if a.asked and not a.presence.harmless],
}}))
"""


@pytest.mark.parametrize("script", [HOOKED, EARLY], ids=["hook first", "hook late"])
def test_auto_imports_what_could_be_mended_and_warns_of_the_rest(full_world: World, script: str) -> None:
    full_world.file(GLUON).write_bytes(stuck(full_world.file(GLUON).read_bytes()))
    done = full_world.run(script + TELL)
    found = json.loads(done.stdout.splitlines()[-1])
    assert BOUND in found["text"] and STUCK in found["text"]
    state, places, imported, reason = found["modules"][GLUON]
    assert (state, places, imported) == (
        "unpatched",
        {"cache-offset-32": 4, "column-bound": 3, "row-offset-32": 1},
        True,
    )
    assert reason.startswith("block-paging, ragged-causal-bound, row-offset-32 cannot be taken out")
    assert found["modules"][STAGE1][0] == "patched"
    assert (found["safe"], found["verdict"], found["left"]) == (
        False,
        "unknown",
        ["block-paging", "ragged-causal-bound", "row-offset-32"],
    )
    assert (
        done.stderr.count("runs unpatched: block-paging, ragged-causal-bound, row-offset-32 cannot be taken out") == 1
    ), done.stderr


def test_require_executes_no_statement_of_what_keeps_a_fault(full_world: World, tmp_path: Path) -> None:
    mark = tmp_path / "executed"
    text = stuck(full_world.file(GLUON).read_bytes())
    full_world.file(GLUON).write_bytes(text + f"\nopen({str(mark)!r}, 'w').close()\n".encode())
    done = full_world.attempt(HOOKED + f"import {WRAPPER}", AITERFIX="require")
    assert done.returncode and "UnpatchedKernelError" in done.stderr
    assert "row-offset-32 cannot be taken out" in done.stderr
    assert not mark.exists()
    full_world.run(HOOKED + f"import {WRAPPER}")
    assert mark.exists()


def test_require_leaves_what_was_imported_before_as_it_was(full_world: World) -> None:
    full_world.file(GLUON).write_bytes(stuck(full_world.file(GLUON).read_bytes()))
    script = f"""
import json
import {WRAPPER} as wrapper
import aiterfix
try:
    aiterfix.install_hook()
except Exception as error:
    records = {{m.module: [dict(m.mended), m.after] for m in aiterfix.status().modules}}
    print(json.dumps([type(error).__name__, records[{GLUON!r}], wrapper.deepgemm_fp8_paged_mqa_logits()]))
"""
    name, record, text = full_world.answer(script, AITERFIX="require")
    assert (name, record) == ("UnpatchedKernelError", [{}, ""])
    assert BOUND not in text


@pytest.mark.parametrize(
    ("text", "unlike"),
    [
        (b"a\nb\n", False),
        (b"a\r\nb\rc", False),
        (b"", False),
        (b"\n", False),
        (b"a\x0c\nb", True),
        ("# \u2028\n".encode(), True),
        ("# \x85\n".encode(), True),
        (b"# \x0b\n", True),
    ],
)
def test_lines_that_linecache_would_number_otherwise(text: bytes, unlike: bool) -> None:
    assert unlike_linecache(text) is unlike
