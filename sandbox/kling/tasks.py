"""Tasks, their slots and units, and the lists they are found in (docs/reference/kling.md, sections 3, 4, 9, 10)."""

from __future__ import annotations

import base64
import itertools
import json
from collections import Counter, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from sandbox.kling.errors import ApiError, invalid
from sandbox.kling.validation import Order

KEPT = 10_000
EXTERNAL_KEPT = 100_000
FRAMES_KEPT = 500
MONTH = 30 * 86_400.0
FINAL = frozenset({"succeeded", "failed"})


def units(tenths: int) -> str:
    """Units as the service writes them: `4`, `1.8`."""
    return f"{tenths // 10}.{tenths % 10}" if tenths % 10 else str(tenths // 10)


@dataclass
class Task:
    """One video task. Times are simulated seconds; `price` is tenths of a unit."""

    id: str
    order: Order
    created: float
    updated: float
    price: int
    status: str = "submitted"
    message: str = ""
    billed: int = 0
    spent_before: int = 0
    scenarios: dict[str, str] = field(default_factory=dict)
    visible_at: float = 0.0
    failing_gets: int = 0
    stale_urls: int = 0
    frames: list[bytes] = field(default_factory=list)

    @property
    def final(self) -> bool:
        return self.status in FINAL


class Store:
    """All tasks by id and by external id; limited in number, the oldest finished ones are dropped first."""

    def __init__(self, now: Callable[[], float], units_total: int) -> None:
        self._now = now
        self._numbers = itertools.count(1)
        self.tasks: dict[str, Task] = {}
        self._external: dict[str, list[str]] = {}
        self.busy: Counter[str] = Counter()
        self.peak: Counter[str] = Counter()
        self.units_total = units_total
        self.units_held = 0
        self.deductions: deque[tuple[float, int]] = deque()
        self.counts: Counter[str] = Counter()
        self._early = 0
        self._with_frames: deque[Task] = deque()

    @property
    def units_spent(self) -> int:
        return self.counts["billed_tenths"]

    def create(self, order: Order, *, slots: int, duplicates: bool = False) -> Task:
        """A new task with its slot and price; 1201 for a used external id, 1102 without units, 1303 without a slot."""
        if order.external_id in self._external and not duplicates:
            raise invalid("external_task_id already exists")
        if self.units_total - self.units_spent - self.units_held < order.price:
            raise ApiError(1102)
        if self.busy[order.model.id] >= slots:
            raise ApiError(1303)
        now = self._now()
        # About 18 digits: milliseconds and a running number.
        task = Task(f"{int(now * 1000)}{next(self._numbers) % 100_000:05d}", order, now, now, order.price)
        self.tasks[task.id] = task
        if order.external_id is not None:
            self._external.setdefault(order.external_id, []).append(task.id)
        self.busy[order.model.id] += 1
        self.peak[order.model.id] = max(self.peak[order.model.id], self.busy[order.model.id])
        self.units_held += task.price
        self.counts["created"] += 1
        self._forget()
        return task

    def keep_frames(self, task: Task, frames: list[bytes]) -> None:
        """Frames are kept for the latest tasks; an older video that is not made yet is drawn from its prompt."""
        if not frames:
            return
        task.frames = frames
        self._with_frames.append(task)
        if len(self._with_frames) > FRAMES_KEPT:
            self._with_frames.popleft().frames = []

    def move(self, task: Task, status: str, message: str = "", *, bill_failures: bool = False) -> bool:
        """A state change; False if the task has ended already. A failure costs nothing, unless it is billed too."""
        if task.final:
            return False
        task.status, task.message, task.updated = status, message, self._now()
        if status in FINAL:
            self.busy[task.order.model.id] -= 1
            self.units_held -= task.price
            self.counts[status] += 1
        if status == "succeeded" or (status == "failed" and bill_failures):
            task.billed, task.spent_before = task.price, self.units_spent
            self.counts["billed_tenths"] += task.price
            self._deduct(task.updated, task.price)
        return True

    def by_ids(self, ids: list[str]) -> list[Task]:
        return [self.tasks[one] for one in ids if one in self.tasks]

    def by_external(self, ids: list[str]) -> list[Task]:
        """Those found by external id; a task may be found there only after a delay."""
        found = (self.tasks.get(one) for external in ids for one in self._external.get(external, ()))
        return [task for task in found if task is not None and task.visible_at <= self._now()]

    def page(self, body: dict[str, Any]) -> dict[str, Any]:
        """`POST /tasks`: newest first, by cursor; `result` is missing if nothing is found.

        Facts: docs/reference/kling.md, section 3.
        """
        query = _query(body, self._now())
        found: list[Task] = []
        more = False
        for task in self._newest(query["before"]):
            created = int(task.created * 1000)
            if not query["start"] <= created <= query["end"] or task.visible_at > self._now():
                continue
            if task.status not in (query["status"] or [task.status]) or "video" not in (query["product"] or ["video"]):
                continue
            if len(found) == query["limit"]:
                more = True
                break
            found.append(task)
        cursor = ""
        if more:
            rest = {**query, "before": found[-1].id}
            cursor = base64.urlsafe_b64encode(json.dumps(rest).encode()).decode()
        page: dict[str, Any] = {"count": len(found), "next_cursor": cursor, "has_more": more}
        if found:
            page["result"] = found
        return page

    def remaining(self, lag: float) -> int:
        """Tenths of units left, as the account page shows them: the spending of the last `lag` seconds is missing."""
        known = self._early + sum(amount for at, amount in self.deductions if at <= self._now() - lag)
        return max(0, self.units_total - known)

    def _newest(self, before: str | None) -> Iterator[Task]:
        return (task for task in reversed(self.tasks.values()) if before is None or int(task.id) < int(before))

    def _deduct(self, at: float, amount: int) -> None:
        self.deductions.append((at, amount))
        if len(self.deductions) > KEPT:
            self._early += self.deductions.popleft()[1]

    def _forget(self) -> None:
        while len(self._external) > EXTERNAL_KEPT:
            del self._external[next(iter(self._external))]
        if len(self.tasks) <= KEPT:
            return
        for task in itertools.islice(self.tasks.values(), 100):
            if task.final:
                del self.tasks[task.id]
                # Its external id stays in use: an account may use each one once.
                return


def _query(body: dict[str, Any], now: float) -> dict[str, Any]:
    cursor = body.get("cursor")
    limit = body.get("limit", 100)
    if isinstance(limit, bool) or not isinstance(limit, int) or not 1 <= limit <= 500:
        raise invalid("limit value is invalid")
    if cursor:
        try:
            query = json.loads(base64.urlsafe_b64decode(cursor))
            return {
                "start": int(query["start"]),
                "end": int(query["end"]),
                "before": str(int(query["before"])),
                "limit": limit,
                "status": list(query["status"]),
                "product": list(query["product"]),
            }
        except (ValueError, TypeError, KeyError, OverflowError) as error:
            raise invalid("cursor value is invalid") from error
    filters: dict[str, list[str]] = {"status": [], "product_type": []}
    given = body.get("filters") or []
    for one in given if isinstance(given, list) else [None]:
        if not isinstance(one, dict) or one.get("key") not in list(filters) or not isinstance(one.get("values"), list):
            raise invalid("filters value is invalid")
        filters[one["key"]] += [str(value) for value in one["values"]]
    return {
        "start": _milliseconds(body, "start_time", now - MONTH),
        "end": _milliseconds(body, "end_time", now),
        "before": None,
        "limit": limit,
        "status": filters["status"],
        "product": filters["product_type"],
    }


def _milliseconds(body: dict[str, Any], name: str, default: float) -> int:
    value = body.get(name)
    if value in (None, ""):
        return int(default * 1000)
    if not isinstance(value, str) or not value.isdecimal() or len(value) > 16:
        raise invalid(f"{name} value is invalid")
    return int(value)
