"""Builds plain text with entities, measured in UTF-16 units as Telegram does."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from sandbox.telegram.errors import ApiError, bad_request

Json = dict[str, Any]


def units(text: str) -> int:
    """Length in UTF-16 code units, in which Telegram measures all texts."""
    return len(text) + sum(char > "\uffff" for char in text)


def cannot_parse(reason: str) -> ApiError:
    return bad_request(f"can't parse entities: {reason}")


@dataclass
class Builder:
    """Plain text in the making; `opened` holds where each entity not yet closed began."""

    pieces: list[str] = field(default_factory=list)
    offset: int = 0
    entities: list[Json] = field(default_factory=list)

    def add(self, text: str) -> None:
        self.pieces.append(text)
        self.offset += units(text)

    def entity(self, kind: str, start: int, **more: Any) -> None:
        if self.offset > start:
            self.entities.append({"type": kind, "offset": start, "length": self.offset - start, **more})

    @property
    def text(self) -> str:
        return "".join(self.pieces)
