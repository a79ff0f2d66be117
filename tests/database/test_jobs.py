"""The life of a job in its table: one price, one worker for each attempt, money and job closed in one transaction."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import text

from database import admin, inbox, ledger, outbox, spending
from database import assets as asset_rows
from database import flags as flag_rows
from database import jobs as job_rows
from database import provider_calls as call_rows
from database import users as user_rows
from database import video_jobs as video_rows
from database.audit.checks import provider_calls_are_bounded, run_checks
from database.models import (
    Banned,
    BrokenRule,
    CallOutcome,
    Database,
    IllegalMove,
    InsufficientFunds,
    Job,
    JobStatus,
    JobStep,
    JobType,
    KeyReused,
    NotFound,
    Reservation,
    SpendLimitReached,
    TooManyJobs,
    Tx,
    UnderMaintenance,
)
from tests.support.database_fixture import HOUR, MINUTE, Clock, plan_of, snapshot

ANNA, BORIS = 7001, 7002
PRICE = 500
HOLD = 15 * MINUTE
DAY = 24 * HOUR


def order(job_id: str = "j", user_id: int = ANNA, **changes: Any) -> job_rows.NewJob:
    values: dict[str, Any] = {"type": JobType.IMAGE, "model": "m", "prompt": "a cat", "params": {"size": "1K"}}
    return job_rows.NewJob(job_id, user_id, **{**values, "price": PRICE, "hold_ms": HOLD, **changes})


def picture(job_id: str = "j", user_id: int = ANNA) -> asset_rows.NewAsset:
    key = f"results/{job_id}.png"
    return asset_rows.NewAsset(f"asset-{job_id}", user_id, key, "0" * 64, "image/png", 1_000, 64, 64)


async def start(db: Database, job_id: str = "j", user_id: int = ANNA, **changes: Any) -> Job:
    await db.add_balance(user_id, changes.get("price", PRICE), key=f"for-{job_id}", reason="test")
    job, new = await db.write(job_rows.start, order(job_id, user_id, **changes), max_active=3)
    assert new
    return job


async def claimed(db: Database, job_id: str = "j", step: JobStep = JobStep.IMAGE) -> Job:
    job = await db.write(job_rows.claim, job_id, step)
    assert job is not None
    return job


async def finished(db: Database, job_id: str = "j", price: int | None = None) -> Job:
    job = await claimed(db, job_id)
    done = await db.write(job_rows.finish, job_id, job.attempt, picture(job_id, job.user_id), keep_ms=DAY, price=price)
    assert done is not None
    return done


async def job_of(db: Database, job_id: str = "j") -> Job:
    job = await db.read(job_rows.get, job_id)
    assert job is not None
    return job


async def held_for(db: Database, job_id: str = "j") -> Reservation:
    held = await db.read(ledger.get_reservation, job_id)
    assert held is not None
    return held


async def causes(db: Database, job_id: str = "j") -> list[str]:
    return [cause for _, _, cause in await db.read(admin.job_events_of, job_id)]


async def owed(db: Database) -> list[str]:
    return [row[0] for row in await db.read(lambda tx: tx.execute(text("SELECT key FROM outbox ORDER BY id")).all())]


# --- start ------------------------------------------------------------------------------------------


async def test_start_reserves_and_writes_the_job(db: Database, clock: Clock) -> None:
    """A confirmed order is one reserve, one pending job with a due time, one event, in one transaction."""
    job = await start(db, chat_id=5, inputs=("a", "b"))
    assert (job.status, job.step, job.attempt) == ("pending", "image", 0)
    assert (job.cost_estimate, job.cost_actual) == (PRICE, None)
    assert job.params == {"size": "1K", "inputs": ["a", "b"], "provider_cost": 0}
    assert job.due_at is not None
    assert clock.now < job.due_at <= clock.now + MINUTE
    held = await held_for(db)
    assert (held.amount, held.state, held.hold_until) == (PRICE, "reserved", clock.now + HOLD)
    assert await db.get_balance(ANNA) == 0
    assert await causes(db) == ["confirmed"]


async def test_a_double_tap_is_one_job(db: Database) -> None:
    """The same order again, or fifty times at once, gives the same job and takes the money once."""
    await db.add_balance(ANNA, 10 * PRICE, key="k", reason="r")
    answers = await asyncio.gather(*(db.write(job_rows.start, order(), max_active=3) for _ in range(50)))
    assert sum(new for _, new in answers) == 1
    assert {job.id for job, _ in answers} == {"j"}
    assert await db.get_balance(ANNA) == 9 * PRICE


async def test_a_tap_after_the_end_finds_the_ended_job(db: Database) -> None:
    """The order of a job that ended long ago answers that job; nothing is made anew."""
    await start(db)
    await finished(db)
    before = await snapshot(db)
    job, new = await db.write(job_rows.start, order(), max_active=0)
    assert (job.status, new) == ("completed", False)
    assert await snapshot(db) == before


async def test_an_id_of_another_user_is_refused(db: Database) -> None:
    """A job's id stands for its user's job only."""
    await start(db)
    await db.add_balance(BORIS, PRICE, key="k", reason="r")
    with pytest.raises(KeyReused):
        await db.write(job_rows.start, order(user_id=BORIS), max_active=3)


async def test_a_spent_hold_starts_no_job(db: Database) -> None:
    """An id whose money was charged or given back can't become a job that nobody pays for."""
    await db.add_balance(ANNA, 10 * PRICE, key="k", reason="r")
    for end in (db.refund_balance, db.charge_reserved_balance):
        await db.reserve_balance(ANNA, PRICE, end.__name__)
        await end(end.__name__)
        with pytest.raises(KeyReused):
            await db.write(job_rows.start, order(end.__name__), max_active=3)


async def test_a_job_takes_over_an_open_hold(db: Database, clock: Clock) -> None:
    """Money already held for the id is the job's reserve, with the job's own limit; another sum is refused."""
    await db.add_balance(ANNA, PRICE, key="k", reason="r")
    await db.reserve_balance(ANNA, PRICE, "j")
    with pytest.raises(KeyReused):
        await db.write(job_rows.start, order(price=PRICE - 1), max_active=3)
    await db.write(job_rows.start, order(), max_active=3)
    assert (await held_for(db)).hold_until == clock.now + HOLD
    assert await db.get_balance(ANNA) == 0


@pytest.mark.parametrize("why", ["money", "limit", "ban", "maintenance", "nothing", "too much"])
async def test_a_refused_start_writes_nothing(db: Database, why: str) -> None:
    """No money, too many open jobs, a ban, maintenance or an impossible price: an error, and no row anywhere."""
    await db.add_balance(ANNA, 2 * PRICE, key="k", reason="r")
    await db.write(job_rows.start, order("other"), max_active=3)
    price, limit = PRICE, 3
    error: type[Exception] = Exception
    match why:
        case "money":
            price, error = PRICE + 1, InsufficientFunds
        case "limit":
            limit, error = 1, TooManyJobs
        case "ban":
            await db.write(user_rows.set_banned, ANNA, True)
            error = Banned
        case "maintenance":
            await db.write(flag_rows.put, flag_rows.MAINTENANCE, "on")
            error = UnderMaintenance
        case "nothing":
            price, error = 0, ValueError
        case "too much":
            price, error = 10**11 + 1, ValueError
    before = await snapshot(db)
    with pytest.raises(error):
        await db.write(job_rows.start, order(price=price), max_active=limit)
    assert await snapshot(db) == before


async def test_a_day_costs_no_more_at_providers_than_it_may(db: Database, clock: Clock) -> None:
    """Of a hundred orders at once only those start that the day's limit bears; what ends without a bill frees it."""
    await db.add_balance(ANNA, 1_000 * PRICE, key="k", reason="r")
    await db.write(job_rows.start, order("early", provider_cost=40), max_active=1_000)
    await claimed(db, "early")
    call = await db.write(call_rows.begin_call, "early", 1, provider="p", model="m")
    assert call is not None
    await db.write(call_rows.end_call, call, CallOutcome.REFUSED, cost_micro_usd=15)
    await db.write(call_rows.end_call, call, CallOutcome.REFUSED, cost_micro_usd=15)
    await db.write(job_rows.fail, "early", "refused", attempt=1)
    assert await db.read(spending.today) == 15
    calls = [
        db.write(job_rows.start, order(f"j{number}", provider_cost=30), max_active=1_000, spend_per_day=100)
        for number in range(100)
    ]
    answers = await asyncio.gather(*calls, return_exceptions=True)
    assert sum(isinstance(answer, SpendLimitReached) for answer in answers) == 98
    running = await db.read(job_rows.open_of_user, ANNA)
    await db.write(job_rows.cancel, running[0].id, ANNA)
    await db.write(job_rows.start, order("last", provider_cost=30), max_active=1_000, spend_per_day=100)
    with pytest.raises(SpendLimitReached):
        await db.write(job_rows.start, order("too much", provider_cost=30), max_active=1_000, spend_per_day=100)
    clock.now += DAY
    assert await db.read(spending.today) == 60
    await db.write(job_rows.start, order("next", provider_cost=40), max_active=1_000, spend_per_day=100)


async def test_what_a_clip_was_billed_counts_once(db: Database) -> None:
    """The bill comes after the call, perhaps twice and with another sum: the day has the last word of it."""
    await start(db, type=JobType.VIDEO, provider_cost=70)
    await claimed(db, step=JobStep.SUBMIT)
    call = await db.write(call_rows.begin_call, "j", 1, provider="p", model="m")
    assert call is not None
    await db.write(call_rows.end_call, call, CallOutcome.OK)
    for cost in (50, 50, 60):
        await db.write(call_rows.record_cost, "j", cost)
    assert await db.read(spending.billed) == 60


async def test_a_hundred_orders_with_money_for_one(db: Database) -> None:
    """Of a hundred different orders at once with money for one, one starts."""
    await db.add_balance(ANNA, PRICE, key="k", reason="r")
    calls = [db.write(job_rows.start, order(f"j{number}"), max_active=1_000) for number in range(100)]
    answers = await asyncio.gather(*calls, return_exceptions=True)
    assert sum(isinstance(answer, InsufficientFunds) for answer in answers) == 99
    assert len(await db.read(job_rows.open_of_user, ANNA)) == 1


async def test_the_limit_holds_at_once_and_frees_with_the_end(db: Database) -> None:
    """Of a hundred orders at once no more than the limit start; an ended job makes room."""
    await db.add_balance(ANNA, 100 * PRICE, key="k", reason="r")
    calls = [db.write(job_rows.start, order(f"j{number}"), max_active=3) for number in range(100)]
    answers = await asyncio.gather(*calls, return_exceptions=True)
    assert sum(isinstance(answer, TooManyJobs) for answer in answers) == 97
    running = await db.read(job_rows.open_of_user, ANNA)
    await db.write(job_rows.cancel, running[0].id, ANNA)
    await db.write(job_rows.start, order("next"), max_active=3)


# --- dispatch and claim -----------------------------------------------------------------------------


async def test_one_of_many_claims_wins(db: Database) -> None:
    """Of fifty workers that claim a job at once, one gets it; the others get None."""
    await start(db)
    answers = await asyncio.gather(*(db.write(job_rows.claim, "j", JobStep.IMAGE) for _ in range(50)))
    won = [job for job in answers if job is not None]
    assert [(job.status, job.attempt) for job in won] == [("processing", 1)]
    assert (await causes(db)).count("claimed") == 1


async def test_a_claim_of_another_step_or_job_is_nothing(db: Database) -> None:
    """A message for a step that is over, for an ended job or for none at all is dropped silently."""
    await start(db)
    assert await db.write(job_rows.claim, "j", JobStep.FINISH) is None
    assert await db.write(job_rows.claim, "nothing", JobStep.IMAGE) is None
    await db.write(job_rows.cancel, "j", ANNA)
    assert await db.write(job_rows.claim, "j", JobStep.IMAGE) is None


async def test_a_lost_lease_changes_nothing_any_more(db: Database, clock: Clock) -> None:
    """After its lease ran out and another claimed, the late worker can neither renew, call, finish nor put back."""
    await start(db)
    late = await claimed(db)
    clock.forward(job_rows.LEASE_MS + 1)
    assert [job.id for job in await db.read(job_rows.due)] == ["j"]
    fresh = await claimed(db)
    assert fresh.attempt == late.attempt + 1
    before = await snapshot(db)
    assert await db.write(job_rows.renew, "j", late.attempt) is False
    assert await db.write(call_rows.begin_call, "j", late.attempt, provider="p", model="m") is None
    assert await db.write(job_rows.finish, "j", late.attempt, picture(), keep_ms=DAY) is None
    assert await db.write(job_rows.put_back, "j", late.attempt, delay_ms=0, cause="late") is False
    assert await db.write(job_rows.fail, "j", "late", attempt=late.attempt) is None
    assert await snapshot(db) == before
    assert await db.write(job_rows.finish, "j", fresh.attempt, picture(), keep_ms=DAY) is not None


async def test_a_renewed_lease_keeps_others_away(db: Database, clock: Clock) -> None:
    """A worker that renews in time keeps the job, however long the provider takes."""
    await start(db)
    job = await claimed(db)
    for _ in range(5):
        clock.forward(job_rows.LEASE_MS - 1_000)
        assert await db.write(job_rows.renew, "j", job.attempt)
        assert await db.write(job_rows.claim, "j", JobStep.IMAGE) is None
        assert await db.read(job_rows.due) == []


async def test_no_call_without_a_live_lease(db: Database, clock: Clock) -> None:
    """The intent to call is written only by who holds the lease right now, even if nobody else wants it yet."""
    await start(db)
    job = await claimed(db)
    clock.forward(job_rows.LEASE_MS + 1)
    assert await db.write(call_rows.begin_call, "j", job.attempt, provider="p", model="m") is None
    assert await db.write(job_rows.renew, "j", job.attempt)
    assert await db.write(call_rows.begin_call, "j", job.attempt, provider="p", model="m") is not None


async def test_put_back_is_tried_again_later(db: Database, clock: Clock) -> None:
    """A step put back is due after its delay, and a renewal that comes late does not take it again."""
    await start(db)
    job = await claimed(db)
    assert await db.write(job_rows.put_back, "j", job.attempt, delay_ms=5_000, cause="429")
    assert await db.write(job_rows.renew, "j", job.attempt) is False
    assert await db.read(job_rows.due) == []
    clock.forward(5_000)
    assert [due.failures for due in await db.read(job_rows.due)] == [1]
    assert (await claimed(db)).attempt == 2
    assert await causes(db) == ["confirmed", "claimed", "429", "claimed"]


async def test_a_lost_message_is_sent_again_once(db: Database, clock: Clock) -> None:
    """A due job is dispatched again by one of those who saw it due."""
    await start(db)
    clock.forward(job_rows.REDISPATCH_MS)
    seen = (await db.read(job_rows.due))[0]
    answers = [await db.write(job_rows.redispatch, seen) for _ in range(3)]
    assert [job is not None for job in answers] == [True, False, False]
    assert (await job_of(db)).dispatches == 2
    assert await db.read(job_rows.due) == []


# --- calls ------------------------------------------------------------------------------------------


async def test_the_first_word_on_a_call_stands(db: Database) -> None:
    """A call's outcome is written once; a call without one counts as one that may have been billed."""
    await start(db)
    job = await claimed(db)
    call = await db.write(call_rows.begin_call, "j", job.attempt, provider="p", model="m")
    assert call is not None
    assert await db.read(call_rows.spent_calls, "j") == 1
    await db.write(call_rows.end_call, call, CallOutcome.REFUSED, code="blocked")
    await db.write(call_rows.end_call, call, CallOutcome.OK, cost_micro_usd=5)
    assert [(made.outcome, made.code) for made in await db.read(call_rows.of_job, "j")] == [("refused", "blocked")]
    assert await db.read(call_rows.spent_calls, "j") == 0


async def test_more_calls_than_allowed_are_found(empty_db: Database) -> None:
    """The audit names a job whose provider was called once more than the catalogue allows."""
    await start(empty_db)
    for _ in range(3):
        job = await claimed(empty_db)
        assert await empty_db.write(call_rows.begin_call, "j", job.attempt, provider="p", model="m")
        assert await empty_db.write(job_rows.put_back, "j", job.attempt, delay_ms=0, cause="lost")
        found = [(one.check, one.ids) for one in await empty_db.read(run_checks)]
        assert found == ([("I7", ("j",))] if job.attempt == 3 else [])
    assert await empty_db.read(lambda tx: list(provider_calls_are_bounded(tx, {"image": 2}))) == []


# --- the end ----------------------------------------------------------------------------------------


async def test_finish_charges_and_owes_the_delivery(db: Database, clock: Clock) -> None:
    """Result, completion, charge and the debt of a delivery are one transaction."""
    await start(db)
    done = await finished(db)
    assert (done.status, done.progress, done.cost_actual) == ("completed", 100, PRICE)
    assert (done.step, done.due_at, done.lease_until) == (None, None, None)
    held = await held_for(db)
    assert (held.state, held.charged) == ("charged", PRICE)
    stored = await db.read(asset_rows.result_of, "j")
    assert stored is not None
    assert (stored.id, stored.expires_at) == ("asset-j", clock.now + DAY)
    assert await owed(db) == ["result:j"]
    assert (await causes(db))[-1] == "stored and charged"


async def test_a_lower_final_price_gives_the_rest_back(db: Database) -> None:
    """What the job cost less than its estimate comes back in the same transaction; it never costs more."""
    await start(db)
    assert (await finished(db, price=200)).cost_actual == 200
    assert await db.get_balance(ANNA) == PRICE - 200
    await start(db, "k")
    assert (await finished(db, "k", price=PRICE * 2)).cost_actual == PRICE
    assert await db.get_balance(ANNA) == PRICE - 200


async def test_finish_twice_is_once(db: Database) -> None:
    """The second finish of an attempt, and a failure after it, change nothing."""
    await start(db)
    await finished(db)
    before = await snapshot(db, "jobs", "ledger", "assets", "outbox", "job_events", "reservations")
    assert await db.write(job_rows.finish, "j", 1, picture(), keep_ms=DAY) is None
    assert await db.write(job_rows.fail, "j", "late") is None
    assert await snapshot(db, *before) == before


@pytest.mark.parametrize("finish_first", [True, False])
async def test_a_result_and_the_end_of_the_hold_race(db: Database, clock: Clock, finish_first: bool) -> None:
    """Of a result and the end of the hold the first wins: charged or given back, never both."""
    await start(db)
    job = await claimed(db)
    clock.forward(HOLD + 1)

    async def finish() -> bool:
        return await db.write(job_rows.finish, "j", job.attempt, picture(), keep_ms=DAY) is not None

    async def expire() -> bool:
        return await db.write(job_rows.expire_hold, "j")

    ends = (finish, expire) if finish_first else (expire, finish)
    assert [await end() for end in ends] == [True, False]
    assert (await job_of(db)).status == ("completed" if finish_first else "failed")
    assert await db.get_balance(ANNA) == (0 if finish_first else PRICE)


async def test_fail_gives_everything_back_once(db: Database) -> None:
    """A failed job returns its whole reserve once and says so once."""
    await start(db)
    job = await claimed(db)
    failed = await db.write(job_rows.fail, "j", "provider_refused", attempt=job.attempt)
    assert failed is not None
    assert (failed.status, failed.error_code, failed.cost_actual) == ("failed", "provider_refused", None)
    assert await db.write(job_rows.fail, "j", "again") is None
    assert await db.get_balance(ANNA) == PRICE
    assert await owed(db) == ["failed:j"]


async def test_a_hold_without_a_job_ends(db: Database, clock: Clock) -> None:
    """Money held for an id without a job comes back after 24 hours, once, and not earlier."""
    await db.add_balance(ANNA, PRICE, key="k", reason="r")
    await db.reserve_balance(ANNA, PRICE, "free")
    clock.forward(24 * HOUR - 1)
    assert await db.read(ledger.expired_holds) == []
    assert await db.write(job_rows.expire_hold, "free") is False
    clock.forward(1)
    assert [held.job_id for held in await db.read(ledger.expired_holds)] == ["free"]
    assert [await db.write(job_rows.expire_hold, "free") for _ in range(2)] == [True, False]
    assert await db.get_balance(ANNA) == PRICE
    assert await db.write(job_rows.expire_hold, "unknown") is False


async def test_a_hold_of_a_wrong_clock_ends_in_its_own_time(db: Database, clock: Clock) -> None:
    """Written while the clock was a year ahead, it lasts as long as it was meant to from when it is seen, no longer."""
    year = 365 * DAY
    await db.add_balance(ANNA, 2 * PRICE, key="k", reason="r")
    clock.forward(year)
    await db.reserve_balance(ANNA, PRICE, "free")
    await db.write(job_rows.start, order(), max_active=9)
    clock.forward(-year)
    assert {held.job_id for held in await db.read(ledger.expired_holds)} == {"free", "j"}
    assert [await db.write(job_rows.expire_hold, job_id) for job_id in ("free", "j")] == [False, False]
    assert await db.get_balance(ANNA) == 0
    clock.forward(HOLD)
    assert await db.read(ledger.expired_holds, limit=1) == [await held_for(db)]
    assert await db.write(job_rows.expire_hold, "j")
    assert (await job_of(db)).error_code == "hold_timeout"
    clock.forward(24 * HOUR - HOLD)
    assert await db.write(job_rows.expire_hold, "free")
    assert await db.get_balance(ANNA) == 2 * PRICE


async def test_a_clock_set_back_by_a_day_moves_no_hold(db: Database, clock: Clock) -> None:
    """The longest hold by a clock that is a day behind is still one that can be: nothing about it changes."""
    await db.add_balance(ANNA, PRICE, key="k", reason="r")
    await db.reserve_balance(ANNA, PRICE, "free")
    before = await snapshot(db)
    clock.forward(-DAY)
    assert await db.read(ledger.expired_holds) == []
    assert await db.write(job_rows.expire_hold, "free") is False
    assert await snapshot(db) == before


@pytest.mark.parametrize("cancel_first", [True, False])
async def test_a_cancel_and_a_call_race(db: Database, cancel_first: bool) -> None:
    """Either the person cancels and no call is made, or the call is written down and cancelling is too late."""
    await start(db)
    job = await claimed(db)
    if cancel_first:
        assert (await db.write(job_rows.cancel, "j", ANNA)).status == "cancelled"
        assert await db.write(call_rows.begin_call, "j", job.attempt, provider="p", model="m") is None
        assert await db.get_balance(ANNA) == PRICE
    else:
        assert await db.write(call_rows.begin_call, "j", job.attempt, provider="p", model="m") is not None
        with pytest.raises(IllegalMove):
            await db.write(job_rows.cancel, "j", ANNA)
        assert (await job_of(db)).status == "processing"


async def test_cancelling_again_answers_the_cancelled_job(db: Database) -> None:
    """A second cancel answers the same; a stranger's finds nothing; an ended job can't be cancelled."""
    await start(db)
    with pytest.raises(NotFound):
        await db.write(job_rows.cancel, "j", BORIS)
    first = await db.write(job_rows.cancel, "j", ANNA)
    assert await db.write(job_rows.cancel, "j", ANNA) == first
    assert await db.get_balance(ANNA) == PRICE
    await start(db, "k")
    await finished(db, "k")
    with pytest.raises(IllegalMove):
        await db.write(job_rows.cancel, "k", ANNA)


async def test_compensation_comes_once_per_cause(db: Database) -> None:
    """Money back after the charge: once per cause, never more than was charged, and the job stays completed."""
    await start(db)
    await finished(db, price=300)
    balance = await db.get_balance(ANNA)
    assert [await db.write(job_rows.compensate, "j", "admin", amount=100) for _ in range(3)] == [100] * 3
    assert await db.get_balance(ANNA) == balance + 100
    assert await db.write(job_rows.compensate, "j", "undelivered") == 200
    with pytest.raises(IllegalMove):
        await db.write(job_rows.compensate, "j", "third")
    assert await db.get_balance(ANNA) == balance + 300
    assert (await job_of(db)).status == "completed"
    assert await owed(db) == ["result:j", "compensation:j:admin", "compensation:j:undelivered"]


async def test_only_charged_jobs_are_compensated(db: Database) -> None:
    """An open, a cancelled and an unknown job have no charge to give back."""
    await start(db)
    for _ in range(2):
        with pytest.raises(IllegalMove):
            await db.write(job_rows.compensate, "j", "admin")
        if (await job_of(db)).is_open:
            await db.write(job_rows.cancel, "j", ANNA)
    with pytest.raises(NotFound):
        await db.write(job_rows.compensate, "nothing", "admin")


@pytest.mark.parametrize("delivered", [True, False])
async def test_a_result_that_expires_undelivered_is_paid_back(db: Database, clock: Clock, delivered: bool) -> None:
    """When a file goes that the person never got, its price comes back in the same transaction, once."""
    await start(db)
    await finished(db)
    if delivered:
        item = (await db.write(outbox.claim))[0]
        await db.write(outbox.sent, item.id)
    clock.forward(DAY)
    assert [asset.id for asset in await db.read(asset_rows.expired_assets)] == ["asset-j"]
    for _ in range(2):
        await db.write(job_rows.asset_deleted, "asset-j")
    assert await db.get_balance(ANNA) == (0 if delivered else PRICE)
    assert await db.read(asset_rows.expired_assets) == []


async def test_a_result_of_a_wrong_clock_is_kept_for_its_own_time(db: Database, clock: Clock) -> None:
    """Written while the clock was a year ahead, its file is kept as long as it was meant to from when it is seen, and
    what was never delivered is paid back then; however many saw it."""
    year = 365 * DAY
    await db.add_balance(ANNA, 10, key="k2", reason="r")
    clock.forward(year)
    await start(db)
    await finished(db)
    clock.forward(-year)
    (seen,) = await db.read(asset_rows.expired_assets, keep_ms=DAY)
    for _ in range(2):
        assert not await db.write(job_rows.asset_deleted, seen.id, end=seen.expires_at)
    assert await db.read(asset_rows.expired_assets, keep_ms=DAY) == []
    clock.forward(DAY)
    (ended,) = await db.read(asset_rows.expired_assets, keep_ms=DAY)
    assert await db.write(job_rows.asset_deleted, ended.id, end=ended.expires_at)
    assert await db.get_balance(ANNA) == PRICE + 10


async def test_a_result_that_is_kept_for_long_is_of_no_wrong_clock(db: Database, clock: Clock) -> None:
    """Kept for longer than the settings say by now, or by a clock that is a day behind: it stays as it was promised."""
    await start(db)
    await finished(db)
    before = await snapshot(db)
    clock.forward(-DAY)
    assert await db.read(asset_rows.expired_assets, keep_ms=1) == []
    clock.forward(-DAY)
    assert await db.read(asset_rows.expired_assets, keep_ms=1) == []
    assert await snapshot(db) == before


async def test_a_photo_that_an_order_needs_by_now_is_not_deleted(db: Database, clock: Clock) -> None:
    """Its end was seen, then an order put it off: who goes by what it saw deletes nothing."""
    photo = await db.write(asset_rows.add_input, picture("photo"), keep_ms=DAY)
    clock.forward(DAY)
    (seen,) = await db.read(asset_rows.expired_assets)
    await db.write(asset_rows.keep_assets, [photo.id], keep_ms=DAY)
    assert not await db.write(job_rows.asset_deleted, seen.id, end=seen.expires_at)
    assert (await db.read(asset_rows.get_asset, photo.id)).deleted_at is None


# --- what the schema refuses ------------------------------------------------------------------------

FORBIDDEN = {
    "closing the money of an open job": "UPDATE reservations SET state = 'refunded' WHERE job_id = 'open'",
    "charging the money of an open job": "UPDATE reservations SET state = 'charged', charged = 1 WHERE job_id = 'open'",
    "reopening a closed job": "UPDATE jobs SET status = 'processing', step = 'image', due_at = 1 WHERE id = 'done'",
    "failing a completed job": "UPDATE jobs SET status = 'failed', cost_actual = NULL WHERE id = 'done'",
    "completing a job that never ran": "UPDATE jobs SET status = 'completed', cost_actual = 1, step = NULL, "
    "due_at = NULL WHERE id = 'open'",
    "completing without a cost": "UPDATE jobs SET status = 'completed', step = NULL, due_at = NULL WHERE id = 'open'",
    "an open job without a due time": "UPDATE jobs SET due_at = NULL WHERE id = 'open'",
    "another price": "UPDATE jobs SET cost_estimate = 1 WHERE id = 'open'",
    "another user": "UPDATE jobs SET user_id = 7002 WHERE id = 'open'",
    "another sum held": "UPDATE reservations SET amount = 1 WHERE job_id = 'open'",
    "another user of the money": "UPDATE reservations SET user_id = 7002 WHERE job_id = 'open'",
    "reopening charged money": "UPDATE reservations SET state = 'reserved', charged = 0 WHERE job_id = 'done'",
    "refunding charged money": "UPDATE reservations SET state = 'refunded', charged = 0 WHERE job_id = 'done'",
    "a status without a meaning": "UPDATE jobs SET status = 'paused' WHERE id = 'open'",
    "forgetting a job": "DELETE FROM jobs WHERE id = 'done'",
    "a job in place of another": "REPLACE INTO jobs (id, user_id, type, model, cost_estimate, created_at, step, "
    "due_at) VALUES ('done', 7001, 'image', 'm', 1, 1, 'image', 1)",
    "progress of 101": "UPDATE jobs SET progress = 101 WHERE id = 'open'",
    "a second result": "INSERT INTO assets (id, user_id, job_id, role, store_key, sha256, mime, size, width, height, "
    "created_at, expires_at) VALUES ('x', 7001, 'done', 'result', 'x', 'x', 'x', 1, 1, 1, 1, 1)",
}


@pytest.mark.parametrize("statement", FORBIDDEN.values(), ids=FORBIDDEN)
async def test_the_schema_refuses(db: Database, statement: str) -> None:
    """From any program: moves outside the table of states, other sums or users and missing parts are refused."""
    await start(db, "open")
    await start(db, "done")
    await finished(db, "done")
    before = await snapshot(db)
    with pytest.raises(BrokenRule):
        await db.write(lambda tx: tx.execute(text(statement)))
    assert await snapshot(db) == before


# --- clips ------------------------------------------------------------------------------------------


async def submitted(db: Database, job_id: str = "v") -> Job:
    await start(db, job_id, type=JobType.VIDEO)
    job = await claimed(db, job_id, JobStep.SUBMIT)
    assert await db.write(call_rows.begin_call, job_id, job.attempt, provider="kling", model="m") is not None
    assert await db.write(video_rows.submitted, job_id, job.attempt, external_id=f"task-{job_id}", poll_in_ms=10_000)
    return await job_of(db, job_id)


async def test_a_clip_in_flight_is_a_row(db: Database, clock: Clock) -> None:
    """After the submit no worker has the job: the poller finds it when its poll is due."""
    job = await submitted(db)
    assert (job.step, job.external_id, job.external_key, job.lease_until) == ("watch", "task-v", "v", None)
    assert await db.write(video_rows.submitted, "v", job.attempt, external_id="other", poll_in_ms=0) is False
    assert await db.write(job_rows.renew, "v", job.attempt) is False
    assert await db.read(video_rows.due) == []
    clock.forward(10_000)
    assert [due.id for due in await db.read(video_rows.due)] == ["v"]
    assert await db.read(job_rows.due) == []


async def test_polls_come_later_or_now(db: Database) -> None:
    """A poll may be put off, and progress never goes back; a callback with either id makes it due now."""
    await submitted(db)
    await db.write(video_rows.schedule_poll, "v", poll_in_ms=60_000, progress=60)
    await db.write(video_rows.schedule_poll, "v", poll_in_ms=60_000, progress=40)
    assert (await job_of(db, "v")).progress == 60
    for hint in (("task-v", None), (None, "v")):
        await db.write(video_rows.schedule_poll, "v", poll_in_ms=60_000)
        assert await db.read(video_rows.due) == []
        assert await db.write(video_rows.poll_now, *hint) == "v"
        assert [due.id for due in await db.read(video_rows.due)] == ["v"]
    for stranger in (("task-x", "x"), (None, None), ("", "")):
        assert await db.write(video_rows.poll_now, *stranger) is None


async def test_a_rendered_clip_is_fetched_and_stored(db: Database) -> None:
    """Rendered → one finish step; a bad address → another poll; then stored and charged like an image."""
    await submitted(db)
    ready = await db.write(video_rows.ready_to_finish, "v", url="https://cdn/1.mp4")
    assert ready is not None
    assert (ready.step, ready.external_url, ready.dispatches) == ("finish", "https://cdn/1.mp4", 2)
    assert await db.write(video_rows.ready_to_finish, "v", url="https://cdn/2.mp4") is None
    job = await claimed(db, "v", JobStep.FINISH)
    assert await db.write(video_rows.return_to_polling, "v", job.attempt, cause="the address had expired")
    assert await db.write(job_rows.finish, "v", job.attempt - 1, picture("v"), keep_ms=DAY) is None
    assert await db.write(video_rows.ready_to_finish, "v", url="https://cdn/3.mp4") is not None
    job = await claimed(db, "v", JobStep.FINISH)
    assert await db.write(job_rows.finish, "v", job.attempt, picture("v"), keep_ms=DAY) is not None
    assert (await job_of(db, "v")).status == "completed"


async def test_a_clip_past_its_hold_is_given_back(db: Database, clock: Clock) -> None:
    """A video that never comes is failed when its hold ends; what a later poll finds changes nothing."""
    await submitted(db)
    clock.forward(HOLD)
    assert await db.write(job_rows.expire_hold, "v")
    assert await db.get_balance(ANNA) == PRICE
    before = await snapshot(db)
    assert await db.write(video_rows.ready_to_finish, "v", url="https://cdn/1.mp4") is None
    await db.write(video_rows.schedule_poll, "v", poll_in_ms=5)
    assert await db.write(video_rows.poll_now, "task-v", None) is None
    assert await snapshot(db) == before


# --- what people are told ---------------------------------------------------------------------------


async def test_one_sender_takes_a_message(db: Database, clock: Clock) -> None:
    """A due message is taken by one sender; when that one dies it is due again after the lease."""
    await start(db)
    await finished(db)
    taken = await asyncio.gather(*(db.write(outbox.claim) for _ in range(10)))
    assert sorted(len(items) for items in taken) == [0] * 9 + [1]
    clock.forward(outbox.LEASE_MS)
    again = await db.write(outbox.claim)
    assert [(item.key, item.attempts) for item in again] == [("result:j", 1)]


async def test_sent_means_delivered(db: Database, clock: Clock) -> None:
    """Once Telegram has the result the job is delivered and nothing is due any more."""
    await start(db)
    await finished(db)
    item = (await db.write(outbox.claim))[0]
    await db.write(outbox.sent, item.id)
    assert (await job_of(db)).delivered_at == clock.now
    clock.forward(DAY)
    assert await db.write(outbox.claim) == []


async def test_a_message_is_retried_then_given_up_then_revived(db: Database, clock: Clock) -> None:
    """A retry waits its time; a blocked chat ends it; when the person is back the result is due again."""
    await start(db)
    await finished(db)
    item = (await db.write(outbox.claim))[0]
    await db.write(outbox.retry, item.id, delay_ms=5_000)
    assert await db.write(outbox.claim) == []
    clock.forward(5_000)
    item = (await db.write(outbox.claim))[0]
    await db.write(outbox.give_up, item.id, "blocked")
    clock.forward(HOUR)
    assert await db.write(outbox.claim) == []
    assert [await db.write(outbox.revive_results, ANNA) for _ in range(2)] == [1, 0]
    assert await db.write(outbox.revive_results, BORIS) == 0
    assert [item.key for item in await db.write(outbox.claim)] == ["result:j"]


async def test_results_go_before_everything_else(db: Database) -> None:
    """When there is more to say than may be sent, results come first."""
    for number in range(3):
        await db.write(outbox.post, f"news:{number}", ANNA, "news")
    await start(db)
    await finished(db)
    assert [item.kind for item in await db.write(outbox.claim, limit=2)] == ["result", "news"]


async def test_every_move_has_its_event(db: Database) -> None:
    """The story of a job can be read row by row: each move wrote its event in its own transaction."""
    await start(db)
    job = await claimed(db)
    await db.write(job_rows.put_back, "j", job.attempt, delay_ms=0, cause="temporary")
    await finished(db)
    await db.write(job_rows.compensate, "j", "admin")
    story = [(status, cause) for _, status, cause in await db.read(admin.job_events_of, "j")]
    assert story == [
        ("pending", "confirmed"),
        ("processing", "claimed"),
        ("processing", "temporary"),
        ("processing", "claimed"),
        ("completed", "stored and charged"),
        ("completed", "compensated: admin"),
    ]
    assert {JobStatus(status) for status, _ in story} == {"pending", "processing", "completed"}


# --- what it costs to look ---------------------------------------------------------------------------


LOOKS: dict[str, Callable[[Tx, Job], object]] = {
    "due": lambda tx, job: job_rows.due(tx),
    "due to watch": lambda tx, job: video_rows.due(tx),
    "live messages": lambda tx, job: job_rows.open_with_status_message(tx),
    "place in the queue": job_rows.ahead_in_queue,
    "the whole queue": lambda tx, job: job_rows.pending_times(tx),
    "the day's limit": lambda tx, job: spending.today(tx),
    "the person's own": lambda tx, job: job_rows.open_of_user(tx, job.user_id),
}


@pytest.mark.parametrize("look", LOOKS.values(), ids=LOOKS)
async def test_a_search_for_open_jobs_reads_no_others(db: Database, look: Callable[[Tx, Job], object]) -> None:
    """Queries of every second and of every order use the indexes over open jobs, however long the history is."""
    job = await start(db)
    lines = [line for line in await db.read(plan_of, look, job) if " jobs" in line]
    assert lines
    assert all("ix_jobs_due" in line or "ix_jobs_open_by_user" in line for line in lines), lines


async def test_a_returning_user_causes_no_read_of_other_users_results(db: Database) -> None:
    """`/start` finds waiting results by the user's own orders, because other writers wait meanwhile."""
    await start(db)
    lines = await db.write(plan_of, outbox.revive_results, ANNA)
    assert any("SEARCH jobs USING INDEX ix_jobs_user_id_created_at (user_id=?)" in line for line in lines), lines
    assert not any(line.startswith("SCAN") for line in lines), lines


async def test_due_and_old_notifications_are_found_without_the_handled_ones(db: Database) -> None:
    """What two days of updates left in the inbox is not read again every two seconds."""
    due = await db.write(plan_of, inbox.due, source="telegram")
    assert all("ix_inbox_due_at" in line for line in due if "SEARCH inbox" in line or "SCAN inbox" in line), due
    old = await db.write(plan_of, inbox.forget_old, source="telegram", before=1)
    assert any("ix_inbox_received_at" in line for line in old), old
