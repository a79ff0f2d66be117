"""The simulated notifications: retries, lies, and every order in which they may come."""

from __future__ import annotations

import asyncio

import pytest

from sandbox.world import Fault, World
from tests.support.yookassa_fixture import Client, Inbox, client, inbox, rub, until, world

__all__ = ["client", "inbox", "world"]  # fixtures, used by their names

pytestmark = pytest.mark.timeout(60)


async def test_a_notification_carries_the_object(client: Client, inbox: Inbox) -> None:
    """The event's object is a snapshot of the payment, sent with the given headers from the given address."""
    await client.settings(notification_headers={"X-Forwarded-For": "185.71.76.5"}, notification_source="127.0.0.9")
    payment = await client.paid()
    await until(lambda: len(inbox.came) == 1)
    body, headers = inbox.came[0]
    assert body == {"type": "notification", "event": "payment.succeeded", "object": payment}
    assert (headers["X-Forwarded-For"], headers["peer"]) == ("185.71.76.5", "127.0.0.9")


async def test_notifications_of_every_event(client: Client, inbox: Inbox) -> None:
    """Waiting, canceled, succeeded and refunded: each is told once, in the order of happening."""
    held = await client.paid(capture=False)
    await client.call("POST", f"/payments/{held['id']}/cancel")
    payment = await client.paid()
    await client.control("/yookassa/refunds", {"payment_id": payment["id"]})
    await until(lambda: len(inbox.came) == 4)
    assert sorted(inbox.events) == [
        "payment.canceled", "payment.succeeded", "payment.waiting_for_capture", "refund.succeeded",
    ]  # fmt: skip


async def test_repeats_go_on_with_growing_gaps_until_200(client: Client, world: World, inbox: Inbox) -> None:
    """Anything but 200, 204 and redirects too, is followed by another try; 200 ends it."""
    inbox.answers = [500, 204, 302, 403]
    await client.paid()
    for expected in range(1, 6):
        await _settled(client, expected)
        world.clock.advance(10 * 2 ** (expected - 1))
    log = await client.control("/yookassa/notifications")
    assert log[0]["state"] == "delivered"
    assert [one["status"] for one in log[0]["attempts"]] == [500, 204, 302, 403, 200]
    gaps = [b["at"] - a["at"] for a, b in zip(log[0]["attempts"], log[0]["attempts"][1:], strict=False)]
    assert gaps == sorted(gaps)
    world.clock.advance(86400)
    assert len(inbox.came) == 5


async def _settled(client: Client, attempts: int) -> None:
    """Wait until that many attempts of the first notification have their answer."""
    async with asyncio.timeout(5):
        while True:
            log = await client.control("/yookassa/notifications")
            if log and sum("status" in one or "error" in one for one in log[0]["attempts"]) == attempts:
                return
            await asyncio.sleep(0.005)


async def test_repeats_end_after_24_hours(client: Client, world: World, inbox: Inbox) -> None:
    """A webhook that never answers 200 is given up a day after the event, after a bounded number of tries."""
    inbox.answers = [500] * 100
    world.clock.set_speed(200_000)
    await client.paid()
    async with asyncio.timeout(20):
        while (log := await client.control("/yookassa/notifications"))[0]["state"] != "given_up":  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    assert 3 <= len(log[0]["attempts"]) <= 20


async def test_a_silent_webhook_is_left_after_the_timeout(client: Client, inbox: Inbox) -> None:
    """A webhook that does not answer costs the notifier its timeout, not more, and counts as not taken."""
    inbox.silent = True
    await client.settings(notification_timeout=0.2)
    await client.paid()
    await _settled(client, 1)
    log = await client.control("/yookassa/notifications")
    assert log[0]["attempts"][0]["error"] == "TimeoutError"
    assert log[0]["state"] == "waiting"


async def test_duplicates_and_silence(client: Client, inbox: Inbox) -> None:
    """`duplicates` sends n more copies of each event, `never` sends none."""
    await client.settings(notifications_never=True)
    await client.paid()
    await client.settings(notifications_never=False, notifications_duplicates=2)
    payment = await client.paid()
    await until(lambda: len(inbox.came) == 3)
    assert {body["object"]["id"] for body, _ in inbox.came} == {payment["id"]}


async def test_a_delayed_notification(client: Client, world: World, inbox: Inbox) -> None:
    """`delay` holds a notification back for so many seconds of the world's clock."""
    await client.settings(notifications_delay=300)
    await client.paid()
    world.clock.advance(290)
    assert (await client.control("/yookassa/notifications"))[0]["attempts"] == []
    world.clock.advance(10)
    await until(lambda: inbox.events == ["payment.succeeded"])


async def test_reordered_notifications(client: Client, inbox: Inbox, world: World) -> None:
    """`reordered` lets the next event overtake; a last one that nothing overtakes goes after a minute."""
    await client.settings(notifications_reordered=True)
    payment = await client.paid()
    await client.control("/yookassa/refunds", {"payment_id": payment["id"]})
    await until(lambda: inbox.events == ["refund.succeeded", "payment.succeeded"])
    await client.paid()
    world.clock.advance(60)
    await until(lambda: len(inbox.came) == 3)


async def test_lies_are_told_but_the_api_stays_true(client: Client, inbox: Inbox, world: World) -> None:
    """Forged sums, foreign recipients, flipped `test` and unknown events are in the notification only."""
    await client.settings(
        notifications_forged={"amount": {"value": "1.00"}, "status": "succeeded", "paid": True},
        notifications_wrong_recipient=True,
        notifications_test_flipped=True,
    )
    payment = await client.create()
    await client.control(f"/yookassa/payments/{payment['id']}/decline", {"reason": "fraud_suspected"})
    await until(lambda: len(inbox.came) == 1)
    told = inbox.came[0][0]["object"]
    assert (told["status"], told["paid"], told["amount"]) == ("succeeded", True, rub("1.00"))
    assert (told["recipient"]["account_id"], told["test"]) == ("999999", False)
    true = await client.get(payment["id"])
    assert (true["status"], true["amount"], true["test"]) == ("canceled", rub("490.00"), True)
    world.faults.plan(
        Fault("yookassa", "notification:payment.succeeded", tag="x", options={"notifications_unknown_event": True})
    )
    await client.paid()
    await until(lambda: len(inbox.came) == 2)
    assert inbox.events[1] == "payment.sent_to_the_moon"


async def test_a_notification_before_the_create_answer(client: Client, inbox: Inbox) -> None:
    """With the fastest payer the notification has arrived before the create answer, still `pending`, is read."""
    await client.settings(pay_before_create_answer=True)
    payment = await client.create()
    assert payment["status"] == "pending"
    assert "confirmation" in payment
    assert [body["object"]["id"] for body, _ in inbox.came] == [payment["id"]]
    assert (await client.get(payment["id"]))["status"] == "succeeded"


async def test_notify_sends_anything(client: Client, inbox: Inbox) -> None:
    """By hand one repeats a notification, forges one of a payment, or sends one of no object of the shop."""
    payment = await client.paid()
    await until(lambda: len(inbox.came) == 1)
    first = (await client.control("/yookassa/notifications"))[0]
    await client.control("/yookassa/notify", {"id": first["id"], "times": 3})
    assert [body for body, _ in inbox.came] == [inbox.came[0][0]] * 4
    forged = {"payment_id": payment["id"], "event": "payment.canceled", "patch": {"status": "canceled", "paid": None}}
    sent = await client.control("/yookassa/notify", forged)
    assert sent[0]["attempts"][0]["status"] == 200
    assert inbox.came[4][0]["event"] == "payment.canceled"
    assert "paid" not in inbox.came[4][0]["object"]
    await client.control("/yookassa/notify", {"object": {"id": "alien"}, "event": "refund.succeeded"})
    assert inbox.came[5][0] == {"type": "notification", "event": "refund.succeeded", "object": {"id": "alien"}}
