"""How a process hears of signals: a stop that is asked for while a worker starts is never lost."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest

from consumers import app
from consumers.settings import Settings

SETTINGS = Settings.model_validate({"kafka": {"bootstrap_servers": "unused:9092"}})


class Quitter:
    """A worker that notes whether it was told to stop before it ran."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def stop(self) -> None:
        self.said.append("stop")

    def run(self) -> None:
        self.said.append("run")


@pytest.fixture(autouse=True)
def _signals_as_they_were(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(app, "Watchdog", lambda *_: Quitter())
    monkeypatch.setattr(Quitter, "start", lambda _: None, raising=False)
    monkeypatch.setattr(app, "spare_the_collector", lambda: None)
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    for number, handler in handlers.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_that_a_callback_swallows_still_stops(monkeypatch: pytest.MonkeyPatch, number: signal.Signals) -> None:
    """Law: librdkafka's callbacks print what is raised in them and go on; the worker hears of it before it runs."""
    worker = Quitter()

    @contextmanager
    def starting(*_: object) -> Iterator[Quitter]:
        with suppress(SystemExit):
            signal.raise_signal(number)
        yield worker

    monkeypatch.setattr(app, "service", starting)
    app.run(SETTINGS, {})
    assert worker.said == ["stop", "run"]


def test_a_stop_while_starting_ends_the_process_in_good_order(monkeypatch: pytest.MonkeyPatch) -> None:
    """Law: what was opened until then is let go of, and the exit code is 0."""
    let_go: list[str] = []

    @contextmanager
    def starting(*_: object) -> Iterator[Quitter]:
        try:
            signal.raise_signal(signal.SIGTERM)
            yield Quitter()
        finally:
            let_go.append("everything")

    monkeypatch.setattr(app, "service", starting)
    with pytest.raises(SystemExit) as ended:
        app.run(SETTINGS, {})
    assert (ended.value.code, let_go) == (0, ["everything"])
