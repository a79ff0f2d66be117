"""What the admins are told about money: a message owed through the outbox, once for each key."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from database import clock, outbox
from database.models import Database
from services.payments.yookassa.client import ErrorKind, YooKassaError

_FOR_ADMINS: Final = (ErrorKind.CREDENTIALS, ErrorKind.FORBIDDEN)


class AdminAlerts:
    """Alerts to the same admins (Telegram ids)."""

    def __init__(self, db: Database, admins: Sequence[int]) -> None:
        self._db = db
        self.admins = sorted(admins)

    async def owe(self, key: str, text: str, /, **args: str) -> None:
        """Owe each admin a message, once for `key`; `text` is the id of a sentence in locales, `args` its variables."""
        await self._db.write(outbox.alert_admins, self.admins, key, text, **args)

    async def owe_refusal(self, error: YooKassaError) -> None:
        """YooKassa refuses what the shop wants: one alert an hour for each kind of refusal."""
        hour = clock.now_ms() // clock.HOUR_MS
        key = f"yookassa:{error.kind}:{hour}"
        await self.owe(key, "alert-yookassa", code=error.kind.value, detail=str(error)[:300])

    async def owe_if_refused(self, error: Exception) -> None:
        """As `owe_refusal`, where YooKassa refuses our key or what we may do with it; nothing for any other error."""
        if isinstance(error, YooKassaError) and error.kind in _FOR_ADMINS:
            await self.owe_refusal(error)
