"""The ledger against a model of a few lines: any operations, each repeated at will, end in the same books."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from database import ledger
from database.audit.checks import run_checks
from database.models import (
    Database,
    IllegalMove,
    InsufficientFunds,
    KeyReused,
    NotFound,
    Refusal,
)
from tests.support.database_fixture import url_of
from tests.support.empty_database import lay_out

T = TypeVar("T")
USERS = st.integers(1, 3)
AMOUNTS = st.integers(1, 12) | st.sampled_from([1_000, 10**11])
NAMES = st.sampled_from("abcdef")


class Model:
    """What the contract says, without a database: balances, keyed entries, reservations."""

    def __init__(self) -> None:
        self.balance: dict[int, int] = {}
        self.debt: dict[int, int] = {}
        self.keys: dict[str, tuple[int, int]] = {}
        self.held: dict[str, list[Any]] = {}  # job id → [user, amount, state, charged]

    def receive(self, user: int, amount: int) -> None:
        paid = min(amount, self.debt.get(user, 0))
        self.debt[user] = self.debt.get(user, 0) - paid
        self.balance[user] = self.balance.get(user, 0) + amount - paid

    def take_or_owe(self, user: int, amount: int) -> tuple[int, int]:
        taken = min(amount, self.balance.get(user, 0))
        self.balance[user] = self.balance.get(user, 0) - taken
        self.debt[user] = self.debt.get(user, 0) + amount - taken
        return taken, amount - taken

    def entry(self, user: int, signed: int, key: str) -> object:
        if key in self.keys:
            return self.keys[key] if self.keys[key] == (user, signed) else KeyReused
        if self.balance.get(user, 0) + signed < 0:
            return InsufficientFunds
        if signed > 0:
            self.receive(user, signed)
        else:
            self.balance[user] += signed
        self.keys[key] = (user, signed)
        return self.keys[key]

    def reserve(self, user: int, amount: int, job: str) -> object:
        if job in self.held:
            return tuple(self.held[job]) if self.held[job][:2] == [user, amount] else KeyReused
        if self.balance.get(user, 0) < amount:
            return InsufficientFunds
        self.balance[user] -= amount
        self.held[job] = [user, amount, "reserved", 0]
        return tuple(self.held[job])

    def charge(self, job: str, amount: int | None) -> object:
        if job not in self.held:
            return NotFound
        user, reserved, state, charged = self.held[job]
        if state == "charged":
            return tuple(self.held[job]) if amount in (None, charged) else KeyReused
        if state == "refunded" or (amount or 0) > reserved:
            return IllegalMove
        price = reserved if amount is None else amount
        self.receive(user, reserved - price)
        self.held[job][2:] = ["charged", price]
        return tuple(self.held[job])

    def refund(self, job: str) -> object:
        if job not in self.held:
            return NotFound
        user, reserved, state, _ = self.held[job]
        if state == "charged":
            return IllegalMove
        if state == "reserved":
            self.receive(user, reserved)
            self.held[job][2] = "refunded"
        return tuple(self.held[job])


class LedgerMachine(RuleBasedStateMachine):
    """Whatever is asked, in whatever order and however often, the database answers what the model answers."""

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.folder = tempfile.TemporaryDirectory()
        self.db = Database(url_of(Path(self.folder.name) / "bot.db"))
        lay_out(self.db.path)
        self.model = Model()
        self.causes = 0

    def teardown(self) -> None:
        self.runner.run(self.db.close())
        self.runner.close()
        self.folder.cleanup()

    def answer(self, call: Coroutine[Any, Any, Any]) -> object:
        """What the database says, in the model's words."""
        try:
            said = self.runner.run(call)
        except Refusal as refusal:
            return type(refusal)
        if hasattr(said, "key"):
            return (said.user_id, said.amount)
        return (said.user_id, said.amount, said.state, said.charged)

    @rule(user=USERS, amount=AMOUNTS, key=NAMES, times=st.integers(1, 2))
    def add(self, user: int, amount: int, key: str, times: int) -> None:
        for _ in range(times):
            said = self.answer(self.db.add_balance(user, amount, key=key, reason="r"))
            assert said == self.model.entry(user, amount, key)

    @rule(user=USERS, amount=AMOUNTS, key=NAMES, times=st.integers(1, 2))
    def subtract(self, user: int, amount: int, key: str, times: int) -> None:
        for _ in range(times):
            said = self.answer(self.db.subtract_balance(user, amount, key=key, reason="r"))
            assert said == self.model.entry(user, -amount, key)

    @rule(user=USERS, amount=AMOUNTS, job=NAMES, times=st.integers(1, 2))
    def reserve(self, user: int, amount: int, job: str, times: int) -> None:
        for _ in range(times):
            assert self.answer(self.db.reserve_balance(user, amount, job)) == self.model.reserve(user, amount, job)

    @precondition(lambda self: self.model.held)
    @rule(data=st.data())
    def reserve_the_same(self, data: st.DataObject) -> None:
        job = data.draw(st.sampled_from(sorted(self.model.held)))
        user, amount = self.model.held[job][:2]
        assert self.answer(self.db.reserve_balance(user, amount, job)) == self.model.reserve(user, amount, job)

    @rule(job=NAMES, amount=st.none() | AMOUNTS, times=st.integers(1, 2))
    def charge(self, job: str, amount: int | None, times: int) -> None:
        for _ in range(times):
            assert self.answer(self.db.charge_reserved_balance(job, amount)) == self.model.charge(job, amount)

    @rule(job=NAMES, times=st.integers(1, 2))
    def refund(self, job: str, times: int) -> None:
        for _ in range(times):
            assert self.answer(self.db.refund_balance(job)) == self.model.refund(job)

    @rule(user=USERS, amount=AMOUNTS)
    def take_or_owe(self, user: int, amount: int) -> None:
        self.causes += 1
        cause = f"cause-{self.causes}"
        taking = self.db.write(lambda tx: ledger.take_or_owe(tx, user, amount, reason="takeback", cause=cause))
        assert self.runner.run(taking) == self.model.take_or_owe(user, amount)

    @rule()
    def restart(self) -> None:
        """A new process knows all that was answered."""
        self.runner.run(self.db.close())

    @invariant()
    def books_hold(self) -> None:
        for user in (1, 2, 3):
            assert self.runner.run(self.db.get_balance(user)) == self.model.balance.get(user, 0)
            owed = self.runner.run(self.db.read(ledger.open_debts, user))
            assert sum(debt.amount - debt.settled for debt in owed) == self.model.debt.get(user, 0)
        assert self.runner.run(self.db.read(run_checks)) == []


TestLedgerMachine = LedgerMachine.TestCase
TestLedgerMachine.settings = settings(
    max_examples=25, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck)
)
