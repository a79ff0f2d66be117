"""An event loop in virtual time: nothing is waited for, what waits longest comes last. No threads, no sockets."""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Callable, Coroutine
from contextvars import Context
from typing import Any

MOST_STEPS = 3_000_000


class Stuck(Exception):
    """The world did not come to an end: nothing can run any more, or it never stops running."""


class SimTask(asyncio.Task[Any]):
    """A task that knows its number and whose process it belongs to.

    The number is its hash: sets of tasks have the same order in every run.
    """

    def __init__(self, coro: Any, *, number: int, owner: object, loop: asyncio.AbstractEventLoop, **more: Any) -> None:
        self.number = number
        self.owner = owner
        super().__init__(coro, loop=loop, **more)

    def __hash__(self) -> int:
        return self.number


class SimLoop(asyncio.SelectorEventLoop):
    """Virtual seconds from 0. `owner_of` names the simulated process of whoever creates a task; `width` draws how long
    a piece of work in a thread takes, before and after it has its effect."""

    def __init__(self, owner_of: Callable[[Context | None], object], width: Callable[[], float]) -> None:
        self._now = 0.0
        self._owner_of = owner_of
        self._width = width
        self._numbers = 0
        self.steps = 0
        super().__init__()
        self.set_task_factory(self._task)

    def time(self) -> float:
        return self._now

    def _task(self, _: asyncio.AbstractEventLoop, coro: Coroutine[Any, Any, Any], **more: Any) -> SimTask:
        self._numbers += 1
        owner = self._owner_of(more.get("context"))
        return SimTask(coro, number=self._numbers, owner=owner, loop=self, **more)

    def tasks_of(self, owner: object) -> list[SimTask]:
        """The unfinished tasks of one simulated process, oldest first."""
        mine = [one for one in asyncio.all_tasks(self) if isinstance(one, SimTask) and one.owner is owner]
        return sorted(mine, key=lambda one: one.number)

    def _run_once(self) -> None:
        ready, timers = self._ready, self._scheduled  # type: ignore[attr-defined]
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

    def run_in_executor(self, _: Any, func: Callable[..., Any], *args: Any) -> asyncio.Future[Any]:  # type: ignore[override]
        """A "thread": the work is done whole at a drawn moment, its answer comes a while later."""
        future = self.create_future()
        self.create_task(self._in_a_thread(future, func, args))
        return future

    async def _in_a_thread(self, future: asyncio.Future[Any], func: Callable[..., Any], args: tuple[Any, ...]) -> None:
        await asyncio.sleep(self._width())
        try:
            answer, error = func(*args), None
        except Exception as raised:
            answer, error = None, raised
        await asyncio.sleep(self._width())
        if future.done():
            return
        if error is None:
            future.set_result(answer)
        else:
            future.set_exception(error)
