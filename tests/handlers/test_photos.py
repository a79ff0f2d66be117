"""Photos at any time: alone, with a caption, as a file, in an album, animated, and those that can't be used."""

from __future__ import annotations

import asyncio
import io

from PIL import Image
from sqlalchemy import select

from database import assets as asset_rows
from database import jobs as job_rows
from database import schema
from database.models import Asset, JobType
from tests.support.bot_env import ANYA, BotEnv, Person, labels_of, picture, words_of

NBSP = "\u00a0"


async def draw_larger(bot_env: BotEnv) -> None:
    """Make the simulated models draw images that are large enough for a video to begin with."""
    url = f"{bot_env.sandbox.url}/_control/gemini/settings"
    async with bot_env.sandbox.http.post(url, json={"pixel_scale": 0.4}) as answer:
        assert answer.status == 200, await answer.text()


async def complete_image(bot_env: BotEnv, anya: Person) -> None:
    await draw_larger(bot_env)
    await bot_env.give(ANYA, 500)
    await anya.say("рыжая лиса")
    await anya.sees("рыжая лиса", new=True)
    await anya.press("Создать")
    await anya.gets("document")
    await anya.sees("Готово · списано")


async def pixel_of(bot_env: BotEnv, asset: Asset) -> tuple[int, ...]:
    """Red, green and blue of a pixel of a stored photo."""
    with Image.open(io.BytesIO(await bot_env.app.ctx.assets.get(asset.store_key))) as photo:
        pixel = photo.convert("RGB").getpixel((10, 10))
    assert isinstance(pixel, tuple)
    return pixel


async def test_two_taps_on_animate_make_a_video(bot_env: BotEnv) -> None:
    """The button names the kind that is wanted: handled twice, it does the same as once."""
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


async def test_a_photo_without_a_caption_asks_what_to_do(bot_env: BotEnv) -> None:
    """Without a prompt there is no price yet, only a question; the next text is the prompt."""
    anya = bot_env.person()
    await anya.photo(picture())
    question = await anya.sees("Что сделать с фото?")
    assert labels_of(question) == ["✏️ Изменить", "🎬 Оживить", "📎 Ещё фото", "✖️ Отмена"]
    assert "Напишите" in await anya.press("✏️ Изменить")
    await anya.say("добавь снег")
    card = await anya.sees("добавь снег", new=True)
    assert labels_of(card)[0] == f"Создать · 12{NBSP}₽"
    await anya.loses(question)


async def test_a_photo_waits_for_its_prompt_during_a_topup(bot_env: BotEnv) -> None:
    """After a top-up between the photo and the text, the text is still the prompt for the photo."""
    anya = bot_env.person()
    await anya.photo(picture())
    await anya.sees("Что сделать с фото", new=True)
    await anya.say("/topup")
    await anya.press("300", on=await anya.sees("Пополнить баланс", new=True))
    await anya.sees("Пополнение на 300")
    await anya.say("сделай ночь")
    assert "✏️ Правка фото" in words_of(await anya.sees("сделай ночь", new=True))


async def test_a_prompt_whose_update_comes_again_opens_no_second_draft(bot_env: BotEnv) -> None:
    """The bot is killed after the card was sent and before that was written: the text still belongs to the photo."""
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


async def test_a_photo_is_animated_without_a_prompt(bot_env: BotEnv) -> None:
    """One photo and two taps make a video that begins with the photo."""
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


async def test_an_album_becomes_one_draft(bot_env: BotEnv) -> None:
    """The photos of an album are collected in one card, in the order in which they were sent."""
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
    seen = [await pixel_of(bot_env, asset) for asset in assets]
    red, green, blue, black = seen
    assert (red[0] > 200, green[1] > 90, blue[2] > 200, max(black) < 40) == (True,) * 4


async def test_more_photos_than_the_model_takes_are_left_out(bot_env: BotEnv) -> None:
    """Photos above the model's limit are left out, and the card says how many were taken."""
    anya = bot_env.person()
    await anya.photo(*(picture(64, 64) for _ in range(10)))
    await anya.sees("📎 10 фото")
    await anya.press("Ещё фото")
    await anya.sees("Пришлите фото")
    await anya.photo(*(picture(64, 64) for _ in range(6)))
    card = await anya.sees("не больше 14 фото", new=True)
    assert "📎 14 фото" in words_of(card)


async def test_another_photo_is_added_to_the_draft(bot_env: BotEnv) -> None:
    """After the photo button the bot waits for a photo; a text is answered with a reminder and a button back."""
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


async def test_an_image_file_is_a_photo(bot_env: BotEnv) -> None:
    """An image sent as a file opens a draft as a photo does."""
    anya = bot_env.person()
    await anya.photo(picture(1200, 900, "PNG"), caption="сделай ночь", kind="document", name="photo.png")
    await anya.sees("📎 1 фото", new=True)


async def test_files_that_are_not_images_are_refused(bot_env: BotEnv) -> None:
    """Each kind of unusable file has a text of its own, and nothing is stored."""
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


async def test_a_file_too_large_for_a_bot_is_refused(bot_env: BotEnv) -> None:
    """A file larger than a bot may fetch is refused because of its size, without a download."""
    anya = bot_env.person()
    await anya.photo(b"\xff\xd8" + bytes(21_000_000), kind="document", name="huge.jpg")
    await anya.sees("до 20 МБ", new=True)
    assert bot_env.sandbox.calls("telegram", "getFile") == 0


async def test_a_broken_download_is_repeated(bot_env: BotEnv) -> None:
    """A download that breaks off is repeated; when all attempts fail, the person is told."""
    anya = bot_env.person()
    bot_env.sandbox.fault("telegram", "file/", truncate=100)
    await anya.photo(picture(), caption="сделай ночь")
    await anya.sees("📎 1 фото", new=True)
    bot_env.sandbox.fault("telegram", "file/", status=500, times=5)
    await anya.photo(picture(), caption="сделай день")
    await anya.sees("Не получилось скачать фото", new=True)


async def test_a_photo_unfit_for_a_video_is_refused_before_the_charge(bot_env: BotEnv) -> None:
    """A photo that is too small or too narrow can't be animated: the tap is refused and the draft stays an image."""
    anya = bot_env.person()
    await anya.photo(picture(200, 200), caption="оживи")
    await anya.sees("оживи", new=True)
    assert "хотя бы 300 пикселей" in await anya.press("Сделать клип")
    await anya.photo(picture(1600, 400), caption="панорама")
    await anya.sees("панорама", new=True)
    assert "вытянутое" in await anya.press("Сделать клип")
    assert "Правка фото" in words_of(await anya.sees("панорама", new=True))


async def test_buttons_under_a_result_open_drafts(bot_env: BotEnv) -> None:
    """Repeat, edit and animate each open a draft with its own price; the tap itself takes no money."""
    anya = bot_env.person()
    await complete_image(bot_env, anya)
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


async def expired_image(bot_env: BotEnv, anya: Person) -> None:
    """A result of which only Telegram still has a copy."""
    await complete_image(bot_env, anya)
    (job,) = await bot_env.db.read(job_rows.of_user, ANYA)
    asset = await bot_env.db.read(asset_rows.result_of, job.id)
    assert asset is not None
    await bot_env.db.write(job_rows.asset_deleted, asset.id)
    await bot_env.app.ctx.assets.delete(asset.store_key)


async def test_a_result_can_be_edited_after_its_file_has_expired(bot_env: BotEnv) -> None:
    """When our copy is deleted, the image is fetched from Telegram."""
    anya = bot_env.person()
    await expired_image(bot_env, anya)
    await anya.press("✏️ Изменить")
    await anya.sees("Что изменить на этой картинке?")


async def test_the_preview_of_a_result_too_big_to_fetch_is_edited(bot_env: BotEnv) -> None:
    """A bot may fetch 20 MB from Telegram; of a larger original that only Telegram has, the preview is used."""
    anya = bot_env.person()
    await expired_image(bot_env, anya)
    body = {"ok": False, "error_code": 400, "description": "Bad Request: file is too big"}
    bot_env.sandbox.fault("telegram", "getFile", status=400, body=body)
    await anya.press("✏️ Изменить")
    await anya.sees("Что изменить на этой картинке?", seconds=15)


async def test_an_edit_whose_photo_is_gone_can_not_be_repeated(bot_env: BotEnv) -> None:
    """When the person's photo is no longer stored, the button is answered with that, and nothing is charged."""
    anya = bot_env.person()
    await bot_env.give(ANYA, 100)
    await anya.photo(picture(), caption="сделай ночь")
    await anya.sees("сделай ночь", new=True)
    await anya.press("Создать")
    await anya.gets("document")
    (job,) = await bot_env.db.read(job_rows.of_user, ANYA)
    await bot_env.db.write(job_rows.asset_deleted, job.params["inputs"][0])
    assert "Фото уже не хранится" in await anya.press("Повторить")


async def test_a_repeated_update_adds_one_photo(bot_env: BotEnv) -> None:
    """A photo whose update is handled twice is in its draft once."""
    anya = bot_env.person()
    (sent,) = await anya.photo(picture(), caption="сделай ночь")
    await anya.sees("📎 1 фото", new=True)
    telegram = bot_env.sandbox.world.faces["telegram"]
    telegram.bot(900).updates.push("message", {k: v for k, v in sent.items() if k != "outgoing"}, ANYA)
    await asyncio.sleep(0.7)
    assert "📎 1 фото" in words_of(await anya.sees("сделай ночь", new=True))
