"""Entries and holds: the rules of database/ledger.py and the guards of the schema behind it."""

from __future__ import annotations

from tests.faults.mutants.edits import Edit, In
from tests.faults.mutants.mutant import Mutant, mutant

LEDGER = "database/ledger.py"
ENGINE = "database/engine.py"
SCHEMA = "database/migrations/versions/0001_ledger.py"

# A database whose guards differ from the schema's is not opened, unless nobody compares them.
NOT_COMPARED = In("database/audit/append_only.py", "guards_are_in_place").replace("_plain(sql) not in present", "False")
OVERDRAFT_ALLOWED = (
    In(SCHEMA, "create_tables").replace('"balance >= 0"', '"1"'),
    In(SCHEMA, "TRIGGERS").sql(
        "WHERE (SELECT balance FROM balances WHERE user_id = NEW.user_id) + NEW.amount < 0", "WHERE 0"
    ),
    NOT_COMPARED,
)
NOT_DURABLE = (
    In(ENGINE, "_prepare").replace('"synchronous=FULL"', '"synchronous=NORMAL"'),
    In(ENGINE, "_prepare").replace('self.raw.execute("PRAGMA synchronous").fetchone()[0] != 2', "False"),
)


def guard(old: str, new: str) -> tuple[Edit, Edit]:
    """A guard of the schema is weaker, and nobody compares."""
    return In(SCHEMA, "TRIGGERS").sql(old, new), NOT_COMPARED


MUTANTS: tuple[Mutant, ...] = (
    # --- entries ------------------------------------------------------------------------------------
    mutant(
        "the earlier entry of a key is ignored",
        In(LEDGER, "credit").replace("find_entry(tx, key)", "None"),
        noticed_by="test_ledger.py::test_the_same_key_again_answers_the_same_entry",
    ),
    mutant(
        "a key may be used again for another sum",
        In(LEDGER, "subtract_balance").replace(
            "(earlier.user_id, earlier.amount) != (user_id, -amount)", "earlier.user_id != user_id"
        ),
        noticed_by="test_ledger.py::test_a_key_with_another_input_is_refused",
    ),
    mutant(
        "entries may be changed",
        *guard(
            "CREATE TRIGGER ledger_no_update BEFORE UPDATE ON ledger",
            "CREATE TRIGGER ledger_no_update BEFORE UPDATE ON ledger WHEN 0",
        ),
        noticed_by="test_ledger.py::test_no_program_can_rewrite_the_ledger",
    ),
    mutant(
        "entries may be deleted",
        *guard(
            "CREATE TRIGGER ledger_no_delete BEFORE DELETE ON ledger",
            "CREATE TRIGGER ledger_no_delete BEFORE DELETE ON ledger WHEN 0",
        ),
        noticed_by="test_ledger.py::test_no_program_can_rewrite_the_ledger",
    ),
    mutant(
        "an insert may replace another entry",
        *guard("WHEN EXISTS (SELECT 1 FROM ledger WHERE key = NEW.key) OR (NEW.id <> -1", "WHEN 0 OR (NEW.id <> -1"),
        noticed_by="test_ledger.py::test_no_program_can_rewrite_the_ledger",
    ),
    mutant(
        "the schema allows a balance below zero",
        *OVERDRAFT_ALLOWED,
        noticed_by="test_ledger.py::test_no_program_can_rewrite_the_ledger",
    ),
    mutant(
        "neither the debit nor the schema checks the balance",
        In(LEDGER, "_need").replace("balance < amount", "False"),
        *OVERDRAFT_ALLOWED,
        noticed_by="database/test_engine.py::test_a_hundred_reserves_with_money_for_one",
    ),
    mutant(
        "only the schema checks the balance, and its error names no sums",
        In(LEDGER, "_need").replace("balance < amount", "False"),
        noticed_by=(
            "test_ledger.py::test_subtract_more_than_there_is_is_refused",
            "test_ledger.py::test_reserve_more_than_there_is_is_refused",
        ),
    ),
    mutant(
        "a database connection that is not durable is opened",
        *NOT_DURABLE,
        noticed_by="database/test_engine.py::test_every_connection_is_durable_and_guarded",
    ),
    mutant(
        "a power cut may lose an acknowledged transaction",
        *NOT_DURABLE,
        noticed_by="faults/test_power_cuts.py::test_no_power_cut_loses_or_halves_what_was_acknowledged",
    ),
    # --- reserve, charge, refund --------------------------------------------------------------------
    mutant(
        "a repeated refund writes a second entry",
        In(LEDGER, "refund").remove("if held.state is ReservationState.REFUNDED: ..."),
        noticed_by="test_ledger.py::test_refund_again_answers_the_same",
    ),
    mutant(
        "a refund does not check the state of the hold",
        In(LEDGER, "refund").remove("raise IllegalMove(...)"),
        In(LEDGER, "_close").remove("reservations.c.state == ReservationState.RESERVED"),
        noticed_by="test_ledger.py::test_impossible_refunds_are_refused",
    ),
    mutant(
        "more is charged than was reserved",
        In(LEDGER, "charge").replace("price > held.amount", "False"),
        noticed_by="test_ledger.py::test_impossible_charges_are_refused",
    ),
    mutant(
        "the difference to a lower price is kept",
        In(LEDGER, "charge").replace("price < held.amount", "False"),
        noticed_by="test_ledger.py::test_charge_of_less_gives_the_rest_back",
    ),
    mutant(
        "a refund goes to another person than the one who paid",
        In(LEDGER, "refund").replace(
            "add_entry(tx, held.user_id, ...)",
            "add_entry(tx, 0, EntryKind.REFUND, held.amount, Reason.REFUND, key, job_id=job_id)",
        ),
        noticed_by="scenarios/test_job_faults.py::test_money_goes_back_to_who_paid_and_to_nobody_else",
    ),
    mutant(
        "a credit settles no debt",
        In(LEDGER, "credit").remove("settle_debts(...)"),
        noticed_by="database/test_payments.py::test_the_next_credit_settles_the_debt",
    ),
    mutant(
        "a refund of an order settles no debt",
        In(LEDGER, "refund").remove("settle_debts(...)"),
        noticed_by="test_ledger.py::test_money_parked_in_a_hold_pays_the_debt_when_it_comes_back",
    ),
    mutant(
        "money that was spent before it is taken back becomes no debt",
        In(LEDGER, "take_or_owe").remove("if owed: ..."),
        noticed_by="database/test_payments.py::test_what_is_spent_becomes_a_debt",
    ),
)
