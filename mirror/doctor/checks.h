// The checks, one function a group, in the order in which they are shown. Thread rule: pure functions of the subject,
// which they read files through.
#pragma once

#include "config/loader.h"
#include "mirror/doctor/finding.h"
#include "mirror/doctor/subject.h"

namespace oxbow::mirror::doctor {

/// `file`: empty when there is none and the defaults hold. `subject`: null where the configuration does not load.
void check_config(const config::LoadResult& loaded, const std::string& file, const System& system,
                  const Subject* subject, Findings& out);
void check_daemon(const Subject& subject, Findings& out);
void check_ports(const Subject& subject, Findings& out);
void check_certificates(const Subject& subject, Findings& out);
void check_clock(const Subject& subject, Findings& out);
void check_disk(const Subject& subject, Findings& out);
void check_io_uring(const Subject& subject, Findings& out);
void check_limits(const Subject& subject, Findings& out);
void check_memory(const Subject& subject, Findings& out);
void check_kernel(const Subject& subject, Findings& out);
void check_runtimes(const Subject& subject, Findings& out);
void check_upstreams(const Subject& subject, Findings& out);
void check_peers(const Subject& subject, Findings& out);

}  // namespace oxbow::mirror::doctor
