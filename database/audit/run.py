"""The whole audit, on connections of its own: checks run at the same time, on snapshots that no writer waits for.

Each check is valid on any snapshot, and sealed entries never change, so the checks need not share one snapshot.
SQLite releases Python's lock while it works, so threads can use more than one core.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from sqlalchemy import func, select, text
from sqlalchemy.exc import SQLAlchemyError

from database import clock
from database.audit import append_only, checks, seals
from database.audit.findings import Finding, merged
from database.audit.seals import Seal
from database.engine import SqliteFile, Tx
from database.errors import DatabaseError, DatabaseUnavailable, UnsupportedDatabase
from database.schema import balances, metadata, reservations
from database.states import ReservationState

THREADS = 2
SHARES = 16  # parts into which the sealed entries are cut
DEEP_BYTES = 256 * 1024 * 1024
"""Up to this size every index is compared with its table, row by row. In larger files only when asked for."""
CACHE_KIB = 48 * 1024  # of each connection
STEPS_BETWEEN_STOP_CHECKS = 200_000  # instructions of SQLite's virtual machine: some milliseconds

Check = Callable[[Tx], Iterable[Finding]]


@dataclass(frozen=True)
class Books:
    """What the audit found: broken rules, and the numbers that describe the books (kopecks, UTC ms)."""

    findings: tuple[Finding, ...]
    head: Seal | None
    seals: int
    entries: int  # sealed or not
    unsealed: int
    balances: int
    held: int
    deep: bool
    seconds: float

    @property
    def sound(self) -> bool:
        return not self.findings


class Stopped(DatabaseUnavailable):
    """The audit was stopped before its end."""


def run(
    path: Path,
    *,
    threads: int = THREADS,
    head: str | None = None,
    deep: bool | None = None,
    stop: threading.Event | None = None,
) -> Books:
    """Check everything. It blocks until it is done, so call it in a thread of its own.

    `head`: a seal's hash that was sent from this machine earlier. `deep`: compare each index with its table (None:
    only if the file is small). Raises Stopped soon after `stop` is set, DatabaseError when the file can't be read.
    """
    started, stop = clock.steady(), stop or threading.Event()
    file = SqliteFile.open(path)
    try:
        if not file.read(_has_seals):
            raise UnsupportedDatabase(
                f"{path} has the schema of an older version; `python main.py restore` into a fresh place brings a copy"
                " up to date and audits it, the bot does the same with its own file when it starts"
            )
        chain = file.read(seals.chain)
        books = file.read(_numbers)
    finally:
        file.close()
    if deep is None:
        deep = path.stat().st_size <= DEEP_BYTES
    work = deque(enumerate(_work(chain, head, deep)))
    found = _share(path, work, max(1, threads), stop)
    if stop.is_set():
        raise Stopped("the audit was stopped")
    entries, unsealed, total, held = books
    return Books(
        findings=tuple(sorted(merged(found), key=lambda one: (one.check not in checks.RULES, one.check))),
        head=chain[-1] if chain else None,
        seals=len(chain),
        entries=entries,
        unsealed=unsealed,
        balances=total,
        held=held,
        deep=deep,
        seconds=clock.steady() - started,
    )


def seal_all(path: Path, *, most: int = seals.MOST_ENTRIES, stop: threading.Event | None = None) -> int:
    """Seal everything that is not sealed yet; returns how many seals were written. It blocks, like `run`.

    The hashes are computed on a snapshot, without a lock. Only the finished row is written, if it still follows the
    newest seal.
    """
    made = 0
    file = SqliteFile.open(path)
    try:
        while stop is None or not stop.is_set():
            new = file.read(lambda tx: seals.compute(tx, most=most))
            if new is None:
                break
            made += file.write(partial(seals.add, new=new))
    finally:
        file.close()
    return made


def _has_seals(tx: Tx) -> bool:
    return tx.row(text("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'seals'")) is not None


def _numbers(tx: Tx) -> tuple[int, int, int, int]:
    unsealed = seals.unsealed(tx)
    sealed = tx.execute(text("SELECT COALESCE(SUM(n), 0) FROM seals")).scalar()
    total = tx.execute(select(func.coalesce(func.sum(balances.c.balance), 0))).scalar()
    held = select(func.coalesce(func.sum(reservations.c.amount), 0))
    held = held.where(reservations.c.state == ReservationState.RESERVED)
    return int(sealed or 0) + unsealed, unsealed, int(total or 0), int(tx.execute(held).scalar() or 0)


def _work(chain: list[Seal], head: str | None, deep: bool) -> Iterator[tuple[str, Check]]:
    """All checks, each with its rule. The longest come first, so that the threads end at about the same time."""
    yield "file", partial(checks.check_table, table="ledger", deep=deep)
    for share in seals.shares(chain, SHARES):
        yield "I4", partial(append_only.sealed_entries_stay, chain=share)
    yield from checks.PIECES
    if head is not None:
        yield "I4", partial(append_only.head_is_known, head=head)
    for table in metadata.tables:
        yield "file", partial(checks.references_lead_somewhere, table=table)
        if table != "ledger":
            yield "file", partial(checks.check_table, table=table, deep=deep)
    yield "file", partial(checks.check_table, table="sqlite_schema", deep=deep)


def _share(
    path: Path, work: deque[tuple[int, tuple[str, Check]]], threads: int, stop: threading.Event
) -> list[Finding]:
    """Let `threads` threads take the work one by one. The findings come in the order of the work.

    The first error that is no finding is raised.
    """
    found: dict[int, list[Finding]] = {}
    errors: list[BaseException] = []

    def go() -> None:
        try:
            file = SqliteFile.open(path)
            try:
                file.raw.execute(f"PRAGMA cache_size=-{CACHE_KIB}")
                file.raw.set_progress_handler(stop.is_set, STEPS_BETWEEN_STOP_CHECKS)
                while not stop.is_set():
                    number, (rule, check) = work.popleft()
                    found[number] = _carefully(file, rule, check)
            finally:
                file.close()
        except IndexError:
            pass  # nothing is left
        except BaseException as error:
            errors.append(error)
            stop.set()

    runners = [threading.Thread(target=go, name=f"audit-{number}", daemon=True) for number in range(threads)]
    for runner in runners:
        runner.start()
    for runner in runners:
        runner.join()
    if errors:
        raise errors[0]
    return [finding for number in sorted(found) for finding in found[number]]


def _carefully(file: SqliteFile, rule: str, check: Check) -> list[Finding]:
    """What the check found. A check that fails is a finding as well and stops no other check."""
    try:
        return file.read(lambda tx: list(check(tx)))
    except (DatabaseError, SQLAlchemyError, ValueError, TypeError) as error:
        name = getattr(getattr(check, "func", check), "__name__", "check")
        return [Finding(rule, (), f"{name} could not be carried out: {' '.join(str(error).split())[:200]}")]
