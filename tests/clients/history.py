"""A temporary repository, and what git itself says about it."""

import random
import subprocess
from bisect import bisect_right
from pathlib import Path

HEAD = "HEAD"
# Whose clocks go backwards, and stand still.
CLOCKS = "clocks"
# A name that needs escaping in every part of a URL.
ODD = "odd/a%2Fb+c&d=e#f;\u00f6"
REVISIONS = [HEAD, CLOCKS, ODD]

IDENTITY = ["-c", "user.name=Test", "-c", "user.email=test@example.com"]


class Repository:
    def __init__(self, directory: Path, source: Path):
        """Clones the repository of `source`, and adds two branches."""
        self.directory = directory
        subprocess.run(["git", "clone", "--quiet", source, directory], check=True)
        imported = b"".join([*branch(CLOCKS, 120, 1), *branch(ODD, 7, 2)])
        self.git("fast-import", "--quiet", input=imported)

    def git(self, *arguments, **options):
        command = ["git", *IDENTITY, *arguments]
        done = subprocess.run(
            command, cwd=self.directory, check=True, stdout=subprocess.PIPE, **options
        )
        return done.stdout.decode()

    def commit(self, files):
        """Makes a commit of these files, by path, on HEAD."""
        for path, text in files.items():
            place = self.directory / path
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(text)
        self.git("add", *files)
        self.git("commit", "--quiet", "-m", "Write files")

    def versions(self, revision):
        """The commits of a revision, oldest first, and the latest time up to each."""
        listed = self.git("log", "--first-parent", "--reverse", "--format=%H %ct", revision, "--")
        commits, times = [], []
        for line in listed.splitlines():
            commit, time = line.split()
            commits.append(commit)
            times.append(max([int(time)] + times[-1:]))
        return commits, times

    def tree(self, commit):
        """The state at a commit, as the example shows it."""
        listed = self.git("ls-tree", "-r", "-z", commit)
        tree = {}
        for entry in filter(None, listed.split("\0")):
            (mode, _, name), path = entry.split("\t")[0].split(), entry.split("\t", 1)[1]
            tree[path] = f"{mode} {name[:12]}"
        return tree


def version_at(times, second):
    """The number of commits up to a second: the first one at least."""
    return max(bisect_right(times, second), 1)


def branch(name, count, seed):
    """The commits of a branch, as git's fast-import reads them."""
    steps = random.Random(seed)
    time = 1_600_000_000
    for number in range(1, count + 1):
        time += steps.choice([0, 0, 1, 60, 86_400, -1, -7_200])
        path = f"\u00f6/{number % 10} {number % 3}.txt".encode()
        text = f"{number}\n".encode()
        yield b"commit refs/heads/%s\n" % name.encode()
        yield b"committer Test <test@example.com> %d +0000\ndata 0\n" % time
        yield b'M 644 inline "%s"\ndata %d\n%s\n' % (path, len(text), text)
