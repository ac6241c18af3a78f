"""Reads a page back, as strictly as XML."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET

OUTSIDE = re.compile(
    r"\b(?:src|href|action)=|url\(|@import|https?:|<script|<iframe|<object|<link|\bon\w+=", re.IGNORECASE
)
"""What would load, run or send something."""


def read(page: str) -> ET.Element:
    """The tree of a page that keeps to itself."""
    assert page.startswith("<!DOCTYPE html>\n") and page.isascii()
    assert not OUTSIDE.findall(page)
    assert "default-src &#x27;none&#x27;; style-src &#x27;unsafe-inline&#x27;" in page
    return ET.fromstring(page.removeprefix("<!DOCTYPE html>\n"))


def text(node: ET.Element) -> str:
    """All text below a node, on one line."""
    return " ".join("".join(node.itertext()).split())


def tables(tree: ET.Element) -> list[list[list[str]]]:
    """Every table as rows of cells, the head first."""
    return [[[text(cell) for cell in row] for row in t.iter("tr")] for t in tree.iter("table")]
