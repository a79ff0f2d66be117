"""Settings of a face: a plain dataclass of defaults, changed over its control route with the types checked."""

from __future__ import annotations

import dataclasses
from typing import Any, TypeVar

T = TypeVar("T")


def changed(settings: T, wanted: Any) -> T:
    """A copy of the dataclass with the `wanted` values; ValueError names the key that is unknown or of another type."""
    if not isinstance(wanted, dict):
        raise ValueError("settings must be an object")
    current = dataclasses.asdict(settings)  # type: ignore[call-overload]
    accepted: dict[str, Any] = {}
    for key, value in wanted.items():
        if key not in current:
            raise ValueError(f"{key}: unknown; known are {', '.join(sorted(current))}")
        accepted[key] = _fitting(key, current[key], value)
    return dataclasses.replace(settings, **accepted)  # type: ignore[type-var]


def _fitting(key: str, current: Any, value: Any) -> Any:
    if isinstance(current, bool) or isinstance(value, bool):
        fits = isinstance(current, bool) and isinstance(value, bool)
    elif isinstance(current, (int, float)):
        fits = isinstance(value, (int, float)) and value >= 0
        value = type(current)(value) if fits else value
    else:
        fits = isinstance(value, (list, tuple)) if isinstance(current, (list, tuple)) else isinstance(value, type(current))
    if not fits:
        raise ValueError(f"{key}: expected {type(current).__name__}")
    return value
