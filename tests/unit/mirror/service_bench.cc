#include "service_bench.h"

#include "body_reader.h"

namespace oxbow::mirror {
namespace {

/// Gives one request to the service and reads what comes, as a connection would.
Task<Answer> exchange(RegistryService& service, http::Request request) {
  auto response = co_await service.handle(std::move(request));
  Answer answer;
  answer.status = response.status;
  answer.headers = std::move(response.headers);
  answer.length = response.content_length;
  answer.has_body = response.body != nullptr;
  while (response.body) {
    auto piece = response.body->next(256UL * 1024);
    if (const auto* memory = std::get_if<http::MemoryPiece>(&piece)) {
      answer.body += memory->bytes;
    } else if (const auto* file = std::get_if<http::FilePiece>(&piece)) {
      std::string part(file->length, '\0');
      const auto got = ::pread(file->fd, part.data(), part.size(), static_cast<off_t>(file->offset));
      EXPECT_EQ(got, static_cast<ssize_t>(part.size()));
      answer.body += part;
    } else if (std::holds_alternative<http::Wait>(piece)) {
      co_await await_callback<bool>(
          [&](auto done) { response.body->on_ready([done = std::move(done)]() mutable { done(true); }); });
    } else {
      if (const auto* cut = std::get_if<http::Cut>(&piece)) answer.cut = cut->error;
      break;
    }
  }
  co_return answer;
}

}  // namespace

ServiceBench::Joined::Joined(ServiceBench& bench)
    : blobs(bench.scratch.store(), bench.scratch.pool(), bench.system_clock_, bench.scratch.metrics(), FetchLimits{}),
      grants(bench.scratch.store(), bench.scratch.clock(), bench.scratch.metrics()),
      memory(bench.scratch.store()),
      access(grants, memory, bench.curls_,
             bench.peers_ == nullptr
                 ? nullptr
                 : &peers.emplace(PeerKnowledge::Options{}, *bench.peers_, bench.scratch.metrics())),
      contents(bench.scratch.store(), access, bench.scratch.metrics()),
      tags(bench.scratch.store(), access, contents, bench.scratch.clock(), bench.scratch.metrics()),
      service({blobs, access, contents, tags, bench.curls_, bench.scratch.metrics()}, bench.registries(), 1024),
      knowledge({bench.scratch.store(), access, contents, tags, [this] { return service.registries(); }}) {
  grants.load();
}

ServiceBench::ServiceBench() {
  scratch.loops().start();
  auto first = config::default_registry_entry("reg.test");
  first.aliases = {"alias.test"};
  first.upstreams = {site.url()};
  auto second = config::default_registry_entry("other.test");
  second.upstreams = {other.url()};
  config.registries = {first, second};
  config.client.default_registry = "reg.test";
  joined_ = std::make_unique<Joined>(*this);
}

ServiceBench::~ServiceBench() {
  for (std::size_t i = 0; i < scratch.loops().size(); ++i) {
    scratch.on_loop([&] { curls_.at(scratch.loop(i)).close(); }, i);
  }
  // The ends of readers and fetches that were posted.
  for (int round = 0; round < 4; ++round) {
    for (std::size_t i = 0; i < scratch.loops().size(); ++i) scratch.on_loop([] {}, i);
  }
  scratch.stop();
}

std::shared_ptr<Registries> ServiceBench::registries() {
  auto made = Registries::create(config, {scratch.clock(), scratch.pool(), scratch.metrics(), "1.2.3"});
  EXPECT_TRUE(made) << (made ? "" : made.error().what());
  return std::move(*made);
}

void ServiceBench::restart() {
  // A fetch outlives its last answer: it waits for what is on its way, and the pool still hashes for it.
  EXPECT_TRUE(eventually([this] { return joined_->blobs.running_count() == 0; }));
  scratch.settle();
  joined_.reset();
  scratch.reopen();
  joined_ = std::make_unique<Joined>(*this);
}

void ServiceBench::join(FetchPeers& peers) {
  peers_ = &peers;
  joined_.reset();
  joined_ = std::make_unique<Joined>(*this);
}

void ServiceBench::apply() { joined_->service.set_registries(registries()); }

std::future<Answer> ServiceBench::start(const std::string& target, Fields fields, http::Method method,
                                        std::size_t loop) {
  http::Request request;
  request.method = method;
  request.method_text = std::string(http::to_string(method));
  request.target = target;
  const auto mark = target.find('?');
  request.path = target.substr(0, mark);
  if (mark != std::string::npos) request.query = target.substr(mark + 1);
  for (auto& [name, value] : fields) request.headers.add(name, std::move(value));
  return scratch.start(exchange(joined_->service, std::move(request)), loop);
}

}  // namespace oxbow::mirror
