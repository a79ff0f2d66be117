"""The wrapper of YooKassa's SDK against the sandbox over HTTP, and against servers that misbehave in every way."""

from __future__ import annotations

import asyncio
import json
import logging
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
import pytest_asyncio
from aiohttp import web

import sandbox.yookassa
from sandbox import control
from sandbox.world import Fault, World
from sandbox.yookassa.shop import Shop
from services.payments.yookassa.client import (
    ErrorKind,
    GatewayPayment,
    Receipt,
    ShopInfo,
    YooKassaError,
    YooKassaGateway,
    build_payment_body,
    build_refund_body,
)

pytestmark = pytest.mark.timeout(60)

SHOP, SECRET = "100500", "test_sandbox_key"
RETURN_URL = "https://t.me/example_bot?start=paid_7f3a"


def payment_body(kopecks: int = 49_000, payment_id: str = "7f3a0c52", receipt: Receipt | None = None) -> dict[str, Any]:
    return build_payment_body(
        amount_kopecks=kopecks, return_url=RETURN_URL, description="Пополнение", order_id=payment_id, receipt=receipt
    )


def refund_body(payment: GatewayPayment, kopecks: int) -> dict[str, Any]:
    return build_refund_body(
        payment_id=payment.id, amount_kopecks=kopecks, description="Возврат", metadata={"order_id": "o", "refund": "r1"}
    )


@asynccontextmanager
async def listening(app: web.Application) -> AsyncIterator[str]:
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    await runner.cleanup()


@pytest_asyncio.fixture
async def world() -> AsyncIterator[World]:
    world = World(seed=1)
    app = web.Application(middlewares=[control.fault_middleware(world)])
    sandbox.yookassa.mount(app, world)
    async with listening(app) as world.base_url:
        yield world
        await world.close()


@pytest.fixture
def shop(world: World) -> Shop:
    found: Shop = world.faces["yookassa"]
    return found


@pytest_asyncio.fixture
async def gateway(world: World) -> AsyncIterator[YooKassaGateway]:
    gateway = YooKassaGateway(SHOP, SECRET, f"{world.base_url}/yookassa/v3/", timeout=(2, 3))
    yield gateway
    await gateway.close()


@asynccontextmanager
async def server(
    answer: Callable[[web.Request], Awaitable[web.StreamResponse]], **options: Any
) -> AsyncIterator[YooKassaGateway]:
    """A gateway that talks to a server which gives this one answer to everything."""
    app = web.Application(client_max_size=1 << 24)
    app.router.add_route("*", "/{tail:.*}", answer)
    async with listening(app) as url:
        gateway = YooKassaGateway(SHOP, SECRET, f"{url}/v3", **{"timeout": (1, 0.5), **options})
        yield gateway
        await gateway.close()


def always(body: Any, status: int = 200) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    async def answer(_: web.Request) -> web.Response:
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        return web.Response(status=status, body=raw, content_type="application/json")

    return answer


async def failure(call: Awaitable[Any]) -> YooKassaError:
    with pytest.raises(YooKassaError) as caught:
        await call
    assert SECRET not in f"{caught.value!r} {caught.value} {caught.value.__cause__!r}"
    return caught.value


def pay(shop: Shop, payment: GatewayPayment) -> None:
    shop.pay(shop.payments[payment.id], None)


# --- the ordinary ways -------------------------------------------------------------------------------------------


async def test_a_payment_from_creation_to_refund(gateway: YooKassaGateway, shop: Shop) -> None:
    """Create, pay, read, refund in part: every fact arrives typed, money in kopecks."""
    created = await gateway.create_payment(payment_body(), idempotency_key="topup-1-1")
    assert (created.status, created.paid, created.amount_kopecks, created.currency) == ("pending", False, 49_000, "RUB")
    assert (created.order_id, created.account_id, created.test) == ("7f3a0c52", SHOP, True)
    assert created.confirmation_url is not None
    assert created.confirmation_url.endswith(created.id)
    pay(shop, created)
    paid = await gateway.get_payment(created.id)
    assert (paid.status, paid.paid, paid.refunded_kopecks, paid.confirmation_url) == ("succeeded", True, 0, None)
    assert paid.captured_at is not None
    refunded = await gateway.create_refund(refund_body(paid, 9_001), idempotency_key="refund-1")
    assert (refunded.status, refunded.amount_kopecks, refunded.payment_id) == ("succeeded", 9_001, paid.id)
    assert (refunded.order_id, refunded.metadata["refund"], refunded.reason) == ("o", "r1", None)
    assert await gateway.get_refund(refunded.id) == refunded
    assert (await gateway.get_payment(created.id)).refunded_kopecks == 9_001


async def test_a_canceled_payment_says_why(gateway: YooKassaGateway, shop: Shop) -> None:
    """Party and reason of a cancellation arrive, reasons nobody has heard of too."""
    created = await gateway.create_payment(payment_body(), idempotency_key="k")
    shop.decline(shop.payments[created.id], "reason_of_tomorrow", "central_bank")
    canceled = await gateway.get_payment(created.id)
    assert (canceled.status, canceled.cancel_party, canceled.cancel_reason) == (
        "canceled", "central_bank", "reason_of_tomorrow",
    )  # fmt: skip


async def test_a_repeat_makes_no_second_payment(gateway: YooKassaGateway, shop: Shop) -> None:
    """One key and one stored body, sent ten times at once, are one payment; another body under the key is INVALID."""
    stored = json.dumps(payment_body())
    made = await asyncio.gather(
        *(gateway.create_payment(json.loads(stored), idempotency_key="topup-1-1") for _ in range(10))
    )
    assert len({payment.id for payment in made}) == len(shop.payments) == 1
    error = await failure(gateway.create_payment(payment_body(49_001), idempotency_key="topup-1-1"))
    assert (error.kind, error.status, error.parameter) == (ErrorKind.INVALID, 400, "Idempotence-Key")
    assert error.error_id


async def test_a_shop_with_receipts(gateway: YooKassaGateway, shop: Shop) -> None:
    """With fiscalization on, a body without receipt is INVALID and the one built with a receipt is accepted."""
    shop.settings.fiscalization = True
    error = await failure(gateway.create_payment(payment_body(), idempotency_key="a"))
    assert (error.kind, error.parameter) == (ErrorKind.INVALID, "receipt")
    receipt = Receipt(email="buyer@example.org", vat_code=11, tax_system_code=2)
    created = await gateway.create_payment(payment_body(receipt=receipt), idempotency_key="b")
    pay(shop, created)
    part = build_refund_body(
        payment_id=created.id, amount_kopecks=100, description="Часть", metadata={}, receipt=receipt
    )
    assert (await gateway.create_refund(part, idempotency_key="c")).amount_kopecks == 100


async def test_me_describes_the_shop(gateway: YooKassaGateway, shop: Shop) -> None:
    """The self-check tells shop, state, mode and whether receipts are needed."""
    assert await gateway.me() == ShopInfo(account_id=SHOP, enabled=True, test=True, fiscalization=False)
    shop.settings.update({"fiscalization": True, "test": False, "status": "disabled"})
    assert await gateway.me() == ShopInfo(account_id=SHOP, enabled=False, test=False, fiscalization=True)


async def test_lists_follow_cursors_with_their_filters(gateway: YooKassaGateway, shop: Shop) -> None:
    """A list of several pages comes whole, newest first, each page asked with the same filters."""
    for number in range(250):
        payment = shop.create(payment_body(payment_id=str(number)))
        if number % 2 == 0:
            shop.pay(payment, None)
    listed = [payment async for payment in gateway.list_payments(status="succeeded")]
    assert [payment.order_id for payment in listed] == [str(number) for number in range(248, -1, -2)]
    everything = {"captured_at__gte": "2020-01-01T00:00:00Z"}
    assert len([payment async for payment in gateway.list_payments(**everything)]) == 125
    first = listed[0]
    await gateway.create_refund(refund_body(first, 100), idempotency_key="r")
    refunds = [one async for one in gateway.list_refunds(payment_id=first.id)]
    assert [one.amount_kopecks for one in refunds] == [100]


async def test_two_gateways_keep_their_own_shops(world: World, gateway: YooKassaGateway) -> None:
    """The SDK's configuration is global, a gateway's is not: a second one does not change the first."""
    other = YooKassaGateway("777", "test_other", f"{world.base_url}/yookassa/v3")
    assert (await gateway.me()).account_id == SHOP
    assert (await failure(other.me())).kind is ErrorKind.CREDENTIALS
    await other.close()


# --- what goes over the wire --------------------------------------------------------------------------------------


async def test_a_stored_body_is_always_the_same_bytes() -> None:
    """A stored body is always sent as the same bytes, nothing is added to it, and the caller's dict is not touched."""
    seen: list[tuple[bytes, str]] = []
    made = json.dumps({"id": "p", "status": "pending", "paid": False, "test": True, "amount": rub("490.00")}).encode()

    async def answer(request: web.Request) -> web.Response:
        seen.append((await request.read(), request.headers["Idempotence-Key"]))
        return web.Response(body=made, content_type="application/json")

    body = payment_body(receipt=Receipt(email="buyer@example.org", vat_code=1))
    before = json.dumps(body)
    async with server(answer) as gateway:
        for one in (body, json.loads(before), dict(reversed(body.items()))):
            await gateway.create_payment(one, idempotency_key="topup-1-1")
    assert len(set(seen)) == 1
    sent, key = seen[0]
    assert (json.loads(sent), key) == (json.loads(before), "topup-1-1")
    assert json.dumps(body) == before


def rub(value: Any, currency: Any = "RUB") -> dict[str, Any]:
    return {"value": value, "currency": currency}


def test_a_payment_body_is_exact_and_within_the_limits() -> None:
    """Kopecks become two decimals without floats; the description is cut, impossible sums are refused."""
    values = [payment_body(kopecks)["amount"]["value"] for kopecks in (100, 101, 110, 1_999, 29_000_00, 35_000_000)]
    assert values == ["1.00", "1.01", "1.10", "19.99", "29000.00", "350000.00"]
    body = build_payment_body(
        amount_kopecks=100, return_url=RETURN_URL, description="ы" * 200, order_id="1",
        receipt=Receipt(email="a@b.ru", vat_code=1),
    )  # fmt: skip
    assert len(body["description"]) == len(body["receipt"]["items"][0]["description"]) == 128
    for wrong in (99, 35_000_001, 0, -100, 490.0, True):
        with pytest.raises(ValueError, match="kopecks"):
            payment_body(wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize("key", ["", "x" * 65, "a b", "a\r\nX-Evil: 1", "ключ"])
async def test_a_key_that_cannot_travel_is_refused(gateway: YooKassaGateway, shop: Shop, key: str) -> None:
    """An idempotency key outside YooKassa's rules is the caller's mistake and nothing is sent."""
    with pytest.raises(ValueError, match="idempotency key"):
        await gateway.create_payment(payment_body(), idempotency_key=key)
    assert not shop.payments


async def test_no_proxy_and_no_netrc_gets_between(
    world: World, gateway: YooKassaGateway, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    """A proxy or a .netrc of the machine changes neither the way nor the credentials."""
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login thief password none\n")
    monkeypatch.setenv("NETRC", str(netrc))
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    assert (await gateway.me()).account_id == SHOP


# --- errors -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (202, ErrorKind.UNKNOWN_OUTCOME), (400, ErrorKind.INVALID), (401, ErrorKind.CREDENTIALS),
        (403, ErrorKind.FORBIDDEN), (404, ErrorKind.NOT_FOUND), (405, ErrorKind.INVALID), (415, ErrorKind.INVALID),
        (429, ErrorKind.RATE_LIMITED), (500, ErrorKind.UNKNOWN_OUTCOME), (502, ErrorKind.UNKNOWN_OUTCOME),
        (503, ErrorKind.UNKNOWN_OUTCOME), (302, ErrorKind.UNKNOWN_OUTCOME), (201, ErrorKind.UNKNOWN_OUTCOME),
    ],
)  # fmt: skip
async def test_each_status_has_its_kind(world: World, gateway: YooKassaGateway, status: int, kind: ErrorKind) -> None:
    """A JSON answer other than 200 becomes one error by its status, with YooKassa's id for their support."""
    body = {"type": "error", "id": "ab1c6a55", "code": "some_code", "retry_after": 1800}
    world.faults.plan(Fault("yookassa", "v3/payments", status=status, body=body))
    error = await failure(gateway.create_payment(payment_body(), idempotency_key="k"))
    assert (error.kind, error.status, error.error_id, error.retry_after) == (kind, status, "ab1c6a55", 1.8)
    assert "ab1c6a55" in str(error)


@pytest.mark.parametrize("status", [200, 400, 401, 404, 429, 500, 502])
async def test_a_page_that_is_not_json_tells_nothing(world: World, gateway: YooKassaGateway, status: int) -> None:
    """An HTML page comes from between us and YooKassa: the outcome is unknown, whatever its status."""
    world.faults.plan(Fault("yookassa", "v3/payments", status=status, body="<html>Bad Gateway</html>"))
    error = await failure(gateway.create_payment(payment_body(), idempotency_key="k"))
    assert (error.kind, error.status) == (ErrorKind.UNKNOWN_OUTCOME, status)


@pytest.mark.parametrize(
    "fault", [{"drop": "after"}, {"truncate": 20}, {"status": 500, "after": True}, {"status": 202}]
)
async def test_after_a_broken_answer_the_same_key_finds_the_payment(
    world: World, gateway: YooKassaGateway, shop: Shop, fault: dict[str, Any]
) -> None:
    """Whether or not the effect came before the fault, a repeat under the same key ends in exactly one payment."""
    world.faults.plan(Fault("yookassa", "v3/payments", **fault))
    error = await failure(gateway.create_payment(payment_body(), idempotency_key="k"))
    assert error.kind is ErrorKind.UNKNOWN_OUTCOME
    again = await gateway.create_payment(payment_body(), idempotency_key="k")
    assert list(shop.payments) == [again.id]


async def test_the_wrapper_repeats_nothing_by_itself(world: World, gateway: YooKassaGateway) -> None:
    """A dropped call is one request: repeating is the caller's decision, who has stored key and body."""
    world.faults.plan(Fault("yookassa", "v3/payments", times=5, drop="before"))
    await failure(gateway.create_payment(payment_body(), idempotency_key="k"))
    assert world.counts["yookassa:fault:v3/payments"] == 1


async def test_a_silent_server_frees_the_thread(world: World) -> None:
    """A server that hangs costs a call its read timeout, and afterwards all threads are free again."""
    gateway = YooKassaGateway(SHOP, SECRET, f"{world.base_url}/yookassa/v3/", timeout=(2, 0.5))
    world.faults.plan(Fault("yookassa", "v3/me", times=8, delay=5))
    began = time.monotonic()
    errors = await asyncio.gather(*(failure(gateway.me()) for _ in range(8)))
    assert {error.kind for error in errors} == {ErrorKind.UNKNOWN_OUTCOME}
    assert time.monotonic() - began < 3
    assert (await gateway.me()).account_id == SHOP
    await gateway.close()


async def test_a_dripping_answer_is_cut() -> None:
    """An answer that comes byte by byte never trips the socket's timeout; a limit of the whole does."""

    async def drip(request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse()
        await answer.prepare(request)
        for _ in range(1000):
            await answer.write(b" ")
            await asyncio.sleep(0.05)
        return answer

    async with server(drip) as gateway:
        began = time.monotonic()
        assert (await failure(gateway.me())).kind is ErrorKind.UNKNOWN_OUTCOME
        assert time.monotonic() - began < 2


async def test_an_endless_answer_is_cut() -> None:
    """An answer beyond any sense in size is dropped, not read to the end."""
    shop = json.dumps({"account_id": SHOP, "test": True}).encode()
    async with server(always(shop + b" " * (5 * 1024 * 1024))) as gateway:
        assert (await failure(gateway.me())).kind is ErrorKind.UNKNOWN_OUTCOME


async def test_a_queue_behind_a_hang_ends_too(world: World) -> None:
    """Calls that wait for a thread behind hanging ones end within a known time as well."""
    world.faults.plan(Fault("yookassa", "v3/me", times=100, delay=5))
    gateway = YooKassaGateway(SHOP, SECRET, f"{world.base_url}/yookassa/v3", timeout=(0.2, 0.2))
    began = time.monotonic()
    errors = await asyncio.gather(*(failure(gateway.me()) for _ in range(60)))
    assert {error.kind for error in errors} == {ErrorKind.UNKNOWN_OUTCOME}
    assert time.monotonic() - began < 2.7  # 60 calls in four threads would take three seconds
    await gateway.close()


async def test_nobody_listens(unused_tcp_port: int) -> None:
    """A refused connection is an unknown outcome as any other fault of the network."""
    gateway = YooKassaGateway(SHOP, SECRET, f"http://127.0.0.1:{unused_tcp_port}/v3", timeout=(0.5, 0.5))
    assert (await failure(gateway.me())).kind is ErrorKind.UNKNOWN_OUTCOME
    await gateway.close()


async def test_unknown_ids_in_both_ways(gateway: YooKassaGateway, shop: Shop) -> None:
    """404 and the 400 said of unknown ids are both NOT_FOUND, for payments and refunds; found is nothing then."""
    unknown = "30c1a7e4-000f-5000-8000-1f0b6c2d9e55"
    for status in (404, 400):
        shop.settings.unknown_id_status = status
        for call in (gateway.get_payment, gateway.get_refund):
            assert (await failure(call(unknown))).kind is ErrorKind.NOT_FOUND
        assert await gateway.find_payment(unknown) is None
        assert await gateway.find_refund(unknown) is None


async def test_a_lost_answer_is_not_taken_for_nothing_found(world: World, gateway: YooKassaGateway) -> None:
    """Only YooKassa's own "unknown" means that there is nothing: any other failure is raised."""
    world.faults.plan(Fault("yookassa", "v3/", times=2, status=500))
    for call in (gateway.find_payment, gateway.find_refund):
        assert (await failure(call("30c1a7e4"))).kind is ErrorKind.UNKNOWN_OUTCOME


async def test_what_is_found_is_the_payment_and_the_refund(gateway: YooKassaGateway, shop: Shop) -> None:
    """Found is what get answers."""
    created = await gateway.create_payment(payment_body(), idempotency_key="k")
    pay(shop, created)
    refunded = await gateway.create_refund(refund_body(created, 100), idempotency_key="r")
    assert await gateway.find_payment(created.id) == await gateway.get_payment(created.id)
    assert await gateway.find_refund(refunded.id) == refunded


@pytest.mark.parametrize("odd", ["", ".", "..", "../me", "a/b", "a?b", "a b", "й", "x" * 65, "a\x00", "%2e%2e", "a\n"])
async def test_an_id_that_is_none_is_not_sent(world: World, gateway: YooKassaGateway, odd: str) -> None:
    """Ids come from notifications, which anybody may send: what could be another path is not found, without a call."""
    assert (await failure(gateway.get_payment(odd))).kind is ErrorKind.NOT_FOUND
    assert not world.calls


async def test_the_key_is_never_told(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """Neither an error that echoes the key, nor any log record at any level, holds the key."""
    caplog.set_level(logging.DEBUG)
    echo = {"type": "error", "code": SECRET, "description": f"bad key {SECRET}", "parameter": SECRET, "id": SECRET}
    async with server(always(echo, 401)) as gateway:
        error = await failure(gateway.me())
        assert error.kind is ErrorKind.CREDENTIALS
        assert SECRET not in f"{vars(error)}"
        assert SECRET not in repr(gateway)
    assert SECRET not in caplog.text


async def test_a_closed_gateway_says_so(world: World) -> None:
    """After close a call fails at once with the typed error; so does one that still waited for a thread."""
    gateway = YooKassaGateway(SHOP, SECRET, f"{world.base_url}/yookassa/v3", timeout=(1, 1))
    world.faults.plan(Fault("yookassa", "v3/me", times=4, delay=5))
    calls = [asyncio.create_task(failure(gateway.me())) for _ in range(6)]
    async with asyncio.timeout(5):
        while world.counts["yookassa:fault:v3/me"] < 4:  # noqa: ASYNC110 - the requests come over HTTP
            await asyncio.sleep(0.005)
    await gateway.close()
    errors = await asyncio.gather(*calls)
    assert {error.kind for error in errors} == {ErrorKind.UNKNOWN_OUTCOME}
    assert sum("closed" in str(error) for error in errors) == 2
    assert "closed" in str(await failure(gateway.me()))


@pytest.mark.parametrize("closed", [False, True])
async def test_a_cancelled_caller_stays_cancelled(world: World, gateway: YooKassaGateway, closed: bool) -> None:
    """Cancelling a task inside a call cancels the task, it is not turned into an error, not even while closing."""
    world.faults.plan(Fault("yookassa", "v3/me", delay=5))
    task = asyncio.create_task(gateway.me())
    async with asyncio.timeout(5):
        while not world.counts["yookassa:fault:v3/me"]:  # noqa: ASYNC110 - the request comes over HTTP
            await asyncio.sleep(0.005)
    if closed:
        await gateway.close()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_calls_run_in_their_own_four_threads(world: World, gateway: YooKassaGateway) -> None:
    """The default executor is left alone and no more than four calls are on the wire at once."""
    world.faults.plan(Fault("yookassa", "v3/me", times=12, delay=0.1))
    await asyncio.gather(*(gateway.me() for _ in range(12)))
    names = [thread.name for thread in threading.enumerate()]
    assert 1 <= sum(name.startswith("yookassa") for name in names) <= 4
    assert not any(name.startswith("asyncio") for name in names)


# --- odd answers --------------------------------------------------------------------------------------------------

PAYMENT = {
    "id": "30c1a7e4", "status": "succeeded", "paid": True, "test": True, "amount": rub("490.00"),
    "created_at": "2026-11-22T10:00:00.000Z",
}  # fmt: skip


@pytest.mark.parametrize(
    "amount",
    [
        None, "490.00", [], {}, rub(None), rub(True), rub([]), rub("NaN"), rub("Infinity"), rub("-490.00"), rub("4e2"),
        rub("490.005"), rub("1_000.00"), rub("٤٩٠.00"), rub(" 490.00"), rub(""), rub("9" * 5000), rub("490.00", None),
        rub("490.00", ""), {"value": float("nan"), "currency": "RUB"}, {"value": float("inf"), "currency": "RUB"},
    ],
)  # fmt: skip
async def test_a_sum_that_is_none_is_an_unknown_outcome(amount: Any) -> None:
    """A payment whose sum cannot be read exactly is never guessed, rounded or a crash."""
    async with server(always({**PAYMENT, "amount": amount})) as gateway:
        assert (await failure(gateway.get_payment("x"))).kind is ErrorKind.UNKNOWN_OUTCOME


@pytest.mark.parametrize(
    ("amount", "kopecks", "currency"),
    [
        (rub("490.00"), 49_000, "RUB"), (rub("490"), 49_000, "RUB"), (rub("490.1"), 49_010, "RUB"),
        (rub("490.100"), 49_010, "RUB"), (rub(490), 49_000, "RUB"), (rub(490.29), 49_029, "RUB"),
        (rub("0.29"), 29, "RUB"), (rub("9007199254740.93"), 900_719_925_474_093, "RUB"),
        (rub("5.00", "USD"), 500, "USD"),
    ],
)  # fmt: skip
async def test_sums_are_exact(amount: Any, kopecks: int, currency: str) -> None:
    """Every way to write a sum of whole kopecks is read exactly, and a foreign currency is kept for comparison."""
    async with server(always({**PAYMENT, "amount": amount})) as gateway:
        payment = await gateway.get_payment("x")
        assert (payment.amount_kopecks, payment.currency) == (kopecks, currency)


@pytest.mark.parametrize(
    "odd",
    [
        {"id": None}, {"id": ""}, {"id": 5}, {"id": "a\x00"}, {"id": "x" * 65}, {"status": None}, {"paid": "true"},
        {"paid": None}, {"test": 1}, {"test": None}, {"refunded_amount": "1.00"}, {"refunded_amount": rub("NaN")},
    ],
)  # fmt: skip
async def test_what_money_depends_on_must_be_there(odd: dict[str, Any]) -> None:
    """A payment without id, status, paid or test, or of other types, is an unknown outcome."""
    async with server(always({**PAYMENT, **odd})) as gateway:
        assert (await failure(gateway.get_payment("x"))).kind is ErrorKind.UNKNOWN_OUTCOME


@pytest.mark.parametrize(
    "odd",
    [
        {"metadata": None}, {"metadata": []}, {"metadata": {"order_id": 5}}, {"recipient": "x"},
        {"cancellation_details": []}, {"confirmation": {"confirmation_url": {}}}, {"created_at": 5},
        {"captured_at": []},
        {"refunded_amount": None}, {"brand_new": {"deep": [1, None]}}, {"status": "thinking"},
        {"payment_method": {"type": "digital_ruble"}},
    ],
)  # fmt: skip
async def test_the_rest_is_read_with_tolerance(odd: dict[str, Any]) -> None:
    """Whatever else is missing, new or of another type never stops a payment from being read."""
    async with server(always({**PAYMENT, **odd})) as gateway:
        payment = await gateway.get_payment("x")
        assert (payment.amount_kopecks, payment.status) == (49_000, odd.get("status", "succeeded"))
        assert (payment.order_id, payment.cancel_reason, payment.refunded_kopecks) == (None, None, 0)


@pytest.mark.parametrize(
    "raw", [b"", b"{", b"[]", b"null", b'"text"', b"\xff\xfe", b"[" * 100_000, b'{"a": ' + b"9" * 5000 + b"}"]
)
async def test_any_bytes_with_status_200(raw: bytes) -> None:
    """Bytes that are no JSON object are an unknown outcome, for every call."""
    async with server(always(raw)) as gateway:
        for call in (gateway.me(), gateway.get_payment("x"), gateway.create_refund({}, idempotency_key="k")):
            assert (await failure(call)).kind is ErrorKind.UNKNOWN_OUTCOME


@pytest.mark.parametrize("odd", [{"id": "a\x00"}, {"id": " "}, {"id": "x" * 65}, {"payment_id": "../x"}])
async def test_a_refund_without_sound_ids_is_an_unknown_outcome(odd: dict[str, Any]) -> None:
    """A key in our books is made of a refund's id: one that could be no id of YooKassa's is an unknown outcome."""
    body = {"id": "r", "payment_id": "x", "status": "succeeded", "amount": rub("1.00"), **odd}
    async with server(always(body)) as gateway:
        assert (await failure(gateway.get_refund("r"))).kind is ErrorKind.UNKNOWN_OUTCOME


async def test_an_odd_item_hides_no_other(caplog: pytest.LogCaptureFixture) -> None:
    """In a list one object that cannot be read is left out and logged, the others come."""
    async with server(always({"type": "list", "items": [{"id": "odd-one"}, None, PAYMENT]})) as gateway:
        assert [payment.id async for payment in gateway.list_payments()] == ["30c1a7e4"]
    assert "odd-one" in caplog.text


async def test_a_list_that_never_ends_is_an_error() -> None:
    """A cursor that leads round and round ends in an error after a bounded number of pages."""
    calls = 0

    async def answer(_: web.Request) -> web.Response:
        nonlocal calls
        calls += 1
        return web.json_response({"items": [], "next_cursor": "again"})

    async def drain(gateway: YooKassaGateway) -> None:
        async for _ in gateway.list_payments():
            pass

    async with server(answer) as gateway:
        assert (await failure(drain(gateway))).kind is ErrorKind.UNKNOWN_OUTCOME
    assert calls <= 200


async def test_a_redirect_is_not_followed() -> None:
    """Credentials and body go to the configured address alone, wherever it points to."""
    paths: list[str] = []

    async def answer(request: web.Request) -> web.Response:
        paths.append(request.path)
        return web.Response(status=307, headers={"Location": "/elsewhere"})

    async with server(answer) as gateway:
        error = await failure(gateway.create_payment(payment_body(), idempotency_key="k"))
    assert error.kind is ErrorKind.UNKNOWN_OUTCOME
    assert paths == ["/v3/payments"]


async def test_a_chunked_and_compressed_answer_is_read() -> None:
    """Answers without a length and answers in gzip are read as any other."""

    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        response.enable_compression(web.ContentCoding.gzip)
        response.enable_chunked_encoding()
        await response.prepare(request)
        raw = json.dumps({**PAYMENT, "description": "x" * 10_000}).encode()
        for at in range(0, len(raw), 1000):
            await response.write(raw[at : at + 1000])
        return response

    async with server(answer) as gateway:
        assert (await gateway.get_payment("x")).amount_kopecks == 49_000
