"""jsonapi-client walks lists, and jsonapi-validator checks documents."""

import json
import subprocess
from pathlib import Path

from jsonapi_client import Session

from history import HEAD, REVISIONS
from servers import ENTITIES

JSON_API = "application/vnd.api+json"


def check_a_json_api_client_walks_lists(world):
    with world.open() as origin, session(origin) as client:
        entities = client.fetch_document_by_url(f"{origin.url}{ENTITIES}?page%5Bsize%5D=2")
        found = [(one.type, one.id) for one in entities.iterator()]
        kinds = ["authors", "tree"]
        assert found == [(kind, it) for kind in kinds for it in sorted(REVISIONS)], found
        for revision in REVISIONS:
            commits, _ = world.repository.versions(revision)
            url = f"{origin.url}{world.entity(revision)}/versions?page%5Bsize%5D=37"
            page = client.fetch_document_by_url(url)
            numbers = [int(version.id) for version in page.iterator()]
            assert numbers == list(range(1, len(commits) + 1)), f"{revision}: {numbers}"
            # What a list links to can be fetched.
            [state] = page.resources[-1].links.self.fetch().resources
            assert state.id == revision, state


def check_json_api_documents_are_valid(world):
    documents = {}
    with world.open() as origin:
        entity = world.entity(HEAD)
        targets = [ENTITIES, f"{ENTITIES}?page%5Bsize%5D=1", f"{ENTITIES}?filter%5Bkind%5D=x"]
        targets += [entity, f"{entity}?version=1", f"{entity}/versions/2"]
        targets += [f"{entity}/versions", f"{entity}/snapshots", world.entity(REVISIONS[2])]
        for target in targets:
            documents[target] = 200
        for target, status in [
            (f"{entity}/versions/999999", 404),
            (f"{entity}?version=x", 400),
            (f"{entity}?version=1&at=2020-01-01T00:00:00Z", 400),
            (f"{ENTITIES}/frog/x", 404),
            (f"{entity}/versions?page%5Bafter%5D=x", 400),
        ]:
            documents[target] = status
        for target, status in documents.items():
            answer = origin.ask(target, Accept=JSON_API)
            assert answer.status == status, f"{target}: {answer}"
            assert answer["content-type"] == JSON_API, f"{target}: {answer}"
            documents[target] = json.loads(answer.body)
    validate(world, documents)
    # It can also say no.
    try:
        validate(world, {"broken": {"data": [{"type": "tree"}]}})
    except AssertionError:
        return
    raise AssertionError("a resource without an id is valid")


def validate(world, documents):
    program = Path(__file__).with_name("validate.js")
    command = ["node", program, world.node_modules]
    found = subprocess.run(command, input=json.dumps(documents), text=True, capture_output=True)
    assert found.returncode == 0, found.stdout + found.stderr


def session(origin):
    return Session(origin.url, request_kwargs={"headers": {"Accept": JSON_API}})
