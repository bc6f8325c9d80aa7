#!/usr/bin/python3
"""Issues the tokens of a registry to clients that know a password.

    token-server.py PORT CERTIFICATE KEY USER:PASSWORD:ACTION,ACTION...

The tokens are signed with the key, and contain the certificate.
"""
import base64
import json
import secrets
import ssl
import subprocess
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

PORT, CERTIFICATE, KEY = int(sys.argv[1]), sys.argv[2], sys.argv[3]
USERS = {}
for argument in sys.argv[4:]:
    user, password, actions = argument.split(":")
    USERS["Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()] = (user, set(actions.split(",")))


def encode(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def token(user, allowed, service, scopes):
    access = []
    for scope in scopes:
        kind, name, actions = scope.split(":")
        granted = sorted(set(actions.split(",")) & allowed)
        access.append({"type": kind, "name": name, "actions": granted})
    now = int(time.time())
    with open(CERTIFICATE, encoding="ascii") as file:
        pem = file.read()
    chain = [base64.b64encode(ssl.PEM_cert_to_DER_cert(pem)).decode()]
    header = {"typ": "JWT", "alg": "RS256", "x5c": chain}
    claims = {"iss": "test", "sub": user, "aud": service, "exp": now + 300, "nbf": now - 5, "iat": now,
              "jti": secrets.token_hex(8), "access": access}
    signed = encode(json.dumps(header).encode()) + "." + encode(json.dumps(claims).encode())
    signature = subprocess.run(["openssl", "dgst", "-sha256", "-sign", KEY], input=signed.encode(), stdout=subprocess.PIPE, check=True)
    return signed + "." + encode(signature.stdout)


class Tokens(BaseHTTPRequestHandler):
    def log_message(self, *_):
        pass

    def do_GET(self):
        known = USERS.get(self.headers.get("Authorization"))
        query = parse_qs(urlsplit(self.path).query)
        scopes = [word for scope in query.get("scope", []) for word in scope.split(" ")]
        print(known[0] if known else "nobody", *scopes, flush=True)
        body = json.dumps({"token": token(*known, query["service"][0], scopes)} if known else {"errors": []}).encode()
        self.send_response(200 if known else 401)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


server = ThreadingHTTPServer(("127.0.0.1", PORT), Tokens)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(CERTIFICATE, KEY)
server.socket = context.wrap_socket(server.socket, server_side=True)
server.serve_forever()
