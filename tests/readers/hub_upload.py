"""Uploads an export to a server of this machine by the Hub's own client, and compares what came.

    python tests/readers/hub_upload.py RESCRIBE PATCH.safetensors

`hf` (huggingface_hub) has to be on the PATH. The server answers the requests of an upload as the Hub does where
files are small: each is in the commit itself. Exits with the first thing that is not right. `.ci/wheel`
runs it with the program of a wheel.
"""

import base64
import http.server
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import threading

REPOSITORY = "tester/atlas"
TOKEN = "hf_token_of_this_test"


class Hub(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    requests = []

    def body(self):
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        parts = []
        while size := int(self.rfile.readline(), 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(parts)

    def answer(self):
        body, here = self.body(), f"http://{self.headers['Host']}/{REPOSITORY}"
        self.requests.append((self.path, self.headers.get("Authorization"), body))
        answer = {}
        if "/preupload/" in self.path:
            mode = {"uploadMode": "regular", "shouldIgnore": False}
            files = json.loads(body)["files"]
            answer = {"files": [{"path": it["path"], **mode} for it in files]}
        elif "/commit/" in self.path:
            answer = {"commitOid": "0" * 40, "commitUrl": f"{here}/commit/{'0' * 40}"}
        elif self.path.endswith("/repos/create"):
            answer = {"url": here}
        answer = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    do_GET = do_POST = answer

    def log_message(self, *_):
        pass


def require(is_right, message):
    if not is_right:
        sys.exit(f"hub_upload: {message}")


def committed():
    """The bytes of every file that was committed, by its path in the repository."""
    files = {}
    for path, _, body in Hub.requests:
        if path == f"/api/models/{REPOSITORY}/commit/main":
            for line in map(json.loads, body.splitlines()):
                if line["key"] == "file":
                    files[line["value"]["path"]] = base64.b64decode(line["value"]["content"])
    return files


def main():
    rescribe, patch = sys.argv[1], pathlib.Path(sys.argv[2])
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with tempfile.TemporaryDirectory() as room:
        out = pathlib.Path(room) / "out"
        address = f"http://127.0.0.1:{server.server_port}"
        places = {"HF_ENDPOINT": address, "HF_TOKEN": TOKEN, "HF_HOME": f"{room}/home"}
        command = [rescribe, "export", "--patch", patch, "--out", out, "--push", REPOSITORY, "--private"]
        done = subprocess.run(command, env=os.environ | places, capture_output=True, text=True)
        require(done.returncode == 0, f"exit code {done.returncode}: {done.stderr}")
        require(f"{address}/{REPOSITORY}/commit/" in done.stderr, f"no address is told: {done.stderr}")
        require(TOKEN not in done.stdout + done.stderr, "the token is told")
        found = committed()
        written = {path.name: path.read_bytes() for path in out.iterdir()}
        for name, contents in written.items():
            require(found.get(name) == contents, f"{name} came with other bytes, or not at all")
        names = sorted(written) + [f"patches/{patch.name}"]
        require(sorted(found) == sorted(names), f"{sorted(found)} came, expected {names}")
        require(found[names[-1]] == patch.read_bytes(), "the patch came with other bytes")
    created = [json.loads(body) for path, _, body in Hub.requests if path.endswith("/repos/create")]
    is_private = [it.get("private") is True or it.get("visibility") == "private" for it in created]
    require(is_private and all(is_private), f"made as {created}")
    require(any(token == f"Bearer {TOKEN}" for _, token, _ in Hub.requests), "no token was sent")
    print(f"hub_upload: {len(names)} files came as they were written")


main()
