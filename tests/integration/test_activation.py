"""Socket activation: systemd keeps the listening socket, so that a restart of the daemon refuses nobody."""

import http.client
import os
import shutil
import subprocess
import threading
import time

from oxtest.activation import ActivatedMirror, listening_socket
from oxtest.case import Case, test_image
from oxtest.mirror import binary
from oxtest.process import free_port, wait_until

MIB = 1 << 20


class Activation(Case):
    def scene(self, listen=None, **options):
        """An activated mirror of a registry with one blob; `listen`: what the file says, default the socket's address."""
        upstream = self.upstream()
        data = test_image.noise(3 * MIB, "activation")
        path = f"/v2/team/app/blobs/{upstream.add_blob(data)}"
        mirror = ActivatedMirror(self.own_folder(), [{"name": "registry.test", "upstreams": [upstream.url]}],
                                 client={"default_registry": "registry.test", **({"listen": listen} if listen else {})}, **options)
        held = listening_socket(mirror.port)
        self.addCleanup(held.close)
        mirror.sockets = [held]
        return mirror, data, path

    def test_a_socket_named_by_its_number(self):
        mirror, data, path = self.scene(listen=["fd:3"])
        self.start(mirror)
        self.assert_whole(mirror.get(path), data)

    def test_a_socket_is_recognised_by_its_address(self):
        mirror, data, path = self.scene()
        self.start(mirror)
        self.assert_whole(mirror.get(path), data)

    def test_a_socket_that_the_configuration_does_not_name_is_an_error_that_says_what_to_change(self):
        mirror, _, _ = self.scene(listen=[f"127.0.0.1:{free_port()}"])
        mirror.launch()
        self.addCleanup(mirror.stop)
        self.assertEqual(mirror.process.wait(20), 1)
        self.assertIn(f"127.0.0.1:{mirror.port}", mirror.log())
        self.assertIn("client.listen", mirror.log())

    def test_sockets_of_another_process_are_not_taken(self):
        mirror, data, path = self.scene()
        mirror.sockets[0].close()
        mirror.sockets = []
        mirror.environment = {"LISTEN_PID": "1", "LISTEN_FDS": "1"}
        super(ActivatedMirror, mirror).launch()
        self.addCleanup(mirror.stop)
        mirror.process.wait_ready(mirror.ready)
        self.assert_whole(mirror.get(path), data)

    def test_a_connection_that_came_before_the_daemon_is_served(self):
        mirror, data, path = self.scene()
        early = http.client.HTTPConnection("127.0.0.1", mirror.port, timeout=60)
        self.addCleanup(early.close)
        early.request("GET", path)  # the kernel holds it; nobody serves yet
        self.start(mirror)
        self.assertEqual(early.getresponse().read(), data)

    def test_a_restart_under_load_refuses_nobody(self):
        mirror, data, path = self.scene()
        self.start(mirror)
        self.assert_whole(mirror.get(path), data)
        ended, failures, served = threading.Event(), [], []

        def pull():
            while not ended.is_set():
                link = http.client.HTTPConnection("127.0.0.1", mirror.port, timeout=30)
                try:
                    began = time.monotonic()
                    link.request("GET", path)
                    reply = link.getresponse()
                    whole = reply.status == 200 and reply.read() == data
                    served.append(time.monotonic() - began)
                    if not whole:
                        failures.append(f"status {reply.status}")
                except (OSError, http.client.HTTPException) as error:
                    failures.append(repr(error))
                finally:
                    link.close()

        clients = [threading.Thread(target=pull) for _ in range(8)]
        for client in clients:
            client.start()
        try:
            for _ in range(5):
                before = len(served)
                wait_until(lambda: len(served) >= before + 20, 30, "answers between two restarts")
                self.assertEqual(mirror.stop(), 0)
                mirror.start()
        finally:
            ended.set()
            for client in clients:
                client.join()
        print(f"{len(served)} answers over 5 restarts, the slowest {max(served):.2f} s", flush=True)
        self.assertEqual(failures, [])
        self.assertLess(max(served), 15)

    def test_systemd_starts_the_daemon_with_the_first_connection(self):
        if not shutil.which("systemd-socket-activate"):
            self.skipTest("systemd-socket-activate is not on this machine")
        mirror, data, path = self.scene()
        mirror.sockets[0].close()
        mirror.write_config()
        with open(mirror.log_path, "ab") as log:
            # It becomes the daemon when the first connection comes.
            systemd = subprocess.Popen(["systemd-socket-activate", "-l", mirror.host, binary(), "serve", "--config", mirror.config_path],
                                       stdout=log, stderr=log, env=os.environ)
        self.addCleanup(lambda: (systemd.terminate(), systemd.wait(30)))
        wait_until(lambda: "Listening on" in open(mirror.log_path).read(), 20, "systemd-socket-activate to listen")
        self.assertFalse(mirror.ready())
        self.assert_whole(mirror.get(path), data)
        self.assertTrue(mirror.ready())
