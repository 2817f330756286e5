"""Settings of a deployment, read once from GAN_* variables (HOST and PORT are understood too).

All there is to say of a setting is said here; `ganserve serve --help` prints it.
"""

import difflib
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    AliasChoices,
    BeforeValidator,
    Field,
    SecretStr,
    ValidationError,
    ValidationInfo,
    field_validator,
)
from pydantic_core import PydanticCustomError
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from app.monitoring.logs import LogFormat
from model.devices import NO_MPS, Precision
from model.generators import DEFAULT

Robots = Literal["page", "none", "all"]
AUTO = "auto"  # among the classifiers

PREFIX = "GAN_"
FILE = "_FILE"
SECRETS = ("api_key_hashes", "admin_key_hashes", "url_secrets")  # may come in a file too


def _fitting(pattern: str, wanted: str) -> AfterValidator:
    """Refuses text that does not fit a pattern, in words: few operators read patterns."""
    whole = re.compile(pattern)

    def fitting(text: str) -> str:
        if not whole.fullmatch(text):
            raise PydanticCustomError("unfit", "{wanted} wanted", {"wanted": wanted})
        return text

    return AfterValidator(fitting)


Text = Annotated[str, Field(max_length=4096), _fitting(r"(?s).*\S.*", "something is")]
Device = Annotated[
    str,
    _fitting("(?!mps).*", f"{NO_MPS}; cpu is"),
    _fitting(
        r"auto|cpu|cuda|cuda:\d{1,3}(,cuda:\d{1,3}){0,63}",
        "auto, cpu, cuda, cuda:0 or several such as cuda:0,cuda:1 is",
    ),
]
Sha256 = Annotated[
    str, _fitting(r"[0-9a-fA-F]{64}", "a SHA-256 of 64 hex digits, as new-key prints it, is")
]
WebAddress = Annotated[
    str, _fitting(r"(https?://[!-~]{1,2000})?", "a URL that begins with http:// or https:// is")
]
RootPath = Annotated[
    str,
    _fitting(
        r"((/[A-Za-z0-9_~-][A-Za-z0-9._~-]*){1,8})?",
        "a path such as /gan, with no slash at its end, is",
    ),
]
ORIGIN = re.compile(r"(https?)://([a-z0-9.-]{1,255}|\[[0-9a-f:.]{2,45}\])(:[0-9]{1,5})?")
OWN_PORTS = {"http": ":80", "https": ":443"}  # which no browser names
Secret = Annotated[SecretStr, Field(min_length=32, max_length=512)]


def _words(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    words = value.replace(",", " ").split()
    if not words:  # an empty file must not open a host
        raise PydanticCustomError("empty", "set, but empty; unset it if none is meant")
    return words


def _words_or_none(value: Any) -> Any:
    return value.replace(",", " ").split() if isinstance(value, str) else value


def _origins(value: Any) -> Any:
    """Takes origins apart, and writes them as browsers do; none where the text is empty."""
    value = _words_or_none(value)
    if not isinstance(value, list | tuple) or list(value) == ["*"]:
        return value
    found = []
    for text in map(str, value):
        parts = ORIGIN.fullmatch(text.lower())
        if not parts:
            message = "* alone, or origins such as https://site.example, without a path, are wanted"
            raise PydanticCustomError("unfit", message)
        scheme, host, port = parts.groups()
        found.append(f"{scheme}://{host}{'' if port == OWN_PORTS[scheme] else port or ''}")
    return found


Origins = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_origins)]
Words = (NoDecode, BeforeValidator(_words))  # with commas or white space between
WordsOrNone = (NoDecode, BeforeValidator(_words_or_none))


class Settings(BaseSettings):
    """What an operator decides; every field has a bound and a default that works."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, extra="ignore", frozen=True, hide_input_in_errors=True
    )

    generator: Text = Field(
        DEFAULT,
        description="name in model/zoo, path of a model folder, or"
        " hf:owner/name@revision at the Hugging Face Hub, the revision a commit's hash or a tag",
    )
    models: Annotated[tuple[Text, ...], *Words] = Field(
        ("mnist",),
        max_length=64,
        description="further generators, as names, paths or hf: too; each by its own name;"
        " none where only the generator is set",
    )
    former: Annotated[tuple[Text, ...], *Words] = Field(
        (),
        max_length=64,
        description="generators that others have replaced, named in the same ways: they answer to"
        " name@hash alone",
    )
    classifiers: Annotated[tuple[Text, ...], *WordsOrNone] = Field(
        (AUTO,),
        max_length=64,
        description="what /classify names pictures by, as names of those that ship or paths;"
        " auto: those that ship and have learnt from the data of a generator; empty: /classify is"
        " off",
    )
    keep_reloaded: int = Field(
        1, ge=0, le=64, description="replaced by a reload and kept available, the latest"
    )
    device: Device = Field(
        "auto",
        description="cpu, cuda, cuda:N, or several: cuda:0,cuda:1; auto is CUDA where there is "
        "one; Apple's mps is not supported",
    )
    workers: int = Field(1, ge=1, le=256, description="processes a device, behind one port")
    precision: Precision = Field(
        "fp32", description="bf16: faster where the processor or GPU has it; other bytes"
    )
    threads: int = Field(
        0, ge=0, le=1024, description="of one batch on the CPU; 0: one a core, shared by workers"
    )
    host: Text = Field(
        "127.0.0.1",
        validation_alias=AliasChoices("GAN_HOST", "HOST"),
        description="address to bind",
    )
    port: int = Field(
        8000,
        ge=1,
        le=65535,
        validation_alias=AliasChoices("GAN_PORT", "PORT"),
        description="port to bind",
    )
    admin_port: int = Field(
        0,
        ge=0,
        le=65535,
        description="of its own for /metrics, /docs and /admin, one more for each further worker;"
        " 0: they are on the other port",
    )
    admin_host: str = Field(
        "", max_length=4096, description="address to bind for it; none: as GAN_HOST"
    )
    max_batch: int = Field(64, ge=1, le=4096, description="pictures in one device batch")
    max_queue: int = Field(
        1024, ge=1, le=1_000_000, description="pictures accepted, unanswered; above it 429"
    )
    max_wait: float = Field(
        10.0, gt=0, le=3600, description="seconds until a request is begun; if more, 429"
    )
    cache_mib: int = Field(8, ge=0, le=65536, description="MiB of pictures kept for hot seeds")

    max_pictures: int = Field(256, ge=1, le=4096, description="pictures on one sheet")
    max_bulk: int = Field(
        10_000, ge=1, le=100_000, description="pictures in one answer that is sent as it is made"
    )
    max_frames: int = Field(256, ge=2, le=4096, description="frames of one interpolation")
    max_keys: int = Field(
        32, ge=2, le=256, description="seeds that one interpolation leads through, or one mix has"
    )
    max_side: int = Field(
        64,
        ge=7,  # what a direction's strip has by itself
        le=256,
        description="pictures on one side of a plane, or in the strip of a direction",
    )
    max_edits: int = Field(
        64, ge=1, le=100, description="steps in one edit, of 15 characters at most each"
    )
    max_text: int = Field(256, ge=1, le=4096, description="characters of a text that is a seed")
    max_pixels: int = Field(
        2**24, ge=1, le=2**30, description="pixels of all pictures in one answer; more is refused"
    )
    max_memory_mib: int = Field(
        512,
        ge=64,
        le=2**20,
        description="MiB that all requests together may take for bodies, pixels and files, beside"
        " what the service itself takes; above it 429",
    )
    max_body_kib: int = Field(
        1024, ge=1, le=2**20, description="KiB of a request's body; above it 413"
    )
    max_head_kib: int = Field(
        16, ge=1, le=1024, description="KiB of a request's line and headers; above it 431"
    )
    log_format: LogFormat = Field("text", description="of the log on stderr: json for machines")
    access_log: bool = Field(
        False, description="whether every answer is a line of the log, without its query"
    )
    traces: bool = Field(
        False,
        description="whether every request is a span of OpenTelemetry (extra otel), sent to where"
        " OTEL_EXPORTER_OTLP_ENDPOINT says",
    )
    receipt_seconds: float = Field(
        20.0,
        gt=0,
        le=3600,
        description="seconds from a request's first byte, or a connection, to its last; then 408",
    )
    stalled_seconds: float = Field(
        60.0,
        gt=0,
        le=3600,
        description="seconds for which a client may take less than 1 KiB a second of its answer;"
        " then it is given up",
    )
    keep_alive_seconds: int = Field(
        5,
        ge=1,
        le=3600,
        description="seconds that a connection is kept without a request; behind a load balancer,"
        " more than it keeps its own",
    )
    drain_seconds: float = Field(
        3.0,
        ge=0,
        le=600,
        description="seconds from SIGTERM, still serving but not ready, to the last new connection:"
        " three checks of the load balancer",
    )
    grace_seconds: float = Field(
        25.0,
        gt=0,
        le=3600,
        validate_default=True,
        description="seconds from SIGTERM to the end at the latest; what is not answered is cut",
    )
    hang_seconds: float = Field(
        60.0,
        gt=0,
        le=3600,
        description="seconds that one batch may take; then the process ends itself",
    )
    max_streams: int = Field(
        16, ge=1, le=4096, description="answers in many parts on their way at once; above it 429"
    )
    recipes: bool = Field(
        True, description="whether a file says of which seed, generator and parameters it is"
    )
    c2pa_certificate: str = Field(
        "",
        max_length=4096,
        description="path of a PEM file, a certificate and those that vouch for it: with it and its"
        " key every picture file is signed by C2PA",
    )
    c2pa_key: str = Field(
        "", max_length=4096, repr=False, description="path of its private key's PEM file"
    )
    c2pa_timestamp_url: WebAddress = Field(
        "",
        description="of an RFC 3161 host that stamps the time, asked anew for every signature",
    )
    projection: bool = Field(
        False,
        description="whether /project looks for the latent nearest to a picture that somebody"
        " sends, one at a time: needs PyTorch, and keeps a core busy meanwhile",
    )
    cors_origin: Origins = Field(
        ("*",),
        max_length=64,
        description="whose pages may read pictures by script: * for all, origins, or empty",
    )
    frame_origin: Origins = Field(
        (),
        max_length=64,
        description="whose pages may hold ours in a frame: * for all, or origins; its own always",
    )
    root_path: RootPath = Field(
        "",
        max_length=256,
        description="under which a proxy shows the service, such as /gan; before every path in its"
        " answers",
    )
    robots: Robots = Field(
        "page",
        description="what /robots.txt leaves to crawlers: the page, nothing, or all, pictures too",
    )

    api_key_hashes: Annotated[tuple[Sha256, ...], *Words] = Field(
        (),
        max_length=100,
        repr=False,
        description="SHA-256 of each API key that opens the host, as `ganserve new-key` prints"
        " it; none: no key is asked for. GAN_API_KEY_HASHES_FILE may name a file of them",
    )

    admin_key_hashes: Annotated[tuple[Sha256, ...], *Words] = Field(
        (),
        max_length=100,
        repr=False,
        description="SHA-256 of each key that opens /admin; none: /admin is closed."
        " GAN_ADMIN_KEY_HASHES_FILE may name a file of them",
    )

    url_secrets: Annotated[tuple[Secret, ...], *Words] = Field(
        (),
        max_length=2,
        repr=False,
        description="secrets of signed URLs, 32 characters or more: the first signs, both are"
        " trusted; none: URLs need no signature. GAN_URL_SECRETS_FILE may name a file of them",
    )

    rate_limit: float = Field(
        0.0,
        ge=0,
        le=1_000_000,
        description="requests a second of each API key, else of each address; above it 429;"
        " 0: no limit",
    )
    rate_burst: int = Field(
        100, ge=1, le=1_000_000, description="requests at once before the rate limit counts"
    )

    @field_validator("admin_port")
    @classmethod
    def _another_port(cls, port: int, info: ValidationInfo) -> int:
        if port == info.data.get("port"):
            raise PydanticCustomError("same_port", "another port than GAN_PORT is wanted")
        return port

    @field_validator("grace_seconds")
    @classmethod
    def _longer_than_the_drain(cls, seconds: float, info: ValidationInfo) -> float:
        drain: float = info.data.get("drain_seconds", 0.0)
        if seconds <= drain:
            message = "more than GAN_DRAIN_SECONDS ({drain}) is wanted"
            raise PydanticCustomError("too_short", message, {"drain": f"{drain:g}"})
        return seconds

    @property
    def generators(self) -> list[str]:
        """Every generator as it is named here, the default first. One that is set is alone, unless
        others are set too.
        """
        chosen = self.model_fields_set
        beside = self.models if "models" in chosen or "generator" not in chosen else ()
        return list(dict.fromkeys((self.generator, *beside)))


class SettingsError(Exception):
    """What is wrong with the settings, one line a mistake."""

    def __init__(self, mistakes: list[str]) -> None:
        super().__init__("; ".join(mistakes))
        self.mistakes = mistakes


def read_settings() -> Settings:
    """Reads the settings from the environment.

    Raises:
        SettingsError: a value is not allowed, a variable not known, or a file not readable.
    """
    mistakes = [_unknown(variable) for variable in _strangers(os.environ)]
    secrets: dict[str, Any] = {}
    for name in SECRETS:
        (variable,) = variables(name)
        if (path := os.environ.get(variable + FILE)) is None:
            continue
        if variable in os.environ:
            mistakes.append(f"setting {variable}{FILE}: {variable} is set too; which is right?")
        try:
            secrets[name] = Path(path).read_text("utf-8")
        except (OSError, ValueError) as error:
            reason = (isinstance(error, OSError) and error.strerror) or "not a text file"
            mistakes.append(f"setting {variable}{FILE}: {reason}")
    try:
        settings = Settings(**secrets)
    except ValidationError as error:
        for entry in error.errors(include_url=False, include_input=False):
            name = str(entry["loc"][0]).lower().removeprefix(PREFIX.lower())
            mistakes.append(f"setting {given_by(name)}: {_reason(name, entry['msg'])}")
    if mistakes:
        raise SettingsError(mistakes)
    return settings


def known_variables() -> list[str]:
    """Lists every environment variable that is understood."""
    plain = [variable for name in Settings.model_fields for variable in variables(name)]
    return plain + [variable + FILE for name in SECRETS for variable in variables(name)]


def _reason(name: str, message: str) -> str:
    """Says what is wrong with a value, where more is known than that it does not fit."""
    variable = given_by(name)
    value = os.environ.get(variable)
    if value is None or name in SECRETS:
        return message
    if not value.strip():
        (default,) = [row[1] for row in described() if variable in row[0].split(" or ")]
        return f"set, but empty; unset it for {default}"
    if NEIGHBOURS_PORT.match(value):
        neighbour = variable.removesuffix("_PORT").lower().replace("_", "-")
        return (
            f"'{ascii(value)[1:-1][:80]}' is what Kubernetes says of a service named {neighbour}, "
            f"and Docker of a linked container; set {variable} for this one, or rename the other"
        )
    return message


# what Kubernetes tells every container of its neighbours, and Docker of those that are linked: a
# service named gan-web is GAN_WEB_SERVICE_HOST, GAN_WEB_PORT=tcp://... and more
NEIGHBOURS_PORT = re.compile(r"(tcp|udp|sctp)://")
OF_NEIGHBOUR = re.compile(r"SERVICE_(HOST|PORT(_\w+)?)|PORT(_\d+_(TCP|UDP|SCTP)(_\w+)?)?")


def _strangers(environment: Mapping[str, str]) -> list[str]:
    neighbours = {
        name.removesuffix("SERVICE_HOST") for name in environment if name.endswith("_SERVICE_HOST")
    }
    neighbours |= {
        name.removesuffix("PORT")
        for name, value in environment.items()
        if name.endswith("_PORT") and NEIGHBOURS_PORT.match(value)
    }

    def is_of_neighbour(name: str) -> bool:
        return any(
            name.startswith(start) and OF_NEIGHBOUR.fullmatch(name.removeprefix(start))
            for start in neighbours
        )

    ours = [name for name in environment if name.upper().startswith(PREFIX)]
    known = known_variables()
    return [name for name in ours if name.upper() not in known and not is_of_neighbour(name)]


def _unknown(variable: str) -> str:
    (nearest,) = difflib.get_close_matches(variable.upper(), known_variables(), n=1, cutoff=0)
    return f"setting {ascii(variable)[1:-1][:80]}: there is none of this name; nearest: {nearest}"


def variables(name: str) -> list[str]:
    """Returns the environment variables that give a setting."""
    alias = Settings.model_fields[name].validation_alias
    if isinstance(alias, AliasChoices):
        return [str(choice) for choice in alias.choices]
    return [PREFIX + name.upper()]


def given_by(name: str) -> str:
    """Returns the environment variable that has given a setting; the first that can, where none
    has.
    """
    known = variables(name)
    told = {variable.upper() for variable in os.environ}
    return next((variable for variable in known if variable in told), known[0])


def described() -> list[tuple[str, str, str, str]]:
    """Lists each setting's variables, default, bounds and meaning."""
    schemas = Settings.model_json_schema(by_alias=False)["properties"]
    return [
        (
            " or ".join(variables(name)),
            _default(schema["default"]),
            _bounds(schema),
            schema["description"],
        )
        for name, schema in schemas.items()
    ]


def _default(value: Any) -> str:
    if isinstance(value, list):
        return ",".join(value) or "none"
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) else str(value) or "none"


def _bounds(schema: dict[str, Any]) -> str:
    if "enum" in schema:
        return ", ".join(schema["enum"])
    if "exclusiveMinimum" in schema:
        return f"above {schema['exclusiveMinimum']:,g}, to {schema['maximum']:,g}"
    if "maxItems" in schema:
        return f"up to {schema['maxItems']}"
    if "minimum" in schema:
        return f"{schema['minimum']:,} to {schema['maximum']:,}"
    return ""
