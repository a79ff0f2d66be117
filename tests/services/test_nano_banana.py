"""Nano Banana against the simulated Gemini API and against a server that answers whatever it is told."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest

from sandbox.world import Fault, World
from services.base_provider import Blame, ErrorCode, Failure, ImageRequest, Photo, ProviderError
from services.catalogue import shipped_catalogue
from services.media.inspect import inspect_image
from services.providers.circuit_breaker import STOPPING
from services.providers.http import Answer, Scrubber
from services.providers.nano_banana import NanoBanana
from services.providers.nano_banana_answer import read_error, seconds_to_pacific_midnight
from tests.support.provider_wire import Reply, reply, sandbox_faces, scripted

KEY = "sandbox-gemini-key"
MODEL = shipped_catalogue().default_image
PIXEL = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR4nGNgYGD4DwABBAEAX+XDSwAAAABJRU5ErkJggg=="
)
PHOTO = Photo(PIXEL, "image/png")

P, T, U = Failure.PERMANENT, Failure.TEMPORARY, Failure.UNKNOWN
USER, ADMIN, PROVIDER = Blame.USER, Blame.ADMIN, Blame.PROVIDER


def order(prompt: str = "a red fox", **changes: Any) -> ImageRequest:
    return MODEL.request(prompt, ratio=changes.pop("ratio", "1:1"), **changes)


def answer(*parts: Any, finish: str | None = "STOP", **more: Any) -> dict[str, Any]:
    return {"candidates": [{"content": {"parts": list(parts)}, "finishReason": finish}], "modelVersion": "m", **more}


def drawn(data: bytes = PIXEL, **more: Any) -> dict[str, Any]:
    return {"inlineData": {"mimeType": "image/png", "data": base64.b64encode(data).decode()}, **more}


@pytest.fixture
async def world() -> AsyncIterator[World]:
    world = World(seed=1, speed=1000.0, settings={"gemini": {"pixel_scale": 0.1}})
    async with sandbox_faces(world, "gemini"):
        yield world


@pytest.fixture
async def banana(world: World) -> AsyncIterator[NanoBanana]:
    provider = NanoBanana(api_key=KEY, base_url=f"{world.base_url}/gemini")
    yield provider
    await provider.close()


async def failure(provider: NanoBanana, request: ImageRequest) -> ProviderError:
    with pytest.raises(ProviderError) as caught:
        await provider.generate(request)
    return caught.value


async def failure_of(*replies: Reply, **changes: Any) -> ProviderError:
    """How a picture fails against these answers."""
    async with scripted(*replies) as server:
        provider = NanoBanana(api_key=KEY, base_url=server.url)
        try:
            return await failure(provider, order(**changes))
        finally:
            await provider.close()


# --- pictures -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "tag",
    [
        "ok",
        "ok_text_before",
        "ok_text_after",
        "ok_thought_parts",
        "ok_multi_drafts=4",
        "ok_png",
        "snake_case",
        "usage_missing",
        "thought_only",
        "data_uri_text",
        "markdown_text",
    ],
)
async def test_every_shape_of_success_is_one_picture(banana: NanoBanana, tag: str) -> None:
    """Words, thoughts, drafts and gateways' spellings around it: what comes out is one real picture with its cost."""
    result = await banana.generate(order(f"a red fox #sim:{tag}", ratio="16:9"))
    info = inspect_image(result.data)
    assert info.mime == result.mime
    assert info.width > info.height
    assert result.cost_micro_usd > 0


async def test_photos_reach_the_model_in_the_person_s_order() -> None:
    """Photos go before the words, in order, in camelCase, and the key goes into a header only."""
    other = Photo(b"second", "image/jpeg")
    async with scripted(reply(200, answer(drawn()))) as server:
        provider = NanoBanana(api_key=KEY, base_url=server.url + "/")
        await provider.generate(order("ёжик \ud800", photos=(PHOTO, other), ratio=None, size="2K"))
        await provider.close()
    (asked,) = server.asked
    parts = asked.json["contents"][0]["parts"]
    assert [part.get("inlineData", {}).get("mimeType") for part in parts] == ["image/png", "image/jpeg", None]
    assert asked.json["generationConfig"] == {"responseModalities": ["IMAGE"], "imageConfig": {"imageSize": "2K"}}
    assert asked.path == "/v1beta/models/gemini-nano-banana-2.1:generateContent"
    assert asked.headers["x-goog-api-key"] == KEY
    assert asked.headers["X-Server-Timeout"] == "300"
    assert KEY not in asked.path + str(asked.query)


async def test_a_gateway_gets_its_key_as_a_bearer() -> None:
    """`auth_style` bearer sends exactly one header with the key."""
    async with scripted(reply(200, answer(drawn()))) as server:
        provider = NanoBanana(api_key=KEY, base_url=server.url + "/google", auth_style="bearer")
        await provider.generate(order())
        await provider.close()
    assert server.asked[0].headers["Authorization"] == f"Bearer {KEY}"
    assert "x-goog-api-key" not in server.asked[0].headers
    assert server.asked[0].path.startswith("/google/v1beta/")


async def test_the_last_draft_is_the_picture() -> None:
    """Of several pictures the last that is no thought is the result, and all of them are counted."""
    parts = [drawn(b"draft"), drawn(b"final"), drawn(b"thinking", thought=True), {"text": "done"}]
    async with scripted(reply(200, answer(*parts, responseId="r-1"))) as server:
        provider = NanoBanana(api_key=KEY, base_url=server.url)
        result = await provider.generate(order())
        await provider.close()
    assert (result.data, result.response_id) == (b"final", "r-1")
    assert result.cost_micro_usd == 2 * 33_600, "without token counts each draft costs the table's price"


async def test_cost_is_counted_by_tokens() -> None:
    """Prompt, picture, words and thinking each have their own price (docs/reference/gemini.md, section 9)."""
    usage = {
        "promptTokenCount": 271,
        "candidatesTokenCount": 1232,
        "thoughtsTokenCount": 190,
        "candidatesTokensDetails": [{"modality": "IMAGE", "tokenCount": 1120}],
    }
    async with scripted(reply(200, answer(drawn(), usageMetadata=usage))) as server:
        provider = NanoBanana(api_key=KEY, base_url=server.url)
        result = await provider.generate(order())
        await provider.close()
    nano = 271 * 1500 + 1120 * 30000 + (112 + 190) * 7500
    assert result.cost_micro_usd == -(-nano // 1000)


async def test_a_missing_finish_reason_is_a_success() -> None:
    """A picture without any finishReason is still the picture."""
    for finish in (None, "FINISH_REASON_UNSPECIFIED", "stop"):
        async with scripted(reply(200, answer(drawn(), finish=finish))) as server:
            provider = NanoBanana(api_key=KEY, base_url=server.url)
            assert (await provider.generate(order())).data == PIXEL
            await provider.close()


async def test_check_lists_models_for_free(banana: NanoBanana, world: World) -> None:
    """The health check reads the list of models and draws nothing."""
    await banana.check()
    assert MODEL.provider_model in await banana.models()
    assert world.counts["gemini:generateContent"] == 0


@pytest.mark.parametrize("content", [{"object": "list", "data": []}, {}, [], "models"])
async def test_a_list_that_is_none_is_a_wrong_address(content: Any) -> None:
    """Something else may answer 200 at the address: the health check must not call that a working key."""
    async with scripted(reply(200, content)) as server:
        provider = NanoBanana(api_key=KEY, base_url=server.url)
        with pytest.raises(ProviderError) as caught:
            await provider.check()
        await provider.close()
    assert (caught.value.code, caught.value.blame) == (ErrorCode.WRONG_ENDPOINT, ADMIN)


# --- every refusal and fault of the simulator ----------------------------------------------------------------------

SCENARIOS = [
    # tag, code, failure, blame, stops the provider
    ("parts_null", ErrorCode.TEXT_ONLY, P, USER, False),
    ("parts_null=STOP", ErrorCode.NO_IMAGE, T, PROVIDER, False),
    ("content_missing=IMAGE_OTHER", ErrorCode.NO_IMAGE, T, PROVIDER, False),
    ("candidates_empty", ErrorCode.NO_IMAGE, T, PROVIDER, False),
    ("candidates_missing", ErrorCode.NO_IMAGE, T, PROVIDER, False),
    ("prompt_block=PROHIBITED_CONTENT", ErrorCode.PROMPT_BLOCKED, P, USER, False),
    ("prompt_block=NEW_REASON", ErrorCode.PROMPT_BLOCKED, P, USER, False),
    ("image_with_block_reason", ErrorCode.IMAGE_BLOCKED, P, USER, False),
    ("finish=SAFETY", ErrorCode.PROMPT_BLOCKED, P, USER, False),
    ("finish=PROHIBITED_CONTENT", ErrorCode.PROMPT_BLOCKED, P, USER, False),
    ("finish=IMAGE_PROHIBITED_CONTENT", ErrorCode.PROMPT_BLOCKED, P, USER, False),
    ("finish=BLOCKLIST", ErrorCode.PROMPT_BLOCKED, P, USER, False),
    ("finish=SPII", ErrorCode.PROMPT_BLOCKED, P, USER, False),
    ("finish=IMAGE_SAFETY", ErrorCode.IMAGE_BLOCKED, P, USER, False),
    ("finish=RECITATION", ErrorCode.RECITATION, P, USER, False),
    ("finish=IMAGE_RECITATION", ErrorCode.RECITATION, P, USER, False),
    ("finish=LANGUAGE", ErrorCode.LANGUAGE, P, USER, False),
    ("finish=NO_IMAGE", ErrorCode.TEXT_ONLY, P, USER, False),
    ("text_only_stop", ErrorCode.TEXT_ONLY, P, USER, False),
    ("finish=IMAGE_OTHER", ErrorCode.NO_IMAGE, T, PROVIDER, False),
    ("finish=OTHER", ErrorCode.NO_IMAGE, T, PROVIDER, False),
    ("finish=MALFORMED_RESPONSE", ErrorCode.NO_IMAGE, T, PROVIDER, False),
    ("finish=UNEXPECTED_TOOL_CALL", ErrorCode.NO_IMAGE, T, PROVIDER, False),
    ("finish=MISSING_THOUGHT_SIGNATURE", ErrorCode.NO_IMAGE, T, PROVIDER, False),
    ("finish=SOMETHING_NEW", ErrorCode.NO_IMAGE, T, PROVIDER, False),
    ("finish=MAX_TOKENS", ErrorCode.TOO_COMPLEX, P, USER, False),
    ("finish=CONTINUATION", ErrorCode.TOO_COMPLEX, P, USER, False),
    ("finish=ESCALATION", ErrorCode.ACCOUNT_AT_RISK, P, ADMIN, True),
    ("finish=PUP_LIMITED_DISABLED", ErrorCode.ACCOUNT_AT_RISK, P, ADMIN, True),
    ("400_field", ErrorCode.BAD_REQUEST, P, ADMIN, False),
    ("400_key", ErrorCode.KEY_INVALID, P, ADMIN, True),
    ("400_location", ErrorCode.LOCATION, P, ADMIN, True),
    ("400_billing", ErrorCode.BILLING, P, ADMIN, True),
    ("400_signature", ErrorCode.BAD_REQUEST, P, ADMIN, False),
    ("401_aq", ErrorCode.KEY_INVALID, P, ADMIN, True),
    ("402", ErrorCode.FUNDS, P, ADMIN, True),
    ("403", ErrorCode.FORBIDDEN, P, ADMIN, True),
    ("404", ErrorCode.MODEL_GONE, P, ADMIN, True),
    ("408", ErrorCode.TIMEOUT, U, PROVIDER, False),
    ("413", ErrorCode.TOO_LARGE, P, ADMIN, False),
    ("429_minute=17.5", ErrorCode.QUOTA_MINUTE, T, ADMIN, False),
    ("429_day", ErrorCode.QUOTA_DAY, P, ADMIN, True),
    ("429_free_zero", ErrorCode.BILLING, P, ADMIN, True),
    ("429_spend", ErrorCode.SPEND_LIMIT, T, ADMIN, False),
    ("429_plain", ErrorCode.RATE_LIMITED, T, PROVIDER, False),
    ("429_credits", ErrorCode.FUNDS, P, ADMIN, True),
    ("499", ErrorCode.TIMEOUT, U, PROVIDER, False),
    ("500", ErrorCode.INTERNAL, T, PROVIDER, False),
    ("502_html", ErrorCode.NETWORK, T, PROVIDER, False),
    ("503_overloaded", ErrorCode.OVERLOADED, T, PROVIDER, False),
    ("503_demand", ErrorCode.OVERLOADED, T, PROVIDER, False),
    ("504", ErrorCode.TIMEOUT, U, PROVIDER, False),
    ("array_wrapped_error", ErrorCode.OVERLOADED, T, PROVIDER, False),
    ("array_wrapped_error=429_day", ErrorCode.QUOTA_DAY, P, ADMIN, True),
    ("gateway_error_wrap", ErrorCode.FUNDS, P, ADMIN, True),
    ("gateway_error_wrap=429_plain", ErrorCode.RATE_LIMITED, T, PROVIDER, False),
    ("reset_before_headers", ErrorCode.NETWORK, U, PROVIDER, False),
    ("reset_mid_body", ErrorCode.NETWORK, U, PROVIDER, False),
    ("truncated_json", ErrorCode.BAD_ANSWER, U, PROVIDER, False),
    ("empty_body", ErrorCode.BAD_ANSWER, U, PROVIDER, False),
    ("not_gemini", ErrorCode.WRONG_ENDPOINT, P, ADMIN, True),
]


@pytest.mark.parametrize(("tag", "code", "kind", "blame", "pause"), SCENARIOS)
async def test_each_refusal_has_its_verdict(
    banana: NanoBanana, tag: str, code: ErrorCode, kind: Failure, blame: Blame, pause: bool
) -> None:
    """Every answer without a picture says whose move it is and whether the same call may be made again."""
    error = await failure(banana, order(f"a red fox #sim:{tag}"))
    assert (error.code, error.failure, error.blame) == (code, kind, blame)
    assert (error.code in STOPPING) is pause, "the breaker reads the code, which the row keeps"
    assert KEY not in f"{error} {error!r}"


async def test_nothing_billed_is_ever_called_repeatable(banana: NanoBanana, world: World) -> None:
    """A failure that may be repeated as it is has cost no image; only unknown ones may have."""
    for tag, _, kind, _, _ in SCENARIOS:
        if kind is T:
            await failure(banana, order(f"a red fox #sim:{tag}"))
    made = [call.detail["images"] for call in world.calls if call.name == "generateContent"]
    assert made
    assert not any(made)


async def test_a_bad_photo_is_the_person_s_only_when_there_is_one(banana: NanoBanana) -> None:
    """ "Cannot process the image" without any photo sent is our own fault."""
    with_photo = await failure(banana, order("a #sim:400_image", photos=(PHOTO,)))
    without = await failure(banana, order("a #sim:400_image"))
    assert (with_photo.code, with_photo.blame) == (ErrorCode.BAD_PHOTO, USER)
    assert (without.code, without.blame) == (ErrorCode.BAD_REQUEST, ADMIN)


async def test_the_provider_s_own_delay_is_kept(banana: NanoBanana) -> None:
    """`retryDelay`, the sentence in the message and the header are read; a day's quota waits for California."""
    assert (await failure(banana, order("a #sim:429_minute=17.5"))).retry_after == pytest.approx(17.5, abs=0.6)
    assert (await failure(banana, order("a #sim:429_spend"))).retry_after == 120
    day = await failure(banana, order("a #sim:429_day=33"))
    assert day.retry_after == pytest.approx(seconds_to_pacific_midnight(datetime.now(UTC)), abs=5)
    said = reply(429, {"error": {"code": 429, "message": "Please retry in 21.4s."}})
    assert (await failure_of(said)).retry_after == 21.4
    assert (await failure_of(reply(503, {}, **{"Retry-After": "9"}))).retry_after == 9
    assert (await failure_of(reply(503, {}, **{"Retry-After": "99999999"}))).retry_after == 86_400


@pytest.mark.parametrize(
    ("status", "end", "code", "wait"),
    [
        (429, "* Quota exceeded for metric: free_tier_requests, limit: 0", ErrorCode.BILLING, None),
        (429, "You have reached your spending limit. Please retry in 300s.", ErrorCode.SPEND_LIMIT, 300),
        (429, "Please retry in 41.5s.", ErrorCode.RATE_LIMITED, 41.5),
        (400, "User location is not supported for the API use.", ErrorCode.LOCATION, None),
        (400, "API key expired. Please renew the API key.", ErrorCode.KEY_INVALID, None),
    ],
)
async def test_the_end_of_a_long_message_counts(status: int, end: str, code: ErrorCode, wait: float | None) -> None:
    """Details may be absent and what matters stand behind addresses of help pages: all of the text is read, and only
    a short piece of it is logged."""
    long = "You exceeded your current quota, see https://ai.google.dev/gemini-api/docs/rate-limits. " * 5 + "\n" + end
    error = await failure_of(reply(status, {"error": {"code": status, "message": long}}))
    assert (error.code, error.retry_after) == (code, wait)
    assert len(error.detail) < 400


def test_pacific_midnight() -> None:
    """The quota's day ends at midnight in California, summer and winter."""
    assert seconds_to_pacific_midnight(datetime(2026, 1, 10, 7, 59, tzinfo=UTC)) == 60
    assert seconds_to_pacific_midnight(datetime(2026, 7, 10, 6, 0, tzinfo=UTC)) == 3600


async def test_a_refusal_s_own_cost_is_told() -> None:
    """What a refused prompt still burned in tokens stands in the error, by the total."""
    usage = {"promptTokenCount": 100, "candidatesTokenCount": 50, "thoughtsTokenCount": 50, "totalTokenCount": 150}
    error = await failure_of(reply(200, answer({"text": "no"}, finish="SAFETY", usageMetadata=usage)))
    assert error.cost_micro_usd == -(-(100 * 1500 + 50 * 7500) // 1000)


@pytest.mark.parametrize(
    ("lost", "cost"),
    [
        (Reply(line="reset"), 33_600),
        (Reply(200, b"{"), 33_600),
        (reply(504, {}), 33_600),
        (reply(200, answer({"inlineData": {"mimeType": "image/png", "data": "@"}})), 33_600),
        (reply(503, {}), 0),
        (reply(400, {"error": {"message": "no"}}), 0),
    ],
)
async def test_a_lost_answer_may_have_cost_a_picture(lost: Reply, cost: int) -> None:
    """What was drawn and lost on the way is most likely billed (docs/reference/gemini.md, section 7): its price is
    booked, or the day's limit and the margin would know nothing of it."""
    assert (await failure_of(lost)).cost_micro_usd == cost


@pytest.mark.parametrize(
    ("finish", "code"),
    [
        ("SAFETY", ErrorCode.PROMPT_BLOCKED),
        ("RECITATION", ErrorCode.RECITATION),
        ("MAX_TOKENS", ErrorCode.TOO_COMPLEX),
        ("OTHER", ErrorCode.NO_IMAGE),
        ("BRAND_NEW", ErrorCode.NO_IMAGE),
        (["STOP"], ErrorCode.NO_IMAGE),
    ],
)
async def test_only_a_good_finish_sells_a_picture(finish: Any, code: ErrorCode) -> None:
    """A picture that comes with any other reason than a good one is never sold."""
    assert (await failure_of(reply(200, answer(drawn(), finish=finish)))).code is code


async def test_a_glitch_is_repeated_once_at_most() -> None:
    """Finishes that Google does not charge allow one more call, whatever the policy says."""
    assert (await failure_of(reply(200, answer(finish="IMAGE_OTHER")))).max_repeats == 1


@pytest.mark.parametrize(
    ("status", "content", "code", "kind"),
    [
        (200, {"error": {"code": 429, "message": "slow down"}}, ErrorCode.RATE_LIMITED, T),
        (200, {"error": {"message": "what"}}, ErrorCode.WRONG_ENDPOINT, P),
        (200, {"status_code": 503, "error": {"message": "busy"}}, ErrorCode.OVERLOADED, T),
        (200, answer({"fileData": {"fileUri": "https://x/y.png"}}), ErrorCode.WRONG_ENDPOINT, P),
        (429, {"error": {"message": "Your prepayment credits are depleted."}}, ErrorCode.FUNDS, P),
        (429, {"error": {"message": "Insufficient credits"}}, ErrorCode.FUNDS, P),
        (403, {"error": {"message": "quota", "code": "insufficient_user_quota"}}, ErrorCode.FUNDS, P),
        (429, {"error": {"message": "no", "type": "insufficient_user_quota"}}, ErrorCode.FUNDS, P),
        (400, {"error": {"message": "rejected", "code": "content_policy_violation"}}, ErrorCode.PROMPT_BLOCKED, P),
        (302, {}, ErrorCode.WRONG_ENDPOINT, P),
        (404, {}, ErrorCode.WRONG_ENDPOINT, P),
        (409, {}, ErrorCode.BAD_REQUEST, P),
        (520, {}, ErrorCode.NETWORK, U),
        (524, {}, ErrorCode.TIMEOUT, U),
    ],
)
async def test_gateways_wrap_errors_in_many_ways(status: int, content: Any, code: ErrorCode, kind: Failure) -> None:
    """Status first, then the words: a gateway's packing changes nothing about whose fault it is."""
    error = await failure_of(reply(status, content))
    assert (error.code, error.failure) == (code, kind)


@pytest.mark.parametrize(
    ("text", "blame"),
    [
        ("![a red fox](https://x/y)", ADMIN),
        ("Here it is: [picture](https://x/y.jpeg?sig=1)", ADMIN),
        ("About foxes: [more](https://x/foxes)", USER),
    ],
)
async def test_a_link_to_an_image_is_told_to_the_admin(text: str, blame: Blame) -> None:
    """A gateway that sends images as links bills each of them: the admin is told. The model itself may write
    such a link once, so nothing is stopped for it."""
    error = await failure_of(reply(200, answer({"text": text})))
    assert (error.code, error.failure, error.blame) == (ErrorCode.TEXT_ONLY, P, blame)


# --- the wire -----------------------------------------------------------------------------------------------------


async def test_a_hanging_call_ends_as_unknown() -> None:
    """Past the deadline nobody knows: the picture may be drawn and paid, so it is not repeated by itself."""
    async with scripted(Reply(line="hang")) as server:
        provider = NanoBanana(api_key=KEY, base_url=server.url)
        request = ImageRequest(model="m", prompt="a", timeout=0.2)
        error = await failure(provider, request)
        await provider.close()
    assert (error.code, error.failure) == (ErrorCode.TIMEOUT, U)


async def test_a_refused_connection_is_temporary() -> None:
    """Before the first byte is sent nothing can have happened."""
    async with scripted(Reply()) as server:
        gone = server.url
    provider = NanoBanana(api_key=KEY, base_url=gone)
    error = await failure(provider, order())
    await provider.close()
    assert (error.code, error.failure) == (ErrorCode.NETWORK, T)


@pytest.mark.parametrize("drop", ["before", "after"])
async def test_a_cut_line_is_unknown(banana: NanoBanana, world: World, drop: str) -> None:
    """Whether the line broke before or after the effect cannot be seen from here."""
    world.faults.plan(Fault(face="gemini", drop=drop))
    error = await failure(banana, order())
    assert (error.code, error.failure) == (ErrorCode.NETWORK, U)


async def test_an_error_whose_body_breaks_off_is_still_that_error() -> None:
    """The status line alone says that the call was refused."""
    error = await failure_of(Reply(503, b'{"error": {"mess', line="cut"))
    assert (error.code, error.failure) == (ErrorCode.OVERLOADED, T)


async def test_an_endless_answer_is_cut_off() -> None:
    """No answer is read beyond 64 MB; the limit is ours, so an admin has to hear of it."""
    error = await failure_of(Reply(200, b" " * (64 * 1024 * 1024 + 1)))
    assert (error.code, error.failure, error.blame) == (ErrorCode.TOO_LARGE, U, ADMIN)


async def test_a_large_picture_arrives() -> None:
    """Twenty megabytes of picture pass."""
    async with scripted(reply(200, answer(drawn(b"\x89PNG" * 5_000_000)))) as server:
        provider = NanoBanana(api_key=KEY, base_url=server.url)
        assert len((await provider.generate(order())).data) == 20_000_000
        await provider.close()


async def test_broken_base64_is_unknown() -> None:
    """A picture that was drawn but arrived spoiled has surely been billed."""
    for data in ("@@@", "abc", "a"):
        part = {"inlineData": {"mimeType": "image/png", "data": data}}
        error = await failure_of(reply(200, answer(part)))
        assert (error.code, error.failure) == (ErrorCode.BAD_ANSWER, U)


def test_unusable_settings_are_refused_at_once() -> None:
    """A key with a line break, an unknown style or a nonsense proxy never reach the wire, and are not quoted."""
    for wrong in (
        {"api_key": "a\nb"},
        {"api_key": "ключ"},
        {"api_key": "k", "auth_style": "?"},
        {"api_key": "k", "proxy": "nonsense://x:secretpass@y"},
    ):
        with pytest.raises(ValueError) as caught:
            NanoBanana(**wrong)
        assert "secretpass" not in str(caught.value)


def test_a_key_in_a_gateway_s_message_is_not_repeated() -> None:
    """Whatever comes back is scrubbed before it can reach a log."""
    body = json.dumps({"error": {"message": f"bad key {KEY}\n\x1b[31m" + "x" * 5000}}).encode()
    error = read_error(Answer(401, {}, body), Scrubber([KEY]))
    assert KEY not in str(error)
    assert "\n" not in error.detail
    assert "\x1b" not in error.detail
    assert len(error.detail) < 400
