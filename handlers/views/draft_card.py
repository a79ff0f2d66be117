"""The card of a draft: what will be made, with which options, at what price. Pure: draft in, screen out."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Final

from aiogram.types import InlineKeyboardButton

from database.models import Draft, JobType
from handlers.views.callbacks import CardTap, ChoiceTap, MenuTap, Option
from handlers.views.keyboards import button, create, in_rows, keyboard
from handlers.views.localizer import Voice
from services.catalogue import Catalogue, ImageModel, VideoModel
from services.common.i18n import Safe
from services.messaging.telegram import Screen, cut
from services.pricing import Quote

PROMPT_SHOWN: Final = 700
AS_PHOTO: Final = "photo"
PICTURES: Final = (JobType.IMAGE, JobType.EDIT)

Quoter = Callable[[Draft], Quote]


@dataclass(frozen=True)
class Shelf:
    """What this installation sells."""

    catalogue: Catalogue
    quote: Quoter
    pictures: bool = True
    clips: bool = True

    def models_for(self, type: JobType, photos: int) -> tuple[ImageModel | VideoModel, ...]:
        """Visible models that can do this with so many photos."""
        if type in PICTURES:
            return tuple(model for model in self.catalogue.images() if model.max_photos >= photos)
        return self.catalogue.videos(for_photo=type is JobType.ANIMATE)

    def default_model(self, type: JobType, photos: int = 0) -> str:
        """The usual model where it can do this, else the first that can."""
        usual = self.catalogue.default_image.key if type in PICTURES else self.catalogue.default_video.key
        able = [model.key for model in self.models_for(type, photos)]
        return usual if usual in able or not able else able[0]

    def model_of(self, draft: Draft) -> ImageModel | VideoModel:
        """Raises `UnknownModel`."""
        if draft.type in PICTURES:
            return self.catalogue.image(draft.model)
        return self.catalogue.video(draft.model)

    def most_photos(self, type: JobType, model: str) -> int:
        return self.catalogue.image(model).max_photos if type in PICTURES else 1

    def offers(self, type: JobType) -> bool:
        return self.pictures if type in PICTURES else self.clips


def card(voice: Voice, shelf: Shelf, draft: Draft, balance: int, *, note: str | None = None) -> Screen:
    """The draft with everything that can be changed about it. `note` is a sentence (HTML) above the money."""
    if not draft.prompt and draft.type is JobType.EDIT:
        return _photo_without_words(voice, shelf, draft, note)
    quote = shelf.quote(draft)
    lines = [f"<b>{voice.t(f'kind-{draft.type}')}</b>"]
    if draft.prompt:
        lines.append(voice_quote(draft.prompt))
    elif draft.type is JobType.ANIMATE:
        lines.append(voice.t("card-no-prompt-animate"))
    lines.append(" · ".join(_facts(voice, shelf, draft, quote)))
    if note:
        lines.append(note)
    lines += ["", _money(voice, balance, quote.price)]
    rows = [
        [create(voice, draft.id, quote.price)],
        [_model_button(voice, shelf, draft)],
        *in_rows(_option_buttons(voice, shelf, draft, quote), 3),
        _content_buttons(voice, shelf, draft),
        _kind_button(voice, shelf, draft),
        [button(voice.plain("button-cancel"), CardTap(draft=draft.id, act="drop"))],
    ]
    return Screen("\n".join(lines), keyboard(*rows))


def menu(voice: Voice, shelf: Shelf, draft: Draft, option: Option) -> Screen:
    """The choices of one option, each with what the order would cost then where the price depends on it."""
    now = shelf.quote(draft)
    priced = option not in (Option.RATIO,)
    buttons = []
    for value, title, changed in _choices(voice, shelf, draft, option):
        label = title
        if priced:
            label = voice.plain("choice-price", title=title, price=voice.rubles(shelf.quote(changed).price))
        chosen = shelf.quote(changed).params == now.params and changed.model == draft.model
        data = ChoiceTap(draft=draft.id, option=option, value=value)
        buttons.append(button(f"✓ {label}" if chosen else label, data))
    lines = [f"<b>{voice.t(f'kind-{draft.type}')}</b>"]
    if draft.prompt:
        lines.append(voice_quote(draft.prompt))
    if option is Option.MODEL:
        lines += [
            f"<b>{voice_text(voice, model.title)}</b> — {voice_text(voice, model.about)}"
            for model in shelf.models_for(draft.type, len(draft.inputs))
        ]
    lines += ["", voice.t(f"card-option-{option}")]
    width = {Option.MODEL: 1, Option.RATIO: 4}.get(option, 2)
    back = [button(voice.plain("button-back"), CardTap(draft=draft.id, act="show"))]
    return Screen("\n".join(lines), keyboard(*in_rows(buttons, width), back))


def with_choice(shelf: Shelf, draft: Draft, option: Option, value: str) -> Draft:
    """The draft with one choice taken; what the model lacks is brought to the nearest it has."""
    params = dict(draft.params)
    if option is Option.MODEL:
        if value in [model.key for model in shelf.models_for(draft.type, len(draft.inputs))]:
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
    return fitted(shelf, replace(draft, params=params))


def with_kind(shelf: Shelf, draft: Draft, *, clip: bool) -> Draft:
    """The same words and photos as a clip, or as a picture."""
    if clip:
        type = JobType.ANIMATE if draft.inputs else JobType.VIDEO
        draft = replace(draft, inputs=draft.inputs[:1])
    else:
        type = JobType.EDIT if draft.inputs else JobType.IMAGE
    if (draft.type in PICTURES) is clip:
        draft = replace(draft, model=shelf.default_model(type, len(draft.inputs)), params={})
    return fitted(shelf, replace(draft, type=type))


def fitted(shelf: Shelf, draft: Draft) -> Draft:
    """The draft with a model that is still sold and options that it has."""
    keys = [model.key for model in shelf.models_for(draft.type, len(draft.inputs))]
    if draft.model not in keys:
        draft = replace(draft, model=shelf.default_model(draft.type, len(draft.inputs)))
    return replace(draft, params=shelf.quote(draft).params)


def voice_quote(prompt: str) -> str:
    """The person's own words, cut and quoted."""
    return f"<blockquote expandable>{_escaped(cut(prompt, PROMPT_SHOWN))}</blockquote>"


def voice_text(voice: Voice, text: object) -> str:
    """A title or remark of the catalogue as HTML."""
    words = getattr(text, "in_language", None)
    return _escaped(str(words(voice.language)) if callable(words) else str(text))


def _escaped(text: str) -> str:
    return Safe(text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;"))


def _photo_without_words(voice: Voice, shelf: Shelf, draft: Draft, note: str | None) -> Screen:
    """A photo came alone: ask what to do with it. Of a result we know that already: ask for the words."""
    chosen = draft.parent_job_id is not None
    lines = (
        [voice.t("card-edit-result")]
        if chosen
        else [voice.t("card-photos", count=len(draft.inputs)), voice.t("card-no-prompt")]
    )
    if note:
        lines.append(note)
    edit = button(voice.plain("button-edit-photo"), CardTap(draft=draft.id, act="prompt"), style="primary")
    actions = [] if chosen else [edit]
    if shelf.clips:
        style = None if chosen else "primary"
        actions.append(button(voice.plain("button-animate-photo"), CardTap(draft=draft.id, act="clip"), style=style))
    more = []
    if len(draft.inputs) < shelf.most_photos(draft.type, draft.model):
        more.append(button(voice.plain("button-photo"), CardTap(draft=draft.id, act="photo")))
    drop = [button(voice.plain("button-cancel"), CardTap(draft=draft.id, act="drop"))]
    return Screen("\n".join(lines), keyboard(actions, more, drop))


def _facts(voice: Voice, shelf: Shelf, draft: Draft, quote: Quote) -> Iterable[str]:
    yield voice_text(voice, shelf.model_of(draft).title)
    if quote.kind == "image":
        yield _ratio(voice, quote)
        yield voice.t("label-size", size=str(quote.params["size"]))
    else:
        yield voice.t("label-duration", seconds=int(quote.params["duration"]))
        yield voice.t("label-resolution", resolution=_sharpness(quote.params["resolution"]))
        yield _ratio(voice, quote)
        if quote.params["audio"] or _has_sound_switch(shelf, draft, quote):
            yield voice.t("label-sound-on" if quote.params["audio"] else "label-sound-off")
    if draft.inputs:
        yield voice.t("card-photos", count=len(draft.inputs))


def _ratio(voice: Voice, quote: Quote) -> str:
    ratio = quote.params.get("ratio")
    return voice.t("label-ratio-photo") if ratio is None else voice.t("label-ratio", ratio=str(ratio))


def _money(voice: Voice, balance: int, price: int) -> str:
    if balance >= price:
        return voice.t("card-money-after", balance=voice.rubles(balance), after=voice.rubles(balance - price))
    if balance <= 0:
        return voice.t("card-money", balance=voice.rubles(balance))
    return voice.t("card-money-short", balance=voice.rubles(balance), missing=voice.rubles(price - balance))


def _model_button(voice: Voice, shelf: Shelf, draft: Draft) -> InlineKeyboardButton:
    title = shelf.model_of(draft).title.in_language(voice.language)
    return button(f"🤖 {title}", MenuTap(draft=draft.id, option=Option.MODEL))


def _option_buttons(voice: Voice, shelf: Shelf, draft: Draft, quote: Quote) -> list[InlineKeyboardButton]:
    """A button for each option that the model leaves open."""
    model = shelf.model_of(draft)
    labels: list[tuple[Option, str]] = []
    if isinstance(model, ImageModel):
        labels.append((Option.RATIO, _ratio(voice, quote)))
        if len(model.sizes) > 1:
            labels.append((Option.SIZE, voice.plain("label-size", size=str(quote.params["size"]))))
    else:
        if len(model.durations) > 1:
            labels.append((Option.DURATION, voice.plain("label-duration", seconds=int(quote.params["duration"]))))
        if len(model.resolutions) > 1:
            label = voice.plain("label-resolution", resolution=_sharpness(quote.params["resolution"]))
            labels.append((Option.RESOLUTION, label))
        if draft.type is JobType.VIDEO and len(model.ratios) > 1:
            labels.append((Option.RATIO, _ratio(voice, quote)))
        if _has_sound_switch(shelf, draft, quote):
            labels.append((Option.AUDIO, voice.plain("label-sound-on" if quote.params["audio"] else "label-sound-off")))
    return [button(label, MenuTap(draft=draft.id, option=option)) for option, label in labels]


def _has_sound_switch(shelf: Shelf, draft: Draft, quote: Quote) -> bool:
    """Whether sound is the person's choice at this sharpness."""
    model = shelf.model_of(draft)
    if not isinstance(model, VideoModel) or model.audio != "switch":
        return False
    return any(
        offer.audio_price is not None for name, offer in model.resolutions.items() if name == quote.params["resolution"]
    )


def _content_buttons(voice: Voice, shelf: Shelf, draft: Draft) -> list[InlineKeyboardButton]:
    row = [button(voice.plain("button-prompt"), CardTap(draft=draft.id, act="prompt"))]
    if len(draft.inputs) < shelf.most_photos(draft.type, draft.model):
        label = voice.plain("button-photo" if draft.inputs else "button-photo-first")
        row.append(button(label, CardTap(draft=draft.id, act="photo")))
    return row


def _kind_button(voice: Voice, shelf: Shelf, draft: Draft) -> list[InlineKeyboardButton]:
    """Picture into clip and back, where both are made."""
    if not (shelf.clips and shelf.pictures):
        return []
    if draft.type in PICTURES:
        return [button(voice.plain("button-to-clip"), CardTap(draft=draft.id, act="clip"))]
    return [button(voice.plain("button-to-image"), CardTap(draft=draft.id, act="picture"))]


def _sharpness(resolution: object) -> str:
    """Kling says 4k, people and the pictures' sizes say 4K."""
    return str(resolution).replace("k", "K")


def _choices(voice: Voice, shelf: Shelf, draft: Draft, option: Option) -> Iterable[tuple[str, str, Draft]]:
    """(value, title, draft with it) for each choice the model has."""
    model = shelf.model_of(draft)
    values: list[tuple[str, str]] = []
    if option is Option.MODEL:
        able = shelf.models_for(draft.type, len(draft.inputs))
        values = [(one.key, one.title.in_language(voice.language)) for one in able]
    elif option is Option.RATIO:
        values = [(AS_PHOTO, voice.plain("label-ratio-photo"))] if draft.type is JobType.EDIT else []
        values += [(ratio.replace(":", "x"), ratio) for ratio in model.ratios]
    elif option is Option.SIZE and isinstance(model, ImageModel):
        values = [(size, size) for size in model.sizes]
    elif isinstance(model, VideoModel):
        if option is Option.DURATION:
            values = [(str(one), voice.plain("label-duration", seconds=one)) for one in model.durations]
        elif option is Option.RESOLUTION:
            values = [(one, _sharpness(one)) for one in model.resolutions]
        elif option is Option.AUDIO:
            values = [("1", voice.plain("label-sound-on")), ("0", voice.plain("label-sound-off"))]
    return [(value, title, with_choice(shelf, draft, option, value)) for value, title in values]
