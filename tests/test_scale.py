"""The examples for clusters are what SLURM, Kubernetes and KubeRay take, as far as can be told without them.

Kubernetes' part is held to its own schemas, as the package `kubernetes-validate` has them, strictly: an unknown field
is an error. KubeRay's custom resource is in no package: its definition is written down below, all fields of RayJob of
ray.io/v1 with their types, as KubeRay 1.3 and 1.5 have them; pod templates within it are Kubernetes' own. `sbatch` has
no schema: its options are those of a list. Without the package, a form of what the examples use is all that they are
held to.
"""

from __future__ import annotations

import copy
import re
import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest
import typer.main

from moksori.cli.app import app

EXAMPLES = Path(__file__).parents[1] / "docs" / "scale"
BATCHES = sorted(EXAMPLES.glob("*.sbatch"))
MANIFESTS = sorted(EXAMPLES.glob("*.yaml"))

NUMBER = r"[1-9]\d*"
SBATCH = {
    "job-name": r"[\w-]+",
    "nodes": NUMBER,
    "ntasks-per-node": NUMBER,
    "gpus-per-node": NUMBER,
    "cpus-per-task": NUMBER,
    "time": r"(\d+-)?\d{1,2}:[0-5]\d:[0-5]\d",
    "signal": r"(B:|R:)?[A-Z]+[0-9]*@\d+",
    "requeue": "",
    "exclusive": "",
    "open-mode": "append|truncate",
    "output": r"[\w.%-]+",
}
SRUN = {"nodes", "ntasks", "nodelist", "exclude", "overlap"}
TORCHRUN = {"nnodes", "nproc-per-node", "max-restarts", "rdzv-backend", "rdzv-endpoint", "rdzv-id"}

# Fields of Kubernetes: a text is a pattern of a text, a type is itself, a list is of many, `...` of any name.
QUANTITY = r"(\d+(\.\d+)?|\.\d+)([KMGTPE]i|[numkMGTPE])?"
NAME = r"[a-z0-9]([a-z0-9-]*[a-z0-9])?"
RESOURCES = {"limits": {...: QUANTITY}, "requests": {...: QUANTITY}}
POD: dict[Any, Any] = {
    "spec": {
        "subdomain": NAME,
        "restartPolicy": "Always|OnFailure|Never",
        "containers": [
            {
                "name": NAME,
                "image": r"[\w./-]+:[\w.-]+",
                "command": [".+"],
                "args": [".+"],
                "envFrom": [{"secretRef": {"name": NAME}}],
                "resources": RESOURCES,
                "volumeMounts": [{"name": NAME, "mountPath": "/.*"}],
            }
        ],
        "volumes": [{"name": NAME, "persistentVolumeClaim": {"claimName": NAME}}],
    }
}
HEAD = {"rayStartParams": {...: ".*"}, "template": POD}
WORKERS = HEAD | {"groupName": NAME, "replicas": int, "minReplicas": int, "maxReplicas": int}
COMMON = {"apiVersion": ".+", "kind": ".+", "metadata": {"name": NAME}}
KINDS: dict[tuple[str, str], dict[Any, Any]] = {
    ("ray.io/v1", "RayJob"): {
        "entrypoint": ".+",
        "shutdownAfterJobFinishes": bool,
        "ttlSecondsAfterFinished": int,
        "rayClusterSpec": {"rayVersion": r"\d+\.\d+\.\d+", "headGroupSpec": HEAD, "workerGroupSpecs": [WORKERS]},
    },
    ("v1", "Service"): {"clusterIP": "None", "selector": {...: ".+"}},
    ("batch/v1", "Job"): {
        "completions": int,
        "parallelism": int,
        "completionMode": "Indexed|NonIndexed",
        "backoffLimit": int,
        "template": POD,
    },
}
REQUIRED = {"containers", "name", "image", "headGroupSpec", "groupName", "template", "rayClusterSpec", "entrypoint"}


def check(value: Any, form: Any, where: str = "") -> None:
    """Hold a value to a form."""
    if isinstance(form, dict):
        assert isinstance(value, dict), f"{where}: expected fields, not {value!r}"
        for key, inner in value.items():
            assert key in form or ... in form, f"{where}: no field {key}"
            check(inner, form[key] if key in form else form[...], f"{where}.{key}")
        missing = (REQUIRED & form.keys()) - value.keys()
        assert not missing, f"{where}: {missing} must be there"
    elif isinstance(form, list):
        assert isinstance(value, list) and value, f"{where}: expected a list, not {value!r}"
        for number, inner in enumerate(value):
            check(inner, form[0], f"{where}[{number}]")
    elif isinstance(form, type):
        assert type(value) is form, f"{where}: expected {form.__name__}, not {value!r}"
    else:
        text = str(value) if form is QUANTITY and type(value) is int else value
        assert isinstance(text, str) and re.fullmatch(form, text), f"{where}: {value!r} is not like {form}"


K8S_VERSIONS = ("1.25", "1.37")  # the oldest and the newest that the package knows


def fields(*required: str, **known: Any) -> dict[str, Any]:
    """A JSON Schema of a table that has these fields and no others."""
    return {"type": "object", "properties": known, "required": list(required), "additionalProperties": False}


def texts(**more: Any) -> dict[str, Any]:
    return {"type": "object", "additionalProperties": {"type": "string"}} | more


TEXT, FLAG = {"type": "string"}, {"type": "boolean"}
INT32 = {"type": "integer", "minimum": -(2**31), "maximum": 2**31 - 1}  # `format: int32`
KUBERNETES: dict[str, Any] = {"type": ["object", "array"]}  # held to the schemas of Kubernetes
MANAGERS = {"enum": ["ray.io/kuberay-operator", "kueue.x-k8s.io/multikueue"]}
# The oldest and the newest KubeRay whose definitions were read: ray-operator/apis/ray/v1 of ray-project/kuberay, from
# whose types the custom resource definition rayjobs.ray.io is generated. A field without `omitempty` is required there.
KUBERAY_VERSIONS = ("1.3", "1.5")


def ray_groups(version: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """The schemas of a head group and of a group of workers."""
    group = {"rayStartParams": texts(), "template": {"type": "object"}}
    required = ("template", "rayStartParams")
    if version == "1.5":
        group |= {"resources": texts(), "labels": texts()}  # they took the place of parameters, and these are optional
        required = ("template",)
    head = fields(*required, **group, serviceType=TEXT, headService=KUBERNETES, enableIngress=FLAG)
    workers = fields(
        *required,
        *("groupName", "minReplicas", "maxReplicas"),
        **group,
        groupName=TEXT,
        suspend=FLAG,
        replicas=INT32,
        minReplicas=INT32,
        maxReplicas=INT32,
        numOfHosts=INT32,
        idleTimeoutSeconds=INT32,
        scaleStrategy=fields(workersToDelete={"type": "array", "items": TEXT}),
    )
    return head, workers


def ray_cluster(version: str) -> dict[str, Any]:
    """The schema of RayClusterSpec."""
    head, workers = ray_groups(version)
    credential = fields(value=TEXT, valueFrom=KUBERNETES)
    autoscaler = fields(
        resources=KUBERNETES,
        image=TEXT,
        imagePullPolicy=TEXT,
        env=KUBERNETES,
        envFrom=KUBERNETES,
        volumeMounts=KUBERNETES,
        securityContext=KUBERNETES,
        idleTimeoutSeconds=INT32,
        upscalingMode={"enum": ["Default", "Aggressive", "Conservative"]},
        **({"version": {"enum": ["v1", "v2"]}} if version == "1.5" else {}),
    )
    return fields(
        "headGroupSpec",
        headGroupSpec=head,
        workerGroupSpecs={"type": "array", "items": workers},
        rayVersion=TEXT,
        enableInTreeAutoscaling=FLAG,
        suspend=FLAG,
        managedBy=MANAGERS,
        headServiceAnnotations=texts(),
        gcsFaultToleranceOptions=fields(
            "redisAddress",
            redisAddress=TEXT,
            externalStorageNamespace=TEXT,
            redisUsername=credential,
            redisPassword=credential,
        ),
        autoscalerOptions=autoscaler,
    )


def ray_deletion(version: str) -> dict[str, Any]:
    """The field that says what is deleted after a job, which 1.4 renamed and 1.5 extended."""
    policy = {"enum": ["DeleteCluster", "DeleteWorkers", "DeleteSelf", "DeleteNone"]}
    if version == "1.3":
        return {"deletionPolicy": policy}
    when = {"jobStatus": {"enum": ["SUCCEEDED", "FAILED"]}, "jobDeploymentStatus": {"const": "Failed"}}
    condition = fields(**when, ttlSeconds=INT32 | {"minimum": 0}) | {"minProperties": 1, "maxProperties": 2}
    rules = {"type": "array", "minItems": 1, "items": fields("policy", "condition", policy=policy, condition=condition)}
    once = fields(policy=policy)
    return {"deletionStrategy": fields(onSuccess=once, onFailure=once, deletionRules=rules)}


def ray_job(version: str) -> dict[str, Any]:
    """The schema of RayJob of ray.io/v1, as KubeRay of one of `KUBERAY_VERSIONS` has it.

    Beyond the definition it takes only the ways to submit a job that the operator knows: a text in the definition.
    """
    modes = ["K8sJobMode", "HTTPMode", "InteractiveMode"] + ["SidecarMode"] * (version == "1.5")
    spec = fields(
        activeDeadlineSeconds=INT32,
        backoffLimit=INT32,
        rayClusterSpec=ray_cluster(version),
        submitterPodTemplate=KUBERNETES,
        metadata=texts(),
        clusterSelector=texts(),
        submitterConfig=fields(backoffLimit=INT32),
        managedBy=MANAGERS,
        **ray_deletion(version),
        entrypoint=TEXT,
        runtimeEnvYAML=TEXT,
        jobId=TEXT,
        submissionMode={"enum": modes},
        entrypointResources=TEXT,
        entrypointNumCpus={"type": "number"},
        entrypointNumGpus={"type": "number"},
        ttlSecondsAfterFinished=INT32,
        shutdownAfterJobFinishes=FLAG,
        suspend=FLAG,
    )
    kind = {"apiVersion": {"const": "ray.io/v1"}, "kind": {"const": "RayJob"}}
    return fields("apiVersion", "kind", "metadata", "spec", **kind, metadata=KUBERNETES, spec=spec)


def check_schema(document: dict[str, Any]) -> None:
    """Hold a document to its kind's whole schema.

    Raises:
        jsonschema.ValidationError: so it does not fit.
    """
    kubernetes = pytest.importorskip("kubernetes_validate")
    if document["kind"] != "RayJob":
        within = [document]
    else:
        import jsonschema

        for kuberay in KUBERAY_VERSIONS:
            jsonschema.validate(document, ray_job(kuberay))
        cluster = document["spec"]["rayClusterSpec"]
        groups = [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]
        template = {"apiVersion": "v1", "kind": "PodTemplate", "metadata": document["metadata"]}
        within = [template | {"template": group["template"]} for group in groups]
    for version in K8S_VERSIONS:
        for one in within:
            kubernetes.validate(one, version, strict=True)


def documents(path: Path) -> list[dict[str, Any]]:
    yaml = pytest.importorskip("yaml")
    return list(yaml.safe_load_all(path.read_text(encoding="utf-8")))


def check_manifest(found: dict[str, Any]) -> None:
    kind = KINDS[found["apiVersion"], found["kind"]]
    check(found, COMMON | {"spec": kind})


def check_command(words: list[str]) -> None:
    """A call of moksori has only options that there are."""
    verb = typer.main.get_command(app).commands[words[0]]  # type: ignore[attr-defined]
    verb.make_parser(verb.make_context(words[0], [], resilient_parsing=True)).parse_args(words[1:])


def calls_of(text: str) -> list[list[str]]:
    """The calls of moksori in a script or a manifest."""
    lines = [line for line in text.replace("\\\n", " ").splitlines() if not line.lstrip().startswith("#")]
    found = [shlex.split(match[1]) for line in lines if (match := re.search(r"\bmoksori ((?:train|convert) .*)", line))]
    return [[re.sub(r"^\$.*", "x", word) for word in words] for words in found]


@pytest.mark.parametrize("path", BATCHES, ids=lambda path: path.name)
def test_a_batch_script_is_a_script_whose_options_are_those_of_sbatch(path: Path) -> None:
    subprocess.run(["bash", "-n", str(path)], check=True)
    text = path.read_text(encoding="utf-8")
    assert text.startswith("#!/bin/bash\n")
    lines = text.splitlines()
    directives = [line for line in lines if line.startswith("#SBATCH")]
    for line in directives:
        match = re.fullmatch(r"#SBATCH --([a-z-]+)(?:=(\S+))?", line)
        assert match and re.fullmatch(SBATCH[match[1]], match[2] or ""), line
    first_command = next(i for i, line in enumerate(lines) if line and not line.startswith("#"))
    assert all(lines.index(line) < first_command for line in directives)  # those below are not looked at
    (call,) = calls_of(text)
    check_command(call)


@pytest.mark.parametrize("path", BATCHES, ids=lambda path: path.name)
def test_launchers_are_given_their_own_options(path: Path) -> None:
    text = path.read_text(encoding="utf-8").replace("\\\n", " ")
    for line in (line for line in text.splitlines() if line.startswith("srun")):
        own, torchrun, rest = line.partition("torchrun")
        own = own if torchrun else re.split(r"\bray start\b|\bmoksori\b", line)[0]
        assert set(re.findall(r"--([a-z-]+)", own)) <= SRUN
        if torchrun:
            assert set(re.findall(r"--([a-z-]+)", rest.split(" -m ")[0])) == TORCHRUN


@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: path.name)
def test_a_manifest_has_the_fields_of_its_kind(path: Path) -> None:
    found = documents(path)
    for document in found:
        check_manifest(document)
    for document in found:
        if document["kind"] == "RayJob":
            check_command(shlex.split(document["spec"]["entrypoint"])[1:])
        if document["kind"] == "Job":
            (container,) = document["spec"]["template"]["spec"]["containers"]
            launch, _, call = " ".join(container["args"]).partition(" -m moksori ")
            assert set(re.findall(r"--([a-z-]+)", launch)) == TORCHRUN
            check_command(call.split())
            names = {one["metadata"]["name"] for one in found if one["kind"] == "Service"}
            assert document["spec"]["template"]["spec"]["subdomain"] in names


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda spec: spec.update(entryPoint="x"), "no field entryPoint"),
        (lambda spec: spec.pop("entrypoint"), "'entrypoint'} must be there"),
        (lambda spec: spec["rayClusterSpec"]["workerGroupSpecs"][0].update(replicas="10"), "expected int, not '10'"),
        (lambda spec: spec["rayClusterSpec"]["headGroupSpec"]["template"]["spec"].pop("containers"), "must be there"),
        (lambda spec: spec["rayClusterSpec"].update(rayVersion=2.6), "is not like"),
    ],
)
def test_what_is_wrong_in_a_manifest_is_found(spoil: Any, message: str) -> None:
    (document,) = documents(EXAMPLES / "catalogue.rayjob.yaml")
    document = copy.deepcopy(document)
    spoil(document["spec"])
    with pytest.raises(AssertionError, match=re.escape(message)):
        check_manifest(document)


@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: path.name)
def test_a_manifest_fits_the_schema_of_its_kind(path: Path) -> None:
    for document in documents(path):
        check_schema(document)


@pytest.mark.parametrize(
    ("name", "where", "value"),
    [
        ("catalogue.rayjob.yaml", "spec.entryPoint", "moksori"),
        ("catalogue.rayjob.yaml", "spec.ttlSecondsAfterFinished", "600"),
        ("catalogue.rayjob.yaml", "spec.rayClusterSpec.rayVersion", 2.6),
        ("catalogue.rayjob.yaml", "spec.rayClusterSpec.headGroupSpec.rayStartParams.num-cpus", 0),
        ("catalogue.rayjob.yaml", "spec.rayClusterSpec.headGroupSpec.template.spec.containers.0.envfrom", []),
        ("catalogue.rayjob.yaml", "spec.rayClusterSpec.workerGroupSpecs.0.template.spec.containers.0.name", None),
        ("catalogue.rayjob.yaml", "spec.rayClusterSpec.workerGroupSpecs.0.maxReplica", 10),
        ("catalogue.rayjob.yaml", "spec.rayClusterSpec.workerGroupSpecs.0.rayStartParams", None),
        ("catalogue.rayjob.yaml", "spec.rayClusterSpec.workerGroupSpecs.0.replicas", 2**31),
        ("catalogue.rayjob.yaml", "spec.rayClusterSpec.workerGroupSpecs.0.labels", {"zone": "a"}),  # 1.3 has none
        ("catalogue.rayjob.yaml", "spec.submissionMode", "SidecarMode"),  # 1.3 has none
        ("train.job.yaml", "spec.template.spec.subDomain", "moksori-train"),
        ("train.job.yaml", "spec.completions", "2"),
        ("train.job.yaml", "spec.template.spec.containers.0.resources.limits.memory", [64]),
        ("train.job.yaml", "spec.template.spec.volumes.0.persistentVolumeClaim.claimName", None),
    ],
)
def test_what_does_not_fit_a_schema_is_found(name: str, where: str, value: object) -> None:
    pytest.importorskip("kubernetes_validate")
    import jsonschema

    spoiled = copy.deepcopy(documents(EXAMPLES / name)[-1])
    *above, last = where.split(".")
    place: Any = spoiled
    for key in above:
        place = place[int(key) if key.isdecimal() else key]
    place[last] = value
    with pytest.raises(jsonschema.ValidationError):
        check_schema(spoiled)


def test_there_are_examples_of_each() -> None:
    assert len(BATCHES) == 2 and len(MANIFESTS) == 2
