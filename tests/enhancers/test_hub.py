"""The Hub's conventions, against a stub of it on loopback: nothing of these tests leaves the machine."""

from __future__ import annotations

import base64
import hashlib
import json
import shutil
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml
from synthetic import D, draw_embeddings, enhancer, training_cache

from seedpipe.enhancers import FixedMap, hub, train_on_cache
from seedpipe.enhancers.seed import Enhancer
from seedpipe.errors import MissingExtraError, ModelError
from seedpipe.params import Params

huggingface_hub = pytest.importorskip("huggingface_hub")
ROWS = draw_embeddings(2, 2, 1, seed=0)[:, 1]
COMMIT = "0123456789abcdef0123456789abcdef01234567"


class Stub(BaseHTTPRequestHandler):
    """A hub with one repository: the files of ``server.files``."""

    server: Any

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def answer(self, code: int, body: Any = b"", **headers: str) -> None:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(code)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        self.server.asked.append(f"{self.command} {path}")
        files: dict[str, bytes] = self.server.files
        if path.startswith("/api/models/user/seed"):
            if "/tree/" in path:
                listed = [
                    {"type": "file", "path": name, "size": len(data), "oid": hashlib.sha1(data).hexdigest()}  # noqa: S324
                    for name, data in files.items()
                ]
                return self.answer(200, listed)
            siblings = [{"rfilename": name} for name in files]
            return self.answer(200, {"id": "user/seed", "modelId": "user/seed", "sha": COMMIT, "siblings": siblings})
        name = path.rpartition("/")[2]
        if path.startswith("/user/seed/resolve/") and name in files:
            etag = f'"{hashlib.sha256(files[name]).hexdigest()}"'
            return self.answer(200, files[name], ETag=etag, X_Repo_Commit=COMMIT)
        return self.answer(404, {"error": "Repository not found"}, X_Error_Code="RepoNotFound")

    do_HEAD = do_GET  # noqa: N815

    def do_POST(self) -> None:
        size = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(size)
        path = self.path.partition("?")[0]
        self.server.asked.append(f"POST {path}")
        if path.endswith("/create"):
            return self.answer(200, {"url": f"{self.server.url}/user/seed", "name": "user/seed"})
        if "/preupload/" in path:
            wanted = [each["path"] for each in json.loads(body)["files"]]
            answers = [{"path": name, "uploadMode": "regular", "shouldIgnore": False} for name in wanted]
            return self.answer(200, {"files": answers})
        if "/commit/" in path:
            for line in map(json.loads, body.splitlines()):
                if line["key"] == "file":
                    self.server.files[line["value"]["path"]] = base64.b64decode(line["value"]["content"])
            done = {"success": True, "commitOid": COMMIT, "commitUrl": f"{self.server.url}/user/seed/commit/{COMMIT}"}
            return self.answer(200, done)
        return self.answer(200, {})


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    found: Any = ThreadingHTTPServer(("127.0.0.1", 0), Stub)
    found.files, found.asked, found.url = {}, [], f"http://127.0.0.1:{found.server_address[1]}"
    threading.Thread(target=found.serve_forever, daemon=True).start()
    for name in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"):
        monkeypatch.setattr(f"huggingface_hub.constants.{name}", str(tmp_path / "hub"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_PROGRESS_BARS", True)
    yield found
    found.shutdown()
    found.server_close()


def test_a_folder_is_loaded_and_written_with_what_the_hub_reads(tmp_path: Path) -> None:
    cache = training_cache(tmp_path / "cache", speakers=10, utterances=2, draws=2)
    train_on_cache("whitening", cache, tmp_path / "trained", Params())
    model = FixedMap.from_pretrained(str(tmp_path / "trained"))
    model.save_pretrained(tmp_path / "one", license="cc-by-4.0", datasets=["librispeech_asr"])
    FixedMap.from_pretrained(tmp_path / "one").save_pretrained(tmp_path / "two", license="mit")
    for folder, license_, datasets in (("one", "cc-by-4.0", ["librispeech_asr"]), ("two", "mit", None)):
        _, front, card = (tmp_path / folder / "README.md").read_text(encoding="utf-8").split("---\n", 2)
        facts = yaml.safe_load(front)
        assert (facts["license"], facts["library_name"], facts.get("datasets")) == (license_, "seedpipe", datasets)
        assert facts["metrics"] == ["eer"]
        assert {"speaker-verification", "whitening", "toy"} <= set(facts["tags"])
        assert card.strip() == (tmp_path / "trained" / "README.md").read_text(encoding="utf-8").strip()
        assert (FixedMap.load(tmp_path / folder)(ROWS) == model(ROWS)).all()
        assert huggingface_hub.ModelCard.load(tmp_path / folder / "README.md").data.license == license_


def test_what_lies_beside_the_weights_stays_with_them(tmp_path: Path) -> None:
    enhancer().save(tmp_path / "model", "# Card\n\nFigures.\n")
    (tmp_path / "model" / "calibration.json").write_text("{}", encoding="utf-8")
    Enhancer.load(tmp_path / "model").save_pretrained(tmp_path / "copy")
    assert (tmp_path / "copy" / "calibration.json").read_text(encoding="utf-8") == "{}"
    text = (tmp_path / "copy" / "README.md").read_text(encoding="utf-8")
    assert text.endswith("# Card\n\nFigures.\n")
    assert "license" not in text
    enhancer().save_pretrained(tmp_path / "new")
    assert "# SEED enhancer for toy" in (tmp_path / "new" / "README.md").read_text(encoding="utf-8")


def test_a_model_goes_to_the_hub_and_comes_back(server: Any, tmp_path: Path) -> None:
    address = enhancer().push_to_hub("user/seed", license="mit", token="t", endpoint=server.url)  # noqa: S106
    assert address.endswith(f"/user/seed/commit/{COMMIT}")
    assert {"model.safetensors", "config.json", "README.md"} <= set(server.files)
    assert server.files["README.md"].startswith(b"---\nlicense: mit\n")
    server.files["other.bin"] = b"is not asked for"
    found = Enhancer.from_pretrained("user/seed", revision="main", endpoint=server.url)
    assert (found(ROWS) == enhancer()(ROWS)).all()
    assert not [line for line in server.asked if "other.bin" in line]
    server.shutdown()
    server.server_close()
    again = Enhancer.from_pretrained("user/seed", revision=COMMIT, endpoint=server.url)
    assert (again(ROWS) == found(ROWS)).all(), "without a connection what was fetched before is used"
    shutil.rmtree(tmp_path / "hub")
    with pytest.raises(ModelError, match=r"user/seed is no folder here, and cannot be had on the Hub"):
        Enhancer.from_pretrained("user/seed", endpoint=server.url)


def test_nothing_is_asked_of_the_hub_but_for_a_name(
    server: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    enhancer().save("user/seed", "# Card\n")
    assert Enhancer.from_pretrained("user/seed", endpoint=server.url)(ROWS).shape == (len(ROWS), D)
    for name in ("absent", "a/b/c", "/absent/seed", "../seed/x", Path("absent.d")):
        with pytest.raises(ModelError, match="is no model"):
            Enhancer.from_pretrained(name, endpoint=server.url)
    with pytest.raises(ModelError, match="a folder has no revisions"):
        Enhancer.from_pretrained("user/seed", revision="main")
    with pytest.raises(ModelError, match="'seed' is no name on the Hub"):
        enhancer().push_to_hub("seed")
    assert server.asked == []
    with pytest.raises(ModelError, match="user/none is no folder here, and cannot be had on the Hub"):
        Enhancer.from_pretrained("user/none", endpoint=server.url)
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(MissingExtraError, match=r"pip install .*hub"):
        hub.model_folder("user/none")
