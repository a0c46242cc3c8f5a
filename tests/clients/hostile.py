"""Clients that mean no good, and ids that need escaping."""

import json
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import quote

from caches import nginx
from history import HEAD, ODD
from servers import ENTITIES

SLOW = 200
WRONG = 4_000
# How many requests with wrong keys are answered with 401 in a minute, by default.
FAILURES = 600


def check_slow_clients_keep_nobody_waiting(world):
    with world.open() as origin:
        entity = world.entity(HEAD)
        head = f"GET {entity}/versions/1 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode()
        slow = [socket.create_connection(("127.0.0.1", origin.port)) for _ in range(SLOW)]
        for one in slow:
            one.sendall(head[:20])
        start = time.monotonic()
        for _ in range(20):
            assert origin.ask(entity).status == 200
        taken = time.monotonic() - start
        assert taken < 10, f"20 requests took {taken:.1f} s"
        for at in range(20, len(head)):
            for one in slow[:5]:
                one.sendall(head[at : at + 1])
        for one in slow[:5]:
            assert one.makefile("rb").read().startswith(b"HTTP/1.1 200 "), "a slow request"
        # Who asks for much and reads nothing.
        for one in slow[5:25]:
            one.sendall(head[20:-4] + b"\r\n\r\n" + head.replace(b"close", b"keep-alive") * 200)
        assert origin.ask(entity).status == 200
        for one in slow:
            one.close()
        assert origin.ask(entity).status == 200


def check_a_body_on_a_get_is_not_taken_for_a_request(world):
    with world.open() as origin:
        target = f"{world.entity(HEAD)}/versions/1"
        expected = origin.ask(target).body
        hidden = b"GET /frog HTTP/1.1\r\nHost: x\r\n\r\n"
        length = f"Content-Length: {len(hidden)}\r\n".encode()
        chunked = b"Transfer-Encoding: chunked\r\n"
        for fields, body in [(length, hidden), (chunked, b"%x\r\n%s\r\n0\r\n\r\n" % (len(hidden), hidden))]:
            first = b"GET %s HTTP/1.1\r\nHost: x\r\n%s\r\n" % (target.encode(), fields)
            last = b"GET %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n" % target.encode()
            with socket.create_connection(("127.0.0.1", origin.port)) as client:
                client.sendall(first + body + last)
                answers = client.makefile("rb").read()
            assert answers.count(b"HTTP/1.1 200 OK") == 2, answers[:500]
            assert answers.count(b"HTTP/1.1 ") == 2 and answers.count(expected) == 2, answers[:500]


def check_wrong_keys_are_slowed_down_and_right_ones_are_not(world):
    with world.start() as origin:
        entity, right = world.entity(HEAD), origin.keys["reads"]
        target = f"{entity}/versions/1"
        digits = right[-64:]
        wrong = [
            right[:-64] + digits[number % 64 :] + digits[: number % 64] for number in range(1, 64)
        ] + ["Bearer x", "Basic eDp4", "Bearer " + "s" * 8_000, "\u00ff"]
        counts, lock, kept = {}, threading.Lock(), threading.local()

        def ask(number):
            if not hasattr(kept, "connection"):
                kept.connection = origin.connect()
            key = right if number % 10 == 0 else wrong[number % len(wrong)]
            answer = origin.ask(target, connection=kept.connection, Authorization=key)
            if answer.status == 429:
                assert int(answer["retry-after"]) >= 1, answer
            with lock:
                name = ("right" if key is right else "wrong", answer.status)
                counts[name] = counts.get(name, 0) + 1

        start = time.monotonic()
        with ThreadPoolExecutor(16) as pool:
            list(pool.map(ask, range(WRONG)))
        taken = time.monotonic() - start
        # They come back one by one while the clients ask.
        most = FAILURES + FAILURES * taken / 60 + 1
        assert set(counts) == {("right", 200), ("wrong", 401), ("wrong", 429)}, counts
        assert FAILURES <= counts["wrong", 401] <= most, f"{counts} in {taken:.1f} s"
        assert counts["right", 200] == WRONG / 10, counts


def check_ids_that_need_escaping_are_found_behind_proxies(world):
    with world.open() as origin, nginx(world, origin.port) as proxy:
        entity = world.entity(ODD)
        tree = world.repository.tree(ODD)
        for server, prefix in [(origin, ""), (proxy, ""), (proxy, "/rewritten")]:
            for target in [entity, f"{entity}/versions/7", f"{entity}?version=7"]:
                answer = server.ask(prefix + target)
                assert answer.status == 200, f"{prefix}{target}: {answer}"
                assert json.loads(answer.body) == tree, f"{prefix}{target}: {answer}"
        # As a client writes it that does not know the form.
        for server in [origin, proxy]:
            escaped = f"{ENTITIES}/tree/{quote(ODD, '')}"
            moved = server.ask(f"{escaped}/versions/7?x=1")
            assert moved.status == 301, moved
            assert moved["location"] == f"{entity}/versions/7?x=1", moved


def check_hostile_targets_are_answered(world):
    with world.open() as origin, nginx(world, origin.port) as proxy:
        for target in [
            f"{ENTITIES}/tree/%2e%2e/%2e%2e",
            f"{ENTITIES}/tree/..%2f..%2f..%2fetc%2fpasswd",
            f"{ENTITIES}/tree/%00",
            f"{ENTITIES}/tree/%ff%fe",
            f"{ENTITIES}/tree/~%3d",
            f"{ENTITIES}/tree//versions",
            f"{ENTITIES}/tree/HEAD/versions/18446744073709551616",
            f"{ENTITIES}/tree/HEAD/versions/-1",
            f"{ENTITIES}/tree/HEAD/versions/01",
            f"{ENTITIES}/tree/HEAD?version=%31%00",
            f"{ENTITIES}?page%5Bafter%5D={'A' * 6_000}",
            f"{ENTITIES}/tree/{'a' * 6_000}",
            "/api/v1",
            "/api/v1/",
            "/api/v1/projects/~/entities/",
        ]:
            for server in [origin, proxy]:
                answer = server.ask(target)
                assert 400 <= answer.status < 500 or answer.status == 301, f"{target}: {answer}"
                assert answer.status != 301 or "location" in dict(answer.fields), answer
        for method in ["POST", "PUT", "DELETE", "PATCH", "TRACE", "FROG"]:
            answer = origin.ask(f"{world.entity(HEAD)}/versions/1", method)
            assert answer.status == 405 and answer["allow"] == "GET, HEAD", answer
