"""The choices of one option of a draft, each with its price, and the draft with a choice taken. Pure functions."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Final

from database.models import Draft, JobType
from handlers.views.callbacks import CardTap, ChoiceTap, Option
from handlers.views.draft_card import heading, resolution_label
from handlers.views.keyboards import button, in_rows, keyboard
from handlers.views.localizer import Localizer
from handlers.views.markup import escaped
from services.catalogue import ImageModel, VideoModel
from services.messaging.telegram import Screen
from services.storefront import Storefront

AS_PHOTO: Final = "photo"
_COLUMNS: Final = {Option.MODEL: 1, Option.RATIO: 4}


def menu(localizer: Localizer, storefront: Storefront, draft: Draft, option: Option) -> Screen:
    """A button for each choice; where the price depends on it, with the price of the draft with that choice."""
    now = storefront.quote(draft)
    buttons = []
    for value, title, changed in _choices(localizer, storefront, draft, option):
        then = storefront.quote(changed)
        label = title
        if option is not Option.RATIO:
            label = localizer.plain("choice-price", title=title, price=localizer.rubles(then.price))
        is_chosen = then.params == now.params and changed.model == draft.model
        data = ChoiceTap(draft=draft.id, option=option, value=value)
        buttons.append(button(f"✓ {label}" if is_chosen else label, data))
    lines = heading(localizer, draft)
    if option is Option.MODEL:
        language = localizer.language
        lines += [
            f"<b>{escaped(model.title.in_language(language))}</b> — {escaped(model.about.in_language(language))}"
            for model in storefront.models_for(draft.type, len(draft.inputs))
        ]
    lines += ["", localizer.t(f"card-option-{option}")]
    back = [button(localizer.plain("button-back"), CardTap(draft=draft.id, act="show"))]
    return Screen("\n".join(lines), keyboard(*in_rows(buttons, _COLUMNS.get(option, 2)), back))


def with_choice(storefront: Storefront, draft: Draft, option: Option, value: str) -> Draft:
    """The draft with a choice taken from callback data; what the model does not have becomes the nearest it has."""
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
    return storefront.fitted(replace(draft, params=params))


def _choices(
    localizer: Localizer, storefront: Storefront, draft: Draft, option: Option
) -> Iterable[tuple[str, str, Draft]]:
    """(value, title, draft with the choice) for each choice that the model has."""
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
            values = [(one, resolution_label(one)) for one in model.resolutions]
        elif option is Option.AUDIO:
            values = [("1", localizer.plain("label-sound-on")), ("0", localizer.plain("label-sound-off"))]
    return [(value, title, with_choice(storefront, draft, option, value)) for value, title in values]
