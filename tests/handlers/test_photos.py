"""Photos at any time: alone, with a caption, as a file, as an album, brought to life, and those that can't be used."""

from __future__ import annotations

import asyncio
import io

from PIL import Image
from sqlalchemy import select

from database import assets as asset_rows
from database import jobs as job_rows
from database import schema
from database.models import JobType
from tests.support.bot_env import ANYA, BotEnv, Person, labels_of, picture, words_of

NBSP = "\u00a0"


async def larger_pictures(bot_env: BotEnv) -> None:
    """Let the simulated models draw large enough for a clip to begin with."""
    url = f"{bot_env.sandbox.url}/_control/gemini/settings"
    async with bot_env.sandbox.http.post(url, json={"pixel_scale": 0.4}) as answer:
        assert answer.status == 200, await answer.text()


async def finished_picture(bot_env: BotEnv, anya: Person) -> None:
    await larger_pictures(bot_env)
    await bot_env.give(ANYA, 500)
    await anya.say("рыжая лиса")
    await anya.sees("рыжая лиса", new=True)
    await anya.press("Создать")
    await anya.gets("document")
    await anya.sees("Готово · списано")


async def test_a_double_tap_on_bring_to_life_is_a_clip_all_the_same(bot_env: BotEnv) -> None:
    """The button says what shall be: handled twice, by a quick finger or after a crash, it means the same."""
    anya = bot_env.person()
    await anya.photo(picture())
    question = await anya.sees("Что сделать с фото", new=True)
    for query in [await anya.tap("Оживить", on=question) for _ in range(2)]:
        await anya.answer_to(query)
    (draft,) = await bot_env.db.read(lambda tx: tx.rows(select(schema.drafts.c.type)))
    assert draft["type"] == "animate"
    assert "Клип из фото" in words_of(await anya.sees("Клип из фото"))


async def test_a_photo_with_a_caption_is_an_edit(bot_env: BotEnv) -> None:
    """The caption says what to change; the result follows the photo's own ratio."""
    anya = bot_env.person()
    await bot_env.give(ANYA, 100)
    await anya.photo(picture(), caption="сделай ночь")
    card = await anya.sees("сделай ночь", new=True)
    assert "Правка фото" in words_of(card)
    assert "📐 Как на фото" in labels_of(card)
    await anya.press("Создать")
    await anya.gets("document")
    (job,) = await bot_env.db.read(job_rows.of_user, ANYA)
    assert job.type is JobType.EDIT
    assert len(job.params["inputs"]) == 1


async def test_a_photo_alone_asks_what_to_do(bot_env: BotEnv) -> None:
    """Without words there is no price yet, only the question; the next words are the answer."""
    anya = bot_env.person()
    await anya.photo(picture())
    question = await anya.sees("Что сделать с фото?")
    assert labels_of(question) == ["✏️ Изменить", "🎬 Оживить", "📎 Ещё фото", "✖️ Отмена"]
    assert "Напишите" in await anya.press("✏️ Изменить")
    await anya.say("добавь снег")
    card = await anya.sees("добавь снег", new=True)
    assert labels_of(card)[0] == f"Создать · 12{NBSP}₽"
    await anya.loses(question)


async def test_a_photo_waits_for_its_words_through_a_topup(bot_env: BotEnv) -> None:
    """Money is put on the balance between the photo and its words: the words are still about the photo."""
    anya = bot_env.person()
    await anya.photo(picture())
    await anya.sees("Что сделать с фото", new=True)
    await anya.say("/topup")
    await anya.press("300", on=await anya.sees("Пополнить баланс", new=True))
    await anya.sees("Пополнение на 300")
    await anya.say("сделай ночь")
    assert "✏️ Правка фото" in words_of(await anya.sees("сделай ночь", new=True))


async def test_words_for_a_photo_that_come_again_begin_no_other_order(bot_env: BotEnv) -> None:
    """The bot dies when the card is there and the note of it is not: the words were about the photo and still are."""
    anya = bot_env.person()
    await anya.photo(picture())
    await anya.press("✏️ Изменить", on=await anya.sees("Что сделать с фото?"))
    said = await anya.say("добавь снег")
    card = await anya.sees("добавь снег", new=True)
    anya.again(said)
    await anya.say("/balance")
    await anya.sees("На балансе", new=True)
    told = [words_of(one) for one in await anya.messages() if not one.get("outgoing")]
    assert [one for one in told if "добавь снег" in one] == [words_of(card)]


async def test_a_photo_comes_to_life_without_a_word(bot_env: BotEnv) -> None:
    """Animate needs no words: one photo, two taps, a clip that begins with it."""
    anya = bot_env.person()
    await bot_env.give(ANYA, 200)
    await anya.photo(picture())
    await anya.press("Оживить")
    card = await anya.sees("Клип из фото")
    assert labels_of(card)[0] == f"Создать · 110{NBSP}₽"
    assert not [label for label in labels_of(card) if label.startswith("📐")]
    await anya.press("Создать")
    await anya.gets("video")
    (job,) = await bot_env.db.read(job_rows.of_user, ANYA)
    assert job.type is JobType.ANIMATE


async def test_an_album_is_one_order_in_the_order_sent(bot_env: BotEnv) -> None:
    """The photos of an album are gathered into one card, first to last."""
    anya = bot_env.person()
    colours = ("red", "green", "blue", "black")
    await anya.photo(*(picture(colour=colour) for colour in colours), caption="собери коллаж")
    card = await anya.sees("собери коллаж", new=True)
    assert "📎 4 фото" in words_of(card)
    cards = [one for one in await anya.messages() if "собери коллаж" in words_of(one) and not one.get("outgoing")]
    assert len(cards) == 1
    await bot_env.give(ANYA, 100)
    await anya.press("Создать")
    await anya.gets("document")
    (job,) = await bot_env.db.read(job_rows.of_user, ANYA)
    assets = await bot_env.db.read(asset_rows.get_assets, job.params["inputs"])
    seen = []
    for asset in assets:
        with Image.open(io.BytesIO(await bot_env.shop.ctx.assets.get(asset.store_key))) as photo:
            seen.append(photo.convert("RGB").getpixel((10, 10)))
    red, green, blue, black = seen
    assert (red[0] > 200, green[1] > 90, blue[2] > 200, max(black) < 40) == (True,) * 4


async def test_more_photos_than_the_model_takes(bot_env: BotEnv) -> None:
    """What exceeds the model's limit is left out, and the card says how many were taken."""
    anya = bot_env.person()
    await anya.photo(*(picture(64, 64) for _ in range(10)))
    await anya.sees("📎 10 фото")
    await anya.press("Ещё фото")
    await anya.sees("Пришлите фото")
    await anya.photo(*(picture(64, 64) for _ in range(6)))
    card = await anya.sees("не больше 14 фото", new=True)
    assert "📎 14 фото" in words_of(card)


async def test_another_photo_joins_the_card(bot_env: BotEnv) -> None:
    """The card's photo button waits for a photo; words meanwhile get a reminder with a way out."""
    anya = bot_env.person()
    await anya.photo(picture(), caption="сделай ночь")
    await anya.sees("сделай ночь", new=True)
    await anya.press("Ещё фото")
    await anya.sees("Пришлите фото")
    await anya.say("какое фото?")
    reminder = await anya.sees("Жду фото", new=True)
    await anya.photo(picture(colour="red"))
    card = await anya.sees("📎 2 фото", new=True)
    assert "сделай ночь" in words_of(card)
    await anya.press("Отмена", on=reminder)
    await anya.say("новая картинка")
    await anya.sees("новая картинка", new=True)


async def test_a_picture_sent_as_a_file(bot_env: BotEnv) -> None:
    """A document that is an image is a photo at full quality; its metadata does not stay."""
    anya = bot_env.person()
    await anya.photo(picture(1200, 900, "PNG"), caption="сделай ночь", kind="document", name="photo.png")
    await anya.sees("📎 1 фото", new=True)


async def test_files_that_are_no_pictures(bot_env: BotEnv) -> None:
    """Each kind of unusable file has its own sentence, and nothing is written."""
    anya = bot_env.person()
    for data, name, answer in (
        (b"%PDF-1.7 and so on", "paper.pdf", "Это не картинка"),
        (b"not a picture at all", "photo.jpg", "Это не картинка"),
        (b"\x00\x00\x00\x18ftypheic\x00\x00\x00\x00mif1heic" + b"\x00" * 64, "live.heic", "HEIC"),
        (picture()[:-200], "cut.jpg", "повреждён"),
        (b"GIF89a" + b"\x00" * 20, "odd.gif", "Это не картинка"),
    ):
        await anya.photo(data, kind="document", name=name)
        await anya.sees(answer, new=True)
    assert await bot_env.db.read(lambda tx: tx.rows(schema.assets.select())) == []


async def test_a_file_too_large_for_a_bot(bot_env: BotEnv) -> None:
    """More than a bot may fetch is refused by its size, without a try."""
    anya = bot_env.person()
    await anya.photo(b"\xff\xd8" + bytes(21_000_000), kind="document", name="huge.jpg")
    await anya.sees("до 20 МБ", new=True)
    assert bot_env.sandbox.calls("telegram", "getFile") == 0


async def test_a_download_that_breaks_off_is_tried_again(bot_env: BotEnv) -> None:
    """A line that breaks while the photo is fetched costs a retry; one that stays broken, a polite sentence."""
    anya = bot_env.person()
    bot_env.sandbox.fault("telegram", "file/", truncate=100)
    await anya.photo(picture(), caption="сделай ночь")
    await anya.sees("📎 1 фото", new=True)
    bot_env.sandbox.fault("telegram", "file/", status=500, times=5)
    await anya.photo(picture(), caption="сделай день")
    await anya.sees("Не получилось скачать фото", new=True)


async def test_a_photo_unfit_for_a_clip_is_refused_before_any_charge(bot_env: BotEnv) -> None:
    """Too small or too long a photo can't be animated: the tap says so and the card stays a picture's."""
    anya = bot_env.person()
    await anya.photo(picture(200, 200), caption="оживи")
    await anya.sees("оживи", new=True)
    assert "хотя бы 300 пикселей" in await anya.press("Сделать клип")
    await anya.photo(picture(1600, 400), caption="панорама")
    await anya.sees("панорама", new=True)
    assert "вытянутое" in await anya.press("Сделать клип")
    assert "Правка фото" in words_of(await anya.sees("панорама", new=True))


async def test_buttons_under_a_result(bot_env: BotEnv) -> None:
    """Repeat, edit and animate each make a new draft with its own price; nothing is taken by the tap itself."""
    anya = bot_env.person()
    await finished_picture(bot_env, anya)
    balance = await bot_env.db.get_balance(ANYA)
    result = (await anya.gets("photo"))[0]
    await anya.press("Повторить", on=result)
    again = await anya.sees("Nano Banana 2.1")
    assert "рыжая лиса" in words_of(again)
    await anya.press("✏️ Изменить", on=result)
    await anya.sees("Что изменить на этой картинке?")
    await anya.say("пусть идёт снег")
    assert "Правка фото" in words_of(await anya.sees("пусть идёт снег", new=True))
    await anya.press("Оживить", on=result)
    assert "Клип из фото" in words_of(await anya.sees("Kling 3.0 Turbo"))
    assert await bot_env.db.get_balance(ANYA) == balance
    await anya.press("Создать")
    await anya.gets("video")
    newest, *_, first = await bot_env.db.read(job_rows.of_user, ANYA)
    assert newest.parent_job_id == first.id


async def expired_picture(bot_env: BotEnv, anya: Person) -> None:
    """A result of which only Telegram has a copy."""
    await finished_picture(bot_env, anya)
    (job,) = await bot_env.db.read(job_rows.of_user, ANYA)
    asset = await bot_env.db.read(asset_rows.result_of, job.id)
    assert asset is not None
    await bot_env.db.write(job_rows.asset_deleted, asset.id)
    await bot_env.shop.ctx.assets.delete(asset.store_key)


async def test_a_result_is_edited_even_when_its_file_has_expired(bot_env: BotEnv) -> None:
    """When our copy is gone Telegram still has the picture, and the next edit begins with that."""
    anya = bot_env.person()
    await expired_picture(bot_env, anya)
    await anya.press("✏️ Изменить")
    await anya.sees("Что изменить на этой картинке?")


async def test_of_a_result_too_big_to_fetch_the_preview_is_edited(bot_env: BotEnv) -> None:
    """A bot may fetch 20 MB from Telegram: of a larger original that only Telegram has, the preview must do."""
    anya = bot_env.person()
    await expired_picture(bot_env, anya)
    body = {"ok": False, "error_code": 400, "description": "Bad Request: file is too big"}
    bot_env.sandbox.fault("telegram", "getFile", status=400, body=body)
    await anya.press("✏️ Изменить")
    await anya.sees("Что изменить на этой картинке?", seconds=15)


async def test_repeating_an_edit_whose_photo_is_gone(bot_env: BotEnv) -> None:
    """When the person's photo is no longer kept, the repeat says so instead of charging."""
    anya = bot_env.person()
    await bot_env.give(ANYA, 100)
    await anya.photo(picture(), caption="сделай ночь")
    await anya.sees("сделай ночь", new=True)
    await anya.press("Создать")
    await anya.gets("document")
    (job,) = await bot_env.db.read(job_rows.of_user, ANYA)
    await bot_env.db.write(job_rows.asset_deleted, job.params["inputs"][0])
    assert "Фото уже не хранится" in await anya.press("Повторить")


async def test_an_update_that_comes_twice_is_one_photo(bot_env: BotEnv) -> None:
    """After a crash the same photo message may be handled again: one draft, one photo in it."""
    anya = bot_env.person()
    (sent,) = await anya.photo(picture(), caption="сделай ночь")
    await anya.sees("📎 1 фото", new=True)
    telegram = bot_env.sandbox.world.faces["telegram"]
    telegram.bot(900).updates.push("message", {k: v for k, v in sent.items() if k != "outgoing"}, ANYA)
    await asyncio.sleep(0.7)
    assert "📎 1 фото" in words_of(await anya.sees("сделай ночь", new=True))
