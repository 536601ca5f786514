"""Serves or tries the targets of reachability.yaml. Its own file for both sides keeps what they say to each other alike."""
import concurrent.futures
import socket
import sys
import threading

ANSWER = b"here"


def serve():
    def stream(port):
        listener = socket.create_server(("", port), family=socket.AF_INET6, dualstack_ipv6=True, backlog=64)
        while True:
            connection, _ = listener.accept()
            connection.sendall(ANSWER)
            connection.close()

    def datagrams(port):
        server = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
        server.bind(("", port))
        while True:
            _, sender = server.recvfrom(100)
            server.sendto(ANSWER, sender)

    for port in (8080, 8081):
        threading.Thread(target=stream, args=(port,)).start()
    datagrams(9090)


def reaches(target):
    """Target is name=protocol,address,port."""
    name, where = target.split("=", 1)
    protocol, address, port = where.split(",")
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    kind = socket.SOCK_DGRAM if protocol == "udp" else socket.SOCK_STREAM
    with socket.socket(family, kind) as connection:
        connection.settimeout(0.8)
        try:
            connection.connect((address, int(port)))
            if protocol == "udp":
                connection.send(b"?")
            return name if connection.recv(100) == ANSWER else None
        except OSError:
            return None


if sys.argv[1] == "serve":
    serve()
with concurrent.futures.ThreadPoolExecutor() as pool:
    print(" ".join(name for name in pool.map(reaches, sys.argv[1:]) if name))
