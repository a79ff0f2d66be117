"""The worker that trusts nothing it reads from Redis.

RQ's format is pickle, and a message names the function to call, callbacks and webhooks. So anyone who can write to
Redis can run any code in a standard worker. This worker reads plain values only, calls only the steps listed in
`services.queue.FUNCTIONS` with one job id, and ignores callbacks. A forged message can at most ask for a step of a job,
and the job's row decides whether there is anything to do.
"""

from __future__ import annotations

import io
import logging
import pickle
from collections.abc import Awaitable, Callable
from typing import Any, ClassVar

from redis import Redis
from rq import Queue, Worker
from rq.job import Job

from services.common.log import event
from services.queue import FUNCTIONS, QUEUE_NAME, load_function

MAINTENANCE_SECONDS = 15
"""Seconds between searches for the lost messages of dead workers."""

WORKER_TTL = 30
"""Seconds. An idle worker wakes up after half of it, so that maintenance runs on time."""

_log = logging.getLogger(__name__)


class MessageRefused(Exception):
    """A message that is not ours: it names another function, or holds more than a job's id."""


class _PlainUnpickler(pickle.Unpickler):
    def find_class(self, module_name: str, global_name: str) -> Any:
        raise pickle.UnpicklingError(f"a message holds plain values only, not {module_name}.{global_name}")


class PlainSerializer:
    """RQ's own format, but reading refuses everything except plain values."""

    @staticmethod
    def dumps(value: Any) -> bytes:
        return pickle.dumps(value, protocol=pickle.HIGHEST_PROTOCOL)

    @staticmethod
    def loads(data: bytes) -> Any:
        return _PlainUnpickler(io.BytesIO(data)).load()


class GuardedJob(Job):
    """A message as our worker sees it: one listed function and one job id. Nothing else in it is run."""

    def restore(self, raw_data: Any) -> None:
        super().restore(raw_data)
        self._success_callback_name = self._failure_callback_name = self._stopped_callback_name = None
        self.webhooks = []
        self.retries_left = self.repeats_left = None

    @property
    def func(self) -> Callable[[str], Awaitable[None]]:
        """The step to run.

        Raises:
            MessageRefused: when the message is not ours.
            DeserializationError: when it cannot be read as plain values.
        """
        name, args = self.func_name, self.args
        plain = self.instance is None and not self.kwargs and len(args) == 1 and isinstance(args[0], str)
        if name is None or name not in FUNCTIONS.values() or not plain:
            event(_log, "message.refused", level=logging.WARNING, message_id=self.id, function=str(name)[:200])
            raise MessageRefused(self.id)
        return load_function(name)


class GuardedWorker(Worker):
    """A worker of the one queue: one job at a time, each in a forked process.

    Only one queue: with several, RQ takes a message without keeping it in a second list until it has started.
    """

    job_class: ClassVar[type[Job]] = GuardedJob  # type: ignore[misc]  # RQ declares it per instance, uses it per class

    def __init__(self, connection: Redis) -> None:
        queue = Queue(QUEUE_NAME, connection=connection, job_class=GuardedJob, serializer=PlainSerializer)
        super().__init__(
            [queue],
            connection=connection,
            job_class=GuardedJob,
            serializer=PlainSerializer,
            maintenance_interval=MAINTENANCE_SECONDS,
            worker_ttl=WORKER_TTL,
            log_job_description=False,
        )


def preload() -> None:
    """Import every step now, so that a forked job starts in milliseconds and the pages are shared."""
    for dotted in FUNCTIONS.values():
        load_function(dotted)
