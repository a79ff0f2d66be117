"""Whether a video can begin with a person's photo, checked before the price is taken."""

from __future__ import annotations

from database.models import Asset, Draft
from handlers.orders.drafts import Drafts
from services.catalogue import Limits
from services.jobs import video_photo_fault
from services.media.inspect import MediaFault


def video_fault_text(photo: Asset, limits: Limits) -> str | None:
    """The id of the text (variable `pixels`) that says why a video can't begin with this photo; None when it can."""
    fault = video_photo_fault(photo, limits)
    if fault is None:
        return None
    return "photo-for-clip-small" if fault is MediaFault.TOO_SMALL else "photo-for-clip-narrow"


async def first_photo_fault(draft: Draft, drafts: Drafts) -> str | None:
    """The same for the first photo of a draft, which may no longer be stored."""
    photos = await drafts.photos(draft)
    if not photos or photos[0].id != draft.inputs[0]:
        return "photo-gone"
    return video_fault_text(photos[0], drafts.storefront.catalogue.limits)
