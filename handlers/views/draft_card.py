"""The card of a draft: what will be made, with which options, at what price. Pure: draft in, screen out."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Final

from aiogram.types import InlineKeyboardButton

from database.models import Draft, JobType
from handlers.views.callbacks import CardTap, ChoiceTap, MenuTap, Option
from handlers.views.keyboards import button, create, in_rows, keyboard
from handlers.views.localizer import Localizer
from services.catalogue import ImageModel, VideoModel
from services.common.i18n import Safe
from services.messaging.telegram import Screen, cut
from services.pricing import Quote
from services.storefront import Storefront

PROMPT_SHOWN: Final = 700
AS_PHOTO: Final = "photo"


def card(
    localizer: Localizer, storefront: Storefront, draft: Draft, balance: int, *, note: str | None = None
) -> Screen:
    """The draft with everything that can be changed about it. `note` is a sentence (HTML) above the money."""
    if not draft.prompt and draft.type is JobType.EDIT:
        return _photo_without_words(localizer, storefront, draft, note)
    quote = storefront.quote(draft)
    lines = [f"<b>{localizer.t(f'kind-{draft.type}')}</b>"]
    if draft.prompt:
        lines.append(voice_quote(draft.prompt))
    elif draft.type is JobType.ANIMATE:
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


def menu(localizer: Localizer, storefront: Storefront, draft: Draft, option: Option) -> Screen:
    """The choices of one option, each with what the order would cost then where the price depends on it."""
    now = storefront.quote(draft)
    priced = option not in (Option.RATIO,)
    buttons = []
    for value, title, changed in _choices(localizer, storefront, draft, option):
        label = title
        if priced:
            label = localizer.plain(
                "choice-price", title=title, price=localizer.rubles(storefront.quote(changed).price)
            )
        chosen = storefront.quote(changed).params == now.params and changed.model == draft.model
        data = ChoiceTap(draft=draft.id, option=option, value=value)
        buttons.append(button(f"✓ {label}" if chosen else label, data))
    lines = [f"<b>{localizer.t(f'kind-{draft.type}')}</b>"]
    if draft.prompt:
        lines.append(voice_quote(draft.prompt))
    if option is Option.MODEL:
        lines += [
            f"<b>{voice_text(localizer, model.title)}</b> — {voice_text(localizer, model.about)}"
            for model in storefront.models_for(draft.type, len(draft.inputs))
        ]
    lines += ["", localizer.t(f"card-option-{option}")]
    width = {Option.MODEL: 1, Option.RATIO: 4}.get(option, 2)
    back = [button(localizer.plain("button-back"), CardTap(draft=draft.id, act="show"))]
    return Screen("\n".join(lines), keyboard(*in_rows(buttons, width), back))


def with_choice(storefront: Storefront, draft: Draft, option: Option, value: str) -> Draft:
    """The draft with one choice taken; what the model lacks is brought to the nearest it has."""
    params = dict(draft.params)
    if option is Option.MODEL:
        if value in [model.key for model in storefront.models_for(draft.type, len(draft.inputs))]:
            draft = replace(draft, model=value)
    elif option is Option.RATIO:
        params["ratio"] = None if value == AS_PHOTO else value.replace("x", ":")
    elif option is Option.SIZE:
        params["size"] = value
    elif option is Option.DURATION:
        params["duration"] = int(value) if value.isascii() and value.isdigit() and len(value) < 4 else None
    elif option is Option.RESOLUTION:
        params["resolution"] = value
    elif option is Option.AUDIO:
        params["audio"] = value == "1"
    return fitted(storefront, replace(draft, params=params))


def with_kind(storefront: Storefront, draft: Draft, *, video: bool) -> Draft:
    """The same words and photos as a clip, or as a picture."""
    if video:
        type = JobType.ANIMATE if draft.inputs else JobType.VIDEO
        draft = replace(draft, inputs=draft.inputs[:1])
    else:
        type = JobType.EDIT if draft.inputs else JobType.IMAGE
    if draft.type.is_image is video:
        draft = replace(draft, model=storefront.default_model(type, len(draft.inputs)), params={})
    return fitted(storefront, replace(draft, type=type))


def fitted(storefront: Storefront, draft: Draft) -> Draft:
    """The draft with a model that is still sold and options that it has."""
    keys = [model.key for model in storefront.models_for(draft.type, len(draft.inputs))]
    if draft.model not in keys:
        draft = replace(draft, model=storefront.default_model(draft.type, len(draft.inputs)))
    return replace(draft, params=storefront.quote(draft).params)


def voice_quote(prompt: str) -> str:
    """The person's own words, cut and quoted."""
    return f"<blockquote expandable>{_escaped(cut(prompt, PROMPT_SHOWN))}</blockquote>"


def voice_text(localizer: Localizer, text: object) -> str:
    """A title or remark of the catalogue as HTML."""
    words = getattr(text, "in_language", None)
    return _escaped(str(words(localizer.language)) if callable(words) else str(text))


def _escaped(text: str) -> str:
    return Safe(text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;"))


def _photo_without_words(localizer: Localizer, storefront: Storefront, draft: Draft, note: str | None) -> Screen:
    """A photo came alone: ask what to do with it. Of a result we know that already: ask for the words."""
    chosen = draft.parent_job_id is not None
    lines = (
        [localizer.t("card-edit-result")]
        if chosen
        else [localizer.t("card-photos", count=len(draft.inputs)), localizer.t("card-no-prompt")]
    )
    if note:
        lines.append(note)
    edit = button(localizer.plain("button-edit-photo"), CardTap(draft=draft.id, act="prompt"), style="primary")
    actions = [] if chosen else [edit]
    if storefront.videos:
        style = None if chosen else "primary"
        actions.append(
            button(localizer.plain("button-animate-photo"), CardTap(draft=draft.id, act="clip"), style=style)
        )
    more = []
    if len(draft.inputs) < storefront.most_photos(draft.type, draft.model):
        more.append(button(localizer.plain("button-photo"), CardTap(draft=draft.id, act="photo")))
    drop = [button(localizer.plain("button-cancel"), CardTap(draft=draft.id, act="drop"))]
    return Screen("\n".join(lines), keyboard(actions, more, drop))


def _facts(localizer: Localizer, storefront: Storefront, draft: Draft, quote: Quote) -> Iterable[str]:
    yield voice_text(localizer, storefront.model_of(draft).title)
    if quote.kind == "image":
        yield _ratio(localizer, quote)
        yield localizer.t("label-size", size=str(quote.params["size"]))
    else:
        yield localizer.t("label-duration", seconds=int(quote.params["duration"]))
        yield localizer.t("label-resolution", resolution=_sharpness(quote.params["resolution"]))
        yield _ratio(localizer, quote)
        if quote.params["audio"] or _has_sound_switch(storefront, draft, quote):
            yield localizer.t("label-sound-on" if quote.params["audio"] else "label-sound-off")
    if draft.inputs:
        yield localizer.t("card-photos", count=len(draft.inputs))


def _ratio(localizer: Localizer, quote: Quote) -> str:
    ratio = quote.params.get("ratio")
    return localizer.t("label-ratio-photo") if ratio is None else localizer.t("label-ratio", ratio=str(ratio))


def _money(localizer: Localizer, balance: int, price: int) -> str:
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
    """A button for each option that the model leaves open."""
    model = storefront.model_of(draft)
    labels: list[tuple[Option, str]] = []
    if isinstance(model, ImageModel):
        labels.append((Option.RATIO, _ratio(localizer, quote)))
        if len(model.sizes) > 1:
            labels.append((Option.SIZE, localizer.plain("label-size", size=str(quote.params["size"]))))
    else:
        if len(model.durations) > 1:
            labels.append((Option.DURATION, localizer.plain("label-duration", seconds=int(quote.params["duration"]))))
        if len(model.resolutions) > 1:
            label = localizer.plain("label-resolution", resolution=_sharpness(quote.params["resolution"]))
            labels.append((Option.RESOLUTION, label))
        if draft.type is JobType.VIDEO and len(model.ratios) > 1:
            labels.append((Option.RATIO, _ratio(localizer, quote)))
        if _has_sound_switch(storefront, draft, quote):
            labels.append(
                (Option.AUDIO, localizer.plain("label-sound-on" if quote.params["audio"] else "label-sound-off"))
            )
    return [button(label, MenuTap(draft=draft.id, option=option)) for option, label in labels]


def _has_sound_switch(storefront: Storefront, draft: Draft, quote: Quote) -> bool:
    """Whether sound is the person's choice at this sharpness."""
    model = storefront.model_of(draft)
    if not isinstance(model, VideoModel) or model.audio != "switch":
        return False
    return any(
        offer.audio_price is not None for name, offer in model.resolutions.items() if name == quote.params["resolution"]
    )


def _content_buttons(localizer: Localizer, storefront: Storefront, draft: Draft) -> list[InlineKeyboardButton]:
    row = [button(localizer.plain("button-prompt"), CardTap(draft=draft.id, act="prompt"))]
    if len(draft.inputs) < storefront.most_photos(draft.type, draft.model):
        label = localizer.plain("button-photo" if draft.inputs else "button-photo-first")
        row.append(button(label, CardTap(draft=draft.id, act="photo")))
    return row


def _kind_button(localizer: Localizer, storefront: Storefront, draft: Draft) -> list[InlineKeyboardButton]:
    """Picture into clip and back, where both are made."""
    if not (storefront.videos and storefront.images):
        return []
    if draft.type.is_image:
        return [button(localizer.plain("button-to-clip"), CardTap(draft=draft.id, act="clip"))]
    return [button(localizer.plain("button-to-image"), CardTap(draft=draft.id, act="picture"))]


def _sharpness(resolution: object) -> str:
    """Kling says 4k, people and the pictures' sizes say 4K."""
    return str(resolution).replace("k", "K")


def _choices(
    localizer: Localizer, storefront: Storefront, draft: Draft, option: Option
) -> Iterable[tuple[str, str, Draft]]:
    """(value, title, draft with it) for each choice the model has."""
    model = storefront.model_of(draft)
    values: list[tuple[str, str]] = []
    if option is Option.MODEL:
        able = storefront.models_for(draft.type, len(draft.inputs))
        values = [(one.key, one.title.in_language(localizer.language)) for one in able]
    elif option is Option.RATIO:
        values = [(AS_PHOTO, localizer.plain("label-ratio-photo"))] if draft.type is JobType.EDIT else []
        values += [(ratio.replace(":", "x"), ratio) for ratio in model.ratios]
    elif option is Option.SIZE and isinstance(model, ImageModel):
        values = [(size, size) for size in model.sizes]
    elif isinstance(model, VideoModel):
        if option is Option.DURATION:
            values = [(str(one), localizer.plain("label-duration", seconds=one)) for one in model.durations]
        elif option is Option.RESOLUTION:
            values = [(one, _sharpness(one)) for one in model.resolutions]
        elif option is Option.AUDIO:
            values = [("1", localizer.plain("label-sound-on")), ("0", localizer.plain("label-sound-off"))]
    return [(value, title, with_choice(storefront, draft, option, value)) for value, title in values]
