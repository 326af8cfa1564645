"""Questions: about a user, about somebody's likes, or about an item; each kind has a model of its own.

Unknown fields are errors, because a misspelt condition that is ignored gives a wrong answer.
"""

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from schemas.identity import ItemId, UserId
from schemas.request_conditions import ItemConditions, Labels, NeighbourConditions, QueryRules, VoteWindow
from schemas.request_errors import ErrorCode

TITLE_MAX_CHARS = 500
LINK_MAX_CHARS = 64
LIKES_MAX = 1_000
"""Likes of one question, whatever a deployment allows."""
N_MAX = 500
"""Items or users of one answer, whatever a deployment allows."""
EXPLAIN_MAX = 100
"""Items of one request that say why they are there, whatever a deployment allows."""

_NAMES_OF_AN_ITEM = ("item_id", "title", "imdb", "tmdb")


def _schema_version(given: Any) -> Any:
    if given is True or not isinstance(given, int) or given != 1:
        raise PydanticCustomError("unsupported_schema", "this version reads schema 1, which a missing one means too")
    return given


def _like(given: Any) -> Any:
    # True equals 1, and a literal would take it for that.
    if isinstance(given, bool):
        raise ValueError("a like is 1 or -1")
    return given


def _require_one(part: BaseModel, names: tuple[str, ...], what: str) -> None:
    given = [name for name in names if getattr(part, name) is not None]
    if len(given) != 1:
        code: ErrorCode = "contradiction" if given else "missing_field"
        many = f"not by {' and '.join(given)} at once" if given else "and none is given"
        raise PydanticCustomError(code, "{why}", {"why": f"{what} by one of {', '.join(names)}, {many}"})


class _Part(BaseModel):
    model_config = ConfigDict(strict=True, allow_inf_nan=False, frozen=True, extra="forbid", populate_by_name=True)


class NamedItem(_Part):
    """An item by one name of it; a title is looked up in the catalogue, and so is an id of IMDb or TMDB."""

    item_id: ItemId | None = None
    title: Annotated[str, Field(min_length=1, max_length=TITLE_MAX_CHARS)] | None = None
    imdb: Annotated[str, Field(min_length=1, max_length=LINK_MAX_CHARS)] | None = None
    tmdb: Annotated[str, Field(min_length=1, max_length=LINK_MAX_CHARS)] | None = None

    @property
    def name(self) -> tuple[str, int | str]:
        """How the item is named: the field, and what it says."""
        return next((field, value) for field in _NAMES_OF_AN_ITEM if (value := getattr(self, field)) is not None)


class Like(NamedItem):
    """An item that somebody without a profile likes or not: one name of it, and one judgement.

    `like` is 1 or -1; `rating` is on the catalogue's scale.
    """

    rating: float | None = None
    like: Annotated[Literal[1, -1] | None, BeforeValidator(_like)] = None

    @model_validator(mode="after")
    def _require_one_name_and_one_judgement(self) -> Self:
        _require_one(self, _NAMES_OF_AN_ITEM, "a like names its item")
        _require_one(self, ("rating", "like"), "a like is told")
        return self


class Wishes(_Part):
    """Genres and tags that somebody would like now, whatever they rated."""

    genres: Labels = ()
    tags: Labels = ()

    @model_validator(mode="after")
    def _require_one_label(self) -> Self:
        if not self.genres and not self.tags:
            raise PydanticCustomError("missing_field", "wishes name at least one genre or tag")
        return self


class _AboutSomebody(_Part):
    """About a known user, about likes, or about wishes; `n` is how many items or users are wanted.

    Wishes may also come with a user or with likes; then they stand in place of the taste that these show.
    """

    user_id: UserId | None = None
    likes: Annotated[tuple[Like, ...], Field(max_length=LIKES_MAX, strict=False)] | None = None
    wishes: Wishes | None = None
    n: Annotated[int, Field(ge=1, le=N_MAX)] = 10
    neighbours: NeighbourConditions = NeighbourConditions()
    rules: QueryRules = QueryRules()
    schema_version: Annotated[Literal[1], BeforeValidator(_schema_version)] = Field(default=1, alias="schema")

    @model_validator(mode="after")
    def _require_somebody(self) -> Self:
        if self.wishes is None or (self.user_id is not None and self.likes is not None):
            _require_one(self, ("user_id", "likes"), "whom a question is about is told")
        if self.likes is not None and not self.likes:
            raise PydanticCustomError("empty_likes", "likes is empty: name at least one item")
        return self


class Recommend(_AboutSomebody):
    """Which items? The first `explain` of them say why they are there."""

    type: Literal["recommend"] = "recommend"
    votes: VoteWindow = VoteWindow()
    items: ItemConditions = ItemConditions()
    explain: Annotated[int, Field(ge=0, le=EXPLAIN_MAX)] = 0


class SimilarUsers(_AboutSomebody):
    """Which users are nearest?"""

    type: Literal["similar_users"]


class SimilarItems(NamedItem):
    """Which items are most like this one: by genres, tags and year, or by who rated them?"""

    type: Literal["similar_items"]
    by: Literal["content", "ratings"] = "content"
    n: Annotated[int, Field(ge=1, le=N_MAX)] = 10
    schema_version: Annotated[Literal[1], BeforeValidator(_schema_version)] = Field(default=1, alias="schema")

    @model_validator(mode="after")
    def _require_one_name(self) -> Self:
        _require_one(self, _NAMES_OF_AN_ITEM, "the item is named")
        return self


AboutSomebody = Recommend | SimilarUsers
Question = AboutSomebody | SimilarItems

QUESTION_MODELS: dict[str, type[Recommend | SimilarUsers | SimilarItems]] = {
    "recommend": Recommend,
    "similar_users": SimilarUsers,
    "similar_items": SimilarItems,
}


class QuestionBatch(_Part):
    """Several questions in one request; each has an answer or an error of its own."""

    type: Literal["batch"]
    questions: Annotated[tuple[Question, ...], Field(min_length=1, strict=False)]
    schema_version: Annotated[Literal[1], BeforeValidator(_schema_version)] = Field(default=1, alias="schema")
