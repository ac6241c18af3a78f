"""The page of ``aiterfix check --format html``."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from aiterfix.errors import NotUnderstoodError
from aiterfix.faults.base import Presence
from aiterfix.history.record import History, RefRecord
from aiterfix.judge.judgement import FaultAnswer, Judgement
from aiterfix.judge.verdict import Verdict
from aiterfix.judge.whole import Whole
from aiterfix.report.advice import ignored_lines, meaning, next_step, not_asked, not_judged, other_kernels
from aiterfix.report.html.padding import Need, need_map
from aiterfix.report.html.page import Markup, document, element, table
from aiterfix.report.html.pictures import figure, key, picture_of
from aiterfix.report.page import Page
from aiterfix.report.provenance import provenance, sibling_facts
from aiterfix.report.steps import Steps
from aiterfix.report.text import heading, in_doubt

if TYPE_CHECKING:
    from aiterfix.engines.pairing import CallVerdict, Operator, Pair, PairVerdict
    from aiterfix.report.types.check import CheckReport, MendReport

_CLASSES = {Verdict.CLEAN: "good", Verdict.AFFECTED: "bad", Verdict.UNKNOWN: "doubt", Verdict.NOT_INSTALLED: "doubt"}


def check_page(
    whole: Whole,
    report: CheckReport,
    needs: Mapping[str, Sequence[Need]],
    pairs: Sequence[Pair],
    verdict: PairVerdict | None,
    operator: Operator | None,
    recorded: Page,
    steps: Steps,
) -> str:
    """The whole page.

    Args:
        report: the same as `aiterfix check --json` says it.
        needs: of padding columns, by what the judged package is called; may be empty.
        pairs: with engines; may be empty.
        operator: what the command line says of the deployment.
        recorded: on launches that were recorded; may be empty.
    """
    mends = {f.id: f.mend for f in report.faults}
    if pairs and verdict is not None:
        from aiterfix.report.engines import pair_next

        step = pair_next(pairs, verdict, steps)
    else:
        step = "" if recorded.rows else next_step(whole, steps)
    return document(
        f"aiterfix check: {whole.verdict.value}",
        _answer(whole, step),
        _faults(whole.answers(), mends),
        _releases(whole) if whole.live else None,
        _padding(needs),
        _pairs(pairs, verdict, operator),
        [element("h2", "Recorded launches"), element("pre", *_lines(recorded))] if recorded.rows else None,
        _others(whole),
    )


def _lines(page: Page) -> Iterable[str | Markup]:
    for row in page.rows:
        yield row if isinstance(row, str) else "".join(map(str, row))
        yield element("br")


def _answer(whole: Whole, step: str) -> list[Markup]:
    said = meaning(whole)
    asides = (*ignored_lines(whole), not_asked(whole), not_judged(whole), other_kernels(whole))
    lines = [
        element(
            "p",
            element("code", heading(j.installation)),
            ": ",
            element("span", j.verdict.value, class_=f"word {_CLASSES[j.verdict]}"),
        )
        for j in whole.running
        if j.installation is not None
    ]
    return [
        element("h1", "aiterfix check: ", element("span", whole.verdict.value, class_=_CLASSES[whole.verdict])),
        *lines,
        element("p", said) if said else element("p", "no aiter was found"),
        *(element("p", line, class_="faint") for line in (*in_doubt(whole), *asides) if line),
        *([element("p", "Next: ", element("code", step), class_="next")] if step else []),
    ]


def _faults(answers: Sequence[FaultAnswer], mends: Mapping[str, MendReport]) -> list[Markup]:
    if not answers:
        return []
    rows = [
        (
            element("code", a.fault.id),
            element("td", a.presence.value, class_=_class(a.presence)),
            "yes" if a.asked else "no",
            a.fault.consequence.value,
            a.fault.title,
        )
        for a in answers
    ]
    there = [a for a in answers if not a.presence.harmless]
    return [
        element("h2", "Faults"),
        table(("fault", "presence", "decides", "consequence", "what"), rows, class_="prose"),
        *([element("h2", "What goes wrong where"), key()] if any(picture_of(a.fault.id) for a in there) else []),
        *(part for a in there for part in _fault(a, mends[a.fault.id])),
    ]


def _class(presence: Presence) -> str:
    return "absent" if presence.harmless else presence.value


def _fault(answer: FaultAnswer, mend: MendReport) -> Iterable[Markup]:
    fault, picture = answer.fault, picture_of(answer.fault.id)
    yield element("h3", element("code", fault.id), f": {fault.title}")
    yield element("p", f"When it bites: {fault.trigger.sentence}. Then {fault.goes_wrong}.")
    if mend.available:
        how = "an edit" if mend.kind == "edit" else "a refusal: the function raises before it launches"
        runs = {"shown": "recorded runs failed before it and pass after it", "failed": "recorded runs fail after it"}
        yield element(
            "p", f"Mend: {how}; {runs.get(mend.shown, 'no recorded run has shown it')}. ", element("code", mend.remedy)
        )
    else:
        yield element("p", f"Mend: none here. {mend.remedy}")
    if picture is not None:
        yield figure(picture, refused=mend.kind == "refusal")


def _releases(whole: Whole) -> list[Markup]:
    """Fault times release, from the facts that are shipped; neighbours that do not differ share a row."""
    from aiterfix.history.store import load_history

    try:
        history = load_history()
    except NotUnderstoodError as error:
        return [element("h2", "Faults by release"), element("p", f"The shipped facts are damaged: {error.what}")]
    here = {r for j in whole.live for o in _origins(j) for r in o}
    columns = [f for f in whole.live[0].known.judged if f.id in history.faults]
    rows = []
    for refs, cells in _alike(history, [f.id for f in columns]):
        mine = here & {r.ref for r in refs}
        names = element("th", ", ".join(r.ref for r in refs), scope="row")
        rows.append(element("tr", names, list(map(_count, cells)), class_="here" if mine else ""))
    others = ", ".join(f.id for f in whole.live[0].known.judged if f not in columns)
    head = (element("th", h, scope="col") for h in ("release", *(f.id for f in columns)))
    said = (
        "Kernels that have a fault, of all that the release has; in bold the releases that have the files found here."
    )
    return [
        element("h2", "Faults by release"),
        element(
            "div",
            element(
                "table",
                element("caption", said),
                element("thead", element("tr", head)),
                element("tbody", rows),
                class_="matrix",
            ),
            class_="wide",
        ),
        element(
            "p",
            f"By the source of every release up to {history.newest[:10]}, in order of their dates. "
            "By each kernel's own text, and by the functions that launch them where the fault is theirs"
            + (f"; not recorded by release: {others}." if others else "."),
            class_="faint",
        ),
    ]


def _origins(judgement: Judgement) -> list[set[str]]:
    """Releases that have all kernel files of an installation."""
    found = [set(o.releases) for o in provenance(judgement).values()]
    return [set.intersection(*found)] if found else []


_RELEASE = re.compile(r"v\d+(\.\d+)+(\.post\d+)?\Z")
_Cell = tuple[Presence, int, int]


def _alike(history: History, faults: Sequence[str]) -> list[tuple[list[RefRecord], tuple[_Cell, ...]]]:
    """Releases by date, neighbours that do not differ together: for each fault its presence, and in how many kernels
    of how many it is."""
    groups: list[tuple[list[RefRecord], tuple[_Cell, ...]]] = []
    for ref in history.refs:
        kernels = [k for f in ref.shipped for k in f.kernels]
        if not _RELEASE.match(ref.ref) or not (kernels or any(f.problems for f in ref.shipped)):
            continue
        cells = tuple(
            (
                ref.presence((f,)),
                sum(k.presence.get(f, Presence.UNKNOWN) is Presence.PRESENT for k in kernels),
                len(kernels),
            )
            for f in faults
        )
        if not groups or cells != groups[-1][1]:
            groups.append(([], cells))
        groups[-1][0].append(ref)
    return groups


def _count(cell: _Cell) -> Markup:
    presence, having, kernels = cell
    text = {Presence.PRESENT: f"{having} of {kernels}", Presence.ABSENT: "0"}.get(presence, presence.value)
    return element("td", text, class_=_class(presence))


def _padding(needs: Mapping[str, Sequence[Need]]) -> list[Markup]:
    if not needs:
        return []
    return [
        element("h2", "Padding columns by length and block size"),
        *(part for name, found in needs.items() for part in (element("p", name, class_="faint"), need_map(found))),
    ]


def _pairs(pairs: Sequence[Pair], verdict: PairVerdict | None, operator: Operator | None) -> list[Markup]:
    if verdict is None or operator is None:
        return []
    from aiterfix.report.engines import call_facts, left_out, stated

    parts = [element("h2", f"The pair: {verdict.value}"), element("p", stated(operator))]
    for pair in pairs:
        name = f"{pair.consumer.name} {pair.consumer.version or '(version not known)'}"
        parts.append(element("h3", f"{name}: {pair.verdict.value}"))
        parts += [element("p", f"could not be read: {d.path}: {d.reason}") for d in pair.consumer.doubts]
        head = ("call", "verdict", "padding", "KVBlockSize", "ChunkK", "Preshuffle", "width", "why")
        parts.append(
            table(
                head,
                (_call(c) for c in pair.calls),
                caption="What each call passes, as its source says",
                class_="prose",
            )
        )
        for judged in pair.calls:
            parts.append(
                element("p", "What that rests on: ", element("code", f"{judged.call.file}:{judged.call.line}"))
            )
            parts.append(element("ul", [element("li", line) for line in call_facts(judged, operator)]))
        parts += [element("p", line, class_="faint") for line in (left_out(pair),) if line]
    return parts


def _others(whole: Whole) -> list[Markup]:
    """Kernels beside the family, which nobody judges, and what is told of them."""
    seen = dict.fromkeys(sibling for j in whole.live for sibling in j.siblings)
    if not seen:
        return []
    told = [element("li", str(fact)) for fact in sibling_facts(whole)]
    return [
        element("h2", "Kernels that are not judged"),
        table(("file", "what"), ((element("code", path), what) for path, what in seen), class_="prose"),
        *([element("p", "Told of them elsewhere, and not judged:"), element("ul", told)] if told else []),
    ]


def _call(judged: CallVerdict) -> list[Markup | str]:
    from aiterfix.report.engines import setting

    call = judged.call
    settings = (call.padding, call.kv_block_size, call.chunk_k, call.preshuffle)
    widths = "; ".join(dict.fromkeys(w.text for w in call.widths))
    lengths = f" {judged.lengths.text}." if judged.lengths is not None and judged.lengths.above is not None else ""
    return [
        element("code", f"{call.file}:{call.line}"),
        judged.verdict.value,
        *map(setting, settings),
        widths,
        f"{judged.reason}.{lengths}",
    ]
