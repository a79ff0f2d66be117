"""The connection to the database file: one synchronous function per transaction, run on a thread of its own.

A transaction never spans an `await`: a task that is cancelled inside one would leave the transaction open on the
thread. So the thread gets a whole function. When the caller is cancelled, the transaction is still committed or rolled
back as a whole, and the caller may repeat the call, because each of our calls has a key. Between processes a `flock`
gate stands before BEGIN IMMEDIATE: with SQLite's own waiting, one of several processes can wait for seconds.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import functools
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar
from urllib.parse import unquote, urlsplit

import aiosqlite
from dotenv import dotenv_values
from sqlalchemy import Connection, CursorResult, Dialect, Engine, Executable, RowMapping, create_engine, make_url, or_
from sqlalchemy import exc as driver_errors
from sqlalchemy.pool import NullPool, StaticPool
from sqlalchemy.util import LRUCache

from database.clock import now_ms
from database.errors import BrokenRule, DatabaseError, DatabaseUnavailable, InsufficientFunds, UnsupportedDatabase
from database.schema import REVISION
from database.sqlite_library import sqlite

P = ParamSpec("P")
T = TypeVar("T")

DEFAULT_URL = "sqlite:///data/bot.db"
DIALECT = "sqlite+pysqlite://"
COMPILED_KEPT = 500  # statements; the code has fewer
WAL_KEPT_BYTES = 64 * 1024 * 1024  # a larger log file is cut to this size after a checkpoint
BUSY_TIMEOUT_SECONDS = 10.0
PATIENCE_SECONDS = 60.0  # how long a caller waits while another process holds the file inside a transaction


@dataclass(frozen=True)
class Tx:
    """An open transaction, as functions of rows see it. `now` is the same for all of its statements."""

    connection: Connection
    now: int  # UTC milliseconds

    def execute(self, statement: Executable, parameters: Any = None) -> CursorResult[Any]:
        return self.connection.execute(statement, parameters)

    def rows(self, statement: Executable, parameters: Any = None) -> Sequence[RowMapping]:
        return self.connection.execute(statement, parameters).mappings().all()

    def row(self, statement: Executable, parameters: Any = None) -> RowMapping | None:
        return self.connection.execute(statement, parameters).mappings().first()

    def changed(self, statement: Executable) -> bool:
        """Run a conditional UPDATE or INSERT; True when it changed at least one row."""
        return self.connection.execute(statement).rowcount > 0

    def is_due(self, moment: Any, far_ms: int) -> Any:
        """The condition that a time has come, or lies so far ahead that only a wrong clock can have written it."""
        return or_(moment <= self.now, moment > self.now + far_ms)


def url_from_environment() -> str:
    """`DATABASE_URL` from the environment, else from `.env` in the current folder, else the default."""
    return os.environ.get("DATABASE_URL") or dotenv_values(".env").get("DATABASE_URL") or DEFAULT_URL


def sqlite_path(url: str) -> Path:
    """`sqlite:///data/bot.db` → `data/bot.db`, `sqlite:////srv/bot.db` → `/srv/bot.db`.

    Raises UnsupportedDatabase for any other URL; the message says which form is accepted.
    """
    parts = urlsplit(url)
    if parts.scheme in ("postgresql", "postgres"):
        raise UnsupportedDatabase("DATABASE_URL: PostgreSQL is not served by this version; use sqlite:///data/bot.db")
    path = unquote(parts.path.removeprefix("/"))
    if parts.scheme != "sqlite" or parts.netloc or not path or path == ":memory:":
        raise UnsupportedDatabase("DATABASE_URL must look like sqlite:///data/bot.db (a file, never memory)")
    return Path(path)


@functools.cache
def _common() -> tuple[Dialect, LRUCache[Any, Any]]:
    """What all connections of a process share: the dialect and the cache of compiled statements.

    Each step of a worker opens the file again, and compiling its statements takes longer than running them.
    """
    engine = create_engine(DIALECT, module=sqlite, poolclass=NullPool)
    engine.connect().close()  # a database in memory: the first connection tells the dialect what the library can do
    return engine.dialect, LRUCache(COMPILED_KEPT)


class SqliteFile:
    """One connection to the file with its gate, for use on one thread only."""

    @classmethod
    def open(cls, path: Path, clock: Callable[[], int] = now_ms) -> SqliteFile:
        """Raises UnsupportedDatabase for a file that is no SQLite database, DatabaseUnavailable when opening fails."""
        try:
            return cls(path, clock)
        except (sqlite.Error, OSError, UnicodeDecodeError) as error:
            raise _own_error(error, f"{path}: ") from error

    def __init__(self, path: Path, clock: Callable[[], int] = now_ms) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._clock = clock
        self.path = path
        self._gate = os.open(f"{path}.gate", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            self.raw = sqlite.connect(
                str(path), isolation_level=None, timeout=BUSY_TIMEOUT_SECONDS, cached_statements=256
            )
        except BaseException:
            os.close(self._gate)
            raise
        try:
            self._prepare()
        except BaseException:
            self.raw.close()
            os.close(self._gate)
            raise
        self._core = self._connect_core()

    def _prepare(self) -> None:
        """Make the settings that each connection needs. Only the first connection of all changes the journal mode."""
        mode = self.raw.execute("PRAGMA journal_mode").fetchone()[0]
        if mode != "wal":
            with self.gate():
                mode = self.raw.execute("PRAGMA journal_mode=WAL").fetchone()[0]
        if mode != "wal":
            raise UnsupportedDatabase(f"the file system does not allow SQLite's WAL mode (got {mode})")
        for pragma in ("synchronous=FULL", "foreign_keys=ON", "recursive_triggers=ON", "trusted_schema=OFF"):
            self.raw.execute(f"PRAGMA {pragma}")
        self.raw.execute(f"PRAGMA journal_size_limit={WAL_KEPT_BYTES}")
        if self.raw.execute("PRAGMA synchronous").fetchone()[0] != 2:
            raise UnsupportedDatabase("SQLite refused synchronous=FULL, acknowledged money could be lost")

    def _connect_core(self) -> Connection:
        """SQLAlchemy's view of the connection. It is kept, because making it takes longer than most transactions."""
        dialect, compiled = _common()
        engine = Engine(StaticPool(lambda: self.raw, dialect=dialect), dialect, make_url(DIALECT))
        return engine.execution_options(compiled_cache=compiled).connect()

    @contextlib.contextmanager
    def gate(self) -> Iterator[None]:
        """Let one writer of all processes in at a time. The kernel frees the lock when the process dies."""
        fcntl.flock(self._gate, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.flock(self._gate, fcntl.LOCK_UN)

    def write(self, function: Callable[[Tx], T]) -> T:
        with translated(), self.gate(), self.writing() as connection:
            return function(Tx(connection, self._clock()))

    def read(self, function: Callable[[Tx], T]) -> T:
        with translated(), self._query_only(), self.reading() as connection:
            return function(Tx(connection, self._clock()))

    def writing(self) -> contextlib.AbstractContextManager[Connection]:
        """A transaction that may write. The caller holds the gate."""
        return self._transaction("BEGIN IMMEDIATE")

    def reading(self) -> contextlib.AbstractContextManager[Connection]:
        """A transaction on one snapshot. It waits for no writer."""
        return self._transaction("BEGIN")

    @contextlib.contextmanager
    def _transaction(self, begin: str) -> Iterator[Connection]:
        self.raw.execute(begin)  # the driver is in autocommit mode and does not begin transactions itself
        try:
            with self._core.begin():
                yield self._core
        finally:
            if self.raw.in_transaction:  # a COMMIT that failed, for example on a full disk, leaves it open
                self.raw.rollback()

    @contextlib.contextmanager
    def _query_only(self) -> Iterator[None]:
        """Refuse writes inside a read: they would not have waited at the gate."""
        self.raw.execute("PRAGMA query_only=ON")
        try:
            yield
        finally:
            self.raw.execute("PRAGMA query_only=OFF")

    def close(self) -> None:
        try:
            self._core.close()
            self.raw.close()
        finally:
            os.close(self._gate)


def check_schema(file: SqliteFile) -> None:
    """Refuse a file whose schema is not this program's.

    Otherwise, during an upgrade, a worker that is newer than the file could call a provider and then fail to write the
    result. A process that opened the file before the migration goes on: a migration only adds.
    """
    with translated(), file.reading() as connection:
        made = connection.exec_driver_sql("SELECT 1 FROM sqlite_schema WHERE name = 'alembic_version'").scalar()
        found = made and connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar()
    if not found or found < REVISION:
        raise DatabaseUnavailable(f"{file.path}: its schema is older than this program's; the bot updates it at start")
    if found > REVISION:
        raise UnsupportedDatabase(f"{file.path}: this database was written by a newer version of the program")


@contextlib.contextmanager
def translated() -> Iterator[None]:
    """Turn the driver's errors into ours. This is the only place that does it."""
    try:
        yield
    except driver_errors.IntegrityError as error:
        if "ck_balances_never_negative" in str(error.orig):
            raise InsufficientFunds(balance=0, needed=0) from error
        raise BrokenRule(str(error.orig)) from error
    except (driver_errors.DBAPIError, sqlite.Error, OSError, UnicodeDecodeError) as error:
        raise _own_error(getattr(error, "orig", error)) from error


def _own_error(error: BaseException, prefix: str = "") -> DatabaseError:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF  # the low byte is the kind of error, the rest is detail
    if code == sqlite.SQLITE_NOTADB:
        return UnsupportedDatabase(f"{prefix}this file is no SQLite database")
    # UnicodeDecodeError: SQLite's message quotes bytes of a damaged schema.
    if code == sqlite.SQLITE_CORRUPT or isinstance(error, UnicodeDecodeError):
        return DatabaseUnavailable(f"{prefix}the database file is damaged ({error}): restore a backup")
    return DatabaseUnavailable(f"{prefix}{error}")


class AsyncSqlite:
    """A SqliteFile for async code: `await db.write(function, ...)` runs `function(tx, ...)` on aiosqlite's thread.

    It connects at the first use. It connects again in another event loop or another process, because a connection must
    not be used after a fork or after its loop has ended.
    """

    def __init__(
        self,
        url: str | None = None,
        *,
        clock: Callable[[], int] = now_ms,
        patience_seconds: float = PATIENCE_SECONDS,
    ) -> None:
        self._url = url
        self._patience = patience_seconds
        self._clock = clock
        self._owner: tuple[int, asyncio.AbstractEventLoop] | None = None
        self._opening: asyncio.Task[None] | None = None
        self._thread: aiosqlite.Connection | None = None
        self._file: SqliteFile | None = None
        self._inherited: list[object] = []  # connections of the parent process: kept, but neither used nor closed here

    @property
    def url(self) -> str:
        return self._url or url_from_environment()

    @property
    def path(self) -> Path:
        return sqlite_path(self.url)

    async def write(self, function: Callable[Concatenate[Tx, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run `function(tx, *args)` as one transaction that may write. It is committed before this returns."""
        thread, file = await self._connected()
        return await _on(thread, self._patience, lambda: file.write(lambda tx: function(tx, *args, **kwargs)))

    async def read(self, function: Callable[Concatenate[Tx, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run `function(tx, *args)` on one snapshot. It waits for no writer."""
        thread, file = await self._connected()
        return await _on(thread, self._patience, lambda: file.read(lambda tx: function(tx, *args, **kwargs)))

    async def read_apart(self, function: Callable[Concatenate[Tx, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Like `read`, on a connection and a thread of its own.

        For queries over the whole history. After years they take seconds, and orders and payments must not wait.
        """

        def work() -> T:
            file = SqliteFile.open(self.path, self._clock)
            try:
                return file.read(lambda tx: function(tx, *args, **kwargs))
            finally:
                file.close()

        return await asyncio.to_thread(work)

    async def close(self) -> None:
        """Close the connection and end its thread; the next use opens a new one."""
        if self._owner != (os.getpid(), asyncio.get_running_loop()):
            self._leave_behind()  # the thread can't answer this loop: it is of another process, or its loop has ended
        if self._opening is not None:
            await asyncio.wait([self._opening])
        thread, self._thread, self._file, self._owner = self._thread, None, None, None
        if thread is not None:
            await thread.close()

    async def _connected(self) -> tuple[aiosqlite.Connection, SqliteFile]:
        owner = (os.getpid(), asyncio.get_running_loop())
        if self._owner != owner:
            self._leave_behind()
            self._owner = owner
        if self._thread is None:
            if self._opening is None or self._opening.done():
                self._opening = asyncio.create_task(self._open())
            # If the caller is cancelled here, opening goes on; otherwise a connection would stay open for good.
            await asyncio.shield(self._opening)
        if self._thread is None or self._file is None:
            raise DatabaseUnavailable("the connection was closed while it was being opened")
        return self._thread, self._file

    def _leave_behind(self) -> None:
        self._opening = None
        if self._thread is None or self._owner is None:
            return
        if self._owner[0] == os.getpid():
            # Stopped from a thread without a loop: the old thread must not wait for an answer of this loop, which
            # may end first.
            asyncio.get_running_loop().run_in_executor(None, self._thread.stop)
        else:
            self._inherited += [self._thread, self._file]
        self._thread, self._file = None, None

    async def _open(self) -> None:
        path, opened = self.path, []

        def connector() -> Any:
            file = SqliteFile.open(path, self._clock)
            try:
                check_schema(file)
            except BaseException:
                file.close()
                raise
            opened.append(file)
            return _Closing(file)

        thread = aiosqlite.Connection(connector, iter_chunk_size=64)
        # A program that forgets close() must still end. A write that this cuts off is rolled back, as after a kill.
        thread._thread.daemon = True
        try:
            await thread
        except BaseException:
            # aiosqlite's thread stops and reports that to this loop, so the loop must not end before the thread.
            await asyncio.to_thread(thread._thread.join)
            raise
        self._thread, self._file = thread, opened[0]


class _Closing:
    """What aiosqlite gets as its connection. It only ever closes it, on the thread."""

    def __init__(self, file: SqliteFile) -> None:
        self.close = file.close


async def _on(thread: aiosqlite.Connection, patience: float, work: Callable[[], T]) -> T:
    """Run `work` on the thread. If the loop has ended by then, the answer is dropped and the thread goes on.

    Raises DatabaseUnavailable after `patience` seconds: the work stays in the queue and may still be done later.
    """
    if not thread._running or thread._connection is None:
        raise DatabaseUnavailable("the connection was closed")
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[T] = loop.create_future()

    def run() -> None:
        try:
            done = functools.partial(_give, answer, work())
        except BaseException as error:
            done = functools.partial(_refuse, answer, error)
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(done)

    thread._tx.put_nowait((None, run))
    try:
        async with asyncio.timeout(patience):
            return await answer
    except TimeoutError:
        raise DatabaseUnavailable(f"no answer in {patience:g} s: another process may hold the file") from None


def _give(future: asyncio.Future[T], value: T) -> None:
    if not future.done():
        future.set_result(value)


def _refuse(future: asyncio.Future[T], error: BaseException) -> None:
    if not future.done():
        future.set_exception(error)
