#include "registry-api/challenge.h"

#include "core/encoding.h"

namespace oxbow::registry_api {
namespace {

bool is_token_char(char c) noexcept {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
         (c != '\0' && std::string_view("!#$%&'*+-.^_`|~").contains(c));
}

bool is_token68_char(char c) noexcept {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
         (c != '\0' && std::string_view("-._~+/").contains(c));
}

bool has_parameters(std::string_view scheme) noexcept {
  return scheme == "bearer" || scheme == "basic" || scheme == "digest";
}

class Scanner {
 public:
  explicit Scanner(std::string_view text) : text_(text) {}

  bool at_end() const noexcept { return at_ == text_.size(); }
  char peek() const noexcept { return at_end() ? '\0' : text_[at_]; }
  std::size_t position() const noexcept { return at_; }
  void rewind(std::size_t position) noexcept { at_ = position; }

  void skip_spaces() noexcept {
    while (peek() == ' ' || peek() == '\t') ++at_;
  }
  void skip_separators() noexcept {
    while (peek() == ' ' || peek() == '\t' || peek() == ',') ++at_;
  }
  bool accept(char c) noexcept {
    if (at_end() || peek() != c) return false;
    ++at_;
    return true;
  }
  std::string_view token() noexcept {
    const auto begin = at_;
    while (!at_end() && is_token_char(peek())) ++at_;
    return text_.substr(begin, at_ - begin);
  }
  /// With its padding; empty when what stands here is not one up to the next comma or the end.
  std::string_view token68() noexcept {
    const auto begin = at_;
    while (!at_end() && is_token68_char(peek())) ++at_;
    if (at_ == begin) return {};
    while (accept('=')) {
    }
    const auto end = at_;
    skip_spaces();
    if (at_end() || peek() == ',') return text_.substr(begin, end - begin);
    at_ = begin;
    return {};
  }
  std::string quoted() {
    std::string value;
    ++at_;
    while (!at_end() && peek() != '"') {
      if (peek() == '\\' && at_ + 1 < text_.size()) ++at_;
      value += text_[at_++];
    }
    accept('"');
    return value;
  }
  /// A value without quotes may hold what tokens may not (`realm=https://host/token`): it ends at a comma or space.
  std::string_view bare() noexcept {
    const auto begin = at_;
    while (!at_end() && peek() != ',' && peek() != ' ' && peek() != '\t' && peek() != '"') ++at_;
    return text_.substr(begin, at_ - begin);
  }

 private:
  std::string_view text_;
  std::size_t at_ = 0;
};

/// `name = value`; nothing, and nowhere gone, when it is not one.
std::optional<std::pair<std::string, std::string>> parameter(Scanner& in) {
  const auto start = in.position();
  const auto name = in.token();
  in.skip_spaces();
  if (name.empty() || !in.accept('=')) {
    in.rewind(start);
    return std::nullopt;
  }
  in.skip_spaces();
  return std::pair(to_lower(name), in.peek() == '"' ? in.quoted() : std::string(in.bare()));
}

void parse_parameters(Scanner& in, Challenge& into) {
  for (;;) {
    in.skip_separators();
    if (in.at_end()) return;
    auto found = parameter(in);
    if (!found) return;  // the next challenge's scheme, or rubbish
    if (into.parameters.size() < kMaxChallengeParameters) into.parameters.push_back(std::move(*found));
  }
}

}  // namespace

std::optional<std::string_view> Challenge::find(std::string_view name) const noexcept {
  for (const auto& [key, value] : parameters) {
    if (iequals(key, name)) return value;
  }
  return std::nullopt;
}

std::vector<Challenge> parse_challenges(std::string_view field) {
  std::vector<Challenge> challenges;
  Scanner in(field);
  for (;;) {
    in.skip_separators();
    const auto scheme = in.token();
    if (scheme.empty() || challenges.size() == kMaxChallenges) return challenges;
    Challenge challenge{.scheme = to_lower(scheme), .token68 = {}, .parameters = {}};
    const bool spaced = in.peek() == ' ' || in.peek() == '\t';
    if (!spaced && !in.at_end() && in.peek() != ',') return challenges;
    in.skip_spaces();
    // "Bearer realm=" also reads as a token68 with padding, so the schemes that have parameters never have one.
    if (!has_parameters(challenge.scheme)) challenge.token68 = in.token68();
    if (challenge.token68.empty() && in.peek() != ',') parse_parameters(in, challenge);
    challenges.push_back(std::move(challenge));
  }
}

std::vector<Challenge> parse_challenges(const http::Headers& headers) {
  std::vector<Challenge> challenges;
  for (const auto field : headers.all("WWW-Authenticate")) {
    for (auto& challenge : parse_challenges(field)) {
      if (challenges.size() == kMaxChallenges) return challenges;
      challenges.push_back(std::move(challenge));
    }
  }
  return challenges;
}

std::string format_challenge(const Challenge& challenge) {
  std::string text = challenge.scheme;
  if (!challenge.token68.empty()) return text + " " + challenge.token68;
  std::string_view separator = " ";
  for (const auto& [name, value] : challenge.parameters) {
    text.append(separator).append(name).append("=\"");
    for (const char c : value) {
      if (c == '"' || c == '\\') text += '\\';
      text += c;
    }
    text += '"';
    separator = ",";
  }
  return text;
}

}  // namespace oxbow::registry_api
