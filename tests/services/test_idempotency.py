"""The protocol of idempotence keys, with real rows: what is sent again, what is looked for first, and up to when."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from sqlalchemy import text

from database import clock
from database.models import Tx
from services.errors import TopUpUnavailable
from services.payments.idempotency import (
    CertainRefusal,
    KeyedRequest,
    NeverArrived,
    key_is_alive,
    listed_between,
    refund_key,
    topup_key,
)
from services.payments.yookassa.client import ErrorKind, YooKassaError
from tests.support.payment_env import PaymentEnv
from tests.support.sandbox_fixture import ADMIN

MINUTE, HOUR, DAY = 60, 3600, 86_400
LAST_SECOND = 22 * HOUR + 59 * MINUTE + 59
LIFE = LAST_SECOND + 1  # 23 hours; YooKassa forgets a key after 24


class TopUp:
    """A payment whose answer is lost: YooKassa has made it, and our row does not know."""

    kind = "payments"

    async def lose_answer(self, payment_env: PaymentEnv) -> None:
        payment_env.sandbox.fault("yookassa", "v3/payments", times=2, drop="after")
        with pytest.raises(TopUpUnavailable):
            await payment_env.open_payment(payment_id="lost")

    async def try_again(self, payment_env: PaymentEnv) -> None:
        await payment_env.payments.settle("lost")

    async def is_known(self, payment_env: PaymentEnv) -> bool:
        return (await payment_env.payment("lost")).provider_payment_id is not None


class PartialRefund:
    """A refund whose answer is lost, of a part: the same request under a forgotten key would give it back again."""

    kind = "refunds"

    async def lose_answer(self, payment_env: PaymentEnv) -> None:
        paid = await payment_env.paid()
        payment_env.sandbox.fault("yookassa", "v3/refunds", times=1, drop="after")
        await payment_env.refunds.refund(ADMIN, paid.id, 20_000, refund_id="lost")

    async def try_again(self, payment_env: PaymentEnv) -> None:
        await payment_env.refunds.carry_on("lost")

    async def is_known(self, payment_env: PaymentEnv) -> bool:
        return (await payment_env.refund("lost")).provider_refund_id is not None


@dataclass
class StoppedClock:
    """Our clock, stopped at a whole second until a test moves it."""

    seconds: float


@pytest.fixture
def stopped() -> Iterator[StoppedClock]:
    stopped = StoppedClock(float(int(time.time())))
    before = clock.use(clock.Source(wall=lambda: stopped.seconds))
    yield stopped
    clock.use(before)


@pytest.fixture(params=[TopUp(), PartialRefund()], ids=["payment", "refund"])
def request_of(request: pytest.FixtureRequest) -> TopUp | PartialRefund:
    made: TopUp | PartialRefund = request.param
    return made


def pass_time(payment_env: PaymentEnv, stopped: StoppedClock, seconds: float) -> None:
    """So much time passes, for us and for YooKassa alike."""
    stopped.seconds += seconds
    payment_env.sandbox.world.clock.set_speed(1.0)
    payment_env.sandbox.world.clock.advance(seconds)


async def change(payment_env: PaymentEnv, statement: str, **values: object) -> None:
    def run(tx: Tx) -> None:
        tx.execute(text(statement), values)

    await payment_env.db.write(run)


async def tried(payment_env: PaymentEnv, request_of: TopUp | PartialRefund) -> tuple[int, int]:
    """Another attempt; answers how often it sent the request and how often it read the list.

    Whichever it did, YooKassa has made one thing, and our row knows it.
    """
    counts, kind = payment_env.sandbox.world.counts, request_of.kind
    before = (counts[f"yookassa:POST /{kind}"], counts[f"yookassa:GET /{kind}"])
    await request_of.try_again(payment_env)
    assert await request_of.is_known(payment_env)
    assert len(getattr(payment_env.sandbox.world.faces["yookassa"], kind)) == 1
    return counts[f"yookassa:POST /{kind}"] - before[0], counts[f"yookassa:GET /{kind}"] - before[1]


@pytest.mark.parametrize("age", [0, LAST_SECOND, LIFE])
async def test_a_key_that_is_alive_is_used_again(
    payment_env: PaymentEnv, stopped: StoppedClock, request_of: TopUp | PartialRefund, age: int
) -> None:
    """Up to 23 hours, the last second included: the same body goes again under the same key, no list is read."""
    await request_of.lose_answer(payment_env)
    pass_time(payment_env, stopped, age)
    assert await tried(payment_env, request_of) == (1, 0)


@pytest.mark.parametrize("age", [LIFE + 1, DAY + 1, 10 * DAY])
async def test_a_key_past_its_time_is_never_used(
    payment_env: PaymentEnv, stopped: StoppedClock, request_of: TopUp | PartialRefund, age: int
) -> None:
    """A second past 23 hours, and when YooKassa has really forgotten it: the list is read and nothing is sent."""
    await request_of.lose_answer(payment_env)
    pass_time(payment_env, stopped, age)
    assert await tried(payment_env, request_of) == (0, 1)


@pytest.mark.parametrize(("ahead", "did"), [(MINUTE, (1, 0)), (MINUTE + 1, (0, 1)), (DAY, (0, 1)), (365 * DAY, (0, 1))])
async def test_a_row_of_tomorrow_is_looked_for_first(
    payment_env: PaymentEnv,
    stopped: StoppedClock,
    request_of: TopUp | PartialRefund,
    ahead: int,
    did: tuple[int, int],
) -> None:
    """Written under a clock that ran ahead, by more than two clocks may differ: nobody knows how old its key is."""
    stopped.seconds += ahead
    await request_of.lose_answer(payment_env)
    stopped.seconds -= ahead
    assert await tried(payment_env, request_of) == did


@pytest.mark.parametrize(("age", "did"), [(HOUR, (1, 0)), (2 * DAY, (0, 1))])
async def test_a_row_that_a_restored_backup_holds_as_unsent_is_as_old_as_it_was_written(
    payment_env: PaymentEnv, stopped: StoppedClock, request_of: TopUp | PartialRefund, age: int, did: tuple[int, int]
) -> None:
    """The copy was made before the first attempt, so the row says that it was never sent; YooKassa knows better."""
    await request_of.lose_answer(payment_env)
    await change(payment_env, f"UPDATE {request_of.kind} SET sent_at = NULL")
    pass_time(payment_env, stopped, age)
    assert await tried(payment_env, request_of) == did


async def test_while_the_list_can_not_be_read_nothing_is_sent(
    payment_env: PaymentEnv, stopped: StoppedClock, request_of: TopUp | PartialRefund
) -> None:
    """Past the key's time and without the list nobody can tell: nothing is sent, and the row waits for the next try."""
    await request_of.lose_answer(payment_env)
    pass_time(payment_env, stopped, DAY)
    payment_env.sandbox.fault("yookassa", f"v3/{request_of.kind}", times=2, status=500)
    posts = payment_env.sandbox.world.counts[f"yookassa:POST /{request_of.kind}"]
    await request_of.try_again(payment_env)
    assert not await request_of.is_known(payment_env)
    assert payment_env.sandbox.world.counts[f"yookassa:POST /{request_of.kind}"] == posts
    payment_env.sandbox.world.faults.clear()
    assert await tried(payment_env, request_of) == (0, 1)


def test_a_keys_life_ends_an_hour_before_yookassa_forgets_it(stopped: StoppedClock) -> None:
    """To the second, on both sides of its birth."""
    now = int(stopped.seconds) * 1000
    ages = (0, LAST_SECOND, LIFE, LIFE + 1, -MINUTE, -MINUTE - 1)
    assert [key_is_alive(now - age * 1000) for age in ages] == [True, True, True, False, True, False]


def test_the_list_is_read_from_before_the_key_to_past_its_end(stopped: StoppedClock) -> None:
    """A day and its margins; of a row of the future, whose age nobody knows, as far back as payments are polled."""
    now = stopped.seconds
    assert listed_between(int(now - 2 * DAY) * 1000) == (now - 2 * DAY - HOUR, now - 2 * DAY + 26 * HOUR)
    assert listed_between(int(now + DAY) * 1000) == (now - 90 * DAY, now + HOUR)


def test_keys_are_those_of_version_2_0_0() -> None:
    """Rows under way hold keys of this form, and YooKassa knows them: another form would be a second payment."""
    assert (topup_key("1001-15-50000"), refund_key("r-9001-7")) == ("topup-1001-15-50000", "refund-r-9001-7")


async def test_what_never_arrived_is_told_apart_from_what_nobody_can_tell(stopped: StoppedClock) -> None:
    """Past the key's time: an empty list is one answer, a list that breaks off another; nothing is sent for either."""

    async def send() -> str:
        raise AssertionError("sent under a forgotten key")

    async def empty() -> str | None:
        return None

    async def broken() -> str | None:
        raise YooKassaError(ErrorKind.UNKNOWN_OUTCOME, "a list without items")

    with pytest.raises(NeverArrived):
        await KeyedRequest(0, send, empty).result()
    with pytest.raises(YooKassaError):
        await KeyedRequest(0, send, broken).result()


@pytest.mark.parametrize("listed", ["made earlier", None])
async def test_a_refused_repeat_is_decided_by_the_list(stopped: StoppedClock, listed: str | None) -> None:
    """What an earlier attempt made counts, whatever this one heard; only an empty list makes the refusal certain."""
    refusal = YooKassaError(ErrorKind.INVALID, "no", status=400)

    async def send() -> str:
        raise refusal

    async def find() -> str | None:
        return listed

    request = KeyedRequest(clock.now_ms(), send, find)
    with pytest.raises(YooKassaError):
        await request.result()
    if listed is not None:
        assert await request.result_in_spite_of(refusal) == listed
        return
    with pytest.raises(CertainRefusal) as caught:
        await request.result_in_spite_of(refusal)
    assert str(caught.value) == str(refusal)
