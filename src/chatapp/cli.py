"""The commands."""

import asyncio
import errno
import os
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import NoReturn

import click
import msgspec
import uvicorn
from uvicorn.supervisors import Multiprocess

from chatapp import __version__
from chatapp.doctor import Verdict, examine
from chatapp.errors import SettingsError
from chatapp.settings import Settings, load_settings
from chatapp.storage.connections import Connections
from chatapp.storage.embedded import EmbeddedRedis
from chatapp.storage.promise import read_promise

__all__ = ("main",)

#: Longer than the keep-alive of any router in front of us, so that it is never we who close a connection
#: it is about to use (Heroku's keeps them for 90 s).
_KEEP_ALIVE = 95
#: Streams end by themselves at SIGTERM; this is for those that do not.
_GRACEFUL = 2
#: Milliseconds for which a connection may take nothing of what is sent.
_UNREAD_MS = 30_000


@click.group(invoke_without_command=True)
@click.version_option(__version__)
@click.pass_context
def cli(context: click.Context) -> None:
    """A chat for language models in which an answer that has begun is never lost.

    Without a command: the web server with everything it needs.
    """
    if context.invoked_subcommand is None:
        context.invoke(web)


@cli.command()
@click.option("--host", help="Address to listen on [HOST, 127.0.0.1]")
@click.option("--port", help="Port to listen on [PORT, 8000]")
def web(host: str | None = None, port: str | None = None) -> None:
    """Serve the chat; answers are generated here too unless CHATAPP_WORKERS=external."""
    if host:
        os.environ["HOST"] = host
    if port:
        os.environ["PORT"] = port
    settings = load_settings()
    # uvicorn ends its work and then raises the signal again: without this the process would die of it right
    # there, and leave the embedded Redis behind.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _exit)
    # Here, where an error is one line: from inside uvicorn's processes it would be a traceback of each.
    with _listening(settings.host, settings.port) as listener, _storage(settings) as settings:
        asyncio.run(_check_redis(settings))
        _serve(settings, listener)


def _serve(settings: Settings, listener: socket.socket) -> None:
    """Run uvicorn, in as many processes as are wanted, until it has been told to end."""
    config = uvicorn.Config(
        "chatapp.app:create_app",
        factory=True,
        workers=settings.web_concurrency,
        timeout_keep_alive=_KEEP_ALIVE,
        timeout_graceful_shutdown=_GRACEFUL,
        server_header=False,
        access_log=False,
        log_level="info",
    )
    host, port = listener.getsockname()[:2]
    address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    click.echo(f"chatapp: http://{address} (Ctrl-C ends it)", err=True)
    if config.workers > 1:
        Multiprocess(config, sockets=[listener]).run()
        _exit()
    server = uvicorn.Server(config)
    server.run(sockets=[listener])
    if not server.started:
        sys.exit(1)


def _exit(*_: object) -> NoReturn:
    """End in order, whatever signal comes again meanwhile: some platforms send each twice."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    sys.exit(0)


@cli.command()
def worker() -> None:
    """Generate answers, and serve nothing; any number of these may run."""
    from chatapp.app import run_worker

    settings = load_settings()
    asyncio.run(_check_redis(settings))
    # SIGINT ends a worker in order too; asyncio tells of it once that is done.
    with suppress(KeyboardInterrupt):
        asyncio.run(run_worker(settings))


@cli.command()
@click.option("--no-question", is_flag=True, help="Do not ask the model anything")
def doctor(no_question: bool) -> None:
    """Check Redis, the provider and the deployment, and say in words what is wrong."""
    settings = load_settings()
    findings = asyncio.run(examine(settings, ask=not no_question))
    for finding in findings:
        click.echo(f"{finding.verdict:<8}{finding.subject:<12}{finding.words}")
    if any(finding.verdict is Verdict.BROKEN for finding in findings):
        sys.exit(1)


@contextmanager
def _storage(settings: Settings) -> Iterator[Settings]:
    """Yield settings with a Redis; uvicorn's processes find an embedded one in the environment."""
    if settings.redis_url is not None:
        yield settings
        return
    with EmbeddedRedis(settings.data_dir) as redis:
        secret = settings.secret_key or redis.secret_key()
        os.environ["REDIS_URL"], os.environ["SECRET_KEY"] = redis.url, secret
        yield msgspec.structs.replace(settings, redis_url=redis.url, secret_key=secret)


@contextmanager
def _listening(host: str, port: int) -> Iterator[socket.socket]:
    """Bind the address; raise SettingsError where nobody can listen."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except socket.gaierror as error:
        raise SettingsError("HOST", f"{host!r} is not known on this machine: {error.strerror}") from None
    family, kind, protocol, _, address = found[0]
    with socket.socket(family, kind, protocol) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if hasattr(socket, "TCP_USER_TIMEOUT"):
            # Inherited by every connection: the kernel drops a peer that takes nothing of what is sent. The
            # program would not notice it: a write to a full socket just waits.
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _UNREAD_MS)
        try:
            listener.bind(address)
        except OSError as error:
            variable = "PORT" if error.errno in (errno.EADDRINUSE, errno.EACCES) else "HOST"
            reason = os.strerror(error.errno or 0)
            raise SettingsError(variable, f"cannot listen on {host} port {port}: {reason}") from None
        listener.set_inheritable(True)
        yield listener


async def _check_redis(settings: Settings) -> None:
    """Raise SettingsError where Redis cannot be used."""
    url = settings.redis_url
    if url is None:
        return
    if url.startswith("redis+cluster:"):
        raise SettingsError("REDIS_URL", "redis+cluster:// is not supported yet; name a single server")
    try:
        connections = Connections(url)
        try:
            await connections.check()
            await read_promise(connections.commands)
        finally:
            await connections.aclose()
    except (TypeError, ValueError) as error:
        # redis-py takes options from the URL, and checks them only here.
        raise SettingsError("REDIS_URL", f"has an option that cannot be used: {error}") from None


def main() -> None:
    """Run the command line; a wrong setting is one line and exit code 2."""
    try:
        cli()
    except SettingsError as error:
        print(f"chatapp: {error}", file=sys.stderr)
        sys.exit(2)
