"""The providers, by the names that the catalogue uses."""

from __future__ import annotations

from dataclasses import dataclass, field

from services.base_provider import ImageProvider, VideoProvider
from services.providers.kling import GLOBAL_URL, Kling
from services.providers.nano_banana import GOOGLE_URL, NanoBanana


@dataclass(frozen=True)
class Providers:
    """The providers of this process; one without a key is missing."""

    images: dict[str, ImageProvider] = field(default_factory=dict)
    videos: dict[str, VideoProvider] = field(default_factory=dict)

    def image(self, name: str) -> ImageProvider | None:
        return self.images.get(name)

    def video(self, name: str) -> VideoProvider | None:
        return self.videos.get(name)

    async def close(self) -> None:
        for provider in [*self.images.values(), *self.videos.values()]:
            await provider.close()


def open_providers(
    *,
    gemini_api_key: str = "",
    gemini_base_url: str = GOOGLE_URL,
    gemini_auth_style: str = "x-goog-api-key",
    gemini_proxy: str | None = None,
    kling_api_key: str = "",
    kling_base_url: str = GLOBAL_URL,
    kling_proxy: str | None = None,
    kling_batch: int = 20,
) -> Providers:
    """Every provider whose key is set, with the settings of the same names. Nothing is sent yet.

    Raises `ValueError` for a key, auth style or proxy that cannot work.
    """
    images: dict[str, ImageProvider] = {}
    videos: dict[str, VideoProvider] = {}
    if gemini_api_key:
        images[NanoBanana.name] = NanoBanana(
            api_key=gemini_api_key,
            base_url=gemini_base_url or GOOGLE_URL,
            auth_style=gemini_auth_style or "x-goog-api-key",
            proxy=gemini_proxy,
        )
    if kling_api_key:
        videos[Kling.name] = Kling(
            api_key=kling_api_key, base_url=kling_base_url or GLOBAL_URL, proxy=kling_proxy, batch=kling_batch
        )
    return Providers(images, videos)
