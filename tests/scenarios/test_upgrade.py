"""An upgrade from version 2.0.0 in the middle of business: its database and its queue are worked on without a step.

What version 2.0.0 left is in tests/support/version_2_0_0: a dump of its database and of the messages in its Redis,
taken when its processes were killed. Only what the outside world must know as well is set anew: times, the task at
Kling and the payment at YooKassa.
"""

from __future__ import annotations

import base64
import json
import re
import time
from pathlib import Path
from typing import Any

from pysqlite3 import dbapi2 as sqlite
from sqlalchemy import text

from database import drafts as draft_rows
from database import payments as payment_rows
from database.models import Job, JobStatus, JobStep, PaymentStatus, Tx
from services.catalogue import shipped_catalogue
from services.payments.yookassa.client import YooKassaGateway
from services.providers.kling import Kling
from tests.support.bot_env import ANYA, BOB, BOT_ID, Person
from tests.support.job_env import until
from tests.support.process_env import ProcessEnv
from tests.support.redis_fixture import RedisServer

LEFT = Path(__file__).resolve().parents[1] / "support" / "version_2_0_0"
QUEUE: dict[str, Any] = json.loads((LEFT / "queue.json").read_text("utf-8"))
STAMP = re.compile(r"\b179\d{10}\b")  # UTC milliseconds of November 2026 and of some months after it
SEALED = re.compile(r'INSERT INTO "(?:ledger|seals)"')
UNPAID = "1001-28-30000"
ASKED = "gmvlw95mrgdpnvg3"


def restore_database(path: Path) -> None:
    """The dump as a file, its times moved to now; entries of the ledger keep theirs."""
    later = time.time_ns() // 1_000_000 - QUEUE["made_at_ms"]
    lines = (LEFT / "bot.sql").read_text("utf-8").splitlines(keepends=True)
    moved = (
        line if SEALED.match(line) else STAMP.sub(lambda stamp: str(int(stamp.group()) + later), line) for line in lines
    )
    with sqlite.connect(str(path)) as file:
        file.executescript("".join(moved))
    file.close()


def restore_queue(server: RedisServer) -> None:
    """The messages as version 2.0.0 wrote them."""
    with server.client() as client:
        for name, value in QUEUE["queue"].items():
            if "hash" in value:
                client.hset(name, mapping={key: base64.b64decode(part) for key, part in value["hash"].items()})
                client.expire(name, 3600)
            elif "list" in value:
                client.rpush(name, *value["list"])
            else:
                client.sadd(name, *value["set"])


def restore_photos(folder: Path) -> None:
    for name, content in QUEUE["photos"].items():
        path = folder / name
        path.parent.mkdir(parents=True)
        path.write_bytes(base64.b64decode(content))


async def make_known_outside(process_env: ProcessEnv, video: Job) -> None:
    """The simulators know what Kling and YooKassa knew, and the payment is paid while no bot runs."""
    settings = process_env.sandbox.settings(process_env.folder)
    kling = Kling(api_key="sandbox-kling-key", base_url=settings.kling_base_url)
    model = shipped_catalogue().video(video.model)
    request = model.request(
        video.prompt, duration=5, resolution="720p", external_id=video.external_key or "", ratio="9:16", audio=False
    )
    task = await kling.submit(request)
    await kling.close()
    unpaid = await process_env.db.read(payment_rows.get, UNPAID)
    assert unpaid is not None
    gateway = YooKassaGateway("100500", "test_sandbox_key", settings.yookassa_api_url, timeout=(10, 6))
    body = json.loads(unpaid.request_body or "")
    payment = await gateway.create_payment(body, idempotency_key=unpaid.idempotency_key or "")
    await gateway.close()

    def change(tx: Tx) -> None:
        ids = {"task": task.id, "job": video.id, "theirs": payment.id, "ours": UNPAID}
        tx.execute(text("UPDATE jobs SET external_id = :task WHERE id = :job"), ids)
        tx.execute(text("UPDATE payments SET provider_payment_id = :theirs WHERE id = :ours"), ids)

    await process_env.db.write(change)
    url = f"{process_env.sandbox.url}/_control/yookassa/payments/{payment.id}/pay"
    async with process_env.sandbox.http.post(url, json={}) as answer:
        assert answer.status == 200


async def test_what_version_2_0_0_left_is_finished(process_env: ProcessEnv, redis_server: RedisServer) -> None:
    """Queued steps run, the video in flight is fetched, the payment is credited, old buttons and questions work."""
    restore_database(process_env.folder / "bot.db")
    restore_queue(redis_server)
    restore_photos(process_env.folder / "assets")
    before = {job.id: job for user in (ANYA, BOB) for job in await process_env.jobs(user)}
    (in_flight,) = [job for job in before.values() if job.step is JobStep.WATCH]
    await make_known_outside(process_env, in_flight)
    telegram = process_env.sandbox.world.faces["telegram"]
    telegram.bot(BOT_ID).updates._next_id = 172_137_000  # Telegram goes on counting; what was handled is never repeated
    telegram.people[BOB].language_code = "ru"

    await process_env.bot(REDIS_URL=redis_server.url)
    process_env.own_worker(redis_server.url)
    anya, bob = Person(ANYA, process_env.sandbox), Person(BOB, process_env.sandbox)
    done = [*await process_env.all_final(ANYA, 3), *await process_env.all_final(BOB, 2)]
    assert [job.status for job in done] == [JobStatus.COMPLETED] * 5
    with redis_server.client() as client:
        messages = [name for name in QUEUE["queue"] if name.startswith("rq:job:")]
        assert {client.hget(name, "status") for name in messages} == {b"finished"}  # these ran, not only later ones
    await anya.gets("document", count=1)
    await anya.gets("video", count=1)
    await bob.gets("document", count=1)
    await bob.gets("video", count=1)

    async def credited() -> bool:
        payment = await process_env.db.read(payment_rows.get, UNPAID)
        return payment is not None and payment.status is PaymentStatus.PAID

    await until(credited, seconds=60, what="the payment begun under version 2.0.0 is credited")
    assert await process_env.db.get_balance(ANYA) == 36_600 + 30_000

    await bob.say("замок изо льда")
    await bob.sees("замок изо льда", new=True)
    asked = await process_env.db.read(draft_rows.get, ASKED, BOB)
    assert asked is not None
    assert asked.prompt == "замок изо льда"  # the answer belongs to the question that version 2.0.0 had asked
    await anya.press_raw(QUEUE["card"]["Создать · 12\u00a0₽"])
    assert (await process_env.all_final(ANYA, 4))[-1].status is JobStatus.COMPLETED
