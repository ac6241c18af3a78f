"""A small package laid out like AMD's ``aiter``, with kernels of our own, for the demo and for tests."""

from aiterfix.demo.sample_package import SAMPLE_VERSION, write_sample

__all__ = ["SAMPLE_VERSION", "write_sample"]
