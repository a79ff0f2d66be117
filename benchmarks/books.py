"""Books of the size that they have after years: made in bulk, with right sums, guards and seals."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from pysqlite3 import dbapi2 as sqlite

from database.audit import seals
from database.engine import SqliteFile
from database.models import Database

STORY = 10  # entries of one block: a top-up, some jobs, refunds, gifts and debits of other programs
BEGAN_MS = 1_700_000_000_000
PAID, PRICE, LESS = 500_000, 1_200, 1_000


@dataclass(frozen=True)
class Size:
    """The size of the books; `jobs_per_story` of each ten entries are reserves of jobs (1 to 7)."""

    entries: int
    users: int
    jobs_per_story: int = 1

    @property
    def stories(self) -> int:
        return self.entries // STORY

    @property
    def jobs(self) -> int:
        return self.stories * self.jobs_per_story


async def build(path: Path, size: Size) -> None:
    """Make the file with the program's own schema, fill it without guards and indexes, create these again, seal it."""
    db = Database(f"sqlite:///{path}")
    await db.init_db()
    with closing(sqlite.connect(str(path), isolation_level=None)) as connection:
        for pragma in ("journal_mode=OFF", "synchronous=OFF", "foreign_keys=OFF", "cache_size=-1000000"):
            connection.execute(f"PRAGMA {pragma}")
        with _bare_tables(connection):
            for statement in _statements(size):
                connection.execute(statement)
        connection.execute("PRAGMA journal_mode=WAL")
    file = SqliteFile.open(path)
    while file.write(seals.seal) is not None:
        pass
    file.close()


@contextmanager
def _bare_tables(connection: sqlite.Connection) -> Iterator[None]:
    """Drop triggers and indexes, and create them again afterwards: an index over all rows at once is much faster."""
    made = connection.execute(
        "SELECT type, name, sql FROM sqlite_master WHERE type IN ('index', 'trigger') AND sql IS NOT NULL"
    ).fetchall()
    for kind, name, _ in made:
        connection.execute(f"DROP {kind} {name}")
    yield
    for _, _, sql in made:
        connection.execute(sql)


def _statements(size: Size) -> Iterator[str]:
    """`b` is a block, `k` an entry in it, `j` a job in it. Ids of jobs look random, as real ones do."""
    stories = f"WITH RECURSIVE s(b) AS (SELECT 0 UNION ALL SELECT b + 1 FROM s LIMIT {size.stories})"
    per, last_job = size.jobs_per_story, 1 + size.jobs_per_story
    jobs = f"k(j) AS (SELECT 1 UNION ALL SELECT j + 1 FROM k LIMIT {per})"
    entries = f"k(k) AS (SELECT 1 UNION ALL SELECT k + 1 FROM k LIMIT {STORY})"
    user = f"1 + b % {size.users}"
    job = "printf('%08x%08x', (b * 2654435761 + {j} * 40503) & 4294967295, b * 8 + {j})"
    one, a_job, first = job.format(j="j"), job.format(j="(k - 1)"), job.format(j="1")
    when = f"{BEGAN_MS} + b * {STORY * 1000}"
    state = (
        "CASE WHEN j > 1 THEN 'c' WHEN b % 10 = 0 THEN 'f' WHEN b % 10 = 1 THEN 'l' WHEN b % 1000 = 2 THEN 'o'"
        " ELSE 'c' END"
    )
    yield (
        f"INSERT INTO users (id, created_at) WITH RECURSIVE u(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM u"
        f" LIMIT {size.users}) SELECT n, {BEGAN_MS} FROM u"
    )
    yield (
        "INSERT INTO payments (id, user_id, provider, provider_payment_id, amount, status, created_at, paid_at,"
        f" idempotency_key) {stories} SELECT 'p' || b, {user}, 'yookassa', 'y' || b, {PAID}, 'paid', {when}, {when},"
        " 'i' || b FROM s"
    )
    yield (
        "INSERT INTO jobs (id, user_id, type, model, prompt, params, status, progress, cost_estimate, cost_actual,"
        " attempt, created_at, started_at, completed_at, delivered_at, error_code, step, due_at, chat_id)"
        f" {stories}, {jobs}, x AS (SELECT b, j, {state} AS x FROM s CROSS JOIN k)"
        f" SELECT {one}, {user}, 'image', 'nano_banana', 'a red fox in the forest, ' || b, '{{\"ratio\": \"1:1\"}}',"
        " CASE x WHEN 'f' THEN 'failed' WHEN 'o' THEN 'processing' ELSE 'completed' END, 100,"
        f" {PRICE}, CASE x WHEN 'c' THEN {PRICE} WHEN 'l' THEN {LESS} END, 1, {when}, {when}, {when},"
        f" CASE WHEN x IN ('c', 'l') THEN {when} END, CASE x WHEN 'f' THEN 'refused' END,"
        f" CASE x WHEN 'o' THEN 'image' END, CASE x WHEN 'o' THEN {when} END, {user} FROM x"
    )
    yield (
        "INSERT INTO reservations (job_id, user_id, amount, charged, state, hold_until, created_at, closed_at)"
        f" {stories}, {jobs}, x AS (SELECT b, j, {state} AS x FROM s CROSS JOIN k)"
        f" SELECT {one}, {user}, {PRICE}, CASE x WHEN 'c' THEN {PRICE} WHEN 'l' THEN {LESS} ELSE 0 END,"
        " CASE x WHEN 'f' THEN 'refunded' WHEN 'o' THEN 'reserved' ELSE 'charged' END,"
        f" {when} + 900000, {when}, {when} FROM x"
    )
    yield (
        "INSERT INTO provider_calls (job_id, attempt, provider, model, outcome, started_at, ended_at)"
        f" {stories}, {jobs} SELECT {one}, 1, 'nano_banana', 'm', CASE WHEN j = 1 AND b % 10 = 0 THEN 'refused'"
        f" ELSE 'ok' END, {when}, {when} FROM s CROSS JOIN k"
    )
    yield (
        "INSERT INTO assets (id, user_id, job_id, role, store_key, sha256, mime, size, width, height, created_at,"
        f" expires_at) {stories}, {jobs}, x AS (SELECT b, j, {state} AS x FROM s CROSS JOIN k)"
        f" SELECT 'a' || {one}, {user}, {one}, 'result', 'results/' || {one} || '.png', printf('%064d', b),"
        f" 'image/png', 100000, 1024, 1024, {when}, {when} FROM x WHERE x IN ('c', 'l')"
    )
    yield (
        "INSERT INTO ledger (user_id, kind, amount, reason, job_id, payment_id, key, created_at)"
        f" {stories}, {entries}, x AS (SELECT b, k, CASE WHEN k = 1 THEN 'p' WHEN k <= {last_job} THEN 'r'"
        " WHEN k = 9 AND b % 10 = 0 THEN 'f' WHEN k = 9 AND b % 10 = 1 THEN 'l' WHEN k % 2 = 0 THEN '+' ELSE '-' END"
        " AS x FROM s CROSS JOIN k)"
        f" SELECT {user}, CASE x WHEN 'p' THEN 'credit' WHEN '+' THEN 'credit' WHEN 'r' THEN 'debit'"
        " WHEN '-' THEN 'debit' ELSE 'refund' END,"
        f" CASE x WHEN 'p' THEN {PAID} WHEN 'r' THEN -{PRICE} WHEN 'f' THEN {PRICE} WHEN 'l' THEN {PRICE - LESS}"
        " WHEN '+' THEN 150 ELSE -100 END,"
        " CASE x WHEN 'p' THEN 'topup' WHEN 'r' THEN 'reserve' WHEN 'f' THEN 'refund' WHEN 'l' THEN 'difference'"
        " WHEN '+' THEN 'gift' ELSE 'spent' END,"
        f" CASE x WHEN 'r' THEN {a_job} WHEN 'f' THEN {first} WHEN 'l' THEN {first} END,"
        " CASE x WHEN 'p' THEN 'p' || b END,"
        f" CASE x WHEN 'p' THEN 'payment:p' || b WHEN 'r' THEN 'reserve:' || {a_job} WHEN 'f' THEN 'refund:' || {first}"
        f" WHEN 'l' THEN 'difference:' || {first} ELSE 'caller:' || b || '-' || k END, {when} + k FROM x"
    )
    yield (
        "INSERT INTO balances (user_id, balance, entries, last_id)"
        " SELECT user_id, SUM(amount), COUNT(*), MAX(id) FROM ledger GROUP BY user_id"
    )
