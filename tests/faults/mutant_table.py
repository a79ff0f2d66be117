"""Rules of money, each broken on purpose: what is replaced, by what, and the tests of which one must go red.

`python -m tests.faults.mutants` breaks them one after the other; docs/testing.md holds what it found.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Edit:
    """One replacement: `old` stands in `path` exactly once."""

    path: str
    old: str
    new: str


@dataclass(frozen=True)
class Mutant:
    """A rule that is broken by `edits`; `tests` are node ids below tests/, and at least one of them must fail."""

    name: str
    edits: tuple[Edit, ...]
    tests: tuple[str, ...]


def _one(name: str, path: str, old: str, new: str, *tests: str) -> Mutant:
    return Mutant(name, (Edit(path, old, new),), tests)


def _guard(name: str, old: str, new: str, *tests: str) -> Mutant:
    """A guard of the schema is weaker, and the comparison that would refuse to open a new shop is deaf to it."""
    return Mutant(name, (Edit(_GUARDS, old, new), _NOT_COMPARED), tests)


_LEDGER = "database/ledger.py"
_JOBS = "database/jobs.py"
_PAYMENTS = "database/payments.py"
_REFUNDS = "database/refunds.py"
_SETTLEMENT = "services/payments/settlement.py"
_CHECKS = "database/audit/checks.py"
_BREAKS = "database/test_checks.py::test_a_broken_rule_is_found"
_GUARDS = "database/migrations/versions/0001_ledger.py"
_NOT_COMPARED = Edit(_CHECKS, "if _plain(sql) not in present)", "if False)")
_NOT_DURABLE = (
    Edit("database/engine.py", 'for pragma in ("synchronous=FULL", ', 'for pragma in ("synchronous=NORMAL", '),
    Edit("database/engine.py", 'synchronous").fetchone()[0] != 2:', 'synchronous").fetchone() is None:'),
)
_CREDIT_ONCE = (
    '    """Put money on a balance once per key; answers the entry and whether it is new. Debts are settled first."""\n'
)
_PAID_IS_PAID = (
    "    if payment.status in (PaymentStatus.PAID, PaymentStatus.REFUNDED):\n        return payment, False\n"
)

MUTANTS: tuple[Mutant, ...] = (
    # --- entries --------------------------------------------------------------------------------------------------
    _one(
        "a key is looked up and then not minded",
        _LEDGER,
        "-> tuple[Entry, bool]:\n" + _CREDIT_ONCE + "    earlier = find_entry(tx, key)\n",
        "-> tuple[Entry, bool]:\n" + _CREDIT_ONCE + "    earlier = None\n",
        "test_ledger.py::test_the_same_key_again_answers_the_same_entry",
    ),
    _one(
        "a key may stand for another sum",
        _LEDGER,
        "        if (earlier.user_id, earlier.amount) != (user_id, -amount):",
        "        if earlier.user_id != user_id:",
        "test_ledger.py::test_a_key_with_another_input_is_refused",
    ),
    _guard(
        "entries may be changed",
        "CREATE TRIGGER ledger_no_update BEFORE UPDATE ON ledger\n",
        "CREATE TRIGGER ledger_no_update BEFORE UPDATE ON ledger WHEN 0\n",
        "test_ledger.py::test_no_program_can_rewrite_the_ledger",
    ),
    _guard(
        "entries may be deleted",
        "CREATE TRIGGER ledger_no_delete BEFORE DELETE ON ledger\n",
        "CREATE TRIGGER ledger_no_delete BEFORE DELETE ON ledger WHEN 0\n",
        "test_ledger.py::test_no_program_can_rewrite_the_ledger",
    ),
    _guard(
        "an insert may take another entry's place",
        "WHEN EXISTS (SELECT 1 FROM ledger WHERE key = NEW.key)\n  OR (NEW.id <> -1",
        "WHEN 0\n  OR (NEW.id <> -1",
        "test_ledger.py::test_no_program_can_rewrite_the_ledger",
    ),
    Mutant(
        "a balance may be below zero, by the schema",
        (
            Edit(_GUARDS, '        sa.CheckConstraint("balance >= 0", ', '        sa.CheckConstraint("1", '),
            Edit(
                _GUARDS,
                "    WHERE (SELECT balance FROM balances WHERE user_id = NEW.user_id) + NEW.amount < 0;",
                "    WHERE 0;",
            ),
            _NOT_COMPARED,
        ),
        ("test_ledger.py::test_no_program_can_rewrite_the_ledger",),
    ),
    Mutant(
        "the balance is looked at by nobody, neither before the debit nor by the schema",
        (
            Edit(_LEDGER, "    if balance < amount:", "    if False and balance < amount:"),
            Edit(_GUARDS, '        sa.CheckConstraint("balance >= 0", ', '        sa.CheckConstraint("1", '),
            Edit(
                _GUARDS,
                "    WHERE (SELECT balance FROM balances WHERE user_id = NEW.user_id) + NEW.amount < 0;",
                "    WHERE 0;",
            ),
            _NOT_COMPARED,
        ),
        ("database/test_engine.py::test_a_hundred_reserves_with_money_for_one",),
    ),
    _one(
        "the balance is looked at only by the schema, whose no knows no sums",
        _LEDGER,
        "    if balance < amount:",
        "    if False and balance < amount:",
        "test_ledger.py::test_reserve_more_than_there_is_is_refused",
        "test_ledger.py::test_subtract_more_than_there_is_is_refused",
    ),
    Mutant(
        "a connection is set to be quick and not durable, and opens all the same",
        _NOT_DURABLE,
        ("database/test_engine.py::test_every_connection_is_durable_and_guarded",),
    ),
    Mutant(
        "a power cut may lose what was acknowledged",
        _NOT_DURABLE,
        ("faults/test_power_cuts.py::test_no_power_cut_loses_or_halves_what_was_acknowledged",),
    ),
    # --- reserve, charge, refund ------------------------------------------------------------------------------------
    _one(
        "a refund is written again when it is asked for again",
        _LEDGER,
        "    if held.state is ReservationState.REFUNDED:\n        return held\n",
        "",
        "test_ledger.py::test_refund_again_answers_the_same",
    ),
    Mutant(
        "a refund without a look at the state",
        (
            Edit(
                _LEDGER,
                '        raise IllegalMove(f"job {job_id} is charged; money back after that is a compensation")',
                "        pass",
            ),
            Edit(
                _LEDGER,
                "        .where(reservations.c.job_id == job_id, reservations.c.state == ReservationState.RESERVED)",
                "        .where(reservations.c.job_id == job_id)",
            ),
        ),
        ("test_ledger.py::test_impossible_refunds_are_refused",),
    ),
    _one(
        "more is charged than was reserved",
        _LEDGER,
        "    if price > held.amount:",
        "    if False:",
        "test_ledger.py::test_impossible_charges_are_refused",
    ),
    _one(
        "the difference to a lower price is kept",
        _LEDGER,
        "    if price < held.amount:",
        "    if False:",
        "test_ledger.py::test_charge_of_less_gives_the_rest_back",
    ),
    _one(
        "money back goes to whoever, not to who paid",
        _LEDGER,
        "    entry = add_entry(tx, held.user_id, EntryKind.REFUND, held.amount, Reason.REFUND,",
        "    entry = add_entry(tx, 0, EntryKind.REFUND, held.amount, Reason.REFUND,",
        "scenarios/test_job_faults.py::test_money_goes_back_to_who_paid_and_to_nobody_else",
    ),
    _one(
        "a hold is given back before its end",
        _JOBS,
        " or held.hold_until > tx.now:",
        ":",
        "database/test_jobs.py::test_a_hold_without_a_job_ends",
    ),
    _one(
        "a hold that ended is paid back again",
        _JOBS,
        "    if held is None or held.state is not ReservationState.RESERVED or held.hold_until > tx.now:",
        "    if held is None or held.hold_until > tx.now:",
        "database/test_jobs.py::test_a_hold_without_a_job_ends",
        "database/test_jobs.py::test_a_result_and_the_end_of_the_hold_race",
    ),
    # --- orders ------------------------------------------------------------------------------------------------------
    _one(
        "a second tap is a second order",
        _JOBS,
        "        return earlier, False\n    users.ensure(tx, new.user_id)",
        "    users.ensure(tx, new.user_id)",
        "database/test_jobs.py::test_a_double_tap_is_one_job",
    ),
    _one(
        "the limit of open orders is not counted",
        _JOBS,
        "    if len(open_of_user(tx, new.user_id)) >= max_active:",
        "    if False:",
        "database/test_jobs.py::test_the_limit_holds_at_once_and_frees_with_the_end",
    ),
    _one(
        "a held lease is taken over",
        _JOBS,
        "            or_(jobs.c.lease_until.is_(None), _past(jobs.c.lease_until, tx)),\n",
        "",
        "database/test_jobs.py::test_one_of_many_claims_wins",
    ),
    Mutant(
        "who lost the lease may still finish: no attempt is compared",
        (
            Edit(
                _JOBS,
                "    return and_(jobs.c.id == job_id, jobs.c.attempt == attempt, jobs.c.status ==",
                "    return and_(jobs.c.id == job_id, jobs.c.status ==",
            ),
            Edit(_JOBS, "    if job is None or job.attempt != attempt or ", "    if job is None or "),
        ),
        ("database/test_jobs.py::test_a_lost_lease_changes_nothing_any_more",),
    ),
    _one(
        "cancelled although the provider was asked",
        _JOBS,
        "    if not job.is_open or calls(tx, job_id):",
        "    if not job.is_open:",
        "database/test_jobs.py::test_a_cancel_and_a_call_race",
    ),
    _one(
        "an order fails and its money stays",
        _JOBS,
        "    ledger.refund(tx, job_id)\n    if status is JobStatus.FAILED:",
        "    if status is JobStatus.FAILED:",
        "database/test_jobs.py::test_fail_gives_everything_back_once",
    ),
    _one(
        "an order is finished and not charged",
        _JOBS,
        "    ledger.charge(tx, job_id, cost)\n",
        "",
        "database/test_jobs.py::test_finish_charges_and_owes_the_delivery",
    ),
    _one(
        "a result is charged and owed to nobody",
        _JOBS,
        '    outbox.post(tx, f"result:{job_id}", job.user_id, "result", job_id=job_id)\n',
        "",
        "database/test_jobs.py::test_finish_charges_and_owes_the_delivery",
    ),
    _one(
        "charged although nothing was stored",
        "workers/image_worker.py",
        '    stored = await here.assets.put(result.data, suffix=_SUFFIXES.get(info.mime, ".bin"))\n',
        "    from services import assets as store\n\n    try:\n"
        '        stored = await here.assets.put(result.data, suffix=_SUFFIXES.get(info.mime, ".bin"))\n'
        '    except store.AssetError:\n        stored = store.StoredAsset("lost", "0", len(result.data))\n',
        "scenarios/test_job_faults.py::test_a_result_that_can_not_be_stored_gives_the_money_back",
    ),
    Mutant(
        "the provider is called before the intent is written",
        (
            Edit(
                "workers/step.py",
                "        call_id = await here.db.write(\n            job_rows.begin_call,",
                "        early = await call()\n"
                "        call_id = await here.db.write(\n            job_rows.begin_call,",
            ),
            Edit("workers/step.py", "        result = await call()\n", "        result = early\n"),
        ),
        ("workers/test_steps.py::test_a_lost_answer_is_repeated_once_at_the_owners_cost_then_refunded",),
    ),
    _one(
        "called without a live lease",
        _JOBS,
        "    if held is None:\n        return None\n    if closed_by",
        "    if closed_by",
        "database/test_jobs.py::test_no_call_without_a_live_lease",
    ),
    _one(
        "a call of unknown outcome is repeated for ever",
        "workers/image_worker.py",
        "    return spent == 0 or (spent <= repeats and seconds < await time_left(here, job))",
        "    return True",
        "workers/test_steps.py::test_a_lost_answer_is_repeated_once_at_the_owners_cost_then_refunded",
    ),
    _one(
        "a failure that could not be written down is repeated",
        "workers/step.py",
        "        if not written and error.failure is Failure.TEMPORARY:\n",
        "        if False:\n",
        "workers/test_steps.py::test_a_failure_that_could_not_be_written_down_is_not_repeated_as_if_it_had_been",
    ),
    _one(
        "a clip is submitted again without a search",
        "workers/video_worker.py",
        "    if doubts and not await _search(here, job, provider, doubts):\n        return\n",
        "",
        "workers/test_steps.py::test_a_submit_whose_answer_was_lost_is_found_and_not_sent_again",
    ),
    _one(
        "a clip that was accepted and not written down is bought again",
        "workers/video_worker.py",
        "if call.outcome is not CallOutcome.REFUSED]",
        "if call.outcome in (None, CallOutcome.UNKNOWN)]",
        "workers/test_steps.py::test_a_worker_killed_before_the_tasks_id_was_written_searches_first",
    ),
    _one(
        "a clip not found at the first look is bought again",
        "workers/video_worker.py",
        "    if earlier + 1 < len(SEARCH_PAUSES_MS) or ",
        "    if ",
        "scenarios/test_job_faults.py::test_a_submit_goes_out_again_only_after_the_third_empty_look",
        "scenarios/test_job_faults.py::test_a_submit_that_timed_out_is_not_sent_anew_after_one_empty_look",
    ),
    _one(
        "the seals go on over a cut off end",
        "database/audit/seals.py",
        '        raise BooksDisagree("the newest seal of the ledger is not the one that was',
        '        str("the newest seal of the ledger is not the one that was',
        "database/test_seals.py::test_a_cut_off_end_of_the_chain_is_found_and_not_sealed_over",
    ),
    _one(
        "all causes of a compensation share one key",
        _JOBS,
        '    key = f"compensation:{job_id}:{cause}"\n',
        '    key = f"compensation:{job_id}"\n',
        "database/test_jobs.py::test_compensation_comes_once_per_cause",
    ),
    _one(
        "more is compensated than was charged",
        _JOBS,
        "    return (job.cost_actual or 0) - int(tx.execute(given).scalar() or 0)",
        "    return job.cost_actual or 0",
        "database/test_jobs.py::test_compensation_comes_once_per_cause",
        "database/test_jobs.py::test_only_charged_jobs_are_compensated",
    ),
    _one(
        "a result that expires undelivered stays paid",
        _JOBS,
        '        compensate(tx, job.id, "undelivered")',
        "        pass",
        "database/test_jobs.py::test_a_result_that_expires_undelivered_is_paid_back",
    ),
    # --- money that comes -------------------------------------------------------------------------------------------
    _one(
        "a notification is believed and YooKassa not asked",
        "services/payments/topups.py",
        "            await self.heard_of(provider_id)",
        "            known = await self._db.read(rows.by_provider_id, provider_id)\n"
        "            await self._db.write(rows.settle, known.id)",
        "test_payments.py::test_a_forged_success_credits_nothing",
    ),
    _one(
        "a payment that did not succeed is credited",
        _SETTLEMENT,
        '        elif facts.status == "succeeded" and facts.paid:',
        '        elif facts.status != "canceled":',
        "test_payments.py::test_a_forged_success_credits_nothing",
    ),
    _one(
        "the sum is not compared",
        _SETTLEMENT,
        '"amount": facts.amount_kopecks == payment.amount,',
        '"amount": True,',
        "test_payments.py::test_what_does_not_fit_is_quarantined_and_the_owner_told",
    ),
    _one(
        "the currency is not compared",
        _SETTLEMENT,
        '"currency": facts.currency == "RUB",',
        '"currency": True,',
        "test_payments.py::test_what_does_not_fit_is_quarantined_and_the_owner_told",
    ),
    _one(
        "the shop is not compared",
        _SETTLEMENT,
        '"shop": facts.account_id in (None, self._shop_id),',
        '"shop": True,',
        "test_payments.py::test_what_does_not_fit_is_quarantined_and_the_owner_told",
    ),
    _one(
        "a test payment is money",
        _SETTLEMENT,
        '"test mode": self._test_mode is None or facts.test is self._test_mode,',
        '"test mode": True,',
        "scenarios/test_money.py::test_a_test_payment_in_a_live_shop_is_refused",
    ),
    _one(
        "quarantined money is credited",
        _PAYMENTS,
        "    if payment.quarantined_reason:\n        raise",
        "    if False:\n        raise",
        "database/test_payments.py::test_a_quarantined_payment_credits_nothing",
    ),
    _one(
        "a payment that is paid is settled again",
        _PAYMENTS,
        _PAID_IS_PAID,
        "",
        "database/test_payments.py::test_fifty_settles_at_once_are_one_credit",
    ),
    Mutant(
        "each look credits under a key of its own",
        (
            Edit(_PAYMENTS, _PAID_IS_PAID, ""),
            Edit(
                _PAYMENTS,
                'key=f"payment:{payment_id}", payment_id=payment_id',
                'key=f"payment:{payment_id}:{tx.now}"',
            ),
        ),
        ("test_payments.py::test_fifty_identical_notifications_at_once_are_one_credit",),
    ),
    _one(
        "a credit settles no debt",
        _LEDGER,
        "    settle_debts(tx, user_id, entry)\n    return entry, True",
        "    return entry, True",
        "database/test_payments.py::test_the_next_credit_settles_the_debt",
    ),
    _one(
        "money back from an order settles no debt",
        _LEDGER,
        "    settle_debts(tx, held.user_id, entry)\n    return _reservation(tx, job_id)\n\n\ndef _reservation",
        "    return _reservation(tx, job_id)\n\n\ndef _reservation",
        "test_ledger.py::test_money_parked_in_a_hold_pays_the_debt_when_it_comes_back",
    ),
    _one(
        "each try to create a payment has a key of its own",
        _SETTLEMENT,
        "idempotency_key=payment.idempotency_key\n",
        'idempotency_key=f"{payment.idempotency_key}.{clock.now()}"\n',
        "test_payments.py::test_a_create_whose_answer_was_lost_is_sent_again_under_the_same_key",
    ),
    _one(
        "a forgotten key is used again",
        _SETTLEMENT,
        "        if not -CLOCK_SLACK_SECONDS <= age(payment.sent_at) <= KEY_LIVES_SECONDS:",
        "        if False:",
        "scenarios/test_payment_faults.py::test_after_the_keys_time_the_payment_is_found_in_the_list",
    ),
    _one(
        "a look that never ends comes first for ever",
        _PAYMENTS,
        "    if taken:\n",
        "    if False:\n",
        "scenarios/test_payment_faults.py::test_a_look_that_never_ends_does_not_come_first_again",
    ),
    _one(
        "a notification is acknowledged before it is written down",
        "handlers/webhook.py",
        '            item = await _kept(edge.db.write(inbox.receive, "yookassa", key, text))\n',
        '            edge.spawn("yookassa", edge.db.write(inbox.receive, "yookassa", key, text))\n'
        "            return web.Response(status=200)\n",
        "handlers/test_webhook.py::test_what_can_not_be_written_down_is_500_and_nothing_is_lost",
    ),
    _one(
        "anybody may send notifications",
        "handlers/webhook.py",
        "            _require(_listed(sender, edge.settings.yookassa_webhook_cidrs), 403)\n",
        "",
        "handlers/test_webhook.py::test_a_wrong_sender_is_refused_before_the_body_is_read_as_json",
    ),
    _one(
        "updates need no secret",
        "handlers/webhook.py",
        '_require(hmac.compare_digest(given.encode(errors="surrogateescape"), secret.encode()), 401)',
        "pass",
        "handlers/test_webhook_senders.py::test_an_update_without_the_secret_is_refused",
    ),
    _one(
        "a charge in Stars is credited as often as it is told",
        _PAYMENTS,
        "    if known is not None:\n        return known, False\n    order = _must(tx, order_id)",
        '    charge_id = f"{charge_id}:{tx.now}" if known else charge_id\n    order = _must(tx, order_id)',
        "services/test_stars.py::test_a_second_charge_of_an_order_is_a_second_credit",
        "scenarios/test_money.py::test_a_redelivered_message_about_stars_makes_one_credit",
    ),
    _one(
        "Stars of another price are credited",
        _PAYMENTS,
        "(order.user_id, order.stars) != (user_id, stars):",
        "order.user_id != user_id:",
        "services/test_stars.py::test_a_charge_that_fits_no_order_credits_nobody",
    ),
    # --- money that goes back ---------------------------------------------------------------------------------------
    _one(
        "what is spent is owed by nobody",
        _LEDGER,
        "    if owed:\n",
        "    if False:\n",
        "database/test_payments.py::test_what_is_spent_becomes_a_debt",
    ),
    _one(
        "returns told before their payment are forgotten",
        _PAYMENTS,
        "        refunds.take_back(tx, payment_id, **vars(one))\n",
        "        pass\n",
        "scenarios/test_payment_faults.py::test_a_payment_returned_before_it_was_seen_is_never_credited_without_its_take_back",
    ),
    _one(
        "one return is taken back as often as it is told",
        _REFUNDS,
        "    known = by_provider_id(tx, provider_refund_id)\n    own =",
        '    known = None\n    refund_id += f"{tx.now}"\n    provider_refund_id += f"{tx.now}"\n    own =',
        "test_payments.py::test_money_returned_from_the_cabinet_is_taken_back_once",
        "database/test_payments.py::test_thirty_returns_at_once",
    ),
    Mutant(
        "more is returned than was paid",
        (
            Edit(_REFUNDS, " or ledger.check_amount(new.amount) > left(tx, payment.id):", ":"),
            Edit(_REFUNDS, "PaymentStatus.PAID or after > payment.amount:", "PaymentStatus.PAID:"),
        ),
        ("services/test_refunds.py::test_what_can_not_be_returned_moves_nothing",),
    ),
    _one(
        "returns under way are not counted",
        _REFUNDS,
        " - payment.refunded_amount - int(under_way or 0))",
        " - payment.refunded_amount)",
        "services/test_refunds.py::test_two_admins_at_once_never_return_more_than_came",
    ),
    _one(
        "a refused return gives back only what was on the balance",
        _REFUNDS,
        "tx, payment.user_id, EntryKind.REFUND, refund.amount, Reason.RETURNED,",
        "tx, payment.user_id, EntryKind.REFUND, refund.taken or 1, Reason.RETURNED,",
        "services/test_refunds.py::test_a_refused_return_gives_everything_back",
    ),
    _one(
        "each try of a return has a key of its own",
        "services/payments/refunds.py",
        'idempotency_key=refund.idempotency_key or ""',
        'idempotency_key=f"{refund.id[:20]}-{clock.now()}"',
        "services/test_refunds.py::test_an_answer_that_was_lost_is_asked_for_under_the_same_key",
    ),
    _one(
        "a lost answer to a return means no",
        "services/payments/refunds.py",
        "            found = await self._look_up(payment, refund)\n            return Refused(",
        "            found = None\n            return Refused(",
        "services/test_refunds.py::test_a_no_to_a_repeat_is_no_word_about_the_first",
    ),
    _one(
        "a decision may be taken twice",
        "database/differences.py",
        "        .where(differences.c.id == difference.id, differences.c.state == DifferenceState.OPEN)",
        "        .where(differences.c.id == difference.id)",
        "services/test_reconciliation.py::test_a_decision_is_taken_once",
    ),
    # --- rules of a second look ---------------------------------------------------------------------------------------
    _one(
        "a hold of a wrong clock is believed",
        _JOBS,
        "    ledger.begin_far_hold_anew(tx, job_id)\n",
        "",
        "database/test_jobs.py::test_a_hold_of_a_wrong_clock_ends_in_its_own_time",
    ),
    _one(
        "nobody looks at a hold of a wrong clock",
        _LEDGER,
        "or_(until <= tx.now, until > tx.now + FAR_MS)",
        "or_(until <= tx.now)",
        "database/test_jobs.py::test_a_hold_of_a_wrong_clock_ends_in_its_own_time",
    ),
    _one(
        "a hold that was seen under a wrong clock is given back at once",
        _LEDGER,
        "tx.now + (lasts if 0 < lasts <= HOLD_WITHOUT_JOB_MS else HOLD_WITHOUT_JOB_MS)",
        "tx.now",
        "database/test_jobs.py::test_a_hold_of_a_wrong_clock_ends_in_its_own_time",
    ),
    _one(
        "a stored result of a wrong clock is believed",
        _JOBS,
        "(asset.expires_at != end or assets.begin_far_anew(tx, asset))",
        "asset.expires_at != end",
        "database/test_jobs.py::test_a_result_of_a_wrong_clock_is_kept_for_its_own_time",
    ),
    _one(
        "a file goes by an end that has changed since",
        _JOBS,
        "(asset.expires_at != end or assets.begin_far_anew(tx, asset))",
        "assets.begin_far_anew(tx, asset)",
        "database/test_jobs.py::test_a_photo_that_an_order_needs_by_now_is_not_deleted",
    ),
    _one(
        "what is kept for long is taken for a wrong clock's",
        "database/assets.py",
        "tx.now + FAR_MS + keep_ms, assets.c.created_at > tx.now + FAR_MS)",
        "tx.now + keep_ms)",
        "database/test_jobs.py::test_a_result_that_is_kept_for_long_is_of_no_wrong_clock",
    ),
    _one(
        "a restored order's key counts from when it is sent again",
        _PAYMENTS,
        ".values(sent_at=payments.c.created_at)",
        ".values(sent_at=tx.now)",
        "scenarios/test_payment_faults.py::test_an_order_that_a_backup_holds_unsent_is_looked_for_before_it_is_sent",
    ),
    _one(
        "a key of tomorrow is alive",
        _SETTLEMENT,
        "        if not -CLOCK_SLACK_SECONDS <= age(payment.sent_at) <= KEY_LIVES_SECONDS:",
        "        if age(payment.sent_at) > KEY_LIVES_SECONDS:",
        "scenarios/test_payment_faults.py::test_an_order_of_a_clock_that_ran_ahead_is_looked_for_before_it_is_sent",
    ),
    _one(
        "an order of tomorrow is looked for in tomorrow's list",
        _SETTLEMENT,
        " if sent <= now else (now - UNDATED_SECONDS, now + 3600)",
        "",
        "scenarios/test_payment_faults.py::test_an_order_of_a_clock_that_ran_ahead_is_looked_for_before_it_is_sent",
    ),
    _one(
        "a return of what a decision credited proposes nothing",
        "database/differences.py",
        "    return Proposal(owner, -amount) if amount > 0 else None",
        "    return None",
        "services/test_reconciliation.py::test_a_credited_second_payment_that_is_returned_later_can_be_taken_back",
        "services/test_stars.py::test_a_charge_credited_by_a_decision_can_be_taken_back_when_it_is_returned",
    ),
    _one(
        "what a decision left out is taken as well",
        "database/differences.py",
        " - (whole - held)\n",
        "\n",
        "services/test_reconciliation.py::test_what_a_decision_left_out_is_not_taken_back",
    ),
    _one(
        "a returned charge may be credited by a decision",
        "database/differences.py",
        "    if difference.kind == UNKNOWN and _was_returned(",
        "    if False and _was_returned(",
        "services/test_stars.py::test_a_charge_that_was_returned_before_the_decision_is_not_credited",
    ),
    _one(
        "what came back of an order begun anew is credited by a decision",
        "database/differences.py",
        'unknown.details.get("whole") or not one.details',
        "not one.details",
        "services/test_decisions.py::test_what_came_back_of_an_order_that_was_begun_anew_is_not_credited",
    ),
    _one(
        "a payment of two names is credited by both",
        "database/differences.py",
        '        raise IllegalMove(f"the money of difference {difference.id} was credited by {other.id}")',
        "        pass",
        "services/test_decisions.py::test_the_money_of_an_order_that_was_begun_anew_is_credited_once",
    ),
    _one(
        "a chat shut behind its result undoes the delivery",
        "services/messaging/notifier.py",
        "(TelegramRetryAfter, TelegramBadRequest, TelegramForbiddenError, *TROUBLE)",
        "(TelegramRetryAfter, TelegramBadRequest, *TROUBLE)",
        "services/test_notifier.py::test_a_chat_closed_behind_the_result_does_not_undo_the_delivery",
    ),
    _one(
        "the audit minds no entry of a job beside its job",
        _CHECKS,
        'SELECT id FROM ledger WHERE job_id IS NULL AND ({named})"',
        'SELECT id FROM ledger WHERE 0 AND ({named})"',
        _BREAKS,
    ),
    _one(
        "the audit minds no credit without a payment",
        _CHECKS,
        '"SELECT 1 FROM payments p WHERE p.id = substr(l.key, 9)"',
        '"SELECT 1"',
        _BREAKS,
    ),
    _one(
        "the audit minds no take-back of another's return",
        _CHECKS,
        "p.id = f.payment_id\n        WHERE (f.id = substr(l.key, 10) OR f.provider_refund_id = substr(l.key, 10)) "
        "AND p.user_id = l.user_id",
        "p.id = f.payment_id\n        WHERE (f.id = substr(l.key, 10) OR f.provider_refund_id = substr(l.key, 10))",
        _BREAKS,
    ),
    _one(
        "the audit minds no return that was undone for nothing",
        _CHECKS,
        "        WHERE f.id = substr(l.key, 10) AND f.status = 'canceled' AND p.user_id = l.user_id",
        "",
        _BREAKS,
    ),
    _one(
        "the audit minds no correction that nobody decided",
        _CHECKS,
        "SELECT 1 FROM differences i WHERE i.id = CAST(substr(l.key, 5) AS INTEGER)\n"
        "        AND l.key = 'fix:' || i.id AND i.state = 'applied'",
        "SELECT 1",
        _BREAKS,
    ),
    _one(
        "the audit minds no payment of a debt that there is not",
        _CHECKS,
        "SELECT 1 FROM debts d WHERE d.id = CAST(substr(l.key, 6) AS INTEGER) AND d.user_id = l.user_id",
        "SELECT 1",
        _BREAKS,
    ),
    _one(
        "the audit minds no wallet of another's",
        _CHECKS,
        "\"SELECT 1 WHERE l.key = 'migration:' || l.user_id\"",
        '"SELECT 1"',
        _BREAKS,
    ),
    _one(
        "the audit minds no debt for nothing",
        _CHECKS,
        "             d.cause = 'migration:' || d.user_id\n",
        "             1\n",
        _BREAKS,
    ),
    _one(
        "the audit minds no decision that was not booked",
        _CHECKS,
        "WHERE i.state = 'applied' AND json_extract(i.proposal",
        "WHERE 0 AND json_extract(i.proposal",
        _BREAKS,
    ),
    _one(
        "the audit takes a message that nobody sends for owed",
        _CHECKS,
        "\n                            AND (o.due_at IS NOT NULL OR o.dead_reason IS NOT NULL))",
        ")",
        "database/test_checks.py::test_an_undelivered_result_whose_message_nobody_will_send_is_found",
    ),
    # --- waiting ------------------------------------------------------------------------------------------------------
    _one(
        "a notification that came too early ends the looking",
        "services/payments/topups.py",
        "rows.look_later, payment.id, delay_ms=FIRST_LOOK_MS)",
        "rows.look_later, payment.id, delay_ms=None)",
        "scenarios/test_payment_faults.py::test_success_told_too_early_is_credited_when_it_becomes_true",
    ),
    _one(
        "a clip long under way is asked about every two hours",
        "scheduler/video_poller.py",
        "LATE_LOOK_MS = 30_000",
        "LATE_LOOK_MS = 7_200_000",
        "scenarios/test_jobs.py::test_a_clip_whose_callback_was_lost_is_found_within_a_minute",
    ),
    _one(
        "a full account at the provider counts as a failure of the order",
        "workers/step.py",
        "        ErrorCode.CONCURRENCY,\n",
        "",
        "scenarios/test_job_faults.py::test_a_full_account_at_the_provider_lets_the_clip_wait",
    ),
    _one(
        "who breaks keeps the line",
        "services/common/keyed_lock.py",
        "            async with lock:\n                yield\n",
        "            await lock.acquire()\n            yield\n            lock.release()\n",
        "scenarios/test_money.py::test_a_line_of_waiting_people_is_freed_however_its_holder_ends",
    ),
    # --- putting back -------------------------------------------------------------------------------------------------
    _one(
        "a copy is put beside the log of what was lost",
        "database/backup.py",
        'for name in (target.name, f"{target.name}-wal", f"{target.name}-journal"):',
        "for name in (target.name,):",
        "app/test_main.py::test_a_restore_is_not_mixed_with_what_was_lost",
    ),
    _one(
        "a restore that fails takes away what somebody uses",
        "main.py",
        "    except (MigrationFailed, UnsupportedDatabase):",
        "    except Exception:",
        "app/test_main.py::test_a_restore_takes_nothing_away_that_somebody_uses",
    ),
    # --- telling ------------------------------------------------------------------------------------------------------
    _one(
        "two senders take the same message",
        "database/outbox.py",
        "        .where(_past(outbox.c.due_at, tx), free)",
        "        .where(_past(outbox.c.due_at, tx))",
        "database/test_jobs.py::test_one_sender_takes_a_message",
    ),
)
