"""Runs scenarios: starts the product, kills it, waits until nothing is under way, stops it, and checks the end."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import signal
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from unittest import mock

import aiohttp

from database.models import Database
from sandbox.app import serve
from sandbox.kling import files
from sandbox.kling.tasks import Task
from sandbox.world import World
from tests.faults.end_state import check
from tests.faults.instrument import KillPoint
from tests.faults.processes import PATIENCE, ForkServer, Violation, until
from tests.faults.scenario import GIFT, Outcome, Scenario
from tests.faults.scenario_env import SPEED, ScenarioEnv
from tests.support.bot_env import ANYA
from tests.support.job_env import impatient_catalogue
from tests.support.redis_fixture import RedisServer
from tests.support.sandbox_fixture import Sandbox

SETTINGS = {"gemini": {"pixel_scale": 0.1, "delay_scale": 0.01}, "kling": {"delay_scale": 0.01}}
LAST_LINES = 25  # of trace and log, beside a violation


class Harness:
    """What all scenarios of one test process share: the fork server, a fresh database to copy, a queue server."""

    def __init__(self, fork_server: ForkServer, folder: Path) -> None:
        self.fork_server = fork_server
        self.folder = folder
        self.template = folder / "template.db"
        self._redis: RedisServer | None = None
        self._runs = 0

    @classmethod
    @contextlib.asynccontextmanager
    async def open(cls) -> AsyncIterator[Harness]:
        folder = Path(tempfile.mkdtemp(prefix="faults-"))
        harness = cls(await ForkServer.start(), folder)
        try:
            await harness._make_template()
            impatient_catalogue(folder)
            with mock.patch.object(files, "make", _one_film_each(files.make)):
                yield harness
        finally:
            await harness.fork_server.close()
            if harness._redis is not None:
                harness._redis.remove()
            shutil.rmtree(folder, ignore_errors=True)

    async def _make_template(self) -> None:
        db = Database(f"sqlite:///{self.template}")
        await db.init_db()
        await db.add_balance(ANYA, GIFT, key="gift", reason="topup")
        await db.close()

    def redis(self) -> RedisServer:
        """The queue server, empty."""
        if self._redis is None:
            self._redis = RedisServer()
            self._redis.start()
        self._redis.flush()
        return self._redis

    async def run(
        self,
        scenario: Scenario,
        kill_point: KillPoint | None = None,
        *,
        patch: str = "",
        pauses: Callable[[], float] | None = None,
    ) -> Outcome:
        """Run the scenario once. What it breaks is in the outcome, with the end of trace and log."""
        began, outcome, folder = time.monotonic(), Outcome(scenario.name, kill_point), self._new_folder()
        world = World(speed=SPEED, seed=1, settings=SETTINGS)
        runner, url = await serve(world)
        try:
            async with aiohttp.ClientSession() as http:
                env = self._env(scenario, Sandbox(world, url, http), folder)
                env.kill_point, env.pauses, env.patch = kill_point, pauses, patch or scenario.patch
                try:
                    await _run(env, scenario)
                    check(env, scenario)
                except (AssertionError, TimeoutError) as error:
                    outcome.violation = f"{type(error).__name__}: {error}\n{_last_lines(env)}"
                outcome.passed, outcome.kills = env.passed, env.kills
        finally:
            await runner.cleanup()
            shutil.rmtree(folder, ignore_errors=True)
        outcome.seconds = time.monotonic() - began
        return outcome

    def _new_folder(self) -> Path:
        self._runs += 1
        folder = self.folder / f"run-{self._runs}"
        folder.mkdir()
        return folder

    def _env(self, scenario: Scenario, sandbox: Sandbox, folder: Path) -> ScenarioEnv:
        shutil.copy(self.folder / "catalogue.toml", folder)
        sandbox.world.faces["telegram"].pace.enabled = False
        settings = dict(scenario.settings)
        if scenario.redis or scenario.worker:
            settings["REDIS_URL"] = self.redis().url
        env = ScenarioEnv(self.fork_server, sandbox, folder, settings, program=scenario.program)
        env.with_worker = scenario.worker
        env.flush_redis = self.redis
        if scenario.program == "bot":
            shutil.copy(self.template, env.path)
        if scenario.prepare is not None:
            scenario.prepare(env)
        return env


# --- one run ----------------------------------------------------------------------------------------


async def _run(env: ScenarioEnv, scenario: Scenario) -> None:
    """Act, wait until nothing is under way, stop in order. The first error of any part ends it."""
    try:
        async with asyncio.timeout(PATIENCE):
            await env.start()
            async with asyncio.TaskGroup() as group:
                beside = [env.keep_running(), env.keep_worker_running(), env.move_clock()]
                if env.pauses is not None:
                    beside.append(env.kill_from_outside())
                tasks = [group.create_task(work) for work in beside]
                await group.create_task(_act(env, scenario))
                for task in tasks:
                    task.cancel()
            if scenario.program == "bot":
                await _stop(env)
    except* (AssertionError, TimeoutError) as group:
        error = _first(group)
        if isinstance(error, TimeoutError):
            raise Violation(f"not over after {PATIENCE:g} s; open: {env.open_rows()}") from None
        raise error from None
    finally:
        env.disconnect()
        await env.kill_all()


async def _act(env: ScenarioEnv, scenario: Scenario) -> None:
    await scenario.act(env)
    if scenario.program == "bot":
        await until(env.is_quiet)


async def _stop(env: ScenarioEnv) -> None:
    """Stop in order. After a kill in the last moment, or during the stop itself, another process is started first."""
    await env.restart_done()
    status = await _stop_when_quiet(env)
    if status == -signal.SIGKILL:
        await env.restart()
        status = await _stop_when_quiet(env)
    if status != 0:
        raise Violation(f"the orderly stop ended with status {status}")


async def _stop_when_quiet(env: ScenarioEnv) -> int:
    moving = asyncio.create_task(env.move_clock())
    try:
        await until(lambda: env.is_quiet() or env.process is None or not env.process.runs)
    finally:
        moving.cancel()
    return await env.stop()


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def _last_lines(env: ScenarioEnv) -> str:
    try:
        trace = env.trace.read_text().splitlines()[-LAST_LINES:]
        log = (env.folder / "log").read_text(errors="replace").splitlines()[-LAST_LINES:]
    except FileNotFoundError:
        return "(no log)"
    return "\n".join(["--- passed last:", *trace, "--- logged last:", *(line[:600] for line in log)])


def _one_film_each(make: Callable[[Task, str, bool], bytes]) -> Callable[[Task, str, bool], bytes]:
    """Simulated videos of one length are one film: their content plays no part here, and making one is slow."""
    made: dict[tuple[str, int], bytes] = {}

    def once(task: Task, kind: str, real: bool) -> bytes:
        key = (kind, task.order.seconds)
        if key not in made:
            made[key] = make(task, kind, real)
        return made[key]

    return once
