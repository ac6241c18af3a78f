"""Cases that a public entry should refuse: the names that findings, refusals and records have for them.

Apart from `entries`, which tests a function for them: what every process with the import hook loads.
"""

from __future__ import annotations

SMALLEST_CHUNK = 128
"""Columns: four warps take 16 each of either half of a chunk."""
CHUNK, WIDTH = "ChunkK", "max_model_len"
ROW_STRIDE, CHUNK_OF_TILES, ARGUMENTS = "first-stride", "no-tile", "arguments"
OTHER_ROWS, OTHER_SIZE, OTHER_OPERANDS = "other-rows", "other-size", "other-operands"
"""Codes of findings; the last four are about what a launch hands on, and nothing refuses it."""
SAID = {
    ROW_STRIDE: "an output with more axes than rows and columns",
    CHUNK_OF_TILES: f"{CHUNK} below {SMALLEST_CHUNK}",
}
"""What a function is handed then, for people."""
