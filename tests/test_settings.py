import os
from pathlib import Path

import pytest

from chatapp.errors import SettingsError
from chatapp.settings import Settings, load_settings

SECRETS = {
    "OPENAI_API_KEY": "sk-very-secret",
    "SECRET_KEY": "signing-secret",
    "REDIS_URL": "redis://person:hunter2@redis.example:6379/0?password=hunter3",
}


def test_defaults() -> None:
    settings = Settings.from_env({})

    assert (settings.host, settings.port, settings.web_concurrency) == ("127.0.0.1", 8000, 1)
    assert settings.workers == "inline"
    assert settings.data_dir.name == "chatapp"
    assert settings.demo


def test_all_values(tmp_path: Path) -> None:
    settings = Settings.from_env(
        {
            "HOST": "::1",
            "PORT": "0",
            "WEB_CONCURRENCY": "64",
            "REDIS_URL": "rediss://:pw@redis.example:6380",
            "SECRET_KEY": "s",
            "OPENAI_API_KEY": "sk-1\n",
            "OPENAI_BASE_URL": "https://models.example/v1",
            "OPENAI_MODEL": "org/model:7b",
            "OPENAI_MODELS": "a, b,,a",
            "CHATAPP_WORKERS": "external",
            "CHATAPP_API": "responses",
            "CHATAPP_TITLES": "words",
            "CHATAPP_IDLE_TIMEOUT": "600",
            "CHATAPP_RUNNING_LIMIT": "20",
            "CHATAPP_RESUME": "org/*=prefill, gpt-5=server,none",
            "CHATAPP_DATA_DIR": str(tmp_path),
            "CHATAPP_ALLOWED_HOSTS": "chat.example, *.chat.example,localhost:8000",
        }
    )

    assert settings == Settings(
        host="::1",
        port=0,
        web_concurrency=64,
        redis_url="rediss://:pw@redis.example:6380",
        secret_key="s",
        openai_api_key="sk-1",
        openai_base_url="https://models.example/v1",
        openai_model="org/model:7b",
        openai_models=("a", "b"),
        workers="external",
        api="responses",
        titles="words",
        idle_timeout=600,
        running_limit=20,
        resume=(("org/*", "prefill"), ("gpt-5", "server"), ("*", "none")),
        data_dir=tmp_path,
        allowed_hosts=("chat.example", "*.chat.example", "localhost:8000"),
    )
    assert not settings.demo


def test_an_empty_value_counts_as_unset() -> None:
    names = (
        "HOST",
        "PORT",
        "REDIS_URL",
        "OPENAI_API_KEY",
        "OPENAI_MODELS",
        "CHATAPP_WORKERS",
        "CHATAPP_TYPO",
    )

    assert Settings.from_env(dict.fromkeys(names, " ")) == Settings.from_env({})


@pytest.mark.parametrize(
    "url",
    [
        "redis://localhost",
        "redis://localhost/",
        "redis://localhost/15/",
        "unix:///run/redis.sock?db=2",
        "unix://user:pw@/run/redis.sock",
        "redis+sentinel://:pw@one:26379,two:26379/mymaster/0",
        "redis+cluster://one:7000,[::1]:7001",
    ],
)
def test_redis_urls_that_are_right(url: str) -> None:
    assert Settings.from_env({"REDIS_URL": url, "SECRET_KEY": "s"}).redis_url == url


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("PORT", "abc"),
        ("PORT", "-1"),
        ("PORT", "65536"),
        ("PORT", "8_000"),
        ("PORT", "٨٠"),
        ("PORT", "9" * 5000),
        ("HOST", "http://localhost"),
        ("HOST", "localhost:8000"),
        ("HOST", "a b"),
        ("CHATAPP_RUNNING_LIMIT", "10001"),
        ("CHATAPP_RUNNING_LIMIT", "-1"),
        ("WEB_CONCURRENCY", "0"),
        ("WEB_CONCURRENCY", "65"),
        ("WEB_CONCURRENCY", "2.5"),
        ("REDIS_URL", "http://:hunter2@localhost"),
        ("REDIS_URL", "hunter2"),
        ("REDIS_URL", "redis://:hunter2@"),
        ("REDIS_URL", "redis://:hunter2@host:hunter2"),
        ("REDIS_URL", "redis://:hunter2@[::1"),
        ("REDIS_URL", "redis://:hunter2@localhost/db"),
        ("REDIS_URL", "redis://:hunter2@localhost/-1"),
        ("REDIS_URL", "unix://:hunter2@"),
        ("REDIS_URL", "redis+cluster://:hunter2@one:1,,two:2"),
        ("REDIS_URL", "redis+sentinel://:hunter2@/mymaster"),
        ("OPENAI_API_KEY", "sk-hunter2 and more"),
        ("OPENAI_API_KEY", "sk-hunter2-ö"),
        ("OPENAI_BASE_URL", "ftp://user:hunter2@host/v1"),
        ("OPENAI_BASE_URL", "models.example/v1"),
        ("OPENAI_BASE_URL", "https://:hunter2@/v1"),
        ("OPENAI_BASE_URL", "https://user:hunter2@host:port/v1"),
        ("OPENAI_MODEL", "two words"),
        ("OPENAI_MODEL", "x" * 201),
        ("OPENAI_MODEL", "bell\x07"),
        ("OPENAI_MODELS", "fine,not fine"),
        ("OPENAI_MODELS", ","),
        ("CHATAPP_WORKERS", "Inline"),
        ("CHATAPP_API", "completions"),
        ("CHATAPP_TITLES", "none"),
        ("CHATAPP_IDLE_TIMEOUT", "0"),
        ("CHATAPP_IDLE_TIMEOUT", "1m"),
        ("CHATAPP_RESUME", "continue"),
        ("CHATAPP_RESUME", "model=continue"),
        ("CHATAPP_RESUME", "=prefill"),
        ("CHATAPP_DATA_DIR", "~no-such-person-here/x"),
        ("CHATAPP_ALLOWED_HOSTS", "https://chat.example"),
        ("CHATAPP_ALLOWED_HOSTS", "chat.*.example"),
    ],
)
def test_a_wrong_value_is_one_line_that_names_the_variable(variable: str, value: str) -> None:
    with pytest.raises(SettingsError) as caught:
        Settings.from_env({"SECRET_KEY": "signing-secret", variable: value})

    line = str(caught.value)
    assert caught.value.variable == variable
    assert line.startswith(f"{variable}: ")
    assert line.isprintable()
    assert len(line) < 200
    assert "hunter2" not in line
    assert "signing-secret" not in line


def test_the_line_for_a_wrong_port() -> None:
    with pytest.raises(SettingsError) as caught:
        Settings.from_env({"PORT": "abc"})

    assert str(caught.value) == "PORT: 'abc' is not a number from 0 to 65535"


def test_a_redis_of_ones_own_needs_a_secret_key() -> None:
    with pytest.raises(SettingsError, match=r"^SECRET_KEY: required when REDIS_URL is set"):
        Settings.from_env({"REDIS_URL": SECRETS["REDIS_URL"]})


def test_an_unknown_setting_is_refused_with_the_nearest_known_one() -> None:
    with pytest.raises(
        SettingsError, match=r"^CHATAPP_DATADIR: .*did you mean CHATAPP_DATA_DIR\?$"
    ) as caught:
        Settings.from_env({"CHATAPP_DATADIR": "secret-value"})

    assert "secret-value" not in str(caught.value)


def test_repr_hides_secrets() -> None:
    settings = Settings.from_env(
        {**SECRETS, "OPENAI_BASE_URL": "https://me:hunter4@models.example/v1?key=hunter5"}
    )

    for text in (repr(settings), str(settings), str(settings.__rich_repr__())):
        assert "secret-" not in text
        assert "-secret" not in text
        assert "hunter" not in text
        assert "redis://redis.example:6379/0" in text
        assert "https://models.example/v1" in text


def test_dotenv_is_read_and_the_environment_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".env").write_text("PORT=9001\nHOST='0.0.0.0' # everywhere\nOPENAI_API_KEY=sk-file\n")
    monkeypatch.chdir(tmp_path)
    for name in list(os.environ):
        if name.startswith(("CHATAPP_", "OPENAI_")) or name in ("HOST", "REDIS_URL", "WEB_CONCURRENCY"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("PORT", "9002")
    monkeypatch.setenv("OPENAI_API_KEY", "")

    settings = load_settings()

    assert (settings.port, settings.host, settings.openai_api_key) == (9002, "0.0.0.0", None)


def test_an_unreadable_dotenv_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".env").write_bytes(b"SECRET_KEY=\xff\xfe")
    monkeypatch.chdir(tmp_path)

    with pytest.raises(SettingsError, match=r"^\.env: cannot be read: it is not UTF-8 text$"):
        load_settings()
