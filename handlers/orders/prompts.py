"""What a prompt must be: something that can be seen, and no longer than its model allows."""

from __future__ import annotations

import unicodedata
from typing import Final

from database.models import JobType
from services.catalogue import Catalogue
from services.jobs import prompt_limit

BLANKS: Final = "\u2800\u3164\uffa0\u115f\u1160"  # letters in Unicode's tables, but nothing to see


class PromptTooLong(Exception):
    """The prompt has more characters than the model allows: `over` of them above `limit`."""

    def __init__(self, limit: int, over: int) -> None:
        super().__init__(limit, over)
        self.limit = limit
        self.over = over


def check_length(catalogue: Catalogue, type: JobType, model: str, prompt: str) -> None:
    """Raises PromptTooLong."""
    limit = prompt_limit(catalogue, type, model)
    if len(prompt) > limit:
        raise PromptTooLong(limit, len(prompt) - limit)


def visible(text: str | None) -> str:
    """The text without white space around it; empty when nothing of it can be seen (zero-width characters)."""
    shows = any(unicodedata.category(one)[0] not in "CZ" and one not in BLANKS for one in text or "")
    return (text or "").strip() if shows else ""
