"""The shop as it runs for real: the bot and workers as processes of their own, which a test may kill at any moment."""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import aiohttp
import pytest_asyncio

from database import jobs as job_rows
from database import ledger
from database.models import Database, Job
from tests.support.bot_env import Person
from tests.support.database_fixture import ROOT, assert_books
from tests.support.job_env import until
from tests.support.sandbox_fixture import Sandbox

START_SECONDS = 60.0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _descendants(pid: int) -> list[int]:
    """All processes below `pid`, found before any is killed: orphans can't be found any more."""
    found = []
    for children in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in map(int, children.read_text().split()):
            found += [child, *_descendants(child)]
    return found


class Process:
    """A program of ours with its log; `kill` is SIGKILL to the whole of it."""

    def __init__(self, name: str, command: list[str], environment: Mapping[str, str], folder: Path) -> None:
        self.log = folder / f"{name}.log"
        with self.log.open("ab") as output:
            self._process = subprocess.Popen(
                command,
                cwd=ROOT,
                env=dict(environment),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def running(self) -> bool:
        return self._process.poll() is None

    def kill(self) -> None:
        """As a power cut would: the process and all that it forked, also those in process groups of their own."""
        below = _descendants(self._process.pid) if self.running else []
        for pid in (self._process.pid, *below):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._process.wait(10)

    def largest_file(self, size: int) -> None:
        """From now on the kernel refuses whatever this process writes to files behind `size` bytes."""
        resource.prlimit(self._process.pid, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))

    async def stop(self, seconds: float = 30.0) -> int:
        """SIGTERM, and the exit status; a process that does not end fails the test."""
        self._process.terminate()
        try:
            return await asyncio.to_thread(self._process.wait, seconds)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"did not stop within {seconds} s:\n{self.tail()}") from None

    def tail(self) -> str:
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-40:])


class ProcessEnv:
    """Processes of one shop in one sandbox, on one database."""

    def __init__(self, sandbox: Sandbox, folder: Path) -> None:
        self.sandbox = sandbox
        self.folder = folder
        self.port = free_port()
        self.db = Database(f"sqlite:///{folder / 'bot.db'}")
        self.processes: list[Process] = []
        self._names = 0

    def environment(self, **more: str) -> dict[str, str]:
        kept = {name: os.environ[name] for name in ("PATH", "HOME", "COVERAGE_PROCESS_START") if name in os.environ}
        address = {"HTTP_PORT": str(self.port), "PUBLIC_URL": f"http://127.0.0.1:{self.port}"}
        return {**kept, **self.sandbox.environment(self.folder, **address, **more)}

    def start(self, name: str, *command: str, **settings: str) -> Process:
        self._names += 1
        process = Process(f"{name}-{self._names}", list(command), self.environment(**settings), self.folder)
        self.processes.append(process)
        return process

    async def bot(self, **settings: str) -> Process:
        """`python main.py`, ready to serve, with the simulated YooKassa telling it what happens."""
        process = self.start("bot", sys.executable, "main.py", **settings)

        async def lives() -> bool:
            assert process.running, process.tail()
            try:
                async with self.sandbox.http.get(f"http://127.0.0.1:{self.port}/health") as answer:
                    return answer.status == 200
            except aiohttp.ClientError:
                return False

        await until(lives, seconds=START_SECONDS, what="the bot is up")
        hook = {"notification_url": f"http://127.0.0.1:{self.port}/webhooks/yookassa"}
        async with self.sandbox.http.post(f"{self.sandbox.url}/_control/yookassa/settings", json=hook) as answer:
            assert answer.status == 200
        return process

    def stock_worker(self, redis_url: str) -> Process:
        """What an admin types: `rq worker --url …` in the project's root."""
        rq = str(Path(sys.executable).with_name("rq"))
        return self.start("rq-worker", rq, "worker", "--url", redis_url)

    def own_worker(self, redis_url: str) -> Process:
        return self.start("worker", sys.executable, "-m", "workers", "--processes", "1", REDIS_URL=redis_url)

    async def top_up(self, person: Person, rubles: int) -> None:
        """Order a top-up in the chat and pay it on the checkout page."""
        await person.say("/topup")
        await person.press(f"{rubles}")
        link = await person.link()
        async with self.sandbox.http.post(link, data={"action": "pay", "card": "5555555555554444"}) as answer:
            assert answer.status == 200

    async def jobs(self, user_id: int) -> list[Job]:
        """Oldest first."""
        return list(reversed(await self.db.read(job_rows.of_user, user_id, limit=50)))

    async def entries(self, user_id: int) -> list[tuple[str, int]]:
        lines = await self.db.read(ledger.history, user_id, limit=1000)
        return [(line.reason, line.amount) for line in reversed(lines)]

    async def all_final(self, user_id: int, count: int, *, seconds: float = 90.0) -> list[Job]:
        """Wait until the user has `count` jobs and none is open."""

        async def ended() -> list[Job]:
            found = await self.jobs(user_id)
            return found if len(found) >= count and not any(job.is_open for job in found) else []

        found: list[Job] = await until(ended, seconds=seconds, what=f"{count} jobs of user {user_id} are final")
        return found


@pytest_asyncio.fixture
async def process_env(sandbox: Sandbox, tmp_path: Path) -> AsyncIterator[ProcessEnv]:
    """An empty shop; whatever its test starts is ended, and its books must hold."""
    process_env = ProcessEnv(sandbox, tmp_path)
    try:
        yield process_env
        await assert_books(process_env.db)
    finally:
        for process in process_env.processes:
            process.kill()
        await process_env.db.close()
