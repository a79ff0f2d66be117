"""Anything may stand in a file or a setting: it is accepted as a whole, or refused in words."""

from __future__ import annotations

import asyncio
import contextlib
import random
import shutil
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app import cli
from database.models import Database, DatabaseError
from services.catalogue import SHIPPED, Catalogue, CatalogueError, load_catalogue
from services.ops.export import BadPeriod, Period, write_csv
from services.settings import SETTING_NAMES, SettingsError, load_settings
from tests.faults.examples import drawn, fuzz
from tests.support.database_fixture import url_of

LINES = SHIPPED.read_text("utf-8").splitlines()
VALUES = st.sampled_from([
    "0", "-1", "1", "1e400", "nan", "inf", "-0.0", "9" * 40, "true", '""', '"x"', "[]", "{}", "[1, 'a']", "2026-11-01",
    '"\\u0000"', "'''", '"' + "я" * 3_000 + '"',
]) | st.text(max_size=10)  # fmt: skip
TEXTS = st.text(st.characters(exclude_characters="\x00"), max_size=30) | st.sampled_from([
    "0", "-1", "1e9", "nan", "on", "http://", "https://x", "https://u:p@h:99999/", "redis://", "sqlite://", "s3://",
    "sqlite:////nowhere/b.db", "0.0.0.0/0", "::/0", "1.2.3.4/33", "900:" + "A" * 40, "a,b,,c", "١٢", "../..", "#", "=",
])  # fmt: skip


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("files")


def altered(seed: int, values: list[str]) -> str:
    """The shipped catalogue with some lines changed, dropped, doubled or moved."""
    chance, lines = random.Random(seed), list(LINES)
    for value in values:
        at = chance.randrange(len(lines))
        name, mark, _ = lines[at].partition(" = ")
        match chance.choice(("value", "value", "value", "drop", "double", "move", "junk")):
            case "value" if mark:
                lines[at] = f"{name} = {value}"
            case "drop":
                del lines[at]
            case "double":
                lines.insert(at, lines[at])
            case "move":
                lines.insert(chance.randrange(len(lines)), lines.pop(at))
            case _:
                lines.insert(at, value)
    return "\n".join(lines)


@fuzz(120)
@given(st.integers(0, 2**32), st.lists(VALUES, min_size=1, max_size=3))
def test_any_catalogue_is_sold_from_or_refused_with_its_faults(place: Path, seed: int, values: list[str]) -> None:
    """Each answer is a catalogue whose every price is at least a kopeck, or all faults in words."""
    path = place / "catalogue.toml"
    path.write_text(altered(seed, values), "utf-8", errors="surrogatepass")
    try:
        catalogue = load_catalogue(path)
    except CatalogueError as refused:
        said = str(refused)
    else:
        said = ""
    if said:
        assert said.startswith(path.name)
        return
    assert isinstance(catalogue, Catalogue)
    assert catalogue.default_image.key
    for model in catalogue.image_models:
        assert all(size.price >= 1 for size in model.sizes.values())


DAYS = st.text(max_size=14) | st.dates().map(str) | st.sampled_from(["2026-11-01", "20261101", "2026-W47-1", ""])
SECRETS = ("BOT_TOKEN", "YOOKASSA_SECRET_KEY", "GEMINI_API_KEY", "KLING_API_KEY", "KLING_WEBHOOK_SECRET")


@fuzz(150)
@given(st.dictionaries(st.sampled_from(SETTING_NAMES), TEXTS, max_size=6))
def test_any_settings_are_taken_or_refused_without_a_secret(values: dict[str, str]) -> None:
    """All faults at once, each naming its variable, none showing a secret's value.

    What is short may stand there by chance, and what another setting holds too is shown once for that one.
    """
    others = "\n".join(value for name, value in values.items() if name not in SECRETS)
    secrets = [value.strip() for name, value in values.items() if name in SECRETS and len(value.strip()) >= 12]
    try:
        settings = load_settings(None, {"BOT_TOKEN": f"900:{'k' * 40}", **values})
    except SettingsError as error:
        said = str(error)
        assert any(name in said for name in SETTING_NAMES)
        assert not any(one in said for one in secrets)
        return
    assert settings.max_active_jobs_per_user >= 1
    assert all(repr(settings).count(one) <= others.count(one) for one in secrets)


@fuzz(200)
@given(DAYS, DAYS)
def test_any_two_words_are_a_period_or_none(first: str, last: str) -> None:
    """A period runs forward, over whole days; anything else is refused."""
    with contextlib.suppress(BadPeriod):
        period = Period.parse(first, last)
        begin, end = period.milliseconds
        assert end - begin >= 86_400_000
        assert begin > 0


async def test_any_period_and_book_write_a_table_or_nothing(tmp_path: Path) -> None:
    """Whatever is asked for as a book, a refusal leaves no file."""
    db = Database(url_of(tmp_path / "bot.db"))
    await db.init_db()
    await db.add_balance(1, 500, key="k", reason="=1+1")
    target = tmp_path / "out.csv"
    for what in ["ledger", "payments", "refunds", *drawn(st.text(max_size=9), 20)]:
        try:
            await write_csv(db, what, Period.parse("2000-01-01", "2100-01-01"), target)
        except (BadPeriod, ValueError, LookupError):
            assert not target.exists(), what
        target.unlink(missing_ok=True)
    await db.close()


@pytest.fixture(scope="module")
def database_file(place: Path) -> Path:
    """A small closed database: 1500 kopecks on two balances."""
    path = place / "whole.db"

    async def fill() -> None:
        db = Database(url_of(path))
        await db.init_db()
        await db.add_balance(1, 1_000, key="a", reason="gift")
        await db.add_balance(2, 700, key="b", reason="gift")
        await db.subtract_balance(2, 200, key="c", reason="spent")
        await db.close()

    asyncio.run(fill())
    return path


def damaged(content: bytes, seed: int) -> bytes:
    """Bits flipped, a page zeroed, the end cut off, a piece repeated, the head overwritten, or noise instead."""
    chance, data = random.Random(seed), bytearray(content)
    match chance.choice(("bits", "bits", "page", "cut", "repeat", "noise", "head")):
        case "bits":
            for _ in range(chance.randint(1, 40)):
                data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
        case "page":
            start = chance.randrange(len(data) // 4_096) * 4_096
            data[start : start + 4_096] = bytes(4_096)
        case "cut":
            del data[chance.randrange(len(data)) :]
        case "repeat":
            start = chance.randrange(len(data))
            data[start:start] = data[start : start + chance.randrange(10_000)]
        case "noise":
            data = bytearray(chance.randbytes(chance.randrange(1, 50_000)))
        case "head":
            data[: chance.randrange(1, 200)] = chance.randbytes(chance.randrange(1, 200))
    return bytes(data)


def test_any_file_is_restored_whole_or_not_at_all(
    database_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A damaged backup is refused, or what it brings is audited: "restored" is never said over other sums."""
    content, refused = database_file.read_bytes(), 0

    async def restored(number: int, seed: int) -> bool:
        folder = tmp_path / str(number)
        folder.mkdir()
        source = folder / "backup.db"
        source.write_bytes(damaged(content, seed))
        db = Database(url_of(folder / "new" / "bot.db"))
        try:
            status = await cli.restore(db, source)
            balances = [await db.get_balance(1), await db.get_balance(2)] if status == 0 else []
        except DatabaseError:
            assert not db.path.exists() or db.path.stat().st_size > 0
            return False
        finally:
            await db.close()
            shutil.rmtree(folder)
        assert balances in ([], [1_000, 500]), f"seed {seed}: {balances}"
        return status == 0

    for number, seed in enumerate(drawn(st.integers(0, 2**32), 40)):
        refused += not asyncio.run(restored(number, seed))
    assert refused > 10
    assert "Traceback" not in capsys.readouterr().err
