"""The simulated YooKassa API: an independent client (the official SDK) and raw HTTP meet it on loopback."""

from __future__ import annotations

import asyncio
import re
import uuid
from collections.abc import Callable
from typing import Any

import aiohttp
import pytest
import yookassa
from aiohttp import web
from yookassa.domain.exceptions import BadRequestError, NotFoundError, UnauthorizedError

import sandbox.yookassa
from sandbox.world import World
from tests.support.yookassa_fixture import SECURE_CARD, Client, Inbox, basic, client, inbox, order, rub, until, world

__all__ = ["client", "inbox", "world"]  # fixtures, used by their names

pytestmark = pytest.mark.timeout(60)

RECEIPT: dict[str, Any] = {
    "customer": {"email": "buyer@example.org"},
    "items": [
        {
            "description": "Пакет 100 кредитов",
            "quantity": 1,
            "amount": {"value": "490.00", "currency": "RUB"},
            "vat_code": 1,
            "payment_mode": "full_payment",
            "payment_subject": "service",
            "measure": "piece",
        }
    ],
}


@pytest.fixture
def sdk(world: World) -> None:
    """The official SDK, told to talk to the sandbox; its calls go in threads because it has no timeout of its own."""
    yookassa.Configuration.configure("100500", "test_sandbox_key", api_url=f"{world.base_url}/yookassa/v3")


async def threaded(call: Callable[..., Any], *arguments: Any) -> Any:
    return await asyncio.wait_for(asyncio.to_thread(call, *arguments), 10)


# --- the official SDK ---------------------------------------------------------------------------------------------


async def test_sdk_creates_reads_and_replays(sdk: None) -> None:
    """The official SDK creates a payment, reads it, and the same key with the same body gives the same payment."""
    key = str(uuid.uuid4())
    first = await threaded(yookassa.Payment.create, order(), key)
    again = await threaded(yookassa.Payment.create, order(), key)
    read = await threaded(yookassa.Payment.find_one, first.id)
    assert first.id == again.id == read.id
    assert (first.status, str(first.amount.value), first.test) == ("pending", "490.00", True)
    assert first.confirmation.confirmation_url.endswith(f"/yookassa/checkout/{first.id}")
    assert read.metadata["order_id"] == "7f3a0c52"
    assert read.recipient.account_id == "100500"


async def test_sdk_key_with_other_body_is_refused(sdk: None) -> None:
    """The same key with another body is a 400 that names the key as duplicated."""
    key = str(uuid.uuid4())
    await threaded(yookassa.Payment.create, order(), key)
    with pytest.raises(BadRequestError) as caught:
        await threaded(yookassa.Payment.create, order(description="другое"), key)
    assert caught.value.content["description"] == "Idempotence key duplicated"
    assert caught.value.content["parameter"] == "Idempotence-Key"


async def test_sdk_refunds_in_parts_and_whole(sdk: None, client: Client) -> None:
    """A paid payment is refunded in parts up to its sum and not a kopeck more."""
    payment = await client.paid()

    async def refund(value: str) -> Any:
        wanted = {"payment_id": payment["id"], "amount": {"value": value, "currency": "RUB"}}
        return await threaded(yookassa.Refund.create, wanted, str(uuid.uuid4()))

    part = await refund("90.00")
    assert part.status == "succeeded"
    assert (await client.get(payment["id"]))["refunded_amount"]["value"] == "90.00"
    with pytest.raises(BadRequestError):
        await refund("400.01")
    await refund("400.00")
    done = await client.get(payment["id"])
    assert done["status"] == "succeeded"
    assert (done["refunded_amount"]["value"], done["refundable"]) == ("490.00", False)
    assert (await threaded(yookassa.Refund.find_one, part.id)).payment_id == payment["id"]
    listed = await threaded(yookassa.Refund.list, {"payment_id": payment["id"]})
    assert len(listed.items) == 2


async def test_sdk_lists_by_cursor(sdk: None, client: Client) -> None:
    """Pages go newest first, neither repeat nor miss a payment, and the last has no cursor."""
    made = [(await client.create())["id"] for _ in range(7)]
    seen: list[str] = []
    params: dict[str, Any] = {"limit": 3}
    for _ in range(3):
        page = await threaded(yookassa.Payment.list, params)
        seen += [payment.id for payment in page.items]
        await client.create()  # newer payments must not shift the pages
        params = {"limit": 3, "cursor": page.next_cursor}
    assert seen == made[::-1]
    assert page.next_cursor is None


async def test_sdk_two_stage_payment(sdk: None, client: Client) -> None:
    """Without capture a paid payment waits, then is captured in part or canceled; other states refuse both."""
    for finish in ("capture", "cancel"):
        payment = await client.create(capture=None)
        with pytest.raises(BadRequestError):
            await threaded(yookassa.Payment.cancel, payment["id"], str(uuid.uuid4()))
        await client.control(f"/yookassa/payments/{payment['id']}/pay", {})
        held = await client.get(payment["id"])
        assert (held["status"], held["paid"], "captured_at" in held) == ("waiting_for_capture", True, False)
        assert "expires_at" in held
        if finish == "capture":
            part = {"amount": {"value": "400.00", "currency": "RUB"}}
            done = await threaded(yookassa.Payment.capture, payment["id"], part, str(uuid.uuid4()))
            assert (done.status, str(done.amount.value)) == ("succeeded", "400.00")
        else:
            done = await threaded(yookassa.Payment.cancel, payment["id"], str(uuid.uuid4()))
            assert (done.status, done.cancellation_details.reason) == ("canceled", "canceled_by_merchant")


async def test_sdk_reads_the_shop_and_errors(sdk: None, world: World, client: Client) -> None:
    """`/me` shows the shop; wrong credentials are 401 and unknown ids 404, each with its SDK exception."""
    await client.settings(fiscalization=True)
    me = await threaded(yookassa.Settings.get_account_settings)
    assert (me.account_id, me.test, me.fiscalization.enabled) == ("100500", True, True)
    with pytest.raises(NotFoundError):
        await threaded(yookassa.Payment.find_one, "no-such-payment")
    yookassa.Configuration.configure("100500", "test_wrong", api_url=f"{world.base_url}/yookassa/v3")
    with pytest.raises(UnauthorizedError) as caught:
        await threaded(yookassa.Settings.get_account_settings)
    assert caught.value.content["code"] == "invalid_credentials"


# --- transport ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "header", ["", "Basic", "Basic !!!", "Basic MTAwNTAw", "Bearer dGVzdA==", "Basic 0LrQu9GO0Yc6w=", "\xff\xfe"]
)
async def test_any_wrong_authorization_is_401(client: Client, header: str) -> None:
    """Whatever stands in Authorization, if it is not the shop's pair the answer is 401 in the API's error form."""
    status, error = await client.call("GET", "/me", headers={"Authorization": header})
    assert (status, error["type"], error["code"]) == (401, "error", "invalid_credentials")
    uuid.UUID(error["id"])


async def test_post_needs_json_and_a_key(client: Client) -> None:
    """A POST needs `application/json` (415) and an Idempotence-Key of 64 characters at most (400, named)."""
    status, _ = await client.call("POST", "/payments", order(), headers={"Content-Type": "text/plain"})
    assert status == 415
    for key in ("", "x" * 65):
        status, error = await client.call(
            "POST", "/payments", order(), headers={"Content-Type": "application/json", "Idempotence-Key": key}
        )
        assert (status, error["parameter"]) == (400, "Idempotence-Key")
    assert (await client.call("POST", "/payments", order(), key="x" * 64))[0] == 200


async def test_wrong_paths_and_methods_answer_json(client: Client) -> None:
    """An unknown path is 404 and a wrong method 405, both as JSON errors."""
    assert (await client.call("GET", "/nothing"))[0] == 404
    assert (await client.call("DELETE", "/payments"))[0] == 405
    status, error = await client.call("PUT", "/me")
    assert (status, error["type"]) == (405, "error")


@pytest.mark.parametrize(
    "data",
    [
        b"", b"{", b"\xff\xfe\x00", b"[]", b'"text"', b"null", b"NaN", b'{"amount": NaN}', b"[" * 100_000,
        b'{"description": "\\ud800"}', b'{"amount": ' + b"9" * 5000 + b"}", b"{}" + b" " * (1 << 20),
    ],
)  # fmt: skip
async def test_any_bytes_get_a_400(client: Client, data: bytes) -> None:
    """Bytes that are no payment are answered 400 `invalid_request`; nothing is created and nothing breaks."""
    status, error = await client.call("POST", "/payments", data=data)
    assert (status, error["code"]) == (400, "invalid_request")
    assert (await client.call("GET", "/payments"))[1]["items"] == []


# --- idempotence --------------------------------------------------------------------------------------------------


async def test_a_key_is_forgotten_after_24_hours(client: Client, world: World) -> None:
    """For 24 h of the world's clock a key gives the same payment, afterwards it would make a second one."""
    first = (await client.call("POST", "/payments", order(), key="k"))[1]
    world.clock.advance(24 * 3600 - 60)
    assert (await client.call("POST", "/payments", order(), key="k"))[1]["id"] == first["id"]
    world.clock.advance(120)
    assert (await client.call("POST", "/payments", order(), key="k"))[1]["id"] != first["id"]


async def test_keys_live_per_path(client: Client) -> None:
    """One key may be used for a payment and for a refund: it belongs to the method and path."""
    payment = (await client.call("POST", "/payments", order(), key="same"))[1]
    await client.control(f"/yookassa/payments/{payment['id']}/pay", {})
    wanted = {"payment_id": payment["id"], "amount": {"value": "1.00", "currency": "RUB"}}
    status, refund = await client.call("POST", "/refunds", wanted, key="same")
    assert status == 200
    assert (await client.call("POST", "/refunds", wanted, key="same"))[1]["id"] == refund["id"]
    assert (await client.get(payment["id"]))["refunded_amount"]["value"] == "1.00"


async def test_the_order_of_fields_is_no_other_body(client: Client) -> None:
    """Bodies are compared as JSON values, not as bytes; a number is not the text of that number."""
    await client.call("POST", "/payments", order(), key="k")
    shuffled = dict(reversed(order().items()))
    assert (await client.call("POST", "/payments", shuffled, key="k"))[0] == 200
    assert (await client.call("POST", "/payments", order(capture=False), key="k"))[0] == 400


async def test_replay_shows_the_present_or_the_first_answer(client: Client) -> None:
    """What a replay shows is open (docs/reference/yookassa.md, section 1); the setting `replay` chooses."""
    for replay, status in (("current", "succeeded"), ("snapshot", "pending")):
        await client.settings(replay=replay)
        payment = (await client.call("POST", "/payments", order(), key=replay))[1]
        await client.control(f"/yookassa/payments/{payment['id']}/pay", {})
        assert (await client.call("POST", "/payments", order(), key=replay))[1]["status"] == status


async def test_a_refused_request_keeps_its_key(client: Client) -> None:
    """After a 400 the same key gives the same 400 and a repaired body needs a new key."""
    wrong, key = order(description="x" * 129), "k"
    assert (await client.call("POST", "/payments", wrong, key=key))[1]["parameter"] == "description"
    assert (await client.call("POST", "/payments", wrong, key=key))[1]["parameter"] == "description"
    assert (await client.call("POST", "/payments", order(), key=key))[1]["parameter"] == "Idempotence-Key"


async def test_simultaneous_creates_with_one_key_make_one_payment(client: Client) -> None:
    """Twenty equal requests at once end in one payment."""
    answers = await asyncio.gather(*(client.call("POST", "/payments", order(), key="k") for _ in range(20)))
    assert len({payment["id"] for _, payment in answers}) == 1


# --- validation ---------------------------------------------------------------------------------------------------

WRONG_AMOUNTS: tuple[object, ...] = (
    490, 490.0, "490", "490.0", "490.000", "490,00", "-1.00", "+1.00", "1e3", "NaN", "٤٩٠.00", " 1.00",
    "0.99", "0.00", "350000.01", "9" * 400 + ".00", None, [], True,
)  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "parameter"),
    [
        ({"amount": None}, "amount"),
        ({"amount": "490.00"}, "amount"),
        *(({"amount": rub(value)}, "amount.value") for value in WRONG_AMOUNTS),
        ({"amount": {"value": "490.00"}}, "amount.currency"),
        ({"amount": {"value": "490.00", "currency": "USD"}}, "amount.currency"),
        ({"capture": "true"}, "capture"),
        ({"confirmation": None}, "confirmation"),
        ({"confirmation": {"type": ["redirect"]}}, "confirmation"),
        ({"confirmation": {"type": "redirect"}}, "confirmation.return_url"),
        *(({"confirmation": {"type": "redirect", "return_url": url}}, "confirmation.return_url") for url in (
            "javascript:alert(1)", "t.me/bot", "https://" + "a" * 2041, "https://a\r\nX: y", "https://[::1",
            "https://a:99999/", "", 7)),
        ({"confirmation": {"type": "redirect", "return_url": "https://t.me/a", "locale": "de_DE"}},
         "confirmation.locale"),
        ({"description": "x" * 129}, "description"),
        ({"description": 5}, "description"),
        ({"metadata": ["a"]}, "metadata"),
        ({"metadata": {f"k{n}": "v" for n in range(17)}}, "metadata"),
        ({"metadata": {"k" * 33: "v"}}, "metadata"),
        ({"metadata": {"k": "v" * 513}}, "metadata.k"),
        ({"metadata": {"k": 5}}, "metadata.k"),
        ({"payment_method_data": {"type": "sbp"}}, "payment_method_data.type"),
        ({"payment_method_data": {"type": {}}}, "payment_method_data.type"),
        ({"expires_at": "2030-01-01T00:00:00Z"}, "expires_at"),
    ],
)  # fmt: skip
async def test_create_refuses(client: Client, changes: dict[str, Any], parameter: str) -> None:
    """Each wrong field is a 400 that names it, and no payment is made."""
    body = {**order(), **changes}
    status, error = await client.call("POST", "/payments", body)
    assert (status, error["code"], error.get("parameter")) == (400, "invalid_request", parameter)
    assert (await client.call("GET", "/payments"))[1]["items"] == []


@pytest.mark.parametrize(
    "changes",
    [
        {"amount": rub("1.00")},
        {"amount": rub("350000.00")},
        {"description": "ы" * 128},
        {"metadata": {f"{n:032d}": "я" * 512 for n in range(16)}},
        {"payment_method_data": {"type": "bank_card"}},
        {"confirmation": {"type": "redirect", "return_url": "https://a.b/" + "c" * 2036, "locale": "en_US"}},
        {"confirmation": {"type": "embedded"}},
    ],
)
async def test_create_accepts_the_limits(client: Client, changes: dict[str, Any]) -> None:
    """What stands exactly on a limit is accepted."""
    payment = await client.create(**changes)
    assert payment["metadata"] == changes.get("metadata", {"order_id": "7f3a0c52"})


async def test_saved_methods_are_forbidden(client: Client) -> None:
    """Saved payment methods are not enabled for the shop: 403 `forbidden`."""
    status, error = await client.call("POST", "/payments", order(save_payment_method=True))
    assert (status, error["code"]) == (403, "forbidden")


def receipt(**changes: Any) -> dict[str, Any]:
    return {**RECEIPT, "items": [{**RECEIPT["items"][0], **changes}]}


@pytest.mark.parametrize(
    ("wanted", "parameter"),
    [
        (None, "receipt"),
        ([], "receipt"),
        ({**RECEIPT, "customer": {"phone": "79000000000"}}, "receipt.customer.email"),
        ({**RECEIPT, "customer": {"email": "nobody"}}, "receipt.customer.email"),
        ({**RECEIPT, "items": []}, "receipt.items"),
        ({**RECEIPT, "items": RECEIPT["items"] * 81}, "receipt.items"),
        (receipt(amount=rub("489.99")), "receipt.items"),
        (receipt(quantity=2), "receipt.items"),
        (receipt(quantity="1e999"), "receipt.items[0].quantity"),
        (receipt(quantity=0.0001), "receipt.items[0].quantity"),
        (receipt(vat_code=13), "receipt.items[0].vat_code"),
        (receipt(vat_code=True), "receipt.items[0].vat_code"),
        (receipt(description=""), "receipt.items[0].description"),
        (receipt(description="x" * 129), "receipt.items[0].description"),
        (receipt(payment_mode=["full"]), "receipt.items[0].payment_mode"),
        ({**RECEIPT, "tax_system_code": 7}, "receipt.tax_system_code"),
    ],
)
async def test_fiscal_receipt_rules(client: Client, wanted: Any, parameter: str) -> None:
    """With fiscalization on, a missing or wrong receipt is a 400 in the words of the real API."""
    await client.settings(fiscalization=True)
    status, error = await client.call("POST", "/payments", order(receipt=wanted))
    assert (status, error["description"], error["parameter"]) == (400, "Receipt is missing or illegal", parameter)


async def test_receipt_travels_with_the_payment(client: Client, world: World) -> None:
    """A right receipt is registered some time after the payment; a partial refund needs one of its own."""
    await client.settings(fiscalization=True)
    items = [{**RECEIPT["items"][0], "quantity": "2.000", "amount": rub("245.00"), "vat_code": 11}]
    payment = await client.paid(receipt={**RECEIPT, "items": items})
    assert payment["receipt_registration"] == "pending"
    world.clock.advance(61)
    assert (await client.get(payment["id"]))["receipt_registration"] == "succeeded"
    listed = (await client.call("GET", f"/receipts?payment_id={payment['id']}"))[1]["items"]
    assert [(one["payment_id"], one["status"]) for one in listed] == [(payment["id"], "succeeded")]
    part = {"payment_id": payment["id"], "amount": rub("90.00")}
    assert (await client.call("POST", "/refunds", part))[1]["parameter"] == "receipt"
    status, refund = await client.call("POST", "/refunds", {**part, "receipt": receipt(amount=rub("90.00"))})
    assert (status, refund["receipt_registration"]) == (200, "pending")
    await client.settings(receipt_delay=0, receipt_outcome="canceled")
    for path in (f"/payments/{payment['id']}", f"/refunds/{refund['id']}"):
        assert (await client.call("GET", path))[1]["receipt_registration"] == "canceled"


async def test_without_a_receipt_nothing_is_registered(client: Client) -> None:
    """The parameter is in no object of a shop that sends no receipts."""
    payment = await client.paid()
    _, refund = await client.call("POST", "/refunds", {"payment_id": payment["id"], "amount": rub("90.00")})
    assert "receipt_registration" not in {**payment, **refund}


async def test_a_shop_without_fiscalization_registers_no_receipt(client: Client) -> None:
    """A receipt that is sent all the same leads to no registration, neither of the payment nor of its return."""
    payment = await client.paid(receipt=RECEIPT)
    part = {"payment_id": payment["id"], "amount": rub("90.00"), "receipt": receipt(amount=rub("90.00"))}
    status, refund = await client.call("POST", "/refunds", part)
    assert (status, "receipt_registration" in {**payment, **refund}) == (200, False)
    assert (await client.call("GET", "/receipts"))[1]["items"] == []


# --- reading and lists --------------------------------------------------------------------------------------------


async def test_a_succeeded_payment_is_the_example_of_the_reference(client: Client) -> None:
    """Fee and VAT leave 473.26 of 490.00; card, authorization and times are shown; the confirmation is gone.

    The example: docs/reference/yookassa.md, section 3."""
    payment = await client.create()
    paid = await client.control(f"/yookassa/payments/{payment['id']}/pay", {"card": SECURE_CARD})
    assert paid["income_amount"] == {"value": "473.26", "currency": "RUB"}
    assert paid["payment_method"]["card"]["last4"] == "4477"
    assert paid["authorization_details"]["three_d_secure"] == {"applied": True}
    assert re.fullmatch(r"\d{12}", paid["authorization_details"]["rrn"])
    assert (paid["status"], paid["paid"], paid["refundable"], paid["test"]) == ("succeeded", True, True, True)
    assert "confirmation" not in paid
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", paid["captured_at"])
    assert "payment_method" not in payment
    assert payment["confirmation"]["type"] == "redirect"


async def test_metadata_that_nobody_sent_is_not_shown(client: Client) -> None:
    """`metadata` is one of the fields that may be missing: a client that counts on it should see that here."""
    assert "metadata" not in await client.create(metadata=None)


async def test_unknown_ids_are_404_or_400(client: Client) -> None:
    """An unknown id is 404, or 400 with the text that was seen (docs/reference/yookassa.md, section 4): the setting
    `unknown_id_status` chooses."""
    assert (await client.call("GET", "/payments/nope"))[1]["code"] == "not_found"
    await client.settings(unknown_id_status=400)
    status, error = await client.call("GET", "/payments/nope")
    assert (status, error["code"]) == (400, "invalid_request")
    assert error["description"] == "Incorrect payment_id. Payment doesn't exist or access denied"
    assert (await client.call("GET", "/refunds/%00%ff"))[0] == 400


@pytest.mark.parametrize(
    "query",
    ["limit=0", "limit=101", "limit=x", "limit=٣", "limit=-1", "cursor=nope", "created_at.gte=yesterday",
     "captured_at.lt=2026-13-01", "created_at_gte=2026-01-01T00:00:00Z", "metadata=x"],
)  # fmt: skip
async def test_wrong_filters_are_refused(client: Client, query: str) -> None:
    """A filter that is wrong or unknown is a 400 even while the shop is empty, never a longer list."""
    status, error = await client.call("GET", f"/payments?{query}")
    assert (status, error["code"]) == (400, "invalid_request")


async def test_filters_by_time_and_status(client: Client, world: World) -> None:
    """`gte`/`lte` take in the very moment, `gt`/`lt` leave it out; what is not captured is in no such list."""
    first = await client.paid()
    world.clock.advance(10)
    second = await client.paid()
    world.clock.advance(10)
    pending = await client.create()

    async def found(**query: str) -> list[str]:
        status, page = await client.call("GET", "/payments", params={k.replace("__", "."): v for k, v in query.items()})
        assert status == 200, page
        return [payment["id"] for payment in page["items"]]

    at = second["captured_at"]
    assert await found(captured_at__gte=at) == [second["id"]]
    assert await found(captured_at__gt=at) == []
    assert await found(captured_at__lte=at) == [second["id"], first["id"]]
    assert await found(captured_at__lt=at) == [first["id"]]
    assert await found(created_at__gte=pending["created_at"]) == [pending["id"]]
    assert await found(status="pending") == [pending["id"]]
    assert await found(payment_method="bank_card", limit="1") == [second["id"]]


# --- time ---------------------------------------------------------------------------------------------------------


async def test_a_pending_payment_expires_in_an_hour(client: Client, world: World, inbox: Inbox) -> None:
    """After an hour a payment is canceled as expired, told by notification though nobody asked, and cannot be paid."""
    payment = await client.create()
    world.clock.advance(3599)
    assert (await client.get(payment["id"]))["status"] == "pending"
    world.clock.advance(1)
    await until(lambda: inbox.events == ["payment.canceled"])
    expired = await client.get(payment["id"])
    assert expired["cancellation_details"] == {"party": "yoo_money", "reason": "expired_on_confirmation"}
    assert (expired["paid"], expired["refundable"], "confirmation" in expired) == (False, False, False)
    await client.control(f"/yookassa/payments/{payment['id']}/pay", {}, expect=409)


async def test_a_hold_expires_too(client: Client, world: World) -> None:
    """A hold that nobody captures is canceled as `expired_on_capture` when its `expires_at` comes."""
    held = await client.paid(capture=False)
    world.clock.advance(7 * 86400)
    canceled = await client.get(held["id"])
    assert canceled["cancellation_details"]["reason"] == "expired_on_capture"


# --- refunds ------------------------------------------------------------------------------------------------------


async def test_refunds_only_of_succeeded_payments(client: Client) -> None:
    """A payment that is pending, canceled or unknown cannot be refunded."""
    pending = await client.create()
    for payment_id in (pending["id"], "nope"):
        status, error = await client.call("POST", "/refunds", {"payment_id": payment_id, "amount": rub("1.00")})
        assert (status, error["parameter"]) == (400, "payment_id")


async def test_a_pending_refund_holds_its_sum(client: Client, inbox: Inbox) -> None:
    """A pending refund blocks its part of the payment; canceled, it frees it, with a reason and without any event."""
    await client.settings(refund_outcome="pending")
    payment = await client.paid()
    whole = {"payment_id": payment["id"], "amount": rub("490.00")}
    refund = (await client.call("POST", "/refunds", whole))[1]
    assert refund["status"] == "pending"
    assert (await client.call("POST", "/refunds", whole))[0] == 400
    url = f"/yookassa/refunds/{refund['id']}/settle"
    ended = await client.control(url, {"status": "canceled", "reason": "insufficient_funds"})
    assert ended["cancellation_details"]["reason"] == "insufficient_funds"
    assert "refunded_amount" not in await client.get(payment["id"])
    await client.settings(refund_outcome="succeeded")
    assert (await client.call("POST", "/refunds", whole))[0] == 200
    await until(lambda: inbox.events == ["payment.succeeded", "refund.succeeded"])


async def test_a_refund_from_the_profile_is_told(client: Client, inbox: Inbox) -> None:
    """A refund made by a person carries no metadata and is told by `refund.succeeded`; too much is refused."""
    payment = await client.paid()
    wanted = {"payment_id": payment["id"], "amount": "100.00"}
    refund = await client.control("/yookassa/refunds", wanted)
    await until(lambda: inbox.events == ["payment.succeeded", "refund.succeeded"])
    assert inbox.came[1][0]["object"] == refund
    assert "metadata" not in refund
    await client.control("/yookassa/refunds", {"payment_id": payment["id"], "amount": "390.01"}, expect=409)
    assert (await client.control("/yookassa/refunds", {"payment_id": payment["id"]}))["amount"]["value"] == "390.00"


# --- quirks, faults, back door ------------------------------------------------------------------------------------


async def test_quirks_of_answers(sdk: None, client: Client) -> None:
    """Fields and values of a later API, or any merge patch, can be laid over the answers; the SDK still reads them."""
    await client.settings(extra_fields=True, unknown_enums=True, payment_patch={"paid": None, "status": "thinking"})
    payment = await client.paid()
    assert payment["risk_assessment"]["score"] == 7
    assert (payment["status"], "paid" in payment, payment["payment_method"]["type"]) == (
        "thinking", False, "digital_ruble",
    )  # fmt: skip
    assert (await threaded(yookassa.Payment.find_one, payment["id"])).status == "thinking"


async def test_wire_faults_before_and_after_the_effect(client: Client) -> None:
    """A 500 may come after the payment was made: the same key then finds it; a 429 before leaves nothing."""
    await client.control("/faults", [{"face": "yookassa", "match": "v3/payments", "status": 500, "after": True}])
    assert (await client.call("POST", "/payments", order(), key="k"))[0] == 500
    made = (await client.call("GET", "/payments"))[1]["items"]
    assert len(made) == 1
    assert (await client.call("POST", "/payments", order(), key="k"))[1]["id"] == made[0]["id"]
    await client.control("/faults", [{"face": "yookassa", "match": "v3/payments", "drop": "after"}])
    with pytest.raises(aiohttp.ClientError):
        await client.call("POST", "/payments", order(), key="dropped")
    assert len((await client.call("GET", "/payments"))[1]["items"]) == 2


async def test_reset_forgets_everything(world: World, client: Client, inbox: Inbox) -> None:
    """A reset empties the shop, its keys and its log; settings go back to those of the start."""
    payment = await client.paid()
    await client.control("/reset", {})
    assert (await client.call("GET", f"/payments/{payment['id']}"))[0] == 404
    assert await client.control("/yookassa/notifications") == []
    assert (await client.control("/yookassa/settings"))["notification_url"] == ""


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/settings", {"no_such": 1}, 400),
        ("/settings", {"secret_key": 5}, 400),
        ("/settings", {"payment_lifetime": -1}, 400),
        ("/settings", {"notification_headers": {"X": "a\r\nb"}}, 400),
        ("/payments/nope/pay", {}, 404),
        ("/payments/nope/decline", {"reason": []}, 404),
        ("/refunds", {"payment_id": []}, 404),
        ("/notify", {"object": {}}, 400),
        ("/notify", {"id": 99}, 404),
        ("/refunds/nope/settle", {}, 404),
    ],
)
async def test_mistakes_at_the_back_door(client: Client, path: str, body: Any, status: int) -> None:
    """A wrong wish at the back door is a clear error and changes nothing."""
    before = await client.control("/yookassa/settings")
    assert (await client.control(f"/yookassa{path}", body, expect=status))["error"]
    assert await client.control("/yookassa/settings") == before


async def test_the_shop_of_the_world_settings() -> None:
    """A world may be started with another shop: its id and key then open the door."""
    world = World(settings={"yookassa": {"shop_id": "777", "secret_key": "test_other"}})
    app = web.Application()
    sandbox.yookassa.mount(app, world)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}/yookassa/v3/me"
    async with aiohttp.ClientSession() as session:
        async with session.get(url, headers={"Authorization": basic("777", "test_other")}) as answer:
            assert (await answer.json())["account_id"] == "777"
        async with session.get(url, headers={"Authorization": basic("100500", "test_sandbox_key")}) as answer:
            assert answer.status == 401
    await runner.cleanup()
