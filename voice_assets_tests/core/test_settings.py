from pathlib import Path

import pytest
from pydantic import ValidationError

from voice_assets_tests.soak.secret_leaks import list_settings, new_secret, variable_name
from voice_core.settings import ConfigurationError, Settings
from voice_core.settings.loading import find_setting_source, read_config
from voice_core.storage.config import s3_config


@pytest.fixture(autouse=True)
def folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(folder: Path, text: str, name: str = "voice.toml") -> None:
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_text(text, "utf-8")


def complaint_of_settings() -> str:
    try:
        Settings.load()
    except ConfigurationError as error:
        return str(error)
    return ""


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
        ("VOICE_RAW_URL", "s3:/bucket", "a URL needs two slashes: s3://…"),
        ("VOICE_RAW_URL", "s3://key:secret@bucket", "a URL must not contain a key or a password"),
        ("VOICE_WORK_URL", "gs://me@bucket", "a URL must not contain a key or a password"),
        ("VOICE_MOSHI__SCRIPTS_URL", "https://me:secret@host/x", "a URL must not contain a key or a password"),
        ("VOICE_S3__ENDPOINT_URL", "https://me:secret@nas:9021", "without a user, a password or a query"),
        ("VOICE_S3__ENDPOINT_URL", "https://nas:secret", "without a user, a password or a query"),
        ("VOICE_GCS__ENDPOINT_URL", "http://nas/?token=secret", "without a user, a password or a query"),
        ("VOICE_GCS__CREDENTIALS_FILE", '{"private_key": "secret"}', "the path of a file, not the file's content"),
    ],
)
def test_an_error_names_the_variable_and_what_is_allowed_and_not_the_value(
    variable: str, value: str, allowed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(ConfigurationError) as caught:
        Settings.load()
    message = str(caught.value)
    assert variable in message
    assert allowed in message
    assert "got" not in message


def test_every_wrong_setting_is_named_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VOICE_WORKERS", "-1")
    monkeypatch.setenv("VOICE_RULES__MIN_RMS_DBFS", "3")
    with pytest.raises(ConfigurationError) as caught:
        Settings.load()
    assert "VOICE_WORKERS" in str(caught.value)
    assert "VOICE_RULES__MIN_RMS_DBFS" in str(caught.value)


def test_thresholds_that_keep_nothing_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VOICE_RULES__MIN_DURATION_SEC", "40")
    with pytest.raises(ConfigurationError, match=r"min_duration_sec must be below rules\.max_duration_sec"):
        Settings.load()


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("raw_ulr = 'x'", "raw_ulr"),
        ("[rules]\nmin_snr = 3", r"rules.min_snr / .* \(did you mean rules.min_snr_db\?\)"),
        ("[rulez]\nx = 3", r"rulez / .* \(did you mean rules\?\)"),
        ("[rules.min_snr_db]\nx = 3", "rules.min_snr_db"),
        ("[moshi]\nxyzzy = 3", r"moshi.xyzzy / VOICE_MOSHI__XYZZY: not a setting \(`voice settings` lists them\)"),
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


def test_a_file_that_is_not_toml_is_named(folder: Path) -> None:
    write(folder, "this is = = not toml")
    with pytest.raises(ConfigurationError, match=r"voice\.toml is not valid TOML: .*line 1, column 6"):
        Settings.load()


def test_a_variable_that_is_not_json_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VOICE_CHANNEL_MAPPING", "{nonsense")
    with pytest.raises(ConfigurationError, match="VOICE_CHANNEL_MAPPING must be JSON") as caught:
        Settings.load()
    assert "nonsense" not in str(caught.value)


def test_a_variable_within_a_group_that_is_not_json_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VOICE_INDEXTTS2__VOICES", "{nonsense")
    with pytest.raises(ConfigurationError, match="VOICE_INDEXTTS2__VOICES must be JSON"):
        Settings.load()


@pytest.mark.parametrize("name", [name for name, _ in list_settings()])
def test_no_error_of_a_setting_holds_its_value_or_a_key_within_it(
    name: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = new_secret()
    table, _, key = name.rpartition(".")
    for text in (f'"{secret}"', f'["{secret}"]', f'{{"{secret}" = 1}}', f'[["{secret}"]]'):
        write(folder, (f"[{table}]\n" if table else "") + f"{key} = {text}\n")
        complaint = complaint_of_settings()
        assert secret not in complaint
        assert not complaint or key in complaint


def test_variables_of_other_programs_are_ignored_with_one_warning(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("voice_core.settings.loading._warned", set())
    monkeypatch.setenv("VOICE_RAW_ULR", "a value")
    monkeypatch.setenv("VOICE_HOME_ASSISTANT__PORT", "8123")
    assert Settings.load().dataset == "voice"
    Settings.load()
    assert [record.getMessage() for record in caplog.records] == [
        "ignored: VOICE_HOME_ASSISTANT__PORT, VOICE_RAW_ULR (did you mean VOICE_RAW_URL?): not a setting "
        "(`voice settings` lists them)"
    ]


def test_keys_and_tokens_are_in_no_representation(monkeypatch: pytest.MonkeyPatch) -> None:
    secret = new_secret()
    for name, is_secret in list_settings():
        if is_secret:
            monkeypatch.setenv(variable_name(name), secret)
    settings = Settings.load()
    assert settings.s3.access_key_id.get_secret_value() == secret
    assert secret not in repr(settings) + str(settings) + settings.model_dump_json() + repr(s3_config(settings.s3, 1))


def test_the_origin_of_each_value_is_known(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(folder, 'dataset = "mine"\n[s3]\nregion = "here"\nprofile = "own"\n')
    monkeypatch.setenv("VOICE_S3", '{"region": "there"}')
    monkeypatch.setenv("VOICE_INDEXTTS2__VOICES__anna", "anna.wav")
    Settings.load()
    names = ("dataset", "s3.region", "s3.profile", "s3.endpoint_url", "indextts2.voices")
    found = {name: find_setting_source(name.split("."), read_config()) for name in names}
    assert found == {
        "dataset": "voice.toml",
        "s3.region": "VOICE_S3",
        "s3.profile": "voice.toml",
        "s3.endpoint_url": "default",
        "indextts2.voices": "variable",
    }


def test_voice_config_names_another_file(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(folder, 'dataset = "own"')
    write(folder, 'dataset = "other"', "other.toml")
    monkeypatch.setenv("VOICE_CONFIG", str(folder / "other.toml"))
    assert Settings.load().dataset == "other"


def test_a_voice_config_that_does_not_exist_is_an_error_and_not_the_defaults(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VOICE_CONFIG", str(folder / "no-such.toml"))
    with pytest.raises(ConfigurationError, match="VOICE_CONFIG names a file that does not exist"):
        Settings.load()


def test_the_demos_settings_file_is_read_only_if_there_is_no_other(folder: Path) -> None:
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
