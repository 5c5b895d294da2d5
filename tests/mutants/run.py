#!/usr/bin/env python3
"""Seeds bugs, one at a time, and shows which tests find them.

Each entry of mutants.json is a small change to the bot that breaks a promise. It is made in
a copy of the tree, and the tests that the entry names (of the suite, or of `test`) must fail. It takes about a minute
for each: a build, and the tests.
"""

import argparse
import json
import os
import pathlib
import shutil
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent


def copy(to: pathlib.Path) -> None:
    """Copies what Git knows."""
    files = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True
    ).stdout
    for name in files.decode().split("\0"):
        if name:
            (to / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, to / name)


def failing(tree: pathlib.Path, target: pathlib.Path, kind: str, names: list[str]) -> list[str] | None:
    """The tests that fail; None if it does not even compile."""
    where = ["--lib"] if kind == "lib" else ["--test", kind]
    run = subprocess.run(
        ["cargo", "test", "--offline", "--locked", "--no-fail-fast", *where, "--", *names],
        cwd=tree,
        env={**os.environ, "CARGO_TARGET_DIR": str(target), "RUST_BACKTRACE": "0"},
        capture_output=True,
        text=True,
    )
    if "running " not in run.stdout:
        print(run.stderr[-2000:], file=sys.stderr)
        return None
    lines = run.stdout.splitlines()
    return [line.split()[1] for line in lines if line.startswith("test ") and line.endswith("FAILED")]


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--scratch", type=pathlib.Path, required=True, help="folder for the copy and its build")
    arguments.add_argument("only", nargs="*", help="parts of names; all without any")
    given = arguments.parse_args()
    tree, target = given.scratch / "tree", given.scratch / "target"
    shutil.rmtree(tree, ignore_errors=True)
    copy(tree)
    missed = 0
    mutants = json.loads((HERE / "mutants.json").read_text())
    for part in given.only:
        if not any(part in mutant["name"] for mutant in mutants):
            sys.exit(f"no mutant is called {part!r}")
    for mutant in mutants:
        if given.only and not any(part in mutant["name"] for part in given.only):
            continue
        path = tree / mutant["file"]
        text = path.read_text()
        old, new = "\n".join(mutant["old"]), "\n".join(mutant["new"])
        if text.count(old) != 1:
            print(f"STALE   {mutant['name']}: its text is there {text.count(old)} times", flush=True)
            missed += 1
            continue
        path.write_text(text.replace(old, new))
        found = failing(tree, target, mutant.get("test", "suite"), mutant["run"])
        path.write_text(text)
        verdict = "BROKEN" if found is None else "found" if found else "MISSED"
        missed += not found
        print(f"{verdict:7} {mutant['name']}: {', '.join(found or [])}", flush=True)
    print(f"{missed} not found" if missed else "all found")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
