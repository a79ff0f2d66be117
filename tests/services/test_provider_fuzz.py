"""Anything at all may come back from a provider: it is a result or a `ProviderError`, and never anything else."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.base_provider import Failure, ImageRequest, ProviderError, VideoRequest, VideoTask
from services.providers.http import Answer, Scrubber, seconds
from services.providers.kling import Kling
from services.providers.kling_answer import read_envelope, read_task
from services.providers.kling_webhook import parse_callback
from services.providers.nano_banana import NanoBanana
from services.providers.nano_banana_answer import read_error, read_image
from tests.support.provider_wire import Reply, scripted

SCRUB = Scrubber(())
CLIP = VideoRequest(model="kling-3.0", prompt="a", duration=5, resolution="720p", external_id="e")
WORDS = st.one_of(
    st.sampled_from(
        [
            "STOP",
            "SAFETY",
            "submitted",
            "succeeded",
            "image/png",
            "QUJD",
            "video",
            "unit",
            "5.041",
            "17s",
            "e",
            "IMAGE",
            "https://x/y.mp4",
            "RESOURCE_EXHAUSTED",
            "NaN",
            "1e999",
            "\ud800",
            "data:image/png;base64,QUJD",
        ]
    ),
    st.text(max_size=8),
)
KEYS = st.sampled_from(
    [
        "candidates",
        "content",
        "parts",
        "inlineData",
        "inline_data",
        "mimeType",
        "data",
        "text",
        "thought",
        "finishReason",
        "promptFeedback",
        "blockReason",
        "usageMetadata",
        "promptTokenCount",
        "totalTokenCount",
        "candidatesTokensDetails",
        "modality",
        "tokenCount",
        "modelVersion",
        "responseId",
        "fileData",
        "error",
        "code",
        "status",
        "message",
        "details",
        "violations",
        "quotaId",
        "retryDelay",
        "reason",
        "status_code",
        "id",
        "external_id",
        "outputs",
        "url",
        "duration",
        "billing",
        "amount",
        "charge_type",
        "currency",
        "type",
        "models",
        "name",
        "finishMessage",
    ]
)
NUMBERS = st.one_of(st.integers(-(10**30), 10**30), st.floats(), st.sampled_from([0, 200, 429, 500, 1301, 10**400]))
TREES = st.recursive(
    st.one_of(st.none(), st.booleans(), NUMBERS, WORDS),
    lambda deeper: st.one_of(st.lists(deeper, max_size=3), st.dictionaries(KEYS, deeper, max_size=6)),
    max_leaves=25,
)
BODIES = st.one_of(TREES.map(lambda tree: json.dumps(tree).encode()), st.binary(max_size=200))
STATUSES = st.sampled_from([200, 201, 204, 302, 400, 401, 402, 403, 404, 408, 413, 429, 499, 500, 502, 503, 504, 520])
HEADERS = st.dictionaries(st.just("retry-after"), st.one_of(WORDS, st.integers().map(str)))


def outcome_of(read: Callable[[], Any]) -> Any:
    """What reading gives, or its `ProviderError`; anything else that is raised fails the test."""
    try:
        return read()
    except ProviderError as error:
        str(error).encode()
        return error


@settings(max_examples=400, deadline=None)
@given(BODIES, STATUSES, HEADERS)
def test_any_gemini_answer_is_a_picture_or_a_provider_error(body: bytes, status: int, headers: dict[str, str]) -> None:
    """No body, status or header makes the reading of an answer raise anything else."""
    answer = Answer(status, headers, body)
    error = read_error(answer, SCRUB)
    assert len(error.detail) < 800
    str(error).encode()
    result = outcome_of(lambda: read_image(answer, ImageRequest(model="m", prompt="a"), SCRUB))
    assert result.cost_micro_usd >= 0
    assert isinstance(result, ProviderError) or result.data


@settings(max_examples=400, deadline=None)
@given(BODIES, STATUSES, HEADERS, st.sampled_from(list(Failure)), st.booleans())
def test_any_kling_answer_is_a_task_or_a_provider_error(
    body: bytes, status: int, headers: dict[str, str], in_doubt: Failure, with_photo: bool
) -> None:
    """No body, status or header makes the reading of an answer raise anything else, and a failed query is temporary."""
    data = outcome_of(lambda: read_envelope(Answer(status, headers, body), SCRUB, in_doubt, with_photo=with_photo))
    if isinstance(data, ProviderError):
        assert in_doubt is not Failure.TEMPORARY or data.failure is Failure.TEMPORARY
    else:
        assert 200 <= status < 300
        task = read_task(data, SCRUB)
        assert task is None or isinstance(task, VideoTask)


@settings(max_examples=200, deadline=None)
@given(BODIES)
def test_any_callback_is_a_task_or_a_value_error(body: bytes) -> None:
    """A callback's body comes from anybody, and raises nothing but `ValueError`."""
    try:
        task = parse_callback(body)
    except ValueError:
        return
    assert task.id


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.tuples(STATUSES, BODIES), min_size=1, max_size=8))
def test_any_answer_over_the_wire_ends_in_a_result_or_a_provider_error(answers: list[tuple[int, bytes]]) -> None:
    """The whole way through sockets and parsers raises nothing but the one error."""

    async def ask() -> None:
        async with scripted(Reply()) as server:
            banana = NanoBanana(api_key="key-1", base_url=server.url)
            kling = Kling(api_key="key-1", base_url=server.url)
            calls = (
                lambda: banana.generate(ImageRequest("m", "a")),
                banana.check,
                kling.check,
                lambda: kling.submit(CLIP),
                lambda: kling.find(["e"]),
                lambda: kling.poll(["1"]),
                lambda: kling.download(server.url),
            )
            for status, body in answers:
                server.replies[0] = Reply(status, b"" if status == 204 else body)
                for call in calls:
                    try:
                        await call()
                    except ProviderError:
                        continue
            await banana.close()
            await kling.close()

    asyncio.run(ask())


@given(st.one_of(WORDS, NUMBERS, st.none(), st.booleans()))
def test_a_delay_is_always_sane(value: Any) -> None:
    """Whatever a provider calls a delay, it is nothing or between zero and a day."""
    told = seconds(value)
    assert told is None or 0 <= told <= 86_400


@given(st.text(max_size=2000))
def test_outside_text_is_fit_for_a_log(text: str) -> None:
    """One short line of valid UTF-8, without control characters."""
    line = SCRUB(text)
    line.encode()
    assert len(line) <= 300
    assert line.isprintable() or all(ch not in line for ch in "\n\r\x1b\x00")
