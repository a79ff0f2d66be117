"""All errors of the database. A driver's own error is never raised to a caller.

DatabaseError
├── Refusal                  the request was understood and refused; nothing was written
│   ├── InsufficientFunds    the balance is lower than the amount asked for
│   ├── KeyReused            the key (or job id) was used with another input
│   ├── IllegalMove          the state does not allow it
│   ├── NotFound             there is no such row
│   └── StartRefused         a job may not start: Banned, UnderMaintenance, TooManyJobs, SpendLimitReached
├── BooksDisagree            the ledger's sum and its shadow differ: no more money moves for that user
├── BrokenRule               a constraint or trigger of the schema refused a write
├── DatabaseUnavailable      disk full, locked, unreachable: try again, every call is safe to repeat
├── UnsupportedDatabase      wrong library, wrong URL or the schema of a newer version
└── MigrationFailed          an old file holds values that can't be carried over; nothing was changed
"""

from __future__ import annotations

from collections.abc import Sequence


class DatabaseError(Exception):
    """Base of all errors that come out of `database`."""


class Refusal(DatabaseError):
    """The request was understood and refused; nothing was written."""


class InsufficientFunds(Refusal):
    """The balance is lower than the amount asked for; both sums in kopecks."""

    def __init__(self, balance: int, needed: int) -> None:
        super().__init__(f"balance {balance} kopecks, needed {needed}")
        self.balance = balance
        self.needed = needed

    @property
    def missing(self) -> int:
        return self.needed - self.balance


class KeyReused(Refusal):
    """The key (or job id) was used before with another user or amount."""


class IllegalMove(Refusal):
    """The present state does not allow this move."""


class NotFound(Refusal):
    """There is no such reservation, job, payment or draft."""


class StartRefused(Refusal):
    """A job may not start now, whatever the balance."""


class Banned(StartRefused):
    """An admin has banned this user."""


class UnderMaintenance(StartRefused):
    """An admin has paused new jobs."""


class TooManyJobs(StartRefused):
    """The user has as many open jobs as the limit allows."""

    def __init__(self, limit: int) -> None:
        super().__init__(f"already {limit} open jobs")
        self.limit = limit


class SpendLimitReached(StartRefused):
    """With this order providers would cost more today than the setting allows for a day."""


class BooksDisagree(DatabaseError):
    """The ledger's sum and its shadow differ for a user; an admin has to look before money moves again."""


class BrokenRule(DatabaseError):
    """A constraint or trigger of the schema refused a write: a bug of ours that the schema caught."""


class DatabaseUnavailable(DatabaseError):
    """The database did not answer or could not write; the outcome may be unknown, repeating is safe."""


class UnsupportedDatabase(DatabaseError):
    """The URL, the SQLite library or the schema version can't be used by this program."""


class MigrationFailed(DatabaseError):
    """An old database holds values that can't be carried over; nothing was changed."""

    def __init__(self, faults: Sequence[str]) -> None:
        super().__init__("the database was left as it was:\n" + "\n".join(f"- {fault}" for fault in faults))
        self.faults = tuple(faults)
