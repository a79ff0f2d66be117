"""What is on sale here: the catalogue's models that this installation has a key for, and what a draft costs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from database.models import Draft, JobType
from services.catalogue import Catalogue, ImageModel, VideoModel
from services.pricing import Quote

Quoter = Callable[[Draft], Quote]


@dataclass(frozen=True)
class Storefront:
    """What this installation sells: `images` and `videos` say for which it has a key."""

    catalogue: Catalogue
    quote: Quoter
    images: bool = True
    videos: bool = True

    def models_for(self, type: JobType, photos: int) -> tuple[ImageModel | VideoModel, ...]:
        """Visible models that can do this with so many photos."""
        if type.is_image:
            return tuple(model for model in self.catalogue.images() if model.max_photos >= photos)
        return self.catalogue.videos(for_photo=type is JobType.ANIMATE)

    def default_model(self, type: JobType, photos: int = 0) -> str:
        """The usual model where it can do this, else the first that can."""
        usual = self.catalogue.default_image.key if type.is_image else self.catalogue.default_video.key
        able = [model.key for model in self.models_for(type, photos)]
        return usual if usual in able or not able else able[0]

    def model_of(self, draft: Draft) -> ImageModel | VideoModel:
        """Raises `UnknownModel`."""
        if draft.type.is_image:
            return self.catalogue.image(draft.model)
        return self.catalogue.video(draft.model)

    def most_photos(self, type: JobType, model: str) -> int:
        return self.catalogue.image(model).max_photos if type.is_image else 1

    def offers(self, type: JobType) -> bool:
        return self.images if type.is_image else self.videos
