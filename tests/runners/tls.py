"""What may stand in front of a Spark Connect server: TLS, which it does not speak itself, and a net that fails."""

from __future__ import annotations

import asyncio
import ipaddress
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


class Authority:
    """A certificate authority made now, whose ``ca_file`` vouches for ``localhost``."""

    def __init__(self, folder: Path):
        key, name = ec.generate_private_key(ec.SECP256R1()), _name("Authority of the tests")
        ca = _certificate(name, name, key.public_key(), ca=True).sign(key, hashes.SHA256())
        own = ec.generate_private_key(ec.SECP256R1())
        alternatives = x509.SubjectAlternativeName(
            [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
        )
        made = _certificate(_name("localhost"), name, own.public_key(), ca=False)
        leaf = made.add_extension(alternatives, critical=False).sign(key, hashes.SHA256())
        self.ca_file = folder / "ca.pem"
        self.ca_file.write_bytes(ca.public_bytes(serialization.Encoding.PEM))
        self.server_file = folder / "server.pem"
        plain = (serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        private = own.private_bytes(serialization.Encoding.PEM, *plain)
        self.server_file.write_bytes(leaf.public_bytes(serialization.Encoding.PEM) + private)


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _certificate(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, *, ca: bool
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder(issuer, subject, key, x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
    )


@contextmanager
def terminated(port: int, authority: Authority) -> Iterator[int]:
    """A port of this machine that speaks TLS and hands the bytes on in plain text; HTTP/2, as gRPC wants it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(authority.server_file)
    context.set_alpn_protocols(["h2"])

    with _proxy(port, context) as (near, _):
        yield near


@contextmanager
def silenceable(port: int) -> Iterator[tuple[int, Callable[[], None]]]:
    """Another port of the server, and what makes it silent: nothing passes or is closed, and no one is let in."""
    with _proxy(port, None) as proxied:
        yield proxied


@contextmanager
def _proxy(port: int, context: ssl.SSLContext | None) -> Iterator[tuple[int, Callable[[], None]]]:
    passing = True

    async def copy(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        with suppress(OSError):  # either side hangs up when it likes
            while data := await source.read(65536):
                if passing:
                    target.write(data)
                    await target.drain()
        target.close()

    async def serve(client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        server, to_server = await asyncio.open_connection("127.0.0.1", port)
        await asyncio.gather(copy(client, to_server), copy(server, to_client))

    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, daemon=True).start()

    async def listen() -> asyncio.Server:
        return await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)

    def silence() -> None:
        nonlocal passing
        passing = False
        loop.call_soon_threadsafe(listener.close)

    listener = asyncio.run_coroutine_threadsafe(listen(), loop).result(10)
    yield listener.sockets[0].getsockname()[1], silence

    async def end() -> None:
        listener.close()
        open_still = asyncio.all_tasks() - {asyncio.current_task()}
        for task in open_still:
            task.cancel()
        await asyncio.gather(*open_still, return_exceptions=True)

    asyncio.run_coroutine_threadsafe(end(), loop).result(10)
    loop.call_soon_threadsafe(loop.stop)
