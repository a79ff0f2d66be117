"""Bugs put into the shop on purpose: a simulation that finds none of them would prove nothing by finding nothing.

Each is a mistake that shops of this kind have made in public; each is found within a handful of seeds.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest import mock

from sqlalchemy import true

from database import jobs, outbox, payments, refunds
from database.engine import Tx
from database.schema import jobs as job_table
from services.notifier import Notifier
from services.payments import Payments
from services.refunds import Refunds
from services.settlement import Settlement
from workers import image_worker, step


def _charge_before_store(patch: Callable[..., None]) -> None:
    """The price is taken before the picture is on the disk, in a transaction of its own."""
    store = image_worker._store

    async def early(here: Any, job: Any, result: Any) -> None:
        await here.db.write(lambda tx: tx.execute(
            job_table.update().where(job_table.c.id == job.id).values(status="completed", cost_actual=job.cost_estimate)
        ))
        await store(here, job, result)

    patch(image_worker, "_store", early)


def _no_fence(patch: Callable[..., None]) -> None:
    """A worker that lost its lease may still close the job."""
    patch(jobs, "_mine", lambda job_id, attempt: job_table.c.id == job_id)


def _no_intent(patch: Callable[..., None]) -> None:
    """The provider is called without a word in the database before."""

    async def bare(*given: Any) -> Any:
        call: Callable[[], Awaitable[Any]] = given[4]
        return await call()

    patch(step, "recorded", bare)
    patch(image_worker, "recorded", bare)


def _believes_the_body(patch: Callable[..., None]) -> None:
    """A notification is enough to credit; nobody asks YooKassa."""

    async def believe(self: Any, provider_payment_id: str) -> None:
        payment = await self._settlement.ours(provider_payment_id)
        if payment is not None:
            await self._db.write(payments.settle, payment.id)

    patch(Payments, "heard_of", believe)


def _sent_before_sending(patch: Callable[..., None]) -> None:
    """A message counts as sent before Telegram has it."""
    attempt = Notifier._attempt

    async def hasty(self: Any, item: Any) -> None:
        await self._db.write(outbox.sent, item.id)
        await attempt(self, item)

    patch(Notifier, "_attempt", hasty)


def _refunds_forgotten(patch: Callable[..., None]) -> None:
    """A return that was cut off is nobody's to finish."""

    async def nothing(self: Any) -> None: ...

    patch(Refunds, "look_at_due", nothing)


def _cabinet_overlooked(patch: Callable[..., None]) -> None:
    """Money given back in YooKassa's cabinet is not taken from the balance."""

    async def deaf(self: Any, payment: Any, refund: Any) -> None: ...

    patch(Settlement, "take_back", deaf)


def _mismatch_overlooked(patch: Callable[..., None]) -> None:
    """Another sum than the order's is credited as if it were the order's."""
    patch(Settlement, "_mismatch", lambda self, payment, facts: None)


def _returned_twice(patch: Callable[..., None]) -> None:
    """A refused return gives the customer everything back without looking whether it was done already."""
    patch(refunds, "succeed", lambda tx, refund_id, provider_id: (refunds.get(tx, refund_id), False))


def _late_result_charges(patch: Callable[..., None]) -> None:
    """A job that was given up is completed by whoever comes late."""
    finish = jobs.finish

    def revive(tx: Tx, job_id: str, attempt: int, asset: Any, **more: Any) -> Any:
        with mock.patch.object(jobs, "_mine", return_value=job_table.c.id == job_id):
            tx.execute(job_table.update().where(job_table.c.id == job_id, true()).values(attempt=attempt))
            return finish(tx, job_id, attempt, asset, **more)

    patch(jobs, "finish", revive)


PLANTS: dict[str, Callable[[Callable[..., None]], None]] = {
    plant.__name__.strip("_").replace("_", " "): plant
    for plant in (
        _charge_before_store, _no_fence, _no_intent, _believes_the_body, _sent_before_sending, _refunds_forgotten,
        _cabinet_overlooked, _mismatch_overlooked, _returned_twice, _late_result_charges,
    )
}


@contextmanager
def planted(name: str) -> Iterator[None]:
    """The bug of that name is in the shop while the body runs."""
    with ExitStack() as stack:
        PLANTS[name](lambda place, attribute, value: stack.enter_context(mock.patch.object(place, attribute, value)))
        yield
