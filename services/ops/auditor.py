"""Seals the ledger every hour and audits the books once a day. Every admin gets the result with the head of the seals.

The seals are useful because of this message: a person who can change the database file can't change the head in it.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from database.audit import run as audit
from database.audit import schedule
from database.audit.findings import MOST_IDS
from database.audit.run import Books
from database.models import Database
from services.common.log import event

T = TypeVar("T")

_log = logging.getLogger(__name__)


class Auditor:
    """Two periodic tasks. Both use connections of their own, in a thread, so that nothing waits for them."""

    def __init__(self, db: Database, *, admins: Sequence[int] = ()) -> None:
        self._db = db
        self._admins = sorted(admins)

    async def seal(self) -> None:
        """Seal what was written since the last time. Raises BooksDisagree when the newest seal is missing."""
        path = self._db.path
        made = await in_thread(lambda stop: audit.seal_all(path, stop=stop))
        if made:
            event(_log, "ledger.sealed", seals=made)

    async def daily(self) -> None:
        """When an audit is due: seal, audit, write the result down together with the messages to admins.

        When this is cut off before the last step, the audit is still due and is made again.
        """
        planned = await self._db.write(schedule.due)
        if planned is None:
            return
        try:
            await self.seal()
        except Exception as error:  # the audit reports broken seals, so it goes on
            event(_log, "ledger.not_sealed", level=logging.ERROR, error=type(error).__name__, detail=str(error))
        path = self._db.path
        # One thread, so that the other processor is free for orders.
        books = await in_thread(lambda stop: audit.run(path, threads=1, stop=stop))
        if await self._db.write(schedule.record, planned, verdict(books), self._admins):
            level = logging.INFO if books.sound else logging.CRITICAL
            broken = [finding.check for finding in books.findings]
            event(_log, "books.audited", level=level, broken=broken, head=verdict(books)["head"], seconds=books.seconds)


def verdict(books: Books) -> dict[str, Any]:
    """The result of an audit for a message: numbers in kopecks and UTC ms, and the rows under each broken rule."""
    broken: dict[str, list[str]] = {}
    for finding in books.findings:
        broken[finding.check] = [*broken.get(finding.check, []), *finding.ids][:MOST_IDS]
    return {
        "sound": books.sound,
        "broken": broken,
        "head": books.head.hash if books.head else "",
        "upto": books.head.upto_id if books.head else 0,
        "sealed_at": books.head.created_at if books.head else 0,
        "seals": books.seals,
        "entries": books.entries,
        "unsealed": books.unsealed,
        "balances": books.balances,
        "held": books.held,
        "seconds": round(books.seconds, 1),
    }


async def in_thread(work: Callable[[threading.Event], T]) -> T:
    """Run `work(stop)` in a thread. `stop` is set when the caller is cancelled."""
    stop = threading.Event()
    try:
        return await asyncio.to_thread(work, stop)
    finally:
        stop.set()
