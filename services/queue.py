"""The job queue: RQ on Redis, or tasks of this process when Redis is not set or down.

A message says only "run this step for this job". The row in the database decides whether there is anything to do, so
a message may be lost, doubled or late without harm: the scheduler sends lost ones again, and the step's claim refuses
a double. RQ's own result of a message is not used.

Messages have RQ's default format (pickle) and hold plain values, so a standard `rq worker` can run them as well.
"""

from __future__ import annotations

import asyncio
import importlib
import logging
import re
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeVar

import rq
from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from database import clock
from services.common.log import event, log_context

StepName = Literal["image", "submit", "finish"]
Place = Literal["redis", "local"]

FUNCTIONS: Final[dict[StepName, str]] = {
    "image": "workers.image_worker.run",
    "submit": "workers.video_worker.submit",
    "finish": "workers.video_worker.finish",
}
"""Step name → the function `async def f(job_id: str) -> None` that does it. Workers run only these."""

TIMEOUTS: Final[dict[StepName, int]] = {"image": 700, "submit": 300, "finish": 900}
"""Seconds after which a step is stopped. Each is longer than its provider's deadline, so that steps end before it."""

QUEUE_NAME: Final = "default"
MESSAGE_TTL: Final = clock.HOUR_SECONDS  # how long a message may wait; long before that the scheduler sends a new one
RESULT_TTL: Final = 600
FAILURE_TTL: Final = clock.DAY_SECONDS

REDIS_TIMEOUT: Final = 1.5  # seconds for one answer of Redis
REDIS_PAUSE: Final = 5.0  # seconds without calls to Redis after it failed
_MESSAGE_ID = re.compile(r"[A-Za-z0-9_-]{1,200}")

_log = logging.getLogger(__name__)
_Answer = TypeVar("_Answer")


@dataclass(frozen=True, slots=True)
class Step:
    """One step of one job. `message_id` is unique for each message: a step that is sent again has a new one."""

    name: StepName
    job_id: str
    message_id: str

    def __post_init__(self) -> None:
        if self.name not in FUNCTIONS:
            raise ValueError(f"no such step: {self.name!r}")
        if not _MESSAGE_ID.fullmatch(self.message_id):
            raise ValueError(f"a message id is 1 to 200 of A-Z, a-z, 0-9, _ and -, not {self.message_id!r}")


class RedisAway(Exception):
    """Redis is not set, does not answer, or failed less than `REDIS_PAUSE` ago."""


class Queue:
    """Sends steps to workers. Create and use it in one event loop, and `close()` it there.

    `redis_url` None means that every step runs in this process. `local_slots` of them run at once and `local_waiting`
    more may wait; further steps are dropped with a log record, and the scheduler sends them again.
    """

    def __init__(
        self,
        redis_url: str | None,
        *,
        local_slots: int = 8,
        local_waiting: int = 1000,
        functions: Mapping[StepName, str] = FUNCTIONS,
        timeouts: Mapping[StepName, float] = TIMEOUTS,
        redis_timeout: float = REDIS_TIMEOUT,
        redis_pause: float = REDIS_PAUSE,
    ) -> None:
        self._functions = functions
        self._timeouts = timeouts
        self._link = _RedisLink(redis_url, redis_timeout, redis_pause) if redis_url else None
        self._local = _LocalRunner(self._run_here, local_slots, local_waiting)

    async def submit(self, step: Step) -> Place:
        """Send `step` to the workers, or run it here when Redis can't take it; returns which. Redis raises nothing."""
        if self._link is not None:
            try:
                await self._link.call(lambda client: self._enqueue(client, step))
            except RedisAway:
                event(_log, "queue.fallback", level=logging.DEBUG, message_id=step.message_id)
            else:
                event(_log, "queue.sent", level=logging.DEBUG, message_id=step.message_id, job_id=step.job_id)
                return "redis"
        self._local.submit(step)
        return "local"

    async def waiting(self) -> set[str] | None:
        """The ids of messages that need not be sent again: they wait in Redis or run in this process.

        None when Redis is set and cannot be asked.
        """
        if self._link is None:
            return self._local.message_ids()
        try:
            return self._local.message_ids() | await self._link.call(_waiting)
        except RedisAway:
            return None

    async def healthy(self) -> bool:
        """False when Redis is set and does not answer. It is asked even during the pause."""
        try:
            await self.reach()
        except RedisAway:
            return False
        return True

    async def reach(self) -> None:
        """Ask Redis for an answer, if it is set. Raises RedisAway with its reason."""
        if self._link is not None:
            await self._link.call(lambda client: client.ping(), probe=True)

    async def depth(self) -> int:
        """How many steps wait for a worker or a slot. Steps in Redis count only when it answers."""
        local = self._local.depth
        if self._link is None:
            return local
        try:
            return local + await self._link.call(lambda client: _redis_queue(client).count)
        except RedisAway:
            return local

    async def close(self, grace_seconds: float = 10.0) -> None:
        """Take no more steps, wait up to `grace_seconds` for those running here, cancel the rest, close Redis.

        A cancelled or waiting step is not lost: its job is sent again after its lease.
        """
        await self._local.close(grace_seconds)
        if self._link is not None:
            await self._link.close()

    def _enqueue(self, client: Redis, step: Step) -> None:
        _redis_queue(client).enqueue_call(
            self._functions[step.name],
            args=(step.job_id,),
            job_id=step.message_id,
            timeout=int(self._timeouts[step.name]),
            ttl=MESSAGE_TTL,
            result_ttl=RESULT_TTL,
            failure_ttl=FAILURE_TTL,
            description=f"{step.name} {step.job_id}",
        )

    async def _run_here(self, step: Step) -> None:
        """Run a step in this process as a worker would: with its time limit, and without raising its errors."""
        with log_context(job_id=step.job_id, step=step.name, message_id=step.message_id):
            try:
                async with asyncio.timeout(self._timeouts[step.name]):
                    await load_function(self._functions[step.name])(step.job_id)
            except TimeoutError:
                event(_log, "step.timed_out", level=logging.ERROR)
            except Exception:
                event(_log, "step.crashed", level=logging.ERROR)


class _RedisLink:
    """One synchronous client on a thread of its own: RQ has no async one, and Redis may hang."""

    def __init__(self, url: str, timeout: float, pause: float) -> None:
        # One repeat, because a connection is closed when Redis is restarted.
        self._client = Redis.from_url(
            url, socket_timeout=timeout, socket_connect_timeout=timeout, retry=Retry(NoBackoff(), 1)
        )
        self._pause = pause
        self._down_until = 0.0
        self._is_down = False
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="queue")

    async def call(self, function: Callable[[Redis], _Answer], *, probe: bool = False) -> _Answer:
        """Run `function` on the thread. `probe`: also during the pause after a failure.

        Raises:
            RedisAway: when there was no answer.
        """
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(self._thread, self._call, function, probe)
        except RuntimeError as error:  # the executor is shut down
            raise RedisAway from error

    def _call(self, function: Callable[[Redis], _Answer], probe: bool) -> _Answer:
        # Checked on this thread, so that calls which waited behind a failing one give up at once.
        if not probe and clock.steady() < self._down_until:
            raise RedisAway
        try:
            answer = function(self._client)
        except (RedisError, OSError) as error:
            self._down_until = clock.steady() + self._pause
            if not self._is_down:
                event(_log, "queue.redis_down", level=logging.WARNING, error=type(error).__name__, detail=str(error))
            self._is_down = True
            raise RedisAway(str(error)) from error
        if self._is_down:
            event(_log, "queue.redis_back")
        self._is_down, self._down_until = False, 0.0
        return answer

    async def close(self) -> None:
        # This does not wait long: the thread's work ends with its socket timeouts.
        await asyncio.to_thread(self._thread.shutdown, cancel_futures=True)
        self._client.close()


class _LocalRunner:
    """Steps as tasks of this process, as many at once as there are slots."""

    def __init__(self, run: Callable[[Step], Coroutine[Any, Any, None]], slots: int, waiting: int) -> None:
        self._run = run
        self._slots = slots
        self._most_waiting = waiting
        self._waiting: deque[Step] = deque()
        self._running: dict[asyncio.Task[None], Step] = {}
        self._closed = False

    @property
    def depth(self) -> int:
        return len(self._waiting)

    def message_ids(self) -> set[str]:
        return {step.message_id for step in (*self._waiting, *self._running.values())}

    def submit(self, step: Step) -> None:
        if step.message_id in self.message_ids():
            return
        if self._closed or len(self._waiting) >= self._most_waiting:
            reason = "closing" if self._closed else "full"
            event(_log, "queue.dropped", level=logging.WARNING, message_id=step.message_id, reason=reason)
            return
        self._waiting.append(step)
        self._fill_slots()

    def _fill_slots(self) -> None:
        while self._waiting and len(self._running) < self._slots and not self._closed:
            step = self._waiting.popleft()
            task = asyncio.create_task(self._run(step), name=step.message_id)
            self._running[task] = step
            task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        del self._running[task]
        self._fill_slots()

    async def close(self, grace_seconds: float) -> None:
        self._closed = True
        if self._waiting:
            event(_log, "queue.left_waiting", count=len(self._waiting))
            self._waiting.clear()
        tasks = set(self._running)
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=grace_seconds)
            for task in late:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


def load_function(dotted: str) -> Callable[[str], Awaitable[None]]:
    """The function behind a dotted name, imported when first needed: services never import workers."""
    module, _, name = dotted.rpartition(".")
    function: Callable[[str], Awaitable[None]] = getattr(importlib.import_module(module), name)
    return function


def _redis_queue(client: Redis) -> rq.Queue:
    return rq.Queue(QUEUE_NAME, connection=client)


def _waiting(client: Redis) -> set[str]:
    """The ids in RQ's list, and in the list of messages that a worker has taken and not started yet."""
    queue = _redis_queue(client)
    return {*queue.get_job_ids(), *queue.intermediate_queue.get_job_ids()}
