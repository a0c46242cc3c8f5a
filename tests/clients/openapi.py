"""The OpenAPI document: valid, and true as far as schemathesis can tell."""

import json
import re
import subprocess
import sys
from pathlib import Path

from openapi_spec_validator import validate

from history import CLOCKS, HEAD
from routes import document
from servers import PREFIX

SEED = 1
# How many requests schemathesis makes up for each operation and phase, without --seconds.
EXAMPLES = 20

# What is no finding, and why. The statuses are those that a request which fits the schema may have.
CONFIGURATION = """
[checks]
# 412: a condition in If-Match does not hold.
positive_data_acceptance.expected-statuses = ["2xx", "3xx", 401, 403, 404, 412]

[[operations]]
include-operation-id = ["listEntities", "listVersions", "listSnapshots", "listPublications"]
# 400: only what a page links to is a value of page[after].
checks.positive_data_acceptance.expected-statuses = ["2xx", "3xx", 400, 401, 403, 404, 412]
# deleteSnapshots deletes those below a version. The list and the others are still there.
checks.use_after_free.enabled = false

[[operations]]
include-operation-id = "getSnapshot"
checks.use_after_free.enabled = false

[[operations]]
include-operation-id = "download"
# 400: the time is not yet over.
checks.positive_data_acceptance.expected-statuses = ["2xx", "3xx", 400, 401, 403, 404]

[[operations]]
include-operation-id = [
    "takeSnapshot", "deleteSnapshot", "deleteSnapshots", "rebuild", "rebuildProject", "prune",
    "pruneProject",
]
# 400: a text of the right form may be no policy and no label. 409, 410: a plan has changed, or a
# snapshot is pinned. 412: conditions hold for no write but a deletion. 415, 422: an invented header.
checks.positive_data_acceptance.expected-statuses = [
    "2xx", "3xx", 400, 401, 403, 404, 409, 410, 412, 415, 422, 503,
]

[[operations]]
include-operation-id = [
    "publish", "finalizePublication", "abortPublication", "publishSnapshot",
    "finalizeSnapshot", "putArtifact",
]
# 400: a text of the right form may be no key. 409, 410, 422: a publication has ended or lacks an
# artifact, or the key was that of another request. 411, 413, 429: what is sent, or how much.
checks.positive_data_acceptance.expected-statuses = [
    "2xx", "3xx", 400, 401, 403, 404, 409, 410, 411, 412, 413, 415, 422, 429,
]

# One that was given up is still there, and says that it has failed.
[[operations]]
include-operation-id = ["getPublication", "finalizePublication", "abortPublication", "getArtifact"]
checks.use_after_free.enabled = false

[[operations]]
include-operation-id = "getState"
# 400: `at` excludes `version`, and a date of the right form may be none, such as 30 February.
checks.positive_data_acceptance.expected-statuses = ["2xx", "3xx", 400, 401, 403, 404, 412]
"""

# 301, 308: a segment that is not in its one form is corrected before the query is read.
MOVED = """
[checks.negative_data_rejection]
expected-statuses = [301, 308, 400, 401, 403, 404, 405, 406]
"""

# So that most requests find something.
PARAMETERS = """
[parameters]
"path.project" = "~"
"path.kind" = "tree"
"path.id" = "{id}"

[[operations]]
include-operation-id = "getImmutable"
parameters = {{ "path.version" = {version}, "path.digest" = "{digest}" }}
"""


def check_the_document_is_valid(world):
    for options in [[], ["--open"], ["--public", "60"]]:
        with world.serve(*options) as origin:
            described = document(origin)
            validate(described)
            assert described["servers"] == [{"url": PREFIX}], described["servers"]
            # Who may read everything needs no key.
            secured = [
                path
                for path, item in described["paths"].items()
                if all(operation.get("security") for operation in item.values())
            ]
            expected = [path for path in described["paths"] if path.startswith("/projects/")]
            assert secured == ([] if options else expected), f"{options}: {secured}"


def check_problems_are_described_where_their_types_say(world):
    with world.open() as origin:
        [codes] = [
            one["schema"]["enum"]
            for one in document(origin)["paths"]["/problems/{code}"]["get"]["parameters"]
            if one["name"] == "code"
        ]
        for code in codes:
            assert origin.ask(f"{PREFIX}/problems/{code}").status == 200, code
        for target in [f"{PREFIX}/frog", f"{world.entity(HEAD)}?frog=1"]:
            problem = parsed(origin.ask(target))
            described = parsed(origin.ask(problem["type"]))
            for member in ["type", "title", "status"]:
                assert described[member] == problem[member], f"{described} {problem}"


def check_schemathesis_finds_nothing_on_an_open_server(world):
    with world.open() as origin:
        parameters = known(origin, world.entity(HEAD))
        schemathesis(world, origin, CONFIGURATION + parameters)


def check_schemathesis_finds_nothing_on_a_guarded_server(world):
    with world.serve() as origin:
        parameters = PARAMETERS.format(id=CLOCKS, version=3, digest="x")
        key = origin.keys["reads and diagnoses"]
        schemathesis(world, origin, CONFIGURATION + parameters, "-H", f"Authorization: {key}")


def check_schemathesis_finds_nothing_where_clients_publish(world):
    with world.serve("--publish") as origin:
        parameters = PARAMETERS.format(id=CLOCKS, version=3, digest="x")
        key = origin.keys["reads and diagnoses"]
        # A stream of events does not end.
        options = ["-H", f"Authorization: {key}", "--exclude-path-regex", "/events$"]
        schemathesis(world, origin, CONFIGURATION + parameters, *options)


def check_schemathesis_finds_nothing_with_any_path(world):
    with world.open() as origin:
        schemathesis(world, origin, MOVED + CONFIGURATION)


def parsed(answer):
    return json.loads(answer.body)


def known(origin, entity):
    place, _, digest = origin.location(f"{entity}/versions/3").rpartition("/")
    id, _, version = place.split("/")[-3:]
    return PARAMETERS.format(id=id, version=version, digest=digest)


def schemathesis(world, origin, configuration, *options):
    file = world.new_directory() / "schemathesis.toml"
    file.write_text(configuration)
    program = Path(sys.executable).with_name("schemathesis")
    command = [program, "--config-file", file, "run", f"{origin.url}{PREFIX}/openapi.json"]
    command += ["--seed", str(SEED), "--continue-on-failure", "--no-color", *options]
    if world.seconds:
        command += ["--max-time", str(world.seconds)]
    else:
        command += ["--max-examples", str(EXAMPLES)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=file.parent)
    assert done.returncode == 0, done.stdout + done.stderr
    for phase in ["Examples", "Coverage", "Fuzzing", "Stateful"]:
        assert re.search(f"✅ +{phase}", done.stdout), f"not run: {phase}\n{done.stdout}"
    generated, passed = map(int, re.search(r"(\d+) generated, (\d+) passed", done.stdout).groups())
    assert generated == passed > 300, done.stdout
    print(f"schemathesis: {generated} requests")
