"""The Debian package: what is in it, installing, upgrading and removing it, and what its programs say of themselves."""

import gzip
import os
import re
import shutil
import subprocess
import sys

from oxtest import sandbox
from oxtest.case import Case
from oxtest.mirror import ROOT, binary
from oxtest.process import run

sys.path.insert(0, os.path.join(ROOT, "packaging", "reference"))
import help_tree  # noqa: E402  (packaging/reference/help_tree.py)
import settings  # noqa: E402


def build_package(folder):
    """The .deb of the program under test."""
    for tool in ("cmake", "cpack", "dpkg-deb", "dpkg-shlibdeps"):
        if not shutil.which(tool):
            return None
    build = os.path.join(folder, "deb")
    run(["cmake", "-S", os.path.join(ROOT, "packaging", "deb"), "-B", build, f"-DOXBOW_PROGRAM={binary()}"])
    run(["cpack"], cwd=build, timeout_s=300)
    return next(os.path.join(build, name) for name in os.listdir(build) if name.endswith(".deb"))


class Packaging(Case):
    @classmethod
    def set_up_parts(cls):
        cls.deb = build_package(cls.folder)
        if cls.deb is None:
            cls.skipTest(cls, "no CPack, or not a Debian machine")
        cls.root = os.path.join(cls.folder, "root")
        run(["dpkg-deb", "-x", cls.deb, cls.root])
        cls.program = os.path.join(cls.root, "usr/bin/oxbow")
        cls.tree = help_tree.read(cls.program)

    def text_of(self, path):
        path = os.path.join(self.root, path)
        with (gzip.open if path.endswith(".gz") else open)(path, "rt", encoding="utf-8") as file:
            return file.read()

    def field(self, name):
        return run(["dpkg-deb", "-f", self.deb, name])[1].strip()

    def test_the_libraries_are_dependencies_with_versions(self):
        depends = self.field("Depends")
        for library in ("libc6 (>=", "libssl3 (>=", "librocksdb", "libcurl4", "ca-certificates"):
            self.assertIn(library, depends)

    def test_the_configuration_is_a_conffile_and_is_good(self):
        control = os.path.join(self.own_folder(), "control")
        run(["dpkg-deb", "-e", self.deb, control])
        with open(os.path.join(control, "conffiles"), encoding="utf-8") as file:
            self.assertEqual(file.read().split(), ["/etc/oxbow/oxbow.toml"])
        run([self.program, "config", "check", "--config", os.path.join(self.root, "etc/oxbow/oxbow.toml")])

    def test_lintian_finds_nothing(self):
        if not shutil.which("lintian"):
            self.skipTest("lintian is not on this machine")
        code, said = run(["lintian", "--allow-root", "--fail-on", "error,warning", self.deb], check=False, timeout_s=120)
        self.assertEqual(code, 0, said)

    # Units
    def test_systemd_understands_the_units(self):
        if not shutil.which("systemd-analyze"):
            self.skipTest("systemd-analyze is not on this machine")
        folder = self.own_folder()
        for name in ("oxbow.service", "oxbow.socket"):
            text = self.text_of(f"lib/systemd/system/{name}").replace("/usr/bin/oxbow", self.program)
            with open(os.path.join(folder, name), "w", encoding="utf-8") as out:
                out.write(re.sub(r"^Documentation=.*\n", "", text, flags=re.M))
        code, said = run(["systemd-analyze", "verify", *(os.path.join(folder, name) for name in ("oxbow.service", "oxbow.socket"))], check=False)
        self.assertEqual((code, [line for line in said.splitlines() if "oxbow" in line]), (0, []), said)
        said = run(["systemd-analyze", "security", "--offline=true", os.path.join(folder, "oxbow.service")], check=False)[1]
        exposure = float(re.search(r"exposure level for oxbow.service: ([\d.]+)", said)[1])
        self.assertLess(exposure, 2.0, said)

    def test_the_socket_unit_listens_where_the_configuration_does(self):
        listens = re.findall(r"^ListenStream=(.*)$", self.text_of("lib/systemd/system/oxbow.socket"), re.M)
        shown = run([self.program, "config", "show", "--config", os.path.join(self.root, "etc/oxbow/oxbow.toml")])[1]
        self.assertEqual(listens, re.findall(r'"([^"]+)"', re.search(r"\[client\]\nlisten = (.*)", shown)[1]))

    # What is made from the program itself
    def test_the_manual_names_every_command_option_and_setting(self):
        pages = {"oxbow.1": self.text_of("usr/share/man/man1/oxbow.1.gz"), "oxbow.toml.5": self.text_of("usr/share/man/man5/oxbow.toml.5.gz")}
        plain = {name: text.replace("\\-", "-").replace("\\&", "") for name, text in pages.items()}
        for command in self.tree.all():
            if command.path:
                self.assertIn(f".SS oxbow {' '.join(command.path)}\n", plain["oxbow.1"])
            for row in command.options + command.positionals:
                for name in row.names:
                    self.assertIn(name, plain["oxbow.1"])
        example = self.text_of("etc/oxbow/oxbow.toml")
        for key in re.findall(r"^#([a-z_.0-9]+) = ", example, re.M):
            self.assertIn(f"\\fB{key}\\fR", plain["oxbow.toml.5"])
        if shutil.which("groff"):
            for name, text in pages.items():
                done = subprocess.run(["groff", "-man", "-Tutf8", "-ww", "-z", "-k"], input=text, capture_output=True, text=True, timeout=60,
                                      check=False)
                self.assertEqual((done.returncode, done.stderr), (0, ""), name)

    def test_help_was_understood(self):
        self.assertGreater(len(list(self.tree.all())), 10)
        for command in self.tree.all():
            self.assertTrue(command.about and command.usage, command.path)
            self.assertIn("--help", [name for row in command.options for name in row.names], command.path)
            for row in command.options:
                self.assertTrue(row.text, (command.path, row.names))
        serve = next(command for command in self.tree.all() if command.path == ("serve",))
        self.assertIn(["-s", "--set"], [row.names for row in serve.options])

    def completed(self, *words):
        """What bash offers for the last word."""
        path = os.path.join(self.root, "usr/share/bash-completion/completions/oxbow")
        line = " ".join(f"'{word}'" for word in words)
        script = f'compopt() {{ :; }}; source {path}; COMP_WORDS=({line}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)); _oxbow; printf "%s\\n" "${{COMPREPLY[@]}}"'
        return run(["bash", "-c", script], cwd=self.own_folder())[1].split()

    def test_bash_completes_every_command_and_option(self):
        for command in self.tree.all():
            offered = self.completed("oxbow", *command.path, "")
            for name in [one.path[-1] for one in command.commands] + [name for row in command.options for name in row.names]:
                self.assertIn(name, offered, command.path)
        keys = self.completed("oxbow", "serve", "--set", "client.l")
        self.assertEqual(keys, ["client.listen="])
        _, sections = settings.read(os.path.join(ROOT, "docs", "configuration.md"))
        self.assertEqual(len(self.completed("oxbow", "serve", "--set", "")),
                         sum(len(section.settings) for section in sections if section.name != "[registry]"))

    def test_zsh_and_fish_take_their_completions(self):
        for shell, arguments, path in (("zsh", ["-n"], "usr/share/zsh/vendor-completions/_oxbow"),
                                       ("fish", ["-n"], "usr/share/fish/vendor_completions.d/oxbow.fish")):
            with self.subTest(shell):
                if not shutil.which(shell):
                    self.skipTest(f"{shell} is not on this machine")
                run([shell, *arguments, os.path.join(self.root, path)])
        if shutil.which("fish"):
            path = os.path.join(self.root, "usr/share/fish/vendor_completions.d/oxbow.fish")
            offered = run(["fish", "-c", f"source {path}; complete -C 'oxbow ca '"], env={"HOME": self.own_folder()})[1]
            self.assertIn("issue\t", offered)

    # Installing it
    def test_install_upgrade_remove_install_purge(self):
        why = sandbox.missing()
        if why:
            self.skipTest(why)
        said = sandbox.run(INSTALL.replace("@DEB@", self.deb), self.folder)
        self.assertIn("all went well", said)


INSTALL = r"""
export LC_ALL=C
dpkg -P oxbow >/dev/null 2>&1 || true; rm -rf /etc/oxbow /var/lib/oxbow
dpkg -i @DEB@
id oxbow
test "$(stat -c '%U:%G %a' /etc/oxbow)" = 'root:oxbow 750'
test -L /etc/systemd/system/sockets.target.wants/oxbow.socket
test -L /etc/systemd/system/multi-user.target.wants/oxbow.service
oxbow version
oxbow config check
man -w oxbow oxbow.toml

# It serves, as its own user, in the folders that the unit would make.
install -d -o oxbow -g oxbow /var/lib/oxbow /run/oxbow
setpriv --reuid oxbow --regid oxbow --clear-groups oxbow serve --set admin.socket=/run/oxbow/admin.sock 2>/run/log &
daemon=$!
curl -sS --retry 100 --retry-delay 1 --retry-connrefused -o /dev/null http://127.0.0.1:5050/v2/
curl -sS http://127.0.0.1:5052/metrics | grep -q oxbow_build_info
# Root and the group may change things through its socket; everybody may read, over TCP.
test "$(stat -c '%U:%G %a' /run/oxbow/admin.sock)" = 'oxbow:oxbow 660'
oxbow cache scrub
setpriv --reuid nobody --regid oxbow --clear-groups oxbow cache scrub
setpriv --reuid nobody --regid nogroup --clear-groups oxbow status
if setpriv --reuid nobody --regid nogroup --clear-groups oxbow cache scrub; then exit 1; fi
kill $daemon && wait $daemon

# Installing again keeps what the operator wrote and what he disabled; the scripts can run any number of times.
echo '# mine' >>/etc/oxbow/oxbow.toml
systemctl disable oxbow.socket
dpkg -i @DEB@
DPKG_MAINTSCRIPT_PACKAGE=oxbow /var/lib/dpkg/info/oxbow.postinst configure 0.1.0-1
tail -1 /etc/oxbow/oxbow.toml | grep -q '# mine'
test ! -e /etc/systemd/system/sockets.target.wants/oxbow.socket

dpkg -r oxbow
test ! -e /usr/bin/oxbow
test -e /etc/oxbow/oxbow.toml && test -d /var/lib/oxbow
dpkg -i @DEB@
dpkg -P oxbow
dpkg -P oxbow 2>/dev/null || true
test ! -e /etc/oxbow && test ! -e /var/lib/oxbow
test -z "$(find /etc/systemd /var/lib/systemd -name 'oxbow*')"
echo all went well
"""
