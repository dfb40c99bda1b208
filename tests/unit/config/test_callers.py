"""The settings of TLS, called AE titles, peers and destinations agree, or say why."""

from pathlib import Path

import pytest

from config.load import load
from config.settings import Settings
from dicom_node.core.errors import ConfigError

TLS = """
[tls]
port = 2762
certificate = "node.pem"
private_key = "keys/node.key"
ca = "/etc/callers.pem"
"""
DESTINATION = """
[[destinations]]
name = "pacs"
ae_title = "ORTHANC"
host = "127.0.0.1"
port = 4242
"""


def read(folder: Path, text: str, variables: dict[str, str] | None = None) -> Settings:
    path = folder / "node.toml"
    path.write_text(text)
    return load(path, variables or {}).settings


def fault(folder: Path, text: str) -> str:
    with pytest.raises(ConfigError) as refused:
        read(folder, text)
    return str(refused.value)


def test_files_of_tls_peers_and_destinations_count_from_the_configuration(
    tmp_path: Path,
) -> None:
    settings = read(
        tmp_path,
        TLS
        + '[[peers]]\nae_title = "CT1"\nusername = "ct1"\npasscode_file = "ct1.code"\n'
        + DESTINATION
        + 'tls = true\nca = "pacs.pem"\ncertificate = "a.pem"\nprivate_key = "a.key"\n',
    )
    assert settings.tls.certificate == tmp_path / "node.pem"
    assert settings.tls.private_key == tmp_path / "keys" / "node.key"
    assert settings.tls.ca == Path("/etc/callers.pem")
    assert settings.peers[0].passcode_file == tmp_path / "ct1.code"
    destination = settings.destinations[0]
    assert destination.ca == tmp_path / "pacs.pem"
    assert destination.certificate == tmp_path / "a.pem"
    assert destination.private_key == tmp_path / "a.key"
    assert destination.folder is None


@pytest.mark.parametrize(
    ("kind", "lines"),
    [
        ("webhook", 'secret_file = "keys/key"'),
        ("fhir", 'token_file = "keys/key"'),
        ("stow", 'username = "ainode"\npasscode_file = "keys/key"'),
    ],
)
def test_credentials_of_destinations_count_from_the_configuration(
    tmp_path: Path, kind: str, lines: str
) -> None:
    table = (
        f'[[destinations]]\nname = "a"\nkind = "{kind}"\n'
        f'url = "http://127.0.0.1:8/x"\n{lines}\n'
    )
    destination = read(tmp_path, table).destinations[0]
    found = (
        destination.secret_file or destination.token_file or destination.passcode_file
    )
    assert found == tmp_path / "keys" / "key"


def test_the_environment_sets_tls(tmp_path: Path) -> None:
    variables = {"DICOM_NODE_TLS__PORT": "2763", "DICOM_NODE_NODE__PLAIN": "false"}
    settings = read(tmp_path, TLS, variables)
    assert settings.tls.port == 2763
    assert not settings.node.plain


def test_without_a_port_the_other_keys_of_tls_do_nothing(tmp_path: Path) -> None:
    assert read(tmp_path, TLS.replace("port = 2762", "")).tls.port is None


@pytest.mark.parametrize(
    ("text", "named"),
    [
        (TLS.replace("certificate =", "# "), "tls.certificate"),
        (TLS.replace("private_key =", "# "), "tls.private_key"),
        (TLS.replace("ca =", "# "), 'tls.client_certificate = "none"'),
        (TLS.replace("2762", "11112"), "are the same"),
        (TLS.replace("2762", "70000"), "tls.port"),
        (TLS + "protocol = 1\n", "tls.protocol: no such setting"),
        ("[node]\nplain = false\n", "nothing would listen"),
        ('[[called]]\nae_title = "AINODE"\n', "called AE title 'AINODE'"),
        ('[[called]]\nae_title = " AINODE "\n', "called AE title 'AINODE'"),
        (
            '[[called]]\nae_title = "A"\n[[called]]\nae_title = "A"\n',
            "called AE title 'A' is used twice",
        ),
        (
            '[[called]]\nae_title = "A"\ndestinations = ["nowhere"]\n',
            "called AE title 'A' names destination 'nowhere'",
        ),
        ('[[called]]\nae_title = "A"\nquiet_seconds = 0\n', "quiet_seconds"),
        ('[[peers]]\nae_title = "A"\nhost = "10.1.2.3/16"\n', "10.1.0.0/16"),
        ('[[peers]]\nae_title = "A"\nhost = "10.1.0.0/33"\n', "a range of addresses"),
        ('[[peers]]\nae_title = "A"\nhost = "ct1/16"\n', "a range of addresses"),
        ('[[peers]]\nae_title = "A"\ncertificate_subject = "*"\n', "set tls.port"),
        (
            TLS.replace("ca =", "client_certificate = 'none' #")
            + '[[peers]]\nae_title = "A"\ncertificate_subject = "*"\n',
            "set tls.ca",
        ),
        (
            TLS + '[[peers]]\nae_title = "A"\nusername = "a"\n',
            "username and passcode_file go together",
        ),
        (
            '[[peers]]\nae_title = "A"\nusername = "a"\npasscode_file = "a"\n',
            "set tls.port",
        ),
        (DESTINATION + 'ca = "pacs.pem"\n', "need tls = true"),
        (DESTINATION + 'tls = true\ncertificate = "a.pem"\n', "go together"),
        (
            '[[destinations]]\nname = "f"\nkind = "folder"\nfolder = "f"\ntls = true\n',
            "tls is for kind 'dicom'",
        ),
    ],
)
def test_what_does_not_fit_together_is_refused_with_the_remedy(
    tmp_path: Path, text: str, named: str
) -> None:
    assert named in fault(tmp_path, text)


@pytest.mark.parametrize(
    "host", ["10.1.0.0/16", "fd00::/8", "10.0.0.1/32", "ct1.hospital.example", ""]
)
def test_a_peers_host_is_a_name_an_address_or_a_range(
    tmp_path: Path, host: str
) -> None:
    text = f'[[peers]]\nae_title = "A"\nhost = "{host}"\n'
    assert read(tmp_path, text).peers[0].host == host
