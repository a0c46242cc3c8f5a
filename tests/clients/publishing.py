"""Builds publish with requests and curl, as the documentation says, and each way of doing it wrong."""

import hashlib
import json
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor

import requests

from servers import PREFIX

PLOT = b"<svg xmlns='http://www.w3.org/2000/svg'/>" * 100
CODE = b"print('plot')\n"


class Client:
    """What a build has: the address and a key."""

    def __init__(self, origin, key):
        self.root = f"{origin.url}{PREFIX}"
        self.session = requests.Session()
        self.session.headers["Authorization"] = key
        self.base = f"{self.root}/projects/~/publications"

    def post(self, path, document=None, **headers):
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.session.post(f"{self.root}{path}", json=document, headers=named, timeout=30)

    def begin(self, artifacts, **details):
        answer = self.post("/projects/~/publications", {**details, "artifacts": artifacts})
        assert answer.status_code == 201, answer.text
        data = answer.json()["data"]
        return data["id"], data["attributes"]["artifacts"]

    def finalize(self, id):
        return self.post(f"/projects/~/publications/{id}/finalize")


def declared(content, content_type):
    sha256 = hashlib.sha256(content).hexdigest()
    return {"size": len(content), "sha256": sha256, "contentType": content_type}


def send(artifact, content, **headers):
    """Sends an artifact as it was asked for, with nothing else: no key is needed."""
    upload = artifact["upload"]
    named = {**upload["headers"], **{name.replace("_", "-"): it for name, it in headers.items()}}
    return requests.request(upload["method"], upload["href"], data=content, headers=named, timeout=30)


def problem(answer, status, code):
    assert answer.status_code == status, (status, answer.status_code, answer.text)
    assert answer.headers["content-type"] == "application/problem+json", answer.headers
    assert answer.json()["type"].endswith(f"/{code}"), answer.text
    return answer.json()


def client(world, name="reads and diagnoses"):
    with world.serve("--publish") as origin:
        return Client(origin, origin.keys[name])


def check_the_flow_of_the_document_works(world):
    build = client(world)
    begun = build.post(
        "/snapshots/publish",
        {"project_id": "", "title": "My Plot", "author": "a", "description": "d", "tags": ["x"],
         "repo_owner": "o", "repo_name": "n", "commit_sha": "c", "branch": "b", "pr_number": 1,
         "run_id": "r", "run_url": "https://example.com", "artifacts": {"plot": True, "code": True}},
    ).json()
    assert set(begun) == {"snapshot_id", "upload_urls", "expires_at"}, begun
    contents = {"plot": PLOT, "code": CODE}
    with ThreadPoolExecutor() as pool:
        put = lambda name: requests.put(begun["upload_urls"][name], data=contents[name], timeout=30)
        assert [it.status_code for it in pool.map(put, contents)] == [201, 201]
    done = build.post("/snapshots/finalize", {"project_id": "", "snapshot_id": begun["snapshot_id"]})
    assert done.json() == {"status": "ok"}, done.text
    for name, content in contents.items():
        url = f"{build.base}/{begun['snapshot_id']}/artifacts/{name}"
        assert build.session.get(url, timeout=30).content == content


def check_each_way_to_fail_has_its_answer(world):
    build, reader = client(world), client(world, "reads")
    stranger = Client(type("Origin", (), {"url": build.root.removesuffix(PREFIX)}), "Bearer snf_x")
    problem(stranger.post("/projects/~/publications", {}), 401, "unauthorized")
    problem(reader.post("/projects/~/publications", {}), 403, "forbidden")
    problem(build.post("/projects/~/publications", {"titel": "x"}), 400, "invalid-request")
    large = {"artifacts": {"a": {"size": 1 << 40}}}
    problem(build.post("/projects/~/publications", large), 413, "large-body")

    # What another check has sent is there already.
    plot = PLOT + b"<!-- another -->"
    id, artifacts = build.begin({"plot": declared(plot, "image/svg+xml"), "code": True})
    missing = problem(build.finalize(id), 409, "artifacts-missing")
    assert missing["artifacts"] == {"code": "missing", "plot": "missing"}, missing
    problem(send(artifacts["plot"], plot[1:]), 422, "wrong-content")
    problem(send(artifacts["plot"], b"x" * len(plot)), 422, "wrong-content")
    problem(send(artifacts["plot"], plot, content_type="text/html"), 415, "unsupported-media-type")
    chunks = iter([plot])
    problem(send(artifacts["plot"], chunks), 411, "length-required")
    forged = {"upload": {**artifacts["plot"]["upload"]}}
    forged["upload"]["href"] = forged["upload"]["href"].replace("/plot?", "/code?")
    problem(send(forged, plot), 403, "wrong-signature")
    assert send(artifacts["plot"], plot).status_code == 201
    problem(send(artifacts["plot"], plot), 409, "already-uploaded")
    assert send(artifacts["code"], CODE).status_code == 201
    assert build.finalize(id).status_code == 200
    assert build.finalize(id).status_code == 200
    problem(build.session.delete(f"{build.base}/{id}", timeout=30), 409, "conflict")

    gone, artifacts = build.begin({"code": True})
    assert build.session.delete(f"{build.base}/{gone}", timeout=30).status_code == 200
    problem(build.finalize(gone), 410, "publication-failed")
    problem(send(artifacts["code"], CODE), 410, "publication-failed")
    problem(build.post("/projects/~/publications", {"title": "1"}, Idempotency_Key="used") and
            build.post("/projects/~/publications", {"title": "2"}, Idempotency_Key="used"),
            422, "idempotency-key-reused")
    seen = build.session.get(f"{build.base}", timeout=30).json()["data"]
    assert gone not in [it["id"] for it in seen]
    assert reader.session.get(f"{build.base}/{gone}", timeout=30).status_code == 404


def check_too_many_pending_publications_are_refused(world):
    with world.start("--publish") as origin:
        build = Client(origin, origin.keys["reads and diagnoses"])
        for _ in range(1_000):
            build.begin({"code": True})
        answer = build.post("/projects/~/publications", {"artifacts": {"code": True}})
        problem(answer, 429, "too-many-pending")
        assert int(answer.headers["retry-after"]) > 0


def check_a_form_publishes_in_one_call(world):
    build = client(world)
    document = json.dumps({"title": "In one call"})
    answer = build.session.post(
        build.base,
        files=[
            ("publication", (None, document, "application/json")),
            ("plot", ("plot.svg", PLOT, "image/svg+xml")),
            ("code", ("code.py", CODE, "text/x-python")),
        ],
        timeout=30,
    )
    assert answer.status_code == 201, answer.text
    assert answer.json()["data"]["attributes"]["status"] == "completed", answer.text

    folder = world.new_directory()
    (folder / "plot.svg").write_bytes(PLOT)
    (folder / "large.bin").write_bytes(bytes(range(256)) * 40_000)
    curl = ["curl", "--silent", "--show-error", "--max-time", "60", "--header",
            f"Authorization: {build.session.headers['Authorization']}", build.base]
    forms = [
        ["--form", f"publication={document};type=application/json", "--form", "plot=@plot.svg"],
        ["--form", "plot=@plot.svg;type=image/svg+xml", "--form", "large=@large.bin"],
        ["--form", "code=@-;filename=code.py", "--header", "Transfer-Encoding: chunked"],
    ]
    for form in forms:
        done = subprocess.run([*curl, *form], input=CODE, capture_output=True, cwd=folder)
        assert done.returncode == 0, done.stderr
        data = json.loads(done.stdout)["data"]
        assert data["attributes"]["status"] == "completed", done.stdout
    code = f"{build.base}/{data['id']}/artifacts/code"
    assert build.session.get(code, timeout=30).content == CODE
    asked = json.dumps({"project_id": "", "title": "In one call"})
    other = build.session.post(
        f"{build.root}/snapshots/publish",
        files=[("publication", (None, asked)), ("plot", ("plot.svg", PLOT, "image/svg+xml"))],
        timeout=30,
    )
    assert other.status_code == 200 and other.json()["status"] == "ok", other.text
    refused = subprocess.run([*curl, "--form", "title=My plot"], capture_output=True, cwd=folder)
    assert json.loads(refused.stdout)["status"] == 400, refused.stdout


def check_a_client_that_leaves_in_the_middle_of_a_form_publishes_nothing(world):
    with world.start("--publish") as origin:
        build = Client(origin, origin.keys["reads and diagnoses"])
        head = (
            "--X\r\nContent-Disposition: form-data; name=\"plot\"; filename=\"p\"\r\n\r\n".encode()
        )
        for sent in [head[:20], head, head + PLOT, head + PLOT + b"\r\n--X"]:
            connection = origin.connect()
            connection.putrequest("POST", f"{PREFIX}/projects/~/publications")
            connection.putheader("Authorization", build.session.headers["Authorization"])
            connection.putheader("Content-Type", "multipart/form-data; boundary=X")
            connection.putheader("Content-Length", "100000")
            connection.endheaders(sent)
            connection.close()
        time.sleep(0.2)
        everything = build.session.get(f"{build.base}?filter[status]=all", timeout=30).json()
        assert everything["data"] == [], everything
