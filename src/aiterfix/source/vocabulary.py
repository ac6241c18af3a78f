"""What Triton's functions are called and take, and which of them write, as far as the analysis knows them."""

from __future__ import annotations

import ast

# Positional parameters of the two store functions (triton.language.store, and
# triton.experimental.gluon.language.amd.cdna3.buffer_store; Triton 3.5 to 3.9).
STORE_PARAMETERS: dict[str, tuple[str, ...]] = {
    "store": ("pointer", "value", "mask"),
    "buffer_store": ("stored_value", "ptr", "offsets", "mask", "cache"),
}
POINTER_PARAMETER = {"store": "pointer", "buffer_store": "ptr"}
# Whatever else of Triton writes to memory, as functions and as methods of descriptors.
WRITERS = frozenset(
    [
        *STORE_PARAMETERS,
        *(
            f"{prefix}atomic_{op}"
            for prefix in ("", "buffer_", "async_")
            for op in ["add", "and", "cas", "max", "min", "or", "xchg", "xor"]
        ),
        *["async_store", "scatter", "store_tensor_descriptor", "async_scatter", "experimental_descriptor_store"],
        *["_experimental_descriptor_store", "async_copy_shared_to_global", "shared_to_global"],
    ]
)

ASSEMBLY = "inline_asm_elementwise"

# Triton's functions whose result depends on their arguments alone, by the parameters that matter here.
_SIGNATURES = (
    "abs x; arange start end; broadcast input other; broadcast_to input; "
    "cast input dtype fp_downcast_rounding bitcast; cdiv x div; clamp x min max; constexpr value; "
    "convert_layout value; expand_dims input axis; full shape value dtype; logical_and input other; "
    "logical_or input other; max input axis; max_constancy input values; max_contiguous input values; maximum x y; "
    "minimum x y; multiple_of input values; num_programs axis; program_id axis; ravel input can_reorder; "
    "reshape input shape; set_auto_layout value; to input dtype fp_downcast_rounding bitcast; to_tensor x; "
    "where condition x y; zeros shape dtype"
)
FUNCTIONS = {name: tuple(parameters) for name, *parameters in map(str.split, _SIGNATURES.split(";"))}
METHODS = frozenset(
    "abs broadcast_to cast expand_dims logical_and logical_or max ravel reshape to multiple_of set_auto_layout".split()  # noqa: SIM905
)
SAME = frozenset(
    "broadcast_to constexpr convert_layout max_constancy max_contiguous multiple_of set_auto_layout to_tensor".split()  # noqa: SIM905
)
HINTS = frozenset({"multiple_of", "max_contiguous", "max_constancy"})
LAYOUTS = frozenset(
    "AMDMFMALayout AMDWMMALayout BlockedLayout DotOperandLayout SliceLayout SwizzledSharedLayout".split()  # noqa: SIM905
)
LOADS = frozenset({"load", "buffer_load"})
# An `assume` is a promise, not a check: it proves nothing.
HARMLESS = frozenset({"static_assert", "static_print", "device_print", "device_assert", "assume"})
TYPE_ATTRIBUTES = frozenset({"type", "dtype", "element_ty"})
FIXED_ATTRIBUTES = TYPE_ATTRIBUTES | {"T", "value"}
BUILTIN_FUNCTIONS = frozenset({"builtins.abs", "builtins.max", "builtins.min"})
# Python's functions that can do anything to the names of a kernel.
UNREADABLE = frozenset(["exec", "eval", "compile", "globals", "locals", "vars", "setattr", "delattr", "__import__"])
FLOATS = frozenset({"float32", "float64"})
BINARY: dict[type[ast.operator], str] = {
    ast.FloorDiv: "floordiv",
    ast.Mod: "mod",
    ast.Div: "div",
    ast.Pow: "pow",
    ast.LShift: "lshift",
    ast.RShift: "rshift",
    ast.BitOr: "or",
    ast.BitXor: "xor",
    ast.BitAnd: "and",
    ast.MatMult: "matmul",
}
COMPARE = {
    ast.Lt: "<",
    ast.LtE: "<=",
    ast.Gt: ">",
    ast.GtE: ">=",
    ast.Eq: "==",
    ast.NotEq: "!=",
    ast.Is: "is",
    ast.IsNot: "is not",
    ast.In: "in",
    ast.NotIn: "not in",
}
