"""Worker processes, real ones: what they run, what they refuse, and how they live through kills and outages."""

from __future__ import annotations

import asyncio
import os
import pickle
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from rq import Queue as RqQueue
from rq.job import Job

from services.catalogue import SHIPPED
from services.queue import FUNCTIONS, Queue, Step
from tests.support.redis_fixture import RedisServer, mortal_redis, redis_process, redis_server
from workers.guard import GuardedJob, PlainSerializer

__all__ = ["mortal_redis", "redis_process", "redis_server"]  # fixtures, used by their names

ROOT = Path(__file__).resolve().parents[2]

# Steps that leave a file for each run, in the place of the real ones; everything else of `workers` is the real thing.
STEP_MODULE = """
import asyncio, os
from pathlib import Path
RUNS = Path(__file__).resolve().parent.parent / "runs"

def note(name, job_id):
    with open(RUNS / f"{name}-{job_id}", "ab") as file:
        file.write(b"%d\\n" % os.getpid())

async def run(job_id):
    note("image", job_id)

async def submit(job_id):
    note("started", job_id)
    while not (RUNS / "release").exists():
        await asyncio.sleep(0.02)
    note("submit", job_id)

async def finish(job_id):
    note("finish", job_id)
    raise RuntimeError("a broken step")
"""


class Site:
    """A folder with stand-in steps, and the worker processes started in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.runs = folder / "runs"
        self.runs.mkdir()
        package = folder / "workers"
        package.mkdir()
        (package / "__init__.py").write_text("__path__ = __import__('pkgutil').extend_path(__path__, __name__)\n")
        for module in ("image_worker", "video_worker"):
            (package / f"{module}.py").write_text(STEP_MODULE)
        self.processes: list[subprocess.Popen[str]] = []

    def start(self, *command: str, redis_url: str | None = None, **environ: str) -> subprocess.Popen[str]:
        # Nothing of the developer's own environment, but what a coverage run hands down to be measured.
        known = {name: value for name, value in os.environ.items() if name == "PATH" or name.startswith("COVERAGE_")}
        known |= {"PYTHONPATH": f"{self.folder}:{ROOT}", "BOT_TOKEN": "1:hunter2-token"}
        if redis_url:
            known["REDIS_URL"] = redis_url
        with open(self.folder / "log", "ab") as log:
            process = subprocess.Popen(
                command, cwd=self.folder, env=known | environ, stdout=log, stderr=log, text=True, start_new_session=True
            )
        self.processes.append(process)
        return process

    def workers(self, redis_url: str, *arguments: str) -> subprocess.Popen[str]:
        return self.start(sys.executable, "-m", "workers", *arguments, redis_url=redis_url)

    @property
    def log(self) -> str:
        return (self.folder / "log").read_text()

    def ran(self, name: str) -> list[int]:
        """The process ids that ran the step `name`, such as "image-job1"."""
        path = self.runs / name
        return [int(line) for line in path.read_text().split()] if path.exists() else []

    def stop(self) -> None:
        for process in self.processes:
            try:
                os.killpg(process.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
            process.wait()


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    site = Site(tmp_path)
    yield site
    (site.runs / "release").touch()
    site.stop()


def until(holds: Callable[[], Any], seconds: float = 40) -> None:
    """Wait until `holds` is true."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.03)


def send(server: RedisServer, *steps: Step) -> None:
    """Enqueue steps as the bot does."""

    async def submit() -> None:
        queue = Queue(server.url)
        for step in steps:
            assert await queue.submit(step) == "redis"
        await queue.close()

    asyncio.run(submit())


def step(number: int, name: Any = "image") -> Step:
    return Step(name, f"job{number}", f"job{number}-{name}-1")


# --- reading ---------------------------------------------------------------------------------------


class _Evil:
    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, ("touch hacked",)


@pytest.mark.parametrize("value", [_Evil(), os.system, Path("x"), Step("image", "j", "m"), ValueError("x")])
def test_reading_refuses_everything_that_is_no_plain_value(value: object) -> None:
    """A pickle that names any class or function, even a harmless one of ours, is not read."""
    with pytest.raises(pickle.UnpicklingError, match="plain values only"):
        PlainSerializer.loads(pickle.dumps(value))


def test_reading_takes_what_we_send() -> None:
    """RQ's tuple of a message, written by RQ's own serializer, is read back."""
    message: tuple[object, ...] = ("workers.image_worker.run", None, ("job1",), {})
    assert PlainSerializer.loads(pickle.dumps(message, protocol=pickle.HIGHEST_PROTOCOL)) == message
    assert pickle.loads(PlainSerializer.dumps(message)) == message


def test_a_message_keeps_nothing_that_runs_besides(redis_server: RedisServer) -> None:
    """Callbacks, webhooks, retries and repeats of a message are dropped when it is read."""
    with redis_server.client() as client:
        job = Job.create(FUNCTIONS["image"], args=("job1",), connection=client, id="m")
        job.save()
        hostile = {
            "success_callback_name": "os.system",
            "failure_callback_name": "os.system",
            "retries_left": 5,
            "stopped_callback_name": "os.system",
            "repeats_left": 5,
            "webhooks": '[{"url": "http://127.0.0.1:1/", "job_status": "finished", "method": "GET", "timeout": 1}]',
        }
        client.hset("rq:job:m", mapping=hostile)
        stock: object = Job.fetch("m", connection=client).success_callback
        assert stock is os.system, "a standard worker would call it"
        read = GuardedJob.fetch("m", connection=client, serializer=PlainSerializer)
        assert (read.success_callback, read.failure_callback, read.stopped_callback) == (None, None, None)
        assert read.webhooks == []
        assert (read.retries_left, read.repeats_left) == (None, None)


# --- running ---------------------------------------------------------------------------------------


def test_a_stock_worker_runs_our_steps(site: Site, redis_server: RedisServer) -> None:
    """`rq worker --url …`, as it comes, takes our messages from its default queue and runs each once."""
    send(redis_server, step(1), step(2), step(3, "finish"))
    worker = site.start(str(Path(sys.executable).with_name("rq")), "worker", "--burst", "--url", redis_server.url)
    assert worker.wait(60) == 0, site.log
    assert [len(site.ran(name)) for name in ("image-job1", "image-job2", "finish-job3")] == [1, 1, 1]


def test_our_workers_run_steps_and_refuse_the_rest(site: Site, redis_server: RedisServer) -> None:
    """Forged messages run nothing, whatever they name or hold, and the worker goes on with the next good one."""
    site.workers(redis_server.url, "--processes", "2")
    with redis_server.client() as client:
        queue = RqQueue(connection=client)
        hacked = site.folder / "hacked"
        forged = [
            queue.enqueue("os.system", f"touch {hacked}"),
            queue.enqueue("os.getcwd"),
            queue.enqueue("workers.image_worker.note", "image", "forged"),
            queue.enqueue("workers.image_worker.run", "forged", "more"),
            queue.enqueue("workers.image_worker.run", job_id_="forged"),
            queue.enqueue("workers.image_worker.run", ["forged"]),
            queue.enqueue("workers.image_worker.run", _Evil()),
        ]
        send(redis_server, step(1))
        until(lambda: site.ran("image-job1"))
        until(lambda: all(job.get_status() == "failed" for job in forged))
    assert not hacked.exists()
    assert not (site.folder / "hacked").exists()
    assert site.ran("image-forged") == []
    assert "message.refused" in site.log
    assert "hunter2" not in site.log


def test_jobs_run_side_by_side(site: Site, redis_server: RedisServer) -> None:
    """Each of three processes holds a job of its own at the same time."""
    site.workers(redis_server.url, "--processes", "3")
    send(redis_server, *(step(number, "submit") for number in range(3)))
    until(lambda: all(site.ran(f"started-job{number}") for number in range(3)))
    (site.runs / "release").touch()
    until(lambda: all(site.ran(f"submit-job{number}") for number in range(3)))


def test_sigterm_lets_the_job_in_hand_end(site: Site, redis_server: RedisServer) -> None:
    """On SIGTERM workers take nothing new, finish what they hold, and the status is 0."""
    supervisor = site.workers(redis_server.url, "--processes", "1")
    send(redis_server, step(1, "submit"))
    until(lambda: site.ran("started-job1"))
    supervisor.send_signal(signal.SIGTERM)
    until(lambda: "workers.stopping" in site.log)
    send(redis_server, step(2))
    (site.runs / "release").touch()
    assert supervisor.wait(30) == 0, site.log
    assert len(site.ran("submit-job1")) == 1
    assert site.ran("image-job2") == []


def test_the_grace_is_bounded(site: Site, redis_server: RedisServer) -> None:
    """A job that does not end within the grace is cut off, and the workers are gone."""
    supervisor = site.workers(redis_server.url, "--processes", "1", "--grace", "1.2")
    send(redis_server, step(1, "submit"))
    until(lambda: site.ran("started-job1"))
    (horse,) = site.ran("started-job1")
    start = time.monotonic()
    supervisor.send_signal(signal.SIGINT)
    assert supervisor.wait(30) == 0
    assert time.monotonic() - start < 10
    until(lambda: not Path(f"/proc/{horse}").exists())
    assert site.ran("submit-job1") == []


def test_a_killed_worker_is_replaced(site: Site, redis_server: RedisServer) -> None:
    """A worker process that dies by SIGKILL is started again and takes the next message."""
    supervisor = site.workers(redis_server.url, "--processes", "1")
    until(lambda: site.log.count("worker.started") == 1)
    (child,) = Path(f"/proc/{supervisor.pid}/task/{supervisor.pid}/children").read_text().split()
    os.kill(int(child), signal.SIGKILL)
    until(lambda: site.log.count("worker.started") == 2)
    send(redis_server, step(1))
    until(lambda: site.ran("image-job1"))


def test_workers_live_through_an_outage(site: Site, mortal_redis: RedisServer) -> None:
    """Workers wait for a Redis that is not there, and go on when it comes back after dying, without being told."""
    mortal_redis.kill()
    site.workers(mortal_redis.url, "--processes", "1")
    until(lambda: "worker.waits_for_redis" in site.log)
    mortal_redis.start()
    send(mortal_redis, step(1))
    until(lambda: site.ran("image-job1"))
    mortal_redis.kill()
    time.sleep(1)  # an outage has a length; nothing announces itself in it
    mortal_redis.start()
    send(mortal_redis, step(2))
    until(lambda: site.ran("image-job2"))


def test_workers_do_not_outlive_their_parent(site: Site, redis_server: RedisServer) -> None:
    """When the supervisor is killed its workers end by themselves, so that starting again does not double them."""
    supervisor = site.workers(redis_server.url, "--processes", "1")
    until(lambda: "worker.started" in site.log)
    (child,) = Path(f"/proc/{supervisor.pid}/task/{supervisor.pid}/children").read_text().split()
    supervisor.kill()
    supervisor.wait()
    until(lambda: not Path(f"/proc/{child}").exists())


@pytest.mark.parametrize(
    ("environ", "sentence"),
    [({}, "REDIS_URL is missing: "), ({"BOT_TOKEN": ""}, "BOT_TOKEN is missing: ")],
)
def test_workers_need_their_settings(environ: dict[str, str], sentence: str, site: Site) -> None:
    """Without REDIS_URL or with a faulty setting the status is 2, and one line says what to do."""
    process = site.start(sys.executable, "-m", "workers", **environ)
    assert process.wait(60) == 2
    assert site.log.startswith(sentence)
    assert site.log.count("\n") == 1


def test_workers_refuse_a_faulty_catalogue_at_start(site: Site, redis_server: RedisServer) -> None:
    """Workers that can't know what is sold take no job: every fault of the file stands on a line of its own."""
    catalogue = site.folder / "catalogue.toml"
    text = SHIPPED.read_text(encoding="utf-8").replace("price = 1200", "price = -1", 1)
    catalogue.write_text(text.replace("max_photos = 14", "max_fotos = 14", 1), encoding="utf-8")
    command = (sys.executable, "-m", "workers", "--processes", "1")
    process = site.start(*command, redis_url=redis_server.url, CATALOGUE_PATH=str(catalogue))
    assert process.wait(60) == 1
    for fault in ("images.nb21.sizes.1K.price: ", "images.nb21.max_photos: ", "images.nb21.max_fotos: "):
        assert f"catalogue.toml: {fault}" in site.log
    assert "worker.started" not in site.log


@pytest.mark.parametrize("url", ["s3://bucket/results", "a-file/results"])
def test_workers_refuse_a_folder_of_results_they_can_not_use(url: str, site: Site, redis_server: RedisServer) -> None:
    """Workers that can keep no result take no order, whose picture would be paid for and lost: one line says why."""
    (site.folder / "a-file").touch()
    url = url.replace("a-file", str(site.folder / "a-file"))
    command = (sys.executable, "-m", "workers", "--processes", "1")
    process = site.start(*command, redis_url=redis_server.url, ASSETS_URL=url)
    assert process.wait(60) == 1
    assert site.log.startswith("ASSETS_URL")
    assert site.log.count("\n") == 1


@pytest.mark.parametrize("seconds", ["-1", "nan", "inf", "1e300", "soon"])
def test_a_grace_that_is_none_is_refused(seconds: str, site: Site, redis_server: RedisServer) -> None:
    """Said at the start: at the stop, with jobs in hand, it would be too late."""
    command = (sys.executable, "-m", "workers", "--grace", seconds)
    process = site.start(*command, redis_url=redis_server.url)
    assert process.wait(60) == 2
    assert "argument --grace: give a number of seconds from 0 to 86400" in site.log
