"""Tasks are cancelled wherever they stand, many at once: nothing is half, nothing is twice, and the shop goes on."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence

from sqlalchemy import text

from database import ledger
from database import provider_calls as call_rows
from database.models import CallOutcome, JobStatus, PaymentStatus
from database.models import Payment as PaymentRow
from services.errors import TopUpUnavailable
from services.payments.yookassa.client import YooKassaError
from tests.faults.examples import SOAK
from tests.support.database_fixture import assert_books
from tests.support.job_env import JobEnv
from tests.support.job_programs import later
from tests.support.payment_env import PaymentEnv
from workers import image_worker

ROUNDS = 3 * max(SOAK, 1)


async def storm(works: Sequence[Callable[[], Awaitable[object]]], chance: random.Random) -> int:
    """Run all of these at once and cancel most of them at some moment; answers how many were cut off."""

    async def quietly(work: Callable[[], Awaitable[object]]) -> None:
        try:
            await work()
        except (TopUpUnavailable, YooKassaError):
            pass

    tasks = [asyncio.create_task(quietly(work)) for work in works]

    async def strike(task: asyncio.Task[None]) -> None:
        await asyncio.sleep(chance.random() ** 3 * 0.25)  # most of them early, some late
        task.cancel()

    await asyncio.gather(*(strike(task) for task in tasks if chance.random() < 0.8))
    ends = await asyncio.gather(*tasks, return_exceptions=True)
    broken = [end for end in ends if isinstance(end, Exception)]
    assert broken == []
    return sum(isinstance(end, asyncio.CancelledError) for end in ends)


async def test_a_storm_over_payments_credits_each_once(payment_env: PaymentEnv) -> None:
    """Orders are created, paid, settled, checked and told of, and most of these tasks are cut off in the midst."""
    chance, cut = random.Random(1), 0
    names = [f"storm-{number}" for number in range(12)]
    for _ in range(ROUNDS):
        cut += await storm([lambda name=name: payment_env.open_payment(payment_id=name) for name in names * 2], chance)  # type: ignore[misc]
    orders: list[PaymentRow] = [await payment_env.open_payment(payment_id=name) for name in names]
    assert len({order.provider_payment_id for order in orders}) == len(names)
    for order in orders:
        await payment_env.pay(order)
    for _ in range(ROUNDS):
        works: list[Callable[[], Awaitable[object]]] = []
        for order in orders:
            known = order.provider_payment_id or ""
            works += [
                lambda order=order: payment_env.payments.settle(order.id),  # type: ignore[misc]
                lambda order=order: payment_env.payments.check(order.id, 1),  # type: ignore[misc]
                lambda known=known: payment_env.payments.events.on_payment_event(known),  # type: ignore[misc]
            ]
        cut += await storm([*works, payment_env.payments.poll_due], chance)
        await assert_books(payment_env.db)
    assert cut > 5
    for order in orders:
        assert (await payment_env.payments.settle(order.id)).status is PaymentStatus.PAID
    lines = await payment_env.db.read(ledger.history, 1, limit=100)
    assert [(line.reason, line.amount) for line in lines] == [("topup", 50_000)] * len(names)
    async with payment_env.sandbox.http.get(f"{payment_env.sandbox.url}/_control/yookassa/payments") as answer:
        assert len(await answer.json()) == len(names)


async def test_a_storm_over_running_steps_leaves_no_order_half(job_env: JobEnv) -> None:
    """Steps are cut off before, in and after the provider's call: each order ends once, at its price or for free."""
    chance, cut = random.Random(2), 0
    await job_env.give(1, 12 * 20)
    ordered = [await job_env.order() for _ in range(20)]
    for _ in range(ROUNDS):
        works = [lambda job=job: image_worker.run(job.id) for job in ordered]  # type: ignore[misc]
        cut += await storm(works, chance)
        await assert_books(job_env.db)
    assert cut > 5
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
    files = [path for path in job_env.ctx.assets.root.rglob("*") if path.is_file()]  # type: ignore[attr-defined]
    assert len(files) >= paid
    assert not await job_env.db.read(lambda tx: tx.rows(text("SELECT id FROM jobs WHERE lease_until IS NOT NULL")))
