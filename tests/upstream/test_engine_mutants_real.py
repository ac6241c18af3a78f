"""Small changes to the real callers in wheels of vLLM and SGLang: none of the mutants may be called safe."""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from aiterfix.cli.main import main
from tests.upstream.conftest import Clone, site_of

ENTRY = "deepgemm_fp8_paged_mqa_logits"
ENGINES = {"vllm-0.26.0": "", "vllm-0.33.0": "", "sglang-0.5.16": "/dsa/", "sglang-0.5.23": "/dsa/"}
SAFE = ("sglang-0.5.16", "sglang-0.5.23")
"""Asked about store bounds alone, what is not mutated is safe in these."""


@pytest.fixture(scope="module", params=ENGINES)
def site(request: pytest.FixtureRequest, clone: Clone, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return site_of(clone, request.param, tmp_path_factory.mktemp("site"))


def check(site: Path, capsys: pytest.CaptureFixture[str]) -> tuple[str, list[dict[str, object]]]:
    """The verdict on store bounds at a length and block that suit one another, and the calls."""
    capsys.readouterr()
    engine, where = site.name.partition("-")[0], ENGINES[site.name]
    words = ["--max-model-len", "10048", "--block-size", "64", "--compress-ratio", "1", "--kernel", "gluon"]
    main(["check", "--path", str(site), "--for", engine, "--json", *words, *(["--caller", where] if where else [])])
    data = json.loads(capsys.readouterr().out)
    return str(data["pair_verdict"]), [c for p in data["pairs"] for c in p["calls"] if c["entry"] == ENTRY]


def changed(text: str, line: int) -> Iterator[tuple[str, str]]:
    """The text with one argument of the call at a line changed."""
    offsets = [0]
    for row in text.splitlines(keepends=True):
        offsets.append(offsets[-1] + len(row))
    calls = [n for n in ast.walk(ast.parse(text)) if isinstance(n, ast.Call) and n.lineno == line]
    (call,) = [c for c in calls if len(c.args) + len(c.keywords) > 6]
    said: dict[str, ast.expr] = dict(
        zip(("q", "cache", "weights", "out", "lengths", "tables", "width"), call.args, strict=False)
    )
    said |= {str(k.arg): k.value for k in call.keywords}
    changes = {
        "width": ["({}) + 1", "({}) - 1", "({}) // 2", "getattr({}, 'width', 7)", "int({} * 1.5)", "round({}, -1)"],
        "out": ["({})[:, 1:]", "({})[::2]", "({}).view(-1, 7)", "scratch({})", "({}).t()", "({})[:, :7].contiguous()"],
        "KVBlockSize": ["({}) * 3", "96", "block_size_of({})"],
        "ChunkK": ["({}) // 3", "chunk_of({})"],
    }
    for name, templates in changes.items():
        node = said.get(name)
        for template in templates if node is not None else ():
            assert node is not None and node.end_lineno is not None and node.end_col_offset is not None
            start, end = offsets[node.lineno - 1] + node.col_offset, offsets[node.end_lineno - 1] + node.end_col_offset
            yield f"{name}: {template}", text[:start] + template.format(text[start:end]) + text[end:]


def added(module: str, function: str) -> Iterator[tuple[str, str]]:
    """Files that call the function around the kernel in ways of their own."""
    head = f"from {module} import {function}\n\n\n"
    home, _, last = module.rpartition(".")
    calls = {
        "another caller": f"{head}def run(few, odd):\n    return {function}(*few, odd)\n",
        "partial": f"import functools\n{head}functools.partial({function}, 1)(2, 3)\n",
        "lambda": f"{head}odd = {{'f': lambda *few: {function}(*few)}}\n",
        "table": f"{head}TABLE = {{'rocm': {function}}}\n",
        "module in an attribute": f"from {home} import {last}\n\n\nclass Backend:\n    ops = {last}\n\n"
        f"    def run(self, few, odd):\n        return self.ops.{function}(*few, odd)\n",
        "getattr": f"from {home} import {last}\n\n\ndef run(name, *few):\n    return getattr({last}, name)(*few)\n",
        "operator": f"import torch\n{head}torch.library.Library('odd', 'DEF').impl('odd', {function})\n",
        "text": f"exec('from {module} import {function} as f; f(1, 2, 3, 4, 5, 6, 7)')\n",
    }
    yield from calls.items()


def test_no_mutant_is_safe(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    verdict, calls = check(site, capsys)
    assert (verdict == "safe") is (site.name in SAFE)
    engine = site.name.partition("-")[0]
    file, line = site / str(calls[0]["file"]), int(str(calls[0]["line"]))
    module = str(calls[0]["file"]).removesuffix(".py").replace("/", ".")
    text, odd = file.read_text(), site / engine / "odd_mutant.py"
    if ENGINES[site.name]:
        odd = file.parent / "odd_mutant.py"
    safe = []
    for name, mutant in changed(text, line):
        file.write_text(mutant)
        safe += [name] if check(site, capsys)[0] in ("safe", "padding-may-be-dropped", "no-calls") else []
    file.write_text(text)
    for name, mutant in added(module, str(calls[0]["function"])):
        odd.write_text(mutant)
        safe += [name] if check(site, capsys)[0] in ("safe", "padding-may-be-dropped", "no-calls") else []
    odd.unlink()
    assert safe == []
