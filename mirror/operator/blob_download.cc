#include "mirror/operator/blob_download.h"

#include <algorithm>
#include <charconv>
#include <nlohmann/json.hpp>
#include <string_view>
#include <utility>

#include "core/encoding.h"
#include "registry-api/challenge.h"

namespace oxbow::mirror {
namespace {

constexpr int kMaxDoublings = 5;
constexpr std::size_t kMaxErrorBytes = 16 * 1024;

std::optional<std::uint64_t> number(std::string_view text) {
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() && !text.empty() && end == text.data() + text.size() ? std::optional(value)
                                                                                   : std::nullopt;
}

/// The first byte of `bytes 5-9/10`.
std::optional<std::uint64_t> begin_of(std::string_view content_range) {
  constexpr std::string_view kUnit = "bytes ";
  if (!content_range.starts_with(kUnit)) return std::nullopt;
  content_range.remove_prefix(kUnit.size());
  return number(content_range.substr(0, content_range.find('-')));
}

}  // namespace

Error mirror_error(int status, std::string_view body) {
  std::string message = "the mirror answers " + std::to_string(status);
  const auto json = nlohmann::json::parse(body, nullptr, false);
  const auto errors = json.is_object() ? json.find("errors") : json.end();
  if (json.is_object() && errors != json.end() && errors->is_array() && !errors->empty() &&
      errors->front().is_object()) {
    const auto text = errors->front().find("message");
    if (text != errors->front().end() && text->is_string()) message += ": " + text->get<std::string>();
  }
  const auto code = status == 401                    ? Errc::kUnauthorized
                    : status == 403                  ? Errc::kDenied
                    : status == 404 || status == 400 ? Errc::kNotFound
                                                     : Errc::kUnavailable;
  return {code, std::move(message)};
}

SourceBytes& SourceBytes::operator+=(const SourceBytes& other) noexcept {
  storage += other.storage;
  peer += other.peer;
  upstream += other.upstream;
  return *this;
}

std::optional<SourceBytes> sources_of(const http::Headers& headers, std::uint64_t bytes) {
  const auto source = headers.find("Oxbow-Source").value_or("");
  SourceBytes out;
  if (source == "storage")
    out.storage = bytes;
  else if (source == "peer")
    out.peer = bytes;
  else if (source == "upstream")
    out.upstream = bytes;
  else
    return std::nullopt;
  return out;
}

BlobDownload::BlobDownload(registry_api::ImageBlob blob, const Options& options, HttpRunner& http)
    : blob_(std::move(blob)), options_(options), http_(http), hasher_(blob_.digest.algorithm()), size_(blob_.size) {}

void BlobDownload::begin(Time now) {
  if (!started_) started_ = now;
  ended_exchange_.reset();
  verdict_.reset();
  trouble_.reset();
  skip_ = 0;
  received_before_ = received();
  auto ask = options_.ask(blob_);
  authorization_ = ask.headers.find("Authorization").value_or("");
  accepted_ = false;
  if (received() > 0) {
    ask.headers.add("Range", "bytes=" + std::to_string(received()) + "-");
    ++resumed_;
  }
  exchange_ =
      http_.start(std::move(ask), {.on_head = [this](const HttpHead& head) { return on_head(head); },
                                   .on_data = [this](std::span<const std::byte> bytes) { return on_data(bytes); },
                                   .on_done = [this](Result<> outcome) { on_done(std::move(outcome)); }});
}

bool BlobDownload::on_head(const HttpHead& head) {
  accepted_ = head.status == 200 || head.status == 206;
  const auto digest = blob_.digest.to_string();
  if (head.status == 401) {
    refusal_ = registry_api::parse_challenges(head.headers);
    return false;
  }
  if (head.status == 206 && received() > 0) {
    const auto range = head.headers.find("Content-Range");
    if (begin_of(range.value_or("")) == received()) return true;
    trouble_ = Error(Errc::kUnavailable, "the mirror answers with another range than was asked for");
    return false;
  }
  if (head.status == 200) {
    skip_ = received();
    const auto length = number(head.headers.find("Content-Length").value_or(""));
    if (length && size_ && *length != *size_) {
      verdict_ = Error(Errc::kCorrupt,
                       "has " + std::to_string(*length) + " bytes, and its manifest says " + std::to_string(*size_));
      return false;
    }
    if (length) size_ = length;
    if (received() == 0) first_head_ = head.headers;
    return true;
  }
  error_status_ = head.status;
  return true;
}

bool BlobDownload::on_data(std::span<const std::byte> bytes) {
  const auto skipped = std::min<std::uint64_t>(skip_, bytes.size());
  skip_ -= skipped;
  if (error_status_ != 0) {
    error_body_.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    return error_body_.size() <= kMaxErrorBytes;
  }
  hasher_.update(bytes.subspan(skipped));
  return !size_ || received() <= *size_;
}

void BlobDownload::on_done(Result<> outcome) {
  ended_exchange_ = std::move(exchange_);  // it is what calls
  if (received() > received_before_) fruitless_ = 0;
  if (refusal_) return;
  if (verdict_) return end(std::unexpected(*verdict_));
  if (error_status_ != 0) {
    auto error = mirror_error(std::exchange(error_status_, 0), std::exchange(error_body_, {}));
    const bool is_final = error.code() == Errc::kDenied || error.code() == Errc::kNotFound;
    return is_final ? end(std::unexpected(std::move(error))) : try_again(std::move(error));
  }
  if (trouble_) return try_again(*trouble_);
  if (size_ && received() > *size_) return end(fail(Errc::kCorrupt, "has more bytes than it should have"));
  if (!outcome && received() != size_) return try_again(outcome.error());
  if (size_ && received() < *size_) return try_again({Errc::kUnavailable, "the answer was cut short"});
  const auto digest = hasher_.digest();
  if (digest == blob_.digest) return end({});
  end(fail(Errc::kCorrupt, "the bytes hash to " + digest.to_string()));
}

void BlobDownload::end(Result<> outcome) {
  outcome_ = std::move(outcome);
  ended_ = std::chrono::steady_clock::now();
}

void BlobDownload::try_again(Error why) {
  if (++fruitless_ >= options_.tries) return end(std::unexpected(std::move(why)));
  const auto doublings = std::min(fruitless_ - 1, kMaxDoublings);
  not_before_ = std::chrono::steady_clock::now() + options_.retry_after * (1 << doublings);
}

std::optional<std::vector<registry_api::Challenge>> BlobDownload::take_refusal() {
  return std::exchange(refusal_, std::nullopt);
}

std::optional<SourceBytes> BlobDownload::whole_source() const { return sources_of(first_head_, received()); }

void BlobDownload::refused() { end(fail(Errc::kUnauthorized, "the registry refuses it to this caller (401)")); }

}  // namespace oxbow::mirror
