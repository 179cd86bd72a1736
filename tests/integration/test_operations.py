"""The commands of docs/operations.md, one after the other, on a copy of this machine that systemd has booted."""

import os
import re
import shutil

from oxtest import booted
from oxtest.case import Case
from oxtest.mirror import ROOT
from test_packaging import build_package

PAGE = os.path.join(ROOT, "docs", "operations.md")
# While these sections run, clients ask all the time, and nobody may be refused.
WITHOUT_INTERRUPTION = ("Upgrade",)

START = r"""
set -e
dpkg -P oxbow >/dev/null 2>&1 || true
rm -rf /etc/oxbow /var/lib/oxbow
# What this machine's kernel does not let a nested systemd do is left out, and said.
systemd-run -q --wait -p PrivateDevices=yes true || {
  echo "left out: PrivateDevices"
  mkdir -p /run/systemd/system/oxbow.service.d
  printf '[Service]\nPrivateDevices=no\n' >/run/systemd/system/oxbow.service.d/test.conf
}
command -v promtool >/dev/null || promtool() { echo "left out: promtool"; }
ask() {  # until the file is gone; every status goes to asked
  while [ -e asking ]; do curl -s -m 30 -o /dev/null -w '%{http_code}\n' http://127.0.0.1:5060/v2/ || true; done >asked
}
"""
ASK = "touch asking; ask & asker=$!; sleep 0.3"
ANSWERED = r"""sleep 0.3; rm asking; wait $asker
sort asked | uniq -c
test "$(sort -u asked)" = 200"""


def sections():
    """[(title, [commands of a block])], without the blocks that say why they are not run"""
    with open(PAGE, encoding="utf-8") as file:
        parts = re.split(r"^## (.*)$", file.read(), flags=re.M)
    return [(title, re.findall(r"(?<!-->\n)^```sh\n(.*?)^```", text, re.M | re.S)) for title, text in zip(parts[1::2], parts[2::2])]


class Operations(Case):
    @classmethod
    def set_up_parts(cls):
        cls.why = booted.missing()
        cls.deb = None if cls.why else build_package(cls.folder)

    def boot(self, script):
        if self.why or not self.deb:
            self.skipTest(self.why or "no CPack, or not a Debian machine")
        folder = self.own_folder()
        shutil.copy(self.deb, folder)
        done = booted.run(START + script, folder)
        if done is None:
            with open(os.path.join(folder, "boot.log"), encoding="utf-8", errors="replace") as log:
                self.skipTest(f"systemd cannot be booted here: {log.read()[-300:]}")
        code, said = done
        self.assertEqual(code, 0, said[-6000:])
        return said

    def test_every_command_of_the_page_works(self):
        script = []
        for title, blocks in sections():
            script.append(f'echo "=== {title}"')
            for block in blocks:
                script += [ASK, block, ANSWERED] if title in WITHOUT_INTERRUPTION else [block]
        said = self.boot("set -x\n" + "\n".join(script) + "\necho the whole page\n")
        self.assertIn("the whole page", said)

    def test_the_unit_is_confined_restarts_without_refusing_and_gives_up_in_the_end(self):
        said = self.boot(CONFINED)
        self.assertIn("confined, and all answered", said)


CONFINED = r"""
apt-get install -y ./oxbow_*.deb >/dev/null
pid() { systemctl show oxbow -p MainPID --value; }
status=/proc/$(pid)/status
grep -E '^(Uid|CapBnd|CapEff|NoNewPrivs|Seccomp):' $status
test "$(stat -c %U /proc/$(pid))" = oxbow
grep -q '^CapBnd:.0000000000000000' $status
grep -q '^NoNewPrivs:.1' $status
grep -q '^Seccomp:.2' $status
journalctl -u oxbow --no-pager | grep 'storage open' || true
# Nothing but its own folders can be written.
! nsenter -t "$(pid)" -m touch /usr/left /etc/oxbow/left /var/lib/left 2>/dev/null
touch asking; while [ -e asking ]; do curl -s -m 30 -o /dev/null -w '%{http_code}\n' http://127.0.0.1:5050/v2/ || true; done >asked & asker=$!
for i in 1 2 3; do before=$(pid); systemctl restart oxbow; test "$(pid)" != "$before"; sleep 0.5; done
kill -9 "$(pid)"; sleep 4; systemctl is-active oxbow
rm asking; wait $asker
sort asked | uniq -c
# Of a killed daemon only the request that it had is lost.
test "$(grep -vc 200 asked)" -le 1
# A client's connection starts a stopped daemon.
systemctl stop oxbow.service
test "$(curl -s -m 30 -o /dev/null -w '%{http_code}' http://127.0.0.1:5050/v2/)" = 200
# One that cannot start: nobody waits for ever, the address is closed.
systemctl stop oxbow.socket oxbow.service
echo 'surprise = 1' >>/etc/oxbow/oxbow.toml
systemctl start oxbow.socket
for i in $(seq 60); do curl -s -m 2 -o /dev/null http://127.0.0.1:5050/v2/ || true; systemctl is-active -q oxbow.socket || break; sleep 0.5; done
! systemctl is-active -q oxbow.socket
code=0; curl -s -m 5 -o /dev/null http://127.0.0.1:5050/v2/ || code=$?
test $code = 7
echo confined, and all answered
"""
