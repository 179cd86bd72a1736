// Disk, io_uring, limits, memory, kernel and clock: each broken, and named with its fix.
#include "fake_system.h"

namespace oxbow::mirror::doctor {
namespace {

using nlohmann::json;
using std::chrono::seconds;

class NodeTest : public DoctorTest {
 protected:
  NodeTest() {
    system.directory("/");
    system.directory("/var");
    system.directory("/var/lib");
    system.directory("/var/lib/oxbow", 0750);
  }

  void runs_as(uid_t user) {
    daemon.pid = 42;
    const auto id = std::to_string(user);
    system.files["/proc/42/status"] = {"Name:\toxbow\nUid:\t" + id + "\t" + id + "\nGid:\t" + id + "\t" + id + "\n"};
    system.files["/etc/passwd"] = {"root:x:0:0::/root:/bin/sh\noxbow:x:998:998::/:/bin/false\n"};
  }

  /// A registry that says this clock is `ahead` of its own.
  void says_time(const std::string& name, seconds ahead) {
    auto reply = FakeSystem::reply(200);
    reply.at = system.time;
    reply.date = system.time - ahead;
    registries_.push_back(std::make_unique<config::Registry>());
    registries_.back()->name = name;
    network.upstreams.push_back({registries_.back().get(), false, {reply}, {}, "", {}});
  }

  std::vector<std::unique_ptr<config::Registry>> registries_;
};

TEST_F(NodeTest, AGoodDisk) { expect_good(check_disk); }

TEST_F(NodeTest, ADirectoryThatIsMadeAtTheStart) {
  system.files.erase("/var/lib/oxbow");
  expect(check_disk, Level::kOk, "disk.new", {"/var/lib/oxbow"});
  runs_as(998);
  expect(check_disk, Level::kFail, "disk.missing", {"oxbow", "install -d"});
}

TEST_F(NodeTest, NoDirectory) {
  system.files["/var/lib/oxbow"] = {"a file"};
  expect(check_disk, Level::kFail, "disk.no_directory", {"/var/lib/oxbow"});
}

TEST_F(NodeTest, ADirectoryOfSomebodyElse) {
  runs_as(998);
  expect(check_disk, Level::kFail, "disk.permission", {"oxbow", "0750", "chown -R oxbow"});
  system.files["/sys/fs/selinux/enforce"] = {"1"};
  expect(check_disk, Level::kFail, "disk.permission", {"SELinux"});
  system.directory("/var/lib/oxbow", 0750, 998);
  expect_good(check_disk);
}

TEST_F(NodeTest, ReadOnlyMemoryOverlayAndNetwork) {
  system.space.read_only = true;
  expect(check_disk, Level::kFail, "disk.read_only", {"remount"});
  system.space.read_only = false;
  system.space.type = "tmpfs";
  expect(check_disk, Level::kWarn, "disk.memory", {"tmpfs"});
  system.space.type = "overlay";
  expect(check_disk, Level::kWarn, "disk.overlay", {"volume"});
  system.space.type = "nfs";
  expect(check_disk, Level::kWarn, "disk.network", {"nfs"});
}

TEST_F(NodeTest, BelowTheFloor) {
  system.space.available_bytes = 40ULL << 30;  // the floor is 5 % of 1000 GiB
  expect(check_disk, Level::kFail, "disk.full", {"40.0 GiB", "50.0 GiB", "free_space_floor"});
}

TEST_F(NodeTest, ABudgetThatCannotBe) {
  config = configured("[storage]\nbudget = \"2TiB\"\n");
  expect(check_disk, Level::kWarn, "disk.budget", {"2.0 TiB", "1000.0 GiB"});
  config = configured("[storage]\nbudget = \"600GiB\"\n");
  expect(check_disk, Level::kWarn, "disk.squeezed", {"600.0 GiB"});
  daemon.status_json = json{{"storage", {{"stored_bytes", 200ULL << 30}}}};
  expect(check_disk, Level::kOk, "disk.space", {"200.0 GiB of 600.0 GiB"});
  daemon.status_json["storage"]["writable"] = false;
  expect(check_disk, Level::kFail, "disk.refused", {"dmesg"});
}

TEST_F(NodeTest, NoInodes) {
  system.space.free_inodes = 12;
  expect(check_disk, Level::kFail, "disk.inodes", {"12 of 1000000"});
  system.space.free_inodes = 30'000;
  expect(check_disk, Level::kWarn, "disk.inodes", {"30000"});
  system.space.inodes = 0;  // a file system that does not count them
  expect_good(check_disk);
}

TEST_F(NodeTest, ADirectoryThatThisUserMayNotSee) {
  system.uid = 1000;
  system.files.erase("/var/lib/oxbow");
  system.files["/usr/lib/systemd/system/oxbow.service"] = {"[Service]\nUser=oxbow\n"};
  system.files["/etc/passwd"] = {"oxbow:x:998:998::/:/bin/false\n"};
  expect(check_disk, Level::kFail, "disk.missing", {"oxbow"});
}

TEST_F(NodeTest, IoUring) {
  expect_good(check_io_uring);
  system.ring_errno = EPERM;
  expect(check_io_uring, Level::kWarn, "io_uring.threads", {"seccomp", "io_uring_setup", "more CPU"});
  system.files["/proc/sys/kernel/io_uring_disabled"] = {"2\n"};
  expect(check_io_uring, Level::kWarn, "io_uring.threads", {"io_uring_disabled = 2", "sysctl -w"});
  daemon.status_json = json{{"storage", {{"io_engine", "io_uring"}}}};  // the daemon may what this process may not
  expect_good(check_io_uring);
  daemon.status_json = json{{"storage", {{"io_engine", "threads"}}}};
  config = configured("[storage]\nio_engine = \"io_uring\"\n");
  expect(check_io_uring, Level::kFail, "io_uring.refused", {"does not start"});
  config = configured("[storage]\nio_engine = \"threads\"\n");
  expect_good(check_io_uring);
}

TEST_F(NodeTest, OpenFiles) {
  expect(check_limits, Level::kSkipped, "limits.no_daemon", {});
  runs_as(0);
  expect(check_limits, Level::kSkipped, "limits.hidden", {"sudo"});
  system.files["/proc/42/limits"] = {
      "Limit                     Soft Limit           Hard Limit           Units\n"
      "Max open files            1048576              1048576              files\n"};
  expect_good(check_limits);
  system.files["/proc/42/limits"].text = "Max open files            4096   4096   files\n";
  expect(check_limits, Level::kWarn, "limits.files", {"4096", "LimitNOFILE"});
  system.files["/proc/42/limits"].text = "Max open files            256    256    files\n";
  expect(check_limits, Level::kFail, "limits.files", {"256"});
  system.files["/proc/42/limits"].text = "Max open files            unlimited  unlimited   files\n";
  expect_good(check_limits);
  system.files["/proc/42/limits"].text =
      "Max locked memory  65536  65536  bytes\nMax open files  1048576  1048576   files\n";
  expect_good(check_limits);
  daemon.status_json = json{{"storage", {{"io_engine", "threads"}}}};
  expect(check_limits, Level::kWarn, "limits.memlock", {"64.0 KiB", "LimitMEMLOCK"});
  system.files["/proc/42/limits"].text = "Max open files            20000  20000   files\n";
  daemon.status_json = json{{"process", {{"open_files", 19'500}}}};
  expect(check_limits, Level::kWarn, "limits.files_used", {"19500 of 20000"});
}

TEST_F(NodeTest, Memory) {
  expect_good(check_memory);
  runs_as(0);
  system.files["/proc/42/cgroup"] = {"0::/system.slice/oxbow.service\n"};
  system.files["/sys/fs/cgroup/system.slice/oxbow.service/memory.max"] = {"max\n"};
  expect_good(check_memory);
  system.files["/sys/fs/cgroup/system.slice/memory.max"] = {"134217728\n"};
  expect(check_memory, Level::kFail, "memory.cgroup", {"/system.slice", "128.0 MiB", "MemoryMax="});
  system.files["/sys/fs/cgroup/system.slice/memory.max"] = {"335544320\n"};
  expect(check_memory, Level::kWarn, "memory.cgroup", {"320.0 MiB"});
}

TEST_F(NodeTest, Kernel) {
  system.files["/proc/sys/net/core/somaxconn"] = {"4096\n"};
  system.files["/proc/sys/fs/file-nr"] = {"3000\t0\t9223372036854775807\n"};
  expect_good(check_kernel);
  system.files["/proc/sys/net/core/somaxconn"] = {"128\n"};
  expect(check_kernel, Level::kWarn, "kernel.somaxconn", {"128", "sysctl"});
  system.files["/proc/sys/fs/file-nr"] = {"9900\t0\t10000\n"};
  expect(check_kernel, Level::kWarn, "kernel.files", {"9900 of 10000"});
}

TEST_F(NodeTest, Clock) {
  expect(check_clock, Level::kSkipped, "clock.alone", {});
  system.kept = false;
  expect(check_clock, Level::kWarn, "clock.unkept", {"set-ntp"});
  says_time("a.test", seconds(2));
  expect_good(check_clock);
}

TEST_F(NodeTest, AClockThatIsOff) {
  says_time("a.test", seconds(-40));
  expect(check_clock, Level::kWarn, "clock.off", {"40 s behind", "a.test"});
  network.upstreams.clear();
  says_time("a.test", seconds(7200));
  expect(check_clock, Level::kFail, "clock.wrong", {"2 h ahead", "expired"});
}

TEST_F(NodeTest, OneOfTheOthersIsWrong) {
  says_time("a.test", seconds(0));
  says_time("b.test", seconds(1));
  says_time("c.test", seconds(-900));
  expect(check_clock, Level::kOk, "clock.right", {"3 others"});
  expect(check_clock, Level::kWarn, "clock.other", {"c.test", "15 min ahead"});
}

}  // namespace
}  // namespace oxbow::mirror::doctor
