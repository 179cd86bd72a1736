"""Start, stop, restart, reload, wrong configurations, a second daemon, and crowds that hang up."""

import os
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import threading

from oxtest.case import Case, Mirror, test_image
from oxtest.http import fetch
from oxtest.mirror import SANITIZED, binary
from oxtest.process import free_port, wait_until
from test_rows_fetch import get_and_hang_up

MIB = 1 << 20


class Lifecycle(Case):
    def scene(self, size, seed, **options):
        upstream = self.upstream()
        data = test_image.noise(size, seed)
        digest = upstream.add_blob(data)
        mirror = self.start(self.mirror_of(upstream.url, **options))
        return upstream, mirror, data, digest, f"/v2/team/app/blobs/{digest}"

    def test_a_second_daemon_on_the_same_directory_refuses_to_start(self):
        _, mirror, data, _, path = self.scene(2 * MIB, "second")
        second = Mirror(self.own_folder(), mirror.registries, storage={"directory": mirror.directory})
        second.write_config()
        code, said = second.run_to_end("serve", "--config", second.config_path)
        self.assertNotEqual(code, 0)
        self.assertIn(mirror.directory, said)
        self.assert_whole(mirror.get(path), data)

    def test_a_wrong_configuration_reports_every_error_with_line_and_column(self):
        path = os.path.join(self.own_folder(), "oxbow.toml")
        lines = ["[client]", 'listen = ["127.0.0.1:0"]', 'drain_timeout = "soon"', "surprise = 1", "[storage]", 'budget = "120%"',
                 'io_engine = "magic"', "[[registry]]", 'name = "registry.test"', 'upstreams = ["ftp://nowhere"]', 'credentials = "both"']
        with open(path, "w") as out:
            out.write("\n".join(lines) + "\n")
        for arguments in (("config", "check", "--config", path), ("serve", "--config", path)):
            code, said = Mirror(self.own_folder(), []).run_to_end(*arguments)
            self.assertNotEqual(code, 0, said)
            for line, key in ((3, "drain_timeout"), (4, "surprise"), (6, "budget"), (7, "io_engine"), (10, "upstreams"), (11, "credentials")):
                with self.subTest(f"{arguments[0]} {key}"):
                    self.assertIn(key, said)
                    self.assertRegex(said, rf"(?i)(:{line}:\d+|line {line}\b.*col)")

    def test_a_file_that_is_not_toml_and_one_that_is_not_there(self):
        path = os.path.join(self.own_folder(), "oxbow.toml")
        with open(path, "w") as out:
            out.write("[client\nlisten = \n")
        mirror = Mirror(self.own_folder(), [])
        self.assertNotEqual(mirror.run_to_end("serve", "--config", path)[0], 0)
        self.assertNotEqual(mirror.run_to_end("serve", "--config", path + ".missing")[0], 0)

    def test_config_check_show_and_version(self):
        mirror = self.mirror_of("http://127.0.0.1:1")
        mirror.write_config()
        code, said = mirror.run_to_end("config", "check", "--config", mirror.config_path)
        self.assertEqual(code, 0, said)
        code, said = mirror.run_to_end("config", "show", "--config", mirror.config_path)
        self.assertEqual(code, 0, said)
        self.assertIn("registry.test", said)
        code, said = mirror.run_to_end("version")
        self.assertEqual(code, 0, said)
        self.assertRegex(said, r"\d+\.\d+")

    def test_a_taken_port_is_said_at_start(self):
        _, mirror, _, _, _ = self.scene(MIB, "port")
        second = self.mirror_of("http://127.0.0.1:1", client={"listen": [mirror.host]})
        second.write_config()
        code, said = second.run_to_end("serve", "--config", second.config_path)
        self.assertNotEqual(code, 0)
        self.assertIn(str(mirror.port), said)

    def test_after_a_restart_only_what_is_missing_is_fetched(self):
        upstream, mirror, data, digest, path = self.scene(64 * MIB, "resume")
        upstream.rate_bytes = 8 * MIB
        got = get_and_hang_up(mirror.port, path, 20 * MIB)
        self.assertGreaterEqual(got, 20 * MIB)
        self.assertEqual(mirror.stop(), 0)
        upstream.rate_bytes = None
        mirror.start()
        self.assert_whole(mirror.get(path), data)
        # Unfinished stripes of the fetches that were running when the reader left are all that may come twice.
        self.assertLess(upstream.sent_of(digest) - len(data), 12 * MIB)

    def test_after_a_restart_content_is_served_without_the_upstream(self):
        upstream, mirror, data, _, path = self.scene(24 * MIB, "restart")
        self.assert_whole(mirror.get(path), data)
        self.assertEqual(mirror.stop(), 0)
        upstream.stop()
        mirror.start()
        self.assert_whole(mirror.get(path), data)

    def test_a_stop_with_idle_connections_is_quick_and_clean(self):
        _, mirror, data, _, path = self.scene(2 * MIB, "stop", client={"drain_timeout": "20s"})
        self.assert_whole(mirror.get(path), data)
        links = [socket.create_connection(("127.0.0.1", mirror.port)) for _ in range(20)]
        try:
            mirror.terminate()
            self.assertEqual(mirror.process.wait(15), 0)
        finally:
            for link in links:
                link.close()

    def test_sighup_does_not_disturb(self):
        _, mirror, data, _, path = self.scene(2 * MIB, "reload")
        mirror.process.signal(signal.SIGHUP)
        mirror.wait_for_log(r"(?i)reload")
        self.assert_whole(mirror.get(path), data)
        self.assertTrue(mirror.process.running)

    def test_ipv6(self):
        try:
            with socket.socket(socket.AF_INET6) as probe:
                probe.bind(("::1", 0))
        except OSError:
            self.skipTest("this machine has no IPv6 loopback address")
        port = free_port()
        _, mirror, data, _, path = self.scene(2 * MIB, "v6", client={"listen": [f"127.0.0.1:{port}", f"[::1]:{port}"]})
        for host in ("127.0.0.1", "[::1]"):
            self.assert_whole(fetch(f"http://{host}:{port}{path}"), data)

    def test_a_machine_without_ipv6_needs_no_configuration(self):
        for tool in ("unshare", "ip", "sysctl"):
            if not shutil.which(tool):
                self.skipTest(f"{tool} is not on this machine")
        folder = tempfile.mkdtemp(prefix="oxt-no-ipv6-")
        self.addCleanup(shutil.rmtree, folder, True)
        # The defaults, [::1] among them, in a network namespace of its own; `curl` waits until the mirror answers.
        script = (f"sysctl -qw net.ipv6.conf.all.disable_ipv6=1 && ip link set lo up || exit 99; {binary()} serve "
                  f"--set storage.directory={folder} --set admin.socket= 2>{folder}/log & "
                  "curl -sS -o /dev/null -w '%{http_code}' --retry 50 --retry-delay 1 --retry-connrefused "
                  "http://127.0.0.1:5050/v2/; kill $!; wait $!")
        done = subprocess.run(["unshare", "-n", "sh", "-c", script], capture_output=True, text=True, timeout=90)
        if done.returncode == 99:
            self.skipTest("no network namespaces on this machine")
        with open(os.path.join(folder, "log"), encoding="utf-8") as log:
            said = log.read()
        self.assertEqual((done.returncode, done.stdout), (0, "200"), said)
        self.assertIn("this machine has no IPv6", said)

    def test_the_metrics_say_where_the_bytes_came_from(self):
        upstream, mirror, data, digest, path = self.scene(12 * MIB, "metrics")
        self.assert_whole(mirror.get(path), data)
        self.assert_whole(mirror.get(path), data)
        wait_until(lambda: sum(mirror.metric("oxbow_client_bytes_total", source=s) for s in ("storage", "upstream")) >= 2 * len(data), 30)
        self.assertEqual(mirror.metric("oxbow_client_bytes_total", source="upstream"), len(data))
        self.assertEqual(mirror.metric("oxbow_client_bytes_total", source="storage"), len(data))
        self.assertEqual(mirror.metric("oxbow_upstream_bytes_total", registry="registry.test"), upstream.sent_of(digest))

    def test_a_crowd_that_hangs_up_leaves_nothing_behind(self):
        upstream, mirror, data, digest, path = self.scene(48 * MIB, "crowd")
        upstream.rate_bytes = 64 * MIB
        count = 8000 if os.environ.get("OXTEST_ALL") else 1200
        before = len(os.listdir(f"/proc/{mirror.process.pid}/fd"))
        failures = []

        def work(number):
            chance = random.Random(number)
            for _ in range(count // 12):
                headers = b""
                if chance.random() < 0.6:
                    first = chance.randrange(len(data))
                    headers = b"Range: bytes=%d-" % first + (b"%d" % (first + chance.randrange(1, 4 * MIB)) if chance.random() < 0.5 else b"") + b"\r\n"
                try:
                    get_and_hang_up(mirror.port, path, chance.choice([0, 1, 100, 5000, 200_000, MIB]), headers)
                except OSError as error:
                    failures.append(error)

        threads = [threading.Thread(target=work, args=(i,)) for i in range(12)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(failures, [])
        self.assert_whole(mirror.get(path), data)
        wait_until(lambda: len(os.listdir(f"/proc/{mirror.process.pid}/fd")) <= before + 64, 30, "the descriptors to be closed")
        if not SANITIZED:
            self.assertLess(mirror.resident_bytes(), 300 * MIB)
