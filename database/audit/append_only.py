"""I4: the ledger only grew. The schema's guards and the seals are in place, and every sealed entry is as it was."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from sqlalchemy import text

from database import flags as flag_rows
from database.audit import seals
from database.audit.findings import MOST_IDS, Finding, broken_rows, with_ids
from database.audit.seals import Seal
from database.engine import Tx
from database.schema import NO_SEAL, SQLITE_TRIGGERS


def guards_are_in_place(tx: Tx) -> Iterator[Finding]:
    """I4: the triggers that refuse to change the past are those of the schema."""
    present = {_plain(row["sql"]) for row in tx.rows(text("SELECT sql FROM sqlite_master WHERE type = 'trigger'"))}
    missing = tuple(sql.split()[2] for sql in SQLITE_TRIGGERS if _plain(sql) not in present)
    if missing:
        yield Finding("I4", missing, "these guards of the schema are missing or changed")


def no_id_is_missing(tx: Tx) -> Iterator[Finding]:
    """I4: ids begin with 1 and have no gaps."""
    yield from broken_rows(
        tx, "I4", "these entries were put before the first one", "SELECT id FROM ledger WHERE id < 1"
    )
    if tx.execute(text("SELECT COUNT(*) <> COALESCE(MAX(id), 0) FROM ledger")).scalar():
        yield from broken_rows(
            tx,
            "I4",
            "entries before these ids are missing",
            "SELECT id FROM ledger l WHERE id > 1 AND NOT EXISTS (SELECT 1 FROM ledger e WHERE e.id = l.id - 1)",
        )


def seals_are_chained(tx: Tx) -> Iterator[Finding]:
    """I4: each seal follows the one before and is unchanged, and each head that was sent to admins is still a seal."""
    torn, changed, after, prev = [], [], 0, NO_SEAL
    chain = seals.chain(tx)  # read here, so that chain and note are of the same snapshot
    for one in chain:
        if (one.prev, one.first_id) != (prev, after + 1):
            torn.append(_range(one))
        if seals.own_hash(tx, one) != one.hash:
            changed.append(_range(one))
        after, prev = one.upto_id, one.hash
    yield from with_ids("I4", changed, "the seals over these entries were changed")
    yield from with_ids("I4", torn, "the seal before those over these entries is missing or another one")
    noted = flag_rows.get(tx, seals.NEWEST)
    if noted != (chain[-1].hash if chain else ""):
        yield Finding("I4", (noted or "none",), "the newest seal is not the one that was noted when it was written")
    there = {one.hash for one in chain}
    told = tx.rows(text(TOLD_HEADS))
    lost = {str(row["head"]) for row in told if row["head"] not in (None, "", "–")} - there
    yield from with_ids("I4", sorted(lost), "these heads were sent to administrators and are no seals any more")


TOLD_HEADS = """SELECT CASE WHEN json_valid(payload) THEN payload ->> '$.head' END AS head FROM outbox
    WHERE key >= 'audit:' AND key < 'audit;'"""


def sealed_entries_stay(tx: Tx, chain: Sequence[Seal]) -> Iterator[Finding]:
    """I4: the entries under each of these seals are those that were sealed. Changed entries are named if possible."""
    missing: list[str] = []
    changed: list[str] = []
    unknown: list[str] = []
    claims: list[str] = []
    for one in chain:
        body = seals.body(tx, one)
        if body.entries_hash == one.entries_hash:
            if (body.n, body.total) != (one.n, one.total):
                claims.append(_range(one))
            continue
        # To find the single entry takes long; when everything was rewritten, the ranges show it as well.
        gone, other = seals.changes(tx, one) if len(unknown) < MOST_IDS else ([], [])
        missing, changed = missing + _ranges(gone), changed + _ranges(other)
        if (not gone and not other) or len(missing) + len(changed) > MOST_IDS:
            unknown.append(_range(one))
    yield from with_ids("I4", missing, "these entries were deleted after they had been sealed")
    yield from with_ids("I4", changed, "these entries were changed after they had been sealed")
    yield from with_ids("I4", unknown, "the entries in these ranges are not those that were sealed")
    yield from with_ids("I4", claims, "the seals over these entries tell another count or sum than their entries have")


def _range(one: Seal) -> str:
    return f"{one.first_id}-{one.upto_id}"


def _ranges(ids: Sequence[int]) -> list[str]:
    """Ids in ascending order, with neighbours put together: 5, 7-12."""
    runs: list[list[int]] = []
    for number in ids:
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return [str(first) if first == last else f"{first}-{last}" for first, last in runs]


def head_is_known(tx: Tx, head: str) -> Iterator[Finding]:
    """I4: a head that was sent from this machine earlier is still a seal, so nothing before it was rewritten."""
    if seals.find(tx, head) is None:
        yield Finding("I4", (head,), "no seal has this hash: the ledger was rewritten, cut off, or is another shop's")


def _plain(sql: str) -> str:
    """A statement without its layout."""
    return " ".join(sql.split())
