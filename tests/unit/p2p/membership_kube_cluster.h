// An API server and the service account of one pod, for the tests of membership and values in Kubernetes.
#pragma once

#include "tests/unit/p2p/membership_fake_kube.h"
#include "tests/unit/p2p/membership_support.h"

namespace oxbow::p2p::test {

inline constexpr const char* kToken = "token.1";

struct KubeCluster {
  KubeCluster() {
    write_file(account / "token", std::string(kToken) + "\n");
    write_file(account / "namespace", "infra");
    options.api_server = kube.url();
    options.account_directory = account / "";
    options.account_directory.pop_back();
  }

  FakeKube kube{kToken};
  TemporaryDirectory account;
  KubernetesOptions options;
};

}  // namespace oxbow::p2p::test
