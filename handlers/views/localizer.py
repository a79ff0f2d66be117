"""The bot's texts in one person's language."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from typing import Final

from services.common.i18n import Argument, Texts
from services.pricing import format_rubles

MOSCOW: Final = timezone(timedelta(hours=3))


@dataclass(frozen=True)
class Localizer:
    """Speaks one language."""

    texts: Texts
    language: str

    def t(self, key: str, /, **args: Argument) -> str:
        """The text as Telegram HTML; arguments are escaped."""
        return self.texts.t(self.language, key, **args)

    def plain(self, key: str, /, **args: Argument) -> str:
        """The text for a button or the answer to a tap."""
        return self.texts.plain(self.language, key, **args)

    def rubles(self, kopecks: int) -> str:
        return format_rubles(kopecks, self.language)

    def when(self, utc_ms: int) -> str:
        """Day and time as the person's clock shows them, near enough: Moscow in Russian, UTC in English."""
        zone = UTC if self.language == "en" else MOSCOW
        return datetime.fromtimestamp(utc_ms / 1000, zone).strftime("%d.%m %H:%M")
