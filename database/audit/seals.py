"""Seals over the ledger: they show which entries were changed behind the triggers.

Each seal is a SHA-256 over all entries since the seal before, chained to that seal's hash. A person who can write to
the file can drop the triggers, change an entry and create the triggers again, but this breaks a seal. If they compute
every seal anew, the head differs from the one that admins got with the daily report.

For the hash an entry is written as `id,user_id,amount,created_at,` in decimal, then `kind`, `reason`, `job_id`,
`payment_id` and `key`, each as `<length in bytes>:<bytes>` (`:` for NULL), then a newline. Two different entries are
never written the same way.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from sqlalchemy import func, insert, select, text

from database import flags as flag_rows
from database.engine import Tx
from database.errors import BooksDisagree
from database.rows import Row
from database.schema import NO_SEAL, ledger, seals

MOST_ENTRIES = 50_000
"""The most entries of one seal. An old ledger gets many seals, each written in a short transaction."""
MARK_BYTES = 4
NEWEST = "seal_newest"  # the flag with the newest seal's hash: it shows when the end of the chain was cut off
NUMBERS = ("id", "user_id", "amount", "created_at")
TEXTS = ("kind", "reason", "job_id", "payment_id", "key")
_CHUNK = 4_000  # entries hashed at once, about half a megabyte

_ENTRY = (
    f"concat({', '.join(f'{name}, {chr(39)},{chr(39)}' for name in NUMBERS)}, "
    f"{', '.join(f'octet_length({name}), {chr(39)}:{chr(39)}, {name}' for name in TEXTS)}, char(10))"
)
# NOT INDEXED makes SQLite read by id. Bytes, not text: what an intruder wrote need not be UTF-8.
_BY_ENTRY = text(
    f"SELECT id, amount, CAST({_ENTRY} AS BLOB) AS entry FROM ledger NOT INDEXED"  # noqa: S608 - our own constants
    " WHERE id BETWEEN :first AND :last ORDER BY id LIMIT :most"
)
_JOINED = text(
    "SELECT COUNT(*) AS n, SUM(amount) AS total, CAST(group_concat(entry, '') AS BLOB) AS entries FROM ("  # noqa: S608
    f"SELECT amount, {_ENTRY} AS entry FROM ledger NOT INDEXED WHERE id BETWEEN :first AND :last ORDER BY id)"
)


@dataclass(frozen=True)
class Seal(Row):
    """A row of `seals`; `total` in kopecks, hashes in hexadecimal. `marks` are read only where needed."""

    upto_id: int
    first_id: int
    n: int
    total: int
    entries_hash: str
    prev: str
    hash: str
    created_at: int


@dataclass(frozen=True)
class NewSeal:
    """A seal that is computed and not written yet."""

    seal: Seal
    marks: bytes = field(repr=False)


@dataclass(frozen=True)
class Body:
    """The entries of a range as they are now: how many, their sum, their hash."""

    n: int
    total: int
    entries_hash: str


# --- sealing ----------------------------------------------------------------------------------------


def newest(tx: Tx) -> Seal | None:
    """The newest seal: the head of the chain."""
    return Seal.maybe(tx.row(select(*_COLUMNS).order_by(seals.c.upto_id.desc()).limit(1)))


def compute(tx: Tx, *, most: int = MOST_ENTRIES) -> NewSeal | None:
    """The next seal, over at most `most` entries; None when all are sealed. It only reads, so no writer waits."""
    head = newest(tx)
    after, prev = (head.upto_id, head.hash) if head else (0, NO_SEAL)
    digest, marks, n, total, last = hashlib.sha256(), bytearray(), 0, 0, after
    for row in tx.execute(_BY_ENTRY, {"first": after + 1, "last": 2**63 - 1, "most": most}):
        digest.update(row.entry)
        marks += mark(row.entry)
        n, total, last = n + 1, total + row.amount, row.id
    if not n:
        return None
    body = Body(n, total, digest.hexdigest())
    sealed = _hash(prev, after + 1, last, body, bytes(marks), tx.now)
    seal = Seal(last, after + 1, n, total, body.entries_hash, prev, sealed, tx.now)
    return NewSeal(seal, bytes(marks))


def add(tx: Tx, new: NewSeal) -> bool:
    """Write the seal if it still follows the newest one; False when another process sealed meanwhile.

    Raises BooksDisagree when the newest seal is not the one that was noted: further seals would hide the change.
    """
    head = newest(tx)
    if flag_rows.get(tx, NEWEST) != (head.hash if head else ""):
        raise BooksDisagree("the newest seal of the ledger is not the one that was noted when it was written")
    if new.seal.prev != (head.hash if head else NO_SEAL):
        return False
    tx.execute(insert(seals).values(**vars(new.seal), marks=new.marks))
    flag_rows.put(tx, NEWEST, new.seal.hash)
    return True


def seal(tx: Tx, *, most: int = MOST_ENTRIES) -> Seal | None:
    """Compute and write the next seal in one transaction; None when all entries are sealed."""
    new = compute(tx, most=most)
    if new is None or not add(tx, new):
        return None
    return new.seal


# --- checking -----------------------------------------------------------------------------------------


def chain(tx: Tx) -> list[Seal]:
    """All seals, oldest first."""
    return [Seal.read(row) for row in tx.rows(select(*_COLUMNS).order_by(seals.c.upto_id))]


def find(tx: Tx, head: str) -> Seal | None:
    """The seal with this hash, or the only one whose hash begins with it."""
    query = select(*_COLUMNS).where(func.substr(seals.c.hash, 1, len(head)) == head.lower()).limit(2)
    found = tx.rows(query)
    return Seal.read(found[0]) if head and len(found) == 1 else None


def unsealed(tx: Tx) -> int:
    """How many entries no seal covers yet."""
    head = newest(tx)
    query = select(func.count()).select_from(ledger).where(ledger.c.id > (head.upto_id if head else 0))
    return int(tx.execute(query).scalar() or 0)


def unsealed_ids(tx: Tx) -> int:
    """How many ids come after the newest seal. Takes the same short time for any number of entries."""
    newest_id = func.coalesce(select(func.max(ledger.c.id)).scalar_subquery(), 0)
    sealed = func.coalesce(select(func.max(seals.c.upto_id)).scalar_subquery(), 0)
    return max(0, int(tx.execute(select(newest_id - sealed)).scalar() or 0))


def own_hash(tx: Tx, one: Seal) -> str:
    """The hash that this row must have, computed from its other columns."""
    marks = tx.execute(select(seals.c.marks).where(seals.c.upto_id == one.upto_id)).scalar() or b""
    return _hash(one.prev, one.first_id, one.upto_id, Body(one.n, one.total, one.entries_hash), marks, one.created_at)


def body(tx: Tx, one: Seal) -> Body:
    """The entries that the seal covers, as they are now."""
    digest, n, total = hashlib.sha256(), 0, 0
    for first in range(one.first_id, one.upto_id + 1, _CHUNK):
        last = min(first + _CHUNK - 1, one.upto_id)
        part = tx.execute(_JOINED, {"first": first, "last": last}).one()
        digest.update(part.entries or b"")
        n, total = n + part.n, total + (part.total or 0)
    return Body(n, total, digest.hexdigest())


def changes(tx: Tx, one: Seal) -> tuple[list[int], list[int]]:
    """Ids of entries that were deleted, and of those that were changed, since this seal. Both are empty if unknown.

    It is known only if every id of the range had an entry when it was sealed: otherwise it is not clear which mark
    belongs to which entry.
    """
    marks = tx.execute(select(seals.c.marks).where(seals.c.upto_id == one.upto_id)).scalar() or b""
    if one.n != one.upto_id - one.first_id + 1 or len(marks) != MARK_BYTES * one.n:
        return [], []
    changed: list[int] = []
    missing: list[int] = []
    expected = one.first_id
    for row in tx.execute(_BY_ENTRY, {"first": one.first_id, "last": one.upto_id, "most": one.n}):
        missing += range(expected, row.id)
        place = MARK_BYTES * (row.id - one.first_id)
        if mark(row.entry) != marks[place : place + MARK_BYTES]:
            changed.append(row.id)
        expected = row.id + 1
    missing += range(expected, one.upto_id + 1)
    return missing, changed


def mark(entry: bytes) -> bytes:
    return hashlib.sha256(entry).digest()[:MARK_BYTES]


def shares(all_seals: Sequence[Seal], parts: int) -> Iterator[list[Seal]]:
    """The seals in `parts` lists with about the same number of entries each, so that each can be checked by itself."""
    size = max(1, -(-len(all_seals) // parts))
    for start in range(0, len(all_seals), size):
        yield list(all_seals[start : start + size])


def _hash(prev: str, first_id: int, upto_id: int, body: Body, marks: bytes, created_at: int) -> str:
    """A seal's own hash. The first word is the version of this format."""
    facts = ("seal-1", prev, first_id, upto_id, body.n, body.total, body.entries_hash, created_at)
    return hashlib.sha256(" ".join(map(str, facts)).encode() + b"\n" + hashlib.sha256(marks).digest()).hexdigest()


_COLUMNS = [column for column in seals.c if column.name != "marks"]
