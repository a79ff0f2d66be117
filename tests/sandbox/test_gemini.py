"""The simulated Gemini against Google's own SDK and against raw requests: pictures, refusals, cut lines, the bill."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import random
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

import httpx2
import pytest
from aiohttp import web
from google import genai
from google.genai import types
from PIL import Image, ImageChops

from sandbox import art, control, gemini
from sandbox.art import palettes
from sandbox.art.text import font
from sandbox.gemini import scenarios
from sandbox.gemini.models import MODELS
from sandbox.world import World

KEY = "sandbox-gemini-key"
BEST = "gemini-nano-banana-2.1"
PRO = "gemini-3-pro-image"
FIRST = "gemini-2.5-flash-image"
# The SDK subclasses aiohttp's session, which aiohttp itself warns of; not ours to mend.
SDK_WARNS = pytest.mark.filterwarnings("ignore:Inheritance class:DeprecationWarning")


@dataclass
class Bench:
    """The face on a port of its own, with a client that is allowed in."""

    world: World
    url: str
    http: httpx2.AsyncClient

    async def generate(
        self, text: str, model: str = BEST, *, body: dict[str, Any] | None = None, **more: Any
    ) -> httpx2.Response:
        asked = body if body is not None else request(text)
        return await self.http.post(f"/gemini/v1beta/models/{model}:generateContent", json=asked, **more)

    async def ledger(self) -> dict[str, Any]:
        found: dict[str, Any] = (await self.http.get("/_control/gemini/ledger")).json()
        return found

    async def settings(self, **wanted: Any) -> None:
        assert (await self.http.post("/_control/gemini/settings", json=wanted)).status_code == 200


def request(text: str, *parts: dict[str, Any], **config: Any) -> dict[str, Any]:
    body: dict[str, Any] = {"contents": [{"role": "user", "parts": [*parts, {"text": text}]}]}
    return {**body, "generationConfig": config} if config else body


def photo(size: tuple[int, int] = (120, 90), colour: str = "teal", kind: str = "JPEG") -> bytes:
    target = io.BytesIO()
    Image.new("RGB", size, colour).save(target, kind)
    return target.getvalue()


def inline(data: bytes, mime: str = "image/jpeg") -> dict[str, Any]:
    return {"inlineData": {"mimeType": mime, "data": base64.b64encode(data).decode()}}


def pictures(answer: httpx2.Response) -> list[dict[str, Any]]:
    parts = answer.json()["candidates"][0]["content"]["parts"]
    return [part for part in parts if "inlineData" in part]


def opened(part: dict[str, Any]) -> Image.Image:
    picture = Image.open(io.BytesIO(base64.b64decode(part["inlineData"]["data"])))
    picture.load()
    return picture


async def until(holds: Callable[[], Any], seconds: float = 5.0) -> Any:
    """Wait until `holds()` gives something true."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = holds()
        found = await found if asyncio.iscoroutine(found) else found
        if found:
            return found
        await asyncio.sleep(0.01)
    raise AssertionError("the condition did not come true in time")


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    world = World(speed=2_000, seed=7, settings={"gemini": {"pixel_scale": 0.12}})
    app = web.Application(client_max_size=128 << 20, middlewares=[control.fault_middleware(world)])
    control.mount(app, world)
    gemini.mount(app, world)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    async with httpx2.AsyncClient(base_url=url, headers={"x-goog-api-key": KEY}, timeout=20) as client:
        yield Bench(world, url, client)
    await world.close()
    await runner.cleanup()


# --- Google's SDK -------------------------------------------------------------------------------------


async def sdk(bench: Bench, **asked: Any) -> types.GenerateContentResponse:
    client = genai.Client(api_key=KEY, http_options=types.HttpOptions(base_url=f"{bench.url}/gemini"))
    try:
        return await client.aio.models.generate_content(**asked)
    finally:
        await client.aio.aclose()
        client.close()


@SDK_WARNS
async def test_googles_sdk_gets_a_picture_of_the_promised_size(bench: Bench) -> None:
    """The official SDK parses the answer, and the picture has the pixels that its model and ratio promise."""
    await bench.settings(pixel_scale=1.0)
    answer = await sdk(
        bench,
        model=PRO,
        contents="Рыжая лиса в ночном лесу",
        config=types.GenerateContentConfig(
            response_modalities=["IMAGE"], image_config=types.ImageConfig(aspect_ratio="16:9", image_size="1K")
        ),
    )
    part = answer.candidates[0].content.parts[0]  # type: ignore[index, union-attr]
    assert part.inline_data is not None
    assert part.inline_data.mime_type == "image/jpeg"
    assert Image.open(io.BytesIO(part.inline_data.data or b"")).size == (1376, 768)
    assert part.thought_signature
    usage = answer.usage_metadata
    assert usage is not None
    assert usage.candidates_tokens_details is not None
    assert usage.candidates_tokens_details[0].token_count == 1120
    assert answer.model_version == PRO
    assert answer.response_id


@SDK_WARNS
async def test_googles_sdk_edits_a_photo(bench: Bench) -> None:
    """An edit through the official SDK answers with the given photo changed, in the ratio of the photo."""
    given = photo((300, 400), "teal")
    answer = await sdk(
        bench,
        model=BEST,
        contents=[types.Part.from_bytes(data=given, mime_type="image/jpeg"), "Сделай закат"],
        config=types.GenerateContentConfig(response_modalities=["IMAGE"]),
    )
    blob = answer.candidates[0].content.parts[0].inline_data  # type: ignore[index, union-attr]
    assert blob is not None
    edited = Image.open(io.BytesIO(blob.data or b"")).convert("RGB")
    assert edited.size == (108, 144)
    plain = Image.open(io.BytesIO(given)).convert("RGB").resize(edited.size)
    assert ImageChops.difference(edited, plain).getbbox() is not None


async def test_models_are_listed_page_by_page_and_one_by_one(bench: Bench) -> None:
    """The free health checks answer: the list in pages, one model, and 404 for a model that is gone."""
    page = (await bench.http.get("/gemini/v1beta/models", params={"pageSize": 2})).json()
    rest = (
        await bench.http.get("/gemini/v1beta/models", params={"pageSize": 200, "pageToken": page["nextPageToken"]})
    ).json()
    names = [model["name"] for model in page["models"] + rest["models"]]
    assert names == [f"models/{name}" for name in MODELS]
    assert (await bench.http.get(f"/gemini/v1beta/models/{PRO}")).json()["displayName"] == "Nano Banana Pro"
    await bench.settings(retired=[PRO])
    assert (await bench.http.get(f"/gemini/v1beta/models/{PRO}")).status_code == 404
    assert (await bench.generate("x", PRO)).json()["error"]["status"] == "NOT_FOUND"


# --- pictures -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", list(MODELS.values()), ids=lambda model: model.id)
async def test_every_ratio_and_size_of_a_model_is_drawn_true(bench: Bench, model: Any) -> None:
    """Each ratio of each model gives a picture of that shape, in the format the model is known for."""
    await bench.settings(pixel_scale=0.05)
    asked = [(ratio, model.sizes[0]) for ratio in model.ratios] + [("1:1", size) for size in model.sizes]
    for ratio, size in asked:
        config = {"aspectRatio": ratio} if model.fixed_size else {"aspectRatio": ratio, "imageSize": size}
        answer = await bench.generate("", model.id, body=request("дом", imageConfig=config))
        assert answer.status_code == 200, answer.text
        width, height = model.pixels(ratio, size)
        picture = opened(pictures(answer)[0])
        assert picture.size == (max(16, round(width * 0.05)), max(16, round(height * 0.05)))
        assert picture.format == ("PNG" if model.id == FIRST else "JPEG")


def test_the_pixel_table() -> None:
    """Sizes are those of docs/reference/gemini.md, section 1, times the factor of the size class; the first generation
    has its own."""
    assert MODELS[BEST].pixels("4:5", "1K") == (928, 1152)
    assert MODELS[BEST].pixels("21:9", "4K") == (6336, 2688)
    assert MODELS["gemini-3.1-flash-image"].pixels("8:1", "512") == (1536, 192)
    assert MODELS[FIRST].pixels("9:16", "1K") == (768, 1344)


def test_a_prompt_draws_its_own_picture_and_the_same_one_again() -> None:
    """Pictures differ by prompt and are repeatable, so a person sees that the words mattered."""
    fox, again, sea = (art.draw(words, (160, 160)) for words in ("лиса в лесу", "лиса в лесу", "корабль в море"))
    assert ImageChops.difference(fox, again).getbbox() is None
    assert ImageChops.difference(fox, sea).getbbox() == (0, 0, 160, 160)


@pytest.mark.parametrize(
    ("prompt", "light", "place", "subject"),
    [
        ("Портрет девушки в осеннем парке, плёночная фотография", "autumn", "forest", "person"),
        ("ночной город", "night", "city", None),
        ("A nice cat category: boats on a lake at sunset", "sunset", "sea", "cat"),
        ("колесо рыжего цвета", "autumn", None, None),
        ("зимний лес, лиса", "winter", "forest", "fox"),
    ],
)
def test_the_words_of_a_prompt_are_hints(prompt: str, light: str, place: str | None, subject: str | None) -> None:
    """Light, place and subject follow whole words in Russian and English, not letters inside other words."""
    reading = palettes.read(prompt, random.Random(1))
    assert reading.palette == palettes.PALETTES[light]
    assert reading.place == place or (place is None and reading.place != "forest")
    assert reading.subject == subject


def test_a_picture_costs_little_time() -> None:
    """Drawing at 1K takes a fraction of a second of CPU, also for 4K, so that the demo stays brisk."""
    for size in ((1024, 1024), (4096, 4096)):
        started = time.process_time()
        art.encode(art.draw("Неоновый город под дождём", size), "image/jpeg")
        assert time.process_time() - started < 2.0


def test_the_caption_is_in_cyrillic() -> None:
    """Russian letters are drawn as themselves, not as the box for a letter the font does not know."""
    shapes = {letter: bytes(font(40).getmask(letter)) for letter in "ЖЯёщ\uffff"}
    assert len(set(shapes.values())) == 5


async def test_several_photos_are_composed(bench: Bench) -> None:
    """Each further photo shows on the result, and the ratio is that of the last one given."""
    tall, wide = inline(photo((90, 160), "red")), inline(photo((160, 90), "blue"))
    one = opened(pictures(await bench.generate("", body=request("коллаж", tall)))[0])
    two = opened(pictures(await bench.generate("", body=request("коллаж", tall, wide)))[0])
    assert one.height > one.width
    assert two.width > two.height

    def blue(picture: Image.Image) -> int:
        data = picture.convert("RGB").tobytes()
        return sum(1 for red, blue in zip(data[0::3], data[2::3], strict=True) if blue > red + 80)

    assert blue(one) == 0
    assert blue(two) > 50, "the second photo lies on the red one as a print"


# --- scenarios ----------------------------------------------------------------------------------------

OUTCOMES: dict[str, Callable[[httpx2.Response], bool]] = {
    "ok": lambda a: len(pictures(a)) == 1,
    "ok_text_before": lambda a: "text" in a.json()["candidates"][0]["content"]["parts"][0],
    "ok_text_after": lambda a: "text" in a.json()["candidates"][0]["content"]["parts"][-1],
    "ok_thought_parts": lambda a: [bool(part.get("thought")) for part in pictures(a)] == [True, False],
    "ok_multi_drafts=4": lambda a: len(pictures(a)) == 4 and not any("thought" in part for part in pictures(a)),
    "ok_png": lambda a: opened(pictures(a)[0]).format == "PNG",
    "snake_case": lambda a: "inline_data" in a.json()["candidates"][0]["content"]["parts"][0],
    "usage_missing": lambda a: "usageMetadata" not in a.json(),
    "parts_null": lambda a: a.json()["candidates"][0]["content"]["parts"] is None,
    "content_missing": lambda a: "content" not in a.json()["candidates"][0],
    "candidates_empty": lambda a: a.json()["candidates"] == [],
    "candidates_missing": lambda a: "candidates" not in a.json() and "promptFeedback" not in a.json(),
    "prompt_block=BLOCKLIST": lambda a: (
        a.json()["promptFeedback"] == {"blockReason": "BLOCKLIST"}
        and a.json()["usageMetadata"].keys() == {"promptTokenCount", "totalTokenCount"}
    ),
    "finish=IMAGE_SAFETY": lambda a: a.json()["candidates"][0]["finishReason"] == "IMAGE_SAFETY",
    "finish=IMAGE_OTHER,try_again": lambda a: a.json()["candidates"][0]["finishMessage"] == "try again",
    "finish=SOMETHING_NEW": lambda a: a.json()["candidates"][0]["finishReason"] == "SOMETHING_NEW",
    "text_only_stop": lambda a: not pictures(a) and a.json()["candidates"][0]["finishReason"] == "STOP",
    "image_with_block_reason": lambda a: (
        len(pictures(a)) == 1 and a.json()["candidates"][0]["finishReason"] == "IMAGE_SAFETY"
    ),
    "thought_only": lambda a: all(part["thought"] for part in pictures(a)) and len(pictures(a)) == 2,
    "data_uri_text": lambda a: a.json()["candidates"][0]["content"]["parts"][0]["text"].startswith("data:image/"),
    "markdown_text": lambda a: a.json()["candidates"][0]["content"]["parts"][0]["text"].startswith("![image](data:"),
    "broken_image": lambda a: base64.b64decode(pictures(a)[0]["inlineData"]["data"]).endswith(b"not a picture"),
    "wrong_mime": lambda a: (
        pictures(a)[0]["inlineData"]["mimeType"] == "image/webp" and opened(pictures(a)[0]).format == "JPEG"
    ),
    "slow=3": lambda a: len(pictures(a)) == 1,
    "empty_body": lambda a: a.content == b"",
    "not_gemini": lambda a: a.json() == {"object": "list", "data": []},
    "truncated_json": lambda a: a.content.startswith(b'{"candidates"') and not a.content.endswith(b"}"),
}
REFUSED = {
    "400_field": (400, "INVALID_ARGUMENT", 'Unknown name "outputMimeType"'),
    "400_key": (400, "INVALID_ARGUMENT", "API_KEY_INVALID"),
    "400_location": (400, "FAILED_PRECONDITION", "User location is not supported for the API use."),
    "400_billing": (400, "FAILED_PRECONDITION", "free tier is not available"),
    "400_image": (400, "INVALID_ARGUMENT", "Unable to process input image"),
    "400_signature": (400, "INVALID_ARGUMENT", "thought signature"),
    "401_aq": (401, "UNAUTHENTICATED", "ACCESS_TOKEN_TYPE_UNSUPPORTED"),
    "402": (402, "RESOURCE_EXHAUSTED", "prepayment credits"),
    "403": (403, "PERMISSION_DENIED", "reported as leaked"),
    "404": (404, "NOT_FOUND", "is not found for API version v1beta"),
    "408": (408, "DEADLINE_EXCEEDED", "timed out"),
    "413": (413, "INVALID_ARGUMENT", "payload size exceeds"),
    "429_minute=3": (429, "RESOURCE_EXHAUSTED", '"retryDelay": "3s"'),
    "429_day": (429, "RESOURCE_EXHAUSTED", "GenerateRequestsPerDayPerProjectPerModel"),
    "429_free_zero": (429, "RESOURCE_EXHAUSTED", "limit: 0"),
    "429_spend": (429, "RESOURCE_EXHAUSTED", "spend limit"),
    "429_plain": (429, "RESOURCE_EXHAUSTED", "Resource has been exhausted"),
    "429_credits": (429, "RESOURCE_EXHAUSTED", "prepayment credits"),
    "499": (499, "CANCELLED", "cancelled"),
    "500": (500, "INTERNAL", "internal error"),
    "503_overloaded": (503, "UNAVAILABLE", "overloaded"),
    "503_demand": (503, "UNAVAILABLE", "high demand"),
    "504": (504, "DEADLINE_EXCEEDED", "Deadline expired"),
}
OTHERWISE = {"502_html", "array_wrapped_error", "gateway_error_wrap", "hang", "reset_before_headers", "reset_mid_body"}


def test_every_scenario_has_a_test() -> None:
    """No scenario is offered that is not shown to do what it says."""
    named = {tag.partition("=")[0] for tag in (*OUTCOMES, *REFUSED, *OTHERWISE)}
    assert named == scenarios.NAMES


@pytest.mark.parametrize("tag", OUTCOMES)
async def test_an_answer_of_200_as_the_tag_asks(bench: Bench, tag: str) -> None:
    """A tag in the prompt picks the answer: pictures in every packing, and every 200 that holds none."""
    answer = await bench.generate(f"котик #sim:{tag}")
    assert answer.status_code == 200
    assert OUTCOMES[tag](answer)


@pytest.mark.parametrize("tag", REFUSED)
async def test_a_refusal_as_the_tag_asks(bench: Bench, tag: str) -> None:
    """A tag in the prompt picks the refusal, in Google's shape, and a refused call is never billed."""
    code, status, words = REFUSED[tag]
    answer = await bench.generate(f"котик #sim:{tag}")
    assert answer.status_code == code
    assert answer.json()["error"]["code"] == code
    assert answer.json()["error"]["status"] == status
    assert words in json.dumps(answer.json(), ensure_ascii=False).replace('\\"', '"')
    assert (await bench.ledger())["billed_microusd"] == 0


async def test_errors_in_foreign_packing(bench: Bench) -> None:
    """Proxies answer in HTML, batch-like front ends in an array, gateways in a shape of their own."""
    html = await bench.generate("#sim:502_html")
    assert html.status_code == 502
    assert html.headers["content-type"].startswith("text/html")
    array = await bench.generate("#sim:array_wrapped_error=429_plain")
    assert array.status_code == 429
    assert array.json()[0]["error"]["status"] == "RESOURCE_EXHAUSTED"
    gateway = await bench.generate("#sim:gateway_error_wrap")
    assert gateway.status_code == 402
    assert gateway.json()["error"]["code"] == "insufficient_user_quota"


async def test_the_three_ways_to_choose_a_scenario(bench: Bench) -> None:
    """A prompt tag, a tagged fault and the control route lead to the same misbehaviour; the next call is well again."""
    assert (await bench.generate("a #sim:500")).status_code == 500
    await bench.http.post("/_control/faults", json={"face": "gemini", "tag": "503_overloaded", "match": "fox"})
    assert (await bench.generate("a cat")).status_code == 200
    assert (await bench.generate("a fox")).status_code == 503
    assert (await bench.generate("a fox")).status_code == 200
    planned = await bench.http.post("/_control/gemini/scenario", json={"scenario": "429_minute=3", "times": 2})
    assert planned.status_code == 200
    assert [(await bench.generate("x")).status_code for _ in range(3)] == [429, 429, 200]
    unknown = await bench.http.post("/_control/gemini/scenario", json={"scenario": "nonsense"})
    assert unknown.status_code == 400
    assert "429_minute" in unknown.json()["error"]


async def test_a_tag_may_hold_for_the_first_calls_only(bench: Bench) -> None:
    """`@2` makes two failures of one prompt and then a picture, so that a retry can be seen to succeed."""
    answers = [(await bench.generate("dog #sim:503_overloaded@2")).status_code for _ in range(3)]
    assert answers == [503, 503, 200]


# --- the line -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("tag", ["reset_before_headers", "reset_mid_body"])
async def test_a_cut_line_is_billed_once(bench: Bench, tag: str) -> None:
    """Whoever loses the answer has paid for it, once: one call, one picture (docs/reference/gemini.md, section 7)."""
    with pytest.raises(httpx2.TransportError):
        await bench.generate(f"x #sim:{tag}")
    seen = await until(lambda: _idle(bench))
    assert (seen["calls"], seen["images"], seen["billed_calls"], seen["disconnected"]) == (1, 1, 1, 1)
    assert seen["calls_log"][0]["disconnected"]
    assert seen["calls_log"][0]["cost_microusd"] > 0


async def test_a_hung_call_is_billed_after_the_client_gave_up(bench: Bench) -> None:
    """Closing the socket does not stop the generation (docs/reference/gemini.md, section 7)."""
    with pytest.raises(httpx2.ReadTimeout):
        await bench.generate("x #sim:hang", timeout=0.3)
    seen = await until(lambda: _idle(bench))
    assert (seen["images"], seen["disconnected"]) == (1, 1)


async def _idle(bench: Bench) -> dict[str, Any] | None:
    seen = await bench.ledger()
    return seen if seen["in_flight"] == 0 else None


async def test_a_wire_fault_of_the_common_kind_reaches_this_face(bench: Bench) -> None:
    """Faults of the sandbox's own middleware hit a call before it counts."""
    await bench.http.post("/_control/faults", json={"face": "gemini", "match": "generateContent", "drop": "before"})
    with pytest.raises(httpx2.TransportError):
        await bench.generate("x")
    assert (await bench.ledger())["calls"] == 0


async def test_time_runs_by_the_worlds_clock(bench: Bench) -> None:
    """A model's time is its median on the world's clock: a slow world makes one wait, a jump ends the wait."""
    bench.world.clock.set_speed(0.001)
    call = asyncio.create_task(bench.generate("x"))
    assert (await until(lambda: bench.ledger()))["in_flight"] in (0, 1)
    await until(lambda: _delayed(bench))
    assert not call.done()
    bench.world.clock.advance(600)
    assert (await call).status_code == 200
    delay = (await bench.ledger())["calls_log"][0]["delay"]
    assert 5 < delay < 150


async def _delayed(bench: Bench) -> bool:
    log = (await bench.ledger())["calls_log"]
    return bool(log) and log[0]["delay"] > 0


async def test_the_servers_deadline_is_obeyed(bench: Bench) -> None:
    """A call that would take longer than `X-Server-Timeout` ends in 504."""
    answer = await bench.generate("x #sim:slow=90", headers={"X-Server-Timeout": "60"})
    assert answer.status_code == 504
    assert answer.json()["error"]["status"] == "DEADLINE_EXCEEDED"
    assert (await bench.generate("x #sim:slow=50", headers={"X-Server-Timeout": "60"})).status_code == 200


async def test_drawing_does_not_hold_up_the_loop(bench: Bench) -> None:
    """While a 4K picture is drawn, the loop goes on serving others."""
    await bench.settings(pixel_scale=1.0)
    call = asyncio.create_task(bench.generate("", body=request("горы", imageConfig={"imageSize": "4K"})))
    worst, last = 0.0, time.monotonic()
    while not call.done():
        await asyncio.sleep(0.002)
        now = time.monotonic()
        worst, last = max(worst, now - last), now
    assert opened(pictures(await call)[0]).size == (4096, 4096)
    # The client that parses six megabytes of JSON shares this loop; alone the server stays far below.
    assert worst < 0.5


async def test_requests_per_minute_are_limited_when_asked(bench: Bench) -> None:
    """With a limit set, the call above it is refused with the time to wait, and passes after a minute."""
    await bench.settings(rpm=2)
    bench.world.clock.set_speed(1)
    tag = "#sim:slow=0 x"
    assert [(await bench.generate(tag)).status_code for _ in range(3)] == [200, 200, 429]
    bench.world.clock.advance(61)
    assert (await bench.generate(tag)).status_code == 200


# --- validation ---------------------------------------------------------------------------------------

GOOD = inline(photo())


@pytest.mark.parametrize(
    ("model", "body", "words"),
    [
        (BEST, {}, "contents is not specified"),
        (BEST, {"contents": []}, "contents is not specified"),
        (BEST, {"contents": [{"parts": []}]}, "parts must not be empty"),
        (BEST, {"contents": [{"parts": [{}]}]}, "required oneof field 'data'"),
        (BEST, {"contents": [{"role": "system", "parts": [{"text": "x"}]}]}, "valid role"),
        (BEST, {"contents": [{"parts": [{"text": "x", **GOOD}]}]}, "already set"),
        (BEST, {**request("x"), "foo": 1}, 'Unknown name "foo": Cannot find field'),
        (BEST, request("x", imageOutputOptions={}), "Unknown name \"imageOutputOptions\" at 'generation_config'"),
        (BEST, request("x", imageConfig={"personGeneration": "ALLOW_ALL"}), "at 'generation_config.image_config'"),
        (BEST, request("x", responseFormat={"image": {}}), 'Unknown name "responseFormat"'),
        (BEST, request("x", imageConfig={"aspectRatio": 5}), "(TYPE_STRING), 5"),
        (BEST, request("x", imageConfig={"aspectRatio": "9:21"}), "aspect_ratio"),
        (PRO, request("x", imageConfig={"aspectRatio": "8:1"}), "aspect_ratio"),
        (BEST, request("x", imageConfig={"imageSize": "512"}), "image_size"),
        (BEST, request("x", imageConfig={"imageSize": "1k"}), "image_size"),
        ("gemini-3.1-flash-lite-image", request("x", imageConfig={"imageSize": "2K"}), "image_size"),
        (FIRST, request("x", imageConfig={"imageSize": "1K"}), "image_size is not supported"),
        (FIRST, request("x", thinkingConfig={"thinkingLevel": "HIGH"}), "Thinking is not enabled"),
        (BEST, request("x", thinkingConfig={"thinkingLevel": "XHIGH"}), "Thinking level XHIGH"),
        (BEST, request("x", candidateCount=2), "Multiple candidates"),
        (BEST, request("x", seed=2**40), "TYPE_INT32"),
        (BEST, request("x", maxOutputTokens=0), "maxOutputTokens"),
        (BEST, request("x", responseModalities=["AUDIO"]), "response_modalities"),
        (BEST, request("x", *[GOOD] * 15), "exceeds the limit of 14"),
        (FIRST, request("x", *[GOOD] * 4), "exceeds the limit of 3"),
        (BEST, request("x", inline(b"GIF89a", "image/gif")), "Unsupported MIME type: image/gif"),
        (BEST, request("x", inline(b"not a picture")), "Unable to process input image"),
        (
            BEST,
            request("x", {"inlineData": {"mimeType": "image/jpeg", "data": "data:image/jpeg;base64,AAAA"}}),
            "Base64",
        ),
        (
            BEST,
            request("x", {"inlineData": {"mimeType": "image/jpeg", "data": "AAAA\nAAAA"}}),
            "Base64 decoding failed",
        ),
        (BEST, request("x", {"inlineData": {"mimeType": "image/jpeg", "data": ""}}), "data must not be empty"),
        (
            BEST,
            {**request("x"), "safetySettings": [{"category": "HARM_CATEGORY_MOOD", "threshold": "OFF"}]},
            "TYPE_ENUM",
        ),
        (BEST, {**request("x"), "serviceTier": "gold"}, "service_tier"),
    ],
)
async def test_a_wrong_request_is_refused_with_its_field(
    bench: Bench, model: str, body: dict[str, Any], words: str
) -> None:
    """Each rule of docs/reference/gemini.md, section 3, is enforced with 400 INVALID_ARGUMENT, at no cost."""
    answer = await bench.generate("", model, body=body)
    assert answer.status_code == 400, answer.text[:200]
    assert answer.json()["error"]["status"] == "INVALID_ARGUMENT"
    assert words in answer.json()["error"]["message"]
    assert (await bench.ledger())["billed_microusd"] == 0


@pytest.mark.parametrize(
    "body",
    [
        {"contents": {"parts": {"text": "x"}}},
        {"contents": [{"parts": [{"text": "x"}]}], "generation_config": {"image_config": {"aspect_ratio": "3:4"}}},
        request(
            "x", {"inlineData": {"mimeType": "image/png", "data": base64.urlsafe_b64encode(photo(kind="PNG")).decode()}}
        ),
        request(
            "x", {"inline_data": {"mime_type": "image/webp", "data": base64.b64encode(photo(kind="WEBP")).decode()}}
        ),
        request("x", thinkingConfig={"thinkingLevel": "minimal"}),
        {**request("x"), "safetySettings": [{"category": "HARM_CATEGORY_HARASSMENT", "threshold": "BLOCK_ONLY_HIGH"}]},
        {**request("x"), "systemInstruction": {"parts": [{"text": "be brief"}]}, "serviceTier": "flex"},
        {**request("x"), "tools": [{"googleSearch": {"searchTypes": {"webSearch": {}, "imageSearch": {}}}}]},
    ],
)
async def test_what_google_takes_is_taken(bench: Bench, body: dict[str, Any]) -> None:
    """Both spellings of names, both Base64 alphabets and each optional field of docs/reference/gemini.md, section 3,
    pass."""
    answer = await bench.generate("", body=body)
    assert answer.status_code == 200, answer.text[:300]
    assert len(pictures(answer)) == 1


@pytest.mark.parametrize(
    "raw", [b"", b"{", b"\xff\xfe\x00", b"[]", b"null", b'"x"', b"[" * 100_000, b'{"contents":"\\ud800"}']
)
async def test_any_bytes_get_googles_own_error(bench: Bench, raw: bytes) -> None:
    """Malformed bodies are answered in the API's error shape and never break the server."""
    answer = await bench.http.post(f"/gemini/v1beta/models/{BEST}:generateContent", content=raw)
    assert answer.status_code == 400
    assert answer.json()["error"]["status"] == "INVALID_ARGUMENT"


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
    {"parts": None},
    [[{}]],
    "data:,",
    "9" * 5_000,
)


def mutated(value: Any, chance: random.Random) -> Any:
    """`value` with one node, chosen by lot, replaced by something odd."""
    if not isinstance(value, (dict, list)) or not value or chance.random() < 0.15:
        return chance.choice(ODD)
    if isinstance(value, list):
        at = chance.randrange(len(value))
        return [mutated(one, chance) if index == at else one for index, one in enumerate(value)]
    name = chance.choice(sorted(value))
    if chance.random() < 0.1:
        return {**value, "odd": chance.choice(ODD)}
    return {**value, name: mutated(value[name], chance)}


async def test_no_form_of_request_breaks_the_server(bench: Bench) -> None:
    """Whatever stands where a value should be, the answer is a picture or a refusal in the API's shape."""
    await bench.settings(pixel_scale=0.02)
    chance = random.Random(11)
    good = {
        **request(
            "x",
            GOOD,
            imageConfig={"aspectRatio": "1:1", "imageSize": "1K"},
            thinkingConfig={"thinkingLevel": "LOW"},
            maxOutputTokens=9_000,
            responseModalities=["IMAGE"],
            seed=1,
        ),
        "safetySettings": [{"category": "HARM_CATEGORY_HARASSMENT", "threshold": "OFF"}],
        "tools": [{"googleSearch": {"searchTypes": {"webSearch": {}}}}],
        "systemInstruction": {"parts": [{"text": "x"}]},
    }
    for _ in range(200):
        body = mutated(good, chance)
        answer = await bench.http.post(
            f"/gemini/v1beta/models/{PRO}:generateContent", content=json.dumps(body).encode()
        )
        assert answer.status_code in (200, 400), (body, answer.text[:300])
        assert "candidates" in answer.json() or answer.json()["error"]["code"] == 400


async def test_the_key_is_asked_for(bench: Bench) -> None:
    """Header, query and Bearer let in; a wrong key is 400, a broken auth key or token 401, none at all 403."""
    path = "/gemini/any/prefix/v1beta/models"
    async with httpx2.AsyncClient(base_url=bench.url) as bare:
        assert (await bare.get(path, params={"key": KEY})).status_code == 200
        assert (await bare.get(path, headers={"Authorization": f"Bearer {KEY}"})).status_code == 200
        wrong = await bare.get(path, headers={"x-goog-api-key": "nope"})
        assert wrong.status_code == 400
        assert wrong.json()["error"]["details"][0]["reason"] == "API_KEY_INVALID"
        unlinked = await bare.get(path, headers={"x-goog-api-key": "AQ.nope"})
        assert unlinked.status_code == 401
        assert unlinked.json()["error"]["details"][0]["reason"] == "ACCESS_TOKEN_TYPE_UNSUPPORTED"
        token = await bare.get(path, headers={"Authorization": "Bearer nope"})
        assert token.status_code == 401
        assert token.json()["error"]["details"][0]["reason"] == "ACCESS_TOKEN_TYPE_UNSUPPORTED"
        assert (await bare.get(path)).status_code == 403
        await bench.settings(bearer=False)
        assert (await bare.get(path, headers={"Authorization": f"Bearer {KEY}"})).status_code == 401


async def test_unknown_models_methods_and_paths(bench: Bench) -> None:
    """A dead model is 404 NOT_FOUND in Google's words; what is no API path at all is a page."""
    dead = await bench.generate("x", "gemini-3-pro-image-preview")
    assert dead.status_code == 404
    assert dead.json()["error"]["message"].startswith(
        "models/gemini-3-pro-image-preview is not found for API version v1beta"
    )
    assert (await bench.http.post(f"/gemini/v1beta/models/{BEST}:predict", json={})).status_code == 404
    assert (await bench.http.get("/gemini/nowhere")).headers["content-type"].startswith("text/html")
    assert (await bench.generate("x", "nano-banana-pro-preview")).json()["modelVersion"] == PRO


async def test_a_signature_goes_back_unchanged_or_not_at_all(bench: Bench) -> None:
    """History with its own signature or without one passes; an altered or foreign one is refused.

    The first part that is no thought carries one, and so does each picture (docs/reference/gemini.md, section 10)."""
    part = pictures(await bench.generate("x"))[0]
    foreign = pictures(await bench.generate("x", PRO))[0]["thoughtSignature"]

    async def again(model_part: dict[str, Any]) -> int:
        contents = [
            {"role": "user", "parts": [{"text": "x"}]},
            {"role": "model", "parts": [model_part]},
            {"role": "user", "parts": [{"text": "brighter"}]},
        ]
        return (await bench.generate("", body={"contents": contents})).status_code

    assert await again(part) == 200
    words = (await bench.generate("x #sim:ok_text_before")).json()["candidates"][0]["content"]["parts"][0]
    assert await again(words) == 200
    assert await again({**words, "thoughtSignature": words["thoughtSignature"][:-6] + "AAAAA="}) == 400
    assert await again({"inlineData": part["inlineData"]}) == 200
    assert await again({**part, "thoughtSignature": part["thoughtSignature"][:-6] + "AAAAA="}) == 400
    assert await again({**part, "thoughtSignature": foreign}) == 400


# --- the bill -----------------------------------------------------------------------------------------


async def test_the_bill_follows_from_the_usage(bench: Bench) -> None:
    """A picture costs what its tokens cost (docs/reference/gemini.md, section 9); drafts multiply it; a refusal costs
    text, and some cost nothing."""
    usage = (await bench.generate("x" * 40, PRO)).json()["usageMetadata"]
    image, rest = 1120, usage["candidatesTokenCount"] - 1120
    assert usage["totalTokenCount"] == 10 + image + rest + usage["thoughtsTokenCount"]
    assert 88 <= rest <= 630
    first = (await bench.ledger())["calls_log"][0]
    assert first["cost_microusd"] == round(10 * 2 + image * 120 + (rest + usage["thoughtsTokenCount"]) * 12)

    drafts = (await bench.generate("#sim:ok_multi_drafts=3", PRO)).json()["usageMetadata"]
    assert drafts["candidatesTokensDetails"] == [{"modality": "IMAGE", "tokenCount": 3 * 1120}]

    refusal = (await bench.generate("#sim:finish=IMAGE_SAFETY", PRO)).json()["usageMetadata"]
    assert refusal["candidatesTokenCount"] == refusal["thoughtsTokenCount"]
    await bench.generate("#sim:finish=IMAGE_OTHER", PRO)
    log = (await bench.ledger())["calls_log"]
    assert 0 < log[2]["cost_microusd"] < 10_000
    assert log[3]["cost_microusd"] == 0
    assert (await bench.ledger())["images"] == 4


async def test_a_low_cap_ends_without_a_picture(bench: Bench) -> None:
    """Thinking and image tokens use up `maxOutputTokens`: a low cap gives MAX_TOKENS and no picture
    (docs/reference/gemini.md, section 3)."""
    answer = await bench.generate("", body=request("x", maxOutputTokens=800))
    assert answer.json()["candidates"][0] == {"content": {}, "finishReason": "MAX_TOKENS", "index": 0}


async def test_reset_forgets_the_ledger_and_the_settings(bench: Bench) -> None:
    """After a reset the face is as new."""
    await bench.generate("x")
    await bench.settings(rpm=1)
    await bench.http.post("/_control/reset")
    assert (await bench.ledger())["calls"] == 0
    assert (await bench.http.get("/_control/gemini/settings")).json()["rpm"] == 0


async def test_a_call_that_outlives_a_reset_leaves_no_trace(bench: Bench) -> None:
    """What began before a reset is not counted after it."""
    bench.world.clock.set_speed(0.001)
    call = asyncio.create_task(bench.generate("x"))
    await until(lambda: _delayed(bench))
    await bench.http.post("/_control/reset")
    bench.world.clock.advance(600)
    assert (await call).status_code == 200
    seen = await bench.ledger()
    assert (seen["calls"], seen["in_flight"], seen["images"]) == (0, 0, 0)


async def test_settings_are_checked(bench: Bench) -> None:
    """An unknown setting or one of another type is refused by name and changes nothing."""
    for wanted in ({"speeed": 1}, {"rpm": "many"}, {"bearer": 1}, {"retired": [1]}, [1]):
        assert (await bench.http.post("/_control/gemini/settings", json=wanted)).status_code == 400
    assert (await bench.http.get("/_control/gemini/settings")).json()["rpm"] == 0
