"""The configuration contract: file, environment, defaults, and clear refusals."""

from pathlib import Path

import pytest

from config.load import load
from dicom_node.core.errors import ConfigError

CONTRACT = """
[node]
ae_title = "AINODE"
host = "127.0.0.1"
port = 11112
data_dir = "data"
[database]
url = "sqlite:///data/node.db"
[study]
quiet_seconds = 10
[[destinations]]
name = "pacs"
kind = "dicom"
ae_title = "ORTHANC"
host = "127.0.0.1"
port = 4242
[[routes]]
name = "paediatric chest"
model = "cxr-pneumonia"
destinations = ["pacs"]
[routes.when]
modality = ["CR", "DX"]
"""


def _write(folder: Path, text: str) -> Path:
    path = folder / "node.toml"
    path.write_text(text)
    return path


def test_the_contract_is_read_and_paths_count_from_its_folder(tmp_path: Path) -> None:
    settings = load(_write(tmp_path, CONTRACT), {}).settings
    assert settings.node.data_dir == tmp_path / "data"
    assert settings.database.url == f"sqlite:///{tmp_path}/data/node.db"
    assert settings.routes[0].when.modality == ("CR", "DX")
    assert settings.destinations[0].sr_classes[0] == "comprehensive3d"


def test_a_scalar_of_the_environment_wins_over_the_file(tmp_path: Path) -> None:
    variables = {"DICOM_NODE_NODE__PORT": "104", "DICOM_NODE_STUDY__QUIET_SECONDS": "3"}
    settings = load(_write(tmp_path, CONTRACT), variables).settings
    assert settings.node.port == 104
    assert settings.study.quiet_seconds == 3


def test_the_environment_sets_the_worklist(tmp_path: Path) -> None:
    variables = {"DICOM_NODE_WORKLIST__EXPIRES_MINUTES": "5"}
    settings = load(_write(tmp_path, CONTRACT), variables).settings
    assert settings.worklist.expires_minutes == 5


def test_the_environment_sets_a_table_within_a_table(tmp_path: Path) -> None:
    variables = {
        "DICOM_NODE_WORKLIST__PROXY__PORT": "104",
        "DICOM_NODE_WORKLIST__PROXY__UPSTREAM_HOST": "ris",
        "DICOM_NODE_WORKLIST__PROXY__UPSTREAM_PORT": "105",
        "DICOM_NODE_WORKLIST__PROXY__UPSTREAM_AE_TITLE": "RIS",
        "DICOM_NODE_WORKLIST__PROXY__UPSTREAM_TLS": "true",
        "DICOM_NODE_WORKLIST__PROXY__UPSTREAM_CA": "ca.pem",
    }
    proxy = load(_write(tmp_path, CONTRACT), variables).settings.worklist.proxy
    assert (proxy.port, proxy.upstream_port) == (104, 105)
    assert proxy.upstream_tls
    assert proxy.upstream_ca == tmp_path / "ca.pem"


@pytest.mark.parametrize(
    "name",
    ["WORKLIST__PROXY", "WORKLIST__PROXY__NOTHING", "NODE__PORT__X", "WORKLIST__X__Y"],
)
def test_a_variable_that_names_no_value_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError, match="names no setting"):
        load(_write(tmp_path, CONTRACT), {f"DICOM_NODE_{name}": "1"})


def test_the_file_of_the_environment_is_used_when_none_is_named(
    tmp_path: Path,
) -> None:
    path = _write(tmp_path, CONTRACT)
    assert load(None, {"DICOM_NODE_CONFIG": str(path)}).file == path


def test_without_a_file_the_defaults_listen_on_loopback_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    found = load(None, {})
    assert found.file is None
    assert found.settings.loopback_only
    assert found.settings.database.url == f"sqlite:///{tmp_path}/data/node.db"


def test_an_absolute_and_a_foreign_database_url_stay_as_they_are(
    tmp_path: Path,
) -> None:
    for url in ("sqlite:////srv/node.db", "postgresql://node@db/node"):
        text = CONTRACT.replace("sqlite:///data/node.db", url)
        assert load(_write(tmp_path, text), {}).settings.database.url == url


@pytest.mark.parametrize(
    ("old", "new", "named"),
    [
        ("port = 11112", "port = 99999", "node.port"),
        ("port = 11112", "prot = 1", "node.prot: no such setting"),
        ('name = "pacs"', 'name = "archive"', "names destination 'pacs'"),
        ("port = 4242", "", "needs ae_title, host and port"),
        ('host = "127.0.0.1"\nport = 11112', 'host = "0.0.0.0"', "peers"),
        ("quiet_seconds = 10", "quiet_seconds = 0", "study.quiet_seconds"),
        ('ae_title = "AINODE"', 'ae_title = "SEVENTEEN-LETTERS"', "node.ae_title"),
        ("[study]", "[study", "is not TOML"),
    ],
)
def test_a_fault_is_refused_by_its_name(
    tmp_path: Path, old: str, new: str, named: str
) -> None:
    assert old in CONTRACT
    with pytest.raises(ConfigError) as refused:
        load(_write(tmp_path, CONTRACT.replace(old, new, 1)), {})
    assert named in str(refused.value)


def test_every_fault_is_named_in_one_message(tmp_path: Path) -> None:
    text = CONTRACT.replace("port = 11112", "port = -1").replace(
        "quiet_seconds = 10", "quiet_seconds = 'soon'"
    )
    with pytest.raises(ConfigError) as refused:
        load(_write(tmp_path, text), {})
    assert "node.port" in str(refused.value)
    assert "study.quiet_seconds" in str(refused.value)


def test_a_variable_that_names_no_setting_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="DICOM_NODE_NODE__PROT"):
        load(_write(tmp_path, CONTRACT), {"DICOM_NODE_NODE__PROT": "1"})


def test_a_missing_file_is_refused_with_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="--config"):
        load(tmp_path / "absent.toml", {})


def test_faults_of_file_variables_and_agreement_come_in_one_message(
    tmp_path: Path,
) -> None:
    text = CONTRACT.replace("quiet_seconds", "quiet_secs").replace("port = 11112", "")
    text = text.replace('["pacs"]', '["archive"]')
    variables = {"DICOM_NODE_NODE__PORT": "abc", "DICOM_NODE_NODE__PROT": "1"}
    with pytest.raises(ConfigError) as refused:
        load(_write(tmp_path, text), variables)
    assert str(refused.value) == (
        "environment variable DICOM_NODE_NODE__PROT names no setting; "
        "environment variable DICOM_NODE_NODE__PORT: must be a whole number; "
        f"{tmp_path}/node.toml: study.quiet_secs: no such setting; "
        "route 'paediatric chest' names destination 'archive', which no "
        "[[destinations]] table has"
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("node = 5", "node: must be a table: [node]"),
        ("[peers]", "peers: must be a list of tables: [[peers]]"),
        ("[node]\ndata_dir = 5", "node.data_dir: must be a path in quotes"),
        ("[node]\nae_title = 5", "node.ae_title: must be text in quotes"),
        ('[node]\nplain = "maybe"', "node.plain: must be true or false"),
        ("[retention]\nstates = 5", "retention.states: must be a list: [...]"),
        ("[study]\nquiet_seconds = inf", "study.quiet_seconds: must be finite"),
        ("[[routes]]\nname = 'r'", "[[routes]] 'r': model: is missing"),
        ("[[peers]]\nhost = '::1'", "[[peers]] number 1: ae_title: is missing"),
        ("[web]\nport = 11112", "node.port and web.port are the same"),
    ],
)
def test_a_fault_is_told_in_the_words_of_the_file(
    tmp_path: Path, text: str, said: str
) -> None:
    with pytest.raises(ConfigError) as refused:
        load(_write(tmp_path, text), {})
    assert said in str(refused.value)


def test_an_ae_title_has_no_outer_spaces_and_says_what_it_may_be(
    tmp_path: Path,
) -> None:
    text = CONTRACT.replace('"AINODE"', '" AINODE "')
    assert load(_write(tmp_path, text), {}).settings.node.ae_title == "AINODE"
    for title in ("   ", "A\\\\B", "SEVENTEEN-LETTERS", "É"):
        text = CONTRACT.replace("AINODE", title)
        with pytest.raises(ConfigError, match="an AE title is 1 to 16 characters"):
            load(_write(tmp_path, text), {})


def test_a_file_that_begins_with_a_byte_order_mark_is_read(tmp_path: Path) -> None:
    path = _write(tmp_path, "\ufeff" + CONTRACT)
    assert load(path, {}).settings.node.port == 11112
