"""The functions that move money. Each runs in the caller's transaction and has a key: repeated, it answers the same.

Entries are only added. Balance = SUM(ledger.amount). `balances` is a copy of these sums, kept by the ledger's trigger;
its CHECK makes an overdraft impossible for any program that writes.
"""

from __future__ import annotations

from sqlalchemy import and_, func, insert, select, update

from database import users as user_rows
from database.clock import DAY_MS
from database.engine import Tx
from database.errors import BooksDisagree, IllegalMove, InsufficientFunds, KeyReused, NotFound
from database.rows import Debt, Entry, Reservation
from database.schema import MAX_AMOUNT, balances, debts, jobs, ledger, reservations
from database.states import OPEN_JOBS, EntryKind, Reason, ReservationState

HOLD_WITHOUT_JOB_MS = DAY_MS
FAR_MS = 3 * DAY_MS  # further ahead than any hold of ours, also by a clock that is a day off
MAX_KEY = 200
MAX_REASON = 200
SMALL_ACCOUNT = 1_000  # up to this many entries every read compares `balances` with the sum


def check_amount(amount: int) -> int:
    """An amount is an int of kopecks (no bool) in 1..10¹¹. Raises TypeError or ValueError."""
    if isinstance(amount, bool) or not isinstance(amount, int):
        raise TypeError(f"an amount is an int of kopecks, not {type(amount).__name__}")
    if not 0 < amount <= MAX_AMOUNT:
        raise ValueError(f"an amount lies between 1 and {MAX_AMOUNT} kopecks")
    return amount


def check_user_id(user_id: int) -> int:
    if isinstance(user_id, bool) or not isinstance(user_id, int):
        raise TypeError(f"a user id is an int, not {type(user_id).__name__}")
    if not -(2**63) <= user_id < 2**63:
        raise ValueError("a user id fits 64 bits")
    return user_id


def check_text(name: str, value: str, limit: int) -> str:
    """Keys, reasons and job ids: not empty, limited in length, and text that every database can store."""
    if not isinstance(value, str):
        raise TypeError(f"{name} is a str, not {type(value).__name__}")
    if not value or len(value) > limit or "\x00" in value:
        raise ValueError(f"{name} has 1 to {limit} characters and no NUL")
    value.encode("utf-8")  # a lone surrogate is a ValueError here, not a driver's error later
    return value


# --- reading --------------------------------------------------------------------------------------


def get_balance(tx: Tx, user_id: int) -> int:
    """Kopecks on the balance; an unknown user has 0. For small accounts every read compares it with the sum."""
    check_user_id(user_id)
    shadow = tx.row(select(balances).where(balances.c.user_id == user_id))
    if shadow is None:
        return 0
    if shadow["entries"] <= SMALL_ACCOUNT:
        query = select(func.coalesce(func.sum(ledger.c.amount), 0).label("total"), func.count().label("entries"))
        truth = tx.rows(query.where(ledger.c.user_id == user_id))[0]
        total = truth["total"]
        if (total, truth["entries"]) != (shadow["balance"], shadow["entries"]):
            raise BooksDisagree(f"the books of user {user_id} do not agree: ledger {total}, shadow {shadow['balance']}")
    return int(shadow["balance"])


def find_entry(tx: Tx, key: str) -> Entry | None:
    return Entry.maybe(tx.row(select(ledger).where(ledger.c.key == key)))


def history(tx: Tx, user_id: int, *, limit: int = 20, before_id: int | None = None) -> list[Entry]:
    """The entries of a user, newest first; `before_id` asks for the next page."""
    query = select(ledger).where(ledger.c.user_id == user_id).order_by(ledger.c.id.desc()).limit(limit)
    if before_id is not None:
        query = query.where(ledger.c.id < before_id)
    return [Entry.read(row) for row in tx.rows(query)]


def get_reservation(tx: Tx, job_id: str) -> Reservation | None:
    return Reservation.maybe(tx.row(select(reservations).where(reservations.c.job_id == job_id)))


def expired_holds(tx: Tx, *, limit: int = 100) -> list[Reservation]:
    """Open reservations whose hold is over, oldest first, and those whose end only a wrong clock can have set."""
    query = (
        select(reservations)
        .where(reservations.c.state == ReservationState.RESERVED, tx.is_due(reservations.c.hold_until, FAR_MS))
        .order_by(reservations.c.hold_until)
        .limit(limit)
    )
    return [Reservation.read(row) for row in tx.rows(query)]


def open_debts(tx: Tx, user_id: int) -> list[Debt]:
    query = select(debts).where(debts.c.user_id == user_id, debts.c.settled < debts.c.amount).order_by(debts.c.id)
    return [Debt.read(row) for row in tx.rows(query)]


# --- adding entries -------------------------------------------------------------------------------


def add_entry(
    tx: Tx,
    user_id: int,
    kind: EntryKind,
    amount: int,
    reason: str,
    key: str,
    *,
    job_id: str | None = None,
    payment_id: str | None = None,
) -> Entry:
    """Write one entry with a signed `amount`. The caller has checked the key; the schema refuses it a second time."""
    user_rows.ensure(tx, user_id)
    values = {
        "user_id": user_id,
        "kind": kind,
        "amount": amount,
        "reason": reason,
        "job_id": job_id,
        "payment_id": payment_id,
        "key": key,
        "created_at": tx.now,
    }
    written = tx.row(insert(ledger).values(**values).returning(ledger))
    if written is None:
        raise NotFound("the entry was not written")
    return Entry.read(written)


def _need(tx: Tx, user_id: int, amount: int) -> None:
    balance = get_balance(tx, user_id)
    if balance < amount:
        raise InsufficientFunds(balance, amount)


def settle_debts(tx: Tx, user_id: int, credit: Entry) -> None:
    """Money that comes in first pays the user's debts. Every credit and refund calls this in its transaction.

    Refunds too: otherwise a user could reserve a returned payment for jobs, cancel them and spend the money again.
    """
    left = credit.amount
    for debt in open_debts(tx, user_id):
        if left <= 0:
            return
        paid = min(left, debt.amount - debt.settled)
        add_entry(tx, user_id, EntryKind.DEBIT, -paid, Reason.DEBT, f"debt:{debt.id}:{credit.id}")
        tx.execute(update(debts).where(debts.c.id == debt.id).values(settled=debts.c.settled + paid))
        left -= paid


def take_or_owe(
    tx: Tx, user_id: int, amount: int, *, reason: str, cause: str, payment_id: str | None = None
) -> tuple[int, int]:
    """Debit what the balance has and write the rest down as a debt; returns (taken, owed). The cause is the key."""
    taken = min(user_rows.balance(tx, user_id), amount)
    if taken:
        add_entry(tx, user_id, EntryKind.DEBIT, -taken, reason, cause, payment_id=payment_id)
    owed = amount - taken
    if owed:
        user_rows.ensure(tx, user_id)
        tx.execute(insert(debts).values(user_id=user_id, amount=owed, cause=cause, created_at=tx.now))
    return taken, owed


def credit(
    tx: Tx, user_id: int, amount: int, *, reason: str, key: str, payment_id: str | None = None
) -> tuple[Entry, bool]:
    """Credit a balance once per key; returns the entry and whether it is new. Debts are settled first."""
    earlier = find_entry(tx, key)
    if earlier is not None:
        if (earlier.user_id, earlier.amount) != (user_id, amount):
            raise KeyReused(f"the key {key!r} stands for another entry")
        return earlier, False
    entry = add_entry(tx, user_id, EntryKind.CREDIT, amount, reason, key, payment_id=payment_id)
    settle_debts(tx, user_id, entry)
    return entry, True


# --- for callers of `Database` --------------------------------------------------------------------


def caller_key(key: str) -> str:
    """Keys of callers have a prefix, so that they can't be the same as keys of ours."""
    return f"caller:{check_text('key', key, MAX_KEY)}"


def add_balance(tx: Tx, user_id: int, amount: int, *, key: str, reason: str) -> Entry:
    check_user_id(user_id)
    check_text("reason", reason, MAX_REASON)
    return credit(tx, user_id, check_amount(amount), reason=reason, key=caller_key(key))[0]


def subtract_balance(tx: Tx, user_id: int, amount: int, *, key: str, reason: str) -> Entry:
    check_user_id(user_id)
    check_amount(amount)
    check_text("reason", reason, MAX_REASON)
    stored = caller_key(key)
    earlier = find_entry(tx, stored)
    if earlier is not None:
        if (earlier.user_id, earlier.amount) != (user_id, -amount):
            raise KeyReused(f"the key {key!r} stands for another entry")
        return earlier
    _need(tx, user_id, amount)
    return add_entry(tx, user_id, EntryKind.DEBIT, -amount, reason, stored)


def reserve_balance(tx: Tx, user_id: int, amount: int, job_id: str) -> Reservation:
    """Reserve money for a job id that has no open job. It is held for 24 hours at most."""
    check_user_id(user_id)
    check_amount(amount)
    _refuse_open_job(tx, check_text("job_id", job_id, MAX_KEY))
    return reserve(tx, user_id, amount, job_id, hold_until=tx.now + HOLD_WITHOUT_JOB_MS)


def charge_reserved_balance(tx: Tx, job_id: str, amount: int | None = None) -> Reservation:
    if amount is not None:
        check_amount(amount)
    _refuse_open_job(tx, check_text("job_id", job_id, MAX_KEY))
    return charge(tx, job_id, amount)


def refund_balance(tx: Tx, job_id: str) -> Reservation:
    _refuse_open_job(tx, check_text("job_id", job_id, MAX_KEY))
    return refund(tx, job_id)


def _refuse_open_job(tx: Tx, job_id: str) -> None:
    status = tx.execute(select(jobs.c.status).where(jobs.c.id == job_id)).scalar()
    if status in OPEN_JOBS:
        raise IllegalMove(f"job {job_id} is open: its money moves only together with it")


# --- reserve → charge or refund, for the transactions of jobs ---------------------------------------


def reserve(tx: Tx, user_id: int, amount: int, job_id: str, *, hold_until: int) -> Reservation:
    earlier = get_reservation(tx, job_id)
    if earlier is not None:
        if (earlier.user_id, earlier.amount) != (user_id, amount):
            raise KeyReused(f"job {job_id} holds another sum or belongs to another user")
        return earlier
    _need(tx, user_id, amount)
    add_entry(tx, user_id, EntryKind.DEBIT, -amount, Reason.RESERVE, f"reserve:{job_id}", job_id=job_id)
    values = {"job_id": job_id, "user_id": user_id, "amount": amount, "hold_until": hold_until, "created_at": tx.now}
    tx.execute(insert(reservations).values(**values))
    return _reservation(tx, job_id)


def hold_until(tx: Tx, job_id: str, until: int) -> None:
    """Set the end of a hold (UTC milliseconds): a job that uses an existing hold has its own limit."""
    tx.execute(
        update(reservations)
        .where(reservations.c.job_id == job_id, reservations.c.hold_until != until)
        .values(hold_until=until)
    )


def begin_far_hold_anew(tx: Tx, job_id: str) -> None:
    """A hold that was written under a wrong clock would never end; it gets its normal length from now on."""
    far = and_(
        reservations.c.job_id == job_id,
        reservations.c.state == ReservationState.RESERVED,
        reservations.c.hold_until > tx.now + FAR_MS,
    )
    lasts = tx.execute(select(reservations.c.hold_until - reservations.c.created_at).where(far)).scalar()
    if lasts is not None:
        until = tx.now + (lasts if 0 < lasts <= HOLD_WITHOUT_JOB_MS else HOLD_WITHOUT_JOB_MS)
        tx.execute(update(reservations).where(far).values(created_at=tx.now, hold_until=until))


def charge(tx: Tx, job_id: str, amount: int | None = None) -> Reservation:
    """Charge `amount` kopecks of the reserve (None: all of it) and give the rest back, once."""
    held = _reservation(tx, job_id)
    if held.state is ReservationState.CHARGED:
        if amount not in (None, held.charged):
            raise KeyReused(f"job {job_id} was charged {held.charged}, not {amount}")
        return held
    price = held.amount if amount is None else amount
    if held.state is ReservationState.REFUNDED:
        raise IllegalMove(f"the money of job {job_id} was given back")
    if price > held.amount:
        raise IllegalMove(f"job {job_id} holds {held.amount} kopecks, {price} can't be charged")
    _close(tx, job_id, ReservationState.CHARGED, charged=price)
    if price < held.amount:
        back = held.amount - price
        entry = add_entry(
            tx, held.user_id, EntryKind.REFUND, back, Reason.DIFFERENCE, f"difference:{job_id}", job_id=job_id
        )
        settle_debts(tx, held.user_id, entry)
    return _reservation(tx, job_id)


def refund(tx: Tx, job_id: str) -> Reservation:
    """Give the whole reserve back, once."""
    held = _reservation(tx, job_id)
    if held.state is ReservationState.REFUNDED:
        return held
    if held.state is ReservationState.CHARGED:
        raise IllegalMove(f"job {job_id} is charged; money back after that is a compensation")
    _close(tx, job_id, ReservationState.REFUNDED)
    key = f"refund:{job_id}"
    entry = add_entry(tx, held.user_id, EntryKind.REFUND, held.amount, Reason.REFUND, key, job_id=job_id)
    settle_debts(tx, held.user_id, entry)
    return _reservation(tx, job_id)


def _reservation(tx: Tx, job_id: str) -> Reservation:
    found = get_reservation(tx, job_id)
    if found is None:
        raise NotFound(f"no money is reserved for job {job_id}")
    return found


def _close(tx: Tx, job_id: str, state: ReservationState, *, charged: int = 0) -> None:
    moved = tx.changed(
        update(reservations)
        .where(reservations.c.job_id == job_id, reservations.c.state == ReservationState.RESERVED)
        .values(state=state, charged=charged, closed_at=tx.now)
    )
    if not moved:
        raise IllegalMove(f"the reservation of job {job_id} was closed meanwhile")
