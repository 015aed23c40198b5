"""`make soak`: keep servers busy for minutes, break things, and look for losses and leaks.

Options: --minutes 5 (of each half), --store sqlite or postgres (both), --seed 0. The first half
kills servers, crashes the database and cuts connections under 64 writers and then checks every
answer (tests/faults); the second leaves everything alone and watches memory, files and threads.
Exit code 1 if anything was lost, doubled or out of order.
"""

import argparse
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "faults"))

from chaos import Chaos, FileStage, Stage
from table import note, print_table
from workload import Report, Workload

WRITERS = 64
QUOTA = 100_000_000  # counted exactly, never reached


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--store", choices=["sqlite", "postgres"])
    parser.add_argument("--seed", type=int, default=int(time.time()))
    given = parser.parse_args()
    wrong = 0
    for store in [given.store] if given.store else ["sqlite", "postgres"]:
        with ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            if store == "sqlite":
                stage: Any = FileStage(stack, folder, writes_per_day=QUOTA)
            else:
                stage = Stage(stack, 3, writes_per_day=QUOTA)
            note(f"{store}: {given.minutes:g} minutes of faults (--seed {given.seed})")
            wrong += len(_faults(stage, given.minutes * 60, given.seed).wrong)
            note(f"{store}: {given.minutes:g} minutes of peace")
            wrong += len(_peace(stage, given.minutes * 60, given.seed + 1).wrong)
    return 1 if wrong else 0


def _faults(stage: Any, seconds: float, seed: int) -> Report:
    chaos = Chaos(stage, seed=seed)
    workload = Workload(stage.urls, writers=WRITERS, quota=QUOTA, seed=seed, part="faults")
    workload.start()
    with chaos.going_on():
        time.sleep(seconds)
    workload.stop()
    report = workload.check(stage.servers[0].memory("-", timeout=60))
    report.wrong += [f"the chaos itself failed: {error!r}" for error in chaos.failed]
    done = {act: chaos.done.count(act) for act in sorted(set(chaos.done))}
    print_table("What was done", ["fault", "times"], list(done.items()))
    print(f"  {report}", flush=True)
    return report


def _peace(stage: Any, seconds: float, seed: int) -> Report:
    workload = Workload(stage.urls, writers=WRITERS, quota=QUOTA, seed=seed, part="peace")
    workload.start()
    samples: list[list[object]] = []
    began = time.monotonic()
    for part in range(1, 7):
        time.sleep(max(began + seconds * part / 6 - time.monotonic(), 0))
        for number, server in enumerate(stage.servers, 1):
            samples.append([f"{seconds * part / 6:.0f}", number, *_sample(server.process.pid)])
        samples[-1][-1] = f"{workload.calls:,}"
    workload.stop()
    report = workload.check(stage.servers[0].memory("-", timeout=60))
    head = ["seconds", "server", "memory MB", "open files", "threads", "calls"]
    print_table("What the servers hold; it must not grow with the calls", head, samples)
    print(f"  {report}", flush=True)
    return report


def _sample(pid: int) -> list[object]:
    status = dict(
        line.split(":\t", 1)
        for line in Path(f"/proc/{pid}/status").read_text().splitlines()
        if ":\t" in line
    )
    memory = int(status["VmRSS"].split()[0]) / 1024
    files = len(list(Path(f"/proc/{pid}/fd").iterdir()))
    return [f"{memory:.1f}", files, status["Threads"].strip(), ""]


if __name__ == "__main__":
    sys.exit(main())
