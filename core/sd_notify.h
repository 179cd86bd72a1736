// Tells systemd how the service is (sd_notify(3)): one datagram to $NOTIFY_SOCKET, without libsystemd.
// Thread rule: any thread. Never fails a caller.
#pragma once

#include <string_view>

namespace oxbow {

/// `state`: "READY=1", "STOPPING=1", "WATCHDOG=1", "STATUS=…", several lines at once too. False when nobody asked to be
/// told (no NOTIFY_SOCKET) or the datagram could not be sent.
bool sd_notify(std::string_view state) noexcept;

}  // namespace oxbow
