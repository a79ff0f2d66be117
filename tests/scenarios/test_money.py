"""What has gone wrong with money in shops of this kind; each fault must end well here.

The whole list, with the tests of other files, is docs/specification.md.
"""

from __future__ import annotations

import asyncio
import inspect
from typing import Any

import pytest
from sqlalchemy import Text, text

from database import jobs as job_rows
from database import ledger
from database import payments as payment_rows
from database import refunds as refund_rows
from database.models import BrokenRule, Database, DatabaseUnavailable, PaymentStatus, Tx
from database.schema import metadata
from scheduler.sweeper import Sweeper
from services.common.i18n import Texts
from services.common.keyed_lock import KeyedLock
from services.payments.payments import Payments
from services.queue import Queue
from tests.support.bot_env import ANYA, BOT_ID, BotEnv
from tests.support.job_env import JobEnv, until
from tests.support.payment_env import PaymentEnv
from tests.support.redis_fixture import RedisServer
from tests.support.sandbox_fixture import ADMIN
from tests.support.stars_fixture import entries as star_entries
from tests.support.stars_fixture import paid as paid_in_stars

PEOPLE_ARE_CALLED = {"user_id", "admin_id", "requested_by", "decided_by"}


async def credits(payment_env: PaymentEnv, user_id: int) -> list[tuple[str, int]]:
    lines = await payment_env.db.read(ledger.history, user_id, limit=100)
    return [(line.reason, line.amount) for line in reversed(lines)]


# --- who is who -------------------------------------------------------------------------------------------------


def test_a_person_has_one_number_and_it_is_telegrams() -> None:
    """No second numbering of people exists that could be taken for Telegram's.

    `users.id` is Telegram's id and no counter; each column that names a person is a whole number and a column that
    names anything else is never called so; orders, payments and files are texts, so none of them fits in its place.
    """
    users = metadata.tables["users"]
    assert list(users.primary_key.columns) == [users.c.id]
    assert [column.name for column in users.columns if column.name.endswith("_id") or column.unique] == []
    for table in metadata.tables.values():
        for column in table.columns:
            is_word = isinstance(column.type, Text)
            if column.name in PEOPLE_ARE_CALLED:
                assert not is_word, f"{table.name}.{column.name}"
                targets = {key.target_fullname for key in column.foreign_keys}
                assert targets <= {"users.id"}, f"{table.name}.{column.name}"
            if column.name in ("job_id", "payment_id", "asset_id", "parent_job_id", "draft_id"):
                assert is_word, f"{table.name}.{column.name}"
    for name in ("jobs", "payments", "refunds", "assets", "drafts"):
        assert isinstance(metadata.tables[name].c.id.type, Text), name


@pytest.mark.parametrize("verb", ["add_balance", "subtract_balance", "reserve_balance"])
async def test_the_id_of_an_order_is_no_id_of_a_person(db: Database, verb: str) -> None:
    """A text where a person belongs, or a number where an order does, is refused by every call and by the database."""
    arguments: dict[str, Any] = {"amount": 5, "key": "k", "reason": "r", "job_id": "j"}
    wanted = inspect.signature(getattr(db, verb)).parameters
    given = {name: value for name, value in arguments.items() if name in wanted}
    with pytest.raises(TypeError):
        await getattr(db, verb)(user_id="7001", **given)
    with pytest.raises(TypeError):
        await db.refund_balance(7001)  # type: ignore[arg-type]
    await db.add_balance(7001, 100, key="there", reason="r")
    columns = "user_id, kind, amount, reason, key, created_at"
    insert = f"INSERT INTO ledger ({columns}) VALUES ('j', 'credit', 1, 'r', 'x', 1)"
    with pytest.raises((BrokenRule, DatabaseUnavailable)):
        await db.write(lambda tx: tx.execute(text(insert)).close())
    assert await db.get_balance(7001) == 100


async def test_people_whose_ids_look_like_row_numbers_each_get_their_own_money(payment_env: PaymentEnv) -> None:
    """Telegram ids 1 to 5 that came in the reverse order, so that no row's number is its person's: each has their sum.

    All are paid at once, told by notification, button and poller.
    """
    payments = {user: await payment_env.open_payment(user, rubles=100 * user) for user in (5, 4, 3, 2, 1)}
    for payment in payments.values():
        await payment_env.pay(payment)
        await payment_env.db.write(payment_rows.schedule_poll, payment.id, delay_ms=0)
    await asyncio.gather(
        payment_env.payments.poll_due(),
        *(payment_env.notify("payment.succeeded", payment.provider_payment_id or "") for payment in payments.values()),
        *(payment_env.payments.check(payment.id, user) for user, payment in payments.items()),
    )
    await payment_env.acted()
    for user, payment in payments.items():
        assert await credits(payment_env, user) == [("topup", 10_000 * user)], payment.id


# --- money that comes ---------------------------------------------------------------------------------------------


async def test_a_test_payment_in_a_live_shop_is_refused(payment_env: PaymentEnv) -> None:
    """A shop whose key is a live one: a succeeded payment that cost nobody anything is set aside, not credited."""
    live = Payments(payment_env.db, payment_env.gateway, Texts(), shop_id="100500", test_mode=False, admins=[ADMIN])
    payment = await payment_env.open_payment()
    await payment_env.pay(payment)
    held = await live.settle(payment.id)
    assert held.status is PaymentStatus.PENDING
    assert "test mode" in (held.quarantined_reason or "")
    await live.handle_due_notifications()
    await live.poll_due()
    assert await credits(payment_env, 1) == []


async def test_parts_and_the_whole_told_twice_and_before_the_payment_take_back_exactly(payment_env: PaymentEnv) -> None:
    """Two parts and then the rest, each told three times, the parts before the payment was settled."""
    payment = await payment_env.open_payment()
    await payment_env.pay(payment)

    async def give_back(*amounts: str) -> None:
        returns = [
            await payment_env.control("/refunds", payment_id=payment.provider_payment_id, amount=amount)
            for amount in amounts
        ]
        await asyncio.gather(*(payment_env.notify("refund.succeeded", one["id"]) for one in returns for _ in range(3)))
        await payment_env.notify("payment.succeeded", payment.provider_payment_id or "")
        await payment_env.acted()

    await give_back("120.00", "80.00")  # as long as more could be taken, a second time would be seen
    assert sorted(await credits(payment_env, 1)) == [("takeback", -12_000), ("takeback", -8_000), ("topup", 50_000)]
    await give_back("300.00")
    paid = await payment_env.payment(payment.id)
    assert (paid.status, paid.refunded_amount) == (PaymentStatus.REFUNDED, 50_000)
    assert sorted(await credits(payment_env, 1)) == [
        ("takeback", -30_000), ("takeback", -12_000), ("takeback", -8_000), ("topup", 50_000),
    ]  # fmt: skip
    assert len(await payment_env.db.read(refund_rows.of_payment, payment.id)) == 3


async def test_a_redelivered_message_about_stars_makes_one_credit(starry: BotEnv) -> None:
    """Telegram sends the message about a charge again and again, under new numbers and many at once: one credit."""
    anya = starry.person()
    payment = await paid_in_stars(starry, anya)
    bot = starry.sandbox.world.faces["telegram"].bot(BOT_ID)
    told = next(one for one in reversed(await anya.messages()) if "successful_payment" in one)
    numbers = [bot.updates.push("message", told, ANYA) for _ in range(12)]

    async def handled() -> bool:
        def count(tx: Tx) -> int:
            waiting = "SELECT count(*) FROM inbox WHERE source = 'telegram' AND due_at IS NULL AND CAST(key AS INT) IN "
            return int(tx.execute(text(waiting + f"({', '.join(map(str, numbers))})")).scalar() or 0)

        return await starry.db.read(count) == len(numbers)

    await until(handled, seconds=40, what="the repeats are handled")
    assert await star_entries(starry) == [("topup", 10_000)]
    assert [one.id for one in await starry.db.read(payment_rows.of_user, ANYA)] == [payment.id]


# --- money that goes back ------------------------------------------------------------------------------------------


async def test_money_back_is_added_to_the_balance_as_it_is_now(job_env: JobEnv) -> None:
    """What came and went since the reserve stays: money back is an entry of its own, never an old balance restored."""
    await job_env.give(1, 100)
    job = await job_env.order(price=3_000)
    await job_env.give(1, 500)
    await job_env.db.subtract_balance(1, 1_500, key="spent", reason="test")
    before = await job_env.balance()
    await job_env.db.write(job_rows.fail, job.id, "interrupted")
    assert (before, await job_env.balance()) == (55_500, 58_500)
    assert (await job_env.entries())[-1] == ("refund", 3_000)


async def test_a_flushed_redis_moves_no_money(job_env: JobEnv, redis_server: RedisServer) -> None:
    """All keys are gone while an order waits: nothing is charged or given back, and the sweeper sends it anew."""
    await job_env.give(1, 100)
    queue = Queue(redis_server.url)
    try:
        sweeper = Sweeper(job_env.ctx, queue)
        job = await job_env.order()
        await job_env.db.write(lambda tx: tx.execute(text("UPDATE jobs SET due_at = 1")).close())
        await sweeper.resend_lost_steps()
        assert await queue.waiting()
        redis_server.flush()
        assert await queue.waiting() == set()
        assert await job_env.entries() == [("test", 10_000), ("reserve", -1200)]
        await job_env.db.write(lambda tx: tx.execute(text("UPDATE jobs SET due_at = 1")).close())
        await sweeper.resend_lost_steps()
        (message,) = await queue.waiting() or set()
        assert message.startswith(job.id)
        assert (await job_env.job(job.id)).is_open
    finally:
        await queue.close(0)


async def test_a_line_of_waiting_people_is_freed_however_its_holder_ends() -> None:
    """An error, a cancellation, a holder cancelled while waiting: the next one always has their turn."""
    lock = KeyedLock()

    async def break_down() -> None:
        async with lock.hold(1):
            await asyncio.sleep(0)  # somebody comes to stand behind it
            raise RuntimeError("broken handler")

    async def take_turn() -> None:
        async with lock.hold(1):
            pass

    async def hang() -> None:
        async with lock.hold(1):
            await asyncio.Event().wait()

    async with asyncio.timeout(5):
        broken, after_it = await asyncio.gather(break_down(), take_turn(), return_exceptions=True)
    assert (type(broken), after_it) == (RuntimeError, None)
    holder, waiter, last = (asyncio.create_task(one) for one in (hang(), hang(), take_turn()))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    waiter.cancel()
    holder.cancel()
    await asyncio.gather(holder, waiter, return_exceptions=True)
    async with asyncio.timeout(5), lock.hold(1):
        await last
        assert len(lock) == 1
    assert len(lock) == 0
