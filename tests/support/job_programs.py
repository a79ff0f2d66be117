"""Programs that run jobs in processes of their own, and what a test does with the rows they leave."""

from __future__ import annotations

import os
from pathlib import Path

from tests.support.database_fixture import change
from tests.support.job_env import JobEnv

STEP = """
import asyncio, importlib, sys
module, name = sys.argv[1].rsplit(".", 1)
asyncio.run(getattr(importlib.import_module(module), name)(sys.argv[2]))
"""

SHOP = """
import asyncio, signal
from services.common.i18n import Texts
from services.payments.payments import Payments
from services.queue import Queue
from services.settings import load_settings
from services.job_context import JobContext
from workers.runtime import install
from scheduler.scheduler import Scheduler
from scheduler.tasks import job_tasks, topup_tasks

async def main():
    ctx = JobContext.open(load_settings())
    install(ctx)
    queue, stop = Queue(None), asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    tasks = [*job_tasks(ctx, queue), *topup_tasks(Payments(ctx.db, None, Texts()))]
    await Scheduler(ctx.db, tasks).run(stop)
    await queue.close(0.2)
    await ctx.close()

asyncio.run(main())
"""


def environment(job_env: JobEnv, folder: Path) -> dict[str, str]:
    return {**os.environ, **job_env.sandbox.environment(folder)}


async def later(job_env: JobEnv) -> None:
    """As if minutes had passed since the process died: leases are over, and what waits is due."""
    await change(job_env, "UPDATE jobs SET due_at = 1, lease_until = MIN(lease_until, 1) WHERE step IS NOT NULL")
    await change(job_env, "UPDATE provider_calls SET started_at = started_at - 600000, ended_at = ended_at - 600000")
    await change(job_env, "DELETE FROM leases")
