"""C2PA: a file in, the same file with a signed manifest out, which says who vouches for it.

    certificate chain, key -> Signer
    file, media type -> manifest (created by a trained algorithm) -> signed file

Pixels, XMP and recipe stay as they are. Two signatures of one file are never the same bytes: the
library salts every assertion, so whoever promises bytes must promise less. What has no place for
a manifest comes back as it was. Imported only where a certificate is set: the library comes with
the extra `c2pa`.
C2PA technical specification, 2.4.
"""

import io
import json
from collections.abc import Sequence
from datetime import UTC, datetime
from hashlib import sha256

import numpy as np
from numpy.typing import NDArray

from ganserve import __version__
from model.encoding.marking import SOURCE_TYPE, SigningError
from model.encoding.png import APNG_MEDIA_TYPE, MEDIA_TYPE, encode_png, encode_pngs
from model.mistakes import install

try:
    import c2pa
    from cryptography import x509
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
except ImportError:
    HAS_C2PA = False
else:
    HAS_C2PA = True

# what the library is told that a file is; an animated PNG is a PNG to it
HOLDERS = {
    same: same
    for same in (MEDIA_TYPE, "image/webp", "image/jpeg", "image/avif", "image/gif", "video/mp4")
} | {APNG_MEDIA_TYPE: MEDIA_TYPE}
CURVES = {"secp256r1": "es256", "secp384r1": "es384", "secp521r1": "es512"}
SETTINGS = {
    "version": 1,
    "builder": {
        "thumbnail": {"enabled": False},  # it would be larger than the picture
        "created_assertion_labels": ["c2pa.actions"],  # asserted by the signer itself
    },
    "verify": {
        "verify_after_sign": False,  # one is verified at the start, for all
        "remote_manifest_fetch": False,
        "ocsp_fetch": False,
    },
}
GOOD = ("Valid", "Trusted")  # the first: sound, by a signer that the reader does not know


class Signer:
    """Signs files by one certificate. Any thread may use it, and several at once."""

    def __init__(self, certificate: bytes, key: bytes, timestamp_url: str | None = None) -> None:
        """Takes a certificate, those that vouch for it after it, and its private key, all as PEM;
        signs a small picture and verifies it.

        Raises:
            SigningError: the extra is not installed, or no valid signature comes of them.
        """
        if not HAS_C2PA:
            raise SigningError(f"needs the extra 'c2pa': {install('c2pa')}")
        _check_time(certificate)
        credentials = c2pa.C2paSignerInfo(_algorithm(key), certificate, key, timestamp_url)
        try:
            signer = c2pa.Signer.from_info(credentials)
            self._context = c2pa.Context.from_dict(SETTINGS, signer=signer)
        except c2pa.C2paError as error:
            raise SigningError(f"GAN_C2PA_CERTIFICATE, GAN_C2PA_KEY: {_line(error)}") from None
        product = {"name": "ganserve", "version": __version__}
        created = {"action": "c2pa.created", "digitalSourceType": SOURCE_TYPE}
        actions = {"label": "c2pa.actions.v2", "data": {"actions": [created]}}
        self._manifest = json.dumps({"claim_generator_info": [product], "assertions": [actions]})
        self.id = sha256(certificate).hexdigest()[:12]
        self._prove()

    def sign(self, content: bytes, media_type: str) -> bytes:
        """Returns the file with a signed manifest, or as it is where its kind cannot hold one.

        Raises:
            SigningError: the time-stamp host does not answer.
        """
        holder = HOLDERS.get(media_type)
        if holder is None:
            return content
        signed = io.BytesIO()
        try:
            builder = c2pa.Builder(self._manifest, context=self._context)
            builder.sign(holder, io.BytesIO(content), signed)
        except c2pa.C2paError as error:
            raise SigningError(f"a file cannot be signed: {_line(error)}") from None
        return signed.getvalue()

    def encode_pngs(
        self, pixels: NDArray[np.uint8], recipes: Sequence[str | None] | None = None
    ) -> list[bytes]:
        """Returns the signed PNG files of pictures (N, H, W, C), in order, each with its recipe."""
        return [self.sign(file, MEDIA_TYPE) for file in encode_pngs(pixels, recipes)]

    def _prove(self) -> None:
        signed = self.sign(encode_png(np.zeros((8, 8, 1), np.uint8)), MEDIA_TYPE)
        with c2pa.Reader(MEDIA_TYPE, io.BytesIO(signed), context=self._context) as reader:
            if reader.get_validation_state() in GOOD:
                return
            status = json.loads(reader.json()).get("validation_status", [])
        codes = {entry["code"] for entry in status} - {"signingCredential.untrusted"}
        raise SigningError(
            "GAN_C2PA_CERTIFICATE: no valid signature comes of it "
            f"({', '.join(sorted(codes)) or 'no reason given'})"
        )


def _check_time(certificate: bytes) -> None:
    try:
        chain = x509.load_pem_x509_certificates(certificate)
    except ValueError:
        raise SigningError("GAN_C2PA_CERTIFICATE: not a chain of certificates in PEM") from None
    now = datetime.now(UTC)
    for one in chain:
        if not one.not_valid_before_utc <= now <= one.not_valid_after_utc:
            raise SigningError(
                f"GAN_C2PA_CERTIFICATE: valid from {one.not_valid_before_utc:%Y-%m-%d} "
                f"to {one.not_valid_after_utc:%Y-%m-%d}, and not now"
            )


def _algorithm(key: bytes) -> str:
    """Returns how a private key signs, in C2PA's words.

    Raises:
        SigningError: it cannot be read, or C2PA does not allow it.
    """
    try:
        loaded = serialization.load_pem_private_key(key, None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise SigningError("GAN_C2PA_KEY: not a private key in PEM without a password") from None
    if isinstance(loaded, ed25519.Ed25519PrivateKey):
        return "ed25519"
    if isinstance(loaded, ec.EllipticCurvePrivateKey) and loaded.curve.name in CURVES:
        return CURVES[loaded.curve.name]
    if isinstance(loaded, rsa.RSAPrivateKey) and loaded.key_size >= 2048:
        return "ps256"
    raise SigningError(
        "GAN_C2PA_KEY: Ed25519, P-256, P-384, P-521, or RSA of 2048 bits or more is wanted"
    )


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
