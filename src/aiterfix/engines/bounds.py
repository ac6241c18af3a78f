"""How much the reader looks into, and how much of it is said. What is more is not known, and the answer says so."""

FILES = 64
"""Files that hold a name: of a function or module that stands in more, nothing is known."""
STORING_FILES, STORES, LENGTHS = 24, 8, 24
"""Files that hold an attribute's name, and places that store under it; such places of ``max_model_len``."""
SITES = 64
"""Calls of one function."""
VALUES = 16
"""What one expression can be."""
WAYS = 64
"""Combinations of what one call of the kernel is given."""
EFFORT = 30
"""Names and callers that are looked into for one call of the kernel."""
CALLERS, ATTRIBUTES, HELPERS, KEY = 6, 2, 6, 24
"""How deep: callers from the kernel's to the configuration (vLLM 0.33.0 needs 5), attributes on the way to what an
attribute is, functions that are entered, and parts of the key that tells their calls apart."""
CONDITIONS, LENGTH_CONDITIONS, REASONS = 8, 6, 3
"""Said: writers of one attribute, lines that set ``max_model_len``, and reasons why callers are not known."""
TEXT = 60
"""Said: characters of a statement."""
