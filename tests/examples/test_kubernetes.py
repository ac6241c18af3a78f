"""The manifests: the shell of every container, twice, with folders in the place of volumes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from aiterfix.demo import write_sample
from tests import environments
from tests.cli.conftest import contents
from tests.examples.conftest import ROOT, Machine
from tests.trees import write

STUB = """\
import sys, types

class Module(types.ModuleType):
    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return lambda *given, **named: given[0] if given else None

for name in ("language", "experimental", "experimental.gluon", "experimental.gluon.language"):
    made = sys.modules["triton." + name] = Module("triton." + name)
    parent, _, last = ("triton." + name).rpartition(".")
    setattr(sys.modules[parent], last, made)
jit = lambda function: function
"""
"""A Triton that compiles nothing: the image's own is not here."""
SERVER = """\
import sys, inspect, aiterfix, aiter.ops.triton.gluon.pa_mqa_logits as kernels
state = aiterfix.status()
print('served', *sys.argv[1:], end=': ')
print('mode=' + state.mode.value, 'standing=' + str(state.standing))
for module in state.modules: print(module.module, module.state.value)
"""
"""In the place of vLLM: it loads the kernels and says what it has loaded."""
pytestmark = pytest.mark.slow
EXAMPLES = ROOT / "examples/kubernetes"


def manifest(name: str) -> Any:
    return yaml.safe_load((EXAMPLES / name).read_text())


def environment(container: dict[str, Any], places: dict[str, str]) -> dict[str, str]:
    return {e["name"]: places.get(e["name"], e["value"]) for e in container["env"]}


@pytest.fixture
def python(machine: Machine, tmp_path: Path, pip_template: Path) -> Path:
    """The Python of an image; its environment's folder."""
    venv = tmp_path / "venv"
    site = environments.make(venv, pip_template)
    machine.environment["PATH"] = f"{venv / 'bin'}:{machine.environment['PATH']}"
    write_sample(site)
    return site


def test_a_job_that_judges_an_image(machine: Machine, python: Path, tmp_path: Path) -> None:
    spec = manifest("check-job.yaml")["spec"]["template"]["spec"]
    (container,), (volume,) = spec["containers"], spec["volumes"]
    (mount,) = container["volumeMounts"]
    places = {"AITERFIX_SOURCE": str(machine.wheel), "IMAGE_ROOT": str(tmp_path / "image")}
    assert environment(container, {})["IMAGE_ROOT"] == mount["mountPath"] and mount["name"] == volume["name"]
    assert mount["readOnly"] and spec["restartPolicy"] == "Never"
    root = tmp_path / "image"
    site = root / "opt/venv/lib/python3.12/site-packages"
    site.mkdir(parents=True)
    (root / "usr").mkdir()
    (root / "etc").mkdir()
    write_sample(site)
    before = contents(root)
    for _ in range(2):
        ran = machine.run([*container["command"], *container["args"]], environment(container, places))
        assert ran.returncode == 1 and "verdict: affected" in ran.stdout, ran.stdout
        assert contents(root) == before
    for path in site.rglob("pa_mqa_logits.py"):
        path.write_text("")
    ran = machine.run([*container["command"], *container["args"]], environment(container, places))
    assert ran.returncode == 0 and "verdict: clean" in ran.stdout


def test_an_init_container_for_an_image_that_stays(machine: Machine, python: Path, tmp_path: Path) -> None:
    spec = manifest("init-container.yaml")["spec"]["template"]["spec"]
    (init,), (server,), (volume,) = spec["initContainers"], spec["containers"], spec["volumes"]
    assert init["image"] == server["image"] and "emptyDir" in volume
    for container in (init, server):
        (mount,) = container["volumeMounts"]
        assert mount["mountPath"] == environment(container, {})["PYTHONPATH"] and mount["name"] == volume["name"]
    shared = tmp_path / "volume"
    shared.mkdir()
    places = {"AITERFIX_SOURCE": str(machine.wheel), "PYTHONPATH": str(shared)}
    write(python / "triton/__init__.py", STUB)
    before = contents(python)
    machine.stand_in("vllm", f'exec python3 -c "{SERVER}" "$@"')
    for _ in range(2):
        ran = machine.run([*init["command"], *init["args"]], environment(init, places))
        assert ran.returncode == 0 and "aiterfix " in ran.stdout, ran.stdout
        assert {"aiterfix"} <= {p.name for p in shared.iterdir()}
        more = {**environment(server, places), "MODEL": "model"}
        ran = machine.run([*server["command"], *server["args"]], more)
        assert ran.returncode == 0, ran.stdout
        assert "served serve model: mode=require standing=True" in ran.stdout, ran.stdout
        assert "aiter.ops.triton.gluon.pa_mqa_logits patched" in ran.stdout, ran.stdout
    after = {n: d for n, d in contents(python).items() if "__pycache__" not in n}
    assert after == {n: d for n, d in before.items() if "__pycache__" not in n}, "the image stays as it is"
