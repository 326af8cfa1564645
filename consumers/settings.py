"""The settings of the service: read once, checked as a whole, never changed.

- Highest first: what the command line gives, environment `TASTESTREAM_*` (sections with `__`), `.env`, TOML, defaults.
- Secrets are `SecretStr`: no repr, error or listing shows them.
- `namespace` prefixes everything that is shared in a cluster: ask `Settings` for names, not the sections.
"""

import os
import re
import socket
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, NamedTuple, Self

from pydantic import Field, PrivateAttr, SecretStr, ValidationError, model_validator
from pydantic_settings import BaseSettings, InitSettingsSource, SettingsConfigDict

from consumers.settings_filters import FilterSettings
from consumers.settings_kafka import KafkaSettings, TopicSettings, check_topic_name
from consumers.settings_ranking import RankingSettings
from consumers.settings_requests import RequestSettings
from consumers.settings_sections import (
    CardSettings,
    CatalogueSettings,
    EvaluationSettings,
    HttpSettings,
    LimitSettings,
    LogSettings,
    QdrantSettings,
    VerifySettings,
)
from consumers.settings_sources import (
    CONFIG_VARIABLE,
    SettingsError,
    document_layer,
    places_of,
    read_dotenv,
    read_toml,
    setting_fields,
    validation_problems,
    variables_layer,
)
from recommender.rules import PRESETS

DEFAULT_FILE = "tastestream.toml"
_HIDDEN = "***"
# What librdkafka properties of these families hold is never shown: keys, passwords and tokens are among them.
_HIDDEN_PROPERTIES = re.compile(r"(ssl|sasl)\.")


class SettingRow(NamedTuple):
    """One setting as `tastestream config check` lists it; `source` is where its value comes from."""

    name: str
    value: str
    source: str


class Settings(BaseSettings):
    """Everything an operator may decide.

    `Settings(kafka={...})` holds what it is given and defaults, and reads nothing; `load_settings` reads the sources.
    """

    model_config = SettingsConfigDict(
        frozen=True, extra="forbid", use_attribute_docstrings=True, hide_input_in_errors=True, case_sensitive=True
    )

    namespace: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-][A-Za-z0-9._-]{0,63}$")] | None = None
    """Prefix of topics, group, transactional id and collection, so that several deployments share a cluster."""
    instance: Annotated[str, Field(pattern=r"^[!-~]{1,200}$")] = Field(default_factory=socket.gethostname)
    """This worker's own name: stable over restarts, and no other worker's; by default the host name."""
    kafka: KafkaSettings = KafkaSettings()
    topics: TopicSettings = TopicSettings()
    qdrant: QdrantSettings = QdrantSettings()
    catalogue: CatalogueSettings = CatalogueSettings()
    ranking: RankingSettings = RankingSettings()
    filters: FilterSettings = FilterSettings()
    evaluation: EvaluationSettings = EvaluationSettings()
    limits: LimitSettings = LimitSettings()
    requests: RequestSettings = RequestSettings()
    http: HttpSettings = HttpSettings()
    cards: CardSettings = CardSettings()
    verify: VerifySettings = VerifySettings()
    log: LogSettings = LogSettings()

    _places: dict[str, str] = PrivateAttr(default_factory=dict)

    def __init__(self, *layers: Mapping[str, Any], **given: Any) -> None:
        """Settings from what is given and, below it, from layers of nested tables, highest first."""
        sources = tuple(InitSettingsSource(type(self), dict(layer)) for layer in (given, *layers))
        super().__init__(_build_sources=(sources, {}))

    @model_validator(mode="after")
    def _require_legal_topic_names(self) -> Self:
        optional = [name for name in (self.items_topic, self.metrics_topic) if name is not None]
        ours = (*self.input_topics, self.recommendations_topic, self.dead_letter_topic, *self.request_topics, *optional)
        for name in ours:
            check_topic_name(name)
        if taken := sorted(set(self.requests.reply_topics) & set(ours)):
            raise ValueError(f"requests.reply_topics names {taken[0]!r}, which has a purpose of its own")
        return self

    @model_validator(mode="after")
    def _require_a_catalogue_for_content(self) -> Self:
        if self.ranking.content_weight and self.items_topic is None:
            raise ValueError("ranking.content_weight needs a catalogue, and topics.items is off: name its topic")
        return self

    @model_validator(mode="after")
    def _require_a_shadow_that_can_be_judged(self) -> Self:
        shadow, ranking = self.evaluation.shadow, self.ranking
        if shadow is None:
            return self
        if shadow == ranking.preset:
            raise ValueError(f"evaluation.shadow: {shadow} makes the published lists already: name another preset")
        if not self.evaluation.window_events:
            raise ValueError("evaluation.shadow needs live evaluation: set evaluation.window_events above 0")
        is_fixed = PRESETS[shadow].value.centre is not None
        if is_fixed and (ranking.global_mean is None or ranking.global_deviation is None):
            raise ValueError(f"evaluation.shadow: {shadow} needs ranking.global_mean and ranking.global_deviation")
        return self

    def prefixed(self, name: str) -> str:
        """The name with the namespace before it."""
        return name if self.namespace is None else f"{self.namespace}.{name}"

    @property
    def input_topics(self) -> tuple[str, ...]:
        """The topics that are read."""
        return tuple(self.prefixed(name) for name in self.topics.ratings)

    @property
    def recommendations_topic(self) -> str:
        """The topic of lists."""
        return self.prefixed(self.topics.recommendations)

    @property
    def dead_letter_topic(self) -> str:
        """The topic of records that cannot be used."""
        return self.prefixed(self.topics.dead_letters)

    @property
    def items_topic(self) -> str | None:
        """The topic of the catalogue; None: there is none."""
        return None if self.topics.items is None else self.prefixed(self.topics.items)

    @property
    def request_topics(self) -> tuple[str, ...]:
        """The topics of requests and of replies, in this order; none where requests are off."""
        topics = self.topics
        return tuple(self.prefixed(name) for name in (topics.requests, topics.replies) if name is not None)

    @property
    def request_group(self) -> str:
        """The consumer group of the requests, which are shared out on their own."""
        return f"{self.group}.requests"

    @property
    def metrics_topic(self) -> str | None:
        """The topic of live evaluation's figures, if there is to be one."""
        return None if self.topics.metrics is None else self.prefixed(self.topics.metrics)

    @property
    def group(self) -> str:
        """The consumer group."""
        return self.prefixed(self.kafka.group)

    @property
    def transactional_id(self) -> str:
        """The transactional id of this worker; a second process with the same one fences the first."""
        return f"{self.group}.{self.instance}"

    @property
    def redrive_transactional_id(self) -> str:
        """The transactional id of `dead-letters redrive`: one per group, so that a second one fences the first."""
        return f"{self.group}/redrive"

    @property
    def collection(self) -> str:
        """The collection on a Qdrant server."""
        return self.prefixed(self.qdrant.collection)

    @property
    def edge_folder(self) -> Path:
        """The folder of the Edge store; each namespace has its own."""
        return self.qdrant.edge_path.with_name(self.prefixed(self.qdrant.edge_path.name))

    def described(self) -> list[SettingRow]:
        """Every setting with its value and where it comes from, in order; secrets as ***."""
        return [row for name in setting_fields(type(self)) for row in self._rows(name)]

    def _rows(self, name: str) -> Iterator[SettingRow]:
        value: Any = self
        for part in name.split("."):
            value = getattr(value, part)
        if isinstance(value, dict) and value:
            for key, entry in value.items():
                shown = _HIDDEN if _HIDDEN_PROPERTIES.match(key) else entry.get_secret_value()
                yield SettingRow(f"{name}.{key}", shown, self._places.get(f"{name}.{key}", "default"))
        else:
            yield SettingRow(name, _shown(value), self._places.get(name, "default"))


def _shown(value: Any) -> str:
    match value:
        case None | {}:
            return "none"
        case SecretStr():
            return _HIDDEN
        case bool():
            return str(value).lower()
        case tuple():
            return ",".join(value)
    return str(value)


def load_settings(
    config_file: Path | None = None,
    given: Mapping[str, Any] | None = None,
    environment: Mapping[str, str] | None = None,
    folder: Path = Path(),
) -> Settings:
    """The settings from every source.

    Args:
        config_file: the TOML file of `--config`; else `TASTESTREAM_CONFIG` names it, else `tastestream.toml` if any.
        given: what the command line gives, as nested tables; None counts as not given.
        environment: the environment variables; by default this process's.
        folder: where `.env` and `tastestream.toml` are looked for.

    Raises:
        SettingsError: whatever is wrong, one line per problem, of all sources at once.
    """
    fields = setting_fields(Settings)
    variables = os.environ if environment is None else environment
    dotenv = read_dotenv(folder / ".env")
    file = _config_file(config_file, variables.get(CONFIG_VARIABLE) or dotenv.get(CONFIG_VARIABLE), folder)
    layers = [
        document_layer(given or {}, fields, "command line"),
        variables_layer(variables, fields),
        variables_layer(dotenv, fields, ".env"),
        document_layer(read_toml(file) if file else {}, fields, str(file)),
    ]
    problems = [problem for layer in layers for problem in layer.problems]
    places = places_of(layers)
    try:
        settings = Settings(*(layer.nested() for layer in layers))
    except ValidationError as error:
        raise SettingsError(problems + validation_problems(error, fields, places)) from None
    if problems:
        raise SettingsError(problems)
    settings._places.update(places)  # noqa: SLF001  # its own module
    return settings


def _config_file(chosen: Path | None, named: str | None, folder: Path) -> Path | None:
    if chosen or named:
        return chosen or Path(str(named))
    return folder / DEFAULT_FILE if (folder / DEFAULT_FILE).is_file() else None
