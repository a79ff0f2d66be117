"""Numbers for Prometheus, counted from the database and the queue at each scrape."""

from __future__ import annotations

import asyncio
import math

from prometheus_client import CollectorRegistry, Gauge, generate_latest

from database import admin
from database.audit import schedule, seals
from database.backup_rotation import Outcome
from database.models import Database, Tx
from services.ops import backups, disk
from services.payments import reconciliation
from services.queue import Queue


class Metrics:
    """Gauges that are read from the database and the queue at each scrape."""

    def __init__(self, db: Database, queue: Queue) -> None:
        self._db = db
        self._queue = queue
        self._one_scrape = asyncio.Lock()
        self._registry = CollectorRegistry()
        self._gauges = {
            name: Gauge(f"shop_{name}", text, registry=self._registry)
            for name, text in {
                "open_jobs": "Jobs that are paid for and not final",
                "held_kopecks": "Money reserved for open jobs",
                "balances_kopecks": "Money on all balances",
                "debts_kopecks": "Money owed by users",
                "undelivered_messages": "Messages given up because the chat can't be reached",
                "quarantined_payments": "Payments that wait for an admin's decision",
                "queue_depth": "Steps that wait for a worker",
                "queue_healthy": "1 while steps go where they should",
                "lost_results": "Orders whose provider worked and whose user did not pay",
                "users": "Users known",
                "backup_age_seconds": "Since the last verified copy; +Inf: there is none",
                "backup_bytes": "Size of that copy",
                "backup_verified": "1 when the last attempt at a copy ended with a verified one",
                "audit_age_seconds": "Since the last daily audit of the books; NaN before the first",
                "audit_sound": "1 when the last daily audit found the books sound; NaN before the first",
                "compared_age_seconds": "Since all providers' books were compared with ours; NaN before the first time",
                "ledger_unsealed": "Entries of the ledger that no seal covers yet",
                "disk_free_bytes": "Room on the disk under the database",
                "wal_bytes": "Size of the database's write-ahead log",
            }.items()
        }

    async def page(self) -> bytes:
        """The metrics page as bytes. Scrapes at the same time are done one after the other."""
        async with self._one_scrape:
            stats = await self._db.read_apart(admin.stats)
        copies = await self._db.read(backups.state)
        room = await asyncio.to_thread(disk.measure, self._db.path)
        values: dict[str, float] = {
            "open_jobs": stats.open_jobs,
            "held_kopecks": stats.held,
            "balances_kopecks": stats.balances,
            "debts_kopecks": stats.debts,
            "undelivered_messages": stats.undelivered,
            "quarantined_payments": stats.quarantined,
            "queue_depth": await self._queue.depth(),
            "queue_healthy": int(await self._queue.healthy()),
            "lost_results": stats.lost,
            "users": stats.users,
            "backup_age_seconds": copies.age_seconds,
            "backup_bytes": copies.good.size if copies.good else 0,
            "backup_verified": int(copies.last is not None and copies.last.outcome is Outcome.VERIFIED),
            "compared_age_seconds": await self._db.read(reconciliation.age_seconds),
            "disk_free_bytes": room.free,
            "wal_bytes": room.wal,
            **await self._db.read(_audited),
        }
        for name, value in values.items():
            self._gauges[name].set(value)
        return generate_latest(self._registry)


def _audited(tx: Tx) -> dict[str, float]:
    said = schedule.last(tx)
    known = said is not None and isinstance(said.get("at"), int)
    return {
        "audit_age_seconds": max(0, tx.now - said["at"]) / 1000 if said is not None and known else math.nan,
        "audit_sound": float(bool(said.get("sound"))) if said is not None and known else math.nan,
        "ledger_unsealed": seals.unsealed_ids(tx),
    }
