"""A logind that knows only Inhibit, on the bus of /run/dbus/system_bus_socket: for boot::inhibitor.

Each lock is a line "inhibit WHAT WHO MODE" in /run/inhibitors, and "released" when the last copy of its descriptor is closed.
"""

import os
import selectors
import socket
import struct

LOG = "/run/inhibitors"


def log(line):
    with open(LOG, "a") as f:
        f.write(line + "\n")


def pad(data, to):
    return data + b"\0" * (-len(data) % to)


def string(text):
    return struct.pack("<I", len(text)) + text.encode() + b"\0"


def field(code, kind, value):
    signature = bytes([code, 1]) + kind.encode() + b"\0"
    return signature + (bytes([len(value)]) + value.encode() + b"\0" if kind == "g" else value if kind == "u" else string(value))


def message(kind, serial, fields, body=b""):
    packed = b""
    for one in fields:
        packed = pad(packed, 8) + one
    return pad(struct.pack("<cBBBIII", b"l", kind, 0, 1, len(body), serial, len(packed)) + packed, 8) + body


def parse(data):
    """(kind, serial, {code: value}, body, size) of the first message, or None."""
    if len(data) < 16:
        return None
    _, kind, _, _, body, serial, fields = struct.unpack_from("<cBBBIII", data)
    start = 16 + fields + -fields % 8
    if len(data) < start + body:
        return None
    at, found = 16, {}
    while at < 16 + fields:
        at += -at % 8
        code, signature = data[at], chr(data[at + 2])
        at += 4
        if signature == "u":
            found[code] = struct.unpack_from("<I", data, at)[0]
            at += 4
        elif signature == "g":
            found[code] = data[at + 1 : at + 1 + data[at]].decode()
            at += data[at] + 2
        else:
            (size,) = struct.unpack_from("<I", data, at)
            found[code] = data[at + 4 : at + 4 + size].decode()
            at += size + 5
    return kind, serial, found, data[start : start + body], start + body


def strings(body):
    at, found = 0, []
    while at < len(body):
        at += -at % 4
        (size,) = struct.unpack_from("<I", body, at)
        found.append(body[at + 4 : at + 4 + size].decode())
        at += size + 5
    return found


def main():
    bus = socket.socket(socket.AF_UNIX)
    bus.connect("/run/dbus/system_bus_socket")
    bus.sendall(b"\0AUTH EXTERNAL " + str(os.getuid()).encode().hex().encode() + b"\r\n")
    bus.recv(512)
    bus.sendall(b"NEGOTIATE_UNIX_FD\r\n")
    bus.recv(512)
    bus.sendall(b"BEGIN\r\n")
    dbus = [field(1, "o", "/org/freedesktop/DBus"), field(2, "s", "org.freedesktop.DBus"), field(6, "s", "org.freedesktop.DBus")]
    bus.sendall(message(1, 1, [*dbus, field(3, "s", "Hello")]))
    name = pad(string("org.freedesktop.login1"), 4) + struct.pack("<I", 4)
    bus.sendall(message(1, 2, [*dbus, field(3, "s", "RequestName"), field(8, "g", "su")], name))
    selector = selectors.DefaultSelector()
    selector.register(bus, selectors.EVENT_READ)
    data, serial = b"", 2
    while True:
        for key, _ in selector.select():
            if key.fileobj is not bus:
                selector.unregister(key.fd)
                os.close(key.fd)
                log("released")
                continue
            more = bus.recv(65536)
            if not more:
                return
            data += more
            while (found := parse(data)) is not None:
                kind, number, fields, body, size = found
                data = data[size:]
                if kind == 2 and fields.get(5) == 2:
                    log("ready")
                if kind == 1 and fields.get(3) == "Inhibit":
                    what, who, _, mode = strings(body)
                    log(f"inhibit {what} {who} {mode}")
                    ours, theirs = os.pipe()
                    selector.register(ours, selectors.EVENT_READ)
                    serial += 1
                    answer = [field(5, "u", struct.pack("<I", number)), field(6, "s", fields[7]), field(8, "g", "h")]
                    answer.append(field(9, "u", struct.pack("<I", 1)))
                    reply = message(2, serial, answer, struct.pack("<I", 0))
                    socket.send_fds(bus, [reply], [theirs])
                    os.close(theirs)


main()
