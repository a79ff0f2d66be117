"""The commands of `main.py`: each does one thing for an admin, prints the result, and returns the exit status.

A command imports what it needs when it runs: aiogram alone takes seconds, and most commands do not need it.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
import threading
from collections.abc import AsyncIterator, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from database.audit.run import Books
    from database.models import Database, Difference
    from services.common.i18n import Texts
    from services.payments.comparison import Compare, Report
    from services.settings import Settings


async def audit(db: Database, *, head: str | None = None, deep: bool | None = None) -> int:
    """Print one line for each rule of the books, then the head of the seals; 1 when a rule is broken.

    `head`: one that was sent earlier and must still be a seal. `deep`: compare each index (None: in small files).
    """
    from database.audit import run as books_audit
    from database.audit.checks import RULES

    if not db.path.exists():
        print(f"{db.path} does not exist: there is nothing to audit. Is DATABASE_URL right?", file=sys.stderr)
        return 1
    stop = threading.Event()
    try:
        books = await asyncio.to_thread(books_audit.run, db.path, head=head, deep=deep, stop=stop)
    finally:
        stop.set()
    broken = {finding.check for finding in books.findings}
    for check, rule in RULES.items():
        print(f"{'FAIL' if check in broken else 'ok  '}  {check}  {rule}")
        for finding in (one for one in books.findings if one.check == check):
            print(f"      {finding}")
    for finding in (one for one in books.findings if one.check not in RULES):
        print(f"FAIL  {finding.check}  {finding}")
    for line in _description(books, head):
        print(line)
    return 0 if books.sound else 1


def _description(books: Books, told: str | None) -> Iterator[str]:
    """The head of the seals, to be compared with a head that was sent earlier, and the numbers of the books."""
    if books.head is None:
        yield f"head  none: no entry is sealed yet, {books.unsealed} wait for the bot's hourly seal"
    else:
        when = datetime.fromtimestamp(books.head.created_at / 1000, UTC).strftime("%Y-%m-%d %H:%M UTC")
        yield f"head  {books.head.hash}  seals: {books.seals} over entries 1-{books.head.upto_id}, the newest of {when}"
        yield f"      entries not sealed yet: {books.unsealed}"
    if told is not None and not any("no seal has this hash" in one.sentence for one in books.findings):
        yield f"      {told} is one of the seals: what it covers is as it was then"
    yield f"sums  {books.entries} entries, {books.balances} kopecks on balances, {books.held} held"
    how = "each index row by row" if books.deep else "its pages and rows; --deep compares each index as well"
    yield f"file  {how}; {books.seconds:.1f} s in all"


async def back_up(db: Database, target: Path) -> int:
    """Make a copy of the whole database while it is in use."""
    from database import backup

    await asyncio.to_thread(backup.copy, db.path, target)
    print(f"{db.path} is copied to {target} and the copy is sound.")
    return 0


async def restore(db: Database, source: Path) -> int:
    """Copy `source` to the place of the database, which must be empty; then bring it up to date and audit it."""
    from database import backup
    from database.errors import MigrationFailed, UnsupportedDatabase

    if source.exists() and not await asyncio.to_thread(backup.holds_a_shop, source):
        print(f"{source} holds no database of this shop; nothing was restored.", file=sys.stderr)
        return 1
    await asyncio.to_thread(backup.restore, source, db.path)
    try:
        await db.init_db()
    except (MigrationFailed, UnsupportedDatabase):  # no program can open such a file; else it may be in use already
        await asyncio.to_thread(backup.undo_restore, db.path)
        raise
    print(f"{source} is restored to {db.path}:")
    status = await audit(db)
    print("The bot compares it with the books of the providers before it answers anybody.")
    return status


async def export(settings: Settings, db: Database, what: str, first: str, last: str, target: Path) -> int:
    """Write a period of the books as CSV, for the accountant; 1 when the days or the file can't be used."""
    from services.catalogue import SHIPPED, load_catalogue
    from services.ops.export import BadPeriod, Period
    from services.ops.margin import write_book

    rate = load_catalogue(settings.catalogue_path or SHIPPED).rubles_per_dollar
    try:
        await db.init_db()
        written = await write_book(db, what, Period.parse(first, last), target, rubles_per_dollar=rate)
    except (BadPeriod, OSError) as error:
        print(f"{target}: {error}" if isinstance(error, OSError) else str(error), file=sys.stderr)
        return 1
    finally:
        await db.close()
    print(f"{written} rows of {what} are in {target}.")
    return 0


async def reconcile(settings: Settings, db: Database, days: int | None) -> int:
    """Compare with YooKassa's and Telegram's books; 1 when an admin must decide or one of them can't be asked.

    Telegram is asked only if Stars are sold or were sold.
    """
    from database import differences as difference_rows
    from services.catalogue import SHIPPED, load_catalogue
    from services.common.i18n import Texts
    from services.payments.payments import Payments
    from services.payments.receipts import terms_of
    from services.payments.reconciliation import Reconciliation
    from services.payments.yookassa.client import expects_test_payments, gateway_of

    gateway, texts, admins = gateway_of(settings), Texts(), sorted(settings.admin_ids)
    packs = load_catalogue(settings.catalogue_path or SHIPPED).top_ups.star_packs
    payments = Payments(
        db,
        gateway,
        texts,
        shop_id=settings.yookassa_shop_id or "",
        test_mode=expects_test_payments(settings),
        admins=admins,
        receipt=terms_of(settings),
    )
    try:
        await db.init_db()
        async with _star_books(settings, db, texts, packs) as others:
            if gateway is None and not others:
                print("No YOOKASSA_SHOP_ID, and no Stars were ever sold: there is nothing to compare with.")
                return 0
            report = await Reconciliation(db, gateway, payments, admins=admins, others=others).compare(days)
        for fault in report.unread:
            print(_silent(fault), file=sys.stderr)
        return 1 if report.unread else _told(report, *await db.read(difference_rows.still_open))
    finally:
        if gateway is not None:
            await gateway.close()
        await db.close()


@contextlib.asynccontextmanager
async def _star_books(
    settings: Settings, db: Database, texts: Texts, packs: Sequence[tuple[int, int]]
) -> AsyncIterator[list[Compare]]:
    """The comparison with Telegram. Empty if no Stars are or were sold; then its library isn't loaded."""
    from database import payments as payment_rows

    if not packs and not await db.read(payment_rows.any_paid, "stars"):
        yield []
        return
    from services.messaging.telegram import make_bot
    from services.payments.stars import Stars

    bot = make_bot(settings)
    try:
        yield [Stars(db, bot, texts, packs, admins=sorted(settings.admin_ids)).compare]
    finally:
        await bot.session.close()


def _silent(fault: Exception) -> str:
    """Which system could not be asked, and why. Raises `fault` itself if it comes from none of them."""
    from services.payments.yookassa.client import YooKassaError

    if isinstance(fault, YooKassaError):
        return f"YooKassa: {fault}"
    from aiogram.exceptions import ClientDecodeError, TelegramAPIError

    from services.messaging.telegram import telegram_fault

    if isinstance(fault, TelegramAPIError | ClientDecodeError):
        return f"Telegram: {telegram_fault(fault)}"
    raise fault


def _told(report: Report, count: int, waiting: list[Difference]) -> int:
    print(f"Compared: payments {report.payments}, refunds {report.refunds}. Settled just now: {report.settled}.")
    for one in waiting:
        facts = " ".join(f"{name}={value}" for name, value in one.details.items())
        print(f"open  {one.id}  {one.kind}  {facts}  proposal: {_proposed(one)}")
    if report.failed:
        print(f"Could not be compared: {report.failed}; the log says why.")
    print(f"Differences that wait for an administrator (/fix): {count}.")
    return 1 if count or report.failed else 0


def _proposed(one: Difference) -> str:
    """The entry that `/fix N apply` would make, in kopecks with a sign."""
    return f"{one.proposal['amount']:+d} kopecks, user {one.proposal['user_id']}" if one.proposal else "none"


async def check(settings: Settings) -> int:
    """Print a line for each outside system; 1 when one can't be used."""
    from aiogram.exceptions import ClientDecodeError, TelegramAPIError

    from app.check_config import Wrong, check_config
    from services.messaging.telegram import make_bot, telegram_fault
    from services.settings import feature_notes

    bot = make_bot(settings)

    async def telegram() -> str:
        try:
            return f"the bot is @{(await bot.me()).username}"
        except (TelegramAPIError, ClientDecodeError) as error:
            raise Wrong(telegram_fault(error)) from error

    lines = await check_config(settings, telegram)
    await bot.session.close()
    for line in lines:
        print(line)
    for note in feature_notes(settings):
        print(f"note  {note}")
    return 0 if all(line.fine for line in lines) else 1
