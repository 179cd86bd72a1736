#!/usr/bin/env python3
"""Writes what follows from other files: the chart's values.schema.json (from values.yaml and the options of config/oxbow.toml) and
the table of values in its README.md. `--check`: writes nothing, exit code 1 if something differs."""

import json
import os
import re
import sys
import tomllib

import yaml

HERE = os.path.dirname(os.path.abspath(__file__))
CHART = os.path.join(HERE, "oxbow")
OPTIONS = os.path.join(HERE, "..", "..", "config", "oxbow.toml")

# What the chart sets itself, by section; a value for it would be overridden in silence.
OWN = {
    "client": {"listen", "tls"},
    "storage": {"directory"},
    "peer": {"name", "listen", "advertise", "tls"},
    "membership": {"provider", "peers", "path", "name", "port", "interval", "endpoints", "prefix", "tls", "username",
                   "password_file", "lease_ttl", "api_server", "namespace", "service", "port_name", "config_map",
                   "account_directory"},
    "admin": {"listen", "socket"},
}
ABSOLUTE = {"type": "string", "pattern": "^/[^/].*$"}
OBJECTS = {"type": "array", "items": {"type": "object"}}
LABELS = {"type": "object", "additionalProperties": {"type": "string"}}
PORT = {"type": "integer", "minimum": 1, "maximum": 65535}
# Where the default's type says too little.
SPECIAL = {
    "image.tag": {"type": "string", "maxLength": 128},
    "image.digest": {"type": "string", "pattern": "^(sha256:[0-9a-f]{64})?$"},
    "image.pullPolicy": {"enum": ["Always", "IfNotPresent", "Never"]},
    "imagePullSecrets": OBJECTS,
    "ports.client": PORT, "ports.peers": PORT, "ports.admin": PORT,
    "certificates.mode": {"enum": ["generate", "secret", "cert-manager", "host", "insecure"]},
    "certificates.days": {"type": "integer", "minimum": 1, "maximum": 36500},
    "certificates.hostDirectory": ABSOLUTE,
    "runtime.action": {"enum": ["install", "uninstall", "none"]},
    "runtime.name": {"enum": ["containerd", "cri-o", "k3s"]},
    "runtime.directories": {"type": "array", "items": ABSOLUTE},
    "cleanup.waitSeconds": {"type": "integer", "minimum": 10},
    "cleanup.kubectlImage": {"type": "string", "minLength": 1},
    "cleanup.pauseImage": {"type": "string", "minLength": 1},
    "storage.hostDirectory": ABSOLUTE,
    "storage.runDirectory": ABSOLUTE,
    "metrics.serviceMonitor.interval": {"type": "string", "pattern": "^[0-9]+(ms|s|m|h)$"},
    "metrics.serviceMonitor.labels": LABELS,
    "resources": {"type": "object", "properties": {"requests": {"type": "object"}, "limits": {"type": "object"}},
                  "additionalProperties": False},
    "seccompProfile": {"type": "object", "required": ["type"], "additionalProperties": False, "properties": {
        "type": {"enum": ["RuntimeDefault", "Unconfined", "Localhost"]}, "localhostProfile": {"type": "string"}}},
    "seLinuxOptions": LABELS,
    "updateMaxUnavailable": {"oneOf": [{"type": "integer", "minimum": 1}, {"type": "string", "pattern": "^[1-9][0-9]?%$|^100%$"}]},
    "tolerations": OBJECTS,
    "nodeSelector": LABELS,
    "affinity": {"type": "object"},
    "podAnnotations": LABELS,
    "commonLabels": LABELS,
    "extraVolumes": OBJECTS,
    "extraVolumeMounts": OBJECTS,
}


def read(path):
    with open(path, encoding="utf-8") as file:
        return file.read()


# --- values.yaml: [(path, default, the comment above it)], leaves alone

def described_values():
    text = read(os.path.join(CHART, "values.yaml"))
    defaults = yaml.safe_load(text)
    comments, stack, above = {}, [], []
    for line in text.splitlines():
        stripped = line.strip()
        if stripped.startswith("#"):
            above.append(stripped[1:].strip())
        elif found := re.match(r"^( *)([A-Za-z0-9]+):", line):
            depth = len(found[1]) // 2
            stack = stack[:depth] + [found[2]]
            comments[".".join(stack)] = " ".join(above)
            above = []
        elif not stripped:
            above = []

    def leaves(prefix, value):
        for key, inner in value.items():
            path = f"{prefix}{key}"
            if isinstance(inner, dict) and inner and path not in SPECIAL:
                yield from leaves(path + ".", inner)
            else:
                yield path, inner, comments.get(path, "")

    return list(leaves("", defaults))


# --- oxbow.toml: {section: {option: schema}}

def option_schemas():
    text = re.sub(r"^#(\[?\[[a-z_]+\]\]?|[a-z_]+(\.[a-z_]+)* = .*)$", r"\1", read(OPTIONS), flags=re.M)
    about, above, section = {}, [], ""
    for line in text.splitlines():
        if line.startswith("#"):
            above.append(line[1:].strip())
            continue
        if found := re.match(r"^\[+([a-z_]+)\]+", line):
            section = found[1]
        elif found := re.match(r"^([a-z_.]+) =", line):
            about[f"{section}.{found[1]}"] = " ".join(above)
        above = []

    def schema_of(path, value):
        if isinstance(value, dict):
            return {"type": "object", "additionalProperties": False,
                    "properties": {key: schema_of(f"{path}.{key}", inner) for key, inner in value.items()}}
        said = about[path]
        if isinstance(value, bool):
            schema = {"type": "boolean"}
        elif isinstance(value, (int, float)):
            schema = {"type": "integer" if isinstance(value, int) else "number"}
        elif isinstance(value, list):
            schema = {"type": "array", "items": {"type": "string"}}
        elif choice := re.search(r"One of: ([^.]*)\.", said):
            schema = {"enum": choice[1].split(", ")}
        elif "Unit: bytes" in said:
            schema = {"type": ["string", "integer"]}
        else:
            schema = {"type": "string"}
        return {"description": said, **schema}

    parsed = tomllib.loads(text)
    registry = parsed.pop("registry")[0]
    return ({section: {key: schema_of(f"{section}.{key}", value) for key, value in options.items()}
             for section, options in parsed.items()},
            {key: schema_of(f"registry.{key}", value) for key, value in registry.items()})


def schema_text():
    sections, registry = option_schemas()
    # The pod's grace is computed from it.
    sections["client"]["drain_timeout"]["pattern"] = "^(0|[0-9]+(ms|s|m|h))$"
    config = {"type": "object", "additionalProperties": False, "properties": {}}
    for section, options in sections.items():
        left = {key: schema for key, schema in options.items() if key not in OWN.get(section, ())}
        if left:
            config["properties"][section] = {"type": "object", "additionalProperties": False, "properties": left}
    registries = {"type": "array", "items": {"type": "object", "required": ["name"], "additionalProperties": False, "properties": registry}}
    out = {"$schema": "http://json-schema.org/draft-07/schema#", "title": "Values of the chart oxbow", "type": "object",
           "additionalProperties": False, "properties": {"global": {"type": "object"}}}
    for path, default, comment in described_values():
        if path in ("config", "registries"):
            schema = config if path == "config" else registries
        elif path in SPECIAL:
            schema = SPECIAL[path]
        elif isinstance(default, bool):
            schema = {"type": "boolean"}
        elif isinstance(default, str):
            schema = {"type": "string"}
        elif default == []:
            schema = {"type": "array", "items": {"type": "string"}}
        else:
            raise SystemExit(f"generate.py: say in SPECIAL what {path} may be")
        at = out
        *parents, last = path.split(".")
        for parent in parents:
            at = at["properties"].setdefault(parent, {"type": "object", "additionalProperties": False, "properties": {}})
        at["properties"][last] = {"description": comment, **schema}
    return json.dumps(out, indent=1, ensure_ascii=False) + "\n"


BEGIN, END = "<!-- values: made by packaging/helm/generate.py -->\n", "<!-- end of values -->\n"


def readme_text():
    rows = ["| value | default | meaning |", "|---|---|---|"]
    for path, default, comment in described_values():
        shown = default if isinstance(default, str) and default else json.dumps(default)
        rows.append(f"| `{path}` | `{shown}` | {comment.replace('|', chr(92) + '|')} |")
    whole = read(os.path.join(CHART, "README.md"))
    before, rest = whole.split(BEGIN)
    return before + BEGIN + "\n".join(rows) + "\n" + END + rest.split(END)[1]


def main():
    stale = []
    for name, text in (("values.schema.json", schema_text()), ("README.md", readme_text())):
        path = os.path.join(CHART, name)
        if os.path.exists(path) and read(path) == text:
            continue
        stale.append(name)
        if "--check" not in sys.argv[1:]:
            with open(path, "w", encoding="utf-8") as file:
                file.write(text)
    if stale and "--check" in sys.argv[1:]:
        print(f"not up to date: {', '.join(stale)}; run packaging/helm/generate.py")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
