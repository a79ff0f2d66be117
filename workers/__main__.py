"""`python -m workers [--processes N]`: run the queue's steps until SIGTERM or Ctrl-C.

The parent imports everything once, forks the workers and waits for them. It opens no connection and starts no thread,
so it can fork again at any time. A worker that ends for any reason (Redis is down during a job, the system killed it
for its memory) is started again.
"""

from __future__ import annotations

import argparse
import contextlib
import logging
import multiprocessing
import os
import signal
import socket
import sys
import threading
import time
from multiprocessing import connection
from multiprocessing.context import ForkProcess
from typing import Final

from redis import Redis
from redis.exceptions import RedisError

from services.catalogue import SHIPPED, CatalogueError, load_catalogue
from services.common.log import event, log_context, setup_logging
from services.media.store import AssetError, open_assets
from services.settings import Settings, settings_or_exit
from workers.guard import GuardedWorker, preload

GRACE_SECONDS: Final = 170  # an image may take 150 s, and one that is cut off is paid for twice
KILL_SECONDS: Final = 5
RESTART_SECONDS: Final = (1.0, 30.0)  # first and longest pause before a worker that ended is started again
HEALTHY_SECONDS: Final = 60.0  # after a worker has run this long, the first pause is used again

_log = logging.getLogger("workers")


def main(arguments: list[str] | None = None) -> int:
    """Run the workers. The exit status is 0 after an orderly stop and 2 for faulty settings.

    It is 1 for a faulty catalogue or a folder where no result can be stored.
    """
    options = _parser().parse_args(arguments)
    settings = settings_or_exit()
    if settings.redis_url is None:
        print(
            "REDIS_URL is missing: workers take their jobs from Redis, so set it (redis://host:6379) for the bot and "
            "the workers. Without it the bot runs all jobs itself and needs no worker.",
            file=sys.stderr,
        )
        return 2
    setup_logging(settings.log_level, settings.log_format, settings.secret_values())
    try:
        load_catalogue(settings.catalogue_path or SHIPPED)  # each step opens both, so a fault is reported here once
        open_assets(settings.assets_url)
    except (CatalogueError, AssetError) as error:
        print(error, file=sys.stderr)
        return 1
    preload()
    return Supervisor(settings, options.processes, options.grace).run()


class Supervisor:
    """Keeps `count` worker processes running until it is told to stop, then gives them `grace` seconds to finish."""

    def __init__(self, settings: Settings, count: int, grace: float) -> None:
        self._settings = settings
        self._grace = grace
        # Never written to. The children hold the reading end; when it closes, this process has ended.
        self._life = os.pipe()
        self._slots = [_Slot(number) for number in range(1, count + 1)]
        self._stopping = False

    def run(self) -> int:
        # Signals become bytes on a socket, so that the one wait below returns for them as for a child's end.
        alarm, wakeup = socket.socketpair()
        alarm.setblocking(False)
        wakeup.setblocking(False)
        signal.set_wakeup_fd(wakeup.fileno(), warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)
        with alarm, wakeup:
            while not self._stopping:
                pause = self._start_due()
                connection.wait([alarm, *self._sentinels()], timeout=pause)
            self._drain()
            signal.set_wakeup_fd(-1)
        return 0

    def _stop(self, _signal: int, _frame: object) -> None:
        self._stopping = True

    def _sentinels(self) -> list[int]:
        return [slot.process.sentinel for slot in self._slots if slot.process is not None]

    def _start_due(self) -> float | None:
        """Start each worker that is not running and is due; returns the seconds until the next one is due, if any."""
        pauses = []
        for slot in self._slots:
            slot.reap()
            if slot.process is None and (wait := slot.due - time.monotonic()) > 0:
                pauses.append(wait)
            elif slot.process is None:
                slot.start(self._settings, self._life)
        return min(pauses, default=None)

    def _drain(self) -> None:
        running = [slot.process for slot in self._slots if slot.process is not None]
        event(_log, "workers.stopping", processes=len(running), grace_seconds=self._grace)
        # At the second SIGTERM RQ drops the current job; its step is sent again after its lease.
        for order, patience in ((signal.SIGTERM, self._grace), (signal.SIGTERM, KILL_SECONDS), (signal.SIGKILL, 1)):
            for process in running:
                _signal(process, order)
            deadline = time.monotonic() + patience
            while running and (left := deadline - time.monotonic()) > 0:
                connection.wait([process.sentinel for process in running], timeout=left)
                running = [process for process in running if process.is_alive()]
            if not running:
                break
        event(_log, "workers.stopped")


class _Slot:
    """One worker process, and when it may be started again."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.process: ForkProcess | None = None
        self.due = 0.0
        self._pause = RESTART_SECONDS[0]
        self._started = 0.0

    def start(self, settings: Settings, life: tuple[int, int]) -> None:
        context = multiprocessing.get_context("fork")
        self.process = context.Process(target=work, args=(settings, self.number, life), name=f"worker-{self.number}")
        self._started = time.monotonic()
        self.process.start()

    def reap(self) -> None:
        if self.process is None or self.process.is_alive():
            return
        event(_log, "worker.ended", level=logging.WARNING, worker=self.number, status=self.process.exitcode)
        self.process.close()
        self.process = None
        if time.monotonic() - self._started > HEALTHY_SECONDS:
            self._pause = RESTART_SECONDS[0]
        self.due = time.monotonic() + self._pause
        self._pause = min(self._pause * 2, RESTART_SECONDS[1])


def work(settings: Settings, number: int, life: tuple[int, int]) -> None:
    """The code of one worker process: wait until Redis answers, then take jobs until told to stop.

    `life` is the supervisor's pipe; when it closes, the worker stops as on SIGTERM.
    """
    signal.set_wakeup_fd(-1)
    for name in (signal.SIGTERM, signal.SIGINT):
        signal.signal(name, signal.SIG_DFL)
    reading, writing = life
    os.close(writing)
    threading.Thread(target=_stop_with_parent, args=(reading,), name="parent", daemon=True).start()
    with log_context(worker=number):
        client = Redis.from_url(settings.redis_url or "", socket_connect_timeout=2, socket_timeout=30)
        _wait_for_redis(client)
        event(_log, "worker.started", pid=os.getpid())
        GuardedWorker(client).work(logging_level=None)


def _stop_with_parent(reading: int) -> None:
    os.read(reading, 1)
    os.kill(os.getpid(), signal.SIGTERM)


def _wait_for_redis(client: Redis) -> None:
    pause = 0.5
    told = False
    while True:
        try:
            client.ping()
            return
        except (RedisError, OSError) as error:
            if not told:
                event(_log, "worker.waits_for_redis", level=logging.WARNING, error=type(error).__name__)
            told = True
            time.sleep(pause)
            pause = min(pause * 2, 5.0)


def _signal(process: ForkProcess, number: signal.Signals) -> None:
    if process.is_alive() and process.pid is not None:
        os.kill(process.pid, number)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m workers", description="Run the steps that wait in the queue.")
    parser.add_argument("--processes", type=_count, default=2, help="jobs at once, a process each (default 2)")
    parser.add_argument(
        "--grace", type=_seconds, default=GRACE_SECONDS, help="seconds a running job gets on stop (default %(default)s)"
    )
    return parser


def _count(text: str) -> int:
    with contextlib.suppress(ValueError):
        if 1 <= (number := int(text)) <= 500:
            return number
    raise argparse.ArgumentTypeError("give a number from 1 to 500")


def _seconds(text: str) -> float:
    with contextlib.suppress(ValueError):
        if 0 <= (number := float(text)) <= 86400:
            return number
    raise argparse.ArgumentTypeError("give a number of seconds from 0 to 86400")


if __name__ == "__main__":
    raise SystemExit(main())
