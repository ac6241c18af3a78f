"""Understand and edit kernel source.

    text ──► sites.analyse ──► StoreSite: guard, row ──► rewrite.rewrite    ──► new text, proven
                                                    └──► address.widen_rows ──► new text, proven

``encoding`` decodes as Python does, ``scope`` knows what a module's names mean, ``values`` normalises
expressions and their widths, ``evaluate`` walks a kernel and the functions that it calls, ``logic``
proves bounds, ``guards`` asks it about a column, ``rows`` says how a row's address is computed,
``columns`` writes a column down, ``locate`` knows byte positions, ``layout`` breaks lines, ``proof``
checks an edit. Only ``sites``, ``rewrite`` and ``address`` are for use from outside.
"""
