"""The product's inside without the chat: a runtime in the sandbox, a queue that only remembers, orders by hand."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pytest_asyncio

from database import jobs as job_rows
from database import ledger, outbox
from database.models import Database, Job, JobType
from services.catalogue import SHIPPED
from services.job_context import JobContext
from services.queue import FUNCTIONS, Queue, Step, load_function
from services.settings import Settings
from tests.support.database_fixture import assert_books
from tests.support.empty_database import lay_out
from tests.support.sandbox_fixture import Sandbox
from workers.runtime import install


class HandQueue(Queue):
    """A queue whose messages are run when the test says so, as often as it says."""

    def __init__(self) -> None:
        super().__init__(None)
        self.sent: list[Step] = []

    async def submit(self, step: Step) -> Literal["redis", "local"]:
        self.sent.append(step)
        return "local"

    async def waiting(self) -> set[str] | None:
        return {step.message_id for step in self.sent}

    async def run_next(self) -> Step:
        step = self.sent.pop(0)
        await load_function(FUNCTIONS[step.name])(step.job_id)
        return step


@dataclass
class JobEnv:
    """Everything a step needs, and short words for what tests do with it."""

    ctx: JobContext
    db: Database
    queue: HandQueue
    sandbox: Sandbox
    counter: int = field(default=0)

    async def give(self, user_id: int, rubles: int) -> None:
        self.counter += 1
        await self.db.add_balance(user_id, rubles * 100, key=f"test-{self.counter}", reason="test")

    async def order(
        self,
        user_id: int = 1,
        *,
        type: JobType = JobType.IMAGE,
        prompt: str = "a red fox",
        price: int = 1200,
        hold_ms: int = 900_000,
        **options: Any,
    ) -> Job:
        """A confirmed job, money reserved, nothing sent to the queue."""
        self.counter += 1
        is_picture = type in (JobType.IMAGE, JobType.EDIT)
        model = self.ctx.catalogue.default_image if is_picture else self.ctx.catalogue.default_video
        params: dict[str, Any] = {"ratio": "1:1", "size": "1K"}
        if not is_picture:
            params = {"duration": 5, "resolution": "720p", "ratio": None if type is JobType.ANIMATE else "16:9"}
        inputs = options.pop("inputs", ())
        new = job_rows.NewJob(
            id=f"job{self.counter}",
            user_id=user_id,
            type=type,
            model=model.key,
            prompt=prompt,
            params={**params, **options},
            price=price,
            hold_ms=hold_ms,
            inputs=inputs,
        )
        job, _ = await self.db.write(job_rows.start, new, max_active=100)
        return job

    async def job(self, job_id: str) -> Job:
        job = await self.db.read(job_rows.get, job_id)
        assert job is not None
        return job

    async def balance(self, user_id: int = 1) -> int:
        return await self.db.get_balance(user_id)

    async def entries(self, user_id: int = 1) -> list[tuple[str, int]]:
        """(reason, amount) of a user's entries, oldest first."""
        lines = await self.db.read(ledger.history, user_id, limit=1000)
        return [(line.reason, line.amount) for line in reversed(lines)]

    async def told(self) -> list[tuple[int, str, str | None]]:
        """(who, kind, job) of everything that is owed to people."""
        items = await self.db.write(outbox.claim, limit=1000)
        return sorted((item.user_id, item.kind, item.job_id) for item in items)


async def until(condition: Callable[[], Awaitable[Any]], *, seconds: float = 20.0, what: str = "") -> Any:
    """Wait until the condition is true; fail with `what` when it does not come."""
    deadline = time.monotonic() + seconds
    while not (answer := await condition()):
        assert time.monotonic() < deadline, f"did not happen within {seconds} s: {what or condition}"
        await asyncio.sleep(0.02)
    return answer


def impatient_catalogue(folder: Path) -> Path:
    """The catalogue shipped, with pauses between retries that tests can wait for."""
    text = SHIPPED.read_text(encoding="utf-8")
    for name in ("first_delay", "max_delay", "jitter"):
        text = re.sub(rf"^{name} = .*$", f"{name} = 0.01", text, flags=re.MULTILINE)
    path = folder / "catalogue.toml"
    path.write_text(text, encoding="utf-8")
    return path


@pytest_asyncio.fixture
async def shop_settings(sandbox: Sandbox, tmp_path: Path) -> Settings:
    return sandbox.settings(tmp_path, CATALOGUE_PATH=str(impatient_catalogue(tmp_path)))


@pytest_asyncio.fixture
async def job_env(sandbox: Sandbox, shop_settings: Settings) -> AsyncIterator[JobEnv]:
    """A runtime in the sandbox, installed for this test's loop; the books must hold at the end."""
    ctx = JobContext.open(shop_settings)
    lay_out(ctx.db.path)
    await ctx.db.init_db()
    install(ctx)
    yield JobEnv(ctx, ctx.db, HandQueue(), sandbox)
    await assert_books(ctx.db)
    await ctx.close()
