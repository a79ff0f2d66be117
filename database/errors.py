"""Everything that can go wrong behind the database's door. A driver's own error never comes out.

DatabaseError
├── Refusal                  the request was understood and not granted; nothing was written
│   ├── InsufficientFunds    less on the balance than was asked for
│   ├── KeyReused            the key (or job id) already stands for another input
│   ├── IllegalMove          the state does not allow it
│   ├── NotFound             there is no such thing
│   └── StartRefused         a job may not start: Banned, UnderMaintenance, TooManyJobs, SpendLimitReached
├── BooksDisagree            the ledger's sum and its shadow differ: nothing more moves for that user
├── BrokenRule               a constraint or trigger of the schema refused a write
├── DatabaseUnavailable      disk full, locked, unreachable: ask again, every call is safe to repeat
├── UnsupportedDatabase      wrong library, wrong URL or a schema from the future
└── MigrationFailed          an old file holds what can't be carried over; nothing was changed
"""

from __future__ import annotations

from collections.abc import Sequence


class DatabaseError(Exception):
    """Base of all errors that come out of `database`."""


class Refusal(DatabaseError):
    """The request was understood and not granted; nothing was written."""


class InsufficientFunds(Refusal):
    """Less on the balance than was asked for; both sums in kopecks."""

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
    """The owner has closed the shop to this user."""


class UnderMaintenance(StartRefused):
    """The owner has paused new jobs."""


class TooManyJobs(StartRefused):
    """The user has as many open jobs as the limit allows."""

    def __init__(self, limit: int) -> None:
        super().__init__(f"already {limit} open jobs")
        self.limit = limit


class SpendLimitReached(StartRefused):
    """What providers cost today, with this order, would be more than the owner allows for a day."""


class BooksDisagree(DatabaseError):
    """The ledger's sum and its shadow differ for a user; a person has to look before money moves again."""


class BrokenRule(DatabaseError):
    """A constraint or trigger of the schema refused a write: a fault of ours, caught by the last guard."""


class DatabaseUnavailable(DatabaseError):
    """The database did not answer or could not write; the outcome may be unknown, repeating is safe."""


class UnsupportedDatabase(DatabaseError):
    """The URL, the SQLite library or the schema version can't be used by this program."""


class MigrationFailed(DatabaseError):
    """An old database holds values that can't be carried over; nothing was changed."""

    def __init__(self, faults: Sequence[str]) -> None:
        super().__init__("the database was left as it was:\n" + "\n".join(f"- {fault}" for fault in faults))
        self.faults = tuple(faults)
