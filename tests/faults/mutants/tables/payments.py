"""Money that comes in: YooKassa's payments and notifications, Telegram Stars, webhooks."""

from __future__ import annotations

from tests.faults.mutants.edits import In
from tests.faults.mutants.mutant import Mutant, mutant

PAYMENTS = "database/payments.py"
SETTLEMENT = "services/payments/settlement.py"
MATCHING = "services/payments/matching.py"
CREATION = "services/payments/creation.py"
WEBHOOK = "handlers/webhook.py"

FORGED = "test_payments.py::test_a_forged_success_credits_nothing"
MISMATCH = "test_payments.py::test_what_does_not_fit_is_quarantined_and_the_admins_told"

SETTLES_AGAIN = In(PAYMENTS, "settle").remove("if payment.status in CREDITED: ...")

MUTANTS: tuple[Mutant, ...] = (
    # --- what the provider says ---------------------------------------------------------------------
    mutant(
        "a notification is believed and YooKassa is not asked",
        In("services/payments/notifications.py", "_act_on").replace(
            "await self._events.on_payment_event(provider_id)",
            """
from database import payments as payment_rows
known = await self._db.read(payment_rows.by_provider_id, provider_id)
await self._db.write(payment_rows.settle, known.id)
""",
        ),
        noticed_by=FORGED,
    ),
    mutant(
        "a payment that did not succeed is credited",
        In(SETTLEMENT, "_follow").replace('facts.status == "succeeded" and facts.paid', 'facts.status != "canceled"'),
        noticed_by=FORGED,
    ),
    mutant(
        "the sum is not compared",
        In(MATCHING, "mismatch").replace("facts.amount_kopecks == payment.amount", "True"),
        noticed_by=MISMATCH,
    ),
    mutant(
        "the currency is not compared",
        In(MATCHING, "mismatch").replace("facts.currency == CURRENCY", "True"),
        noticed_by=MISMATCH,
    ),
    mutant(
        "the shop is not compared",
        In(MATCHING, "mismatch").replace("self._is_our_shop(facts)", "True"),
        noticed_by=MISMATCH,
    ),
    mutant(
        "a test payment is credited in a live shop",
        In(MATCHING, "mismatch").replace("self._is_our_mode(facts)", "True"),
        noticed_by="scenarios/test_money.py::test_a_test_payment_in_a_live_shop_is_refused",
    ),
    # --- credited once ------------------------------------------------------------------------------
    mutant(
        "a payment in quarantine is credited",
        In(PAYMENTS, "settle").remove("if payment.quarantined_reason: ..."),
        noticed_by="database/test_payments.py::test_a_quarantined_payment_credits_nothing",
    ),
    mutant(
        "a paid payment is settled again",
        SETTLES_AGAIN,
        noticed_by="database/test_payments.py::test_fifty_settles_at_once_are_one_credit",
    ),
    mutant(
        "each settlement credits under its own key",
        SETTLES_AGAIN,
        In(PAYMENTS, "settle").replace(
            "ledger.credit(...)",
            """
key = f"payment:{payment_id}:{tx.now}"
ledger.credit(tx, payment.user_id, payment.amount, reason=Reason.TOPUP, key=key)
""",
        ),
        noticed_by="test_payments.py::test_fifty_identical_notifications_at_once_are_one_credit",
    ),
    mutant(
        "each try to create a payment has its own key",
        In(CREATION).before("import json", "from database import clock"),
        In(CREATION, "_create").replace("payment.idempotency_key", 'f"{payment.idempotency_key}.{clock.now()}"'),
        noticed_by="test_payments.py::test_a_create_whose_answer_was_lost_is_sent_again_under_the_same_key",
    ),
    mutant(
        "a key that YooKassa has forgotten is used again",
        In("services/payments/idempotency.py", "result").replace("key_is_alive(self.since_ms)", "True"),
        noticed_by="scenarios/test_payment_faults.py::test_after_the_keys_time_the_payment_is_found_in_the_list",
    ),
    mutant(
        "a poll that never ends always comes first",
        In(PAYMENTS, "take_due").remove("if taken: ..."),
        noticed_by="scenarios/test_payment_faults.py::test_a_poll_that_never_ends_does_not_come_first_again",
    ),
    mutant(
        "a notification that comes too early ends the polling",
        In("services/payments/events.py", "on_payment_event").replace("FIRST_POLL_MS", "None"),
        noticed_by="scenarios/test_payment_faults.py::test_success_told_too_early_is_credited_when_it_becomes_true",
    ),
    # --- webhooks -----------------------------------------------------------------------------------
    mutant(
        "a notification is acknowledged before it is stored",
        In(WEBHOOK, "yookassa").before(
            "item = await _kept(...)",
            """
context.spawn("yookassa", context.db.write(inbox.receive, "yookassa", key, text))
return web.Response(status=200)
""",
        ),
        noticed_by="handlers/test_webhook.py::test_what_can_not_be_written_down_is_500_and_nothing_is_lost",
    ),
    mutant(
        "notifications are accepted from any address",
        In(WEBHOOK, "yookassa").remove("_require(_listed(...), 403)"),
        noticed_by="handlers/test_webhook.py::test_a_wrong_sender_is_refused_before_the_body_is_read_as_json",
    ),
    mutant(
        "updates are accepted without the secret",
        In(WEBHOOK, "telegram").remove("_require(hmac.compare_digest(...), 401)"),
        noticed_by="handlers/test_webhook_senders.py::test_an_update_without_the_secret_is_refused",
    ),
    # --- Telegram Stars -----------------------------------------------------------------------------
    mutant(
        "a repeated message about a charge in Stars credits again",
        In(PAYMENTS, "paid_in_stars").replace(
            "if known is not None: ...", 'charge_id = f"{charge_id}:{tx.now}" if known else charge_id'
        ),
        noticed_by=(
            "services/test_stars.py::test_a_second_charge_of_a_payment_is_a_second_credit",
            "scenarios/test_money.py::test_a_redelivered_message_about_stars_makes_one_credit",
        ),
    ),
    mutant(
        "a charge in Stars of another price is credited",
        In(PAYMENTS, "paid_in_stars").replace(
            "(payment.user_id, payment.stars) != (user_id, stars)", "payment.user_id != user_id"
        ),
        noticed_by="services/test_stars.py::test_a_charge_that_fits_no_payment_credits_nobody",
    ),
)
