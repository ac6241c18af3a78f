"""An AMD code object (ELF) as a frozen record: descriptor, kernarg layout, instructions, line table."""

from __future__ import annotations

import bisect
import hashlib
import io
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from aiterfix.errors import EnvironmentProblem, NotUnderstoodError, install_line
from aiterfix.gfx950 import messagepack
from aiterfix.gfx950.decode import decode
from aiterfix.gfx950.findings import SourceLine
from aiterfix.gfx950.instruction import JUMPS, Instruction
from aiterfix.gfx950.kernel_descriptor import SIZE, KernelDescriptor

_MACHINE_AMDGPU = 224
_MACH_GFX950 = 0x4F
_ARCHITECTURES = {0x2F: "gfx908", 0x3F: "gfx90a", 0x40: "gfx940", 0x4B: "gfx941", 0x4C: "gfx942", 0x4F: "gfx950",
                  0x41: "gfx1100", 0x46: "gfx1103", 0x47: "gfx1036", 0x48: "gfx1200", 0x4E: "gfx1201",
                  0x49: "gfx1250"}  # fmt: skip
_POINTERS = ("global_buffer", "dynamic_shared_pointer")


@dataclass(frozen=True)
class KernelArgument:
    """One argument in the kernarg segment.

    Attributes:
        name: from the metadata, from ``CodeObject.with_argument_names``, else ``arg<position>``.
        offset, size: bytes.
        kind: the metadata's ``value_kind``: ``by_value``, ``global_buffer`` (a pointer), or a ``hidden_`` one.
    """

    name: str
    offset: int
    size: int
    kind: str

    @property
    def is_pointer(self) -> bool:
        """True for an address of device memory."""
        return self.kind in _POINTERS


@dataclass(frozen=True)
class CodeObject:
    """One kernel of a gfx950 code object, with everything needed to run it.

    Attributes:
        name: the kernel.
        kernels: every kernel in the same file, by name.
        descriptor: what the hardware sets up.
        kernarg: arguments in order. Triton appends its own (global and profile scratch pointers) after the signature.
        text: the kernel's machine code.
        workgroup_size: largest number of work-items of a workgroup.
        sgprs: scalar registers, as the compiler states them.
        vgpr_spills: vector registers that the compiler moved to scratch memory.
        sgpr_spills: scalar registers that the compiler moved elsewhere.
        sha256: of the whole file.
    """

    name: str
    kernels: tuple[str, ...]
    descriptor: KernelDescriptor
    kernarg: tuple[KernelArgument, ...]
    text: bytes = field(repr=False)
    workgroup_size: int
    sgprs: int
    vgpr_spills: int
    sgpr_spills: int
    sha256: str
    _address: int = field(repr=False)
    _elf: bytes = field(repr=False)

    @classmethod
    def from_bytes(cls, blob: bytes, *, kernel: str | None = None, origin: str = "the code object") -> CodeObject:
        """Read a code object.

        Args:
            blob: the ELF file, as ``triton.compile(...).asm["hsaco"]`` gives it.
            kernel: which kernel, needed only where the file holds several.
            origin: what to call it in messages.

        Raises:
            EnvironmentProblem: pyelftools is missing.
            NotUnderstoodError: no ELF, truncated, another architecture, no kernel, several kernels and none named,
                a descriptor bit that is not modelled.
        """
        try:
            from elftools.common.exceptions import DWARFError, ELFError
            from elftools.elf.elffile import ELFFile
        except ImportError as error:
            raise EnvironmentProblem(
                "Reading a code object needs pyelftools.", why=str(error), remedy=install_line("validate")
            ) from error
        try:
            elf = ELFFile(io.BytesIO(blob))
            _check_target(elf, origin)
            metadata = _metadata(elf, origin)
            symbols = _symbols(elf)
            return cls._build(blob, elf, metadata, symbols, kernel, origin)
        except NotUnderstoodError:
            raise
        except (ELFError, DWARFError, ValueError, KeyError, IndexError, TypeError, AttributeError, OSError) as error:
            raise NotUnderstoodError(
                f"{origin} is no complete ELF file.",
                why=f"{type(error).__name__}: {error}",
                remedy="Compile the kernel again; the file may have been cut short.",
            ) from error

    @classmethod
    def _build(
        cls,
        blob: bytes,
        elf: Any,
        metadata: dict[Any, Any],
        symbols: dict[str, tuple[int, int]],
        kernel: str | None,
        origin: str,
    ) -> CodeObject:
        entries = {str(entry[".name"]): entry for entry in metadata.get("amdhsa.kernels", [])}
        if not entries:
            raise NotUnderstoodError(f"{origin} holds no kernel.", remedy="Pass the code object of a Triton kernel.")
        if kernel is None and len(entries) == 1:
            kernel = next(iter(entries))
        if kernel not in entries:
            raise NotUnderstoodError(
                f"{origin} holds the kernels {', '.join(sorted(entries))}"
                + (f", not {kernel}." if kernel else ", and none was chosen."),
                remedy="Name one of them.",
            )
        entry = entries[kernel]
        descriptor_name = str(entry[".symbol"])
        for needed in (descriptor_name, kernel):
            if needed not in symbols:
                raise NotUnderstoodError(f"{origin} lacks the symbol {needed}.", remedy="Compile the kernel again.")
        descriptor_address = symbols[descriptor_name][0]
        descriptor = KernelDescriptor.from_bytes(_bytes_at(elf, descriptor_address, SIZE, origin), kernel)
        address, size = symbols[kernel]
        if address != descriptor_address + descriptor.entry_offset:
            raise NotUnderstoodError(f"The descriptor of kernel {kernel} points to another place than its symbol.")
        if entry.get(".wavefront_size", 64) != 64:
            raise NotUnderstoodError(f"Kernel {kernel} wants wavefronts of {entry['.wavefront_size']} lanes, not 64.")
        arguments = tuple(
            KernelArgument(
                str(item.get(".name", f"arg{position}")), item[".offset"], item[".size"], str(item[".value_kind"])
            )
            for position, item in enumerate(entry.get(".args", []))
        )
        return cls(
            name=kernel,
            kernels=tuple(entries),
            descriptor=descriptor,
            kernarg=arguments,
            text=_bytes_at(elf, address, size, origin),
            workgroup_size=entry.get(".max_flat_workgroup_size", 1024),
            sgprs=entry.get(".sgpr_count", 0),
            vgpr_spills=entry.get(".vgpr_spill_count", 0),
            sgpr_spills=entry.get(".sgpr_spill_count", 0),
            sha256=hashlib.sha256(blob).hexdigest(),
            _address=address,
            _elf=blob,
        )

    def with_argument_names(self, names: Sequence[str]) -> CodeObject:
        """The same kernel with its leading arguments named; Triton's metadata carries no names.

        Args:
            names: of the arguments in order, constants left out; hidden arguments at the end keep theirs.
        """
        if len(names) > len(self.kernarg):
            raise NotUnderstoodError(
                f"Kernel {self.name} takes {len(self.kernarg)} arguments; {len(names)} names were given.",
                remedy="Leave out the parameters that are constants of the compilation.",
            )
        named = tuple(replace(a, name=n) for a, n in zip(self.kernarg, names, strict=False))
        return replace(self, kernarg=named + self.kernarg[len(names) :])

    @property
    def lds_bytes(self) -> int:
        """Statically allocated LDS; Triton's kernels ask for theirs at launch (``Launch.lds_bytes``)."""
        return self.descriptor.lds_bytes

    @property
    def scratch_bytes(self) -> int:
        """Private memory of a lane."""
        return self.descriptor.scratch_bytes

    @property
    def vgprs(self) -> int:
        """Architectural vector registers."""
        return self.descriptor.vgprs

    @property
    def agprs(self) -> int:
        """Accumulation vector registers."""
        return self.descriptor.agprs

    @cached_property
    def instructions(self) -> tuple[Instruction, ...]:
        """The decoded machine code, in order of pc; behind it, where the kernel calls any, the file's functions."""
        own = decode(self.text)
        if not any(instruction.mnemonic in JUMPS for instruction in own):
            return own
        elf = self._parsed()
        table = None if elf is None else elf.get_section_by_name(".symtab")
        called = []
        for symbol in () if table is None else table.iter_symbols():
            address, size = symbol["st_value"], symbol["st_size"]
            if symbol["st_info"]["type"] == "STT_FUNC" and size and symbol.name not in self.kernels:
                start = address - self._address
                body = decode(_bytes_at(elf, address, size, f"kernel {self.name}'s file"))
                called += [instruction.at(start + instruction.pc) for instruction in body]
        return own + tuple(called)

    def image(self) -> tuple[bytes, int]:
        """What a loader puts into memory, and where in it the kernel's first instruction is.

        Raises:
            NotUnderstoodError: the loader would have to change it.
        """
        elf = self._parsed()
        if elf is None:
            return self.text, 0
        if any(section["sh_type"] in ("SHT_RELA", "SHT_REL") and section["sh_size"] for section in elf.iter_sections()):
            raise NotUnderstoodError(
                f"Kernel {self.name} asks for its own address, and its file holds relocations.",
                why="The emulator does what a loader does only where nothing has to be changed.",
                remedy="Run on a gfx950 GPU instead.",
            )
        loaded = [segment for segment in elf.iter_segments() if segment["p_type"] == "PT_LOAD"]
        data = bytearray(max(segment["p_vaddr"] + segment["p_memsz"] for segment in loaded))
        for segment in loaded:
            data[segment["p_vaddr"] : segment["p_vaddr"] + segment["p_filesz"]] = segment.data()
        return bytes(data), self._address

    def _parsed(self) -> Any:
        from elftools.elf.elffile import ELFFile

        return ELFFile(io.BytesIO(self._elf)) if self._elf else None

    @cached_property
    def _lines(self) -> tuple[list[int], list[SourceLine | None]]:
        from elftools.elf.elffile import ELFFile

        elf = ELFFile(io.BytesIO(self._elf))
        rows: list[tuple[int, SourceLine | None]] = []
        if elf.has_dwarf_info():
            for unit in (dwarf := elf.get_dwarf_info()).iter_CUs():
                program = dwarf.line_program_for_CU(unit)
                if program is None:
                    continue
                files = program.header["file_entry"]
                first = 1 if program.header["version"] < 5 else 0
                for item in program.get_entries():
                    state = item.state
                    if state is None:
                        continue
                    place = None
                    if not state.end_sequence and state.line:
                        place = SourceLine(files[state.file - first].name.decode(errors="replace"), state.line)
                    rows.append((state.address - self._address, place))
        rows.sort(key=lambda row: row[0])
        return [row[0] for row in rows], [row[1] for row in rows]

    def source_line(self, pc: int) -> SourceLine | None:
        """Where in the kernel's source the instruction at ``pc`` (bytes from the kernel's start) comes from.

        The compiler marks some instructions with line 0 ("no particular line"); those take the line before them.
        None where the code object has no line table.
        """
        addresses, places = self._lines
        at = bisect.bisect_right(addresses, pc) - 1
        while at >= 0:
            if places[at] is not None:
                return places[at]
            at -= 1
        return None


def _check_target(elf: Any, origin: str) -> None:
    machine = elf.header["e_machine"]
    if machine not in ("EM_AMDGPU", _MACHINE_AMDGPU):
        raise NotUnderstoodError(
            f"{origin} is an ELF file for {machine}, not for an AMD GPU.", remedy="Pass a gfx950 code object."
        )
    mach = elf.header["e_flags"] & 0xFF
    if mach != _MACH_GFX950:
        raise NotUnderstoodError(
            f"{origin} is for {_ARCHITECTURES.get(mach, f'the architecture with ELF number {mach:#x}')}, not gfx950.",
            why="The emulator executes gfx950 machine code.",
            remedy="Compile for GPUTarget('hip', 'gfx950', 64).",
        )


def _metadata(elf: Any, origin: str) -> dict[Any, Any]:
    for section in elf.iter_sections():
        if section["sh_type"] != "SHT_NOTE":
            continue
        for note in section.iter_notes():
            if note["n_name"] == "AMDGPU":
                description = note["n_desc"]
                if isinstance(description, str):
                    description = description.encode("latin-1")
                value = messagepack.unpack(bytes(description))
                if isinstance(value, dict):
                    return value
    raise NotUnderstoodError(
        f"{origin} has no AMDGPU metadata note.", remedy="Pass a code object of version 4 or later."
    )


def _symbols(elf: Any) -> dict[str, tuple[int, int]]:
    table = elf.get_section_by_name(".symtab") or elf.get_section_by_name(".dynsym")
    if table is None:
        return {}
    return {symbol.name: (symbol["st_value"], symbol["st_size"]) for symbol in table.iter_symbols() if symbol.name}


def _bytes_at(elf: Any, address: int, size: int, origin: str) -> bytes:
    for section in elf.iter_sections():
        start = section["sh_addr"]
        if section["sh_type"] == "SHT_PROGBITS" and start and start <= address < start + section["sh_size"]:
            data: bytes = section.data()[address - start : address - start + size]
            if len(data) == size:
                return data
    raise NotUnderstoodError(
        f"{origin} does not contain the {size} bytes at {address:#x}.", remedy="Compile the kernel again."
    )
