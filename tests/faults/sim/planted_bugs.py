"""Bugs put into the shop on purpose: a simulation that finds none of them would prove nothing by finding nothing.

Each is a mistake that shops of this kind have made in public. What the schema itself refuses (a second credit, a
charge without its result, a refund after the charge) is not among them: the mutants see to that.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any
from unittest import mock

import httpx

from database import jobs as job_rows
from database import outbox
from database import payments as payment_rows
from database import refunds as refund_rows
from database.models import IllegalMove, Job, JobStatus, Tx
from services.messaging.notifier import Notifier
from services.payments.settlement import Settlement
from services.payments.topups import Payments
from tests.faults.sim.people import Owner
from tests.faults.sim.providers import SimGemini, SimKling
from tests.faults.sim.telegram import SimTelegram
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


def _believes_the_body(patch: Patch) -> None:
    """A notification is enough to credit; nobody asks YooKassa."""

    async def believe(self: Any, provider_payment_id: str) -> None:
        payment = await self._settlement.ours(provider_payment_id)
        if payment is not None:
            await self._db.write(payment_rows.settle, payment.id)

    patch(Payments, "on_payment_event", believe)


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


def _returned_twice(patch: Patch) -> None:
    """A refused return gives the customer everything back without looking whether it was done already."""
    patch(refund_rows, "succeed", lambda tx, refund_id, provider_id: (refund_rows.get(tx, refund_id), False))


def _bought_again(patch: Patch) -> None:
    """A clip whose submit ended in doubt is ordered again at once, without a search for the first."""

    async def nothing_found(*_: Any) -> bool:
        return True

    patch(video_worker, "_search", nothing_found)


def _cancels_what_was_bought(patch: Patch) -> None:
    """An order is cancelled and paid back although the provider is drawing it."""

    def cancel(tx: Tx, job_id: str, user_id: int) -> Job:
        closed = job_rows._close_unpaid(tx, job_id, JobStatus.CANCELLED, "cancelled")
        if closed is None:
            raise IllegalMove(job_id)
        return closed

    patch(job_rows, "cancel", cancel)


# --- weather: no bugs of the shop's, but what makes a world show one soon ---------------------------


def _pictures_are_lost(patch: Patch) -> None:
    """Every other picture is drawn and never arrives."""
    serve = SimGemini.serve

    def lost(self: SimGemini, request: Any, content: bytes) -> Any:
        answer = serve(self, request, content)
        if self.world.chance.random() < 0.5:
            raise httpx.RemoteProtocolError("the answer was cut off")
        return answer

    patch(SimGemini, "serve", lost)


def _pictures_take_long(patch: Patch) -> None:
    """Two minutes for each, so that people lose patience."""
    serve = SimGemini.serve

    def slow(self: SimGemini, request: Any, content: bytes) -> Any:
        status, headers, body, _ = serve(self, request, content)
        return status, headers, body, 120.0

    patch(SimGemini, "serve", slow)


def _submits_are_lost(patch: Patch) -> None:
    """Most of Kling's yeses are lost."""
    submit = SimKling._submit

    def lost(self: SimKling, body: dict[str, Any]) -> Any:
        answer = submit(self, body)
        if self.world.chance.random() < 0.7:
            raise httpx.RemoteProtocolError("the answer was cut off")
        return answer

    patch(SimKling, "_submit", lost)


def _success_is_told_and_nobody_pays(patch: Patch) -> None:
    """Each order hears from YooKassa's own address that it is paid, and none is."""
    patch(SimYooKassa, "pay", lambda self, number: None)
    _to_new_payments(patch, lambda shop, number: shop.heard.append(("payment.succeeded", number)))


def _other_sums_are_shown(patch: Patch) -> None:
    """Each payment is shown with a sum that is not its order's."""
    _to_new_payments(patch, lambda shop, number: shop.odd.add(number))


def _to_new_payments(patch: Patch, happens: Callable[[SimYooKassa, str], None]) -> None:
    new_payment = SimYooKassa._new_payment

    def made(self: SimYooKassa, wanted: dict[str, Any]) -> Any:
        payment = new_payment(self, wanted)
        happens(self, payment["id"])
        return payment

    patch(SimYooKassa, "_new_payment", made)


def _the_cabinet_gives_back(patch: Patch) -> None:
    """Of each payment a part is returned in the cabinet soon after."""
    pay = SimYooKassa.pay

    def paid(self: SimYooKassa, number: str) -> None:
        pay(self, number)
        asyncio.get_running_loop().call_later(30.0, self.refund_in_cabinet, number, 1000)

    patch(SimYooKassa, "pay", paid)


def _the_owner_gives_back(patch: Patch) -> None:
    """The owner does nothing else as long as there is a payment."""
    act = Owner._act

    async def give_back(self: Owner) -> None:
        paid = [one for one in self.company.yookassa.payments.values() if one["status"] == "succeeded"]
        if not paid:
            await act(self)
            return
        self._say(f"/refund_payment {self._chance.choice(paid)['metadata'].get('order_id', 'x')} 10")
        await self._confirm()

    patch(Owner, "_act", give_back)


def _files_take_long(patch: Patch) -> None:
    """A result is under way to Telegram for half a minute, time enough to die."""
    serve = SimTelegram.serve

    async def slow(self: SimTelegram, bot: Any, method: Any) -> Any:
        if type(method).__name__ in ("SendDocument", "SendVideo") and not self.world.calm:
            await asyncio.sleep(30.0)
        return await serve(self, bot, method)

    patch(SimTelegram, "serve", slow)


@dataclass(frozen=True)
class Plant:
    """A bug, and the weather in which worlds show it soon."""

    bug: Planting
    weather: Planting


PLANTS = {
    plant.bug.__name__.strip("_").replace("_", " "): plant
    for plant in (
        Plant(_no_intent, _pictures_are_lost),
        Plant(_believes_the_body, _success_is_told_and_nobody_pays),
        Plant(_sent_before_sending, _files_take_long),
        Plant(_cabinet_overlooked, _the_cabinet_gives_back),
        Plant(_mismatch_overlooked, _other_sums_are_shown),
        Plant(_returned_twice, _the_owner_gives_back),
        Plant(_bought_again, _submits_are_lost),
        Plant(_cancels_what_was_bought, _pictures_take_long),
    )
}


@contextmanager
def planted(name: str, *, bug: bool = True) -> Iterator[None]:
    """The bug of that name is in the shop while the body runs; or, for comparison, its weather alone."""
    plant = PLANTS[name]
    with ExitStack() as stack:

        def patch(place: Any, attribute: str, value: Any) -> None:
            stack.enter_context(mock.patch.object(place, attribute, value))

        plant.weather(patch)
        if bug:
            plant.bug(patch)
        yield
