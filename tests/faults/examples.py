"""How much random input a test tries: little and always the same, or a lot and new each time when `SOAK` is set."""

from __future__ import annotations

import os
from typing import Any, TypeVar

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

T = TypeVar("T")
SOAK = int(os.environ.get("SOAK") or 0)
"""How many times as much random input is tried; 0, the default, tries the same small set on every run."""


def fuzz(examples: int) -> settings:
    """The settings of a test over random input."""
    return settings(
        max_examples=examples * max(SOAK, 1), derandomize=SOAK == 0, deadline=None, database=None,
        suppress_health_check=list(HealthCheck), print_blob=True,
    )  # fmt: skip


def drawn(strategy: st.SearchStrategy[T], examples: int) -> list[T]:
    """So many examples at once, for a test whose environment is too expensive to make for each."""
    found: list[T] = []

    @fuzz(examples)
    @given(strategy)
    def collect(value: Any) -> None:
        found.append(value)

    collect()
    return found
