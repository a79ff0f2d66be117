"""The public interface of the database: `db` and `Database`, the rows, the states and the errors.

    await db.init_db()                                   # create or migrate, leaves nothing open
    entry = await db.add_balance(7001, 50_000, key="gift-1", reason="gift")
    job, new = await db.write(jobs.start, order, max_active=3)    # any function of an open transaction

`DATABASE_URL` is read at the first use. Amounts are integer kopecks. Each method is one transaction and is safe to
repeat with the same input: a cancelled call may have committed, and the repeat answers what it did.
"""

from __future__ import annotations

import asyncio

from database import ledger
from database.engine import AsyncSqlite, SqliteFile, Tx
from database.errors import (
    Banned,
    BooksDisagree,
    BrokenRule,
    DatabaseError,
    DatabaseUnavailable,
    IllegalMove,
    InsufficientFunds,
    KeyReused,
    MigrationFailed,
    NotFound,
    Refusal,
    SpendLimitReached,
    StartRefused,
    TooManyJobs,
    UnderMaintenance,
    UnsupportedDatabase,
)
from database.rows import (
    Asset,
    Debt,
    Difference,
    Draft,
    Entry,
    InboxItem,
    Job,
    OutboxItem,
    Payment,
    ProviderCall,
    RecentCall,
    Refund,
    Reservation,
    User,
)
from database.states import (
    CallOutcome,
    DifferenceState,
    EntryKind,
    JobStatus,
    JobStep,
    JobType,
    PaymentStatus,
    Reason,
    RefundStatus,
    ReservationState,
)

__all__ = [
    "Asset",
    "Banned",
    "BooksDisagree",
    "BrokenRule",
    "CallOutcome",
    "Database",
    "DatabaseError",
    "DatabaseUnavailable",
    "Debt",
    "Difference",
    "DifferenceState",
    "Draft",
    "Entry",
    "EntryKind",
    "IllegalMove",
    "InboxItem",
    "InsufficientFunds",
    "Job",
    "JobStatus",
    "JobStep",
    "JobType",
    "KeyReused",
    "MigrationFailed",
    "NotFound",
    "OutboxItem",
    "Payment",
    "PaymentStatus",
    "ProviderCall",
    "Reason",
    "RecentCall",
    "Refund",
    "RefundStatus",
    "Refusal",
    "Reservation",
    "ReservationState",
    "SpendLimitReached",
    "StartRefused",
    "TooManyJobs",
    "Tx",
    "UnderMaintenance",
    "UnsupportedDatabase",
    "User",
    "db",
]


class Database(AsyncSqlite):
    """The methods on money that other programs use. Everything else goes through `write` and `read`."""

    async def init_db(self) -> None:
        """Create the database, or bring an older one (version 1.3 included) to the newest schema; may be repeated."""
        from database.migrate import migrate  # Alembic takes half a second to import, and workers never need it

        await self.close()
        path, clock = self.path, self._clock

        def work() -> None:
            file = SqliteFile.open(path, clock)
            try:
                migrate(file)
            finally:
                file.close()

        await asyncio.to_thread(work)

    async def get_balance(self, user_id: int) -> int:
        """Kopecks on the user's balance; an unknown user has 0."""
        return await self.read(ledger.get_balance, user_id)

    async def add_balance(self, user_id: int, amount: int, *, key: str, reason: str) -> Entry:
        """Credit `amount` kopecks once per key. Raises KeyReused when the key stands for another user or amount."""
        return await self.write(ledger.add_balance, user_id, amount, key=key, reason=reason)

    async def subtract_balance(self, user_id: int, amount: int, *, key: str, reason: str) -> Entry:
        """Debit `amount` kopecks once per key. Raises KeyReused, InsufficientFunds."""
        return await self.write(ledger.subtract_balance, user_id, amount, key=key, reason=reason)

    async def reserve_balance(self, user_id: int, amount: int, job_id: str) -> Reservation:
        """Set `amount` kopecks aside for a job id. Raises KeyReused, InsufficientFunds; IllegalMove for an open job."""
        return await self.write(ledger.reserve_balance, user_id, amount, job_id)

    async def charge_reserved_balance(self, job_id: str, amount: int | None = None) -> Reservation:
        """Earn the reserve or `amount` kopecks of it, the rest goes back. Raises KeyReused, IllegalMove, NotFound."""
        return await self.write(ledger.charge_reserved_balance, job_id, amount)

    async def refund_balance(self, job_id: str) -> Reservation:
        """Give the whole reserve back. Raises IllegalMove when it was charged, NotFound."""
        return await self.write(ledger.refund_balance, job_id)


db = Database()
