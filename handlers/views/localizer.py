"""Texts, amounts and times in one person's language."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from typing import Final

from services.common.i18n import Argument, Texts
from services.pricing import format_rubles

MOSCOW: Final = timezone(timedelta(hours=3))


@dataclass(frozen=True)
class Localizer:
    """Renders texts in `language` ("ru" or "en")."""

    texts: Texts
    language: str

    def t(self, key: str, /, **args: Argument) -> str:
        """The text `key` as Telegram HTML; arguments are escaped unless they are Safe."""
        return self.texts.t(self.language, key, **args)

    def plain(self, key: str, /, **args: Argument) -> str:
        """The text `key` without markup, for a button or the answer to a callback query."""
        return self.texts.plain(self.language, key, **args)

    def rubles(self, kopecks: int) -> str:
        """An amount of kopecks in rubles, such as `12,50 ₽`."""
        return format_rubles(kopecks, self.language)

    @staticmethod
    def dollars(micro_usd: int) -> str:
        """An amount of micro-dollars, such as `$0.0336`."""
        return f"${micro_usd / 1_000_000:.4f}".rstrip("0").rstrip(".")

    def when(self, utc_ms: int) -> str:
        """Day and time of a UTC time in milliseconds: Moscow time in Russian, UTC in English.

        Telegram does not tell a person's time zone.
        """
        zone = UTC if self.language == "en" else MOSCOW
        return datetime.fromtimestamp(utc_ms / 1000, zone).strftime("%d.%m %H:%M")
