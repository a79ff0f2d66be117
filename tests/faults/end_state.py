"""What must be true when a scenario has ended, wherever the process was killed."""

from __future__ import annotations

import contextlib
import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from database.audit.checks import check_file, run_checks
from database.engine import SqliteFile
from tests.faults import points
from tests.faults.instrument import AFTER, BEFORE, KILLED
from tests.faults.processes import Violation
from tests.faults.scenario import Scenario
from tests.faults.scenario_env import ScenarioEnv
from tests.support.bot_env import ANYA

# Where an answer may be lost: the call, and the commit that records the answer.
IMAGE_CALL = "http services.providers.nano_banana.NanoBanana.generate"
IMAGE_RECORDED = "commit database.jobs.finish"
DELIVERY_CALLS = {"document": "telegram SendDocument", "photo": "telegram SendPhoto", "video": "telegram SendVideo"}
DELIVERY_RECORDED = "commit database.assets.remember_file_ids"


def check(env: ScenarioEnv, scenario: Scenario) -> None:
    """Raises Violation, naming everything that is wrong."""
    wrong = [*_unknown_points(env), *_books(env)]
    if scenario.program == "bot":
        wrong += [*_final_states(env, scenario), *_providers(env, scenario), *_deliveries(env, scenario)]
    wrong += _errors_in_log(env, scenario)
    if scenario.check is not None:
        try:
            scenario.check(env)
        except AssertionError as error:
            wrong.append(str(error))
    if wrong:
        raise Violation("; ".join(wrong))


def _unknown_points(env: ScenarioEnv) -> Iterable[str]:
    """The list of points is whole: what is passed at run time was found in the code."""
    unknown = {point for _, point in env.passed if point} - points.names()
    return [
        f"passed, and not found in the code: {one}"
        for one in sorted(unknown)
        if not one.startswith("commit tests.faults.patches.")
    ]


def _books(env: ScenarioEnv) -> Iterable[str]:
    """The rules I1 to I9 by the same checks as `audit`, and the file's own."""
    file = SqliteFile.open(env.path, lambda: int(env.clock.now() * 1000))
    try:
        found = [*file.read(run_checks), *file.read(check_file)]
    finally:
        file.close()
    return [f"{one.check}: {one.sentence} ({', '.join(one.ids)})" for one in found]


def _final_states(env: ScenarioEnv, scenario: Scenario) -> Iterable[str]:
    entries = env.final_rows("SELECT reason, amount FROM ledger WHERE user_id = ? AND id > 1 ORDER BY id", ANYA)
    jobs = [row[0] for row in env.final_rows("SELECT status FROM jobs ORDER BY created_at, id")]
    spent = env.final_rows("SELECT 1 FROM provider_calls WHERE outcome IS NULL OR outcome <> 'refused'")
    if scenario.may_be_refunded and env.kills and jobs == ["failed"] and len(spent) == 2:
        refunded = ("refund", -scenario.entries[0][1])
        scenario = replace(scenario, jobs=("failed",), entries=(*scenario.entries, refunded))
    if sorted(entries) != sorted(scenario.entries):
        yield f"Anya's entries are {entries}, not {list(scenario.entries)}"
    if sorted(jobs) != sorted(scenario.jobs):
        yield f"the jobs ended {jobs}, not {list(scenario.jobs)}"
    payments = [row[0] for row in env.final_rows("SELECT status FROM payments ORDER BY created_at, id")]
    if scenario.payments is not None and sorted(payments) != sorted(scenario.payments):
        yield f"the payments ended {payments}, not {list(scenario.payments)}"
    open_refunds = env.final_rows("SELECT id, status FROM refunds WHERE status IN ('taken', 'sent')")
    if open_refunds:
        yield f"refunds without an end: {open_refunds}"
    held = env.final_rows("SELECT job_id FROM reservations WHERE state = 'reserved'")
    if held:
        yield f"money is still held for {held}"


def _providers(env: ScenarioEnv, scenario: Scenario) -> Iterable[str]:
    """One paid task an order; one more image for each kill that may have lost the answer."""
    orders: dict[int, int] = dict(env.final_rows("SELECT type IN ('image', 'edit'), COUNT(*) FROM jobs GROUP BY 1"))
    tasks = [task.order.external_id for task in env.sandbox.world.faces["kling"].store.tasks.values()]
    videos = orders.get(0, 0) if scenario.videos is None else scenario.videos
    if len(tasks) != len(set(tasks)) or len(tasks) > videos:
        yield f"Kling was asked for {tasks} though {videos} videos were ordered"
    billed = env.sandbox.world.faces["gemini"].ledger.report()["billed_calls"]
    lost = killed_in_doubt(env.passed, IMAGE_CALL, until=IMAGE_RECORDED)
    if billed > orders.get(1, 0) + lost + scenario.extra_images:
        yield f"{billed} images were billed for {orders.get(1, 0)} orders and {lost} answers that may be lost"


def _deliveries(env: ScenarioEnv, scenario: Scenario) -> Iterable[str]:
    """Every completed job's result is in the chat once; a copy only where Telegram's answer was lost."""
    telegram = env.sandbox.world.faces["telegram"]
    chats = [chat for bot in telegram.bots.values() for chat in bot.chats.values() if chat.person.id == ANYA]
    there = Counter(
        _kind_of(message.data) for chat in chats for message in chat.messages.values() if not message.outgoing
    )
    more = scenario.undelivered + scenario.shown_again * (1 + env.kills)  # what a tap asks for is repeated after a kill
    query = "SELECT type IN ('image', 'edit'), COUNT(*) FROM jobs WHERE delivered_at > 0 GROUP BY 1"
    done: dict[int, int] = dict(env.final_rows(query))
    for kind, wanted in {"document": done.get(1, 0), "photo": done.get(1, 0), "video": done.get(0, 0)}.items():
        lost = killed_in_doubt(env.passed, DELIVERY_CALLS[kind], until=DELIVERY_RECORDED)
        if not wanted <= there[kind] <= wanted + lost + more:
            yield f"{there[kind]} of {kind} for {wanted} delivered results and {lost} lost answers"
    missing = env.final_rows("SELECT id FROM jobs WHERE status = 'completed' AND delivered_at IS NULL")
    if len(missing) != scenario.undelivered:
        yield f"not delivered: {missing}"


def _kind_of(message: dict[str, Any]) -> str:
    """A silent video comes as an animation with a document beside it (docs/reference/telegram.md, section 5)."""
    kinds = {"animation": "video", "video": "video", "photo": "photo", "document": "document"}
    return next((kind for name, kind in kinds.items() if name in message), "")


def killed_in_doubt(passed: list[tuple[str, str]], call: str, *, until: str) -> int:
    """How many kills fell between the beginning of a call and the commit that records its answer."""
    assert {call, until} <= points.names()
    begun = lost = 0
    for edge, point in passed:
        if edge == KILLED:
            lost, begun = lost + begun, 0
        elif (edge, point) == (BEFORE, call):
            begun = 1
        elif (edge, point) == (AFTER, until):
            begun = 0
    return lost


def _errors_in_log(env: ScenarioEnv, scenario: Scenario) -> Iterable[str]:
    """An error in the log is a fault that nobody planned: a kill leaves none behind."""
    for line in (env.folder / "log").read_text(encoding="utf-8", errors="replace").splitlines():
        with contextlib.suppress(ValueError):
            record = json.loads(line)
            if record.get("level") in ("ERROR", "CRITICAL") and record.get("event") not in scenario.expected_errors:
                yield f"the log says {line[:1500]}"
