"""Receipts of a shop that must send them: the address is asked for once, and is told to nobody but YooKassa."""

from __future__ import annotations

import csv
import logging
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from database import differences as difference_rows
from database import outbox
from database import payments as payment_rows
from database import users as user_rows
from database.models import IllegalMove, PaymentStatus, RefundStatus
from services.common.i18n import Texts
from services.errors import TopUpUnavailable
from services.ops.export import Period, write_csv
from services.payments.payments import Payments
from services.payments.receipts import BadEmail, parse_email, terms_of
from services.payments.reconciliation import Reconciliation
from services.payments.refunds import Refunds
from services.payments.yookassa.client import Receipt
from services.payments.yookassa_refunds import YooKassaRefunds
from tests.support.bot_env import ANYA, BotEnv, open_bot_env
from tests.support.payment_env import PaymentEnv
from tests.support.sandbox_fixture import ADMIN, Sandbox

ADDRESS = "anna.k+bot@Example.org"
KEPT = "anna.k+bot@example.org"


def terms(payment_env: PaymentEnv) -> Receipt:
    """The terms of a shop that sends receipts."""
    settings = payment_env.sandbox.settings(
        Path("."),
        YOOKASSA_RECEIPTS="on",
        YOOKASSA_VAT_CODE="11",
        YOOKASSA_TAX_SYSTEM_CODE="2",
        YOOKASSA_PAYMENT_SUBJECT="payment",
        YOOKASSA_PAYMENT_MODE="full_prepayment",
    )
    receipt = terms_of(settings)
    assert receipt is not None
    return receipt


def refunds_of(payment_env: PaymentEnv, receipt: Receipt | None) -> Refunds:
    """Refunds of a shop that sends receipts by these terms."""
    return Refunds(payment_env.db, {"yookassa": YooKassaRefunds(payment_env.db, payment_env.yookassa, receipt=receipt)})


def fiscal(payment_env: PaymentEnv) -> Payments:
    """Payments of a shop that sends receipts."""
    return Payments(
        payment_env.db,
        payment_env.gateway,
        Texts(),
        shop_id="100500",
        test_mode=True,
        return_url=f"{payment_env.sandbox.url}/",
        receipt=terms(payment_env),
    )


def sold(sandbox: Sandbox) -> list[Any]:
    """What the simulated shop was given to register, payment by payment."""
    return [payment.receipt for payment in sandbox.world.faces["yookassa"].payments.values()]


@pytest.mark.parametrize(
    ("typed", "kept"),
    [
        (ADDRESS, KEPT),
        (" a@b.ru ", "a@b.ru"),
        ("mailto:a@b.ru", "a@b.ru"),
        ("a" * 64 + "@b.ru", "a" * 64 + "@b.ru"),
        ("o'neil@mail.example.com", "o'neil@mail.example.com"),
    ],
)
def test_addresses_are_taken(typed: str, kept: str) -> None:
    """What mail can reach is kept as typed, its domain in lower case."""
    assert parse_email(typed) == kept


@pytest.mark.parametrize(
    "typed",
    ["", "anna", "a@b", "@b.ru", "a@", "a@@b.ru", "a b@c.ru", "a@b..ru", ".a@b.ru", "a@-b.ru", "a@b.ru\nx@y.ru",
     "анна@почта.рф", "a" * 65 + "@b.ru", "a@" + "b" * 250 + ".ru", "a@b.r", "a,b@c.ru", "<a@b.ru>", "a@1.2.3.4"],
)  # fmt: skip
def test_what_is_no_address_is_refused_without_being_repeated(typed: str) -> None:
    """Refused with words that hold nothing of what was typed."""
    with pytest.raises(BadEmail) as caught:
        parse_email(typed)
    assert str(caught.value) == "no e-mail address"


async def test_without_an_address_no_payment_is_opened(payment_env: PaymentEnv) -> None:
    """The shop must send receipts and knows no address: a code for the chat to ask, and nothing is written."""
    with pytest.raises(TopUpUnavailable) as caught:
        await fiscal(payment_env).open_topup(1, 50_000, chat_id=1, language="ru", payment_id="x")
    assert caught.value.code == "email"
    assert await payment_env.db.read(payment_rows.get, "x") is None


async def test_the_receipt_fits_the_payment(payment_env: PaymentEnv) -> None:
    """With fiscalization on YooKassa takes our receipt: address, sum, and all four settings; no repr tells it."""
    await payment_env.control("/settings", fiscalization=True)
    await payment_env.db.write(user_rows.set_email, 1, KEPT)
    payments = fiscal(payment_env)
    payment = await payments.open_topup(1, 49_990, chat_id=1, language="ru", payment_id="x")
    assert payment.confirmation_url is not None
    (receipt,) = sold(payment_env.sandbox)
    assert (receipt["customer"], receipt["tax_system_code"]) == ({"email": KEPT}, 2)
    (item,) = receipt["items"]
    assert (item["amount"]["value"], item["vat_code"], item["payment_subject"], item["payment_mode"]) == (
        "499.90", 11, "payment", "full_prepayment",
    )  # fmt: skip
    assert KEPT not in repr(payment)
    assert KEPT not in repr(await payment_env.db.read(user_rows.get, 1))


async def test_a_changed_address_does_not_change_what_was_sent(payment_env: PaymentEnv) -> None:
    """The stored body goes again under the stored key, whatever the person types meanwhile."""
    await payment_env.control("/settings", fiscalization=True)
    await payment_env.db.write(user_rows.set_email, 1, KEPT)
    payments = fiscal(payment_env)
    payment_env.sandbox.fault("yookassa", "v3/payments", times=2, drop="after")
    with pytest.raises(TopUpUnavailable):
        await payments.open_topup(1, 50_000, chat_id=1, language="ru", payment_id="x")
    await payment_env.db.write(user_rows.set_email, 1, "other@example.org")
    payment = await payments.open_topup(1, 50_000, chat_id=1, language="ru", payment_id="x")
    assert payment.confirmation_url is not None
    assert [receipt["customer"]["email"] for receipt in sold(payment_env.sandbox)] == [KEPT]


async def test_a_part_goes_back_with_its_receipt(payment_env: PaymentEnv) -> None:
    """YooKassa refuses a partial refund without a receipt: ours has one, to the address the payment's went to."""
    await payment_env.control("/settings", fiscalization=True)
    await payment_env.db.write(user_rows.set_email, 1, KEPT)
    payments = fiscal(payment_env)
    payment = await payments.open_topup(1, 50_000, chat_id=1, language="ru", payment_id="x")
    await payment_env.pay(payment)
    assert (await payments.settle("x")).status is PaymentStatus.PAID
    refunds = refunds_of(payment_env, terms_of(payment_env.sandbox.settings(Path("."), YOOKASSA_RECEIPTS="on")))
    part = await refunds.refund(ADMIN, "x", 10_000, refund_id="r1")
    rest = await refunds.refund(ADMIN, "x", refund_id="r2")
    assert (part.status, rest.status) == (RefundStatus.SUCCEEDED, RefundStatus.SUCCEEDED)
    assert KEPT not in repr(part)


async def test_the_accountant_gets_a_line_for_each_receipt(payment_env: PaymentEnv, tmp_path: Path) -> None:
    """Paid, refunded in part and then whole: three receipts with their terms, none of what has none, no address."""
    await payment_env.control("/settings", fiscalization=True)
    await payment_env.db.write(user_rows.set_email, 1, KEPT)
    payments = fiscal(payment_env)
    for payment_id in ("x", "unpaid"):
        await payments.open_topup(1, 50_000, chat_id=1, language="ru", payment_id=payment_id)
    payment = await payment_env.payment("x")
    await payment_env.pay(payment)
    await payments.settle("x")
    refunds = refunds_of(payment_env, terms(payment_env))
    for amount, refund_id in ((12_345, "r1"), (None, "r2")):
        await refunds.refund(ADMIN, "x", amount, refund_id=refund_id)
    await payment_env.control("/settings", fiscalization=False)
    await payment_env.paid()
    period = Period.parse("2000-01-01", "2100-01-01")
    assert await write_csv(payment_env.db, "receipts", period, tmp_path / "receipts.csv") == 3
    written = (tmp_path / "receipts.csv").read_text("utf-8-sig")
    lines = list(csv.DictReader(written.splitlines()))
    assert [(line["kind"], line["payment_id"], line["amount_rub"]) for line in lines] == [
        ("payment", "x", "500.00"), ("refund", "x", "123.45"), ("refund", "x", "376.55"),
    ]  # fmt: skip
    assert {(line["vat_code"], line["payment_subject"], line["payment_mode"]) for line in lines} == {
        ("11", "payment", "full_prepayment")
    }
    assert "example.org" not in written


async def bought(payment_env: PaymentEnv, payment_id: str, receipts: Payments) -> Any:
    """A paid payment with a receipt; the simulated shop's own object of it."""
    await payment_env.db.write(user_rows.set_email, 1, KEPT)
    payment = await receipts.open_topup(1, 50_000, chat_id=1, language="ru", payment_id=payment_id)
    await payment_env.pay(payment)
    await receipts.settle(payment_id)
    return payment_env.sandbox.world.faces["yookassa"].payments[payment.provider_payment_id]


async def noted(payment_env: PaymentEnv, receipts: Payments) -> list[tuple[str, str | None, Any]]:
    """What two comparisons in a row find: the second must find nothing new."""
    reconciliation = Reconciliation(payment_env.db, payment_env.gateway, receipts, admins=[ADMIN])
    report = await reconciliation.run()
    assert report.failed == 0
    assert (await reconciliation.run()).new == []
    assert all(one.proposal == {} for one in report.new)
    return [(one.kind, one.payment_id, one.details["theirs"]) for one in report.new]


async def test_a_receipt_that_was_refused_is_noted_once(payment_env: PaymentEnv) -> None:
    """Of a payment and of a refund, whole or in part; nothing can be booked for it, a person dismisses it."""
    await payment_env.control("/settings", fiscalization=True, receipt_delay=0, receipt_outcome="canceled")
    receipts = fiscal(payment_env)
    refunds = refunds_of(payment_env, terms(payment_env))
    await bought(payment_env, "x", receipts)
    await refunds.refund(ADMIN, "x", 10_000, refund_id="r1")
    await refunds.refund(ADMIN, "x", refund_id="r2")
    assert sorted(await noted(payment_env, receipts)) == [
        ("receipt-refused", "x", 10_000), ("receipt-refused", "x", 40_000), ("receipt-refused", "x", 50_000),
    ]  # fmt: skip
    count, waiting = await payment_env.db.read(difference_rows.still_open)
    told = [item for item in await payment_env.db.write(outbox.claim, limit=100) if item.kind == "alert"]
    assert (count, len(told)) == (3, 3)
    with pytest.raises(IllegalMove):
        await payment_env.db.write(difference_rows.apply, ADMIN, waiting[0].id)
    for one in waiting:
        await payment_env.db.write(difference_rows.dismiss, ADMIN, one.id)
    assert await noted(payment_env, receipts) == []
    assert (await payment_env.db.read(difference_rows.still_open))[0] == 0


@pytest.mark.parametrize(("hours", "kinds"), [(71, []), (73, ["receipt-late"]), (96, ["receipt-late"])])
async def test_a_receipt_that_waits_for_three_days_is_noted(
    payment_env: PaymentEnv, hours: int, kinds: list[str]
) -> None:
    """Pending is as it should be for three days; the hourly comparison reaches back far enough to see it longer."""
    await payment_env.control("/settings", fiscalization=True, receipt_delay=90 * 86_400)
    receipts = fiscal(payment_env)
    (await bought(payment_env, "x", receipts)).captured_at -= hours * 3600
    long_ago = text("UPDATE payments SET paid_at = paid_at - :earlier")
    await payment_env.db.write(lambda tx: tx.changed(long_ago.bindparams(earlier=hours * 3_600_000)))
    assert [kind for kind, _, _ in await noted(payment_env, receipts)] == kinds


async def test_a_refund_whose_receipt_waits_is_noted(payment_env: PaymentEnv) -> None:
    """A refund has a receipt of its own, and its own three days."""
    await payment_env.control("/settings", fiscalization=True, receipt_delay=4 * 86_400)
    receipts = fiscal(payment_env)
    (await bought(payment_env, "x", receipts)).captured_at -= 5 * 86_400
    refunds = refunds_of(payment_env, terms(payment_env))
    refund = await refunds.refund(ADMIN, "x", refund_id="r1")
    assert await noted(payment_env, receipts) == []
    payment_env.sandbox.world.faces["yookassa"].refunds[refund.provider_refund_id].created_at -= 73 * 3600
    assert await noted(payment_env, receipts) == [("receipt-late", "x", 50_000)]


@pytest.mark.parametrize("delay", [0, 90 * 86_400])
@pytest.mark.parametrize("refunded", [False, True])
async def test_a_late_receipt_that_is_registered_after_all_closes_by_itself(
    payment_env: PaymentEnv, refunded: bool, delay: int
) -> None:
    """However late, long after the lists reach no further back: dismissed with the reason, told once, and for good."""
    await payment_env.control("/settings", fiscalization=True, receipt_delay=0 if refunded else 90 * 86_400)
    receipts = fiscal(payment_env)
    theirs = await bought(payment_env, "x", receipts)
    if refunded:
        refunds = refunds_of(payment_env, terms(payment_env))
        refund = await refunds.refund(ADMIN, "x", refund_id="r1")
        theirs = payment_env.sandbox.world.faces["yookassa"].refunds[refund.provider_refund_id]
    await payment_env.control("/settings", receipt_delay=90 * 86_400)
    moment = "created_at" if refunded else "captured_at"
    vars(theirs)[moment] -= 96 * 3600
    assert [kind for kind, _, _ in await noted(payment_env, receipts)] == ["receipt-late"]
    vars(theirs)[moment] -= 40 * 86_400
    await payment_env.control("/settings", receipt_delay=delay)
    assert await noted(payment_env, receipts) == []
    count, _ = await payment_env.db.read(difference_rows.still_open)
    log = text("SELECT admin_id, action, details FROM admin_log WHERE action LIKE 'difference%'")
    acts = [tuple(row) for row in await payment_env.db.read(lambda tx: tx.execute(log).all())]
    why = '{"kind": "receipt-late", "why": "the receipt is registered"}'
    assert (count, acts) == ((1, []) if delay else (0, [(0, "difference_dismissed", why)]))
    told = [
        item.payload["text"] for item in await payment_env.db.write(outbox.claim, limit=100) if item.kind == "alert"
    ]
    assert told == ["alert-difference"] + ([] if delay else ["alert-difference-over"])


async def test_a_late_receipt_that_is_refused_is_one_difference(payment_env: PaymentEnv) -> None:
    """What was late and is refused now waits for a person under that name alone."""
    await payment_env.control("/settings", fiscalization=True, receipt_delay=90 * 86_400)
    receipts = fiscal(payment_env)
    theirs = await bought(payment_env, "x", receipts)
    theirs.captured_at -= 96 * 3600
    assert [kind for kind, _, _ in await noted(payment_env, receipts)] == ["receipt-late"]
    theirs.captured_at -= 40 * 86_400
    await payment_env.control("/settings", receipt_delay=0, receipt_outcome="canceled")
    assert [kind for kind, _, _ in await noted(payment_env, receipts)] == ["receipt-refused"]
    count, waiting = await payment_env.db.read(difference_rows.still_open)
    assert (count, waiting[0].kind) == (1, "receipt-refused")


async def test_a_late_receipt_of_what_yookassa_forgot_stops_no_comparison(payment_env: PaymentEnv) -> None:
    """A payment that can't be found any more leaves its difference to a person."""
    await payment_env.control("/settings", fiscalization=True, receipt_delay=90 * 86_400)
    receipts = fiscal(payment_env)
    theirs = await bought(payment_env, "x", receipts)
    theirs.captured_at -= 96 * 3600
    assert [kind for kind, _, _ in await noted(payment_env, receipts)] == ["receipt-late"]
    long_ago = text("UPDATE payments SET paid_at = paid_at - 4000000000")
    await payment_env.db.write(lambda tx: tx.execute(long_ago))
    del payment_env.sandbox.world.faces["yookassa"].payments[theirs.id]
    assert await noted(payment_env, receipts) == []
    assert (await payment_env.db.read(difference_rows.still_open))[0] == 1


async def test_receipts_are_not_compared_where_none_are_sent(payment_env: PaymentEnv) -> None:
    """Registered ones say nothing; nor does anything once receipts are off here."""
    await payment_env.control("/settings", fiscalization=True, receipt_delay=0)
    receipts = fiscal(payment_env)
    await bought(payment_env, "x", receipts)
    assert await noted(payment_env, receipts) == []
    await payment_env.control("/settings", receipt_outcome="canceled")
    assert await noted(payment_env, payment_env.payments) == []
    assert [kind for kind, _, _ in await noted(payment_env, receipts)] == ["receipt-refused"]


async def test_the_address_is_asked_for_once(
    sandbox: Sandbox, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Top up, type the address, pay; the next time the link comes at once; no log line ever holds the address."""
    sandbox.world.faces["yookassa"].settings.update({"fiscalization": True})
    with caplog.at_level(logging.DEBUG):
        async with open_bot_env(sandbox, tmp_path, YOOKASSA_RECEIPTS="on") as bot_env:
            await _asked_once(bot_env)
    assert sold(sandbox)[0]["customer"] == {"email": KEPT}
    ours = [record.getMessage() for record in caplog.records if not record.name.startswith("sandbox")]
    assert not [line for line in ours if "anna.k" in line]


async def _asked_once(bot_env: BotEnv) -> None:
    anya = bot_env.person(ANYA)
    await anya.say("/topup")
    await anya.sees("Пополнить баланс", new=True)
    await anya.press("500")
    await anya.sees("На какую почту")
    await anya.say("анна собака почта")
    await anya.sees("Не похоже на адрес", new=True)
    await anya.say(ADDRESS)
    await anya.sees("Пополнение на 500", new=True)
    assert "checkout" in await anya.link()
    await anya.say("/topup")
    await anya.sees("Пополнить баланс", new=True)
    await anya.press("300")
    await anya.sees("Пополнение на 300")
    await anya.say("/email")
    await anya.sees(KEPT, new=True)
    await anya.say("new@example.org")
    await anya.sees("Чеки будут приходить на new@example.org", new=True)
    await anya.say("/email off")
    await anya.sees("Адрес удалён", new=True)
    person = await bot_env.db.read(user_rows.get, ANYA)
    assert person is not None
    assert person.email is None


async def test_without_receipts_nobody_is_asked(bot_env: BotEnv) -> None:
    """A shop that sends none never asks for an address, and keeps none that is typed unasked."""
    anya = bot_env.person(ANYA)
    await anya.say("/email")
    await anya.sees("Почта не нужна", new=True)
    await anya.say(f"/email {ADDRESS}")
    await anya.sees("Почта не нужна", new=True)
    person = await bot_env.db.read(user_rows.get, ANYA)
    assert person is not None
    assert person.email is None
