"""The commands: one JSON object on stdout, exit codes, text that cannot command a terminal."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from aiterfix.cli import main
from aiterfix.errors import install_line
from aiterfix.faults.base import NotJudged
from aiterfix.faults.registry import load_faults
from tests import schemas
from tests.upstream_tools.conftest import Repository
from tests.upstream_tools.github_server import FakeGitHub
from tests.upstream_tools.kernels import (
    FAULTS,
    FIXED,
    GLUON,
    GLUON_BOUNDS,
    HALF,
    PATH,
    PLAIN,
    PLAIN_PATH,
    STAGE1,
    UNPATCHED,
)


class Run:
    """Runs a command and checks what holds for every command."""

    def __init__(self, capfd: pytest.CaptureFixture[str]) -> None:
        self.capfd = capfd
        self.err = ""

    def text(self, *words: str | Path, status: int = 0) -> str:
        code = main([str(w) for w in words])
        out, self.err = self.capfd.readouterr()
        assert code == status, (out, self.err)
        for line in (out + self.err).splitlines():
            assert line.isprintable(), repr(line)
        return out

    def json(self, schema: str, *words: str | Path, status: int = 0) -> dict[str, Any]:
        body: dict[str, Any] = schemas.read(self.text(*words, "--json", status=status), schema)
        return body

    def error(self, *words: str | Path, status: int) -> dict[str, Any]:
        body = json.loads(self.text(*words, "--json", status=status))
        assert body["error"]["exit_code"] == status
        assert body["error"]["what"]
        found: dict[str, Any] = body["error"]
        return found


@pytest.fixture
def run(capfd: pytest.CaptureFixture[str]) -> Run:
    return Run(capfd)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeGitHub]:
    running = FakeGitHub()
    monkeypatch.setenv("AITERFIX_GITHUB_API", running.api)
    yield running
    running.close()


@pytest.fixture
def bounds_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if store bounds were the one fault that is judged."""
    monkeypatch.setattr("aiterfix.cli.upstream.load_faults", lambda extra: FAULTS)


@pytest.fixture
def releases(repository: Repository) -> Repository:
    repository.commit({"README": "x\n"}, "v0.1")
    repository.commit({PATH: UNPATCHED, PLAIN_PATH: PLAIN}, "v0.2")
    repository.commit({PATH: HALF}, "v0.3", "archive/some|thing")
    return repository


@pytest.mark.usefixtures("bounds_alone")
def test_scan_json(run: Run, releases: Repository) -> None:
    body = run.json("upstream-scan", "upstream", "scan", "--repo", releases.path)
    assert body["command"] == "upstream scan"
    refs = {r["ref"]: r for r in body["refs"]}
    assert refs["v0.3"]["verdict"] == "affected"
    assert refs["v0.3"]["faults"] == [{"id": "column-bound", "presence": "present", "kernels": 2}]
    (gluon,) = [f for f in refs["v0.3"]["files"] if f["path"] == PATH]
    assert gluon["sites"] == {GLUON: {"none": 0, "lower": 1, "upper": 1, "both": 0}}
    states = {b["group"]: b["state"] for b in refs["v0.3"]["bounds"]}
    assert states == {"gluon": "partly", "stage1": "unbounded"}
    assert refs["v0.1"]["files"] == []
    stones = {(m["group"], m["goal"]): m for m in body["milestones"]}
    stone = stones["gluon", "no store is without any mask bound"]
    assert (stone["first"], stone["last_without"]) == ("v0.3", "v0.2")
    assert stone["pull_requests"] == ["ROCm/aiter#2866", "ROCm/aiter#3005"]
    (fix,) = body["fixes"]
    assert (fix["fault"], fix["kernels"], fix["first"], fix["last_with"]) == (
        "column-bound", [STAGE1, GLUON], None, "v0.3",
    )  # fmt: skip


@pytest.mark.usefixtures("bounds_alone")
def test_scan_text(run: Run, releases: Repository) -> None:
    out = run.text("upstream", "scan", "--repo", releases.path)
    assert "no store is without any mask bound (#2866, #3005): first in v0.3" in out
    assert "every store is bounded (#4580): no release; v0.3 has 1 store in the way" in out
    rows = {row[0]: row[2:6] for row in map(str.split, out.splitlines()) if row}
    assert rows["v0.2"] == ["unbounded", "0/2", "unbounded", "0/1"]
    assert rows["v0.3"] == ["partly", "1/2", "unbounded", "0/1"]
    assert "1 of 4 references hold none of the kernels." in out
    assert "4 references" in run.err


@pytest.mark.usefixtures("bounds_alone")
def test_scan_markdown(run: Run, releases: Repository) -> None:
    out = run.text("upstream", "scan", "--repo", releases.path, "--markdown")
    lines = out.splitlines()
    assert lines[0] == "| ref | date | gluon | stage1 | cb | sha256 |"
    assert any(line.startswith("| archive/some\\|thing |") for line in lines)
    assert {line.replace("\\|", "").count("|") for line in lines if line.startswith("|")} == {7}


@pytest.mark.usefixtures("bounds_alone")
def test_scan_in_the_current_folder(run: Run, releases: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(releases.path)
    body = run.json("upstream-scan", "upstream", "scan", "--refs", "v0.3", "HEAD")
    assert [r["ref"] for r in body["refs"]] == ["HEAD", "v0.3"]


@pytest.mark.usefixtures("bounds_alone")
def test_exit_codes_of_scan(run: Run, repository: Repository) -> None:
    repository.commit({PATH: FIXED}, "v2")
    run.json("upstream-scan", "upstream", "scan", "--repo", repository.path, "--require-fixed")
    repository.commit({PATH: HALF}, "v3")
    run.json("upstream-scan", "upstream", "scan", "--repo", repository.path)
    run.json("upstream-scan", "upstream", "scan", "--repo", repository.path, "--require-fixed", status=1)
    repository.commit({PATH: "def broken(:  # OutLogits_buffer\n"}, "v4")
    run.json("upstream-scan", "upstream", "scan", "--repo", repository.path, status=3)
    assert "v4: unknown" in run.text("upstream", "scan", "--repo", repository.path, status=3)


def test_errors_of_scan(run: Run, tmp_path: Path, releases: Repository) -> None:
    assert run.error("upstream", "scan", "--repo", tmp_path / "x", status=2)["code"] == "usage"
    (tmp_path / "empty").mkdir()
    assert run.error("upstream", "scan", "--repo", tmp_path / "empty", status=4)["code"] == "clone"
    assert run.error("upstream", "scan", "--repo", releases.path, "--refs", "\x1b[2J", status=2)["code"] == "usage"
    assert run.error("upstream", "scan", "--repo", releases.path, "--markdown", status=2)["code"] == "usage"


@pytest.mark.usefixtures("bounds_alone")
def test_the_history_is_written_and_answers(run: Run, releases: Repository, tmp_path: Path) -> None:
    from aiterfix.history.compat import compat
    from aiterfix.history.store import load_history

    folder = tmp_path / "history"
    folder.mkdir()
    words = ("upstream", "scan", "--repo", releases.path, "--write-history")
    run.text(*words, folder)
    answer = compat("0.3", load_history(folder))
    assert answer.release is not None
    assert answer.release.counts(GLUON_BOUNDS).as_tuple() == (0, 1, 1, 0)
    assert answer.release.presence(["column-bound"]).value == "present"
    run.error(*words, folder, "--refs", "v0.3", status=2)
    run.error(*words, folder, "--fixes", tmp_path, status=2)
    run.error(*words, tmp_path / "nowhere", status=2)
    (tmp_path / "taken" / "releases.json").mkdir(parents=True)
    run.error(*words, tmp_path / "taken", status=4)
    releases.git("clone", "-q", "--depth", "1", "--branch", "v0.3", releases.path.as_uri(), str(tmp_path / "shallow"))
    error = run.error("upstream", "scan", "--repo", tmp_path / "shallow", "--write-history", folder, status=4)
    assert "shallow" in error["what"]


@pytest.mark.parametrize(
    ("version", "status", "words"),
    [
        (
            "0.1.13",
            1,
            "0.1.13 (2026-05-07, commit cdcfa833bdf5): affected\n  column-bound  present  in 5 of 7 kernels\n",
        ),
        ("0.1.5", 0, "clean\n  holds none of the kernels\n"),
        ("0.1.13rc2", 1, "0.1.13rc2, that is v0.1.13-rc2"),
        ("9.9", 3, "9.9: not known, run `aiterfix check`"),
        ("0.1.13+x", 3, "The release it is named after, v0.1.13, is affected."),
        ("\x1b[2J", 3, "\\x1b[2J: not known"),
    ],
)
def test_compat(run: Run, monkeypatch: pytest.MonkeyPatch, version: str, status: int, words: str) -> None:
    alone = replace(FAULTS, not_judged=(NotJudged("first", "x"), NotJudged("second", "y")))
    monkeypatch.setattr("aiterfix.cli.compat.load_faults", lambda: alone)
    out = run.text("compat", version, status=status)
    assert words in out
    assert "\n2 known faults are not judged yet: first, second.\n" in out
    body = run.json("compat", "compat", version, status=status)
    assert body["known"] is (status != 3)
    assert body["asked"] == version
    assert body["verdict"] == {0: "clean", 1: "affected", 3: "unknown"}[status]
    assert body["not_judged"] == ["first", "second"]


def test_compat_judges_every_fault_that_has_a_module(run: Run) -> None:
    known = load_faults()
    body = run.json("compat", "compat", "0.1.5")
    assert [f["id"] for f in body["release"]["faults"]] == [f.id for f in known.judged]
    assert body["not_judged"] == [f.id for f in known.not_judged]


def test_status_online(run: Run, server: FakeGitHub, releases: Repository, tmp_path: Path) -> None:
    aiter = "ROCm/aiter"
    server.put(aiter, 2866, state="closed", title="Bound \x1b[31mstores\x07")
    server.put(aiter, 3005, state="closed", merged=True, merged_at="2026-05-05T00:00:00Z", merge_commit_sha="a" * 40)
    server.put(aiter, 4580)
    server.put("vllm-project/vllm", 40643, state="closed")
    server.put("vllm-project/vllm", 41856, state="closed")
    server.documents[f"/repos/{aiter}/compare/{3005:040x}...{2866:040x}?per_page=1"] = {"status": "behind"}
    for request in {p for f in load_faults().judged if f.id != "column-bound" for p in f.upstream}:
        if request.issue:
            path = f"/repos/{request.repository}/issues/{request.number}"
            server.documents[path] = {"number": request.number, "state": "open", "title": "x"}
        else:
            server.put(request.repository, request.number)
    words = ("upstream", "status", "--repo", releases.path, "--release", "0.1.13")
    out = run.text(*words)
    assert "#2866 is closed without merge; its commit is in #3005; released in v0.3; 1 of 2 stores remains" in out
    assert "\n  #4774 is open (64-bit cache addresses" in out
    assert "\n  #4290 is an issue, open (reports it for the ragged kernels); an issue changes no text.\n" in out
    assert re.search(r"\n  main of 2023-\S+ \(\w{12}\) has the fault in 2 kernels \(stage1, base\), 2 places\n", out)
    assert "\n  HEAD has the fault in 2 kernels (stage1, base), 2 places\n" in out
    assert "HEAD: 1 of 2 stores bounded; has the change of #2866, #3005; lacks that of #4580" in out
    assert "v0.1.13: 10 of 18 stores bounded" in out
    body = run.json("upstream-status", *words)
    states = {p["number"]: (p["state"], p["title"]) for p in body["pull_requests"]}
    assert [states[n][0] for n in (2866, 3005, 4580, 4290)] == ["closed without merge", "merged", "open", "open"]
    assert states[2866][1] == "Bound \\x1b[31mstores\\x07"
    told = {f["id"]: f for f in body["faults"]}
    assert [p["pull_request"] for p in told["ragged-causal-bound"]["pull_requests"]] == [
        f"{aiter}#{n}" for n in (4293, 1311, 4290)
    ]
    assert told["column-bound"]["main"]["places"] == 2 and body["main"] == releases.git("rev-parse", "main")
    assert {p["origin"] for p in body["pull_requests"]} == {"github"}
    subjects = {s["name"]: s for b in body["bounds"] if b["group"] == "gluon" for s in b["subjects"]}
    contained = {"ROCm/aiter#2866": True, "ROCm/aiter#3005": True, "ROCm/aiter#4580": False}
    assert subjects["HEAD"]["contains"] == subjects["v0.1.13"]["contains"] == contained
    assert any("if-none-match" in r.headers for r in server.requests)


def test_status_offline_and_without_network(run: Run, server: FakeGitHub) -> None:
    body = run.json("upstream-status", "upstream", "status", "--offline")
    assert {p["origin"] for p in body["pull_requests"] if p["state"]} == {"package"}
    told = {f["id"]: f for f in body["faults"]}
    (merged,) = [p for p in told["cache-offset-32"]["pull_requests"] if p["pull_request"] == "ROCm/aiter#4774"]
    assert merged["sentence"].startswith("#4774 was merged on 2026-08-16 (")
    assert merged["sentence"].endswith("; main still has the fault in 6 kernels, 31 places.")
    assert (merged["base"]["places"], merged["head"]["places"]) == (42, 31)
    # Of a function that launches, facts of kernels say nothing: the judge does.
    assert len(told["output-rank"]["main"]["present"]) == 5
    assert "v0.1.20.post1, the newest release known, has the fault in 5 kernels" in told["output-rank"]["places"][1]
    assert body["trouble"] == []
    assert server.requests == [] and run.err == ""
    server.override = lambda request: request.json({}, 403, X_RateLimit_Remaining="0", X_RateLimit_Reset="1")
    body = run.json("upstream-status", "upstream", "status", status=4)
    assert [t["code"] for t in body["trouble"]] == ["github-rate-limit"]
    assert "Come back after" in run.err
    assert {p["origin"] for p in body["pull_requests"] if p["state"]} == {"package"}


def test_status_of_an_installation(run: Run, server: FakeGitHub, tmp_path: Path) -> None:
    for name, text in (("aiter/__init__.py", ""), ("aiter/ops/triton/__init__.py", ""), (PATH, FIXED)):
        place = tmp_path / "site-packages" / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)
    out = run.text("upstream", "status", "--offline", "--path", tmp_path / "site-packages")
    assert "aiter: 2 of 2 stores bounded; has the change of #2866, #3005, #4580" in out
    (tmp_path / "none").mkdir()
    run.error("upstream", "status", "--offline", "--path", tmp_path / "none", status=4)


def test_status_usage(run: Run, server: FakeGitHub, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    run.error("upstream", "status", "--refs", "v1", status=2)
    run.error("upstream", "status", "--offline", "--release", "9.9", status=3)
    run.error("upstream", "status", "--offline", "--fixes", tmp_path, status=2)
    monkeypatch.setenv("GITHUB_TOKEN", "bad token\n!")
    assert "bad token" not in json.dumps(run.error("upstream", "status", "--offline", status=2))


def test_export(run: Run, releases: Repository, tmp_path: Path) -> None:
    patch, text = tmp_path / "fix.patch", tmp_path / "pr.md"
    words = ("upstream", "export", "--repo", releases.path, "--ref", "v0.3", "--branch", "fix")
    body = run.json("upstream-export", *words, "--format-patch", patch, "--pull-request", text)
    assert body["commit"] == releases.git("rev-parse", "fix")
    assert body["base"] == releases.git("rev-parse", "v0.3")
    assert {f["path"]: (f["kernels"], f["places"]) for f in body["files"]} == {
        PATH: ([GLUON], 1),
        PLAIN_PATH: ([STAGE1], 1),
    }
    assert text.read_text() == body["pull_request"]
    assert patch.read_bytes().startswith(f"From {body['commit']} ".encode())
    assert run.error(*words, status=2)["code"] == "usage"
    out = run.text(*words, "--force", "--kernel", "gluon")
    assert out.startswith("## What")
    assert "branch fix: commit" in run.err
    assert PLAIN_PATH not in releases.git("diff", "--name-only", "v0.3", "fix")


def test_export_writes_no_file_into_the_clone_or_over_another(run: Run, releases: Repository, tmp_path: Path) -> None:
    words = ("upstream", "export", "--repo", releases.path, "--branch", "fix")
    (tmp_path / "taken").write_text("mine")
    (tmp_path / "link").symlink_to(releases.path)
    for target in (
        releases.path / "x.patch",
        releases.path / ".git" / "x.patch",
        tmp_path / "link" / "x.patch",
        tmp_path / "taken",
        tmp_path / "no" / "x.patch",
    ):
        run.error(*words, "--format-patch", target, status=2)
    assert (tmp_path / "taken").read_text() == "mine"
    assert releases.git("branch", "--list", "fix") == ""
    run.error(*words, "--kernel", "unheard-of", status=2)


def test_export_of_what_is_fixed(run: Run, repository: Repository) -> None:
    repository.commit({PATH: FIXED}, "v1")
    assert run.error("upstream", "export", "--repo", repository.path, status=1)["code"] == "nothing-to-export"


def test_a_missing_extra_says_how_to_get_it(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "requests", None)
    error = run.error("upstream", "status", status=4)
    assert error["code"] == "extra-missing"
    assert error["remedy"] == install_line("upstream")


def test_a_missing_git_is_named(run: Run, releases: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    error = run.error("upstream", "scan", "--repo", releases.path, status=4)
    assert "git" in error["what"]


def test_what_ships_with_the_package_is_told_without_git_and_requests(tmp_path: Path) -> None:
    code = """
import sys
for name in ("requests",):
    sys.modules[name] = None
from aiterfix.cli import main
from aiterfix.errors import install_line
from aiterfix.faults.base import NotJudged
from aiterfix.faults.registry import load_faults
sys.exit(main(["upstream", "status", "--offline", "--release", "0.1.13", "--cache", sys.argv[1]]))
"""
    command = [sys.executable, "-c", code, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "last known: recorded with this version of aiterfix" in done.stdout and "v0.1.13" in done.stdout
