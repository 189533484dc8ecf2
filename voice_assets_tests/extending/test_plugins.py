"""Codecs and engines of other packages: how they are found, and what is said where one cannot be used."""

from pathlib import Path

import pytest

from voice_assets_tests.extending.walk_through import install_package
from voice_core.codecs import codec_names, load_codec, load_configured_codec
from voice_core.codecs.base import CodecUnavailableError
from voice_core.corpus.labels import LABEL_NAMES, LABELS, ordered_fields
from voice_core.corpus.manifest import Entry
from voice_core.settings import ConfigurationError, NeuCodecSettings, Settings
from voice_core.tts import EngineUnavailableError, configured_engine, engine_names, load_engine

MODULE = """
from voice_core.codecs.declaration import CodecDeclaration
from voice_core.tts import EngineDeclaration

def create(_):
    import a_package_that_is_not_installed

CODEC = CodecDeclaration("strange", create, install="pip install strange[gpu]")
ENGINE = EngineDeclaration("strange", create, install="pip install strange[gpu]")
NUMBER = 7
"""


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A package whose codec and engine need another package; two of its entry points are wrong."""
    (tmp_path / "strange_package.py").write_text(MODULE)
    (tmp_path / "pyproject.toml").write_text(
        '[project]\nname = "strange"\nversion = "1"\n'
        '[project.entry-points."voice_data_factory.codecs"]\n'
        'strange = "strange_package:CODEC"\nnumber = "strange_package:NUMBER"\ngone = "no_such_module:CODEC"\n'
        'melvq = "strange_package:CODEC"\n'
        '[project.entry-points."voice_data_factory.engines"]\n'
        'strange = "strange_package:ENGINE"\ngone = "no_such_module:ENGINE"\n'
    )
    install_package(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)


@pytest.mark.usefixtures("package")
def test_names_of_packages_are_listed_and_those_of_this_project_cannot_be_replaced() -> None:
    assert codec_names() == ("gone", "melvq", "neucodec", "number", "strange")
    assert engine_names() == ("gone", "hibari", "indextts2", "noise", "strange")
    assert load_codec("melvq").name == "melvq"
    with pytest.raises(ValueError, match=r"codec: unknown codec; known: gone, melvq, neucodec, number, strange"):
        load_codec("mp3")
    with pytest.raises(ValueError, match=r"speech.engine: unknown speech engine; known: gone, hibari"):
        configured_engine(Settings(speech={"engine": "festival"}))  # type: ignore[arg-type]


@pytest.mark.usefixtures("package")
def test_what_is_missing_is_named_with_the_command_that_installs_it() -> None:
    with pytest.raises(CodecUnavailableError, match=r"strange .*a_package.*: pip install strange\[gpu\]"):
        load_codec("strange")
    with pytest.raises(EngineUnavailableError, match=r"strange .*a_package.*: pip install strange\[gpu\]"):
        load_engine("strange")
    with pytest.raises(CodecUnavailableError, match=r"the codec gone cannot be imported \(No module named"):
        load_codec("gone")
    with pytest.raises(EngineUnavailableError, match=r"the engine gone cannot be imported \(No module named"):
        load_engine("gone")
    with pytest.raises(TypeError, match=r"number of voice_data_factory.codecs must be a CodecDeclaration"):
        load_codec("number")


def test_options_are_refused_where_a_codec_or_an_engine_has_its_own_settings() -> None:
    with pytest.raises(ConfigurationError, match=r"codec_options is not for neucodec.*neucodec\.\*"):
        load_configured_codec(Settings(codec="neucodec", codec_options={"device": "cpu"}))
    with pytest.raises(ConfigurationError, match=r"codec_options.device: Extra inputs"):
        load_configured_codec(Settings(codec="melvq", codec_options={"device": "cpu"}))
    speech = {"engine": "indextts2", "options": {"device": "cpu"}}
    with pytest.raises(ValueError, match=r"speech.options is not for indextts2.*indextts2\.\*"):
        configured_engine(Settings(speech=speech))  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="the codec melvq takes NoSettings, not NeuCodecSettings"):
        load_codec("melvq", NeuCodecSettings())  # type: ignore[call-arg]


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"sample_rate_hz": "my-secret"}, r"\n  speech.options.sample_rate_hz: Input should be a valid integer"),
        ({"sample_rate_hz": 5}, r"\n  speech.options.sample_rate_hz: Input should be greater than or equal to 8000"),
        ({"speed": "my-secret"}, r"it has fail_on, .*:\n  speech.options.speed: Extra inputs"),
        ({"my secret": 1}, r"\n  speech.options.…: Extra inputs"),
    ],
)
def test_a_wrong_option_of_an_engine_is_named_by_its_setting_without_its_value(
    options: dict[str, object], told: str
) -> None:
    with pytest.raises(ConfigurationError, match=told) as caught:
        configured_engine(Settings(speech={"engine": "noise", "options": options}))  # type: ignore[arg-type]
    assert "secret" not in str(caught.value)
    assert "pydantic" not in str(caught.value)


def test_options_come_from_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VOICE_SPEECH__ENGINE", "noise")
    monkeypatch.setenv("VOICE_SPEECH__OPTIONS", '{"sample_rate_hz": 16000}')
    name, options = configured_engine(Settings.load())
    assert load_engine(name, **options).sample_rate_hz == 16_000


def test_labels_are_distinct_columns_after_the_text() -> None:
    names = [field.name for field in ordered_fields(Entry)]
    assert names[names.index("text") + 1 :][: len(LABEL_NAMES)] == list(LABEL_NAMES)
    assert len(set(names)) == len(names)
    others = [name for label in LABELS for name in (label.name, *label.aliases)]
    assert len(set(others)) == len(others)
