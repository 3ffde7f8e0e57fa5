"""Environment variables: every one listed, checked, and silent about keys."""

import re
from pathlib import Path
from typing import Any

import pytest

from agentcore_rl import settings as module
from agentcore_rl.exceptions import ConfigurationError
from agentcore_rl.settings import Settings, environment_secrets

KEY = "sk-planted-1234567890"


def test_an_empty_environment_has_defaults():
    """No endpoint, fences closed, a directory store."""
    settings = Settings.from_environment({})
    assert settings.endpoint is None
    assert Path(settings.store).name == "rollouts"
    assert (settings.buckets, settings.prefixes, settings.queues) == ((), (), ())
    assert settings.endpoints is None
    assert settings.model_timeout_s == 600.0
    assert settings.model_retries == 4
    assert settings.secrets == ()
    assert settings.open_fences == []


def test_the_environment_is_read():
    """Each variable lands where it belongs; lists are trimmed."""
    settings = Settings.from_environment(
        {
            "BASE_URL": " http://host:8000/v1 ",
            "MODEL_ID": "m",
            "API_KEY": f"{KEY}\n",
            "AGENTCORE_RL_STORE": "there",
            "AGENTCORE_RL_SPOOL": "spool-here",
            "AGENTCORE_RL_BUCKETS": "a, b-*,,",
            "AGENTCORE_RL_PREFIXES": "runs/*",
            "AGENTCORE_RL_QUEUES": "*",
            "AGENTCORE_RL_ENDPOINTS": "",
            "AGENTCORE_RL_MODEL_TIMEOUT_S": "1.5",
            "AGENTCORE_RL_MODEL_RETRIES": "0",
        }
    )
    assert settings.endpoint is not None
    assert settings.endpoint.base_url == "http://host:8000/v1"
    assert settings.endpoint.api_key.reveal() == KEY
    assert settings.endpoint.model == "m"
    assert settings.endpoint.timeout_s == settings.model_timeout_s == 1.5
    assert settings.model_retries == 0
    assert settings.buckets == ("a", "b-*")
    assert settings.endpoints == ()
    assert Path(settings.store).name == "there"
    assert settings.spool == Path("spool-here")
    assert settings.open_fences == ["AGENTCORE_RL_QUEUES"]


def test_the_spool_lies_in_the_users_state():
    """XDG's folder, else the home's, else the temporary one."""
    assert Settings.from_environment({"XDG_STATE_HOME": "/s"}).spool == Path("/s/agentcore-rl/spool")
    assert Settings.from_environment({"HOME": "/h"}).spool == Path("/h/.local/state/agentcore-rl/spool")
    assert Settings.from_environment({}).spool.name == "spool"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("BASE_URL", "host:8000"),
        ("BASE_URL", "ftp://host"),
        ("BASE_URL", "http://"),
        ("BASE_URL", KEY),
        ("BASE_URL", f"http://user:{KEY}@host/v1"),
        ("BASE_URL", f"http://host/v1?key={KEY}"),
        ("BASE_URL", "http://ho st/v1"),
        ("API_KEY", f"{KEY}\r\nx: y"),
        ("API_KEY", f"{KEY}é"),
        ("AGENTCORE_RL_MODEL_TIMEOUT_S", "0"),
        ("AGENTCORE_RL_MODEL_TIMEOUT_S", "-1"),
        ("AGENTCORE_RL_MODEL_TIMEOUT_S", "nan"),
        ("AGENTCORE_RL_MODEL_TIMEOUT_S", "inf"),
        ("AGENTCORE_RL_MODEL_RETRIES", "many"),
        ("AGENTCORE_RL_MODEL_RETRIES", "-1"),
        ("AGENTCORE_RL_MODEL_RETRIES", "1.5"),
    ],
)
def test_a_variable_that_cannot_be_used_is_named(name: str, value: str):
    """One sentence with the variable's name and without what might be a key."""
    with pytest.raises(ConfigurationError, match=f"^{name} must") as refused:
        Settings.from_environment({"BASE_URL": "http://host/v1", name: value})
    assert KEY not in str(refused.value)


def test_settings_show_no_key():
    """Neither the endpoint's nor those of other variables."""
    settings = Settings.from_environment(
        {"BASE_URL": "http://h/v1", "API_KEY": KEY, "OTHER_TOKEN": "tok-987654321"}
    )
    for text in (repr(settings), str(settings), f"{settings}"):
        assert KEY not in text
        assert "tok-987654321" not in text


@pytest.mark.parametrize(
    ("name", "value", "found"),
    [
        ("API_KEY", KEY, True),
        ("OPENAI_API_KEY", KEY, True),
        ("AWS_ACCESS_KEY_ID", "AKIA12345678", True),
        ("aws_secret_access_key", KEY, True),
        ("HF_TOKEN", f" {KEY}\n", True),
        ("PGPASSWORD", KEY, True),
        ("GOOGLE_CREDENTIALS", KEY, True),
        ("API_KEY", "short", False),
        ("TOKENIZERS_PARALLELISM", "false-or-true", False),
        ("KEYBOARD", "de-latin1-nodeadkeys", False),
        ("HOME", "/nowhere/else", False),
    ],
)
def test_secrets_are_found_by_their_names(name: str, value: str, found: bool):
    """What ends like a key, a token or a password, from eight characters on."""
    secrets = environment_secrets({name: value})
    assert [secret.reveal() for secret in secrets] == ([value.strip()] if found else [])


def test_the_queue_and_the_encryption_of_s3():
    """Not set they are None; an encryption that S3 does not know is refused at start."""
    assert (Settings.from_environment({}).queue, Settings.from_environment({}).s3_encryption) == (None, None)
    for asked in ("AES256", "aws:kms", "aws:kms:arn:aws:kms:us-west-2:1:key/x"):
        settings = Settings.from_environment(
            {"AGENTCORE_RL_S3_SSE": asked, "AGENTCORE_RL_QUEUE": " https://q/1/q "}
        )
        assert (settings.s3_encryption, settings.queue) == (asked, "https://q/1/q")
    for wrong in ("AES128", "aws:kms:", "kms"):
        with pytest.raises(ConfigurationError, match="AGENTCORE_RL_S3_SSE"):
            Settings.from_environment({"AGENTCORE_RL_S3_SSE": wrong})


def test_longer_secrets_come_first():
    """So that a secret inside another does not leave the rest of it standing."""
    secrets = environment_secrets({"A_KEY": "12345678", "B_KEY": "1234567890", "C_KEY": "12345678"})
    assert [secret.reveal() for secret in secrets] == ["1234567890", "12345678"]


def test_every_variable_that_is_read_is_listed():
    """The table in the module's docstring names them all, and no others."""
    source = Path(module.__file__).read_text()
    listed = set(re.findall(r"^\| (\w+) \|", source, re.MULTILINE)) - {"Variable"}
    read = set(re.findall(r'"(AGENTCORE_RL_[A-Z0-9_]+[A-Z]|BASE_URL|MODEL_ID|API_KEY)"', source))
    assert read == listed - {"AGENTCORE_RL_MODEL_FILE", "AGENTCORE_RL_DEMO_FRAMEWORK"}


def test_another_process_environment_is_the_default(tmp_path: Any):
    """Without an argument the process's own is read, at each call anew."""
    import os

    os.environ["AGENTCORE_RL_STORE"] = str(tmp_path)
    assert Settings.from_environment().store == str(tmp_path)


def test_the_spool_has_a_place_without_a_home(tmp_path: Path):
    """Where there is none, or none that may be written, it lies in the folder for temporary files."""
    import tempfile

    (tmp_path / "file").write_text("")
    temporary = Path(tempfile.gettempdir()) / "agentcore-rl" / "spool"
    assert Settings.from_environment({}).spool == temporary
    assert Settings.from_environment({"HOME": str(tmp_path / "file" / "home")}).spool == temporary
    home = tmp_path / "home"
    assert Settings.from_environment({"HOME": str(home)}).spool == home / ".local/state/agentcore-rl/spool"
