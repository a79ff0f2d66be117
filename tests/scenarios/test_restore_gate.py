"""A shop is lost and put back from a copy that is older than what YooKassa knows: nothing of the money is lost."""

from __future__ import annotations

import asyncio
from pathlib import Path

from database import backup
from database import payments as payment_rows
from tests.support.bot_env import ADMIN, ANYA, BotEnv, open_bot_env, words_of
from tests.support.command_line import command
from tests.support.sandbox_fixture import Sandbox


async def order(bot_env: BotEnv, rubles: int, order_id: str, *, paid: bool = True) -> None:
    await bot_env.app.payments.open_topup(ANYA, rubles * 100, chat_id=ANYA, language="ru", payment_id=order_id)
    if paid:
        await bot_env.pay(order_id)
        await bot_env.app.payments.settle(order_id)


async def test_a_restored_shop_knows_what_was_paid_and_returned_since_before_it_answers(
    sandbox: Sandbox, tmp_path: Path
) -> None:
    """Backup; a payment, a return and a new order come after it; restore; nobody is answered until YooKassa was asked.

    What the copy knows the order of is settled by itself, the rest with one command; the balance is that of before.
    """
    copy = tmp_path / "copy.db"
    async with open_bot_env(sandbox, tmp_path) as bot_env:
        await order(bot_env, 500, "early")
        await order(bot_env, 300, "open", paid=False)
        await asyncio.to_thread(backup.copy, bot_env.db.path, copy)
        await bot_env.pay("open")
        await bot_env.app.payments.settle("open")
        await order(bot_env, 1000, f"{ANYA}-15-100000")
        await bot_env.app.refunds.refund(ADMIN, "early", 20_000, refund_id="r1")
        before = await bot_env.db.get_balance(ANYA)
        path = bot_env.db.path
    assert before == 160_000
    for file in path.parent.glob(f"{path.name}*"):
        file.rename(tmp_path / f"lost-{file.name}")
    done = await command(tmp_path, sandbox.environment(tmp_path), "restore", str(copy))
    assert (done.status, "before it answers anybody" in done.out) == (0, True)
    sandbox.fault("yookassa", "v3/payments", times=1_000, status=500)
    async with open_bot_env(sandbox, tmp_path) as bot_env:
        anya, admin = bot_env.person(), bot_env.person(ADMIN)
        await anya.say("/balance")
        await asyncio.sleep(2)
        assert await anya.find("На балансе", new=True) is None
        sandbox.world.faults.clear()
        assert "600" in words_of(await anya.sees("На балансе", new=True))
        early = await bot_env.db.read(payment_rows.get, "early")
        assert early is not None
        assert early.refunded_amount == 20_000
        await admin.say("/fix")
        await admin.sees("Ждут решения: 1", new=True)
        await admin.say("/fix 1 apply")
        await anya.sees("Зачислено 1\u00a0000", new=True)
        assert await bot_env.db.get_balance(ANYA) == before
        assert (await bot_env.app.reconciliation.run()).new == []
        assert not backup.mark_of(bot_env.db.path).exists()
