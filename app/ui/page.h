// The page at /ui/: all services and nodes with their health, from /v1/internal/ui/*, kept fresh by
// blocking queries. One file without anything from elsewhere, so that it works without a network.
#pragma once

#include <string_view>

namespace fyr::app {

std::string_view ui_page();
// What the page may do, as its Content-Security-Policy.
std::string_view ui_policy();

}  // namespace fyr::app
