"""What administrators do in the chat: each act once, with its audit row, and with words that help when mistyped."""

from __future__ import annotations

import json
from typing import Any

import pytest

from database import flags as flag_rows
from database import jobs as job_rows
from database import schema
from database import users as user_rows
from tests.support.bot_env import ANYA, BotEnv, words_of
from tests.support.sandbox_fixture import ADMIN

NBSP = "\u00a0"


async def audit(bot_env: BotEnv) -> list[tuple[str, str, dict[str, Any]]]:
    rows = await bot_env.db.read(lambda tx: tx.rows(schema.admin_log.select()))
    assert {row["admin_id"] for row in rows} <= {ADMIN}
    return [(row["action"], row["target"], json.loads(row["details"])) for row in rows]


async def test_grant_tells_both_and_is_written_down(bot_env: BotEnv) -> None:
    """/grant gives exactly the sum, answers with the new balance, tells the person, and leaves an audit row."""
    oleg, anya = bot_env.person(ADMIN), bot_env.person()
    await oleg.say(f"/grant {ANYA} 150,50 за терпение")
    answer = words_of(await oleg.sees("Начислено"))
    assert f"150,50{NBSP}₽" in answer
    assert f"Теперь на балансе 150,50{NBSP}₽" in answer
    await anya.sees(f"Вам начислено 150,50{NBSP}₽")
    assert await audit(bot_env) == [("grant", str(ANYA), {"amount": 15050, "note": "за терпение"})]


async def test_the_same_grant_message_twice_gives_once(bot_env: BotEnv) -> None:
    """When the update comes again after a crash, the money is not given again."""
    oleg = bot_env.person(ADMIN)
    sent = await oleg.say(f"/grant {ANYA} 100")
    await oleg.sees("Начислено")
    message = {name: value for name, value in sent.items() if name != "outgoing"}
    bot_env.sandbox.world.faces["telegram"].bot(900).updates.push("message", message, ADMIN)
    await oleg.say("/stats")
    await oleg.sees("Магазин", new=True)
    assert await bot_env.db.get_balance(ANYA) == 10_000
    assert len([one for one in await audit(bot_env) if one[0] == "grant"]) == 1


@pytest.mark.parametrize("mark", [
    {"forward_origin": {"type": "user", "date": 1, "sender_user": {"id": ANYA, "is_bot": False, "first_name": "Аня"}}},
    {"via_bot": {"id": 77, "is_bot": True, "first_name": "helper"}},
], ids=["forwarded", "by way of another bot"])  # fmt: skip
async def test_somebody_elses_words_are_no_command(bot_env: BotEnv, mark: dict[str, Any]) -> None:
    """What an administrator passes on was written by another, who must not rule the shop by it."""
    oleg = bot_env.person(ADMIN)
    sent = await oleg.say("/stats")
    await oleg.sees("Магазин", new=True)
    message = {name: value for name, value in sent.items() if name not in ("outgoing", "entities")}
    message |= {"message_id": sent["message_id"] + 1000, "text": f"/grant {ANYA} 100", **mark}
    bot_env.sandbox.world.faces["telegram"].bot(900).updates.push("message", message, ADMIN)
    await oleg.sees("Такой команды нет")
    assert await bot_env.db.get_balance(ANYA) == 0


@pytest.mark.parametrize(
    "command",
    [
        "/user",
        "/grant",
        "/grant 1001",
        "/grant 1001 много",
        "/grant -5 100",
        "/grant 1001 -100",
        "/grant 1001 0",
        "/grant abc 100",
        "/grant 1001 99999999",
        "/grant 1001 1 000 за терпение",
        "/ban",
        "/ban @anya",
        "/unban x",
        "/job",
        "/refund",
        "/maintenance",
        "/maintenance maybe",
    ],
)
async def test_mistyped_commands_say_how(bot_env: BotEnv, command: str) -> None:
    """A command without its parts, or with wrong ones, answers with an example and does nothing."""
    oleg = bot_env.person(ADMIN)
    await oleg.say(command)
    await oleg.sees(f"Так: {command.split()[0]}", new=True)
    assert await audit(bot_env) == []
    assert await bot_env.db.get_balance(ANYA) == 0


async def test_a_person_is_found_by_id_and_name(bot_env: BotEnv) -> None:
    """/user shows balance, holds, orders and marks; who does not exist is not found."""
    oleg, anya = bot_env.person(ADMIN), bot_env.person()
    await anya.say("/start")
    await anya.sees("Напишите, что нарисовать")
    await bot_env.give(ANYA, 70)
    for wanted in (str(ANYA), "@anya", "anya"):
        await oleg.say(f"/user {wanted}")
        card = words_of(await oleg.sees("Аня", new=True))
        assert f"Баланс: 70{NBSP}₽" in card
        assert "всё в порядке" in card
    await oleg.say("/user 777777")
    await oleg.sees("Не найдено", new=True)
    assert [action for action, _, _ in await audit(bot_env)] == ["user"] * 3


async def test_another_bot_on_the_same_books_gives_too(bot_env: BotEnv) -> None:
    """Its messages are counted from the first again, and the former bot's grants do not stand in the way."""
    oleg = bot_env.person(ADMIN)
    for number in range(1, 30):
        await bot_env.db.add_balance(ANYA, 100, key=f"grant:{ADMIN}:{number}", reason="grant")
    await oleg.say(f"/grant {ANYA} 1")
    await oleg.sees("Начислено")
    assert await bot_env.db.get_balance(ANYA) == 3_000


async def test_ban_and_unban(bot_env: BotEnv) -> None:
    """/ban closes the shop to a person, /unban opens it."""
    oleg = bot_env.person(ADMIN)
    await oleg.say(f"/ban {ANYA}")
    await oleg.sees("закрыт")
    known = await bot_env.db.read(user_rows.get, ANYA)
    assert known is not None
    assert known.is_banned
    await oleg.say(f"/unban {ANYA}")
    await oleg.sees("открыт")
    assert [action for action, _, _ in await audit(bot_env)] == ["ban", "unban"]


async def test_a_ban_that_would_close_nothing(bot_env: BotEnv) -> None:
    """An administrator can't be shut out, and who was never here has nothing to open: neither is written down."""
    oleg = bot_env.person(ADMIN)
    await oleg.say(f"/ban {ADMIN}")
    await oleg.sees("Это администратор")
    await oleg.say("/unban 55")
    await oleg.sees("Не найдено")
    assert await bot_env.db.read(user_rows.get, 55) is None
    assert await audit(bot_env) == []


async def test_maintenance(bot_env: BotEnv) -> None:
    """/maintenance on pauses new orders, off opens them."""
    oleg = bot_env.person(ADMIN)
    await oleg.say("/maintenance on")
    await oleg.sees("на паузе")
    assert await bot_env.db.read(flag_rows.get, flag_rows.MAINTENANCE) == "on"
    await oleg.say("/maintenance off")
    await oleg.sees("Новые заказы снова принимаются")
    assert await bot_env.db.read(flag_rows.get, flag_rows.MAINTENANCE) == ""


async def test_the_story_of_a_job_and_its_money_back_once(bot_env: BotEnv) -> None:
    """/job tells events in words and calls; /refund gives the charge back once, tells the person, and never twice."""
    oleg, anya = bot_env.person(ADMIN), bot_env.person()
    await bot_env.give(ANYA, 100)
    await anya.say("рыжая <лиса>")
    await anya.sees("рыжая <лиса>", new=True)
    await anya.press("Создать")
    await anya.sees("Готово · списано")
    (job,) = await bot_env.db.read(job_rows.of_user, ANYA)
    await oleg.say(f"/job {job.id}")
    story = words_of(await oleg.sees(job.id, new=True))
    parts = (
        "рыжая <лиса>",
        "· готово",
        "заказ принят, деньги отложены",
        "результат сохранён, деньги списаны",
        "nb21: ok",
        f"списано: 12{NBSP}₽",
    )
    for part in parts:
        assert part in story
    assert "confirmed" not in story
    assert "charged" not in story
    await oleg.say(f"/refund {job.id} размыто")
    await oleg.sees(f"Возвращено 12{NBSP}₽ за", new=True)
    await oleg.say(f"/job {job.id}")
    await oleg.sees("деньги возвращены: admin", new=True)
    await anya.sees(f"Деньги вернулись на баланс: 12{NBSP}₽ за заказ «рыжая <лиса>»")
    await oleg.say(f"/refund {job.id} ещё раз")
    again = words_of(await oleg.sees("деньги уже возвращены", new=True))
    assert f"12{NBSP}₽" in again
    assert await bot_env.db.get_balance(ANYA) == 10_000
    await oleg.say("/refund nothing")
    await oleg.sees("Не найдено", new=True)
    await oleg.say("/job nothing")
    await oleg.sees("Не найдено", new=True)


async def test_the_panel_and_the_shop_at_a_glance(bot_env: BotEnv) -> None:
    """/admin lists the commands; /stats shows sums and counts."""
    oleg = bot_env.person(ADMIN)
    await oleg.say("/admin")
    assert "ЮKassa и звёздами" in words_of(await oleg.sees("/maintenance"))
    await bot_env.give(ANYA, 40)
    await oleg.say("/stats")
    assert f"На балансах: 40{NBSP}₽" in words_of(await oleg.sees("Магазин"))
