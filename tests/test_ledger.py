"""The ledger's contract: each verb on money, cell by cell, and an append-only truth that no program can rewrite."""

from __future__ import annotations

import sqlite3
from collections.abc import Awaitable, Callable
from enum import IntEnum
from pathlib import Path
from typing import Any

import pytest

from database import jobs as job_rows
from database import ledger
from database import payments as payment_rows
from database.audit.checks import run_checks
from database.models import (
    BooksDisagree,
    Database,
    Entry,
    EntryKind,
    IllegalMove,
    InsufficientFunds,
    Job,
    JobType,
    KeyReused,
    NotFound,
    Refusal,
    ReservationState,
)
from database.schema import MAX_AMOUNT
from tests.support.database_fixture import HOUR, Clock, assert_books, run_program, snapshot

ANNA, BORIS = 7001, 7002


async def give(db: Database, user_id: int, amount: int) -> Entry:
    return await db.add_balance(user_id, amount, key=f"gift:{user_id}:{amount}", reason="gift")


async def refused(db: Database, error: type[Exception], call: Callable[[], Awaitable[object]]) -> Exception:
    """The call raises that error, and not one row anywhere has changed."""
    before = await snapshot(db)
    with pytest.raises(error) as caught:
        await call()
    assert await snapshot(db) == before
    return caught.value


async def open_job(db: Database, job_id: str, user_id: int = ANNA, price: int = 500) -> Job:
    order = job_rows.NewJob(job_id, user_id, JobType.IMAGE, "model", "a cat", {}, price, hold_ms=15 * 60_000)
    job, _ = await db.write(job_rows.start, order, max_active=3)
    return job


# --- balance ----------------------------------------------------------------------------------------


async def test_unknown_user_has_nothing(db: Database) -> None:
    """A user whom nobody has seen has a balance of 0, and asking makes no row."""
    assert await db.get_balance(ANNA) == 0
    assert await snapshot(db, "users", "balances") == {"users": [], "balances": []}


async def test_balance_is_the_sum_of_the_ledger(db: Database) -> None:
    """Balance = SUM(ledger.amount), after every verb."""
    await give(db, ANNA, 10_000)
    await db.subtract_balance(ANNA, 2_500, key="fee", reason="fee")
    await db.reserve_balance(ANNA, 3_000, "a")
    await db.charge_reserved_balance("a", 1_000)
    await db.reserve_balance(ANNA, 3_000, "b")
    await db.refund_balance("b")
    await db.reserve_balance(ANNA, 700, "c")
    entries = await db.read(ledger.history, ANNA)
    assert await db.get_balance(ANNA) == sum(entry.amount for entry in entries) == 10_000 - 2_500 - 1_000 - 700


async def test_users_do_not_touch_each_other(db: Database) -> None:
    """What happens on one balance never shows on another."""
    await give(db, ANNA, 1_000)
    await give(db, BORIS, 50)
    await db.reserve_balance(ANNA, 600, "a")
    assert (await db.get_balance(ANNA), await db.get_balance(BORIS)) == (400, 50)
    await refused(db, InsufficientFunds, lambda: db.subtract_balance(BORIS, 51, key="k", reason="r"))


async def test_ids_of_chats_and_of_64_bits_are_users(db: Database) -> None:
    """A user id is any 64-bit integer: groups have negative ids."""
    for user_id in (-(2**63), -1001234567890, 0, 2**63 - 1):
        await give(db, user_id, 5)
        assert await db.get_balance(user_id) == 5


async def test_history_lists_newest_first_and_pages(db: Database) -> None:
    """History gives a user's own entries, newest first, page by page without gap or repeat."""
    for number in range(1, 8):
        await db.add_balance(ANNA, number, key=f"k{number}", reason=f"gift {number}")
        await give(db, BORIS, number)
    first = await db.read(ledger.history, ANNA, limit=3)
    second = await db.read(ledger.history, ANNA, limit=3, before_id=first[-1].id)
    third = await db.read(ledger.history, ANNA, limit=3, before_id=second[-1].id)
    assert [entry.amount for entry in first + second + third] == [7, 6, 5, 4, 3, 2, 1]
    assert {entry.user_id for entry in first + second + third} == {ANNA}
    assert first[0].reason == "gift 7"
    assert first[0].kind is EntryKind.CREDIT


async def test_a_shadow_that_disagrees_stops_the_money(empty_db: Database, database_path: Path) -> None:
    """When somebody changed `balances` by hand nothing is spent from it, and the audit names the user."""
    await give(empty_db, ANNA, 100)
    with sqlite3.connect(database_path) as other:
        other.execute("UPDATE balances SET balance = 1000000")
    other.close()
    for call in (
        lambda: empty_db.get_balance(ANNA),
        lambda: empty_db.reserve_balance(ANNA, 500, "a"),
        lambda: empty_db.subtract_balance(ANNA, 500, key="k", reason="r"),
    ):
        await refused(empty_db, BooksDisagree, call)
    assert ("I5", (str(ANNA),)) in [(found.check, found.ids) for found in await empty_db.read(run_checks)]


# --- the contract's table: add and subtract ---------------------------------------------------------


async def test_add_balance_answers_the_entry(db: Database) -> None:
    """A credit answers its entry: positive, with the reason that was given."""
    entry = await db.add_balance(ANNA, 500, key="gift", reason="a gift")
    assert (entry.user_id, entry.kind, entry.amount, entry.reason) == (ANNA, EntryKind.CREDIT, 500, "a gift")
    assert (entry.job_id, entry.payment_id) == (None, None)


async def test_subtract_balance_answers_the_entry(db: Database) -> None:
    """A debit answers its entry: the amount is negative."""
    await give(db, ANNA, 500)
    entry = await db.subtract_balance(ANNA, 500, key="fee", reason="a fee")
    assert (entry.user_id, entry.kind, entry.amount, entry.reason) == (ANNA, EntryKind.DEBIT, -500, "a fee")
    assert await db.get_balance(ANNA) == 0


@pytest.mark.parametrize("verb", ["add_balance", "subtract_balance"])
async def test_the_same_key_again_answers_the_same_entry(db: Database, verb: str) -> None:
    """The same key, user and amount again: the same entry, nothing written; the reason is no part of it."""
    await give(db, ANNA, 1_000)
    first = await getattr(db, verb)(ANNA, 300, key="k", reason="one")
    before = await snapshot(db)
    assert await getattr(db, verb)(ANNA, 300, key="k", reason="another") == first
    assert await snapshot(db) == before


async def test_a_repeated_debit_answers_even_when_the_money_is_gone(db: Database) -> None:
    """A repeat is recognised before the balance is looked at."""
    await give(db, ANNA, 300)
    first = await db.subtract_balance(ANNA, 300, key="k", reason="r")
    assert await db.subtract_balance(ANNA, 300, key="k", reason="r") == first


@pytest.mark.parametrize("verb", ["add_balance", "subtract_balance"])
@pytest.mark.parametrize(("user_id", "amount"), [(BORIS, 300), (ANNA, 301), (ANNA, 299), (BORIS, 1)])
async def test_a_key_with_another_input_is_refused(db: Database, verb: str, user_id: int, amount: int) -> None:
    """The same key with another user or amount raises KeyReused."""
    await give(db, ANNA, 1_000)
    await give(db, BORIS, 1_000)
    await getattr(db, verb)(ANNA, 300, key="k", reason="r")
    await refused(db, KeyReused, lambda: getattr(db, verb)(user_id, amount, key="k", reason="r"))


async def test_a_key_of_a_credit_is_no_key_of_a_debit(db: Database) -> None:
    """Credit and debit share the callers' keys: the other verb under the same key raises KeyReused."""
    await give(db, ANNA, 1_000)
    await db.add_balance(ANNA, 300, key="k", reason="r")
    await refused(db, KeyReused, lambda: db.subtract_balance(ANNA, 300, key="k", reason="r"))


@pytest.mark.parametrize("key", ["reserve:a", "refund:a", "difference:a", "payment:p", "migration:7001", "caller:k"])
async def test_callers_keys_live_in_their_own_namespace(db: Database, key: str) -> None:
    """No key that a caller makes up can stand in the way of our own entries."""
    await db.add_balance(ANNA, 1_000, key=key, reason="r")
    await db.reserve_balance(ANNA, 400, "a")
    await db.charge_reserved_balance("a", 100)
    await db.reserve_balance(ANNA, 400, "b")
    await db.refund_balance("b")
    assert await db.get_balance(ANNA) == 900


async def test_subtract_more_than_there_is_is_refused(db: Database) -> None:
    """A debit above the balance raises InsufficientFunds, which says what is missing; the last kopeck may go."""
    await give(db, ANNA, 300)
    error = await refused(db, InsufficientFunds, lambda: db.subtract_balance(ANNA, 301, key="k", reason="r"))
    assert isinstance(error, InsufficientFunds)
    assert (error.balance, error.needed, error.missing) == (300, 301, 1)
    await db.subtract_balance(ANNA, 300, key="k", reason="r")


# --- the contract's table: reserve, charge, refund --------------------------------------------------


async def test_reserve_takes_the_money_at_once(db: Database, clock: Clock) -> None:
    """A reserve debits the balance and answers an open reservation that ends after 24 hours."""
    await give(db, ANNA, 1_000)
    held = await db.reserve_balance(ANNA, 600, "a")
    assert (held.job_id, held.user_id, held.amount, held.charged, held.state) == ("a", ANNA, 600, 0, "reserved")
    assert held.hold_until == clock.now + 24 * HOUR
    assert await db.get_balance(ANNA) == 400
    newest = (await db.read(ledger.history, ANNA, limit=1))[0]
    assert (newest.kind, newest.amount, newest.reason, newest.job_id) == (EntryKind.DEBIT, -600, "reserve", "a")


@pytest.mark.parametrize("end", ["reserved", "charged", "refunded"])
async def test_reserve_again_answers_the_reservation_in_its_state(db: Database, end: str) -> None:
    """The same reserve again answers the reservation as it stands now; no money moves."""
    await give(db, ANNA, 1_000)
    await db.reserve_balance(ANNA, 1_000, "a")
    if end == "charged":
        await db.charge_reserved_balance("a", 400)
    if end == "refunded":
        await db.refund_balance("a")
    before = await snapshot(db)
    assert (await db.reserve_balance(ANNA, 1_000, "a")).state == end
    assert await snapshot(db) == before


@pytest.mark.parametrize(("user_id", "amount"), [(BORIS, 600), (ANNA, 601), (ANNA, 1)])
async def test_reserve_with_another_input_is_refused(db: Database, user_id: int, amount: int) -> None:
    """The same job id with another user or amount raises KeyReused."""
    await give(db, ANNA, 10_000)
    await give(db, BORIS, 10_000)
    await db.reserve_balance(ANNA, 600, "a")
    await refused(db, KeyReused, lambda: db.reserve_balance(user_id, amount, "a"))


async def test_reserve_more_than_there_is_is_refused(db: Database) -> None:
    """A reserve above the balance raises InsufficientFunds and rolls everything back."""
    await give(db, ANNA, 599)
    await refused(db, InsufficientFunds, lambda: db.reserve_balance(ANNA, 600, "a"))
    await refused(db, InsufficientFunds, lambda: db.reserve_balance(BORIS, 1, "b"))


async def test_charge_takes_all_by_default(db: Database) -> None:
    """A charge without an amount earns the whole reserve."""
    await give(db, ANNA, 600)
    await db.reserve_balance(ANNA, 600, "a")
    charged = await db.charge_reserved_balance("a")
    assert (charged.state, charged.charged) == (ReservationState.CHARGED, 600)
    assert await db.get_balance(ANNA) == 0


async def test_charge_of_less_gives_the_rest_back(db: Database) -> None:
    """A charge below the reserve refunds the difference in the same transaction."""
    await give(db, ANNA, 600)
    await db.reserve_balance(ANNA, 600, "a")
    charged = await db.charge_reserved_balance("a", 250)
    assert (charged.state, charged.amount, charged.charged) == (ReservationState.CHARGED, 600, 250)
    assert await db.get_balance(ANNA) == 350
    newest = (await db.read(ledger.history, ANNA, limit=1))[0]
    assert (newest.kind, newest.amount, newest.job_id) == (EntryKind.REFUND, 350, "a")


@pytest.mark.parametrize("first", [None, 600, 250])
async def test_charge_again_answers_the_same(db: Database, first: int | None) -> None:
    """The same charge again, or one without an amount, answers what was charged."""
    await give(db, ANNA, 600)
    await db.reserve_balance(ANNA, 600, "a")
    charged = await db.charge_reserved_balance("a", first)
    before = await snapshot(db)
    assert await db.charge_reserved_balance("a", first) == charged
    assert await db.charge_reserved_balance("a") == charged
    assert await db.charge_reserved_balance("a", charged.charged) == charged
    assert await snapshot(db) == before


@pytest.mark.parametrize("other", [1, 249, 251, 600, 601])
async def test_charge_again_with_another_amount_is_refused(db: Database, other: int) -> None:
    """A charged job with another amount raises KeyReused, also above the reserve."""
    await give(db, ANNA, 600)
    await db.reserve_balance(ANNA, 600, "a")
    await db.charge_reserved_balance("a", 250)
    await refused(db, KeyReused, lambda: db.charge_reserved_balance("a", other))


async def test_impossible_charges_are_refused(db: Database) -> None:
    """Above the reserve or after a refund: IllegalMove; without a reserve: NotFound."""
    await give(db, ANNA, 2_000)
    await db.reserve_balance(ANNA, 600, "a")
    await refused(db, IllegalMove, lambda: db.charge_reserved_balance("a", 601))
    await db.refund_balance("a")
    await refused(db, IllegalMove, lambda: db.charge_reserved_balance("a"))
    await refused(db, IllegalMove, lambda: db.charge_reserved_balance("a", 600))
    await refused(db, NotFound, lambda: db.charge_reserved_balance("nothing"))


async def test_refund_gives_everything_back(db: Database) -> None:
    """A refund returns the whole reserve with one entry."""
    await give(db, ANNA, 600)
    await db.reserve_balance(ANNA, 450, "a")
    refunded = await db.refund_balance("a")
    assert (refunded.state, refunded.charged) == (ReservationState.REFUNDED, 0)
    assert await db.get_balance(ANNA) == 600
    newest = (await db.read(ledger.history, ANNA, limit=1))[0]
    assert (newest.kind, newest.amount, newest.job_id) == (EntryKind.REFUND, 450, "a")


async def test_refund_again_answers_the_same(db: Database) -> None:
    """A second refund writes nothing."""
    await give(db, ANNA, 600)
    await db.reserve_balance(ANNA, 450, "a")
    first = await db.refund_balance("a")
    before = await snapshot(db)
    assert await db.refund_balance("a") == first
    assert await snapshot(db) == before


async def test_impossible_refunds_are_refused(db: Database) -> None:
    """After a charge: IllegalMove; without a reserve: NotFound."""
    await give(db, ANNA, 600)
    await db.reserve_balance(ANNA, 450, "a")
    await db.charge_reserved_balance("a", 100)
    await refused(db, IllegalMove, lambda: db.refund_balance("a"))
    await refused(db, NotFound, lambda: db.refund_balance("nothing"))


async def test_verbs_keep_their_hands_off_an_open_job(db: Database) -> None:
    """Money of an open job moves only together with the job: all three reservation verbs raise IllegalMove."""
    await give(db, ANNA, 2_000)
    await open_job(db, "a", price=500)
    await refused(db, IllegalMove, lambda: db.reserve_balance(ANNA, 500, "a"))
    await refused(db, IllegalMove, lambda: db.charge_reserved_balance("a"))
    await refused(db, IllegalMove, lambda: db.charge_reserved_balance("a", 100))
    await refused(db, IllegalMove, lambda: db.refund_balance("a"))
    await db.write(job_rows.cancel, "a", ANNA)
    assert (await db.refund_balance("a")).state == "refunded"  # closed now: the same again


# --- the contract's table: input --------------------------------------------------------------------


class Price(IntEnum):
    SMALL = 100


NOT_AMOUNTS: list[Any] = [True, False, 1.0, 100.5, "100", None, b"1", [1], float("nan"), 1 + 0j]
NOT_POSSIBLE = [0, -1, -MAX_AMOUNT, MAX_AMOUNT + 1, 2**63, 10**40]


def calls_with(db: Database, amount: Any) -> list[Callable[[], Awaitable[object]]]:
    return [
        lambda: db.add_balance(ANNA, amount, key="new", reason="r"),
        lambda: db.subtract_balance(ANNA, amount, key="new", reason="r"),
        lambda: db.reserve_balance(ANNA, amount, "new"),
        lambda: db.charge_reserved_balance("held", amount),
    ]


@pytest.mark.parametrize("amount", NOT_AMOUNTS, ids=repr)
async def test_what_is_no_int_is_no_amount(db: Database, amount: Any) -> None:
    """An amount that is no int, or is a bool, raises TypeError, whatever the verb (a charge takes None)."""
    await give(db, ANNA, 1_000)
    await db.reserve_balance(ANNA, 100, "held")
    for call in calls_with(db, amount)[: 3 if amount is None else 4]:
        await refused(db, TypeError, call)


@pytest.mark.parametrize("amount", NOT_POSSIBLE)
async def test_amounts_out_of_range_are_refused(db: Database, amount: int) -> None:
    """An amount of 0 or less, or above 10¹¹ kopecks, raises ValueError, whatever the verb."""
    await give(db, ANNA, 1_000)
    await db.reserve_balance(ANNA, 100, "held")
    for call in calls_with(db, amount):
        await refused(db, ValueError, call)


async def test_the_largest_amount_passes(db: Database) -> None:
    """10¹¹ kopecks is a sum like any other, and so is an int's subclass."""
    await give(db, ANNA, MAX_AMOUNT)
    await db.reserve_balance(ANNA, MAX_AMOUNT, "a")
    await db.charge_reserved_balance("a", MAX_AMOUNT)
    await db.add_balance(ANNA, Price.SMALL, key="enum", reason="r")
    assert await db.get_balance(ANNA) == 100


@pytest.mark.parametrize("word", ["", "x" * 201, "a\x00b", "\ud800"], ids=["empty", "long", "nul", "surrogate"])
async def test_bad_words_are_refused(db: Database, word: str) -> None:
    """Keys, reasons and job ids have 1 to 200 characters that every database can hold: else ValueError."""
    await give(db, ANNA, 1_000)
    for call in (
        lambda: db.add_balance(ANNA, 1, key=word, reason="r"),
        lambda: db.add_balance(ANNA, 1, key="k", reason=word),
        lambda: db.subtract_balance(ANNA, 1, key=word, reason="r"),
        lambda: db.subtract_balance(ANNA, 1, key="k", reason=word),
        lambda: db.reserve_balance(ANNA, 1, word),
        lambda: db.charge_reserved_balance(word),
        lambda: db.refund_balance(word),
    ):
        await refused(db, ValueError, call)


@pytest.mark.parametrize("word", [None, 5, b"k", ["k"]], ids=repr)
async def test_words_of_another_type_are_refused(db: Database, word: Any) -> None:
    """A key, reason or job id that is no str raises TypeError."""
    for call in (
        lambda: db.add_balance(ANNA, 1, key=word, reason="r"),
        lambda: db.add_balance(ANNA, 1, key="k", reason=word),
        lambda: db.subtract_balance(ANNA, 1, key=word, reason="r"),
        lambda: db.reserve_balance(ANNA, 1, word),
        lambda: db.charge_reserved_balance(word),
        lambda: db.refund_balance(word),
    ):
        await refused(db, TypeError, call)


@pytest.mark.parametrize(("user_id", "error"), [("7001", TypeError), (True, TypeError), (2**63, ValueError)])
async def test_bad_user_ids_are_refused(db: Database, user_id: Any, error: type[Exception]) -> None:
    """A user id that is no 64-bit int raises TypeError or ValueError, whatever the verb."""
    for call in (
        lambda: db.get_balance(user_id),
        lambda: db.add_balance(user_id, 1, key="k", reason="r"),
        lambda: db.subtract_balance(user_id, 1, key="k", reason="r"),
        lambda: db.reserve_balance(user_id, 1, "a"),
    ):
        await refused(db, error, call)


async def test_hostile_words_are_only_words(db: Database) -> None:
    """Quotes, wildcards and statements in keys, reasons and job ids are stored as they are."""
    await give(db, ANNA, 1_000)
    for number, word in enumerate(["'; DROP TABLE ledger; --", "%", "a\nb", "ключ 🗝", '"', ":name", "?"]):
        assert (await db.add_balance(ANNA, 1, key=word, reason=word)).reason == word
        assert (await db.reserve_balance(ANNA, 1, word)).job_id == word
        assert (await db.refund_balance(word)).job_id == word
        assert await db.get_balance(ANNA) == 1_001 + number


# --- money that comes back pays debts ---------------------------------------------------------------


async def test_money_parked_in_a_hold_pays_the_debt_when_it_comes_back(db: Database) -> None:
    """Who reserves everything before a payment is returned can't spend it again after cancelling."""
    await give(db, ANNA, 1_000)
    await db.reserve_balance(ANNA, 600, "whole")
    await db.reserve_balance(ANNA, 400, "part")
    taken = await db.write(lambda tx: ledger.take_or_owe(tx, ANNA, 900, reason="takeback", cause="test"))
    assert taken == (0, 900)
    await db.charge_reserved_balance("part", 300)
    assert await db.get_balance(ANNA) == 0
    await db.refund_balance("whole")
    assert await db.get_balance(ANNA) == 0
    assert [debt.amount - debt.settled for debt in await db.read(ledger.open_debts, ANNA)] == [200]
    await give(db, ANNA, 250)
    assert await db.get_balance(ANNA) == 50


# --- append-only, against any connection ------------------------------------------------------------

OTHER_PROGRAM = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("PRAGMA recursive_triggers=" + sys.argv[2])
connection.execute("PRAGMA foreign_keys=OFF")
try:
    connection.execute(sys.argv[3])
except sqlite3.Error as error:
    print("refused", error)
else:
    print("written")
connection.close()
"""

COLUMNS = "(id, user_id, kind, amount, reason, job_id, payment_id, key, created_at)"
NOW = 1_780_000_000_000
REWRITES = {
    "update": "UPDATE ledger SET amount = amount + 1",
    "update of a word": "UPDATE ledger SET reason = 'other' WHERE id = 1",
    "update or replace": "UPDATE OR REPLACE ledger SET key = 'caller:gift:7001:1000' WHERE id = 2",
    "update or ignore": "UPDATE OR IGNORE ledger SET amount = 5",
    "delete": "DELETE FROM ledger",
    "delete of one": "DELETE FROM ledger WHERE id = 1",
    "replace by id": f"REPLACE INTO ledger {COLUMNS} VALUES (1, 7001, 'credit', 9, 'x', NULL, NULL, 'new', {NOW})",
    "replace by key": "REPLACE INTO ledger (user_id, kind, amount, reason, key, created_at) "
    f"VALUES (7001, 'credit', 9, 'x', 'caller:gift:7001:1000', {NOW})",
    "replace by payment": f"REPLACE INTO ledger {COLUMNS} "
    f"VALUES (NULL, 7001, 'credit', 9, 'x', NULL, 'paid', 'new', {NOW})",
    "replace by job and reason": f"REPLACE INTO ledger {COLUMNS} "
    f"VALUES (NULL, 7001, 'debit', -9, 'reserve', 'a', NULL, 'new', {NOW})",
    "upsert": "INSERT INTO ledger (user_id, kind, amount, reason, key, created_at) "
    f"VALUES (7001, 'credit', 9, 'x', 'caller:gift:7001:1000', {NOW}) ON CONFLICT (key) DO UPDATE SET amount = 9",
    "backdated id": f"INSERT INTO ledger {COLUMNS} VALUES (-5, 7001, 'credit', 9, 'x', NULL, NULL, 'new', {NOW})",
    "id of nothing": f"INSERT INTO ledger {COLUMNS} VALUES (0, 7001, 'credit', 9, 'x', NULL, NULL, 'new', {NOW})",
    "id -1": f"INSERT INTO ledger {COLUMNS} VALUES (-1, 7001, 'credit', 9, 'x', NULL, NULL, 'new', {NOW})",
    "overdraft": "INSERT INTO ledger (user_id, kind, amount, reason, key, created_at) "
    f"VALUES (7001, 'debit', -100000, 'x', 'new', {NOW})",
    "overdraft or ignore": "INSERT OR IGNORE INTO ledger (user_id, kind, amount, reason, key, created_at) "
    f"VALUES (7001, 'debit', -100000, 'x', 'new', {NOW})",
    "overdraft or replace": "REPLACE INTO ledger (user_id, kind, amount, reason, key, created_at) "
    f"VALUES (7001, 'debit', -100000, 'x', 'new', {NOW})",
    "user without a balance": "INSERT INTO ledger (user_id, kind, amount, reason, key, created_at) "
    f"VALUES (424242, 'credit', 9, 'x', 'new', {NOW})",
    "real amount": "INSERT INTO ledger (user_id, kind, amount, reason, key, created_at) "
    f"VALUES (7001, 'credit', 9.5, 'x', 'new', {NOW})",
    "nothing": "INSERT INTO ledger (user_id, kind, amount, reason, key, created_at) "
    f"VALUES (7001, 'credit', 0, 'x', 'new', {NOW})",
    "wrong sign": "INSERT INTO ledger (user_id, kind, amount, reason, key, created_at) "
    f"VALUES (7001, 'credit', -9, 'x', 'new', {NOW})",
    "unknown kind": "INSERT INTO ledger (user_id, kind, amount, reason, key, created_at) "
    f"VALUES (7001, 'bonus', 9, 'x', 'new', {NOW})",
    "seconds for milliseconds": "INSERT INTO ledger (user_id, kind, amount, reason, key, created_at) "
    "VALUES (7001, 'credit', 9, 'x', 'new', 1780000000)",
    "a second reservation": "REPLACE INTO reservations (job_id, user_id, amount, state, hold_until, created_at) "
    f"VALUES ('a', 7001, 1, 'reserved', {NOW}, {NOW})",
    "a smaller reservation": "UPDATE reservations SET amount = 1",
    "a reservation gone": "DELETE FROM reservations",
    "a payment rewritten": "REPLACE INTO payments (id, user_id, provider, amount, created_at, idempotency_key) "
    f"VALUES ('paid', 7001, 'yookassa', 1, {NOW}, 'other')",
    "a payment of more": "UPDATE payments SET amount = amount * 10",
    "a payment gone": "DELETE FROM payments",
}


@pytest.fixture
async def full_ledger(empty_db: Database) -> Database:
    """Entries of each kind that a rewrite could aim at."""
    await give(empty_db, ANNA, 1_000)
    await empty_db.reserve_balance(ANNA, 400, "a")
    new = payment_rows.NewPayment("paid", ANNA, "yookassa", 5_000, "idem", None)
    await empty_db.write(payment_rows.open_payment, new, poll_in_ms=1_000)
    await empty_db.write(payment_rows.settle, "paid")
    return empty_db


@pytest.mark.parametrize("recursive_triggers", ["ON", "OFF"])
@pytest.mark.parametrize("rewrite", REWRITES.values(), ids=REWRITES)
async def test_no_program_can_rewrite_the_ledger(
    full_ledger: Database, database_path: Path, rewrite: str, recursive_triggers: str
) -> None:
    """A statement of another program with its own, older SQLite aborts, and the books are what they were."""
    before = await snapshot(full_ledger)
    await full_ledger.close()
    assert run_program(OTHER_PROGRAM, database_path, recursive_triggers, rewrite).startswith("refused")
    assert await snapshot(full_ledger) == before
    await assert_books(full_ledger)


async def test_another_program_may_add_a_sound_entry(full_ledger: Database, database_path: Path) -> None:
    """The guards refuse rewrites, not writing: a new entry of another program moves the balance as ours do."""
    await full_ledger.close()
    added = "INSERT INTO ledger (user_id, kind, amount, reason, key, created_at) "
    added += f"VALUES (7001, 'credit', 9, 'x', 'new', {NOW})"
    assert run_program(OTHER_PROGRAM, database_path, "OFF", added).startswith("written")
    assert await full_ledger.get_balance(ANNA) == 5_609
    await assert_books(full_ledger)


async def test_every_refusal_is_one_of_ours(db: Database) -> None:
    """Whoever catches Refusal catches every no of the verbs; no driver's error comes out."""
    await give(db, ANNA, 10)
    for call in (
        lambda: db.subtract_balance(ANNA, 11, key="k", reason="r"),
        lambda: db.add_balance(BORIS, 10, key=f"gift:{ANNA}:10", reason="r"),
        lambda: db.charge_reserved_balance("x"),
        lambda: db.refund_balance("x"),
    ):
        await refused(db, Refusal, call)
