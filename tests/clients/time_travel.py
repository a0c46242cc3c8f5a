"""memento-client (RFC 7089) against git's own answers."""

import json
import random
import re
from datetime import datetime, timezone
from urllib.parse import urljoin

from memento_client import MementoClient

from history import REVISIONS, version_at
from servers import PROJECT

DATES = 200


def check_dates_lead_to_the_right_versions(world):
    dice = random.Random(7089)
    histories = {revision: world.repository.versions(revision) for revision in REVISIONS}
    with world.open() as origin:
        client = MementoClient(timegate_uri=origin.url, check_native_timegate=False)
        for number in range(DATES):
            revision = REVISIONS[number % len(REVISIONS)]
            commits, times = histories[revision]
            # Every other date is next to a commit, to find errors by one.
            second = dice.randint(times[0] - 86_400, times[-1] + 86_400)
            if number % 2:
                second = dice.choice(times) + dice.randint(-1, 1)
            expected = version_at(times, second)
            entity = world.entity(revision)
            found = client.get_memento_info(origin.url + entity, date(second))["mementos"]
            [uri] = found["closest"]["uri"]
            at = f"{revision} at {second}"
            assert uri == f"{origin.url}{entity}/versions/{expected}", f"{at}: {uri}, {expected}"
            assert found["closest"]["datetime"] == date(times[expected - 1]), f"{at}: {found}"
            state = json.loads(origin.ask(uri.removeprefix(origin.url)).body)
            assert state == world.repository.tree(commits[expected - 1]), f"{at}: another tree"


def check_time_maps_list_all_versions_with_their_dates(world):
    with world.open() as origin:
        for revision in REVISIONS:
            _, times = world.repository.versions(revision)
            entity = world.entity(revision)
            mementos = []
            target = f"{entity}/timemap"
            while target:
                links = parsed(origin.ask(target).body.decode())
                following = [link for link in links if "timemap" in link["rel"]]
                mementos += [link for link in links if "memento" in link["rel"]]
                target = following[0]["uri"] if following else None
            found = [(link["uri"], link["datetime"]) for link in mementos]
            expected = [
                (f"{entity}/versions/{version}", date(time).strftime("%a, %d %b %Y %H:%M:%S GMT"))
                for version, time in enumerate(times, 1)
            ]
            assert found == expected, f"{revision}: {found[:3]} ... {found[-3:]}"
            assert "first" in mementos[0]["rel"] and "last" in mementos[-1]["rel"], mementos
            # Each version leads back to the state now, and to the version before it.
            middle = len(times) // 2
            links = parsed(origin.ask(f"{entity}/versions/{middle}")["link"])
            of = {rel: link["uri"] for link in links for rel in link["rel"]}
            assert of["original"] == of["timegate"] == of["latest-version"] == entity, of
            assert of["predecessor-version"] == f"{entity}/versions/{middle - 1}", of


def date(second):
    return datetime.fromtimestamp(second, timezone.utc).replace(tzinfo=None)


def parsed(text):
    """The links of a text in `application/link-format`."""
    links = []
    for uri, parameters in re.findall(r"<([^>]*)>((?:\s*;\s*[a-z]+=\"[^\"]*\")*)", text):
        link = dict(re.findall(r"([a-z]+)=\"([^\"]*)\"", parameters))
        links.append({**link, "rel": link["rel"].split(), "uri": urljoin(PROJECT, uri)})
    return links
