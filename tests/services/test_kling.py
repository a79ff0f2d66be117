"""Kling against the simulated v2 API and against a server that answers whatever it is told."""

from __future__ import annotations

import base64
import io
import json
import time
from collections.abc import AsyncIterator, Callable
from typing import Any
from uuid import uuid4

import pytest
from PIL import Image

from sandbox.world import Fault, World
from services.base_provider import (
    Blame,
    ErrorCode,
    Failure,
    Photo,
    ProviderError,
    TaskStatus,
    VideoRequest,
    VideoTask,
)
from services.catalogue import shipped_catalogue
from services.media.inspect import inspect_video
from services.providers.circuit_breaker import STOPPING
from services.providers.kling import Kling
from services.providers.kling_webhook import parse_callback, verify_webhook_signature, webhook_key
from tests.support.provider_wire import Asked, Reply, reply, sandbox_faces, scripted, until

KEY = "sandbox-kling-key"
P, T, U = Failure.PERMANENT, Failure.TEMPORARY, Failure.UNKNOWN
USER, ADMIN, PROVIDER = Blame.USER, Blame.ADMIN, Blame.PROVIDER


def order(prompt: str = "a paper boat", model: str = "k30t", **changes: Any) -> VideoRequest:
    options = {"duration": 5, "resolution": "720p", "ratio": "9:16", "external_id": str(uuid4()), **changes}
    return shipped_catalogue().video(model).request(prompt, **options)


def photo(size: tuple[int, int] = (400, 400)) -> Photo:
    buffer = io.BytesIO()
    Image.new("RGB", size, "teal").save(buffer, "JPEG")
    return Photo(buffer.getvalue(), "image/jpeg")


@pytest.fixture
async def world() -> AsyncIterator[World]:
    world = World(seed=1, speed=1.0)
    async with sandbox_faces(world, "kling"):
        yield world


@pytest.fixture
async def kling(world: World) -> AsyncIterator[Kling]:
    provider = Kling(api_key=KEY, base_url=f"{world.base_url}/kling")
    yield provider
    await provider.close()


async def failed(call: Any) -> ProviderError:
    with pytest.raises(ProviderError) as caught:
        await call
    assert KEY not in f"{caught.value} {caught.value!r}"
    return caught.value


async def against(*replies: Reply, use: Callable[[Kling], Any], **options: Any) -> Any:
    """What `use` of a Kling gives against these answers."""
    async with scripted(*replies) as server:
        provider = Kling(api_key=KEY, base_url=server.url, **options)
        try:
            return await use(provider)
        finally:
            await provider.close()


async def ended(kling: Kling, world: World, task: VideoTask) -> VideoTask:
    """The task once it has come to its end, by the simulator's clock."""

    async def is_final() -> VideoTask | None:
        world.clock.advance(600)
        found = (await kling.poll([task.id]))[task.id]
        return found if found.is_final else None

    return await until(is_final)


# --- submit, look, download ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", ["k30t", "k30", "k26", "k25t"])
@pytest.mark.parametrize("with_photo", [False, True])
async def test_every_model_of_the_catalogue_makes_a_video(
    kling: Kling, world: World, model: str, with_photo: bool
) -> None:
    """What the catalogue sells is what the API takes, from words and from a photo; the clip is real and priced."""
    request = order(model=model, photo=photo() if with_photo else None)
    task = await kling.submit(request)
    assert (task.status, task.external_id) == (TaskStatus.SUBMITTED, request.external_id)
    done = await ended(kling, world, task)
    assert done.status is TaskStatus.SUCCEEDED
    assert done.duration == pytest.approx(5.041)
    assert done.cost_micro_usd == shipped_catalogue().video(model).resolutions["720p"].cost * 5
    assert done.url is not None
    info = inspect_video(await kling.download(done.url))
    assert info.duration_ms == pytest.approx(5000, abs=200)
    assert (info.height > info.width) != with_photo


@pytest.mark.parametrize("model", ["k30t", "k30", "k26", "k25t"])
async def test_a_photo_comes_to_life_without_words(kling: Kling, model: str) -> None:
    """Most models want a prompt beside the photo (docs/reference/kling.md, section 2.2): without one, ours is sent."""
    task = await kling.submit(order("", model=model, photo=photo()))
    assert task.status is TaskStatus.SUBMITTED


@pytest.mark.parametrize(("model", "audio"), [("k30", True), ("k26", True)])
async def test_sound_costs_what_the_catalogue_says(kling: Kling, world: World, model: str, audio: bool) -> None:
    """Native sound is asked for by the model's own word and billed at its own price."""
    done = await ended(kling, world, await kling.submit(order(model=model, audio=audio, resolution="1080p")))
    assert done.cost_micro_usd == (shipped_catalogue().video(model).resolutions["1080p"].audio_cost or 0) * 5


async def test_the_body_is_nested_and_strict() -> None:
    """Options sit where the API reads them, with its types; a photo goes raw and brings no ratio along."""
    created = reply(200, {"code": 0, "data": {"id": "1", "status": "submitted"}})
    async with scripted(created) as server:
        provider = Kling(api_key=KEY, base_url=server.url)
        await provider.submit(order("ёж", model="k30", audio=True, callback_url="https://bot/hook", external_id="id-1"))
        await provider.submit(order(model="k30", photo=photo(), external_id="id-2"))
        await provider.submit(order(model="k30t", external_id="id-3"))
        await provider.close()
    words, frame, turbo = (asked.json for asked in server.asked)
    assert [asked.path for asked in server.asked] == [
        "/text-to-video/kling-3.0",
        "/image-to-video/kling-3.0",
        "/text-to-video/kling-3.0-turbo",
    ]
    assert words == {
        "prompt": "ёж",
        "settings": {
            "resolution": "720p",
            "duration": 5,
            "audio": "native",
            "multi_shot": False,
            "aspect_ratio": "9:16",
        },
        "options": {
            "external_task_id": "id-1",
            "watermark_info": {"enabled": False},
            "callback_url": "https://bot/hook",
        },
    }
    assert "aspect_ratio" not in frame["settings"]
    assert frame["contents"][1]["type"] == "first_frame"
    assert base64.b64decode(frame["contents"][1]["url"], validate=True) == photo().data
    assert turbo["settings"].keys() == {"resolution", "duration", "aspect_ratio"}
    assert server.asked[0].headers["Authorization"] == f"Bearer {KEY}"


async def test_check_is_free_and_sees_a_wrong_key(kling: Kling, world: World) -> None:
    """The health check makes no task, and a wrong key is for the admin to correct."""
    await kling.check()
    stranger = Kling(api_key="api-key-kling-wrong", base_url=f"{world.base_url}/kling")
    error = await failed(stranger.check())
    await stranger.close()
    assert (error.code, error.failure, error.blame) == (ErrorCode.KEY_INVALID, P, ADMIN)
    assert world.counts["kling:create"] == 0


# --- every refusal of a submit ------------------------------------------------------------------------------------

CODES = [
    ("1000", ErrorCode.KEY_INVALID, P, ADMIN, True),
    ("1001", ErrorCode.KEY_INVALID, P, ADMIN, True),
    ("1002", ErrorCode.KEY_INVALID, P, ADMIN, True),
    ("1003", ErrorCode.KEY_INVALID, P, ADMIN, True),
    ("1004", ErrorCode.KEY_INVALID, P, ADMIN, True),
    ("1100", ErrorCode.ACCOUNT_AT_RISK, P, ADMIN, True),
    ("1101", ErrorCode.FUNDS, P, ADMIN, True),
    ("1102", ErrorCode.FUNDS, P, ADMIN, True),
    ("1103", ErrorCode.FORBIDDEN, P, ADMIN, True),
    ("1200", ErrorCode.BAD_REQUEST, P, ADMIN, False),
    ("1201", ErrorCode.BAD_REQUEST, P, ADMIN, False),
    ("1202", ErrorCode.MODEL_GONE, P, ADMIN, True),
    ("1203", ErrorCode.MODEL_GONE, P, ADMIN, True),
    ("1300", ErrorCode.PROMPT_BLOCKED, P, USER, False),
    ("1301", ErrorCode.PROMPT_BLOCKED, P, USER, False),
    ("1302", ErrorCode.RATE_LIMITED, T, PROVIDER, False),
    ("1303", ErrorCode.CONCURRENCY, T, PROVIDER, False),
    ("1304", ErrorCode.LOCATION, P, ADMIN, True),
    ("5000", ErrorCode.INTERNAL, U, PROVIDER, False),
    ("5001", ErrorCode.MAINTENANCE, U, PROVIDER, False),
    ("5002", ErrorCode.TIMEOUT, U, PROVIDER, False),
    ("drop_before", ErrorCode.NETWORK, U, PROVIDER, False),
    ("html_502", ErrorCode.NETWORK, U, PROVIDER, False),
    ("drop_after", ErrorCode.NETWORK, U, PROVIDER, False),
    ("504_after", ErrorCode.TIMEOUT, U, PROVIDER, False),
    ("500_after", ErrorCode.INTERNAL, U, PROVIDER, False),
    ("html_502_after", ErrorCode.NETWORK, U, PROVIDER, False),
    ("empty_2xx", ErrorCode.BAD_ANSWER, U, PROVIDER, False),
    ("no_id_2xx", ErrorCode.BAD_ANSWER, U, PROVIDER, False),
    ("reset_mid_body", ErrorCode.NETWORK, U, PROVIDER, False),
]


@pytest.mark.parametrize(("tag", "code", "kind", "blame", "pause"), CODES)
async def test_each_refusal_of_a_submit_has_its_verdict(
    kling: Kling, world: World, tag: str, code: ErrorCode, kind: Failure, blame: Blame, pause: bool
) -> None:
    """A clear refusal made no task; only an unclear end may have made one, and then it is found by our id."""
    request = order(f"a boat #sim:{tag}")
    error = await failed(kling.submit(request))
    assert (error.code, error.failure, error.blame) == (code, kind, blame)
    assert (error.code in STOPPING) is pause, "the breaker reads the code, which the row keeps"
    found = await kling.find([request.external_id])
    assert (request.external_id in found) == (tag.endswith(("_after", "_2xx")) or tag == "reset_mid_body")
    assert kind is U or not found


async def test_a_full_account_asks_to_wait(kling: Kling) -> None:
    """No free slot and no breath for another request are waited out, from one second on."""
    assert (await failed(kling.submit(order("a #sim:1303")))).retry_after == 1.0
    assert ((await failed(kling.submit(order("a #sim:5001")))).retry_after or 0) >= 60


async def test_a_used_external_id_is_a_duplicate(kling: Kling) -> None:
    """The refusal of our id proves that the first submit arrived, and leads to it."""
    request = order()
    task = await kling.submit(request)
    error = await failed(kling.submit(request))
    assert (error.code, error.failure) == (ErrorCode.DUPLICATE_TASK, U)
    assert (await kling.find([request.external_id]))[request.external_id].id == task.id


@pytest.mark.parametrize(
    ("status", "code", "message"),
    [
        (400, 1201, "external_task_id already exists"),
        (400, 1200, "duplicate external task id"),
        (400, 1201, "task with this external_task_id exists"),
        (400, 1201, "options.external_task_id has been used"),
        (400, 1299, "The external id is taken"),
        (409, 1205, "conflict"),
    ],
)
async def test_a_taken_id_is_understood_in_any_words(status: int, code: int, message: str) -> None:
    """How the refusal of a used id reads is not known (docs/reference/kling.md, section 7): every likely form leads to
    a search, not to a refund."""
    refused = reply(status, {"code": code, "message": message})
    error = await against(refused, use=lambda kling: failed(kling.submit(order())))
    assert (error.code, error.failure) == (ErrorCode.DUPLICATE_TASK, U)


async def test_a_complaint_about_the_form_of_an_id_is_no_duplicate() -> None:
    """An id that the API does not like is refused for good: no task stands behind it."""
    refused = reply(400, {"code": 1201, "message": "options.external_task_id value is invalid"})
    error = await against(refused, use=lambda kling: failed(kling.submit(order())))
    assert (error.code, error.failure) == (ErrorCode.BAD_REQUEST, P)


async def test_a_photo_the_api_refuses_is_the_person_s(kling: Kling) -> None:
    """A photo below the API's own limits comes back as a bad photo, not as a malformed request."""
    error = await failed(kling.submit(order(photo=photo((100, 100)))))
    assert (error.code, error.failure, error.blame) == (ErrorCode.BAD_PHOTO, P, USER)


@pytest.mark.parametrize(
    ("status", "content", "code", "kind"),
    [
        (200, {"code": 1301, "message": "policy"}, ErrorCode.PROMPT_BLOCKED, P),
        (200, {"code": "1102", "message": "empty"}, ErrorCode.FUNDS, P),
        (200, {"code": 7777, "data": {"id": "1"}}, ErrorCode.BAD_ANSWER, U),
        (200, {"code": 0, "data": {"id": 5}}, ErrorCode.BAD_ANSWER, U),
        (200, {"code": 0, "data": {"id": "1", "external_id": "another"}}, ErrorCode.BAD_ANSWER, U),
        (200, {"code": 0, "data": []}, ErrorCode.BAD_ANSWER, U),
        (200, [], ErrorCode.BAD_ANSWER, U),
        (400, {"code": 1299, "message": "new"}, ErrorCode.BAD_REQUEST, P),
        (429, {"code": 1399, "message": "new"}, ErrorCode.RATE_LIMITED, T),
        (401, {"code": 1009, "message": "new"}, ErrorCode.KEY_INVALID, P),
        (403, "forbidden by a firewall", ErrorCode.NETWORK, U),
        (408, {"code": 9, "message": "late"}, ErrorCode.TIMEOUT, U),
        (500, {}, ErrorCode.NETWORK, U),
    ],
)
async def test_unknown_codes_stay_on_the_safe_side(status: int, content: Any, code: ErrorCode, kind: Failure) -> None:
    """An unknown refusal is a refusal; an unknown end is unknown."""
    error = await against(reply(status, content), use=lambda kling: failed(kling.submit(order())))
    assert (error.code, error.failure) == (code, kind)


async def test_a_refusal_names_its_request() -> None:
    """Kling's support asks for the request's id: it stands beside the refusal, where logs and alerts show it."""
    refused = reply(400, {"code": 1201, "message": "m" * 900, "request_id": "req-1\n" + "x" * 900})
    error = await against(refused, use=lambda kling: failed(kling.submit(order())))
    assert "request req-1" in error.detail[:300]
    assert "\n" not in error.detail
    assert len(error.detail) < 500


async def test_a_refused_connection_is_temporary() -> None:
    """Before the first byte is sent no task can exist."""
    async with scripted(Reply()) as server:
        gone = server.url
    provider = Kling(api_key=KEY, base_url=gone)
    error = await failed(provider.submit(order()))
    await provider.close()
    assert (error.code, error.failure) == (ErrorCode.NETWORK, T)


@pytest.mark.parametrize("wrong", ["", "a,b", "a b", "ё", "x" * 65, "a\n"])
async def test_an_external_id_is_ours_by_form(kling: Kling, wrong: str) -> None:
    """Ids that could break a list or a limit never leave."""
    with pytest.raises(ValueError):
        await kling.submit(order(external_id=wrong))
    with pytest.raises(ValueError):
        await kling.find([wrong])


# --- looking up ---------------------------------------------------------------------------------------------------


async def test_tasks_are_matched_by_id(kling: Kling) -> None:
    """Each id gets its own task whatever the order of the answer, an unknown one gets none."""
    requests = [order() for _ in range(3)]
    tasks = [await kling.submit(request) for request in requests]
    found = await kling.find([*(request.external_id for request in reversed(requests)), "never-made"])
    assert {external: task.id for external, task in found.items()} == {
        request.external_id: task.id for request, task in zip(requests, tasks, strict=True)
    }
    assert (await kling.poll([tasks[1].id, "123"])).keys() == {tasks[1].id}
    assert await kling.poll([]) == {}


async def test_long_lists_are_asked_in_batches(world: World) -> None:
    """No query has more ids than the batch, and a repeated id is sent once."""
    async with scripted(reply(200, {"code": 0, "data": []})) as server:
        provider = Kling(api_key=KEY, base_url=server.url, batch=20)
        assert await provider.poll([str(number) for number in range(45)] * 2) == {}
        await provider.close()
    assert [len(asked.query["task_ids"].split(",")) for asked in server.asked] == [20, 20, 5]


async def test_a_lagging_index_is_not_there_yet(kling: Kling, world: World) -> None:
    """A task that the index does not show yet is absent, and present later."""
    request = order("a boat #sim:lookup_lag=30")
    await kling.submit(request)
    assert await kling.find([request.external_id]) == {}
    world.clock.advance(31)
    assert request.external_id in await kling.find([request.external_id])


@pytest.mark.parametrize(
    "broken",
    [
        Reply(500, b"{}"),
        Reply(401, b'{"code":1002}'),
        Reply(429, b'{"code":1101}'),
        Reply(502, b"<html>"),
        Reply(200, b""),
        Reply(200, b'{"code":0}'),
        Reply(200, b'{"code":0,"data":null}'),
        Reply(200, b'{"code":0,"data":{}}'),
        Reply(200, b'{"code":5000,"data":[]}'),
        Reply(200, b'{"code":0,"data":[{"status":"failed"}]}'),
        Reply(line="reset"),
    ],
)
async def test_a_failed_query_is_never_not_found(broken: Reply) -> None:
    """A query that fails says nothing about the task: query again."""
    error = await against(broken, use=lambda kling: failed(kling.find(["our-id"])))
    assert error.failure is T


async def test_an_unknown_status_still_runs(kling: Kling, world: World) -> None:
    """An invented word is a task in progress, and links of it are not trusted to be final."""
    task = await kling.submit(order("a boat #sim:unknown_status"))
    world.clock.advance(5)

    async def runs() -> bool:
        return (await kling.poll([task.id]))[task.id].status is TaskStatus.PROCESSING

    assert await until(runs)


async def test_late_moderation_is_the_person_s(kling: Kling, world: World) -> None:
    """A task refused by risk control says so by code; another failure is the provider's."""
    for tag, code in (("late_moderation", ErrorCode.PROMPT_BLOCKED), ("fail=GPU_on_fire", ErrorCode.GENERATION_FAILED)):
        done = await ended(kling, world, await kling.submit(order(f"a boat #sim:{tag}")))
        assert (done.status, done.error_code, done.cost_micro_usd) == (TaskStatus.FAILED, code, 0)
        assert done.message


async def test_of_two_tasks_under_one_id_the_better_one_counts() -> None:
    """Where duplicates slipped through, a finished clip is preferred to a running one, and that to a failed one."""
    tasks = [
        {"id": str(number), "external_id": "e", "status": status}
        for number, status in enumerate(["failed", "processing", "succeeded", "submitted"])
    ]
    for order_of in (tasks, tasks[::-1]):
        listed = reply(200, {"code": 0, "data": order_of})
        found = await against(listed, use=lambda kling: kling.find(["e"]))
        assert found["e"].status is TaskStatus.SUCCEEDED


@pytest.mark.parametrize(
    ("billing", "cost"),
    [
        ([], None),
        ([{"charge_type": "unit", "amount": "1.8", "package_type": "video"}], 252_000),
        ([{"charge_type": "cash", "amount": "0.56", "currency": "USD", "list_price": "0.7"}], 560_000),
        ([{"charge_type": "unit", "amount": "1"}, {"charge_type": "cash", "amount": 0.1, "currency": "USD"}], 240_000),
        ([{"charge_type": "cash", "amount": "4", "currency": "CNY"}], None),
        ([{"charge_type": "unit", "amount": "1", "package_type": "image"}], None),
        ([{"charge_type": "unit", "amount": "-1"}], None),
        ([{"charge_type": "unit", "amount": "Infinity"}], None),
        ([{"charge_type": "unit", "amount": "1e30"}], None),
        ([{"charge_type": "unit", "amount": True}], None),
        (["nonsense"], None),
    ],
)
def test_cost_is_told_in_dollars_or_not_at_all(billing: Any, cost: int | None) -> None:
    """Units and dollars are counted exactly; another currency or nonsense is no number."""
    task = parse_callback(json.dumps({"id": "1", "status": "succeeded", "billing": billing}).encode())
    assert task.cost_micro_usd == cost


@pytest.mark.parametrize(
    ("output", "url", "duration"),
    [
        ({"type": "video", "url": "https://x/y.mp4", "duration": "5.041"}, "https://x/y.mp4", 5.041),
        ({"url": "https://x/y.mp4", "duration": 5}, "https://x/y.mp4", 5.0),
        ({"type": "image", "url": "https://x/y.png"}, None, None),
        ({"type": "video", "url": "file:///etc/passwd"}, None, None),
        ({"type": "video", "url": "https://[::1"}, None, None),
        ({"type": "video", "url": 5}, None, None),
        ({"type": "video", "url": "https://x/y.mp4", "duration": "NaN"}, "https://x/y.mp4", None),
        ({"type": "video", "url": "https://x/y.mp4", "duration": "long"}, "https://x/y.mp4", None),
    ],
)
def test_only_a_web_address_is_a_clip(output: Any, url: str | None, duration: float | None) -> None:
    """The first output with a web address is the clip, its length is a finite number or not told."""
    body = {"id": "1", "status": "succeed", "outputs": [None, {"type": "audio"}, output]}
    task = parse_callback(json.dumps(body).encode())
    assert (task.status, task.url, task.duration) == (TaskStatus.SUCCEEDED, url, duration)


# --- downloads ----------------------------------------------------------------------------------------------------


async def test_an_expired_link_asks_for_a_fresh_one(kling: Kling, world: World) -> None:
    """403 and 404 of a result mean "query again", and the next query brings a link that works."""
    done = await ended(kling, world, await kling.submit(order("a boat #sim:expired_url=1", duration=3)))
    error = await failed(kling.download(done.url or ""))
    assert (error.code, error.failure, error.max_repeats) == (ErrorCode.RESULT_GONE, T, 0)
    fresh = (await kling.poll([done.id]))[done.id].url
    assert (await kling.download(fresh or ""))[4:8] == b"ftyp"


@pytest.mark.parametrize("tag", ["cut_clip", "clip_html", "clip_404"])
async def test_what_is_no_whole_clip_is_not_taken(kling: Kling, world: World, tag: str) -> None:
    """A page, a cut download or nothing at all is a temporary failure, never a clip."""
    done = await ended(kling, world, await kling.submit(order(f"a boat #sim:{tag}", duration=3)))
    assert (await failed(kling.download(done.url or ""))).failure is T


async def test_the_key_never_goes_to_the_file_host() -> None:
    """Downloads carry no authorisation, also through redirects, which are followed a bounded number of times."""
    clip = Reply(200, b"\0\0\0\x18ftypisom")
    async with scripted(Reply(302, headers={"Location": "/b"}), clip) as server:
        provider = Kling(api_key=KEY, base_url=server.url)
        assert await provider.download(f"{server.url}/a") == clip.body
        await provider.close()
    assert [asked.path for asked in server.asked] == ["/a", "/b"]
    assert all("Authorization" not in asked.headers for asked in server.asked)
    loop = Reply(302, headers={"Location": "/again"})
    async with scripted(loop) as server:
        provider = Kling(api_key=KEY, base_url=server.url)
        assert (await failed(provider.download(f"{server.url}/a"))).code is ErrorCode.BAD_RESULT
        await provider.close()
        assert len(server.asked) == 4


async def test_a_download_is_bounded() -> None:
    """A video longer than the limit is cut off while it is read; the limit is ours, so an admin has to hear of it."""
    huge = Reply(200, b"\0\0\0\x18ftyp" + b"x" * 10_000)
    async with scripted(huge) as server:
        provider = Kling(api_key=KEY, base_url=server.url, max_video_bytes=5_000)
        error = await failed(provider.download(server.url))
        assert (error.code, error.blame) == (ErrorCode.TOO_LARGE, Blame.ADMIN)
        await provider.close()


@pytest.mark.parametrize(
    "url",
    [
        "",
        "file:///etc/passwd",
        "ftp://x/y",
        "http://127.0.0.1/a.mp4",
        "//x",
        "https://",
        "https://[::1",
        "https://\ud800/",
    ],
)
async def test_only_https_is_downloaded(url: str) -> None:
    """Against the real API nothing but an https address is followed."""
    provider = Kling(api_key=KEY)
    error = await failed(provider.download(url))
    await provider.close()
    assert error.failure is T


async def test_wire_faults_while_looking_are_temporary(kling: Kling, world: World) -> None:
    """After a query whose connection was cut, the query is repeated."""
    task = await kling.submit(order())
    for drop in ("before", "after"):
        world.faults.plan(Fault(face="kling", match="tasks", drop=drop))
        assert (await failed(kling.poll([task.id]))).failure is T
    assert task.id in await kling.poll([task.id])


# --- callbacks ----------------------------------------------------------------------------------------------------

SECRET = "whsec_dGVzdHNlY3JldHRlc3RzZWNyZXR0ZXN0c2VjcmV0MTI="
BODY = b'{"id":"1234567890","status":"succeeded","message":"","create_time":1781080778802,"update_time":1781080794151}'
SIGNED = {
    "Webhook-Id": "9876543210",
    "webhook-timestamp": "1781080794",
    "WEBHOOK-SIGNATURE": "v1,UsKlJP00XoQyOn410NM9xv34sP+Gl0jnOO9Lcpr7NJ4=",
}


def test_the_official_vector_is_signed() -> None:
    """Kling's own test vector passes, with header names in any case, up to five minutes either way."""
    for drift in (-300, 0, 300):
        assert verify_webhook_signature(SECRET, SIGNED, BODY, now=1781080794 + drift)


@pytest.mark.parametrize(
    "change",
    [
        {"Webhook-Id": "9876543211"},
        {"Webhook-Id": ""},
        {"Webhook-Id": "é"},
        {"webhook-timestamp": "1781080795"},
        {"webhook-timestamp": "١٧٨١٠٨٠٧٩٤"},
        {"webhook-timestamp": "1e9"},
        {"webhook-timestamp": "-1781080794"},
        {"webhook-timestamp": ""},
        {"WEBHOOK-SIGNATURE": ""},
        {"WEBHOOK-SIGNATURE": "v1,"},
        {"WEBHOOK-SIGNATURE": "é"},
        {"WEBHOOK-SIGNATURE": SIGNED["WEBHOOK-SIGNATURE"].replace("v1,", "v2,")},
        {"WEBHOOK-SIGNATURE": "v1,AAAA " * 8 + SIGNED["WEBHOOK-SIGNATURE"]},
    ],
)
def test_any_other_signature_is_refused(change: dict[str, str]) -> None:
    """One changed character anywhere, a missing header, too many signatures: not signed."""
    assert not verify_webhook_signature(SECRET, SIGNED | change, BODY, now=1781080794)


def test_stale_and_foreign_callbacks_are_refused() -> None:
    """Older or newer than five minutes, another body, another secret, no headers at all: not signed."""
    assert not verify_webhook_signature(SECRET, SIGNED, BODY, now=1781080794 + 301)
    assert not verify_webhook_signature(SECRET, SIGNED, BODY, now=1781080794 - 301)
    assert not verify_webhook_signature(SECRET, SIGNED, BODY + b" ", now=1781080794)
    assert not verify_webhook_signature("whsec_AAAA", SIGNED, BODY, now=1781080794)
    assert not verify_webhook_signature(SECRET, {}, BODY, now=1781080794)


def test_two_signatures_pass_while_a_secret_is_replaced() -> None:
    """During a rotation either of two signatures is enough."""
    both = SIGNED | {"WEBHOOK-SIGNATURE": "v1,b2xk " + SIGNED["WEBHOOK-SIGNATURE"]}
    assert verify_webhook_signature(SECRET, both, BODY, now=1781080794)


def test_a_malformed_secret_is_the_operator_s() -> None:
    """A secret that is none is said, and never counts as no secret."""
    for wrong in ("", "whsec_", "whsec_%%%", "ключ"):
        with pytest.raises(ValueError):
            webhook_key(wrong)


async def test_the_simulator_s_callbacks_are_understood(world: World, kling: Kling) -> None:
    """Real deliveries, signed during a rotation, verify and name their task."""
    async with scripted(Reply(200)) as server:
        world.faces["kling"].change({"secrets": ["whsec_b2xkIHNlY3JldA==", SECRET]})
        request = order(callback_url=f"{server.url}/hook")
        task = await kling.submit(request)
        await ended(kling, world, task)

        async def all_told() -> list[Asked]:
            return server.asked if len(server.asked) >= 3 else []

        deliveries = await until(all_told)
    for asked in deliveries:
        assert verify_webhook_signature(SECRET, asked.headers, asked.body, now=time.time())
        assert parse_callback(asked.body).external_id == request.external_id
    assert parse_callback(deliveries[-1].body).status is TaskStatus.SUCCEEDED


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{}", b'{"id": 5}', b'{"id": "a b"}', b"[" * 10_000, b'{"id": "' + b"x" * 999 + b'"}']
)
def test_a_callback_that_names_no_task_is_refused(body: bytes) -> None:
    """A body of another form is a `ValueError`, so the sender gets a 400."""
    with pytest.raises(ValueError):
        parse_callback(body)
