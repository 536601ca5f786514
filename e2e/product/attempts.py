"""What an agent's pod does while something of its surroundings breaks: it asks guarded queries, each with a number of
its own, and tries to reach the database itself. Says in one line what came of each."""
import itertools
import socket
import subprocess
import sys
import threading
import time

# https://www.postgresql.org/docs/current/protocol-message-formats.html, SSLRequest
SSL_REQUEST = bytes([0, 0, 0, 8, 4, 210, 22, 47])


def say(*words):
    print(*words, flush=True)


def query():
    for number in itertools.count(1):
        ran = subprocess.run(
            ["psql", "-At", "-c", f"SELECT 'marker {number}'"], capture_output=True, text=True, timeout=60,
        )
        say(f"answered {number}" if ran.stdout == f"marker {number}\n" else f"failed {ran.stderr.strip()!r}")
        time.sleep(0.1)


def reach(address):
    """The database itself offers TLS (S), the enforcer in front of it does not (N)."""
    while True:
        try:
            with socket.create_connection((address, 5432), timeout=2) as connection:
                connection.sendall(SSL_REQUEST)
                if connection.recv(1) == b"S":
                    say("reached", address)
        except OSError:
            pass
        say("tried", address)
        time.sleep(0.2)


for each in sys.argv[1:]:
    threading.Thread(target=reach, args=(each,), daemon=True).start()
query()
