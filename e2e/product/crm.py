"""A CRM with an HTTP API by TLS: customers as JSON. Who shows the right token may do anything, and is told of it."""
import json
import os
import ssl
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

customers = {
    "1": {"name": "Ada Okafor", "email": "ada@canary.example"},
    "2": {"name": "Ben Silva", "email": "ben@canary.example"},
}


class Customers(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self, status, body):
        text = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def handle_any(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        print(self.command, self.headers["Host"], self.path, flush=True)
        if self.headers["Authorization"] != f"Bearer {os.environ['TOKEN']}":
            return self.answer(401, {"error": "who are you?"})
        if self.path == "/customers":
            return self.answer(200, {"customers": list(customers.values())})
        number = self.path.removeprefix("/customers/")
        if self.command == "PATCH":
            customers[number] |= json.loads(body)
        if self.command == "DELETE":
            del customers[number]
        return self.answer(200 if number in customers else 404, customers.get(number, {}))

    do_GET = do_PATCH = do_DELETE = handle_any

    def log_message(self, *words):
        pass


server = ThreadingHTTPServer(("", 443), Customers)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain("/certificate/tls.crt", "/certificate/tls.key")
server.socket = context.wrap_socket(server.socket, server_side=True)
print("listening", file=sys.stderr, flush=True)
server.serve_forever()
