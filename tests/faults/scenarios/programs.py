"""The database without the bot: a migration from version 1.3, and calls of another program."""

from __future__ import annotations

import contextlib
from typing import Any

from pysqlite3 import dbapi2 as sqlite

from tests.faults.processes import until
from tests.faults.scenario import Scenario
from tests.faults.scenario_env import ScenarioEnv
from tests.support.version_1_3 import VERSION_1_3


async def wait_for_end(env: ScenarioEnv) -> None:
    """Wait until a process has done all it had to do."""
    await until(lambda: env.process is not None and env.process.ended.done() and env.process.ended.result() == 0)


def make_version_1_3(env: ScenarioEnv) -> None:
    with contextlib.closing(sqlite.connect(str(env.path))) as connection:
        connection.executescript(VERSION_1_3)


def is_carried_over(env: ScenarioEnv) -> None:
    """Every wallet is in the ledger once, and the copy of the old file is whole."""
    balances: dict[int, int] = dict(env.final_rows("SELECT user_id, SUM(amount) FROM ledger GROUP BY user_id"))
    assert balances == {1: 15_075, 2: 30}, balances
    assert env.final_rows("SELECT user_id, amount FROM debts") == [(3, 2_050)]
    whole = 0
    for copy in env.folder.glob("bot.db.v1_3-*.bak"):
        with contextlib.closing(sqlite.connect(str(copy))) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",), copy
            whole += connection.execute("SELECT COUNT(*) FROM wallets").fetchone() == (4,)
    assert whole >= 1, sorted(env.folder.iterdir())


CALLS: list[tuple[str, list[Any], dict[str, Any]]] = [
    ("init_db", [], {}),
    ("add_balance", [7, 10_000], {"key": "in", "reason": "gift"}),
    ("subtract_balance", [7, 2_000], {"key": "out", "reason": "gift"}),
    ("reserve_balance", [7, 3_000, "one"], {}),
    ("charge_reserved_balance", ["one", 2_500], {}),
    ("reserve_balance", [7, 1_000, "two"], {}),
    ("refund_balance", ["two"], {}),
]


def call_everything(env: ScenarioEnv) -> None:
    env.calls = CALLS


def every_call_counts_once(env: ScenarioEnv) -> None:
    assert env.final_rows("SELECT balance FROM balances WHERE user_id = 7") == [(5_500,)]
    assert len(env.final_rows("SELECT 1 FROM ledger WHERE user_id = 7")) == 6


SCENARIOS = (
    Scenario("migration", wait_for_end, program="migrate", prepare=make_version_1_3, check=is_carried_over),
    Scenario("database calls", wait_for_end, program="calls", prepare=call_everything, check=every_call_counts_once),
)
