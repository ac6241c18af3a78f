"""The live guard: looks at what the wrapper's public functions are handed, and says which faults a launch meets.

Imported only where a fault is left in what the functions launch, or launches are to be recorded. A call is looked up by
shapes, strides, types and flags, which the host knows: nothing is allocated or waited for on a device, so it may be
captured in a graph. Only a new combination is judged.
"""

from __future__ import annotations

import contextlib
import functools
import gc
import inspect
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any, NoReturn

from aiterfix.errors import AiterfixError, ExitCode
from aiterfix.family.handed import facts_of, kernels_of, key_of
from aiterfix.family.kernels import ENTRIES, ENTRY, GROUPS
from aiterfix.family.own_kernel import in_place
from aiterfix.faults.base import Reach
from aiterfix.importing import ledger, log, seen, settings
from aiterfix.importing.decision import KEEP_PADDING
from aiterfix.importing.holders import hidden, rebind, types_of_holders
from aiterfix.importing.seen import Action
from aiterfix.judge.judgement import COLUMN_BOUND, LaunchFacts
from aiterfix.judge.launched import (
    FaultOfLaunch,
    Launch,
    Launchables,
    LaunchJudgement,
    Outcome,
    judge_launch,
    launchables,
)
from aiterfix.judge.process import judge_process, loaded_kernels, other_modules, prebuilt_variable

_MARK = "watched_by_aiterfix"
_NEW: Any = object()
_OUTPUTS = ("out_logits", "out_qk")
_KERNELS = tuple(k.name for g in GROUPS for k in g.kernels)
_MODULES = tuple(dict.fromkeys(name for g in GROUPS for name in (*g.modules, *g.wrappers)))
_DONE = {
    Action.LAUNCHED: "It was launched all the same",
    Action.OWN_KERNEL: f"This project's kernel, measured on no AMD GPU, takes it: {settings.KERNEL_VARIABLE}=guard",
    Action.REFUSED: "It was not launched",
}


class FaultyLaunchError(AiterfixError):
    """``AITERFIX=require``, and a launch meets a fault, or what it comes to is not understood."""

    exit_code = ExitCode.ACTION
    code = "faulty-launch"


def stand(wrapper: ModuleType, *, late: bool = False) -> bool:
    """Watch the public functions of a wrapper that may meet a fault, or all where launches are recorded, wherever they
    have been taken by name.

    Args:
        wrapper: executed already.
        late: whether others may have taken its functions before.

    Returns:
        whether one is watched.
    """
    _forget()  # other kernels may have taken the place of those that were judged
    watched = False
    for name in ENTRIES:
        theirs = wrapper.__dict__.get(name)
        if not callable(theirs) or in_place(wrapper, name):
            continue
        if not hasattr(theirs, _MARK):
            if not (settings.record_file() or _may_meet_a_fault(name)):
                continue
            _watch(wrapper, name, theirs, late=late)
        watched = True
    return watched


def _may_meet_a_fault(name: str) -> bool:
    there = _launchables()
    names = kernels_of(name, {}, "")
    kernels = [k for k in there.kernels if k.name in names]
    faults = [p for k in kernels for f, p in k.presence if f in there.deciding]
    return there.prebuilt or bool(there.doubts_about(kernels)) or not all(p.harmless for p in faults)


def _watch(wrapper: ModuleType, name: str, theirs: Callable[..., Any], *, late: bool) -> None:
    watch = _Watch(wrapper.__name__, name, theirs)
    watch.hidden = late and hidden(wrapper.__dict__, [theirs])
    rebind([(theirs, watch.function)])
    seen.watching(f"{wrapper.__name__}.{name}", _unwatched)


def _unwatched() -> tuple[str, ...]:
    """What calls the watched functions, or copies of them, past the guard, as far as the garbage collector shows it: a
    module executed again under another name, or what still holds a function that another has taken the place of."""
    names = {watch.name for watch in _watches}
    kernels = [k for _, _, k in loaded_kernels(other_modules()).objects]
    namespaces = {id(held): held for m in _MODULES if (held := getattr(sys.modules.get(m), "__dict__", None))}
    for held in gc.get_referrers(*kernels):
        if isinstance(held, dict) and not names.isdisjoint(held):
            namespaces[id(held)] = held
    del kernels
    found: dict[str, None] = {}
    for held in namespaces.values():
        for name in names.intersection(held):
            if isinstance(held[name], FunctionType) and not (hasattr(held[name], _MARK) or _is_ours(held, name)):
                found[f"{held.get('__name__', '?')}.{name}, executed past the hook"] = None
    functions = [f for f in gc.get_referrers(*namespaces.values()) if isinstance(f, FunctionType)]
    for f in functions:
        if f.__name__ not in names or hasattr(f, _MARK) or f.__globals__.get(f.__name__) is f:
            continue
        if holders := types_of_holders(f, [id(functions), *_parts_around(f)]):
            found[f"{f.__module__}.{f.__name__}, held by {', '.join(sorted(holders))}"] = None
    for watch in _watches:
        if watch.hidden:
            found[f"{watch.module}.{watch.name}, held by what `gc.freeze()` hides, if anything"] = None
    return tuple(found)


def _is_ours(namespace: Mapping[str, Any], name: str) -> bool:
    module = sys.modules.get(str(namespace.get("__name__")))
    return module is not None and module.__dict__ is namespace and in_place(module, name)


def _parts_around(theirs: Callable[..., Any]) -> Iterator[int]:
    """Ids of what refers to a function because it is watched."""
    for watch in _watches:
        ours = watch.function
        if getattr(ours, "__wrapped__", None) is theirs:
            yield from map(id, (vars(ours), ours.__globals__, watch.chosen))


class _Watch:
    """One function, watched.

    Attributes:
        function: what takes its place.
        chosen: what takes calls of each combination: the function, this project's, or one that raises.
        hidden: whether `gc.freeze()` had put aside what held it before, if anything did.
    """

    def __init__(self, module: str, name: str, theirs: Callable[..., Any]) -> None:
        self.module = module
        self.name = name
        self._signature = inspect.signature(theirs)
        self._key = _made(self._signature, _KEY, {})
        self.chosen: dict[Any, Callable[..., Any]] = {}
        self.hidden = False
        self.function = self._around(theirs)
        _watches.append(self)

    def _around(self, theirs: Callable[..., Any]) -> Callable[..., Any]:
        given = {"traced": _traced(), "theirs": theirs, "look_up": self.chosen.get, "decide": self._decide, "new": _NEW}
        watched = functools.wraps(theirs)(_made(self._signature, _WATCHED, given))
        setattr(watched, _MARK, self)
        return watched

    def forget(self) -> None:
        """Judge every combination anew: another mode is in force, or other kernels are."""
        self.chosen.clear()

    def _decide(
        self, arguments: tuple[Any, ...], named: Mapping[str, Any], theirs: Callable[..., Any]
    ) -> Callable[..., Any]:
        """What takes a call of a new combination: the function itself, this project's, or one that raises."""
        try:
            bound = self._signature.bind(*arguments, **named)
            judgement = self._judge(bound.arguments)
            action, chosen = self._choice(judgement, theirs)
        except Exception as error:  # noqa: BLE001 - the host's call must go on
            return self._failed(error, theirs)
        try:
            self._note(judgement, action)
            self._keep(arguments, named, chosen)
        except Exception as error:  # noqa: BLE001 - as above; what was decided stands
            self._say_failure(error)
        return chosen

    def _judge(self, handed: Mapping[str, Any]) -> LaunchJudgement:
        output = next((handed[name] for name in _OUTPUTS if name in handed), None)
        launch = Launch(self.name, LaunchFacts(**facts_of(self.name, handed)), _gpu(output))
        return judge_launch(_launchables(), launch)

    def _choice(self, judgement: LaunchJudgement, theirs: Callable[..., Any]) -> tuple[Action, Callable[..., Any]]:
        outcome = judgement.outcome
        if outcome is Outcome.NOT_REACHED:
            return Action.LAUNCHED, theirs
        # What no kernel can carry out ours refuses by an exception.
        ours = self._own(theirs) if not judgement.remedy else None
        if ours is not None:
            return Action.OWN_KERNEL, ours
        if ledger.strict() and outcome in (Outcome.REACHED, Outcome.UNKNOWN):
            return Action.REFUSED, self._refusing(judgement)
        return Action.LAUNCHED, theirs

    def _own(self, theirs: Callable[..., Any]) -> Callable[..., Any] | None:
        """This project's function, where it is to take launches that are not shown to be right, and can."""
        if self.name != ENTRY or not ledger.guard_kernel():
            return None
        from aiterfix.importing import substitute

        try:
            return substitute.own_function(self.name, theirs)
        except Exception as error:  # noqa: BLE001 - it may lack anything; the fault is then met, and said
            reason = error.what if isinstance(error, AiterfixError) else f"{type(error).__name__}: {error}"
            self._warn(
                "own kernel",
                f"{settings.KERNEL_VARIABLE}=guard cannot be carried out for {self.module}.{self.name}: {reason}",
            )
            return None

    def _refusing(self, judgement: LaunchJudgement) -> Callable[..., Any]:
        what = f"{self.module}.{self.name} was not launched, as {settings.MODE_VARIABLE}=require forbids"
        why, remedy = self._why(judgement), self._remedy(judgement)

        def refuse(*_: Any, **__: Any) -> NoReturn:
            raise FaultyLaunchError(what, why=why, remedy=remedy)

        return refuse

    def _why(self, judgement: LaunchJudgement) -> str:
        met = "; ".join(f"it meets {f.fault}: {f.told}" for f in judgement.met(Reach.REACHED))
        reason = judgement.reason or "; ".join(f"{f.fault} may be there: {f.told}" for f in judgement.not_understood)
        return f"{met or reason}. {_facts(judgement)}"

    def _remedy(self, judgement: LaunchJudgement) -> str:
        if judgement.remedy:
            return judgement.remedy
        known = _launchables().known
        ids = [f.fault for f in judgement.faults if f.decides and f.reach is not Reach.NOT_REACHED]
        said = [known.get(f).remedy for f in ids if known.get(f).remedy]
        if not said:
            said = ["Patch the files with `aiterfix apply`, or have the hook stand before aiter is imported"]
            if self.name == ENTRY:
                said.append(f"{settings.KERNEL_VARIABLE}=guard has this project's kernel take such launches")
        if COLUMN_BOUND in ids:
            said.append(KEEP_PADDING)
        return ". ".join(dict.fromkeys(said)) + "."

    def _note(self, judgement: LaunchJudgement, action: Action) -> None:
        new = seen.note(self.module, judgement, action)
        file = settings.record_file()
        if new and file:
            self._record(Path(file), judgement)
        self._say(judgement, action)

    def _record(self, file: Path, judgement: LaunchJudgement) -> None:
        from aiterfix.judge.launch_list import RecordedLaunch, line_of
        from aiterfix.storage.append import append_line

        by = tuple(f.fault for f in judgement.faults if f.decides and f.reach is not Reach.NOT_REACHED)
        try:
            append_line(file, line_of(RecordedLaunch(1, self.module, judgement.launch, judgement.outcome, by)))
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            self._warn(f"record {file}", f"not recorded, as {settings.RECORD_VARIABLE} asks: {file}: {reason}")

    def _say(self, judgement: LaunchJudgement, action: Action) -> None:
        function = f"{self.module}.{self.name}"
        rest = f"{_DONE[action]}. What to do: {self._remedy(judgement)}"
        if judgement.outcome is Outcome.UNKNOWN:
            why = self._why(judgement)
            self._warn("unknown", f"what a launch of {function} comes to is not understood: {why} {rest}")
        for fault in (*judgement.met(Reach.REACHED), *judgement.met(Reach.DEPENDS)):
            said = f"a launch of {function} {_meets(fault)}. {_facts(judgement)} {rest}"
            self._warn(f"{fault.fault} {fault.reach.value}", said)

    def _warn(self, about: str, message: str) -> None:
        """Say something once. Cannot fail: the host's call goes on."""
        try:
            if ledger.once(f"launch {self.module} {self.name} {about}"):
                log.emit(log.WARNING, message)
        except Exception as error:  # noqa: BLE001 - see above
            ledger.last_resort(self.module, error)

    def _keep(self, arguments: tuple[Any, ...], named: Mapping[str, Any], chosen: Callable[..., Any]) -> None:
        key = self._key(*arguments, **named)
        if not all(_exact(part) for part in key):
            return
        if len(self.chosen) >= seen.MOST:
            self.chosen.clear()
        with contextlib.suppress(TypeError):  # sizes that are no numbers, while something traces
            self.chosen[key] = chosen

    def _failed(self, error: Exception, theirs: Callable[..., Any]) -> Callable[..., Any]:
        """A failure of the guard itself: as if it were not there, unless something safe was asked for."""
        if ours := self._own(theirs):
            return ours
        if ledger.strict():
            raise FaultyLaunchError(
                f"{self.module}.{self.name} was not launched: the guard failed, and {settings.MODE_VARIABLE}=require "
                "forbids to go on without it",
                why=f"{type(error).__name__}: {error}",
                remedy="Report this to the aiterfix project.",
            ) from error
        self._say_failure(error)
        return theirs

    def _say_failure(self, error: Exception) -> None:
        said = f"{type(error).__name__}: {error}"
        self._warn(type(error).__name__, f"a launch of {self.module}.{self.name} was not judged: {said}")


_watches: list[_Watch] = []


def _forget() -> None:
    for watch in list(_watches):
        watch.forget()


ledger.on_change(_forget)


_KEY = """\
def made({taken}):
    return ({key})
"""
_WATCHED = """\
def made({taken}):
    if {0}traced() is True:
        return {0}theirs({handed_on})
    try:
        {0}chosen = {0}look_up(({key}), {0}new)
    except Exception:  # what the function does not take, it says itself
        {0}chosen = {0}new
    if {0}chosen is {0}new:
        {0}chosen = {0}decide(*{0}all({handed_on}), {0}theirs)
    return {0}chosen({handed_on})
"""
_FORMS: dict[int, str] = {
    inspect.Parameter.VAR_POSITIONAL: "*{0}",
    inspect.Parameter.VAR_KEYWORD: "**{0}",
    inspect.Parameter.KEYWORD_ONLY: "{0}={0}",
}
"""How parameters are handed on, where not by name alone."""
_OURS = "aiterfix_"
"""What no parameter's name begins with."""


def _made(signature: inspect.Signature, text: str, given: Mapping[str, object]) -> Callable[..., Any]:
    """A function of the same parameters. Python binds them once, by name, which is the quickest way to.

    Args:
        text: its definition, where names of ours, the parameters, what hands them on and the parts of the key go in.
        given: what it uses, by the names behind ours.
    """
    parameters, handed_on = [], []
    names: dict[str, Any] = {f"{_OURS}{name}": value for name, value in given.items()}
    names[f"{_OURS}all"] = lambda *arguments, **named: (arguments, named)
    for place, p in enumerate(signature.parameters.values()):
        names[f"{_OURS}{place}"] = p.default
        named = p.empty if p.default is p.empty else _Name(f"{_OURS}{place}")
        parameters.append(p.replace(annotation=p.empty, default=named))  # annotations mean nothing here
        handed_on.append(_FORMS.get(p.kind, "{0}").format(p.name))
    taken = str(signature.replace(parameters=parameters, return_annotation=signature.empty))[1:-1]
    key = "".join(f"{part}, " for name in signature.parameters for part in key_of(name))
    exec(text.format(_OURS, taken=taken, handed_on=", ".join(handed_on), key=key), names)
    made: Callable[..., Any] = names.pop("made")
    return made


def _exact(part: Any) -> bool:
    """Whether a part of a key may be kept: it is no tensor, and equal to nothing of another type, of which less may be
    known, as numbers of numpy's and 1000.0 are."""
    if isinstance(part, tuple):
        return all(_exact(p) for p in part)
    return type(part) in (int, bool) or not (hasattr(part, "__add__") or hasattr(part, "__and__"))


class _Name:
    """A default that stands in a text as a name."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __repr__(self) -> str:
        return self._name


def _never() -> bool:
    return False


def _traced() -> Callable[[], bool]:
    """What says whether dynamo traces the call: it must find the function alone then, since it cannot follow the rest.
    Known only where the wrapper has imported torch, without which nothing is traced."""
    compiler = getattr(sys.modules.get("torch"), "compiler", None)
    found = getattr(compiler, "is_dynamo_compiling", None) or getattr(compiler, "is_compiling", None)
    return found if found is not None else _never


def _gpu(tensor: Any) -> str:
    """Architecture of the GPU that a tensor is on, as torch knows it already; empty where it is on none."""
    device, torch = getattr(tensor, "device", None), sys.modules.get("torch")
    if torch is None or getattr(device, "type", "") != "cuda":
        return ""
    try:
        found = torch.cuda.get_device_properties(device)
        if torch.version.hip:
            return str(found.gcnArchName).partition(":")[0]
        return f"sm_{found.major}{found.minor}"
    except Exception:  # noqa: BLE001 - one fact less
        return ""


_there: list[tuple[tuple[object, ...], Launchables]] = []


def _launchables() -> Launchables:
    """What this process has loaded, judged; anew where other kernels have taken their place."""
    state = (prebuilt_variable(), *_identities())
    if _there and _there[0][0] == state:
        return _there[0][1]
    judgement = judge_process()
    if judgement is None:
        raise LookupError("no kernel is loaded")
    made = launchables(judgement)
    _there[:] = [(state, made)]
    return made


def _identities() -> list[tuple[str, str, int]]:
    found = []
    for name in _MODULES:
        held = getattr(sys.modules.get(name), "__dict__", {})
        found += [(name, kernel, id(held[kernel])) for kernel in _KERNELS if kernel in held]
    return found


def _meets(fault: FaultOfLaunch) -> str:
    wrong = _launchables().known.get(fault.fault).goes_wrong
    if fault.reach is Reach.REACHED:
        return f"meets {fault.fault}: {fault.told}; {wrong}"
    return f"may meet {fault.fault}, which depends on {', '.join(fault.facts)}: {fault.told}; {wrong}"


def _facts(judgement: LaunchJudgement) -> str:
    launch = judgement.launch
    said = [f"{name} {value}" for name, value in launch.facts.known().items()]
    return f"The launch: {', '.join([*said, *([launch.gpu] if launch.gpu else [])])}."
