"""Sample laid out like AMD's aiter, written for aiterfix: kernels with stores of every guard class."""
