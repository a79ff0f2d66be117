"""Images and videos, from the order to its result or to the money back."""

from __future__ import annotations

from tests.faults.scenario import Scenario
from tests.faults.scenario_env import ScenarioEnv
from tests.faults.scenarios.steps import (
    ANIMATION_PRICE,
    IMAGE_PRICE,
    IMAGE_RESERVED,
    VIDEO_PRICE,
    VIDEO_RESERVED,
    get_image,
    order,
    order_video,
)
from tests.support.bot_env import picture

IMAGE_REFUNDED = (*IMAGE_RESERVED, ("refund", IMAGE_PRICE))


# --- they succeed -----------------------------------------------------------------------------------


async def edit_photo(env: ScenarioEnv) -> None:
    await env.anya.photo(picture(), caption="сделай ночь")
    await env.anya.tap("Создать", on=await env.anya.sees("сделай ночь", new=True))
    await env.finished_job()


async def get_video(env: ScenarioEnv) -> None:
    """Kling takes its time until it was polled once in vain, however slow or quick this machine is."""
    await order_video(env, "волна у берега #sim:slow")
    await env.until_passed("commit database.video_jobs.schedule_poll")
    for task in env.sandbox.world.faces["kling"].store.tasks:
        await env.post(f"/_control/kling/tasks/{task}/succeed")
    await env.finished_job()


async def get_silent_video(env: ScenarioEnv) -> None:
    """Telegram keeps a video without sound as an animation; asked for again, it comes as one."""
    env.sandbox.world.faces["telegram"].silent_video_is_animation = True
    await order_video(env, "волна у берега")
    await env.finished_job()
    await env.until_rows("SELECT 1 FROM jobs WHERE delivered_at > 0")
    await env.anya.say("/history")
    await env.anya.tap("волна", on=await env.anya.sees("История", new=True))
    await env.anya.gets("animation", count=2)


async def animate_photo(env: ScenarioEnv) -> None:
    await env.anya.photo(picture())
    card = await env.anya.sees("Что сделать с фото", new=True)
    await env.anya.tap("Оживить", on=card)
    await env.anya.tap("Создать", on=await env.anya.sees("Клип из фото"))
    await env.finished_job()


# --- the provider fails -----------------------------------------------------------------------------


async def image_refused(env: ScenarioEnv) -> None:
    await order(env, "злая лиса #sim:prompt_block")
    await env.finished_job()


async def key_rejected(env: ScenarioEnv) -> None:
    await order(env, "лиса #sim:403")
    await env.finished_job()


async def image_answer_lost(env: ScenarioEnv) -> None:
    await order(env, "лиса #sim:reset_before_headers@1")
    await env.finished_job()


async def image_slow(env: ScenarioEnv) -> None:
    await order(env, "лиса #sim:slow=4")
    await env.finished_job()


async def submit_answer_lost(env: ScenarioEnv) -> None:
    await order_video(env, "волна #sim:drop_after@1")
    await env.finished_job()


async def submit_lost(env: ScenarioEnv) -> None:
    await order_video(env, "волна #sim:drop_before@1")
    await env.finished_job()


async def video_link_expired(env: ScenarioEnv) -> None:
    await order_video(env, "волна #sim:expired_url=1")
    await env.finished_job()


async def video_failed(env: ScenarioEnv) -> None:
    await order_video(env, "волна #sim:fail")
    await env.finished_job()


# --- the queue --------------------------------------------------------------------------------------


async def cancel_order(env: ScenarioEnv) -> None:
    """No worker runs, so the order waits in Redis and may still be cancelled."""
    await order(env, "рыжая лиса")
    await env.until_rows("SELECT 1 FROM jobs")
    await env.anya.tap("Отменить заказ")
    await env.finished_job()


async def wait_until_hold_ends(env: ScenarioEnv) -> None:
    """The message waits, is lost, is sent again, and nobody takes it until the hold has ended."""
    await order(env, "рыжая лиса")
    await env.until_passed("commit database.jobs.still_waiting")
    env.flush_redis()
    await env.until_passed("commit database.jobs.redispatch")
    env.clock.forward(16 * 60)
    await env.finished_job()


async def order_with_worker(env: ScenarioEnv) -> None:
    await order(env, "рыжая лиса")
    await env.finished_job(1)
    await order_video(env, "волна у берега")
    await env.finished_job(2)


SCENARIOS = (
    Scenario("picture", get_image, IMAGE_RESERVED, ("completed",)),
    Scenario("picture by webhook", get_image, IMAGE_RESERVED, ("completed",), settings=(("TELEGRAM_MODE", "webhook"),)),
    Scenario("edit", edit_photo, IMAGE_RESERVED, ("completed",)),
    Scenario("clip", get_video, VIDEO_RESERVED, ("completed",)),
    Scenario("silent clip", get_silent_video, VIDEO_RESERVED, ("completed",), shown_again=1),
    Scenario("animate", animate_photo, (("reserve", -ANIMATION_PRICE),), ("completed",)),
    Scenario("refusal", image_refused, IMAGE_REFUNDED, ("failed",)),
    Scenario("rejected key", key_rejected, IMAGE_REFUNDED, ("failed",)),
    Scenario("lost picture", image_answer_lost, IMAGE_RESERVED, ("completed",), extra_images=1, may_be_refunded=True),
    Scenario(
        "slow picture", image_slow, IMAGE_RESERVED, ("completed",), patch="tests.faults.patches.renew_leases_often"
    ),
    Scenario("lost task", submit_answer_lost, VIDEO_RESERVED, ("completed",)),
    Scenario("task never arrived", submit_lost, VIDEO_RESERVED, ("completed",)),
    Scenario("expired link", video_link_expired, VIDEO_RESERVED, ("completed",)),
    Scenario("failed clip", video_failed, (*VIDEO_RESERVED, ("refund", VIDEO_PRICE)), ("failed",)),
    Scenario("cancelled", cancel_order, IMAGE_REFUNDED, ("cancelled",), redis=True),
    Scenario("hold timeout", wait_until_hold_ends, IMAGE_REFUNDED, ("failed",), redis=True),
    Scenario("workers", order_with_worker, (*IMAGE_RESERVED, *VIDEO_RESERVED), ("completed", "completed"), worker=True),
)
