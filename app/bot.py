"""One bot process: its settings, database, clients, services, dispatcher and routes, and its orderly stop."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import signal
from collections.abc import AsyncIterator, Coroutine
from typing import Any

from aiogram import Bot
from aiogram.exceptions import ClientDecodeError, TelegramAPIError
from aiohttp import web

from app.version import VERSION
from database.backup import mark_of
from database.models import DatabaseError
from handlers import build_dispatcher
from handlers.commands import set_commands
from handlers.payments.stars import StarsUpdateHandler
from handlers.polling import Polling
from handlers.updates import Updates
from handlers.views.messages import ChatMessages
from handlers.webhook import WebContext, create_web_app
from scheduler.scheduler import Scheduler
from scheduler.tasks import job_tasks, money_tasks, topup_tasks, upkeep_tasks
from services.common.i18n import Texts
from services.common.keyed_lock import KeyedLock
from services.common.log import event
from services.job_context import JobContext
from services.jobs import Jobs
from services.messaging.delivery import Delivery
from services.messaging.notifier import Notifier
from services.messaging.photos import Photos
from services.messaging.progress import LiveMessages
from services.messaging.telegram import make_bot, patience, telegram_fault
from services.ops.auditor import Auditor
from services.ops.backups import Backups
from services.ops.disk import DiskWatch
from services.ops.metrics import Metrics
from services.payments.payments import Payments
from services.payments.receipts import terms_of
from services.payments.reconciliation import Reconciliation
from services.payments.refunds import RefundGateway, Refunds
from services.payments.stars import Stars, StarsRefunds
from services.payments.yookassa.client import YooKassaError, expects_test_payments, gateway_of
from services.payments.yookassa_refunds import YooKassaRefunds
from services.queue import Queue
from services.rate_limiter import RateLimiter
from services.settings import Settings, feature_notes
from services.storefront import Storefront
from workers.runtime import install

DRAIN_SECONDS = 20.0
ASK_AGAIN_SECONDS = 5.0
ANSWER_SECONDS = 5  # a request for /ready does not wait longer
MENU_SECONDS = 5.0
_log = logging.getLogger("shop")


class BotApp:
    """Everything of one bot process, created in order and closed in the reverse order."""

    def __init__(self, settings: Settings, stack: contextlib.AsyncExitStack) -> None:
        self.settings = settings
        self.stop = asyncio.Event()
        self.ctx = JobContext.open(settings)
        stack.push_async_callback(self.ctx.close)
        self.db = self.ctx.db
        self.bot = make_bot(settings)
        stack.push_async_callback(self.bot.session.close)
        self.queue = Queue(settings.redis_url)
        stack.push_async_callback(self.queue.close, DRAIN_SECONDS)
        self.texts = Texts()
        self.limiter = RateLimiter(settings.rate_limit_per_minute, redis_url=settings.redis_url)
        stack.push_async_callback(self.limiter.close)
        self.gateway = gateway_of(settings)
        if self.gateway is not None:
            stack.push_async_callback(self.gateway.close)

    async def open(self) -> None:
        """Bring the database up to date, ask Telegram who the bot is, and create the services."""
        await self.db.init_db()
        install(self.ctx)
        me = await _me(self.bot)
        event(_log, "bot.known", username=me, version=VERSION)
        settings, catalogue = self.settings, self.ctx.catalogue
        self.jobs = Jobs(
            self.db,
            self.queue,
            catalogue,
            max_active=settings.max_active_jobs_per_user,
            images_on=settings.gemini_enabled,
            videos_on=settings.kling_enabled,
            spend_per_day=settings.spend_per_day_micro_usd,
            admins=sorted(settings.admin_ids),
        )
        self.payments = Payments(
            self.db,
            self.gateway,
            self.texts,
            shop_id=settings.yookassa_shop_id or "",
            test_mode=expects_test_payments(settings),
            return_url=settings.yookassa_return_url or f"https://t.me/{me}",
            admins=sorted(settings.admin_ids),
            receipt=terms_of(settings),
            offered=catalogue.top_ups.card,
        )
        admins = sorted(settings.admin_ids)
        self.stars = Stars(self.db, self.bot, self.texts, catalogue.top_ups.star_packs, admins=admins)
        self.reconciliation = Reconciliation(
            self.db, self.gateway, self.payments, admins=admins, others=[self.stars.compare]
        )
        self.auditor = Auditor(self.db, admins=admins)
        self.disk = DiskWatch(self.db, admins=admins)
        self.refunds = Refunds(self.db, self._gateways(), admins=sorted(settings.admin_ids))
        photos = Photos(self.db, self.ctx.assets, catalogue.limits)
        storefront = Storefront(
            catalogue, self.jobs.quote, images=settings.gemini_enabled, videos=settings.kling_enabled
        )
        renderer = ChatMessages(self.texts, storefront)
        delivery = Delivery(self.db, self.ctx.assets, renderer)
        chats = KeyedLock()
        self.notifier = Notifier(self.bot, self.db, delivery, renderer, chats)
        self.live = LiveMessages(self.bot, self.db, renderer, chats)
        dispatcher = build_dispatcher(
            settings=settings,
            db=self.db,
            catalogue=catalogue,
            texts=self.texts,
            limiter=self.limiter,
            jobs=self.jobs,
            payments=self.payments,
            refunds=self.refunds,
            reconciliation=self.reconciliation,
            stars=self.stars,
            photos=photos,
            delivery=delivery,
            notifier=self.notifier,
            renderer=renderer,
            storefront=storefront,
            chats=chats,
        )
        self.updates = Updates(self.bot, dispatcher, self.db, StarsUpdateHandler(self.stars))
        backups = Backups(self.db, admins=admins)
        self.scheduler = Scheduler(
            self.db,
            [
                *job_tasks(self.ctx, self.queue),
                *topup_tasks(self.payments),
                *money_tasks(self.refunds, self.reconciliation, self.stars),
                *upkeep_tasks(self.auditor, self.disk, backups),
            ],
        )

    def _gateways(self) -> dict[str, RefundGateway]:
        """The gateway that gives money back, for each provider of payments."""
        gateways: dict[str, RefundGateway] = {"stars": StarsRefunds(self.bot)}
        if self.gateway is not None:
            gateways["yookassa"] = YooKassaRefunds(self.db, self.gateway, receipt=terms_of(self.settings))
        return gateways

    async def run(self) -> None:
        """Serve until `stop` is set or a part fails; then let running work end."""
        context = WebContext(
            settings=self.settings,
            db=self.db,
            payments=self.payments,
            metrics=Metrics(self.db, self.queue).page,
            checks={
                "database": self._database_answers,
                "queue": self._queue_answers,
                "telegram": self._telegram_answers,
            },
            updates=self.updates if self.settings.telegram_mode == "webhook" else None,
        )
        await self._compare_after_restore()
        async with self.serving(create_web_app(context)):
            await self._receive_how()
            parts = [part.run(self.stop) for part in (self.notifier, self.live, self.scheduler)]
            parts.append(self._catch_up())
            if self.settings.telegram_mode == "polling":
                parts.append(Polling(self.bot, self.updates).run(self.stop))
            try:
                await _until_stopped(self.stop, parts)
            finally:  # also when a part failed: running work must end before the database is closed
                await context.close(DRAIN_SECONDS)
                await self.updates.drain(DRAIN_SECONDS)

    async def _compare_after_restore(self) -> None:
        """After a restore the bot answers no user before its books were compared with the providers'."""
        mark = mark_of(self.db.path)
        while mark.exists() and not self.stop.is_set():
            try:
                await self.reconciliation.run()
                mark.unlink(missing_ok=True)
            except (YooKassaError, TelegramAPIError, ClientDecodeError) as error:
                event(
                    _log,
                    "restore.waits_for_comparison",
                    level=logging.ERROR,
                    error=type(error).__name__,
                    detail=str(error)[:200],
                )
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self.stop.wait(), timeout=ASK_AGAIN_SECONDS)

    @contextlib.asynccontextmanager
    async def serving(self, app: web.Application) -> AsyncIterator[None]:
        """The routes on HTTP_HOST and HTTP_PORT while the body runs."""
        host, port = self.settings.http_host, self.settings.http_port
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=5.0)
        await runner.setup()
        try:
            try:
                await web.TCPSite(runner, host, port).start()
            except OSError as error:
                if error.errno in (errno.EADDRINUSE, errno.EACCES):
                    raise SystemExit(f"HTTP_PORT {port}: {error.strerror}; choose another port") from None
                raise SystemExit(f"HTTP_HOST {host}: {error.strerror}; name an address of this machine") from None
            event(_log, "http.listening", address=str(runner.addresses[0]))
            yield
        finally:
            await runner.cleanup()

    async def _receive_how(self) -> None:
        """Tell Telegram where updates go: to our webhook, or to nowhere, so that they can be polled."""
        if self.settings.telegram_mode == "webhook":
            await self.bot.set_webhook(
                f"{self.settings.public_url}/webhooks/telegram",
                secret_token=self.settings.telegram_webhook_token,
                allowed_updates=self.updates.kinds,
            )
        else:
            await self.bot.delete_webhook()
        try:
            with patience(MENU_SECONDS):  # Telegram limits these calls, and users wait until they are done
                await set_commands(self.bot, self.settings.admin_ids, db=self.db, texts=self.texts)
        except (TelegramAPIError, ClientDecodeError) as error:  # the bot works without a menu as well
            event(_log, "commands.not_set", level=logging.WARNING, error=type(error).__name__)

    async def _catch_up(self) -> None:
        """Handle updates that a process wrote down before it died."""
        while not self.stop.is_set():
            with contextlib.suppress(DatabaseError):
                await self.updates.take_due()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.stop.wait(), timeout=5)

    async def _database_answers(self) -> str | None:
        """Why the database can't be used. A file that can be read may not be writable: the scheduler's write tells."""
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                await self.db.get_balance(0)
        except (DatabaseError, TimeoutError) as error:
            return type(error).__name__
        return self.scheduler.write_fault

    async def _queue_answers(self) -> str | None:
        return None if await self.queue.healthy() else "Redis does not answer; jobs run inside the bot"

    async def _telegram_answers(self) -> str | None:
        try:
            await self.bot.get_me(request_timeout=ANSWER_SECONDS)
        except (TelegramAPIError, ClientDecodeError) as error:
            return type(error).__name__
        return None


async def _me(bot: Bot) -> str:
    """The bot's own name. Raises SystemExit with a sentence when Telegram refuses the token."""
    try:
        return (await bot.me()).username or "bot"
    except (TelegramAPIError, ClientDecodeError) as error:
        raise SystemExit(f"Telegram: {telegram_fault(error)}") from None


async def _until_stopped(stop: asyncio.Event, parts: list[Coroutine[Any, Any, None]]) -> None:
    """Run the parts at the same time. When one fails, all stop and its error is raised."""
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
        bot_app = BotApp(settings, stack)
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, bot_app.stop.set)
        await bot_app.open()
        for note in feature_notes(settings):
            _log.info(note)
        await bot_app.run()
    event(_log, "bot.stopped")
    return 0
