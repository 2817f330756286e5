"""C2PA signatures, read back by the library, of a chain of certificates made for the test."""

import io
import json
import re
import subprocess
import sys
import zipfile
from base64 import b64decode
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient
from PIL import Image

from app.main import create_app
from app.settings import Settings
from benchmarks.servers import free_port
from model.encoding.animations import ANIMATIONS, HAS_VIDEO, encode_animation
from model.encoding.formats import STILLS, encode_still
from model.encoding.marking import SOURCE_TYPE, SigningError, read_recipe
from model.encoding.png import encode_png
from model.mistakes import install
from tests.services import start_and_fail

pytest.importorskip("c2pa", reason="needs the extra 'c2pa'")

import c2pa
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from app.responses.c2pa import HOLDERS, Signer

KEYS: dict[str, Callable[[], Any]] = {
    "ed25519": ed25519.Ed25519PrivateKey.generate,
    "es256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "es384": lambda: ec.generate_private_key(ec.SECP384R1()),
    "ps256": lambda: rsa.generate_private_key(65537, 2048),
}
PLAIN = serialization.NoEncryption()
NOW = datetime.now(UTC)
MOVING = [name for name in ANIMATIONS if name != "mp4" or HAS_VIDEO]
NO_SIGNER = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH])
SIGNER = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION])


def certificate(
    key: Any, issuer: Any, *, root: bool, end: datetime, usage: x509.ExtendedKeyUsage = SIGNER
) -> bytes:
    def name(text: str) -> x509.Name:
        organisation = x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Test")
        return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text), organisation])

    others = "content_commitment key_encipherment data_encipherment key_agreement"
    allowed = dict.fromkeys(f"{others} encipher_only decipher_only".split(), False)
    builder = (
        x509.CertificateBuilder()
        .subject_name(name("root" if root else "signer"))
        .issuer_name(name("root"))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW - timedelta(days=9))
        .not_valid_after(end)
        .add_extension(x509.BasicConstraints(root, None), critical=True)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.public_key()), critical=False
        )
        .add_extension(
            x509.KeyUsage(digital_signature=not root, key_cert_sign=root, crl_sign=root, **allowed),
            critical=True,
        )
    )
    if not root:
        builder = builder.add_extension(usage, critical=False)
    digest = None if isinstance(issuer, ed25519.Ed25519PrivateKey) else hashes.SHA256()
    return builder.sign(issuer, digest).public_bytes(serialization.Encoding.PEM)


def credentials(
    kind: str = "ed25519",
    end: datetime = NOW + timedelta(days=9),
    usage: x509.ExtendedKeyUsage = SIGNER,
) -> tuple[bytes, bytes]:
    """Returns a chain and the key of its first, as PEM."""
    root, key = KEYS[kind](), KEYS[kind]()
    chain = certificate(key, root, root=False, end=end, usage=usage)
    chain += certificate(root, root, root=True, end=NOW + timedelta(days=99))
    return chain, key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, PLAIN
    )


@pytest.fixture(scope="module")
def signer() -> Signer:
    return Signer(*credentials())


def read(content: bytes, media_type: str) -> tuple[str, dict[str, Any]]:
    """Returns the verdict, and the manifest."""
    with c2pa.Reader(HOLDERS[media_type], io.BytesIO(content)) as reader:
        store = json.loads(reader.json())
        return reader.get_validation_state(), store["manifests"][store["active_manifest"]]


def check(content: bytes, media_type: str) -> None:
    verdict, manifest = read(content, media_type)
    assert verdict == "Valid"
    (actions,) = [one for one in manifest["assertions"] if one["label"] == "c2pa.actions.v2"]
    assert actions["created"]  # else it would be what the signer has only been told
    assert actions["data"]["actions"] == [
        {"action": "c2pa.created", "digitalSourceType": SOURCE_TYPE}
    ]
    assert manifest["claim_generator_info"][0]["name"] == "ganserve"
    assert "thumbnail" not in manifest


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)


def shown(content: bytes) -> list[np.ndarray]:
    """Returns every frame of a picture that Pillow knows, or of a video."""
    if content[4:8] == b"ftyp" and b"isom" in content[:32]:
        import av

        with av.open(io.BytesIO(content)) as file:
            return [frame.to_ndarray() for frame in file.decode(video=0)]
    frames = []
    with Image.open(io.BytesIO(content)) as image:
        for index in range(getattr(image, "n_frames", 1)):
            image.seek(index)
            frames.append(np.array(image.convert("RGB")))
    return frames


@pytest.mark.parametrize("kind", KEYS)
def test_every_kind_of_key_signs(kind: str) -> None:
    check(Signer(*credentials(kind)).sign(encode_png(noise(8, 8, 3)), "image/png"), "image/png")


@pytest.mark.parametrize("format", [name for name in STILLS if name != "npy"])
def test_signed_still_is_valid_and_shows_the_same(signer: Signer, format: str) -> None:
    media_type = STILLS[format].media_type
    plain = encode_still(noise(33, 31, 3), format, recipe='{"seed":7}')
    signed = signer.sign(plain, media_type)
    check(signed, media_type)
    assert np.array_equal(shown(signed), shown(plain))
    assert read_recipe(signed) == {"seed": 7}


@pytest.mark.parametrize("format", MOVING)
def test_signed_animation_is_valid_and_shows_the_same(signer: Signer, format: str) -> None:
    media_type = ANIMATIONS[format].media_type
    plain = encode_animation(noise(5, 32, 32, 3), format, fps=10, recipe='{"seed":7}')
    signed = signer.sign(plain, media_type)
    check(signed, media_type)
    assert len(shown(plain)) == (1 if format == "strip" else 5)
    assert np.array_equal(shown(signed), shown(plain))
    assert read_recipe(signed) == {"seed": 7}


def test_changed_pixel_breaks_the_signature(signer: Signer) -> None:
    signed = bytearray(signer.sign(encode_still(noise(8, 8, 3), "webp"), "image/webp"))
    signed[30] ^= 1
    assert read(bytes(signed), "image/webp")[0] == "Invalid"


def test_array_is_left_as_it_is(signer: Signer) -> None:
    content = encode_still(noise(8, 8, 3), "npy")
    assert signer.sign(content, STILLS["npy"].media_type) == content


def test_several_threads_may_sign_at_once(signer: Signer) -> None:
    with ThreadPoolExecutor(4) as pool:
        files = list(pool.map(lambda _: signer.encode_pngs(noise(4, 8, 8, 1)), range(8)))
    for file in (file for part in files for file in part):
        check(file, "image/png")


def test_two_signatures_are_of_one_length_and_other_bytes(signer: Signer) -> None:
    """Should this fail, the library has become deterministic: then ETags can be strong."""
    first, second = (signer.sign(encode_png(noise(8, 8, 1)), "image/png") for _ in range(2))
    assert len(first) == len(second)
    assert first != second


# --- the service ---


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Returns a folder with chain.pem and key.pem."""
    found = tmp_path_factory.mktemp("credentials")
    for name, content in zip(("chain.pem", "key.pem"), credentials(), strict=True):
        (found / name).write_bytes(content)
    return found


@pytest.fixture(scope="module")
def host(generator_folder: Path, folder: Path) -> Iterator[TestClient]:
    settings = Settings(
        generator=str(generator_folder),
        device="cpu",
        max_batch=4,
        cache_mib=1,
        c2pa_certificate=str(folder / "chain.pem"),
        c2pa_key=str(folder / "key.pem"),
    )
    with TestClient(create_app(settings), raise_server_exceptions=False) as client:
        yield client


@pytest.mark.parametrize(
    "path",
    [
        "/generate?seed=7",
        "/generate.png?seed=7&scale=2",
        "/generate.webp?seed=7&n=4",
        "/generate.jpg?seed=7",
        "/generate.avif?seed=7",
        "/i/tiny@{hash}/7.webp",
        "/i/tiny@{hash}/7.png",
        "/plane.png?seeds=1,2,3,4",
        "/models/tiny/directions/d0.png?seed=7",
        "/interpolate.webp?seeds=1,2&frames=3",
        "/interpolate.apng?seeds=1,2&frames=3",
        "/interpolate.gif?seeds=1,2&frames=3",
        "/interpolate.png?seeds=1,2&frames=3",
        pytest.param(
            "/interpolate.mp4?seeds=1,2&frames=3",
            marks=pytest.mark.skipif(not HAS_VIDEO, reason="needs the extra 'video'"),
        ),
    ],
)
def test_every_picture_that_leaves_is_signed(host: TestClient, path: str) -> None:
    digits = host.get("/models").json()["default"].rpartition("@")[2]
    answer = host.get(path.format(hash=digits))
    assert answer.status_code == 200
    check(answer.content, answer.headers["Content-Type"])


def test_every_picture_of_a_large_answer_is_signed(host: TestClient) -> None:
    for scale in (1, 2):
        body = {"seed": 1, "n": 3, "scale": scale}
        archive = host.post("/generate", json=body | {"format": "zip"})
        with zipfile.ZipFile(io.BytesIO(archive.content)) as file:
            pictures = [file.read(name) for name in file.namelist() if name.endswith(".png")]
        entries = host.post("/generate", json=body | {"format": "json"}).json()["pictures"]
        pictures += [b64decode(entry["image"]) for entry in entries]
        assert len(pictures) == 6
        for picture in pictures:
            check(picture, "image/png")


@pytest.mark.parametrize("path", ["/generate?seed=9", "/generate.webp?seed=9"])
def test_tag_of_a_signed_picture_is_weak_and_good_for_304(host: TestClient, path: str) -> None:
    tag = host.get(path).headers["ETag"]
    assert tag.startswith('W/"')
    for known in (tag, tag.removeprefix("W/")):
        answer = host.get(path, headers={"If-None-Match": known})
        assert (answer.status_code, answer.headers["ETag"]) == (304, tag)


def test_kept_picture_is_the_same_bytes(host: TestClient) -> None:
    assert host.get("/generate?seed=11").content == host.get("/generate?seed=11").content


@pytest.mark.parametrize("path", ["/generate?seed=12", "/generate.webp?seed=12"])
def test_file_that_cannot_be_signed_is_not_sent_without(
    host: TestClient, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    def fail(*arguments: object, **options: object) -> None:
        raise c2pa.C2paError("no time stamp")

    with monkeypatch.context() as broken:
        broken.setattr(c2pa, "Builder", fail)
        answer = host.get(path)
        assert (answer.status_code, answer.headers["Cache-Control"]) == (500, "no-store")
        assert "time stamp" not in answer.text
    check(host.get(path).content, host.get(path).headers["Content-Type"])


def test_signed_host_shows_the_pixels_of_a_plain_one(host: TestClient, client: TestClient) -> None:
    for path in ("/generate?seed=7", "/generate.webp?seed=7"):
        signed, plain = host.get(path), client.get(path)
        assert np.array_equal(shown(signed.content), shown(plain.content))
        assert read_recipe(signed.content) == read_recipe(plain.content)
        assert signed.headers["ETag"].removeprefix("W/") != plain.headers["ETag"]


# --- the start ---


def other_key(kind: str = "ed25519") -> bytes:
    return credentials(kind)[1]


@pytest.mark.parametrize(
    ("chain", "key", "reason"),
    [
        pytest.param(b"", None, "CERTIFICATE: not a chain", id="empty-chain"),
        pytest.param(b"text", None, "CERTIFICATE: not a chain", id="no-chain"),
        pytest.param(None, b"text", "KEY: not a private key", id="no-key"),
        pytest.param(None, other_key(), "signature", id="key-of-another"),
        pytest.param(None, other_key("es256"), "CERTIFICATE", id="key-of-another-kind"),
        pytest.param(*credentials(end=NOW - timedelta(days=1)), "and not now", id="out-of-date"),
        pytest.param(*credentials(usage=NO_SIGNER), "", id="not-for-signing"),
    ],
)
def test_what_gives_no_valid_signature_is_refused(
    folder: Path, chain: bytes | None, key: bytes | None, reason: str
) -> None:
    chain = (folder / "chain.pem").read_bytes() if chain is None else chain
    key = (folder / "key.pem").read_bytes() if key is None else key
    with pytest.raises(SigningError) as error:
        Signer(chain, key)
    text = str(error.value)
    assert reason in text
    assert len(text.splitlines()) == 1
    assert "PRIVATE" not in text


def test_host_of_time_stamps_that_does_not_answer_is_refused(folder: Path) -> None:
    chain, key = ((folder / name).read_bytes() for name in ("chain.pem", "key.pem"))
    with pytest.raises(SigningError, match="cannot be signed"):
        Signer(chain, key, f"http://127.0.0.1:{free_port()}")


@pytest.mark.parametrize(
    ("chain", "key", "reason"),
    [
        pytest.param("chain.pem", "none.pem", "GAN_C2PA_KEY: cannot be read", id="no-such-file"),
        pytest.param(
            "chain.pem", "", "GAN_C2PA_KEY is not set", id="no-key", marks=pytest.mark.slow
        ),
        pytest.param(
            "",
            "key.pem",
            "GAN_C2PA_CERTIFICATE is not set",
            id="no-certificate",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_half_of_the_settings_ends_the_start_with_one_line(
    generator_folder: Path, folder: Path, chain: str, key: str, reason: str
) -> None:
    given = {"GAN_C2PA_CERTIFICATE": chain, "GAN_C2PA_KEY": key}
    paths = {name: str(folder / file) for name, file in given.items() if file}
    lines = start_and_fail(GAN_GENERATOR=str(generator_folder), **paths)
    (why,) = [line for line in lines if "cannot start" in line]
    assert reason in why
    assert "key.pem" not in why


def test_without_the_extra_the_error_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.responses.c2pa.HAS_C2PA", False)
    with pytest.raises(SigningError, match=re.escape(install("c2pa"))):
        Signer(b"", b"")


def test_library_is_not_loaded_where_nothing_signs() -> None:
    code = (
        "import sys, app.server.loading; from app.settings import Settings;"
        "print(app.server.loading.file_signer(Settings()), 'c2pa' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "None False"
