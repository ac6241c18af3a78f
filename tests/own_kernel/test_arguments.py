"""What the public function refuses, before anything is launched; and how it plans what it takes."""

from __future__ import annotations

from dataclasses import fields
from types import ModuleType
from typing import Any

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("triton")

from tests.own_kernel.paged_mqa_logits_check import load_kernel  # noqa: E402 - torch first

BATCH, NEXT_N, HEADS, SIZE, BLOCK, WIDTH = 3, 2, 64, 128, 64, 200


@pytest.fixture(scope="module")
def kernel() -> ModuleType:
    return load_kernel()


def good() -> dict[str, Any]:
    return {
        "q_fp8": torch.zeros((BATCH, NEXT_N, HEADS, SIZE)).to(torch.float8_e4m3fn),
        "kv_cache": torch.zeros((5, BLOCK, 1, SIZE + 4), dtype=torch.uint8),
        "weights": torch.zeros((BATCH * NEXT_N, HEADS)),
        "out_logits": torch.zeros((BATCH * NEXT_N, WIDTH)),
        "context_lens": torch.zeros(BATCH, dtype=torch.int32),
        "kv_indices": torch.zeros((BATCH, 4), dtype=torch.int32),
        "max_model_len": WIDTH,
        "KVBlockSize": BLOCK,
    }


FP8 = torch.float8_e4m3fn


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"q_fp8": torch.zeros((BATCH, HEADS, SIZE)).to(FP8)}, r"q_fp8 must be \(batch, next_n, heads, head size\)"),
        ({"q_fp8": torch.zeros((BATCH, NEXT_N, HEADS, SIZE))}, "q_fp8 must be fp8 e4m3"),
        ({"q_fp8": torch.zeros((BATCH, NEXT_N, SIZE, HEADS)).to(FP8).transpose(2, 3)}, "contiguous features"),
        ({"q_fp8": torch.zeros((BATCH, NEXT_N, 129, SIZE)).to(FP8)}, "1 to 128 heads, has 129"),
        ({"q_fp8": torch.zeros((BATCH, NEXT_N, HEADS, 96)).to(FP8)}, "power of two from 32, is 96"),
        ({"KVBlockSize": 0}, "KVBlockSize must be 1 or more"),
        ({"KVBlockSize": 1}, r"kv_cache must be \(blocks, 1, 1, 128 \+ 4 or more\)"),
        ({"KVBlockSize": 40, "Preshuffle": True}, "multiple of 16 if Preshuffle"),
        ({"kv_cache": torch.zeros((5, BLOCK, SIZE + 4), dtype=torch.uint8)}, "kv_cache must be"),
        ({"kv_cache": torch.zeros((5, BLOCK, 1, SIZE), dtype=torch.uint8)}, "kv_cache must be"),
        ({"kv_cache": torch.zeros((5, BLOCK, 1, SIZE + 4))}, "kv_cache must be"),
        ({"kv_cache": torch.zeros((5, 1, BLOCK, SIZE + 4), dtype=torch.uint8).transpose(1, 2)}, "kv_cache must be"),
        ({"kv_cache": torch.zeros((0, BLOCK, 1, SIZE + 4), dtype=torch.uint8)}, "kv_cache must be"),
        ({"weights": torch.zeros((BATCH, HEADS))}, "weights must hold 6 rows of 64"),
        ({"weights": torch.zeros((BATCH * NEXT_N, HEADS), dtype=torch.int32)}, "weights must hold"),
        ({"weights": torch.zeros((HEADS, BATCH * NEXT_N)).T}, "weights must hold"),
        ({"out_logits": torch.zeros((BATCH * NEXT_N, WIDTH - 1))}, "out_logits must hold 6 rows of 200"),
        ({"out_logits": torch.zeros((BATCH, WIDTH))}, "out_logits must hold"),
        ({"out_logits": torch.zeros((BATCH * NEXT_N, WIDTH), dtype=torch.bfloat16)}, "out_logits must hold"),
        ({"out_logits": torch.zeros((1, WIDTH)).expand(BATCH * NEXT_N, WIDTH)}, "do not overlap"),
        ({"out_logits": torch.zeros((WIDTH, BATCH * NEXT_N)).T}, "out_logits must hold"),
        ({"max_model_len": WIDTH + 1}, "out_logits must hold 6 rows of 201"),
        ({"max_model_len": -1}, "max_model_len must be from 0"),
        ({"max_model_len": 2**31 - 1}, "max_model_len must be from 0 to 2147482624"),
        ({"context_lens": torch.zeros(BATCH + 1, dtype=torch.int32)}, "context_lens must be 3 integers, or 6"),
        ({"context_lens": torch.zeros(BATCH)}, "context_lens must be"),
        ({"kv_indices": torch.zeros((BATCH - 1, 4), dtype=torch.int32)}, "kv_indices must hold 3 rows"),
        ({"kv_indices": torch.zeros(BATCH * 4, dtype=torch.int32)}, "kv_indices must hold"),
        ({"kv_indices": torch.zeros((BATCH, 4), dtype=torch.int16)}, "kv_indices must hold"),
        ({"kv_indices": torch.zeros((4, BATCH), dtype=torch.int32).T}, "kv_indices must hold"),
        ({"kv_indices": torch.zeros((BATCH, 4), dtype=torch.int32, device="meta")}, "on one device, are on cpu, cpu"),
    ],
    ids=str,
)
def test_refused(kernel: ModuleType, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any], said: str) -> None:
    monkeypatch.setattr(kernel, "_paged_mqa_logits", None)  # a launch would be a TypeError
    with pytest.raises(ValueError, match=said) as refusal:
        kernel.deepgemm_fp8_paged_mqa_logits(**{**good(), **changes})
    assert str(refusal.value).startswith("deepgemm_fp8_paged_mqa_logits: ")


class Recorded:
    """Stands in for the kernel: keeps what it is launched with."""

    hash = "6f6b"

    def __init__(self) -> None:
        self.launches: list[tuple[tuple[int, ...], tuple[Any, ...], dict[str, Any]]] = []

    def __getitem__(self, grid: tuple[int, ...]) -> Any:
        def launch(*arguments: Any, **constants: Any) -> Recorded:
            self.launches.append((grid, arguments, constants))
            return self

        return launch


@pytest.fixture
def recorded(kernel: ModuleType, monkeypatch: pytest.MonkeyPatch) -> Recorded:
    launches = Recorded()
    monkeypatch.setattr(kernel, "_paged_mqa_logits", launches)
    monkeypatch.setattr(kernel, "_cache_key", lambda compiled_hash: f"key of {compiled_hash}")
    return launches


@pytest.mark.parametrize(
    "changes",
    [
        {},
        # As vLLM 0.33.0 calls it, and what else aiter's function takes.
        {"ChunkK": 256, "Preshuffle": True, "WavePerEU": 2},
        {"TotalCuCount": 80, "VarCtxSchedule": torch.zeros(4, dtype=torch.int32)},
        {"TotalCuCount": None, "VarCtxSchedule": None},
        {"context_lens": torch.zeros((BATCH, 1), dtype=torch.int32)},
        {"context_lens": torch.zeros((BATCH, NEXT_N), dtype=torch.int64)},
        {"kv_cache": torch.zeros((5, BLOCK, 1, SIZE + 4)).to(FP8)},
        {"kv_cache": torch.zeros((5, BLOCK, 1, SIZE + 16), dtype=torch.int8)},
        {"weights": torch.zeros((BATCH * NEXT_N + 1, HEADS), dtype=torch.bfloat16)},
        {"out_logits": torch.zeros((BATCH * NEXT_N + 7, WIDTH + 56))},
        {"kv_indices": torch.zeros((BATCH + 5, 9), dtype=torch.int64)},
    ],
    ids=str,
)
def test_taken(kernel: ModuleType, recorded: Recorded, changes: dict[str, Any]) -> None:
    assert kernel.deepgemm_fp8_paged_mqa_logits(**{**good(), **changes}) == "key of 6f6b"
    assert len(recorded.launches) == 1


@pytest.mark.parametrize(
    "changes",
    [
        {"max_model_len": 0},
        {"q_fp8": torch.zeros((0, NEXT_N, HEADS, SIZE)).to(FP8), "context_lens": torch.zeros(0, dtype=torch.int32)},
    ],
    ids=["no column", "no sequence"],
)
def test_nothing_to_do(kernel: ModuleType, recorded: Recorded, changes: dict[str, Any]) -> None:
    assert kernel.deepgemm_fp8_paged_mqa_logits(**{**good(), **changes}) == ""
    assert recorded.launches == []


def test_the_grid_depends_on_shapes_alone(kernel: ModuleType, recorded: Recorded) -> None:
    for lengths in ((0, 0, 0), (200, 1, 7)):
        kernel.deepgemm_fp8_paged_mqa_logits(
            **{**good(), "context_lens": torch.tensor(lengths, dtype=torch.int32)}, TotalCuCount=132
        )
    first, second = recorded.launches
    assert first[0] == second[0]
    assert first[2] == second[2]
    # One tile a program: as many programs as tiles, and no pipeline.
    assert first[0] == (BATCH * 4,)
    assert first[2]["STAGES"] <= 3


def test_every_architecture_has_a_tuning_for_every_shape(kernel: ModuleType) -> None:
    for architecture, allowed in (("cuda", {"cuda"}), ("hip", {"hip"}), ("hopper", {"hopper", "cuda"})):
        found = {
            kernel.tuning_for(architecture, n, heads) for n in (1, 2, 3, 4, 8, 16) for heads in (1, 16, 24, 64, 128)
        }
        assert {tuning.architecture for tuning in found} == allowed
        assert all(len(tuning.found) > 40 for tuning in found)
    used = {t for a in ("cuda", "hip", "hopper") for n in range(1, 17) for t in [kernel.tuning_for(a, n, 64)]}
    assert used == set(kernel.TUNINGS), "an entry that nothing selects"
    assert all(getattr(t, field.name) is not None for t in kernel.TUNINGS for field in fields(t))


@pytest.mark.parametrize("next_n", range(1, 18))
@pytest.mark.parametrize("heads", [16, 64, 100, 128])
@pytest.mark.parametrize("architecture", ["cuda", "hip", "hopper"])
def test_rows_are_shared_out_once(kernel: ModuleType, next_n: int, heads: int, architecture: str) -> None:
    changes = {
        "q_fp8": torch.zeros((BATCH, next_n, heads, SIZE)).to(FP8),
        "weights": torch.zeros((BATCH * next_n, heads)),
        "out_logits": torch.zeros((BATCH * next_n, WIDTH)),
    }
    a = {**good(), **changes}
    launch = kernel.plan(
        a["q_fp8"], a["kv_cache"], a["weights"], a["out_logits"], a["context_lens"], a["kv_indices"], WIDTH, False,
        BLOCK, architecture, 132,
    )  # fmt: skip
    constants = launch.constants
    rows = constants["ROW_GROUPS"] * constants["DOTS"] * constants["ROWS"]
    assert rows >= next_n > rows - constants["DOTS"] * constants["ROWS"]
    assert launch.programs == BATCH * constants["ROW_GROUPS"] * launch.arguments["splits"]
    # Queries held on chip stay within what is set aside for them.
    assert constants["DOTS"] == 1 or constants["DOTS"] * constants["ROWS"] * constants["HEADS"] * SIZE <= 64 * 1024


def planned(kernel: ModuleType, architecture: str, preshuffle: bool = False, **changes: Any) -> Any:
    a = {**good(), **changes}
    return kernel.plan(
        a["q_fp8"], a["kv_cache"], a["weights"], a["out_logits"], a["context_lens"], a["kv_indices"], WIDTH,
        preshuffle, a["KVBlockSize"], architecture, 132,
    )  # fmt: skip


def test_the_copy_engine_loads_keys_on_hopper_alone(kernel: ModuleType) -> None:
    launch = planned(kernel, "hopper")
    assert launch.constants["COPY_ENGINE"]
    assert launch.registers == 128
    described = launch.arguments["keys"]
    assert described.shape == [5, BLOCK, SIZE]
    assert described.strides == [BLOCK * (SIZE + 4), SIZE, 1]
    assert described.block_shape == [1, launch.constants["TILE"], SIZE]
    # Inline assembly is for a GPU; the tensors here are not on one.
    assert not launch.constants["FETCH_AHEAD"]
    for architecture in ("cuda", "hip"):
        launch = planned(kernel, architecture)
        assert not launch.constants["COPY_ENGINE"]
        assert isinstance(launch.arguments["keys"], torch.Tensor)
        assert launch.registers == launch.constants["LEAD"] == 0


def shifted(by: int) -> Any:
    """A cache that begins ``by`` bytes behind a multiple of 16."""
    size = BLOCK * (SIZE + 4)
    return torch.zeros(5 * size + by, dtype=torch.uint8)[by:].view(5, BLOCK, 1, SIZE + 4)


@pytest.mark.parametrize(
    ("why", "preshuffle", "changes"),
    [
        ("preshuffled", True, {}),
        (
            "a tile in several blocks",
            False,
            {"kv_cache": torch.zeros((20, 16, 1, SIZE + 4), dtype=torch.uint8), "KVBlockSize": 16},
        ),
        ("begins between multiples of 16", False, {"kv_cache": shifted(4)}),
        (
            "blocks between multiples of 16",
            False,
            {
                "kv_cache": torch.zeros((5, BLOCK * (SIZE + 4) + 8), dtype=torch.uint8)[:, :-8].view(
                    5, BLOCK, 1, SIZE + 4
                )
            },
        ),
        (
            "rows that are too long",
            False,
            {
                "q_fp8": torch.zeros((BATCH, NEXT_N, HEADS, 256)).to(FP8),
                "kv_cache": torch.zeros((5, BLOCK, 1, 260), dtype=torch.uint8),
            },
        ),
    ],
)
def test_keys_that_the_copy_engine_cannot_load_are_loaded_by_threads(
    kernel: ModuleType, why: str, preshuffle: bool, changes: dict[str, Any]
) -> None:
    launch = planned(kernel, "hopper", preshuffle, **changes)
    assert not launch.constants["COPY_ENGINE"], why
    assert launch.constants == planned(kernel, "cuda", preshuffle, **changes).constants


@pytest.mark.parametrize("splits", [1, 2, 3, 7, 47, 132, 1056, 8192])
@pytest.mark.parametrize("lead", [1, 8, 12, 64])
def test_shares_cover_every_tile_once(splits: int, lead: int) -> None:
    """The kernel's arithmetic, in 64 bits as there: no share overlaps, and they fall by what the lead says."""
    scale = (1 << 40) // (64 * splits * splits)
    for tiles in (0, 1, 5, splits, 1000, 2**25):
        begins = [tiles * (s * ((64 + lead) * splits - lead * s) * scale >> 20) >> 20 for s in range(splits + 1)]
        assert begins[0] == 0
        assert begins == sorted(begins)
        assert tiles * 0.99 - 1 <= begins[-1] <= tiles
        assert tiles * 2**20 < 2**63
        if tiles == 2**25 and 1 < splits < 1000:
            equal = tiles / splits
            assert begins[1] == pytest.approx(equal * (1 + lead / 64 * (1 - 1 / splits)), rel=0.01)
