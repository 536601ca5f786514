"""Tries one way out of a contained pod, and says in one line what came of it: `out: ...` when something answered or
could be done, `stopped: ...` when not."""
import errno
import os
import socket
import struct
import sys
import time


def main(kind, *words):
    try:
        answer = attempts[kind](*words)
    except OSError as error:
        print("stopped:", errno.errorcode.get(error.errno, "?"), error)
    except EOFError:
        print("stopped: closed")
    else:
        print("out:", answer)


def family(host):
    return socket.AF_INET6 if ":" in host else socket.AF_INET


def tcp(host, port, source_port="0"):
    with socket.socket(family(host), socket.SOCK_STREAM) as client:
        client.settimeout(4)
        if source_port != "0":
            client.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            client.bind(("", int(source_port)))
        client.connect((host, int(port)))
        client.sendall(b"GET / HTTP/1.0\r\nBYPASS: yes\r\n\r\n")
        return received(client)


def fast_open(host, port):
    with socket.socket(family(host), socket.SOCK_STREAM) as client:
        client.sendto(b"BYPASS", 0x20000000, (host, int(port)))
        client.settimeout(4)
        return received(client)


def multipath(host, port):
    with socket.socket(family(host), socket.SOCK_STREAM, 262) as client:
        client.settimeout(4)
        client.connect((host, int(port)))
        client.sendall(b"BYPASS")
        return received(client)


def received(client):
    answer = client.recv(100)
    if not answer:
        raise EOFError
    return answer


def udp(host, port):
    with socket.socket(family(host), socket.SOCK_DGRAM) as client:
        client.settimeout(10)
        client.connect((host, int(port)))
        client.send(b"BYPASS")
        return client.recv(100)


def icmp(host, how="ping"):
    six = ":" in host
    protocol = socket.IPPROTO_ICMPV6 if six else socket.IPPROTO_ICMP
    with socket.socket(family(host), socket.SOCK_DGRAM if how == "ping" else socket.SOCK_RAW, protocol) as client:
        client.settimeout(1)
        client.sendto(struct.pack("!BBHHH", 128 if six else 8, 0, 0, 1, 1) + b"BYPASS", (host, 0))
        return client.recv(100)


def protocol(host, number):
    with socket.socket(family(host), socket.SOCK_RAW, int(number)) as client:
        client.sendto(b"BYPASS", (host, 0))
        return "sent"


def sctp(host, port):
    with socket.socket(family(host), socket.SOCK_STREAM, 132) as client:
        client.settimeout(1)
        client.connect((host, int(port)))
        return "connected"


def packet(interface):
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as client:
        client.bind((interface, 0))
        client.send(b"\xff" * 12 + b"\x08\x00BYPASS")
        return "sent"


def mark(host, port, value):
    with socket.socket(family(host), socket.SOCK_STREAM) as client:
        client.setsockopt(socket.SOL_SOCKET, 36, struct.pack("=I", int(value, 16)))
        return "marked"


def become(uid):
    os.setuid(int(uid))
    return os.getuid()


def dns(server, name, kind="1", how="udp"):
    question = struct.pack("!HHHHHH", 0x1234, 0x0100, 1, 0, 0, 0)
    for label in name.split("."):
        question += bytes([len(label)]) + label.encode()
    question += b"\0" + struct.pack("!HH", int(kind), 1)
    if how == "udp":
        with socket.socket(family(server), socket.SOCK_DGRAM) as client:
            client.settimeout(20)
            client.connect((server, 53))
            client.send(question)
            answer = client.recv(4096)
    else:
        with socket.socket(family(server), socket.SOCK_STREAM) as client:
            client.settimeout(20)
            client.connect((server, 53))
            client.sendall(struct.pack("!H", len(question)) + question)
            answer = received(client)[2:]
    code, answers = answer[3] & 15, struct.unpack("!H", answer[6:8])[0]
    if code != 0:
        raise OSError(errno.EACCES, f"rcode {code}")
    return f"{answers} answers"


def dns_many(server, zone, count):
    """Names that each say something."""
    answered = 0
    for number in range(int(count)):
        try:
            dns(server, f"{number:05d}{'x' * 40}.{zone}")
            answered += 1
        except OSError as error:
            if "rcode 5" in str(error):
                raise OSError(errno.EACCES, f"refused after {number}") from error
    return f"{answered} answers"


def listen(port, seconds):
    """Answers in the place of a sidecar."""
    with socket.socket() as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        server.bind(("", int(port)))
        server.listen()
        server.settimeout(float(seconds))
        client, _ = server.accept()
        return client.recv(100)


def kill(name):
    for entry in os.listdir("/proc"):
        if entry.isdigit() and int(entry) != os.getpid():
            with open(f"/proc/{entry}/cmdline", "rb") as command:
                if name.encode() in command.read().split(b"\0")[0]:
                    os.kill(int(entry), 9)
                    return "killed"
    raise OSError(errno.ESRCH, "there is no such process")


def listening():
    """The TCP ports that are open here, but for those that take only what is sent to them by the rules."""
    ports = set()
    for path in ("/proc/net/tcp", "/proc/net/tcp6"):
        with open(path) as sockets:
            for line in list(sockets)[1:]:
                _, local, _, state = line.split()[:4]
                if state == "0A":
                    ports.add(int(local.split(":")[1], 16))
    raise OSError(errno.EADDRINUSE, " ".join(str(port) for port in sorted(ports)))


def abstract():
    with open("/proc/net/unix") as sockets:
        names = [line.split()[-1] for line in sockets if " @" in line]
    if not names:
        raise OSError(errno.ENOENT, "there is none")
    return names


def loop(database, port, other, seconds):
    """Tries again and again; says so when anything answers."""
    until = time.monotonic() + float(seconds)
    tries = 0
    while time.monotonic() < until:
        for attempt in (lambda: tcp(database, other), lambda: udp_once(database), lambda: tcp(database, port)):
            try:
                print("out:", attempt(), flush=True)
            except (OSError, EOFError):
                pass
            tries += 1
    print("tries:", tries, flush=True)
    raise EOFError


def udp_once(host):
    with socket.socket(family(host), socket.SOCK_DGRAM) as client:
        client.settimeout(0.05)
        client.connect((host, 443))
        client.send(b"BYPASS")
        return client.recv(100)


attempts = {
    name: value
    for name, value in list(globals().items())
    if callable(value) and name not in ("main", "family", "received")
}
main(*sys.argv[1:])
