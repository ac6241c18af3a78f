"""Where a compiled kernel stores past its row, established by running its integer part; and results that were kept.

``results`` is standard library only, for the advice; the rest needs numpy and the decoder, and is imported by name.
"""
