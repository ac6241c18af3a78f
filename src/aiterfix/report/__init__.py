"""What was found, for people (``text``), programs (``facts``) and code scanning (``sarif``).

Reports read frozen objects and make strings or plain JSON values; they decide nothing.
"""
