"""``aiterfix check`` and ``apply`` as whole processes over a real tree, against ``python -c pass`` in the same run.

Needs AITERFIX_AITER_REPO: a clone of ROCm/aiter with tags.
"""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from aiterfix.demo import SAMPLE_VERSION, write_sample
from benchmarks.timing import Command, report, take_turns

TAG = "v0.1.20.post1"


def main(arguments: Sequence[str]) -> int:
    """Measure, print, and check that neither torch nor triton is imported."""
    repository = os.environ.get("AITERFIX_AITER_REPO")
    if not repository:
        print("skipped: AITERFIX_AITER_REPO is unset")
        return 0
    rounds = int(arguments[0]) if arguments else 15
    with tempfile.TemporaryDirectory() as name:
        root = Path(name) / "site-packages"
        root.mkdir()
        # The sample's dist-info makes it an installed distribution; the package itself is the real one.
        write_sample(root)
        shutil.rmtree(root / "aiter")
        (info,) = root.glob("*.dist-info")
        metadata = info / "METADATA"
        metadata.write_text(metadata.read_text().replace(SAMPLE_VERSION, TAG[1:]))
        record = (info / "RECORD").read_text().replace(info.name, f"amd_aiter-{TAG[1:]}.dist-info")
        (info / "RECORD").write_text(record)
        info.rename(root / f"amd_aiter-{TAG[1:]}.dist-info")
        archive = subprocess.run(["git", "-C", repository, "archive", TAG, "aiter"], capture_output=True, check=True)
        subprocess.run(["tar", "x", "-C", root], input=archive.stdout, check=True)
        # -m aiterfix as the console script does, without a launcher of pip's in between.
        call = [sys.executable, "-m", "aiterfix"]
        patch = Path(name) / "fix.patch"
        patch.write_bytes(subprocess.run([*call, "diff", "--path", root], capture_output=True, check=True).stdout)

        def reset() -> None:
            subprocess.run([*call, "revert", "--path", root], capture_output=True, check=True)
            subprocess.run(["git", "apply", "-R", patch], cwd=root, capture_output=True, check=False)

        times = take_turns(
            {
                "python -c pass": Command([sys.executable, "-c", "pass"]),
                "check": Command([*call, "check", "--path", root], before=reset, status=(1,)),
                "apply": Command([*call, "apply", "--path", root], before=reset),
                "git apply": Command(["git", "apply", patch], cwd=root, before=reset),
                "pip show": Command([sys.executable, "-m", "pip", "show", "pip"]),
            },
            rounds,
        )
        report(times, "python -c pass")
        medians = {k: statistics.median(v) for k, v in times.items()}
        print(f"apply / git apply: {medians['apply'] / medians['git apply']:.1f}")
        print(f"check / pip show:  {medians['check'] / medians['pip show']:.2f}")
        for command in ("check", "apply"):
            code = f"import sys; from aiterfix.cli import main; main(['{command}', '--path', {str(root)!r}]); "
            code += "print([m for m in ('torch', 'triton', 'numpy', 'aiter') if m in sys.modules])"
            out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
            print(f"heavy modules that {command} imports: {out.splitlines()[-1]}")
    return 0
