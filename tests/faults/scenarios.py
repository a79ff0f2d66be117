"""What people do with the shop, as short stories; together they pass every point of the code.

A story's acts bear deaths: nobody waits for the answer to a tap, only for what must come in the end.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from typing import Any

from pysqlite3 import dbapi2 as sqlite

from database import ledger
from database.engine import SqliteFile
from tests.database.test_migrations import VERSION_1_3
from tests.faults.harness import GIFT, Story
from tests.faults.scenario_env import Stage, until
from tests.support.bot_env import ANYA, Json, Person, picture
from tests.support.sandbox_fixture import TOKEN

PICTURE, CLIP, FILMED = 1_200, 11_000, 11_000
TOPUP, STARRED = 50_000, 10_000
DAY = 24 * 3600.0
SENT = "SELECT provider_payment_id FROM payments WHERE provider_payment_id IS NOT NULL"


# --- small acts -------------------------------------------------------------------------------------


async def order(stage: Stage, prompt: str) -> None:
    """Words, and the price on the card that answers them."""
    await stage.anya.say(prompt)
    await stage.anya.tap("Создать", on=await stage.anya.sees(prompt.split("#")[0].strip(), new=True))


async def touch(person: Person, label: str, message: Json) -> None:
    """A tap, unless the button has gone meanwhile: then what it would have done has happened."""
    try:
        await person.tap(label, on=message)
    except AssertionError as error:
        if "no such button" not in str(error):
            raise


async def opened(stage: Stage) -> tuple[str, str]:
    """A top-up of 500 rubles up to its link; its id at YooKassa and ours."""
    await stage.anya.say("/topup")
    await stage.anya.tap("500", on=await stage.anya.sees("Пополнить баланс", new=True))
    ((theirs, ours), *_) = await stage.until(
        "SELECT provider_payment_id, id FROM payments WHERE provider_payment_id IS NOT NULL"
    )
    await stage.anya.sees("Пополнение на 500")  # nobody can pay what they have no link to
    return str(theirs), str(ours)


async def pay(stage: Stage, theirs: str) -> None:
    await stage.post(f"/_control/yookassa/payments/{theirs}/pay")


async def credited(stage: Stage) -> None:
    await stage.until("SELECT 1 FROM ledger WHERE kind = 'credit' AND payment_id IS NOT NULL")


async def hears(stage: Stage) -> None:
    """YooKassa tells the shop what happens."""
    url = f"http://127.0.0.1:{stage.port}/webhooks/yookassa"
    await stage.post("/_control/yookassa/settings", {"notification_url": url})


async def paid(stage: Stage) -> tuple[str, str]:
    theirs, ours = await opened(stage)
    await pay(stage, theirs)
    stage.polls = True
    await credited(stage)
    return theirs, ours


async def returned(stage: Stage, ours: str, status: str = "succeeded", count: int = 1) -> None:
    await stage.until(
        "SELECT 1 FROM refunds WHERE payment_id = ? AND status = ? GROUP BY payment_id HAVING COUNT(*) = ?",
        ours,
        status,
        count,
    )


# --- orders -----------------------------------------------------------------------------------------


async def a_picture(stage: Stage) -> None:
    await order(stage, "рыжая лиса")
    await stage.job()


async def an_edit(stage: Stage) -> None:
    await stage.anya.photo(picture(), caption="сделай ночь")
    await stage.anya.tap("Создать", on=await stage.anya.sees("сделай ночь", new=True))
    await stage.job()


async def begun(stage: Stage, prompt: str) -> None:
    await stage.anya.say("🎬 Клип")
    await stage.anya.sees("Что снять", new=True)
    await order(stage, prompt)


async def clip(stage: Stage, prompt: str) -> None:
    await begun(stage, prompt)
    await stage.job()


async def a_clip(stage: Stage) -> None:
    """Kling takes its time until the shop has asked once in vain, however slow or quick this machine is."""
    await begun(stage, "волна у берега #sim:slow")
    await stage.saw("commit database.jobs.schedule_poll")
    for task in stage.sandbox.world.faces["kling"].store.tasks:
        await stage.post(f"/_control/kling/tasks/{task}/succeed")
    await stage.job()


async def a_silent_clip(stage: Stage) -> None:
    """Telegram keeps it as an animation; asked for again, it comes as one."""
    stage.sandbox.world.faces["telegram"].silent_video_is_animation = True
    await clip(stage, "волна у берега")
    await stage.until("SELECT 1 FROM jobs WHERE delivered_at > 0")
    await stage.anya.say("/history")
    await stage.anya.tap("волна", on=await stage.anya.sees("История", new=True))
    await stage.anya.gets("animation", count=2)


async def brought_to_life(stage: Stage) -> None:
    await stage.anya.photo(picture())
    card = await stage.anya.sees("Что сделать с фото", new=True)
    await stage.anya.tap("Оживить", on=card)
    await stage.anya.tap("Создать", on=await stage.anya.sees("Клип из фото"))
    await stage.job()


async def a_refusal(stage: Stage) -> None:
    await order(stage, "злая лиса #sim:prompt_block")
    await stage.job()


async def a_locked_key(stage: Stage) -> None:
    await order(stage, "лиса #sim:403")
    await stage.job()


async def a_lost_picture(stage: Stage) -> None:
    await order(stage, "лиса #sim:reset_before_headers@1")
    await stage.job()


async def a_lost_task(stage: Stage) -> None:
    await clip(stage, "волна #sim:drop_after@1")


async def a_task_that_never_arrived(stage: Stage) -> None:
    await clip(stage, "волна #sim:drop_before@1")


async def a_stale_address(stage: Stage) -> None:
    await clip(stage, "волна #sim:expired_url=1")


async def a_failed_clip(stage: Stage) -> None:
    await clip(stage, "волна #sim:fail")


async def a_long_drawing(stage: Stage) -> None:
    await order(stage, "лиса #sim:slow=4")
    await stage.job()


async def cancelled(stage: Stage) -> None:
    """Nobody works, so the order waits in Redis and may still be cancelled."""
    await order(stage, "рыжая лиса")
    await stage.until("SELECT 1 FROM jobs")
    await stage.anya.tap("Отменить заказ")
    await stage.job()


async def held_too_long(stage: Stage) -> None:
    """The message waits, is lost, is sent again, and nobody takes it until the hold is over."""
    await order(stage, "рыжая лиса")
    await stage.saw("commit database.jobs.still_waiting")
    stage.flush()
    await stage.saw("commit database.jobs.redispatch")
    stage.clock.forward(16 * 60)
    await stage.job()


async def through_workers(stage: Stage) -> None:
    await order(stage, "рыжая лиса")
    await stage.job(1)
    await stage.anya.say("🎬 Клип")
    await stage.anya.sees("Что снять", new=True)
    await order(stage, "волна у берега")
    await stage.job(2)


# --- results ----------------------------------------------------------------------------------------


async def a_closed_chat(stage: Stage) -> None:
    """Blocked before the result comes; it is kept, and comes when the person is back."""
    await order(stage, "рыжая лиса")
    await stage.until("SELECT 1 FROM jobs")
    await stage.anya.block()
    await stage.job()
    await stage.until("SELECT 1 FROM outbox WHERE kind = 'result' AND (dead_reason IS NOT NULL OR sent_at > 0)")
    await stage.anya.unblock()
    await stage.until("SELECT 1 FROM jobs WHERE delivered_at > 0")


def closed_on_time(stage: Stage) -> None:
    stage.sandbox.fault("gemini", "generateContent", delay=0.3)


async def a_deaf_chat(stage: Stage) -> None:
    """Telegram says that the person shut the chat while they were being answered."""
    no = {"ok": False, "error_code": 403, "description": "Forbidden: bot was blocked by the user"}
    stage.sandbox.fault("telegram", "sendMessage", status=403, body=no, times=1_000)
    await stage.anya.say("/balance")
    await stage.saw("commit database.users.set_unreachable")
    stage.sandbox.world.faults.clear()
    await stage.anya.say("/start")
    await stage.anya.sees("Напишите, что нарисовать", new=True)


async def a_slow_telegram(stage: Stage) -> None:
    trouble = {"ok": False, "error_code": 500, "description": "Internal Server Error"}
    stage.sandbox.fault("telegram", "sendDocument", status=500, body=trouble)
    await a_picture(stage)


async def a_file_too_large(stage: Stage) -> None:
    large = {"ok": False, "error_code": 413, "description": "Request Entity Too Large"}
    stage.sandbox.fault("telegram", "sendDocument", status=413, body=large, times=3)
    await a_picture(stage)
    await stage.until("SELECT 1 FROM outbox WHERE dead_reason IS NOT NULL")
    stage.sandbox.world.faults.clear()


async def told_again(stage: Stage) -> None:
    """The result becomes the photo of a new order, which is dropped."""
    await a_picture(stage)
    await stage.until("SELECT 1 FROM jobs WHERE delivered_at > 0")
    (*_, newest) = await stage.anya.gets("photo")
    await stage.anya.tap("Изменить", on=newest)
    await stage.anya.sees("Что изменить", new=False)
    await stage.anya.say("добавь снег")
    card = await stage.anya.sees("добавь снег", new=True)
    await touch(stage.anya, "Отмена", card)
    await stage.saw("commit database.drafts.drop")


async def years_later(stage: Stage) -> None:
    """The result is kept for a month, then file and rows go."""
    await a_picture(stage)
    await stage.until("SELECT 1 FROM jobs WHERE delivered_at > 0")
    stage.clock.forward(100 * DAY)
    await stage.until("SELECT 1 FROM assets WHERE deleted_at > 0")
    await until(lambda: not list((stage.folder / "assets").glob("??/??/*")))  # by its row, or as an orphan
    await stage.until("SELECT 1 WHERE NOT EXISTS (SELECT 1 FROM outbox WHERE kind = 'result')")


# --- money in ---------------------------------------------------------------------------------------


async def by_notification(stage: Stage) -> None:
    await hears(stage)
    theirs, _ = await opened(stage)
    await pay(stage, theirs)
    await credited(stage)


async def by_a_late_notification(stage: Stage) -> None:
    """YooKassa tells, and can't be asked at first."""
    await hears(stage)
    theirs, _ = await opened(stage)
    stage.sandbox.fault("yookassa", f"payments/{theirs}", status=500, body={"type": "error"}, times=1)
    await pay(stage, theirs)
    await credited(stage)


async def by_asking(stage: Stage) -> None:
    theirs, _ = await opened(stage)
    link = await stage.anya.sees("Пополнение на 500")
    await pay(stage, theirs)
    await touch(stage.anya, "Проверить оплату", link)
    stage.polls = True
    await credited(stage)


async def by_the_poller(stage: Stage) -> None:
    theirs, _ = await opened(stage)
    stage.polls = True
    await stage.saw("commit database.payments.schedule_poll")
    await pay(stage, theirs)
    await credited(stage)


async def by_comparison(stage: Stage) -> None:
    theirs, _ = await opened(stage)
    await pay(stage, theirs)
    await stage.admin.say("/reconcile")
    await stage.admin.sees("Сверили", new=True)
    await credited(stage)


async def never_paid(stage: Stage) -> None:
    theirs, ours = await opened(stage)
    await stage.post(f"/_control/yookassa/payments/{theirs}/expire")
    stage.polls = True
    await stage.until("SELECT 1 FROM payments WHERE id = ? AND status = 'canceled'", ours)


async def refused_by_yookassa(stage: Stage) -> None:
    await stage.post("/_control/yookassa/settings", {"max_amount": "100.00"})
    await stage.anya.say("/topup")
    await stage.anya.tap("500", on=await stage.anya.sees("Пополнить баланс", new=True))
    await stage.until("SELECT 1 FROM payments WHERE status = 'canceled'")


async def never_arrived(stage: Stage) -> None:
    """YooKassa was away for longer than it remembers a key; the person comes back to the same button."""
    stage.sandbox.fault("yookassa", "v3/payments", drop="before", times=50)
    await stage.anya.say("/topup")
    choice = await stage.anya.sees("Пополнить баланс", new=True)
    await stage.anya.tap("500", on=choice)
    await stage.until("SELECT 1 FROM payments WHERE sent_at > 0")
    await until(stage.answers)
    stage.write("UPDATE payments SET sent_at = sent_at - 90000000")
    stage.sandbox.world.faults.clear()
    while not stage.now_rows(SENT):
        # Where the poller has just closed the old order, the person is told to try again, and does.
        told = stage.answers()
        await stage.anya.tap("500", on=choice)
        await until(lambda told=told: stage.now_rows(SENT) or stage.answers() > told)
    await pay(stage, stage.now_rows(SENT)[0][0])
    stage.polls = True
    await credited(stage)


async def set_aside(stage: Stage) -> None:
    """What YooKassa says does not fit the order: nothing is credited, a person looks and dismisses it."""
    theirs, _ = await opened(stage)
    stage.sandbox.world.faces["yookassa"].payments[theirs].amount += 5
    await pay(stage, theirs)
    stage.polls = True
    await stage.until("SELECT 1 FROM payments WHERE quarantined_reason IS NOT NULL")
    await stage.admin.say("/reconcile 7")
    await stage.until("SELECT 1 FROM differences")
    await stage.admin.say("/fix 1 dismiss")
    await stage.until("SELECT 1 FROM differences WHERE state = 'dismissed'")


async def fixed(stage: Stage) -> None:
    theirs, _ = await paid(stage)
    stage.sandbox.world.faces["yookassa"].payments[theirs].amount += 5
    await stage.admin.say("/reconcile 7")
    await stage.until("SELECT 1 FROM differences")
    await stage.admin.say("/fix 1 apply")
    await stage.until("SELECT 1 FROM differences WHERE state = 'applied'")


async def resumed(stage: Stage) -> None:
    """Too little money for the order: a top-up on the way, and it goes on."""
    await stage.anya.say("рыжая лиса")
    card = await stage.anya.sees("рыжая лиса", new=True)
    await stage.anya.tap("Создать", on=card)
    short = await stage.anya.sees("Не хватает")
    await touch(stage.anya, "500", short)
    ((theirs,), *_) = await stage.until(SENT)
    await pay(stage, theirs)
    stage.polls = True
    await credited(stage)
    await stage.anya.tap("Продолжить заказ")
    await stage.job()


async def typed(stage: Stage) -> None:
    """A sum by hand, while an order waits: the card that stands elsewhere is taken away."""
    await stage.anya.say("рыжая лиса")
    await stage.anya.tap("Создать", on=await stage.anya.sees("рыжая лиса", new=True))
    await stage.anya.tap("Другая сумма", on=await stage.anya.sees("Не хватает"))
    await stage.anya.sees("На сколько рублей")
    await stage.anya.say("500")
    ((theirs,), *_) = await stage.until(SENT)
    await pay(stage, theirs)
    stage.polls = True
    await credited(stage)
    await stage.anya.tap("Продолжить заказ")
    await stage.job()


def poor(stage: Stage) -> None:
    spend(stage, GIFT)


def spend(stage: Stage, amount: int) -> None:
    file = SqliteFile.open(stage.path)
    file.write(lambda tx: ledger.subtract_balance(tx, ANYA, amount, key="spent", reason="spent"))
    file.close()


# --- money back -------------------------------------------------------------------------------------


async def refunded(stage: Stage) -> None:
    _, ours = await paid(stage)
    await stage.admin.say(f"/refund_payment {ours}")
    await returned(stage, ours)


async def refunded_in_parts(stage: Stage) -> None:
    _, ours = await paid(stage)
    await stage.admin.say(f"/refund_payment {ours} 200,50")
    await touch(stage.admin, "Вернуть", await stage.admin.sees(ours, new=True))
    await returned(stage, ours)
    await stage.admin.say(f"/refund_payment {ours}")
    await returned(stage, ours, count=2)


async def refunded_slowly(stage: Stage) -> None:
    """YooKassa takes its time over the return."""
    _, ours = await paid(stage)
    await stage.post("/_control/yookassa/settings", {"refund_outcome": "pending"})
    await stage.admin.say(f"/refund_payment {ours}")
    ((theirs,), *_) = await stage.until("SELECT provider_refund_id FROM refunds WHERE provider_refund_id IS NOT NULL")
    await stage.post(f"/_control/yookassa/refunds/{theirs}/settle")
    await returned(stage, ours)


async def refund_refused(stage: Stage) -> None:
    _, ours = await paid(stage)
    await stage.post("/_control/yookassa/settings", {"refund_outcome": "canceled"})
    await stage.admin.say(f"/refund_payment {ours}")
    await returned(stage, ours, "canceled")


async def refund_never_arrived(stage: Stage) -> None:
    """The return's request was lost, and its key is forgotten by the time it is asked again."""
    _, ours = await paid(stage)
    stage.sandbox.fault("yookassa", "v3/refunds", drop="before", times=1_000)
    await stage.admin.say(f"/refund_payment {ours}")
    await stage.until("SELECT 1 FROM refunds WHERE sent_at > 0")
    stage.write("UPDATE refunds SET sent_at = sent_at - 90000000")
    await stage.saw("commit database.refunds.schedule_poll")
    stage.sandbox.world.faults.clear()
    await returned(stage, ours)


async def returned_in_the_cabinet(stage: Stage) -> None:
    """The owner gives money back in YooKassa's cabinet, and half of it was spent: the rest is a debt."""
    await hears(stage)
    theirs, ours = await paid(stage)
    await stage.post("/_control/yookassa/refunds", {"payment_id": theirs})
    await returned(stage, ours)


def spent_half(stage: Stage) -> None:
    spend(stage, GIFT - 20_000)


# --- Stars ------------------------------------------------------------------------------------------


def starry(stage: Stage) -> None:
    """Packs in Stars on the shelf."""
    path = stage.folder / "catalogue.toml"
    packs = "maximum = 10000000\nstars = [{ kopecks = 10000, price = 90 }]"
    path.write_text(re.sub(r"^maximum = 10000000.*$", packs, path.read_text("utf-8"), flags=re.MULTILINE), "utf-8")


async def starred(stage: Stage) -> str:
    """A pack bought; our id of the payment."""
    await stage.anya.say("/topup")
    await stage.anya.tap("⭐ 90", on=await stage.anya.sees("Пополнить баланс", new=True))
    (invoice, *_) = await stage.anya.gets("invoice")
    url = f"{stage.sandbox.url}/_chat/users/{ANYA}/pay{stage.anya.query}"
    while not stage.now_rows("SELECT 1 FROM ledger WHERE reason = 'topup' AND payment_id IS NOT NULL"):
        # The counter's ten seconds may pass while the shop is down: then people tap again.
        async with stage.sandbox.http.post(url, json={"message_id": invoice["message_id"]}) as answer:
            if answer.status == 200:
                break
            if answer.status != 402:
                await asyncio.sleep(0.05)
    await credited(stage)
    return str((await stage.until("SELECT id FROM payments WHERE status = 'paid'"))[0][0])


async def in_stars(stage: Stage) -> None:
    await starred(stage)
    await stage.admin.say("/reconcile")
    await stage.admin.sees("Сверили", new=True)


async def stars_never_paid(stage: Stage) -> None:
    """An invoice that nobody pays is closed in the end."""
    await stage.anya.say("/topup")
    await stage.anya.tap("⭐ 90", on=await stage.anya.sees("Пополнить баланс", new=True))
    await stage.anya.gets("invoice")
    stage.clock.forward(3 * DAY)
    await stage.until("SELECT 1 FROM payments WHERE status = 'canceled'")


async def stars_refunded(stage: Stage) -> None:
    ours = await starred(stage)
    await stage.admin.say(f"/refund_payment {ours}")
    await returned(stage, ours)


async def stars_taken_back(stage: Stage) -> None:
    """Telegram gives the Stars back by another's word."""
    ours = await starred(stage)
    ((charge,),) = await stage.until("SELECT provider_payment_id FROM payments WHERE id = ?", ours)
    await stage.post(f"/bot{TOKEN}/refundStarPayment", {"user_id": ANYA, "telegram_payment_charge_id": charge})
    await returned(stage, ours)


# --- people and administrators ----------------------------------------------------------------------


async def administrated(stage: Stage) -> None:
    await a_picture(stage)
    await stage.until("SELECT 1 FROM jobs WHERE delivered_at > 0")
    job, _ = await stage.job()
    admin = stage.admin
    for command, seen in {
        f"/grant {ANYA} 50 спасибо": "Начислено",
        f"/ban {ANYA}": "закрыт",
        f"/unban {ANYA}": "открыт",
        "/maintenance on": "на паузе",
        "/maintenance off": "Снова",
        "/stats": "Магазин",
        f"/user {ANYA}": "Баланс",
        f"/job {job}": "списано",
        "/margin": "Маржа",
    }.items():
        await admin.say(command)
        await admin.sees(seen, new=True)
    await admin.say(f"/refund {job} извините")
    await stage.until("SELECT 1 FROM ledger WHERE reason = 'compensation'")


async def exported(stage: Stage) -> None:
    await stage.admin.say("/export ledger 2026-11-01 2026-11-02")
    await stage.admin.gets("document")


async def copied(stage: Stage) -> None:
    """The shop makes a copy of its books by itself."""
    await stage.saw("commit services.ops.backups._claim")
    noted = ("after", "commit services.ops.backups.Backups._note")
    while noted not in stage.passed:  # after a death in it, a copy is due again ten minutes later
        deaths = stage.deaths
        stage.clock.forward(1_000)
        await until(lambda deaths=deaths: noted in stage.passed or stage.deaths > deaths)


async def audited(stage: Stage) -> None:
    """The shop audits its books once a day and tells the owner."""
    await stage.saw("commit database.audit.schedule.due")
    stage.clock.forward(2 * DAY)
    await stage.saw("commit database.audit.schedule.record")


async def at_home(stage: Stage) -> None:
    """Language, address, a question to the owner, an order dropped."""
    await stage.anya.say("/email anya@example.com")
    await stage.until("SELECT 1 FROM users WHERE email IS NOT NULL")
    await stage.anya.say("/paysupport где мои деньги?")
    await stage.admin.sees("где мои", new=True)
    await stage.anya.say("рыжая лиса")
    await touch(stage.anya, "Отмена", await stage.anya.sees("рыжая лиса", new=True))
    await stage.saw("commit database.drafts.drop")
    await stage.anya.say("/language")
    await touch(stage.anya, "English", await stage.anya.sees("На каком языке", new=True))
    await stage.until("SELECT 1 FROM users WHERE language = 'en'")


# --- without the bot --------------------------------------------------------------------------------


async def to_the_end(stage: Stage) -> None:
    """Wait until a process has done all it had to do."""
    await until(lambda: stage.life is not None and stage.life.ended.done() and stage.life.ended.result() == 0)


def of_version_1_3(stage: Stage) -> None:
    connection = sqlite.connect(str(stage.path))
    connection.executescript(VERSION_1_3)
    connection.close()


def carried_over(stage: Stage) -> None:
    """Every wallet is in the ledger once, and the copy of the old file is whole."""
    balances = dict(stage.after("SELECT user_id, SUM(amount) FROM ledger GROUP BY user_id"))
    assert balances == {1: 15_075, 2: 30}, balances
    assert stage.after("SELECT user_id, amount FROM debts") == [(3, 2_050)]
    whole = 0
    for copy in stage.folder.glob("bot.db.v1_3-*.bak"):
        connection = sqlite.connect(str(copy))
        with contextlib.closing(connection):
            assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",), copy
            whole += connection.execute("SELECT COUNT(*) FROM wallets").fetchone() == (4,)
    assert whole >= 1, sorted(stage.folder.iterdir())


VERBS: list[Any] = [
    ("init_db", [], {}),
    ("add_balance", [7, 10_000], {"key": "in", "reason": "gift"}),
    ("subtract_balance", [7, 2_000], {"key": "out", "reason": "gift"}),
    ("reserve_balance", [7, 3_000, "one"], {}),
    ("charge_reserved_balance", ["one", 2_500], {}),
    ("reserve_balance", [7, 1_000, "two"], {}),
    ("refund_balance", ["two"], {}),
]


def called_from_outside(stage: Stage) -> None:
    stage.verbs = VERBS


def counted(stage: Stage) -> None:
    assert stage.after("SELECT balance FROM balances WHERE user_id = 7") == [(5_500,)]
    assert len(stage.after("SELECT 1 FROM ledger WHERE user_id = 7")) == 6


def one_paid(stage: Stage) -> None:
    """A tap that is handled again after its payment is another order, which nobody has paid."""
    states = sorted(row[0] for row in stage.after("SELECT status FROM payments"))
    assert states in (["paid"], ["paid", "pending"]), states


def nothing_open(stage: Stage) -> None:
    """A tap that is handled again after a refusal is another order, which is refused as well."""
    assert {row[0] for row in stage.after("SELECT status FROM payments")} == {"canceled"}


# --- the list ---------------------------------------------------------------------------------------

DRAWN = (("reserve", -PICTURE),)
FILM = (("reserve", -CLIP),)
IN = (("topup", TOPUP),)
BACK = (*IN, ("takeback", -TOPUP))
SET_ASIDE = frozenset({"payment.quarantined", "difference.found"})
LIST = (
    Story("picture", a_picture, DRAWN, ("completed",)),
    Story("edit", an_edit, DRAWN, ("completed",)),
    Story("clip", a_clip, FILM, ("completed",)),
    Story("silent clip", a_silent_clip, FILM, ("completed",), shown_again=1),
    Story("animate", brought_to_life, (("reserve", -FILMED),), ("completed",)),
    Story("refusal", a_refusal, (*DRAWN, ("refund", PICTURE)), ("failed",)),
    Story("locked key", a_locked_key, (*DRAWN, ("refund", PICTURE)), ("failed",)),
    Story("lost picture", a_lost_picture, DRAWN, ("completed",), extra_pictures=1, or_given_back=True),
    Story("lost task", a_lost_task, FILM, ("completed",)),
    Story("task never arrived", a_task_that_never_arrived, FILM, ("completed",)),
    Story("stale address", a_stale_address, FILM, ("completed",)),
    Story("failed clip", a_failed_clip, (*FILM, ("refund", CLIP)), ("failed",)),
    Story("long drawing", a_long_drawing, DRAWN, ("completed",), plant="tests.faults.patches.hasty_renewal"),
    Story("cancelled", cancelled, (*DRAWN, ("refund", PICTURE)), ("cancelled",), redis=True),
    Story("hold timeout", held_too_long, (*DRAWN, ("refund", PICTURE)), ("failed",), redis=True),
    Story("workers", through_workers, (*DRAWN, *FILM), ("completed", "completed"), worker=True),
    Story("deaf chat", a_deaf_chat),
    Story("closed chat", a_closed_chat, DRAWN, ("completed",), prepare=closed_on_time),
    Story("slow telegram", a_slow_telegram, DRAWN, ("completed",)),
    Story(
        "file too large",
        a_file_too_large,
        DRAWN,
        ("completed",),
        undelivered=1,
        expects=frozenset({"notifier.gave_up"}),
    ),
    Story("told again", told_again, DRAWN, ("completed",)),
    Story("years later", years_later, DRAWN, ("completed",)),
    Story("by webhook", a_picture, DRAWN, ("completed",), settings=(("TELEGRAM_MODE", "webhook"),)),
    Story("topup by notification", by_notification, IN, payments=None, check=one_paid),
    Story("topup by a late notification", by_a_late_notification, IN, payments=("paid",)),
    Story("topup by asking", by_asking, IN, payments=("paid",)),
    Story("topup by the poller", by_the_poller, IN, payments=("paid",)),
    Story("topup by comparison", by_comparison, IN, payments=("paid",)),
    Story("topup never paid", never_paid, payments=("canceled",)),
    Story("topup refused", refused_by_yookassa, payments=None, check=nothing_open),
    Story("topup never arrived", never_arrived, IN, payments=None, expects=frozenset({"sweeper.duty_failed"})),
    Story("set aside", set_aside, payments=("canceled",), expects=SET_ASIDE),
    Story("fixed", fixed, (*IN, ("correction", 500)), payments=("paid",), expects=SET_ASIDE),
    Story("resumed", resumed, (("spent", -GIFT), *IN, *DRAWN), ("completed",), ("paid",), prepare=poor),
    Story("typed sum", typed, (("spent", -GIFT), *IN, *DRAWN), ("completed",), ("paid",), prepare=poor),
    Story("refund", refunded, BACK, payments=("refunded",)),
    Story(
        "refund in parts",
        refunded_in_parts,
        (*IN, ("takeback", -20_050), ("takeback", -29_950)),
        payments=("refunded",),
    ),
    Story("refund slowly", refunded_slowly, BACK, payments=("refunded",)),
    Story("refund refused", refund_refused, (*BACK, ("returned", TOPUP)), payments=("paid",)),
    Story(
        "refund never arrived",
        refund_never_arrived,
        BACK,
        payments=("refunded",),
        expects=frozenset({"sweeper.duty_failed"}),
    ),
    Story(
        "refund in the cabinet",
        returned_in_the_cabinet,
        (("spent", 20_000 - GIFT), *BACK),
        payments=("refunded",),
        prepare=spent_half,
    ),
    Story("stars", in_stars, (("topup", STARRED),), payments=("paid",), prepare=starry),
    Story("stars never paid", stars_never_paid, payments=("canceled",), prepare=starry),
    Story(
        "stars refund",
        stars_refunded,
        (("topup", STARRED), ("takeback", -STARRED)),
        payments=("refunded",),
        prepare=starry,
    ),
    Story(
        "stars taken back",
        stars_taken_back,
        (("topup", STARRED), ("takeback", -STARRED)),
        payments=("refunded",),
        prepare=starry,
    ),
    Story(
        "administrated",
        administrated,
        (*DRAWN, ("grant", 5_000), ("compensation", PICTURE)),
        ("completed",),
    ),
    Story("exported", exported),
    Story("copied", copied, expects=frozenset({"sweeper.duty_failed"})),
    Story("audited", audited),
    Story("at home", at_home, settings=(("YOOKASSA_RECEIPTS", "on"),)),
    Story("migration", to_the_end, what="migrate", prepare=of_version_1_3, check=carried_over),
    Story("verbs", to_the_end, what="verbs", prepare=called_from_outside, check=counted),
)
STORIES = {story.name: story for story in LIST}
