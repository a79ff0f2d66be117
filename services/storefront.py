"""What is sold here: the catalogue's models that this installation has a key for, and drafts that fit them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from database.models import Draft, JobType
from services.catalogue import Catalogue, ImageModel, VideoModel
from services.errors import BadDraft
from services.pricing import Quote

Quoter = Callable[[Draft], Quote]


@dataclass(frozen=True)
class Storefront:
    """`quote` prices a draft; `images` and `videos` say for which kinds of model this installation has a key."""

    catalogue: Catalogue
    quote: Quoter
    images: bool = True
    videos: bool = True

    def require(self, type: JobType) -> None:
        """Raises BadDraft("provider_off") when jobs of this type are not sold here."""
        if not (self.images if type.is_image else self.videos):
            raise BadDraft("provider_off")

    @property
    def cheapest_image(self) -> int:
        """Kopecks for the cheapest image."""
        return min(offer.price for model in self.catalogue.images() for offer in model.sizes.values())

    @property
    def cheapest_video(self) -> int:
        """Kopecks for the cheapest video."""
        return min(
            offer.price * min(model.durations)
            for model in self.catalogue.videos()
            for offer in model.resolutions.values()
        )

    def models_for(self, type: JobType, photos: int) -> tuple[ImageModel | VideoModel, ...]:
        """The visible models that can make this from so many photos."""
        if type.is_image:
            return tuple(model for model in self.catalogue.images() if model.max_photos >= photos)
        return self.catalogue.videos(for_photo=type is JobType.ANIMATE)

    def default_model(self, type: JobType, photos: int = 0) -> str:
        """The key of the default model, or of the first that can make this when the default can't."""
        usual = self.catalogue.default_image.key if type.is_image else self.catalogue.default_video.key
        able = [model.key for model in self.models_for(type, photos)]
        return usual if usual in able or not able else able[0]

    def model_of(self, draft: Draft) -> ImageModel | VideoModel:
        """The draft's model. Raises UnknownModel."""
        if draft.type.is_image:
            return self.catalogue.image(draft.model)
        return self.catalogue.video(draft.model)

    def max_photos(self, type: JobType, model: str) -> int:
        """How many photos a draft of this type may have. Raises UnknownModel."""
        return self.catalogue.image(model).max_photos if type.is_image else 1

    def fitted(self, draft: Draft) -> Draft:
        """The draft with a model that is sold and options that the model has."""
        keys = [model.key for model in self.models_for(draft.type, len(draft.inputs))]
        if draft.model not in keys:
            draft = replace(draft, model=self.default_model(draft.type, len(draft.inputs)))
        return replace(draft, params=self.quote(draft).params)

    def as_video(self, draft: Draft) -> Draft:
        """The same prompt as a video; of the photos only the first is kept."""
        draft = replace(draft, inputs=draft.inputs[:1])
        return self._as_type(draft, JobType.ANIMATE if draft.inputs else JobType.VIDEO)

    def as_image(self, draft: Draft) -> Draft:
        """The same prompt and photos as an image."""
        return self._as_type(draft, JobType.EDIT if draft.inputs else JobType.IMAGE)

    def _as_type(self, draft: Draft, type: JobType) -> Draft:
        if draft.type.is_image is not type.is_image:
            draft = replace(draft, model=self.default_model(type, len(draft.inputs)), params={})
        return self.fitted(replace(draft, type=type))
