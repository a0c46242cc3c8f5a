"""The URLs of a server, from its OpenAPI document."""

import json
from urllib.parse import urlencode

from servers import PREFIX

# A value for each parameter. A new one must be added here.
PATH = {"project": "~", "kind": "tree", "version": "3", "code": "not-found"}
QUERY = {
    "at": "2026-11-22T12:00:00Z",
    "version": "5",
    "filter[kind]": "tree",
    "page[size]": "2",
    "after": "2",
    "from": "1",
    "to": "4",
    "format": "zip",
}
# Only what a page links to is a value of this one.
FOLLOWED = "page[after]"


def document(origin):
    return json.loads(origin.ask(f"{PREFIX}/openapi.json").body)


def targets(origin, entity):
    """All targets that answer a GET: of each route, alone and with each of its parameters."""
    head, _, immutable = origin.location(f"{entity}/versions/3").rpartition("/")
    snapshots = json.loads(origin.ask(f"{entity}/snapshots").body)["data"]
    values = PATH | {"id": entity.rpartition("/")[2], "digest": immutable}
    values["snapshot"] = snapshots[0]["id"]
    for path, item in document(origin)["paths"].items():
        # There are no jobs without writes, and the example announces no changes.
        if "get" not in item or "{job}" in path or path.endswith("/events"):
            continue
        parameters = item.get("parameters", []) + item["get"].get("parameters", [])
        target = PREFIX + path
        for name in [one["name"] for one in parameters if one["in"] == "path"]:
            target = target.replace("{%s}" % name, values[name])
        queries = [one for one in parameters if one["in"] == "query"]
        needed = {one["name"]: QUERY[one["name"]] for one in queries if one.get("required")}
        optional = [one["name"] for one in queries if not one.get("required")]
        for query in [needed] + [needed | {it: QUERY[it]} for it in optional if it != FOLLOWED]:
            yield f"{target}?{urlencode(query)}" if query else target
