"""The servers of the checks. Each is a child that ends with this process, however that ends."""

import http.client
import http.server
import socket
import subprocess
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit

PREFIX = "/api/v1"
PROJECT = f"{PREFIX}/projects/~"
ENTITIES = f"{PROJECT}/entities"


@contextmanager
def child(command, **options):
    """Runs a command until the block ends."""
    process = subprocess.Popen(["setpriv", "--pdeathsig", "TERM", *map(str, command)], **options)
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@dataclass(repr=False)
class Answer:
    status: int
    reason: str
    fields: list
    body: bytes

    def __repr__(self):
        head = "; ".join(f"{name}: {value}" for name, value in self.fields)
        return f"{self.status} {self.reason} ({head}) {self.body[:200]}"

    def __getitem__(self, name):
        """The value of a header, or an empty text."""
        return ", ".join(value for other, value in self.fields if other.lower() == name)


@dataclass
class Origin:
    """A server, as its clients see it."""

    port: int
    # What `Authorization` says, by what the key may do.
    keys: dict

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    def connect(self):
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)

    def ask(self, target, method="GET", connection=None, **headers):
        """Sends a request. The names of headers have underscores instead of hyphens."""
        own = connection or self.connect()
        own.request(method, target, headers={k.replace("_", "-"): v for k, v in headers.items()})
        answer = own.getresponse()
        body = answer.read()
        if connection is None:
            own.close()
        return Answer(answer.status, answer.reason, answer.getheaders(), body)

    def location(self, target):
        """The URL of exactly these bytes."""
        return self.ask(target)["content-location"]


@contextmanager
def example(program, repository, revisions, *options):
    """The example `delivery`, on a free port unless the options name one."""
    command = [program, repository, *revisions, "--port", "0", *options]
    with child(command, stdout=subprocess.PIPE, text=True) as process:
        # It prints keys, if there are any, and then its URL.
        too_long = threading.Timer(120, process.kill)
        too_long.start()
        keys = {}
        for line in process.stdout:
            name, _, key = line.strip().partition(": Authorization: ")
            if not key:
                break
            keys[name] = key
        else:
            raise RuntimeError(f"the example did not start: {command}")
        too_long.cancel()
        yield Origin(urlsplit(line.strip()).port, keys)


@contextmanager
def listening(command, port, **options):
    """A server that needs a moment until it listens."""
    with child(command, **options) as process:
        for _ in range(600):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            if process.poll() is not None:
                raise RuntimeError(f"it ended at once: {command}")
            time.sleep(0.05)
        else:
            raise RuntimeError(f"it does not listen: {command}")
        yield Origin(port, {})


class Counter(http.server.BaseHTTPRequestHandler):
    """Passes each request on to the origin, and counts it."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        with self.server.lock:
            self.server.targets.append(self.path)
        with_body = self.command != "HEAD"
        origin = self.server.origin.connect()
        origin.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
        for name, value in self.headers.items():
            if name.lower() not in ("connection", "keep-alive"):
                origin.putheader(name, value)
        origin.endheaders()
        answer = origin.getresponse()
        body = answer.read()
        self.send_response_only(answer.status, answer.reason)
        for name, value in answer.getheaders():
            self.send_header(name, value)
        self.end_headers()
        if with_body:
            self.wfile.write(body)
        origin.close()

    do_HEAD = do_GET

    def log_message(self, *_):
        pass


@contextmanager
def counted(origin):
    """A server before the origin that remembers the targets of all requests."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Counter)
    server.daemon_threads = True
    server.origin, server.targets, server.lock = origin, [], threading.Lock()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server.server_port, server.targets
    finally:
        server.shutdown()
        server.server_close()
