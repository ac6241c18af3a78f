"""Commands that go on from what a command line names, to be copied: each of them works on that kind of target."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiterfix.patching.annotations import noted_faults, noted_version
from aiterfix.storage.record import record

if TYPE_CHECKING:
    from aiterfix.patching.status import PatchStatus


def dockerfile_line(question: str = "") -> str:
    """What mends and checks ``aiter`` where an image is built, as in `examples/Dockerfile`.

    Args:
        question: which faults are asked about, as options.
    """
    return f'RUN pip install "$AITERFIX_SOURCE" && aiterfix apply --require{question} && aiterfix check{question}'


@record(frozen=True)
class Place:
    """A target that the command line names.

    Attributes:
        arguments: how it is named, by itself.
        image: what to call it, where it is an image to which nothing is written; empty for anything else.
        instead: what is done where `apply` would refuse, a sentence; empty where it would not.
        output: an option that `apply` needs there.
        alone: whether `apply` takes no other target with it, and `revert` not even this.
        open: whether something can be mended there.
    """

    arguments: str = ""
    image: str = ""
    instead: str = ""
    output: str = ""
    alone: bool = False
    open: bool = True

    @property
    def written(self) -> bool:
        """Whether `apply` writes there, or beside it."""
        return not self.image and not self.instead

    def mend(self, question: str, *, name: str = "it") -> str:
        """What takes faults out there."""
        if self.image:
            return f"build {name} anew with, in its Dockerfile: {dockerfile_line(question)}"
        return self.instead or f"aiterfix apply{self.arguments}{question}{self.output}"


@record(frozen=True)
class Steps:
    """What can be done with everything that the command line names.

    Attributes:
        arguments: how it named the installations, and fault files of others.
        fixes: how it named the latter.
        question: how it named the faults that it asks about.
        places: the targets that hold an installation.
    """

    arguments: str = ""
    fixes: str = ""
    question: str = ""
    places: tuple[Place, ...] = (Place(),)

    @property
    def written(self) -> bool:
        """Whether `apply` is what mends."""
        return all(p.written for p in self._open)

    @property
    def _open(self) -> tuple[Place, ...]:
        return tuple(p for p in self.places if p.open) or self.places

    def apply(self, question: str | None = None) -> str:
        """What takes faults out: `apply` where it can write, else what can be done.

        Args:
            question: which faults; as the command line named them by default.
        """
        asked, places = self.fixes + (self.question if question is None else question), self._open
        if len(places) == 1:
            return places[0].mend(asked)
        if all(p.written and not p.alone for p in places):
            return f"aiterfix apply{''.join(p.arguments for p in places)}{asked}"
        return "; ".join(dict.fromkeys(p.mend(asked, name=p.image) for p in places))

    def makes(self, outcome: str) -> str:
        """That `apply` has an outcome, such as ``makes every length safe``; any fault counts."""
        return f"{self.apply('')}{'' if self.written else ': that'} {outcome}"

    def restart(self) -> str:
        """What a server that runs now needs: `apply`, and another start."""
        return f"{self.apply('')}, then start the server again" if self.written else self.apply("")

    def undo(self, patch: PatchStatus | None) -> str:
        """One line on what aiterfix itself has done to an installation; empty for nothing."""
        if patch is None or patch.kind.value == "none":
            return ""
        trees = [p.arguments for p in self.places if p.written and not p.alone]
        ways = [f"`aiterfix {command}{''.join(trees)}{self.fixes}`" for command in ("apply", "revert")] if trees else []
        if patch.kind.value == "applied":
            applied = noted_version(patch.annotations)
            asked = ", ".join(noted_faults(patch.annotations))
            by = f"by aiterfix {applied}" if applied else "by aiterfix"
            by += f", asked to mend {asked}" if asked else ""
            return f"patched on disk {by}; originals in {patch.state_dir}{f'; undo with {ways[1]}' if ways else ''}"
        if patch.kind.value == "interrupted":
            either = f" (run {' or '.join(ways)})" if ways else ""
            return f"an interrupted run left something behind: {patch.detail}{either}"
        return f"{patch.kind.value}: {patch.detail}"
