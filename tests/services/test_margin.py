"""What orders brought less what providers took: exact, by the day of the order, whatever is given back later."""

from __future__ import annotations

import csv
import io
from datetime import date
from pathlib import Path

import pytest
from sqlalchemy import text

from database import admin
from database import jobs as job_rows
from database import provider_calls as call_rows
from database.models import CallOutcome, JobStatus, JobStep, Tx
from services.jobs import message_of
from services.ops.export import Period
from services.ops.margin import Margin, added_up, kopecks, last_days, margins, write_book
from tests.support.bot_env import ADMIN, ANYA, BotEnv, words_of
from tests.support.command_line import command
from tests.support.job_env import JobEnv

ALWAYS = Period.parse("2020-01-01", "2090-01-01")


async def drawn(job_env: JobEnv, price: int = 1200) -> str:
    """A picture that was ordered, drawn and charged; its job."""
    job = await job_env.order(price=price)
    await job_env.queue.submit(message_of(job))
    await job_env.queue.run_next()
    assert (await job_env.job(job.id)).status is JobStatus.COMPLETED
    return job.id


async def bill(job_env: JobEnv, job_id: str, micro_usd: int) -> None:
    await job_env.db.write(call_rows.record_cost, job_id, micro_usd)


async def lines_of(job_env: JobEnv, period: Period = ALWAYS) -> list[Margin]:
    return [line async for line in margins(job_env.db, period, 100.0)]


async def test_a_day_of_a_model_is_what_it_brought_less_what_it_cost(job_env: JobEnv) -> None:
    """Two pictures at $0.05 and one that is still open: charged 24, cost 10, margin 14 rubles, 58 per cent."""
    await job_env.give(1, 1000)
    for job_id in (await drawn(job_env), await drawn(job_env)):
        await bill(job_env, job_id, 50_000)
    await job_env.order()
    (line,) = await lines_of(job_env)
    assert (line.model, line.orders, line.open, line.completed, line.lost) == ("nb21", 3, 1, 2, 0)
    assert (line.charged, line.cost, line.margin, line.percent) == (2400, 1000, 1400, 58)


async def test_money_given_back_later_makes_the_orders_day_smaller(job_env: JobEnv) -> None:
    """A compensation counts on the day of its order: nothing was charged for it, and the provider's price stays."""
    await job_env.give(1, 1000)
    first, second = await drawn(job_env), await drawn(job_env)
    for job_id in (first, second):
        await bill(job_env, job_id, 50_000)

    def age(tx: Tx) -> None:
        tx.execute(text("UPDATE jobs SET created_at = created_at - 3 * 86400000 WHERE id = :id"), {"id": first})

    await job_env.db.write(age)
    await job_env.db.write(admin.refund_job, ADMIN, first, note="")
    old, new = await lines_of(job_env)
    assert (new.day - old.day).days == 3
    assert (old.charged, old.cost, old.margin, old.percent) == (0, 500, -500, None)
    assert (new.charged, new.margin) == (1200, 700)


async def test_a_result_that_came_too_late_is_a_loss(job_env: JobEnv) -> None:
    """The provider drew and billed, the person had their money back: counted in the margin, /stats and the metrics."""
    await job_env.give(1, 1000)
    job = await job_env.order(hold_ms=1)
    claimed = await job_env.db.write(job_rows.claim, job.id, JobStep.IMAGE)
    assert claimed is not None
    call = await job_env.db.write(call_rows.begin_call, job.id, claimed.attempt, provider="nano_banana", model="nb21")
    assert call is not None
    await job_env.db.write(job_rows.fail, job.id, "hold_timeout")
    await job_env.db.write(call_rows.end_call, call, CallOutcome.OK, cost_micro_usd=40_000)
    (line,) = await lines_of(job_env)
    assert (line.lost, line.completed, line.charged, line.cost) == (1, 0, 0, 400)
    seen = await job_env.db.read(admin.stats)
    assert (seen.lost, seen.lost_today) == (1, 1)


async def test_a_refusal_that_cost_nothing_is_no_loss(job_env: JobEnv) -> None:
    """Failed and refused orders stand in the count of orders and nowhere else."""
    await job_env.give(1, 1000)
    job = await job_env.order()
    await job_env.db.write(job_rows.fail, job.id, "generation_failed")
    (line,) = await lines_of(job_env)
    assert (line.orders, line.lost, line.charged, line.cost) == (1, 0, 0, 0)


@pytest.mark.parametrize(
    ("micro_usd", "rate", "result"),
    [
        (0, 95.0, 0),
        (33_600, 95.0, 319),
        (1_000_000, 95.0, 9500),
        (1_000_000, 81.37, 8137),
        (52, 95.0, 0),
        (53, 95.0, 1),
    ],
)
def test_dollars_become_whole_kopecks(micro_usd: int, rate: float, result: int) -> None:
    """Rounded to the nearest kopeck, without a float in between."""
    assert kopecks(micro_usd, rate) == result


def test_the_last_days_end_today_in_moscow() -> None:
    """Late in the evening by Greenwich it is tomorrow in Moscow."""
    half_past_ten_utc = 1_772_404_200_000  # 2026-03-01 22:30 UTC
    assert last_days(7, half_past_ten_utc) == Period(date(2026, 2, 24), date(2026, 3, 2))


def test_lines_add_up_by_model_and_by_day() -> None:
    """Sums of parts are the sum of all."""
    days = [date(2026, 3, 1), date(2026, 3, 2)]
    lines = [Margin(day, model, 1, 0, 1, 0, 100, 10, 1) for day in days for model in ("a", "b")]
    assert {key: one.charged for key, one in added_up(lines, lambda one: one.model).items()} == {"a": 200, "b": 200}
    assert [one.margin for one in added_up(lines, lambda one: one.day).values()] == [198, 198]


async def test_the_margin_as_a_file(job_env: JobEnv, tmp_path: Path) -> None:
    """`python main.py export margin`: a row for each day and model, with the catalogue's dollar."""
    await job_env.give(1, 1000)
    job_id = await drawn(job_env)
    await bill(job_env, job_id, 50_000)
    target = tmp_path / "margin.csv"
    assert await write_book(job_env.db, "margin", ALWAYS, target, rubles_per_dollar=100.0) == 1
    (row,) = csv.DictReader(io.StringIO(target.read_text("utf-8-sig"), newline=""))
    today = last_days(1, (await job_env.job(job_id)).created_at).first.isoformat()
    assert row == {
        "day_moscow": today, "model": "nb21", "orders": "1", "open": "0", "completed": "1", "lost": "0",
        "charged_rub": "12.00", "cost_usd": "0.050000", "cost_rub": "5.00", "margin_rub": "7.00",
    }  # fmt: skip
    settings = job_env.sandbox.environment(tmp_path, DATABASE_URL=job_env.db.url)
    done = await command(tmp_path, settings, "export", "margin", "--from", today, "--to", today, "cli.csv")
    assert (done.status, done.out.strip()) == (0, "1 rows of margin are in cli.csv.")
    assert "4.75" in (tmp_path / "cli.csv").read_text("utf-8-sig")  # at the 95 rubles of the catalogue shipped


async def test_an_administrator_reads_the_margin_in_the_chat(bot_env: BotEnv) -> None:
    """/margin adds up all, each model by its title and each day; a mistyped one says how."""
    admin_, anya = bot_env.person(ADMIN), bot_env.person(ANYA)
    await admin_.say("/margin yes")
    await admin_.sees("Так: /margin", new=True)
    await admin_.say("/margin")
    await admin_.sees("За 7 дней заказов не было", new=True)
    await bot_env.give(ANYA, 100)
    await anya.say("рыжий лис")
    await anya.press("Создать")
    await anya.gets("photo")
    await admin_.say("/margin 1")
    said = words_of(await admin_.sees("Маржа за 1 день", new=True))
    assert "Всего: 1 заказ, 12" in said
    assert "Nano Banana 2.1: 1 заказ" in said
    assert said.count("1 заказ,") == 3
