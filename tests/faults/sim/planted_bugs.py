"""Bugs that are put into the product on purpose: a simulation that does not find them proves nothing.

Each is a mistake that programs of this kind have made in public. What the schema itself refuses (a second credit, a
charge without its result, a refund after the charge) is not among them: the mutants test that.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any
from unittest import mock

import httpx2

from database import jobs as job_rows
from database import outbox
from database import payments as payment_rows
from database import refunds as refund_rows
from database.models import IllegalMove, Job, JobStatus, Tx
from services.messaging.notifier import Notifier
from services.payments.events import ProviderEvents
from services.payments.matching import ShopIdentity
from services.payments.settlement import Settlement
from tests.faults.sim.people import Admin
from tests.faults.sim.providers import SimGemini, SimKling
from tests.faults.sim.telegram import SimTelegram
from tests.faults.sim.yookassa import SimYooKassa
from workers import video_worker
from workers.paid_call import PaidCall

Patch = Callable[..., None]
Change = Callable[[Patch], None]


def _calls_without_intent(patch: Patch) -> None:
    """The provider is called, and nothing was written before."""

    class Unwritten:
        async def succeeded(self, cost_micro_usd: int) -> None: ...

        async def failed(self, error: Exception) -> None: ...

    async def begin(*_: Any) -> Unwritten:
        return Unwritten()

    patch(PaidCall, "begin", begin)


def _believes_notifications(patch: Patch) -> None:
    """A notification is enough to credit; nobody asks YooKassa."""

    async def believe(self: Any, provider_payment_id: str) -> None:
        payment = await self.row_of(provider_payment_id)
        if payment is not None:
            await self._db.write(payment_rows.settle, payment.id)

    patch(ProviderEvents, "on_payment_event", believe)


def _marks_as_sent_before_sending(patch: Patch) -> None:
    """A message is recorded as sent before Telegram has it."""
    attempt = Notifier._attempt

    async def early(self: Any, item: Any) -> None:
        await self._db.write(outbox.sent, item.id)
        await attempt(self, item)

    patch(Notifier, "_attempt", early)


def _ignores_refunds_of_the_cabinet(patch: Patch) -> None:
    """Money given back in YooKassa's cabinet is not taken from the balance."""

    async def nothing(self: Any, payment: Any, refund: Any) -> None: ...

    patch(Settlement, "take_back", nothing)


def _ignores_another_sum(patch: Patch) -> None:
    """A payment is credited although YooKassa shows another sum."""
    patch(ShopIdentity, "mismatch", lambda self, payment, facts: None)


def _never_closes_refunds(patch: Patch) -> None:
    """A refund that succeeded is not recorded as such, so that it is handled again."""
    patch(refund_rows, "succeed", lambda tx, refund_id, provider_id: (refund_rows.get(tx, refund_id), False))


def _submits_without_search(patch: Patch) -> None:
    """A video whose submit has an unknown outcome is submitted again at once, without a search for the first."""

    async def nothing_found(*_: Any) -> bool:
        return True

    patch(video_worker, "_search", nothing_found)


def _cancels_during_a_call(patch: Patch) -> None:
    """An order is cancelled and paid back although the provider is working on it."""

    def cancel(tx: Tx, job_id: str, user_id: int) -> Job:
        closed = job_rows._close_unpaid(tx, job_id, JobStatus.CANCELLED, "cancelled")
        if closed is None:
            raise IllegalMove(job_id)
        return closed

    patch(job_rows, "cancel", cancel)


# --- conditions: no bugs, but faults under which a bug soon shows -----------------------------------


def _every_other_image_is_lost(patch: Patch) -> None:
    """Every other image is made and never arrives."""
    serve = SimGemini.serve

    def lost(self: SimGemini, request: Any, content: bytes) -> Any:
        answer = serve(self, request, content)
        if self.world.chance.random() < 0.5:
            raise httpx2.RemoteProtocolError("the answer was cut off")
        return answer

    patch(SimGemini, "serve", lost)


def _images_take_two_minutes(patch: Patch) -> None:
    """So that people cancel."""
    serve = SimGemini.serve

    def slow(self: SimGemini, request: Any, content: bytes) -> Any:
        status, headers, body, _ = serve(self, request, content)
        return status, headers, body, 120.0

    patch(SimGemini, "serve", slow)


def _answers_to_submits_are_lost(patch: Patch) -> None:
    """Most of the answers by which Kling accepts a task are lost."""
    submit = SimKling._submit

    def lost(self: SimKling, body: dict[str, Any]) -> Any:
        answer = submit(self, body)
        if self.world.chance.random() < 0.7:
            raise httpx2.RemoteProtocolError("the answer was cut off")
        return answer

    patch(SimKling, "_submit", lost)


def _success_is_reported_and_nobody_pays(patch: Patch) -> None:
    """A notification from YooKassa's own address says of each payment that it is paid, and none is."""
    patch(SimYooKassa, "pay", lambda self, number: None)
    _to_new_payments(patch, lambda yookassa, number: yookassa.notifications.append(("payment.succeeded", number)))


def _other_sums_are_shown(patch: Patch) -> None:
    """Each payment is shown with another sum than was ordered."""
    _to_new_payments(patch, lambda yookassa, number: yookassa.altered.add(number))


def _to_new_payments(patch: Patch, happens: Callable[[SimYooKassa, str], None]) -> None:
    new_payment = SimYooKassa._new_payment

    def made(self: SimYooKassa, wanted: dict[str, Any]) -> Any:
        payment = new_payment(self, wanted)
        happens(self, payment["id"])
        return payment

    patch(SimYooKassa, "_new_payment", made)


def _refunds_in_the_cabinet(patch: Patch) -> None:
    """A part of each payment is refunded in the cabinet soon after."""
    pay = SimYooKassa.pay

    def paid(self: SimYooKassa, number: str) -> None:
        pay(self, number)
        asyncio.get_running_loop().call_later(30.0, self.refund_in_cabinet, number, 1000)

    patch(SimYooKassa, "pay", paid)


def _admin_only_refunds(patch: Patch) -> None:
    """The admin does nothing else as long as there is a payment."""
    act = Admin._do_something

    async def give_back(self: Admin) -> None:
        paid = [one for one in self.deployment.yookassa.payments.values() if one["status"] == "succeeded"]
        if not paid:
            await act(self)
            return
        self._say(f"/refund_payment {self._chance.choice(paid)['metadata'].get('order_id', 'x')} 10")
        await self._confirm()

    patch(Admin, "_do_something", give_back)


def _uploads_take_half_a_minute(patch: Patch) -> None:
    """So that a kill can come in between."""
    serve = SimTelegram.serve

    async def slow(self: SimTelegram, bot: Any, method: Any) -> Any:
        if type(method).__name__ in ("SendDocument", "SendVideo") and not self.world.faults_over:
            await asyncio.sleep(30.0)
        return await serve(self, bot, method)

    patch(SimTelegram, "serve", slow)


@dataclass(frozen=True)
class PlantedBug:
    """A bug, and the conditions under which worlds show it soon."""

    bug: Change
    conditions: Change


PLANTED_BUGS = {
    planted.bug.__name__.strip("_").replace("_", " "): planted
    for planted in (
        PlantedBug(_calls_without_intent, _every_other_image_is_lost),
        PlantedBug(_believes_notifications, _success_is_reported_and_nobody_pays),
        PlantedBug(_marks_as_sent_before_sending, _uploads_take_half_a_minute),
        PlantedBug(_ignores_refunds_of_the_cabinet, _refunds_in_the_cabinet),
        PlantedBug(_ignores_another_sum, _other_sums_are_shown),
        PlantedBug(_never_closes_refunds, _admin_only_refunds),
        PlantedBug(_submits_without_search, _answers_to_submits_are_lost),
        PlantedBug(_cancels_during_a_call, _images_take_two_minutes),
    )
}


@contextmanager
def planted(name: str, *, bug: bool = True) -> Iterator[None]:
    """The bug of that name is in the product while the body runs; or, for comparison, its conditions alone."""
    entry = PLANTED_BUGS[name]
    with ExitStack() as stack:

        def patch(place: Any, attribute: str, value: Any) -> None:
            stack.enter_context(mock.patch.object(place, attribute, value))

        entry.conditions(patch)
        if bug:
            entry.bug(patch)
        yield
