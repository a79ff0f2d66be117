"""The commands as an admin runs them: processes of their own, their exit status and what they print."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import re
import shutil
import signal
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from pysqlite3 import dbapi2 as sqlite

from app import cli
from app.version import VERSION
from database.audit import run as books_audit
from database.audit.checks import RULES
from database.models import Database
from tests.support.command_line import Done, command, environment
from tests.support.database_fixture import ROOT, assert_books, url_of
from tests.support.job_env import until
from tests.support.redis_fixture import RedisServer
from tests.support.sandbox_fixture import Sandbox

TOKEN = "900:a-token-nobody-may-see"


async def inside(work: Awaitable[int], capsys: pytest.CaptureFixture[str]) -> Done:
    """The same without a process of its own, for the many ways in which one command may find something wrong."""
    capsys.readouterr()
    status = await work
    told = capsys.readouterr()
    return Done(status, told.out, told.err)


def plain(path: Path) -> dict[str, str]:
    """Enough settings for the commands that only need the database."""
    return {"BOT_TOKEN": TOKEN, "DATABASE_URL": url_of(path)}


async def filled(path: Path) -> Database:
    """A database with a few honest entries."""
    db = Database(url_of(path))
    await db.init_db()
    await db.add_balance(1, 50_000, key="a", reason="gift")
    await db.reserve_balance(1, 1_200, "job-a")
    await db.charge_reserved_balance("job-a")
    return db


# --- settings ----------------------------------------------------------------------------------------------------


async def test_the_version_is_told_without_any_setting(tmp_path: Path) -> None:
    """`--version` prints one line, needs no setting and makes no file."""
    done = await command(tmp_path, {}, "--version")
    assert (done.status, done.out, done.err) == (0, f"{VERSION}\n", "")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "missing"), [((), {"BOT_TOKEN"}), (("check-config",), {"BOT_TOKEN"}), (("audit",), set())]
)
async def test_faulty_settings_are_all_told_at_once_and_end_with_2(
    tmp_path: Path, arguments: tuple[str, ...], missing: set[str]
) -> None:
    """One line for each fault, none of them with a secret, exit status 2, nothing started."""
    done = await command(
        tmp_path,
        {
            "HTTP_PORT": "eighty",
            "DATABASE_URL": "mysql://root:hunter2@db/x",
            "YOOKASSA_SECRET_KEY": "live_hunter2",
            "GEMINI_API_KEY": "hunter2 with a space",
            "TELEGRAM_MODE": "webhook",
            "KLING_WEBHOOK_SECRET": "hunter2",
        },
        *arguments,
    )
    assert done.status == 2
    assert done.out == ""
    faults = done.err.splitlines()
    assert sorted(fault.split()[0] for fault in faults) == sorted(
        {
            "DATABASE_URL",
            "GEMINI_API_KEY",
            "HTTP_PORT",
            "KLING_WEBHOOK_SECRET",
            "PUBLIC_URL",
            "YOOKASSA_SHOP_ID",
            *missing,
        }
    )
    assert "hunter2" not in done.err
    assert list(tmp_path.iterdir()) == []


async def test_the_books_need_no_token(tmp_path: Path) -> None:
    """A copy is proven, exported and restored on a machine that knows no token; other faults are told all the same."""
    await (await filled(tmp_path / "bot.db")).close()
    only_data = {"DATABASE_URL": url_of(tmp_path / "bot.db")}
    elsewhere = {"DATABASE_URL": url_of(tmp_path / "elsewhere" / "bot.db")}
    days = ("--from", "2026-01-01", "--to", "2026-01-02")
    for settings, arguments in (
        (only_data, ("audit",)),
        (only_data, ("backup", "copy.db")),
        (only_data, ("export", "ledger", *days, "ledger.csv")),
        (elsewhere, ("restore", "copy.db")),
    ):
        done = await command(tmp_path, settings, *arguments)
        assert (done.status, "BOT_TOKEN" in done.said) == (0, False), (arguments, done.said)
    faulty = await command(tmp_path, {**only_data, "HTTP_PORT": "x"}, "audit")
    assert (faulty.status, [line.split()[0] for line in faulty.err.splitlines()]) == (2, ["HTTP_PORT"])
    for reaching in ((), ("check-config",), ("reconcile",)):
        refused = await command(tmp_path, only_data, *reaching)
        assert (refused.status, refused.err.split()[0]) == (2, "BOT_TOKEN"), reaching


async def test_an_unknown_command_is_refused_with_the_list_of_commands(tmp_path: Path) -> None:
    """A typing mistake starts no bot."""
    done = await command(tmp_path, {}, "audti")
    assert done.status == 2
    assert "check-config" in done.err


# --- whatever the command ----------------------------------------------------------------------------------------

A_FILE, TOO_LONG = "a-file/copy.db", "x" * 300


@pytest.mark.parametrize(
    ("arguments", "settings"),
    [
        (("backup", A_FILE), {}),
        (("backup", TOO_LONG), {}),
        (("backup", "x" * 250), {}),
        (("restore", TOO_LONG), {}),
        (("audit",), {"DATABASE_URL": f"sqlite:///{TOO_LONG}"}),
        (("restore", "copy.db"), {"DATABASE_URL": f"sqlite:///{TOO_LONG}"}),
        (("audit",), {"CATALOGUE_PATH": TOO_LONG}),
    ],
)
async def test_a_path_that_can_not_be_used_is_a_sentence(
    tmp_path: Path, arguments: tuple[str, ...], settings: dict[str, str]
) -> None:
    """Whatever the system has against a file that was named: a line or two that say it, no stack trace."""
    await (await filled(tmp_path / "bot.db")).close()
    for name in ("a-file", "copy.db"):
        shutil.copy(tmp_path / "bot.db", tmp_path / name)
    done = await command(tmp_path, {**plain(tmp_path / "bot.db"), **settings}, *arguments)
    assert done.status == (2 if "CATALOGUE_PATH" in settings else 1)
    assert done.out == ""
    assert len(done.err.splitlines()) == 1, done.err


@pytest.mark.parametrize("buffering", [{}, {"PYTHONUNBUFFERED": "1"}], ids=["buffered", "unbuffered"])
async def test_who_stops_reading_gets_no_complaint(tmp_path: Path, buffering: dict[str, str]) -> None:
    """`audit | head -1`: nothing on stderr, and a status that is no verdict."""
    await (await filled(tmp_path / "bot.db")).close()
    reading, writing = os.pipe()
    os.close(reading)
    try:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            str(ROOT / "main.py"),
            "audit",
            cwd=tmp_path,
            env=environment({**plain(tmp_path / "bot.db"), **buffering}),
            stdout=writing,
            stderr=asyncio.subprocess.PIPE,
        )
    finally:
        os.close(writing)
    _, err = await asyncio.wait_for(process.communicate(), 60)
    assert (process.returncode, err) == (128 + signal.SIGPIPE, b"")


async def test_a_terminal_that_knows_no_such_letter_ends_no_command(tmp_path: Path) -> None:
    """What was done is said in the letters that there are."""
    await (await filled(tmp_path / "bot.db")).close()
    settings = {**plain(tmp_path / "bot.db"), "PYTHONIOENCODING": "ascii"}
    done = await command(tmp_path, settings, "backup", "\N{CYRILLIC SMALL LETTER A}.db")
    assert (done.status, done.err) == (0, "")
    assert "\\u0430.db and the copy is sound" in done.out


@pytest.mark.parametrize("url", ["s3://bucket/results", "a-file/results"])
async def test_a_folder_of_results_that_can_not_be_used_ends_the_bot_with_a_sentence(
    sandbox: Sandbox, tmp_path: Path, url: str
) -> None:
    """One line that names the setting, no stack trace."""
    (tmp_path / "a-file").touch()
    done = await command(tmp_path, sandbox.environment(tmp_path, ASSETS_URL=url, HTTP_PORT="0"))
    assert (done.status, len(done.err.splitlines())) == (1, 1), done.err
    assert done.err.startswith("ASSETS_URL")


@pytest.mark.parametrize(
    "arguments",
    [
        ("reconcile", "--days", "0"),
        ("reconcile", "--days", "-5"),
        ("reconcile", "--days", "2000"),
        ("demo", "--port", "65536"),
        ("demo", "--port", "0"),
        ("demo", "--port", "-1"),
    ],
)
async def test_a_number_out_of_range_is_refused(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    """Nothing is begun that could only end badly, or that would compare no day and call that well."""
    done = await command(tmp_path, plain(tmp_path / "bot.db"), *arguments)
    assert done.status == 2
    assert f"argument {arguments[1]}: give a number from 1 to" in done.err
    assert list(tmp_path.iterdir()) == []


# --- audit -------------------------------------------------------------------------------------------------------


async def test_audit_says_ok_to_every_rule_of_a_sound_book(tmp_path: Path) -> None:
    """A line for each rule and exit status 0."""
    db = await filled(tmp_path / "bot.db")
    await db.close()
    done = await command(tmp_path, plain(tmp_path / "bot.db"), "audit")
    assert (done.status, done.err) == (0, "")
    assert [line.split()[:2] for line in done.lines[: len(RULES)]] == [["ok", rule] for rule in RULES]
    assert list(RULES) == [f"I{number}" for number in range(1, 10)]


BREAKAGES = {
    "an entry's sum was changed": (
        "I5",
        "DROP TRIGGER {no_update}; UPDATE ledger SET amount = amount + 1 WHERE key LIKE '%a'",
    ),
    "a guard is gone": ("I4", "DROP TRIGGER {no_update}"),
    "a job cost less than was kept": ("I2", "{drop_all}; UPDATE reservations SET charged = charged - 1"),
}


@pytest.mark.parametrize("breakage", BREAKAGES)
async def test_audit_names_the_broken_rule_and_ends_with_1(
    tmp_path: Path, breakage: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whatever another program did behind our back is found, named by its rule, and is exit status 1."""
    path = tmp_path / "bot.db"
    db = await filled(path)
    await db.close()
    rule, statements = BREAKAGES[breakage]
    with contextlib.closing(sqlite.connect(str(path))) as other:
        other.execute("PRAGMA foreign_keys=OFF")
        other.execute("PRAGMA ignore_check_constraints=ON")
        guards = list(other.execute("SELECT name, tbl_name, sql FROM sqlite_master WHERE type = 'trigger'"))
        names = {"no_update": next(name for name, table, sql in guards if table == "ledger" and "BEFORE UPDATE" in sql)}
        names["drop_all"] = "; ".join(f"DROP TRIGGER {name}" for name, _, _ in guards)
        other.executescript(statements.format(**names))
    done = await inside(cli.audit(Database(url_of(path))), capsys)
    assert done.status == 1
    assert rule in {line.split()[1] for line in done.lines if line.startswith("FAIL")}
    assert "Traceback" not in done.said


async def test_audit_prints_the_head_and_compares_one_of_earlier(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The head is a line of the audit; a head that was sent is known or is a failure; a typing mistake is told."""
    path = tmp_path / "bot.db"
    db = await filled(path)
    assert "none" in next(line for line in (await inside(cli.audit(db), capsys)).lines if line.startswith("head"))
    assert books_audit.seal_all(path) == 1
    line = next(line for line in (await inside(cli.audit(db), capsys)).lines if line.startswith("head"))
    head = line.split()[1]
    assert re.fullmatch("[0-9a-f]{64}", head)
    known = await command(tmp_path, plain(path), "audit", "--head", head[:20].upper(), "--deep")
    assert (known.status, known.err) == (0, "")
    assert "is one of the seals" in known.out
    other = await inside(cli.audit(db, head="0" * 64), capsys)
    assert other.status == 1
    assert "FAIL  I4" in other.out
    assert "is one of the seals" not in other.out
    assert (await command(tmp_path, plain(path), "audit", "--head", "abc")).status == 2
    await db.close()


async def test_audit_of_no_database_says_so_and_makes_none(tmp_path: Path) -> None:
    """A wrong path is told, not filled with an empty file that a restore would then refuse to replace."""
    path = tmp_path / "nowhere.db"
    done = await command(tmp_path, plain(path), "audit")
    assert done.status == 1
    assert str(path) in done.said
    assert not path.exists()


# --- backup and restore ------------------------------------------------------------------------------------------


async def test_a_backup_under_load_is_whole(tmp_path: Path) -> None:
    """The shop sells on while it is copied; the copy's books balance and hold all that was there before."""
    path, copy = tmp_path / "bot.db", tmp_path / "copies" / "copy.db"
    db = await filled(path)
    made = 0
    stop = asyncio.Event()

    async def sell(user_id: int) -> None:
        nonlocal made
        while not stop.is_set():
            made += 1
            await db.add_balance(user_id, 100, key=f"load-{made}", reason="gift")

    sellers = [asyncio.create_task(sell(user_id)) for user_id in range(2, 6)]
    before = await db.get_balance(1)
    done = await command(tmp_path, plain(path), "backup", str(copy))
    during = made
    stop.set()
    await asyncio.gather(*sellers)
    await db.close()
    assert (done.status, done.err) == (0, "")
    assert during > 100
    audit = await command(tmp_path, plain(copy), "audit")
    assert (audit.status, audit.err) == (0, "")
    copied = Database(url_of(copy))
    assert await copied.get_balance(1) == before
    await copied.close()


async def test_a_backup_never_overwrites(tmp_path: Path) -> None:
    """What is there stays as it is, byte by byte."""
    path, copy = tmp_path / "bot.db", tmp_path / "copy.db"
    await (await filled(path)).close()
    copy.write_bytes(b"an older backup")
    done = await command(tmp_path, plain(path), "backup", str(copy))
    assert done.status == 1
    assert "never overwrites" in done.err
    assert copy.read_bytes() == b"an older backup"
    assert sorted(one.name for one in tmp_path.iterdir() if "copy" in one.name) == ["copy.db"]


async def test_a_restore_brings_the_books_back_and_checks_them(tmp_path: Path) -> None:
    """A backup in a fresh place: the same balances, audited, exit status 0."""
    path, copy, fresh = tmp_path / "bot.db", tmp_path / "copy.db", tmp_path / "new" / "bot.db"
    await (await filled(path)).close()
    assert (await command(tmp_path, plain(path), "backup", str(copy))).status == 0
    done = await command(tmp_path, plain(fresh), "restore", str(copy))
    assert (done.status, done.err) == (0, "")
    assert len([line for line in done.lines if line.startswith("ok")]) == len(RULES)
    back = Database(url_of(fresh))
    assert await back.get_balance(1) == 48_800
    await assert_books(back)
    await back.close()


async def test_a_restore_never_replaces_a_database(tmp_path: Path) -> None:
    """An existing database stays; an admin has to move it away."""
    path, copy = tmp_path / "bot.db", tmp_path / "copy.db"
    db = await filled(path)
    assert (await command(tmp_path, plain(path), "backup", str(copy))).status == 0
    await db.add_balance(1, 7, key="later", reason="gift")
    done = await command(tmp_path, plain(path), "restore", str(copy))
    assert done.status == 1
    assert str(path) in done.err
    assert await db.get_balance(1) == 48_807
    await db.close()


@pytest.mark.parametrize("source", [None, b"", b"this is no database " * 500])
async def test_a_restore_from_junk_leaves_nothing(tmp_path: Path, source: bytes | None) -> None:
    """A missing, empty or foreign file is refused in a sentence, and no database is left in the place."""
    junk, fresh = tmp_path / "junk", tmp_path / "new" / "bot.db"
    if source is not None:
        junk.write_bytes(source)
    done = await command(tmp_path, plain(fresh), "restore", str(junk))
    assert done.status == 1
    assert str(junk) in done.err
    assert "Traceback" not in done.said
    assert not fresh.exists()


async def test_a_restore_that_can_not_be_finished_leaves_nothing(tmp_path: Path) -> None:
    """A copy of a newer version is refused in a sentence, and the place is free for the right one."""
    path, copy, fresh = tmp_path / "bot.db", tmp_path / "copy.db", tmp_path / "new" / "bot.db"
    await (await filled(path)).close()
    for name in ("copy.db", "newer.db"):
        assert (await command(tmp_path, plain(path), "backup", str(tmp_path / name))).status == 0
    with contextlib.closing(sqlite.connect(str(tmp_path / "newer.db"))) as newer, newer:
        newer.execute("UPDATE alembic_version SET version_num = '9999'")
    done = await command(tmp_path, plain(fresh), "restore", str(tmp_path / "newer.db"))
    assert (done.status, done.out) == (1, "")
    assert "written by a newer version" in done.err
    assert "Traceback" not in done.err
    assert [one.name for one in fresh.parent.iterdir()] in ([], ["bot.db.gate"])
    assert (await command(tmp_path, plain(fresh), "restore", str(copy))).status == 0


async def test_a_restore_takes_nothing_away_that_somebody_uses(tmp_path: Path) -> None:
    """A program that was quicker writes to what was put back: the restore gives up and leaves it, with its mark."""
    path, copy, fresh = tmp_path / "bot.db", tmp_path / "copy.db", tmp_path / "new" / "bot.db"
    await (await filled(path)).close()
    assert (await command(tmp_path, plain(path), "backup", str(copy))).status == 0
    fresh.parent.mkdir()
    with (fresh.parent / "bot.db.gate").open("w") as gate:
        fcntl.flock(gate, fcntl.LOCK_EX)
        restoring = asyncio.create_task(command(tmp_path, plain(fresh), "restore", str(copy)))

        async def put_back() -> bool:
            return fresh.exists()

        await until(put_back, seconds=30, what="the copy lies in its place")
        with contextlib.closing(sqlite.connect(str(fresh), isolation_level=None)) as quicker:
            quicker.execute("BEGIN IMMEDIATE")
            fcntl.flock(gate, fcntl.LOCK_UN)
            done = await restoring
            quicker.execute("ROLLBACK")
    assert done.status == 1
    assert "Traceback" not in done.err
    assert (fresh.parent / "bot.db.restored").exists()
    assert (await command(tmp_path, plain(fresh), "audit")).status == 0


@pytest.mark.parametrize("left", ["-wal", "-journal"])
async def test_a_restore_is_not_mixed_with_what_was_lost(tmp_path: Path, left: str) -> None:
    """The database is gone and its log still lies there: SQLite would play it into the copy, so nothing is put back."""
    path, copy, fresh = tmp_path / "bot.db", tmp_path / "copy.db", tmp_path / "new" / "bot.db"
    db = await filled(path)
    assert (await command(tmp_path, plain(path), "backup", str(copy))).status == 0
    await db.add_balance(1, 77_700, key="since", reason="gift")
    fresh.parent.mkdir()
    log = fresh.with_name(f"bot.db{left}")
    log.write_bytes((tmp_path / "bot.db-wal").read_bytes())
    await db.close()
    done = await command(tmp_path, plain(fresh), "restore", str(copy))
    assert done.status == 1
    assert f"bot.db{left} exists" in done.err
    assert [one.name for one in fresh.parent.iterdir()] == [log.name]
    log.unlink()
    assert (await command(tmp_path, plain(fresh), "restore", str(copy))).status == 0


# --- check-config ------------------------------------------------------------------------------------------------


async def test_check_config_is_content_with_a_working_shop(
    sandbox: Sandbox, redis_server: RedisServer, tmp_path: Path
) -> None:
    """Every outside system is reached, each has its line, exit status 0."""
    done = await command(tmp_path, sandbox.environment(tmp_path, REDIS_URL=redis_server.url), "check-config")
    assert done.err == ""
    assert done.status == 0
    assert [line.partition(":")[0] for line in done.lines if not line.startswith("note")] == [
        f"ok    {system}"
        for system in ("Telegram", "Database", "Catalogue", "Assets", "Redis", "YooKassa", "Gemini", "Kling")
    ]


FAULTS = {
    "Telegram": ({"BOT_TOKEN": TOKEN}, "BOT_TOKEN"),
    "Redis": ({"REDIS_URL": "unix:///nonexistent/redis.sock"}, "REDIS_URL"),
    "YooKassa": ({"YOOKASSA_SECRET_KEY": "test_wrong"}, "YOOKASSA_SECRET_KEY"),
    "Gemini": ({"GEMINI_API_KEY": "wrong"}, "key"),
    "Kling": ({"KLING_API_KEY": "wrong"}, "key"),
    "Database": ({"DATABASE_URL": "sqlite:////proc/nowhere/bot.db"}, "/proc/nowhere"),
    "Assets": ({"ASSETS_URL": "/proc/nowhere"}, "/proc/nowhere"),
    "Catalogue": ({}, "catalogue.toml"),
}


@pytest.mark.parametrize("system", FAULTS)
async def test_check_config_says_what_to_do_about_each_system(
    sandbox: Sandbox, tmp_path: Path, system: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """One system is broken: its line says FAIL and what to mend, the others are ok, exit status 1, no secret told."""
    more, hint = FAULTS[system]
    async with sandbox.http.post(f"{sandbox.url}/_control/telegram/settings", json={"revoked": [TOKEN]}) as answer:
        assert answer.status == 200
    if system == "Catalogue":
        broken = tmp_path / "catalogue.toml"
        broken.write_text("[models")
        more = {"CATALOGUE_PATH": str(broken)}
    done = await inside(cli.check(sandbox.settings(tmp_path, **more)), capsys)
    failed = [line for line in done.lines if line.startswith("FAIL")]
    # A catalogue that can't be read also hides which models a key must see.
    expected = {"Catalogue", "Gemini"} if system == "Catalogue" else {system}
    assert {line.split()[1].rstrip(":") for line in failed} == expected
    assert hint in failed[0]
    assert done.status == 1
    assert "Traceback" not in done.said
    assert not any(secret in done.said for secret in (TOKEN.partition(":")[2], "test_sandbox_key", "test_wrong"))


async def test_check_config_says_why_redis_refuses(
    sandbox: Sandbox, mortal_redis: RedisServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The server runs and takes no such password: that is what its line says, and not the password."""
    with mortal_redis.client() as client:
        client.config_set("requirepass", "another")
    address = mortal_redis.url.replace("unix://", "unix://:hunter2@")
    done = await inside(cli.check(sandbox.settings(tmp_path, REDIS_URL=address)), capsys)
    (failed,) = (line for line in done.lines if line.startswith("FAIL"))
    assert failed.startswith("FAIL  Redis")
    assert "password" in failed
    assert "REDIS_URL" in failed
    assert "hunter2" not in done.said


async def test_check_config_sees_a_key_of_another_kind_than_its_shop(
    sandbox: Sandbox, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A test key and a live shop: every payment would be quarantined, so the line says FAIL and what to check."""
    sandbox.world.faces["yookassa"].settings.update({"test": False})
    done = await inside(cli.check(sandbox.settings(tmp_path)), capsys)
    (failed,) = (line for line in done.lines if line.startswith("FAIL"))
    assert failed.startswith("FAIL  YooKassa")
    assert "YOOKASSA_SECRET_KEY" in failed
    assert done.status == 1


async def test_check_config_tells_a_silent_address_from_a_wrong_key(
    sandbox: Sandbox, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nobody at the address: the lines speak of the address and the firewall, not of keys."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        nobody = f"http://127.0.0.1:{taken.getsockname()[1]}"
    silent = {"TELEGRAM_API_URL": nobody, "YOOKASSA_API_URL": nobody, "GEMINI_BASE_URL": nobody}
    done = await inside(cli.check(sandbox.settings(tmp_path, KLING_BASE_URL=nobody, **silent)), capsys)
    failed = {line.split()[1].rstrip(":"): line for line in done.lines if line.startswith("FAIL")}
    assert set(failed) == {"Telegram", "YooKassa", "Gemini", "Kling"}
    assert all("firewall" in line for line in failed.values())
    assert done.status == 1


# --- the bot -----------------------------------------------------------------------------------------------------


@contextlib.asynccontextmanager
async def bot(folder: Path, settings: Mapping[str, str]) -> AsyncIterator[asyncio.subprocess.Process]:
    with (folder / "bot.log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            str(ROOT / "main.py"),
            cwd=folder,
            env=environment(settings),
            stdout=log,
            stderr=asyncio.subprocess.STDOUT,
        )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_the_bot_becomes_ready_and_ends_in_order(
    sandbox: Sandbox, tmp_path: Path, number: signal.Signals
) -> None:
    """It starts on settings alone, answers its routes, and SIGTERM or Ctrl-C ends it with status 0 and sound books."""
    port = free_port()
    async with bot(tmp_path, sandbox.environment(tmp_path, HTTP_PORT=str(port))) as process:

        async def ready() -> bool:
            assert process.returncode is None, (tmp_path / "bot.log").read_text()
            with contextlib.suppress(OSError):
                async with sandbox.http.get(f"http://127.0.0.1:{port}/ready") as answer:
                    return answer.status == 200
            return False

        await until(ready, seconds=40, what="the bot is ready")
        async with sandbox.http.get(f"http://127.0.0.1:{port}/metrics") as answer:
            assert "shop_open_jobs 0.0" in await answer.text()
        process.send_signal(number)
        assert await asyncio.wait_for(process.wait(), 30) == 0
    log = (tmp_path / "bot.log").read_text()
    assert "Traceback" not in log
    assert "bot.stopped" in log
    assert "token-of-a-test-bot" not in log
    audit = await command(tmp_path, sandbox.environment(tmp_path), "audit")
    assert audit.status == 0


async def test_readiness_follows_the_world(sandbox: Sandbox, mortal_redis: RedisServer, tmp_path: Path) -> None:
    """/ready names the queue and Telegram while they do not answer; /health stays, and so does the bot."""
    port = free_port()
    settings = sandbox.environment(tmp_path, HTTP_PORT=str(port), REDIS_URL=mortal_redis.url)

    async def reasons() -> set[str] | None:
        with contextlib.suppress(OSError):
            async with sandbox.http.get(f"http://127.0.0.1:{port}/ready") as answer:
                names = set((await answer.json())["reasons"])
                assert answer.status == (503 if names else 200)
                return names
        return None

    async with bot(tmp_path, settings) as process:
        await until(lambda: _is(reasons, set()), seconds=40, what="the bot is ready")
        mortal_redis.kill()
        sandbox.fault("telegram", "getMe", times=10_000, status=502)
        await until(lambda: _is(reasons, {"queue", "telegram"}), seconds=30, what="both are named")
        async with sandbox.http.get(f"http://127.0.0.1:{port}/health") as answer:
            assert answer.status == 200
        mortal_redis.start()
        sandbox.world.faults.clear()
        await until(lambda: _is(reasons, set()), seconds=30, what="the bot is ready again")
        assert process.returncode is None


async def _is(ask: Callable[[], Awaitable[Any]], wanted: Any) -> bool:
    return bool(await ask() == wanted)


async def test_a_refused_token_ends_the_bot_with_a_sentence(sandbox: Sandbox, tmp_path: Path) -> None:
    """Telegram says no: one sentence that says what to do, no stack trace, no token."""
    async with sandbox.http.post(f"{sandbox.url}/_control/telegram/settings", json={"revoked": [TOKEN]}) as answer:
        assert answer.status == 200
    done = await command(tmp_path, sandbox.environment(tmp_path, BOT_TOKEN=TOKEN, HTTP_PORT="0"))
    assert done.status == 1
    assert "@BotFather" in done.err
    assert "Traceback" not in done.said
    assert TOKEN.partition(":")[2] not in done.said


async def test_a_taken_port_ends_the_bot_with_a_sentence(sandbox: Sandbox, tmp_path: Path) -> None:
    """Another program listens there: the bot says which port it is, and ends."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = await command(tmp_path, sandbox.environment(tmp_path, HTTP_PORT=str(port)))
    assert done.status == 1
    assert f"HTTP_PORT {port}" in done.err
    assert "Traceback" not in done.said


@pytest.mark.parametrize("host", ["192.0.2.1", "no-such-host.invalid"])
async def test_an_address_of_another_machine_ends_the_bot_with_a_sentence(
    sandbox: Sandbox, tmp_path: Path, host: str
) -> None:
    """The address can't be used: the sentence says so and does not ask for another port."""
    done = await command(tmp_path, sandbox.environment(tmp_path, HTTP_HOST=host, HTTP_PORT="0"))
    assert done.status == 1
    assert f"HTTP_HOST {host}" in done.err
    assert "HTTP_PORT" not in done.err
    assert "Traceback" not in done.said


# --- the demo ----------------------------------------------------------------------------------------------------


def processes_naming(text: str) -> list[int]:
    """Ids of running processes that name `text` in their command line or their environment."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit() and int(folder.name) != os.getpid():
            with contextlib.suppress(OSError):
                said = (folder / "cmdline").read_bytes() + (folder / "environ").read_bytes()
                if text.encode() in said:
                    found.append(int(folder.name))
    return found


async def test_the_demo_opens_the_whole_shop_and_leaves_nothing_running(tmp_path: Path) -> None:
    """One address is printed, the page and the bot answer there, and Ctrl-C ends every process of it.

    The simulators keep the shop's time, and YooKassa's still know whom to tell when the page was reset.
    """
    port = free_port()
    folder = ROOT / "data" / f"demo-{port}"
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(ROOT / "main.py"),
        "demo",
        "--port",
        str(port),
        cwd=tmp_path,
        env=environment({}),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        start_new_session=True,
    )
    try:
        assert process.stdout is not None
        async with asyncio.timeout(80):
            while "The shop is open" not in (line := (await process.stdout.readline()).decode()):
                assert process.returncode is None, line
        address = line.split()[-1]
        assert address == f"http://127.0.0.1:{port}/"
        async with aiohttp.ClientSession() as http:
            async with http.get(address) as page:
                assert page.status == 200
            person = f"{address}_chat/users/1001"
            async with http.post(f"{person}/send", json={"text": "/start"}) as answer:
                assert answer.status == 200, await answer.text()

            async def greeted() -> bool:
                async with http.get(f"{person}/messages") as answer:
                    return "₽" in str(await answer.json())

            await until(greeted, seconds=30, what="the bot answers with its prices")
            async with http.get(f"{address}_control/clock") as answer:
                assert (await answer.json())["speed"] == 1
            async with http.post(f"{address}_control/reset") as answer:
                assert answer.status == 200
            async with http.get(f"{address}_control/yookassa/settings") as answer:
                assert "/webhooks/yookassa" in str(await answer.json())
        assert len(processes_naming(str(folder))) >= 3
        process.send_signal(signal.SIGINT)
        assert await asyncio.wait_for(process.wait(), 40) == 0
        assert processes_naming(str(folder)) == []
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", port)
        assert "Traceback" not in (folder / "bot.log").read_text()
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
            await asyncio.wait_for(process.wait(), 40)
        shutil.rmtree(folder, ignore_errors=True)


async def test_the_demo_knows_nothing_of_the_live_shop(tmp_path: Path) -> None:
    """A `.env` beside the program is the live shop's: no setting of it reaches the demo, so none can break it."""
    shop = tmp_path / "shop"
    for part in ("app", "database", "handlers", "locales", "sandbox", "scheduler", "services", "workers"):
        shutil.copytree(ROOT / part, shop / part)
    shutil.copy(ROOT / "main.py", shop)
    (shop / ".env").write_text("YOOKASSA_VAT_CODE=99\nGEMINI_PROXY=http://127.0.0.1:9\n")
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "main.py",
        "demo",
        "--port",
        str(free_port()),
        cwd=shop,
        env=environment({}),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        start_new_session=True,
    )
    try:
        assert process.stdout is not None
        async with asyncio.timeout(80):
            while "The shop is open" not in (line := (await process.stdout.readline()).decode()):
                assert line, "the demo ended"
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
            await asyncio.wait_for(process.wait(), 40)
