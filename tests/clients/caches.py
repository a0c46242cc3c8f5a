"""nginx and Varnish as shared caches before the example."""

import json
import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from history import HEAD
from servers import PROJECT, counted, free_port, listening

GETS = 1_000
CLIENTS = 20
# For how many seconds a state is fresh, and for how many more a directive lets a cache serve it.
FRESH, STALE = 1, 6
# For how many Varnish does where it finds no directive (its parameter default_grace).
GRACE = 10
# How long a cache may take to notice that the origin is back, or that a state is too old.
PATIENCE = 30

# With `plain`, nginx passes targets on as they are; with `rewritten`, as it has decoded them.
NGINX = """
daemon off;
{user}
pid {directory}/nginx.pid;
error_log {directory}/error.log;
events {{}}
http {{
  access_log off;
  client_body_temp_path {directory}/body;
  fastcgi_temp_path {directory}/fastcgi;
  proxy_temp_path {directory}/proxy;
  scgi_temp_path {directory}/scgi;
  uwsgi_temp_path {directory}/uwsgi;
  proxy_cache_path {directory}/cache keys_zone=states:1m;
  server {{
    listen 127.0.0.1:{port};
    location / {{
      proxy_pass http://127.0.0.1:{origin};
      proxy_cache states;
      proxy_cache_lock on;
      proxy_cache_revalidate on;
    }}
    location /rewritten/ {{
      proxy_pass http://127.0.0.1:{origin}/;
    }}
  }}
}}
"""

VARNISH = """
vcl 4.1;
backend default {{ .host = "127.0.0.1"; .port = "{origin}"; }}
{more}
"""

# What Varnish does not do with `stale-if-error` itself.
STALE_IF_ERROR = """
import std;
sub vcl_backend_response {
  if (beresp.http.Cache-Control ~ "stale-if-error=[0-9]+") {
    set beresp.grace = std.duration(
      regsub(beresp.http.Cache-Control, "^.*stale-if-error=([0-9]+).*$", "\\1s"), 0s);
  }
}
"""


@contextmanager
def nginx(world, origin_port):
    directory, port = world.new_directory(), free_port()
    # A server that root starts would run its workers as someone who may not enter the directory.
    user = "" if os.getuid() else "user root;"
    configuration = NGINX.format(directory=directory, port=port, origin=origin_port, user=user)
    (directory / "nginx.conf").write_text(configuration)
    command = ["nginx", "-p", directory, "-e", directory / "error.log", "-c", directory / "nginx.conf"]
    with listening(command, port) as cache:
        yield cache


@contextmanager
def varnish(world, origin_port, more=""):
    directory, port = world.new_directory(), free_port()
    (directory / "default.vcl").write_text(VARNISH.format(origin=origin_port, more=more))
    command = ["varnishd", "-F", "-n", directory / "work", "-f", directory / "default.vcl"]
    command += ["-a", f"127.0.0.1:{port}", "-s", "malloc,64m", "-j", "none"]
    with open(directory / "log", "w") as log, listening(command, port, stdout=log, stderr=log) as cache:
        yield cache


def configured_varnish(world, origin_port):
    return varnish(world, origin_port, STALE_IF_ERROR)


CACHES = [nginx, varnish]


def check_an_immutable_url_reaches_the_origin_once_for_each_coding(world):
    for kind in CACHES:
        with world.serve("--public", "60") as origin, counted(origin) as (port, seen):
            with kind(world, port) as cache:
                target = origin.location(world.entity(HEAD))
                bodies, used = set(), set()
                kept = threading.local()

                def get(coding):
                    if not hasattr(kept, "connection"):
                        kept.connection = cache.connect()
                    answer = cache.ask(target, connection=kept.connection, Accept_Encoding=coding)
                    assert answer.status == 200, answer
                    bodies.add(answer.body)
                    used.add(answer["content-encoding"])

                with ThreadPoolExecutor(CLIENTS) as pool:
                    list(pool.map(get, ["identity"] * GETS))
                assert seen == [target], f"{kind.__name__}: {seen}"
                assert len(bodies) == 1 and used == {""}, f"{kind.__name__}: {used}"
                with ThreadPoolExecutor(CLIENTS) as pool:
                    list(pool.map(get, ["gzip"] * GETS))
                # Varnish always asks for gzip, and unpacks it for those who want identity.
                times = {"nginx": 2, "varnish": 1}[kind.__name__]
                assert seen == [target] * times, f"{kind.__name__}: {seen}"
                assert used == {"", "gzip"}, f"{kind.__name__}: {used}"


def check_a_commit_is_seen_by_the_next_request(world):
    for kind in CACHES:
        with world.serve("--public", "0") as origin, kind(world, origin.port) as cache:
            entity = world.entity(HEAD)
            before = cache.ask(entity)
            for number in range(3):
                world.repository.commit({f"new/{number}": kind.__name__})
                after = cache.ask(entity)
                commits, _ = world.repository.versions(HEAD)
                version = f"{entity}/versions/{len(commits)}/"
                assert after["content-location"].startswith(version), f"{kind.__name__}: {after}"
                assert json.loads(after.body) == world.repository.tree(HEAD), kind.__name__
                assert after["etag"] != before["etag"], f"{kind.__name__}: {after}"
                before = after
            # A proxy that stores a state passes on no conditions of clients. nginx does not evaluate
            # them itself for what it may not reuse, so it answers with the state.
            again = cache.ask(entity, If_None_Match=before["etag"])
            assert again.status == (304 if kind is varnish else 200), f"{kind.__name__}: {again}"


def check_a_fresh_state_is_not_asked_for_again(world):
    for kind in CACHES:
        with world.serve("--public", "60") as origin, counted(origin) as (port, seen):
            with kind(world, port) as cache:
                entity = world.entity(HEAD)
                first = cache.ask(entity)
                world.repository.commit({"new/fresh": kind.__name__})
                second = cache.ask(entity)
                same = cache.ask(entity, If_None_Match=first["etag"])
                assert same.status == 304, f"{kind.__name__}: {same}"
                assert first.body == second.body and len(seen) == 1, f"{kind.__name__}: {seen}"
                # Another representation is another entry, and so is another time.
                other = cache.ask(entity, Accept="application/vnd.api+json")
                assert other["content-type"] == "application/vnd.api+json", other
                date = "Sun, 22 Nov 2026 12:00:00 GMT"
                moved = cache.ask(entity, Accept_Datetime=date)
                assert moved.status == 302, f"{kind.__name__}: {moved}"
                assert cache.ask(entity).body == first.body


def check_caches_keep_nothing_that_is_private(world):
    for kind in CACHES:
        with world.serve() as origin, counted(origin) as (port, seen):
            with kind(world, port) as cache:
                # A client may keep this for a minute.
                target, key = f"{world.entity(HEAD)}/versions/1", origin.keys["reads"]
                for number in range(1, 4):
                    assert cache.ask(target, Authorization=key).status == 200
                    assert cache.ask(target).status == 401
                    assert cache.ask(f"{PROJECT}/entities").status == 401
                    assert len(seen) == 3 * number, f"{kind.__name__}: {seen}"


def check_a_stale_state_is_served_without_the_origin_and_not_for_too_long(world):
    # nginx reads both directives. Varnish takes `stale-while-revalidate` as its grace, and also serves
    # what is in grace if the origin does not answer.
    for kind, directive, window in [
        (nginx, "stale-if-error", STALE),
        (varnish, "stale-while-revalidate", STALE),
        (varnish, "stale-if-error", GRACE),
        (configured_varnish, "stale-if-error", STALE),
    ]:
        port, entity = free_port(), world.entity(HEAD)
        name = f"{kind.__name__}, {directive}"
        options = ["--port", str(port), "--public", str(FRESH), f"--{directive}", str(STALE)]
        with kind(world, port) as cache:
            with world.start(*options):
                first = cache.ask(entity)
                stored = time.monotonic()
                assert f"{directive}={STALE}" in first["cache-control"], f"{name}: {first}"
            world.repository.commit({"new/stale": name})
            served, ended = [], None
            while ended is None:
                asked = time.monotonic()
                answer = cache.ask(entity)
                if answer.status == 200:
                    assert answer.body == first.body, f"{name}: {answer}"
                    served.append(asked - stored)
                else:
                    assert answer.status in (502, 503, 504), f"{name}: {answer}"
                    ended = time.monotonic() - stored
                assert asked - stored < PATIENCE, f"{name}: it is served for ever"
                time.sleep(0.1)
            # Caches count whole seconds.
            assert FRESH + 1 < max(served) < FRESH + window + 2, f"{name}: {max(served)}"
            assert ended > FRESH + window - 2, f"{name}: {ended}"
            with world.start(*options):
                commits, _ = world.repository.versions(HEAD)
                version = f"{entity}/versions/{len(commits)}/"
                until = time.monotonic() + PATIENCE
                while not cache.ask(entity)["content-location"].startswith(version):
                    assert time.monotonic() < until, f"{name}: the commit is not seen"
                    time.sleep(0.1)
