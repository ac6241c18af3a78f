"""aiterfix: judge and fix row-overshooting stores in AMD aiter's paged-MQA-logits kernels."""

from aiterfix._version import __version__

__all__ = ["__version__"]
