"""The restore drill of RUNBOOK, as an admin runs it: a copy, a day of orders, a loss, and every kopeck back."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest

from database import payments as payment_rows
from database.models import Database
from tests.support.bot_env import ANYA, BOB, Person
from tests.support.database_fixture import ROOT
from tests.support.process_env import ProcessEnv
from tests.support.sandbox_fixture import ADMIN
from tests.support.stars_fixture import invoice, pay, with_packs


class Shell:
    """Types the commands of RUNBOOK into a shell in the project's root."""

    def __init__(self, process_env: ProcessEnv, **settings: str) -> None:
        self._environment = process_env.environment(**settings)

    async def types(self, *words: str, **settings: str) -> tuple[int, str]:
        """Exit status and what was printed."""
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "main.py",
            *words,
            cwd=ROOT,
            env={**self._environment, **settings},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        printed, _ = await process.communicate()
        print(f"$ main.py {' '.join(words)}   [{process.returncode}]\n{printed.decode()}")
        return process.returncode or 0, printed.decode()


@pytest.mark.timeout(240)
async def test_the_shop_comes_back_from_a_copy_with_every_kopeck(process_env: ProcessEnv, tmp_path: Path) -> None:
    """Paid, ordered and returned after the copy: settled by itself, or given by one word of an administrator."""
    catalogue = {"CATALOGUE_PATH": str(with_packs(tmp_path))}
    shell = Shell(process_env, **catalogue)
    anya, bob, admin = (Person(one, process_env.sandbox) for one in (ANYA, BOB, ADMIN))
    bot = await process_env.bot(**catalogue)
    await admin.say("/start")
    await process_env.top_up(anya, 500)
    await anya.sees("Зачислено 500")
    await bob.say("/topup")
    await bob.press("300")
    link = await bob.link()

    copy = tmp_path / "copy.db"
    assert (await shell.types("backup", str(copy)))[0] == 0

    await process_env.sandbox.http.post(link, data={"action": "pay", "card": "5555555555554444"})
    await bob.sees("₽300 added")
    await process_env.top_up(bob, 500)
    await bob.sees("₽500 added")
    told = await pay(anya, await invoice(anya))
    assert told["ok"], told
    await anya.sees("Зачислено 100")
    payment = (await process_env.db.read(payment_rows.of_user, ANYA))[-1]
    await admin.say(f"/refund_payment {payment.id} 200")
    await admin.press("Вернуть")
    await admin.sees("Возвращено 200")
    before = [await process_env.db.get_balance(person) for person in (ANYA, BOB)]
    assert before == [40_000, 80_000]
    entries = {person: await process_env.entries(person) for person in (ANYA, BOB)}
    assert await bot.stop() == 0
    await process_env.db.close()

    lost = tmp_path / "lost"
    lost.mkdir()
    for file in tmp_path.glob("bot.db*"):
        file.rename(lost / file.name)
    status, printed = await shell.types("audit", DATABASE_URL=f"sqlite:///{copy}")
    assert status == 0, printed
    assert (await shell.types("restore", str(copy)))[0] == 0
    status, printed = await shell.types("reconcile")
    assert status == 1
    assert "Settled just now: 2." in printed
    assert printed.count("unknown-payment") == 2
    status, printed = await shell.types("reconcile")
    assert (status, "Settled just now: 0." in printed) == (1, True)

    bot = await process_env.bot(**catalogue)
    process_env.db = Database(f"sqlite:///{tmp_path / 'bot.db'}")
    for number in (1, 2):
        await admin.say(f"/fix {number} apply")
        await admin.sees(f"№ {number}: сделано", new=True)
    assert [await process_env.db.get_balance(person) for person in (ANYA, BOB)] == before
    for person in (ANYA, BOB):
        assert sorted(await process_env.entries(person)) == sorted(entries[person])
    assert await bot.stop() == 0
    for command in ("reconcile", "audit"):
        status, printed = await shell.types(command)
        assert status == 0, printed
