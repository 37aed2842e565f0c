"""The manifests as documents, and what each kind of document must be.

For Seldon's kinds there is a shape of our own: the fields that are used here, and no other.
Whoever has Seldon's definitions (CRDs) names their folder in SELDON_CRDS; then they count too.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate  # type: ignore[import-untyped]
import yaml

from testing.processes import ROOT

Document = dict[str, Any]
KUBERNETES = "1.37"
GROUP = "mlops.seldon.io/v1alpha1"
TEXT = {"type": "string", "minLength": 1}
TEXTS = {"type": "array", "items": TEXT, "minItems": 1}
POD = {"type": "object"}  # Kubernetes' own schema has its say below


def strict(**properties: Any) -> Document:
    """An object of these fields, each of which must be there."""
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


STEP = strict(name=TEXT, inputs=TEXTS)
SHAPES = {
    "Model": strict(storageUri={"type": "string", "pattern": "^gs://"}, requirements=TEXTS),
    "Pipeline": strict(steps={"type": "array", "items": STEP}, output=strict(steps=TEXTS)),
    "Server": strict(
        serverConfig=TEXT, capabilities=TEXTS, replicas={"type": "integer"}, podSpec=POD
    ),
}
OURS = {
    kind: strict(
        apiVersion={"const": GROUP}, kind={"const": kind}, metadata=strict(name=TEXT), spec=spec
    )
    for kind, spec in SHAPES.items()
}


def documents(path: Path) -> list[Document]:
    return [document for document in yaml.safe_load_all(path.read_text()) if document]


def seldon() -> list[Document]:
    """All documents of deploy/seldon."""
    return [
        each for path in sorted((ROOT / "deploy/seldon").glob("*.yaml")) for each in documents(path)
    ]


def definitions(folder: str) -> dict[str, Document]:
    """The schemas of the definitions in a folder, by kind, none with room for unknown fields."""
    specs = [each["spec"] for path in Path(folder).glob("*.yaml") for each in documents(path)]
    return {
        spec["names"]["kind"]: closed(spec["versions"][0]["schema"]["openAPIV3Schema"])
        for spec in specs
    }


def closed(schema: Any) -> Any:
    if isinstance(schema, list):
        return [closed(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    ends = {} if "properties" not in schema else {"additionalProperties": False}
    return {**ends, **{name: closed(value) for name, value in schema.items()}}


# Whose schemas judge Seldon's kinds.
JUDGES = {"ours": OURS}
if "SELDON_CRDS" in os.environ:
    JUDGES["Seldon's"] = definitions(os.environ["SELDON_CRDS"])


def validate(document: Document, seldons: dict[str, Document]) -> None:
    """Raises jsonschema.ValidationError, also for a field that does not exist."""
    if document["apiVersion"] != GROUP:
        kubernetes_validate.validate(document, KUBERNETES, strict=True)
        return
    jsonschema.validate(document, seldons[document["kind"]])
    if document["kind"] == "Server":
        pod = {"apiVersion": "v1", "kind": "Pod", "spec": document["spec"]["podSpec"]}
        kubernetes_validate.validate(pod, KUBERNETES, strict=True)


def name(document: Document) -> str:
    return f"{document['kind']} {document['metadata']['name']}"
