"""Kling's callbacks: the signature (Standard Webhooks) and the body (docs/reference/kling.md, section 6).

A callback only makes us poll the task sooner. Nothing in it is trusted.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import re
from collections.abc import Mapping

from services.base_provider import VideoTask
from services.providers.http import Scrubber
from services.providers.kling_answer import read_task

TOLERANCE_SECONDS = 300
MAX_SIGNATURES = 8


def webhook_key(secret: str) -> bytes:
    """The signing key in a secret `whsec_<base64>` from the console; raises `ValueError` for anything else."""
    try:
        key = base64.b64decode(secret.strip().removeprefix("whsec_"), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if not key:
        raise ValueError("a webhook secret is whsec_ followed by base64")
    return key


def verify_webhook_signature(secret: str, headers: Mapping[str, str], body: bytes, *, now: float) -> bool:
    """Whether the callback is signed with `secret` within five minutes of `now` (Unix seconds).

    While a secret is being replaced the header has two signatures, and one valid signature is enough. They are compared
    in constant time. Raises `ValueError` only for a malformed `secret`, which is a setting of ours.
    """
    key = webhook_key(secret)
    lower = {name.lower(): value for name, value in headers.items()}
    delivery = lower.get("webhook-id", "")
    timestamp = lower.get("webhook-timestamp", "")
    if not re.fullmatch(r"[\x21-\x7e]{1,256}", delivery) or not re.fullmatch(r"[0-9]{1,12}", timestamp):
        return False
    if abs(now - int(timestamp)) > TOLERANCE_SECONDS:
        return False
    signed = delivery.encode("ascii") + b"." + timestamp.encode("ascii") + b"." + body
    wanted = b"v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest())
    offered = lower.get("webhook-signature", "").split()[:MAX_SIGNATURES]
    matches = [hmac.compare_digest(wanted, one.encode("utf-8", "replace")) for one in offered]
    return any(matches)


def parse_callback(body: bytes) -> VideoTask:
    """The task that a callback is about; raises `ValueError` when the body has another form."""
    try:
        task = read_task(json.loads(body), Scrubber(()))
    except (ValueError, RecursionError):
        task = None
    if task is None:
        raise ValueError("the callback holds no task")
    return task
