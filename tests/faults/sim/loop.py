"""An event loop in virtual time: when nothing can run, its clock jumps to the next timer. No threads, no sockets."""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Callable, Coroutine, Generator
from contextvars import Context
from typing import Any, TypeVar, TypeVarTuple

MOST_STEPS = 3_000_000
T = TypeVar("T")
Ts = TypeVarTuple("Ts")


class Stuck(Exception):
    """The world does not end: nothing can run any more, or it never stops running."""


class SimTask(asyncio.Task[Any]):
    """A task that knows its number and the simulated process it belongs to.

    The number is its hash, so that sets of tasks have the same order in every run.
    """

    def __init__(
        self, coro: Any, *, number: int, process: object, loop: asyncio.AbstractEventLoop, **more: Any
    ) -> None:
        self.number = number
        self.process = process
        super().__init__(coro, loop=loop, **more)

    def __hash__(self) -> int:
        return self.number


class SimLoop(asyncio.SelectorEventLoop):
    """Virtual seconds from 0.

    `process_of` names the simulated process that creates a task; `duration` draws how long a piece of work in a thread
    takes, before and after it has its effect.
    """

    def __init__(self, process_of: Callable[[Context | None], object], duration: Callable[[], float]) -> None:
        self._now = 0.0
        self._process_of = process_of
        self._duration = duration
        self._numbers = 0
        self.steps = 0
        super().__init__()
        self.set_task_factory(self._task)

    def time(self) -> float:
        return self._now

    def _task(
        self, _: asyncio.AbstractEventLoop, coro: Coroutine[Any, Any, T] | Generator[Any, None, T], /, **more: Any
    ) -> asyncio.Future[T]:
        self._numbers += 1
        process = self._process_of(more.get("context"))
        return SimTask(coro, number=self._numbers, process=process, loop=self, **more)

    def tasks_of(self, process: object) -> list[SimTask]:
        """The unfinished tasks of one simulated process, oldest first."""
        mine = [one for one in asyncio.all_tasks(self) if isinstance(one, SimTask) and one.process is process]
        return sorted(mine, key=lambda one: one.number)

    def _run_once(self) -> None:
        ready, timers = self._ready, self._scheduled  # type: ignore[attr-defined]  # typeshed does not know them
        if not ready:
            while timers and timers[0]._cancelled:
                heapq.heappop(timers)._scheduled = False
            if not timers:
                raise Stuck("nothing can run any more: everybody waits for somebody")
            self._now = max(self._now, timers[0]._when)
        while timers and timers[0]._when <= self._now:
            timer = heapq.heappop(timers)
            timer._scheduled = False
            if not timer._cancelled:
                ready.append(timer)
        for _ in range(len(ready)):
            handle = ready.popleft()
            self.steps += 1
            if not handle._cancelled:
                handle._run()
        if self.steps > MOST_STEPS:
            raise Stuck(f"{MOST_STEPS} steps were not enough, at {self._now:.0f} simulated seconds")

    def run_in_executor(self, executor: object, func: Callable[[*Ts], T], *args: *Ts) -> asyncio.Future[T]:
        """A "thread": the work is done whole at a drawn moment, its answer comes a while later."""
        future: asyncio.Future[T] = self.create_future()
        self.create_task(self._in_a_thread(future, func, args))
        return future

    async def _in_a_thread(self, future: asyncio.Future[Any], func: Callable[..., Any], args: tuple[Any, ...]) -> None:
        await asyncio.sleep(self._duration())
        try:
            answer, error = func(*args), None
        except Exception as raised:
            answer, error = None, raised
        await asyncio.sleep(self._duration())
        if future.done():
            return
        if error is None:
            future.set_result(answer)
        else:
            future.set_exception(error)
