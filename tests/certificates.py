"""Certificate authorities and certificates of the tests' own."""

import ipaddress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
_SHORT = {
    "CN": NameOID.COMMON_NAME,
    "O": NameOID.ORGANIZATION_NAME,
    "OU": NameOID.ORGANIZATIONAL_UNIT_NAME,
    "C": NameOID.COUNTRY_NAME,
    "emailAddress": NameOID.EMAIL_ADDRESS,
}


@dataclass(frozen=True, slots=True)
class Pair:
    """PEM files of a certificate and its key."""

    certificate: Path
    key: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What a certificate is to say.

    Args:
        subject: pairs of short name and value, in the order of the certificate.
        days: how long it is still valid; negative for one that has expired.
        hosts: alternative names, DNS or addresses.
        usages: of extended key usage; none leaves the extension out.
    """

    subject: tuple[tuple[str, str], ...] = (("CN", "node"),)
    days: float = 365
    hosts: tuple[str, ...] = ("localhost", "127.0.0.1")
    usages: tuple[x509.ObjectIdentifier, ...] = ()
    rsa_bits: int = 0


CLIENT_ONLY = ExtendedKeyUsageOID.CLIENT_AUTH
SERVER_ONLY = ExtendedKeyUsageOID.SERVER_AUTH


class Authority:
    """A certificate authority that lives in a folder."""

    def __init__(self, folder: Path, name: str = "Test CA") -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self._key: Key = ec.generate_private_key(ec.SECP256R1())
        self._name = _name((("CN", name),))
        certificate = _builder(self._name, self._name, self._key, 3650)
        certificate = certificate.add_extension(
            x509.BasicConstraints(ca=True, path_length=None), critical=True
        )
        self.certificate = folder / "ca.pem"
        self.certificate.write_bytes(_pem(certificate.sign(self._key, hashes.SHA256())))

    def issue(self, file: str, wanted: Wanted | None = None) -> Pair:
        """Write a certificate and its key, over those of the same name."""
        wanted = wanted or Wanted()
        key = _key(wanted.rsa_bits)
        subject = _name(wanted.subject)
        builder = _builder(subject, self._name, key, wanted.days)
        builder = builder.add_extension(_alternatives(wanted.hosts), critical=False)
        if wanted.usages:
            usages = x509.ExtendedKeyUsage(wanted.usages)
            builder = builder.add_extension(usages, critical=False)
        pair = Pair(self.folder / f"{file}.pem", self.folder / f"{file}.key")
        pair.certificate.write_bytes(_pem(builder.sign(self._key, hashes.SHA256())))
        write_key(pair.key, key)
        return pair


def write_key(path: Path, key: Key, *, passphrase: bytes = b"") -> None:
    """Write a private key that only this user may read."""
    encryption: serialization.KeySerializationEncryption
    encryption = serialization.NoEncryption()
    if passphrase:
        encryption = serialization.BestAvailableEncryption(passphrase)
    path.touch(mode=0o600)
    path.chmod(0o600)
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption
        )
    )


def new_key() -> Key:
    """Return a key on P-256."""
    return _key(0)


def _key(rsa_bits: int) -> Key:
    if rsa_bits:
        return rsa.generate_private_key(public_exponent=65537, key_size=rsa_bits)
    return ec.generate_private_key(ec.SECP256R1())


def _name(subject: tuple[tuple[str, str], ...]) -> x509.Name:
    return x509.Name(
        [x509.NameAttribute(_SHORT[name], value) for name, value in subject]
    )


def _builder(
    subject: x509.Name, issuer: x509.Name, key: Key, days: float
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    end = now + timedelta(days=days)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(min(now, end) - timedelta(days=1))
        .not_valid_after(end)
    )


def _alternatives(hosts: tuple[str, ...]) -> x509.SubjectAlternativeName:
    names: list[x509.GeneralName] = []
    for host in hosts:
        try:
            names.append(x509.IPAddress(ipaddress.ip_address(host)))
        except ValueError:
            names.append(x509.DNSName(host))
    return x509.SubjectAlternativeName(names)


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)
