"""A private Orthanc: a real PACS with a REST interface, on free ports of loopback."""

import base64
import json
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.peers import (
    Address,
    ToolProcess,
    free_port,
    in_ci,
    require_tool,
    start_tool,
    wait_until,
)

# Where Debian's package orthanc-dicomweb puts it.
_DICOMWEB = Path("/usr/share/orthanc/plugins/libOrthancDicomWeb.so")


@dataclass(frozen=True, slots=True, kw_only=True)
class OrthancSettings:
    """What a test wants of its Orthanc.

    Args:
        lua: scripts, run in this order.
        stable_age: seconds without a new instance until a study is stable.
        modalities: application entities by the name that Lua and REST use.
        tls: certificate, key and authorities; then it listens and calls with TLS,
            and its callers need a certificate.
        dicomweb: with the plugin that serves DICOMweb below /dicom-web.
        users: passcodes by the name of who may call over HTTP; everybody if none.
    """

    ae_title: str = "ORTHANC"
    http_port: int = 0
    dicom_port: int = 0
    stable_age: int = 1
    lua: Sequence[Path] = ()
    modalities: Sequence[tuple[str, Address]] = ()
    tls: tuple[Path, Path, Path] | None = None
    dicomweb: bool = False
    users: Mapping[str, str] = field(default_factory=dict)


@dataclass(slots=True, kw_only=True)
class Orthanc:
    """A running Orthanc."""

    http_port: int
    address: Address
    tool: ToolProcess
    users: Mapping[str, str] = field(default_factory=dict)

    @property
    def dicomweb(self) -> str:
        """The URL of its DICOMweb service."""
        return f"http://127.0.0.1:{self.http_port}/dicom-web"

    def rest(self, path: str, *, method: str = "GET", body: object = None) -> Any:
        """Call the REST interface; JSON in, JSON out (bytes where it is no JSON)."""
        data: bytes | None = None
        if isinstance(body, bytes):
            data = body
        elif body is not None:
            data = json.dumps(body).encode()
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.http_port}{path}", data=data, method=method
        )
        for name, passcode in self.users.items():
            pair = base64.b64encode(f"{name}:{passcode}".encode()).decode()
            request.add_header("Authorization", f"Basic {pair}")
        with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310 - loopback
            content: bytes = answer.read()
            kind = answer.headers.get_content_type()
        return json.loads(content) if kind == "application/json" else content

    def upload(self, file: Path) -> None:
        """Store a file through REST."""
        self.rest("/instances", method="POST", body=file.read_bytes())

    def studies(self) -> list[str]:
        """Return Orthanc's own identifiers of all studies."""
        return list(self.rest("/studies"))

    def reports(self, study_instance_uid: str | None = None) -> list[str]:
        """Return the identifiers of all SR instances, or of one study's."""
        found: list[str] = []
        for series in self.rest("/series?expand"):
            if series["MainDicomTags"].get("Modality") != "SR":
                continue
            study = self.rest(f"/studies/{series['ParentStudy']}")
            uid = study["MainDicomTags"]["StudyInstanceUID"]
            if study_instance_uid in {None, uid}:
                found += series["Instances"]
        return sorted(found)

    def file(self, instance: str) -> bytes:
        """Return the Part 10 file of an instance (Orthanc's identifier)."""
        content = self.rest(f"/instances/{instance}/file")
        if not isinstance(content, bytes):
            raise TypeError("Orthanc answered JSON where a file was asked for")
        return content

    def stop(self) -> None:
        """End this Orthanc; what it stored stays in its folder."""
        self.tool.stop(seconds=20)


def start_orthanc(folder: Path, settings: OrthancSettings | None = None) -> Orthanc:
    """Start an Orthanc whose files and index lie in `folder`; wait until it answers.

    Started again on the same folder with the same ports, it has what it had.
    """
    wanted = settings or OrthancSettings()
    program = require_tool("Orthanc")
    folder.mkdir(parents=True, exist_ok=True)
    http_port = wanted.http_port or free_port()
    address = Address(port=wanted.dicom_port or free_port(), ae_title=wanted.ae_title)
    configuration = {
        "Name": "test",
        "StorageDirectory": str(folder / "storage"),
        "IndexDirectory": str(folder / "storage"),
        "Plugins": [str(_dicomweb_plugin())] if wanted.dicomweb else [],
        "HttpServerEnabled": True,
        "HttpPort": http_port,
        "HttpBindAddresses": ["127.0.0.1"],
        "RemoteAccessAllowed": False,
        "AuthenticationEnabled": bool(wanted.users),
        "RegisteredUsers": dict(wanted.users),
        "DicomServerEnabled": True,
        "DicomAet": wanted.ae_title,
        "DicomPort": address.port,
        "DicomCheckCalledAet": False,
        "DicomCheckModalityHost": False,
        "DicomAlwaysAllowEcho": True,
        "DicomAlwaysAllowStore": True,
        "UnknownSopClassAccepted": True,
        "StableAge": wanted.stable_age,
        "SynchronousCMove": True,
        "OverwriteInstances": False,
        "ConcurrentJobs": 2,
        "JobsHistorySize": 100,
        "SaveJobs": False,
        "LuaScripts": [str(script) for script in wanted.lua],
        "DicomModalities": {
            name: {
                "AET": peer.ae_title,
                "Host": peer.host,
                "Port": peer.port,
                "UseDicomTls": wanted.tls is not None,
            }
            for name, peer in wanted.modalities
        },
        **_tls(wanted),
    }
    file = folder / "orthanc.json"
    file.write_text(json.dumps(configuration, indent=2))
    tool = start_tool([program, "--verbose", file], log=folder / "orthanc.log")
    orthanc = Orthanc(
        http_port=http_port, address=address, tool=tool, users=wanted.users
    )
    try:
        wait_until(
            lambda: tool.process.poll() is not None or _answers(orthanc),
            what="Orthanc answers",
            seconds=60,
        )
        if tool.process.poll() is not None:
            raise RuntimeError("Orthanc ended: " + tool.output()[-2000:])
    except BaseException:
        tool.stop()
        raise
    return orthanc


def _dicomweb_plugin() -> Path:
    """Return the plugin's path; skip the test without it, or fail it in CI."""
    if _DICOMWEB.exists():
        return _DICOMWEB
    reason = "Orthanc's DICOMweb is missing: apt-get install orthanc-dicomweb"
    if in_ci():
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


def _tls(wanted: OrthancSettings) -> dict[str, object]:
    if wanted.tls is None:
        return {}
    certificate, key, authorities = map(str, wanted.tls)
    return {
        "DicomTlsEnabled": True,
        "DicomTlsCertificate": certificate,
        "DicomTlsPrivateKey": key,
        "DicomTlsTrustedCertificates": authorities,
        "DicomTlsRemoteCertificateRequired": True,
    }


@contextmanager
def running_orthanc(
    folder: Path, settings: OrthancSettings | None = None
) -> Iterator[Orthanc]:
    """Run an Orthanc for the length of a with statement."""
    orthanc = start_orthanc(folder, settings)
    try:
        yield orthanc
    finally:
        orthanc.stop()


def _answers(orthanc: Orthanc) -> bool:
    try:
        return bool(orthanc.rest("/system"))
    except (urllib.error.URLError, OSError):
        return False
