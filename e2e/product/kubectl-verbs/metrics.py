"""Serves metrics.k8s.io as metrics-server does, of what the kubelets say at /metrics/resource. CPU is what was used on average since the start."""
import json
import re
import ssl
import time
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

account = "/var/run/secrets/kubernetes.io/serviceaccount/"
api = "https://kubernetes.default.svc"
group = "metrics.k8s.io/v1beta1"
resources = [
    {"name": "nodes", "kind": "NodeMetrics", "namespaced": False, "singularName": "", "verbs": ["get", "list"]},
    {"name": "pods", "kind": "PodMetrics", "namespaced": True, "singularName": "", "verbs": ["get", "list"]},
]
sample = re.compile(r"^(\w+)(?:\{(.*)\})? (\S+)(?: (\d+))?$")


def ask(path):
    with open(account + "token") as token:
        request = urllib.request.Request(api + path, headers={"Authorization": f"Bearer {token.read()}"})
    with urllib.request.urlopen(request, context=ssl.create_default_context(cafile=account + "ca.crt")) as answer:
        return answer.read().decode()


def samples(node):
    for line in ask(f"/api/v1/nodes/{node}/proxy/metrics/resource").splitlines():
        if found := sample.match(line):
            name, labels, value, at = found.groups()
            yield name, dict(re.findall(r'(\w+)="([^"]*)"', labels or "")), float(value), int(at or 0) / 1000


def usage(cpu, seconds, memory):
    return {"cpu": f"{int(cpu / max(seconds, 1) * 1e9)}n", "memory": f"{int(memory) // 1024}Ki"}


def metrics(kind, **more):
    return {"apiVersion": group, "kind": kind, "timestamp": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), "window": "30s", **more}


def nodes():
    for node in json.loads(ask("/api/v1/nodes"))["items"]:
        name = node["metadata"]["name"]
        of = {metric: value for metric, _, value, _ in samples(name) if metric.startswith("node_")}
        up = time.clock_gettime(time.CLOCK_BOOTTIME)
        used = usage(of["node_cpu_usage_seconds_total"], up, of["node_memory_working_set_bytes"])
        yield metrics("NodeMetrics", metadata={"name": name}, usage=used)


def pods(namespace):
    found = {}
    for node in json.loads(ask("/api/v1/nodes"))["items"]:
        for metric, labels, value, at in samples(node["metadata"]["name"]):
            if metric.startswith("container_") and labels.get("namespace") == namespace:
                of = found.setdefault(labels["pod"], {}).setdefault(labels["container"], {})
                of[metric] = value, at
    wanted = ("container_cpu_usage_seconds_total", "container_start_time_seconds", "container_memory_working_set_bytes")
    for pod, containers in found.items():
        if not all(metric in of for of in containers.values() for metric in wanted):
            continue
        used = []
        for name, of in containers.items():
            (cpu, at), (start, _), (memory, _) = (of[metric] for metric in wanted)
            used.append({"name": name, "usage": usage(cpu, at - start, memory)})
        yield metrics("PodMetrics", metadata={"name": pod, "namespace": namespace}, containers=used)


class Metrics(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        path = self.path.partition("?")[0]
        of_namespace = re.fullmatch(rf"/apis/{group}/namespaces/([^/]+)/pods", path)
        if path == f"/apis/{group}":
            return self.answer(200, {"apiVersion": "v1", "kind": "APIResourceList", "groupVersion": group, "resources": resources})
        if path == f"/apis/{group}/nodes":
            return self.answer(200, {"apiVersion": group, "kind": "NodeMetricsList", "metadata": {}, "items": list(nodes())})
        if of_namespace:
            items = list(pods(of_namespace[1]))
            return self.answer(200, {"apiVersion": group, "kind": "PodMetricsList", "metadata": {}, "items": items})
        return self.answer(404, {"apiVersion": "v1", "kind": "Status", "status": "Failure", "code": 404})

    def answer(self, status, body):
        text = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *words):
        pass


server = ThreadingHTTPServer(("", 8443), Metrics)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain("/certificate/tls.crt", "/certificate/tls.key")
server.socket = context.wrap_socket(server.socket, server_side=True)
server.serve_forever()
