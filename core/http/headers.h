// HTTP field lists and methods (RFC 9110). Order and case of names are kept; look-up ignores case.
// Thread rule: plain values.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace oxbow::http {

enum class Method { kGet, kHead, kPost, kPut, kPatch, kDelete, kOptions, kOther };

Method parse_method(std::string_view text) noexcept;
std::string_view to_string(Method method) noexcept;
/// The reason phrase of a status, for HTTP/1.1 status lines.
std::string_view reason(int status) noexcept;

class Headers {
 public:
  using Field = std::pair<std::string, std::string>;

  /// The first value; nothing when the field is absent.
  std::optional<std::string_view> find(std::string_view name) const noexcept;
  std::vector<std::string_view> all(std::string_view name) const;
  void add(std::string name, std::string value) { fields_.emplace_back(std::move(name), std::move(value)); }
  /// Replaces every field of that name.
  void set(std::string_view name, std::string value);
  void remove(std::string_view name);

  bool empty() const noexcept { return fields_.empty(); }
  std::size_t size() const noexcept { return fields_.size(); }
  auto begin() const noexcept { return fields_.begin(); }
  auto end() const noexcept { return fields_.end(); }

 private:
  std::vector<Field> fields_;
};

}  // namespace oxbow::http
