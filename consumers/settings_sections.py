"""The settings of everything but Kafka, section by section; every number has its range, and its unit in its name."""

from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, model_validator

from consumers.settings_ranking import known_preset
from consumers.settings_section import SEPARATED_BY_COMMAS, Section
from consumers.stores.payload_indexes import payload_indexes
from schemas.identity import CatalogueKind
from schemas.scale import Scale


def _without_login(url: str) -> str:
    parts = urlsplit(url)
    if "@" in parts.netloc or parts.query:
        raise ValueError("a login does not belong into the address: set qdrant.api_key")
    return url


Address = Annotated[str, AfterValidator(_without_login)]


def _declared(attribute: str) -> str:
    payload_indexes([attribute])
    return attribute


IndexedAttribute = Annotated[str, AfterValidator(_declared)]


class QdrantSettings(Section):
    """Where the state lives."""

    store: Literal["edge", "server"] = "edge"
    """Qdrant Edge in this process, or a Qdrant server."""
    edge_path: Path = Path(".tastestream/edge")
    """Folder of the Edge store."""
    edge_disk_reserve_bytes: Annotated[int, Field(ge=0)] = 268_435_456
    """Free space below which the Edge store refuses to write."""
    url: Address | None = None
    """Address of the server's gRPC port: http://host:6334 or https://host:6334."""
    node_urls: Annotated[tuple[Address, ...], SEPARATED_BY_COMMAS] = ()
    """gRPC addresses of all nodes, needed where the collection is replicated; in a variable separated by commas."""
    api_key: SecretStr | None = None
    """API key of the server."""
    ca_file: Path | None = None
    """File with the certificates to trust (PEM); none: the system's."""
    timeout_s: Annotated[float, Field(gt=0, le=300)] = 5
    """How long one request may take."""
    collection: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,150}$")] = "users"
    """The collection of users on the server."""
    shards: Annotated[int, Field(ge=1, le=1_000)] = 1
    """Shards of a collection that is made."""
    replication_factor: Annotated[int, Field(ge=1, le=10)] = 1
    """Replicas of a collection that is made."""
    write_consistency_factor: Annotated[int, Field(ge=1, le=10)] = 1
    """Replicas that must confirm a write, of a collection that is made."""
    read_consistency: Literal["default", "quorum"] = "default"
    """How many replicas a read asks."""
    accept_lost_ratings_if_a_worker_dies: bool = False
    """Use two replicas all the same, which lose a rating when a worker dies right after a write that failed."""
    payload_indexes: bool | None = None
    """Index what filters on users ask for; unset: on a server yes, on Edge no, where it adds 2 ms each to a flush."""
    indexed_attributes: Annotated[tuple[IndexedAttribute, ...], SEPARATED_BY_COMMAS] = (
        "age:float",
        "gender:keyword",
        "occupation:keyword",
    )
    """Attributes to index, as name:kind with kind keyword, float (any number) or bool; in a variable with commas."""

    @model_validator(mode="after")
    def _require_an_address(self) -> Self:
        if self.store == "server" and self.url is None:
            raise ValueError("store = server needs url, such as http://localhost:6334")
        return self


class CatalogueSettings(Section):
    """What is rated, and on which scale; fixed in the store at its making."""

    item_ids: CatalogueKind = "integer"
    """Whether item ids are integers or strings."""
    scale_min: float = 0.5
    """The lowest rating."""
    scale_max: float = 5.0
    """The highest rating."""
    refuse_unknown_fields: bool = False
    """Make an event with an unknown field a dead letter, instead of ignoring the field."""
    fallback_title: Annotated[str, Field(min_length=1, max_length=200)] | None = None
    """Title in lists of an item without one, {item_id} for its id, such as "Movie {item_id}"; none: no title."""

    @model_validator(mode="after")
    def _require_a_scale(self) -> Self:
        Scale(self.scale_min, self.scale_max)
        return self


class LimitSettings(Section):
    """A limit on everything."""

    batch_first_records: Annotated[int, Field(ge=1, le=100_000)] = 1_000
    """Records of one step at most, as long as there is no backlog."""
    batch_max_records: Annotated[int, Field(ge=1, le=100_000)] = 50_000
    """Records of one step at most, in a backlog."""
    batch_target_s: Annotated[float, Field(gt=0, le=1_800)] = 8
    """How long a step in a backlog may take; batches grow until then, as users' ratings in one share a list."""
    poll_timeout_s: Annotated[float, Field(gt=0, le=0.25)] = 0.2
    """How long a poll waits for a record; signals wait as long."""
    flush_interval_s: Annotated[float, Field(gt=0, le=3_600)] = 0.5
    """How long writes to an Edge store wait for a flush to disk; a loss of power costs a replay of those, no more.

    The step in hand comes on top of it. The topics' retention must be longer.
    """
    step_timeout_s: Annotated[float, Field(ge=1, le=3_600)] = 60
    """After how long in one step the process ends itself, so that a restart replays it."""
    commit_timeout_s: Annotated[float, Field(ge=1, le=3_600)] = 30
    """How long a commit is tried before the producer is replaced."""
    transaction_timeout_s: Annotated[float, Field(ge=1, le=900)] = 15
    """After how long the brokers abort the transaction of a worker that died."""
    store_retry_limit_s: Annotated[float, Field(ge=0, le=86_400)] = 3_600
    """How long a store may be away before the worker stops; until then it waits, alive, not ready, in its group."""
    all_partitions_timeout_s: Annotated[float, Field(ge=1, le=86_400)] = 90
    """How long a worker with an Edge store waits to hold every partition before it stops; longer than a session."""
    shutdown_timeout_s: Annotated[float, Field(ge=1, le=600)] = 20
    """How long the step in hand may take after SIGTERM."""
    history_max_entries: Annotated[int, Field(ge=1, le=100_000)] = 2_000
    """Entries kept per user; older ones leave mean and vector, but stay seen."""
    seen_max_items: Annotated[int, Field(ge=0, le=1_000_000)] = 20_000
    """Ids kept per user of items that fell out of the history."""
    own_cache_max_bytes: Annotated[int, Field(ge=0)] = 67_108_864
    """Memory for the states of users who rate."""
    neighbour_cache_max_bytes: Annotated[int, Field(ge=0)] = 268_435_456
    """Memory for the histories of neighbours."""
    catalogue_max_items: Annotated[int, Field(ge=1, le=100_000_000)] = 500_000
    """Items of the catalogue that a worker keeps in memory, removed ones included; further ones have no titles."""
    item_ids_cache_max_items: Annotated[int, Field(ge=1, le=100_000_000)] = 100_000
    """Item ids that are text kept in memory with their dimensions, about 300 bytes each; others are read again."""
    catalogue_load_timeout_s: Annotated[float, Field(ge=0.1, le=3_600)] = 60
    """How long a worker reads the catalogue before it goes on with what it has; the rest follows between batches."""
    scan_slice_users: Annotated[int, Field(ge=1, le=100_000)] = 500
    """Stored users that are counted for popularity between two polls, when a worker starts."""
    rescan_interval_s: Annotated[float, Field(ge=1, le=86_400)] = 600
    """How often they are counted anew where other workers write to the same store."""
    dead_letter_run_limit_records: Annotated[int, Field(ge=0, le=100_000)] = 1_000
    """So many malformed records in a row stop a worker, before the last of them is committed; 0: none do."""
    dead_letter_ratio_limit: Annotated[float, Field(ge=0, le=1)] = 0.5
    """This share of malformed records stops a worker, before the last of them is committed; 0: none does."""
    dead_letter_window_records: Annotated[int, Field(ge=1, le=100_000)] = 10_000
    """The last records, of which that share is taken."""
    dead_letter_ratio_min_records: Annotated[int, Field(ge=1, le=100_000)] = 1_000
    """Fewer records than this count as this many, when that share is taken."""

    @model_validator(mode="after")
    def _require_a_window_that_counts(self) -> Self:
        if self.dead_letter_ratio_min_records > self.dead_letter_window_records:
            raise ValueError("dead_letter_ratio_min_records must not exceed dead_letter_window_records")
        return self

    @model_validator(mode="after")
    def _require_room_for_the_commit(self) -> Self:
        if self.commit_timeout_s >= self.step_timeout_s:
            raise ValueError("commit_timeout_s must lie below step_timeout_s: the commit is part of the step")
        if self.batch_target_s > self.step_timeout_s / 2:
            raise ValueError("batch_target_s must be at most half of step_timeout_s: a step may take twice the target")
        return self


def _none_if_off(value: Any) -> Any:
    return None if isinstance(value, str) and value.lower() in {"off", "none"} else value


class EvaluationSettings(Section):
    """Live evaluation: every rating is first judged by the list that its user had."""

    window_events: Annotated[int, Field(ge=0, le=100_000)] = 10_000
    """The last ratings and lists that figures are taken of; 0: no live evaluation."""
    lists_max_bytes: Annotated[int, Field(ge=0)] = 33_554_432
    """Memory for the users' last lists; a rating of a user whose list is not held is not judged."""
    publish_interval_s: Annotated[float, Field(ge=0.1, le=3_600)] = 10
    """How often new figures are published at most, to topics.metrics and on /metrics."""
    shadow: Annotated[Annotated[str, AfterValidator(known_preset)] | None, BeforeValidator(_none_if_off)] = None
    """A second preset that is judged on the same ratings, its lists never published; the same for all workers."""
    shadow_cache_max_bytes: Annotated[int, Field(ge=0)] = 67_108_864
    """Memory for the neighbours of the shadow's lists; the lists it is judged by have lists_max_bytes once more."""


class HttpSettings(Section):
    """Where metrics and health are served."""

    host: Annotated[str, Field(min_length=1)] = "127.0.0.1"
    """Address to listen on; whoever reaches it may read."""
    port: Annotated[Annotated[int, Field(ge=0, le=65_535)] | None, BeforeValidator(_none_if_off)] = 9464
    """Port to listen on; 0: any that is free, "off": none."""


class CardSettings(Section):
    """What `tastestream cards` may spend on posters; it asks for none unless the variable OMDB_API_KEY holds a key."""

    poster_cache: Path = Path(".tastestream/posters")
    """Folder of the posters that were fetched before, and of what has none."""
    poster_cache_max_bytes: Annotated[int, Field(ge=0)] = 134_217_728
    """Size of that folder; the oldest posters leave first."""
    poster_cache_max_age_s: Annotated[float, Field(ge=0, le=31_536_000)] = 2_592_000
    """After how long a poster, or that there is none, is asked for again."""
    poster_max_bytes: Annotated[int, Field(ge=1, le=16_777_216)] = 1_048_576
    """A larger poster is not taken."""
    request_timeout_s: Annotated[float, Field(gt=0, le=300)] = 5
    """How long one request may take."""
    requests_max: Annotated[int, Field(ge=0, le=100_000)] = 200
    """Requests for one page; a poster that is not kept yet takes two."""


class VerifySettings(Section):
    """How often `tastestream verify` compares the store with the topics, beside the workers."""

    interval_s: Annotated[float, Field(ge=0, le=2_592_000)] = 0
    """How long after a check begins the next one does; 0: one check, then the end."""
    sample_users: Annotated[int, Field(ge=0)] = 0
    """Users of one check, the next ones each time; 0: all."""


def _lower(value: Any) -> Any:
    return value.lower() if isinstance(value, str) else value


class LogSettings(Section):
    """What is logged, to standard error."""

    level: Annotated[Literal["debug", "info", "warning", "error"], BeforeValidator(_lower)] = "info"
    """The least level that is logged; user ids appear at debug alone."""
    format: Annotated[Literal["auto", "console", "json"], BeforeValidator(_lower)] = "auto"
    """Lines for people or for programs; auto: for people where standard error is a terminal."""
