"""Sample wrapper: takes the kernels by name, as the real one does."""

from aiter.ops.triton._triton_kernels.attention.pa_mqa_logits import (
    _deepgemm_fp8_paged_mqa_logits,
    _deepgemm_fp8_paged_mqa_logits_stage1,
)
from aiter.ops.triton.gluon.pa_mqa_logits import (
    _gluon_deepgemm_fp8_paged_mqa_logits,
    _gluon_deepgemm_fp8_paged_mqa_logits_preshuffle,
    _gluon_deepgemm_fp8_paged_mqa_logits_preshuffle_varctx,
)
