"""Thought signatures: opaque to the client, bound to the model, refused when altered.

Facts: docs/reference/gemini.md, section 10.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets

KEY = b"sandbox thought signatures"


def issue(model: str) -> str:
    """A fresh signature for a part that `model` made."""
    nonce = secrets.token_bytes(24)
    return base64.b64encode(nonce + _seal(nonce, model)).decode()


def genuine(signature: str, model: str) -> bool:
    """Whether this sandbox issued `signature` for `model`; alphabet and padding of the Base64 do not matter."""
    text = signature.replace("-", "+").replace("_", "/").rstrip("=")
    try:
        raw = base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except ValueError:
        return False
    return hmac.compare_digest(raw[24:], _seal(raw[:24], model))


def _seal(nonce: bytes, model: str) -> bytes:
    return hmac.digest(KEY, nonce + model.encode("utf-8", "replace"), hashlib.sha256)
