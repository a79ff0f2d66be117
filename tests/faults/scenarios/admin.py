"""What the admin does, and what the bot does by itself for the admin."""

from __future__ import annotations

from tests.faults.instrument import AFTER
from tests.faults.processes import until
from tests.faults.scenario import Scenario
from tests.faults.scenario_env import ScenarioEnv
from tests.faults.scenarios.steps import DAY, IMAGE_PRICE, IMAGE_RESERVED, get_image
from tests.support.bot_env import ANYA

BACKUP_RECORDED = (AFTER, "commit services.ops.backups.Backups._note")


async def use_every_command(env: ScenarioEnv) -> None:
    await get_image(env)
    await env.until_rows("SELECT 1 FROM jobs WHERE delivered_at > 0")
    job = await env.finished_job()
    admin = env.admin
    for command, seen in {
        f"/grant {ANYA} 50 спасибо": "Начислено",
        f"/ban {ANYA}": "закрыт",
        f"/unban {ANYA}": "открыт",
        "/maintenance on": "на паузе",
        "/maintenance off": "снова принимаются",
        "/stats": "Магазин",
        f"/user {ANYA}": "Баланс",
        f"/job {job}": "списано",
        "/margin": "Маржа",
    }.items():
        await admin.say(command)
        await admin.sees(seen, new=True)
    await admin.say(f"/refund {job} извините")
    await env.until_rows("SELECT 1 FROM ledger WHERE reason = 'compensation'")


async def export_ledger(env: ScenarioEnv) -> None:
    await env.admin.say("/export ledger 2026-11-01 2026-11-02")
    await env.admin.gets("document")


async def make_backup(env: ScenarioEnv) -> None:
    """The bot makes a backup by itself."""
    await env.until_passed("commit services.ops.backups._claim")
    while BACKUP_RECORDED not in env.passed:  # after a kill during a backup, the next one is due ten minutes later
        await _backup_or_kill(env)


async def _backup_or_kill(env: ScenarioEnv) -> None:
    kills = env.kills
    env.clock.forward(1_000)
    await until(lambda: BACKUP_RECORDED in env.passed or env.kills > kills)


async def audit_daily(env: ScenarioEnv) -> None:
    """The bot audits its books once a day and reports to the admin."""
    await env.until_passed("commit database.audit.schedule.due")
    env.clock.forward(2 * DAY)
    await env.until_passed("commit database.audit.schedule.record")


SCENARIOS = (
    Scenario(
        "admin commands",
        use_every_command,
        (*IMAGE_RESERVED, ("grant", 5_000), ("compensation", IMAGE_PRICE)),
        ("completed",),
    ),
    Scenario("export", export_ledger),
    Scenario("backup", make_backup, expected_errors=frozenset({"sweeper.duty_failed"})),
    Scenario("audit", audit_daily),
)
