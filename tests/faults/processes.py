"""The processes under test, as the test that starts and kills them sees them."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.support.database_fixture import ROOT

PATIENCE = 60.0  # real seconds for a scenario, whatever else the machine does
START_SECONDS = 120.0  # for the fork server, which imports everything and warms up, on a busy machine
STOP_SECONDS = 40.0


class Violation(AssertionError):
    """The end is not the one that the person, the admin and the books were promised."""


async def until(condition: Callable[[], Any]) -> Any:
    """Wait until this gives something true, and answer it; the limit is that of the scenario as a whole."""
    while not (found := condition()):  # noqa: ASYNC110 - any condition, most of them are no event of ours
        await asyncio.sleep(0.03)
    return found


@dataclass
class Child:
    """One process under test."""

    pid: int
    ended: asyncio.Future[int]

    @property
    def runs(self) -> bool:
        return not self.ended.done()

    def send(self, number: signal.Signals) -> None:
        if self.runs:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    async def end(self, number: signal.Signals) -> int:
        """Send the signal and wait for the end; its status."""
        self.send(number)
        try:
            async with asyncio.timeout(STOP_SECONDS):
                return await asyncio.shield(self.ended)
        except TimeoutError:
            self.send(signal.SIGKILL)
            await self.ended
            raise Violation(f"the process did not stop on {number.name} within {STOP_SECONDS:g} s") from None


class ForkServer:
    """The running `tests.faults.fork_server`: starts one process under test after another."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._started: asyncio.Queue[Child] = asyncio.Queue()
        self._running: dict[int, Child] = {}
        self._ready = asyncio.Event()
        self._reader = asyncio.create_task(self._read())

    @classmethod
    async def start(cls) -> ForkServer:
        # Nothing of the surrounding test run goes along, coverage's hooks least of all.
        kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "tests.faults.fork_server",
            cwd=ROOT,
            env=kept,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        server = cls(process)
        async with asyncio.timeout(START_SECONDS):
            await server._ready.wait()
        return server

    async def fork(self, order: dict[str, Any]) -> Child:
        """Start a process; the order says what it runs (see `fork_server.run_program`)."""
        assert self._process.stdin is not None
        self._process.stdin.write((json.dumps(order) + "\n").encode())
        async with asyncio.timeout(PATIENCE):
            return await self._started.get()

    async def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            async with asyncio.timeout(10):
                await self._process.wait()
        except TimeoutError:
            self._process.kill()
            await self._process.wait()
        await self._reader

    async def _read(self) -> None:
        assert self._process.stdout is not None
        async for text in self._process.stdout:
            line = json.loads(text)
            if "started" in line:
                child = Child(line["started"], asyncio.get_running_loop().create_future())
                self._running[child.pid] = child  # it may have ended before anybody has asked for it
                self._started.put_nowait(child)
            elif "ended" in line:
                self._running.pop(line["ended"]).ended.set_result(line["status"])
            else:
                self._ready.set()
