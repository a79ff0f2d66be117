"""The program's commands; the bot itself is put together in `app/bot.py`.

    python main.py                      the bot
    python main.py demo                 the whole shop on simulators, one address printed
    python main.py check-config         reach every outside system, say what is wrong
    python main.py audit                check the books; exit 1 when they do not balance (--head HASH, --deep)
    python main.py reconcile [--days N] compare with YooKassa's and Telegram's books; exit 1 when a person must look
    python main.py export ledger|payments|refunds|receipts|margin --from DATE --to DATE FILE   the books as CSV
    python main.py backup FILE          a whole copy while the shop is open
    python main.py restore FILE         put a copy where no database is, and check it

Each command imports what it needs when it runs: aiogram alone takes seconds, and most commands know nothing of it.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import io
import os
import re
import signal
import sys
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from database.audit.run import Books
    from database.models import Database, Difference
    from services.common.i18n import Texts
    from services.payments.comparison import Compare, Report
    from services.settings import Settings

BOOKS_ONLY = frozenset({"audit", "backup", "export", "restore"})
"""Commands that open the database and nothing else: a machine that knows no token can prove a copy."""


async def audit(db: Database, *, head: str | None = None, deep: bool | None = None) -> int:
    """One line for each rule of the books, then the head of the seals; 1 when a rule is broken.

    `head`: one that was told earlier and must still be a seal. `deep`: compare each index (None: in small files).
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
    """The head of the seals, to be compared with what left this machine earlier, and the numbers of the books."""
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
    """A whole copy of the database while it is in use."""
    from database import backup

    await asyncio.to_thread(backup.copy, db.path, target)
    print(f"{db.path} is copied to {target} and the copy is sound.")
    return 0


async def restore(db: Database, source: Path) -> int:
    """Copy `source` to where the database belongs, which must be empty; then bring it up to date and audit it."""
    from database import backup
    from database.errors import MigrationFailed, UnsupportedDatabase

    if source.exists() and not await asyncio.to_thread(backup.holds_a_shop, source):
        print(f"{source} holds no database of this shop; nothing was restored.", file=sys.stderr)
        return 1
    await asyncio.to_thread(backup.restore, source, db.path)
    try:
        await db.init_db()
    except (MigrationFailed, UnsupportedDatabase):  # no program opens such a file; after anything else it may be in use
        await asyncio.to_thread(backup.undo_restore, db.path)
        raise
    print(f"{source} is restored to {db.path}:")
    status = await audit(db)
    print("The bot compares it with the books of the providers before it answers anybody.")
    return status


async def export(settings: Settings, db: Database, what: str, first: str, last: str, target: Path) -> int:
    """A period of the books as CSV, for the accountant; 1 when the days or the file won't do."""
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
    """Compare with YooKassa's and Telegram's books; 1 when something waits for a person or one of them can't be asked.

    Telegram is asked only where Stars are sold or were.
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
    """Telegram's side of the comparison; nothing where no Stars are sold or were, and then its library isn't loaded."""
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
    """Who could not be asked and why. Raises `fault` itself where it is none of theirs."""
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
    """The entry that `/fix N apply` would make, in kopecks with its sign."""
    return f"{one.proposal['amount']:+d} kopecks, user {one.proposal['user_id']}" if one.proposal else "none"


async def check(settings: Settings) -> int:
    """A line for each outside system; 1 when one can't be used."""
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


def _head(word: str) -> str:
    """A seal's hash, or enough of its beginning to mean one. Raises argparse.ArgumentTypeError."""
    if not re.fullmatch(r"[0-9a-fA-F]{16,64}", word):
        raise argparse.ArgumentTypeError("a head has 64 hexadecimal digits; at least the first 16 are needed")
    return word.lower()


def _up_to(most: int) -> Callable[[str], int]:
    """A reader of numbers from 1 to `most`, for argparse."""

    def read(word: str) -> int:
        if not (re.fullmatch("[0-9]{1,9}", word) and 1 <= int(word) <= most):
            raise argparse.ArgumentTypeError(f"give a number from 1 to {most}")
        return int(word)

    return read


def _arguments(argv: list[str] | None) -> argparse.Namespace:
    from services.ops.margin import BOOKS

    parser = argparse.ArgumentParser(prog="python main.py", description="The bot; without a command it runs.")
    commands = parser.add_subparsers(dest="command", metavar="command")
    demo = commands.add_parser("demo", help="the whole shop on simulators")
    demo.add_argument("--port", type=_up_to(65535), default=None, help="first port to try for the chat page")
    commands.add_parser("check-config", help="check the settings and reach every outside system")
    prove = commands.add_parser("audit", help="check the books, exit 1 when they do not balance")
    prove.add_argument("--head", type=_head, metavar="HASH", help="a head that was sent earlier: is it still a seal?")
    prove.add_argument("--deep", action="store_true", default=None, help="compare each index of a large file, too")
    export = commands.add_parser("export", help="write a period of the books to a CSV file")
    export.add_argument("what", choices=BOOKS)
    export.add_argument("--from", dest="first", required=True, metavar="DATE", help="the first day, as 2026-11-01")
    export.add_argument("--to", dest="last", required=True, metavar="DATE", help="the last day, included")
    export.add_argument("file", type=Path, metavar="FILE")
    compare = commands.add_parser("reconcile", help="compare with the providers' books, exit 1 when they differ")
    back = "how far back, three years at most; without it since the last time"
    compare.add_argument("--days", type=_up_to(3 * 365), default=None, help=back)
    for name, text in (("backup", "copy the database to FILE while it is in use"), ("restore", "put a copy back")):
        commands.add_parser(name, help=text).add_argument("file", type=Path, metavar="FILE")
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    """Run a command; answers the exit status (2: the settings are faulty)."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a terminal that lacks a letter must end no command
    options = _arguments(argv)
    if options.command == "demo":
        from app.demo import run_demo

        return asyncio.run(run_demo(options.port))
    from database.models import Database, DatabaseError
    from services.catalogue import CatalogueError
    from services.common.log import setup_logging
    from services.media.store import AssetError
    from services.settings import settings_or_exit

    settings = settings_or_exit(needs_token=options.command not in BOOKS_ONLY)
    setup_logging(settings.log_level, settings.log_format, settings.secret_values())
    try:
        status = asyncio.run(_work(options, settings, Database(settings.database_url)))
        print(end="", flush=True)
    except (DatabaseError, CatalogueError, AssetError) as error:
        print(error, file=sys.stderr)
        return 1
    except OSError as error:
        if options.command is None:  # no file that was named, so it is a fault of ours
            raise
        if isinstance(error, BrokenPipeError):
            return _unread()
        print(error, file=sys.stderr)
        return 1
    return status


def _unread() -> int:
    """Whoever read what we print has gone, as `head` does: end like others whom that ends, and with no verdict."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for what is still to be flushed
    return 128 + signal.SIGPIPE


def _work(options: argparse.Namespace, settings: Settings, db: Database) -> Coroutine[Any, Any, int]:
    match options.command:
        case "audit":
            return audit(db, head=options.head, deep=options.deep)
        case "backup":
            return back_up(db, options.file)
        case "restore":
            return restore(db, options.file)
        case "check-config":
            return check(settings)
        case "export":
            return export(settings, db, options.what, options.first, options.last, options.file)
        case "reconcile":
            return reconcile(settings, db, options.days)
    from app.bot import run_bot

    gc.freeze()  # what is imported stays: looking through it, a full collection would stop the loop for 0.3 s
    return run_bot(settings)


if __name__ == "__main__":
    try:
        raise SystemExit(main())
    except KeyboardInterrupt:  # before the command could take it for a wish to end in order
        raise SystemExit(130) from None
