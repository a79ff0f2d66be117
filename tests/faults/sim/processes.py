"""The shop's processes in a simulated world: bots and workers that run the product's code, die, and come again."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any, Concatenate, Literal, ParamSpec, TypeVar
from unittest import mock

from aiogram import Router
from aiohttp import StreamReader, web
from aiohttp.test_utils import make_mocked_request

import handlers
from app.bot import Shop
from database.engine import SqliteFile, Tx
from database.models import Database, DatabaseUnavailable
from scheduler import sweeper
from services.catalogue import SHIPPED, Catalogue, load_catalogue
from services.common.i18n import Texts
from services.job_context import JobContext
from services.media.store import open_assets
from services.messaging import notifier
from services.messaging import progress as live
from services.messaging.pace import Pace
from services.messaging.telegram import make_bot
from services.ops.disk import Room, measure
from services.providers import open_providers
from services.queue import FUNCTIONS, TIMEOUTS, Queue, Step, load_function
from services.rate_limiter import RateLimiter
from services.settings import Settings, load_settings
from tests.faults.sim.providers import SimGemini, SimKling, connect
from tests.faults.sim.telegram import SimTelegram
from tests.faults.sim.world import ADMIN, Machine, World, current
from tests.faults.sim.yookassa import SHOP, SimYooKassa
from tests.support.empty_database import lay_out
from workers.runtime import install

P = ParamSpec("P")
T = TypeVar("T")
TOKEN = "900:token-of-a-simulated-bot"
STARS = "stars = [{ kopecks = 10000, price = 90 }, { kopecks = 50000, price = 440 }]"


@cache
def catalogue(folder: Path) -> Catalogue:
    """What is sold everywhere, and packs in Stars."""
    path = folder / "catalogue.toml"
    text = SHIPPED.read_text(encoding="utf-8")
    path.write_text(re.sub(r"^# stars = .*$", STARS, text, flags=re.MULTILINE), encoding="utf-8")
    return load_catalogue(path)


def slow_down(factor: float) -> None:
    """Loops that ask the database several times a second ask rarely: hours must pass in a moment."""
    notifier.POLL_SECONDS, sweeper.TICK_SECONDS, live.ROUND_SECONDS = 2 * factor, 3 * factor, 7 * factor  # type: ignore[misc]
    sweeper.LEASE_MS = int(10_000 * factor)  # type: ignore[misc]


@contextlib.contextmanager
def own_pace() -> Iterator[None]:
    """Whoever runs in this process after the world finds the loops' pace as it was."""
    before = notifier.POLL_SECONDS, sweeper.TICK_SECONDS, live.ROUND_SECONDS, sweeper.LEASE_MS
    try:
        yield
    finally:
        (
            notifier.POLL_SECONDS,
            sweeper.TICK_SECONDS,
            live.ROUND_SECONDS,
            sweeper.LEASE_MS,  # type: ignore[misc]
        ) = before


def _on_a_large_disk(path: Path) -> Room:
    """How full the disk of this machine is can't matter in another world; the database's own files are real there."""
    return replace(measure(path), free=1, used=0)


class SimDatabase(Database):
    """The product's door without its thread: a transaction is as whole as ever, what surrounds it takes its time.

    The real file, schema, triggers and gate. Refusals of a busy file or a full disk come before anything is done, the
    answer may be lost afterwards.
    """

    def __init__(self, world: World, machine: Machine, path: Path) -> None:
        super().__init__(f"sqlite:///{path}")
        self._world = world
        self._machine = machine
        with_skew: Callable[[], int] = lambda: int((world.now() + machine.skew) * 1000)  # noqa: E731
        self._opened = SqliteFile.open(path, with_skew)
        self._opened.raw.execute("PRAGMA synchronous=OFF")  # power cuts are tried elsewhere, on the real door

    async def write(self, function: Callable[Concatenate[Tx, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        world, name = self._world, getattr(function, "__qualname__", "write")
        await world.seam(f"write {name}")
        if world.hits(world.chances.database):
            fault = world.chance.choice(("database is locked", "database or disk is full", "disk I/O error"))
            raise DatabaseUnavailable(fault)
        answer = self._opened.write(lambda tx: function(tx, *args, **kwargs))
        await world.seam(f"wrote {name}")
        if world.hits(world.chances.database / 2):
            raise DatabaseUnavailable("no answer in 60 s: another process may hold the file")
        return answer

    async def read(self, function: Callable[Concatenate[Tx, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        world = self._world
        self._machine.must_live()
        if world.hits(world.chances.database):
            raise DatabaseUnavailable("disk I/O error")
        answer = self._opened.read(lambda tx: function(tx, *args, **kwargs))
        await world.seam("read")
        return answer

    async def read_apart(self, function: Callable[Concatenate[Tx, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """As any other: a thread of its own would run beside the world's time."""
        return await self.read(function, *args, **kwargs)

    async def init_db(self) -> None:
        """The file was made from the template."""

    async def close(self) -> None:
        self.shut()

    def shut(self) -> None:
        """What the kernel does when the process is gone."""
        with contextlib.suppress(OSError):
            self._opened.close()


class SimRedis:
    """A list of messages that may be lost, doubled or out of reach."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.messages: list[Step] = []
        self.away = False

    def pop(self) -> Step | None:
        return self.messages.pop(0) if self.messages and not self.away else None

    def flush(self) -> None:
        self.messages.clear()


class SimQueue(Queue):
    """The product's queue with Redis replaced; what Redis refuses is run in the bot, by the product's own runner."""

    def __init__(self, redis: SimRedis) -> None:
        super().__init__(None)
        self._redis = redis

    async def submit(self, step: Step) -> Literal["redis", "local"]:
        world, redis = self._redis.world, self._redis
        await world.seam("queue")
        if redis.away or world.hits(world.chances.queue):
            return await super().submit(step)
        if not world.hits(world.chances.queue):  # else it is lost without a word
            redis.messages.append(step)
        if world.hits(world.chances.queue):
            redis.messages.append(step)
        return "redis"

    async def waiting(self) -> set[str] | None:
        if self._redis.away:
            return None
        return (await super().waiting() or set()) | {step.message_id for step in self._redis.messages}

    async def healthy(self) -> bool:
        return not self._redis.away


_spare: list[list[Router]] = []
_new_routers = handlers._routers


def _used_routers(admin_ids: frozenset[int]) -> list[Router]:
    """Those of a bot that has died, if there are any: copying them is half of what a bot's start takes."""
    routers = _spare.pop() if _spare else _new_routers(admin_ids)
    for router in routers:
        router._parent_router = None
    return routers


class SimShop(Shop):
    """A bot process. Everything but its way to the outside is the product's."""

    def __init__(
        self, settings: Settings, stack: contextlib.AsyncExitStack, company: Company, machine: Machine
    ) -> None:
        self.settings = settings
        self._stack = stack
        self._company = company
        self._machine = machine
        self.stop = asyncio.Event()
        self.runtime = company.runtime(machine)
        self.db = self.runtime.db
        session = company.telegram.line()
        self.bot = make_bot(settings, pace=Pace(per_second=200, chat_per_second=20, chat_burst=50), session=session)
        self.queue = SimQueue(company.redis)
        self.texts = company.texts
        self.limiter = RateLimiter(settings.rate_limit_per_minute)
        self.gateway = company.yookassa.gateway()

    async def open(self) -> None:
        """What copies and proves the file in processes and threads of its own is tried elsewhere."""
        with mock.patch.object(handlers, "_routers", _used_routers):
            await super().open()
        self._company.routers[self._machine] = self.updates._dispatcher.sub_routers
        self.disk._measure = _on_a_large_disk
        tasks = self.sweeper._tasks
        tasks[:] = [periodic for periodic in tasks if periodic.name not in ("backups", "audit")]

    @contextlib.asynccontextmanager
    async def serving(self, app: web.Application) -> AsyncIterator[None]:
        """No socket: notifications are handed to the routes directly."""
        app.freeze()
        self._company.doors[self._machine] = app
        try:
            yield
        finally:
            self._company.doors.pop(self._machine, None)


class Company:
    """All processes of one world, and the outside systems they talk to."""

    def __init__(self, world: World, templates: Path) -> None:
        slow_down(2.0)
        self.world = world
        self.templates = templates
        self.path = path = world.folder / "bot.db"
        lay_out(path)
        self.telegram = SimTelegram(world)
        self.yookassa = SimYooKassa(world)
        self.gemini = SimGemini(world)
        self.kling = SimKling(world)
        self.redis = SimRedis(world)
        self.texts = _texts()
        self.doors: dict[Machine, web.Application] = {}
        self.routers: dict[Machine, list[Router]] = {}
        self.alive: dict[str, tuple[Machine, asyncio.Task[None], asyncio.Event]] = {}
        self.crashed: list[str] = []
        self._databases: dict[Machine, SimDatabase] = {}
        self.settings = load_settings(
            None,
            {
                "BOT_TOKEN": TOKEN,
                "ADMIN_IDS": str(ADMIN),
                "DATABASE_URL": f"sqlite:///{path}",
                "YOOKASSA_SHOP_ID": SHOP,
                "YOOKASSA_SECRET_KEY": "test_key-of-a-test-shop",
                "YOOKASSA_WEBHOOK_CIDRS": "10.0.0.0/8",
                "GEMINI_API_KEY": "gemini-key",
                "KLING_API_KEY": "kling-key",
                "ASSETS_URL": str(world.folder / "assets"),
                "RATE_LIMIT_PER_MINUTE": "60",
            },
        )

    def runtime(self, machine: Machine) -> JobContext:
        """What a process has open, every way out of it simulated."""
        settings = self.settings
        db = self._databases[machine] = SimDatabase(self.world, machine, self.path)
        providers = open_providers(gemini_api_key="gemini-key", kling_api_key="kling-key", kling_batch=5)
        connect(providers, self.world, self.gemini, self.kling)
        return JobContext(settings, db, providers, open_assets(settings.assets_url), catalogue(self.templates))

    # --- processes ------------------------------------------------------------------------------------

    def start(self, name: str) -> None:
        """A new process of that name; a "bot…" or a "worker…"."""
        if name in self.alive:
            return
        machine, stop = Machine(name), asyncio.Event()
        if self.world.hits(0.2):
            machine.skew = self.world.chance.choice((-3.0, 2.0, 40.0))
        token = current.set(machine)
        try:
            work = self._bot(machine, stop) if name.startswith("bot") else self._worker(machine, stop)
            task = asyncio.create_task(work, name=name)
        finally:
            current.reset(token)
        self.alive[name] = (machine, task, stop)

    async def kill(self, name: str) -> None:
        """SIGKILL: from this moment on nothing that the process does reaches anybody."""
        machine, _, _ = self.alive.pop(name)
        self.world.note(f"kill {name}")
        machine.dead = True
        await self._bury(machine)

    async def deploy(self, name: str) -> None:
        """SIGTERM, and SIGKILL for what is not done in half a minute; then the new version."""
        machine, task, stop = self.alive[name]
        self.world.note(f"deploy {name}")
        stop.set()
        await asyncio.wait([task], timeout=self.world.chance.choice((1.0, 35.0)))
        if self.alive.pop(name, None):
            machine.dead = True
            await self._bury(machine)
        self.start(name)

    async def _bury(self, machine: Machine) -> None:
        loop = asyncio.get_running_loop()
        while tasks := loop.tasks_of(machine):  # type: ignore[attr-defined]
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks, timeout=1.0)
        self._forget(machine)

    def _forget(self, machine: Machine) -> None:
        self.doors.pop(machine, None)
        if routers := self.routers.pop(machine, None):
            _spare.append(routers)
        if (db := self._databases.pop(machine, None)) is not None:
            db.shut()

    async def close(self) -> None:
        for name in list(self.alive):
            await self.kill(name)

    async def _bot(self, machine: Machine, stop: asyncio.Event) -> None:
        try:
            async with contextlib.AsyncExitStack() as stack:
                shop = SimShop(self.settings, stack, self, machine)
                shop.stop = stop
                stack.push_async_callback(shop.db.close)
                await shop.open()
                await shop.run()
        except (Exception, SystemExit) as error:
            self._fell(machine, error)

    def _fell(self, machine: Machine, error: BaseException) -> None:
        """A process may fall over when the storm hits its start; whoever supervises it starts it anew."""
        self.world.note(f"{machine.name} fell: {type(error).__name__}")
        self.crashed.append(f"{machine.name}: {error!r}")

    async def _worker(self, machine: Machine, stop: asyncio.Event) -> None:
        """One step at a time, as a worker process does; a step of its own process each, so a kill takes one."""
        ctx = self.runtime(machine)
        install(ctx)
        try:
            while not stop.is_set():
                await self.world.seam("worker")
                step = self.redis.pop()
                if step is None:
                    await asyncio.sleep(3.0)
                    continue
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(TIMEOUTS[step.name]):
                        await load_function(FUNCTIONS[step.name])(step.job_id)
        except Exception as error:
            self._fell(machine, error)

    def supervise(self) -> None:
        """Start anew what has ended by itself."""
        for name, (machine, task, _) in list(self.alive.items()):
            if task.done():
                del self.alive[name]
                machine.dead = True
                self._forget(machine)
                self.start(name)

    # --- the HTTP edge --------------------------------------------------------------------------------

    async def post(self, path: str, body: bytes, *, sender: str = "10.1.1.1", headers: Any = None) -> int:
        """A notification from the internet to whichever bot answers; 0 when none does."""
        doors = [(machine, app) for machine, app in self.doors.items() if not machine.dead]
        if not doors:
            return 0
        machine, app = self.world.chance.choice(doors)
        token = current.set(machine)
        try:
            asking = asyncio.create_task(_ask(app, path, body, sender, headers or {}))
        finally:
            current.reset(token)
        done, _ = await asyncio.wait([asking], timeout=10)
        return asking.result() if done and not asking.cancelled() else 0


async def _ask(app: web.Application, path: str, body: bytes, sender: str, headers: dict[str, str]) -> int:
    stream = StreamReader(_NoProtocol(), 2**16, loop=asyncio.get_running_loop())  # type: ignore[arg-type]
    stream.feed_data(body)
    stream.feed_eof()
    request = make_mocked_request("POST", path, headers=headers, payload=stream, app=app)
    request.transport.get_extra_info = lambda name, default=None: (sender, 443)  # type: ignore[union-attr,method-assign]
    try:
        return (await app._handle(request)).status
    except web.HTTPException as refused:
        return refused.status


class _NoProtocol:
    """A stream's other end, which never has to wait."""

    _reading_paused = False

    def pause_reading(self, **_: Any) -> None: ...
    def resume_reading(self, **_: Any) -> None: ...


@cache
def _texts() -> Texts:
    return Texts()
