"""The owner's commands about money, run as processes of their own."""

from __future__ import annotations

from pathlib import Path

from tests.database_fixture import url_of
from tests.edge_fixture import Till
from tests.test_main import command


async def test_reconcile_says_what_differs_by_its_exit_status(till: Till, tmp_path: Path) -> None:
    """0 when both books agree, 1 with the difference named when a person must look; no key is ever printed."""
    paid = await till.paid()
    settings = till.sandbox.environment(tmp_path, DATABASE_URL=till.db.url)
    agreed = await command(tmp_path, settings, "reconcile")
    assert (agreed.status, agreed.out.splitlines()[0]) == (
        0, "1 payments and 0 refunds compared, 0 settled just now."
    )
    till.sandbox.world.faces["yookassa"].payments[paid.provider_payment_id].amount += 1
    differ = await command(tmp_path, settings, "reconcile", "--days", "3")
    assert differ.status == 1
    assert "sum-differs" in differ.out
    assert paid.id in differ.out or str(paid.provider_payment_id) in differ.out
    till.sandbox.fault("yookassa", "v3/payments", times=9, status=500)
    silent = await command(tmp_path, settings, "reconcile")
    assert (silent.status, silent.out) == (1, "")
    assert "YooKassa" in silent.err
    assert "test_sandbox_key" not in agreed.said + differ.said + silent.said


async def test_reconcile_without_a_shop_has_nothing_to_do(tmp_path: Path) -> None:
    """No shop: a sentence and success."""
    settings = {"BOT_TOKEN": "900:token", "DATABASE_URL": url_of(tmp_path / "bot.db")}
    done = await command(tmp_path, settings, "reconcile")
    assert (done.status, "nothing to compare" in done.out) == (0, True)
