"""A node whose kubelet answers for logs over real HTTPS, as the API server asks one; it runs nothing."""

from __future__ import annotations

import ipaddress
import ssl
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Self
from urllib.parse import parse_qs, urlsplit

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID
from tests.kubernetes import KubernetesServer

Logs = Callable[[str, str, bool], str | None]
"""Pod, container, and whether what was before the last restart is meant, to the log; None: there is none."""


class Node:
    """A node that the pods of one namespace are bound to while this is entered."""

    def __init__(self, server: KubernetesServer, namespace: str, logs: Logs) -> None:
        """Prepare its kubelet, which answers nothing yet."""
        self._server, self._namespace, self._logs = server, namespace, logs
        self.asked: list[dict[str, list[str]]] = []

    def __enter__(self) -> Self:
        handler = type("Handler", (_Handler,), {"node": self})
        self._kubelet = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(_certificate(self._server.folder / f"{self._namespace}.pem"))
        self._kubelet.socket = context.wrap_socket(self._kubelet.socket, server_side=True)
        threading.Thread(target=self._kubelet.serve_forever, daemon=True, name="logs").start()
        name = f"node-{self._namespace}"
        endpoint = {"kubeletEndpoint": {"Port": self._kubelet.server_address[1]}}
        status = {"addresses": [{"type": "InternalIP", "address": "127.0.0.1"}], "daemonEndpoints": endpoint}
        with self._server.http() as http:
            http.post("/api/v1/nodes", json={"metadata": {"name": name}}).raise_for_status()
            kind = {"Content-Type": "application/merge-patch+json"}
            http.patch(f"/api/v1/nodes/{name}/status", json={"status": status}, headers=kind).raise_for_status()
        self._server.kubelet.nodes[self._namespace] = name
        return self

    def __exit__(self, *_raised: object) -> None:
        self._kubelet.shutdown()
        self._kubelet.server_close()

    def log(self, path: str) -> str | None:
        """Answer for `/containerLogs/NAMESPACE/POD/CONTAINER`."""
        asked = urlsplit(path)
        query = parse_qs(asked.query)
        self.asked.append(query)
        pod, container = asked.path.split("/")[-2:]
        return self._logs(pod, container, "previous" in query)


class _Handler(BaseHTTPRequestHandler):
    node: Node

    def do_GET(self) -> None:
        text = self.node.log(self.path)
        body = (text or "no such log").encode()
        self.send_response(404 if text is None else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  the name that the base class gives it
        """Say nothing."""


def _certificate(path: Path) -> Path:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "kubelet")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.write_bytes(private + made.public_bytes(serialization.Encoding.PEM))
    return path
