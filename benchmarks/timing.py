"""Compare whole processes in one run: the machine is noisy, so they take turns and the medians are compared."""

from __future__ import annotations

import os
import statistics
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Command:
    """One contestant.

    Attributes:
        words: the command line.
        cwd: where it runs.
        before: called before each run, not timed.
        status: exit statuses that are right.
    """

    words: Sequence[str | Path]
    cwd: Path | None = None
    before: Callable[[], None] | None = None
    status: tuple[int, ...] = (0,)


def take_turns(commands: Mapping[str, Command], rounds: int) -> dict[str, list[float]]:
    """Milliseconds of wall-clock time of each command, one warm-up round first.

    Raises:
        RuntimeError: a command ended with another status than it should.
    """
    times: dict[str, list[float]] = {name: [] for name in commands}
    # Installers compile what they install: the warm-up round does it here.
    drop = ("AITER", "PYTHONDONTWRITEBYTECODE")
    environment = {k: v for k, v in os.environ.items() if not k.startswith(drop)}
    for round_ in range(rounds + 1):
        for name, command in commands.items():
            if command.before is not None:
                command.before()
            start = time.perf_counter()
            done = subprocess.run(
                [*map(str, command.words)], cwd=command.cwd, env=environment, capture_output=True, check=False
            )
            elapsed = (time.perf_counter() - start) * 1e3
            if done.returncode not in command.status:
                raise RuntimeError(f"{name}: exit status {done.returncode}: {done.stderr.decode()}")
            if round_:
                times[name].append(elapsed)
    return times


def report(times: Mapping[str, list[float]], base: str) -> None:
    """A row a command: median, spread, difference from the base paired round by round, ratio of medians."""
    reference = times[base]
    width = max(map(len, times))
    print(f"{'':{width}}  median ms   min    max   over {base} (paired median)")
    for name, values in times.items():
        over = statistics.median(a - b for a, b in zip(values, reference, strict=True))
        print(
            f"{name:{width}}  {statistics.median(values):8.1f}  {min(values):6.1f} {max(values):6.1f}   {over:+8.1f} ms"
        )
