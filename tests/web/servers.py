"""A real server in a process of its own, and a client that waits for jobs by the stream of events."""

import json
import os
import re
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import httpx

from dinocell.inference.fast import samples_folder

SAMPLES = sorted(samples_folder().glob("*_img.png"))


class Client:
    """Client of a server.

    Parameters
    ----------
    address : str
    token : str, optional
    """

    def __init__(self, address, token=None):
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        self.address = address
        self.http = httpx.Client(base_url=f"{address}api/v1", timeout=120, headers=headers)

    def get(self, path):
        return good(self.http.get(path)).json()

    def post(self, path, body=None):
        return good(self.http.post(path, json=body)).json()

    def upload(self, path, **fields):
        with Path(path).open("rb") as file:
            found = self.http.post("/images", files={"file": (Path(path).name, file)}, data=fields)
        return good(found).json()

    def start(self, kind, **body):
        return self.post("/jobs", {"kind": kind, **body})

    def wait(self, job, *, until=("done", "failed", "cancelled", "interrupted")):
        """Return a job once it is in one of some states."""
        with self.http.stream("GET", "/jobs/events", headers={"Last-Event-ID": "0"}) as stream:
            for line in stream.iter_lines():
                if line.startswith("data:"):
                    found = json.loads(line[5:])
                    if found["id"] == job["id"] and found["state"] in until:
                        return found
        raise AssertionError("the stream ended before the job")

    def run(self, kind, **body):
        found = self.wait(self.start(kind, **body))
        assert found["state"] == "done", found["problem"]
        return found

    def segment(self, path, **settings):
        """Send and segment an image; return its result."""
        image = self.upload(path)
        job = self.run("segment", image=image["id"], settings=settings)
        return self.get(f"/results/{job['result']}")

    def download(self, result, name):
        return good(self.http.get(f"/results/{result['id']}.{name}")).content


def good(answer):
    assert answer.status_code < 300, f"{answer.status_code}: {answer.text}"
    return answer


@contextmanager
def running(data, *options, environment=None):
    """Run ``dinocell serve``, and yield its process and a client."""
    command = [sys.executable, "-m", "dinocell", "serve", "--no-browser", "--port", "0", "--data", str(data)]
    environment = {**os.environ, "COLUMNS": "300", **(environment or {})}
    with subprocess.Popen(
        [*command, *options], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment
    ) as process:
        try:
            line = process.stdout.readline()
            address = re.search(r"http://\S+", line)
            assert address is not None, line + process.stdout.read()
            plain, _, token = address[0].partition("?token=")
            client = Client(plain, token or None)
            with client.http:
                yield process, client
        finally:
            process.terminate()
            process.wait(timeout=60)
