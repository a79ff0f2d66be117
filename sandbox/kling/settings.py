"""What a test or a person may change about the simulated Kling."""

from __future__ import annotations

import base64
from dataclasses import dataclass

from sandbox.kling.callbacks import MODES


@dataclass(frozen=True)
class Settings:
    """Seconds are simulated; `units` is the size of the prepaid pack; all `secrets` are valid at the same time."""

    key: str = "sandbox-kling-key"
    concurrency: int = 20
    units: int = 5_000
    accept_duplicates: bool = False
    bill_failures: bool = False
    secrets: tuple[str, ...] = ()
    callbacks: str = "normal"
    callback_retries: int = 0
    lookup_lag: float = 0.0
    url_ttl: float = 86_400.0
    costs_lag: float = 3_600.0
    delay_scale: float = 1.0
    real_pixels: bool = False
    max_ids: int = 200


def checked(settings: Settings) -> Settings:
    """The settings themselves; ValueError for a bad secret or an unknown mode."""
    if settings.callbacks not in MODES:
        raise ValueError(f"callbacks: one of {', '.join(sorted(MODES))}")
    for secret in settings.secrets:
        if not secret.startswith("whsec_"):
            raise ValueError("secrets: each is whsec_ and Base64")
        base64.b64decode(secret.removeprefix("whsec_"), validate=True)
    return settings
