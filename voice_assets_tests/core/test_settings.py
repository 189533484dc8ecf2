from pathlib import Path

import pytest
from pydantic import ValidationError

from voice_core.settings import ConfigurationError, Settings


@pytest.fixture(autouse=True)
def folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(folder: Path, text: str, name: str = "voice.toml") -> None:
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_text(text, "utf-8")


def test_the_defaults_are_valid_and_point_at_the_demo(folder: Path) -> None:
    settings = Settings.load()
    assert settings.raw_url == (folder / "demo" / "raw").as_uri()
    assert settings.codec == "melvq"


def test_an_argument_beats_a_variable_beats_the_file_beats_the_default(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert Settings.load().dataset == "voice"
    write(folder, 'dataset = "from-file"')
    assert Settings.load().dataset == "from-file"
    monkeypatch.setenv("VOICE_DATASET", "from-variable")
    assert Settings.load().dataset == "from-variable"
    assert Settings.load(dataset="from-argument").dataset == "from-argument"


def test_two_underscores_reach_into_a_group_and_leave_the_rest_of_it_to_the_file(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(folder, "[rules]\nmin_snr_db = 5.0\nmax_clipped_share = 0.5\n")
    monkeypatch.setenv("VOICE_RULES__MIN_SNR_DB", "17.5")
    rules = Settings.load().rules
    assert (rules.min_snr_db, rules.max_clipped_share, rules.max_duration_sec) == (17.5, 0.5, 30.0)


def test_lists_and_objects_come_as_json(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VOICE_CHANNEL_MAPPING", '{"Atheer_-": "Atheer - أثير"}')
    monkeypatch.setenv("VOICE_CHANNELS", '["Atheer_-"]')
    settings = Settings.load()
    assert settings.channels == ("Atheer_-",)
    assert settings.display_name("Atheer_-") == "Atheer - أثير"


def test_a_channels_display_name_is_found_by_its_slug(folder: Path) -> None:
    settings = Settings.load(channel_mapping={"a/b": "A and B"})
    assert settings.display_name("a%2Fb") == "A and B"
    assert settings.display_name("c%2Fd") == "c/d"


@pytest.mark.parametrize(
    ("variable", "value", "allowed"),
    [
        ("VOICE_RULES__MAX_CLIPPED_SHARE", "1.5", "less than or equal to 1"),
        ("VOICE_BATCH__MAX_RECORDINGS", "0", "greater than or equal to 1"),
        ("VOICE_BATCH__MAX_RECORDINGS", "many", "valid integer"),
        ("VOICE_SPLIT__SPEAKER_SCOPE", "planet", "'recording', 'channel' or 'corpus'"),
        ("VOICE_CUT__SAMPLE_RATE_HZ", "11", "greater than or equal to 8000"),
        ("VOICE_DATASET", "../other", "pattern"),
        ("VOICE_RAW_PATTERN", "{channel}", "{audio_id}"),
        ("VOICE_RAW_URL", " ", "must not be empty"),
        ("VOICE_RAW_URL", "s3:/bucket", "a URL has two slashes: s3://bucket"),
    ],
)
def test_an_error_names_the_variable_its_value_and_what_is_allowed(
    variable: str, value: str, allowed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(ConfigurationError) as caught:
        Settings.load()
    message = str(caught.value)
    assert variable in message
    assert allowed in message
    assert value in message


def test_every_wrong_setting_is_named_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VOICE_WORKERS", "-1")
    monkeypatch.setenv("VOICE_RULES__MIN_RMS_DBFS", "3")
    with pytest.raises(ConfigurationError) as caught:
        Settings.load()
    assert "VOICE_WORKERS" in str(caught.value)
    assert "VOICE_RULES__MIN_RMS_DBFS" in str(caught.value)


def test_thresholds_that_keep_nothing_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VOICE_RULES__MIN_DURATION_SEC", "40")
    with pytest.raises(ConfigurationError, match=r"min_duration_sec must lie below rules\.max_duration_sec"):
        Settings.load()


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("raw_ulr = 'x'", "raw_ulr"),
        ("[rules]\nmin_snr = 3", "rules.min_snr / .* did you mean rules.min_snr_db"),
        ("[rulez]\nx = 3", "rulez / .* did you mean rules"),
        ("[rules.min_snr_db]\nx = 3", "rules.min_snr_db"),
        ("[moshi]\nxyzzy = 3", r"moshi.xyzzy / VOICE_MOSHI__XYZZY: is no setting \(`voice settings` lists them\)"),
    ],
)
def test_an_unknown_key_in_voice_toml_is_refused_by_name(text: str, name: str, folder: Path) -> None:
    write(folder, text)
    with pytest.raises(ConfigurationError, match=name):
        Settings.load()


def test_an_unknown_variable_within_a_group_is_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VOICE_RULES__MIN_SNR", "3")
    with pytest.raises(ConfigurationError, match="VOICE_RULES__MIN_SNR"):
        Settings.load()


def test_a_file_that_is_no_toml_is_named(folder: Path) -> None:
    write(folder, "this is = = not toml")
    with pytest.raises(ConfigurationError, match=r"voice\.toml"):
        Settings.load()


def test_a_variable_that_is_no_json_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VOICE_CHANNEL_MAPPING", "{nonsense")
    with pytest.raises(ConfigurationError, match=r"VOICE_CHANNEL_MAPPING must be JSON, .* \(got '{nonsense'\)"):
        Settings.load()


def test_voice_config_names_another_file(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(folder, 'dataset = "own"')
    write(folder, 'dataset = "other"', "other.toml")
    monkeypatch.setenv("VOICE_CONFIG", str(folder / "other.toml"))
    assert Settings.load().dataset == "other"


def test_a_voice_config_that_does_not_exist_is_an_error_and_not_the_defaults(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VOICE_CONFIG", str(folder / "no-such.toml"))
    with pytest.raises(ConfigurationError, match=r"no-such\.toml"):
        Settings.load()


def test_the_demos_file_counts_only_where_there_is_no_own_one(folder: Path) -> None:
    write(folder, 'dataset = "demo"', "demo/voice.toml")
    assert Settings.load().dataset == "demo"
    write(folder, 'dataset = "own"')
    assert Settings.load().dataset == "own"


def test_a_folder_becomes_an_absolute_url_and_a_url_stays(folder: Path) -> None:
    settings = Settings.load(raw_url="my raw/أثير", work_url="gs://bucket/work")
    assert settings.raw_url == (folder / "my raw" / "أثير").as_uri()
    assert settings.work_url == "gs://bucket/work"


def test_settings_cannot_be_changed_once_read() -> None:
    settings = Settings.load()
    with pytest.raises(ValidationError):
        settings.codec = "other"
    with pytest.raises(ValidationError):
        settings.rules.min_snr_db = 0.0
