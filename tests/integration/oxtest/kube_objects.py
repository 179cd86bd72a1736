"""What an API server would refuse of rendered objects: unknown fields, names, mounts without a volume, selectors that select nothing.
Only of the kinds, and the fields, that the chart uses: a field that is not here is taken for a mistake."""

import re

_NAME = re.compile(r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$")
_LABEL = re.compile(r"^([A-Za-z0-9]([-_.A-Za-z0-9]*[A-Za-z0-9])?)?$")
_ENV = re.compile(r"^[A-Za-z_][A-Za-z0-9_]*$")

VERSIONS = {
    "ServiceAccount": "v1", "Secret": "v1", "ConfigMap": "v1", "Service": "v1",
    "Role": "rbac.authorization.k8s.io/v1", "RoleBinding": "rbac.authorization.k8s.io/v1",
    "ClusterRole": "rbac.authorization.k8s.io/v1", "ClusterRoleBinding": "rbac.authorization.k8s.io/v1",
    "DaemonSet": "apps/v1", "Job": "batch/v1", "ServiceMonitor": "monitoring.coreos.com/v1",
    "Issuer": "cert-manager.io/v1", "Certificate": "cert-manager.io/v1",
}
FIELDS = {
    "ServiceAccount": {"automountServiceAccountToken"}, "Secret": {"type", "immutable", "data"}, "ConfigMap": {"data"},
    "Role": {"rules"}, "ClusterRole": {"rules"}, "RoleBinding": {"roleRef", "subjects"}, "ClusterRoleBinding": {"roleRef", "subjects"},
}
SPECS = {
    "Service": {"clusterIP", "publishNotReadyAddresses", "selector", "ports"},
    "DaemonSet": {"selector", "template", "updateStrategy"},
    "Job": {"backoffLimit", "activeDeadlineSeconds", "template"},
    "ServiceMonitor": {"jobLabel", "selector", "namespaceSelector", "endpoints"},
    "Issuer": {"selfSigned"},
    "Certificate": {"isCA", "commonName", "secretName", "duration", "privateKey", "issuerRef"},
}
POD = {"hostNetwork", "dnsPolicy", "enableServiceLinks", "serviceAccountName", "automountServiceAccountToken", "priorityClassName",
       "terminationGracePeriodSeconds", "imagePullSecrets", "nodeSelector", "affinity", "tolerations", "securityContext",
       "initContainers", "containers", "volumes", "restartPolicy"}
CONTAINER = {"name", "image", "imagePullPolicy", "args", "env", "securityContext", "resources", "volumeMounts", "ports",
             "startupProbe", "livenessProbe", "readinessProbe"}
CONTEXT = {"runAsUser", "runAsGroup", "runAsNonRoot", "privileged", "allowPrivilegeEscalation", "readOnlyRootFilesystem", "capabilities"}
PROBE = {"httpGet", "periodSeconds", "timeoutSeconds", "failureThreshold"}
VOLUMES = {"hostPath": {"path", "type"}, "emptyDir": {"medium", "sizeLimit"}, "configMap": {"name", "items"},
           "secret": {"secretName", "defaultMode", "items"}, "projected": {"sources"}}


def _only(where, found, known):
    if extra := set(found) - set(known):
        yield f"{where}: unknown {', '.join(sorted(extra))}"


def _pod(where, spec):
    yield from _only(where, spec, POD)
    volumes = {volume["name"]: volume for volume in spec.get("volumes", [])}
    used, names, ports = set(), set(), set()
    for name, volume in volumes.items():
        yield from _only(f"{where} volume {name}", volume, {"name", *VOLUMES})
        for kind in set(volume) & set(VOLUMES):
            yield from _only(f"{where} volume {name}", volume[kind], VOLUMES[kind])
    for container in spec.get("initContainers", []) + spec["containers"]:
        at = f"{where} container {container['name']}"
        yield from _only(at, container, CONTAINER)
        yield from _only(at, container.get("securityContext", {}), CONTEXT)
        if container["name"] in names:
            yield f"{at}: twice"
        names.add(container["name"])
        if not container.get("image"):
            yield f"{at}: no image"
        if not all(isinstance(argument, str) for argument in container.get("args", [])):
            yield f"{at}: an argument is no string: {container['args']}"
        for variable in container.get("env", []):
            if not _ENV.match(variable["name"]) or not isinstance(variable.get("value", ""), str):
                yield f"{at}: variable {variable}"
        paths = [mount["mountPath"] for mount in container.get("volumeMounts", [])]
        if len(paths) != len(set(paths)):
            yield f"{at}: a path is mounted twice"
        for mount in container.get("volumeMounts", []):
            used.add(mount["name"])
            if mount["name"] not in volumes:
                yield f"{at}: there is no volume {mount['name']}"
        for port in container.get("ports", []):
            if len(port["name"]) > 15 or port["containerPort"] in ports:
                yield f"{at}: port {port}"
            if spec.get("hostNetwork") and port.get("hostPort") != port["containerPort"]:
                yield f"{at}: hostPort differs: {port}"
            ports.add(port["containerPort"])
        for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
            yield from _only(f"{at} {probe}", container.get(probe, {}), PROBE)
    if unused := set(volumes) - used:
        yield f"{where}: nobody mounts {', '.join(sorted(unused))}"


def complaints(objects):
    """What is wrong with them, in words."""
    seen = set()
    for made in objects:
        kind, meta = made.get("kind"), made.get("metadata", {})
        where = f"{kind} {meta.get('name')}"
        if VERSIONS.get(kind) != made.get("apiVersion"):
            yield f"{where}: apiVersion {made.get('apiVersion')}"
            continue
        if (kind, meta["name"]) in seen:
            yield f"{where}: twice"
        seen.add((kind, meta["name"]))
        yield from _only(f"{where} metadata", meta, {"name", "namespace", "labels", "annotations"})
        if not _NAME.match(meta["name"]) or len(meta["name"]) > (63 if kind == "Service" else 253):
            yield f"{where}: bad name"
        if kind.startswith("Cluster") == ("namespace" in meta):
            yield f"{where}: namespace"
        for key, value in meta.get("labels", {}).items():
            if not isinstance(value, str) or len(value) > 63 or not _LABEL.match(value):
                yield f"{where}: label {key}={value!r}"
        if not all(isinstance(value, str) for value in meta.get("annotations", {}).values()):
            yield f"{where}: an annotation is no string"
        fields = FIELDS.get(kind, {"spec"})
        yield from _only(where, made, {"apiVersion", "kind", "metadata", *fields})
        if "spec" in fields:
            yield from _only(f"{where} spec", made["spec"], SPECS[kind])
        if kind in ("DaemonSet", "Job"):
            template = made["spec"]["template"]
            yield from _pod(where, template["spec"])
            labels = template["metadata"]["labels"]
            wanted = made["spec"].get("selector", {}).get("matchLabels", {})
            if kind == "DaemonSet" and (not wanted or not set(wanted.items()) <= set(labels.items())):
                yield f"{where}: the selector does not select its own pods"
        if kind in ("RoleBinding", "ClusterRoleBinding"):
            for subject in made["subjects"]:
                if ("ServiceAccount", subject["name"]) not in {(one["kind"], one["metadata"]["name"]) for one in objects}:
                    yield f"{where}: there is no service account {subject['name']}"
            role = made["roleRef"]
            if (role["kind"], role["name"]) not in {(one["kind"], one["metadata"]["name"]) for one in objects}:
                yield f"{where}: there is no {role['kind']} {role['name']}"
