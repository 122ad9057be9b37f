"""Downloads from a server on this machine that answers as the Hugging Face hub does."""

import hashlib
import json
import re
import socket
import struct
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import torch
from huggingface_hub import close_session, constants, hf_hub_download
from safetensors.torch import save

from dinocell.errors import CheckpointError, DownloadError
from dinocell.models.architecture import DecoderConfig, ViTConfig
from dinocell.models.hub import fetch_folder, is_hub_id
from dinocell.models.network.building import build_backbone
from dinocell.models.network.weights import PRETRAINED, load_backbone_weights
from dinocell.models.variants import Variant

ID = "timm/tiny"
REVISION = "5eed" * 10
MEMBER = "Bearer hf_member"
CONTENT = bytes(range(256)) * 256
TINY = Variant(
    name="tiny",
    title="four blocks",
    backbone=ViTConfig(hidden_size=32, depth=4, heads=2, intermediate_size=64, feature_blocks=(0, 1, 2, 3)),
    decoder=DecoderConfig(),
    licence="DINOv3 License",
    sources=(ID, "facebook/tiny"),
)


class Hub(ThreadingHTTPServer):
    """Serves one repository, and remembers what it was asked for."""

    daemon_threads = False  # so that closing it waits for its threads

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.files = {}
        self.damaged = set()  # names of files whose bytes are not those that their hash states
        self.breaks = {}  # name of a file: how the next answer with it breaks off in the middle
        self.page = None  # what every address answers instead, as the sign-in page of a guest network does
        self.gated = None  # start of the paths that only a member gets
        self.requests = []  # method, path and range
        self.sent = threading.Event()  # a file went out whole

    def requested(self, name):
        return [span for method, path, span in self.requests if method == "GET" and path.endswith(f"/{name}")]


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.requests.append((self.command, self.path, self.headers["Range"]))
        path = urlsplit(self.path).path  # a proxy is asked for whole URLs
        path = path.replace("/resolve/main/", f"/resolve/{REVISION}/")
        resolve = f"/{ID}/resolve/{REVISION}/"
        known = self.headers["Authorization"]
        if self.server.page is not None:
            self.send(self.server.page, "text/html")
        elif self.server.gated and path.startswith(self.server.gated) and known != MEMBER:
            self.refuse(403 if known else 401, "GatedRepo")
        elif path == f"/api/models/{ID}/revision/main":
            self.send_json({"id": ID, "sha": REVISION})
        elif path == f"/api/models/{ID}/tree/{REVISION}":
            self.send_json([describe(name, content) for name, content in self.server.files.items()])
        elif path.startswith(resolve):
            self.send_file(path.removeprefix(resolve))
        else:
            self.refuse(404 if known else 401, "RepoNotFound")

    def do_HEAD(self):
        self.do_GET()

    def do_CONNECT(self):
        self.server.requests.append((self.command, self.path, None))
        self.refuse(403, "Forbidden")

    def refuse(self, status, code):
        self.send_response(status)
        self.send_header("X-Error-Code", code)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def send_json(self, answer):
        self.send(json.dumps(answer).encode(), "application/json")

    def send(self, body, kind):
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def send_file(self, name):
        content = self.server.files[name]
        described = describe(name, content)
        span = self.headers["Range"]
        start = int(re.fullmatch(r"bytes=(\d+)-", span)[1]) if span else 0
        self.send_response(206 if span else 200)
        self.send_header("X-Repo-Commit", REVISION)
        self.send_header("ETag", f'"{described["oid"]}"')
        if "lfs" in described:
            self.send_header("X-Linked-ETag", f'"{described["lfs"]["oid"]}"')
            self.send_header("X-Linked-Size", str(len(content)))
        if span:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        if self.command == "GET":
            self.send_body(name, content, start)

    def send_body(self, name, content, start):
        if name in self.server.damaged:
            content = content[:-1] + bytes([content[-1] ^ 1])
        broken = self.server.breaks.pop(name, None)
        self.wfile.write(content[start : len(content) // 2 if broken else None])
        if broken == "reset":
            self.server.sent.wait(timeout=10)  # so that another file is whole by then
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            socket.close(self.connection.detach())
        elif not broken:
            self.server.sent.set()

    def log_message(self, *_):
        pass  # pytest shows the requests where a test compares them


def describe(name, content):
    """Return one line of the repository's listing; weights are in large file storage, texts are not."""
    sha256 = hashlib.sha256(content).hexdigest()
    entry = {"type": "file", "path": name, "size": len(content), "oid": sha256[:40]}
    if not name.endswith(".json"):
        entry["lfs"] = {"oid": sha256, "size": len(content), "pointerSize": 128}
    return entry


def use(monkeypatch, endpoint):
    monkeypatch.setattr(constants, "ENDPOINT", endpoint)
    monkeypatch.setattr(
        constants, "HUGGINGFACE_CO_URL_TEMPLATE", endpoint + "/{repo_id}/resolve/{revision}/{filename}"
    )


@pytest.fixture
def hub(monkeypatch, tmp_path):
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    server = Hub()
    use(monkeypatch, server.url)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "home" / "hub"))
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "home" / "token"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_TELEMETRY", True)  # it asks the hub, too
    close_session()  # an open one keeps the proxies that it began with
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    yield server
    close_session()
    server.shutdown()
    thread.join()
    server.server_close()


def fetch(hub_id=ID):
    return fetch_folder(hub_id, licence=TINY.licence)


def tiny(seed):
    torch.manual_seed(seed)
    return build_backbone(TINY.backbone)


def published(backbone):
    return {key.removeprefix("vit."): value for key, value in backbone.state_dict().items()}


def assert_same_weights(one, other):
    one, other = one.state_dict(), other.state_dict()
    assert one.keys() == other.keys()
    assert all(torch.equal(one[key], other[key]) for key in one)


def test_the_first_call_downloads_the_weights_and_the_second_asks_for_nothing(hub, caplog):
    caplog.set_level("INFO", "dinocell")
    hub.files = {"model.safetensors": CONTENT, "pytorch_model.bin": CONTENT[1:], "config.json": b"{}"}
    folder = fetch()
    assert [path.name for path in folder.iterdir()] == ["model.safetensors"]
    assert (folder / "model.safetensors").read_bytes() == CONTENT
    assert not hub.requested("pytorch_model.bin")
    (note,) = caplog.messages
    assert f"their licence: DINOv3 License, see {hub.url}/{ID}" in note
    hub.requests.clear()
    caplog.clear()
    assert fetch() == folder
    assert not hub.requests
    assert not caplog.messages


def test_a_cache_with_other_files_alone_is_completed(hub):
    hub.files = {"config.json": b"{}", "model.safetensors": CONTENT}
    hf_hub_download(ID, "config.json")  # as other programs do
    assert (fetch() / "model.safetensors").read_bytes() == CONTENT


def test_a_part_without_its_index_is_completed(hub):
    names = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"]
    index = {"weight_map": {"a": names[0], "b": names[1]}}
    hub.files = dict.fromkeys(names, CONTENT) | {"model.safetensors.index.json": json.dumps(index).encode()}
    hf_hub_download(ID, names[0])
    assert sorted(path.name for path in fetch().iterdir()) == [*names, "model.safetensors.index.json"]


def test_weights_in_subfolders_are_left_where_they_are(hub):
    hub.files = {"model.safetensors": CONTENT, "onnx/model.safetensors": CONTENT[1:]}
    assert [path.name for path in fetch().iterdir()] == ["model.safetensors"]


def test_a_repository_without_safetensors_is_refused(hub):
    hub.files = {"pytorch_model.bin": CONTENT}
    with pytest.raises(DownloadError, match=f"{ID} holds no .safetensors: choose"):
        fetch()


@pytest.mark.parametrize("page", [b"<html>Please sign in</html>", b'{"welcome": true}'])
def test_a_guest_network_that_answers_instead_is_no_traceback(hub, page):
    hub.page = page
    with pytest.raises(DownloadError, match=r"cannot be downloaded \(.+\): check the network"):
        fetch()


def test_a_cache_that_cannot_be_written_is_named(hub, monkeypatch, tmp_path):
    hub.files = {"model.safetensors": CONTENT}
    (tmp_path / "file").touch()
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "file" / "hub"))
    with pytest.raises(DownloadError, match=r"set HF_HOME to a folder you may write to"):
        fetch()


def test_names_that_no_repository_can_have_are_no_ids():
    assert is_hub_id("timm/vit_7b_patch16_dinov3.lvd1689m")
    for name in ("../weights", "./weights", "-a/b", "a--b/c", "timm/x..y", "timm/x.git", "nano", "a/b/c", ""):
        assert not is_hub_id(name)


@pytest.mark.slow
def test_a_download_goes_on_where_the_connection_broke(hub, monkeypatch):
    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 1024)
    hub.files = {"model.safetensors": CONTENT}
    hub.breaks = {"model.safetensors": "close"}
    assert (fetch() / "model.safetensors").read_bytes() == CONTENT
    assert hub.requested("model.safetensors") == [None, f"bytes={len(CONTENT) // 2}-"]


def test_after_a_failed_download_the_next_call_fetches_what_is_missing(hub, monkeypatch):
    hub.files = {"a.safetensors": CONTENT, "b.safetensors": CONTENT[1:]}
    hub.breaks = {"b.safetensors": "reset"}
    with pytest.raises(DownloadError, match=r"cannot be downloaded \(.+\): check the network .* try again"):
        fetch()
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(DownloadError):  # half a download is none
        fetch()
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    folder = fetch()
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == hub.files
    assert len(hub.requested("a.safetensors")) == 1
    assert len(hub.requested("b.safetensors")) == 2


def test_sharded_weights_are_loaded_whole(hub):
    saved, loaded = tiny(0), tiny(1)
    tensors = published(saved)
    shards = {key: f"model-0000{number % 2 + 1}-of-00002.safetensors" for number, key in enumerate(tensors)}
    hub.files = {
        name: save({key: tensors[key] for key, shard in shards.items() if shard == name})
        for name in set(shards.values())
    }
    hashes = {name: hashlib.sha256(content).hexdigest() for name, content in hub.files.items()}
    hub.files["model.safetensors.index.json"] = json.dumps({"metadata": {}, "weight_map": shards}).encode()
    record = load_backbone_weights(loaded, TINY, PRETRAINED)
    assert_same_weights(loaded, saved)
    assert record.source == ID
    assert record.sha256 == hashes
    assert len(hashes) == 2


def test_a_damaged_file_is_refused_and_deleting_it_helps(hub):
    saved, loaded = tiny(0), tiny(1)
    hub.files = {"model.safetensors": save(published(saved))}
    hub.damaged = {"model.safetensors"}
    with pytest.raises(CheckpointError, match=r"is damaged, its SHA-256 is .* load it again") as error:
        load_backbone_weights(loaded, TINY, ID)
    assert_same_weights(loaded, tiny(1))
    hub.damaged.clear()
    Path(re.search("delete (.*) and load", str(error.value))[1]).unlink()
    load_backbone_weights(loaded, TINY, ID)
    assert_same_weights(loaded, saved)


@pytest.mark.parametrize("gated", ["/api/", f"/{ID}/resolve/"])
@pytest.mark.parametrize("token", [None, "hf_stranger"])
def test_a_gated_repository_names_the_page_to_sign_in_and_a_token_opens_it(hub, monkeypatch, gated, token):
    hub.files = {"model.safetensors": CONTENT}
    hub.gated = gated
    if token:
        monkeypatch.setenv("HF_TOKEN", token)
    with pytest.raises(DownloadError, match=rf"gated: sign in at {hub.url}/{ID}, .* HF_TOKEN"):
        fetch()
    monkeypatch.setenv("HF_TOKEN", MEMBER.removeprefix("Bearer "))
    assert (fetch() / "model.safetensors").read_bytes() == CONTENT


@pytest.mark.parametrize("token", [None, "hf_stranger"])
def test_an_unknown_repository(hub, monkeypatch, token):
    if token:
        monkeypatch.setenv("HF_TOKEN", token)
    with pytest.raises(DownloadError, match=rf"timm/tony is not a file or folder here, and not on {hub.url}"):
        fetch("timm/tony")


def test_without_network_only_what_is_in_the_cache_is_found(hub):
    hub.files = {"model.safetensors": CONTENT}
    folder = fetch()
    hub.shutdown()
    hub.server_close()
    assert fetch() == folder
    with pytest.raises(
        DownloadError, match=r"facebook/tiny is not a file .* cannot be downloaded .* check the network"
    ):
        fetch("facebook/tiny")


def test_offline_only_what_is_in_the_cache_is_found(hub, monkeypatch, caplog):
    hub.files = {"model.safetensors": CONTENT}
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(DownloadError, match=r"not in the cache .*, and HF_HUB_OFFLINE is set: unset it"):
        fetch()
    assert not hub.requests
    assert not caplog.messages
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    folder = fetch()
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert fetch() == folder


def test_endpoint_cache_and_proxy_are_those_of_the_environment(hub, monkeypatch):
    hub.files = {"model.safetensors": CONTENT}
    home = Path(constants.HF_HUB_CACHE).parent.resolve()
    settings = {
        "HF_ENDPOINT": "http://hub.invalid",
        "HF_HOME": str(home),
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HTTP_PROXY": hub.url,
    }
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    for name in ("HF_HUB_CACHE", "HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    call = f"from dinocell.models.hub import fetch_folder; print(fetch_folder({ID!r}, licence=''), end='')"
    run = subprocess.run([sys.executable, "-c", call], check=True, capture_output=True, text=True, timeout=60)
    assert (Path(run.stdout) / "model.safetensors").read_bytes() == CONTENT
    assert home in Path(run.stdout).parents
    assert hub.requests
    assert all(path.startswith("http://hub.invalid/") for _, path, _ in hub.requests)


def test_a_proxy_that_refuses(hub, monkeypatch):
    monkeypatch.setenv("HTTPS_PROXY", hub.url)
    use(monkeypatch, "https://hub.invalid")
    with pytest.raises(DownloadError, match=r"cannot be downloaded .* HTTPS_PROXY"):
        fetch()
    assert hub.requests == [("CONNECT", "hub.invalid:443", None)]
