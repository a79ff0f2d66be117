"""The version of the product: the newest of CHANGELOG.md, which a test compares."""

from __future__ import annotations

VERSION = "2.1.0"
