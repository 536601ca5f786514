"""Does with httpx or requests what the tests of HTTP compare: ask.py LIBRARY BASE."""
import importlib
import json
import sys

library, base = sys.argv[1:]
client = importlib.import_module(library)
follow = {"httpx": "follow_redirects", "requests": "allow_redirects"}[library]
answers = []


def ask(method, path, body=None):
    options = {"data": body, "headers": {"Content-Type": "application/json"}} if body else {}
    answer = client.request(method, base + path, **{follow: True}, **options)
    kind = answer.headers.get("Content-Type", "")
    answers.append({"status": answer.status_code, "type": kind, "body": answer.text})


ask("GET", "/users?sort=name&q=a%20b")
ask("POST", "/users", '{"name":"Ada"}')
ask("PUT", "/users/a%2Fb", "x" * 200000)
ask("GET", "/redirect")
ask("GET", "/compressed")
ask("GET", "/missing")
ask("DELETE", "/users/1")
print(json.dumps(answers))
