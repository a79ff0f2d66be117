"""Seals the ledger every hour and proves the books once a day; every administrator gets the verdict with the head.

The message is what makes the seals count: the head in it is out of reach of whoever can change the file.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from database.audit import run as audit
from database.audit import schedule as audits
from database.audit.findings import MOST_IDS
from database.audit.run import Books
from database.models import Database
from services.common.log import event

T = TypeVar("T")

_log = logging.getLogger(__name__)


class Auditor:
    """Two duties of the sweeper. Both work on connections of their own, in a thread that keeps nobody waiting."""

    def __init__(self, db: Database, *, admins: Sequence[int] = ()) -> None:
        self._db = db
        self._admins = sorted(admins)

    async def seal(self) -> None:
        """Seal what was written since the last time. Raises BooksDisagree when the newest seal is not there."""
        path = self._db.path
        made = await apart(lambda stop: audit.seal_all(path, stop=stop))
        if made:
            event(_log, "ledger.sealed", seals=made)

    async def daily(self) -> None:
        """When it is time: seal, audit, write the verdict down and tell the administrators, in that order.

        Cut off anywhere before the last step, the audit is still due and is made again.
        """
        planned = await self._db.write(audits.due)
        if planned is None:
            return
        try:
            await self.seal()
        except Exception as error:  # broken seals are what the audit is there to report
            event(_log, "ledger.not_sealed", level=logging.ERROR, error=type(error).__name__, detail=str(error))
        path = self._db.path
        # One thread: the other processor is for the people who order meanwhile.
        books = await apart(lambda stop: audit.run(path, threads=1, stop=stop))
        if await self._db.write(audits.record, planned, verdict(books), self._admins):
            level = logging.INFO if books.sound else logging.CRITICAL
            broken = [finding.check for finding in books.findings]
            event(_log, "books.audited", level=level, broken=broken, head=verdict(books)["head"], seconds=books.seconds)


def verdict(books: Books) -> dict[str, Any]:
    """What a message says of the audit: numbers in kopecks and UTC ms, and the rows under each broken rule."""
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


async def apart(work: Callable[[threading.Event], T]) -> T:
    """Run `work(stop)` in a thread; when the caller is cancelled the work is told to stop."""
    stop = threading.Event()
    try:
        return await asyncio.to_thread(work, stop)
    finally:
        stop.set()
