"""What admins do and see. Each of their acts has its row in `admin_log`, written in the same transaction."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from sqlalchemy import func, insert, select

from database import flags as flag_rows
from database import jobs as job_rows
from database import ledger, margin, outbox
from database import users as user_rows
from database.clock import DAY_MS
from database.engine import Tx
from database.errors import NotFound
from database.rows import Entry, User
from database.schema import IS_OPEN, admin_log, balances, debts, job_events, payments, provider_calls, reservations
from database.schema import jobs as job_table
from database.schema import ledger as ledger_table
from database.schema import outbox as outbox_table
from database.schema import users as user_table
from database.states import PaymentStatus, Reason, ReservationState


def log(tx: Tx, admin_id: int, action: str, target: str, **details: Any) -> None:
    """Write down which admin did what to what. The table is append-only by trigger."""
    text = json.dumps(details, ensure_ascii=False, default=str)
    values = {"admin_id": admin_id, "action": action, "target": target, "details": text, "created_at": tx.now}
    tx.execute(insert(admin_log).values(**values))


def grant(tx: Tx, admin_id: int, user_id: int, amount: int, *, key: str, note: str) -> Entry:
    """Give a user `amount` kopecks once per key (the admin's message), and send the user a message."""
    entry, new = ledger.credit(tx, user_id, ledger.check_amount(amount), reason=Reason.GRANT, key=f"grant:{key}")
    if new:
        log(tx, admin_id, "grant", str(user_id), amount=amount, note=note)
        outbox.post(tx, entry.key, user_id, "granted", payload={"amount": amount})
    return entry


def set_banned(tx: Tx, admin_id: int, user_id: int, banned: bool) -> bool:
    changed = user_rows.set_banned(tx, user_id, banned)
    log(tx, admin_id, "ban" if banned else "unban", str(user_id), changed=changed)
    return changed


def set_maintenance(tx: Tx, admin_id: int, on: bool) -> None:
    flag_rows.put(tx, flag_rows.MAINTENANCE, "on" if on else "")
    log(tx, admin_id, "maintenance", "shop", on=on)


@dataclass(frozen=True)
class JobRefund:
    """Money of a job that was given back: kopecks, when (UTC milliseconds), and whether this call did it."""

    amount: int
    at: int
    new: bool


def refund_job(tx: Tx, admin_id: int, job_id: str, *, note: str) -> JobRefund:
    """Give the money of a job back because an admin says so: an open job fails, a completed one is compensated, once.

    Raises NotFound; IllegalMove when the job never took any money.
    """
    job = job_rows.get(tx, job_id)
    if job is None:
        raise NotFound(f"job {job_id}")
    if (earlier := _given_back(tx, job_id)) is not None:
        log(tx, admin_id, "refund", job_id, amount=0, note=note)
        return earlier
    if job.is_open:
        job_rows.fail(tx, job_id, "refunded_by_admin")
        back = job.cost_estimate
    else:
        back = job_rows.compensate(tx, job_id, "admin")
    log(tx, admin_id, "refund", job_id, amount=back, note=note)
    return JobRefund(back, tx.now, new=True)


def _given_back(tx: Tx, job_id: str) -> JobRefund | None:
    """The entry that gave back the last of a job's price; None while some of it is still taken."""
    of_job = ledger_table.c.job_id == job_id
    if tx.execute(select(func.sum(ledger_table.c.amount)).where(of_job)).scalar() != 0:
        return None
    last = tx.row(select(ledger_table).where(of_job).order_by(ledger_table.c.id.desc()).limit(1))
    return None if last is None else JobRefund(int(last["amount"]), int(last["created_at"]), new=False)


@dataclass(frozen=True)
class UserCard:
    """One user as admins see them; sums in kopecks."""

    user: User
    balance: int
    held: int
    debt: int
    paid: int
    open_jobs: int
    jobs: int


def user_card(tx: Tx, text: str) -> UserCard:
    """Find by id or @name. Raises NotFound."""
    user = user_rows.find(tx, text)
    if user is None:
        raise NotFound("user")
    return UserCard(
        user=user,
        balance=user_rows.balance(tx, user.id),
        held=_number(
            tx,
            select(func.sum(reservations.c.amount)).where(
                reservations.c.user_id == user.id, reservations.c.state == ReservationState.RESERVED
            ),
        ),
        debt=sum(debt.amount - debt.settled for debt in ledger.open_debts(tx, user.id)),
        paid=_number(
            tx,
            select(func.sum(payments.c.amount)).where(
                payments.c.user_id == user.id, payments.c.status.in_([PaymentStatus.PAID, PaymentStatus.REFUNDED])
            ),
        ),
        open_jobs=len(job_rows.open_of_user(tx, user.id)),
        jobs=_number(tx, select(func.count()).where(job_table.c.user_id == user.id)),
    )


@dataclass(frozen=True)
class Stats:
    """The state of the shop: totals, and the last 24 hours; sums in kopecks."""

    users: int
    users_today: int
    balances: int
    held: int
    debts: int
    topups_today: int
    charged_today: int
    provider_micro_usd_today: int
    jobs_today: dict[str, int]
    open_jobs: int
    undelivered: int
    quarantined: int
    lost: int  # orders of all time for which the provider worked and the user did not pay
    lost_today: int
    maintenance: bool


def stats(tx: Tx) -> Stats:
    day = tx.now - DAY_MS
    by_status = tx.rows(
        select(job_table.c.status, func.count().label("n"))
        .where(job_table.c.created_at >= day, job_table.c.legacy == 0)
        .group_by(job_table.c.status)
    )
    users_there, open_jobs = head_count(tx)
    return Stats(
        users=users_there,
        users_today=_number(tx, select(func.count()).where(user_table.c.created_at >= day)),
        balances=_number(tx, select(func.sum(balances.c.balance))),
        held=_number(
            tx, select(func.sum(reservations.c.amount)).where(reservations.c.state == ReservationState.RESERVED)
        ),
        debts=_number(tx, select(func.sum(debts.c.amount - debts.c.settled))),
        topups_today=_number(
            tx,
            select(func.sum(ledger_table.c.amount)).where(
                ledger_table.c.reason == Reason.TOPUP, ledger_table.c.created_at >= day
            ),
        ),
        charged_today=_number(tx, select(func.sum(job_table.c.cost_actual)).where(job_table.c.completed_at >= day)),
        provider_micro_usd_today=_number(
            tx, select(func.sum(provider_calls.c.cost_micro_usd)).where(provider_calls.c.started_at >= day)
        ),
        jobs_today={str(row["status"]): int(row["n"]) for row in by_status},
        open_jobs=open_jobs,
        undelivered=_number(tx, select(func.count()).where(outbox_table.c.dead_reason.is_not(None))),
        quarantined=_number(tx, select(func.count()).where(payments.c.quarantined_reason.is_not(None))),
        lost=margin.lost(tx),
        lost_today=margin.lost(tx, day),
        maintenance=bool(flag_rows.get(tx, flag_rows.MAINTENANCE)),
    )


def head_count(tx: Tx) -> tuple[int, int]:
    """How many users there are, and how many open jobs."""
    users_there = _number(tx, select(func.count()).select_from(user_table))
    return users_there, _number(tx, select(func.count()).where(IS_OPEN))


def job_events_of(tx: Tx, job_id: str, *, limit: int = 30) -> list[tuple[int, str, str]]:
    """What happened to a job: (when in UTC ms, status, cause), oldest first."""
    query = select(job_events).where(job_events.c.job_id == job_id).order_by(job_events.c.id).limit(limit)
    return [(int(row["at"]), str(row["status"]), str(row["cause"])) for row in tx.rows(query)]


def _number(tx: Tx, query: Any) -> int:
    return int(tx.execute(query).scalar() or 0)
