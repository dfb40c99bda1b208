"""A certificate authority for one run, and one certificate for both ends."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from benchmarks.receivers import Certificates

_KEY_BITS = 2048
_BOTH_ENDS = x509.ExtendedKeyUsage(
    [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
)
_SIGNS = x509.KeyUsage(
    digital_signature=True,
    key_cert_sign=True,
    crl_sign=True,
    content_commitment=False,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    encipher_only=False,
    decipher_only=False,
)


def make_certificates(folder: Path) -> Certificates:
    """Make an authority and a certificate that serves and calls."""
    folder.mkdir(parents=True, exist_ok=True)
    authority_key = rsa.generate_private_key(65537, _KEY_BITS)
    key = rsa.generate_private_key(65537, _KEY_BITS)
    authority_name, name = _name("dicom-node benchmark CA"), _name("benchmark")
    authority = _signed(
        (authority_name, authority_key.public_key()),
        (authority_name, authority_key),
        (x509.BasicConstraints(ca=True, path_length=0), _SIGNS),
    )
    certificate = _signed(
        (name, key.public_key()),
        (authority_name, authority_key),
        (x509.BasicConstraints(ca=False, path_length=None), _BOTH_ENDS),
    )
    made = Certificates(
        ca=folder / "ca.pem",
        certificate=folder / "node.pem",
        private_key=folder / "node.key",
    )
    pem = serialization.Encoding.PEM
    made.ca.write_bytes(authority.public_bytes(pem))
    made.certificate.write_bytes(certificate.public_bytes(pem))
    made.private_key.touch(mode=0o600)
    made.private_key.write_bytes(
        key.private_bytes(
            pem,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return made


def _signed(
    subject: tuple[x509.Name, rsa.RSAPublicKey],
    issuer: tuple[x509.Name, rsa.RSAPrivateKey],
    extensions: tuple[x509.ExtensionType, ...],
) -> x509.Certificate:
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject[0])
        .issuer_name(issuer[0])
        .public_key(subject[1])
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=2))
        .add_extension(
            x509.SubjectKeyIdentifier.from_public_key(subject[1]), critical=False
        )
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer[1].public_key()),
            critical=False,
        )
    )
    for extension in extensions:
        critical = not isinstance(extension, x509.ExtendedKeyUsage)
        made = made.add_extension(extension, critical=critical)
    return made.sign(issuer[1], hashes.SHA256())


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])
