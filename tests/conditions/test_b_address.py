"""What `--address` is given: found out in seconds, before Ray is imported and before anything is written."""

import datetime
import ipaddress
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

import grpc
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from study_helpers import command

from randwire.errors import ConfigError
from randwire.sweep import head
from randwire.sweep.head import reach
from randwire.sweep.ray_variables import ALIVE

TOKEN = "5ca1ab1e" * 8


@pytest.fixture(autouse=True)
def of_the_cluster(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """This machine is one of a cluster, and its user has no token."""
    monkeypatch.setattr(head, "_raylets", lambda: {("10.0.0.1:6379", "/tmp/ray")})
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH", "RAY_ADDRESS"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Callable[[str], str]:
    """The one line that a sweep with this address ends with; it leaves nothing."""

    def line(address: str) -> str:
        runs = tmp_path / "runs"
        assert command("sweep", "--no-open", "--address", address, "--runtime.output", str(runs)) == 2
        assert not runs.exists()
        out, err = capsys.readouterr()
        assert (out, err.count("\n")) == ("", 1)
        return err

    return line


@contextmanager
def listening(serve: Callable[[socket.socket], None]) -> Iterator[str]:
    """Something that listens, and treats each connection so."""

    def accept() -> None:
        with suppress(OSError):  # the end
            while True:
                serve(server.accept()[0])

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=accept)
        thread.start()
        yield f"127.0.0.1:{server.getsockname()[1]}"
        server.shutdown(socket.SHUT_RDWR)
    thread.join()


@contextmanager
def answering(
    token: str | None, method: str = ALIVE, credentials: grpc.ServerCredentials | None = None
) -> Iterator[str]:
    """A head that wants this token; or, with another method, a service of gRPC that is none."""

    class Handler(grpc.GenericRpcHandler):  # type: ignore[misc] # without types
        def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler | None:
            return grpc.unary_unary_rpc_method_handler(answer) if details.method == method else None

    def answer(request: bytes, context: grpc.ServicerContext) -> bytes:
        if token and ("authorization", f"Bearer {token}") not in context.invocation_metadata():
            context.abort(grpc.StatusCode.UNAUTHENTICATED, "InvalidAuthToken")
        return b""

    server = grpc.server(ThreadPoolExecutor(1))
    server.add_generic_rpc_handlers((Handler(),))
    here = "127.0.0.1:0"
    port = server.add_secure_port(here, credentials) if credentials else server.add_insecure_port(here)
    server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        server.stop(None)


@pytest.mark.condition("B", "--address http://..., ray://..., local, '' or a port that is none", "one whole line")
@pytest.mark.parametrize(
    "address",
    ["http://127.0.0.1:8265", "ray://head:10001", "local", "", "head", "head:0", "head:65536", "::1:6379", "a b:6379"],
)
def test_an_address_that_is_none_is_told_with_what_is_accepted(address: str, refused: Callable[[str], str]) -> None:
    assert refused(address) == (
        f"error: --address: {address!r} is none; give HOST:PORT of the head of a Ray cluster ([HOST]:PORT if it is "
        "IPv6) or auto, or leave it out to start a cluster on this machine\n"
    )


@pytest.mark.parametrize("address", ["auto", "head-1.lan:6379", "10.0.0.1:6379", "[fd00::1]:6379", "[fe80::1%eth0]:1"])
def test_addresses_that_are_accepted(address: str) -> None:
    head.check_address(address)


@pytest.mark.condition("B", "--address of a port where nothing listens", "one line, in seconds")
def test_nothing_listens(refused: Callable[[str], str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    line = refused(f"127.0.0.1:{port}")
    assert line == (
        f"error: --address: nothing can be reached at 127.0.0.1:{port} (Connection refused); does the head run?\n"
    )


@pytest.mark.condition("B", "--address of a host that does not exist", "one line")
def test_a_host_that_does_not_exist(refused: Callable[[str], str]) -> None:
    assert "nothing can be reached at nowhere.invalid:6379" in refused("nowhere.invalid:6379")


@pytest.mark.condition("B", "--address of the dashboard, of a silent port, of another gRPC service", "one line")
def test_what_listens_is_no_head(refused: Callable[[str], str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(head, "ANSWER_S", 0.5)
    kept: list[socket.socket] = []
    with listening(lambda connection: connection.close()) as address:
        assert "is no head of a Ray cluster (it does not answer as one)" in refused(address)
    with listening(lambda connection: connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")) as address:
        assert "is no head of a Ray cluster" in refused(address)
    with listening(kept.append) as address:
        assert "is no head of a Ray cluster" in refused(address)
    with answering(None, "/another.Service/Method") as address:
        assert "is no head of a Ray cluster (another service answers)" in refused(address)


@pytest.mark.condition("B", "a cluster that wants a token, none in the user's home", "one line, with its place")
def test_no_token(tmp_path: Path, refused: Callable[[str], str], monkeypatch: pytest.MonkeyPatch) -> None:
    with answering(TOKEN) as address:
        file = tmp_path / ".ray" / "auth_token"
        assert f"wants its token, and there is none in {file} (No such file or directory)" in refused(address)
        monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(tmp_path))
        assert f"there is none in {tmp_path} (Is a directory)" in refused(address)
        (empty := tmp_path / "empty").touch()
        monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(empty))
        assert f"there is none in {empty} (empty)" in refused(address)


@pytest.mark.condition("B", "a cluster that wants another token than the user's", "one line, with its place")
def test_a_wrong_token(tmp_path: Path, refused: Callable[[str], str], monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".ray").mkdir()
    (file := tmp_path / ".ray" / "auth_token").write_text("another")
    with answering(TOKEN) as address:
        assert f"does not take the token of {file}" in refused(address)
        monkeypatch.setenv("RAY_AUTH_TOKEN", "another")
        assert "does not take the token of RAY_AUTH_TOKEN\n" in refused(address)
        assert "another" not in refused(address)


def test_a_head_says_itself_whether_it_wants_a_token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever RAY_AUTH_MODE and the files in the user's home say."""
    (tmp_path / ".ray").mkdir()
    (file := tmp_path / ".ray" / "auth_token").write_text(f"{TOKEN}\n")
    with answering(TOKEN) as strict, answering(None) as open_to_all:
        for mode in (None, "token", "disabled"):
            if mode:
                monkeypatch.setenv("RAY_AUTH_MODE", mode)
            assert reach(strict) == head.Head(strict, head.Token(TOKEN, file))
            assert reach(open_to_all) == head.Head(open_to_all, None)
        monkeypatch.setenv("RAY_AUTH_TOKEN", TOKEN)
        assert reach(strict) == head.Head(strict, head.Token(TOKEN, "RAY_AUTH_TOKEN"))


@pytest.mark.condition("B", "a sweep on a machine that is not one of the cluster", "one line, at once")
def test_a_machine_that_is_not_of_the_cluster(refused: Callable[[str], str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(head, "_raylets", lambda: set())
    with answering(None) as address:
        assert "this machine is not one of the cluster" in refused(address)


@pytest.mark.condition("B", "--address auto beside local sweeps, and several clusters", "the right one, or one line")
def test_auto_finds_the_cluster_of_this_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path))
    with answering(None) as one, answering(None) as other:
        sweeps = ("127.0.0.1:1", "/tmp/rw-ray-x8a7s6d5/r")
        machines: set[tuple[str, str]] = {sweeps}
        monkeypatch.setattr(head, "_raylets", lambda: machines)
        with pytest.raises(ConfigError, match="no Ray cluster runs on this machine"):
            reach("auto")
        machines = {sweeps, (one, "/tmp/ray")}
        assert reach("auto").address == one
        machines = {sweeps, (one, "/tmp/ray"), (other, "/tmp/other")}
        with pytest.raises(ConfigError, match="several Ray clusters run on this machine"):
            reach("auto")
        (tmp_path / "ray").mkdir()
        (tmp_path / "ray" / "ray_current_cluster").write_text(other)
        assert reach("auto").address == other


@pytest.mark.condition("B", "a stale RAY_ADDRESS", "named by the line of --address auto; no matter without it")
def test_a_stale_address_in_the_environment(refused: Callable[[str], str], monkeypatch: pytest.MonkeyPatch) -> None:
    with answering(None) as address, socket.create_server(("127.0.0.1", 0)) as server:
        stale = f"127.0.0.1:{server.getsockname()[1]}"
        server.close()
        for stated, what in ((stale, f"nothing can be reached at {stale}"), ("http://head:8265", "is none")):
            monkeypatch.setenv("RAY_ADDRESS", stated)
            line = refused("auto")
            assert line.startswith("error: RAY_ADDRESS (--address auto): ")
            assert what in line
            assert reach(address).address == address
        monkeypatch.setenv("RAY_ADDRESS", address)
        assert reach("auto").address == address


def certificate(folder: Path) -> grpc.ServerCredentials:
    """Of this machine; key and certificate are written into the folder."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "head")])
    today = datetime.datetime.now(datetime.UTC)
    built = x509.CertificateBuilder(name, name, key.public_key(), 1, today, today + datetime.timedelta(1))
    here = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    signed = built.add_extension(here, critical=False).sign(key, hashes.SHA256()).public_bytes(Encoding.PEM)
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (folder / "key").write_bytes(private)
    (folder / "certificate").write_bytes(signed)
    return grpc.ssl_server_credentials([(private, signed)], signed, require_client_auth=True)


@pytest.mark.condition("B", "a cluster with TLS", "asked by TLS if RAY_USE_TLS is set; one line without its files")
def test_a_head_behind_tls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with answering(TOKEN, credentials=certificate(tmp_path)) as address:
        monkeypatch.setenv("RAY_AUTH_TOKEN", TOKEN)
        with pytest.raises(ConfigError, match="no head of a Ray cluster"):
            reach(address)
        monkeypatch.setenv("RAY_USE_TLS", "1")
        with pytest.raises(ConfigError, match="RAY_USE_TLS is set, and 'RAY_TLS_CA_CERT' cannot be read"):
            reach(address)
        for name, file in (("CA_CERT", "certificate"), ("SERVER_KEY", "key"), ("SERVER_CERT", "certificate")):
            monkeypatch.setenv(f"RAY_TLS_{name}", str(tmp_path / file))
        assert reach(address).token == head.Token(TOKEN, "RAY_AUTH_TOKEN")
