"""A pod on a node, as far as a chart's tests need it: the containers of a rendered DaemonSet are run for real, each in a root of its
own with the mounts, the user and the capabilities that its specification says. The node is a folder. Needs root."""

import base64
import os
import re
import shutil
import subprocess

from .mirror import binary
from .process import Process

# What a program needs of an image, from this machine.
_ENTER = """
set -e
root=$1; shift
mount -t tmpfs tmpfs "$root"
for folder in usr dev proc; do mkdir "$root/$folder"; mount --rbind "/$folder" "$root/$folder"; done
for link in bin lib lib64 sbin; do ln -s usr/$link "$root/$link"; done
mount -o remount,bind,ro "$root/usr"
mkdir "$root/etc"; cp /etc/passwd /etc/group /etc/hosts "$root/etc/"
touch "$root/oxbow"; mount --bind "$1" "$root/oxbow"; shift
while [ "$1" != -- ]; do
  mkdir -p "$root$2"; mount --bind "$1" "$root$2"
  [ "$3" = rw ] || mount -o remount,bind,ro "$root$2"
  shift 3
done
shift
mount -o remount,ro "$root"
exec chroot "$root" /usr/bin/setpriv "$@"
"""


def _say(name):
    return re.sub(r"[^a-z0-9]", "-", name)


class Pod:
    """`objects`: all that was rendered, by (kind, name). `spec`: a pod's. `node`: the folder of the node's files."""

    def __init__(self, folder, node, spec, objects, fields, account=None, environment=None):
        self.folder, self.node, self.spec, self.objects, self.fields = folder, node, spec, objects, fields
        self.account, self.environment = account, environment or {}
        self.volumes = {volume["name"]: volume for volume in spec.get("volumes", [])}
        os.makedirs(folder, exist_ok=True)

    # --- what the kubelet does before a container starts
    def _host_path(self, about):
        path = self.node + about["path"]
        if about.get("type") == "DirectoryOrCreate":
            os.makedirs(path, exist_ok=True)
        if about.get("type") in ("Directory", "DirectoryOrCreate") and not os.path.isdir(path):
            raise AssertionError(f"hostPath type check failed: {about['path']} is not a directory")
        return path

    def _files(self, name, files, mode):
        folder = os.path.join(self.folder, name)
        os.makedirs(folder, exist_ok=True)
        for path, data in files.items():
            with open(os.path.join(folder, path), "wb") as out:
                out.write(data)
            os.chmod(os.path.join(folder, path), mode)
        return folder

    def source(self, name):
        volume = self.volumes[name]
        if "hostPath" in volume:
            return self._host_path(volume["hostPath"])
        if "emptyDir" in volume:
            folder = os.path.join(self.folder, name)
            if not os.path.isdir(folder):
                os.makedirs(folder)
                os.chmod(folder, 0o777)
            return folder
        if "configMap" in volume:
            data = self.objects["ConfigMap", volume["configMap"]["name"]]["data"]
            return self._files(name, {key: text.encode() for key, text in data.items()}, 0o644)
        if "secret" in volume:
            about = volume["secret"]
            data = self.objects["Secret", about["secretName"]]["data"]
            return self._files(name, {item["path"]: base64.b64decode(data[item["key"]]) for item in about["items"]},
                               about["defaultMode"])
        if "projected" in volume:
            return self.account
        raise AssertionError(f"a volume that this kubelet does not know: {volume}")

    def variables(self, container):
        values = {}
        for variable in container.get("env", []):
            if "valueFrom" in variable:
                values[variable["name"]] = self.fields[variable["valueFrom"]["fieldRef"]["fieldPath"]]
            else:
                values[variable["name"]] = self.expand(variable["value"], values)
        return values

    @staticmethod
    def expand(text, values):
        """$(NAME) of variables that stand before it, as the kubelet does."""
        return re.sub(r"\$\(([A-Z_]+)\)", lambda found: values.get(found[1], found[0]), text)

    def _command(self, container):
        context = container["securityContext"]
        root = os.path.join(self.folder, "root-" + container["name"])
        os.makedirs(root, exist_ok=True)
        mounts = []
        for mount in container.get("volumeMounts", []):
            mounts += [self.source(mount["name"]), mount["mountPath"], "ro" if mount.get("readOnly") else "rw"]
        capabilities = context["capabilities"]
        assert capabilities["drop"] == ["ALL"] and context["readOnlyRootFilesystem"], container
        kept = "".join(f",+{name.lower()}" for name in capabilities.get("add", []))
        values = self.variables(container)
        user = str(context["runAsUser"]), str(context.get("runAsGroup", context["runAsUser"]))
        return (["unshare", "--mount", "--propagation", "private", "bash", "-c", _ENTER, "container", root, binary(), *mounts, "--",
                 "--reuid", user[0], "--regid", user[1], "--clear-groups", f"--bounding-set=-all{kept}", "--inh-caps=-all",
                 "--no-new-privs", "/oxbow", *(self.expand(argument, values) for argument in container["args"])],
                {**values, **self.environment})

    # --- containers
    def container(self, name):
        return next(one for one in self.spec.get("initContainers", []) + self.spec["containers"] if one["name"] == name)

    def run_to_end(self, name, timeout_s=60):
        """(exit code, output)"""
        argv, values = self._command(self.container(name))
        done = subprocess.run(argv, env={"PATH": os.environ["PATH"], **values}, timeout=timeout_s, text=True, errors="replace",
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        return done.returncode, done.stdout

    def run_init(self):
        """All init containers in their order; their output by name."""
        said = {}
        for container in self.spec["initContainers"]:
            code, said[container["name"]] = self.run_to_end(container["name"])
            if code != 0:
                raise AssertionError(f"{container['name']} ended with {code}:\n{said[container['name']]}")
        return said

    def process(self, name):
        argv, values = self._command(self.container(name))
        # The test's own OXBOW_… variables are not the pod's.
        return Process("pod-" + _say(name), argv, os.path.join(self.folder, name + ".log"), env=values)


def missing():
    if os.geteuid() != 0:
        return "not root"
    for tool in ("unshare", "setpriv", "chroot"):
        if not shutil.which(tool):
            return f"{tool} is not on this machine"
    return ""
