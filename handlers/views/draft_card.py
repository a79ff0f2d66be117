"""The card of a draft: what will be made, with which options, at what price. Pure functions."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from aiogram.types import InlineKeyboardButton

from database.models import Draft, JobType
from handlers.views.callbacks import CardTap, MenuTap, Option
from handlers.views.keyboards import button, create, in_rows, keyboard
from handlers.views.localizer import Localizer
from handlers.views.markup import escaped, prompt_quote
from services.catalogue import ImageModel, VideoModel
from services.messaging.telegram import Screen
from services.pricing import Quote
from services.storefront import Storefront

PROMPT_SHOWN: Final = 700  # UTF-16 units


def card(
    localizer: Localizer, storefront: Storefront, draft: Draft, balance: int, *, note: str | None = None
) -> Screen:
    """The draft with a button for everything that can be changed. `balance` in kopecks; `note` is a sentence (HTML)."""
    if not draft.prompt and draft.type is JobType.EDIT:
        return _photo_without_prompt(localizer, storefront, draft, note)
    quote = storefront.quote(draft)
    lines = heading(localizer, draft)
    if not draft.prompt and draft.type is JobType.ANIMATE:
        lines.append(localizer.t("card-no-prompt-animate"))
    lines.append(" · ".join(_facts(localizer, storefront, draft, quote)))
    if note:
        lines.append(note)
    lines += ["", _money(localizer, balance, quote.price)]
    rows = [
        [create(localizer, draft.id, quote.price)],
        [_model_button(localizer, storefront, draft)],
        *in_rows(_option_buttons(localizer, storefront, draft, quote), 3),
        _content_buttons(localizer, storefront, draft),
        _kind_button(localizer, storefront, draft),
        [button(localizer.plain("button-cancel"), CardTap(draft=draft.id, act="drop"))],
    ]
    return Screen("\n".join(lines), keyboard(*rows))


def heading(localizer: Localizer, draft: Draft) -> list[str]:
    """The kind of the draft and its prompt, if it has one (HTML lines)."""
    lines = [f"<b>{localizer.t(f'kind-{draft.type}')}</b>"]
    return [*lines, prompt_quote(draft.prompt, PROMPT_SHOWN)] if draft.prompt else lines


def resolution_label(resolution: object) -> str:
    """Kling writes 4k; people and the sizes of images write 4K."""
    return str(resolution).replace("k", "K")


def _photo_without_prompt(localizer: Localizer, storefront: Storefront, draft: Draft, note: str | None) -> Screen:
    """Ask what to do with a photo. The photo of a result is to be edited: only ask for the prompt."""
    is_result = draft.parent_job_id is not None
    lines = (
        [localizer.t("card-edit-result")]
        if is_result
        else [localizer.t("card-photos", count=len(draft.inputs)), localizer.t("card-no-prompt")]
    )
    if note:
        lines.append(note)
    edit = button(localizer.plain("button-edit-photo"), CardTap(draft=draft.id, act="prompt"), style="primary")
    actions = [] if is_result else [edit]
    if storefront.videos:
        style = None if is_result else "primary"
        actions.append(
            button(localizer.plain("button-animate-photo"), CardTap(draft=draft.id, act="clip"), style=style)
        )
    more = []
    if len(draft.inputs) < storefront.max_photos(draft.type, draft.model):
        more.append(button(localizer.plain("button-photo"), CardTap(draft=draft.id, act="photo")))
    drop = [button(localizer.plain("button-cancel"), CardTap(draft=draft.id, act="drop"))]
    return Screen("\n".join(lines), keyboard(actions, more, drop))


def _facts(localizer: Localizer, storefront: Storefront, draft: Draft, quote: Quote) -> Iterable[str]:
    """Model, options and number of photos, each a short text (HTML)."""
    yield escaped(storefront.model_of(draft).title.in_language(localizer.language))
    if quote.kind == "image":
        yield _ratio_label(localizer, quote)
        yield localizer.t("label-size", size=str(quote.params["size"]))
    else:
        yield localizer.t("label-duration", seconds=int(quote.params["duration"]))
        yield localizer.t("label-resolution", resolution=resolution_label(quote.params["resolution"]))
        yield _ratio_label(localizer, quote)
        if quote.params["audio"] or _has_sound_switch(storefront, draft, quote):
            yield localizer.t("label-sound-on" if quote.params["audio"] else "label-sound-off")
    if draft.inputs:
        yield localizer.t("card-photos", count=len(draft.inputs))


def _ratio_label(localizer: Localizer, quote: Quote) -> str:
    ratio = quote.params.get("ratio")
    return localizer.t("label-ratio-photo") if ratio is None else localizer.t("label-ratio", ratio=str(ratio))


def _money(localizer: Localizer, balance: int, price: int) -> str:
    """The balance, and what is left or missing after the price (HTML); all in kopecks."""
    if balance >= price:
        return localizer.t(
            "card-money-after", balance=localizer.rubles(balance), after=localizer.rubles(balance - price)
        )
    if balance <= 0:
        return localizer.t("card-money", balance=localizer.rubles(balance))
    return localizer.t("card-money-short", balance=localizer.rubles(balance), missing=localizer.rubles(price - balance))


def _model_button(localizer: Localizer, storefront: Storefront, draft: Draft) -> InlineKeyboardButton:
    title = storefront.model_of(draft).title.in_language(localizer.language)
    return button(f"🤖 {title}", MenuTap(draft=draft.id, option=Option.MODEL))


def _option_buttons(
    localizer: Localizer, storefront: Storefront, draft: Draft, quote: Quote
) -> list[InlineKeyboardButton]:
    """A button for each option of which the model has more than one choice."""
    model = storefront.model_of(draft)
    labels: list[tuple[Option, str]] = []
    if isinstance(model, ImageModel):
        labels.append((Option.RATIO, _ratio_label(localizer, quote)))
        if len(model.sizes) > 1:
            labels.append((Option.SIZE, localizer.plain("label-size", size=str(quote.params["size"]))))
    else:
        if len(model.durations) > 1:
            labels.append((Option.DURATION, localizer.plain("label-duration", seconds=int(quote.params["duration"]))))
        if len(model.resolutions) > 1:
            label = localizer.plain("label-resolution", resolution=resolution_label(quote.params["resolution"]))
            labels.append((Option.RESOLUTION, label))
        if draft.type is JobType.VIDEO and len(model.ratios) > 1:
            labels.append((Option.RATIO, _ratio_label(localizer, quote)))
        if _has_sound_switch(storefront, draft, quote):
            labels.append(
                (Option.AUDIO, localizer.plain("label-sound-on" if quote.params["audio"] else "label-sound-off"))
            )
    return [button(label, MenuTap(draft=draft.id, option=option)) for option, label in labels]


def _has_sound_switch(storefront: Storefront, draft: Draft, quote: Quote) -> bool:
    """Whether the person can switch sound on and off at this resolution."""
    model = storefront.model_of(draft)
    if not isinstance(model, VideoModel) or model.audio != "switch":
        return False
    return any(
        offer.audio_price is not None for name, offer in model.resolutions.items() if name == quote.params["resolution"]
    )


def _content_buttons(localizer: Localizer, storefront: Storefront, draft: Draft) -> list[InlineKeyboardButton]:
    """Change the prompt; add a photo while there is room."""
    row = [button(localizer.plain("button-prompt"), CardTap(draft=draft.id, act="prompt"))]
    if len(draft.inputs) < storefront.max_photos(draft.type, draft.model):
        label = localizer.plain("button-photo" if draft.inputs else "button-photo-first")
        row.append(button(label, CardTap(draft=draft.id, act="photo")))
    return row


def _kind_button(localizer: Localizer, storefront: Storefront, draft: Draft) -> list[InlineKeyboardButton]:
    """Switch between image and video, where both are sold."""
    if not (storefront.videos and storefront.images):
        return []
    if draft.type.is_image:
        return [button(localizer.plain("button-to-clip"), CardTap(draft=draft.id, act="clip"))]
    return [button(localizer.plain("button-to-image"), CardTap(draft=draft.id, act="picture"))]
