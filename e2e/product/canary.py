"""Waits for whatever gets out of other pods, says so, and answers."""
import selectors
import socket

selector = selectors.DefaultSelector()
for kind, ports in ((socket.SOCK_STREAM, (53, 443, 853, 5432, 9999)), (socket.SOCK_DGRAM, (53, 443, 9999))):
    for port in ports:
        listener = socket.socket(socket.AF_INET6, kind)
        listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        listener.bind(("::", port))
        if kind == socket.SOCK_STREAM:
            listener.listen()
        selector.register(listener, selectors.EVENT_READ, (kind, port))
print("listening", flush=True)
while True:
    for key, _ in selector.select():
        kind, port = key.data
        if kind == socket.SOCK_STREAM:
            client, address = key.fileobj.accept()
            with client:
                client.send(b"canary")
        else:
            _, address = key.fileobj.recvfrom(2048)
            key.fileobj.sendto(b"canary", address)
        print("tcp" if kind == socket.SOCK_STREAM else "udp", port, address[0], flush=True)
