#!/usr/bin/env python3
"""Lets `huggingface_hub` and our program read each other's caches, over a server of this script's own.

    check_hub.py PROGRAM

PROGRAM: the example `hub` of vlm-core, which prints the folder of a model.
"""
import hashlib
import json
import os
import ssl
import subprocess
import sys
import tempfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote

os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"  # read when it is imported
from huggingface_hub import scan_cache_dir, snapshot_download, try_to_load_from_cache
from huggingface_hub.utils import WeakFileLock
from transformers import AutoConfig

ID = "owner/model"
COMMIT = "0123456789abcdef0123456789abcdef01234567"
REVISIONS = ["main", "v1.0", "refs/pr/4", COMMIT]
TOKEN = "hf_secret"
WEIGHTS = bytes(range(256)) * 4096
INDEX = {"metadata": {"total_size": 2 * len(WEIGHTS)}, "weight_map": {"a": "model-1.safetensors", "b": "model-2.safetensors"}}
FILES = {
    "config.json": b'{"model_type": "llava"}',
    "tokenizer_config.json": b"{}",
    "chat_template.jinja": b"{{ messages }}",
    "model.safetensors.index.json": json.dumps(INDEX).encode(),
    "model-1.safetensors": WEIGHTS,
    "model-2.safetensors": WEIGHTS[::-1],
    "README.md": b"read me",
    "pytorch_model.bin": WEIGHTS[1:],
    "onnx/model.onnx": WEIGHTS[2:],
}
OURS = [name for name in FILES if name.endswith((".json", ".jinja", ".safetensors"))]
HERE = Path(__file__).parent


def is_large(name):
    return name.endswith((".safetensors", ".bin", ".onnx"))


def etag(name):
    content = FILES[name]
    if is_large(name):
        return hashlib.sha256(content).hexdigest()
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def say(self, status, body=b"", **headers):
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def do_HEAD(self):
        self.do_GET()

    def do_GET(self):
        server, path = self.server, unquote(self.path.split("?")[0])
        sent = self.headers.get("Authorization")
        server.log.append((self.command, path, sent))
        if server.content:
            return self.content(path.removeprefix("/content/"))
        if sent != f"Bearer {TOKEN}":
            return self.say(401, X_Error_Code="GatedRepo", X_Error_Message="Access is restricted")
        api = f"/api/models/{ID}/"
        if path.startswith(api + "revision/") and path.removeprefix(api + "revision/") in REVISIONS:
            siblings = [{"rfilename": name} for name in FILES]
            return self.say(200, json.dumps({"id": ID, "sha": COMMIT, "siblings": siblings}).encode())
        if path == api + f"tree/{COMMIT}":
            return self.say(200, json.dumps([self.entry(name) for name in FILES]).encode())
        name = path.removeprefix(f"/{ID}/resolve/{COMMIT}/")
        if name not in FILES:
            return self.say(404, X_Error_Code="EntryNotFound")
        tag = f'"{etag(name)}"'
        if not is_large(name):
            return self.content(name, ETag=tag, X_Repo_Commit=COMMIT)
        size, to = str(len(FILES[name])), f"{server.contents}/content/{name}?signature=secret"
        self.say(302, Location=to, X_Linked_Etag=tag, X_Linked_Size=size, X_Repo_Commit=COMMIT)

    def content(self, name, **headers):
        content, asked = FILES[name], self.headers.get("Range")
        if asked is None:
            return self.say(200, content, **headers)
        first = int(asked.removeprefix("bytes=").split("-")[0])
        self.say(206, content[first:], Content_Range=f"bytes {first}-{len(content) - 1}/{len(content)}", **headers)

    def entry(self, name):
        entry = {"type": "file", "path": name, "size": len(FILES[name]), "oid": hashlib.sha1(name.encode()).hexdigest()}
        if is_large(name):
            entry["lfs"] = {"oid": etag(name), "size": len(FILES[name]), "pointerSize": 130}
        else:
            entry["oid"] = etag(name)
        return entry


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, content=False, contents=None, safe=False):
        super().__init__(("127.0.0.1", 0), Handler)
        self.content, self.contents, self.log = content, contents, []
        if safe:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(HERE / "localhost.pem")
            self.socket = context.wrap_socket(self.socket, server_side=True)
        self.address = f"http{'s' if safe else ''}://localhost:{self.server_port}"
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def handle_error(self, request, client_address):
        # A client that does not trust us hangs up.
        pass


class Ours:
    """Our program, with nothing of this process's environment that would matter."""

    def __init__(self, program):
        self.program = program

    @staticmethod
    def environment(**env):
        names = ("HF_", "HUGGING", "TRANSFORMERS_", "XDG_", "SSL_CERT", "REQUESTS_CA", "CURL_CA", "ALL_PROXY", "HTTP")
        clean = {k: v for k, v in os.environ.items() if not k.upper().startswith(names)}
        return {**clean, "NO_PROXY": "localhost,127.0.0.1", **env}

    def start(self, cache, *args, **env):
        if cache is not None:
            env["HF_HUB_CACHE"] = str(cache)
        env, pipe = self.environment(**env), subprocess.PIPE
        return subprocess.Popen([self.program, ID, *args], env=env, stdout=pipe, stderr=pipe, text=True)

    def run(self, cache, *args, **env):
        process = self.start(cache, *args, **env)
        out, err = process.communicate(timeout=120)
        return process.returncode, out.strip(), err

    def folder(self, cache, *args, **env):
        code, out, err = self.run(cache, *args, **env)
        assert code == 0, f"{args} {env}: {err}"
        return out

    def fails(self, cache, *args, says, **env):
        code, out, err = self.run(cache, *args, **env)
        assert code == 1 and not out, f"{args} {env} did not fail: {out} {err}"
        for part in says:
            assert part in err, f"the message lacks {part!r}: {err}"


def layout(cache):
    """What is in a model's folder: targets of links, contents of files."""
    found = {}
    for path in (cache / "models--owner--model").rglob("*"):
        name = str(path.relative_to(cache))
        if path.is_symlink():
            found[name] = "-> " + os.readlink(path)
        elif path.is_file():
            found[name] = path.read_bytes()
    return found


def ours_is_read_by_theirs(ours, server, cache, online):
    folder = ours.folder(cache, **online)
    assert folder == snapshot_download(ID, cache_dir=cache, local_files_only=True), folder
    for name in OURS:
        path = try_to_load_from_cache(ID, name, cache_dir=cache)
        assert path == os.path.join(folder, name) and Path(path).read_bytes() == FILES[name], name
    assert try_to_load_from_cache(ID, "README.md", cache_dir=cache) is None
    assert AutoConfig.from_pretrained(ID, cache_dir=cache, local_files_only=True).model_type == "llava"
    scan = scan_cache_dir(cache)
    (repo,) = scan.repos
    assert not scan.warnings and repo.repo_id == ID and repo.refs.keys() == {"main"}, scan
    # Where they go on, they fetch what we left out, and only that.
    server.log.clear(), server.store.log.clear()
    snapshot_download(ID, cache_dir=cache, endpoint=server.address, token=TOKEN)
    fetched = {path.rpartition("/")[2] for method, path, _ in server.log + server.store.log if method == "GET"}
    again = fetched.intersection(OURS)
    assert not again and "README.md" in fetched, f"fetched again: {again} of {fetched}"
    print(f"huggingface_hub reads our cache: {len(OURS)} files, and fetches {len(FILES) - len(OURS)} others itself")


def theirs_is_read_by_ours(ours, server, cache, our_cache, online):
    for revision in REVISIONS:
        theirs = snapshot_download(ID, revision=revision, cache_dir=cache, endpoint=server.address, token=TOKEN)
        assert ours.folder(cache, revision, HF_HUB_OFFLINE="1") == theirs, revision
    assert ours.folder(cache, COMMIT[:7], TRANSFORMERS_OFFLINE="true") == theirs
    assert ours.folder(cache, HF_ENDPOINT="http://localhost:1") == theirs, "what is there needs no server"
    # The same names, links and contents, where both have them.
    mine, yours = layout(our_cache), layout(cache)
    names = [f"models--owner--model/snapshots/{COMMIT}/{name}" for name in OURS]
    names += [f"models--owner--model/blobs/{etag(name)}" for name in OURS] + ["models--owner--model/refs/main"]
    assert set(names) == set(mine), f"files differ: {set(names) ^ set(mine)}"
    for name in names:
        assert mine[name] == yours[name], f"{name}: {mine[name][:80]} and {yours[name][:80]}"
    print(f"ours reads the cache of huggingface_hub, {len(REVISIONS)} revisions; {len(names)} entries are equal")
    # Damage is named, and mended where there is a server.
    lost = Path(theirs) / "model-2.safetensors"
    lost.resolve().unlink()
    ours.fails(cache, HF_HUB_OFFLINE="1", says=["lacks model-2.safetensors", "hf download owner/model"])
    assert ours.folder(cache, **online) == theirs and lost.read_bytes() == FILES[lost.name]
    print("a snapshot that lost a file is named offline and mended online")


def locks_are_shared(ours, cache, online):
    lock = cache / ".locks" / "models--owner--model" / f"{etag('model-1.safetensors')}.lock"
    lock.parent.mkdir(parents=True)
    with WeakFileLock(lock):
        process = ours.start(cache, **online)
        try:
            process.wait(timeout=2)
        except subprocess.TimeoutExpired:
            pass
        else:
            raise AssertionError("it did not wait for the lock")
        blob = cache / "models--owner--model" / "blobs" / etag("model-1.safetensors")
        assert not list(blob.parent.glob(f"{blob.name}*")), "it wrote what another has locked"
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    print("ours waits for the locks of huggingface_hub")


def environments_agree(ours, scratch):
    """Where a model is looked for, and whether that is all, by what each variable says."""
    home = {"HOME": str(scratch / "home")}
    cases = [{}, {"XDG_CACHE_HOME": "/x"}, {"HF_HOME": "/h"}, {"HF_HOME": "~/h"}, {"HF_HOME": "$HOME/${XDG_CACHE_HOME}h"}]
    cases += [{"HUGGINGFACE_HUB_CACHE": "/old"}, {"HUGGINGFACE_HUB_CACHE": "/old", "HF_HUB_CACHE": "/c", "HF_HOME": "/h"}]
    cases += [{"HF_HUB_OFFLINE": value} for value in ["1", "on", "Yes", "TRUE", "0", "off", "2", "enabled"]]
    cases += [{"TRANSFORMERS_OFFLINE": "1"}, {"HF_HUB_OFFLINE": "0", "TRANSFORMERS_OFFLINE": "1"}]
    show = "from huggingface_hub import constants as c; print(c.HF_HUB_CACHE); print(c.HF_HUB_OFFLINE)"
    for case in cases:
        env = ours.environment(**home, **case)
        said = subprocess.run([sys.executable, "-c", show], env=env, capture_output=True, text=True, check=True)
        cache, offline = said.stdout.split()
        code, out, err = ours.run(None, **home, **{"HF_ENDPOINT": "ftp://none", **case})
        assert code == 1 and not out
        # A server that cannot be is refused only where one would be asked.
        assert ("ftp://none" in err) == (offline == "False"), f"{case}: {offline}, but {err}"
        code, out, err = ours.run(None, **home, **{**case, "HF_HUB_OFFLINE": "1"})
        assert f"looked in {cache}/models--owner--model" in err, f"{case}: {cache}, but {err}"
    print(f"{len(cases)} environments mean the same to both")


def certificates_are_checked(ours, scratch, store):
    server = Server(contents=store.address, safe=True)
    env = {"HF_ENDPOINT": server.address, "HF_TOKEN": TOKEN}
    ours.fails(scratch / "a", says=["no safe connection", "SSL_CERT_FILE"], **env)
    assert not server.log, "it spoke before it knew to whom"
    trusted = {**env, "SSL_CERT_FILE": str(HERE / "localhost_root.pem")}
    # From here the contents would come unprotected.
    ours.fails(scratch / "b", says=["that is http"], **trusted)
    server.contents = Server(content=True, safe=True).address
    ours.folder(scratch / "c", **trusted)
    print("https works with trusted certificates only, and never leads to http")


def main():
    program, = sys.argv[1:]
    ours, store = Ours(program), Server(content=True)
    server = Server(contents=store.address)
    server.store = store
    online = {"HF_ENDPOINT": server.address, "HF_TOKEN": TOKEN}
    with tempfile.TemporaryDirectory() as scratch:
        scratch = Path(scratch)
        ours.fails(scratch / "none", HF_ENDPOINT=server.address, says=["401", "HF_TOKEN", "Access is restricted"])
        ours.folder(scratch / "pure", **online)
        assert all(sent is None for _, _, sent in store.log) and store.log, "the token went to another host"
        ours_is_read_by_theirs(ours, server, scratch / "ours", online)
        theirs_is_read_by_ours(ours, server, scratch / "theirs", scratch / "pure", online)
        locks_are_shared(ours, scratch / "locks", online)
        certificates_are_checked(ours, scratch, store)
        environments_agree(ours, scratch)


if __name__ == "__main__":
    main()
