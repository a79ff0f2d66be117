"""The product in a simulated world: bots and workers that run its code, are killed, and are started again."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from unittest import mock

from aiogram import Router
from aiohttp import StreamReader, web
from aiohttp.base_protocol import BaseProtocol
from aiohttp.test_utils import make_mocked_request

import handlers
from app.bot import BotApp
from scheduler import scheduler
from services.catalogue import SHIPPED, Catalogue, load_catalogue
from services.common.i18n import Texts
from services.job_context import JobContext
from services.media.store import open_assets
from services.messaging import notifier, progress
from services.messaging.pace import Pace
from services.messaging.telegram import make_bot
from services.ops.disk import Room, measure
from services.providers import open_providers
from services.queue import FUNCTIONS, TIMEOUTS, load_function
from services.rate_limiter import RateLimiter
from services.settings import Settings, load_settings
from tests.faults.override import override
from tests.faults.sim.database import SimDatabase
from tests.faults.sim.loop import SimLoop
from tests.faults.sim.providers import SimGemini, SimKling, connect
from tests.faults.sim.redis import SimQueue, SimRedis
from tests.faults.sim.telegram import SimTelegram
from tests.faults.sim.world import ADMIN, SimProcess, World, current
from tests.faults.sim.yookassa import SHOP, SimYooKassa
from tests.support.empty_database import lay_out
from workers.runtime import install

TOKEN = "900:token-of-a-simulated-bot"
STARS = "stars = [{ kopecks = 10000, price = 90 }, { kopecks = 50000, price = 440 }]"


# --- what all processes share -----------------------------------------------------------------------


@cache
def catalogue(folder: Path) -> Catalogue:
    """The shipped one, and packs in Stars."""
    path = folder / "catalogue.toml"
    text = SHIPPED.read_text(encoding="utf-8")
    path.write_text(re.sub(r"^# stars = .*$", STARS, text, flags=re.MULTILINE), encoding="utf-8")
    return load_catalogue(path)


@cache
def _texts() -> Texts:
    return Texts()


INTERVALS = (
    (notifier, "POLL_SECONDS"),
    (scheduler, "TICK_SECONDS"),
    (progress, "ROUND_SECONDS"),
    (scheduler, "LEASE_MS"),
)


def slow_down_loops(factor: float) -> None:
    """Loops that ask the database several times a second ask rarely: hours must pass in a moment."""
    override(notifier, "POLL_SECONDS", 2 * factor)
    override(scheduler, "TICK_SECONDS", 3 * factor)
    override(progress, "ROUND_SECONDS", 7 * factor)
    override(scheduler, "LEASE_MS", int(10_000 * factor))


@contextlib.contextmanager
def intervals_restored() -> Iterator[None]:
    """What runs in this process after the world finds the loops' intervals as they were."""
    before = [getattr(module, name) for module, name in INTERVALS]
    try:
        yield
    finally:
        for (module, name), value in zip(INTERVALS, before, strict=True):
            override(module, name, value)


# --- a bot ------------------------------------------------------------------------------------------


_spare_routers: list[list[Router]] = []
_new_routers = handlers._routers


def _used_routers(admin_ids: frozenset[int]) -> list[Router]:
    """Those of a bot that was killed, if there are any: copying them is half of what a bot's start takes."""
    routers = _spare_routers.pop() if _spare_routers else _new_routers(admin_ids)
    for router in routers:
        router._parent_router = None
    return routers


def _on_large_disk(path: Path) -> Room:
    """How full this machine's disk is plays no part in a world; the database's own files are real."""
    return replace(measure(path), free=1, used=0)


class SimBot(BotApp):
    """A bot process. Everything but its connections to the outside is the product's."""

    def __init__(
        self, settings: Settings, stack: contextlib.AsyncExitStack, deployment: Deployment, process: SimProcess
    ) -> None:
        self.settings = settings
        self._stack = stack
        self._deployment = deployment
        self._process = process
        self.stop = asyncio.Event()
        self.ctx = deployment.job_context(process)
        self.db = self.ctx.db
        session = deployment.telegram.session()
        self.bot = make_bot(settings, pace=Pace(per_second=200, chat_per_second=20, chat_burst=50), session=session)
        self.queue = SimQueue(deployment.redis)
        self.texts = deployment.texts
        self.limiter = RateLimiter(settings.rate_limit_per_minute)
        self.gateway = deployment.yookassa.gateway()

    async def open(self) -> None:
        """Backups and audits, which use processes and threads of their own, are tried elsewhere."""
        with mock.patch.object(handlers, "_routers", _used_routers):
            await super().open()
        self._deployment.routers[self._process] = self.updates._dispatcher.sub_routers
        self.disk._measure = _on_large_disk
        tasks = self.scheduler.tasks
        tasks[:] = [periodic for periodic in tasks if periodic.name not in ("backups", "audit")]

    @contextlib.asynccontextmanager
    async def serving(self, app: web.Application) -> AsyncIterator[None]:
        """No socket: notifications are handed to the routes directly."""
        app.freeze()
        self._deployment.web_apps[self._process] = app
        try:
            yield
        finally:
            self._deployment.web_apps.pop(self._process, None)


# --- all processes ----------------------------------------------------------------------------------


class Deployment:
    """All processes of one world, and the outside systems that they talk to."""

    def __init__(self, world: World, templates: Path) -> None:
        slow_down_loops(2.0)
        self.world = world
        self.templates = templates
        self.path = world.folder / "bot.db"
        lay_out(self.path)
        self.telegram = SimTelegram(world)
        self.yookassa = SimYooKassa(world)
        self.gemini = SimGemini(world)
        self.kling = SimKling(world)
        self.redis = SimRedis(world)
        self.texts = _texts()
        self.web_apps: dict[SimProcess, web.Application] = {}
        self.routers: dict[SimProcess, list[Router]] = {}
        self.running: dict[str, tuple[SimProcess, asyncio.Task[None], asyncio.Event]] = {}
        self._databases: dict[SimProcess, SimDatabase] = {}
        self.settings = load_settings(
            None,
            {
                "BOT_TOKEN": TOKEN,
                "ADMIN_IDS": str(ADMIN),
                "DATABASE_URL": f"sqlite:///{self.path}",
                "YOOKASSA_SHOP_ID": SHOP,
                "YOOKASSA_SECRET_KEY": "test_key-of-a-test-shop",
                "YOOKASSA_WEBHOOK_CIDRS": "10.0.0.0/8",
                "GEMINI_API_KEY": "gemini-key",
                "KLING_API_KEY": "kling-key",
                "ASSETS_URL": str(world.folder / "assets"),
                "RATE_LIMIT_PER_MINUTE": "60",
            },
        )

    def job_context(self, process: SimProcess) -> JobContext:
        """What a process has open, every connection to the outside simulated."""
        settings = self.settings
        db = self._databases[process] = SimDatabase(self.world, process, self.path)
        providers = open_providers(gemini_api_key="gemini-key", kling_api_key="kling-key", kling_batch=5)
        connect(providers, self.world, self.gemini, self.kling)
        return JobContext(settings, db, providers, open_assets(settings.assets_url), catalogue(self.templates))

    # --- start and end ------------------------------------------------------------------------------

    def start(self, name: str) -> None:
        """A new process of that name, unless one runs; a "bot…" or a "worker…"."""
        if name in self.running:
            return
        process, stop = SimProcess(name), asyncio.Event()
        if self.world.fails(0.2):
            process.skew = self.world.chance.choice((-3.0, 2.0, 40.0))
        token = current.set(process)
        try:
            work = self._bot(process, stop) if name.startswith("bot") else self._worker(process, stop)
            task = asyncio.create_task(work, name=name)
        finally:
            current.reset(token)
        self.running[name] = (process, task, stop)

    async def kill(self, name: str) -> None:
        """SIGKILL: from this moment on nothing that the process does has an effect."""
        process, _, _ = self.running.pop(name)
        self.world.note(f"kill {name}")
        process.killed = True
        await self._end_tasks(process)

    async def deploy(self, name: str) -> None:
        """SIGTERM, and SIGKILL for what has not ended in half a minute; then the new version."""
        process, task, stop = self.running[name]
        self.world.note(f"deploy {name}")
        stop.set()
        await asyncio.wait([task], timeout=self.world.chance.choice((1.0, 35.0)))
        if self.running.pop(name, None):
            process.killed = True
            await self._end_tasks(process)
        self.start(name)

    async def _end_tasks(self, process: SimProcess) -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, SimLoop)
        while tasks := loop.tasks_of(process):
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks, timeout=1.0)
        self._release(process)

    def _release(self, process: SimProcess) -> None:
        self.web_apps.pop(process, None)
        if routers := self.routers.pop(process, None):
            _spare_routers.append(routers)
        if (db := self._databases.pop(process, None)) is not None:
            db.close_file()

    def supervise(self) -> None:
        """Start again what has ended by itself."""
        for name, (process, task, _) in list(self.running.items()):
            if task.done():
                del self.running[name]
                process.killed = True
                self._release(process)
                self.start(name)

    async def close(self) -> None:
        for name in list(self.running):
            await self.kill(name)

    # --- what runs ----------------------------------------------------------------------------------

    async def _bot(self, process: SimProcess, stop: asyncio.Event) -> None:
        try:
            async with contextlib.AsyncExitStack() as stack:
                bot = SimBot(self.settings, stack, self, process)
                bot.stop = stop
                stack.push_async_callback(bot.db.close)
                await bot.open()
                await bot.run()
        except (Exception, SystemExit) as error:
            self._crashed(process, error)

    async def _worker(self, process: SimProcess, stop: asyncio.Event) -> None:
        """One step at a time, as a worker process does."""
        ctx = self.job_context(process)
        install(ctx)
        try:
            while not stop.is_set():
                await self.world.step("worker")
                step = self.redis.pop()
                if step is None:
                    await asyncio.sleep(3.0)
                    continue
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(TIMEOUTS[step.name]):
                        await load_function(FUNCTIONS[step.name])(step.job_id)
        except Exception as error:
            self._crashed(process, error)

    def _crashed(self, process: SimProcess, error: BaseException) -> None:
        """A process may crash when a fault happens during its start; whoever supervises it starts it again."""
        self.world.note(f"{process.name} crashed: {type(error).__name__}")

    # --- HTTP ---------------------------------------------------------------------------------------

    async def post(self, path: str, body: bytes, *, sender: str = "10.1.1.1") -> int:
        """A request from the internet to whichever bot answers; its status, 0 when none does."""
        web_apps = [(process, app) for process, app in self.web_apps.items() if not process.killed]
        if not web_apps:
            return 0
        process, app = self.world.chance.choice(web_apps)
        token = current.set(process)
        try:
            asking = asyncio.create_task(_request(app, path, body, sender))
        finally:
            current.reset(token)
        done, _ = await asyncio.wait([asking], timeout=10)
        return asking.result() if done and not asking.cancelled() else 0


async def _request(app: web.Application, path: str, body: bytes, sender: str) -> int:
    loop = asyncio.get_running_loop()
    stream = StreamReader(BaseProtocol(loop), 2**16, loop=loop)
    stream.feed_data(body)
    stream.feed_eof()
    transport = mock.Mock()
    transport.get_extra_info = lambda name, default=None: (sender, 443)
    request = make_mocked_request("POST", path, payload=stream, app=app, transport=transport)
    try:
        return (await app._handle(request)).status
    except web.HTTPException as refused:
        return refused.status
