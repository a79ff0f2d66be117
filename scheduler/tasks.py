"""The bot's periodic tasks: what each does, how often, and how long a round may take."""

from __future__ import annotations

from functools import partial

from database.clock import HOUR_SECONDS
from scheduler.scheduler import PeriodicTask
from scheduler.sweeper import Sweeper
from scheduler.video_poller import poll_videos
from services.job_context import JobContext
from services.ops.auditor import Auditor
from services.ops.backups import LIMIT_SECONDS as BACKUP_SECONDS
from services.ops.backups import Backups
from services.ops.disk import EVERY_SECONDS as DISK_SECONDS
from services.ops.disk import DiskWatch
from services.payments.payments import Payments
from services.payments.reconciliation import Reconciliation
from services.payments.refunds import Refunds
from services.payments.stars import Stars
from services.queue import Queue


def job_tasks(ctx: JobContext, queue: Queue) -> list[PeriodicTask]:
    """Tasks that bring jobs to their end and clean up after them."""
    sweeper = Sweeper(ctx, queue)
    return [
        PeriodicTask("steps", 1.0, sweeper.resend_lost_steps),
        PeriodicTask("clips", 1.0, partial(poll_videos, ctx, queue)),
        PeriodicTask("holds", 5.0, sweeper.release_overdue_holds),
        PeriodicTask("expired files", 60.0, sweeper.delete_expired_assets),
        PeriodicTask("old rows", 600.0, sweeper.forget_old_rows),
        PeriodicTask("orphans", HOUR_SECONDS, sweeper.delete_orphans),
    ]


def topup_tasks(payments: Payments) -> list[PeriodicTask]:
    """Tasks that settle top-ups by card when a notification did not come or could not be handled."""
    return [
        PeriodicTask("notifications", 2.0, payments.handle_due_notifications),
        PeriodicTask("payments", 2.0, payments.poll_due),
    ]


def money_tasks(refunds: Refunds, reconciliation: Reconciliation, stars: Stars) -> list[PeriodicTask]:
    """Tasks that finish refunds and compare our books with the providers'."""
    return [
        PeriodicTask("refunds", 5.0, refunds.poll_due),
        PeriodicTask("reconciliation", HOUR_SECONDS, reconciliation.hourly, limit=HOUR_SECONDS),
        PeriodicTask("stale invoices", HOUR_SECONDS, stars.close_stale),
    ]


def upkeep_tasks(auditor: Auditor, disk: DiskWatch, backups: Backups) -> list[PeriodicTask]:
    """Tasks that audit and copy the database and check its disk."""
    return [
        PeriodicTask("seals", HOUR_SECONDS, auditor.seal),
        PeriodicTask("audit", 60.0, auditor.daily, limit=HOUR_SECONDS),
        PeriodicTask("disk", DISK_SECONDS, disk.check),
        PeriodicTask("backups", 30.0, backups.work, limit=BACKUP_SECONDS),
    ]
