"""Requests in, replies out: read, ask all questions of a batch together, write. Changes nothing and commits nothing.

One request must not stop the worker that keeps everybody's lists fresh: what goes wrong with one question, foreseen or
not, is the answer to that question alone. A store that is away is the exception: it concerns all of them.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import structlog

from consumers.answering.asking import Asking
from consumers.answering.findings import AnyAsked, Findings
from consumers.answering.reply_address import Addresses, place_of
from consumers.metrics import Metrics
from consumers.records import Record
from recommender.profile import UserState
from recommender.store import Store, StoreError
from schemas.messages import Message
from schemas.questions import AboutSomebody, Question
from schemas.replies import Address, Answer, error_answer, reply_message, reply_value
from schemas.request_errors import RequestError
from schemas.requests import Request, RequestLimits, decode_request
from schemas.times import format_time

Prepared = AnyAsked | RequestError

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class AnswerRules:
    """How large a request may be, how its questions are asked, how answers are found, and where they go."""

    limits: RequestLimits
    asking: Asking
    findings: Findings
    addresses: Addresses
    origin: str


@dataclass(frozen=True, slots=True)
class _Received:
    """A request, and where its reply goes."""

    record: Record
    address: Address
    request: Request


class Answers:
    """Answers one batch of requests after the other."""

    def __init__(self, rules: AnswerRules, store: Store, metrics: Metrics, clock_ms: Callable[[], int]) -> None:
        self._rules = rules
        self._store = store
        self._metrics = metrics
        self._clock_ms = clock_ms

    def answer(self, records: Sequence[Record]) -> list[Message]:
        """The replies, one per request, in order.

        Raises:
            StoreError: the store did not answer.
        """
        received = [self._received(record) for record in records]
        answers = iter(self._answered([question for one in received for question in one.request.questions]))
        now = format_time(self._clock_ms())
        return [self._reply(one, [next(answers) for _ in one.request.questions], now) for one in received]

    def _received(self, record: Record) -> _Received:
        address, error = self._rules.addresses.of(record)
        if error is not None:
            return _Received(record, address, Request((error,)))
        try:
            request = decode_request(record.value, self._rules.limits)
        except RequestError as refused:
            # Without its traceback, which holds this very frame, and in it the request.
            request = Request((refused.with_traceback(None),))
        return _Received(record, address, request)

    def _answered(self, questions: Sequence[Question | RequestError]) -> list[Answer]:
        users = {q.user_id for q in questions if isinstance(q, AboutSomebody) and q.user_id is not None}
        states = self._store.read(sorted(users), []).states if users else {}
        prepared = [q if isinstance(q, RequestError) else self._prepared(q, states) for q in questions]
        answers = iter(self._asked_together([one for one in prepared if not isinstance(one, RequestError)]))
        return [self._refused(one) if isinstance(one, RequestError) else next(answers) for one in prepared]

    def _prepared(self, question: Question, states: Mapping[str, UserState]) -> Prepared:
        try:
            return self._rules.asking.asked(question, states)
        except RequestError as error:
            return error.with_traceback(None)
        except Exception as error:  # noqa: BLE001  # a question that we fail at is one wrong answer, not an outage
            return _failed(error)

    def _asked_together(self, asked: Sequence[AnyAsked]) -> list[Answer]:
        try:
            answers = self._rules.findings.answers(asked)
        except StoreError:
            raise
        except Exception as error:  # noqa: BLE001  # as above
            if len(asked) > 1:
                return [self._asked_together([one])[0] for one in asked]
            return [self._refused(_failed(error))]
        self._metrics.request("answered", len(answers))
        return answers

    def _refused(self, error: RequestError) -> Answer:
        self._metrics.request(error.code)
        return error_answer(error)

    def _reply(self, received: _Received, answers: Sequence[Answer], now: str) -> Message:
        address, addresses = received.address, self._rules.addresses
        is_batch = received.request.is_batch
        value = reply_value(address.request_id, answers, now, is_batch=is_batch)
        if len(value) > (max_bytes := addresses.reply_max_bytes(address)):
            error = RequestError("reply_too_large", f"the reply would have {len(value)} bytes, more than {max_bytes}")
            value = reply_value(address.request_id, [self._refused(error)], now, is_batch=False)
        return reply_message(address, value, self._rules.origin, now, place_of(received.record))


def _failed(error: Exception) -> RequestError:
    log.error("a question could not be answered", exc_info=error)
    return RequestError("internal", "the question could not be answered; the worker's log has the reason")
