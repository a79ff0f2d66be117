"""The history: what was ordered, opened again."""

from __future__ import annotations

from database import assets as asset_rows
from database import jobs as job_rows
from database.models import JobType
from tests.support.bot_env import ANYA, BOB, BotEnv, Person, labels_of, words_of

NBSP = "\u00a0"


async def ordered(bot_env: BotEnv, anya: Person, words: str) -> None:
    await anya.say(words)
    await anya.sees(words, new=True)
    await anya.press("Создать")


async def test_history_lists_and_opens_orders(bot_env: BotEnv) -> None:
    """Finished, failed and running orders each with their mark; a finished one comes again without an upload."""
    anya = bot_env.person()
    await anya.say("/history")
    await anya.sees("пока пусто")
    await bot_env.give(ANYA, 100)
    await ordered(bot_env, anya, "рыжая лиса")
    await anya.gets("document")
    bot_env.sandbox.fault("gemini", tag="prompt_block")
    await ordered(bot_env, anya, "серый волк")
    await anya.sees("Не получилось")
    await anya.say("🗂 История")
    history = await anya.sees("История", new=True)
    assert labels_of(history) == ["⚠️ 🎨 серый волк", f"✅ 🎨 рыжая лиса · 12{NBSP}₽"]
    drawn = bot_env.sandbox.calls("gemini")
    await anya.press("рыжая лиса", on=history)
    photos = await anya.gets("photo", count=2)
    documents = await anya.gets("document", count=2)
    assert photos[0]["photo"][-1]["file_id"] == photos[1]["photo"][-1]["file_id"]
    assert documents[0]["document"]["file_id"] == documents[1]["document"]["file_id"]
    assert bot_env.sandbox.calls("gemini") == drawn
    await anya.press("серый волк", on=history)
    assert f"Деньги вернулись на баланс: 12{NBSP}₽" in words_of(await anya.sees("Не получилось"))
    assert await bot_env.db.get_balance(ANYA) == 8_800


async def test_history_comes_from_our_store_when_telegram_forgot(bot_env: BotEnv) -> None:
    """A file id that Telegram no longer knows is replaced by an upload of the stored bytes."""
    anya = bot_env.person()
    await bot_env.give(ANYA, 100)
    await ordered(bot_env, anya, "рыжая лиса")
    await anya.gets("document")
    await anya.sees("Готово · списано")
    (job,) = await bot_env.db.read(job_rows.of_user, ANYA)
    asset = await bot_env.db.read(asset_rows.result_of, job.id)
    assert asset is not None
    await bot_env.db.write(asset_rows.remember_file_ids, asset.id, file_id="gone", preview_file_id="gone-too")
    await anya.say("/history")
    await anya.sees("История", new=True)
    await anya.press("рыжая лиса")
    await anya.gets("document", count=2)
    fresh = await bot_env.db.read(asset_rows.result_of, job.id)
    assert fresh is not None
    assert fresh.file_id not in (None, "gone")


async def test_an_expired_result_says_so(bot_env: BotEnv) -> None:
    """When neither we nor Telegram have the file any more, the person reads that and may order again."""
    anya = bot_env.person()
    await bot_env.give(ANYA, 100)
    await ordered(bot_env, anya, "рыжая лиса")
    await anya.gets("document")
    await anya.sees("Готово · списано")
    (job,) = await bot_env.db.read(job_rows.of_user, ANYA)
    asset = await bot_env.db.read(asset_rows.result_of, job.id)
    assert asset is not None
    await bot_env.db.write(job_rows.asset_deleted, asset.id)
    await bot_env.db.write(asset_rows.remember_file_ids, asset.id, file_id=None, preview_file_id=None)
    await anya.say("/history")
    await anya.sees("История", new=True)
    await anya.press("рыжая лиса")
    assert labels_of(await anya.sees("больше не хранится")) == ["🔁 Попробовать ещё раз"]


async def test_history_has_pages(bot_env: BotEnv) -> None:
    """Six orders a page; older and newer lead through all of them."""
    anya = bot_env.person()
    await bot_env.give(ANYA, 1000)
    for number in range(8):
        new = job_rows.NewJob(
            id=f"old{number}",
            user_id=ANYA,
            type=JobType.IMAGE,
            model="nb21",
            prompt=f"лиса {number}",
            params={"ratio": "1:1", "size": "1K"},
            price=1200,
            hold_ms=900_000,
        )
        await bot_env.db.write(job_rows.start, new, max_active=100)
        await bot_env.db.write(job_rows.cancel, new.id, ANYA)
    await anya.say("/history")
    first = await anya.sees("История")
    assert len(labels_of(first)) == 7
    await anya.press("Старше")

    async def second_page() -> bool:
        page = await anya.find("История")
        return page is not None and labels_of(page)[-1] == "‹ Новее"

    from tests.support.bot_env import until

    await until(second_page, what="the second page")
    assert len(labels_of(await anya.sees("История"))) == 3


async def test_nobody_opens_somebody_elses_order(bot_env: BotEnv) -> None:
    """A tap with another person's job id gets the answer for unknown orders, for every action."""
    anya, bob = bot_env.person(), bot_env.person(BOB)
    await bot_env.give(ANYA, 100)
    await ordered(bot_env, anya, "рыжая лиса")
    await anya.gets("document")
    (job,) = await bot_env.db.read(job_rows.of_user, ANYA)
    await bob.say("/start")
    await bob.sees("Describe a picture")
    for act in ("open", "again", "edit", "animate", "stop"):
        answer = await bob.press_raw(f"j:{job.id}:{act}")
        assert "out of date" in answer or await bob.sees("out of date", new=True)
    assert [one for one in await bob.messages() if "photo" in one] == []


async def test_a_clip_without_sound_comes_again_from_telegram(bot_env: BotEnv) -> None:
    """Telegram may keep it as an animation, whose id is none of a video; it outlives our copy all the same."""
    telegram = bot_env.sandbox.world.faces["telegram"]
    telegram.silent_video_is_animation = True
    anya = bot_env.person()
    await bot_env.give(ANYA, 200)
    await anya.say("/video")
    await anya.sees("Опишите сцену")
    await ordered(bot_env, anya, "волны на закате")
    (clip,) = await anya.gets("animation")
    await anya.sees("Готово · списано")
    (job,) = await bot_env.db.read(job_rows.of_user, ANYA)
    asset = await bot_env.db.read(asset_rows.result_of, job.id)
    assert asset is not None
    await bot_env.db.write(job_rows.asset_deleted, asset.id)
    await anya.say("/history")
    await anya.sees("История", new=True)
    await anya.press("волны на закате")
    again = (await anya.gets("animation", count=2))[1]
    assert again["animation"]["file_id"] == clip["animation"]["file_id"]
    assert (again["caption"], labels_of(again)) == (clip["caption"], labels_of(clip))
