"""Real clients and servers against the example `delivery`: see scripts/test-delivery."""

import argparse
import signal
import sys
import tempfile
import time
import traceback
from contextlib import ExitStack, contextmanager
from pathlib import Path
from urllib.parse import quote

import caches
import documents
import hostile
import openapi
import publishing
import semantics
import time_travel
from history import REVISIONS, Repository
from servers import ENTITIES, example

MODULES = [time_travel, documents, caches, hostile, semantics, openapi, publishing]


class World:
    """What the checks share."""

    def __init__(self, arguments, directory, servers):
        self.program = arguments.example
        self.node_modules = arguments.node_modules
        self.seconds = arguments.seconds
        self.directory = directory
        self.servers = servers
        self.running = {}
        self.repository = Repository(directory / "repository", arguments.source)

    def new_directory(self):
        return Path(tempfile.mkdtemp(dir=self.directory))

    @contextmanager
    def serve(self, *options):
        """The example over the temporary repository. The checks share one for each set of options."""
        if options not in self.running:
            self.running[options] = self.servers.enter_context(self.start(*options))
        yield self.running[options]

    def start(self, *options):
        """As `serve`, but one of its own."""
        return example(self.program, self.repository.directory, REVISIONS, *options)

    def open(self):
        return self.serve("--open")

    def entity(self, revision):
        """The path of a state, as the server itself says it."""
        if not hasattr(self, "paths"):
            with self.open() as origin:
                moved = [origin.ask(f"{ENTITIES}/tree/{quote(it, '')}") for it in REVISIONS]
            self.paths = dict(zip(REVISIONS, moved))
        answer = self.paths[revision]
        return answer["location"] or f"{ENTITIES}/tree/{revision}"


def main():
    parser = argparse.ArgumentParser(prog="tests/clients", description=__doc__)
    parser.add_argument("--example", required=True, help="the built example")
    parser.add_argument("--source", required=True, type=Path, help="a git repository")
    parser.add_argument("--node-modules", required=True, help="where jsonapi-validator is")
    parser.add_argument("--seconds", type=int, help="how long each run of schemathesis takes")
    parser.add_argument("names", nargs="*", help="run the checks that contain one of these")
    arguments = parser.parse_args()
    # So that blocks end, and with them the servers.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))

    passed, failed, left_out = 0, 0, 0
    with ExitStack() as servers:
        directory = servers.enter_context(tempfile.TemporaryDirectory(prefix="snapfold-clients-"))
        world = World(arguments, Path(directory), servers)
        checks = [getattr(module, it) for module in MODULES for it in dir(module)]
        for check in checks:
            if not getattr(check, "__name__", "").startswith("check_"):
                continue
            name = f"{check.__module__}::{check.__name__.removeprefix('check_')}"
            if arguments.names and not any(part in name for part in arguments.names):
                left_out += 1
                continue
            start = time.monotonic()
            try:
                check(world)
            except Exception:
                failed += 1
                traceback.print_exc(file=sys.stdout)
                print(f"test {name} ... FAILED", flush=True)
            else:
                passed += 1
                print(f"test {name} ... ok ({time.monotonic() - start:.1f} s)", flush=True)
    outcome = "FAILED" if failed else "ok"
    print(f"\ntest result: {outcome}. {passed} passed; {failed} failed; {left_out} filtered out")
    return 1 if failed else 0


sys.exit(main())
