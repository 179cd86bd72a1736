"""What the disk does to a mirror: flipped bytes, lost and shortened files, a broken index, a full or read-only disk, a small budget."""

import os
import shutil

from oxtest.case import Case, test_image
from oxtest.clients import Missing
from oxtest.process import run, wait_until

MIB = 1 << 20


class Disk(Case):
    def scene(self, size=24 * MIB, seed="disk", **options):
        upstream = self.upstream()
        data = test_image.noise(size, seed)
        digest = upstream.add_blob(data)
        mirror = self.start(self.mirror_of(upstream.url, **options))
        return upstream, mirror, data, digest, f"/v2/team/app/blobs/{digest}"

    def stored(self, seed):
        """A scene whose blob is on disk, with the daemon stopped; and the blob's file."""
        upstream, mirror, data, digest, path = self.scene(seed=seed)
        self.assert_whole(mirror.get(path), data)
        mirror.stop()
        files = mirror.blob_files(len(data))
        self.assertEqual(len(files), 1, files)
        return upstream, mirror, data, digest, path, files[0]

    def test_a_flipped_byte_is_found_and_only_its_stripe_fetched_again(self):
        upstream, mirror, data, digest, path, file = self.stored("flipped")
        with open(file, "r+b") as blob:
            blob.seek(9_000_000)
            byte = blob.read(1)
            blob.seek(9_000_000)
            blob.write(bytes([byte[0] ^ 1]))
        before = upstream.sent_of(digest)
        mirror.start()
        self.assert_whole(mirror.get(path), data)
        self.assertLessEqual(upstream.sent_of(digest) - before, 8 * 512 * 1024, "one span at most")
        self.assertGreaterEqual(mirror.metric("oxbow_verify_failures_total"), 1)

    def test_a_shortened_file(self):
        _, mirror, data, _, path, file = self.stored("shortened")
        os.truncate(file, len(data) // 2)
        mirror.start()
        self.assert_whole(mirror.get(path), data)

    def test_a_lost_file(self):
        _, mirror, data, _, path, file = self.stored("lost")
        os.remove(file)
        mirror.start()
        self.assert_whole(mirror.get(path), data)

    def test_a_broken_index_is_dropped_loudly_and_never_gives_a_wrong_byte(self):
        for how in ("manifest", "tables"):
            with self.subTest(how):
                _, mirror, data, _, path, _ = self.stored(f"index {how}")
                broken = 0
                for folder, _, names in os.walk(mirror.directory):
                    if os.path.basename(folder) == "blobs" or "/blobs/" in folder:
                        continue
                    for name in names:
                        wanted = name.startswith("MANIFEST") if how == "manifest" else name.endswith((".sst", ".log"))
                        if wanted and os.path.getsize(os.path.join(folder, name)) > 0:
                            with open(os.path.join(folder, name), "r+b") as file:
                                size = os.path.getsize(file.name)
                                file.write(os.urandom(size))
                            broken += 1
                self.assertGreater(broken, 0, "no index file was found to break")
                mirror.start()
                self.assert_whole(mirror.get(path), data)
                self.assertRegex(mirror.log(), r"(?i)(warn|error).*index|index.*(corrupt|dropped|rebuilt)")

    def tmpfs(self, size):
        folder = self.own_folder()
        code, said = run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder], check=False)
        if code != 0:
            raise Missing(f"mount of a tmpfs is not permitted here: {said.strip()}")
        self.addCleanup(lambda: run(["umount", "-l", folder], check=False))
        return folder

    def test_a_full_disk_does_not_stop_the_pull(self):
        folder = self.tmpfs("40m")
        upstream, mirror, data, digest, path = self.scene(
            64 * MIB, "full", storage={"directory": os.path.join(folder, "store"), "budget": "1GiB", "free_space_floor": "1MiB"})
        self.assert_whole(mirror.get(path), data)
        self.assertLessEqual(upstream.sent_of(digest), len(data) + 16 * MIB)
        # A smaller one too, with the disk full to the last byte by somebody else.
        small = test_image.noise(6 * MIB, "full, small")
        digest = upstream.add_blob(small)
        try:
            with open(os.path.join(folder, "hog"), "wb") as hog:
                while True:
                    hog.write(b"\0" * MIB)
        except OSError:
            pass
        self.assert_whole(mirror.get(f"/v2/team/app/blobs/{digest}"), small)
        reply = mirror.get(f"/v2/team/app/blobs/{digest}", {"Range": "bytes=1000000-1999999"})
        self.assertTrue(reply.body == small[1000000:2000000])

    def test_a_read_only_disk_does_not_stop_the_pull(self):
        folder = self.tmpfs("64m")
        os.mkdir(os.path.join(folder, "store"))
        run(["mount", "-o", "remount,ro", folder])
        _, mirror, data, _, path = self.scene(24 * MIB, "read-only", storage={"directory": os.path.join(folder, "store")})
        self.assert_whole(mirror.get(path), data)
        self.assertRegex(mirror.log(), r"(?i)(warn|error)")

    def test_the_budget_holds_and_everything_is_served(self):
        upstream, mirror, data, _, path = self.scene(8 * MIB, "budget", storage={"budget": "32MiB"})
        blobs = [test_image.noise(8 * MIB, f"budget {i}") for i in range(8)]
        for blob in blobs + blobs[:2]:
            self.assert_whole(mirror.get(f"/v2/team/app/blobs/{upstream.add_blob(blob)}"), blob)
        wait_until(lambda: mirror.metric("oxbow_storage_bytes") <= 33 * MIB, 20, "the budget to hold")
        self.assertGreater(mirror.metric("oxbow_storage_evicted_bytes_total"), 0)
        used = sum(os.stat(file).st_blocks * 512 for file in mirror.blob_files())
        self.assertLessEqual(used, 34 * MIB)

    def test_both_io_engines(self):
        for engine in ("threads", "io_uring"):
            with self.subTest(engine):
                _, mirror, data, _, path = self.scene(24 * MIB, f"engine {engine}", storage={"io_engine": engine})
                self.assert_whole(mirror.get(path), data)
                mirror.restart()
                self.assert_whole(mirror.get(path), data)
                self.assertIn(engine, mirror.log())

    def test_an_emptied_directory_is_no_reason_not_to_start(self):
        _, mirror, data, _, path, _ = self.stored("emptied")
        shutil.rmtree(mirror.directory)
        mirror.start()
        self.assert_whole(mirror.get(path), data)
