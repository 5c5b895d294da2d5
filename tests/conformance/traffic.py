"""What was recorded: one JSON object per line."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit


@dataclass(frozen=True)
class Exchange:
    """A request and its answer."""

    line: int
    system: str
    method: str
    uri: str
    request: Any
    status: int
    response: Any

    @property
    def raw_path(self) -> str:
        """As sent: a slash inside of a parameter is still %2F."""
        return urlsplit(self.uri).path

    @property
    def path(self) -> str:
        return unquote(self.raw_path)

    @property
    def query(self) -> list[tuple[str, str]]:
        return parse_qsl(urlsplit(self.uri).query, keep_blank_values=True)


@dataclass(frozen=True)
class Webhook:
    """A delivery: the name of its event and its payload."""

    line: int
    event: str
    payload: Any


@dataclass(frozen=True)
class Checked:
    """One operation of a system's own description, and what was wrong with its use."""

    operation: str
    problems: list[str]


def read(path: Path) -> Iterator[Exchange | Webhook]:
    with path.open(encoding="utf-8") as lines:
        for number, text in enumerate(lines, start=1):
            if not text.strip():
                continue
            entry = json.loads(text)
            if entry["system"] == "webhook":
                yield Webhook(number, entry["event"], entry["request"])
            else:
                yield Exchange(
                    line=number,
                    system=entry["system"],
                    method=entry["method"],
                    uri=entry["uri"],
                    request=entry["request"],
                    status=entry["status"],
                    response=entry["response"],
                )


def short(message: str) -> str:
    """What is wrong stands at a message's end, after the value that may be long."""
    return message if len(message) <= 300 else "..." + message[-300:]
