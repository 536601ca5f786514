"""Watches what a pod puts on the wire, on the node's side, and says every packet that should not be there.
Arguments: interface, the pod's MAC address, database port, resolver's address."""
import socket
import struct
import sys

interface, source, database_port, resolver = sys.argv[1:]
watched = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
watched.bind((interface, 0))
print("watching", flush=True)
neighbor_discovery = {131, 132, 133, 135, 136, 143}

while True:
    frame = watched.recv(65535)
    if frame[6:12].hex(":") != source:
        continue
    (kind,) = struct.unpack("!H", frame[12:14])
    packet = frame[14:]
    if kind == 0x0806:
        continue
    if kind == 0x0800:
        header = (packet[0] & 15) * 4
        protocol, to = packet[9], socket.inet_ntop(socket.AF_INET, packet[16:20])
    elif kind == 0x86DD:
        header, protocol, to = 40, packet[6], socket.inet_ntop(socket.AF_INET6, packet[24:40])
        if protocol == 0:
            protocol, header = packet[40], 40 + (packet[41] + 1) * 8
    else:
        print("odd frame", hex(kind), flush=True)
        continue
    content = packet[header:]
    if b"BYPASS" in packet or b"exfiltrated" in packet.lower():
        print("marked", protocol, to, flush=True)
    if protocol == 6:
        (port_from, port_to) = struct.unpack("!HH", content[:4])
        flags = content[13]
        if port_to == int(database_port):
            if flags & 0x12 == 0x02:
                print("database", to, flush=True)
        elif port_from not in (8080, 15021):
            print("tcp", to, port_to, flush=True)
    elif protocol == 17:
        (_, port_to) = struct.unpack("!HH", content[:4])
        if to != resolver or port_to != 53:
            print("udp", to, port_to, flush=True)
    elif protocol != 58 or content[0] not in neighbor_discovery:
        print("protocol", protocol, to, flush=True)
