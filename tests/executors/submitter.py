"""Another process that submits a job and stays: standard input holds the pickled executor and job."""

from __future__ import annotations

import pickle
import sys
import time


def main() -> None:
    make, arguments, spec = pickle.load(sys.stdin.buffer)
    say("ready")
    make(*arguments).submit(spec)
    say("submitted")
    time.sleep(600)


def say(word: str) -> None:
    sys.stdout.write(f"{word}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
