"""The queue: every step reaches a worker or this process, whatever Redis does, and nothing waits without a bound."""

from __future__ import annotations

import asyncio
import logging
import pickle
import socket
import time
import zlib
from collections.abc import AsyncIterator, Callable
from typing import Any, cast

import pytest

from services.common.log import RedactingFilter
from services.queue import FUNCTIONS, Queue, Step, StepName
from tests.support import queue_steps
from tests.support.redis_fixture import RedisServer, mortal_redis, redis_process, redis_server

__all__ = ["mortal_redis", "redis_process", "redis_server"]  # fixtures, used by their names

STAND_INS: dict[StepName, str] = {
    "image": "tests.support.queue_steps.wait",
    "submit": "tests.support.queue_steps.fail",
    "finish": "tests.support.queue_steps.finish",
}
MakeQueue = Callable[..., Queue]


@pytest.fixture
async def make_queue() -> AsyncIterator[MakeQueue]:
    """`Queue` with stand-in steps, closed at the end of the test."""
    queue_steps.reset()
    made: list[Queue] = []

    def make(redis_url: str | None = None, **options: Any) -> Queue:
        made.append(Queue(redis_url, functions=STAND_INS, **options))
        return made[-1]

    yield make
    for queue in made:
        await queue.close(0)


def step(number: int, name: StepName = "image") -> Step:
    return Step(name, f"job{number}", f"job{number}-{name}-1")


async def until(holds: Callable[[], bool], seconds: float = 10) -> None:
    """Wait until `holds` is True."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "it never came true"
        await asyncio.sleep(0.01)


# --- a step ----------------------------------------------------------------------------------------


def test_every_step_has_a_worker_function() -> None:
    """The dotted names that workers may run are the specification's modules."""
    assert FUNCTIONS == {
        "image": "workers.image_worker.run",
        "submit": "workers.video_worker.submit",
        "finish": "workers.video_worker.finish",
    }


@pytest.mark.parametrize("message_id", ["", "a b", "a:b", "x" * 201, "job\n", "ж"])
def test_a_message_id_is_plain(message_id: str) -> None:
    """RQ takes letters, digits, _ and - only; another id is refused where it is made, not at Redis."""
    with pytest.raises(ValueError, match="message id"):
        Step("image", "job", message_id)


def test_an_unknown_step_is_refused() -> None:
    """Only the steps that have a worker function exist."""
    with pytest.raises(ValueError, match="no such step"):
        Step("delete", "job", "job-1")  # type: ignore[arg-type]


# --- without Redis ---------------------------------------------------------------------------------


async def test_without_redis_steps_run_here(make_queue: MakeQueue) -> None:
    """With no REDIS_URL a step runs in this process, once, with its job's id; the queue is healthy."""
    queue = make_queue()
    assert await queue.submit(step(1, "finish")) == "local"
    await until(lambda: queue_steps.ran == {"job1": 1})
    assert await queue.healthy()
    assert await queue.waiting() == set()


async def test_only_so_many_run_at_once(make_queue: MakeQueue) -> None:
    """Steps beyond the slots wait their turn in order, and all run."""
    queue = make_queue(local_slots=3)
    for number in range(10):
        await queue.submit(step(number))
    await until(lambda: len(queue_steps.running) == 3)
    assert queue_steps.running == {"job0", "job1", "job2"}
    assert await queue.depth() == 7
    assert await queue.waiting() == {step(number).message_id for number in range(10)}
    queue_steps.released.set()
    await until(lambda: len(queue_steps.ran) == 10)
    assert queue_steps.most_at_once == 3


async def test_waiting_is_bounded(make_queue: MakeQueue, caplog: pytest.LogCaptureFixture) -> None:
    """What comes beyond the bound is dropped and logged; its row will be found by the sweeper."""
    queue = make_queue(local_slots=1, local_waiting=2)
    for number in range(5):
        await queue.submit(step(number))
    await until(lambda: queue_steps.running == {"job0"})
    assert await queue.waiting() == {step(number).message_id for number in range(3)}
    assert [record.getMessage() for record in caplog.records] == ["queue.dropped"] * 2


async def test_the_same_message_twice_is_one(make_queue: MakeQueue) -> None:
    """A message that is waiting or running here is not taken a second time; afterwards it may come again."""
    queue = make_queue()
    for _ in range(3):
        await queue.submit(step(1))
    queue_steps.released.set()
    await until(lambda: queue_steps.ran["job1"] == 1 and not queue_steps.running)
    await until(lambda: not queue._local.message_ids())
    assert queue_steps.ran["job1"] == 1
    await queue.submit(step(1))
    await until(lambda: queue_steps.ran["job1"] == 2)


async def test_a_broken_step_stops_no_other(make_queue: MakeQueue, caplog: pytest.LogCaptureFixture) -> None:
    """A step that raises or overstays is logged with its job and gives its slot to the next."""
    queue = make_queue(local_slots=1, timeouts={"image": 0.05, "submit": 5, "finish": 5})
    caplog.handler.addFilter(RedactingFilter(str))
    await queue.submit(step(1, "submit"))
    await queue.submit(step(2, "image"))
    await queue.submit(step(3, "finish"))
    await until(lambda: queue_steps.ran["job3"] == 1)
    said = [(record.getMessage(), record.__dict__["fields"]["job_id"]) for record in caplog.records]
    assert said == [("step.crashed", "job1"), ("step.timed_out", "job2")]
    assert caplog.records[0].exc_info is not None


async def test_closing_waits_then_cancels(make_queue: MakeQueue, caplog: pytest.LogCaptureFixture) -> None:
    """Closing lets running steps end within the grace, cancels what does not, starts nothing more."""
    caplog.set_level(logging.INFO)
    patient, hasty = make_queue(local_slots=1), make_queue(local_slots=1)
    await patient.submit(step(1))
    await patient.submit(step(2))
    await until(lambda: queue_steps.running == {"job1"})
    asyncio.get_running_loop().call_later(0.05, queue_steps.released.set)
    await patient.close(grace_seconds=10)
    assert queue_steps.ran == {"job1": 1}
    assert "queue.left_waiting" in caplog.text
    queue_steps.released.clear()
    await hasty.submit(step(3))
    await until(lambda: queue_steps.running == {"job3"})
    start = time.monotonic()
    await hasty.close(grace_seconds=0.05)
    assert time.monotonic() - start < 2
    assert queue_steps.running == set()
    assert await hasty.submit(step(4)) == "local"
    assert await hasty.waiting() == set()
    assert queue_steps.ran == {"job1": 1}


# --- with Redis ------------------------------------------------------------------------------------


async def test_redis_holds_plain_values_with_bounds(make_queue: MakeQueue, redis_server: RedisServer) -> None:
    """A message in Redis is the function's name and the job's id, in RQ's own format, and nothing stays for ever."""
    queue = Queue(redis_server.url)
    assert await queue.submit(Step("image", "job1", "job1-image-1")) == "redis"
    assert await queue.submit(Step("submit", "job2", "job2-submit-1")) == "redis"
    assert await queue.waiting() == {"job1-image-1", "job2-submit-1"}
    assert await queue.depth() == 2
    assert await queue.healthy()
    await queue.close()
    with redis_server.client() as client:
        message = client.hgetall("rq:job:job1-image-1")
        data = pickle.loads(zlib_or_plain(message[b"data"]))
        assert data == ("workers.image_worker.run", None, ("job1",), {})
        assert (message[b"timeout"], message[b"result_ttl"], message[b"failure_ttl"]) == (b"700", b"600", b"86400")
        assert client.hget("rq:job:job2-submit-1", "timeout") == b"300"
        assert 0 < client.ttl("rq:job:job1-image-1") <= 3600
        assert b"retries_left" not in message


def zlib_or_plain(data: bytes) -> bytes:
    try:
        return zlib.decompress(data)
    except zlib.error:
        return data


async def test_a_dead_redis_sends_steps_here(
    make_queue: MakeQueue, mortal_redis: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    """Redis dies: steps run here at once. Redis returns: they go there again. Each change is logged once."""
    caplog.set_level(logging.INFO)
    queue = make_queue(mortal_redis.url, redis_pause=0.05)
    assert await queue.submit(step(1, "finish")) == "redis"
    with mortal_redis.client() as client:  # what a server on a slow disk still holds back would die with it
        await until(lambda: cast("dict[str, int]", client.info("persistence"))["aof_buffer_length"] == 0)
    mortal_redis.kill()
    for number in (2, 3, 4):
        assert await queue.submit(step(number, "finish")) == "local"
    await until(lambda: queue_steps.ran == {"job2": 1, "job3": 1, "job4": 1})
    assert not await queue.healthy()
    assert await queue.waiting() is None
    mortal_redis.start()
    assert await queue.healthy()
    assert await queue.submit(step(5, "finish")) == "redis"
    assert await queue.waiting() == {step(1, "finish").message_id, step(5, "finish").message_id}
    assert [record.getMessage() for record in caplog.records] == ["queue.redis_down", "queue.redis_back"]


async def test_after_a_failure_redis_is_left_alone(make_queue: MakeQueue, mortal_redis: RedisServer) -> None:
    """For the pause after a failure Redis is not asked, however many steps come, and then it is again."""
    mortal_redis.kill()
    queue = make_queue(mortal_redis.url, redis_pause=1.0)
    assert await queue.submit(step(1, "finish")) == "local"
    mortal_redis.start()
    assert await queue.submit(step(2, "finish")) == "local"
    places = []
    deadline = time.monotonic() + 10
    while "redis" not in places and time.monotonic() < deadline:
        places.append(await queue.submit(step(3, "finish")))
        await asyncio.sleep(0.05)
    assert places[-1] == "redis"


async def test_a_hanging_redis_does_not_stop_the_bot(make_queue: MakeQueue) -> None:
    """A Redis that accepts and never answers costs one step its timeouts; the loop runs on, and the rest goes here."""
    ticks = 0

    async def tick() -> None:
        nonlocal ticks
        while True:
            await asyncio.sleep(0.01)
            ticks += 1

    with socket.create_server(("127.0.0.1", 0)) as silent:
        queue = make_queue(f"redis://127.0.0.1:{silent.getsockname()[1]}", redis_timeout=0.3, redis_pause=60)
        ticking = asyncio.create_task(tick())
        start = time.monotonic()
        places = await asyncio.gather(*(queue.submit(step(number, "finish")) for number in range(20)))
        took = time.monotonic() - start
        ticking.cancel()
    assert places == ["local"] * 20
    assert took < 3, "twenty steps share the one wait"
    assert ticks > took / 0.01 / 4, "the loop was never blocked"
    await until(lambda: len(queue_steps.ran) == 20)
