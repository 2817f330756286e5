"""Generator files in, loaded and checked generators out.

name -> folder -> checked file -> sampler on its device -> warm -> Generation
"""

import importlib
import logging
import re
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from app.engine.batcher import Batcher
from app.engine.loaded_classifier import Classification, Classifiers
from app.engine.loaded_generator import Generation, Generators, PictureCache, gather_rows
from app.settings import AUTO, Settings
from model.classification.classifier_file import read_classifier
from model.classification.classifiers import classifier_folder, shipped_classifiers
from model.classification.onnx_classifier import OnnxClassifier, check_classifier
from model.devices import DeviceError, usable_cores
from model.encoding.marking import SigningError
from model.encoding.png import encode_pngs
from model.generator_file import (
    GeneratorConfig,
    GeneratorFileError,
    read_generator_file,
    read_history,
)
from model.generators import generator_folder
from model.samplers.sampler import (
    Sampler,
    UnequalBytesError,
    WrongPictureError,
    check_bytes,
    check_golden,
    load_sampler,
)
from model.upscaling.runtimes import check_upscaler, load_upscale

if TYPE_CHECKING:
    from app.responses.c2pa import Signer

log = logging.getLogger("ganserve")

START_ERRORS = (GeneratorFileError, DeviceError, UnequalBytesError, WrongPictureError, SigningError)
CHECKED_BATCHES = (1, 2, 3, 4, 5, 7, 8, 13, 16, 64)
CHECKED_UPSCALES = (2, 3, 4, 9)
CLASSIFIER_NAME = re.compile("[a-z0-9][a-z0-9_-]{0,63}")


def load_all(settings: Settings, known: Sequence[Generation] = ()) -> Generators:
    """Loads and warms up every generator of the settings; takes those of the `known` that have not
    changed. None that is new accepts anything yet.

    Raises:
        one of START_ERRORS: something cannot be served.
    """
    signer = file_signer(settings)

    def loaded(names: Sequence[str]) -> list[Generation]:
        return [load(generator_folder(name), settings, signer, known) for name in names]

    generators = Generators(loaded(settings.generators), loaded(settings.former))
    check_names(generators)
    return generators


def load_classifiers(settings: Settings, generators: Sequence[Generation]) -> Classifiers:
    """Loads and warms up every classifier of the settings; those that ship are taken for the data
    of these generators. None accepts anything yet.

    Raises:
        one of START_ERRORS: something cannot be served.
    """
    files = []
    for name in settings.classifiers:
        if name == AUTO:
            files += shipped_classifiers([one.config.data.sha256 for one in generators])
        else:
            files.append(read_classifier(classifier_folder(name)))
    threads, loaded = settings.threads or usable_cores(), dict[str, Classification]()
    for file in {file.id: file for file in files}.values():
        if not file.config.classes:
            raise GeneratorFileError(f"GAN_CLASSIFIERS: {file.id} has no classes to name")
        if not CLASSIFIER_NAME.fullmatch(file.name):
            raise GeneratorFileError(
                f"GAN_CLASSIFIERS: a classifier is called by up to 64 of a-z, 0-9, - and _; its "
                f"folder's name, {file.name[:64]!a}, has others"
            )
        if file.name in loaded:
            raise GeneratorFileError(f"GAN_CLASSIFIERS: two classifiers are named {file.name}")
        classify = OnnxClassifier(file, threads)
        sizes = [size for size in CHECKED_BATCHES if size <= settings.max_batch]
        check_classifier(classify, file, sizes)
        batcher = Batcher(
            classify,
            encode_pngs,  # which no request asks for
            max_batch=settings.max_batch,
            max_queue=settings.max_queue,
            max_wait=settings.max_wait,
        )
        loaded[file.name] = Classification(file, batcher)
    return Classifiers(list(loaded.values()))


def file_signer(settings: Settings) -> "Signer | None":
    """Returns what signs the files of this host, if anything does.

    Raises:
        SigningError: one setting lacks the other, or no valid signature comes of them.
    """
    paths = {
        "GAN_C2PA_CERTIFICATE": settings.c2pa_certificate,
        "GAN_C2PA_KEY": settings.c2pa_key,
    }
    if not any((*paths.values(), settings.c2pa_timestamp_url)):
        return None
    pems = []
    for name, path in paths.items():
        if not path:
            raise SigningError(f"{name} is not set; signing needs a certificate and its key")
        try:
            pems.append(Path(path).read_bytes())
        except OSError as error:
            raise SigningError(f"{name}: cannot be read ({error.strerror})") from None
    certificate, key = pems
    # imported by name: the library costs time and memory, and few hosts sign
    signing = importlib.import_module("..responses.c2pa", __package__)
    signer: Signer = signing.Signer(certificate, key, settings.c2pa_timestamp_url or None)
    return signer


def load(
    folder: Path,
    settings: Settings,
    signer: "Signer | None" = None,
    known: Sequence[Generation] = (),
) -> Generation:
    """Loads a model folder, checked, on its device and warm, or returns the one of the `known`
    that it is; its files signed, if anything signs.

    Raises:
        one of START_ERRORS: it cannot be served.
    """
    file = read_generator_file(folder)
    for one in known:
        if one.config == file.config:
            return one
        if one.id == file.config.id and not _draws_the_same(one.config, file.config):
            raise GeneratorFileError(
                f"{folder}: other pictures than those of {one.id}, which is served, by the same "
                "weights; a name@hash means one picture a seed for ever"
            )
    threads = settings.threads or usable_cores()
    sampler = load_sampler(file, settings.device, settings.precision, threads)
    if not check_golden(sampler, file, settings.precision):
        log.warning("%s remembers no pictures, so none was compared", file.config.id)
    warm_up(sampler, settings.max_batch)
    upscale = None
    if file.upscaler is not None:
        upscale = load_upscale(file.upscaler, settings.device, threads)
        check_upscaler(upscale, file.upscaler, CHECKED_UPSCALES)
    encode = signer.encode_pngs if signer else encode_pngs
    batcher = Batcher(
        sampler,
        encode,
        partial(gather_rows, config=file.config),
        max_batch=settings.max_batch,
        max_queue=settings.max_queue,
        max_wait=settings.max_wait,
        upscale=upscale,
    )
    cache = PictureCache(settings.cache_mib * 2**20)
    return Generation(
        file,
        batcher,
        cache,
        sampler=str(sampler),
        precision=file.config.served_in(settings.precision),
        recipes_in_files=settings.recipes,
        encode=encode,
        sign=signer.sign if signer else None,
        signed_by=signer.id if signer else "",
        device_memory=getattr(sampler, "device_memory", None),
        history=read_history(folder),
    )


def _draws_the_same(one: GeneratorConfig, other: GeneratorConfig) -> bool:
    fields = ("network", "prior", "crop", "classes", "directions", "direction_range")
    return all(getattr(one, field) == getattr(other, field) for field in fields)


def check_names(generators: Generators) -> None:
    """Raises GeneratorFileError where two generators have one name; of those that others have
    replaced, one name and hash.
    """
    names = [one.name for one in generators.loaded] + [one.full_id for one in generators.all]
    for name in names:
        if names.count(name) > 1:
            raise GeneratorFileError(
                f"two generators are named {name}; export one of them again with another --name, "
                "or leave one out of GAN_GENERATOR and GAN_MODELS"
            )


def warm_up(sampler: Sampler, max_batch: int) -> None:
    """Generates and encodes, alone and in batches: no client pays for a library's first call.

    Raises:
        UnequalBytesError: a picture's bytes depend on its batch.
    """
    sizes = [size for size in CHECKED_BATCHES if size <= max_batch]
    check_bytes(sampler, [*sizes, min(max_batch, CHECKED_BATCHES[-1])])
    encode_pngs(sampler(np.zeros((1, sampler.input_dim), np.float32)))
