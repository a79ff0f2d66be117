"""From words to a picture: the card, its options, the confirmation and what the person sees until it is done."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from database import admin
from database import drafts as draft_rows
from database import jobs as job_rows
from database import provider_calls as call_rows
from database.models import JobStatus, JobType
from database.rows import Job
from services.catalogue import SHIPPED
from tests.support.bot_env import ANYA, BOB, BotEnv, Person, buttons_of, labels_of, open_bot_env, until, words_of
from tests.support.sandbox_fixture import ADMIN, Sandbox

FOX = "рыжая лиса"
NBSP = "\u00a0"


async def jobs_of(bot_env: BotEnv, user_id: int = ANYA) -> list[Job]:
    return await bot_env.db.read(job_rows.of_user, user_id, limit=50)


async def card_of(anya: Person, text: str = FOX) -> dict[str, object]:
    await anya.say(text)
    return await anya.sees(text, new=True)


async def test_three_taps_to_a_picture(bot_env: BotEnv) -> None:
    """From the first message to a picture: /start, a sample, Create."""
    anya = bot_env.person()
    await bot_env.give(ANYA, 100)
    await anya.say("/start")
    await anya.sees("Напишите, что нарисовать")
    await anya.press("Лиса на Луне")
    card = await anya.sees("Рыжая лиса")
    assert labels_of(card)[0] == f"Создать · 12{NBSP}₽"
    assert buttons_of(card)[0]["style"] == "success"
    await anya.press("Создать")
    await anya.sees(f"Готово · списано 12{NBSP}₽")
    photos = await anya.gets("photo")
    assert "Рыжая лиса" in words_of(photos[0])
    assert len(await anya.gets("document")) == 1
    assert await bot_env.db.get_balance(ANYA) == 8_800


async def test_words_become_a_card_and_html_in_them_stays_words(bot_env: BotEnv) -> None:
    """Any text is a prompt, shown as it was written: markup in it is no markup."""
    anya = bot_env.person()
    card = await card_of(anya, "кот <b>в</b> шляпе & <i>очках")
    assert "кот <b>в</b> шляпе & <i>очках" in words_of(card)
    assert {entity["type"] for entity in card["entities"]} <= {"bold", "expandable_blockquote"}  # type: ignore[attr-defined]


async def test_options_change_the_card_and_its_price_in_place(bot_env: BotEnv) -> None:
    """Model, ratio and size are chosen on the one message, and the price on the main button follows."""
    anya = bot_env.person()
    card = await card_of(anya)
    await anya.press("🤖")
    await anya.press("Nano Banana Pro")
    await anya.press("📐")
    await anya.press("16:9")
    await anya.press("🔍")
    await anya.press("4K")
    changed = await anya.sees("16:9")
    assert changed["message_id"] == card["message_id"]
    assert labels_of(changed)[0] == f"Создать · 59{NBSP}₽"


async def test_options_a_model_lacks_are_hidden(bot_env: BotEnv) -> None:
    """A model with one size shows no choice of sizes, and a choice it lacks comes to the nearest it has."""
    anya = bot_env.person()
    await card_of(anya)
    await anya.press("🔍")
    await anya.press("4K")
    await anya.press("🤖")
    await anya.press("Lite")
    card = await anya.sees("Nano Banana Lite · ")
    assert not [label for label in labels_of(card) if label.startswith("🔍")]
    assert labels_of(card)[0] == f"Создать · 9{NBSP}₽"


async def test_a_picture_becomes_a_clip_and_back(bot_env: BotEnv) -> None:
    """One button turns the words into a clip with options of its own, and back."""
    anya = bot_env.person()
    await card_of(anya)
    await anya.press("Сделать клип")
    clip = await anya.sees("Kling 3.0 Turbo")
    assert labels_of(clip)[0] == f"Создать · 110{NBSP}₽"
    assert not [label for label in labels_of(clip) if "звук" in label.lower()]
    await anya.press("🤖")
    await anya.press("Kling 3.0 ·")
    await anya.press("🔇")
    await anya.press("Со звуком")
    loud = await anya.sees("🔊 Со звуком")
    assert labels_of(loud)[0] == f"Создать · 125{NBSP}₽"
    await anya.press("Сделать картинку")
    assert labels_of(await anya.sees("Nano Banana 2.1"))[0] == f"Создать · 12{NBSP}₽"


async def test_a_clips_sharpness_is_written_as_a_pictures(bot_env: BotEnv) -> None:
    """It is 4K on every button and in every line, whatever a provider calls it."""
    anya = bot_env.person()
    await card_of(anya)
    await anya.press("Сделать клип")
    await anya.press("🤖")
    await anya.press("Kling 3.0 ·")
    await anya.press("📺")
    await anya.press("4K ·")
    card = await anya.sees("4K")
    assert [label for label in labels_of(card) if label.endswith("4K")]


async def test_new_words_for_a_card(bot_env: BotEnv) -> None:
    """The text button asks for new words; the card comes below them and the old one goes."""
    anya = bot_env.person()
    old = await card_of(anya)
    await anya.press("✏️ Текст")
    await anya.sees("Напишите новый текст")
    await anya.say("синий кит")
    new = await anya.sees("синий кит", new=True)
    assert new["message_id"] > old["message_id"]  # type: ignore[operator]
    await anya.loses(old)
    assert len(await bot_env.db.read(job_rows.of_user, ANYA)) == 0


async def test_two_taps_start_one_job(bot_env: BotEnv) -> None:
    """A double tap on Create is one order, one charge, one picture."""
    anya = bot_env.person()
    await bot_env.give(ANYA, 100)
    card = await card_of(anya)
    queries = await asyncio.gather(*(anya.tap("Создать", on=card) for _ in range(3)))
    answers = [await anya.answer_to(query) for query in queries]
    await anya.sees("Готово · списано")
    assert len(await jobs_of(bot_env)) == 1
    assert sorted(answers)[0] == ""
    assert sum("уже" in answer for answer in answers) == 2
    assert await bot_env.db.get_balance(ANYA) == 8_800
    assert len(await anya.gets("photo")) == 1


@pytest.mark.parametrize(
    ("status", "more", "times"),
    [(500, {}, 4), (429, {"parameters": {"retry_after": 40}}, 1)],
    ids=["server error", "too many requests"],
)
async def test_an_order_stands_though_its_tap_can_not_be_answered(
    bot_env: BotEnv, status: int, more: dict[str, object], times: int
) -> None:
    """The answer to a tap only stops a wheel that spins: while Telegram does not take it, the order goes on without
    waiting for long, its card becomes the order's message, and nobody is told to try again."""
    anya = bot_env.person()
    await bot_env.give(ANYA, 100)
    card = await card_of(anya)
    body = {"ok": False, "error_code": status, "description": "x", **more}
    bot_env.sandbox.fault("telegram", "answerCallbackQuery", status=status, body=body, times=times)
    await anya.tap("Создать", on=card)
    await anya.gets("photo", seconds=20)
    done = await anya.sees("Готово · списано", seconds=20)
    assert done["message_id"] == card["message_id"]
    answers = [call.detail["params"] for call in bot_env.sandbox.world.calls if call.name == "answerCallbackQuery"]
    assert not [one for one in answers if one.get("text")]


async def test_an_old_card_answers_politely(bot_env: BotEnv) -> None:
    """Buttons of an order that is done, dropped or somebody else's explain themselves and change nothing."""
    anya = bot_env.person()
    await bot_env.give(ANYA, 100)
    card = await card_of(anya)
    data = [button["callback_data"] for button in buttons_of(card)]
    await anya.press("Создать")
    await anya.sees("Готово · списано")
    for one in data:
        assert await anya.press_raw(one) == "Этот заказ уже выполнен. Он есть в /history"
    other = await card_of(anya, "жёлтый слон")
    await anya.press("✖️ Отмена", on=other)
    await anya.sees("Заказ отменён. Деньги не списаны")
    assert "устарел" in await anya.press_raw(buttons_of(other)[0]["callback_data"])
    bob = bot_env.person(BOB)
    await bob.say("/start")
    await bob.sees("Describe a picture")
    assert "out of date" in await bob.press_raw(data[0])
    assert await bot_env.db.get_balance(ANYA) == 8_800


async def test_another_price_is_asked_for_again(sandbox: Sandbox, tmp_path: Path) -> None:
    """When the catalogue's price has changed since the card was shown, nothing is taken before a second yes."""
    dearer = tmp_path / "catalogue.toml"
    dearer.write_text(SHIPPED.read_text().replace("1K = { price = 1200,", "1K = { price = 1500,", 1))
    async with open_bot_env(sandbox, tmp_path) as bot_env:
        await bot_env.give(ANYA, 100)
        card = await card_of(bot_env.person())
        assert labels_of(card)[0] == f"Создать · 12{NBSP}₽"
    async with open_bot_env(sandbox, tmp_path, CATALOGUE_PATH=str(dearer)) as bot_env:
        anya = bot_env.person()
        assert "Цена изменилась" in await anya.press("Создать", on=card)
        assert await jobs_of(bot_env) == []
        card = await anya.sees("Цена изменилась")
        assert labels_of(card)[0] == f"Создать · 15{NBSP}₽"
        await anya.press("Создать", on=card)
        await anya.sees(f"Готово · списано 15{NBSP}₽")


async def test_a_draft_outlives_the_bot(sandbox: Sandbox, tmp_path: Path) -> None:
    """Cards and questions survive a restart: the words still reach the draft that waits for them."""
    async with open_bot_env(sandbox, tmp_path) as bot_env:
        await card_of(bot_env.person())
        await bot_env.person().press("✏️ Текст")
        await bot_env.person().sees("Напишите новый текст")
    async with open_bot_env(sandbox, tmp_path) as bot_env:
        anya = bot_env.person()
        await anya.say("белый медведь")
        await anya.sees("белый медведь", new=True)
        assert len(await bot_env.db.read(lambda tx: tx.rows(draft_rows.select(draft_rows.drafts)))) == 1


async def test_too_long_words_say_by_how_much(bot_env: BotEnv) -> None:
    """A prompt above the limit is refused with the number of characters to drop."""
    anya = bot_env.person()
    await anya.say("я" * 2521)
    refusal = await anya.sees("Слишком длинно")
    assert "на 21 символ больше" in words_of(refusal)


async def test_limit_of_orders_maintenance_and_switched_off_providers(sandbox: Sandbox, tmp_path: Path) -> None:
    """What can't be started now is explained, and costs nothing."""
    async with open_bot_env(sandbox, tmp_path, MAX_ACTIVE_JOBS_PER_USER="1") as bot_env:
        anya = bot_env.person()
        await bot_env.give(ANYA, 1000)
        sandbox.fault("gemini", "generateContent", delay=1.5)
        await card_of(anya)
        await anya.press("Создать")
        second = await card_of(anya, "вторая")
        assert "У вас уже 1 заказ в работе" in await anya.press("Создать", on=second)
        await anya.gets("photo")
        await bot_env.db.write(admin.set_maintenance, ADMIN, True)
        assert "Идут технические работы" in await anya.press("Создать", on=second)
        await bot_env.db.write(admin.set_maintenance, ADMIN, False)
        assert await anya.press("Создать", on=second) == ""
        await anya.gets("photo", count=2)
        assert await bot_env.db.get_balance(ANYA) == 97_600


async def test_a_day_that_has_cost_enough_takes_no_more_orders(sandbox: Sandbox, tmp_path: Path) -> None:
    """The owner's limit lets one picture of 0.0336 dollars through: the next is for tomorrow, and the owner is told."""
    async with open_bot_env(sandbox, tmp_path, PROVIDER_SPEND_PER_DAY="0.05") as bot_env:
        anya, owner = bot_env.person(), bot_env.person(ADMIN)
        await owner.say("/start")
        await bot_env.give(ANYA, 1000)
        await card_of(anya)
        assert await anya.press("Создать") == ""
        await anya.gets("photo")
        second = await card_of(anya, "вторая")
        for _ in range(2):
            assert "Лимит на сегодня исчерпан" in await anya.press("Создать", on=second)
        await owner.sees("Дневной лимит расходов на поставщиков ($0.05) исчерпан")
        assert await bot_env.db.get_balance(ANYA) == 98_800
        assert sum("Дневной лимит" in words_of(one) for one in await owner.messages()) == 1


async def test_without_a_key_for_clips_they_are_not_offered(sandbox: Sandbox, tmp_path: Path) -> None:
    """An installation that makes pictures alone shows no way to a clip, and says so to who asks."""
    async with open_bot_env(sandbox, tmp_path, KLING_API_KEY="") as bot_env:
        anya = bot_env.person()
        await anya.say("/start")
        assert "клип" not in words_of(await anya.sees("Напишите, что нарисовать")).lower().replace("клипы", "")
        card = await card_of(anya)
        assert not [label for label in labels_of(card) if "клип" in label]
        await anya.say("/video")
        await anya.sees("Это сейчас недоступно")


async def test_a_refused_prompt_says_why_and_that_the_money_is_back(bot_env: BotEnv) -> None:
    """The live message of a failed order tells the reason in plain words and the money line."""
    anya = bot_env.person()
    await bot_env.give(ANYA, 100)
    bot_env.sandbox.fault("gemini", tag="prompt_block")
    card = await card_of(anya)
    await anya.press("Создать")
    end = await anya.sees("Не получилось")
    assert "по своим правилам" in words_of(end)
    assert f"Деньги вернулись на баланс: 12{NBSP}₽" in words_of(end)
    assert end["message_id"] == card["message_id"]
    assert await bot_env.db.get_balance(ANYA) == 10_000
    await anya.press("Попробовать ещё раз")
    again = await anya.sees("Nano Banana 2.1")
    assert labels_of(again)[0] == f"Создать · 12{NBSP}₽"


async def waiting_job(bot_env: BotEnv, anya: Person, prompt: str = FOX) -> Job:
    """An order whose message to the queue was lost: it waits, and can be cancelled."""
    live = await card_of(anya, prompt)
    new = job_rows.NewJob(
        id=f"waiting{live['message_id']}",
        user_id=ANYA,
        type=JobType.IMAGE,
        model="nb21",
        prompt=prompt,
        params={"ratio": "1:1", "size": "1K"},
        price=1200,
        hold_ms=900_000,
        chat_id=ANYA,
        status_message_id=live["message_id"],  # type: ignore[arg-type]
    )
    job, _ = await bot_env.db.write(job_rows.start, new, max_active=3)
    return job


async def test_an_order_that_waits_can_be_cancelled(bot_env: BotEnv) -> None:
    """The live message has a cancel button while cancelling works; it says that the money is back."""
    anya = bot_env.person()
    await bot_env.give(ANYA, 100)
    await waiting_job(bot_env, anya)
    await anya.sees("В очереди")
    assert f"12{NBSP}₽ снова на балансе" in await anya.press("Отменить заказ")
    end = await anya.sees("Заказ отменён.")
    assert f"Деньги вернулись на баланс: 12{NBSP}₽" in words_of(end)
    assert await bot_env.db.get_balance(ANYA) == 10_000
    assert (await jobs_of(bot_env))[0].status is JobStatus.CANCELLED


async def test_an_order_being_made_cannot_be_cancelled(bot_env: BotEnv) -> None:
    """After the provider was called a tap on cancel explains what happens to the money, and changes nothing."""
    anya = bot_env.person()
    await bot_env.give(ANYA, 100)
    bot_env.sandbox.fault("gemini", "generateContent", delay=2.0)
    card = await card_of(anya)
    await anya.press("Создать")

    async def called() -> bool:
        return bool(await bot_env.db.read(call_rows.of_job, (await jobs_of(bot_env))[0].id))

    await until(called, what="the call of the provider")
    job = (await jobs_of(bot_env))[0]
    assert "Если не получится, деньги вернутся на баланс" in await anya.press_raw(f"j:{job.id}:stop")
    live = await anya.sees("Рисую")
    assert live["message_id"] == card["message_id"]
    assert buttons_of(live) == []
    await anya.say("/cancel")
    listed = await anya.sees("Сейчас в работе")
    assert "уже в работе" in words_of(listed)
    assert buttons_of(listed) == []
    done = await anya.sees("Готово · списано")
    assert done["message_id"] == card["message_id"]


@pytest.mark.parametrize("begun", ["a sample", "again"])
async def test_cancel_drops_a_card_that_a_button_has_opened(bot_env: BotEnv, begun: str) -> None:
    """A card without a message of the person's is the last thing begun as well: /cancel drops it and says so."""
    anya = bot_env.person()
    await bot_env.give(ANYA, 100)
    if begun == "again":
        await anya.press("Создать", on=await card_of(anya))
        await anya.gets("document")
        await anya.press("Повторить")
    else:
        await anya.say("/start")
        await anya.press("Лиса на Луне")
    card = await anya.sees("останется")
    await anya.say("/cancel")
    dropped = await anya.sees("Заказ отменён. Деньги не списаны.")
    assert dropped["message_id"] == card["message_id"]
    assert labels_of(dropped) == []
    await anya.sees("Хорошо, отменено")


async def test_cancel_drops_the_card_and_offers_to_stop_what_waits(bot_env: BotEnv) -> None:
    """/cancel forgets the draft, and lists waiting orders with a button each."""
    anya = bot_env.person()
    await bot_env.give(ANYA, 100)
    await anya.say("/cancel")
    await anya.sees("Отменять нечего")
    await waiting_job(bot_env, anya)
    await anya.sees("В очереди")
    card = await card_of(anya, "розовый слон")
    await anya.say("/cancel")
    listed = await anya.sees("ждёт очереди")
    assert "Хорошо, отменено" in words_of(listed)
    assert "Деньги не списаны" in words_of(
        next(one for one in await anya.messages() if one["message_id"] == card["message_id"])
    )
    await anya.press("✖️ рыжая лиса", on=listed)
    await anya.sees("Заказ отменён.")
    assert await bot_env.db.get_balance(ANYA) == 10_000


async def test_the_list_of_what_waits_keeps_the_others(bot_env: BotEnv) -> None:
    """One order stopped from the list: it says so, and the other orders keep their buttons."""
    anya = bot_env.person()
    await bot_env.give(ANYA, 100)
    await waiting_job(bot_env, anya)
    await waiting_job(bot_env, anya, "белый кит")
    await anya.say("/cancel")
    listed = await anya.sees("ждёт очереди")
    await anya.press("✖️ белый кит", on=listed)
    left = await anya.sees(f"12{NBSP}₽ снова на балансе")
    assert left["message_id"] == listed["message_id"]
    assert labels_of(left) == ["✖️ рыжая лиса"]


async def test_the_live_message_tells_stages(bot_env: BotEnv) -> None:
    """While it is made the person reads what happens now; what is held is said, and the end is the last word."""
    anya = bot_env.person()
    await bot_env.give(ANYA, 100)
    bot_env.sandbox.fault("gemini", "generateContent", delay=5.0)
    card = await card_of(anya)
    await anya.press("Создать")
    now = await anya.sees("Рисую…")
    assert now["message_id"] == card["message_id"]
    assert f"Отложено 12{NBSP}₽" in words_of(now)
    assert labels_of(now) == []
    await anya.sees("Готово · списано")
    await asyncio.sleep(1.5)
    assert await anya.find("Рисую…") is None


async def test_a_clip_from_words(bot_env: BotEnv) -> None:
    """/video, words, Create: a clip that plays, with size and length told."""
    anya = bot_env.person()
    await bot_env.give(ANYA, 200)
    await anya.say("/video")
    await anya.sees("Опишите сцену")
    await anya.say("волны на закате")
    card = await anya.sees("Kling 3.0 Turbo")
    assert "волны на закате" in words_of(card)
    await anya.press("Создать")
    clip = (await anya.gets("video"))[0]
    assert clip["video"]["duration"] == 5
    assert clip["video"]["width"] > 0
    assert f"110{NBSP}₽" in words_of(clip)
    await anya.sees("Готово · списано")


async def test_english_speakers_read_english_and_may_choose_russian(bot_env: BotEnv) -> None:
    """The language is Telegram's until the person chooses; the menu follows."""
    bob = bot_env.person(BOB)
    await bob.say("/start")
    await bob.sees("Describe a picture")
    await bob.say("🎬 Clip")
    await bob.sees("Describe the scene")
    await bob.say("/language")
    await bob.sees("Choose a language")
    await bob.press("Русский")
    await bob.sees("Готово, теперь по-русски.")
    await bob.say("❓ Помощь")
    await bob.sees("Как это работает")
