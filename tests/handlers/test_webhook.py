"""The routes over real HTTP, cell by cell: what each answers, in which order it looks, and what it leaves behind."""

from __future__ import annotations

import asyncio
import gzip
import json
import logging
from pathlib import Path

import pytest
from hypothesis import strategies as st
from sqlalchemy import text

from database import jobs as job_rows
from database import provider_calls as call_rows
from database import video_jobs as video_rows
from database.models import JobStep, JobType, Tx
from handlers.webhook import MAX_BACKGROUND, create_web_app
from tests.faults.examples import drawn
from tests.support.database_fixture import Clock, assert_books, snapshot
from tests.support.payment_env import PaymentEnv
from tests.support.route_fixture import (
    LIMITS,
    RAILS,
    SECRET,
    Heard,
    deliver,
    good,
    inbox_rows,
    open_heard,
    opened,
    padded,
    path,
    raw_status,
    right_sender,
)
from tests.support.sandbox_fixture import Sandbox

STRANGER = {"YOOKASSA_WEBHOOK_CIDRS": "185.71.76.0/27"}
SIGNED = {"KLING_WEBHOOK_SECRET": "whsec_a2V5"}
OFF = {"YOOKASSA_SHOP_ID": "", "YOOKASSA_SECRET_KEY": "", "KLING_API_KEY": ""}
REFUSAL = {"yookassa": 403, "kling": 403, "telegram": 401}

NOT_OF_THE_FORM = {
    "yookassa": [
        b'{"type":"notification","event":"payment.succeeded"}',
        b'{"type":"notification","event":"payment.succeeded","object":[]}',
        b'{"type":"notification","event":"payment.succeeded","object":{"id":7}}',
        b'{"type":"notification","event":"payment.succeeded","object":{"id":""}}',
        b'{"type":"notification","event":"payment.succeeded","object":{"id":"' + b"9" * 101 + b'"}}',
        b'{"type":"notification","event":"payment.succeeded","object":{"id":"a\\u0000b"}}',
        b'{"type":"notification","event":"payment.succeeded","object":{"id":"\\ud800"}}',
        b'{"type":"notification","event":7,"object":{"id":"x"}}',
        b'{"type":"notification","event":"","object":{"id":"x"}}',
        b'{"type":"something","event":"payment.succeeded","object":{"id":"x"}}',
        b'{"event":"payment.succeeded","object":{"id":"x"}}',
    ],
    "kling": [
        b'{"id":7}',
        b'{"id":""}',
        b'{"id":"' + b"9" * 129 + b'"}',
        b'{"id":"a b"}',
        b'{"id":"\\ud800"}',
        b'{"status":"succeed"}',
        b'{"id":null}',
    ],
    "telegram": [
        b'{"message":{}}',
        b'{"update_id":"1"}',
        b'{"update_id":true}',
        b'{"update_id":1.5}',
        b'{"update_id":null}',
        b'{"update_id":NaN}',
        b'{"update_id":' + b"9" * 5000 + b"}",
    ],
}
NOT_JSON_OBJECTS = [
    b"",
    b" ",
    b"{",
    b"null",
    b"7",
    b'"text"',
    b"[]",
    b'[{"update_id":1}]',
    b"\xff\xfe{}",
    b'{"id":"\xc3"}',
    b"\x00",
    b"\xef\xbb\xbf{}",
    b"[" * 60_000,
    b'{"a":' * 12_000,
    b"update_id=1&id=2",
    b"{'id': 1}",
]
BAD_BODIES = [(rail, body) for rail in RAILS for body in [*NOT_JSON_OBJECTS, *NOT_OF_THE_FORM[rail]]]


@pytest.mark.parametrize("rail", RAILS)
async def test_a_rail_that_is_off_is_not_there(sandbox: Sandbox, tmp_path: Path, rail: str) -> None:
    """404 comes first: before the size, the sender and the form are looked at."""
    async with opened(sandbox, tmp_path, **OFF, **STRANGER) as shop:
        for body in (good(rail), b"junk", b"x" * (LIMITS[rail] + 1)):
            assert await deliver(shop, rail, body) == 404
        assert await inbox_rows(shop) == []


@pytest.mark.parametrize("rail", RAILS)
async def test_a_body_may_have_the_limit_and_not_a_byte_more(sandbox: Sandbox, tmp_path: Path, rail: str) -> None:
    """The limit itself passes, one byte more is 413; whether the length was announced or not."""
    async with opened(sandbox, tmp_path, heard=open_heard()) as shop:
        full = padded(good(rail), LIMITS[rail])
        assert await deliver(shop, rail, full) == 200
        assert await deliver(shop, rail, full, chunked=True) == 200
        assert await deliver(shop, rail, full + b" ") == 413
        assert await deliver(shop, rail, full + b" ", chunked=True) == 413
        assert len(await inbox_rows(shop)) == 1


@pytest.mark.parametrize("rail", RAILS)
async def test_a_body_too_large_is_refused_before_its_sender(sandbox: Sandbox, tmp_path: Path, rail: str) -> None:
    """413 before 403 and 401, and a huge length is refused without waiting for a byte of it."""
    async with opened(sandbox, tmp_path, heard=open_heard(), **STRANGER, **SIGNED) as shop:
        assert await deliver(shop, rail, b"x" * (LIMITS[rail] + 1), {}) == 413
        head = f"POST {path(rail)} HTTP/1.1\nHost: x\nContent-Length: 1000000000000\n"
        assert await raw_status(shop, head) == 413


@pytest.mark.parametrize("rail", RAILS)
async def test_a_wrong_sender_is_refused_before_the_body_is_read_as_json(
    sandbox: Sandbox, tmp_path: Path, rail: str
) -> None:
    """403 (Telegram: 401) before 400, and nothing is written down."""
    async with opened(sandbox, tmp_path, heard=open_heard(), **STRANGER, **SIGNED) as shop:
        for body in (good(rail), b"junk", b""):
            assert await deliver(shop, rail, body, {}) == REFUSAL[rail]
        assert await inbox_rows(shop) == []


async def test_a_body_not_of_the_form_is_400_and_leaves_nothing(sandbox: Sandbox, tmp_path: Path) -> None:
    """Arrays, deep nests, broken UTF-8, wrong types, absurd ids: 400 for each, no row, no crash in the log."""
    async with opened(sandbox, tmp_path, heard=open_heard()) as shop:
        answers = {(rail, body[:60]): await deliver(shop, rail, body) for rail, body in BAD_BODIES}
        assert {case: status for case, status in answers.items() if status != 400} == {}
        assert await inbox_rows(shop) == []


@pytest.mark.parametrize("rail", RAILS)
@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
async def test_a_body_that_does_not_unpack_is_a_bad_request(
    sandbox: Sandbox, tmp_path: Path, rail: str, encoding: str
) -> None:
    """Content-Encoding over bytes that are none: the sender's fault, told as such."""
    async with opened(sandbox, tmp_path, heard=open_heard()) as shop:
        headers = {**right_sender(rail), "Content-Encoding": encoding, "Connection": "close"}
        assert await deliver(shop, rail, b"this is not packed at all", headers) == 400
        assert await inbox_rows(shop) == []


@pytest.mark.parametrize("rail", RAILS)
async def test_a_packed_body_is_counted_unpacked(sandbox: Sandbox, tmp_path: Path, rail: str) -> None:
    """A small packet that unpacks to more than the limit is refused."""
    async with opened(sandbox, tmp_path, heard=open_heard()) as shop:
        headers = {**right_sender(rail), "Content-Encoding": "gzip", "Connection": "close"}
        bomb = gzip.compress(padded(good(rail), LIMITS[rail] * 20))
        assert len(bomb) < LIMITS[rail]
        assert await deliver(shop, rail, bomb, headers) in (400, 413)
        assert await inbox_rows(shop) == []


@pytest.mark.parametrize("rail", RAILS)
async def test_what_is_answered_with_200_is_written_down(sandbox: Sandbox, tmp_path: Path, rail: str) -> None:
    """One committed row for each notification, and a repeat is 200 on the same row."""
    async with opened(sandbox, tmp_path, heard=open_heard()) as shop:
        for number in (1, 2, 1, 1):
            assert await deliver(shop, rail, good(rail, number)) == 200
        rows = await inbox_rows(shop)
        assert [source for source, _, _ in rows] == [rail, rail]
        assert len({key for _, key, _ in rows}) == 2


@pytest.mark.parametrize("rail", RAILS)
async def test_what_can_not_be_written_down_is_500_and_nothing_is_lost(
    sandbox: Sandbox, tmp_path: Path, rail: str
) -> None:
    """While the disk is gone each try is a bare 500; when it is back the same notification is taken."""
    folder, away = tmp_path / "disk", tmp_path / "away"
    folder.mkdir()
    async with opened(sandbox, folder, heard=open_heard()) as shop:
        await shop.db.close()
        folder.rename(away)
        folder.write_text("not a folder any more")
        for _ in range(3):
            async with sandbox.http.post(shop.url + path(rail), data=good(rail), headers=right_sender(rail)) as answer:
                said = await answer.text()
                assert (answer.status, "Traceback" in said, str(tmp_path) in said) == (500, False, False)
        folder.unlink()
        away.rename(folder)
        assert await deliver(shop, rail, good(rail)) == 200
        assert [source for source, _, _ in await inbox_rows(shop)] == [rail]


async def test_money_survives_a_database_that_was_away_when_the_notification_came(
    sandbox: Sandbox, tmp_path: Path
) -> None:
    """500 while no row can be written, and the repeat of the notification credits once."""
    async with opened(sandbox, tmp_path) as shop:
        order = await shop.open_payment()
        await shop.pay(order)

        def set_full(tx: Tx) -> None:
            tx.execute(text("CREATE TRIGGER full BEFORE INSERT ON inbox BEGIN SELECT RAISE(ABORT, 'no room'); END"))

        await shop.db.write(set_full)
        assert await shop.notify("payment.succeeded", order.provider_payment_id or "") == 500
        await shop.acted()
        assert await shop.db.get_balance(1) == 0
        await shop.db.write(lambda tx: tx.execute(text("DROP TRIGGER full")).close())
        assert await shop.notify("payment.succeeded", order.provider_payment_id or "") == 200
        assert await shop.notify("payment.succeeded", order.provider_payment_id or "") == 200
        await shop.acted()
        assert await shop.db.get_balance(1) == 50_000
        await assert_books(shop.db)


@pytest.mark.parametrize("event", ["payment.succeeded", "refund.succeeded", "payout.succeeded", "deal.closed", "😀"])
async def test_unknown_events_and_payments_are_200_and_move_nothing(payment_env: PaymentEnv, event: str) -> None:
    """What we do not know is acknowledged, so that the sender rests, and changes no row of money."""
    before = await snapshot(payment_env.db)
    assert await payment_env.notify(event, "00000000-0000-5000-8000-000000000000", amount={"value": "1e9"}) == 200
    await payment_env.acted()
    assert await snapshot(payment_env.db) == before


async def test_a_kling_callback_of_an_unknown_task_moves_nothing(payment_env: PaymentEnv) -> None:
    """Whoever names a task that is not ours is thanked, and no job changes."""
    before = await snapshot(payment_env.db)
    body = {"id": "1", "external_id": "\ud800", "status": "succeed", "outputs": [{"url": "https://evil.example/x"}]}
    assert await deliver(payment_env, "kling", json.dumps(body).encode()) == 200
    await payment_env.acted()
    assert await snapshot(payment_env.db) == before


async def test_a_kling_callback_only_brings_our_own_look_forward(payment_env: PaymentEnv) -> None:
    """The callback says that the clip is done and where: we look sooner, and believe not a word of it."""
    await payment_env.db.add_balance(1, 100_000, key="a", reason="gift")
    order = job_rows.NewJob(
        id="clip", user_id=1, type=JobType.VIDEO, model="m", prompt="a fox", params={}, price=4_500, hold_ms=600_000
    )
    await payment_env.db.write(job_rows.start, order, max_active=3)
    job = await payment_env.db.write(job_rows.claim, "clip", JobStep.SUBMIT)
    assert job is not None
    await payment_env.db.write(call_rows.begin_call, "clip", job.attempt, provider="kling", model="m")
    await payment_env.db.write(video_rows.submitted, "clip", job.attempt, external_id="7", poll_in_ms=600_000)
    assert await payment_env.db.read(video_rows.due) == []
    done = {"id": "7", "external_id": "clip", "status": "succeed", "outputs": [{"url": "https://evil.example/x.mp4"}]}
    for body in (done, {**done, "status": "failed"}):
        assert await deliver(payment_env, "kling", json.dumps(body).encode()) == 200
        await payment_env.acted()
        (waiting,) = await payment_env.db.read(video_rows.due)
        assert (waiting.id, waiting.step, waiting.external_url) == ("clip", JobStep.WATCH, None)


async def test_a_sender_who_leaves_in_the_middle_changes_nothing(
    sandbox: Sandbox, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Half a body and a closed line: no row, no cry in the log, and the next request is served as ever."""
    async with opened(sandbox, tmp_path, heard=open_heard()) as shop:
        port = int(shop.url.rpartition(":")[2])
        for rail in RAILS:
            body = good(rail)
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            secret = "".join(f"{name}: {value}\r\n" for name, value in right_sender(rail).items())
            head = f"POST {path(rail)} HTTP/1.1\r\nHost: x\r\n{secret}Content-Length: {len(body) + 1}\r\n\r\n"
            writer.write(head.encode() + body)
            await writer.drain()
            await asyncio.sleep(0.05)  # its route waits for the rest by now
            writer.close()
            await writer.wait_closed()
        assert await inbox_rows(shop) == []
        assert await deliver(shop, "kling", good("kling")) == 200
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING] == []


async def test_an_update_is_in_the_inbox_before_its_handler_ends_and_survives_a_crash(
    sandbox: Sandbox, tmp_path: Path, clock: Clock
) -> None:
    """200 means durable: the process dies inside the handler, and the next one handles the update, once."""
    hung = Heard()
    async with opened(sandbox, tmp_path, heard=hung, clock=clock) as shop:
        assert await deliver(shop, "telegram", good("telegram")) == 200
        await asyncio.wait_for(hung.arrived.wait(), timeout=10)
        assert await inbox_rows(shop) == [("telegram", "1", True)]
        assert shop.context.updates is not None
        await shop.context.updates.drain(0.01)
    assert hung.texts == []
    heard = open_heard()
    async with opened(sandbox, tmp_path, heard=heard, clock=clock) as shop:
        assert shop.context.updates is not None
        await shop.context.updates.take_due()
        assert heard.texts == []
        clock.forward(600_000)
        await shop.context.updates.take_due()
        await asyncio.wait_for(heard.arrived.wait(), timeout=10)
        await shop.context.updates.drain(10)
        await shop.context.updates.take_due()
        await shop.context.updates.drain(10)
        assert heard.texts == ["hello 1"]
        assert await inbox_rows(shop) == [("telegram", "1", False)]


async def test_a_crowd_at_one_door_keeps_nobody_waiting_at_another(sandbox: Sandbox, tmp_path: Path) -> None:
    """As many notifications under way as may be: people's updates are handled, and a crowd of those lets buyers by."""
    heard = open_heard()
    checkout = {"id": "1", "currency": "XTR", "total_amount": 9, "invoice_payload": "st-1"}
    buyer = {"update_id": 9, "pre_checkout_query": {**checkout, "from": {"id": 7, "is_bot": False, "first_name": "A"}}}
    async with opened(sandbox, tmp_path, heard=heard) as shop:
        never = asyncio.Event()

        async def hang() -> None:
            await never.wait()

        for rail, said in (("yookassa", b""), ("telegram", json.dumps(buyer).encode())):
            for _ in range(MAX_BACKGROUND + 1):
                shop.context.spawn(rail, hang())
            heard.arrived.clear()
            assert await deliver(shop, "telegram", said or good("telegram")) == 200
            await asyncio.wait_for(heard.arrived.wait(), timeout=10)
        assert len(shop.context.background) == 2 * MAX_BACKGROUND
        never.set()
        assert heard.texts == ["hello 1", "st-1"]


@pytest.mark.parametrize(
    "body",
    [
        b'{"update_id":1,"message":7}',
        b'{"update_id":1,"message":' + b'{"reply_to_message":' * 900 + b"1" + b"}" * 901,
        b'{"update_id":1,"message":{"message_id":1,"date":1,"text":"\\ud800","chat":{"id":1,"type":"private"}}}',
        b'{"update_id":-5,"edited_message":{"date":99999999999999999999}}',
        b'{"update_id":1}',
    ],
)
async def test_an_update_nobody_can_read_is_over_after_one_try(
    sandbox: Sandbox, tmp_path: Path, clock: Clock, body: bytes
) -> None:
    """An update that can't be understood is acknowledged, dropped, and does not come again for ever."""
    async with opened(sandbox, tmp_path, heard=open_heard(), clock=clock) as shop:
        assert await deliver(shop, "telegram", body) == 200
        await shop.acted()
        assert shop.context.updates is not None
        await shop.context.updates.drain(10)
        assert [due for _, _, due in await inbox_rows(shop)] == [False]


async def test_health_says_that_the_process_lives(payment_env: PaymentEnv) -> None:
    """/health needs nothing but the process."""
    async with payment_env.sandbox.http.get(f"{payment_env.url}/health") as answer:
        assert (answer.status, await answer.json()) == (200, {"status": "ok"})


async def test_ready_names_what_does_not_answer(sandbox: Sandbox, tmp_path: Path) -> None:
    """/ready is 200 when every check is content, and 503 with the reasons of those that are not."""

    async def fine() -> str | None:
        return None

    async def gone() -> str | None:
        return "does not answer"

    async with (
        opened(sandbox, tmp_path / "a", checks={"database": fine, "queue": fine}) as ready,
        opened(sandbox, tmp_path / "b", checks={"database": fine, "queue": gone}) as waiting,
    ):
        async with sandbox.http.get(f"{ready.url}/ready") as answer:
            assert (answer.status, await answer.json()) == (200, {"status": "ready", "reasons": {}})
        async with sandbox.http.get(f"{waiting.url}/ready") as answer:
            assert answer.status == 503
            assert (await answer.json())["reasons"] == {"queue": "does not answer"}


async def test_metrics_are_prometheus_text(sandbox: Sandbox, tmp_path: Path) -> None:
    """/metrics is plain text of the exposition format."""
    async with opened(sandbox, tmp_path) as shop, sandbox.http.get(f"{shop.url}/metrics") as answer:
        assert answer.status == 200
        assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
        assert await answer.text() == "shop_users 1\n"


async def test_other_methods_and_paths_are_refused(payment_env: PaymentEnv) -> None:
    """A webhook is POST only, and nothing else is there."""
    for rail in RAILS:
        async with payment_env.sandbox.http.get(payment_env.url + path(rail)) as answer:
            assert answer.status == 405
    assert await payment_env.post("/webhooks/stripe") == 404
    assert await payment_env.post("/webhooks/yookassa/../../etc/passwd") == 404


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
FIELDS = st.fixed_dictionaries(
    {},
    optional={
        "type": st.just("notification") | JSON,
        "event": st.sampled_from(["payment.succeeded", "refund.succeeded", "x.y"]) | JSON,
        "object": st.fixed_dictionaries({"id": st.text(max_size=120) | JSON}) | JSON,
        "id": st.text(max_size=140) | JSON,
        "external_id": JSON,
        "status": st.sampled_from(["succeed", "failed"]) | JSON,
        "outputs": JSON,
        "update_id": st.integers() | JSON,
        "message": JSON,
        "callback_query": JSON,
        "pre_checkout_query": JSON,
    },
)
BODIES = (
    st.binary(max_size=300)
    | JSON.map(lambda value: json.dumps(value).encode())
    | FIELDS.map(lambda value: json.dumps(value).encode())
)


async def test_no_body_whatever_makes_a_500_or_moves_money(sandbox: Sandbox, tmp_path: Path) -> None:
    """Any bytes, from a trusted sender even: an answer of the contract, no stack trace, no row of money."""
    async with opened(sandbox, tmp_path, heard=open_heard()) as shop:
        before = await snapshot(shop.db)
        bodies = drawn(BODIES, 150)
        for rail in RAILS:
            for body in bodies:
                async with sandbox.http.post(
                    shop.url + path(rail), data=body, headers={"X-Telegram-Bot-Api-Secret-Token": SECRET}
                ) as answer:
                    assert answer.status in (200, 400), body
                    assert b"Traceback" not in await answer.read()
        await shop.acted()
        assert shop.context.updates is not None
        await shop.context.updates.drain(10)
        assert await snapshot(shop.db) == before


EVERY_ROUTE = [("GET", "/health"), ("GET", "/ready"), ("GET", "/metrics"), *(("POST", path(rail)) for rail in RAILS)]


async def test_these_are_all_routes(sandbox: Sandbox, tmp_path: Path) -> None:
    """What the tests below go through is what the bot serves: a new route joins them."""
    async with opened(sandbox, tmp_path) as shop:
        routes = [
            (one.method, one.resource.canonical)
            for one in create_web_app(shop.context).router.routes()
            if one.resource is not None
        ]
        assert sorted(one for one in routes if one[0] != "HEAD") == sorted(EVERY_ROUTE)


MALFORMED = [
    "\x16\x03\x01 TLS\n", "{verb} {path} HTTP/9.9\n", "{verb} {path} HTTP/1.1\nno colon\n",
    "{verb} {path} HTTP/1.1\nContent-Length: -1\n", "{verb} {path} HTTP/1.1\nContent-Length: 1\nContent-Length: 2\n",
    "{verb} {path} HTTP/1.1\nTransfer-Encoding: chunked\n\nnot a size\n",
    "{verb} {path} HTTP/1.1\nX: " + "x" * 9000 + "\n", "{verb} {path}?" + "x" * 9000 + " HTTP/1.1\n",
]  # fmt: skip


@pytest.mark.parametrize(("verb", "route"), EVERY_ROUTE)
async def test_a_bad_request_to_any_route_is_refused_and_changes_nothing(
    sandbox: Sandbox, tmp_path: Path, verb: str, route: str
) -> None:
    """Another verb, no HTTP at all, heads that lie or never end: a 4xx without a word of ours, and no row."""
    async with opened(sandbox, tmp_path, heard=open_heard()) as shop:
        before = await snapshot(shop.db)
        for other in {"GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"} - {verb}:
            async with sandbox.http.request(other, shop.url + route, data=b"x" * 100_000) as answer:
                assert (answer.status, b"Traceback" in await answer.read()) == (405, False)
        for head in MALFORMED:
            assert await raw_status(shop, head.format(verb=verb, path=route)) == 400, head[:60]
        assert await inbox_rows(shop) == []
        assert await snapshot(shop.db) == before


@pytest.mark.parametrize("route", [route for verb, route in EVERY_ROUTE if verb == "GET"])
async def test_what_only_tells_is_not_moved_by_a_body(sandbox: Sandbox, tmp_path: Path, route: str) -> None:
    """A question with a body, huge, endless or broken: answered without waiting for it, nothing written."""
    async with opened(sandbox, tmp_path) as shop:
        before = await snapshot(shop.db)
        for length in ("5", "10000000000"):
            assert await raw_status(shop, f"GET {route} HTTP/1.1\nHost: x\nContent-Length: {length}\n", b"hel") == 200
        assert await snapshot(shop.db) == before


async def test_a_body_that_drips_is_given_up(sandbox: Sandbox, tmp_path: Path) -> None:
    """Ten seconds for a body, however its bytes come; nothing of it stays."""
    async with opened(sandbox, tmp_path, heard=open_heard()) as shop:

        async def dripping(rail: str) -> int:
            reader, writer = await asyncio.open_connection("127.0.0.1", int(shop.url.rpartition(":")[2]))
            secret = "".join(f"{name}: {value}\r\n" for name, value in right_sender(rail).items())
            writer.write(f"POST {path(rail)} HTTP/1.1\r\nHost: x\r\n{secret}Content-Length: 500\r\n\r\n".encode())
            answer = asyncio.ensure_future(reader.readline())
            async with asyncio.timeout(30):
                while not answer.done():
                    writer.write(b" ")
                    await asyncio.wait({answer}, timeout=0.5)
            writer.close()
            return int((await answer).split()[1])

        assert await asyncio.gather(*map(dripping, RAILS)) == [408, 408, 408]
        assert await inbox_rows(shop) == []
