"""What `aiterfix doctor` shows a person: one screen, a line a subject."""

from __future__ import annotations

from collections.abc import Iterator

from aiterfix.report.page import Page, Row
from aiterfix.report.terminal import hanging
from aiterfix.report.text import heading, shown
from aiterfix.report.types.doctor import DoctorReport, SeenEngine, SeenInstallation, SeenTriton

_WIDE, _FEW = 11, 3


def doctor_text(report: DoctorReport) -> Page:
    """The report for people."""
    lines: list[Row] = []
    for subject, text in _lines(report):
        lines += hanging(f"{subject:<{_WIDE}}", text)
    lines.append((f"{'verdict':<{_WIDE}}", shown(report.verdict)))
    lines.append(f"{'next':<{_WIDE}}{report.next}")  # one line, to be copied
    return Page(lines)


def _lines(report: DoctorReport) -> Iterator[tuple[str, str]]:
    where = f", {report.python}" if report.python is not None else ""
    yield "aiterfix", f"{report.aiterfix}{where}"
    for one in report.aiter:
        yield from _aiter(one)
    if not report.aiter:
        yield "aiter", "none found"
    for doubt in report.doubts[:_FEW]:
        yield "", f"could not be read: {doubt}"
    if len(report.doubts) > _FEW:
        yield "", f"… and {len(report.doubts) - _FEW} more that could not be read"
    for engine in report.engines:
        yield engine.name, _engine(engine)
    if not report.engines:
        yield "engines", "none found (vLLM, SGLang, ATOM)"
    hook = report.hook
    state = {True: "starts in every process", False: "not started by itself", None: "not known of a folder"}[
        hook.active
    ]
    said = "" if hook.mode.value == "auto" else f"; AITERFIX={hook.mode.value}"
    yield "hook", f"{state}{f' ({hook.detail})' if hook.detail else ''}{said}"
    for complaint in hook.complaints:
        yield "", complaint
    yield "Triton", _triton(report.triton)
    yield "GPU", _gpus(report.gpus)


def _aiter(one: SeenInstallation) -> Iterator[tuple[str, str]]:
    present = f" ({', '.join(one.present)})" if one.present else ""
    yield "aiter", heading(one)
    yield "", f"{one.verdict.value} on disk{present}"
    if one.patch:
        yield "", one.patch
    yield "", f"can be patched: {'yes' if one.writable else f'no, {one.obstacle}'}"


def _engine(engine: SeenEngine) -> str:
    loads = "loads aiterfix as a plugin" if engine.plugin else "does not load aiterfix"
    return f"{engine.version or '(version not known)'}: {engine.package}; {loads}: {engine.why}"


def _triton(triton: SeenTriton) -> str:
    if triton.version is None:
        return "none found on the import path"
    build = " (PyPI's, by its metadata)" if triton.published else ""
    troubles = "; ".join(triton.troubles)
    unless = " - unless this is another build of it" if troubles and not triton.published else ""
    return f"{triton.version}{build}: {troubles or 'brings no known fault'}{unless}"


def _gpus(found: tuple[str, ...] | None) -> str:
    if found is None:
        return "no AMD GPU driver here (/sys/class/kfd is missing)"
    return ", ".join(f"{found.count(g)} x {g}" for g in dict.fromkeys(found)) or "the AMD driver lists no GPU"
