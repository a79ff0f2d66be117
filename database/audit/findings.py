"""The answer of a check: each finding names the broken rule and the rows that break it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from sqlalchemy import text

from database.engine import Tx

MOST_IDS = 20


@dataclass(frozen=True)
class Finding:
    """One broken rule: its name, the ids of the rows (at most 20), and a sentence about what is wrong."""

    check: str
    ids: tuple[str, ...]
    sentence: str

    def __str__(self) -> str:
        return ": ".join((self.sentence, ", ".join(self.ids))) if self.ids else self.sentence


def merged(findings: Iterable[Finding]) -> list[Finding]:
    """Findings with the same sentence put together, with at most `MOST_IDS` of their ids."""
    ids: dict[tuple[str, str], tuple[str, ...]] = {}
    for one in findings:
        kind = (one.check, one.sentence)
        ids[kind] = (ids.get(kind, ()) + one.ids)[:MOST_IDS]
    return [Finding(check, names, sentence) for (check, sentence), names in ids.items()]


def broken_rows(tx: Tx, check: str, sentence: str, query: str) -> Iterator[Finding]:
    ids = tuple(str(row[0]) for row in tx.execute(text(f"{query} LIMIT {MOST_IDS}")))
    if ids:
        yield Finding(check, ids, sentence)


def two_rules(tx: Tx, check: str, sentences: tuple[str, str], query: str) -> Iterator[Finding]:
    """Two rules about the same rows in one query: it answers an id and, for each rule, whether it is broken."""
    one, other = sentences
    rows = tx.execute(
        text(f"WITH looked(id, one, other) AS ({query}) SELECT * FROM looked WHERE one OR other")  # noqa: S608
    )
    first: list[str] = []
    second: list[str] = []
    for row in rows:
        first += [str(row.id)] * bool(row.one)
        second += [str(row.id)] * bool(row.other)
        if len(first) >= MOST_IDS or len(second) >= MOST_IDS:
            break
    rows.close()
    yield from with_ids(check, first, one)
    yield from with_ids(check, second, other)


def with_ids(check: str, ids: Iterable[object], sentence: str) -> Iterator[Finding]:
    """A finding about the first of these ids, if there are any."""
    first = tuple(str(one) for one, _ in zip(ids, range(MOST_IDS), strict=False))
    if first:
        yield Finding(check, first, sentence)
