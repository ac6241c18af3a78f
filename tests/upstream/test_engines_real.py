"""`check --for` over real wheels of vLLM and SGLang beside the newest real aiter, as released and patched."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from aiterfix.cli.main import main
from tests.upstream.conftest import Clone, site_of

ENGINES = {
    "vllm-0.33.0": "depends",
    "vllm-0.26.0": "depends",
    "sglang-0.5.23": "unknown",
    "sglang-0.5.16": "depends",
    "sglang-0.5.11": "depends",
}


@pytest.fixture(params=ENGINES)
def site(request: pytest.FixtureRequest, clone: Clone, tmp_path: Path) -> Path:
    return site_of(clone, request.param, tmp_path)


def test_pair(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    engine = site.name.partition("-")[0]

    def check(*words: object) -> tuple[str, list[Any]]:
        capsys.readouterr()
        status = main(["check", "--path", str(site), "--for", engine, "--json", *map(str, words)])
        data = json.loads(capsys.readouterr().out)
        verdict = data["pair_verdict"]
        expected = {"safe": 0, "depends": 1, "unsafe-until-apply": 1, "unknown": 3}
        assert status == expected[verdict]
        return verdict, [c for p in data["pairs"] for c in p["calls"]]

    verdict, calls = check()
    assert verdict == ENGINES[site.name]
    judged = [c for c in calls if c["entry"].startswith("deepgemm")]
    assert judged
    assert all(c["padding"] == {"known": True, "value": 0, "text": None} for c in judged), "no padding anywhere"
    if engine == "vllm":
        assert {"operator", "fraction"} <= {w["kind"] for c in judged for w in c["widths"]}
        assert all(c["may_change"] for c in judged), "drafts, and writers of max_model_len"
        assert check("--max-model-len", 10000, "--block-size", 64)[0] == "unsafe-until-apply"
        for words in ((10048,), (10240,), (10240, "--compress-ratio", 1)):
            assert check("--max-model-len", *words, "--block-size", 64)[0] in ("depends", "unknown")
    else:
        sparse = [c for c in judged if "/dsv4/" not in c["file"]]
        assert check("--caller", sparse[0]["file"], "--fault", "column-bound")[0] == "safe"
        for call in (c for c in judged if "/dsv4/" in c["file"]):
            assert call["verdict"] == "depends"
            assert "check that it is a multiple of" in call["reason"]
    assert main(["apply", "--path", str(site), "--require"]) in (0, 1)
    verdict, calls = check()
    judged = [c for c in calls if c["entry"].startswith("deepgemm")]
    assert {c["evidence"] for c in judged} == {"guarded"}
