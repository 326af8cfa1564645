"""`tastestream factors`: item factors from what stands in the topics, or in a data set."""

from collections import defaultdict
from contextlib import closing
from pathlib import Path
from typing import Annotated

import typer

from consumers.app import check_cluster
from consumers.commands.context import Json, console, print_json, progress_bar, settings_of
from consumers.existing_store import existing_item_ids
from consumers.factor_files import write_factors
from consumers.factor_training import document, trained_factors
from consumers.item_ids import ItemIds
from consumers.named_datasets import HELP, named_dataset
from consumers.settings import Settings
from consumers.settings_mapping import has_text_ids, history_limits, ranking_rules, rating_scale, store_settings
from consumers.topic_states import Events, FileEvents, TopicEvents
from producers.replay import ReplayPlan
from recommender.factors import DIMENSIONS
from recommender.profile import NEW_USER, History, HistoryLimits, Update, fold

app = typer.Typer(no_args_is_help=True, help="Item factors, by a truncated SVD of what users have rated.")


@app.command("train")
def train_command(
    context: typer.Context,
    out: Annotated[Path, typer.Option("--out", help="File to write; set ranking.factors_file to it.", dir_okay=False)],
    file: Annotated[str | None, typer.Option("--file", help=f"Take a data set, not the topics. {HELP}")] = None,
    dimensions: Annotated[int, typer.Option("--dimensions", min=1, max=512, help="Factors of an item.")] = DIMENSIONS,
    json: Json = False,
) -> None:
    """Make factors of every rating that stands in the topics; reads only, beside workers that run.

    Where item ids are text and the store is Qdrant Edge, the worker has to be stopped: it holds their registry.
    """
    settings = _without_factors(settings_of(context))
    with closing(existing_item_ids(settings)) as items:
        histories = _histories(settings, _events(settings, file, items))
    factors = trained_factors(histories, ranking_rules(settings).value, dimensions)
    write_factors(factors, out)
    if json:
        print_json(document(factors) | {"file": str(out)})
    else:
        console.print(
            f"{factors.dimensions} factors of {len(factors.items):,} items written to {out} ({factors.fingerprint})",
            markup=False,
            highlight=False,
        )


def _without_factors(settings: Settings) -> Settings:
    """The settings of a deployment that need not have the very file that is to be made."""
    ranking = settings.ranking.model_copy(update={"factors_weight": 0.0})
    return settings.model_copy(update={"ranking": ranking})


def _events(settings: Settings, file: str | None, items: ItemIds) -> Events:
    if file is not None:
        dataset = named_dataset(file, rating_scale(settings))
        return FileEvents(ReplayPlan(dataset, text_ids=has_text_ids(settings)), items)
    check_cluster(settings)
    return TopicEvents(settings, items)


def _histories(settings: Settings, events: Events) -> list[History]:
    limits: HistoryLimits = history_limits(settings)
    updates: defaultdict[str, list[Update]] = defaultdict(list)
    events.begin(store_settings(settings))
    with progress_bar("reading ratings") as report:
        for update in events.updates(report):
            updates[update.user_id].append(update)
    return [fold(NEW_USER, some, limits).history for some in updates.values()]
