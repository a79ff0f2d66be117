"""Bugs put into the shop on purpose: a simulation that finds none of them would prove nothing by finding nothing.

Each is a mistake that shops of this kind have made in public. What the schema itself refuses (a second credit, a
charge without its result, a refund after the charge) is not among them: the mutants see to that.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest import mock

import httpx

from database import jobs, outbox, payments, refunds
from database.models import IllegalMove, Job, JobStatus, Tx
from services.notifier import Notifier
from services.payments import Payments
from services.settlement import Settlement
from tests.faults.sim.providers import SimKling
from workers import image_worker, step, video_worker


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


def _cabinet_overlooked(patch: Callable[..., None]) -> None:
    """Money given back in YooKassa's cabinet is not taken from the balance."""

    async def deaf(self: Any, payment: Any, refund: Any) -> None: ...

    patch(Settlement, "take_back", deaf)


def _mismatch_overlooked(patch: Callable[..., None]) -> None:
    """Another sum than the order's is credited as if it were the order's."""
    patch(Settlement, "mismatch", lambda self, payment, facts: None)


def _returned_twice(patch: Callable[..., None]) -> None:
    """A refused return gives the customer everything back without looking whether it was done already."""
    patch(refunds, "succeed", lambda tx, refund_id, provider_id: (refunds.get(tx, refund_id), False))


def _bought_again(patch: Callable[..., None]) -> None:
    """A clip whose submit ended in doubt is ordered again at once, without a search for the first."""

    async def nothing_found(*_: Any) -> bool:
        return True

    patch(video_worker, "_search", nothing_found)
    _lose_many_answers(patch)


def _lose_many_answers(patch: Callable[..., None]) -> None:
    """No bug of the shop's: Kling's yes is lost so often that a world soon holds a doubt."""
    submit = SimKling._submit

    def lost(self: SimKling, body: dict[str, Any]) -> Any:
        answer = submit(self, body)
        if self.world.chance.random() < 0.3:
            raise httpx.RemoteProtocolError("the answer was cut off")
        return answer

    patch(SimKling, "_submit", lost)


def _cancels_what_was_bought(patch: Callable[..., None]) -> None:
    """An order is cancelled and paid back although the provider is drawing it."""

    def cancel(tx: Tx, job_id: str, user_id: int) -> Job:
        closed = jobs._close_unpaid(tx, job_id, JobStatus.CANCELLED, "cancelled")
        if closed is None:
            raise IllegalMove(job_id)
        return closed

    patch(jobs, "cancel", cancel)


PLANTS: dict[str, tuple[Callable[[Callable[..., None]], None], int]] = {
    plant.__name__.strip("_").replace("_", " "): (plant, seed)
    for plant, seed in (
        (_no_intent, 0), (_believes_the_body, 0), (_sent_before_sending, 2), (_cabinet_overlooked, 5),
        (_mismatch_overlooked, 130), (_returned_twice, 2), (_bought_again, 176), (_cancels_what_was_bought, 6),
    )
}
"""Each with a seed whose world has shown it, where the search begins."""


@contextmanager
def planted(name: str) -> Iterator[None]:
    """The bug of that name is in the shop while the body runs."""
    with ExitStack() as stack:
        PLANTS[name][0](lambda place, attribute, value: stack.enter_context(mock.patch.object(place, attribute, value)))
        yield
