"""Measure `dinocell serve` under load: many clients that each upload an image, segment it, and fetch labels.

    python benchmarks/serve_load.py --clients 20

Prints the median and the longest time from the begin of an upload to the answer that the job waits, and to
the labels, and the memory of the server with its worker. The times hold for this machine and its load.
"""

import argparse
import json
import re
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import httpx

SAMPLES = sorted(Path(__file__).parents[1].glob("samples/*_img.png"))
_MIB = 2**20


@contextmanager
def server() -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Run a server on a folder of its own; yield its process and address."""
    with tempfile.TemporaryDirectory() as data:
        command = [sys.executable, "-m", "dinocell", "serve", "--no-browser", "--port", "0", "--data", data]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:  # noqa: S603
            address = re.search(r"http://\S+", process.stdout.readline())[0]
            try:
                yield process, f"{address}api/v1"
            finally:
                process.terminate()
                process.wait()


def client(number: int, address: str) -> tuple[float, float]:
    """Send an image, segment it and fetch labels; return the seconds to the answer and to the labels."""
    path = SAMPLES[number % len(SAMPLES)]
    with httpx.Client(base_url=address, timeout=600) as http:
        began = time.perf_counter()
        image = http.post("/images", files={"file": (path.name, path.read_bytes())}).raise_for_status().json()
        job = http.post("/jobs", json={"kind": "segment", "image": image["id"]}).raise_for_status().json()
        queued = time.perf_counter() - began
        result = wait(http, job["id"])
        http.get(f"/results/{result}.tif").raise_for_status()
        return queued, time.perf_counter() - began


def wait(http: httpx.Client, job: str) -> str:
    """Return the result of a job once it is done."""
    with http.stream("GET", "/jobs/events", headers={"Last-Event-ID": "0"}) as stream:
        for line in stream.iter_lines():
            if line.startswith("data:"):
                found = json.loads(line[5:])
                if found["id"] == job and found["state"] == "done":
                    return found["result"]
    raise RuntimeError("the stream ended")


def memory_of(process: int) -> int:
    """Return the bytes of a process and those that it started, without what they share."""
    found = subprocess.run(  # noqa: S603 (our own processes)
        ["/usr/bin/pgrep", "-P", str(process)], capture_output=True, text=True, check=False
    )
    own = sum(
        int(line.split()[1]) * 1024
        for line in Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
        if line.startswith("Pss:")
    )
    return own + sum(memory_of(int(child)) for child in found.stdout.split())


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clients", type=int, default=20)
    chosen = parser.parse_args()
    with server() as (process, address):
        client(0, address)  # the model is loaded now, as on any server that was used before
        most, ended = [0], threading.Event()

        def watch() -> None:
            while not ended.wait(0.5):
                try:
                    most[0] = max(most[0], memory_of(process.pid))
                except OSError:  # a process that ended meanwhile
                    continue

        watcher = threading.Thread(target=watch)
        watcher.start()
        with ThreadPoolExecutor(chosen.clients) as pool:
            times = list(pool.map(lambda number: client(number, address), range(chosen.clients)))
        ended.set()
        watcher.join()
    for title, values in zip(("queued answer", "labels"), zip(*times, strict=True), strict=True):
        print(f"{title}: median {statistics.median(values):.2f} s, longest {max(values):.2f} s")
    print(f"memory of server and worker: {most[0] / _MIB:.0f} MiB at most")


if __name__ == "__main__":
    main()
