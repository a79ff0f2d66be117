"""The composition root: settings → database → clients → services → dispatcher and routes, and their orderly stop.

    python main.py                      the bot
    python main.py demo                 the whole shop on simulators, one address printed
    python main.py check-config         reach every outside system, say what is wrong
    python main.py audit                check the books; exit 1 when they do not balance (--head HASH, --deep)
    python main.py reconcile [--days N] compare with YooKassa's books; exit 1 when a person must look
    python main.py export ledger|payments|refunds --from DATE --to DATE FILE   the books as CSV
    python main.py backup FILE          a whole copy while the shop is open
    python main.py restore FILE         put a copy where no database is, and check it
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import re
import signal
import sys
import threading
from collections.abc import AsyncIterator, Coroutine, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from aiogram import Bot
from aiogram.exceptions import ClientDecodeError, TelegramAPIError
from aiohttp import web

from database import audit as books_audit
from database import backup, differences
from database.audit import Books
from database.checks import RULES
from database.models import Database, DatabaseError
from handlers import JobLetters, Shelf, build_dispatcher, set_commands
from handlers.stars import StarTill
from handlers.updates import Updates
from handlers.webhook import Edge, create_web_app
from services.auditor import Auditor
from services.catalogue import CatalogueError
from services.check_config import Line, Wrong, check_config
from services.delivery import Delivery
from services.demo import run_demo
from services.export import WHAT, BadPeriod, Period, write_csv
from services.i18n import Texts
from services.jobs import Jobs
from services.keyed_lock import KeyedLock
from services.live import LiveMessages
from services.log import event, setup_logging
from services.metrics import Metrics
from services.notifier import Notifier
from services.payments import Payments
from services.photos import Photos
from services.queue import Queue
from services.rate_limiter import RateLimiter
from services.receipts import terms_of
from services.reconcile import Reconciliation
from services.refunds import CardRail, RefundRail, Refunds
from services.settings import Settings, feature_notes, settings_or_exit
from services.stars import StarRail, Stars
from services.telegram import make_bot
from services.yookassa import YooKassaError, YooKassaGateway
from workers.runtime import Runtime, install
from workers.sweeper import Duty, Sweeper

DRAIN_SECONDS = 20.0
_log = logging.getLogger("shop")


class Shop:
    """Everything of one bot process, made in order and closed in the reverse order."""

    def __init__(self, settings: Settings, stack: contextlib.AsyncExitStack) -> None:
        self.settings = settings
        self._stack = stack
        self.stop = asyncio.Event()
        self.runtime = Runtime.open(settings)
        stack.push_async_callback(self.runtime.close)
        self.db = self.runtime.db
        self.bot = make_bot(settings)
        stack.push_async_callback(self.bot.session.close)
        self.queue = Queue(settings.redis_url)
        stack.push_async_callback(self.queue.close, DRAIN_SECONDS)
        self.texts = Texts()
        self.limiter = RateLimiter(settings.rate_limit_per_minute, redis_url=settings.redis_url)
        stack.push_async_callback(self.limiter.close)
        self.gateway = _gateway(settings)
        if self.gateway is not None:
            stack.push_async_callback(self.gateway.close)

    async def open(self) -> None:
        """Bring the database up to date, learn who the bot is, and put the services together."""
        await self.db.init_db()
        install(self.runtime)
        me = await _me(self.bot)
        event(_log, "bot.known", username=me)
        settings, catalogue = self.settings, self.runtime.catalogue
        self.jobs = Jobs(
            self.db, self.queue, catalogue,
            max_active=settings.max_active_jobs_per_user,
            images_on=settings.gemini_enabled, videos_on=settings.kling_enabled,
        )
        self.payments = Payments(
            self.db, self.gateway, self.texts,
            shop_id=settings.yookassa_shop_id or "",
            test_mode=_test_mode(settings),
            return_url=settings.yookassa_return_url or f"https://t.me/{me}",
            admins=sorted(settings.admin_ids),
            receipt=terms_of(settings),
        )
        admins = sorted(settings.admin_ids)
        self.stars = Stars(self.db, self.bot, self.texts, catalogue.top_ups.star_packs, admins=admins)
        self.reconciliation = Reconciliation(
            self.db, self.gateway, self.payments, admins=admins, others=[self.stars.compare]
        )
        self.auditor = Auditor(self.db, admins=admins)
        self.refunds = Refunds(self.db, self._rails(), admins=sorted(settings.admin_ids))
        photos = Photos(self.db, self.runtime.assets, catalogue.limits)
        shelf = Shelf(catalogue, self.jobs.quote, pictures=settings.gemini_enabled, clips=settings.kling_enabled)
        letters = JobLetters(self.texts, shelf)
        delivery = Delivery(self.db, self.runtime.assets, letters)
        chats = KeyedLock()
        self.notifier = Notifier(self.bot, self.db, delivery, letters, chats)
        self.live = LiveMessages(self.bot, self.db, letters, chats)
        dispatcher = build_dispatcher(
            settings=settings, db=self.db, catalogue=catalogue, texts=self.texts, limiter=self.limiter,
            jobs=self.jobs, payments=self.payments, refunds=self.refunds,
            reconciliation=self.reconciliation, stars=self.stars, photos=photos, delivery=delivery,
            notifier=self.notifier, letters=letters, shelf=shelf, chats=chats,
        )
        self.updates = Updates(self.bot, dispatcher, self.db, StarTill(self.stars))
        self.sweeper = Sweeper(
            self.runtime, self.queue, self.payments,
            [
                Duty("refunds", 5.0, self.refunds.look_at_due),
                Duty("reconciliation", 3600.0, self.reconciliation.hourly),
                Duty("seals", 3600.0, self.auditor.seal),
                Duty("audit", 60.0, self.auditor.daily, limit=3600.0),
            ],
        )

    def _rails(self) -> dict[str, RefundRail]:
        """Who can give money back, by the provider it came through."""
        rails: dict[str, RefundRail] = {"stars": StarRail(self.bot)}
        if self.gateway is not None:
            rails["yookassa"] = CardRail(self.db, self.gateway, receipt=terms_of(self.settings))
        return rails

    async def run(self) -> None:
        """Serve until `stop` is set or a part of the shop breaks; then let what is in hand end."""
        edge = Edge(
            settings=self.settings, db=self.db, payments=self.payments,
            metrics=Metrics(self.db, self.queue).page,
            checks={
                "database": self._database_answers, "queue": self._queue_answers, "telegram": self._telegram_answers,
            },
            updates=self.updates if self.settings.telegram_mode == "webhook" else None,
        )
        async with _serving(create_web_app(edge), self.settings):
            await self._receive_how()
            parts = [part.run(self.stop) for part in (self.notifier, self.live, self.sweeper)]
            parts.append(self._catch_up())
            if self.settings.telegram_mode == "polling":
                parts.append(self.updates.poll(self.stop))
            try:
                await _until_stopped(self.stop, parts)
            finally:  # also when a part broke: what is in hand must end before the database is closed
                await edge.close(DRAIN_SECONDS)
                await self.updates.drain(DRAIN_SECONDS)

    async def _receive_how(self) -> None:
        """Tell Telegram where updates go: to our webhook, or nowhere but to those who ask."""
        if self.settings.telegram_mode == "webhook":
            await self.bot.set_webhook(
                f"{self.settings.public_url}/webhooks/telegram", secret_token=self.settings.telegram_webhook_token,
                allowed_updates=self.updates.kinds,
            )
        else:
            await self.bot.delete_webhook()
        try:
            await set_commands(self.bot, self.settings.admin_ids, db=self.db, texts=self.texts)
        except (TelegramAPIError, ClientDecodeError) as error:  # a menu is no reason to stay closed
            event(_log, "commands.not_set", level=logging.WARNING, error=type(error).__name__)

    async def _catch_up(self) -> None:
        """Updates that a dead process wrote down and did not handle."""
        while not self.stop.is_set():
            with contextlib.suppress(DatabaseError):
                await self.updates.take_due()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.stop.wait(), timeout=5)

    async def _database_answers(self) -> str | None:
        try:
            await self.db.get_balance(0)
        except DatabaseError as error:
            return type(error).__name__
        return None

    async def _queue_answers(self) -> str | None:
        return None if await self.queue.healthy() else "Redis does not answer; jobs run inside the bot"

    async def _telegram_answers(self) -> str | None:
        try:
            await self.bot.get_me(request_timeout=5)
        except (TelegramAPIError, ClientDecodeError) as error:
            return type(error).__name__
        return None


async def _me(bot: Bot) -> str:
    """The bot's own name. Raises SystemExit with a sentence when Telegram refuses the token."""
    try:
        return (await bot.me()).username or "bot"
    except (TelegramAPIError, ClientDecodeError) as error:
        raise SystemExit(f"Telegram: {telegram_fault(error)}") from None


def telegram_fault(error: Exception) -> str:
    """What to do about Telegram's answer, in a sentence."""
    if type(error).__name__ in ("TelegramUnauthorizedError", "TelegramNotFound"):
        return "the token is refused; take a new BOT_TOKEN from @BotFather"
    return f"no usable answer ({type(error).__name__}); check TELEGRAM_API_URL and the firewall"


def _gateway(settings: Settings) -> YooKassaGateway | None:
    if settings.yookassa_shop_id is None or settings.yookassa_secret_key is None:
        return None
    return YooKassaGateway(
        settings.yookassa_shop_id, settings.yookassa_secret_key.get_secret_value(), settings.yookassa_api_url
    )


def _test_mode(settings: Settings) -> bool | None:
    """Whether payments must be test ones: the secret key's own prefix tells (yookassa sheet, section 1)."""
    key = settings.yookassa_secret_key.get_secret_value() if settings.yookassa_secret_key else ""
    return {"test_": True, "live_": False}.get(key[:5])


@contextlib.asynccontextmanager
async def _serving(app: web.Application, settings: Settings) -> AsyncIterator[None]:
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=5.0)
    await runner.setup()
    try:
        try:
            await web.TCPSite(runner, settings.http_host, settings.http_port).start()
        except OSError as error:
            raise SystemExit(f"HTTP_PORT {settings.http_port}: {error.strerror}; choose another port") from None
        event(_log, "http.listening", address=str(runner.addresses[0]))
        yield
    finally:
        await runner.cleanup()


async def _until_stopped(stop: asyncio.Event, parts: list[Coroutine[Any, Any, None]]) -> None:
    """Run the parts side by side; when one breaks, all stop and its error comes out."""
    tasks = [asyncio.create_task(part) for part in parts]
    done, running = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    stop.set()
    if running:
        await asyncio.wait(running, timeout=DRAIN_SECONDS)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    for task in done:
        task.result()


async def run_bot(settings: Settings) -> int:
    """The bot, until SIGTERM or Ctrl-C."""
    async with contextlib.AsyncExitStack() as stack:
        shop = Shop(settings, stack)
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, shop.stop.set)
        await shop.open()
        for note in feature_notes(settings):
            _log.info(note)
        await shop.run()
    event(_log, "bot.stopped")
    return 0


# --- the other commands ---------------------------------------------------------------------------


async def audit(db: Database, *, head: str | None = None, deep: bool | None = None) -> int:
    """One line for each rule of the books, then the head of the seals; 1 when a rule is broken.

    `head`: one that was told earlier and must still be a seal. `deep`: compare each index (None: in small files).
    """
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
        yield f"head  {books.head.hash}  {books.seals} seals over entries 1-{books.head.upto_id}, the newest of {when}"
        yield f"      {books.unsealed} entries are not sealed yet"
    if told is not None and not any("no seal has this hash" in one.sentence for one in books.findings):
        yield f"      {told} is one of the seals: what it covers is as it was then"
    yield f"sums  {books.entries} entries, {books.balances} kopecks on balances, {books.held} held"
    how = "each index row by row" if books.deep else "its pages and rows; --deep compares each index as well"
    yield f"file  {how}; {books.seconds:.1f} s in all"


async def back_up(db: Database, target: Path) -> int:
    await asyncio.to_thread(backup.copy, db.path, target)
    print(f"{db.path} is copied to {target} and the copy is sound.")
    return 0


async def restore(db: Database, source: Path) -> int:
    """Copy `source` to where the database belongs, which must be empty; then bring it up to date and audit it."""
    if source.exists() and not await asyncio.to_thread(backup.holds_a_shop, source):
        print(f"{source} holds no database of this shop; nothing was restored.", file=sys.stderr)
        return 1
    await asyncio.to_thread(backup.copy, source, db.path)
    await db.init_db()
    print(f"{source} is restored to {db.path}:")
    return await audit(db)


async def export(db: Database, what: str, first: str, last: str, target: Path) -> int:
    """A period of the books as CSV, for the accountant; 1 when the days or the file won't do."""
    try:
        await db.init_db()
        written = await write_csv(db, what, Period.parse(first, last), target)
    except (BadPeriod, OSError) as error:
        print(f"{target}: {error}" if isinstance(error, OSError) else str(error), file=sys.stderr)
        return 1
    finally:
        await db.close()
    print(f"{written} rows of {what} are in {target}.")
    return 0


async def reconcile(settings: Settings, db: Database, days: int | None) -> int:
    """Compare with YooKassa; 1 when something waits for a person or YooKassa can't be asked."""
    gateway, admins = _gateway(settings), sorted(settings.admin_ids)
    if gateway is None:
        print("No YOOKASSA_SHOP_ID: there is nothing to compare with.")
        return 0
    await db.init_db()
    payments = Payments(
        db, gateway, Texts(), shop_id=settings.yookassa_shop_id or "", test_mode=_test_mode(settings), admins=admins
    )
    try:
        report = await Reconciliation(db, gateway, payments, admins=admins).run(days)
        count, waiting = await db.read(differences.still_open)
    except YooKassaError as error:
        print(f"YooKassa: {error}", file=sys.stderr)
        return 1
    finally:
        await gateway.close()
        await db.close()
    print(f"{report.payments} payments and {report.refunds} refunds compared, {report.settled} settled just now.")
    for one in waiting:
        print(f"open  {one.id}  {one.kind}  {dict(one.details)}  proposal {dict(one.proposal) or 'none'}")
    if report.failed:
        print(f"{report.failed} could not be compared; the log says why.")
    print(f"{count} differences wait for an administrator (/fix).")
    return 1 if count or report.failed else 0


async def check(settings: Settings) -> int:
    bot = make_bot(settings)

    async def telegram() -> str:
        try:
            return f"the bot is @{(await bot.me()).username}"
        except (TelegramAPIError, ClientDecodeError) as error:
            raise Wrong(telegram_fault(error)) from error

    lines: list[Line] = await check_config(settings, telegram)
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


def _arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python main.py", description="The bot; without a command it runs.")
    commands = parser.add_subparsers(dest="command", metavar="command")
    demo = commands.add_parser("demo", help="the whole shop on simulators")
    demo.add_argument("--port", type=int, default=None, help="first port to try for the chat page")
    commands.add_parser("check-config", help="check the settings and reach every outside system")
    prove = commands.add_parser("audit", help="check the books, exit 1 when they do not balance")
    prove.add_argument("--head", type=_head, metavar="HASH", help="a head that was sent earlier: is it still a seal?")
    prove.add_argument("--deep", action="store_true", default=None, help="compare each index of a large file, too")
    export = commands.add_parser("export", help="write a period of the books to a CSV file")
    export.add_argument("what", choices=WHAT)
    export.add_argument("--from", dest="first", required=True, metavar="DATE", help="the first day, as 2026-11-01")
    export.add_argument("--to", dest="last", required=True, metavar="DATE", help="the last day, included")
    export.add_argument("file", type=Path, metavar="FILE")
    compare = commands.add_parser("reconcile", help="compare with YooKassa's books, exit 1 when they differ")
    compare.add_argument("--days", type=int, default=None, help="how far back; without it since the last time")
    for name, text in (("backup", "copy the database to FILE while it is in use"), ("restore", "put a copy back")):
        commands.add_parser(name, help=text).add_argument("file", type=Path, metavar="FILE")
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    """Run a command; answers the exit status (2: the settings are faulty)."""
    options = _arguments(argv)
    if options.command == "demo":
        return asyncio.run(run_demo(options.port))
    settings = settings_or_exit()
    setup_logging(settings.log_level, settings.log_format, settings.secret_values())
    db = Database(settings.database_url)
    match options.command:
        case "audit":
            work = audit(db, head=options.head, deep=options.deep)
        case "backup":
            work = back_up(db, options.file)
        case "restore":
            work = restore(db, options.file)
        case "check-config":
            work = check(settings)
        case "export":
            work = export(db, options.what, options.first, options.last, options.file)
        case "reconcile":
            work = reconcile(settings, db, options.days)
        case _:
            work = run_bot(settings)
    try:
        return asyncio.run(work)
    except (DatabaseError, CatalogueError) as error:
        print(error, file=sys.stderr)
        return 1


if __name__ == "__main__":
    raise SystemExit(main())
