"""The table of results whose proof the import hook need not repeat, held to the full proof of every release.

``AITERFIX_RECORD=1`` writes the table anew.
"""

from __future__ import annotations

import hashlib
import os

from aiterfix.fixes import load_fixes
from aiterfix.importing.decision import PROVEN, proven_results
from aiterfix.source.rewrite import rewrite
from tests.upstream.conftest import Clone

HEAD = "# sha256 of a released kernel file, and of its patched text as proven by the analysis. See decision.proven_results.\n"


def test_every_recorded_result_is_what_the_full_proof_gives(clone: Clone) -> None:
    fixes = load_fixes()
    found = {}
    for path, text in clone.distinct():
        result = rewrite(text, fixes, filename=path)
        if result.changed:
            found[hashlib.sha256(text).hexdigest()] = hashlib.sha256(result.new).hexdigest()
    if os.environ.get("AITERFIX_RECORD") == "1":
        PROVEN.write_text(HEAD + "".join(f"{a}\t{b}\n" for a, b in sorted(found.items())))
    recorded = proven_results()
    # A newer clone may hold more; what is recorded must be right.
    assert {a: b for a, b in found.items() if a in recorded} == recorded
