"""Top-ups against the simulated YooKassa: whatever tells of a payment, it is one credit of exactly its sum."""

from __future__ import annotations

import asyncio
import json

import pytest
from sqlalchemy import text

from database import clock, inbox, ledger, outbox
from database import payments as payment_rows
from database.models import NotFound, PaymentStatus
from services.common.i18n import Texts
from services.errors import TopUpUnavailable
from services.payments.payments import Payments
from services.payments.yookassa.client import YooKassaGateway
from tests.support.job_env import until
from tests.support.payment_env import HOOK, PaymentEnv
from tests.support.sandbox_fixture import ADMIN


async def credits(payment_env: PaymentEnv, user_id: int = 1) -> list[tuple[str, int]]:
    lines = await payment_env.db.read(ledger.history, user_id, limit=100)
    return [(line.reason, line.amount) for line in reversed(lines)]


async def test_a_paid_top_up_is_credited_by_its_notification(payment_env: PaymentEnv) -> None:
    """The plain story: link, payment, notification, one credit, the person is told."""
    await payment_env.control("/settings", notification_url=payment_env.url + HOOK)
    payment = await payment_env.open_payment()
    assert payment.confirmation_url is not None
    assert payment.confirmation_url.startswith(payment_env.sandbox.url)
    await payment_env.pay(payment)

    async def credited() -> bool:
        return await payment_env.db.get_balance(1) == 50_000

    await until(credited)
    await payment_env.acted()
    paid = await payment_env.payment(payment.id)
    assert (paid.status, paid.refunded_amount, paid.next_look_at) == (PaymentStatus.PAID, 0, None)
    assert [item.kind for item in await payment_env.db.write(outbox.claim)] == ["credited"]


async def test_a_double_tap_is_one_payment(payment_env: PaymentEnv) -> None:
    """The same payment id, twice at once and once later: one row, one payment at YooKassa, one link."""
    first, second = await asyncio.gather(
        payment_env.open_payment(payment_id="tap"), payment_env.open_payment(payment_id="tap")
    )
    third = await payment_env.open_payment(payment_id="tap")
    assert first.confirmation_url == second.confirmation_url == third.confirmation_url
    async with payment_env.sandbox.http.get(f"{payment_env.sandbox.url}/_control/yookassa/payments") as answer:
        assert len(await answer.json()) == 1


async def test_fifty_identical_notifications_at_once_are_one_credit(payment_env: PaymentEnv) -> None:
    """However often and at once a notification comes, the money comes once."""
    payment = await payment_env.open_payment()
    await payment_env.pay(payment)
    assert payment.provider_payment_id is not None
    statuses = await asyncio.gather(
        *(payment_env.notify("payment.succeeded", payment.provider_payment_id) for _ in range(50))
    )
    assert set(statuses) == {200}
    await payment_env.acted()
    assert await credits(payment_env) == [("topup", 50_000)]


async def test_notification_button_and_poller_race_for_one_credit(payment_env: PaymentEnv) -> None:
    """All three ways at once: one credit, and all of them see the payment paid."""
    payment = await payment_env.open_payment()
    await payment_env.pay(payment)
    assert payment.provider_payment_id is not None
    await payment_env.db.write(payment_rows.schedule_poll, payment.id, delay_ms=0)
    _, checked, _ = await asyncio.gather(
        payment_env.notify("payment.succeeded", payment.provider_payment_id),
        payment_env.payments.check(payment.id, 1),
        payment_env.payments.poll_due(),
    )
    await payment_env.acted()
    assert checked.status is PaymentStatus.PAID
    assert await credits(payment_env) == [("topup", 50_000)]


async def test_a_forged_success_credits_nothing(payment_env: PaymentEnv) -> None:
    """The body is not trusted: a pending payment stays pending, whatever the notification claims."""
    payment = await payment_env.open_payment()
    assert payment.provider_payment_id is not None
    forged = {"status": "succeeded", "paid": True, "amount": {"value": "100000.00", "currency": "RUB"}}
    assert await payment_env.notify("payment.succeeded", payment.provider_payment_id, **forged) == 200
    assert await payment_env.notify("payment.succeeded", "00000000-0000-5000-8000-000000000000", **forged) == 200
    await payment_env.acted()
    assert await credits(payment_env) == []
    assert (await payment_env.payment(payment.id)).status is PaymentStatus.PENDING


async def test_a_true_notification_after_a_forged_one_still_credits(payment_env: PaymentEnv) -> None:
    """A forged notification that came first must not make the true one look like a repeat."""
    payment = await payment_env.open_payment()
    assert payment.provider_payment_id is not None
    await payment_env.notify("payment.succeeded", payment.provider_payment_id)
    await payment_env.acted()
    await payment_env.pay(payment)
    await payment_env.notify("payment.succeeded", payment.provider_payment_id)
    await payment_env.acted()
    assert await credits(payment_env) == [("topup", 50_000)]


async def test_a_crash_after_the_notification_was_written_down_loses_nothing(payment_env: PaymentEnv) -> None:
    """The inbox row is there, the process died before acting: the sweeper's round credits."""
    payment = await payment_env.open_payment()
    await payment_env.pay(payment)
    body = json.dumps({"event": "payment.succeeded", "object": {"id": payment.provider_payment_id}})
    await payment_env.db.write(inbox.receive, "yookassa", "x", body, handling_ms=0)
    await payment_env.payments.handle_due_notifications()
    assert await credits(payment_env) == [("topup", 50_000)]
    await payment_env.payments.handle_due_notifications()
    assert await credits(payment_env) == [("topup", 50_000)]


async def test_a_lost_notification_is_made_up_for_by_the_poller(payment_env: PaymentEnv) -> None:
    """No notification came: the poll that is due finds the money."""
    payment = await payment_env.open_payment()
    await payment_env.pay(payment)
    await payment_env.db.write(payment_rows.schedule_poll, payment.id, delay_ms=0)
    await payment_env.payments.poll_due()
    assert await credits(payment_env) == [("topup", 50_000)]


async def test_a_canceled_payment_is_closed_with_its_reason(payment_env: PaymentEnv) -> None:
    """YooKassa canceled it: its reason is kept, and the person is told once."""
    payment = await payment_env.open_payment()
    await payment_env.control(f"/payments/{payment.provider_payment_id}/decline", reason="insufficient_funds")
    checked = await payment_env.payments.check(payment.id, 1)
    assert (checked.status, checked.cancel_reason) == (PaymentStatus.CANCELED, "insufficient_funds")
    assert [item.kind for item in await payment_env.db.write(outbox.claim)] == ["payment_canceled"]
    assert await credits(payment_env) == []


async def test_somebody_elses_payment_can_not_be_checked(payment_env: PaymentEnv) -> None:
    """Only the person who pays may ask about a payment."""
    payment = await payment_env.open_payment(user_id=1)
    with pytest.raises(NotFound):
        await payment_env.payments.check(payment.id, 2)


@pytest.mark.parametrize("how", [{"drop": "after"}, {"status": 500, "after": True}, {"status": 502, "body": "<html>"}])
async def test_a_create_whose_answer_was_lost_is_sent_again_under_the_same_key(
    payment_env: PaymentEnv, how: dict[str, object]
) -> None:
    """Unknown outcome: the stored body under the stored key, so there is one payment and one link."""
    payment_env.sandbox.fault("yookassa", "v3/payments", times=1, **how)
    payment = await payment_env.open_payment()
    assert payment.confirmation_url is not None
    async with payment_env.sandbox.http.get(f"{payment_env.sandbox.url}/_control/yookassa/payments") as answer:
        assert len(await answer.json()) == 1


async def test_a_payment_that_yookassa_does_not_answer_is_created_later(payment_env: PaymentEnv) -> None:
    """No answer at all: the person hears "try later", the row stays, and the next try creates it."""
    payment_env.sandbox.fault("yookassa", "v3/payments", times=2, status=500)
    with pytest.raises(TopUpUnavailable) as caught:
        await payment_env.open_payment(payment_id="slow")
    assert caught.value.code == "try_later"
    waiting = await payment_env.payment("slow")
    assert (waiting.status, waiting.provider_payment_id) == (PaymentStatus.PENDING, None)
    again = await payment_env.open_payment(payment_id="slow")
    assert again.confirmation_url is not None


@pytest.mark.parametrize(
    ("answer", "pause"),
    [({"status": 429}, 1.0), ({"status": 202, "body": {"type": "processing", "retry_after": 300}}, 0.3)],
)
async def test_a_request_goes_again_after_the_pause_that_yookassa_asks_for(
    payment_env: PaymentEnv, answer: dict[str, object], pause: float
) -> None:
    """429, and 202 with its `retry_after`: the same request goes again for the person who waits, but not at once."""
    payment_env.sandbox.fault("yookassa", "v3/payments", times=1, **answer)
    began = clock.steady()
    payment = await payment_env.open_payment()
    assert payment.confirmation_url is not None
    assert clock.steady() - began >= pause


async def test_nobody_is_kept_waiting_for_a_long_pause(payment_env: PaymentEnv) -> None:
    """Asked to come back in a minute: nothing goes again at once, the person hears "try later", the row stays."""
    payment_env.sandbox.fault(
        "yookassa", "v3/payments", times=1, status=429, body={"type": "error", "retry_after": 60_000}
    )
    with pytest.raises(TopUpUnavailable) as caught:
        await payment_env.open_payment(payment_id="slow")
    assert (caught.value.code, payment_env.sandbox.calls("yookassa", "POST /payments")) == ("try_later", 0)
    assert (await payment_env.payment("slow")).status is PaymentStatus.PENDING


async def test_wrong_credentials_close_the_payment_and_alert_the_admins(payment_env: PaymentEnv) -> None:
    """401 is for the admins to correct: the row is closed, the person is told, an alert is owed."""
    gateway = YooKassaGateway("100500", "test_wrong", f"{payment_env.sandbox.url}/yookassa/v3", timeout=(2, 2))
    payments = Payments(payment_env.db, gateway, Texts(), shop_id="100500", test_mode=True, admins=[ADMIN])
    with pytest.raises(TopUpUnavailable) as caught:
        await payments.open_topup(1, 50_000, chat_id=1, language="ru", payment_id="bad")
    await gateway.close()
    assert caught.value.code == "refused"
    assert (await payment_env.payment("bad")).status is PaymentStatus.CANCELED
    (alert,) = await payment_env.db.write(outbox.claim)
    assert (alert.user_id, alert.kind) == (ADMIN, "alert")


async def test_a_key_that_stops_working_alerts_the_admins_though_nobody_pays(payment_env: PaymentEnv) -> None:
    """401 to a poll or to a notification's question: the admins are told, and what waits goes on waiting."""
    payment = await payment_env.open_payment()
    assert payment.provider_payment_id is not None
    await payment_env.control("/settings", secret_key="test_another")
    for cause in ("poll", "notification"):
        if cause == "poll":
            await payment_env.db.write(payment_rows.schedule_poll, payment.id, delay_ms=0)
            await payment_env.payments.poll_due()
        else:
            await payment_env.db.write(lambda tx: tx.execute(text("DELETE FROM outbox")).close())
            await payment_env.notify("payment.succeeded", payment.provider_payment_id)
            await payment_env.acted()
        (alert,) = await payment_env.db.write(outbox.claim)
        assert (alert.user_id, alert.payload["text"]) == (ADMIN, "alert-yookassa"), cause
    assert (await payment_env.payment(payment.id)).status is PaymentStatus.PENDING


async def test_without_a_shop_cards_are_off(payment_env: PaymentEnv) -> None:
    """No YOOKASSA_SHOP_ID: refused with a reason, nothing written."""
    payments = Payments(payment_env.db, None, Texts())
    assert not payments.enabled
    with pytest.raises(TopUpUnavailable) as caught:
        await payments.open_topup(1, 50_000, chat_id=1, language="ru", payment_id="x")
    assert caught.value.code == "off"


@pytest.mark.parametrize(
    ("quirk", "reason"),
    [
        ({"amount": {"value": "1.00", "currency": "RUB"}}, "amount"),
        ({"amount": {"value": "500.00", "currency": "USD"}}, "currency"),
        ({"metadata": {"order_id": "somebody-else"}}, "order"),
        ({"recipient": {"account_id": "1", "gateway_id": "1"}}, "shop"),
        ({"test": False}, "test mode"),
        ({"id": "00000000-0000-5000-8000-000000000000"}, "id"),
    ],
)
async def test_what_does_not_fit_is_quarantined_and_the_admins_told(
    payment_env: PaymentEnv, quirk: dict[str, object], reason: str
) -> None:
    """Another sum, currency, id, shop or mode: no credit, the row says why, an alert is owed; asked again the same."""
    payment = await payment_env.open_payment()
    await payment_env.pay(payment)
    await payment_env.control("/settings", payment_patch=quirk)
    held = await payment_env.payments.settle(payment.id)
    assert held.status is PaymentStatus.PENDING
    assert reason in (held.quarantined_reason or "")
    await payment_env.payments.settle(payment.id)
    assert await credits(payment_env) == []
    assert [item.kind for item in await payment_env.db.write(outbox.claim)] == ["alert"]


async def test_a_late_success_of_a_canceled_payment_is_credited(payment_env: PaymentEnv) -> None:
    """The bank was later than the timeout: the money is there, so it is credited."""
    payment = await payment_env.open_payment()
    await payment_env.pay(payment)
    await payment_env.db.write(payment_rows.cancel, payment.id, "expired_on_confirmation")
    settled = await payment_env.payments.settle(payment.id)
    assert settled.status is PaymentStatus.PAID
    assert await credits(payment_env) == [("topup", 50_000)]


async def test_a_payment_whose_row_lost_the_providers_id_is_found_by_our_id(payment_env: PaymentEnv) -> None:
    """We died between YooKassa's answer and our row: YooKassa's payment carries our id."""
    payment_env.sandbox.fault("yookassa", "v3/payments", times=2, drop="after")
    with pytest.raises(TopUpUnavailable):
        await payment_env.open_payment(payment_id="orphan")
    async with payment_env.sandbox.http.get(f"{payment_env.sandbox.url}/_control/yookassa/payments") as answer:
        (made,) = await answer.json()
    await payment_env.control(f"/payments/{made['id']}/pay")
    assert await payment_env.notify("payment.succeeded", made["id"]) == 200
    await payment_env.acted()
    assert await credits(payment_env) == [("topup", 50_000)]


async def test_a_refund_from_the_cabinet_is_taken_back_once(payment_env: PaymentEnv) -> None:
    """A refund that we never asked for: debit what is there, owe the rest, once however often we are told."""
    payment = await payment_env.open_payment()
    await payment_env.pay(payment)
    await payment_env.payments.settle(payment.id)
    await payment_env.db.subtract_balance(1, 20_000, key="spent", reason="test")
    refund = await payment_env.control("/refunds", payment_id=payment.provider_payment_id, amount="400.00")
    for _ in range(3):
        assert await payment_env.notify("refund.succeeded", refund["id"]) == 200
    await payment_env.acted()
    paid = await payment_env.payment(payment.id)
    assert (paid.status, paid.refunded_amount) == (PaymentStatus.PAID, 40_000)
    assert await credits(payment_env) == [("topup", 50_000), ("test", -20_000), ("takeback", -30_000)]
    (debt,) = await payment_env.db.read(ledger.open_debts, 1)
    assert debt.amount == 10_000
    rest = await payment_env.control("/refunds", payment_id=payment.provider_payment_id, amount="100.00")
    await payment_env.notify("refund.succeeded", rest["id"])
    await payment_env.acted()
    assert (await payment_env.payment(payment.id)).status is PaymentStatus.REFUNDED


async def test_a_refund_told_before_its_payment_credits_first(payment_env: PaymentEnv) -> None:
    """refund.succeeded came before payment.succeeded: the credit, then the take-back; nothing is left."""
    payment = await payment_env.open_payment()
    await payment_env.pay(payment)
    refund = await payment_env.control("/refunds", payment_id=payment.provider_payment_id)
    await payment_env.notify("refund.succeeded", refund["id"])
    await payment_env.acted()
    assert await credits(payment_env) == [("topup", 50_000), ("takeback", -50_000)]
    assert (await payment_env.payment(payment.id)).status is PaymentStatus.REFUNDED
