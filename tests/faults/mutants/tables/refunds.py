"""Money that goes back to the customer through its provider."""

from __future__ import annotations

from tests.faults.mutants.edits import In
from tests.faults.mutants.mutant import Mutant, mutant

PAYMENTS = "database/payments.py"
REFUNDS = "database/refunds.py"
YOOKASSA_REFUNDS = "services/payments/yookassa_refunds.py"

MUTANTS: tuple[Mutant, ...] = (
    mutant(
        "returns that are reported before their payment are forgotten",
        In(PAYMENTS, "settle").remove("refund_rows.take_back(...)"),
        noticed_by="scenarios/test_payment_faults.py::"
        "test_a_payment_refunded_before_it_was_settled_is_never_credited_without_its_take_back",
    ),
    mutant(
        "a return that is reported twice is taken back twice",
        In(REFUNDS, "take_back").replace(
            "known = by_provider_id(tx, provider_refund_id)",
            """
known = None
refund_id += f"{tx.now}"
provider_refund_id += f"{tx.now}"
""",
        ),
        noticed_by=(
            "database/test_payments.py::test_thirty_refunds_at_once",
            "test_payments.py::test_a_refund_from_the_cabinet_is_taken_back_once",
        ),
    ),
    mutant(
        "more is returned than was paid",
        In(REFUNDS, "begin").remove("ledger.check_amount(new.amount) > left(tx, payment.id)"),
        In(REFUNDS, "take_back").remove("after > payment.amount"),
        noticed_by="services/test_refunds.py::test_what_can_not_be_refunded_moves_nothing",
    ),
    mutant(
        "returns that are under way are not counted",
        In(REFUNDS, "left").replace("int(under_way or 0)", "0"),
        noticed_by="services/test_refunds.py::test_two_admins_at_once_never_refund_more_than_came",
    ),
    mutant(
        "a refused return gives back only what was on the balance",
        In(REFUNDS, "cancel").replace("refund.amount", "refund.taken or 1"),
        noticed_by="services/test_refunds.py::test_a_refused_refund_gives_everything_back",
    ),
    mutant(
        "each try of a return has its own key",
        In(YOOKASSA_REFUNDS).before("import json", "from database import clock"),
        In(YOOKASSA_REFUNDS, "_ensure").replace('refund.idempotency_key or ""', 'f"{refund.id[:20]}-{clock.now()}"'),
        noticed_by="services/test_refunds.py::test_an_answer_that_was_lost_is_asked_for_under_the_same_key",
    ),
    mutant(
        "a refusal of a repeated return is taken for a refusal of the first",
        In("services/payments/idempotency.py", "result_in_spite_of").replace("await self.find()", "None"),
        noticed_by="services/test_refunds.py::test_a_refused_repeat_says_nothing_about_the_first_attempt",
    ),
)
