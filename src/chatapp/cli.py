"""The commands."""

import asyncio
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import click
import msgspec
import uvicorn

from chatapp import __version__
from chatapp.errors import SettingsError
from chatapp.settings import Settings, load_settings
from chatapp.storage.embedded import EmbeddedRedis

__all__ = ("main",)

#: Longer than the keep-alive of any router in front of us, so that it is never we who close a connection
#: it is about to use (Heroku's keeps them for 90 s).
_KEEP_ALIVE = 95
#: Streams end by themselves at SIGTERM; this is for those that do not.
_GRACEFUL = 4


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
    with _storage(settings) as settings:
        uvicorn.run(
            "chatapp.app:create_app",
            factory=True,
            host=settings.host,
            port=settings.port,
            workers=settings.web_concurrency,
            timeout_keep_alive=_KEEP_ALIVE,
            timeout_graceful_shutdown=_GRACEFUL,
            server_header=False,
            access_log=False,
            log_level="info",
        )


@cli.command()
def worker() -> None:
    """Generate answers, and serve nothing; any number of these may run."""
    from chatapp.app import run_worker

    asyncio.run(run_worker(load_settings()))


@contextmanager
def _storage(settings: Settings) -> Iterator[Settings]:
    """The Redis that is named, or an embedded one; in the environment for uvicorn's processes to find."""
    if settings.redis_url is not None:
        yield settings
        return
    with EmbeddedRedis(settings.data_dir) as redis:
        secret = settings.secret_key or redis.secret_key()
        os.environ["REDIS_URL"], os.environ["SECRET_KEY"] = redis.url, secret
        yield msgspec.structs.replace(settings, redis_url=redis.url, secret_key=secret)


def main() -> None:
    """Run the command line; a wrong setting is one line and exit code 2."""
    try:
        cli()
    except SettingsError as error:
        print(f"chatapp: {error}", file=sys.stderr)
        sys.exit(2)
