"""httplint and REDbot judge every answer."""

import time
from configparser import ConfigParser

import thor
from httplint import HttpRequestLinter, HttpResponseLinter
from redbot.resource import HttpResource

from history import HEAD
from routes import targets
from servers import ENTITIES, PREFIX

# Notes that are no findings, and why.
A_STATUS = "it explains the status, which is the one that was to be expected"
A_DESCRIPTION = "it says what the headers allow, which is what they should allow"
ACCEPTED = {
    "CURRENT_AGE": "the clock went on by a second",
    "FRESHNESS_NO_CACHE": "the inspector is asked for each time, so that a release is seen at once",
    "FRESHNESS_NONE": "a redirect to the state at a time is asked for each time",
    "FRESHNESS_STALE_ALREADY": A_DESCRIPTION,
    "FRESH_MUST_REVALIDATE": A_DESCRIPTION,
    "LOCATION_NOT_ABSOLUTE": "RFC 9110, 10.2.2 allows it, and the service does not know its host",
    "SERVER_TIMING_MISSING_DESC": "the names of the metrics say what they are",
    "STALE_MUST_REVALIDATE": A_DESCRIPTION,
    "STALE_SERVABLE": A_DESCRIPTION,
    "STATUS_BAD_REQUEST": A_STATUS,
    "STATUS_METHOD_NOT_ALLOWED": A_STATUS,
    "STATUS_NOT_ACCEPTABLE": A_STATUS,
    "STATUS_NOT_FOUND": A_STATUS,
    "STATUS_FORBIDDEN": A_STATUS,
    "STATUS_PRECONDITION_FAILED": A_STATUS,
    "STORE_METHOD_UNCACHEABLE": A_DESCRIPTION,
    "STORE_NO_STORE": A_DESCRIPTION,
    "STORE_PRIVATE_AUTH": A_DESCRIPTION,
    "STORE_PRIVATE_CC": A_DESCRIPTION,
    "STORE_PUBLIC_UNNECESSARY": "RFC 9111, 3.5: needed where the request has credentials",
    "STORE_STORABLE": A_DESCRIPTION,
    "STORE_UNSTORABLE": A_DESCRIPTION,
    "VARY_COMPLEX": "the state now does depend on four headers",
}
# How a client may ask for the same thing.
WAYS = [
    {},
    {"Accept": "application/vnd.api+json"},
    {"Accept": "text/html"},
    {"Accept_Encoding": "gzip"},
    {"If_None_Match": "*"},
    {"If_Match": '"other"'},
    {"Accept_Datetime": "Sun, 22 Nov 2026 12:00:00 GMT"},
    {"Accept_Datetime": "yesterday"},
]


def check_httplint_finds_nothing(world):
    entity = world.entity(HEAD)
    with world.open() as origin:
        known = list(targets(origin, entity))
    wrong = [f"{PREFIX}/frog", f"{ENTITIES}/frog/x", f"{entity}?frog=1", f"{entity}/versions/x"]
    wrong += [f"{entity}/versions/99999", f"{entity}?at=x", f"{ENTITIES}/tree/%41", "/"]
    findings = {}
    exchanges = 0
    for options in [[], ["--open"], ["--public", "60"]]:
        with world.serve(*options) as origin:
            connection = origin.connect()
            for target in known + wrong:
                for method, headers in asked(origin.keys):
                    notes = linted(origin, target, method, headers, connection)
                    exchanges += 1
                    for note in notes:
                        findings.setdefault(note, f"{method} {target} {headers} {options}")
            connection.close()
    assert exchanges > 1_000, exchanges
    report(findings)


def asked(keys):
    """Methods and headers: in all ways with a key that is enough, and plainly with each other."""
    enough = {"Authorization": keys["reads"]} if keys else {}
    for way in WAYS:
        yield "GET", way | enough
    yield "HEAD", enough
    yield "HEAD", {"Accept_Encoding": "gzip"} | enough
    yield "OPTIONS", enough
    yield "POST", enough
    if keys:
        diagnoses = {"Authorization": keys["reads and diagnoses"]}
        for key in [{}, {"Authorization": "Bearer wrong"}, diagnoses]:
            for method in ["GET", "HEAD", "OPTIONS"]:
                yield method, key


def linted(origin, target, method, headers, connection):
    """The notes of httplint about one exchange."""
    headers = {"User_Agent": "check", **headers}
    answer = origin.ask(target, method, connection, **headers)
    request, response = HttpRequestLinter(), HttpResponseLinter(start_time=time.time())
    request.response, response.request = response, request
    request.process_request_topline(method.encode(), f"{origin.url}{target}".encode(), b"1.1")
    sent = [(name.replace("_", "-"), value) for name, value in headers.items()]
    request.process_headers([(b"Host", b"127.0.0.1")] + encoded(sent))
    request.finish_content(True)
    response.is_head_response = method == "HEAD"
    response.process_response_topline(b"1.1", str(answer.status).encode(), answer.reason.encode())
    response.process_headers(encoded(answer.fields))
    response.feed_content(answer.body)
    response.finish_content(True)
    return [describe(note) for one in [request, response] for note in flat(one.notes)]


def check_redbot_finds_nothing(world):
    findings = {}
    for options in ["--open"], ["--public", "60"]:
        with world.serve(*options) as origin:
            known = list(targets(origin, world.entity(HEAD)))
            for target, response in zip(known, judged(origin, known), strict=True):
                assert response.complete and response.status_code == 200, f"{target}: {response}"
                for note in flat(response.notes):
                    # Without `at`, each download is of another instant.
                    is_now = "/download" in target and "at=" not in target
                    if not (is_now and type(note).__name__ == "VARY_BODY_MISMATCH"):
                        findings.setdefault(describe(note), f"{target} {options}")
    report(findings)


def judged(origin, targets):
    """The responses to targets, with the notes of REDbot, which sends several requests to each."""
    config = ConfigParser()
    config.read_dict({"redbot": {"enable_local_access": "True"}})
    responses, left = [], list(targets)

    def check_next():
        if not left:
            return thor.stop()
        resource = HttpResource(config["redbot"])
        resource.set_request(origin.url + left.pop(0))

        @thor.events.on(resource)
        def check_done():
            responses.append(resource.response)
            thor.schedule(0, check_next)

        resource.check()

    thor.schedule(0, check_next)
    thor.run()
    return responses


def report(findings):
    """Fails if there are notes that are not accepted."""
    found = {
        f"{level} {name}: {summary} ({where})"
        for (level, name, summary), where in findings.items()
        if level != "GOOD" and name not in ACCEPTED
    }
    assert not found, "\n".join(sorted(found))


def describe(note):
    return note.level.name, type(note).__name__, note.summary


def flat(notes):
    for note in notes:
        yield note
        yield from flat(note.subnotes)


def encoded(fields):
    return [(name.encode(), value.encode("latin-1")) for name, value in fields]
