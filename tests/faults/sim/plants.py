"""Bugs put into the shop on purpose: a simulation that finds none of them would prove nothing by finding nothing.

Each is a mistake that shops of this kind have made in public. What the schema itself refuses (a second credit, a
charge without its result, a refund after the charge) is not among them: the mutants see to that.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any
from unittest import mock

import httpx

from database import jobs, outbox, payments, refunds
from database.models import IllegalMove, Job, JobStatus, Tx
from services.notifier import Notifier
from services.payments import Payments
from services.settlement import Settlement
from tests.faults.sim.providers import SimGemini, SimKling
from tests.faults.sim.yookassa import SimYooKassa
from workers import image_worker, step, video_worker

Patch = Callable[..., None]
Planting = Callable[[Patch], None]


def _no_intent(patch: Patch) -> None:
    """The provider is called without a word in the database before."""

    async def bare(*given: Any) -> Any:
        call: Callable[[], Awaitable[Any]] = given[4]
        return await call()

    patch(step, "recorded", bare)
    patch(image_worker, "recorded", bare)


def _lose_many_pictures(patch: Patch) -> None:
    """No bug of the shop's: every other picture is drawn and never arrives."""
    serve = SimGemini.serve

    def lost(self: SimGemini, request: Any, content: bytes) -> Any:
        answer = serve(self, request, content)
        if self.world.chance.random() < 0.5:
            raise httpx.RemoteProtocolError("the answer was cut off")
        return answer

    patch(SimGemini, "serve", lost)


def _believes_the_body(patch: Patch) -> None:
    """A notification is enough to credit; nobody asks YooKassa."""

    async def believe(self: Any, provider_payment_id: str) -> None:
        payment = await self._settlement.ours(provider_payment_id)
        if payment is not None:
            await self._db.write(payments.settle, payment.id)

    patch(Payments, "heard_of", believe)


def _sent_before_sending(patch: Patch) -> None:
    """A message counts as sent before Telegram has it."""
    attempt = Notifier._attempt

    async def hasty(self: Any, item: Any) -> None:
        await self._db.write(outbox.sent, item.id)
        await attempt(self, item)

    patch(Notifier, "_attempt", hasty)


def _cabinet_overlooked(patch: Patch) -> None:
    """Money given back in YooKassa's cabinet is not taken from the balance."""

    async def deaf(self: Any, payment: Any, refund: Any) -> None: ...

    patch(Settlement, "take_back", deaf)


def _mismatch_overlooked(patch: Patch) -> None:
    """Another sum than the order's is credited as if it were the order's."""
    patch(Settlement, "mismatch", lambda self, payment, facts: None)


def _show_other_sums(patch: Patch) -> None:
    """No bug of the shop's: every other payment is shown with a sum that is not its order's."""
    new_payment = SimYooKassa._new_payment

    def odd(self: SimYooKassa, wanted: dict[str, Any]) -> Any:
        made = new_payment(self, wanted)
        if self.world.chance.random() < 0.5:
            self.odd.add(made["id"])
        return made

    patch(SimYooKassa, "_new_payment", odd)


def _returned_twice(patch: Patch) -> None:
    """A refused return gives the customer everything back without looking whether it was done already."""
    patch(refunds, "succeed", lambda tx, refund_id, provider_id: (refunds.get(tx, refund_id), False))


def _bought_again(patch: Patch) -> None:
    """A clip whose submit ended in doubt is ordered again at once, without a search for the first."""

    async def nothing_found(*_: Any) -> bool:
        return True

    patch(video_worker, "_search", nothing_found)


def _lose_many_answers(patch: Patch) -> None:
    """No bug of the shop's: Kling's yes is lost so often that a world soon holds a doubt."""
    submit = SimKling._submit

    def lost(self: SimKling, body: dict[str, Any]) -> Any:
        answer = submit(self, body)
        if self.world.chance.random() < 0.3:
            raise httpx.RemoteProtocolError("the answer was cut off")
        return answer

    patch(SimKling, "_submit", lost)


def _cancels_what_was_bought(patch: Patch) -> None:
    """An order is cancelled and paid back although the provider is drawing it."""

    def cancel(tx: Tx, job_id: str, user_id: int) -> Job:
        closed = jobs._close_unpaid(tx, job_id, JobStatus.CANCELLED, "cancelled")
        if closed is None:
            raise IllegalMove(job_id)
        return closed

    patch(jobs, "cancel", cancel)


@dataclass(frozen=True)
class Plant:
    """A bug, the weather in which worlds show it soon, and a seed whose world has shown it, where the search begins."""

    bug: Planting
    seed: int
    weather: Planting | None = None


PLANTS = {
    plant.bug.__name__.strip("_").replace("_", " "): plant
    for plant in (
        Plant(_no_intent, 0, _lose_many_pictures),
        Plant(_believes_the_body, 2),
        Plant(_sent_before_sending, 2),
        Plant(_cabinet_overlooked, 2),
        Plant(_mismatch_overlooked, 7, _show_other_sums),
        Plant(_returned_twice, 11),
        Plant(_bought_again, 6, _lose_many_answers),
        Plant(_cancels_what_was_bought, 21),
    )
}


@contextmanager
def planted(name: str, *, bug: bool = True) -> Iterator[None]:
    """The bug of that name is in the shop while the body runs; or, for comparison, its weather alone."""
    plant = PLANTS[name]
    with ExitStack() as stack:
        def patch(place: Any, attribute: str, value: Any) -> None:
            stack.enter_context(mock.patch.object(place, attribute, value))

        for planting in (plant.weather, plant.bug if bug else None):
            if planting is not None:
                planting(patch)
        yield
