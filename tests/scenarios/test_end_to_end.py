"""The whole shop as processes: a customer buys everything there is, and the ledger is right to the kopeck afterwards.

Bot process, stock `rq worker`, real Redis, simulators over HTTP; then the same with each part taken away or killed.
"""

from __future__ import annotations

from database import provider_calls as call_rows
from database.models import Job, JobStatus, JobType
from tests.support.bot_env import ANYA, Person, picture
from tests.support.job_env import until
from tests.support.process_env import ProcessEnv
from tests.support.redis_fixture import RedisServer


async def buy_everything(process_env: ProcessEnv, person: Person) -> list[Job]:
    """Top up 500 ₽; a picture from words, an edit of a photo, a clip from words, the picture brought to life."""
    await person.say("/start")
    await person.sees("Рисую")
    await process_env.top_up(person, 500)
    await person.sees("500", seconds=30)

    async def credited() -> bool:
        return await process_env.db.get_balance(person.id) == 50_000

    await until(credited, seconds=30, what="the top-up is credited")
    await order(person, "рыжая лиса в ночном лесу")
    await process_env.all_final(person.id, 1)
    await person.gets("document", count=1, seconds=60)
    await person.photo(picture(), caption="сделай ночь")
    await person.press("Создать", on=await person.sees("сделай ночь", new=True))
    await process_env.all_final(person.id, 2)
    await person.gets("document", count=2, seconds=60)
    (*_, newest) = await person.gets("photo", count=2)
    person.last = newest["message_id"] + 1
    await person.press("Оживить", on=newest)
    await person.press("Создать", on=await person.sees("Клип из фото", new=True))
    await process_env.all_final(person.id, 3)
    await person.gets("video", count=1, seconds=60)
    await person.say("🎬 Клип")
    await person.sees("Что снять", new=True)
    await order(person, "волна накатывает на берег")
    done = await process_env.all_final(person.id, 4)
    await person.gets("video", count=2, seconds=60)
    return done


async def order(person: Person, prompt: str) -> None:
    """Words in the chat, then the price on the card that answers them."""
    await person.say(prompt)
    await person.press("Создать", on=await person.sees(prompt, new=True))


async def expect_exact_books(process_env: ProcessEnv, person: Person, done: list[Job]) -> None:
    """One credit, one reserve a job, nothing else; the balance is what is left."""
    assert [job.status for job in done] == [JobStatus.COMPLETED] * len(done)
    charged = [("reserve", -job.cost_estimate) for job in done]
    assert await process_env.entries(person.id) == [("topup", 50_000), *charged]
    assert await process_env.db.get_balance(person.id) == 50_000 - sum(job.cost_actual or 0 for job in done)


async def delivered(process_env: ProcessEnv, count: int) -> None:
    async def all_told() -> bool:
        return [job.delivered_at is not None for job in await process_env.jobs(ANYA)] == [True] * count

    await until(all_told, seconds=60, what="all results are delivered")


async def test_everything_is_sold_through_a_stock_rq_worker(process_env: ProcessEnv, redis_server: RedisServer) -> None:
    """Bot, `rq worker` and Redis: four jobs, four deliveries, one credit, exact books, orderly end."""
    bot = await process_env.bot(REDIS_URL=redis_server.url)
    process_env.stock_worker(redis_server.url)
    person = Person(ANYA, process_env.sandbox)
    done = await buy_everything(process_env, person)
    await delivered(process_env, 4)
    assert [job.type for job in done] == [JobType.IMAGE, JobType.EDIT, JobType.ANIMATE, JobType.VIDEO]
    await expect_exact_books(process_env, person, done)
    assert await bot.stop() == 0


async def test_everything_is_sold_without_redis(process_env: ProcessEnv) -> None:
    """No REDIS_URL: the same steps run inside the bot, and the books are the same."""
    bot = await process_env.bot()
    person = Person(ANYA, process_env.sandbox)
    done = await buy_everything(process_env, person)
    await delivered(process_env, 4)
    await expect_exact_books(process_env, person, done)
    assert await bot.stop() == 0


async def test_redis_killed_in_mid_way_loses_nothing(process_env: ProcessEnv, mortal_redis: RedisServer) -> None:
    """Redis dies with jobs waiting in it and comes back empty: each job ends charged once or refunded once."""
    await process_env.bot(REDIS_URL=mortal_redis.url)
    person = Person(ANYA, process_env.sandbox)
    await process_env.db.add_balance(ANYA, 50_000, key="gift", reason="topup")
    await person.say("/start")
    await person.sees("Рисую")
    for prompt in ("первая картинка", "вторая картинка"):  # nobody works yet: both wait in Redis
        await order(person, prompt)
    mortal_redis.kill()
    await order(person, "третья картинка")
    done = await process_env.all_final(ANYA, 3)
    await delivered(process_env, 3)
    await expect_exact_books(process_env, person, done)
    mortal_redis.start()
    process_env.stock_worker(mortal_redis.url)
    await order(person, "четвёртая картинка")
    done = await process_env.all_final(ANYA, 4)
    await delivered(process_env, 4)
    await expect_exact_books(process_env, person, done)


async def test_a_worker_killed_in_mid_way_is_made_up_for(process_env: ProcessEnv, redis_server: RedisServer) -> None:
    """kill -9 while the provider draws and while a clip is fetched: another worker goes on, one charge each."""
    await process_env.bot(REDIS_URL=redis_server.url)
    worker = process_env.own_worker(redis_server.url)
    person = Person(ANYA, process_env.sandbox)
    await process_env.db.add_balance(ANYA, 50_000, key="gift", reason="topup")
    process_env.sandbox.fault("gemini", "generateContent", delay=30.0, times=1)
    await person.say("/start")
    await person.sees("Рисую")
    await order(person, "картинка, которую не дождались")

    async def called() -> bool:
        return process_env.sandbox.calls("gemini", "fault") == 1

    await until(called, seconds=30, what="the provider is being asked")
    worker.kill()
    process_env.own_worker(redis_server.url)
    done = await process_env.all_final(ANYA, 1)
    await delivered(process_env, 1)
    await expect_exact_books(process_env, person, done)
    assert done[0].attempt == 2


async def test_a_bot_killed_in_mid_way_goes_on_where_it_was(process_env: ProcessEnv) -> None:
    """kill -9 of the only process while it draws and holds a clip in flight: restarted, both end and are delivered."""
    bot = await process_env.bot()
    person = Person(ANYA, process_env.sandbox)
    await process_env.db.add_balance(ANYA, 50_000, key="gift", reason="topup")
    await person.say("/start")
    await person.sees("Рисую")
    process_env.sandbox.world.clock.set_speed(1.0)
    await person.say("🎬 Клип")
    await person.sees("Что снять", new=True)
    await order(person, "волна")
    await order(person, "лиса")

    async def in_flight() -> bool:
        found = await process_env.jobs(ANYA)
        return len(found) == 2 and all([await process_env.db.read(call_rows.of_job, job.id) for job in found])

    await until(in_flight, seconds=30, what="both providers are asked")
    bot.kill()
    process_env.sandbox.world.clock.set_speed(200.0)
    await process_env.bot()
    done = await process_env.all_final(ANYA, 2)
    await delivered(process_env, 2)
    await expect_exact_books(process_env, person, done)
    assert len(process_env.sandbox.world.faces["kling"].store.tasks) == 1


async def test_a_restart_loses_no_update(process_env: ProcessEnv) -> None:
    """What a person wrote while the bot was down or dying is answered by the next one."""
    bot = await process_env.bot()
    person = Person(ANYA, process_env.sandbox)
    await person.say("/start")
    await person.sees("Рисую")
    bot.kill()
    await person.say("/balance")
    await process_env.bot()
    await person.sees("баланс", new=True, seconds=30)
