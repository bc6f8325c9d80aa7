#!/usr/bin/python3
"""A proxy that needs a password, and knows names that no other program knows.

    proxy.py PORT USER:PASSWORD NAME LOCAL_PORT...

A connection to NAME goes to this port of this machine. Each request is logged to standard output.
"""
import base64
import socket
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

PORT = int(sys.argv[1])
LOGIN = "Basic " + base64.b64encode(sys.argv[2].encode()).decode()
NAMES = dict(zip(sys.argv[3::2], map(int, sys.argv[4::2])))


def copy(source, to):
    try:
        while data := source.recv(65536):
            to.sendall(data)
    except OSError:
        pass
    finally:
        try:
            to.shutdown(socket.SHUT_WR)
        except OSError:
            pass


class Proxy(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def upstream(self, name):
        """A connection; None if the answer is a refusal."""
        print(self.command, self.path, flush=True)
        code = 407 if self.headers.get("Proxy-Authorization") != LOGIN else 502 if name not in NAMES else 0
        if not code:
            return socket.create_connection(("127.0.0.1", NAMES[name]))
        self.send_response(code)
        self.send_header("Content-Length", "0")
        self.end_headers()
        return None

    def do_CONNECT(self):
        upstream = self.upstream(self.path.rsplit(":", 1)[0])
        if not upstream:
            return
        self.send_response(200)
        self.end_headers()
        thread = threading.Thread(target=copy, args=(upstream, self.connection), daemon=True)
        thread.start()
        copy(self.connection, upstream)
        thread.join()
        self.close_connection = True

    def forward(self):
        to = urlsplit(self.path)
        upstream = self.upstream(to.hostname)
        if not upstream:
            return
        path = to.path + (f"?{to.query}" if to.query else "")
        kept = [f"{name}: {value}" for name, value in self.headers.items() if not name.lower().startswith(("proxy-", "connection"))]
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        head = "\r\n".join([f"{self.command} {path} HTTP/1.1", *kept, "Connection: close", "", ""])
        upstream.sendall(head.encode() + body)
        copy(upstream, self.connection)
        self.close_connection = True

    do_GET = do_HEAD = do_PUT = do_POST = do_PATCH = forward


class Server(ThreadingHTTPServer):
    daemon_threads = True


Server(("127.0.0.1", PORT), Proxy).serve_forever()
