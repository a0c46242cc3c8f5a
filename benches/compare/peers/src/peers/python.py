"""The same aggregate with the library eventsourcing: obeys one command a line, answers with one."""

import json
import os
import sys
import time
from uuid import NAMESPACE_OID, uuid5

from eventsourcing.application import Application
from eventsourcing.domain import Aggregate, event


class Account(Aggregate):
    @event("Opened")
    def __init__(self, account_id: str, slots: int):
        self.account_id = account_id
        self.slots = slots
        self.balance = 0
        self.count = 1
        self.last = []

    @staticmethod
    def create_id(account_id: str):
        return uuid5(NAMESPACE_OID, account_id)

    @event("Deposited")
    def deposit(self, account_id: str, amount: int, memo: str):
        if len(self.last) < self.slots:
            self.last.append([amount, memo])
        else:
            self.last[self.count % self.slots] = [amount, memo]
        self.balance += amount
        self.count += 1


# All three have the same tables, which are named after the application.
class Replays(Application):
    name = "accounts"


class Loads(Application):
    """Takes snapshots only when it is told to."""

    name = "accounts"
    is_snapshotting_enabled = True


class Commands(Application):
    name = "accounts"
    snapshotting_intervals = {Account: 10}


def state(account):
    names = ["account_id", "slots", "balance", "count", "last"]
    return {name: getattr(account, name) for name in names}


def fill(apps, id, at, opened, deposits):
    account = Account(**opened)
    for number, deposit in enumerate(deposits, 2):
        account.deposit(**deposit)
        if number % 1000 == 0:
            apps["loads"].save(account)
    apps["loads"].save(account)
    apps["loads"].take_snapshot(Account.create_id(id), version=at)


def timed(get, id, times):
    took = []
    for _ in range(times):
        began = time.perf_counter_ns()
        account = get(Account.create_id(id))
        took.append(time.perf_counter_ns() - began)
    return {"ns": took, "state": state(account)}


def command(app, id, deposit):
    began = time.perf_counter_ns()
    account = app.repository.get(Account.create_id(id))
    account.deposit(**deposit)
    is_due = account.pending_events[-1].originator_version % 10 == 0
    app.save(account)
    return {"ns": time.perf_counter_ns() - began, "is_due": is_due}


def main():
    os.environ["PERSISTENCE_MODULE"] = "eventsourcing.postgres"
    apps = {"loads": Loads(), "commands": Commands(), "replays": Replays()}
    for line in sys.stdin:
        it = json.loads(line)
        match it.pop("do"):
            case "fill":
                answer = fill(apps, **it)
            case "load":
                answer = timed(apps["loads"].repository.get, **it)
            case "replay":
                answer = timed(apps["replays"].repository.get, **it)
            case "command":
                answer = command(apps["commands"], **it)
        print(json.dumps(answer), flush=True)


main()
