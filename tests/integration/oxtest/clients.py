"""Real clients with everything of theirs in a private folder: containerd, podman and skopeo, and those built with Go."""

import fcntl
import json
import os
import shutil
import subprocess

from .process import Process, run

# Pinned; `go.sum` of the throw-away module and Go's checksum database hold their content.
CRANE = ("crane", "github.com/google/go-containerregistry/cmd/crane", "v0.20.2")
ORAS = ("oras", "oras.land/oras/cmd/oras", "v1.2.0")
CONFORMANCE = ("conformance", "github.com/opencontainers/distribution-spec/conformance", "v0.0.0-20260831232431-97274622c111")
HELM = ("helm", "helm.sh/helm/v3/cmd/helm", "v3.19.5")
# The Kubernetes that it takes where it is not asked of a cluster; without them an old one.
HELM_VARIABLES = [("helm.sh/helm/v3/pkg/chartutil.k8sVersionMajor", "1"), ("helm.sh/helm/v3/pkg/chartutil.k8sVersionMinor", "34"),
                  ("helm.sh/helm/v3/internal/version.version", HELM[2])]
CONTAINERD2_VERSION = "v2.2.9"
CONTAINERD2 = [(name, f"github.com/containerd/containerd/v2/cmd/{name}", CONTAINERD2_VERSION)
               for name in ("containerd", "ctr", "containerd-shim-runc-v2")]
CONTAINERD2_TAGS = "no_btrfs no_cri no_devmapper no_zfs no_aufs no_tracing"


class Missing(Exception):
    """A client that this machine does not have: the test is skipped by that name."""


def need(program):
    found = shutil.which(program, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin:/usr/local/go/bin")
    if not found:
        raise Missing(f"{program} is not installed")
    return found


def tools_folder():
    base = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    folder = os.path.join(os.environ.get("OXTEST_TOOLS", os.path.join(base, "oxbow-test-tools")))
    os.makedirs(folder, exist_ok=True)
    return folder


def go_tool(packages, tags="", variables=()):
    """Builds pinned Go programs once per machine; returns their folder. `packages`: [(name, package, version)]. `variables`:
    [(name, value)] that the linker sets, as their makers' builds do."""
    go = need("go")
    version = packages[0][2]
    folder = os.path.join(tools_folder(), f"{packages[0][0]}-{version}")
    with open(folder + ".lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if all(os.path.exists(os.path.join(folder, name)) for name, _, _ in packages):
            return folder
        refused = folder + ".refused"
        work = folder + ".work"
        shutil.rmtree(work, ignore_errors=True)
        os.makedirs(work)
        # A module of our own, because `go install pkg@version` refuses modules with exclude or replace lines.
        steps = [[go, "mod", "init", "oxbow.test/tools"],
                 [go, "get", *(f"{package}@{version}" for _, package, _ in packages)],
                 [go, "build", *(["-tags", tags] if tags else []), "-ldflags", " ".join(["-s -w", *(f"-X {name}={value}" for name, value in variables)]), "-o", folder + "/",
                  *(package for _, package, _ in packages)]]
        os.makedirs(folder, exist_ok=True)
        for step in steps:
            done = subprocess.run(step, cwd=work, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                  text=True, timeout=1200, env={**os.environ, "GOFLAGS": "-buildvcs=false", "CGO_ENABLED": "0"})
            if done.returncode != 0:
                with open(refused, "w") as out:
                    out.write(done.stdout)
                shutil.rmtree(folder, ignore_errors=True)
                raise Missing(f"{packages[0][0]} {version} cannot be built with go here: {done.stdout.strip()[-200:]}")
        shutil.rmtree(work, ignore_errors=True)
        return folder


HOSTS_TOML = """server = "{server}"

[host."{mirror}"]
  capabilities = ["pull", "resolve"]
  dial_timeout = "2s"
"""


def platform():
    machine = os.uname().machine
    return "linux/" + {"x86_64": "amd64", "aarch64": "arm64"}.get(machine, machine)


class Containerd:
    """Its own containerd: root, state, socket and hosts directory below `folder`."""

    def __init__(self, folder, programs="", name="containerd", prefix=()):
        """`prefix`: what stands before its commands, such as `ip netns exec NAME`."""
        self.folder = os.path.join(str(folder), name)
        os.makedirs(self.folder, exist_ok=True)
        self.prefix = list(prefix)
        self.program = os.path.join(programs, "containerd") if programs else need("containerd")
        self.ctr_program = os.path.join(programs, "ctr") if programs else need("ctr")
        self.path = (programs + ":" if programs else "") + os.environ["PATH"] + ":/usr/sbin:/sbin"
        self.socket = os.path.join(self.folder, "c.sock")
        self.hosts = os.path.join(self.folder, "certs.d")
        self.state = os.path.join(self.folder, "state")
        config = os.path.join(self.folder, "config.toml")
        with open(config, "w") as out:
            out.write("version = 2\n"
                      f'root = "{self.folder}/root"\nstate = "{self.state}"\n'
                      'disabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.snapshotter.v1.aufs",'
                      ' "io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.zfs",'
                      ' "io.containerd.snapshotter.v1.devmapper", "io.containerd.internal.v1.opt"]\n'
                      f'[grpc]\naddress = "{self.socket}"\n[ttrpc]\naddress = "{self.socket}.ttrpc"\n')
            if programs:
                # The transfer service of containerd 2 pulls in the daemon, layers in parallel parts.
                transfer = 'plugins."io.containerd.transfer.v1.local"'
                out.write(f'[{transfer}]\nmax_concurrent_downloads = 3\nconcurrent_layer_fetch_buffer = 4194304\n'
                          f'[[{transfer}.unpack_config]]\nplatform = "{platform()}"\nsnapshotter = "native"\n')
        self.process = Process("containerd", [*self.prefix, self.program, "--config", config], os.path.join(self.folder, "containerd.log"),
                               env={"PATH": self.path})

    def start(self):
        self.process.start(ready=lambda: os.path.exists(self.socket) and self.ctr("version", check=False)[0] == 0)
        return self

    def stop(self):
        self.process.stop()

    def ctr(self, *arguments, check=True, timeout_s=180):
        return run([*self.prefix, self.ctr_program, "-a", self.socket, "-n", "oxtest", *arguments], timeout_s, {"PATH": self.path}, check)

    def use_mirror(self, registry, mirror_url, server=None, text=HOSTS_TOML):
        """Writes hosts.toml; `server` is where containerd goes when the mirror fails: the mirror again by default."""
        folder = os.path.join(self.hosts, registry)
        os.makedirs(folder, exist_ok=True)
        with open(os.path.join(folder, "hosts.toml"), "w") as out:
            out.write(text.format(server=server or mirror_url, mirror=mirror_url))

    def pull(self, reference, *arguments, check=True, timeout_s=180):
        return self.ctr("images", "pull", "--hosts-dir", self.hosts, "--snapshotter", "native", *arguments, reference,
                        check=check, timeout_s=timeout_s)

    def remove(self, reference):
        """The image and, with the next garbage collection (which `--sync` waits for), its content."""
        self.ctr("images", "rm", "--sync", reference)

    def content(self):
        return self.ctr("content", "ls", "-q")[1].split()

    def run_container(self, reference, *command):
        """Runs to the end and returns the output. The host's network: the image needs none."""
        # Through a file that the shim writes: ctr itself may lose the output of a container that ends at once.
        log = os.path.join(self.folder, "run.log")
        self.ctr("run", "--rm", "--snapshotter", "native", "--runc-root", os.path.join(self.folder, "runc"),
                 "--log-uri", "file://" + log, reference, "oxtest-run", *command)
        with open(log, encoding="utf-8", errors="replace") as out:
            return out.read()


class Containers:
    """podman and skopeo with private storage and a registries.conf that names the mirror."""

    def __init__(self, folder):
        self.folder = os.path.join(str(folder), "containers")
        self.home = os.path.join(self.folder, "home")
        os.makedirs(os.path.join(self.home, ".config", "containers"), exist_ok=True)
        self.conf = os.path.join(self.folder, "registries.conf")
        self.policy = os.path.join(self.home, ".config", "containers", "policy.json")
        with open(self.policy, "w") as out:
            json.dump({"default": [{"type": "insecureAcceptAnything"}]}, out)
        with open(os.path.join(self.folder, "storage.conf"), "w") as out:
            out.write('[storage]\ndriver = "vfs"\n'
                      f'runroot = "{self.folder}/run"\ngraphroot = "{self.folder}/graph"\n')
        with open(os.path.join(self.folder, "containers.conf"), "w") as out:
            out.write('[engine]\ncgroup_manager = "cgroupfs"\nevents_logger = "none"\n[containers]\nnetns = "none"\ncgroups = "disabled"\n'
                      'log_driver = "k8s-file"\n')
        with open(os.path.join(self.folder, "auth.json"), "w") as out:
            out.write("{}")
        self.env = {"HOME": self.home, "CONTAINERS_REGISTRIES_CONF": self.conf, "REGISTRIES_CONFIG_PATH": self.conf,
                    "CONTAINERS_STORAGE_CONF": os.path.join(self.folder, "storage.conf"), "XDG_RUNTIME_DIR": self.folder,
                    "CONTAINERS_CONF": os.path.join(self.folder, "containers.conf"), "XDG_CONFIG_HOME": self.home + "/.config",
                    "REGISTRY_AUTH_FILE": os.path.join(self.folder, "auth.json"), "TMPDIR": self.folder}

    def use_mirror(self, registry, mirror_location):
        """`mirror_location`: "127.0.0.1:PORT/registry.test", so that the mirror knows the upstream by the path."""
        with open(self.conf, "a") as out:
            out.write(f'[[registry]]\nlocation = "{registry}"\n[[registry.mirror]]\nlocation = "{mirror_location}"\ninsecure = true\n')

    def podman(self, *arguments, check=True, timeout_s=180):
        return run([need("podman"), *arguments], timeout_s, self.env, check)

    def skopeo(self, *arguments, check=True, timeout_s=180):
        return run([need("skopeo"), "--registries-conf", self.conf, *arguments], timeout_s, self.env, check)
