"""Decisions of administrators about money that fits no order."""

from __future__ import annotations

from tests.faults.mutants.edits import In
from tests.faults.mutants.mutant import Mutant, mutant

DIFFERENCES = "database/differences.py"

MUTANTS: tuple[Mutant, ...] = (
    mutant(
        "a decision may be made twice",
        In(DIFFERENCES, "_decide").remove("differences.c.state == DifferenceState.OPEN"),
        noticed_by="services/test_reconciliation.py::test_a_decision_is_taken_once",
    ),
    mutant(
        "a return of money that a decision credited proposes nothing",
        In(DIFFERENCES, "_of_what_was_credited").replace("return Proposal(...) if amount > 0 else None", "return None"),
        noticed_by=(
            "services/test_reconciliation.py::test_a_credited_second_payment_that_is_refunded_later_can_be_taken_back",
            "services/test_stars.py::test_a_charge_credited_by_a_decision_can_be_taken_back_when_it_is_refunded",
        ),
    ),
    mutant(
        "money that a decision did not credit is taken back as well",
        In(DIFFERENCES, "_of_what_was_credited").replace("whole - held", "0"),
        noticed_by="services/test_reconciliation.py::test_what_a_decision_left_out_is_not_taken_back",
    ),
    mutant(
        "a charge that was returned may be credited by a decision",
        In(DIFFERENCES, "apply").replace("difference.kind == UNKNOWN and _was_refunded(...)", "False"),
        noticed_by="services/test_stars.py::test_a_charge_that_was_refunded_before_the_decision_is_not_credited",
    ),
    mutant(
        "what was returned of a restarted order may be credited by a decision",
        In(DIFFERENCES, "_was_refunded").remove('unknown.details.get("whole")'),
        noticed_by="services/test_decisions.py::test_what_was_refunded_of_a_payment_that_was_begun_anew_is_not_credited",
    ),
    mutant(
        "a payment that was found under two names is credited under both",
        In(DIFFERENCES, "_refuse_what_is_known").remove("if (other := credited_without_row(...)) is not None: ..."),
        noticed_by="services/test_decisions.py::test_the_money_of_a_payment_that_was_begun_anew_is_credited_once",
    ),
)
