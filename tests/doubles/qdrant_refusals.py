"""What the Qdrant double answers instead of a result: a gRPC status with a sentence.

Codes follow Qdrant's own mapping: bad input INVALID_ARGUMENT, unknown things NOT_FOUND. What the double does not know
it refuses as UNIMPLEMENTED instead of ignoring it, so that no test passes because a setting was dropped silently.
"""

from collections.abc import Sequence

from google.protobuf.message import Message
from grpc import StatusCode

# One node has one replica and applies before it answers, so these change nothing in what the double says.
WITHOUT_EFFECT_ON_ONE_NODE = frozenset({"collection_name", "wait", "ordering", "read_consistency", "timeout"})


class Refused(Exception):  # noqa: N818 - a refusal is an answer of the server, not a fault of the program
    """A request that is answered with a status other than OK."""

    def __init__(self, code: StatusCode, sentence: str, metadata: Sequence[tuple[str, str]] = ()) -> None:
        super().__init__(sentence)
        self.code = code
        self.sentence = sentence
        self.metadata = tuple(metadata)


def bad_input(sentence: str) -> Refused:
    return Refused(StatusCode.INVALID_ARGUMENT, sentence)


def not_found(sentence: str) -> Refused:
    return Refused(StatusCode.NOT_FOUND, f"Not found: {sentence}")


def unserved(what: str) -> Refused:
    return Refused(StatusCode.UNIMPLEMENTED, f"the Qdrant double does not serve {what}")


def only(message: Message, *served: str) -> None:
    """Refuse a message that sets a field beyond `served` which the double would have to ignore."""
    present = {field.name for field, _ in message.ListFields()}
    if extra := present - WITHOUT_EFFECT_ON_ONE_NODE - set(served):
        raise unserved(f"{message.DESCRIPTOR.name}.{min(extra)}")
