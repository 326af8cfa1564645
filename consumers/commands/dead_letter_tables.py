"""How dead letters look, to people and to programs. Their bytes are anybody's: none reaches a terminal unescaped."""

import base64
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from confluent_kafka import Message
from rich.table import Table
from rich.text import Text

from consumers.redrive import Redriven, Verdict
from consumers.redrive_letters import Letter, headers_of
from schemas.messages import Headers
from schemas.redriven import original_headers
from schemas.times import format_time

KEY_SHOWN_MAX_CHARS = 32
VALUE_SHOWN_MAX_BYTES = 4_096
_HEX_LINE_BYTES = 32

LEFT_ALONE: Mapping[Verdict, str] = {
    "sent_before": "sent again before",
    "too_many_attempts": "tried as often as --max-attempts allows: raise it to send them once more",
    "incomplete": "without the original's bytes, which were too large: they stand in the input topic, see `show`",
    "no_origin": "without a word on where they come from: not written by this service",
    "no_such_input": "from a topic or partition that is no input (topics.ratings)",
    "too_large": "larger than their input topic takes (max.message.bytes), even packed",
}


def letter_document(letter: Letter, *, redriven: bool) -> dict[str, Any]:
    """A dead letter for programs; `at` is when it was written."""
    refusal, origin = letter.refusal, letter.refusal.origin
    return {
        "letter": letter.name,
        "at": format_time(letter.at_ms),
        "reason": refusal.reason or None,
        "explanation": refusal.explanation,
        "topic": origin and origin.topic,
        "partition": None if origin is None else origin.partition,
        "offset": None if origin is None else origin.offset,
        "key": None if letter.key is None else letter.key.decode(errors="replace"),
        "attempts": refusal.attempts,
        "value_bytes": letter.value_bytes,
        "omitted": list(refusal.omitted),
        "redriven": redriven,
    }


def original_document(letter: Letter, message: Message) -> dict[str, Any]:
    """What the original was, for programs: bytes in base64, and as text where they are UTF-8."""
    headers = original_headers(headers_of(message))
    return {
        "timestamp_ms": letter.refusal.timestamp_ms,
        **_document("key", message.key()),
        **_document("value", message.value()),
        "headers": [{"name": name, **_document("value", value)} for name, value in headers],
    }


def letters_table(letters: Iterable[Letter], redriven: frozenset[tuple[int, int]]) -> Table:
    """One line per dead letter."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    for column in ("letter", "written", "reason", "from", "key", "attempt", ""):
        table.add_column(column, justify="right" if column == "attempt" else "left")
    for letter in letters:
        origin = letter.refusal.origin
        table.add_row(
            letter.name,
            format_time(letter.at_ms),
            Text(printable(letter.refusal.reason) or "none"),
            Text("unknown" if origin is None else f"{printable(origin.topic)}-{origin.partition}@{origin.offset}"),
            Text(_key_text(letter.key)),
            str(letter.refusal.attempts),
            "redriven" if letter.place in redriven else "incomplete" if letter.refusal.omitted else "",
        )
    return table


def counts_table(letters: Sequence[Letter], redriven: frozenset[tuple[int, int]]) -> Table:
    """How many there are of each reason and topic, and how many of those were sent again."""
    counts = Counter(_group(letter) for letter in letters)
    again = Counter(_group(letter) for letter in letters if letter.place in redriven)
    table = Table(box=None, pad_edge=False, header_style="dim")
    for column in ("reason", "topic", "dead letters", "redriven"):
        table.add_column(column, justify="left" if column in {"reason", "topic"} else "right")
    for (reason, topic), count in counts.most_common():
        table.add_row(Text(reason), Text(topic), f"{count:,}", f"{again[reason, topic]:,}")
    return table


def letter_lines(letter: Letter, message: Message, *, redriven: bool) -> list[str]:
    """Everything about a dead letter, for people."""
    refusal = letter.refusal
    stamp = "none" if refusal.timestamp_ms is None else f"{refusal.timestamp_ms} ms since 1970"
    lines = [
        f"dead letter {letter.name} of {message.topic()}, written {format_time(letter.at_ms)}",
        f"reason: {printable(refusal.reason) or 'none'}: {printable(refusal.explanation)}",
        f"from: {printable(str(refusal.origin or 'unknown'))}, its timestamp {stamp}",
        f"attempt: {refusal.attempts}{', sent again since' if redriven else ''}",
    ]
    if refusal.omitted:
        lines.append(
            f"left out, too large: {printable(', '.join(refusal.omitted))}; the original stands where it came from"
        )
    headers = headers_of(message)
    theirs = original_headers(headers)
    lines += ["", f"key: {_bytes_text(message.key())}", "", "headers of the original:", *_header_lines(theirs)]
    lines += ["headers of the dead letter:", *_header_lines(headers[len(theirs) :])]
    value_lines = ["  left out"] if "value" in refusal.omitted else _value_lines(message.value())
    return [*lines, "", f"value, {letter.value_bytes:,} bytes:", *value_lines]


def redrive_lines(done: Redriven, topic: str, *, executed: bool) -> list[str]:
    """What was or would be done."""
    due, total = done.count("due"), len(done.verdicts)
    verb = f"sent {len(done.sent):,}" if executed else f"would send {due:,}"
    lines = [f"{verb} of {total:,} dead letters of {topic} back to where they came from"]
    lines += [f"  {count:,}  {printable(reason)} -> {printable(name)}" for (reason, name), count in done.due().items()]
    lines += [f"left alone: {count:,} {said}" for verdict, said in LEFT_ALONE.items() if (count := done.count(verdict))]
    if executed and len(done.sent) < due:
        lines.append(f"{due - len(done.sent):,} were deleted by the topic's retention meanwhile")
    if not executed and due:
        lines.append("nothing was sent: add --execute to send them")
    return lines


def redrive_document(done: Redriven, *, executed: bool) -> dict[str, Any]:
    """What was or would be done, for programs."""
    return {
        "executed": executed,
        "letters": len(done.verdicts),
        "due": done.count("due"),
        "sent": len(done.sent),
        "due_by": [{"reason": reason, "topic": topic, "count": n} for (reason, topic), n in done.due().items()],
        "left_alone": {verdict: done.count(verdict) for verdict in LEFT_ALONE},
    }


def printable(text: str) -> str:
    """A text in which everything that would act on a terminal is escaped."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode() for c in text)


def _group(letter: Letter) -> tuple[str, str]:
    origin = letter.refusal.origin
    return printable(letter.refusal.reason) or "none", "unknown" if origin is None else printable(origin.topic)


def _key_text(key: bytes | None) -> str:
    if key is None:
        return "null"
    text = printable(key.decode(errors="backslashreplace"))
    return text if len(text) <= KEY_SHOWN_MAX_CHARS else text[: KEY_SHOWN_MAX_CHARS - 1] + "…"


def _utf8(value: bytes) -> str | None:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return None


def _document(name: str, value: bytes | None) -> dict[str, str | None]:
    encoded = None if value is None else base64.b64encode(value).decode()
    return {f"{name}_base64": encoded, f"{name}_text": None if value is None else _utf8(value)}


def _bytes_text(value: bytes | None) -> str:
    if value is None:
        return "null"
    text = _utf8(value)
    return f"{len(value):,} bytes, hex {value.hex()}" if text is None else printable(text)


def _header_lines(headers: Headers) -> list[str]:
    return [f"  {printable(name)}: {_bytes_text(value)}" for name, value in headers] or ["  none"]


def _value_lines(value: bytes | None) -> list[str]:
    if value is None:
        return ["  null"]
    shown = value[:VALUE_SHOWN_MAX_BYTES]
    lines = [f"  {shown[at : at + _HEX_LINE_BYTES].hex(' ')}" for at in range(0, len(shown), _HEX_LINE_BYTES)]
    if _utf8(value) is not None:
        lines.append(f"  as text: {printable(shown.decode(errors='ignore'))}")
    if len(shown) < len(value):
        lines.append(f"  and {len(value) - len(shown):,} bytes more: --raw writes all of them")
    return lines
