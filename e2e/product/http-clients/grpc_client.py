"""Calls the service of orders by grpcio over TLS, as grpc-client.ts does: grpc_client.py HOST:PORT."""
import json
import sys

import grpc

channel = grpc.secure_channel(sys.argv[1], grpc.ssl_channel_credentials())


def unary(name):
    try:
        return channel.unary_unary(f"/shop.v1.Orders/{name}")(b"7", timeout=20).decode()
    except grpc.RpcError as error:
        return {"code": error.code().value[0], "details": error.details()}


got = unary("Get")
stream = channel.unary_stream("/shop.v1.Orders/List")(b"order", timeout=20)
listed = [message.decode() for message in stream]
print(json.dumps({"got": got, "listed": listed, "deleted": unary("Delete")}))
