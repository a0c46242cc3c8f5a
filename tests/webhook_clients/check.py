"""Signs with this crate and verifies with the official libraries, and the other way round.

Arguments: the example `webhook`, the program over the Rust library.
"""

import base64
import datetime
import json
import os
import random
import subprocess
import sys
import time
from pathlib import Path

from standardwebhooks.webhooks import Webhook, WebhookVerificationError

OURS, RUST = sys.argv[1:]
NODE = ["node", str(Path(__file__).parent / "client.mjs")]
ROUNDS = 25
checks = 0


def run(command, body, may_fail=False):
    done = subprocess.run(command, input=body, capture_output=True, check=False)
    if done.returncode and not may_fail:
        sys.exit(f"{command} failed: {done.stderr.decode()}")
    return done.returncode == 0, done.stdout.decode()


def python_verifies(_id, stamp, signatures, secret, body):
    headers = {"webhook-id": _id, "webhook-timestamp": stamp, "webhook-signature": signatures}
    try:
        Webhook(secret).verify(body.decode(), headers)
    except WebhookVerificationError:
        return False
    return True


def python_signs(_id, stamp, secret, body):
    when = datetime.datetime.fromtimestamp(stamp, tz=datetime.timezone.utc)
    return Webhook(secret).sign(_id, when, body.decode())


VERIFIERS = {
    "snapfold": lambda i, t, s, k, b: run([OURS, "verify", i, t, s, k], b, True)[0],
    "Python": python_verifies,
    "JavaScript": lambda i, t, s, k, b: run([*NODE, "verify", i, t, s, k], b, True)[0],
    "Rust": lambda i, t, s, k, b: run([RUST, "verify", i, t, s, k], b, True)[0],
}
SIGNERS = {
    "Python": python_signs,
    "JavaScript": lambda i, t, k, b: run([*NODE, "sign", i, str(t), k], b)[1],
    "Rust": lambda i, t, k, b: run([RUST, "sign", i, str(t), k], b)[1],
}


def expect(is_right, *arguments):
    global checks
    for name, verifies in VERIFIERS.items():
        if verifies(*arguments) != is_right:
            sys.exit(f"{name}: {'refused' if is_right else 'accepted'} {arguments}")
        checks += 1


def secret():
    return "whsec_" + base64.b64encode(os.urandom(random.choice([24, 32, 48, 64]))).decode()


random.seed(7)
for number in range(ROUNDS):
    text = "".join(random.choice("ab\u00e4\u20ac\U0001f600\n\\\"{}.") for _ in range(number * 3))
    body = json.dumps({"type": "t", "data": text}, ensure_ascii=number % 2 == 0).encode()
    (new, old, other), name = (secret() for _ in range(3)), f"msg_{number}"
    printed = run([OURS, "sign", name, f"{new},{old}"], body)[1]
    headers = dict(line.split(": ", 1) for line in printed.splitlines())
    stamp, signatures = headers["webhook-timestamp"], headers["webhook-signature"]
    # While a secret rotates, receivers have the new one or the old one.
    expect(True, name, stamp, signatures, new, body)
    expect(True, name, stamp, signatures, old, body)
    expect(False, name, stamp, signatures, other, body)
    expect(False, name + "x", stamp, signatures, new, body)
    expect(False, name, str(int(stamp) + 1), signatures, new, body)
    body_of_others = body.replace(b"type", b"typo")
    expect(False, name, stamp, signatures, new, body_of_others)
    for signs in SIGNERS.values():
        stamp = int(time.time())
        expect(True, name, str(stamp), signs(name, stamp, new, body), new, body)
    # Too old for all of them.
    stamp -= 400
    expect(False, name, str(stamp), SIGNERS["Python"](name, stamp, new, body), new, body)
print(f"{checks} checks passed")
