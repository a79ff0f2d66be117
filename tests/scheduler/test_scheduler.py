"""The scheduler: one of many leads, and a task in trouble stops no other."""

from __future__ import annotations

import asyncio

from sqlalchemy import text

from database.models import Tx
from scheduler.scheduler import LEASE, PeriodicTask, Scheduler
from scheduler.tasks import job_tasks
from tests.support.job_env import HandQueue, JobEnv, until


async def test_of_two_schedulers_one_leads_and_the_other_takes_over(job_env: JobEnv) -> None:
    """Leadership is a lease: held by one, free at once when that one stops."""
    stops = [asyncio.Event(), asyncio.Event()]
    both = [Scheduler(job_env.db, job_tasks(job_env.ctx, HandQueue())) for _ in stops]
    tasks = [asyncio.create_task(one.run(stop)) for one, stop in zip(both, stops, strict=True)]

    async def holder() -> str | None:
        def read(tx: Tx) -> str | None:
            return tx.execute(text("SELECT holder FROM leases WHERE name = :name"), {"name": LEASE}).scalar()

        return await job_env.db.read(read)

    first = await until(holder)
    index = next(i for i, one in enumerate(both) if one._holder == first)
    stops[index].set()
    await tasks[index]

    async def other_leads() -> bool:
        return await holder() == both[1 - index]._holder

    await until(other_leads)
    stops[1 - index].set()
    await tasks[1 - index]
    assert await holder() is None


async def test_a_task_that_fails_or_hangs_stops_no_other(job_env: JobEnv) -> None:
    """Each round is a task of its own: one that breaks is begun again, one that hangs ends at its limit."""
    rounds = {"broken": 0, "hung": 0, "sound": 0}

    async def broken() -> None:
        rounds["broken"] += 1
        raise RuntimeError("trouble")

    async def hung() -> None:
        rounds["hung"] += 1
        await asyncio.Event().wait()

    async def sound() -> None:
        rounds["sound"] += 1

    scheduler = Scheduler(
        job_env.db,
        [
            PeriodicTask("broken", 0.0, broken),
            PeriodicTask("hung", 0.0, hung, limit=0.1),
            PeriodicTask("sound", 0.0, sound),
        ],
    )
    stop = asyncio.Event()
    running = asyncio.create_task(scheduler.run(stop))

    async def each_went_on() -> bool:
        return min(rounds.values()) >= 2

    await until(each_went_on)
    stop.set()
    await running
    assert not any(task.is_running for task in scheduler.tasks)
