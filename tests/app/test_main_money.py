"""The commands about money, run as processes of their own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

from tests.support.bot_env import BotEnv
from tests.support.command_line import command
from tests.support.database_fixture import ROOT, run_program, url_of
from tests.support.payment_env import PaymentEnv
from tests.support.stars_fixture import invoice, pay


async def test_reconcile_says_what_differs_by_its_exit_status(payment_env: PaymentEnv, tmp_path: Path) -> None:
    """0 when both books agree, 1 with the difference named when a person must look; no key is ever printed."""
    paid = await payment_env.paid()
    settings = payment_env.sandbox.environment(tmp_path, DATABASE_URL=payment_env.db.url)
    agreed = await command(tmp_path, settings, "reconcile")
    assert (agreed.status, agreed.out.splitlines()[0]) == (0, "Compared: payments 1, refunds 0. Settled just now: 0.")
    payment_env.sandbox.world.faces["yookassa"].payments[paid.provider_payment_id].amount += 1
    differ = await command(tmp_path, settings, "reconcile", "--days", "3")
    assert differ.status == 1
    assert "sum-differs" in differ.out
    assert paid.id in differ.out or str(paid.provider_payment_id) in differ.out
    payment_env.sandbox.fault("yookassa", "v3/payments", times=9, status=500)
    silent = await command(tmp_path, settings, "reconcile")
    assert (silent.status, silent.out) == (1, "")
    assert "YooKassa" in silent.err
    assert "test_sandbox_key" not in agreed.said + differ.said + silent.said


async def test_reconcile_names_a_refused_receipt(payment_env: PaymentEnv, tmp_path: Path) -> None:
    """When receipts are on, the command checks them as well."""
    await payment_env.control("/settings", fiscalization=False, receipt_delay=0, receipt_outcome="canceled")
    paid = await payment_env.paid()
    payment_env.sandbox.world.faces["yookassa"].payments[paid.provider_payment_id].receipt = {"items": []}
    settings = payment_env.sandbox.environment(tmp_path, DATABASE_URL=payment_env.db.url)
    agreed = await command(tmp_path, settings, "reconcile")
    refused = await command(tmp_path, {**settings, "YOOKASSA_RECEIPTS": "on"}, "reconcile")
    assert (agreed.status, refused.status) == (0, 1)
    assert "receipt-refused" in refused.out


async def test_reconcile_without_a_shop_has_nothing_to_do(tmp_path: Path) -> None:
    """No shop: a sentence and success."""
    settings = {"BOT_TOKEN": "900:token", "DATABASE_URL": url_of(tmp_path / "bot.db")}
    done = await command(tmp_path, settings, "reconcile")
    assert (done.status, "nothing to compare" in done.out) == (0, True)


async def test_reconcile_compares_stars_and_says_when_telegram_is_silent(starry: BotEnv, tmp_path: Path) -> None:
    """A charge that the bot never heard of is credited by the command; who is silent is named, exit status 1."""
    anya = starry.person()
    told = await pay(anya, await invoice(anya))
    assert told["ok"]
    await anya.sees("Зачислено 100")
    storefront = {"CATALOGUE_PATH": str(tmp_path / "catalogue.toml"), "DATABASE_URL": starry.db.url}
    settings = starry.sandbox.environment(tmp_path, **storefront)
    agreed = await command(tmp_path, settings, "reconcile")
    assert (agreed.status, agreed.out.splitlines()[0]) == (0, "Compared: payments 1, refunds 0. Settled just now: 0.")
    elsewhere = {**settings, "TELEGRAM_API_URL": "http://127.0.0.1:9"}
    silent = await command(tmp_path, elsewhere, "reconcile")
    assert silent.status == 1
    assert "Telegram: no usable answer" in silent.err
    assert "Traceback" not in silent.said
    starry.sandbox.fault("yookassa", "v3/payments", times=9, status=500)
    both = await command(tmp_path, elsewhere, "reconcile")
    named = [line.partition(":")[0] for line in both.err.splitlines() if line.startswith(("YooKassa: ", "Telegram: "))]
    assert (both.status, both.out, named) == (1, "", ["YooKassa", "Telegram"])


def test_commands_about_the_books_start_without_the_bots_library(tmp_path: Path) -> None:
    """An audit, or a comparison where no Stars are sold, must not wait seconds for what only the bot needs."""
    code = """
import sys, main
assert main.main(["audit"]) == 1
main.main(["export", "ledger", "--from", "2026-01-01", "--to", "2026-01-02", sys.argv[1]])
print([name for name in ("aiogram", "aiohttp", "PIL", "rq", "yookassa") if name in sys.modules])
assert main.main(["reconcile"]) == 0
print([name for name in ("aiogram", "aiohttp", "PIL", "rq") if name in sys.modules])
"""
    settings = {**os.environ, "BOT_TOKEN": "900:token", "DATABASE_URL": url_of(tmp_path / "bot.db")}
    said = run_program(code, tmp_path / "out.csv", env={**settings, "PYTHONPATH": str(ROOT)})
    lines = said.splitlines()
    assert [line for line in lines if line.startswith("[")] == ["[]", "[]"]
    assert "there is nothing to compare with" in lines[-2]


def test_ctrl_c_before_the_demo_begins_is_no_fault(tmp_path: Path) -> None:
    """Interrupted while it is still being read in: no traceback."""
    for sign in ("services.ops.export", "services.ops.margin", "app.local_redis"):
        with subprocess.Popen(
            [sys.executable, "-X", "importtime", "main.py", "demo"], cwd=ROOT, stderr=subprocess.PIPE, text=True,
            stdout=subprocess.DEVNULL, start_new_session=True,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a suite in the background ignores it
        ) as child:  # fmt: skip
            assert child.stderr is not None
            for line in child.stderr:
                if sign in line:
                    child.send_signal(signal.SIGINT)
                    break
            rest = child.stderr.read()
            assert child.wait(60) in (0, 130)
        assert "Traceback" not in rest
