"""Health over real HTTP."""

import contextlib
import http.client
import socket
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
import structlog

from consumers.health import Health, HealthServer, HealthServerError
from consumers.metrics import Metrics

SILENCE_MAX_S = 30.0


class Clock:
    def __init__(self) -> None:
        self.now_s = 1_000.0

    def __call__(self) -> float:
        return self.now_s


@dataclass
class Served:
    """A health server with all that is behind it."""

    server: HealthServer
    health: Health
    metrics: Metrics
    clock: Clock

    def ask(self, path: str, method: str = "GET") -> tuple[int, str]:
        connection = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=10)
        try:
            connection.request(method, path)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        finally:
            connection.close()


@pytest.fixture
def served() -> Iterator[Served]:
    clock, metrics = Clock(), Metrics()
    health = Health(SILENCE_MAX_S, clock)
    with HealthServer("127.0.0.1", 0, health, metrics) as server:
        yield Served(server, health, metrics, clock)


def test_a_worker_lives_while_it_beats(served: Served) -> None:
    """Law: live until the last beat is older than the limit, and again after the next; the body says why not."""
    assert served.ask("/livez") == (200, "ok\n")
    served.clock.now_s += SILENCE_MAX_S
    assert served.ask("/livez")[0] == 200
    served.clock.now_s += 0.5
    status, body = served.ask("/livez")
    assert status == 503
    assert "30.5 s" in body
    served.health.beat()
    assert served.ask("/livez")[0] == 200


def test_a_worker_is_ready_when_it_says_so(served: Served) -> None:
    """Law: not before its first word, not after a word to the contrary, and never while it hangs."""
    assert served.ask("/readyz") == (503, "the worker has not started yet\n")
    served.health.ready(True)
    assert served.ask("/readyz") == (200, "ok\n")
    served.health.ready(False, "no partitions are assigned")
    assert served.ask("/readyz") == (503, "no partitions are assigned\n")
    assert served.ask("/livez")[0] == 200
    served.health.ready(True)
    served.clock.now_s += SILENCE_MAX_S + 1
    assert served.ask("/readyz")[0] == 503


def test_metrics_are_served_as_they_stand(served: Served) -> None:
    """Law: /metrics is what `render` gives, at the time of asking."""
    served.metrics.assigned(6)
    status, body = served.ask("/metrics")
    assert status == 200
    assert "tastestream_assigned_partitions 6.0" in body


def test_the_server_is_read_only(served: Served) -> None:
    """Law: unknown paths are not found, nothing but GET and HEAD is answered."""
    assert served.ask("/")[0] == 404
    assert served.ask("/livez?verbose")[0] == 200
    assert served.ask("/livez", "HEAD") == (200, "")
    assert {served.ask("/livez", method)[0] for method in ("POST", "PUT", "DELETE")} == {501}


def test_a_client_that_says_nothing_holds_nobody_up(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    """Law: an open connection without a request does not keep a probe from its answer, were it never dropped."""
    monkeypatch.setattr("consumers.health._Handler.timeout", None)
    with socket.create_connection(("127.0.0.1", served.server.port)):
        assert served.ask("/livez")[0] == 200


@pytest.mark.parametrize(("error", "logged"), [(ConnectionResetError(), 0), (TimeoutError(), 0), (KeyError("x"), 1)])
def test_a_client_that_hangs_up_is_no_error_of_the_service(
    served: Served, capfd: pytest.CaptureFixture[str], error: Exception, logged: int
) -> None:
    """Law: a lost connection leaves no line, anything else is logged, and nothing is printed past the log."""
    with structlog.testing.capture_logs() as lines, contextlib.suppress(type(error)):
        try:
            raise error
        finally:
            served.server._server.handle_error(None, ("127.0.0.1", 1))
    assert [line["exc_info"] for line in lines] == [error] * logged
    assert capfd.readouterr().err == ""


def test_a_taken_port_is_an_error_that_names_the_setting(served: Served) -> None:
    """Law: the second server on a port says which, and what to set."""
    with pytest.raises(HealthServerError, match=rf"127\.0\.0\.1:{served.server.port}.*http\.port"):
        HealthServer("127.0.0.1", served.server.port, served.health, served.metrics)


def test_an_address_that_is_not_ours_is_an_error() -> None:
    """Law: neither a foreign address nor a name without one is a traceback."""
    for host in ("192.0.2.1", "no-such-host.invalid"):
        with pytest.raises(HealthServerError, match=r"http\.host"):
            HealthServer(host, 0, Health(1), Metrics())


def test_after_closing_nothing_listens_any_more() -> None:
    """Law: the port is free again at once, and closing twice is no error."""
    server = HealthServer("127.0.0.1", 0, Health(1), Metrics())
    server.close()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", server.port))
    with HealthServer("127.0.0.1", server.port, Health(1), Metrics()) as again:
        assert again.port == server.port
    server.close()
