"""action.yml and the workflows: the shell of every step, twice; what GitHub's own actions would do is stood in for."""

from __future__ import annotations

import importlib.util
import json
import re
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from aiterfix.demo import write_sample
from tests.cli.conftest import contents
from tests.examples.conftest import ROOT, Machine
from tests.images import docker_save, layer, members_of

pytestmark = pytest.mark.slow
KNOWN = {
    "actions/checkout@v4",
    "actions/setup-python@v5",
    "actions/cache@v4",
    "github/codeql-action/upload-sarif@v4",
}
"""Versions that were seen in use elsewhere."""
EXPRESSION = re.compile(r"\$\{\{\s*(.+?)\s*\}\}")


class Job:
    """Runs the steps of a workflow's job or of an action."""

    def __init__(self, machine: Machine, folder: Path, context: Mapping[str, Any]) -> None:
        self.machine = machine
        self.folder = folder
        self.context: dict[str, Any] = {"steps": {}, **context}
        self.used: list[tuple[str, dict[str, str]]] = []
        self.said = ""
        self.summary = machine.folder / "summary.md"

    def value(self, text: object) -> str:
        """A text with its expressions evaluated."""

        def look(match: re.Match[str]) -> str:
            here: Any = self.context
            for name in match[1].split("."):
                here = here.get(name, "") if isinstance(here, Mapping) else ""
            return str(here)

        return EXPRESSION.sub(look, str(text))

    def wanted(self, condition: str | None) -> bool:
        if condition is None:
            return True
        left, operator, right = re.fullmatch(r"(\S+) (==|!=) '(.*)'", condition).groups()  # type: ignore[union-attr]
        return (self.value(f"${{{{ {left} }}}}") == right) is (operator == "==")

    def run(self, steps: list[dict[str, Any]]) -> int:
        """Every step until one fails; the exit code of that one."""
        for step in steps:
            if not self.wanted(step.get("if")):
                continue
            if "uses" in step:
                status = self.use(step["uses"], {k: self.value(v) for k, v in step.get("with", {}).items()})
            else:
                status = self.shell(step)
            if status:
                return status
        return 0

    def use(self, name: str, given: dict[str, str]) -> int:
        self.used.append((name, given))
        if not name.startswith("./"):
            assert name in KNOWN, "nobody has seen that version"
            return 0
        action = yaml.safe_load((ROOT / "action.yml").read_text())
        assert set(given) <= set(action["inputs"])
        inputs = {k: str(v.get("default", "")) for k, v in action["inputs"].items()} | given
        inside = Job(self.machine, self.folder, {**self.context, "inputs": inputs, "steps": {}})
        status = inside.run(action["runs"]["steps"])
        self.used += inside.used
        self.said += inside.said
        self.outputs = {k: inside.value(v["value"]) for k, v in action["outputs"].items()}
        return status

    def shell(self, step: dict[str, Any]) -> int:
        outputs = self.machine.folder / "outputs"
        outputs.write_text("")
        more = {k: self.value(v) for k, v in step.get("env", {}).items()}
        more |= {
            "GITHUB_OUTPUT": str(outputs),
            "GITHUB_STEP_SUMMARY": str(self.summary),
            "GITHUB_ACTION_PATH": str(self.machine.wheel),
            "RUNNER_TEMP": str(self.machine.folder / "temp"),
        }
        script = self.value(step["run"])
        assert script == step["run"], "an expression in a script is a hole: inputs go through the environment"
        ran = self.machine.run(["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", script], more, self.folder)
        self.said += ran.stdout
        if "id" in step:
            self.context["steps"][step["id"]] = {"outputs": _outputs(outputs.read_text())}
        return ran.returncode


def _outputs(text: str) -> dict[str, str]:
    found: dict[str, str] = {}
    lines = iter(text.splitlines())
    for line in lines:
        name, heredoc, mark = line.partition("<<")
        if heredoc and "=" not in name:
            found[name] = "\n".join(iter(lambda mark=mark: next(lines), mark))  # type: ignore[misc]
        else:
            name, _, found[name] = line.partition("=")
    return found


@pytest.fixture
def job(machine: Machine, tmp_path: Path) -> Callable[..., Job]:
    (machine.folder / "temp").mkdir()
    folder = tmp_path / "workspace"
    folder.mkdir()

    def made(**context: Any) -> Job:
        return Job(
            machine, folder, {"runner": {"temp": str(machine.folder / "temp"), "os": "Linux"}, "vars": {}, **context}
        )

    return made


def workflow(name: str) -> dict[str, Any]:
    return yaml.safe_load((ROOT / "examples/github" / name).read_text())  # type: ignore[no-any-return]


def test_the_action_says_annotates_and_fails_twice(job: Callable[..., Job]) -> None:
    first = job()
    write_sample(first.folder)
    before = contents(first.folder)
    for _ in range(2):
        one = job()
        one.summary.unlink(missing_ok=True)
        assert one.use("./aiterfix", {}) == 1, one.said
        assert "verdict: affected" in one.said
        assert "::error file=aiter/ops/triton/gluon/pa_mqa_logits.py,line=" in one.said
        assert one.summary.read_text().startswith("## aiterfix check: affected\n")
        assert one.outputs["verdict"] == "affected"
        ((used, given),) = one.used[1:]
        assert used == "github/codeql-action/upload-sarif@v4"
        assert json.loads(Path(given["sarif_file"]).read_text())["runs"][0]["results"]
        assert contents(one.folder) == before
    one = job()
    assert one.use("./aiterfix", {"fail": "false", "sarif": "false", "arguments": "--fault\noutput-rank\n"}) == 0
    assert one.outputs["verdict"] == "clean" and one.used[1:] == []
    one = job()
    assert one.use("./aiterfix", {"targets": "missing"}) == 2 and "does not exist" in one.said


def test_words_of_a_stranger_are_words(job: Callable[..., Job], tmp_path: Path) -> None:
    one = job()
    marker = tmp_path / "marker"
    assert one.use("./aiterfix", {"targets": f'$(touch {marker}); "; touch {marker}; #'}) == 2, one.said
    assert not marker.exists()


needs_triton = pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="needs Triton")


@needs_triton
def test_the_action_validates_kernel_files(job: Callable[..., Job], machine: Machine) -> None:
    machine.with_packages()
    one = job()
    write_sample(one.folder)
    kernel = "aiter/ops/triton/gluon/pa_mqa_logits.py"
    scenario = "--kernel\npreshuffle\n--scenario\npreshuffle/h64-b64/full/n2-len1000-*"
    given = {"arguments": "--fault\noutput-rank", "validate": kernel, "suite": scenario, "sarif": "false"}
    for _ in range(2):
        one = job()
        one.summary.unlink(missing_ok=True)
        assert one.use("./aiterfix", given) == 1, one.said
        assert f"`aiterfix validate --source {kernel}`: did not pass (exit code 1)" in one.summary.read_text()
        (used, cached) = one.used[1]
        assert used == "actions/cache@v4" and list(Path(cached["path"]).rglob("*")), "code objects are kept there"


@needs_triton
def test_the_workflow_for_a_kernel_s_pull_request(job: Callable[..., Job], machine: Machine) -> None:
    machine.with_packages()
    machine.stand_in("pip", 'echo "pip $*"')
    one = job()

    def git(*words: str) -> str:
        identity = ["-c", "user.name=N", "-c", "user.email=n@example.invalid"]
        done = subprocess.run(["git", *identity, *words], cwd=one.folder, check=True, capture_output=True, text=True)
        return done.stdout.strip()

    write_sample(one.folder)
    kernel = one.folder / "aiter/ops/triton/gluon/pa_mqa_logits.py"
    git("init", "--quiet")
    git("add", ".")
    git("commit", "--quiet", "--message", "before")
    base = git("rev-parse", "HEAD")
    kernel.write_text(kernel.read_text() + "\n# a change\n")
    (one.folder / "aiter/other.py").write_text("x = 1\n")
    git("add", ".")
    git("commit", "--quiet", "--message", "after")

    text = workflow("kernel-pull-request.yml")
    steps = text["jobs"]["kernel"]["steps"]
    for _ in range(2):
        one = job(github={"event": {"pull_request": {"base": {"sha": base}}}}, vars={"AITERFIX_REPOSITORY": "o/n"})
        assert one.run(steps) == 1, "the sample has the fault that is asked about"
        changed = one.context["steps"]["changed"]["outputs"]["files"]
        assert changed == "aiter/ops/triton/gluon/pa_mqa_logits.py"
        assert "pip install triton>=3.6" in one.said
        assert "verdict: affected" in one.said
        assert re.search(r"failed: \d+ scenarios", one.said), "the changed file has run"
    assert {u for u, _ in one.used} == {*KNOWN, "./.aiterfix"} - {"github/codeql-action/upload-sarif@v4"}


def test_the_workflow_for_an_image(job: Callable[..., Job], machine: Machine, tmp_path: Path) -> None:
    root = tmp_path / "root"
    (root / "usr").mkdir(parents=True)
    (root / "opt/venv/lib/python3.12/site-packages").mkdir(parents=True)
    write_sample(root / "opt/venv/lib/python3.12/site-packages")
    image = docker_save(tmp_path / "image.tar", [layer(members_of(root))])
    machine.stand_in("docker", f'[ "$1 $2" = "pull rocm/x" ] || {{ [ "$1 $2" = "save rocm/x" ] && cat {image}; }}')
    for _ in range(2):
        one = job(vars={"IMAGE": "rocm/x", "AITERFIX_REPOSITORY": "o/n"})
        assert one.run(workflow("check.yml")["jobs"]["check"]["steps"]) == 1
        assert "verdict: affected" in one.said and "image.tar/opt/venv" in one.said
        assert one.outputs["verdict"] == "affected"


@pytest.mark.parametrize("path", [ROOT / "action.yml", *sorted((ROOT / "examples/github").glob("*.yml"))])
def test_no_version_that_nobody_has_seen(path: Path) -> None:
    used = re.findall(r"uses: (\S+)", path.read_text())
    assert {u for u in used if not u.startswith("./")} <= KNOWN


def test_a_hook_before_a_commit(machine: Machine, tmp_path: Path) -> None:
    (hook,) = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text())
    assert hook["language"] == "python" and not hook["pass_filenames"]
    checkout = tmp_path / "checkout"
    checkout.mkdir()
    write_sample(checkout)
    for name in ("aiter/ops/triton/gluon/pa_mqa_logits.py", "x/fp8_mqa_logits.py"):
        assert re.search(hook["files"], name)
    assert not re.search(hook["files"], "aiter/ops/gemm.py")
    venv = tmp_path / "venv"
    machine.run(["python3", "-m", "venv", str(venv)], {})
    assert machine.run([str(venv / "bin/pip"), "install", str(machine.wheel)], {}).returncode == 0
    for _ in range(2):
        ran = machine.run(["/bin/sh", "-c", f"{venv}/bin/{hook['entry']}"], {}, checkout)
        assert ran.returncode == 1 and "verdict: affected" in ran.stdout
