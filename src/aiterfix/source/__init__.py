"""Understand and edit source: kernels, and the wrappers that launch them.

    text ──► sites.analyse ──► a walk through each kernel ──► one reader a fault ──► its edits ──► new text, proven

``encoding`` decodes as Python does, ``syntax`` and ``names`` answer small questions about a piece of it,
``assignments`` says what names are given, ``constants`` what expressions of constants come to, ``bindings`` and
``scope`` what a module's names mean. ``values`` normalises expressions and their widths, ``evaluate`` walks a kernel
and the functions that it calls, ``logic`` proves bounds, ``loads`` has the one view of a walk that all readers share.

Readers: ``guards`` (a column), ``rows``, ``gathers`` with ``magnitudes`` (the cache's addresses), ``paging`` with
``tokens`` and ``positions``, ``operands`` (queries and weights), ``causal``, ``unseen``, ``sequence_walk``; of wrappers
``entries``, ``entry_tests``, ``launch_arguments``, all by what ``uses`` finds; of any module ``replaced``. Edits:
``rewrite``, ``address``, ``gather_edits``, ``paging_edits``, ``refusal_edits``, on byte positions (``locate``,
``sums``, ``layout``); ``proof`` and ``rebuilt`` check them.
"""
