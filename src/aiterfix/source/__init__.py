"""Understand and edit kernel source.

    text ──► sites.analyse ──► StoreSite + guard ──► rewrite.rewrite ──► new text, proven

``values`` normalises expressions, ``evaluate`` walks a kernel, ``guards`` compares a mask with a
column, ``columns`` writes a column down, ``locate`` knows byte positions, ``layout`` breaks lines,
``rewrite`` edits, ``proof`` checks an edit. Only ``sites`` and ``rewrite`` are for use from outside.
"""
