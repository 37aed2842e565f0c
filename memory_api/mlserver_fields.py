"""MLServer's own fields of model-settings.json, and what becomes of them in a memory.

They are those of `ModelSettings` and `ModelParameters` in MLServer's mlserver/settings.py, but
for the ones that make the memory: name, implementation, parameters.version, parameters.extra.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from memory_api.errors import SettingsError
from memory_api.settings_section import Section, Warn


@dataclass(frozen=True, slots=True)
class NoEffect:
    """A field of this type, which a memory has no use for. Its default asks for nothing."""

    kind: type
    default: object
    why: str


METADATA = "the metadata are the memory's own"
BATCHING = "requests of different conversations are never joined"
WORKERS = "a memory runs in the process of its server"

MODEL_FIELDS: Mapping[str, NoEffect] = {
    "platform": NoEffect(str, "", METADATA),
    "versions": NoEffect(list, [], METADATA),
    "inputs": NoEffect(list, [], METADATA),
    "outputs": NoEffect(list, [], METADATA),
    # Seldon's agent writes 0 into every file.
    "parallel_workers": NoEffect(int, 0, WORKERS),
    "warm_workers": NoEffect(bool, False, WORKERS),
    "max_batch_size": NoEffect(int, 0, BATCHING),
    "max_batch_time": NoEffect(float, 0.0, BATCHING),
    "cache_enabled": NoEffect(bool, False, "a reply from a cache would store nothing"),
}
PARAMETER_FIELDS: Mapping[str, NoEffect] = {
    "inference_pool_gid": NoEffect(str, None, WORKERS),
    "autogenerate_inference_pool_gid": NoEffect(bool, False, WORKERS),
    "format": NoEffect(str, "", "a memory has no model file"),
}
# MLServer and Seldon's agent write it, always: the folder of the file.
URI = "uri"
# What a memory reads and writes anyway.
CONTENT_TYPE = "content_type"
REFUSED_PARAMETERS = ("environment_path", "environment_tarball")

ALL_PARAMETERS = (URI, *PARAMETER_FIELDS, CONTENT_TYPE, *REFUSED_PARAMETERS)


def take_model_fields(top: Section, warn: Warn) -> None:
    """Remove MLServer's fields from the file, and warn of those that ask for something."""
    _take(top, MODEL_FIELDS, warn)


def take_parameter_fields(parameters: Section, warn: Warn) -> None:
    """The same for `parameters`. Raises SettingsError for one that cannot be done without."""
    _take(parameters, PARAMETER_FIELDS, warn)
    parameters.take(URI, None, str)
    content_type = parameters.take(CONTENT_TYPE, "str", str)
    if content_type != "str":
        raise parameters.error(CONTENT_TYPE, content_type, "'str', or be left out")
    for field in REFUSED_PARAMETERS:
        if parameters.take(field, None, str) is not None:
            raise SettingsError(
                f"{parameters.where}: {parameters.path_of(field)} is not supported, since"
                f" {WORKERS}; remove it, and install what is needed beside convstore"
            )


def _take(section: Section, fields: Mapping[str, NoEffect], warn: Warn) -> None:
    for name, field in fields.items():
        if section.take(name, field.default, field.kind) != field.default:
            warn(f"{section.where}: {section.path_of(name)} has no effect: {field.why}")
