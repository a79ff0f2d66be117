"""The product's database in a simulated world: the real file, schema and transactions, without the thread."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Concatenate, ParamSpec, TypeVar

from database.engine import SqliteFile, Tx
from database.models import Database, DatabaseUnavailable
from tests.faults.sim.world import SimProcess, World

P = ParamSpec("P")
T = TypeVar("T")


class SimDatabase(Database):
    """A transaction is as whole as ever; what comes before and after it takes its time.

    A busy file or a full disk is refused before anything is done. Afterwards the answer may be lost.
    """

    def __init__(self, world: World, process: SimProcess, path: Path) -> None:
        super().__init__(f"sqlite:///{path}")
        self._world = world
        self._process = process

        def clock() -> int:
            return int((world.now() + process.skew) * 1000)

        self._opened = SqliteFile.open(path, clock)
        self._opened.raw.execute("PRAGMA synchronous=OFF")  # power cuts are tried elsewhere, on the real connection

    async def write(self, function: Callable[Concatenate[Tx, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        world, name = self._world, getattr(function, "__qualname__", "write")
        await world.step(f"write {name}")
        if world.fails(world.chances.database):
            fault = world.chance.choice(("database is locked", "database or disk is full", "disk I/O error"))
            raise DatabaseUnavailable(fault)
        answer = self._opened.write(lambda tx: function(tx, *args, **kwargs))
        await world.step(f"wrote {name}")
        if world.fails(world.chances.database / 2):
            raise DatabaseUnavailable("no answer in 60 s: another process may hold the file")
        return answer

    async def read(self, function: Callable[Concatenate[Tx, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        world = self._world
        self._process.stop_if_killed()
        if world.fails(world.chances.database):
            raise DatabaseUnavailable("disk I/O error")
        answer = self._opened.read(lambda tx: function(tx, *args, **kwargs))
        await world.step("read")
        return answer

    async def read_apart(self, function: Callable[Concatenate[Tx, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """As any other: a thread of its own would run beside the world's time."""
        return await self.read(function, *args, **kwargs)

    async def init_db(self) -> None:
        """The file was made from the template."""

    async def close(self) -> None:
        self.close_file()

    def close_file(self) -> None:
        """What the kernel does when the process has ended."""
        with contextlib.suppress(OSError):
            self._opened.close()
