"""An admin's decision to book a proposed entry: YooKassa is asked first whether the proposal still holds."""

from __future__ import annotations

from database import differences as difference_rows
from database.models import Database, Difference, DifferenceState, IllegalMove
from services.payments.matching import PROVIDER
from services.payments.yookassa.client import ErrorKind, YooKassaError, YooKassaGateway

HELD_THERE = (difference_rows.QUARANTINED, difference_rows.UNKNOWN, difference_rows.SECOND)
"""Kinds of difference whose proposal is made of what YooKassa holds of a payment."""


async def apply(db: Database, gateway: YooKassaGateway | None, admin_id: int, difference_id: int) -> Difference:
    """Book the proposed entry, once, while YooKassa still has what it was proposed from.

    Raises NotFound; IllegalMove when it is decided or out of date; YooKassaError when that can't be asked.
    """
    difference = await db.read(difference_rows.get, difference_id)
    if difference is not None and difference.state is DifferenceState.OPEN and difference.proposal:
        await _refuse_what_changed(db, gateway, difference)
    return await db.write(difference_rows.apply, admin_id, difference_id)


async def _refuse_what_changed(db: Database, gateway: YooKassaGateway | None, difference: Difference) -> None:
    """Money that waits for a decision may be refunded in the cabinet meanwhile, and no row of ours shows it."""
    if difference.provider != PROVIDER or difference.kind not in HELD_THERE:
        return
    if gateway is None:
        raise YooKassaError(ErrorKind.UNKNOWN_OUTCOME, "no shop is connected")
    about, _, _ = str(difference.details["about"]).partition(":")
    there = await gateway.find_payment(about)
    kept = there.amount_kopecks - there.refunded_kopecks if there and there.status == "succeeded" else 0
    if difference.kind == difference_rows.QUARANTINED:
        then = int(difference.details["theirs"])
    else:
        then = int(difference.proposal["amount"])
    if difference.details.get("whole") and difference.kind == difference_rows.UNKNOWN:
        then -= await db.read(difference_rows.refunded_of_lost, about)  # taken back together with the credit
    if kept != then:
        raise IllegalMove(f"difference {difference.id} is out of date: YooKassa holds {kept} kopecks by now")
