"""Arguments that say which installation and which kernels, the same for every command."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Iterable, Mapping, Sequence, Sized
from dataclasses import replace
from pathlib import Path

from aiterfix.cli.arguments import add_fixes, add_json, meant, named
from aiterfix.errors import EnvironmentProblem, NotUnderstoodError, UsageError
from aiterfix.family.kernels import GLUON, GROUPS, STAGE1
from aiterfix.faults.diagnosis import TextDiagnosis
from aiterfix.faults.registry import Faults, load_faults
from aiterfix.installation.forms import Form, form_of
from aiterfix.installation.given_path import find_image, find_path
from aiterfix.installation.interpreters import find_python, find_running
from aiterfix.installation.search import merge
from aiterfix.installation.target import Discovery, Installation, Skipped
from aiterfix.installation.view import View
from aiterfix.judge.disk import judge_installation
from aiterfix.judge.judgement import Judgement, Question, bounds_only, everything
from aiterfix.judge.whole import Whole
from aiterfix.storage.record import record

AUTO, ALL = "auto", "all"


@record(frozen=True)
class Target:
    """Where one search for ``aiter`` begins; with neither, at what this Python would import.

    Attributes:
        path: a folder; with ``root`` one of the image, as the image sees it.
        python: another interpreter.
        root: the root file system of an image; without ``path`` all of it is searched.
    """

    path: Path | None = None
    python: Path | None = None
    root: Path | None = None

    @property
    def words(self) -> list[str]:
        """How the command line names it."""
        named = {"--root": self.root, "--path": self.path, "--python": self.python}
        said = {option: str(value) for option, value in named.items() if value is not None}
        # A name that begins with a dash would be taken for an option.
        return [word for o, value in said.items() for word in (o, f"./{value}" if value.startswith("-") else value)]

    def require(self) -> None:
        """Refuse a folder that leads nowhere.

        Raises:
            UsageError: it does not exist.
            EnvironmentProblem: it cannot be looked at.
        """
        if self.root is not None:
            require_path(self.root, "--root")
        elif self.path is not None:
            require_path(self.path)

    @property
    def form(self) -> Form | None:
        """What kind of archive it is; None for anything that is no archive.

        Raises:
            UsageError: one of a kind that is not read.
        """
        place = self.root or self.path
        return None if place is None else form_of(place)

    def discover(self) -> Discovery:
        """Search there.

        Raises:
            UsageError: the path or interpreter named does not exist.
            EnvironmentProblem: the path cannot be looked at.
        """
        self.require()
        if self.root is not None:
            return find_image(self.root, self.path)
        if self.path is not None:
            return find_path(self.path)
        return find_python(self.python) if self.python is not None else find_running()


def add_target(parser: argparse.ArgumentParser, *, several: bool = True) -> None:
    """``--path``, ``--root``, ``--python``, ``--json``, ``--fixes``; see `add_installation`."""
    add_installation(parser, several=several)
    add_fixes(parser)


def add_installation(parser: argparse.ArgumentParser, *, several: bool = True) -> None:
    """``--path``, ``--root``, ``--python``, ``--json``.

    Args:
        several: whether it is about all that are named; a second one is a usage error elsewhere. `targets_of` reads
            either.
    """
    action, more = ("append", "; may be repeated") if several else ("store", "")
    where = parser.add_mutually_exclusive_group()
    where.add_argument(
        "--path",
        type=named,
        action=action,
        metavar="DIR",
        help="a site-packages, a prefix, a checkout, or the aiter folder itself (default: what this Python would "
        "import); a wheel, or an image as a file or OCI layout; with --root, a folder of the image, as the image sees "
        f"it{more}",
    )
    where.add_argument(
        "--python",
        type=named,
        action=action,
        metavar="EXE",
        help=f"another Python interpreter: what it would import{more}",
    )
    parser.add_argument(
        "--root",
        type=named,
        action=action,
        metavar="DIR",
        help="the root file system of an image, or one of its layers, unpacked or mounted, or the image as a file: "
        f"links and paths written in it mean places inside it; all of it is searched, or --path in it{more}",
    )
    add_json(parser)


def targets_of(options: argparse.Namespace) -> tuple[Target, ...]:
    """What the command line names, each once and in its order; one without a name where it names nothing.

    Raises:
        UsageError: ``--root`` goes with something that has no part in an image, or leaves open which image is meant.
    """
    paths, pythons = _several(options.path), _several(options.python)
    roots = tuple(dict.fromkeys(_several(options.root)))
    if roots and pythons:
        raise UsageError(
            "--root goes with no --python: an interpreter of an image is not started",
            remedy="Name the image's site-packages with --path, or leave it out and all of the image is searched.",
        )
    if len(roots) > 1 and paths:
        raise UsageError(
            "--path with more than one --root: which image is meant?", remedy="Give one --root, or leave out --path."
        )
    if paths:
        found = [Target(path=p, root=roots[0] if roots else None) for p in paths]
    else:
        found = [Target(root=r) for r in roots] or [Target(python=p) for p in pythons]
    return tuple(dict.fromkeys(found)) or (Target(),)


def _several(value: Path | Sequence[Path] | None) -> Sequence[Path]:
    if value is None:
        return ()
    return (value,) if isinstance(value, Path) else value


def require_path(path: Path, option: str = "--path") -> None:
    """Refuse a path that leads nowhere.

    Raises:
        UsageError: it does not exist.
        EnvironmentProblem: it cannot be looked at.
    """
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError) as error:
        if path.is_symlink():
            return  # the search says what is wrong with it
        raise UsageError(f"{path} does not exist", remedy=f"Give {option} a folder that exists.") from error
    except (OSError, ValueError) as error:
        raise EnvironmentProblem(
            f"{str(path)[:200]} cannot be looked at", why=getattr(error, "strerror", None) or str(error)
        ) from error


def add_question(parser: argparse.ArgumentParser) -> None:
    """``--fault``, ``--no-fault`` and ``--kernel``."""
    parser.add_argument(
        "--fault",
        dest="faults",
        action="append",
        default=[],
        metavar="ID",
        help="ask about this fault alone; may be repeated (default: every judged one that makes logits wrong)",
    )
    parser.add_argument(
        "--no-fault",
        dest="left_out",
        action="append",
        default=[],
        metavar="ID",
        help="ask about everything that is asked about by default but this fault; may be repeated",
    )
    parser.add_argument(
        "--kernel",
        default=None,
        metavar="|".join((AUTO, *(g.name for g in GROUPS), ALL)),
        help="the question of aiterfix 0.1: store bounds (column-bound) alone, in the kernels of one code path; auto: "
        "the one that callers take on gfx942 and gfx950, that is Gluon where the release has it",
    )


def known_faults(options: argparse.Namespace) -> Faults:
    """The package's faults and those of ``--fixes``.

    Raises:
        UsageError: ``--kernel``, ``--fault`` or ``--no-fault`` names nothing that is known, they contradict one
            another, or nothing is left to ask about; said whether or not aiter is installed.
    """
    known = load_faults(extra=options.fixes)
    names = (AUTO, *(g.name for g in known.groups), ALL)
    kernel = getattr(options, "kernel", None)
    if isinstance(kernel, str) and kernel not in names:
        raise UsageError(f"no kernels are known by the name {kernel!r}", remedy=f"Use one of: {', '.join(names)}.")
    asked, left_out = getattr(options, "faults", ()), getattr(options, "left_out", ())
    for option, ids in (("--fault", asked), ("--no-fault", left_out)):
        if ids and kernel is not None:
            raise UsageError(
                f"{option} does not go with --kernel, which asks about column-bound alone", remedy="Drop one."
            )
    if asked and left_out:
        raise UsageError(
            "--fault does not go with --no-fault: one names all that is asked about, the other what is not",
            remedy="Drop one.",
        )
    for fault in (*asked, *left_out):
        if fault in {f.id for f in known.not_judged}:
            raise UsageError(f"{fault} is a known fault that this version does not judge yet")
        _require_judged(fault, known)
    if left_out and not known.deciding - set(left_out):
        raise UsageError("--no-fault leaves nothing to ask about", remedy="Name fewer faults.")
    for one in getattr(options, "ignored", ()):
        _require_judged(one.fault, known, f" ({one.by})")
    return known


def _require_judged(fault: str, known: Faults, where: str = "") -> None:
    ids = [f.id for f in known.judged]
    if fault not in ids:
        raise UsageError(
            f"no fault is known by the name {fault!r}{where}",
            remedy=f"{meant(fault, ids)}Use one of: {', '.join(ids)}.",
        )


def _question(options: argparse.Namespace, known: Faults, judgement: Judgement) -> Question:
    """What the command line asks about, less what is to be ignored.

    Raises:
        UsageError: that leaves nothing.
    """
    question, ignored = _stated(options, known, judgement), getattr(options, "ignored", ())
    if not ignored:
        return question
    ids = {i.fault for i in ignored}
    deciding = judgement.asking(question).deciding
    if not question.faults - ids:
        raise UsageError("everything that is asked about is ignored", remedy="Ignore fewer faults.")
    return replace(
        question,
        faults=question.faults - ids,
        left_out=question.left_out | ids,
        ignored=tuple(replace(i, asked=i.fault in deciding) for i in ignored),
    )


def _stated(options: argparse.Namespace, known: Faults, judgement: Judgement) -> Question:
    """What the command line asks about."""
    kernel = getattr(options, "kernel", None)
    if kernel == AUTO:
        # A release has the Gluon kernels or has them not.
        there = {
            u.group
            for t in judgement.texts
            for u in t.diagnosis.units
            if u.stores or not u.presence(known.deciding).harmless
        }
        return bounds_only(known, {g.name for g in known.groups} - ({STAGE1.name} if GLUON.name in there else set()))
    if isinstance(kernel, str):
        return bounds_only(known, None if kernel == ALL else (kernel,))
    asked = getattr(options, "faults", ())
    return Question(frozenset(asked)) if asked else everything(known, getattr(options, "left_out", ()))


def discover_each(options: argparse.Namespace) -> tuple[Discovery, ...]:
    """What each target holds, in `targets_of`'s order.

    Raises:
        UsageError: a path or interpreter named does not exist.
    """
    return tuple(target.discover() for target in targets_of(options))


def merged(options: argparse.Namespace, found: Sequence[Discovery]) -> Discovery:
    """What all targets hold, as one answer that names those which hold nothing.

    Args:
        found: from `discover_each`.
    """
    if len(found) == 1:
        return found[0]
    whole = merge(found)
    empty = [
        Skipped(target.root or Path(target.words[-1]), f"no aiter is installed there{_inside(target)}", False)
        for target, one in zip(targets_of(options), found, strict=True)
        if not one.installations and not one.doubts
    ]
    return replace(whole, skipped=(*whole.skipped, *empty))


def _inside(target: Target) -> str:
    return f", in {target.path}" if target.root is not None and target.path is not None else ""


def refuse_archives(options: argparse.Namespace, *forms: Form, remedy: str) -> None:
    """Refuse to write to an archive.

    Raises:
        UsageError: one of these forms is named.
    """
    for target in targets_of(options):
        if target.form in forms:
            raise UsageError(f"{target.root or target.path} is read and never written to", remedy=remedy)


def discover(options: argparse.Namespace) -> Discovery:
    """What all targets hold, as one answer. Where several are named, each must hold something: a command that acts
    on all of them must not pass over one in silence.

    Raises:
        UsageError: a path or interpreter named does not exist.
        EnvironmentProblem, NotUnderstoodError: one of several holds nothing, see `require_found`.
    """
    found = discover_each(options)
    if len(found) == 1:
        return found[0]
    for one in found:
        require_found(one, one.installations)
    return merged(options, found)


def judge(
    installation: Installation,
    known: Faults,
    options: argparse.Namespace,
    diagnosed: Mapping[str, TextDiagnosis] | None = None,
) -> Judgement:
    """Judge one installation by what the command line asks; ``diagnosed`` as in `judge_installation`. Findings are
    there where the output may show them."""
    in_full = any(getattr(options, name, False) for name in ("json", "in_full"))
    judgement = judge_installation(installation, known, diagnosed=diagnosed, in_full=in_full)
    return judgement.asking(_question(options, known, judgement))


def judge_all(options: argparse.Namespace, discoveries: Sequence[Discovery] | None = None) -> Whole:
    """Find, and judge everything found: what is on disk.

    Args:
        discoveries: what each target holds; found here by default, and then each target must hold something.
    """
    known = known_faults(options)
    found = discover(options) if discoveries is None else merged(options, discoveries)
    judged = {_place(i): judge(i, known, options) for i in found.installations}

    def whole(discovery: Discovery) -> Whole:
        # An installation may be shadowed by another for one target and not for the next.
        on_disk = tuple(replace(judged[_place(i)], installation=i) for i in discovery.installations)
        return Whole(discovery, on_disk, on_disk)

    answer = whole(found)
    return replace(answer, parts=tuple(map(whole, discoveries))) if discoveries and len(discoveries) > 1 else answer


def _place(installation: Installation) -> str:
    return View(installation.image_root).real(installation.package)


def require_found(discovery: Discovery, found: Sized) -> None:
    """Refuse to go on with nothing.

    Raises:
        NotUnderstoodError: something that may be aiter could not be read.
        EnvironmentProblem: there is none.
    """
    if found:
        return
    searched = "searched: " + ", ".join(str(p) for p in discovery.searched)
    if discovery.doubts:
        first = discovery.doubts[0]
        raise NotUnderstoodError(
            f"no aiter could be read: {first.path}: {first.reason}",
            why=searched,
            remedy="Name the package folder with --path DIR.",
        )
    raise EnvironmentProblem(
        "no aiter is installed here",
        why=searched,
        remedy="Name the installation with --path DIR or --python EXE.",
    )


def target_words(options: argparse.Namespace) -> list[str]:
    """How the command line named the installation and fixes, for advice that repeats it."""
    words: list[str] = []
    for target in targets_of(options):
        said = target.words
        # One image is named once, whatever is asked about in it.
        words += said[2:] if target.root is not None and target.path is not None and words else said
    return [*words, *fixes_words(options)]


def fixes_words(options: argparse.Namespace) -> list[str]:
    """How it named fault files of others; not every command takes them."""
    return [word for fixes in getattr(options, "fixes", ()) for word in ("--fixes", str(fixes))]


def repeat_question(options: argparse.Namespace) -> str:
    """What the command line asks about, as text to be put behind a command's name."""
    kernel = getattr(options, "kernel", None)
    words = ["--kernel", kernel] if isinstance(kernel, str) else []
    for option, ids in (("--fault", options.faults), ("--no-fault", options.left_out)):
        words += [word for fault in ids for word in (option, fault)]
    return repeated(words)


def repeat_target(options: argparse.Namespace) -> str:
    """The same of `target_words`."""
    return repeated(target_words(options))


def repeated(words: Iterable[str]) -> str:
    """Words of a command line as text, to be put behind a command's name."""
    return "".join(f" {shlex.quote(word)}" for word in words)
