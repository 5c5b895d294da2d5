"""Checks recorded traffic against the real systems' own descriptions.

Kubernetes is only counted: there is no description of it here to check it against.
"""

import argparse
import sys
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from github import GitHub
from google import Google
from traffic import Checked, Exchange, Webhook, read
from webhooks import Webhooks

SYSTEMS = ("github", "webhook", "google", "kubernetes")
# git over HTTP is no part of the REST description.
GIT = "github (git)"


@dataclass
class Tally:
    """What was seen of one system."""

    requests: int = 0
    operations: set[str] = field(default_factory=set)
    violations: list[str] = field(default_factory=list)

    def add(self, line: int, checked: Checked) -> None:
        self.requests += 1
        self.operations.add(checked.operation)
        self.violations += [
            f"line {line}: {checked.operation}: {problem}" for problem in checked.problems
        ]


class Checker:
    """All descriptions together."""

    def __init__(self, openapi: Path, webhooks: Path, discovery: Path) -> None:
        self.github = GitHub(openapi)
        self.webhooks = Webhooks(webhooks)
        self.google = Google(discovery)

    def check(self, entry: Exchange | Webhook) -> tuple[str, Checked]:
        if isinstance(entry, Webhook):
            return "webhook", self.webhooks.check(entry)
        match entry.system:
            case "github" if ".git/" in entry.path:
                return GIT, Checked(f"{entry.method} {entry.path}", [])
            case "github":
                return "github", self.github.check(entry)
            case "google":
                return "google", self.google.check(entry)
            case "kubernetes":
                return "kubernetes", Checked(f"{entry.method} {entry.path}", [])
            case other:
                return other, Checked(other, [f"unknown system {other}"])

    def check_all(self, entries: Iterable[Exchange | Webhook]) -> dict[str, Tally]:
        tallies = {system: Tally() for system in SYSTEMS}
        for entry in entries:
            system, checked = self.check(entry)
            tallies.setdefault(system, Tally()).add(entry.line, checked)
        return tallies


def failures(tallies: dict[str, Tally]) -> list[str]:
    found = [
        f"{system}: no request at all, so nothing was checked"
        for system in SYSTEMS
        if tallies[system].requests == 0
    ]
    for system, tally in tallies.items():
        found += [f"{system}: {violation}" for violation in tally.violations]
    return found


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--openapi", type=Path, required=True)
    parser.add_argument("--webhooks", type=Path, required=True)
    parser.add_argument("--discovery", type=Path, required=True)
    parser.add_argument("traffic", type=Path)
    options = parser.parse_args(arguments)

    checker = Checker(options.openapi, options.webhooks, options.discovery)
    tallies = checker.check_all(read(options.traffic))
    for failure in failures(tallies):
        print(failure)
    for system, tally in tallies.items():
        checked = "" if system not in ("kubernetes", GIT) else " (counted, not checked)"
        print(
            f"{system}: {tally.requests} requests, {len(tally.operations)} operations, "
            f"{len(tally.violations)} violations{checked}"
        )
    return 1 if failures(tallies) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
