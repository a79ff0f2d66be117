"""The simulated checkout page: what a payer sees and presses."""

from __future__ import annotations

import pytest

from sandbox.world import World
from tests.support.yookassa_fixture import GOOD_CARD, POOR_CARD, SECURE_CARD, Client, client, rub, world

__all__ = ["client", "world"]  # fixtures, used by their names

pytestmark = pytest.mark.timeout(60)


async def test_the_page_takes_a_card(client: Client) -> None:
    """The form shows shop, sum and the test cards; paying leads to a result with the way back to the shop."""
    payment = await client.create(description="Пополнение <b>100</b>", amount=rub("1490.00"))
    status, page = await client.page(payment["id"])
    assert status == 200
    assert "1\u00a0490,00\u00a0₽" in page
    assert "Демо-магазин" in page
    assert "5555 5555 5555 4444" in page
    assert "не хватает денег" in page
    assert "СБП" in page
    assert "<b>100</b>" not in page
    assert "&lt;b&gt;100&lt;/b&gt;" in page
    form = {"action": "pay", "method": "bank_card", "card": "5555 5555 5555 4444", "expiry": "12/30", "cvc": "123"}
    status, page = await client.page(payment["id"], form)
    assert status == 200
    assert "Оплата прошла" in page
    assert 'href="https://t.me/example_bot?start=paid_7f3a"' in page
    assert (await client.get(payment["id"]))["status"] == "succeeded"
    status, page = await client.page(payment["id"], form)
    assert status == 409
    assert "Оплата прошла" in page


async def test_the_page_asks_for_the_3ds_code(client: Client) -> None:
    """A 3-D Secure card is paid only after the code's step; any code will do, no code will not."""
    payment = await client.create()
    _, page = await client.page(payment["id"], {"action": "pay", "card": SECURE_CARD})
    assert 'name="code"' in page
    assert (await client.get(payment["id"]))["status"] == "pending"
    status, page = await client.page(payment["id"], {"action": "confirm", "code": " "})
    assert status == 400
    assert 'name="code"' in page
    await client.page(payment["id"], {"action": "confirm", "code": "12345"})
    paid = await client.get(payment["id"])
    assert paid["status"] == "succeeded"
    assert paid["authorization_details"]["three_d_secure"]["applied"] is True


async def test_a_declined_card_may_be_tried_again(client: Client) -> None:
    """By default a refusal leaves the payment pending and another card pays it."""
    payment = await client.create()
    _, page = await client.page(payment["id"], {"card": POOR_CARD})
    assert "не хватает денег" in page
    assert 'name="card"' in page
    assert (await client.get(payment["id"]))["status"] == "pending"
    await client.page(payment["id"], {"card": GOOD_CARD})
    assert (await client.get(payment["id"]))["status"] == "succeeded"


@pytest.mark.parametrize(
    ("tail", "party", "reason"),
    [
        ("4592", "payment_network", "3d_secure_failed"), ("4535", "payment_network", "call_issuer"),
        ("4543", "payment_network", "card_expired"), ("4568", "payment_network", "fraud_suspected"),
        ("4527", "payment_network", "general_decline"), ("4600", "payment_network", "insufficient_funds"),
        ("4618", "payment_network", "invalid_card_number"), ("4626", "payment_network", "invalid_csc"),
        ("4501", "payment_network", "issuer_unavailable"), ("4576", "payment_network", "payment_method_limit_exceeded"),
        ("4550", "payment_network", "payment_method_restricted"), ("4584", "yoo_money", "country_forbidden"),
        ("4634", "yoo_money", "fraud_suspected"),
    ],
)  # fmt: skip
async def test_declines_that_end_the_payment(client: Client, tail: str, party: str, reason: str) -> None:
    """With `decline_ends_payment` each declining test card cancels the payment with its own party and reason."""
    await client.settings(decline_ends_payment=True)
    payment = await client.create()
    await client.page(payment["id"], {"card": f"555555555555{tail}"})
    if reason == "3d_secure_failed":
        await client.page(payment["id"], {"action": "confirm", "code": "1"})
    canceled = await client.get(payment["id"])
    assert (canceled["status"], canceled["paid"]) == ("canceled", False)
    assert canceled["cancellation_details"] == {"party": party, "reason": reason}
    assert "Платёж отменён" in (await client.page(payment["id"]))[1]


@pytest.mark.parametrize(
    "form",
    [
        {"card": "1234123412341234"}, {"card": '"><script>alert(1)</script>'}, {"card": ""}, {"expiry": "01/20"},
        {"expiry": "13/30"}, {"cvc": "12"}, {"method": "sbp"}, {"action": "steal"}, {"action": "confirm", "code": "1"},
        {"card": "5" * 20_000}, {"expiry": "\ud800".encode("utf-8", "surrogatepass").decode("latin-1")},
    ],
)  # fmt: skip
async def test_a_wrong_form_costs_nothing(client: Client, form: dict[str, str]) -> None:
    """A form that cannot be is answered with the form again, status 400, escaped; the payment stays pending."""
    payment = await client.create()
    status, page = await client.page(payment["id"], form)
    assert status == 400
    assert 'role="alert"' in page
    assert "<script>" not in page
    assert (await client.get(payment["id"]))["status"] == "pending"


async def test_leaving_the_page_changes_nothing(client: Client) -> None:
    """The payer who leaves is sent to the return URL and may come back: a pending payment cannot be canceled."""
    payment = await client.create()
    url = f"{client.world.base_url}/yookassa/checkout/{payment['id']}"
    async with client.session.post(url, data={"action": "leave"}, allow_redirects=False) as answer:
        assert (answer.status, answer.headers["Location"]) == (303, "https://t.me/example_bot?start=paid_7f3a")
    assert (await client.get(payment["id"]))["status"] == "pending"


async def test_the_page_of_an_expired_or_unknown_payment(client: Client, world: World) -> None:
    """An expired payment says so and offers the way back; an unknown one is a 404 page."""
    payment = await client.create()
    world.clock.advance(3600)
    status, page = await client.page(payment["id"])
    assert status == 200
    assert "Время на оплату вышло" in page
    assert 'name="card"' not in page
    assert (await client.page(payment["id"], {"card": GOOD_CARD}))[0] == 409
    assert (await client.page("nope"))[0] == 404


async def test_a_wallet_pays(client: Client) -> None:
    """The other method of a test shop, a YooMoney wallet, pays without card details."""
    payment = await client.create()
    await client.page(payment["id"], {"method": "yoo_money"})
    paid = await client.get(payment["id"])
    assert (paid["status"], paid["payment_method"]["type"]) == ("succeeded", "yoo_money")
    assert "authorization_details" not in paid
