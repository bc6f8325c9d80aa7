#!/usr/bin/python3
"""A registry that gives the answers of a real one, but damaged or hostile.

    bad-registry.py PORT REAL_PORT

The first part of a repository's name says how: `http://127.0.0.1:PORT/truncated/dkms` is `dkms` of the real registry, and its
layers end too early. Each request is logged to standard output: WAY METHOD PATH.
"""
import gzip
import hashlib
import http.client
import json
import os
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PORT, REAL = int(sys.argv[1]), int(sys.argv[2])
PATIENCE = 30  # longer than any client waits


def real(path, accept=None):
    """Status, headers and body of the real registry's answer."""
    connection = http.client.HTTPConnection("127.0.0.1", REAL, timeout=10)
    connection.request("GET", path, headers={"Accept": accept} if accept else {})
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    return answer.status, dict(answer.getheaders()), body


def zstd_bomb(size):
    """A frame of this many bytes that unpacks to 32,768 times as many: each block repeats one byte 131,072 times."""
    header = bytes([0x28, 0xB5, 0x2F, 0xFD, 0, 13 << 3])  # a window of 8 MiB, no length, no checksum
    block = (1 << 1 | (128 << 10) << 3).to_bytes(3, "little") + b"\0"
    return (header + block * (size // 4 + 1))[:size]


GZIP_BOMB = gzip.compress(bytes(16 << 20)) * 64


class Bad(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_GET(self):
        parts = self.path.split("/")
        if parts[:2] != ["", "v2"] or len(parts) < 6:
            self.send(200, {}, b"{}")
            return
        way, path = parts[2], "/v2/" + "/".join(parts[3:])
        kind, name = parts[-2], parts[-1]
        print(way, self.command, path, flush=True)
        # Those that do not even have a manifest.
        if way == "html":
            self.send(200, {"Content-Type": "text/html"}, b"<html>Please log in to the wireless network</html>")
            return
        if way in ("too_many", "endless_headers", "chunk_of_headers", "early_hints", "error_500", "redirect_loop", "silent", "trickle", "endless", "not_http", "huge_manifest", "gzip_bomb"):
            getattr(self, way)()
            return
        if kind == "manifests" and way == "replayed":
            path = "/".join(path.split("/")[:-1] + [self.another_tag(path, name)])
        status, headers, body = real(path, self.headers.get("Accept"))
        if status == 200 and kind == "manifests":
            body = self.manifest(way, body)
        elif status == 200 and way == "one_bit":
            body = body[:-9] + bytes([body[-9] ^ 1]) + body[-8:]
        elif status == 200 and way == "zstd_bomb":
            body = zstd_bomb(len(body))
        elif status == 200 and way == "layer_of_another":
            body = os.urandom(len(body))
        if status == 200 and kind == "blobs" and way == "truncated":
            self.send(status, {"Content-Length": str(len(body))}, body[: len(body) // 2])
            self.close_connection = True
            return
        if status == 200 and kind == "blobs" and way == "gzip_layer":
            self.send(status, {"Content-Encoding": "gzip"}, GZIP_BOMB)
            return
        if status == 200 and kind == "blobs" and way == "longer_layer":
            self.send(status, {"Content-Length": str(len(body) * 2)}, body + body)
            return
        if status == 200 and kind == "blobs" and way == "endless_layer":
            self.send_response(200)
            self.end_headers()
            end = time.monotonic() + PATIENCE
            while time.monotonic() < end:
                self.wfile.write(body)
        if kind == "blobs" and way == "no_layer":
            self.send(404, {}, b"{}")
            return
        self.send(status, {"Content-Type": headers.get("Content-Type", "application/json")}, body)

    do_HEAD = do_GET

    @staticmethod
    def another_tag(path, tag):
        """A tag of the same form in the same repository, that is of another build."""
        listing = "/".join(path.split("/")[:-2] + ["tags", "list"])
        tags = json.loads(real(listing)[2])["tags"]
        return next(other for other in sorted(tags) if other[:3] == tag[:3] and other != tag)

    @staticmethod
    def manifest(way, body):
        document = json.loads(body)
        if way == "unsigned":
            document.pop("annotations", None)
        elif way == "signature_of_nothing":
            for name in document["annotations"]:
                document["annotations"][name] = "MAA="
        elif way == "other_record":
            import base64
            record = base64.b64decode(document["config"]["data"]).replace(b'"1.0"', b'"6.6"')
            document["config"]["data"] = base64.b64encode(record).decode()
        elif way == "index":
            this = {"mediaType": document["mediaType"], "digest": "sha256:" + hashlib.sha256(body).hexdigest(), "size": len(body)}
            document = {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": [this]}
        elif way == "media_type":
            document["mediaType"] = "application/vnd.docker.distribution.manifest.v2+json"
        elif way == "sha512":
            document["layers"][0]["digest"] = "sha512:" + "0" * 128
        elif way == "two_layers":
            document["layers"] *= 2
        elif way == "duplicate_annotations":
            # The second of two equal names is the wrong one.
            more = ",".join(f'"{name}":"MAA="' for name in document["annotations"])
            return json.dumps(document).replace('"annotations": {', '"annotations": {"x":""}, "annotations": {' + more + ",", 1).encode()
        elif way == "duplicate_config":
            config = json.dumps(document["config"])
            return (json.dumps(document)[:-1] + f', "config": {config}}}').encode()
        elif way == "many_annotations":
            document["annotations"] = {f"dev.dkms.signature.{n:064x}": "MAA=" for n in range(8000)}
        elif way == "no_json":
            return b"<html>Please log in to the wireless network</html>"
        else:
            return body
        return json.dumps(document).encode()

    def send(self, status, headers, body):
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def error_500(self):
        self.send(500, {}, b"no")

    def redirect_loop(self):
        self.send(307, {"Location": self.path}, b"")

    def too_many(self):
        self.send(429, {"Retry-After": "600000000"}, b"")

    def endless_headers(self):
        self.wfile.write(b"HTTP/1.1 200 OK\r\n")
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            self.wfile.write(b"X-More: " + b"x" * 1000 + b"\r\n")

    def chunk_of_headers(self):
        self.wfile.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;")
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            self.wfile.write(b"x" * 1000)

    def early_hints(self):
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            self.wfile.write(b"HTTP/1.1 103 Early Hints\r\n\r\n")

    def huge_manifest(self):
        self.send(200, {"Content-Type": "application/vnd.oci.image.manifest.v1+json"}, b" " * (64 << 20))

    def gzip_bomb(self):
        """1 GiB in a megabyte. No client asked for compression."""
        self.send(200, {"Content-Type": "application/vnd.oci.image.manifest.v1+json", "Content-Encoding": "gzip"}, GZIP_BOMB)

    def silent(self):
        time.sleep(PATIENCE)

    def trickle(self):
        self.send(200, {"Content-Length": "1000"}, b"{")
        for _ in range(PATIENCE):
            time.sleep(1)
            self.wfile.write(b" ")

    def endless(self):
        self.send_response(200)
        self.end_headers()
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            self.wfile.write(b" " * 65536)

    def not_http(self):
        self.wfile.write(b"220 mail.example.org ESMTP\r\n")
        self.close_connection = True


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_):
        """Ignores clients that disconnect, as some tests make them do."""


Server(("127.0.0.1", PORT), Bad).serve_forever()
