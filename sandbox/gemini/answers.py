"""Bodies of 200: images, drafts, refusals and the strange answers of gateways.

Facts: docs/reference/gemini.md, sections 4, 5, 12.
"""

from __future__ import annotations

import base64
import json
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from PIL import Image

from sandbox import art
from sandbox.gemini import signatures
from sandbox.gemini.schema import snake
from sandbox.gemini.validation import Order
from sandbox.scenario import Scenario, without_tags

Part = dict[str, Any]
REFUSAL_TEXT = (
    "Unable to show the generated image. The model could not generate the image based on the prompt provided. "
    "You will not be charged for this request. Try rephrasing the prompt."
)
# Its own message says that the call is free (docs/reference/gemini.md, section 5).
GENEROUS = frozenset({"IMAGE_OTHER"})


@dataclass(frozen=True)
class Answer:
    """A 200 with what it costs. `cost` is in millionths of a US dollar, `images` counts the billed images."""

    body: bytes
    cost: int
    images: int
    finish: str
    total_tokens: int


@dataclass
class Draft:
    """An answer that is being put together."""

    order: Order
    response_id: str
    scenarios: dict[str, Scenario]
    scale: float
    chance: random.Random
    parts: list[Part] = field(default_factory=list)

    @property
    def mime(self) -> str:
        return "image/png" if "ok_png" in self.scenarios else self.order.model.mime

    def value(self, name: str, default: str = "") -> str:
        return self.scenarios[name].value or default if name in self.scenarios else default


def ratio_of(order: Order) -> str:
    """The asked ratio; else that of the last input image; else square (docs/reference/gemini.md, section 3)."""
    if order.ratio is not None:
        return order.ratio
    if not order.photos:
        return "1:1"
    wanted = order.photos[-1].width / order.photos[-1].height
    return min(order.model.ratios, key=lambda one: abs(int(one.split(":")[0]) / int(one.split(":")[1]) / wanted - 1))


def pixels(order: Order, scale: float) -> tuple[int, int]:
    """Width and height to draw; `scale` below 1 makes small images of the same ratio."""
    width, height = order.model.pixels(ratio_of(order), order.size)
    return max(16, round(width * scale)), max(16, round(height * scale))


def _picture(draft: Draft, variant: int = 0) -> Part:
    size = pixels(draft.order, draft.scale)
    words = without_tags(draft.order.prompt)
    shown = f"draft {variant}: {words}" if variant else words
    if draft.order.photos:
        image: Image.Image = art.edit(draft.order.photos, shown, size)
    else:
        image = art.draw(shown, size, variant=variant)
    return _blob(draft.mime, art.encode(image, draft.mime))


def _blob(mime: str, data: bytes) -> Part:
    return {"inlineData": {"mimeType": mime, "data": base64.b64encode(data).decode()}}


def _signed(draft: Draft, part: Part) -> Part:
    return {**part, "thoughtSignature": signatures.issue(draft.order.model.id)} if draft.order.model.levels else part


def _text(draft: Draft) -> Part:
    return {"text": f"Here is your picture: {without_tags(draft.order.prompt)[:120]}"}


def compose(draft: Draft) -> Answer:
    """The answer that the chosen scenarios ask for; an ordinary image if there are none. CPU-bound."""
    order, chosen = draft.order, draft.scenarios
    if "prompt_block" in chosen:
        return _blocked(draft, draft.value("prompt_block", "PROHIBITED_CONTENT"))
    if "candidates_empty" in chosen:
        return _finished(draft, {"candidates": []}, 0, "")
    if "candidates_missing" in chosen:
        return _finished(draft, {}, 0, "")
    if "finish" in chosen:
        reason, _, message = draft.value("finish", "IMAGE_SAFETY").partition(",")
        return _refused(draft, reason, str(chosen["finish"].options.get("message", "")) or message.replace("_", " "))
    for name, content in (("parts_null", {"role": "model", "parts": None}), ("content_missing", None)):
        if name in chosen:
            return _refused(draft, draft.value(name, "NO_IMAGE"), "", content=content)
    if "text_only_stop" in chosen or "IMAGE" not in order.modalities:
        text = {"text": f"I would describe it like this: {without_tags(order.prompt)[:200]}"}
        return _candidate(draft, [text], 0, "STOP")
    if order.max_output is not None and order.max_output < order.model.image_tokens[order.size] + _thoughts(draft):
        return _refused(draft, "MAX_TOKENS", "")
    return _pictured(draft)


def _pictured(draft: Draft) -> Answer:
    chosen = draft.scenarios
    drafts = min(10, max(1, int(chosen["ok_multi_drafts"].number(3)))) if "ok_multi_drafts" in chosen else 1
    parts = [_signed(draft, _picture(draft, variant)) for variant in range(1, drafts)]
    final = _signed(draft, _picture(draft))
    for name, make in ODD_PARTS.items():
        if name in chosen:
            final = make(final)
    parts.append(final)
    if (draft.order.include_thoughts and draft.order.model.levels) or "ok_thought_parts" in chosen:
        parts[:0] = [{"text": "planning the layout", "thought": True}, {**_picture(draft, 9), "thought": True}]
    if "thought_only" in chosen:
        parts = [{**part, "thought": True} for part in (_picture(draft, 1), final)]
    if "ok_text_before" in chosen:
        parts.insert(0, _signed(draft, _text(draft)))
    if "ok_text_after" in chosen:
        parts.append(_text(draft))
    if "image_with_block_reason" in chosen:
        return _candidate(draft, parts, 0, draft.value("image_with_block_reason", "IMAGE_SAFETY"))
    return _candidate(draft, parts, drafts, "STOP")


def _swap(final: Part, part: Part) -> Part:
    return {**part, **({"thoughtSignature": final["thoughtSignature"]} if "thoughtSignature" in final else {})}


def _uri(final: Part) -> str:
    return f"data:{final['inlineData']['mimeType']};base64,{final['inlineData']['data']}"


ODD_PARTS: dict[str, Callable[[Part], Part]] = {
    "data_uri_text": lambda final: _swap(final, {"text": _uri(final)}),
    "markdown_text": lambda final: _swap(final, {"text": f"![image]({_uri(final)})"}),
    "broken_image": lambda final: _swap(final, _blob("image/jpeg", b"\xff\xd8\xff\xe0 this is not a picture")),
    "wrong_mime": lambda final: _swap(
        final, {"inlineData": {"mimeType": "image/webp", "data": final["inlineData"]["data"]}}
    ),
}


def _thoughts(draft: Draft) -> int:
    model = draft.order.model
    if not model.levels:
        return 0
    if model.always_thinks:
        return model.thoughts["MEDIUM"]
    default = "MEDIUM" if "MEDIUM" in model.levels else "MINIMAL"
    return model.thoughts.get(draft.order.level or default, 0)


def _usage(draft: Draft, images: int, *, blocked: bool = False) -> tuple[dict[str, Any], int]:
    """usageMetadata and the cost in millionths of a dollar (docs/reference/gemini.md, sections 4 and 9)."""
    order, model = draft.order, draft.order.model
    text, photos = max(1, order.text_length // 4), order.inputs * model.photo_tokens
    thoughts = 0 if blocked else _thoughts(draft)
    made = images * model.image_tokens[order.size]
    # The count of a Gemini 3 answer exceeds the sum of its details by 88 to 630.
    rest = draft.chance.randint(88, 630) if images and model.levels else 0
    usage: dict[str, Any] = {
        "promptTokenCount": text + photos,
        "totalTokenCount": text + photos + made + rest + thoughts,
    }
    if not blocked:
        usage["promptTokensDetails"] = [{"modality": "TEXT", "tokenCount": text}]
        if photos:
            usage["promptTokensDetails"].append({"modality": "IMAGE", "tokenCount": photos})
    if images:
        usage["candidatesTokenCount"] = made + rest
        usage["candidatesTokensDetails"] = [{"modality": "IMAGE", "tokenCount": made}]
    elif not blocked:
        # A refusal repeats its thoughts as its candidates: only the total can be trusted.
        usage["candidatesTokenCount"] = thoughts
    if thoughts:
        usage["thoughtsTokenCount"] = thoughts
    cost = (text + photos) * model.price_in + made * model.price_image + (rest + thoughts) * model.price_text
    return usage, round(cost)


def _candidate(draft: Draft, parts: list[Part], images: int, reason: str) -> Answer:
    candidate: dict[str, Any] = {"content": {"role": "model", "parts": parts}, "finishReason": reason, "index": 0}
    if draft.order.searches:
        candidate["groundingMetadata"] = {
            "webSearchQueries": [without_tags(draft.order.prompt)[:60]],
            "groundingChunks": [{"web": {"uri": "https://example.org/source", "title": "example.org"}}],
        }
    return _finished(draft, {"candidates": [candidate]}, images, reason)


def _refused(draft: Draft, reason: str, message: str, content: Any = "") -> Answer:
    candidate: dict[str, Any] = {"content": {} if content == "" else content, "finishReason": reason, "index": 0}
    if content is None:
        del candidate["content"]
    if message or reason.startswith("IMAGE_"):
        candidate["finishMessage"] = message or REFUSAL_TEXT
    return _finished(draft, {"candidates": [candidate]}, 0, reason)


def _blocked(draft: Draft, reason: str) -> Answer:
    return _finished(draft, {"promptFeedback": {"blockReason": reason}}, 0, f"blocked:{reason}", blocked=True)


def _finished(draft: Draft, body: dict[str, Any], images: int, reason: str, *, blocked: bool = False) -> Answer:
    usage, cost = _usage(draft, images, blocked=blocked)
    if "usage_missing" not in draft.scenarios:
        body["usageMetadata"] = usage
    body["modelVersion"] = draft.order.model.id
    body["responseId"] = draft.response_id
    if "snake_case" in draft.scenarios:
        body = _snake(body)
    free = reason in GENEROUS
    return Answer(
        json.dumps(body, ensure_ascii=False).encode("utf-8", "replace"),
        0 if free else cost,
        images,
        reason,
        usage["totalTokenCount"],
    )


def _snake(value: Any) -> Any:
    if isinstance(value, dict):
        return {snake(key): _snake(inner) for key, inner in value.items()}
    return [_snake(one) for one in value] if isinstance(value, list) else value
