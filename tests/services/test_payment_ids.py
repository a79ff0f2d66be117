"""Ids of payments: what is built is parsed back to the same person and sum, and nothing else is."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from database import payments as payment_rows
from services.payments.ids import Parts, card_id, is_well_formed, parse_card_id, parse_stars_id, stars_id
from tests.support.bot_env import ANYA, BotEnv

PEOPLE = st.integers(min_value=1, max_value=10**16 - 1)
MESSAGES = st.integers(min_value=0, max_value=10**15 - 1)
AMOUNTS = st.integers(min_value=1, max_value=10**11)  # kopecks, up to the most that the books hold
REPEATS = st.integers(min_value=0, max_value=999)
TAPS = st.text("0123456789", min_size=1, max_size=30)


@given(PEOPLE, MESSAGES, AMOUNTS, REPEATS)
def test_a_card_payments_id_is_parsed_as_it_was_built(person: int, message: int, amount: int, repeat: int) -> None:
    """Whatever the message and the repetition, the id tells the person and the sum; it is no id of Stars."""
    payment_id = card_id(person, message, amount, repeat)
    assert parse_card_id(payment_id) == Parts(person, amount)
    assert parse_stars_id(payment_id) is None
    assert is_well_formed(payment_id)


@given(PEOPLE, MESSAGES, AMOUNTS, TAPS)
def test_a_stars_payments_id_is_parsed_as_it_was_built(person: int, message: int, amount: int, tap: str) -> None:
    """However long Telegram's id of the tap is, the id tells the person and the sum; it is no id of a card payment."""
    payment_id = stars_id(person, message, amount, tap)
    assert parse_stars_id(payment_id) == Parts(person, amount)
    assert parse_card_id(payment_id) is None


@given(st.tuples(PEOPLE, MESSAGES, AMOUNTS, REPEATS), st.tuples(PEOPLE, MESSAGES, AMOUNTS, REPEATS))
def test_different_payments_have_different_ids(one: tuple[int, ...], other: tuple[int, ...]) -> None:
    """No two messages, sums, people or repetitions share an id."""
    assert (card_id(*one) == card_id(*other)) == (one == other)


def test_ids_are_those_of_version_2_0_0() -> None:
    """A database and payments under way at YooKassa hold ids of this form: not a byte of it may change."""
    assert [card_id(1001, 15, 50_000, repeat) for repeat in (0, 1)] == ["1001-15-50000", "1001-15-50000-1"]
    assert stars_id(1001, 7, 10_000, "319687447764123456") == "st-1001-7-10000-447764123456"


@pytest.mark.parametrize(
    "foreign",
    ["", "x", "web-shop-7", "shop-15-50000", "0-15-50000", "1001-15-0", "1001-15-50000-x", "1001-15-50000-1-1",
     "1001-15-50000-1000", "-1001-15-50000", "1001-15-50000\n", "st-1001-7-10000-", "st-0-7-10000-aab12",
     "st-1001-7-10000-" + "a" * 13, "١٠٠١-15-50000"],
)  # fmt: skip
def test_what_is_not_built_here_is_not_parsed(foreign: str) -> None:
    """Another program's id, or one that was changed, tells nobody's person and no sum."""
    assert (parse_card_id(foreign), parse_stars_id(foreign)) == (None, None)


def test_a_group_is_no_person() -> None:
    """An id that was built for a message in a group is not taken for one of a person: a group's id is negative."""
    assert parse_card_id(card_id(-1001, 15, 50_000)) is None
    assert parse_stars_id(stars_id(-1001, 15, 50_000, "1")) is None


@pytest.mark.parametrize(
    ("payment_id", "fits"),
    [("a", True), ("a" * 50, True), ("", False), ("a" * 51, False), ("a b", False), ("й", False)],
)
def test_a_payments_id_fits_where_it_goes(payment_id: str, fits: bool) -> None:
    """YooKassa's key and metadata, a button and our table take 1 to 50 letters, digits, - and _."""
    assert is_well_formed(payment_id) is fits


async def test_a_payment_that_a_person_begins_is_named_for_them(bot_env: BotEnv) -> None:
    """A chosen sum and a typed one: both ids tell the person and the sum, so that a lost row can be given back."""
    anya = bot_env.person()
    await anya.say("/topup")
    await anya.sees("Пополнить баланс", new=True)
    await anya.press("500")
    await anya.sees("Пополнение на 500")
    await anya.say("/topup")
    await anya.sees("Пополнить баланс", new=True)
    await anya.press("Другая сумма")
    await anya.sees("На сколько рублей")
    await anya.say("321")
    await anya.sees("Пополнение на 321", new=True)
    found = await bot_env.db.read(payment_rows.of_user, ANYA)
    assert {parse_card_id(payment.id) for payment in found} == {Parts(ANYA, 50_000), Parts(ANYA, 32_100)}
