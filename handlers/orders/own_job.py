"""The job behind a button: only its own person may see it."""

from __future__ import annotations

from database import assets as asset_rows
from database import jobs as job_rows
from database.models import Asset, Database, Job, Tx
from handlers.orders.drafts import Stale


async def own_job(db: Database, job_id: str, user_id: int) -> tuple[Job, Asset | None]:
    """The person's own job and its result, None when there is none. Raises Stale."""

    def find(tx: Tx) -> tuple[Job | None, Asset | None]:
        return job_rows.get(tx, job_id), asset_rows.result_of(tx, job_id)

    job, asset = await db.read(find)
    if job is None or job.user_id != user_id:
        raise Stale("order-stale")
    return job, asset
