"""The simulated Kling: orders, states, slots and units, signed callbacks, clips that play, every lost answer."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import random
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

import av
import httpx2
import pytest
from aiohttp import web
from PIL import Image

from sandbox import control, kling
from sandbox.kling import callbacks, scenarios
from sandbox.kling.errors import HTTP
from sandbox.kling.models import MODELS
from sandbox.world import World

KEY = "sandbox-kling-key"
SECRET = "whsec_dGVzdHNlY3JldHRlc3RzZWNyZXR0ZXN0c2VjcmV0MTI="
NEXT_SECRET = "whsec_" + base64.b64encode(b"the secret that comes after it..").decode()


@dataclass
class Bench:
    """The face on a port of its own, with a client that is allowed in and a receiver of callbacks."""

    world: World
    url: str
    http: httpx2.AsyncClient
    hook: str = ""
    received: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    hook_status: int = 200

    async def create(self, prompt: str = "лодка", model: str = "kling-3.0-turbo", **options: Any) -> httpx2.Response:
        body = {"prompt": prompt, "settings": {"duration": 5, "multi_shot": False}, "options": options}
        return await self.http.post(f"/kling/text-to-video/{model}", json=body)

    async def task(self, task_id: str) -> dict[str, Any]:
        found: dict[str, Any] = (await self.http.get("/kling/tasks", params={"task_ids": task_id})).json()["data"][0]
        return found

    async def ended(self, task_id: str) -> dict[str, Any]:
        """The task once it has come to its end."""

        async def final() -> dict[str, Any] | None:
            found = await self.task(task_id)
            return found if found["status"] in ("succeeded", "failed") else None

        result: dict[str, Any] = await until(final)
        return result

    async def by_external(self, external_id: str) -> list[dict[str, Any]]:
        answer = await self.http.get("/kling/tasks", params={"external_task_ids": external_id})
        assert answer.status_code == 200, answer.text
        found: list[dict[str, Any]] = answer.json()["data"]
        return found

    async def ledger(self) -> dict[str, Any]:
        found: dict[str, Any] = (await self.http.get("/_control/kling/ledger")).json()
        return found

    async def settings(self, **wanted: Any) -> None:
        answer = await self.http.post("/_control/kling/settings", json=wanted)
        assert answer.status_code == 200, answer.text

    def told(self) -> list[str]:
        return [json.loads(body)["status"] for _, body in self.received]


async def until(holds: Callable[[], Any], seconds: float = 8.0) -> Any:
    """Wait until `holds()` gives something true."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = holds()
        found = await found if asyncio.iscoroutine(found) else found
        if found:
            return found
        await asyncio.sleep(0.01)
    raise AssertionError("the condition did not come true in time")


def picture(size: tuple[int, int] = (480, 360), kind: str = "JPEG", colour: str = "orange") -> bytes:
    target = io.BytesIO()
    Image.new("RGB", size, colour).save(target, kind)
    return target.getvalue()


def frame(data: bytes | None = None, kind: str = "first_frame") -> dict[str, str]:
    return {"type": kind, "url": base64.b64encode(picture() if data is None else data).decode()}


def words(text: str = "she smiles") -> dict[str, str]:
    return {"type": "prompt", "text": text}


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    world = World(speed=1_000, seed=3)
    app = web.Application(client_max_size=128 << 20, middlewares=[control.fault_middleware(world)])
    control.mount(app, world)
    kling.mount(app, world)
    client = httpx2.AsyncClient(headers={"Authorization": f"Bearer {KEY}"}, timeout=20)
    place = Bench(world, "", client)

    async def hook(request: web.Request) -> web.Response:
        place.received.append(({name.lower(): value for name, value in request.headers.items()}, await request.read()))
        return web.Response(status=place.hook_status)

    async def still(request: web.Request) -> web.Response:
        return web.Response(body=picture((400, 600)), content_type="image/jpeg")

    app.router.add_post("/hook", hook)
    app.router.add_get("/still.jpg", still)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    place.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    place.hook = place.url + "/hook"
    client.base_url = httpx2.URL(place.url)
    async with client:
        yield place
    await world.close()
    await runner.cleanup()


# --- one clip from end to end -------------------------------------------------------------------------


def probe(clip: bytes) -> dict[str, Any]:
    """What a player finds in the file; every frame is decoded."""
    with av.open(io.BytesIO(clip), mode="r") as container:
        video = container.streams.video[0]
        decoded = container.decode(video=0)
        frames = [shot.to_image() for shot in decoded]  # type: ignore[no-untyped-call]  # PyAV leaves it untyped
        return {
            "codec": video.codec_context.name,
            "format": video.codec_context.pix_fmt,
            "size": frames[0].size,
            "seconds": (container.duration or 0) / 1_000_000,
            "fps": float(video.average_rate or 0),
            "frames": frames,
            "sound": len(container.streams.audio),
            "fast": clip.find(b"moov") < clip.find(b"mdat"),
        }


async def test_a_clip_is_ordered_made_found_and_played(bench: Bench) -> None:
    """Create, wait, fetch: a real H.264 mp4 of the asked ratio that starts fast, moves, and lasts 5.041 seconds."""
    body = {
        "prompt": "Парусник в море",
        "settings": {"aspect_ratio": "9:16", "duration": 5, "resolution": "720p"},
        "options": {"external_task_id": "ord-1"},
    }
    made = (await bench.http.post("/kling/text-to-video/kling-3.0-turbo", json=body)).json()
    assert (made["code"], made["message"], made["data"]["status"]) == (0, "SUCCEED", "submitted")
    assert made["data"]["id"].isdecimal()
    assert len(made["data"]["id"]) == 18
    assert made["data"]["external_id"] == "ord-1"
    assert made["data"]["create_time"] == made["data"]["update_time"]
    task = await bench.ended(made["data"]["id"])
    assert task["status"] == "succeeded"
    assert task["billing"] == [{"charge_type": "unit", "amount": "4", "package_type": "video"}]
    output = task["outputs"][0]
    assert (output["type"], output["duration"]) == ("video", "5.041")
    assert "watermark_url" not in output
    async with httpx2.AsyncClient() as anybody:
        clip = await anybody.get(output["url"], timeout=20)
    assert clip.headers["content-type"] == "video/mp4"
    seen = probe(clip.content)
    assert (seen["codec"], seen["format"], seen["size"], seen["fps"]) == ("h264", "yuv420p", (360, 640), 24)
    assert seen["fast"]
    assert not seen["sound"]
    assert seen["seconds"] == pytest.approx(5.041, abs=0.002)
    assert len(seen["frames"]) == 121
    assert seen["frames"][0].tobytes() != seen["frames"][60].tobytes()


async def test_a_photo_comes_to_life(bench: Bench) -> None:
    """Image to video follows the ratio of the first frame and shows that very picture, from Base64 or from a URL."""
    for first in (frame(picture((400, 600))), {"type": "first_frame", "url": f"{bench.url}/still.jpg"}):
        body = {"contents": [words(), first], "settings": {"duration": 3, "audio": "native", "multi_shot": False}}
        made = await bench.http.post("/kling/image-to-video/kling-3.0", json=body)
        task = await bench.ended(made.json()["data"]["id"])
        seen = probe((await bench.http.get(task["outputs"][0]["url"])).content)
        width, height = seen["size"]
        assert width / height == pytest.approx(400 / 600, abs=0.01)
        assert seen["seconds"] == pytest.approx(3.041, abs=0.03)
        assert seen["sound"] == 1
        red, green, blue = seen["frames"][0].getpixel((width // 2, height // 4))
        assert red > 200
        assert 120 < green < 210
        assert blue < 90


async def test_the_last_frame_is_reached(bench: Bench) -> None:
    """With a last frame the clip ends on it."""
    contents = [words(), frame(picture(colour="orange")), frame(picture(colour="navy"), "last_frame")]
    made = await bench.http.post(
        "/kling/image-to-video/kling-3.0", json={"contents": contents, "settings": {"duration": 3, "multi_shot": False}}
    )
    task = await bench.ended(made.json()["data"]["id"])
    seen = probe((await bench.http.get(task["outputs"][0]["url"])).content)
    first, last = (seen["frames"][at].getpixel((200, 60)) for at in (0, -1))
    assert first[0] > 200
    assert last[2] > 80
    assert last[0] < 60


async def test_a_watermarked_copy_only_when_asked(bench: Bench) -> None:
    """`watermark_info.enabled` adds a second address, and the copy behind it is another file."""
    made = (await bench.create("кот", watermark_info={"enabled": True})).json()["data"]["id"]
    output = (await bench.ended(made))["outputs"][0]
    clean, marked = [(await bench.http.get(output[name])).content for name in ("url", "watermark_url")]
    assert clean != marked
    assert probe(marked)["codec"] == "h264"


async def test_making_a_clip_does_not_hold_up_the_loop(bench: Bench) -> None:
    """While a clip is encoded, the loop goes on serving others."""
    url = (await bench.ended((await bench.create()).json()["data"]["id"]))["outputs"][0]["url"]
    download = asyncio.create_task(bench.http.get(url))
    worst, last = 0.0, time.monotonic()
    while not download.done():
        await asyncio.sleep(0.002)
        worst, last = max(worst, time.monotonic() - last), time.monotonic()
    assert (await download).status_code == 200
    assert worst < 0.25


async def test_an_address_expires_and_a_new_look_gives_a_new_one(bench: Bench) -> None:
    """Result addresses are signed and age; asking for the task again gives a fresh one, until the clip is deleted."""
    made = (await bench.create()).json()["data"]["id"]
    url = (await bench.ended(made))["outputs"][0]["url"]
    assert (await bench.http.get(url.replace("sig=", "sig=0"))).status_code == 403
    bench.world.clock.advance(86_401)
    assert (await bench.http.get(url)).status_code == 403
    fresh = (await bench.task(made))["outputs"][0]["url"]
    assert (await bench.http.get(fresh)).status_code == 200
    bench.world.clock.advance(31 * 86_400)
    gone = (await bench.task(made))["outputs"][0]["url"]
    assert (await bench.http.get(gone)).status_code == 404


async def test_states_follow_the_worlds_clock(bench: Bench) -> None:
    """submitted, processing, succeeded: in order, by the clock, never back."""
    bench.world.clock.set_speed(0.001)
    made = (await bench.create("x #sim:slow=100")).json()["data"]["id"]
    assert (await bench.task(made))["status"] == "submitted"
    bench.world.clock.advance(5)
    await until(lambda: _has(bench, made, "processing"))
    bench.world.clock.advance(90)
    assert (await bench.task(made))["status"] == "processing"
    bench.world.clock.advance(10)
    assert (await bench.ended(made))["status"] == "succeeded"


async def _has(bench: Bench, task_id: str, status: str) -> bool:
    return bool((await bench.task(task_id))["status"] == status)


# --- orders that are refused --------------------------------------------------------------------------

T2V, I2V = "text-to-video", "image-to-video"


def t2v(**settings: Any) -> dict[str, Any]:
    return {"prompt": "x", "settings": settings}


def i2v(*contents: dict[str, str], **settings: Any) -> dict[str, Any]:
    return {"contents": list(contents), "settings": settings}


@pytest.mark.parametrize(
    ("kind", "model", "body", "message"),
    [
        (T2V, "kling-3.0", {}, "prompt cannot be empty"),
        (T2V, "kling-3.0", {"prompt": "   "}, "prompt cannot be empty"),
        (T2V, "kling-3.0", {"prompt": 5}, "prompt cannot be empty"),
        (T2V, "kling-3.0", {"prompt": "x" * 3_073}, "less than or equal to 3072"),
        (T2V, "kling-2.6", {"prompt": "x" * 2_501}, "less than or equal to 2500"),
        (T2V, "kling-3.0", {"prompt": "x", "settings": []}, "settings value is invalid"),
        (T2V, "kling-3.0", t2v(duration="5"), "settings.duration value is invalid"),
        (T2V, "kling-3.0", t2v(duration=True), "settings.duration value is invalid"),
        (T2V, "kling-3.0", t2v(duration=5.0), "settings.duration value is invalid"),
        (T2V, "kling-3.0", t2v(duration=2), "settings.duration value is invalid"),
        (T2V, "kling-3.0-turbo", t2v(duration=16), "settings.duration value is invalid"),
        (T2V, "kling-2.6", t2v(duration=7), "settings.duration value is invalid"),
        (T2V, "kling-2.5-turbo", t2v(resolution="4k"), "settings.resolution value is invalid"),
        (T2V, "kling-3.0", t2v(aspect_ratio="4:3"), "settings.aspect_ratio value is invalid"),
        (T2V, "kling-3.0", t2v(audio=True), "settings.audio value is invalid"),
        (T2V, "kling-3.0", t2v(audio="original"), "settings.audio value is invalid"),
        (T2V, "kling-2.6", t2v(audio="native"), "only supported at 1080p"),
        (T2V, "kling-3.0", t2v(multi_shot="no"), "settings.multi_shot value is invalid"),
        (T2V, "kling-3.0", {"prompt": "shot 1, 2, a; shot 2, 2, b;"}, "must sum to settings.duration"),
        (T2V, "kling-3.0", {"prompt": "x", "options": {"external_task_id": 7}}, "options.external_task_id"),
        (T2V, "kling-3.0", {"prompt": "x", "options": {"callback_url": "ftp://x"}}, "options.callback_url"),
        (
            T2V,
            "kling-3.0",
            {"prompt": "x", "options": {"watermark_info": {"enabled": "yes"}}},
            "options.watermark_info",
        ),
        (I2V, "kling-3.0", {"prompt": "x"}, "contents cannot be empty"),
        (I2V, "kling-3.0", {"contents": []}, "contents cannot be empty"),
        (I2V, "kling-3.0", i2v(words()), "content item of type 'first_frame' is required"),
        (I2V, "kling-3.0", i2v(frame(kind="last_frame"), words()), "content item of type 'first_frame' is required"),
        (I2V, "kling-3.0", i2v(frame(), frame(), words()), "only one content item of type 'first_frame'"),
        (I2V, "kling-3.0", i2v(frame(), words(), {"type": "song"}), "type 'song' is invalid"),
        (I2V, "kling-3.0", i2v(frame()), "prompt cannot be empty"),
        (I2V, "kling-3.0-turbo", i2v(frame(), frame(kind="last_frame")), "not supported by kling-3.0-turbo"),
        (I2V, "kling-2.5-turbo", i2v(frame(), frame(kind="last_frame"), words()), "only supported at 1080p"),
        (
            I2V,
            "kling-2.6",
            i2v(frame(), frame(kind="last_frame"), words(), resolution="1080p", audio="native"),
            "native audio",
        ),
        (I2V, "kling-2.6", i2v(frame(), words(), {"type": "element", "id": "a"}), "must not exceed 0"),
        (I2V, "kling-3.0", i2v({"type": "first_frame", "url": "data:image/jpeg;base64,AAAA"}, words()), "data:"),
        (I2V, "kling-3.0", i2v({"type": "first_frame", "url": "*not base64*"}, words()), "valid base64"),
        (I2V, "kling-3.0", i2v({"type": "first_frame", "url": "http://127.0.0.1:9/x.jpg"}, words()), "download"),
        (I2V, "kling-3.0", i2v(frame(b"no picture"), words()), "format is not supported"),
        (I2V, "kling-3.0", i2v(frame(picture(kind="WEBP")), words()), "format is not supported"),
        (I2V, "kling-3.0", i2v(frame(picture((299, 400))), words()), "at least 300px"),
        (I2V, "kling-3.0", i2v(frame(picture((300, 751))), words()), "aspect ratio"),
    ],
)
async def test_a_wrong_order_is_refused_and_free(
    bench: Bench, kind: str, model: str, body: dict[str, Any], message: str
) -> None:
    """Each rule of the model table is enforced with 400/1201, a message naming the field, and no task."""
    answer = await bench.http.post(f"/kling/{kind}/{model}", json=body)
    assert (answer.status_code, answer.json()["code"]) == (400, 1201), answer.text
    assert message in answer.json()["message"]
    assert answer.json()["request_id"]
    assert (await bench.ledger())["created"] == 0


@pytest.mark.parametrize(
    ("kind", "model", "body"),
    [
        (T2V, "kling-3.0", t2v(duration=15, resolution="4k", audio="native", multi_shot=False)),
        (T2V, "kling-3.0", {"prompt": "shot 1, 2, a boat; shot 2, 3, a storm;", "settings": {"duration": 5}}),
        (T2V, "kling-2.6", t2v(resolution="1080p", audio="native", duration=10)),
        (I2V, "kling-3.0-turbo", i2v(frame())),
        (I2V, "kling-2.6", i2v(frame(), frame(kind="last_frame"), words(), resolution="1080p")),
        (I2V, "kling-3.0", i2v(frame(picture((300, 750), "PNG")), words(), aspect_ratio="7:7")),
        (I2V, "kling-3.0", i2v(frame(), words(), *[{"type": "element", "element_id": "1"}] * 3)),
    ],
)
async def test_what_the_service_takes_is_taken(bench: Bench, kind: str, model: str, body: dict[str, Any]) -> None:
    """The edges of the model table are inside."""
    answer = await bench.http.post(f"/kling/{kind}/{model}", json=body)
    assert answer.status_code == 200, answer.text


async def test_flat_keys_are_passed_over_in_silence(bench: Bench) -> None:
    """A flat body gets a default five-second clip without an external id (docs/reference/kling.md, section 2.5)."""
    flat = {"prompt": "x", "duration": 10, "resolution": "1080p", "external_task_id": "lost", "mode": "pro"}
    made = (await bench.http.post("/kling/text-to-video/kling-3.0-turbo", json=flat)).json()["data"]
    assert "external_id" not in made
    assert await bench.by_external("lost") == []
    assert (await bench.ended(made["id"]))["outputs"][0]["duration"] == "5.041"


async def test_the_key_is_asked_for_before_anything_else(bench: Bench) -> None:
    """No header is 401/1001, a wrong key 401/1002, whatever the body holds."""
    async with httpx2.AsyncClient(base_url=bench.url) as bare:
        empty = await bare.post("/kling/text-to-video/kling-3.0", content=b"{")
        assert (empty.status_code, empty.json()["code"], empty.json()["message"]) == (
            401,
            1001,
            "Authorization is empty",
        )
        for given in ("Bearer nope", f"Bearer  {KEY}", KEY):
            wrong = await bare.get("/kling/tasks", headers={"Authorization": given})
            assert (wrong.status_code, wrong.json()["code"], wrong.json()["message"]) == (
                401,
                1002,
                "api key not found",
            )


@pytest.mark.parametrize(
    ("method", "path", "code"),
    [
        ("POST", "/kling/text-to-video/kling-9", 1203),
        ("POST", "/kling/omni-video/kling-3.0-omni", 1203),
        ("POST", "/kling/motion-control/kling-3.0", 1203),
        ("POST", "/kling/v1/videos/text2video", 1203),
        ("GET", "/kling/text-to-video/kling-3.0", 1202),
        ("DELETE", "/kling/tasks", 1202),
        ("POST", "/kling/account/costs", 1202),
    ],
)
async def test_other_paths_and_verbs(bench: Bench, method: str, path: str, code: int) -> None:
    """What does not exist is 404/1203; what exists under another verb is 404/1202."""
    answer = await bench.http.request(method, path, json={})
    assert (answer.status_code, answer.json()["code"]) == (404, code)


@pytest.mark.parametrize("raw", [b"", b"{", b"\xff\x00", b"[]", b"null", b"[" * 100_000])
async def test_any_bytes_get_the_services_own_error(bench: Bench, raw: bytes) -> None:
    """Malformed bodies are 400/1200 on every POST and never break the server."""
    for path in ("/kling/text-to-video/kling-3.0", "/kling/tasks"):
        answer = await bench.http.post(path, content=raw)
        assert (answer.status_code, answer.json()["code"]) == (400, 1200)


ODD: tuple[object, ...] = (
    None,
    True,
    -1,
    2**70,
    1e308,
    "",
    "\ud800",
    "x" * 5_000,
    [],
    [None],
    {},
    [[{}]],
    "data:,",
    "9" * 5_000,
    "http://x y",
)


def mutated(value: Any, chance: random.Random) -> Any:
    """`value` with one node, chosen by lot, replaced by something odd."""
    if not isinstance(value, (dict, list)) or not value or chance.random() < 0.15:
        return chance.choice(ODD)
    if isinstance(value, list):
        at = chance.randrange(len(value))
        return [mutated(one, chance) if index == at else one for index, one in enumerate(value)]
    name = chance.choice(sorted(value))
    return {**value, name: mutated(value[name], chance)}


async def test_no_form_of_order_breaks_the_server(bench: Bench) -> None:
    """Whatever stands where a value should be, the answer is a task or a refusal in the service's shape."""
    await bench.settings(concurrency=1_000, units=1_000_000)
    chance = random.Random(5)
    options = {"external_task_id": "x", "callback_url": bench.hook, "watermark_info": {"enabled": False}}
    settings = {"resolution": "1080p", "duration": 5, "audio": "off", "multi_shot": True, "aspect_ratio": "1:1"}
    bodies = {
        f"/kling/{T2V}/kling-3.0": {"prompt": "shot 1, 5, x;", "settings": settings, "options": options},
        f"/kling/{I2V}/kling-2.6": {"contents": [words(), frame(), frame(kind="last_frame")], "settings": settings},
        "/kling/tasks": {
            "start_time": "0",
            "end_time": "9",
            "cursor": "",
            "limit": 5,
            "filters": [{"key": "status", "values": ["failed"]}],
        },
    }
    for path, good in bodies.items():
        for _ in range(100):
            body = mutated(good, chance)
            answer = await bench.http.post(path, content=json.dumps(body).encode())
            assert answer.status_code in (200, 400), (body, answer.text[:300])
            assert answer.json()["code"] in (0, 1200, 1201)


# --- once per external id, slots, units ---------------------------------------------------------------


@pytest.mark.parametrize("kind", [T2V, I2V])
async def test_an_external_id_is_used_once(bench: Bench, kind: str) -> None:
    """A repeated external id is refused with 400/1201 on both endpoints, even after the first task failed."""
    body = {**(t2v() if kind == T2V else i2v(frame())), "options": {"external_task_id": "one"}}
    first = (await bench.http.post(f"/kling/{kind}/kling-3.0-turbo", json=body)).json()["data"]["id"]
    await bench.http.post(f"/_control/kling/tasks/{first}/fail", json={"message": "no"})
    again = await bench.http.post(f"/kling/{kind}/kling-3.0-turbo", json=body)
    assert (again.status_code, again.json()["code"]) == (400, 1201)
    assert again.json()["message"] == "external_task_id already exists"
    assert [task["id"] for task in await bench.by_external("one")] == [first]


async def test_two_at_once_with_one_external_id(bench: Bench) -> None:
    """Of two simultaneous orders with the same external id exactly one becomes a task."""
    answers = await asyncio.gather(*(bench.create(external_task_id="race") for _ in range(5)))
    assert sorted(answer.status_code for answer in answers) == [200, 400, 400, 400, 400]


async def test_duplicates_can_be_let_in(bench: Bench) -> None:
    """With the switch both orders become tasks and the look-up finds both: refusal alone must not be relied on."""
    await bench.settings(accept_duplicates=True)
    assert [(await bench.create(external_task_id="two")).status_code for _ in range(2)] == [200, 200]
    assert len(await bench.by_external("two")) == 2


async def test_slots_are_counted_by_model(bench: Bench) -> None:
    """Above the concurrency of a model comes 429/1303 and no task; other models and ended tasks leave room."""
    await bench.settings(concurrency=2)
    first = (await bench.create("a #sim:stuck")).json()["data"]["id"]
    assert (await bench.create("b #sim:stuck")).status_code == 200
    full = await bench.create("c", external_task_id="waits")
    assert (full.status_code, full.json()["code"]) == (429, 1303)
    assert full.json()["message"] == "parallel task over resource pack limit"
    assert await bench.by_external("waits") == []
    assert (await bench.create("d", "kling-3.0")).status_code == 200
    await bench.http.post(f"/_control/kling/tasks/{first}/succeed")
    assert (await bench.create("c", external_task_id="waits")).status_code == 200


async def test_units_are_spent_on_success_only(bench: Bench) -> None:
    """A success is billed by model, resolution and seconds; a failure shows "0"; an empty pack is 429/1102."""
    await bench.settings(units=10)
    body = t2v(resolution="1080p", duration=5)
    first = (await bench.http.post("/kling/text-to-video/kling-3.0-turbo", json=body)).json()["data"]["id"]
    assert (await bench.ended(first))["billing"][0]["amount"] == "5"
    second = (await bench.create("x #sim:late_moderation")).json()["data"]["id"]
    failed = await bench.ended(second)
    assert (failed["status"], failed["message"]) == ("failed", "Failure to pass the risk control system")
    assert failed["billing"][0]["amount"] == "0"
    assert "outputs" not in failed
    third = (
        await bench.http.post("/kling/text-to-video/kling-3.0", json={"prompt": "x", "settings": {"duration": 3}})
    ).json()
    assert (await bench.ended(third["data"]["id"]))["billing"][0]["amount"] == "1.8"
    empty = await bench.create("x")
    assert (empty.status_code, empty.json()["code"]) == (429, 1102)
    seen = await bench.ledger()
    assert (seen["units_spent"], seen["units_held"], seen["created"], seen["succeeded"], seen["failed"]) == (
        "6.8",
        "0",
        3,
        2,
        1,
    )


async def test_failures_can_be_billed(bench: Bench) -> None:
    """No official word says that failed tasks are free: with the switch they cost what a success does."""
    await bench.settings(bill_failures=True)
    failed = await bench.ended((await bench.create("x #sim:fail")).json()["data"]["id"])
    assert (failed["status"], failed["billing"][0]["amount"]) == ("failed", "4")
    assert (await bench.ledger())["units_spent"] == "4"


def test_prices_are_the_listed_ones() -> None:
    """Tenths of a unit per clip, as docs/reference/kling.md, section 11 lists them."""
    assert MODELS["kling-3.0-turbo"].price("720p", 5, "off") == 40
    assert MODELS["kling-2.6"].price("1080p", 10, "native") == 100
    assert MODELS["kling-2.5-turbo"].price("720p", 5, "off") == 15
    assert MODELS["kling-3.0"].price("4k", 15, "native") == 450


# --- queries ------------------------------------------------------------------------------------------


async def test_looking_up_in_batches(bench: Bench) -> None:
    """Ids come in batches and in any order, unknown ones are left out, and exactly one kind of id is allowed."""
    ids = [(await bench.create(external_task_id=f"e{number}")).json()["data"]["id"] for number in range(3)]
    found = (await bench.http.get("/kling/tasks", params={"task_ids": ",".join([*ids, "999"])})).json()
    assert {task["id"] for task in found["data"]} == set(ids)
    assert (await bench.http.get("/kling/tasks", params={"task_ids": "1"})).json()["data"] == []
    assert [task["external_id"] for task in await bench.by_external("e2,nobody")] == ["e2"]
    for params in ({}, {"task_ids": ids[0], "external_task_ids": "e1"}, {"task_ids": ""}):
        wrong = await bench.http.get("/kling/tasks", params=params)
        assert (wrong.status_code, wrong.json()["code"]) == (400, 1201)
    assert (await bench.http.get("/kling/tasks")).json()["message"] == "task_ids or external_task_ids is required"


async def test_the_list_is_walked_by_cursor(bench: Bench) -> None:
    """`POST /tasks` gives every task once, page by page, filtered by status; with no hits `result` is missing."""
    made = {(await bench.create(f"{number} #sim:stuck")).json()["data"]["id"] for number in range(5)}
    seen: list[str] = []
    body: dict[str, Any] = {"limit": 2}
    for _ in range(3):
        page = (await bench.http.post("/kling/tasks", json=body)).json()["data"]
        assert page["count"] == len(page["result"])
        seen += [task["id"] for task in page["result"]]
        body = {"limit": 2, "cursor": page["next_cursor"], "start_time": "0", "end_time": "1"}
    assert not page["has_more"]
    assert page["next_cursor"] == ""
    assert set(seen) == made
    assert len(seen) == 5
    none = {"filters": [{"key": "status", "values": ["succeeded"]}, {"key": "product_type", "values": ["video"]}]}
    assert (await bench.http.post("/kling/tasks", json=none)).json()["data"] == {
        "count": 0,
        "next_cursor": "",
        "has_more": False,
    }
    for wrong in ({"limit": 501}, {"start_time": 5}, {"cursor": "?"}, {"filters": [{"key": "mood", "values": []}]}):
        assert (await bench.http.post("/kling/tasks", json=wrong)).json()["code"] == 1201


async def test_the_account_page_lags_and_wants_patience(bench: Bench) -> None:
    """Costs need both times, at most once a second, and learn of a deduction late; the package list knows at once."""
    made = (await bench.create()).json()["data"]["id"]
    await bench.ended(made)
    bench.world.clock.set_speed(0.001)
    times = {"start_time": "0", "end_time": "9999999999999"}
    assert (await bench.http.get("/kling/account/costs", params={"start_time": "0"})).json()["code"] == 1201
    pack = (await bench.http.get("/kling/account/costs", params=times)).json()["data"]["resource_pack_subscribe_infos"][
        0
    ]
    assert pack["remaining_quantity"] == 5_000
    assert pack["status"] == "online"
    hasty = await bench.http.get("/kling/account/costs", params=times)
    assert (hasty.status_code, hasty.json()["code"]) == (429, 1302)
    bench.world.clock.advance(3_601)
    pack = (await bench.http.get("/kling/account/costs", params=times)).json()["data"]["resource_pack_subscribe_infos"][
        0
    ]
    assert pack["remaining_quantity"] == 4_996
    exact = (await bench.http.post("/kling/account/billing/package", json={})).json()["data"]["result"]
    assert [(one["task_id"], one["deduction_amount"]) for one in exact] == [(made, "4")]
    assert (exact[0]["unit_before_deduction"], exact[0]["unit_after_deduction"]) == ("5000", "4996")
    bench.world.clock.advance(2)
    other = await bench.http.get("/kling/account/costs", params={**times, "resource_pack_name": "another"})
    assert other.json()["data"] == {"code": 0, "msg": "SUCCEED"}


# --- callbacks ----------------------------------------------------------------------------------------


def test_the_official_signature_vector() -> None:
    """The signature of the official example (docs/reference/kling.md, section 6) comes out word for word."""
    body = (
        b'{"id":"1234567890","status":"succeeded","message":"","create_time":1781080778802,"update_time":1781080794151}'
    )
    assert (
        callbacks.signature(SECRET, "9876543210", 1781080794, body) == "v1,UsKlJP00XoQyOn410NM9xv34sP+Gl0jnOO9Lcpr7NJ4="
    )


def genuine(headers: dict[str, str], body: bytes, secret: str) -> bool:
    """The check a receiver makes: right signature, fresh timestamp."""
    if "webhook-signature" not in headers:
        return False
    wanted = callbacks.signature(secret, headers["webhook-id"], headers["webhook-timestamp"], body)
    fresh = abs(time.time() - int(headers["webhook-timestamp"])) <= 300
    return fresh and wanted in headers["webhook-signature"].split(" ")


async def test_every_change_of_state_is_told_and_signed(bench: Bench) -> None:
    """Each state is posted once, in order, signed; the body is the task as the query shows it."""
    await bench.settings(secrets=[SECRET])
    made = (await bench.create(external_task_id="cb", callback_url=bench.hook)).json()["data"]["id"]
    await until(lambda: len(bench.received) == 3)
    assert bench.told() == ["submitted", "processing", "succeeded"]
    assert all(genuine(headers, body, SECRET) for headers, body in bench.received)
    assert len({headers["webhook-id"] for headers, _ in bench.received}) == 3
    last = json.loads(bench.received[-1][1])
    shown = await bench.task(made)
    assert (last["id"], last["external_id"], last["billing"]) == (made, "cb", shown["billing"])
    assert (await bench.http.get(last["outputs"][0]["url"])).status_code == 200


async def test_a_rotation_carries_two_signatures(bench: Bench) -> None:
    """While two secrets are valid the header holds a signature by each."""
    await bench.settings(secrets=[SECRET, NEXT_SECRET])
    await bench.create(callback_url=bench.hook)
    await until(lambda: bench.received)
    headers, body = bench.received[0]
    assert genuine(headers, body, SECRET)
    assert genuine(headers, body, NEXT_SECRET)
    assert len(headers["webhook-signature"].split(" ")) == 2


async def test_without_a_secret_callbacks_are_bare(bench: Bench) -> None:
    """No secret in the console, no headers; the callbacks come all the same."""
    await bench.create(callback_url=bench.hook)
    await until(lambda: len(bench.received) == 3)
    assert not any(name.startswith("webhook-") for headers, _ in bench.received for name in headers)


async def _mode(bench: Bench, mode: str, count: int) -> None:
    await bench.settings(secrets=[SECRET])
    await bench.create(f"x #sim:callbacks={mode}", callback_url=bench.hook)
    await until(lambda: len(bench.received) == count)


async def test_callbacks_out_of_order(bench: Bench) -> None:
    """The end may be told before the middle."""
    await _mode(bench, "out_of_order", 3)
    assert bench.told() == ["submitted", "succeeded", "processing"]


async def test_callbacks_sent_twice(bench: Bench) -> None:
    """A repeat has the id of the first delivery, which is what a receiver dedupes by."""
    await _mode(bench, "duplicate", 6)
    assert bench.told() == ["submitted"] * 2 + ["processing"] * 2 + ["succeeded"] * 2
    assert len({headers["webhook-id"] for headers, _ in bench.received}) == 3


async def test_callbacks_forged(bench: Bench) -> None:
    """A stranger's success comes before the real news and is signed by no secret of ours."""
    await _mode(bench, "forged", 6)
    assert bench.told()[0] == "succeeded"
    assert [genuine(headers, body, SECRET) for headers, body in bench.received] == [False, True] * 3


async def test_callbacks_unsigned_and_stale(bench: Bench) -> None:
    """Unsigned ones lack the headers although a secret is set; stale ones carry a timestamp out of the window."""
    await _mode(bench, "unsigned", 3)
    assert not any("webhook-id" in headers for headers, _ in bench.received)
    bench.received.clear()
    await _mode(bench, "stale", 3)
    assert not any(genuine(headers, body, SECRET) for headers, body in bench.received)
    assert all("webhook-signature" in headers for headers, _ in bench.received)


async def test_callbacks_missing_and_repeated_after_a_refusal(bench: Bench) -> None:
    """Missing ones are noted as not sent; where retries are set, a refused delivery is sent again."""
    made = (await bench.create("x #sim:callbacks=missing", callback_url=bench.hook)).json()["data"]["id"]
    await bench.ended(made)
    log = await until(lambda: _log(bench, 3))
    assert [one["error"] for one in log] == ["not sent"] * 3
    assert not bench.received
    await bench.settings(callback_retries=1)
    bench.hook_status = 500
    other = (await bench.create(callback_url=bench.hook)).json()["data"]["id"]
    await bench.ended(other)
    await until(lambda: len(bench.received) == 6)
    assert [one["http"] for one in (await until(lambda: _log(bench, 9)))[3:]] == [500] * 6


async def _log(bench: Bench, count: int) -> list[dict[str, Any]] | None:
    log: list[dict[str, Any]] = (await bench.http.get("/_control/kling/callbacks")).json()
    return log if len(log) >= count else None


async def test_a_callback_on_demand(bench: Bench) -> None:
    """The control route sends one more callback of a task, in any mode."""
    made = (await bench.create("x #sim:stuck", callback_url=bench.hook)).json()["data"]["id"]
    await until(lambda: len(bench.received) == 2)
    await bench.http.post(f"/_control/kling/tasks/{made}/callback", json={"mode": "duplicate"})
    await until(lambda: len(bench.received) == 4)
    assert (await bench.http.post(f"/_control/kling/tasks/{made}/callback", json={"mode": "odd"})).status_code == 400


# --- lost answers and late troubles -------------------------------------------------------------------


@pytest.mark.parametrize("code", sorted(HTTP))
async def test_every_service_code_on_demand(bench: Bench, code: int) -> None:
    """A tag gives any service code with its HTTP status, and nothing is created."""
    answer = await bench.create(f"x #sim:{code}", external_task_id="never")
    assert (answer.status_code, answer.json()["code"]) == (HTTP[code], code)
    assert await bench.by_external("never") == []


@pytest.mark.parametrize("tag", ["drop_before", "hang_before", "html_502"])
async def test_an_order_lost_before_it_counted(bench: Bench, tag: str) -> None:
    """The line or a proxy fails first: the look-up stays empty."""
    await _lost(bench, tag)
    assert await bench.by_external("lost") == []


@pytest.mark.parametrize("tag", sorted(scenarios.AFTER))
async def test_an_answer_lost_after_the_order_counted(bench: Bench, tag: str) -> None:
    """The caller hears nothing of the task, and the external id finds it, once (docs/reference/kling.md, section 7)."""
    await _lost(bench, tag)
    assert len(await bench.by_external("lost")) == 1
    assert (await bench.create("again", external_task_id="lost")).json()["code"] == 1201


async def _lost(bench: Bench, tag: str) -> None:
    body = {"prompt": f"x #sim:{tag}", "options": {"external_task_id": "lost"}}
    try:
        answer = await bench.http.post("/kling/text-to-video/kling-3.0-turbo", json=body, timeout=0.5)
    except httpx2.TransportError:
        return
    try:
        assert answer.status_code >= 500 or not answer.json().get("data")
    except ValueError:
        assert answer.status_code in (200, 502)


async def test_the_look_up_may_lag(bench: Bench) -> None:
    """A fresh task is not found by its external id for a while; its own id is good at once."""
    bench.world.clock.set_speed(0.001)
    made = (await bench.create("x #sim:lookup_lag=8", external_task_id="late")).json()["data"]["id"]
    assert await bench.by_external("late") == []
    assert (await bench.task(made))["external_id"] == "late"
    bench.world.clock.advance(8.1)
    assert len(await bench.by_external("late")) == 1


async def test_queries_may_fail_for_a_while(bench: Bench) -> None:
    """`get_500` fails the first looks at a task; the task itself goes on."""
    made = (await bench.create("x #sim:get_500=2")).json()["data"]["id"]
    codes = [(await bench.http.get("/kling/tasks", params={"task_ids": made})).json()["code"] for _ in range(3)]
    assert codes == [5000, 5000, 0]


async def test_the_first_address_may_be_stale(bench: Bench) -> None:
    """`expired_url` gives an address that is too old already; the next look gives a good one."""
    made = (await bench.create("x #sim:expired_url", callback_url=bench.hook)).json()["data"]["id"]
    stale = (await bench.ended(made))["outputs"][0]["url"]
    assert (await bench.http.get(stale)).status_code == 403
    assert (await bench.http.get((await bench.task(made))["outputs"][0]["url"])).status_code == 200


@pytest.mark.parametrize(("tag", "status"), [("broken_clip", 200), ("clip_404", 404), ("clip_html", 200)])
async def test_a_clip_that_is_none(bench: Bench, tag: str, status: int) -> None:
    """A download may bring a broken file, a page or nothing: the bytes are no clip."""
    made = (await bench.create(f"x #sim:{tag}")).json()["data"]["id"]
    answer = await bench.http.get((await bench.ended(made))["outputs"][0]["url"])
    assert answer.status_code == status
    with pytest.raises((av.error.FFmpegError, IndexError)):
        probe(answer.content)


async def test_a_download_that_breaks_off(bench: Bench) -> None:
    """The line may die in the middle of the file."""
    made = (await bench.create("x #sim:cut_clip")).json()["data"]["id"]
    url = (await bench.ended(made))["outputs"][0]["url"]
    with pytest.raises(httpx2.TransportError):
        await bench.http.get(url)


async def test_odd_states(bench: Bench) -> None:
    """An unknown status, a reason of the caller's choice, a success without outputs, a slow answer."""
    bench.world.clock.set_speed(0.001)
    made = (await bench.create("x #sim:unknown_status #sim:slow=50 #sim:fail=out_of_luck")).json()["data"]["id"]
    bench.world.clock.advance(6)
    await until(lambda: _has(bench, made, "queued"))
    bench.world.clock.advance(60)
    assert (await bench.ended(made))["message"] == "out of luck"
    bench.world.clock.set_speed(1_000)
    bare = (await bench.create("x #sim:no_outputs #sim:slow_create=2")).json()["data"]["id"]
    done = await bench.ended(bare)
    assert done["status"] == "succeeded"
    assert "outputs" not in done


async def test_the_three_ways_to_choose_a_scenario(bench: Bench) -> None:
    """A prompt tag, a tagged fault and the control route lead to the same misbehaviour; the next order is well."""
    assert (await bench.create("x #sim:5001@1")).status_code == 503
    assert (await bench.create("x #sim:5001@1")).status_code == 200
    await bench.http.post("/_control/faults", json={"face": "kling", "tag": "1301", "match": "kling-3.0-turbo"})
    assert (await bench.create("x", "kling-2.6")).status_code == 200
    assert (await bench.create()).json()["code"] == 1301
    await bench.http.post("/_control/kling/scenario", json={"scenario": "504_after"})
    answer = await bench.create(external_task_id="there")
    assert (answer.status_code, answer.json()["code"]) == (504, 5002)
    assert len(await bench.by_external("there")) == 1
    assert (await bench.create()).status_code == 200
    await bench.http.post(
        "/_control/faults", json={"face": "kling", "match": "tasks", "status": 500, "body": {"code": 5000}}
    )
    assert (await bench.http.get("/kling/tasks", params={"task_ids": "1"})).status_code == 500


async def test_pushing_a_task_to_its_end(bench: Bench) -> None:
    """The control route ends a task once; a second push and an unknown id say so."""
    made = (await bench.create("x #sim:stuck")).json()["data"]["id"]
    assert (await bench.http.post(f"/_control/kling/tasks/{made}/succeed")).json() == {
        "moved": True,
        "status": "succeeded",
    }
    assert (await bench.http.post(f"/_control/kling/tasks/{made}/fail")).status_code == 409
    assert (await bench.http.post("/_control/kling/tasks/1/fail")).status_code == 404
    assert (await bench.ledger())["units_spent"] == "4"


async def test_settings_are_checked(bench: Bench) -> None:
    """An unknown setting, another type, a bad secret or mode is refused and changes nothing."""
    for wanted in (
        {"colour": 1},
        {"concurrency": "2"},
        {"secrets": ["abc"]},
        {"secrets": ["whsec_*"]},
        {"callbacks": "odd"},
    ):
        assert (await bench.http.post("/_control/kling/settings", json=wanted)).status_code == 400
    assert (await bench.http.get("/_control/kling/settings")).json()["concurrency"] == 20


async def test_reset_forgets_everything(bench: Bench) -> None:
    """After a reset there is no task, no unit is spent, and an external id may be used again."""
    await bench.create(external_task_id="e")
    await bench.http.post("/_control/reset")
    assert (await bench.ledger())["created"] == 0
    assert (await bench.create(external_task_id="e")).status_code == 200
