"""Tasks are cancelled wherever they are, many at once: nothing is half done, nothing is done twice."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from functools import partial

from sqlalchemy import text

from database import ledger
from database import provider_calls as call_rows
from database.models import CallOutcome, JobStatus, PaymentStatus
from services.errors import TopUpUnavailable
from services.media.store import LocalAssets
from services.payments.yookassa.client import YooKassaError
from tests.faults.examples import SOAK
from tests.support.database_fixture import assert_books
from tests.support.job_env import JobEnv
from tests.support.job_programs import later
from tests.support.payment_env import PaymentEnv
from workers import image_worker

ROUNDS = 3 * max(SOAK, 1)


async def run_and_cancel(works: Sequence[Callable[[], Awaitable[object]]], chance: random.Random) -> int:
    """Run all of these at once and cancel most of them at some moment; answers how many were cancelled."""

    async def quietly(work: Callable[[], Awaitable[object]]) -> None:
        try:
            await work()
        except (TopUpUnavailable, YooKassaError):
            pass

    tasks = [asyncio.create_task(quietly(work)) for work in works]

    async def cancel_soon(task: asyncio.Task[None]) -> None:
        await asyncio.sleep(chance.random() ** 3 * 0.25)  # most of them early, some late
        task.cancel()

    await asyncio.gather(*(cancel_soon(task) for task in tasks if chance.random() < 0.8))
    ends = await asyncio.gather(*tasks, return_exceptions=True)
    broken = [end for end in ends if isinstance(end, Exception)]
    assert broken == []
    return sum(isinstance(end, asyncio.CancelledError) for end in ends)


async def test_cancelled_payment_tasks_credit_each_payment_once(payment_env: PaymentEnv) -> None:
    """Payments are created, paid, settled, checked and notified, and most of these tasks are cancelled on the way."""
    chance, cancelled = random.Random(1), 0
    names = [f"payment-{number}" for number in range(12)]
    for _ in range(ROUNDS):
        cancelled += await run_and_cancel(
            [partial(payment_env.open_payment, payment_id=name) for name in names * 2], chance
        )
    payments = [await payment_env.open_payment(payment_id=name) for name in names]
    assert len({payment.provider_payment_id for payment in payments}) == len(names)
    for payment in payments:
        await payment_env.pay(payment)
    for _ in range(ROUNDS):
        works: list[Callable[[], Awaitable[object]]] = []
        for payment in payments:
            works += [
                partial(payment_env.payments.settle, payment.id),
                partial(payment_env.payments.check, payment.id, 1),
                partial(payment_env.payments.events.on_payment_event, payment.provider_payment_id or ""),
            ]
        cancelled += await run_and_cancel([*works, payment_env.payments.poll_due], chance)
        await assert_books(payment_env.db)
    assert cancelled > 5
    for payment in payments:
        assert (await payment_env.payments.settle(payment.id)).status is PaymentStatus.PAID
    lines = await payment_env.db.read(ledger.history, 1, limit=100)
    assert [(line.reason, line.amount) for line in lines] == [("topup", 50_000)] * len(names)
    async with payment_env.sandbox.http.get(f"{payment_env.sandbox.url}/_control/yookassa/payments") as answer:
        assert len(await answer.json()) == len(names)


async def test_cancelled_steps_leave_no_order_half_done(job_env: JobEnv) -> None:
    """Steps are cancelled before, in and after the provider's call: each order ends once, at its price or for free."""
    chance, cancelled = random.Random(2), 0
    await job_env.give(1, 12 * 20)
    ordered = [await job_env.order() for _ in range(20)]
    for _ in range(ROUNDS):
        works = [partial(image_worker.run, job.id) for job in ordered]
        cancelled += await run_and_cancel(works, chance)
        await assert_books(job_env.db)
    assert cancelled > 5
    for _ in range(6):
        await later(job_env)
        await asyncio.gather(*(image_worker.run(job.id) for job in ordered))
    paid = 0
    for job in ordered:
        ended = await job_env.job(job.id)
        calls = [
            call for call in await job_env.db.read(call_rows.of_job, job.id) if call.outcome is not CallOutcome.REFUSED
        ]
        assert len(calls) <= 2
        assert ended.status in (JobStatus.COMPLETED, JobStatus.FAILED)
        assert ended.status is JobStatus.COMPLETED or ended.error_code == "unknown_outcome"
        paid += ended.status is JobStatus.COMPLETED
    assert await job_env.balance() == 1_200 * (20 - paid)
    assert isinstance(job_env.ctx.assets, LocalAssets)
    files = [path for path in job_env.ctx.assets.root.rglob("*") if path.is_file()]
    assert len(files) >= paid
    assert not await job_env.db.read(lambda tx: tx.rows(text("SELECT id FROM jobs WHERE lease_until IS NOT NULL")))
