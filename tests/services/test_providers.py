"""The contract of every provider: one error, bounded retries, a breaker, no secret in any text."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from database import clock
from database.models import CallOutcome, RecentCall
from services.base_provider import (
    Blame,
    ErrorCode,
    Failure,
    ImageRequest,
    ImageResult,
    Photo,
    ProviderError,
    RetryPolicy,
    VideoRequest,
    generate_with_retry,
)
from services.providers import open_providers
from services.providers.circuit_breaker import (
    STOPPING,
    open_circuit,
)
from services.providers.http import Scrubber
from services.providers.kling import Kling
from services.providers.nano_banana import NanoBanana
from tests.support.provider_wire import Reply, reply, scripted

SCRUB = Scrubber(())
CLIP = VideoRequest(model="kling-3.0", prompt="a", duration=5, resolution="720p", external_id="e")


class FakeTime:
    """Time that passes only by sleeping."""

    def __init__(self) -> None:
        self.now = 0.0
        self.slept: list[float] = []

    async def sleep(self, length: float) -> None:
        self.slept.append(length)
        self.now += length


def fault(failure: Failure = Failure.TEMPORARY, code: ErrorCode = ErrorCode.OVERLOADED, **more: Any) -> ProviderError:
    return ProviderError(code, failure, more.pop("blame", Blame.PROVIDER), "told", **more)


def failing(*outcomes: ProviderError | str) -> tuple[Callable[[], Awaitable[str]], list[int]]:
    """A call that fails as listed, then succeeds with the word; and the count of its calls."""
    left = list(outcomes)
    calls: list[int] = []

    async def call() -> str:
        calls.append(len(calls) + 1)
        outcome = left.pop(0) if len(left) > 1 else left[0]
        if isinstance(outcome, ProviderError):
            raise outcome
        return outcome

    return call, calls


async def insist(call: Callable[[], Awaitable[str]], policy: RetryPolicy, time: FakeTime) -> str:
    before = clock.use(clock.Source(steady=lambda: time.now, chance=lambda: 0.5))
    try:
        return await generate_with_retry(call, policy=policy, sleep=time.sleep)
    finally:
        clock.use(before)


POLICY = RetryPolicy(tries=4, first_delay=1, factor=2, max_delay=3, jitter=1, total_seconds=100)


# --- retries ------------------------------------------------------------------------------------------------------


async def test_temporary_failures_are_repeated_with_growing_pauses() -> None:
    """Pauses double up to their limit, with some jitter, and the first success ends it."""
    time = FakeTime()
    call, calls = failing(fault(), fault(), fault(), "picture")
    assert await insist(call, POLICY, time) == "picture"
    assert time.slept == [1.5, 2.5, 3.5]
    assert len(calls) == 4


async def test_tries_are_bounded() -> None:
    """After the last try the last error comes out, without another pause."""
    time = FakeTime()
    call, calls = failing(fault())
    with pytest.raises(ProviderError):
        await insist(call, POLICY, time)
    assert (len(calls), len(time.slept)) == (4, 3)


@pytest.mark.parametrize("kind", [Failure.PERMANENT, Failure.UNKNOWN])
async def test_permanent_and_unknown_failures_pass_through_at_once(kind: Failure) -> None:
    """What would fail again, and what may have been billed, is never repeated here."""
    time = FakeTime()
    call, calls = failing(fault(kind), "picture")
    with pytest.raises(ProviderError):
        await insist(call, POLICY, time)
    assert (len(calls), time.slept) == (1, [])


async def test_the_provider_s_own_delay_is_obeyed() -> None:
    """`retry_after` outweighs a shorter pause of ours."""
    time = FakeTime()
    call, _ = failing(fault(retry_after=20), "picture")
    await insist(call, POLICY, time)
    assert time.slept == [20.5]


async def test_a_pause_that_cannot_fit_is_not_begun() -> None:
    """Nobody waits for a repeat that the total time forbids."""
    time = FakeTime()
    call, calls = failing(fault(retry_after=200), "picture")
    with pytest.raises(ProviderError):
        await insist(call, POLICY, time)
    assert (len(calls), time.slept) == (1, [])


async def test_total_time_counts_the_calls_too() -> None:
    """Slow failures use the time up as pauses do."""
    time = FakeTime()

    async def slow() -> str:
        time.now += 60
        raise fault()

    with pytest.raises(ProviderError):
        await insist(slow, POLICY, time)
    assert len(time.slept) == 1


async def test_a_code_may_allow_fewer_repeats() -> None:
    """`max_repeats` caps one code, while others follow the policy; used up, the failure is final."""
    time = FakeTime()
    glitches = [fault(code=ErrorCode.NO_IMAGE, max_repeats=1) for _ in range(2)]
    call, calls = failing(glitches[0], fault(), glitches[1], "picture")
    with pytest.raises(ProviderError) as caught:
        await insist(call, POLICY, time)
    assert len(calls) == 3
    assert caught.value.failure is Failure.PERMANENT


@given(st.lists(st.sampled_from(list(Failure)), max_size=12), st.integers(1, 6), st.floats(0, 500), st.floats(0, 300))
def test_retries_are_always_bounded(kinds: list[Failure], tries: int, total: float, wait: float) -> None:
    """Whatever fails in whatever order: tries and waiting stay within the policy, doubt is never repeated."""
    time = FakeTime()
    call, calls = failing(*[fault(kind, retry_after=wait) for kind in kinds], "picture")
    policy = replace(POLICY, tries=tries, total_seconds=total)
    try:
        asyncio.run(insist(call, policy, time))
    except ProviderError:
        pass
    assert len(calls) <= tries
    assert sum(time.slept) <= total
    first_hard = next((number for number, kind in enumerate(kinds, 1) if kind is not Failure.TEMPORARY), None)
    assert first_hard is None or len(calls) <= first_hard


async def test_providers_offer_the_same_retries() -> None:
    """`provider.generate_with_retry()` is the function of the module."""
    async with scripted(Reply(503), reply(200, {"models": []})) as server:
        provider = NanoBanana(api_key="key-1", base_url=server.url)
        await provider.generate_with_retry(provider.check, policy=RetryPolicy(tries=2, first_delay=0.01, jitter=0))
        await provider.close()
    assert len(server.asked) == 2


# --- the breaker --------------------------------------------------------------------------------------------------


NOW = 1_800_000_000_000
OK, REFUSED, UNKNOWN = CallOutcome.OK, CallOutcome.REFUSED, CallOutcome.UNKNOWN
DOWN = (REFUSED, ErrorCode.OVERLOADED)
RUNNING = (None, None)


def calls(*ends: tuple[CallOutcome | None, str | None], ago: float = 0.0, lost: bool = False) -> list[RecentCall]:
    """Calls that ended like this, oldest first, the last one so many seconds ago; those without an end still run."""
    at = NOW - int(1000 * ago)
    rows = [RecentCall(how, code, at, None if how is None else at, how is None and not lost) for how, code in ends]
    return rows[::-1]


def test_outages_in_a_row_open_it() -> None:
    """Five outages in a row stop further calls, and say for how long; a success in between starts the count anew."""
    assert open_circuit([], NOW) is None
    assert open_circuit(calls(DOWN, DOWN, DOWN, (OK, None), DOWN, DOWN, DOWN, DOWN), NOW) is None
    lost = (UNKNOWN, ErrorCode.TIMEOUT)
    blocked = open_circuit(calls((OK, None), DOWN, lost, DOWN, lost, DOWN, ago=20), NOW)
    assert blocked is not None
    assert (blocked.code, blocked.failure, blocked.retry_after) == (ErrorCode.CIRCUIT_OPEN, Failure.TEMPORARY, 40)


def test_one_trial_decides_after_the_pause() -> None:
    """After the pause one caller tries while the others still wait; success closes, failure opens again."""
    down = [DOWN] * 5
    assert open_circuit(calls(*down, ago=60), NOW) is None
    waits = open_circuit(calls(RUNNING) + calls(*down, ago=60), NOW)
    assert waits is not None
    assert (waits.code, waits.failure) == (ErrorCode.CIRCUIT_OPEN, Failure.TEMPORARY)
    again = open_circuit(calls(DOWN, ago=10) + calls(*down, ago=70), NOW)
    assert again is not None
    assert again.retry_after == 50
    assert open_circuit(calls((OK, None)) + calls(*down, ago=60), NOW) is None


def test_a_lost_trial_does_not_block_for_ever() -> None:
    """A trial whose worker died, or whose job another one has, frees its place."""
    assert open_circuit(calls(RUNNING, lost=True) + calls(*[DOWN] * 5, ago=61), NOW) is None


@pytest.mark.parametrize("code", sorted(STOPPING))
def test_an_operator_s_fault_opens_it_at_once(code: ErrorCode) -> None:
    """An empty account is asked again only after a longer pause, and orders fail by the fault's own name meanwhile."""
    blocked = open_circuit(calls((OK, None), (REFUSED, code), (REFUSED, ErrorCode.RATE_LIMITED), ago=299), NOW)
    assert blocked is not None
    assert (blocked.code, blocked.failure, blocked.blame) == (code, Failure.PERMANENT, Blame.ADMIN)
    assert open_circuit(calls((REFUSED, code), ago=300), NOW) is None


def test_an_outage_of_the_trial_keeps_it_open() -> None:
    """The key may be mended, but nobody knows until a call is answered: the next trial is after the next pause."""
    blocked = open_circuit(calls((REFUSED, ErrorCode.FUNDS), DOWN, ago=59), NOW)
    assert blocked is not None
    assert blocked.code is ErrorCode.CIRCUIT_OPEN


def test_a_clock_that_was_ahead_closes_nothing() -> None:
    """An end in the future was written under a wrong clock: its pause would have no end that anybody knows."""
    assert open_circuit(calls(*[DOWN] * 5, ago=-3600), NOW) is None
    assert open_circuit(calls((REFUSED, ErrorCode.FUNDS), ago=-1), NOW) is None


@pytest.mark.parametrize("code", [ErrorCode.CONCURRENCY, ErrorCode.RATE_LIMITED, ErrorCode.NO_IMAGE, "never_arrived"])
def test_busy_is_not_broken(code: str) -> None:
    """A full account or a glitch says nothing about an outage, neither for it nor against it."""
    assert open_circuit(calls(*[(REFUSED, code)] * 10), NOW) is None
    assert open_circuit(calls(*[DOWN] * 5, (REFUSED, code)), NOW) is not None


def test_a_person_s_refused_prompt_proves_that_the_provider_lives() -> None:
    """A refusal is an answer: it closes the count of outages."""
    assert open_circuit(calls(*[DOWN, (REFUSED, ErrorCode.PROMPT_BLOCKED)] * 5), NOW) is None


# --- secrets ------------------------------------------------------------------------------------------------------

SECRET = "very-secret-key-123"


async def test_no_secret_reaches_a_log_or_a_text(caplog: pytest.LogCaptureFixture) -> None:
    """Keys, proxy passwords, callback tokens and signed links appear in no log record, message or repr."""
    caplog.set_level(logging.DEBUG)
    texts: list[str] = []
    callback = f"https://bot.example/hook?token={SECRET}"
    echo = reply(400, {"code": 1201, "message": f"key {SECRET}", "error": {"message": f"key {SECRET}"}})
    async with scripted(echo) as server:
        banana = NanoBanana(api_key=SECRET, base_url=server.url)
        kling = Kling(api_key=SECRET, base_url=server.url)
        request = ImageRequest(model="m", prompt="a")
        for call in (
            lambda: banana.generate(request),
            banana.check,
            kling.check,
            lambda: kling.submit(replace(CLIP, callback_url=callback)),
            lambda: kling.download(f"{server.url}/clip.mp4?signature={SECRET}"),
        ):
            with pytest.raises(ProviderError) as caught:
                await call()
            texts += [str(caught.value), repr(caught.value), repr(caught.value.__cause__)]
        texts += [repr(thing) for thing in (banana, kling, vars(banana), vars(kling))]
        texts.append(repr(replace(CLIP, callback_url=callback)))
        await banana.close()
        await kling.close()
    proxied = NanoBanana(api_key="another", base_url="http://127.0.0.1:9", proxy=f"http://user:{SECRET}@127.0.0.1:9")
    with pytest.raises(ProviderError) as caught:
        await proxied.check()
    texts += [str(caught.value), repr(caught.value)]
    await proxied.close()
    assert SECRET not in "\n".join(texts)
    assert SECRET not in caplog.text


def test_pictures_and_prompts_stay_out_of_reprs() -> None:
    """What people sent and got is theirs: requests and results print without it."""
    photo = Photo(b"private-bytes", "image/png")
    shown = [
        photo,
        ImageRequest("m", "private words", photos=(photo,)),
        ImageResult(b"private-bytes", "image/png", 1),
        replace(CLIP, prompt="private words", photo=photo),
    ]
    assert "private" not in repr(shown)


# --- the registry -------------------------------------------------------------------------------------------------


async def test_only_providers_with_a_key_are_open() -> None:
    """A missing key switches its provider off and nothing else."""
    both = open_providers(gemini_api_key="a-key", kling_api_key="b-key")
    none = open_providers()
    assert isinstance(both.image("nano_banana"), NanoBanana)
    assert isinstance(both.video("kling"), Kling)
    assert none.image("nano_banana") is None
    assert none.video("kling") is None
    await both.close()
    await both.close()


async def test_connections_are_limited_and_all_callers_are_served() -> None:
    """A hundred calls at once share fifty connections and all get their answer."""
    peak = busy = 0

    async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal peak, busy
        busy += 1
        peak = max(peak, busy)
        await reader.readuntil(b"\r\n\r\n")
        await asyncio.sleep(0.05)
        writer.write(b'HTTP/1.1 200 OK\r\nContent-Length: 13\r\nConnection: close\r\n\r\n{"models":[]}')
        await writer.drain()
        writer.close()
        busy -= 1

    server = await asyncio.start_server(slow, "127.0.0.1", 0, backlog=200)
    provider = NanoBanana(api_key="key-1", base_url=f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
    answers = await asyncio.gather(*(provider.models() for _ in range(100)))
    await provider.close()
    server.close()
    await server.wait_closed()
    assert len(answers) == 100
    assert 10 < peak <= 50


@pytest.mark.parametrize(
    "greeting",
    [
        b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 Connection established\r\n\r\n",
        b"",
    ],
)
async def test_a_proxy_that_refuses_has_sent_nothing_on(greeting: bytes) -> None:
    """What a proxy is asked before the tunnel stands is no request of ours: the call may be repeated."""

    async def proxy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(greeting)
        writer.close()

    server = await asyncio.start_server(proxy, "127.0.0.1", 0)
    address = f"http://user:{SECRET}@127.0.0.1:{server.sockets[0].getsockname()[1]}"
    provider = NanoBanana(api_key=SECRET, base_url="https://provider.invalid", proxy=address)
    with pytest.raises(ProviderError) as caught:
        await provider.generate(ImageRequest("m", "a"))
    await provider.close()
    server.close()
    await server.wait_closed()
    assert (caught.value.code, caught.value.failure) == (ErrorCode.NETWORK, Failure.TEMPORARY)
    assert SECRET not in str(caught.value)
