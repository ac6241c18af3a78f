"""The child process: loads the subject, and runs one scenario after another until it is told no more.

It alone touches the GPU. What it or the libraries print goes to its standard output, which the parent keeps for the
last words of a child that dies; messages have a pipe of their own.
"""

from __future__ import annotations

import os
import sys
from typing import Any, BinaryIO

from aiterfix.errors import AiterfixError, EnvironmentProblem
from aiterfix.validation.child import receive, send
from aiterfix.validation.gpu.devices import probe
from aiterfix.validation.gpu.messages import Raised, Ready, Setup
from aiterfix.validation.gpu.runner import LAUNCHES, Runner
from aiterfix.validation.report import ScenarioResult


def main(replies_to: int) -> None:
    """Serve the parent: requests on standard input, replies on this descriptor."""
    with os.fdopen(replies_to, "wb") as replies:
        requests = sys.stdin.buffer
        try:
            setup = receive(requests)
        except EOFError:
            return
        assert isinstance(setup, Setup)
        runner = _set_up(setup, replies)
        while runner is not None:
            try:
                scenario = receive(requests)
            except EOFError:
                return
            send(replies, _run(runner, scenario))


def _set_up(setup: Setup, replies: BinaryIO) -> Runner | None:
    try:
        torch = _torch()
        hardware = probe(setup.device, torch)
        if setup.subject is None:
            send(replies, Ready(hardware))
            return None
        loaded = setup.subject.load()
    except AiterfixError as error:
        send(replies, error)
        return None
    except Exception as error:  # noqa: BLE001 - whatever an import does is a reason to give, not one to die of
        send(replies, EnvironmentProblem("what was to be validated could not be loaded", why=_words(error)))
        return None
    send(replies, Ready(hardware, loaded.what, loaded.source, loaded.notes))
    # On a CPU programs run one after another: nothing races.
    launches = 1 if setup.device == "cpu" else LAUNCHES
    return Runner(loaded.launch, hardware, setup.device, torch, launches)


def _run(runner: Runner, scenario: Any) -> ScenarioResult | AiterfixError | Raised:
    try:
        return runner.run(scenario)
    except AiterfixError as error:
        return error
    except Exception as error:  # noqa: BLE001 - a launch may raise anything; the parent reports it as this scenario's
        return Raised(_words(error), usable=_usable(runner))


def _usable(runner: Runner) -> bool:
    """Whether the device still answers; after a memory fault CUDA refuses everything."""
    if runner.device == "cpu":
        return True
    try:
        runner.torch.cuda.synchronize()
        return bool(runner.torch.ones(1, device=runner.device).item() == 1)
    except Exception:  # noqa: BLE001 - any refusal means that it is not
        return False


def _torch() -> Any:
    try:
        import torch
    except ImportError as missing:
        raise EnvironmentProblem(
            f"{sys.executable} has no torch: no kernel can be run on a GPU",
            why=str(missing),
            remedy="use an interpreter with the torch that belongs to this machine's GPU (--python), or the emulator",
        ) from missing
    # The reference is float32 throughout; TF32 would round its inputs to 10 bits.
    torch.set_float32_matmul_precision("highest")
    return torch


def _words(error: BaseException) -> str:
    lines = [line for line in str(error).splitlines() if line.strip()] or [""]
    return f"{type(error).__name__}: {lines[0]}"[:500]
